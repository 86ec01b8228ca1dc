//! MINIFS of TP-Link's real-time devices: names, a table of files, a table of LZMA chunks that hold several files.
//!
//! *Establishes*: paths, sizes and contents. *How*: header, name table, 20 bytes per file, 12 bytes per chunk, then
//! the chunks, each a `.lzma` stream. *Integrity*: every file must lie in its chunk and every chunk in the image.
//! *Limits*: other versions than 3. *Sources*: Reverse Engineered MiniFS File System, arXiv 2407.05064.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::common;
use crate::{
    budget::Budget,
    codec::lzma,
    format::{Blob, Entry, Load, Loaded, Magic},
    formats::layout::{Layout, Reader, about},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        FileSystem,
        "minifs",
        "MINIFS (TP-Link)",
        "paths",
        "declared sizes of files and chunks, decoding",
        "other versions than 3",
        "https://arxiv.org/html/2407.05064v1"
    ),
    magics: &[Magic::anywhere(b"MINIFS\0\0\0\0\0\0\0\0\0\0\0\0\0\x03")],
    read: minifs,
};

/// A stream that holds several files; decoded once, whoever asks first.
struct Chunk {
    packed: Bytes,
    size: usize,
    content: OnceLock<Loaded>,
}

impl Chunk {
    /// The content; paid for by its own declared size, so that the result does not depend on who asks.
    fn content(&self) -> &Loaded {
        self.content.get_or_init(|| {
            let own = Budget::new(self.size as u64, 0, u64::MAX, None);
            let decoded = lzma::decode_alone(&self.packed, self.size, &own);
            let mut problems: Vec<Problem> = decoded.error.into_iter().map(Into::into).collect();
            if problems.is_empty() && decoded.bytes.len() != self.size {
                let text =
                    format!("{} bytes came out, {} were declared", decoded.bytes.len(), self.size);
                problems.push(Problem::new(ProblemKind::Incomplete, text));
            }
            Loaded { bytes: decoded.bytes.into(), problems }
        })
    }
}

struct File {
    chunk: Arc<Chunk>,
    offset: usize,
    size: usize,
}

impl Load for File {
    fn size(&self) -> u64 {
        self.size as u64
    }

    fn load(&self, budget: &Budget) -> Loaded {
        if let Err(e) = budget.output(self.size as u64) {
            return Loaded { bytes: Bytes::new(), problems: vec![e.into()] };
        }
        let whole = self.chunk.content();
        let mut problems = whole.problems.clone();
        let start = self.offset.min(whole.bytes.len());
        let end = self.offset.saturating_add(self.size).min(whole.bytes.len());
        if end.saturating_sub(start) < self.size && problems.is_empty() {
            problems
                .push(Problem::new(ProblemKind::Truncated, "the file reaches beyond its chunk"));
        }
        // A copy of its own: a slice would keep the whole chunk.
        Loaded {
            bytes: Bytes::copy_from_slice(whole.bytes.get(start..end).unwrap_or_default()),
            problems,
        }
    }
}

/// Largest chunk that is believed.
const CHUNK_MAX: u32 = 1 << 26;

