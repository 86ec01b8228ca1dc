//! Versions as upstream projects in C write them.
//!
//! A version is a release (`1.0.2`), then tags. A tag has a rank: pre-releases stand below nothing, patch levels
//! above it. A word without a known meaning makes the comparison undecided, but only where the releases before it
//! are equal.
//!
//! Sources: release histories of OpenSSL, BusyBox, OpenSSH, ISC BIND and DHCP, NTP, sudo, curl, ncurses, Linux.

use std::cmp::Ordering;

use super::Scheme;

/// A part after the release.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    /// Below zero before the release, above zero after it; none for a word without a known meaning.
    rank: Option<i8>,
    /// Letters of a patch release, or the unknown word.
    word: String,
    /// Number behind the word.
    number: u64,
    /// Where the tag starts in the text.
    start: usize,
}

/// A version taken apart.
#[derive(Debug, Default)]
struct Parsed {
    release: Vec<u64>,
    tags: Vec<Tag>,
    /// A line of its own beside the numbers (`4.1-ESV`).
    line: bool,
}

const LETTER: i8 = 4;
const NUMBER: i8 = 5;

/// Rank of a word, and whether it takes a number. Words of the same rank mean the same.
fn rank(word: &str) -> Option<i8> {
    Some(match word {
        "dev" | "devel" | "git" | "snapshot" | "nightly" | "cvs" | "svn" => -60,
        "a" | "alpha" => -50,
        "b" | "beta" => -40,
        "pre" | "preview" | "prerelease" | "test" | "unstable" => -30,
        "c" | "rc" | "cr" | "releasecandidate" => -20,
        "r" | "rev" | "revision" | "release" => 10,
        "post" | "u" | "update" | "build" | "bp" => 15,
        "p" | "pl" | "patch" | "patchlevel" | "sp" | "w" | "s" | "cert" => 20,
        _ => return None,
    })
}

/// Words that say nothing about the order.
fn neutral(scheme: Scheme, word: &str) -> bool {
    matches!(word, "final" | "ga" | "stable" | "lts")
        || (scheme == Scheme::OpenSsl && matches!(word, "fips" | "engine" | "quic"))
        || (scheme == Scheme::Isc && word == "esv")
}

pub fn compare(scheme: Scheme, a: &str, b: &str) -> Option<Ordering> {
    let (pa, pb) = (parse(scheme, a)?, parse(scheme, b)?);
    let order = numbers(&pa.release, &pb.release);
    // Numbers in front of a line of its own order it against other numbers only.
    if pa.line != pb.line && pa.release.iter().take(2).eq(pb.release.iter().take(2)) {
        return None;
    }
    if scheme == Scheme::Kernel
        && order != Ordering::Equal
        && (hides(a, &pa, &pb) || hides(b, &pb, &pa))
    {
        return None;
    }
    if order != Ordering::Equal {
        return Some(order);
    }
    let (mut x, mut y) = (pa.tags.iter(), pb.tags.iter());
    loop {
        return match (x.next(), y.next()) {
            (None, None) => Some(Ordering::Equal),
            (Some(t), None) => Some(t.rank?.cmp(&0)),
            (None, Some(t)) => Some(0.cmp(&t.rank?)),
            (Some(t), Some(u)) if (t.rank, &t.word, t.number) == (u.rank, &u.word, u.number) => {
                continue;
            }
            (Some(t), Some(u)) => {
                let letters = t.word.len().cmp(&u.word.len()).then_with(|| t.word.cmp(&u.word));
                match t.rank?.cmp(&u.rank?).then(letters).then(t.number.cmp(&u.number)) {
                    Ordering::Equal => continue,
                    other => Some(other),
                }
            }
        };
    }
}

