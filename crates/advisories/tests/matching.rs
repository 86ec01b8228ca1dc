//! Matching: applicability trees, precedence of sources, identity, probes, occurrences.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::{collections::BTreeSet, sync::Arc};

use proofmark_advisories::{
    Record,
    corrections::{Correction, Corrections},
    cpe::Cpe,
    kernel::KernelPicture,
    matching::{Features, Match, Occurrence, Outcome, Owner, Platform, Query, match_component},
    record::{Score, Statement, Status, Subject, Threat},
};
use proofmark_model::{Digest, Dismissal, Grade};
use support::*;

fn corrections() -> Corrections {
    Corrections::embedded().unwrap()
}

fn linux() -> Platform {
    Platform {
        os: Some("linux_kernel".into()),
        machine: Some("mips".into()),
        ..Platform::default()
    }
}

fn run(records: Vec<Record>, query: &Query, platform: &Platform) -> Outcome {
    match_component(query, &Memory::of(records), platform, &corrections()).unwrap()
}

fn query(name: &str, version: &str) -> Query {
    Query { component: Some(component(name, version)), ..Query::default() }
}

fn ask(records: Vec<Record>, name: &str, version: &str) -> Outcome {
    run(records, &query(name, version), &linux())
}

fn only(outcome: &Outcome) -> &Match {
    assert_eq!(outcome.matches.len(), 1, "{outcome:#?}");
    &outcome.matches[0]
}

const DNSMASQ: &str = "cpe:2.3:a:thekelleys:dnsmasq:*:*:*:*:*:*:*:*";

#[test]
fn a_version_in_the_range_matches_and_one_beside_it_does_not() {
    let records = || vec![nvd("CVE-1", vec![any(vec![matched(DNSMASQ, true, Some("..2.90"))])])];
    let found = ask(records(), "dnsmasq", "2.89");
    let m = only(&found);
    assert_eq!((m.grade, m.dismissed), (Grade::Version, None));
    assert_eq!(found.funnel.applicable, 1);
    let beside = ask(records(), "dnsmasq", "2.90");
    assert!(beside.matches.is_empty());
    assert_eq!(beside.not_affected.len(), 1);
    assert!(beside.not_affected[0].reason.contains("not within"), "{beside:#?}");
}

#[test]
fn a_vendor_of_the_same_name_is_another_product() {
    let records = vec![nvd(
        "CVE-1",
        vec![any(vec![matched("cpe:2.3:a:mongoosejs:mongoose:*:*:*:*:*:node.js:*:*", true, None)])],
    )];
    let found = ask(records, "mongoose", "6.0");
    assert!(found.matches.is_empty() && found.not_affected.is_empty(), "{found:#?}");
}

#[test]
fn a_target_field_is_not_the_product() {
    // A library for another ecosystem under a pair that the catalogue knows for old records.
    let rust = "cpe:2.3:a:openssl_project:openssl:*:*:*:*:*:rust:*:*";
    let found =
        ask(vec![nvd("CVE-1", vec![any(vec![matched(rust, true, None)])])], "openssl", "1.1.1");
    assert!(found.matches.is_empty(), "{found:#?}");
    // emba#1080: a product that runs on Linux is not the kernel.
    let app = "cpe:2.3:a:acme:agent:*:*:*:*:*:linux_kernel:*:*";
    let found = ask(vec![nvd("CVE-2", vec![any(vec![matched(app, true, None)])])], "linux", "5.10");
    assert!(found.matches.is_empty(), "{found:#?}");
}

#[test]
fn what_is_named_as_a_condition_only_is_not_vulnerable() {
    let kernel = "cpe:2.3:o:linux:linux_kernel:-:*:*:*:*:*:*:*";
    let tree = all(vec![
        any(vec![matched("cpe:2.3:a:acme:agent:*:*:*:*:*:*:*:*", true, None)]),
        any(vec![matched(kernel, false, None)]),
    ]);
    let found = ask(vec![nvd("CVE-1", vec![tree])], "linux", "5.10");
    assert!(found.matches.is_empty() && found.not_affected.is_empty(), "{found:#?}");
}

