//! Zstandard frames (RFC 8878).
//!
//! Works from memory to memory: the output is the window. What was decoded before an error is
//! kept, down to the last whole sequence.

// Table indexes are masked or checked when the table is made; bit positions and lengths are bounded by the
// block they belong to.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod entropy;

use std::sync::LazyLock;

use self::entropy::{Back, Counts, Fse, Huffman, top};
use super::{Decoded, Error, Output, check::xxh64, copy_match};
use crate::{budget::Budget, read};

/// First bytes of a frame.
pub const MAGIC: u32 = 0xfd2f_b528;

/// Largest content of a block.
const BLOCK: usize = 128 << 10;

/// Length of the skippable frame at the start of `data`, header included, if there is one.
#[must_use]
pub fn skippable(data: &[u8]) -> Option<usize> {
    (read::le32(data, 0)? & !15 == 0x184d_2a50)
        .then(|| read::index(u64::from(read::le32(data, 4)?))?.checked_add(8))?
}

/// Decodes all frames that follow each other from the start of `input`; skippable ones are skipped.
#[must_use]
pub fn decode(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let mut out = Output::new(max, budget);
    let (mut ip, mut op) = (0usize, 0usize);
    let mut wrong = None;
    let mut go = || {
        loop {
            let rest = input.get(ip..).unwrap_or_default();
            if let Some(len) = skippable(rest) {
                if len > rest.len() {
                    return Err(Error::Truncated { what: "zstd", at: input.len() });
                }
                ip += len;
            } else if read::le32(rest, 0) == Some(MAGIC) {
                frame(input, &mut ip, &mut out, &mut op, &mut wrong)?;
            } else if ip == 0 {
                return Err(Error::Malformed { what: "no zstd frame", at: 0 });
            } else {
                return Ok(());
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error: wrong.or(error) }
}

/// What a frame carries from block to block.
struct State {
    huffman: Huffman,
    has_huffman: bool,
    /// Of literal lengths, offsets and match lengths.
    tables: [Fse; 3],
    kinds: [Table; 3],
    reps: [usize; 3],
    /// Literals of the block, and [`SLACK`] bytes of anything.
    literals: Vec<u8>,
}

/// Which table a block uses.
#[derive(Clone, Copy)]
enum Table {
    /// None was named yet.
    None,
    Default,
    /// The frame's own.
    Own,
}

/// Bytes behind the literals that may be read and written, so that copies may have a fixed size.
const SLACK: usize = 32;

fn frame(
    input: &[u8],
    ip: &mut usize,
    out: &mut Output<'_>,
    op: &mut usize,
    wrong: &mut Option<Error>,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "zstd", at: input.len() };
    let start = *ip;
    let flags = read::u8(input, start + 4).ok_or(cut)?;
    if flags & 8 != 0 {
        return Err(Error::Malformed {
            what: "a reserved bit of the zstd frame header",
            at: start,
        });
    }
    let single = flags & 0x20 != 0;
    let mut at = start + 5 + usize::from(!single);
    let dictionary = read::slice(input, at, [0, 1, 2, 4][usize::from(flags & 3)]).ok_or(cut)?;
    if dictionary.iter().any(|b| *b != 0) {
        return Err(Error::Unsupported {
            what: "a zstd frame with a dictionary of its own",
            at: start,
        });
    }
    at += dictionary.len();
    let size = match flags >> 6 {
        0 if !single => None,
        0 => Some(u64::from(read::u8(input, at).ok_or(cut)?)),
        1 => Some(u64::from(read::le16(input, at).ok_or(cut)?) + 256),
        2 => Some(u64::from(read::le32(input, at).ok_or(cut)?)),
        _ => Some(read::le64(input, at).ok_or(cut)?),
    };
    at += if size.is_none() { 0 } else { 1 << (flags >> 6) };
    *ip = at;
    let first = *op;
    if let Some(len) = size.filter(|n| *n <= BLOCK as u64) {
        out.expect(first + len as usize)?;
    }
    let mut state = State {
        huffman: Huffman::EMPTY,
        has_huffman: false,
        tables: [Fse::EMPTY; 3],
        kinds: [Table::None; 3],
        reps: [1, 4, 8],
        literals: Vec::new(),
    };
    loop {
        let head = read::array::<3>(input, *ip).ok_or(cut)?;
        let head = u32::from_le_bytes([head[0], head[1], head[2], 0]);
        let len = (head >> 3) as usize;
        let at = *ip + 3;
        if len > BLOCK {
            return Err(Error::Malformed { what: "a zstd block is too long", at: *ip });
        }
        match (head >> 1) & 3 {
            0 => {
                let have = input.get(at..).unwrap_or_default();
                let take = &have[..len.min(have.len())];
                append(out, op, take.len(), |target| target.copy_from_slice(take))?;
                if take.len() < len {
                    *ip = input.len();
                    return Err(cut);
                }
                *ip = at + len;
            }
            1 => {
                let byte = read::u8(input, at).ok_or(cut)?;
                append(out, op, len, |target| target.fill(byte))?;
                *ip = at + 1;
            }
            2 => {
                let body = read::slice(input, at, len).ok_or(cut)?;
                block(body, &mut state, out, op, first).map_err(|e| match e {
                    // Inside a block positions mean nothing to the caller, and its bytes were all there.
                    Error::Malformed { what, .. } => Error::Malformed { what, at },
                    Error::Truncated { .. } => {
                        Error::Malformed { what: "a zstd block is damaged", at }
                    }
                    e => e,
                })?;
                *ip = at + len;
            }
            _ => return Err(Error::Malformed { what: "a zstd block of unknown kind", at: *ip }),
        }
        if head & 1 == 1 {
            break;
        }
    }
    let content = out.buf.get(first..*op).unwrap_or_default();
    if size.is_some_and(|n| n != content.len() as u64) {
        return Err(Error::Malformed {
            what: "a zstd frame has not the size its header says",
            at: start,
        });
    }
    if flags & 4 != 0 {
        if read::le32(input, *ip).ok_or(cut)? != xxh64(content) as u32 {
            wrong.get_or_insert(Error::Checksum { what: "xxHash64 of a zstd frame", at: *ip });
        }
        *ip += 4;
    }
    Ok(())
}

/// Lets `write` fill the next `len` bytes, or as many as fit.
fn append(
    out: &mut Output<'_>,
    op: &mut usize,
    len: usize,
    write: impl FnOnce(&mut [u8]),
) -> Result<(), Error> {
    while out.room() < *op + len {
        out.grow()?;
    }
    write(&mut out.buf[*op..*op + len]);
    *op += len;
    Ok(())
}

const DAMAGED: Error = Error::Malformed { what: "a zstd block is damaged", at: 0 };

/// Reads the literals of a block into `state`; returns how many bytes of the block they took, and how many literals
/// there are.
fn literals(data: &[u8], state: &mut State) -> Result<(usize, usize), Error> {
    let word =
        (0..5).fold(0u64, |w, i| w | u64::from(data.get(i).copied().unwrap_or(0)) << (8 * i));
    let format = (word >> 2) & 3;
    let kind = word & 3;
    if kind < 2 {
        let (head, size) = match format {
            0 | 2 => (1, (word >> 3) & 0x1f),
            1 => (2, (word >> 4) & 0xfff),
            _ => (3, (word >> 4) & 0xf_ffff),
        };
        let size = size as usize;
        if size > BLOCK {
            return Err(DAMAGED);
        }
        state.literals.clear();
        let used = if kind == 0 {
            state.literals.extend_from_slice(read::slice(data, head, size).ok_or(DAMAGED)?);
            head + size
        } else {
            state.literals.resize(size, *data.get(head).ok_or(DAMAGED)?);
            head + 1
        };
        state.literals.resize(size + SLACK, 0);
        return Ok((used, size));
    }
    let (head, width) = match format {
        0 | 1 => (3, 10),
        2 => (4, 14),
        _ => (5, 18),
    };
    let size = (word >> 4) as usize & ((1 << width) - 1);
    let packed = (word >> (4 + width)) as usize & ((1 << width) - 1);
    let mut body = read::slice(data, head, packed).ok_or(DAMAGED)?;
    if size > BLOCK {
        return Err(DAMAGED);
    }
    if kind == 2 {
        state.has_huffman = false;
        let used = state.huffman.read(body)?;
        state.has_huffman = true;
        body = &body[used..];
    }
    if !state.has_huffman {
        return Err(DAMAGED);
    }
    state.literals.resize(size + SLACK, 0);
    let (table, target) = (&state.huffman, &mut state.literals[..size]);
    if format == 0 {
        table.streams([body], [target])?;
    } else {
        let jump = |n| read::le16(body, n).map(usize::from).ok_or(DAMAGED);
        let sizes = [jump(0)?, jump(2)?, jump(4)?];
        let mut from = 6;
        let mut part = |n: usize| {
            let len = sizes.get(n).copied().unwrap_or(body.len().saturating_sub(from));
            let part = read::slice(body, from, len).ok_or(DAMAGED);
            from += len;
            part
        };
        let mut quarters = target.chunks_mut(size.div_ceil(4).max(1));
        match [quarters.next(), quarters.next(), quarters.next(), quarters.next()] {
            [Some(a), Some(b), Some(c), Some(d)] => {
                table.streams([part(0)?, part(1)?, part(2)?, part(3)?], [a, b, c, d])?;
            }
            fewer => {
                for (n, target) in fewer.into_iter().flatten().enumerate() {
                    table.streams([part(n)?], [target])?;
                }
            }
        }
    }
    Ok((head + packed, size))
}

/// Base and extra bits of literal length codes from 16, and of match length codes from 32.
const LITERAL_LENGTHS: [(u32, u8); 20] = [
    (16, 1),
    (18, 1),
    (20, 1),
    (22, 1),
    (24, 2),
    (28, 2),
    (32, 3),
    (40, 3),
    (48, 4),
    (64, 6),
    (128, 7),
    (256, 8),
    (512, 9),
    (1024, 10),
    (2048, 11),
    (4096, 12),
    (8192, 13),
    (16384, 14),
    (32768, 15),
    (65536, 16),
];
const MATCH_LENGTHS: [(u32, u8); 21] = [
    (35, 1),
    (37, 1),
    (39, 1),
    (41, 1),
    (43, 2),
    (47, 2),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 5),
    (131, 7),
    (259, 8),
    (515, 9),
    (1027, 10),
    (2051, 11),
    (4099, 12),
    (8195, 13),
    (16387, 14),
    (32771, 15),
    (65539, 16),
];
/// Distributions that need no description: literal lengths, offsets, match lengths.
const DEFAULTS: [(u32, &[i16]); 3] = [
    (
        6,
        &[
            4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1,
            1, 1, 1, -1, -1, -1, -1,
        ],
    ),
    (
        5,
        &[
            1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1,
            -1,
        ],
    ),
    (
        6,
        &[
            1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
            1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1,
        ],
    ),
];
/// Largest table and number of symbols of the three.
const BOUNDS: [(u32, usize); 3] = [(9, 36), (8, 32), (9, 53)];

