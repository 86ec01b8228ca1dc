//! A record as bytes: postcard, deflated where that pays.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::record::Record;

/// Largest record that is read back.
const LARGEST: usize = 256 << 20;

thread_local! {
    static DEFLATE: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(4), false));
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// The record's plain form, from which its digest is made.
pub fn plain(record: &Record) -> Result<Vec<u8>, String> {
    postcard::to_stdvec(record).map_err(|e| e.to_string())
}

/// Zero and the bytes, or the length (never zero) and the deflated bytes.
pub fn pack(plain: &[u8]) -> Vec<u8> {
    let stored = || [&[0; 4][..], plain].concat();
    let Ok(length) = u32::try_from(plain.len()) else { return stored() };
    if plain.len() < 96 {
        return stored();
    }
    DEFLATE.with_borrow_mut(|deflate| {
        deflate.reset();
        let mut out = Vec::with_capacity(plain.len());
        out.extend_from_slice(&length.to_le_bytes());
        match deflate.compress_vec(plain, &mut out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => out,
            // It did not become smaller.
            _ => stored(),
        }
    })
}

/// The inverse of [`pack`] and [`plain`].
pub fn unpack(packed: &[u8]) -> Result<Record, String> {
    let damaged = || "a stored record is damaged; import the feed again".to_owned();
    let (length, body) = packed.split_first_chunk::<4>().ok_or_else(damaged)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length == 0 {
        return postcard::from_bytes(body).map_err(|_| damaged());
    }
    if length > LARGEST {
        return Err(damaged());
    }
    let plain = INFLATE.with_borrow_mut(|inflate| {
        inflate.reset(false);
        // What deflate can make of so few bytes bounds what is set aside.
        let mut out = Vec::with_capacity(length.min(body.len().saturating_mul(1100)));
        match inflate.decompress_vec(body, &mut out, FlushDecompress::Finish) {
            Ok(Status::StreamEnd) if out.len() == length => Ok(out),
            _ => Err(damaged()),
        }
    })?;
    postcard::from_bytes(&plain).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for n in [0, 5, 500] {
            let links = (0..n).map(|i| format!("https://e.example/{i}")).collect();
            let record = Record {
                id: "CVE-2020-0001".into(),
                links,
                modified: Some(-3),
                ..Record::default()
            };
            let packed = pack(&plain(&record).unwrap());
            assert_eq!(unpack(&packed).unwrap(), record);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let record = Record { links: vec!["https://e.example/".repeat(50)], ..Record::default() };
        let packed = pack(&plain(&record).unwrap());
        for i in 0..packed.len() {
            let mut bad = packed.clone();
            bad[i] ^= 0xff;
            // May by chance still be a record, must not panic.
            let _ = unpack(&bad);
            let _ = unpack(packed.get(..i).unwrap());
        }
        assert!(unpack(&packed[..packed.len() - 1]).is_err());
        assert!(unpack(&[]).is_err());
    }
}
