//! `quality rar`: archives of others, and of `rar` itself where it is installed, read by us.
//!
//! Samples: the test data of Debian's source package libarchive, which is fetched and never kept here. A member
//! counts as read where the checksum that the archive has of it is right; `bsdtar` is asked too. `rar` (not free software;
//! package `rar` of Debian's non-free section) makes archives of one tree with each of its options.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use proofmark_model::{Artifact, Digest, EntryKind, ProblemKind, Step};
use proofmark_unpack::{
    Input, Options,
    keys::{Key, Keyring, Openssl},
    unpack,
};

use crate::{Outcome, debian, quality::write_section};

/// Options of `rar` and whether they make volumes; `4` are those of `rar` before 7, which can write RAR 4.
const OPTIONS: &[&str] = &[
    "-m0",
    "-m1",
    "-m2",
    "-m3",
    "-m4",
    "-m5",
    "-m5 -s",
    "-mce+",
    "-mc4d+",
    "-mcx+",
    "-mcl+ -md64m",
    "-md128k -s",
    "-htb",
    "-oh",
    "-oi",
    "-ow",
    "-rr5p -qo+",
    "-psecret",
    "-hpsecret",
    "-psecret -s -htb",
    "-v150k",
    "-v150k -s",
    "-ma4 -m1",
    "-ma4 -m3",
    "-ma4 -m5",
    "-ma4 -m3 -s",
    "-ma4 -m5 -s -mct+",
    "-ma4 -m5 -mct+",
    "-ma4 -m5 -mc16:5t+",
    "-ma4 -mce+",
    "-ma4 -mci+",
    "-ma4 -mc4d+",
    "-ma4 -mc2a+",
    "-ma4 -mcc+",
    "-ma4 -s -m5 -mce+ -mcd+ -mca+ -mcc+",
    "-ma4 -md64k",
    "-ma4 -rr5p",
    "-ma4 -psecret",
    "-ma4 -hpsecret",
    "-ma4 -v150k",
    "-ma4 -vn -v150k",
    "-ma4 -s -v150k",
];

/// What became of members.
#[derive(Default)]
struct Count {
    archives: usize,
    right: usize,
    encrypted: usize,
    unsupported: usize,
    damaged: usize,
    /// Members that another tool gave, and of these the same by us.
    given: usize,
    same: usize,
    wrong: Vec<String>,
}

