//! What was seen in an image: typed observations with their places.
//!
//! A fact says what the bytes say, not what it means; what it means under a
//! requirement is the yardstick's part. Everything that could not be known is
//! *unknown with a reason* ([`Tri::Unknown`]), never silently absent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ComponentRef, Digest,
    finding::{Evidence, Strength},
};

/// A fact with its places and the inspector that established it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Observation {
    /// What was seen.
    #[serde(flatten)]
    pub fact: Fact,
    /// Where; the first place is the one to look at first.
    pub evidence: Evidence,
    /// Inspector id, such as `elf`.
    pub inspector: String,
    /// Its revision.
    pub revision: u32,
    /// Observed or inferred.
    pub strength: Strength,
}

/// All kinds of facts. In JSON the kind is the field `fact`.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", tag = "fact")]
pub enum Fact {
    /// A local account.
    Account(Account),
    /// A public key that opens a login.
    LoginKey(LoginKey),
    /// A private key.
    PrivateKey(PrivateKey),
    /// An X.509 certificate.
    Certificate(Certificate),
    /// A secret literal other than an account's password or a key.
    Secret(Secret),
    /// An executable or library with its hardening.
    Executable(Box<Executable>),
    /// A package of a package database.
    Package(Package),
    /// A component by whatever evidence.
    Component(Component),
    /// A program that the image's own start-up starts or could start.
    Service(Service),
    /// A setting of a service or of the system.
    Setting(Setting),
    /// A file whose permissions deserve attention.
    Permission(Permission),
    /// A kernel.
    Kernel(Kernel),
    /// A container that carries an update or a boot image, and how its integrity is protected.
    UpdateContainer(UpdateContainer),
    /// A file that serves development or diagnosis, or an interpreter or compiler.
    Tool(Tool),
    /// A mount that the image configures.
    Mount(Mount),
    /// A job that the image schedules.
    ScheduledJob(ScheduledJob),
    /// A property of the whole image that an inspector established.
    Trait(Trait),
}

impl Fact {
    /// The kind as written in JSON (`private-key`) and in rules.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::LoginKey(_) => "login-key",
            Self::PrivateKey(_) => "private-key",
            Self::Certificate(_) => "certificate",
            Self::Secret(_) => "secret",
            Self::Executable(_) => "executable",
            Self::Package(_) => "package",
            Self::Component(_) => "component",
            Self::Service(_) => "service",
            Self::Setting(_) => "setting",
            Self::Permission(_) => "permission",
            Self::Kernel(_) => "kernel",
            Self::UpdateContainer(_) => "update-container",
            Self::Tool(_) => "tool",
            Self::Mount(_) => "mount",
            Self::ScheduledJob(_) => "scheduled-job",
            Self::Trait(_) => "trait",
        }
    }
}

/// Yes, no, or why it cannot be said.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case", tag = "is", content = "why")]
pub enum Tri {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// It cannot be known from these bytes, because of this.
    Unknown(String),
    /// The question does not arise, because of this.
    NotApplicable(String),
}

/// A local account, joined over the stores that describe it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Account {
    /// Login name.
    pub user: String,
    /// Numeric user id, where the store has one.
    pub uid: Option<u32>,
    /// Numeric group id.
    pub gid: Option<u32>,
    /// Home folder.
    pub home: Option<String>,
    /// Login shell.
    pub shell: Option<String>,
    /// Kind of store: `passwd`, `shadow`, `htpasswd`, `uci`, `nvram`, ...
    pub store: String,
    /// User id 0 or the store's equivalent.
    pub superuser: bool,
    /// Whether the account can be logged in to: a shell that exists and a password that is not locked.
    pub login: Tri,
    /// State of the password.
    pub password: Password,
    /// Scheme of the stored password: `des-crypt`, `md5-crypt`, `sha256-crypt`, `sha512-crypt`, `bcrypt`,
    /// `yescrypt`, `apr1`, `plain`, ...
    pub scheme: Option<String>,
    /// The candidate of a public list that verified against the hash.
    pub guessed: Option<Guessed>,
    /// Candidates tried until one verified, the list ended or the budget of work ended.
    pub candidates_tried: u32,
    /// What in the image replaces the password at first boot, if anything was found.
    pub replaced_at_first_boot: Option<String>,
    /// Lies under a folder of templates, examples or package data that log-in does not read.
    pub template: bool,
}

