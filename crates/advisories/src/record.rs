//! What a feed says, in one form for all feeds.
//!
//! Readers of feeds produce [`Record`]s, the database stores them behind [`Key`]s, matching reads them back
//! through [`Store`]. Facts only: identifiers, ranges, scores, dates, links. No prose is kept.
//!
//! No field is left out when a record is written: the database keeps records in a form without field names.

use std::sync::Arc;

use proofmark_model::assessment::DataVersion;
use serde::{Deserialize, Serialize};

/// One published record of one feed about one vulnerability.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Feed it comes from, such as `nvd`, `cve5`, `osv`, `debian`, `alpine`, `ubuntu`, `openwrt`, `buildroot`,
    /// `yocto`, `csaf`, `nvd-overrides`.
    pub feed: String,
    /// Id in that feed.
    pub id: String,
    /// CVE ids it is about; the id itself where it is one.
    pub cves: Vec<String>,
    /// Day of publication, days since 1970-01-01.
    pub published: Option<i32>,
    /// Day of the last change.
    pub modified: Option<i32>,
    /// Rejected, withdrawn or marked as disputed by its source: `rejected`, `withdrawn`, `disputed`.
    pub standing: Option<String>,
    /// CVSS scores.
    pub scores: Vec<Score>,
    /// CWE ids.
    pub weaknesses: Vec<String>,
    /// Links to patches and advisories.
    pub links: Vec<String>,
    /// CPE applicability, as NVD writes it: the record applies where any of them is true.
    pub configurations: Vec<Node>,
    /// Statements about products, packages and repositories.
    pub statements: Vec<Statement>,
}

/// A published CVSS score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// `2.0`, `3.0`, `3.1`, `4.0`; another version is kept as it is written.
    pub version: String,
    /// Base score times ten.
    pub tenths: u8,
    /// Vector.
    pub vector: String,
    /// Who scored.
    pub by: String,
}

/// Node of a CPE applicability tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// All of the parts must be true; otherwise any.
    pub all: bool,
    /// The result is turned around.
    #[serde(default)]
    pub negate: bool,
    /// Names matched.
    #[serde(default)]
    pub matches: Vec<CpeMatch>,
    /// Nodes below.
    #[serde(default)]
    pub nodes: Vec<Node>,
}

/// A CPE name with a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpeMatch {
    /// CPE 2.3 name.
    pub cpe: String,
    /// The named thing is what is vulnerable; otherwise it is where the vulnerable thing runs.
    pub vulnerable: bool,
    /// Range of versions, where the name has none.
    #[serde(default)]
    pub range: Option<Range>,
}

/// What a record says about one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// About what.
    pub subject: Subject,
    /// What holds where no range decides.
    pub default: Status,
    /// Ranges with their status; a later range that contains the version outranks an earlier one.
    #[serde(default)]
    pub ranges: Vec<(Range, Status)>,
    /// Source files that contain the vulnerable code, as the source names them.
    #[serde(default)]
    pub files: Vec<String>,
    /// Functions likewise.
    #[serde(default)]
    pub functions: Vec<String>,
    /// VEX justification or the build system's status word (`backported-patch`, `cpe-incorrect`,
    /// `vulnerable_code_not_present`, ...).
    #[serde(default)]
    pub reason: Option<String>,
    /// Added to the record by somebody other than its author, such as CISA to records of the CVE list.
    #[serde(default)]
    pub added: bool,
}

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// A CPE 2.3 name.
    Cpe(String),
    /// A package of a distribution or ecosystem, named as OSV does: `Debian:12`, `Alpine:v3.18`, `Ubuntu:22.04`,
    /// `OpenWrt:23.05`, `Buildroot`, `Yocto`, `PyPI`, `npm`, `crates.io`, `Go`, `Maven`, `OSS-Fuzz`, `generic`.
    /// For distributions the name is the source package's.
    Package {
        /// Ecosystem with its release.
        ecosystem: String,
        /// Name in it.
        name: String,
    },
    /// A product as a CVE record names it.
    Product {
        /// Vendor as written.
        vendor: String,
        /// Product as written.
        product: String,
    },
    /// Versions are commits of this repository.
    Git(String),
}

/// Whether a version is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is.
    Affected,
    /// It is not.
    NotAffected,
    /// It was and is fixed.
    Fixed,
    /// Being looked at, or nothing is said.
    Unknown,
}

/// A range of versions; without bounds, every version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// Scheme that orders the versions where the source says so: `semver`, `git`, `deb`, `rpm`, `apk`,
    /// `custom`, ...; empty where it is the product's own.
    #[serde(default)]
    pub scheme: String,
    /// Lower end: version, and whether it belongs to the range. None is from the beginning.
    #[serde(default)]
    pub from: Option<(String, bool)>,
    /// Upper end: version, and whether it belongs to the range. None is without end.
    #[serde(default)]
    pub to: Option<(String, bool)>,
}

/// Under what a record is found again. Text in lower case, so that equal keys are equal bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// CPE vendor and product.
    Cpe(String, String),
    /// Package name in an ecosystem without its release (`debian`, `pypi`, `generic`).
    Package(String, String),
    /// Product name of CVE records, whatever the vendor.
    Product(String),
    /// Repository of the source.
    Git(String),
    /// CVE id or id of the record.
    Id(String),
}

/// Exploitation data about one CVE.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Threat {
    /// On CISA's list of known exploited vulnerabilities.
    pub known_exploited: bool,
    /// EPSS probability in parts per million.
    pub epss_ppm: Option<u32>,
}

/// Where records come from when a component is matched.
pub trait Store {
    /// The records behind a key, in an order that depends on nothing but the data.
    ///
    /// # Errors
    /// One sentence, when the database cannot be read.
    fn about(&self, key: &Key) -> Result<Vec<Arc<Record>>, String>;

    /// What is known of the exploitation of a CVE.
    ///
    /// # Errors
    /// One sentence, when the database cannot be read.
    fn threat(&self, cve: &str) -> Result<Threat, String>;

    /// Feeds with the newest date in each.
    fn feeds(&self) -> Vec<DataVersion>;
}
