//! Reading a catalogue: TOML files to checked requirements.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::{Digest, Severity, Verdict, assessment::DataVersion};
use serde::Deserialize;
use toml::Spanned;

use crate::{
    builtin,
    expression::{Expression, Parameter, Refused, Scope, nearest},
    needs::Need,
    template::Template,
    value::Type,
    view::{IMAGE, KINDS, Record},
};

/// Why a catalogue is refused: what, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct CatalogueError {
    /// File as named by the caller.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// One sentence, with a suggestion where there is one.
    pub what: String,
}

/// A yardstick: requirements in the order in which they are applied.
#[derive(Debug)]
pub struct Catalogue {
    /// Id, such as `baseline`.
    pub id: String,
    /// Revision.
    pub revision: u32,
    /// One line.
    pub title: String,
    /// What it is for.
    pub about: String,
    /// SHA-256 over names and texts of its files.
    pub digest: Digest,
    /// Groups: id and title, in order.
    pub groups: Vec<(String, String)>,
    /// The requirements.
    pub requirements: Vec<Rule>,
    /// Constants, with what they stand for.
    pub parameters: BTreeMap<String, Parameter>,
}

/// A requirement, checked and ready to be evaluated.
#[derive(Debug)]
pub struct Rule {
    /// What the entry says, as written.
    pub entry: Entry,
    /// Group id.
    pub group: String,
    pub(crate) applies: Option<Expression>,
    pub(crate) checks: Vec<Checked>,
}

/// A check of a requirement, ready to be evaluated.
#[derive(Debug)]
pub(crate) struct Checked {
    /// Position of the kind of fact in `KINDS`; none for the whole image.
    pub over: Option<usize>,
    pub in_scope: Option<Expression>,
    pub fail: Option<Expression>,
    pub inconclusive: Option<Expression>,
    pub fails_when: Option<Expression>,
    pub at: Option<Expression>,
    pub message: Template,
    pub doubt: Option<Template>,
}

/// A requirement as written in a catalogue file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// Id, such as `ACC-01`; unique in the yardstick.
    pub id: Spanned<String>,
    /// Revision of the rule; any change of condition or text raises it.
    pub revision: u32,
    /// One line: what holds when it is met.
    pub title: String,
    /// Severity of a violation.
    pub severity: Severity,
    /// How far an image decides it: `I3` fully, `I2` partly, `I1` hints; `C` configuration, `R` running
    /// device, `D` document.
    pub reach: String,
    /// Clauses of published documents it is derived from.
    pub sources: Vec<String>,
    /// What exactly is looked at.
    pub checks: String,
    /// Why it matters.
    pub why: String,
    /// Known ways in which a violation may be found where there is none, and what is done about each.
    pub false_positives: Vec<String>,
    /// What mends a violation.
    pub remedy: String,
    /// Condition over the image: otherwise the requirement is not applicable.
    pub applies: Option<Spanned<String>>,
    /// Why it is not applicable, for a reader.
    pub not_applicable: Option<String>,
    /// The exact question to answer on a device or to ask its maker, when the verdict is inconclusive.
    pub question: String,
    /// Sentence about a pass.
    pub pass: String,
    /// Verdict when nothing is in scope: `pass`, `not-applicable` or `inconclusive`.
    pub none: Verdict,
    /// Sentence about that nothing is in scope.
    pub absent: Option<String>,
    /// What must have been read completely before the verdict may be pass or not-applicable.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Smallest number of bytes in which the thing looked for could hide.
    #[serde(default = "default_hides_in")]
    pub hides_in: u64,
    /// Verdicts that cannot come about, with the reason.
    #[serde(default)]
    pub impossible: BTreeMap<String, String>,
    /// What is checked, each over one kind of fact. One that fails makes the requirement fail.
    pub check: Vec<Check>,
}

