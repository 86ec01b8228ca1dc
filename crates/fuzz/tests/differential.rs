//! A few images of every recipe through us and the real tools; `cargo xtask differential` compares hundreds.

#![allow(missing_docs, clippy::unwrap_used)]

use proofmark_fuzz::differential;

#[test]
fn the_real_tools_see_what_we_see() {
    let formats =
        ["squashfs", "ext", "tar", "cpio", "zip", "7z", "cramfs", "erofs", "iso9660", "fat"];
    let report = differential::run(30, 7, &formats.map(str::to_owned)).unwrap();
    assert!(report.missing.is_empty(), "tools are missing or fail: {:#?}", report.missing);
    assert_eq!(report.images.values().sum::<u32>(), 30);
    assert!(report.differences.is_empty(), "{:#?}", report.differences);
}
