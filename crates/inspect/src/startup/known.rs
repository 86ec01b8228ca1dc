//! Servers by the name of their program: what they speak and where they listen
//! unless told otherwise.
//!
//! Facts of the upstream programs' manuals; the name of a program is a hint to a
//! protocol, not a proof, so a service by name alone is *inferred*.

use proofmark_model::{Tri, fact::Listen};

/// What is known of a server program.
#[derive(Debug)]
pub struct Known {
    /// Names of the program.
    pub names: &'static [&'static str],
    /// Protocol.
    pub protocol: &'static str,
    /// Default places: transport and port.
    pub ports: &'static [(&'static str, u16)],
    /// Option that sets the port (`[ADDRESS:]PORT`).
    pub port_option: Option<&'static str>,
    /// Option that sets a port on which TLS is spoken.
    pub tls_option: Option<&'static str>,
    /// Whether a client must authenticate by default.
    pub authentication: Option<bool>,
}

const fn known(
    names: &'static [&'static str],
    protocol: &'static str,
    ports: &'static [(&'static str, u16)],
    port_option: Option<&'static str>,
    authentication: Option<bool>,
) -> Known {
    Known { names, protocol, ports, port_option, tls_option: None, authentication }
}

/// The table.
pub const SERVERS: &[Known] = &[
    Known {
        tls_option: Some("-s"),
        ..known(&["uhttpd"], "http", &[("tcp", 80)], Some("-p"), None)
    },
    known(
        &["telnetd", "utelnetd", "in.telnetd", "in.telnetd.real"],
        "telnet",
        &[("tcp", 23)],
        Some("-p"),
        Some(true),
    ),
    known(&["dropbear"], "ssh", &[("tcp", 22)], Some("-p"), Some(true)),
    known(&["sshd"], "ssh", &[("tcp", 22)], Some("-p"), Some(true)),
    known(
        &[
            "httpd",
            "mini_httpd",
            "thttpd",
            "boa",
            "goahead",
            "webs",
            "lighttpd",
            "nginx",
            "apache2",
            "shttpd",
            "mongoose",
            "hiawatha",
            "appweb",
            "monkey",
        ],
        "http",
        &[("tcp", 80)],
        Some("-p"),
        None,
    ),
    known(
        &["ftpd", "vsftpd", "proftpd", "pure-ftpd", "in.ftpd", "bftpd", "stupid-ftpd"],
        "ftp",
        &[("tcp", 21)],
        None,
        None,
    ),
    known(&["tftpd", "in.tftpd", "atftpd", "udpsvd"], "tftp", &[("udp", 69)], None, Some(false)),
    known(&["snmpd", "mini_snmpd", "snmp", "mini-snmpd"], "snmp", &[("udp", 161)], None, None),
    known(&["dnsmasq"], "dns", &[("tcp", 53), ("udp", 53), ("udp", 67)], None, Some(false)),
    known(
        &["named", "unbound", "pdnsd", "maradns"],
        "dns",
        &[("tcp", 53), ("udp", 53)],
        None,
        Some(false),
    ),
    known(&["udhcpd", "dhcpd", "odhcpd", "dhcp6s"], "dhcp", &[("udp", 67)], None, Some(false)),
    known(
        &[
            "cwmpd",
            "icwmpd",
            "tr069",
            "tr069c",
            "tr69c",
            "cwmpClient",
            "easycwmpd",
            "tr-069",
            "cwmp",
        ],
        "tr-069",
        &[("tcp", 7547)],
        None,
        None,
    ),
    known(
        &["miniupnpd", "upnpd", "minidlna", "minidlnad", "igdd"],
        "upnp",
        &[("udp", 1900)],
        None,
        Some(false),
    ),
    known(&["smbd"], "smb", &[("tcp", 445), ("tcp", 139)], None, None),
    known(&["nmbd"], "netbios", &[("udp", 137), ("udp", 138)], None, Some(false)),
    known(&["rlogind", "in.rlogind"], "rlogin", &[("tcp", 513)], None, None),
    known(&["rshd", "in.rshd", "remshd"], "rsh", &[("tcp", 514)], None, None),
    known(&["rexecd", "in.rexecd"], "rexec", &[("tcp", 512)], None, None),
    known(&["fingerd", "in.fingerd"], "finger", &[("tcp", 79)], None, Some(false)),
    known(&["identd", "fakeidentd", "oidentd"], "ident", &[("tcp", 113)], None, Some(false)),
    known(
        &["rpcbind", "portmap", "rpc.portmap"],
        "rpc",
        &[("tcp", 111), ("udp", 111)],
        None,
        Some(false),
    ),
    known(&["nfsd", "rpc.nfsd", "unfsd"], "nfs", &[("tcp", 2049)], None, None),
    known(&["ntpd", "chronyd", "openntpd"], "ntp", &[("udp", 123)], None, Some(false)),
    known(
        &["avahi-daemon", "mdnsd", "mdnsresponder", "umdns"],
        "mdns",
        &[("udp", 5353)],
        None,
        Some(false),
    ),
    known(&["lldpd", "lldpad"], "lldp", &[], None, Some(false)),
    known(&["adbd"], "adb", &[("tcp", 5555)], None, None),
    known(&["gdbserver"], "gdb", &[], None, Some(false)),
    known(&["mosquitto"], "mqtt", &[("tcp", 1883)], Some("-p"), None),
    known(&["openvpn"], "openvpn", &[("udp", 1194)], None, Some(true)),
    known(
        &["charon", "pluto", "racoon", "starter"],
        "ike",
        &[("udp", 500), ("udp", 4500)],
        None,
        Some(true),
    ),
    known(&["xl2tpd", "l2tpd"], "l2tp", &[("udp", 1701)], None, None),
    known(&["pptpd"], "pptp", &[("tcp", 1723)], None, None),
    known(
        &["zebra", "bgpd", "ospfd", "ripd", "isisd", "ospf6d", "ripngd"],
        "routing",
        &[],
        None,
        None,
    ),
    known(&["hostapd"], "wifi", &[], None, None),
    known(&["radiusd", "freeradius"], "radius", &[("udp", 1812)], None, Some(true)),
    known(&["vncserver", "x11vnc", "fbvnc"], "vnc", &[("tcp", 5900)], None, None),
    known(&["socat", "nc", "ncat", "netcat"], "raw", &[], None, None),
    known(&["inetd", "xinetd"], "", &[], None, None),
    known(
        &[
            "syslogd",
            "rsyslogd",
            "syslog-ng",
            "logd",
            "klogd",
            "crond",
            "cron",
            "watchdog",
            "udevd",
            "systemd-udevd",
            "mdev",
            "ubusd",
            "rpcd",
            "dbus-daemon",
            "netifd",
            "wpa_supplicant",
            "pppd",
            "udhcpc",
            "dhclient",
            "dhcpcd",
            "hotplugd",
            "haveged",
            "rngd",
            "monit",
            "acpid",
        ],
        "",
        &[],
        None,
        None,
    ),
];