/// State of a stored password.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Password {
    /// Empty: no password is asked.
    Empty,
    /// `*`, `!` or the like: no password opens it.
    Locked,
    /// A one-way hash.
    Hashed,
    /// Plain text or reversible.
    Recoverable,
    /// The store points to another one that is not in the image.
    Missing,
}

/// A password candidate that verified. The password itself is not in the document.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Guessed {
    /// Id of the list it stands in.
    pub list: String,
    /// Position in the list, so that whoever has the list can check it.
    pub index: u32,
    /// Salted digest of the candidate: SHA-256 over the content's digest and the candidate.
    pub salted: Digest,
}

/// A public key that opens a login.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct LoginKey {
    /// Account it opens, by the path it lies in.
    pub user: Option<String>,
    /// `ssh-ed25519`, `ssh-rsa`, ...
    pub algorithm: String,
    /// Size of the key in bits.
    pub bits: Option<u32>,
    /// `SHA256:...` as ssh-keygen prints it.
    pub fingerprint: String,
    /// Comment of the line.
    pub comment: Option<String>,
    /// Whether a server in the image is configured to read this path.
    pub honoured: Tri,
}

/// A private key.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct PrivateKey {
    /// `rsa`, `ec`, `ed25519`, `dsa`, ...
    pub algorithm: String,
    /// Size in bits.
    pub bits: Option<u32>,
    /// `pkcs1`, `pkcs8`, `sec1`, `openssh`, `dropbear`, `pkcs12`, ...
    pub encoding: String,
    /// Protected by a passphrase.
    pub encrypted: bool,
    /// What it is for.
    pub role: KeyRole,
    /// SHA-256 over the public part (SubjectPublicKeyInfo or SSH blob), where it can be derived.
    pub public: Option<Digest>,
    /// Service whose configuration names the file.
    pub used_by: Option<String>,
    /// Publication in which this very key stands, if it does.
    pub published: Option<String>,
    /// What in the image makes the key anew at first boot, if anything was found.
    pub replaced_at_first_boot: Option<String>,
}

/// What a key is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRole {
    /// Pairs with a server certificate, or a server's configuration names it.
    Server,
    /// SSH host key.
    SshHost,
    /// SSH or TLS client key.
    Client,
    /// Pairs with a certificate authority.
    Authority,
    /// Signs software.
    CodeSigning,
    /// Test vector or example of a library.
    TestVector,
    /// Not known.
    Unknown,
}

/// An X.509 certificate.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Certificate {
    /// Subject as RFC 4514 text.
    pub subject: String,
    /// Issuer as RFC 4514 text.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Start of validity, seconds since 1970-01-01 UTC.
    pub not_before: i64,
    /// End of validity, seconds since 1970-01-01 UTC.
    pub not_after: i64,
    /// Such as `sha256WithRSAEncryption`.
    pub signature_algorithm: String,
    /// `rsa`, `ec`, `ed25519`, ...
    pub key_algorithm: String,
    /// Key size in bits.
    pub key_bits: Option<u32>,
    /// Basic constraints say CA.
    pub authority: bool,
    /// Key usages and extended key usages by name: `digitalSignature`, `keyCertSign`, `serverAuth`, ...
    pub usages: Vec<String>,
    /// Subject is issuer.
    pub self_signed: bool,
    /// Lies in a store of public authorities.
    pub trust_store: bool,
    /// SHA-256 over the SubjectPublicKeyInfo, to pair it with a key.
    pub public: Digest,
    /// Service whose configuration names the file.
    pub used_by: Option<String>,
    /// What in the image makes the certificate anew at first boot, if anything was found.
    pub replaced_at_first_boot: Option<String>,
    /// Wrong but readable encodings, one sentence each.
    pub irregularities: Vec<String>,
}

/// A secret literal.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Secret {
    /// Kind, by rule id.
    pub kind: String,
    /// Name of the key or variable it is assigned to.
    pub name: Option<String>,
    /// At most four characters of it.
    pub prefix: String,
    /// Length in bytes.
    pub length: u32,
    /// SHA-256 over the content's digest and the secret.
    pub salted: Digest,
    /// What it is used for, where the use is in the same text: `http-basic`, `command-line`, ...
    pub sink: Option<String>,
}

