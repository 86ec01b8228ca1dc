//! Settings of servers and of log-in: what their configuration says, and what
//! they do where it says nothing.
//!
//! Establishes: the directives that decide who gets in, by which means, and what
//! a server reveals, for sshd, dropbear, uhttpd, lighttpd, nginx, boa, BusyBox
//! httpd, snmpd, vsftpd, log-in and its modules, logging and time; whether the
//! program is started; which folders web servers serve.
//!
//! How: each configuration in its own grammar, by its first or last value as the
//! program takes it. A default is told only where it is the same in all versions.
//!
//! False positives: a directive inside a section that applies to nobody.
//!
//! False negatives: configurations written at run time.
//!
//! Limits: a program's compiled-in changes of defaults are not known.
//!
//! Sources: sshd_config(5), dropbear(8), OpenWrt "uhttpd" and "dropbear"
//! documentation, lighttpd and nginx documentation, snmpd.conf(5), vsftpd.conf(5),
//! login.defs(5), pam.conf(5), rsyslog.conf(5), BusyBox `syslogd --help`.

use proofmark_model::{Fact, Observation, Tri, fact::Setting};

use crate::{
    root::{File, Root},
    startup::Startup,
    system::observe,
    text::{self, Line},
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("settings", 1);

struct Out<'o> {
    out: &'o mut Vec<Observation>,
    served: Vec<String>,
}

impl Out<'_> {
    fn set(
        &mut self,
        subject: &str,
        key: &str,
        value: &str,
        in_use: &Tri,
        file: &File<'_>,
        line: Option<Line<'_>>,
    ) {
        let evidence = line.map_or_else(|| file.whole(), |l| file.evidence(l.range));
        let fact = Setting {
            subject: subject.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            known_from: if line.is_some() { "configured" } else { "default" }.to_owned(),
            in_use: in_use.clone(),
        };
        observe(self.out, Fact::Setting(fact), evidence);
    }

    fn serves(&mut self, folder: &str) {
        let folder = folder.trim_matches(['"', '\'', ';', ' ']).trim_matches('/');
        if !folder.is_empty() && !folder.contains('$') {
            self.served.push(folder.to_owned());
        }
    }
}

/// Second stage for one root; returns the folders that web servers serve.
pub(crate) fn image(root: &Root<'_>, startup: &Startup, out: &mut Vec<Observation>) -> Vec<String> {
    let mut out = Out { out, served: Vec::new() };
    sshd(root, startup, &mut out);
    dropbear(root, startup, &mut out);
    telnetd(root, startup, &mut out);
    web(root, startup, &mut out);
    snmpd(root, startup, &mut out);
    ftp(root, startup, &mut out);
    login(root, &mut out);
    logging(root, startup, &mut out);
    for folder in
        ["www", "var/www", "usr/www", "home/httpd", "usr/share/www", "webroot", "usr/local/www"]
    {
        if root.real(folder).is_some() {
            out.served.push(folder.to_owned());
        }
    }
    out.served.sort();
    out.served.dedup();
    out.served
}

