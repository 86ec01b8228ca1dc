//! `differential [--count N] [--seed N] [FORMAT...]`: images with random trees and options through us and the real tools.

#![allow(clippy::print_stdout, reason = "a tool of the repository")]

use std::process::ExitCode;

use proofmark_fuzz::differential;

fn main() -> ExitCode {
    let (mut count, mut seed, mut only) = (300, 1, Vec::new());
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || given.next().and_then(|n| n.parse().ok());
        match argument.as_str() {
            "--count" => count = number().unwrap_or(count),
            "--seed" => seed = number().map_or(seed, u64::from),
            _ => only.push(argument),
        }
    }
    let report = match differential::run(count, seed, &only) {
        Ok(report) => report,
        Err(e) => {
            println!("the images could not be made: {e}");
            return ExitCode::FAILURE;
        }
    };
    for (format, images) in &report.images {
        println!("{format:<10} {images:>5} images");
    }
    for (packages, said) in &report.missing {
        println!("left out, needs {packages}: {said}");
    }
    report.differences.iter().take(40).for_each(|d| println!("{d}"));
    let images: u32 = report.images.values().sum();
    println!(
        "{images} images, {} entries, {} differences",
        report.entries,
        report.differences.len()
    );
    if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