fn minifs(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 32;
    let word = |at| read::be32(data, at);
    let (count, names_len) = (read::index(word(20)?.into())?, read::index(word(28)?.into())?);
    if !data.starts_with(b"MINIFS") || word(16)? != 3 || !(1..=0x1_0000).contains(&count) {
        return None;
    }
    let names = read::slice(data, HEADER, names_len)?;
    let table = HEADER.checked_add(names_len)?;
    let files = read::slice(data, table, count.checked_mul(20)?)?;
    budget.work(files.len() as u64).ok()?;
    let rows: Vec<_> = files.chunks_exact(20).collect();
    let chunk_count = rows.iter().filter_map(|r| read::be32(r, 8)).max()?.checked_add(1)?;
    let chunks_at = table.checked_add(files.len())?;
    let chunks_len = read::index(chunk_count.into())?.checked_mul(12)?;
    let base = chunks_at.checked_add(chunks_len)?;
    let mut chunks = Vec::new();
    let mut end = base;
    for row in read::slice(data, chunks_at, chunks_len)?.chunks_exact(12) {
        let (offset, packed, size) =
            (read::be32(row, 0)?, read::be32(row, 4)?, read::be32(row, 8)?);
        let from = base.checked_add(read::index(offset.into())?)?;
        let to = from.checked_add(read::index(packed.into())?)?;
        if size > CHUNK_MAX {
            return None;
        }
        end = end.max(to);
        let there = data.slice(from.min(data.len())..to.min(data.len()));
        chunks.push(Arc::new(Chunk {
            packed: there,
            size: read::index(size.into())?,
            content: OnceLock::new(),
        }));
    }
    let mut layout = Layout::new(data, end as u64, Proof::LengthsConsistent);
    layout.structure(0, layout.length);
    layout.attribute("chunks", chunk_count);
    let text = |at: u32| Some(read::until_nul(names.get(read::index(at.into())?..)?));
    let mut lost = 0_u32;
    for row in rows {
        let word = |at| read::be32(row, at);
        let (folder, name) = (text(word(0)?), text(word(4)?));
        let chunk = chunks.get(read::index(word(8)?.into())?);
        let (Some(folder), Some(name), Some(chunk)) = (folder, name, chunk) else {
            lost = lost.saturating_add(1);
            continue;
        };
        let folder = folder.strip_prefix(b"/").unwrap_or(folder);
        let folder = folder.strip_suffix(b"/").unwrap_or(folder);
        let path = common::join(folder, name);
        let first = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
        let path = path.get(first..).unwrap_or_default();
        let mut entry = Entry::file(path, Blob::None);
        entry.problems.extend(common::check_name(name));
        entry.blob = Blob::Lazy(Arc::new(File {
            chunk: chunk.clone(),
            offset: read::index(word(12)?.into())?,
            size: read::index(word(16)?.into())?.min(chunk.size),
        }));
        if word(16)? as usize > chunk.size {
            let text = format!("{} bytes are declared in a chunk of {}", word(16)?, chunk.size);
            entry.problems.push(Problem::new(ProblemKind::Incomplete, text));
        }
        layout.entry(table..table, entry);
    }
    if lost > 0 {
        layout.problem(
            ProblemKind::Incomplete,
            format!("{lost} of {count} files have no name or no chunk"),
        );
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn our_own_image_around_streams_of_xz_is_read_back() {
        let files = [
            ("/web", "a.htm", "first page ".repeat(80)),
            ("/web", "b.htm", "second".repeat(90)),
            ("/", "c", "c".repeat(50)),
        ];
        let dir = scratch();
        let pack = |content: &str| {
            std::fs::write(dir.path().join("in"), content).unwrap();
            tool(dir.path(), "xz-utils", "xz --format=lzma -c in")
        };
        let first = pack(&[&*files[0].2, &*files[1].2].concat());
        let second = pack(&files[2].2);
        let names = b"/web\0a.htm\0b.htm\0/\0c\0";
        let mut image = b"MINIFS\0\0\0\0\0\0\0\0\0\0\0\0\0\x03".to_vec();
        let be = |v: usize| u32::try_from(v).unwrap().to_be_bytes();
        for v in [3, first.len(), names.len()] {
            image.extend(be(v));
        }
        image.extend(names);
        let (a, b) = (files[0].2.len(), files[1].2.len());
        for row in [[0, 5, 0, 0, a], [0, 11, 0, a, b], [17, 19, 1, 0, 50]] {
            row.iter().for_each(|v| image.extend(be(*v)));
        }
        for row in [[0, first.len(), a + b], [first.len(), second.len(), 50]] {
            row.iter().for_each(|v| image.extend(be(*v)));
        }
        image.extend(&first);
        image.extend(&second);
        let opened = open_whole(&FORMAT, &image);
        assert_eq!(opened.files(), ["web/a.htm", "web/b.htm", "c"]);
        for ((_, _, content), path) in files.iter().zip(opened.files()) {
            assert_eq!(opened.content(&path), content.as_bytes());
        }
        torture(&FORMAT, &image);
        // A file that claims more than its chunk holds is said to be short.
        let row = 32 + names.len() + 40 + 16;
        image[row..row + 4].copy_from_slice(&be(51));
        let opened = open(&FORMAT, &image);
        assert_eq!(opened.entries[2].problems[0].kind, ProblemKind::Incomplete);
        assert!(open_at(&FORMAT, &image[..60], 0).is_none());
    }
}
