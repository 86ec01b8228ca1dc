//! Which source files are part of *this* kernel, from its image alone.
//!
//! The kernel's CVE records name the source files of each fix. A record none of whose files was compiled into the
//! kernel does not concern it. Evidence, each with its own guard:
//!
//! * `arch/`: files of another instruction set are never part of a kernel.
//!
//! Headers, documentation, build files and user-space tools decide nothing. A file of which nothing is known keeps
//! the record.

use std::collections::BTreeMap;

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
        "x86_64" | "i386" | "i486" | "i586" | "i686" => "x86",
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

/// Whether any of the files is part of the kernel.
#[must_use]
pub fn compiled<'a>(files: impl Iterator<Item = &'a str>, picture: &KernelPicture) -> Compiled {
    let mut absent = Vec::new();
    let mut open = Vec::new();
    let own = picture.machine.as_deref().and_then(arch);
    for file in files.filter(|f| is_code(f)) {
        match (own, file.strip_prefix("arch/").and_then(|f| f.split('/').next())) {
            (Some(own), Some(other)) if own != other => {
                absent.push(format!("{file} is code for {other}"));
            }
            _ => open.push(file.to_owned()),
        }
    }
    match (absent.is_empty(), open.is_empty()) {
        (_, false) => Compiled::Unknown(format!(
            "whether {} is part of this kernel is not known",
            some(&open)
        )),
        (false, true) => {
            Compiled::No(format!("no affected file is part of this kernel: {}", some(&absent)))
        }
        (true, true) => Compiled::Unknown("the record names no source file of the kernel".into()),
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
