//! Microsoft cabinets: stored, MSZIP, Quantum and LZX folders.
//!
//! A folder is one stream in blocks of 32 KiB; matches reach back into the blocks
//! before. Folders are decoded as a whole.
//!
//! A folder may go on in the next cabinet of a set, also in the middle of a block. Cabinets of a set that stand one behind
//! the other are read as one; [`split`](crate::split) puts those of one container or folder together that way.
//!
//! Source: [MS-CAB] and [MS-MCI].

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{dos_seconds, entry, put};
use crate::{
    budget::Budget,
    codec::{Error, deflate, lzx::Lzx, quantum::Quantum},
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Cab;

static ABOUT: About = About {
    id: "cab",
    name: "Microsoft cabinet",
    family: Family::Archive,
    revision: 2,
    metadata: "mtime",
    integrity: "sum of each data block",
    limits: "files that go on in a cabinet that is in another container",
    sources: &["MS-CAB", "MS-MCI"],
};

const BLOCK: usize = 0x8000;

struct Header {
    size: usize,
    files_at: usize,
    files: usize,
    /// Reserved bytes in each data block.
    reserve: usize,
    /// Data offset, number of blocks, compression.
    folders: Vec<(usize, usize, u16)>,
    link: Link,
}

/// What makes a cabinet one of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Number of the set, and place in it.
    set: u16,
    index: u16,
    /// File names of the cabinets before and after.
    pub previous: Option<Vec<u8>>,
    /// See `previous`.
    pub next: Option<Vec<u8>>,
}

impl Link {
    /// Whether `other` is the next cabinet, names apart.
    #[must_use]
    pub fn leads_to(&self, other: &Self) -> bool {
        self.set == other.set
            && self.index.checked_add(1) == Some(other.index)
            && self.next.is_some()
            && other.previous.is_some()
    }
}

/// How the cabinet that `data` is belongs to others.
#[must_use]
pub fn link(data: &[u8]) -> Option<Link> {
    Some(header(data)?.link)
}

fn header(data: &[u8]) -> Option<Header> {
    let fixed = read::slice(data, 0, 36)?;
    if !fixed.starts_with(b"MSCF\0\0\0\0") || read::u8(fixed, 25)? != 1 {
        return None;
    }
    let count = usize::from(read::le16(fixed, 26)?);
    let flags = read::le16(fixed, 30)?;
    let mut at = 36usize;
    let (mut of_folder, mut reserve) = (0usize, 0usize);
    if flags & 4 != 0 {
        let of_header = usize::from(read::le16(data, 36)?);
        of_folder = usize::from(read::u8(data, 38)?);
        reserve = usize::from(read::u8(data, 39)?);
        at = of_header.checked_add(40)?;
    }
    let mut text = || {
        let rest = data.get(at..)?;
        let len = memchr::memchr(0, rest.get(..rest.len().min(256))?)?;
        at = at.checked_add(len)?.checked_add(1)?;
        Some(rest.get(..len)?.to_vec())
    };
    // Names of the cabinet and disk before, and of those after.
    let mut names = [None, None];
    for (bit, name) in [1, 2].into_iter().zip(&mut names) {
        if flags & bit != 0 {
            *name = Some(text()?);
            text()?;
        }
    }
    let [previous, next] = names;
    let mut folders = Vec::new();
    for _ in 0..count {
        let blocks = usize::from(read::le16(data, at.checked_add(4)?)?);
        folders.push((
            read::le32(data, at)? as usize,
            blocks,
            read::le16(data, at.checked_add(6)?)?,
        ));
        at = at.checked_add(8)?.checked_add(of_folder)?;
    }
    let made = Header {
        size: read::le32(fixed, 8)? as usize,
        files_at: read::le32(fixed, 16)? as usize,
        files: usize::from(read::le16(fixed, 28)?),
        reserve,
        folders,
        link: Link { set: read::le16(fixed, 32)?, index: read::le16(fixed, 34)?, previous, next },
    };
    (made.files_at >= at
        && made.size > made.files_at
        && made.folders.iter().all(|f| f.0 < made.size))
    .then_some(made)
}

/// The cabinet that `data` begins with and those of its set that follow: where each begins.
fn set(data: &[u8], budget: &Budget) -> Vec<(usize, Header)> {
    let mut found: Vec<(usize, Header)> = Vec::new();
    let mut at = 0_usize;
    while let Some(head) = data.get(at..).and_then(header) {
        let goes_on = found.last().is_none_or(|(_, before)| before.link.leads_to(&head.link));
        if !goes_on || budget.work(head.files_at as u64).is_err() {
            break;
        }
        let next = at.saturating_add(head.size);
        found.push((at, head));
        at = next;
    }
    found
}

