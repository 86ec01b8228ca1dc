//! Encrypted entries of zip: the traditional cipher, and the AES of WinZip.
//!
//! The traditional cipher tells a wrong password by one byte only, so the content's CRC-32 decides. AES has a
//! code over the encrypted bytes. PKWARE's own "strong encryption" is not read.
//!
//! Sources: APPNOTE.TXT 6.3.10, section 6; WinZip, AES encryption information (AE-1 and AE-2).

use hmac::{Hmac, KeyInit as _, Mac as _};

use crate::{codec::aes::Aes, keys::pbkdf2, read};

/// The field of an entry encrypted with AES.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// 1 keeps the CRC-32 of the content, 2 does not.
    pub version: u16,
    /// 1, 2, 3 for keys of 128, 192, 256 bits.
    strength: u8,
    /// How the content is compressed.
    pub method: u16,
}

impl Field {
    /// Id of the extra field.
    pub const ID: u16 = 0x9901;

    /// Reads the extra field.
    pub fn read(field: &[u8]) -> Option<Self> {
        let strength = read::u8(field, 4).filter(|s| (1..=3).contains(s))?;
        Some(Self { version: read::le16(field, 0)?, strength, method: read::le16(field, 5)? })
    }

    /// The compressed content; none where the password is another.
    pub fn decrypt(self, data: &[u8], password: &[u8]) -> Option<Vec<u8>> {
        const CODE: usize = 10;
        let key_len = usize::from(self.strength).checked_mul(8)?.checked_add(8)?;
        let (salt, rest) = data.split_at_checked(key_len / 2)?;
        let (check, rest) = rest.split_at_checked(2)?;
        let (body, code) = rest.split_at_checked(rest.len().checked_sub(CODE)?)?;
        let mut made = vec![0; key_len.checked_mul(2)?.checked_add(2)?];
        pbkdf2::<sha1::Sha1>(password, salt, 1000, &mut made);
        let (keys, own) = made.split_at_checked(key_len.checked_mul(2)?)?;
        if own != check {
            return None;
        }
        let (key, authentication) = keys.split_at_checked(key_len)?;
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(authentication).ok()?;
        mac.update(body);
        mac.verify_truncated_left(code).ok()?;
        Some(Aes::new(key)?.counted(body))
    }
}

/// Undoes the traditional cipher. `check` is the byte that the head of 12 bytes must end in.
pub fn traditional(data: &[u8], password: &[u8], check: u8) -> Option<Vec<u8>> {
    let mut keys = Keys([0x1234_5678, 0x2345_6789, 0x3456_7890]);
    password.iter().for_each(|byte| keys.update(*byte));
    let mut plain: Vec<u8> = data
        .iter()
        .map(|byte| {
            let plain = byte ^ keys.byte();
            keys.update(plain);
            plain
        })
        .collect();
    if plain.get(11) != Some(&check) {
        return None;
    }
    plain.drain(..12);
    Some(plain)
}

struct Keys([u32; 3]);

impl Keys {
    fn update(&mut self, byte: u8) {
        let [a, b, c] = &mut self.0;
        *a = crc_step(*a, byte);
        *b = b.wrapping_add(*a & 0xFF).wrapping_mul(134_775_813).wrapping_add(1);
        let [top, ..] = b.to_be_bytes();
        *c = crc_step(*c, top);
    }

    fn byte(&self) -> u8 {
        let [_, _, c] = self.0;
        let word = (c & 0xFFFF) | 2;
        let [_, _, made, _] = word.wrapping_mul(word ^ 1).to_be_bytes();
        made
    }
}

/// One byte of CRC-32 without the inversions.
fn crc_step(crc: u32, byte: u8) -> u32 {
    static TABLE: [u32; 256] = table();
    let [low, ..] = (crc ^ u32::from(byte)).to_le_bytes();
    TABLE.get(usize::from(low)).copied().unwrap_or(0) ^ (crc >> 8)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut n = 0;
    while n < 256 {
        let (mut crc, mut bit) = (n as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ 0xEDB8_8320 };
            bit += 1;
        }
        table[n] = crc;
        n += 1;
    }
    table
}