/// A check of a requirement as written: conditions over one kind of fact.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// Kind of fact, or `image`.
    pub over: Spanned<String>,
    /// Condition over a fact: others are not looked at.
    pub in_scope: Option<Spanned<String>>,
    /// Condition over a fact: it violates the requirement.
    pub fail: Option<Spanned<String>>,
    /// Sentence about the violation.
    pub message: Spanned<String>,
    /// Condition over a fact that does not violate it: it stays open whether it does.
    pub inconclusive: Option<Spanned<String>>,
    /// Sentence about what stays open.
    pub doubt: Option<Spanned<String>>,
    /// Condition over `violations`, `open` and `examined`: enough of them for a fail. Must not become false
    /// as `violations` grows. Default: at least one.
    pub fails_when: Option<Spanned<String>>,
    /// For a check over the image: the facts a violation points at.
    pub at: Option<Spanned<String>>,
}

fn default_hides_in() -> u64 {
    1024
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    catalogue: Option<Header>,
    group: Option<Group>,
    #[serde(default)]
    requirement: Vec<Entry>,
    #[serde(default, rename = "use")]
    uses: Vec<Use>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    id: String,
    revision: u32,
    title: String,
    about: String,
    #[serde(default)]
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    id: String,
    title: String,
}

/// Requirements taken over from a built-in yardstick.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Use {
    yardstick: Spanned<String>,
    #[serde(default)]
    ids: Vec<Spanned<String>>,
}

/// A file of a catalogue under reading: knows how to turn offsets into lines.
#[derive(Clone, Copy)]
struct Source<'t> {
    name: &'t str,
    text: &'t str,
}

impl Source<'_> {
    fn error(&self, offset: usize, what: impl Into<String>) -> CatalogueError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        CatalogueError {
            file: self.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            what: what.into(),
        }
    }

    /// An error inside a quoted text: exact where the text has no escapes, else at its start.
    fn inside(&self, field: &Spanned<String>, r: Refused) -> CatalogueError {
        let span = field.span();
        let raw = self.text.get(span.clone()).unwrap_or_default();
        let start = raw.find(field.get_ref().as_str()).filter(|_| !field.get_ref().is_empty());
        self.error(span.start + start.map_or(0, |s| s + r.offset), r.what)
    }
}

/// All files of the catalogue under reading, and of what kind its names are.
struct Reading {
    parameters: BTreeMap<String, Parameter>,
}

impl Catalogue {
    /// Names of the built-in yardsticks.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        builtin::ALL.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in yardstick.
    ///
    /// # Errors
    ///
    /// There is none of this name (with those there are).
    pub fn builtin(name: &str) -> Result<Self, CatalogueError> {
        let Some((_, files)) = builtin::ALL.iter().find(|(n, _)| *n == name) else {
            let near = nearest(name, builtin::ALL.iter().map(|(n, _)| *n));
            let what = format!("no built-in yardstick has this name{near}");
            return Err(CatalogueError { file: name.to_owned(), line: 1, column: 1, what });
        };
        Self::read(files)
    }

    /// A yardstick from one file; `name` is used in messages.
    ///
    /// # Errors
    ///
    /// Not a catalogue, or a condition that does not check: with file, line, column and a suggestion.
    pub fn load(name: &str, text: &str) -> Result<Self, CatalogueError> {
        Self::read(&[(name, text)])
    }

    /// Id, revision and digest, for provenance.
    #[must_use]
    pub fn version(&self) -> DataVersion {
        DataVersion {
            id: self.id.clone(),
            version: self.revision.to_string(),
            sha256: Some(self.digest),
        }
    }

    /// The requirement of this id.
    #[must_use]
    pub fn rule(&self, id: &str) -> Option<&Rule> {
        self.requirements.iter().find(|r| r.entry.id.get_ref() == id)
    }

