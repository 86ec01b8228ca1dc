//! LZMA1: the raw stream, and the 13-byte header of `.lzma` files.
//!
//! Works from memory to memory: the output buffer is the dictionary, so there is
//! no ring buffer and a match is a copy inside one slice. Reading behind the end
//! of the input yields zeros and is noticed once per symbol; this keeps the check
//! out of the bit decoder. Bits of trees are decoded without branches, because
//! they are hardly predictable; decisions with a typical outcome branch.
//!
//! Method: Igor Pavlov, "LZMA specification" (2015, public domain).

// Indexes are masked to the size of their table or checked once before the loop; the arithmetic is
// the modular arithmetic of the range coder.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Decoded, Error, Output, copy_match};
use crate::{budget::Budget, read};

/// Literal context bits, literal position bits, position bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Props {
    /// High bits of the previous byte that select a literal table, 0 to 8.
    pub lc: u32,
    /// Low bits of the position that select a literal table, 0 to 4.
    pub lp: u32,
    /// Low bits of the position that select other tables, 0 to 4.
    pub pb: u32,
}

impl Props {
    /// The three values packed in one byte, as headers have them: `(pb * 5 + lp) * 9 + lc`.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        let b = u32::from(byte);
        (b < 225).then_some(Self { lc: b % 9, lp: b / 9 % 5, pb: b / 45 })
    }
}

/// The header of an `.lzma` file: properties, dictionary size, size of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Properties.
    pub props: Props,
    /// Dictionary size in bytes.
    pub dictionary: u32,
    /// Bytes of content; none where an end marker tells.
    pub size: Option<u64>,
}

impl Header {
    /// Bytes of the header.
    pub const LEN: usize = 13;

    /// Reads the header.
    #[must_use]
    pub fn parse(data: &[u8]) -> Option<Self> {
        Some(Self {
            props: Props::from_byte(read::u8(data, 0)?)?,
            dictionary: read::le32(data, 1)?,
            size: read::le64(data, 5).map(|n| (n != u64::MAX).then_some(n))?,
        })
    }
}

/// Decodes an `.lzma` file: header and stream.
#[must_use]
pub fn decode_alone(input: &[u8], max: usize, budget: &Budget) -> Decoded {
    let Some(header) = Header::parse(input) else {
        return Decoded::failed(Error::Malformed { what: "no LZMA header", at: 0 });
    };
    let size = match header.size.map(usize::try_from) {
        None => None,
        Some(Ok(n)) if n <= max => Some(n),
        Some(_) => {
            let mut cut = decode_raw(&input[Header::LEN..], header.props, None, max, budget);
            cut.error.get_or_insert(Error::Limit { max });
            cut.consumed = cut.consumed.saturating_add(Header::LEN);
            return cut;
        }
    };
    let mut decoded = decode_raw(&input[Header::LEN..], header.props, size, max, budget);
    decoded.consumed += Header::LEN;
    decoded
}

/// Decodes a raw LZMA1 stream.
///
/// With `size` the stream is over after that many bytes (an end marker behind them is accepted), without
/// it at its end marker. A stream whose size nobody told and that has no marker ends with
/// [`Error::Truncated`] and all of its bytes.
#[must_use]
pub fn decode_raw(
    input: &[u8],
    props: Props,
    size: Option<usize>,
    max: usize,
    budget: &Budget,
) -> Decoded {
    let mut decoder = Decoder::new(props);
    let mut out = Output::new(size.map_or(max, |n| n.min(max)), budget);
    let (mut ip, mut op) = (0, 0);
    let mut go = || {
        if let Some(n) = size.filter(|n| *n <= 1 << 24) {
            out.reserve(n)?;
        }
        decoder.start(input, &mut ip)?;
        loop {
            if op == out.room() && size.is_none_or(|n| op < n) {
                // A marker may stand where the output is full.
                if op == out.max() {
                    return decoder
                        .marker(input, &mut ip, &mut out.buf, op)
                        .map_err(|e| if size.is_some() { e } else { Error::Limit { max } });
                }
                out.grow()?;
            }
            let limit = out.room();
            match decoder.run(input, &mut ip, &mut out.buf, &mut op, limit)? {
                Stop::Marker if size.is_some_and(|n| op < n) => {
                    return Err(Error::Malformed { what: "the LZMA stream ends early", at: ip });
                }
                Stop::Marker => return Ok(()),
                Stop::Full if size == Some(op) => {
                    // Without a marker the range coder is at rest now.
                    decoder.settle(input, &mut ip)?;
                    if decoder.code == 0 {
                        return Ok(());
                    }
                    return decoder.marker(input, &mut ip, &mut out.buf, op);
                }
                Stop::Full => {}
            }
        }
    };
    let error = go().err();
    Decoded { bytes: out.finish(op), consumed: ip.min(input.len()), error }
}

