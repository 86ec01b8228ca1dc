//! The table of formats, made of what each format's file says about it.

use crate::{
    format::{About, Family, Format, is_leaf},
    formats,
};

/// `docs/formats.md`; `cargo xtask formats` writes it, a test compares.
#[must_use]
pub fn markdown() -> String {
    let formats = formats::all();
    let mut out = format!(
        "# Formats\n\n\
         {} formats are read. This page is made by `cargo xtask formats` from the files that read them.\n\n\
         *Opened*: what is inside comes out; the others are identified and delimited. What was right or wrong in one image \
         stands on its artifacts (`integrity-correct`, `checksum-correct`, problems). *Encryption*: whether a key opens it \
         (`keys.md`), or it is told and stays closed. *Samples*: Debian packages of the tools that make the images of the \
         tests; otherwise these write them after the layout.\n",
        formats.len()
    );
    for (family, title) in FAMILIES {
        let of_family: Vec<_> = formats.iter().filter(|f| f.about().family == *family).collect();
        if of_family.is_empty() {
            continue;
        }
        out.push_str(&format!(
            "\n## {title}\n\n\
             | format | name | opened | metadata kept | integrity checked | encryption | not read | samples | layout |\n\
             |---|---|---|---|---|---|---|---|---|\n"
        ));
        of_family.iter().for_each(|f| out.push_str(&row(**f)));
    }
    out
}

const FAMILIES: &[(Family, &str)] = &[
    (Family::Archive, "Archives"),
    (Family::Compression, "Compressed streams"),
    (Family::FileSystem, "File systems"),
    (Family::Partition, "Partition tables, volumes and block layers"),
    (Family::Boot, "Boot loaders, kernels and device trees"),
    (Family::Vendor, "Update containers of equipment"),
    (Family::Executable, "Programs"),
    (Family::Leaf, "Others, not opened"),
];

/// Formats of which a key opens what is encrypted.
pub const OPENED_BY_KEY: &[&str] = &[
    "7z",
    "alpha-encimg",
    "alpha-wrgg",
    "dlink-encrpted-img",
    "dlink-mh01",
    "dlink-shrs",
    "fip",
    "openssl-salted",
    "qnap",
    "rar",
    "sercomm-encrypted",
    "technicolor-rbi",
    "zip",
    "zte-config",
];

/// Formats of which encryption is told, and stays closed.
const CLOSED: &[&str] = &[
    "airoha",
    "apfs",
    "arj",
    "ext",
    "fit",
    "luks",
    "ntfs",
    "openpgp-encrypted",
    "qcow2",
    "stuffit",
    "ubifs",
];

/// Debian packages whose tools make images for the tests, with the formats of these.
const SAMPLES: &[(&str, &[&str])] = &[
    ("android-sdk-libsparse-utils", &["android-sparse"]),
    ("arc", &["arc"]),
    ("arj", &["arj"]),
    ("binutils", &["ar", "elf", "ihex", "srec"]),
    ("binutils-multiarch", &["pe"]),
    ("btrfs-progs", &["btrfs", "btrfs-stream"]),
    ("bzip2", &["bzip2"]),
    ("cpio", &["cpio"]),
    ("cryptsetup-bin", &["luks"]),
    ("device-tree-compiler", &["dtb"]),
    ("dosfstools", &["fat"]),
    ("e2fsprogs", &["ext"]),
    ("erofs-utils", &["erofs"]),
    ("fdisk", &["gpt", "mbr"]),
    ("gcab", &["cab"]),
    ("genromfs", &["romfs"]),
    ("gzip", &["gzip", "kernel-config"]),
    ("jlha-utils", &["lha"]),
    ("libarchive-tools", &["xar"]),
    ("lz4", &["lz4", "lz4-legacy"]),
    ("lzip", &["lzip"]),
    ("lzop", &["lzop"]),
    ("makefs", &["ufs"]),
    ("makeself", &["shell-archive"]),
    ("mkbootimg", &["android-boot", "android-vendor-boot"]),
    ("msitools", &["ole"]),
    ("mtd-utils", &["jffs2", "ubi", "ubifs"]),
    ("ncompress", &["compress"]),
    ("ntfs-3g", &["ntfs"]),
    ("openssl", &["module-signature", "openssl-salted"]),
    ("p7zip-full", &["7z"]),
    ("par2", &["par2"]),
    ("partclone", &["partclone"]),
    ("qemu-utils", &["qcow2", "vhd", "vhd-fixed", "vhdx", "vmdk"]),
    ("rpm", &["rpm"]),
    ("squashfs-tools", &["squashfs"]),
    ("tar", &["tar"]),
    ("u-boot-tools", &["fit", "u-boot-environment", "uimage"]),
    ("util-linux-extra", &["cramfs", "minix"]),
    ("xorriso", &["iso9660"]),
    ("xz-utils", &["lzma", "xz"]),
    ("zip", &["zip"]),
    ("zstd", &["zstd"]),
];

fn row(format: &dyn Format) -> String {
    let a: &About = format.about();
    let encryption = match a.id {
        id if OPENED_BY_KEY.contains(&id) => "opened with a key",
        id if CLOSED.contains(&id) => "told",
        _ => "-",
    };
    let made: Vec<_> =
        SAMPLES.iter().filter(|(_, ids)| ids.contains(&a.id)).map(|(tool, _)| *tool).collect();
    let sources: Vec<_> = a.sources.iter().map(|s| source(s)).collect();
    let cells = [
        format!("`{}`", a.id),
        cell(a.name),
        if is_leaf(format) { "-" } else { "yes" }.to_owned(),
        cell(a.metadata),
        cell(a.integrity),
        encryption.to_owned(),
        cell(a.limits),
        if made.is_empty() { "-".to_owned() } else { made.join(", ") },
        sources.join(", "),
    ];
    format!("| {} |\n", cells.join(" | "))
}

/// An address as a link, anything else as it is.
fn source(text: &str) -> String {
    if text.starts_with("https://") || text.starts_with("http://") {
        format!("<{text}>")
    } else {
        cell(text)
    }
}

fn cell(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.replace('|', "\\|").replace('\n', " ") }
}