#[test]
fn conditions_are_true_false_or_said_to_be_unknown() {
    let running_on = |cpe: &str| {
        vec![nvd(
            "CVE-1",
            vec![all(vec![
                any(vec![matched(DNSMASQ, true, None)]),
                any(vec![matched(cpe, false, None)]),
            ])],
        )]
    };
    let on = |cpe: &str| ask(running_on(cpe), "dnsmasq", "2.80");
    let linux = on("cpe:2.3:o:linux:linux_kernel:-:*:*:*:*:*:*:*");
    assert_eq!(only(&linux).grade, Grade::Version);
    let windows = on("cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*");
    assert!(windows.matches.is_empty(), "{windows:#?}");
    let device = on("cpe:2.3:h:acme:router:-:*:*:*:*:*:*:*");
    let m = only(&device);
    assert_eq!((m.grade, m.dismissed), (Grade::Named, None));
    assert!(m.reasons[0].contains("not known here"), "{m:#?}");
    let debian = on("cpe:2.3:o:debian:debian_linux:10.0:*:*:*:*:*:*:*");
    assert_eq!(only(&debian).grade, Grade::Named);
    let known = Platform { distribution: Some(("debian".into(), "11".into())), ..self::linux() };
    let other = run(
        running_on("cpe:2.3:o:debian:debian_linux:10.0:*:*:*:*:*:*:*"),
        &query("dnsmasq", "2.80"),
        &known,
    );
    assert!(other.matches.is_empty(), "{other:#?}");
    // The condition turned around.
    let mut not_windows =
        any(vec![matched("cpe:2.3:o:microsoft:windows:-:*:*:*:*:*:*:*", false, None)]);
    not_windows.negate = true;
    let tree = all(vec![any(vec![matched(DNSMASQ, true, None)]), not_windows]);
    assert_eq!(only(&ask(vec![nvd("CVE-1", vec![tree])], "dnsmasq", "2.80")).grade, Grade::Version);
    // Another component of the image.
    let tree = || {
        all(vec![
            any(vec![matched(DNSMASQ, true, None)]),
            any(vec![matched("cpe:2.3:a:gnu:glibc:*:*:*:*:*:*:*:*", false, Some("..2.30"))]),
        ])
    };
    let with = |components: Vec<String>, complete: bool| {
        let p = Platform { components, components_complete: complete, ..self::linux() };
        run(vec![nvd("CVE-1", vec![tree()])], &query("dnsmasq", "2.80"), &p)
    };
    assert_eq!(
        only(&with(vec!["cpe:2.3:a:gnu:glibc:2.28:*:*:*:*:*:*:*".into()], false)).grade,
        Grade::Version
    );
    assert!(with(vec!["cpe:2.3:a:gnu:glibc:2.31:*:*:*:*:*:*:*".into()], false).matches.is_empty());
    assert!(with(vec![], true).matches.is_empty());
    assert_eq!(only(&with(vec![], false)).grade, Grade::Named);
}

#[test]
fn machines_and_editions_are_compared_where_they_are_known() {
    let on = |field: &str| {
        ask(vec![nvd("CVE-1", vec![any(vec![matched(field, true, None)])])], "openssl", "1.0.2")
    };
    assert!(on("cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:x64:*").matches.is_empty());
    assert_eq!(only(&on("cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:mips:*")).grade, Grade::Version);
    assert_eq!(only(&on("cpe:2.3:a:openssl:openssl:*:*:*:*:enterprise:*:*:*")).grade, Grade::Named);
    assert!(on("cpe:2.3:a:openssl:openssl:*:*:*:*:*:windows:*:*").matches.is_empty());
}

