//! Streams put together here, by a writer of its own for each generation, against what they must be decoded to.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write as _;

use super::*;

pub(crate) mod old;

/// What a stream is made of.
pub(crate) enum Op {
    Bytes(Vec<u8>),
    /// Distance and length.
    Match(usize, usize),
    /// A match of two bytes, which RAR 3 has a shorter form for.
    Short(usize),
    /// One of the last four distances, and a length.
    Again(usize, usize),
    /// The last match once more.
    Last,
    /// A filter of RAR 5: from here, bytes, kind, channels of delta.
    Filter(usize, usize, u32, usize),
    /// A program of RAR 3 with its first register: from here, bytes.
    Program(Vec<u8>, usize, usize, u32),
}

#[derive(Default)]
pub(crate) struct Bitter {
    pub(crate) bytes: Vec<u8>,
    used: u32,
}

impl Bitter {
    fn put(&mut self, value: usize, count: u32) {
        for n in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let bit = (value >> n & 1) as u8;
            *self.bytes.last_mut().unwrap() |= bit << (7 - self.used % 8);
            self.used += 1;
        }
    }

    /// The bits from this one on.
    fn after(&self, from: u32) -> Vec<u8> {
        let mut rest = Self::default();
        for n in from..self.used {
            rest.put((self.bytes[n as usize / 8] >> (7 - n % 8) & 1).into(), 1);
        }
        rest.bytes
    }

    /// The symbol of a code of these lengths.
    fn symbol(&mut self, lengths: &[u8], symbol: usize) {
        let own = lengths[symbol];
        let before = |len: u8, n: usize| len > 0 && (len < own || len == own && n < symbol);
        let space: usize = lengths
            .iter()
            .enumerate()
            .filter(|(n, len)| before(**len, *n))
            .map(|(_, len)| 1 << (16 - len))
            .sum();
        self.put(space >> (16 - own), own.into());
    }

    /// The lengths of codes, with runs where there are some.
    fn lengths(&mut self, all: &[u8]) {
        let five = [5; 20];
        (0..20).for_each(|_| self.put(5, 4));
        let mut n = 0;
        while n < all.len() {
            self.symbol(&five, all[n].into());
            let same = all[n + 1..].iter().take_while(|len| **len == all[n]).count();
            n += 1;
            if same >= 11 {
                let run = same.min(138);
                self.symbol(&five, 17);
                self.put(run - 11, 7);
                n += run;
            } else if same >= 3 {
                let run = same.min(10);
                self.symbol(&five, 16);
                self.put(run - 3, 3);
                n += run;
            }
        }
    }

    /// The slot of a value: its symbol by `write`, then the bits that tell the value.
    fn slot(
        &mut self,
        value: usize,
        table: impl Fn(usize) -> (usize, u32),
        write: impl FnOnce(&mut Self, usize),
    ) {
        let fits = |n: &usize| (table(*n).0..table(*n).0 + (1 << table(*n).1)).contains(&value);
        let slot = (0..64).find(fits).unwrap();
        write(self, slot);
        self.put(value - table(slot).0, table(slot).1);
    }
}

fn lengths_of(parts: &[(usize, u8)]) -> Vec<u8> {
    parts.iter().flat_map(|(count, len)| vec![*len; *count]).collect()
}

/// Slots of lengths of RAR 5.
fn slot5(n: usize) -> (usize, u32) {
    if n < 8 { (n, 0) } else { ((4 | n & 3) << (n / 4 - 1), n as u32 / 4 - 1) }
}

