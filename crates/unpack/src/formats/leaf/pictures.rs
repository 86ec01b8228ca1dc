//! PNG, JPEG, GIF, RIFF, SVG, PDF and pcapng: each is walked to its own end.
//!
//! PNG has a CRC-32 per chunk, which must be right; the others have lengths or end marks only. SVG is text and is only
//! taken at the start of a content: a picture inside a page is part of that page.

use bytes::Bytes;
use memchr::memmem;
use proofmark_model::{ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::Magic,
    formats::{
        layout::{Layout, Reader, about},
        sums,
    },
    read::{self, Order},
};

/// PNG.
pub static PNG: Reader = Reader {
    about: about!(
        Leaf,
        "png",
        "PNG picture",
        "width, height",
        "crc32 of each chunk, end chunk",
        "",
        "RFC 2083"
    ),
    magics: &[Magic::anywhere(b"\x89PNG\r\n\x1a\n")],
    read: png,
};

/// JPEG.
pub static JPEG: Reader = Reader {
    about: about!(
        Leaf,
        "jpeg",
        "JPEG picture",
        "none",
        "segment lengths, end mark",
        "",
        "ITU-T T.81"
    ),
    magics: &[
        Magic::anywhere(b"\xff\xd8\xff\xe0"),
        Magic::anywhere(b"\xff\xd8\xff\xe1"),
        Magic::anywhere(b"\xff\xd8\xff\xdb"),
        Magic::anywhere(b"\xff\xd8\xff\xee"),
    ],
    read: jpeg,
};

/// GIF.
pub static GIF: Reader = Reader {
    about: about!(
        Leaf,
        "gif",
        "GIF picture",
        "width, height",
        "block lengths, trailer",
        "",
        "GIF89a specification"
    ),
    magics: &[Magic::anywhere(b"GIF87a"), Magic::anywhere(b"GIF89a")],
    read: gif,
};

/// RIFF: WAVE, AVI, WebP.
pub static RIFF: Reader = Reader {
    about: about!(
        Leaf,
        "riff",
        "RIFF (WAVE, AVI, WebP)",
        "kind",
        "chunks fill the declared size",
        "",
        "Microsoft, Multimedia Programming Interface 1.0"
    ),
    magics: &[Magic::anywhere(b"RIFF")],
    read: riff,
};

/// PDF.
pub static PDF: Reader = Reader {
    about: about!(
        Leaf,
        "pdf",
        "PDF document",
        "version",
        "end mark",
        "streams inside are not opened",
        "ISO 32000-1"
    ),
    magics: &[Magic::anywhere(b"%PDF-1."), Magic::anywhere(b"%PDF-2.")],
    read: pdf,
};

/// SVG.
pub static SVG: Reader = Reader {
    about: about!(
        Leaf,
        "svg",
        "SVG picture",
        "none",
        "end tag",
        "only at the start of a content",
        "W3C SVG 1.1"
    ),
    magics: &[Magic::start(b"<svg ")],
    read: |data, _| {
        let end = memmem::rfind(data, b"</svg>")?.checked_add(6)?;
        let rest = data.get(end..)?;
        let text = std::str::from_utf8(data.get(..end)?).is_ok()
            && rest.iter().all(u8::is_ascii_whitespace);
        text.then(|| Layout::leaf(data, data.len() as u64, Proof::LengthsConsistent))
    },
};

/// pcapng.
pub static PCAPNG: Reader = Reader {
    about: about!(
        Leaf,
        "pcapng",
        "pcapng capture",
        "blocks",
        "both lengths of each block",
        "",
        "draft-ietf-opsawg-pcapng"
    ),
    magics: &[Magic::anywhere(b"\x0a\x0d\x0d\x0a")],
    read: pcapng,
};

