//! Private keys, and public keys that open a login.
//!
//! Establishes: every private key in PEM (PKCS#1, PKCS#8, SEC 1, OpenSSH), DER,
//! dropbear's own format and PKCS#12, with its size, whether a passphrase
//! protects it, its public half, and what it is for: which configuration names
//! it, which certificate it pairs with, whether it is a host key or a sample.
//! Every key of an `authorized_keys` file, with whether a server reads it.
//!
//! How: PEM is found by its first line in any content, programs included; the
//! other encodings by the structure of a whole file. The public half is put into
//! a SubjectPublicKeyInfo whose digest pairs it with certificates.
//!
//! False positives: a key beside its documentation that no rule recognises as a
//! sample has the role *unknown*, which accuses of nothing.
//!
//! False negatives: DER inside programs, JKS and PKCS#8 with a curve's seed alone
//! (the public half would need arithmetic) are not paired; keys that stand in
//! publications are not looked up.
//!
//! Sources: RFC 8017, 5208, 5958, 5915, 7292, 8410; OpenSSH `PROTOCOL.key`;
//! dropbear `signkey.c`; sshd(8) "AUTHORIZED_KEYS FILE FORMAT".

use std::collections::BTreeMap;

use proofmark_model::{
    Digest, Evidence, Fact, Observation, Strength, Tri,
    fact::{KeyRole, LoginKey, PrivateKey},
};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::{
    Notes, View,
    der::{self, Pem, element, oid, ssh_string, take},
    notes::Range,
    root::{File, Root},
    startup::{Startup, shell},
    text,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("keys", 1);

/// A private key as the bytes tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Algorithm.
    pub algorithm: String,
    /// Size in bits.
    pub bits: Option<u32>,
    /// Encoding.
    pub encoding: String,
    /// Protected by a passphrase.
    pub encrypted: bool,
    /// SHA-256 over the SubjectPublicKeyInfo.
    pub public: Option<Digest>,
    /// Its bytes.
    pub range: Range,
}

fn key(algorithm: &str, bits: Option<u32>, encoding: &str, spki: Option<Vec<u8>>) -> Key {
    Key {
        algorithm: algorithm.to_owned(),
        bits,
        encoding: encoding.to_owned(),
        encrypted: false,
        public: spki.map(|s| Digest::of(&s)),
        range: (0, 0),
    }
}

/// PKCS#1 RSAPrivateKey: version, n, e, d, p, q, ...
fn pkcs1(body: &[u8]) -> Option<Key> {
    let mut inner = take(&mut &body[..], 0x30)?;
    take(&mut inner, 2)?;
    let (n, e) = (take(&mut inner, 2)?, take(&mut inner, 2)?);
    let (_d, p) = (take(&mut inner, 2)?, take(&mut inner, 2)?);
    // A key of fewer bits is a number, not a key.
    (der::bits(n) >= 256 && der::bits(p) >= 64)
        .then(|| key("rsa", Some(der::bits(n)), "pkcs1", Some(der::rsa_spki(n, e))))
}

/// SEC 1 ECPrivateKey; the curve may come from outside.
fn sec1(body: &[u8], outer: Option<&[u8]>) -> Option<Key> {
    let mut inner = take(&mut &body[..], 0x30)?;
    if take(&mut inner, 2)? != [1] {
        return None;
    }
    let scalar = take(&mut inner, 4).filter(|s| (16..=72).contains(&s.len()))?;
    let mut own = take(&mut inner, 0xa0);
    let curve = own.as_mut().and_then(|p| take(p, 6)).or(outer);
    let point = take(&mut inner, 0xa1).and_then(|mut b| take(&mut b, 3)?.get(1..));
    let bits = curve.and_then(der::curve_bits).or(u32::try_from(scalar.len()).ok()?.checked_mul(8));
    Some(key("ec", bits, "sec1", curve.zip(point).map(|(c, p)| der::ec_spki(c, p))))
}

/// `DSA PRIVATE KEY` of OpenSSL: version, p, q, g, y, x.
fn dsa(body: &[u8]) -> Option<Key> {
    let mut inner = take(&mut &body[..], 0x30)?;
    take(&mut inner, 2)?;
    let (p, q, g, y) =
        (take(&mut inner, 2)?, take(&mut inner, 2)?, take(&mut inner, 2)?, take(&mut inner, 2)?);
    take(&mut inner, 2)?;
    let parameters = der::wrap(0x30, &[der::integer(p), der::integer(q), der::integer(g)].concat());
    let spki = der::spki(&[&der::wrap(6, oid::DSA), &parameters], &der::integer(y));
    Some(key("dsa", Some(der::bits(p)), "openssl-dsa", Some(spki)))
}

