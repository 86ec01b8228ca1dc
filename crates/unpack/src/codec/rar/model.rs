//! PPMd variant H with the carry-less range coder, as RAR 3 has it: a model that outlives the coder, since a block may
//! start a new coder and go on with the model. That is why the decoder of 7z is not used, whose two parts are one.
//!
//! Method: D. Shkarin, PPMd var. H (2001), D. Subbotin's range coder (1999), and `Ppmd7.c` of the LZMA SDK (all public
//! domain); the layout in memory, on which the result depends when it runs out, is that of records of 12 bytes.
//!
//! Any sequence of symbols keeps the records consistent, so no input leads out of the memory.

// Places are made by this file only; frequencies are bounded by rescaling.
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::super::{Error, rar::bad};

const UNIT: u32 = 12;
const STATE: u32 = 6;
const MAX_FREQ: u32 = 124;
const INT_BITS: u32 = 7;
const PERIOD_BITS: u32 = 7;
const BIN_SCALE: u32 = 1 << (INT_BITS + PERIOD_BITS);
/// Lists of free blocks: 1, 2, 3, 4, 6, 8, 10, 12, 15, ... 24, 28, ... 128 units.
const LISTS: usize = 38;
const EXP_ESCAPE: [u32; 16] = [25, 14, 9, 7, 5, 5, 4, 4, 4, 3, 3, 3, 2, 2, 2, 2];
const INIT_BIN_ESC: [u32; 8] = [0x3CDD, 0x1F3F, 0x59BF, 0x48F3, 0x64A1, 0x5ABC, 0x6632, 0x6051];

/// The range coder.
pub struct Coder<'a> {
    input: &'a [u8],
    /// Where the next byte is read.
    pub at: usize,
    low: u32,
    range: u32,
    code: u32,
}

impl<'a> Coder<'a> {
    /// A coder that starts at byte `at`.
    pub fn new(input: &'a [u8], at: usize) -> Self {
        let mut made = Self { input, at, low: 0, range: u32::MAX, code: 0 };
        for _ in 0..4 {
            made.shift();
        }
        made
    }

    fn shift(&mut self) {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        self.code = self.code << 8 | u32::from(byte);
    }

    /// Whether more bytes were used than there are.
    pub fn is_over(&self) -> bool {
        self.at > self.input.len()
    }

    fn threshold(&mut self, total: u32) -> u32 {
        self.range = (self.range / total.max(1)).max(1);
        self.code.wrapping_sub(self.low) / self.range
    }

    fn decode(&mut self, start: u32, size: u32) {
        self.low = self.low.wrapping_add(start.wrapping_mul(self.range));
        self.range = self.range.wrapping_mul(size);
        loop {
            if self.low ^ self.low.wrapping_add(self.range) >= 1 << 24 {
                if self.range >= 1 << 15 {
                    return;
                }
                self.range = self.low.wrapping_neg() & 0x7FFF;
            }
            self.shift();
            self.range = (self.range << 8).max(1);
            self.low <<= 8;
        }
    }
}

/// Counters by which a secondary estimate of escapes adapts.
#[derive(Clone, Copy, Default)]
struct See {
    sum: u16,
    shift: u8,
    count: u8,
}

impl See {
    fn update(&mut self) {
        if u32::from(self.shift) < PERIOD_BITS {
            self.count = self.count.wrapping_sub(1);
            if self.count == 0 {
                self.sum <<= 1;
                self.count = (3_u32 << self.shift) as u8;
                self.shift += 1;
            }
        }
    }
}

