//! One content to hits.
//!
//! Establishes: which products of the catalogue a content is, statically contains, dynamically needs or names,
//! with version, places and features.
//!
//! How: one pass over the bytes for all literals; around each hit the expressions of the evidence it leads to;
//! for ELF files the SONAME, defined symbols, version definitions and needed libraries. Evidence adds up to
//! 100 or nothing is said. The version comes from the strongest kind of evidence there is: its own banner, then
//! a table that changed with each release, version definitions, a version string beside an anchor, the file name,
//! the only version-like string of the data sections. What came or went with a release bounds the version where
//! none of these tells it.
//!
//! False positives: a program that carries another's banner as data. A content with the banners of more than
//! [`LIST`] programs is a list, and everything in it is *named*.
//!
//! False negatives: compressed or encrypted parts (the unpacker opens what it knows), strings built at run time.

use std::{collections::BTreeMap, ops::Range};

use regex_automata::{Anchored, Input};
use serde::{Deserialize, Serialize};

use crate::{
    catalogue::{Catalogue, Role, Use},
    elf::Elf,
    rule::{Evidence, Kind, Media, Product, Relation},
    span::Span,
    strings,
};

/// Longest version that is believed.
pub const VERSION_LIMIT: usize = 64;
/// Looks at one evidence in one content; further hits of its literal are not looked at.
const LOOKS: u32 = 512;
/// Places kept for one hit.
const PLACES: usize = 8;
/// From this many programs on, a content is a list of them.
const LIST: usize = 6;
/// Shortest run of ascending names that is believed to be a table.
const RUN: usize = 8;
/// Weight from which a banner that does not identify names.
const NAMING: u16 = 50;
/// Default distance for `near`.
const NEAR: u32 = 256;

/// A product in a content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Hit {
    /// Product, by its name in the catalogue.
    pub product: String,
    /// Version as upstream writes it; `None` where the bytes do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Between which releases it lies, where the bytes tell that and no version.
    #[serde(default, skip_serializing_if = "Span::is_open")]
    pub span: Span,
    /// How content and product belong together.
    pub relation: Relation,
    /// Evidence that tells it: kind and number in the product's rule, such as `text 1`.
    pub by: Vec<String>,
    /// Sum of the weights of the evidence, at least 100 unless the relation is `names` or follows from a SONAME.
    pub weight: u16,
    /// Places `(offset, length)`, the one that tells the version first.
    pub places: Vec<(u64, u64)>,
    /// Options that the bytes tell, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Prefixes of features of which the bytes tell all there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub complete: Vec<String>,
}

/// What was seen of one evidence.
#[derive(Debug, Default)]
struct Seen {
    looks: u32,
    /// End of the string that was looked at last.
    until: usize,
    places: Vec<(u64, u64)>,
    versions: Versions,
    /// Releases told by what follows a table.
    tables: Versions,
}

/// What was seen of one product.
#[derive(Debug, Default)]
struct State {
    evidence: BTreeMap<u32, Seen>,
    features: BTreeMap<u32, Vec<String>>,
    feature_looks: u32,
    soname: Option<(u64, u64)>,
    unless: bool,
}

struct Content<'a> {
    bytes: &'a [u8],
    name: Option<&'a str>,
    elf: Option<Elf<'a>>,
    media: Media,
    /// Tables of symbol names: imports say what is needed, not what is there.
    symbols: Vec<Range<usize>>,
}

impl Content<'_> {
    fn in_symbols(&self, at: usize) -> bool {
        self.symbols.iter().any(|r| r.contains(&at))
    }
}

