//! Spellings of the same vendor or product.
//!
//! Exports spell a vendor five ways. Two spellings are guessed to be the same when they are equal
//! after case, punctuation and company words (`Inc`, `GmbH`, ...) are taken away; nothing weaker is
//! applied, because "Vendor A" and "Vendor B" are one letter apart. Every guess is shown, and a
//! file of `from = "to"` lines overrides it in either direction.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Inventory, Sym};

/// Words that say what kind of company it is, not which.
const COMPANY: [&str; 22] = [
    "inc",
    "incorporated",
    "ltd",
    "limited",
    "llc",
    "co",
    "corp",
    "corporation",
    "company",
    "gmbh",
    "ag",
    "ab",
    "sa",
    "spa",
    "plc",
    "oyj",
    "bv",
    "nv",
    "as",
    "kk",
    "srl",
    "group",
];

/// A user's decisions, in TOML: `[vendor]` and `[product]` tables of `"as written" = "canonical"`.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Aliases {
    /// Vendor spellings.
    #[serde(default)]
    pub vendor: BTreeMap<String, String>,
    /// Product spellings.
    #[serde(default)]
    pub product: BTreeMap<String, String>,
}

/// A spelling that was replaced by another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct AliasGuess {
    /// `vendor` or `product`.
    pub kind: &'static str,
    /// As written in the input.
    pub from: String,
    /// What it was read as.
    pub to: String,
    /// Devices concerned.
    pub devices: u64,
    /// `guess` or `file`.
    pub by: &'static str,
}

/// What is left of a name when only its identity counts.
#[must_use]
pub fn key(name: &str) -> String {
    let lower = name.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).collect();
    // A company word counts only behind the first word: "AS" alone is a name.
    let end = words
        .iter()
        .enumerate()
        .rposition(|(i, w)| i == 0 || !COMPANY.contains(w))
        .map_or(0, |i| i + 1);
    words.get(..end).unwrap_or_default().concat()
}

/// Merges spellings in `inventory` and returns what was merged, sorted.
pub fn merge(inventory: &mut Inventory, aliases: &Aliases) -> Vec<AliasGuess> {
    let mut guesses = Vec::new();
    let mut one = |kind: &'static str,
                   file: &BTreeMap<String, String>,
                   get: fn(&mut super::Device) -> &mut Option<Sym>| {
        let mut count: BTreeMap<Sym, u64> = BTreeMap::new();
        for d in &mut inventory.devices {
            if let Some(s) = *get(d) {
                *count.entry(s).or_default() += 1;
            }
        }
        // Of the spellings with the same key the most frequent one stays; ties by the text.
        let mut best: BTreeMap<String, (u64, String)> = BTreeMap::new();
        for (s, n) in &count {
            let text = inventory.names.get(*s).to_owned();
            let slot = best.entry(key(&text)).or_insert((0, String::new()));
            if *n > slot.0 || (*n == slot.0 && text < slot.1) {
                *slot = (*n, text);
            }
        }
        let mut to: BTreeMap<Sym, Sym> = BTreeMap::new();
        for (s, n) in &count {
            let text = inventory.names.get(*s).to_owned();
            let (target, by) = match file.get(&text) {
                Some(t) => (t.clone(), "file"),
                None => match best.get(&key(&text)) {
                    // A key without letters or digits says nothing.
                    Some((_, t)) if !key(&text).is_empty() => (t.clone(), "guess"),
                    _ => continue,
                },
            };
            if target != text {
                to.insert(*s, inventory.names.intern(&target));
                guesses.push(AliasGuess { kind, from: text, to: target, devices: *n, by });
            }
        }
        if !to.is_empty() {
            for d in &mut inventory.devices {
                let slot = get(d);
                if let Some(t) = slot.and_then(|s| to.get(&s)) {
                    *slot = Some(*t);
                }
            }
        }
    };
    one("vendor", &aliases.vendor, |d| &mut d.vendor);
    one("product", &aliases.product, |d| &mut d.product);
    guesses.sort();
    guesses
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn keys_join_spellings_and_keep_names_apart() {
        assert_eq!(key("Acme Networks, Inc."), key("ACME networks"));
        assert_eq!(key("Acme Co., Ltd."), key("acme"));
        assert_ne!(key("Vendor-A"), key("Vendor-B"));
        assert_ne!(key("Acme Networks"), key("Acme Radio"));
        assert_eq!(key("AS"), "as");
        assert_eq!(key("--"), "");
    }
}
