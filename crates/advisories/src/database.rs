//! The database: one SQLite file, written only by imports, opened read-only for everything else.
//!
//! ```text
//! record  feed, name (unique), part, changed, day, run, digest, body   body: see codec.rs
//! about   key, record                                                  key: 64 bits of a Key, see key.rs
//! kev     cve, day                                                     cve: year and ten digits as one number
//! epss    cve, ppm
//! part    feed, name, whole, made, records                             sets of data within a feed
//! file    feed, name, records                                          what each file gave last time
//! feed    name, records, newest, digest, source, imported              for status
//! ```
//!
//! The day of an import is in `feed` for the eye only; nothing is decided by it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use proofmark_model::{Digest, assessment::DataVersion};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use crate::{
    Error, codec, date,
    key::{cve_number, mentions},
    record::{Key, Record, Store, Threat},
};

/// Number of the layout. A database of another one has to be imported anew.
pub(crate) const LAYOUT: i64 = 2;

/// `PMad`: tells the file from other SQLite files.
pub(crate) const APPLICATION: i64 = 0x504d_6164;

pub(crate) const SCHEMA: &str = "
CREATE TABLE part(id INTEGER PRIMARY KEY, feed TEXT NOT NULL, name TEXT NOT NULL, whole INTEGER NOT NULL,
    made INTEGER, records INTEGER NOT NULL DEFAULT 0, UNIQUE(feed, name));
CREATE TABLE record(id INTEGER PRIMARY KEY, feed TEXT NOT NULL, name TEXT NOT NULL, part INTEGER NOT NULL,
    changed INTEGER, day INTEGER, run INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL,
    UNIQUE(feed, name));
CREATE INDEX record_part ON record(part, run);
CREATE TABLE about(key INTEGER NOT NULL, record INTEGER NOT NULL, PRIMARY KEY(key, record)) WITHOUT ROWID;
CREATE TABLE kev(cve INTEGER PRIMARY KEY, day INTEGER);
CREATE TABLE epss(cve INTEGER PRIMARY KEY, ppm INTEGER NOT NULL);
CREATE TABLE file(feed TEXT NOT NULL, name TEXT NOT NULL, records INTEGER NOT NULL, PRIMARY KEY(feed, name))
    WITHOUT ROWID;
CREATE TABLE feed(name TEXT PRIMARY KEY, records INTEGER NOT NULL, newest INTEGER, digest BLOB NOT NULL,
    source TEXT NOT NULL, imported TEXT) WITHOUT ROWID;
";

/// What is there of one feed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Feed {
    /// Its name.
    pub name: String,
    /// Records of it.
    pub records: u64,
    /// Newest date in it, days since 1970-01-01.
    pub newest: Option<i32>,
    /// SHA-256 over ids and contents, whatever the order they came in.
    pub digest: Digest,
    /// Name of the file it came from, the last where there were several.
    pub source: String,
    /// Day of the last import, as whoever imported said.
    pub imported: Option<String>,
}

/// The database, opened for reading.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    connection: Mutex<Connection>,
    feeds: Vec<Feed>,
}

impl Database {
    /// Opens a database that nobody writes to: imports replace the file as a whole.
    ///
    /// # Errors
    /// There is none at this path, or it is damaged or of another version.
    pub fn open(path: &Path) -> Result<Self, Error> {
        std::fs::metadata(path).map_err(|e| Error::io(path, &e))?;
        let wrong = |e: &dyn std::fmt::Display| {
            Error::database(path, format!("{e}; import the feeds again"))
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(path), flags).map_err(|e| wrong(&e))?;
        check(&connection).map_err(|e| wrong(&e))?;
        let feeds = feeds(&connection).map_err(|e| wrong(&e))?;
        Ok(Self { path: path.to_owned(), connection: Mutex::new(connection), feeds })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is there of each feed, by name.
    #[must_use]
    pub fn contents(&self) -> &[Feed] {
        &self.feeds
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, String>) -> Result<T, String> {
        let connection =
            self.connection.lock().map_err(|_| "the database is not usable after a crash")?;
        work(&connection).map_err(|e| format!("{}: {e}", self.path.display()))
    }
}

/// The path as SQLite's URI; immutable spares locks, which a sandbox would not grant.
fn uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for b in
        std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).as_os_str().as_encoded_bytes()
    {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(char::from(*b))
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// It is ours and of this layout.
pub(crate) fn check(connection: &Connection) -> Result<(), String> {
    let number = |pragma: &str| connection.pragma_query_value(None, pragma, |r| r.get::<_, i64>(0));
    let application = number("application_id").map_err(|e| e.to_string())?;
    if application != APPLICATION {
        return Err("this is not a database of advisories".into());
    }
    match number("user_version").map_err(|e| e.to_string())? {
        LAYOUT => Ok(()),
        other => {
            Err(format!("the database has layout {other}, this program reads layout {LAYOUT}"))
        }
    }
}

pub(crate) fn feeds(connection: &Connection) -> Result<Vec<Feed>, rusqlite::Error> {
    let mut statement = connection.prepare(
        "SELECT name, records, newest, digest, source, imported FROM feed ORDER BY name",
    )?;
    let rows = statement.query_map([], |r| {
        let digest: [u8; 32] = r.get(3)?;
        Ok(Feed {
            name: r.get(0)?,
            records: r.get::<_, i64>(1)?.unsigned_abs(),
            newest: r.get(2)?,
            digest: Digest(digest),
            source: r.get(4)?,
            imported: r.get(5)?,
        })
    })?;
    rows.collect()
}

impl Store for Database {
    fn about(&self, key: &Key) -> Result<Vec<Arc<Record>>, String> {
        self.with(|connection| {
            let sql = "SELECT r.body FROM about a JOIN record r ON r.id = a.record WHERE a.key = ?1
                       ORDER BY r.feed, r.name";
            let mut statement = connection.prepare_cached(sql).map_err(|e| e.to_string())?;
            let mut rows =
                statement.query(params![key.hash64().cast_signed()]).map_err(|e| e.to_string())?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(|e| e.to_string())? {
                let body =
                    row.get_ref(0).and_then(|v| Ok(v.as_blob()?)).map_err(|e| e.to_string())?;
                let record = codec::unpack(body)?;
                if mentions(&record, key) {
                    found.push(Arc::new(record));
                }
            }
            Ok(found)
        })
    }

    fn threat(&self, cve: &str) -> Result<Threat, String> {
        let Some(number) = cve_number(cve) else { return Ok(Threat::default()) };
        self.with(|connection| {
            let one = |sql: &str| {
                let mut statement = connection.prepare_cached(sql)?;
                statement.query_row([number], |r| r.get::<_, i64>(0)).optional()
            };
            let kev = one("SELECT 1 FROM kev WHERE cve = ?1").map_err(|e| e.to_string())?;
            let epss = one("SELECT ppm FROM epss WHERE cve = ?1").map_err(|e| e.to_string())?;
            Ok(Threat {
                known_exploited: kev.is_some(),
                epss_ppm: epss.and_then(|n| u32::try_from(n).ok()),
            })
        })
    }

    fn feeds(&self) -> Vec<DataVersion> {
        let version = |f: &Feed| DataVersion {
            id: f.name.clone(),
            version: f.newest.map_or_else(|| "undated".to_owned(), date::text),
            sha256: Some(f.digest),
        };
        self.feeds.iter().map(version).collect()
    }
}
