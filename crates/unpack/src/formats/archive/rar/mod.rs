//! RAR archives of versions 1.5 to 7.
//!
//! An archive is a mark and headers, each with a checksum; the contents stand behind the headers of files. Contents that
//! go on with the window of those before ("solid") are decoded together, others when asked for. A file that is split
//! over volumes is put together where the volumes stand one behind the other.
//!
//! Sources: RAR 5.0 archive format (rarlab.com/technote.htm); RAR 4 technote; the readers of libarchive (BSD); what is before RAR 2.9, those
//! of The Unarchiver.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind, Proof, locator::escape};

use super::{entry, put};
use crate::{
    budget::Budget,
    codec::{
        blake2sp, check,
        rar::{Generation, Part, Unpacker},
    },
    format::{About, Blob, Candidate, Family, Format, Load, Loaded, Magic, Sink},
    read,
};

mod crypt;
mod head;

use crypt::{Keys, Ring};
use head::{File, Method, Redirect, Sums, V4, V5, walk};

/// The format.
pub struct Rar;

static ABOUT: About = About {
    id: "rar",
    name: "RAR",
    family: Family::Archive,
    revision: 3,
    metadata: "mode, mtime, owner (RAR 5), symbolic and hard links",
    integrity: "CRC of every header, CRC-32 or BLAKE2sp of every content",
    limits: "archives before RAR 1.5; encryption before RAR 2.9; dictionaries above 4 GiB; filters of RAR 3 that rar itself does not write; encrypted archives need a password",
    sources: &[
        "RAR 5.0 archive format",
        "RAR 4 technote",
        "libarchive (BSD): rar and rar5 readers",
        "The Unarchiver: readers of RAR 1.5 and 2",
    ],
};

/// A file of the archive and the places of its content.
struct Member {
    file: File,
    data: Vec<Bytes>,
    problems: Vec<Problem>,
    /// Whether all of the stored bytes are there.
    whole: bool,
    /// What opens it, where it is encrypted; or why it stays closed.
    keys: Option<Result<Keys, &'static str>>,
}

/// A content that is decoded when asked for.
struct Content {
    /// None for one that is decoded already.
    generation: Option<Generation>,
    data: Bytes,
    size: u64,
    sums: Sums,
    /// By which the sums are keyed.
    keys: Option<Keys>,
}

impl Load for Content {
    fn size(&self) -> u64 {
        self.size
    }

    fn load(&self, budget: &Budget) -> Loaded {
        let mut problems = Vec::new();
        let bytes = match self.generation {
            None => self.data.clone(),
            Some(generation) => {
                let size = read::index(self.size).unwrap_or(usize::MAX);
                let mut unpacker = Unpacker::new(generation, size, budget);
                let part = unpacker.content(&self.data, Some(size));
                let mut bytes = unpacker.finish();
                let filtered = part.filter(&mut bytes).err();
                problems.extend(part.error.or(filtered).map(Problem::from));
                bytes.into()
            }
        };
        if problems.is_empty() {
            problems.extend(self.sums.check(&bytes, self.keys.as_ref()));
        }
        Loaded { bytes, problems }
    }
}

impl Sums {
    /// What is wrong with a content.
    fn check(&self, content: &[u8], keys: Option<&Keys>) -> Option<Problem> {
        let crc32 = || {
            let crc = check::crc32(content);
            keys.map_or(crc, |keys| keys.keyed_crc(crc))
        };
        let blake2 = || {
            let sum = blake2sp::hash(content);
            keys.map_or(sum, |keys| keys.keyed(&sum))
        };
        let wrong = if self.crc32.is_some_and(|crc| crc != crc32()) {
            "the CRC-32 of the content is not right"
        } else if self.blake2.is_some_and(|sum| sum != blake2()) {
            "the BLAKE2sp hash of the content is not right"
        } else {
            return None;
        };
        Some(Problem::new(ProblemKind::Checksum, wrong))
    }
}

