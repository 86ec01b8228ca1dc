//! The same image through a format of ours and through the real tool: the same paths, kinds, contents and metadata.
//!
//! Trees and options are random, from a seed: the same seed gives the same images on machines with the same tools.
//! What a tool does not keep (owners in FAT, device nodes in `debugfs rdump`) is not compared; each recipe says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::Command,
};

use bytes::Bytes;
use proofmark_model::{Digest, EntryKind, locator::escape};
use proofmark_unpack::{
    budget::Budget,
    format::{Entry, Format, Sink},
    formats,
};

use crate::mutate::Random;

/// What a tool keeps and so is compared; contents and links always are.
#[derive(Debug, Clone, Copy)]
struct Keeps {
    mode: bool,
    /// Bits of the mode; some tools drop setuid, setgid and sticky when they extract.
    bits: u32,
    owner: bool,
    mtime: bool,
    /// Modification times of folders and links; several tools set them only for files.
    all_times: bool,
    special: bool,
    hard_links: bool,
    symlinks: bool,
    /// Owners of symbolic links.
    link_owner: bool,
    /// Times are compared in steps of so many seconds.
    step: i64,
}

const ALL: Keeps = Keeps {
    mode: true,
    bits: 0o7777,
    owner: true,
    mtime: true,
    all_times: true,
    special: true,
    hard_links: true,
    symlinks: true,
    link_owner: true,
    step: 1,
};

/// How images of a format are made and taken apart. `$O` stands for one of `options`.
struct Recipe {
    format: &'static str,
    /// Debian packages (or `pip: NAME`) of both tools.
    packages: &'static str,
    make: &'static str,
    options: &'static [&'static str],
    extract: &'static str,
    keeps: Keeps,
}

const CONTENT: Keeps = Keeps {
    mode: false,
    bits: 0o777,
    owner: false,
    mtime: false,
    all_times: false,
    special: false,
    hard_links: false,
    symlinks: true,
    link_owner: false,
    step: 1,
};

