//! systemd units: what `default.target` pulls in, with masks, drop-ins, sockets,
//! timers and the directives that confine a service.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::{
    EntryKind, Tri,
    fact::{Listen, ScheduledJob, Service},
};

use super::{
    Serves,
    follow::{Cause, Follow},
    known,
};
use crate::{
    notes::Range,
    root::{File, Root},
    text,
};

/// Folders of units, the one that wins first.
const FOLDERS: &[&str] = &[
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];

/// Directives of systemd.exec(5) that confine a service.
const CONFINING: &[&str] = &[
    "AmbientCapabilities",
    "AppArmorProfile",
    "CapabilityBoundingSet",
    "DynamicUser",
    "IPAddressDeny",
    "LockPersonality",
    "MemoryDenyWriteExecute",
    "NoNewPrivileges",
    "PrivateDevices",
    "PrivateNetwork",
    "PrivateTmp",
    "PrivateUsers",
    "ProtectClock",
    "ProtectControlGroups",
    "ProtectHome",
    "ProtectKernelModules",
    "ProtectKernelTunables",
    "ProtectSystem",
    "RestrictAddressFamilies",
    "RestrictNamespaces",
    "RestrictSUIDSGID",
    "RootDirectory",
    "SELinuxContext",
    "SystemCallFilter",
];

pub(super) fn is_there(root: &Root<'_>) -> bool {
    ["usr/lib/systemd/systemd", "lib/systemd/systemd"].iter().any(|p| root.get(p).is_some())
}

/// A unit with the lines of its file and drop-ins.
struct Unit<'a> {
    path: String,
    file: File<'a>,
    lines: Vec<(String, String, Range)>,
}

impl Unit<'_> {
    fn all(&self, key: &str) -> Vec<&(String, String, Range)> {
        // An empty assignment resets what stands before it.
        let reset = self.lines.iter().rposition(|(k, v, _)| k == key && v.is_empty());
        let start = reset.map_or(0, |i| i.saturating_add(1));
        self.lines.iter().skip(start).filter(|(k, _, _)| k == key).collect()
    }

    fn last(&self, key: &str) -> Option<&str> {
        self.all(key).last().map(|(_, v, _)| v.as_str())
    }
}

fn lines(text: &str, out: &mut Vec<(String, String, Range)>) {
    let mut open: Option<(String, String, Range)> = None;
    for line in text::lines(text) {
        let t = line.text.trim();
        if t.starts_with(['#', ';', '[']) || (t.is_empty() && open.is_none()) {
            continue;
        }
        let mut entry = match open.take() {
            Some((k, v, r)) => (k, format!("{v} {}", t), (r.0, line.range.1)),
            None => match t.split_once('=') {
                Some((k, v)) => (k.trim().to_owned(), v.trim().to_owned(), line.range),
                None => continue,
            },
        };
        if let Some(more) = entry.1.strip_suffix('\\') {
            entry.1 = more.trim_end().to_owned();
            open = Some(entry);
        } else {
            out.push(entry);
        }
        if out.len() > 10_000 {
            break;
        }
    }
    out.extend(open);
}

enum Loaded<'a> {
    Masked,
    Missing,
    Unit(Box<Unit<'a>>),
}

fn template(name: &str) -> Option<(String, String)> {
    let (stem, suffix) = name.rsplit_once('.')?;
    let (base, instance) = stem.split_once('@')?;
    Some((format!("{base}@.{suffix}"), instance.to_owned()))
}

fn load<'a>(root: &Root<'a>, name: &str) -> Loaded<'a> {
    let names = [Some(name.to_owned()), template(name).map(|t| t.0)];
    for candidate in names.iter().flatten() {
        for folder in FOLDERS {
            let path = format!("{folder}/{candidate}");
            if let Some(entry) = root.entry(&path)
                && let EntryKind::Symlink { target } = &entry.artifact.entry
                && target == "/dev/null"
            {
                return Loaded::Masked;
            }
            let Some((real, file)) = root.locate(&path) else { continue };
            if file.artifact.size == 0 && folder.starts_with("etc") {
                return Loaded::Masked;
            }
            let mut unit = Unit { path: real, file, lines: Vec::new() };
            if let Some(text) = file.text() {
                lines(text, &mut unit.lines);
            }
            for folder in FOLDERS.iter().rev() {
                for (part, file) in root.list(&format!("{folder}/{candidate}.d")) {
                    if let Some(text) = file.text().filter(|_| part.ends_with(".conf")) {
                        let from = unit.lines.len();
                        lines(text, &mut unit.lines);
                        // Ranges of a drop-in lie in another file; the unit's own start stands for them.
                        unit.lines.iter_mut().skip(from).for_each(|l| l.2 = (0, 0));
                    }
                }
            }
            return Loaded::Unit(Box::new(unit));
        }
    }
    Loaded::Missing
}

