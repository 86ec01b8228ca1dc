//! `assessment.json`: the document itself.

use std::io;

use proofmark_model::Assessment;
use serde::Serialize;

/// How the text is laid out. Both read back to the same document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One line, no spaces: for machines and for digests.
    Compact,
    /// Two spaces of indentation, ends with a newline: for people and for `diff`.
    Pretty,
}

/// Writes the assessment to `out` as it goes, without holding the whole text in memory.
///
/// Fields stand in the order of the schema and maps are sorted by key, so equal documents give equal bytes.
/// Give it a buffered writer: it writes in small pieces.
///
/// # Errors
/// Those of `out`.
pub fn write(a: &Assessment, layout: Layout, mut out: impl io::Write) -> io::Result<()> {
    match layout {
        Layout::Compact => a.serialize(&mut serde_json::Serializer::new(&mut out))?,
        Layout::Pretty => {
            a.serialize(&mut serde_json::Serializer::pretty(&mut out))?;
            out.write_all(b"\n")?;
        }
    }
    out.flush()
}
