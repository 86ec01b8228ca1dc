//! Flattened device trees, and the reader that FIT uses as well.
//!
//! Establishes: header offsets, and that the walk over the tokens reaches the end token with all nodes
//! closed. A device tree is a leaf; model, compatible machines and boot arguments are attributes.
//!
//! False positives: none known. Limits: overlays are not applied; memory reservations are not reported.

use std::ops::Range;

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Family, Magic},
    formats::layout::{self, Layout, Reader},
    read,
};

/// A device tree that is not a FIT image.
pub static FORMAT: Reader = Reader {
    about: &About {
        id: "dtb",
        name: "Device tree",
        family: Family::Boot,
        revision: 1,
        metadata: "model, compatible, boot arguments",
        integrity: "token walk to the end",
        limits: "overlays are not applied",
        sources: &["Devicetree Specification 0.4, chapter 5"],
    },
    magics: &[Magic::anywhere(MAGIC)],
    read: read_layout,
};

/// `d00dfeed`.
pub const MAGIC: &[u8] = b"\xD0\x0D\xFE\xED";

/// Nodes deeper than this are not followed by any known boot loader.
const DEPTH: usize = 64;

/// A node: its name, its parent's index, its properties as ranges of the blob.
#[derive(Debug)]
pub struct Node {
    /// Name with unit address; empty for the root.
    pub name: String,
    /// Index of the parent; the root is its own.
    pub parent: usize,
    /// Names and values.
    pub properties: Vec<(String, Range<usize>)>,
}

/// A tree, nodes in the order of the blob, the root first.
#[derive(Debug)]
pub struct Tree {
    /// Never empty.
    pub nodes: Vec<Node>,
    /// `totalsize` of the header, at most what is there.
    pub size: usize,
}

impl Tree {
    /// Reads the blob at the start of `data`; refuses anything that is not whole.
    #[must_use]
    pub fn read(data: &[u8], budget: &Budget) -> Option<Self> {
        if data.get(..4)? != MAGIC {
            return None;
        }
        let field = |at| read::index(read::be32(data, at)?.into());
        let (size, structs, strings) = (field(4)?, field(8)?, field(12)?);
        let (version, compatible) = (field(20)?, field(24)?);
        if !(1..=17).contains(&version)
            || compatible > version
            || size < 40
            || structs >= size
            || strings > size
        {
            return None;
        }
        let blob = data.get(..size)?;
        let strings = blob.get(strings..)?;
        let (mut nodes, mut open) = (Vec::<Node>::new(), Vec::<usize>::new());
        let mut at = structs;
        loop {
            budget.work(16).ok()?;
            let token = read::be32(blob, at)?;
            at = at.checked_add(4)?;
            match token {
                1 => {
                    let name = read::until_nul(blob.get(at..)?);
                    at = at.checked_add(name.len())?.checked_add(1)?.checked_next_multiple_of(4)?;
                    let name = std::str::from_utf8(name).ok()?.to_owned();
                    if open.is_empty() && !nodes.is_empty() || open.len() >= DEPTH {
                        return None;
                    }
                    let index = nodes.len();
                    nodes.push(Node {
                        name,
                        parent: open.last().copied().unwrap_or(0),
                        properties: Vec::new(),
                    });
                    open.push(index);
                }
                2 => drop(open.pop()?),
                3 => {
                    let (len, name) =
                        (read::be32(blob, at)?, read::be32(blob, at.checked_add(4)?)?);
                    let start = at.checked_add(8)?;
                    let end = start.checked_add(read::index(len.into())?)?;
                    blob.get(start..end)?;
                    let name = read::until_nul(strings.get(read::index(name.into())?..)?);
                    budget.work(name.len() as u64).ok()?;
                    let name =
                        std::str::from_utf8(name.get(..name.len().min(256))?).ok()?.to_owned();
                    nodes.get_mut(*open.last()?)?.properties.push((name, start..end));
                    at = end.checked_next_multiple_of(4)?;
                }
                4 => {}
                9 if open.is_empty() && !nodes.is_empty() => return Some(Self { nodes, size }),
                _ => return None,
            }
        }
    }

