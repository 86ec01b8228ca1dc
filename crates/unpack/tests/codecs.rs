//! Every decoder against the streams of the format's own tool: all levels and filters, cut off, damaged,
//! and over their bounds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod common;

use std::{fs, process::Command};

use common::tree::{noise, prose};
use proofmark_unpack::{
    budget::Budget,
    codec::{self, Decoded, Error},
};

type Decode = fn(&[u8], usize, &Budget) -> Decoded;

/// What `command` makes of `data`, from standard input to standard output.
fn compress(data: &[u8], command: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    fs::write(&path, data).unwrap();
    let out = Command::new("sh")
        .args(["-c", command])
        .stdin(fs::File::open(&path).unwrap())
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "`{command}` failed; the Debian package that has this program must be installed: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    out.stdout
}

/// Contents of different kinds: nothing, one byte, text, noise, runs, machine code.
fn contents() -> Vec<Vec<u8>> {
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let code = own[own.len() / 3..][..600_000].to_vec();
    let mixed = [prose(1, 70_000), noise(2, 70_000), vec![7; 90_000], prose(1, 70_000)].concat();
    vec![vec![], vec![0x55], prose(3, 300_000), noise(4, 100_000), vec![0; 1_000_000], code, mixed]
}

/// Decodes what `command` made of every content; trailing bytes must not be taken for the stream.
fn round(command: &str, decode: Decode) {
    for content in contents() {
        let packed = compress(&content, command);
        check(command, &packed, &content, decode);
    }
}

fn check(command: &str, packed: &[u8], content: &[u8], decode: Decode) {
    let budget = Budget::new(content.len() as u64 + 70_000, 0, 1 << 30, None);
    let decoded = decode(packed, content.len() + 1, &budget);
    assert_eq!(decoded.error, None, "{command}: {} bytes", content.len());
    assert_eq!(decoded.consumed, packed.len(), "{command}: {} bytes", content.len());
    assert!(decoded.bytes == content, "{command}: content of {} bytes differs", content.len());
    let followed = [packed, b"what follows belongs to somebody else"].concat();
    let decoded = decode(&followed, content.len() + 1, &Budget::ample());
    assert_eq!((decoded.error, decoded.consumed), (None, packed.len()), "{command}: followed");
    // Exactly as much room as needed is enough, less is not and keeps what fits.
    let decoded = decode(packed, content.len(), &Budget::ample());
    assert_eq!(decoded.error, None, "{command}: exact room");
    if content.len() > 1 {
        let less = content.len() / 2;
        let decoded = decode(packed, less, &Budget::ample());
        assert!(
            matches!(decoded.error, Some(Error::Limit { .. })),
            "{command}: {:?}",
            decoded.error
        );
        assert!(decoded.bytes.len() <= less && content.starts_with(&decoded.bytes), "{command}");
        let poor = decode(packed, usize::MAX, &Budget::new(less as u64, 0, 1 << 30, None));
        assert!(matches!(poor.error, Some(Error::Exhausted(_))), "{command}: {:?}", poor.error);
        assert!(poor.bytes.len() <= less, "{command}");
    }
}

/// Cuts and flips: an error or, for a cut, never more than a true beginning; never a panic.
fn damage(command: &str, decode: Decode) {
    let content = [prose(9, 20_000), noise(9, 3_000), vec![1; 5_000]].concat();
    let packed = compress(&content, command);
    for i in 0..50 {
        let cut = packed.len() * i / 50;
        let decoded = decode(&packed[..cut], 1 << 20, &Budget::ample());
        assert!(
            decoded.error.is_some(),
            "{command}: whole though cut at {cut} of {}",
            packed.len()
        );
        assert!(content.starts_with(&decoded.bytes), "{command}: cut at {cut}");
        assert!(decoded.consumed <= cut, "{command}: cut at {cut}");
    }
    for i in 0..50 {
        let mut flipped = packed.clone();
        let at = packed.len() * i / 50;
        flipped[at] ^= 1 << (i % 8);
        let decoded = decode(&flipped, 1 << 20, &Budget::ample());
        assert!(decoded.bytes.len() <= 1 << 20 && decoded.consumed <= flipped.len(), "{command}");
    }
    for seed in 0..50 {
        let random = noise(seed, 5000);
        let spliced = [&packed[..packed.len().min(40)], &random].concat();
        decode(&spliced, 1 << 20, &Budget::ample());
        decode(&random, 1 << 20, &Budget::ample());
    }
}

