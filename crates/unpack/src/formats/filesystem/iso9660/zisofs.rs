//! zisofs: a file in blocks that zlib packs, said to be so by its Rock Ridge entry `ZF`.
//!
//! ```text
//! 0 magic, 8 size of the content, 12 length of this header in words, 13 log2 of a block
//! then the places of the blocks and of their end, 32 bits each; a block of no bytes is zeros
//! ```
//! *Limits*: version 2 (files above 4 GiB, other magic) is named, not read. *Source*: zisofs-tools,
//! <https://dev.lovelyhq.com/libburnia/libisofs/raw/branch/master/doc/zisofs_format.txt>.

use proofmark_model::{Problem, ProblemKind};

use crate::{
    budget::Budget,
    codec::deflate,
    format::{Blob, Loaded},
    formats::{
        filesystem::common::{malformed, zeros},
        layout::Deferred,
    },
    read::{self, le32},
};

const MAGIC: &[u8] = b"\x37\xE4\x53\x96\xC9\xDB\xD6\x07";

/// The content that is packed in `stored`; `size` is what the directory says of it. A file that does not begin like one
/// is given as it is, as the kernel does.
pub(super) fn content(stored: Blob, size: u32) -> Blob {
    Deferred::blob(size.into(), move |budget| {
        let whole = stored.load(budget);
        match unpack(&whole.bytes, budget) {
            Some(mut loaded) => {
                loaded.problems.splice(0..0, whole.problems);
                loaded
            }
            None => {
                let text = "not the layout of zisofs version 1; given as stored";
                let mut problems = whole.problems;
                problems.push(Problem::new(ProblemKind::Unsupported, text));
                Loaded { bytes: whole.bytes, problems }
            }
        }
    })
}

fn unpack(b: &[u8], budget: &Budget) -> Option<Loaded> {
    let log = u32::from(read::u8(b, 13)?);
    if !b.starts_with(MAGIC) || !(15..=17).contains(&log) {
        return None;
    }
    let (size, block) = (le32(b, 8)?, 1_usize.checked_shl(log)?);
    let table = b.get(usize::from(read::u8(b, 12)?).checked_mul(4)?..)?;
    let place = |n: usize| read::index(le32(table, n.checked_mul(4)?)?.into());
    let mut loaded = Loaded::default();
    let Some(mut out) = zeros(size.into(), budget, &mut loaded.problems) else {
        return Some(loaded);
    };
    for (n, target) in out.chunks_mut(block).enumerate() {
        let own = &Budget::new(block as u64, 0, u64::MAX, None);
        let stored =
            place(n).zip(place(n.saturating_add(1))).and_then(|(from, to)| b.get(from..to));
        let decoded = match stored {
            Some([]) => continue,
            Some(stored) => deflate::zlib(stored, block, own).whole().map_err(Problem::from),
            None => Err(malformed("a block of zisofs is not in the file")),
        };
        let problem = match decoded {
            Ok((bytes, _)) if bytes.len() == target.len() => {
                target.copy_from_slice(&bytes);
                continue;
            }
            Ok(_) => malformed("a block of zisofs has another size"),
            Err(problem) => problem,
        };
        loaded.problems.push(problem.at((n as u64).saturating_mul(block as u64)));
    }
    loaded.bytes = out.into();
    Some(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_kind_is_given_as_it_is() {
        let loaded = content(Blob::Bytes(b"plain".to_vec().into()), 5).load(&Budget::ample());
        assert_eq!((&loaded.bytes[..], loaded.problems.len()), (&b"plain"[..], 1));
    }
}
