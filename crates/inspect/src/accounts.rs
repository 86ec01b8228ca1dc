//! Local accounts and the state of their passwords.
//!
//! Establishes: every account of every account store of a root file system
//! (passwd joined with shadow, htpasswd, password options of router
//! configuration stores), whether its password is empty, locked, hashed or
//! recoverable, by which scheme, whether a candidate of the bounded public list
//! opens it, and whether it can be logged in to.
//!
//! How: the stores are parsed and the hashes verified in the first stage. The
//! second stage joins passwd with the shadow of the same root, looks whether the
//! shell exists, and whether a start-up script of the root sets the password.
//!
//! False positives: a script that sets passwords for another purpose is taken as
//! a replacement (and reported as such, for a person to judge); a file that has
//! the name and the shape of a store but that nothing reads.
//!
//! False negatives: stores of unknown layout; passwords outside the list; a hash
//! whose cost is beyond the budget (`candidates_tried` tells).
//!
//! Limits: names from NIS or LDAP are not looked up; an overlay's upper layer is
//! a world of its own.
//!
//! Sources: passwd(5), shadow(5), crypt(5); OpenWrt's documentation of
//! /etc/config/rpcd and /etc/config/uhttpd; Apache's and lighttpd's documentation
//! of htpasswd.

use proofmark_model::{
    Digest, Evidence, Fact, Observation, Strength, Tri,
    fact::{Account, Guessed, Password},
};
use serde::{Deserialize, Serialize};

use crate::{
    Class, Notes,
    crypt::Hash,
    notes::Range,
    passwords::{self, Outcome},
    root::{File, Root},
    text::{self, Line},
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("accounts", 1);

/// One record of an account store, as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Login name.
    pub user: String,
    /// User id, group id, home and shell, where the store has them.
    pub uid: Option<u32>,
    /// Group id.
    pub gid: Option<u32>,
    /// Home folder.
    pub home: Option<String>,
    /// Shell.
    pub shell: Option<String>,
    /// Kind of store.
    pub store: String,
    /// State of the password field.
    pub password: Password,
    /// Scheme, for a hash or clear text.
    pub scheme: Option<String>,
    /// Candidate that verified.
    pub guessed: Option<Guessed>,
    /// Candidates tried.
    pub tried: u32,
    /// The record's bytes.
    pub range: Range,
}

/// The class of an account store by its name.
pub(crate) fn class(name: &str) -> Option<Class> {
    // The backup copies that passwd(1) and vipw(8) keep hold the same secrets.
    let base = name.trim_end_matches(['-', '+']);
    let base = base.strip_suffix(".bak").or_else(|| base.strip_suffix(".orig")).unwrap_or(base);
    match base {
        "passwd" | "passwd.default" | "passwd_default" => Some(Class::Passwd),
        "shadow" | "shadow.default" | "shadow_default" | "master.passwd" => Some(Class::Shadow),
        "htpasswd" | ".htpasswd" | "webpasswd" | "lighttpd.user" | "http.passwd" => {
            Some(Class::Htpasswd)
        }
        _ if base.ends_with(".htpasswd") => Some(Class::Htpasswd),
        _ => None,
    }
}

/// State and scheme of a password field, before any candidate is tried.
fn field(value: &str, clear_allowed: bool) -> (Password, Option<&'static str>) {
    match value {
        "" => (Password::Empty, None),
        "x" | "##" => (Password::Missing, None),
        _ => match Hash::parse(value) {
            Some(hash) => (Password::Hashed, Some(hash.scheme())),
            // A scheme that is not known is still a one-way hash by its shape.
            None if value.starts_with('$') => (Password::Hashed, scheme_of_unknown(value)),
            None if value.starts_with('{') => (Password::Hashed, None),
            None if clear_allowed && !value.starts_with(['*', '!']) => {
                (Password::Recoverable, Some("plain"))
            }
            // No character outside the alphabet of crypt ever matches: this is how accounts are locked.
            None => (Password::Locked, None),
        },
    }
}

