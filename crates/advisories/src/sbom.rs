//! Components out of a CycloneDX or SPDX document, for matching.
//!
//! Documents come from anywhere: size, depth and number of components are bounded, and what is wrong is said with the
//! place. Only coordinates are read: name, version, package URL, CPE names, and the distribution.

use std::path::Path;

use proofmark_model::ComponentRef;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    cpe::Cpe,
    matching::{Owner, Platform, Query},
    purl::{Purl, upstream_version},
};

/// Larger documents are refused.
pub const LARGEST: u64 = 256 << 20;
/// More components are refused.
pub const MOST: usize = 200_000;
/// Longest text of a coordinate.
const LONGEST: usize = 2048;
/// Components within components.
const DEEPEST: usize = 32;

/// What a document lists.
#[derive(Debug, Clone, Default)]
pub struct Sbom {
    /// `CycloneDX 1.6`, `SPDX-2.3`, ...
    pub format: String,
    /// Each component, in the document's order, equal ones once.
    pub queries: Vec<Query>,
    /// What the document says about the system: its distribution, that it has a Linux kernel.
    pub platform: Platform,
    /// Components that could not be used, with the reason.
    pub problems: Vec<String>,
}

/// Reads a document.
///
/// # Errors
/// One sentence: the file cannot be read, is too large, is no JSON, or no SBOM.
pub fn read(path: &Path) -> Result<Sbom, String> {
    let shown = path.display();
    let meta = std::fs::metadata(path).map_err(|e| format!("{shown}: {e}"))?;
    if meta.len() > LARGEST {
        return Err(format!(
            "{shown}: {} bytes; an SBOM of more than {LARGEST} bytes is not read",
            meta.len()
        ));
    }
    let bytes = std::fs::read(path).map_err(|e| format!("{shown}: {e}"))?;
    parse(&bytes).map_err(|e| format!("{shown}: {e}"))
}

/// Reads the bytes of a document.
///
/// # Errors
/// One sentence without the file's name.
pub fn parse(bytes: &[u8]) -> Result<Sbom, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Nesting is bounded by the JSON reader itself.
    let document: Document = serde_json::from_slice(bytes).map_err(|e| match e.classify() {
        serde_json::error::Category::Data => format!("not a CycloneDX or SPDX document: {e}"),
        _ => format!("not readable as JSON: {e}"),
    })?;
    let mut out = Reader::default();
    if document.bom_format.as_deref() == Some("CycloneDX") {
        out.sbom.format = format!("CycloneDX {}", document.spec_version.unwrap_or_default());
        let root = document.metadata.and_then(|m| m.component).map(|c| *c);
        for component in root.into_iter().chain(document.components) {
            out.cyclonedx(component, 0)?;
        }
    } else if let Some(version) = document.spdx_version {
        out.sbom.format = version;
        for package in document.packages {
            out.spdx(package)?;
        }
    } else if !document.graph.is_empty() {
        out.sbom.format = "SPDX 3".into();
        for element in &document.graph {
            out.spdx3(element)?;
        }
    } else {
        return Err(
            "neither a CycloneDX nor an SPDX document: it has no bomFormat, spdxVersion or @graph"
                .into(),
        );
    }
    Ok(out.finish())
}