/// All files of the archive, those that are split over volumes put together.
fn members(region: &Bytes, budget: &Budget, sink: &mut Sink<'_>) -> Vec<Member> {
    let mut found: Vec<Member> = Vec::new();
    let mut solid = false;
    let walked = walk(region, 0, budget, |head| {
        solid |= head.solid;
        let Some(file) = &head.file else { return true };
        let piece = region.slice(head.data.min(region.len())..head.next.min(region.len()));
        let cut = head.next > region.len();
        let problem = |kind, text: &str| Problem::new(kind, text);
        let open = found.last_mut().filter(|m| m.file.split.1 && m.file.name == file.name);
        if let (true, Some(member)) = (file.split.0, open) {
            member.data.push(piece);
            // The sums of the last part are those of the whole.
            member.file.sums = file.sums.clone();
            member.file.split.1 = file.split.1;
            return true;
        }
        let mut member = Member {
            file: file.clone(),
            data: vec![piece],
            problems: Vec::new(),
            whole: !file.split.0 && !cut,
            keys: None,
        };
        if file.method == Method::Packed(Generation::One) {
            member.file.solid = solid && !found.is_empty();
        }
        if file.split.0 {
            let text = "the content begins in a volume before this one, which is not here";
            member.problems.push(problem(ProblemKind::Incomplete, text));
        }
        if cut {
            member.problems.push(problem(ProblemKind::Truncated, "the content is cut off"));
        }
        found.push(member);
        true
    });
    if let Some(why) = walked.closed {
        sink.problem(Problem::new(
            ProblemKind::Encrypted,
            format!("the headers are encrypted; {why}; how far the archive reaches is not known"),
        ));
    }
    if walked.more {
        let text = "the archive goes on in another volume, which is not here";
        sink.problem(Problem::new(ProblemKind::Incomplete, text));
    }
    for member in found.iter_mut().filter(|m| m.file.split.1) {
        member.whole = false;
        let text = "the content goes on in the next volume, which is not here";
        member.problems.push(Problem::new(ProblemKind::Incomplete, text));
    }
    found
}

/// Finds the keys of encrypted members.
fn unlock(found: &mut [Member], budget: &Budget, sink: &mut Sink<'_>) {
    let mut ring = Ring::new(budget);
    for member in found.iter_mut() {
        if matches!(member.file.method, Method::Sealed(_)) {
            sink.attribute("encrypted", "yes");
        }
        let Some(seal) = member.file.seal.clone() else { continue };
        sink.attribute("encrypted", "yes");
        let fits = |keys: &Keys| member.fits(keys, budget);
        member.keys = Some(match ring.find(&seal, fits) {
            Some((name, keys)) => {
                sink.attribute("decrypted-with", name);
                if !keys.verified {
                    sink.attribute("key-verified", "no");
                }
                Ok(keys)
            }
            None if ring.is_empty() => Err("no key was given"),
            None => Err("no key that was given fits"),
        });
    }
}

impl Member {
    /// Its stored bytes in one piece, decrypted.
    fn packed(&self, budget: &Budget) -> Result<Bytes, Problem> {
        let joined = match &self.data[..] {
            [only] => only.clone(),
            pieces => {
                budget.output(pieces.iter().map(|piece| piece.len() as u64).sum())?;
                pieces.concat().into()
            }
        };
        match &self.keys {
            None => Ok(joined),
            Some(Ok(keys)) => self.decrypted(keys, &joined, budget),
            Some(Err(why)) => {
                Err(Problem::new(ProblemKind::Encrypted, format!("it is encrypted; {why}")))
            }
        }
    }

    fn decrypted(&self, keys: &Keys, stored: &[u8], budget: &Budget) -> Result<Bytes, Problem> {
        budget.output(stored.len() as u64)?;
        let plain = self.file.seal.as_ref().and_then(|seal| seal.open(keys, stored));
        let mut plain = plain.unwrap_or_default();
        if let (Method::Stored, Some(size)) = (self.file.method, self.file.size) {
            plain.truncate(read::index(size).unwrap_or(usize::MAX));
        }
        Ok(plain.into())
    }

