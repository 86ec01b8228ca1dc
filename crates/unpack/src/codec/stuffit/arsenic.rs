//! Method 15, "Arsenic": blocks of the transform of Burrows and Wheeler, moved to the front, coded by an adaptive
//! arithmetic coder, with a CRC-32 of the content at the end.

use super::{Bits, Decoded, Error, Window, tables};
use crate::{budget::Budget, codec::check};

/// Widths of the arithmetic coder.
const BITS: u32 = 26;
const HALF: u32 = 1 << (BITS - 2);

/// How often each symbol occurred, so to say.
struct Model {
    counts: Vec<u32>,
    first: u32,
    total: u32,
    step: u32,
    most: u32,
}

impl Model {
    /// Symbols from `first` on.
    fn new(first: u32, count: usize, step: u32, most: u32) -> Self {
        Self { counts: vec![step; count], first, total: step * count as u32, step, most }
    }

    fn saw(&mut self, symbol: usize) {
        self.counts[symbol] += self.step;
        self.total += self.step;
        if self.total > self.most {
            self.counts.iter_mut().for_each(|n| *n = (*n + 1) >> 1);
            self.total = self.counts.iter().sum();
        }
    }
}

struct Decoder<'a> {
    bits: Bits<'a>,
    range: u32,
    code: u32,
}

impl Decoder<'_> {
    fn symbol(&mut self, model: &mut Model) -> Result<u32, Error> {
        // The range is above 2^24 and a total at most 1024 and a step.
        let scale = self.range / model.total.max(1);
        let wanted = self.code / scale.max(1);
        let (mut below, mut at) = (0, 0);
        while at + 1 < model.counts.len() && below + model.counts[at] <= wanted {
            below += model.counts[at];
            at += 1;
        }
        let count = model.counts[at];
        self.code = self.code.wrapping_sub(scale * below);
        if below + count == model.total {
            self.range -= scale * below;
        } else {
            self.range = scale * count;
        }
        while self.range <= HALF {
            if self.range == 0 || self.bits.is_over() {
                return Err(Error::Truncated { what: "StuffIt", at: self.bits.consumed() });
            }
            self.range <<= 1;
            self.code = self.code << 1 | self.bits.take(1) as u32;
        }
        model.saw(at);
        Ok(model.first + at as u32)
    }

    /// A number whose lowest bit comes first.
    fn number(&mut self, model: &mut Model, width: u32) -> Result<u32, Error> {
        (0..width).try_fold(0, |n, bit| Ok(n | self.symbol(model)? << bit))
    }

    fn bad(&self, what: &'static str) -> Error {
        Error::Malformed { what, at: self.bits.consumed() }
    }
}

/// The models of one block.
struct Block {
    selector: Model,
    groups: [Model; 7],
}

impl Block {
    fn new() -> Self {
        let group = |n: u32, step| Model::new(2 << n, 2 << n, step, 1024);
        Self {
            selector: Model::new(0, 11, 8, 1024),
            groups: [
                group(0, 8),
                group(1, 4),
                group(2, 4),
                group(3, 4),
                group(4, 2),
                group(5, 2),
                group(6, 1),
            ],
        }
    }

    /// The bytes of a block of at most `most`, as the transform left them.
    fn read(
        &mut self,
        coder: &mut Decoder<'_>,
        most: usize,
        budget: &Budget,
    ) -> Result<Vec<u8>, Error> {
        let mut order: Vec<u8> = (0..=255).collect();
        let mut block: Vec<u8> = Vec::new();
        let mut selected = coder.symbol(&mut self.selector)?;
        while selected != 10 {
            if selected < 2 {
                // How often the first byte comes again, in digits of one and two.
                let (mut run, mut weight) = (0_usize, 1_usize);
                while selected < 2 {
                    run = run.saturating_add(weight << selected);
                    if run > most {
                        return Err(coder.bad("a run is longer than its block"));
                    }
                    weight <<= 1;
                    selected = coder.symbol(&mut self.selector)?;
                }
                let len = block.len() + run;
                if len > most {
                    return Err(coder.bad("a block is longer than its stream says"));
                }
                budget.work(run as u64)?;
                block.resize(len, order[0]);
                continue;
            }
            let place = match selected {
                2 => 1,
                n => coder.symbol(&mut self.groups[n as usize - 3])? as usize,
            };
            if block.len() >= most {
                return Err(coder.bad("a block is longer than its stream says"));
            }
            let byte = order[place];
            order.copy_within(..place, 1);
            order[0] = byte;
            block.push(byte);
            selected = coder.symbol(&mut self.selector)?;
        }
        Ok(block)
    }
}

