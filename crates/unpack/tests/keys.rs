//! Encrypted containers: closed without a key, with the reason; open with the key that fits and only with it.
//! Made by the real tools where there are some.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::{fs, path::Path, process::Command, sync::Arc};

use common::tree::{noise, prose};
use proofmark_model::ProblemKind;
use proofmark_unpack::{
    Input, Observer, Options, Outcome,
    keys::{Key, Keyring, Openssl},
    locate, unpack,
};

fn password(format: &str, password: &str) -> Key {
    Key {
        name: format!("{format}, {password}"),
        format: format.into(),
        key: None,
        iv: None,
        password: Some(password.into()),
        openssl: Openssl::default(),
    }
}

fn options(keys: Vec<Key>) -> Options {
    Options { keys: Arc::new(Keyring::new(keys).unwrap()), ..Options::default() }
}

fn read(image: &[u8], keys: Vec<Key>) -> Outcome {
    unpack(Input::bytes("image", image.to_vec()), &options(keys), &())
}

fn encrypted(outcome: &Outcome) -> Vec<String> {
    let problems = outcome.artifacts.iter().flat_map(|a| &a.problems);
    problems.filter(|p| p.kind == ProblemKind::Encrypted).map(|p| p.message.clone()).collect()
}

fn has(outcome: &Outcome, content: &[u8]) -> bool {
    let digest = proofmark_model::Digest::of(content);
    outcome.artifacts.iter().any(|a| a.sha256 == Some(digest))
}

/// Runs a command in a folder with `text` and `noise`; the content of `out`.
fn make(command: &str, text: &[u8], random: &[u8]) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("text"), text).unwrap();
    fs::write(dir.path().join("noise"), random).unwrap();
    run(dir.path(), command);
    fs::read(dir.path().join("out")).unwrap()
}

#[track_caller]
fn run(dir: &Path, command: &str) {
    let done = Command::new("sh").args(["-ec", command]).current_dir(dir).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(
        done.status.success(),
        "{command}: {said} (Debian packages: 7z is p7zip-full, zip is zip, openssl is openssl)"
    );
}

#[test]
fn archives_open_with_their_password_only() {
    let (text, random) = (prose(7, 60_000), noise(7, 9_000));
    for (format, command) in [
        ("zip", "zip -q -P secret out.zip text noise && mv out.zip out"),
        ("zip", "7z a -tzip -mem=AES128 -psecret out.zip text noise && mv out.zip out"),
        ("zip", "7z a -tzip -mem=AES256 -psecret out.zip text noise && mv out.zip out"),
        ("7z", "7z a -psecret out.7z text noise && mv out.7z out"),
        ("7z", "7z a -mhe=on -psecret out.7z text noise && mv out.7z out"),
        ("7z", "7z a -ms=off -m0=PPMd -psecret out.7z text noise && mv out.7z out"),
    ] {
        let image = make(command, &text, &random);
        let closed = read(&image, Vec::new());
        let problems = encrypted(&closed);
        assert!(problems.iter().any(|p| p.contains("no key was given")), "{command}: {problems:?}");
        assert!(!has(&closed, &text), "{command}");
        let wrong = read(&image, vec![password(format, "wrong"), password(format, "Secret")]);
        assert!(encrypted(&wrong).iter().any(|p| p.contains("fits")), "{command}");
        assert!(!has(&wrong, &text), "{command}");
        let open = read(&image, vec![password(format, "wrong"), password(format, "secret")]);
        assert_eq!(encrypted(&open), [] as [&str; 0], "{command}");
        assert!(has(&open, &text) && has(&open, &random), "{command}: {:#?}", open.artifacts);
    }
}

#[test]
fn openssl_containers_open_with_the_parameters_of_the_call() {
    let (text, random) = (prose(8, 30_000), noise(8, 100));
    for (arguments, openssl) in [
        ("-aes-256-cbc -md sha256", Openssl::default()),
        ("-aes-128-cbc -md md5", Openssl { bits: 128, digest: "md5".into(), iterations: 0 }),
        (
            "-aes-256-cbc -pbkdf2 -md sha512 -iter 2000",
            Openssl { bits: 256, digest: "sha512".into(), iterations: 2000 },
        ),
    ] {
        let image =
            make(&format!("openssl enc {arguments} -k secret -in text -out out"), &text, &random);
        let key = Key { openssl, ..password("openssl-salted", "secret") };
        let open = read(&image, vec![password("openssl-salted", "wrong"), key.clone()]);
        assert!(has(&open, &text), "{arguments}: {:#?}", open.artifacts);
        let said = |key| open.artifacts.iter().find_map(|a| a.attributes.get(key));
        assert_eq!(said("decrypted-with").unwrap(), "openssl-salted, secret");
        assert_eq!(said("key-verified").unwrap(), "yes");
        assert!(!has(&read(&image, Vec::new()), &text));
        // The container of D-Link is the same behind a line of text.
        let wrapped = [b"MH01\n00112233445566778899aabbccddeeff\n".as_slice(), &image].concat();
        let key = Key { format: "dlink-mh01".into(), ..key };
        assert!(has(&read(&wrapped, vec![key]), &text), "{arguments}");
    }
}