/// What `bytes` are, contain, need and name.
pub(crate) fn identify(catalogue: &Catalogue, name: Option<&str>, bytes: &[u8]) -> Vec<Hit> {
    let elf = Elf::parse(bytes);
    let media = match elf {
        Some(_) => Media::Elf,
        None if looks_like_text(bytes) => Media::Text,
        None => Media::Raw,
    };
    let name = name.map(|n| n.rsplit('/').next().unwrap_or(n));
    let symbols = elf.as_ref().map(Elf::symbol_names).unwrap_or_default();
    let content = Content { bytes, name, elf, media, symbols };
    let mut states = BTreeMap::new();
    scan(catalogue, &content, &mut states);
    dynamic(catalogue, &content, &mut states);
    let mut found = Found { catalogue, content: &content, candidates: None };
    let mut hits: Vec<Hit> =
        states.iter().flat_map(|(product, state)| found.conclude(*product, state)).collect();
    needs(catalogue, &content, &mut hits);
    mark_list(catalogue, &mut hits);
    hits.sort();
    hits
}

/// Text, judged by its beginning: no control characters other than those of text.
fn looks_like_text(bytes: &[u8]) -> bool {
    let head = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    !head.iter().any(|b| matches!(b, 0..=6 | 0x0e..=0x1a | 0x1c..=0x1f))
}

fn place(range: &Range<usize>) -> (u64, u64) {
    (range.start as u64, range.len() as u64)
}

fn keep(places: &mut Vec<(u64, u64)>, range: &Range<usize>) {
    if places.len() < PLACES && !places.contains(&place(range)) {
        places.push(place(range));
    }
}

/// The pass over the bytes.
fn scan(catalogue: &Catalogue, content: &Content<'_>, states: &mut BTreeMap<u32, State>) {
    catalogue.literals.find(content.bytes, |literal, range| {
        for used in catalogue.uses.get(literal).into_iter().flatten() {
            match *used {
                Use::Unless(p) => states.entry(p).or_default().unless = true,
                Use::Feature(p, f) => feature(catalogue, content, states, (p, f), &range),
                Use::Evidence(p, e) => {
                    let Some(evidence) = catalogue.evidence(p, e) else { continue };
                    let names = evidence.text.is_none() && content.in_symbols(range.start);
                    if names || !allowed(evidence, content.media) {
                        continue;
                    }
                    let seen = states.entry(p).or_default().evidence.entry(e).or_default();
                    if seen.looks < LOOKS {
                        seen.looks = seen.looks.saturating_add(1);
                        look(catalogue, content.bytes, (p, e), evidence, &range, seen);
                    }
                }
            }
        }
    });
}

fn allowed(evidence: &Evidence, media: Media) -> bool {
    if evidence.media.is_empty() { media != Media::Text } else { evidence.media.contains(&media) }
}

/// One hit of an evidence's literal.
fn look(
    catalogue: &Catalogue,
    bytes: &[u8],
    (p, e): (u32, u32),
    evidence: &Evidence,
    range: &Range<usize>,
    seen: &mut Seen,
) {
    if evidence.text.is_none() || evidence.near.is_some() {
        keep(&mut seen.places, range);
        let behind = bytes.get(range.end..).unwrap_or_default();
        if let Some((release, length)) = evidence.following(behind) {
            let whole = range.start..range.end.saturating_add(length);
            keep(seen.tables.entry(release.to_owned()).or_default(), &whole);
        }
        return;
    }
    if range.start < seen.until {
        return;
    }
    let around = strings::around(bytes, range.start, range.len());
    seen.until = around.end;
    let Some(regex) = catalogue.expression(p, e, Role::Text) else { return };
    let Some(text) = bytes.get(around.clone()) else { return };
    let mut captures = regex.create_captures();
    let mut from = 0usize;
    // A text may name several versions: all are kept.
    for _ in 0..8 {
        regex.captures(Input::new(text).range(from..), &mut captures);
        let Some(whole) = captures.get_match() else { return };
        let at = around.start.saturating_add(whole.start());
        let whole_range = at..at.saturating_add(whole.len());
        keep(&mut seen.places, &whole_range);
        let raw = captures.get_group(1).and_then(|group| text.get(group.range()));
        if let Some(version) = raw.and_then(|v| version(evidence, v)) {
            keep(seen.versions.entry(version).or_default(), &whole_range);
        }
        if whole.is_empty() {
            return;
        }
        from = whole.end();
    }
}

