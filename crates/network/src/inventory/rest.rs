//! NetBox: the REST API of a running server (3.x and 4.x).
//!
//! Sites, devices, cables and circuit terminations are asked for page by page. The token goes only
//! to the address that was given: of the `next` link only the query is used. A page that comes
//! again, a page that is cut off, fewer objects than announced, and every status but 200 end the
//! reading with an error; nothing of a server that failed half-way is used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::netbox::{Rows, text, unique};
use super::tables::{Index, Kind};
use super::{Gravity, Loaded};
use crate::Error;

/// Objects asked for at once.
const PAGE: usize = 500;
/// Most bytes of one answer.
const MAX_ANSWER: u64 = 256 << 20;
/// Most objects of one kind.
const MAX_OBJECTS: usize = 5_000_000;
/// Tries of a request that the server could not take at the moment.
const TRIES: u64 = 3;

/// Whether a text is an address to ask.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Reads the inventory of a server.
///
/// # Errors
/// The server cannot be reached, or answers something else than what was asked for.
pub fn read(address: &str, token: Option<&str>, out: &mut Loaded) -> Result<(), Error> {
    let server = Server::new(address, token);
    if token.is_some() && address.starts_with("http://") {
        let reason = "the token goes over the network in clear; use https if the server offers it";
        out.problems.add(address, 0, "", Gravity::Warning, reason);
    }
    let sites = server.list("dcim/sites")?;
    let devices = server.list("dcim/devices")?;
    let cables = server.list("dcim/cables")?;
    let circuits = server.list("circuits/circuit-terminations")?;
    out.files.push(server.base.clone());
    let (mut rows, mut index) = (Rows::default(), Index::default());
    for s in &sites {
        rows.start(id(s));
        for k in ["name", "latitude", "longitude", "region", "group"] {
            rows.put(k, text(s.get(k)));
        }
        rows.custom(s);
    }
    rows.read(Kind::Sites, &server.base, &mut index, out);
    let mut site_of: BTreeMap<i64, String> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for d in &devices {
        rows.start(id(d));
        let kind = d.get("device_type");
        let site = text(d.get("site"));
        site_of.insert(id(d), site.clone());
        rows.put("name", unique(text(d.get("name")), id(d), &mut seen));
        rows.put("site", site);
        rows.put("role", text(d.get("role").or(d.get("device_role"))));
        rows.put("manufacturer", text(kind.and_then(|k| k.get("manufacturer"))));
        rows.put("device_type", text(kind.and_then(|k| k.get("model"))));
        rows.put("platform", text(d.get("platform")));
        rows.custom(d);
    }
    rows.read(Kind::Devices, &server.base, &mut index, out);
    for c in &cables {
        let end = |side: &str| {
            let ends = c.get(side).and_then(Value::as_array)?;
            let device =
                ends.iter().find_map(|e| e.get("object")?.get("device")?.get("id")?.as_i64())?;
            site_of.get(&device).cloned()
        };
        if let (Some(a), Some(b)) = (end("a_terminations"), end("b_terminations"))
            && a != b
        {
            rows.start(id(c));
            rows.put("side_a_site", a);
            rows.put("side_b_site", b);
            let label = text(c.get("label"));
            rows.put("label", if label.is_empty() { format!("cable {}", id(c)) } else { label });
            rows.custom(c);
        }
    }
    let mut ends: BTreeMap<i64, (String, Vec<String>)> = BTreeMap::new();
    for t in &circuits {
        let circuit = t.get("circuit");
        let number = circuit.and_then(|c| c.get("id")).and_then(Value::as_i64);
        // Since 4.2 a termination may be another kind of place than a site.
        let kind = text(t.get("termination_type"));
        let place = match (t.get("site"), t.get("termination")) {
            (Some(s), _) if !s.is_null() => text(Some(s)),
            (_, Some(s)) if kind.is_empty() || kind == "dcim.site" => text(Some(s)),
            _ => String::new(),
        };
        if let (Some(n), false) = (number, place.is_empty()) {
            let slot = ends.entry(n).or_default();
            slot.0 = text(circuit.and_then(|c| c.get("cid")));
            slot.1.push(place);
        }
    }
    for (n, (cid, places)) in ends {
        if let [a, b] = places.as_slice()
            && a != b
        {
            rows.start(n);
            rows.put("side_a_site", a.clone());
            rows.put("side_b_site", b.clone());
            rows.put("label", format!("circuit {cid}"));
        }
    }
    rows.read(Kind::Links, &server.base, &mut index, out);
    Ok(())
}

