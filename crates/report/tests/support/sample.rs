//! An assessment of a gateway that does not exist, rich enough to fill every part of every view.

use std::collections::BTreeMap;

use proofmark_model::{
    Artifact, ArtifactId, Assessment, ComponentRef, Coverage, Digest, Dismissal, EntryKind,
    Evidence, Extent, Fact, Finding, Grade, Judgement, Locator, Metadata, Observation, Opaque,
    Problem, ProblemKind, Proof, Provenance, Region, RegionClass, Requirement, SCHEMA_VERSION,
    Severity, Step, Strength, Tri, Verdict, Vulnerability,
    assessment::{DataVersion, Image},
    fact::{
        Account, Certificate, Component, Executable, Guessed, Kernel, KeyRole, Listen, LoginKey,
        Package, Password, PrivateKey, Service, Setting, Trait,
    },
    vulnerability::Cvss,
};

const IMAGE: &str = "gateway-2.4.1.img";
const ROOT_OFFSET: u64 = 0x3c_0000;
const SIZE: u64 = 0x200_0000;

fn image() -> Locator {
    Locator::image(IMAGE)
}

fn rootfs() -> Locator {
    image().join(Step::region(ROOT_OFFSET, "squashfs"))
}

/// A file of the root file system.
pub fn file(path: &str) -> Locator {
    rootfs().join(Step::entry(path))
}

fn observation(fact: Fact, place: Locator, inspector: &str) -> Observation {
    Observation {
        fact,
        evidence: Evidence::one(place),
        inspector: inspector.into(),
        revision: 1,
        strength: Strength::Observed,
    }
}

const PROGRAMS: [&str; 24] = [
    "bin/busybox",
    "usr/sbin/telnetd",
    "usr/sbin/dropbear",
    "usr/sbin/dnsmasq",
    "usr/sbin/uhttpd",
    "usr/sbin/hostapd",
    "usr/sbin/pppd",
    "usr/sbin/snmpd",
    "usr/sbin/cwmpd",
    "usr/sbin/odhcpd",
    "usr/sbin/ntpd",
    "usr/bin/iperf3",
    "usr/bin/tcpdump",
    "usr/bin/openssl",
    "usr/bin/curl",
    "sbin/procd",
    "sbin/netifd",
    "sbin/ubusd",
    "usr/sbin/mini_upnpd",
    "usr/bin/gwctl",
    "usr/bin/sipd",
    "usr/sbin/radvd",
    "usr/sbin/xl2tpd",
    "usr/lib/cgi-bin/admin.cgi",
];

const LIBRARIES: [(&str, &str); 16] = [
    ("openssl", "1.1.1k"),
    ("zlib", "1.2.11"),
    ("libcurl", "7.79.1"),
    ("libubox", "2021-05-16"),
    ("json-c", "0.15"),
    ("mbedtls", "2.28.1"),
    ("libnl", "3.5.0"),
    ("lua", "5.1.5"),
    ("libpcap", "1.10.1"),
    ("expat", "2.4.1"),
    ("readline", "8.1"),
    ("ncurses", "6.2"),
    ("sqlite", "3.36.0"),
    ("libxml2", "2.9.12"),
    ("pcre", "8.45"),
    ("musl", "1.1.24"),
];

fn executable(i: usize, path: &str) -> Executable {
    let library = path.contains(".so");
    let tri = |yes: bool| if yes { Tri::Yes } else { Tri::No };
    Executable {
        format: "elf".into(),
        bits: 32,
        little_endian: true,
        machine: "mips".into(),
        kind: if library { "shared-library" } else { "executable" }.into(),
        interpreter: (!library).then(|| "/lib/ld-musl-mipsel-sf.so.1".into()),
        libc: "musl".into(),
        needed: vec!["libc.so".into()],
        soname: library.then(|| path.rsplit('/').next().unwrap_or_default().into()),
        stripped: !i.is_multiple_of(9),
        debug_info: i.is_multiple_of(40),
        position_independent: if library { Tri::Yes } else { tri(!i.is_multiple_of(3)) },
        non_executable_stack: tri(!i.is_multiple_of(11)),
        relro: ["full", "partial", "none", "full", "full"][i % 5].into(),
        stack_protector: match i % 7 {
            0 => Tri::No,
            1 => Tri::Unknown("no function has an array on the stack".into()),
            _ => Tri::Yes,
        },
        fortify: match i % 4 {
            0 => Tri::No,
            1 => Tri::NotApplicable("the C library has no fortified functions".into()),
            _ => Tri::Yes,
        },
        no_writable_code: tri(!i.is_multiple_of(50)),
        no_text_relocations: Tri::Yes,
        rpath: None,
        runpath: None,
        control_flow: Tri::NotApplicable("not defined for mips".into()),
        compiler: Some("GCC 8.4.0".into()),
        build_id: None,
        language: "c".into(),
        path: path.into(),
        owner: None,
        started: tri(i % 6 == 1),
        network_facing: tri(i % 6 == 1),
        privileged: i.is_multiple_of(23),
    }
}