/// The model. Its memory begins with text and ends with records; a place is the index of its first byte:
///
/// | record | bytes |
/// |---|---|
/// | state | symbol, frequency, successor (4 bytes; a place in the text or a context) |
/// | context | number of states (2), sum of frequencies (2), first state (4), suffix (4); or one state in the middle |
/// | free block | next free block (4); while gluing: stamp (2), units (2), next (4) |
pub struct Model {
    memory: Vec<u8>,
    order: u32,
    min_context: u32,
    max_context: u32,
    found: u32,
    order_fall: u32,
    init_esc: u32,
    prev_success: u32,
    hi_bits: u32,
    run_length: i32,
    init_run_length: i32,
    glue_count: u32,
    text: u32,
    units_start: u32,
    lo_unit: u32,
    hi_unit: u32,
    index_to_units: [u32; LISTS],
    units_to_index: [u8; 128],
    free: [u32; LISTS],
    ns_to_index: [u8; 256],
    dummy_see: See,
    see: [[See; 16]; 25],
    bin_sum: [[u16; 64]; 128],
}

impl Model {
    /// A model of this order (2 to 64) with `size` bytes of memory, a multiple of 1 MiB.
    pub fn new(order: u32, size: usize) -> Box<Self> {
        let mut index_to_units = [0; LISTS];
        let mut units_to_index = [0; 128];
        let mut units = 0;
        for (index, of) in index_to_units.iter_mut().enumerate() {
            let step = if index >= 12 { 4 } else { (index >> 2) + 1 };
            units_to_index[units..units + step].fill(index as u8);
            units += step;
            *of = units as u32;
        }
        let mut ns_to_index = [0; 256];
        let (mut value, mut left) = (3, 1);
        for (n, index) in ns_to_index.iter_mut().enumerate() {
            if n < 3 {
                *index = n as u8;
                continue;
            }
            *index = value;
            left -= 1;
            if left == 0 {
                value += 1;
                left = value - 2;
            }
        }
        let mut made = Box::new(Self {
            memory: vec![0; size],
            order,
            min_context: 0,
            max_context: 0,
            found: 0,
            order_fall: 0,
            init_esc: 0,
            prev_success: 0,
            hi_bits: 0,
            run_length: 0,
            init_run_length: 0,
            glue_count: 0,
            text: 0,
            units_start: 0,
            lo_unit: 0,
            hi_unit: 0,
            index_to_units,
            units_to_index,
            free: [0; LISTS],
            ns_to_index,
            dummy_see: See { sum: 0, shift: PERIOD_BITS as u8, count: 64 },
            see: [[See::default(); 16]; 25],
            bin_sum: [[0; 64]; 128],
        });
        made.restart();
        made
    }

    /// Starts anew with another order; the memory stays.
    pub fn reset(&mut self, order: u32) {
        self.order = order;
        self.restart();
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.memory.len()
    }

    // Records.

    fn u8(&self, at: u32) -> u8 {
        self.memory[at as usize]
    }
    fn set_u8(&mut self, at: u32, value: u32) {
        self.memory[at as usize] = value as u8;
    }
    fn u16(&self, at: u32) -> u32 {
        let at = at as usize;
        u32::from(u16::from_le_bytes([self.memory[at], self.memory[at + 1]]))
    }
    fn set_u16(&mut self, at: u32, value: u32) {
        self.memory[at as usize..at as usize + 2].copy_from_slice(&(value as u16).to_le_bytes());
    }
    fn u32(&self, at: u32) -> u32 {
        let m = &self.memory[at as usize..at as usize + 4];
        u32::from_le_bytes([m[0], m[1], m[2], m[3]])
    }
    fn set_u32(&mut self, at: u32, value: u32) {
        self.memory[at as usize..at as usize + 4].copy_from_slice(&value.to_le_bytes());
    }
    fn states(&self, context: u32) -> u32 {
        self.u16(context)
    }
    fn sum_freq(&self, context: u32) -> u32 {
        self.u16(context + 2)
    }
    fn set_sum_freq(&mut self, context: u32, value: u32) {
        self.set_u16(context + 2, value);
    }
    /// The first state, of a context that has several.
    fn first(&self, context: u32) -> u32 {
        self.u32(context + 4)
    }
    /// The one state within a context that has no other.
    fn only(context: u32) -> u32 {
        context + 2
    }
    fn suffix(&self, context: u32) -> u32 {
        self.u32(context + 8)
    }
    fn symbol_of(&self, state: u32) -> u8 {
        self.u8(state)
    }
    fn freq(&self, state: u32) -> u32 {
        u32::from(self.u8(state + 1))
    }
    fn set_freq(&mut self, state: u32, value: u32) {
        self.set_u8(state + 1, value);
    }
    fn successor(&self, state: u32) -> u32 {
        self.u32(state + 2)
    }
    fn set_successor(&mut self, state: u32, value: u32) {
        self.set_u32(state + 2, value);
    }
    fn set_state(&mut self, state: u32, symbol: u8, freq: u32, successor: u32) {
        self.set_u8(state, symbol.into());
        self.set_freq(state, freq);
        self.set_successor(state, successor);
    }
    fn copy(&mut self, from: u32, to: u32, len: u32) {
        self.memory.copy_within(from as usize..(from + len) as usize, to as usize);
    }
    fn swap(&mut self, a: u32, b: u32) {
        for n in 0..STATE as usize {
            self.memory.swap(a as usize + n, b as usize + n);
        }
    }
    /// The state of a context with several that has this symbol.
    fn find(&self, context: u32, symbol: u8) -> u32 {
        let mut state = self.first(context);
        while self.symbol_of(state) != symbol {
            state += STATE;
        }
        state
    }

