//! RAR 1.5 and 2.

use super::{
    super::{one, two},
    *,
};

/// A block of RAR 2. Text goes on with the codes before if `adds`.
pub(crate) fn block2(out: &mut Bitter, ops: &[Op], adds: bool, ends: bool) {
    let all = [lengths_of(&[(256, 9), (42, 7)]), vec![6; 48], vec![5; 28]].concat();
    let (main, distances, repeats) = (&all[..298], &all[298..346], &all[346..]);
    out.put(0, 1);
    out.put(usize::from(adds), 1);
    if adds {
        // Runs do not add: each length is told to be as before.
        (0..19).for_each(|_| out.put(5, 4));
        all.iter().for_each(|_| out.symbol(&[5; 19], 0));
    } else {
        lengths2(out, &all);
    }
    let far = slots::<48>(|n| match n {
        0..4 => 0,
        4..34 => n as u32 / 2 - 1,
        _ => 16,
    });
    let of_length = slots::<28>(|n| if n < 8 { 0 } else { n as u32 / 4 - 1 });
    let of_short = slots::<8>(|n| [2, 2, 3, 4, 5, 6, 6, 6][n]);
    let mut recent = vec![0; 4];
    for op in ops {
        match op {
            Op::Bytes(bytes) => bytes.iter().for_each(|b| out.symbol(main, (*b).into())),
            Op::Match(distance, length) => {
                let more = [0x2000, 0x40000].iter().filter(|d| distance >= d).count();
                out.slot(length - 3 - more, |n| of_length[n], |out, n| out.symbol(main, 270 + n));
                out.slot(distance - 1, |n| far[n.min(47)], |out, n| out.symbol(distances, n));
                recent.insert(0, *distance);
            }
            Op::Short(distance) => {
                out.slot(distance - 1, |n| of_short[n.min(7)], |out, n| out.symbol(main, 261 + n));
                recent.insert(0, *distance);
            }
            Op::Again(n, length) => {
                let distance = recent[*n];
                let more = [0x101, 0x2000, 0x40000].iter().filter(|d| distance >= **d).count();
                out.symbol(main, 257 + n);
                out.slot(length - 2 - more, |n| of_length[n], |out, n| out.symbol(repeats, n));
                recent.insert(0, distance);
            }
            Op::Last => {
                out.symbol(main, 256);
                recent.insert(0, recent[0]);
            }
            Op::Filter(..) | Op::Program(..) => panic!("not in RAR 2"),
        }
    }
    if ends {
        out.symbol(main, 269);
    }
}

/// Lengths of codes by a code of which each symbol has five bits.
fn lengths2(out: &mut Bitter, all: &[u8]) {
    let five = [5; 19];
    (0..19).for_each(|_| out.put(5, 4));
    let mut n = 0;
    while n < all.len() {
        let same = all[n..].iter().take_while(|len| **len == all[n]).count();
        let repeats = n > 0 && all[n - 1] == all[n];
        n += match same {
            11.. if all[n] == 0 => {
                let run = same.min(138);
                out.symbol(&five, 18);
                out.put(run - 11, 7);
                run
            }
            3.. if all[n] == 0 => {
                let run = same.min(10);
                out.symbol(&five, 17);
                out.put(run - 3, 3);
                run
            }
            3.. if repeats => {
                let run = same.min(6);
                out.symbol(&five, 16);
                out.put(run - 3, 2);
                run
            }
            _ => {
                out.symbol(&five, all[n].into());
                1
            }
        };
    }
}

/// A block of sound of so many channels, all of them new.
pub(crate) fn sound(out: &mut Bitter, plain: &[u8], channels: usize, ends: bool) {
    let one = [9; 257];
    out.put(2, 2);
    out.put(channels - 1, 2);
    lengths2(out, &one.repeat(channels));
    let mut states: Vec<_> = (0..channels).map(|_| two::Channel::default()).collect();
    let mut other = 0;
    for (n, byte) in plain.iter().enumerate() {
        let state = &mut states[n % channels];
        let off = state.clone().next(0, &mut { other }).wrapping_sub(*byte);
        out.symbol(&one, off.into());
        assert_eq!(state.next(off, &mut other), *byte);
    }
    if ends {
        out.symbol(&one, 256);
    }
}

