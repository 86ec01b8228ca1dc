//! Reading SBOMs and component texts, well-formed and hostile.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proofmark_advisories::{purl::Purl, sbom};

#[test]
fn cyclonedx_with_nested_components_and_its_distribution() {
    let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
        {"type":"operating-system","name":"debian","version":"11"},
        {"type":"library","name":"libssl1.1","version":"1.1.1n-0+deb11u5","purl":"pkg:deb/debian/libssl1.1@1.1.1n-0%2Bdeb11u5?arch=amd64&upstream=openssl",
         "cpe":"cpe:2.3:a:openssl:openssl:1.1.1n:*:*:*:*:*:*:*","components":[{"type":"library","name":"inner","version":"1"}]},
        {"type":"library","name":"zlib","version":"1.2.11","properties":[{"name":"syft:cpe23","value":"cpe:2.3:a:zlib:zlib:1.2.11:*:*:*:*:*:*:*"}]},
        {"type":"library","name":"busybox","version":"1.36.1-r2","purl":"pkg:deb/debian/busybox@1:1.30.1-6"}]}"#;
    let found = sbom::parse(text.as_bytes()).unwrap();
    assert_eq!(found.format, "CycloneDX 1.6");
    let shown: Vec<_> = found
        .queries
        .iter()
        .map(|q| {
            let c = q.component.as_ref().unwrap();
            let owner = q
                .owner
                .as_ref()
                .map(|o| format!(" {} {} {}", o.ecosystem, o.source, o.version))
                .unwrap_or_default();
            format!("{} {}{owner}", c.name, c.version.as_deref().unwrap_or("?"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "libssl1.1 1.1.1n Debian:11 openssl 1.1.1n-0+deb11u5",
            "inner 1",
            "zlib 1.2.11",
            "busybox 1.30.1 Debian:11 busybox 1:1.30.1-6",
        ]
    );
    assert_eq!(found.platform.distribution, Some(("debian".into(), "11".into())));
    assert_eq!(found.queries[2].component.as_ref().unwrap().cpes.len(), 1);
}

#[test]
fn spdx_in_both_generations() {
    let two = r#"{"spdxVersion":"SPDX-2.3","packages":[{"name":"curl","versionInfo":"8.4.0","externalRefs":[
        {"referenceType":"purl","referenceLocator":"pkg:generic/curl@8.4.0"},
        {"referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:haxx:curl:8.4.0:*:*:*:*:*:*:*"}]},{"name":"x","versionInfo":"NOASSERTION"}]}"#;
    let found = sbom::parse(two.as_bytes()).unwrap();
    let first = found.queries[0].component.as_ref().unwrap();
    assert_eq!((first.version.as_deref(), first.cpes.len()), (Some("8.4.0"), 1));
    assert_eq!(found.queries[1].component.as_ref().unwrap().version, None);
    let three = r#"{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[{"type":"SpdxDocument"},
        {"type":"software_Package","name":"linux","software_packageVersion":"5.10.1","externalIdentifier":[{"externalIdentifierType":"cpe23","identifier":"cpe:2.3:o:linux:linux_kernel:5.10.1:*:*:*:*:*:*:*"}]}]}"#;
    let found = sbom::parse(three.as_bytes()).unwrap();
    assert_eq!(found.platform.os_version.as_deref(), Some("5.10.1"));
}