/// Everything at once.
pub fn assessment() -> Assessment {
    let mut artifacts = Vec::new();
    let mut observations = Vec::new();
    artifacts.push(root());
    artifacts.push(container("uimage", 0x2_0000, 0x1b_0000, 0));
    artifacts.push(container("squashfs", ROOT_OFFSET, 0x14c_0000, 0));
    artifacts.push(container("jffs2", 0x190_0000, 0x40_0000, 0));
    let squashfs = ArtifactId(2);
    let mut paths: Vec<String> = PROGRAMS.iter().map(|p| (*p).to_owned()).collect();
    paths.extend(LIBRARIES.iter().map(|(n, v)| format!("usr/lib/{n}.so.{v}")));
    paths.extend((0..180).map(|i| format!("usr/lib/gateway/plugin-{i:03}.so")));
    for (i, path) in paths.iter().enumerate() {
        artifacts.push(entry(path, "elf", 8192 + i as u64 * 977, squashfs));
        observations.push(observation(
            Fact::Executable(Box::new(executable(i, path))),
            file(path),
            "elf",
        ));
    }
    for i in 0..240 {
        let path = format!("www/assets/page-{i:03}.html");
        artifacts.push(entry(&path, "text", 900 + i, squashfs));
    }
    for (path, format) in [("etc/passwd", "text"), ("etc/shadow", "text"), ("etc/rc.local", "text")]
    {
        artifacts.push(entry(path, format, 420, squashfs));
    }
    let mut damaged = entry("usr/share/firmware/radio.bin", "data", 262_144, squashfs);
    damaged.problems = vec![
        Problem::new(ProblemKind::Encrypted, "The header says AES-128-CBC, and no key was given.")
            .at(0x40),
    ];
    artifacts.push(damaged);
    let mut short = entry("usr/share/help.cpio.gz", "gzip", 70_000, squashfs);
    short.problems = vec![Problem::new(
        ProblemKind::Truncated,
        "The stream ends after 61 440 of 70 000 declared bytes.",
    )];
    artifacts.push(short);
    observations.extend(accounts());
    observations.extend(keys());
    observations.extend(services());
    observations.extend(components());
    observations.extend(system());
    Assessment {
        schema: SCHEMA_VERSION.into(),
        image: Image { name: IMAGE.into(), size: SIZE, sha256: Digest::of(b"gateway-2.4.1") },
        provenance: provenance(),
        coverage: coverage(),
        judgements: judgements(),
        vulnerabilities: vulnerabilities(),
        reconciliations: vec![proofmark_model::reconciliation::Reconciliation {
            document: proofmark_model::assessment::DataVersion {
                id: "producer.cdx.json".into(),
                version: "CycloneDX 1.5".into(),
                sha256: None,
            },
            agreed: Vec::new(),
            differing: Vec::new(),
            not_seen: vec![proofmark_model::ComponentRef {
                name: "<claimed>".into(),
                version: Some("1.0".into()),
                purl: None,
                cpes: Vec::new(),
            }],
            not_claimed: Vec::new(),
        }],
        observations,
        artifacts,
    }
}

fn region(offset: u64, length: u64, class: RegionClass) -> Region {
    Region { offset, length, class }
}

fn understood(format: &str, proof: Proof) -> RegionClass {
    RegionClass::Understood { format: format.into(), proof }
}

fn opaque(looks: Opaque, entropy_millibits: u32) -> RegionClass {
    RegionClass::Opaque { looks, entropy_millibits, chi_square_milli: 255_000 }
}

