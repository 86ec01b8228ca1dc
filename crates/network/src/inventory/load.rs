//! Finding and reading the files of an inventory.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use super::csv::Reader;
use super::excel::Workbook;
use super::tables::{Index, Kind, TableReader};
use super::{AliasGuess, Aliases, Gravity, Inventory, Problems, alias, geojson, gml, netbox, rest};
use crate::{Error, files};

/// How to read an inventory.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Spellings decided by the user; overrides `aliases.toml` in the folder.
    pub aliases: Option<PathBuf>,
    /// Protected places, when they are not in the folder.
    pub protected: Option<PathBuf>,
    /// Token of a NetBox server.
    pub token: Option<String>,
}

/// An inventory with everything that was wrong in it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What was read.
    pub inventory: Inventory,
    /// What was wrong, in the order of files and rows.
    pub problems: Problems,
    /// Spellings that were merged.
    pub aliases: Vec<AliasGuess>,
    /// Files that were read.
    pub files: Vec<String>,
}

/// Most rows of a single table.
const MAX_ROWS: u64 = 20_000_000;

/// Reads an inventory: a folder with `sites`, `devices` and `links` as `.csv`, `.csv.gz` or `.xlsx`
/// and `protected*.geojson`; a workbook (`.xlsx`) with sheets of these names; a NetBox object dump
/// (`.json`, `.json.gz`); a topology (`.gml`, `.geojson`); or the address of a running NetBox.
///
/// # Errors
/// The path does not exist, has no site table, or a file is not what its name says. Problems in
/// rows are no errors; they are in [`Loaded::problems`].
pub fn load(path: &Path, options: &Options) -> Result<Loaded, Error> {
    let mut out = Loaded::default();
    match path.to_str().filter(|p| rest::is_address(p)) {
        Some(address) => rest::read(address, options.token.as_deref(), &mut out)?,
        None if std::fs::metadata(path).map_err(|e| Error::io(path, e))?.is_dir() => {
            folder(path, options, &mut out)?;
        }
        None => single(path, &mut out)?,
    }
    if let Some(p) = &options.protected {
        add_protected(p, &mut out)?;
    }
    let given = match &options.aliases {
        Some(p) => Some(p.clone()),
        None => Some(path.join("aliases.toml")).filter(|p| p.is_file()),
    };
    let aliases = match given {
        Some(p) => {
            let bytes = files::read(&p, 64 << 20)?;
            out.files.push(p.display().to_string());
            toml::from_str(&String::from_utf8_lossy(&bytes))
                .map_err(|e| Error::format(p.display().to_string(), e.to_string()))?
        }
        None => Aliases::default(),
    };
    finish(&mut out, &aliases);
    Ok(out)
}

/// Merges spellings and looks for what only shows in the whole.
pub(crate) fn finish(out: &mut Loaded, aliases: &Aliases) {
    out.aliases = alias::merge(&mut out.inventory, aliases);
    let by_site = out.inventory.devices_by_site();
    let mut linked = vec![false; out.inventory.sites.len()];
    for l in &out.inventory.links {
        for end in [l.a, l.b] {
            if let Some(f) = linked.get_mut(end as usize) {
                *f = true;
            }
        }
    }
    if out.inventory.links.is_empty() && !out.inventory.sites.is_empty() {
        out.problems.add(
            "",
            0,
            "",
            Gravity::Warning,
            "no links: paths, dominators and blast radius cannot be computed",
        );
    }
    for (i, s) in out.inventory.sites.iter().enumerate() {
        if by_site.of(i).is_empty() && !out.inventory.devices.is_empty() {
            out.problems.add(
                "",
                0,
                "site",
                Gravity::Note,
                format!("site {:?} has no device", s.name),
            );
        }
        if !linked[i] && !out.inventory.links.is_empty() {
            out.problems.add(
                "",
                0,
                "site",
                Gravity::Warning,
                format!("site {:?} has no link: it cannot reach the core", s.name),
            );
        }
    }
}

fn single(path: &Path, out: &mut Loaded) -> Result<(), Error> {
    let name = path.display().to_string();
    let bytes = files::read(path, files::MAX_INPUT)?;
    out.files.push(name.clone());
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    if stem.ends_with(".gml") {
        gml::read(&name, &bytes, &mut out.inventory, &mut out.problems)
    } else if stem.ends_with(".geojson") {
        geojson::topology(&name, &bytes, out)
    } else if stem.ends_with(".json") {
        netbox::dump(&name, &bytes, out)
    } else if stem.ends_with(".xlsx") {
        workbook(&name, &bytes, out)
    } else {
        Err(Error::format(
            name,
            "not a folder with sites.csv, and not .xlsx, .gml, .geojson or NetBox .json",
        ))
    }
}

