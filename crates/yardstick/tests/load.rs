//! Every built-in yardstick loads, and what does not check is refused with its place.

use proofmark_yardstick::{Catalogue, explain};

#[test]
fn every_builtin_loads() {
    let mut ids = 0;
    for name in Catalogue::names() {
        let catalogue = Catalogue::builtin(name).unwrap_or_else(|e| panic!("{e}"));
        assert!(!catalogue.requirements.is_empty());
        ids += catalogue.requirements.len();
    }
    assert!(ids >= 50, "{ids}");
    assert!(explain("acc-01").is_some() && explain("ACC-99").is_none());
}