/// A block of RAR 5.
pub(crate) fn block5(ops: &[Op], has_codes: bool, last: bool) -> Vec<u8> {
    let main = lengths_of(&[(256, 9), (50, 7)]);
    let (distances, low, repeats) = ([6; 64], [4; 16], [6; 44]);
    let mut out = Bitter::default();
    if has_codes {
        out.lengths(&[&main[..], &distances, &low, &repeats].concat());
    }
    for op in ops {
        match op {
            Op::Bytes(bytes) => bytes.iter().for_each(|b| out.symbol(&main, (*b).into())),
            Op::Match(distance, length) => {
                let more = [0x100, 0x2000, 0x40000].iter().filter(|d| distance > d).count();
                out.slot(length - 2 - more, slot5, |out, n| out.symbol(&main, 262 + n));
                let value = distance - 1;
                if value < 4 {
                    out.symbol(&distances, value);
                    continue;
                }
                let count = value.ilog2() - 1;
                out.symbol(&distances, 2 * (count as usize + 1) + (value >> count & 1));
                let rest = value & ((1 << count) - 1);
                if count < 4 {
                    out.put(rest, count);
                } else {
                    out.put(rest >> 4, count - 4);
                    out.symbol(&low, rest & 15);
                }
            }
            Op::Again(n, length) => {
                out.symbol(&main, 258 + n);
                out.slot(length - 2, slot5, |out, n| out.symbol(&repeats, n));
            }
            Op::Last => out.symbol(&main, 257),
            Op::Filter(start, length, kind, channels) => {
                out.symbol(&main, 256);
                for number in [*start, *length] {
                    out.put(3, 2);
                    (number as u32).to_le_bytes().iter().for_each(|b| out.put((*b).into(), 8));
                }
                out.put(*kind as usize, 3);
                if *kind == 0 {
                    out.put(channels - 1, 5);
                }
            }
            Op::Short(_) | Op::Program(..) => panic!("not in RAR 5"),
        }
    }
    let body = out.bytes;
    let flags =
        ((out.used + 7) % 8) as u8 | 2 << 3 | u8::from(last) << 6 | u8::from(has_codes) << 7;
    let size = &(body.len() as u32).to_le_bytes()[..3];
    let sum = size.iter().fold(0x5A ^ flags, |sum, b| sum ^ b);
    [&[flags, sum], size, &body].concat()
}

/// A number in the description of a filter.
fn number(out: &mut Bitter, value: u32) {
    out.put(3, 2);
    out.put(value as usize, 32);
}

/// A block of RAR 3 and how it ends: the content with the same codes to follow, or another block.
pub(crate) fn block3(out: &mut Bitter, ops: &[Op], ends: bool) {
    let main = lengths_of(&[(256, 9), (43, 7)]);
    let (distances, low, repeats) = ([6; 60], [5; 17], [5; 28]);
    let far = slots::<60>(|n| match n {
        0..4 => 0,
        4..36 => n as u32 / 2 - 1,
        36..48 => 16,
        _ => 18,
    });
    let of_length = slots::<28>(|n| if n < 8 { 0 } else { n as u32 / 4 - 1 });
    let of_short = slots::<8>(|n| [2, 2, 3, 4, 5, 6, 6, 6][n]);
    let align = (8 - out.used % 8) % 8;
    out.put(0, align);
    out.put(0, 2);
    out.lengths(&[&main[..], &distances, &low, &repeats].concat());
    for op in ops {
        match op {
            Op::Bytes(bytes) => bytes.iter().for_each(|b| out.symbol(&main, (*b).into())),
            Op::Match(distance, length) => {
                let more = [0x2000, 0x40000].iter().filter(|d| distance >= d).count();
                out.slot(length - 3 - more, |n| of_length[n], |out, n| out.symbol(&main, 271 + n));
                let value = distance - 1;
                let slot = (0..60).rfind(|n| far[*n].0 <= value).unwrap();
                let (base, count) = far[slot];
                out.symbol(&distances, slot);
                if slot <= 9 {
                    out.put(value - base, count);
                } else {
                    out.put((value - base) >> 4, count - 4);
                    out.symbol(&low, (value - base) & 15);
                }
            }
            Op::Short(distance) => {
                out.slot(distance - 1, |n| of_short[n.min(7)], |out, n| out.symbol(&main, 263 + n));
            }
            Op::Again(n, length) => {
                out.symbol(&main, 259 + n);
                out.slot(length - 2, |n| of_length[n], |out, n| out.symbol(&repeats, n));
            }
            Op::Last => out.symbol(&main, 258),
            Op::Program(program, start, length, register) => {
                out.symbol(&main, 257);
                let mut code = Bitter::default();
                // All programs anew, this one; from here; its length; register 0; its code.
                [0, *start as u32, *length as u32].iter().for_each(|n| number(&mut code, *n));
                code.put(1, 7);
                number(&mut code, *register);
                number(&mut code, program.len() as u32);
                program.iter().for_each(|b| code.put((*b).into(), 8));
                out.put(0x80 | 0x20 | 0x10 | 7, 8);
                out.put(code.bytes.len(), 16);
                code.bytes.iter().for_each(|b| out.put((*b).into(), 8));
            }
            Op::Filter(..) => panic!("not in RAR 3"),
        }
    }
    out.symbol(&main, 256);
    if ends { out.put(0, 2) } else { out.put(1, 1) }
}

