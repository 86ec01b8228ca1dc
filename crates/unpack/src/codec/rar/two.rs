//! The stream of RAR 2.
//!
//! A block begins with two bits, whether it is sound and whether lengths of codes add to those before, and codes; it ends
//! with a symbol, behind which the next block begins. Sound is a row of differences to what is predicted for each of up to
//! four channels, whose weights follow what would have predicted best.

use super::{
    Bits, Error, Recent, TABLES, Tree, Window, bad,
    three::{FAR, LENGTHS, SHORT, slot},
    tree,
};

const MAIN: usize = 298;
const DISTANCES: usize = 48;
const REPEATS: usize = 28;
/// Symbols of a channel.
const SOUND: usize = 257;
const CHANNELS: usize = 4;

enum Codes {
    Text { main: Tree, distances: Tree, repeats: Tree },
    Sound(Vec<Tree>),
}

pub struct Two {
    lengths: [u8; SOUND * CHANNELS],
    codes: Option<Codes>,
    recent: Recent,
    channels: [Channel; CHANNELS],
    channel: usize,
    /// The last difference of any channel.
    difference: i32,
}

impl Default for Two {
    fn default() -> Self {
        Self {
            lengths: [0; _],
            codes: None,
            recent: Recent::default(),
            channels: Default::default(),
            channel: 0,
            difference: 0,
        }
    }
}

/// What is known of a channel.
#[derive(Default, Clone)]
pub struct Channel {
    weights: [i32; 5],
    /// The last differences, and differences of those.
    deltas: [i32; 4],
    difference: i32,
    byte: i32,
    /// How wrong the prediction was: as it is, and with each weight less or more.
    errors: [i32; 11],
    count: u32,
}

impl Channel {
    /// The next byte, told by how far the prediction is off. `other` is the last difference of any channel.
    pub fn next(&mut self, off: u8, other: &mut i32) -> u8 {
        self.count = self.count.wrapping_add(1);
        let [one, two, three, _] = self.deltas;
        self.deltas = [self.difference, self.difference - one, two, three];
        let [d1, d2, d3, d4] = self.deltas;
        let inputs = [d1, d2, d3, d4, *other];
        let weighted: i32 = self.weights.iter().zip(inputs).map(|(w, d)| w * d).sum();
        let byte = ((8 * self.byte + weighted) >> 3).wrapping_sub(off.into()) & 0xFF;
        let error = i32::from(off as i8) << 3;
        self.errors[0] += error.abs();
        for (n, input) in inputs.into_iter().enumerate() {
            self.errors[2 * n + 1] += (error - input).abs();
            self.errors[2 * n + 2] += (error + input).abs();
        }
        self.difference = i32::from((byte - self.byte) as i8);
        *other = self.difference;
        self.byte = byte;
        if self.count.is_multiple_of(32) {
            // The first of the least.
            let best = (0..11).min_by_key(|n| self.errors[*n]).unwrap_or(0);
            self.errors = [0; 11];
            if best > 0 {
                let weight = &mut self.weights[(best - 1) / 2];
                match best % 2 {
                    1 if *weight >= -16 => *weight -= 1,
                    0 if *weight < 16 => *weight += 1,
                    _ => {}
                }
            }
        }
        byte as u8
    }
}

impl Two {
    pub fn content(&mut self, input: &[u8], w: &mut Window<'_>) -> Result<(), Error> {
        let mut bits = Bits::new(input, 0);
        if self.codes.is_none() {
            self.head(&mut bits, w)?;
        }
        while !w.is_full() {
            self.step(&mut bits, w)?;
            if bits.is_over() {
                return Err(Error::Truncated { what: "RAR", at: input.len() });
            }
        }
        // The codes of the content that goes on with this window may stand at the end.
        if bits.position() / 8 + 5 <= input.len() && self.block_ends(&mut bits) {
            self.head(&mut bits, w)?;
        }
        Ok(())
    }

    /// Whether the next symbol ends the block.
    fn block_ends(&self, bits: &mut Bits<'_>) -> bool {
        match &self.codes {
            Some(Codes::Text { main, .. }) => bits.symbol(main) == Some(269),
            Some(Codes::Sound(trees)) => {
                trees.get(self.channel).is_some_and(|tree| bits.symbol(tree) == Some(256))
            }
            None => false,
        }
    }

