//! What was seen in the image: hardening, services, accounts, keys, certificates, components.

use std::collections::BTreeSet;

use proofmark_model::{Assessment, Fact, Observation, Tri, fact::KeyRole};

use super::{charts, markup::Markup};
use crate::{
    inventory,
    summary::{self, State},
    text::{count, day, plural},
};

/// Bytes of markup for each table.
const TABLE_BYTES: usize = 90_000;
/// Bytes of markup for components.
const COMPONENT_BYTES: usize = 200_000;
/// Binaries listed one by one.
const WORST: usize = 40;

pub fn section(m: &mut Markup, a: &Assessment) {
    m.raw("<section id=\"seen\" class=\"section\"><h2>What the image holds</h2>");
    hardening(m, a);
    services(m, a);
    accounts(m, a);
    keys(m, a);
    certificates(m, a);
    components(m, a);
    others(m, a);
    m.raw("</section>");
}

/// A table that folds, with its number of rows; nothing at all where there is none.
fn table<T>(
    m: &mut Markup,
    title: &str,
    columns: &[&str],
    rows: &[T],
    limit: usize,
    each: impl FnMut(&mut Markup, &T),
) {
    if rows.is_empty() {
        return;
    }
    m.raw("<details class=\"fold\"><summary><h3>").raw(title).raw("</h3><span class=\"n\">");
    m.raw(&count(rows.len() as u64)).raw("</span></summary><table class=\"cards\"><thead><tr>");
    for c in columns {
        m.raw("<th>").raw(c);
    }
    m.raw("</thead><tbody>");
    let left = m.bounded(rows, limit, each);
    m.raw("</tbody></table>").rest(left, "row", "rows").raw("</details>");
}

/// A cell with the name of its column, which narrow screens show.
fn cell<'m>(m: &'m mut Markup, label: &str, text: &str) -> &'m mut Markup {
    m.raw("<td data-l=\"").raw(label).raw("\">").short(text, 240)
}

fn tri(m: &mut Markup, label: &str, t: &Tri) {
    m.raw("<td data-l=\"").raw(label).raw("\">");
    match t {
        Tri::Yes => m.raw("yes"),
        Tri::No => m.raw("no"),
        Tri::Unknown(why) => m.raw("<span class=\"dim\">unknown: ").short(why, 160).raw("</span>"),
        Tri::NotApplicable(why) => m.raw("<span class=\"dim\">").short(why, 160).raw("</span>"),
    };
}

fn rows<'a, T>(
    a: &'a Assessment,
    pick: impl Fn(&'a Fact) -> Option<T>,
) -> Vec<(T, &'a Observation)> {
    a.observations.iter().filter_map(|o| Some((pick(&o.fact)?, o))).collect()
}

const STATES: [(State, &str, &str, &str); 5] = [
    (State::On, "on", "on", "✓"),
    (State::Partial, "partial", "partial", "~"),
    (State::Off, "off", "off", "✗"),
    (State::Unknown, "unknown", "unknown", "?"),
    (State::NotApplicable, "na", "does not apply", "–"),
];

fn hardening(m: &mut Markup, a: &Assessment) {
    let all = summary::executables(a);
    if all.is_empty() {
        return;
    }
    m.raw("<h3 id=\"hardening\">Hardening of binaries</h3><p class=\"lede\">");
    m.raw(&plural(all.len() as u64, "program or library", "programs and libraries"));
    m.raw(", judged as the loader would apply it.</p><div class=\"chart hardening\">");
    let mut sums = [0_u64; 5];
    for (i, measure) in summary::MEASURES.iter().enumerate() {
        let parts = STATES.map(|(state, class, word, _)| {
            let n = all.iter().filter(|(e, _)| summary::measures(e)[i].0 == state).count() as u64;
            (class, word, n)
        });
        sums.iter_mut().zip(parts).for_each(|(sum, p)| *sum += p.2);
        charts::row(
            m,
            |m| {
                m.raw(measure);
            },
            measure,
            &parts,
            &format!("{} off", count(parts[2].2)),
        );
    }
    m.raw("</div>");
    let mut i = 0;
    charts::legend(
        m,
        &STATES.map(|(_, class, word, _)| {
            i += 1;
            (class, word, sums[i - 1])
        }),
    );
    let weak: Vec<_> = all
        .iter()
        .filter(|(e, _)| {
            summary::measures(e).iter().any(|s| matches!(s.0, State::Off | State::Partial))
        })
        .collect();
    if weak.is_empty() {
        return;
    }
    m.raw("<details class=\"fold\" open><summary><h3>Least hardened</h3><span class=\"n\">");
    let shown = weak.len().min(WORST);
    m.raw(&format!("{} of {}", count(shown as u64), count(weak.len() as u64)));
    m.raw("</span></summary><table class=\"matrix\"><thead><tr><th>Binary");
    for measure in summary::MEASURES {
        m.raw("<th class=\"c\">").raw(measure);
    }
    m.raw("</thead><tbody>");
    let left = m.bounded(weak.iter().take(WORST), TABLE_BYTES, |m, (e, o)| {
        let place = o.evidence.first();
        m.raw("<tr><th scope=\"row\"><details class=\"more\"><summary>");
        let path = if e.path.is_empty() { place.path() } else { e.path.clone() };
        m.short(if path.is_empty() { "(the image itself)" } else { &path }, 160);
        if e.network_facing == Tri::Yes {
            m.raw(" <span class=\"chip plain\">network</span>");
        }
        if e.privileged {
            m.raw(" <span class=\"chip plain\">privileged</span>");
        }
        m.raw("</summary>").show(place).raw("</details></th>");
        for (state, why) in summary::measures(e) {
            let Some((_, class, word, glyph)) = STATES.iter().find(|s| s.0 == state) else {
                continue;
            };
            m.raw("<td class=\"c s-").raw(class).raw("\" title=\"").raw(word);
            if let Some(why) = why {
                m.raw(": ").short(why, 160);
            }
            m.raw("\"><span aria-hidden=\"true\">").raw(glyph);
            m.raw("</span><span class=\"vh\">").raw(word).raw("</span>");
        }
    });
    let left = left + (weak.len() - shown) as u64;
    m.raw("</tbody></table>").rest(left, "binary", "binaries").raw("</details>");
}