    /// Whether keys without a check value make the content what it must be. Not to be told of one that builds on others.
    fn fits(&self, keys: &Keys, budget: &Budget) -> bool {
        let ([stored], Some(size)) = (&self.data[..], self.file.size) else { return false };
        let generation = match self.file.method {
            Method::Stored => None,
            Method::Packed(generation) => Some(generation),
            Method::Other(_) | Method::Sealed(_) => return false,
        };
        let Ok(data) = self.decrypted(keys, stored, budget) else { return false };
        let sums = self.file.sums.clone();
        let content = Content { generation, data, size, sums, keys: None };
        self.file.sums.crc32.is_some() && content.load(budget).problems.is_empty()
    }

    /// By which the sums are keyed.
    fn sum_keys(&self) -> Option<Keys> {
        let keyed = matches!(self.file.seal, Some(crypt::Seal::Five { keyed_sums: true, .. }));
        self.keys.as_ref().filter(|_| keyed)?.as_ref().ok().cloned()
    }

    /// A content that is there already, to be checked.
    fn checked(&self, data: Bytes) -> Blob {
        self.blob(None, data, None)
    }

    fn blob(&self, generation: Option<Generation>, data: Bytes, size: Option<u64>) -> Blob {
        let size = size.unwrap_or(data.len() as u64);
        let (sums, keys) = (self.file.sums.clone(), self.sum_keys());
        Blob::Lazy(Arc::new(Content { generation, data, size, sums, keys }))
    }

    fn has_content(&self) -> bool {
        !self.file.directory
            && self.file.redirect.is_none()
            && (self.file.size != Some(0) || self.data.iter().any(|piece| !piece.is_empty()))
    }
}

/// A content as far as it could be read, and what is wrong with it.
type Found = (Blob, Option<Problem>);

/// The contents of all members, in their order.
fn contents(found: &[Member], budget: &Budget) -> Vec<Found> {
    let mut made: Vec<Found> = found.iter().map(|_| (Blob::Bytes(Bytes::new()), None)).collect();
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for (n, member) in found.iter().enumerate().filter(|(_, m)| m.has_content()) {
        if member.file.method == Method::Stored
            && let Some(slot) = made.get_mut(n)
        {
            *slot = member.stored(budget);
            continue;
        }
        match runs.last_mut() {
            Some(run)
                if member.file.solid
                    && run.first().and_then(|n| found.get(*n)).map(|m| m.file.method)
                        == Some(member.file.method) =>
            {
                run.push(n);
            }
            _ => runs.push(vec![n]),
        }
    }
    for run in runs {
        for (n, content) in solid(found, &run, budget) {
            if let Some(slot) = made.get_mut(n) {
                *slot = content;
            }
        }
    }
    made
}

impl Member {
    fn stored(&self, budget: &Budget) -> Found {
        match self.packed(budget) {
            Ok(data) if self.whole => (self.checked(data), None),
            Ok(data) => (Blob::Bytes(data), None),
            Err(e) => (Blob::None, Some(e)),
        }
    }

    /// By which stream it is decoded; or why not.
    fn generation(&self) -> Result<Generation, Problem> {
        match self.file.method {
            _ if self.file.split.0 => Err(Problem::new(
                ProblemKind::Incomplete,
                "without the beginning of the content nothing of it can be decoded",
            )),
            Method::Packed(generation) => Ok(generation),
            Method::Other(what) => {
                Err(Problem::new(ProblemKind::Unsupported, format!("{what} is not read")))
            }
            Method::Sealed(how) => Err(Problem::new(
                ProblemKind::Encrypted,
                format!("it is encrypted {how}, which is not read"),
            )),
            Method::Stored => Err(Problem::new(ProblemKind::Malformed, "nothing to decode")),
        }
    }
}

