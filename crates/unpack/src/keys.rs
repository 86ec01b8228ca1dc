//! Keys that somebody supplies for encrypted containers.
//!
//! No key is built in: a vendor hands over the keys of its products, an operator the password of a delivery.
//! A key names the format that it is for. What a key opens says by name which one it was; the key itself is in
//! no result. A key that cannot be shown to be right is not used where there are others.

use std::fmt;

use hmac::{EagerHash, Hmac};
use proofmark_model::Digest;
use serde::Deserialize;

use crate::{
    classify,
    codec::aes::{self, Aes},
};

/// One key, as it stands in a key file (see `docs/keys.md`).
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Key {
    /// What results call it.
    pub name: String,
    /// Id of the format that it opens, such as `dlink-shrs`.
    pub format: String,
    /// The key itself, in hexadecimal.
    #[serde(default, with = "hexadecimal")]
    pub key: Option<Vec<u8>>,
    /// Initialisation vector, in hexadecimal, where the container does not hold it.
    #[serde(default, with = "hexadecimal")]
    pub iv: Option<Vec<u8>>,
    /// A password, of formats that derive keys from one.
    #[serde(default)]
    pub password: Option<String>,
    /// How `openssl enc` was called.
    #[serde(default)]
    pub openssl: Openssl,
}

/// Parameters of `openssl enc` that its output does not say.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Openssl {
    /// Bits of the AES key; the mode is CBC.
    pub bits: usize,
    /// `md5`, `sha1`, `sha256` or `sha512`.
    pub digest: String,
    /// Rounds of PBKDF2; 0 where `-pbkdf2` was not given.
    pub iterations: u32,
}

impl Default for Openssl {
    fn default() -> Self {
        Self { bits: 256, digest: "sha256".into(), iterations: 0 }
    }
}

/// Never shows the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?} for {:?})", self.name, self.format)
    }
}

/// All keys of a run.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Vec<Key>);

/// Rounds of a key derivation that a key file may ask for; each costs time for each container.
const ITERATIONS_MAX: u32 = 10_000_000;

impl Keyring {
    /// A keyring of these keys.
    ///
    /// # Errors
    /// A sentence that names the key that is not right.
    pub fn new(keys: Vec<Key>) -> Result<Self, String> {
        for key in &keys {
            let wrong = |what: &str| Err(format!("key {:?}: {what}", key.name));
            if !crate::formats::all().iter().any(|f| f.about().id == key.format) {
                return wrong(&format!(
                    "{:?} is no format; docs/formats.md names them",
                    key.format
                ));
            }
            if key.key.is_some() == key.password.is_some() {
                return wrong("needs either `key` or `password`");
            }
            if key.iv.as_ref().is_some_and(|iv| iv.len() != aes::BLOCK) {
                return wrong("`iv` must be 16 bytes");
            }
            let options = &key.openssl;
            if ![128, 192, 256].contains(&options.bits)
                || !["md5", "sha1", "sha256", "sha512"].contains(&&*options.digest)
                || options.iterations > ITERATIONS_MAX
            {
                return wrong(
                    "`openssl` must have bits 128, 192 or 256, digest md5, sha1, sha256 or sha512, and at most 10000000 iterations",
                );
            }
        }
        Ok(Self(keys))
    }

    /// The keys for a format, in the order of the file.
    pub fn of<'a>(&'a self, format: &'a str) -> impl Iterator<Item = &'a Key> {
        self.0.iter().filter(move |key| key.format == format)
    }

    /// A digest of all of them: results that depend on keys are kept under it. Empty without keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let all: String = self
            .0
            .iter()
            .map(|k| {
                format!("{:?}\n", (&k.name, &k.format, &k.key, &k.iv, &k.password, &k.openssl))
            })
            .collect();
        Digest::of(all.as_bytes()).to_string()
    }
}

/// A body that a key opened.
pub struct Opened {
    /// The plain bytes.
    pub bytes: Vec<u8>,
    /// Whether something shows that the key is the right one.
    pub verified: bool,
}

impl Opened {
    /// A plain text that only its looks can vouch for: a padding that is one, or a beginning that cannot be
    /// random bytes. A padding that is one is taken off.
    #[must_use]
    pub fn by_looks(plain: Vec<u8>) -> Self {
        if let Some(length) = aes::unpadded(&plain).map(<[u8]>::len) {
            let mut bytes = plain;
            // One byte of padding is right by chance for one key in 256.
            let verified = bytes.len().saturating_sub(length) > 1 || looks_plain(&bytes);
            bytes.truncate(length);
            return Self { bytes, verified };
        }
        Self { verified: looks_plain(&plain), bytes: plain }
    }
}

/// Whether the beginning is anything but random bytes.
fn looks_plain(bytes: &[u8]) -> bool {
    use proofmark_model::{Opaque, RegionClass};
    let head = bytes.get(..bytes.len().min(1 << 12)).unwrap_or_default();
    let at_its_place = |m: &crate::format::Magic| {
        m.bytes.len() >= 3 && crate::read::slice(head, m.offset, m.bytes.len()) == Some(m.bytes)
    };
    let known = crate::formats::all().iter().any(|f| f.magics().iter().any(at_its_place));
    let random = |looks| {
        matches!(
            looks,
            RegionClass::Opaque { looks: Opaque::EncryptedLooking | Opaque::CompressedLooking, .. }
        )
    };
    known || (head.len() >= 256 && !random(classify::classify(head)))
}

