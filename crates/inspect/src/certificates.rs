//! X.509 certificates.
//!
//! Establishes: the fields of every certificate in PEM or DER, which service uses
//! it, whether it lies in a store of public authorities, and what is irregular
//! about its encoding.
//!
//! How: a lenient parser; what a strict one would refuse is kept as an
//! irregularity. Certificates pair with private keys by the digest of the
//! SubjectPublicKeyInfo.
//!
//! False positives: a sample certificate that lies where servers look.
//!
//! False negatives: certificates inside Java key stores or PKCS#12; DER inside
//! programs. A block that cannot be parsed at all is told by the trait
//! `unreadable-certificate`.
//!
//! Sources: RFC 5280, RFC 4514.

use proofmark_model::{
    Digest, Fact, Observation, Strength, Tri,
    fact::{Certificate, Trait},
};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::*;

use crate::{
    Notes, View,
    der::{self, Pem, element},
    keys::{References, builtin_default},
    notes::Range,
    root::{File, Root},
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("certificates", 1);

/// A certificate with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The fact, without what only the tree can tell.
    pub certificate: Certificate,
    /// Its bytes.
    pub range: Range,
}

/// A certificate in a PEM block; `Err` if it is one that cannot be read.
pub(crate) fn from_pem(pem: &Pem<'_>) -> Option<Result<Read, Range>> {
    matches!(pem.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE").then(|| {
        read(&pem.body).map(|certificate| Read { certificate, range: pem.range }).ok_or(pem.range)
    })
}

/// First stage, for a content that is one certificate in DER.
pub(crate) fn whole(bytes: &[u8], notes: &mut Notes) {
    let exact = bytes.len() >= 100 && bytes.len() <= 64 << 10 && bytes.starts_with(&[0x30, 0x82]);
    if exact && element(bytes).is_some_and(|(_, _, rest)| rest.is_empty()) {
        let range = (0, bytes.len() as u64);
        notes.certificates.extend(read(bytes).map(|certificate| Read { certificate, range }));
    }
}

fn algorithm(oid: &str) -> &str {
    match oid {
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" | "1.3.14.3.2.29" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.113549.1.1.14" => "sha224WithRSAEncryption",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.1" => "ecdsa-with-SHA224",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.2.840.10040.4.3" => "dsa-with-sha1",
        "2.16.840.1.101.3.4.3.2" => "dsa-with-sha256",
        "1.3.101.112" => "ed25519",
        "1.3.101.113" => "ed448",
        other => other,
    }
}

