//! Under which options the kernel's build files compile each source.
//!
//! The table is made by `cargo xtask kbuild` from kernel sources: for each file alternatives of options that must all
//! be on, and what each option depends on. `moved.txt` has folders and files that once had another name.

use std::{
    collections::{BTreeSet, HashMap},
    io::Read as _,
    sync::OnceLock,
};

use super::KernelPicture;

const TABLE: &[u8] = include_bytes!("../../../../catalogue/kernel/kbuild.txt.gz");
const MOVED: &str = include_str!("../../../../catalogue/kernel/moved.txt");

/// More than the table is; it is compiled in, so this is a belt.
const LARGEST: u64 = 64 << 20;

/// What the table and a configuration say about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Built {
    /// Compiled into the kernel, because of these options.
    In(String),
    /// Compiled as a module.
    Module(String),
    /// Not compiled, because of this option.
    Out(String),
    /// Not known.
    Unknown,
}

/// Which versions of the table an entry holds for, one bit each.
type Mask = u8;

/// The table.
#[derive(Debug, Default)]
pub struct Table {
    versions: Vec<(u64, u64)>,
    files: HashMap<String, Vec<(&'static str, Mask)>>,
    depends: HashMap<&'static str, Vec<(&'static str, Mask)>>,
    marks: HashMap<String, Vec<&'static str>>,
    moved: Vec<(&'static str, &'static str)>,
}

/// What a symbol table says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marked {
    /// One of its functions is there.
    Present(String),
    /// None of those that every build of it has is there.
    Absent(String),
    /// Nothing.
    Unknown,
}

/// One of these is in every kernel that can load modules.
const LOADS_MODULES: [&str; 4] =
    ["load_module", "do_init_module", "register_module_notifier", "__module_address"];

/// Any kernel has these.
const EVERY_KERNEL: [&str; 3] = ["start_kernel", "do_exit", "schedule"];

/// State of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    On,
    Module,
    Off(String),
    Unknown,
}

/// The table compiled in, read once.
pub fn table() -> &'static Table {
    static ONCE: OnceLock<Table> = OnceLock::new();
    static TEXT: OnceLock<String> = OnceLock::new();
    ONCE.get_or_init(|| {
        let text = TEXT.get_or_init(|| {
            let mut text = String::new();
            // A table that cannot be read answers nothing; a test reads it.
            let _ = flate2::read::GzDecoder::new(TABLE).take(LARGEST).read_to_string(&mut text);
            text
        });
        Table::read(text)
    })
}

impl Table {
    fn read(text: &'static str) -> Self {
        let mut out = Self { moved: MOVED.lines().filter_map(moved).collect(), ..Self::default() };
        let mut folder = "";
        // Sections follow one another: files, what options depend on, marks.
        let (mut depends, mut marks) = (false, false);
        for line in text.lines() {
            if let Some(versions) = line.strip_prefix("kernels ") {
                out.versions = versions.split(' ').filter_map(line_of).collect();
            } else if line == "depends" {
                depends = true;
            } else if line == "marks" {
                (depends, marks) = (false, true);
            } else if let Some(entry) = line.strip_prefix(' ') {
                let mut words = entry.split(' ');
                let (Some(name), Some(condition)) = (words.next(), words.next()) else { continue };
                if marks {
                    out.marks.insert(format!("{folder}{name}"), condition.split(',').collect());
                    continue;
                }
                let places: Vec<u32> = words.filter_map(|w| w.parse().ok()).collect();
                let mask = if places.is_empty() {
                    Mask::MAX
                } else {
                    places.iter().fold(0, |m, p| m | 1u8.checked_shl(*p).unwrap_or(0))
                };
                if depends {
                    out.depends.entry(name).or_default().push((condition, mask));
                } else {
                    out.files.entry(format!("{folder}{name}")).or_default().push((condition, mask));
                }
            } else {
                folder = line;
            }
        }
        out
    }

    /// The versions of the table that a release stands on or between, and whether it does at all.
    fn near(&self, release: &str) -> (Mask, bool) {
        let all = self
            .versions
            .iter()
            .enumerate()
            .fold(0, |m, (i, _)| m | 1u8.checked_shl(i as u32).unwrap_or(0));
        let Some(own) = line_of(release) else { return (all, false) };
        let bit = |i: usize| 1u8.checked_shl(i as u32).unwrap_or(0);
        if let Some(i) = self.versions.iter().position(|v| *v == own) {
            return (bit(i), true);
        }
        let below = self.versions.iter().rposition(|v| *v < own);
        let above = self.versions.iter().position(|v| *v > own);
        match (below, above) {
            (Some(a), Some(b)) => (bit(a) | bit(b), true),
            _ => (all, false),
        }
    }

    /// Whether the symbol table has a file. Absent is only said where the table is complete, the release stands on or
    /// between those that the marks were read from, all of these have the file, and no module could have brought it.
    pub fn marked(&self, file: &str, picture: &KernelPicture) -> Marked {
        let known = |name: &str| picture.has_symbol(name);
        let Some(marks) = self.marks.get(file) else { return Marked::Unknown };
        if let Some(seen) = marks.iter().find(|m| known(m)) {
            return Marked::Present((*seen).to_owned());
        }
        let (mask, near) = self.near(&picture.release);
        let covered = self.files.get(file).into_iter().flatten().fold(0, |all, (_, m)| all | m);
        let whole = picture.symbols_complete && EVERY_KERNEL.iter().all(|n| known(n));
        if !whole || !near || covered & mask != mask || LOADS_MODULES.iter().any(|n| known(n)) {
            return Marked::Unknown;
        }
        Marked::Absent(marks.join(", "))
    }