/// All tables of one workbook.
fn workbook(name: &str, bytes: &[u8], out: &mut Loaded) -> Result<(), Error> {
    let mut book = Workbook::open(name, bytes)?;
    let mut index = Index::default();
    for (kind, stem, required) in TABLES {
        match book.sheet(stem) {
            Some(sheet) => book.table(kind, &sheet, &mut index, out)?,
            None if required => {
                return Err(Error::format(name, format!("no sheet named {stem}")));
            }
            None => out.problems.add(
                name,
                0,
                "",
                Gravity::Warning,
                format!("no sheet named {stem}; the table is empty"),
            ),
        }
    }
    match book.sheet("protected") {
        Some(sheet) => book.protected(&sheet, out),
        None => Ok(()),
    }
}

/// The tables of a folder, in the order they must be read.
const TABLES: [(Kind, &str, bool); 3] = [
    (Kind::Sites, "sites", true),
    (Kind::Devices, "devices", false),
    (Kind::Links, "links", false),
];

fn folder(path: &Path, options: &Options, out: &mut Loaded) -> Result<(), Error> {
    let mut index = Index::default();
    for (kind, stem, required) in TABLES {
        let found = ["csv", "csv.gz", "xlsx"]
            .iter()
            .map(|e| path.join(format!("{stem}.{e}")))
            .find(|p| p.is_file());
        match found {
            Some(p) => {
                let bytes = files::read(&p, files::MAX_INPUT)?;
                let name = p.file_name().unwrap_or_default().to_string_lossy().into_owned();
                out.files.push(name.clone());
                if name.ends_with(".xlsx") {
                    let mut book = Workbook::open(&name, &bytes)?;
                    let sheet = book.sheet(stem).or_else(|| book.only()).ok_or_else(|| {
                        Error::format(&name, format!("several sheets, and none is named {stem}"))
                    })?;
                    book.table(kind, &sheet, &mut index, out)?;
                } else {
                    table(kind, &name, &bytes, &mut out.inventory, &mut index, &mut out.problems)?;
                }
            }
            None if required => {
                return Err(Error::format(
                    path.display().to_string(),
                    "no sites.csv, sites.csv.gz or sites.xlsx in this folder",
                ));
            }
            None => out.problems.add(
                &format!("{stem}.csv"),
                0,
                "",
                Gravity::Warning,
                "not in the folder; the table is empty",
            ),
        }
    }
    if options.protected.is_none() {
        let mut found: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(|e| Error::io(path, e))?
            .filter_map(Result::ok)
            .map(|e| e.path())
            .filter(|p| {
                let n = p.file_name().unwrap_or_default().to_string_lossy();
                n.starts_with("protected")
                    && (n.ends_with(".geojson") || n.ends_with(".geojson.gz"))
            })
            .collect();
        found.sort();
        for p in found {
            add_protected(&p, out)?;
        }
    }
    Ok(())
}

fn add_protected(path: &Path, out: &mut Loaded) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = files::read(path, 1 << 30)?;
    let mut places = geojson::protected(&name, &bytes, &mut out.problems)?;
    out.inventory.protected.append(&mut places);
    out.files.push(name);
    Ok(())
}

/// Reads one CSV table into an inventory.
///
/// # Errors
/// More rows than a table may have.
pub fn table(
    kind: Kind,
    name: &str,
    bytes: &[u8],
    inventory: &mut Inventory,
    index: &mut Index,
    problems: &mut Problems,
) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    let mut fields: Vec<Cow<'_, str>> = Vec::new();
    let Some(line) = reader.next_into(&mut fields) else {
        problems.add(name, 0, "", Gravity::Error, "the file is empty");
        return Ok(());
    };
    let Some(mut t) = TableReader::new(kind, name, line, &fields, inventory, index, problems)
    else {
        return Ok(());
    };
    let mut rows = 0;
    while let Some(line) = reader.next_into(&mut fields) {
        rows += 1;
        if rows > MAX_ROWS {
            return Err(Error::Budget { what: format!("{name}: rows"), limit: MAX_ROWS });
        }
        t.row(line, &fields);
    }
    Ok(())
}
