//! File systems that a real kernel wrote, against what it lists of them: `quality kernel-images [FOLDER]`.
//!
//! `quality/kernel-images/run.sh` makes the images in a virtual machine (a folder that holds them already is used as it
//! is), the test `kernel_images` of the unpacker compares every file, and the table goes to `docs/quality.md`.

use std::{env, path::PathBuf, process::Command};

use crate::{Outcome, quality, root};

/// `quality kernel-images [FOLDER]`.
pub fn run(arguments: &[String]) -> Outcome {
    let work = arguments.first().map_or_else(|| root().join("target/kernel-images"), PathBuf::from);
    let out = work.join("job/out");
    if !out.is_dir() {
        let script = root().join("quality/kernel-images/run.sh");
        let status = Command::new("sh").arg(script).arg(&work).status();
        if !status.map_err(|e| format!("sh: {e}"))?.success() {
            return Err(
                "the virtual machine made no images; its packages are named in run.sh".into()
            );
        }
    }
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "test",
            "-p",
            "proofmark-unpack",
            "--test",
            "kernel_images",
            "--",
            "--ignored",
            "--nocapture",
        ])
        .env("PROOFMARK_KERNEL_IMAGES", &out)
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let rows: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix('='))
        .map(|line| format!("| {} |", line.trim().replace('\t', " | ")))
        .collect();
    if rows.is_empty() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    quality::write_section(
        "kernel-images",
        &format!(
            "## File systems against a real kernel\n\nDebian's kernel writes each image in a virtual machine and \
             lists it: names, contents, modes, owners, times, links, devices, attributes. `-crash`: the image as it \
             lies there in the middle of the work; what the kernel makes of it at the next mount is the truth. \
             `btrfs-crash` is not compared: the reader says that it leaves the log out. NTFS is \
             written and listed by ntfs-3g. (`cargo xtask quality kernel-images`)\n\n| image | entries | differences |\n|---|---|---|\n{}",
            rows.join("\n")
        ),
    )?;
    if output.status.success() { Ok(()) } else { Err("there are differences".into()) }
}