/// The version as text, with the evidence's replacements.
fn version(evidence: &Evidence, raw: &[u8]) -> Option<String> {
    if raw.is_empty() || raw.len() > VERSION_LIMIT {
        return None;
    }
    let text = std::str::from_utf8(raw).ok()?;
    let replaced = |text: String, [from, to]: &[String; 2]| text.replace(from.as_str(), to);
    Some(evidence.replace.iter().fold(text.to_owned(), replaced))
}

/// One hit of a feature's literal.
fn feature(
    catalogue: &Catalogue,
    content: &Content<'_>,
    states: &mut BTreeMap<u32, State>,
    (p, f): (u32, u32),
    range: &Range<usize>,
) {
    let Some(feature) = catalogue.feature(p, f) else { return };
    let state = states.entry(p).or_default();
    if state.feature_looks >= LOOKS || content.media == Media::Text {
        return;
    }
    state.feature_looks = state.feature_looks.saturating_add(1);
    let found = state.features.entry(f).or_default();
    if feature.run {
        let names = strings::run_of_names(content.bytes, range.start);
        if names.len() >= RUN && names.len() > found.len() {
            *found = names.iter().map(|n| format!("{}{n}", feature.name)).collect();
        }
        return;
    }
    let Some(regex) = catalogue.expression(p, f, Role::Feature) else {
        if feature.has.is_some() && found.is_empty() {
            found.push(feature.name.clone());
        }
        return;
    };
    let around = strings::around(content.bytes, range.start, range.len());
    let Some(text) = content.bytes.get(around) else { return };
    let mut captures = regex.create_captures();
    regex.captures(Input::new(text), &mut captures);
    let Some(group) = captures.get_group(1) else { return };
    let text = String::from_utf8_lossy(text.get(group.range()).unwrap_or_default()).into_owned();
    let split = feature.split.as_deref().unwrap_or_default();
    for name in text.split(|c| split.contains(c)).filter(|n| !n.is_empty()).take(4096) {
        let name = format!("{}{name}", feature.name);
        if !found.contains(&name) {
            found.push(name);
        }
    }
}

/// Evidence of the dynamic section: SONAME, symbols.
fn dynamic(catalogue: &Catalogue, content: &Content<'_>, states: &mut BTreeMap<u32, State>) {
    let Some(elf) = &content.elf else { return };
    let own = elf.soname().and_then(|(at, s)| Some((at, s, catalogue.soname_index(s)?)));
    if let Some((at, soname, p)) = own {
        states.entry(p).or_default().soname = Some((at as u64, soname.len() as u64));
    }
    let mut found: BTreeMap<(u32, u32), Vec<Range<usize>>> = BTreeMap::new();
    for (at, symbol) in elf.defined() {
        for used in catalogue.symbols.get(symbol).into_iter().flatten() {
            let end = at.saturating_add(symbol.len());
            found.entry(*used).or_default().push(at..end);
        }
    }
    for ((p, e), places) in found {
        let wanted = catalogue.evidence(p, e).map_or(usize::MAX, |e| e.symbols.len());
        if places.len() >= wanted {
            let seen = states.entry(p).or_default().evidence.entry(e).or_default();
            places.iter().for_each(|range| keep(&mut seen.places, range));
        }
    }
}

