//! AES as containers use it: CBC, ECB, GCM and the counter of WinZip, over whole contents in memory.
//!
//! Source: FIPS 197, NIST SP 800-38A and 800-38D.

use aes::{
    Aes128, Aes192, Aes256, Block,
    cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit},
};

/// Bytes of a block.
pub const BLOCK: usize = 16;

/// A key of 128, 192 or 256 bits, ready for use.
pub enum Aes {
    /// 16 bytes.
    Short(Box<Aes128>),
    /// 24 bytes.
    Middle(Box<Aes192>),
    /// 32 bytes.
    Long(Box<Aes256>),
}

impl Aes {
    /// None for a key of another length.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        Some(match key.len() {
            16 => Self::Short(Box::new(Aes128::new_from_slice(key).ok()?)),
            24 => Self::Middle(Box::new(Aes192::new_from_slice(key).ok()?)),
            32 => Self::Long(Box::new(Aes256::new_from_slice(key).ok()?)),
            _ => return None,
        })
    }

    fn decrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Short(aes) => aes.decrypt_blocks(blocks),
            Self::Middle(aes) => aes.decrypt_blocks(blocks),
            Self::Long(aes) => aes.decrypt_blocks(blocks),
        }
    }

    fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            Self::Short(aes) => aes.encrypt_blocks(blocks),
            Self::Middle(aes) => aes.encrypt_blocks(blocks),
            Self::Long(aes) => aes.encrypt_blocks(blocks),
        }
    }

    /// Decrypts whole blocks, each by itself. Bytes behind the last whole block are left out.
    #[must_use]
    pub fn ecb(&self, data: &[u8]) -> Vec<u8> {
        let mut blocks = blocks(data);
        self.decrypt(&mut blocks);
        blocks.iter().flatten().copied().collect()
    }

    /// Decrypts whole blocks that were chained to `iv`. Bytes behind the last whole block are left out.
    #[must_use]
    pub fn cbc(&self, iv: &[u8; BLOCK], data: &[u8]) -> Vec<u8> {
        let mut plain = self.ecb(data);
        let before = iv.iter().chain(data);
        plain.iter_mut().zip(before).for_each(|(plain, before)| *plain ^= before);
        plain
    }

    /// The counter mode of WinZip: it counts from 1, least significant byte first. Decrypting is encrypting.
    #[must_use]
    pub fn counted(&self, data: &[u8]) -> Vec<u8> {
        let count = data.len().div_ceil(BLOCK) as u128;
        let mut stream: Vec<Block> = (1..=count).map(|n| n.to_le_bytes().into()).collect();
        self.encrypt(&mut stream);
        data.iter().zip(stream.iter().flatten()).map(|(byte, key)| byte ^ key).collect()
    }

    /// Decrypts GCM with a vector of 12 bytes and nothing beside the data; none where the tag does not match.
    #[must_use]
    pub fn gcm(&self, iv: &[u8; 12], data: &[u8], tag: &[u8; BLOCK]) -> Option<Vec<u8>> {
        let counter = |n: u32| {
            let mut block = [0; BLOCK];
            let (front, back) = block.split_at_mut(12);
            front.copy_from_slice(iv);
            back.copy_from_slice(&n.to_be_bytes());
            Block::from(block)
        };
        // The hash key, the mask of the tag, and the stream.
        let count = u32::try_from(data.len().div_ceil(BLOCK)).ok()?;
        let mut stream = vec![Block::default(), counter(1)];
        stream.extend((2..count.checked_add(2)?).map(counter));
        self.encrypt(&mut stream);
        let (head, stream) = stream.split_first_chunk::<2>()?;
        let [key, mask] = head.map(|block| u128::from_be_bytes(block.into()));
        let lengths = (data.len() as u128).checked_mul(8)?;
        let hashed = data
            .chunks(BLOCK)
            .map(|chunk| {
                let mut block = [0; BLOCK];
                block.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
                u128::from_be_bytes(block)
            })
            .chain([lengths])
            .fold(0, |sum, block| multiply(sum ^ block, key));
        (hashed ^ mask == u128::from_be_bytes(*tag)).then(|| {
            data.iter().zip(stream.iter().flatten()).map(|(byte, key)| byte ^ key).collect()
        })
    }
}

/// The product of GHASH: the highest bit is the lowest power.
fn multiply(a: u128, b: u128) -> u128 {
    let (mut product, mut power) = (0, b);
    for bit in (0..128).rev() {
        if a >> bit & 1 == 1 {
            product ^= power;
        }
        power = if power & 1 == 1 { power >> 1 ^ 0xE1 << 120 } else { power >> 1 };
    }
    product
}

fn blocks(data: &[u8]) -> Vec<Block> {
    data.as_chunks::<BLOCK>().0.iter().map(|block| (*block).into()).collect()
}

/// The content without the padding of PKCS #7; none where the last block does not end in one.
#[must_use]
pub fn unpadded(plain: &[u8]) -> Option<&[u8]> {
    let count = usize::from(*plain.last()?);
    let at = plain.len().checked_sub(count)?;
    let (content, padding) = plain.split_at_checked(at)?;
    let right = (1..=BLOCK).contains(&count) && padding.iter().all(|b| usize::from(*b) == count);
    right.then_some(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::sums::hex;

    fn bytes(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|c| u8::from_str_radix(str::from_utf8(c).unwrap(), 16).unwrap())
            .collect()
    }

    /// NIST SP 800-38A, F.1.2 and F.2.2, F.2.6: the first two blocks.
    #[test]
    fn published_vectors() {
        let plain = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
        let key = bytes("2b7e151628aed2a6abf7158809cf4f3c");
        let aes = Aes::new(&key).unwrap();
        let ecb = bytes("3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf");
        assert_eq!(hex(&aes.ecb(&ecb)), plain);
        let iv: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let cbc = bytes("7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2");
        assert_eq!(hex(&aes.cbc(&iv, &cbc)), plain);
        let key = bytes("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let cbc = bytes("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d");
        assert_eq!(hex(&Aes::new(&key).unwrap().cbc(&iv, &cbc)), plain);
        assert!(Aes::new(&[0; 17]).is_none());
    }

    #[test]
    fn padding_is_taken_off_only_where_it_is_one() {
        assert_eq!(unpadded(b"text\x02\x02"), Some(&b"text"[..]));
        assert_eq!(unpadded(&[16; 16]), Some(&[][..]));
        assert_eq!(unpadded(b"text\x01\x02"), None);
        assert_eq!(unpadded(&[0; 16]), None);
        assert_eq!(unpadded(&[17; 32]), None);
        assert_eq!(unpadded(b""), None);
    }

    /// Test case 14 of the GCM specification, and its key with a single block of zeros.
    #[test]
    fn gcm_of_the_specification() {
        let aes = Aes::new(&[0; 32]).unwrap();
        let sealed = bytes("cea7403d4d606b6e074ec5d3baf39d18");
        let tag: [u8; 16] = bytes("d0d1c8a799996bf0265b98b5d48ab919").try_into().unwrap();
        assert_eq!(aes.gcm(&[0; 12], &sealed, &tag), Some(vec![0; 16]));
        let mut wrong = tag;
        wrong[3] ^= 1;
        assert_eq!(aes.gcm(&[0; 12], &sealed, &wrong), None);
    }
}
