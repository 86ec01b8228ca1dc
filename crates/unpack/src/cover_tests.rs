use Proof::{ChecksumVerified, DecoderEnded, LengthsConsistent, MagicOnly};
use proptest::prelude::*;

use super::*;

fn span(start: usize, end: usize, proof: Proof, format: &'static str) -> Span<'static> {
    Span { start, end, proof, format, refines: &[] }
}

/// Format, start and end of each region.
fn chosen<'a>(len: usize, spans: &'a [Span<'a>]) -> Vec<(&'a str, usize, usize)> {
    cover(len, spans).regions.iter().map(|r| (spans[r.claim].format, r.start, r.end)).collect()
}

#[test]
fn nothing_claimed_is_one_gap() {
    let c = cover(100, &[]);
    assert_eq!(c, Cover::default());
    assert_eq!(gaps(100, &c.regions), [(0, 100)]);
    assert_eq!(gaps(0, &[]), []);
}

/// unblob#753: a bzip2 stream at the first byte of a disk image.
#[test]
fn equal_starts() {
    let spans = [span(0, 30, ChecksumVerified, "bzip2"), span(0, 100, LengthsConsistent, "dmg")];
    assert_eq!(chosen(100, &spans), [("dmg", 0, 100)]);
}

#[test]
fn equal_ends() {
    let spans = [span(40, 100, ChecksumVerified, "zip"), span(0, 100, LengthsConsistent, "cab")];
    assert_eq!(chosen(100, &spans), [("cab", 0, 100)]);
}

#[test]
fn equal_ranges() {
    let two = [span(0, 9, LengthsConsistent, "a"), span(0, 9, ChecksumVerified, "b")];
    assert_eq!(chosen(9, &two), [("b", 0, 9)]);
    let tie = [span(0, 9, DecoderEnded, "b"), span(0, 9, DecoderEnded, "a")];
    assert_eq!(chosen(9, &tie), [("a", 0, 9)]);
    let mut special = [span(0, 9, ChecksumVerified, "ar"), span(0, 9, LengthsConsistent, "deb")];
    special[1].refines = &["ar"];
    assert_eq!(chosen(9, &special), [("deb", 0, 9)]);
}

/// unblob#232: a raw LZMA stream decoded past its end into the file system behind it.
#[test]
fn partial_overlap_is_decided_by_proof_and_the_front_is_kept() {
    let spans = [span(0, 60, DecoderEnded, "lzma"), span(50, 90, ChecksumVerified, "squashfs")];
    assert_eq!(chosen(100, &spans), [("lzma", 0, 50), ("squashfs", 50, 90)]);
    // The tail of a loser is never kept: nothing says where it would begin.
    let spans = [span(0, 60, ChecksumVerified, "squashfs"), span(50, 90, DecoderEnded, "lzma")];
    assert_eq!(chosen(100, &spans), [("squashfs", 0, 60)]);
    let spans = [span(0, 60, LengthsConsistent, "a"), span(50, 90, LengthsConsistent, "b")];
    assert_eq!(chosen(100, &spans), [("a", 0, 60)]);
    // A bare magic has no front worth keeping.
    let spans = [span(0, 60, MagicOnly, "a"), span(50, 90, LengthsConsistent, "b")];
    assert_eq!(chosen(100, &spans), [("b", 50, 90)]);
}

/// unblob#220: archives inside a stored archive are not pieces of the image.
#[test]
fn containment() {
    let spans = [
        span(0, 100, LengthsConsistent, "zip"),
        span(10, 40, ChecksumVerified, "zip"),
        span(40, 70, ChecksumVerified, "zip"),
    ];
    assert_eq!(chosen(100, &spans), [("zip", 0, 100)]);
    assert_eq!(cover(100, &spans).rejected, [1, 2]);
    let bare = [span(0, 100, MagicOnly, "x"), span(10, 40, LengthsConsistent, "zip")];
    assert_eq!(chosen(100, &bare), [("zip", 10, 40)]);
}

/// A file system whose unused boot block carries an archive header that claims a part of it.
#[test]
fn planted_header_inside_a_file_system() {
    let spans = [span(0, 4096, LengthsConsistent, "ext"), span(0, 1024, ChecksumVerified, "tar")];
    assert_eq!(chosen(4096, &spans), [("ext", 0, 4096)]);
}

/// A weak header that claims to reach into a proven file system neither cuts nor hides it.
#[test]
fn a_contradicted_claim_holds_nothing() {
    let spans = [
        span(0, 100, LengthsConsistent, "weak"),
        span(10, 20, ChecksumVerified, "inner"),
        span(90, 150, ChecksumVerified, "strong"),
    ];
    assert_eq!(chosen(200, &spans), [("weak", 0, 10), ("inner", 10, 20), ("strong", 90, 150)]);
}

#[test]
fn what_a_loser_held_is_free_again() {
    let spans = [
        span(0, 100, DecoderEnded, "long"),
        span(60, 140, DecoderEnded, "short"),
        span(110, 130, DecoderEnded, "inner"),
    ];
    assert_eq!(chosen(200, &spans), [("long", 0, 100), ("inner", 110, 130)]);
}

#[test]
fn chains_of_a_hundred_thousand_overlaps_end() {
    let spans: Vec<_> = (0..100_000)
        .map(|i| span(i, i + 50_000, [LengthsConsistent, DecoderEnded][i % 2], "x"))
        .collect();
    let c = cover(200_000, &spans);
    assert_eq!(c.regions.len() + c.rejected.len(), spans.len());
}

fn any_span() -> impl Strategy<Value = Span<'static>> {
    (
        0..60_usize,
        0..40_usize,
        prop::sample::select(vec![MagicOnly, LengthsConsistent, DecoderEnded, ChecksumVerified]),
        prop::sample::select(vec!["ar", "deb", "tar", "zip"]),
    )
        .prop_map(|(start, len, proof, format)| Span {
            start,
            end: start + len,
            proof,
            format,
            refines: if format == "deb" { &["ar"] } else { &[] },
        })
}