/// The contents of members that go on with each other's window.
fn solid(found: &[Member], run: &[usize], budget: &Budget) -> Vec<(usize, Found)> {
    // One alone waits until it is asked for.
    if let [n] = run
        && let Some(member) = found.get(*n).filter(|m| m.whole)
        && let (Ok(generation), Some(size)) = (member.generation(), member.file.size)
        && let Ok(data) = member.packed(budget)
    {
        return vec![(*n, (member.blob(Some(generation), data, Some(size)), None))];
    }
    let mut made = Vec::new();
    let mut parts: Vec<(usize, &Member, Part)> = Vec::new();
    let mut unpacker: Option<Unpacker<'_>> = None;
    let mut broken = false;
    for (n, member) in run.iter().filter_map(|n| Some((*n, found.get(*n)?))) {
        if broken {
            let text = "a content before it, on which it builds, could not be decoded";
            made.push((n, (Blob::None, Some(Problem::new(ProblemKind::Incomplete, text)))));
            continue;
        }
        let ready = member.generation().and_then(|g| Ok((g, member.packed(budget)?)));
        let (generation, data) = match ready {
            Ok(ready) => ready,
            Err(problem) => {
                broken = true;
                made.push((n, (Blob::None, Some(problem))));
                continue;
            }
        };
        let size = member.file.size.map(|s| read::index(s).unwrap_or(usize::MAX));
        let unpacker =
            unpacker.get_or_insert_with(|| Unpacker::new(generation, usize::MAX, budget));
        let part = unpacker.content(&data, size);
        broken = part.error.is_some();
        parts.push((n, member, part));
    }
    let all = Bytes::from(unpacker.map(Unpacker::finish).unwrap_or_default());
    made.extend(
        parts.into_iter().map(|(n, member, part)| (n, part_of(&all, member, part, budget))),
    );
    made
}

/// One content of those that were decoded together.
fn part_of(all: &Bytes, member: &Member, part: Part, budget: &Budget) -> Found {
    let mut bytes = all.slice(part.range.start.min(all.len())..part.range.end.min(all.len()));
    let mut problem = part.error.map(Problem::from);
    if !part.filters.is_empty() {
        let mut filtered = match budget.output(bytes.len() as u64) {
            Ok(()) => bytes.to_vec(),
            Err(e) => return (Blob::None, Some(e.into())),
        };
        problem = problem.or(part.filter(&mut filtered).err().map(Problem::from));
        bytes = filtered.into();
    }
    match problem {
        None => (member.checked(bytes), None),
        Some(_) => (Blob::Bytes(bytes), problem),
    }
}

impl Format for Rar {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(V4), Magic::anywhere(V5)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let walked = walk(data, at, budget, |_| true);
        if walked.count == 0 {
            return None;
        }
        let proof = if walked.ended { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, walked.end.checked_sub(at)?, proof);
        if !walked.complete && walked.closed.is_none() {
            let text = "the archive is cut off or damaged before its end";
            found.problems.push(Problem::new(ProblemKind::Truncated, text));
        }
        Some(found)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        sink.attribute("version", if region.starts_with(V5) { 5 } else { 4 });
        let mut found = members(region, budget, sink);
        unlock(&mut found, budget, sink);
        let contents = contents(&found, budget);
        let mut by_name: HashMap<&[u8], &Blob> = HashMap::new();
        for (member, (blob, problem)) in found.iter().zip(&contents) {
            let file = &member.file;
            let mut kind = file.kind();
            let mut problems = member.problems.clone();
            problems.extend(problem.clone());
            if file.is_link() {
                let target = blob.load(budget);
                problems.extend(target.problems);
                kind = EntryKind::Symlink { target: escape(&target.bytes) };
            }
            let mut made = entry(&file.name, kind);
            made.metadata = Metadata {
                mode: file.unix_mode.map(|m| m & 0o7777),
                uid: file.owner.0,
                gid: file.owner.1,
                mtime: file.mtime,
                ..Metadata::default()
            };
            made.problems.extend(problems);
            if made.kind == EntryKind::File {
                made.blob = blob.clone();
                if let Some(Redirect::Copy(of)) = &file.redirect {
                    match by_name.get(&of[..]) {
                        Some(blob) => made.blob = Blob::clone(blob),
                        None => made.problems.push(Problem::new(
                            ProblemKind::Incomplete,
                            format!("a copy of {}, which is not in the archive", escape(of)),
                        )),
                    }
                }
                by_name.insert(&file.name, blob);
            }
            if !put(sink, made) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
