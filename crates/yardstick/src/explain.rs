//! What a requirement is, for `proofmark explain` and for the generated reference.

use std::fmt::{self, Write as _};

use proofmark_model::Severity;

use crate::{
    builtin,
    catalogue::{Catalogue, Rule},
    view::{IMAGE, KINDS, LISTEN, Record},
};

/// Everything worth knowing about a requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Yardstick it belongs to.
    pub yardstick: String,
    /// Id.
    pub id: String,
    /// Revision.
    pub revision: u32,
    /// One line.
    pub title: String,
    /// Severity of a violation.
    pub severity: Severity,
    /// How far an image decides it.
    pub reach: String,
    /// What exactly is looked at.
    pub checks: String,
    /// Why it matters.
    pub why: String,
    /// The conditions, as `name: text`, in the order of evaluation.
    pub conditions: Vec<(String, String)>,
    /// What must have been read before it may pass.
    pub needs: Vec<String>,
    /// The question when it stays open.
    pub question: String,
    /// Known false positives.
    pub false_positives: Vec<String>,
    /// What mends a violation.
    pub remedy: String,
    /// Clauses it is derived from.
    pub sources: Vec<String>,
    /// Verdicts that cannot come about, with the reason.
    pub impossible: Vec<(String, String)>,
}

/// The requirement `id` (in any case of letters) of the built-in yardsticks, the first that has it.
#[must_use]
pub fn explain(id: &str) -> Option<Explanation> {
    let wanted = id.to_ascii_uppercase();
    builtin::ALL.iter().find_map(|(name, _)| {
        let catalogue = Catalogue::builtin(name).ok()?;
        catalogue.rule(&wanted).map(|rule| Explanation::of(&catalogue, rule))
    })
}

impl Explanation {
    /// The explanation of a requirement of any catalogue.
    #[must_use]
    pub fn of(catalogue: &Catalogue, rule: &Rule) -> Self {
        let e = &rule.entry;
        let mut conditions = Vec::new();
        let mut condition = |name: &str, text: &Option<toml::Spanned<String>>| {
            if let Some(text) = text {
                conditions.push((name.to_owned(), text.get_ref().trim().to_owned()));
            }
        };
        condition("applies", &e.applies);
        for check in &e.check {
            condition("over", &Some(check.over.clone()));
            condition("in-scope", &check.in_scope);
            condition("fail", &check.fail);
            condition("inconclusive", &check.inconclusive);
            condition("fails-when", &check.fails_when);
        }
        Self {
            yardstick: catalogue.id.clone(),
            id: e.id.get_ref().clone(),
            revision: e.revision,
            title: e.title.clone(),
            severity: e.severity,
            reach: e.reach.clone(),
            checks: e.checks.clone(),
            why: e.why.clone(),
            conditions,
            needs: e
                .needs
                .iter()
                .map(|n| format!("{n:?}"))
                .map(|n| {
                    let mut out = String::new();
                    for c in n.chars() {
                        if c.is_ascii_uppercase() && !out.is_empty() {
                            out.push('-');
                        }
                        out.push(c.to_ascii_lowercase());
                    }
                    out
                })
                .collect(),
            question: e.question.clone(),
            false_positives: e.false_positives.clone(),
            remedy: e.remedy.clone(),
            sources: e.sources.clone(),
            impossible: e.impossible.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = format!("{:?}", self.severity).to_lowercase();
        writeln!(f, "{} {}", self.id, self.title)?;
        writeln!(
            f,
            "yardstick {}, revision {}, severity {severity}, reach {}\n",
            self.yardstick, self.revision, self.reach
        )?;
        writeln!(f, "Checks: {}\n\nWhy: {}\n", self.checks, self.why)?;
        for (name, text) in &self.conditions {
            writeln!(f, "{name}: {text}")?;
        }
        if !self.needs.is_empty() {
            writeln!(f, "needs: {}", self.needs.join(", "))?;
        }
        writeln!(f, "\nWhen it stays open: {}\n\nFalse positives:", self.question)?;
        self.false_positives.iter().try_for_each(|p| writeln!(f, "- {p}"))?;
        writeln!(f, "\nRemedy: {}\n\nSources: {}", self.remedy, self.sources.join("; "))?;
        self.impossible.iter().try_for_each(|(v, why)| writeln!(f, "Never {v}: {why}"))
    }
}

/// `docs/requirements.md`: every requirement of every built-in yardstick.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Requirements\n\nGenerated from `catalogue/yardsticks/`; the test `docs` of the crate `yardstick` \
         fails when it is stale.\nHow a verdict comes about is told in `docs/yardstick.md`.\n",
    );
    for (name, _) in builtin::ALL {
        let Ok(catalogue) = Catalogue::builtin(name) else { continue };
        let _ = writeln!(
            out,
            "\n## Yardstick `{}` (revision {}): {}\n\n{}\n\n{} requirements.\n",
            catalogue.id,
            catalogue.revision,
            catalogue.title,
            catalogue.about.trim(),
            catalogue.requirements.len()
        );
        out.push_str("| Id | Requirement | Severity | Reach | Sources |\n|---|---|---|---|---|\n");
        for rule in &catalogue.requirements {
            let e = &rule.entry;
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                e.id.get_ref(),
                e.title,
                format!("{:?}", e.severity).to_lowercase(),
                e.reach,
                e.sources.join("; ")
            );
        }
        if *name != "baseline" {
            continue;
        }
        for (group, title) in &catalogue.groups {
            let _ = writeln!(out, "\n### {title} ({group})");
            for rule in catalogue.requirements.iter().filter(|r| r.group == *group) {
                one(&mut out, &Explanation::of(&catalogue, rule));
            }
        }
    }
    out
}

fn one(out: &mut String, e: &Explanation) {
    let _ = writeln!(
        out,
        "\n#### {} {}\n\nRevision {}, reach {}.\n\n**Checks.** {}\n\n**Why.** {}\n\n```text",
        e.id, e.title, e.revision, e.reach, e.checks, e.why
    );
    for (name, text) in &e.conditions {
        let _ = writeln!(out, "{name}: {text}");
    }
    if !e.needs.is_empty() {
        let _ = writeln!(out, "needs: {}", e.needs.join(", "));
    }
    let _ =
        writeln!(out, "```\n\n**When it stays open.** {}\n\n**False positives.**\n", e.question);
    e.false_positives.iter().for_each(|p| {
        let _ = writeln!(out, "- {p}");
    });
    let _ = writeln!(out, "\n**Remedy.** {}", e.remedy);
    e.impossible.iter().for_each(|(v, why)| {
        let _ = writeln!(out, "\n**Never {v}.** {why}");
    });
}

/// The names a condition may use, as a Markdown section: generated into `docs/yardstick.md`.
#[must_use]
pub fn names() -> String {
    let mut out = String::new();
    let mut record = |r: &Record| {
        let list = if r.list.is_empty() { String::new() } else { format!(" (all: `{}`)", r.list) };
        let _ = writeln!(
            out,
            "\n### `{}`{list}\n\n{}\n\n| field | is | says |\n|---|---|---|",
            r.name, r.doc
        );
        for f in r.fields() {
            let more = match (f.optional, f.open) {
                (true, _) => ", may be not recorded",
                (_, true) => ", may be unknown or not applicable",
                _ => "",
            };
            let doc = f.doc.replace('|', "\\|");
            let _ = writeln!(out, "| `{}` | {}{more} | {doc} |", f.name, f.ty);
        }
    };
    record(&IMAGE);
    KINDS.iter().for_each(|r| record(r));
    record(&LISTEN);
    out
}
