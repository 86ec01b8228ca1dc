//! How fresh the data is.
//!
//! The age of a feed is the number of days from the newest date in it to the day that is asked about. It is *stale*
//! when it is older than the feed is usually renewed, with some days of grace: three days for what appears daily, a
//! week for what changes every day somewhere, and so on ([`limit`]). A feed without any date is stale, because nothing
//! says otherwise. A project's own advisories appear seldom, so only a long silence tells something.

use proofmark_model::assessment::DataVersion;
use serde::Serialize;

use crate::{Database, date};

/// One feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Freshness {
    /// Its name.
    pub feed: String,
    /// Records, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Newest date in it, `YYYY-MM-DD`.
    pub newest: Option<String>,
    /// Days from there to the day asked about.
    pub age_days: Option<i32>,
    /// Age from which it is stale.
    pub limit_days: i32,
    /// It is older than that, or has no date.
    pub stale: bool,
    /// The file it came from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Day of the import, where it was noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<String>,
}

/// Days after which a feed is stale.
#[must_use]
pub fn limit(feed: &str) -> i32 {
    let feed = feed.strip_prefix("starter/").unwrap_or(feed);
    match feed {
        "epss" => 4,
        "nvd" | "cve5" | "ubuntu" | "debian" => 8,
        "kev" | "csaf" | "alpine" => 15,
        _ if feed.starts_with("osv-") => 31,
        "nvd-overrides" | "buildroot" | "yocto" | "openwrt" => 31,
        // Projects that publish some advisories in a year.
        _ => 183,
    }
}

/// Freshness of a feed by its newest date.
fn of(feed: &str, newest: Option<&str>, day: i32) -> Freshness {
    let age = newest.and_then(date::day).map(|n| day.saturating_sub(n));
    let limit_days = limit(feed);
    Freshness {
        feed: feed.to_owned(),
        records: None,
        newest: newest.filter(|n| date::day(n).is_some()).map(str::to_owned),
        age_days: age,
        limit_days,
        stale: age.is_none_or(|a| a > limit_days),
        source: String::new(),
        imported: None,
    }
}

/// Freshness of the feeds of any store, as of a day (days since 1970-01-01).
#[must_use]
pub fn freshness(feeds: &[DataVersion], day: i32) -> Vec<Freshness> {
    feeds.iter().map(|f| of(&f.id, Some(&f.version), day)).collect()
}

/// The same with counts and sources, from the user's database.
#[must_use]
pub fn status(database: &Database, day: i32) -> Vec<Freshness> {
    let one = |f: &crate::database::Feed| Freshness {
        records: Some(f.records),
        source: f.source.clone(),
        imported: f.imported.clone(),
        ..of(&f.name, f.newest.map(date::text).as_deref(), day)
    };
    database.contents().iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_by_the_feeds_own_pace() {
        let feeds = [("nvd", "2026-01-01"), ("epss", "2026-01-01"), ("x", "undated")].map(
            |(id, version)| DataVersion { id: id.into(), version: version.into(), sha256: None },
        );
        let on = |d: &str| {
            freshness(&feeds, date::day(d).unwrap()).iter().map(|f| f.stale).collect::<Vec<_>>()
        };
        assert_eq!(on("2026-01-05"), [false, false, true]);
        assert_eq!(on("2026-01-09"), [false, true, true]);
        assert_eq!(on("2026-01-10"), [true, true, true]);
    }
}