#[test]
fn hostile_documents_end_in_one_sentence() {
    let deep = format!(
        r#"{{"bomFormat":"CycloneDX","components":{}{}}}"#,
        r#"[{"name":"a","components":"#.repeat(500),
        "]}".repeat(500)
    );
    let nested = format!(
        r#"{{"bomFormat":"CycloneDX","components":[{}{}]}}"#,
        r#"{"name":"a","components":["#.repeat(40),
        "]}".repeat(40)
    );
    let cases: &[&str] = &[
        "",
        "[]",
        "{}",
        "null",
        "{\"bomFormat\":\"CycloneDX\",\"components\":7}",
        "{\"bomFormat\":\"Other\"}",
        "{\"spdxVersion\":\"SPDX-2.3\",\"packages\":[1]}",
        "\u{feff}{",
        &deep,
        &nested,
    ];
    for text in cases {
        let error = sbom::parse(text.as_bytes()).expect_err(text);
        assert!(error.len() > 10 && error.len() < 300, "{error}");
    }
    let odd = r#"{"bomFormat":"CycloneDX","components":[{"name":"a","purl":"nonsense","cpe":"cpe:2.3:z"},{"version":"1"},{"name":"ok","version":"1"}]}"#;
    let found = sbom::parse(odd.as_bytes()).unwrap();
    assert_eq!((found.queries.len(), found.problems.len()), (2, 3), "{found:#?}");
    let long = format!(
        r#"{{"bomFormat":"CycloneDX","components":[{{"name":"{}"}}]}}"#,
        "x".repeat(100_000)
    );
    assert_eq!(sbom::parse(long.as_bytes()).unwrap().queries.len(), 0);
}

#[test]
fn components_are_written_in_four_ways() {
    let of = |text: &str| {
        let q = sbom::from_text(text).unwrap();
        let c = q.component.unwrap();
        (c.name, c.version)
    };
    assert_eq!(of("busybox 1.35.0"), ("busybox".into(), Some("1.35.0".into())));
    assert_eq!(of("pkg:generic/openssl@1.1.1w"), ("openssl".into(), Some("1.1.1w".into())));
    assert_eq!(
        of("cpe:2.3:a:ntp:ntp:4.2.8:p15:*:*:*:*:*:*"),
        ("ntp".into(), Some("4.2.8-p15".into()))
    );
    assert_eq!(of("dnsmasq"), ("dnsmasq".into(), None));
    assert!(
        sbom::from_text("pkg:").is_err()
            && sbom::from_text(" ").is_err()
            && sbom::from_text("cpe:/x").is_err()
    );
}

#[test]
fn package_urls_name_release_source_and_upstream_version() {
    let owner = |text: &str| {
        let o = Purl::parse(text).unwrap().owner().unwrap();
        let upstream = sbom::from_text(text).unwrap().component.unwrap().version.unwrap();
        format!("{} {} {} = {upstream}", o.ecosystem, o.source, o.version)
    };
    let cases = [
        (
            "pkg:deb/debian/libc6@2.36-9+deb12u4?arch=amd64&distro=debian-12&upstream=glibc",
            "Debian:12 glibc 2.36-9+deb12u4 = 2.36",
        ),
        ("pkg:deb/debian/bash@5.1-2+deb11u1", "Debian:11 bash 5.1-2+deb11u1 = 5.1"),
        ("pkg:deb/debian/tar@1.34+dfsg-1", "Debian tar 1.34+dfsg-1 = 1.34"),
        (
            "pkg:apk/alpine/openssl@3.1.4-r1?distro=alpine-3.18.4",
            "Alpine:v3.18 openssl 3.1.4-r1 = 3.1.4",
        ),
        ("pkg:apk/alpine/sudo@1.9.5_p2-r0", "Alpine sudo 1.9.5_p2-r0 = 1.9.5p2"),
        ("pkg:rpm/fedora/curl@7.61.1-22.el8?epoch=1", "Fedora curl 1:7.61.1-22.el8 = 7.61.1"),
        (
            "pkg:deb/ubuntu/openssh@1%3A8.2p1-4ubuntu0.5?distro=ubuntu-20.04",
            "Ubuntu:20.04 openssh 1:8.2p1-4ubuntu0.5 = 8.2p1",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(owner(text), expected, "{text}");
    }
    assert_eq!(
        Purl::parse("pkg:npm/%40scope/name@1.0").unwrap().package(),
        Some(("npm".into(), "@scope/name".into()))
    );
    for bad in ["pkg:", "pkg:npm", "npm/x", "pkg:npm/", "pkg:npm/x%zz"] {
        assert_eq!(Purl::parse(bad), None, "{bad}");
    }
}
