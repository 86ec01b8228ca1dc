//! The start-up graph: what an image's own init starts, through which files, and
//! what would listen.
//!
//! Establishes: the init program and its kind; every service that start-up
//! scripts, inittab, systemd units or an internet super-server start or could
//! start; whether it runs in the delivered state (*unknown* with the condition in
//! words where a script decides at run time); which programs and libraries are
//! thereby started, and which of them face the network.
//!
//! How: from init on, files are followed the way init follows them: inittab
//! lines, `rcS` and `rcN.d` links in order, scripts that call scripts, sourced
//! files with their constants, `procd` instances, unit dependencies from
//! `default.target`. Tests that the image itself answers (`[ -x FILE ]`,
//! comparisons of constants) are answered.
//!
//! False positives: a program started by hand only, from a function that nothing
//! calls, counts as started.
//!
//! False negatives: programs started by other programs; commands put together at
//! run time; vendors' own service managers.
//!
//! Limits: shell is read shallowly (see [`shell`]). A kernel command line with
//! `init=` is not followed.
//!
//! Sources: init(8), inittab(5) of sysvinit; BusyBox `init/init.c`; OpenWrt
//! "Init scripts" and procd's `rc.common`; systemd.unit(5), systemd.exec(5),
//! bootup(7); inetd(8), xinetd.conf(5).

mod follow;
mod inittab;
pub mod known;
pub mod shell;
mod systemd;

use std::collections::{BTreeMap, BTreeSet};

use proofmark_model::{
    Evidence, Fact, Observation, Strength, Tri,
    fact::{ScheduledJob, Service, Trait},
};

use crate::root::{File, Root};

/// Id and revision.
pub const REVISION: (&str, u32) = ("startup", 1);

/// A service with its places.
#[derive(Debug, Clone)]
pub struct Found {
    /// The fact.
    pub service: Service,
    /// Where it is started.
    pub evidence: Evidence,
}

/// What start-up does in one root.
#[derive(Debug, Default)]
pub struct Startup {
    /// Kind of init: `busybox`, `sysv`, `procd`, `systemd`, `script`, or empty where none was found.
    pub kind: String,
    /// Services, in the order found.
    pub services: Vec<Found>,
    /// Jobs of timers.
    pub jobs: Vec<(ScheduledJob, Evidence)>,
    /// Real paths of everything that is run or loaded: whether it is, and by an exposed service.
    reached: BTreeMap<String, (Tri, Serves)>,
    /// Scripts that were read, with the file.
    pub scripts: BTreeMap<String, Tri>,
    /// What could not be followed.
    gaps: BTreeSet<String>,
    init: Option<Evidence>,
}

/// The stronger of two statements that something is started.
fn stronger(a: Tri, b: Tri) -> Tri {
    match (&a, &b) {
        (Tri::Yes, _) | (_, Tri::No | Tri::NotApplicable(_)) => a,
        _ => b,
    }
}

impl Startup {
    /// Whether the program or library at the real path `path` is started.
    #[must_use]
    pub fn started(&self, path: &str) -> Tri {
        match self.reached.get(path) {
            Some((t, _)) => t.clone(),
            None if self.kind.is_empty() => Tri::Unknown("no init program was found".to_owned()),
            None => Tri::No,
        }
    }

    /// Whether it serves the network, itself or as a library.
    #[must_use]
    pub fn network_facing(&self, path: &str) -> Tri {
        match self.reached.get(path) {
            Some((t, Serves::Yes)) => t.clone(),
            Some((t, Serves::Perhaps)) if *t != Tri::No => Tri::Unknown(
                "it accepts connections; whether from the network or only on the device is not visible"
                    .to_owned(),
            ),
            None if self.kind.is_empty() => Tri::Unknown("no init program was found".to_owned()),
            _ => Tri::No,
        }
    }

    /// Whether any service whose program is called one of `names` runs.
    #[must_use]
    pub fn runs(&self, names: &[&str]) -> Tri {
        let of = |f: &&Found| {
            let program = f.service.command.split_whitespace().next().unwrap_or("");
            let program = program.trim_start_matches('-').rsplit('/').next().unwrap_or("");
            names.contains(&program) || names.contains(&f.service.name.as_str())
        };
        let best = self.services.iter().filter(of).map(|f| f.service.at_boot.clone());
        best.reduce(stronger).unwrap_or_else(|| match self.kind.as_str() {
            "" => Tri::Unknown("no init program was found".to_owned()),
            _ => Tri::No,
        })
    }

    fn reach(&mut self, path: String, at: Tri, serves: Serves) {
        let seen = self.reached.entry(path).or_insert((Tri::No, Serves::No));
        seen.0 = stronger(seen.0.clone(), at);
        seen.1 = seen.1.max(serves);
    }
}

/// Whether a program serves the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Serves {
    /// Nothing says so.
    No,
    /// It accepts connections, perhaps only from the device itself.
    Perhaps,
    /// It is known to, or configured to.
    Yes,
}