fn cover() -> Vec<Region> {
    vec![
        region(0, 0x1_8000, opaque(Opaque::CodeLooking, 5900)),
        region(0x1_8000, 0x8000, RegionClass::Padding { byte: 0xff }),
        region(0x2_0000, 0x1b_0000, understood("uimage", Proof::ChecksumVerified)),
        region(0x1d_0000, 0x4_0000, RegionClass::Padding { byte: 0xff }),
        region(0x21_0000, 0x8000, understood("device-tree", Proof::DecoderEnded)),
        region(0x21_8000, 0xe_8000, opaque(Opaque::EncryptedLooking, 7999)),
        region(0x30_0000, 0x2_0000, opaque(Opaque::CompressedLooking, 7900)),
        region(0x32_0000, 0xa_0000, RegionClass::Padding { byte: 0 }),
        region(ROOT_OFFSET, 0x14c_0000, understood("squashfs", Proof::DecoderEnded)),
        region(0x188_0000, 0x8_0000, RegionClass::Padding { byte: 0xff }),
        region(0x190_0000, 0x40_0000, understood("jffs2", Proof::ChecksumVerified)),
        region(0x1d0_0000, 0x4_0000, opaque(Opaque::Damaged, 6200)),
        region(0x1d4_0000, 0x1_0000, understood("nvram", Proof::MagicOnly)),
        region(0x1d5_0000, 0x2b_0000, RegionClass::Padding { byte: 0xff }),
    ]
}

fn coverage() -> Coverage {
    let sum = |f: fn(&RegionClass) -> bool| {
        cover().iter().filter(|r| f(&r.class)).map(|r| r.length).sum::<u64>()
    };
    Coverage {
        total: SIZE,
        understood: sum(|c| matches!(c, RegionClass::Understood { .. })),
        padding: sum(|c| matches!(c, RegionClass::Padding { .. })),
        opaque: sum(|c| matches!(c, RegionClass::Opaque { .. })),
        opaque_inside: 262_144,
        opaque_regions: vec![
            Extent {
                locator: image().at(0x21_8000, 0x30_0000),
                length: 0xe_8000,
                looks: Opaque::EncryptedLooking,
            },
            Extent {
                locator: file("usr/share/firmware/radio.bin"),
                length: 262_144,
                looks: Opaque::Encrypted,
            },
            Extent {
                locator: image().at(0x1d0_0000, 0x1d4_0000),
                length: 0x4_0000,
                looks: Opaque::Damaged,
            },
        ],
        artifacts_with_problems: 2,
    }
}

fn root() -> Artifact {
    Artifact {
        locator: image(),
        parent: None,
        entry: EntryKind::Image,
        format: "data".into(),
        size: SIZE,
        sha256: Some(Digest::of(b"gateway-2.4.1")),
        metadata: Metadata::default(),
        proof: None,
        regions: cover(),
        rejected: vec![region(0x51_3000, 0x400, understood("tar", Proof::MagicOnly))],
        problems: Vec::new(),
        attributes: BTreeMap::new(),
    }
}

fn container(format: &str, offset: u64, size: u64, parent: u32) -> Artifact {
    Artifact {
        locator: image().join(Step::region(offset, format.to_owned())),
        parent: Some(ArtifactId(parent)),
        entry: EntryKind::Region,
        format: format.into(),
        size,
        sha256: Some(Digest::of(format.as_bytes())),
        metadata: Metadata::default(),
        proof: Some(Proof::DecoderEnded),
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: BTreeMap::from([("compressor".into(), "xz".into())]),
    }
}

fn entry(path: &str, format: &str, size: u64, parent: ArtifactId) -> Artifact {
    Artifact {
        locator: file(path),
        parent: Some(parent),
        entry: EntryKind::File,
        format: format.into(),
        size,
        sha256: Some(Digest::of(path.as_bytes())),
        metadata: Metadata {
            mode: Some(0o755),
            uid: Some(0),
            gid: Some(0),
            mtime: Some(1_553_774_400),
            xattrs: Vec::new(),
        },
        proof: None,
        regions: Vec::new(),
        rejected: Vec::new(),
        problems: Vec::new(),
        attributes: BTreeMap::new(),
    }
}

fn provenance() -> Provenance {
    Provenance {
        tool: "0.1.0".into(),
        yardsticks: vec![DataVersion {
            id: "telecom-baseline".into(),
            version: "3".into(),
            sha256: Some(Digest::of(b"yardstick")),
        }],
        feeds: vec![
            DataVersion { id: "nvd".into(), version: "2026-11-20".into(), sha256: None },
            DataVersion { id: "cisa-kev".into(), version: "2026-11-19".into(), sha256: None },
        ],
        budgets: BTreeMap::from([("bytes-out".into(), 8 << 30), ("depth".into(), 16)]),
        rules: Digest::of(b"rules"),
    }
}

