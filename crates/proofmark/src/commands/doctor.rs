//! `proofmark doctor`: what this machine offers and what is in force.

use std::{
    fmt::Write as _,
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use proofmark_advisories::status::freshness;
use proofmark_assess::{cache, sandbox};
use proofmark_unpack::options::Limits;
use proofmark_yardstick::Catalogue;

use crate::{commands, documents, failure::Failure};

/// Prints it.
pub fn run() -> Result<ExitCode, Failure> {
    let mut out = String::new();
    let s = sandbox::support();
    let yes = |b| if b { "yes" } else { "NO" };
    let _ = writeln!(out, "proofmark {}", env!("CARGO_PKG_VERSION"));
    let _ = writeln!(
        out,
        "\nsandbox\n  Landlock   {}\n  seccomp    {}",
        yes(s.landlock),
        yes(s.seccomp)
    );
    if !(s.landlock && s.seccomp) {
        let _ = writeln!(out, "  Images are only read with --no-sandbox on this machine.");
    }
    let l = Limits::default();
    let _ = writeln!(out, "\nbudgets");
    for (name, value) in [
        ("bytes out of an image", size(l.output)),
        ("bytes out of one container", size(l.artifact_output)),
        ("bytes of one content", size(l.content)),
        ("ratio of one container", l.ratio.to_string()),
        ("artifacts", l.entries.to_string()),
        ("entries of one container", l.artifact_entries.to_string()),
        ("depth", l.depth.to_string()),
        ("time", l.time.map_or("none".into(), |t| format!("{} s", t.as_secs()))),
    ] {
        let _ = writeln!(out, "  {name:<27} {value}");
    }
    let _ = writeln!(out, "\ncache");
    match commands::assay::cache_folder() {
        Some(folder) => {
            let s = cache::size(&folder);
            let _ =
                writeln!(out, "  {}\n  {} in {} files", folder.display(), size(s.bytes), s.files);
        }
        None => {
            let _ = writeln!(out, "  none: neither XDG_CACHE_HOME nor HOME names a folder");
        }
    }
    let _ = writeln!(out, "\nrules and data");
    let _ = writeln!(out, "  formats and inspectors  {}", proofmark_assess::rules().short());
    for name in Catalogue::names() {
        if let Ok(c) = Catalogue::builtin(name) {
            let _ = writeln!(out, "  yardstick {name:<13} {}", c.version().version);
        }
    }
    let _ = writeln!(out, "  components              {}", proofmark_components::REVISION);
    advisories(&mut out);
    commands::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// Which vulnerability data an assay would use, and how old it is by this machine's clock.
fn advisories(out: &mut String) {
    let own = documents::own_database();
    let place = match own.as_deref().filter(|p| p.exists()) {
        Some(path) => path.display().to_string(),
        None => "built-in; `proofmark advisories update` fetches the current feeds".to_owned(),
    };
    let _ = writeln!(out, "\nadvisories\n  {place}");
    let store = match proofmark_advisories::open(own.as_deref()) {
        Ok(store) => store,
        Err(e) => {
            let _ = writeln!(out, "  UNUSABLE: {e}");
            return;
        }
    };
    let days = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs() / 86_400);
    let day = i32::try_from(days).unwrap_or(i32::MAX);
    for f in freshness(&store.feeds(), day) {
        let newest = f.newest.as_deref().unwrap_or("undated");
        let stale = if f.stale { "  out of date" } else { "" };
        let _ = writeln!(out, "  {:<24} {newest}{stale}", f.feed);
    }
}

fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