/// `Key value`, split at the first blank or `=`.
fn pair(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let at = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (key, rest) = line.split_at(at);
    Some((key, rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=').trim()))
}

fn sshd(root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    const KEYS: &[(&str, Option<&str>)] = &[
        ("PermitRootLogin", None),
        ("PasswordAuthentication", Some("yes")),
        ("PermitEmptyPasswords", Some("no")),
        ("MaxAuthTries", Some("6")),
        ("ClientAliveInterval", Some("0")),
        ("ClientAliveCountMax", Some("3")),
        ("HostbasedAuthentication", Some("no")),
        ("IgnoreRhosts", Some("yes")),
        ("Protocol", None),
        ("Ciphers", None),
        ("MACs", None),
        ("KexAlgorithms", None),
        ("HostKeyAlgorithms", None),
        ("PubkeyAcceptedAlgorithms", None),
        ("AuthorizedKeysFile", Some(".ssh/authorized_keys .ssh/authorized_keys2")),
        ("TrustedUserCAKeys", Some("none")),
        ("X11Forwarding", Some("no")),
        ("UsePAM", Some("no")),
        ("LogLevel", Some("INFO")),
        ("ListenAddress", None),
        ("Port", Some("22")),
        ("AllowUsers", None),
        ("AllowGroups", None),
    ];
    let Some((main, text)) = root.text("etc/ssh/sshd_config") else { return };
    let in_use = startup.runs(&["sshd", "sshd.service", "ssh.service"]);
    // The first value counts; an Include stands where it is written.
    let mut lines: Vec<(File<'_>, Line<'_>)> = Vec::new();
    for line in text::statements(text) {
        let Some((key, value)) = pair(line.text) else { continue };
        if key.eq_ignore_ascii_case("Match") {
            break;
        }
        if key.eq_ignore_ascii_case("Include") {
            let folder = value.rsplit_once('/').map_or("etc/ssh", |(f, _)| f);
            for (name, file) in root.list(folder) {
                if name.ends_with(".conf") {
                    lines.extend(
                        file.text().into_iter().flat_map(text::statements).map(|l| (file, l)),
                    );
                }
            }
        } else {
            lines.push((main, line));
        }
    }
    for (key, default) in KEYS {
        let found = lines.iter().find_map(|(file, line)| {
            let (k, value) = pair(line.text)?;
            k.eq_ignore_ascii_case(key).then_some((file, line, value))
        });
        match (found, default) {
            (Some((file, line, value)), _) => {
                out.set("sshd", key, value, &in_use, file, Some(*line))
            }
            (None, Some(default)) => out.set("sshd", key, default, &in_use, &main, None),
            (None, None) if *key == "PermitRootLogin" => {
                // The default changed from `yes` to `prohibit-password` with OpenSSH 7.0.
                out.set("sshd", key, "version-default", &in_use, &main, None);
            }
            _ => {}
        }
    }
}

/// Options of dropbear under the names of OpenWrt's configuration, from either source.
fn dropbear(root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    if let Some((file, text)) = root.text("etc/config/dropbear") {
        let in_use = startup.runs(&["dropbear"]);
        for line in text::statements(text) {
            let words = text::words(line.text);
            if let [kind, key, value] = words.as_slice()
                && kind == "option"
            {
                out.set("dropbear", key, value, &in_use, &file, Some(line));
            }
        }
    }
    for found in &startup.services {
        let words: Vec<&str> = found.service.command.split_whitespace().collect();
        if words.first().and_then(|w| w.rsplit('/').next()) != Some("dropbear") {
            continue;
        }
        let has = |flag: char| {
            words
                .iter()
                .skip(1)
                .any(|w| w.starts_with('-') && !w.starts_with("--") && w.contains(flag))
        };
        let values = [
            ("RootLogin", if has('w') { "off" } else { "on" }),
            ("PasswordAuth", if has('s') { "off" } else { "on" }),
            ("RootPasswordAuth", if has('s') || has('g') || has('w') { "off" } else { "on" }),
            ("AllowBlankPasswords", if has('B') { "on" } else { "off" }),
        ];
        for (key, value) in values {
            let fact = Setting {
                subject: "dropbear".to_owned(),
                key: key.to_owned(),
                value: value.to_owned(),
                known_from: "configured".to_owned(),
                in_use: found.service.at_boot.clone(),
            };
            observe(out.out, Fact::Setting(fact), found.evidence.clone());
        }
    }
}

fn telnetd(_root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    for found in startup.services.iter().filter(|f| f.service.protocol == "telnet") {
        let words: Vec<&str> = found.service.command.split_whitespace().collect();
        let login = words
            .iter()
            .position(|w| *w == "-l")
            .and_then(|i| words.get(i.checked_add(1)?))
            .copied();
        let fact = Setting {
            subject: "telnetd".to_owned(),
            key: "login-program".to_owned(),
            value: login.unwrap_or("/bin/login").to_owned(),
            known_from: if login.is_some() { "configured" } else { "default" }.to_owned(),
            in_use: found.service.at_boot.clone(),
        };
        observe(out.out, Fact::Setting(fact), found.evidence.clone());
    }
}

fn web(root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    if let Some((file, text)) = root.text("etc/config/uhttpd") {
        let in_use = startup.runs(&["uhttpd"]);
        for line in text::statements(text) {
            let words = text::words(line.text);
            let [kind, key, value] = words.as_slice() else { continue };
            if matches!(kind.as_str(), "option" | "list") {
                out.set("uhttpd", key, value, &in_use, &file, Some(line));
                if key == "home" {
                    out.serves(value);
                }
            }
        }
    }
    // (subject, program names, configurations, directives that are told, key of the served folder)
    type Server = (
        &'static str,
        &'static [&'static str],
        &'static [&'static str],
        &'static [&'static str],
        &'static str,
    );
    const SERVERS: &[Server] = &[
        (
            "lighttpd",
            &["lighttpd", "lighttpd.service"],
            &[
                "etc/lighttpd/lighttpd.conf",
                "etc/lighttpd.conf",
                "etc/lighttpd/conf.d",
                "etc/lighttpd/conf-enabled",
            ],
            &[
                "server.port",
                "server.bind",
                "server.username",
                "server.groupname",
                "server.document-root",
                "server.tag",
                "server.modules",
                "dir-listing.activate",
                "ssl.engine",
                "ssl.pemfile",
                "ssl.use-sslv2",
                "ssl.use-sslv3",
                "ssl.cipher-list",
                "ssl.openssl.ssl-conf-cmd",
                "cgi.assign",
                "ssi.extension",
                "ssi.exec",
                "server.follow-symlink",
                "server.upload-dirs",
                "webdav.activate",
                "auth.require",
            ],
            "server.document-root",
        ),
        (
            "nginx",
            &["nginx", "nginx.service"],
            &["etc/nginx/nginx.conf", "etc/nginx/conf.d", "etc/nginx/sites-enabled"],
            &[
                "listen",
                "user",
                "root",
                "autoindex",
                "server_tokens",
                "ssl_protocols",
                "ssl_ciphers",
                "ssl_certificate",
                "ssl_certificate_key",
                "ssi",
                "dav_methods",
                "auth_basic",
                "fastcgi_pass",
                "disable_symlinks",
            ],
            "root",
        ),
        (
            "boa",
            &["boa"],
            &["etc/boa/boa.conf", "etc/boa.conf"],
            &[
                "Port",
                "Listen",
                "User",
                "Group",
                "DocumentRoot",
                "DirectoryMaker",
                "ScriptAlias",
                "DirectoryIndex",
                "CGIPath",
            ],
            "DocumentRoot",
        ),
        (
            "thttpd",
            &["thttpd", "mini_httpd"],
            &["etc/thttpd.conf", "etc/mini_httpd.conf", "etc/thttpd/thttpd.conf"],
            &["port", "dir", "user", "cgipat", "chroot", "ssl", "certfile"],
            "dir",
        ),
        (
            "apache",
            &["apache2", "httpd", "apache2.service"],
            &[
                "etc/apache2/apache2.conf",
                "etc/httpd/conf/httpd.conf",
                "etc/apache2/sites-enabled",
                "etc/apache2/conf-enabled",
                "etc/apache2/mods-enabled",
            ],
            &[
                "Listen",
                "User",
                "DocumentRoot",
                "Options",
                "ServerTokens",
                "ServerSignature",
                "TraceEnable",
                "SSLProtocol",
                "SSLCipherSuite",
                "SSLCertificateKeyFile",
                "ScriptAlias",
                "AllowOverride",
            ],
            "DocumentRoot",
        ),
        ("httpd", &["httpd"], &["etc/httpd.conf"], &["A", "D", "H", "I", "P", "E404"], "H"),
    ];
    for (subject, programs, places, keys, served) in SERVERS {
        let in_use = startup.runs(programs);
        for place in *places {
            let folder = root.list(place);
            let single = root.get(place).filter(|f| f.text().is_some());
            for file in single.into_iter().chain(folder.into_iter().map(|(_, f)| f)) {
                for line in file.text().into_iter().flat_map(text::statements) {
                    directive(subject, keys, served, line, &in_use, &file, out);
                }
            }
        }
    }
    for found in &startup.services {
        // `httpd -h /www`: the folder on the command line.
        if found.service.protocol == "http" {
            let words: Vec<&str> = found.service.command.split_whitespace().collect();
            for (i, word) in words.iter().enumerate() {
                if let ("-h" | "-d" | "-r", Some(folder)) =
                    (*word, i.checked_add(1).and_then(|n| words.get(n)))
                    && folder.starts_with('/')
                {
                    out.serves(folder);
                }
            }
        }
    }
}

