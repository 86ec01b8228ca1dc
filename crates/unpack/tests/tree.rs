//! The tree that format tests are built from reaches the tools complete.

#![allow(clippy::unwrap_used)]

mod common;

use common::tree;

#[test]
fn the_tools_see_owners_modes_devices_links_and_holes() {
    let dir = tempfile::tempdir().unwrap();
    let tree = tree::full();
    let list = tree.build(dir.path(), "find tree -printf '%y %m %U:%G %s %P\\n' | sort -k5 >image");
    let list = String::from_utf8_lossy(&list);
    // One line each, one for the root, and the name with a line end in it takes two.
    assert_eq!(list.lines().count(), tree.nodes.len() + 2);
    for line in [
        "f 4755 0:0 400000 bin/busybox",
        "f 640 65000:64000 10 home/user/far.txt",
        "c 660 0:0 0 dev/ttyS300",
        "p 644 0:0 0 dev/pipe",
        "s 755 0:0 0 dev/socket",
        "d 1777 0:0 4096 tmp",
    ] {
        assert!(list.lines().any(|l| l == line), "{line} is missing in\n{list}");
    }
}