/// Why [`Decoder::run`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The output reached the given limit.
    Full,
    /// The end marker was there.
    Marker,
}

const TOP: u32 = 1 << 24;
const INIT: u16 = 1 << 10;

/// Probabilities of a length.
struct Length {
    choice: [u16; 2],
    low: [[u16; 8]; 16],
    mid: [[u16; 8]; 16],
    high: [u16; 256],
}

impl Length {
    const NEW: Self =
        Self { choice: [INIT; 2], low: [[INIT; 8]; 16], mid: [[INIT; 8]; 16], high: [INIT; 256] };
}

/// Probabilities of everything but literals. Tables are padded to powers of two.
struct Probs {
    is_match: [u16; 256],
    is_rep: [u16; 16],
    is_rep0: [u16; 16],
    is_rep1: [u16; 16],
    is_rep2: [u16; 16],
    is_rep0_long: [u16; 256],
    slot: [[u16; 64]; 4],
    special: [u16; 128],
    align: [u16; 16],
    match_len: Length,
    rep_len: Length,
}

impl Probs {
    const NEW: Self = Self {
        is_match: [INIT; 256],
        is_rep: [INIT; 16],
        is_rep0: [INIT; 16],
        is_rep1: [INIT; 16],
        is_rep2: [INIT; 16],
        is_rep0_long: [INIT; 256],
        slot: [[INIT; 64]; 4],
        special: [INIT; 128],
        align: [INIT; 16],
        match_len: Length::NEW,
        rep_len: Length::NEW,
    };
}

/// The state of a decoder between two calls.
pub(crate) struct Decoder {
    probs: Box<Probs>,
    /// One table per literal context: plain, matched with a 0 bit, matched with a 1 bit, unused.
    literals: Vec<[u16; 1024]>,
    props: Props,
    state: usize,
    reps: [u32; 4],
    /// Bytes of a match that did not fit below the limit.
    pending: usize,
    range: u32,
    pub(crate) code: u32,
}

impl Decoder {
    /// A decoder in its first state.
    pub fn new(props: Props) -> Self {
        Self {
            probs: Box::new(Probs::NEW),
            literals: vec![[INIT; 1024]; 1 << (props.lc + props.lp)],
            props,
            state: 0,
            reps: [0; 4],
            pending: 0,
            range: u32::MAX,
            code: 0,
        }
    }

    /// Back to the first state, with these properties.
    pub fn reset(&mut self, props: Props) {
        *self.probs = Probs::NEW;
        self.literals.clear();
        self.literals.resize(1 << (props.lc + props.lp), [INIT; 1024]);
        self.props = props;
        self.state = 0;
        self.reps = [0; 4];
        self.pending = 0;
    }

    /// The properties in use.
    pub fn props(&self) -> Props {
        self.props
    }

    /// Whether a match goes on behind the limit of the last run.
    pub fn is_pending(&self) -> bool {
        self.pending > 0
    }

    /// Starts the range coder: one byte zero, four bytes of code.
    pub fn start(&mut self, input: &[u8], ip: &mut usize) -> Result<(), Error> {
        let Some(head) = read::array::<5>(input, *ip) else {
            return Err(Error::Truncated { what: "LZMA", at: input.len() });
        };
        if head[0] != 0 {
            return Err(Error::Malformed {
                what: "an LZMA stream must start with a zero byte",
                at: *ip,
            });
        }
        self.range = u32::MAX;
        self.code = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        *ip += 5;
        Ok(())
    }

    /// Brings the range coder to rest after the last symbol.
    pub fn settle(&mut self, input: &[u8], ip: &mut usize) -> Result<(), Error> {
        if self.range < TOP {
            let Some(byte) = input.get(*ip) else {
                return Err(Error::Truncated { what: "LZMA", at: input.len() });
            };
            self.range <<= 8;
            self.code = (self.code << 8) | u32::from(*byte);
            *ip += 1;
        }
        Ok(())
    }