fn partly(a: &Span<'_>, b: &Span<'_>) -> bool {
    (a.start < b.start && b.start < a.end && a.end < b.end)
        || (b.start < a.start && a.start < b.end && b.end < a.end)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_set_gives_a_disjoint_cover(spans in prop::collection::vec(any_span(), 0..24)) {
        let len = 64;
        let c = cover(len, &spans);
        // Regions and gaps partition the content.
        let mut pieces: Vec<_> = c.regions.iter().map(|r| (r.start, r.end)).collect();
        pieces.extend(gaps(len, &c.regions));
        pieces.sort_unstable();
        let mut at = 0;
        for (start, end) in pieces {
            prop_assert_eq!(start, at);
            prop_assert!(start < end);
            at = end;
        }
        prop_assert_eq!(at, len);
        // Each claim is either placed or rejected; a region begins where its claim does and never grows.
        let mut all: Vec<_> = c.regions.iter().map(|r| r.claim).chain(c.rejected.clone()).collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..spans.len()).collect::<Vec<_>>());
        for r in &c.regions {
            prop_assert_eq!(r.start, spans[r.claim].start);
            prop_assert!(r.end <= spans[r.claim].end);
        }
        for i in &c.rejected {
            // A claim only loses to something: its bytes are empty, outside, or touched by a region.
            let s = &spans[*i];
            prop_assert!(
                s.start >= s.end || s.end > len
                    || c.regions.iter().any(|r| r.start < s.end && s.start < r.end)
            );
        }
    }

    #[test]
    fn the_order_of_claims_is_irrelevant(
        (spans, shuffled) in prop::collection::vec(any_span(), 0..16)
            .prop_flat_map(|v| (Just(v.clone()), Just(v).prop_shuffle()))
    ) {
        prop_assert_eq!(chosen(64, &spans), chosen(64, &shuffled));
    }

    #[test]
    fn a_proven_claim_that_nothing_holds_or_contradicts_is_a_region(
        start in 0..40_usize,
        len in 1..24_usize,
        others in prop::collection::vec(any_span(), 0..40)
    ) {
        let s = span(start, start + len, ChecksumVerified, "tar");
        let holds = |o: &Span<'_>| o.start <= s.start && s.end <= o.end;
        let mut spans = vec![s];
        spans.extend(others.into_iter().filter(|o| !holds(o) && !partly(o, &s)));
        let c = cover(64, &spans);
        let place = Placed { claim: 0, start: s.start, end: s.end };
        prop_assert!(c.regions.contains(&place));
    }

    #[test]
    fn contradiction_is_what_it_says(spans in prop::collection::vec(any_span(), 1..24)) {
        let nonempty: Vec<_> = spans.into_iter().filter(|s| s.start < s.end).collect();
        let set = Overlaps::new(nonempty.iter().copied());
        for s in &nonempty {
            prop_assert_eq!(set.partly(s), nonempty.iter().any(|o| partly(o, s)));
        }
    }
}
