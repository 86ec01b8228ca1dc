//! Measurements on labelled truth that the repository can rebuild; each writes its section of
//! `docs/quality.md`.

use std::fs;

use crate::{
    Outcome, identification, kernel, kernel_images, matching, network, rar, root, static_copies,
};

/// `quality WHAT`.
pub fn run(arguments: &[String]) -> Outcome {
    let rest = arguments.get(1..).unwrap_or_default();
    match arguments.first().map(String::as_str) {
        Some("identification") => identification::run(rest),
        Some("kernel") => kernel::run(rest),
        Some("kernel-images") => kernel_images::run(rest),
        Some("matching") => matching::run(rest),
        Some("network") => network::run(rest),
        Some("rar") => rar::run(),
        Some("static") => static_copies::run(rest),
        _ => {
            Err("say what to measure: identification, kernel, kernel-images, matching, network, rar, static"
                .into())
        }
    }
}

/// Puts `body` between the markers of section `name` in `docs/quality.md`; adds the section at the end where
/// it is missing.
pub fn write_section(name: &str, body: &str) -> Outcome {
    let path = root().join("docs/quality.md");
    let text = fs::read_to_string(&path).unwrap_or_else(|_| "# Quality, measured\n".into());
    let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
    let section = format!("{begin}\n{}\n{end}", body.trim_end());
    let new = match (text.find(&begin), text.find(&end)) {
        (Some(a), Some(b)) if a < b => {
            format!("{}{section}{}", &text[..a], &text[b + end.len()..])
        }
        _ => format!("{}\n\n{section}\n", text.trim_end()),
    };
    fs::write(&path, new).map_err(|e| format!("{}: {e}", path.display()))
}
