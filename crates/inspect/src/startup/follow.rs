//! Follows scripts: from a command to the program it runs, the script it calls,
//! the service it starts.

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::{Tri, fact::Service};

use super::{
    Found, Serves, Startup, at, known,
    shell::{self, Command, Condition, Variables},
    stronger,
};
use crate::{
    root::{File, Root, join},
    text,
};

/// Scripts inside scripts.
const DEPTH: u32 = 12;
/// Commands looked at in one root.
const COMMANDS: u32 = 50_000;

/// State while one root is followed.
pub(super) struct Follow<'o, 'r, 'a> {
    pub root: &'r Root<'a>,
    pub out: &'o mut Startup,
    visited: BTreeSet<String>,
    variables: Variables,
    commands: u32,
    /// `procd` instance that parameters belong to.
    instance: Option<usize>,
    /// Variables of loops over scripts: what they stand for is followed at the loop.
    loops: BTreeSet<String>,
}

/// Why something is started and by what.
#[derive(Clone, Copy)]
pub(super) struct Cause<'c> {
    pub at_boot: &'c Tri,
    pub chain: &'c [String],
    pub starter: &'c str,
    pub name: &'c str,
    pub depth: u32,
}

impl<'o, 'r, 'a> Follow<'o, 'r, 'a> {
    pub(super) fn new(root: &'r Root<'a>, out: &'o mut Startup) -> Self {
        Self {
            root,
            out,
            visited: BTreeSet::new(),
            variables: Variables::new(),
            commands: 0,
            instance: None,
            loops: BTreeSet::new(),
        }
    }

    /// The file a program name leads to: its real path.
    pub(super) fn program(&self, name: &str) -> Option<(String, File<'a>)> {
        if name.contains('/') {
            return self.root.locate(name);
        }
        ["sbin", "usr/sbin", "bin", "usr/bin", "usr/local/sbin", "usr/local/bin"]
            .iter()
            .find_map(|f| self.root.locate(&join(f, name)))
    }

    /// What a test of the image itself answers, if it can.
    fn answer(&self, condition: &Condition) -> Option<bool> {
        let words: Vec<&str> = condition.words.iter().map(String::as_str).collect();
        let (words, negated) = match words.as_slice() {
            ["!", rest @ ..] => (rest, !condition.negated),
            rest => (rest, condition.negated),
        };
        let inner = match words {
            ["[" | "[[", inner @ .., "]" | "]]"] => inner,
            ["test", inner @ ..] => inner,
            // `true` and commands that only say something do not decide.
            ["true" | ":" | "echo" | "mkdir" | "." | "cd" | "export", ..] => return Some(!negated),
            _ => return None,
        };
        let (inner, negated) = match inner {
            ["!", rest @ ..] => (rest, !negated),
            rest => (rest, negated),
        };
        let constant = |w: &str| !w.contains(['$', '`']);
        let truth = match inner {
            ["-x" | "-f" | "-e" | "-r" | "-s" | "-d" | "-h" | "-L", path]
                if constant(path) && path.starts_with('/') =>
            {
                // What is made at run time cannot be told from the image.
                let made = ["/tmp/", "/var/", "/proc/", "/sys/", "/dev/", "/run/", "/mnt/"];
                if made.iter().any(|m| path.starts_with(m)) {
                    return None;
                }
                self.root.real(path).is_some()
            }
            ["-n", w] if constant(w) => !w.is_empty(),
            ["-z", w] if constant(w) => w.is_empty(),
            [a, "=" | "==", b] if constant(a) && constant(b) => a == b,
            [a, "!=", b] if constant(a) && constant(b) => a != b,
            _ => return None,
        };
        Some(truth != negated)
    }

    fn under(&self, at_boot: &Tri, conditions: &[Condition]) -> Tri {
        let mut out = at_boot.clone();
        for condition in conditions {
            match self.answer(condition) {
                Some(true) => {}
                Some(false) => return Tri::No,
                None if out == Tri::Yes => {
                    let not = if condition.negated { "not " } else { "" };
                    let text: String = condition.words.join(" ").chars().take(100).collect();
                    out = Tri::Unknown(format!("started only if {not}`{text}`"));
                }
                None => {}
            }
        }
        out
    }

