//! The example operator against values that another program computed (networkx dominator tree,
//! haversine): an oracle that does not come from this code.
//!
//! The data lies in `../shared/data/network` beside the repository, or where `PROOFMARK_DATA` says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::path::PathBuf;

use proofmark_model::Verdict;
use proofmark_network::evidence::Evidence;
use proofmark_network::exposure::{self, Weight, graph::Graph, spatial};
use proofmark_network::inventory::{self, Segment};

/// The folder, if it is there: it is not part of the repository.
fn data() -> Option<PathBuf> {
    let base = std::env::var_os("PROOFMARK_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let path = base.join("network/example-operator-10k");
    if !path.is_dir() {
        eprintln!("skipped: {} is not there; set PROOFMARK_DATA", path.display());
        return None;
    }
    Some(path)
}

fn close(a: f64, b: &serde_json::Value, digits: i32) {
    let b = b.as_f64().unwrap();
    assert!((a - b).abs() <= 0.5 * 10f64.powi(-digits) + 1e-9, "{a} is not {b}");
}

#[test]
fn example_operator_matches_reference() {
    let Some(folder) = data() else { return };
    let text = std::fs::read(folder.join("reference-metrics.json")).unwrap();
    let want: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let loaded = inventory::load(&folder, &inventory::Options::default()).unwrap();
    assert_eq!(loaded.problems.list, []);
    let inv = &loaded.inventory;
    close(inv.sites.len() as f64, &want["sites"], 0);
    close(inv.devices.len() as f64, &want["devices"], 0);
    close(inv.links.len() as f64, &want["links"], 0);
    let sum = |w: Weight| inv.sites.iter().filter_map(|s| w.of(s)).sum::<f64>();
    close(sum(Weight::Traffic), &want["traffic_gb_day"], 1);
    close(sum(Weight::Customers), &want["customers"], 0);
    close(sum(Weight::Population), &want["population"], 0);

    let mut evidence = Evidence::default();
    for d in &inv.devices {
        let v = if inv.text(d.vendor) == "Vendor-A" { Verdict::Fail } else { Verdict::Pass };
        evidence.add_verdict(inv.text(d.product), inv.text(d.release), "ACC-01", v);
    }
    let x = exposure::measure(inv, &evidence, &exposure::Options::default());
    close(x.articulation_points as f64, &want["articulation_points"], 0);
    close(x.bridges as f64, &want["bridges"], 0);
    let blast = want["largest_blast_customers"].as_array().unwrap();
    for (b, w) in x.blast.iter().zip(blast) {
        assert_eq!(b.name, w[0].as_str().unwrap());
        close(b.customers, &w[1], 0);
    }
    for c in x.concentration.iter().filter(|c| c.segment == Segment::Ran) {
        match c.weight {
            Weight::Sites => close(c.hhi.low, &want["ran_hhi_sites"], 1),
            _ => close(c.hhi.low, &want["ran_hhi_traffic"], 1),
        }
        for (name, share) in &c.vendors {
            let w = &want["ran_share"][name];
            match c.weight {
                Weight::Sites => close(share * 10_000.0, &w["sites"], 0),
                _ => close(*share, &w["traffic"], 6),
            }
        }
    }
    let customers = |set: &[bool]| {
        inv.sites.iter().zip(set).filter(|(_, s)| **s).filter_map(|(s, _)| s.customers).sum::<f64>()
    };
    let of_a = |segment: Segment, function: &str| {
        exposure::sites_with(inv, |_, d| {
            inv.text(d.vendor) == "Vendor-A"
                && d.segment == segment
                && (function.is_empty() || inv.text(d.function) == function)
        })
    };
    let tree = Graph::new(inv, exposure::core_sites(inv)).tree();
    close(
        customers(&tree.marked_above(&of_a(Segment::Transport, ""))),
        &want["customers_unavoidable_via_VendorA_transport"],
        0,
    );
    close(customers(&of_a(Segment::Transport, "csr")), &want["customers_own_csr_VendorA"], 0);

    let near = spatial::near(inv, &spatial::Grid::new(inv), 1000.0);
    let mut sites: Vec<u32> = near.iter().flatten().map(|(s, _)| *s).collect();
    close(sites.len() as f64, &want["site_location_pairs"], 0);
    close(near.iter().filter(|n| !n.is_empty()).count() as f64, &want["protected_with_a_site"], 0);
    sites.sort_unstable();
    sites.dedup();
    close(sites.len() as f64, &want["sites_within_protected_radius"], 0);
    let ran = of_a(Segment::Ran, "");
    let hit = sites.iter().filter(|s| ran[**s as usize]).count();
    close(hit as f64, &want["VendorA_RAN_sites_within_radius"], 0);
}

#[test]
fn unknown_devices_make_intervals() {
    let Some(folder) = data() else { return };
    let loaded = inventory::load(&folder, &inventory::Options::default()).unwrap();
    let x =
        exposure::measure(&loaded.inventory, &Evidence::default(), &exposure::Options::default());
    let own = x.reach.own[&Weight::Traffic];
    assert_eq!((own.low, own.high), (0.0, 1.0));
    assert_eq!(x.devices, [0, 0, 53_630]);
}

#[test]
fn netbox_dump_is_an_inventory() {
    let Some(folder) = data() else { return };
    let file = folder.join("../netbox-demo-v3.6.json.gz");
    let loaded = inventory::load(&file, &inventory::Options::default()).unwrap();
    let inv = &loaded.inventory;
    assert_eq!((inv.sites.len(), inv.devices.len()), (24, 72));
    assert!(inv.devices.iter().all(|d| d.vendor.is_some() && d.product.is_some()));
}

#[test]
fn bad_rows_are_named_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    put(
        "sites.csv",
        "Name;Latitude;Longitude;cf_traffic_gb_day\nA;50,5;10;7\nB;95;10;x\nA;1;1;1\n;1;1;1\nC;;;\n",
    );
    put(
        "devices.csv",
        "name,site,manufacturer,type,platform,cf_segment\n\
         d1,A,Acme Inc.,X1,1.0,ran\nd2,B,ACME,X1,,moon\nd3,nowhere,Acme,X1,1.0,ran\nd1,A,Acme,X1,1.0,ran\nd4,C,acme,X-1,1.0,ran\n",
    );
    put("links.csv", "side_a_site,side_b_site\nA,B\nA,Z\n");
    let l = inventory::load(dir.path(), &inventory::Options::default()).unwrap();
    assert_eq!(
        (l.inventory.sites.len(), l.inventory.devices.len(), l.inventory.links.len()),
        (3, 3, 1)
    );
    let has = |file: &str, row: u64, column: &str| {
        l.problems.list.iter().any(|p| p.file == file && p.row == row && p.column == column)
    };
    assert!(has("sites.csv", 3, "latitude") && has("sites.csv", 3, "cf_traffic_gb_day"));
    assert!(has("sites.csv", 4, "name") && has("sites.csv", 5, "name"));
    assert!(has("devices.csv", 4, "site") && has("devices.csv", 5, "name"));
    assert!(has("devices.csv", 3, "cf_segment") && has("devices.csv", 3, "platform"));
    assert!(has("links.csv", 3, "side_b_site"));
    // All three spellings of the vendor and both of the product are one, and it is said so.
    let names: std::collections::BTreeSet<_> =
        l.inventory.devices.iter().map(|d| d.vendor).collect();
    assert_eq!(names.len(), 1);
    assert!(
        l.aliases.iter().any(|a| a.kind == "vendor")
            && l.aliases.iter().any(|a| a.kind == "product")
    );
}
