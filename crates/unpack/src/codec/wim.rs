//! Contents in chunks that are compressed by themselves, as WIM and the compact files of NTFS have them: a table of where
//! the chunks end, but for the last one, and the chunks. A chunk as long as what comes out is stored.
//!
//! Source: [MS-WIM] is not published; Microsoft's white paper "Windows Imaging File Format" and wimlib's description.

use super::{Decoded, Error, lzx::Lzx, xpress};
use crate::{budget::Budget, read, spool::Buffer};

/// How chunks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// XPRESS with Huffman codes.
    Xpress,
    /// LZX in a window of 32 KiB.
    Lzx,
}

/// Decodes a content of `size` bytes in chunks of `chunk`, as far as it goes.
#[must_use]
pub fn decode(data: &[u8], size: u64, chunk: usize, method: Method, budget: &Budget) -> Decoded {
    let mut bytes = Buffer::default();
    let error = chunks(data, size, chunk, method, budget, &mut bytes).err();
    Decoded { bytes, consumed: data.len(), error }
}

fn chunks(
    data: &[u8],
    size: u64,
    chunk: usize,
    method: Method,
    budget: &Budget,
    out: &mut Buffer,
) -> Result<(), Error> {
    let cut = Error::Truncated { what: "WIM", at: data.len() };
    let count = read::index(size.div_ceil(chunk.max(1) as u64)).ok_or(cut)?;
    let entry = if size > u64::from(u32::MAX) { 8 } else { 4 };
    let ends = count.saturating_sub(1).checked_mul(entry).ok_or(cut)?;
    let body = data.get(ends..).ok_or(cut)?;
    let end = |n: usize| {
        let at = n.checked_mul(entry)?;
        match (n < count.saturating_sub(1), entry) {
            (false, _) => Some(body.len()),
            (_, 4) => Some(read::le32(data, at)? as usize),
            _ => read::index(read::le64(data, at)?),
        }
    };
    let (mut from, mut left) = (0, size);
    for n in 0..count {
        let to = end(n).ok_or(cut)?;
        let packed = body.get(from..to).ok_or(cut)?;
        let plain = read::index(left.min(chunk as u64)).ok_or(cut)?;
        budget.output(plain as u64)?;
        if packed.len() == plain {
            out.append(packed, budget.spool());
        } else {
            let at = ends.saturating_add(from);
            let made = match method {
                Method::Xpress => xpress::chunk(packed, plain),
                Method::Lzx => Lzx::chunk(packed, plain),
            };
            out.append(&made.map_err(|e| e.moved(at))?, budget.spool());
        }
        left = left.saturating_sub(plain as u64);
        from = to;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::formats::{
        sums,
        testing::{noise, scratch, tool},
    };

    /// The contents of a WIM that wimlib wrote: compressed bytes, size, SHA-1.
    pub(crate) fn contents(wim: &[u8]) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
        // Seven bytes of size and one of flags, the place, and the size of what comes out.
        let resource = |at: usize| {
            let size = read::le64(wim, at).unwrap();
            let place = read::le64(wim, at + 8).unwrap() as usize;
            let stored = wim[place..place + (size & 0xFF_FFFF_FFFF_FFFF) as usize].to_vec();
            (stored, size >> 56, read::le64(wim, at + 16).unwrap())
        };
        let (table, ..) = resource(48);
        let place = read::le64(wim, 56).unwrap() as usize;
        let rows = (0..table.len() / 50).map(|n| place + 50 * n);
        rows.map(|at| (resource(at), wim[at + 30..at + 50].to_vec()))
            .filter(|((_, flags, _), _)| flags & 4 != 0)
            .map(|((stored, _, size), sum)| (stored, size, sum))
            .collect()
    }

    /// A WIM of texts, programs and noise.
    pub(crate) fn wim(compression: &str, chunk: usize) -> Vec<u8> {
        let dir = scratch();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let text: Vec<u8> =
            (0..60_000_u64).flat_map(|n| (n * n).to_string().into_bytes()).collect();
        std::fs::write(tree.join("text"), &text).unwrap();
        std::fs::write(tree.join("short"), &text[..700]).unwrap();
        std::fs::write(
            tree.join("mixed"),
            [&text[..40_000], &noise(40_000, 1), &text[..9]].concat(),
        )
        .unwrap();
        std::fs::write(tree.join("zeros"), vec![0; 200_000]).unwrap();
        std::fs::copy("/bin/ls", tree.join("program")).unwrap();
        tool(
            dir.path(),
            "wimtools",
            &format!(
                "wimcapture tree a.wim --compress={compression} --chunk-size={chunk} --no-acls >&2"
            ),
        );
        std::fs::read(dir.path().join("a.wim")).unwrap()
    }

    #[test]
    fn contents_that_wimlib_wrote() {
        let budget = Budget::ample();
        for (compression, chunk, method) in [
            ("xpress", 4096, Method::Xpress),
            ("xpress", 8192, Method::Xpress),
            ("xpress", 16384, Method::Xpress),
            ("xpress", 32768, Method::Xpress),
            ("lzx", 32768, Method::Lzx),
        ] {
            let contents = contents(&wim(compression, chunk));
            assert!(contents.len() >= 4, "{compression}");
            for (stored, size, sum) in contents {
                let made = decode(&stored, size, chunk, method, &budget);
                assert_eq!(made.error, None, "{compression} {chunk}");
                assert!(sums::sha1(&made.bytes)[..] == sum[..], "{compression} {chunk}");
            }
        }
    }

    #[test]
    fn damage_is_told_and_bounded() {
        let budget = Budget::ample();
        for (compression, method) in [("xpress", Method::Xpress), ("lzx", Method::Lzx)] {
            let contents = contents(&wim(compression, 32768));
            let (stored, size, _) = contents.iter().min_by_key(|c| c.0.len()).unwrap();
            for cut in (0..stored.len()).step_by(1 + stored.len() / 200) {
                let made = decode(&stored[..cut], *size, 32768, method, &budget);
                // A writer fills the end, and may leave out what is zero.
                assert!(made.error.is_some() || cut + 8 > stored.len());
                assert!(made.bytes.len() as u64 <= *size);
            }
            for bit in (0..stored.len() * 8).step_by(1 + stored.len() / 40) {
                let mut damaged = stored.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let made = decode(&damaged, *size, 32768, method, &budget);
                assert!(made.bytes.len() as u64 <= *size);
            }
        }
    }
}