/// Units that `name` wants or requires, by its lines and by its folders of links.
fn wanted(root: &Root<'_>, name: &str, unit: &Unit<'_>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for key in ["Wants", "Requires", "BindsTo", "Upholds"] {
        out.extend(
            unit.all(key).into_iter().flat_map(|(_, v, _)| v.split_whitespace().map(str::to_owned)),
        );
    }
    for folder in FOLDERS {
        for kind in ["wants", "requires", "upholds"] {
            for link in root.raw_names(&format!("{folder}/{name}.{kind}")) {
                out.insert(link);
            }
        }
    }
    out
}

pub(super) fn follow(follow: &mut Follow<'_, '_, '_>) {
    let root = follow.root;
    let default = FOLDERS.iter().find_map(|f| {
        let entry = root.entry(&format!("{f}/default.target"))?;
        match &entry.artifact.entry {
            EntryKind::Symlink { target } => target.rsplit('/').next().map(str::to_owned),
            _ => Some("default.target".to_owned()),
        }
    });
    let Some(default) = default else {
        follow.out.gaps.insert("there is no default.target".to_owned());
        return;
    };
    let mut chains: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut todo = vec![
        (default, vec!["sbin/init".to_owned()]),
        ("sysinit.target".to_owned(), Vec::new()),
        ("basic.target".to_owned(), Vec::new()),
    ];
    let mut scripts = BTreeSet::new();
    while let Some((name, chain)) = todo.pop() {
        if chains.contains_key(&name) || chains.len() > 20_000 {
            continue;
        }
        let Loaded::Unit(unit) = load(root, &name) else { continue };
        let mut next = chain.clone();
        next.push(unit.path.clone());
        for other in wanted(root, &name, &unit) {
            todo.push((other, next.clone()));
        }
        scripts.insert(name.clone());
        chains.insert(name, next);
    }
    let mut all: BTreeSet<String> = chains.keys().cloned().collect();
    for folder in FOLDERS {
        all.extend(root.raw_names(folder).into_iter().filter(|n| {
            (n.ends_with(".service") || n.ends_with(".socket") || n.ends_with(".timer"))
                && !n.contains("@.")
        }));
    }
    for name in &all {
        if let Loaded::Unit(unit) = load(root, name) {
            let chain = chains.get(name).cloned();
            let enabled = if chain.is_some() { Tri::Yes } else { Tri::No };
            describe(follow, name, &unit, &enabled, &chain.unwrap_or_default());
        }
    }
    // sysv-generator: scripts of the run levels without a unit of their name.
    for level in ["S", "2", "3"] {
        for link in root.raw_names(&format!("etc/rc{level}.d")) {
            let bare =
                link.trim_start_matches('S').trim_start_matches(|c: char| c.is_ascii_digit());
            if link.starts_with('S')
                && matches!(load(root, &format!("{bare}.service")), Loaded::Missing)
            {
                follow.script(
                    &format!("etc/rc{level}.d/{link}"),
                    &Tri::Yes,
                    &["sbin/init".to_owned()],
                    "sysv",
                    1,
                );
            }
        }
    }
}

fn conditions(root: &Root<'_>, unit: &Unit<'_>, enabled: &Tri) -> Tri {
    if *enabled != Tri::Yes {
        return enabled.clone();
    }
    let mut out = Tri::Yes;
    for (key, value, _) in &unit.lines {
        let Some(kind) = key.strip_prefix("Condition").or(key.strip_prefix("Assert")) else {
            continue;
        };
        let (negated, path) = match value.strip_prefix('!') {
            Some(p) => (true, p),
            None => (false, value.as_str()),
        };
        let fixed = ["/etc/", "/usr/", "/lib/", "/bin/", "/sbin/", "/opt/"]
            .iter()
            .any(|p| path.starts_with(p));
        if kind.starts_with("Path") && fixed && !path.contains('*') {
            if root.real(path).is_some() == negated {
                return Tri::No;
            }
        } else {
            out = Tri::Unknown(format!("started only if {key}={value}"));
        }
    }
    out
}

/// `ListenStream=22`, `[::]:80`, `/run/x.sock`.
fn listen(key: &str, value: &str) -> Listen {
    let transport = if key == "ListenDatagram" { "udp" } else { "tcp" };
    match known::address(value) {
        _ if value.starts_with(['/', '@']) => Listen {
            transport: "unix".to_owned(),
            port: None,
            address: value.to_owned(),
            known_from: "configured".to_owned(),
        },
        Some((host, port)) => Listen {
            transport: transport.to_owned(),
            port: Some(port),
            address: host,
            known_from: "configured".to_owned(),
        },
        None => Listen {
            transport: transport.to_owned(),
            port: None,
            address: value.to_owned(),
            known_from: "configured".to_owned(),
        },
    }
}

