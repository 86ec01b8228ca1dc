//! What writers of other projects and of these tests make is read back; `unar` must read the same from it.

use super::*;
use crate::{
    codec::check,
    formats::testing::{noise, scratch, tool},
};

/// Bits, the first one as the lowest or the highest of its byte.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    used: u32,
    high: bool,
}

impl Writer {
    fn bit(&mut self, bit: u64) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        let shift = if self.high { 7 - self.used % 8 } else { self.used % 8 };
        *self.bytes.last_mut().unwrap() |= (bit as u8 & 1) << shift;
        self.used += 1;
    }

    /// The lowest bit first where bytes are filled from below, the highest where they are filled from above.
    fn put(&mut self, value: u64, width: u32) {
        for n in 0..width {
            self.bit(value >> if self.high { width - 1 - n } else { n });
        }
    }

    fn align(&mut self) {
        while !self.used.is_multiple_of(8) {
            self.bit(0);
        }
    }
}

/// Method 3: a tree that is a list of bytes to the left, so that codes get long.
fn write_huffman(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes.sort_unstable();
    bytes.dedup();
    let mut out = Writer { high: true, ..Writer::default() };
    // As balanced as it gets: a half to each side.
    fn tree(out: &mut Writer, bytes: &[u8], path: Vec<u64>, codes: &mut Vec<(u8, Vec<u64>)>) {
        if let [byte] = bytes {
            out.bit(1);
            out.put((*byte).into(), 8);
            codes.push((*byte, path));
            return;
        }
        out.bit(0);
        let (left, right) = bytes.split_at(bytes.len().div_ceil(3));
        tree(out, left, [&path[..], &[0]].concat(), codes);
        tree(out, right, [&path[..], &[1]].concat(), codes);
    }
    let mut codes = Vec::new();
    tree(&mut out, &bytes, Vec::new(), &mut codes);
    for byte in content {
        let (_, code) = codes.iter().find(|(b, _)| b == byte).unwrap();
        code.iter().for_each(|bit| out.bit(*bit));
    }
    out.bytes
}

/// Method 8: always the longest text that is known; anew where there is no more room.
fn write_pairs(content: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    let (mut texts, mut before, mut width) = (Vec::<Vec<u8>>::new(), None::<Vec<u8>>, 9);
    let mut rest = content;
    while !rest.is_empty() {
        if texts.len() + 256 >= 3000 {
            out.put(texts.len() as u64 + 256, width);
            (texts, before, width) = (Vec::new(), None, 9);
        }
        let best = (0..texts.len())
            .filter(|n| rest.starts_with(&texts[*n]))
            .max_by_key(|n| texts[*n].len());
        let (code, text) = match best {
            Some(n) => (n + 256, texts[n].clone()),
            None => (rest[0].into(), vec![rest[0]]),
        };
        out.put(code as u64, width);
        rest = &rest[text.len()..];
        if let Some(before) = before.replace(text.clone()) {
            texts.push([before, text].concat());
            if texts.len() + 256 == 1 << width {
                width += 1;
            }
        }
    }
    out.bytes
}

/// Method 14: one block, codes of equal length, matches of the byte before only.
fn write_installer(content: &[u8]) -> Vec<u8> {
    let mut out = Writer::default();
    out.put(1, 16);
    out.put(0, 32);
    out.put(content.len() as u64, 32);
    // Lengths of 5 bits plus 1: nine bits for 300 symbols, eight for the first, so that it is a code in order of its symbols.
    let tree = |out: &mut Writer, lengths: &[u8]| {
        out.put(1 | 3 << 1, 3); // zeros are told, five bits
        out.put(0, 3); // plus one
        out.put(0, 2); // as they are
        for len in lengths {
            out.put(if *len == 0 { 30 } else { u64::from(*len) - 1 }, 5);
        }
        out.align();
    };
    let code = |lengths: &[u8]| {
        let mut order: Vec<_> = (0..).zip(lengths.iter().copied()).collect();
        sort_as_archiver(&mut order);
        let (mut code, mut last, mut codes) = (0_u64, 0, vec![(0, 0); lengths.len()]);
        for (symbol, len) in order.into_iter().filter(|(_, len)| *len > 0) {
            code <<= len - last;
            codes[usize::from(symbol)] = (code, u32::from(len));
            (code, last) = (code + 1, len);
        }
        codes
    };
    let main: Vec<u8> = (0..308).map(|n| if n < 200 { 8 } else { 9 }).collect();
    let mut distances = vec![0; 75];
    distances[0] = 1;
    distances[4] = 1;
    tree(&mut out, &main);
    tree(&mut out, &distances);
    let (main, distances) = (code(&main), code(&distances));
    let put =
        |out: &mut Writer, (code, len): (u64, u32)| (0..len).rev().for_each(|n| out.bit(code >> n));
    let mut at = 0;
    while at < content.len() {
        let run = content[at..].iter().take_while(|b| at > 0 && **b == content[at - 1]).count();
        if run >= 6 {
            // Length 4 to 7: a slot each.
            let len = run.min(7);
            put(&mut out, main[256 + len - 4]);
            put(&mut out, distances[0]);
            at += len;
        } else {
            put(&mut out, main[usize::from(content[at])]);
            at += 1;
        }
    }
    out.align();
    out.bytes
}

