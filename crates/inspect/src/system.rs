//! Settings of the system: kernel parameters, mounts, scheduled jobs.
//!
//! Establishes: the value that sysctl files and start-up commands leave for each
//! kernel parameter, the mounts of fstab and of start-up commands, and the jobs of
//! cron, with whether others than root may change what they run.
//!
//! How: files are read in the order in which the system reads them, the last one
//! wins. Commands come from scripts that start-up runs.
//!
//! False positives: a parameter that a program changes later.
//!
//! False negatives: parameters whose path is put together at run time.
//!
//! Sources: sysctl.d(5), sysctl.conf(5), fstab(5), crontab(5).

use std::collections::BTreeMap;

use proofmark_model::{
    Evidence, Fact, Observation, Strength, Tri,
    fact::{Mount, ScheduledJob, Setting},
};

use crate::{
    root::{File, Root, join},
    startup::{Startup, shell},
    text,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("system", 1);

pub(crate) fn observe(out: &mut Vec<Observation>, fact: Fact, evidence: Evidence) {
    out.push(Observation {
        fact,
        evidence,
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: Strength::Observed,
    });
}

/// Whether others than root may write the program of a command line or a folder on the way to it.
pub(crate) fn writable(root: &Root<'_>, command: &str) -> Tri {
    let words = text::words(command);
    let Some(program) = words.iter().find(|w| w.starts_with('/')) else {
        return Tri::Unknown("the command names no absolute path".to_owned());
    };
    let Some(real) = root.real(program) else {
        return Tri::Unknown(format!("{program} is not in the image"));
    };
    let mut path = real.as_str();
    loop {
        if let Some(m) = root.entry(path).and_then(|f| f.artifact.metadata.mode)
            && m & 0o002 != 0
            && m & 0o1000 == 0
        {
            return Tri::Yes;
        }
        match path.rsplit_once('/') {
            Some((above, _)) => path = above,
            None => return Tri::No,
        }
    }
}

/// Second stage.
pub(crate) fn image(root: &Root<'_>, startup: &Startup, out: &mut Vec<Observation>) {
    parameters(root, startup, out);
    mounts(root, startup, out);
    jobs(root, startup, out);
}

/// Commands of all scripts that start-up runs, with the script.
pub(crate) fn commands<'a>(
    root: &'a Root<'_>,
    startup: &'a Startup,
) -> impl Iterator<Item = (File<'a>, shell::Command, &'a Tri)> {
    startup.scripts.iter().filter(|(_, at)| **at != Tri::No).flat_map(move |(path, at)| {
        let found = root
            .text(path)
            .map(|(file, text)| (file, shell::commands(text, &mut shell::Variables::new())));
        found
            .into_iter()
            .flat_map(move |(file, commands)| commands.into_iter().map(move |c| (file, c, at)))
    })
}

