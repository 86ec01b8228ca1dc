//! The kernels of an image, as vulnerabilities are matched with them.

use std::{collections::HashMap, sync::Arc};

use proofmark_advisories::{
    kernel::KernelPicture,
    matching::{Occurrence, Query},
};
use proofmark_model::{Artifact, ComponentRef, Evidence, Fact, Locator, fact::Kernel};

use crate::matching::Ground;

/// What an image has beside its kernels and tells about them, gathered in one pass.
pub struct Beside<'a> {
    /// Names of modules by release.
    modules: HashMap<String, Vec<String>>,
    /// Symbol tables with their places.
    symbols: Vec<(&'a Locator, &'a [String])>,
}

impl<'a> Beside<'a> {
    /// Looks at every artifact once.
    pub fn of(ground: &Ground<'a>) -> Self {
        let mut modules: HashMap<String, Vec<String>> = HashMap::new();
        for artifact in ground.artifacts {
            let path = artifact.locator.path();
            if let Some((release, module)) = module(&path) {
                modules.entry(release.to_owned()).or_default().push(module);
            }
        }
        let tables = ground.artifacts.iter().zip(ground.notes).filter_map(|(a, notes)| {
            let symbols = notes.as_ref()?.kernel_symbols.as_slice();
            (!symbols.is_empty()).then_some((&a.locator, symbols))
        });
        Self { modules, symbols: tables.collect() }
    }

    /// What is known of one kernel.
    pub fn picture(&self, kernel: &Kernel, place: &Locator) -> KernelPicture {
        // The banner is often read off the image, the symbols off what is packed in it.
        let near = |other: &Locator| {
            other.steps.starts_with(&place.steps) || place.steps.starts_with(&other.steps)
        };
        let symbols = self.symbols.iter().find(|(at, _)| near(at));
        let symbols = symbols.map(|(_, s)| s.to_vec()).unwrap_or_default();
        let whole = matches!(kernel.config_source.as_str(), "embedded" | "file");
        KernelPicture {
            release: release(kernel),
            machine: kernel.machine.clone(),
            config: kernel.config.clone(),
            config_complete: whole && kernel.config.len() > 100,
            modules: self.modules.get(&kernel.release).cloned().unwrap_or_default(),
            // A table counts its names, and all of them were read.
            symbols_complete: !symbols.is_empty(),
            symbols,
            ..KernelPicture::default()
        }
    }

    /// The kernel as a component to be matched.
    pub fn query(&self, kernel: &Kernel, artifact: &Artifact) -> (Query, Evidence) {
        let version = release(kernel);
        let component = ComponentRef {
            name: "linux".to_owned(),
            purl: Some(format!("pkg:generic/linux@{version}")),
            cpes: vec![format!("cpe:2.3:o:linux:linux_kernel:{version}:*:*:*:*:*:*:*")],
            version: Some(version),
        };
        let place = Evidence::one(artifact.locator.clone());
        let occurrence = Occurrence {
            digest: artifact.sha256,
            evidence: Some(place.clone()),
            kernel: Some(Arc::new(self.picture(kernel, &artifact.locator))),
            ..Occurrence::default()
        };
        let query =
            Query { component: Some(component), occurrences: vec![occurrence], ..Query::default() };
        (query, place)
    }
}

/// What is known of every kernel, with its place.
pub fn pictures(ground: &Ground<'_>) -> Vec<(Locator, KernelPicture)> {
    let beside = Beside::of(ground);
    let kernels = ground.observations.iter().filter_map(|o| match &o.fact {
        Fact::Kernel(k) => Some((k, o.evidence.first().whole())),
        _ => None,
    });
    kernels.map(|(k, place)| (place.clone(), beside.picture(k, &place))).collect()
}

/// Release and name of a module by its path: `lib/modules/6.1.0/kernel/net/x.ko.xz`.
fn module(path: &str) -> Option<(&str, String)> {
    let (release, rest) = path.split_once("lib/modules/")?.1.split_once('/')?;
    let file = rest.rsplit('/').next()?;
    let stem = file.split_once(".ko").filter(|(_, rest)| rest.len() <= 4)?.0;
    Some((release, stem.replace('-', "_")))
}

/// The upstream release of a kernel. Debian puts the revision of its interface into `uname -r` and the release it is made
/// from behind its name in the banner.
fn release(kernel: &Kernel) -> String {
    let digits = |v: &str| v.split('.').count() >= 2 && v.starts_with(|c: char| c.is_ascii_digit());
    kernel
        .banner
        .split_once(" Debian ")
        .and_then(|(_, rest)| rest.split(['-', ' ']).next())
        .filter(|v| digits(v))
        .unwrap_or(&kernel.release)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn modules_by_path() {
        let found = module("/squashfs/lib/modules/5.4.1/kernel/net/sch-red.ko.zst");
        assert_eq!(found, Some(("5.4.1", "sch_red".to_owned())));
        assert_eq!(module("lib/modules/5.4.1/modules.dep"), None);
    }

    #[test]
    fn releases_of_kernels() {
        let kernel = |release: &str, banner: &str| Kernel {
            release: release.into(),
            banner: banner.into(),
            config_source: "none".into(),
            config: BTreeMap::new(),
            machine: None,
        };
        let debian =
            "Linux version 6.1.0-50-amd64 (a@b) (gcc) #1 SMP Debian 6.1.176-1 (2026-07-02)";
        assert_eq!(release(&kernel("6.1.0-50-amd64", debian)), "6.1.176");
        assert_eq!(release(&kernel("5.15.137", "Linux version 5.15.137 (a@b) #0")), "5.15.137");
    }
}
