//! LZHUF: LZ77 with a window of 4 KiB and an adaptive Huffman code, as `-lh1-` of LHA and method 5 of StuffIt have it.
//!
//! Method: H. Yoshizaki and H. Okumura, LZHUF (1988): the 314 literals and lengths have a Huffman code that is brought up to
//! date with each symbol; the upper six bits of a distance have a fixed code of 3 to 8 bits.

// Nodes are below the size of their tables, which is fixed.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, bits::Bits, window::Window};
use crate::budget::Budget;

/// Literals, and lengths of 3 to 60.
const SYMBOLS: usize = 314;

/// An adaptive Huffman code of `n` symbols: nodes in the order of how often they occurred, sons stand beside each other.
pub struct Adaptive {
    counts: Vec<u16>,
    /// The first of two sons, or the symbol and the number of nodes.
    son: Vec<u16>,
    parent: Vec<u16>,
    nodes: usize,
}

impl Adaptive {
    /// The tree is made anew when the root has this count.
    const MOST: u16 = 0x8000;

    /// All symbols equally often.
    #[must_use]
    pub fn new(symbols: usize) -> Self {
        let nodes = 2 * symbols - 1;
        let mut made = Self {
            counts: vec![1; nodes + 1],
            son: vec![0; nodes],
            parent: vec![0; nodes + symbols],
            nodes,
        };
        for symbol in 0..symbols {
            made.son[symbol] = (symbol + nodes) as u16;
            made.parent[symbol + nodes] = symbol as u16;
        }
        for (pair, node) in (symbols..nodes).enumerate() {
            made.counts[node] = made.counts[2 * pair] + made.counts[2 * pair + 1];
            made.adopt(node, 2 * pair);
        }
        made.counts[nodes] = u16::MAX;
        made.parent[nodes - 1] = 0;
        made
    }

    /// Sets the son of a node.
    fn adopt(&mut self, node: usize, son: usize) {
        self.son[node] = son as u16;
        self.parent[son] = node as u16;
        if son < self.nodes {
            self.parent[son + 1] = node as u16;
        }
    }

    /// The next symbol, which is counted.
    pub fn read(&mut self, bits: &mut Bits<'_>) -> usize {
        let mut node = usize::from(self.son[self.nodes - 1]);
        while node < self.nodes {
            node = usize::from(self.son[node + bits.take(1)]);
        }
        self.count(node - self.nodes);
        node - self.nodes
    }

    /// Counts a symbol: it and all above it go up behind the last node that occurred as often.
    fn count(&mut self, symbol: usize) {
        if self.counts[self.nodes - 1] == Self::MOST {
            self.halve();
        }
        let mut node = usize::from(self.parent[symbol + self.nodes]);
        loop {
            self.counts[node] += 1;
            let count = self.counts[node];
            if count > self.counts[node + 1] {
                let mut other = node + 1;
                while count > self.counts[other + 1] {
                    other += 1;
                }
                self.counts[node] = self.counts[other];
                self.counts[other] = count;
                let (mine, its) = (self.son[node].into(), self.son[other].into());
                self.adopt(other, mine);
                self.adopt(node, its);
                node = other;
            }
            node = self.parent[node].into();
            // The parent of the root is written as 0.
            if node == 0 {
                return;
            }
        }
    }

    /// Halves all counts and makes the tree anew.
    fn halve(&mut self) {
        let nodes = self.nodes;
        let symbols = nodes.div_ceil(2);
        let mut leaf = 0;
        for node in 0..nodes {
            if usize::from(self.son[node]) >= nodes {
                self.counts[leaf] = self.counts[node].div_ceil(2);
                self.son[leaf] = self.son[node];
                leaf += 1;
            }
        }
        for (pair, end) in (symbols..nodes).enumerate() {
            let count = self.counts[2 * pair] + self.counts[2 * pair + 1];
            let mut place = end;
            while place > 0 && count < self.counts[place - 1] {
                place -= 1;
            }
            self.counts.copy_within(place..end, place + 1);
            self.counts[place] = count;
            self.son.copy_within(place..end, place + 1);
            self.son[place] = 2 * pair as u16;
        }
        for node in 0..nodes {
            self.adopt(node, self.son[node].into());
        }
        self.counts[nodes] = u16::MAX;
        self.parent[nodes - 1] = 0;
    }
}

/// A distance, 1 to 4096: six bits in a code of 3 to 8, then six as they are.
fn distance(bits: &mut Bits<'_>) -> usize {
    // The first values of codes of 3, 4, ... 8 bits, and where their codes begin as 8 bits.
    const FROM: [(usize, usize); 6] =
        [(0, 0), (1, 0x20), (4, 0x50), (12, 0x90), (24, 0xC0), (48, 0xF0)];
    let code = bits.peek(8);
    let short = FROM.iter().rposition(|(_, from)| *from <= code).unwrap_or(0);
    let (value, from) = FROM[short];
    let upper = value + ((code - from) >> (5 - short));
    bits.skip(3 + short as u32);
    (upper << 6 | bits.take(6)) + 1
}

/// Decodes exactly `size` bytes; before the first there are spaces.
#[must_use]
pub fn decode(input: &[u8], size: usize, budget: &Budget) -> Decoded {
    let mut bits = Bits::new(input, 0);
    let mut out = Window::new(size, b' ', budget);
    let mut code = Adaptive::new(SYMBOLS);
    let mut go = || {
        while !out.is_full() {
            let symbol = code.read(&mut bits);
            let dist = if symbol > 255 { distance(&mut bits) } else { 0 };
            if bits.is_over() {
                return Err(Error::Truncated { what: "LZHUF", at: input.len() });
            }
            match symbol.checked_sub(256) {
                None => out.push(symbol as u8)?,
                Some(more) => out.repeat(dist, more + 3)?,
            }
        }
        Ok(())
    };
    let error = go().err();
    out.finish(bits.consumed(), error)
}