const RECIPES: &[Recipe] = &[
    Recipe {
        format: "squashfs",
        packages: "squashfs-tools",
        make: "mksquashfs tree image -noappend -quiet -no-progress $O",
        options: &[
            "-comp gzip",
            "-comp gzip -b 4096 -no-fragments",
            "-comp xz -Xbcj x86,arm -b 65536",
            "-comp zstd -b 1M -always-use-fragments",
            "-comp lz4 -Xhc -b 8192",
            "-comp lzo -b 32768 -no-duplicates",
            "-noI -noD -noF -noX -nopad",
            "-comp lzma -no-exports",
        ],
        extract: "unsquashfs -q -no-progress -d out image",
        keeps: ALL,
    },
    Recipe {
        format: "ext",
        packages: "e2fsprogs",
        make: "truncate -s 24M image && mke2fs -q -F -d tree $O image",
        options: &[
            "-t ext2 -b 1024",
            "-t ext2 -b 4096 -I 128",
            "-t ext3 -b 1024",
            "-t ext4 -b 4096",
            // Not inline_data: debugfs 1.47 writes 60 bytes whatever the size of an inline file.
            "-t ext4 -b 1024 -O ^has_journal",
            "-t ext4 -b 2048 -O ^64bit,^metadata_csum",
            "-t ext4 -O bigalloc -b 4096",
        ],
        extract: "mkdir out && debugfs -R 'rdump / out' image",
        keeps: Keeps {
            bits: 0o777,
            link_owner: false,
            special: false,
            hard_links: false,
            all_times: false,
            ..ALL
        },
    },
    Recipe {
        format: "tar",
        packages: "tar libarchive-tools",
        make: "tar --numeric-owner -C tree $O -cf image .",
        options: &[
            "--format=gnu",
            "--format=pax",
            "--format=posix --sparse",
            "--format=gnu --sparse",
            "--format=oldgnu",
        ],
        extract: "mkdir out && bsdtar --numeric-owner -C out -xpf image",
        keeps: ALL,
    },
    Recipe {
        format: "cpio",
        packages: "cpio",
        make: "(cd tree && find . -mindepth 1 | LC_ALL=C sort | cpio -o --quiet $O) >image",
        options: &["-H newc", "-H crc", "-H odc"],
        extract: "mkdir out && cd out && cpio -idm --quiet <../image",
        keeps: Keeps { all_times: false, ..ALL },
    },
    Recipe {
        format: "zip",
        packages: "zip unzip",
        make: "(cd tree && zip -qry $O ../image.zip .) && mv image.zip image",
        options: &["-0", "-1", "-9", "-Z bzip2", "-X"],
        extract: "mkdir out && unzip -qX image -d out",
        keeps: Keeps {
            bits: 0o777,
            owner: false,
            special: false,
            hard_links: false,
            all_times: false,
            step: 2,
            mtime: false,
            ..ALL
        },
    },
    Recipe {
        format: "7z",
        packages: "p7zip-full",
        make: "(cd tree && 7z a -bd -y -snl -t7z $O ../image.7z .) >log && mv image.7z image",
        options: &[
            "-m0=lzma2",
            "-m0=lzma -ms=off",
            "-m0=bzip2",
            "-m0=deflate",
            "-m0=copy",
            "-m0=lzma2 -mf=BCJ",
        ],
        extract: "7z x -bd -y -snl -oout image >log",
        keeps: Keeps { special: false, symlinks: false, ..CONTENT },
    },
    Recipe {
        format: "cramfs",
        packages: "util-linux-extra",
        make: "mkfs.cramfs $O tree image",
        options: &["", "-n label", "-b 4096 -e 7"],
        extract: "fsck.cramfs --extract=out image",
        keeps: Keeps { bits: 0o777, owner: false, mtime: false, hard_links: false, ..ALL },
    },
    Recipe {
        format: "erofs",
        packages: "erofs-utils",
        make: "mkfs.erofs --quiet $O image tree",
        options: &[
            "",
            "-zlz4",
            "-zlz4hc,9 -C16384",
            "-E legacy-compress -zlz4",
            "-E force-inode-extended",
            "-E ztailpacking -zlz4",
        ],
        extract: "mkdir out && fsck.erofs --extract=out --overwrite --preserve image",
        keeps: Keeps { bits: 0o777, hard_links: false, all_times: false, ..ALL },
    },
    Recipe {
        format: "iso9660",
        packages: "xorriso libarchive-tools",
        make: "xorriso -as mkisofs -quiet $O -o image tree",
        options: &["-R -J", "-R -iso-level 3", "-R -joliet-long -J"],
        extract: "mkdir out && bsdtar --numeric-owner -C out -xpf image",
        keeps: Keeps { hard_links: false, all_times: false, ..ALL },
    },
    Recipe {
        format: "jffs2",
        packages: "mtd-utils, pip: jefferson",
        make: "mkfs.jffs2 -r tree -o image $O",
        options: &[
            "-l -e 64KiB",
            "-b -e 64KiB",
            "-l -e 128KiB -n",
            "-l -e 64KiB -x lzo -x rtime",
            "-l -e 16KiB -m none",
        ],
        extract: "jefferson -q -d out image || jefferson -d out image >log",
        keeps: CONTENT,
    },
    Recipe {
        format: "ubifs",
        packages: "mtd-utils, pip: ubi_reader",
        make: "mkfs.ubifs -r tree -o image $O",
        options: &[
            "-m 2048 -e 126976 -c 400 -x lzo",
            "-m 2048 -e 126976 -c 400 -x zlib",
            "-m 512 -e 15872 -c 2000 -x none",
            "-m 4096 -e 253952 -c 200 -x zstd",
        ],
        extract: "ubireader_extract_files -k -w -o out image >log",
        keeps: Keeps {
            special: false,
            hard_links: false,
            mode: true,
            all_times: false,
            mtime: false,
            ..CONTENT
        },
    },
    Recipe {
        format: "fat",
        packages: "dosfstools mtools",
        make: "truncate -s 40M image && mkfs.fat $O image >log && (cd tree && find . -mindepth 1 -type f | while read -r f; do mcopy -Q -i ../image \"$f\" \"::$(basename \"$f\")\" </dev/null || exit 1; done)",
        options: &["-F 12 -s 32", "-F 16", "-F 32 -s 1"],
        extract: "mkdir out && mcopy -Q -n -s -i image '::*' out",
        keeps: Keeps { symlinks: false, ..CONTENT },
    },
];

/// What an entry is, in the words of both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    kind: String,
    content: Option<(u64, Digest)>,
    mode: Option<u32>,
    owner: Option<(u32, u32)>,
    mtime: Option<i64>,
    /// Smallest path of the same file.
    same_as: Option<Vec<u8>>,
}

/// What was compared.
#[derive(Debug, Default)]
pub struct Report {
    /// Images by format.
    pub images: BTreeMap<&'static str, u32>,
    /// Entries compared.
    pub entries: u64,
    /// Differences, in words.
    pub differences: Vec<String>,
    /// Packages whose tool is not there or failed, and what it said.
    pub missing: BTreeMap<&'static str, String>,
}

