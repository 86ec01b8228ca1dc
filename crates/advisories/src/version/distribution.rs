//! Orders of package managers, each re-derived from its manual: deb-version(7), rpm-version(7), apk-package(5).

use std::{cmp::Ordering, iter::Peekable, str::Chars};

/// dpkg: `[epoch:]upstream[-revision]`; a tilde sorts before the end, letters before other characters.
pub fn deb(a: &str, b: &str) -> Option<Ordering> {
    let (ea, va, ra) = deb_parts(a)?;
    let (eb, vb, rb) = deb_parts(b)?;
    Some(ea.cmp(&eb).then_with(|| deb_part(va, vb)).then_with(|| deb_part(ra, rb)))
}

fn deb_parts(v: &str) -> Option<(u64, &str, &str)> {
    let (epoch, rest) = match v.split_once(':') {
        Some((e, rest)) => (e.parse().ok()?, rest),
        None => (0, v),
    };
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    Some((epoch, upstream, revision))
}

fn deb_part(a: &str, b: &str) -> Ordering {
    // The end sorts after a tilde and before everything else.
    let weight = |c: Option<&char>| match c {
        Some('~') => -1,
        None => 0,
        Some(c) if c.is_ascii_digit() => 0,
        Some(c) if c.is_ascii_alphabetic() => i64::from(u32::from(*c)),
        Some(c) => i64::from(u32::from(*c)) + 256,
    };
    let (mut x, mut y) = (a.chars().peekable(), b.chars().peekable());
    loop {
        while x.peek().is_some_and(|c| !c.is_ascii_digit())
            || y.peek().is_some_and(|c| !c.is_ascii_digit())
        {
            match weight(x.peek()).cmp(&weight(y.peek())) {
                Ordering::Equal => {
                    x.next();
                    y.next();
                }
                other => return other,
            }
        }
        match digits(&mut x, &mut y) {
            Ordering::Equal if x.peek().is_none() && y.peek().is_none() => return Ordering::Equal,
            Ordering::Equal => {}
            other => return other,
        }
    }
}

/// Compares the numbers at both heads by value, whatever their length.
fn digits(x: &mut Peekable<Chars<'_>>, y: &mut Peekable<Chars<'_>>) -> Ordering {
    let (a, b) = (take(x, |c| c.is_ascii_digit()), take(y, |c| c.is_ascii_digit()));
    by_value(&a, &b)
}

fn by_value(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn take(chars: &mut Peekable<Chars<'_>>, like: impl Fn(&char) -> bool) -> String {
    let mut out = String::new();
    while let Some(c) = chars.next_if(&like) {
        out.push(c);
    }
    out
}

/// RPM: `[epoch:]version[-release]`; a release is compared only where both have one.
pub fn rpm(a: &str, b: &str) -> Option<Ordering> {
    let parts = |v: &str| -> Option<(u64, String, Option<String>)> {
        let (epoch, rest) = match v.split_once(':') {
            Some((e, rest)) => (e.parse().ok()?, rest),
            None => (0, v),
        };
        let (version, release) = match rest.split_once('-') {
            Some((v, r)) => (v, Some(r.to_owned())),
            None => (rest, None),
        };
        Some((epoch, version.to_owned(), release))
    };
    let ((ea, va, ra), (eb, vb, rb)) = (parts(a)?, parts(b)?);
    let releases = match (ra, rb) {
        (Some(ra), Some(rb)) => rpm_part(&ra, &rb),
        (None, None) => Ordering::Equal,
        // A release may stand on either side of nothing.
        _ if ea == eb && rpm_part(&va, &vb) == Ordering::Equal => return None,
        _ => Ordering::Equal,
    };
    Some(ea.cmp(&eb).then_with(|| rpm_part(&va, &vb)).then(releases))
}

fn rpm_part(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.chars().peekable(), b.chars().peekable());
    let separator = |c: &char| !c.is_ascii_alphanumeric() && !matches!(c, '~' | '^');
    loop {
        take(&mut x, separator);
        take(&mut y, separator);
        match (x.peek().copied(), y.peek().copied()) {
            (Some('~'), Some('~')) | (Some('^'), Some('^')) => {
                x.next();
                y.next();
            }
            (Some('~'), _) => return Ordering::Less,
            (_, Some('~')) => return Ordering::Greater,
            (Some('^'), None) => return Ordering::Greater,
            (None, Some('^')) => return Ordering::Less,
            (Some('^'), Some(_)) => return Ordering::Less,
            (Some(_), Some('^')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(p), Some(q)) => {
                let order = match (p.is_ascii_digit(), q.is_ascii_digit()) {
                    (true, true) => digits(&mut x, &mut y),
                    // A number is newer than a word.
                    (true, false) => return Ordering::Greater,
                    (false, true) => return Ordering::Less,
                    (false, false) => {
                        let word = |c: &char| c.is_ascii_alphabetic();
                        take(&mut x, word).cmp(&take(&mut y, word))
                    }
                };
                if order != Ordering::Equal {
                    return order;
                }
            }
        }
    }
}