    /// Whether a file is part of the kernel.
    pub fn built(&self, file: &str, picture: &KernelPicture) -> Built {
        if picture.config.is_empty() {
            return Built::Unknown;
        }
        let (mask, near) = self.near(&picture.release);
        let mut entries = self.files.get(file);
        let mut moved = false;
        if entries.is_none_or(|e| e.iter().all(|(_, m)| m & mask == 0)) {
            let new = self.moved.iter().find_map(|(old, new)| {
                file.strip_prefix(old).map(|rest| {
                    if old.ends_with('/') { format!("{new}{rest}") } else { (*new).to_owned() }
                })
            });
            if let Some(found) = new.and_then(|n| self.files.get(&n)) {
                entries = Some(found);
                moved = true;
            }
        }
        let relevant: Vec<&str> = entries
            .into_iter()
            .flatten()
            .filter(|(_, m)| moved || m & mask != 0)
            .map(|(c, _)| *c)
            .collect();
        // A source that only one of the neighbouring versions has may have had other options between them.
        let covered = entries.into_iter().flatten().fold(0, |all, (_, m)| all | m);
        let strict = !near || moved || covered & mask != mask;
        let mut answer: Option<Built> = None;
        for condition in relevant {
            let one = self.condition(condition, picture, strict);
            answer = Some(match (answer, one) {
                (None, one) => one,
                // The versions of the table must agree.
                (Some(a), b) if std::mem::discriminant(&a) == std::mem::discriminant(&b) => a,
                _ => Built::Unknown,
            });
        }
        answer.unwrap_or(Built::Unknown)
    }

    fn condition(&self, condition: &str, picture: &KernelPicture, strict: bool) -> Built {
        if condition == "y" {
            return if strict { Built::Unknown } else { Built::In("every kernel has it".into()) };
        }
        let mut out = Vec::new();
        let (mut module, mut open) = (None, false);
        for all in condition.split('|') {
            let states: Vec<(&str, State)> = all
                .split('&')
                .map(|o| (o, self.option(o, picture, strict, &mut BTreeSet::new())))
                .collect();
            if let Some((_, State::Off(why))) =
                states.iter().find(|(_, s)| matches!(s, State::Off(_)))
            {
                out.push(why.clone());
            } else if states.iter().any(|(_, s)| *s == State::Unknown) {
                open = true;
            } else {
                let names =
                    all.split('&').map(|o| format!("CONFIG_{o}")).collect::<Vec<_>>().join(", ");
                if states.iter().all(|(_, s)| *s == State::On) {
                    return Built::In(names);
                }
                module = Some(names);
            }
        }
        match (module, open) {
            (Some(names), _) => Built::Module(names),
            (None, true) => Built::Unknown,
            (None, false) => Built::Out(out.join("; ")),
        }
    }

    fn option(
        &self,
        name: &str,
        picture: &KernelPicture,
        strict: bool,
        seen: &mut BTreeSet<String>,
    ) -> State {
        match picture.config.get(name).map(String::as_str) {
            Some("y") => return State::On,
            Some("m") => return State::Module,
            Some("n") => return State::Off(format!("CONFIG_{name} is not set")),
            Some(_) => return State::Unknown,
            None => {}
        }
        if !picture.config_complete {
            return State::Unknown;
        }
        if !strict {
            return State::Off(format!("CONFIG_{name} is not in the complete configuration"));
        }
        // Not mentioned: hidden by something it depends on, or not an option of this release.
        if seen.len() > 24 || !seen.insert(name.to_owned()) {
            return State::Unknown;
        }
        let entries = self.depends.get(name).map(Vec::as_slice).unwrap_or_default();
        let first = entries.first().map(|(on, _)| *on).unwrap_or_default();
        // What it depends on in every version of the table, it depended on before as well.
        let always = first
            .split('&')
            .filter(|d| entries.iter().all(|(on, _)| on.split('&').any(|o| o == *d)));
        for dependency in always.filter(|d| !d.is_empty()) {
            if let State::Off(why) = self.option(dependency, picture, strict, seen) {
                return State::Off(format!("CONFIG_{name} depends on {dependency}: {why}"));
            }
        }
        State::Unknown
    }
}

/// `old new`.
fn moved(line: &'static str) -> Option<(&'static str, &'static str)> {
    line.split_once(' ').filter(|_| !line.starts_with('#'))
}

/// Version and patch level of a release.
fn line_of(release: &str) -> Option<(u64, u64)> {
    let mut parts = release.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let t = table();
        assert_eq!(t.versions, [(6, 1), (6, 12)]);
        assert!(t.files.len() > 20_000, "{}", t.files.len());
        assert_eq!(t.files["net/sched/act_api.c"], [("NET&NET_CLS_ACT", Mask::MAX)]);
        assert!(t.depends.len() > 5_000);
        assert!(t.marks.len() > 5_000, "{}", t.marks.len());
        assert!(t.marks["net/sched/act_api.c"].contains(&"tcf_register_action"));
        for (_, new) in &t.moved {
            let there = if new.ends_with('/') {
                t.files.keys().any(|f| f.starts_with(new))
            } else {
                t.files.contains_key(*new)
            };
            assert!(there, "moved.txt: {new} is not in the table");
        }
    }
}