/// PKCS#8 PrivateKeyInfo.
fn pkcs8(body: &[u8]) -> Option<Key> {
    let mut inner = take(&mut &body[..], 0x30)?;
    take(&mut inner, 2)?;
    let mut algorithm = take(&mut inner, 0x30)?;
    let id = take(&mut algorithm, 6)?;
    let private = take(&mut inner, 4)?;
    let mut found = match id {
        oid::RSA => pkcs1(private)?,
        oid::EC => sec1(private, take(&mut algorithm, 6))?,
        oid::ED25519 | oid::ED448 => {
            // Version 2 carries the public key as [1].
            let _attributes = take(&mut inner, 0xa0);
            let public =
                take(&mut inner, 0x81).and_then(|b| b.get(1..)).filter(|_| id == oid::ED25519);
            let (name, bits) = if id == oid::ED25519 { ("ed25519", 256) } else { ("ed448", 456) };
            key(name, Some(bits), "", public.map(der::ed25519_spki))
        }
        oid::DSA => {
            let mut parameters = take(&mut algorithm, 0x30)?;
            key("dsa", take(&mut parameters, 2).map(der::bits), "", None)
        }
        _ => key("unknown", None, "", None),
    };
    found.encoding = "pkcs8".to_owned();
    Some(found)
}

/// EncryptedPrivateKeyInfo: an algorithm with parameters, and an octet string.
fn encrypted_pkcs8(body: &[u8]) -> Option<Key> {
    let mut inner = take(&mut &body[..], 0x30)?;
    let mut algorithm = take(&mut inner, 0x30)?;
    take(&mut algorithm, 6)?;
    take(&mut inner, 4).filter(|c| c.len() >= 32 && inner.is_empty())?;
    Some(Key { encrypted: true, ..key("unknown", None, "pkcs8", None) })
}

/// `openssh-key-v1`.
fn openssh(body: &[u8]) -> Option<Key> {
    let mut rest = body.strip_prefix(b"openssh-key-v1\0")?;
    let cipher = ssh_string(&mut rest)?;
    let (_kdf, _options) = (ssh_string(&mut rest)?, ssh_string(&mut rest)?);
    rest = rest.get(4..)?;
    let (name, bits, spki) = der::ssh_public(ssh_string(&mut rest)?)?;
    let algorithm = algorithm_of(&name);
    Some(Key { encrypted: cipher != b"none", ..key(algorithm, bits, "openssh", spki) })
}

fn algorithm_of(ssh: &str) -> &'static str {
    match ssh {
        "ssh-rsa" => "rsa",
        "ssh-dss" => "dsa",
        _ if ssh.contains("ed25519") => "ed25519",
        _ if ssh.contains("ecdsa") => "ec",
        _ => "unknown",
    }
}

/// dropbear: the public blob's fields, then the private ones, nothing after.
fn dropbear(body: &[u8]) -> Option<Key> {
    let mut rest = body;
    let name = ssh_string(&mut rest).filter(|n| n.len() < 40)?;
    let mut field = || ssh_string(&mut rest);
    let found = match name {
        b"ssh-rsa" => {
            let (e, n, d) = (field()?, field()?, field()?);
            if d.len() < 32 {
                return None;
            }
            while field().is_some() {}
            key("rsa", Some(der::bits(n)), "dropbear", Some(der::rsa_spki(n, e)))
        }
        b"ssh-dss" => {
            let (p, _q, _g, _y, _x) = (field()?, field()?, field()?, field()?, field()?);
            key("dsa", Some(der::bits(p)), "dropbear", None)
        }
        b"ssh-ed25519" => {
            let both = field().filter(|b| b.len() == 64)?;
            key("ed25519", Some(256), "dropbear", both.get(32..).map(der::ed25519_spki))
        }
        n if n.starts_with(b"ecdsa-sha2-") => {
            let curve = der::ssh_curve(field()?)?;
            let (point, _scalar) = (field()?, field()?);
            key("ec", der::curve_bits(curve), "dropbear", Some(der::ec_spki(curve, point)))
        }
        _ => return None,
    };
    rest.is_empty().then_some(found)
}

/// PFX: version 3 and a ContentInfo of type data.
fn pkcs12(body: &[u8]) -> Option<Key> {
    let mut inner = take(&mut &body[..], 0x30)?;
    if take(&mut inner, 2)? != [3] {
        return None;
    }
    let mut info = take(&mut inner, 0x30)?;
    (take(&mut info, 6)? == oid::PKCS7_DATA)
        .then(|| Key { encrypted: true, ..key("unknown", None, "pkcs12", None) })
}

