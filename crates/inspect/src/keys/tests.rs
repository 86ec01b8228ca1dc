use std::{path::Path, process::Command};

use proofmark_model::{
    Fact, Tri,
    fact::{Certificate, KeyRole, LoginKey, PrivateKey},
};

use crate::testing::Tree;

fn run(folder: &Path, line: &str) {
    let out = Command::new("sh").arg("-c").arg(line).current_dir(folder).output().unwrap();
    assert!(
        out.status.success(),
        "{line}: {}; install openssl, openssh-client, dropbear-bin",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn made(lines: &[&str], names: &[&str]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    lines.iter().for_each(|l| run(folder.path(), l));
    names.iter().map(|n| std::fs::read(folder.path().join(n)).unwrap()).collect()
}

fn keys(tree: &Tree) -> Vec<PrivateKey> {
    tree.facts(|f| match f {
        Fact::PrivateKey(k) => Some(k),
        _ => None,
    })
}

fn certificates(tree: &Tree) -> Vec<Certificate> {
    tree.facts(|f| match f {
        Fact::Certificate(c) => Some(c),
        _ => None,
    })
}

#[test]
fn every_encoding_of_one_key_has_one_public_half() {
    let files = made(
        &[
            "openssl genrsa -traditional -out rsa1.pem 2048",
            "openssl pkcs8 -topk8 -nocrypt -in rsa1.pem -out rsa8.pem",
            "openssl rsa -in rsa1.pem -traditional -outform DER -out rsa1.der",
            "openssl pkcs8 -topk8 -nocrypt -in rsa1.pem -outform DER -out rsa8.der",
            "cp rsa1.pem o && chmod 600 o && ssh-keygen -p -N '' -f o -q",
            "dropbearconvert openssh dropbear rsa1.pem d 2>/dev/null || /usr/lib/dropbear/dropbearconvert openssh dropbear rsa1.pem d",
        ],
        &["rsa1.pem", "rsa8.pem", "rsa1.der", "rsa8.der", "o", "d"],
    );
    let expected = ["pkcs1", "pkcs8", "pkcs1", "pkcs8", "openssh", "dropbear"];
    let mut publics = Vec::new();
    for (bytes, encoding) in files.iter().zip(expected) {
        let all = keys(&Tree::new().file("x/key", bytes));
        assert_eq!(all.len(), 1, "{encoding}");
        assert_eq!(
            (all[0].encoding.as_str(), all[0].algorithm.as_str(), all[0].bits),
            (encoding, "rsa", Some(2048))
        );
        assert!(!all[0].encrypted);
        publics.push(all[0].public.unwrap());
    }
    publics.dedup();
    assert_eq!(publics.len(), 1);
}

#[test]
fn curves_and_passphrases() {
    let files = made(
        &[
            "openssl ecparam -name prime256v1 -genkey -noout -out ec.pem",
            "openssl pkcs8 -topk8 -in ec.pem -passout pass:x -out enc.pem",
            "openssl genrsa -traditional -aes128 -passout pass:abcd -out old.pem 1024",
            "ssh-keygen -q -t ed25519 -N '' -f ed",
            "ssh-keygen -q -t ecdsa -N secret -f ecdsa",
            "openssl genpkey -algorithm ed25519 -out ed8.pem",
            "dropbearkey -t ed25519 -f dbed >/dev/null 2>&1",
            "openssl req -x509 -newkey rsa:1024 -nodes -keyout k.pem -out c.pem -subj /CN=x -days 1 2>/dev/null; openssl pkcs12 -export -in c.pem -inkey k.pem -passout pass:x -out p.p12",
        ],
        &["ec.pem", "enc.pem", "old.pem", "ed", "ecdsa", "ed8.pem", "dbed", "p.p12"],
    );
    let expected = [
        ("ec", Some(256), "sec1", false),
        ("unknown", None, "pkcs8", true),
        ("rsa", None, "pkcs1", true),
        ("ed25519", Some(256), "openssh", false),
        ("ec", Some(256), "openssh", true),
        ("ed25519", Some(256), "pkcs8", false),
        ("ed25519", Some(256), "dropbear", false),
        ("unknown", None, "pkcs12", true),
    ];
    for (bytes, (algorithm, bits, encoding, encrypted)) in files.iter().zip(expected) {
        let all = keys(&Tree::new().file("x/key", bytes));
        assert_eq!(all.len(), 1, "{encoding} {algorithm}");
        let k = &all[0];
        assert_eq!(
            (k.algorithm.as_str(), k.bits, k.encoding.as_str(), k.encrypted),
            (algorithm, bits, encoding, encrypted)
        );
    }
}

#[test]
fn roles_by_certificate_configuration_and_place() {
    let files = made(
        &[
            "openssl req -x509 -newkey rsa:1024 -sha1 -nodes -keyout k.pem -out c.pem -subj /C=XX/O=Test/CN=gateway -days 30",
            "openssl req -x509 -newkey rsa:2048 -nodes -keyout cak.pem -out ca.pem -subj /CN=authority -days 30 -addext basicConstraints=critical,CA:TRUE",
            "openssl x509 -in c.pem -outform DER -out c.der",
            "ssh-keygen -q -t ed25519 -N '' -f host",
        ],
        &["k.pem", "c.pem", "cak.pem", "ca.pem", "c.der", "host"],
    );
    let tree = Tree::new()
        .folder("bin")
        .file("sbin/init", "#!/bin/sh\n/usr/sbin/sshd\n")
        .file("usr/sbin/sshd", "\u{7f}x")
        .file("etc/lighttpd/lighttpd.conf", "ssl.pemfile = \"/etc/web.pem\"\n")
        .file("etc/web.pem", [files[0].clone(), files[1].clone()].concat())
        .file("etc/lone.pem", &files[2])
        .file("etc/lone-ca.pem", &files[3])
        .file("etc/cert.der", &files[4])
        .file("etc/ssh/ssh_host_ed25519_key", &files[5])
        .file("usr/share/doc/x/examples/k.pem", &files[0])
        .file("etc/init.d/S1", "#!/bin/sh\nrm -f /etc/lone.pem\n[ -f /etc/web.pem ] || openssl req -keyout /etc/web.pem\n");
    let all = keys(&tree);
    let role = |r: KeyRole| all.iter().filter(|k| k.role == r).collect::<Vec<_>>();
    assert_eq!(all.len(), 4);
    let server = role(KeyRole::Server);
    assert_eq!(
        (server.len(), server[0].used_by.as_deref(), server[0].bits),
        (1, Some("lighttpd"), Some(1024))
    );
    assert_eq!(server[0].replaced_at_first_boot, None, "only made where it is missing");
    let authority = role(KeyRole::Authority);
    assert!(
        authority[0].replaced_at_first_boot.as_ref().unwrap().contains("rm -f"),
        "{authority:?}"
    );
    let host = role(KeyRole::SshHost);
    assert_eq!(host[0].used_by.as_deref(), Some("sshd"));
    assert_eq!(role(KeyRole::TestVector).len(), 1);

    let certificates = certificates(&tree);
    let gateway = certificates.iter().find(|c| c.used_by.is_some()).unwrap();
    assert_eq!(
        (gateway.signature_algorithm.as_str(), gateway.key_bits, gateway.self_signed),
        ("sha1WithRSAEncryption", Some(1024), true)
    );
    assert!(gateway.subject.contains("CN=gateway") && gateway.subject.contains("O=Test"));
    assert!(gateway.not_after - gateway.not_before == 30 * 86_400);
    assert_eq!(Some(gateway.public), server[0].public);
    assert!(certificates.iter().any(|c| c.authority && c.subject == "CN=authority"));
    assert_eq!(certificates.iter().filter(|c| c.subject == gateway.subject).count(), 2);
    assert!(certificates.iter().all(|c| c.irregularities.is_empty()));
}

#[test]
fn a_key_in_a_program_and_a_broken_certificate() {
    let key =
        String::from_utf8(made(&["openssl genrsa -traditional -out k 1024"], &["k"]).remove(0))
            .unwrap();
    let mut program = vec![0_u8, 1, 2, 3];
    program.extend(key.as_bytes());
    program.push(0);
    let tree = Tree::new()
        .file("usr/bin/tool.bin", &program)
        .file("x.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    let found = keys(&tree);
    assert_eq!((found.len(), found[0].role), (1, KeyRole::Unknown));
    let traits = tree.facts(|f| match f {
        Fact::Trait(t) if t.name == "unreadable-certificate" => Some(t.value),
        _ => None,
    });
    assert_eq!(traits, ["x.pem"]);
    // A title alone, as parsers have it, is no key.
    let tree = Tree::new()
        .file("lib/x.so", b"\0-----BEGIN RSA PRIVATE KEY-----\0-----END RSA PRIVATE KEY-----\0");
    assert!(keys(&tree).is_empty());
}

#[test]
fn login_keys_and_whether_they_are_read() {
    let key = String::from_utf8(
        made(
            &["ssh-keygen -q -t ed25519 -N '' -C who@where -f k", "ssh-keygen -l -f k.pub > l"],
            &["k.pub"],
        )
        .remove(0),
    )
    .unwrap();
    let login_keys = |tree: &Tree| -> Vec<LoginKey> {
        tree.facts(|f| match f {
            Fact::LoginKey(k) => Some(k),
            _ => None,
        })
    };
    let base = || {
        Tree::new()
            .folder("bin")
            .file("sbin/init", "#!/bin/sh\n/usr/sbin/dropbear\n")
            .file("usr/sbin/dropbear", "\u{7f}x")
    };
    let tree = base()
        .file("root/.ssh/authorized_keys", format!("# c\nfrom=\"10.0.0.1 x\",no-pty {key}"))
        .file("etc/dropbear/authorized_keys", &key)
        .file("opt/authorized_keys", &key);
    let mut all = login_keys(&tree);
    all.sort_by_key(|k| k.user.clone());
    assert_eq!(all.len(), 3);
    assert_eq!((all[0].user.as_deref(), &all[0].honoured), (None, &Tri::No));
    for k in &all[1..] {
        assert_eq!(
            (k.user.as_deref(), &k.honoured, k.algorithm.as_str()),
            (Some("root"), &Tri::Yes, "ssh-ed25519")
        );
        assert_eq!(k.comment.as_deref(), Some("who@where"));
        assert!(k.fingerprint.starts_with("SHA256:") && k.fingerprint.len() == 50);
    }
}

#[test]
fn damage_never_panics() {
    let files = made(
        &[
            "openssl req -x509 -newkey rsa:1024 -nodes -keyout k.pem -out c.pem -subj /CN=x -days 1",
            "openssl x509 -in c.pem -outform DER -out c.der",
            "openssl rsa -in k.pem -outform DER -out k.der",
            "dropbearkey -t ed25519 -f d >/dev/null 2>&1",
        ],
        &["k.pem", "c.pem", "c.der", "k.der", "d"],
    );
    for bytes in files {
        for i in 0..50 {
            let _ = crate::content(crate::Class::Other, &bytes[..bytes.len() * i / 50]);
        }
        for i in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[i] ^= 1 << (i % 8);
            let _ = crate::content(crate::Class::Other, &damaged);
        }
    }
}