    // Memory.

    fn list_of(&self, units: u32) -> usize {
        usize::from(self.units_to_index[units as usize - 1])
    }

    fn give_back(&mut self, block: u32, list: usize) {
        self.set_u32(block, self.free[list]);
        self.free[list] = block;
    }

    fn pop(&mut self, list: usize) -> u32 {
        let block = self.free[list];
        self.free[list] = self.u32(block);
        block
    }

    /// Gives back `units` units from `block` on, as one block or two.
    fn give_back_units(&mut self, block: u32, units: u32) {
        let mut list = self.list_of(units);
        if self.index_to_units[list] != units {
            list -= 1;
            let of = self.index_to_units[list];
            self.give_back(block + of * UNIT, (units - of - 1) as usize);
        }
        self.give_back(block, list);
    }

    fn split(&mut self, block: u32, from: usize, to: usize) {
        let rest = self.index_to_units[from] - self.index_to_units[to];
        self.give_back_units(block + self.index_to_units[to] * UNIT, rest);
    }

    /// Joins free blocks that lie side by side.
    fn glue(&mut self) {
        self.glue_count = 255;
        if self.lo_unit != self.hi_unit {
            self.set_u16(self.lo_unit, 1);
        }
        let mut head = 0;
        for list in 0..LISTS {
            let mut next = std::mem::take(&mut self.free[list]);
            while next != 0 {
                let block = next;
                next = self.u32(block);
                self.set_u16(block, 0);
                self.set_u16(block + 2, self.index_to_units[list]);
                self.set_u32(block + 4, head);
                head = block;
            }
        }
        let (mut block, mut before) = (head, 0);
        while block != 0 {
            let mut units = self.u16(block + 2);
            let next = self.u32(block + 4);
            if units == 0 {
                match before {
                    0 => head = next,
                    before => self.set_u32(before + 4, next),
                }
            } else {
                before = block;
                loop {
                    let beside = block + units * UNIT;
                    // Behind the last record there is nothing to join.
                    if beside + UNIT > self.memory.len() as u32 || self.u16(beside) != 0 {
                        break;
                    }
                    units += self.u16(beside + 2);
                    if units >= 0x10000 {
                        break;
                    }
                    self.set_u16(block + 2, units);
                    self.set_u16(beside + 2, 0);
                }
            }
            block = next;
        }
        while head != 0 {
            let mut block = head;
            let mut units = self.u16(block + 2);
            head = self.u32(block + 4);
            if units == 0 {
                continue;
            }
            while units > 128 {
                self.give_back(block, LISTS - 1);
                units -= 128;
                block += 128 * UNIT;
            }
            self.give_back_units(block, units);
        }
    }

