//! `proofmark show`: the bytes that a locator names.

use std::{fmt::Write as _, process::ExitCode};

use proofmark_model::Locator;

use crate::{
    cli::Show,
    commands,
    failure::{Code, Failure},
};

/// Bytes in a line of hexadecimal.
const ROW: usize = 16;

/// Runs in the worker.
pub fn run(args: &Show, no_sandbox: bool) -> Result<ExitCode, Failure> {
    let wrong = |e: &dyn std::fmt::Display| Failure::new(Code::Locator, e.to_string());
    let locator: Locator = args.locator.parse().map_err(|e| wrong(&e))?;
    let options = commands::options(&args.work)?;
    let input = commands::open(&args.image, no_sandbox, Vec::new(), Vec::new())?;
    let found = proofmark_unpack::locate(&input, &locator, &options).map_err(|e| wrong(&e))?;
    if args.raw {
        commands::write(&found.bytes)?;
    } else if let Some(text) = readable(&found.bytes) {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        commands::print(&format!("{text}{end}"))?;
    } else {
        commands::print(&hexadecimal(&found.bytes, found.offset))?;
    }
    for problem in &found.problems {
        eprintln!("proofmark: {locator}: {}", problem.message);
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes as text, if they are text that a terminal can show.
fn readable(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let control = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    (!text.contains(control)).then_some(text)
}

/// Offset, bytes, and what is printable of them.
fn hexadecimal(bytes: &[u8], start: u64) -> String {
    let mut out = String::with_capacity(bytes.len() * 5);
    for (i, row) in bytes.chunks(ROW).enumerate() {
        let _ = write!(out, "{:08x} ", start.saturating_add((i * ROW) as u64));
        for (j, b) in row.iter().enumerate() {
            let _ = write!(out, "{}{b:02x}", if j == ROW / 2 { "  " } else { " " });
        }
        let width = 3 * (ROW - row.len()) + usize::from(row.len() <= ROW / 2);
        let shown: String = row
            .iter()
            .map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' })
            .collect();
        let _ = writeln!(out, "{:width$}  {shown}", "");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up() {
        let text = hexadecimal(b"0123456789abcdefXYZ", 0x1a40);
        assert_eq!(
            text,
            "00001a40  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n\
             00001a50  58 59 5a                                          XYZ\n"
        );
    }

    #[test]
    fn control_characters_are_never_sent_to_a_terminal() {
        assert_eq!(readable(b"\x1b[2J"), None);
        assert_eq!(readable("gr\u{fc}n\n".as_bytes()), Some("grün\n"));
    }
}
