//! Helpers shared by the readers of JSON.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use crate::record::Score;

/// A text that is borrowed from the record where it has no escapes. Another kind of value reads as empty, so that
/// one odd member does not cost the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(pub Cow<'a, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(v)))
            }
            fn visit_str<E>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_owned())))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Text::default())
            }
            fn visit_bool<E>(self, v: bool) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(v.to_string())))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Self::Value, A::Error> {
                while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<Self::Value, A::Error> {
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                Ok(Text::default())
            }
        }
        d.deserialize_any(Visitor)
    }
}

/// `null` reads as if the member were not there.
pub fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    d: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// A date before 1970 or after 2100 is a slip of the pen; none then.
pub fn day(text: &str) -> Option<i32> {
    crate::date::day(text).filter(|d| (0..47_482).contains(d))
}

/// Milliseconds of a moment, with the same bounds.
pub fn moment(text: &str) -> Option<i64> {
    day(text).and_then(|_| crate::date::moment(text))
}

/// A score, if there is a number.
pub fn score(version: &str, base: Option<f64>, vector: &str, by: &str) -> Option<Score> {
    let tenths = (base? * 10.0).round();
    if !(0.0..=100.0).contains(&tenths) {
        return None;
    }
    // In range by the line above.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let tenths = tenths as u8;
    Some(Score {
        version: version.to_owned(),
        tenths,
        vector: vector.to_owned(),
        by: by.to_owned(),
    })
}

/// CWE ids in a text, such as `CWE-79` or `CWE-79 Improper ...`.
pub fn weakness(text: &str) -> Option<String> {
    let digits: String =
        text.strip_prefix("CWE-")?.chars().take_while(char::is_ascii_digit).collect();
    (!digits.is_empty() && digits.len() <= 6).then(|| format!("CWE-{digits}"))
}

/// Most links kept of a record.
pub const LINKS: usize = 8;

/// Sorted, without doubles, at most [`LINKS`], only of the web.
pub fn links<'a>(urls: impl Iterator<Item = &'a str>) -> Vec<String> {
    let good = |u: &&str| u.len() <= 400 && (u.starts_with("https://") || u.starts_with("http://"));
    let all: std::collections::BTreeSet<&str> = urls.filter(good).collect();
    all.into_iter().take(LINKS).map(str::to_owned).collect()
}

/// Sorted, without doubles.
pub fn distinct(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Reads a document of a known shape.
pub fn from<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|e| e.to_string())
}
