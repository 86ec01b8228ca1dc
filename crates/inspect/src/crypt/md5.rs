//! MD5-crypt and its Apache variant, which differs in the magic alone.

use md5::{Digest as _, Md5};

use super::low_first;

/// The encoded hash, without magic and salt.
pub(super) fn crypt(word: &[u8], magic: &str, salt: &str) -> String {
    let salt = salt.as_bytes();
    let inner = Md5::new().chain_update(word).chain_update(salt).chain_update(word).finalize();
    let mut outer = Md5::new().chain_update(word).chain_update(magic.as_bytes()).chain_update(salt);
    for chunk in word.chunks(16) {
        outer.update(inner.get(..chunk.len()).unwrap_or_default());
    }
    let mut length = word.len();
    while length > 0 {
        // The original's quirk: a zero byte for a set bit, the first character for a clear one.
        outer.update(if length & 1 == 1 { &[0] } else { word.get(..1).unwrap_or_default() });
        length >>= 1;
    }
    let mut hash = outer.finalize();
    for round in 0..1000_u32 {
        let odd = round & 1 == 1;
        let mut md = Md5::new();
        md.update(if odd { word } else { &hash });
        if round % 3 != 0 {
            md.update(salt);
        }
        if round % 7 != 0 {
            md.update(word);
        }
        md.update(if odd { &hash } else { word });
        hash = md.finalize();
    }
    let byte = |i: usize| u32::from(hash.get(i).copied().unwrap_or(0));
    let mut out = String::with_capacity(22);
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        low_first(&mut out, byte(a) << 16 | byte(b) << 8 | byte(c), 4);
    }
    low_first(&mut out, byte(11), 2);
    out
}