/// Sum of 32-bit words, as the format defines it for a tail of one to three bytes.
fn sum(data: &[u8], seed: u32) -> u32 {
    let (words, tail) = data.as_chunks::<4>();
    let all = words.iter().fold(seed, |s, w| s ^ u32::from_le_bytes(*w));
    all ^ tail.iter().fold(0, |s, b| (s << 8) | u32::from(*b))
}

/// The blocks of a folder in one cabinet.
struct Piece<'a> {
    cabinet: &'a [u8],
    reserve: usize,
    at: usize,
    blocks: usize,
}

/// A data block: its bytes, how many come out, and whether its sum is right.
struct Block<'a> {
    body: &'a [u8],
    plain: usize,
    right: bool,
}

impl<'a> Piece<'a> {
    /// The next block.
    fn block(&mut self) -> Option<Block<'a>> {
        let (cabinet, at) = (self.cabinet, self.at);
        let packed = usize::from(read::le16(cabinet, at.checked_add(4)?)?);
        let plain = usize::from(read::le16(cabinet, at.checked_add(6)?)?);
        let start = at.checked_add(8)?.checked_add(self.reserve)?;
        let body = read::slice(cabinet, start, packed)?;
        let stored = read::le32(cabinet, at)?;
        // The reserved bytes lie between what is summed.
        let right = stored == 0
            || stored == sum(read::slice(cabinet, at.checked_add(4)?, 4)?, sum(body, 0));
        self.at = start.checked_add(packed)?;
        Some(Block { body, plain, right })
    }
}

/// A decoder of the blocks of a folder.
enum Decoder {
    Stored,
    Deflate,
    Lzx(Lzx),
    Quantum(Quantum),
}

/// The content of a folder, as far as it can be decoded, and the first thing that was wrong.
fn folder(pieces: Vec<Piece<'_>>, kind: u16, budget: &Budget) -> (Vec<u8>, Option<Problem>) {
    let mut out = Vec::new();
    let mut wrong = None;
    let window = u32::from(kind >> 8 & 0x1F);
    let decoder = match kind & 15 {
        0 => Some(Decoder::Stored),
        1 => Some(Decoder::Deflate),
        2 => Quantum::new(window).map(Decoder::Quantum),
        3 => Lzx::new(window).map(Decoder::Lzx),
        n => {
            let text = format!("compression {n} is not known");
            return (out, Some(Problem::new(ProblemKind::Unsupported, text)));
        }
    };
    let Some(mut decoder) = decoder else {
        return (out, Some(Problem::new(ProblemKind::Malformed, "no window has this size")));
    };
    // The part of a block that stood in the cabinet before.
    let mut held: Vec<u8> = Vec::new();
    'pieces: for mut piece in pieces {
        for _ in 0..piece.blocks {
            let at = piece.at;
            let Some(block) = piece.block() else {
                let text = "a folder of the cabinet is cut off";
                wrong = wrong.or(Some(Problem::new(ProblemKind::Truncated, text)));
                break 'pieces;
            };
            if !block.right && wrong.is_none() {
                let text = "the sum of a data block is not right";
                wrong = Some(Problem::new(ProblemKind::Checksum, text).at(at as u64));
            }
            let mut body = block.body;
            if block.plain == 0 && kind & 15 != 0 || !held.is_empty() {
                held.extend_from_slice(body);
                // The rest of the block is the first one of the next cabinet.
                if block.plain == 0 {
                    continue;
                }
                body = &held;
            }
            if let Err(e) = decode(&mut decoder, body, block.plain, &mut out, budget) {
                wrong = wrong.or(Some(e.into()));
                break 'pieces;
            }
            held.clear();
        }
    }
    let out = match decoder {
        Decoder::Lzx(lzx) => lzx.finish(),
        Decoder::Quantum(quantum) => quantum.finish(),
        _ => out,
    };
    (out, wrong)
}

