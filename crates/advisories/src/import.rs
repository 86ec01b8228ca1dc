//! Feeds into the database.
//!
//! The old database is never written to: an import works on a copy beside it, which takes its place by a rename when
//! all is done. Whatever ends an import early leaves the old database as it was.
//!
//! Which record wins where two have the same feed and id: the one changed later; of equal moments the one with the
//! greater digest. So the result does not depend on the order of files. Where records bear no moment, a later import
//! outranks an earlier one. A set that is *whole* (the KEV list, one branch of a distribution) replaces its
//! predecessor, unless it was made earlier.
//!
//! A file that gives less than nine tenths of what the same file or the same set gave before is refused and
//! changes nothing, unless the user insists; so is a whole set from a damaged file.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
};

use rayon::prelude::*;
use rusqlite::{Connection, OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, beside, codec,
    database::{self, APPLICATION, LAYOUT, SCHEMA},
    feed::{self, Item, Parsed, Problem, Set, open::Budget},
    key,
    record::Record,
};

/// Keys gathered before they are written to the index.
const RUN: usize = 1 << 20;

/// How to import.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Bounds of reading.
    pub budget: Budget,
    /// Takes a set even if it is much smaller than before.
    pub allow_smaller: bool,
    /// Day of the import, for `status` only.
    pub day: Option<String>,
    /// Moments at which files were made, in milliseconds since 1970-01-01, where the publisher says so beside them.
    /// Counts for sets that bear no date of their own.
    pub made: BTreeMap<PathBuf, i64>,
}

/// How far an import is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file at work.
    pub file: &'a Path,
    /// Records so far, of all files.
    pub records: u64,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Files that were read.
    pub files: u64,
    /// Records read, with the entries of KEV and EPSS.
    pub records: u64,
    /// Records that were not there before.
    pub new: u64,
    /// Records that changed.
    pub changed: u64,
    /// Files that were not taken, with the reason.
    pub refused: Vec<Problem>,
    /// Files left out because newer data is there already, with the reason.
    pub older: Vec<Problem>,
    /// Number of records that could not be read.
    pub problems: u64,
    /// The first of them.
    pub first_problems: Vec<Problem>,
    /// Feeds that the files belong to.
    pub feeds: BTreeSet<String>,
}

/// Problems that are kept with their words.
const WORDS: usize = 100;
/// Problems with the same words about one file that are kept.
const ALIKE: usize = 3;
/// A set smaller than this may shrink as it likes.
const SMALL: u64 = 50;
/// Items handed over at once.
const PIECE: usize = 512;

