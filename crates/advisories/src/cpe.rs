//! CPE names: the formatted string of version 2.3, the URI of 2.2, and their matching.
//!
//! Source: NIST IR 7695 (naming), 7696 (matching). Letters are compared without regard to case, as 7696 says.

use std::fmt;

/// Longest name that is read.
const LONGEST: usize = 1024;

/// Value of one attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Attribute {
    /// `*`: nothing is said.
    #[default]
    Any,
    /// `-`: there is no such thing.
    Na,
    /// A value, unescaped and in lower case, with the wild cards it was written with.
    Value(Value),
}

/// A value that is not a logical one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// Text without escapes; wild cards stand in it as they are.
    pub text: String,
    /// Positions in `text`, in characters, of unquoted `*` and `?`.
    wild: Vec<usize>,
}

/// How two attributes relate, by table 6-2 of NIST IR 7696.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// The first contains the second.
    Superset,
    /// The second contains the first.
    Subset,
    /// The same.
    Equal,
    /// Nothing in common.
    Disjoint,
    /// Not defined: the second has wild cards.
    Undefined,
}

/// A CPE name taken apart. Field order is that of the formatted string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(missing_docs, reason = "the attributes are named as in the standard")]
pub struct Cpe {
    pub part: Attribute,
    pub vendor: Attribute,
    pub product: Attribute,
    pub version: Attribute,
    pub update: Attribute,
    pub edition: Attribute,
    pub language: Attribute,
    pub sw_edition: Attribute,
    pub target_sw: Attribute,
    pub target_hw: Attribute,
    pub other: Attribute,
}

impl Attribute {
    /// A plain value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Value(Value { text: text.to_ascii_lowercase(), wild: Vec::new() })
    }

    /// The text of a value.
    #[must_use]
    pub fn value(&self) -> Option<&str> {
        match self {
            Self::Value(v) => Some(&v.text),
            _ => None,
        }
    }

    /// Relation of this attribute (the criterion) to another (the thing).
    #[must_use]
    pub fn relation(&self, other: &Self) -> Relation {
        match (self, other) {
            (_, Self::Value(v)) if !v.wild.is_empty() => match self {
                Self::Any => Relation::Superset,
                Self::Value(s) if s == v => Relation::Equal,
                _ => Relation::Undefined,
            },
            (Self::Any, Self::Any) | (Self::Na, Self::Na) => Relation::Equal,
            (Self::Any, _) => Relation::Superset,
            (_, Self::Any) => Relation::Subset,
            (Self::Value(s), Self::Value(t)) if s.wild.is_empty() => {
                if s.text == t.text {
                    Relation::Equal
                } else {
                    Relation::Disjoint
                }
            }
            (Self::Value(s), Self::Value(t)) => {
                if s.covers(&t.text) {
                    Relation::Superset
                } else {
                    Relation::Disjoint
                }
            }
            _ => Relation::Disjoint,
        }
    }

    /// The criterion contains the thing or is equal to it.
    #[must_use]
    pub fn covers(&self, thing: &Self) -> bool {
        matches!(self.relation(thing), Relation::Superset | Relation::Equal)
    }
}

impl Value {
    /// It has wild cards.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        !self.wild.is_empty()
    }

    /// The pattern covers the text. Wild cards stand at the ends only: `*` for any number of characters, each `?`
    /// for one or none.
    fn covers(&self, text: &str) -> bool {
        let chars: Vec<char> = self.text.chars().collect();
        let is_wild = |i: usize| self.wild.contains(&i);
        let head = (0..chars.len()).take_while(|i| is_wild(*i)).count();
        let tail = (head..chars.len()).rev().take_while(|i| is_wild(*i)).count();
        let core: Vec<char> =
            chars.iter().copied().skip(head).take(chars.len() - head - tail).collect();
        let text: Vec<char> = text.chars().collect();
        let free = |count: usize, cards: &[char]| cards.contains(&'*') || count <= cards.len();
        let Some(room) = text.len().checked_sub(core.len()) else { return false };
        let (front, back) =
            (chars.get(..head).unwrap_or(&[]), chars.get(chars.len() - tail..).unwrap_or(&[]));
        (0..=room).any(|at| {
            free(at, front)
                && free(room - at, back)
                && text.get(at..at + core.len()).is_some_and(|t| t == core.as_slice())
        })
    }
}

