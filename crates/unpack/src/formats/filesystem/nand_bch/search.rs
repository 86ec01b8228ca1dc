//! Which code a dump has: arrangements of pages in use, all places, fields and views tried on a few pages.
//!
//! A hypothesis is first asked for one value of the code word only, the remainder by the polynomial of the field, which
//! costs a table look-up for each byte and can go on along the spare bytes. What passes is asked for the whole code in
//! all sectors of the sample.

// Places are within a page with its spare bytes, whose length the sample has; sums are of such places.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use std::{collections::BTreeMap, sync::LazyLock};

use super::scheme::{Bits, Scheme, VIEWS, View, gather};
use crate::{
    budget::Budget,
    codec::bch::{Code, Field},
};

/// Fields of published controllers: Linux' own polynomials, Atmel's of degree 14, Broadcom's.
const POLYNOMIALS: [u32; 5] = [0x201B, 0x402B, 0x5803, 0x4443, 0x8003];

/// The fields that are looked for.
pub static FIELDS: LazyLock<Vec<Field>> =
    LazyLock::new(|| POLYNOMIALS.into_iter().filter_map(Field::new).collect());

/// Bits of correction that controllers offer.
const STRENGTHS: [usize; 20] =
    [60, 48, 40, 36, 32, 30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 5, 4];

/// Pages, and the spare bytes that chips of that size have; the most frequent ones first.
const GEOMETRIES: [(usize, &[usize]); 6] = [
    (2048, &[64, 112, 120, 128]),
    (4096, &[128, 208, 216, 218, 224, 232, 256]),
    (8192, &[256, 376, 436, 448, 512, 640, 744, 768]),
    (16384, &[512, 1024, 1216, 1280, 1664, 1872]),
    (1024, &[32]),
    (512, &[16]),
];

/// Pages of the smallest erase blocks; larger ones have a multiple of it.
const BLOCK: usize = 16;
/// Pages that a dump has at least: the search takes tens of milliseconds, which small contents are not worth.
const LEAST: usize = 64;
/// Pages of a sample.
const SAMPLE: usize = 12;
/// Pages of it from which hypotheses are made: more than one, as a wrong bit in its first sector hides the code.
const ASKED: usize = 6;

/// A scheme that was found, with the field of its code.
pub struct Found {
    /// The scheme.
    pub scheme: Scheme,
    /// Index in [`FIELDS`].
    pub field: usize,
    /// Sectors of the sample that are right, of a thousand.
    share: usize,
    /// Each sector has its spare bytes behind it.
    side_by_side: bool,
}

/// Remainders by the polynomial of a field.
struct Register<'f> {
    field: &'f Field,
    table: [u16; 256],
}

impl<'f> Register<'f> {
    fn new(field: &'f Field) -> Self {
        let step = |value: u32, bit: u32| {
            let next = value << 1 | bit;
            if next >> field.m == 0 { next } else { next ^ field.polynomial }
        };
        let row = |n: usize| {
            // n times x^m, one bit at a time.
            let start = (0..8).rev().fold(0, |value, b| step(value, n as u32 >> b & 1));
            (0..field.m).fold(start, |value, _| step(value, 0)) as u16
        };
        Self { field, table: std::array::from_fn(row) }
    }

    fn byte(&self, value: u32, byte: u8) -> u32 {
        let index = (value >> (self.field.m - 8)) as usize & 0xFF;
        ((value << 8) & ((1 << self.field.m) - 1) | u32::from(byte)) ^ u32::from(self.table[index])
    }

    fn bytes(&self, value: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(value, |value, byte| self.byte(value, *byte))
    }

    /// Goes on by the first `count` bits of a byte.
    fn bits(&self, value: u32, byte: u8, count: usize) -> u32 {
        (0..count).fold(value, |value, n| {
            let next = value << 1 | u32::from(byte >> (7 - n) & 1);
            if next >> self.field.m == 0 { next } else { next ^ self.field.polynomial }
        })
    }
}

