//! The stream of RAR 1.5.
//!
//! Flags tell literals, long matches and short ones apart: one bit for what is expected, two for the other of literal and
//! long match, and two for a short match. They come in bytes, each a symbol. Which of the seven fixed codes a symbol is read
//! by depends on running averages of the symbols before. Literals, flags and high bytes of distances are indices into tables
//! in which a value moves to the front the more often it occurs; low distances move by one place. After a run of literals
//! there are literals only, until an escape.

use super::{Bits, Error, Tree, Window, bad};

/// Fixed codes: how many symbols there are of each length, in the order of the symbols.
const CODES: [&[(usize, u8)]; 7] = [
    &[(8, 4), (8, 5), (8, 6), (9, 7), (224, 12)],
    &[(4, 5), (40, 6), (16, 7), (16, 8), (4, 9), (47, 11), (130, 12)],
    &[(2, 5), (5, 6), (46, 7), (64, 8), (116, 9), (24, 10)],
    &[(2, 6), (14, 7), (202, 8), (33, 9), (6, 10)],
    &[(255, 8), (2, 9)],
    &[(2, 2), (1, 3), (2, 4), (2, 5), (4, 6), (5, 7), (4, 8), (4, 9), (8, 10), (224, 12)],
    &[(5, 3), (2, 4), (2, 5), (4, 6), (5, 7), (4, 8), (4, 9), (8, 10), (2, 11), (220, 12)],
];
/// The code of flags and of low distances, and the two of lengths.
pub const FLAGS: usize = 2;
pub const LENGTHS: [usize; 2] = [5, 6];

/// What a short match is: codes from the top bit of a byte on, and their lengths, for few and for many of them. The third
/// length that is 0 is 3 or 4.
const SHORT: [[(u8, u32); 15]; 2] = [
    [
        (0, 1),
        (0xA0, 0),
        (0xD0, 4),
        (0xE0, 4),
        (0xF0, 5),
        (0xF8, 6),
        (0xFC, 7),
        (0xFE, 8),
        (0xFF, 8),
        (0xC0, 4),
        (0x80, 4),
        (0x90, 5),
        (0x98, 6),
        (0x9C, 6),
        (0xB0, 4),
    ],
    [
        (0, 2),
        (0x40, 3),
        (0x60, 3),
        (0xA0, 0),
        (0xD0, 4),
        (0xE0, 4),
        (0xF0, 5),
        (0xF8, 6),
        (0xFC, 6),
        (0xC0, 4),
        (0x80, 4),
        (0x90, 5),
        (0x98, 6),
        (0x9C, 6),
        (0xB0, 4),
    ],
];

/// The lengths of the fixed code `n`.
pub fn lengths(n: usize) -> Vec<u8> {
    CODES[n].iter().flat_map(|(count, len)| vec![*len; *count]).collect()
}

/// Values that move to the front with the number of times they occurred.
pub struct Ranks {
    /// Value and rank.
    pub rows: [(u8, u8); 256],
    /// For each rank the place to which its next value moves.
    places: [u8; 256],
}

impl Ranks {
    fn new(value: impl Fn(u8) -> u8) -> Self {
        Self { rows: std::array::from_fn(|n| (value(n as u8), 0)), places: [0; 256] }
    }

    fn renew(&mut self) {
        for (n, row) in self.rows.iter_mut().enumerate() {
            row.1 = 7 - (n / 32) as u8;
        }
        self.places = std::array::from_fn(|n| if n < 7 { (7 - n as u8) * 32 } else { 0 });
    }

    /// The value at `index`, which moves; ranks are below `limit`.
    pub fn take(&mut self, index: usize, limit: u8) -> u8 {
        if self.rows[index].1 >= limit {
            self.renew();
        }
        let (value, rank) = self.rows[index];
        let place = &mut self.places[usize::from(rank)];
        let to = usize::from(*place);
        *place = place.wrapping_add(1);
        self.rows[index] = self.rows[to];
        self.rows[to] = (value, rank + 1);
        value
    }
}

/// What the symbols so far make of those to come.
pub struct State {
    pub literals: Ranks,
    pub flags: Ranks,
    pub distances: Ranks,
    pub low: [u8; 256],
    /// Running averages: kinds of short matches, literals, lengths, places of distances, near matches of least length.
    kinds: usize,
    literal: usize,
    length: usize,
    place: usize,
    near: usize,
    /// From this distance on a match is one longer.
    pub far: usize,
    /// What is expected.
    literal_weight: u32,
    match_weight: u32,
    /// Literals in a row, and whether there are literals only.
    row: u32,
    pub only_literals: bool,
    /// Matches in a row that repeat the last one.
    pub repeats: u32,
    /// Whether one code of short matches is a bit longer.
    pub longer: bool,
    pub recent: [usize; 4],
    pub last: (usize, usize),
}

