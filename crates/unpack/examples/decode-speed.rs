//! Decodes a file with the codec its name asks for and prints the seconds, to set beside the format's
//! own tool: `cargo run --release --example decode-speed -- FILE.xz [REPEATS]`.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use proofmark_unpack::{budget::Budget, codec};

fn main() {
    let mut args = std::env::args().skip(1);
    let path = args.next().unwrap_or_default();
    let repeats: u32 = args.next().and_then(|n| n.parse().ok()).unwrap_or(3);
    let data = std::fs::read(&path).unwrap_or_default();
    let max = 1 << 32;
    for _ in 0..repeats {
        let budget = Budget::new(1 << 33, 1, 1 << 40, None);
        let begin = Instant::now();
        let decoded = match path.rsplit('.').next() {
            Some("xz") => codec::xz::decode(&data, max, &budget),
            Some("lzma") => codec::lzma::decode_alone(&data, max, &budget),
            Some("zst") => codec::zstd::decode(&data, max, &budget),
            Some("bz2") => codec::bzip2::decode(&data, max, &budget),
            Some("lz4") => codec::lz4::decode_frames(&data, max, &budget),
            Some("zz") => codec::deflate::zlib(&data, max, &budget),
            _ => codec::lzo::decode(&data, max, &budget),
        };
        let seconds = begin.elapsed().as_secs_f64();
        let rate = decoded.bytes.len() as f64 / seconds / 1e6;
        println!(
            "{seconds:.3} s, {rate:.1} MB/s, {:?}, consumed {}",
            decoded.error, decoded.consumed
        );
    }
}
