use proofmark_model::{Fact, Tri, fact::Service};

use crate::testing::Tree;

fn services(tree: &Tree) -> Vec<Service> {
    tree.facts(|f| match f {
        Fact::Service(s) => Some(s),
        _ => None,
    })
}

fn by<'s>(all: &'s [Service], name: &str) -> &'s Service {
    all.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("no {name} in {all:#?}"))
}

/// A root with BusyBox and links to some of its applets.
fn busybox() -> Tree {
    Tree::new()
        .file("bin/busybox", "\u{7f}x")
        .link("bin/sh", "busybox")
        .link("sbin/init", "../bin/busybox")
        .link("usr/sbin/telnetd", "../../bin/busybox")
        .link("usr/sbin/httpd", "../../bin/busybox")
        .link("sbin/getty", "../bin/busybox")
        .file("etc/passwd", "")
}

#[test]
fn busybox_init_with_inittab_and_rcs() {
    let tree = busybox()
        .file("etc/inittab", "::sysinit:/etc/init.d/rcS\nttyS0::askfirst:-/bin/sh\ntty1::respawn:/sbin/getty 38400 tty1\n::respawn:/usr/sbin/telnetd -F -l /bin/sh -p 2323\n")
        .file("etc/init.d/rcS", "#!/bin/sh\nfor i in /etc/init.d/S??* ;do\n  $i start\ndone\n")
        .file("etc/init.d/S50web", "#!/bin/sh\ncase \"$1\" in\n start)\n  [ -x /usr/sbin/httpd ] && httpd -h /www -p 8080\n ;;\n stop) killall httpd;;\nesac\n")
        .file("etc/init.d/K10x", "#!/bin/sh\n/usr/sbin/telnetd\n");
    let all = services(&tree);
    let telnet = all.iter().find(|s| s.protocol == "telnet" && s.at_boot == Tri::Yes).unwrap();
    assert_eq!(
        (telnet.listens[0].port, telnet.listens[0].known_from.as_str()),
        (Some(2323), "configured")
    );
    assert_eq!(telnet.authentication, Tri::No);
    assert_eq!(telnet.program.as_deref(), Some("/bin/busybox"));
    let web = by(&all, "httpd");
    assert_eq!(
        (&web.at_boot, web.listens[0].port, web.protocol.as_str()),
        (&Tri::Yes, Some(8080), "http")
    );
    assert_eq!(
        web.started_through,
        ["sbin/init", "etc/inittab", "etc/init.d/rcS", "etc/init.d/S50web"]
    );
    let shell = by(&all, "console-ttyS0");
    assert_eq!((&shell.authentication, shell.listens[0].transport.as_str()), (&Tri::No, "serial"));
    assert_eq!(by(&all, "console-tty1").authentication, Tri::Yes);
    // Installed, but nothing runs it.
    assert!(all.iter().any(|s| s.protocol == "telnet" && s.at_boot == Tri::No));
    let graph = tree.facts(|f| match f {
        Fact::Trait(t) if t.name == "start-up-graph" => Some((t.value, t.complete)),
        _ => None,
    });
    assert_eq!(graph, [("busybox".to_owned(), Tri::Yes)]);
}

#[test]
fn without_an_inittab_busybox_asks_on_the_console() {
    let all = services(&busybox().file("etc/init.d/rcS", "#!/bin/sh\ntelnetd\n"));
    assert_eq!(by(&all, "telnetd").at_boot, Tri::Yes);
    assert_eq!(by(&all, "console-console").authentication, Tri::No);
}

#[test]
fn conditions_make_it_unknown_or_answer_it() {
    let tree = busybox()
        .file("etc/inittab", "::sysinit:/etc/init.d/rcS\n")
        .file("etc/init.d/rcS", "#!/bin/sh\nENABLE=no\nif [ \"$ENABLE\" = yes ]; then\n  telnetd -p 1\nfi\nif [ -f /tmp/on ]; then telnetd -p 2; fi\nif [ -x /usr/sbin/httpd ]; then httpd; fi\n[ -x /usr/sbin/missing ] || exit 0\ntelnetd -p 3\n");
    let all = services(&tree);
    let port = |p: u16| {
        &all.iter().find(|s| s.listens.first().is_some_and(|l| l.port == Some(p))).unwrap().at_boot
    };
    assert_eq!(port(1), &Tri::No);
    assert_eq!(port(2), &Tri::Unknown("started only if `[ -f /tmp/on ]`".to_owned()));
    assert_eq!(port(80), &Tri::Yes);
    assert_eq!(port(3), &Tri::No);
}

