//! `proofmark assay`: the main job.

use std::{
    env, fs,
    io::{self, BufWriter, IsTerminal as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Mutex,
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use proofmark_advisories::corrections::Corrections;
use proofmark_assess::Progress;
use proofmark_model::{Assessment, Verdict};
use proofmark_report as report;
use proofmark_yardstick::Catalogue;

use crate::{
    cli::{Also, Assay, FailOn},
    commands, documents,
    failure::{Code, Failure},
    worker::PARTIAL,
};

/// Runs in the worker.
pub fn run(args: &Assay, no_sandbox: bool) -> Result<ExitCode, Failure> {
    let as_of = args.as_of.as_deref().map(day).transpose()?;
    let yardsticks = yardsticks(&args.yardstick)?;
    let cache = if args.no_cache { None } else { cache_folder() };
    // Folders that are written to must exist before the sandbox closes over them.
    let mut write = Vec::new();
    if let Some(folder) = &cache
        && fs::create_dir_all(folder).is_ok()
    {
        write.push(folder.clone());
    }
    if let Some(out) = &args.out {
        fs::create_dir_all(out).map_err(|e| Failure::output(out, &e))?;
        write.push(out.clone());
    }
    // Our own file, opened before the sandbox closes; documents of others are read inside it.
    let advisories = if args.no_advisories { None } else { Some(advisories(args)?) };
    let read = args.sbom.iter().chain(&args.vex).cloned().collect();
    let unpack = commands::options(&args.work)?;
    let input = commands::open(&args.image, no_sandbox, read, write)?;
    let options = proofmark_assess::Options {
        unpack,
        cache,
        yardsticks,
        as_of,
        advisories,
        claimed: args.sbom.iter().map(|p| documents::claimed(p)).collect::<Result<_, _>>()?,
        decisions: documents::decisions(&args.vex)?,
    };
    let bar = Bar::new();
    let assessment = proofmark_assess::assay(input, &options, &|p| bar.show(p));
    bar.clear();
    let mut files = Vec::new();
    if let Some(out) = &args.out {
        files = save(&assessment, out, &also(args, &assessment))?;
    }
    let colour = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    commands::print(&report::terminal(&assessment, width(), colour))?;
    if let Some(out) = &args.out {
        commands::print(&format!("Written to {}: {}\n", out.display(), files.join(", ")))?;
    }
    let reached = |level: FailOn| {
        let count = |v| assessment.judgements.iter().any(|j| j.verdict == v);
        match level {
            FailOn::Never => false,
            FailOn::Fail => count(Verdict::Fail),
            FailOn::Inconclusive => count(Verdict::Fail) || count(Verdict::Inconclusive),
        }
    };
    Ok(if reached(args.fail_on) { ExitCode::from(3) } else { ExitCode::SUCCESS })
}

fn advisories(args: &Assay) -> Result<proofmark_assess::Advisories, Failure> {
    let wrong = |e: String| Failure::new(Code::Advisories, e);
    if let Some(path) = args.advisories.as_ref().filter(|p| !p.exists()) {
        return Err(wrong(format!(
            "{}: there is no such database; make one with `proofmark advisories import`",
            path.display()
        )));
    }
    let path = args.advisories.clone().or_else(documents::own_database);
    Ok(proofmark_assess::Advisories {
        store: proofmark_advisories::open(path.as_deref()).map_err(|e| wrong(e.to_string()))?,
        corrections: Corrections::embedded().map_err(wrong)?,
    })
}

fn yardsticks(names: &[String]) -> Result<Vec<Catalogue>, Failure> {
    let default = ["baseline".to_owned()];
    let names = if names.is_empty() { &default[..] } else { names };
    let one = |name: &String| {
        if Catalogue::names().contains(&name.as_str()) {
            return Catalogue::builtin(name)
                .map_err(|e| Failure::new(Code::Yardstick, e.to_string()));
        }
        let text = fs::read_to_string(name).map_err(|e| {
            let known = Catalogue::names().join(", ");
            let message = format!(
                "{name}: neither a yardstick of this program ({known}) nor a readable file: {e}"
            );
            Failure::new(Code::Yardstick, message)
        })?;
        Catalogue::load(name, &text).map_err(|e| Failure::new(Code::Yardstick, e.to_string()))
    };
    names.iter().map(one).collect()
}

/// Seconds since 1970-01-01 at the start of the day `YYYY-MM-DD`.
fn day(text: &str) -> Result<i64, Failure> {
    let wrong = || {
        Failure::new(Code::Argument, format!("--as-of {text}: not a day; write it as 2026-01-31"))
    };
    let parts: Vec<i64> =
        text.split('-').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
    let [year, month, day] = parts[..] else { return Err(wrong()) };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = usize::try_from(month - 1).ok().and_then(|m| lengths.get(m)).ok_or_else(wrong)?;
    if !(1..=*length).contains(&day) || !(1970..=9999).contains(&year) {
        return Err(wrong());
    }
    // Days from civil: years counted from March, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Ok(days * 86_400)
}

/// Where facts are cached: below the user's cache folder.
pub fn cache_folder() -> Option<PathBuf> {
    let absolute = |p: std::ffi::OsString| Some(PathBuf::from(p)).filter(|p| p.is_absolute());
    let base = env::var_os("XDG_CACHE_HOME")
        .and_then(absolute)
        .or_else(|| Some(env::var_os("HOME").and_then(absolute)?.join(".cache")))?;
    Some(base.join("proofmark").join("facts"))
}

/// Columns of the terminal, or of a page where there is none.
pub fn width() -> usize {
    let asked = env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    let seen = console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns));
    asked.or(seen).unwrap_or(100).clamp(60, 140)
}