/// A private key in a PEM block.
pub(crate) fn from_pem(pem: &Pem<'_>) -> Option<Key> {
    let protected =
        |encoding, algorithm: &str| Key { encrypted: true, ..key(algorithm, None, encoding, None) };
    let found = match pem.label {
        "RSA PRIVATE KEY" if pem.encrypted => protected("pkcs1", "rsa"),
        "EC PRIVATE KEY" if pem.encrypted => protected("sec1", "ec"),
        "DSA PRIVATE KEY" if pem.encrypted => protected("openssl-dsa", "dsa"),
        "RSA PRIVATE KEY" => pkcs1(&pem.body)?,
        "EC PRIVATE KEY" => sec1(&pem.body, None)?,
        "DSA PRIVATE KEY" => dsa(&pem.body)?,
        "PRIVATE KEY" => pkcs8(&pem.body)?,
        "ENCRYPTED PRIVATE KEY" => encrypted_pkcs8(&pem.body)?,
        "OPENSSH PRIVATE KEY" => openssh(&pem.body)?,
        _ => return None,
    };
    Some(Key { range: pem.range, ..found })
}

/// First stage, for a content that is one key in a binary encoding.
pub(crate) fn whole(bytes: &[u8], notes: &mut Notes) {
    if bytes.len() > 64 << 10 || bytes.len() < 40 {
        return;
    }
    let exact =
        bytes.first() == Some(&0x30) && element(bytes).is_some_and(|(_, _, rest)| rest.is_empty());
    let found = if exact {
        pkcs8(bytes)
            .or_else(|| pkcs1(bytes))
            .or_else(|| sec1(bytes, None))
            .or_else(|| pkcs12(bytes))
            .or_else(|| encrypted_pkcs8(bytes))
    } else if bytes.starts_with(&[0, 0, 0]) {
        dropbear(bytes)
    } else {
        None
    };
    notes.keys.extend(found.map(|k| Key { range: (0, bytes.len() as u64), ..k }));
}

/// Programs that make, remove or replace files.
const MAKERS: &[&str] = &[
    "rm",
    "ssh-keygen",
    "dropbearkey",
    "openssl",
    "px5g",
    "gen_key",
    "mv",
    "cp",
    "test",
    "chmod",
    "chown",
];

/// Configurations of a root that name a path, and the start-up lines that make files anew.
pub(crate) struct References<'a> {
    texts: Vec<(&'a str, &'a str)>,
    makers: Vec<(&'a str, shell::Command)>,
}

impl<'a> References<'a> {
    pub(crate) fn of(root: &'a Root<'_>) -> Self {
        let mut texts = Vec::new();
        let mut makers = Vec::new();
        for (path, file) in root.files() {
            let Some(text) = file.text() else { continue };
            texts.push((path, text));
            let makes = ["keygen", "dropbearkey", "openssl", "px5g", "gen_key", "rm "]
                .iter()
                .any(|m| text.contains(m));
            if makes && text::statements(text).next().is_some() {
                let commands = shell::commands(text, &mut shell::Variables::new());
                makers.extend(commands.into_iter().map(|c| (path, c)));
            }
        }
        Self { texts, makers }
    }

    /// The service whose configuration names the file, by the configuration's own name.
    pub(crate) fn user_of(&self, path: &str) -> Option<String> {
        const SERVICES: &[&str] = &[
            "uhttpd",
            "lighttpd",
            "nginx",
            "httpd",
            "apache",
            "boa",
            "thttpd",
            "goahead",
            "appweb",
            "dropbear",
            "sshd",
            "stunnel",
            "openvpn",
            "hostapd",
            "wpa_supplicant",
            "ipsec",
            "swanctl",
            "strongswan",
            "vsftpd",
            "mosquitto",
            "cwmp",
            "tr069",
            "snmpd",
            "radiusd",
            "postfix",
            "dovecot",
            "proftpd",
        ];
        let full = format!("/{path}");
        let named = |(config, text): &&(&str, &str)| {
            *config != path
                && names(text, &full)
                // A script that makes or removes the file does not use it.
                && (!text.starts_with("#!")
                    || shell::commands(text, &mut shell::Variables::new()).iter().any(|c| {
                        let first = c.words.first().map_or("", |w| w.rsplit('/').next().unwrap_or(w));
                        !MAKERS.contains(&first) && !first.starts_with('[') && c.words.iter().any(|w| names(w, &full))
                    }))
        };
        let (config, _) = self.texts.iter().find(named)?;
        let service = SERVICES.iter().find(|s| config.contains(**s)).copied();
        Some(service.unwrap_or(config).to_owned())
    }

