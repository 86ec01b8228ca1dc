//! What a build system says it put into the image: Yocto's manifests and Buildroot's table of licences.

use super::{licence, package};
use crate::{notes::Range, packages::Recorded, text};

pub fn is(path: &str, name: &str) -> bool {
    name.ends_with(".manifest") || (name == "manifest.csv" && path.contains("legal-info"))
}

pub fn read(text: &str) -> Vec<Recorded> {
    if text.starts_with("PACKAGE NAME:") {
        stanzas(text)
    } else if text.starts_with("\"PACKAGE\",\"VERSION\"") {
        table(text)
    } else {
        lines(text)
    }
}

/// Yocto's `license.manifest`.
fn stanzas(text: &str) -> Vec<Recorded> {
    let mut out: Vec<Recorded> = Vec::new();
    let (mut name, mut recipe, mut start) = (String::new(), None::<String>, 0);
    for line in text::lines(text) {
        match line.text.split_once(": ") {
            Some(("PACKAGE NAME", v)) => {
                (name, recipe, start) = (v.to_owned(), None, line.range.0);
            }
            Some(("PACKAGE VERSION", v)) => {
                out.extend(package("yocto", &name, v, (start, line.range.1)));
            }
            Some(("RECIPE NAME", v)) => recipe = Some(v.to_owned()),
            Some(("LICENSE", v)) => {
                if let Some(last) = out.last_mut().filter(|l| l.package.name == name) {
                    last.package.license = licence(v);
                    last.package.source = recipe.take();
                    last.range.1 = line.range.1;
                }
            }
            _ => {}
        }
    }
    out
}

/// Yocto's image manifest: name, architecture and version in each line. One line of another kind means that the file
/// is something else.
fn lines(text: &str) -> Vec<Recorded> {
    let mut out = Vec::new();
    for line in text::lines(text).filter(|l| !l.text.is_empty()) {
        let mut words = line.text.split(' ');
        let (Some(name), Some(architecture), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Vec::new();
        };
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let digits = version.contains(|c: char| c.is_ascii_digit());
        if !digits || name.contains('/') || !architecture.chars().all(word) {
            return Vec::new();
        }
        out.extend(package("yocto", name, version, line.range).map(|mut r| {
            r.package.architecture = Some(architecture.to_owned());
            r
        }));
    }
    out
}

/// Buildroot's `manifest.csv`: every field in quotation marks.
fn table(text: &str) -> Vec<Recorded> {
    let row = |line: text::Line<'_>| -> Option<Recorded> {
        let inner = line.text.trim().strip_prefix('"')?.strip_suffix('"')?;
        let mut fields = inner.split("\",\"");
        let (name, version, license) = (fields.next()?, fields.next()?, fields.next());
        let range: Range = line.range;
        let mut recorded = package("buildroot", name, version, range)?;
        recorded.package.license = license.and_then(licence);
        Some(recorded)
    };
    text::lines(text).skip(1).filter_map(row).collect()
}