/// What a code stands for in each of the three tables: a value and the number of bits added to it.
const MEANINGS: [fn(u8) -> (u32, u8); 3] = [
    |code| match usize::from(code).checked_sub(16).and_then(|c| LITERAL_LENGTHS.get(c)) {
        Some(meaning) => *meaning,
        None => (code.into(), 0),
    },
    |code| (1 << (code & 31), code & 31),
    |code| match usize::from(code).checked_sub(32).and_then(|c| MATCH_LENGTHS.get(c)) {
        Some(meaning) => *meaning,
        None => (u32::from(code) + 3, 0),
    },
];

/// The tables of [`DEFAULTS`].
static DEFAULT_TABLES: LazyLock<[Fse; 3]> = LazyLock::new(|| {
    std::array::from_fn(|n| {
        let mut table = Fse::EMPTY;
        let (log, counts) = DEFAULTS[n];
        // These are right, as a test shows; a table that is not made decodes to nothing that is taken for right.
        let _ = table.fill(&Counts::new(log, counts), MEANINGS[n]);
        table
    })
});

/// Decodes a compressed block to `op`; matches reach back to `first`.
fn block(
    data: &[u8],
    state: &mut State,
    out: &mut Output<'_>,
    op: &mut usize,
    first: usize,
) -> Result<(), Error> {
    let (mut at, size) = literals(data, state)?;
    let byte = |at: usize| read::u8(data, at).map(usize::from).ok_or(DAMAGED);
    let begin = *op;
    let mut lit = 0;
    let count = match byte(at)? {
        n @ 0..128 => {
            at += 1;
            n
        }
        n @ 128..255 => {
            at += 2;
            ((n - 128) << 8) + byte(at - 1)?
        }
        _ => {
            at += 3;
            byte(at - 2)? + (byte(at - 1)? << 8) + 0x7f00
        }
    };
    if count > 0 {
        let modes = byte(at)?;
        at += 1;
        if modes & 3 != 0 {
            return Err(DAMAGED);
        }
        for n in 0..3 {
            let (table, kind) = (&mut state.tables[n], &mut state.kinds[n]);
            match (modes >> (6 - 2 * n)) & 3 {
                0 => *kind = Table::Default,
                1 => {
                    let symbol = byte(at)?;
                    if symbol >= BOUNDS[n].1 {
                        return Err(DAMAGED);
                    }
                    table.single(MEANINGS[n](symbol as u8));
                    *kind = Table::Own;
                    at += 1;
                }
                2 => {
                    let rest = data.get(at..).unwrap_or_default();
                    let (counts, used) = Counts::read(rest, BOUNDS[n].0, BOUNDS[n].1)?;
                    table.fill(&counts, MEANINGS[n])?;
                    *kind = Table::Own;
                    at += used;
                }
                _ if matches!(kind, Table::None) => return Err(DAMAGED),
                _ => {}
            }
        }
        let rest = data.get(at..).unwrap_or_default();
        lit = sequences(rest, count, size, state, out, op, first)?;
    } else if at != data.len() {
        return Err(DAMAGED);
    }
    let rest = &state.literals[lit..size];
    if *op + rest.len() - begin > BLOCK {
        return Err(DAMAGED);
    }
    append(out, op, rest.len(), |target| target.copy_from_slice(rest))
}

