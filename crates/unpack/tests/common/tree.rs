//! One tree of files with everything that file systems and archives can hold,
//! made on disk by ordinary calls and, for what needs privileges (owners, device
//! nodes, capabilities), under `fakeroot`, so that tests run as any user.
//!
//! ```no_run
//! let tree = tree::full().without(&["socket"]);
//! let dir = tempfile::tempdir().unwrap();
//! let image = tree.build(dir.path(), "mksquashfs tree image -noappend -quiet");
//! ```

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::FileExt as _, net::UnixListener},
    path::Path,
    process::{Command, Stdio},
};

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file with this content.
    File(Vec<u8>),
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink(&'static str),
    /// A second name of the file at this path.
    Hardlink(&'static str),
    /// Character device: major, minor.
    Char(u32, u32),
    /// Block device: major, minor.
    Block(u32, u32),
    /// Named pipe.
    Fifo,
    /// Socket.
    Socket,
}

/// A node of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: i64,
    /// Extended attributes by name.
    pub xattrs: BTreeMap<&'static str, Vec<u8>>,
}

/// Nodes by path (bytes, without leading slash).
#[derive(Debug, Clone, Default)]
pub struct Tree {
    /// The nodes.
    pub nodes: BTreeMap<Vec<u8>, Node>,
}

/// `len` bytes that do not compress, the same for the same `seed`.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// `len` bytes of text that compresses well and never repeats exactly.
pub fn prose(seed: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 64);
    let mut line = seed;
    while out.len() < len {
        writeln!(out, "line {line}: the quick brown fox jumps over the lazy dog {}", line * 7919)
            .unwrap();
        line += 1;
    }
    out.truncate(len);
    out
}

impl Tree {
    /// Adds a node and the folders above it.
    pub fn add(&mut self, path: impl AsRef<[u8]>, mode: u32, kind: Kind) -> &mut Node {
        let path = path.as_ref();
        for (i, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            if !self.nodes.contains_key(&path[..i]) {
                self.insert(&path[..i], 0o755, Kind::Dir);
            }
        }
        self.insert(path, mode, kind)
    }

    fn insert(&mut self, path: &[u8], mode: u32, kind: Kind) -> &mut Node {
        // Even, and distinct for each node: FAT keeps two-second steps.
        let mtime = 1_500_000_000 + 2 * self.nodes.len() as i64;
        let node = Node { kind, mode, uid: 0, gid: 0, mtime, xattrs: BTreeMap::new() };
        self.nodes.insert(path.to_vec(), node);
        self.nodes.get_mut(path).unwrap()
    }

    /// The tree without some of its features: `hardlinks` (they become files of their own), `symlinks`,
    /// `devices`, `fifo`, `socket`, `xattrs`, `raw-names` (not UTF-8), `odd-names` (anything that FAT does
    /// not allow), `owners` (all 0), `modes` (all 0755/0644), `large` (files over 64 KiB).
    #[must_use]
    pub fn without(mut self, features: &[&str]) -> Self {
        let has = |f: &str| features.contains(&f);
        let files: BTreeMap<_, _> = self.nodes.clone();
        self.nodes.retain(|path, node| {
            let odd = |b: &u8| *b < 0x20 || b"\"*/:<>?\\|".contains(b);
            let name = path.rsplit(|b| *b == b'/').next().unwrap();
            let large = matches!(&node.kind, Kind::File(c) if c.len() > 0x10000);
            let of_large = matches!(&node.kind, Kind::Hardlink(t)
                if matches!(&files[t.as_bytes()].kind, Kind::File(c) if c.len() > 0x10000));
            !(has("symlinks") && matches!(node.kind, Kind::Symlink(_))
                || has("devices") && matches!(node.kind, Kind::Char(..) | Kind::Block(..))
                || has("fifo") && node.kind == Kind::Fifo
                || has("socket") && node.kind == Kind::Socket
                || has("large") && (large || of_large)
                || has("raw-names") && std::str::from_utf8(path).is_err()
                || has("odd-names") && (name.iter().any(odd) || !name.is_ascii()))
        });
        for node in self.nodes.values_mut() {
            if has("hardlinks")
                && let Kind::Hardlink(target) = node.kind
            {
                let first = &files[target.as_bytes()];
                *node = Node { mtime: node.mtime, ..first.clone() };
            }
            if has("xattrs") {
                node.xattrs.clear();
            }
            if has("owners") {
                (node.uid, node.gid) = (0, 0);
            }
            if has("modes") {
                node.mode = if node.kind == Kind::Dir { 0o755 } else { 0o644 };
            }
        }
        self
    }