    fn allocate_rare(&mut self, list: usize) -> Option<u32> {
        if self.glue_count == 0 {
            self.glue();
            if self.free[list] != 0 {
                return Some(self.pop(list));
            }
        }
        let Some(larger) = (list + 1..LISTS).find(|l| self.free[*l] != 0) else {
            let bytes = self.index_to_units[list] * UNIT;
            self.glue_count = self.glue_count.wrapping_sub(1);
            return (self.units_start - self.text > bytes).then(|| {
                self.units_start -= bytes;
                self.units_start
            });
        };
        let block = self.pop(larger);
        self.split(block, larger, list);
        Some(block)
    }

    fn allocate(&mut self, list: usize) -> Option<u32> {
        if self.free[list] != 0 {
            return Some(self.pop(list));
        }
        let bytes = self.index_to_units[list] * UNIT;
        if self.hi_unit - self.lo_unit >= bytes {
            self.lo_unit += bytes;
            return Some(self.lo_unit - bytes);
        }
        self.allocate_rare(list)
    }

    fn allocate_context(&mut self) -> Option<u32> {
        if self.hi_unit != self.lo_unit {
            self.hi_unit -= UNIT;
            return Some(self.hi_unit);
        }
        if self.free[0] != 0 { Some(self.pop(0)) } else { self.allocate_rare(0) }
    }

    fn restart(&mut self) {
        let size = self.memory.len() as u32;
        self.free = [0; LISTS];
        self.text = 0;
        self.units_start = size - size / 8 / UNIT * 7 * UNIT;
        self.lo_unit = self.units_start;
        self.hi_unit = size - UNIT;
        self.glue_count = 0;
        self.order_fall = self.order;
        self.init_run_length = -(self.order.min(12) as i32) - 1;
        self.run_length = self.init_run_length;
        self.prev_success = 0;
        let (context, first) = (self.hi_unit, self.lo_unit);
        self.lo_unit += 128 * UNIT;
        (self.min_context, self.max_context, self.found) = (context, context, first);
        self.set_u16(context, 256);
        self.set_sum_freq(context, 257);
        self.set_u32(context + 4, first);
        self.set_u32(context + 8, 0);
        for symbol in 0..=255_u8 {
            self.set_state(first + u32::from(symbol) * STATE, symbol, 1, 0);
        }
        for (n, row) in self.bin_sum.iter_mut().enumerate() {
            for (k, sum) in row.iter_mut().enumerate() {
                *sum = (BIN_SCALE - INIT_BIN_ESC[k % 8] / (n as u32 + 2)) as u16;
            }
        }
        for (n, row) in self.see.iter_mut().enumerate() {
            let shift = (PERIOD_BITS - 4) as u8;
            row.fill(See { sum: (5 * n as u16 + 10) << shift, shift, count: 4 });
        }
    }

    // Learning.

    /// Contexts for a successor that is still a place in the text, from the lowest order up; none without memory.
    fn create_successors(&mut self) -> Option<u32> {
        let mut context = self.min_context;
        let symbol = self.symbol_of(self.found);
        let text = self.successor(self.found);
        let mut pending = [0; 64];
        let mut count = 0;
        if self.order_fall != 0 {
            pending[0] = self.found;
            count = 1;
        }
        while self.suffix(context) != 0 {
            context = self.suffix(context);
            let state = match self.states(context) {
                1 => Self::only(context),
                _ => self.find(context, symbol),
            };
            let successor = self.successor(state);
            if successor != text {
                context = successor;
                if count == 0 {
                    return Some(context);
                }
                break;
            }
            pending[count] = state;
            count += 1;
        }
        let new_symbol = self.u8(text);
        let freq = if self.states(context) == 1 {
            self.freq(Self::only(context))
        } else {
            let of = self.freq(self.find(context, new_symbol)) - 1;
            let states = self.states(context);
            let others = self.sum_freq(context).saturating_sub(states + of).max(1);
            1 + if 2 * of <= others {
                u32::from(5 * of > others)
            } else {
                (2 * of + others - 1) / (2 * others) + 1
            }
        };
        for state in pending[..count].iter().rev() {
            let made = self.allocate_context()?;
            self.set_u16(made, 1);
            self.set_state(Self::only(made), new_symbol, freq, text + 1);
            self.set_u32(made + 8, context);
            self.set_successor(*state, made);
            context = made;
        }
        Some(context)
    }