/// The registers of all fields.
static REGISTERS: LazyLock<Vec<Register<'static>>> =
    LazyLock::new(|| FIELDS.iter().map(Register::new).collect());

/// A page of the sample in all views.
struct Page([Vec<u8>; 4]);

/// Whether so many bytes may be a dump: of whole erase blocks. Other contents seldom fit, and are spared the search.
pub fn fits(len: usize) -> bool {
    GEOMETRIES.iter().any(|(page, spares)| {
        spares
            .iter()
            .map(|spare| page + spare)
            .any(|step| len >= step * LEAST && len.is_multiple_of(step * BLOCK))
    })
}

/// The scheme of a dump that begins with a page, if there is one that most of its written pages follow. Several sizes of
/// page may show right sectors where these stand side by side: the one with more of them is it, then one that explains
/// where the marks of bad blocks are, then the most frequent one.
pub fn find(data: &[u8], budget: &Budget) -> Option<Found> {
    let mut best: Option<Found> = None;
    for (page, spares) in GEOMETRIES {
        for spare in spares {
            let step = page + spare;
            if !data.len().is_multiple_of(step) || data.len() / step < 4 {
                continue;
            }
            let sample = sample(data, page, step, budget)?;
            if sample.len() < 2 {
                continue;
            }
            // Some ten thousand places, each over some bytes.
            budget.work(1 << 19).ok()?;
            let Some(found) = Search::new(page, *spare, &sample).run() else { continue };
            if found.share >= 900 && !found.side_by_side {
                return Some(found);
            }
            // A byte that was moved divides one of the runs.
            let rank = |f: &Found| (f.share / 100, f.scheme.output.len() > f.scheme.sectors.len());
            if best.as_ref().is_none_or(|b| rank(b) < rank(&found)) {
                best = Some(found);
            }
        }
    }
    best
}

/// Written pages from all over the dump.
fn sample(data: &[u8], page: usize, step: usize, budget: &Budget) -> Option<Vec<Page>> {
    let count = data.len() / step;
    let mut pages = Vec::new();
    // Several places in each of as many parts, so that a dump that is mostly erased gives something too.
    for part in 0..SAMPLE {
        let (from, to) = (count * part / SAMPLE, count * (part + 1) / SAMPLE);
        // Not always an even number from the start.
        let mut tried = from + part % (to - from).max(1);
        while tried < to {
            budget.work(64).ok()?;
            let stored = &data[tried * step..(tried + 1) * step];
            let head = &stored[..512.min(page)];
            if head.iter().any(|b| *b != head[0]) {
                pages.push(Page(VIEWS.map(|view| view.of(stored))));
                break;
            }
            tried += ((to - from) / 64) | 1;
        }
    }
    Some(pages)
}

/// Where the code words of a page stand.
#[derive(Debug, Clone, Copy)]
enum Arrangement {
    /// Data first, parities in the spare bytes: that of a sector at `at`, `stride` apart; `extra` spare bytes in front
    /// of it belong to the message.
    Apart { sector: usize, at: usize, stride: usize, extra: usize },
    /// As before, each sector's part of the spare bytes up to its bit `end` follows its data in the code word.
    Joined { sector: usize, end: usize, stride: usize },
    /// Data, spare bytes and parity of a sector side by side.
    Mixed { sector: usize, extra: usize, at: usize, stride: usize },
    /// Sectors of 516 bytes with a hole where the page's own bytes would end.
    Holed { hole: usize, stride: usize },
    /// Ten bytes, then data and parity of each sector without alignment.
    Packed { sector: usize },
}

/// Bytes that i.MX controllers put in front of a page.
const META: usize = 10;

struct Search<'s> {
    page: usize,
    spare: usize,
    sample: &'s [Page],
    codes: BTreeMap<(usize, usize), Option<Code<'static>>>,
    /// The page from which hypotheses are made.
    asked: usize,
    /// Verifications that may still be made; noise passes the first question once in some thousand times.
    left: usize,
}

