//! The arguments, as the user types them. Help, man page, completions and
//! `docs/commands.md` are all made from this.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Evidence for telecom supply-chain decisions: what exactly is wrong with this equipment, where, and how sure that is.
///
/// Exit status: 0 done, 1 could not be done, 2 wrong arguments, 3 the level of --fail-on was reached.
#[derive(Debug, Parser)]
#[command(name = "proofmark", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// Reads images without the sandbox. For systems that have none; the input is then parsed unconfined.
    #[arg(long, global = true)]
    pub no_sandbox: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Assesses one image: unpacks it, looks at every content, and judges it by a yardstick.
    Assay(Assay),
    /// Lists the artifact tree: locator, kind, size, digest, mode, owner, time, link target.
    Ls(Ls),
    /// Prints the bytes that a locator names: text where it is text, else hexadecimal.
    Show(Show),
    /// Extracts an image into a folder, confined to it.
    Unpack(Unpack),
    /// Says what a requirement checks, why, from which source, and where it is wrong.
    Explain(Explain),
    /// Shows sandbox, budgets, cache and freshness of data.
    Doctor,
    /// Vulnerability data: import feeds, show how fresh they are.
    #[command(subcommand)]
    Advisories(Advisories),
    /// The network half: inventory, exposure, compliance, plans.
    #[command(subcommand)]
    Network(Box<Network>),
    /// Writes man page and completions into a folder.
    #[command(name = "__install", hide = true)]
    Install {
        /// The folder.
        dir: PathBuf,
    },
}

/// `proofmark assay`.
#[derive(Debug, Args)]
pub struct Assay {
    /// File or folder; `-` reads standard input.
    pub image: PathBuf,
    /// Writes assessment.json, report.html, results.sarif, sbom.cdx.json, findings.csv and components.csv into this folder.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Writes a further file into the folder of --out: an SBOM as SPDX 2.3, or statements about vulnerabilities.
    #[arg(long, value_enum, value_name = "FORMAT", requires = "out")]
    pub also: Vec<Also>,
    /// Who issues the documents of --also; they name an issuer.
    #[arg(long, value_name = "NAME", default_value = "unnamed issuer")]
    pub issuer: String,
    /// URI that belongs to the issuer; identifiers of documents are made below it.
    #[arg(long, value_name = "URI", default_value = "https://issuer.invalid")]
    pub namespace: String,
    /// Yardstick to judge by: a name that `proofmark explain` lists, or a file. May be given several times.
    #[arg(long, value_name = "FILE|NAME")]
    pub yardstick: Vec<String>,
    /// Database of advisories. Without it: the user's own (see `proofmark advisories status`), else the built-in one.
    #[arg(long, value_name = "FILE", conflicts_with = "no_advisories")]
    pub advisories: Option<PathBuf>,
    /// Matches no published vulnerabilities.
    #[arg(long)]
    pub no_advisories: bool,
    /// A producer's bill of materials (CycloneDX or SPDX, JSON) to hold against what is seen.
    #[arg(long, value_name = "FILE")]
    pub sbom: Vec<PathBuf>,
    /// Statements about vulnerabilities (OpenVEX, CycloneDX VEX, CSAF), taken over where they name the same bytes.
    #[arg(long, value_name = "FILE")]
    pub vex: Vec<PathBuf>,
    /// Judges dates (such as the end of a certificate) as of this day. Without it: the newest time in the image.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub as_of: Option<String>,
    /// When to end with status 3: at a failed requirement, also at an inconclusive one, or never.
    #[arg(long, value_enum, default_value_t = FailOn::Never)]
    pub fail_on: FailOn,
    /// Neither reads nor writes the cache of facts.
    #[arg(long)]
    pub no_cache: bool,
    /// Options shared by the commands that read an image.
    #[command(flatten)]
    pub work: Work,
}

/// Further documents of an assay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Also {
    /// sbom.spdx.json: SPDX 2.3.
    Spdx,
    /// vex.openvex.json: OpenVEX.
    Openvex,
    /// vex.csaf.json: CSAF 2.0, profile VEX.
    Csaf,
    /// vex.cdx.json: CycloneDX VEX.
    CyclonedxVex,
}

/// When an assay ends with status 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// A requirement failed.
    Fail,
    /// A requirement failed or is inconclusive.
    Inconclusive,
    /// Never.
    Never,
}

