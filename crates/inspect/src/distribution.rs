//! Which distribution a root file system is, in which release.
//!
//! Establishes: the trait `distribution`, `ID RELEASE` in the words of os-release (`debian 12`, `openwrt
//! 23.05.2`, `alpine 3.18.4`).
//!
//! How: `os-release` in `/etc` or `/usr/lib`, else the release files that distributions kept before it.
//!
//! False positives: a vendor that derives from a distribution and keeps its os-release.
//!
//! False negatives: images without any of the files, or with a made-up id.
//!
//! Limits: the release is what the file says; point releases are not checked against packages.
//!
//! Sources: freedesktop.org os-release(5); OpenWrt `base-files` (`/etc/openwrt_release`); Debian `base-files`
//! (`/etc/debian_version`); Alpine `alpine-base` (`/etc/alpine-release`).

use proofmark_model::{Fact, Observation, Strength, Tri, fact::Trait};

use crate::{
    root::{File, Root},
    text,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("distribution", 1);

/// Value of `KEY=value` lines, without quotation marks.
fn value<'t>(text: &'t str, key: &str) -> Option<(&'t str, (u64, u64))> {
    text::lines(text).find_map(|line| {
        let value = line.text.strip_prefix(key)?.strip_prefix('=')?.trim();
        Some((value.trim_matches(['"', '\'']), line.range))
    })
}

/// Id, release, the file that says it and where in it.
fn read<'a>(root: &Root<'a>) -> Option<(String, String, File<'a>, (u64, u64))> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        let Some((file, text)) = root.text(path) else { continue };
        let Some((id, range)) = value(text, "ID") else { continue };
        // Rolling releases have none.
        let release = value(text, "VERSION_ID").map_or("", |(v, _)| v);
        return Some((id.to_owned(), release.to_owned(), file, range));
    }
    if let Some((file, text)) = root.text("etc/openwrt_release") {
        let (release, range) = value(text, "DISTRIB_RELEASE")?;
        return Some(("openwrt".into(), release.to_owned(), file, range));
    }
    for (path, id) in [("etc/alpine-release", "alpine"), ("etc/debian_version", "debian")] {
        let Some((file, text)) = root.text(path) else { continue };
        let release = text.trim();
        if release.starts_with(|c: char| c.is_ascii_digit()) {
            return Some((id.into(), release.to_owned(), file, (0, text.len() as u64)));
        }
    }
    None
}

pub(crate) fn image(roots: &[Root<'_>], out: &mut Vec<Observation>) {
    for root in roots {
        let Some((id, release, file, range)) = read(root) else { continue };
        let value = format!("{} {release}", id.to_ascii_lowercase()).trim_end().to_owned();
        out.push(Observation {
            fact: Fact::Trait(Trait { name: "distribution".into(), value, complete: Tri::Yes }),
            evidence: file.evidence(range),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength: Strength::Observed,
        });
    }
}

#[cfg(test)]
mod tests {
    use proofmark_model::Fact;

    use crate::testing::Tree;

    fn of(files: &[(&str, &str)]) -> Vec<String> {
        let tree = Tree::new().file("etc/passwd", "root:x:0:0::/:/bin/sh\n").file("bin/sh", "x");
        let tree = files.iter().fold(tree, |t, (path, text)| t.file(path, text));
        tree.facts(|f| match f {
            Fact::Trait(t) if t.name == "distribution" => Some(t.value),
            _ => None,
        })
    }

    #[test]
    fn from_whatever_there_is() {
        let os = "NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n";
        assert_eq!(of(&[("usr/lib/os-release", os)]), ["debian 12"]);
        assert_eq!(of(&[("etc/os-release", "ID=\"Arch\"\n")]), ["arch"]);
        let openwrt = "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='23.05.2'\n";
        assert_eq!(of(&[("etc/openwrt_release", openwrt)]), ["openwrt 23.05.2"]);
        assert_eq!(of(&[("etc/alpine-release", "3.18.4\n")]), ["alpine 3.18.4"]);
        assert_eq!(of(&[("etc/debian_version", "12.4\n")]), ["debian 12.4"]);
        assert_eq!(of(&[("etc/debian_version", "trixie/sid\n")]), Vec::<String>::new());
        assert_eq!(of(&[("etc/os-release", "VERSION_ID=3\n")]), Vec::<String>::new());
    }
}
