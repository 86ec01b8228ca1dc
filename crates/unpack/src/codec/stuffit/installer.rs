//! Method 14: blocks with codes of their own, which reach back 256 KiB across blocks. Bits come least significant first.

use super::{Decoded, Error, Low, Prefix, Window};
use crate::budget::Budget;

/// Symbols of literals and lengths, and of distances.
const MAIN: usize = 308;
const DISTANCES: usize = 75;

fn bad(bits: &Low<'_>) -> Error {
    Error::Malformed { what: "a code of StuffIt method 14 is not right", at: bits.consumed() }
}

/// Sorts by length the way the archiver does: codes of one length follow each other in the order that its exchanges
/// leave behind, so that has to be the same here. Ranges are split at their first element.
pub(super) fn sort(symbols: &mut [(u16, u8)]) {
    let mut ranges = vec![(0, symbols.len())];
    while let Some((first, last)) = ranges.pop() {
        if last - first < 2 {
            continue;
        }
        let pivot = symbols[first].1;
        let (mut low, mut high) = (first, last);
        loop {
            low += 1;
            while low < last && symbols[low].1 < pivot {
                low += 1;
            }
            high -= 1;
            while high > first && symbols[high].1 > pivot {
                high -= 1;
            }
            if high <= low {
                break;
            }
            symbols.swap(low, high);
        }
        symbols.swap(first, high);
        ranges.extend([(first, high), (high + 1, last)]);
    }
}

/// A code of `count` symbols, whose lengths may be coded by a code that is stored in the same way.
fn read_code(bits: &mut Low<'_>, count: usize, depth: u32) -> Result<Prefix, Error> {
    let has_zero = bits.take(1) == 1;
    let width = bits.take(2) as u32 + 2;
    let plus = bits.take(3) + 1;
    let repeat = (1_usize << width) - 1;
    // The archiver itself nests once.
    let inner = match bits.take(2) & 1 {
        1 if depth < 4 => Some(read_code(bits, repeat + 1, depth + 1)?),
        1 => return Err(bad(bits)),
        _ => None,
    };
    let value = |bits: &mut Low<'_>| match &inner {
        Some(code) => code.read(|| bits.take(1)).ok_or_else(|| bad(bits)),
        None => Ok(bits.take(width)),
    };
    let mut lengths: Vec<u8> = Vec::with_capacity(count);
    while lengths.len() < count {
        if bits.is_over() {
            return Err(Error::Truncated { what: "StuffIt", at: bits.consumed() });
        }
        match value(bits)? {
            n if n == repeat => {
                let again = value(bits)? + 3;
                let last = *lengths.last().ok_or_else(|| bad(bits))?;
                lengths.resize((lengths.len() + again).min(count), last);
            }
            n if has_zero && n + 1 == repeat => lengths.push(0),
            n => lengths.push((n + plus) as u8),
        }
    }
    let mut order: Vec<_> = (0..).zip(lengths).collect();
    sort(&mut order);
    let made = Prefix::in_order(order.into_iter().filter(|(_, len)| *len > 0));
    bits.align();
    made.ok_or_else(|| bad(bits))
}

/// A number from `base` on, in slots that get wider four by four, behind `narrow` of one number each.
fn number(bits: &mut Low<'_>, slot: usize, narrow: usize, base: usize) -> usize {
    let extra = slot.saturating_sub(narrow) / 4;
    let before: usize = (0..slot).map(|s| 1 << (s.saturating_sub(narrow) / 4)).sum();
    base + before + bits.take(extra as u32)
}

/// Decodes `size` bytes.
pub fn decode(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut bits = Low::new(input);
    let mut out = Window::new(size, 0, budget);
    let error = run(&mut bits, &mut out, budget).err();
    out.finish(bits.consumed(), error)
}

fn run(bits: &mut Low<'_>, out: &mut Window<'_>, budget: &Budget) -> Result<(), Error> {
    for _ in 0..bits.take(16) {
        if out.is_full() {
            return Ok(());
        }
        budget.work(MAIN as u64)?;
        let _packed = bits.take(32);
        let end = out.len().saturating_add(bits.take(32));
        let codes = read_code(bits, MAIN, 0)?;
        let distances = read_code(bits, DISTANCES, 0)?;
        while out.len() < end && !out.is_full() {
            let symbol = codes.read(|| bits.take(1)).ok_or_else(|| bad(bits))?;
            if bits.is_over() {
                return Err(Error::Truncated { what: "StuffIt", at: bits.consumed() });
            }
            if symbol < 256 {
                out.push(symbol as u8)?;
                continue;
            }
            let len = number(bits, symbol - 256, 4, 4);
            let slot = distances.read(|| bits.take(1)).ok_or_else(|| bad(bits))?;
            let dist = number(bits, slot, 3, 1);
            out.repeat_own(dist, len.min(end - out.len()), bits.consumed())?;
        }
        bits.align();
    }
    if out.is_full() {
        return Ok(());
    }
    Err(Error::Truncated { what: "StuffIt", at: bits.consumed() })
}