fn services(m: &mut Markup, a: &Assessment) {
    let all = rows(a, |f| match f {
        Fact::Service(s) => Some(s),
        _ => None,
    });
    table(
        m,
        "Services and ports",
        &["Service", "Speaks", "Listens", "At boot", "User", "Authentication", "Command"],
        &all,
        TABLE_BYTES,
        |m, (s, o)| {
            m.raw("<tr><td><b>").short(&s.name, 80).raw("</b> <span class=\"dim\">");
            m.short(&s.starter, 40).raw("</span>");
            cell(m, "Speaks", &s.protocol);
            let listens: Vec<String> = s
                .listens
                .iter()
                .take(8)
                .map(|l| match l.port {
                    Some(port) => {
                        format!("{} {}:{port} ({})", l.transport, l.address, l.known_from)
                    }
                    None => format!("{} {} ({})", l.transport, l.address, l.known_from),
                })
                .collect();
            cell(m, "Listens", &listens.join(", "));
            tri(m, "At boot", &s.at_boot);
            cell(m, "User", s.user.as_deref().unwrap_or("that of the starter"));
            tri(m, "Authentication", &s.authentication);
            m.raw("<td data-l=\"Command\"><code>").short(&s.command, 200).raw("</code>");
            m.show(o.evidence.first());
        },
    );
}

fn accounts(m: &mut Markup, a: &Assessment) {
    let all = rows(a, |f| match f {
        Fact::Account(x) => Some(x),
        _ => None,
    });
    table(
        m,
        "Accounts",
        &["User", "Store", "Login", "Password", "Place"],
        &all,
        TABLE_BYTES,
        |m, (x, o)| {
            m.raw("<tr><td><b>").short(&x.user, 80).raw("</b>");
            if x.superuser {
                m.raw(" <span class=\"chip plain\">superuser</span>");
            }
            if x.template {
                m.raw(" <span class=\"chip plain\">template</span>");
            }
            cell(m, "Store", &x.store);
            tri(m, "Login", &x.login);
            let state = format!("{:?}", x.password).to_lowercase();
            let mut password = match &x.scheme {
                Some(scheme) => format!("{state}, {scheme}"),
                None => state,
            };
            if let Some(g) = &x.guessed {
                password.push_str(&format!(", verified: entry {} of list {}", g.index, g.list));
            }
            if let Some(by) = &x.replaced_at_first_boot {
                password.push_str(&format!(", replaced at first boot by {by}"));
            }
            cell(m, "Password", &password);
            m.raw("<td data-l=\"Place\">").show(o.evidence.first());
        },
    );
}

