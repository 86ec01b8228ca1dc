//! Reads a program as JSON, writes the answer of HiGHS as JSON.

use std::io::{self, BufReader, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(io::stderr(), "proofmark-highs: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let mip = serde_json::from_reader(BufReader::new(io::stdin().lock()))
        .map_err(|e| format!("the program on the input is not readable: {e}"))?;
    let answer = proofmark_highs::solve(&mip)?;
    let out = serde_json::to_vec(&answer).map_err(|e| e.to_string())?;
    io::stdout().write_all(&out).map_err(|e| e.to_string())
}
