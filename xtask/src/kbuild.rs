//! Which options a kernel's source files are built under, read from the kernel's own build files.
//!
//! ```sh
//! cargo xtask kbuild linux-source-6.1 linux-source-6.12 | gzip -9n > catalogue/kernel/kbuild.txt.gz
//! ```
//!
//! Facts only: path and option names. What cannot be read with certainty makes a file *more* likely to be built: an
//! unknown condition is dropped, a file that another one includes is left out, so that nothing is said about it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{Outcome, marks, marks::Functions};

/// Options that must all be on.
type All = BTreeSet<String>;
/// Any of these holds.
type Any = BTreeSet<All>;

/// More alternatives than this become one: what all of them have in common.
const MOST: usize = 8;

/// Reads source trees and prints the table of all of them.
pub fn run(args: &[String]) -> Outcome {
    if args.is_empty() {
        return Err("give the folders of unpacked kernel sources".into());
    }
    let trees = args.iter().map(|f| Tree::read(Path::new(f))).collect::<Result<Vec<_>, _>>()?;
    print!("{}", text(&trees));
    Ok(())
}

/// All trees as one table. The first line names the versions; a folder stands on its own line, its files below it
/// with their condition, and with the versions' places in the first line where it does not hold for all of them.
fn text(trees: &[Tree]) -> String {
    let versions: Vec<&str> = trees.iter().map(|t| t.version.as_str()).collect();
    let mut out = format!("kernels {}\n", versions.join(" "));
    let merged = |part: fn(&Tree) -> BTreeMap<String, String>| {
        let mut all: BTreeMap<String, BTreeMap<String, Vec<usize>>> = BTreeMap::new();
        for (i, tree) in trees.iter().enumerate() {
            for (name, value) in part(tree) {
                all.entry(name).or_default().entry(value).or_default().push(i);
            }
        }
        all
    };
    let line = |name: &str, value: &str, places: &[usize]| {
        let places: String = if places.len() < trees.len() {
            places.iter().map(|p| format!(" {p}")).collect()
        } else {
            String::new()
        };
        format!(" {name} {value}{places}\n")
    };
    let mut folders: BTreeMap<String, String> = BTreeMap::new();
    for (path, values) in merged(Tree::conditions) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", &path));
        let lines: String =
            values.iter().map(|(value, places)| line(name, value, places)).collect();
        folders.entry(dir.to_owned()).or_default().push_str(&lines);
    }
    for (dir, lines) in folders {
        out.push_str(&format!("{dir}/\n{lines}"));
    }
    out.push_str("depends\n");
    for (option, values) in merged(Tree::dependencies) {
        values.iter().for_each(|(value, places)| out.push_str(&line(&option, value, places)));
    }
    let known: Vec<_> = trees.iter().map(|t| marks::of_tree(&t.functions)).collect();
    out.push_str(&marks::section(&known));
    out
}