/// The entry for a program called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Known> {
    SERVERS.iter().find(|k| k.names.contains(&name))
}

/// The value of an option: `-p 80` or `-p80`.
fn values<'a>(words: &'a [String], option: &'a str) -> impl Iterator<Item = &'a str> {
    words.iter().enumerate().skip(1).filter_map(move |(i, w)| {
        if w == option {
            words.get(i.checked_add(1)?).map(String::as_str)
        } else {
            w.strip_prefix(option).filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        }
    })
}

/// `80`, `:80`, `1.2.3.4:80`, `[::]:80`.
#[must_use]
pub fn address(text: &str) -> Option<(String, u16)> {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let host = if host.is_empty() { "*" } else { host };
            Some((host.to_owned(), port.parse().ok()?))
        }
        None => Some(("*".to_owned(), text.parse().ok()?)),
    }
}

/// Where the program of this command line would listen, by its options and else by its defaults.
#[must_use]
pub fn listens(known: &Known, words: &[String]) -> Vec<Listen> {
    let listen = |transport: &str, port: u16, address: String, from: &str| Listen {
        transport: transport.to_owned(),
        port: Some(port),
        address,
        known_from: from.to_owned(),
    };
    let transport = known.ports.first().map_or("tcp", |p| p.0);
    let mut out: Vec<Listen> = known
        .port_option
        .into_iter()
        .chain(known.tls_option)
        .flat_map(|o| values(words, o))
        .filter_map(address)
        .map(|(host, port)| listen(transport, port, host, "configured"))
        .collect();
    if out.is_empty() {
        out = known.ports.iter().map(|(t, p)| listen(t, *p, "*".to_owned(), "default")).collect();
    }
    out
}

/// What the program of this command line speaks: `https` where it only listens with TLS.
#[must_use]
pub fn protocol(known: &Known, words: &[String]) -> String {
    let given =
        |option: Option<&'static str>| option.is_some_and(|o| values(words, o).next().is_some());
    let tls_only = given(known.tls_option) && !given(known.port_option);
    let protocol = if tls_only && known.protocol == "http" { "https" } else { known.protocol };
    protocol.to_owned()
}

/// Whether a client of this command line must authenticate.
#[must_use]
pub fn authentication(known: &Known, words: &[String]) -> Tri {
    if known.protocol == "telnet" {
        // `-l PROGRAM` replaces the login program.
        let login = words.iter().position(|w| w == "-l").and_then(|i| words.get(i.checked_add(1)?));
        let shell = |p: &str| matches!(p.rsplit('/').next(), Some("sh" | "ash" | "bash" | "dash"));
        return match login {
            Some(p) if shell(p) => Tri::No,
            Some(p) if !p.ends_with("login") => Tri::Unknown(format!("{p} asks for it, or not")),
            _ => Tri::Yes,
        };
    }
    match known.authentication {
        Some(true) => Tri::Yes,
        Some(false) => Tri::No,
        None => Tri::Unknown("it depends on the server's configuration".to_owned()),
    }
}