#[test]
fn xz() {
    for options in [
        "-0",
        "-1",
        "-3",
        "-6",
        "-9e",
        "--check=none",
        "--check=crc32",
        "--check=sha256",
        "--block-size=40000",
        "--x86 --lzma2",
        "--arm --lzma2",
        "--armthumb --lzma2",
        "--arm64 --lzma2",
        "--powerpc --lzma2",
        "--sparc --lzma2",
        "--ia64 --lzma2",
        "--delta=dist=1 --lzma2",
        "--delta=dist=256 --x86 --lzma2",
        "--lzma2=lc=0,lp=0,pb=0",
        "--lzma2=lc=4,lp=0,pb=4",
        "--lzma2=lc=0,lp=4,pb=2",
        "--lzma2=lc=1,lp=3,pb=1,dict=4096",
        "--lzma2=mode=fast,mf=hc3,nice=2",
        "-T2 --block-size=100000",
    ] {
        round(&format!("xz -c {options}"), codec::xz::decode);
    }
    damage("xz -c", codec::xz::decode);
    damage("xz -c --x86 --lzma2 --check=sha256 --block-size=9000", codec::xz::decode);
}

#[test]
fn xz_streams_and_padding() {
    let (a, b) = (prose(1, 50_000), noise(1, 9_000));
    let (pa, pb) = (compress(&a, "xz -c"), compress(&b, "xz -c --check=crc32"));
    let joined = [&pa[..], &[0; 8], &pb].concat();
    check("two streams", &joined, &[&a[..], &b].concat(), codec::xz::decode);
    let extent = codec::xz::extent(&[&pa[..], &pb].concat(), &Budget::ample()).unwrap();
    assert_eq!((extent.length, extent.size, extent.blocks), (pa.len(), a.len() as u64, 1));
    assert_eq!(codec::xz::extent(&pa[..pa.len() - 1], &Budget::ample()), None);
    // A stream stored in another one: the end is that of the outer one.
    let outer = compress(&pb, "xz -c");
    assert_eq!(codec::xz::extent(&outer, &Budget::ample()).unwrap().length, outer.len());
}

#[test]
fn xz_checks_are_verified() {
    for check in ["crc32", "crc64", "sha256"] {
        let mut packed = compress(&noise(1, 1000), &format!("xz -c --check={check}"));
        // Noise is stored as it is: a bit of it changes the content and nothing else.
        let at = packed.len() / 2;
        packed[at] ^= 4;
        let decoded = codec::xz::decode(&packed, 1000, &Budget::ample());
        assert!(
            matches!(decoded.error, Some(Error::Checksum { .. })),
            "{check}: {:?}",
            decoded.error
        );
        assert_eq!((decoded.bytes.len(), decoded.consumed), (1000, packed.len()));
    }
}

#[test]
fn lzma_alone_and_raw() {
    for options in
        ["-0", "-6", "-9e", "--lzma1=lc=0,lp=0,pb=0", "--lzma1=lc=4,pb=4", "--lzma1=lp=4,lc=0,pb=0"]
    {
        round(&format!("xz -c --format=lzma {options}"), codec::lzma::decode_alone);
    }
    damage("xz -c --format=lzma", codec::lzma::decode_alone);
    for content in contents() {
        let packed = compress(&content, "xz -c --format=lzma");
        let header = codec::lzma::Header::parse(&packed).unwrap();
        assert_eq!(header.size, None);
        // Size known, with an end marker behind it.
        let raw = codec::lzma::decode_raw(
            &packed[13..],
            header.props,
            Some(content.len()),
            content.len(),
            &Budget::ample(),
        );
        assert_eq!((raw.error, raw.consumed), (None, packed.len() - 13));
        assert!(raw.bytes == content);
    }
}

