//! Gathers what the first stage of inspection says about each distinct content while the image is unpacked.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use proofmark_components::Hit;
use proofmark_inspect::{Class, Notes};
use proofmark_model::{Artifact, Digest, Locator};
use proofmark_unpack::options::{ContentInfo, Observer, Progress};

use serde::{Deserialize, Serialize};

use crate::cache::Cache;

/// Content, how it is read, and the file name where that is evidence.
type Key = (Digest, Class, Option<String>);

/// What was learned about a content.
#[derive(Default, Serialize, Deserialize)]
struct Learned {
    #[serde(rename = "n", default)]
    notes: Arc<Notes>,
    #[serde(rename = "h", default, skip_serializing_if = "nothing")]
    hits: Arc<Vec<Hit>>,
}

fn nothing(hits: &Arc<Vec<Hit>>) -> bool {
    hits.is_empty()
}

/// One element for each artifact.
pub type ByArtifact<T> = Vec<Option<Arc<T>>>;

/// Locks that keep worker threads out of each other's way.
const SHARDS: usize = 64;

/// Notes by content and class, filled from several threads.
pub struct Notebook<'a> {
    shards: Vec<Mutex<HashMap<Key, Option<Learned>>>>,
    cache: Option<&'a Cache>,
    progress: &'a (dyn Fn(Progress) + Sync),
}

impl<'a> Notebook<'a> {
    /// An empty notebook in front of a cache.
    pub fn new(cache: Option<&'a Cache>, progress: &'a (dyn Fn(Progress) + Sync)) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), cache, progress }
    }

    fn shard(&self, key: &Key) -> &Mutex<HashMap<Key, Option<Learned>>> {
        let first = key.0.0.first().copied().unwrap_or(0);
        // There are SHARDS shards.
        &self.shards[usize::from(first) % SHARDS]
    }

    /// Notes and recognised products for each artifact, in order.
    pub fn finish(
        self,
        artifacts: &[Artifact],
        digests: &[Option<Digest>],
    ) -> (ByArtifact<Notes>, ByArtifact<Vec<Hit>>) {
        let find = |(artifact, digest): (&Artifact, &Option<Digest>)| {
            let key = key((*digest)?, &artifact.locator, &artifact.format);
            let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
            let learned = shard.get(&key)?.as_ref()?;
            Some((learned.notes.clone(), learned.hits.clone()))
        };
        let found = artifacts.iter().zip(digests).map(find);
        found.map(|f| f.map_or((None, None), |(n, h)| (Some(n), Some(h)))).unzip()
    }
}

fn key(digest: Digest, locator: &Locator, format: &str) -> Key {
    let path = locator.path();
    let class = proofmark_inspect::class(&path, format);
    // Only libraries have the release in their name.
    let name = path.rsplit('/').next().filter(|n| n.contains(".so"));
    (digest, class, name.map(str::to_owned))
}

/// Key in the cache: the digest, the class as it is written in JSON, the name.
fn cache_key(key: &Key) -> Vec<u8> {
    let mut out = key.0.0.to_vec();
    out.extend(serde_json::to_vec(&(key.1, &key.2)).unwrap_or_default());
    out
}

/// Contents that say nothing are most of them; they are kept as no bytes at all.
fn recalled(cached: &[u8]) -> Option<Learned> {
    if cached.is_empty() { Some(Learned::default()) } else { serde_json::from_slice(cached).ok() }
}

impl Notebook<'_> {
    /// Whether a key is not in the notebook yet; it is from then on, and the caller's to fill.
    fn take(&self, key: &Key) -> bool {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        match shard.entry(key.clone()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(None);
                true
            }
        }
    }

    fn fill(&self, key: Key, learned: Learned) {
        let mut shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        shard.insert(key, Some(learned));
    }

    /// What an earlier run learned.
    fn cached(&self, key: &Key) -> Option<Learned> {
        recalled(&self.cache?.get(&cache_key(key))?)
    }
}

impl Observer for Notebook<'_> {
    fn content(&self, info: &ContentInfo<'_>, bytes: &bytes::Bytes) {
        let key = key(info.digest, info.locator, info.format);
        // Where it is there already, another thread has it or is at it.
        if key.1 == Class::Container || !self.take(&key) {
            return;
        }
        let learned = self.cached(&key).unwrap_or_else(|| {
            let notes = proofmark_inspect::content(key.1, bytes);
            let hits = match &key.2 {
                Some(name) => proofmark_components::content_named(name, bytes),
                None => proofmark_components::content(bytes),
            };
            let empty = notes.is_empty() && hits.is_empty();
            let learned = Learned { notes: Arc::new(notes), hits: Arc::new(hits) };
            if let Some(cache) = self.cache {
                let value = if empty { Ok(Vec::new()) } else { serde_json::to_vec(&learned) };
                if let Ok(value) = value {
                    cache.put(cache_key(&key), value);
                }
            }
            learned
        });
        self.fill(key, learned);
    }

    fn knows(&self, info: &ContentInfo<'_>) -> bool {
        let key = key(info.digest, info.locator, info.format);
        if key.1 == Class::Container {
            return true;
        }
        let shard = self.shard(&key).lock().unwrap_or_else(PoisonError::into_inner);
        if shard.contains_key(&key) {
            return true;
        }
        drop(shard);
        let Some(learned) = self.cached(&key) else { return false };
        if self.take(&key) {
            self.fill(key, learned);
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
