//! Secret literals by anchored rules.
//!
//! Establishes: tokens of public services, credentials in URLs and on command
//! lines, passphrases and assigned secrets in configurations; never in clear: at
//! most four characters, the length and a salted digest.
//!
//! How: the rules are data (`catalogue/secrets/`). Their literals are one
//! automaton; a regular expression runs only around a literal that was seen.
//!
//! False positives: a placeholder that looks like a secret; words that stand for
//! "none" or "yours" are passed over, and so are variables and paths.
//!
//! False negatives: secrets put together at run time, or named so that no rule
//! sees it; programs are searched for tokens with a prefix of their own only.
//!
//! Sources: with each rule.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use proofmark_model::{Digest, Fact, Observation, Strength, fact};
use regex_automata::meta::Regex;
use serde::{Deserialize, Serialize};

use crate::{Notes, View, notes::Range, root::File};

/// Id and revision.
pub const REVISION: (&str, u32) = ("secrets", 1);

/// Text of the rules.
pub const RULES: &str = include_str!("../../../catalogue/secrets/rules.toml");

/// Bytes before and after a literal in which a pattern may match.
const BEFORE: usize = 128;
const AFTER: usize = 4096;
/// Places looked at in one content, and secrets kept of it.
const PLACES: usize = 4000;
const KEPT: usize = 200;

/// A secret with its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The fact.
    pub secret: fact::Secret,
    /// Its bytes.
    pub range: Range,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Where {
    Any,
    Text,
    Configuration,
}

/// A rule as the catalogue has it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Rule {
    /// Id, such as `github-token`.
    pub id: String,
    /// Raised with every change that can change a result.
    pub revision: u32,
    /// What it is derived from.
    pub source: String,
    /// Where one of these stands, the pattern is tried.
    pub literals: Vec<String>,
    /// Regular expression; group 1 is the secret.
    pub pattern: String,
    r#where: Where,
    /// What the secret is used for, where the text shows it.
    pub sink: Option<String>,
    /// Texts it finds something in.
    pub finds: Vec<String>,
    /// Texts it finds nothing in.
    pub passes_over: Vec<String>,
}

/// All rules.
#[must_use]
pub fn rules() -> Vec<Rule> {
    toml::from_str::<Catalogue>(RULES).map(|c| c.rule).unwrap_or_default()
}

#[derive(Debug, Deserialize)]
struct Catalogue {
    rule: Vec<Rule>,
}

/// What a literal leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// The start of a PEM block.
    Pem,
    /// The start of a kernel's banner.
    Banner,
    /// A rule, by its position.
    Rule(usize),
}

struct Scanner {
    rules: Vec<(Rule, Regex)>,
    /// Literals for programs and other binary content.
    binary: (AhoCorasick, Vec<Anchor>),
    /// Literals for text that is no configuration.
    text: (AhoCorasick, Vec<Anchor>),
    /// All literals.
    configuration: (AhoCorasick, Vec<Anchor>),
}

fn automaton(rules: &[(Rule, Regex)], most: Where) -> Option<(AhoCorasick, Vec<Anchor>)> {
    let mut literals: Vec<&[u8]> = vec![b"-----BEGIN "];
    let mut anchors = vec![Anchor::Pem];
    if most == Where::Any {
        literals.push(crate::kernel::MARK);
        anchors.push(Anchor::Banner);
    }
    for (i, (rule, _)) in rules.iter().enumerate().filter(|(_, (r, _))| r.r#where <= most) {
        for literal in &rule.literals {
            literals.push(literal.as_bytes());
            anchors.push(Anchor::Rule(i));
        }
    }
    Some((AhoCorasick::new(literals).ok()?, anchors))
}

/// The rules are part of the program; a test proves that they compile, so `None` is never seen.
static SCANNER: LazyLock<Option<Scanner>> = LazyLock::new(|| {
    let catalogue: Catalogue = toml::from_str(RULES).ok()?;
    let rules: Vec<(Rule, Regex)> = catalogue
        .rule
        .into_iter()
        .map(|r| Regex::new(&r.pattern).ok().map(|x| (r, x)))
        .collect::<Option<_>>()?;
    Some(Scanner {
        binary: automaton(&rules, Where::Any)?,
        text: automaton(&rules, Where::Text)?,
        configuration: automaton(&rules, Where::Configuration)?,
        rules,
    })
});

