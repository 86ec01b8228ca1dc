//! Reading text by lines without losing its byte offsets.

use crate::{Class, notes::Range};

/// Longest text that is kept for the second stage. Configurations and start-up scripts are far below it.
const LONGEST: usize = 256 << 10;

/// A line with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// Without the line end.
    pub text: &'a str,
    /// Its bytes.
    pub range: Range,
}

/// The lines of `text`; a carriage return at the end of a line does not belong to it.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0_u64;
    text.split_inclusive('\n').map(move |whole| {
        let line = whole.trim_end_matches(['\n', '\r']);
        let range = (start, start.saturating_add(line.len() as u64));
        start = start.saturating_add(whole.len() as u64);
        Line { text: line, range }
    })
}

/// Lines that say something: not empty, and not starting with `#`.
pub fn statements(text: &str) -> impl Iterator<Item = Line<'_>> {
    lines(text).filter(|l| {
        let t = l.text.trim_start();
        !t.is_empty() && !t.starts_with('#')
    })
}

/// The bytes as text of the same length: a byte that is not part of UTF-8 becomes `?`.
#[must_use]
pub fn same_length(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| out.push('?'));
    }
    out
}

/// Whether the bytes look like text: no NUL and few control bytes in the first 4 KiB.
#[must_use]
pub fn is_text(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    let odd = head.iter().filter(|b| **b < 0x20 && !b"\t\n\r\x0c\x1b".contains(b)).count();
    !head.is_empty() && !head.contains(&0) && odd.saturating_mul(50) <= head.len()
}

/// The text, if the second stage will want it: a configuration, or a script of a shell.
pub(crate) fn keep(class: Class, bytes: &[u8]) -> Option<String> {
    let wanted = class == Class::Configuration || is_shell_script(bytes);
    (wanted && bytes.len() <= LONGEST && is_text(bytes)).then(|| same_length(bytes))
}

/// A first line that names a shell (or procd's wrapper `rc.common`, which is one).
fn is_shell_script(bytes: &[u8]) -> bool {
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    first.strip_prefix(b"#!").is_some_and(|rest| {
        let rest = String::from_utf8_lossy(rest.get(..rest.len().min(80)).unwrap_or_default());
        rest.split_whitespace().any(|w| {
            let name = w.rsplit('/').next().unwrap_or(w);
            matches!(name, "sh" | "bash" | "ash" | "dash" | "rc.common" | "ksh" | "zsh" | "hush")
        })
    })
}

/// The words of a shell-like line: quotes group, a backslash takes the next character as it is, `#` at the
/// start of a word ends the line.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().extend(chars.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, c) if c.is_whitespace() => out.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_bytes() {
        let text = "a\r\n\nüb\nlast";
        let all: Vec<_> = lines(text).collect();
        assert_eq!(all.iter().map(|l| l.text).collect::<Vec<_>>(), ["a", "", "üb", "last"]);
        for l in all {
            assert_eq!(&text[l.range.0 as usize..l.range.1 as usize], l.text);
        }
    }

    #[test]
    fn text_keeps_its_length() {
        assert_eq!(same_length(b"a\xff\xfeb\xc3"), "a??b?");
        assert!(is_text("grüße\n".as_bytes()));
        assert!(!is_text(b"\x7fELF\x01\x00"));
        assert!(!is_text(b""));
    }

    #[test]
    fn words_of_a_shell() {
        assert_eq!(words(r#"a "b c" 'd "e' f\ g # no"#), ["a", "b c", "d \"e", "f g"]);
        assert_eq!(words(r#"x="y z"w '' a#b"#), ["x=y zw", "", "a#b"]);
        assert_eq!(words("'open"), ["open"]);
    }
}
