//! From a locator back to the bytes it names, opening only what lies on the way.

use std::{collections::HashSet, time::Instant};

use bytes::Bytes;
use proofmark_model::{
    Digest, EntryKind, Locator, Metadata, Problem, Step,
    locator::{escape, unescape},
};

use crate::{
    budget::Budget,
    engine::{container_output, work},
    examine::{Found, examine},
    folder,
    format::{Blob, Entry, Sink},
    input::{Input, Source},
    options::Options,
    scan::Scanner,
    split,
};

/// What a locator names.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The locator as the engine writes it: complete, with the range if one was asked for.
    pub locator: Locator,
    /// The bytes of the range, or of the whole content.
    pub bytes: Bytes,
    /// Where in the content they begin.
    pub offset: u64,
    /// What kind of node the content is.
    pub entry: EntryKind,
    /// What its container records about it.
    pub metadata: Metadata,
    /// Format id of the content as a whole, as in [`Outcome`](crate::Outcome).
    pub format: String,
    /// SHA-256 of the whole content; none where not all of it could be read.
    pub sha256: Option<Digest>,
    /// What could not be read of it.
    pub problems: Vec<Problem>,
}

/// Why a locator names nothing here. Each says how far the way exists and what is there instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocateError {
    /// No region of this format at this offset.
    #[error("no region {wanted} in {parent}{}", there(present))]
    Region {
        /// The nearest place that exists.
        parent: Box<Locator>,
        /// `@0x40000:squashfs`.
        wanted: String,
        /// Regions that are there, nearest first.
        present: Vec<String>,
    },
    /// No entry of this path, or not so many of them.
    #[error("no entry {wanted} in {parent}{}", there(present))]
    Entry {
        /// The nearest folder or container that exists.
        parent: Box<Locator>,
        /// Path as in a locator.
        wanted: String,
        /// Names that are close.
        present: Vec<String>,
    },
    /// An entry step where no container was recognised, or a step after something without content.
    #[error("{parent} holds nothing that could be entered ({format})")]
    NotAContainer {
        /// The place.
        parent: Box<Locator>,
        /// What it is instead.
        format: String,
    },
    /// The range ends after the content.
    #[error("{parent} has {size:#x} bytes; the range ends at {end:#x}")]
    Range {
        /// The place.
        parent: Box<Locator>,
        /// Its size.
        size: u64,
        /// Where the range would end.
        end: u64,
    },
}

fn there(present: &[String]) -> String {
    match present {
        [] => String::new(),
        names => format!("; there is: {}", names.join(", ")),
    }
}

/// Suggestions at most.
const SUGGESTED: usize = 5;

/// Opens what `locator` names. The image's own name in it is not compared, so a renamed copy will do. Where a
/// content is one container, the region step may be left out.
///
/// # Errors
/// [`LocateError`]; damage on the way is no error but in [`Resolved::problems`].
pub fn locate(
    input: &Input,
    locator: &Locator,
    options: &Options,
) -> Result<Resolved, LocateError> {
    locate_with(Scanner::all(), input, locator, options)
}

/// [`locate`] with a choice of formats.
///
/// # Errors
/// As [`locate`].
pub fn locate_with(
    scanner: &Scanner,
    input: &Input,
    locator: &Locator,
    options: &Options,
) -> Result<Resolved, LocateError> {
    let walk = Walk { scanner, input, options };
    let mut here = Here {
        locator: Locator::image(input.name.clone()),
        bytes: match &input.source {
            Source::Bytes(bytes) => bytes.clone(),
            Source::Folder(_) => Bytes::new(),
        },
        entry: EntryKind::Image,
        metadata: input.metadata(),
        format: None,
        problems: Vec::new(),
        container: None,
    };
    if let Source::Folder(path) = &input.source {
        let budget = walk.budget(0);
        let mut sink = Sink::new(&budget);
        folder::walk(path, &mut sink);
        let pieces = split::join(&mut sink.entries);
        here.format = Some("folder".into());
        here.container = Some((sink.entries, pieces));
    }
    for step in &locator.steps {
        here = match step {
            Step::Region { offset, format } => walk.region(here, *offset, format)?,
            Step::Entry { path, ordinal } => {
                let here = if here.container.is_none() { walk.only_region(here)? } else { here };
                walk.entry(here, path, *ordinal)?
            }
        };
    }
    walk.resolve(here, locator.range)
}

