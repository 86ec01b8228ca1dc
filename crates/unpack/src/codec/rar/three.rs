//! The stream of RAR 2.9 to 4.
//!
//! A block begins at a byte with one bit: 1 for PPMd, 0 for codes. Codes are told by the difference to those before unless
//! a second bit forbids it. Programs for the filters stand in the stream; those that `rar` writes are known by their
//! CRC-32 and length, and done here. No other program is run.

use super::{
    super::check,
    Bits, Error, Recent, TABLES, Tree, Window, bad,
    filter::{Filter, Kind},
    lengths,
    model::{Coder, Model},
    tree,
};

const MAIN: usize = 299;
const DISTANCES: usize = 60;
const LOW: usize = 17;
const REPEATS: usize = 28;
/// Programs that one stream may define.
const PROGRAMS: usize = 1024;

const LENGTH_BITS: [u8; REPEATS] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5];
const SHORT_BITS: [u8; 8] = [2, 2, 3, 4, 5, 6, 6, 6];
pub static LENGTHS: [(usize, u32); REPEATS] = slots(LENGTH_BITS);
pub static SHORT: [(usize, u32); 8] = slots(SHORT_BITS);
pub static FAR: [(usize, u32); DISTANCES] = {
    let mut bits = [0; DISTANCES];
    let mut n = 0;
    while n < DISTANCES {
        bits[n] = match n {
            0..4 => 0,
            4..36 => n as u8 / 2 - 1,
            36..48 => 16,
            _ => 18,
        };
        n += 1;
    }
    slots(bits)
};

/// The first value of each slot, and how many bits tell the others.
const fn slots<const N: usize>(bits: [u8; N]) -> [(usize, u32); N] {
    let mut made = [(0, 0); N];
    let (mut n, mut base) = (0, 0);
    while n < N {
        made[n] = (base, bits[n] as u32);
        base += 1 << bits[n];
        n += 1;
    }
    made
}

pub fn slot(table: &[(usize, u32)], n: usize, bits: &mut Bits<'_>) -> Result<usize, Error> {
    let (base, count) = table.get(n).ok_or(bad("a RAR length out of range", bits.consumed()))?;
    Ok(base + bits.take(*count))
}

struct Codes {
    main: Tree,
    distances: Tree,
    low: Tree,
    repeats: Tree,
}

/// A program for filters.
struct Program {
    kind: Kind,
    /// Length of the range it was last used on.
    length: usize,
}

/// How the present block is coded.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Codes,
    Model,
}

pub struct Three {
    mode: Mode,
    /// Whether the next content goes on with these codes.
    keeps_codes: bool,
    lengths: [u8; MAIN + DISTANCES + LOW + REPEATS],
    codes: Option<Codes>,
    recent: Recent,
    /// Low bits of the last distance, and how often they are to be used again.
    low: usize,
    low_again: u32,
    model: Option<Box<Model>>,
    escape: u8,
    programs: Vec<Program>,
    program: usize,
}

impl Default for Three {
    fn default() -> Self {
        Self {
            mode: Mode::Codes,
            keeps_codes: false,
            lengths: [0; _],
            codes: None,
            recent: Recent::default(),
            low: 0,
            low_again: 0,
            model: None,
            escape: 2,
            programs: Vec::new(),
            program: 0,
        }
    }
}

/// Why decoding of a block stopped.
enum Stop {
    /// The content is over.
    End,
    /// Another block begins at this byte.
    Block(usize),
}

impl Three {
    pub fn content(
        &mut self,
        input: &[u8],
        w: &mut Window<'_>,
        filters: &mut Vec<Filter>,
    ) -> Result<(), Error> {
        let mut bits = Bits::new(input, 0);
        let mut coder = Coder::new(input, 0);
        if !self.keeps_codes {
            self.head(&mut bits, &mut coder, w)?;
        }
        loop {
            let stop = match self.mode {
                Mode::Codes => self.by_codes(&mut bits, w, filters)?,
                Mode::Model => self.by_model(&mut coder, w, filters)?,
            };
            match stop {
                Stop::End => return Ok(()),
                Stop::Block(at) => {
                    bits = Bits::new(input, at);
                    match self.head(&mut bits, &mut coder, w) {
                        Err(_) if w.is_full() => return Ok(()),
                        other => other?,
                    }
                }
            }
        }
    }