/// Compares `count` images, the recipes in turn.
///
/// # Errors
/// When no temporary folder can be written.
pub fn run(count: u32, seed: u64, only: &[String]) -> io::Result<Report> {
    let mut report = Report::default();
    let recipes: Vec<_> =
        RECIPES.iter().filter(|r| only.is_empty() || only.iter().any(|o| o == r.format)).collect();
    if recipes.is_empty() {
        return Ok(report);
    }
    for n in 0..count {
        let Some(recipe) = recipes.get((n as usize).checked_rem(recipes.len()).unwrap_or(0)) else {
            break;
        };
        let mut random = Random(seed.wrapping_add(u64::from(n).wrapping_mul(0x9e37_79b9)));
        let dir = tempfile::tempdir()?;
        one(recipe, dir.path(), &mut random, n, &mut report)?;
    }
    Ok(report)
}

fn one(
    recipe: &Recipe,
    dir: &Path,
    random: &mut Random,
    n: u32,
    report: &mut Report,
) -> io::Result<()> {
    if report.missing.contains_key(recipe.packages) {
        return Ok(());
    }
    grow(&dir.join("tree"), recipe, random)?;
    let option =
        recipe.options.get(random.below(recipe.options.len())).copied().unwrap_or_default();
    let shell = |command: &str| -> io::Result<Result<(), String>> {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let command = command.replace("$O", option);
        let out = Command::new("sh")
            .args(["-ec", &command])
            .env("PATH", path)
            .env("TZ", "UTC")
            .current_dir(dir)
            .output()?;
        let said = String::from_utf8_lossy(&out.stderr).chars().take(300).collect();
        Ok(if out.status.success() { Ok(()) } else { Err(said) })
    };
    if let Err(said) = shell(recipe.make)? {
        report.missing.insert(recipe.packages, format!("{}: {said}", recipe.make));
        return Ok(());
    }
    let image = fs::read(dir.join("image"))?;
    // A tool that cannot read what its own side wrote says nothing about us.
    if let Err(said) = shell(recipe.extract)? {
        report.missing.insert(recipe.packages, format!("{}: {said}", recipe.extract));
        return Ok(());
    }
    let mut theirs = BTreeMap::new();
    walk(&dir.join("out"), &mut Vec::new(), recipe.keeps, &mut BTreeMap::new(), &mut theirs)?;
    let image_count = report.images.entry(recipe.format).or_default();
    *image_count = image_count.saturating_add(1);
    let name = format!("image {n} ({} {option})", recipe.format);
    match ours(recipe, image) {
        Ok(ours) => compare(&name, &ours, &theirs, report),
        Err(why) => report.differences.push(format!("{name}: {why}")),
    }
    Ok(())
}

/// A random tree: names, sizes, modes, times, links, special files as the format can hold them.
fn grow(root: &Path, recipe: &Recipe, random: &mut Random) -> io::Result<()> {
    fs::create_dir_all(root)?;
    let flat = recipe.format == "fat";
    let mut folders = vec![root.to_path_buf()];
    let mut files = Vec::new();
    for n in 0..random.below(24).saturating_add(6) {
        let Some(folder) = folders.get(random.below(folders.len())).cloned() else { break };
        let stem = ["file", "with space", "LONGNAME.TXT", "ümläut", "a", "x.y.z", "Ω"];
        let stem = stem.get(random.below(if flat { 4 } else { 7 })).copied().unwrap_or("f");
        let path =
            if flat { root.join(format!("f{n}.txt")) } else { folder.join(format!("{stem}{n}")) };
        match random.below(if flat { 4 } else { 10 }) {
            0..=3 => {
                fs::write(&path, content(random))?;
                files.push(path.clone());
            }
            4 | 5 => {
                fs::create_dir(&path)?;
                folders.push(path.clone());
            }
            6 if recipe.keeps.symlinks => {
                std::os::unix::fs::symlink(
                    format!("../{}", "target/".repeat(random.below(12)).trim_end_matches('/')),
                    &path,
                )?;
                continue;
            }
            7 if recipe.keeps.hard_links => {
                if let Some(first) = files.get(random.below(files.len())) {
                    fs::hard_link(first, &path)?;
                }
                continue;
            }
            8 if recipe.keeps.special => {
                let kinds = ["p", "c 4 64", "b 8 1", "c 240 3"];
                let kind = kinds.get(random.below(kinds.len())).copied().unwrap_or("p");
                let mut made = Command::new("mknod");
                made.arg(&path).args(kind.split(' '));
                // Only root may make device nodes.
                if !made.output()?.status.success() {
                    continue;
                }
            }
            _ => {
                fs::write(&path, b"")?;
                files.push(path.clone());
            }
        }
        let modes = [0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o400];
        let mode = modes.get(random.below(modes.len())).copied().unwrap_or(0o644);
        let folder = path.is_dir();
        let (uid, gid) = (random.below(3000), random.below(250));
        if recipe.keeps.owner {
            let (uid, gid) = (u32::try_from(uid).ok(), u32::try_from(gid).ok());
            // Without the right to change owners all stay the same.
            let _ = std::os::unix::fs::chown(&path, uid, gid);
        }
        fs::set_permissions(
            &path,
            fs::Permissions::from_mode(if folder { mode | 0o700 } else { mode }),
        )?;
    }
    // Times last: whatever is put into a folder changes its own.
    for path in files.into_iter().chain(folders) {
        let seconds = 1_000_000_000_u64.saturating_add(random.number() % 500_000_000) & !1;
        let time = std::time::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds));
        if let (Some(time), Ok(file)) = (time, fs::File::open(&path)) {
            file.set_modified(time)?;
        }
    }
    Ok(())
}

