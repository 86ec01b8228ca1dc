//! Package URLs in feeds, named as OSV names ecosystems.

use crate::record::Subject;

/// Package of a package URL; none where it is not one.
pub fn package(text: &str) -> Option<Subject> {
    Some(parts(text)?.0)
}

/// Package and version of a package URL.
pub fn parts(text: &str) -> Option<(Subject, Option<String>)> {
    let rest = text.trim().strip_prefix("pkg:")?.trim_start_matches('/');
    let rest = rest.split('#').next()?;
    let (path, qualifiers) = rest.split_once('?').unwrap_or((rest, ""));
    let (path, version) = match path.rsplit_once('@') {
        // An `@` at the beginning of a name (npm's scopes) is no version.
        Some((path, version)) if !version.contains('/') && !path.is_empty() => {
            (path, Some(decode(version)?))
        }
        _ => (path, None),
    };
    let (kind, name) = path.split_once('/')?;
    let (kind, name) = (kind.to_ascii_lowercase(), decode(name.trim_matches('/'))?);
    let (namespace, base) = name.rsplit_once('/').map_or(("", name.as_str()), |(n, b)| (n, b));
    let release = qualifiers.split('&').find_map(|q| q.strip_prefix("distro=")).unwrap_or_default();
    let distribution = |name: &str| {
        let number = release.rsplit('-').next().unwrap_or_default();
        if number.starts_with(|c: char| c.is_ascii_digit()) {
            format!("{name}:{number}")
        } else {
            name.to_owned()
        }
    };
    let (ecosystem, name) = match (kind.as_str(), namespace) {
        ("deb", "ubuntu") => (distribution("Ubuntu"), base.to_owned()),
        ("deb", _) => (distribution("Debian"), base.to_owned()),
        ("apk", _) => (distribution("Alpine").replace(':', ":v"), base.to_owned()),
        ("opkg", _) => (distribution("OpenWrt"), base.to_owned()),
        ("rpm", "redhat") => ("Red Hat".to_owned(), base.to_owned()),
        ("rpm", vendor) => (vendor.to_owned(), base.to_owned()),
        ("pypi", _) => ("PyPI".to_owned(), name),
        ("npm", _) => ("npm".to_owned(), name),
        ("cargo", _) => ("crates.io".to_owned(), name),
        ("golang", _) => ("Go".to_owned(), name),
        ("gem", _) => ("RubyGems".to_owned(), name),
        ("nuget", _) => ("NuGet".to_owned(), name),
        ("composer", _) => ("Packagist".to_owned(), name),
        ("maven", group) => ("Maven".to_owned(), format!("{group}:{base}")),
        ("generic", _) => ("generic".to_owned(), name),
        (other, _) => (other.to_owned(), name),
    };
    (!name.is_empty())
        .then_some((Subject::Package { ecosystem, name }, version.filter(|v| !v.is_empty())))
}

/// Percent-encoding taken off.
fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let digit = |b: Option<u8>| char::from(b?).to_digit(16);
            let value = digit(bytes.next())?.checked_mul(16)?.checked_add(digit(bytes.next())?)?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(b);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages() {
        let of = |t: &str| match parts(t) {
            Some((Subject::Package { ecosystem, name }, version)) => {
                format!("{ecosystem} {name} {}", version.unwrap_or_default())
            }
            other => format!("{other:?}"),
        };
        assert_eq!(
            of("pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=debian-12"),
            "Debian:12 openssl 3.0.11-1~deb12u2"
        );
        assert_eq!(of("pkg:npm/%40scope/name@1.2"), "npm @scope/name 1.2");
        assert_eq!(
            of("pkg:apk/alpine/busybox@1.36.1-r2?distro=3.18"),
            "Alpine:v3.18 busybox 1.36.1-r2"
        );
        assert_eq!(of("pkg:maven/org.a/b@1"), "Maven org.a:b 1");
        assert_eq!(of("pkg:generic/curl"), "generic curl ");
        for bad in ["", "pkg:", "pkg:deb", "http://x/y", "pkg:npm/%zz", "pkg:npm/"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
