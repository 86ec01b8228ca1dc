//! Inventories from everywhere: workbooks, GeoJSON, and a NetBox that behaves or does not.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use proofmark_network::inventory::{Inventory, Loaded, Options, Segment, load};
use proofmark_network::workbook::{Cell, Sheet, workbook};
use proofmark_network::{Error, commands};

fn sheet(name: &str, header: Vec<&'static str>, rows: &[&[&str]]) -> Sheet {
    let cell = |c: &&str| c.parse().map_or_else(|_| Cell::from(*c), Cell::Number);
    Sheet {
        name: name.into(),
        header,
        rows: rows.iter().map(|r| r.iter().map(cell).collect()).collect(),
    }
}

fn book() -> Vec<Sheet> {
    vec![
        sheet(
            "Sites",
            vec!["Name", "Latitude", "Longitude", "cf_customers"],
            &[&["a & <b>", "50.5", "10", "1200"], &["two", "51", "11", ""], &["", "1", "1", "1"]],
        ),
        sheet(
            "devices",
            vec![
                "name",
                "site",
                "manufacturer",
                "device_type",
                "platform",
                "cf_segment",
                "cf_install_date",
            ],
            &[
                &["d1", "a & <b>", "Acme", "X1", "1.0.2", "ran", "2024-05-01"],
                &["d2", "two", "Acme", "X1", "", "core", ""],
            ],
        ),
        sheet("links", vec!["side_a_site", "side_b_site"], &[&["a & <b>", "two"]]),
        sheet(
            "protected",
            vec!["name", "category", "latitude", "longitude", "radius_m"],
            &[&["depot", "port", "50.5", "10", "700"], &["nowhere", "port", "", "10", ""]],
        ),
    ]
}

#[test]
fn a_workbook_is_an_inventory_and_names_its_problems_by_sheet_and_row() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("network.xlsx");
    std::fs::write(&file, workbook(&book()).unwrap()).unwrap();
    let l = load(&file, &Options::default()).unwrap();
    let i = &l.inventory;
    assert_eq!((i.sites.len(), i.devices.len(), i.links.len(), i.protected.len()), (2, 2, 1, 1));
    assert_eq!(i.sites[0].name, "a & <b>");
    assert_eq!((i.sites[0].customers, i.sites[1].customers), (Some(1200.0), None));
    assert_eq!(i.devices[0].segment, Segment::Ran);
    assert_eq!(i.devices[0].installed.map(|d| d.to_string()).as_deref(), Some("2024-05-01"));
    assert_eq!(i.text(i.devices[0].release), "1.0.2");
    let lost: Vec<(&str, u64)> = l
        .problems
        .list
        .iter()
        .filter(|p| p.gravity == proofmark_network::inventory::Gravity::Error)
        .map(|p| (p.file.rsplit(':').next().unwrap(), p.row))
        .collect();
    assert_eq!(lost, [("Sites", 4), ("protected", 3)]);
    // One sheet for each file of a folder does as well.
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for s in book().iter().take(3) {
        let name = format!("{}.xlsx", s.name.to_lowercase());
        let only = Sheet { name: "Sheet1".into(), ..s.clone() };
        std::fs::write(folder.join(name), workbook(&[only]).unwrap()).unwrap();
    }
    let f = load(&folder, &Options::default()).unwrap();
    assert_eq!((f.inventory.sites.len(), f.inventory.devices.len()), (2, 2));
}

#[test]
fn what_is_no_workbook_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let good = workbook(&book()).unwrap();
    let no_sites = workbook(&book()[1..]).unwrap();
    let cases: [(&str, Vec<u8>, &str); 4] = [
        ("text.xlsx", b"hello".to_vec(), "not an Excel workbook"),
        ("cut.xlsx", good[..good.len() / 2].to_vec(), "not an Excel workbook"),
        ("empty.xlsx", Vec::new(), "not an Excel workbook"),
        ("devices.xlsx", no_sites, "no sheet named sites"),
    ];
    for (name, bytes, want) in cases {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let e = load(&path, &Options::default()).unwrap_err().to_string();
        assert!(e.contains(want) && e.contains(name), "{e}");
    }
    // Damage anywhere is an error or a problem, never a panic.
    let path = dir.path().join("damaged.xlsx");
    for at in (0..good.len()).step_by(37) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        std::fs::write(&path, bad).unwrap();
        let _ = load(&path, &Options::default());
    }
}