fn content(random: &mut Random) -> Vec<u8> {
    let sizes = [1, 100, 4095, 4096, 4097, 30_000, 131_072, 200_000];
    let size = sizes.get(random.below(sizes.len())).copied().unwrap_or(1).max(random.below(64));
    match random.below(4) {
        0 => (0..size).map(|_| random.number().to_le_bytes()[0]).collect(),
        1 => vec![0; size],
        2 => {
            // Holes between data.
            let mut all = vec![0; size];
            for _ in 0..3 {
                let at = random.below(size);
                if let Some(piece) = all.get_mut(at..at.saturating_add(500).min(size)) {
                    piece.fill(7);
                }
            }
            all
        }
        _ => b"words that come again and again in a text, "
            .iter()
            .copied()
            .cycle()
            .take(size)
            .collect(),
    }
}

/// What stands on the disk below `root`.
fn walk(
    root: &Path,
    path: &mut Vec<u8>,
    keeps: Keeps,
    inodes: &mut BTreeMap<u64, Vec<u8>>,
    seen: &mut BTreeMap<Vec<u8>, Seen>,
) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(root)?.collect::<Result<_, _>>()?;
    names.sort_by_key(std::fs::DirEntry::file_name);
    for entry in names {
        let length = path.len();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend(std::os::unix::ffi::OsStrExt::as_bytes(&*entry.file_name()));
        let full = entry.path();
        let meta = fs::symlink_metadata(&full)?;
        let kind = meta.file_type();
        let text = if kind.is_dir() {
            "folder".to_owned()
        } else if kind.is_symlink() {
            let target = fs::read_link(&full)?;
            format!(
                "link to {}",
                escape(std::os::unix::ffi::OsStrExt::as_bytes(target.as_os_str()))
            )
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else if kind.is_char_device() || kind.is_block_device() {
            let (major, minor) = (
                (meta.rdev() >> 8) & 0xfff,
                (meta.rdev() & 0xff) | ((meta.rdev() >> 12) & 0xfff00),
            );
            format!("{} {major} {minor}", if kind.is_char_device() { "char" } else { "block" })
        } else if kind.is_socket() {
            "socket".to_owned()
        } else {
            "file".to_owned()
        };
        let content = kind.is_file().then(|| fs::read(&full)).transpose()?;
        let same_as = (keeps.hard_links && kind.is_file())
            .then(|| inodes.entry(meta.ino()).or_insert_with(|| path.clone()).clone());
        let link = kind.is_symlink();
        let row = Seen {
            content: content.map(|c| (c.len() as u64, Digest::of(&c))),
            mode: (keeps.mode && !link).then_some(meta.mode() & keeps.bits),
            owner: (keeps.owner && (keeps.link_owner || !link)).then_some((meta.uid(), meta.gid())),
            mtime: (keeps.mtime && (kind.is_file() || (keeps.all_times && kind.is_dir())))
                .then_some(meta.mtime() / keeps.step),
            same_as,
            kind: text,
        };
        let descend = kind.is_dir();
        if wanted(&row, keeps) {
            seen.insert(path.clone(), row);
        }
        if descend {
            walk(&full, path, keeps, inodes, seen)?;
        }
        path.truncate(length);
    }
    Ok(())
}

fn wanted(row: &Seen, keeps: Keeps) -> bool {
    match row.kind.as_str() {
        "file" => true,
        // Empty folders are not in every archive; those that hold files are seen by the paths of these.
        "folder" => keeps.mode,
        kind if kind.starts_with("link to") => keeps.symlinks,
        _ => keeps.special,
    }
}

