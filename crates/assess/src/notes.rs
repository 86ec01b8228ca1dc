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

impl Observer for Notebook<'_> {
    fn content(&self, info: &ContentInfo<'_>, bytes: &bytes::Bytes) {
        let key = (info.digest, class(info.locator, info.format));
        if key.1 == Class::Container {
            return;
        }
        match self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner).entry(key) {
            // Another thread has it or is at it.
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => place.insert(None),
        };
        let cached = self.cache.and_then(|c| c.get(&cache_key(&key))).and_then(|v| recalled(&v));
        let notes = cached.unwrap_or_else(|| {
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
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.insert(key, Some(Arc::new(notes)));
    }

    fn progress(&self, progress: Progress) {
        (self.progress)(progress);
    }
}