/// A file of an output folder: its name, and what is in it.
type Document = (&'static str, String);

/// The documents that were asked for beside the usual ones. One that has nothing to say is left out.
fn also(args: &Assay, a: &Assessment) -> Vec<Document> {
    let issue = report::Issue {
        author: &args.issuer,
        namespace: &args.namespace,
        moment: report::newest_entry(a).unwrap_or(0),
    };
    let one = |format: &Also| match format {
        Also::Spdx => Some(("sbom.spdx.json", report::spdx(a, &issue))),
        Also::Openvex => Some(("vex.openvex.json", report::vex::openvex::write(a, &issue)?)),
        Also::Csaf => Some(("vex.csaf.json", report::vex::csaf::write(a, &issue)?)),
        Also::CyclonedxVex => Some(("vex.cdx.json", report::vex::cyclonedx::write(a))),
    };
    args.also.iter().filter_map(one).collect()
}

/// Writes all files into a folder of their own, then moves them into place, so that an output folder never
/// holds half a result or files of two. The names of the files.
fn save(a: &Assessment, out: &Path, also: &[Document]) -> Result<Vec<&'static str>, Failure> {
    let partial = out.join(PARTIAL);
    let write = || -> io::Result<Vec<&'static str>> {
        let _ = fs::remove_dir_all(&partial);
        fs::create_dir(&partial)?;
        let json = BufWriter::new(fs::File::create(partial.join("assessment.json"))?);
        report::json::write(a, report::json::Layout::Compact, json)?;
        let documents = [
            ("report.html", report::html(a)),
            ("results.sarif", report::sarif(a)),
            ("sbom.cdx.json", report::cyclonedx(a)),
            ("findings.csv", report::csv::findings(a)),
            ("components.csv", report::csv::components(a)),
        ];
        let mut names = vec!["assessment.json"];
        for (name, text) in documents.iter().chain(also) {
            fs::write(partial.join(name), text)?;
            names.push(name);
        }
        names.iter().try_for_each(|name| fs::rename(partial.join(name), out.join(name)))?;
        Ok(names)
    };
    let result = write().map_err(|e| Failure::output(out, &e));
    let _ = fs::remove_dir_all(&partial);
    result
}

/// Progress on a terminal; nothing elsewhere.
pub struct Bar {
    bar: ProgressBar,
    last: Mutex<Instant>,
}

impl Bar {
    /// An empty bar.
    pub fn new() -> Self {
        let bar =
            if io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, last: Mutex::new(Instant::now()) }
    }

    /// Shows how far a run is.
    pub fn show(&self, p: Progress) {
        // Called often and from several threads: whoever finds the lock taken or the time too short skips.
        let Ok(mut last) = self.last.try_lock() else { return };
        if last.elapsed() < Duration::from_millis(80) {
            return;
        }
        *last = Instant::now();
        self.bar.set_length(p.bytes_total);
        self.bar.set_position(p.bytes_done);
        self.bar.set_message(format!(
            "{} of {}, {} artifacts",
            HumanBytes(p.bytes_done),
            HumanBytes(p.bytes_total),
            p.artifacts
        ));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::day;

    #[test]
    fn days() {
        assert_eq!(day("1970-01-01").unwrap(), 0);
        assert_eq!(day("2000-02-29").unwrap(), 951_782_400);
        assert_eq!(day("2026-11-23").unwrap(), 1_795_392_000);
        for wrong in ["2026-02-29", "2026-13-01", "2026-1", "tomorrow", "2026-00-10", "-1-1-1"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }
}