    /// The line that makes the file anew although it is there.
    pub(crate) fn maker_of(&self, path: &str) -> Option<String> {
        let full = format!("/{path}");
        let name = |w: &str| {
            w == full || w.strip_suffix('*').is_some_and(|p| p.len() > 8 && full.starts_with(p))
        };
        self.makers.iter().find_map(|(script, command)| {
            let first = command.words.first()?.rsplit('/').next()?;
            let makes = MAKERS.contains(&first);
            // Made only where it is missing: what the image ships stays.
            let only_missing = command.conditions.iter().any(|c| c.words.iter().any(|w| name(w)));
            (makes && command.words.iter().skip(1).any(|w| name(w)) && !only_missing).then(|| {
                format!(
                    "{script}: {}",
                    command.words.join(" ").chars().take(120).collect::<String>()
                )
            })
        })
    }
}

/// Whether the text has the path as a whole word.
fn names(text: &str, path: &str) -> bool {
    text.match_indices(path).any(|(i, _)| {
        let after = text.get(i.saturating_add(path.len())..).and_then(|r| r.chars().next());
        after.is_none_or(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '-' | '_' | '/'))
    })
}

/// Folders of samples and self-tests.
pub(crate) fn is_sample(path: &str) -> bool {
    path.split('/').any(|p| {
        matches!(
            p,
            "test"
                | "tests"
                | "testdata"
                | "examples"
                | "example"
                | "demo"
                | "demos"
                | "sample"
                | "samples"
                | "doc"
                | "docs"
        )
    })
}

fn is_crypto_library(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    [
        "libmbed",
        "libpolarssl",
        "libcrypto",
        "libssl",
        "libwolfssl",
        "libcyassl",
        "libgnutls",
        "libmatrixssl",
        "libaxtls",
        "libtomcrypt",
    ]
    .iter()
    .any(|l| name.starts_with(l))
}