/// What operations of RAR 2 mean after `before`: a distance that is used again is put in front once more.
pub(crate) fn meaning2(before: &[u8], ops: &[Op]) -> Vec<u8> {
    let mut all = before.to_vec();
    let (mut recent, mut last) = (vec![0; 4], 0);
    for op in ops {
        let (distance, length) = match op {
            Op::Bytes(bytes) => {
                all.extend(bytes);
                continue;
            }
            Op::Match(distance, length) => (*distance, *length),
            Op::Short(distance) => (*distance, 2),
            Op::Again(n, length) => (recent[*n], *length),
            _ => (recent[0], last),
        };
        recent.insert(0, distance);
        last = length;
        (0..length).for_each(|_| all.push(all[all.len() - distance]));
    }
    all.split_off(before.len())
}

pub(crate) fn ops2() -> Vec<Op> {
    let mut ops = plain_ops();
    ops.extend([Op::Short(1), Op::Short(200), Op::Again(1, 3), Op::Match(257, 9), Op::Again(0, 9)]);
    ops
}

/// What a stream of RAR 1.5 is made of.
pub(crate) enum Old {
    Bytes(Vec<u8>),
    /// Distance and length, by each of three forms.
    Long(usize, usize),
    Short(usize, usize),
    Far(usize, usize),
    /// A match among nothing but literals.
    Among(usize, usize),
    Again(usize, usize),
    Last,
    Switch,
}

enum Event {
    Flags,
    Bits(usize, u32),
    Symbol(usize, usize),
}

/// A writer of contents of RAR 1.5 that go on with each other. Flags stand before what they tell, so they are known last.
pub(crate) struct Writer {
    state: one::State,
    ranks: one::Ranks,
    events: Vec<Event>,
    flags: Vec<u8>,
    left: u32,
    /// Whether there was a run of nothing but literals.
    pub(crate) only_literals: bool,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            state: one::State::default(),
            ranks: one::State::default().flags,
            events: Vec::new(),
            flags: Vec::new(),
            left: 0,
            only_literals: false,
        }
    }
}

impl Writer {
    fn flag(&mut self, bit: u8) {
        if self.left == 0 {
            self.events.push(Event::Flags);
            self.flags.push(0);
            self.left = 8;
        }
        self.left -= 1;
        *self.flags.last_mut().unwrap() |= bit << self.left;
    }

    fn bits(&mut self, value: usize, count: u32) {
        self.events.push(Event::Bits(value, count));
    }

    fn symbol(&mut self, code: usize, symbol: usize) {
        self.events.push(Event::Symbol(code, symbol));
    }

    fn literal(&mut self, byte: u8) {
        if !self.state.only_literals {
            if self.state.expects_match() {
                self.flag(0);
            }
            self.flag(1);
        }
        let index = self.state.literals.rows.iter().position(|row| row.0 == byte).unwrap();
        let more = usize::from(self.state.only_literals);
        self.symbol(self.state.literal_code(), index + more);
        self.state.saw_literal(index, self.left);
        self.only_literals |= self.state.only_literals;
    }

    fn long(&mut self, distance: usize, length: usize) {
        if !self.state.expects_match() {
            self.flag(0);
        }
        self.flag(1);
        self.state.begin_long();
        let more = usize::from(distance >= self.state.far) + if distance <= 256 { 8 } else { 0 };
        let symbol = length - 3 - more;
        match self.state.length_code() {
            Some(code) => self.symbol(code, symbol),
            None if symbol < 8 => self.bits(1, symbol as u32 + 1),
            None => self.bits(symbol, 16),
        }
        let high = (distance >> 7) as u8;
        let place = self.state.distances.rows.iter().position(|row| row.0 == high).unwrap();
        self.symbol(self.state.place_code(), place);
        self.state.distances.take(place, 0xFF);
        self.bits(distance & 0x7F, 7);
        assert_eq!(self.state.saw_long(symbol, place, distance), length);
        self.state.push(distance, length);
    }

    /// Begins a short match of this kind.
    fn short(&mut self, kind: usize) {
        self.flag(0);
        self.flag(0);
        self.state.begin_short();
        if self.state.repeats == 2 {
            self.bits(0, 1);
        }
        self.state.repeats = 0;
        let (code, len) = self.state.short_codes().nth(kind).unwrap();
        self.bits(usize::from(code) >> (8 - len), len);
    }

    fn last(&mut self) {
        if self.state.repeats == 2 {
            self.flag(0);
            self.flag(0);
            self.state.begin_short();
            return self.bits(1, 1);
        }
        let repeats = self.state.repeats;
        self.short(9);
        self.state.repeats = repeats + 1;
    }

