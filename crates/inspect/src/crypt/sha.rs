//! SHA-crypt, both widths, after the public specification.

use sha2::{Digest, Sha256, Sha512};

use super::low_first;

/// The encoded hash, without prefix, rounds and salt.
pub(super) fn crypt(word: &[u8], salt: &[u8], rounds: u32, wide: bool) -> String {
    let mut out = String::with_capacity(86);
    // The permutation of the output bytes follows one rule per width: three positions a third apart that
    // rotate from group to group.
    if wide {
        let hash = stretch::<Sha512>(word, salt, rounds);
        let (mut a, mut b, mut c) = (0, 21, 42);
        for _ in 0..21_u8 {
            group(&mut out, &hash, Some(a), Some(b), Some(c), 4);
            (a, b, c) = (next(b), next(c), next(a));
        }
        group(&mut out, &hash, None, None, Some(63), 2);
    } else {
        let hash = stretch::<Sha256>(word, salt, rounds);
        let (mut a, mut b, mut c) = (0, 10, 20);
        for _ in 0..10_u8 {
            group(&mut out, &hash, Some(a), Some(b), Some(c), 4);
            (a, b, c) = (next(c), next(a), next(b));
        }
        group(&mut out, &hash, None, Some(31), Some(30), 3);
    }
    out
}

fn next(index: usize) -> usize {
    index.saturating_add(1)
}

fn group(
    out: &mut String,
    hash: &[u8],
    a: Option<usize>,
    b: Option<usize>,
    c: Option<usize>,
    n: usize,
) {
    let byte = |i: Option<usize>| u32::from(i.and_then(|i| hash.get(i)).copied().unwrap_or(0));
    low_first(out, byte(a) << 16 | byte(b) << 8 | byte(c), n);
}

/// The bytes of `pattern`, repeated to `length`.
fn repeated(pattern: &[u8], length: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(length).collect()
}

fn stretch<D: Digest>(word: &[u8], salt: &[u8], rounds: u32) -> Vec<u8> {
    let inner = D::new().chain_update(word).chain_update(salt).chain_update(word).finalize();
    let mut outer =
        D::new().chain_update(word).chain_update(salt).chain_update(repeated(&inner, word.len()));
    let mut length = word.len();
    while length > 0 {
        outer.update(if length & 1 == 1 { inner.as_slice() } else { word });
        length >>= 1;
    }
    let mut hash = outer.finalize();

    let mut words = D::new();
    word.iter().for_each(|_| words.update(word));
    let p = repeated(&words.finalize(), word.len());
    let mut salts = D::new();
    let times = hash.first().copied().unwrap_or(0);
    (0..u32::from(times).saturating_add(16)).for_each(|_| salts.update(salt));
    let s = repeated(&salts.finalize(), salt.len());

    for round in 0..rounds {
        let odd = round & 1 == 1;
        let mut md = D::new();
        md.update(if odd { p.as_slice() } else { hash.as_slice() });
        if round % 3 != 0 {
            md.update(&s);
        }
        if round % 7 != 0 {
            md.update(&p);
        }
        md.update(if odd { hash.as_slice() } else { p.as_slice() });
        hash = md.finalize();
    }
    hash.to_vec()
}
