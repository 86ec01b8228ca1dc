//! Filters in front of LZMA that make machine code compress better: absolute branch
//! targets are turned back into relative ones. Works in place on a whole block.
//!
//! Method: "The .xz file format" 1.2 and the filters of the LZMA SDK (public domain).

// Each step works on a slice of fixed size taken from the data; the arithmetic is that of addresses,
// which wrap.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

/// A filter, and the address its first byte stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Differences to the byte this many bytes before, 1 to 256.
    Delta(usize),
    /// x86, 32 and 64 bit.
    X86(u32),
    /// PowerPC, big-endian.
    PowerPc(u32),
    /// Itanium.
    Ia64(u32),
    /// ARM, 32-bit instructions.
    Arm(u32),
    /// ARM Thumb.
    Thumb(u32),
    /// SPARC.
    Sparc(u32),
    /// ARM64.
    Arm64(u32),
    /// RISC-V, 32 and 64 bit.
    RiscV(u32),
}

impl Filter {
    /// Undoes the filter.
    pub fn undo(self, data: &mut [u8]) {
        match self {
            Self::Delta(distance) => {
                for i in distance.max(1)..data.len() {
                    data[i] = data[i].wrapping_add(data[i - distance.max(1)]);
                }
            }
            Self::X86(pc) => x86(data, pc),
            Self::PowerPc(pc) => words(data, pc, |word, pc| {
                let w = u32::from_be_bytes(*word);
                if w & 0xfc00_0003 == 0x4800_0001 {
                    let to = w.wrapping_sub(pc) & 0x03ff_fffc;
                    *word = (0x4800_0001 | to).to_be_bytes();
                }
            }),
            Self::Sparc(pc) => words(data, pc, |word, pc| {
                let w = u32::from_be_bytes(*word);
                // `call` with a displacement that fits 23 bits and a sign.
                if w >> 22 == 0x100 || w >> 22 == 0x1ff {
                    let to = (w << 2).wrapping_sub(pc) >> 2;
                    let sign = (0u32.wrapping_sub((to >> 22) & 1) << 22) & 0x3fff_ffff;
                    *word = (sign | (to & 0x003f_ffff) | 0x4000_0000).to_be_bytes();
                }
            }),
            Self::Arm(pc) => words(data, pc, |word, pc| {
                if word[3] == 0xeb {
                    let w = u32::from_le_bytes([word[0], word[1], word[2], 0]);
                    let to = (w << 2).wrapping_sub(pc.wrapping_add(8)) >> 2;
                    word[..3].copy_from_slice(&to.to_le_bytes()[..3]);
                }
            }),
            Self::Arm64(pc) => words(data, pc, |word, pc| {
                let w = u32::from_le_bytes(*word);
                if w >> 26 == 0x25 {
                    let to = w.wrapping_sub(pc >> 2) & 0x03ff_ffff;
                    *word = (0x9400_0000 | to).to_le_bytes();
                } else if w & 0x9f00_0000 == 0x9000_0000 {
                    let from = ((w >> 29) & 3) | ((w >> 3) & 0x001f_fffc);
                    // Only pages within 512 MiB either way were converted.
                    if from.wrapping_add(0x0002_0000) & 0x001c_0000 == 0 {
                        let to = from.wrapping_sub(pc >> 12);
                        let sign = 0u32.wrapping_sub(to & 0x0002_0000) & 0x00e0_0000;
                        let w =
                            (w & 0x9000_001f) | ((to & 3) << 29) | ((to & 0x0003_fffc) << 3) | sign;
                        *word = w.to_le_bytes();
                    }
                }
            }),
            Self::Thumb(pc) => thumb(data, pc),
            Self::Ia64(pc) => ia64(data, pc),
            Self::RiscV(pc) => riscv(data, pc),
        }
    }
}

/// Each aligned word with its address.
fn words(data: &mut [u8], mut pc: u32, step: impl Fn(&mut [u8; 4], u32)) {
    for word in data.as_chunks_mut::<4>().0 {
        step(word, pc);
        pc = pc.wrapping_add(4);
    }
}

/// `call` and `jmp` with 32-bit displacements whose top byte is 0 or 255. Opcode bytes shortly before may
/// be part of the same instruction, so the places of the last ones decide whether a candidate counts.
fn x86(data: &mut [u8], start: u32) {
    let near = |b: u8| b == 0 || b == 0xff;
    let mut seen: u32 = 0; // bit n: an opcode byte n bytes back; bits 4 and up: with a near top byte
    let mut last: usize = 0;
    let mut at = 0;
    let mut first = true;
    while at + 5 <= data.len() {
        let Some(skip) = memchr::memchr2(0xe8, 0xe9, &data[at..data.len() - 4]) else { break };
        at += skip;
        let distance = if first { 5 + at } else { at - last };
        first = false;
        last = at;
        if distance > 5 {
            seen = 0;
        } else {
            for _ in 0..distance {
                seen = (seen & 0x77) << 1;
            }
        }
        let top = data[at + 4];
        let before = seen >> 1;
        if near(top) && before < 0x10 && matches!(before & 7, 0 | 1 | 2 | 4) {
            let pc = start.wrapping_add(at as u32).wrapping_add(5);
            let mut from = u32::from_le_bytes([data[at + 1], data[at + 2], data[at + 3], top]);
            let to = loop {
                let to = from.wrapping_sub(pc);
                if seen == 0 {
                    break to;
                }
                let shift = [0, 1, 2, 2, 3, 3, 3, 3][(before & 7) as usize] * 8;
                if !near((to >> (24 - shift)) as u8) {
                    break to;
                }
                from = to ^ ((1u64 << (32 - shift)) - 1) as u32;
            };
            let [a, b, c, d] = to.to_le_bytes();
            data[at + 1..at + 5].copy_from_slice(&[a, b, c, if d & 1 == 1 { 0xff } else { 0 }]);
            at += 5;
            seen = 0;
        } else {
            at += 1;
            seen |= if near(top) { 0x11 } else { 1 };
        }
    }
}

