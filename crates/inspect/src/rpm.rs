//! RPM's header blobs, in whichever database they lie.
//!
//! Establishes: the packages of `rpmdb.sqlite`, `Packages.db` (ndb) and
//! `Packages` (Berkeley DB hash).
//!
//! How: a blob begins with its two counts, followed by the region tag 63 and type
//! 7, by which it is found; SQLite and Berkeley DB cut large blobs into pages,
//! whose chains are followed first. Ndb keeps them whole.
//!
//! False negatives: a database whose page chains are damaged loses those packages.
//!
//! Limits: changelogs, dependencies and signatures are not read.
//!
//! Sources: rpm.org "Package format", "Header"; SQLite "Database File Format";
//! Berkeley DB `dbinc/db_page.h`; rpm `lib/backend/ndb/rpmpkg.c`.

use memchr::memmem;
use proofmark_model::fact::Package;

use crate::{notes::Range, packages::Recorded};

/// Headers read from one database.
const MOST: usize = 20_000;
/// Start of every header's index: the region tag, its type.
const REGION: &[u8] = &[0, 0, 0, 63, 0, 0, 0, 7];

fn be(data: &[u8], at: usize) -> Option<usize> {
    let bytes = data.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(bytes)).ok()
}

/// All packages of a database's bytes.
pub(crate) fn read(bytes: &[u8]) -> Vec<Recorded> {
    if bytes.starts_with(b"SQLite format 3\0") {
        return sqlite(bytes);
    }
    let magic = bytes.get(12..16);
    if magic == Some(&[0x61, 0x15, 6, 0]) || magic == Some(&[0, 6, 0x15, 0x61]) {
        return berkeley(bytes, magic == Some(&[0x61, 0x15, 6, 0]));
    }
    memmem::find_iter(bytes, REGION)
        .take(MOST)
        .filter_map(|at| {
            let start = at.checked_sub(8)?;
            recorded(bytes.get(start..)?, start as u64)
        })
        .collect()
}

fn recorded(blob: &[u8], at: u64) -> Option<Recorded> {
    let (package, length) = header(blob)?;
    let range: Range = (at, at.checked_add(length as u64)?);
    Some(Recorded { package, range })
}

/// A header: counts, index of 16-byte entries (tag, type, offset, count), store.
fn header(blob: &[u8]) -> Option<(Package, usize)> {
    let (count, size) = (be(blob, 0)?, be(blob, 4)?);
    if count > 1 << 16 || size > 64 << 20 {
        return None;
    }
    let store_at = count.checked_mul(16)?.checked_add(8)?;
    let end = store_at.checked_add(size)?;
    let store = blob.get(store_at..end)?;
    let entry = |tag: usize| {
        (0..count).find_map(|i| {
            let at = i.checked_mul(16)?.checked_add(8)?;
            (be(blob, at)? == tag).then_some(())?;
            Some((
                be(blob, at.checked_add(4)?)?,
                be(blob, at.checked_add(8)?)?,
                be(blob, at.checked_add(12)?)?,
            ))
        })
    };
    // String, string array, or translated string: NUL-terminated texts one after the other.
    let texts = |tag| {
        let Some((6 | 8 | 9, offset, n)) = entry(tag) else { return Vec::new() };
        let rest = store.get(offset..).unwrap_or_default();
        rest.split(|b| *b == 0)
            .take(n.min(200_000))
            .map(|t| String::from_utf8_lossy(t).into_owned())
            .collect()
    };
    let text = |tag| texts(tag).into_iter().next().filter(|t: &String| !t.is_empty());
    let numbers = |tag| {
        let Some((4, offset, n)) = entry(tag) else { return Vec::new() };
        (0..n.min(200_000))
            .map_while(|i| be(store, offset.checked_add(i.checked_mul(4)?)?))
            .collect::<Vec<_>>()
    };
    let (name, version, release) = (text(1000)?, text(1001)?, text(1002)?);
    let epoch = numbers(1003).first().map_or(String::new(), |e| format!("{e}:"));
    let (bases, folders, of) = (texts(1117), texts(1118), numbers(1116));
    let files = bases
        .iter()
        .zip(&of)
        .filter_map(|(base, i)| Some(format!("{}{base}", folders.get(*i)?.trim_start_matches('/'))))
        .collect();
    let package = Package {
        manager: "rpm".to_owned(),
        name,
        version: format!("{epoch}{version}-{release}"),
        architecture: text(1022),
        source: text(1044),
        installed: true,
        license: text(1014),
        files,
    };
    Some((package, end))
}

