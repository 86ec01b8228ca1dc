//! 7z archives.
//!
//! The start header names the place, size and CRC of the header at the end, which may be
//! compressed itself. Folders (solid blocks) are decoded as a whole, since their files have no
//! stream of their own.
//!
//! Source: LZMA SDK, `7zFormat.txt` and `Methods.txt` (public domain).

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use sha2::Digest as _;

use super::{entry, kind_of_mode, put};
use crate::{
    budget::Budget,
    codec::{
        Decoded, Error, aes,
        bcj::Filter,
        bcj2, bzip2, check, deflate, lzma, lzma2,
        packed::{copy, stored},
        ppmd, zstd,
    },
    format::{About, Blob, Candidate, Family, Format, Magic, Sink},
    formats::layout,
    keys::Opened,
    read,
};

/// The format.
pub struct SevenZip;

static ABOUT: About = About {
    id: "7z",
    name: "7-Zip",
    family: Family::Archive,
    revision: 1,
    metadata: "mode, mtime, symbolic links (attributes written on Unix)",
    integrity: "CRC-32 of headers and of each content",
    limits: "encrypted folders need a password; Brotli, LZ4 and Lizard of forks",
    sources: &["LZMA SDK: 7zFormat.txt, Methods.txt"],
};

const MAGIC: &[u8] = b"7z\xbc\xaf\x27\x1c";
const START: usize = 32;
/// Bounds for counts in headers; each costs at least one byte of header.
const COUNT_MAX: u64 = 1 << 20;
const CODERS_MAX: u64 = 16;

/// A cursor over a header; every read says whether the bytes are there.
struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Option<u8> {
        let b = read::u8(self.data, self.at)?;
        self.at = self.at.checked_add(1)?;
        Some(b)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let bytes = read::slice(self.data, self.at, n)?;
        self.at = self.at.checked_add(n)?;
        Some(bytes)
    }

    fn le32(&mut self) -> Option<u32> {
        read::le32(self.take(4)?, 0)
    }

    /// A number whose first byte says by its leading ones how many bytes follow.
    fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let extra = first.leading_ones();
        let mut value = 0u64;
        for n in 0..extra {
            value |= u64::from(self.byte()?).checked_shl(n.checked_mul(8)?)?;
        }
        let mask = 0x7fu8.checked_shr(extra).unwrap_or(0);
        let high = u64::from(first & mask).checked_shl(extra.checked_mul(8)?).unwrap_or(0);
        Some(value | high)
    }

    fn count(&mut self) -> Option<usize> {
        self.number().filter(|n| *n <= COUNT_MAX).and_then(read::index)
    }

    fn bits(&mut self, n: usize) -> Option<Vec<bool>> {
        let bytes = self.take(n.div_ceil(8))?;
        Some((0..n).map(|i| bytes.get(i / 8).is_some_and(|b| (b << (i % 8)) & 0x80 != 0)).collect())
    }

    /// Bits, or one byte that says that all are set.
    fn defined(&mut self, n: usize) -> Option<Vec<bool>> {
        if self.byte()? != 0 { Some(vec![true; n]) } else { self.bits(n) }
    }

    fn digests(&mut self, n: usize) -> Option<Vec<Option<u32>>> {
        self.defined(n)?
            .into_iter()
            .map(|d| if d { self.le32().map(Some) } else { Some(None) })
            .collect()
    }
}

struct Coder {
    method: Vec<u8>,
    props: Vec<u8>,
    inputs: usize,
}

#[derive(Default)]
struct Folder {
    coders: Vec<Coder>,
    /// Input stream fed by the output of a coder.
    bonds: Vec<(usize, usize)>,
    /// Input streams fed by packed streams, in order.
    packed: Vec<usize>,
    sizes: Vec<u64>,
    crc: Option<u32>,
    /// Size and CRC of each file in the folder.
    files: Vec<(u64, Option<u32>)>,
}

#[derive(Default)]
struct Streams {
    position: u64,
    sizes: Vec<u64>,
    folders: Vec<Folder>,
}