/// One kernel version.
struct Tree {
    version: String,
    files: BTreeMap<String, Any>,
    depends: BTreeMap<String, All>,
    functions: BTreeMap<String, Functions>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self, String> {
        let text =
            read(&root.join("Makefile")).ok_or(format!("{}: no kernel source", root.display()))?;
        let number = |key: &str| {
            text.lines()
                .find_map(|l| l.strip_prefix(key))
                .map(|v| v.trim_start_matches([' ', '=']).trim().to_owned())
        };
        let version = format!(
            "{}.{}",
            number("VERSION").ok_or("Makefile: no VERSION")?,
            number("PATCHLEVEL").ok_or("Makefile: no PATCHLEVEL")?
        );
        let mut walk = Walk { root: Some(root), ..Walk::default() };
        for dir in [
            "init", "kernel", "certs", "mm", "fs", "ipc", "security", "crypto", "drivers", "sound",
            "virt", "lib",
        ] {
            walk.folder(dir, &All::new(), 0);
        }
        for (dir, option) in
            [("block", "BLOCK"), ("io_uring", "IO_URING"), ("net", "NET"), ("rust", "RUST")]
        {
            walk.folder(dir, &All::from([option.to_owned()]), 0);
        }
        let arches = fs::read_dir(root.join("arch")).map_err(|e| format!("arch/: {e}"))?;
        for arch in arches.flatten().filter(|e| e.path().is_dir()) {
            walk.folder(&format!("arch/{}", arch.file_name().to_string_lossy()), &All::new(), 0);
        }
        let visited = walk.seen;
        let mut files = walk.files;
        let included = included(root);
        files.extend(unnamed(root, &files, &visited, &included));
        for path in included {
            files.remove(&path);
        }
        let mut options: BTreeSet<String> = files.values().flatten().flatten().cloned().collect();
        let all = depends(root);
        // What the options depend on, and those in turn.
        let mut open: Vec<String> = options.iter().cloned().collect();
        while let Some(option) = open.pop() {
            for d in all.get(&option).into_iter().flatten() {
                if options.insert(d.clone()) {
                    open.push(d.clone());
                }
            }
        }
        let depends =
            all.into_iter().filter(|(o, d)| options.contains(o) && !d.is_empty()).collect();
        let functions = files
            .keys()
            .filter(|p| p.ends_with(".c"))
            .filter_map(|path| Some((path.clone(), marks::functions(&read(&root.join(path))?))));
        let functions = functions.collect();
        Ok(Self { version, files, depends, functions })
    }

    /// Alternatives of each file: `A&B|C`, or `y`.
    fn conditions(&self) -> BTreeMap<String, String> {
        let written = |any: &Any| {
            if any.len() > MOST {
                // What all alternatives want must be on whichever holds.
                let mut all = any.iter();
                let first = all.next().cloned().unwrap_or_default();
                let common = all.fold(first, |c, a| c.intersection(a).cloned().collect());
                return if common.is_empty() { "y".to_owned() } else { joined(&common) };
            }
            if any.iter().any(All::is_empty) {
                return "y".to_owned();
            }
            any.iter().map(joined).collect::<Vec<_>>().join("|")
        };
        self.files.iter().map(|(path, any)| (path.clone(), written(any))).collect()
    }

    /// What each option depends on: `A&B`.
    fn dependencies(&self) -> BTreeMap<String, String> {
        self.depends.iter().map(|(option, on)| (option.clone(), joined(on))).collect()
    }
}

fn joined(all: &All) -> String {
    all.iter().map(String::as_str).collect::<Vec<_>>().join("&")
}

fn read(path: &Path) -> Option<String> {
    fs::read(path).ok().map(|b| String::from_utf8_lossy(&b).into_owned())
}

#[derive(Default)]
struct Walk<'a> {
    root: Root<'a>,
    files: BTreeMap<String, Any>,
    seen: BTreeSet<(String, All)>,
}

/// A path that has a default.
type Root<'a> = Option<&'a Path>;

/// One line of a build file: the conditions around it, its left side, its words.
struct Line {
    conditions: All,
    key: String,
    words: Vec<String>,
}