#[test]
fn updates_belong_to_their_version() {
    let ntp = |cpe: &str, within: Option<&str>, version: &str| {
        let found =
            ask(vec![nvd("CVE-1", vec![any(vec![matched(cpe, true, within)])])], "ntp", version);
        found.matches.first().map(|m| m.grade)
    };
    let exact = "cpe:2.3:a:ntp:ntp:4.2.8:p3:*:*:*:*:*:*";
    assert_eq!(ntp(exact, None, "4.2.8p3"), Some(Grade::Version));
    assert_eq!(ntp(exact, None, "4.2.8p4"), None);
    assert_eq!(ntp(exact, None, "4.2.8"), None);
    let every = "cpe:2.3:a:ntp:ntp:4.2.8:*:*:*:*:*:*:*";
    assert_eq!(ntp(every, None, "4.2.8p3"), Some(Grade::Version));
    assert_eq!(ntp("cpe:2.3:a:ntp:ntp:4.2.8:-:*:*:*:*:*:*", None, "4.2.8p3"), None);
    assert_eq!(ntp("cpe:2.3:a:ntp:ntp:4.2.8:-:*:*:*:*:*:*", None, "4.2.8"), Some(Grade::Version));
    // Beside a range the update belongs to its end.
    let ranged = "cpe:2.3:a:ntp:ntp:*:p3:*:*:*:*:*:*";
    assert_eq!(ntp(ranged, Some("..=4.2.8"), "4.2.8p3"), Some(Grade::Version));
    assert_eq!(ntp(ranged, Some("..=4.2.8"), "4.2.8p4"), None);
    // No version at all in the record.
    assert_eq!(ntp("cpe:2.3:a:ntp:ntp:-:*:*:*:*:*:*:*", None, "4.2.8p4"), Some(Grade::Named));
}

#[test]
fn a_letter_is_part_of_the_version() {
    let exact = "cpe:2.3:a:openssl:openssl:1.0.2:*:*:*:*:*:*:*";
    let records = || vec![nvd("CVE-1", vec![any(vec![matched(exact, true, None)])])];
    assert!(ask(records(), "openssl", "1.0.2k").matches.is_empty());
    assert_eq!(ask(records(), "openssl", "1.0.2").matches.len(), 1);
}

#[test]
fn the_producer_outranks_nvd_and_both_stay_in_the_reasons() {
    let records = vec![
        nvd(
            "CVE-1",
            vec![any(vec![matched(
                "cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:*:*",
                true,
                Some("1.0.2..=1.0.2zf"),
            )])],
        ),
        Record {
            statements: vec![statement(
                product("OpenSSL", "OpenSSL"),
                Status::NotAffected,
                &[("1.0.2..1.0.2b", Status::Affected), ("3.0.0..3.0.7", Status::Affected)],
            )],
            ..record("openssl", "CVE-1")
        },
    ];
    let found = ask(records.clone(), "openssl", "1.0.2u");
    let m = only(&found);
    assert_eq!(m.dismissed, Some(Dismissal::VersionNotAffected));
    assert!(m.reasons[0].starts_with("the producer") && m.reasons[1].starts_with("NVD"), "{m:#?}");
    let found = ask(records, "openssl", "3.0.6");
    assert_eq!((only(&found).grade, only(&found).dismissed), (Grade::Version, None));
}

#[test]
fn what_others_added_to_a_record_counts_least() {
    let added = Statement {
        added: true,
        ..statement(product("Haxx", "curl"), Status::Unknown, &[("0..7.86.0", Status::Affected)])
    };
    let cve5 = Record { statements: vec![added], ..record("cve5", "CVE-1") };
    let own = Record {
        statements: vec![statement(
            Subject::Package { ecosystem: "generic".into(), name: "curl".into() },
            Status::NotAffected,
            &[("7.10.0..7.83.1", Status::Affected)],
        )],
        ..record("osv-curl", "CVE-1")
    };
    let found = ask(vec![cve5.clone(), own], "curl", "7.83.1");
    assert_eq!(only(&found).dismissed, Some(Dismissal::VersionNotAffected));
    // Where nobody else speaks it decides.
    let found = ask(vec![cve5], "curl", "7.83.1");
    assert_eq!((only(&found).grade, only(&found).dismissed), (Grade::Version, None));
    assert!(only(&found).reasons[0].starts_with("others in the CVE list"));
}