impl Key {
    /// AES-CBC with the key itself and `iv`, or the vector of the key file. None where the key has no such parts.
    #[must_use]
    pub fn aes_cbc(&self, iv: Option<[u8; 16]>, body: &[u8]) -> Option<Vec<u8>> {
        let iv = iv.or_else(|| self.iv.clone()?.try_into().ok())?;
        Some(Aes::new(self.key.as_ref()?)?.cbc(&iv, body))
    }

    /// AES-ECB with the key itself.
    #[must_use]
    pub fn aes_ecb(&self, body: &[u8]) -> Option<Vec<u8>> {
        Some(Aes::new(self.key.as_ref()?)?.ecb(body))
    }

    /// What `openssl enc -aes-N-cbc` made of a plain text: `Salted__`, eight bytes of salt, and the body.
    #[must_use]
    pub fn openssl(&self, sealed: &[u8]) -> Option<Opened> {
        let salt = sealed.get(8..16)?;
        let password = self.password.as_ref()?.as_bytes();
        let options = &self.openssl;
        let length = options.bits / 8;
        let mut made = vec![0; length.saturating_add(aes::BLOCK)];
        match options.iterations {
            0 => legacy(&options.digest, password, salt, &mut made)?,
            n => match &*options.digest {
                "md5" => pbkdf2::<md5::Md5>(password, salt, n, &mut made),
                "sha1" => pbkdf2::<sha1::Sha1>(password, salt, n, &mut made),
                "sha512" => pbkdf2::<sha2::Sha512>(password, salt, n, &mut made),
                _ => pbkdf2::<sha2::Sha256>(password, salt, n, &mut made),
            },
        }
        let (key, iv) = made.split_at_checked(length)?;
        let plain = Aes::new(key)?.cbc(iv.try_into().ok()?, sealed.get(16..)?);
        // It always pads; another key gives another padding.
        aes::unpadded(&plain)?;
        Some(Opened::by_looks(plain))
    }
}

/// PBKDF2 (RFC 8018) into `out`.
pub fn pbkdf2<D: EagerHash>(password: &[u8], salt: &[u8], rounds: u32, out: &mut [u8])
where
    Hmac<D>: hmac::KeyInit,
{
    // It fails only for a length that no caller asks for.
    let _ = ::pbkdf2::pbkdf2::<Hmac<D>>(password, salt, rounds, out);
}

/// `EVP_BytesToKey` of OpenSSL with one round.
fn legacy(digest: &str, password: &[u8], salt: &[u8], out: &mut [u8]) -> Option<()> {
    let mut block = Vec::new();
    let mut made = Vec::new();
    while made.len() < out.len() {
        let input = [&block[..], password, salt].concat();
        block = crate::formats::sums::by_name(digest, &input)?;
        made.extend_from_slice(&block);
    }
    out.copy_from_slice(made.get(..out.len())?);
    Some(())
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, de::Error};

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u8>>, D::Error> {
        let text = String::deserialize(from)?;
        let digits: Vec<u8> =
            text.bytes().filter(|b| !b.is_ascii_whitespace() && *b != b':').collect();
        let (pairs, rest) = digits.as_chunks::<2>();
        let value = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let byte = |[high, low]: &[u8; 2]| Some(value(*high)? << 4 | value(*low)?);
        let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
        match bytes.filter(|_| rest.is_empty()) {
            Some(bytes) => Ok(Some(bytes)),
            // The value is not repeated: it may be a key with a slip in it.
            None => Err(D::Error::custom("expected pairs of hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(format: &str) -> Key {
        Key {
            name: "a key".into(),
            format: format.into(),
            key: Some(vec![7; 16]),
            iv: None,
            password: None,
            openssl: Openssl::default(),
        }
    }

    #[test]
    fn a_wrong_key_is_named() {
        let message = Keyring::new(vec![key("no-such")]).unwrap_err();
        assert!(message.contains("\"a key\"") && message.contains("no-such"), "{message}");
        let both = Key { password: Some("x".into()), ..key("zip") };
        assert!(Keyring::new(vec![both]).is_err());
        let short = Key { iv: Some(vec![1]), ..key("dlink-shrs") };
        assert!(Keyring::new(vec![short]).is_err());
    }

    #[test]
    fn a_keyring_is_told_from_another_and_shows_no_key() {
        let one = Keyring::new(vec![key("zip")]).unwrap();
        let other = Keyring::new(vec![Key { key: Some(vec![8; 16]), ..key("zip") }]).unwrap();
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_eq!(Keyring::default().fingerprint(), "");
        assert_eq!((one.of("zip").count(), one.of("7z").count()), (1, 0));
        assert!(!format!("{one:?}").contains('7'), "{one:?}");
    }
}
