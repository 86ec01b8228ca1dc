//! Mbed TLS's own advisories as JSON lines: CVE ids, the versions that fix, and a text about what is affected.
//!
//! The text is read clause by clause for what it says of Mbed TLS and PolarSSL: `all versions`, `from A to B`, `A through
//! B`, `up to B`, `before B`, `A and up`, single releases; clauses about the crypto libraries are about other products.
//! From a fixing release to the end of its branch (`major.minor`) is fixed. Below the first affected version nothing is
//! affected; between two ranges, above the last without a fix there, and where the text gives no range, nothing is said.
//!
//! The list of fixing versions mixes releases with branches (`3.6`), with releases of the crypto libraries, and with
//! versions of protocols. A release has three numbers. It is one of Mbed TLS where it lies above the end of an affected
//! range; where no range has an end and a crypto library is named too, only where its second number is above 1, which
//! no release of those has. Of two fixes in one branch the later counts.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    feed::{
        Format, Item, Origin, Parsed, Set, Shape,
        json::{self, Text, or_default},
    },
    record::{Range, Record, Statement, Status, Subject},
};

/// Lines of advisories.
pub const FORMAT: Format = Format {
    id: "mbedtls",
    shape: Shape::Document,
    claims: |keys| keys.top(&["id", "cves", "affects", "fixed_versions"]),
    parse,
};

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    cves: Vec<Text<'a>>,
    #[serde(borrow, default)]
    date: Text<'a>,
    #[serde(borrow, default)]
    affects: Text<'a>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    fixed_versions: Vec<Text<'a>>,
}

/// Day of `5th of October 2015 (...)` or `10th March 2017`.
fn day(text: &str) -> Option<i32> {
    let mut words = text.split_whitespace().filter(|w| *w != "of");
    let digits = |w: &str| w.chars().take_while(char::is_ascii_digit).collect::<String>();
    let day = digits(words.next()?).parse().ok()?;
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let word = words.next()?;
    let month = (1_u32..).zip(months).find(|(_, m)| word.get(..3) == Some(m))?.0;
    crate::date::from_civil(digits(words.next()?).parse().ok()?, month, day)
}

/// A version in order: its numbers, padded, and whether it is a release (`4.0.0-beta` comes before `4.0.0`).
type Order = ([u32; 4], bool);

/// A version of up to four plain numbers, perhaps with a suffix.
fn order(version: &str) -> Option<Order> {
    let (numbers, release) = match version.split_once('-') {
        Some((numbers, _)) => (numbers, false),
        None => (version, true),
    };
    let mut out = [0; 4];
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > out.len() {
        return None;
    }
    for (slot, part) in out.iter_mut().zip(parts) {
        if !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *slot = part.parse().ok()?;
    }
    Some((out, release))
}

/// An affected range; an open lower end is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Span {
    from: Option<String>,
    to: Option<(String, bool)>,
}

impl Span {
    /// A single version.
    fn is_one(&self) -> bool {
        matches!((&self.from, &self.to), (Some(a), Some((b, true))) if a == b)
    }
}

/// A word of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    /// Mbed TLS or PolarSSL; false for another product.
    Product(bool),
    Version(String),
    /// `from`, `since`.
    From,
    /// `to`, `through`, `up to`.
    To,
    /// `before`, `prior to`.
    Before,
    /// `and up`, `and later`.
    Up,
    /// `and earlier`.
    Down,
    All,
    /// What may stand between the others without changing them.
    Filler,
    Other,
}