/// Measures and writes the section; fails where a member differs.
pub fn run() -> Outcome {
    let mut body = String::from(
        "## RAR\n\n`cargo xtask quality rar`. A member is *right* where its CRC-32 or BLAKE2sp in the archive is right. Samples of \
         damaged archives are among those of libarchive; its `bsdtar` is counted where it ends without an error.\n\n\
         | samples | archives | members right | encrypted | unsupported | damaged or not all there | given by the other | of these the same by us |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut wrong = Vec::new();
    let (tree, version) = debian::source("bookworm", "libarchive")?;
    let count = samples(&tree)?;
    line(&mut body, &format!("test data of libarchive {version}"), &count);
    wrong.extend(count.wrong);
    match made()? {
        Some(count) => {
            line(&mut body, "made by `rar` from one tree", &count);
            wrong.extend(count.wrong);
        }
        None => println!("rar is not installed: archives of its own are left out"),
    }
    print!("{body}");
    if let Some(first) = wrong.first() {
        return Err(format!("{} members differ; the first: {first}", wrong.len()));
    }
    write_section("rar", &body)
}

fn line(body: &mut String, name: &str, c: &Count) {
    let _ = writeln!(
        body,
        "| {name} | {} | {} | {} | {} | {} | {} | {} |",
        c.archives, c.right, c.encrypted, c.unsupported, c.damaged, c.given, c.same
    );
}

fn read(path: &Path, password: Option<&str>) -> Result<Vec<Artifact>, String> {
    let key = password.map(|password| Key {
        name: "test".into(),
        format: "rar".into(),
        key: None,
        iv: None,
        password: Some(password.into()),
        openssl: Openssl::default(),
    });
    let keys = Keyring::new(key.into_iter().collect())?;
    let options = Options { keys: Arc::new(keys), ..Options::default() };
    let input = Input::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(unpack(input, &options, &()).artifacts)
}

/// Members of RAR archives among artifacts: path, and the artifact.
fn members(all: &[Artifact]) -> Vec<(String, &Artifact)> {
    all.iter()
        .filter(|a| {
            let parent = a.parent.and_then(|p| all.get(p.0 as usize));
            parent.is_some_and(|p| p.format == "rar" && p.entry == EntryKind::Region)
        })
        .filter_map(|a| match a.locator.steps.last()? {
            Step::Entry { path, .. } => Some((String::from_utf8_lossy(path).into_owned(), a)),
            Step::Region { .. } => None,
        })
        .collect()
}

/// All archives below a folder of sources, put into one folder so that volumes find each other.
fn samples(tree: &Path) -> Result<Count, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut count = Count::default();
    let mut open = vec![tree.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = debian::file_name(&path);
            let stem = name.strip_suffix(".uu").unwrap_or(&name).to_owned();
            let is_sample = [".rar", ".r00", ".r01", ".sfx", "rar_sfx.exe", "rar5_sfx.exe"];
            if path.is_dir() {
                open.push(path);
            } else if is_sample.iter().any(|end| stem.ends_with(end)) {
                let raw = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                let bytes = if name == stem { raw } else { uudecoded(&raw) };
                fs::write(folder.path().join(&stem), bytes).map_err(|e| e.to_string())?;
                count.archives += 1;
            }
        }
    }
    let artifacts = read(folder.path(), None)?;
    let mut by_archive: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
    for (_, member) in members(&artifacts) {
        let file = member.locator.to_string();
        let file = file.split('@').next().and_then(|f| f.split('/').nth(1)).unwrap_or_default();
        by_archive.entry(file.to_owned()).or_default().extend(member.sha256);
        if member.entry != EntryKind::File {
            continue;
        }
        let has = |kind| member.problems.iter().any(|p| p.kind == kind);
        if has(ProblemKind::Encrypted) {
            count.encrypted += 1;
        } else if has(ProblemKind::Unsupported) {
            count.unsupported += 1;
        } else if member.sha256.is_some() {
            count.right += 1;
        } else {
            count.damaged += 1;
        }
    }
    for (name, own) in by_archive {
        let out = tempfile::tempdir().map_err(|e| e.to_string())?;
        let done = Command::new("timeout")
            .args(["20", "bsdtar", "-xf"])
            .arg(folder.path().join(&name))
            .arg("-C")
            .arg(out.path())
            .output()
            .map_err(|e| format!("bsdtar (package libarchive-tools): {e}"))?;
        if !done.status.success() {
            continue;
        }
        for file in files(out.path()) {
            let bytes = fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
            count.given += 1;
            if bytes.is_empty() || own.contains(&Digest::of(&bytes)) {
                count.same += 1;
            } else {
                count.wrong.push(format!("{name}: {}", file.display()));
            }
        }
    }
    Ok(count)
}

