//! Runs as ARC and StuffIt pack them: 0x90 and a count repeat the byte before; 0x90 and 0 is 0x90 itself.

use super::{Decoded, Error, window::Window};
use crate::budget::Budget;

/// Undoes runs, up to `max` bytes.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Window::new(max, 0, budget);
    let mut bytes = input.iter().copied();
    let mut last = 0;
    let mut go = || {
        while let Some(byte) = bytes.next() {
            let count = if byte == 0x90 { bytes.next().map_or(1, usize::from) } else { 0 };
            if byte != 0x90 {
                last = byte;
            }
            match (byte, count) {
                (0x90, 0) => out.push(0x90)?,
                (0x90, n) => {
                    for _ in 1..n {
                        out.push(last)?;
                    }
                }
                _ => out.push(byte)?,
            }
        }
        Ok::<_, Error>(())
    };
    let error = go().err();
    out.finish(input.len(), error)
}