/// Kind of content a scan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Binary,
    Text,
    Configuration,
}

/// Places of all literals that matter in this kind of content.
pub(crate) fn anchors(kind: Kind, bytes: &[u8]) -> Vec<(Anchor, usize)> {
    let Some(scanner) = &*SCANNER else { return Vec::new() };
    let (automaton, anchors) = match kind {
        Kind::Binary => &scanner.binary,
        Kind::Text => &scanner.text,
        Kind::Configuration => &scanner.configuration,
    };
    let anchor = |m: aho_corasick::Match| Some((*anchors.get(m.pattern().as_usize())?, m.start()));
    match kind {
        // No literal for programs begins another one; the plain search is the fast one.
        Kind::Binary => automaton.find_iter(bytes).filter_map(anchor).take(PLACES).collect(),
        _ => automaton.find_overlapping_iter(bytes).filter_map(anchor).take(PLACES).collect(),
    }
}

/// Values that stand for the absence of a secret or for the reader's own.
fn is_placeholder(secret: &str) -> bool {
    const WORDS: &[&str] = &[
        "none",
        "null",
        "true",
        "false",
        "changeme",
        "change_me",
        "password",
        "passwd",
        "secret",
        "xxxx",
        "****",
        "example",
        "your",
        "required",
        "optional",
        "sufficient",
        "files",
        "compat",
        "prohibit-password",
        "enabled",
        "disabled",
        "default",
        "empty",
        "undefined",
    ];
    let lower = secret.to_ascii_lowercase();
    let one_character = secret.bytes().all(|b| Some(b) == secret.bytes().next());
    one_character
        || WORDS.contains(&lower.as_str())
        || lower.contains("example")
        || lower.starts_with("your")
        || secret.starts_with(['/', '%', '$', '@', '&'])
        || secret.contains("...")
}

/// Names of settings about passwords rather than of passwords.
fn is_policy(name: &str) -> bool {
    const PARTS: &[&str] =
        &["age", "auth", "days", "dir", "format", "len", "max", "min", "type", "url", "warn"];
    const INSIDE: &[&str] = &[
        "change", "encrypt", "expire", "file", "hash", "length", "path", "policy", "prompt",
        "retry", "strength",
    ];
    let lower = name.to_ascii_lowercase();
    lower.split(['_', '.', '-']).any(|p| PARTS.contains(&p))
        || INSIDE.iter().any(|w| lower.contains(w))
}

/// The secret a rule finds around a literal at `at`.
pub(crate) fn found_at(rule: usize, bytes: &[u8], at: usize, content: &Digest) -> Option<Found> {
    let (rule, regex) = SCANNER.as_ref()?.rules.get(rule)?;
    let start = at.saturating_sub(BEFORE);
    let window = bytes.get(start..at.saturating_add(AFTER).min(bytes.len()))?;
    // A line that begins before the window would look like one that begins with it.
    let skip = if start == 0 {
        0
    } else {
        memchr::memchr(b'\n', window.get(..at.checked_sub(start)?)?).unwrap_or(0)
    };
    let window = window.get(skip..)?;
    let start = start.checked_add(skip)?;
    let mut captures = regex.create_captures();
    let mut from = 0_usize;
    loop {
        let input = regex_automata::Input::new(window).range(from..);
        regex.search_captures(&input, &mut captures);
        let whole = captures.get_match()?;
        let reaches = start.checked_add(whole.end())? > at
            && start.checked_add(whole.start())? <= at.checked_add(64)?;
        if reaches {
            break;
        }
        from = whole.end().max(from.checked_add(1)?);
        if from >= window.len() {
            return None;
        }
    }
    let name = captures
        .get_group_by_name("name")
        .and_then(|s| std::str::from_utf8(window.get(s.range())?).ok());
    let group = if name.is_some() { 2 } else { 1 };
    let span = captures.get_group(group)?;
    let secret = std::str::from_utf8(window.get(span.range())?).ok()?;
    if is_placeholder(secret) || name.is_some_and(is_policy) {
        return None;
    }
    let mut salted = content.0.to_vec();
    salted.extend_from_slice(secret.as_bytes());
    let shown = if secret.len() >= 12 { 4 } else { 1 };
    Some(Found {
        secret: fact::Secret {
            kind: rule.id.clone(),
            name: name.map(str::to_owned),
            prefix: secret.chars().take(shown).collect(),
            length: u32::try_from(secret.len()).ok()?,
            salted: Digest::of(&salted),
            sink: rule.sink.clone(),
        },
        range: (start.checked_add(span.start)? as u64, start.checked_add(span.end)? as u64),
    })
}