    fn read(files: &[(&str, &str)]) -> Result<Self, CatalogueError> {
        let mut parsed = Vec::new();
        let mut digested = String::new();
        for (name, text) in files {
            let source = Source { name, text };
            let file: File = toml::from_str(text).map_err(|e| {
                let what = e.message().lines().collect::<Vec<_>>().join(" ");
                source.error(e.span().map_or(0, |s| s.start), what)
            })?;
            digested.push_str(&format!("{name}\n{}\n{text}", text.len()));
            parsed.push((source, file));
        }
        let header = parsed.iter_mut().find_map(|(_, f)| f.catalogue.take()).ok_or_else(|| {
            let (name, text) = files.first().copied().unwrap_or_default();
            Source { name, text }.error(
                0,
                "no [catalogue] table with id, revision, title and about; every yardstick starts with one",
            )
        })?;
        let mut out = Self {
            id: header.id,
            revision: header.revision,
            title: header.title,
            about: header.about,
            digest: Digest::of(digested.as_bytes()),
            groups: Vec::new(),
            requirements: Vec::new(),
            parameters: header.parameters,
        };
        for (source, file) in parsed {
            for taken in &file.uses {
                out.take(source, taken)?;
            }
            let group = match file.group {
                Some(g) => {
                    out.group(g.id.clone(), g.title);
                    g.id
                }
                None if file.requirement.is_empty() => continue,
                None => {
                    let what = "no [group] table with id and title, but requirements";
                    return Err(source.error(0, what));
                }
            };
            let reading = Reading { parameters: out.parameters.clone() };
            for entry in file.requirement {
                out.add(source, reading.rule(source, entry, &group)?)?;
            }
        }
        Ok(out)
    }

    fn group(&mut self, id: String, title: String) {
        if !self.groups.iter().any(|(known, _)| *known == id) {
            self.groups.push((id, title));
        }
    }

    fn add(&mut self, source: Source<'_>, rule: Rule) -> Result<(), CatalogueError> {
        let id = &rule.entry.id;
        if self.rule(id.get_ref()).is_some() {
            let what =
                format!("`{}` stands in this yardstick twice; give one another id", id.get_ref());
            return Err(source.error(id.span().start, what));
        }
        self.requirements.push(rule);
        Ok(())
    }

    /// Requirements of a built-in yardstick, under this one's parameters.
    fn take(&mut self, source: Source<'_>, taken: &Use) -> Result<(), CatalogueError> {
        let name = taken.yardstick.get_ref();
        let Some((_, files)) = builtin::ALL.iter().find(|(n, _)| n == name) else {
            let near = nearest(name, builtin::ALL.iter().map(|(n, _)| *n));
            let what = format!("no built-in yardstick is called `{name}`{near}");
            return Err(source.error(taken.yardstick.span().start, what));
        };
        let mut wanted: BTreeSet<&str> = taken.ids.iter().map(|i| i.get_ref().as_str()).collect();
        let base = Self::builtin(name)?;
        // What is taken over is part of what this yardstick says.
        self.digest = Digest::of(format!("{}\n{}", self.digest, base.digest).as_bytes());
        let mut parameters = base.parameters.clone();
        parameters.extend(self.parameters.clone());
        self.parameters = parameters.clone();
        let reading = Reading { parameters };
        for (file_name, text) in *files {
            let inner = Source { name: file_name, text };
            // The yardstick itself was read above, so this cannot fail.
            let Ok(file) = toml::from_str::<File>(text) else { continue };
            let Some(group) = file.group else { continue };
            for entry in file.requirement {
                if taken.ids.is_empty() || wanted.remove(entry.id.get_ref().as_str()) {
                    self.group(group.id.clone(), group.title.clone());
                    let rule = reading.rule(inner, entry, &group.id)?;
                    self.add(source, rule)?;
                }
            }
        }
        match taken.ids.iter().find(|i| wanted.contains(i.get_ref().as_str())) {
            Some(missing) => {
                let all = base.requirements.iter().map(|r| r.entry.id.get_ref().as_str());
                let near = nearest(missing.get_ref(), all);
                let what = format!("`{name}` has no requirement `{}`{near}", missing.get_ref());
                Err(source.error(missing.span().start, what))
            }
            None => Ok(()),
        }
    }
}

/// Names that stand for the whole evidence, in every condition.
pub(crate) fn common_scope() -> Vec<(String, Type)> {
    let mut names =
        vec![("image".to_owned(), Type::Record(&IMAGE)), ("as_of".to_owned(), Type::Int)];
    names.extend(KINDS.iter().map(|r| (r.list.to_owned(), Type::Records(r))));
    names
}

impl Reading {
    fn scope(&self, more: &[(&str, Type)]) -> Scope {
        let mut variables = common_scope();
        variables.extend(more.iter().map(|(n, t)| ((*n).to_owned(), *t)));
        Scope { variables, parameters: self.parameters.clone() }
    }