fn png(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let mut at = 8_usize;
    let mut right = true;
    let (mut ended, mut chunks) = (false, 0_u32);
    while let Some(len) = read::be32(data, at) {
        let body = at.checked_add(4)?;
        let size = read::index(len.into())?.checked_add(4)?;
        let (Some(covered), Some(crc)) =
            (read::slice(data, body, size), read::be32(data, body.checked_add(size)?))
        else {
            break;
        };
        budget.work(size as u64).ok()?;
        let fits = sums::crc32(covered) == crc;
        // The first chunk tells chance apart.
        if chunks == 0 && !(fits && covered.starts_with(b"IHDR")) {
            return None;
        }
        right &= fits;
        chunks = chunks.checked_add(1)?;
        at = body.checked_add(size)?.checked_add(4)?;
        if covered.starts_with(b"IEND") {
            ended = true;
            break;
        }
    }
    if chunks == 0 || !data.starts_with(b"\x89PNG\r\n\x1a\n") {
        return None;
    }
    let proof = if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
    let mut layout = Layout::leaf(data, at as u64, proof);
    if !ended {
        layout.problem(ProblemKind::Truncated, "the picture ends without its last chunk");
    }
    if !right {
        layout.problem(ProblemKind::Checksum, "the crc32 of a chunk does not match");
    }
    layout.attribute("width", read::be32(data, 16)?);
    layout.attribute("height", read::be32(data, 20)?);
    Some(layout)
}

fn jpeg(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let mut at = 2_usize;
    let mut tables = 0_u32;
    loop {
        let (mark, kind) = (read::u8(data, at)?, read::u8(data, at.checked_add(1)?)?);
        budget.work(16).ok()?;
        match (mark, kind) {
            (0xFF, 0xFF) => at = at.checked_add(1)?,
            (0xFF, 0xD9) if tables > 1 => {
                return Some(Layout::leaf(
                    data,
                    at.checked_add(2)? as u64,
                    Proof::LengthsConsistent,
                ));
            }
            (0xFF, 0xC0..=0xCF | 0xDA..=0xEF | 0xFE) => {
                tables = tables.saturating_add(1);
                let len = read::be16(data, at.checked_add(2)?)?;
                at = at.checked_add(2)?.checked_add(len.into())?;
                if kind == 0xDA {
                    at = coded(data, at, budget)?;
                }
            }
            _ => return None,
        }
    }
}

/// Behind the head of a scan: where the next mark is that is neither stuffing nor a restart.
fn coded(data: &[u8], mut at: usize, budget: &Budget) -> Option<usize> {
    loop {
        let rest = data.get(at..)?;
        let next = memchr::memchr(0xFF, rest);
        budget.work(next.unwrap_or(rest.len()) as u64).ok()?;
        at = at.checked_add(next?)?;
        if !matches!(read::u8(data, at.checked_add(1)?)?, 0 | 0xD0..=0xD7) {
            return Some(at);
        }
        at = at.checked_add(2)?;
    }
}

fn gif(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let table =
        |flags: u8| if flags & 0x80 == 0 { 0 } else { 3_usize << (flags & 7).saturating_add(1) };
    let mut at = 13_usize.checked_add(table(read::u8(data, 10)?))?;
    let mut blocks = 0_u32;
    loop {
        budget.work(16).ok()?;
        match read::u8(data, at)? {
            0x3B if blocks > 0 => break,
            0x2C => {
                at = at.checked_add(11)?.checked_add(table(read::u8(data, at.checked_add(9)?)?))?
            }
            0x21 => at = at.checked_add(2)?,
            _ => return None,
        }
        blocks = blocks.saturating_add(1);
        loop {
            let len = usize::from(read::u8(data, at)?);
            at = at.checked_add(1)?.checked_add(len)?;
            budget.work(8).ok()?;
            if len == 0 {
                break;
            }
        }
    }
    let mut layout = Layout::leaf(data, at.checked_add(1)? as u64, Proof::DecoderEnded);
    layout.attribute("width", read::le16(data, 6)?);
    layout.attribute("height", read::le16(data, 8)?);
    Some(layout)
}

fn riff(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let size = read::index(read::le32(data, 4)?.into())?;
    let kind = data.get(8..12)?;
    if !data.starts_with(b"RIFF")
        || !matches!(kind, b"WAVE" | b"AVI " | b"WEBP" | b"RMID" | b"ACON")
    {
        return None;
    }
    let end = size.checked_add(8)?;
    let mut at = 12_usize;
    while at < end {
        budget.work(8).ok()?;
        let len = read::index(read::le32(data, at.checked_add(4)?)?.into())?;
        at = at.checked_add(8)?.checked_add(len.checked_next_multiple_of(2)?)?;
    }
    // The last chunk's alignment may be left out.
    if at > end.checked_add(1)? {
        return None;
    }
    let mut layout = Layout::leaf(data, end as u64, Proof::LengthsConsistent);
    layout.attribute("kind", String::from_utf8_lossy(kind).trim().to_owned());
    Some(layout)
}