    /// Expects nothing but the end marker.
    fn marker(
        &mut self,
        input: &[u8],
        ip: &mut usize,
        out: &mut [u8],
        op: usize,
    ) -> Result<(), Error> {
        let mut end = op;
        // One more byte of room would do; the slack behind the output has it.
        match self.run(input, ip, out, &mut end, op + 1)? {
            Stop::Marker => Ok(()),
            Stop::Full => Err(Error::Malformed {
                what: "the LZMA stream goes on after its declared size",
                at: *ip,
            }),
        }
    }

    /// Decodes until `op` reaches `limit` or the end marker comes. `out` is the dictionary from its first
    /// byte, and must have [`Output::SLACK`] bytes behind `limit`.
    #[inline(never)]
    pub fn run(
        &mut self,
        input: &[u8],
        ip: &mut usize,
        out: &mut [u8],
        op: &mut usize,
        limit: usize,
    ) -> Result<Stop, Error> {
        // One byte of slack may already be in use by `marker`, copies use 15 at most.
        if limit.checked_add(Output::SLACK - 1).is_none_or(|need| need > out.len()) || *op > limit {
            return Err(Error::Limit { max: out.len() });
        }
        let Self {
            probs,
            literals,
            props,
            state: state_,
            reps,
            pending,
            range: range_,
            code: code_,
        } = self;
        let probs = &mut **probs;
        let (mut range, mut code, mut state, mut i, mut o) = (*range_, *code_, *state_, *ip, *op);
        let [mut rep0, mut rep1, mut rep2, mut rep3] = *reps;
        let lp_mask = (1usize << props.lp) - 1;
        let pb_mask = (1usize << props.pb) - 1;
        let (lc, prev_shift) = (props.lc, 8 - props.lc);

        if *pending > 0 {
            let n = (*pending).min(limit - o);
            copy_match(out, o, rep0 as usize + 1, n);
            *pending -= n;
            o += n;
        }

        macro_rules! normalize {
            () => {
                if range < TOP {
                    range <<= 8;
                    code = (code << 8) | input.get(i).map_or(0, |b| u32::from(*b));
                    i += 1;
                }
            };
        }
        // A bit whose outcome is mostly foreseeable.
        macro_rules! bit {
            ($p:expr) => {{
                normalize!();
                let p: &mut u16 = &mut $p;
                let v = u32::from(*p);
                let bound = (range >> 11) * v;
                if code < bound {
                    range = bound;
                    *p = (v + ((2048 - v) >> 5)) as u16;
                    false
                } else {
                    range -= bound;
                    code -= bound;
                    *p = (v - (v >> 5)) as u16;
                    true
                }
            }};
        }
        // A bit that is not, as 0 or 1.
        macro_rules! flat {
            ($p:expr) => {{
                normalize!();
                let p: &mut u16 = &mut $p;
                let v = u32::from(*p);
                let bound = (range >> 11) * v;
                let (rest, below) = code.overflowing_sub(bound);
                let mask = u32::from(below).wrapping_neg();
                range = (bound & mask) | ((range - bound) & !mask);
                code = rest.wrapping_add(bound & mask);
                // v + ((2048 - v) >> 5) for a zero, v - (v >> 5) for a one.
                let shift = (v as i32 + (mask as i32 & (31 - 2048))) >> 5;
                *p = (v as i32 - shift) as u16;
                mask.wrapping_add(1) as usize
            }};
        }
        macro_rules! tree {
            ($t:expr, $($n:literal)+) => {{
                let table = &mut $t;
                let last = table.len() - 1;
                let mut m = 1usize;
                $( let _ = $n; m = (m << 1) | flat!(table[m & last]); )+
                m
            }};
        }
        macro_rules! length {
            ($l:expr, $pos:expr) => {{
                let l: &mut Length = &mut $l;
                if !bit!(l.choice[0]) {
                    tree!(l.low[$pos & 15], 1 2 3) - 8 + 2
                } else if !bit!(l.choice[1]) {
                    tree!(l.mid[$pos & 15], 1 2 3) - 8 + 10
                } else {
                    tree!(l.high, 1 2 3 4 5 6 7 8) - 256 + 18
                }
            }};
        }

        let mut stop = Ok(Stop::Full);
        while o < limit {
            let start = o;
            let pos = o & pb_mask;
            let at = ((state << 4) | pos) & 255;
            if !bit!(probs.is_match[at]) {
                let prev = if o > 0 { usize::from(out[o - 1]) } else { 0 };
                let context = ((o & lp_mask) << lc) + (prev >> prev_shift);
                let table = &mut literals[context];
                let mut m = 1usize;
                if state < 7 {
                    m = tree!(*table, 1 2 3 4 5 6 7 8);
                } else {
                    let mut matched = usize::from(out[o - 1 - rep0 as usize]) << 1;
                    let mut offset = 0x100usize;
                    // A macro, so that the eight steps are laid out one after the other.
                    macro_rules! step {
                        () => {
                            let side = matched & offset;
                            let b = flat!(table[(offset + side + m) & 1023]);
                            m = (m << 1) | b;
                            // Stays on the matched tables as long as the bits agree.
                            offset &= if b == 1 { side } else { !side };
                            matched <<= 1;
                        };
                    }
                    step!();
                    step!();
                    step!();
                    step!();
                    step!();
                    step!();
                    step!();
                    let b = flat!(table[(offset + (matched & offset) + m) & 1023]);
                    m = (m << 1) | b;
                }
                out[o] = m as u8;
                o += 1;
                state = [0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 0, 0, 0][state & 15];
            } else {
                let len;
                if !bit!(probs.is_rep[state & 15]) {
                    rep3 = rep2;
                    rep2 = rep1;
                    rep1 = rep0;
                    state = if state < 7 { 7 } else { 10 };
                    len = length!(probs.match_len, pos);
                    let slot = tree!(probs.slot[(len - 2).min(3)], 1 2 3 4 5 6) - 64;
                    if slot < 4 {
                        rep0 = slot as u32;
                    } else {
                        let bits = (slot >> 1) - 1;
                        let mut dist = (2 | (slot & 1)) << bits;
                        if slot < 14 {
                            let base = dist - slot;
                            let mut m = 1usize;
                            for n in 0..bits {
                                let b = flat!(probs.special[(base + m) & 127]);
                                m = (m << 1) | b;
                                dist += b << n;
                            }
                            rep0 = dist as u32;
                        } else {
                            let mut high = 2 | (slot as u32 & 1);
                            for _ in 0..bits - 4 {
                                normalize!();
                                range >>= 1;
                                let (rest, below) = code.overflowing_sub(range);
                                let mask = u32::from(below).wrapping_neg();
                                code = rest.wrapping_add(range & mask);
                                high = (high << 1) | mask.wrapping_add(1);
                            }
                            let mut m = 1usize;
                            let mut low = 0;
                            for n in 0..4 {
                                let b = flat!(probs.align[m & 15]);
                                m = (m << 1) | b;
                                low |= b << n;
                            }
                            rep0 = (high << 4) | low as u32;
                            if rep0 == u32::MAX {
                                normalize!();
                                stop = Ok(Stop::Marker);
                                break;
                            }
                        }
                    }
                } else {
                    if !bit!(probs.is_rep0[state & 15]) {
                        if !bit!(probs.is_rep0_long[at]) {
                            state = if state < 7 { 9 } else { 11 };
                            if rep0 as usize >= o {
                                stop = Err(Error::Malformed {
                                    what: "an LZMA match reaches before the start",
                                    at: i.min(input.len()),
                                });
                                break;
                            }
                            out[o] = out[o - 1 - rep0 as usize];
                            o += 1;
                            if i > input.len() {
                                o = start;
                                stop = Err(Error::Truncated { what: "LZMA", at: input.len() });
                                break;
                            }
                            continue;
                        }
                    } else {
                        let dist;
                        if !bit!(probs.is_rep1[state & 15]) {
                            dist = rep1;
                        } else {
                            if !bit!(probs.is_rep2[state & 15]) {
                                dist = rep2;
                            } else {
                                dist = rep3;
                                rep3 = rep2;
                            }
                            rep2 = rep1;
                        }
                        rep1 = rep0;
                        rep0 = dist;
                    }
                    state = if state < 7 { 8 } else { 11 };
                    len = length!(probs.rep_len, pos);
                }
                if rep0 as usize >= o {
                    stop = Err(Error::Malformed {
                        what: "an LZMA match reaches before the start",
                        at: i.min(input.len()),
                    });
                    break;
                }
                let n = len.min(limit - o);
                copy_match(out, o, rep0 as usize + 1, n);
                *pending = len - n;
                o += n;
            }
            if i > input.len() {
                o = start;
                stop = Err(Error::Truncated { what: "LZMA", at: input.len() });
                break;
            }
        }
        if stop == Ok(Stop::Marker) && i > input.len() {
            stop = Err(Error::Truncated { what: "LZMA", at: input.len() });
        }
        *range_ = range;
        *code_ = code;
        *state_ = state;
        *reps = [rep0, rep1, rep2, rep3];
        *ip = i;
        *op = o;
        stop
    }
}