fn folder(c: &mut Cursor<'_>) -> Option<Folder> {
    let mut made = Folder::default();
    let count = c.number().filter(|n| (1..=CODERS_MAX).contains(n))?;
    let (mut inputs, mut outputs) = (0usize, 0usize);
    for _ in 0..count {
        let flags = c.byte()?;
        let method = c.take(usize::from(flags & 15))?.to_vec();
        let mut coder = Coder { method, props: Vec::new(), inputs: 1 };
        if flags & 0x10 != 0 {
            coder.inputs =
                c.number().filter(|n| (1..=CODERS_MAX).contains(n)).and_then(read::index)?;
            if c.number()? != 1 {
                return None;
            }
        }
        if flags & 0x20 != 0 {
            let n = c.count()?;
            coder.props = c.take(n)?.to_vec();
        }
        inputs = inputs.checked_add(coder.inputs)?;
        outputs = outputs.checked_add(1)?;
        made.coders.push(coder);
    }
    for _ in 1..outputs {
        made.bonds.push((c.count()?, c.count()?));
    }
    let packed = inputs.checked_sub(made.bonds.len())?;
    if packed == 1 {
        made.packed = (0..inputs).filter(|i| made.bonds.iter().all(|b| b.0 != *i)).collect();
    } else {
        for _ in 0..packed {
            made.packed.push(c.count()?);
        }
    }
    Some(made)
}

fn streams(c: &mut Cursor<'_>) -> Option<Streams> {
    let mut made = Streams::default();
    let mut sized = false;
    loop {
        match c.byte()? {
            0 => break,
            // Pack info.
            6 => {
                made.position = c.number()?;
                let count = c.count()?;
                loop {
                    match c.byte()? {
                        0 => break,
                        9 => made.sizes = (0..count).map(|_| c.number()).collect::<Option<_>>()?,
                        10 => drop(c.digests(count)?),
                        _ => return None,
                    }
                }
            }
            // Folders.
            7 => {
                if c.byte()? != 11 {
                    return None;
                }
                let count = c.count()?;
                if c.byte()? != 0 {
                    return None;
                }
                made.folders = (0..count).map(|_| folder(c)).collect::<Option<_>>()?;
                loop {
                    match c.byte()? {
                        0 => break,
                        12 => {
                            for f in &mut made.folders {
                                f.sizes =
                                    f.coders.iter().map(|_| c.number()).collect::<Option<_>>()?;
                            }
                        }
                        10 => {
                            let crcs = c.digests(count)?;
                            made.folders.iter_mut().zip(crcs).for_each(|(f, crc)| f.crc = crc);
                        }
                        _ => return None,
                    }
                }
            }
            // Files in folders.
            8 => {
                sized = true;
                substreams(c, &mut made.folders)?;
            }
            _ => return None,
        }
    }
    if !sized {
        for f in &mut made.folders {
            f.files = vec![(f.size()?, f.crc)];
        }
    }
    Some(made)
}

fn substreams(c: &mut Cursor<'_>, folders: &mut [Folder]) -> Option<()> {
    let mut counts = vec![1usize; folders.len()];
    let mut id = c.byte()?;
    if id == 13 {
        for n in &mut counts {
            *n = c.count()?;
        }
        id = c.byte()?;
    }
    for (f, n) in folders.iter_mut().zip(&counts) {
        f.files = vec![(0, None); *n];
        let mut left = f.size()?;
        if let Some((last, others)) = f.files.split_last_mut() {
            if id == 9 {
                for file in others {
                    file.0 = c.number()?;
                    left = left.checked_sub(file.0)?;
                }
            }
            last.0 = left;
        }
    }
    if id == 9 {
        id = c.byte()?;
    }
    loop {
        match id {
            0 => return Some(()),
            10 => {
                // A folder of one file has its CRC already.
                let known = |f: &Folder| f.files.len() == 1 && f.crc.is_some();
                let missing = folders.iter().filter(|f| !known(f)).map(|f| f.files.len()).sum();
                let mut crcs = c.digests(missing)?.into_iter();
                for f in folders.iter_mut() {
                    if known(f) {
                        f.files.iter_mut().for_each(|file| file.1 = f.crc);
                    } else {
                        f.files.iter_mut().for_each(|file| file.1 = crcs.next().flatten());
                    }
                }
            }
            _ => return None,
        }
        id = c.byte()?;
    }
}