/// 7z leaves the end marker out, as its header has the size.
#[test]
fn lzma_without_marker() {
    for content in contents().into_iter().filter(|c| !c.is_empty()) {
        let archive = compress(
            &content,
            "cp /dev/stdin in && 7z a -mx=5 -m0=lzma -mhc=off -ms=off out.7z in >&2 && cat out.7z",
        );
        // The packed stream starts behind the signature header; its properties are the defaults.
        let props = codec::lzma::Props { lc: 3, lp: 0, pb: 2 };
        let raw = codec::lzma::decode_raw(
            &archive[32..],
            props,
            Some(content.len()),
            content.len(),
            &Budget::ample(),
        );
        assert_eq!(raw.error, None);
        assert!(raw.bytes == content);
        assert!(raw.consumed + 32 < archive.len(), "the header of the archive follows");
    }
}

#[test]
fn deflate_zlib_bzip2_zstd_lz4() {
    for level in [1, 6, 9] {
        round(
            &format!(
                "python3 -c 'import sys,zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read(), {level}))'"
            ),
            codec::deflate::zlib,
        );
        round(&format!("bzip2 -c -{level}"), codec::bzip2::decode);
        round(&format!("lz4 -c -{level}"), codec::lz4::decode_frames);
        round(&format!("zstd -c -{level}"), codec::zstd::decode);
    }
    round("zstd -c -19 --long=25", codec::zstd::decode);
    round("zstd -c --no-check --fast=4", codec::zstd::decode);
    round("lz4 -c -BD -B4 -BX", codec::lz4::decode_frames);
    round("lz4 -c -B7 --content-size --no-frame-crc", codec::lz4::decode_frames);
    damage("bzip2 -c", codec::bzip2::decode);
    damage("zstd -c", codec::zstd::decode);
    damage("lz4 -c -B4", codec::lz4::decode_frames);
    damage(
        "python3 -c 'import sys,zlib; sys.stdout.buffer.write(zlib.compress(sys.stdin.buffer.read()))'",
        codec::deflate::zlib,
    );
}

/// What only some levels and lengths reach: each kind of table and literals, streams of a few bytes, matches over
/// the ends of the copies of fixed size, a window longer than the content, and every cut.
#[test]
fn zstd_and_lz4_of_all_levels_and_short_contents() {
    let periods = (1..40).flat_map(|n| noise(n as u64, n).repeat(200 / n + 2)).collect::<Vec<u8>>();
    let sparse: Vec<u8> = noise(8, 200_000)
        .chunks_exact(9)
        .flat_map(|c| [&c[..3], b"common word"].concat())
        .collect();
    let several = [&periods[..], &prose(7, 150_000), &sparse, &periods].concat();
    for level in [
        "--fast=9",
        "-2",
        "-3",
        "-4",
        "-5",
        "-7",
        "-8",
        "-12",
        "-16",
        "-19",
        "--ultra -22 --long=27",
    ] {
        let packed = compress(&several, &format!("zstd -c {level}"));
        check(level, &packed, &several, codec::zstd::decode);
    }
    for level in ["--fast=9", "-2", "-4", "-12"] {
        let packed = compress(&several, &format!("lz4 -c {level}"));
        check(level, &packed, &several, codec::lz4::decode_frames);
    }
    let tools: [(&str, Decode); 4] = [
        ("zstd -c -3", codec::zstd::decode),
        ("zstd -c -19 --no-check", codec::zstd::decode),
        ("lz4 -c -1", codec::lz4::decode_frames),
        ("lz4 -c -9 --no-frame-crc", codec::lz4::decode_frames),
    ];
    for (tool, decode) in tools {
        for len in (0..40).chain([63, 64, 65, 255, 256, 257, 1023, 4099]) {
            let content = [prose(2, len / 2), vec![b'x'; len - len / 2]].concat();
            let packed = compress(&content, tool);
            check(tool, &packed, &content, decode);
        }
        let content = [prose(9, 3_000), periods[..2000].to_vec(), noise(9, 100)].concat();
        let packed = compress(&content, tool);
        for cut in 0..packed.len() {
            let decoded = decode(&packed[..cut], 1 << 20, &Budget::ample());
            assert!(decoded.error.is_some(), "{tool}: whole though cut at {cut}");
            assert!(content.starts_with(&decoded.bytes), "{tool}: cut at {cut}");
            assert!(decoded.consumed <= cut, "{tool}: cut at {cut}");
        }
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut flipped = packed.clone();
                flipped[at] ^= 1 << bit;
                let decoded = decode(&flipped, 1 << 16, &Budget::ample());
                assert!(decoded.bytes.len() <= 1 << 16 && decoded.consumed <= flipped.len());
            }
        }
    }
}