impl<'s> Search<'s> {
    fn new(page: usize, spare: usize, sample: &'s [Page]) -> Self {
        Self { page, spare, sample, codes: BTreeMap::new(), asked: 0, left: 4000 }
    }

    fn run(mut self) -> Option<Found> {
        for asked in 0..ASKED.min(self.sample.len()) {
            self.asked = asked;
            for (v, view) in VIEWS.into_iter().enumerate() {
                for field in 0..FIELDS.len() {
                    let found = self.sectors(asked, v, view, field);
                    if found.is_some() || self.left == 0 {
                        return found;
                    }
                }
            }
        }
        None
    }

    /// All arrangements, for one page, view and field.
    fn sectors(&mut self, asked: usize, v: usize, view: View, field: usize) -> Option<Found> {
        let sample = self.sample;
        let seen = &sample.get(asked)?.0[v];
        let register = REGISTERS.get(field)?;
        for sector in [512, 1024, 2048] {
            // Fields that such a sector needs: it and its parity must be shorter than the order.
            let least = match sector {
                512 => 13,
                1024 => 14,
                _ => 15,
            };
            if !self.page.is_multiple_of(sector)
                || register.field.m < least
                || register.field.m > least + 1
            {
                continue;
            }
            let sectors = self.page / sector;
            let share = self.spare / sectors;
            let data = register.bytes(0, &seen[..sector]);
            // Data apart, parity anywhere in the spare bytes.
            for at in 0..self.spare {
                let mut tried = self.parities(register, data, seen, self.page + at, share);
                while let Some((t, bytes)) = tried.pop() {
                    for stride in [bytes, bytes + 1, share] {
                        let arrangement = Arrangement::Apart { sector, at, stride, extra: 0 };
                        if let Some(found) = self.verify(arrangement, t, v, view, field) {
                            return Some(found);
                        }
                    }
                }
            }
            // The first bytes of each share in the message, the parity further on or next.
            let mut value = data;
            for extra in 1..share.min(32) {
                value = register.byte(value, seen[self.page + extra - 1]);
                for at in extra + 1..share.min(extra + 16) {
                    let mut tried =
                        self.parities(register, value, seen, self.page + at, share - at);
                    while let Some((t, _)) = tried.pop() {
                        let arrangement = Arrangement::Apart { sector, at, stride: share, extra };
                        if let Some(found) = self.verify(arrangement, t, v, view, field) {
                            return Some(found);
                        }
                    }
                }
            }
            for end in self.ends(register, data, &seen[self.page..self.page + share]) {
                let arrangement = Arrangement::Joined { sector, end, stride: share };
                if let Some(found) = self.strongest(arrangement, end, v, view, field) {
                    return Some(found);
                }
            }
            // Side by side.
            let mut value = data;
            for extra in 0..share.min(10) {
                if extra > 0 {
                    value = register.byte(value, seen[sector + extra - 1]);
                }
                for at in extra..share.min(extra + 16) {
                    let mut tried = self.parities(register, value, seen, sector + at, share - at);
                    while let Some((t, bytes)) = tried.pop() {
                        for stride in [sector + share, sector + at + bytes] {
                            let arrangement = Arrangement::Mixed { sector, extra, at, stride };
                            if let Some(found) = self.verify(arrangement, t, v, view, field) {
                                return Some(found);
                            }
                        }
                    }
                }
            }
            // One after the other, bit by bit.
            if sector + META < seen.len() && sector <= 1024 {
                let value = register.bytes(data, &seen[sector..sector + META]);
                let rest = &seen[sector + META..seen.len().min(sector + META + share)];
                for end in self.ends(register, value, rest) {
                    if end.is_multiple_of(register.field.m as usize) {
                        let t = end / register.field.m as usize;
                        let arrangement = Arrangement::Packed { sector };
                        if let Some(found) = self.verify(arrangement, t, v, view, field) {
                            return Some(found);
                        }
                    }
                }
            }
        }
        self.holed(register, seen, v, view, field)
    }