fn accounts() -> Vec<Observation> {
    let account = |user: &str, uid, password, scheme: Option<&str>, guessed, login| {
        observation(
            Fact::Account(Account {
                user: user.into(),
                uid: Some(uid),
                gid: Some(uid),
                home: Some("/root".into()),
                shell: Some("/bin/ash".into()),
                store: "shadow".into(),
                superuser: uid == 0,
                login,
                password,
                scheme: scheme.map(Into::into),
                guessed,
                candidates_tried: 14_000,
                replaced_at_first_boot: None,
                template: false,
            }),
            file("etc/shadow"),
            "accounts",
        )
    };
    let guessed =
        Guessed { list: "common-defaults".into(), index: 17, salted: Digest::of(b"salted") };
    vec![
        account("root", 0, Password::Hashed, Some("md5-crypt"), Some(guessed), Tri::Yes),
        account("support", 0, Password::Hashed, Some("sha512-crypt"), None, Tri::Yes),
        account("nobody", 65534, Password::Locked, None, None, Tri::No),
    ]
}

fn keys() -> Vec<Observation> {
    vec![
        observation(
            Fact::LoginKey(LoginKey {
                user: Some("root".into()),
                algorithm: "ssh-rsa".into(),
                bits: Some(2048),
                fingerprint: "SHA256:5s0bxw9p7TzA5e8kQ2nFqk3w1dVbS8w2R7mC0uXh9Zk".into(),
                comment: Some("build@factory".into()),
                honoured: Tri::Yes,
            }),
            file("etc/dropbear/authorized_keys"),
            "keys",
        ),
        observation(
            Fact::PrivateKey(PrivateKey {
                algorithm: "rsa".into(),
                bits: Some(1024),
                encoding: "pkcs1".into(),
                encrypted: false,
                role: KeyRole::Server,
                public: Some(Digest::of(b"public")),
                used_by: Some("uhttpd".into()),
                published: None,
                replaced_at_first_boot: None,
            }),
            file("etc/uhttpd.key"),
            "keys",
        ),
        observation(
            Fact::Certificate(Certificate {
                subject: "CN=192.168.1.1,O=Example Gateway".into(),
                issuer: "CN=192.168.1.1,O=Example Gateway".into(),
                serial: "0a11".into(),
                not_before: 1_262_304_000,
                not_after: 1_577_836_800,
                signature_algorithm: "sha1WithRSAEncryption".into(),
                key_algorithm: "rsa".into(),
                key_bits: Some(1024),
                authority: false,
                self_signed: true,
                trust_store: false,
                public: Digest::of(b"public"),
                usages: vec!["serverAuth".into()],
                used_by: Some("uhttpd".into()),
                irregularities: Vec::new(),
                replaced_at_first_boot: None,
            }),
            file("etc/uhttpd.crt"),
            "certificates",
        ),
    ]
}

fn services() -> Vec<Observation> {
    let service = |name: &str, protocol: &str, transport: &str, port, authentication| {
        observation(
            Fact::Service(Service {
                name: name.into(),
                command: format!("/usr/sbin/{name} -F"),
                program: Some(format!("usr/sbin/{name}")),
                starter: "procd".into(),
                at_boot: Tri::Yes,
                protocol: protocol.into(),
                listens: vec![Listen {
                    transport: transport.into(),
                    port: Some(port),
                    address: "*".into(),
                    known_from: "configured".into(),
                }],
                user: None,
                confinement: BTreeMap::new(),
                started_through: vec!["etc/inittab".into(), format!("etc/init.d/{name}")],
                authentication,
            }),
            file(&format!("etc/init.d/{name}")),
            "startup",
        )
    };
    vec![
        service("telnetd", "telnet", "tcp", 23, Tri::Yes),
        service("dropbear", "ssh", "tcp", 22, Tri::Yes),
        service("uhttpd", "http", "tcp", 80, Tri::Yes),
        service("dnsmasq", "dns", "udp", 53, Tri::NotApplicable("the protocol has none".into())),
        service("snmpd", "snmp", "udp", 161, Tri::No),
        service("cwmpd", "tr-069", "tcp", 7547, Tri::Unknown("set by the operator".into())),
    ]
}

