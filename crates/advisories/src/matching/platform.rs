//! What is known of the place where a component runs, for conditions such as "running on".
//!
//! Three-valued: a condition about something that the image does not tell is neither true nor false.

use crate::{
    cpe::{Attribute, Cpe},
    record::CpeMatch,
    version::Scheme,
};

use super::applicability::versions;

/// A condition's value; *maybe* says what is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// It does not hold.
    False,
    /// Not known, because of these.
    Maybe(Vec<String>),
    /// It holds.
    True,
}

impl Truth {
    /// From a comparison that may have no answer.
    #[must_use]
    pub fn of(answer: Option<bool>, unknown: impl FnOnce() -> String) -> Self {
        match answer {
            Some(true) => Self::True,
            Some(false) => Self::False,
            None => Self::Maybe(vec![unknown()]),
        }
    }

    /// Both hold.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, x) | (x, Self::True) => x,
            (Self::Maybe(a), Self::Maybe(b)) => Self::Maybe(join(a, b)),
        }
    }

    /// One of them holds.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, x) | (x, Self::False) => x,
            (Self::Maybe(a), Self::Maybe(b)) => Self::Maybe(join(a, b)),
        }
    }
}

impl std::ops::Not for Truth {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            maybe => maybe,
        }
    }
}

/// Unknowns of both sides, each once and not without end.
fn join(mut a: Vec<String>, b: Vec<String>) -> Vec<String> {
    for reason in b {
        if a.len() < 8 && !a.contains(&reason) {
            a.push(reason);
        }
    }
    a
}

/// What the image tells about itself. Whatever is not set is not known.
#[derive(Debug, Clone, Default)]
pub struct Platform {
    /// Operating system as CPE names the product: `linux_kernel`, `vxworks`, `freertos`.
    pub os: Option<String>,
    /// Its version.
    pub os_version: Option<String>,
    /// Distribution and release, as os-release has them: `("debian", "12")`.
    pub distribution: Option<(String, String)>,
    /// Machine in the words of `uname -m`: `x86_64`, `aarch64`, `armv7l`, `mips`, ...
    pub machine: Option<String>,
    /// CPE names of what else is in the image.
    pub components: Vec<String>,
    /// The list of components is complete: what is not in it is not there.
    pub components_complete: bool,
}

/// CPE vendor and product of distributions with their os-release id.
const DISTRIBUTIONS: &[(&str, &str, &str)] = &[
    ("alpinelinux", "alpine_linux", "alpine"),
    ("canonical", "ubuntu_linux", "ubuntu"),
    ("centos", "centos", "centos"),
    ("debian", "debian_linux", "debian"),
    ("fedoraproject", "fedora", "fedora"),
    ("gentoo", "linux", "gentoo"),
    ("openwrt", "openwrt", "openwrt"),
    ("opensuse", "leap", "opensuse-leap"),
    ("opensuse", "opensuse", "opensuse"),
    ("oracle", "linux", "ol"),
    ("redhat", "enterprise_linux", "rhel"),
    ("redhat", "linux", "redhat"),
    ("slackware", "slackware_linux", "slackware"),
    ("suse", "linux_enterprise_server", "sles"),
];

/// Operating systems by CPE product. An image with one of them is not one with another.
const SYSTEMS: &[&str] = &[
    "android",
    "aix",
    "freebsd",
    "freertos",
    "hp-ux",
    "hpux",
    "ios",
    "ipados",
    "iphone_os",
    "irix",
    "linux_kernel",
    "mac_os",
    "mac_os_x",
    "macos",
    "minix",
    "netbsd",
    "novell_netware",
    "openbsd",
    "os_x",
    "qnx",
    "sco_unix",
    "solaris",
    "sunos",
    "threadx",
    "tru64",
    "tvos",
    "vxworks",
    "watchos",
    "windows",
    "zephyr",
];