#[test]
fn geojson_points_are_sites_and_lines_are_links() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.geojson");
    std::fs::write(&path, r#"{"type":"FeatureCollection","features":[
      {"type":"Feature","properties":{"name":"a","cf_customers":5},"geometry":{"type":"Point","coordinates":[10.0,50.0]}},
      {"type":"Feature","properties":{"name":"b"},"geometry":{"type":"Point","coordinates":[11.0,50.0]}},
      {"type":"Feature","properties":{"cf_length_km":70},"geometry":{"type":"LineString","coordinates":[[10.0,50.0],[10.4,50.1],[11.0,50.0]]}},
      {"type":"Feature","properties":{"side_a_site":"b","side_b_site":"a"},"geometry":{"type":"LineString","coordinates":[[0,0],[1,1]]}},
      {"type":"Feature","properties":{},"geometry":{"type":"LineString","coordinates":[[0,0],[1,1]]}}]}"#).unwrap();
    let l = load(&path, &Options::default()).unwrap();
    assert_eq!((l.inventory.sites.len(), l.inventory.links.len()), (2, 2));
    assert_eq!(l.inventory.links[0].length_km, Some(70.0));
    assert!(l.problems.list.iter().any(|p| p.row == 5 && p.column == "geometry"));
    std::fs::write(&path, r#"{"type":"FeatureCollection","features":[]}"#).unwrap();
    assert!(load(&path, &Options::default()).is_err());
}

/// Requests a server saw: path with query, and token.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A server that answers requests with `answer(path, how often it was asked)`: status and body, and
/// the length it claims.
fn server(
    answer: impl Fn(&str, usize) -> (u16, String, Option<usize>) + Send + 'static,
) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen: Seen = Arc::default();
    let log = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut token) = (String::new(), String::new());
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                if let Some((k, v)) = line.split_once(':')
                    && k.eq_ignore_ascii_case("authorization")
                {
                    token = v.trim().to_owned();
                }
            }
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let before = log.lock().unwrap().iter().filter(|s| s.0 == path).count();
            log.lock().unwrap().push((path.clone(), token));
            let (status, body, claimed) = answer(&path, before);
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                claimed.unwrap_or(body.len())
            );
        }
    });
    (address, seen)
}

/// The NetBox of the tests: three sites, two pages of devices, a cable and a circuit.
fn netbox(path: &str) -> String {
    let page = |count: usize, next: &str, results: &str| {
        let next = if next.is_empty() {
            "null".into()
        } else {
            format!("\"http://inside.example{next}\"")
        };
        format!("{{\"count\":{count},\"next\":{next},\"previous\":null,\"results\":[{results}]}}")
    };
    let device = |id: u32, name: &str, site: &str| {
        format!(
            r#"{{"id":{id},"name":{name},"site":{{"id":1,"name":"{site}"}},"role":{{"id":1,"name":"router"}},
            "device_type":{{"id":1,"manufacturer":{{"id":1,"name":"Acme"}},"model":"X1"}},
            "platform":{{"id":2,"name":"7.1"}},"custom_fields":{{"segment":"transport","install_date":"2023-01-01"}}}}"#
        )
    };
    let (kind, query) = path.split_once('?').unwrap_or((path, ""));
    match (kind, query.contains("offset=2")) {
        ("/api/dcim/sites/", _) => page(
            3,
            "",
            r#"{"id":1,"name":"a","latitude":50.0,"longitude":10.0,"region":{"id":1,"name":"north"},"custom_fields":{"customers":70}},
               {"id":2,"name":"b","latitude":null,"longitude":null,"region":null,"custom_fields":{}},
               {"id":3,"name":"c","latitude":51,"longitude":11,"region":null,"custom_fields":{"customers":"x"}}"#,
        ),
        ("/api/dcim/devices/", false) => page(
            3,
            "/api/dcim/devices/?limit=500&offset=2",
            &[device(11, "\"r1\"", "a"), device(12, "\"r1\"", "b")].join(","),
        ),
        ("/api/dcim/devices/", true) => page(3, "", &device(13, "null", "c")),
        ("/api/dcim/cables/", _) => page(
            1,
            "",
            r#"{"id":5,"label":"","a_terminations":[{"object_type":"dcim.interface","object":{"id":1,"device":{"id":11,"name":"r1"}}}],
                "b_terminations":[{"object_type":"dcim.interface","object":{"id":2,"device":{"id":12,"name":"r1"}}}]}"#,
        ),
        ("/api/circuits/circuit-terminations/", _) => page(
            2,
            "",
            r#"{"id":1,"circuit":{"id":9,"cid":"L-9"},"term_side":"A","site":{"id":2,"name":"b"}},
               {"id":2,"circuit":{"id":9,"cid":"L-9"},"term_side":"Z","termination_type":"dcim.site","termination":{"id":3,"name":"c"}}"#,
        ),
        _ => "{}".into(),
    }
}