    /// Reads a script as run with `start`.
    pub(super) fn script(
        &mut self,
        path: &str,
        at_boot: &Tri,
        chain: &[String],
        starter: &str,
        depth: u32,
    ) {
        let Some((real, file)) = self.root.locate(path) else {
            self.out.gaps.insert(format!("{path} is called but is not in the image"));
            return;
        };
        let seen = self.out.scripts.get(&real).cloned();
        // A script that was read under a weaker statement is read again under a stronger one.
        if seen.as_ref().is_some_and(|s| stronger(s.clone(), at_boot.clone()) == *s)
            && self.visited.contains(&real)
        {
            return;
        }
        self.visited.insert(real.clone());
        self.out.scripts.insert(real.clone(), at_boot.clone());
        self.out.reach(real.clone(), at_boot.clone(), Serves::No);
        let Some(script) = file.text() else { return };
        if depth > DEPTH {
            self.out.gaps.insert(format!("{path} lies too deep in scripts that call scripts"));
            return;
        }
        let mut chain = chain.to_vec();
        chain.push(path.to_owned());
        let name = path.rsplit('/').next().unwrap_or(path);
        // `S50dropbear` starts the service `dropbear`.
        let name = name.strip_prefix(['S', 'K']).map_or(name, |n| {
            let bare = n.trim_start_matches(|c: char| c.is_ascii_digit());
            if bare.len() < n.len() && !bare.is_empty() { bare } else { name }
        });
        let mut variables = std::mem::take(&mut self.variables);
        let commands = shell::commands(script, &mut variables);
        self.variables = variables;
        for command in commands {
            self.commands = self.commands.saturating_add(1);
            if self.commands > COMMANDS {
                self.out
                    .gaps
                    .insert("the start-up scripts have more commands than are followed".to_owned());
                return;
            }
            let at_boot = self.under(at_boot, &command.conditions);
            let cause = Cause { at_boot: &at_boot, chain: &chain, starter, name, depth };
            self.command(&file, &command, cause);
        }
        // Constants of a script of its own are not those of the next one.
        if depth <= 1 {
            self.variables.clear();
        }
    }