fn directive(
    subject: &str,
    keys: &[&str],
    served: &str,
    line: Line<'_>,
    in_use: &Tri,
    file: &File<'_>,
    out: &mut Out<'_>,
) {
    let text = line.text.trim().trim_end_matches(['{', ';']).trim();
    let split = if subject == "httpd" { text.split_once(':') } else { pair(text) };
    let Some((key, value)) = split else { return };
    let key = key.trim_end_matches(['+', ' ']);
    let Some(known) = keys.iter().find(|k| k.eq_ignore_ascii_case(key)) else {
        // BusyBox httpd: `/path:user:password` protects a folder.
        if subject == "httpd" && key.starts_with('/') {
            out.set(subject, "auth", key, in_use, file, Some(line));
        }
        return;
    };
    let value = value.trim_start_matches(['+', '=', ' ']).trim_matches(['"', ' ', ';']);
    out.set(subject, known, value, in_use, file, Some(line));
    if key.eq_ignore_ascii_case(served) {
        out.serves(value);
    }
}

/// Communities are told only where they are the well-known ones.
fn community(value: &str) -> String {
    let mut words: Vec<&str> = value.split_whitespace().collect();
    for word in &mut words {
        let plain = matches!(*word, "public" | "private" | "default" | "-V" | "-s")
            || word.starts_with(['.', '1'])
            || word.contains(['.', '/']);
        if !plain {
            *word = "(not a well-known one)";
        }
    }
    words.join(" ")
}