fn keys(m: &mut Markup, a: &Assessment) {
    let all = rows(a, |f| match f {
        Fact::LoginKey(k) => Some((
            "login key",
            &k.algorithm,
            k.bits,
            format!(
                "{}{}",
                k.fingerprint,
                k.user.as_ref().map(|u| format!(", opens {u}")).unwrap_or_default()
            ),
        )),
        Fact::PrivateKey(k) => {
            let mut words = vec![k.encoding.clone()];
            if k.encrypted {
                words.push("with passphrase".into());
            }
            words.extend(k.used_by.as_ref().map(|s| format!("used by {s}")));
            words.extend(k.published.as_ref().map(|s| format!("published in {s}")));
            Some((role(k.role), &k.algorithm, k.bits, words.join(", ")))
        }
        _ => None,
    });
    table(m, "Keys", &["Sort", "Algorithm", "About", "Place"], &all, TABLE_BYTES, |m, (k, o)| {
        m.raw("<tr><td><b>").raw(k.0).raw("</b>");
        let bits = k.2.map(|b| format!(" {b} bits")).unwrap_or_default();
        cell(m, "Algorithm", &format!("{}{bits}", k.1));
        cell(m, "About", &k.3);
        m.raw("<td data-l=\"Place\">").show(o.evidence.first());
    });
}

fn role(r: KeyRole) -> &'static str {
    match r {
        KeyRole::Server => "private key, server",
        KeyRole::SshHost => "private key, SSH host",
        KeyRole::Client => "private key, client",
        KeyRole::Authority => "private key, authority",
        KeyRole::CodeSigning => "private key, signs software",
        KeyRole::TestVector => "private key, test vector",
        KeyRole::Unknown => "private key, role not known",
    }
}

fn certificates(m: &mut Markup, a: &Assessment) {
    // Stores of public authorities hold hundreds that nobody needs to read; they are counted.
    let (public, own): (Vec<_>, Vec<_>) = rows(a, |f| match f {
        Fact::Certificate(c) => Some(c),
        _ => None,
    })
    .into_iter()
    .partition(|(c, _)| c.trust_store);
    table(
        m,
        "Certificates",
        &["Subject", "Key and signature", "Valid", "Place"],
        &own,
        TABLE_BYTES,
        |m, (c, o)| {
            m.raw("<tr><td><b>").short(&c.subject, 200).raw("</b>");
            if c.self_signed {
                m.raw(" <span class=\"chip plain\">self-signed</span>");
            }
            if c.authority {
                m.raw(" <span class=\"chip plain\">authority</span>");
            }
            let bits = c.key_bits.map(|b| format!(" {b}")).unwrap_or_default();
            cell(
                m,
                "Key and signature",
                &format!("{}{bits}, {}", c.key_algorithm, c.signature_algorithm),
            );
            cell(m, "Valid", &format!("{} to {}", day(c.not_before), day(c.not_after)));
            m.raw("<td data-l=\"Place\">").show(o.evidence.first());
        },
    );
    if !public.is_empty() {
        m.raw("<p class=\"note\">").raw(&plural(
            public.len() as u64,
            "certificate of a public authority",
            "certificates of public authorities",
        ));
        m.raw(" in trust stores, not listed here.</p>");
    }
}

fn components(m: &mut Markup, a: &Assessment) {
    let all = inventory::components(a);
    table(
        m,
        "Components",
        &["Component", "Version", "Recognised by", "Package URL", "Place"],
        &all,
        COMPONENT_BYTES,
        |m, item| {
            m.raw("<tr><td><b>").short(&item.name, 120).raw("</b>");
            cell(m, "Version", item.version.as_deref().unwrap_or("not known"));
            if !item.other_versions.is_empty() {
                let others: Vec<&str> =
                    item.other_versions.iter().take(4).map(String::as_str).collect();
                m.raw(" <span class=\"dim\">also ").short(&others.join(", "), 120).raw("</span>");
            }
            let by: BTreeSet<String> =
                item.evidence.iter().map(|w| format!("{} ({})", w.by, w.relation)).collect();
            cell(m, "Recognised by", &by.into_iter().collect::<Vec<_>>().join(", "));
            m.raw("<td data-l=\"Package URL\"><code>")
                .short(item.purl.as_deref().unwrap_or(""), 160);
            m.raw("</code><td data-l=\"Place\">");
            if let Some(w) = item.evidence.first() {
                m.show(&w.place);
            }
        },
    );
}

/// Kinds of facts that have no table of their own, counted.
fn others(m: &mut Markup, a: &Assessment) {
    let mut kinds: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for o in &a.observations {
        let listed = matches!(
            o.fact,
            Fact::Service(_)
                | Fact::Account(_)
                | Fact::LoginKey(_)
                | Fact::PrivateKey(_)
                | Fact::Certificate(_)
                | Fact::Component(_)
                | Fact::Package(_)
                | Fact::Executable(_)
        );
        if !listed {
            *kinds.entry(o.fact.kind()).or_default() += 1;
        }
    }
    if !kinds.is_empty() {
        let words: Vec<String> =
            kinds.iter().map(|(k, n)| format!("{} {}", count(*n), k.replace('-', " "))).collect();
        m.raw("<p class=\"note\">Also noted, in <code>assessment.json</code>: ");
        m.text(&words.join(", ")).raw(".</p>");
    }
}
