// The fields of each kind of record; included by `view.rs`.

/// Fields of every fact.
static COMMON: &[Field] = &[
    Field {
        name: "path",
        ty: Type::Text,
        optional: false,
        open: false,
        doc: "Path of the innermost file it was seen in; empty where it lies in none.",
        get: |s| {
            let place = s.evidence().ok_or(Not::Recorded("path"))?.first();
            Ok(Value::Text(Cow::Owned(place.path())))
        },
    },
    Field {
        name: "strength",
        ty: Type::Text,
        optional: false,
        open: false,
        doc: "`observed` or `inferred`.",
        get: |s| {
            text(match s.strength() {
                Strength::Observed => "observed",
                Strength::Inferred => "inferred",
            })
        },
    },
];

records! {
    ACCOUNT "account" "accounts" (Subject::Fact(Observation { fact: Fact::Account(x), .. }, peers) => x) "A local account." {
        user: text "Login name." = text(&x.user);
        uid: maybe_int "Numeric user id." = maybe_int("uid", x.uid);
        gid: maybe_int "Numeric group id." = maybe_int("gid", x.gid);
        home: maybe "Home folder." = maybe("home", &x.home);
        shell: maybe "Login shell." = maybe("shell", &x.shell);
        store: text "Kind of store: `passwd`, `shadow`, `htpasswd`, `uci`, ..." = text(&x.store);
        superuser: bool "User id 0 or the store's equivalent." = boolean(x.superuser);
        login: tri "It can be logged in to." = tri(&x.login);
        password: text "`empty`, `locked`, `hashed`, `recoverable` or `missing`." = text(match x.password {
            Password::Empty => "empty",
            Password::Locked => "locked",
            Password::Hashed => "hashed",
            Password::Recoverable => "recoverable",
            Password::Missing => "missing",
        });
        scheme: maybe "Scheme of the stored password: `des-crypt`, `md5-crypt`, ..." = maybe("scheme", &x.scheme);
        guessed: maybe "List in which the password that verified stands." = x.guessed.as_ref().ok_or(Not::Recorded("guessed")).and_then(|g| text(&g.list));
        guessed_index: maybe_int "Its position in that list." = maybe_int("guessed_index", x.guessed.as_ref().map(|g| g.index));
        candidates_tried: int "Candidates of public lists that were tried." = int(x.candidates_tried);
        replaced_at_first_boot: maybe "What replaces the password at first boot." = maybe("replaced_at_first_boot", &x.replaced_at_first_boot);
        same_uid: int "Other names with the same user id in the same store." = int(peers);
        template: bool "Lies among templates or examples that log-in does not read." = boolean(x.template);
    }
    LOGIN_KEY "login_key" "login_keys" (fact!(LoginKey, x) => x) "A public key that opens a login." {
        user: maybe "Account it opens." = maybe("user", &x.user);
        algorithm: text "`ssh-ed25519`, `ssh-rsa`, ..." = text(&x.algorithm);
        bits: maybe_int "Size in bits." = maybe_int("bits", x.bits);
        fingerprint: text "`SHA256:...`" = text(&x.fingerprint);
        honoured: tri "A server in the image reads this path." = tri(&x.honoured);
    }
    PRIVATE_KEY "private_key" "private_keys" (fact!(PrivateKey, x) => x) "A private key." {
        algorithm: text "`rsa`, `ec`, `ed25519`, `dsa`, ..." = text(&x.algorithm);
        bits: maybe_int "Size in bits." = maybe_int("bits", x.bits);
        encoding: text "`pkcs1`, `pkcs8`, `openssh`, ..." = text(&x.encoding);
        encrypted: bool "Protected by a passphrase." = boolean(x.encrypted);
        role: text "`server`, `ssh-host`, `client`, `authority`, `code-signing`, `test-vector` or `unknown`." = text(match x.role {
            KeyRole::Server => "server",
            KeyRole::SshHost => "ssh-host",
            KeyRole::Client => "client",
            KeyRole::Authority => "authority",
            KeyRole::CodeSigning => "code-signing",
            KeyRole::TestVector => "test-vector",
            KeyRole::Unknown => "unknown",
        });
        used_by: maybe "Service whose configuration names the file." = maybe("used_by", &x.used_by);
        published: maybe "Publication in which this very key stands." = maybe("published", &x.published);
        replaced_at_first_boot: maybe "What makes the key anew at first boot." = maybe("replaced_at_first_boot", &x.replaced_at_first_boot);
    }
    CERTIFICATE "certificate" "certificates" (fact!(Certificate, x) => x) "An X.509 certificate. Subject and issuer are not visible to conditions." {
        not_before: int "Start of validity, seconds since 1970-01-01 UTC." = int(x.not_before);
        not_after: int "End of validity, seconds since 1970-01-01 UTC." = int(x.not_after);
        signature_algorithm: text "Such as `sha256WithRSAEncryption`." = text(&x.signature_algorithm);
        key_algorithm: text "`rsa`, `ec`, `ed25519`, ..." = text(&x.key_algorithm);
        key_bits: maybe_int "Key size in bits." = maybe_int("key_bits", x.key_bits);
        authority: bool "Basic constraints say CA." = boolean(x.authority);
        usages: texts "Key usages and extended key usages by name." = Ok(Value::Texts(&x.usages));
        self_signed: bool "Subject is issuer." = boolean(x.self_signed);
        trust_store: bool "Lies in a store of public authorities." = boolean(x.trust_store);
        used_by: maybe "Service whose configuration names the file." = maybe("used_by", &x.used_by);
        replaced_at_first_boot: maybe "What makes the certificate anew at first boot." = maybe("replaced_at_first_boot", &x.replaced_at_first_boot);
        irregularities: texts "Wrong but readable encodings." = Ok(Value::Texts(&x.irregularities));
    }
    SECRET "secret" "secrets" (fact!(Secret, x) => x) "A secret literal. Its value is not visible to conditions." {
        kind: text "Kind, by rule id." = text(&x.kind);
        name: maybe "Key or variable it is assigned to." = maybe("name", &x.name);
        length: int "Length in bytes." = int(x.length);
        sink: maybe "What it is used for, where the use is in the same text." = maybe("sink", &x.sink);
    }
    EXECUTABLE "executable" "executables" (Subject::Fact(Observation { fact: Fact::Executable(x), .. }, peers) => x) "An executable or library with its hardening." {
        started: tri "The image's own start-up starts or needs it." = tri(&x.started);
        network_facing: tri "It is started and would listen on the network, or such a program needs it." = tri(&x.network_facing);
        privileged: bool "Setuid, setgid or with file capabilities." = boolean(x.privileged);
        format: text "`elf` or `pe`." = text(&x.format);
        bits: int "32 or 64." = int(x.bits);
        machine: text "`x86-64`, `arm`, `aarch64`, `mips`, ..." = text(&x.machine);
        kind: text "`executable`, `pie`, `shared-library`, `static`, `static-pie`, `kernel-module` or `object`." = text(&x.kind);
        interpreter: maybe "Program interpreter." = maybe("interpreter", &x.interpreter);
        libc: text "`glibc`, `musl`, `uclibc`, `bionic`, `none` or `unknown`." = text(&x.libc);
        needed: texts "Libraries it needs." = Ok(Value::Texts(&x.needed));
        soname: maybe "Its own name as a library." = maybe("soname", &x.soname);
        stripped: bool "Symbol table stripped." = boolean(x.stripped);
        debug_info: bool "Carries debug information." = boolean(x.debug_info);
        position_independent: tri "Loads at a random address." = tri(&x.position_independent);
        non_executable_stack: tri "Stack is not executable." = tri(&x.non_executable_stack);
        relro: text "`none`, `partial`, `full` or `not-applicable`." = text(&x.relro);
        stack_protector: tri "Functions check a canary." = tri(&x.stack_protector);
        fortify: tri "Fortified libc calls are used where they could be." = tri(&x.fortify);
        no_writable_code: tri "No segment is writable and executable." = tri(&x.no_writable_code);
        no_text_relocations: tri "No text relocations." = tri(&x.no_text_relocations);
        rpath: maybe "DT_RPATH." = maybe("rpath", &x.rpath);
        runpath: maybe "DT_RUNPATH." = maybe("runpath", &x.runpath);
        control_flow: tri "Branch protection of the architecture." = tri(&x.control_flow);
        compiler: maybe "Compiler family: `gcc`, `clang`, `rustc`, ... or `other`." = x.compiler.as_deref().ok_or(Not::Recorded("compiler")).and_then(|c| text(compiler_family(c)));
        compiler_major: maybe_int "Its major version." = maybe_int("compiler_major", x.compiler.as_deref().and_then(compiler_major));
        build_id: bool "Carries a build id." = boolean(x.build_id.is_some());
        language: text "`c`, `c++`, `go`, `rust` or `unknown`." = text(&x.language);
        attributed: bool "A package or an identified component accounts for it." = boolean(x.owner.is_some() || peers > 0);
    }
    PACKAGE "package" "packages" (fact!(Package, x) => x) "A package of a package database." {
        manager: text "`dpkg`, `opkg`, `apk`, `rpm`, ..." = text(&x.manager);
        name: text "Package name." = text(&x.name);
        version: text "Version as recorded." = text(&x.version);
        architecture: maybe "Architecture as recorded." = maybe("architecture", &x.architecture);
        installed: bool "Installed, not just known." = boolean(x.installed);
        files: int "Number of paths it owns." = int(i64::try_from(x.files.len()).unwrap_or(i64::MAX));
    }
    COMPONENT "component" "components" (Subject::Fact(Observation { fact: Fact::Component(x), .. }, peers) => x) "A component by whatever evidence." {
        name: text "Product name, such as `busybox`." = text(&x.component.name);
        version: maybe "Version as found." = maybe("version", &x.component.version);
        major: maybe_int "First number of the version." = part("major", x.component.version.as_deref().unwrap_or_default(), 0);
        minor: maybe_int "Second number of the version." = part("minor", x.component.version.as_deref().unwrap_or_default(), 1);
        patch: maybe_int "Third number of the version." = part("patch", x.component.version.as_deref().unwrap_or_default(), 2);
        versions: int "Distinct versions of this component in the image." = int(peers);
        relation: text "`is`, `statically-contains`, `dynamically-needs` or `names`." = text(&x.relation);
        by: text "Rule or database that identified it." = text(&x.by);
        owned: bool "A package owns the file." = boolean(x.owner.is_some());
    }
    SERVICE "service" "services" (fact!(Service, x) => x) "A program that the image's own start-up starts or could start." {
        name: text "Name of the unit, script or line." = text(&x.name);
        command: text "Command line as configured." = text(&x.command);
        program: maybe "Path of the program in the image." = maybe("program", &x.program);
        starter: text "`sysv`, `inittab`, `procd`, `systemd`, `rc`, `inetd`, ..." = text(&x.starter);
        at_boot: tri "It runs in the delivered state." = tri(&x.at_boot);
        protocol: text "What it speaks; empty where unknown." = text(&x.protocol);
        listens: listens "Where it would listen." = Ok(Value::List(x.listens.iter().map(|l| Value::Record(Subject::Listen(l))).collect()));
        user: maybe "User it runs as; without one it is the starter's." = maybe("user", &x.user);
        confinement: map "Confinement that the starter applies, by directive." = Ok(Value::Map(&x.confinement));
        authentication: tri "A client must authenticate." = tri(&x.authentication);
    }
    SETTING "setting" "settings" (fact!(Setting, x) => x) "A setting as it is in effect." {
        subject: text "`sshd`, `dropbear`, `httpd`, `snmpd`, `sysctl`, `login`, `pam`, ..." = text(&x.subject);
        key: text "Key as the program names it." = text(&x.key);
        value: text "Value." = text(&x.value);
        known_from: text "`configured` or `default`." = text(&x.known_from);
        in_use: tri "The program it belongs to is started by the image." = tri(&x.in_use);
        number: maybe_int "The value, where it is a whole number." = maybe_int("number", x.value.trim().parse::<i64>().ok());
    }
    PERMISSION "permission" "permissions" (fact!(Permission, x) => x) "A file whose permissions deserve attention." {
        file: text "Path in its file system." = text(&x.path);
        mode: int "Mode bits." = int(x.mode);
        others_write: bool "Others than owner and group may write it." = boolean(x.mode & 0o2 != 0);
        others_read: bool "Others than owner and group may read it." = boolean(x.mode & 0o4 != 0);
        group_write: bool "The group may write it." = boolean(x.mode & 0o20 != 0);
        sticky: bool "Only the owner of an entry may remove it." = boolean(x.mode & 0o1000 != 0);
        uid: maybe_int "Owner." = maybe_int("uid", x.uid);
        gid: maybe_int "Group." = maybe_int("gid", x.gid);
        issue: text "`setuid`, `setgid`, `capability`, `world-writable`, `world-writable-folder`, `device` or `readable-secret`." = text(&x.issue);
        file_kind: text "`file`, `directory`, `char-device` or `block-device`." = text(&x.file_kind);
        capabilities: maybe "Capabilities as text." = maybe("capabilities", &x.capabilities);
        role: text "`shell`, `interpreter`, `multi-call`, `su-program`, `init-script`, `configuration`, `library`, `executable` or `other`." = text(&x.role);
        read_only: tri "Its file system cannot be written at run time." = tri(&x.read_only);
    }
    KERNEL "kernel" "kernels" (fact!(Kernel, x) => x) "A kernel. What a builder appended to the release is not visible to conditions." {
        release: text "Numbers of the release, such as `5.15.137`." = text(release_number(&x.release));
        major: maybe_int "First number." = part("major", release_number(&x.release), 0);
        minor: maybe_int "Second number." = part("minor", release_number(&x.release), 1);
        patch: maybe_int "Third number." = part("patch", release_number(&x.release), 2);
        branch: text "Branch of the release: `5.15`, `2.6.32`." = text(branch(release_number(&x.release)));
        config_source: text "`embedded`, `file` or `none`." = text(&x.config_source);
        config: map "Configuration, `CONFIG_` stripped; options that are not set are absent." = match x.config_source.as_str() {
            "none" => Err(Not::Known(Cow::Borrowed("the kernel's configuration is not in the image"))),
            _ => Ok(Value::Map(&x.config)),
        };
        machine: maybe "Machine." = maybe("machine", &x.machine);
    }
    UPDATE_CONTAINER "update_container" "update_containers" (fact!(UpdateContainer, x) => x) "A container that carries an update or a boot image." {
        format: text "Format id." = text(&x.format);
        integrity: text "Strongest mechanism it carries: `none`, `crc`, `hash` or `signature`." = text(match x.integrity {
            Integrity::None => "none",
            Integrity::Crc => "crc",
            Integrity::Hash => "hash",
            Integrity::Signature => "signature",
        });
        algorithm: maybe "Algorithm as named." = maybe("algorithm", &x.algorithm);
        correct: tri "The value is right, where it can be computed." = tri(&x.correct);
        encrypted: bool "Says that part of the payload is encrypted." = boolean(x.encrypted);
        outermost: bool "Outermost container of the image." = boolean(x.outermost);
    }
    TOOL "tool" "tools" (fact!(Tool, x) => x) "A file that serves development or diagnosis, or runs code given to it." {
        name: text "Name, such as `gdbserver`." = text(&x.name);
        category: text "`debugger`, `packet-capture`, `compiler`, `interpreter`, `network-test`, `example`, `build-leftover`, `version-control` or `core-dump`." = text(&x.category);
        file: text "Path." = text(&x.path);
        started: tri "The image's own start-up starts it." = tri(&x.started);
        served: tri "It lies below a folder that a web server of the image serves." = tri(&x.served);
    }
    MOUNT "mount" "mounts" (fact!(Mount, x) => x) "A mount that the image configures." {
        device: text "Device or pseudo file system." = text(&x.device);
        target: text "Mount point." = text(&x.target);
        fs: text "File system type." = text(&x.fs);
        options: texts "Options." = Ok(Value::Texts(&x.options));
        by: text "File that configures it." = text(&x.by);
    }
    SCHEDULED_JOB "scheduled_job" "scheduled_jobs" (fact!(ScheduledJob, x) => x) "A job that the image schedules." {
        when: text "When, as written." = text(&x.when);
        user: maybe "User it runs as." = maybe("user", &x.user);
        command: text "Command line." = text(&x.command);
        program_writable: tri "Its program or a folder on the way is writable by others than root." = tri(&x.program_writable);
    }
    VULNERABILITY "vulnerability" "vulnerabilities" (Subject::Vulnerability(x) => x) "A published vulnerability matched to a component." {
        id: text "CVE id, or the id of the advisory." = text(&x.id);
        component: text "Product name of the component." = text(&x.component.name);
        version: maybe "Its version as found." = maybe("version", &x.component.version);
        grade: int "How well established: 0 named, 1 version, 2 present, 3 unpatched, 4 reachable, 5 demonstrated." = int(x.grade as i64);
        dismissed: bool "It was shown that it does not concern this image." = boolean(x.dismissed.is_some());
        known_exploited: bool "On the list of known exploited vulnerabilities." = boolean(x.known_exploited);
        score_tenths: maybe_int "CVSS base score times 10." = maybe_int("score_tenths", x.cvss.as_ref().map(|c| c.score_tenths));
        epss_ppm: maybe_int "EPSS probability in parts per million." = maybe_int("epss_ppm", x.epss_ppm);
    }
    LISTEN "listen" "" (Subject::Listen(x) => x) "A place where a service would listen." {
        transport: text "`tcp`, `udp`, `unix` or `serial`." = text(&x.transport);
        port: maybe_int "Port number." = maybe_int("port", x.port);
        address: text "Address, path or device; `*` for all." = text(&x.address);
        known_from: text "`configured` or `default`." = text(&x.known_from);
    }
    IMAGE "image" "" (Subject::Image(x) => x) "The whole image. Its name is not visible to conditions." {
        root_file_systems: int "Number of root file systems found." = int(x.root_file_systems);
        start_up_known: tri "The start-up graph is complete." = tri(&x.start_up);
        operating_system: maybe "Operating system, by name." = maybe("operating_system", &x.operating_system);
        device_class: maybe "Class of device." = maybe("device_class", &x.device_class);
        size: int "Bytes of the image." = int(x.size);
        opaque: int "Bytes of the image that no format claims." = int(x.opaque);
        uniform_permissions: bool "Nearly all files of a root file system carry one mode, set by the packaging." = boolean(x.uniform_permissions);
        feeds: int "Feeds of vulnerability data in use." = int(x.feeds);
    }
}
