//! Text that names a place in an image and can be typed back.
//!
//! ```text
//! gateway.img@0x40000:squashfs/usr/sbin/telnetd+0x1a40..0x1a58
//! ^image     ^region           ^entry           ^byte range (end exclusive)
//! ```
//!
//! A region (`@0x40000:squashfs`) is a part of the content before it that was
//! recognised as a format; an entry (`/usr/sbin/telnetd`) is a path inside the
//! container before it. Regions and entries alternate as deep as the nesting
//! goes. A second entry of the same path in one container carries its ordinal:
//! `/etc/passwd#2`.
//!
//! Names are bytes. Control bytes, bytes that are not UTF-8, `%`, and the few
//! characters that would be read as syntax (`@0x`, `+0x`, `#` before a digit)
//! are written as `%XX`, so every name survives a round trip.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize, de};

/// One step from a content to a content inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// A byte region recognised as a format: `@0x40000:squashfs`.
    Region {
        /// First byte, counted from the start of the content before it.
        offset: u64,
        /// Format id, such as `squashfs`; lower-case letters, digits, `-`, `.`, `_`.
        format: Cow<'static, str>,
    },
    /// An entry of a container: `/usr/sbin/telnetd`, `/etc/passwd#2`.
    Entry {
        /// Path bytes without a leading slash, as the container has them.
        path: Vec<u8>,
        /// 1 for the first entry of this path, 2 for the second, ...
        ordinal: u32,
    },
}

impl Step {
    /// A region step.
    #[must_use]
    pub fn region(offset: u64, format: impl Into<Cow<'static, str>>) -> Self {
        Self::Region { offset, format: format.into() }
    }

    /// The first entry of `path`.
    #[must_use]
    pub fn entry(path: impl Into<Vec<u8>>) -> Self {
        Self::Entry { path: path.into(), ordinal: 1 }
    }
}

/// A place in an image: the image's name, the way into it, and a byte range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator {
    /// Base name of the input as the user gave it.
    pub image: String,
    /// The way from the image to a content inside it; empty for the image itself.
    pub steps: Vec<Step>,
    /// Byte range `(start, end)` in that content, end exclusive; `None` is all of it.
    pub range: Option<(u64, u64)>,
}

impl Locator {
    /// The whole image.
    #[must_use]
    pub fn image(name: impl Into<String>) -> Self {
        Self { image: name.into(), steps: Vec::new(), range: None }
    }

    /// This place, one step further in, without a range.
    #[must_use]
    pub fn join(&self, step: Step) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { image: self.image.clone(), steps, range: None }
    }

    /// The bytes `start..end` of this content.
    #[must_use]
    pub fn at(&self, start: u64, end: u64) -> Self {
        Self { range: Some((start, end)), ..self.clone() }
    }

    /// All of the content that this place lies in.
    #[must_use]
    pub fn whole(&self) -> Self {
        Self { range: None, ..self.clone() }
    }

    /// The path of the innermost entry, lossily as text; empty for an image or a region in it.
    #[must_use]
    pub fn path(&self) -> String {
        self.steps
            .iter()
            .rev()
            .find_map(|s| match s {
                Step::Entry { path, .. } => Some(String::from_utf8_lossy(path).into_owned()),
                Step::Region { .. } => None,
            })
            .unwrap_or_default()
    }
}

/// Whether a character controls, hides or reorders what a person sees instead of being seen: control characters,
/// soft hyphen, zero-width characters, direction marks and overrides, separators of lines, tags (Unicode
/// general categories Cc, Cf, Zl, Zp as far as they are not part of letters).
#[must_use]
pub fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes `bytes` as text that [`unescape`] reads back exactly.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        for (i, c) in valid.char_indices() {
            let rest = &valid[i + c.len_utf8()..];
            let syntax = match c {
                '%' => true,
                '@' | '+' => rest.starts_with("0x"),
                '#' => rest.starts_with(|d: char| d.is_ascii_digit()),
                _ => invisible(c),
            };
            if syntax {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|b| out.push_str(&format!("%{b:02X}")));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|b| out.push_str(&format!("%{b:02X}")));
    }
    out
}

/// Reads what [`escape`] wrote. A `%` that is not followed by two hexadecimal digits stands for itself.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        let code = bytes
            .get(i + 1..i + 3)
            .filter(|h| b == b'%' && h.iter().all(u8::is_ascii_hexdigit))
            .and_then(|h| u8::from_str_radix(std::str::from_utf8(h).ok()?, 16).ok());
        match code {
            Some(value) => {
                out.push(value);
                i += 3;
            }
            None => {
                out.push(b);
                i += 1;
            }
        }
    }
    out
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region { offset, format } => write!(f, "@{offset:#x}:{format}"),
            Self::Entry { path, ordinal: 1 } => write!(f, "/{}", escape(path)),
            Self::Entry { path, ordinal } => write!(f, "/{}#{ordinal}", escape(path)),
        }
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The image's own name must not be read as the start of the way into it.
        f.write_str(&escape(self.image.as_bytes()).replace('/', "%2F"))?;
        self.steps.iter().try_for_each(|s| write!(f, "{s}"))?;
        match self.range {
            Some((start, end)) => write!(f, "+{start:#x}..{end:#x}"),
            None => Ok(()),
        }
    }
}

