//! Verifies a password candidate against a stored hash, in process and within
//! bounds.
//!
//! Schemes: traditional DES, MD5 (`$1$`, `$apr1$`), SHA-256 (`$5$`), SHA-512
//! (`$6$`), bcrypt (`$2?$`), yescrypt (`$y$`), and `{SHA}` of htpasswd. The cost
//! parameters stand in the hash and are hostile input, so every hash has a price
//! ([`Hash::price`]) that a caller compares with what it may spend before it
//! calls [`Hash::verify`].
//!
//! Sources: Drepper, "Unix crypt using SHA-256 and SHA-512"; the description of
//! MD5-crypt in FreeBSD 2 and of `$apr1$` in the Apache documentation; Provos and
//! Mazieres 1999 (bcrypt); the yescrypt 1.0 specification; FIPS 46-3 (DES).

mod des;
mod md5;
mod sha;

/// A stored hash, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash<'a> {
    /// Traditional DES: two characters of salt, eleven of hash.
    Des(&'a str),
    /// `$1$salt$hash` or `$apr1$salt$hash`.
    Md5 {
        /// `$1$` or `$apr1$`.
        magic: &'static str,
        /// Salt, at most eight characters.
        salt: &'a str,
        /// Encoded hash.
        hash: &'a str,
    },
    /// `$5$` or `$6$`.
    Sha {
        /// SHA-512 rather than SHA-256.
        wide: bool,
        /// Rounds, as the algorithm clamps them.
        rounds: u32,
        /// Salt, at most sixteen characters.
        salt: &'a str,
        /// Encoded hash.
        hash: &'a str,
    },
    /// `$2a$10$...`.
    Bcrypt {
        /// Logarithm of the rounds.
        cost: u32,
        /// Salt.
        salt: [u8; 16],
        /// Encoded hash.
        hash: &'a str,
    },
    /// `$y$params$salt$hash`.
    Yescrypt {
        /// N, r, t and flags, as encoded.
        params: &'a str,
        /// Encoded salt.
        salt: &'a str,
        /// Encoded hash.
        hash: &'a str,
    },
    /// `{SHA}` and the base64 of a plain SHA-1.
    Sha1(&'a str),
}

const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BCRYPT64: &[u8; 64] = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// `n` characters of `alphabet` for the lowest `6 n` bits of `value`, lowest first.
fn low_first(out: &mut String, mut value: u32, n: usize) {
    for _ in 0..n {
        out.push(char::from(CRYPT64.get((value & 63) as usize).copied().unwrap_or(b'.')));
        value >>= 6;
    }
}

/// Characters for `bytes`, highest bits first, without padding.
pub(crate) fn high_first(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let value = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..=chunk.len() {
            let shift = 18_usize.saturating_sub(i.saturating_mul(6));
            let index = (value >> shift & 63) as usize;
            out.push(char::from(alphabet.get(index).copied().unwrap_or(b'.')));
        }
    }
    out
}

fn digit(c: u8, alphabet: &[u8; 64]) -> Option<u32> {
    alphabet.iter().position(|a| *a == c).and_then(|p| u32::try_from(p).ok())
}

/// Bytes of a yescrypt text: groups of four characters, lowest bits first.
fn decode_low_first(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let mut value = 0;
        for (i, c) in group.iter().enumerate() {
            value |= digit(*c, CRYPT64)? << (6_usize.saturating_mul(i));
        }
        out.extend(value.to_le_bytes().iter().take(group.len().saturating_sub(1)));
    }
    Some(out)
}

/// The 16 bytes that 22 characters of a bcrypt salt stand for.
fn bcrypt_salt(text: &str) -> Option<[u8; 16]> {
    let mut out = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let mut value = 0_u32;
        for (i, c) in group.iter().enumerate() {
            value |= digit(*c, BCRYPT64)? << 18_usize.saturating_sub(6_usize.saturating_mul(i));
        }
        let [_, bytes @ ..] = value.to_be_bytes();
        out.extend(bytes.iter().take(group.len().saturating_sub(1)));
    }
    out.try_into().ok()
}