/// Imports files and folders into the database at `path`, which is made if it is not there.
///
/// # Errors
/// A path that cannot be read, a database that cannot be written, another import at work, or files of which nothing
/// could be used. In all these cases the old database is as it was.
pub fn import(
    path: &Path,
    sources: &[PathBuf],
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, Error> {
    let files = feed::open::files(sources, &options.budget).map_err(|(p, e)| Error::io(&p, &e))?;
    let site = Site::prepare(path)?;
    let broken = |e: rusqlite::Error| Error::database(&site.new, e);
    let mut connection = site.connect()?;
    let transaction = connection.transaction().map_err(broken)?;
    let mut writer = Writer::new(&transaction, options).map_err(broken)?;
    run(&mut writer, &files, options, progress).map_err(broken)?;
    let summary = writer.finish().map_err(broken)?;
    if summary.records == 0 {
        let told =
            summary.refused.iter().chain(&summary.older).chain(&summary.first_problems).next();
        let reason = told.map_or_else(
            || "no file to import".to_owned(),
            |p| format!("nothing could be used; {p}"),
        );
        let path = sources.first().map(|p| p.display().to_string()).unwrap_or_default();
        return if summary.older.is_empty() || !summary.refused.is_empty() {
            Err(Error::Nothing { path, reason })
        } else {
            Ok(summary)
        };
    }
    transaction.commit().map_err(broken)?;
    connection.close().map_err(|(_, e)| broken(e))?;
    site.publish()?;
    Ok(summary)
}

/// The new database beside the old one, and the lock that keeps others away.
struct Site {
    path: PathBuf,
    new: PathBuf,
    _lock: File,
}

impl Site {
    fn prepare(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|e| Error::io(folder, &e))?;
        }
        let lock_path = beside(path, ".lock");
        let lock = File::create(&lock_path).map_err(|e| Error::io(&lock_path, &e))?;
        lock.try_lock().map_err(|_| Error::Busy { path: lock_path.display().to_string() })?;
        // What a killed import left behind.
        let new = beside(path, ".new");
        for left in [new.clone(), beside(path, ".new-journal")] {
            match fs::remove_file(&left) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io(&left, &e));
                }
                _ => {}
            }
        }
        if path.exists() {
            database::Database::open(path)?;
            fs::copy(path, &new).map_err(|e| Error::io(&new, &e))?;
        }
        Ok(Self { path: path.to_owned(), new, _lock: lock })
    }

    fn connect(&self) -> Result<Connection, Error> {
        let fresh = !self.new.exists();
        let connection = Connection::open(&self.new).map_err(|e| Error::database(&self.new, e))?;
        // The copy is thrown away if anything goes wrong, so it needs no care of its own until it is published.
        let setup = "PRAGMA page_size=8192; PRAGMA journal_mode=TRUNCATE; PRAGMA synchronous=OFF;
            PRAGMA locking_mode=EXCLUSIVE; PRAGMA cache_size=-65536;";
        connection
            .execute_batch(setup)
            .and_then(|()| {
                if fresh {
                    connection.pragma_update(None, "application_id", APPLICATION)?;
                    connection.pragma_update(None, "user_version", LAYOUT)?;
                    connection.execute_batch(SCHEMA)?;
                }
                Ok(connection)
            })
            .map_err(|e| Error::database(&self.new, e))
    }

    fn publish(&self) -> Result<(), Error> {
        let fail = |e: std::io::Error| Error::io(&self.new, &e);
        File::open(&self.new).and_then(|f| f.sync_all()).map_err(fail)?;
        fs::rename(&self.new, &self.path).map_err(fail)?;
        if let Some(folder) = self.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            // The rename is done; that it is on the disk too is best effort where folders cannot be opened.
            let _ = File::open(folder).and_then(|f| f.sync_all());
        }
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Nothing is there after a rename.
        let _ = fs::remove_file(&self.new);
    }
}

/// From the thread that reads to the one that writes.
enum Message {
    Begin(usize),
    Items(Vec<Result<Parsed, Problem>>),
    End,
}

/// Reads in a thread of its own, writes in this one.
fn run(
    writer: &mut Writer<'_>,
    files: &[PathBuf],
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), rusqlite::Error> {
    let (send, receive) = mpsc::sync_channel::<Message>(8);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let stop = &stop;
        scope.spawn(move || {
            for (n, file) in files.iter().enumerate() {
                if stop.load(Ordering::Relaxed) || send.send(Message::Begin(n)).is_err() {
                    return;
                }
                let mut piece = Vec::with_capacity(PIECE);
                let hand_over = |piece: &mut Vec<_>| {
                    // The writer has stopped if it does not take this; the file is read to its end for nothing then.
                    let _ = send.send(Message::Items(std::mem::take(piece)));
                };
                feed::open::each(file, &options.budget, &mut |item| {
                    piece.push(item);
                    if piece.len() >= PIECE {
                        hand_over(&mut piece);
                    }
                });
                hand_over(&mut piece);
                if send.send(Message::End).is_err() {
                    return;
                }
            }
        });
        let mut work = || {
            let mut at: &Path = Path::new("");
            for message in receive.iter() {
                match message {
                    Message::Begin(n) => {
                        at = files.get(n).map_or(at, |p| p.as_path());
                        writer.begin(at)?;
                    }
                    Message::Items(items) => {
                        writer.items(items)?;
                        progress(Progress {
                            file: at,
                            records: writer.summary.records + writer.tally.records,
                        });
                    }
                    Message::End => writer.end()?,
                }
            }
            Ok(())
        };
        let result = work();
        stop.store(true, Ordering::Relaxed);
        drop(receive);
        result
    })
}

/// A record ready to be stored.
struct Ready {
    record: Box<Record>,
    changed: Option<i64>,
    digest: [u8; 32],
    body: Vec<u8>,
    keys: Vec<i64>,
}

fn ready(record: Box<Record>, changed: Option<i64>) -> Result<Ready, String> {
    let plain = codec::plain(&record)?;
    let keys = key::keys(&record).iter().map(|k| k.hash64().cast_signed()).collect();
    Ok(Ready {
        digest: Sha256::digest(&plain).into(),
        body: codec::pack(&plain),
        keys,
        record,
        changed,
    })
}

