//! Encrypted contents and headers of RAR 3 (AES-128, a key of 2^18 rounds of SHA-1) and RAR 5 (AES-256, PBKDF2).
//!
//! RAR 5 has a check value that tells a wrong password. RAR 3 has none, so there a content must be decoded to its
//! checksum, or a header must have its own.
//!
//! Sources: RAR 5.0 archive format, "Encryption header" and "File encryption record"; libarchive's and rarfile's readers.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Digest as _;

use crate::{budget::Budget, codec::aes::Aes, keys::Key, read};

/// Rounds that are done at most, as a power of two; the format allows no more.
const ROUNDS_MAX: u8 = 24;

/// How a content, or all headers, are encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seal {
    /// RAR 3: the salt, where there is one.
    Three(Vec<u8>),
    /// RAR 5.
    Five {
        /// Binary logarithm of the rounds.
        rounds: u8,
        salt: [u8; 16],
        /// None for headers, which have one each.
        iv: Option<[u8; 16]>,
        /// What the password must come to.
        check: Option<[u8; 8]>,
        /// Whether checksums are keyed.
        keyed_sums: bool,
    },
}

/// Keys made of a password for a salt.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    key: Vec<u8>,
    /// Of RAR 3, whose password gives it.
    iv: Option<[u8; 16]>,
    /// Of RAR 5, for checksums.
    pub sums: [u8; 32],
    /// Whether the password is known to be the right one.
    pub verified: bool,
}

impl Seal {
    /// The encryption record of a file in RAR 5 or, `of_file` not set, the encryption header, which has no start value and
    /// whose checksums need no key.
    pub fn five(
        record: &[u8],
        of_file: bool,
        vint: impl Fn(&[u8], usize) -> Option<(u64, usize)>,
    ) -> Option<Self> {
        let (version, at) = vint(record, 0)?;
        let (flags, at) = vint(record, at)?;
        let salt_at = at.checked_add(1)?;
        let iv_at = salt_at.checked_add(16)?;
        let iv = if of_file { Some(read::array(record, iv_at)?) } else { None };
        let check_at = if of_file { iv_at.checked_add(16)? } else { iv_at };
        let check = if flags & 1 != 0 { read::array(record, check_at) } else { None };
        (version == 0).then_some(Self::Five {
            rounds: read::u8(record, at)?,
            salt: read::array(record, salt_at)?,
            iv,
            check,
            keyed_sums: of_file && flags & 2 != 0,
        })
    }

    /// The keys that a password gives; none where it is known to be wrong.
    pub fn keys(&self, key: &Key, budget: &Budget) -> Option<Keys> {
        let password = key.password.as_ref()?;
        match self {
            Self::Three(salt) => three(password, salt, budget),
            Self::Five { rounds, salt, check, .. } => {
                let mut keys = five(password, salt, *rounds, budget)?;
                let own = keys.1;
                keys.0.verified = check.is_some_and(|check| check == own);
                (keys.0.verified || check.is_none()).then_some(keys.0)
            }
        }
    }

    /// Whether what makes the keys is the same.
    pub fn same_keys(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Three(a), Self::Three(b)) => a == b,
            (
                Self::Five { rounds: a, salt: b, check: c, .. },
                Self::Five { rounds: x, salt: y, check: z, .. },
            ) => (a, b, c) == (x, y, z),
            _ => false,
        }
    }

    /// Decrypts a content.
    pub fn open(&self, keys: &Keys, data: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Three(_) => keys.decrypt(None, data),
            Self::Five { iv, .. } => keys.decrypt(*iv, data),
        }
    }
}

impl Keys {
    /// Decrypts whole blocks.
    pub fn decrypt(&self, iv: Option<[u8; 16]>, data: &[u8]) -> Option<Vec<u8>> {
        Some(Aes::new(&self.key)?.cbc(&iv.or(self.iv)?, data))
    }

    /// A checksum under the key of RAR 5.
    pub fn keyed(&self, sum: &[u8]) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<sha2::Sha256>::new_from_slice(&self.sums) else { return [0; 32] };
        mac.update(sum);
        mac.finalize().into_bytes().into()
    }

    /// A CRC-32 under the key of RAR 5.
    pub fn keyed_crc(&self, crc: u32) -> u32 {
        let made = self.keyed(&crc.to_le_bytes());
        made.as_chunks::<4>().0.iter().fold(0, |sum, word| sum ^ u32::from_le_bytes(*word))
    }
}