/// Why a text is not a locator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocatorError {
    /// Nothing stands before the first step.
    #[error("a locator starts with the image's name: IMAGE@0xOFFSET:FORMAT/PATH+0xSTART..0xEND")]
    NoImage,
    /// A region step is not `@0xOFFSET:FORMAT`.
    #[error("not a region step (@0xOFFSET:FORMAT): {0:?}")]
    Region(String),
    /// A range is not `+0xSTART..0xEND`, or its end is before its start.
    #[error("not a byte range (+0xSTART..0xEND, end after start): {0:?}")]
    Range(String),
}

fn hex(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // from_str_radix would take a sign.
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u64::from_str_radix(digits, 16).ok())?
}

impl FromStr for Locator {
    type Err = LocatorError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut rest, range) = match text.rfind("+0x") {
            Some(i) => {
                let (head, tail) = text.split_at(i);
                let range = tail[1..]
                    .split_once("..")
                    .and_then(|(a, b)| Some((hex(a)?, hex(b)?)))
                    .filter(|(a, b)| a <= b)
                    .ok_or_else(|| LocatorError::Range(tail.to_owned()))?;
                (head, Some(range))
            }
            None => (text, None),
        };
        // Where the step that begins at the start of `s` ends.
        let end_of = |s: &str, stop_at_slash: bool| {
            let region = s.find("@0x").unwrap_or(s.len());
            if stop_at_slash { region.min(s.find('/').unwrap_or(s.len())) } else { region }
        };
        let cut = end_of(rest, true);
        if cut == 0 {
            return Err(LocatorError::NoImage);
        }
        let image = String::from_utf8_lossy(&unescape(&rest[..cut])).into_owned();
        rest = &rest[cut..];
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('/') {
                let (name, tail) = after.split_at(end_of(after, false));
                let (name, ordinal) = name
                    .rsplit_once('#')
                    .and_then(|(n, o)| Some((n, o.parse().ok().filter(|o| *o > 1)?)))
                    .unwrap_or((name, 1));
                steps.push(Step::Entry { path: unescape(name), ordinal });
                rest = tail;
            } else {
                let after = rest.strip_prefix('@').unwrap_or(rest);
                let (step, tail) = after.split_at(end_of(after, true));
                let (offset, format) = step
                    .split_once(':')
                    .and_then(|(o, f)| Some((hex(o)?, f)))
                    .filter(|(_, f)| {
                        !f.is_empty()
                            && f.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
                    })
                    .ok_or_else(|| LocatorError::Region(format!("@{step}")))?;
                steps.push(Step::region(offset, format.to_owned()));
                rest = tail;
            }
        }
        Ok(Self { image, steps, range })
    }
}

impl Serialize for Locator {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Locator {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Locator {
    fn schema_name() -> Cow<'static, str> {
        "Locator".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "IMAGE@0xOFFSET:FORMAT/PATH+0xSTART..0xEND; `proofmark show IMAGE LOCATOR` prints those bytes"
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_the_design() {
        let text = "gateway.img@0x40000:squashfs/usr/sbin/telnetd+0x1a40..0x1a58";
        let l: Locator = text.parse().unwrap();
        assert_eq!(l.steps, [Step::region(0x40000, "squashfs"), Step::entry("usr/sbin/telnetd")]);
        assert_eq!(l.range, Some((0x1a40, 0x1a58)));
        assert_eq!(l.to_string(), text);
        assert_eq!(l.path(), "usr/sbin/telnetd");
    }

    #[test]
    fn ordinary_names_stay_readable() {
        let l = Locator::image("a.img").join(Step::entry("usr/lib/libstdc++.so.6"));
        assert_eq!(l.to_string(), "a.img/usr/lib/libstdc++.so.6");
        let l = Locator::image("a.img").join(Step::entry("lost+found/user@host#x"));
        assert_eq!(l.to_string(), "a.img/lost+found/user@host#x");
    }

    #[test]
    fn bad_texts_are_refused() {
        for bad in
            ["", "@0x0:tar", "a@0x0", "a@0x0:", "a@0x0:t r", "a+0x5..0x3", "a+0x5", "a@0x+1:tar"]
        {
            assert!(bad.parse::<Locator>().is_err(), "{bad}");
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (any::<u64>(), "[a-z][a-z0-9-]{0,9}").prop_map(|(o, f)| Step::region(o, f)),
            (
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..12),
                    "[a@+#%0x1/.]{0,12}".prop_map(String::into_bytes)
                ],
                1..4u32
            )
                .prop_map(|(path, ordinal)| Step::Entry { path, ordinal }),
        ]
    }

    proptest! {
        #[test]
        fn every_locator_round_trips(
            image in "[a-z@+#%/ä]{1,12}",
            mut steps in proptest::collection::vec(step(), 0..5),
            range in proptest::option::of((any::<u32>(), any::<u32>())),
        ) {
            // Two entries never follow each other: an entry's content is entered through a region.
            steps.dedup_by(|b, a| matches!((a, b), (Step::Entry { .. }, Step::Entry { .. })));
            let range = range.map(|(a, b)| (u64::from(a.min(b)), u64::from(a.max(b))));
            let l = Locator { image, steps, range };
            prop_assert_eq!(l.to_string().parse::<Locator>().unwrap(), l);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Locator>();
        }
    }
}