/// The order of symbols is the archiver's, in which equal lengths are not in order.
fn sort_as_archiver(order: &mut [(u16, u8)]) {
    installer::sort(order);
}

/// An archive of version 1 with one file for each stream.
fn archive(members: &[(u8, Vec<u8>, &[u8])]) -> Vec<u8> {
    let mut file = b"SIT!\0\0\0\0\0\0rLau\x01\0\0\0\0\0\0\0".to_vec();
    for (n, (method, packed, content)) in members.iter().enumerate() {
        let mut row = vec![0, *method, 2, b'f', b'0' + n as u8];
        row.resize(80, 0);
        for word in [3_000_000_000, 0, content.len(), 0, packed.len()] {
            row.extend((word as u32).to_be_bytes());
        }
        row.extend([0, 0]);
        row.extend(check::crc16(content).to_be_bytes());
        row.resize(110, 0);
        row.extend(check::crc16(&row).to_be_bytes());
        file.extend(row);
        file.extend(packed);
    }
    file[5] = members.len() as u8;
    let size = (file.len() as u32).to_be_bytes();
    file[6..10].copy_from_slice(&size);
    file
}

/// What is packed.
pub fn contents() -> Vec<Vec<u8>> {
    let text = b"A text that says the same again and again, and again what was said. ".repeat(40);
    let mut mixed = [noise(5000, 3), vec![b'x'; 900], text.clone()].concat();
    mixed.extend_from_within(100..4000);
    vec![b"a".to_vec(), vec![7; 1000], text, mixed]
}

#[test]
fn unar_reads_what_our_writers_make_and_so_do_we() {
    let contents = contents();
    let mut members: Vec<(u8, Vec<u8>, &[u8])> = Vec::new();
    for content in &contents {
        members.push((3, write_huffman(content), content));
        members.push((8, write_pairs(content), content));
        members.push((14, write_installer(content), content));
    }
    for (method, packed, content) in &members {
        let made = decode(*method, packed, content.len(), &Budget::ample());
        assert_eq!((made.error, &made.bytes[..]), (None, *content), "method {method}");
        for cut in (0..packed.len()).step_by(packed.len() / 7 + 1) {
            let made = decode(*method, &packed[..cut], content.len(), &Budget::ample());
            assert!(made.error.is_some() || made.bytes == *content, "method {method} to {cut}");
        }
    }
    // A tree of one leaf is ours alone: unar does not take it.
    let theirs: Vec<_> =
        members.into_iter().filter(|(m, _, c)| *m != 3 || c.len() > 1000).collect();
    let dir = scratch();
    std::fs::write(dir.path().join("a.sit"), archive(&theirs)).unwrap();
    tool(dir.path(), "unar", "unar -q -D -o out a.sit >&2");
    for (n, (method, _, content)) in theirs.iter().enumerate() {
        let name = format!("out/f{}", char::from(b'0' + n as u8));
        assert_eq!(std::fs::read(dir.path().join(name)).unwrap(), *content, "method {method}");
    }
}

/// Forks of an archive that StuffIt 7 made of files in the public domain (`testfile.stuffit7_dlx.mac9.sit` of
/// stuffit-test-files): packed bytes, size of the content. Its CRC-32 is part of the stream.
const ARSENIC: [(&str, usize); 2] = [
    (
        "42c1d4784d30365a2ac25015a9f30594162f31a943a1fbba7ad9ed5bfc333c1b6162caa5001e60342a8706fc21 \
         56a1e0969c0eda21a7f37ab7fa33daa8e6",
        332,
    ),
    ("42c1d4905c55d07090bcddfd732bec8efb76893a48c9aea100", 11),
];

#[test]
fn method_15_of_the_real_archiver() {
    for (hex, size) in ARSENIC {
        let digit = |b: u8| char::from(b).to_digit(16).unwrap() as u8;
        let digits: Vec<u8> = hex.bytes().filter(|b| *b != b' ').map(digit).collect();
        let packed: Vec<u8> = digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect();
        let made = decode(15, &packed, size, &Budget::ample());
        assert_eq!((made.error, made.bytes.len()), (None, size));
        // One bit in the middle is noticed by the checksum at the latest.
        let mut damaged = packed.clone();
        damaged[packed.len() / 2] ^= 8;
        assert!(decode(15, &damaged, size, &Budget::ample()).error.is_some());
        assert!(decode(15, &packed[..packed.len() / 2], size, &Budget::ample()).error.is_some());
    }
}

#[test]
fn work_is_bounded() {
    // A stream of nothing but new beginnings.
    let packed = {
        let mut out = Writer::default();
        (0..10_000).for_each(|_| out.put(256, 9));
        out.bytes
    };
    let poor = Budget::new(1 << 20, 1, 1000, None);
    assert!(matches!(decode(8, &packed, 10, &poor).error, Some(Error::Exhausted(_))));
    for method in [1, 3, 5, 8, 13, 14, 15] {
        for seed in 0..20 {
            let made = decode(method, &noise(3000, seed), 100_000, &Budget::ample());
            assert!(made.bytes.len() <= 100_000);
        }
    }
}
