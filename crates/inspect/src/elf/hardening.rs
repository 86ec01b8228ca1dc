//! From headers, dynamic table and symbols to the fact.

use std::collections::BTreeSet;

use memchr::memmem;
use proofmark_model::{Tri, fact::Executable};

use super::{Program, TELLING, file::Elf, machine};

// Dynamic tags.
const NEEDED: u64 = 1;
const SONAME: u64 = 14;
const RPATH: u64 = 15;
const TEXTREL: u64 = 22;
const JMPREL: u64 = 23;
const BIND_NOW: u64 = 24;
const RUNPATH: u64 = 29;
const FLAGS: u64 = 30;
const FLAGS_1: u64 = 0x6fff_fffb;

/// Functions whose fortified variant is called whenever fortification is on, whatever the sizes: the
/// compiler cannot show a format to be harmless.
const ALWAYS_FORTIFIED: &[&str] =
    &["fprintf", "printf", "syslog", "vfprintf", "vprintf", "vsyslog", "asprintf", "vasprintf"];
/// Functions with a fortified variant that the compiler leaves out where it knows the sizes.
const FORTIFIABLE: &[&str] = &[
    "confstr",
    "fgets",
    "fread",
    "getcwd",
    "gets",
    "memcpy",
    "memmove",
    "mempcpy",
    "memset",
    "poll",
    "pread",
    "read",
    "readlink",
    "realpath",
    "recv",
    "recvfrom",
    "snprintf",
    "sprintf",
    "stpcpy",
    "strcat",
    "strcpy",
    "strncat",
    "strncpy",
    "vsnprintf",
    "vsprintf",
    "wcscpy",
];

fn why(text: &str) -> String {
    text.to_owned()
}

fn tri(yes: bool) -> Tri {
    if yes { Tri::Yes } else { Tri::No }
}

struct Facts<'a, 'e> {
    elf: &'e Elf<'a>,
    kind: &'static str,
    libc: &'static str,
    imports: BTreeSet<&'a str>,
    /// Names of the symbol table; `None` where it was stripped.
    table: Option<BTreeSet<&'a str>>,
    language: &'static str,
}

pub(super) fn read(elf: &Elf<'_>) -> Program {
    let interpreter = elf
        .segments
        .iter()
        .find(|s| s.kind == 3)
        .and_then(|s| elf.string(s.offset))
        .map(str::to_owned);
    let needed = elf.strings_of(NEEDED);
    let soname = elf.strings_of(SONAME).into_iter().next();
    let dynamic = elf.dynamic_symbols();
    let imports: BTreeSet<&str> = dynamic.iter().filter(|s| !s.defined).map(|s| s.name).collect();
    let symbols = elf.table_symbols();
    let kind = kind(elf, interpreter.is_some(), soname.is_some());
    // For a module or object the undefined names are what it imports.
    let imports = match (&symbols, elf.kind) {
        (Some(s), 1) => s.iter().filter(|s| !s.defined).map(|s| s.name).collect(),
        _ => imports,
    };
    let table: Option<BTreeSet<&str>> = symbols.map(|s| s.iter().map(|s| s.name).collect());
    let compiler = comment(elf);
    let language = language(elf, &imports, &needed, compiler.as_deref(), table.as_ref());
    let libc = libc(elf, kind, interpreter.as_deref(), &needed, table.as_ref());
    let facts = Facts { elf, kind, libc, imports, table, language };
    let modinfo = elf.section_bytes(".modinfo").unwrap_or_default();
    Program {
        imports: TELLING.iter().filter(|t| facts.imports.contains(**t)).map(|t| why(t)).collect(),
        vermagic: modinfo
            .split(|b| *b == 0)
            .find_map(|l| l.strip_prefix(b"vermagic="))
            .map(|v| String::from_utf8_lossy(v).trim().to_owned()),
        executable: Executable {
            path: String::new(),
            owner: None,
            started: Tri::Unknown(why("the file lies in no root file system")),
            network_facing: Tri::Unknown(why("the file lies in no root file system")),
            privileged: false,
            format: why("elf"),
            bits: if elf.wide { 64 } else { 32 },
            little_endian: elf.little,
            machine: machine(elf),
            kind: why(kind),
            libc: why(libc),
            stripped: facts.table.is_none(),
            debug_info: elf
                .sections
                .iter()
                .any(|s| matches!(s.name.as_str(), ".debug_info" | ".zdebug_info" | ".stab")),
            position_independent: match kind {
                "pie" | "static-pie" | "shared-library" => Tri::Yes,
                "executable" | "static" => Tri::No,
                _ => Tri::NotApplicable(why("it is linked where it is loaded")),
            },
            non_executable_stack: facts.stack(),
            relro: why(facts.relro()),
            stack_protector: facts.stack_protector(),
            fortify: facts.fortify(),
            no_writable_code: if elf.segments.is_empty() {
                Tri::NotApplicable(why("the file has no segments"))
            } else {
                tri(!elf.segments.iter().any(|s| s.kind == 1 && s.flags & 3 == 3))
            },
            no_text_relocations: if matches!(kind, "kernel-module" | "object") {
                Tri::NotApplicable(why("it is linked where it is loaded"))
            } else {
                let flagged = elf.tag(FLAGS).is_some_and(|f| f & 4 != 0);
                tri(elf.tag(TEXTREL).is_none() && !flagged)
            },
            rpath: elf.strings_of(RPATH).into_iter().next(),
            runpath: elf.strings_of(RUNPATH).into_iter().next(),
            control_flow: facts.control_flow(),
            compiler,
            build_id: elf
                .notes()
                .iter()
                .find(|(name, kind, _)| *name == "GNU" && *kind == 3)
                .map(|(_, _, id)| id.iter().map(|b| format!("{b:02x}")).collect()),
            language: why(language),
            interpreter,
            needed,
            soname,
        },
    }
}