#[test]
fn procd_starts_what_rc_d_links_to() {
    let script = "#!/bin/sh /etc/rc.common\nSTART=50\nUSE_PROCD=1\nPROG=/usr/sbin/dropbear\nstart_service()\n{\n\tprocd_open_instance\n\tprocd_set_param command \"$PROG\" -F -p 22\n\tprocd_append_param command -s\n\tprocd_set_param user nobody\n\tprocd_close_instance\n}\n";
    let tree = Tree::new()
        .file("sbin/init", "\u{7f}x")
        .file("sbin/procd", "\u{7f}x")
        .file("usr/sbin/dropbear", "\u{7f}x")
        .file("usr/sbin/uhttpd", "\u{7f}x")
        .file("etc/rc.common", "#!/bin/sh\n. $IPKG_INSTROOT/lib/functions.sh\n")
        .file("etc/passwd", "")
        .file(
            "etc/inittab",
            "::sysinit:/etc/init.d/rcS S boot\n::askconsole:/usr/libexec/login.sh\n",
        )
        .file("etc/init.d/dropbear", script)
        .file("etc/init.d/uhttpd", script.replace("dropbear", "uhttpd"))
        .file("etc/init.d/telnet", "#!/bin/sh /etc/rc.common\nSTART=50\nstart() {\n telnetd\n}\n")
        .link("etc/rc.d/S19dropbear", "../init.d/dropbear")
        .link("etc/rc.d/S50uhttpd", "../init.d/uhttpd")
        .file("etc/config/uhttpd", "config uhttpd main\n\toption enabled '0'\n");
    let all = services(&tree);
    let ssh = by(&all, "dropbear");
    assert_eq!(
        (&ssh.at_boot, ssh.starter.as_str(), ssh.user.as_deref()),
        (&Tri::Yes, "procd", Some("nobody"))
    );
    assert_eq!(ssh.command, "/usr/sbin/dropbear -F -p 22 -s");
    assert_eq!(by(&all, "uhttpd").at_boot, Tri::No);
    assert_eq!(
        (&by(&all, "telnet").at_boot, by(&all, "telnet").protocol.as_str()),
        (&Tri::No, "telnet")
    );
    let settings = tree.facts(|f| match f {
        Fact::Setting(s) if s.subject == "dropbear" => Some((s.key, s.value)),
        _ => None,
    });
    assert!(settings.contains(&("PasswordAuth".to_owned(), "off".to_owned())), "{settings:?}");
}