    /// Takes over what was found into the contexts; starts anew without memory.
    fn update(&mut self) {
        if self.try_update().is_none() {
            self.restart();
        }
    }

    fn try_update(&mut self) -> Option<()> {
        let context = self.min_context;
        let (symbol, freq) = (self.symbol_of(self.found), self.freq(self.found));
        let suffix = self.suffix(context);
        if freq < MAX_FREQ / 4 && suffix != 0 {
            self.update_suffix(suffix, symbol);
        }
        if self.order_fall == 0 {
            let next = self.create_successors()?;
            (self.min_context, self.max_context) = (next, next);
            self.set_successor(self.found, next);
            return Some(());
        }
        self.set_u8(self.text, symbol.into());
        self.text += 1;
        if self.text >= self.units_start {
            return None;
        }
        let mut of_max = self.text;
        let mut of_min = self.successor(self.found);
        if of_min == 0 {
            self.set_successor(self.found, of_max);
            of_min = context;
        } else {
            if of_min <= of_max {
                of_min = self.create_successors()?;
            }
            self.order_fall -= 1;
            if self.order_fall == 0 {
                of_max = of_min;
                self.text -= u32::from(self.max_context != context);
            }
        }
        let mut grown = std::mem::replace(&mut self.max_context, of_min);
        self.min_context = of_min;
        if grown == context {
            return Some(());
        }
        let states = self.states(context);
        let freq = self.freq(self.found);
        let escapes = self.sum_freq(context) - states - (freq - 1);
        while grown != context {
            self.add_state(grown, states, symbol, freq, escapes, of_max)?;
            grown = self.suffix(grown);
        }
        Some(())
    }

    /// Raises the frequency of a symbol in the context of the next lower order.
    fn update_suffix(&mut self, context: u32, symbol: u8) {
        if self.states(context) == 1 {
            let state = Self::only(context);
            let freq = self.freq(state);
            if freq < 32 {
                self.set_freq(state, freq + 1);
            }
            return;
        }
        let mut state = self.first(context);
        if self.symbol_of(state) != symbol {
            state = self.find(context, symbol);
            if self.freq(state) >= self.freq(state - STATE) {
                self.swap(state, state - STATE);
                state -= STATE;
            }
        }
        let freq = self.freq(state);
        if freq < MAX_FREQ - 9 {
            self.set_freq(state, freq + 2);
            self.set_sum_freq(context, self.sum_freq(context) + 2);
        }
    }

    /// Adds a symbol to a context that did not have it; none without memory.
    fn add_state(
        &mut self,
        context: u32,
        states: u32,
        symbol: u8,
        freq: u32,
        escapes: u32,
        successor: u32,
    ) -> Option<()> {
        let own = self.states(context);
        let mut sum;
        if own == 1 {
            let block = self.allocate(0)?;
            let only = Self::only(context);
            self.copy(only, block, STATE);
            let old = self.freq(block);
            let doubled = if old < MAX_FREQ / 4 - 1 { old << 1 } else { MAX_FREQ - 4 };
            self.set_freq(block, doubled);
            self.set_u32(context + 4, block);
            sum = doubled + self.init_esc + u32::from(states > 3);
        } else {
            if own.is_multiple_of(2) {
                let units = own / 2;
                let list = self.list_of(units);
                if list != self.list_of(units + 1) {
                    let block = self.allocate(list + 1)?;
                    let old = self.first(context);
                    self.copy(old, block, units * UNIT);
                    self.give_back(old, list);
                    self.set_u32(context + 4, block);
                }
            }
            sum = self.sum_freq(context);
            sum += u32::from(2 * own < states) + 2 * u32::from(4 * own <= states && sum <= 8 * own);
        }
        let scaled = 2 * (sum + 6) * freq;
        let all = escapes + sum;
        let new = if scaled < 6 * all {
            sum += 3;
            1 + u32::from(scaled > all) + u32::from(scaled >= 4 * all)
        } else {
            let new = 4
                + u32::from(scaled >= 9 * all)
                + u32::from(scaled >= 12 * all)
                + u32::from(scaled >= 15 * all);
            sum += new;
            new
        };
        let state = self.first(context) + own * STATE;
        self.set_state(state, symbol, new, successor);
        self.set_u16(context, own + 1);
        self.set_sum_freq(context, sum);
        Some(())
    }