fn parameters(root: &Root<'_>, startup: &Startup, out: &mut Vec<Observation>) {
    // sysctl.d(5): one file of each name counts, /etc before /usr/lib; then by name.
    let mut files: BTreeMap<String, File<'_>> = BTreeMap::new();
    for folder in ["lib/sysctl.d", "usr/lib/sysctl.d", "usr/local/lib/sysctl.d", "etc/sysctl.d"] {
        for (name, file) in root.list(folder).into_iter().filter(|(n, _)| n.ends_with(".conf")) {
            files.insert(name, file);
        }
    }
    let mut values: BTreeMap<String, (String, Evidence, bool)> = BTreeMap::new();
    let last = root.get("etc/sysctl.conf");
    for file in files.into_values().chain(last) {
        for line in file.text().into_iter().flat_map(text::statements) {
            let Some((key, value)) = line.text.split_once('=') else { continue };
            let key = key.trim().trim_start_matches('-').replace('/', ".");
            if !key.is_empty() && !key.starts_with(';') {
                values.insert(key, (value.trim().to_owned(), file.evidence(line.range), false));
            }
        }
    }
    let mut applied = startup.kind == "systemd" || startup.kind == "procd";
    for (file, command, at) in commands(root, startup) {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["sysctl" | "/sbin/sysctl", rest @ ..] => {
                applied |= rest.contains(&"-p") || rest.contains(&"--system");
                for (key, value) in rest.iter().filter_map(|w| w.split_once('=')) {
                    values.insert(
                        key.replace('/', "."),
                        (value.to_owned(), file.evidence(command.range), *at == Tri::Yes),
                    );
                }
            }
            ["echo", value, ..] => {
                let line = file.text().and_then(|t| {
                    t.get(
                        usize::try_from(command.range.0).ok()?
                            ..usize::try_from(command.range.1).ok()?,
                    )
                });
                let Some(path) = line.and_then(|l| l.split_once("/proc/sys/")).map(|(_, p)| p)
                else {
                    continue;
                };
                let path: &str = path
                    .split(|c: char| c.is_whitespace() || ";\"'&|)".contains(c))
                    .next()
                    .unwrap_or("");
                if !path.contains('$') && !path.is_empty() {
                    values.insert(
                        path.replace('/', "."),
                        ((*value).to_owned(), file.evidence(command.range), *at == Tri::Yes),
                    );
                }
            }
            _ => {}
        }
    }
    for (key, (value, evidence, run)) in values {
        let in_use = if run || applied {
            Tri::Yes
        } else {
            Tri::Unknown("nothing that applies sysctl files at start-up was found".to_owned())
        };
        observe(
            out,
            Fact::Setting(Setting {
                subject: "sysctl".to_owned(),
                key,
                value,
                known_from: "configured".to_owned(),
                in_use,
            }),
            evidence,
        );
    }
}

fn mounts(root: &Root<'_>, startup: &Startup, out: &mut Vec<Observation>) {
    let options = |text: &str| {
        text.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    if let Some((file, table)) = root.text("etc/fstab") {
        for line in text::statements(table) {
            let fields: Vec<&str> = line.text.split_whitespace().collect();
            let [device, target, fs, rest @ ..] = fields.as_slice() else { continue };
            let mount = Mount {
                device: (*device).to_owned(),
                target: (*target).to_owned(),
                fs: (*fs).to_owned(),
                options: options(rest.first().unwrap_or(&"")),
                by: "etc/fstab".to_owned(),
            };
            observe(out, Fact::Mount(mount), file.evidence(line.range));
        }
    }
    for (file, command, _) in commands(root, startup) {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let ["mount" | "/bin/mount", rest @ ..] = words.as_slice() else { continue };
        let (mut fs, mut own, mut plain) = ("", Vec::new(), Vec::new());
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match *word {
                "-t" => fs = rest.next().copied().unwrap_or(""),
                "-o" => own.extend(options(rest.next().unwrap_or(&""))),
                w if w.starts_with('-') => {}
                w => plain.push(w),
            }
        }
        if let [device, target, ..] = plain.as_slice() {
            let mount = Mount {
                device: (*device).to_owned(),
                target: (*target).to_owned(),
                fs: fs.to_owned(),
                options: own,
                by: file.artifact.locator.path(),
            };
            observe(out, Fact::Mount(mount), file.evidence(command.range));
        }
    }
}

