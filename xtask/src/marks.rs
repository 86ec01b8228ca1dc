//! Names by which a source file of the kernel is known in a symbol table.
//!
//! Marks of a file are functions that every build of it has: defined at the top level outside any `#if`, neither static
//! nor inline nor weak nor thrown away, and functions given to an initcall, which are static and have their address
//! taken. A name that any other source defines too, static or not, is no mark.

use std::collections::{BTreeMap, BTreeSet};

/// Most marks kept of one file.
const MOST: usize = 6;

/// Functions of one source.
#[derive(Default)]
pub struct Functions {
    /// Every function defined anywhere in it.
    all: BTreeSet<String>,
    /// Those that every build of it has.
    certain: BTreeSet<String>,
}

/// Reads the functions of a C source that is laid out as the kernel's style has it.
pub fn functions(text: &str) -> Functions {
    let mut out = Functions::default();
    let mut conditions = 0_u32;
    let mut initcalls = BTreeSet::new();
    let lines: Vec<&str> = text.lines().collect();
    for (n, line) in lines.iter().enumerate() {
        if let Some(directive) = line.strip_prefix('#').map(str::trim_start) {
            if directive.starts_with("if") {
                conditions += 1;
            } else if directive.starts_with("endif") {
                conditions = conditions.saturating_sub(1);
            }
            continue;
        }
        if !line.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            continue;
        }
        if conditions == 0
            && let Some(name) = initcall(line)
        {
            initcalls.insert(name);
            continue;
        }
        let head: String = lines[n..].iter().take(12).flat_map(|l| [*l, "\n"]).collect();
        let Some((name, before)) = definition(&head) else { continue };
        out.all.insert(name.clone());
        let loose = [
            "static",
            "inline",
            "__weak",
            "extern",
            "__exit",
            "__always_inline",
            "__init_or_module",
        ];
        if conditions == 0 && !before.iter().any(|w| loose.contains(w)) {
            out.certain.insert(name);
        }
    }
    // An initcall of a function that is defined here, or that a macro makes from the driver's name.
    for name in initcalls {
        out.all.insert(name.clone());
        out.certain.insert(name);
    }
    out
}

/// The function of `module_init(f)`, `late_initcall(f)`, or that `module_pci_driver(d)` makes.
fn initcall(line: &str) -> Option<String> {
    let (macro_name, rest) = line.split_once('(')?;
    let argument: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let plain = !argument.is_empty() && rest[argument.len()..].starts_with(')');
    let driver = (macro_name.starts_with("module_") || macro_name.starts_with("builtin_"))
        && macro_name.ends_with("_driver");
    match macro_name {
        _ if !plain => None,
        "module_init" => Some(argument),
        m if m.ends_with("_initcall") || m.ends_with("_initcall_sync") => Some(argument),
        _ if driver => Some(format!("{argument}_init")),
        _ => None,
    }
}

/// Name of the function whose definition begins here, and the words before it.
fn definition(head: &str) -> Option<(String, Vec<&str>)> {
    let open = head.find('(')?;
    let body = head.find('{').unwrap_or(usize::MAX);
    let end = head.find([';', '=', '"']).unwrap_or(usize::MAX);
    if body > end || open > body {
        return None;
    }
    let mut words: Vec<&str> = head[..open]
        .split(|c: char| c.is_whitespace() || c == '*')
        .filter(|w| !w.is_empty())
        .collect();
    let name = words.pop()?;
    let identifier = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let telling =
        name.len() >= 6 && !name.starts_with("__") && name.bytes().any(|b| b.is_ascii_lowercase());
    (identifier && telling && !words.is_empty()).then(|| (name.to_owned(), words))
}

/// Marks of each file of one kernel: certain functions that no other source of it defines.
pub fn of_tree(sources: &BTreeMap<String, Functions>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut homes: BTreeMap<&str, u32> = BTreeMap::new();
    for name in sources.values().flat_map(|f| &f.all) {
        *homes.entry(name).or_default() += 1;
    }
    let mut out: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, f) in sources {
        let alone = f.certain.iter().map(String::as_str).filter(|n| homes.get(n) == Some(&1));
        out.insert(path, alone.collect());
    }
    out
}

/// The section of the table: marks that all kernels which have the file agree upon, two at least.
pub fn section(trees: &[BTreeMap<&str, BTreeSet<&str>>]) -> String {
    let paths: BTreeSet<&str> = trees.iter().flat_map(|t| t.keys().copied()).collect();
    let (mut out, mut folder) = ("marks\n".to_owned(), "");
    for path in paths {
        let mut common: Option<BTreeSet<&str>> = None;
        for marks in trees.iter().filter_map(|t| t.get(path)) {
            common = Some(match common {
                None => marks.clone(),
                Some(c) => c.intersection(marks).copied().collect(),
            });
        }
        let common = common.unwrap_or_default();
        if common.len() < 2 {
            continue;
        }
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        if dir != folder {
            folder = dir;
            out.push_str(&format!("{dir}/\n"));
        }
        // Spread over the file's names, so that a part that one release lost does not take all of them.
        let step = common.len().div_ceil(MOST);
        let some: Vec<&str> = common.into_iter().step_by(step).collect();
        out.push_str(&format!(" {name} {}\n", some.join(",")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_build_has() {
        let text = "int one_global(struct x *y)\n{\n}\nstatic int two_static(void)\n{\n}\n#ifdef CONFIG_A\nvoid three_cond(void)\n{\n}\n#endif\n\
            struct net *four_pointer(int a,\n\tint b)\n{\n}\nint five_declared(void);\nint six_table[] = { f(1) };\nmodule_init(seven_start);\n\
            module_pci_driver(eight_drv);\nSYSCALL_DEFINE2(nine, int, a)\n{\n}\nvoid __exit ten_leaves(void)\n{\n}\nint __weak eleven_w(void)\n{\n}\n";
        let f = functions(text);
        let names: Vec<&str> = f.certain.iter().map(String::as_str).collect();
        assert_eq!(names, ["eight_drv_init", "four_pointer", "one_global", "seven_start"]);
        assert!(f.all.contains("two_static") && f.all.contains("three_cond"));
    }

    #[test]
    fn a_name_of_two_sources_marks_none() {
        let read = |t: &str| functions(t);
        let sources = BTreeMap::from([
            (
                "a/x.c".to_owned(),
                read(
                    "int shared_name(void)\n{\n}\nint only_in_x(void)\n{\n}\nint also_in_x(void)\n{\n}\n",
                ),
            ),
            ("a/y.c".to_owned(), read("static int shared_name(void)\n{\n}\n")),
        ]);
        assert_eq!(section(&[of_tree(&sources)]), "marks\na/\n x.c also_in_x,only_in_x\n");
    }
}