#[test]
fn inflate_after_a_dictionary() {
    let dictionary = prose(5, 100_000);
    let content = dictionary[70_000..90_000].to_vec();
    let command = "cat > d; python3 -c 'import zlib; d=open(\"d\",\"rb\").read(); \
                   c=zlib.compressobj(9, zlib.DEFLATED, -15, zdict=d[:100000][-32768:]); \
                   import sys; sys.stdout.buffer.write(c.compress(d[100000:])+c.flush())'";
    let packed = compress(&[&dictionary[..], &content].concat(), command);
    assert!(packed.len() < 4000, "the dictionary was used");
    let decoded =
        codec::deflate::inflate_after(&dictionary, &packed, content.len(), &Budget::ample());
    assert_eq!((decoded.error, decoded.consumed), (None, packed.len()));
    assert!(decoded.bytes == content);
}

/// The legacy format has no end mark, so nothing is said about cuts at the end of a block.
#[test]
fn lz4_legacy() {
    for content in contents().into_iter().chain([prose(1, 20 << 20)]).filter(|c| !c.is_empty()) {
        let packed = compress(&content, "lz4 -c -l");
        let decoded = codec::lz4::decode_legacy(&packed, content.len(), &Budget::ample());
        assert_eq!((decoded.error, decoded.consumed), (None, packed.len()));
        assert!(decoded.bytes == content);
    }
}

/// compress has no end mark either: whatever follows is decoded with it.
#[test]
fn lzw() {
    for bits in [10, 12, 14, 16] {
        for content in contents().into_iter().filter(|c| !c.is_empty()) {
            let packed = compress(&content, &format!("cat > f && compress -f -b {bits} -c f"));
            let decoded = codec::lzw::decode(&packed, content.len(), &Budget::ample());
            assert_eq!((decoded.error, decoded.consumed), (None, packed.len()), "{bits} bits");
            assert!(decoded.bytes == content, "{bits} bits, {}", content.len());
        }
    }
}

/// lzop's blocks are bare LZO1X; its own container is tested with the formats.
#[test]
fn lzo() {
    for level in [1, 3, 9] {
        for content in contents().into_iter().filter(|c| c.len() > 1000) {
            let packed = compress(&content, &format!("lzop -c -{level}"));
            // Header without a name: magic, versions, method, level, flags, mode, times, length, checksum.
            let mut at = 9 + 2 + 2 + 2 + 1 + 1 + 4 + 4 + 4 + 4 + 1 + packed[33] as usize + 4;
            let mut out = Vec::new();
            loop {
                let word = |n: usize| {
                    u32::from_be_bytes(packed[at + 4 * n..at + 4 * n + 4].try_into().unwrap())
                        as usize
                };
                if word(0) == 0 {
                    break;
                }
                let (plain, stored) = (word(0), word(1));
                let data = at + 12..at + 12 + stored;
                if stored == plain {
                    out.extend_from_slice(&packed[data.clone()]);
                } else {
                    let decoded =
                        codec::lzo::decode(&packed[data.clone()], plain, &Budget::ample());
                    assert_eq!((decoded.error, decoded.consumed), (None, stored));
                    assert_eq!(decoded.bytes.len(), plain);
                    out.extend_from_slice(&decoded.bytes);
                    for i in 0..50 {
                        let piece = &packed[data.start..data.start + stored * i / 50];
                        let cut = codec::lzo::decode(piece, plain, &Budget::ample());
                        assert!(cut.error.is_some() && decoded.bytes.starts_with(&cut.bytes));
                    }
                }
                at = data.end;
            }
            assert!(out == content, "-{level}");
        }
    }
    for seed in 0..200 {
        let wild = codec::lzo::decode(&noise(seed, 3000), 1 << 20, &Budget::ample());
        assert!(wild.bytes.len() <= 1 << 20);
    }
}