#[test]
fn commits_decide_nothing_about_a_version() {
    let mut commits = statement(
        product("Linux", "Linux"),
        Status::NotAffected,
        &[("446fda4f2682..97bc3683c249", Status::Affected)],
    );
    commits.ranges[0].0.scheme = "git".into();
    let versions = statement(
        product("Linux", "Linux"),
        Status::Affected,
        &[
            ("0..3.18", Status::NotAffected),
            ("5.4.136..=5.4.*", Status::NotAffected),
            ("5.14..=*", Status::NotAffected),
        ],
    );
    let cna = |statements: Vec<_>| Record { statements, ..record("cve5", "CVE-1") };
    let both = || vec![cna(vec![commits.clone(), versions.clone()])];
    for (version, affected) in [
        ("3.16.66", false),
        ("4.19.1", true),
        ("5.4.135", true),
        ("5.4.136", false),
        ("5.10.1", true),
        ("5.14.0", false),
    ] {
        let found = ask(both(), "linux", version);
        assert_eq!(found.matches.len(), usize::from(affected), "{version}: {found:#?}");
    }
    let alone = ask(vec![cna(vec![commits])], "linux", "5.4.1");
    assert_eq!(only(&alone).grade, Grade::Named);
}

fn owned(ecosystem: &str, source: &str, revision: &str, upstream: &str) -> Query {
    let owner =
        Owner { ecosystem: ecosystem.into(), source: source.into(), version: revision.into() };
    Query { owner: Some(owner), ..query(source, upstream) }
}

#[test]
fn the_distributor_speaks_first_about_its_own_package() {
    let records = || {
        vec![
            nvd(
                "CVE-1",
                vec![any(vec![matched(
                    "cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:*:*",
                    true,
                    Some("1.1.1..1.1.1u"),
                )])],
            ),
            Record {
                statements: vec![statement(
                    package("Debian:11", "openssl"),
                    Status::Affected,
                    &[("1.1.1n-0+deb11u5..", Status::Fixed)],
                )],
                ..record("debian", "CVE-1")
            },
        ]
    };
    let at = |owner: &Query| run(records(), owner, &linux());
    let fixed = at(&owned("Debian:11", "openssl", "1.1.1n-0+deb11u5", "1.1.1n"));
    assert_eq!(only(&fixed).dismissed, Some(Dismissal::FixedByDistributor));
    assert_eq!(only(&fixed).reasons.len(), 2, "{fixed:#?}");
    let before = at(&owned("Debian:11", "openssl", "1.1.1n-0+deb11u4", "1.1.1n"));
    assert_eq!((only(&before).grade, only(&before).dismissed), (Grade::Version, None));
    // Another release's statement, or a distribution whose release is not known, decides nothing.
    for ecosystem in ["Debian:12", "Debian"] {
        let other = at(&owned(ecosystem, "openssl", "1.1.1n-0+deb11u5", "1.1.1n"));
        assert_eq!(only(&other).dismissed, None, "{ecosystem}: {other:#?}");
    }
    // A copy that no package owns is judged by its version.
    assert_eq!(only(&ask(records(), "openssl", "1.1.1n")).dismissed, None);
}

#[test]
fn each_content_has_its_own_verdict() {
    let records = vec![
        nvd(
            "CVE-1",
            vec![any(vec![matched(
                "cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:*:*",
                true,
                Some("1.1.1..1.1.1u"),
            )])],
        ),
        Record {
            statements: vec![statement(
                package("Debian:11", "openssl"),
                Status::Affected,
                &[("1.1.1n-0+deb11u5..", Status::Fixed)],
            )],
            ..record("debian", "CVE-1")
        },
    ];
    let owner = Owner {
        ecosystem: "Debian:11".into(),
        source: "openssl".into(),
        version: "1.1.1n-0+deb11u5".into(),
    };
    let owned = Occurrence {
        digest: Some(Digest::of(b"owned")),
        owner: Some(owner),
        ..Occurrence::default()
    };
    let copy = Occurrence { digest: Some(Digest::of(b"copy")), ..Occurrence::default() };
    let q = Query { occurrences: vec![owned, copy], ..query("openssl", "1.1.1n") };
    let found = run(records, &q, &linux());
    let m = only(&found);
    assert_eq!(m.dismissed, None);
    let each: Vec<_> = m.occurrences.iter().map(|v| v.dismissed).collect();
    assert_eq!(each, [Some(Dismissal::FixedByDistributor), None]);
    assert!(m.reasons.iter().any(|r| r == "1 of 2 contents are concerned"), "{m:#?}");
}