fn components() -> Vec<Observation> {
    let mut out = Vec::new();
    for (name, version) in LIBRARIES {
        let path = format!("usr/lib/{name}.so.{version}");
        out.push(observation(
            Fact::Package(Package {
                manager: "opkg".into(),
                name: name.into(),
                version: format!("{version}-1"),
                architecture: Some("mipsel_24kc".into()),
                source: None,
                installed: true,
                license: Some("MIT".into()),
                files: vec![format!("/{path}")],
            }),
            file("usr/lib/opkg/status"),
            "packages",
        ));
        out.push(component(name, version, "is", &path, Some(format!("opkg:{name}"))));
    }
    for (name, version, path) in [
        ("busybox", "1.28.4", "bin/busybox"),
        ("dropbear", "2019.78", "usr/sbin/dropbear"),
        ("dnsmasq", "2.80", "usr/sbin/dnsmasq"),
        ("hostapd", "2.9", "usr/sbin/hostapd"),
        ("net-snmp", "5.8", "usr/sbin/snmpd"),
    ] {
        out.push(component(name, version, "is", path, None));
    }
    out.push(component("zlib", "1.2.8", "statically-contains", "usr/bin/gwctl", None));
    out.push(component("wget", "1.20", "names", "usr/bin/gwctl", None));
    out
}

fn component(
    name: &str,
    version: &str,
    relation: &str,
    path: &str,
    owner: Option<String>,
) -> Observation {
    observation(
        Fact::Component(Component {
            component: ComponentRef {
                name: name.into(),
                version: Some(version.into()),
                purl: Some(format!("pkg:generic/{name}@{version}")),
                cpes: vec![format!("cpe:2.3:a:{name}:{name}:{version}:*:*:*:*:*:*:*")],
            },
            relation: relation.into(),
            by: format!("banner-{name}"),
            owner,
        }),
        file(path).at(0x1a40, 0x1a58),
        "components",
    )
}

fn system() -> Vec<Observation> {
    vec![
        observation(
            Fact::Kernel(Kernel {
                release: "4.14.221".into(),
                banner: "Linux version 4.14.221 (build@factory) (gcc 8.4.0)".into(),
                config_source: "embedded".into(),
                config: BTreeMap::from([("STRICT_DEVMEM".into(), "y".into())]),
                machine: Some("mips".into()),
            }),
            image().join(Step::region(0x2_0000, "uimage")),
            "kernel",
        ),
        observation(
            Fact::Setting(Setting {
                subject: "dropbear".into(),
                key: "PasswordAuth".into(),
                value: "on".into(),
                known_from: "configured".into(),
                in_use: Tri::Yes,
            }),
            file("etc/config/dropbear"),
            "settings",
        ),
        observation(
            Fact::Trait(Trait {
                name: "operating-system".into(),
                value: "linux".into(),
                complete: Tri::Yes,
            }),
            file("etc/os-release"),
            "system",
        ),
    ]
}

/// A finding at `places`.
pub fn finding(
    rule: &str,
    severity: Severity,
    strength: Strength,
    message: &str,
    places: Vec<Locator>,
    excerpt: Option<&str>,
    remedy: &str,
) -> Finding {
    let evidence = Evidence::try_from(places).expect("a finding of the sample has a place");
    Finding {
        id: Finding::id(rule, 1, &evidence, message),
        rule: rule.into(),
        revision: 1,
        severity,
        strength,
        message: message.into(),
        content: Some(Digest::of(message.as_bytes())),
        evidence,
        excerpt: excerpt.map(Into::into),
        remedy: Some(remedy.into()),
    }
}

fn judge(id: &str, title: &str, severity: Severity, verdict: Verdict, reason: &str) -> Judgement {
    Judgement {
        requirement: Requirement {
            id: id.into(),
            revision: 1,
            title: title.into(),
            yardstick: "telecom-baseline".into(),
            group: id[..3].into(),
            severity,
            sources: vec!["ETSI EN 303 645 V3.1.3, 5.1".into(), "3GPP TS 33.117, 4.2.3.4".into()],
        },
        verdict,
        reason: reason.into(),
        question: None,
        findings: Vec::new(),
        examined: 12,
    }
}

