//! Topologies in GML (Graph Modelling Language), as the Internet Topology Zoo uses it.
//!
//! A node becomes a site, an edge a link. Nodes without coordinates stay without. Nodes that the
//! file marks as external (`Internal 0`) are kept: they are part of the graph.

use super::{Gravity, Inventory, Link, Problems, Site};
use crate::Error;

/// Most tokens in one file.
const MAX_TOKENS: usize = 20_000_000;

enum Token<'a> {
    Key(&'a str),
    Text(&'a str),
    Open,
    Close,
}

/// Splits GML into tokens; `None` at the end.
fn next<'a>(rest: &mut &'a str) -> Option<Token<'a>> {
    loop {
        *rest = rest.trim_start();
        if !rest.starts_with('#') {
            break;
        }
        *rest = rest.split_once('\n').map_or("", |(_, r)| r);
    }
    let first = rest.chars().next()?;
    let (token, after) = match first {
        '[' => (Token::Open, &rest[1..]),
        ']' => (Token::Close, &rest[1..]),
        '"' => {
            let body = &rest[1..];
            let end = body.find('"').unwrap_or(body.len());
            (Token::Text(&body[..end]), body.get(end + 1..).unwrap_or(""))
        }
        _ => {
            let end = rest
                .find(|c: char| c.is_whitespace() || c == '[' || c == ']')
                .unwrap_or(rest.len());
            (Token::Key(&rest[..end]), &rest[end..])
        }
    };
    *rest = after;
    Some(token)
}

/// Adds the graph in `bytes` to `inventory`.
///
/// # Errors
/// The text has no `graph [`, or is too long.
pub fn read(
    file: &str,
    bytes: &[u8],
    inventory: &mut Inventory,
    problems: &mut Problems,
) -> Result<(), Error> {
    let text = String::from_utf8_lossy(bytes);
    let mut rest: &str = &text;
    // Where we are: names of open lists.
    let mut path: Vec<&str> = Vec::new();
    let mut pending: Option<&str> = None;
    let mut item: Vec<(&str, &str)> = Vec::new();
    let mut ids = std::collections::HashMap::new();
    let mut edges: Vec<(String, String, String)> = Vec::new();
    let mut seen = false;
    let mut tokens = 0usize;
    let mut element = 0u64;
    while let Some(token) = next(&mut rest) {
        tokens += 1;
        if tokens > MAX_TOKENS {
            return Err(Error::Budget {
                what: format!("{file}: tokens"),
                limit: MAX_TOKENS as u64,
            });
        }
        match token {
            Token::Open => {
                let name = pending.take().unwrap_or("");
                seen |= path.is_empty() && name.eq_ignore_ascii_case("graph");
                path.push(name);
                if path.len() == 2 {
                    item.clear();
                    element += 1;
                }
                if path.len() > 64 {
                    return Err(Error::format(file, "lists nested more than 64 deep"));
                }
            }
            Token::Close => {
                if path.len() == 2 {
                    let get = |k: &str| {
                        item.iter().find(|(n, _)| n.eq_ignore_ascii_case(k)).map(|(_, v)| *v)
                    };
                    match path.last() {
                        Some(&"node") => match get("id") {
                            Some(id) => {
                                let coordinate = |k: &str, limit: f64| {
                                    get(k)
                                        .and_then(|v| v.parse::<f64>().ok())
                                        .filter(|v| v.abs() <= limit)
                                };
                                let index =
                                    u32::try_from(inventory.sites.len()).unwrap_or(u32::MAX);
                                if ids.insert(id.to_owned(), index).is_some() {
                                    problems.add(
                                        file,
                                        element,
                                        "id",
                                        Gravity::Error,
                                        format!("node {id} occurs twice; left out"),
                                    );
                                } else {
                                    let label = get("label").unwrap_or("");
                                    let region = get("Country").map(|c| inventory.names.intern(c));
                                    inventory.sites.push(Site {
                                        name: format!("{id} {label}").trim().to_owned(),
                                        latitude: coordinate("Latitude", 90.0),
                                        longitude: coordinate("Longitude", 180.0),
                                        region,
                                        geotype: None,
                                        structure: None,
                                        cluster: None,
                                        tower_load_pct: None,
                                        power_headroom_w: None,
                                        population: None,
                                        customers: None,
                                        traffic: None,
                                        access: 0xfff,
                                        sensitive: false,
                                    });
                                }
                            }
                            None => problems.add(
                                file,
                                element,
                                "id",
                                Gravity::Error,
                                "node without id; left out",
                            ),
                        },
                        Some(&"edge") => match (get("source"), get("target")) {
                            (Some(a), Some(b)) => {
                                edges.push((
                                    a.to_owned(),
                                    b.to_owned(),
                                    get("LinkLabel").or(get("label")).unwrap_or("").to_owned(),
                                ));
                            }
                            _ => problems.add(
                                file,
                                element,
                                "",
                                Gravity::Error,
                                "edge without source or target; left out",
                            ),
                        },
                        _ => {}
                    }
                }
                path.pop();
                pending = None;
            }
            Token::Text(value) | Token::Key(value) => match pending.take() {
                Some(key) => {
                    if path.len() == 2 {
                        item.push((key, value));
                    }
                }
                None => pending = Some(value),
            },
        }
    }
    if !seen {
        return Err(Error::format(file, "not GML: no `graph [` in it"));
    }
    for (i, (a, b, label)) in edges.into_iter().enumerate() {
        match (ids.get(&a), ids.get(&b)) {
            (Some(&a), Some(&b)) if a != b => {
                inventory.links.push(Link {
                    label,
                    a,
                    b,
                    length_km: None,
                    medium: None,
                    srlg: None,
                });
            }
            (Some(_), Some(_)) => {}
            _ => problems.add(
                file,
                i as u64 + 1,
                "edge",
                Gravity::Error,
                format!("joins {a} and {b}, of which one is no node; left out"),
            ),
        }
    }
    Ok(())
}