impl Cpe {
    /// Reads a name in either form.
    ///
    /// # Errors
    /// One sentence that says what is wrong with the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(80).collect::<String>();
        if text.len() > LONGEST {
            return Err(format!("CPE name longer than {LONGEST} bytes: {}", shown()));
        }
        let read = if let Some(rest) = text.strip_prefix("cpe:2.3:") {
            Self::formatted(rest)
        } else if let Some(rest) = text.strip_prefix("cpe:/") {
            Self::uri(rest)
        } else {
            Err("it starts neither with cpe:2.3: nor with cpe:/".into())
        };
        let cpe = read.map_err(|e| format!("not a CPE name, {e}: {}", shown()))?;
        match cpe.part.value() {
            Some("a" | "o" | "h") | None => Ok(cpe),
            Some(_) => Err(format!("not a CPE name, its part is not a, o or h: {}", shown())),
        }
    }

    fn formatted(rest: &str) -> Result<Self, String> {
        let mut fields = vec![String::new()];
        let mut escaped = false;
        for c in rest.chars() {
            let last = fields.last_mut().ok_or("empty")?;
            match c {
                ':' if !escaped => {
                    fields.push(String::new());
                    continue;
                }
                _ => last.push(c),
            }
            escaped = c == '\\' && !escaped;
        }
        if fields.len() > 11 {
            return Err(format!("it has {} attributes instead of 11", fields.len()));
        }
        let mut next = fields.iter().map(|f| unescape(f));
        let mut take = || next.next().unwrap_or_default();
        Ok(Self {
            part: take(),
            vendor: take(),
            product: take(),
            version: take(),
            update: take(),
            edition: take(),
            language: take(),
            sw_edition: take(),
            target_sw: take(),
            target_hw: take(),
            other: take(),
        })
    }

    fn uri(rest: &str) -> Result<Self, String> {
        let fields: Vec<&str> = rest.split(':').collect();
        if fields.len() > 7 {
            return Err(format!("it has {} components instead of 7", fields.len()));
        }
        let field = |i: usize| fields.get(i).map_or(Attribute::Any, |f| decode(f));
        let mut cpe = Self {
            part: field(0),
            vendor: field(1),
            product: field(2),
            version: field(3),
            update: field(4),
            language: field(6),
            ..Self::default()
        };
        match fields.get(5) {
            // Five attributes packed into the edition.
            Some(packed) if packed.starts_with('~') => {
                let mut parts = packed.split('~').skip(1).map(decode);
                let mut take = || parts.next().unwrap_or_default();
                cpe.edition = take();
                cpe.sw_edition = take();
                cpe.target_sw = take();
                cpe.target_hw = take();
                cpe.other = take();
            }
            Some(edition) => cpe.edition = decode(edition),
            None => {}
        }
        Ok(cpe)
    }

    /// A name with part, vendor, product and version, nothing else said.
    #[must_use]
    pub fn of(part: &str, vendor: &str, product: &str, version: Option<&str>) -> Self {
        Self {
            part: Attribute::text(part),
            vendor: Attribute::text(vendor),
            product: Attribute::text(product),
            version: version.map_or(Attribute::Any, Attribute::text),
            ..Self::default()
        }
    }

    /// Vendor and product, where both are plain values.
    #[must_use]
    pub fn pair(&self) -> Option<(&str, &str)> {
        match (&self.vendor, &self.product) {
            (Attribute::Value(v), Attribute::Value(p)) if !v.is_pattern() && !p.is_pattern() => {
                Some((&v.text, &p.text))
            }
            _ => None,
        }
    }

    fn attributes(&self) -> [&Attribute; 11] {
        [
            &self.part,
            &self.vendor,
            &self.product,
            &self.version,
            &self.update,
            &self.edition,
            &self.language,
            &self.sw_edition,
            &self.target_sw,
            &self.target_hw,
            &self.other,
        ]
    }

    /// Name matching of NIST IR 7696: every attribute of this name contains that of the other or is equal to it.
    #[must_use]
    pub fn is_superset_of(&self, other: &Self) -> bool {
        self.attributes().iter().zip(other.attributes()).all(|(a, b)| a.covers(b))
    }
}

impl fmt::Display for Cpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpe:2.3")?;
        for attribute in self.attributes() {
            f.write_str(":")?;
            match attribute {
                Attribute::Any => f.write_str("*")?,
                Attribute::Na => f.write_str("-")?,
                Attribute::Value(v) => {
                    for (i, c) in v.text.chars().enumerate() {
                        let plain = c.is_ascii_alphanumeric()
                            || matches!(c, '_' | '.' | '-')
                            || v.wild.contains(&i);
                        let lonely = v.text == "-";
                        if !plain || lonely {
                            f.write_str("\\")?;
                        }
                        write!(f, "{c}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Attribute of a formatted string.
fn unescape(field: &str) -> Attribute {
    match field {
        "" | "*" => return Attribute::Any,
        "-" => return Attribute::Na,
        _ => {}
    }
    let (mut text, mut wild, mut escaped, mut count) = (String::new(), Vec::new(), false, 0);
    for c in field.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        if !escaped && matches!(c, '*' | '?') {
            wild.push(count);
        }
        text.push(c.to_ascii_lowercase());
        count += 1;
        escaped = false;
    }
    Attribute::Value(Value { text, wild })
}

/// Component of a URI: `%01` is `?`, `%02` is `*`, other codes are the character quoted.
fn decode(field: &str) -> Attribute {
    match field {
        "" => return Attribute::Any,
        "-" => return Attribute::Na,
        _ => {}
    }
    let (mut text, mut wild, mut count) = (String::new(), Vec::new(), 0);
    let mut rest = field;
    while let Some(c) = rest.chars().next() {
        let code = rest
            .strip_prefix('%')
            .and_then(|r| r.get(..2))
            .and_then(|h| u8::from_str_radix(h, 16).ok());
        let (c, used) = match code {
            Some(1) => {
                wild.push(count);
                ('?', 3)
            }
            Some(2) => {
                wild.push(count);
                ('*', 3)
            }
            Some(code) => (char::from(code), 3),
            None => (c, c.len_utf8()),
        };
        text.push(c.to_ascii_lowercase());
        count += 1;
        rest = rest.get(used..).unwrap_or_default();
    }
    Attribute::Value(Value { text, wild })
}
