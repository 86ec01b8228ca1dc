//! The stream of RAR 5.
//!
//! A content is a row of blocks. A block begins at a byte: flags (bits 0 to 2: bits used of its last byte, less one; 3 and 4:
//! bytes of its size, less one; 6: the last block; 7: codes follow), a checksum of them and the size, the size, and then
//! symbols by four codes: literals and lengths, distances, low bits of distances, lengths of repeated distances.

use super::{Bits, Error, Recent, TABLES, Tree, Window, bad, filter, lengths, tree};

const MAIN: usize = 306;
const DISTANCES: usize = 64;
const LOW: usize = 16;
const REPEATS: usize = 44;

#[derive(Default)]
pub struct Five {
    codes: Option<Codes>,
    recent: Recent,
}

struct Codes {
    main: Tree,
    distances: Tree,
    low: Tree,
    repeats: Tree,
}

impl Codes {
    fn read(bits: &mut Bits<'_>) -> Result<Self, Error> {
        let mut all = [0; MAIN + DISTANCES + LOW + REPEATS];
        lengths(bits, &mut all, false)?;
        let (main, rest) = all.split_at(MAIN);
        let (distances, rest) = rest.split_at(DISTANCES);
        let (low, repeats) = rest.split_at(LOW);
        let at = bits.consumed();
        Ok(Self {
            main: tree(main, at)?,
            distances: tree(distances, at)?,
            low: tree(low, at)?,
            repeats: tree(repeats, at)?,
        })
    }
}

impl Five {
    pub fn content(
        &mut self,
        input: &[u8],
        w: &mut Window<'_>,
        filters: &mut Vec<filter::Filter>,
    ) -> Result<(), Error> {
        let cut = Error::Truncated { what: "RAR", at: input.len() };
        let mut at = 0;
        while !w.is_full() {
            let (Some(flags), Some(sum)) = (input.get(at), input.get(at + 1)) else {
                return Err(cut);
            };
            let count = usize::from(flags >> 3 & 3) + 1;
            let size_bytes = input.get(at + 2..at + 2 + count).ok_or(cut)?;
            let size = size_bytes.iter().rev().fold(0, |size, b| size << 8 | usize::from(*b));
            let right = size_bytes.iter().fold(0x5A ^ flags, |sum, b| sum ^ b);
            if right != *sum || count == 4 {
                return Err(Error::Checksum { what: "checksum of a RAR block", at });
            }
            let body = at + 2 + count;
            let whole = body + size <= input.len();
            let block = &input[body..input.len().min(body + size)];
            let end = if whole && size > 0 {
                (size - 1) * 8 + usize::from(flags & 7) + 1
            } else {
                block.len() * 8
            };
            w.budget.work(size_bytes.len() as u64 + 3)?;
            self.block(block, flags & 0x80 != 0, end, w, filters).map_err(|e| e.moved(body))?;
            if !whole {
                return Err(cut);
            }
            at = body + size;
            if flags & 0x40 != 0 {
                break;
            }
        }
        Ok(())
    }

    fn block(
        &mut self,
        block: &[u8],
        has_codes: bool,
        end: usize,
        w: &mut Window<'_>,
        filters: &mut Vec<filter::Filter>,
    ) -> Result<(), Error> {
        let mut bits = Bits::new(block, 0);
        if has_codes {
            w.budget.work(TABLES)?;
            self.codes = Some(Codes::read(&mut bits)?);
        }
        let codes = self.codes.as_ref().ok_or(bad("a RAR block without codes", 0))?;
        let recent = &mut self.recent;
        while bits.position() < end && !w.is_full() {
            let none = bad("no symbol of a RAR code", bits.consumed());
            let symbol = bits.symbol(&codes.main).ok_or(none)?;
            let (distance, length) = match symbol {
                0..=255 => {
                    w.literal(symbol as u8)?;
                    continue;
                }
                256 => {
                    w.budget.work(64)?;
                    filters.push(filter::Filter::five(&mut bits, w.at - w.start));
                    continue;
                }
                257 if recent.length == 0 => continue,
                257 => (recent.distances[0], recent.length),
                258..=261 => {
                    let distance = recent.reuse(symbol - 258);
                    (distance, length(bits.symbol(&codes.repeats).ok_or(none)?, &mut bits))
                }
                _ => {
                    let mut length = length(symbol - 262, &mut bits);
                    let distance = Self::distance(codes, &mut bits)?;
                    length += [0x100, 0x2000, 0x40000].iter().filter(|d| distance > **d).count();
                    recent.push(distance);
                    (distance, length)
                }
            };
            recent.length = length;
            w.repeat(distance, length)?;
        }
        Ok(())
    }

    fn distance(codes: &Codes, bits: &mut Bits<'_>) -> Result<usize, Error> {
        let none = bad("no symbol of a RAR code", bits.consumed());
        let slot = bits.symbol(&codes.distances).ok_or(none)?;
        if slot < 4 {
            return Ok(slot + 1);
        }
        let count = (slot / 2 - 1) as u32;
        let base = (2 | slot & 1) << count;
        let more = if count < 4 {
            bits.take(count)
        } else {
            bits.take(count - 4) << 4 | bits.symbol(&codes.low).ok_or(none)?
        };
        Ok(base + more + 1)
    }
}

/// The length of a slot.
fn length(slot: usize, bits: &mut Bits<'_>) -> usize {
    if slot < 8 {
        return slot + 2;
    }
    let count = (slot / 4 - 1) as u32;
    ((4 | slot & 3) << count) + bits.take(count) + 2
}