fn snmpd(root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    let in_use = startup.runs(&["snmpd", "mini_snmpd", "snmpd.service"]);
    for place in ["etc/snmp/snmpd.conf", "etc/snmpd.conf", "usr/share/snmp/snmpd.conf"] {
        let Some((file, text)) = root.text(place) else { continue };
        for line in text::statements(text) {
            let Some((key, value)) = pair(line.text) else { continue };
            match key {
                "rocommunity" | "rwcommunity" | "rocommunity6" | "rwcommunity6" => {
                    out.set("snmpd", key, &community(value), &in_use, &file, Some(line));
                }
                "com2sec" | "com2sec6" => {
                    // com2sec NAME SOURCE COMMUNITY
                    let last = value.split_whitespace().last().unwrap_or("");
                    out.set("snmpd", key, &community(last), &in_use, &file, Some(line));
                }
                "agentAddress" | "agentaddress" | "rouser" | "rwuser" | "access" | "extend"
                | "exec" | "pass" => {
                    out.set("snmpd", key, value, &in_use, &file, Some(line));
                }
                _ => {}
            }
        }
    }
    if let Some((file, text)) = root.text("etc/config/snmpd") {
        for line in text::statements(text) {
            let words = text::words(line.text);
            if let [kind, key, value] = words.as_slice()
                && kind == "option"
                && key == "community"
            {
                out.set("snmpd", "community", &community(value), &in_use, &file, Some(line));
            }
        }
    }
}

