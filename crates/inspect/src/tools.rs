//! Files that serve development or diagnosis, and what a build left behind.
//!
//! Establishes: debuggers, packet capture, compilers, interpreters, network test
//! tools, core dumps, version-control data, editor backups, object files and
//! other leftovers; whether start-up runs them and whether a web server's folder
//! holds them.
//!
//! How: by name for programs, which must be programs or links to one; by their
//! header for core dumps and objects.
//!
//! False positives: a program of another purpose that has a tool's name.
//!
//! False negatives: renamed tools; applets of a multi-call program without a link.
//!
//! Sources: the upstream programs' own names.

use proofmark_model::{Fact, Observation, Strength, Tri, fact::Tool};

use crate::{
    root::{File, Root},
    startup::Startup,
};

/// Id and revision.
pub const REVISION: (&str, u32) = ("tools", 1);

fn category_of_program(name: &str) -> Option<&'static str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    Some(match stem {
        "gdb" | "gdbserver" | "strace" | "ltrace" | "valgrind" | "perf" | "lldb"
        | "lldb-server" | "adbd" | "devmem" | "memtool" | "ftrace" | "trace-cmd" | "mtd_debug"
        | "io" | "i2cset" | "kgdb" => "debugger",
        "tcpdump" | "tshark" | "dumpcap" | "ngrep" | "ettercap" | "wireshark" => "packet-capture",
        "gcc" | "cc" | "g++" | "c++" | "tcc" | "clang" | "as" | "ld" | "make" | "go" | "rustc" => {
            "compiler"
        }
        "python" | "perl" | "lua" | "luajit" | "php" | "php-cgi" | "php-cli" | "ruby" | "tclsh"
        | "node" | "micropython" | "expect" => "interpreter",
        "nc" | "ncat" | "netcat" | "nmap" | "iperf" | "socat" | "hping" | "telnet" | "wget"
        | "curl" | "tftp" | "ftpget" | "ftpput" => "network-test",
        _ => return None,
    })
}

fn category_of_file(path: &str, file: &File<'_>) -> Option<(&'static str, String)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let part = |n: &str| path.split('/').any(|p| p == n);
    let vcs = [".git", ".svn", ".hg", "CVS", ".bzr"].into_iter().find(|v| part(v));
    if let Some(vcs) = vcs {
        // One file of a repository stands for all of it.
        let main = ["HEAD", "entries", "wc.db", "Entries", "requires", "branch-format"]
            .contains(&name)
            && path.split('/').rev().nth(1) == Some(vcs);
        return main.then(|| ("version-control", vcs.to_owned()));
    }
    if file.notes().is_some_and(|n| n.core_dump) {
        return Some(("core-dump", name.to_owned()));
    }
    let kind = file.notes().and_then(|n| n.program.as_ref()).map(|p| p.executable.kind.as_str());
    if kind == Some("object") {
        return Some(("build-leftover", name.to_owned()));
    }
    let leftover = [
        ".gitignore",
        ".gitkeep",
        ".svnignore",
        "Makefile",
        "Makefile.am",
        "CMakeLists.txt",
        "Kconfig",
        ".DS_Store",
        "Thumbs.db",
        "configure.ac",
        "config.log",
    ]
    .contains(&name)
        || [".orig", ".rej", ".swp", "~", ".c", ".cpp", ".h", ".o", ".la", ".map.tmp"]
            .iter()
            .any(|e| name.ends_with(e) && name.len() > e.len());
    // Headers and sources that a language's own library ships are not leftovers of the product's build.
    let library =
        path.contains("/include/") || path.contains("node_modules") || path.contains("/python");
    if leftover && !library {
        return Some(("build-leftover", name.to_owned()));
    }
    let sample =
        path.split('/').any(|p| matches!(p, "examples" | "example" | "samples" | "demo" | "demos"))
            || matches!(name, "phpinfo.php" | "test.cgi" | "printenv.pl" | "test.php");
    sample.then(|| ("example", name.to_owned()))
}

/// Second stage. `served` are folders that web servers of the root serve.
pub(crate) fn image(
    root: &Root<'_>,
    startup: &Startup,
    served: &[String],
    out: &mut Vec<Observation>,
) {
    for (path, entry) in root.entries() {
        let folder = path.split('/').rev().skip(1).any(|p| matches!(p, "bin" | "sbin" | "libexec"));
        let name = path.rsplit('/').next().unwrap_or(path);
        let program = if folder { category_of_program(name) } else { None };
        let located = program.and_then(|_| root.locate(path));
        let found = match (program, &located) {
            (Some(category), Some((_, target))) if target.artifact.size > 0 => {
                Some((category, name.to_owned()))
            }
            _ if matches!(entry.artifact.entry, proofmark_model::EntryKind::File) => {
                category_of_file(path, &entry)
            }
            _ => None,
        };
        let Some((category, name)) = found else { continue };
        let real = located.map_or_else(|| path.to_owned(), |(real, _)| real);
        let multi = real.ends_with("busybox") || real.ends_with("toybox");
        let started = if multi { startup.runs(&[&name]) } else { startup.started(&real) };
        let fact = Tool {
            name,
            category: category.to_owned(),
            path: path.to_owned(),
            started,
            served: if served.iter().any(|s| path.starts_with(&format!("{s}/"))) {
                Tri::Yes
            } else {
                Tri::No
            },
        };
        out.push(Observation {
            fact: Fact::Tool(fact),
            evidence: entry.whole(),
            inspector: REVISION.0.to_owned(),
            revision: REVISION.1,
            strength: Strength::Observed,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Tree;

    #[test]
    fn tools_and_leftovers() {
        let tree = Tree::new()
            .file("etc/passwd", "")
            .file("bin/busybox", "x")
            .link("usr/bin/nc", "../../bin/busybox")
            .link("usr/bin/telnet", "gone")
            .file("usr/bin/gdbserver", "x")
            .file("usr/bin/python3.11", "x")
            .file("www/.git/HEAD", "ref")
            .file("www/.git/objects/ab", "x")
            .file("www/index.html~", "x")
            .file("usr/lib/x.o.txt", "x")
            .file("etc/gdb", "x");
        let mut all = tree.facts(|f| match f {
            Fact::Tool(t) => Some((t.path, t.category)),
            _ => None,
        });
        all.sort();
        let all: Vec<_> = all.iter().map(|(p, c)| (p.as_str(), c.as_str())).collect();
        assert_eq!(
            all,
            [
                ("usr/bin/gdbserver", "debugger"),
                ("usr/bin/nc", "network-test"),
                ("usr/bin/python3.11", "interpreter"),
                ("www/.git/HEAD", "version-control"),
                ("www/index.html~", "build-leftover"),
            ]
        );
    }
}