/// A version of apk taken apart.
struct Apk {
    numbers: Vec<String>,
    letter: Option<char>,
    suffixes: Vec<(i8, u64)>,
    revision: u64,
}

/// apk: `number{.number}[letter]{_suffix[number]}[~hash][-rN]`.
pub fn apk(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (apk_parts(a)?, apk_parts(b)?);
    let numbers = || {
        for i in 0..a.numbers.len().max(b.numbers.len()) {
            let order = match (a.numbers.get(i), b.numbers.get(i)) {
                (Some(x), Some(y)) if i > 0 && (x.starts_with('0') || y.starts_with('0')) => {
                    // After a dot a leading zero makes it a fraction.
                    x.trim_end_matches('0').cmp(y.trim_end_matches('0'))
                }
                (Some(x), Some(y)) => by_value(x, y),
                (x, y) => x.is_some().cmp(&y.is_some()),
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    };
    let suffixes = || {
        for i in 0..a.suffixes.len().max(b.suffixes.len()) {
            let order = match (a.suffixes.get(i), b.suffixes.get(i)) {
                (Some(x), Some(y)) => x.cmp(y),
                (Some((x, _)), None) => x.cmp(&0),
                (None, Some((y, _))) => 0.cmp(y),
                (None, None) => Ordering::Equal,
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    };
    Some(
        numbers()
            .then(a.letter.cmp(&b.letter))
            .then_with(suffixes)
            .then(a.revision.cmp(&b.revision)),
    )
}

fn apk_parts(v: &str) -> Option<Apk> {
    let (body, revision) = match v.rsplit_once("-r") {
        Some((body, r)) if !r.is_empty() && r.bytes().all(|b| b.is_ascii_digit()) => {
            (body, r.parse().ok()?)
        }
        _ => (v, 0),
    };
    let body = body.split_once('~').map_or(body, |(b, _)| b);
    let mut parts = body.split('_');
    let first = parts.next()?;
    let (numeric, letter) = match first.chars().last()? {
        c if c.is_ascii_alphabetic() => (first.get(..first.len() - 1)?, Some(c)),
        _ => (first, None),
    };
    let numbers: Vec<String> = numeric.split('.').map(str::to_owned).collect();
    if numbers
        .iter()
        .any(|n| n.is_empty() || n.len() > 18 || !n.bytes().all(|b| b.is_ascii_digit()))
    {
        return None;
    }
    let mut suffixes = Vec::new();
    for part in parts {
        let word = part.trim_end_matches(|c: char| c.is_ascii_digit());
        let rank = match word {
            "alpha" => -4,
            "beta" => -3,
            "pre" => -2,
            "rc" => -1,
            "cvs" => 1,
            "svn" => 2,
            "git" => 3,
            "hg" => 4,
            "p" => 5,
            _ => return None,
        };
        let digits = part.get(word.len()..)?;
        suffixes.push((rank, if digits.is_empty() { 0 } else { digits.parse().ok()? }));
    }
    Some(Apk { numbers, letter, suffixes, revision })
}
