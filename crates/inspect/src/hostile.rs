//! Damaged configurations and databases end in facts or in none, never in a panic.

use crate::testing::Tree;

const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb::33:33::/:/bin/false\n"),
    (
        "etc/shadow",
        "root:$1$abcdefgh$irWbblnpmw.5z7wgBnprh0:0:0:99999:7:::\nx:$6$rounds=99999999$a$b:::\n",
    ),
    ("etc/inittab", "::sysinit:/etc/init.d/rcS\nid:3:initdefault:\nttyS0::askfirst:-/bin/sh\n"),
    (
        "etc/init.d/rcS",
        "#!/bin/sh\nfor i in /etc/init.d/S??*; do $i start; done\nif [ -f /x ]; then telnetd -l /bin/sh; fi\n",
    ),
    (
        "etc/init.d/S50d",
        "#!/bin/sh\nf() { start-stop-daemon -S -x /usr/sbin/telnetd -- -p ${PORT:-23}; }\ncase \"$1\" in start) f;; esac\n",
    ),
    ("etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nPermitRootLogin yes\n"),
    ("etc/fstab", "/dev/root / ext4 ro 0 1\n"),
    ("etc/crontab", "*/5 * * * * root /opt/job.sh\n"),
    ("etc/inetd.conf", "telnet stream tcp nowait root /usr/sbin/telnetd telnetd\n"),
    (
        "etc/lighttpd/lighttpd.conf",
        "server.document-root = \"/www\"\nssl.pemfile = \"/etc/web.pem\"\n",
    ),
    ("etc/systemd/system/x.service", "[Service]\nExecStart=-/usr/bin/x \\\n --a %i\nUser=y\n"),
    ("var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nVersion: 1\n\n"),
    ("lib/apk/db/installed", "C:Q1\nP:musl\nV:1\nF:lib\nR:x\n\n"),
    (
        "root/.ssh/authorized_keys",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJxVh8Qn3x8m0d0Y0m8r3c9Q2yqKq1m0g4m3Zb1Lw5fP a@b\n",
    ),
    ("etc/config/uhttpd", "config uhttpd main\n\toption home '/www'\n\toption key 'secret1234'\n"),
];

fn tree(change: impl Fn(usize, &[u8]) -> Vec<u8>) -> Tree {
    let start = Tree::new()
        .file("bin/busybox", "x")
        .link("sbin/init", "../bin/busybox")
        .link("bin/sh", "busybox");
    FILES
        .iter()
        .enumerate()
        .fold(start, |tree, (i, (path, text))| tree.file(path, change(i, text.as_bytes())))
}

#[test]
fn truncated_at_fifty_places() {
    for part in 0..50_usize {
        let _ = tree(|_, bytes| bytes[..bytes.len() * part / 50].to_vec()).observe();
    }
}

#[test]
fn bits_flipped() {
    for round in 0..32_usize {
        let flip = |i: usize, bytes: &[u8]| {
            let mut out = bytes.to_vec();
            let at = (round * 31 + i * 7) % out.len();
            out[at] ^= 1 << (round % 8);
            out
        };
        let _ = tree(flip).observe();
    }
}

#[test]
fn the_same_twice() {
    let whole = |_: usize, bytes: &[u8]| bytes.to_vec();
    let first = tree(whole).observe();
    assert!(first.len() > 20, "{}", first.len());
    assert_eq!(first, tree(whole).observe());
    // Notes survive the cache they are kept in.
    for (path, text) in FILES {
        let notes = crate::content(crate::class(path, "data"), text.as_bytes());
        let text = serde_json::to_string(&notes).unwrap();
        assert_eq!(serde_json::from_str::<crate::Notes>(&text).unwrap(), notes);
    }
}