impl Folder {
    /// The coder whose output nothing else takes.
    fn main(&self) -> Option<usize> {
        (0..self.coders.len()).find(|out| self.bonds.iter().all(|b| b.1 != *out))
    }

    fn size(&self) -> Option<u64> {
        self.sizes.get(self.main()?).copied()
    }

    /// The content, from the packed streams of this folder. Where it is encrypted, with the key that fits.
    fn content(
        &self,
        packed: &[Bytes],
        budget: &Budget,
    ) -> Result<(Decoded, Option<String>), Problem> {
        let main = self.main().unwrap_or(0);
        if !self.is_encrypted() {
            return Ok((self.decode(main, packed, 0, None, budget), None));
        }
        let opened = layout::unseal(budget, ABOUT.id, &[], |key, _| {
            let made = self.decode(main, packed, 0, Some(key.password.as_ref()?), budget);
            let verified = made.error.is_none() && self.is_right(&made.bytes);
            verified.then(|| Opened { bytes: made.bytes.into(), verified })
        });
        match opened {
            Ok((name, opened)) => {
                Ok((Decoded { bytes: opened.bytes.into(), ..Decoded::default() }, Some(name)))
            }
            Err(why) => {
                Err(Problem::new(ProblemKind::Encrypted, format!("it is encrypted; {why}")))
            }
        }
    }

    /// Whether every sum that the header has of the content is right; not where it has none.
    fn is_right(&self, content: &[u8]) -> bool {
        let mut sums = self.crc.iter().map(|crc| (content, *crc)).collect::<Vec<_>>();
        let mut at = 0_usize;
        for (size, crc) in &self.files {
            let size = read::index(*size).unwrap_or(usize::MAX);
            let Some(file) = read::slice(content, at, size) else { return false };
            sums.extend(crc.map(|crc| (file, crc)));
            at = at.saturating_add(size);
        }
        !sums.is_empty() && sums.iter().all(|(bytes, crc)| check::crc32(bytes) == *crc)
    }

    /// The output of a coder.
    fn decode(
        &self,
        coder_at: usize,
        packed: &[Bytes],
        depth: u64,
        password: Option<&str>,
        budget: &Budget,
    ) -> Decoded {
        let bad = |what| Decoded::failed(Error::Malformed { what, at: 0 });
        let Some(coder) = self.coders.get(coder_at).filter(|_| depth < CODERS_MAX) else {
            return bad("coders of a 7z folder that feed each other");
        };
        let size = self.sizes.get(coder_at).copied().and_then(read::index).unwrap_or(usize::MAX);
        let first: usize = self.coders.iter().take(coder_at).map(|c| c.inputs).sum();
        let mut wrong = None;
        let mut sources = Vec::new();
        for input in first..first.saturating_add(coder.inputs) {
            sources.push(match self.bonds.iter().find(|b| b.0 == input) {
                Some((_, from)) => {
                    let inner =
                        self.decode(*from, packed, depth.saturating_add(1), password, budget);
                    wrong = wrong.or(inner.error);
                    Bytes::from(inner.bytes)
                }
                None => {
                    let at = self.packed.iter().position(|p| *p == input);
                    match at.and_then(|at| packed.get(at)) {
                        Some(bytes) => bytes.clone(),
                        None => return bad("a 7z folder without its packed stream"),
                    }
                }
            });
        }
        let mut made = match &sources[..] {
            [source] => step(coder, source, size, password, budget),
            [code, calls, jumps, decisions] if coder.method == [3, 3, 1, 0x1b] => {
                bcj2::decode([code, calls, jumps, decisions], size, budget)
            }
            _ => Decoded::failed(Error::Unsupported { what: "a coder of 7z", at: 0 }),
        };
        made.error = wrong.or(made.error);
        made
    }

    fn is_encrypted(&self) -> bool {
        self.coders.iter().any(|c| c.method == *AES)
    }
}

/// AES-256 in CBC with a key made of a password.
const AES: &[u8] = &[6, 0xf1, 7, 1];
/// Largest power of two of rounds for a key; 7-Zip itself writes 19.
const ROUNDS_MAX: u8 = 24;

