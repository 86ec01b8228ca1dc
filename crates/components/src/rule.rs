//! The language of component rules, as written in `catalogue/components/*.toml`.
//!
//! `catalogue/components/README.md` explains it to authors. The build script reads
//! the same types, refuses what [`Product::check`] refuses, and hands the rest to the
//! crate as JSON, so that nothing is parsed as TOML at run time.

use serde::{Deserialize, Serialize};

/// A catalogue file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its products.
    #[serde(default)]
    pub product: Vec<Product>,
}

/// What kind of thing a product is; it decides the relation when the evidence does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A program: an ELF file with its evidence *is* it.
    Program,
    /// A library: a file *is* it by SONAME, exported symbols or file name; any other with its evidence
    /// *statically contains* it.
    Library,
    /// A kernel, boot loader or real-time system: any content with its evidence *is* it.
    System,
}

/// How a content and a product belong together, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The content is the product, or a part that is delivered with it.
    Is,
    /// The content carries a copy of the product's code.
    StaticallyContains,
    /// The loader would load the product for it.
    DynamicallyNeeds,
    /// The content mentions it, nothing more.
    Names,
}

impl Relation {
    /// As written in JSON and in `Fact::Component`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Is => "is",
            Self::StaticallyContains => "statically-contains",
            Self::DynamicallyNeeds => "dynamically-needs",
            Self::Names => "names",
        }
    }
}

/// Classes of content that evidence is looked for in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// ELF files of any kind.
    Elf,
    /// Text: scripts, markup, configuration.
    Text,
    /// Anything else: flat images, PE files, archives of objects.
    Raw,
}

/// A product with everything that identifies it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// Unique name, lower case.
    pub name: String,
    /// Kind of product.
    pub kind: Kind,
    /// Exact CPE `vendor:product` pairs; `o:vendor:product` for operating systems.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpe: Vec<String>,
    /// Package URL without version.
    pub purl: String,
    /// Home of the upstream project.
    pub upstream: String,
    /// Version scheme: `generic`, `openssl`, `busybox`, `linux`, `date`, ... (see the README).
    #[serde(default = "generic", skip_serializing_if = "is_generic")]
    pub scheme: String,
    /// Version grammar: an expression without capturing groups; `{v}` in evidence stands for it.
    #[serde(default = "dotted", skip_serializing_if = "is_dotted")]
    pub version: String,
    /// SONAMEs, `*` for any run of characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sonames: Vec<String>,
    /// What identifies it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Literals anywhere in a content which show that it only mentions the product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unless: Vec<String>,
    /// Options that can be read from the same content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Feature>,
    /// Where in the upstream program the evidence comes from.
    pub sources: Vec<String>,
    /// Fragments which must be identified. `\0`, `\n`, `\t`, `\\`, `\xHH` are bytes.
    #[serde(default, skip_serializing)]
    pub positive: Vec<Positive>,
    /// Fragments which must not be identified.
    #[serde(default, skip_serializing)]
    pub negative: Vec<String>,
    /// What a reader of a result should know: what the version cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A fragment with what it must yield.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positive {
    /// The fragment.
    pub bytes: String,
    /// File name given along, for evidence that uses it.
    #[serde(default)]
    pub file: Option<String>,
    /// Version that must be found; none where only presence can be.
    #[serde(default)]
    pub version: Option<String>,
    /// Earliest release that must be told where no version is.
    #[serde(default)]
    pub since: Option<String>,
    /// First later release that must be told not to be it.
    #[serde(default)]
    pub before: Option<String>,
    /// Features that must be among those found.
    #[serde(default)]
    pub features: Vec<String>,
}