    fn command(&mut self, file: &File<'a>, command: &Command, cause: Cause<'_>) {
        let expanded: Vec<String> =
            command.words.iter().map(|w| shell::expand(w, &self.variables)).collect();
        let words: Vec<&str> = expanded.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["for", variable, "in", globs @ ..] => {
                self.loops.insert(format!("${variable}"));
                self.globs(globs, cause);
            }
            ["." | "source", path, ..] => self.called(path, cause),
            ["run-parts", rest @ ..] => {
                if let Some(folder) = rest.iter().rev().find(|w| w.starts_with('/')) {
                    for (name, _) in self.root.list(folder) {
                        self.script(
                            &join(folder.trim_matches('/'), &name),
                            cause.at_boot,
                            cause.chain,
                            cause.starter,
                            cause.depth.saturating_add(1),
                        );
                    }
                }
            }
            ["service", name, "start" | "boot"] => {
                self.called(&format!("/etc/init.d/{name}"), cause);
            }
            ["procd_open_instance", ..] => self.instance = None,
            ["procd_set_param", "command", rest @ ..] if !rest.is_empty() => {
                let before = self.out.services.len();
                self.run(file, command.range, rest, Cause { starter: "procd", ..cause }, true);
                self.instance = (self.out.services.len() > before).then_some(before);
            }
            ["procd_append_param", "command", rest @ ..] => self.parameter(|s| {
                s.command = format!("{} {}", s.command, rest.join(" "));
                let words: Vec<String> = text::words(&s.command);
                if let Some(k) = words.first().and_then(|w| known::find(base(w))) {
                    s.listens = known::listens(k, &words);
                    s.authentication = known::authentication(k, &words);
                }
            }),
            ["procd_set_param", "user", user] => {
                self.parameter(|s| s.user = Some((*user).to_owned()));
            }
            ["procd_set_param", "no_new_privs", value] | ["procd_set_param", "seccomp", value] => {
                let key = if command.words.get(1).is_some_and(|w| w == "seccomp") {
                    "seccomp"
                } else {
                    "no_new_privs"
                };
                self.parameter(|s| {
                    s.confinement.insert(key.to_owned(), (*value).to_owned());
                });
            }
            ["procd_add_jail", ..] => self.parameter(|s| {
                s.confinement.insert("jail".to_owned(), "yes".to_owned());
            }),
            _ => self.run(file, command.range, &words, cause, false),
        }
    }

    fn parameter(&mut self, change: impl FnOnce(&mut Service)) {
        if let Some(found) = self.instance.and_then(|i| self.out.services.get_mut(i)) {
            change(&mut found.service);
        }
    }

    fn called(&mut self, path: &str, cause: Cause<'_>) {
        if path.contains('$') {
            if self.loops.contains(path) {
                return;
            }
            self.out
                .gaps
                .insert(format!("{path} in {}", cause.chain.last().map_or("", String::as_str)));
            return;
        }
        let known_missing = self.root.locate(path).is_none();
        if !known_missing {
            self.script(
                path.trim_start_matches('/'),
                cause.at_boot,
                cause.chain,
                cause.starter,
                cause.depth.saturating_add(1),
            );
        }
    }

    /// Scripts that a loop goes through: `/etc/init.d/S??*`, `/etc/rc.d/S*`.
    fn globs(&mut self, globs: &[&str], cause: Cause<'_>) {
        for glob in globs.iter().filter(|g| g.starts_with('/')) {
            let Some((folder, pattern)) = glob.rsplit_once('/') else { continue };
            // `/etc/rc$runlevel.d/S*`: the levels that run things are tried.
            let folders: Vec<String> = match folder.split_once('$') {
                None => vec![folder.to_owned()],
                Some((before, after)) => {
                    let after = after.trim_start_matches(|c: char| {
                        c.is_ascii_alphanumeric() || "_{}".contains(c)
                    });
                    ["S", "2", "3", "5"].iter().map(|l| format!("{before}{l}{after}")).collect()
                }
            };
            for folder in folders {
                let Some(real) = self.root.real(&folder) else { continue };
                let script_folder = [
                    "init.d",
                    "rc.d",
                    "rcS.d",
                    "rc2.d",
                    "rc3.d",
                    "rc5.d",
                    "rc",
                    "preinit",
                    "uci-defaults",
                    "profile.d",
                ]
                .iter()
                .any(|f| folder.ends_with(f));
                if !script_folder {
                    continue;
                }
                for name in self.root.raw_names(&real) {
                    let few_stars = pattern.bytes().filter(|b| *b == b'*').count() <= 3;
                    if few_stars && matches(pattern.as_bytes(), name.as_bytes()) {
                        self.called(&format!("/{}", join(&real, &name)), cause);
                    }
                }
            }
        }
    }

    /// A command that runs a program: wrappers are taken off, then it is a script or a program.
    pub(super) fn run(
        &mut self,
        file: &File<'a>,
        range: crate::notes::Range,
        words: &[&str],
        cause: Cause<'_>,
        always: bool,
    ) {
        let mut words = words.to_vec();
        let mut user = None;
        for _ in 0..6 {
            words = match words.as_slice() {
                ["exec" | "nohup" | "setsid" | "command" | "time" | "-" | "eval", rest @ ..] => {
                    rest.to_vec()
                }
                ["nice" | "ionice" | "chrt" | "taskset" | "timeout", rest @ ..] => rest
                    .iter()
                    .copied()
                    .skip_while(|w| {
                        w.starts_with('-') || w.starts_with(|c: char| c.is_ascii_digit())
                    })
                    .collect(),
                ["env", rest @ ..] => {
                    rest.iter().copied().skip_while(|w| w.contains('=')).collect()
                }
                ["start-stop-daemon", rest @ ..] => match start_stop_daemon(rest) {
                    Some((u, inner)) => {
                        user = u.map(str::to_owned).or(user);
                        inner
                    }
                    None => return,
                },
                ["daemon" | "loadproc" | "start_daemon" | "service_start", rest @ ..] => {
                    rest.iter().copied().skip_while(|w| w.starts_with('-')).collect()
                }
                ["sh" | "/bin/sh" | "ash" | "bash", "-c", inner, ..] => {
                    let owned: Vec<String> =
                        text::words(inner.split([';', '|', '&']).next().unwrap_or(""));
                    let cause = Cause { depth: cause.depth.saturating_add(1), ..cause };
                    if cause.depth < DEPTH {
                        let inner: Vec<&str> = owned.iter().map(String::as_str).collect();
                        self.run(file, range, &inner, cause, always);
                    }
                    return;
                }
                ["sh" | "/bin/sh" | "ash" | "bash", rest @ ..] => {
                    rest.iter().copied().skip_while(|w| w.starts_with('-')).collect()
                }
                ["chpst" | "setuidgid" | "su-exec", who, rest @ ..] => {
                    user = Some((*who).trim_start_matches("-u").to_owned());
                    rest.to_vec()
                }
                _ => break,
            };
        }
        let Some(first) = words.first().copied().filter(|f| !f.is_empty()) else { return };
        let (first, rest) = match (base(first), words.get(1)) {
            // `busybox telnetd` runs the applet.
            ("busybox", Some(applet)) => (*applet, words.get(2..).unwrap_or_default()),
            _ => (first, words.get(1..).unwrap_or_default()),
        };
        if first.contains(['$', '`']) {
            if self.loops.contains(first) {
                return;
            }
            self.out
                .gaps
                .insert(format!("`{first}` in {}", cause.chain.last().map_or("", String::as_str)));
            return;
        }
        let name = base(first);
        let is_applet =
            base(words.first().copied().unwrap_or("")) == "busybox" && name != "busybox";
        let place = if is_applet { self.program("busybox") } else { self.program(first) };
        let known = known::find(name);
        if let Some((_, target)) = &place
            && target.text().is_some()
            && known.is_none()
        {
            if !rest.first().is_some_and(|a| matches!(*a, "stop" | "kill" | "reload" | "status")) {
                // Called by the name it was asked for: that is what the script sees as its own.
                let path = match &place {
                    Some((real, _)) if !first.contains('/') => real.clone(),
                    _ => first.to_owned(),
                };
                self.called(&path, cause);
            }
            return;
        }
        let program = place.as_ref().and_then(|(_, f)| f.notes()?.program.as_deref());
        let imports = |n: &str| program.is_some_and(|p| p.imports.iter().any(|i| i == n));
        let serves = imports("listen") || (imports("bind") && imports("recvfrom"));
        let multi =
            place.as_ref().is_some_and(|(p, _)| p.ends_with("busybox") || p.ends_with("toybox"));
        let network = Serves::of(known, serves && !multi);
        if let Some((real, _)) = &place {
            self.out.reach(
                real.clone(),
                cause.at_boot.clone(),
                if *cause.at_boot == Tri::No { Serves::No } else { network },
            );
        }
        // Only servers and what is started to stay are services; the rest of a script is housekeeping.
        let stays = known.is_some() || (network != Serves::No && name.ends_with('d'));
        if !(always || stays) || (place.is_none() && known.is_none()) {
            return;
        }
        let all: Vec<String> =
            std::iter::once(first).chain(rest.iter().copied()).map(str::to_owned).collect();
        let at_boot = match &place {
            None if *cause.at_boot != Tri::No => {
                Tri::Unknown(format!("{first} is not in the image"))
            }
            _ => cause.at_boot.clone(),
        };
        let service = Service {
            name: if cause.starter == "procd" || cause.starter == "systemd" {
                cause.name
            } else {
                name
            }
            .to_owned(),
            command: all.join(" "),
            program: place.map(|(real, _)| format!("/{real}")),
            starter: cause.starter.to_owned(),
            at_boot,
            protocol: known.map(|k| known::protocol(k, &all)).unwrap_or_default(),
            listens: known.map(|k| known::listens(k, &all)).unwrap_or_default(),
            user,
            confinement: BTreeMap::new(),
            started_through: cause.chain.to_vec(),
            authentication: known.map_or_else(
                || Tri::Unknown("what the program speaks is not known".to_owned()),
                |k| known::authentication(k, &all),
            ),
        };
        self.service(service, file, range);
        if matches!(name, "inetd" | "xinetd") {
            super::inittab::super_server(self, cause);
        }
    }

    /// Adds a service, or strengthens the same one found before.
    pub(super) fn service(
        &mut self,
        service: Service,
        file: &File<'a>,
        range: crate::notes::Range,
    ) {
        let evidence = at(file, range);
        let same = |f: &&mut Found| f.evidence == evidence && f.service.command == service.command;
        if let Some(found) = self.out.services.iter_mut().find(same) {
            let better = stronger(found.service.at_boot.clone(), service.at_boot.clone());
            if better != found.service.at_boot {
                found.service = Service { at_boot: better, ..service };
            }
            return;
        }
        self.out.services.push(Found { service, evidence });
    }

    /// OpenWrt: what `/etc/rc.d` links to is enabled.
    pub(super) fn procd_links(&mut self) {
        for name in self.root.raw_names("etc/rc.d") {
            if !name.starts_with('S') {
                continue;
            }
            let path = format!("etc/rc.d/{name}");
            let service = name
                .trim_start_matches('S')
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .to_owned();
            let at_boot = self.disabled_by_uci(&service).map_or(Tri::Yes, |_| Tri::No);
            self.script(
                &path,
                &at_boot,
                &["sbin/init".to_owned(), "etc/inittab".to_owned()],
                "procd",
                1,
            );
        }
    }

    /// The line of `/etc/config/NAME` that switches the service off.
    fn disabled_by_uci(&self, name: &str) -> Option<String> {
        let (_, config) = self.root.text(&format!("etc/config/{name}"))?;
        text::statements(config).map(|l| text::words(l.text)).find_map(|w| {
            let w: Vec<&str> = w.iter().map(String::as_str).collect();
            match w.as_slice() {
                ["option", "enable" | "enabled", "0" | "off" | "no" | "false"]
                | ["option", "disabled" | "disable", "1" | "on" | "yes" | "true"] => {
                    Some(w.join(" "))
                }
                _ => None,
            }
        })
    }

    /// Scripts that are installed but that nothing starts: what they would start is told with *no*.
    pub(super) fn not_enabled(&mut self) {
        let starter = if self.out.kind == "procd" { "procd" } else { "sysv" };
        for folder in ["etc/init.d", "etc/rc.d/init.d"] {
            for (name, file) in self.root.list(folder) {
                let path = join(folder, &name);
                let fresh = self.root.real(&path).is_some_and(|r| !self.visited.contains(&r));
                if fresh
                    && file.text().is_some()
                    && !matches!(name.as_str(), "rcS" | "rc" | "rcK" | "functions" | "skeleton")
                {
                    self.script(&path, &Tri::No, &[], starter, 1);
                }
            }
        }
    }
}

