//! Cost, time and disruption parameters, each with low, typical, high, source and confidence.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, files};

/// Which of the three figures to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Low end.
    Low,
    /// Typical.
    #[default]
    Typical,
    /// High end.
    High,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Id such as `ran.macro_set_equipment`.
    pub id: String,
    /// Unit, with what is included.
    pub unit: String,
    /// Low end.
    pub low: f64,
    /// Typical.
    pub typical: f64,
    /// High end.
    pub high: f64,
    /// `confirmed`, `derived`, `secondhand` or `assumption`.
    pub confidence: String,
    /// Where it comes from.
    #[serde(default)]
    pub source: String,
    /// Arithmetic and caveats.
    #[serde(default)]
    pub note: String,
}

#[derive(Debug, Deserialize)]
struct File {
    #[serde(default)]
    item: Vec<Item>,
}

/// All parameters by id.
#[derive(Debug, Clone, Default)]
pub struct Costs {
    items: BTreeMap<String, Item>,
}

/// The catalogue that comes with the product.
const DEFAULT: &str = include_str!("../../../catalogue/costs/default.toml");

impl Costs {
    /// The catalogue that comes with the product.
    ///
    /// # Errors
    /// Never in a released build: a test reads it.
    pub fn standard() -> Result<Self, Error> {
        let mut c = Self::default();
        c.add("catalogue/costs/default.toml", DEFAULT)?;
        Ok(c)
    }

    /// Adds a user's file; an item replaces the one with the same id.
    ///
    /// # Errors
    /// The file cannot be read, or an item is negative or out of order.
    pub fn load(&mut self, path: &Path) -> Result<(), Error> {
        let bytes = files::read(path, 16 << 20)?;
        self.add(&path.display().to_string(), &String::from_utf8_lossy(&bytes))
    }

    /// Adds items from text.
    ///
    /// # Errors
    /// The text is not TOML, or an item is negative or out of order.
    pub fn add(&mut self, name: &str, text: &str) -> Result<(), Error> {
        let file: File = toml::from_str(text).map_err(|e| Error::format(name, e.to_string()))?;
        for item in file.item {
            let bad =
                |reason: &str| Err(Error::Cost { id: item.id.clone(), reason: reason.into() });
            if ![item.low, item.typical, item.high].iter().all(|x| x.is_finite() && *x >= 0.0) {
                return bad("low, typical and high must be numbers that are not negative");
            }
            if item.low > item.typical || item.typical > item.high {
                return bad("low, typical and high must rise");
            }
            if !["confirmed", "derived", "secondhand", "assumption"]
                .contains(&item.confidence.as_str())
            {
                return bad("confidence must be confirmed, derived, secondhand or assumption");
            }
            self.items.insert(item.id.clone(), item);
        }
        Ok(())
    }

    /// The item with an id.
    ///
    /// # Errors
    /// There is none.
    pub fn item(&self, id: &str) -> Result<&Item, Error> {
        self.items.get(id).ok_or_else(|| Error::Cost {
            id: id.into(),
            reason: "is not in the cost catalogue".into(),
        })
    }

    /// All items, by id.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.items.values()
    }
}

/// Reads figures and remembers which were used.
#[derive(Debug)]
pub struct Used<'a> {
    costs: &'a Costs,
    level: Level,
    /// Items set to another level than the rest, for sensitivity.
    pub overrides: BTreeMap<String, Level>,
    used: std::cell::RefCell<std::collections::BTreeSet<String>>,
}

impl<'a> Used<'a> {
    /// Figures at a level.
    #[must_use]
    pub fn new(costs: &'a Costs, level: Level) -> Self {
        Self { costs, level, overrides: BTreeMap::new(), used: Default::default() }
    }

    /// The figure of an item.
    ///
    /// # Errors
    /// There is no such item.
    pub fn get(&self, id: &str) -> Result<f64, Error> {
        let item = self.costs.item(id)?;
        self.used.borrow_mut().insert(id.to_owned());
        Ok(match self.overrides.get(id).copied().unwrap_or(self.level) {
            Level::Low => item.low,
            Level::Typical => item.typical,
            Level::High => item.high,
        })
    }

    /// Items that were used.
    #[must_use]
    pub fn items(&self) -> Vec<Item> {
        self.used.borrow().iter().filter_map(|id| self.costs.items.get(id)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_reads_and_bad_items_are_named() {
        let c = Costs::standard().unwrap();
        assert!(c.items().count() >= 51);
        let one = |low: f64, typical: f64| {
            Costs::default().add("x", &format!(
                "[[item]]\nid='a'\nunit='u'\nlow={low:?}\ntypical={typical:?}\nhigh=9.0\nconfidence='assumption'"))
        };
        assert!(one(1.0, 2.0).is_ok());
        assert!(one(-1.0, 2.0).is_err());
        assert!(one(3.0, 2.0).is_err());
    }
}
