//! The decoders of RAR by themselves: behind the checksums of an archive the mutator would seldom reach them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use proofmark_unpack::{
    budget::Budget,
    codec::rar::{Generation, Unpacker},
};

use crate::{Behaviour, OUTPUT, Target};

/// Streams of all generations, the first byte saying which, put together by the writer of the tests of `codec::rar`.
const SEEDS: &[&str] = &[
    "91d5ee610000555555555555555555554c7fa63a4f14c68b424421a282792d98cde5ce89cd027f369bcf667379d4ae613074 \
     4add137954f5d136745025ae8a04de732d96ce6732aa04ea5b2e744b9d0e8953d1d13d743a2613d9d3d266e89bcb84805429 \
     c0831c",
    "9015555555555555555555531fe98e93c4f9a2c0b1432088c5637126647649238d46e43178dc7a1f148a3321ecc8dc3a42cc \
     8d332491166492371d88c463b1d874923d118933224cc66439b0cc90b31991490c79b1176646e244403b9470410e06dc006b \
     00000000c000000030000000a0380000001e0000000684a622015aad56ab55aad56ab55aad56ab55aad56ab55aad56ab4000",
    "90a50073ef88adef681d6fd367e01818c4d0cd8eeec0647a355168cfab8826b75adae35112ac8351b4cf707fac3bc2ed31f5 \
     333fbae33afc2823c5bb939810db096dc1b465cbdc6c9dac",
];

/// The target.
pub fn target() -> Target {
    let bytes = |text: &&str| {
        let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
        text.as_bytes().chunks(2).map(|two| two.iter().fold(0, |n, b| n << 4 | digit(*b))).collect()
    };
    Target {
        name: "codec-rar".to_owned(),
        check: Box::new(check),
        seeds: SEEDS.iter().map(bytes).collect(),
    }
}

/// Decodes the stream twice in one window, the second time on what the first left behind.
fn check(data: &[u8]) -> u64 {
    let Some((first, stream)) = data.split_first() else { return 0 };
    let generation = match first & 3 {
        0 => Generation::Three,
        1 => Generation::Five,
        2 => Generation::One,
        _ => Generation::Two,
    };
    let size = 1_usize << (first >> 4);
    let run = || {
        let budget = Budget::new(OUTPUT, 1, 1 << 28, None);
        let mut unpacker = Unpacker::new(generation, OUTPUT as usize, &budget);
        let parts = [(); 2].map(|()| unpacker.content(stream, Some(size)));
        let mut all = unpacker.finish();
        let mut seen = DefaultHasher::new();
        let mut behaviour = Behaviour::default();
        for part in parts {
            assert!(part.range.len() <= size, "more than was asked for");
            let Some(content) = all.get_mut(part.range.clone()) else {
                panic!("a content outside of what came out");
            };
            let said = format!("{:?}{:?}", part.error, part.filter(content));
            (&*content, &part.range, &said).hash(&mut seen);
            behaviour.many(part.range.len());
            behaviour.many(part.filters.len());
            part.filters.iter().for_each(|f| behaviour.saw(std::mem::discriminant(&f.kind)));
            behaviour.saw(said.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
        }
        (seen.finish(), behaviour.0.finish())
    };
    let (one, two) = (run(), run());
    assert_eq!(one, two, "not deterministic");
    one.1
}