/// Compares as if the shorter one went on with zeros.
fn numbers(a: &[u64], b: &[u64]) -> Ordering {
    (0..a.len().max(b.len()))
        .map(|i| a.get(i).unwrap_or(&0).cmp(b.get(i).unwrap_or(&0)))
        .find(|o| *o != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// A distribution's kernel name such as `5.10.0-21-amd64` keeps the patch level to itself: within the same line it
/// is not known where it stands.
fn hides(text: &str, own: &Parsed, other: &Parsed) -> bool {
    let Some((base, rest)) = text.split_once('-') else { return false };
    base.split('.').nth(2) == Some("0")
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && own.release.iter().take(2).eq(other.release.iter().take(2))
}

/// The version has a tag that starts with this word.
pub fn has_word(version: &str, word: &str) -> bool {
    version.to_ascii_lowercase().split(['-', '_', '.']).any(|part| {
        part.strip_prefix(word)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

pub fn split_update(scheme: Scheme, version: &str) -> (String, String) {
    let whole = || (version.to_owned(), String::new());
    let Some(parsed) = parse(scheme, version) else { return whole() };
    let is_update = |t: &&Tag| t.rank != Some(LETTER) && t.rank != Some(NUMBER);
    let Some(start) = parsed.tags.iter().find(is_update).map(|t| t.start) else { return whole() };
    let (base, update) = version.split_at(start);
    (
        base.trim_end_matches(['-', '_', '.', '~', '+']).to_owned(),
        update.trim_start_matches(['-', '_', '.', '~']).to_ascii_lowercase(),
    )
}

/// Takes a version apart; none where it does not start with a number or a number is absurdly long.
fn parse(scheme: Scheme, text: &str) -> Option<Parsed> {
    let lower = text.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    let mut out = Parsed::default();
    let mut at = 0;
    // The release: numbers joined by dots.
    loop {
        let end = run(bytes, at, u8::is_ascii_digit);
        match lower.get(at..end)? {
            "" if bytes.get(at) == Some(&b'*') => {
                out.release.push(u64::MAX);
                at += 1;
                break;
            }
            "" => break,
            digits => {
                if scheme == Scheme::BusyBox
                    && out.release.len() == 1
                    && digits.len() == 2
                    && digits.starts_with('0')
                {
                    out.release.extend([0, 0]);
                }
                out.release.push(number(digits)?);
            }
        }
        at = end;
        let joins = |c: u8| {
            c == b'.'
                || (scheme == Scheme::Ncurses && c == b'-')
                || (scheme == Scheme::Date && matches!(c, b'-' | b'_' | b'.'))
        };
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(&c), Some(n)) if joins(c) && (n.is_ascii_digit() || *n == b'*') => at += 1,
            _ => break,
        }
    }
    if out.release.is_empty() {
        return None;
    }
    if scheme == Scheme::Kernel {
        kernel_tags(&lower, at, &mut out)?;
        return Some(out);
    }
    while at < bytes.len() {
        let start = at;
        let separator = bytes.get(at).copied().unwrap_or(0);
        let attached = !matches!(separator, b'-' | b'_' | b'.' | b'~' | b'+' | b':');
        // Build metadata after a plus says nothing about the order.
        if separator == b'+' {
            break;
        }
        if !attached {
            at += 1;
        }
        let word_end = run(bytes, at, u8::is_ascii_alphabetic);
        let mut word = lower.get(at..word_end)?.to_owned();
        at = word_end;
        let mut digits_end = run(bytes, at, u8::is_ascii_digit);
        // `rc-2`, `beta.4`, `patch_1`: the number may stand apart from its word.
        if digits_end == at
            && word.len() > 1
            && rank(&word).is_some()
            && matches!(bytes.get(at), Some(b'-' | b'_' | b'.'))
        {
            let apart = run(bytes, at + 1, u8::is_ascii_digit);
            if apart > at + 1 {
                at += 1;
                digits_end = apart;
            }
        }
        let digits = lower.get(at..digits_end)?;
        let has_number = !digits.is_empty();
        let value = if has_number { number(digits)? } else { 0 };
        at = digits_end;
        if word.is_empty() && !has_number {
            // A separator alone, or a character that versions do not have.
            if attached {
                out.tags.push(Tag {
                    rank: None,
                    word: lower.get(start..)?.to_owned(),
                    number: 0,
                    start,
                });
                break;
            }
            continue;
        }
        // The hash of `git describe` follows its count and orders nothing.
        if word == "g" && out.tags.last().is_some_and(|t| t.rank == Some(NUMBER)) {
            break;
        }
        if neutral(scheme, &word) && !has_number {
            out.line |= word == "esv";
            continue;
        }
        let letters = word.len() == 1 || (word.len() == 2 && word.starts_with('z'));
        let tag_rank = if word.is_empty() {
            Some(if separator == b'~' { -10 } else { NUMBER })
        } else if attached && letters && !has_number && out.tags.is_empty() {
            Some(LETTER)
        } else {
            rank(&word)
        };
        // Portable OpenSSH: p1 is the release itself.
        if scheme == Scheme::OpenSsh && word == "p" && value == 1 {
            continue;
        }
        if tag_rank.is_some() && tag_rank != Some(LETTER) {
            word.clear();
        }
        out.tags.push(Tag { rank: tag_rank, word, number: value, start });
    }
    Some(out)
}

/// After a kernel's numbers only `-rcN` orders; `-next` and the rest are names given by who built it.
fn kernel_tags(text: &str, at: usize, out: &mut Parsed) -> Option<()> {
    let rest = text.get(at..)?;
    if let Some(candidate) = rest
        .strip_prefix("-rc")
        .or_else(|| rest.strip_prefix("~rc"))
        .or_else(|| rest.strip_prefix("rc"))
    {
        let end = run(candidate.as_bytes(), 0, u8::is_ascii_digit);
        let digits = candidate.get(..end)?;
        out.tags.push(Tag {
            rank: Some(-20),
            word: String::new(),
            number: number(digits)?,
            start: at,
        });
    }
    Some(())
}

/// Where the run of bytes that are `like` ends.
fn run(bytes: &[u8], from: usize, like: impl Fn(&u8) -> bool) -> usize {
    from + bytes.iter().skip(from).take_while(|b| like(b)).count()
}

/// Digits as a number; none where they do not fit.
fn number(digits: &str) -> Option<u64> {
    if digits.is_empty() { Some(0) } else { digits.parse().ok().filter(|n| *n < u64::MAX) }
}
