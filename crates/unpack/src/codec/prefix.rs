//! Prefix codes of any shape that are read bit by bit: for formats that are old and small, whose codes are longer, stand in
//! another order, or are stored in another way than [`huffman`](super::huffman) takes them.

// Nodes that are followed were made; code lengths are below 64.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// Where a bit leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Nowhere,
    Node(u16),
    Symbol(u16),
}

/// A code.
#[derive(Debug, Clone)]
pub struct Prefix {
    nodes: Vec<[Next; 2]>,
    /// The symbol of a code that has only one, of no bits.
    only: Option<u16>,
}

impl Default for Prefix {
    fn default() -> Self {
        Self { nodes: vec![[Next::Nowhere; 2]], only: None }
    }
}

impl Prefix {
    /// Nodes that a code may have.
    const MOST: usize = 1 << 15;

    /// Adds the symbol of the `len` bits `code`, whose first one is the most significant. None where another symbol is
    /// in the way.
    pub fn insert(&mut self, code: u64, len: u8, symbol: u16) -> Option<()> {
        if len == 0 || len > 63 {
            return None;
        }
        let mut at = 0;
        for shift in (0..len).rev() {
            let bit = (code >> shift & 1) as usize;
            at = match (self.nodes[at][bit], shift) {
                (Next::Nowhere, 0) => {
                    self.nodes[at][bit] = Next::Symbol(symbol);
                    return Some(());
                }
                (Next::Nowhere, _) if self.nodes.len() < Self::MOST => {
                    self.nodes.push([Next::Nowhere; 2]);
                    let made = self.nodes.len() - 1;
                    self.nodes[at][bit] = Next::Node(made as u16);
                    made
                }
                (Next::Node(next), 1..) => next.into(),
                _ => return None,
            };
        }
        None
    }

    /// The code whose symbols are `order`ed, each with its length: codes of one length follow each other, shorter ones
    /// come first. None where they need more than there is.
    pub fn in_order(order: impl IntoIterator<Item = (u16, u8)>) -> Option<Self> {
        let (mut made, mut code, mut before) = (Self::default(), 0_u64, 0_u8);
        for (symbol, len) in order {
            if len > 63 || len < before {
                return None;
            }
            code <<= len - before;
            if code >> len != 0 {
                return None;
            }
            made.insert(code, len, symbol)?;
            code += 1;
            before = len;
        }
        Some(made)
    }

    /// The canonical code of these lengths, 0 for symbols that do not occur. A single symbol takes no bits.
    #[must_use]
    pub fn of_lengths(lengths: &[u8]) -> Option<Self> {
        let mut order: Vec<_> =
            (0_u16..).zip(lengths.iter().copied()).filter(|(_, len)| *len > 0).collect();
        if let [(symbol, _)] = order[..] {
            return Some(Self { only: Some(symbol), ..Self::default() });
        }
        order.sort_by_key(|(_, len)| *len);
        Self::in_order(order)
    }

    /// The symbol that `bit` spells, if it is one.
    #[inline]
    pub fn read(&self, mut bit: impl FnMut() -> usize) -> Option<usize> {
        if let Some(symbol) = self.only {
            return Some(symbol.into());
        }
        let mut at = 0;
        loop {
            match self.nodes[at][bit() & 1] {
                Next::Symbol(symbol) => return Some(symbol.into()),
                Next::Node(next) => at = next.into(),
                Next::Nowhere => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_codes_and_their_limits() {
        // a: 0, c: 10, b: 110, d: 111.
        let code = Prefix::of_lengths(&[1, 3, 2, 3]).unwrap();
        let read = |bits: &[usize]| {
            let mut bits = bits.iter().copied();
            code.read(|| bits.next().unwrap())
        };
        assert_eq!(
            [read(&[0]), read(&[1, 0]), read(&[1, 1, 0]), read(&[1, 1, 1])],
            [Some(0), Some(2), Some(1), Some(3)]
        );
        assert!(Prefix::of_lengths(&[1, 1, 1]).is_none());
        assert!(Prefix::of_lengths(&[1, 64, 1]).is_none());
        assert_eq!(Prefix::of_lengths(&[0, 7]).unwrap().read(|| panic!("a bit")), Some(1));
        // What is left out of a code is no symbol.
        assert_eq!(Prefix::of_lengths(&[2, 2]).unwrap().read(|| 1), None);
        assert_eq!(Prefix::default().read(|| 0), None);
    }
}
