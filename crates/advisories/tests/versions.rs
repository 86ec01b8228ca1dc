//! Version orders: what upstream released in which order, and the laws of an order.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::cmp::Ordering;

use proofmark_advisories::{record::Range, version::Scheme};
use proptest::prelude::*;

/// Versions in the order in which they count, the lowest first; each from the release history of a project or the
/// examples of a specification.
const HISTORIES: &[(Scheme, &[&str])] = &[
    (
        Scheme::OpenSsl,
        &[
            "0.9.6m",
            "0.9.7-beta3",
            "0.9.7",
            "0.9.7a",
            "0.9.8",
            "0.9.8a",
            "0.9.8y",
            "0.9.8z",
            "0.9.8za",
            "0.9.8zh",
            "1.0.0-beta5",
            "1.0.0",
            "1.0.1",
            "1.0.1g",
            "1.0.2-beta1",
            "1.0.2",
            "1.0.2k",
            "1.0.2u",
            "1.0.2zg",
            "1.1.0-pre6",
            "1.1.0",
            "1.1.1-pre9",
            "1.1.1",
            "1.1.1w",
            "1.1.1zh",
            "3.0.0-alpha17",
            "3.0.0-beta2",
            "3.0.0",
            "3.0.7",
            "3.0.13",
            "3.5.0",
        ],
    ),
    (
        Scheme::BusyBox,
        &[
            "0.60.5", "1.00-rc2", "1.00", "1.01", "1.1.0", "1.1.3", "1.2.0", "1.9.2", "1.10.0",
            "1.35.0",
        ],
    ),
    (
        Scheme::Generic,
        &["0.44", "0.52", "0.53.1", "2011.54", "2012.55", "2013.62", "2022.83", "2024.85"],
    ),
    (
        Scheme::OpenSsh,
        &[
            "3.7.1p1", "3.7.1p2", "4.3p1", "4.3p2", "7.4p1", "7.5p1", "8.9p1", "9.3p1", "9.3p2",
            "9.8p1", "10.0p1",
        ],
    ),
    (
        Scheme::Generic,
        &[
            "4.2.6p5",
            "4.2.8-beta1",
            "4.2.8",
            "4.2.8p1-beta1",
            "4.2.8p1-RC1",
            "4.2.8p1",
            "4.2.8p9",
            "4.2.8p15",
            "4.3.0",
        ],
    ),
    (
        Scheme::Generic,
        &["1.8.31", "1.8.31p1", "1.8.31p2", "1.8.32", "1.9.5", "1.9.5p1", "1.9.5p2", "1.9.12p1"],
    ),
    (
        Scheme::Isc,
        &[
            "9.16.0b1",
            "9.16.0rc1",
            "9.16.0",
            "9.16.1",
            "9.16.1-P1",
            "9.16.1-P2",
            "9.16.2",
            "9.16.10",
            "9.18.0a1",
        ],
    ),
    (
        Scheme::Isc,
        &[
            "4.1-ESV",
            "4.1-ESV-R1",
            "4.1-ESV-R10b1",
            "4.1-ESV-R10rc1",
            "4.1-ESV-R10",
            "4.1-ESV-R10-P1",
            "4.1-ESV-R16-P2",
        ],
    ),
    (
        Scheme::Ncurses,
        &[
            "5.9",
            "6.0",
            "6.1-20180127",
            "6.1.20190803",
            "6.2",
            "6.2-20200212",
            "6.2.20201128",
            "6.3",
        ],
    ),
    (
        Scheme::Kernel,
        &[
            "2.6.12-rc2",
            "2.6.12",
            "2.6.32.27",
            "3.10",
            "3.10.20",
            "4.4-rc1",
            "4.4",
            "4.4.1",
            "4.14.98",
            "4.19",
            "5.4.270",
            "5.10.37",
            "6.0~rc1",
            "6.0-rc2",
            "6.0",
            "6.1.80",
            "6.12",
        ],
    ),
    (Scheme::Generic, &["2.79rc1", "2.79", "2.80test2", "2.80", "2.85", "2.90"]),
    (Scheme::Generic, &["3.0.20", "3.0.20a", "3.0.20b", "3.0.21"]),
    (Scheme::Generic, &["1.3.5rc4", "1.3.5", "1.3.5a", "1.3.5e", "1.3.6"]),
    (Scheme::Generic, &["2018.11", "2019.01-rc3", "2019.01", "2019.07", "2020.01"]),
    (Scheme::Date, &["2003-07-11", "2004-04-05", "2004-04-07a", "2004-04-07b", "2005.01.03"]),
    (
        Scheme::Deb,
        &[
            "0~~",
            "0~~a",
            "0~",
            "0",
            "1.0~beta1~svn1245",
            "1.0~beta1",
            "1.0",
            "1.0-1",
            "1.0-1+deb11u1",
            "1.0-1+deb11u2",
            "1.0-1.1",
            "1.0+dfsg-1",
            "1.1.1n-0+deb11u3",
            "1.1.1n-0+deb11u10",
            "1:0.1",
        ],
    ),
    (Scheme::Rpm, &["1.0~rc1", "1.0", "1.0^20200101", "1.0a", "1.0.1", "1.1", "1.10", "1:0.5"]),
    (
        Scheme::Apk,
        &[
            "1.0_alpha1",
            "1.0_beta",
            "1.0_pre2",
            "1.0_rc1",
            "1.0",
            "1.0-r1",
            "1.0-r10",
            "1.0_p1",
            "1.0a",
            "1.0.1",
            "1.1.1t-r0",
            "1.1.1t-r2",
            "1.1.1u-r0",
        ],
    ),
    (
        Scheme::Pep440,
        &[
            "1.0.dev456",
            "1.0a1",
            "1.0a2.dev456",
            "1.0a12.dev456",
            "1.0a12",
            "1.0b1.dev456",
            "1.0b2",
            "1.0b2.post345.dev456",
            "1.0b2.post345",
            "1.0rc1.dev456",
            "1.0rc1",
            "1.0",
            "1.0+abc.5",
            "1.0+abc.7",
            "1.0+5",
            "1.0.post456.dev34",
            "1.0.post456",
            "1.1.dev1",
            "1!0.1",
        ],
    ),
    (
        Scheme::Maven,
        &[
            "1-alpha2",
            "1-beta",
            "1-milestone1",
            "1-rc",
            "1-SNAPSHOT",
            "1",
            "1-sp",
            "1-abc",
            "1-1",
            "1.1",
            "1.2",
            "1.10",
        ],
    ),
    (
        Scheme::Semver,
        &[
            "0.0.0-20190101000000-abcdef123456",
            "0.0.0-20200101000000-abcdef123456",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "v1.2.0",
        ],
    ),
    (Scheme::Generic, &["5.6.0", "5.6.2-stable", "5.6.3", "5.7.0"]),
    (Scheme::Generic, &["2.4.0b1", "2.4.0", "2.4.4", "2.4.9", "2.5.0"]),
    (Scheme::Generic, &["7.61.1-DEV", "7.61.1", "7.84.0", "8.0.0", "8.21.0"]),
];

