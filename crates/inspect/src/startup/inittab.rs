//! inittab in its three dialects, and the internet super-servers.

use std::collections::BTreeMap;

use proofmark_model::{
    Tri,
    fact::{Listen, Service},
};

use super::{
    Serves,
    follow::{Cause, Follow},
    known,
};
use crate::text;

/// Whose inittab it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `tty::action:process`; without a file a built-in table.
    BusyBox,
    /// `id:runlevels:action:process`.
    SysV,
    /// BusyBox's shape with actions of its own.
    Procd,
}

/// What BusyBox does without an inittab (`init/init.c`, `parse_inittab`).
const BUILT_IN: &str = "::sysinit:/etc/init.d/rcS\n::askfirst:-/bin/sh\n";

pub(super) fn follow(follow: &mut Follow<'_, '_, '_>, dialect: Dialect, chain: &[String]) {
    let table = follow.root.text("etc/inittab");
    let (file, text) = match (table, dialect) {
        (Some((file, text)), _) => (file, text),
        (None, Dialect::BusyBox) => {
            match follow.root.get("sbin/init").or_else(|| follow.root.get("init")) {
                Some(file) => (file, BUILT_IN),
                None => return,
            }
        }
        _ => return,
    };
    let mut chain = chain.to_vec();
    if table.is_some() {
        chain.push("etc/inittab".to_owned());
    }
    let level = text::statements(text)
        .find_map(|l| {
            let f: Vec<&str> = l.text.splitn(4, ':').collect();
            (f.get(2) == Some(&"initdefault")).then(|| f.get(1).copied().unwrap_or("").to_owned())
        })
        .unwrap_or_else(|| "2".to_owned());
    for line in text::statements(text) {
        let fields: Vec<&str> = line.text.trim().splitn(4, ':').collect();
        let [id, levels, action, process] = fields.as_slice() else { continue };
        let (action, process) = (action.trim(), process.trim());
        let range = if table.is_some() { line.range } else { (0, 0) };
        let at_boot = match action {
            "sysinit" | "boot" | "bootwait" | "wait" | "once" | "respawn" | "askfirst"
            | "askconsole" | "askconsolelate" | "respawnlate" | "ondemand" => {
                let runs = dialect != Dialect::SysV
                    || matches!(action, "sysinit" | "boot" | "bootwait")
                    || levels.is_empty()
                    || levels.contains(level.as_str());
                if runs { Tri::Yes } else { Tri::No }
            }
            _ => continue,
        };
        let words = text::words(process);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let Some(service) = console(
            &words,
            if dialect == Dialect::SysV { "" } else { id },
            action,
            &at_boot,
            &chain,
        ) {
            if let Some((real, _)) =
                words.first().and_then(|w| follow.program(w.trim_start_matches('-')))
            {
                follow.out.reach(real, at_boot.clone(), Serves::No);
            }
            follow.service(service, &file, range);
            continue;
        }
        // sysvinit: `/etc/init.d/rc 3` runs the links of that level in order.
        if let [script, l, ..] = words.as_slice()
            && script.ends_with("/rc")
            && l.len() == 1
        {
            links(follow, l, &at_boot, &chain);
        }
        // procd: `/etc/init.d/rcS S boot` runs /etc/rc.d/S*, which is followed apart.
        let cause = Cause {
            at_boot: &at_boot,
            chain: &chain,
            starter: if dialect == Dialect::SysV { "sysv" } else { "inittab" },
            name: id,
            depth: 0,
        };
        if words.first().is_some_and(|w| w.ends_with("/rcS")) && dialect == Dialect::SysV {
            links(follow, "S", &at_boot, &chain);
        }
        follow.run(&file, range, &words, cause, matches!(action, "respawn"));
    }
}

fn links(follow: &mut Follow<'_, '_, '_>, level: &str, at_boot: &Tri, chain: &[String]) {
    for folder in [
        format!("etc/rc{level}.d"),
        format!("etc/rc.d/rc{level}.d"),
        format!("etc/init.d/rc{level}.d"),
    ] {
        for name in follow.root.raw_names(&folder) {
            if name.starts_with('S') {
                follow.script(&format!("{folder}/{name}"), at_boot, chain, "sysv", 1);
            }
        }
    }
}

/// A login or a shell on a terminal.
pub(super) fn console(
    words: &[&str],
    tty: &str,
    action: &str,
    at_boot: &Tri,
    chain: &[String],
) -> Option<Service> {
    let first = words.first()?.trim_start_matches('-');
    let name = first.rsplit('/').next().unwrap_or(first);
    let shell =
        |n: &str| matches!(n.rsplit('/').next(), Some("sh" | "ash" | "bash" | "dash" | "hush"));
    let after = |flag: &str| {
        words.iter().position(|w| *w == flag).and_then(|i| words.get(i.checked_add(1)?)).copied()
    };
    let authentication = if shell(name) {
        // With a script as argument it is no console but a start-up script.
        if words.get(1).is_some_and(|w| !w.starts_with('-')) || words.contains(&"-c") {
            return None;
        }
        Tri::No
    } else if matches!(name, "getty" | "agetty" | "mingetty" | "serial-getty" | "askfirst") {
        let autologin = words.iter().any(|w| *w == "-a" || w.starts_with("--autologin"));
        match after("-l").or(after("--login-program")) {
            Some(p) if shell(p) => Tri::No,
            Some(p) if !p.ends_with("login") => Tri::Unknown(format!("{p} asks for it, or not")),
            _ if autologin => Tri::No,
            _ => Tri::Yes,
        }
    } else if name == "login" {
        if words.contains(&"-f") { Tri::No } else { Tri::Yes }
    } else if name == "login.sh" {
        Tri::Unknown("OpenWrt's login script asks only if the system is configured to".to_owned())
    } else {
        return None;
    };
    let device = words
        .iter()
        .skip(1)
        .find(|w| {
            w.starts_with("tty")
                || w.starts_with("/dev/tty")
                || **w == "console"
                || w.starts_with("hvc")
        })
        .map(|w| w.trim_start_matches("/dev/"))
        .or(Some(tty))
        .filter(|t| !t.is_empty())
        .unwrap_or("console");
    let serial = !matches!(device.strip_prefix("tty"), Some(n) if n.starts_with(|c: char| c.is_ascii_digit()));
    Some(Service {
        name: format!("console-{device}"),
        command: words.join(" "),
        program: Some(first.to_owned()),
        starter: "inittab".to_owned(),
        at_boot: at_boot.clone(),
        protocol: "console".to_owned(),
        listens: vec![Listen {
            transport: if serial { "serial" } else { "terminal" }.to_owned(),
            port: None,
            address: device.to_owned(),
            known_from: "configured".to_owned(),
        }],
        user: None,
        confinement: [("action".to_owned(), action.to_owned())].into(),
        started_through: chain.to_vec(),
        authentication,
    })
}

