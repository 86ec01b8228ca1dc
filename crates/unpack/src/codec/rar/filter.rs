//! Filters by which RAR prepares data, undone over a range of a content.

use super::{Bits, Error, bad};

/// Largest range of a filter.
const LENGTH_MAX: usize = 1 << 22;
/// Calls and jumps are taken modulo this.
const X86_SPACE: u32 = 1 << 24;

/// A filter and its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// What it does.
    pub kind: Kind,
    /// From the start of the content.
    pub start: usize,
    /// Bytes.
    pub length: usize,
}

/// What a filter does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Differences of bytes, channel after channel.
    Delta {
        /// Number of channels.
        channels: usize,
    },
    /// x86 calls, and jumps too.
    X86 {
        /// Whether jumps.
        jumps: bool,
        /// Whether places count modulo 16 MiB, as RAR 5 has it.
        wraps: bool,
    },
    /// ARM `bl`.
    Arm,
    /// Itanium branches.
    Itanium,
    /// Colours of pictures.
    Rgb {
        /// Bytes of a row.
        width: usize,
        /// Where the first red byte is.
        red: usize,
    },
    /// Samples of sound.
    Audio {
        /// Number of channels.
        channels: usize,
    },
    /// A program that is not known, by its CRC-32.
    Program(u32),
    /// A kind of RAR 5 that is not known.
    Unknown,
}

impl Kind {
    /// The program of `size` bytes with this CRC-32. Without parameters, which [`with`](Self::with) sets.
    pub(super) fn of_program(size: usize, crc: u32) -> Self {
        match (size, crc) {
            (29, 0x0E06_077D) => Self::Delta { channels: 0 },
            (53, 0xAD57_6887) => Self::X86 { jumps: false, wraps: false },
            (57, 0x3CD7_E57E) => Self::X86 { jumps: true, wraps: false },
            (120, 0x3769_893F) => Self::Itanium,
            (149, 0x1C2C_5DC8) => Self::Rgb { width: 0, red: 0 },
            (216, 0xBC85_E701) => Self::Audio { channels: 0 },
            _ => Self::Program(crc),
        }
    }

    /// With these parameters, of a kind that has some.
    pub(super) fn with(self, first: u32, second: u32) -> Self {
        let (first, second) = (first as usize, second as usize);
        match self {
            Self::Delta { .. } => Self::Delta { channels: first },
            Self::Audio { .. } => Self::Audio { channels: first },
            Self::Rgb { .. } => Self::Rgb { width: first, red: second },
            other => other,
        }
    }
}

impl Filter {
    /// Reads a filter of RAR 5 at `at` of the content.
    pub(super) fn five(bits: &mut Bits<'_>, at: usize) -> Self {
        let mut number = || {
            let count = bits.take(2) as u32 + 1;
            (0..count).fold(0, |value, n| value | bits.take(8) << (8 * n))
        };
        let (start, length) = (at.saturating_add(number()), number());
        let kind = match bits.take(3) {
            0 => Kind::Delta { channels: bits.take(5) + 1 },
            1 => Kind::X86 { jumps: false, wraps: true },
            2 => Kind::X86 { jumps: true, wraps: true },
            3 => Kind::Arm,
            _ => Kind::Unknown,
        };
        Self { kind, start, length }
    }

    /// Undoes it in `content`.
    ///
    /// # Errors
    /// The filter is not known, or does not fit the content.
    pub fn undo(&self, content: &mut [u8]) -> Result<(), Error> {
        let at = self.start;
        let range = content.get_mut(at..at.saturating_add(self.length));
        let Some(data) = range.filter(|data| data.len() <= LENGTH_MAX) else {
            return Err(bad("a RAR filter reaches behind its content", at));
        };
        match self.kind {
            Kind::Delta { channels } if (1..=1024).contains(&channels) => delta(data, channels),
            Kind::Audio { channels } if (1..=128).contains(&channels) => audio(data, channels),
            Kind::Rgb { width, red } if width <= data.len() && red <= 2 => rgb(data, width, red),
            Kind::X86 { jumps, wraps } => x86(data, at as u32, jumps, wraps),
            Kind::Arm => arm(data, at as u32),
            Kind::Itanium => itanium(data, at as u32),
            Kind::Program(_) => {
                return Err(Error::Unsupported { what: "the program of a RAR filter", at });
            }
            Kind::Unknown => {
                return Err(Error::Unsupported { what: "the kind of a RAR filter", at });
            }
            _ => return Err(bad("the parameters of a RAR filter make no sense", at)),
        }
        Ok(())
    }
}

/// Channel after channel, each byte less than the one before it by what is stored.
fn delta(data: &mut [u8], channels: usize) {
    let stored = data.to_vec();
    let mut stored = stored.iter();
    for channel in 0..channels {
        let mut last = 0_u8;
        for (place, byte) in data.iter_mut().skip(channel).step_by(channels).zip(&mut stored) {
            last = last.wrapping_sub(*byte);
            *place = last;
        }
    }
}