/// The component that a text on the command line names: a package URL, a CPE name, or `NAME VERSION`.
///
/// # Errors
/// One sentence that says how a component is written.
pub fn from_text(text: &str) -> Result<Query, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > LONGEST {
        return Err(
            "write a package URL, a CPE name, or a name and a version, such as 'busybox 1.35.0'"
                .into(),
        );
    }
    if text.starts_with("pkg:") {
        let purl = Purl::parse(text).ok_or(format!("not a package URL: {text}"))?;
        let component = ComponentRef {
            name: purl.name.clone(),
            version: purl.version.clone(),
            purl: Some(text.to_owned()),
            cpes: Vec::new(),
        };
        return Ok(query(component));
    }
    if text.starts_with("cpe:") {
        let cpe = Cpe::parse(text)?;
        let (_, product) =
            cpe.pair().ok_or(format!("the CPE name has no vendor or no product: {text}"))?;
        let version = cpe.version.value().map(|v| match cpe.update.value() {
            Some(update) => format!("{v}-{update}"),
            None => v.to_owned(),
        });
        let component = ComponentRef {
            name: product.to_owned(),
            version,
            purl: None,
            cpes: vec![cpe.to_string()],
        };
        return Ok(query(component));
    }
    let (name, version) = match text.rsplit_once(char::is_whitespace) {
        Some((name, version)) => (name.trim(), Some(version.to_owned())),
        None => (text, None),
    };
    Ok(query(ComponentRef { name: name.to_owned(), version, purl: None, cpes: Vec::new() }))
}

/// The question about a component: what a distribution packaged is asked by its upstream version, and its revision
/// goes to the owner.
#[must_use]
pub fn query(mut component: ComponentRef) -> Query {
    let purl = component.purl.as_deref().and_then(Purl::parse);
    let owner: Option<Owner> = purl.as_ref().and_then(Purl::owner);
    if let (Some(p), Some(o)) = (&purl, &owner) {
        component.version = Some(upstream_version(&p.kind, &o.version));
    } else if component.version.is_none() {
        component.version = purl.and_then(|p| p.version);
    }
    Query { component: Some(component), owner, ..Query::default() }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    bom_format: Option<String>,
    #[serde(default)]
    spec_version: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    spdx_version: Option<String>,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(default, rename = "@graph")]
    graph: Vec<Value>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    component: Option<Box<Component>>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    cpe: Option<String>,
    #[serde(default)]
    properties: Vec<Property>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Package {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version_info: Option<String>,
    #[serde(default)]
    external_refs: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    #[serde(default)]
    reference_type: Option<String>,
    #[serde(default)]
    reference_locator: Option<String>,
}

#[derive(Default)]
struct Reader {
    sbom: Sbom,
    seen: std::collections::BTreeSet<ComponentRef>,
}

impl Reader {
    fn cyclonedx(&mut self, c: Component, depth: usize) -> Result<(), String> {
        if depth > DEEPEST {
            return Err(format!("components are nested deeper than {DEEPEST}"));
        }
        let kind = c.kind.unwrap_or_default();
        if kind == "operating-system" {
            if let (Some(name), Some(version)) = (&c.name, &c.version) {
                self.sbom.platform.distribution =
                    Some((name.to_ascii_lowercase(), version.clone()));
                self.sbom.platform.os = Some("linux_kernel".into());
            }
        } else if kind != "file" {
            let more = c
                .properties
                .into_iter()
                .filter(|p| p.name.as_deref().is_some_and(|n| n.ends_with("cpe23")));
            let cpes = c.cpe.into_iter().chain(more.filter_map(|p| p.value)).collect();
            self.add(c.name, c.version, c.purl, cpes)?;
        }
        c.components.into_iter().try_for_each(|below| self.cyclonedx(below, depth + 1))
    }

    fn spdx(&mut self, p: Package) -> Result<(), String> {
        let (mut purl, mut cpes) = (None, Vec::new());
        for r in p.external_refs {
            match (r.reference_type.as_deref(), r.reference_locator) {
                (Some("purl"), Some(text)) => purl = purl.or(Some(text)),
                (Some(kind), Some(text)) if kind.starts_with("cpe2") => cpes.push(text),
                _ => {}
            }
        }
        let version = p.version_info.filter(|v| v != "NOASSERTION");
        self.add(p.name, version, purl, cpes)
    }