fn describe<'a>(
    follow: &mut Follow<'_, '_, 'a>,
    name: &str,
    unit: &Unit<'a>,
    enabled: &Tri,
    chain: &[String],
) {
    let root = follow.root;
    let at_boot = conditions(root, unit, enabled);
    if name.ends_with(".timer") {
        let when = unit
            .lines
            .iter()
            .filter(|(k, _, _)| k.starts_with("On"))
            .map(|(k, v, _)| format!("{k}={v}"))
            .collect::<Vec<_>>()
            .join("; ");
        let target =
            unit.last("Unit").map_or_else(|| name.replace(".timer", ".service"), str::to_owned);
        if let Loaded::Unit(service) = load(root, &target) {
            let command = service
                .last("ExecStart")
                .unwrap_or("")
                .trim_start_matches(['-', '@', '+', '!', ':'])
                .to_owned();
            let job = ScheduledJob {
                when,
                user: service.last("User").map(str::to_owned),
                program_writable: crate::system::writable(root, &command),
                command,
            };
            if at_boot != Tri::No {
                follow.out.jobs.push((job, unit.file.whole()));
            }
        }
        return;
    }
    let mut listens: Vec<Listen> = Vec::new();
    let (target, listening) = if name.ends_with(".socket") {
        for key in ["ListenStream", "ListenDatagram", "ListenSequentialPacket"] {
            listens.extend(unit.all(key).into_iter().map(|(k, v, _)| listen(k, v)));
        }
        let accept = unit.last("Accept").is_some_and(|a| matches!(a, "yes" | "true" | "1"));
        let stem = name.trim_end_matches(".socket");
        let default = if accept { format!("{stem}@.service") } else { format!("{stem}.service") };
        (unit.last("Service").map_or(default, str::to_owned), true)
    } else if name.ends_with(".service") {
        (name.to_owned(), false)
    } else {
        return;
    };
    let Loaded::Unit(service) = load(root, &target) else { return };
    let instance = template(name).map(|t| t.1).unwrap_or_default();
    let Some((_, exec, range)) = service.all("ExecStart").first().map(|l| (*l).clone()) else {
        return;
    };
    let exec = exec
        .trim_start_matches(['-', '@', '+', '!', ':'])
        .replace("%I", &instance)
        .replace("%i", &instance);
    let words: Vec<String> = text::words(&exec);
    let slices: Vec<&str> = words.iter().map(String::as_str).collect();
    let first = slices.first().copied().unwrap_or("");
    let program = follow.program(first);
    let base = first.rsplit('/').next().unwrap_or(first);
    if let Some(mut console) =
        super::inittab::console(&slices, &instance, "respawn", &at_boot, chain)
    {
        console.starter = "systemd".to_owned();
        if let Some((real, _)) = program {
            follow.out.reach(real, at_boot, Serves::No);
        }
        follow.service(console, &unit.file, (0, 0));
        return;
    }
    let known = known::find(base);
    let imports = program
        .as_ref()
        .and_then(|(_, f)| f.notes()?.program.as_deref())
        .is_some_and(|p| p.imports.iter().any(|i| i == "listen"));
    let configured = Serves::when(listens.iter().any(|l| l.port.is_some()));
    let network = Serves::of(known, imports).max(configured);
    if let Some((real, file)) = &program {
        let serves = if at_boot == Tri::No { Serves::No } else { network };
        follow.out.reach(real.clone(), at_boot.clone(), serves);
        if file.text().is_some() && at_boot != Tri::No {
            let cause = Cause { at_boot: &at_boot, chain, starter: "systemd", name, depth: 1 };
            follow.run(&service.file, range, &slices, cause, false);
        }
    }
    if listens.is_empty() && !listening {
        listens = known.map(|k| known::listens(k, &words)).unwrap_or_default();
    }
    let fact = Service {
        name: name.to_owned(),
        command: exec.clone(),
        program: program.map(|(real, _)| format!("/{real}")),
        starter: "systemd".to_owned(),
        at_boot,
        protocol: known.map_or("", |k| k.protocol).to_owned(),
        listens,
        user: service.last("User").map(str::to_owned),
        confinement: CONFINING
            .iter()
            .filter_map(|k| Some(((*k).to_owned(), service.last(k)?.to_owned())))
            .collect(),
        started_through: chain.to_vec(),
        authentication: known.map_or_else(
            || Tri::Unknown("what the program speaks is not known".to_owned()),
            |k| known::authentication(k, &words),
        ),
    };
    let (file, range) =
        if listening { (&unit.file, (0, unit.file.artifact.size)) } else { (&service.file, range) };
    follow.service(fact, file, range);
}