/// `bl` in two halfwords.
fn thumb(data: &mut [u8], pc: u32) {
    let mut at = 0;
    while at + 4 <= data.len() {
        let w = &mut data[at..at + 4];
        if w[1] & 0xf8 == 0xf0 && w[3] & 0xf8 == 0xf8 {
            let from = ((u32::from(w[1]) & 7) << 19)
                | (u32::from(w[0]) << 11)
                | ((u32::from(w[3]) & 7) << 8)
                | u32::from(w[2]);
            let to = (from << 1).wrapping_sub(pc.wrapping_add(at as u32).wrapping_add(4)) >> 1;
            w[1] = 0xf0 | ((to >> 19) & 7) as u8;
            w[0] = (to >> 11) as u8;
            w[3] = 0xf8 | ((to >> 8) & 7) as u8;
            w[2] = to as u8;
            at += 2;
        }
        at += 2;
    }
}

/// IP-relative branches in the slots of 128-bit bundles.
fn ia64(data: &mut [u8], mut pc: u32) {
    /// Which of the three slots can hold a branch, by template.
    const SLOTS: [u8; 32] = {
        let mut t = [0; 32];
        (t[16], t[17], t[18], t[19], t[22], t[23]) = (4, 4, 6, 6, 7, 7);
        (t[24], t[25], t[28], t[29]) = (4, 4, 4, 4);
        t
    };
    for bundle in data.as_chunks_mut::<16>().0 {
        let mut bits = u128::from_le_bytes(*bundle);
        let mask = SLOTS[(bits & 31) as usize];
        for slot in (0..3).filter(|s| (mask >> s) & 1 == 1) {
            let shift = 5 + 41 * slot;
            let w = ((bits >> shift) & ((1 << 41) - 1)) as u64;
            if (w >> 37) & 15 == 5 && (w >> 9) & 7 == 0 {
                let from = (((w >> 13) & 0xf_ffff) | (((w >> 36) & 1) << 20)) as u32;
                let to = u64::from((from << 4).wrapping_sub(pc) >> 4);
                let new =
                    (w & !(0x8f_ffff << 13)) | ((to & 0xf_ffff) << 13) | ((to & 0x10_0000) << 16);
                bits ^= u128::from(w ^ new) << shift;
            }
        }
        *bundle = bits.to_le_bytes();
        pc = pc.wrapping_add(16);
    }
}

/// `jal`, and pairs of `auipc` with a following instruction that uses its register.
fn riscv(data: &mut [u8], start: u32) {
    let le = |b: &[u8]| u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    let mut at = 0;
    while at + 8 <= data.len() {
        let pc = start.wrapping_add(at as u32);
        let w = &mut data[at..at + 8];
        let op = le(w);
        if w[0] == 0xef && w[1] & 0x0d == 0 {
            // The encoder stored the address in big-endian order, without its lowest bit.
            let stored =
                ((u32::from(w[1]) & 0xf0) << 13) | (u32::from(w[2]) << 9) | (u32::from(w[3]) << 1);
            let to = stored.wrapping_sub(pc);
            let jal = (op & 0xfff)
                | (to & 0x000f_f000)
                | ((to & 0x0000_0800) << 9)
                | ((to & 0x0000_07fe) << 20)
                | ((to & 0x0010_0000) << 11);
            w[..4].copy_from_slice(&jal.to_le_bytes());
            at += 4;
        } else if op & 0x7f == 0x17 {
            let second = le(&w[4..]);
            let (auipc, other);
            if op & 0xe80 != 0 {
                // Any register but x0 and x2: only a pair that the encoder had to disguise is touched.
                if ((op << 8) ^ second.wrapping_sub(3)) & 0x000f_8003 != 0 {
                    at += 6;
                    continue;
                }
                auipc = 0x17 | (2 << 7) | (second << 12);
                other = (op & 0xffff_f000).wrapping_add(second >> 20);
            } else {
                let register = op >> 27;
                if op.wrapping_sub(0x3117) << 18 >= register & 0x1d {
                    at += 4;
                    continue;
                }
                let to = second.swap_bytes().wrapping_sub(pc);
                auipc = 0x17 | (register << 7) | (to.wrapping_add(0x800) & 0xffff_f000);
                other = (op >> 12) | (to << 20);
            }
            w[..4].copy_from_slice(&auipc.to_le_bytes());
            w[4..].copy_from_slice(&other.to_le_bytes());
            at += 8;
        } else {
            at += 2;
        }
    }
}