    fn rule(&self, source: Source<'_>, entry: Entry, group: &str) -> Result<Rule, CatalogueError> {
        let start = entry.id.span().start;
        let id = entry.id.get_ref();
        let complain = |what: &str| Err(source.error(start, format!("`{id}` {what}")));
        if entry.applies.is_some() != entry.not_applicable.is_some() {
            return complain(
                "needs `applies` and `not-applicable` together: the condition and its sentence",
            );
        }
        if entry.none != Verdict::Pass && entry.absent.is_none() {
            return complain(
                "needs `absent`: the sentence for an image in which nothing is in scope",
            );
        }
        if entry.none == Verdict::Fail {
            return complain("cannot fail because nothing is in scope; a fail needs a place");
        }
        if entry.sources.is_empty() || entry.false_positives.is_empty() {
            return complain("needs at least one source and one false positive");
        }
        if entry.check.is_empty() {
            return complain("has no [[requirement.check]]; it could never say anything");
        }
        Ok(Rule {
            group: group.to_owned(),
            applies: condition(source, &entry.applies, &self.scope(&[]))?,
            checks: entry
                .check
                .iter()
                .map(|check| self.check(source, check))
                .collect::<Result<_, _>>()?,
            entry,
        })
    }

    fn check(&self, source: Source<'_>, check: &Check) -> Result<Checked, CatalogueError> {
        let over = match check.over.get_ref().as_str() {
            "image" => None,
            kind => {
                let wanted = kind.replace('-', "_");
                let found = KINDS.iter().position(|r| r.name == wanted);
                Some(found.ok_or_else(|| {
                    let near = nearest(&wanted, KINDS.iter().map(|r| r.name).chain(["image"]));
                    let what = format!("no kind of fact is called `{kind}`{near}");
                    source.error(check.over.span().start, what)
                })?)
            }
        };
        let start = check.over.span().start;
        if check.fail.is_none() && check.inconclusive.is_none() {
            let what = "a check needs `fail` or `inconclusive`; this one could never say anything";
            return Err(source.error(start, what));
        }
        if check.inconclusive.is_some() != check.doubt.is_some() {
            let what =
                "a check needs `inconclusive` and `doubt` together: the condition and its sentence";
            return Err(source.error(start, what));
        }
        let record: Option<&'static Record> = over.and_then(|k| KINDS.get(k).copied());
        let fact = match record {
            Some(r) => self.scope(&[(r.name, Type::Record(r))]),
            None => self.scope(&[]),
        };
        let counts =
            self.scope(&[("violations", Type::Int), ("open", Type::Int), ("examined", Type::Int)]);
        let template = |field: &Spanned<String>| {
            Template::read(field.get_ref(), &fact).map_err(|r| source.inside(field, r))
        };
        let at = check
            .at
            .as_ref()
            .map(|f| match Expression::read(f.get_ref(), &self.scope(&[])) {
                Ok(e) if matches!(e.ty, Type::Records(_)) => Ok(e),
                Ok(e) => {
                    let what = format!("this is {}, but a list of facts is needed here", e.ty);
                    Err(source.inside(f, Refused { offset: 0, what }))
                }
                Err(r) => Err(source.inside(f, r)),
            })
            .transpose()?;
        Ok(Checked {
            over,
            in_scope: condition(source, &check.in_scope, &fact)?,
            fail: condition(source, &check.fail, &fact)?,
            inconclusive: condition(source, &check.inconclusive, &fact)?,
            fails_when: condition(source, &check.fails_when, &counts)?,
            at,
            message: template(&check.message)?,
            doubt: check.doubt.as_ref().map(template).transpose()?,
        })
    }
}

/// Reads a field that holds a condition.
fn condition(
    source: Source<'_>,
    field: &Option<Spanned<String>>,
    scope: &Scope,
) -> Result<Option<Expression>, CatalogueError> {
    let Some(f) = field else { return Ok(None) };
    Expression::read_as(f.get_ref(), scope, Type::Bool).map(Some).map_err(|r| source.inside(f, r))
}