    fn op(&mut self, op: &Old) {
        let inner = matches!(op, Old::Bytes(_) | Old::Among(..));
        if self.state.only_literals && !inner {
            self.symbol(self.state.literal_code(), 0);
            self.bits(1, 1);
            self.state.saw_escape();
        }
        match op {
            Old::Bytes(bytes) => bytes.iter().for_each(|b| self.literal(*b)),
            Old::Among(distance, length) => {
                assert!(self.state.only_literals);
                self.symbol(self.state.literal_code(), 0);
                self.bits(length - 3, 2);
                self.symbol(one::FLAGS, distance >> 5);
                self.bits(distance & 31, 5);
            }
            Old::Long(distance, length) => self.long(*distance, *length),
            Old::Short(distance, length) => {
                self.short(length - 2);
                let low = (distance - 1) as u8;
                let place = self.state.low.iter().position(|d| *d == low).unwrap();
                self.symbol(one::FLAGS, place);
                self.state.saw_low(length - 2, place);
                self.state.push(*distance, *length);
            }
            Old::Far(distance, length) => {
                // Its code exists only while another one is a bit longer.
                if !self.state.longer {
                    self.op(&Old::Switch);
                }
                self.short(14);
                self.symbol(one::LENGTHS[1], length - 5);
                self.bits(distance - 0x8000, 15);
                self.state.last = (*distance, *length);
            }
            Old::Again(n, length) => {
                self.short(10 + n);
                let distance = self.state.recent[*n];
                let symbol = length - self.state.again(0, distance);
                self.symbol(one::LENGTHS[0], symbol);
                self.state.push(distance, *length);
            }
            Old::Last => self.last(),
            Old::Switch => {
                self.short(one::SWITCH.1);
                self.symbol(one::LENGTHS[0], one::SWITCH.0);
                self.state.switch();
            }
        }
    }

    /// The stream of the next content.
    pub(crate) fn content(&mut self, ops: &[Old]) -> Vec<u8> {
        (self.state.only_literals, self.state.repeats, self.left) = (false, 0, 0);
        ops.iter().for_each(|op| self.op(op));
        let mut out = Bitter::default();
        let mut flags = std::mem::take(&mut self.flags).into_iter();
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Bits(value, count) => out.put(value, count),
                Event::Symbol(code, symbol) => out.symbol(&one::lengths(code), symbol),
                Event::Flags => {
                    let value = flags.next().unwrap();
                    let index = self.ranks.rows.iter().position(|row| row.0 == value).unwrap();
                    self.ranks.take(index, 0xFF);
                    out.symbol(&one::lengths(one::FLAGS), index);
                }
            }
        }
        // Other readers look ahead.
        out.bytes.extend([0; 8]);
        out.bytes
    }
}

/// What operations of RAR 1.5 mean after `before`, in which the last distances were `recent`.
pub(crate) fn meaning1(before: &[u8], recent: &mut Vec<usize>, ops: &[Old]) -> Vec<u8> {
    let mut all = before.to_vec();
    let mut last = (0, 0);
    for op in ops {
        let (distance, length) = match op {
            Old::Bytes(bytes) => {
                all.extend(bytes);
                continue;
            }
            Old::Switch => continue,
            Old::Last | Old::Among(..) | Old::Far(..) => match op {
                Old::Among(distance, length) => (*distance, *length),
                Old::Far(distance, length) => {
                    last = (*distance, *length);
                    last
                }
                _ => last,
            },
            Old::Again(n, length) => {
                last = (recent[*n], *length);
                recent.insert(0, last.0);
                last
            }
            Old::Long(distance, length) | Old::Short(distance, length) => {
                last = (*distance, *length);
                recent.insert(0, *distance);
                last
            }
        };
        (0..length).for_each(|_| all.push(all[all.len() - distance]));
    }
    all.split_off(before.len())
}

