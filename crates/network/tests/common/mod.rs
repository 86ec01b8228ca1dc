//! A small operator for tests.

#![allow(clippy::unwrap_used, dead_code, reason = "shared by test programs that use parts of it")]

use std::collections::BTreeMap;
use std::path::Path;

use proofmark_model::Verdict;
use proofmark_network::commands::{Input, World};
use proofmark_network::cost::Level;
use proofmark_network::date::Date;
use proofmark_network::policy::Binding;

const PLACES: &str = r#"{"type":"FeatureCollection","features":[
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"P","category":"city-list-1","radius_m":500}},
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"Q","category":"city-list-2"}},
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"R","category":"city-list-3"}},
 {"type":"Feature","geometry":{"type":"Point","coordinates":[10.0,50.0]},"properties":{"name":"S","category":"dense-areas"}}]}"#;

/// A small operator: two clusters of six sites, the first with failing radio, one core site.
pub fn operator(folder: &Path) {
    let mut sites = "name,latitude,longitude,region,cf_cluster,cf_customers,cf_traffic_gb_day,cf_population_served\ncore,50.3,10.3,north,,10,0,0\n".to_owned();
    let mut devices = "name,site,role,manufacturer,device_type,platform,cf_segment,cf_function,cf_generation,cf_coupling_group,cf_install_date\n\
        core-amf,core,core,North,N-AMF,1.0,core,amf,4G/5G,,2024-01-01\n\
        core-oss,core,core,North,N-OSS,1.0,management,oss,4G/5G,,2024-01-01\n\
        core-upf,core,core,South,S-UPF,1.0,core,upf,4G/5G,,2024-01-01\n\
        core-oss2,core,core,South,S-OSS,1.0,management,oss,4G/5G,,2024-01-01\n\
        core-tx,core,core,South,S-T,1.0,transport,core-transmission,4G/5G,,2024-01-01\n\
        core-txn,core,core,North,N-T,1.0,transport,core-transmission,4G/5G,,2024-01-01\n\
        core-olt,core,olt,North,N-OLT,1.0,access-fixed,olt,,,2024-01-01\n\
        core-olt2,core,olt,South,S-OLT,1.0,access-fixed,olt,,,2024-01-01\n"
        .to_owned();
    let mut links = "side_a_site,side_b_site\n".to_owned();
    for k in 0..12 {
        let (vendor, cluster) = if k < 6 { ("North", "C1") } else { ("South", "C2") };
        let letter = &vendor[..1];
        sites += &format!(
            "s{k},{:.3},10.0,north,{cluster},1000,{},2000\n",
            50.0 + 0.01 * f64::from(k),
            10 + k
        );
        devices += &format!(
            "s{k}-bb,s{k},baseband,{vendor},{letter}-BB,2.0,ran,bbu4g,4G,g{k},2024-05-01\n"
        );
        devices += &format!(
            "s{k}-bb5,s{k},baseband,{vendor},{letter}-BB5,2.0,ran,bbu5g,5G,g{k},2024-05-01\n"
        );
        devices +=
            &format!("s{k}-csr,s{k},router,{vendor},{letter}-CSR,2.0,transport,csr,,,2024-05-01\n");
        links += &format!("s{k},core\n");
    }
    std::fs::write(folder.join("sites.csv"), sites).unwrap();
    std::fs::write(folder.join("devices.csv"), devices).unwrap();
    std::fs::write(folder.join("links.csv"), links).unwrap();
    std::fs::write(folder.join("protected.geojson"), PLACES).unwrap();
}

pub fn world(vendors: &[&str]) -> (tempfile::TempDir, World) {
    let dir = tempfile::tempdir().unwrap();
    operator(dir.path());
    let day = Date::new(2025, 1, 1).unwrap();
    let events: BTreeMap<String, Date> =
        ["approval", "national", "designation", "decree", "decision"]
            .iter()
            .map(|e| ((*e).to_owned(), day))
            .collect();
    let input = Input {
        inventory: dir.path().to_owned(),
        options: Default::default(),
        evidence: None,
        requirements: Vec::new(),
        binding: Binding {
            vendors: vendors.iter().map(|v| (*v).to_owned()).collect(),
            events,
            ..Binding::default()
        },
        start: day,
        costs: Vec::new(),
        level: Level::Typical,
    };
    let mut w = World::load(&input).unwrap();
    // Everything has evidence and passes: only the list designates.
    let devices: Vec<(String, String)> = w
        .inventory()
        .devices
        .iter()
        .map(|d| {
            (w.inventory().text(d.product).to_owned(), w.inventory().text(d.release).to_owned())
        })
        .collect();
    for (p, r) in devices {
        w.evidence.add_verdict(&p, &r, "ACC-01", Verdict::Pass);
    }
    w.status = w.evidence.statuses(w.inventory(), &[]);
    w.binding.failing = true;
    (dir, w)
}