fn jobs(root: &Root<'_>, startup: &Startup, out: &mut Vec<Observation>) {
    let _ = startup;
    let mut job = |file: &File<'_>, line: text::Line<'_>, with_user: bool, owner: Option<&str>| {
        let fields = if line.text.trim_start().starts_with('@') { 1 } else { 5 };
        let mut rest = line.text.trim_start();
        let mut when = Vec::new();
        for _ in 0..fields {
            let Some((field, tail)) = rest.split_once(char::is_whitespace) else { return };
            when.push(field);
            rest = tail.trim_start();
        }
        // An assignment (`SHELL=/bin/sh`) is no job.
        if when
            .iter()
            .any(|w| !w.chars().all(|c| c.is_ascii_alphanumeric() || "*,-/@#?L".contains(c)))
        {
            return;
        }
        let (user, command) = match rest.split_once(char::is_whitespace).filter(|_| with_user) {
            Some((user, command)) => (Some(user), command.trim()),
            None => (owner, rest),
        };
        if command.is_empty() {
            return;
        }
        let fact = ScheduledJob {
            when: when.join(" "),
            user: user.map(str::to_owned),
            command: command.to_owned(),
            program_writable: writable(root, command),
        };
        observe(out, Fact::ScheduledJob(fact), file.evidence(line.range));
    };
    let system = root.text("etc/crontab").into_iter();
    let parts = root.list("etc/cron.d");
    for (file, text) in system.chain(parts.iter().filter_map(|(_, f)| Some((*f, f.text()?)))) {
        text::statements(text).for_each(|l| job(&file, l, true, None));
    }
    let mut seen = std::collections::BTreeSet::new();
    for folder in ["etc/crontabs", "var/spool/cron/crontabs", "var/spool/cron", "etc/cron"] {
        for (user, file) in root.list(folder) {
            if let Some(text) = file.text().filter(|_| seen.insert(file.id)) {
                text::statements(text).for_each(|l| job(&file, l, false, Some(&user)));
            }
        }
    }
    for period in ["hourly", "daily", "weekly", "monthly"] {
        let folder = format!("etc/cron.{period}");
        for (name, file) in root.list(&folder) {
            let command = format!("/{}", join(&folder, &name));
            if !name.starts_with('.') && file.artifact.size > 0 {
                let fact = ScheduledJob {
                    when: period.to_owned(),
                    user: Some("root".to_owned()),
                    program_writable: writable(root, &command),
                    command,
                };
                observe(out, Fact::ScheduledJob(fact), file.whole());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn parameters_mounts_and_jobs() {
        let tree = Tree::new()
            .file("sbin/init", "\x7fELF")
            .folder("bin")
            .file("etc/inittab", "::sysinit:/etc/init.d/rcS\n")
            .file("etc/init.d/rcS", "#!/bin/sh\nmount -t proc proc /proc\nmount -o nosuid,nodev -t tmpfs tmpfs /tmp\necho 1 > /proc/sys/net/ipv4/tcp_syncookies\nsysctl -p\n")
            .file("etc/sysctl.conf", "net.ipv4.conf.all.rp_filter = 0\n# x = 1\nkernel.randomize_va_space=2\n")
            .file("usr/lib/sysctl.d/10.conf", "kernel.randomize_va_space=0\n")
            .file("etc/fstab", "/dev/root / ext4 ro,noatime 0 1\n")
            .file("etc/crontab", "SHELL=/bin/sh\n*/5 * * * * root /opt/job.sh\n")
            .file("etc/crontabs/admin", "@daily /bin/true\n")
            .file("opt/job.sh", "#!/bin/sh\n")
            .mode(0o777);
        let mut settings = tree.facts(|f| match f {
            Fact::Setting(s) if s.subject == "sysctl" => Some((s.key, s.value, s.in_use)),
            _ => None,
        });
        settings.sort();
        assert_eq!(
            settings,
            [
                ("kernel.randomize_va_space".to_owned(), "2".to_owned(), Tri::Yes),
                ("net.ipv4.conf.all.rp_filter".to_owned(), "0".to_owned(), Tri::Yes),
                ("net.ipv4.tcp_syncookies".to_owned(), "1".to_owned(), Tri::Yes),
            ]
        );
        let mounts = tree.facts(|f| match f {
            Fact::Mount(m) => Some((m.target, m.fs, m.options.join(","))),
            _ => None,
        });
        assert!(
            mounts.contains(&("/tmp".to_owned(), "tmpfs".to_owned(), "nosuid,nodev".to_owned())),
            "{mounts:?}"
        );
        assert!(mounts.contains(&("/".to_owned(), "ext4".to_owned(), "ro,noatime".to_owned())));
        let jobs = tree.facts(|f| match f {
            Fact::ScheduledJob(j) => Some((j.user, j.command, j.program_writable)),
            _ => None,
        });
        assert_eq!(jobs.len(), 2, "{jobs:?}");
        assert!(jobs.contains(&(Some("root".to_owned()), "/opt/job.sh".to_owned(), Tri::Yes)));
    }
}