    /// Reads the head of a block.
    fn head<'a>(
        &mut self,
        bits: &mut Bits<'a>,
        coder: &mut Coder<'a>,
        w: &Window<'_>,
    ) -> Result<(), Error> {
        w.budget.work(TABLES)?;
        bits.align();
        self.keeps_codes = false;
        if bits.take(1) == 1 {
            self.mode = Mode::Model;
            return self.model_head(bits, coder);
        }
        self.mode = Mode::Codes;
        if bits.take(1) == 0 {
            self.lengths.fill(0);
        }
        (self.low, self.low_again) = (0, 0);
        lengths(bits, &mut self.lengths, true)?;
        let (main, rest) = self.lengths.split_at(MAIN);
        let (distances, rest) = rest.split_at(DISTANCES);
        let (low, repeats) = rest.split_at(LOW);
        let at = bits.consumed();
        self.codes = Some(Codes {
            main: tree(main, at)?,
            distances: tree(distances, at)?,
            low: tree(low, at)?,
            repeats: tree(repeats, at)?,
        });
        self.keeps_codes = true;
        Ok(())
    }

    fn model_head<'a>(&mut self, bits: &mut Bits<'a>, coder: &mut Coder<'a>) -> Result<(), Error> {
        let flags = bits.take(7);
        let anew = flags & 0x20 != 0;
        let size = if anew { (bits.take(8) + 1) << 20 } else { 0 };
        if flags & 0x40 != 0 {
            self.escape = bits.take(8) as u8;
        }
        let at = bits.align();
        if anew {
            let order = match flags as u32 & 31 {
                0 => return Err(bad("a RAR model of order 1", at)),
                n @ 1..16 => n + 1,
                n => 16 + (n - 15) * 3,
            };
            match &mut self.model {
                Some(model) if model.size() == size => model.reset(order),
                model => *model = Some(Model::new(order, size)),
            }
        } else if self.model.is_none() {
            return Err(bad("a RAR model goes on that was never begun", at));
        }
        *coder = Coder::new(bits.input(), at);
        Ok(())
    }

    fn by_codes(
        &mut self,
        bits: &mut Bits<'_>,
        w: &mut Window<'_>,
        filters: &mut Vec<Filter>,
    ) -> Result<Stop, Error> {
        let Some(codes) = self.codes.take() else {
            return Err(bad("a RAR block without codes", bits.consumed()));
        };
        let result = self.with_codes(&codes, bits, w, filters);
        self.codes = Some(codes);
        result
    }

    fn with_codes(
        &mut self,
        codes: &Codes,
        bits: &mut Bits<'_>,
        w: &mut Window<'_>,
        filters: &mut Vec<Filter>,
    ) -> Result<Stop, Error> {
        loop {
            let none = bad("no symbol of a RAR code", bits.consumed());
            let symbol = match bits.symbol(&codes.main) {
                // Behind the last byte there may only be an end.
                Some(symbol) if symbol == 256 || !w.is_full() => symbol,
                _ if w.is_full() => return Ok(Stop::End),
                _ => return Err(none),
            };
            if bits.is_over() && !w.is_full() {
                return Err(Error::Truncated { what: "RAR", at: bits.size() });
            }
            let (distance, length) = match symbol {
                0..=255 => {
                    w.literal(symbol as u8)?;
                    continue;
                }
                256 if bits.take(1) == 1 => return Ok(Stop::Block(bits.align())),
                256 => {
                    self.keeps_codes = bits.take(1) == 0;
                    return Ok(Stop::End);
                }
                257 => {
                    filters.push(self.filter(&mut || Ok(bits.take(8) as u8), w)?);
                    continue;
                }
                258 if self.recent.length == 0 => continue,
                258 => (self.recent.distances[0], self.recent.length),
                259..=262 => {
                    let distance = self.recent.reuse(symbol - 259);
                    let n = bits.symbol(&codes.repeats).ok_or(none)?;
                    (distance, slot(&LENGTHS, n, bits)? + 2)
                }
                263..=270 => {
                    let distance = slot(&SHORT, symbol - 263, bits)? + 1;
                    self.recent.push(distance);
                    (distance, 2)
                }
                _ => {
                    let mut length = slot(&LENGTHS, symbol - 271, bits)? + 3;
                    let n = bits.symbol(&codes.distances).ok_or(none)?;
                    let (base, count) = FAR[n];
                    let distance = 1
                        + base
                        + if n <= 9 {
                            bits.take(count)
                        } else {
                            let high = bits.take(count - 4) << 4;
                            if self.low_again > 0 {
                                self.low_again -= 1;
                            } else {
                                match bits.symbol(&codes.low).ok_or(none)? {
                                    16 => self.low_again = 15,
                                    n => self.low = n,
                                }
                            }
                            high + self.low
                        };
                    length += [0x2000, 0x40000].iter().filter(|d| distance >= **d).count();
                    self.recent.push(distance);
                    (distance, length)
                }
            };
            self.recent.length = length;
            w.repeat(distance, length)?;
        }
    }

    fn by_model(
        &mut self,
        coder: &mut Coder<'_>,
        w: &mut Window<'_>,
        filters: &mut Vec<Filter>,
    ) -> Result<Stop, Error> {
        let Some(mut model) = self.model.take() else {
            return Err(bad("a RAR block without a model", coder.at));
        };
        let result = self.with_model(&mut model, coder, w, filters);
        self.model = Some(model);
        result
    }

    fn with_model(
        &mut self,
        model: &mut Model,
        coder: &mut Coder<'_>,
        w: &mut Window<'_>,
        filters: &mut Vec<Filter>,
    ) -> Result<Stop, Error> {
        loop {
            let symbol = match model.symbol(coder) {
                Ok(symbol) if symbol == self.escape || !w.is_full() => symbol,
                // Behind the last byte there may only be an end.
                _ if w.is_full() => return Ok(Stop::End),
                other => other?,
            };
            if symbol != self.escape {
                w.literal(symbol)?;
                continue;
            }
            match model.symbol(coder)? {
                0 => return Ok(Stop::Block(coder.at)),
                2 => return Ok(Stop::End),
                3 => filters.push(self.filter(&mut || model.symbol(coder), w)?),
                _ if w.is_full() => return Ok(Stop::End),
                4 => {
                    let mut next = || model.symbol(coder).map(usize::from);
                    let distance = next()? << 16 | next()? << 8 | next()?;
                    let length = next()? + 32;
                    w.repeat(distance + 2, length)?;
                }
                5 => {
                    let length = usize::from(model.symbol(coder)?) + 4;
                    w.repeat(1, length)?;
                }
                _ => w.literal(symbol)?,
            }
        }
    }

    /// Reads a filter: flags, the length of its description, and that.
    fn filter(
        &mut self,
        next: &mut dyn FnMut() -> Result<u8, Error>,
        w: &Window<'_>,
    ) -> Result<Filter, Error> {
        let flags = next()?;
        let length = match flags & 7 {
            6 => usize::from(next()?) + 7,
            7 => usize::from(next()?) << 8 | usize::from(next()?),
            n => usize::from(n) + 1,
        };
        w.budget.work(length as u64 + 64)?;
        let code = (0..length).map(|_| next()).collect::<Result<Vec<u8>, Error>>()?;
        let mut bits = Bits::new(&code, 0);
        let made = self.parse(flags, &mut bits, w.at - w.start)?;
        if bits.is_over() {
            return Err(bad("the description of a RAR filter is cut off", w.at));
        }
        Ok(made)
    }

    fn parse(&mut self, flags: u8, bits: &mut Bits<'_>, at: usize) -> Result<Filter, Error> {
        if flags & 0x80 != 0 {
            self.program = match number(bits) {
                0 => {
                    self.programs.clear();
                    0
                }
                n => n as usize - 1,
            };
        }
        let known = self.programs.get(self.program).map(|p| (p.kind, p.length));
        if known.is_none() && (self.program != self.programs.len() || self.program >= PROGRAMS) {
            return Err(bad("a RAR filter names a program that is not there", at));
        }
        let mut start = at.saturating_add(number(bits) as usize);
        if flags & 0x40 != 0 {
            start = start.saturating_add(258);
        }
        let length = if flags & 0x20 != 0 {
            number(bits) as usize
        } else {
            known.map_or(0, |(_, length)| length)
        };
        // Registers 0 and 1 are the parameters of the known programs; 4 is the length.
        let mut registers = [0; 7];
        if flags & 0x10 != 0 {
            let mask = bits.take(7);
            for (n, register) in registers.iter_mut().enumerate() {
                if mask >> n & 1 == 1 {
                    *register = number(bits);
                }
            }
        }
        let kind = match known {
            Some((kind, _)) => kind,
            None => {
                let size = number(bits) as usize;
                if size == 0 || size > 1 << 16 || size > bits.size() {
                    return Err(bad("a RAR filter with a program of no possible size", at));
                }
                let code: Vec<u8> = (0..size).map(|_| bits.take(8) as u8).collect();
                if code.iter().fold(0, |sum, b| sum ^ b) != 0 {
                    return Err(bad("the program of a RAR filter is damaged", at));
                }
                let kind = Kind::of_program(size, check::crc32(&code));
                self.programs.push(Program { kind, length });
                kind
            }
        };
        if let Some(program) = self.programs.get_mut(self.program) {
            program.length = length;
        }
        if flags & 8 != 0 {
            let size = number(bits) as usize;
            if size > 1 << 13 {
                return Err(bad("a RAR filter with too much data", at));
            }
            for _ in 0..size {
                bits.take(8);
            }
        }
        Ok(Filter { kind: kind.with(registers[0], registers[1]), start, length })
    }
}

/// A number of 4, 8, 16 or 32 bits; small negative ones take 12.
fn number(bits: &mut Bits<'_>) -> u32 {
    let value = match bits.take(2) {
        0 => bits.take(4),
        1 => match bits.take(8) {
            n @ 16.. => n,
            n => 0xFFFF_FF00 | n << 4 | bits.take(4),
        },
        2 => bits.take(16),
        _ => bits.take(32),
    };
    value as u32
}
