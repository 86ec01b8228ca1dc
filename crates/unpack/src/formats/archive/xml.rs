//! As much XML as tables of contents of xar and dmg need: elements, attributes, text. No
//! entities but the five of the standard, no document types, nothing is ever fetched.

/// A step of a document.
#[derive(Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `<name attributes>`; whether it closes itself.
    Open(&'a [u8], &'a [u8], bool),
    /// `</name>`.
    Close(&'a [u8]),
    /// Text between tags, entities still in it.
    Text(&'a [u8]),
}

/// The steps of `xml`, to its end or the first thing that is no XML.
pub fn tokens(xml: &[u8]) -> impl Iterator<Item = Token<'_>> {
    let mut rest = xml;
    std::iter::from_fn(move || {
        loop {
            let Some((b'<', tag)) = rest.split_first() else {
                let end = memchr::memchr(b'<', rest).unwrap_or(rest.len());
                let (text, more) = rest.split_at_checked(end)?;
                if text.is_empty() {
                    return None;
                }
                rest = more;
                return Some(Token::Text(text));
            };
            let end = memchr::memchr(b'>', tag)?;
            let (inside, more) = tag.split_at_checked(end)?;
            rest = more.get(1..)?;
            // Declarations and comments say nothing here.
            if matches!(inside.first(), Some(b'?' | b'!')) {
                continue;
            }
            if let Some(name) = inside.strip_prefix(b"/") {
                return Some(Token::Close(name.trim_ascii()));
            }
            let closed = inside.strip_suffix(b"/");
            let body = closed.unwrap_or(inside);
            let split = body.iter().position(u8::is_ascii_whitespace).unwrap_or(body.len());
            let (name, attributes) = body.split_at_checked(split)?;
            return Some(Token::Open(name, attributes, closed.is_some()));
        }
    })
}

/// The value of an attribute.
pub fn attribute<'a>(attributes: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = memchr::memmem::find(attributes, format!("{name}=\"").as_bytes())?;
    let value = attributes.get(at.checked_add(name.len())?.checked_add(2)?..)?;
    value.split(|b| *b == b'"').next()
}

/// Text with its entities resolved.
pub fn text(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, more)) = rest.split_first() {
        let known = [
            (&b"&amp;"[..], b'&'),
            (b"&lt;", b'<'),
            (b"&gt;", b'>'),
            (b"&quot;", b'"'),
            (b"&apos;", b'\''),
        ];
        match known.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, byte)) => {
                out.push(*byte);
                rest = rest.get(name.len()..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = more;
            }
        }
    }
    out
}

/// Base64 with any white space in it; stops at the first other character.
pub fn base64(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut word, mut bits) = (0u32, 0u32);
    for byte in raw.iter().filter(|b| !b.is_ascii_whitespace()) {
        let value = match byte {
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        word = (word << 6) | u32::from(value);
        bits = bits.wrapping_add(6);
        if bits >= 8 {
            bits = bits.wrapping_sub(8);
            out.push((word >> bits) as u8);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_document() {
        let xml = b"<?xml version=\"1.0\"?><a x=\"1\"><b/>t&amp;u</a>";
        let steps: Vec<_> = tokens(xml).collect();
        assert_eq!(steps.len(), 4);
        assert_eq!(steps[1], Token::Open(b"b", b"", true));
        assert_eq!(steps[2], Token::Text(b"t&amp;u"));
        assert_eq!(text(b"t&amp;u&lt;&unknown;"), b"t&u<&unknown;");
        assert_eq!(attribute(b" x=\"1\" y=\"two\"", "y"), Some(&b"two"[..]));
        assert_eq!(base64(b"aGVs\nbG8="), b"hello");
    }
}
