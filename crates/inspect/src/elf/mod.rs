//! Executables and libraries with their hardening, as the loader of their C
//! library would apply it.
//!
//! Establishes: machine, kind, C library, libraries needed, and for each
//! mitigation *yes*, *no*, *unknown with a reason* or *not applicable with a
//! reason*: position independence, stack and segment permissions, RELRO, stack
//! protector, fortified calls, text relocations, search paths, control-flow
//! protection.
//!
//! How: program headers and the dynamic table decide, because the loader reads
//! those; sections are used only for what the loader does not need (comment,
//! symbol table, debug information). Symbols are found through the dynamic table,
//! so that a file without sections is read like any other.
//!
//! False positives: a canary is called used if the failure routine is imported,
//! even if one function alone checks it. `no` for the stack protector means that
//! no function of the file checks a canary, not that one should.
//!
//! False negatives: a static program keeps no trace of what its own part of the
//! code was compiled with; it is *unknown*. musl's header-only fortification
//! leaves no trace; it is *not applicable*.
//!
//! Limits: no code is decoded. RELRO is what the file asks for; a uClibc built
//! without support ignores it. On MIPS a non-executable stack is effective from
//! Linux 4.8 on; with an older kernel, or none in the image, it is *unknown*.
//!
//! Sources: System V ABI and its processor supplements; elf(5), ld.so(8); glibc
//! 2.36 `debug/` for the fortified functions and NEWS 2.31 for MIPS stacks; Linux
//! `arch/*/include/asm/elf.h` (`elf_read_implies_exec`); musl `ldso/dynlink.c`.

pub mod file;
mod hardening;

use proofmark_model::{Evidence, Fact, Observation, Strength, Tri, fact::Executable};
use serde::{Deserialize, Serialize};

use crate::{
    Notes, View,
    elf::file::Elf,
    packages::Owners,
    root::{File, Root},
    startup::Startup,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("elf", 1);

/// What the first stage keeps about a program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The fact, without what only the whole tree can tell.
    pub executable: Executable,
    /// Imported functions that tell what a program does: see [`TELLING`].
    pub imports: Vec<String>,
    /// `vermagic` of a kernel module.
    pub vermagic: Option<String>,
}

/// Imports that are kept: they open sockets, change users, start programs, or run code given to them.
pub const TELLING: &[&str] = &[
    "accept",
    "accept4",
    "bind",
    "chroot",
    "daemon",
    "dlopen",
    "execl",
    "execlp",
    "execv",
    "execve",
    "execvp",
    "fork",
    "initgroups",
    "listen",
    "popen",
    "posix_spawn",
    "prctl",
    "recvfrom",
    "recvmsg",
    "setgid",
    "setgroups",
    "setresuid",
    "setuid",
    "socket",
    "system",
    "unshare",
    "vfork",
];

/// Name of a machine.
fn machine(elf: &Elf<'_>) -> String {
    match (elf.machine, elf.wide) {
        (3, _) => "x86",
        (62, true) => "x86-64",
        (62, false) => "x32",
        (40, _) => "arm",
        (183, _) => "aarch64",
        (8 | 10, false) => "mips",
        (8, true) => "mips64",
        (20, _) => "ppc",
        (21, _) => "ppc64",
        (243, false) => "riscv32",
        (243, true) => "riscv64",
        (2 | 18, _) => "sparc",
        (43, _) => "sparc64",
        (42, _) => "sh",
        (22, _) => "s390",
        (93 | 195, _) => "arc",
        (94, _) => "xtensa",
        (113, _) => "nios2",
        (189, _) => "microblaze",
        (258, _) => "loongarch",
        (other, _) => return format!("machine-{other}"),
    }
    .to_owned()
}

/// First stage.
pub(crate) fn content(bytes: &[u8], notes: &mut Notes) {
    let Some(elf) = Elf::parse(bytes) else { return };
    // A core dump is not a program; the inspector of leftovers tells it by its header.
    if elf.kind == 4 {
        notes.core_dump = true;
        return;
    }
    // Program headers or sections: something must be there for it to be more than a magic.
    if elf.segments.is_empty() && elf.sections.is_empty() {
        return;
    }
    notes.program = Some(Box::new(hardening::read(&elf)));
}

fn release_number(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Second stage.
pub(crate) fn image(
    view: &View<'_>,
    roots: &[Root<'_>],
    startups: &[Startup],
    owners: &[Owners],
    kernels: &[String],
    out: &mut Vec<Observation>,
) {
    let oldest = kernels.iter().filter_map(|k| release_number(k)).min();
    let homes = crate::root::homes(roots);
    for (id, artifact, notes) in view.live() {
        let Some(program) = &notes.program else { continue };
        // A kernel is told by the inspector of kernels.
        if program.executable.kind == "kernel" || artifact.attributes.contains_key("banner") {
            continue;
        }
        let Some(file) = File::of(*view, id) else { continue };
        let mut fact = program.executable.clone();
        fact.path = artifact.locator.path();
        let home = homes.get(&id).and_then(|(i, path)| {
            Some((roots.get(*i)?, startups.get(*i)?, owners.get(*i)?, *path))
        });
        if let Some((root, startup, owners, path)) = home {
            fact.path = path.to_owned();
            fact.owner = owners.of(path);
            fact.started = startup.started(path);
            fact.network_facing = startup.network_facing(path);
            if fact.libc == "unknown" {
                fact.libc = only_libc(root).unwrap_or("unknown").to_owned();
            }
        }
        let privileged =
            |m: u32| m & 0o6000 != 0 && artifact.entry == proofmark_model::EntryKind::File;
        fact.privileged = artifact.metadata.mode.is_some_and(privileged)
            || artifact.metadata.xattrs.iter().any(|(n, _)| n == "security.capability");
        if fact.machine.starts_with("mips") && fact.non_executable_stack == Tri::Yes {
            fact.non_executable_stack = match oldest {
                Some(v) if v >= (4, 8) => Tri::Yes,
                Some((a, b)) => Tri::Unknown(format!(
                    "the file asks for it, but Linux {a}.{b} runs code on the stack of MIPS programs for its floating-point emulation"
                )),
                None => Tri::Unknown(
                    "the file asks for it, but MIPS kernels before Linux 4.8 ignore it and no kernel was found".to_owned(),
                ),
            };
        }
        out.push(Observation {
            fact: Fact::Executable(Box::new(fact)),
            evidence: Evidence::one(file.artifact.locator.clone()),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength: Strength::Observed,
        });
    }
}

/// The C library of a root that has exactly one.
fn only_libc(root: &Root<'_>) -> Option<&'static str> {
    let mut seen = std::collections::BTreeSet::new();
    for (path, _) in root.entries().filter(|(p, _)| p.contains("lib")) {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with("ld-musl") {
            seen.insert("musl");
        } else if name.starts_with("ld-uClibc") {
            seen.insert("uclibc");
        } else if name.starts_with("ld-linux") || name == "libc.so.6" {
            seen.insert("glibc");
        }
    }
    if seen.len() == 1 { seen.into_iter().next() } else { None }
}

#[cfg(test)]
mod tests;