impl<'a> Hash<'a> {
    /// Takes a stored password field apart, if it is a hash of a known scheme.
    #[must_use]
    pub fn parse(field: &'a str) -> Option<Self> {
        if let Some(rest) = field.strip_prefix("{SHA}") {
            return (rest.len() == 28).then_some(Self::Sha1(rest));
        }
        let Some(rest) = field.strip_prefix('$') else {
            let known = field.bytes().all(|b| digit(b, CRYPT64).is_some());
            return (field.len() == 13 && known).then_some(Self::Des(field));
        };
        let (id, rest) = rest.split_once('$')?;
        match id {
            "1" | "apr1" => {
                let (salt, hash) = rest.split_once('$')?;
                let magic = if id == "1" { "$1$" } else { "$apr1$" };
                let salt = salt.get(..salt.len().min(8))?;
                (hash.len() == 22).then_some(Self::Md5 { magic, salt, hash })
            }
            "5" | "6" => {
                let wide = id == "6";
                let (rounds, rest) = match rest.strip_prefix("rounds=") {
                    Some(r) => {
                        let (n, rest) = r.split_once('$')?;
                        (n.parse::<u64>().ok()?.clamp(1000, 999_999_999), rest)
                    }
                    None => (5000, rest),
                };
                let (salt, hash) = rest.split_once('$')?;
                let salt = salt.get(..salt.len().min(16))?;
                let length = if wide { 86 } else { 43 };
                let rounds = u32::try_from(rounds).ok()?;
                (hash.len() == length).then_some(Self::Sha { wide, rounds, salt, hash })
            }
            "2" | "2a" | "2b" | "2x" | "2y" => {
                let (cost, rest) = rest.split_once('$')?;
                let cost = cost.parse().ok().filter(|c| (4..=31).contains(c))?;
                let (salt, hash) = (rest.get(..22)?, rest.get(22..)?);
                let salt = bcrypt_salt(salt)?;
                (hash.len() == 31).then_some(Self::Bcrypt { cost, salt, hash })
            }
            "y" => {
                let mut parts = rest.splitn(3, '$');
                let (params, salt, hash) = (parts.next()?, parts.next()?, parts.next()?);
                (hash.len() == 43 && salt.len() <= 86).then_some(Self::Yescrypt {
                    params,
                    salt,
                    hash,
                })
            }
            _ => None,
        }
    }

    /// Name of the scheme as facts write it.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        match self {
            Self::Des(_) => "des-crypt",
            Self::Md5 { magic: "$1$", .. } => "md5-crypt",
            Self::Md5 { .. } => "apr1",
            Self::Sha { wide: false, .. } => "sha256-crypt",
            Self::Sha { wide: true, .. } => "sha512-crypt",
            Self::Bcrypt { .. } => "bcrypt",
            Self::Yescrypt { .. } => "yescrypt",
            Self::Sha1(_) => "sha1",
        }
    }

    /// What one verification costs, in about microseconds of one core; `None` where the parameters ask for
    /// more than anybody should spend.
    #[must_use]
    pub fn price(&self) -> Option<u64> {
        Some(match self {
            Self::Des(_) => 60,
            Self::Md5 { .. } => 300,
            Self::Sha { rounds, .. } => u64::from(*rounds) / 2,
            Self::Bcrypt { cost, .. } => 50_u64.checked_shl(*cost)?,
            Self::Yescrypt { params, .. } => {
                let p = yescrypt_params(params)?;
                // Memory is 128 N r bytes; every 4 KiB of it cost about 10 microseconds.
                p.n().saturating_mul(u64::from(p.r())) / 3
            }
            Self::Sha1(_) => 1,
        })
    }

    /// Whether `password` is the one. Call only for a price that may be paid.
    #[must_use]
    pub fn verify(&self, password: &str) -> bool {
        let word = password.as_bytes();
        match self {
            Self::Des(field) => des::crypt(word, field).as_deref() == Some(*field),
            Self::Md5 { magic, salt, hash } => md5::crypt(word, magic, salt) == *hash,
            Self::Sha { wide, rounds, salt, hash } => {
                sha::crypt(word, salt.as_bytes(), *rounds, *wide) == *hash
            }
            Self::Bcrypt { cost, salt, hash } => {
                let mut word: Vec<u8> = word.iter().take(71).copied().collect();
                word.push(0);
                let out = bcrypt::bcrypt(*cost, *salt, &word);
                high_first(out.get(..23).unwrap_or_default(), BCRYPT64) == *hash
            }
            Self::Yescrypt { params, salt, hash } => {
                let mut out = [0; 32];
                yescrypt_params(params)
                    .zip(decode_low_first(salt))
                    .zip(decode_low_first(hash))
                    .is_some_and(|((params, salt), hash)| {
                        yescrypt::yescrypt(word, &salt, &params, &mut out).is_ok()
                            && out.as_slice() == hash
                    })
            }
            Self::Sha1(hash) => {
                use sha1::Digest as _;
                format!("{}=", high_first(&sha1::Sha1::digest(word), BASE64)) == *hash
            }
        }
    }
}

