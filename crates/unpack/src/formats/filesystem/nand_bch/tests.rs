//! Dumps in the layouts of published drivers, made bit by bit from their descriptions.

#![allow(clippy::single_range_in_vec_init, clippy::too_many_arguments)]

use std::ops::Range;

use proofmark_model::ProblemKind;

use super::*;
use crate::{
    Input, Options,
    codec::bch::Field,
    formats::testing::{noise, open_at, open_whole, scratch, tool, torture},
    unpack,
};

/// A layout as its driver describes it.
struct Driver {
    name: &'static str,
    page: usize,
    spare: usize,
    polynomial: u32,
    t: usize,
    reflected: bool,
    inverted: bool,
    /// Where the bytes of the page stand, in order.
    data: Vec<Range<usize>>,
    /// Message and first bit of the parity of each sector, in bits.
    words: Vec<(Vec<Range<usize>>, usize)>,
}

fn bits(bytes: Range<usize>) -> Range<usize> {
    bytes.start * 8..bytes.end * 8
}

/// Four sectors of 512 bytes, parities of `stride` apart from `at` on in the spare bytes.
fn apart(
    name: &'static str,
    (page, spare): (usize, usize),
    sector: usize,
    polynomial: u32,
    t: usize,
    at: usize,
    stride: usize,
    inverted: bool,
) -> Driver {
    let words = (0..page / sector)
        .map(|n| (vec![bits(n * sector..(n + 1) * sector)], (page + at + n * stride) * 8));
    Driver {
        name,
        page,
        spare,
        polynomial,
        t,
        reflected: false,
        inverted,
        data: vec![0..page],
        words: words.collect(),
    }
}

fn drivers() -> Vec<Driver> {
    let mut all = vec![
        apart("linux t4", (2048, 64), 512, 0x201B, 4, 36, 7, true),
        apart("linux t8", (2048, 64), 512, 0x201B, 8, 12, 13, true),
        apart("linux 1024", (4096, 224), 1024, 0x402B, 24, 56, 42, true),
        apart("omap rom", (2048, 64), 512, 0x201B, 8, 2, 14, false),
        apart("omap t16", (4096, 224), 512, 0x201B, 16, 2, 26, false),
        apart("pmecc", (4096, 224), 1024, 0x4443, 24, 52, 42, false),
    ];
    for (name, polynomial, m) in [("broadcom", 0x5803, 14), ("broadcom older", 0x201B, 13)] {
        let words = (0..4).map(|n| {
            let spare = (2048 + n * 16) * 8;
            (vec![bits(n * 512..(n + 1) * 512), spare..spare + 128 - 4 * m], spare + 128 - 4 * m)
        });
        all.push(Driver {
            name,
            page: 2048,
            spare: 64,
            polynomial,
            t: 4,
            reflected: false,
            inverted: false,
            data: vec![0..2048],
            words: words.collect(),
        });
    }
    // Code words of 516 bytes, with the mark of bad blocks where the page would end.
    let first = 2048 - 3 * 532;
    let word = |n: usize| {
        let start = n * 532;
        (vec![bits(start..start + first), bits(start + first + 1..start + 517)], (start + 517) * 8)
    };
    let data = (0..4).flat_map(|n: usize| {
        let (start, len) = (n * 532, if n == 3 { 500 } else { 516 });
        [start..start + first, start + first + 1..start + len + 1]
    });
    all.push(Driver {
        name: "qualcomm",
        page: 2048,
        spare: 128,
        polynomial: 0x201B,
        t: 8,
        reflected: false,
        inverted: false,
        data: data.collect(),
        words: (0..4).map(word).collect(),
    });
    // Sectors with two bytes of the user and their parity side by side.
    let word = |n: usize| (vec![bits(n * 528..n * 528 + 514)], (n * 528 + 514) * 8);
    let data = (0..8).map(|n| n * 528..n * 528 + 512).collect();
    all.push(Driver {
        name: "amlogic",
        page: 4096,
        spare: 256,
        polynomial: 0x402B,
        t: 8,
        reflected: false,
        inverted: true,
        data,
        words: (0..8).map(word).collect(),
    });
    // Eight bytes of the user, one of them in the code.
    let word = |n: usize| (vec![bits(n * 528..n * 528 + 513)], (n * 528 + 520) * 8);
    let data = (0..4).map(|n| n * 528..n * 528 + 512).collect();
    all.push(Driver {
        name: "side by side",
        page: 2048,
        spare: 64,
        polynomial: 0x201B,
        t: 4,
        reflected: true,
        inverted: false,
        data,
        words: (0..4).map(word).collect(),
    });
    all
}