#[test]
fn versions_are_ordered_as_they_were_released() {
    for (scheme, history) in HISTORIES {
        for (i, a) in history.iter().enumerate() {
            for (j, b) in history.iter().enumerate() {
                assert_eq!(scheme.compare(a, b), Some(i.cmp(&j)), "{scheme:?}: {a} and {b}");
            }
        }
    }
}

#[test]
fn different_spellings_are_one_version() {
    let same = [
        (Scheme::OpenSsl, "1.0.2k-fips", "1.0.2k"),
        (Scheme::OpenSsl, "3.0.8+quic", "3.0.8"),
        (Scheme::OpenSsh, "7.4", "7.4p1"),
        (Scheme::Generic, "v1.2", "1.2.0"),
        (Scheme::Generic, "1.2.3-rc2", "1.2.3RC2"),
        (Scheme::Generic, "4.2.8_p4", "4.2.8p4"),
        (Scheme::Generic, "1.4.19-rc-2", "1.4.19rc2"),
        (Scheme::Generic, "5.6.4-stable", "5.6.4"),
        (Scheme::Kernel, "5.4.0+", "5.4"),
        (Scheme::Kernel, "4.14.98-vendor-g1234567", "4.14.98"),
        (Scheme::Ncurses, "6.2-20200212", "6.2.20200212"),
        (Scheme::Git, "8352d10", "8352d1012345"),
        (Scheme::Pep440, "1.0c1", "1.0-rc.1"),
        (Scheme::Maven, "1.0.0-ga", "1"),
        (Scheme::Deb, "0:1.0", "1.0"),
    ];
    for (scheme, a, b) in same {
        assert_eq!(scheme.compare(a, b), Some(Ordering::Equal), "{scheme:?}: {a} and {b}");
    }
}