/// The parameters, if they are among those that equipment uses: the read-write flavour, one lane, at most
/// 64 MiB.
fn yescrypt_params(text: &str) -> Option<yescrypt::Params> {
    let bytes = text.as_bytes();
    // Flavour `j`, then N and r as one character each, no further fields: what crypt_gensalt makes.
    if bytes.len() != 3 || bytes.first() != Some(&b'j') {
        return None;
    }
    let params: yescrypt::Params = text.parse().ok()?;
    let memory = params.n().checked_mul(u64::from(params.r()))?.checked_mul(128)?;
    (params.p() == 1 && memory <= 64 << 20).then_some(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(field: &str, password: &str, scheme: &str) {
        let hash = Hash::parse(field).unwrap();
        assert_eq!(hash.scheme(), scheme);
        assert!(hash.price().is_some());
        assert!(hash.verify(password), "{field}");
        assert!(!hash.verify("not the password"), "{field}");
        assert!(!hash.verify(""), "{field}");
    }

    fn tool(program: &str, arguments: &[&str]) -> String {
        let out =
            std::process::Command::new(program).args(arguments).output().unwrap_or_else(|e| {
                panic!("{program}: {e}; install packages whois, openssl, apache2-utils")
            });
        assert!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    #[test]
    fn what_the_real_tools_make() {
        for (method, scheme) in [
            ("descrypt", "des-crypt"),
            ("md5crypt", "md5-crypt"),
            ("sha256crypt", "sha256-crypt"),
            ("sha512crypt", "sha512-crypt"),
            ("bcrypt-a", "bcrypt"),
            ("bcrypt", "bcrypt"),
            ("yescrypt", "yescrypt"),
        ] {
            for word in ["a", "admin", "7ujMko0admin", "pässword and a half, rather long"] {
                let field = tool("mkpasswd", &["-m", method, word]);
                let hash = Hash::parse(&field).unwrap_or_else(|| panic!("{field}"));
                assert_eq!(hash.scheme(), scheme);
                assert!(hash.verify(word), "{method} {word} {field}");
                assert!(!hash.verify("other"), "{method} {field}");
            }
        }
        check(
            &tool("openssl", &["passwd", "-apr1", "-salt", "abcdefgh", "admin"]),
            "admin",
            "apr1",
        );
        check(&tool("openssl", &["passwd", "-1", "-salt", "xy", "1234"]), "1234", "md5-crypt");
        check(&tool("mkpasswd", &["-m", "sha512crypt", "-R", "7000", "x"]), "x", "sha512-crypt");
        let line = tool("htpasswd", &["-nbs", "u", "admin"]);
        check(line.strip_prefix("u:").unwrap(), "admin", "sha1");
        let line = tool("htpasswd", &["-nbB", "u", "admin"]);
        check(line.strip_prefix("u:").unwrap(), "admin", "bcrypt");
    }

    #[test]
    fn hostile_parameters_have_a_price_or_none() {
        let salt = "a".repeat(16);
        let sha = format!("$6$rounds=999999999${salt}${}", "b".repeat(86));
        assert!(Hash::parse(&sha).unwrap().price().unwrap() > 100_000_000);
        let bcrypt = format!("$2b$31${}", "a".repeat(53));
        assert!(Hash::parse(&bcrypt).unwrap().price().unwrap() > 100_000_000);
        for params in ["jzT", "jzz", "j", "", "j/.", "ä", "jAz..."] {
            let field = format!("$y${params}${salt}${}", "b".repeat(43));
            if let Some(h) = Hash::parse(&field) {
                assert!(h.price().is_none_or(|p| p > 100_000 || !h.verify("x")), "{params}");
            }
        }
    }

    #[test]
    fn not_hashes() {
        for field in
            ["", "*", "!", "x", "$", "$1$", "$6$ab", "$y$", "$2b$99$", "plain", "{SHA}", "$1$ä"]
        {
            assert_eq!(Hash::parse(field), None, "{field}");
        }
    }
}