/// `proofmark ls`.
#[derive(Debug, Args)]
pub struct Ls {
    /// File or folder; `-` reads standard input.
    pub image: PathBuf,
    /// One JSON object for each artifact and line.
    #[arg(long)]
    pub json: bool,
    /// Indents by depth instead of printing whole locators.
    #[arg(long, conflicts_with = "json")]
    pub tree: bool,
    /// Only artifacts whose locator matches this pattern (`*`, `?`, `**`).
    #[arg(long, value_name = "GLOB")]
    pub only: Option<String>,
    /// Only artifacts of this format, such as elf, squashfs or text. May be given several times.
    #[arg(long, value_name = "ID")]
    pub format: Vec<String>,
    /// Only artifacts that could not be read completely, with what is wrong.
    #[arg(long)]
    pub problems: bool,
    /// Options shared by the commands that read an image.
    #[command(flatten)]
    pub work: Work,
}

/// `proofmark show`.
#[derive(Debug, Args)]
pub struct Show {
    /// File or folder; `-` reads standard input.
    pub image: PathBuf,
    /// The place, as printed by the other commands: gateway.img@0x40000:squashfs/etc/passwd+0x0..0x20
    pub locator: String,
    /// Writes the bytes as they are.
    #[arg(long)]
    pub raw: bool,
    /// Options shared by the commands that read an image.
    #[command(flatten)]
    pub work: Work,
}

/// `proofmark unpack`.
#[derive(Debug, Args)]
pub struct Unpack {
    /// File or folder; `-` reads standard input.
    pub image: PathBuf,
    /// Folder to write into; it is made if it does not exist, and nothing is written outside it.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Only artifacts whose locator matches this pattern (`*`, `?`, `**`).
    #[arg(long, value_name = "GLOB")]
    pub only: Option<String>,
    /// Writes the manifest (path, mode, owner, digest, problems of each artifact) to this file instead of manifest.json in the folder.
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
    /// Options shared by the commands that read an image.
    #[command(flatten)]
    pub work: Work,
}

/// `proofmark explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// Id, such as ACC-01; without it all are listed.
    pub id: Option<String>,
}