fn pdf(data: &Bytes, budget: &Budget) -> Option<Layout> {
    // Changes are appended, each with an end mark: the last one before another document counts.
    let stop = memmem::find(data.get(8..)?, b"%PDF-").map_or(data.len(), |n| n.saturating_add(8));
    budget.work(stop as u64).ok()?;
    let end = memmem::rfind(data.get(..stop)?, b"%%EOF")?.checked_add(5)?;
    let line = data.get(end..)?.iter().take(2).take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let version = data.get(5..8)?;
    let shaped = matches!(version, [b'0'..=b'9', b'.', b'0'..=b'9']);
    if !data.starts_with(b"%PDF-")
        || !shaped
        || memmem::find(data.get(..end)?, b"startxref").is_none()
    {
        return None;
    }
    let mut layout = Layout::leaf(data, end.checked_add(line)? as u64, Proof::LengthsConsistent);
    layout.attribute("version", String::from_utf8_lossy(version));
    Some(layout)
}

fn pcapng(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let order = match read::le32(data, 8)? {
        0x1A2B_3C4D => Order::Little,
        0x4D3C_2B1A => Order::Big,
        _ => return None,
    };
    let (mut at, mut blocks) = (0_usize, 0_u32);
    while let Some(len) = order.u32(data, at.checked_add(4)?).and_then(|n| read::index(n.into())) {
        budget.work(16).ok()?;
        let again = len.checked_sub(4).and_then(|n| order.u32(data, at.checked_add(n)?));
        if len < 12
            || !len.is_multiple_of(4)
            || again.and_then(|n| read::index(n.into())) != Some(len)
        {
            break;
        }
        at = at.checked_add(len)?;
        blocks = blocks.saturating_add(1);
    }
    if blocks == 0 {
        return None;
    }
    let mut layout = Layout::leaf(data, at as u64, Proof::LengthsConsistent);
    layout.attribute("blocks", blocks);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, torture};

    fn chunk(kind: &[u8], body: &[u8]) -> Vec<u8> {
        let covered = [kind, body].concat();
        let len = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&len, &covered[..], &sums::crc32(&covered).to_be_bytes()].concat()
    }

    #[test]
    fn each_ends_where_it_says() {
        let png = [
            b"\x89PNG\r\n\x1a\n".to_vec(),
            chunk(b"IHDR", b"\0\0\0\x02\0\0\0\x03\x08\0\0\0\0"),
            chunk(b"IDAT", &[7; 90]),
            chunk(b"IEND", b""),
        ]
        .concat();
        let jpeg =
            b"\xff\xd8\xff\xe0\0\x04JF\xff\xdb\0\x03\0\xff\xda\0\x02abc\xff\0d\xff\xd0e\xff\xd9"
                .to_vec();
        let gif = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0\x3b".to_vec();
        let riff = b"RIFF\x10\0\0\0WAVEfmt \x04\0\0\0abcd".to_vec();
        let pdf = b"%PDF-1.4\n1 0 obj\nendobj\nstartxref\n0\n%%EOF\n".to_vec();
        let pcap = b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0".to_vec();
        for (format, file) in
            [(&PNG, png), (&JPEG, jpeg), (&GIF, gif), (&RIFF, riff), (&PDF, pdf), (&PCAPNG, pcap)]
        {
            open_whole(format, &file);
            torture(format, &file);
            let longer = [&file[..], b"xxxx behind it"].concat();
            assert_eq!(open(format, &longer).candidate.length, file.len(), "{}", format.about.id);
            let text = [
                &file[..6],
                b" as a text that is no such thing at all, only its first bytes".as_slice(),
            ]
            .concat();
            assert!(open_at(format, &text, 0).is_none(), "{}", format.about.id);
        }
        open_whole(&SVG, b"<svg xmlns='x'><g/></svg>\n");
        assert!(open_at(&SVG, b"<svg width=1> in a text", 0).is_none());
    }

    #[test]
    fn a_cut_picture_says_so() {
        let png =
            [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &[0; 13]), chunk(b"IDAT", &[7; 90])]
                .concat();
        assert_eq!(open(&PNG, &png).problems[0].kind, ProblemKind::Truncated);
    }
}
