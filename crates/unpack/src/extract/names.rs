//! Names on disk for names in an image, and patterns that choose among the latter.

use proofmark_model::Digest;

/// Longest name that common file systems take, in bytes.
const LONGEST: usize = 255;

/// A name for one path component that no shell, terminal or file system trips on: what would is written `%XX`.
/// The empty name, `.` and `..` are escaped like everything else.
#[must_use]
pub fn on_disk(component: &[u8]) -> String {
    let stem = component.split(|b| *b == b'.').next().unwrap_or_default();
    let mut out = String::with_capacity(component.len());
    let last = component.len().saturating_sub(1);
    let mut at = 0_usize;
    for chunk in component.utf8_chunks() {
        for c in chunk.valid().chars() {
            let ends_badly = at == last && matches!(c, '.' | ' ');
            // Windows opens a device for these names whatever follows the dot.
            let device = at == 0 && is_device(stem);
            // An option to whatever program the name is handed to.
            let option = at == 0 && c == '-';
            if forbidden(c) || ends_badly || device || option {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
            } else {
                out.push(c);
            }
            at = at.saturating_add(c.len_utf8());
        }
        for b in chunk.invalid() {
            out.push_str(&format!("%{b:02X}"));
            at = at.saturating_add(1);
        }
    }
    if out.is_empty() {
        return "%".to_owned();
    }
    if out.len() > LONGEST {
        // Leaves room for a number that tells equal names apart.
        let keep =
            (0..=LONGEST.saturating_sub(20)).rev().find(|i| out.is_char_boundary(*i)).unwrap_or(0);
        out.truncate(keep);
        out.push('~');
        out.push_str(&Digest::of(component).short());
    }
    out
}

fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\\' | '/' | '%')
        // These reorder or hide what a terminal shows.
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn is_device(stem: &[u8]) -> bool {
    let stem = stem.trim_ascii_end().to_ascii_uppercase();
    match stem.as_slice() {
        b"CON" | b"PRN" | b"AUX" | b"NUL" => true,
        [b'C', b'O', b'M', n] | [b'L', b'P', b'T', n] => n.is_ascii_digit(),
        _ => false,
    }
}

/// A pattern for paths: `?` is one byte and `*` any number of bytes other than `/`, `**` any number of any bytes.
/// A pattern without `/` is compared with the last part of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// The pattern of this text.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// Whether it matches `path`. Time is the product of the two lengths.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let pattern = self.0.trim_start_matches('/');
        let path = path.trim_start_matches('/');
        let path = if pattern.contains('/') || pattern.contains("**") {
            path
        } else {
            path.rsplit('/').next().unwrap_or(path)
        };
        let mut tokens = Vec::new();
        let mut rest = pattern.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            (tokens, rest) = match (first, tail) {
                (b'*', [b'*', tail @ ..]) => (push(tokens, Token::Any), tail),
                (b'*', tail) => (push(tokens, Token::Part), tail),
                (b'?', tail) => (push(tokens, Token::One), tail),
                (b, tail) => (push(tokens, Token::Byte(*b)), tail),
            };
        }
        // Which prefixes of the path the tokens so far can match.
        let path = path.as_bytes();
        let mut reached = vec![false; path.len().saturating_add(1)];
        if let Some(first) = reached.first_mut() {
            *first = true;
        }
        for token in tokens {
            let mut next = vec![false; reached.len()];
            let mut carry = false;
            for (i, before) in reached.iter().enumerate() {
                let byte = i.checked_sub(1).and_then(|i| path.get(i));
                let previous = i.checked_sub(1).and_then(|i| reached.get(i)) == Some(&true);
                let now = match token {
                    Token::Any => {
                        carry |= *before;
                        carry
                    }
                    Token::Part => {
                        carry = *before || (carry && byte != Some(&b'/'));
                        carry
                    }
                    Token::One => previous && byte.is_some_and(|b| *b != b'/'),
                    Token::Byte(b) => previous && byte == Some(&b),
                };
                if let Some(n) = next.get_mut(i) {
                    *n = now;
                }
            }
            reached = next;
        }
        reached.last() == Some(&true)
    }
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    One,
    Part,
    Any,
}

fn push(mut tokens: Vec<Token>, token: Token) -> Vec<Token> {
    tokens.push(token);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_trip_are_escaped() {
        for (name, expected) in [
            ("telnetd", "telnetd"),
            ("größe", "größe"),
            ("..", ".%2E"),
            (".", "%2E"),
            ("", "%"),
            ("a/b", "a%2Fb"),
            ("NUL.txt", "%4EUL.txt"),
            ("com1", "%63om1"),
            ("console", "console"),
            ("-rf", "%2Drf"),
            ("a:b\\c", "a%3Ab%5Cc"),
            ("end. ", "end.%20"),
            ("x\u{202e}gpj.exe", "x%E2%80%AEgpj.exe"),
            ("\u{1b}[31m", "%1B[31m"),
        ] {
            assert_eq!(on_disk(name.as_bytes()), expected, "{name:?}");
        }
        assert_eq!(on_disk(b"\xff\xfe"), "%FF%FE");
        let long = on_disk(&[b'x'; 4000]);
        assert!(long.len() <= LONGEST);
        assert_ne!(long, on_disk(&[b'x'; 4001]));
    }

    #[test]
    fn patterns() {
        for (pattern, path, yes) in [
            ("*.conf", "/etc/a.conf", true),
            ("*.conf", "etc/a.confx", false),
            ("etc/*", "etc/passwd", true),
            ("etc/*", "etc/init.d/rcS", false),
            ("etc/**", "etc/init.d/rcS", true),
            ("/etc/passw?", "etc/passwd", true),
            ("**/bin/*", "usr/local/bin/x", true),
            ("passwd", "etc/passwd", true),
            ("", "etc/passwd", false),
            ("**", "anything/at/all", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "ab/c", false),
        ] {
            assert_eq!(Glob::new(pattern).matches(path), yes, "{pattern} {path}");
        }
        // Would take exponential time if tried by backtracking.
        assert!(!Glob::new(&"a*".repeat(40)).matches(&"a".repeat(39)));
    }
}