fn slots<const N: usize>(bits: impl Fn(usize) -> u32) -> Vec<(usize, u32)> {
    let mut base = 0;
    (0..N)
        .map(|n| {
            let made = (base, bits(n));
            base += 1 << bits(n);
            made
        })
        .collect()
}

/// What these operations mean after `before`.
pub(crate) fn meaning(before: &[u8], ops: &[Op]) -> Vec<u8> {
    let mut all = before.to_vec();
    let (mut recent, mut last) = (vec![0; 4], 0);
    for op in ops {
        let (distance, length) = match op {
            Op::Bytes(bytes) => {
                all.extend_from_slice(bytes);
                continue;
            }
            Op::Filter(..) | Op::Program(..) => continue,
            Op::Last => (recent[0], last),
            Op::Again(n, length) => {
                let distance = recent.remove(*n);
                recent.insert(0, distance);
                (distance, *length)
            }
            Op::Match(distance, length) => {
                recent.insert(0, *distance);
                (*distance, *length)
            }
            Op::Short(distance) => {
                recent.insert(0, *distance);
                (*distance, 2)
            }
        };
        recent.truncate(4);
        last = length;
        for _ in 0..length {
            all.push(all[all.len() - distance]);
        }
    }
    all.split_off(before.len())
}

pub(crate) fn prose(count: usize) -> Vec<u8> {
    (0..count).map(|n| b"the quick brown fox, "[n * n % 17 + n % 4]).collect()
}

/// Matches near and far.
pub(crate) fn plain_ops() -> Vec<Op> {
    vec![
        Op::Bytes(prose(300)),
        Op::Match(1, 5),
        Op::Match(4, 30),
        Op::Last,
        Op::Match(290, 200),
        Op::Again(2, 9),
        Op::Bytes((0..=255).collect()),
        Op::Match(17, 3),
        Op::Again(1, 4),
        Op::Match(700, 258),
        Op::Again(3, 19),
        Op::Match(33, 40),
    ]
}

fn far_ops() -> Vec<Op> {
    let mut ops = vec![Op::Bytes(prose(1000))];
    ops.extend((0..1400).map(|n| Op::Match(1 + n % 900, 200 + n % 50)));
    ops.extend([Op::Match(8193, 20), Op::Match(0x40000, 21), Op::Match(0x40001, 22)]);
    ops
}

#[track_caller]
fn decoded(unpacker: &mut Unpacker<'_>, input: &[u8], size: usize) -> Part {
    let part = unpacker.content(input, Some(size));
    assert_eq!(part.error, None);
    assert_eq!(part.range.len(), size);
    part
}

#[test]
fn matches_of_rar_5_in_blocks_and_across_contents() {
    let budget = Budget::ample();
    let mut unpacker = Unpacker::new(Generation::Five, 1 << 20, &budget);
    let first = plain_ops();
    let plain = meaning(b"", &first);
    let (head, tail) = first.split_at(5);
    // A block may go on with the codes of the one before; and so may the next content, with its window too.
    let input = [block5(head, true, false), block5(tail, false, true)].concat();
    decoded(&mut unpacker, &input, plain.len());
    let second = [Op::Match(plain.len(), 100), Op::Bytes(vec![1, 2, 3]), Op::Again(0, 7)];
    let after = meaning(&plain, &second);
    decoded(&mut unpacker, &block5(&second, false, true), after.len());
    assert!(unpacker.finish() == [plain, after].concat());
}