fn ftp(root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    let in_use = startup.runs(&["vsftpd", "vsftpd.service"]);
    for place in ["etc/vsftpd.conf", "etc/vsftpd/vsftpd.conf"] {
        let Some((file, text)) = root.text(place) else { continue };
        for line in text::statements(text) {
            if let Some((key, value)) = pair(line.text) {
                let wanted = [
                    "anonymous_enable",
                    "local_enable",
                    "write_enable",
                    "ssl_enable",
                    "chroot_local_user",
                    "anon_upload_enable",
                    "no_anon_password",
                    "listen_port",
                ];
                if wanted.contains(&key) {
                    out.set("vsftpd", key, value, &in_use, &file, Some(line));
                }
            }
        }
    }
}

fn login(root: &Root<'_>, out: &mut Out<'_>) {
    let here = Tri::Unknown("whether log-in reads it was not established".to_owned());
    if let Some((file, text)) = root.text("etc/login.defs") {
        for line in text::statements(text) {
            if let Some((key, value)) = pair(line.text) {
                let wanted = [
                    "ENCRYPT_METHOD",
                    "MD5_CRYPT_ENAB",
                    "PASS_MIN_LEN",
                    "PASS_MAX_DAYS",
                    "UMASK",
                    "LOGIN_RETRIES",
                    "LOGIN_TIMEOUT",
                    "FAIL_DELAY",
                    "SHA_CRYPT_MIN_ROUNDS",
                ];
                if wanted.contains(&key) {
                    out.set("login", key, value, &here, &file, Some(line));
                }
            }
        }
    }
    if let Some((file, text)) = root.text("etc/securetty") {
        let terminals: Vec<&str> = text::statements(text).map(|l| l.text.trim()).collect();
        let all = text::statements(text).next();
        out.set("login", "securetty", &terminals.join(" "), &here, &file, all);
    }
    for (name, file) in root.list("etc/pam.d") {
        for line in file.text().into_iter().flat_map(text::statements) {
            let words: Vec<&str> = line.text.split_whitespace().collect();
            // `auth required pam_unix.so nullok`; the control may be `[a=b c=d]`.
            let Some(at) = words.iter().position(|w| w.contains("pam_") && w.ends_with(".so"))
            else {
                continue;
            };
            let module = words
                .get(at)
                .map_or("", |w| w.rsplit('/').next().unwrap_or(w))
                .trim_end_matches(".so");
            let wanted = [
                "pam_unix",
                "pam_faillock",
                "pam_tally2",
                "pam_tally",
                "pam_pwquality",
                "pam_cracklib",
                "pam_pwhistory",
                "pam_securetty",
                "pam_permit",
                "pam_deny",
                "pam_rhosts",
                "pam_wheel",
            ];
            if wanted.contains(&module) {
                let rest = words.get(at.saturating_add(1)..).unwrap_or_default().join(" ");
                let kind = words.first().copied().unwrap_or("");
                out.set("pam", &format!("{name}:{kind}:{module}"), &rest, &here, &file, Some(line));
            }
        }
    }
    for place in ["etc/profile", "etc/bash.bashrc", "etc/shinit"] {
        let Some((file, text)) = root.text(place) else { continue };
        for line in text::statements(text) {
            let assigned =
                line.text.trim().trim_start_matches("export ").trim_start_matches("readonly ");
            if let Some(value) = assigned.strip_prefix("TMOUT=") {
                out.set(
                    "shell",
                    "TMOUT",
                    value.trim_matches(['"', '\'']),
                    &Tri::Yes,
                    &file,
                    Some(line),
                );
            }
            if let Some(value) = assigned.strip_prefix("umask ") {
                out.set("shell", "umask", value.trim(), &Tri::Yes, &file, Some(line));
            }
        }
    }
    for place in ["etc/hosts.equiv", "root/.rhosts", "etc/ssh/shosts.equiv"] {
        if let Some((file, text)) = root.text(place)
            && let Some(line) = text::statements(text).next()
        {
            out.set(
                "rlogin",
                place.rsplit('/').next().unwrap_or(place),
                "present",
                &here,
                &file,
                Some(line),
            );
        }
    }
}

