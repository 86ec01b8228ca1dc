//! Packages of programming languages and build systems, outside the databases of a distribution.
//!
//! Establishes: the package, crate, module or recipe that a file of metadata names, or that a
//! program carries in itself, with its version and licence as recorded.
//!
//! How, one file for each: Python (`*.dist-info/METADATA`, `*.egg-info`), Node (`node_modules/*/package.json`), Java
//! (`pom.properties`, `MANIFEST.MF` in archives), Lua (rockspecs), Go (build information in a program), Rust (the
//! `.dep-v0` section that cargo-auditable leaves), kernel modules (`.modinfo`), Yocto and Buildroot (manifests).
//!
//! False positives: metadata may be left behind after its code is gone; test data of a
//! language's own library looks like a package.
//!
//! False negatives: packages installed without metadata; programs stripped of their
//! build information.
//!
//! Limits: what a manifest lists is claimed by whoever built the image, and its manager (`yocto`, `buildroot`) says so.
//!
//! Sources: PyPA "Core metadata specifications"; npm "package.json"; Maven "Archiver"; LuaRocks "Rockspec format";
//! Go `debug/buildinfo`; rust-secure-code "cargo-auditable" `PARSING.md`; Linux `include/linux/module.h`; Yocto
//! `license_image.bbclass`; Buildroot manual "Legal notice and licensing".

mod go;
mod java;
mod lua;
mod manifest;
mod module;
mod node;
mod python;
mod rust;

use std::collections::BTreeSet;

use proofmark_model::{Fact, Observation, Strength, fact::Package};