fn base(path: &str) -> &str {
    path.trim_start_matches('-').rsplit('/').next().unwrap_or(path)
}

/// User, and the program with its arguments, if this call starts something.
fn start_stop_daemon<'w>(words: &[&'w str]) -> Option<(Option<&'w str>, Vec<&'w str>)> {
    let (mut starts, mut program, mut user, mut own) = (false, None, None, Vec::new());
    let mut i = 0_usize;
    while let Some(word) = words.get(i).copied() {
        i = i.saturating_add(1);
        let next = words.get(i).copied();
        match word {
            "--" => {
                own.extend(words.get(i..).unwrap_or_default());
                break;
            }
            "-K" | "--stop" | "-T" | "--status" => return None,
            "--start" => starts = true,
            "-x" | "--exec" | "-a" | "--startas" => {
                program = next.or(program);
                i = i.saturating_add(1);
            }
            "-c" | "--chuid" => {
                user = next;
                i = i.saturating_add(1);
            }
            "-p" | "--pidfile" | "-n" | "--name" | "-u" | "--user" | "-N" | "--nicelevel"
            | "-k" | "-d" | "--chdir" => {
                i = i.saturating_add(1);
            }
            w if w.starts_with("--exec=") => program = w.strip_prefix("--exec="),
            w if w.starts_with('-') && !w.starts_with("--") => {
                starts |= w.contains('S');
                if w.ends_with('x') {
                    program = next.or(program);
                    i = i.saturating_add(1);
                } else if w.ends_with('p') {
                    i = i.saturating_add(1);
                }
            }
            w if !w.starts_with('-') => own.push(w),
            _ => {}
        }
    }
    let program = program?;
    starts.then(|| (user, std::iter::once(program).chain(own).collect()))
}

/// Whether `name` fits a pattern of `*`, `?` and `[...]` (taken as one character).
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            // Names are short, and patterns of start-up scripts have one or two stars.
            (0..=name.len().min(256)).any(|i| name.get(i..).is_some_and(|n| matches(rest, n)))
        }
        (Some((b'?', rest)), Some((_, tail))) => matches(rest, tail),
        (Some((b'[', rest)), Some((_, tail))) => {
            let end = rest.iter().position(|b| *b == b']').unwrap_or(rest.len());
            matches(rest.get(end.saturating_add(1)..).unwrap_or_default(), tail)
        }
        (Some((p, rest)), Some((n, tail))) => p == n && matches(rest, tail),
        _ => false,
    }
}
