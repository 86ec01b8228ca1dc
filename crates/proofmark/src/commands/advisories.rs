//! `proofmark advisories`: the local database of vulnerability data.
//!
//! Thin: everything is done by `proofmark-advisories`; here are arguments, progress and tables.

use std::{
    fmt::Write as _,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use indicatif::{ProgressBar, ProgressStyle};
#[cfg(feature = "update")]
use proofmark_advisories::update;
use proofmark_advisories::{
    Database, Error, Starter, Store as _, date,
    import::{self, Options, Progress, Summary},
    status,
};

use crate::{
    cli::Advisories,
    commands,
    documents::own_database,
    failure::{Code, Failure},
};

/// Runs one of the commands.
pub fn run(command: &Advisories) -> Result<ExitCode, Failure> {
    match command {
        Advisories::Import { paths, database, allow_smaller, json } => {
            let path = place(database.as_deref())?;
            let bar = bar();
            let done = import::import(&path, paths, &import_options(*allow_smaller), &mut |p| {
                step(&bar, p)
            });
            bar.finish_and_clear();
            let summary = done.map_err(wrong)?;
            commands::print(&if *json { pretty(&summary)? } else { told(&summary) })?;
            Ok(ExitCode::from(u8::from(!summary.refused.is_empty())))
        }
        #[cfg(feature = "update")]
        Advisories::Update { feed, base: bases, database, allow_smaller, json } => {
            let path = place(database.as_deref())?;
            let base = |text: &String| {
                let (name, url) = text.split_once('=').ok_or_else(|| {
                    let message = format!(
                        "{text}: write an address as NAME=URL, such as nvd=https://mirror.example"
                    );
                    Failure::new(Code::Argument, message)
                })?;
                Ok((name.to_owned(), url.to_owned()))
            };
            let options = update::Options {
                feeds: feed.clone(),
                bases: bases.iter().map(base).collect::<Result<_, Failure>>()?,
                day: today(),
                import: import_options(*allow_smaller),
                ..update::Options::default()
            };
            let bar = bar();
            let told = &mut |url: &str| {
                bar.set_message(url.to_owned());
                bar.tick();
            };
            let done = update::update(&path, &options, told, &mut |p| step(&bar, p));
            bar.finish_and_clear();
            updated(&done.map_err(wrong)?, *json)
        }
        Advisories::Match(args) => super::advisories_match::run(args),
        Advisories::Status { database, as_of, json } => {
            let day = match as_of {
                Some(text) => date::day(text).ok_or_else(|| {
                    Failure::new(
                        Code::Argument,
                        format!("{text}: not a day; write it as 2026-01-31"),
                    )
                })?,
                None => today(),
            };
            let path = place(database.as_deref())?;
            // A database that was asked for by name must be there.
            let own = database.is_some() || path.exists();
            show(&path, own, day, *json)
        }
    }
}

pub fn place(asked: Option<&Path>) -> Result<PathBuf, Failure> {
    asked.map(Path::to_path_buf).or_else(own_database).ok_or_else(|| {
        let message =
            "neither XDG_DATA_HOME nor HOME names a folder; name the database with --database";
        Failure::new(Code::Argument, message)
    })
}

fn wrong(e: Error) -> Failure {
    Failure::new(Code::Advisories, e.to_string())
}

/// Today's day, by this machine's clock. Only the age of data is counted from it, never a result.
fn today() -> i32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    i32::try_from(seconds / 86_400).unwrap_or(i32::MAX)
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}

/// How to import.
fn import_options(allow_smaller: bool) -> Options {
    Options { allow_smaller, day: Some(date::text(today())), ..Options::default() }
}

fn step(bar: &ProgressBar, p: Progress<'_>) {
    let name = p.file.file_name().unwrap_or_default().to_string_lossy();
    bar.set_message(format!("{name}: {} records", p.records));
    bar.tick();
}

fn pretty(value: &impl serde::Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Failure::new(Code::Output, e.to_string()))?;
    Ok(text + "\n")
}

/// What an import did.
fn told(s: &Summary) -> String {
    let feeds: Vec<_> = s.feeds.iter().map(String::as_str).collect();
    let mut out = format!(
        "{} files, {} records ({} new, {} changed) of {}\n",
        s.files,
        s.records,
        s.new,
        s.changed,
        if feeds.is_empty() { "no feed".to_owned() } else { feeds.join(", ") }
    );
    s.older.iter().for_each(|p| {
        let _ = writeln!(out, "left out  {p}");
    });
    s.refused.iter().for_each(|p| {
        let _ = writeln!(out, "REFUSED   {p}");
    });
    s.first_problems.iter().for_each(|p| {
        let _ = writeln!(out, "problem   {p}");
    });
    let more = s.problems.saturating_sub(s.first_problems.len() as u64);
    if more > 0 {
        let _ = writeln!(out, "and {more} more problems");
    }
    out
}

/// Says what an update did; what was not fetched or refused makes it end with status 1.
#[cfg(feature = "update")]
fn updated(o: &update::Outcome, json: bool) -> Result<ExitCode, Failure> {
    let mut out = format!("{} files fetched, {} not changed since\n", o.fetched, o.same);
    out.extend(o.import.as_ref().map(told));
    o.failed.iter().for_each(|p| {
        let _ = writeln!(out, "FAILED    {p}");
    });
    commands::print(&if json { pretty(o)? } else { out })?;
    let refused = o.import.as_ref().is_some_and(|s| !s.refused.is_empty());
    Ok(ExitCode::from(u8::from(refused || !o.failed.is_empty())))
}

fn show(path: &Path, own: bool, day: i32, json: bool) -> Result<ExitCode, Failure> {
    let (name, rows) = if own {
        let database = Database::open(path).map_err(wrong)?;
        (path.display().to_string(), status::status(&database, day))
    } else {
        let starter = Starter::open().map_err(|e| Failure::new(Code::Advisories, e))?;
        let counts = starter.counts();
        let mut rows = status::freshness(&starter.feeds(), day);
        for row in &mut rows {
            let of = |name: &str| row.feed.strip_prefix("starter/") == Some(name);
            row.records = counts.iter().find(|(name, _)| of(name)).map(|(_, n)| u64::from(*n));
        }
        (format!("the starter database of {}", starter.date()), rows)
    };
    if json {
        let all = serde_json::json!({"database": name, "as_of": date::text(day), "feeds": rows});
        commands::print(&pretty(&all)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut out = format!("{name}, as of {}\n\n", date::text(day));
    let _ = writeln!(
        out,
        "{:<24} {:>9}  {:<10} {:>10}  {:<5}  from",
        "feed", "records", "newest", "age", ""
    );
    for r in &rows {
        let age = r.age_days.map_or_else(|| "unknown".to_owned(), |d| format!("{d} days"));
        let line = format!(
            "{:<24} {:>9}  {:<10} {:>10}  {:<5}  {}",
            r.feed,
            r.records.unwrap_or_default(),
            r.newest.as_deref().unwrap_or("-"),
            age,
            if r.stale { "STALE" } else { "fresh" },
            r.source
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if !own {
        let _ = writeln!(out, "\nNo database at {}: import or update makes one.", path.display());
    }
    commands::print(&out)?;
    Ok(ExitCode::SUCCESS)
}