fn scheme_of_unknown(value: &str) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("$gy$", "gost-yescrypt"),
        ("$7$", "scrypt"),
        ("$3$", "nt-hash"),
        ("$md5", "sunmd5"),
        ("$sha1$", "sha1-crypt"),
        ("$argon2", "argon2"),
        ("$pbkdf2", "pbkdf2"),
        ("$9$", "junos-9"),
        ("$1$", "md5-crypt"),
        ("$5$", "sha256-crypt"),
        ("$6$", "sha512-crypt"),
        ("$2", "bcrypt"),
        ("$y$", "yescrypt"),
    ];
    KNOWN.iter().find(|(prefix, _)| value.starts_with(prefix)).map(|(_, name)| *name)
}

/// A record taken from the line, without its password judged, and its password field.
fn split<'a>(class: Class, line: &Line<'a>) -> Option<(Record, &'a str)> {
    let parts: Vec<&str> = line.text.split(':').collect();
    let user = *parts.first()?;
    let well_named = !user.is_empty()
        && user.len() <= 64
        && user.chars().all(|c| c.is_alphanumeric() || "._-$@+".contains(c))
        && !user.starts_with(['+', '-']);
    let text = |i: usize| parts.get(i).map(|p| (*p).to_owned()).filter(|p| !p.is_empty());
    let number = |i: usize| parts.get(i).and_then(|p| p.parse().ok());
    let store = match class {
        Class::Passwd if parts.len() == 7 => "passwd",
        // The BSD layout has ten fields with the same first four.
        Class::Shadow if (2..=10).contains(&parts.len()) => "shadow",
        Class::Htpasswd if (2..=3).contains(&parts.len()) => "htpasswd",
        _ => return None,
    };
    let passwd = class == Class::Passwd;
    let uid = if passwd { number(2) } else { None };
    if !well_named || (passwd && uid.is_none()) {
        return None;
    }
    let record = Record {
        user: user.to_owned(),
        uid,
        gid: if passwd { number(3) } else { None },
        home: if passwd { text(5) } else { None },
        shell: if passwd { text(6) } else { None },
        store: store.to_owned(),
        password: Password::Missing,
        scheme: None,
        guessed: None,
        tried: 0,
        range: line.range,
    };
    Some((record, parts.get(1)?))
}

/// First stage: parses a store and tries the public list against its hashes.
pub(crate) fn content(class: Class, bytes: &[u8], notes: &mut Notes) {
    if bytes.len() > 1 << 20 || !text::is_text(bytes) {
        return;
    }
    let content = Digest::of(bytes);
    let text = text::same_length(bytes);
    let records: Vec<_> = text::statements(&text).filter_map(|l| split(class, &l)).collect();
    let share = passwords::share(records.iter().filter(|(_, f)| Hash::parse(f).is_some()).count());
    for (mut record, value) in records {
        let (password, scheme) = field(value, class == Class::Htpasswd);
        let outcome = match (Hash::parse(value), password) {
            (Some(hash), _) => passwords::against_hash(&content, &record.user, &hash, share),
            (None, Password::Recoverable) => {
                passwords::against_plain(&content, &record.user, value)
            }
            _ => Outcome::default(),
        };
        record.password = password;
        record.scheme = scheme.map(str::to_owned);
        record.guessed = outcome.guessed;
        record.tried = outcome.tried;
        notes.accounts.push(record);
    }
}

/// Folders whose stores are examples or sources of packages, which no login reads.
fn is_template(path: &str) -> bool {
    const FOLDERS: &[&str] =
        &["usr/share", "usr/lib", "usr/local/share", "usr/doc", "var/lib/dpkg", "var/backups"];
    FOLDERS.iter().any(|f| path.strip_prefix(f).is_some_and(|r| r.starts_with('/')))
        || path.split('/').any(|p| {
            matches!(p, "examples" | "example" | "test" | "tests" | "testdata" | "templates")
        })
}

