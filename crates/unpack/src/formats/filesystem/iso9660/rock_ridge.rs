//! System use entries: names, modes, links and times of POSIX.

use proofmark_model::Problem;

use super::{Record, Volume, list};
use crate::{
    budget::Budget,
    formats::filesystem::common,
    read::{self, le32},
};

/// What the entries of a record say.
#[derive(Default)]
pub(super) struct Extras {
    pub name: Option<Vec<u8>>,
    /// With the file type.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    pub mtime: Option<i64>,
    pub device: (u32, u32),
    pub link: Vec<u8>,
    /// Block of the folder that this record stands for.
    pub child: Option<u32>,
    /// This folder belongs elsewhere.
    pub relocated: bool,
    /// Size of the content that zisofs packs.
    pub packed: Option<u32>,
}

/// Bytes of the system use area to skip, if the root folder announces such entries and uses them.
pub(super) fn skip(image: &[u8], volume: &Volume) -> Option<usize> {
    let (root, _) = Record::parse(list(image, volume, &volume.root)?, 0)?;
    // The skip is not applied to the entry that tells it.
    let e = root.extra.get(..7)?;
    (e.starts_with(b"SP\x07\x01\xbe\xef")).then(|| read::u8(e, 6).map(usize::from))?
}

/// Seconds of the seven-byte form: years since 1900, month, day, hour, minute, second, quarters of an hour
/// east of Greenwich.
pub(super) fn short_time(b: &[u8]) -> Option<i64> {
    let [year, month, day, hour, minute, second, zone] = read::array(b, 0)?;
    let value = |v: u8| i64::from(v);
    if month == 0 {
        return None;
    }
    let local = [
        value(year).saturating_add(1900),
        value(month),
        value(day),
        value(hour),
        value(minute),
        value(second),
    ];
    Some(common::seconds(local).saturating_sub(i64::from(zone as i8).saturating_mul(900)))
}

/// Seconds of the form with sixteen digits.
fn long_time(b: &[u8]) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| {
        b.get(range)?.iter().try_fold(0i64, |n, c| {
            c.is_ascii_digit().then(|| n.checked_mul(10)?.checked_add(i64::from(c & 15)))?
        })
    };
    let local = [
        number(0..4)?,
        number(4..6)?,
        number(6..8)?,
        number(8..10)?,
        number(10..12)?,
        number(12..14)?,
    ];
    Some(
        common::seconds(local)
            .saturating_sub(i64::from(read::u8(b, 16)? as i8).saturating_mul(900)),
    )
}

impl Extras {
    pub fn read(
        image: &[u8],
        volume: &Volume,
        record: &Record,
        skip: usize,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut extras = Self::default();
        let mut area = record.extra.get(skip..).unwrap_or_default();
        // Whether a name or a component of a link goes on in the next entry.
        let mut open = false;
        // Continuation areas may lead in a circle.
        for _ in 0..256 {
            let mut next = None;
            while let Some(len) = read::u8(area, 2).filter(|l| *l >= 4) {
                let (Some(e), Some(rest)) = (area.get(..len.into()), area.get(len.into()..)) else {
                    problems.push(common::malformed("a system use entry is cut off"));
                    break;
                };
                area = rest;
                if budget.work(len.into()).is_err() || e.starts_with(b"ST") {
                    break;
                }
                if e.starts_with(b"CE") {
                    next = le32(e, 4).zip(le32(e, 12)).zip(le32(e, 20));
                } else {
                    extras.entry(e, &mut open);
                }
            }
            let Some(((block, offset), len)) = next else { break };
            let at = (block as usize)
                .checked_mul(volume.block)
                .and_then(|at| at.checked_add(offset as usize));
            match at.and_then(|at| read::slice(image, at, len as usize)) {
                Some(bytes) => area = bytes,
                None => {
                    problems.push(common::malformed(
                        "a continuation of system use entries is not there",
                    ));
                    break;
                }
            }
        }
        extras
    }

    fn entry(&mut self, e: &[u8], open: &mut bool) -> Option<()> {
        match e.get(..2)? {
            // `.` and `..` are told by flags and have records of their own kind.
            b"NM" if read::u8(e, 4)? & 6 == 0 => {
                self.name.get_or_insert_default().extend_from_slice(e.get(5..)?);
            }
            b"PX" => {
                self.mode = le32(e, 4);
                self.uid = le32(e, 20);
                self.gid = le32(e, 28);
            }
            b"PN" => {
                let (high, low) = (le32(e, 4)?, le32(e, 12)?);
                // Either the two halves of a wide number, or major and minor.
                self.device = if high == 0 { common::device(low) } else { (high, low) };
            }
            b"SL" => {
                let mut parts = e.get(5..)?;
                while let (Some(flags), Some(len)) = (read::u8(parts, 0), read::u8(parts, 1)) {
                    let text = read::slice(parts, 2, len.into())?;
                    if !*open && !self.link.is_empty() && self.link != b"/" {
                        self.link.push(b'/');
                    }
                    match flags & 0xe {
                        2 => self.link.push(b'.'),
                        4 => self.link.extend_from_slice(b".."),
                        8 => self.link.push(b'/'),
                        _ => self.link.extend_from_slice(text),
                    }
                    *open = flags & 1 != 0;
                    parts = parts.get(usize::from(len).checked_add(2)?..)?;
                }
            }
            b"TF" => {
                let flags = read::u8(e, 4)?;
                let width = if flags & 0x80 != 0 { 17usize } else { 7 };
                // The time of creation stands first where it is kept.
                let at = if flags & 1 != 0 { width } else { 0 };
                if flags & 2 != 0 {
                    let b = read::slice(e, at.checked_add(5)?, width)?;
                    self.mtime = if width == 7 { short_time(b) } else { long_time(b) };
                }
            }
            b"CL" => self.child = le32(e, 4),
            b"RE" => self.relocated = true,
            b"ZF" if e.get(4..6) == Some(b"pz") => self.packed = le32(e, 8),
            _ => {}
        }
        Some(())
    }
}
