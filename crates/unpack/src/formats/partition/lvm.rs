//! LVM2 physical volumes: label, metadata as text, logical volumes as runs of extents.
//!
//! Establishes: CRCs of label, metadata header and metadata text; the newest text is read. Each logical volume
//! is an entry: its linear segments that lie on this volume are there, everything else is zeros and a problem.
//! *Limits*: striped over several volumes, mirrors, RAID, thin pools, snapshots, caches; other volumes of the group.

use std::collections::BTreeMap;

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::blocks::{self, From};
use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::layout::{Layout, Reader, about, name_or},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Partition,
        "lvm2",
        "LVM2 physical volume",
        "names of group and logical volumes, extent size",
        "crc32 of label, metadata header and text; extents against the volume's size",
        "segments other than linear; other volumes of the group",
        "https://github.com/libyal/libvslvm/blob/main/documentation/Logical%20Volume%20Manager%20(LVM)%20format.asciidoc"
    ),
    // The label stands in one of the first four sectors, nearly always the second.
    magics: &[
        Magic::anywhere(b"LVM2 001").after(512 + 24),
        Magic::anywhere(b"LVM2 001").after(24),
        Magic::anywhere(b"LVM2 001").after(1024 + 24),
        Magic::anywhere(b"LVM2 001").after(1536 + 24),
    ],
    read: lvm,
};

const SECTOR: u64 = 512;

/// LVM's CRC-32: the usual polynomial from another start, not inverted.
fn crc(data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!0xF597_A6CF);
    hasher.update(data);
    !hasher.finalize()
}

fn lvm(data: &Bytes, budget: &Budget) -> Option<Layout> {
    // Which sector the label is in, it says itself.
    let (at, label) = (0..4_usize).find_map(|sector| {
        let at = sector.checked_mul(512)?;
        let label = read::slice(data, at, 512)?;
        let right = label.starts_with(b"LABELONE")
            && read::le64(label, 8)? == sector as u64
            && read::le32(label, 16)? == crc(label.get(20..)?);
        right.then_some((at, label))
    })?;
    let header = read::index(read::le32(label, 20)?.into())?.checked_add(at)?;
    let size = read::le64(data, header.checked_add(32)?)?;
    let mut areas = header.checked_add(40)?;
    let mut lists = [None, None];
    for list in &mut lists {
        loop {
            let (offset, len) =
                (read::le64(data, areas)?, read::le64(data, areas.checked_add(8)?)?);
            areas = areas.checked_add(16)?;
            if offset == 0 {
                break;
            }
            list.get_or_insert((offset, len));
        }
    }
    let [Some((first_extent, _)), Some((metadata, metadata_len))] = lists else { return None };
    if size < first_extent || size == 0 {
        return None;
    }
    let mut layout = Layout::new(data, size, Proof::ChecksumVerified);
    layout.structure(0, read::index(first_extent)?);
    let uuid = read::slice(data, header, 32)?;
    layout.attribute("uuid", String::from_utf8_lossy(uuid));
    let text = match text(data, metadata, metadata_len, budget) {
        Ok(text) => text,
        Err(why) => {
            layout.problem(ProblemKind::Malformed, why);
            return Some(layout);
        }
    };
    let Some(group) = parse(&text, budget).and_then(|root| {
        root.into_iter().find_map(|(name, value)| match value {
            Value::Section(section) => Some((name, section)),
            _ => None,
        })
    }) else {
        layout.problem(ProblemKind::Malformed, "the metadata text cannot be read");
        return Some(layout);
    };
    volumes(data, &mut layout, &group.0, &group.1, uuid, first_extent);
    Some(layout)
}

