//! Files whose permissions deserve attention.
//!
//! Establishes: setuid and setgid files, file capabilities (decoded), files and
//! folders that everybody may write, device nodes, and secrets that everybody may
//! read; with what the file is (shell, su-like program, script of init, ...) and
//! whether the file system can be written at run time at all.
//!
//! How: modes and extended attributes exactly as the container records them.
//!
//! False positives: a container that was packed with one careless mode for
//! everything says little about the running device; the trait
//! `uniform-permissions` tells so.
//!
//! False negatives: containers that record no modes (FAT, some cpio-like ones).
//!
//! Limits: access control lists are not evaluated; nor are parent folders.
//!
//! Sources: inode(7), capabilities(7), Linux `include/uapi/linux/capability.h`.

use std::collections::BTreeMap;

use proofmark_model::{
    EntryKind, Fact, Observation, Strength, Tri,
    fact::{Permission, Trait},
    locator::unescape,
};

use crate::root::{File, Root};

/// Id and revision.
pub const REVISION: (&str, u32) = ("permissions", 1);

const CAPABILITIES: &[&str] = &[
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// A `security.capability` attribute as `cap_net_raw,cap_net_admin=ep`.
#[must_use]
pub fn capabilities(value: &[u8]) -> Option<String> {
    let word = |i: usize| {
        let at = i.checked_mul(4)?;
        Some(u32::from_le_bytes(value.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    let magic = word(0)?;
    let wide = match magic >> 24 {
        1 => false,
        2 | 3 => true,
        _ => return None,
    };
    let high = |i| if wide { word(i).unwrap_or(0) } else { 0 };
    let permitted = u64::from(word(1)?) | u64::from(high(3)) << 32;
    let inheritable = u64::from(word(2)?) | u64::from(high(4)) << 32;
    let name = |bit: usize| {
        CAPABILITIES.get(bit).map_or_else(|| format!("cap_{bit}"), |n| format!("cap_{n}"))
    };
    let list = |set: u64| {
        (0..64_usize).filter(|b| set >> b & 1 == 1).map(name).collect::<Vec<_>>().join(",")
    };
    let effective = if magic & 1 == 1 { "e" } else { "" };
    let mut parts = Vec::new();
    if permitted != 0 {
        parts.push(format!("{}={effective}p", list(permitted)));
    }
    if inheritable != 0 {
        parts.push(format!("{}=i", list(inheritable)));
    }
    Some(parts.join(" "))
}

/// What a file is, where that matters for its permissions.
fn role(root: &Root<'_>, path: &str, file: &File<'_>) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_program = file.notes().is_some_and(|n| n.program.is_some());
    let folder = path.split('/').rev().skip(1).any(|p| matches!(p, "bin" | "sbin" | "libexec"));
    // Only a program can have the role of one: `etc/passwd` is none.
    let stem = if !(is_program || folder) { "" } else { name };
    let stem = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    match stem {
        "busybox" | "toybox" | "busybox.suid" | "busybox.nosuid" => "multi-call",
        "sh" | "ash" | "bash" | "dash" | "ksh" | "zsh" | "csh" | "tcsh" | "fish" | "hush" => {
            "shell"
        }
        "python" | "perl" | "lua" | "luajit" | "php" | "php-cgi" | "ruby" | "tclsh" | "node"
        | "awk" | "gawk" | "mawk" | "micropython" | "expect" | "vi" | "vim" | "find" | "env"
        | "ed" | "less" | "nmap" | "tar" | "cp" | "dd" => "interpreter",
        "su" | "sudo" | "doas" | "login" | "passwd" | "newgrp" | "chsh" | "chfn" | "gpasswd"
        | "pkexec" | "mount" | "umount" | "ping" | "ping6" | "fusermount" | "crontab" => {
            "su-program"
        }
        _ if is_shell(root, file) => "shell",
        _ if crate::accounts::is_start_up(path)
            || path.split('/').any(|p| matches!(p, "init.d" | "rc.d" | "cron.d" | "crontabs")) =>
        {
            "init-script"
        }
        _ if name.contains(".so") => "library",
        _ if is_program || folder => "executable",
        _ if path.starts_with("etc/") => "configuration",
        _ => "other",
    }
}

/// The file is what `/bin/sh` leads to, or a copy of it under another name. A copy of a program that is many in one
/// does what its name says, so only the program itself counts there.
fn is_shell(root: &Root<'_>, file: &File<'_>) -> bool {
    let Some(shell) = root.get("bin/sh") else { return false };
    let name = shell.artifact.locator.path();
    let name = name.rsplit('/').next().unwrap_or_default();
    let many_in_one = name.starts_with("busybox") || name.starts_with("toybox");
    let same = shell.artifact.sha256.is_some() && shell.artifact.sha256 == file.artifact.sha256;
    shell.id == file.id || same && !many_in_one
}

fn file_kind(entry: &EntryKind) -> Option<&'static str> {
    Some(match entry {
        EntryKind::File | EntryKind::Hardlink { .. } => "file",
        EntryKind::Directory => "directory",
        EntryKind::CharDevice { .. } => "char-device",
        EntryKind::BlockDevice { .. } => "block-device",
        _ => return None,
    })
}

/// Secrets that only their owner should read.
fn holds_secret(path: &str, file: &File<'_>) -> bool {
    let notes = file.notes();
    let hashes = notes.is_some_and(|n| {
        n.accounts.iter().any(|a| {
            matches!(
                a.password,
                proofmark_model::fact::Password::Hashed
                    | proofmark_model::fact::Password::Recoverable
            )
        })
    });
    let keys = notes.is_some_and(|n| !n.keys.is_empty() && n.program.is_none());
    (hashes || keys) && !crate::keys::is_sample(path)
}

/// Devices that give memory, disks or ports to whoever opens them.
fn is_raw_device(entry: &EntryKind) -> bool {
    match entry {
        EntryKind::BlockDevice { .. } => true,
        // mem, kmem, port; MTD character devices; USB and the like are left out.
        EntryKind::CharDevice { major: 1, minor } => matches!(minor, 1 | 2 | 4),
        EntryKind::CharDevice { major: 90, .. } => true,
        _ => false,
    }
}

/// Second stage.
pub(crate) fn image(roots: &[Root<'_>], out: &mut Vec<Observation>) {
    for root in roots {
        let read_only = root.read_only();
        let mut modes: BTreeMap<u32, u64> = BTreeMap::new();
        let mut total = 0_u64;
        for (path, file) in root.entries() {
            let (Some(kind), Some(mode)) =
                (file_kind(&file.artifact.entry), file.artifact.metadata.mode)
            else {
                continue;
            };
            if kind == "file" {
                *modes.entry(mode & 0o777).or_default() =
                    modes.get(&(mode & 0o777)).copied().unwrap_or(0).saturating_add(1);
                total = total.saturating_add(1);
            }
            let capability =
                file.artifact.metadata.xattrs.iter().find(|(n, _)| n == "security.capability");
            let capability = capability.and_then(|(_, v)| capabilities(&unescape(v)));
            let world = mode & 0o002 != 0;
            let mut issues = Vec::new();
            match kind {
                "file" => {
                    issues.extend((mode & 0o4000 != 0).then_some("setuid"));
                    // Setgid without execution by the group was mandatory locking.
                    issues.extend((mode & 0o2010 == 0o2010).then_some("setgid"));
                    issues.extend(capability.is_some().then_some("capability"));
                    issues.extend(world.then_some("world-writable"));
                    issues.extend(
                        (mode & 0o004 != 0 && holds_secret(path, &file))
                            .then_some("readable-secret"),
                    );
                }
                // A sticky folder such as /tmp is made to be shared.
                "directory" => {
                    issues.extend((world && mode & 0o1000 == 0).then_some("world-writable-folder"))
                }
                _ => issues.extend(
                    (world && is_raw_device(&file.artifact.entry) || !path.starts_with("dev/"))
                        .then_some("device"),
                ),
            }
            for issue in issues {
                let fact = Permission {
                    path: path.to_owned(),
                    mode,
                    uid: file.artifact.metadata.uid,
                    gid: file.artifact.metadata.gid,
                    issue: issue.to_owned(),
                    file_kind: kind.to_owned(),
                    capabilities: capability.clone().filter(|_| issue == "capability"),
                    role: role(root, path, &file).to_owned(),
                    read_only: read_only.clone(),
                };
                out.push(Observation {
                    fact: Fact::Permission(fact),
                    evidence: file.whole(),
                    inspector: REVISION.0.to_owned(),
                    revision: REVISION.1,
                    strength: Strength::Observed,
                });
            }
        }
        let uniform = modes
            .iter()
            .find(|(_, n)| total >= 20 && n.saturating_mul(100) >= total.saturating_mul(97));
        if let Some((mode, _)) = uniform.filter(|(m, _)| **m & 0o111 != 0 || **m & 0o002 != 0)
            && let Some(file) = File::of(root.view, root.container)
        {
            let fact = Trait {
                name: "uniform-permissions".to_owned(),
                value: format!("{mode:04o}"),
                complete: Tri::Unknown("nearly all files carry one mode, so it was set by the packaging; what start-up makes of it is not known".to_owned()),
            };
            out.push(Observation {
                fact: Fact::Trait(fact),
                evidence: file.whole(),
                inspector: REVISION.0.to_owned(),
                revision: REVISION.1,
                strength: Strength::Observed,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn capability_sets() {
        // setcap cap_net_raw,cap_net_admin+ep: revision 2, effective.
        let value = [1, 0, 0, 2, 0, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(capabilities(&value).unwrap(), "cap_net_admin,cap_net_raw=ep");
        assert_eq!(capabilities(&value[..7]), None);
        assert_eq!(capabilities(b""), None);
    }

    #[test]
    fn issues_by_mode_and_place() {
        let tree = Tree::new()
            .file("etc/passwd", "root:$1$x$0123456789012345678901:0:0::/:/bin/sh\n")
            .folder("bin")
            .file("bin/busybox", "x")
            .mode(0o4755)
            .file("bin/bash", "x")
            .mode(0o6755)
            .file("sbin/ping", "x")
            .xattr(
                "security.capability",
                "%01%00%00%02%00 %00%00%00%00%00%00%00%00%00%00%00%00%00%00",
            )
            .file("etc/init.d/S1", "#!/bin/sh\n")
            .mode(0o777)
            .folder("tmp")
            .mode(0o1777)
            .folder("www")
            .mode(0o777)
            .device("dev/null", 1, 3)
            .device("dev/mem", 1, 1)
            .file("etc/plain", "x");
        let mut all = tree.facts(|f| match f {
            Fact::Permission(p) => Some((p.path, p.issue, p.role)),
            _ => None,
        });
        all.sort();
        let all: Vec<_> =
            all.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
        assert_eq!(
            all,
            [
                ("bin/bash", "setgid", "shell"),
                ("bin/bash", "setuid", "shell"),
                ("bin/busybox", "setuid", "multi-call"),
                ("dev/mem", "device", "other"),
                ("etc/init.d/S1", "world-writable", "init-script"),
                ("etc/passwd", "readable-secret", "configuration"),
                ("sbin/ping", "capability", "su-program"),
                ("www", "world-writable-folder", "other"),
            ]
        );
    }
}