/// Executes the sequences of a block: literals, then a match. How many of the `size` literals they used.
fn sequences(
    data: &[u8],
    count: usize,
    size: usize,
    state: &mut State,
    out: &mut Output<'_>,
    op: &mut usize,
    first: usize,
) -> Result<usize, Error> {
    let [lengths, offsets, matches]: [&Fse; 3] = std::array::from_fn(|n| match state.kinds[n] {
        Table::Own => &state.tables[n],
        Table::Default | Table::None => &DEFAULT_TABLES[n],
    });
    let literals = &state.literals[..];
    let mut bits = Back::new(data)?;
    let mut ll_state = bits.take(lengths.log);
    let mut of_state = bits.take(offsets.log);
    let mut ml_state = bits.take(matches.log);
    let [mut rep0, mut rep1, mut rep2] = state.reps;
    let mut lit = 0;
    let most = *op + BLOCK;
    let mut room = out.room();
    let mut buf: &mut [u8] = &mut out.buf;
    for n in 0..count {
        let ll = lengths.cell(ll_state);
        let of = offsets.cell(of_state);
        let ml = matches.cell(ml_state);
        let last = n + 1 == count;
        let extra = u32::from(of.extra) + u32::from(ml.extra) + u32::from(ll.extra);
        let next = u32::from(ll.bits) + u32::from(ml.bits) + u32::from(of.bits);
        let mut window = bits.window();
        let mut take = |n: u8| {
            let value = top(window, n.into());
            window <<= n;
            value
        };
        let value = of.value as usize + take(of.extra);
        let (match_len, lit_len);
        if extra + next <= Back::SURE {
            match_len = ml.value as usize + take(ml.extra);
            lit_len = ll.value as usize + take(ll.extra);
            bits.left -= extra as isize;
            if !last {
                ll_state = usize::from(ll.next) + take(ll.bits);
                ml_state = usize::from(ml.next) + take(ml.bits);
                of_state = usize::from(of.next) + take(of.bits);
                bits.left -= next as isize;
            }
        } else {
            bits.left -= isize::from(of.extra);
            match_len = ml.value as usize + bits.take(ml.extra.into());
            lit_len = ll.value as usize + bits.take(ll.extra.into());
            if !last {
                ll_state = usize::from(ll.next) + bits.take(ll.bits.into());
                ml_state = usize::from(ml.next) + bits.take(ml.bits.into());
                of_state = usize::from(of.next) + bits.take(of.bits.into());
            }
        }
        // Values up to three name one of the last offsets, one further on where no literals come before.
        let dist = if value > 3 {
            (rep0, rep1, rep2) = (value - 3, rep0, rep1);
            rep0
        } else {
            match value + usize::from(lit_len == 0) {
                1 => {}
                2 => (rep0, rep1) = (rep1, rep0),
                3 => (rep0, rep1, rep2) = (rep2, rep0, rep1),
                _ => (rep0, rep1, rep2) = (rep0.wrapping_sub(1), rep0, rep1),
            }
            rep0
        };
        let at = *op + lit_len;
        let end = at + match_len;
        let wrong =
            bits.left < 0 || dist == 0 || dist > at - first || end > most || lit + lit_len > size;
        if wrong {
            return Err(DAMAGED);
        }
        if room < end {
            while out.room() < end {
                out.grow()?;
            }
            room = out.room();
            buf = &mut out.buf;
        }
        // Copies of fixed size; what is too much lands in the slack or is overwritten.
        if lit_len <= 16 {
            buf[*op..*op + 16].copy_from_slice(&literals[lit..lit + 16]);
        } else {
            buf[*op..at].copy_from_slice(&literals[lit..lit + lit_len]);
        }
        lit += lit_len;
        copy_match(buf, at, dist, match_len);
        *op = end;
    }
    if bits.left != 0 {
        return Err(DAMAGED);
    }
    state.reps = [rep0, rep1, rep2];
    Ok(lit)
}
