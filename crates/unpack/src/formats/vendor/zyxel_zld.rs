//! Zyxel ZLD images of access points: a header, a table of files, and the files one after the other.
//!
//! | offset | |
//! |---|---|
//! | 0 | sum of the words of an MD5 over everything but itself and the kernel's own header |
//! | 4 | `DEADBEAF`, in the byte order of the header |
//! | 8 | version, number of files, number of models, five models (16 bits each) |
//! | 24 | total length; at 28 place of the first file, length of the header, length of a row |
//! | 40 | version and model as text, 32 bytes each |
//! | 104 | rows of 272 bytes: kind, flags, length, sum, place in flash, name, target, revision, date |
//!
//! Establishes: the files by their targets; the kernel without its header of 512 bytes. *False positives*: none known;
//! the place of the first file must be the end of the table and the files must fit.
//! Source: OpenWrt firmware-utils, `mkzyxelzldfw.c` (layout).

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::{
        layout::{self, Layout, Reader, about, name_or},
        sums,
    },
    read::Order,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "zyxel-zld",
        "Zyxel ZLD firmware",
        "version, model; kind, target, revision and date of each file",
        "sums made of md5 over the package and each file",
        "the kernel's header is not an entry",
        "OpenWrt firmware-utils, mkzyxelzldfw.c (layout)"
    ),
    magics: &[
        Magic::anywhere(b"\xDE\xAD\xBE\xAF").after(4),
        Magic::anywhere(b"\xAF\xBE\xAD\xDE").after(4),
    ],
    read: read_layout,
};

const HEADER: usize = 104;
const ROW: usize = 272;
/// What stands in front of the kernel.
const KERNEL: usize = 512;
/// The kind of a kernel.
const IS_KERNEL: u16 = 2;
const KINDS: [&str; 7] = ["", "bm", "kernel", "core", "db", "conf", "wtp"];

/// The four words of an MD5 added up; 0 is not used.
fn sum<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let digest = sums::md5_of(pieces);
    let words = digest.as_chunks::<4>().0.iter().map(|w| u32::from_be_bytes(*w));
    words.fold(0_u32, u32::wrapping_add).max(1)
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let order = match data.get(4..8)? {
        b"\xDE\xAD\xBE\xAF" => Order::Big,
        b"\xAF\xBE\xAD\xDE" => Order::Little,
        _ => return None,
    };
    let (count, total, first) = (
        usize::from(order.u16(data, 10)?),
        order.u32(data, 24)?,
        usize::from(order.u16(data, 28)?),
    );
    let table = data.get(HEADER..first)?;
    if !(1..=32).contains(&count)
        || table.len() != count.checked_mul(ROW)?
        || (total as usize) < first
        || !layout::is_text_field(data.get(72..HEADER)?)
    {
        return None;
    }
    let mut layout = Layout::new(data, total.into(), Proof::LengthsConsistent);
    layout.structure(0, first);
    layout.attribute("version", layout::text(data, 40, 32)?);
    layout.attribute("model", layout::text(data, 72, 32)?);
    budget.work(u64::from(total).saturating_mul(2)).ok()?;
    let (mut at, mut kernel) = (first, None);
    for (n, row) in table.chunks_exact(ROW).enumerate() {
        let (kind, length, stored) =
            (order.u16(row, 0)?, order.u32(row, 4)? as usize, order.u32(row, 8)?);
        let end = at.checked_add(length).filter(|end| *end <= total as usize)?;
        let target = layout::text(row, 80, 128)?;
        let label = if target.is_empty() { layout::text(row, 16, 64)? } else { target };
        let fallback = KINDS.get(usize::from(kind)).copied().unwrap_or("file");
        let name = String::from_utf8_lossy(&name_or(&label, fallback)).into_owned();
        let mut start = at;
        if kind == IS_KERNEL && length >= KERNEL {
            layout.structure(at, KERNEL);
            start = at.checked_add(KERNEL)?;
            kernel.get_or_insert(at);
        }
        let mut entry = Entry::file(format!("{n}-{name}"), Blob::None);
        let right = data.get(start..end).is_none_or(|bytes| sum([bytes]) == stored);
        // Some releases leave it out.
        if !right && stored != 0 {
            let text = "the sum of the file does not match";
            entry.problems.push(Problem::new(ProblemKind::Checksum, text));
        }
        for (key, from, len) in [("revision", 208, 32), ("date", 240, 32)] {
            layout.attribute(&format!("{key}-{n}"), layout::text(row, from, len)?);
        }
        layout.part_with(data, entry, start as u64, end.saturating_sub(start) as u64);
        at = end;
    }
    let right = kernel.and_then(|kernel| {
        let behind = data.get(kernel.checked_add(KERNEL)?..total as usize)?;
        let made = sum([data.get(4..kernel)?, &[0; KERNEL], behind]);
        Some(order.u32(data, 0) == Some(made))
    });
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("hash", "md5", right);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};

    fn image(big: bool) -> Vec<u8> {
        let word = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let half = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
        let text = |s: &str, len: usize| {
            let mut t = s.as_bytes().to_vec();
            t.resize(len, 0);
            t
        };
        let (kernel, root) = (noise(700, 1), noise(900, 2));
        let body = [vec![9; KERNEL], kernel.clone(), root.clone()].concat();
        let total = u32::try_from(HEADER + 2 * ROW + body.len()).unwrap();
        let mut file = [word(0), word(0xDEAD_BEAF)].concat();
        for v in [0x100, 2, 5, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF, 0xFFFF] {
            file.extend(half(v));
        }
        file.extend(word(total));
        for v in [u16::try_from(HEADER + 2 * ROW).unwrap(), 108, 272, 0, 0, 0] {
            file.extend(half(v));
        }
        file.extend(text("undefined", 32));
        file.extend(text("NWA5123-AC", 32));
        assert_eq!(file.len(), HEADER);
        for (kind, len, content, target) in
            [(2, KERNEL + 700, &kernel, "kernel"), (3, 900, &root, "zldfs")]
        {
            file.extend(half(kind));
            file.extend(half(0));
            for v in [u32::try_from(len).unwrap(), sum([&content[..]]), 0x10_0000] {
                file.extend(word(v));
            }
            file.extend(text("x.bin", 64));
            file.extend(text(target, 128));
            file.extend(text("V5.00", 32));
            file.extend(text("2019-01-01", 32));
        }
        let at = file.len();
        file.extend(&body);
        let made = sum([&file[4..at], &[0; KERNEL], &file[at + KERNEL..]]);
        file[..4].copy_from_slice(&word(made));
        file
    }

    #[test]
    fn our_own_image_is_read_back_in_both_orders() {
        for big in [true, false] {
            let mut file = image(big);
            let opened = open_whole(&FORMAT, &file[..]);
            assert_eq!(opened.files(), ["0-kernel", "1-zldfs"]);
            assert_eq!(opened.content("0-kernel"), noise(700, 1));
            assert_eq!(opened.content("1-zldfs"), noise(900, 2));
            assert_eq!(
                (opened.attribute("model"), opened.attribute("integrity-correct")),
                ("NWA5123-AC", "yes")
            );
            torture(&FORMAT, &file);
            let last = file.len() - 1;
            file[last] ^= 1;
            let opened = open(&FORMAT, &file);
            assert_eq!(opened.attribute("integrity-correct"), "no");
            assert_eq!(opened.entries[1].problems[0].kind, ProblemKind::Checksum);
            assert!(open_at(&FORMAT, &noise(400, 3), 0).is_none());
        }
    }
}