/// An ELF (or PE) executable or library with its hardening as the loader would apply it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Executable {
    /// Path in its file system; empty where it lies in none.
    pub path: String,
    /// Package that owns the file, as `manager:name`.
    pub owner: Option<String>,
    /// The image's own start-up starts it, or something that is started needs it.
    pub started: Tri,
    /// It is started and would listen on the network, or such a program needs it.
    pub network_facing: Tri,
    /// Setuid, setgid or with file capabilities.
    pub privileged: bool,
    /// `elf` or `pe`.
    pub format: String,
    /// 32 or 64.
    pub bits: u32,
    /// Little-endian.
    pub little_endian: bool,
    /// `x86-64`, `arm`, `aarch64`, `mips`, `ppc`, ...
    pub machine: String,
    /// `executable`, `pie`, `shared-library`, `static`, `static-pie`, `kernel-module`, `object`.
    pub kind: String,
    /// Program interpreter.
    pub interpreter: Option<String>,
    /// `glibc`, `musl`, `uclibc`, `bionic`, `none`, `unknown`.
    pub libc: String,
    /// Libraries it needs.
    pub needed: Vec<String>,
    /// Soname.
    pub soname: Option<String>,
    /// Symbol table stripped.
    pub stripped: bool,
    /// Carries debug information.
    pub debug_info: bool,
    /// Loads at a random address.
    pub position_independent: Tri,
    /// Stack is not executable.
    pub non_executable_stack: Tri,
    /// `none`, `partial`, `full`, `not-applicable`.
    pub relro: String,
    /// Functions check a canary.
    pub stack_protector: Tri,
    /// Fortified libc calls are used where they could be.
    pub fortify: Tri,
    /// No segment is writable and executable.
    pub no_writable_code: Tri,
    /// No text relocations.
    pub no_text_relocations: Tri,
    /// DT_RPATH.
    pub rpath: Option<String>,
    /// DT_RUNPATH.
    pub runpath: Option<String>,
    /// Branch protection: CET on x86, BTI and PAC on AArch64.
    pub control_flow: Tri,
    /// Compiler as recorded (`.comment`).
    pub compiler: Option<String>,
    /// GNU build id, hexadecimal.
    pub build_id: Option<String>,
    /// Written in `c`, `c++`, `go`, `rust`, `unknown`.
    pub language: String,
}

/// A package of a package database.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Package {
    /// `dpkg`, `opkg`, `apk`, `rpm`, ...
    pub manager: String,
    /// Package name.
    pub name: String,
    /// Version as recorded.
    pub version: String,
    /// Architecture as recorded.
    pub architecture: Option<String>,
    /// Source package, where recorded: name, and version where it differs.
    pub source: Option<String>,
    /// Installed, not just known.
    pub installed: bool,
    /// Licence text as recorded.
    pub license: Option<String>,
    /// Paths the database says it owns.
    pub files: Vec<String>,
}

/// A component by one or several kinds of evidence.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Component {
    /// Coordinates.
    #[serde(flatten)]
    pub component: ComponentRef,
    /// `is`, `statically-contains`, `dynamically-needs`, `names`.
    pub relation: String,
    /// Rule or database that identified it.
    pub by: String,
    /// Package that owns the file, as `manager:name`.
    pub owner: Option<String>,
}

/// A program that the image's own start-up starts or could start.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Service {
    /// Name of the unit, script or line.
    pub name: String,
    /// Command line as configured.
    pub command: String,
    /// Path of the program in the image, where it was found.
    pub program: Option<String>,
    /// `sysv`, `inittab`, `procd`, `systemd`, `rc`, `inetd`, `android`, ...
    pub starter: String,
    /// Whether it runs in the delivered state.
    pub at_boot: Tri,
    /// What it speaks: `telnet`, `ssh`, `http`, `https`, `ftp`, `tftp`, `snmp`, `dns`, `dhcp`, `tr-069`,
    /// `console`, ...; empty where unknown.
    pub protocol: String,
    /// Where it would listen.
    pub listens: Vec<Listen>,
    /// User it runs as, where configured; without one it is the starter's (root).
    pub user: Option<String>,
    /// Confinement that the starter applies, by directive (`NoNewPrivileges` -> `yes`).
    pub confinement: BTreeMap<String, String>,
    /// The chain of files that leads to it, from init on.
    pub started_through: Vec<String>,
    /// Whether a client must authenticate.
    pub authentication: Tri,
}

