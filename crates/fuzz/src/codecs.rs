//! Decoders by themselves that containers keep behind checksums, where the mutator would seldom reach them: one target for
//! each family, whose first byte says which method and how much may come out.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use proofmark_unpack::{
    budget::Budget,
    codec::{
        Decoded, adc, arc, larc, lh3, lzfse, lzh, lzhuf, pkzip,
        quantum::Quantum,
        stuffit,
        wim::{self, Method},
    },
};

use crate::{Behaviour, OUTPUT, Target};

type Decode = fn(&[u8], usize, &Budget) -> Decoded;

/// Families and their methods.
static FAMILIES: &[(&str, &[Decode])] = &[
    ("codec-apple", &[adc::decode, lzfse::decode]),
    (
        "codec-arc",
        &[
            arc::squeezed,
            arc::crunched,
            |i, n, b| arc::packed(i, n, false, b),
            |i, n, b| arc::packed(i, n, true, b),
        ],
    ),
    (
        "codec-lha",
        &[
            lzhuf::decode,
            lh3::decode,
            |i, n, b| lzh::decode(i, lzh::Variant::Lh5, n, b),
            |i, n, b| lzh::decode(i, lzh::Variant::Lh7, n, b),
            lzh::decode_fastest,
            larc::lz5,
            larc::lzs,
        ],
    ),
    ("codec-cab", &[|i, n, b| quantum(i, n, 10, b), |i, n, b| quantum(i, n, 21, b)]),
    (
        "codec-wim",
        &[
            |i, n, b| wim::decode(i, n as u64, 32768, Method::Xpress, b),
            |i, n, b| wim::decode(i, n as u64, 4096, Method::Xpress, b),
            |i, n, b| wim::decode(i, n as u64, 32768, Method::Lzx, b),
        ],
    ),
    (
        "codec-zip",
        &[
            pkzip::shrunk,
            |i, n, b| pkzip::reducer(2).map_or_else(Decoded::default, |d| d(i, n, b)),
            |i, n, b| pkzip::reducer(5).map_or_else(Decoded::default, |d| d(i, n, b)),
            |i, n, b| pkzip::imploded(false, false)(i, n, b),
            |i, n, b| pkzip::imploded(true, true)(i, n, b),
        ],
    ),
    (
        "codec-stuffit",
        &[
            |i, n, b| stuffit::decode(1, i, n, b),
            |i, n, b| stuffit::decode(2, i, n, b),
            |i, n, b| stuffit::decode(3, i, n, b),
            |i, n, b| stuffit::decode(5, i, n, b),
            |i, n, b| stuffit::decode(8, i, n, b),
            |i, n, b| stuffit::decode(13, i, n, b),
            |i, n, b| stuffit::decode(14, i, n, b),
            |i, n, b| stuffit::decode(15, i, n, b),
        ],
    ),
];

/// Two frames, each of half of the input.
fn quantum(input: &[u8], max: usize, window: u32, budget: &Budget) -> Decoded {
    let Some(mut decoder) = Quantum::new(window) else { return Decoded::default() };
    let (first, second) = input.split_at(input.len() / 2);
    let mut go = || {
        budget.output(max as u64)?;
        decoder.frame(first, max / 2)?;
        decoder.frame(second, max / 2)
    };
    let error = go().err();
    Decoded { bytes: decoder.finish().into(), consumed: 0, error }
}

/// The targets.
pub fn targets() -> Vec<Target> {
    FAMILIES.iter().map(|(name, methods)| target(name, methods)).collect()
}

fn target(name: &str, methods: &'static [Decode]) -> Target {
    Target {
        name: name.to_owned(),
        check: Box::new(move |data| check(methods, data)),
        // Some bytes for each method; what they mean the mutator finds.
        seeds: (0..methods.len() as u8)
            .flat_map(|n| [vec![n, 8, 0, 1, 2, 3], [&[n, 12][..], &[0x55; 60]].concat()])
            .collect(),
    }
}

/// Decodes twice: not more than asked for, within the budget, the same each time.
fn check(methods: &[Decode], data: &[u8]) -> u64 {
    let [method, size, stream @ ..] = data else { return 0 };
    let Some(decode) = methods.get(usize::from(*method) % methods.len()) else { return 0 };
    let max = 1_usize << (size & 15);
    let run = || {
        let budget = Budget::new(OUTPUT, 1, 1 << 26, None);
        let made = decode(stream, max, &budget);
        assert!(made.bytes.len() <= max, "more than was asked for");
        assert!(made.consumed <= stream.len(), "more was used than there is");
        let mut seen = DefaultHasher::new();
        (&*made.bytes, made.consumed, made.error.map(|e| e.to_string())).hash(&mut seen);
        let mut behaviour = Behaviour::default();
        behaviour.saw(*method);
        behaviour.many(made.bytes.len());
        behaviour.many(made.consumed);
        behaviour
            .saw(made.error.map(|e| {
                e.to_string().chars().filter(|c| !c.is_ascii_digit()).collect::<String>()
            }));
        (seen.finish(), behaviour.0.finish())
    };
    let (one, two) = (run(), run());
    assert_eq!(one, two, "not deterministic");
    one.1
}
