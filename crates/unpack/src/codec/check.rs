//! Checksums that containers carry: CRC-16, CRC-32, CRC-64, Adler-32, xxHash.
//!
//! Sources: RFC 1950 (Adler), ISO 3309 (CRC-32), ECMA-182 (CRC-64), the CRC
//! catalogue of the LHA archives (CRC-16/ARC), the xxHash specification.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // tables of 256 indexed by bytes

use crate::map;

/// CRC-32 as in gzip, zip, xz and Ethernet.
#[must_use]
pub fn crc32(data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    map::parts(data).for_each(|part| hasher.update(part));
    hasher.finalize()
}

const fn tables64() -> [[u64; 256]; 8] {
    let mut t = [[0; 256]; 8];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xc96c_5795_d787_0f42 } else { crc >> 1 };
            bit += 1;
        }
        t[0][i] = crc;
        i += 1;
    }
    let mut k = 1;
    while k < 8 {
        let mut i = 0;
        while i < 256 {
            let prev = t[k - 1][i];
            t[k][i] = t[0][(prev & 255) as usize] ^ (prev >> 8);
            i += 1;
        }
        k += 1;
    }
    t
}

static CRC64: [[u64; 256]; 8] = tables64();

/// CRC-64 as in xz (ECMA-182, reflected).
#[must_use]
pub fn crc64(data: &[u8]) -> u64 {
    !map::parts(data).fold(!0, crc64_part)
}

fn crc64_part(mut crc: u64, data: &[u8]) -> u64 {
    let t = &CRC64;
    let (words, rest) = data.as_chunks::<8>();
    for word in words {
        let x = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
        crc = t[7][x[0] as usize]
            ^ t[6][x[1] as usize]
            ^ t[5][x[2] as usize]
            ^ t[4][x[3] as usize]
            ^ t[3][x[4] as usize]
            ^ t[2][x[5] as usize]
            ^ t[1][x[6] as usize]
            ^ t[0][x[7] as usize];
    }
    for byte in rest {
        crc = t[0][((crc ^ u64::from(*byte)) & 255) as usize] ^ (crc >> 8);
    }
    crc
}

/// CRC-16/ARC as in LHA and ARC archives.
#[must_use]
pub fn crc16(data: &[u8]) -> u16 {
    const T: [u16; 256] = {
        let mut t = [0; 256];
        let mut i = 0;
        while i < 256 {
            let mut crc = i as u16;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0xa001 } else { crc >> 1 };
                bit += 1;
            }
            t[i] = crc;
            i += 1;
        }
        t
    };
    data.iter().fold(0, |crc, b| T[((crc ^ u16::from(*b)) & 255) as usize] ^ (crc >> 8))
}

/// Adler-32 as in zlib and lzop.
#[must_use]
pub fn adler32(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65521;
    let (mut a, mut b) = (1u32, 0u32);
    // The longest run for which the sums stay within 32 bits.
    for run in data.chunks(5552) {
        for byte in run {
            a += u32::from(*byte);
            b += a;
        }
        a %= MODULUS;
        b %= MODULUS;
    }
    (b << 16) | a
}

/// xxHash32 with seed 0, as in LZ4 frames.
#[must_use]
pub fn xxh32(data: &[u8]) -> u32 {
    const P: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];
    let round = |acc: u32, lane: u32| {
        acc.wrapping_add(lane.wrapping_mul(P[1])).rotate_left(13).wrapping_mul(P[0])
    };
    let (stripes, rest) = data.as_chunks::<16>();
    let mut h = if stripes.is_empty() {
        P[4]
    } else {
        let mut v = [P[0].wrapping_add(P[1]), P[1], 0, 0u32.wrapping_sub(P[0])];
        for s in stripes {
            let (lanes, _) = s.as_chunks::<4>();
            for (acc, lane) in v.iter_mut().zip(lanes) {
                *acc = round(*acc, u32::from_le_bytes(*lane));
            }
        }
        v[0].rotate_left(1)
            .wrapping_add(v[1].rotate_left(7))
            .wrapping_add(v[2].rotate_left(12))
            .wrapping_add(v[3].rotate_left(18))
    };
    h = h.wrapping_add(data.len() as u32);
    let (words, bytes) = rest.as_chunks::<4>();
    for w in words {
        h = h
            .wrapping_add(u32::from_le_bytes(*w).wrapping_mul(P[2]))
            .rotate_left(17)
            .wrapping_mul(P[3]);
    }
    for b in bytes {
        h = h.wrapping_add(u32::from(*b).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    h ^= h >> 15;
    h = h.wrapping_mul(P[1]);
    h ^= h >> 13;
    h = h.wrapping_mul(P[2]);
    h ^ (h >> 16)
}

/// xxHash64 with seed 0, as in zstd frames.
#[must_use]
pub fn xxh64(data: &[u8]) -> u64 {
    const P: [u64; 5] = [
        0x9e37_79b1_85eb_ca87,
        0xc2b2_ae3d_27d4_eb4f,
        0x1656_67b1_9e37_79f9,
        0x85eb_ca77_c2b2_ae63,
        0x27d4_eb2f_1656_67c5,
    ];
    let round = |acc: u64, lane: u64| {
        acc.wrapping_add(lane.wrapping_mul(P[1])).rotate_left(31).wrapping_mul(P[0])
    };
    let (stripes, rest) = data.as_chunks::<32>();
    let mut h = if stripes.is_empty() {
        P[4]
    } else {
        let mut v = [P[0].wrapping_add(P[1]), P[1], 0, 0u64.wrapping_sub(P[0])];
        for s in stripes {
            let (lanes, _) = s.as_chunks::<8>();
            for (acc, lane) in v.iter_mut().zip(lanes) {
                *acc = round(*acc, u64::from_le_bytes(*lane));
            }
        }
        let joined = v[0]
            .rotate_left(1)
            .wrapping_add(v[1].rotate_left(7))
            .wrapping_add(v[2].rotate_left(12))
            .wrapping_add(v[3].rotate_left(18));
        v.iter().fold(joined, |h, acc| (h ^ round(0, *acc)).wrapping_mul(P[0]).wrapping_add(P[3]))
    };
    h = h.wrapping_add(data.len() as u64);
    let (words, tail) = rest.as_chunks::<8>();
    for w in words {
        h = (h ^ round(0, u64::from_le_bytes(*w)))
            .rotate_left(27)
            .wrapping_mul(P[0])
            .wrapping_add(P[3]);
    }
    let (halves, bytes) = tail.as_chunks::<4>();
    for w in halves {
        let lane = u64::from(u32::from_le_bytes(*w)).wrapping_mul(P[0]);
        h = (h ^ lane).rotate_left(23).wrapping_mul(P[1]).wrapping_add(P[2]);
    }
    for b in bytes {
        h = (h ^ u64::from(*b).wrapping_mul(P[4])).rotate_left(11).wrapping_mul(P[0]);
    }
    h = (h ^ (h >> 33)).wrapping_mul(P[1]);
    h = (h ^ (h >> 29)).wrapping_mul(P[2]);
    h ^ (h >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Published check values of "123456789".
    #[test]
    fn known_values() {
        let d = b"123456789";
        assert_eq!(crc32(d), 0xcbf4_3926);
        assert_eq!(crc64(d), 0x995d_c9bb_df19_39fa);
        assert_eq!(crc16(d), 0xbb3d);
        assert_eq!(adler32(d), 0x091e_01de);
        assert_eq!(xxh64(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxh64(b"Nobody inspects the spammish repetition"), 0xfbce_a83c_8a37_8bf1);
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }
}