/// A place where a service would listen.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Listen {
    /// `tcp`, `udp`, `unix`, `serial`.
    pub transport: String,
    /// Port number, for tcp and udp.
    pub port: Option<u16>,
    /// Address, path or device; `*` for all.
    pub address: String,
    /// `configured`, `default`: taken from the configuration or the program's known default.
    pub known_from: String,
}

/// A setting of a service or of the system, as it is in effect.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Setting {
    /// `sshd`, `dropbear`, `telnetd`, `httpd`, `snmpd`, `sysctl`, `login`, `pam`, `syslog`, `ntp`, ...
    pub subject: String,
    /// Key as the program names it, in its own spelling.
    pub key: String,
    /// Value.
    pub value: String,
    /// `configured` or `default` (the program's own default, because nothing sets it).
    pub known_from: String,
    /// The program it belongs to is started by the image.
    pub in_use: Tri,
}

/// A file whose permissions deserve attention.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Permission {
    /// Path in its file system.
    pub path: String,
    /// Mode bits `0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// `setuid`, `setgid`, `capability`, `world-writable`, `world-writable-folder`, `device`,
    /// `readable-secret`.
    pub issue: String,
    /// Kind of file: `file`, `directory`, `char-device`, `block-device`.
    pub file_kind: String,
    /// Capabilities as text, for `capability`.
    pub capabilities: Option<String>,
    /// What the file is, where that matters: `shell`, `interpreter`, `multi-call`, `su-program`,
    /// `init-script`, `configuration`, `library`, `executable`, `other`.
    pub role: String,
    /// It lies in a file system that cannot be written at run time.
    pub read_only: Tri,
}

/// A kernel.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Kernel {
    /// Release, such as `5.15.137`.
    pub release: String,
    /// The whole banner.
    pub banner: String,
    /// Where the configuration comes from: `embedded`, `file`, `none`.
    pub config_source: String,
    /// Configuration, `CONFIG_` stripped: `y`, `m`, or the value; options that are not set are absent.
    pub config: BTreeMap<String, String>,
    /// Machine, where known.
    pub machine: Option<String>,
}

/// How a container that carries an update or a boot image protects its integrity.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct UpdateContainer {
    /// Format id.
    pub format: String,
    /// Strongest mechanism the container itself carries.
    pub integrity: Integrity,
    /// Algorithm as named: `crc32`, `md5`, `sha256`, `rsa-2048-sha256`, ...
    pub algorithm: Option<String>,
    /// Whether the value was right, where it can be computed.
    pub correct: Tri,
    /// Says that (part of) the payload is encrypted.
    pub encrypted: bool,
    /// Outermost container of the image.
    pub outermost: bool,
}

/// Classes of integrity protection, weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Integrity {
    /// Nothing.
    None,
    /// A checksum against accidents.
    Crc,
    /// A digest without a key.
    Hash,
    /// A signature.
    Signature,
}

/// A file that serves development or diagnosis, or runs code given to it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Tool {
    /// Name, such as `gdbserver`.
    pub name: String,
    /// `debugger`, `packet-capture`, `compiler`, `interpreter`, `network-test`, `example`, `build-leftover`,
    /// `version-control`, `core-dump`.
    pub category: String,
    /// Path.
    pub path: String,
    /// The image's own start-up starts it.
    pub started: Tri,
    /// It lies below a folder that a web server of the image serves.
    pub served: Tri,
}

/// A mount that the image configures.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Mount {
    /// Device or pseudo file system.
    pub device: String,
    /// Mount point.
    pub target: String,
    /// File system type.
    pub fs: String,
    /// Options.
    pub options: Vec<String>,
    /// File that configures it.
    pub by: String,
}

/// A job that the image schedules.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct ScheduledJob {
    /// When, as written.
    pub when: String,
    /// User it runs as.
    pub user: Option<String>,
    /// Command line.
    pub command: String,
    /// Whether its program or a folder on the way is writable by others than root.
    pub program_writable: Tri,
}

/// A property of the whole image: `root-file-system`, `package-ownership`, `start-up-graph`,
/// `operating-system`, `device-class`, ... with a value.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Trait {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
    /// Whether what it says is complete, or why it may not be.
    pub complete: Tri,
}