/// All forms of matches, often enough that averages and ranks turn over.
pub(crate) fn ops1() -> Vec<Old> {
    let mut ops = vec![
        Old::Bytes(prose(300)),
        Old::Among(290, 3),
        Old::Bytes((0..=255).rev().collect()),
        Old::Among(33, 4),
        Old::Long(300, 40),
        Old::Last,
        Old::Last,
        Old::Last,
        Old::Last,
        Old::Short(7, 4),
        Old::Again(1, 20),
        Old::Switch,
        Old::Short(19, 3),
        Old::Bytes(vec![0; 5]),
        Old::Again(3, 9),
    ];
    for n in 0..2500 {
        ops.push(match n % 7 {
            0 => Old::Bytes(prose(n % 23)),
            1 => Old::Long(257 + n % 500, 5 + n % 90),
            2 => Old::Short(1 + n % 200, 2 + n % 9),
            3 => Old::Again(n % 4, 6 + n % 40),
            4 => Old::Long(1 + n % 200, 12 + n % 60),
            5 if n % 3 == 0 => Old::Switch,
            5 => Old::Last,
            _ => Old::Bytes((0..n % 60).map(|b| (b * n) as u8).collect()),
        });
    }
    ops.extend([Old::Far(0x8001, 60), Old::Last, Old::Long(0x2100, 9), Old::Long(0x7F01, 255)]);
    ops
}

#[test]
fn rar_1_in_contents_that_go_on() {
    let budget = Budget::ample();
    let (mut writer, mut recent) = (Writer::default(), vec![0; 4]);
    let first = meaning1(b"", &mut recent, &ops1());
    let input = writer.content(&ops1());
    assert!(writer.only_literals);
    let mut unpacker = Unpacker::new(Generation::One, 1 << 20, &budget);
    decoded(&mut unpacker, &input, first.len());
    let ops = [Old::Again(2, 30), Old::Long(300, 255), Old::Bytes(prose(90)), Old::Again(0, 9)];
    let second = meaning1(&first, &mut recent, &ops);
    let input = writer.content(&ops);
    decoded(&mut unpacker, &input, second.len());
    assert!(unpacker.finish() == [first, second].concat());
}

#[test]
fn rar_2_in_blocks_and_contents_that_go_on() {
    let budget = Budget::ample();
    let mut out = Bitter::default();
    block2(&mut out, &ops2(), false, true);
    // Each block is written by itself, so it begins without a distance to be used again.
    let more = [Op::Bytes(prose(9)), Op::Match(4, 30), Op::Last];
    block2(&mut out, &more, true, true);
    let wave: Vec<u8> = (0..3000_u32).map(|n| (n * n / 90 + n % 2 * 40) as u8).collect();
    sound(&mut out, &wave, 2, true);
    block2(&mut out, &ops2(), false, true);
    // The codes of the next content stand at the end.
    block2(&mut out, &[], true, false);
    let mut plain = meaning2(b"", &ops2());
    plain.extend(meaning2(&plain, &more));
    plain.extend(wave);
    plain.extend(meaning2(&plain, &ops2()));
    let mut unpacker = Unpacker::new(Generation::Two, 1 << 20, &budget);
    decoded(&mut unpacker, &out.bytes, plain.len());
    let next = [Op::Bytes(prose(50)), Op::Match(plain.len() + 50, 9), Op::Again(0, 40)];
    let after = meaning2(&plain, &next);
    let (mut with_head, mut head) = (Bitter::default(), Bitter::default());
    block2(&mut with_head, &next, true, false);
    block2(&mut head, &[], true, false);
    decoded(&mut unpacker, &with_head.after(head.used), after.len());
    assert!(unpacker.finish() == [plain, after].concat());
}

#[test]
fn damage_of_old_streams_is_told_and_bounded() {
    let budget = Budget::ample();
    let one = Writer::default().content(&ops1());
    let mut out = Bitter::default();
    block2(&mut out, &ops2(), false, true);
    sound(&mut out, &prose(300), 3, true);
    let sizes = [meaning1(b"", &mut vec![0; 4], &ops1()).len(), meaning2(b"", &ops2()).len() + 300];
    let inputs = [(Generation::One, one), (Generation::Two, out.bytes)];
    for ((generation, input), size) in inputs.into_iter().zip(sizes) {
        for cut in (0..input.len()).step_by(1 + input.len() / 300) {
            let mut unpacker = Unpacker::new(generation, size, &budget);
            let part = unpacker.content(&input[..cut], Some(size));
            assert!(part.error.is_some() || part.range.len() == size, "{generation:?} at {cut}");
        }
        for bit in (0..input.len() * 8).step_by(1 + input.len() / 50) {
            let mut damaged = input.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let part = Unpacker::new(generation, size, &budget).content(&damaged, Some(size));
            assert!(part.range.len() <= size);
        }
    }
}