impl Walk<'_> {
    fn folder(&mut self, dir: &str, under: &All, depth: usize) {
        if depth > 20 || !self.seen.insert((dir.to_owned(), under.clone())) {
            return;
        }
        let Some(root) = self.root else { return };
        // An architecture has both; elsewhere Kbuild goes before Makefile.
        let kbuild = read(&root.join(dir).join("Kbuild"));
        let makefile = read(&root.join(dir).join("Makefile"));
        let is_arch = dir.starts_with("arch/") && dir.matches('/').count() == 1;
        let text = match (kbuild, makefile) {
            (Some(k), Some(m)) if is_arch => format!("{k}\n{m}"),
            (Some(k), _) => k,
            (None, Some(m)) => m,
            (None, None) => return,
        };
        let lines = lines(&text);
        let mut lists: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (i, line) in lines.iter().enumerate() {
            let stem = line.key.split("-$(").next().unwrap_or(&line.key);
            let stem =
                ["-objs", "-y", "-m"].iter().find_map(|s| stem.strip_suffix(s)).unwrap_or(stem);
            lists.entry(stem.to_owned()).or_default().push(i);
        }
        for line in &lines {
            let Some(option) = goal(&line.key) else { continue };
            let mut all = under.clone();
            all.extend(line.conditions.iter().cloned());
            all.extend(option);
            for word in expand(&line.words, &lines, &lists, 0) {
                self.word(dir, &word, &all, &lines, &lists, depth, 0);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one word with all that stands around it")]
    fn word(
        &mut self,
        dir: &str,
        word: &str,
        all: &All,
        lines: &[Line],
        lists: &BTreeMap<String, Vec<usize>>,
        depth: usize,
        nested: usize,
    ) {
        if nested > 6 || word.contains('$') {
            return;
        }
        if let Some(below) = word.strip_suffix('/') {
            let from_root = below.starts_with("arch/") || below.starts_with("drivers/");
            let path = if dir.starts_with("arch/") && from_root {
                below.to_owned()
            } else {
                join(dir, below)
            };
            self.folder(&path, all, depth + 1);
            return;
        }
        let Some(stem) = word.strip_suffix(".o") else { return };
        for i in lists.get(stem).into_iter().flatten() {
            let Some(line) = lines.get(*i) else { continue };
            if goal(&line.key).is_some() {
                continue;
            }
            let mut inner = all.clone();
            inner.extend(line.conditions.iter().cloned());
            inner.extend(options(&line.key, stem));
            for part in expand(&line.words, lines, lists, 0) {
                if part != word {
                    self.word(dir, &part, &inner, lines, lists, depth, nested + 1);
                }
            }
        }
        let Some(root) = self.root else { return };
        for ending in ["c", "S", "rs"] {
            let path = join(dir, &format!("{stem}.{ending}"));
            if root.join(&path).is_file() {
                self.files.entry(path).or_default().insert(all.clone());
                return;
            }
        }
    }
}

/// A path without `..`.
fn join(dir: &str, name: &str) -> String {
    let mut parts: Vec<&str> = dir.split('/').filter(|p| !p.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            p => parts.push(p),
        }
    }
    parts.join("/")
}

/// The options of a list that builds: `obj-y`, `obj-$(CONFIG_X)`, `lib-`, `core-`, `libs-`, `drivers-`. None for
/// other lists. `obj-` alone builds nothing.
fn goal(key: &str) -> Option<All> {
    let rest = ["obj-", "lib-", "core-", "libs-", "drivers-", "virt-", "net-"]
        .iter()
        .find_map(|p| key.strip_prefix(p))?;
    (!rest.is_empty()).then(|| named(rest))
}

/// The options of a part of a composite: `foo-$(CONFIG_X)`.
fn options(key: &str, stem: &str) -> All {
    key.strip_prefix(stem).map(named).unwrap_or_default()
}

/// The one option in a text; several or none are no condition.
fn named(text: &str) -> All {
    let mut found: All = All::new();
    for piece in text.split("CONFIG_").skip(1) {
        let end =
            piece.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(piece.len());
        found.insert(piece[..end].to_owned());
    }
    // A negation, or a choice between options, is not one.
    if found.len() == 1 && !text.contains("filter") && !text.contains("$(if") {
        found
    } else {
        All::new()
    }
}

/// Words with the variables of the same file in their place.
fn expand(
    words: &[String],
    lines: &[Line],
    lists: &BTreeMap<String, Vec<usize>>,
    depth: usize,
) -> Vec<String> {
    let mut out = Vec::new();
    for word in words {
        let name = word.strip_prefix("$(").and_then(|w| w.strip_suffix(')'));
        match name {
            Some(name) if depth < 4 => {
                let stem =
                    ["-objs", "-y", "-m"].iter().find_map(|s| name.strip_suffix(s)).unwrap_or(name);
                for i in lists.get(stem).into_iter().flatten() {
                    if let Some(line) = lines.get(*i)
                        && (line.key == name || line.key.starts_with(&format!("{stem}-")))
                    {
                        out.extend(expand(&line.words, lines, lists, depth + 1));
                    }
                }
            }
            _ => out.push(word.trim_matches(['(', ')', ',']).to_owned()),
        }
    }
    out
}

/// The lists of a build file with the conditions around each.
fn lines(text: &str) -> Vec<Line> {
    let joined = text.replace("\\\n", " ");
    let mut stack: Vec<All> = Vec::new();
    let mut out = Vec::new();
    for line in joined.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let word = line.split_whitespace().next().unwrap_or_default();
        match word {
            "ifdef" => stack.push(named(line)),
            "ifeq" => stack.push(
                if line.contains(",y)") || line.contains(", y)") || line.contains(",m)") {
                    named(line)
                } else {
                    All::new()
                },
            ),
            "ifneq" => stack.push(if line.contains(",)") || line.contains(", )") {
                named(line)
            } else {
                All::new()
            }),
            "ifndef" => stack.push(All::new()),
            "else" => {
                stack.pop();
                stack.push(All::new());
            }
            "endif" => {
                stack.pop();
            }
            _ => {
                let Some((key, value)) = line.split_once('=') else { continue };
                let key = key.trim_end_matches(['+', ':', '?', ' ', '\t']).trim();
                if key.is_empty() || key.contains(char::is_whitespace) && !key.contains("$(") {
                    continue;
                }
                out.push(Line {
                    conditions: stack.iter().flatten().cloned().collect(),
                    key: key.to_owned(),
                    words: value.split_whitespace().map(str::to_owned).collect(),
                });
            }
        }
    }
    out
}