impl Driver {
    fn encode(&self, stored: &mut [u8]) {
        let field = Field::new(self.polynomial).unwrap();
        let code = Code::new(&field, self.t).unwrap();
        let turn = u8::from(self.inverted);
        let place = |bit: usize| (bit / 8, if self.reflected { bit % 8 } else { 7 - bit % 8 });
        for (message, parity) in &self.words {
            let mut seen: Vec<u8> = message
                .iter()
                .cloned()
                .flatten()
                .map(|bit| stored[place(bit).0] >> place(bit).1 & 1 ^ turn)
                .collect();
            while !seen.len().is_multiple_of(8) {
                seen.insert(0, 0);
            }
            let bytes: Vec<u8> =
                seen.chunks(8).map(|c| c.iter().fold(0, |b, bit| b << 1 | bit)).collect();
            for (n, byte) in code.encode(&bytes).iter().enumerate() {
                for b in (0..8).filter(|b| n * 8 + b < code.parity) {
                    let (at, shift) = place(parity + n * 8 + b);
                    let bit = (byte >> (7 - b) & 1) ^ turn;
                    stored[at] = stored[at] & !(1 << shift) | bit << shift;
                }
            }
        }
    }

    /// A dump of `content`; pages of it that are all ones are erased.
    fn dump(&self, content: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        for page in content.chunks(self.page) {
            let mut stored = vec![0xFF; self.page + self.spare];
            if page.iter().any(|b| *b != 0xFF) {
                let mut rest = page;
                for place in &self.data {
                    let (now, later) = rest.split_at(place.len());
                    stored[place.clone()].copy_from_slice(now);
                    rest = later;
                }
                self.encode(&mut stored);
            }
            all.extend(stored);
        }
        all
    }
}

/// Written pages, erased ones, and one that is mostly zeros.
fn content(page: usize) -> Vec<u8> {
    let mut content = noise(page * 64, 9);
    content[page * 6..page * 12].fill(0xFF);
    content[page * 13 + 5..page * 14].fill(0);
    content
}

#[test]
fn layouts_of_drivers_are_found_and_corrected() {
    for driver in drivers() {
        let plain = content(driver.page);
        let mut image = driver.dump(&plain);
        let opened = open_whole(&FORMAT, &image);
        let ecc = opened.attribute("ecc").to_owned();
        assert!(opened.content("data") == plain, "{}: {ecc}", driver.name);
        assert!(ecc.starts_with(&format!("BCH, {} bits of", driver.t)), "{}: {ecc}", driver.name);
        assert!(ecc.contains(&format!("{:#x}", driver.polynomial)), "{}: {ecc}", driver.name);
        assert_eq!(opened.attribute("bits-corrected"), "0");
        // As many wrong bits as the code corrects, in the data of one page and in spare bytes of another.
        let step = driver.page + driver.spare;
        for n in 0..driver.t {
            image[step * 3 + 11 * n + 7] ^= 1 << (n % 8);
        }
        let parity = driver.words[1].1 / 8;
        image[step * 20 + parity + 1] ^= 0x18;
        let opened = open_whole(&FORMAT, &image);
        assert!(opened.content("data") == plain, "{}", driver.name);
        assert_eq!(opened.attribute("bits-corrected"), (driver.t + 2).to_string());
        // One more, and the page is named; the rest is not touched.
        image[step * 3 + 300] ^= 1;
        let opened = open_at(&FORMAT, &image, 0).unwrap();
        let problem = &opened.entries[0].problems[0];
        assert_eq!(
            (problem.kind, problem.offset),
            (ProblemKind::Checksum, Some(3 * driver.page as u64))
        );
        let read = opened.entries[0].blob.load(&Budget::ample()).bytes;
        assert!(read[driver.page * 4..] == plain[driver.page * 4..]);
        if driver.name == "broadcom" {
            torture(&FORMAT, &image);
        }
    }
}