    /// Reads the head of a block.
    fn head(&mut self, bits: &mut Bits<'_>, w: &Window<'_>) -> Result<(), Error> {
        w.budget.work(TABLES)?;
        let sound = bits.take(1) == 1;
        if bits.take(1) == 0 {
            self.lengths.fill(0);
        }
        let channels = if sound { bits.take(2) + 1 } else { 0 };
        let count = if sound { channels * SOUND } else { MAIN + DISTANCES + REPEATS };
        lengths(bits, &mut self.lengths[..count])?;
        let at = bits.consumed();
        self.codes = Some(if sound {
            if self.channel >= channels {
                self.channel = 0;
            }
            let own = self.lengths[..count].chunks_exact(SOUND);
            Codes::Sound(own.map(|lengths| tree(lengths, at)).collect::<Result<_, _>>()?)
        } else {
            let (main, rest) = self.lengths[..count].split_at(MAIN);
            let (distances, repeats) = rest.split_at(DISTANCES);
            Codes::Text {
                main: tree(main, at)?,
                distances: tree(distances, at)?,
                repeats: tree(repeats, at)?,
            }
        });
        Ok(())
    }

    fn step(&mut self, bits: &mut Bits<'_>, w: &mut Window<'_>) -> Result<(), Error> {
        let none = bad("no symbol of a RAR code", bits.consumed());
        let (main, distances, repeats) = match &self.codes {
            Some(Codes::Text { main, distances, repeats }) => (main, distances, repeats),
            Some(Codes::Sound(trees)) => {
                let tree = trees.get(self.channel).ok_or(none)?;
                let off = match bits.symbol(tree).ok_or(none)? {
                    256 => return self.head(bits, w),
                    off => off as u8,
                };
                let byte = self.channels[self.channel].next(off, &mut self.difference);
                self.channel = (self.channel + 1) % trees.len();
                return w.literal(byte);
            }
            None => return Err(bad("a RAR block without codes", bits.consumed())),
        };
        let recent = &mut self.recent;
        let (distance, length) = match bits.symbol(main).ok_or(none)? {
            byte @ 0..256 => return w.literal(byte as u8),
            256 => (recent.distances[0], recent.length),
            n @ 257..261 => {
                let distance = recent.distances[n - 257];
                let length = slot(&LENGTHS, bits.symbol(repeats).ok_or(none)?, bits)? + 2;
                (distance, length + longer(distance, &[0x101, 0x2000, 0x40000]))
            }
            n @ 261..269 => (slot(&SHORT, n - 261, bits)? + 1, 2),
            269 => return self.head(bits, w),
            n => {
                let length = slot(&LENGTHS, n - 270, bits)? + 3;
                let place = bits.symbol(distances).ok_or(none)?;
                let distance = slot(&FAR, place, bits)? + 1;
                (distance, length + longer(distance, &[0x2000, 0x40000]))
            }
        };
        recent.push(distance);
        recent.length = length;
        w.repeat(distance, length)
    }
}

/// By how much matches are longer from each of these distances on.
fn longer(distance: usize, from: &[usize]) -> usize {
    from.iter().filter(|d| distance >= **d).count()
}

/// The lengths of codes, which add to those that are there.
fn lengths(bits: &mut Bits<'_>, lengths: &mut [u8]) -> Result<(), Error> {
    let own: [u8; 19] = std::array::from_fn(|_| bits.take(4) as u8);
    let code = tree(&own, bits.consumed())?;
    let mut n = 0;
    while n < lengths.len() {
        let at = bits.consumed();
        let symbol = bits.symbol(&code).ok_or(bad("no symbol of a RAR code", at))?;
        if bits.is_over() {
            return Err(Error::Truncated { what: "RAR", at: bits.size() });
        }
        let (count, value) = match symbol {
            16 if n == 0 => return Err(bad("nothing to repeat in a RAR code", at)),
            16 => (bits.take(2) + 3, lengths[n - 1]),
            17 => (bits.take(3) + 3, 0),
            18 => (bits.take(7) + 11, 0),
            more => (1, (lengths[n] + more as u8) & 15),
        };
        let to = (n + count).min(lengths.len());
        lengths[n..to].fill(value);
        n = to;
    }
    Ok(())
}
