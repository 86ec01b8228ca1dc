//! From the root folder to every entry.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use proofmark_model::{EntryKind, Metadata, Problem, ProblemKind};

use super::{
    layout::{self, Body, Inode, NONE, Super},
    load::{Content, Fragment, Shared},
    table::{Codec, Table, indexed},
};
use crate::{
    budget::Budget,
    format::{Blob, Entry, Sink},
    formats::filesystem::common::{self, Links, MAX_DEPTH},
    read,
};

/// Reads all tables and emits every entry.
pub(super) fn walk(sb: Super, codec: Codec, image: &Bytes, budget: &Budget, sink: &mut Sink<'_>) {
    let tables = [sb.fragment_table, sb.lookup_table, sb.id_tables.0, sb.xattr_table, sb.used];
    let directory_end =
        tables.into_iter().filter(|t| *t > sb.directory_table).min().unwrap_or(sb.used);
    // Behind the folders the fragment table's own blocks follow; decoding them as folders does no harm.
    let mut inodes = Table::read(&sb, image, codec, (sb.inode_table, sb.directory_table), budget);
    let mut folders = Table::read(&sb, image, codec, (sb.directory_table, directory_end), budget);
    let shared = Arc::new(Shared {
        image: image.clone(),
        codec,
        block_size: sb.block_size as usize,
        fragments: or_problem(fragments(&sb, image, codec, budget), sink),
        kept: Default::default(),
    });
    let owners = or_problem(Owners::read(&sb, image, codec, budget), sink);
    let mut xattrs = or_problem(Xattrs::read(&sb, image, codec, budget), sink);

    let mut links = Links::default();
    let mut seen = HashSet::from([sb.root]);
    let mut queue = vec![(Vec::new(), sb.root, 0)];
    'walk: while let Some((path, position, depth)) = queue.pop() {
        let Some(Inode { body: Body::Dir { block, offset, size }, .. }) =
            inode_at(&sb, &mut inodes, position, budget)
        else {
            sink.problem(common::malformed(format!(
                "folder `{}` has no readable inode",
                lossy(&path)
            )));
            continue;
        };
        if let Err(e) = budget.work(size.into()) {
            sink.problem(e);
            break;
        }
        let at = sb.directory_table.saturating_add(block);
        let list = if size <= 3 && sb.major >= 3 || size == 0 {
            Some((Vec::new(), true))
        } else {
            folders.at(at, offset.into(), budget).map(|data| layout::names(&sb, data, size))
        };
        let Some((names, complete)) = list else {
            sink.problem(common::malformed(format!(
                "the list of folder `{}` is not readable",
                lossy(&path)
            )));
            continue;
        };
        if !complete {
            sink.problem(common::malformed(format!(
                "the list of folder `{}` ends early",
                lossy(&path)
            )));
        }
        let mut below = Vec::new();
        for (position, name) in names {
            let path = common::join(&path, &name);
            let mut problems = Vec::from_iter(common::check_name(&name));
            let Some(inode) = inode_at(&sb, &mut inodes, position, budget) else {
                sink.problem(common::malformed(format!(
                    "the inode of `{}` is not readable",
                    lossy(&path)
                )));
                continue;
            };
            // Many names may lead into the same long list of blocks.
            if let Body::File(file) = &inode.body
                && let Err(e) = budget.work((file.blocks.len() as u64).saturating_mul(4))
            {
                sink.problem(e);
                break 'walk;
            }
            let metadata = Metadata {
                mode: Some(inode.mode),
                uid: owners.uid(&inode),
                gid: owners.gid(&inode),
                mtime: inode.mtime.map(i64::from),
                xattrs: match inode.xattr {
                    Some(id) => xattrs.get(&sb, id, budget, &mut problems),
                    None => Vec::new(),
                },
            };
            let (mut kind, mut blob) = (EntryKind::Directory, Blob::None);
            match inode.body {
                Body::Dir { .. } if depth >= MAX_DEPTH || !seen.insert(position) => {
                    problems.push(Problem::new(
                        ProblemKind::Malformed,
                        "the folder contains itself or is too deep",
                    ));
                }
                Body::Dir { .. } => below.push((path.clone(), position, depth.saturating_add(1))),
                body => match links.first(position, &path) {
                    Some(link) => kind = link,
                    None => (kind, blob) = other(&shared, body),
                },
            }
            if sink.entry(Entry { path, kind, metadata, blob, problems }).is_err() {
                break 'walk;
            }
        }
        queue.extend(below.into_iter().rev());
    }
    for problem in inodes.problems.drain(..).chain(folders.problems.drain(..)) {
        sink.problem(problem);
    }
    let found = links.len().saturating_add(seen.len() as u64);
    common::incomplete(sink, "inodes", found, sb.inodes.into());
}

