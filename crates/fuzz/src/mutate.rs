//! Damage that knows what binary formats are made of: counts, lengths and
//! offsets in both byte orders, magics, tables of equal records.

/// SplitMix64: the same sequence for the same seed, on every machine.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`, or 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = n.max(1) as u64;
        usize::try_from(self.number().checked_rem(n).unwrap_or(0)).unwrap_or(0)
    }

    /// A place, half of the time in the first 512 bytes.
    fn place(&mut self, len: usize) -> usize {
        if self.number() & 1 == 0 { self.below(len.min(512)) } else { self.below(len) }
    }
}

/// Inputs do not grow beyond this.
pub const LONGEST: usize = 1 << 20;

/// One to eight changes of `data`; `other` is what pieces are taken from.
pub fn mutate(data: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = data.to_vec();
    for _ in 0..=random.below(8) {
        change(&mut out, other, random);
    }
    out.truncate(LONGEST);
    out
}

fn change(out: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let len = out.len();
    let at = random.place(len);
    match random.below(10) {
        0 => {
            let bit = random.below(8);
            if let Some(b) = out.get_mut(at) {
                *b ^= 1_u8.rotate_left(u32::try_from(bit).unwrap_or(0));
            }
        }
        1 => {
            let value = random.number().to_le_bytes();
            put(out, at, value.get(..1).unwrap_or_default());
        }
        // A field set to a value that lengths break on.
        2..=4 => {
            let width = [1_usize, 2, 4, 8].get(random.below(4)).copied().unwrap_or(4);
            let near = len as u64;
            let values = [
                0,
                1,
                2,
                0x7f,
                0x80,
                0xff,
                0x7fff,
                0x8000,
                0xffff,
                0x7fff_ffff,
                0x8000_0000,
                0xffff_ffff,
                u64::MAX,
                i64::MAX as u64,
                near,
                near.wrapping_sub(1),
                near.wrapping_add(1),
                near / 2,
                at as u64,
                near.wrapping_sub(at as u64),
            ];
            let value = values.get(random.below(values.len())).copied().unwrap_or(0);
            put_int(out, align(at, width, random), width, value, random);
        }
        // A field changed by a little.
        5 => {
            let width = [2_usize, 4, 8].get(random.below(3)).copied().unwrap_or(4);
            let at = align(at, width, random);
            let delta = random.below(33) as u64;
            let bytes = out.get(at..at.saturating_add(width)).unwrap_or_default().to_vec();
            let value = bytes.iter().rev().fold(0_u64, |v, b| v.wrapping_shl(8) | u64::from(*b));
            put_int(out, at, width, value.wrapping_add(delta).wrapping_sub(16), random);
        }
        6 => out.truncate(at),
        // A piece of another input.
        7 => {
            let from = random.below(other.len());
            let piece = other.get(from..).unwrap_or_default();
            let n = random.below(piece.len().min(4096)).saturating_add(1);
            put(out, at, piece.get(..n).unwrap_or(piece));
        }
        // A record twice, or not at all.
        8 => {
            let n = random.below(256).saturating_add(1);
            let piece = out.get(at..at.saturating_add(n).min(len)).unwrap_or_default().to_vec();
            if len.saturating_add(n) < LONGEST {
                out.splice(at..at, piece);
            }
        }
        _ => {
            let end = at.saturating_add(random.below(256)).min(len);
            drop(out.drain(at.min(end)..end));
        }
    }
}

/// Most fields lie at multiples of their width.
fn align(at: usize, width: usize, random: &mut Random) -> usize {
    if random.below(4) == 0 { at } else { at & !(width.saturating_sub(1)) }
}

fn put(out: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let end = at.saturating_add(piece.len());
    if out.len() < end && end <= LONGEST {
        out.resize(end, 0);
    }
    if let Some(target) = out.get_mut(at..end) {
        target.copy_from_slice(piece);
    }
}

fn put_int(out: &mut [u8], at: usize, width: usize, value: u64, random: &mut Random) {
    let big = random.below(2) == 0;
    let bytes = if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let piece = if big { bytes.get(8_usize.saturating_sub(width)..) } else { bytes.get(..width) };
    if let (Some(target), Some(piece)) = (out.get_mut(at..at.saturating_add(width)), piece) {
        target.copy_from_slice(piece);
    }
}
