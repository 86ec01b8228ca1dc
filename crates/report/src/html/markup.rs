//! A text that grows, and the only way for a name of the image to get into it.

use std::fmt::Write as _;

use proofmark_model::{Digest, Locator, Severity, Strength, Verdict};

use crate::{summary, text};

/// Markup under construction.
#[derive(Default)]
pub struct Markup {
    out: String,
}

impl Markup {
    /// Appends markup of this crate, as it is.
    pub fn raw(&mut self, markup: &str) -> &mut Self {
        self.out.push_str(markup);
        self
    }

    /// Appends text from anywhere: everything that is markup, and every character that could reorder or hide
    /// what stands beside it, is made harmless.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.out.push_str("&amp;"),
                '<' => self.out.push_str("&lt;"),
                '>' => self.out.push_str("&gt;"),
                '"' => self.out.push_str("&quot;"),
                '\'' => self.out.push_str("&#39;"),
                '\n' | '\t' => self.out.push(c),
                c if text::unsafe_to_show(c) => {
                    let _ = write!(self.out, "\\u{{{:x}}}", u32::from(c));
                }
                c => self.out.push(c),
            }
        }
        self
    }

    /// [`Self::text`], cut to `max` characters.
    pub fn short(&mut self, text: &str, max: usize) -> &mut Self {
        self.text(&text::cut(text, max))
    }

    /// A sentence of a rule, cut to `max` characters; what stands between backticks in it is set as code.
    pub fn sentence(&mut self, text: &str, max: usize) -> &mut Self {
        let cut = text::cut(text, max);
        let parts: Vec<&str> = cut.split('`').collect();
        // An odd number of backticks is a name with one in it: then nothing is code.
        if parts.len().is_multiple_of(2) {
            return self.text(&cut);
        }
        for (i, part) in parts.iter().enumerate() {
            if i % 2 == 1 {
                self.raw("<code>").text(part).raw("</code>");
            } else {
                self.text(part);
            }
        }
        self
    }

    /// Opens a term of a description list, and its description.
    pub fn term(&mut self, title: &str) -> &mut Self {
        self.raw("<dt>").raw(title).raw("</dt><dd>")
    }

    /// The line that prints the bytes of a place, with its copy button (which the script shows).
    pub fn show(&mut self, place: &Locator) -> &mut Self {
        self.raw("<div class=\"show\"><code>")
            .text(&text::show_line(place))
            .raw("</code><button type=\"button\" class=\"copy\">Copy</button></div>")
    }

    /// A severity as a word with its colour.
    pub fn severity(&mut self, s: Severity) -> &mut Self {
        let word = summary::severity(s);
        self.raw("<span class=\"chip sev-").raw(word).raw("\">").raw(word).raw("</span>")
    }

    /// A verdict as a word with its colour.
    pub fn verdict(&mut self, v: Verdict) -> &mut Self {
        self.raw("<span class=\"chip v-")
            .raw(verdict_class(v))
            .raw("\">")
            .raw(summary::verdict(v))
            .raw("</span>")
    }

    /// *observed* or *inferred*.
    pub fn strength(&mut self, s: Strength) -> &mut Self {
        let word = summary::strength(s);
        self.raw("<span class=\"chip plain\">").raw(word).raw("</span>")
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Writes `items` with `each` until `bytes` are used up, and returns how many did not fit.
    pub fn bounded<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        bytes: usize,
        mut each: impl FnMut(&mut Self, T),
    ) -> u64 {
        let end = self.len() + bytes;
        let mut left = 0;
        for item in items {
            if self.len() < end {
                each(self, item);
            } else {
                left += 1;
            }
        }
        left
    }

    /// The note for what did not fit.
    pub fn rest(&mut self, left: u64, one: &str, many: &str) -> &mut Self {
        if left > 0 {
            self.raw("<p class=\"rest\">")
                .raw(&text::plural(left, one, many))
                .raw(" left out here; all of them are in <code>assessment.json</code>.</p>");
        }
        self
    }

    /// The text.
    pub fn finish(self) -> String {
        self.out
    }
}

/// Name of a verdict in class names.
pub fn verdict_class(v: Verdict) -> &'static str {
    match v {
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "open",
        Verdict::Pass => "pass",
        Verdict::NotApplicable => "na",
    }
}

/// `sha256-...` as a content security policy names a style sheet or script.
pub fn source_digest(source: &str) -> String {
    format!("sha256-{}", base64(&Digest::of(source.as_bytes()).0))
}

/// Base 64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let n = chunk.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(ALPHABET[(n >> (18 - 6 * i) & 63) as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn text_is_never_markup() {
        let mut m = Markup::default();
        m.text("<img src=x onerror='a'>&\"\u{202e}\0");
        assert_eq!(m.finish(), "&lt;img src=x onerror=&#39;a&#39;&gt;&amp;&quot;\\u{202e}\\u{0}");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut m = Markup::default();
        let left = m.bounded(0..10, 6, |m, _| {
            m.raw("ab");
        });
        assert_eq!((left, m.len()), (7, 6));
    }
}