/// The newest metadata text; it goes on at the start of its ring where it reaches the end.
fn text(data: &[u8], metadata: u64, len: u64, budget: &Budget) -> Result<String, &'static str> {
    const RING: u64 = 512;
    let read_it = || {
        let at = read::index(metadata)?;
        let head = read::slice(data, at, 512)?;
        if head.get(4..20)? != b" LVM2 x[5A%r0N*>" || read::le32(head, 0)? != crc(head.get(4..)?) {
            return Some(Err("the metadata header's magic or crc32 is not right"));
        }
        let (offset, size, sum) =
            (read::le64(head, 40)?, read::le64(head, 48)?, read::le32(head, 56)?);
        budget.work(size).ok()?;
        let end = len.min(offset.checked_add(size)?);
        let first = read::slice(
            data,
            read::index(metadata.checked_add(offset)?)?,
            read::index(end.checked_sub(offset)?)?,
        )?;
        let rest = read::index(size)?.checked_sub(first.len())?;
        let second = read::slice(data, read::index(metadata.checked_add(RING)?)?, rest)?;
        let whole = [first, second].concat();
        Some(if crc(&whole) == sum {
            Ok(String::from_utf8_lossy(read::until_nul(&whole)).into_owned())
        } else {
            Err("the crc32 of the metadata text is not right")
        })
    };
    read_it().unwrap_or(Err("the metadata lies outside of the volume"))
}

/// Logical volumes whose extents lie on the physical volume `uuid`.
fn volumes(
    data: &Bytes,
    layout: &mut Layout,
    name: &str,
    group: &Section,
    uuid: &[u8],
    first_extent: u64,
) {
    layout.attribute("group", name);
    let Some(extent) = group.number("extent_size").and_then(|n| n.checked_mul(SECTOR)) else {
        layout.problem(ProblemKind::Malformed, "the group has no extent size");
        return;
    };
    layout.attribute("extent-size", extent);
    let mine = group.section("physical_volumes").and_then(|all| {
        all.sections().find(|(_, pv)| {
            pv.text("id")
                .is_some_and(|id| id.bytes().filter(|b| *b != b'-').eq(uuid.iter().copied()))
        })
    });
    let Some((mine, _)) = mine else {
        layout.problem(ProblemKind::Malformed, "the group does not list this volume");
        return;
    };
    for (name, volume) in group.section("logical_volumes").into_iter().flat_map(Section::sections) {
        let mut pieces: Vec<blocks::Piece> = Vec::new();
        let mut problems = Vec::new();
        let mut size = 0_u64;
        for (_, segment) in volume.sections().filter(|(key, _)| key.starts_with("segment")) {
            let bytes = |key| segment.number(key).and_then(|n| n.checked_mul(extent));
            let (Some(start), Some(len)) = (bytes("start_extent"), bytes("extent_count")) else {
                continue;
            };
            size = size.max(start.saturating_add(len));
            let linear = segment.text("type") == Some("striped")
                && segment.number("stripe_count") == Some(1);
            let stripe = segment.list("stripes").filter(|_| linear);
            match stripe {
                Some([Value::Text(pv), Value::Number(from)]) if pv == mine => {
                    let from = from.saturating_mul(extent).saturating_add(first_extent);
                    layout.structure(
                        read::index(from).unwrap_or(usize::MAX),
                        read::index(len).unwrap_or(0),
                    );
                    if from.saturating_add(len) > data.len() as u64 {
                        problems.push(
                            Problem::new(
                                ProblemKind::Truncated,
                                "extents lie behind the end of the volume",
                            )
                            .at(start),
                        );
                    }
                    pieces.push((start, len, From::At(from)));
                }
                Some(_) => problems.push(
                    Problem::new(
                        ProblemKind::Incomplete,
                        "a segment lies on another physical volume; zeros",
                    )
                    .at(start),
                ),
                None => {
                    let kind = segment.text("type").unwrap_or("unknown");
                    let text = format!("segments of type `{kind}` are not put together; zeros");
                    problems.push(Problem::new(ProblemKind::Unsupported, text).at(start));
                }
            }
        }
        let mut entry = Entry::file(name_or(name, "volume"), Blob::None);
        entry.problems = problems;
        entry.blob = match pieces[..] {
            [(0, len, From::At(from))] if len == size => {
                let (from, to) = (read::index(from), read::index(from.saturating_add(len)));
                let bound = |v: Option<usize>| v.unwrap_or(usize::MAX).min(data.len());
                Blob::Bytes(data.slice(bound(from)..bound(to)))
            }
            _ => blocks::disk(data, size, pieces),
        };
        layout.entry(0..0, entry);
    }
}