/// `proofmark advisories match`.
#[derive(Debug, Args)]
pub struct Match {
    /// A CycloneDX or SPDX document, a package URL, a CPE name, or a name with a version: 'busybox 1.35.0'.
    pub what: String,
    /// The database; without it advisories.db in the user's data folder, else the starter database.
    #[arg(long, value_name = "FILE")]
    pub database: Option<PathBuf>,
    /// Folder with identity.toml, records.toml or probes.toml in place of the data compiled in.
    #[arg(long, value_name = "DIR")]
    pub corrections: Option<PathBuf>,
    /// Also lists what does not concern the version, with the reason.
    #[arg(long)]
    pub all: bool,
    /// Prints everything as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `proofmark advisories`.
#[derive(Debug, Subcommand)]
pub enum Advisories {
    /// Imports feeds from files and folders, whatever their format; works without a network.
    Import {
        /// Files or folders: NVD, CVE 5, OSV, distributors, KEV, EPSS, CSAF; plain, gzip or zip.
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        /// The database; without it advisories.db in the user's data folder.
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
        /// Takes a set even if it has much fewer records than before.
        #[arg(long)]
        allow_smaller: bool,
        /// Prints what was done as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Fetches feeds over HTTPS and imports them; goes on where it broke off.
    #[cfg(feature = "update")]
    Update {
        /// Publisher to fetch from: nvd, kev, epss, debian, alpine; also cve5, osv, ubuntu. May be given several times; without it the first five.
        #[arg(long, value_name = "NAME")]
        feed: Vec<String>,
        /// Another address for a publisher, such as a mirror: `nvd=https://mirror.example`. May be given several times.
        #[arg(long, value_name = "NAME=URL")]
        base: Vec<String>,
        /// The database; without it advisories.db in the user's data folder.
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
        /// Takes a set even if it has much fewer records than before.
        #[arg(long)]
        allow_smaller: bool,
        /// Prints what was done as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Answers without an image which vulnerabilities concern a component or the components of an SBOM, and why.
    Match(Match),
    /// Shows each feed with its records, its newest date, and whether it is stale.
    Status {
        /// The database; without it advisories.db in the user's data folder.
        #[arg(long, value_name = "FILE")]
        database: Option<PathBuf>,
        /// Day to count ages to; without it today.
        #[arg(long, value_name = "YYYY-MM-DD")]
        as_of: Option<String>,
        /// Prints it as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `proofmark network`.
#[derive(Debug, Subcommand)]
pub enum Network {
    /// Reads an inventory and says what is wrong with it, by file, row and column.
    Check {
        /// Folder with sites, devices, links and protected places (CSV, gzip or Excel); or an .xlsx, GeoJSON, GML or NetBox JSON file; or the address of a NetBox.
        inventory: PathBuf,
        /// How it is read.
        #[command(flatten)]
        source: NetworkSource,
        /// Folder to write check.json into, instead of printing it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Measures exposure: what traffic and which customers pass equipment that fails a requirement.
    Exposure {
        /// The network.
        #[command(flatten)]
        world: NetworkWorld,
        /// Folder to write exposure.json into, instead of printing it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Shows compliance with policies, by rule and date.
    Comply {
        /// The network.
        #[command(flatten)]
        world: NetworkWorld,
        /// Policy: an id of the catalogue or a TOML file; without it the four archetypes.
        #[arg(long, value_name = "FILE|ID")]
        policy: Vec<String>,
        /// Day to look at; without it the start and each rule's date.
        #[arg(long, value_name = "YYYY-MM-DD")]
        on: Vec<String>,
        /// Folder to write compliance.json into, instead of printing it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Plans replacement, update or mitigation in phases, with a proven lower bound.
    Plan {
        /// The network.
        #[command(flatten)]
        world: NetworkWorld,
        /// Policy: an id of the catalogue or a TOML file.
        #[arg(long, value_name = "FILE|ID")]
        policy: String,
        /// Means and search.
        #[command(flatten)]
        plan: NetworkPlan,
        /// What it goes on from.
        #[command(flatten)]
        from: NetworkFrom,
        /// Folder for plan.json, plan.csv, tables.xlsx and report.html.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Cost against exposure, with the band that the gap allows.
    Frontier {
        /// The network.
        #[command(flatten)]
        world: NetworkWorld,
        /// Policy that holds at every point.
        #[arg(long, value_name = "FILE|ID", default_value = "archetype.none")]
        policy: String,
        /// Means and search.
        #[command(flatten)]
        plan: NetworkPlan,
        /// Number of points.
        #[arg(long, value_name = "N", default_value_t = 12)]
        points: usize,
        /// Folder to write frontier.json into, instead of printing it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Policies side by side on one page; without names the four archetypes.
    Scenarios {
        /// The network.
        #[command(flatten)]
        world: NetworkWorld,
        /// Policies: ids of the catalogue or TOML files.
        #[arg(long = "policy", value_name = "FILE|ID")]
        policies: Vec<String>,
        /// Means and search.
        #[command(flatten)]
        plan: NetworkPlan,
        /// Folder for scenarios.json, tables.xlsx, report.html and each plan.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Which cost items a plan hangs on, and which would change the choice between two policies.
    Sensitivity {
        /// The network.
        #[command(flatten)]
        world: NetworkWorld,
        /// One or two policies: ids of the catalogue or TOML files.
        #[arg(long = "policy", value_name = "FILE|ID", required = true)]
        policies: Vec<String>,
        /// Means and search.
        #[command(flatten)]
        plan: NetworkPlan,
        /// Folder to write sensitivity.json into, instead of printing it.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Everything on one network with made-up verdicts: the four archetypes, the frontier, sensitivity.
    Demo {
        /// Folder with the example operator, or another inventory.
        inventory: PathBuf,
        /// Means and search.
        #[command(flatten)]
        plan: NetworkPlan,
        /// Folder for the report and its files.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

/// What a plan goes on from.
#[derive(Debug, Args)]
pub struct NetworkFrom {
    /// A former plan.json of the same problem to improve, such as that of an interrupted run.
    #[arg(long, value_name = "FILE", conflicts_with = "replan")]
    pub resume: Option<PathBuf>,
    /// A former plan.json that is being carried out: what it does before --start is taken as done, what it does later as promised.
    #[arg(long, value_name = "FILE")]
    pub replan: Option<PathBuf>,
    /// Price of doing one promised job otherwise or at another time.
    #[arg(long, value_name = "MONEY", default_value_t = 0.0, requires = "replan")]
    pub change_price: f64,
}

/// How an inventory is read.
#[derive(Debug, Args)]
pub struct NetworkSource {
    /// File that says which spellings of vendors and products are the same; without it aliases.toml in the folder.
    #[arg(long, value_name = "FILE")]
    pub aliases: Option<PathBuf>,
    /// GeoJSON with protected places, if they are not in the folder.
    #[arg(long, value_name = "FILE")]
    pub protected: Option<PathBuf>,
    /// File with the token of a NetBox; without it the variable NETBOX_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// An exact solver in a process of its own.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum NetworkBackend {
    /// HiGHS.
    Highs,
}

/// Which figure of each cost item is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NetworkLevel {
    /// The low end.
    Low,
    /// The typical figure.
    Typical,
    /// The high end.
    High,
}

impl From<NetworkLevel> for proofmark_network::cost::Level {
    fn from(level: NetworkLevel) -> Self {
        match level {
            NetworkLevel::Low => Self::Low,
            NetworkLevel::Typical => Self::Typical,
            NetworkLevel::High => Self::High,
        }
    }
}

/// A network with its evidence.
#[derive(Debug, Args)]
pub struct NetworkWorld {
    /// Folder with sites, devices, links and protected places; or a file or address as for `check`.
    pub inventory: PathBuf,
    /// How it is read.
    #[command(flatten)]
    pub source: NetworkSource,
    /// Folder of assessments, or a verdicts.csv; without it every device is unknown.
    #[arg(long, value_name = "DIR|FILE")]
    pub evidence: Option<PathBuf>,
    /// Requirement that counts; without it all that have a verdict. May be given several times.
    #[arg(long, value_name = "ID")]
    pub requirement: Vec<String>,
    /// Vendor on your own list of designated equipment. Without a list, what fails is designated.
    #[arg(long, value_name = "NAME")]
    pub vendor: Vec<String>,
    /// Product on your own list of designated equipment.
    #[arg(long, value_name = "NAME")]
    pub product: Vec<String>,
    /// Day of an event that a policy counts from. May be given several times.
    #[arg(long, value_name = "NAME=YYYY-MM-DD")]
    pub event: Vec<String>,
    /// First day of the plan.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2027-01-01")]
    pub start: String,
    /// File that overrides cost items. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub costs: Vec<PathBuf>,
    /// Which figure of each cost item to use.
    #[arg(long, value_enum, default_value_t = NetworkLevel::Typical)]
    pub level: NetworkLevel,
}

/// Means of a plan, and how long to search.
#[derive(Debug, Args)]
pub struct NetworkPlan {
    /// TOML file with the parameters below and a few more; what is given here overrides it.
    #[arg(long, value_name = "FILE")]
    pub setup: Option<PathBuf>,
    /// Periods; without it 5.
    #[arg(long, value_name = "N")]
    pub periods: Option<usize>,
    /// Months of a period; without it 12.
    #[arg(long, value_name = "N")]
    pub months: Option<i32>,
    /// Money in each period, one number for all or one for each, separated by commas; without it no limit.
    #[arg(long, value_name = "MONEY", value_delimiter = ',')]
    pub budget: Vec<f64>,
    /// Money left over in a period can be spent later.
    #[arg(long)]
    pub carry: bool,
    /// Crews in the whole network, working where the work is; without it one for every 125 sites.
    #[arg(long, value_name = "N")]
    pub crews: Option<f64>,
    /// Most minutes of outage per customer of a region and period.
    #[arg(long, value_name = "MINUTES")]
    pub outage_ceiling: Option<f64>,
    /// Vendor to buy from; ran:Name brings in one that the radio does not have yet. May be given several times.
    #[arg(long, value_name = "NAME")]
    pub target: Vec<String>,
    /// Does not credit the refresh that a replacement makes unnecessary.
    #[arg(long)]
    pub no_refresh_credit: bool,
    /// Prices do not rise because a bidder is lost.
    #[arg(long)]
    pub no_price_premium: bool,
    /// Plans rules whose date has passed for the first period, instead of refusing them.
    #[arg(long)]
    pub late: bool,
    /// Counts equipment without evidence as failing.
    #[arg(long)]
    pub unknown_fails: bool,
    /// Stops when the plan is proven to be at most this share above the best.
    #[arg(long, value_name = "SHARE", default_value_t = 0.005)]
    pub gap: f64,
    /// Seed of the search; the same seed gives the same plan.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Stops after so many seconds with the best plan so far.
    #[arg(long, value_name = "SECONDS")]
    pub max_time: Option<u64>,
    /// Exact solver that tightens plan and bound after the search; HiGHS is built by `./run highs`.
    #[arg(long, value_enum, value_name = "NAME")]
    pub backend: Option<NetworkBackend>,
    /// Seconds that it may take for each plan.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub backend_time: u64,
}

/// How much work may be done.
#[derive(Debug, Args)]
pub struct Work {
    /// Threads; 0 is one for each core. The result does not depend on it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub jobs: usize,
    /// Time for the whole image, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub max_time: u64,
    /// Bytes that may come out of the image in all, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 64)]
    pub max_output: u64,
    /// Levels of contents inside contents.
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub max_depth: u32,
    /// Keys and passwords for encrypted containers (TOML; docs/keys.md says how it is written).
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}