/// Kind and content of anything but a folder.
fn other(shared: &Arc<Shared>, body: Body) -> (EntryKind, Blob) {
    match body {
        Body::File(file) if file.size == 0 => (EntryKind::File, Blob::Bytes(Bytes::new())),
        Body::File(file) => {
            shared.announce(&file);
            (EntryKind::File, Blob::Lazy(Arc::new(Content { shared: shared.clone(), file })))
        }
        Body::Symlink(target) => {
            let target = proofmark_model::locator::escape(&target);
            (EntryKind::Symlink { target }, Blob::None)
        }
        Body::Device(rdev, block) => {
            let (major, minor) = common::device(rdev);
            if block {
                (EntryKind::BlockDevice { major, minor }, Blob::None)
            } else {
                (EntryKind::CharDevice { major, minor }, Blob::None)
            }
        }
        Body::Fifo => (EntryKind::Fifo, Blob::None),
        Body::Socket => (EntryKind::Socket, Blob::None),
        Body::Dir { .. } => (EntryKind::Directory, Blob::None),
    }
}

fn lossy(path: &[u8]) -> String {
    proofmark_model::locator::escape(path)
}

fn or_problem<T: Default>(result: Result<T, Problem>, sink: &mut Sink<'_>) -> T {
    result.unwrap_or_else(|problem| {
        sink.problem(problem);
        T::default()
    })
}

fn inode_at(sb: &Super, table: &mut Table<'_>, position: u64, budget: &Budget) -> Option<Inode> {
    let block = sb.inode_table.checked_add(position >> 16)?;
    layout::inode(sb, table.at(block, (position & 0xffff) as usize, budget)?)
}

fn fragments(
    sb: &Super,
    image: &[u8],
    codec: Codec,
    budget: &Budget,
) -> Result<Vec<Fragment>, Problem> {
    if sb.fragments == 0 {
        return Ok(Vec::new());
    }
    let size = if sb.major < 3 { 8 } else { 16 };
    let list = indexed(sb, image, codec, sb.fragment_table, (sb.fragments.into(), size), budget)?;
    let parse = |b: &[u8]| {
        if size == 8 {
            Some(Fragment::new(sb.order.u32(b, 0)?.into(), sb.order.u32(b, 4)?))
        } else {
            Some(Fragment::new(sb.order.u64(b, 0)?, sb.order.u32(b, 8)?))
        }
    };
    Ok(list.chunks_exact(size).take(sb.fragments as usize).filter_map(parse).collect())
}

/// The tables of owners and groups.
#[derive(Default)]
struct Owners {
    users: Vec<u32>,
    /// Before version 4 groups have a table of their own.
    groups: Option<Vec<u32>>,
}

impl Owners {
    fn read(sb: &Super, image: &[u8], codec: Codec, budget: &Budget) -> Result<Self, Problem> {
        let words = |b: &[u8]| b.chunks_exact(4).filter_map(|c| sb.order.u32(c, 0)).collect();
        if sb.major == 4 {
            let list = indexed(sb, image, codec, sb.id_tables.0, (sb.ids.0.into(), 4), budget)?;
            return Ok(Self { users: words(&list), groups: None });
        }
        let plain = |at: u64, count: u16| {
            let list = read::index(at)
                .and_then(|at| read::slice(image, at, usize::from(count).checked_mul(4)?));
            list.map(words).ok_or_else(|| {
                Problem::new(ProblemKind::Truncated, "the table of owners is not there").at(at)
            })
        };
        Ok(Self {
            users: plain(sb.id_tables.0, sb.ids.0)?,
            groups: Some(plain(sb.id_tables.1, sb.ids.1)?),
        })
    }

