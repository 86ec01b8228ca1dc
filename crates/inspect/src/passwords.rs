//! The bounded public list of passwords, and how candidates are tried.
//!
//! The list is data: `catalogue/passwords/defaults.txt`, with its source and
//! revision. A candidate that verifies is reported by list and position, never in
//! clear.

use std::sync::LazyLock;

use proofmark_model::{Digest, fact::Guessed};

use crate::crypt::Hash;

/// Text of the list.
pub const DEFAULTS: &str = include_str!("../../../catalogue/passwords/defaults.txt");

/// Id of the list as findings name it, with the revision that stands in the file.
static LIST: LazyLock<(String, Vec<&'static str>)> = LazyLock::new(|| {
    let field = |key| DEFAULTS.lines().find_map(|l| l.strip_prefix(key)).unwrap_or("").trim();
    let id = format!("{}@{}", field("# id:"), field("# revision:"));
    (id, DEFAULTS.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect())
});

/// Work that one account store may cost, in about microseconds of one core.
const STORE: u64 = 150_000;
/// A hash is tried with this many candidates even if that is more than its share ...
const AT_LEAST: u64 = 6;
/// ... unless one verification costs more than this.
const DEAREST: u64 = 60_000;

/// What trying the list against a hash gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The candidate that verified.
    pub guessed: Option<Guessed>,
    /// Candidates tried.
    pub tried: u32,
}

/// Work for each of `hashes` hashes of one store.
#[must_use]
pub fn share(hashes: usize) -> u64 {
    STORE.checked_div(hashes as u64).unwrap_or(STORE)
}

fn salted(content: &Digest, word: &str) -> Digest {
    let mut bytes = content.0.to_vec();
    bytes.extend_from_slice(word.as_bytes());
    Digest::of(&bytes)
}

/// The user's own name first, then the list.
fn candidates(user: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    let (id, list) = &*LIST;
    let own = std::iter::once(("user-name", 0, user)).filter(|(_, _, u)| !u.is_empty());
    own.chain(list.iter().zip(0..).map(|(word, i)| (id.as_str(), i, *word)))
}

fn guess(content: &Digest, (list, index, word): (&str, u32, &str)) -> Guessed {
    Guessed { list: list.to_owned(), index, salted: salted(content, word) }
}

/// Tries the candidates against `hash` for at most `work` microseconds' worth.
#[must_use]
pub fn against_hash(content: &Digest, user: &str, hash: &Hash<'_>, work: u64) -> Outcome {
    let Some(price) = hash.price().filter(|p| *p <= DEAREST) else { return Outcome::default() };
    let affordable = work.checked_div(price).unwrap_or(u64::MAX).max(AT_LEAST);
    let mut out = Outcome::default();
    for candidate in candidates(user) {
        if u64::from(out.tried) >= affordable {
            break;
        }
        out.tried = out.tried.saturating_add(1);
        if hash.verify(candidate.2) {
            out.guessed = Some(guess(content, candidate));
            break;
        }
    }
    out
}

/// Looks a password up that is stored in clear.
#[must_use]
pub fn against_plain(content: &Digest, user: &str, plain: &str) -> Outcome {
    let mut tried = 0_u32;
    let guessed = candidates(user)
        .inspect(|_| tried = tried.saturating_add(1))
        .find(|(_, _, word)| *word == plain)
        .map(|c| guess(content, c));
    Outcome { guessed, tried }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_what_it_is() {
        assert_eq!(LIST.0, "defaults@1");
        let words = &LIST.1;
        assert!(words.len() > 80);
        let mut sorted = words.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), words.len(), "a password stands twice in the list");
    }

    #[test]
    fn a_dear_hash_is_left_alone() {
        let field = format!("$6$rounds=90000000$salt${}", "b".repeat(86));
        let out = against_hash(&Digest::of(b""), "root", &Hash::parse(&field).unwrap(), u64::MAX);
        assert_eq!(out, Outcome::default());
    }
}
