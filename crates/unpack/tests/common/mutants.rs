//! Damage that every sample must survive: the whole engine on truncated and
//! flipped copies. Called by the tests of formats with their samples.

use std::time::{Duration, Instant};

use proofmark_unpack::{Input, Limits, Options, Outcome, invariants, unpack};

/// Copies of `data`: cut off at 50 places spread over it, and with one bit flipped at 50 places, half of them
/// in the first KiB, where headers are. Always the same.
pub fn mutants(data: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut state = data.len() as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    for i in 0..50 {
        let end = data.len() * i / 50;
        out.push((format!("cut at {end}"), data[..end].to_vec()));
    }
    for i in 0..50 {
        let range = if i % 2 == 0 { data.len().min(1024) } else { data.len() };
        let (at, bit) = (random(range), random(8));
        let mut copy = data.to_vec();
        if let Some(byte) = copy.get_mut(at) {
            *byte ^= 1 << bit;
        }
        out.push((format!("bit {bit} of byte {at} flipped"), copy));
    }
    out
}

/// Bounds small enough that a bomb made by a flipped bit shows as a budget problem, not as a slow test.
fn options(jobs: usize) -> Options {
    let limits = Limits {
        output: 1 << 30,
        artifact_output: 512 << 20,
        content: 256 << 20,
        entries: 100_000,
        time: None,
        ..Limits::default()
    };
    Options { jobs, limits, ..Options::default() }
}

/// Unpacks `data`; the outcome is sound, soon there, and does not depend on threads.
pub fn sound(name: &str, data: &[u8]) -> Outcome {
    let start = Instant::now();
    let run = |jobs| unpack(Input::bytes("sample", data.to_vec()), &options(jobs), &());
    let outcome = run(1);
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(5), "{name}: {taken:?}");
    assert_eq!(invariants::broken(&outcome), Vec::<String>::new(), "{name}");
    assert_eq!(outcome.coverage.total, data.len() as u64, "{name}");
    assert!(outcome.artifacts.len() <= 100_000, "{name}: budget overrun");
    let decoded: u64 = outcome.artifacts.iter().map(|a| a.size).fold(0, u64::saturating_add);
    assert!(decoded < 8 << 30, "{name}: {decoded} bytes");
    assert!(outcome == run(3), "{name}: depends on threads");
    outcome
}

/// Every mutant of `data` is handled, and a mutant that differs says so: fewer artifacts, other digests or a problem.
pub fn survive(name: &str, data: &[u8]) {
    sound(name, data);
    for (what, mutant) in mutants(data) {
        sound(&format!("{name}, {what}"), &mutant);
    }
}