/// Shells that end the session at once.
fn refuses(shell: &str) -> bool {
    matches!(
        shell.rsplit('/').next().unwrap_or(shell),
        "nologin" | "false" | "true" | "sync" | "shutdown" | "halt" | "poweroff" | "reboot"
    )
}

fn login(root: &Root<'_>, shell: Option<&str>, password: Password, network_store: bool) -> Tri {
    if password == Password::Locked {
        return Tri::No;
    }
    if network_store {
        return Tri::Unknown("whether a server asks this store was not established".to_owned());
    }
    // passwd(5): an empty shell field means /bin/sh.
    let shell = shell.unwrap_or("/bin/sh");
    if refuses(shell) {
        return Tri::No;
    }
    if root.get(shell).is_none() {
        return match root.dangling(shell) {
            Some(target) => {
                Tri::Unknown(format!("{shell} leads to {target}, which is made at run time"))
            }
            None => Tri::No,
        };
    }
    if password == Password::Missing {
        return Tri::Unknown("the password is kept in a store that is not in the image".to_owned());
    }
    Tri::Yes
}

/// Lines of start-up scripts that may set a password, with the script's path.
fn setters<'a>(root: &'a Root<'_>) -> Vec<(&'a str, &'a str)> {
    let mut out = Vec::new();
    for (path, file) in root.files().filter(|(p, _)| is_start_up(p)) {
        let Some(text) = file.text() else { continue };
        let lines = text::statements(text).map(|l| l.text.trim());
        out.extend(
            lines
                .filter(|l| l.contains("passwd") || l.contains("shadow") || l.contains("usermod"))
                .map(|l| (path, l)),
        );
    }
    out
}

/// Whether a script at `path` is run at start-up, by where it lies.
pub(crate) fn is_start_up(path: &str) -> bool {
    const FOLDERS: &[&str] = &[
        "init.d",
        "rc.d",
        "uci-defaults",
        "preinit",
        "rcS.d",
        "rc",
        "firstboot",
        "rc2.d",
        "rc3.d",
    ];
    const NAMES: &[&str] = &["rcS", "rc.local", "rc.sysinit", "firstboot", "rc.common", "profile"];
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or(path);
    NAMES.contains(&name) || parts.next().is_some_and(|folder| FOLDERS.contains(&folder))
}

fn sets_password(line: &str, user: &str) -> bool {
    let words = text::words(line);
    let program = |w: &str| w.rsplit('/').next().unwrap_or(w).to_owned();
    let has =
        |name: &str| words.iter().any(|w| program(w.trim_start_matches(['|', ';', '('])) == name);
    let names_user = words.iter().any(|w| {
        w == user || w.strip_prefix(user).is_some_and(|r| r.starts_with(':')) || w.starts_with("$")
    });
    let changes_store = line.contains("/etc/shadow") || line.contains("/etc/passwd");
    (has("chpasswd") && (names_user || !line.contains(':')))
        || (has("passwd") && names_user && !line.contains("/etc/passwd"))
        || (has("usermod") && line.contains("-p") && names_user)
        || (changes_store && has("sed") && line.contains("-i") && line.contains(user))
        || (changes_store && line.contains("echo") && line.contains('>') && line.contains(user))
}

