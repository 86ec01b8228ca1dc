//! What unblob and binwalk read and we do not: `cargo xtask formats --compare`.
//!
//! Their lists are taken from the programs themselves where they are installed, else from `xtask/peers/`.
//! `mapping.txt` there says what each name is here; a name that is not in it is printed as new, and fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use crate::{Outcome, root};

/// Tool, and a command that prints one name a line.
const LIVE: [(&str, &str); 2] = [
    (
        "unblob",
        "${UNBLOB_PYTHON:-python3} -c 'from unblob.handlers import *\nfor h in (*BUILTIN_HANDLERS, *BUILTIN_DIR_HANDLERS): print(h.NAME)'",
    ),
    // Version 3 prints a table; version 2 has no such list.
    (
        "binwalk",
        "binwalk -L 2>/dev/null | sed -n 's/^.*\\b\\([a-z0-9_]*\\) *\\(Built-in\\|None\\|[a-z0-9]*\\) *$/\\1/p' | grep .",
    ),
];

/// Prints the comparison; fails where a name has no entry in the mapping, or one that names no format.
pub fn compare() -> Outcome {
    let read = |name: &str| {
        let path = root().join("xtask/peers").join(name);
        fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    };
    let page = fs::read_to_string(root().join("docs/formats.md"))
        .map_err(|e| format!("docs/formats.md: {e}"))?;
    let ours: BTreeSet<&str> = page
        .lines()
        .filter_map(|l| l.strip_prefix("| `")?.split_once('`'))
        .map(|(id, _)| id)
        .collect();
    let text = read("mapping.txt")?;
    let mut mapping = BTreeMap::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let mut words = line.splitn(4, ' ');
        let (Some(tool), Some(name), Some(mark), Some(rest)) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(format!("mapping.txt: `{line}`"));
        };
        mapping.insert((tool, name), (mark == "=", rest));
    }
    let mut wrong = 0_usize;
    let mut known = BTreeSet::new();
    for (tool, command) in LIVE {
        let kept = read(&format!("{tool}.txt"))?;
        let kept: BTreeSet<String> = kept
            .lines()
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
            .map(str::to_owned)
            .collect();
        let live = live(command);
        let names = live.as_ref().filter(|l| l.len() > 20).unwrap_or(&kept);
        let origin = if live.as_ref().is_some_and(|l| l.len() > 20) {
            "the installed program"
        } else {
            "the list in xtask/peers"
        };
        let (mut have, mut lack) = (0_usize, Vec::new());
        for name in names {
            match mapping.get(&(tool, name.as_str())) {
                Some((true, id)) if ours.contains(id) => {
                    known.insert(*id);
                    have += 1;
                }
                Some((true, id)) => {
                    lack.push(format!("{name}: no format `{id}` yet"));
                    wrong += 1;
                }
                Some((false, reason)) => lack.push(format!("{name}: {reason}")),
                None => {
                    lack.push(format!("{name}: new, not in mapping.txt"));
                    wrong += 1;
                }
            }
        }
        println!(
            "{tool}: {} names from {origin}; {have} are read here, {} are not",
            names.len(),
            lack.len()
        );
        lack.iter().for_each(|l| println!("  {l}"));
    }
    let only = ours.iter().filter(|id| !known.contains(**id)).count();
    println!("read here: {} formats, {only} of them by neither", ours.len());
    if wrong == 0 {
        Ok(())
    } else {
        Err(format!("{wrong} formats are read by others and not here, or not compared"))
    }
}

fn live(command: &str) -> Option<BTreeSet<String>> {
    let out =
        Command::new("sh").args(["-c", command]).output().ok().filter(|o| o.status.success())?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    Some(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect())
}