fn read(bytes: &[u8]) -> Option<Certificate> {
    let (rest, parsed) = X509Certificate::from_der(bytes).ok()?;
    let mut irregularities = Vec::new();
    let mut irregular = |yes: bool, text: &str| {
        if yes {
            irregularities.push(text.to_owned());
        }
    };
    // OpenSSL's "TRUSTED CERTIFICATE" carries settings after the certificate.
    irregular(!rest.is_empty(), "bytes follow the certificate");
    let tbs = &parsed.tbs_certificate;
    let serial = tbs.raw_serial();
    irregular(serial.len() > 20, "the serial number is longer than 20 bytes");
    irregular(serial.first().is_some_and(|b| *b >= 0x80), "the serial number is negative");
    irregular(serial.iter().all(|b| *b == 0), "the serial number is zero");
    irregular(tbs.signature != parsed.signature_algorithm, "the two signature algorithms differ");
    irregular(
        tbs.version() != X509Version::V3 && !tbs.extensions().is_empty(),
        "extensions in a certificate that is not version 3",
    );
    let (not_before, not_after) =
        (tbs.validity.not_before.timestamp(), tbs.validity.not_after.timestamp());
    irregular(not_after < not_before, "it ends before it begins");
    let mut oids: Vec<String> = tbs.extensions().iter().map(|e| e.oid.to_id_string()).collect();
    let extensions = oids.len();
    oids.sort();
    oids.dedup();
    irregular(oids.len() != extensions, "an extension stands twice");

    let constraints = tbs.extensions().iter().find_map(|e| match e.parsed_extension() {
        ParsedExtension::BasicConstraints(b) => Some(b.ca),
        _ => None,
    });
    let mut usages = Vec::new();
    for extension in tbs.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::KeyUsage(u) => usages.extend(
                [
                    (u.digital_signature(), "digitalSignature"),
                    (u.non_repudiation(), "nonRepudiation"),
                    (u.key_encipherment(), "keyEncipherment"),
                    (u.data_encipherment(), "dataEncipherment"),
                    (u.key_agreement(), "keyAgreement"),
                    (u.key_cert_sign(), "keyCertSign"),
                    (u.crl_sign(), "cRLSign"),
                ]
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, name)| (*name).to_owned()),
            ),
            ParsedExtension::ExtendedKeyUsage(u) => usages.extend(
                [
                    (u.any, "anyExtendedKeyUsage"),
                    (u.server_auth, "serverAuth"),
                    (u.client_auth, "clientAuth"),
                    (u.code_signing, "codeSigning"),
                    (u.email_protection, "emailProtection"),
                    (u.time_stamping, "timeStamping"),
                    (u.ocsp_signing, "OCSPSigning"),
                ]
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, name)| (*name).to_owned()),
            ),
            _ => {}
        }
    }
    let spki = &tbs.subject_pki;
    let key_oid = spki.algorithm.algorithm.to_id_string();
    let key = spki.subject_public_key.data.as_ref();
    let (key_algorithm, key_bits) = match key_oid.as_str() {
        "1.2.840.113549.1.1.1" | "1.2.840.113549.1.1.10" => {
            let modulus = der::take(&mut &key[..], 0x30).and_then(|mut i| der::take(&mut i, 2));
            ("rsa", modulus.map(der::bits))
        }
        "1.2.840.10045.2.1" => {
            let curve = der::take(&mut &spki.raw[..], 0x30)
                .and_then(|mut i| der::take(&mut i, 0x30))
                .and_then(|mut a| {
                    der::take(&mut a, 6)?;
                    der::take(&mut a, 6)
                });
            ("ec", curve.and_then(der::curve_bits))
        }
        "1.2.840.10040.4.1" => ("dsa", None),
        "1.3.101.112" => ("ed25519", Some(256)),
        "1.3.101.113" => ("ed448", Some(456)),
        _ => ("unknown", None),
    };
    Some(Certificate {
        subject: tbs.subject.to_string(),
        issuer: tbs.issuer.to_string(),
        serial: serial.iter().map(|b| format!("{b:02x}")).collect(),
        not_before,
        not_after,
        signature_algorithm: algorithm(&parsed.signature_algorithm.algorithm.to_id_string())
            .to_owned(),
        key_algorithm: key_algorithm.to_owned(),
        key_bits,
        // Version 1 knows no constraints; a self-signed one may sign others.
        authority: constraints.unwrap_or(false),
        usages,
        self_signed: tbs.subject == tbs.issuer,
        trust_store: false,
        public: Digest::of(spki.raw),
        used_by: None,
        replaced_at_first_boot: None,
        irregularities,
    })
}

/// Stores of public authorities, by place or by size.
fn is_trust_store(path: &str, count: usize) -> bool {
    const PLACES: &[&str] = &[
        "etc/ssl/certs/",
        "ca-certificates",
        "ca-bundle",
        "cacert.pem",
        "cacerts",
        "etc/pki/",
        "trust-anchors",
        "system/etc/security",
    ];
    count > 20 || PLACES.iter().any(|p| path.contains(p)) || path.ends_with("etc/ssl/cert.pem")
}

/// Second stage.
pub(crate) fn image(
    view: &View<'_>,
    roots: &[Root<'_>],
    references: &[References<'_>],
    out: &mut Vec<Observation>,
) {
    let homes = crate::root::homes(roots);
    for (id, artifact, notes) in view.noted() {
        if notes.certificates.is_empty() && notes.unreadable_certificates.is_empty() {
            continue;
        }
        let Some(file) = File::of(*view, id) else { continue };
        let home = homes.get(&id).copied();
        let path = home.map_or_else(|| artifact.locator.path(), |(_, p)| p.to_owned());
        let references = home.and_then(|(i, _)| references.get(i));
        let trust_store = is_trust_store(&path, notes.certificates.len());
        let used_by = references
            .filter(|_| !trust_store)
            .and_then(|r| r.user_of(&path).or_else(|| builtin_default(&path)));
        let maker = references.filter(|_| !trust_store).and_then(|r| r.maker_of(&path));
        for found in &notes.certificates {
            let fact = Certificate {
                trust_store,
                used_by: used_by.clone(),
                replaced_at_first_boot: maker.clone(),
                ..found.certificate.clone()
            };
            out.push(observation(Fact::Certificate(fact), &file, found.range));
        }
        for range in &notes.unreadable_certificates {
            let fact = Trait {
                name: "unreadable-certificate".to_owned(),
                value: path.clone(),
                complete: Tri::Unknown(
                    "the block is marked as a certificate, but its structure cannot be read"
                        .to_owned(),
                ),
            };
            out.push(observation(Fact::Trait(fact), &file, *range));
        }
    }
}

fn observation(fact: Fact, file: &File<'_>, range: Range) -> Observation {
    Observation {
        fact,
        evidence: file.evidence(range),
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: Strength::Observed,
    }
}