/// What one file gave.
#[derive(Default)]
struct Tally {
    file: PathBuf,
    records: u64,
    new: u64,
    changed: u64,
    cut: Option<Problem>,
    sets: BTreeMap<Set, (i64, u64)>,
    /// Latest moment by set id.
    made: BTreeMap<i64, Option<i64>>,
}

struct Writer<'c> {
    connection: &'c Connection,
    options: &'c Options,
    /// Number of the file, over all imports.
    run: i64,
    /// The first of this import.
    first_run: i64,
    tally: Tally,
    summary: Summary,
    sources: BTreeMap<String, String>,
    /// Keys with their records, not written yet: they are hashes, and a sorted run of them costs a fraction of as many
    /// single ones at random places of the index.
    pending: Vec<(i64, i64)>,
    /// The records in there.
    waiting: HashSet<i64>,
}

impl<'c> Writer<'c> {
    fn new(connection: &'c Connection, options: &'c Options) -> Result<Self, rusqlite::Error> {
        let last: Option<i64> =
            connection.query_row("SELECT max(run) FROM record", [], |r| r.get(0))?;
        let run = last.unwrap_or(0);
        Ok(Self {
            connection,
            options,
            run,
            first_run: run.saturating_add(1),
            tally: Tally::default(),
            summary: Summary::default(),
            sources: BTreeMap::new(),
            pending: Vec::new(),
            waiting: HashSet::new(),
        })
    }

    fn begin(&mut self, file: &Path) -> Result<(), rusqlite::Error> {
        self.run = self.run.saturating_add(1);
        self.tally = Tally { file: file.to_owned(), ..Tally::default() };
        self.connection.prepare_cached("SAVEPOINT one")?.execute([])?;
        Ok(())
    }

    fn problem(&mut self, problem: Problem) {
        self.summary.problems = self.summary.problems.saturating_add(1);
        if problem.cut {
            self.tally.cut.get_or_insert_with(|| problem.clone());
        }
        // The same words about a hundred lines of one file would hide the rest.
        let alike = |p: &&Problem| p.file == problem.file && p.reason == problem.reason;
        let said = self.summary.first_problems.iter().rev().filter(alike).count();
        if said < ALIKE && self.summary.first_problems.len() < WORDS {
            self.summary.first_problems.push(problem);
        }
    }

    fn items(&mut self, items: Vec<Result<Parsed, Problem>>) -> Result<(), rusqlite::Error> {
        let mut records = Vec::new();
        for item in items {
            let parsed = match item {
                Ok(parsed) => parsed,
                Err(problem) => {
                    self.problem(problem);
                    continue;
                }
            };
            let mut set = parsed.set;
            if set.whole {
                set.made = set.made.or_else(|| self.options.made.get(&self.tally.file).copied());
            }
            let part = self.part(&set, parsed.items.len() as u64)?;
            for item in parsed.items {
                match item {
                    Item::Record(record, changed) => {
                        records.push((part, set.whole, record, changed))
                    }
                    Item::Kev(cve, day) => {
                        let sql = "INSERT INTO kev(cve, day) VALUES(?1, ?2)
                            ON CONFLICT(cve) DO UPDATE SET day = min(ifnull(day, excluded.day), ifnull(excluded.day, day))";
                        self.connection.prepare_cached(sql)?.execute(params![cve, day])?;
                    }
                    Item::Epss(cve, ppm) => {
                        let sql = "INSERT INTO epss(cve, ppm) VALUES(?1, ?2)
                            ON CONFLICT(cve) DO UPDATE SET ppm = max(ppm, excluded.ppm)";
                        self.connection.prepare_cached(sql)?.execute(params![cve, ppm])?;
                    }
                }
            }
        }
        let one = |(part, whole, record, changed)| (part, whole, ready(record, changed));
        let all: Vec<(i64, bool, Result<Ready, String>)> = match records.len() {
            ..32 => records.into_iter().map(one).collect(),
            _ => records.into_par_iter().with_min_len(32).map(one).collect(),
        };
        for (part, whole, ready) in all {
            match ready {
                Ok(ready) => self.store(part, whole, &ready)?,
                Err(reason) => {
                    let file = self.tally.file.display().to_string();
                    self.problem(Problem { file, record: "a record".into(), reason, cut: false });
                }
            }
        }
        Ok(())
    }