fn logging(root: &Root<'_>, startup: &Startup, out: &mut Out<'_>) {
    for found in &startup.services {
        let words: Vec<&str> = found.service.command.split_whitespace().collect();
        let Some(name) = words.first().and_then(|w| w.rsplit('/').next()) else { continue };
        if name != "syslogd" {
            continue;
        }
        for (flag, key) in [("-R", "remote"), ("-s", "rotate-kib"), ("-O", "file"), ("-C", "ring")]
        {
            let value = words.iter().enumerate().find_map(|(i, w)| {
                let rest = w.strip_prefix(flag)?;
                Some(if rest.is_empty() {
                    i.checked_add(1).and_then(|n| words.get(n)).copied().unwrap_or("")
                } else {
                    rest
                })
            });
            if let Some(value) = value {
                let fact = Setting {
                    subject: "syslog".to_owned(),
                    key: key.to_owned(),
                    value: value.to_owned(),
                    known_from: "configured".to_owned(),
                    in_use: found.service.at_boot.clone(),
                };
                observe(out.out, Fact::Setting(fact), found.evidence.clone());
            }
        }
    }
    let in_use = startup.runs(&["rsyslogd", "rsyslog.service", "syslog-ng", "syslog-ng.service"]);
    for (place, subject) in [
        ("etc/rsyslog.conf", "rsyslog"),
        ("etc/syslog.conf", "syslog"),
        ("etc/syslog-ng/syslog-ng.conf", "syslog-ng"),
    ] {
        let Some((file, text)) = root.text(place) else { continue };
        for line in text::statements(text) {
            let action = line.text.split_whitespace().last().unwrap_or("");
            let remote = match action {
                a if a.starts_with("@@") => Some("tcp"),
                a if a.starts_with('@') => Some("udp"),
                _ if line.text.contains("omfwd") => {
                    Some(if line.text.contains("tls") || line.text.contains("gtls") {
                        "tls"
                    } else {
                        "omfwd"
                    })
                }
                _ => None,
            };
            if let Some(transport) = remote {
                out.set(subject, "remote-transport", transport, &in_use, &file, Some(line));
            }
            if line.text.contains("$FileCreateMode") {
                out.set(subject, "FileCreateMode", action, &in_use, &file, Some(line));
            }
        }
    }
    for (place, key) in [
        ("etc/ntp.conf", "ntpd"),
        ("etc/chrony/chrony.conf", "chronyd"),
        ("etc/chrony.conf", "chronyd"),
    ] {
        let Some((file, text)) = root.text(place) else { continue };
        let in_use = startup.runs(&[key]);
        for line in text::statements(text) {
            if let Some((k @ ("server" | "pool" | "keys" | "restrict"), value)) = pair(line.text) {
                out.set("ntp", k, value, &in_use, &file, Some(line));
            }
        }
    }
    for (name, file) in root
        .list("etc/logrotate.d")
        .into_iter()
        .chain(root.get("etc/logrotate.conf").map(|f| ("logrotate.conf".to_owned(), f)))
    {
        for line in file.text().into_iter().flat_map(text::statements) {
            let first = line.text.split_whitespace().next().unwrap_or("");
            if matches!(first, "create" | "size" | "rotate" | "maxsize") {
                let value = line.text.trim().strip_prefix(first).unwrap_or("").trim();
                out.set(
                    "logrotate",
                    &format!("{name}:{first}"),
                    value,
                    &Tri::Unknown("when logrotate runs was not established".to_owned()),
                    &file,
                    Some(line),
                );
            }
        }
    }
}