    /// The range of a property of a node.
    #[must_use]
    pub fn property(&self, node: usize, name: &str) -> Option<Range<usize>> {
        self.nodes
            .get(node)?
            .properties
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, range)| range.clone())
    }

    /// A property as text: strings joined by commas.
    #[must_use]
    pub fn text(&self, data: &[u8], node: usize, name: &str) -> Option<String> {
        let value = data.get(self.property(node, name)?)?;
        let strings = value.split(|b| *b == 0).filter(|s| !s.is_empty());
        let texts: Vec<_> = strings.filter_map(|s| layout::text(s, 0, s.len())).collect();
        Some(texts.join(","))
    }

    /// A property as a number of one or two cells.
    #[must_use]
    pub fn number(&self, data: &[u8], node: usize, name: &str) -> Option<u64> {
        let value = data.get(self.property(node, name)?)?;
        match value.len() {
            4 => read::be32(value, 0).map(u64::from),
            8 => read::be64(value, 0),
            _ => None,
        }
    }

    /// Indices of the children of a node, in order.
    pub fn children(&self, node: usize) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().skip(1).filter(move |(_, n)| n.parent == node)
    }

    /// The child of that name.
    #[must_use]
    pub fn child(&self, node: usize, name: &str) -> Option<usize> {
        self.children(node).find(|(_, n)| n.name == name).map(|(index, _)| index)
    }

    /// Whether this is a FIT image: an `images` node whose children have data.
    #[must_use]
    pub fn is_fit(&self) -> bool {
        let has_data =
            |n: &Node| n.properties.iter().any(|(name, _)| name == "data" || name == "data-size");
        self.child(0, "images")
            .is_some_and(|images| self.children(images).any(|(_, n)| has_data(n)))
    }
}

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let tree = Tree::read(data, budget).filter(|tree| !tree.is_fit())?;
    let mut layout = Layout::leaf(data, tree.size as u64, Proof::DecoderEnded);
    for (key, name) in [("model", "model"), ("compatible", "compatible")] {
        layout.attribute(key, tree.text(data, 0, name).unwrap_or_default());
    }
    let arguments = tree.child(0, "chosen").and_then(|chosen| tree.text(data, chosen, "bootargs"));
    layout.attribute("boot-arguments", arguments.unwrap_or_default());
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, open_whole, scratch, tool, torture};

    const SOURCE: &str = r#"/dts-v1/; / { model = "Example Gateway"; compatible = "example,gw", "example,soc";
        chosen { bootargs = "console=ttyS0"; }; memory@0 { reg = <0 0x1000>; }; a { b { c { }; }; }; };"#;

    #[test]
    fn what_dtc_makes_is_read() {
        let dir = scratch();
        std::fs::write(dir.path().join("s"), SOURCE).unwrap();
        tool(dir.path(), "device-tree-compiler", "dtc -p 64 -o a.dtb s; dtc -V 16 -o b.dtb s");
        for name in ["a.dtb", "b.dtb"] {
            let blob = std::fs::read(dir.path().join(name)).unwrap();
            let opened = open_whole(&FORMAT, &blob);
            assert_eq!(opened.attribute("model"), "Example Gateway");
            assert_eq!(opened.attribute("compatible"), "example,gw,example,soc");
            assert_eq!(opened.attribute("boot-arguments"), "console=ttyS0");
            torture(&FORMAT, &blob);
        }
    }

    #[test]
    fn a_header_without_a_tree_is_refused() {
        let mut blob = MAGIC.to_vec();
        for word in [48_u32, 40, 48, 40, 17, 16, 0, 0, 8, 9, 9] {
            blob.extend(word.to_be_bytes());
        }
        assert!(open_at(&FORMAT, &blob, 0).is_none());
    }
}