/// Ecosystems named in target fields, with the package URL type of what belongs to them.
const ECOSYSTEMS: &[(&str, &str)] = &[
    ("node.js", "npm"),
    ("nodejs", "npm"),
    ("python", "pypi"),
    ("pypi", "pypi"),
    ("ruby", "gem"),
    ("rails", "gem"),
    ("rust", "cargo"),
    ("go", "golang"),
    ("golang", "golang"),
    ("java", "maven"),
    ("maven", "maven"),
    ("perl", "cpan"),
    ("php", "composer"),
    (".net", "nuget"),
    ("asp.net", "nuget"),
    ("wordpress", "wordpress"),
    ("drupal", "drupal"),
    ("joomla\\!", "joomla"),
    ("joomla!", "joomla"),
    ("jenkins", "jenkins"),
    ("chrome", "chrome"),
    ("firefox", "firefox"),
    ("visual_studio_code", "vscode"),
    ("typo3", "typo3"),
    ("moodle", "moodle"),
    ("mediawiki", "mediawiki"),
    ("dart", "pub"),
    ("swift", "swift"),
    ("lua", "luarocks"),
    ("r", "cran"),
    ("erlang", "hex"),
    ("elixir", "hex"),
];

/// Names of machines that mean the same, by what CPE records write.
const MACHINES: &[(&str, &[&str])] = &[
    ("x64", &["x86_64"]),
    ("x86_64", &["x86_64"]),
    ("amd64", &["x86_64"]),
    ("x86", &["i386", "i486", "i586", "i686"]),
    ("i386", &["i386", "i486", "i586", "i686"]),
    ("386", &["i386", "i486", "i586", "i686"]),
    ("686", &["i386", "i486", "i586", "i686"]),
    ("arm64", &["aarch64"]),
    ("aarch64", &["aarch64"]),
    ("arm", &["arm", "armv5tel", "armv6l", "armv7l", "aarch64"]),
    ("ppc", &["ppc"]),
    ("powerpc", &["ppc"]),
    ("ppc64", &["ppc64"]),
    ("ppc64le", &["ppc64le"]),
    ("mips", &["mips", "mipsel", "mips64", "mips64el"]),
    ("s390x", &["s390x"]),
    ("sparc", &["sparc", "sparc64"]),
    ("ia64", &["ia64"]),
    ("itanium", &["ia64"]),
    ("alpha", &["alpha"]),
];

impl Platform {
    fn system(&self, product: &str) -> Option<bool> {
        let own = self.os.as_deref()?;
        let named = if product.starts_with("windows") { "windows" } else { product };
        if matches!(named, "linux" | "linux_kernel") {
            return Some(own == "linux_kernel");
        }
        if named == "unix" {
            return Some(!matches!(own, "windows" | "freertos" | "vxworks" | "zephyr" | "threadx"));
        }
        SYSTEMS.contains(&named).then(|| own == named)
    }

    fn runs_on_distribution(&self, id: &str, version: &Attribute) -> Option<bool> {
        if self.os.as_deref().is_some_and(|os| os != "linux_kernel") {
            return Some(false);
        }
        let (own, release) = self.distribution.as_ref()?;
        if own != id {
            return Some(false);
        }
        match version {
            Attribute::Value(v) => Scheme::Generic.compare(release, &v.text).map(|o| o.is_eq()),
            _ => Some(true),
        }
    }

    /// Whether a criterion about something other than the component holds here.
    #[must_use]
    pub fn has(&self, criterion: &Cpe, m: &CpeMatch) -> Truth {
        let unknown =
            || format!("it applies only together with {}, which is not known here", m.cpe);
        let Some((vendor, product)) = criterion.pair() else {
            return Truth::Maybe(vec![unknown()]);
        };
        if let Some((_, _, id)) =
            DISTRIBUTIONS.iter().find(|(v, p, _)| (*v, *p) == (vendor, product))
        {
            return Truth::of(self.runs_on_distribution(id, &criterion.version), unknown);
        }
        match criterion.part.value() {
            Some("o") => match self.system(product) {
                Some(true) if (vendor, product) == ("linux", "linux_kernel") => match &self
                    .os_version
                {
                    Some(v) => {
                        Truth::of(versions(criterion, m.range.as_ref(), Scheme::Kernel, v), unknown)
                    }
                    None if criterion.version == Attribute::Any && m.range.is_none() => Truth::True,
                    None if criterion.version == Attribute::Na => Truth::True,
                    None => Truth::Maybe(vec![unknown()]),
                },
                Some(true) => Truth::Maybe(vec![unknown()]),
                Some(false) => Truth::False,
                None => Truth::Maybe(vec![unknown()]),
            },
            Some("a") => self.has_application(criterion, m, unknown),
            // A device: the image does not know on which hardware it will be put.
            _ => Truth::Maybe(vec![unknown()]),
        }
    }