fn id(object: &Value) -> i64 {
    object.get("id").and_then(Value::as_i64).unwrap_or_default()
}

struct Server<'a> {
    base: String,
    token: Option<&'a str>,
    agent: ureq::Agent,
}

impl<'a> Server<'a> {
    fn new(address: &str, token: Option<&'a str>) -> Self {
        let base = address.trim_end_matches('/');
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(120)))
            .timeout_connect(Some(Duration::from_secs(15)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .into();
        Self { base: base.strip_suffix("/api").unwrap_or(base).to_owned(), token, agent }
    }

    /// All objects of a kind.
    fn list(&self, kind: &str) -> Result<Vec<Value>, Error> {
        let mut out = Vec::new();
        let mut asked = BTreeSet::new();
        let mut query = format!("limit={PAGE}");
        loop {
            let url = format!("{}/api/{kind}/?{query}", self.base);
            let bad = |reason: String| Error::Server { url: url.clone(), reason };
            if !asked.insert(query.clone()) {
                return Err(bad("the pages go round in a circle: this one was read before".into()));
            }
            let mut page: Value = serde_json::from_slice(&self.get(&url)?).map_err(|e| {
                bad(format!("the answer is no JSON ({e}); is this the address of a NetBox?"))
            })?;
            let Some(Value::Array(results)) = page.get_mut("results").map(Value::take) else {
                return Err(bad(
                    "the answer has no `results`; is this the address of a NetBox?".into()
                ));
            };
            let empty = results.is_empty();
            out.extend(results);
            if out.len() > MAX_OBJECTS {
                return Err(Error::Budget { what: url, limit: MAX_OBJECTS as u64 });
            }
            match page.get("next").and_then(Value::as_str) {
                Some(_) if empty => {
                    return Err(bad("an empty page names a next one".into()));
                }
                Some(next) => {
                    query = next
                        .split_once('?')
                        .map(|q| q.1.to_owned())
                        .ok_or_else(|| bad(format!("the next page {next:?} has no query")))?;
                }
                None => {
                    let announced = page.get("count").and_then(Value::as_u64).unwrap_or(0);
                    if (out.len() as u64) < announced {
                        return Err(bad(format!(
                            "{announced} objects were announced and {} came; try again",
                            out.len()
                        )));
                    }
                    return Ok(out);
                }
            }
        }
    }

    fn get(&self, url: &str) -> Result<Vec<u8>, Error> {
        let bad = |reason: String| Error::Server { url: url.to_owned(), reason };
        for attempt in 1.. {
            let mut request = self.agent.get(url).header("Accept", "application/json");
            if let Some(token) = self.token {
                request = request.header("Authorization", format!("Token {token}"));
            }
            let mut answer = request.call().map_err(|e| bad(format!("no answer: {e}")))?;
            let status = answer.status().as_u16();
            let body = answer
                .body_mut()
                .with_config()
                .limit(MAX_ANSWER)
                .read_to_vec()
                .map_err(|e| bad(format!("the answer broke off: {e}")));
            let reason = match status {
                200 => return body,
                401 | 403 => {
                    "the server wants another token (status {status}); give one with --token-file or in NETBOX_TOKEN"
                }
                404 => "there is no such page (status {status}); is this the address of a NetBox?",
                300..=399 => "the server sends to another address (status {status}); give that one",
                429 | 502..=504 if attempt < TRIES => {
                    std::thread::sleep(Duration::from_millis(300 * attempt));
                    continue;
                }
                500..=599 => {
                    "the server failed (status {status}); look into its log, then try again"
                }
                _ => "the server answered with status {status}",
            };
            return Err(bad(reason.replace("{status}", &status.to_string())));
        }
        Err(bad("no answer".into()))
    }
}