fn x86(data: &mut [u8], start: u32, jumps: bool, wraps: bool) {
    let mut at = 0;
    while at + 4 < data.len() {
        let op = data[at];
        at += 1;
        if op != 0xE8 && !(jumps && op == 0xE9) {
            continue;
        }
        let mut place = start.wrapping_add(at as u32);
        if wraps {
            place %= X86_SPACE;
        }
        let word = &mut data[at..at + 4];
        let address = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        if address >> 31 == 1 {
            if address.wrapping_add(place) >> 31 == 0 {
                word.copy_from_slice(&address.wrapping_add(X86_SPACE).to_le_bytes());
            }
        } else if address < X86_SPACE {
            word.copy_from_slice(&address.wrapping_sub(place).to_le_bytes());
        }
        at += 4;
    }
}

fn arm(data: &mut [u8], start: u32) {
    for (n, word) in data.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        if word[3] == 0xEB {
            let place = start.wrapping_add(4 * n as u32) / 4;
            let target = u32::from_le_bytes([word[0], word[1], word[2], 0]).wrapping_sub(place);
            word[..3].copy_from_slice(&target.to_le_bytes()[..3]);
        }
    }
}

/// Branches in the slots of 128-bit bundles; other than the filter of the same name of LZMA, it takes 20 bits of a
/// target, looks at the opcode only, and leaves the end.
fn itanium(data: &mut [u8], start: u32) {
    /// Which of the three slots can hold a branch, by template from 16 on.
    const SLOTS: [u8; 16] = [4, 4, 6, 6, 0, 0, 7, 7, 4, 4, 0, 0, 4, 4, 0, 0];
    let whole = data.len().saturating_sub(21).div_ceil(16);
    for (n, bundle) in data.as_chunks_mut::<16>().0.iter_mut().take(whole).enumerate() {
        let mut bits = u128::from_le_bytes(*bundle);
        let Some(template) = (bits as usize & 31).checked_sub(16) else { continue };
        for slot in (0..3).filter(|slot| SLOTS[template] >> slot & 1 == 1) {
            let at = 5 + 41 * slot;
            if bits >> (at + 37) & 15 == 5 {
                let stored = (bits >> (at + 13)) as u32;
                let target = stored.wrapping_sub((start >> 4).wrapping_add(n as u32));
                bits ^= u128::from((stored ^ target) & 0xF_FFFF) << (at + 13);
            }
        }
        *bundle = bits.to_le_bytes();
    }
}

/// Three colours one after the other, each predicted from left, above, and left above; red and blue less green.
fn rgb(data: &mut [u8], width: usize, red: usize) {
    let stored = data.to_vec();
    let mut stored = stored.iter();
    for colour in 0..3 {
        let mut last = 0_u8;
        for at in (colour..data.len()).step_by(3) {
            // The pixel above is `width` less three bytes back.
            let above = at.checked_sub(width).filter(|_| width > 3);
            if let Some((corner, above)) = above.map(|n| (data[n], data[n + 3])) {
                let (left, corner16, above16) =
                    (i16::from(last), i16::from(corner), i16::from(above));
                let by_left = (above16 - corner16).abs();
                let by_above = (left - corner16).abs();
                let by_corner = (above16 + left - 2 * corner16).abs();
                if by_left > by_above || by_left > by_corner {
                    last = if by_above <= by_corner { above } else { corner };
                }
            }
            last = last.wrapping_sub(stored.next().copied().unwrap_or(0));
            data[at] = last;
        }
    }
    for pixel in data.get_mut(red..).unwrap_or_default().chunks_exact_mut(3) {
        pixel[0] = pixel[0].wrapping_add(pixel[1]);
        pixel[2] = pixel[2].wrapping_add(pixel[1]);
    }
}

/// Channel after channel, each sample predicted from the one before and three differences whose weights adapt.
fn audio(data: &mut [u8], channels: usize) {
    let stored = data.to_vec();
    let mut stored = stored.iter();
    for channel in 0..channels {
        let (mut last, mut last_delta) = (0_u8, 0_i32);
        let mut weights = [0_i32; 3];
        let mut deltas = [0_i32; 3];
        let mut errors = [0_i32; 7];
        for (count, place) in data.iter_mut().skip(channel).step_by(channels).enumerate() {
            deltas = [last_delta, last_delta - deltas[0], deltas[1]];
            let weighed: i32 = weights.iter().zip(deltas).map(|(w, d)| w * d).sum();
            let predicted = (8 * i32::from(last) + weighed) >> 3;
            let difference = stored.next().map_or(0, |b| i32::from(b.cast_signed()));
            let sample = (predicted - difference) as u8;
            let scaled = difference << 3;
            errors[0] += scaled.abs();
            for (n, delta) in deltas.into_iter().enumerate() {
                errors[2 * n + 1] += (scaled - delta).abs();
                errors[2 * n + 2] += (scaled + delta).abs();
            }
            last_delta = i32::from(sample.wrapping_sub(last).cast_signed());
            last = sample;
            *place = sample;
            if count % 32 == 0 {
                // The first of the least errors.
                let least = (0..7).min_by_key(|n| errors[*n]).unwrap_or(0);
                errors = [0; 7];
                if least > 0 {
                    let weight = &mut weights[(least - 1) / 2];
                    if least % 2 == 1 && *weight >= -16 {
                        *weight -= 1;
                    } else if least % 2 == 0 && *weight < 16 {
                        *weight += 1;
                    }
                }
            }
        }
    }
}
