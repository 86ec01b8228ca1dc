//! Which source files are part of *this* kernel, from its image alone.
//!
//! The kernel's CVE records name the source files of each fix. A record none of whose files was compiled into the
//! kernel does not concern it. Evidence, each with its own guard:
//!
//! * `arch/`: files of another instruction set are never part of a kernel.
//! * The configuration together with the options under which the kernel's own build files compile each source
//!   (`kbuild`). An option that is `not set` switches its files off. One that the configuration does not mention
//!   is off only where the configuration is complete and the release is one of those the table was read from, or
//!   between them; for other releases only where something it depends on is set to no.
//! * The symbol table together with functions that every build of a source has (`marks` of the table). One that is
//!   there shows the source; a complete table without any of them shows that the source is missing, in a kernel of
//!   those releases or between them that cannot load modules.
//! * Paths in the kernel's text, names of modules, and names of functions show that code is there; their absence
//!   shows nothing.
//!
//! Headers, documentation, build files and user-space tools decide nothing. A file of which nothing is known keeps
//! the record.
//!
//! Limits: a table of two releases speaks for older ones by explicit answers only; a source that moved is known by
//! the table of moves or not at all; code that a vendor compiles under another option is not seen.

mod kbuild;

use std::collections::{BTreeMap, BTreeSet};

/// What an image tells about one of its kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelPicture {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`: `x86_64`, `aarch64`, `armv7l`, `mips`, ...
    pub machine: Option<String>,
    /// The configuration, names without `CONFIG_`; `n` where it says `is not set`.
    pub config: BTreeMap<String, String>,
    /// The configuration was read from beginning to end.
    pub config_complete: bool,
    /// Module names, from the image's module folder and `modules.builtin`.
    pub modules: Vec<String>,
    /// Every module this kernel was shipped with is in that list.
    pub modules_complete: bool,
    /// Names of the kernel's symbol table.
    pub symbols: Vec<String>,
    /// The symbol table was read completely and holds functions of every kind (`CONFIG_KALLSYMS`).
    pub symbols_complete: bool,
    /// Source paths that occur as text in the kernel.
    pub files: Vec<String>,
}

impl KernelPicture {
    /// The folder below `arch/` that it was built from: by its machine, its configuration, or names of its system calls.
    fn arch(&self) -> Option<&'static str> {
        if let Some(folder) = self.machine.as_deref().and_then(arch) {
            return Some(folder);
        }
        let on = |o: &str| self.config.get(o).is_some_and(|v| v == "y");
        let mut set =
            ARCHITECTURES.iter().filter(|(option, _)| on(option)).map(|(_, folder)| *folder);
        if let Some(folder) = set.next() {
            return set.next().is_none().then_some(folder);
        }
        // The list is sorted: the first name that is not before the prefix has it, if any has.
        let begins = |prefix: &str| {
            let at = self.symbols.partition_point(|s| s.as_str() < prefix);
            self.symbols.get(at).is_some_and(|s| s.starts_with(prefix))
        };
        CALLS.iter().find(|(prefix, _)| begins(prefix)).map(|(_, folder)| *folder)
    }

    fn has_symbol(&self, name: &str) -> bool {
        self.symbols.binary_search_by(|s| s.as_str().cmp(name)).is_ok()
    }
}

/// Option that each architecture sets, and its folder.
const ARCHITECTURES: &[(&str, &str)] = &[
    ("ALPHA", "alpha"),
    ("ARC", "arc"),
    ("ARM", "arm"),
    ("ARM64", "arm64"),
    ("LOONGARCH", "loongarch"),
    ("M68K", "m68k"),
    ("MICROBLAZE", "microblaze"),
    ("MIPS", "mips"),
    ("NIOS2", "nios2"),
    ("OPENRISC", "openrisc"),
    ("PARISC", "parisc"),
    ("PPC", "powerpc"),
    ("RISCV", "riscv"),
    ("S390", "s390"),
    ("SPARC", "sparc"),
    ("SUPERH", "sh"),
    ("X86", "x86"),
    ("XTENSA", "xtensa"),
];

/// Prefixes that some architectures put before their system calls.
const CALLS: &[(&str, &str)] = &[
    ("__arm64_sys_", "arm64"),
    ("__ia32_sys_", "x86"),
    ("__riscv_sys_", "riscv"),
    ("__s390x_sys_", "s390"),
    ("__x64_sys_", "x86"),
];

/// Whether the code of a record is in a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiled {
    /// One of its files is.
    Yes(String),
    /// None of its files is.
    No(String),
    /// Not known.
    Unknown(String),
}