/// A variable-length integer of SQLite and its length.
fn varint(data: &[u8], at: usize) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for i in 0..9_usize {
        let byte = *data.get(at.checked_add(i)?)?;
        if i == 8 {
            return Some((value << 8 | u64::from(byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((value, i.checked_add(1)?));
        }
    }
    None
}

/// Every leaf cell of every table is looked at; the blobs are told by their shape.
fn sqlite(bytes: &[u8]) -> Vec<Recorded> {
    let read = || {
        let size = match u16::from_be_bytes(bytes.get(16..18)?.try_into().ok()?) {
            1 => 65_536,
            n => usize::from(n),
        };
        let usable = size.checked_sub(usize::from(*bytes.get(20)?))?;
        (usable >= 480).then_some((size, usable))
    };
    let Some((size, usable)) = read() else { return Vec::new() };
    let mut out = Vec::new();
    for (number, page) in bytes.chunks(size).enumerate() {
        let at = if number == 0 { 100_usize } else { 0 };
        if page.get(at) != Some(&0x0d) {
            continue;
        }
        let half = |i: usize| {
            Some(usize::from(u16::from_be_bytes(page.get(i..i.checked_add(2)?)?.try_into().ok()?)))
        };
        let cells = at.checked_add(3).and_then(half).unwrap_or(0);
        for i in 0..cells {
            let cell = || {
                let pointer = at.checked_add(8)?.checked_add(i.checked_mul(2)?)?;
                let mut place = half(pointer)?;
                let (length, n) = varint(page, place)?;
                place = place.checked_add(n)?;
                let (_, n) = varint(page, place)?;
                place = place.checked_add(n)?;
                let payload =
                    payload(bytes, page, place, usize::try_from(length).ok()?, size, usable)?;
                let inside =
                    memmem::find(payload.get(..payload.len().min(256))?, REGION)?.checked_sub(8)?;
                let start = number.checked_mul(size)?.checked_add(place)? as u64;
                let (package, _) = header(payload.get(inside..)?)?;
                let end =
                    start.checked_add(payload.len().min(page.len().saturating_sub(place)) as u64)?;
                Some(Recorded { package, range: (start, end) })
            };
            out.extend(cell());
            if out.len() >= MOST {
                return out;
            }
        }
    }
    out
}

/// The payload of a cell: its part on the page, and its overflow pages.
fn payload(
    bytes: &[u8],
    page: &[u8],
    at: usize,
    length: usize,
    size: usize,
    usable: usize,
) -> Option<Vec<u8>> {
    let most = usable.checked_sub(35)?;
    if length > bytes.len() {
        return None;
    }
    if length <= most {
        return Some(page.get(at..at.checked_add(length)?)?.to_vec());
    }
    // "Database File Format", 1.6: how much of the payload stays on the page.
    let least = usable.checked_sub(12)?.checked_mul(32)?.checked_div(255)?.checked_sub(23)?;
    let k = least.checked_add(length.checked_sub(least)?.checked_rem(usable.checked_sub(4)?)?)?;
    let local = if k <= most { k } else { least };
    let mut out = page.get(at..at.checked_add(local)?)?.to_vec();
    let mut next = be(page, at.checked_add(local)?)?;
    while next != 0 && out.len() < length {
        let start = next.checked_sub(1)?.checked_mul(size)?;
        let overflow = bytes.get(start..start.checked_add(usable)?)?;
        next = be(overflow, 0)?;
        let rest = length.checked_sub(out.len())?.min(overflow.len().checked_sub(4)?);
        out.extend(overflow.get(4..rest.checked_add(4)?)?);
    }
    (out.len() == length).then_some(out)
}

/// Hash pages whose items are references to chains of overflow pages.
fn berkeley(bytes: &[u8], little: bool) -> Vec<Recorded> {
    let word = |at: usize| {
        let b = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(if little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) }).ok()
    };
    let half = |at: usize| {
        let b = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(usize::from(if little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) }))
    };
    let Some(size) = word(20).filter(|s| (512..=65_536).contains(s)) else { return Vec::new() };
    let mut out = Vec::new();
    let pages = bytes.len().checked_div(size).unwrap_or(0);
    for page in (0..pages).filter_map(|p| p.checked_mul(size)) {
        // 2 and 13 are hash pages, unsorted and sorted.
        let kind = page.checked_add(25).and_then(|a| bytes.get(a));
        if !matches!(kind, Some(2 | 13)) {
            continue;
        }
        let items = page.checked_add(20).and_then(half).unwrap_or(0);
        for i in 0..items {
            let item = || {
                let at =
                    page.checked_add(half(page.checked_add(26)?.checked_add(i.checked_mul(2)?)?)?)?;
                // Type 3: an item off the page; its first page and its length.
                if *bytes.get(at)? != 3 {
                    return None;
                }
                let (mut next, length) = (word(at.checked_add(4)?)?, word(at.checked_add(8)?)?);
                if length > bytes.len() {
                    return None;
                }
                let start = next.checked_mul(size)?;
                let mut blob = Vec::new();
                while next != 0 && blob.len() < length {
                    let base = next.checked_mul(size)?;
                    let used = half(base.checked_add(22)?)?.min(size.checked_sub(26)?);
                    let from = base.checked_add(26)?;
                    blob.extend(
                        bytes.get(from..from.checked_add(used)?).filter(|b| !b.is_empty())?,
                    );
                    next = word(base.checked_add(16)?)?;
                }
                let (package, _) = header(&blob)?;
                Some(Recorded { package, range: (start as u64, start.checked_add(size)? as u64) })
            };
            out.extend(item());
            if out.len() >= MOST {
                return out;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SPEC: &str = "Name: hello-router\nVersion: 1.2\nRelease: 3\nEpoch: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%install\nmkdir -p %{buildroot}/usr/bin\necho x > %{buildroot}/usr/bin/hello\n%files\n/usr/bin/hello\n";

    fn run(folder: &std::path::Path, line: &str) {
        let out = Command::new("sh").arg("-c").arg(line).current_dir(folder).output().unwrap();
        let error = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success(), "{line}: {error}; install the package rpm");
    }

    #[test]
    fn a_database_and_a_header_of_the_real_tool() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::write(here.join("x.spec"), SPEC).unwrap();
        run(here, "rpmbuild -bb --define \"_topdir $PWD/b\" --define \"_builddir $PWD\" x.spec");
        run(here, "cp b/RPMS/noarch/*.rpm x.rpm && mkdir db");
        run(
            here,
            "rpm --dbpath $PWD/db --define '_db_backend sqlite' -i --justdb --nodeps --noscripts x.rpm",
        );
        // The main header of a package has the form that ndb keeps whole.
        for name in ["x.rpm", "db/rpmdb.sqlite"] {
            let bytes = std::fs::read(here.join(name)).unwrap();
            let found = read(&bytes);
            assert_eq!(found.len(), 1, "{name}");
            let p = &found[0].package;
            assert_eq!(
                (p.name.as_str(), p.version.as_str()),
                ("hello-router", "1:1.2-3"),
                "{name}"
            );
            assert_eq!(
                (p.license.as_deref(), p.files.as_slice()),
                (Some("MIT"), &["usr/bin/hello".to_owned()][..])
            );
            for i in 0..50 {
                let _ = read(&bytes[..bytes.len() * i / 50]);
                let mut damaged = bytes.clone();
                let at = i * 6007 % damaged.len();
                damaged[at] ^= 1 << (i % 8);
                let _ = read(&damaged);
            }
        }
    }
}