/// One thing that speaks for a product. Exactly one of `text`, `has`, `near`, `lone`, `hex`, `symbols`,
/// `verdef`, `file` is given (`near` may come with `text` for the neighbour's form).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Expression over the whole text string around a hit of its longest literal run; `{v}` captures the
    /// version. `^` and `$` are the ends of that string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Literal that leads to `text`, where none can be derived from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// A literal that occurs in nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has: Option<String>,
    /// A literal near which the version stands alone as a string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near: Option<String>,
    /// Distance in bytes for `near`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<u32>,
    /// The only string of the data sections that has this form is the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lone: Option<String>,
    /// With `lone`: the linker cannot drop the string, so it is the version in a copy of a library, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// Bytes of a table, hexadecimal, blanks allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
    /// What follows the table of `hex` in each release, hexadecimal, and that release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<[String; 2]>,
    /// Where it is seen, the release is this one or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Where it is seen, the release is earlier than this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What `{v}` captures is a branch (`4.17`), of which the release is one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub branch: bool,
    /// Symbols that the content defines for others, all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<String>,
    /// Prefix of symbol version definitions of which the highest is the version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdef: Option<String>,
    /// Expression over the file's name; with `{v}` only where upstream's file name carries the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What it adds; 100 together identify. Defaults: see [`Evidence::weight`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// Relation, where it is not the one that follows from the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<Relation>,
    /// Classes of content; by default ELF and raw.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Media>,
    /// Pairs of texts to replace in the version: `["_", "."]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<[String; 2]>,
}

impl Evidence {
    /// What it adds to the identification.
    #[must_use]
    pub fn weight(&self) -> u16 {
        self.weight.unwrap_or_else(|| {
            if self.near.is_some() || self.has.is_some() {
                50
            } else if let Some(text) = &self.text {
                if text.contains("{v}") { 100 } else { 50 }
            } else if self.hex.is_some() {
                60
            } else if !self.symbols.is_empty() {
                100
            } else if self.file.is_some() {
                40
            } else {
                0
            }
        })
    }
}

/// An option of the program that its bytes tell.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// Name of a feature that `has` shows, or prefix (`option:`) of those that `text` captures.
    pub name: String,
    /// Literal that shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has: Option<String>,
    /// Expression whose group captures one or several names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Literal that leads to `text`, where none can be derived from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// Characters at which the captured text is divided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// `has` stands in a run of names that end in NUL and ascend, such as a table of applets: each of them is a
    /// feature, with `name` as prefix.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub run: bool,
    /// What is captured names every option there is, so one that is missing is absent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
}

fn generic() -> String {
    "generic".into()
}

fn is_generic(s: &str) -> bool {
    s == "generic"
}

fn dotted() -> String {
    r"[0-9]+(?:\.[0-9]+)+".into()
}

fn is_dotted(s: &str) -> bool {
    s == dotted()
}

/// Shortest literal of an evidence: shorter ones hit too often to be worth a look.
pub const SHORTEST: usize = 5;

impl Product {
    /// The product's rule obeys the language; otherwise one sentence about what does not.
    ///
    /// # Errors
    ///
    /// One sentence.
    pub fn check(&self) -> Result<(), String> {
        let fail = |what: &str| Err(format!("product {}: {what}", self.name));
        let name_ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.+".contains(c);
        if self.name.is_empty() || !self.name.chars().all(name_ok) {
            return fail("name has other characters than a-z, 0-9, - _ . +");
        }
        if !self.purl.starts_with("pkg:") || self.purl.contains('@') {
            return fail("purl does not start with pkg:, or carries a version");
        }
        for pair in &self.cpe {
            let parts = pair.split(':').count();
            if !(parts == 2 || parts == 3 && (pair.starts_with("o:") || pair.starts_with("h:"))) {
                return fail("cpe is not vendor:product or o:vendor:product");
            }
        }
        if self.negative.is_empty() {
            return fail("has no negative fixture");
        }
        if self.sources.is_empty() {
            return fail("has no source");
        }
        if self.evidence.is_empty() && self.sonames.is_empty() {
            return fail("has neither evidence nor a soname");
        }
        if !self.evidence.is_empty() && self.positive.is_empty() {
            return fail("has no positive fixture");
        }
        if has_capture(&self.version) {
            return fail("version grammar has a capturing group; write (?:...)");
        }
        let sum: u32 = self.evidence.iter().map(|e| u32::from(e.weight())).sum();
        if sum < 100 && self.sonames.is_empty() {
            return fail("evidence adds up to less than 100, so it could never be identified");
        }
        for (n, e) in self.evidence.iter().enumerate() {
            if let Err(why) = e.check() {
                return fail(&format!("evidence {}: {why}", n.saturating_add(1)));
            }
        }
        for f in &self.features {
            if f.has.is_some() == f.text.is_some() {
                return fail(&format!("feature {}: give either has or text", f.name));
            }
            if f.text.is_some() && f.lead().is_none_or(|l| l.len() < SHORTEST) {
                return fail(&format!("feature {}: no literal of 5 bytes; give `literal`", f.name));
            }
        }
        Ok(())
    }
}