/// Sources that no build file was seen to name, because it makes their names: what the folders around them are entered
/// under. A folder that a build file elsewhere speaks of is left out.
fn unnamed(
    root: &Path,
    files: &BTreeMap<String, Any>,
    visited: &BTreeSet<(String, All)>,
    included: &BTreeSet<String>,
) -> BTreeMap<String, Any> {
    let (mut sources, mut builds) = (Vec::new(), Vec::new());
    let mut open = vec![String::new()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(root.join(&dir)).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = join(&dir, &name);
            let outside = ["Documentation", "tools", "scripts", "samples", "debian"];
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !outside.contains(&&*path) => open.push(path),
                Ok(kind) if kind.is_dir() => {}
                _ if name == "Kbuild" || name.starts_with("Makefile") => {
                    builds.push((dir.clone(), read(&root.join(&path)).unwrap_or_default()));
                }
                _ if name.ends_with(".c") || name.ends_with(".S") => {
                    sources.push((dir.clone(), path))
                }
                _ => {}
            }
        }
    }
    let within = |dir: &str, folder: &str| {
        dir.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let mut known: BTreeMap<String, Any> = BTreeMap::new();
    let mut conditions = |dir: &str| -> Any {
        if let Some(any) = known.get(dir) {
            return any.clone();
        }
        let mut folder = dir;
        let any = loop {
            if !folder.contains('/') {
                break Any::new();
            }
            let any: Any =
                visited.iter().filter(|(d, _)| within(d, folder)).map(|(_, c)| c.clone()).collect();
            if !any.is_empty() {
                // The names of the two last folders tell one from another.
                let tail =
                    folder.rmatch_indices('/').nth(1).map_or(folder, |(at, _)| &folder[at + 1..]);
                let elsewhere =
                    |(d, text): &(String, String)| !within(d, folder) && text.contains(tail);
                break if builds.iter().any(elsewhere) { Any::new() } else { any };
            }
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        };
        known.insert(dir.to_owned(), any.clone());
        any
    };
    let mut out = BTreeMap::new();
    for (dir, path) in sources {
        if files.contains_key(&path) || included.contains(&path) || dir.starts_with("arch/") {
            continue;
        }
        let any = conditions(&dir);
        if !any.is_empty() && !any.iter().any(All::is_empty) {
            out.insert(path, any);
        }
    }
    out
}