fn kind(elf: &Elf<'_>, interpreter: bool, soname: bool) -> &'static str {
    let dynamic = !elf.dynamic.is_empty();
    let pie_flag = elf.tag(FLAGS_1).is_some_and(|f| f & 0x0800_0000 != 0);
    match elf.kind {
        1 if elf.section(".modinfo").is_some()
            || elf.section(".gnu.linkonce.this_module").is_some() =>
        {
            "kernel-module"
        }
        1 => "object",
        2 if elf.section("__ksymtab").is_some() || elf.section("__ksymtab_strings").is_some() => {
            "kernel"
        }
        2 if interpreter || dynamic => "executable",
        2 => "static",
        // glibc's own library names an interpreter too; a soname tells it from a program.
        3 if pie_flag && !interpreter => "static-pie",
        3 if pie_flag || (interpreter && !soname) => "pie",
        _ => "shared-library",
    }
}

fn libc(
    elf: &Elf<'_>,
    kind: &str,
    interpreter: Option<&str>,
    needed: &[String],
    table: Option<&BTreeSet<&str>>,
) -> &'static str {
    if matches!(kind, "kernel-module" | "kernel" | "object") {
        return "none";
    }
    let mut names = interpreter
        .iter()
        .map(|i| i.rsplit('/').next().unwrap_or(i))
        .chain(needed.iter().map(String::as_str));
    let by_name = names.find_map(|n| match n {
        _ if n.starts_with("ld-musl") || n.starts_with("libc.musl") => Some("musl"),
        _ if n.starts_with("ld-uClibc") || matches!(n, "libc.so.0" | "libc.so.1") => Some("uclibc"),
        "linker" | "linker64" => Some("bionic"),
        // musl's loader has the C library's own name where it was installed so.
        "libc.so" if interpreter.is_none_or(|i| !i.contains("linker")) => Some("musl"),
        "libc.so.6" | "libc.so.6.1" => Some("glibc"),
        // `/lib/ld.so.1` is glibc on MIPS and PowerPC.
        _ if n.starts_with("ld-linux") || n.starts_with("ld64.so") || n == "ld.so.1" => {
            Some("glibc")
        }
        _ => None,
    });
    let android = || elf.notes().iter().any(|(n, _, _)| *n == "Android");
    match by_name {
        Some("musl") if android() => "bionic",
        Some(libc) => libc,
        None if table.is_some_and(|t| t.contains("__uClibc_main")) => "uclibc",
        None if table
            .is_some_and(|t| t.contains("__libc_start_main") && t.contains("_nl_C_locobj")) =>
        {
            "glibc"
        }
        None if table
            .is_some_and(|t| t.contains("__libc_start_main") && t.contains("__init_libc")) =>
        {
            "musl"
        }
        // Static glibc since 2.26 reads this variable.
        None if kind.starts_with("static")
            && memmem::find(elf.data, b"GLIBC_TUNABLES").is_some() =>
        {
            "glibc"
        }
        None => "unknown",
    }
}

