//! What a condition may look at: the fields of facts, by name and type.
//!
//! This list is the blindness of the yardstick. A field that could tell a
//! vendor or a country is not in it: names of certificate subjects and issuers,
//! package maintainers and licence texts, CPE names and package URLs, comments
//! of keys, build banners, digests, the image's own name. The loader knows no
//! other names, so a rule that asks for one is refused before it is ever
//! evaluated.

use std::borrow::Cow;

use proofmark_model::{
    Observation, Tri,
    fact::{Fact, Integrity, KeyRole, Password},
    finding::Strength,
};

use crate::value::{Got, Not, Subject, Type, Value, boolean, int, maybe, maybe_int, text, tri};

/// Reads a field of a record; a record of another kind has nothing recorded.
pub type Getter = for<'a> fn(Subject<'a>) -> Got<'a>;

/// A kind of thing with fields.
#[derive(Debug)]
pub struct Record {
    /// Name of the variable that stands for one.
    pub name: &'static str,
    /// Name of the list of all of them; empty where there is none.
    pub list: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its fields.
    pub fields: &'static [Field],
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Record {}

impl Record {
    /// The field of this name, own or common to all facts.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields().find(|f| f.name == name)
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> {
        let common: &[Field] = if self.list.is_empty() { &[] } else { COMMON };
        self.fields.iter().chain(common)
    }
}

/// A field of a record.
#[derive(Debug)]
pub struct Field {
    /// Name.
    pub name: &'static str,
    /// Type of its value.
    pub ty: Type,
    /// Nothing may be recorded: then it is unknown, and `has()` may ask for it.
    pub optional: bool,
    /// May be unknown or not applicable, with a reason.
    pub open: bool,
    /// What it says.
    pub doc: &'static str,
    /// Reads it.
    pub get: Getter,
}

/// Declares records: `NAME "variable" "list" pattern "doc" { field: kind "doc" = expression; }`.
macro_rules! records {
    ($($id:ident $name:literal $list:literal ($pick:pat => $x:ident) $doc:literal {
        $($field:ident : $kind:ident $fdoc:literal = $get:expr;)*
    })*) => {$(
        #[doc = $doc]
        pub static $id: Record = Record {
            name: $name, list: $list, doc: $doc,
            fields: &[$(Field {
                name: stringify!($field),
                ty: field_type!($kind),
                optional: field_optional!($kind),
                open: field_open!($kind),
                doc: $fdoc,
                get: {
                    fn get(subject: Subject<'_>) -> Got<'_> {
                        #[allow(unreachable_patterns, unused_variables)]
                        match subject {
                            $pick => $get,
                            _ => Err(Not::Recorded(stringify!($field))),
                        }
                    }
                    get
                },
            }),*],
        };
    )*};
}
macro_rules! field_type {
    (bool) => {
        Type::Bool
    };
    (tri) => {
        Type::Bool
    };
    (int) => {
        Type::Int
    };
    (maybe_int) => {
        Type::Int
    };
    (text) => {
        Type::Text
    };
    (maybe) => {
        Type::Text
    };
    (texts) => {
        Type::Texts
    };
    (map) => {
        Type::Map
    };
    (listens) => {
        Type::Records(&LISTEN)
    };
}
macro_rules! field_optional {
    (maybe) => {
        true
    };
    (maybe_int) => {
        true
    };
    ($other:ident) => {
        false
    };
}
macro_rules! field_open {
    (tri) => {
        true
    };
    ($other:ident) => {
        false
    };
}
macro_rules! fact {
    ($kind:ident, $x:ident) => {
        Subject::Fact(Observation { fact: Fact::$kind($x), .. }, _)
    };
}

include!("fields.rs");

/// Every kind of fact, in the order of the model, and the vulnerabilities.
pub static KINDS: &[&Record] = &[
    &ACCOUNT,
    &LOGIN_KEY,
    &PRIVATE_KEY,
    &CERTIFICATE,
    &SECRET,
    &EXECUTABLE,
    &PACKAGE,
    &COMPONENT,
    &SERVICE,
    &SETTING,
    &PERMISSION,
    &KERNEL,
    &UPDATE_CONTAINER,
    &TOOL,
    &MOUNT,
    &SCHEDULED_JOB,
    &VULNERABILITY,
];

/// Position in [`KINDS`] of a fact's kind; traits are not in it, they show as fields of the image.
#[must_use]
pub fn kind_of(fact: &Fact) -> Option<usize> {
    Some(match fact {
        Fact::Account(_) => 0,
        Fact::LoginKey(_) => 1,
        Fact::PrivateKey(_) => 2,
        Fact::Certificate(_) => 3,
        Fact::Secret(_) => 4,
        Fact::Executable(_) => 5,
        Fact::Package(_) => 6,
        Fact::Component(_) => 7,
        Fact::Service(_) => 8,
        Fact::Setting(_) => 9,
        Fact::Permission(_) => 10,
        Fact::Kernel(_) => 11,
        Fact::UpdateContainer(_) => 12,
        Fact::Tool(_) => 13,
        Fact::Mount(_) => 14,
        Fact::ScheduledJob(_) => 15,
        Fact::Trait(_) => return None,
    })
}

/// What is said of the whole image, from traits and sums; built once per evaluation.
#[derive(Debug)]
pub struct ImageView {
    /// Number of root file systems found.
    pub root_file_systems: i64,
    /// Start-up graph complete.
    pub start_up: Tri,
    /// Operating system by name.
    pub operating_system: Option<String>,
    /// Class of device.
    pub device_class: Option<String>,
    /// Nearly all files of a root file system carry one mode.
    pub uniform_permissions: bool,
    /// Bytes of the image.
    pub size: i64,
    /// Bytes no format claims.
    pub opaque: i64,
    /// Feeds of vulnerability data that were used.
    pub feeds: i64,
}

/// The three leading numbers of a kernel release, without what a builder appended.
fn release_number(release: &str) -> &str {
    let end = release.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(release.len());
    release.get(..end).unwrap_or_default().trim_end_matches('.')
}

/// The branch a kernel release belongs to: two numbers, three before 3.0.
fn branch(release: &str) -> &str {
    let dots = if release.starts_with("2.") { 3 } else { 2 };
    let end = release.match_indices('.').nth(dots - 1).map_or(release.len(), |(i, _)| i);
    release.get(..end).unwrap_or_default()
}

/// Compiler family of a `.comment` text: the builder's label in it is dropped.
fn compiler_family(comment: &str) -> &'static str {
    let lower = comment.to_ascii_lowercase();
    [("clang", "clang"), ("gcc", "gcc"), ("rustc", "rustc"), ("icc", "icc"), ("armcc", "armcc")]
        .into_iter()
        .find_map(|(needle, name)| lower.contains(needle).then_some(name))
        .unwrap_or("other")
}

/// Number `n` (from 0) of the dotted numbers in a version text.
fn part<'a>(field: &'static str, version: &str, n: usize) -> Got<'a> {
    maybe_int(field, version.split('.').nth(n).and_then(|p| p.parse::<i64>().ok()))
}

/// The last word of a `.comment` text that is a version: its first number.
fn compiler_major(comment: &str) -> Option<i64> {
    comment.split_whitespace().rev().find_map(|word| {
        let (major, rest) = word.split_once('.')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| major.parse().ok())?
    })
}
