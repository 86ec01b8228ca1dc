//! BLAKE2sp: eight BLAKE2s hashes of every eighth block each, and one over their results.
//!
//! Source: RFC 7693 (BLAKE2s), "BLAKE2: simpler, smaller, fast as MD5" 2.10 and 2.11 (tree mode).

// States and messages have a fixed size.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

const BLOCK: usize = 64;
const LEAVES: usize = 8;
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
const SIGMA: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];
/// Places of the state that each of the eight steps of a round mixes.
const STEPS: [[usize; 4]; 8] = [
    [0, 4, 8, 12],
    [1, 5, 9, 13],
    [2, 6, 10, 14],
    [3, 7, 11, 15],
    [0, 5, 10, 15],
    [1, 6, 11, 12],
    [2, 7, 8, 13],
    [3, 4, 9, 14],
];

/// One node of the tree: its state, and how many bytes went into it.
struct Node {
    state: [u32; 8],
    count: u64,
}

impl Node {
    /// The node at `offset` of the level `depth`, in a tree of two levels and eight leaves with results of 32 bytes.
    fn new(offset: u32, depth: u32) -> Self {
        let mut state = IV;
        state[0] ^= 32 | (LEAVES as u32) << 16 | 2 << 24;
        state[2] ^= offset;
        state[3] ^= depth << 16 | 32 << 24;
        Self { state, count: 0 }
    }

    /// Takes the next block; `last` is whether it is the last one of this node and of its level.
    fn block(&mut self, bytes: &[u8], last: (bool, bool)) {
        let mut block = [0; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        self.count += bytes.len() as u64;
        let mut m = [0; 16];
        for (word, four) in m.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*four);
        }
        let mut v = [0; 16];
        v[..8].copy_from_slice(&self.state);
        v[8..].copy_from_slice(&IV);
        v[12] ^= self.count as u32;
        v[13] ^= (self.count >> 32) as u32;
        v[14] ^= if last.0 { u32::MAX } else { 0 };
        v[15] ^= if last.1 { u32::MAX } else { 0 };
        for order in SIGMA {
            for (n, [a, b, c, d]) in STEPS.into_iter().enumerate() {
                v[a] = v[a].wrapping_add(v[b]).wrapping_add(m[order[2 * n]]);
                v[d] = (v[d] ^ v[a]).rotate_right(16);
                v[c] = v[c].wrapping_add(v[d]);
                v[b] = (v[b] ^ v[c]).rotate_right(12);
                v[a] = v[a].wrapping_add(v[b]).wrapping_add(m[order[2 * n + 1]]);
                v[d] = (v[d] ^ v[a]).rotate_right(8);
                v[c] = v[c].wrapping_add(v[d]);
                v[b] = (v[b] ^ v[c]).rotate_right(7);
            }
        }
        for (n, word) in self.state.iter_mut().enumerate() {
            *word ^= v[n] ^ v[n + 8];
        }
    }

    fn result(&self) -> impl Iterator<Item = u8> {
        self.state.into_iter().flat_map(u32::to_le_bytes)
    }
}

/// The hash of `data`.
#[must_use]
pub fn hash(data: &[u8]) -> [u8; 32] {
    let mut results = Vec::with_capacity(LEAVES * 32);
    for n in 0..LEAVES {
        let mut leaf = Node::new(n as u32, 0);
        let mut at = n * BLOCK;
        loop {
            let rest = data.get(at..).unwrap_or_default();
            let next = at + LEAVES * BLOCK;
            let last = next >= data.len();
            leaf.block(&rest[..rest.len().min(BLOCK)], (last, last && n + 1 == LEAVES));
            if last {
                break;
            }
            at = next;
        }
        results.extend(leaf.result());
    }
    let mut root = Node::new(0, 1);
    let blocks = results.as_chunks::<BLOCK>().0;
    for (n, block) in blocks.iter().enumerate() {
        let last = n + 1 == blocks.len();
        root.block(block, (last, last));
    }
    let mut made = [0; 32];
    made.iter_mut().zip(root.result()).for_each(|(byte, from)| *byte = from);
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::sums::hex;

    /// Vectors of the reference implementation (`blake2-kat`, without a key): the bytes 0, 1, 2, ...
    #[test]
    fn published_vectors() {
        assert_eq!(
            hex(&hash(b"")),
            "dd0e891776933f43c7d032b08a917e25741f8aa9a12c12e1cac8801500f2ca4f"
        );
        assert_eq!(
            hex(&hash(&[0])),
            "a6b9eecc25227ad788c99d3f236debc8da408849e9a5178978727a81457f7239"
        );
    }

    /// By the tree parameters of Python's `hashlib.blake2s`.
    #[test]
    fn blocks_that_do_not_fill_the_leaves() {
        let data: Vec<u8> = (0..=255).cycle().take(1280).chain(*b"abc").collect();
        assert_eq!(
            hex(&hash(&data)),
            "6a77c23e2edb071a6ce1be80876c51383b7b747291e8bd791312c26d34a9a04f"
        );
    }
}