/// DT_NEEDED as hits.
fn needs(catalogue: &Catalogue, content: &Content<'_>, hits: &mut Vec<Hit>) {
    let Some(elf) = &content.elf else { return };
    let mut needs: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
    for (at, soname) in elf.needed() {
        if let Some(product) = catalogue.by_soname(soname) {
            let places = needs.entry(product.name.clone()).or_default();
            keep(places, &(at..at.saturating_add(soname.len())));
        }
    }
    hits.extend(needs.into_iter().map(|(product, places)| Hit {
        product,
        version: None,
        span: Span::default(),
        relation: Relation::DynamicallyNeeds,
        by: vec!["needed".into()],
        weight: 100,
        places,
        features: Vec::new(),
        complete: Vec::new(),
    }));
}

/// A content with the banners of many programs is a list of them.
fn mark_list(catalogue: &Catalogue, hits: &mut [Hit]) {
    let is_program = |h: &&Hit| {
        h.relation == Relation::Is
            && catalogue.product(&h.product).is_some_and(|p| p.kind == Kind::Program)
    };
    let mut programs: Vec<&str> =
        hits.iter().filter(is_program).map(|h| h.product.as_str()).collect();
    programs.dedup();
    if programs.len() > LIST {
        for hit in hits.iter_mut().filter(|h| h.relation < Relation::DynamicallyNeeds) {
            hit.relation = Relation::Names;
        }
    }
}

/// Draws the conclusion from what was seen of a product.
struct Found<'c, 'b> {
    catalogue: &'c Catalogue,
    content: &'c Content<'b>,
    /// Strings that could be a version, collected when they are needed first.
    candidates: Option<Vec<Range<usize>>>,
}

type Versions = BTreeMap<String, Vec<(u64, u64)>>;

impl Found<'_, '_> {
    fn conclude(&mut self, p: u32, state: &State) -> Vec<Hit> {
        let Some(product) = self.catalogue.at(p) else { return Vec::new() };
        let mut by = Vec::new();
        let mut weight = 0u16;
        let mut places = Vec::new();
        let mut explicit = None;
        let mut seen_file = false;
        let mut span = Span::default();
        for (e, evidence) in (0u32..).zip(&product.evidence) {
            let hit = match state.evidence.get(&e) {
                Some(seen) => (!seen.places.is_empty()).then(|| seen.places.clone()),
                None if evidence.file.is_some() => self.file(p, e).map(|_| Vec::new()),
                None => None,
            };
            if let Some(at) = hit {
                weight = weight.saturating_add(evidence.weight());
                span.narrow(evidence);
                if evidence.branch {
                    let text = state.evidence.get(&e).and_then(|seen| seen.versions.keys().next());
                    let branch = text.cloned().or_else(|| self.file(p, e).flatten());
                    branch.iter().for_each(|b| span.narrow_to_branch(b));
                }
                seen_file |= evidence.file.is_some();
                by.push(format!("{} {}", kind(evidence), e.saturating_add(1)));
                places.extend(at.into_iter().take(2));
                explicit = explicit.or(evidence.relation);
            }
        }
        if let Some(at) = state.soname {
            weight = weight.saturating_add(100);
            by.push("soname".into());
            places.insert(0, at);
        }
        // A banner alone that is not enough to identify still names product and version.
        let banner = state.evidence.values().any(|seen| !seen.versions.is_empty());
        if places.is_empty() || weight < if banner { NAMING } else { 100 } {
            return Vec::new();
        }
        let relation = match weight {
            100.. => self.relation(product, state, explicit, seen_file),
            _ => Relation::Names,
        };
        let (mut features, mut complete) = (Vec::new(), Vec::new());
        for (f, names) in &state.features {
            features.extend(names.iter().cloned());
            let whole = self.catalogue.feature(p, *f).filter(|x| x.complete && !names.is_empty());
            complete.extend(whole.map(|feature| feature.name.clone()));
        }
        features.sort();
        features.dedup();
        let hit = |version: Option<String>, mut first: Vec<(u64, u64)>| {
            places.iter().for_each(|p| {
                if first.len() < PLACES && !first.contains(p) {
                    first.push(*p);
                }
            });
            Hit {
                product: product.name.clone(),
                span: if version.is_none() && !span.is_open() {
                    span.clone()
                } else {
                    Span::default()
                },
                version,
                relation,
                by: by.clone(),
                weight,
                places: first,
                features: features.clone(),
                complete: complete.clone(),
            }
        };
        let versions = self.versions(p, product, state, relation);
        if versions.is_empty() {
            return vec![hit(None, Vec::new())];
        }
        versions.into_iter().map(|(v, at)| hit(Some(v), at)).collect()
    }