    /// Halves the frequencies of the current context, keeps them in order, and drops states that reach zero.
    fn rescale(&mut self) {
        let context = self.min_context;
        let first = self.first(context);
        let mut state = self.found;
        self.move_down(state, first);
        state = first;
        let mut sum = self.freq(state);
        let mut escapes = self.sum_freq(context).wrapping_sub(sum);
        let adder = u32::from(self.order_fall != 0);
        sum = (sum + 4 + adder) >> 1;
        self.set_freq(state, sum);
        let states = self.states(context);
        for _ in 1..states {
            state += STATE;
            let old = self.freq(state);
            escapes = escapes.wrapping_sub(old);
            let freq = (old + adder) >> 1;
            sum += freq;
            self.set_freq(state, freq);
            let mut to = state;
            while to != first && freq > self.freq(to - STATE) {
                to -= STATE;
            }
            self.move_down(state, to);
        }
        let mut dropped = 0;
        while self.freq(state) == 0 {
            dropped += 1;
            state -= STATE;
        }
        if dropped > 0 {
            escapes = escapes.wrapping_add(dropped);
            let left = states - dropped;
            self.set_u16(context, left);
            let (before, after) = (states.div_ceil(2), left.div_ceil(2));
            if left == 1 {
                let mut freq = self.freq(first);
                loop {
                    escapes >>= 1;
                    freq = (freq + 1) >> 1;
                    if escapes <= 1 {
                        break;
                    }
                }
                let only = Self::only(context);
                self.copy(first, only, STATE);
                self.set_freq(only, freq);
                self.found = only;
                self.give_back(first, self.list_of(before));
                return;
            }
            let (from, to) = (self.list_of(before), self.list_of(after));
            if from != to {
                if self.free[to] == 0 {
                    self.split(first, from, to);
                } else {
                    let block = self.pop(to);
                    self.copy(first, block, after * UNIT);
                    self.set_u32(context + 4, block);
                    self.give_back(first, from);
                }
            }
        }
        self.set_sum_freq(context, sum.wrapping_add(escapes - (escapes >> 1)));
        self.found = self.first(context);
    }

    /// Moves a state to an earlier place, and those between by one.
    fn move_down(&mut self, state: u32, to: u32) {
        self.memory[to as usize..(state + STATE) as usize].rotate_right(STATE as usize);
    }

    // Decoding.

    fn next_context(&mut self) {
        let successor = self.successor(self.found);
        if self.order_fall == 0 && successor >= self.units_start {
            (self.min_context, self.max_context) = (successor, successor);
        } else {
            self.update();
        }
    }

    /// 8 for symbols from 64 on, or another flag for them.
    fn high(symbol: u8, flag: u32) -> u32 {
        if symbol >= 64 { flag } else { 0 }
    }

    /// The next symbol.
    ///
    /// # Errors
    /// The stream ends or contradicts the model.
    pub fn symbol(&mut self, coder: &mut Coder<'_>) -> Result<u8, Error> {
        if coder.is_over() {
            return Err(Error::Truncated { what: "RAR", at: coder.input.len() });
        }
        self.decode(coder).ok_or(bad("the PPMd stream is damaged", coder.at))
    }

