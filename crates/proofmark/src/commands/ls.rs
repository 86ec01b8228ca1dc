//! `proofmark ls`: the artifact tree, one line for each artifact.

use std::{fmt::Write as _, process::ExitCode};

use proofmark_model::{Artifact, EntryKind};
use proofmark_unpack::Glob;

use crate::{
    cli::Ls,
    commands,
    failure::{Code, Failure},
};

/// Runs in the worker.
pub fn run(args: &Ls, no_sandbox: bool) -> Result<ExitCode, Failure> {
    let only = args.only.as_deref().map(Glob::new);
    let options = commands::options(&args.work)?;
    let input = commands::open(&args.image, no_sandbox, Vec::new(), Vec::new())?;
    let outcome = proofmark_unpack::unpack(input, &options, &());
    let mut out = String::new();
    let mut depths = Vec::with_capacity(outcome.artifacts.len());
    for a in &outcome.artifacts {
        let depth = a.parent.and_then(|p| depths.get(p.0 as usize)).map_or(0, |d| d + 1);
        depths.push(depth);
        let locator = a.locator.to_string();
        if only.as_ref().is_some_and(|g| !g.matches(&locator))
            || !(args.format.is_empty() || args.format.contains(&a.format))
            || (args.problems && a.problems.is_empty())
        {
            continue;
        }
        if args.json {
            let json =
                serde_json::to_string(a).map_err(|e| Failure::new(Code::Output, e.to_string()))?;
            out.push_str(&json);
            out.push('\n');
        } else {
            line(&mut out, a, &locator, args.tree.then_some(depth));
            for p in a.problems.iter().filter(|_| args.problems) {
                let at = p.offset.map_or(String::new(), |at| format!(" at {at:#x}"));
                let _ = writeln!(out, "    ! {}{at}", proofmark_report::plain(&p.message));
            }
        }
    }
    commands::print(&out)?;
    Ok(ExitCode::SUCCESS)
}

/// `drwxr-xr-x   0:0   0 2024-01-01T00:00:00Z  -  directory  LOCATOR -> TARGET`; `(superseded)` behind what a higher
/// layer of a container image hides, `!` behind what has problems.
fn line(out: &mut String, a: &Artifact, locator: &str, depth: Option<usize>) {
    let m = &a.metadata;
    let owner = match (m.uid, m.gid) {
        (None, None) => "-".to_owned(),
        (u, g) => {
            let text = |id: Option<u32>| id.map_or("-".to_owned(), |i| i.to_string());
            format!("{}:{}", text(u), text(g))
        }
    };
    let time = m.mtime.map_or("-".to_owned(), proofmark_report::moment);
    let digest = a.sha256.map_or("-".to_owned(), |d| d.short());
    let name = match depth {
        Some(d) => format!("{:indent$}{}", "", last(a), indent = 2 * d),
        None => locator.to_owned(),
    };
    let target = match &a.entry {
        EntryKind::Symlink { target } => format!(" -> {target}"),
        EntryKind::Hardlink { target } => format!(" = {target}"),
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            format!(" ({major}, {minor})")
        }
        _ => String::new(),
    };
    let hidden = if a.is_superseded() { "  (superseded)" } else { "" };
    let problems = if a.problems.is_empty() { "" } else { "  !" };
    let mode = mode(&a.entry, m.mode);
    let _ = writeln!(
        out,
        "{mode} {owner:>9} {:>11} {time:<20} {digest:<12} {:<10} {name}{target}{hidden}{problems}",
        a.size, a.format
    );
}

/// The last step of the locator.
fn last(a: &Artifact) -> String {
    match a.locator.steps.last() {
        Some(step) => step.to_string().trim_start_matches('/').to_owned(),
        None => a.locator.to_string(),
    }
}

/// As `ls -l` writes it; `?` where the container records none.
fn mode(entry: &EntryKind, mode: Option<u32>) -> String {
    let kind = match entry {
        EntryKind::Image => 'i',
        EntryKind::Region => 'r',
        EntryKind::Gap => 'g',
        EntryKind::File | EntryKind::Hardlink { .. } => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::CharDevice { .. } => 'c',
        EntryKind::BlockDevice { .. } => 'b',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::Whiteout => 'w',
    };
    let Some(bits) = mode else { return format!("{kind}?????????") };
    let mut text = String::from(kind);
    for (shift, special, set, clear) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let b = bits >> shift;
        text.push(if b & 4 != 0 { 'r' } else { '-' });
        text.push(if b & 2 != 0 { 'w' } else { '-' });
        text.push(match (b & 1 != 0, bits & special != 0) {
            (true, true) => set,
            (false, true) => clear,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_ls_writes_them() {
        assert_eq!(mode(&EntryKind::File, Some(0o4755)), "-rwsr-xr-x");
        assert_eq!(mode(&EntryKind::Directory, Some(0o1777)), "drwxrwxrwt");
        assert_eq!(mode(&EntryKind::File, Some(0o2640)), "-rw-r-S---");
        assert_eq!(mode(&EntryKind::Gap, None), "g?????????");
    }
}
