//! Gathers what the first stage of inspection says about each distinct content while the image is unpacked.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use proofmark_inspect::{Class, Notes};
use proofmark_model::{Artifact, Digest};
use proofmark_unpack::options::{ContentInfo, Observer, Progress};

use crate::cache::Cache;

type Key = (Digest, Class);

/// Locks that keep worker threads out of each other's way.
const SHARDS: usize = 64;

/// Notes by content and class, filled from several threads.
pub struct Notebook<'a> {
    shards: Vec<Mutex<HashMap<Key, Option<Arc<Notes>>>>>,
    cache: Option<&'a Cache>,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Notebook<'a> {
    /// An empty notebook in front of a cache.
    pub fn new(cache: Option<&'a Cache>, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), cache, progress }
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Option<Arc<Notes>>>> {
        let first = key.0.0.first().copied().unwrap_or(0);
        // There are SHARDS shards.
        &self.shards[usize::from(first) % SHARDS]
    }

    /// The notes for each artifact, in order.
    pub fn finish(
        self,
        artifacts: &[Artifact],
        digests: &[Option<Digest>],
    ) -> Vec<Option<Arc<Notes>>> {
        let find = |(artifact, digest): (&Artifact, &Option<Digest>)| {
            let key = ((*digest)?, class(&artifact.locator, &artifact.format));
            let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
            shard.get(&key).cloned().flatten()
        };
        artifacts.iter().zip(digests).map(find).collect()
    }
}

fn class(locator: &proofmark_model::Locator, format: &str) -> Class {
    proofmark_inspect::class(&locator.path(), format)
}

/// Key of notes in the cache: the digest and the class as it is written in JSON.
fn cache_key(key: &Key) -> Vec<u8> {
    let mut out = key.0.0.to_vec();
    out.extend(serde_json::to_vec(&key.1).unwrap_or_default());
    out
}

/// Notes that say nothing are most of them; they are kept as no bytes at all.
fn recalled(cached: &[u8]) -> Option<Notes> {
    if cached.is_empty() { Some(Notes::default()) } else { serde_json::from_slice(cached).ok() }
}

impl Notebook<'_> {
    /// Whether a key is not in the notebook yet; it is from then on, and the caller's to fill.
    fn take(&self, key: Key) -> bool {
        match self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner).entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(None);
                true
            }
        }
    }

    fn fill(&self, key: Key, notes: Notes) {
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.insert(key, Some(Arc::new(notes)));
    }

    /// What an earlier run noted.
    fn cached(&self, key: &Key) -> Option<Notes> {
        recalled(&self.cache?.get(&cache_key(key))?)
    }
}

impl Observer for Notebook<'_> {
    fn content(&self, info: &ContentInfo<'_>, bytes: &bytes::Bytes) {
        let key = (info.digest, class(info.locator, info.format));
        // Where it is there already, another thread has it or is at it.
        if key.1 == Class::Container || !self.take(key) {
            return;
        }
        let notes = self.cached(&key).unwrap_or_else(|| {
            let notes = proofmark_inspect::content(key.1, bytes);
            if let Some(cache) = self.cache {
                let empty = notes.is_empty();
                let value = if empty { Ok(Vec::new()) } else { serde_json::to_vec(&notes) };
                if let Ok(value) = value {
                    cache.put(cache_key(&key), value);
                }
            }
            notes
        });
        self.fill(key, notes);
    }

    fn knows(&self, info: &ContentInfo<'_>) -> bool {
        let key = (info.digest, class(info.locator, info.format));
        if key.1 == Class::Container {
            return true;
        }
        let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.contains_key(&key) {
            return true;
        }
        drop(shard);
        let Some(notes) = self.cached(&key) else { return false };
        if self.take(key) {
            self.fill(key, notes);
        }
        true
    }

    fn remembers(&self) -> bool {
        self.cache.is_some()
    }

    fn recall(&self, key: &Digest) -> Option<Vec<u8>> {
        self.cache?.get(&key.0)
    }

    fn learn(&self, key: Digest, value: Vec<u8>) {
        if let Some(cache) = self.cache {
            cache.put(key.0.to_vec(), value);
        }
    }

    fn progress(&self, progress: Progress) {
        (self.progress)(progress);
    }
}
