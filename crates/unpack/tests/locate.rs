//! Locators lead back to the bytes they were written for, or say where the way ends.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod toybox;

use std::sync::LazyLock;

use proofmark_model::{Digest, EntryKind};
use proofmark_unpack::{Input, LocateError, Options, locate_with, scan::Scanner, unpack_with};
use toybox::encode::{stored, toybox};

static SCANNER: LazyLock<Scanner> = LazyLock::new(|| Scanner::new(vec![&toybox::Toybox]));

fn image() -> Input {
    let inner = toybox(&[stored("etc/passwd", "root:x:0:0\n"), stored("etc/passwd", "second\n")]);
    let boxed = toybox(&[
        stored("rootfs.toy", inner),
        stored("usr/sbin/telnetd", "not really a daemon\n"),
        stored("usr/sbin/dropbear", "nor this\n"),
    ]);
    let mut image = vec![0xff; 64];
    image.extend(boxed);
    image.extend([0; 32]);
    Input::bytes("fw.img", image)
}

fn get(locator: &str) -> Result<proofmark_unpack::Resolved, LocateError> {
    locate_with(&SCANNER, &image(), &locator.parse().unwrap(), &Options::default())
}

#[test]
fn every_locator_of_an_outcome_is_found_again() {
    let outcome = unpack_with(&SCANNER, image(), &Options::default(), &());
    assert!(outcome.artifacts.len() > 8);
    for a in &outcome.artifacts {
        let text = a.locator.to_string();
        let found = get(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(found.locator, a.locator);
        assert_eq!(found.bytes.len() as u64, a.size, "{text}");
        if a.locator.range.is_none() {
            assert_eq!((found.sha256, &found.format), (a.sha256, &a.format), "{text}");
            assert_eq!(found.entry, a.entry);
        }
    }
}

#[test]
fn ranges_ordinals_and_short_forms() {
    let r = get("fw.img@0x40:toybox/rootfs.toy@0x0:toybox/etc/passwd#2+0x0..0x3").unwrap();
    assert_eq!((&r.bytes[..], r.offset), (&b"sec"[..], 0));
    assert_eq!(r.sha256, Some(Digest::of(b"second\n")));
    let r = get("other-name@0x40:toybox/rootfs.toy+0x0..0x6").unwrap();
    assert_eq!(&r.bytes[..], b"TOYBOX");
    assert_eq!(r.entry, EntryKind::File);
    // The image is one container: its region step may be left out.
    assert_eq!(&get("fw.img/usr/sbin/telnetd").unwrap().bytes[..], b"not really a daemon\n");
    assert_eq!(get("fw.img").unwrap().bytes.len(), image_len());
}

fn image_len() -> usize {
    get("fw.img").unwrap().bytes.len()
}

#[test]
fn errors_name_what_is_there_instead() {
    for (locator, text) in [
        ("fw.img@0x44:toybox/x", "no region @0x44:toybox in fw.img; there is: @0x40:toybox"),
        (
            "fw.img@0x40:toybox/usr/sbin/telnet",
            "no entry /usr/sbin/telnet in fw.img@0x40:toybox/usr/sbin; there is: /usr/sbin/telnetd",
        ),
        (
            "fw.img@0x40:toybox/sbin/dropbear",
            "no entry /sbin/dropbear in fw.img@0x40:toybox; there is: /usr/sbin/dropbear",
        ),
        (
            "fw.img@0x40:toybox/rootfs.toy@0x0:toybox/etc/passwd#3",
            "no entry /etc/passwd#3 in fw.img@0x40:toybox/rootfs.toy@0x0:toybox/etc; \
             there is: /etc/passwd, /etc/passwd",
        ),
        (
            "fw.img/usr/sbin/telnetd@0x0:elf",
            "no region @0x0:elf in fw.img@0x40:toybox/usr/sbin/telnetd",
        ),
        (
            "fw.img+0x0..0x99999",
            &format!("fw.img has {:#x} bytes; the range ends at 0x99999", image_len()),
        ),
    ] {
        assert_eq!(get(locator).unwrap_err().to_string(), text);
    }
}