#[test]
fn far_matches_of_both_generations() {
    let budget = Budget::ample();
    let ops = far_ops();
    let plain = meaning(b"", &ops);
    let mut out = Bitter::default();
    block3(&mut out, &ops, true);
    for (generation, input) in
        [(Generation::Five, block5(&ops, true, true)), (Generation::Three, out.bytes)]
    {
        let mut unpacker = Unpacker::new(generation, plain.len(), &budget);
        decoded(&mut unpacker, &input, plain.len());
        assert!(unpacker.finish() == plain, "{generation:?}");
    }
}

#[test]
fn matches_of_rar_3_in_blocks_and_across_contents() {
    let budget = Budget::ample();
    let mut unpacker = Unpacker::new(Generation::Three, 1 << 20, &budget);
    let mut first = plain_ops();
    first.extend([Op::Short(1), Op::Short(200), Op::Again(0, 3)]);
    let plain = meaning(b"", &first);
    let mut out = Bitter::default();
    let (head, tail) = first.split_at(6);
    block3(&mut out, head, false);
    block3(&mut out, tail, true);
    decoded(&mut unpacker, &out.bytes, plain.len());
    // The codes are kept: the next content begins without a head.
    let second = [Op::Match(plain.len(), 100), Op::Bytes(vec![1, 2, 3]), Op::Again(0, 7)];
    let after = meaning(&plain, &second);
    let mut whole = Bitter::default();
    block3(&mut whole, &[], true);
    let head = whole.used - 9;
    block3(&mut Bitter::default(), &second, true);
    let mut with_head = Bitter::default();
    block3(&mut with_head, &second, true);
    decoded(&mut unpacker, &with_head.after(head), after.len());
    assert!(unpacker.finish() == [plain, after].concat());
}

/// Differences of channels, as the archiver stores them.
pub(crate) fn delta(plain: &[u8], channels: usize) -> Vec<u8> {
    let mut made = Vec::new();
    for channel in 0..channels {
        let mut last = 0_u8;
        for byte in plain.iter().skip(channel).step_by(channels) {
            made.push(last.wrapping_sub(*byte));
            last = *byte;
        }
    }
    made
}

#[test]
fn filters_of_rar_5() {
    let budget = Budget::ample();
    let plain: Vec<u8> = (0..3000_u32).map(|n| (n * n / 7) as u8).collect();
    let calls =
        [&[0x90; 11][..], &[0xE8, 0x00, 0x10, 0, 0], &[0xE9, 0x34, 0x12, 0, 0], &[0; 9]].concat();
    let mut relative = calls.clone();
    // From the place behind the opcode, counted from the start of the content.
    relative[12..16].copy_from_slice(&(0x1000_u32 - 3012).to_le_bytes());
    let mut both = relative.clone();
    both[17..21].copy_from_slice(&(0x1234_u32 - 3017).to_le_bytes());
    let branch = [1, 2, 3, 4, 0x10, 0x20, 0x00, 0xEB];
    let ops = [
        Op::Filter(0, 3000, 0, 7),
        Op::Bytes(delta(&plain, 7)),
        Op::Filter(0, 30, 1, 0),
        Op::Filter(30, 30, 2, 0),
        Op::Bytes(calls.clone()),
        Op::Bytes(
            [&[0x90; 11][..], &[0xE8, 30, 0x10, 0, 0], &[0xE9, 0x34 + 30, 0x12, 0, 0], &[0; 9]]
                .concat(),
        ),
        Op::Filter(0, 8, 3, 0),
        Op::Bytes(branch.to_vec()),
    ];
    let raw = meaning(b"", &ops);
    let mut unpacker = Unpacker::new(Generation::Five, 1 << 20, &budget);
    let part = decoded(&mut unpacker, &block5(&ops, true, true), raw.len());
    let mut made = unpacker.finish();
    assert!(made == raw);
    assert_eq!(part.filter(&mut made), Ok(()));
    let target = 0x2010_u32 - (3060 + 4) / 4;
    let moved = [&branch[..4], &target.to_le_bytes()[..3], &[0xEB]].concat();
    assert!(made[..3000] == plain);
    assert_eq!(made[3000..3030], relative);
    assert_eq!(made[3030..3060], both);
    assert_eq!(made[3060..], moved);
}

