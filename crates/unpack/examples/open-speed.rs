//! How long it takes to open an image of one format and to load all its contents:
//! `cargo run --release --example open-speed -- squashfs image`.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use proofmark_unpack::{
    budget::Budget,
    format::{Blob, Sink},
    formats,
};
use rayon::prelude::*;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args().skip(1);
    let (id, path) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let image = bytes::Bytes::from(std::fs::read(path)?);
    let Some(format) = formats::all().into_iter().find(|f| f.about().id == id) else {
        println!("no format `{id}`");
        return Ok(());
    };
    let budget = Budget::new(u64::MAX, u64::MAX, u64::MAX, None);
    let started = Instant::now();
    let Some(candidate) = format.probe(&image, 0, &budget) else {
        println!("not recognised");
        return Ok(());
    };
    println!("probe {:?}: {:?}", started.elapsed(), candidate.proof);
    let mut sink = Sink::new(&budget);
    format.open(&image, candidate.decoded, &budget, &mut sink);
    println!("open {:?}: {} entries, {:?}", started.elapsed(), sink.entries.len(), sink.problems);
    let (files, bytes, problems) = sink
        .entries
        .par_iter()
        .filter(|e| !matches!(e.blob, Blob::None))
        .map(|e| {
            let loaded = e.blob.load(&budget);
            (1u64, loaded.bytes.len() as u64, loaded.problems.len() as u64)
        })
        .reduce(
            || (0, 0, 0),
            |a, b| (a.0.saturating_add(b.0), a.1.saturating_add(b.1), a.2.saturating_add(b.2)),
        );
    println!("all {:?}: {files} files, {bytes} bytes, {problems} problems", started.elapsed());
    Ok(())
}