impl Default for State {
    fn default() -> Self {
        let mut distances = Ranks::new(|n| n);
        distances.renew();
        Self {
            literals: Ranks::new(|n| n),
            flags: Ranks::new(u8::wrapping_neg),
            distances,
            low: std::array::from_fn(|n| n as u8),
            kinds: 0,
            literal: 0x3500,
            length: 0,
            place: 0,
            near: 0,
            far: 0x2001,
            literal_weight: 0x80,
            match_weight: 0x80,
            row: 0,
            only_literals: false,
            repeats: 0,
            longer: false,
            recent: [0; 4],
            last: (0, 0),
        }
    }
}

impl State {
    /// Whether a long match is expected.
    pub fn expects_match(&self) -> bool {
        self.match_weight > self.literal_weight
    }

    /// By which code the next literal is told.
    pub fn literal_code(&self) -> usize {
        [0xE00, 0x3600, 0x5E00, 0x7600].iter().filter(|n| self.literal >= **n).count()
    }

    /// By which code the next length is told; none for a run of zeros.
    pub fn length_code(&self) -> Option<usize> {
        match self.length {
            122.. => Some(LENGTHS[1]),
            64.. => Some(LENGTHS[0]),
            _ => None,
        }
    }

    /// By which code the next place of a distance is told.
    pub fn place_code(&self) -> usize {
        [0x700, 0x2900].iter().filter(|n| self.place >= **n).count()
    }

    /// The codes of short matches, and how long each is.
    pub fn short_codes(&self) -> impl Iterator<Item = (u8, u32)> {
        let own = 3 + u32::from(self.longer);
        SHORT[usize::from(self.kinds >= 37)].into_iter().map(move |(code, len)| match len {
            0 => (code, own),
            _ => (code, len),
        })
    }

    /// A literal is to be told by `index`: what it is. `flags` is how many flags are left.
    pub fn saw_literal(&mut self, index: usize, flags: u32) -> u8 {
        if !self.only_literals {
            self.only_literals = self.row >= 16 && flags == 0;
            self.row = self.row.saturating_add(1);
        }
        self.literal += index;
        self.literal -= self.literal >> 8;
        self.literal_weight += 16;
        if self.literal_weight > 0xFF {
            self.literal_weight = 0x90;
            self.match_weight >>= 1;
        }
        self.literals.take(index, 0xA1)
    }

    /// There are others than literals again.
    pub fn saw_escape(&mut self) {
        (self.only_literals, self.row) = (false, 0);
    }

    /// A long match begins.
    pub fn begin_long(&mut self) {
        self.row = 0;
        self.match_weight += 16;
        if self.match_weight > 0xFF {
            self.match_weight = 0x90;
            self.literal_weight >>= 1;
        }
    }

    /// The length that a long match of this distance has with this symbol; the averages take both.
    pub fn saw_long(&mut self, symbol: usize, place: usize, distance: usize) -> usize {
        let (length, near) = (self.length, self.near);
        self.length += symbol;
        self.length -= self.length >> 5;
        self.place += place;
        self.place -= self.place >> 8;
        if symbol == 0 && distance <= self.far {
            self.near += 1;
            self.near -= self.near >> 8;
        } else if symbol != 1 && symbol != 4 {
            self.near = self.near.saturating_sub(1);
        }
        let more = usize::from(distance >= self.far) + if distance <= 256 { 8 } else { 0 };
        let often = near > 0xB0 || self.literal >= 0x2A00 && length < 0x40;
        self.far = if often { 0x7F00 } else { 0x2001 };
        symbol + 3 + more
    }

    /// A short match begins.
    pub fn begin_short(&mut self) {
        self.row = 0;
    }

    /// The distance at `place` of the low ones, for the short match of this kind.
    pub fn saw_low(&mut self, kind: usize, place: usize) -> usize {
        self.kinds += kind;
        self.kinds -= self.kinds >> 4;
        let distance = usize::from(self.low[place]) + 1;
        if place > 0 {
            self.low.swap(place, place - 1);
        }
        distance
    }

    /// The length that a match of a recent distance has with this symbol.
    pub fn again(&self, symbol: usize, distance: usize) -> usize {
        symbol + 2 + usize::from(distance > 256) + usize::from(distance >= self.far)
    }

    /// The last length of the second kind of recent distance changes a code instead.
    pub fn switch(&mut self) {
        self.longer = !self.longer;
    }

    pub fn push(&mut self, distance: usize, length: usize) {
        self.recent.rotate_right(1);
        self.recent[0] = distance;
        self.last = (distance, length);
    }
}

/// Symbol and kind of short match by which [`State::switch`] is told.
pub const SWITCH: (usize, usize) = (0xFF, 10);

pub struct One {
    state: State,
    codes: Vec<Tree>,
}

