//! The yardstick knows no vendor and no country.
#![allow(clippy::unwrap_used)]

mod common;

use common::{World, build, cases, catalogues, trait_fact};
use proofmark_model::{Digest, Fact, Locator};
use proofmark_yardstick::{
    evaluate,
    view::{IMAGE, KINDS, LISTEN},
};

/// Words that would tell who made it or where.
const TELLING: &[&str] = &[
    "vendor",
    "maker",
    "manufacturer",
    "oem",
    "brand",
    "country",
    "nation",
    "origin",
    "region",
    "maintainer",
    "subject_name",
    "issuer",
    "organi",
    "comment",
    "banner",
    "purl",
    "cpe",
    "company",
    "supplier",
    "model",
    "locale",
    "timezone",
    "language_tag",
    "serial",
    "license",
];

/// Makers and countries that no condition and no template may name.
const NAMES: &[&str] = &[
    "huawei",
    "zte",
    "ericsson",
    "nokia",
    "cisco",
    "juniper",
    "samsung",
    "tp-link",
    "d-link",
    "netgear",
    "asus",
    "fiberhome",
    "mikrotik",
    "ubiquiti",
    "zyxel",
    "broadcom",
    "qualcomm",
    "mediatek",
    "hikvision",
    "dahua",
    "nec",
    "china",
    "chinese",
    "america",
    "sweden",
    "finland",
    "korea",
    "russia",
    "taiwan",
    "germany",
];

#[test]
fn no_declared_name_tells_a_vendor_or_a_country() {
    for record in KINDS.iter().copied().chain([&IMAGE, &LISTEN]) {
        for field in record.fields() {
            for word in TELLING {
                assert!(!field.name.contains(word), "{}.{}", record.name, field.name);
            }
        }
    }
    assert!(IMAGE.field("name").is_none());
    for hidden in ["subject", "issuer", "serial", "public"] {
        assert!(KINDS.iter().find(|r| r.name == "certificate").unwrap().field(hidden).is_none());
    }
}

#[test]
fn no_rule_names_a_vendor_or_a_country() {
    for catalogue in catalogues() {
        for rule in &catalogue.requirements {
            let e = &rule.entry;
            let mut texts = vec![e.applies.as_ref().map(|t| t.get_ref().clone())];
            for c in &e.check {
                texts.extend(
                    [&c.in_scope, &c.fail, &c.inconclusive, &c.fails_when, &c.at]
                        .map(|t| t.as_ref().map(|t| t.get_ref().clone())),
                );
                texts.push(Some(c.message.get_ref().clone()));
            }
            for text in texts.into_iter().flatten() {
                let lower = text.to_lowercase();
                for name in NAMES {
                    let hit = lower
                        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                        .any(|word| word == *name);
                    assert!(!hit, "{}: {text}", e.id.get_ref());
                }
            }
        }
    }
}

/// Puts the mark of a maker wherever an image can carry one.
fn brand(world: &mut World, maker: &str, country: &str) {
    let rename = |l: &mut Locator| l.image = format!("{maker}-{country}-v1.bin");
    for a in &mut world.artifacts {
        rename(&mut a.locator);
        a.sha256 = a.sha256.map(|d| Digest::of(format!("{maker}{d}").as_bytes()));
    }
    for e in &mut world.coverage.opaque_regions {
        rename(&mut e.locator);
    }
    let places = |evidence: &mut proofmark_model::Evidence| {
        let all: Vec<Locator> = evidence
            .places()
            .iter()
            .map(|p| {
                let mut p = p.clone();
                rename(&mut p);
                p
            })
            .collect();
        *evidence = all.try_into().unwrap();
    };
    for v in &mut world.vulnerabilities {
        places(&mut v.evidence);
        v.component.cpes = vec![format!("cpe:2.3:a:{maker}:x:1:*:*:*:*:*:*:*")];
        v.component.purl = Some(format!("pkg:generic/{maker}/x@1"));
    }
    for name in ["vendor", "country", "maker", "brand"] {
        world.observations.push(trait_fact(name, maker, common::ROOT));
    }
    for o in &mut world.observations {
        places(&mut o.evidence);
        match &mut o.fact {
            Fact::Certificate(c) => {
                c.subject = format!("CN=www,O={maker},C={country}");
                c.issuer = format!("CN=ca,O={maker},C={country}");
                c.serial = format!("{:x}", maker.len());
                c.public = Digest::of(maker.as_bytes());
            }
            Fact::LoginKey(k) => k.comment = Some(format!("builder@{maker}")),
            Fact::Executable(e) => {
                e.compiler = e.compiler.as_ref().map(|c| c.replace("Maker", maker));
                e.owner = e.owner.as_ref().map(|_| format!("opkg:{maker}-tool"));
                e.build_id = Some(maker.to_owned());
            }
            Fact::Package(p) => {
                p.license = Some(maker.to_owned());
                p.source = Some(maker.to_owned());
            }
            Fact::Component(c) => {
                c.component.cpes = vec![format!("cpe:2.3:a:{maker}:x:1:*:*:*:*:*:*:*")];
                c.component.purl = Some(format!("pkg:generic/{maker}/x@1"));
                c.owner = c.owner.as_ref().map(|_| maker.to_owned());
            }
            Fact::Kernel(k) => {
                k.release = format!("{}-{maker}-{country}", k.release.split('-').next().unwrap());
                k.banner = format!("Linux version {} ({maker})", k.release);
            }
            Fact::Trait(t) if t.name == "root-file-system" => t.value = format!("{maker}.bin"),
            _ => {}
        }
    }
}

/// The vendor is renamed wherever an image can carry its name: every verdict, reason and count stays the same.
#[test]
fn renaming_the_vendor_changes_no_verdict() {
    let all = catalogues();
    let refs: Vec<_> = all.iter().collect();
    for case in cases() {
        let judged = [("Alpha Networks", "AQ"), ("Betacom", "BV")].map(|(maker, country)| {
            let mut world = build(&case);
            brand(&mut world, maker, country);
            let out: Vec<_> = evaluate(&refs, &world.evidence())
                .into_iter()
                .map(|j| {
                    let findings: Vec<_> = j
                        .findings
                        .iter()
                        .map(|f| (f.message.clone(), f.severity, f.strength))
                        .collect();
                    (j.requirement.id, j.verdict, findings, j.examined)
                })
                .collect();
            out
        });
        assert_eq!(judged[0], judged[1], "{}", case.requirement);
        // And the same as without any mark.
        let plain: Vec<_> = evaluate(&refs, &build(&case).evidence())
            .into_iter()
            .map(|j| (j.requirement.id, j.verdict))
            .collect();
        let marked: Vec<_> = judged[0].iter().map(|(id, v, ..)| (id.clone(), *v)).collect();
        assert_eq!(plain, marked, "{}", case.requirement);
    }
}