use crate::{
    Class, Notes, View, elf::file::Elf, notes::Range, packages::Recorded, root::File, text,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("ecosystems", 1);

/// Records taken from one content.
const MOST: usize = 100_000;
/// Metadata larger than this is not metadata.
const LARGEST: usize = 64 << 20;

/// The class of a file of metadata by its path.
pub(crate) fn class(path: &str, name: &str) -> Option<Class> {
    let metadata = python::is(path, name)
        || node::is(path, name)
        || java::is(path, name)
        || lua::is(path, name)
        || manifest::is(path, name);
    metadata.then_some(Class::Metadata)
}

/// First stage, a file of metadata. The formats tell themselves apart.
pub(crate) fn content(bytes: &[u8], notes: &mut Notes) {
    if bytes.len() > LARGEST || !text::is_text(bytes) {
        return;
    }
    let text = text::same_length(bytes);
    let readers = [node::read, java::read, lua::read, manifest::read, python::read];
    notes.ecosystem =
        readers.iter().map(|read| read(&text)).find(|r| !r.is_empty()).unwrap_or_default();
    notes.ecosystem.truncate(MOST);
}

/// First stage, a program.
pub(crate) fn program(bytes: &[u8], notes: &mut Notes) {
    let Some(elf) = Elf::parse(bytes) else { return };
    let mut found = go::read(&elf);
    found.extend(rust::read(&elf));
    found.extend(module::read(&elf));
    found.truncate(MOST);
    notes.ecosystem = found;
}

/// Second stage: a fact for each package at each place; equal ones of one file once.
pub(crate) fn image(view: &View<'_>, out: &mut Vec<Observation>) {
    for (id, _, notes) in view.live() {
        let Some(file) = File::of(*view, id) else { continue };
        let mut seen = BTreeSet::new();
        for recorded in &notes.ecosystem {
            let package = &recorded.package;
            if !seen.insert((&package.manager, &package.name, &package.version)) {
                continue;
            }
            out.push(Observation {
                fact: Fact::Package(package.clone()),
                evidence: file.evidence(recorded.range),
                inspector: REVISION.0.to_owned(),
                revision: REVISION.1,
                strength: Strength::Observed,
            });
        }
    }
}

/// A package of `manager`, if name and version are there and look like some.
fn package(manager: &str, name: &str, version: &str, range: Range) -> Option<Recorded> {
    let (name, version) = (name.trim(), version.trim());
    let fit = |s: &str| !s.is_empty() && s.len() <= 300 && !s.chars().any(char::is_control);
    (fit(name) && fit(version)).then(|| Recorded {
        package: Package {
            manager: manager.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: None,
            source: None,
            installed: true,
            license: None,
            files: Vec::new(),
        },
        range,
    })
}

/// A licence as recorded, if it is more than nothing.
fn licence(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && text != "UNKNOWN" && text.len() <= 300).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proofmark_model::Fact;

    use crate::testing::Tree;

    /// `manager:name@version (licence)` of everything found.
    fn found(tree: Tree) -> Vec<String> {
        tree.facts(|f| match f {
            Fact::Package(p) => Some(format!(
                "{}:{}@{}{}",
                p.manager,
                p.name,
                p.version,
                p.license.map(|l| format!(" ({l})")).unwrap_or_default()
            )),
            _ => None,
        })
    }

    fn one(path: &str, text: &str) -> Vec<String> {
        found(Tree::new().file(path, text))
    }

    #[test]
    fn python() {
        let path = "usr/lib/python3/site-packages/Foo_Bar-1.2.dist-info/METADATA";
        let text = "Metadata-Version: 2.1\nName: Foo_Bar\nVersion: 1.2\nLicense: MIT\n\nName: not a header\n";
        assert_eq!(one(path, text), ["pypi:foo-bar@1.2 (MIT)"]);
        assert_eq!(one("usr/lib/python3/x.egg-info/PKG-INFO", text), ["pypi:foo-bar@1.2 (MIT)"]);
        assert_eq!(one("usr/share/doc/METADATA", text), Vec::<String>::new());
        assert_eq!(one(path, "Name: only\n"), Vec::<String>::new());
    }

    #[test]
    fn node() {
        let path = "srv/node_modules/@scope/pkg/package.json";
        let text = r#"{"name":"@scope/pkg","version":"4.5.6","license":{"type":"ISC"}}"#;
        assert_eq!(one(path, text), ["npm:@scope/pkg@4.5.6 (ISC)"]);
        assert_eq!(one("srv/package.json", text), Vec::<String>::new(), "not installed");
        assert_eq!(one(path, r#"{"type":"module"}"#), Vec::<String>::new());
        assert_eq!(one(path, &"[".repeat(100_000)), Vec::<String>::new());
    }

    #[test]
    fn java() {
        let path = "META-INF/maven/org.example/lib/pom.properties";
        let text = "#Created\nversion=2.0\ngroupId=org.example\nartifactId=lib\n";
        assert_eq!(one(path, text), ["maven:org.example:lib@2.0"]);
        let manifest = "Manifest-Version: 1.0\r\nBundle-SymbolicName: org.example.bundle;si\r\n ngleton:=true\r\nBundle-Version: 3.1.0\r\n";
        assert_eq!(one("META-INF/MANIFEST.MF", manifest), ["java:org.example.bundle@3.1.0"]);
        assert_eq!(one("META-INF/MANIFEST.MF", "Manifest-Version: 1.0\n"), Vec::<String>::new());
    }

    #[test]
    fn lua() {
        let path = "usr/lib/luarocks/rocks-5.1/cjson/2.1-1/cjson-2.1-1.rockspec";
        let text =
            "package = \"lua-cjson\"\nversion = '2.1-1'\ndescription = {\n  license = \"MIT\"\n}\n";
        assert_eq!(one(path, text), ["luarocks:lua-cjson@2.1-1 (MIT)"]);
        assert_eq!(one(path, "x = 1\n"), Vec::<String>::new());
    }

    /// The smallest program there is for this: no code, but a section called `name` with these bytes.
    fn program(name: &str, bytes: &[u8]) -> Vec<u8> {
        let names = [b"\0.shstrtab\0", name.as_bytes(), b"\0"].concat();
        let (at, names_at) = (64, 64 + bytes.len());
        let headers_at = names_at + names.len();
        let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        let header: [(usize, usize); 13] = [
            (2, 2),
            (62, 2),
            (1, 4),
            (0, 8),
            (0, 8),
            (headers_at, 8),
            (0, 4),
            (64, 2),
            (0, 2),
            (0, 2),
            (64, 2),
            (3, 2),
            (1, 2),
        ];
        header.iter().for_each(|(n, width)| elf.extend(&n.to_le_bytes()[..*width]));
        elf.extend(bytes);
        elf.extend(&names);
        elf.extend([0; 64]);
        for (name, offset, size) in [(1, names_at, names.len()), (11, at, bytes.len())] {
            let kind = if name == 1 { 3 } else { 1 };
            let fields: [(usize, usize); 10] = [
                (name, 4),
                (kind, 4),
                (0, 8),
                (0, 8),
                (offset, 8),
                (size, 8),
                (0, 4),
                (0, 4),
                (1, 8),
                (0, 8),
            ];
            fields.iter().for_each(|(n, width)| elf.extend(&n.to_le_bytes()[..*width]));
        }
        elf
    }

    #[test]
    fn go_with_replaced_modules() {
        let text = "path\tsample\nmod\texample.org/sample\t(devel)\t\ndep\texample.org/a\tv1.2.3\th1:x=\n\
                    dep\texample.org/b\tv0.1.0\n=>\texample.org/fork\tv0.1.1\th1:y=\n";
        let modules = [&[0x30; 16][..], text.as_bytes(), &[0x31; 16]].concat();
        let mut block = b"\xff Go buildinf:\x08\x02".to_vec();
        block.resize(32, 0);
        block.push(8);
        block.extend(b"go1.21.5");
        block.extend([(modules.len() & 0x7f) as u8 | 0x80, (modules.len() >> 7) as u8]);
        block.extend(&modules);
        let bytes = program(".go.buildinfo", &block);
        let expected = [
            "golang:example.org/a@v1.2.3",
            "golang:example.org/fork@v0.1.1",
            "golang:example.org/sample@(devel)",
            "golang:stdlib@1.21.5",
        ];
        assert_eq!(found(Tree::new().file("bin/sample", bytes.clone())), expected);
        for end in 0..bytes.len() {
            let _ = found(Tree::new().file("bin/sample", &bytes[..end]));
        }
    }

    #[test]
    fn rust_as_cargo_auditable_leaves_it() {
        use std::io::Write as _;
        let json = r#"{"packages":[{"name":"cc","version":"1.0.0","kind":"build"},{"name":"log","version":"0.4.20"}]}"#;
        let mut z = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        z.write_all(json.as_bytes()).unwrap();
        let bytes = program(".dep-v0", &z.finish().unwrap());
        assert_eq!(found(Tree::new().file("bin/sample", bytes)), ["cargo:log@0.4.20"]);
    }

    #[test]
    fn kernel_modules() {
        let info =
            b"license=GPL v2\0vermagic=5.15.137 SMP mod_unload MIPS32_R2 32BIT \0name=sample\0";
        assert_eq!(
            found(Tree::new().file("lib/modules/5.15.137/sample.ko", program(".modinfo", info))),
            ["kernel-module:sample@5.15.137 (GPL v2)"]
        );
    }

    #[test]
    fn manifests() {
        let yocto = "PACKAGE NAME: busybox\nPACKAGE VERSION: 1.36.1\nRECIPE NAME: busybox\nLICENSE: GPL-2.0-only\n\nPACKAGE NAME: zlib1\nPACKAGE VERSION: 1.3\nRECIPE NAME: zlib\nLICENSE: Zlib\n";
        assert_eq!(
            one("usr/share/common-licenses/license.manifest", yocto),
            ["yocto:busybox@1.36.1 (GPL-2.0-only)", "yocto:zlib1@1.3 (Zlib)"]
        );
        let short = "busybox mips32 1.36.1-r0\nzlib mips32 1.3-r0\n";
        assert_eq!(
            one("deploy/core-image.manifest", short),
            ["yocto:busybox@1.36.1-r0", "yocto:zlib@1.3-r0"]
        );
        let buildroot = "\"PACKAGE\",\"VERSION\",\"LICENSE\",\"LICENSE FILES\"\n\"busybox\",\"1.36.1\",\"GPL-2.0, bzip2\",\"LICENSE\"\n";
        assert_eq!(
            one("legal-info/manifest.csv", buildroot),
            ["buildroot:busybox@1.36.1 (GPL-2.0, bzip2)"]
        );
        assert_eq!(
            one("etc/cache.manifest", "CACHE MANIFEST\n/index.html\n"),
            Vec::<String>::new()
        );
    }
}