/// The folder below `arch/` of a machine.
fn arch(machine: &str) -> Option<&'static str> {
    Some(match machine {
        "x86" | "x86_64" | "i386" | "i486" | "i586" | "i686" => "x86",
        "aarch64" | "arm64" => "arm64",
        m if m.starts_with("arm") => "arm",
        m if m.starts_with("mips") => "mips",
        m if m.starts_with("ppc") || m.starts_with("powerpc") => "powerpc",
        m if m.starts_with("riscv") => "riscv",
        m if m.starts_with("sparc") => "sparc",
        m if m.starts_with("sh") => "sh",
        "s390x" | "s390" => "s390",
        "loongarch64" => "loongarch",
        "m68k" => "m68k",
        "xtensa" => "xtensa",
        "arc" => "arc",
        "microblaze" => "microblaze",
        "nios2" => "nios2",
        _ => return None,
    })
}

/// Whether any of the files is part of the kernel. `functions` are those that the record names.
#[must_use]
pub fn compiled<'a>(
    files: impl Iterator<Item = &'a str>,
    functions: impl Iterator<Item = &'a str>,
    picture: &KernelPicture,
) -> Compiled {
    let (mut absent, mut open) = (Vec::new(), Vec::new());
    let own = picture.arch();
    let files: BTreeSet<&str> = files.filter(|f| is_code(f)).collect();
    for file in &files {
        match one(file, own, picture) {
            Compiled::Yes(why) => return Compiled::Yes(why),
            Compiled::No(why) => absent.push(why),
            Compiled::Unknown(why) => open.push(why),
        }
    }
    let functions: Vec<&str> = functions.filter(|f| !f.is_empty()).collect();
    if let Some(seen) = functions.iter().find(|f| picture.has_symbol(f)) {
        return Compiled::Yes(format!("the function {seen} is in the kernel's symbol table"));
    }
    match (absent.is_empty(), open.is_empty()) {
        (_, false) => Compiled::Unknown(format!("not known to be in this kernel: {}", some(&open))),
        (false, true) => Compiled::No(format!("not in this kernel: {}", some(&absent))),
        (true, true) => Compiled::Unknown("the record names no source file of the kernel".into()),
    }
}

/// One file.
fn one(file: &str, own: Option<&str>, picture: &KernelPicture) -> Compiled {
    if let Some(other) = file.strip_prefix("arch/").and_then(|f| f.split('/').next()) {
        match own {
            Some(own) if own != other => {
                return Compiled::No(format!("{file} is code for {other}"));
            }
            Some(_) => {}
            None => return Compiled::Unknown(format!("{file} (the instruction set is not known)")),
        }
    }
    if picture.files.iter().any(|f| f.trim_start_matches("./").ends_with(file)) {
        return Compiled::Yes(format!("the path {file} is in the kernel's text"));
    }
    let table = kbuild::table();
    let marked = if picture.symbols.is_empty() {
        kbuild::Marked::Unknown
    } else {
        table.marked(file, picture)
    };
    if let kbuild::Marked::Present(function) = &marked {
        let why = format!("{file} is there: {function} is in the kernel's symbol table");
        return Compiled::Yes(why);
    }
    let built = table.built(file, picture);
    let module = file
        .rsplit('/')
        .next()
        .and_then(|n| n.rsplit_once('.'))
        .map(|(stem, _)| stem.replace('-', "_"));
    let shipped = module.is_some_and(|m| picture.modules.iter().any(|o| o.replace('-', "_") == m));
    match built {
        kbuild::Built::In(option) => Compiled::Yes(format!("{file} is compiled in ({option})")),
        kbuild::Built::Module(option) if shipped => {
            Compiled::Yes(format!("{file} is compiled as a module ({option}) that is there"))
        }
        kbuild::Built::Module(option) => Compiled::Unknown(format!(
            "{file} (compiled as a module, {option}; which one has it is not known)"
        )),
        kbuild::Built::Out(option) => Compiled::No(format!("{file} ({option})")),
        kbuild::Built::Unknown if shipped => {
            Compiled::Yes(format!("the module of {file} is there"))
        }
        kbuild::Built::Unknown => match marked {
            kbuild::Marked::Absent(functions) => Compiled::No(format!(
                "{file} (none of its functions is in the complete symbol table: {functions})"
            )),
            _ => Compiled::Unknown(file.to_owned()),
        },
    }
}

/// The file is compiled into kernels: no header, build file, documentation, tool or test.
fn is_code(file: &str) -> bool {
    let outside = ["Documentation/", "tools/", "scripts/", "samples/", "usr/", "LICENSES/"];
    (file.ends_with(".c") || file.ends_with(".S") || file.ends_with(".rs"))
        && !outside.iter().any(|f| file.starts_with(f))
}

/// The first few of a list.
fn some(list: &[String]) -> String {
    let shown = list.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    if list.len() > 3 { format!("{shown} and {} more", list.len() - 3) } else { shown }
}
