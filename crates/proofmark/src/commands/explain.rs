//! `proofmark explain ID`: what a requirement checks, why, from which source, and where it is wrong.

use std::{fmt::Write as _, process::ExitCode};

use proofmark_inspect::secrets;
use proofmark_report::summary;
use proofmark_yardstick::{Catalogue, explain};

use crate::{
    cli::Explain,
    commands,
    failure::{Code, Failure},
};

/// Prints one explanation, or the list.
pub fn run(args: &Explain) -> Result<ExitCode, Failure> {
    let text = match &args.id {
        Some(id) => {
            explain(id).map(|e| e.to_string()).or_else(|| secret(id)).ok_or_else(|| unknown(id))?
        }
        None => list(),
    };
    commands::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn catalogues() -> impl Iterator<Item = Catalogue> {
    Catalogue::names().into_iter().filter_map(|name| Catalogue::builtin(name).ok())
}

fn list() -> String {
    let mut out = String::new();
    for catalogue in catalogues() {
        let version = catalogue.version();
        let _ = writeln!(out, "{} (revision {})", version.id, version.version);
        for rule in &catalogue.requirements {
            let r = &rule.entry;
            let _ = writeln!(
                out,
                "  {:<8} {:<9} {}",
                r.id.get_ref(),
                summary::severity(r.severity),
                r.title
            );
        }
    }
    let _ = writeln!(out, "secrets");
    for rule in secrets::rules() {
        let _ = writeln!(out, "  {:<28} {}", rule.id, rule.source);
    }
    out
}

/// A rule that finds secret literals.
fn secret(id: &str) -> Option<String> {
    let rule = secrets::rules().into_iter().find(|r| r.id.eq_ignore_ascii_case(id))?;
    let list = |title: &str, texts: &[String]| {
        texts.iter().fold(format!("{title}:\n"), |out, t| format!("{out}  {}\n", t.escape_debug()))
    };
    Some(format!(
        "{} (secret literal, revision {})\n\nLooked for near {} with the pattern\n  {}\n\n{}{}\nSource: {}\n",
        rule.id,
        rule.revision,
        rule.literals.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(", "),
        rule.pattern,
        list("Finds", &rule.finds),
        list("Passes over", &rule.passes_over),
        rule.source
    ))
}

fn unknown(id: &str) -> Failure {
    let wanted = id.to_ascii_uppercase();
    // The id that shares the longest start with what was typed.
    let same = |(x, y): &(u8, u8)| x.eq_ignore_ascii_case(y);
    let shared = |a: &str| a.bytes().zip(wanted.bytes()).take_while(same).count();
    let ids: Vec<String> = catalogues()
        .flat_map(|c| {
            c.requirements.iter().map(|r| r.entry.id.get_ref().clone()).collect::<Vec<_>>()
        })
        .chain(secrets::rules().into_iter().map(|r| r.id))
        .collect();
    let near = ids.iter().max_by_key(|i| shared(i)).filter(|i| shared(i) > 1);
    let hint = near.map_or_else(
        || "`proofmark explain` lists all".to_owned(),
        |n| format!("did you mean {n}? `proofmark explain` lists all"),
    );
    Failure::new(Code::Unknown, format!("{id}: no requirement and no rule has this id; {hint}"))
}