fn ask(address: &str, token: Option<&str>) -> Result<Loaded, Error> {
    load(Path::new(address), &Options { token: token.map(str::to_owned), ..Options::default() })
}

fn counts(i: &Inventory) -> (usize, usize, usize) {
    (i.sites.len(), i.devices.len(), i.links.len())
}

#[test]
fn a_netbox_is_read_page_by_page_with_its_token() {
    let (address, seen) = server(|path, _| (200, netbox(path), None));
    let l = ask(&format!("{address}/"), Some("abc")).unwrap();
    let i = &l.inventory;
    assert_eq!(counts(i), (3, 3, 2));
    let names: Vec<&str> = i.devices.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["r1", "r1 [12]", "device 13"]);
    assert_eq!(i.text(i.devices[0].vendor), "Acme");
    assert_eq!(i.text(i.devices[2].release), "7.1");
    assert_eq!(i.devices[0].segment, Segment::Transport);
    assert_eq!(i.sites[0].customers, Some(70.0));
    assert_eq!(i.text(i.sites[0].region), "north");
    assert!(l.problems.list.iter().any(|p| p.column == "cf_customers" && p.row == 3));
    let seen = seen.lock().unwrap().clone();
    assert!(seen.iter().all(|s| s.1 == "Token abc"), "{seen:?}");
    assert_eq!(seen.iter().filter(|s| s.0.starts_with("/api/dcim/devices/")).count(), 2);
    // The same through the command.
    let checked = commands::check(Path::new(&address), &Options::default()).unwrap();
    assert_eq!(checked.counts, [3, 3, 2, 0]);
}

#[test]
fn a_netbox_that_misbehaves_is_named() {
    type Answer = Box<dyn Fn(&str, usize) -> (u16, String, Option<usize>) + Send>;
    let devices = |path: &str| path.starts_with("/api/dcim/devices/");
    let cases: Vec<(&str, Answer)> =
        vec![
            (
                "the server failed (status 500)",
                Box::new(move |p, _| {
                    if devices(p) { (500, "oops".into(), None) } else { (200, netbox(p), None) }
                }),
            ),
            ("wants another token (status 403)", Box::new(|_, _| (403, "{}".into(), None))),
            ("status 404", Box::new(|_, _| (404, "no".into(), None))),
            ("sends to another address", Box::new(|_, _| (301, String::new(), None))),
            (
                "go round in a circle",
                Box::new(move |p, _| {
                    let body = netbox(p)
                        .replace("\"next\":null", "\"next\":\"http://x/?limit=500&offset=2\"");
                    (200, if devices(p) { body } else { netbox(p) }, None)
                }),
            ),
            (
                "an empty page names a next one",
                Box::new(|_, _| {
                    (200, r#"{"count":9,"next":"http://x/?a=1","results":[]}"#.into(), None)
                }),
            ),
            (
                "the answer broke off",
                Box::new(move |p, _| {
                    let body = netbox(p);
                    let claimed = devices(p).then_some(body.len() + 1000);
                    (200, body, claimed)
                }),
            ),
            ("no JSON", Box::new(|_, _| (200, "<html>login</html>".into(), None))),
            (
                "no JSON",
                Box::new(|p, _| {
                    let body = netbox(p);
                    (200, body[..body.len() / 2].to_owned(), None)
                }),
            ),
            ("no `results`", Box::new(|_, _| (200, "[]".into(), None))),
            (
                "4 objects were announced and 3 came",
                Box::new(move |p, _| {
                    (
                        200,
                        if devices(p) {
                            netbox(p).replace("\"count\":3", "\"count\":4")
                        } else {
                            netbox(p)
                        },
                        None,
                    )
                }),
            ),
        ];
    for (want, answer) in cases {
        let (address, _) = server(answer);
        let e = ask(&address, None).unwrap_err();
        let text = e.to_string();
        assert!(matches!(e, Error::Server { .. }) && text.contains(want), "{want}: {text}");
        assert!(text.contains("/api/") && text.lines().count() == 1, "{text}");
    }
    // Busy once, then well: asked again.
    let (address, _) =
        server(
            |path, before| {
                if before == 0 { (503, "busy".into(), None) } else { (200, netbox(path), None) }
            },
        );
    assert_eq!(counts(&ask(&address, None).unwrap().inventory), (3, 3, 2));
    // Nobody there.
    let e = ask("http://127.0.0.1:9", None).unwrap_err().to_string();
    assert!(e.contains("no answer"), "{e}");
}