/// A value of the metadata text.
enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
    Section(Section),
}

/// `name { ... }`, in the order of names.
#[derive(Default)]
struct Section(BTreeMap<String, Value>);

impl Section {
    fn number(&self, key: &str) -> Option<u64> {
        match self.0.get(key)? {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    fn list(&self, key: &str) -> Option<&[Value]> {
        match self.0.get(key)? {
            Value::List(l) => Some(l),
            _ => None,
        }
    }

    fn section(&self, key: &str) -> Option<&Section> {
        match self.0.get(key)? {
            Value::Section(s) => Some(s),
            _ => None,
        }
    }

    fn sections(&self) -> impl Iterator<Item = (&str, &Section)> {
        self.0.iter().filter_map(|(name, value)| match value {
            Value::Section(section) => Some((name.as_str(), section)),
            _ => None,
        })
    }
}

impl IntoIterator for Section {
    type Item = (String, Value);
    type IntoIter = std::collections::btree_map::IntoIter<String, Value>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Words of the text: `{`, `}`, `[`, `]`, `=`, quoted texts with their first quote, and others.
fn words(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        let Some(first) = rest.chars().next() else { return found };
        let end = match first {
            '#' => {
                rest = rest.find('\n').and_then(|n| rest.get(n..)).unwrap_or("");
                continue;
            }
            '{' | '}' | '[' | ']' | '=' => 1,
            '"' => {
                // A quote behind a backslash does not end it.
                let mut escaped = false;
                let close = rest.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                close.map_or(rest.len(), |(n, _)| n)
            }
            _ => rest
                .find(|c: char| c.is_whitespace() || "{}[]=,#\"".contains(c))
                .unwrap_or(rest.len()),
        };
        let (word, tail) = rest.split_at(end);
        found.push(word);
        rest = if first == '"' { tail.strip_prefix('"').unwrap_or(tail) } else { tail };
    }
}

fn value(word: &str) -> Value {
    match word.strip_prefix('"') {
        Some(text) => Value::Text(text.to_owned()),
        None => word.parse().map_or_else(|_| Value::Text(word.to_owned()), Value::Number),
    }
}

/// The text as sections. Sections that are nested deeper than the format does are refused.
fn parse(text: &str, budget: &Budget) -> Option<Section> {
    budget.work(text.len() as u64).ok()?;
    let words = words(text);
    let mut words = words.into_iter().peekable();
    let mut stack = vec![(String::new(), Section::default())];
    while let Some(word) = words.next() {
        let top = stack.last_mut().map(|(_, section)| section)?;
        match (word, words.peek().copied()) {
            ("}", _) => {
                let (name, section) = stack.pop()?;
                stack.last_mut()?.1.0.insert(name, Value::Section(section));
            }
            (name, Some("{")) => {
                words.next();
                if stack.len() > 16 {
                    return None;
                }
                stack.push((name.to_owned(), Section::default()));
            }
            (name, Some("=")) => {
                words.next();
                let made = match words.next()? {
                    "[" => {
                        let mut list = Vec::new();
                        loop {
                            match words.next()? {
                                "]" => break Value::List(list),
                                word => list.push(value(word)),
                            }
                        }
                    }
                    word => value(word),
                };
                top.0.insert(name.to_owned(), made);
            }
            _ => return None,
        }
    }
    stack.pop().filter(|_| stack.is_empty()).map(|(_, section)| section)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    const UUID: &str = "abcdefABCDEF0123456789abcdefABCD";

    /// Two volumes of one and two extents of 4 KiB, the second in two pieces in the other order.
    fn build(segments: &str) -> (Vec<u8>, Vec<u8>) {
        let extents = noise(3 * 4096, 9);
        let dashed = "abcdef-ABCD-EF01-2345-6789-abcd-efABCD";
        let text = format!(
            "# Generated\nvg0 {{\nid = \"x\"\nseqno = 3\nstatus = [\"RESIZEABLE\", \"READ\"]\nextent_size = 8\n\
             physical_volumes {{\npv0 {{\nid = \"{dashed}\"\ndevice = \"/dev/loop0\" # hint \\\" only\npe_start = 2048\n}}\n}}\n\
             logical_volumes {{\nroot {{\nsegment_count = 1\nsegment1 {{\nstart_extent = 0\nextent_count = 1\n\
             type = \"striped\"\nstripe_count = 1\nstripes = [\n\"pv0\", 1\n]\n}}\n}}\n{segments}\n}}\n}}\ncontents = \"Text Format Volume Group\"\n\0"
        );
        let start = 1 << 20;
        let mut image = vec![0; start];
        let text_at = 4096 + 512 * 100;
        image[text_at..text_at + text.len()].copy_from_slice(text.as_bytes());
        let mut head = b"\0\0\0\0 LVM2 x[5A%r0N*>\x01\0\0\0".to_vec();
        for v in [4096_u64, (start - 4096) as u64, 512 * 100, text.len() as u64] {
            head.extend(v.to_le_bytes());
        }
        head.extend(crc(text.as_bytes()).to_le_bytes());
        head.resize(512, 0);
        let sum = crc(&head[4..]);
        head[..4].copy_from_slice(&sum.to_le_bytes());
        image[4096..4608].copy_from_slice(&head);
        let mut label = b"LABELONE\x01\0\0\0\0\0\0\0\0\0\0\0\x20\0\0\0LVM2 001".to_vec();
        label.extend(UUID.bytes());
        for v in [
            (start + extents.len()) as u64,
            start as u64,
            0,
            0,
            0,
            4096,
            (start - 4096) as u64,
            0,
            0,
        ] {
            label.extend(v.to_le_bytes());
        }
        label.resize(512, 0);
        let sum = crc(&label[20..]);
        label[16..20].copy_from_slice(&sum.to_le_bytes());
        image[512..1024].copy_from_slice(&label);
        image.extend(&extents);
        (image, extents)
    }

    const DATA: &str = "data {\nsegment1 {\nstart_extent = 0\nextent_count = 1\ntype = \"striped\"\nstripe_count = 1\n\
        stripes = [ \"pv0\", 2 ]\n}\nsegment2 {\nstart_extent = 1\nextent_count = 1\ntype = \"striped\"\n\
        stripe_count = 1\nstripes = [ \"pv0\", 0 ]\n}\n}";

    #[test]
    fn linear_volumes_are_put_together() {
        let (image, extents) = build(DATA);
        let opened = open_whole(&FORMAT, &image);
        assert_eq!(opened.files(), ["data", "root"]);
        assert_eq!(opened.content("root"), extents[4096..8192]);
        assert_eq!(opened.content("data"), [&extents[8192..], &extents[..4096]].concat());
        assert_eq!((opened.attribute("group"), opened.attribute("extent-size")), ("vg0", "4096"));
        torture(&FORMAT, &image[..(1 << 20) + 100]);
        assert!(open_at(&FORMAT, &noise(4096, 1), 0).is_none());
    }

    #[test]
    fn what_is_elsewhere_or_of_another_kind_is_said() {
        let (mut image, _) = build(&DATA.replace("\"pv0\", 2", "\"pv1\", 2").replacen(
            "\"striped\"\nstripe_count = 1\nstripes = [ \"pv0\", 0 ]",
            "\"thin\"",
            1,
        ));
        let opened = open(&FORMAT, &image);
        let data = opened.entries.iter().find(|e| e.path == b"data").unwrap();
        assert_eq!(
            data.problems.iter().map(|p| p.kind).collect::<Vec<_>>(),
            [ProblemKind::Incomplete, ProblemKind::Unsupported]
        );
        image[4096 + 512 * 100 + 5] ^= 1;
        assert_eq!(open(&FORMAT, &image).problems[0].kind, ProblemKind::Malformed);
    }

    /// The start value is that of LVM's own `crc.c`.
    #[test]
    fn the_checksum_is_that_of_lvm() {
        assert_eq!(crc(b""), 0xF597_A6CF);
    }
}