#[test]
fn a_feature_that_is_not_compiled_in_dismisses_only_where_the_list_is_complete() {
    let busybox = "cpe:2.3:a:busybox:busybox:*:*:*:*:*:*:*:*";
    let records =
        || vec![nvd("CVE-2018-1000517", vec![any(vec![matched(busybox, true, Some("..1.29.0"))])])];
    let with = |present: &[&str], complete: bool, reachable: Option<&str>| {
        let features = Features {
            present: present.iter().map(|s| (*s).to_owned()).collect(),
            complete: if complete {
                BTreeSet::from(["applet".to_owned()])
            } else {
                BTreeSet::new()
            },
        };
        let occurrence = Occurrence {
            digest: Some(Digest::of(b"bb")),
            features,
            reachable: reachable.map(str::to_owned),
            ..Occurrence::default()
        };
        let q = Query { occurrences: vec![occurrence], ..query("busybox", "1.28.0") };
        only(&run(records(), &q, &linux())).clone()
    };
    assert_eq!(
        with(&["applet:ls"], true, None).dismissed,
        Some(Dismissal::VulnerableCodeNotPresent)
    );
    let open = with(&["applet:ls"], false, None);
    assert_eq!((open.grade, open.dismissed), (Grade::Version, None));
    assert!(open.reasons.iter().any(|r| r.contains("not known to be complete")), "{open:#?}");
    assert_eq!(with(&["applet:wget"], true, None).grade, Grade::Present);
    assert_eq!(
        with(&["applet:wget"], true, Some("started by /etc/init.d/rcS")).grade,
        Grade::Reachable
    );
    assert_eq!(
        with(&["applet:ls"], false, Some("started by /etc/init.d/rcS")).grade,
        Grade::Version
    );
}

#[test]
fn unknown_versions_and_unknown_names_stay_at_named() {
    let records = || vec![nvd("CVE-1", vec![any(vec![matched(DNSMASQ, true, Some("..2.90"))])])];
    let mut q = query("dnsmasq", "2.80");
    if let Some(c) = &mut q.component {
        c.version = None;
    }
    assert_eq!(only(&run(records(), &q, &linux())).grade, Grade::Named);
    let incomparable = ask(records(), "dnsmasq", "2.90-acme");
    assert_eq!((only(&incomparable).grade, only(&incomparable).dismissed), (Grade::Named, None));
    // A product without a vendor, and a component that no catalogue knows.
    let anonymous = Record {
        statements: vec![statement(
            product("n/a", "frobnicator"),
            Status::Unknown,
            &[("..2.0", Status::Affected)],
        )],
        ..record("cve5", "CVE-2")
    };
    let found = ask(vec![anonymous], "frobnicator", "1.0");
    assert_eq!(only(&found).grade, Grade::Named);
    assert!(found.by_name_only);
}

#[test]
fn rejected_records_are_dropped_and_counted_and_disputed_ones_marked() {
    let rejected = Record {
        standing: Some("rejected".into()),
        ..nvd("CVE-1", vec![any(vec![matched(DNSMASQ, true, None)])])
    };
    let lingering = Record {
        statements: vec![statement(product("thekelleys", "dnsmasq"), Status::Affected, &[])],
        ..record("cve5", "CVE-1")
    };
    let disputed = Record {
        standing: Some("disputed".into()),
        ..nvd("CVE-2", vec![any(vec![matched(DNSMASQ, true, None)])])
    };
    let found = ask(vec![rejected, lingering, disputed], "dnsmasq", "2.80");
    assert_eq!(found.withdrawn, 1);
    let m = only(&found);
    assert_eq!((m.id.as_str(), m.disputed), ("CVE-2", true));
}

#[test]
fn the_gravest_come_first() {
    let one = |cve: &str, tenths: u8| Record {
        scores: vec![Score {
            version: "3.1".into(),
            tenths,
            vector: String::new(),
            by: "nvd".into(),
        }],
        ..nvd(cve, vec![any(vec![matched(DNSMASQ, true, None)])])
    };
    let mut store =
        Memory::of(vec![one("CVE-1", 98), one("CVE-2", 53), one("CVE-3", 75), one("CVE-4", 75)]);
    store.threats.insert("CVE-2".into(), Threat { known_exploited: true, epss_ppm: None });
    store
        .threats
        .insert("CVE-4".into(), Threat { known_exploited: false, epss_ppm: Some(900_000) });
    let found =
        match_component(&query("dnsmasq", "2.80"), &store, &linux(), &corrections()).unwrap();
    let order: Vec<_> = found.matches.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(order, ["CVE-2", "CVE-4", "CVE-1", "CVE-3"]);
}