/// A place on the way.
struct Here {
    locator: Locator,
    bytes: Bytes,
    entry: EntryKind,
    metadata: Metadata,
    /// Where it is known without a scan.
    format: Option<String>,
    problems: Vec<Problem>,
    /// Entries, where the place is a container that was opened, and which of them are pieces of another.
    container: Option<(Vec<Entry>, HashSet<usize>)>,
}

struct Walk<'a> {
    scanner: &'a Scanner,
    input: &'a Input,
    options: &'a Options,
}

impl Walk<'_> {
    fn budget(&self, size: u64) -> Budget {
        let limits = &self.options.limits;
        let deadline = limits.time.and_then(|t| Instant::now().checked_add(t));
        let output = container_output(limits, size);
        Budget::new(output, limits.artifact_entries, work(size), deadline)
            .with_keys(&self.options.keys)
            .with_spool(self.options.spool.as_ref())
    }

    fn examined(&self, bytes: &Bytes) -> crate::examine::Examined {
        let budget = self.budget(bytes.len() as u64);
        examine(self.scanner, bytes, &self.input.holes, &budget)
    }

    fn region(&self, here: Here, offset: u64, format: &str) -> Result<Here, LocateError> {
        let mut found = self.examined(&here.bytes).found;
        let at =
            found.iter().position(|f| f.start as u64 == offset && f.format.about().id == format);
        match at {
            Some(i) => Ok(self.open(here, found.swap_remove(i))),
            None => {
                found.sort_by_key(|f| (f.start as u64).abs_diff(offset));
                let name =
                    |f: &Found| Step::region(f.start as u64, f.format.about().id).to_string();
                Err(LocateError::Region {
                    parent: here.locator.into(),
                    wanted: Step::region(offset, format.to_owned()).to_string(),
                    present: found.iter().take(SUGGESTED).map(name).collect(),
                })
            }
        }
    }

    /// The one container that a content is.
    fn only_region(&self, here: Here) -> Result<Here, LocateError> {
        let examined = self.examined(&here.bytes);
        match <[Found; 1]>::try_from(examined.found) {
            Ok([one]) if !one.is_leaf() => Ok(self.open(here, one)),
            _ => Err(LocateError::NotAContainer {
                parent: here.locator.into(),
                format: examined.format.into_owned(),
            }),
        }
    }

    fn open(&self, here: Here, found: Found) -> Here {
        let id = found.format.about().id;
        let region = here.bytes.slice(found.start..found.end);
        let budget = self.budget(region.len() as u64);
        let mut sink = Sink::new(&budget);
        found.format.open(&region, found.decoded, &budget, &mut sink);
        let pieces = split::join(&mut sink.entries);
        let mut problems = found.problems;
        problems.append(&mut sink.problems);
        Here {
            locator: here.locator.join(Step::region(found.start as u64, id)),
            bytes: region,
            entry: EntryKind::Region,
            metadata: Metadata::default(),
            format: Some(id.to_owned()),
            problems,
            container: Some((sink.entries, pieces)),
        }
    }

    fn entry(&self, here: Here, path: &[u8], ordinal: u32) -> Result<Here, LocateError> {
        let (entries, pieces) = here.container.unwrap_or_default();
        let nth = |path: &[u8], n: u32| {
            let skip = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
            entries.iter().filter(|e| e.path == path).nth(skip)
        };
        let Some(entry) = nth(path, ordinal) else {
            return Err(missing(here.locator, &entries, path, ordinal));
        };
        let content = match &entry.kind {
            // A further name shows the content of the first.
            EntryKind::Hardlink { target } => nth(&unescape(target), 1).unwrap_or(entry),
            _ => entry,
        };
        let piece = pieces.iter().any(|i| entries.get(*i).is_some_and(|e| std::ptr::eq(e, entry)));
        let budget = self.budget(content.blob.size());
        let loaded = content.blob.load(&budget);
        let has_content = !matches!(content.blob, Blob::None) || content.kind == EntryKind::File;
        let mut problems = entry.problems.clone();
        problems.extend(loaded.problems);
        Ok(Here {
            locator: here.locator.join(Step::Entry { path: path.to_vec(), ordinal }),
            bytes: loaded.bytes,
            entry: entry.kind.clone(),
            metadata: entry.metadata.clone(),
            format: match entry.kind {
                EntryKind::Directory => Some("directory".into()),
                _ if piece => Some(split::PIECE.to_owned()),
                _ => (!has_content).then(|| "none".to_owned()),
            },
            problems,
            container: None,
        })
    }

    fn resolve(&self, here: Here, range: Option<(u64, u64)>) -> Result<Resolved, LocateError> {
        let size = here.bytes.len() as u64;
        let (start, end) = range.unwrap_or((0, size));
        if end > size {
            return Err(LocateError::Range { parent: here.locator.into(), size, end });
        }
        let index = |n: u64| usize::try_from(n).unwrap_or(here.bytes.len());
        let bytes = here.bytes.slice(index(start)..index(end).max(index(start)));
        let content = here.format.as_deref().is_none_or(|f| f == split::PIECE)
            || here.entry == EntryKind::Region;
        let whole = content && here.problems.is_empty();
        Ok(Resolved {
            locator: Locator { range, ..here.locator },
            bytes,
            offset: start,
            entry: here.entry,
            metadata: here.metadata,
            format: here.format.unwrap_or_else(|| self.examined(&here.bytes).format.into_owned()),
            sha256: whole.then(|| Digest::of(&here.bytes)),
            problems: here.problems,
        })
    }
}

