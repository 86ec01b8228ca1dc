//! `cargo xtask bench unpack`: unpacking alone, on each file system and archive, beside the format's own tool.
//!
//! One tree of some thousand files from the benchmark gateway is packed by the real tools. Proofmark and the other
//! tool extract it in turn to memory, on the same two processors.

use std::{fs, path::Path, process::Command};

use super::{Run, installed, pair, run, words, write};
use crate::Outcome;

/// Format, tool that packs, what packs the folder `tree` into `image`, and the tool that unpacks `image` into the
/// folder `out`.
const ROWS: &[(&str, &str, &str, &str)] = &[
    ("SquashFS, xz", "mksquashfs", "mksquashfs tree image -comp xz -quiet -no-progress", SQUASHFS),
    (
        "SquashFS, zstd",
        "mksquashfs",
        "mksquashfs tree image -comp zstd -quiet -no-progress",
        SQUASHFS,
    ),
    (
        "SquashFS, lz4",
        "mksquashfs",
        "mksquashfs tree image -comp lz4 -quiet -no-progress",
        SQUASHFS,
    ),
    (
        "UBIFS",
        "mkfs.ubifs",
        "mkfs.ubifs -r tree -m 2048 -e 126976 -c 4000 -o image",
        "ubireader_extract_files -k -o out image",
    ),
    ("JFFS2", "mkfs.jffs2", "mkfs.jffs2 -r tree -e 0x20000 -o image", "jefferson -d out image"),
    (
        "ext4",
        "mke2fs",
        "mke2fs -q -t ext4 -d tree image 400M",
        "mkdir out && debugfs -R 'rdump / out' image",
    ),
    ("cpio.gz", "cpio", "(cd tree && find . | cpio --quiet -o -H newc) | gzip >image", BSDTAR),
    ("tar.xz", "tar", "tar -cf - -C tree . | xz -T2 -1 >image", BSDTAR),
    (
        "all in one zip",
        "zip",
        "mksquashfs tree one -comp xz -quiet -no-progress >/dev/null && mke2fs -q -t ext4 -d tree two 400M && \
         tar -czf three -C tree . && zip -q -1 image.zip one two three && mv image.zip image && rm one two three",
        "unblob -e out image",
    ),
];
const SQUASHFS: &str = "unsquashfs -quiet -no-progress -processors 2 -dest out image";
const BSDTAR: &str = "mkdir out && bsdtar -xf image -C out";

/// Tools that unpack anything, on the first and last row.
const GENERAL: &[&str] = &["binwalk --run-as=root -Me -C out image", "unblob -e out image"];

/// Measures prints the table and writes it into `docs/benchmarks.md`. `tree` is the source of the files, `scratch` is in memory.
pub fn run_all(proofmark: &str, source: &Path, scratch: &Path) -> Outcome {
    let folder = scratch.join("unpack");
    let _ = fs::remove_dir_all(&folder);
    let wrong = |e: std::io::Error| format!("{}: {e}", folder.display());
    fs::create_dir_all(folder.join("tree")).map_err(wrong)?;
    let here = |command: &str| {
        vec!["sh".into(), "-ec".into(), format!("cd '{}' && {command}", folder.display())]
    };
    run(&here(&format!(
        "cp -a '{0}/usr/bin' '{0}/usr/sbin' '{0}/etc' '{0}'/usr/lib/python3* tree/",
        source.display()
    )))?;
    let clean = || {
        let _ = fs::remove_dir_all(folder.join("out"));
    };
    let on_two = |command: &str| {
        let mut all = words(&[]);
        all.extend(here(command));
        all
    };
    let mut rows = vec![
        "| image | Proofmark | beside | | ratio of wall times |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    let mut row = |text: String| {
        println!("{text}");
        rows.push(text);
    };
    for (name, maker, make, tool) in ROWS {
        let _ = fs::remove_file(folder.join("image"));
        if Command::new("sh")
            .args(["-c", &format!("PATH=$PATH:/sbin:/usr/sbin command -v {maker}")])
            .output()
            .is_ok_and(|o| !o.status.success())
        {
            row(format!("| {name} | {maker} is not installed | | | |"));
            continue;
        }
        run(&here(make))?;
        let own = on_two(&format!("{proofmark} unpack image --jobs 2 --out out"));
        let mut tools = vec![*tool];
        tools.extend(GENERAL.iter().filter(|t| *name == ROWS[0].0 && *t != tool));
        for tool in tools {
            let program =
                tool.trim_start_matches("mkdir out && ").split(' ').next().unwrap_or(tool);
            if !installed(program) && program != "debugfs" {
                row(format!("| {name} | | {program} | is not installed | |"));
                continue;
            }
            // Proofmark first, then the other tool, each into an empty folder.
            let runs = if GENERAL.contains(&tool) { 1 } else { 3 };
            let theirs = on_two(&format!("rm -rf out && {tool}"));
            let (a, b) = match pair(runs, &own, &theirs, &clean) {
                Ok(measured) => measured,
                Err(e) => {
                    row(format!(
                        "| {name} | | {program} | failed: {} | |",
                        e.lines().next().unwrap_or("")
                    ));
                    continue;
                }
            };
            let text = |r: Run| format!("{:.2} s, {:.2} CPU s, {:.0} MiB", r.wall, r.cpu, r.memory);
            row(format!(
                "| {name} | {} | {program} | {} | {:.2} |",
                text(a),
                text(b),
                a.wall / b.wall
            ));
        }
    }
    fs::remove_dir_all(&folder).map_err(wrong)?;
    write(("<!-- unpacking -->\n", "<!-- end of unpacking -->"), &format!("{}\n", rows.join("\n")))
}