impl Default for One {
    fn default() -> Self {
        let codes = (0..CODES.len()).filter_map(|n| Tree::new(&lengths(n))).collect();
        Self { state: State::default(), codes }
    }
}

/// A content while it is read.
struct Reader<'a, 'b> {
    bits: Bits<'a>,
    codes: &'b [Tree],
    flags: u8,
    left: u32,
}

impl Reader<'_, '_> {
    fn symbol(&mut self, code: usize) -> Result<usize, Error> {
        let at = self.bits.consumed();
        self.bits.symbol(&self.codes[code]).ok_or(bad("no symbol of a RAR code", at))
    }

    fn flag(&mut self, state: &mut State) -> Result<bool, Error> {
        if self.left == 0 {
            let index = self.symbol(FLAGS)?;
            if index > 255 {
                return Err(bad("no flags of RAR 1.5", self.bits.consumed()));
            }
            (self.flags, self.left) = (state.flags.take(index, 0xFF), 8);
        }
        self.left -= 1;
        Ok(self.flags >> self.left & 1 == 1)
    }
}

impl One {
    pub fn content(&mut self, input: &[u8], w: &mut Window<'_>) -> Result<(), Error> {
        let state = &mut self.state;
        (state.only_literals, state.repeats) = (false, 0);
        let mut r = Reader { bits: Bits::new(input, 0), codes: &self.codes, flags: 0, left: 0 };
        while !w.is_full() {
            let step = if state.only_literals || r.flag(state)? {
                if state.only_literals || !state.expects_match() {
                    literal(&mut r, state, w)
                } else {
                    long(&mut r, state, w)
                }
            } else if r.flag(state)? {
                if state.expects_match() {
                    literal(&mut r, state, w)
                } else {
                    long(&mut r, state, w)
                }
            } else {
                short(&mut r, state, w)
            };
            if r.bits.is_over() {
                return Err(Error::Truncated { what: "RAR", at: input.len() });
            }
            step?;
        }
        Ok(())
    }
}

fn literal(r: &mut Reader<'_, '_>, state: &mut State, w: &mut Window<'_>) -> Result<(), Error> {
    let mut index = r.symbol(state.literal_code())?;
    if state.only_literals {
        if index == 0 {
            if r.bits.take(1) == 1 {
                state.saw_escape();
                return Ok(());
            }
            let length = 3 + r.bits.take(1);
            let distance = r.symbol(FLAGS)? << 5 | r.bits.take(5);
            return w.repeat(distance, length);
        }
        index -= 1;
    }
    w.literal(state.saw_literal(index & 0xFF, r.left))
}

fn long(r: &mut Reader<'_, '_>, state: &mut State, w: &mut Window<'_>) -> Result<(), Error> {
    state.begin_long();
    let symbol = match state.length_code() {
        Some(code) => r.symbol(code)?,
        None => match (0..8).find(|_| r.bits.take(1) == 1) {
            Some(zeros) => zeros,
            None => r.bits.take(8),
        },
    };
    let place = r.symbol(state.place_code())?;
    let high = usize::from(state.distances.take(place & 0xFF, 0xFF));
    let distance = high << 7 | r.bits.take(7);
    let length = state.saw_long(symbol, place, distance);
    state.push(distance, length);
    w.repeat(distance, length)
}

fn short(r: &mut Reader<'_, '_>, state: &mut State, w: &mut Window<'_>) -> Result<(), Error> {
    state.begin_short();
    if state.repeats == 2 {
        if r.bits.take(1) == 1 {
            return w.repeat(state.last.0, state.last.1);
        }
        state.repeats = 0;
    }
    let bits = r.bits.peek(8) as u8;
    let is = |(code, len): &(u8, u32)| (bits ^ code) & !(0xFF_u16 >> len) as u8 == 0;
    let found = state.short_codes().enumerate().find(|(_, code)| is(code));
    let Some((kind, (_, len))) = found else {
        return Err(bad("no short match of RAR 1.5", r.bits.consumed()));
    };
    r.bits.skip(len);
    if kind == 9 {
        state.repeats += 1;
        return w.repeat(state.last.0, state.last.1);
    }
    state.repeats = 0;
    let (distance, length) = match kind {
        0..9 => {
            let place = r.symbol(FLAGS)? & 0xFF;
            (state.saw_low(kind, place), kind + 2)
        }
        14 => {
            let length = r.symbol(LENGTHS[1])? + 5;
            let distance = r.bits.take(15) | 0x8000;
            state.last = (distance, length);
            return w.repeat(distance, length);
        }
        _ => {
            let distance = state.recent[kind - 10];
            let symbol = r.symbol(LENGTHS[0])?;
            if (symbol, kind) == SWITCH {
                state.switch();
                return Ok(());
            }
            (distance, state.again(symbol, distance))
        }
    };
    state.push(distance, length);
    w.repeat(distance, length)
}