/// Sources that other sources include: they are compiled with those, whatever their own line says.
fn included(root: &Path) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let mut open = vec![String::new()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = join(&dir, &name);
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !matches!(
                    name.as_str(),
                    "Documentation" | "tools" | "scripts" | "samples" | "debian"
                ) {
                    open.push(path);
                }
            } else if name.ends_with(".c") || name.ends_with(".S") || name.ends_with(".h") {
                let Some(text) = read(&root.join(&path)) else { continue };
                for line in text.lines().filter(|l| l.starts_with('#') && l.contains("include")) {
                    let Some(target) = line.split(['"', '<', '>']).nth(1) else { continue };
                    if target.ends_with(".c") || target.ends_with(".S") {
                        out.insert(join(&dir, target));
                        out.insert(target.to_owned());
                    }
                }
            }
        }
    }
    out
}

/// For each option the options that every one of its definitions depends on.
fn depends(root: &Path) -> BTreeMap<String, All> {
    let mut out: BTreeMap<String, All> = BTreeMap::new();
    let mut open = vec![String::new()];
    while let Some(dir) = open.pop() {
        let Ok(entries) = fs::read_dir(root.join(&dir)) else { continue };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = join(&dir, &name);
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !matches!(
                    name.as_str(),
                    "Documentation" | "tools" | "scripts" | "samples" | "debian"
                ) {
                    open.push(path);
                }
            } else if name.starts_with("Kconfig")
                && let Some(text) = read(&root.join(&path))
            {
                for (option, on) in kconfig(&text) {
                    match out.get_mut(&option) {
                        Some(known) => *known = known.intersection(&on).cloned().collect(),
                        None => {
                            out.insert(option, on);
                        }
                    }
                }
            }
        }
    }
    out
}

/// Definitions of one Kconfig file with what they depend on within it.
fn kconfig(text: &str) -> Vec<(String, All)> {
    let joined = text.replace("\\\n", " ");
    let mut around: Vec<All> = Vec::new();
    let mut out: Vec<(String, All)> = Vec::new();
    let mut in_menu = false;
    let mut help = false;
    for raw in joined.lines() {
        let line = raw.split('#').next().unwrap_or_default();
        let indented = line.starts_with([' ', '\t']);
        let line = line.trim();
        let mut words = line.split_whitespace();
        let word = words.next().unwrap_or_default();
        if help && indented {
            continue;
        }
        help = false;
        match word {
            "config" | "menuconfig" => {
                in_menu = false;
                if let Some(name) = words.next() {
                    out.push((name.to_owned(), around.iter().flatten().cloned().collect()));
                }
            }
            "if" if !indented => around.push(conjuncts(line.trim_start_matches("if").trim())),
            "menu" => {
                around.push(All::new());
                in_menu = true;
            }
            "choice" => {
                around.push(All::new());
                in_menu = true;
            }
            "endif" | "endmenu" | "endchoice" => {
                around.pop();
            }
            "depends" => {
                let on = conjuncts(
                    line.trim_start_matches("depends").trim().trim_start_matches("on").trim(),
                );
                if in_menu {
                    if let Some(last) = around.last_mut() {
                        last.extend(on);
                    }
                } else if let Some((_, last)) = out.last_mut() {
                    last.extend(on);
                }
            }
            "help" | "---help---" => help = true,
            _ => {}
        }
    }
    out
}

/// Options that must be on for the expression to hold.
fn conjuncts(expression: &str) -> All {
    // Below an or, or within parentheses, nothing must be on.
    if expression.contains("||") || expression.contains('(') {
        return All::new();
    }
    let option = |term: &str| {
        let term = term.trim();
        let name = term
            .strip_suffix("!=n")
            .or_else(|| term.strip_suffix("=y"))
            .or_else(|| term.strip_suffix("=m"));
        let name = name.unwrap_or(term).trim();
        let plain = name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
            || name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (plain && !name.is_empty() && !matches!(name, "y" | "n" | "m")).then(|| name.to_owned())
    };
    expression.split("&&").filter_map(option).collect()
}