/// Undoes AES. The properties are the rounds, salt and vector.
fn decrypt(
    properties: &[u8],
    source: &[u8],
    size: usize,
    password: &str,
    budget: &Budget,
) -> Option<Decoded> {
    let (first, second) = (*properties.first()?, properties.get(1).copied().unwrap_or(0));
    let salt_len = usize::from(first >> 7).saturating_add(usize::from(second >> 4));
    let iv_len = usize::from(first >> 6 & 1).saturating_add(usize::from(second & 15));
    let salt = read::slice(properties, 2, salt_len)?;
    let given = read::slice(properties, salt_len.checked_add(2)?, iv_len)?;
    let mut iv = [0; 16];
    iv.get_mut(..iv_len)?.copy_from_slice(given);
    let password: Vec<u8> = password.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let power = first & 0x3f;
    let key = if power == 0x3f {
        let mut key = [salt, &password].concat();
        key.resize(32, 0);
        key
    } else {
        let rounds = 1_u64.checked_shl(power.into()).filter(|_| power <= ROUNDS_MAX)?;
        let step = (salt.len() as u64).saturating_add(password.len() as u64).saturating_add(8);
        budget.work(rounds.saturating_mul(step)).ok()?;
        let mut hasher = sha2::Sha256::new();
        for round in 0..rounds {
            hasher.update(salt);
            hasher.update(&password);
            hasher.update(round.to_le_bytes());
        }
        hasher.finalize().to_vec()
    };
    budget.output(source.len() as u64).ok()?;
    let mut bytes = aes::Aes::new(&key)?.cbc(&iv, source);
    bytes.truncate(size);
    Some(Decoded { bytes: bytes.into(), consumed: source.len(), error: None })
}

/// One step of a folder with one input.
fn step(
    coder: &Coder,
    source: &[u8],
    size: usize,
    password: Option<&str>,
    budget: &Budget,
) -> Decoded {
    let props = &coder.props[..];
    let pc = read::le32(props, 0).unwrap_or(0);
    let filter = match coder.method[..] {
        [0] => return copy(source, size, budget),
        [3, 1, 1] => {
            return match read::u8(props, 0).and_then(lzma::Props::from_byte) {
                Some(props) => lzma::decode_raw(source, props, Some(size), size, budget),
                None => Decoded::failed(Error::Malformed { what: "LZMA properties", at: 0 }),
            };
        }
        [6, 0xf1, 7, 1] => {
            return password
                .and_then(|password| decrypt(props, source, size, password, budget))
                .unwrap_or_else(|| {
                    Decoded::failed(Error::Unsupported { what: "this AES of 7z", at: 0 })
                });
        }
        [0x21] => return lzma2::decode(source, size, budget),
        [4, 1, 8] => return deflate::inflate(source, size, budget),
        [4, 2, 2] => return bzip2::decode(source, size, budget),
        [4, 0xf7, 0x11, 1] => return zstd::decode(source, size, budget),
        [3] => Filter::Delta(usize::from(read::u8(props, 0).unwrap_or(0)).saturating_add(1)),
        [4] | [3, 3, 1, 3] => Filter::X86(pc),
        [5] | [3, 3, 2, 5] => Filter::PowerPc(pc),
        [6] | [3, 3, 4, 1] => Filter::Ia64(pc),
        [7] | [3, 3, 5, 1] => Filter::Arm(pc),
        [8] | [3, 3, 7, 1] => Filter::Thumb(pc),
        [9] | [3, 3, 8, 5] => Filter::Sparc(pc),
        [10] => Filter::Arm64(pc),
        [11] => Filter::RiscV(pc),
        [3, 4, 1] => return ppmd::decode_7z(source, props, size, budget),
        [4, 1, 9] => return deflate::inflate64(source, size, budget),
        _ => return Decoded::failed(Error::Unsupported { what: "a coder of 7z", at: 0 }),
    };
    let mut made = copy(source, size, budget);
    filter.undo(&mut made.bytes);
    made
}