/// Decodes one block, of `plain` bytes.
fn decode(
    decoder: &mut Decoder,
    body: &[u8],
    plain: usize,
    out: &mut Vec<u8>,
    budget: &Budget,
) -> Result<(), Error> {
    let size = plain.min(BLOCK);
    match decoder {
        Decoder::Stored => {
            budget.output(body.len() as u64)?;
            out.extend_from_slice(body);
        }
        Decoder::Deflate => {
            let stream = body.strip_prefix(b"CK").unwrap_or_default();
            let made = deflate::inflate_after(out, stream, size, budget);
            out.extend_from_slice(&made.bytes);
            if let Some(e) = made.error.filter(|e| !matches!(e, Error::Limit { .. })) {
                return Err(e);
            }
        }
        Decoder::Lzx(lzx) => {
            budget.output(size as u64)?;
            lzx.frame(body, size)?;
        }
        Decoder::Quantum(quantum) => {
            budget.output(size as u64)?;
            quantum.frame(body, size)?;
        }
    }
    Ok(())
}

/// A file of a cabinet's list.
struct File<'a> {
    size: usize,
    /// Place in its folder, and the folder's number.
    offset: usize,
    folder: u16,
    time: u32,
    name: &'a [u8],
    /// Where the next one begins.
    next: usize,
}

fn file(data: &[u8], at: usize) -> Option<File<'_>> {
    let size = read::le32(data, at)? as usize;
    let offset = read::le32(data, at.checked_add(4)?)? as usize;
    let folder = read::le16(data, at.checked_add(8)?)?;
    let date = u32::from(read::le16(data, at.checked_add(10)?)?);
    let time = u32::from(read::le16(data, at.checked_add(12)?)?);
    let name_at = at.checked_add(16)?;
    let rest = data.get(name_at..)?;
    let len = memchr::memchr(0, rest.get(..rest.len().min(257))?)?;
    let next = name_at.checked_add(len)?.checked_add(1)?;
    let (time, name) = ((date << 16) | time, rest.get(..len)?);
    Some(File { size, offset, folder, time, name, next })
}

/// Numbers of folders that begin in the cabinet before, go on in the next one, or both.
const FROM_PREVIOUS: u16 = 0xFFFD;
const TO_NEXT: u16 = 0xFFFE;
const THROUGH: u16 = 0xFFFF;

/// Compression of a folder and where its blocks are.
type Folder<'a> = (u16, Vec<Piece<'a>>);

/// The folders of a set; for each cabinet which of them its own are, none for one that begins in a cabinet that is not here.
fn folders<'a>(
    region: &'a [u8],
    cabinets: &[(usize, Header)],
    budget: &Budget,
) -> (Vec<Folder<'a>>, Vec<Vec<Option<usize>>>) {
    let mut all: Vec<Folder<'a>> = Vec::new();
    let mut own = Vec::new();
    for (start, head) in cabinets {
        let end = start.saturating_add(head.size).min(region.len());
        let cabinet = region.get(*start..end).unwrap_or_default();
        let (mut goes_on, mut at) = (false, head.files_at);
        for _ in 0..head.files {
            let Some(File { folder, next, .. }) = file(cabinet, at) else { break };
            goes_on |= matches!(folder, FROM_PREVIOUS | THROUGH);
            at = next;
            if goes_on || budget.work(16).is_err() {
                break;
            }
        }
        let mut numbers = Vec::new();
        for (n, (at, blocks, kind)) in head.folders.iter().enumerate() {
            let piece = Piece { cabinet, reserve: head.reserve, at: *at, blocks: *blocks };
            if n > 0 || !goes_on {
                numbers.push(Some(all.len()));
                all.push((*kind, vec![piece]));
            } else {
                numbers.push(all.len().checked_sub(1));
                if let Some((_, pieces)) = all.last_mut() {
                    pieces.push(piece);
                }
            }
        }
        own.push(numbers);
    }
    (all, own)
}