/// Second stage: joins the stores of each root.
pub(crate) fn image(roots: &[Root<'_>], out: &mut Vec<Observation>) {
    for root in roots {
        let setters = setters(root);
        let shadow = root.get("etc/shadow").and_then(|f| Some((f, f.notes()?)));
        let live = root.get("etc/passwd").map(|f| f.id);
        for (path, file) in root.files() {
            let Some(notes) = file.notes() else { continue };
            for record in &notes.accounts {
                let joined = shadow.and_then(|(f, n)| {
                    Some((f, n.accounts.iter().find(|s| s.user == record.user)?))
                });
                let of_shadow = shadow.is_some_and(|(f, _)| f.id == file.id);
                let named =
                    live.and_then(|l| root.file(l)).is_some_and(|l| l.has_user(&record.user));
                // A shadow record is told with its passwd record, if there is one.
                if !(of_shadow && named) {
                    let joined = joined.filter(|_| Some(file.id) == live);
                    out.push(account(root, &file, record, joined, is_template(path), &setters));
                }
            }
        }
    }
}

/// The fact for `record` of `file`, with the record of the shadow file that belongs to it.
fn account(
    root: &Root<'_>,
    file: &File<'_>,
    record: &Record,
    shadow: Option<(File<'_>, &Record)>,
    template: bool,
    setters: &[(&str, &str)],
) -> Observation {
    // An `x` in passwd hands over to shadow; anything else in passwd counts itself.
    let shadow = shadow.filter(|_| record.password == Password::Missing);
    let secret = shadow.map_or(record, |(_, s)| s);
    let live = matches!(record.store.as_str(), "passwd" | "shadow");
    let shell = record.shell.clone();
    let fact = Account {
        user: record.user.clone(),
        uid: record.uid,
        gid: record.gid,
        home: record.home.clone(),
        superuser: record.uid == Some(0) || (record.store != "passwd" && record.user == "root"),
        login: if record.store == "shadow" {
            Tri::Unknown("no passwd line of this root belongs to it".to_owned())
        } else {
            login(root, shell.as_deref(), secret.password, !live)
        },
        shell,
        store: record.store.clone(),
        password: secret.password,
        scheme: secret.scheme.clone(),
        guessed: secret.guessed.clone(),
        candidates_tried: secret.tried,
        replaced_at_first_boot: setters
            .iter()
            .find(|(_, line)| live && !template && sets_password(line, &record.user))
            .map(|(path, line)| format!("{path}: {}", line.chars().take(120).collect::<String>())),
        template,
    };
    // Whoever looks at one place should see the secret.
    let own = file.evidence(record.range);
    let evidence = match shadow {
        None => own,
        Some((f, s)) => {
            Evidence::with(f.evidence(s.range).first().clone(), own.places().iter().cloned())
        }
    };
    Observation {
        fact: Fact::Account(fact),
        evidence,
        inspector: REVISION.0.to_owned(),
        revision: REVISION.1,
        strength: Strength::Observed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    fn mkpasswd(method: &str, word: &str) -> String {
        let out = std::process::Command::new("mkpasswd")
            .args(["-m", method, word])
            .output()
            .expect("mkpasswd is missing; install the package whois");
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    }

    fn accounts(tree: &Tree) -> Vec<Account> {
        let mut all = tree.facts(|f| match f {
            Fact::Account(a) => Some(a),
            _ => None,
        });
        all.sort_by(|a, b| (&a.store, &a.user).cmp(&(&b.store, &b.user)));
        all
    }

    fn base() -> Tree {
        Tree::new().file("bin/busybox", "x").link("bin/sh", "busybox")
    }

    #[test]
    fn passwd_is_joined_with_shadow() {
        let hash = mkpasswd("md5crypt", "admin");
        let other = mkpasswd("sha512crypt", "Kx8#pq-unlisted");
        let tree = base()
            .file(
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\n# comment\nop:x:100:100::/home/op:/bin/sh\n\
                 daemon:*:1:1:daemon:/var:/bin/false\nopen::5:5::/:/bin/sh\nweb:x:33:33::/:/bin/missing\n",
            )
            .file(
                "etc/shadow",
                format!("root:{hash}:0:0:99999:7:::\nop:{other}:0:0:99999:7:::\nweb:!:0::::::\nghost:{hash}:0::::::\n"),
            );
        let all = accounts(&tree);
        let by = |u: &str| all.iter().find(|a| a.user == u).unwrap();
        assert_eq!(all.len(), 6);
        let root = by("root");
        assert_eq!(root.password, Password::Hashed);
        assert_eq!(root.scheme.as_deref(), Some("md5-crypt"));
        assert_eq!(root.guessed.as_ref().unwrap().list, "defaults@1");
        assert_eq!(root.guessed.as_ref().unwrap().index, 0);
        assert!(root.superuser && root.login == Tri::Yes);
        assert_eq!((by("op").guessed.clone(), by("op").candidates_tried >= 20), (None, true));
        assert_eq!((by("daemon").password, &by("daemon").login), (Password::Locked, &Tri::No));
        assert_eq!((by("open").password, &by("open").login), (Password::Empty, &Tri::Yes));
        assert_eq!((by("web").password, &by("web").login), (Password::Locked, &Tri::No));
        assert!(matches!(by("ghost").login, Tri::Unknown(_)));
        // The first place is the hash, the second the passwd line.
        let places = tree
            .observe()
            .iter()
            .find(|o| matches!(&o.fact, Fact::Account(a) if a.user == "root"))
            .unwrap()
            .evidence
            .places()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        assert_eq!(places.len(), 2);
        assert!(places[0].contains("etc/shadow+0x0.."), "{places:?}");
        assert!(places[1].contains("etc/passwd+0x0.."), "{places:?}");
    }

    #[test]
    fn each_root_is_its_own_world() {
        let hash = mkpasswd("descrypt", "1234");
        let tree = base()
            .file("etc/passwd", "root:x:0:0::/:/bin/sh\n")
            .file("etc/shadow", "root:*:0:0:::::\n")
            .file("jail/etc/passwd", format!("root:{hash}:0:0::/:/bin/sh\n"))
            .folder("jail/bin")
            .file("usr/share/doc/examples/passwd", "root::0:0::/:/bin/sh\n");
        let all = accounts(&tree);
        let seen: Vec<_> = all.iter().map(|a| (a.password, a.template, &a.login)).collect();
        assert!(seen.contains(&(Password::Locked, false, &Tri::No)), "{seen:?}");
        // There is no shell in the jail.
        assert!(seen.contains(&(Password::Hashed, false, &Tri::No)), "{seen:?}");
        assert_eq!(seen.iter().filter(|s| s.1).count(), 1, "{seen:?}");
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn a_replacement_at_first_boot_is_seen() {
        let tree = base().file("etc/passwd", "root::0:0::/:/bin/sh\nadmin::0:0::/:/bin/sh\n").file(
            "etc/init.d/S10pw",
            "#!/bin/sh\n# passwd root\necho \"root:$(cat /sys/serial)\" | chpasswd\n",
        );
        let all = accounts(&tree);
        let root = all.iter().find(|a| a.user == "root").unwrap();
        assert!(
            root.replaced_at_first_boot.as_ref().unwrap().starts_with("etc/init.d/S10pw: echo")
        );
        let admin = all.iter().find(|a| a.user == "admin").unwrap();
        assert_eq!(admin.replaced_at_first_boot, None);
    }

    #[test]
    fn htpasswd_with_all_its_schemes() {
        let tree = base().file("etc/passwd", "").file(
            "etc/lighttpd.user",
            "admin:admin\nroot:$apr1$8zb.GgOR$1Uuk3jtjGKWmK/WWZGq9Z1\nx:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n",
        );
        let all = accounts(&tree);
        let by = |u: &str| all.iter().find(|a| a.user == u && a.store == "htpasswd").unwrap();
        assert_eq!(
            (by("admin").password, by("admin").guessed.is_some()),
            (Password::Recoverable, true)
        );
        assert_eq!(by("root").scheme.as_deref(), Some("apr1"));
        assert_eq!(by("x").guessed.as_ref().unwrap().list, "defaults@1");
    }

    #[test]
    fn not_a_store() {
        let tree = base()
            .file("etc/passwd", b"\x7fELF\x00\x01")
            .file("usr/bin/passwd", "#!/bin/sh\nexec busybox passwd: a:b:c:d\n");
        assert!(accounts(&tree).is_empty());
    }
}