impl Evidence {
    fn check(&self) -> Result<(), String> {
        let kinds = [
            self.text.is_some() && self.near.is_none(),
            self.has.is_some(),
            self.near.is_some(),
            self.lone.is_some(),
            self.hex.is_some(),
            !self.symbols.is_empty(),
            self.verdef.is_some(),
            self.file.is_some(),
        ];
        if kinds.iter().filter(|k| **k).count() != 1 {
            return Err(
                "give exactly one of text, has, near, lone, hex, symbols, verdef, file".into()
            );
        }
        let expressions = [&self.text, &self.lone, &self.file];
        for e in expressions.into_iter().flatten() {
            if has_capture(e) {
                return Err("an expression has a capturing group; write (?:...)".into());
            }
            if e.matches("{v}").count() > 1 {
                return Err("{v} occurs twice".into());
            }
        }
        let captures = [&self.text, &self.file].into_iter().flatten().any(|e| e.contains("{v}"));
        if self.always && self.lone.is_none() {
            return Err("`always` goes with `lone`".into());
        }
        if self.branch && (!captures || self.near.is_some()) {
            return Err("`branch` goes with a {v} of `text` or `file`".into());
        }
        let follows = |pair: &[String; 2]| unhex(&pair[0]).is_some_and(|b| !b.is_empty());
        if !self.next.is_empty() && (self.hex.is_none() || !self.next.iter().all(follows)) {
            return Err("`next` goes with `hex`, as pairs of hexadecimal bytes and release".into());
        }
        let needs_lead = [&self.text, &self.has, &self.hex, &self.near].iter().any(|k| k.is_some());
        if needs_lead && self.lead().is_none_or(|l| l.len() < SHORTEST) {
            return Err("no literal of at least 5 bytes; give `literal`".into());
        }
        Ok(())
    }

    /// The release that the bytes behind the table tell, and how many bytes that takes.
    #[must_use]
    pub fn following(&self, bytes: &[u8]) -> Option<(&str, usize)> {
        self.next.iter().find_map(|[hex, release]| {
            let wanted = unhex(hex)?;
            bytes.starts_with(&wanted).then_some((release.as_str(), wanted.len()))
        })
    }

    /// The bytes whose occurrence leads to this evidence; `None` for evidence that is not looked for in
    /// the bytes.
    #[must_use]
    pub fn lead(&self) -> Option<Vec<u8>> {
        if let Some(hex) = &self.hex {
            return unhex(hex);
        }
        if let Some(near) = &self.near {
            return Some(unescape(near));
        }
        if let Some(has) = &self.has {
            return Some(unescape(has));
        }
        match (&self.literal, &self.text) {
            (Some(literal), _) => Some(unescape(literal)),
            (None, Some(text)) => longest_run(text).map(String::into_bytes),
            (None, None) => None,
        }
    }
}

impl Feature {
    /// The bytes whose occurrence leads to this feature.
    #[must_use]
    pub fn lead(&self) -> Option<Vec<u8>> {
        match (&self.has, &self.literal, &self.text) {
            (Some(has), _, _) => Some(unescape(has)),
            (_, Some(literal), _) => Some(unescape(literal)),
            (_, _, Some(text)) => longest_run(text).map(String::into_bytes),
            _ => None,
        }
    }
}

/// Whether an expression has a group that captures.
fn has_capture(expression: &str) -> bool {
    let mut bytes = expression.bytes().peekable();
    let mut class = false;
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => {
                bytes.next();
            }
            b'[' => class = true,
            b']' => class = false,
            b'(' if !class && bytes.peek() != Some(&b'?') => return true,
            _ => {}
        }
    }
    false
}