impl Format for Cab {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"MSCF\0\0\0\0")] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        let (last, head) = set(archive, budget).pop()?;
        let end = last.checked_add(head.size)?;
        let mut found = Candidate::new(at, end.min(archive.len()), Proof::LengthsConsistent);
        if end > archive.len() {
            found.problems.push(Problem::new(ProblemKind::Truncated, "the cabinet is cut off"));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let cabinets = set(region, budget);
        let (all, own) = folders(region, &cabinets, budget);
        let contents: Vec<_> = all
            .into_iter()
            .map(|(kind, pieces)| {
                let (bytes, problem) = folder(pieces, kind, budget);
                (Bytes::from(bytes), problem)
            })
            .collect();
        let ends = cabinets.first().zip(cabinets.last());
        let elsewhere = [
            ends.and_then(|(first, _)| first.1.link.previous.as_ref()).map(|n| ("begins", n)),
            ends.and_then(|(_, last)| last.1.link.next.as_ref()).map(|n| ("goes on", n)),
        ];
        for (how, name) in elsewhere.into_iter().flatten() {
            let text =
                format!("the set {how} in the cabinet `{}`, which is not here", escape(name));
            sink.problem(Problem::new(ProblemKind::Incomplete, text));
        }
        if cabinets.len() > 1 {
            sink.attribute("cabinets", cabinets.len());
        }
        for (n, ((start, head), own)) in cabinets.iter().zip(own).enumerate() {
            let cabinet = region.get(*start..).unwrap_or_default();
            let mut at = head.files_at;
            for _ in 0..head.files {
                let Some(File { size, offset, folder: number, time, name, next }) =
                    file(cabinet, at)
                else {
                    let text = "the list of files is cut off";
                    return sink.problem(Problem::new(ProblemKind::Truncated, text));
                };
                at = next;
                let begins_before = matches!(number, FROM_PREVIOUS | THROUGH);
                // It was told by the cabinet in which it begins.
                if begins_before && n > 0 {
                    continue;
                }
                let name: Vec<u8> =
                    name.iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
                let mut made = entry(&name, EntryKind::File);
                made.metadata = Metadata { mtime: dos_seconds(time), ..Metadata::default() };
                let folder = match number {
                    TO_NEXT => own.last().copied().flatten(),
                    FROM_PREVIOUS | THROUGH => None,
                    n => own.get(usize::from(n)).copied().flatten(),
                };
                match folder.and_then(|n| contents.get(n)) {
                    Some((bytes, problem)) => {
                        let from = offset.min(bytes.len());
                        let to = from.saturating_add(size).min(bytes.len());
                        let there = to.saturating_sub(from);
                        if there < size {
                            let text = format!("{there} of {size} bytes are there");
                            made.problems.push(Problem::new(ProblemKind::Incomplete, text));
                        }
                        made.problems.extend(problem.clone());
                        made.blob = Blob::Bytes(bytes.slice(from..to));
                    }
                    None => {
                        let text = "its folder begins in another cabinet, or is not there";
                        made.problems.push(Problem::new(ProblemKind::Incomplete, text));
                    }
                }
                if !put(sink, made) {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        codec::quantum::tests::{Encoder, content},
        formats::testing::{noise, open_at, open_whole, scratch, tool, torture},
    };

    /// One folder of one file.
    fn cabinet(kind: u16, blocks: &[(Vec<u8>, usize)], size: usize) -> Vec<u8> {
        let data_at = 36 + 8 + 16 + 2;
        let mut file = b"MSCF\0\0\0\0".to_vec();
        let body: usize = blocks.iter().map(|(packed, _)| packed.len() + 8).sum();
        for word in [data_at + body, 0, 44, 0] {
            file.extend((word as u32).to_le_bytes());
        }
        file.extend([3, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        file.extend((data_at as u32).to_le_bytes());
        file.extend((blocks.len() as u16).to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend((size as u32).to_le_bytes());
        file.extend([0, 0, 0, 0, 0, 0, 0x21, 0x28, 0, 0, 0x20, 0]);
        file.extend(b"f\0");
        for (packed, plain) in blocks {
            let mut head = (packed.len() as u16).to_le_bytes().to_vec();
            head.extend((*plain as u16).to_le_bytes());
            file.extend(sum(&head, sum(packed, 0)).to_le_bytes());
            file.extend(head);
            file.extend(packed);
        }
        file
    }

    #[test]
    fn quantum_folders_as_cabextract_reads_them() {
        let content = content();
        for window in [10_u16, 15, 21] {
            let mut encoder = Encoder::new(window.into());
            let blocks: Vec<_> = (0..content.len())
                .step_by(BLOCK)
                .map(|from| {
                    let to = (from + BLOCK).min(content.len());
                    (encoder.frame(&content, from, to, 1 << window), to - from)
                })
                .collect();
            let file = cabinet(2 | 7 << 4 | window << 8, &blocks, content.len());
            assert!(open_whole(&Cab, &file).content("f") == content, "window {window}");
            let dir = scratch();
            std::fs::write(dir.path().join("a.cab"), &file).unwrap();
            let theirs = tool(dir.path(), "cabextract", "cabextract -q -p a.cab");
            assert!(theirs == content, "cabextract, window {window}");
            if window == 15 {
                torture(&Cab, &file[..file.len().min(30_000)]);
            }
        }
    }

    /// A block and how many bytes come out of it.
    type Packed = (Vec<u8>, usize);
    /// A file's name and content.
    type Named = (&'static str, Vec<u8>);

    /// A cabinet of a set.
    struct Part<'a> {
        index: u16,
        previous: Option<&'a str>,
        next: Option<&'a str>,
        /// Compression and blocks.
        folders: Vec<(u16, Vec<Packed>)>,
        /// Name, bytes, place, folder.
        files: Vec<(&'a str, usize, usize, u16)>,
    }

    impl Part<'_> {
        fn write(&self) -> Vec<u8> {
            let names: Vec<u8> = [self.previous, self.next]
                .into_iter()
                .flatten()
                .flat_map(|name| [name.as_bytes(), b"\0disk\0"].concat())
                .collect();
            let files: Vec<u8> = self
                .files
                .iter()
                .flat_map(|(name, size, at, folder)| {
                    let mut row = (*size as u32).to_le_bytes().to_vec();
                    row.extend((*at as u32).to_le_bytes());
                    row.extend(folder.to_le_bytes());
                    row.extend([0x21, 0x28, 0, 0, 0x20, 0]);
                    row.extend(name.bytes().chain([0]));
                    row
                })
                .collect();
            let files_at = 36 + names.len() + self.folders.len() * 8;
            let mut rows = Vec::new();
            let mut body = Vec::new();
            for (kind, blocks) in &self.folders {
                rows.extend(((files_at + files.len() + body.len()) as u32).to_le_bytes());
                rows.extend((blocks.len() as u16).to_le_bytes());
                rows.extend(kind.to_le_bytes());
                for (packed, plain) in blocks {
                    let mut head = (packed.len() as u16).to_le_bytes().to_vec();
                    head.extend((*plain as u16).to_le_bytes());
                    body.extend(sum(&head, sum(packed, 0)).to_le_bytes());
                    body.extend(head);
                    body.extend(packed);
                }
            }
            let mut file = b"MSCF\0\0\0\0".to_vec();
            for word in [files_at + files.len() + body.len(), 0, files_at, 0] {
                file.extend((word as u32).to_le_bytes());
            }
            file.extend([3, 1]);
            let flags = u16::from(self.previous.is_some()) | u16::from(self.next.is_some()) << 1;
            let counts = [self.folders.len() as u16, self.files.len() as u16];
            for word in [counts[0], counts[1], flags, 0x1234, self.index] {
                file.extend(word.to_le_bytes());
            }
            [file, names, rows, files, body].concat()
        }
    }

    /// Blocks of a folder, each with its size; compressed by Deflate, each on the window of those before, or not at all.
    fn blocks(plain: &[u8], packs: bool) -> Vec<(Vec<u8>, usize)> {
        let chunks = plain.chunks(BLOCK).enumerate();
        let pack = |(n, chunk): (usize, &[u8])| {
            let mut packed = chunk.to_vec();
            if packs {
                let mut state = flate2::Compress::new(flate2::Compression::best(), false);
                packed = b"CK".to_vec();
                packed.reserve(2 * BLOCK);
                let before = n.checked_sub(1).and_then(|n| plain.chunks(BLOCK).nth(n));
                if let Some(before) = before {
                    state.set_dictionary(before).unwrap();
                }
                state.compress_vec(chunk, &mut packed, flate2::FlushCompress::Finish).unwrap();
            }
            (packed, chunk.len())
        };
        chunks.map(pack).collect()
    }

    /// Three cabinets: a file that goes through all of them, one that begins where that ends, and others; blocks are
    /// parted between cabinets. Contents by name.
    pub(crate) fn three(packs: bool) -> (Vec<Vec<u8>>, Vec<Named>) {
        let text: Vec<u8> =
            (0..70_000_u64).flat_map(|n| (n * n / 7).to_string().into_bytes()).collect();
        let (first, through) = (noise(1000, 1), text[..150_000].to_vec());
        let (after, alone) = (text[..9000].to_vec(), noise(5000, 2));
        let kind = u16::from(packs);
        let folder = blocks(&[&first[..], &through, &after].concat(), packs);
        // The second block is parted between the first two cabinets, the fourth between the last two.
        let part = |block: &(Vec<u8>, usize)| {
            let (head, tail) = block.0.split_at(block.0.len() / 3);
            ((head.to_vec(), 0), (tail.to_vec(), block.1))
        };
        let (one, two) = (part(&folder[1]), part(&folder[3]));
        let parts = [
            Part {
                index: 0,
                previous: None,
                next: Some("TWO.CAB"),
                folders: vec![(0, blocks(&alone, false)), (kind, vec![folder[0].clone(), one.0])],
                files: vec![
                    ("alone", alone.len(), 0, 0),
                    ("first", first.len(), 0, 1),
                    ("through", through.len(), first.len(), TO_NEXT),
                ],
            },
            Part {
                index: 1,
                previous: Some("one.cab"),
                next: Some("three.cab"),
                folders: vec![(kind, vec![one.1, folder[2].clone(), two.0])],
                files: vec![("through", through.len(), first.len(), THROUGH)],
            },
            Part {
                index: 2,
                previous: Some("two.cab"),
                next: None,
                folders: vec![(kind, [&[two.1], &folder[4..]].concat())],
                files: vec![
                    ("through", through.len(), first.len(), FROM_PREVIOUS),
                    ("after", after.len(), first.len() + through.len(), 0),
                ],
            },
        ];
        let contents =
            vec![("alone", alone), ("first", first), ("through", through), ("after", after)];
        (parts.iter().map(Part::write).collect(), contents)
    }

    #[test]
    fn sets_of_cabinets_as_cabextract_reads_them() {
        for packs in [false, true] {
            let (cabinets, contents) = three(packs);
            let all = cabinets.concat();
            let opened = open_whole(&Cab, &all);
            let names: Vec<_> = contents.iter().map(|(name, _)| *name).collect();
            assert_eq!(
                (opened.names(), opened.attribute("cabinets")),
                (names.iter().map(|n| (*n).to_owned()).collect(), "3")
            );
            let dir = scratch();
            for (name, cabinet) in ["one.cab", "two.cab", "three.cab"].iter().zip(&cabinets) {
                std::fs::write(dir.path().join(name), cabinet).unwrap();
            }
            tool(dir.path(), "cabextract", "cabextract -q one.cab >&2");
            for (name, content) in &contents {
                assert!(opened.content(name)[..] == content[..], "{name}");
                // cabextract leaves out what begins in a folder that goes on.
                let theirs = std::fs::read(dir.path().join(name)).ok();
                let same = theirs.map_or(*name == "after", |theirs| theirs == *content);
                assert!(same, "cabextract, {name}");
            }
            torture(&Cab, &all);
            // Without the others each says what is missing.
            for (cabinet, problems) in cabinets.iter().zip([1, 2, 1]) {
                let opened = open_at(&Cab, cabinet, 0).unwrap();
                assert_eq!(opened.problems.len(), problems);
                let through = opened.entries.iter().find(|e| e.path == b"through").unwrap();
                assert_eq!(through.problems[0].kind, ProblemKind::Incomplete);
            }
            // A cabinet of another set does not go on with this one.
            let mut other = cabinets.clone();
            other[1][32] ^= 1;
            let opened = open_at(&Cab, &other.concat(), 0).unwrap();
            assert_eq!(opened.candidate.length, cabinets[0].len());
        }
    }

    /// In an archive, the cabinets of a set become one beside them, and are not looked into by themselves.
    #[test]
    fn sets_in_an_archive_are_put_together() {
        let (cabinets, contents) = three(true);
        let dir = scratch();
        for (name, cabinet) in ["one.cab", "two.cab", "three.cab"].iter().zip(&cabinets) {
            std::fs::write(dir.path().join(name), cabinet).unwrap();
        }
        let tar = tool(dir.path(), "tar", "tar -cf - one.cab two.cab three.cab");
        let found =
            crate::unpack(crate::Input::bytes("a.tar", tar), &crate::Options::default(), &());
        for (name, content) in &contents {
            let place = format!("one.cab-three.cab@0x0:cab/{name}");
            let artifact = found.artifacts.iter().find(|a| a.locator.to_string().ends_with(&place));
            let digest = artifact.unwrap_or_else(|| panic!("no {place}")).sha256;
            assert_eq!(digest, Some(proofmark_model::Digest::of(content)), "{name}");
        }
        assert_eq!(found.artifacts.iter().filter(|a| a.format == "piece").count(), 3);
        assert!(found.artifacts.iter().all(|a| a.problems.is_empty()));
    }
}