fn comment(elf: &Elf<'_>) -> Option<String> {
    let bytes = elf.section_bytes(".comment")?;
    let texts: BTreeSet<String> = bytes
        .get(..bytes.len().min(4096))?
        .split(|b| *b == 0)
        .filter(|t| !t.is_empty())
        .map(|t| String::from_utf8_lossy(t).into_owned())
        .collect();
    (!texts.is_empty()).then(|| texts.into_iter().take(4).collect::<Vec<_>>().join("; "))
}

fn language(
    elf: &Elf<'_>,
    imports: &BTreeSet<&str>,
    needed: &[String],
    compiler: Option<&str>,
    table: Option<&BTreeSet<&str>>,
) -> &'static str {
    let section = |n| elf.section(n).is_some();
    if section(".gopclntab")
        || section(".go.buildinfo")
        || elf.notes().iter().any(|(n, _, _)| *n == "Go")
    {
        return "go";
    }
    if compiler.is_some_and(|c| c.contains("rustc")) || memmem::find(elf.data, b"/rustc/").is_some()
    {
        return "rust";
    }
    let plus = |set: &BTreeSet<&str>| {
        set.contains("__gxx_personality_v0")
            || set.iter().any(|s| s.starts_with("_ZNS") || s.starts_with("_ZSt"))
    };
    if needed.iter().any(|n| n.starts_with("libstdc++") || n.starts_with("libc++"))
        || plus(imports)
        || table.is_some_and(plus)
    {
        return "c++";
    }
    if !imports.is_empty() || table.is_some() { "c" } else { "unknown" }
}

impl Facts<'_, '_> {
    fn is_static(&self) -> bool {
        self.kind.starts_with("static")
    }

    fn stack(&self) -> Tri {
        if matches!(self.kind, "kernel-module" | "kernel" | "object") {
            return Tri::NotApplicable(why("it brings no stack of its own"));
        }
        let header = self.elf.segments.iter().find(|s| s.kind == 0x6474_e551);
        let library = self.kind == "shared-library";
        match header {
            Some(h) if h.flags & 1 == 0 => Tri::Yes,
            // Only glibc and bionic change the stack of a program for a library that asks for it.
            _ if library && matches!(self.libc, "musl" | "uclibc") => Tri::NotApplicable(why(
                "the loader does not make the stack executable for a library",
            )),
            Some(_) => Tri::No,
            None if self.elf.segments.is_empty() => {
                Tri::Unknown(why("the file has no program headers"))
            }
            // Without the header the kernel decides by architecture.
            None => match machine(self.elf).as_str() {
                "x86-64" | "x32" | "aarch64" | "riscv32" | "riscv64" | "ppc64" | "loongarch"
                | "s390" => Tri::Unknown(why(
                    "PT_GNU_STACK is absent, and whether the stack is executable then depends on the kernel's version",
                )),
                _ => Tri::No,
            },
        }
    }