fn judgements() -> Vec<Judgement> {
    use Severity::{Critical, High, Low, Medium};
    use Strength::{Inferred, Observed};
    let mut out = Vec::new();
    let mut fail = |id, title, severity, reason: &str, findings| {
        let mut j = judge(id, title, severity, Verdict::Fail, reason);
        j.findings = findings;
        out.push(j);
    };
    fail(
        "ACC-01",
        "No shipped account opens with a known or guessable secret",
        Critical,
        "One of three accounts that can log in has a password from a public list.",
        vec![finding(
            "ACC-01",
            Critical,
            Observed,
            "The password of the superuser account root is entry 17 of the list common-defaults.",
            vec![file("etc/shadow").at(0, 0x2f), file("etc/passwd").at(0, 0x1f)],
            Some("root:$1$…[34 bytes, sha256 9f86d081884c]:17800:0:99999:7:::"),
            "Ship the account locked, or give each unit a secret of its own.",
        )],
    );
    fail(
        "ACC-05",
        "Stored passwords use a one-way function that is not broken",
        Medium,
        "One of two stored passwords uses MD5-crypt.",
        vec![finding(
            "ACC-05",
            Medium,
            Observed,
            "The password of root is stored with md5-crypt.",
            vec![file("etc/shadow").at(0, 0x2f)],
            Some("root:$1$…[34 bytes, sha256 9f86d081884c]"),
            "Store passwords with yescrypt, bcrypt or sha512-crypt.",
        )],
    );
    fail(
        "ACC-07",
        "No preinstalled login keys",
        High,
        "A key opens the superuser account on every unit.",
        vec![finding(
            "ACC-07",
            High,
            Observed,
            "An RSA key with the comment build@factory opens root through dropbear.",
            vec![file("etc/dropbear/authorized_keys").at(0, 0x17d)],
            Some("ssh-rsa AAAAB3Nz…[372 bytes] build@factory"),
            "Remove the key from the delivered image.",
        )],
    );
    fail(
        "CRY-01",
        "No private key is shared by all units",
        High,
        "The web server's private key is in the image.",
        vec![finding(
            "CRY-01",
            High,
            Observed,
            "An RSA private key of 1024 bits pairs with the certificate of uhttpd.",
            vec![file("etc/uhttpd.key"), file("etc/uhttpd.crt"), file("etc/config/uhttpd")],
            Some("-----BEGIN RSA PRIVATE KEY-----\nMIIC…[884 bytes, sha256 4e07408562be]"),
            "Generate the key on the unit at first boot.",
        )],
    );
    fail(
        "SVC-02",
        "Insecure services are off in the delivered state",
        High,
        "Two services without protection of their traffic are started at boot.",
        vec![
            finding(
                "SVC-02",
                High,
                Observed,
                "procd starts telnetd, which would listen on tcp port 23 of all addresses.",
                vec![file("etc/init.d/telnetd"), file("usr/sbin/telnetd")],
                Some("start_service() { procd_set_param command /usr/sbin/telnetd -F"),
                "Leave the service out, or let it be started only by the operator.",
            ),
            finding(
                "SVC-02",
                Medium,
                Inferred,
                "snmpd answers SNMP version 2c; its default configuration asks for no authentication.",
                vec![file("etc/init.d/snmpd")],
                None,
                "Allow SNMP version 3 with authentication and privacy only.",
            ),
        ],
    );
    fail(
        "PRV-02",
        "No shell or interpreter is setuid",
        High,
        "One setuid shell.",
        vec![finding(
            "PRV-02",
            High,
            Observed,
            "bin/busybox is setuid root and offers a shell.",
            vec![file("bin/busybox")],
            Some("-rwsr-xr-x 0 0 bin/busybox"),
            "Split the applets that need the privilege from those that do not.",
        )],
    );
    fail(
        "MEM-03",
        "Programs load at random addresses",
        Medium,
        "60 of 220 programs are not position-independent.",
        (0..60)
            .map(|i| {
                let path = format!("usr/lib/gateway/plugin-{:03}.so", i * 3);
                finding(
                    "MEM-03",
                    Low,
                    Observed,
                    &format!("{path} is not position-independent."),
                    vec![file(&path)],
                    None,
                    "Compile with -fPIE and link with -pie.",
                )
            })
            .collect(),
    );
    fail(
        "CMP-07",
        "Kernel and base system are maintained",
        Medium,
        "The kernel's branch ended before the newest date in the data.",
        vec![finding(
            "CMP-07",
            Medium,
            Inferred,
            "Linux 4.14.221 belongs to a branch whose support ended in January 2024.",
            vec![image().join(Step::region(0x2_0000, "uimage")).at(0x40, 0x90)],
            Some("Linux version 4.14.221 (build@factory) (gcc 8.4.0)"),
            "Move to a branch with support for the expected life of the device.",
        )],
    );
    fail(
        "UPD-01",
        "Updates carry a signature",
        High,
        "The outermost container is protected by a checksum only.",
        vec![finding(
            "UPD-01",
            High,
            Inferred,
            "The outermost container (uimage) carries CRC-32 and no signature.",
            vec![image().at(0x2_0000, 0x2_0040)],
            Some("27 05 19 56 8a 1c 44 02"),
            "Sign the container and check the signature before it is written.",
        )],
    );
    fail(
        "WEB-03",
        "The management page does not run commands made from input",
        Critical,
        "A script passes a form field to a shell.",
        vec![finding(
            "WEB-03",
            Critical,
            Inferred,
            "admin.cgi passes the form field host to system() without a check.",
            vec![file("usr/lib/cgi-bin/admin.cgi").at(0x3b20, 0x3b48)],
            Some("ping -c 4 %s > /tmp/ping.out"),
            "Call the program with an argument vector, not through a shell.",
        )],
    );
    let mut open = |id, title, reason: &str, question: &str| {
        let mut j = judge(id, title, Medium, Verdict::Inconclusive, reason);
        j.question = Some(question.into());
        out.push(j);
    };
    open(
        "ACC-11",
        "Change of the initial secret is forced",
        "Missing: the state after the first login, which only a running device has.",
        "Log in for the first time with the secret on the label. Is a new one asked for before anything else is possible?",
    );
    open(
        "SVC-06",
        "Packet filtering denies by default from the untrusted side",
        "Missing: rules are generated at run time by a program that could not be followed.",
        "What does `iptables-save` print on a device in its delivered state?",
    );
    open(
        "CFG-04",
        "Time is set from an authenticated source",
        "Missing: 928 KiB of the image look encrypted and may hold configuration.",
        "Which time servers does the device ask, and with which keys?",
    );
    open(
        "LOG-02",
        "Security events are sent to another machine",
        "Missing: the address of the log server is set by the operator.",
        "Does the device send failed logins to the configured log server?",
    );
    for (id, title, verdict, reason) in [
        (
            "ACC-02",
            "Every account that can log in needs a secret",
            Verdict::Pass,
            "All of 3 accounts have one, and both stores were read whole.",
        ),
        ("ACC-04", "User ids are unique", Verdict::Pass, "3 accounts, 3 ids."),
        ("CRY-03", "No key from a public list", Verdict::Pass, "2 keys compared with 14 lists."),
        ("CRY-07", "SSH profile", Verdict::Pass, "dropbear offers no broken algorithm."),
        ("MEM-02", "Stack and data are not executable", Verdict::Pass, "220 programs."),
        ("MEM-04", "Relocations are read-only", Verdict::Pass, "220 programs."),
        ("PRV-05", "No world-writable files", Verdict::Pass, "484 files."),
        ("CFG-01", "Source routing is refused", Verdict::Pass, "sysctl sets it."),
        ("LOG-01", "Events are recorded", Verdict::Pass, "logd is started."),
        ("UPD-05", "Rollback is refused", Verdict::NotApplicable, "No update client in the image."),
        ("SVC-04", "SNMP is safe by default", Verdict::NotApplicable, "Judged under SVC-02."),
        ("DAT-01", "No data of persons", Verdict::NotApplicable, "No database in the image."),
    ] {
        out.push(judge(id, title, Medium, verdict, reason));
    }
    out
}