#[test]
fn what_cannot_be_compared_has_no_answer() {
    let open = [
        // A commit orders nothing.
        (Scheme::Git, "8352d10", "1234567"),
        (Scheme::Generic, "g8352d10", "1.2.3"),
        // A word nobody defined, beside the same release.
        (Scheme::Generic, "1.2.3-acme", "1.2.3"),
        // A distribution's kernel name hides the patch level within its line.
        (Scheme::Kernel, "5.10.0-21-amd64", "5.10.37"),
        // The extended support line stands beside 4.1.x.
        (Scheme::Isc, "4.1-ESV-R8", "4.1.2"),
        (Scheme::Generic, "", "1.0"),
        (Scheme::Generic, "unknown", "1.0"),
        (Scheme::Apk, "1.0_foo", "1.0"),
        (Scheme::Generic, "99999999999999999999999.1", "1.0"),
    ];
    for (scheme, a, b) in open {
        assert_eq!(scheme.compare(a, b), None, "{scheme:?}: {a} and {b}");
    }
    // Where the numbers before the word differ, it does not matter.
    assert_eq!(Scheme::Generic.compare("1.2.3-acme", "1.2.4"), Some(Ordering::Less));
    assert_eq!(Scheme::Kernel.compare("5.10.0-21-amd64", "5.11"), Some(Ordering::Less));
}

#[test]
fn updates_are_split_from_versions() {
    let cases = [
        (Scheme::Generic, "4.2.8p15", "4.2.8", "p15"),
        (Scheme::Generic, "1.3.5rc4", "1.3.5", "rc4"),
        (Scheme::OpenSsl, "1.0.2k", "1.0.2k", ""),
        (Scheme::OpenSsl, "1.1.1-pre9", "1.1.1", "pre9"),
        (Scheme::Isc, "9.16.1-P1", "9.16.1", "p1"),
        (Scheme::Kernel, "4.4-rc1", "4.4", "rc1"),
        (Scheme::Generic, "2.90", "2.90", ""),
        (Scheme::OpenSsh, "7.4p1", "7.4p1", ""),
        (Scheme::OpenSsh, "9.3p2", "9.3", "p2"),
    ];
    for (scheme, version, base, update) in cases {
        assert_eq!(scheme.split_update(version), (base.to_owned(), update.to_owned()), "{version}");
    }
}

fn range(from: Option<(&str, bool)>, to: Option<(&str, bool)>, scheme: &str) -> Range {
    let end = |e: Option<(&str, bool)>| e.map(|(v, with)| (v.to_owned(), with));
    Range { scheme: scheme.into(), from: end(from), to: end(to) }
}