fn words(text: &str) -> Vec<Word> {
    // Without mark-up.
    let plain = |piece: &str| piece.split_once('>').map_or(piece.to_owned(), |(_, t)| t.to_owned());
    let text: Vec<String> = text.split('<').map(plain).collect();
    let text = text.join(" ").replace([';', '`'], " ").to_lowercase();
    let raw: Vec<&str> = text
        .split_whitespace()
        .map(|w| w.trim_matches([',', '.', ':', '(', ')', '*']))
        .filter(|w| !w.is_empty())
        .collect();
    let mut out = Vec::new();
    let mut rest = raw.as_slice();
    while let [first, tail @ ..] = rest {
        let (word, taken) = match (*first, tail) {
            ("mbed", ["tls", ..]) => (Word::Product(true), 2),
            ("mbedtls" | "polarssl", _) => (Word::Product(true), 1),
            ("mbed", ["crypto", ..]) => (Word::Product(false), 2),
            ("tf-psa-crypto", _) => (Word::Product(false), 1),
            ("from" | "since", _) => (Word::From, 1),
            ("up", ["to", ..]) => (Word::To, 2),
            ("to" | "through", _) => (Word::To, 1),
            ("before", _) => (Word::Before, 1),
            ("prior", ["to", ..]) => (Word::Before, 2),
            ("and", ["up" | "upwards" | "later" | "above" | "newer", ..]) => (Word::Up, 2),
            ("upwards", _) => (Word::Up, 1),
            ("and", ["earlier" | "below", ..]) => (Word::Down, 2),
            ("all", _) => (Word::All, 1),
            (
                "and" | "or" | "including" | "included" | "inclusive" | "of" | "version"
                | "versions" | "release" | "releases" | "library" | "only",
                _,
            ) => (Word::Filler, 1),
            (w, _) if order(w).is_some() => (Word::Version(w.to_owned()), 1),
            _ => (Word::Other, 1),
        };
        out.push(word);
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// What the text says is affected, and whether it names another product too.
fn affected(text: &str) -> (Vec<Span>, bool) {
    let all = words(text);
    let foreign = all.contains(&Word::Product(false));
    let mut spans: Vec<Span> = Vec::new();
    // The product spoken of; the word that waits for a version; `all` before the product, and after it as long as no
    // version has come; a version came and only fillers since.
    let (mut ours, mut waits, mut every, mut whole, mut joined) =
        (false, None, false, false, false);
    for word in &all {
        match word {
            Word::Product(own) => {
                if whole && ours {
                    spans.push(Span::default());
                }
                if !own {
                    waits = None;
                }
                (whole, ours, joined) = (every, *own, false);
            }
            Word::All => every = true,
            Word::From | Word::To | Word::Before => (waits, joined) = (Some(word), false),
            Word::Up | Word::Down => {
                if ours
                    && let Some(last) = spans.last_mut()
                    && last.is_one()
                {
                    match word {
                        Word::Up => last.to = None,
                        _ => last.from = None,
                    }
                }
            }
            Word::Version(version) if ours => {
                let to = |closed| Some((version.clone(), closed));
                let open =
                    spans.last().is_some_and(|s| s.from.is_some() && s.to.is_none() || s.is_one());
                match (waits.take(), spans.last_mut()) {
                    (Some(Word::From), _) => {
                        spans.push(Span { from: Some(version.clone()), to: None })
                    }
                    (Some(w), Some(last)) if open => last.to = to(*w == Word::To),
                    (Some(w), _) => spans.push(Span { from: None, to: to(*w == Word::To) }),
                    // "Before A and B", "up to A and B": an end for each branch.
                    (None, Some(Span { from: None, to: Some((_, closed)) })) if joined => {
                        let closed = *closed;
                        spans.push(Span { from: None, to: to(closed) });
                    }
                    _ => spans.push(Span { from: Some(version.clone()), to: to(true) }),
                }
                (whole, every, joined) = (false, false, true);
            }
            Word::Version(_) => (whole, every, waits) = (false, false, None),
            Word::Filler => {}
            Word::Other => (waits, every, joined) = (None, false, false),
        }
    }
    if whole && ours {
        spans.push(Span::default());
    }
    (spans, foreign)
}

/// The ranges of the record: what is said later outranks.
fn ranges(text: &str, fixed: &[Text<'_>]) -> Vec<(Range, Status)> {
    let (spans, foreign) = affected(text);
    let end = |s: &Span| s.to.as_ref().and_then(|(v, closed)| Some((order(v)?, *closed)));
    let mut branches: BTreeMap<(u32, u32), (Order, String)> = BTreeMap::new();
    for version in fixed.iter().filter(|v| v.split('.').count() == 3) {
        let Some(at @ ([major, minor, ..], true)) = order(version) else { continue };
        let ours = if spans.iter().any(|s| s.to.is_some()) {
            spans.iter().filter_map(end).any(|(e, closed)| e < at || e == at && !closed)
        } else {
            !foreign || minor > 1
        };
        if ours {
            let slot = branches.entry((major, minor)).or_insert_with(|| (at, version.to_string()));
            if slot.0 < at {
                *slot = (at, version.to_string());
            }
        }
    }
    let range = |from: Option<&str>, to: Option<(&str, bool)>| Range {
        scheme: String::new(),
        from: from.map(|v| (v.to_owned(), true)),
        to: to.map(|(v, closed)| (v.to_owned(), closed)),
    };
    let newest = branches.values().next_back();
    let last = spans.iter().filter_map(end).map(|(e, _)| e).max();
    let mut out = Vec::new();
    // The first affected version; a fix below it contradicts it, and then nothing is said of what lies below.
    let first = spans.iter().map(|s| s.from.as_deref()).min_by_key(|f| f.and_then(order)).flatten();
    if let Some(first) = first
        && branches.values().all(|(fix, _)| Some(*fix) > order(first))
    {
        out.push((range(None, Some((first, false))), Status::NotAffected));
    }
    if let Some((at, version)) = newest
        && last.is_none_or(|l| l <= *at)
    {
        out.push((range(Some(version), None), Status::Fixed));
    }
    for span in &spans {
        let to = match (&span.to, newest) {
            (Some((v, closed)), _) => Some((v.as_str(), *closed)),
            (None, Some((_, newest))) => Some((newest.as_str(), false)),
            // Neither an end nor a fix: how far it reaches is not said.
            (None, None) => continue,
        };
        out.push((range(span.from.as_deref(), to), Status::Affected));
    }
    for ((major, minor), (_, version)) in &branches {
        let next = format!("{major}.{}", minor.saturating_add(1));
        out.push((range(Some(version), Some((&next, false))), Status::Fixed));
    }
    out
}

fn parse(text: &[u8], _: &Origin) -> Result<Parsed, String> {
    let line: Line<'_> = json::from(text)?;
    let ranges = ranges(&line.affects, &line.fixed_versions);
    let cves: Vec<String> = line
        .cves
        .iter()
        .map(|c| c.to_string())
        .filter(|c| crate::key::cve_number(c).is_some())
        .collect();
    let statement = |name: &str| Statement {
        subject: Subject::Package { ecosystem: "generic".into(), name: name.into() },
        default: Status::Unknown,
        ranges: ranges.clone(),
        files: Vec::new(),
        functions: Vec::new(),
        reason: None,
        added: false,
    };
    let record = Record {
        feed: "mbedtls".into(),
        id: line.id.to_string(),
        cves: json::distinct(cves),
        published: day(&line.date),
        statements: vec![statement("mbedtls")],
        ..Record::default()
    };
    Ok(Parsed { set: Set::loose("mbedtls"), items: vec![Item::Record(Box::new(record), None)] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Affected ranges in the notation of intervals.
    fn spans(text: &str) -> String {
        let show = |s: &Span| {
            let from = s.from.as_ref().map_or("(".to_owned(), |v| format!("[{v}"));
            let to = s.to.as_ref().map_or(")".to_owned(), |(v, closed)| {
                format!("{v}{}", if *closed { "]" } else { ")" })
            });
            format!("{from},{to}")
        };
        affected(text).0.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn texts() {
        let cases = [
            ("mbed TLS 1.4 and up", "[1.4,)"),
            ("PolarSSL 1.0 and up", "[1.0,)"),
            (
                "All versions of Mbed TLS from version 1.3.0 and up, including<br>all 2.1 and later releases",
                "[1.3.0,) [2.1,)",
            ),
            (
                "All versions of Mbed TLS from version 1.2 upwards, including all 2.1, 2.7 and later releases",
                "[1.2,) [2.1,2.1] [2.7,)",
            ),
            ("All versions of Mbed TLS", "(,)"),
            ("All versions of PolarSSL and Mbed TLS", "(,) (,)"),
            ("All versions of Mbed TLS and Mbed Crypto", "(,)"),
            ("All versions of Mbed TLS up to and including 2.28.0 and 3.1.0", "(,2.28.0] (,3.1.0]"),
            ("Mbed TLS 3.2.0 and above", "[3.2.0,)"),
            (
                "All versions of Mbed TLS from 2.18.0 to 2.28.7 and from 3.0.0 to 3.5.2; all versions of Mbed Crypto",
                "[2.18.0,2.28.7] [3.0.0,3.5.2]",
            ),
            ("Mbed TLS 3.6.0", "[3.6.0,3.6.0]"),
            ("Mbed TLS 3.5.0 to 3.6.1 included", "[3.5.0,3.6.1]"),
            (
                "Mbed TLS versions 3.5.0 up to and including 3.6.5, and 4.0.0",
                "[3.5.0,3.6.5] [4.0.0,4.0.0]",
            ),
            (
                "All versions of Mbed TLS up to 3.6.5; all versions of TF-PSA-Crypto up to 1.0.0",
                "(,3.6.5]",
            ),
            ("TF-PSA-Crypto 1.0 and all versions of Mbed TLS up to 3.6.5", "(,3.6.5]"),
            (
                "All versions of Mbed TLS from 3.5.0 up to 3.6.5, TF-PSA-Crypto 1.0.0",
                "[3.5.0,3.6.5]",
            ),
            (
                "Mbed TLS 2.12.0 through 3.6.6; Mbed TLS 4.0.0-beta through 4.1.0; TF-PSA-Crypto 1.0.0-beta through 1.1.0",
                "[2.12.0,3.6.6] [4.0.0-beta,4.1.0]",
            ),
            (
                "Mbed TLS 3.5.0 through 3.6.6, all Mbed TLS 4 versions up to 4.1.1",
                "[3.5.0,3.6.6] [4,4.1.1]",
            ),
            (
                "Mbed TLS up to 3.6.6 and earlier; Mbed TLS 4.0.0 and 4.1.0",
                "(,3.6.6] [4.0.0,4.0.0] [4.1.0,4.1.0]",
            ),
            (
                "<li>`badmac_seen`: Mbed TLS releases up to 3.6.2, Mbed TLS 4.0.0</li><li>`dtls_srtp_info`: Mbed TLS from 2.25.0 up to 3.6.6</li>",
                "(,3.6.2] [4.0.0,4.0.0] [2.25.0,3.6.6]",
            ),
            (
                "PolarSSL library 0.14.0 and earlier and PolarSSL 0.99-pre1",
                "(,0.14.0] [0.99-pre1,0.99-pre1]",
            ),
            (
                "all checked SSL libraries including PolarSSL versions prior to<br>PolarSSL 1.2.6",
                "(,1.2.6)",
            ),
            ("PolarSSL versions prior to 1.1.7 or 1.2.8", "(,1.1.7) (,1.2.8)"),
            ("PolarSSL 0.99-pre4 up to and including PolarSSL 1.1.1", "[0.99-pre4,1.1.1]"),
            ("All version of PolarSSL prior to 1.1.0", "(,1.1.0)"),
            ("PolarSSL not affected", ""),
            ("The SSL v3 protocol", ""),
        ];
        for (text, want) in cases {
            assert_eq!(spans(text), want, "{text}");
        }
        assert_eq!(day("5th of October 2015 ( **Updated**"), crate::date::day("2015-10-05"));
        assert_eq!(day("28th August 2017"), crate::date::day("2017-08-28"));
    }

    /// The status of each version by the ranges of an advisory.
    fn told(text: &str, fixed: &[&str], versions: &[&str]) -> String {
        let fixed: Vec<Text<'_>> = fixed.iter().map(|v| Text((*v).into())).collect();
        let ranges = ranges(text, &fixed);
        let one = |version: &&str| {
            let scheme = crate::version::Scheme::Generic;
            let held = ranges.iter().rfind(|(r, _)| scheme.contains(r, version) == Some(true));
            held.map_or('?', |(_, s)| match s {
                Status::Affected => 'A',
                Status::Fixed => 'F',
                Status::NotAffected => 'N',
                Status::Unknown => 'U',
            })
        };
        versions.iter().map(one).collect()
    }

    #[test]
    fn branches() {
        let versions = ["1.3.5", "1.3.19", "1.4", "2.1.6", "2.1.7", "2.4.1", "2.4.2", "3.0.0"];
        let told_of = |fixed: &[&str]| told("mbed TLS 1.4 and up", fixed, &versions);
        assert_eq!(told_of(&["2.1.7", "2.4.2"]), "NNAAFAFF");
        // A fix below the first affected version contradicts it.
        assert_eq!(told_of(&["1.3.19", "2.1.7", "2.4.2"]), "?FAAFAFF");
        assert_eq!(told_of(&[]), "NN??????");
    }

    #[test]
    fn a_branch_is_no_release() {
        let text = "all versions of Mbed TLS up to 3.6.6; Mbed TLS 4.0.0 to 4.1.0";
        let fixed = ["3.6", "3.6.7", "4.1", "4.1.1", "4.2.0"];
        let versions =
            ["2.28.0", "3.6.0", "3.6.6", "3.6.7", "4.0.0", "4.1.0", "4.1.1", "4.2.0", "4.3.0"];
        assert_eq!(told(text, &fixed, &versions), "AAAFAAFFF");
    }

    #[test]
    fn an_end_for_each_branch() {
        let text = "All versions of Mbed TLS up to and including 2.28.6 and 3.5.1";
        let versions = ["2.16.0", "2.28.6", "2.28.7", "3.0.0", "3.5.1", "3.5.2"];
        assert_eq!(told(text, &["2.28.7", "3.5.2"], &versions), "AAFAAF");
    }

    #[test]
    fn other_products_fix_nothing() {
        let versions = ["1.0.0", "2.0.0", "2.16.2", "2.16.3", "2.19.0", "3.0.0"];
        let text = "All versions of Mbed TLS and Mbed Crypto";
        assert_eq!(told(text, &["2.0.0", "2.16.3", "2.19.0", "2.7.12"], &versions), "AAAFFF");
        let versions = ["1.0.0", "1.1.0", "3.6.4", "3.6.5", "4.0.0"];
        assert_eq!(
            told("All versions of Mbed TLS up to 3.6.4", &["1.0.0", "3.6.5"], &versions),
            "AAAFF"
        );
        // What lies above the last affected version is fixed only by a fix there.
        let text =
            "Mbed TLS 2.12.0 through 3.6.6; Mbed TLS 4.0.0-beta through 4.1.0; TF-PSA-Crypto 1.1.0";
        let versions = ["2.11.0", "2.12.0", "3.6.7", "4.0.0-rc1", "4.1.0", "4.1.1"];
        assert_eq!(told(text, &["1.1.1", "1.2.0", "3.6", "3.6.7"], &versions), "NAFAA?");
    }
}