/// Archives of one tree by `rar`; none where it is not installed.
fn made() -> Result<Option<Count>, String> {
    if Command::new("rar").output().is_err() {
        return Ok(None);
    }
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let tree = folder.path().join("tree");
    let truth = plant(&tree).map_err(|e| e.to_string())?;
    let mut count = Count::default();
    for (n, options) in OPTIONS.iter().enumerate() {
        let out = folder.path().join(format!("out-{n}"));
        fs::create_dir(&out).map_err(|e| e.to_string())?;
        let done = Command::new("rar")
            .args(["a", "-idq", "-r", "-ol"])
            .args(options.split(' '))
            .arg(out.join("a.rar"))
            .arg(".")
            .current_dir(&tree)
            .status()
            .map_err(|e| format!("rar: {e}"))?;
        if !done.success() {
            println!("this rar does not know `{options}`");
            continue;
        }
        count.archives += 1;
        let artifacts = read(&out, options.contains("secret").then_some("secret"))?;
        let found: BTreeMap<String, &Artifact> = members(&artifacts).into_iter().collect();
        for (path, digest) in &truth {
            count.given += 1;
            let same = found.get(path).is_some_and(|a| match a.entry {
                EntryKind::File => a.sha256 == Some(*digest),
                // A further name; the first one is compared.
                EntryKind::Hardlink { .. } => true,
                _ => false,
            });
            count.same += usize::from(same);
            count.right += usize::from(same);
            if !same {
                count.wrong.push(format!("rar {options}: {path}"));
            }
        }
    }
    Ok(Some(count))
}

/// Text, noise, a program, tables, a picture and sound: what each filter is made for.
fn plant(tree: &Path) -> std::io::Result<BTreeMap<String, Digest>> {
    let mut state = 1_u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let words = ["route", "peer", "prefix", "session", "label", "queue", "policy", "neighbour"];
    let text: String = (0..30_000).map(|_| format!("{} ", words[random() as usize % 8])).collect();
    let noise: Vec<u8> = (0..60_000).map(|_| random() as u8).collect();
    let table: Vec<u8> = (0..20_000_u32).flat_map(|n| (n * 37 + 100_000).to_le_bytes()).collect();
    let wave = |n: u32, period: u32| (n % period * 500) as i16;
    let mut sound = b"RIFF\0\0\x04\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0data\0\0\x04\0".to_vec();
    sound.extend(
        (0..60_000_u32)
            .flat_map(|n| [wave(n, 61).to_le_bytes(), wave(n, 47).to_le_bytes()].concat()),
    );
    let mut picture =
        b"BM\x36\xbf\x02\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x2c\x01\0\0\xc8\0\0\0\x01\0\x18\0".to_vec();
    picture.resize(54, 0);
    picture.extend((0..180_000_u32).map(|n| (n / 900 + n % 900 / 3 * (n % 3 + 1)) as u8));
    let program = fs::read("/proc/self/exe")?;
    let program = program.get(..program.len().min(1 << 20)).unwrap_or_default().to_vec();
    let files = [
        ("text.txt", text.into_bytes()),
        ("noise.bin", noise),
        ("table", table),
        ("sound.wav", sound),
        ("picture.bmp", picture),
        ("zeros", vec![0; 300_000]),
        ("folder/program", program),
        ("folder/one", vec![7]),
        ("na\u{ef}ve \u{41f}.txt", b"a name beyond ASCII".to_vec()),
    ];
    fs::create_dir_all(tree.join("folder"))?;
    let mut truth = BTreeMap::new();
    for (name, bytes) in files {
        truth.insert(name.to_owned(), Digest::of(&bytes));
        fs::write(tree.join(name), bytes)?;
    }
    Ok(truth)
}

/// Regular files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(t) if t.is_dir() => open.push(entry.path()),
                Ok(t) if t.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

/// Lines of up to 45 bytes in four printable characters for three, as uuencode writes them.
fn uudecoded(text: &[u8]) -> Vec<u8> {
    let mut made = Vec::new();
    let lines = text.split(|b| *b == b'\n').skip_while(|l| !l.starts_with(b"begin ")).skip(1);
    for line in lines.take_while(|l| !l.starts_with(b"end")) {
        let value = |b: u8| u32::from(b.wrapping_sub(32) & 63);
        let Some((length, rest)) = line.split_first() else { continue };
        let mut bytes = Vec::new();
        for four in rest.chunks(4) {
            let word = (0..4).fold(0, |word, n| word << 6 | four.get(n).map_or(0, |b| value(*b)));
            bytes.extend_from_slice(&word.to_be_bytes()[1..]);
        }
        bytes.truncate(value(*length) as usize);
        made.extend(bytes);
    }
    made
}
