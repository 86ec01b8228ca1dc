//! What inventory and matching cost on an image whose contents are decompressed already, on two threads:
//! `cargo run --release -p proofmark-assess --example inventory -- IMAGE [DATABASE]`.

#![allow(clippy::print_stdout, clippy::expect_used, clippy::arithmetic_side_effects)]

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use proofmark_advisories::corrections::Corrections;
use proofmark_assess::{components, matching};
use proofmark_components::Hit;
use proofmark_inspect::{Class, Notes, View};
use proofmark_model::Digest;
use proofmark_unpack::{
    Input, Options,
    options::{ContentInfo, Observer},
    unpack,
};

/// Threads that recognise components.
const THREADS: usize = 2;

/// Distinct contents with what is needed to look at them.
#[derive(Default)]
struct Contents(Mutex<HashMap<Digest, (Class, String, bytes::Bytes)>>);

impl Observer for Contents {
    fn content(&self, info: &ContentInfo<'_>, bytes: &bytes::Bytes) {
        let path = info.locator.path();
        let class = proofmark_inspect::class(&path, info.format);
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if class != Class::Container {
            let mut all = self.0.lock().expect("no thread panics");
            all.entry(info.digest).or_insert_with(|| (class, name, bytes.clone()));
        }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let image = arguments.next().expect("the image to look at");
    let database = arguments.next();
    let contents = Contents::default();
    let input = Input::open(Path::new(&image)).expect("the image can be opened");
    let unpacked = unpack(input, &Options::default(), &contents);
    let contents: Vec<_> = contents.0.into_inner().expect("no thread panics").into_iter().collect();
    let notes: HashMap<Digest, Arc<Notes>> = contents
        .iter()
        .map(|(d, (class, _, bytes))| (*d, Arc::new(proofmark_inspect::content(*class, bytes))))
        .collect();
    let by_artifact = |d: &Option<Digest>| notes.get(&(*d)?).cloned();
    let notes: Vec<_> = unpacked.digests.iter().map(by_artifact).collect();
    let mut observations = proofmark_inspect::image(&View::new(&unpacked.artifacts, &notes));
    let store = proofmark_advisories::open(database.as_deref().map(Path::new)).expect("a database");
    let corrections = Corrections::embedded().expect("the built-in corrections");
    // The tables of the rules are made once in a process; that is part of what it costs.
    let start = Instant::now();
    let (next, hits) = (AtomicUsize::new(0), Mutex::new(HashMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some((digest, (_, name, bytes))) =
                    contents.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let found: Vec<Hit> = if name.contains(".so") {
                        proofmark_components::content_named(name, bytes)
                    } else {
                        proofmark_components::content(bytes)
                    };
                    hits.lock().expect("no thread panics").insert(*digest, Arc::new(found));
                }
            });
        }
    });
    let scanned = start.elapsed();
    let hits = hits.into_inner().expect("no thread panics");
    let by_artifact = |d: &Option<Digest>| hits.get(&(*d)?).cloned();
    let hits: Vec<_> = unpacked.digests.iter().map(by_artifact).collect();
    let (recognised, options) = components::observations(&unpacked.artifacts, &hits, &observations);
    let components = recognised.len();
    observations.extend(recognised);
    observations.sort();
    observations.dedup();
    let joined = start.elapsed();
    let ground = matching::Ground {
        artifacts: &unpacked.artifacts,
        observations: &observations,
        notes: &notes,
        options: &options,
    };
    let found = matching::vulnerabilities(&ground, store.as_ref(), &corrections).expect("matched");
    let matched = start.elapsed();
    let bytes: usize = contents.iter().map(|(_, (_, _, b))| b.len()).sum();
    println!(
        "{} artifacts, {} distinct contents, {} MB; {components} observations of components, {} vulnerabilities",
        unpacked.artifacts.len(),
        contents.len(),
        bytes / 1_000_000,
        found.len()
    );
    println!(
        "recognised {:.3} s, joined {:.3} s, matched {:.3} s; in all {:.3} s",
        scanned.as_secs_f64(),
        (joined - scanned).as_secs_f64(),
        (matched - joined).as_secs_f64(),
        matched.as_secs_f64()
    );
}