/// Second stage.
pub(crate) fn image(
    view: &View<'_>,
    roots: &[Root<'_>],
    startups: &[Startup],
    references: &[References<'_>],
    out: &mut Vec<Observation>,
) {
    let mut certificates: BTreeMap<Digest, (bool, &[String])> = BTreeMap::new();
    for (_, _, notes) in view.noted() {
        for c in &notes.certificates {
            certificates
                .insert(c.certificate.public, (c.certificate.authority, &c.certificate.usages));
        }
    }
    let homes = crate::root::homes(roots);
    for (id, artifact, notes) in view.noted() {
        for found in &notes.keys {
            let Some(file) = File::of(*view, id) else { continue };
            let home = homes.get(&id).copied();
            let path = home.map_or_else(|| artifact.locator.path(), |(_, p)| p.to_owned());
            let inside = home.and_then(|(i, _)| Some((startups.get(i)?, references.get(i)?)));
            let name = path.rsplit('/').next().unwrap_or(&path);
            let host = (name.starts_with("ssh_host_") && name.ends_with("_key"))
                || (name.starts_with("dropbear_") && name.ends_with("_key"));
            let pair = found.public.and_then(|p| certificates.get(&p));
            let used_by = match (host, inside) {
                (true, Some((s, _))) => {
                    Some(if name.starts_with("dropbear") { "dropbear" } else { "sshd" }.to_owned())
                        .filter(|u| s.runs(&[u.as_str()]) != Tri::No)
                }
                (_, Some((_, r))) => r.user_of(&path).or_else(|| builtin_default(&path)),
                _ => None,
            };
            let usage = |u: &str| pair.is_some_and(|(_, us)| us.iter().any(|x| x == u));
            let role = if host {
                KeyRole::SshHost
            } else if is_sample(&path) || (notes.program.is_some() && is_crypto_library(&path)) {
                KeyRole::TestVector
            } else if pair.is_some_and(|(authority, _)| *authority) && used_by.is_none() {
                KeyRole::Authority
            } else if usage("codeSigning") {
                KeyRole::CodeSigning
            } else if usage("clientAuth") && !usage("serverAuth") || path.contains(".ssh/id_") {
                KeyRole::Client
            } else if used_by.is_some() || pair.is_some() {
                KeyRole::Server
            } else {
                KeyRole::Unknown
            };
            let fact = PrivateKey {
                algorithm: found.algorithm.clone(),
                bits: found.bits,
                encoding: found.encoding.clone(),
                encrypted: found.encrypted,
                role,
                public: found.public,
                used_by,
                published: None,
                replaced_at_first_boot: inside.and_then(|(_, r)| r.maker_of(&path)),
            };
            out.push(observation(Fact::PrivateKey(fact), file.evidence(found.range)));
        }
    }
    for (root, startup) in roots.iter().zip(startups) {
        login_keys(root, startup, out);
    }
}

/// Paths that servers read without being told to.
pub(crate) fn builtin_default(path: &str) -> Option<String> {
    match path {
        "etc/uhttpd.key" | "etc/uhttpd.crt" => Some("uhttpd".to_owned()),
        "etc/stunnel/stunnel.pem" => Some("stunnel".to_owned()),
        _ => None,
    }
}

fn observation(fact: Fact, evidence: Evidence) -> Observation {
    Observation {
        fact,
        evidence,
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: Strength::Observed,
    }
}

/// `SHA256:...` as ssh-keygen prints it.
fn fingerprint(blob: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    format!("SHA256:{}", crate::crypt::high_first(&sha2::Sha256::digest(blob), ALPHABET))
}

/// One line of an authorized_keys file: algorithm, bits, fingerprint, comment.
fn login_key(line: &str) -> Option<(String, Option<u32>, String, Option<String>)> {
    // Options may stand before the algorithm; quotes in them may hold blanks.
    let words = text::words(line);
    let at = words.iter().position(|w| {
        w.starts_with("ssh-")
            || w.starts_with("ecdsa-sha2-")
            || w.starts_with("sk-ssh-")
            || w.starts_with("sk-ecdsa-")
    })?;
    let blob = der::base64(words.get(at.checked_add(1)?)?.as_bytes())?;
    let (algorithm, bits, _) = der::ssh_public(&blob)?;
    let comment = words.get(at.checked_add(2)?..).map(|c| c.join(" ")).filter(|c| !c.is_empty());
    Some((algorithm, bits, fingerprint(&blob), comment))
}

fn login_keys(root: &Root<'_>, startup: &Startup, out: &mut Vec<Observation>) {
    for (path, file) in root.files() {
        let name = path.rsplit('/').next().unwrap_or(path);
        let Some(text) = file.text().filter(|_| name.starts_with("authorized_keys")) else {
            continue;
        };
        let parts: Vec<&str> = path.split('/').collect();
        let user = match parts.as_slice() {
            ["root", ..] | ["etc", "dropbear", _] => Some("root"),
            ["home", user, ..] => Some(*user),
            ["etc", "ssh", "authorized_keys", user] => Some(*user),
            _ => None,
        };
        let (ssh, dropbear) = (
            startup.runs(&["sshd", "ssh", "ssh.service", "sshd.service"]),
            startup.runs(&["dropbear", "dropbear.service"]),
        );
        let elsewhere = custom_path(root);
        let in_home = path.contains("/.ssh/authorized_keys") || path.starts_with(".ssh/");
        let by_dropbear = in_home || path == "etc/dropbear/authorized_keys";
        let by_sshd = match &elsewhere {
            Some(pattern) => pattern.split_whitespace().any(|p| {
                path.ends_with(p.trim_start_matches("%h/").trim_start_matches('/'))
                    || (p.contains("%u") && path.starts_with("etc/"))
            }),
            None => in_home,
        };
        let candidates = [(by_sshd, ssh, "sshd"), (by_dropbear, dropbear, "dropbear")];
        let honoured = candidates
            .iter()
            .filter(|(reads, _, _)| *reads)
            .map(|(_, runs, _)| runs.clone())
            .min()
            .unwrap_or(Tri::No);
        for line in text::statements(text) {
            let Some((algorithm, bits, fingerprint, comment)) = login_key(line.text) else {
                continue;
            };
            let fact = LoginKey {
                user: user.map(str::to_owned),
                algorithm,
                bits,
                fingerprint,
                comment,
                honoured: honoured.clone(),
            };
            out.push(observation(Fact::LoginKey(fact), file.evidence(line.range)));
        }
    }
}

/// `AuthorizedKeysFile` of the root's sshd, if it is set.
fn custom_path(root: &Root<'_>) -> Option<String> {
    let (_, config) = root.text("etc/ssh/sshd_config")?;
    text::statements(config).find_map(|l| {
        let (key, value) = l.text.trim().split_once(char::is_whitespace)?;
        key.eq_ignore_ascii_case("AuthorizedKeysFile").then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests;