impl Streams {
    /// The packed streams of each folder.
    fn packed(&self, region: &Bytes) -> Vec<Vec<Bytes>> {
        let mut at = self.position.saturating_add(START as u64);
        let mut sizes = self.sizes.iter();
        self.folders
            .iter()
            .map(|f| {
                f.packed
                    .iter()
                    .map(|_| {
                        let from = read::index(at).unwrap_or(usize::MAX).min(region.len());
                        at = at.saturating_add(sizes.next().copied().unwrap_or(0));
                        let to = read::index(at).unwrap_or(usize::MAX).min(region.len());
                        region.slice(from..to)
                    })
                    .collect()
            })
            .collect()
    }
}

/// One file of the header.
#[derive(Default, Clone)]
struct File {
    name: Vec<u8>,
    empty: bool,
    is_file: bool,
    mtime: Option<i64>,
    attributes: Option<u32>,
}

fn files(c: &mut Cursor<'_>) -> Option<Vec<File>> {
    let count = c.count()?;
    let mut found = vec![File::default(); count];
    loop {
        let id = c.byte()?;
        if id == 0 {
            return Some(found);
        }
        let len = c.number().and_then(read::index)?;
        let mut p = Cursor { data: c.take(len)?, at: 0 };
        match id {
            // Without content: folders, and files that are empty.
            14 => p.bits(count)?.into_iter().zip(&mut found).for_each(|(bit, f)| f.empty = bit),
            15 => {
                let empty = found.iter().filter(|f| f.empty).count();
                let bits = p.bits(empty)?;
                found.iter_mut().filter(|f| f.empty).zip(bits).for_each(|(f, bit)| f.is_file = bit);
            }
            17 => {
                if p.byte()? != 0 {
                    return None;
                }
                let units: Vec<u16> = p
                    .data
                    .get(1..)?
                    .as_chunks::<2>()
                    .0
                    .iter()
                    .map(|u| u16::from_le_bytes(*u))
                    .collect();
                for (f, name) in found.iter_mut().zip(units.split(|u| *u == 0)) {
                    f.name = String::from_utf16_lossy(name).into_bytes();
                }
            }
            20 => {
                let defined = p.defined(count)?;
                p.byte()?;
                for f in found.iter_mut().zip(defined).filter(|(_, d)| *d).map(|(f, _)| f) {
                    // 100 ns since 1601.
                    let ticks = read::le64(p.take(8)?, 0)?;
                    let seconds = i64::try_from(ticks / 10_000_000).ok()?;
                    f.mtime = seconds.checked_sub(11_644_473_600);
                }
            }
            21 => {
                let defined = p.defined(count)?;
                p.byte()?;
                for f in found.iter_mut().zip(defined).filter(|(_, d)| *d).map(|(f, _)| f) {
                    f.attributes = Some(p.le32()?);
                }
            }
            _ => {}
        }
    }
}

/// Streams and files of the archive, with what was wrong on the way.
fn contents(region: &Bytes, budget: &Budget) -> Result<(Streams, Vec<File>), Problem> {
    let bad = |what: &str| Problem::new(ProblemKind::Malformed, what);
    let (at, len) = header_place(region).ok_or(bad("no 7z start header"))?;
    let end = at.saturating_add(len).min(region.len());
    let mut header = region.slice(at.min(end)..end);
    // Headers are compressed once; more would be a loop.
    for _ in 0..4 {
        let mut c = Cursor { data: &header, at: 1 };
        match header.first() {
            Some(1) => {
                return parse(&mut c).ok_or(bad("the 7z header is not right"));
            }
            Some(23) => {
                let s = streams(&mut c)
                    .ok_or(bad("the compressed 7z header is not described rightly"))?;
                let packed = s.packed(region);
                let (Some(f), Some(p)) = (s.folders.first(), packed.first()) else { break };
                let (made, _) = f.content(p, budget)?;
                if let Some(e) = made.error {
                    return Err(e.into());
                }
                header = made.bytes.into();
            }
            None => return Ok((Streams::default(), Vec::new())),
            _ => break,
        }
    }
    Err(bad("no 7z header where the start header says"))
}