/// Undoes the transform, the flipped bits, and the runs, of one block.
fn restore(block: &[u8], first: usize, flips: bool, out: &mut Window<'_>) -> Result<(), Error> {
    let mut starts = [0_u32; 256];
    for byte in block {
        starts[usize::from(*byte)] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        sum += std::mem::replace(start, sum);
    }
    let mut next = vec![0_u32; block.len()];
    for (at, byte) in (0..).zip(block) {
        let start = &mut starts[usize::from(*byte)];
        next[*start as usize] = at;
        *start += 1;
    }
    let (mut at, mut last, mut same) = (first, 0_u8, 0);
    let (mut flip, mut steps) = (usize::from(tables::RANDOM[0]), 0);
    for n in 0..block.len() {
        at = next[at] as usize;
        let mut byte = block[at];
        if flips && n == flip {
            byte ^= 1;
            steps = (steps + 1) & 255;
            flip += usize::from(tables::RANDOM[steps]);
        }
        if same == 4 {
            // Behind four equal bytes stands how many more there are.
            same = 0;
            out.repeat(1, byte.into())?;
            continue;
        }
        if byte == last {
            same += 1;
        } else {
            (last, same) = (byte, 1);
        }
        if out.is_full() {
            return Ok(());
        }
        out.push(byte)?;
    }
    Ok(())
}

/// Decodes `size` bytes, and compares them with the CRC-32 that the stream ends with.
pub fn decode(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut bits = Bits::new(input, 0);
    let code = bits.take(BITS) as u32;
    let mut coder = Decoder { bits, range: 1 << (BITS - 1), code };
    let mut out = Window::new(size, 0, budget);
    let error = run(&mut coder, &mut out, budget).err();
    out.finish(coder.bits.consumed(), error)
}

fn run(coder: &mut Decoder<'_>, out: &mut Window<'_>, budget: &Budget) -> Result<(), Error> {
    let mut model = Model::new(0, 2, 1, 256);
    if [coder.number(&mut model, 8)?, coder.number(&mut model, 8)?] != [0x41, 0x73] {
        return Err(coder.bad("no Arsenic stream"));
    }
    let width = coder.number(&mut model, 4)? + 9;
    let mut ended = coder.symbol(&mut model)? == 1;
    let mut sum = None;
    while !ended {
        let flips = coder.symbol(&mut model)? == 1;
        let first = coder.number(&mut model, width)? as usize;
        // A block of the largest kind has 16 MiB; it is paid for as it grows.
        let block = Block::new().read(coder, 1 << width, budget)?;
        if first >= block.len() {
            return Err(coder.bad("a block begins behind its end"));
        }
        budget.work(4 * block.len() as u64)?;
        if out.is_full() {
            return Err(Error::Limit { max: out.len() });
        }
        restore(&block, first, flips, out)?;
        ended = coder.symbol(&mut model)? == 1;
        if ended {
            sum = Some(coder.number(&mut model, 32)?);
        }
    }
    if !out.is_full() {
        return Err(Error::Truncated { what: "StuffIt", at: coder.bits.consumed() });
    }
    match sum {
        Some(sum) if sum != check::crc32(out.bytes()) => {
            Err(Error::Checksum { what: "CRC-32 of the content", at: coder.bits.consumed() })
        }
        _ => Ok(()),
    }
}
