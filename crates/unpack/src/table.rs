//! The table of formats, made of what each format's file says about it.

use crate::{
    format::{About, Family},
    formats,
};

/// `docs/formats.md`; `cargo xtask formats` writes it, a test compares.
#[must_use]
pub fn markdown() -> String {
    let formats = formats::all();
    let mut out = format!(
        "# Formats\n\n\
         {} formats are read. This page is made by `cargo xtask formats` from the files that read them.\n",
        formats.len()
    );
    for (family, title) in FAMILIES {
        let of_family: Vec<_> =
            formats.iter().map(|f| f.about()).filter(|a| a.family == *family).collect();
        if of_family.is_empty() {
            continue;
        }
        out.push_str(&format!(
            "\n## {title}\n\n\
             | format | name | metadata kept | integrity checked | not read | layout |\n\
             |---|---|---|---|---|---|\n"
        ));
        of_family.iter().for_each(|a| out.push_str(&row(a)));
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

fn row(a: &About) -> String {
    let sources: Vec<_> = a.sources.iter().map(|s| source(s)).collect();
    let cells = [
        format!("`{}`", a.id),
        cell(a.name),
        cell(a.metadata),
        cell(a.integrity),
        cell(a.limits),
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