    /// Makes the tree as `dir/tree`, runs `command` there with `sh` under the same `fakeroot`, and returns
    /// the file `dir/image` that it must have made.
    pub fn build(&self, dir: &Path, command: &str) -> Vec<u8> {
        let root = dir.join("tree");
        let _ = fs::remove_dir_all(&root);
        let _ = fs::remove_file(dir.join("image"));
        fs::create_dir_all(&root).unwrap();
        let at = |path: &[u8]| root.join(OsStr::from_bytes(path));
        let mut script = String::from("set -e\n");
        for (path, node) in &self.nodes {
            let quoted = quote(&[b"tree/", &path[..]].concat());
            match &node.kind {
                Kind::File(content) => write_sparse(&at(path), content),
                Kind::Dir => fs::create_dir(at(path)).unwrap(),
                Kind::Symlink(target) => {
                    std::os::unix::fs::symlink(target, at(path)).unwrap();
                    script += &format!("chown -h {}:{} {quoted}\n", node.uid, node.gid);
                    script += &format!("touch -h -d @{} {quoted}\n", node.mtime);
                }
                Kind::Hardlink(_) => {}
                Kind::Char(major, minor) => {
                    script += &format!("mknod {quoted} c {major} {minor}\n");
                }
                Kind::Block(major, minor) => {
                    script += &format!("mknod {quoted} b {major} {minor}\n");
                }
                Kind::Fifo => script += &format!("mknod {quoted} p\n"),
                Kind::Socket => drop(UnixListener::bind(at(path)).unwrap()),
            }
            for (name, value) in &node.xattrs {
                let hex: String = value.iter().map(|b| format!("{b:02x}")).collect();
                script += &format!("setfattr -h -n {name} -v 0x{hex} {quoted}\n");
            }
        }
        for (path, node) in &self.nodes {
            if let Kind::Hardlink(target) = &node.kind {
                fs::hard_link(at(target.as_bytes()), at(path)).unwrap();
            }
        }
        // Owner, mode and time of everything but links, folders after what is in them.
        script += "perl -e 'while (<STDIN>) { chomp; my ($u, $g, $m, $t, $p) = split / /, $_, 5; \
                   $p =~ s/%([0-9a-f]{2})/chr hex $1/ge; \
                   chown($u, $g, $p) && chmod(oct $m, $p) && utime($t, $t, $p) or die \"$p: $!\" }' <list\n";
        let mut list = Vec::new();
        for (path, node) in self.nodes.iter().rev() {
            if matches!(node.kind, Kind::Symlink(_) | Kind::Hardlink(_)) {
                continue;
            }
            write!(list, "{} {} {:o} {} tree/", node.uid, node.gid, node.mode, node.mtime).unwrap();
            for b in path {
                write!(list, "%{b:02x}").unwrap();
            }
            list.push(b'\n');
        }
        fs::write(dir.join("list"), list).unwrap();
        script += "perl -e 'chown 0, 0, \"tree\"; chmod 0755, \"tree\"; utime 1600000000, 1600000000, \"tree\"'\n";
        script += command;
        run(dir, "fakeroot", &["sh", "-c", &script]);
        fs::read(dir.join("image")).unwrap_or_else(|e| panic!("`{command}` made no image: {e}"))
    }
}

/// Writes `content` with a hole wherever 4 KiB are zero.
fn write_sparse(path: &Path, content: &[u8]) {
    let file = fs::File::create(path).unwrap();
    file.set_len(content.len() as u64).unwrap();
    for (i, chunk) in content.chunks(4096).enumerate() {
        if chunk.iter().any(|b| *b != 0) {
            file.write_all_at(chunk, 4096 * i as u64).unwrap();
        }
    }
}

/// `bytes` as one word of a POSIX shell.
fn quote(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return format!("'{}'", text.replace('\'', r"'\''"));
    }
    let octal: String = bytes.iter().map(|b| format!("\\{b:03o}")).collect();
    format!("\"$(printf '{octal}')\"")
}

