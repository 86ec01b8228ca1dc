//! Checksums and digests that containers carry.

use md5::Digest as _;

/// CRC-32 of zip, gzip, U-Boot (polynomial 0xEDB88320, start and end inverted).
#[must_use]
pub fn crc32(data: &[u8]) -> u32 {
    crc32fast::hash(data)
}

/// The same over several pieces, as if they stood one after the other.
#[must_use]
pub fn crc32_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

/// MD5 over several pieces.
#[must_use]
pub fn md5_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> [u8; 16] {
    let mut hasher = md5::Md5::new();
    pieces.into_iter().for_each(|piece| hasher.update(piece));
    hasher.finalize().into()
}

/// MD5.
#[must_use]
pub fn md5(data: &[u8]) -> [u8; 16] {
    md5_of([data])
}

/// SHA-1.
#[must_use]
pub fn sha1(data: &[u8]) -> [u8; 20] {
    sha1::Sha1::digest(data).into()
}

/// SHA-256.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(data).into()
}

/// A digest by the name that U-Boot and others use for it: `crc32`, `md5`, `sha1`, `sha256`, `sha384`, `sha512`.
#[must_use]
pub fn by_name(name: &str, data: &[u8]) -> Option<Vec<u8>> {
    Some(match name {
        "crc32" => crc32(data).to_be_bytes().to_vec(),
        "md5" => md5(data).to_vec(),
        "sha1" => sha1(data).to_vec(),
        "sha256" => sha256(data).to_vec(),
        "sha384" => sha2::Sha384::digest(data).to_vec(),
        "sha512" => sha2::Sha512::digest(data).to_vec(),
        _ => return None,
    })
}

/// CRC-16, most significant bit first, of polynomial `poly`, from `start`.
#[must_use]
pub fn crc16(data: &[u8], poly: u16, start: u16) -> u16 {
    data.iter().fold(start, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ poly }
        })
    })
}

/// CRC-16, least significant bit first, of the reflected polynomial `poly`, from `start`.
#[must_use]
pub fn crc16_reflected(data: &[u8], poly: u16, start: u16) -> u16 {
    data.iter().fold(start, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte),
            |crc, _| {
                if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ poly }
            },
        )
    })
}

/// CRC-32C (Castagnoli), as VHDX uses it.
#[must_use]
pub fn crc32c<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    !pieces.into_iter().flatten().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82F6_3B78 }
        })
    })
}

/// Sum of the bytes, modulo 2^32.
#[must_use]
pub fn sum8(data: &[u8]) -> u32 {
    data.iter().fold(0, |sum, byte| sum.wrapping_add(u32::from(*byte)))
}

/// Lower-case hexadecimal text.
#[must_use]
pub fn hex(data: &[u8]) -> String {
    data.iter()
        .flat_map(|b| [b >> 4, b & 15])
        .filter_map(|n| char::from_digit(n.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check values of the published catalogue of CRC algorithms, over "123456789".
    #[test]
    fn published_check_values() {
        let check = b"123456789";
        assert_eq!(crc32(check), 0xCBF4_3926);
        assert_eq!(crc32c([&check[..]]), 0xE306_9283);
        assert_eq!(crc16(check, 0x1021, 0), 0x31C3);
        assert_eq!(!crc16_reflected(check, 0x8408, 0xFFFF), 0x906E);
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(crc32_of([&b"1234"[..], b"56789"]), 0xCBF4_3926);
    }
}