fn vulnerabilities() -> Vec<Vulnerability> {
    let make =
        |id: &str, name: &str, version: &str, grade, dismissed, score, path: &str| Vulnerability {
            id: id.into(),
            component: ComponentRef {
                name: name.into(),
                version: Some(version.into()),
                purl: Some(format!("pkg:generic/{name}@{version}")),
                cpes: vec![format!("cpe:2.3:a:{name}:{name}:{version}:*:*:*:*:*:*:*")],
            },
            grade,
            dismissed,
            reasons: vec![
                format!("{name} {version} lies in the affected range."),
                "The feature is compiled in.".into(),
            ],
            cvss: Some(Cvss {
                version: "3.1".into(),
                score_tenths: score,
                vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H".into(),
            }),
            epss_ppm: Some(u32::from(score) * 4000),
            known_exploited: score >= 98,
            evidence: Evidence::one(file(path).at(0x1a40, 0x1a58)),
            source: "nvd 2026-11-20".into(),
        };
    let mut out = vec![
        make("CVE-2020-25681", "dnsmasq", "2.80", Grade::Reachable, None, 81, "usr/sbin/dnsmasq"),
        make("CVE-2022-28391", "busybox", "1.28.4", Grade::Present, None, 98, "bin/busybox"),
        make(
            "CVE-2021-3711",
            "openssl",
            "1.1.1k",
            Grade::Unpatched,
            None,
            98,
            "usr/lib/openssl.so.1.1.1k",
        ),
        make(
            "CVE-2022-37434",
            "zlib",
            "1.2.11",
            Grade::Version,
            None,
            98,
            "usr/lib/zlib.so.1.2.11",
        ),
        make("CVE-2018-25032", "zlib", "1.2.8", Grade::Version, None, 75, "usr/bin/gwctl"),
        make(
            "CVE-2019-16275",
            "hostapd",
            "2.9",
            Grade::Version,
            Some(Dismissal::VulnerableCodeNotPresent),
            65,
            "usr/sbin/hostapd",
        ),
        make(
            "CVE-2020-36254",
            "dropbear",
            "2019.78",
            Grade::Version,
            Some(Dismissal::VulnerableCodeNotInExecutePath),
            81,
            "usr/sbin/dropbear",
        ),
    ];
    for i in 0..18_u8 {
        out.push(make(
            &format!("CVE-2021-42{:03}", 370 + u32::from(i)),
            "busybox",
            "1.28.4",
            if i % 3 == 0 { Grade::Present } else { Grade::Named },
            (i % 4 == 1).then_some(Dismissal::FixedByDistributor),
            40 + i,
            "bin/busybox",
        ));
    }
    out
}