    fn relation(
        &self,
        product: &Product,
        state: &State,
        explicit: Option<Relation>,
        named: bool,
    ) -> Relation {
        let relation = match (explicit, product.kind, self.content.media) {
            (Some(relation), ..) => relation,
            (None, Kind::System, _) => Relation::Is,
            (None, Kind::Program, Media::Raw) => Relation::StaticallyContains,
            (None, Kind::Program, _) => Relation::Is,
            (None, Kind::Library, _) if state.soname.is_some() || named => Relation::Is,
            (None, Kind::Library, Media::Text) => Relation::Is,
            (None, Kind::Library, _) => Relation::StaticallyContains,
        };
        if state.unless { Relation::Names } else { relation }
    }

    /// Versions by the strongest kind of evidence that tells any.
    fn versions(
        &mut self,
        p: u32,
        product: &Product,
        state: &State,
        relation: Relation,
    ) -> Versions {
        let kinds: [fn(&Seen) -> &Versions; 2] = [|seen| &seen.versions, |seen| &seen.tables];
        let whole = |e: &u32| product.evidence.get(*e as usize).is_some_and(|e| !e.branch);
        for kind in kinds {
            let mut told = Versions::new();
            let seen = state.evidence.iter().filter(|(e, _)| whole(e)).map(|(_, seen)| seen);
            for (version, places) in seen.flat_map(kind) {
                told.entry(version.clone()).or_default().extend(places);
            }
            if !told.is_empty() {
                return told;
            }
        }
        // In a program with a copy of a library the only string of that form is the program's own version: the
        // linker has dropped the library's where nothing asks for it.
        let copy = self.content.media == Media::Elf
            && product.kind == Kind::Library
            && relation != Relation::Is;
        let counts = |e: &Evidence| !copy || e.always || e.lone.as_deref() != Some("{v}");
        let steps = [Self::by_definition, Self::by_neighbour, Self::by_file, Self::by_loneliness];
        for step in steps {
            for (e, evidence) in (0u32..).zip(&product.evidence).filter(|(_, e)| counts(e)) {
                let found = step(self, p, e, evidence, state);
                if let Some((version, place)) = found {
                    return [(version, vec![place])].into();
                }
            }
        }
        Versions::new()
    }

    /// The highest version definition with a prefix.
    fn by_definition(
        &mut self,
        _: u32,
        _: u32,
        evidence: &Evidence,
        _: &State,
    ) -> Option<(String, (u64, u64))> {
        let prefix = evidence.verdef.as_ref()?.as_bytes();
        let elf = self.content.elf.as_ref()?;
        let numbers = |v: &[u8]| -> Option<Vec<u64>> {
            std::str::from_utf8(v).ok()?.split('.').map(|n| n.parse().ok()).collect()
        };
        let (_, at, text) = elf
            .version_definitions()
            .into_iter()
            .filter_map(|(at, name)| {
                let tail = name.strip_prefix(prefix)?;
                Some((numbers(tail)?, at, tail))
            })
            .max()?;
        let place = (at as u64, text.len().saturating_add(prefix.len()) as u64);
        Some((version(evidence, text)?, place))
    }