/// Adds a secret unless another rule has the same bytes.
pub(crate) fn keep(notes: &mut Notes, found: Found) {
    let overlaps = |f: &Found| f.range.0 < found.range.1 && found.range.0 < f.range.1;
    if notes.secrets.len() < KEPT && !notes.secrets.iter().any(overlaps) {
        notes.secrets.push(found);
    }
}

/// Second stage.
pub(crate) fn image(view: &View<'_>, out: &mut Vec<Observation>) {
    for (id, artifact, notes) in view.noted() {
        if notes.secrets.is_empty() || crate::keys::is_sample(&artifact.locator.path()) {
            continue;
        }
        let Some(file) = File::of(*view, id) else { continue };
        for found in &notes.secrets {
            out.push(Observation {
                fact: Fact::Secret(found.secret.clone()),
                evidence: file.evidence(found.range),
                inspector: REVISION.0.to_owned(),
                revision: REVISION.1,
                strength: Strength::Observed,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(kind: Kind, text: &str) -> Vec<String> {
        let mut notes = Notes::default();
        for (anchor, at) in anchors(kind, text.as_bytes()) {
            if let Anchor::Rule(rule) = anchor
                && let Some(found) = found_at(rule, text.as_bytes(), at, &Digest::of(b""))
            {
                keep(&mut notes, found);
            }
        }
        notes.secrets.into_iter().map(|f| f.secret.kind).collect()
    }

    #[test]
    fn every_rule_finds_and_passes_over() {
        let scanner = SCANNER.as_ref().expect("the rules do not compile");
        let catalogue: Catalogue = toml::from_str(RULES).unwrap();
        assert_eq!(catalogue.rule.len(), scanner.rules.len());
        for rule in &catalogue.rule {
            assert!(
                !rule.finds.is_empty() && !rule.passes_over.is_empty(),
                "{} lacks fixtures",
                rule.id
            );
            for text in &rule.finds {
                assert!(
                    scan(Kind::Configuration, text).contains(&rule.id),
                    "{} does not find {text:?}",
                    rule.id
                );
            }
            for text in &rule.passes_over {
                assert!(
                    !scan(Kind::Configuration, text).contains(&rule.id),
                    "{} finds {text:?}",
                    rule.id
                );
            }
        }
    }

    #[test]
    fn places_and_redaction() {
        let text = format!("{}\nroot_password=Zx81basic99\nx=1\n", "# filler\n".repeat(100));
        let at = text.find("password").unwrap();
        let rule = SCANNER
            .as_ref()
            .unwrap()
            .rules
            .iter()
            .position(|(r, _)| r.id == "assigned-secret")
            .unwrap();
        let found = found_at(rule, text.as_bytes(), at, &Digest::of(b"")).unwrap();
        assert_eq!(&text[found.range.0 as usize..found.range.1 as usize], "Zx81basic99");
        assert_eq!((found.secret.prefix.as_str(), found.secret.length), ("Z", 11));
        assert_eq!(found.secret.name.as_deref(), Some("root_password"));
    }

    #[test]
    fn programs_are_searched_for_tokens_only() {
        assert_eq!(
            scan(Kind::Binary, "password=Zx81basic\0AKIAQ3EGRJW4NBZC2XYT\0"),
            ["aws-access-key-id"]
        );
    }
}
