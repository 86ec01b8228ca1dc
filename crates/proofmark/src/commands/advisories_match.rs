//! `proofmark advisories match`: from a component or an SBOM to graded vulnerabilities, without an image.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, process::ExitCode};

use proofmark_advisories::{
    corrections::Corrections,
    matching::{Funnel, Match as Found, Outcome, Platform, Query, gravest_first, match_component},
    sbom,
};
use proofmark_model::ComponentRef;
use serde::Serialize;

use crate::{
    cli::Match,
    commands,
    failure::{Code, Failure},
};

/// The whole answer.
#[derive(Serialize)]
struct Answer {
    /// `CycloneDX 1.6`, ...; absent where a single component was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    feeds: Vec<proofmark_model::assessment::DataVersion>,
    funnel: Funnel,
    matches: Vec<Found>,
    not_affected: Vec<Other>,
    withdrawn_records: usize,
    /// Components without an exact identity: records about them are found by name only, or not at all.
    without_identity: Vec<ComponentRef>,
    /// What may have been meant, by the name that was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    similar_names: BTreeMap<String, String>,
    problems: Vec<String>,
}

/// A record about another version.
#[derive(Serialize)]
struct Other {
    id: String,
    component: String,
    reason: String,
}

/// Matches and prints.
pub fn run(args: &Match) -> Result<ExitCode, Failure> {
    let wrong = |e: String| Failure::new(Code::Advisories, e);
    // Without a place for the user's own the starter database answers.
    let path = super::advisories::place(args.database.as_deref()).ok();
    if let Some(asked) = args.database.as_deref().filter(|p| !p.exists()) {
        return Err(wrong(format!("{}: there is no database; import makes one", asked.display())));
    }
    let store = proofmark_advisories::open(path.as_deref()).map_err(|e| wrong(e.to_string()))?;
    let corrections = match &args.corrections {
        Some(folder) => Corrections::from_folder(folder),
        None => Corrections::embedded(),
    }
    .map_err(wrong)?;
    let Asked { document, queries, platform, problems } = asked(&args.what)?;
    let mut answer = Answer {
        document,
        feeds: store.feeds(),
        funnel: Funnel::default(),
        matches: Vec::new(),
        not_affected: Vec::new(),
        withdrawn_records: 0,
        without_identity: Vec::new(),
        similar_names: BTreeMap::new(),
        problems,
    };
    for query in &queries {
        let outcome =
            match_component(query, store.as_ref(), &platform, &corrections).map_err(wrong)?;
        if let Some(c) = query.component.as_ref().filter(|_| outcome.by_name_only)
            && let Some(meant) = corrections.similar(&c.name)
        {
            answer.similar_names.insert(c.name.clone(), meant.to_owned());
        }
        answer.add(query, outcome);
    }
    answer.matches.sort_by(gravest_first);
    let text = if args.json {
        serde_json::to_string_pretty(&answer)
            .map_err(|e| Failure::new(Code::Output, e.to_string()))?
            + "\n"
    } else {
        answer.text(args.all)
    };
    commands::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is to be matched.
struct Asked {
    document: Option<String>,
    queries: Vec<Query>,
    platform: Platform,
    problems: Vec<String>,
}

/// What the argument names: a file that is there, else a component.
fn asked(what: &str) -> Result<Asked, Failure> {
    let path = Path::new(what);
    let looks_like_file =
        what.ends_with(".json") || what.contains(std::path::MAIN_SEPARATOR) && !what.contains(':');
    if path.is_file() || looks_like_file {
        let found = sbom::read(path).map_err(|e| Failure::new(Code::Input, e))?;
        return Ok(Asked {
            document: Some(found.format),
            queries: found.queries,
            platform: found.platform,
            problems: found.problems,
        });
    }
    let query = sbom::from_text(what).map_err(|e| Failure::new(Code::Argument, e))?;
    Ok(Asked {
        document: None,
        queries: vec![query],
        platform: Platform::default(),
        problems: Vec::new(),
    })
}

fn named(c: &ComponentRef) -> String {
    match &c.version {
        Some(v) => format!("{} {v}", c.name),
        None => format!("{} (version not known)", c.name),
    }
}

impl Answer {
    fn add(&mut self, query: &Query, outcome: Outcome) {
        let Some(component) = &query.component else { return };
        self.funnel.add(outcome.funnel);
        self.withdrawn_records += outcome.withdrawn;
        self.matches.extend(outcome.matches);
        let other = |n: proofmark_advisories::matching::NotAffected| Other {
            id: n.id,
            component: named(component),
            reason: n.reason,
        };
        self.not_affected.extend(outcome.not_affected.into_iter().map(other));
        if outcome.by_name_only {
            self.without_identity.push(component.clone());
        }
    }

    fn text(&self, all: bool) -> String {
        let mut out = String::new();
        if let Some(document) = &self.document {
            let _ = writeln!(out, "{document}");
        }
        let feeds: Vec<String> =
            self.feeds.iter().map(|f| format!("{} {}", f.id, f.version)).collect();
        let _ = writeln!(
            out,
            "data: {}\n",
            if feeds.is_empty() { "none".into() } else { feeds.join(", ") }
        );
        let (standing, dismissed): (Vec<_>, Vec<_>) =
            self.matches.iter().partition(|m| m.dismissed.is_none());
        for m in &standing {
            entry(&mut out, m);
        }
        if !dismissed.is_empty() {
            let _ = writeln!(out, "not affected, though a record names this version:\n");
            dismissed.iter().for_each(|m| entry(&mut out, m));
        }
        let f = &self.funnel;
        let _ = writeln!(
            out,
            "matched {}, applicable {}, present {}, unpatched {}, reachable {}",
            f.matched, f.applicable, f.present, f.unpatched, f.reachable
        );
        let _ = writeln!(
            out,
            "{} records are about other versions{}",
            self.not_affected.len(),
            if all { ":" } else { "" }
        );
        if all {
            for n in &self.not_affected {
                let _ =
                    writeln!(out, "  {:<16} {}: {}", n.id, n.component, n.reason.escape_debug());
            }
        }
        if self.withdrawn_records > 0 {
            let _ =
                writeln!(out, "{} records were withdrawn by their source", self.withdrawn_records);
        }
        for c in &self.without_identity {
            let meant = self.similar_names.get(&c.name);
            let meant = meant.map(|m| format!("; {m} is known")).unwrap_or_default();
            let _ = writeln!(
                out,
                "no exact identity is known of {}: nothing is concluded from its name{meant}",
                named(c).escape_debug()
            );
        }
        for problem in &self.problems {
            let _ = writeln!(out, "problem: {}", problem.escape_debug());
        }
        out
    }
}

/// One match with its reasons.
fn entry(out: &mut String, m: &Found) {
    let state = match &m.dismissed {
        Some(why) => word(why),
        None => word(&m.grade),
    };
    let mut marks = Vec::new();
    if m.known_exploited {
        marks.push("KNOWN EXPLOITED".to_owned());
    }
    if let Some(epss) = m.epss_ppm {
        marks.push(format!("EPSS {:.1} %", f64::from(epss) / 10_000.0));
    }
    if let Some(c) = &m.cvss {
        marks.push(format!("CVSS {} {}.{}", c.version, c.score_tenths / 10, c.score_tenths % 10));
    }
    if m.disputed {
        marks.push("disputed".into());
    }
    let _ = writeln!(
        out,
        "{:<16} {:<12} {}  {}",
        m.id,
        state,
        named(&m.component).escape_debug(),
        marks.join(", ")
    );
    for reason in &m.reasons {
        let _ = writeln!(out, "    {}", reason.escape_debug());
    }
}

/// Word of a grade or a dismissal, as it is spelled in JSON.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}
