//! Versions: how each product writes them and how they are ordered.
//!
//! A comparison may end without an answer: a commit hash, a word nobody has defined, a kernel release that hides its
//! patch level. Nothing is concluded from such a comparison.

mod distribution;
mod language;
mod upstream;

use std::cmp::Ordering;

use crate::record::Range;

/// Longer text is no version.
const LONGEST: usize = 160;

/// How the versions of a product are written and ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Scheme {
    /// Numbers with dots, letters of patch releases, words of pre-releases and patch levels. Fits most of what is
    /// written in C; PPP, hostapd, wolfSSL, sudo, NTP, curl, Samba and ProFTPD are instances of it.
    #[default]
    Generic,
    /// Semantic Versioning 2.0, Cargo, npm, Go with its pseudo-versions.
    Semver,
    /// OpenSSL: letters after the number, `-fips` says nothing about the order.
    OpenSsl,
    /// BusyBox: `1.00` and `1.01` came before `1.1.0`.
    BusyBox,
    /// OpenSSH: `p1` is the portable form of the same release.
    OpenSsh,
    /// ISC: `-P1`, `-W1`, `-S1` (subscription edition) and `-ESV-R1` (a line of its own).
    Isc,
    /// ncurses: `6.2-20200212` and `6.2.20200212` are one version.
    Ncurses,
    /// Linux: `-rc` comes before, everything else after the number is a local name.
    Kernel,
    /// Dates, however separated, with a letter or number after them.
    Date,
    /// Debian and everything that orders like dpkg, opkg with its `-rN` included.
    Deb,
    /// RPM, with `~` and `^`.
    Rpm,
    /// Alpine's apk.
    Apk,
    /// Python, PEP 440.
    Pep440,
    /// Maven.
    Maven,
    /// Commits: equal or not comparable.
    Git,
}

impl Scheme {
    /// The scheme of a name used in records and in the catalogue; none where the name says nothing.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "generic" | "dotted" | "integer" | "sudo" | "samba" | "proftpd" | "ntp" | "bash"
            | "year.month" | "year.minor" | "openwrt" => Self::Generic,
            "semver" | "go" => Self::Semver,
            "openssl" => Self::OpenSsl,
            "busybox" => Self::BusyBox,
            "openssh" => Self::OpenSsh,
            "isc" | "bind" => Self::Isc,
            "ncurses" => Self::Ncurses,
            "linux" | "kernel" => Self::Kernel,
            "date" | "git-date" => Self::Date,
            "deb" | "dpkg" | "opkg" => Self::Deb,
            "rpm" => Self::Rpm,
            "apk" => Self::Apk,
            "pep440" | "python" => Self::Pep440,
            "maven" => Self::Maven,
            "git" => Self::Git,
            _ => return None,
        })
    }

    /// Compares two versions; none where they cannot be compared.
    #[must_use]
    pub fn compare(self, a: &str, b: &str) -> Option<Ordering> {
        let (a, b) = (clean(a)?, clean(b)?);
        match self {
            Self::Deb => distribution::deb(a, b),
            Self::Rpm => distribution::rpm(a, b),
            Self::Apk => distribution::apk(a, b),
            Self::Semver => language::semver(a, b),
            Self::Pep440 => language::pep440(a, b),
            Self::Maven => language::maven(a, b),
            Self::Git => git(a, b),
            _ => upstream::compare(self, a, b),
        }
    }

    /// The version without what CPE calls its update (`p1`, `rc2`, `beta1`), and that update without separators;
    /// empty where there is none.
    #[must_use]
    pub fn split_update(self, version: &str) -> (String, String) {
        match clean(version) {
            Some(v) => upstream::split_update(self, v),
            None => (version.to_owned(), String::new()),
        }
    }

    /// Whether the version is within the range; none where that cannot be said.
    #[must_use]
    pub fn contains(self, range: &Range, version: &str) -> Option<bool> {
        use Ordering::{Equal, Greater, Less};
        let scheme = range_scheme(self, &range.scheme);
        if let (Some((from, true)), Some((to, true))) = (&range.from, &range.to)
            && from == to
        {
            return scheme.equals_text(from, version);
        }
        if self.contradicts(range) {
            return None;
        }
        let low = match &range.from {
            Some((from, _)) if open_end(from) => Some(true),
            Some((from, with)) => scheme
                .compare(version, &from.replace(['*', 'x', 'X'], "0"))
                .map(|o| o == Greater || (*with && o == Equal)),
            None => Some(true),
        };
        let high = match &range.to {
            Some((to, _)) if to == "*" => Some(true),
            Some((to, _)) if open_end(to) => None,
            Some((to, with)) => {
                scheme.compare(version, to).map(|o| o == Less || (*with && o == Equal))
            }
            None => Some(true),
        };
        match (low, high) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) if scheme.other_edition(range, version) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        }
    }

    /// A range that contains nothing because its ends are the wrong way round says nothing.
    #[must_use]
    pub fn contradicts(self, range: &Range) -> bool {
        let (Some((from, with_from)), Some((to, with_to))) = (&range.from, &range.to) else {
            return false;
        };
        if open_end(from) || open_end(to) {
            return false;
        }
        match range_scheme(self, &range.scheme).compare(from, to) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => !(*with_from && *with_to),
            _ => false,
        }
    }

    /// Ranges between two releases of ISC's subscription edition concern that edition only.
    fn other_edition(self, range: &Range, version: &str) -> bool {
        let is_s = |v: &str| upstream::has_word(v, "s");
        self == Self::Isc
            && [&range.from, &range.to].into_iter().flatten().any(|(v, _)| is_s(v))
            && !is_s(version)
    }

    /// A single version, or the words some sources put in its place (`2.4.10 and prior`, `>= 1.0, < 2.0`).
    fn equals_text(self, text: &str, version: &str) -> Option<bool> {
        let text = text.trim();
        if text == "*" || text.eq_ignore_ascii_case("all versions") {
            return Some(true);
        }
        if let Some(found) = worded(text) {
            return found
                .iter()
                .map(|r| self.contains(r, version))
                .try_fold(false, |any, one| one.map(|o| any || o));
        }
        if let Some(stem) = [".x", ".X", ".*"].iter().find_map(|w| text.strip_suffix(w)) {
            let range = Range {
                scheme: String::new(),
                from: Some((stem.to_owned(), true)),
                to: Some((format!("{stem}.*"), true)),
            };
            return self.contains(&range, version);
        }
        if open_end(text) {
            return None;
        }
        self.compare(version, text).map(|o| o == Ordering::Equal)
    }
}