fn parse(c: &mut Cursor<'_>) -> Option<(Streams, Vec<File>)> {
    let mut made = (Streams::default(), Vec::new());
    loop {
        match c.byte()? {
            0 => return Some(made),
            2 => {
                // Archive properties: pairs of id and size.
                while c.byte()? != 0 {
                    let n = c.count()?;
                    c.take(n)?;
                }
            }
            3 => drop(streams(c)?),
            4 => made.0 = streams(c)?,
            5 => made.1 = files(c)?,
            _ => return None,
        }
    }
}

/// Place and length of the header at the end, if the start header's CRC is right.
fn header_place(data: &[u8]) -> Option<(usize, usize)> {
    let start = read::slice(data, 12, 20)?;
    if !data.starts_with(MAGIC) || read::le32(data, 8)? != check::crc32(start) {
        return None;
    }
    let at = read::index(read::le64(start, 0)?)?.checked_add(START)?;
    Some((at, read::index(read::le64(start, 8)?)?))
}

impl Format for SevenZip {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MAGIC)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let archive = data.get(at..)?;
        let (header, len) = header_place(archive)?;
        let end = header.checked_add(len)?;
        budget.work(len as u64).ok()?;
        let crc = read::le32(archive, 28)?;
        let mut found = Candidate::new(at, end.min(archive.len()), Proof::ChecksumVerified);
        match read::slice(archive, header, len) {
            Some(bytes) if check::crc32(bytes) == crc => {}
            Some(_) => {
                found.proof = Proof::LengthsConsistent;
                let text = "the CRC-32 of the 7z header is not right";
                found.problems.push(Problem::new(ProblemKind::Checksum, text));
            }
            None => {
                found.proof = Proof::LengthsConsistent;
                let text = "the archive is cut off before its header";
                found.problems.push(Problem::new(ProblemKind::Truncated, text));
            }
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let (all, files) = match contents(region, budget) {
            Ok(found) => found,
            Err(problem) => return sink.problem(problem),
        };
        let packed = all.packed(region);
        // Contents in the order of the header: those of the folders, one after the other.
        let mut ready = Vec::new();
        for (f, p) in all.folders.iter().zip(&packed) {
            if f.is_encrypted() {
                sink.attribute("encrypted", "yes");
            }
            let made = f.content(p, budget).map(|(made, key)| {
                if let Some(key) = key {
                    sink.attribute("decrypted-with", key);
                }
                (Bytes::from(made.bytes), made.error)
            });
            let mut at = 0usize;
            for (size, crc) in &f.files {
                let end = at.saturating_add(read::index(*size).unwrap_or(usize::MAX));
                ready.push(match &made {
                    Err(problem) => (Blob::None, vec![problem.clone()]),
                    Ok((bytes, error)) => {
                        let piece = bytes.slice(at.min(bytes.len())..end.min(bytes.len()));
                        let mut problems = Vec::new();
                        if (piece.len() as u64) < *size {
                            problems.push(error.map_or_else(
                                || Problem::new(ProblemKind::Incomplete, "the folder is too short"),
                                Into::into,
                            ));
                            (Blob::Bytes(piece), problems)
                        } else {
                            (stored(piece, *crc), problems)
                        }
                    }
                });
                at = end;
            }
        }
        let mut ready = ready.into_iter();
        for file in files {
            let (blob, problems) = if file.empty {
                (Blob::Bytes(Bytes::new()), Vec::new())
            } else {
                ready.next().unwrap_or((Blob::None, Vec::new()))
            };
            let mode = file.attributes.filter(|a| a & 0x8000 != 0).map(|a| a >> 16);
            let kind = match mode.map(|m| m & 0o170_000) {
                Some(0o120_000) => EntryKind::Symlink { target: escape(&blob.load(budget).bytes) },
                _ if file.empty && !file.is_file => EntryKind::Directory,
                _ => mode.and_then(|m| kind_of_mode(m, (0, 0))).unwrap_or(EntryKind::File),
            };
            let mut made = entry(&file.name, kind);
            made.metadata = Metadata {
                mode: mode.map(|m| m & 0o7777),
                mtime: file.mtime,
                ..Metadata::default()
            };
            made.problems.extend(problems);
            if made.kind == EntryKind::File {
                made.blob = blob;
            }
            if !put(sink, made) {
                return;
            }
        }
    }
}