/// The nearest folder that exists on the way to `path`, and names close to the one that was asked for.
fn missing(container: Locator, entries: &[Entry], path: &[u8], ordinal: u32) -> LocateError {
    let below = |folder: &[u8], e: &Entry| {
        folder.is_empty()
            || e.path.strip_prefix(folder).is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    let mut parent = path;
    loop {
        parent = match parent.iter().rposition(|b| *b == b'/') {
            Some(i) => parent.get(..i).unwrap_or_default(),
            None => &[],
        };
        if parent.is_empty() || entries.iter().any(|e| e.path == parent || below(parent, e)) {
            break;
        }
    }
    let name = |p: &[u8]| p.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
    let wanted = name(path);
    // The same name elsewhere, then similar names in the folder where the way ends.
    let mut close: Vec<(usize, &Entry)> = entries
        .iter()
        .filter_map(|e| {
            let own = name(&e.path);
            if e.path == path {
                Some((0, e))
            } else if own == wanted {
                Some((1, e))
            } else if below(parent, e) && own.len() <= 64 && wanted.len() <= 64 {
                let far = distance(&own, &wanted);
                (far <= 2 || far.saturating_mul(4) <= wanted.len())
                    .then(|| (far.saturating_add(1), e))
            } else {
                None
            }
        })
        .collect();
    close.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
    let present = close
        .iter()
        .take(SUGGESTED)
        .map(|(_, e)| match &e.kind {
            EntryKind::Symlink { target } => format!("/{} -> {target}", escape(&e.path)),
            _ => format!("/{}", escape(&e.path)),
        })
        .collect();
    LocateError::Entry {
        parent: Box::new(match parent {
            [] => container,
            folder => container.join(Step::entry(folder.to_vec())),
        }),
        wanted: Step::Entry { path: path.to_vec(), ordinal }.to_string(),
        present,
    }
}

/// Edits that make `b` out of `a` (Levenshtein).
fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = diagonal.saturating_add(usize::from(x != y));
            diagonal = *cell;
            left = change.min(left.saturating_add(1)).min(cell.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits() {
        for (a, b, n) in
            [("", "abc", 3), ("kitten", "sitting", 3), ("passwd", "passwd", 0), ("ab", "ba", 2)]
        {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), n);
        }
    }
}