    fn decode(&mut self, coder: &mut Coder<'_>) -> Option<u8> {
        let mut masked = [false; 256];
        let context = self.min_context;
        let states = self.states(context);
        if states == 1 {
            let state = Self::only(context);
            let symbol = self.symbol_of(state);
            self.hi_bits = Self::high(self.symbol_of(self.found), 8);
            let of_suffix = match self.states(self.suffix(context)) {
                1 => 0,
                2 => 2,
                3..=11 => 4,
                _ => 6,
            };
            let row = self.freq(state) as usize - 1;
            let column = self.prev_success
                + (self.run_length as u32 >> 26 & 0x20)
                + of_suffix
                + Self::high(symbol, 16)
                + self.hi_bits;
            let sum = &mut self.bin_sum[row][column as usize];
            let p = u32::from(*sum);
            let mean = (p + (1 << (PERIOD_BITS - 2))) >> PERIOD_BITS;
            if coder.threshold(BIN_SCALE) < p {
                *sum = (p + (1 << INT_BITS) - mean) as u16;
                coder.decode(0, p);
                let freq = self.freq(state);
                self.set_freq(state, freq + u32::from(freq < 128));
                self.found = state;
                self.prev_success = 1;
                self.run_length = self.run_length.wrapping_add(1);
                self.next_context();
                return Some(symbol);
            }
            *sum = (p - mean) as u16;
            self.init_esc = EXP_ESCAPE[((p - mean) >> 10) as usize];
            coder.decode(p, BIN_SCALE - p);
            masked[usize::from(symbol)] = true;
            self.prev_success = 0;
        } else {
            let sum = self.sum_freq(context);
            let count = coder.threshold(sum);
            let first = self.first(context);
            let (mut state, mut high) = (first, 0);
            for n in 0..states {
                let freq = self.freq(state);
                if count < high + freq {
                    coder.decode(high, freq);
                    self.found = state;
                    let symbol = self.symbol_of(state);
                    self.set_sum_freq(context, sum + 4);
                    self.set_freq(state, freq + 4);
                    if n == 0 {
                        self.prev_success = u32::from(2 * freq > sum);
                        self.run_length =
                            self.run_length.wrapping_add(self.prev_success.cast_signed());
                        if freq + 4 > MAX_FREQ {
                            self.rescale();
                        }
                    } else {
                        self.prev_success = 0;
                        if freq + 4 > self.freq(state - STATE) {
                            self.swap(state, state - STATE);
                            self.found = state - STATE;
                            if freq + 4 > MAX_FREQ {
                                self.rescale();
                            }
                        }
                    }
                    self.next_context();
                    return Some(symbol);
                }
                high += freq;
                state += STATE;
            }
            self.prev_success = 0;
            if count >= sum {
                return None;
            }
            self.hi_bits = Self::high(self.symbol_of(self.found), 8);
            coder.decode(high, sum.checked_sub(high)?);
            self.mask(context, &mut masked);
        }
        self.escape(coder, &mut masked)
    }

    fn mask(&self, context: u32, masked: &mut [bool; 256]) {
        let mut state = self.first(context);
        for _ in 0..self.states(context) {
            masked[usize::from(self.symbol_of(state))] = true;
            state += STATE;
        }
    }

