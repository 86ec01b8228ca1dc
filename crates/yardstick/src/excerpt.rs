//! A few words of what was seen, for people. Conditions never see them, so they may hold names that conditions
//! must not; secrets stay a prefix and a salted digest.

use proofmark_model::fact::Fact;

use crate::value::Subject;

/// Longest excerpt in characters.
const LONGEST: usize = 160;

/// The excerpt of a finding about `subject`, where its facts carry something worth quoting.
pub(crate) fn excerpt(subject: Subject<'_>) -> Option<String> {
    let text = match subject {
        Subject::Vulnerability(v) => {
            format!(
                "{} {}",
                v.component.name,
                v.component.version.as_deref().unwrap_or("(no version)")
            )
        }
        Subject::Fact(o, _) => match &o.fact {
            Fact::Account(a) => {
                let scheme = a.scheme.as_deref().unwrap_or("-");
                let shell = a.shell.as_deref().unwrap_or("-");
                let mut text = format!("{} ({scheme}, shell {shell})", a.user);
                if let Some(g) = &a.guessed {
                    text.push_str(&format!(
                        ", verified by candidate {} of {}, sha256-salted:{}",
                        g.index,
                        g.list,
                        g.salted.short()
                    ));
                }
                text
            }
            Fact::LoginKey(k) => format!("{} {}", k.algorithm, k.fingerprint),
            Fact::PrivateKey(k) => format!(
                "{} {} key, {}",
                k.algorithm,
                k.bits.map_or_else(|| "?".to_owned(), |b| format!("{b}-bit")),
                k.encoding
            ),
            Fact::Certificate(c) => {
                format!("subject {}, serial {}, {}", c.subject, c.serial, c.signature_algorithm)
            }
            Fact::Secret(s) => format!(
                "{}{}… ({} bytes, sha256-salted:{})",
                s.name.as_ref().map(|n| format!("{n}=")).unwrap_or_default(),
                s.prefix,
                s.length,
                s.salted.short()
            ),
            Fact::Service(s) => s.command.clone(),
            Fact::Setting(s) => format!("{} {}", s.key, s.value),
            Fact::Permission(p) => format!("{:04o} {}", p.mode, p.path),
            Fact::Kernel(k) => k.banner.clone(),
            Fact::Mount(m) => format!("{} {} {} {}", m.device, m.target, m.fs, m.options.join(",")),
            Fact::ScheduledJob(j) => format!("{} {}", j.when, j.command),
            Fact::Component(c) => {
                format!(
                    "{} {}",
                    c.component.name,
                    c.component.version.as_deref().unwrap_or("(no version)")
                )
            }
            Fact::Package(p) => format!("{} {}", p.name, p.version),
            Fact::Executable(_) | Fact::UpdateContainer(_) | Fact::Tool(_) | Fact::Trait(_) => {
                return None;
            }
        },
        Subject::Listen(_) | Subject::Image(_) => return None,
    };
    Some(text.chars().filter(|c| !c.is_control()).take(LONGEST).collect())
}