    /// The id of a set, which is opened at its first record in a file.
    fn part(&mut self, set: &Set, items: u64) -> Result<i64, rusqlite::Error> {
        self.tally.records = self.tally.records.saturating_add(items);
        if let Some((id, count)) = self.tally.sets.get_mut(set) {
            *count = count.saturating_add(items);
            return Ok(*id);
        }
        let sql = "INSERT INTO part(feed, name, whole) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING";
        self.connection.prepare_cached(sql)?.execute(params![set.feed, set.name, set.whole])?;
        let sql = "SELECT id FROM part WHERE feed = ?1 AND name = ?2";
        let id = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![set.feed, set.name], |r| r.get(0))?;
        if set.whole
            && matches!(set.feed.as_str(), "kev" | "epss")
            && !self.tally.sets.keys().any(|s| s.feed == set.feed)
        {
            // The table's name is one of these two words.
            self.connection.execute(&format!("DELETE FROM {}", set.feed), [])?;
        }
        self.tally.sets.insert(set.clone(), (id, items));
        let made = self.tally.made.entry(id).or_default();
        *made = (*made).max(set.made);
        Ok(id)
    }

    fn store(&mut self, part: i64, whole: bool, r: &Ready) -> Result<(), rusqlite::Error> {
        let sql = "SELECT id, changed, run, digest, part FROM record WHERE feed = ?1 AND name = ?2";
        let old = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![r.record.feed, r.record.id], |row| {
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, Option<i64>>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, [u8; 32]>(3)?,
                    row.get::<_, i64>(4)?,
                ))
            })
            .optional()?;
        let day = r.record.modified.max(r.record.published);
        let Some((id, changed, run, digest, old_part)) = old else {
            let sql = "INSERT INTO record(feed, name, part, changed, day, run, digest, body) VALUES(?1,?2,?3,?4,?5,?6,?7,?8)";
            self.connection.prepare_cached(sql)?.execute(params![
                r.record.feed,
                r.record.id,
                part,
                r.changed,
                day,
                self.run,
                r.digest,
                r.body
            ])?;
            self.tally.new = self.tally.new.saturating_add(1);
            return self.index(self.connection.last_insert_rowid(), &r.keys);
        };
        let same_import = run >= self.first_run;
        let wins = match (changed, r.changed) {
            _ if digest == r.digest => false,
            _ if whole && old_part == part && run != self.run => true,
            (Some(old), Some(new)) if old != new => new > old,
            (None, None) if !same_import => true,
            (None, Some(_)) => true,
            (Some(_), None) => !same_import,
            _ => r.digest > digest,
        };
        if !wins {
            let sql = "UPDATE record SET run = ?2, part = ?3 WHERE id = ?1 AND run <> ?2";
            self.connection.prepare_cached(sql)?.execute(params![id, self.run, part])?;
            return Ok(());
        }
        self.forget(id)?;
        let sql =
            "UPDATE record SET part=?2, changed=?3, day=?4, run=?5, digest=?6, body=?7 WHERE id=?1";
        self.connection
            .prepare_cached(sql)?
            .execute(params![id, part, r.changed, day, self.run, r.digest, r.body])?;
        self.tally.changed = self.tally.changed.saturating_add(1);
        self.index(id, &r.keys)
    }

    fn index(&mut self, id: i64, keys: &[i64]) -> Result<(), rusqlite::Error> {
        self.pending.extend(keys.iter().map(|key| (*key, id)));
        self.waiting.insert(id);
        if self.pending.len() < RUN { Ok(()) } else { self.write_index() }
    }

    fn write_index(&mut self) -> Result<(), rusqlite::Error> {
        self.pending.sort_unstable();
        let mut statement = self
            .connection
            .prepare_cached("INSERT OR IGNORE INTO about(key, record) VALUES(?1, ?2)")?;
        for (key, id) in self.pending.drain(..) {
            statement.execute([key, id])?;
        }
        self.waiting.clear();
        Ok(())
    }

    /// Takes a stored record out of the index.
    fn forget(&mut self, id: i64) -> Result<(), rusqlite::Error> {
        if self.waiting.contains(&id) {
            self.write_index()?;
        }
        let sql = "SELECT body FROM record WHERE id = ?1";
        let body: Vec<u8> = self.connection.prepare_cached(sql)?.query_row([id], |r| r.get(0))?;
        match codec::unpack(&body) {
            Ok(record) => {
                let mut statement = self
                    .connection
                    .prepare_cached("DELETE FROM about WHERE key = ?1 AND record = ?2")?;
                let keys = key::keys(&record);
                keys.iter()
                    .try_for_each(|k| statement.execute([k.hash64().cast_signed(), id]).map(|_| ()))
            }
            // A damaged body cannot say its keys: the slow way.
            Err(_) => {
                self.connection.execute("DELETE FROM about WHERE record = ?1", [id]).map(|_| ())
            }
        }
    }

    /// The file has been read: keeps what it gave, or not.
    fn end(&mut self) -> Result<(), rusqlite::Error> {
        self.write_index()?;
        self.summary.files = self.summary.files.saturating_add(1);
        let tally = std::mem::take(&mut self.tally);
        let file = tally.file.display().to_string();
        if let Some((older, reason)) = self.objection(&tally)? {
            self.connection.execute_batch("ROLLBACK TO one; RELEASE one")?;
            let problem = Problem { file, record: "the file".into(), reason, cut: false };
            if older {
                self.summary.older.push(problem)
            } else {
                self.summary.refused.push(problem)
            }
            return Ok(());
        }
        let name = stem(&tally.file);
        let mut by_feed: BTreeMap<&str, u64> = BTreeMap::new();
        for (set, (id, count)) in &tally.sets {
            *by_feed.entry(&set.feed).or_default() += count;
            if set.whole {
                self.drop_old(*id)?;
                let sql = "UPDATE part SET records = ?2 WHERE id = ?1";
                self.connection
                    .prepare_cached(sql)?
                    .execute(params![id, i64::try_from(*count).unwrap_or(i64::MAX)])?;
            }
        }
        for (id, made) in &tally.made {
            let sql =
                "UPDATE part SET made = max(ifnull(made, ?2), ifnull(?2, made)) WHERE id = ?1";
            self.connection.prepare_cached(sql)?.execute(params![id, made])?;
        }
        for (feed, count) in by_feed {
            self.summary.feeds.insert(feed.to_owned());
            self.sources.insert(feed.to_owned(), name.clone());
            // A single record is not a set that could become smaller.
            if count >= SMALL {
                let sql = "INSERT OR REPLACE INTO file(feed, name, records) VALUES(?1, ?2, ?3)";
                self.connection.prepare_cached(sql)?.execute(params![
                    feed,
                    name,
                    i64::try_from(count).unwrap_or(i64::MAX)
                ])?;
            }
        }
        self.connection.prepare_cached("RELEASE one")?.execute([])?;
        self.summary.records = self.summary.records.saturating_add(tally.records);
        self.summary.new = self.summary.new.saturating_add(tally.new);
        self.summary.changed = self.summary.changed.saturating_add(tally.changed);
        Ok(())
    }

    /// Why a file is not taken: it is older than what is there (true), or suspicious (false).
    fn objection(&self, tally: &Tally) -> Result<Option<(bool, String)>, rusqlite::Error> {
        let smaller = |new: u64, old: u64| {
            old >= SMALL
                && !self.options.allow_smaller
                && new.saturating_mul(10) < old.saturating_mul(9)
        };
        let words = |what: &str, new: u64, old: u64| {
            format!(
                "{what} has {new} records, before it had {old}; nothing of it was taken. If it is right, import it with --allow-smaller"
            )
        };
        let mut by_feed: BTreeMap<&str, u64> = BTreeMap::new();
        for (set, (id, count)) in &tally.sets {
            *by_feed.entry(&set.feed).or_default() += count;
            if !set.whole {
                continue;
            }
            let what = if set.name.is_empty() {
                set.feed.clone()
            } else {
                format!("{} {}", set.feed, set.name)
            };
            if let Some(cut) = &tally.cut {
                return Ok(Some((
                    false,
                    format!(
                        "{what} replaces all there is of it, but the file is damaged ({}: {}); nothing of it was taken",
                        cut.record, cut.reason
                    ),
                )));
            }
            let sql = "SELECT made, records FROM part WHERE id = ?1";
            let (made, records): (Option<i64>, i64) = self
                .connection
                .prepare_cached(sql)?
                .query_row([id], |r| Ok((r.get(0)?, r.get(1)?)))?;
            if let (Some(old), Some(new)) = (made, set.made)
                && new < old
            {
                let day = |ms: i64| {
                    i32::try_from(ms.div_euclid(86_400_000))
                        .map(crate::date::text)
                        .unwrap_or_default()
                };
                return Ok(Some((
                    true,
                    format!("{what} of {} is there already, this is of {}", day(old), day(new)),
                )));
            }
            if smaller(*count, records.unsigned_abs()) {
                return Ok(Some((false, words(&what, *count, records.unsigned_abs()))));
            }
        }
        let name = stem(&tally.file);
        // What the last days brought is larger or smaller by nature.
        if !["modified", "recent", "delta"].iter().any(|w| name.contains(w)) {
            for (feed, count) in by_feed {
                let sql = "SELECT records FROM file WHERE feed = ?1 AND name = ?2";
                let old: Option<i64> = self
                    .connection
                    .prepare_cached(sql)?
                    .query_row(params![feed, name], |r| r.get(0))
                    .optional()?;
                if let Some(old) = old.map(i64::unsigned_abs).filter(|old| smaller(count, *old)) {
                    return Ok(Some((false, words(feed, count, old))));
                }
            }
        }
        Ok(None)
    }

    /// Removes what a whole set no longer has.
    fn drop_old(&mut self, part: i64) -> Result<(), rusqlite::Error> {
        let ids: Vec<i64> = self
            .connection
            .prepare_cached("SELECT id FROM record WHERE part = ?1 AND run <> ?2")?
            .query_map([part, self.run], |r| r.get(0))?
            .collect::<Result<_, _>>()?;
        for id in ids {
            self.forget(id)?;
            self.connection.prepare_cached("DELETE FROM record WHERE id = ?1")?.execute([id])?;
        }
        Ok(())
    }

    /// Writes down what there is of each feed.
    fn finish(self) -> Result<Summary, rusqlite::Error> {
        let c = self.connection;
        let mut feeds: BTreeMap<String, (i64, Option<i32>, Sha256)> = BTreeMap::new();
        {
            let mut statement =
                c.prepare("SELECT feed, name, day, digest FROM record ORDER BY feed, name")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (feed, name): (String, String) = (row.get(0)?, row.get(1)?);
                let (day, digest): (Option<i32>, [u8; 32]) = (row.get(2)?, row.get(3)?);
                let (count, newest, hash) = feeds.entry(feed).or_default();
                *count += 1;
                *newest = (*newest).max(day);
                hash.update(name.as_bytes());
                hash.update([0]);
                hash.update(digest);
            }
        }
        for (feed, sql) in [
            ("kev", "SELECT cve, day FROM kev ORDER BY cve"),
            ("epss", "SELECT cve, ppm FROM epss ORDER BY cve"),
        ] {
            let mut statement = c.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let (cve, value): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
                let (count, _, hash) = feeds.entry(feed.to_owned()).or_default();
                *count += 1;
                hash.update(cve.to_le_bytes());
                hash.update(value.unwrap_or(-1).to_le_bytes());
            }
        }
        let old: BTreeMap<String, database::Feed> =
            database::feeds(c)?.into_iter().map(|f| (f.name.clone(), f)).collect();
        c.execute("DELETE FROM feed", [])?;
        for (feed, (count, newest, hash)) in feeds {
            let made: Option<i64> =
                c.query_row("SELECT max(made) FROM part WHERE feed = ?1", [&feed], |r| r.get(0))?;
            let newest =
                newest.max(made.and_then(|ms| i32::try_from(ms.div_euclid(86_400_000)).ok()));
            let digest: [u8; 32] = hash.finalize().into();
            let before = old.get(&feed);
            let touched = self.sources.get(&feed);
            let source =
                touched.cloned().or_else(|| Some(before?.source.clone())).unwrap_or_default();
            let imported = match touched {
                Some(_) => self.options.day.clone(),
                None => before.and_then(|b| b.imported.clone()),
            };
            c.execute(
                "INSERT INTO feed(name, records, newest, digest, source, imported) VALUES(?1,?2,?3,?4,?5,?6)",
                params![feed, count, newest, digest, source, imported],
            )?;
        }
        c.execute_batch("ANALYZE")?;
        Ok(self.summary)
    }
}

/// The file's name without compression: what the same feed is called next time.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".gz").trim_end_matches(".zip").to_owned()
}