#[test]
fn an_unknown_program_is_named_and_not_run() {
    let budget = Budget::ample();
    let program = vec![0x42, 0x42 ^ 0x11, 0x11];
    let ops = [Op::Program(program, 3, 20, 5), Op::Bytes(prose(40))];
    let mut out = Bitter::default();
    block3(&mut out, &ops, true);
    let mut unpacker = Unpacker::new(Generation::Three, 40, &budget);
    let part = decoded(&mut unpacker, &out.bytes, 40);
    assert_eq!((part.filters[0].start, part.filters[0].length), (3, 20));
    let mut made = unpacker.finish();
    assert!(matches!(part.filter(&mut made), Err(Error::Unsupported { .. })));
    assert!(made == prose(40));
}

#[test]
fn known_programs_of_rar_3() {
    let kind = |size, crc| filter::Kind::of_program(size, crc).with(2, 1);
    assert_eq!(kind(29, 0x0E06_077D), filter::Kind::Delta { channels: 2 });
    assert_eq!(kind(149, 0x1C2C_5DC8), filter::Kind::Rgb { width: 2, red: 1 });
    assert_eq!(kind(29, 0x0E06_077C), filter::Kind::Program(0x0E06_077C));
    let plain: Vec<u8> = (0..400_u32).map(|n| (n * 3) as u8).collect();
    let mut stored = delta(&plain, 2);
    let undone = Filter { kind: kind(29, 0x0E06_077D), start: 0, length: 400 };
    undone.undo(&mut stored).unwrap();
    assert!(stored == plain);
}

/// A model's block: its head, then symbols, of which 2 begins what is not a byte.
#[test]
fn a_model_of_rar_3_and_its_escapes() {
    let budget = Budget::ample();
    let text = prose(500);
    // A match of 40 bytes from 300 back, 20 times the last byte, the byte 2 itself, the end.
    let symbols = [&text[..], &[2, 4, 0, 1, 42, 8], &[2, 5, 16], &[2, 1], &[2, 2]].concat();
    let mut encoder = ppmd_rust::Ppmd7aEncoder::new(Vec::new(), 6, 1 << 20).unwrap();
    encoder.write_all(&symbols).unwrap();
    let input = [vec![0x80 | 0x20 | 5, 0], encoder.finish(false).unwrap()].concat();
    let mut plain = meaning(&[], &[Op::Bytes(text), Op::Match(300, 40), Op::Match(1, 20)]);
    plain.push(2);
    let mut unpacker = Unpacker::new(Generation::Three, plain.len(), &budget);
    decoded(&mut unpacker, &input, plain.len());
    assert!(unpacker.finish() == plain);
}

#[test]
fn damage_is_told_and_bounded() {
    let budget = Budget::ample();
    let ops = plain_ops();
    let size = meaning(b"", &ops).len();
    let mut three = Bitter::default();
    block3(&mut three, &ops, true);
    for (generation, input) in
        [(Generation::Five, block5(&ops, true, true)), (Generation::Three, three.bytes)]
    {
        for cut in 0..input.len() {
            let mut unpacker = Unpacker::new(generation, size, &budget);
            let part = unpacker.content(&input[..cut], Some(size));
            assert!(part.error.is_some() || part.range.len() == size, "{generation:?} at {cut}");
        }
        for bit in 0..input.len() * 8 {
            let mut damaged = input.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let part = Unpacker::new(generation, size, &budget).content(&damaged, Some(size));
            assert!(part.range.len() <= size);
        }
    }
    let poor = Budget::new(100, 1, 1 << 20, None);
    let mut unpacker = Unpacker::new(Generation::Five, size, &poor);
    let part = unpacker.content(&block5(&ops, true, true), Some(size));
    assert!(matches!(part.error, Some(Error::Exhausted(_))), "{:?}", part.error);
}