    /// The symbol from contexts of lower order that have one which is not masked; none at the end.
    fn escape(&mut self, coder: &mut Coder<'_>, masked: &mut [bool; 256]) -> Option<u8> {
        loop {
            let before = self.states(self.min_context);
            while self.states(self.min_context) == before {
                self.order_fall += 1;
                let suffix = self.suffix(self.min_context);
                if suffix == 0 {
                    return None;
                }
                self.min_context = suffix;
            }
            let context = self.min_context;
            let states = self.states(context);
            let first = self.first(context);
            let state_at = |n: u32| first + n * STATE;
            let high: u32 = (0..states)
                .filter(|n| !masked[usize::from(self.symbol_of(state_at(*n)))])
                .map(|n| self.freq(state_at(n)))
                .sum();
            let mut see = self.see_of(context, before);
            let estimate = match see.1 {
                None => 1,
                Some(_) => {
                    let part = see.0.sum >> see.0.shift;
                    see.0.sum = see.0.sum.wrapping_sub(part);
                    u32::from(part.max(1))
                }
            };
            let total = estimate + high;
            let count = coder.threshold(total);
            if count < high {
                let (mut state, mut low) = (first, 0);
                loop {
                    if !masked[usize::from(self.symbol_of(state))] {
                        let freq = self.freq(state);
                        if count < low + freq {
                            coder.decode(low, freq);
                            break;
                        }
                        low += freq;
                    }
                    state += STATE;
                }
                see.0.update();
                self.keep_see(see);
                self.found = state;
                let symbol = self.symbol_of(state);
                let freq = self.freq(state) + 4;
                self.run_length = self.init_run_length;
                self.set_sum_freq(context, self.sum_freq(context) + 4);
                self.set_freq(state, freq);
                if freq > MAX_FREQ {
                    self.rescale();
                }
                self.update();
                return Some(symbol);
            }
            if count >= total {
                return None;
            }
            coder.decode(high, total - high);
            see.0.sum = see.0.sum.wrapping_add(total as u16);
            self.keep_see(see);
            self.mask(context, masked);
        }
    }

    /// The estimate of escapes from a context of which `before` symbols are masked, and its place in the table.
    fn see_of(&self, context: u32, before: u32) -> (See, Option<(usize, usize)>) {
        let states = self.states(context);
        if states == 256 {
            return (self.dummy_see, None);
        }
        let open = states - before;
        let row = usize::from(self.ns_to_index[open as usize - 1]);
        let more = self.states(self.suffix(context)).wrapping_sub(states);
        let column = u32::from(open < more)
            + 2 * u32::from(self.sum_freq(context) < 11 * states)
            + 4 * u32::from(before > open)
            + self.hi_bits;
        (self.see[row][column as usize], Some((row, column as usize)))
    }

    fn keep_see(&mut self, (see, place): (See, Option<(usize, usize)>)) {
        match place {
            Some((row, column)) => self.see[row][column] = see,
            None => self.dummy_see = see,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn decoded(packed: &[u8], size: usize, order: u32, memory: usize) -> Vec<u8> {
        let mut model = Model::new(order, memory);
        let mut coder = Coder::new(packed, 0);
        (0..size).map(|_| model.symbol(&mut coder).unwrap()).collect()
    }

    /// Words of changing letters, long enough that a small memory runs out several times.
    fn text(size: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut made = Vec::new();
        while made.len() < size {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let word = format!("{:x} {} ", (state >> 20) & 0x1FF, (state >> 8) & 0x3FFF);
            made.extend_from_slice(word.as_bytes());
            made.extend((made.len() % 97 == 0).then_some((state >> 24) as u8));
        }
        made
    }

    #[test]
    fn what_the_encoder_of_7_zip_makes_is_read() {
        for (order, memory, size) in
            [(2, 1 << 20, 3000), (6, 1 << 20, 900_000), (64, 2 << 20, 500_000)]
        {
            let plain = text(size);
            let mut encoder =
                ppmd_rust::Ppmd7aEncoder::new(Vec::new(), order, memory as u32).unwrap();
            encoder.write_all(&plain).unwrap();
            let packed = encoder.finish(false).unwrap();
            assert!(decoded(&packed, plain.len(), order, memory) == plain, "order {order}");
        }
    }

    #[test]
    fn noise_and_its_end_are_survived() {
        let noise: Vec<u8> = text(40_000).iter().map(|b| b.wrapping_mul(151) ^ 0x5A).collect();
        for order in [2, 5, 16, 64] {
            let mut model = Model::new(order, 1 << 20);
            let mut coder = Coder::new(&noise, 0);
            let ended = (0..4_000_000).any(|_| model.symbol(&mut coder).is_err());
            assert!(ended);
        }
    }
}
