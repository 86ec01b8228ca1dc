//! Debian packages of any architecture as a source of binaries with known versions.
//!
//! A package list of its own lies under `target/quality/apt`, so that the machine's
//! configuration is neither read nor changed. Needs `apt-get` and `dpkg-deb`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::root;

/// Architectures whose package lists are kept.
pub const ARCHITECTURES: &[&str] =
    &["amd64", "arm64", "armhf", "armel", "mipsel", "mips64el", "ppc64el", "s390x", "i386"];

/// Folder for everything that quality measurements download or build.
pub fn folder() -> PathBuf {
    env::var_os("PROOFMARK_QUALITY").map_or_else(|| root().join("target/quality"), PathBuf::from)
}

/// A package list of one suite.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
    config: PathBuf,
}

impl Apt {
    /// The package list of `suite`, fetched when there is none yet.
    pub fn new(suite: &str) -> Result<Self, String> {
        Self::with(suite, suite, "deb")
    }

    fn with(name: &str, suite: &str, kind: &str) -> Result<Self, String> {
        let folder = folder().join("apt").join(name);
        let config = folder.join("apt.conf");
        let apt = Self { folder: folder.clone(), config: config.clone() };
        if config.exists() {
            return Ok(apt);
        }
        let place = |p: &str| folder.join(p);
        for f in ["state/lists/partial", "cache/archives/partial", "etc/apt.conf.d", "debs"] {
            fs::create_dir_all(place(f)).map_err(|e| format!("{}: {e}", place(f).display()))?;
        }
        let key = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let source =
            format!("{kind} [signed-by={key}] http://deb.debian.org/debian {suite} main\n");
        let all: String = ARCHITECTURES.iter().map(|a| format!("\"{a}\";")).collect();
        let base = folder.display();
        let text = format!(
            "Dir::State \"{base}/state\";\nDir::State::status \"{base}/state/status\";\n\
             Dir::Cache \"{base}/cache\";\nDir::Etc \"{base}/etc\";\n\
             Dir::Etc::sourcelist \"{base}/etc/sources.list\";\nDir::Etc::sourceparts \"/nonexistent\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{{all}}};\nAcquire::Languages \"none\";\n\
             APT::Sandbox::User \"root\";\n"
        );
        let write = |p: &str, t: &str| fs::write(place(p), t).map_err(|e| format!("{p}: {e}"));
        write("etc/sources.list", &source)?;
        write("state/status", "")?;
        write("apt.conf.new", &text)?;
        let new = Self { folder: folder.clone(), config: place("apt.conf.new") };
        new.run(&["update", "-q"], &folder)?;
        fs::rename(place("apt.conf.new"), &config).map_err(|e| e.to_string())?;
        Ok(apt)
    }

    fn run(&self, arguments: &[&str], folder: &Path) -> Result<(), String> {
        let out = Command::new("apt-get")
            .args(arguments)
            .env("APT_CONFIG", &self.config)
            .current_dir(folder)
            .output()
            .map_err(|e| format!("apt-get (package apt): {e}"))?;
        if out.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        let last = text.lines().rfind(|l| l.starts_with("E:")).unwrap_or("failed");
        Err(format!("apt-get {}: {last}", arguments.join(" ")))
    }

    /// The package file, downloaded when it is not there yet.
    pub fn package(
        &self,
        name: &str,
        architecture: &str,
        offline: bool,
    ) -> Result<PathBuf, String> {
        let folder = self.folder.join("debs").join(architecture);
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let cached = || {
            let mut found: Vec<PathBuf> = fs::read_dir(&folder)
                .ok()?
                .filter_map(|e| Some(e.ok()?.path()))
                .filter(|p| file_name(p).split('_').next() == Some(name))
                .filter(|p| file_name(p).ends_with(".deb"))
                .collect();
            found.sort();
            found.pop()
        };
        if let Some(path) = cached() {
            return Ok(path);
        }
        if offline {
            return Err(format!("{name}:{architecture} is not in {}", folder.display()));
        }
        self.run(&["download", "-q", &format!("{name}:{architecture}")], &folder)?;
        cached().ok_or_else(|| format!("{name}:{architecture}: apt-get left no file"))
    }
}

/// The unpacked source package `name` of `suite`, and upstream's version. Needs `apt-get` and `dpkg-dev`.
pub fn source(suite: &str, name: &str) -> Result<(PathBuf, String), String> {
    let place = folder().join("sources").join(name);
    let apt = Apt::with(&format!("{suite}-source"), suite, "deb-src")?;
    let dsc = || {
        let entries = fs::read_dir(&place).into_iter().flatten().flatten();
        entries.map(|e| e.path()).find(|p| p.extension().is_some_and(|x| x == "dsc"))
    };
    if dsc().is_none() {
        fs::create_dir_all(&place).map_err(|e| format!("{}: {e}", place.display()))?;
        apt.run(&["source", "-q", name], &place)?;
    }
    let dsc = dsc().ok_or_else(|| format!("{name}: apt-get source left no .dsc"))?;
    let tree = fs::read_dir(&place)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.is_dir())
        .ok_or_else(|| format!("{name}: apt-get source unpacked nothing (package dpkg-dev)"))?;
    Ok((tree, upstream_version(&dsc)))
}

/// The file of this name anywhere below `folder`, links not followed.
pub fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(t) if t.is_dir() => open.push(path),
                Ok(t) if t.is_file() && file_name(&path) == name => return Some(path),
                _ => {}
            }
        }
    }
    None
}

/// Last part of a path, as text.
pub fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Upstream's version of a package file: without epoch, revision and repacking suffixes.
pub fn upstream_version(deb: &Path) -> String {
    let name = file_name(deb);
    let full = name.split('_').nth(1).unwrap_or_default().replace("%3a", ":");
    let full = full.split_once(':').map_or(full.as_str(), |(_, v)| v);
    let upstream = full.rsplit_once('-').map_or(full, |(v, _)| v);
    let upstream = upstream.rsplit_once("+really").map_or(upstream, |(_, v)| v);
    let cut = ["+dfsg", "+ds", "+repack", ".dfsg", "-dfsg", "~dfsg", "+deb", "+debian", "+nmu"];
    let end = cut.iter().filter_map(|c| upstream.find(c)).min().unwrap_or(upstream.len());
    upstream[..end].to_owned()
}

/// Unpacks a package beside itself; returns the folder.
pub fn unpack(deb: &Path) -> Result<PathBuf, String> {
    let to = deb.with_extension("files");
    if to.exists() {
        return Ok(to);
    }
    let part = deb.with_extension("part");
    let ok = Command::new("dpkg-deb").arg("-x").arg(deb).arg(&part).status();
    if !ok.as_ref().is_ok_and(std::process::ExitStatus::success) {
        return Err(format!("dpkg-deb -x {}: {ok:?}", deb.display()));
    }
    fs::rename(&part, &to).map_err(|e| format!("{}: {e}", to.display()))?;
    Ok(to)
}

/// All ELF files below `folder`, links not followed, sorted.
pub fn programs(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).into_iter().flatten().flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(t) if t.is_dir() => open.push(path),
                Ok(t) if t.is_file() && is_elf(&path) => out.push(path),
                _ => {}
            }
        }
    }
    out.sort();
    out
}

fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut head = [0; 4];
    fs::File::open(path).is_ok_and(|mut f| f.read_exact(&mut head).is_ok() && head == *b"\x7fELF")
}