impl Serves {
    /// `yes`, or nothing.
    fn when(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    /// By what is known of the program, and else by the calls it makes.
    fn of(known: Option<&known::Known>, accepts: bool) -> Self {
        match known {
            Some(k) => Self::when(!k.protocol.is_empty()),
            None if accepts => Self::Perhaps,
            None => Self::No,
        }
    }
}

/// Reads the start-up of a root.
#[must_use]
pub fn read(root: &Root<'_>) -> Startup {
    let mut out = Startup::default();
    let units = systemd::is_there(root);
    let init = ["sbin/init", "init", "etc/init", "bin/init", "linuxrc", "etc/preinit"]
        .iter()
        .find_map(|p| root.locate(p).map(|(real, file)| (*p, real, file)));
    let Some((asked, real, file)) = init else { return out };
    out.init = Some(file.whole());
    let name = real.rsplit('/').next().unwrap_or(&real).to_owned();
    let procd = root.get("sbin/procd").is_some() || root.get("etc/rc.common").is_some();
    let has_inittab = root.get("etc/inittab").is_some();
    out.reach(real.clone(), Tri::Yes, Serves::No);
    let chain = vec![asked.to_owned()];
    let mut follow = follow::Follow::new(root, &mut out);
    if name.starts_with("systemd") || (units && !has_inittab && file.text().is_none()) {
        follow.out.kind = "systemd".to_owned();
        systemd::follow(&mut follow);
    } else if procd {
        follow.out.kind = "procd".to_owned();
        if let Some((_, text)) = root.text("etc/preinit") {
            let _ = text;
            follow.script("etc/preinit", &Tri::Yes, &chain, "procd", 0);
        }
        inittab::follow(&mut follow, inittab::Dialect::Procd, &chain);
        follow.procd_links();
    } else if file.text().is_some() {
        follow.out.kind = "script".to_owned();
        follow.script(asked, &Tri::Yes, &[], "rc", 0);
        // Many first scripts end by handing over to the real init.
        if has_inittab || root.get("sbin/init").is_some_and(|f| f.text().is_none()) {
            inittab::follow(&mut follow, inittab::Dialect::BusyBox, &chain);
        }
    } else {
        let sysv = has_inittab
            && !name.starts_with("busybox")
            && root.text("etc/inittab").is_some_and(|(_, t)| t.contains(":initdefault:"));
        let (kind, dialect) = if sysv {
            ("sysv", inittab::Dialect::SysV)
        } else {
            ("busybox", inittab::Dialect::BusyBox)
        };
        follow.out.kind = kind.to_owned();
        inittab::follow(&mut follow, dialect, &chain);
    }
    follow.not_enabled();
    libraries(root, &mut out);
    out
}

/// Everything that started programs need is loaded with them.
fn libraries(root: &Root<'_>, out: &mut Startup) {
    let mut by_name: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (path, _) in root.entries().filter(|(p, _)| p.contains(".so")) {
        if let Some(real) = root.real(path) {
            by_name.entry(path.rsplit('/').next().unwrap_or(path)).or_default().push(real);
        }
    }
    let mut todo: Vec<(String, Tri, Serves)> =
        out.reached.iter().map(|(p, (t, n))| (p.clone(), t.clone(), *n)).collect();
    // Each path is raised at most a few times: from unknown to yes, and to facing the network.
    while let Some((path, at, network)) = todo.pop() {
        let Some(program) = root.entry(&path).and_then(|f| f.notes()?.program.as_deref()) else {
            continue;
        };
        let e = &program.executable;
        let interpreter = e.interpreter.as_deref().and_then(|i| i.rsplit('/').next());
        for name in e.needed.iter().map(String::as_str).chain(interpreter) {
            for real in by_name.get(name).into_iter().flatten() {
                let before = out.reached.get(real).cloned();
                out.reach(real.clone(), at.clone(), network);
                if out.reached.get(real) != before.as_ref() {
                    todo.push((real.clone(), at.clone(), network));
                }
            }
        }
    }
}

/// Second stage: facts of all start-ups.
pub(crate) fn image(roots: &[Root<'_>], startups: &[Startup], out: &mut Vec<Observation>) {
    let mut push = |fact, evidence: &Evidence, strength| {
        out.push(Observation {
            fact,
            evidence: evidence.clone(),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength,
        });
    };
    for (root, startup) in roots.iter().zip(startups) {
        for found in &startup.services {
            push(Fact::Service(found.service.clone()), &found.evidence, Strength::Inferred);
        }
        for (job, evidence) in &startup.jobs {
            push(Fact::ScheduledJob(job.clone()), evidence, Strength::Observed);
        }
        let Some(init) = &startup.init else { continue };
        let _ = root;
        let complete = match startup.gaps.len() {
            0 => Tri::Yes,
            n => {
                let some: Vec<&str> = startup.gaps.iter().take(3).map(String::as_str).collect();
                Tri::Unknown(format!("{n} could not be followed: {}", some.join("; ")))
            }
        };
        let value = startup.kind.clone();
        push(
            Fact::Trait(Trait { name: "start-up-graph".to_owned(), value, complete }),
            init,
            Strength::Inferred,
        );
    }
}

/// Evidence for a line of a file.
fn at(file: &File<'_>, range: crate::notes::Range) -> Evidence {
    file.evidence(range)
}

#[cfg(test)]
mod tests;
