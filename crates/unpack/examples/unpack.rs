//! Unpacks a file or folder and prints what came of it: `unpack FILE [JOBS]`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::{path::Path, time::Instant};

use proofmark_unpack::{Input, Options, spool::Spool, unpack};

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| ".".into());
    let jobs = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let list = arguments.next().is_some();
    let start = Instant::now();
    let input = Input::open(Path::new(&path))?;
    let outcome = unpack(
        input,
        &Options { jobs, spool: Spool::new(Path::new("/var/tmp")).ok(), ..Options::default() },
        &(),
    );
    let taken = start.elapsed();
    let c = &outcome.coverage;
    println!(
        "{} artifacts, {} with problems; understood {} padding {} opaque {} of {} bytes; {:.2} s",
        outcome.artifacts.len(),
        c.artifacts_with_problems,
        c.understood,
        c.padding,
        c.opaque,
        c.total,
        taken.as_secs_f64()
    );
    for a in outcome.artifacts.iter().filter(|a| list || !a.problems.is_empty()).take(10_000) {
        println!("{} {} {} {:?}", a.locator, a.format, a.size, a.problems);
    }
    Ok(())
}