#[test]
fn ranges_say_yes_no_or_nothing() {
    let k = Scheme::Kernel;
    let o = Scheme::OpenSsl;
    let cases = [
        (k, range(Some(("5.4.136", true)), Some(("5.4.*", true)), "semver"), "5.4.200", Some(true)),
        (
            k,
            range(Some(("5.4.136", true)), Some(("5.4.*", true)), "semver"),
            "5.4.135",
            Some(false),
        ),
        (k, range(Some(("5.4.136", true)), Some(("5.4.*", true)), "semver"), "5.5.1", Some(false)),
        (
            k,
            range(Some(("5.14", true)), Some(("*", true)), "original_commit_for_fix"),
            "6.1",
            Some(true),
        ),
        (
            k,
            range(Some(("5.14", true)), Some(("*", true)), "original_commit_for_fix"),
            "5.13.19",
            Some(false),
        ),
        (k, range(Some(("0", true)), Some(("3.18", false)), "semver"), "3.16.66", Some(true)),
        (
            k,
            range(Some(("446fda4f2682", true)), Some(("97bc3683c249", false)), "git"),
            "5.4.1",
            None,
        ),
        (o, range(Some(("1.0.2", true)), Some(("1.0.2zg", false)), "custom"), "1.0.2u", Some(true)),
        (
            o,
            range(Some(("1.0.2", true)), Some(("1.0.2zg", false)), "custom"),
            "1.0.2zg",
            Some(false),
        ),
        (o, range(Some(("3.0.0", true)), Some(("3.0.7", true)), "semver"), "3.0.7", Some(true)),
        (o, range(None, Some(("unspecified", false)), "custom"), "3.0.7", None),
        // Contradictory: nothing is before itself.
        (o, range(Some(("8.4.0", true)), Some(("8.4.0", false)), "semver"), "8.4.0", None),
        (o, range(Some(("2.0", true)), Some(("1.0", false)), ""), "1.5", None),
        // Words in the place of a version.
        (
            o,
            range(Some(("2.4.10 and prior", true)), Some(("2.4.10 and prior", true)), ""),
            "2.4.9",
            Some(true),
        ),
        (
            o,
            range(Some(("2.4.10 and prior", true)), Some(("2.4.10 and prior", true)), ""),
            "2.4.11",
            Some(false),
        ),
        (
            o,
            range(Some((">= 1.0, < 2.0", true)), Some((">= 1.0, < 2.0", true)), ""),
            "1.5",
            Some(true),
        ),
        (
            o,
            range(Some((">= 1.0, < 2.0", true)), Some((">= 1.0, < 2.0", true)), ""),
            "2.0",
            Some(false),
        ),
        (o, range(Some(("4.10 to 5.6", true)), Some(("4.10 to 5.6", true)), ""), "5.0", Some(true)),
        (o, range(Some(("1.4.x", true)), Some(("1.4.x", true)), ""), "1.4.7", Some(true)),
        (o, range(Some(("1.4.x", true)), Some(("1.4.x", true)), ""), "1.5.0", Some(false)),
        (o, range(Some(("n/a", true)), Some(("n/a", true)), ""), "1.4.7", None),
        // Ranges of ISC's subscription edition concern that edition.
        (
            Scheme::Isc,
            range(Some(("9.11.3-S1", true)), Some(("9.11.37-S1", true)), ""),
            "9.11.20",
            Some(false),
        ),
        (
            Scheme::Isc,
            range(Some(("9.11.3-S1", true)), Some(("9.11.37-S1", true)), ""),
            "9.11.20-S1",
            Some(true),
        ),
    ];
    for (scheme, range, version, expected) in cases {
        assert_eq!(scheme.contains(&range, version), expected, "{version} in {range:?}");
    }
}

fn scheme() -> impl Strategy<Value = Scheme> {
    proptest::sample::select(vec![
        Scheme::Generic,
        Scheme::Semver,
        Scheme::OpenSsl,
        Scheme::BusyBox,
        Scheme::OpenSsh,
        Scheme::Isc,
        Scheme::Ncurses,
        Scheme::Kernel,
        Scheme::Date,
        Scheme::Deb,
        Scheme::Rpm,
        Scheme::Apk,
        Scheme::Pep440,
        Scheme::Maven,
        Scheme::Git,
    ])
}

/// Texts like versions, close enough together that ties happen.
fn version() -> impl Strategy<Value = String> {
    let word = "(rc|beta|alpha|p|pre|a|b|z|zg|-P|-r|_p|~rc|\\^|-S|-ESV-R|\\+|dev|post|sp|foo|-0-)";
    proptest::string::string_regex(&format!(
        "(1:)?[0-2](\\.[0-2]{{1,2}}){{0,3}}({word}[0-2]?){{0,2}}"
    ))
    .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn every_order_is_an_order(s in scheme(), a in version(), b in version(), c in version()) {
        let compare = |x: &str, y: &str| s.compare(x, y);
        prop_assert_eq!(compare(&a, &b), compare(&b, &a).map(Ordering::reverse), "{} {}", a, b);
        if compare(&a, &a).is_some() {
            prop_assert_eq!(compare(&a, &a), Some(Ordering::Equal));
        }
        if let (Some(x), Some(y), Some(z)) = (compare(&a, &b), compare(&b, &c), compare(&a, &c)) {
            if x != Ordering::Greater && y != Ordering::Greater {
                prop_assert_ne!(z, Ordering::Greater, "{} {} {}", a, b, c);
            }
            if x == Ordering::Equal && y == Ordering::Equal {
                prop_assert_eq!(z, Ordering::Equal, "{} {} {}", a, b, c);
            }
        }
    }

    #[test]
    fn no_text_is_too_odd(s in scheme(), a in ".{0,60}", b in ".{0,60}") {
        let _ = s.compare(&a, &b);
        let _ = s.split_update(&a);
        let r = Range { scheme: String::new(), from: Some((a.clone(), true)), to: Some((b.clone(), false)) };
        let _ = s.contains(&r, &a);
    }
}
