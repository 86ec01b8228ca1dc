//! Documents of others that are given beside an image: bills of materials and statements about vulnerabilities.

use std::{
    env, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use proofmark_advisories::{
    decisions::{Bound, Decision, Ruling},
    sbom,
};
use proofmark_model::{ComponentRef, Digest, Dismissal, assessment::DataVersion};
use proofmark_report::vex::{self, Justification, Status};

use crate::failure::{Code, Failure};

/// Bytes of a document; one of a whole product has some megabytes.
const LARGEST: u64 = 256 << 20;

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut out = Vec::new();
    let file = fs::File::open(path).map_err(|e| Failure::input(path, &e))?;
    file.take(LARGEST.saturating_add(1))
        .read_to_end(&mut out)
        .map_err(|e| Failure::input(path, &e))?;
    if out.len() as u64 > LARGEST {
        let message = format!("{}: more than {LARGEST} bytes; no such document is", path.display());
        return Err(Failure::new(Code::Input, message));
    }
    Ok(out)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where the user's own database of advisories lies.
pub fn own_database() -> Option<PathBuf> {
    let absolute = |p: std::ffi::OsString| Some(PathBuf::from(p)).filter(|p| p.is_absolute());
    let base = env::var_os("XDG_DATA_HOME")
        .and_then(absolute)
        .or_else(|| Some(env::var_os("HOME").and_then(absolute)?.join(".local/share")))?;
    Some(base.join("proofmark").join("advisories.db"))
}

/// What a bill of materials claims.
pub fn claimed(path: &Path) -> Result<(DataVersion, Vec<ComponentRef>), Failure> {
    let bytes = bytes(path)?;
    let read = sbom::parse(&bytes)
        .map_err(|e| Failure::new(Code::Input, format!("{}: {e}", path.display())))?;
    let document =
        DataVersion { id: name(path), version: read.format, sha256: Some(Digest::of(&bytes)) };
    Ok((document, read.queries.into_iter().filter_map(|q| q.component).collect()))
}

/// Statements of all documents, as decisions. What names no content is left out: it could not be told whether it
/// holds here.
pub fn decisions(paths: &[impl AsRef<Path>]) -> Result<Vec<Decision>, Failure> {
    let mut out = Vec::new();
    for path in paths {
        let path = path.as_ref();
        let wrong = |e: String| Failure::new(Code::Input, format!("{}: {e}", path.display()));
        let text = String::from_utf8(bytes(path)?).map_err(|e| wrong(e.to_string()))?;
        let read = vex::read(&text).map_err(|e| wrong(e.to_string()))?;
        out.extend(read.statements.iter().filter_map(|s| decision(s, &name(path))));
    }
    out.sort();
    out.dedup();
    Ok(out)
}

fn decision(s: &vex::Statement, origin: &str) -> Option<Decision> {
    let ruling = match s.status {
        Status::NotAffected(why) => Ruling::NotAffected(match why {
            Justification::ComponentNotPresent => Dismissal::ComponentNotPresent,
            Justification::VulnerableCodeNotPresent => Dismissal::VulnerableCodeNotPresent,
            Justification::VulnerableCodeNotInExecutePath
            | Justification::VulnerableCodeCannotBeControlledByAdversary => {
                Dismissal::VulnerableCodeNotInExecutePath
            }
            Justification::InlineMitigationsAlreadyExist => {
                Dismissal::InlineMitigationsAlreadyExist
            }
            Justification::Stated => Dismissal::VersionNotAffected,
        }),
        Status::Fixed => Ruling::NotAffected(Dismissal::FixedByDistributor),
        Status::UnderInvestigation => Ruling::UnderInvestigation,
        Status::Affected => Ruling::Affected,
    };
    // `pkg:generic/busybox@1.36.1`: the component goes by its name.
    let stem = s.product.purl.split(['@', '?', '#']).next()?;
    Some(Decision {
        vulnerability: s.vulnerability.clone(),
        component: stem.rsplit('/').next()?.to_owned(),
        bound: [Bound::Content(s.product.content?)].into(),
        ruling,
        detail: s.detail.clone(),
        origin: origin.to_owned(),
    })
}