    fn has_application(
        &self,
        criterion: &Cpe,
        m: &CpeMatch,
        unknown: impl Fn() -> String,
    ) -> Truth {
        let mut value = Truth::False;
        let mut named = false;
        for own in self.components.iter().filter_map(|c| Cpe::parse(c).ok()) {
            if own.pair() == criterion.pair() {
                named = true;
                let holds = match own.version.value() {
                    Some(v) => versions(criterion, m.range.as_ref(), Scheme::Generic, v),
                    None => None,
                };
                value = value.or(Truth::of(holds, &unknown));
            }
        }
        if named || self.components_complete { value } else { Truth::Maybe(vec![unknown()]) }
    }

    /// Whether the fields of a criterion beside name and version fit. `purl_type` is the component's ecosystem;
    /// `generic` for what is built from C.
    #[must_use]
    pub fn fits(
        &self,
        criterion: &Cpe,
        scheme: Scheme,
        version: Option<&str>,
        purl_type: &str,
    ) -> Truth {
        let mut value = Truth::True;
        if let Some(target) = criterion.target_sw.value() {
            value = value.and(self.target(target, purl_type));
        }
        if let Some(machine) = criterion.target_hw.value() {
            value = value.and(self.is_machine(machine));
        }
        if let Some(edition) = criterion.edition.value() {
            value = value.and(if MACHINES.iter().any(|(m, _)| *m == edition) {
                self.is_machine(edition)
            } else if self.system(edition).is_some() || edition.starts_with("windows") {
                self.target(edition, purl_type)
            } else {
                edition_fits(edition, scheme, version)
            });
        }
        if let Some(edition) = criterion.sw_edition.value() {
            value = value.and(edition_fits(edition, scheme, version));
        }
        for (name, attribute) in [("language", &criterion.language), ("other", &criterion.other)] {
            if let Some(text) = attribute.value() {
                value = value.and(Truth::Maybe(vec![format!(
                    "the record names {name} {text}, which is not known here"
                )]));
            }
        }
        value
    }

    fn target(&self, target: &str, purl_type: &str) -> Truth {
        if let Some((_, kind)) = ECOSYSTEMS.iter().find(|(name, _)| *name == target) {
            return if *kind == purl_type { Truth::True } else { Truth::False };
        }
        let unknown =
            || format!("the record is about the component for {target}, which is not known here");
        if let Some((_, _, id)) =
            DISTRIBUTIONS.iter().find(|(_, p, id)| *p == target || *id == target)
        {
            return Truth::of(self.runs_on_distribution(id, &Attribute::Any), unknown);
        }
        Truth::of(self.system(target), unknown)
    }

    fn is_machine(&self, named: &str) -> Truth {
        let own = self.machine.as_deref();
        let answer = MACHINES
            .iter()
            .find(|(name, _)| *name == named)
            .and_then(|(_, same)| Some(same.contains(&own?)));
        Truth::of(answer, || {
            format!("the record is about machines of type {named}, which is not known here")
        })
    }
}

/// Editions that only say how long a release is supported concern the release; others are not known.
fn edition_fits(edition: &str, scheme: Scheme, version: Option<&str>) -> Truth {
    match edition {
        "lts" | "esv" | "community" | "open_source" | "opensource" | "oss" => Truth::True,
        // ISC marks the versions of this edition with -S.
        "supported_preview" | "preview" if scheme == Scheme::Isc => match version {
            Some(v) if v.to_ascii_lowercase().contains("-s") => Truth::True,
            Some(_) => Truth::False,
            None => Truth::Maybe(vec!["the record is about the supported preview edition".into()]),
        },
        other => Truth::Maybe(vec![format!(
            "the record is about the edition {other}, which is not known here"
        )]),
    }
}