    fn holed(
        &mut self,
        register: &Register<'_>,
        seen: &[u8],
        v: usize,
        view: View,
        field: usize,
    ) -> Option<Found> {
        if self.page < 2048 || register.field.m != 13 {
            return None;
        }
        for stride in [528, 532] {
            for hole in [1, 2] {
                let Some(first) = self.page.checked_sub((self.page / 512 - 1) * stride) else {
                    continue;
                };
                if first > 516 {
                    continue;
                }
                let value = register.bytes(0, &seen[..first]);
                let value = register.bytes(value, &seen[first + hole..516 + hole]);
                let mut tried =
                    self.parities(register, value, seen, 516 + hole, stride - 516 - hole);
                while let Some((t, _)) = tried.pop() {
                    let arrangement = Arrangement::Holed { hole, stride };
                    if let Some(found) = self.verify(arrangement, t, v, view, field) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }

    /// Strengths whose parity at `at` completes the message, with its bytes; the strongest comes last.
    fn parities(
        &self,
        register: &Register<'_>,
        value: u32,
        seen: &[u8],
        at: usize,
        most: usize,
    ) -> Vec<(usize, usize)> {
        let m = register.field.m as usize;
        let mut found = Vec::new();
        let (mut value, mut done) = (value, 0);
        for t in STRENGTHS.into_iter().rev() {
            let (whole, rest) = (m * t / 8, m * t % 8);
            let bytes = whole + usize::from(rest > 0);
            if bytes > most || at + bytes > seen.len() {
                break;
            }
            value = register.bytes(value, &seen[at + done..at + whole]);
            done = whole;
            let full = if rest > 0 { register.bits(value, seen[at + whole], rest) } else { value };
            if full == 0 {
                found.push((t, bytes));
            }
        }
        found
    }

    /// Bits after which the code word may end.
    fn ends(&self, register: &Register<'_>, value: u32, rest: &[u8]) -> Vec<usize> {
        let (mut value, mut found) = (value, Vec::new());
        for (n, byte) in rest.iter().enumerate() {
            for b in 0..8 {
                value = register.bits(value, byte << b, 1);
                if value == 0 && n >= 6 {
                    found.push(n * 8 + b + 1);
                }
            }
        }
        found
    }

    /// The strongest code that a joined code word of `end` spare bits may have.
    fn strongest(
        &mut self,
        arrangement: Arrangement,
        end: usize,
        v: usize,
        view: View,
        field: usize,
    ) -> Option<Found> {
        let m = FIELDS.get(field)?.m as usize;
        // The weakest is right wherever a stronger one is.
        self.verify(arrangement, 4, v, view, field)?;
        STRENGTHS
            .into_iter()
            .filter(|t| t * m <= end)
            .find_map(|t| self.verify(arrangement, t, v, view, field))
    }

    /// Asks the whole code of all sectors of the sample.
    fn verify(
        &mut self,
        arrangement: Arrangement,
        t: usize,
        v: usize,
        view: View,
        field: usize,
    ) -> Option<Found> {
        self.left = self.left.checked_sub(1)?;
        let scheme = self.scheme(arrangement, t, view, FIELDS.get(field)?.m as usize)?;
        let code = self.codes.entry((field, t)).or_insert_with(|| Code::new(FIELDS.get(field)?, t));
        let code = code.as_ref()?;
        // The page that was asked tells most of chance.
        let first = gather(&self.sample.get(self.asked)?.0[v], scheme.sectors.first()?);
        if !code.is_right(&first) {
            return None;
        }
        let (mut right, mut all) = (0, 0);
        for page in self.sample {
            let (r, a) = scheme.score(code, &page.0[v]);
            (right, all) = (right + r, all + a);
        }
        // Parts of a flash may have another code.
        let side_by_side = matches!(arrangement, Arrangement::Mixed { .. });
        (right >= 3 && right * 2 >= all).then_some(Found {
            scheme,
            field,
            share: right * 1000 / all,
            side_by_side,
        })
    }

    fn scheme(&self, arrangement: Arrangement, t: usize, view: View, m: usize) -> Option<Scheme> {
        let (page, spare) = (self.page, self.spare);
        let bits = |from: usize, to: usize| from * 8..to * 8;
        let parity = m * t;
        let mut output: Vec<Bits> = Vec::new();
        let mut sectors = Vec::new();
        let name = match arrangement {
            Arrangement::Apart { sector, at, stride, extra } => {
                for n in 0..page / sector {
                    let start = page + at + n * stride;
                    let mut word = vec![bits(n * sector, (n + 1) * sector)];
                    if extra > 0 {
                        word.push(bits(page + n * stride, page + n * stride + extra));
                    }
                    word.push(start * 8..start * 8 + parity);
                    sectors.push(word);
                }
                output.push(bits(0, page));
                "parities in the spare bytes"
            }
            Arrangement::Joined { sector, end, stride } => {
                for n in 0..page / sector {
                    let start = (page + n * stride) * 8;
                    sectors.push(vec![bits(n * sector, (n + 1) * sector), start..start + end]);
                }
                output.push(bits(0, page));
                "parities in the spare bytes, which the code covers"
            }
            Arrangement::Mixed { sector, extra, at, stride } => {
                for n in 0..page / sector {
                    let start = n * stride;
                    let code = (start + sector + at) * 8;
                    sectors.push(vec![bits(start, start + sector + extra), code..code + parity]);
                    output.push(bits(start, start + sector));
                }
                if extra > 0 {
                    self.swap(&mut output, sector * 8);
                }
                "sectors with their spare bytes side by side"
            }
            Arrangement::Holed { hole, stride } => {
                let count = page / 512;
                let first = page - (count - 1) * stride;
                for n in 0..count {
                    let start = n * stride;
                    let code = (start + 516 + hole) * 8;
                    let (front, back) = (bits(start, start + first), start + first + hole);
                    // The last sector has what is left of the page, then spare bytes.
                    let data = if n + 1 < count { 516 } else { page - 516 * (count - 1) };
                    output.push(front.clone());
                    output.push(bits(back, (start + data + hole).max(back)));
                    sectors.push(vec![front, bits(back, start + 516 + hole), code..code + parity]);
                }
                "sectors of 516 bytes around the mark of bad blocks"
            }
            Arrangement::Packed { sector } => {
                let mut at = 0;
                for n in 0..page / sector {
                    let start = if n == 0 { META * 8 } else { at };
                    let end = start + sector * 8;
                    sectors.push(vec![at..end, end..end + parity]);
                    output.push(start..end);
                    at = end + parity;
                }
                self.swap(&mut output, 0);
                "sectors and parities packed bit by bit"
            }
        };
        let room = (page + spare) * 8;
        let inside = sectors.iter().flatten().chain(&output).all(|p| p.end <= room);
        inside.then_some(Scheme { page, spare, view, t, name, sectors, output })
    }

    /// Where sectors are not at their own places, the mark of bad blocks would lie in the data: controllers put the byte
    /// that belongs there to `home` (bits), and the mark to its place. That is told by marks that all say good.
    fn swap(&self, output: &mut Vec<Bits>, home: usize) {
        let mark = self.page;
        let all_good = self.sample.iter().all(|p| p.0[1].get(mark) == Some(&0xFF));
        let moved = self.sample.iter().any(|p| p.0[1].get(home / 8) != Some(&0xFF));
        let mark = mark * 8..mark * 8 + 8;
        let within = output.iter().position(|p| p.start <= mark.start && mark.end <= p.end);
        if let Some(n) = within.filter(|_| all_good && moved) {
            let whole = output[n].clone();
            output.splice(n..=n, [whole.start..mark.start, home..home + 8, mark.end..whole.end]);
        }
    }
}