    fn relro(&self) -> &'static str {
        if matches!(self.kind, "kernel-module" | "kernel" | "object") {
            return "not-applicable";
        }
        if !self.elf.segments.iter().any(|s| s.kind == 0x6474_e552) {
            // Nothing is relocated in a static program at a fixed address.
            return if self.kind == "static" { "not-applicable" } else { "none" };
        }
        let bit = |tag, mask| self.elf.tag(tag).is_some_and(|f| f & mask != 0);
        let now = self.elf.tag(BIND_NOW).is_some() || bit(FLAGS, 8) || bit(FLAGS_1, 1);
        // Without entries that are bound later there is nothing left writable; MIPS binds through its GOT
        // and has no such table.
        let nothing_lazy = self.elf.tag(JMPREL).is_none() && !machine(self.elf).starts_with("mips");
        if now || (nothing_lazy && !self.elf.dynamic.is_empty()) { "full" } else { "partial" }
    }

    fn stack_protector(&self) -> Tri {
        const ROUTINES: &[&str] = &[
            "__stack_chk_fail",
            "__stack_chk_guard",
            "__stack_chk_fail_local",
            "__stack_smash_handler",
            "__intel_security_cookie",
        ];
        let imported = ROUTINES.iter().any(|r| self.imports.contains(r));
        if imported {
            return Tri::Yes;
        }
        if matches!(self.language, "go" | "rust") {
            return Tri::NotApplicable(format!("{} checks bounds itself", self.language));
        }
        let in_table = self.table.as_ref().map(|t| ROUTINES.iter().any(|r| t.contains(r)));
        match (self.is_static(), in_table) {
            (true, Some(false)) => Tri::No,
            (true, Some(true)) => Tri::Unknown(why(
                "linked statically: the failure routine is there, but it may serve the C library alone",
            )),
            (true, None) => Tri::Unknown(why(
                "linked statically and stripped: no trace of the failure routine can be told",
            )),
            // The C library itself and some libraries define the routine.
            (false, Some(true)) => Tri::Yes,
            (false, _) if !self.fills_buffers() => {
                Tri::NotApplicable(why("it calls no function that fills a buffer"))
            }
            (false, _) => Tri::No,
        }
    }

    fn fills_buffers(&self) -> bool {
        const MORE: &[&str] =
            &["scanf", "sscanf", "fscanf", "getline", "recvmsg", "strlcpy", "strlcat", "bcopy"];
        let fills = |n: &&str| {
            FORTIFIABLE.contains(n)
                || MORE.contains(n)
                || n.ends_with("_chk")
                || n.contains("scanf")
        };
        matches!(self.kind, "kernel-module" | "object" | "kernel") || self.imports.iter().any(fills)
    }

    fn fortify(&self) -> Tri {
        if matches!(self.kind, "kernel-module" | "kernel" | "object") {
            return Tri::NotApplicable(why("it does not call a C library"));
        }
        let fortified = |n: &&str| {
            n.strip_prefix("__").and_then(|n| n.strip_suffix("_chk")).is_some_and(|n| {
                ALWAYS_FORTIFIED.contains(&n)
                    || FORTIFIABLE.contains(&n)
                    || matches!(n, "longjmp" | "fdelt" | "fgets_unlocked")
            })
        };
        if self.imports.iter().any(fortified) {
            return Tri::Yes;
        }
        if matches!(self.language, "go" | "rust") {
            return Tri::NotApplicable(format!("{} checks bounds itself", self.language));
        }
        if self.is_static() {
            return Tri::Unknown(why("linked statically: calls into the C library leave no trace"));
        }
        let always = self.imports.iter().any(|n| ALWAYS_FORTIFIED.contains(n));
        let sometimes = self.imports.iter().any(|n| FORTIFIABLE.contains(n));
        match self.libc {
            "musl" | "uclibc" => {
                Tri::NotApplicable(format!("{} has no fortified functions", self.libc))
            }
            "none" => Tri::NotApplicable(why("it does not call a C library")),
            "glibc" if always => Tri::No,
            _ if !always && !sometimes => {
                Tri::NotApplicable(why("it calls no function that has a fortified variant"))
            }
            "glibc" => Tri::Unknown(why(
                "the compiler may have shown every call that could be fortified to be safe",
            )),
            _ => Tri::Unknown(why(
                "the C library is not known, so it is not known whether it has fortified functions",
            )),
        }
    }

    /// Bits of a GNU property.
    fn property(&self, wanted: u32) -> u32 {
        let notes = self.elf.notes();
        let Some((_, _, content)) = notes.iter().find(|(n, k, _)| *n == "GNU" && *k == 5) else {
            return 0;
        };
        let step = if self.elf.wide { 8_usize } else { 4 };
        let word = |at: usize| {
            let b = content.get(at..at.checked_add(4)?)?.try_into().ok()?;
            Some(if self.elf.little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
        };
        let mut at = 0_usize;
        while let (Some(kind), Some(size)) = (word(at), word(at.saturating_add(4))) {
            if kind == wanted {
                return word(at.saturating_add(8)).unwrap_or(0);
            }
            let size = (size as usize).checked_next_multiple_of(step).unwrap_or(usize::MAX);
            at = at.saturating_add(8).saturating_add(size);
        }
        0
    }

    fn control_flow(&self) -> Tri {
        match machine(self.elf).as_str() {
            "x86-64" | "x86" | "x32" => tri(self.property(0xc000_0002) & 3 == 3),
            "aarch64" => tri(self.property(0xc000_0000) & 3 == 3),
            other => Tri::NotApplicable(format!("{other} has no such feature in its ABI")),
        }
    }
}
