//! Kernels: version, banner and configuration.
//!
//! Establishes: each Linux kernel in the image with its release, banner and
//! build configuration, where that is embedded or lies beside it; the release
//! that kernel modules were built for.
//!
//! How: the unpacking engine leaves the banner as an attribute and an embedded
//! configuration as an entry `kernel-config`; where a kernel lies in bytes that no
//! format claimed, its banner is found by its shape. `boot/config-RELEASE` is
//! joined by its release.
//!
//! False positives: none known; a banner in a log has no builder in brackets and
//! a NUL behind its line end.
//!
//! False negatives: kernels that are encrypted or compressed beyond reading.
//!
//! Limits: a kernel that is found twice (a container and its content) is told
//! once per content.
//!
//! Sources: Linux `init/version.c`, `kernel/configs.c`, `scripts/extract-ikconfig`.

use std::collections::BTreeMap;

use memchr::memmem;
use proofmark_model::{
    ArtifactId, Evidence, Fact, Observation, Strength, Tri,
    fact::{Kernel, Trait},
};
use serde::{Deserialize, Serialize};

use crate::{Notes, View, notes::Range, text};

/// Id and revision.
pub const REVISION: (&str, u32) = ("kernel", 1);

/// A banner found in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banner {
    /// The line.
    pub text: String,
    /// Its bytes.
    pub range: Range,
}

/// The mark that banners begin with.
pub(crate) const MARK: &[u8] = b"Linux version ";

/// The banner at `at`, if one stands there: version, builder, compiler, number, line end, NUL.
pub(crate) fn banner_at(bytes: &[u8], at: usize) -> Option<Banner> {
    let rest = bytes.get(at..)?;
    let line = rest.get(..rest.len().min(1024))?;
    let end = memchr::memchr(b'\n', line)?;
    let text = std::str::from_utf8(line.get(..end)?).ok()?;
    let version = text.strip_prefix("Linux version ")?;
    let shaped = version.starts_with(|c: char| c.is_ascii_digit())
        && version.contains(" (")
        && version.contains(") #")
        && !text.contains(char::is_control);
    let nul = rest.get(end.checked_add(1)?) == Some(&0);
    let stop = at.checked_add(end)? as u64;
    (shaped && nul).then(|| Banner { text: text.to_owned(), range: (at as u64, stop) })
}

/// Whether a text is a kernel's configuration.
pub(crate) fn is_config(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(16 << 10)).unwrap_or_default();
    text::is_text(head)
        && memmem::find_iter(head, b"\nCONFIG_").take(8).count() == 8
        && (memmem::find(head, b"Kernel Configuration").is_some()
            || memmem::find(head, b"Linux kernel version").is_some())
}

/// First stage: options that are set.
pub(crate) fn config(bytes: &[u8], notes: &mut Notes) {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(2 << 20)).unwrap_or_default());
    for line in text.lines() {
        if let Some((key, value)) = line.strip_prefix("CONFIG_").and_then(|l| l.split_once('=')) {
            notes.kernel_config.insert(key.to_owned(), value.trim().trim_matches('"').to_owned());
        } else if let Some(version) = line.strip_prefix("# Linux/") {
            // `# Linux/mips 5.15.137 Kernel Configuration`
            notes.kernel_release = version.split_whitespace().nth(1).map(str::to_owned);
        }
    }
}

fn release(banner: &str) -> &str {
    banner.strip_prefix("Linux version ").and_then(|r| r.split(' ').next()).unwrap_or("")
}

struct Found {
    id: ArtifactId,
    banner: String,
    evidence: Evidence,
    machine: Option<String>,
}