/// What the format reads.
fn ours(recipe: &Recipe, image: Vec<u8>) -> Result<BTreeMap<Vec<u8>, Seen>, String> {
    let format = formats::all().into_iter().find(|f| f.about().id == recipe.format);
    let format: &dyn Format = format.ok_or("no such format")?;
    let image = Bytes::from(image);
    let budget = Budget::ample();
    let found = format.probe(&image, 0, &budget).ok_or("not recognised")?;
    let end = found.start.saturating_add(found.length).min(image.len());
    let mut sink = Sink::new(&budget);
    format.open(&image.slice(found.start..end), found.decoded, &budget, &mut sink);
    let problems: Vec<_> =
        found.problems.iter().chain(&sink.problems).map(|p| p.message.clone()).collect();
    if !problems.is_empty() {
        return Err(format!("problems: {}", problems.join("; ")));
    }
    let mut seen = BTreeMap::new();
    let mut targets = BTreeMap::new();
    for entry in &sink.entries {
        let row = described(entry, recipe.keeps)?;
        if let EntryKind::Hardlink { target } = &entry.kind {
            targets.insert(entry.path.clone(), target.clone());
        }
        if entry.kind != EntryKind::Gap && wanted(&row, recipe.keeps) {
            seen.insert(entry.path.clone(), row);
        }
    }
    // A further name is the file it names.
    let names: BTreeMap<String, Vec<u8>> =
        seen.keys().map(|path| (escape(path), path.clone())).collect();
    let mut groups: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (path, target) in &targets {
        let first = names
            .get(target)
            .ok_or(format!("{} names {target}, which is not there", escape(path)))?;
        let file = seen.get(first).cloned().ok_or("a link to nothing")?;
        seen.insert(path.clone(), file);
        groups.entry(first.clone()).or_default().insert(path.clone());
    }
    if recipe.keeps.hard_links {
        for (path, row) in &mut seen {
            row.same_as = (row.kind == "file").then(|| path.clone());
        }
        for (first, others) in groups {
            let all: BTreeSet<_> = others.into_iter().chain([first]).collect();
            let smallest = all.first().cloned();
            for path in &all {
                if let Some(row) = seen.get_mut(path) {
                    row.same_as.clone_from(&smallest);
                }
            }
        }
    }
    Ok(seen)
}

fn described(entry: &Entry, keeps: Keeps) -> Result<Seen, String> {
    let path = escape(&entry.path);
    if let Some(problem) = entry.problems.first() {
        return Err(format!("{path}: {}", problem.message));
    }
    let kind = match &entry.kind {
        EntryKind::Directory => "folder".to_owned(),
        EntryKind::Symlink { target } => format!("link to {target}"),
        EntryKind::Fifo => "fifo".to_owned(),
        EntryKind::Socket => "socket".to_owned(),
        EntryKind::CharDevice { major, minor } => format!("char {major} {minor}"),
        EntryKind::BlockDevice { major, minor } => format!("block {major} {minor}"),
        _ => "file".to_owned(),
    };
    let file = entry.kind == EntryKind::File;
    let loaded = entry.blob.load(&Budget::ample());
    if let Some(problem) = loaded.problems.first() {
        return Err(format!("{path}: {}", problem.message));
    }
    let m = &entry.metadata;
    let link = matches!(entry.kind, EntryKind::Symlink { .. });
    let folder = entry.kind == EntryKind::Directory;
    Ok(Seen {
        content: file.then(|| (loaded.bytes.len() as u64, Digest::of(&loaded.bytes))),
        mode: m.mode.filter(|_| keeps.mode && !link).map(|mode| mode & keeps.bits),
        owner: m.uid.zip(m.gid).filter(|_| keeps.owner && (keeps.link_owner || !link)),
        mtime: m
            .mtime
            .filter(|_| keeps.mtime && (file || (folder && keeps.all_times)))
            .map(|t| t.div_euclid(keeps.step)),
        same_as: None,
        kind,
    })
}

fn compare(
    name: &str,
    ours: &BTreeMap<Vec<u8>, Seen>,
    theirs: &BTreeMap<Vec<u8>, Seen>,
    report: &mut Report,
) {
    let paths: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        report.entries = report.entries.saturating_add(1);
        let (a, b) = (ours.get(path), theirs.get(path));
        if a != b {
            report.differences.push(format!("{name}: {}: ours {a:?}, theirs {b:?}", escape(path)));
        }
    }
}