/// i.MX: ten bytes of metadata, sectors and parities bit by bit, and the byte at the mark of bad blocks in the metadata.
#[test]
fn packed_pages_are_found() {
    for (spare, t) in [(64, 8_usize), (112, 14)] {
        let plain = content(2048);
        let mut image = Vec::new();
        for page in plain.chunks(2048) {
            if page.iter().all(|b| *b == 0xFF) {
                image.extend(vec![0xFF; 2048 + spare]);
                continue;
            }
            // Bits in the order of the controller, the least significant of a byte first.
            let place = |n: usize| 80 + n * 8 + n / 512 * 13 * t;
            let mut stored = vec![0xFF_u8; 2048 + spare];
            let put = |stored: &mut Vec<u8>, at: usize, byte: u8| {
                for b in 0..8 {
                    let (n, shift) = ((at + b) / 8, (at + b) % 8);
                    stored[n] = stored[n] & !(1 << shift) | (byte >> b & 1) << shift;
                }
            };
            for (n, byte) in page.iter().enumerate() {
                put(&mut stored, place(n), *byte);
            }
            let moved = (0..8).fold(0, |byte, b| byte | (stored[(2048 * 8 + b) / 8] >> b & 1) << b);
            stored[0] = moved;
            stored[2048] = 0xFF;
            let words = (0..4).map(|n| {
                let start = if n == 0 { 0 } else { place(n * 512) };
                (vec![start..place(n * 512) + 4096], place(n * 512) + 4096)
            });
            let driver = Driver {
                name: "",
                page: 2048,
                spare,
                polynomial: 0x201B,
                t,
                reflected: true,
                inverted: false,
                data: vec![],
                words: words.collect(),
            };
            driver.encode(&mut stored);
            image.extend(stored);
        }
        let opened = open_whole(&FORMAT, &image);
        assert!(opened.attribute("ecc").contains("packed"), "{}", opened.attribute("ecc"));
        assert_eq!(opened.content("data"), plain, "{t}");
        image[2112 * 2 + 700] ^= 0x41;
        let opened = open_at(&FORMAT, &image, 0).unwrap();
        assert_eq!(opened.attribute("bits-corrected"), "2");
        assert!(opened.content("data") == plain);
    }
}

#[test]
fn a_file_system_in_a_dump_is_read_through_its_code() {
    let dir = scratch();
    std::fs::create_dir(dir.path().join("tree")).unwrap();
    std::fs::write(dir.path().join("tree/passwd"), "root:x:0:0\n".repeat(5000)).unwrap();
    std::fs::write(dir.path().join("tree/noise"), noise(90_000, 4)).unwrap();
    tool(
        dir.path(),
        "squashfs-tools",
        "mksquashfs tree image -noappend -quiet -no-progress -comp gzip",
    );
    let mut image = std::fs::read(dir.path().join("image")).unwrap();
    image.resize(image.len().next_multiple_of(2048 * 64), 0xFF);
    let driver = &drivers()[1];
    let mut dump = driver.dump(&image);
    // One page in three has a wrong bit, and a block is marked bad.
    for page in (0..dump.len()).step_by(2112 * 3) {
        dump[page + page / 2112 % 2000] ^= 4;
    }
    let last = dump.len() - 2112;
    dump[last + 2048] = 0;
    let outcome = unpack(Input::bytes("dump.bin", dump), &Options::default(), &());
    let found = outcome.artifacts.iter().find(|a| a.locator.to_string().ends_with("/noise"));
    assert_eq!(found.map(|a| a.size), Some(90_000), "the squashfs was not read");
    let marked = outcome.artifacts.iter().find_map(|a| a.attributes.get("pages-marked-bad"));
    assert_eq!(marked.map(String::as_str), Some("1"));
}

#[test]
fn what_is_no_dump_is_refused() {
    for other in [
        noise(2112 * 128, 4),
        vec![0xFF; 2112 * 128],
        vec![0; 2112 * 128],
        [0, 1, 2].repeat(2112 * 64),
    ] {
        assert!(open_at(&FORMAT, &other, 0).is_none());
    }
}