#[test]
fn packages_of_a_language_are_not_products_of_the_same_name() {
    let records = vec![nvd(
        "CVE-1",
        vec![any(vec![matched("cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:*:*", true, None)])],
    )];
    let mut q = query("openssl", "1.0.0");
    if let Some(c) = &mut q.component {
        c.purl = Some("pkg:gem/openssl@1.0.0".into());
    }
    let found = run(records, &q, &linux());
    assert!(found.matches.is_empty(), "{found:#?}");
}

#[test]
fn kernel_files_of_another_instruction_set_dismiss() {
    let mut s = statement(product("Linux", "Linux"), Status::Affected, &[]);
    s.files = vec!["arch/x86/kvm/mmu/mmu.c".into(), "arch/x86/kvm/Makefile".into()];
    let records = vec![Record { statements: vec![s], ..record("cve5", "CVE-1") }];
    let with = |machine: &str| {
        let picture = KernelPicture {
            release: "5.10.1".into(),
            machine: Some(machine.into()),
            ..KernelPicture::default()
        };
        let occurrence = Occurrence { kernel: Some(Arc::new(picture)), ..Occurrence::default() };
        let q = Query { occurrences: vec![occurrence], ..query("linux", "5.10.1") };
        only(&run(records.clone(), &q, &linux())).dismissed
    };
    assert_eq!(with("mips"), Some(Dismissal::VulnerableCodeNotPresent));
    assert_eq!(with("x86_64"), None);
}

/// Every correction acts where it says and nowhere else.
#[test]
fn corrections_have_positive_and_negative_versions() {
    let data = corrections();
    let mut entries = 0;
    for (id, name, acts, acts_not) in data.expectations() {
        entries += 1;
        assert!(!acts.is_empty(), "{id}: no version it acts on");
        let product = data.products().iter().find(|p| p.name == name);
        for version in acts {
            let found = data.correction(id, name, Some(version), product);
            assert!(
                matches!(found, Some(Correction::Deny(_) | Correction::Allow(_))),
                "{id} {version}"
            );
        }
        for version in acts_not {
            assert_eq!(data.correction(id, name, Some(version), product), None, "{id} {version}");
        }
        assert_eq!(data.correction(id, "zlib", Some("1.0"), None), None);
    }
    assert!(entries >= 2);
}

#[test]
fn cpe_names_are_read_and_written_in_both_forms() {
    let name = r"cpe:2.3:a:acme:web\:tool\!:1.0\.x:-:*:en:pro:linux_kernel:x64:*";
    let cpe = Cpe::parse(name).unwrap();
    assert_eq!(cpe.pair(), Some(("acme", "web:tool!")));
    assert_eq!(Cpe::parse(&cpe.to_string()).unwrap(), cpe);
    let uri = Cpe::parse("cpe:/a:acme:web%3atool%21:1.0.x:-:~~pro~linux_kernel~x64~:en").unwrap();
    assert_eq!(uri, cpe);
    // Table 6-2 of NIST IR 7696 by example.
    let covers = |a: &str, b: &str| {
        let full = |v: &str| format!("cpe:2.3:a:acme:tool:{v}:*:*:*:*:*:*:*");
        Cpe::parse(&full(a)).unwrap().is_superset_of(&Cpe::parse(&full(b)).unwrap())
    };
    assert!(
        covers("*", "1.0")
            && covers("*", "-")
            && covers("1.*", "1.7")
            && covers("1.?", "1.7")
            && covers("1.7?", "1.7")
    );
    assert!(
        !covers("1.0", "*")
            && !covers("-", "1.0")
            && !covers("1.?", "1.77")
            && !covers("1.*", "2.1")
    );
    assert!(Cpe::parse("cpe:2.3:x:acme:tool").is_err());
    assert!(Cpe::parse("acme tool").is_err());
    assert!(Cpe::parse(&format!("cpe:2.3:a:{}", "x".repeat(5000))).is_err());
}