/// Names that try to be markup, commands and spreadsheet formulas.
pub const HOSTILE: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</style></script><h1>owned",
    "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gpj.exe\u{200b}",
    "=HYPERLINK(\"http://example.org\")",
    "javascript:alert(1)//%0d%0a&amp;\0",
];

/// The sample, with every free text replaced by hostile ones.
pub fn hostile() -> Assessment {
    let mut a = assessment();
    let mut n = 0;
    let mut evil = || {
        n += 1;
        HOSTILE[n % HOSTILE.len()].to_owned()
    };
    let place = |s: String| Locator::image(s.clone()).join(Step::entry(s.into_bytes()));
    a.image.name = HOSTILE.concat();
    a.provenance.tool = evil();
    for j in &mut a.judgements {
        j.requirement.id = evil();
        j.requirement.title = evil();
        j.requirement.group = evil();
        j.requirement.sources = vec![evil()];
        j.reason = evil();
        j.question = Some(evil());
        for f in &mut j.findings {
            f.id = evil();
            f.message = evil();
            f.excerpt = Some(evil());
            f.remedy = Some(evil());
            f.evidence = Evidence::with(place(evil()), [place(evil())]);
        }
    }
    for v in &mut a.vulnerabilities {
        v.id = evil();
        v.component.name = evil();
        v.component.version = Some(evil());
        v.component.purl = Some(evil());
        v.component.cpes = vec![evil()];
        v.reasons = vec![evil()];
        v.source = evil();
        v.evidence = Evidence::one(place(evil()));
    }
    for o in &mut a.observations {
        o.evidence = Evidence::one(place(evil()));
        match &mut o.fact {
            Fact::Account(x) => x.user = evil(),
            Fact::Service(x) => {
                x.name = evil();
                x.command = evil();
                x.protocol = evil();
                x.authentication = Tri::Unknown(evil());
            }
            Fact::Package(x) => {
                x.name = evil();
                x.license = Some(evil());
            }
            Fact::Component(x) => {
                x.component.name = evil();
                x.component.purl = Some(evil());
                x.by = evil();
            }
            Fact::Executable(x) => {
                x.path = evil();
                x.fortify = Tri::Unknown(evil());
            }
            Fact::Certificate(x) => x.subject = evil(),
            Fact::LoginKey(x) => x.fingerprint = evil(),
            Fact::PrivateKey(x) => x.used_by = Some(evil()),
            Fact::Kernel(x) => x.release = evil(),
            _ => {}
        }
    }
    for x in &mut a.artifacts {
        if x.parent.is_some() {
            x.locator = place(evil());
        }
        for p in &mut x.problems {
            p.message = evil();
        }
    }
    a
}
