use std::{path::Path, process::Command};

use proofmark_model::{Fact, Tri, fact::Executable};

use crate::testing::Tree;

const SOURCE: &str = r#"
#include <stdio.h>
#include <string.h>
int main(int argc, char **argv) {
    char buffer[64];
    strcpy(buffer, argv[argc - 1]);
    printf(argv[0], buffer);
    return (int)strlen(buffer);
}
"#;

/// Compiles `source` with `compiler` and `flags` and returns the program.
fn compile(compiler: &str, flags: &str, source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("a.c");
    let output = folder.path().join("a.out");
    std::fs::write(&input, source).unwrap();
    let run = Command::new(compiler)
        .args(flags.split_whitespace())
        .arg("-w")
        .arg(&input)
        .arg("-o")
        .arg(&output)
        .output()
        .unwrap_or_else(|e| {
            panic!("{compiler}: {e}; install gcc, gcc-arm-linux-gnueabihf, gcc-mipsel-linux-gnu, gcc-aarch64-linux-gnu, musl-tools")
        });
    assert!(run.status.success(), "{compiler} {flags}: {}", String::from_utf8_lossy(&run.stderr));
    std::fs::read(Path::new(&output)).unwrap()
}

fn read(bytes: &[u8]) -> Executable {
    let tree = Tree::new().file("usr/sbin/program", bytes);
    let mut all = tree.facts(|f| match f {
        Fact::Executable(e) => Some(*e),
        _ => None,
    });
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn is_unknown(t: &Tri) -> bool {
    matches!(t, Tri::Unknown(_))
}

const HARD: &str = "-O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fPIE -pie -Wl,-z,relro,-z,now -Wl,-z,noexecstack";
const SOFT: &str =
    "-O2 -fno-stack-protector -U_FORTIFY_SOURCE -no-pie -Wl,-z,norelro -Wl,-z,execstack";

#[test]
fn hardened_and_not_on_four_machines() {
    for (compiler, machine, bits) in [
        ("gcc", None, usize::BITS),
        ("arm-linux-gnueabihf-gcc", Some("arm"), 32),
        ("aarch64-linux-gnu-gcc", Some("aarch64"), 64),
        ("mipsel-linux-gnu-gcc", Some("mips"), 32),
    ] {
        let e = read(&compile(compiler, HARD, SOURCE));
        assert_eq!(
            (e.kind.as_str(), e.libc.as_str(), e.bits),
            ("pie", "glibc", bits),
            "{compiler}"
        );
        assert!(machine.is_none_or(|m| m == e.machine), "{compiler}");
        assert_eq!(e.position_independent, Tri::Yes, "{compiler}");
        assert_eq!(e.stack_protector, Tri::Yes, "{compiler}");
        assert_eq!(e.fortify, Tri::Yes, "{compiler}");
        assert_eq!(e.relro, "full", "{compiler}");
        assert_eq!(e.no_writable_code, Tri::Yes, "{compiler}");
        assert_eq!(e.no_text_relocations, Tri::Yes, "{compiler}");
        if e.machine == "mips" {
            // No kernel in the tree: whether the header is obeyed is not known.
            assert!(is_unknown(&e.non_executable_stack));
        } else {
            assert_eq!(e.non_executable_stack, Tri::Yes, "{compiler}");
        }
        assert!(e.needed.contains(&"libc.so.6".to_owned()), "{compiler}");
        assert!(e.compiler.as_ref().unwrap().contains("GCC"));
        assert!(e.build_id.as_ref().unwrap().len() == 40);
        assert_eq!((e.language.as_str(), e.stripped), ("c", false));

        let e = read(&compile(compiler, SOFT, SOURCE));
        assert_eq!(e.kind, "executable", "{compiler}");
        assert_eq!(e.position_independent, Tri::No, "{compiler}");
        assert_eq!(e.stack_protector, Tri::No, "{compiler}");
        assert_eq!(e.fortify, Tri::No, "{compiler}");
        assert_eq!(e.relro, "none", "{compiler}");
        assert_eq!(e.non_executable_stack, Tri::No, "{compiler}");
    }
}

#[test]
fn a_stripped_program_without_sections_is_read_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let mut bytes = compile("gcc", HARD, SOURCE);
    std::fs::write(&path, &bytes).unwrap();
    let run =
        Command::new("strip").arg(&path).status().expect("strip is missing; install binutils");
    assert!(run.success());
    bytes = std::fs::read(&path).unwrap();
    // What sstrip does: no section table at all.
    bytes[40..48].fill(0);
    bytes[60..64].fill(0);
    let e = read(&bytes);
    assert_eq!((&e.stack_protector, &e.fortify, e.relro.as_str()), (&Tri::Yes, &Tri::Yes, "full"));
    assert!(e.stripped && e.libc == "glibc" && e.kind == "pie");
}