    fn spdx3(&mut self, element: &Value) -> Result<(), String> {
        let text = |key: &str| element.get(key).and_then(Value::as_str).map(str::to_owned);
        let kind = text("type").or_else(|| text("@type")).unwrap_or_default();
        if !kind.ends_with("Package") {
            return Ok(());
        }
        let version = text("software_packageVersion").or_else(|| text("packageVersion"));
        let mut purl = text("software_packageUrl").or_else(|| text("packageUrl"));
        let mut cpes = Vec::new();
        for id in element.get("externalIdentifier").and_then(Value::as_array).into_iter().flatten()
        {
            let of = |key: &str| id.get(key).and_then(Value::as_str);
            match (of("externalIdentifierType"), of("identifier")) {
                (Some(kind), Some(value)) if kind.starts_with("cpe") => cpes.push(value.to_owned()),
                (Some("packageUrl" | "purl"), Some(value)) => {
                    purl = purl.or(Some(value.to_owned()))
                }
                _ => {}
            }
        }
        self.add(text("name"), version, purl, cpes)
    }

    fn add(
        &mut self,
        name: Option<String>,
        version: Option<String>,
        purl: Option<String>,
        cpes: Vec<String>,
    ) -> Result<(), String> {
        if self.seen.len() >= MOST {
            return Err(format!("it lists more than {MOST} components"));
        }
        let name = name.unwrap_or_default();
        let texts = [Some(&name), version.as_ref(), purl.as_ref()];
        if name.trim().is_empty() || texts.into_iter().flatten().any(|t| t.len() > LONGEST) {
            return self.problem(&name, "it has no name, or a coordinate that is too long");
        }
        let mut read = Vec::new();
        for cpe in cpes.into_iter().take(64) {
            match Cpe::parse(&cpe) {
                Ok(cpe) => read.push(cpe.to_string()),
                Err(e) => self.problem(&name, &e)?,
            }
        }
        if purl.as_deref().is_some_and(|p| Purl::parse(p).is_none()) {
            self.problem(&name, "its package URL cannot be read")?;
        }
        let component = ComponentRef {
            name,
            version: version.filter(|v| !v.trim().is_empty()),
            purl,
            cpes: read,
        };
        if self.seen.insert(component.clone()) {
            self.sbom.queries.push(query(component));
        }
        Ok(())
    }

    /// Notes a problem; not without end.
    fn problem(&mut self, name: &str, what: &str) -> Result<(), String> {
        if self.sbom.problems.len() < 1000 {
            let name: String = name.chars().take(80).collect();
            self.sbom.problems.push(format!("component {name:?}: {what}"));
        }
        Ok(())
    }

    /// What the whole document says about single components.
    fn finish(mut self) -> Sbom {
        for query in &self.sbom.queries {
            let Some(c) = &query.component else { continue };
            let is_kernel = c.cpes.iter().any(|c| c.starts_with("cpe:2.3:o:linux:linux_kernel:"));
            if is_kernel || matches!(c.name.as_str(), "linux" | "linux-kernel") {
                self.sbom.platform.os = Some("linux_kernel".into());
                self.sbom.platform.os_version =
                    self.sbom.platform.os_version.take().or_else(|| c.version.clone());
            }
            if query.owner.is_some() {
                self.sbom.platform.os.get_or_insert_with(|| "linux_kernel".into());
            }
        }
        // A package without release belongs to the document's distribution.
        if let Some((id, release)) = &self.sbom.platform.distribution {
            for owner in self.sbom.queries.iter_mut().filter_map(|q| q.owner.as_mut()) {
                if !owner.ecosystem.contains(':') && owner.distribution() == *id {
                    let release = match id.as_str() {
                        "alpine" => {
                            format!("v{}", release.split('.').take(2).collect::<Vec<_>>().join("."))
                        }
                        "debian" => release.split('.').next().unwrap_or(release).to_owned(),
                        _ => release.clone(),
                    };
                    owner.ecosystem = format!("{}:{release}", owner.ecosystem);
                }
            }
        }
        self.sbom
    }
}