/// Releases of the kernels found in the image.
pub(crate) fn image(view: &View<'_>, out: &mut Vec<Observation>) -> Vec<String> {
    let mut found: Vec<Found> = Vec::new();
    let mut configs: Vec<(ArtifactId, &Notes, &proofmark_model::Artifact)> = Vec::new();
    let mut vermagics: BTreeMap<String, (u64, Evidence)> = BTreeMap::new();
    for (i, artifact) in view.artifacts.iter().enumerate() {
        let Ok(id) = u32::try_from(i).map(ArtifactId) else { break };
        let notes = view.notes(id);
        if let Some(banner) =
            artifact.attributes.get("banner").filter(|b| b.starts_with("Linux version "))
        {
            found.push(Found {
                id,
                banner: banner.clone(),
                evidence: Evidence::one(artifact.locator.clone()),
                machine: artifact.attributes.get("machine").cloned(),
            });
        } else if let Some(notes) = notes {
            for banner in notes.banners.iter().take(4) {
                found.push(Found {
                    id,
                    banner: banner.text.clone(),
                    evidence: Evidence::one(artifact.locator.at(banner.range.0, banner.range.1)),
                    machine: notes.program.as_ref().map(|p| p.executable.machine.clone()),
                });
            }
        }
        let Some(notes) = notes else { continue };
        if !notes.kernel_config.is_empty() {
            configs.push((id, notes, artifact));
        }
        if let Some(vermagic) = notes.program.as_ref().and_then(|p| p.vermagic.as_ref()) {
            let place = Evidence::one(artifact.locator.clone());
            let seen = vermagics.entry(vermagic.clone()).or_insert((0, place));
            seen.0 = seen.0.saturating_add(1);
        }
    }
    // A wrapper and what it wraps carry the same banner; the innermost one is told.
    let inner: Vec<bool> = found
        .iter()
        .map(|f| {
            !found.iter().any(|g| g.id != f.id && g.banner == f.banner && inside(view, g.id, f.id))
        })
        .collect();
    let mut releases = Vec::new();
    for f in found.iter().zip(&inner).filter(|(_, keep)| **keep).map(|(f, _)| f) {
        let release = release(&f.banner);
        let embedded = configs.iter().find(|(id, _, _)| inside(view, *id, f.id));
        let beside = || {
            configs.iter().find(|(_, notes, artifact)| {
                artifact.locator.path().ends_with(&format!("config-{release}"))
                    || notes.kernel_release.as_deref() == Some(release)
            })
        };
        let (source, config) = match (embedded, beside()) {
            (Some(c), _) => ("embedded", Some(c)),
            (None, Some(c)) => ("file", Some(c)),
            (None, None) => ("none", None),
        };
        let mut evidence = f.evidence.clone();
        if let Some((_, _, artifact)) = config {
            evidence.push(artifact.locator.clone());
        }
        releases.push(release.to_owned());
        let fact = Kernel {
            release: release.to_owned(),
            banner: f.banner.clone(),
            config_source: source.to_owned(),
            config: config.map(|(_, n, _)| n.kernel_config.clone()).unwrap_or_default(),
            machine: f.machine.clone(),
        };
        out.push(observation(Fact::Kernel(fact), evidence));
    }
    for (vermagic, (count, evidence)) in vermagics {
        let fact = Trait {
            name: "module-vermagic".to_owned(),
            value: vermagic.clone(),
            complete: Tri::Yes,
        };
        let _ = count;
        if releases.is_empty()
            && let Some(release) = vermagic.split(' ').next()
        {
            releases.push(release.to_owned());
        }
        out.push(observation(Fact::Trait(fact), evidence));
    }
    releases
}

/// Whether `id` lies inside `outer`.
fn inside(view: &View<'_>, id: ArtifactId, outer: ArtifactId) -> bool {
    // A parent stands before its children, so the walk ends.
    std::iter::successors(view.artifact(id).and_then(|a| a.parent), |p| {
        view.artifact(*p).and_then(|a| a.parent)
    })
    .take(256)
    .any(|p| p == outer)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn banner_and_configuration() {
        let mut config = "#\n# Linux/mips 5.15.137 Kernel Configuration\n#\n".to_owned();
        for i in 0..20 {
            config.push_str(&format!("CONFIG_A{i}=y\n# CONFIG_B{i} is not set\n"));
        }
        config.push_str("CONFIG_CMDLINE=\"console=ttyS0\"\n");
        let kernel = b"\x00\x01junkLinux version 5.15.137 (a@b) (gcc 12) #0 Mon\n\0more".to_vec();
        let tree = Tree::new()
            .file("boot/vmlinux.bin", kernel)
            .file("boot/config-5.15.137", config)
            .file("var/log/boot", "Linux version 4.1 (x) (y) #1\nnext");
        let all = tree.facts(|f| match f {
            Fact::Kernel(k) => Some(k),
            _ => None,
        });
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].release.as_str(), all[0].config_source.as_str()), ("5.15.137", "file"));
        assert_eq!(all[0].config["CMDLINE"], "console=ttyS0");
        assert_eq!(
            (all[0].config.get("A3").unwrap().as_str(), all[0].config.get("B3")),
            ("y", None)
        );
    }
}
