//! Jobs for printers (PJL), which is how printer firmware travels: lines of commands, then data of the language that
//! the last line enters, to the end mark or the end of the content.
//!
//! Source: HP, Printer Job Language Technical Reference Manual.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::layout::{Layout, Reader, about},
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "pjl",
        "Printer job (PJL)",
        "language",
        "end mark",
        "commands are not interpreted",
        "HP, Printer Job Language Technical Reference Manual"
    ),
    magics: &[Magic::anywhere(b"\x1B%-12345X@PJL")],
    read: pjl,
};

const MARK: &[u8] = b"\x1B%-12345X";

/// Bytes of a line of commands.
const LINE: usize = 4096;

fn pjl(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let mut at = MARK.len();
    let mut language = None;
    while data.get(at..)?.starts_with(b"@PJL") {
        let rest = data.get(at..)?;
        let window = rest.get(..rest.len().min(LINE))?;
        let line = rest.get(..memchr::memchr(b'\n', window)?.checked_add(1)?)?;
        budget.work(line.len() as u64).ok()?;
        at = at.checked_add(line.len())?;
        let text = std::str::from_utf8(line).ok()?.trim();
        if let Some((_, name)) =
            text.strip_prefix("@PJL ENTER LANGUAGE").and_then(|t| t.split_once('='))
        {
            language = Some(name.trim().to_owned());
            break;
        }
    }
    let rest = data.get(at..)?;
    let end = budget.find(rest, MARK, 0).ok()?;
    let body = end.unwrap_or(rest.len());
    let total = at.checked_add(body)?.checked_add(if end.is_some() { MARK.len() } else { 0 })?;
    let proof = if end.is_some() { Proof::LengthsConsistent } else { Proof::MagicOnly };
    let mut layout = Layout::new(data, total as u64, proof);
    layout.structure(0, at);
    layout.structure(at.checked_add(body)?, MARK.len());
    layout.attribute("language", language.unwrap_or_default());
    layout.integrity("none", "", None);
    layout.part(data, "data", at as u64, body as u64);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, torture};

    #[test]
    fn our_own_job_is_read_back() {
        let body = noise(300, 5);
        let file = [MARK, b"@PJL COMMENT x\r\n@PJL ENTER LANGUAGE = ACL\r\n", &body, MARK].concat();
        let opened = open_whole(&FORMAT, &file);
        assert_eq!((opened.content("data"), opened.attribute("language")), (body.into(), "ACL"));
        torture(&FORMAT, &file);
        assert!(open_at(&FORMAT, b"\x1B%-12345X@PJL without a line", 0).is_none());
    }
}
