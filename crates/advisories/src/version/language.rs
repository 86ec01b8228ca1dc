//! Orders of language ecosystems: Semantic Versioning 2.0, PEP 440, Maven's version order specification.

use std::cmp::Ordering;

/// Digits by value, whatever their length.
fn by_value(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn is_number(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

/// Semantic Versioning, tolerant of fewer or more than three numbers. Go's pseudo-versions order as pre-releases.
pub fn semver(a: &str, b: &str) -> Option<Ordering> {
    let parts = |v: &str| -> Option<(Vec<String>, Option<String>)> {
        let v = v.split('+').next()?;
        let (release, pre) = match v.split_once('-') {
            Some((r, p)) => (r, Some(p.to_owned())),
            None => (v, None),
        };
        let numbers: Vec<String> = release.split('.').map(str::to_owned).collect();
        numbers.iter().all(|n| is_number(n)).then_some((numbers, pre))
    };
    let ((ra, pa), (rb, pb)) = (parts(a)?, parts(b)?);
    let zero = String::from("0");
    let release = (0..ra.len().max(rb.len()))
        .map(|i| by_value(ra.get(i).unwrap_or(&zero), rb.get(i).unwrap_or(&zero)))
        .find(|o| *o != Ordering::Equal)
        .unwrap_or(Ordering::Equal);
    Some(release.then_with(|| match (pa, pb) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(pa), Some(pb)) => pre_releases(&pa, &pb),
    }))
}

fn pre_releases(a: &str, b: &str) -> Ordering {
    let (mut x, mut y) = (a.split('.'), b.split('.'));
    loop {
        let order = match (x.next(), y.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(p), Some(q)) => match (is_number(p), is_number(q)) {
                (true, true) => by_value(p, q),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => p.cmp(q),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Order within one release of PEP 440: development, alpha, beta, candidate, final, post.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pep {
    epoch: u64,
    release: Vec<u64>,
    // (phase, number): development releases of nothing are the lowest, final is 4.
    pre: (i8, u64),
    post: Option<u64>,
    dev: (bool, u64),
    local: Vec<(bool, u64, String)>,
}

/// PEP 440, with its spelling variants.
pub fn pep440(a: &str, b: &str) -> Option<Ordering> {
    Some(pep(a)?.cmp(&pep(b)?))
}

fn pep(v: &str) -> Option<Pep> {
    let v = v.to_ascii_lowercase();
    let (public, local) = match v.split_once('+') {
        Some((p, l)) => (p, Some(l)),
        None => (v.as_str(), None),
    };
    let (epoch, rest) = match public.split_once('!') {
        Some((e, rest)) => (e.parse().ok()?, rest),
        None => (0, public),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    let (numbers, mut tail) = rest.split_at(end);
    let mut release = Vec::new();
    for n in numbers.trim_end_matches('.').split('.') {
        release.push(n.parse().ok()?);
    }
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let (mut pre, mut post, mut dev) = (None, None, None);
    while !tail.is_empty() {
        tail = tail.trim_start_matches(['.', '-', '_']);
        let word_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (word, after) = tail.split_at(word_end);
        let after = after.trim_start_matches(['.', '-', '_']);
        let digits_end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (digits, next) = after.split_at(digits_end);
        if word.is_empty() && digits.is_empty() {
            return None;
        }
        let n: u64 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        match word {
            "a" | "alpha" => pre = Some((1, n)),
            "b" | "beta" => pre = Some((2, n)),
            "c" | "rc" | "pre" | "preview" => pre = Some((3, n)),
            "post" | "rev" | "r" | "" => post = Some(n),
            "dev" => dev = Some(n),
            _ => return None,
        }
        tail = next;
    }
    let phase = match (pre, post, dev) {
        (Some(p), _, _) => p,
        (None, None, Some(_)) => (0, 0),
        _ => (4, 0),
    };
    let local = local
        .map(|l| {
            l.split(['.', '-', '_'])
                .map(|p| match p.parse() {
                    Ok(n) => (true, n, String::new()),
                    Err(_) => (false, 0, p.to_owned()),
                })
                .collect()
        })
        .unwrap_or_default();
    Some(Pep { epoch, release, pre: phase, post, dev: (dev.is_none(), dev.unwrap_or(0)), local })
}

/// A token of a Maven version with the separator before it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Number(bool, String),
    Word(String),
}

/// Maven: `.` and `-` and every change between digit and letter separate; a number behind `-` is lower than one
/// behind `.`; known qualifiers have a fixed order around the release.
pub fn maven(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (maven_tokens(a), maven_tokens(b));
    // What a missing token counts as: a zero or an empty qualifier, by what stands against it.
    let rank = |t: Option<&Token>| -> (i8, String, String) {
        match t {
            None => (0, String::new(), String::new()),
            Some(Token::Word(w)) => match w.as_str() {
                "alpha" | "a" => (-5, String::new(), String::new()),
                "beta" | "b" => (-4, String::new(), String::new()),
                "milestone" | "m" => (-3, String::new(), String::new()),
                "rc" | "cr" => (-2, String::new(), String::new()),
                "snapshot" => (-1, String::new(), String::new()),
                "" | "ga" | "final" | "release" => (0, String::new(), String::new()),
                "sp" => (1, String::new(), String::new()),
                other => (2, other.to_owned(), String::new()),
            },
            Some(Token::Number(dash, n)) => (if *dash { 3 } else { 4 }, String::new(), n.clone()),
        }
    };
    for i in 0..a.len().max(b.len()) {
        let ((ra, wa, na), (rb, wb, nb)) = (rank(a.get(i)), rank(b.get(i)));
        let order = ra.cmp(&rb).then_with(|| wa.cmp(&wb)).then_with(|| by_value(&na, &nb));
        if order != Ordering::Equal {
            return Some(order);
        }
    }
    Some(Ordering::Equal)
}

fn maven_tokens(v: &str) -> Vec<Token> {
    let v = v.to_ascii_lowercase();
    let mut out: Vec<Token> = Vec::new();
    let mut text = String::new();
    let mut dash = false;
    let flush = |text: &mut String, dash: bool, out: &mut Vec<Token>| {
        if text.is_empty() {
            return;
        }
        let t = std::mem::take(text);
        out.push(if is_number(&t) { Token::Number(dash, t) } else { Token::Word(t) });
    };
    // Zeros and empty qualifiers before a hyphen or at the end mean nothing.
    let trim = |out: &mut Vec<Token>| {
        while out.len() > 1
            && match out.last() {
                Some(Token::Number(_, n)) => n.trim_start_matches('0').is_empty(),
                Some(Token::Word(w)) => matches!(w.as_str(), "ga" | "final" | "release"),
                None => false,
            }
        {
            out.pop();
        }
    };
    for c in v.chars() {
        let switches =
            text.chars().last().is_some_and(|l| l.is_ascii_digit() != c.is_ascii_digit());
        if matches!(c, '.' | '-' | '_') {
            flush(&mut text, dash, &mut out);
            dash = c != '.';
            if dash {
                trim(&mut out);
            }
        } else if switches {
            flush(&mut text, dash, &mut out);
            dash = true;
            trim(&mut out);
            text.push(c);
        } else {
            text.push(c);
        }
    }
    flush(&mut text, dash, &mut out);
    trim(&mut out);
    out
}
