//! gzip: deflate with a header that may carry a name and a time, and a CRC-32.
//!
//! Members that follow each other directly are one content, as `gzip -d` has it, unless
//! the next one carries a name of its own: then it is a file of its own.
//!
//! False positives: a header by chance needs three fixed bytes, no reserved flag, and
//! deflate data that decodes; a whole one has a right CRC-32.
//!
//! Source: RFC 1952.

use bytes::Bytes;
use proofmark_model::{Metadata, Proof};

use super::{candidate, emit, room};
use crate::{
    budget::Budget,
    codec::{Decoded, Error, check, deflate},
    format::{About, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Gzip;

static ABOUT: About = About {
    id: "gzip",
    name: "gzip",
    family: Family::Compression,
    revision: 1,
    metadata: "name, mtime",
    integrity: "CRC-32 and size of the content, CRC-16 of the header",
    limits: "none",
    sources: &["RFC 1952"],
};

/// What the header of a member says.
struct Header {
    length: usize,
    mtime: u32,
    os: u8,
    name: Option<Vec<u8>>,
    comment: Option<Vec<u8>>,
    crc_right: bool,
}

fn header(data: &[u8]) -> Option<Header> {
    let [0x1f, 0x8b, 8, flags, ..] = data else { return None };
    if flags & 0xe0 != 0 {
        return None;
    }
    let mut at = 10usize;
    if flags & 4 != 0 {
        at = at.checked_add(2)?.checked_add(usize::from(read::le16(data, at)?))?;
    }
    let mut text = |wanted: bool| -> Option<Option<Vec<u8>>> {
        if !wanted {
            return Some(None);
        }
        let rest = data.get(at..)?;
        let end = memchr::memchr(0, rest.get(..rest.len().min(4096))?)?;
        at = at.checked_add(end)?.checked_add(1)?;
        Some(Some(rest.get(..end)?.to_vec()))
    };
    let name = text(flags & 8 != 0)?;
    let comment = text(flags & 16 != 0)?;
    let mut crc_right = true;
    if flags & 2 != 0 {
        crc_right = u32::from(read::le16(data, at)?) == check::crc32(data.get(..at)?) & 0xffff;
        at = at.checked_add(2)?;
    }
    let (mtime, os) = (read::le32(data, 4)?, read::u8(data, 9)?);
    Some(Header { length: at, mtime, os, name, comment, crc_right })
}

/// Decodes all members that belong together; also how many there are.
fn decode(data: &[u8], max: usize, budget: &Budget) -> (Decoded, usize) {
    let mut all = Decoded::default();
    let mut members = 0usize;
    let mut first_name = None;
    loop {
        let at = all.consumed;
        let rest = data.get(at..).unwrap_or_default();
        let Some(head) = header(rest) else { break };
        if members > 0 && head.name.is_some() && head.name != first_name {
            break;
        }
        let body = rest.get(head.length..).unwrap_or_default();
        let part = deflate::inflate(body, max.saturating_sub(all.bytes.len()), budget);
        let whole = part.error.is_none();
        // What only looks like a further member is left to others.
        if members > 0 && !whole && part.bytes.is_empty() {
            break;
        }
        let end = head.length.saturating_add(part.consumed);
        all.consumed = at.saturating_add(end);
        let (crc, size) = (check::crc32(&part.bytes), part.bytes.len() as u32);
        let trailer = (read::le32(rest, end), read::le32(rest, end.saturating_add(4)));
        let wrong = match trailer {
            _ if !whole => part.error,
            (Some(c), Some(n)) => {
                all.consumed = all.consumed.saturating_add(8);
                ((c, n) != (crc, size)).then_some(Error::Checksum {
                    what: "CRC-32 or size in the gzip trailer",
                    at: end,
                })
            }
            _ => {
                all.consumed = data.len();
                Some(Error::Truncated { what: "gzip", at: data.len() })
            }
        };
        let wrong = wrong
            .or((!head.crc_right)
                .then_some(Error::Checksum { what: "CRC-16 of the gzip header", at }));
        all.error = all.error.or(wrong);
        if members == 0 {
            all.bytes = part.bytes;
            first_name = head.name;
        } else {
            all.bytes.append(&part.bytes, budget.spool());
        }
        members = members.saturating_add(1);
        if !whole {
            break;
        }
    }
    if members == 0 {
        all.error = Some(Error::Malformed { what: "no gzip header", at: 0 });
    }
    (all, members)
}

impl Format for Gzip {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"\x1f\x8b\x08")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let stream = data.get(at..)?;
        header(stream)?;
        candidate(at, decode(stream, room(budget), budget).0, Proof::ChecksumVerified)
    }

    fn open(&self, region: &Bytes, decoded: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let Some(head) = header(region) else { return };
        sink.attribute("compression", "deflate");
        sink.attribute("made-on", system(head.os));
        if let Some(comment) = head.comment {
            sink.attribute("comment", String::from_utf8_lossy(&comment));
        }
        let mtime = (head.mtime != 0).then_some(i64::from(head.mtime));
        let metadata = Metadata { mtime, ..Metadata::default() };
        emit(sink, head.name, metadata, decoded, || decode(region, room(budget), budget).0);
    }
}

/// The system byte in words.
fn system(os: u8) -> &'static str {
    match os {
        0 => "fat",
        3 => "unix",
        7 => "macintosh",
        10 | 11 => "ntfs",
        _ => "unknown",
    }
}