/// Passwords in UTF-16 and the salt, 2^18 times with a counter of three bytes.
fn three(password: &str, salt: &[u8], budget: &Budget) -> Option<Keys> {
    const ROUNDS: u32 = 1 << 18;
    let mut input: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    input.extend_from_slice(salt);
    budget.work(u64::from(ROUNDS).saturating_mul(input.len().saturating_add(3) as u64)).ok()?;
    let mut hash = sha1::Sha1::new();
    let mut iv = [0; 16];
    let mut places = iv.iter_mut();
    for round in 0..ROUNDS {
        let [a, b, c, _] = round.to_le_bytes();
        hash.update(&input);
        hash.update([a, b, c]);
        if round % (ROUNDS / 16) == 0
            && let Some(place) = places.next()
        {
            *place = hash.clone().finalize().last().copied().unwrap_or(0);
        }
    }
    let made = hash.finalize();
    let key = made
        .as_chunks::<4>()
        .0
        .iter()
        .take(4)
        .flat_map(|word| word.iter().rev())
        .copied()
        .collect();
    Some(Keys { key, iv: Some(iv), sums: [0; 32], verified: false })
}

/// PBKDF2 with HMAC-SHA-256, whose sums after 16 and 32 more rounds are the key of checksums and, folded, the check value.
fn five(password: &str, salt: &[u8], rounds: u8, budget: &Budget) -> Option<(Keys, [u8; 8])> {
    let rounds = 1_u32.checked_shl(rounds.into()).filter(|_| rounds <= ROUNDS_MAX)?;
    budget.work(u64::from(rounds).saturating_mul(128)).ok()?;
    let mac = Hmac::<sha2::Sha256>::new_from_slice(password.as_bytes()).ok()?;
    let step = |input: &[u8]| -> [u8; 32] {
        let mut mac = mac.clone();
        mac.update(input);
        mac.finalize().into_bytes().into()
    };
    let mut last = step(&[salt, &[0, 0, 0, 1]].concat());
    let mut sum = last;
    let mut more = |count: u32| {
        for _ in 0..count {
            last = step(&last);
            sum.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    };
    let key = more(rounds.saturating_sub(1)).to_vec();
    let sums = more(16);
    let folded = more(16);
    let mut check = [0; 8];
    for eight in folded.as_chunks::<8>().0 {
        check.iter_mut().zip(eight).for_each(|(check, byte)| *check ^= byte);
    }
    Some((Keys { key, iv: None, sums, verified: false }, check))
}

/// The keys of a run as far as they were made: one set for each salt.
pub struct Ring<'b> {
    budget: &'b Budget,
    known: Vec<(Seal, Option<(String, Keys)>)>,
}

impl<'b> Ring<'b> {
    /// Nothing made yet.
    pub fn new(budget: &'b Budget) -> Self {
        Self { budget, known: Vec::new() }
    }

    /// Whether there is any key for RAR.
    pub fn is_empty(&self) -> bool {
        self.budget.keys().of(super::ABOUT.id).next().is_none()
    }

    /// The first key that fits, by its own check value or by `accept`; the only one also where nothing shows it. With
    /// the name that results call it.
    pub fn find(&mut self, seal: &Seal, accept: impl Fn(&Keys) -> bool) -> Option<(String, Keys)> {
        if let Some((_, found)) = self.known.iter().find(|(known, _)| known.same_keys(seal)) {
            return found.clone();
        }
        let mut tried = Vec::new();
        let mut right = None;
        for key in self.budget.keys().of(super::ABOUT.id) {
            let Some(mut made) = seal.keys(key, self.budget) else { continue };
            made.verified |= accept(&made);
            if made.verified {
                right = Some((key.name.clone(), made));
                break;
            }
            tried.push((key.name.clone(), made));
        }
        let only = self.budget.keys().of(super::ABOUT.id).count() == 1;
        let found = right.or_else(|| tried.pop().filter(|_| only));
        self.known.push((seal.clone(), found.clone()));
        found
    }
}