/// The longest run of characters that every match of `expression` contains, outside of groups. `None` where
/// there is no such run or an alternative stands outside of all groups.
#[must_use]
pub fn longest_run(expression: &str) -> Option<String> {
    let mut best = String::new();
    let mut run = String::new();
    let mut depth = 0u32;
    let mut chars = expression.chars().peekable();
    let mut close = |run: &mut String| {
        if run.len() > best.len() {
            best.clone_from(run);
        }
        run.clear();
    };
    while let Some(c) = chars.next() {
        let plain = match c {
            '{' if expression_is_version(&mut chars) => None,
            '\\' => match chars.next() {
                Some(e) if e.is_ascii_punctuation() || e == ' ' => Some(e),
                _ => None,
            },
            '[' => {
                // A `]` directly after `[` or `[^` belongs to the class.
                let mut first = true;
                while let Some(d) = chars.next() {
                    match d {
                        '\\' => {
                            chars.next();
                        }
                        '^' if first => continue,
                        ']' if !first => break,
                        _ => {}
                    }
                    first = false;
                }
                None
            }
            '(' => {
                depth = depth.saturating_add(1);
                None
            }
            ')' => {
                depth = depth.saturating_sub(1);
                None
            }
            '|' if depth == 0 => return None,
            '^' | '$' | '.' | '|' => None,
            '?' | '*' | '+' | '{' => {
                if c == '{' {
                    chars.by_ref().find(|d| *d == '}');
                }
                None
            }
            c => Some(c),
        };
        match plain {
            Some(p) if depth == 0 => {
                // What a quantifier follows may be absent.
                if matches!(chars.peek(), Some('?' | '*' | '{')) && !version_follows(&chars) {
                    close(&mut run);
                } else {
                    run.push(p);
                }
            }
            _ => close(&mut run),
        }
    }
    close(&mut run);
    (!best.is_empty()).then_some(best)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// After a `{`: whether `v}` follows; it is consumed then.
fn expression_is_version(chars: &mut Chars<'_>) -> bool {
    let mut ahead = chars.clone();
    if ahead.next() == Some('v') && ahead.next() == Some('}') {
        *chars = ahead;
        return true;
    }
    false
}

/// Whether `{v}` follows.
fn version_follows(chars: &Chars<'_>) -> bool {
    chars.clone().take(3).eq("{v}".chars())
}

/// `\0`, `\n`, `\t`, `\\` and `\xHH` as bytes.
#[must_use]
pub fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let after = after.get(1..).unwrap_or_default();
        let (byte, used) = match after.as_bytes().first() {
            Some(b'0') => (0, 1),
            Some(b'n') => (b'\n', 1),
            Some(b't') => (b'\t', 1),
            Some(b'r') => (b'\r', 1),
            Some(b'\\') => (b'\\', 1),
            Some(b'x') => match after.get(1..3).and_then(|h| u8::from_str_radix(h, 16).ok()) {
                Some(byte) => (byte, 3),
                None => (b'\\', 0),
            },
            _ => (b'\\', 0),
        };
        out.push(byte);
        rest = after.get(used..).unwrap_or_default();
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

/// Hexadecimal digits, blanks allowed, as bytes.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|p| u8::from_str_radix(p, 16).ok()))
        .collect()
}

/// Whether `text` fits `pattern`, in which `*` stands for any run of characters.
#[must_use]
pub fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at.saturating_add(part.len())..).unwrap_or_default();
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_runs() {
        assert_eq!(longest_run("^dnsmasq-{v}$").as_deref(), Some("dnsmasq-"));
        assert_eq!(
            longest_run(r"this is X \(version {v}\)").as_deref(),
            Some("this is X (version ")
        );
        assert_eq!(longest_run("abc?defg").as_deref(), Some("defg"));
        assert_eq!(longest_run("ab[x(]cde(?:fghijk|l)").as_deref(), Some("cde"));
        assert_eq!(longest_run("abc|defg"), None);
        assert_eq!(longest_run("{v} a{2,3}bc").as_deref(), Some("bc"));
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape(r"a\0\x2e\n\\q"), b"a\0.\n\\q");
        assert_eq!(unescape(r"\xzz\"), b"\\xzz\\");
    }

    #[test]
    fn globs() {
        assert!(glob("libfrr.so.*", "libfrr.so.0"));
        assert!(glob("libssl.so.*", "libssl.so.1.1"));
        assert!(!glob("libssl.so.*", "libssl3.so"));
        assert!(glob("libbind9-*.so", "libbind9-9.18.33-1~deb12u2-Debian.so"));
        assert!(glob("libz.so.1", "libz.so.1"));
        assert!(!glob("libz.so.1", "libz.so.12"));
    }
}
