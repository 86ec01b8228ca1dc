//! What was learned about a content, kept across runs by its digest.
//!
//! One file below the user's cache folder, keyed by content digest and the
//! class it was inspected as; the file's name carries the revisions of all
//! inspectors and formats, so that a changed rule never sees an old answer. A
//! cache that cannot be opened (another run holds it, a full disk, a damaged
//! file) is no cache: results are the same, only slower.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Mutex,
};

use proofmark_model::Digest;
use redb::{
    Database, ReadOnlyTable, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition,
};

const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// An open cache: a snapshot for reading, and what this run learned, written at the end.
pub struct Cache {
    database: Database,
    known: Option<ReadOnlyTable<&'static [u8], &'static [u8]>>,
    learned: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
}

/// How large a cache is; shown by `proofmark doctor`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Size {
    /// Files, one for each state of the rules.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The cache's file for a state of the rules.
fn file(folder: &Path, rules: &Digest) -> PathBuf {
    folder.join(format!("facts-{}.redb", rules.short()))
}

impl Cache {
    /// Opens the cache for the given state of the rules, making it where it does not exist. `None` where
    /// that is not possible.
    #[must_use]
    pub fn open(folder: &Path, rules: &Digest) -> Option<Self> {
        fs::create_dir_all(folder).ok()?;
        let path = file(folder, rules);
        let database = match Database::create(&path) {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return None,
            // A damaged file is worth nothing; the next run makes a new one.
            Err(_) => {
                fs::remove_file(&path).ok()?;
                return None;
            }
        };
        let known = database.begin_read().ok().and_then(|t| t.open_table(ENTRIES).ok());
        Some(Self { database, known, learned: Mutex::default() })
    }

    /// What is known under `key`.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let found = self.known.as_ref()?.get(key).ok()??;
        Some(found.value().to_vec())
    }

    /// Keeps `value` under `key` for the next run.
    pub fn put(&self, key: Vec<u8>, value: Vec<u8>) {
        if let Ok(mut learned) = self.learned.lock() {
            learned.insert(key, value);
        }
    }

    /// Writes what this run learned. A failure loses nothing but time in the next run.
    pub fn close(self) {
        let learned = self.learned.into_inner().unwrap_or_default();
        if learned.is_empty() {
            return;
        }
        let write = || -> Result<(), redb::Error> {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(redb::Durability::Immediate)?;
            {
                let mut table = transaction.open_table(ENTRIES)?;
                for (key, value) in &learned {
                    table.insert(key.as_slice(), value.as_slice())?;
                }
            }
            transaction.commit()?;
            Ok(())
        };
        // Nothing depends on it: see above.
        drop(write());
    }

    /// Entries known before this run.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.known.as_ref().and_then(|t| t.len().ok()).unwrap_or(0)
    }

    /// Nothing was known before this run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Size of all caches in `folder`.
#[must_use]
pub fn size(folder: &Path) -> Size {
    let Ok(entries) = fs::read_dir(folder) else { return Size::default() };
    entries
        .flatten()
        .filter_map(|e| e.metadata().ok())
        .filter(fs::Metadata::is_file)
        .fold(Size::default(), |s, m| Size { files: s.files + 1, bytes: s.bytes + m.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_is_there_in_the_next_run_and_only_for_the_same_rules() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (Digest::of(b"rules 1"), Digest::of(b"rules 2"));
        let cache = Cache::open(folder.path(), &a).unwrap();
        assert_eq!(cache.get(b"k"), None);
        cache.put(b"k".to_vec(), b"v".to_vec());
        cache.close();
        let again = Cache::open(folder.path(), &a).unwrap();
        assert_eq!(again.get(b"k").as_deref(), Some(&b"v"[..]));
        assert!(Cache::open(folder.path(), &a).is_none(), "two runs do not share a file");
        assert_eq!(Cache::open(folder.path(), &b).unwrap().get(b"k"), None);
    }

    #[test]
    fn a_damaged_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let rules = Digest::of(b"rules");
        fs::write(file(folder.path(), &rules), b"this is no database").unwrap();
        assert!(Cache::open(folder.path(), &rules).is_none());
        assert!(Cache::open(folder.path(), &rules).is_some());
    }
}