/// `openssl enc` without salt: the cipher alone.
fn aes_cbc(plain: &[u8], key: &[u8], iv: &[u8], padding: bool) -> Vec<u8> {
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let pad = if padding { "" } else { "-nopad" };
    let bits = key.len() * 8;
    make(
        &format!(
            "openssl enc -aes-{bits}-cbc {pad} -K {} -iv {} -in text -out out",
            hex(key),
            hex(iv)
        ),
        plain,
        b"",
    )
}

#[test]
fn vendors_containers_open_with_the_vendors_key() {
    let (key, iv) = ([0x5A; 16], [0xC3; 16]);
    let plain = prose(9, 6400);
    let sealed = aes_cbc(&plain, &key, &iv, false);
    let sha512 = |bytes: &[u8]| {
        use sha2::Digest as _;
        sha2::Sha512::digest(bytes).to_vec()
    };
    let mut shrs = b"SHRS".to_vec();
    shrs.extend(6400_u32.to_be_bytes());
    shrs.extend(6400_u32.to_be_bytes());
    shrs.extend(iv);
    shrs.extend([1; 64]);
    shrs.extend(sha512(&plain));
    shrs.extend(sha512(&sealed));
    shrs.resize(0x2DC, 0);
    shrs.resize(0x6DC, 5);
    shrs.extend(&sealed);
    let given = |format: &str, iv: Option<[u8; 16]>| Key {
        name: "of the vendor".into(),
        format: format.into(),
        key: Some(key.to_vec()),
        iv: iv.map(Into::into),
        password: None,
        openssl: Openssl::default(),
    };
    assert!(has(&read(&shrs, vec![given("dlink-shrs", None)]), &plain));
    let other = Key { key: Some(vec![0; 16]), ..given("dlink-shrs", None) };
    let closed = read(&shrs, vec![other]);
    assert!(!has(&closed, &plain) && !encrypted(&closed).is_empty());

    let mut image = b"encrpted_img".to_vec();
    image.extend((16 + sealed.len() as u32).to_be_bytes());
    image.extend(&sealed);
    assert!(has(&read(&image, vec![given("dlink-encrpted-img", Some(iv))]), &plain));
    assert!(!has(&read(&image, vec![given("dlink-encrpted-img", None)]), &plain));
}

#[test]
fn a_locator_into_a_decrypted_body_opens_with_the_same_keys() {
    let text = prose(10, 5000);
    let image = make("zip -q -P secret out.zip text && mv out.zip out", &text, b"");
    let with = options(vec![password("zip", "secret")]);
    let input = Input::bytes("image", image);
    let outcome = unpack(input.clone(), &with, &());
    let digest = proofmark_model::Digest::of(&text);
    let found = outcome.artifacts.iter().find(|a| a.sha256 == Some(digest)).unwrap();
    assert_eq!(locate(&input, &found.locator, &with).unwrap().bytes, text);
    assert!(locate(&input, &found.locator, &Options::default()).unwrap().bytes.is_empty());
}

/// What was remembered without a key must not be recalled with one.
#[test]
fn keys_are_part_of_what_is_remembered() {
    use std::{collections::HashMap, sync::Mutex};
    #[derive(Default)]
    struct Remembers(Mutex<HashMap<proofmark_model::Digest, Vec<u8>>>);
    impl Observer for Remembers {
        fn remembers(&self) -> bool {
            true
        }
        fn recall(&self, key: &proofmark_model::Digest) -> Option<Vec<u8>> {
            self.0.lock().unwrap().get(key).cloned()
        }
        fn learn(&self, key: proofmark_model::Digest, value: Vec<u8>) {
            self.0.lock().unwrap().insert(key, value);
        }
    }
    let text = prose(11, 5000);
    let image = make("openssl enc -aes-256-cbc -k secret -in text -out out", &text, b"");
    let memory = Remembers::default();
    let run = |keys| unpack(Input::bytes("image", image.clone()), &options(keys), &memory);
    for _ in 0..2 {
        assert!(!has(&run(Vec::new()), &text));
        assert!(has(&run(vec![password("openssl-salted", "secret")]), &text));
    }
}

#[test]
fn every_method_of_7z_and_zip_is_decoded() {
    let text = prose(12, 300_000);
    // A program, for the filters.
    let program = fs::read("/bin/sh").unwrap();
    for command in [
        "7z a -m0=PPMd out.7z text noise && mv out.7z out",
        "7z a -m0=PPMd:o=32:mem=64m out.7z text noise && mv out.7z out",
        "7z a -m0=BCJ2 -m1=LZMA:d23 -m2=LZMA:d19 -m3=LZMA:d19 -mb0:1 -mb0s1:2 -mb0s2:3 out.7z text noise && mv out.7z out",
        "7z a -m0=Deflate64 out.7z text noise && mv out.7z out",
        "7z a -tzip -mm=Deflate64 out.zip text noise && mv out.zip out",
        "7z a -tzip -mm=PPMd out.zip text noise && mv out.zip out",
        "7z a -tzip -mm=LZMA out.zip text noise && mv out.zip out",
        "7z a -tzip -mm=BZip2 out.zip text noise && mv out.zip out",
    ] {
        let image = make(command, &text, &program);
        let outcome = read(&image, Vec::new());
        assert!(
            has(&outcome, &text) && has(&outcome, &program),
            "{command}: {:#?}",
            outcome.artifacts
        );
    }
}
