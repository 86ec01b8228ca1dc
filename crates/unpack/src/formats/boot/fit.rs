//! FIT: U-Boot's flattened image tree, with data inside the tree or behind it.
//!
//! Establishes: the tree (see [`fdt`](super::fdt)), the bytes of each image, and each image's hashes, which
//! are computed and compared. Signature nodes are reported; signatures are not verified, because the key that
//! counts is in the boot loader of the device.
//!
//! External data stands at `data-position` from the start, or at `data-offset` from the end of the tree
//! rounded up to 4.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use super::fdt::{MAGIC, Tree};
use crate::{
    budget::Budget,
    format::{About, Blob, Entry, Family, Magic},
    formats::{
        layout::{Layout, Reader, name_or},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "fit",
        name: "U-Boot FIT",
        family: Family::Boot,
        revision: 1,
        metadata: "description, time, per image: type, architecture, compression, addresses",
        integrity: "hash of each image (crc32, md5, sha1, sha256, sha384, sha512); signature nodes reported",
        limits: "signatures are not verified; encrypted images stay encrypted",
        sources: &["u-boot/doc/usage/fit/source_file_format.rst"],
    },
    magics: &[Magic::anywhere(MAGIC)],
    read: read_layout,
};

/// Where an image's bytes are.
fn extent(tree: &Tree, data: &[u8], image: usize) -> Option<(u64, u64)> {
    if let Some(inside) = tree.property(image, "data") {
        return Some((inside.start as u64, inside.len() as u64));
    }
    let len = tree.number(data, image, "data-size")?;
    let start = tree.number(data, image, "data-position").or_else(|| {
        let base = (tree.size as u64).next_multiple_of(4);
        base.checked_add(tree.number(data, image, "data-offset")?)
    })?;
    Some((start, len))
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let tree = Tree::read(data, budget).filter(Tree::is_fit)?;
    let images = tree.child(0, "images")?;
    let ends = tree.children(images).filter_map(|(image, _)| {
        let (start, len) = extent(&tree, data, image)?;
        start.checked_add(len)
    });
    let end = ends.chain([tree.size as u64]).max()?;
    let mut layout = Layout::new(data, end, Proof::DecoderEnded);
    layout.structure(0, tree.size);
    layout.align(4096);
    layout.attribute("name", tree.text(data, 0, "description").unwrap_or_default());
    if let Some(time) = tree.number(data, 0, "timestamp") {
        layout.attribute("created", time);
    }
    if let Some(configurations) = tree.child(0, "configurations") {
        layout.attribute("default", tree.text(data, configurations, "default").unwrap_or_default());
    }
    let (mut hashes, mut wrong, mut signatures, mut algorithm) =
        (0_u32, 0_u32, Vec::new(), String::new());
    for (index, node) in tree.nodes.iter().enumerate() {
        if node.name.starts_with("signature") {
            signatures.extend(tree.text(data, index, "algo"));
        }
    }
    for (image, node) in tree.children(images) {
        let mut entry = Entry::file(name_or(&node.name, "image"), Blob::None);
        for (key, name) in
            [("type", "type"), ("compression", "compression"), ("machine", "arch"), ("os", "os")]
        {
            let value = tree.text(data, image, name).unwrap_or_default();
            layout.attribute(&format!("{}.{key}", node.name), value);
        }
        let Some((start, len)) = extent(&tree, data, image) else {
            let message = format!("image {} has no data", node.name);
            layout.problem(ProblemKind::Incomplete, message);
            continue;
        };
        let bytes = read::index(start)
            .zip(read::index(len))
            .and_then(|(start, len)| read::slice(data, start, len));
        for (hash, child) in tree.children(image).filter(|(_, n)| n.name.starts_with("hash")) {
            let algo = tree.text(data, hash, "algo").unwrap_or_default();
            let value = tree.property(hash, "value").and_then(|range| data.get(range));
            let computed = bytes
                .filter(|b| budget.work(b.len() as u64).is_ok())
                .and_then(|b| sums::by_name(&algo, b));
            if let (Some(value), Some(computed)) = (value, computed) {
                hashes = hashes.saturating_add(1);
                if value != computed {
                    wrong = wrong.saturating_add(1);
                    let message = format!("{} of {} does not match", algo, child.name);
                    entry.problems.push(Problem::new(ProblemKind::Checksum, message));
                }
            }
            // The strongest named: sha over md5 over crc.
            let rank = |a: &str| (a.starts_with("sha"), a.starts_with("md"), a.len(), a.to_owned());
            if rank(&algo) > rank(&algorithm) {
                algorithm = algo;
            }
        }
        if tree.child(image, "cipher").is_some() {
            layout.attribute("encrypted", "yes");
            let message = format!("image {} has a cipher node", node.name);
            entry.problems.push(Problem::new(ProblemKind::Encrypted, message));
        }
        layout.part_with(data, entry, start, len);
    }
    let correct = (hashes > 0).then_some(wrong == 0);
    match signatures.first() {
        Some(first) => {
            layout.attribute("hashes-correct", if wrong > 0 { "no" } else { "yes" });
            let correct = if wrong > 0 { Some(false) } else { None };
            layout.integrity("signature", first, correct);
        }
        None if algorithm.is_empty() => layout.integrity("none", "", None),
        None => {
            layout.integrity(if algorithm == "crc32" { "crc" } else { "hash" }, &algorithm, correct)
        }
    }
    if hashes > 0 && wrong == 0 && layout.proof == Proof::DecoderEnded {
        layout.proof = Proof::ChecksumVerified;
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, scratch, tool, torture};

    const SOURCE: &str = r#"/dts-v1/; / { description = "Test FIT"; #address-cells = <1>;
        images {
            kernel-1 { data = /incbin/("k"); type = "kernel"; arch = "arm64"; os = "linux"; compression = "none";
                load = <0x80000>; entry = <0x80000>; hash-1 { algo = "sha256"; }; hash-2 { algo = "crc32"; }; };
            fdt-1 { data = /incbin/("d"); type = "flat_dt"; arch = "arm64"; compression = "none";
                hash-1 { algo = "sha1"; }; };
        };
        configurations { default = "c"; c { kernel = "kernel-1"; fdt = "fdt-1"; SIGN }; }; };"#;

    #[test]
    fn what_mkimage_makes_is_read_with_data_inside_and_outside() {
        let (dir, kernel, dtb) = (scratch(), noise(9001, 6), noise(2003, 7));
        std::fs::write(dir.path().join("k"), &kernel).unwrap();
        std::fs::write(dir.path().join("d"), &dtb).unwrap();
        let sign = r#"signature { algo = "sha256,rsa2048"; key-name-hint = "dev"; sign-images = "kernel"; };"#;
        std::fs::write(dir.path().join("a.its"), SOURCE.replace("SIGN", "")).unwrap();
        std::fs::write(dir.path().join("s.its"), SOURCE.replace("SIGN", sign)).unwrap();
        let make = "mkimage -f a.its in.itb >&2; mkimage -E -f a.its out.itb >&2; mkimage -E -p 0x2000 -f a.its pos.itb >&2
            openssl genrsa -out dev.key 2048 2>/dev/null; openssl req -new -x509 -key dev.key -out dev.crt -subj /CN=t
            mkimage -k . -f s.its signed.itb >&2";
        tool(dir.path(), "u-boot-tools device-tree-compiler openssl", make);
        for name in ["in", "out", "pos", "signed"] {
            let image = std::fs::read(dir.path().join(format!("{name}.itb"))).unwrap();
            let opened = open(&FORMAT, &image);
            assert_eq!(opened.problems, [], "{name}");
            assert!(
                image.len() - opened.candidate.length < 4,
                "{name}: only alignment is left out"
            );
            assert_eq!(opened.content("kernel-1"), kernel, "{name}");
            assert_eq!(opened.content("fdt-1"), dtb, "{name}");
            assert_eq!(opened.files(), ["kernel-1", "fdt-1"]);
            let signed = name == "signed";
            assert_eq!(opened.attribute("integrity"), if signed { "signature" } else { "hash" });
            assert_eq!(
                opened.attribute("integrity-correct"),
                if signed { "unknown" } else { "yes" }
            );
            assert!(
                open_at(&super::super::fdt::FORMAT, &image, 0).is_none(),
                "a FIT is not a plain tree"
            );
        }
        let mut image = std::fs::read(dir.path().join("out.itb")).unwrap();
        torture(&FORMAT, &image);
        let last = image.len() - 10;
        image[last] ^= 1;
        let opened = open(&FORMAT, &image);
        assert_eq!(opened.attribute("integrity-correct"), "no");
        assert_eq!(opened.entries[1].problems[0].kind, ProblemKind::Checksum);
    }
}