#[test]
fn partial_relro_search_paths_and_writable_code() {
    let e = read(&compile(
        "gcc",
        "-O1 -Wl,-z,relro,-z,lazy -Wl,--disable-new-dtags,-rpath,/tmp/x -Wl,-z,norelro -Wl,-z,relro",
        SOURCE,
    ));
    assert_eq!(
        (e.relro.as_str(), e.rpath.as_deref(), e.runpath),
        ("partial", Some("/tmp/x"), None)
    );
    let e = read(&compile("gcc", "-O1 -Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib", SOURCE));
    assert_eq!((e.rpath, e.runpath.as_deref()), (None, Some("$ORIGIN/../lib")));
    assert_eq!(e.no_writable_code, Tri::Yes);
    // One segment for everything.
    let e = read(&compile(
        "gcc",
        "-O1 -nostdlib -static -Wl,-N",
        "int x = 1; void _start(void) { for (;;) x++; }",
    ));
    assert_eq!(e.no_writable_code, Tri::No);
}

#[test]
fn a_shared_library_is_no_pie() {
    let e = read(&compile(
        "gcc",
        "-O2 -shared -fPIC -Wl,-soname,libx.so.1",
        "int f(void) { return 1; }",
    ));
    assert_eq!((e.kind.as_str(), e.soname.as_deref()), ("shared-library", Some("libx.so.1")));
    assert_eq!(e.position_independent, Tri::Yes);
    // It fills no buffer and calls nothing that could be fortified.
    assert!(matches!(e.stack_protector, Tri::NotApplicable(_)));
    assert!(matches!(e.fortify, Tri::NotApplicable(_)));
}

#[test]
fn static_programs_are_unknown_where_nothing_tells() {
    let e = read(&compile("gcc", "-O2 -static -fstack-protector-strong -s", SOURCE));
    assert_eq!((e.kind.as_str(), e.libc.as_str()), ("static", "glibc"));
    assert!(is_unknown(&e.stack_protector) && is_unknown(&e.fortify));
    assert_eq!(e.position_independent, Tri::No);
    let e = read(&compile("gcc", "-O2 -static-pie -fstack-protector-strong", SOURCE));
    assert_eq!((e.kind.as_str(), &e.position_independent), ("static-pie", &Tri::Yes));
    // glibc's own code has the routine, so its presence says nothing about the program.
    assert!(is_unknown(&e.stack_protector));
}

#[test]
fn musl_has_nothing_to_fortify() {
    let e = read(&compile(
        "musl-gcc",
        "-O2 -fstack-protector-all -D_FORTIFY_SOURCE=2 -U_FORTIFY_SOURCE",
        SOURCE,
    ));
    assert_eq!(e.libc, "musl");
    assert!(matches!(e.fortify, Tri::NotApplicable(_)));
    assert_eq!(e.stack_protector, Tri::Yes);
    let e = read(&compile("musl-gcc", "-O2 -fno-stack-protector -static", SOURCE));
    assert!(e.kind.starts_with("static"), "{}", e.kind);
}

#[test]
fn objects_modules_and_cores() {
    let module = "__attribute__((section(\".modinfo\"))) const char v[] = \"vermagic=5.10.0 SMP mod_unload\"; extern void __stack_chk_fail(void); void init_module(void) { __stack_chk_fail(); }";
    let e = read(&compile("gcc", "-O1 -c", module));
    assert_eq!(
        (e.kind.as_str(), e.libc.as_str(), &e.stack_protector),
        ("kernel-module", "none", &Tri::Yes)
    );
    let e = read(&compile("gcc", "-O1 -c", "int x;"));
    assert_eq!(e.kind, "object");
}

#[test]
fn mips_stacks_depend_on_the_kernel() {
    let bytes = compile("mipsel-linux-gnu-gcc", HARD, SOURCE);
    let with = |banner: &str| {
        let tree = Tree::new()
            .file("bin/a", &bytes)
            .file("boot/vmlinux.bin", format!("\u{1}\0{banner}\n\0"));
        tree.facts(|f| match f {
            Fact::Executable(e) => Some(e.non_executable_stack),
            _ => None,
        })
    };
    assert_eq!(with("Linux version 5.10.1 (a@b) (gcc) #1"), [Tri::Yes]);
    assert!(is_unknown(&with("Linux version 3.10.14 (a@b) (gcc) #1")[0]));
}

#[test]
fn damage_never_panics() {
    for bytes in [compile("gcc", HARD, SOURCE), compile("mipsel-linux-gnu-gcc", SOFT, SOURCE)] {
        for i in 0..60 {
            let _ = crate::content(crate::Class::Other, &bytes[..bytes.len() * i / 60]);
        }
        let mut damaged = bytes.clone();
        for i in 0..400_usize {
            // The first 4 KiB hold headers, notes and the dynamic tables.
            let at = i.wrapping_mul(7919) % 4096.min(damaged.len());
            let old = damaged[at];
            damaged[at] ^= 1 << (i % 8);
            let _ = crate::content(crate::Class::Other, &damaged);
            damaged[at] = old;
        }
    }
}