    fn uid(&self, inode: &Inode) -> Option<u32> {
        self.users.get(inode.uid).copied()
    }

    fn gid(&self, inode: &Inode) -> Option<u32> {
        match (inode.gid, &self.groups) {
            (None, _) => self.uid(inode),
            (Some(i), Some(groups)) => groups.get(i).copied(),
            (Some(i), None) => self.users.get(i).copied(),
        }
    }
}

/// The extended attributes of version 4.
#[derive(Default)]
struct Xattrs<'a> {
    /// Position and number of pairs by id.
    ids: Vec<(u64, u32)>,
    start: u64,
    pairs: Option<Table<'a>>,
}

impl<'a> Xattrs<'a> {
    fn read(
        sb: &'a Super,
        image: &'a [u8],
        codec: Codec,
        budget: &Budget,
    ) -> Result<Self, Problem> {
        if sb.xattr_table == NONE {
            return Ok(Self::default());
        }
        let cut = || {
            Problem::new(ProblemKind::Truncated, "the table of xattrs is not there")
                .at(sb.xattr_table)
        };
        let head = read::index(sb.xattr_table).and_then(|at| image.get(at..)).ok_or_else(cut)?;
        let start = sb.order.u64(head, 0).ok_or_else(cut)?;
        let count = sb.order.u32(head, 8).ok_or_else(cut)?;
        let first = sb.order.u64(head, 16).ok_or_else(cut)?;
        let list = sb.xattr_table.saturating_add(16);
        let ids = indexed(sb, image, codec, list, (count.into(), 16), budget)?;
        let ids =
            ids.chunks_exact(16).filter_map(|c| Some((sb.order.u64(c, 0)?, sb.order.u32(c, 8)?)));
        let pairs = Table::read(sb, image, codec, (start, first), budget);
        Ok(Self { ids: ids.collect(), start, pairs: Some(pairs) })
    }

    fn get(
        &mut self,
        sb: &Super,
        id: u32,
        budget: &Budget,
        problems: &mut Vec<Problem>,
    ) -> Vec<(String, String)> {
        let mut out = Vec::new();
        if self.collect(sb, id, budget, &mut out).is_none() {
            problems.push(common::malformed("not all extended attributes are readable"));
        }
        out
    }

    fn collect(
        &mut self,
        sb: &Super,
        id: u32,
        budget: &Budget,
        out: &mut Vec<(String, String)>,
    ) -> Option<()> {
        let (position, count) = *self.ids.get(id as usize)?;
        let start = self.start;
        let table = self.pairs.as_mut()?;
        let place = |p: u64| (start.saturating_add(p >> 16), (p & 0xffff) as usize);
        let (block, offset) = place(position);
        let mut skip = 0usize;
        for _ in 0..count {
            budget.work(16).ok()?;
            let b = table.at(block, offset, budget)?.get(skip..)?;
            let (kind, len) = (sb.order.u16(b, 0)?, sb.order.u16(b, 2)?.into());
            let prefix = match kind & 0xff {
                0 => "user.",
                1 => "trusted.",
                2 => "security.",
                _ => "",
            };
            let name = read::slice(b, 4, len)?.to_vec();
            let value_at = len.checked_add(4)?;
            let value_len = sb.order.u32(b, value_at)? as usize;
            let value_at = value_at.checked_add(4)?;
            let mut value = read::slice(b, value_at, value_len)?.to_vec();
            skip = skip.checked_add(value_at)?.checked_add(value_len)?;
            if kind & 0x100 != 0 {
                // Stored elsewhere, shared with other inodes.
                let (block, offset) = place(sb.order.u64(&value, 0)?);
                let b = table.at(block, offset, budget)?;
                value = read::slice(b, 4, sb.order.u32(b, 0)? as usize)?.to_vec();
            }
            budget.output(value.len() as u64).ok()?;
            out.push(common::xattr(prefix, &name, &value));
        }
        Some(())
    }
}