/// The scheme a range is evaluated in: distribution schemes and commits are what they say; `semver` and `custom` say
/// no more than that the product's own order holds.
fn range_scheme(product: Scheme, written: &str) -> Scheme {
    match Scheme::named(written) {
        Some(
            s @ (Scheme::Git
            | Scheme::Deb
            | Scheme::Rpm
            | Scheme::Apk
            | Scheme::Pep440
            | Scheme::Maven),
        ) => s,
        _ => product,
    }
}

/// Words that stand for "from the beginning" or for nothing at all.
fn open_end(text: &str) -> bool {
    let t = text.trim();
    t.is_empty()
        || ["0", "*", "-", "n/a", "na", "unspecified", "unknown", "any", "next of"]
            .iter()
            .any(|w| t.eq_ignore_ascii_case(w))
}

/// Ranges that were written as words; none where the text is no such phrase.
fn worded(text: &str) -> Option<Vec<Range>> {
    let lower = text.to_ascii_lowercase();
    let to = |v: &str, with: bool| Range { to: Some((v.trim().into(), with)), ..Range::default() };
    let one = |r: Range| Some(vec![r]);
    for tail in [" and prior", " and earlier", " and below", " or earlier", " and before"] {
        let Some(stem) = lower.strip_suffix(" versions").unwrap_or(&lower).strip_suffix(tail)
        else {
            continue;
        };
        return one(to(stem, true));
    }
    for head in ["up to and including ", "up to ", "through "] {
        if let Some(v) = lower.strip_prefix(head) {
            return one(to(v, true));
        }
    }
    for head in ["prior to ", "before ", "earlier than "] {
        if let Some(v) = lower.strip_prefix(head) {
            return one(to(v, false));
        }
    }
    for middle in [" to ", " through ", " - "] {
        if let Some((a, b)) = lower.split_once(middle) {
            return one(Range { from: Some((a.trim().into(), true)), ..to(b, true) });
        }
    }
    if !lower.starts_with(['<', '>', '=']) {
        return None;
    }
    // Conditions between commas hold together.
    let mut range = Range::default();
    for part in lower.split(',').map(str::trim) {
        let (slot, with, v) = if let Some(v) = part.strip_prefix("<=") {
            (&mut range.to, true, v)
        } else if let Some(v) = part.strip_prefix('<') {
            (&mut range.to, false, v)
        } else if let Some(v) = part.strip_prefix(">=") {
            (&mut range.from, true, v)
        } else if let Some(v) = part.strip_prefix('>') {
            (&mut range.from, false, v)
        } else if let Some(v) = part.strip_prefix('=') {
            range.from = Some((v.trim().into(), true));
            (&mut range.to, true, v)
        } else {
            return None;
        };
        *slot = Some((v.trim().into(), with));
    }
    one(range)
}

/// Text without white space around it and without a leading `v`; none where it is no version.
fn clean(text: &str) -> Option<&str> {
    let t = text.trim();
    let t = match t.strip_prefix(['v', 'V']) {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_digit()) => rest,
        _ => t,
    };
    (!t.is_empty() && t.len() <= LONGEST && t.is_ascii() && !t.contains([' ', '\t', '\n']))
        .then_some(t)
}

/// Commits are equal where one is the beginning of the other; their order is not in their names.
fn git(a: &str, b: &str) -> Option<Ordering> {
    let hash = |s: &str| s.len() >= 7 && s.len() <= 40 && s.bytes().all(|c| c.is_ascii_hexdigit());
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    (hash(&a) && hash(&b) && (a.starts_with(&b) || b.starts_with(&a))).then_some(Ordering::Equal)
}
