//! The catalogue in memory: products, all their literals, and the look-ups by SONAME and
//! symbol.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, OnceLock},
};

use regex_automata::{meta::Regex, util::syntax};

use crate::literals::Literals;
use crate::rule::{Evidence, Feature, Product, glob, unescape};

/// What a literal leads to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Use {
    /// Evidence `.1` of product `.0`.
    Evidence(u32, u32),
    /// Feature `.1` of product `.0`.
    Feature(u32, u32),
    /// Product `.0` is only mentioned.
    Unless(u32),
}

/// All products with what is needed to find them.
#[derive(Debug)]
pub struct Catalogue {
    products: Vec<Product>,
    pub(crate) literals: Literals,
    pub(crate) uses: Vec<Vec<Use>>,
    expressions: BTreeMap<(u32, u32, Role), OnceLock<Option<Regex>>>,
    sonames: BTreeMap<Vec<u8>, u32>,
    soname_patterns: Vec<(String, u32)>,
    pub(crate) symbols: HashMap<Vec<u8>, Vec<(u32, u32)>>,
}

/// A version that stands alone, possibly with what a distributor puts behind it: `2021.01+dfsg-5`.
const ALONE: &str = "{v}(?:[-+~](?:dfsg|ds|deb|ubuntu|[0-9])[0-9A-Za-z.+~-]*)?";

/// A branch, of which a release is one: `4.17`, `15`.
const BRANCH: &str = r"[0-9]+(?:\.[0-9]+)*";

/// Which expression of an evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Text,
    Lone,
    File,
    Feature,
}

/// The built-in catalogue, made ready on first use.
pub(crate) static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(|| {
    let products = serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/rules.json")));
    // The build script wrote it from the very same types, and a test reads it.
    Catalogue::new(products.unwrap_or_default())
});

impl Catalogue {
    /// Makes `products` ready.
    #[must_use]
    pub fn new(mut products: Vec<Product>) -> Self {
        products.sort_by(|a, b| a.name.cmp(&b.name));
        let mut literals: BTreeMap<Vec<u8>, Vec<Use>> = BTreeMap::new();
        let mut expressions = BTreeMap::new();
        let mut sonames = BTreeMap::new();
        let mut soname_patterns = Vec::new();
        let mut symbols: HashMap<Vec<u8>, Vec<(u32, u32)>> = HashMap::new();
        for (p, product) in (0u32..).zip(&products) {
            for (e, evidence) in (0u32..).zip(&product.evidence) {
                if let Some(lead) = evidence.lead() {
                    literals.entry(lead).or_default().push(Use::Evidence(p, e));
                }
                for symbol in &evidence.symbols {
                    symbols.entry(symbol.clone().into_bytes()).or_default().push((p, e));
                }
                for (role, expression) in roles(evidence) {
                    if expression.is_some() {
                        expressions.insert((p, e, role), OnceLock::new());
                    }
                }
            }
            expressions.insert((p, u32::MAX, Role::Text), OnceLock::new());
            for (f, feature) in (0u32..).zip(&product.features) {
                if let Some(lead) = feature.lead() {
                    literals.entry(lead).or_default().push(Use::Feature(p, f));
                }
                expressions.insert((p, f, Role::Feature), OnceLock::new());
            }
            for literal in &product.unless {
                literals.entry(unescape(literal)).or_default().push(Use::Unless(p));
            }
            for soname in &product.sonames {
                if soname.contains('*') {
                    soname_patterns.push((soname.clone(), p));
                } else {
                    sonames.insert(soname.clone().into_bytes(), p);
                }
            }
        }
        let uses = literals.values().cloned().collect();
        let literals = Literals::new(literals.into_keys().collect());
        Self { products, literals, uses, expressions, sonames, soname_patterns, symbols }
    }

    /// All products, by name.
    #[must_use]
    pub fn products(&self) -> &[Product] {
        &self.products
    }

    /// The product of this name.
    #[must_use]
    pub fn product(&self, name: &str) -> Option<&Product> {
        let at = self.products.binary_search_by(|p| p.name.as_str().cmp(name)).ok()?;
        self.products.get(at)
    }

    /// The product whose library has this SONAME.
    #[must_use]
    pub fn by_soname(&self, soname: &[u8]) -> Option<&Product> {
        self.products.get(self.soname_index(soname)? as usize)
    }

    /// What `bytes` are, contain, need and name; `name` is the file's real name where it is known.
    #[must_use]
    pub fn content(&self, name: Option<&str>, bytes: &[u8]) -> Vec<crate::Hit> {
        crate::identify::identify(self, name, bytes)
    }

    /// Whether all expressions of a product compile.
    ///
    /// # Errors
    ///
    /// One sentence that names the first which does not.
    pub fn compiles(&self, name: &str) -> Result<(), String> {
        let p = self.product(name).ok_or_else(|| format!("no product {name}"))?;
        let evidence = p.evidence.iter().flat_map(|e| [&e.text, &e.lone, &e.file]);
        let features = p.features.iter().map(|f| &f.text);
        for e in evidence.chain(features).flatten() {
            compile(e, &p.version).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }

    pub(crate) fn soname_index(&self, soname: &[u8]) -> Option<u32> {
        self.sonames.get(soname).copied().or_else(|| {
            let text = std::str::from_utf8(soname).ok()?;
            self.soname_patterns.iter().find(|(p, _)| glob(p, text)).map(|(_, at)| *at)
        })
    }

    pub(crate) fn at(&self, product: u32) -> Option<&Product> {
        self.products.get(product as usize)
    }

    pub(crate) fn evidence(&self, product: u32, evidence: u32) -> Option<&Evidence> {
        self.at(product)?.evidence.get(evidence as usize)
    }

    pub(crate) fn feature(&self, product: u32, feature: u32) -> Option<&Feature> {
        self.at(product)?.features.get(feature as usize)
    }

    /// The compiled expression; compiled when it is needed first.
    pub(crate) fn expression(&self, product: u32, n: u32, role: Role) -> Option<&Regex> {
        let cell = self.expressions.get(&(product, n, role))?;
        cell.get_or_init(|| {
            let p = self.at(product)?;
            let text = match role {
                Role::Feature => p.features.get(n as usize)?.text.as_ref()?.clone(),
                Role::Text if n == u32::MAX => ALONE.to_owned(),
                Role::Text => p.evidence.get(n as usize)?.text.clone()?,
                Role::Lone => match p.evidence.get(n as usize)?.lone.as_deref()? {
                    "{v}" => ALONE.to_owned(),
                    form => form.to_owned(),
                },
                Role::File => p.evidence.get(n as usize)?.file.clone()?,
            };
            let branch = p.evidence.get(n as usize).is_some_and(|e| e.branch);
            compile(&text, if branch && role != Role::Feature { BRANCH } else { &p.version }).ok()
        })
        .as_ref()
    }
}

fn roles(e: &Evidence) -> [(Role, &Option<String>); 3] {
    [(Role::Text, &e.text), (Role::Lone, &e.lone), (Role::File, &e.file)]
}

/// An expression over bytes with `{v}` replaced by the grammar as a group; bounded in size.
pub(crate) fn compile(expression: &str, version: &str) -> Result<Regex, String> {
    let full = expression.replace("{v}", &format!("({version})"));
    Regex::builder()
        .syntax(syntax::Config::new().utf8(false).unicode(false))
        .configure(Regex::config().utf8_empty(false).nfa_size_limit(Some(1 << 20)))
        .build(&full)
        .map_err(|e| format!("{full}: {e}"))
}