/// Well-known names of inetd's first field.
const NAMES: &[(&str, u16)] = &[
    ("chargen", 19),
    ("daytime", 13),
    ("discard", 9),
    ("echo", 7),
    ("exec", 512),
    ("finger", 79),
    ("ftp", 21),
    ("http", 80),
    ("https", 443),
    ("ident", 113),
    ("login", 513),
    ("pop3", 110),
    ("shell", 514),
    ("ssh", 22),
    ("swat", 901),
    ("telnet", 23),
    ("tftp", 69),
    ("time", 37),
];

fn served(
    name: &str,
    transport: &str,
    command: &[&str],
    cause: Cause<'_>,
    user: Option<&str>,
) -> Service {
    let port = name.parse().ok().or_else(|| NAMES.iter().find(|n| n.0 == name).map(|n| n.1));
    // The server as argument of a wrapper (`tcpd in.telnetd`) is the one that speaks.
    let words: Vec<String> = command.iter().map(|w| (*w).to_owned()).collect();
    let known = command.iter().take(2).find_map(|w| known::find(w.rsplit('/').next().unwrap_or(w)));
    let builtin = command.first() == Some(&"internal");
    Service {
        name: name.to_owned(),
        command: command.join(" "),
        program: command.first().filter(|_| !builtin).map(|c| (*c).to_owned()),
        starter: "inetd".to_owned(),
        at_boot: cause.at_boot.clone(),
        protocol: known.map_or(name, |k| k.protocol).to_owned(),
        listens: vec![Listen {
            transport: transport.trim_end_matches(['4', '6']).to_owned(),
            port,
            address: "*".to_owned(),
            known_from: "configured".to_owned(),
        }],
        user: user.map(str::to_owned),
        confinement: BTreeMap::new(),
        started_through: cause.chain.to_vec(),
        authentication: match known {
            Some(k) => known::authentication(k, &words),
            None if builtin => Tri::No,
            None => Tri::Unknown("what the program asks for is not known".to_owned()),
        },
    }
}

/// The services of inetd.conf and xinetd.d.
pub(super) fn super_server(follow: &mut Follow<'_, '_, '_>, cause: Cause<'_>) {
    if let Some((file, text)) = follow.root.text("etc/inetd.conf") {
        for line in text::statements(text) {
            let f: Vec<&str> = line.text.split_whitespace().collect();
            let [name, _socket, transport, _wait, user, command @ ..] = f.as_slice() else {
                continue;
            };
            // The program's path is followed by its name as argument zero.
            let command: Vec<&str> = match command {
                [program, _zero, rest @ ..] => {
                    std::iter::once(*program).chain(rest.iter().copied()).collect()
                }
                other => other.to_vec(),
            };
            let mut chain = cause.chain.to_vec();
            chain.push("etc/inetd.conf".to_owned());
            let service = served(
                name,
                transport,
                &command,
                Cause { chain: &chain, ..cause },
                Some(user.split(['.', ':']).next().unwrap_or(user)),
            );
            if let Some((real, _)) = command.first().and_then(|c| follow.program(c)) {
                follow.out.reach(real, cause.at_boot.clone(), Serves::Yes);
            }
            follow.service(service, &file, line.range);
        }
    }
    for (name, file) in follow.root.list("etc/xinetd.d") {
        let Some(text) = file.text() else { continue };
        let mut keys: BTreeMap<&str, &str> = BTreeMap::new();
        for line in text::statements(text) {
            if let Some((k, v)) = line.text.split_once('=') {
                keys.insert(k.trim().trim_end_matches('+'), v.trim());
            }
        }
        let off = keys.get("disable") == Some(&"yes");
        let at_boot = if off { Tri::No } else { cause.at_boot.clone() };
        let command: Vec<&str> = keys
            .get("server")
            .into_iter()
            .copied()
            .chain(keys.get("server_args").into_iter().flat_map(|a| a.split_whitespace()))
            .collect();
        let mut chain = cause.chain.to_vec();
        chain.push(format!("etc/xinetd.d/{name}"));
        let cause = Cause { at_boot: &at_boot, chain: &chain, ..cause };
        let label = keys.get("port").copied().unwrap_or(&name);
        let mut service = served(
            label,
            keys.get("protocol").copied().unwrap_or("tcp"),
            &command,
            cause,
            keys.get("user").copied(),
        );
        service.name = name;
        if let Some((real, _)) = command.first().and_then(|c| follow.program(c)) {
            follow.out.reach(real, at_boot.clone(), Serves::when(!off));
        }
        follow.service(service, &file, (0, text.len() as u64));
    }
}