    /// The version-like string next to an anchor.
    fn by_neighbour(
        &mut self,
        p: u32,
        e: u32,
        evidence: &Evidence,
        state: &State,
    ) -> Option<(String, (u64, u64))> {
        evidence.near.as_ref()?;
        let anchors = &state.evidence.get(&e)?.places;
        let within = u64::from(evidence.within.unwrap_or(NEAR));
        let fits =
            self.fitting(p, e, if evidence.text.is_some() { Some(Role::Text) } else { None });
        let distance = |(at, length): (u64, u64)| {
            let gap = |(a, l): &(u64, u64)| {
                at.saturating_sub(a.saturating_add(*l))
                    .max(a.saturating_sub(at.saturating_add(length)))
            };
            anchors.iter().map(gap).min().unwrap_or(u64::MAX)
        };
        let (_, raw, at) = fits
            .into_iter()
            .map(|(raw, at)| (distance(at), raw, at))
            .filter(|(d, ..)| *d <= within)
            .min_by_key(|(d, _, at)| (*d, *at))?;
        Some((version(evidence, &raw)?, at))
    }

    /// The version in the file's name.
    fn by_file(
        &mut self,
        p: u32,
        e: u32,
        evidence: &Evidence,
        _: &State,
    ) -> Option<(String, (u64, u64))> {
        evidence.file.as_ref().filter(|_| !evidence.branch)?;
        let found = self.file(p, e)??;
        Some((version(evidence, found.as_bytes())?, (0, self.content.bytes.len().min(4) as u64)))
    }

    /// The only version-like string.
    fn by_loneliness(
        &mut self,
        p: u32,
        e: u32,
        evidence: &Evidence,
        _: &State,
    ) -> Option<(String, (u64, u64))> {
        evidence.lone.as_ref()?;
        let fits = self.fitting(p, e, Some(Role::Lone));
        let (first, at) = fits.first()?.clone();
        if fits.iter().any(|(raw, _)| *raw != first) {
            return None;
        }
        Some((version(evidence, &first)?, at))
    }

    /// Strings that fit an expression (the bare grammar where there is none) as a whole: version and place.
    fn fitting(&mut self, p: u32, e: u32, role: Option<Role>) -> Vec<(Vec<u8>, (u64, u64))> {
        let content = self.content;
        let candidates = self.candidates.get_or_insert_with(|| {
            let parts = match &content.elf {
                Some(elf) => elf.data(),
                None => std::iter::once(0..content.bytes.len()).collect(),
            };
            strings::candidates(content.bytes, &parts)
        });
        let regex = match role {
            Some(role) => self.catalogue.expression(p, e, role),
            None => self.catalogue.expression(p, u32::MAX, Role::Text),
        };
        let Some(regex) = regex else { return Vec::new() };
        let mut captures = regex.create_captures();
        candidates
            .iter()
            .filter_map(|range| {
                let text = content.bytes.get(range.clone())?;
                regex.captures(Input::new(text).anchored(Anchored::Yes), &mut captures);
                let whole = captures.get_match()?;
                if whole.end() != text.len() {
                    return None;
                }
                let group = captures.get_group(1)?;
                Some((text.get(group.range())?.to_vec(), place(range)))
            })
            .collect()
    }

    /// Whether the file name fits, and the version in it.
    fn file(&self, p: u32, e: u32) -> Option<Option<String>> {
        let name = self.content.name?;
        let regex = self.catalogue.expression(p, e, Role::File)?;
        let mut captures = regex.create_captures();
        regex.captures(Input::new(name), &mut captures);
        captures.get_match()?;
        Some(captures.get_group(1).and_then(|g| name.get(g.range())).map(str::to_owned))
    }
}

fn kind(e: &Evidence) -> &'static str {
    match e {
        Evidence { near: Some(_), .. } => "near",
        Evidence { text: Some(_), .. } => "text",
        Evidence { has: Some(_), .. } => "has",
        Evidence { hex: Some(_), .. } => "hex",
        Evidence { verdef: Some(_), .. } => "verdef",
        Evidence { file: Some(_), .. } => "file",
        Evidence { lone: Some(_), .. } => "lone",
        _ => "symbols",
    }
}