/// Runs a program in `dir`; what it says is shown when it fails.
pub fn run(dir: &Path, program: &str, args: &[&str]) {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("PATH", format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default()))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| {
            panic!("cannot run `{program}`: {e}; install the Debian package that has it")
        });
    assert!(
        output.status.success(),
        "`{program}` failed ({}). A program it needs may be missing (Debian packages: see CONTRIBUTING.md).\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// Everything.
pub fn full() -> Tree {
    use Kind::{Block, Char, Dir, Fifo, File, Hardlink, Socket, Symlink};
    let mut t = Tree::default();
    t.add("bin/busybox", 0o4755, File([noise(1, 150_000), prose(1, 250_000)].concat()));
    t.add("bin/ping", 0o755, File(prose(2, 9_000)));
    t.add("bin/sh", 0o777, Symlink("busybox"));
    t.add("bin/ls", 0o4755, Hardlink("bin/busybox"));
    t.add("dev/console", 0o600, Char(5, 1));
    t.add("dev/mtdblock3", 0o640, Block(31, 3));
    t.add("dev/pipe", 0o644, Fifo);
    t.add("dev/socket", 0o755, Socket);
    t.add("dev/ttyS300", 0o660, Char(200, 30));
    t.add("etc/empty", 0o644, File(Vec::new()));
    t.add("etc/fstab", 0o644, File(prose(3, 4096)));
    t.add("etc/hosts", 0o644, Hardlink("etc/fstab"));
    t.add("etc/passwd", 0o644, File(b"root:x:0:0:root:/root:/bin/sh\n".to_vec()));
    t.add("etc/shadow", 0o600, File(b"root:*:19000:0:99999:7:::\n".to_vec()));
    t.add("etc/mtab", 0o777, Symlink("/proc/mounts"));
    t.add("etc/long", 0o777, Symlink(LONG_TARGET));
    t.add("home/user", 0o700, Dir);
    let owned = t.add("home/user/notes.txt", 0o640, File(b"mine\n".to_vec()));
    (owned.uid, owned.gid) = (1000, 1001);
    let far = t.add("home/user/far.txt", 0o640, File(b"large ids\n".to_vec()));
    (far.uid, far.gid) = (65000, 64000);
    t.add("home/user/sub", 0o2775, Dir).gid = 1001;
    t.add("lost", 0o755, Dir);
    t.add("odd/with space", 0o644, File(b"space".to_vec()));
    t.add("odd/quote'\"$`", 0o644, File(b"quote".to_vec()));
    t.add(
        "odd/-dash and a rather long name that needs more than one slot.conf",
        0o644,
        File(b"d".to_vec()),
    );
    t.add("odd/colon:star*question?", 0o644, File(b"colon".to_vec()));
    t.add("odd/gr\u{fc}n \u{65e5}\u{672c}", 0o644, File(b"utf-8".to_vec()));
    t.add(b"odd/raw\xff\xfe", 0o644, File(b"not utf-8".to_vec()));
    t.add("odd/new\nline", 0o644, File(b"newline".to_vec()));
    t.add("odd/UPPER.TXT", 0o644, File(b"upper".to_vec()));
    t.add("tmp", 0o1777, Dir);
    t.add("usr/lib/block", 0o755, File(prose(4, 131_072)));
    t.add("usr/lib/noise", 0o644, File(noise(5, 700_001)));
    t.add("usr/lib/text", 0o644, File(prose(6, 1_000_003)));
    let mut sparse = vec![0; 1_500_000];
    sparse[..5000].copy_from_slice(&noise(7, 5000));
    sparse[900_000..900_100].copy_from_slice(&noise(8, 100));
    t.add("var/sparse", 0o644, File(sparse));
    t.add("var/zeros", 0o644, File(vec![0; 300_000]));
    for i in 0..300 {
        let content = format!("file number {i}\n").into_bytes();
        t.add(format!("var/many/entry-with-a-name-{i:03}"), 0o644, File(content));
    }
    let deep = (0..24).map(|i| format!("d{i}/")).collect::<String>();
    t.add(format!("deep/{deep}bottom"), 0o644, File(b"bottom".to_vec()));
    // A capability as the kernel stores it: version 2, effective, cap_net_raw.
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut attr = |path: &str, name, value: &[u8]| {
        t.nodes.get_mut(path.as_bytes()).unwrap().xattrs.insert(name, value.to_vec())
    };
    attr("bin/ping", "security.capability", &capability);
    attr("etc/passwd", "user.comment", b"a value with \0 and \xff");
    attr("etc/passwd", "user.mime", b"text/plain");
    attr("etc/shadow", "user.comment", b"a value with \0 and \xff");
    attr("home/user", "user.big", &noise(9, 700));
    t
}

/// Longer than any inline link.
const LONG_TARGET: &str = "../a/rather/long/target/that/does/not/fit/in/any/inode/because/it/is/longer/than/sixty/bytes/of/text";