#[test]
fn systemd_enabled_masked_socket_and_timer() {
    let tree = Tree::new()
        .link("sbin/init", "../lib/systemd/systemd")
        .file("lib/systemd/systemd", "\u{7f}x")
        .file("usr/sbin/sshd", "\u{7f}x")
        .file("usr/bin/app", "\u{7f}x")
        .file("etc/passwd", "")
        .link("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
        .file("lib/systemd/system/multi-user.target", "[Unit]\nRequires=basic.target\n")
        .file(
            "lib/systemd/system/ssh.service",
            "[Service]\nExecStart=/usr/sbin/sshd -D\nNoNewPrivileges=yes\n",
        )
        .link(
            "etc/systemd/system/multi-user.target.wants/ssh.service",
            "/lib/systemd/system/ssh.service",
        )
        .file("lib/systemd/system/app.socket", "[Socket]\nListenStream=127.0.0.1:9000\n")
        .file(
            "lib/systemd/system/app.service",
            "[Service]\nUser=app\nExecStart=-/usr/bin/app \\\n  --run\n",
        )
        .link(
            "etc/systemd/system/sockets.target.wants/app.socket",
            "/lib/systemd/system/app.socket",
        )
        .file("lib/systemd/system/basic.target", "[Unit]\nWants=sockets.target\n")
        .file("lib/systemd/system/sockets.target", "")
        .file("lib/systemd/system/telnet.socket", "[Socket]\nListenStream=23\nAccept=yes\n")
        .file("lib/systemd/system/telnet@.service", "[Service]\nExecStart=/usr/sbin/in.telnetd\n")
        .link("etc/systemd/system/telnet.socket", "/dev/null")
        .file("lib/systemd/system/job.timer", "[Timer]\nOnCalendar=daily\n")
        .file("lib/systemd/system/job.service", "[Service]\nExecStart=/usr/bin/app job\n")
        .link(
            "etc/systemd/system/multi-user.target.wants/job.timer",
            "/lib/systemd/system/job.timer",
        );
    let all = services(&tree);
    let ssh = by(&all, "ssh.service");
    assert_eq!(
        (&ssh.at_boot, ssh.listens[0].port, ssh.confinement["NoNewPrivileges"].as_str()),
        (&Tri::Yes, Some(22), "yes")
    );
    let app = by(&all, "app.socket");
    assert_eq!(
        (&app.at_boot, app.listens[0].port, app.listens[0].address.as_str(), app.user.as_deref()),
        (&Tri::Yes, Some(9000), "127.0.0.1", Some("app"))
    );
    assert!(!all.iter().any(|s| s.protocol == "telnet"), "a masked unit is told");
    assert_eq!(by(&all, "app.service").at_boot, Tri::No);
    let jobs = tree.facts(|f| match f {
        Fact::ScheduledJob(j) => Some(j.when),
        _ => None,
    });
    assert_eq!(jobs, ["OnCalendar=daily"]);
}

#[test]
fn sysv_runs_the_links_of_its_level_and_inetd_its_services() {
    let tree = Tree::new()
        .file("sbin/init", "\u{7f}x")
        .folder("bin")
        .file("usr/sbin/inetd", "\u{7f}x")
        .file("usr/sbin/in.telnetd", "\u{7f}x")
        .file("usr/sbin/snmpd", "\u{7f}x")
        .file("etc/passwd", "")
        .file("etc/inittab", "id:3:initdefault:\nsi::sysinit:/etc/init.d/rcS\nl3:3:wait:/etc/init.d/rc 3\nl5:5:wait:/etc/init.d/rc 5\nS0:12345:respawn:/sbin/getty -L ttyS0 115200\n")
        .file("etc/init.d/rc", "#!/bin/sh\nfor i in /etc/rc$1.d/S*; do $i start; done\n")
        .file("etc/init.d/inetd", "#!/bin/sh\ncase \"$1\" in start) start-stop-daemon --start --quiet --exec /usr/sbin/inetd ;; esac\n")
        .file("etc/init.d/snmpd", "#!/bin/sh\nsnmpd -c /etc/snmp.conf\n")
        .link("etc/rc3.d/S20inetd", "../init.d/inetd")
        .link("etc/rc4.d/S20snmpd", "../init.d/snmpd")
        .file("etc/inetd.conf", "#ftp stream tcp nowait root /x y\ntelnet stream tcp nowait root /usr/sbin/in.telnetd in.telnetd\n");
    let all = services(&tree);
    let telnet = by(&all, "telnet");
    assert_eq!(
        (&telnet.at_boot, telnet.starter.as_str(), telnet.listens[0].port),
        (&Tri::Yes, "inetd", Some(23))
    );
    assert_eq!(by(&all, "snmpd").at_boot, Tri::No);
    assert!(!all.iter().any(|s| s.name == "ftp"));
    assert_eq!(by(&all, "console-ttyS0").authentication, Tri::Yes);
}

#[test]
fn scripts_that_call_each_other_end() {
    let tree = busybox()
        .file("etc/inittab", "::sysinit:/etc/a\n")
        .file("etc/a", "#!/bin/sh\n. /etc/b\n/etc/a\n")
        .file("etc/b", "#!/bin/sh\n/etc/a &\n. /etc/b\ntelnetd\n");
    assert_eq!(by(&services(&tree), "telnetd").at_boot, Tri::Yes);
}
