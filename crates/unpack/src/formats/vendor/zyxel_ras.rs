//! Zyxel `ras.bin` (NBG and the like): a header of one erase block, root file system, perhaps a kernel.
//!
//! There is no magic: at the start of a content, texts padded with 0xFF and the 16-bit sum over the first 2 KiB
//! (with the root file system's sum in its own place) must fit. The header is 64 KiB unless another power of two
//! makes the root file system's sum right.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::Magic,
    formats::{
        layout::{self, Layout, Reader, about},
        sums,
    },
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Vendor,
        "zyxel-ras",
        "Zyxel ras image",
        "version, model",
        "16-bit sums of header, root file system and kernel",
        "",
        "OpenWrt firmware-utils, mkrasimage.c (layout)"
    ),
    magics: &[Magic::start(b"")],
    read: ras,
};

/// The sum of System V, as `sum -s` prints it.
fn sum(data: &[u8]) -> u32 {
    let all = sums::sum8(data);
    let once = (all & 0xFFFF).wrapping_add(all >> 16);
    (once & 0xFFFF).wrapping_add(once >> 16)
}

fn ras(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let head = data.get(..2048)?;
    let word = |at| read::be32(head, at);
    let (root_sum, root_len, own) = (word(0)?, word(4)?, word(40)?);
    let (kernel_sum, kernel_len) = (word(108)?, word(112)?);
    if root_sum > 0xFFFF
        || own > 0xFFFF
        || root_len == 0
        || head.get(116..)?.iter().any(|b| *b != 0xFF)
        || !layout::is_text_field(head.get(8..40)?)
        || !layout::is_text_field(head.get(44..108)?)
    {
        return None;
    }
    budget.work(2048).ok()?;
    let counted = [head.get(..40)?, head.get(..4)?, head.get(44..)?].concat();
    if sum(&counted) != own {
        return None;
    }
    let root_at = |header: usize| {
        read::slice(data, header, read::index(root_len.into())?)
            .filter(|root| budget.work(root.len() as u64).is_ok() && sum(root) == root_sum)
    };
    let fits =
        [1 << 16, 1 << 17, 1 << 15, 1 << 12].into_iter().find(|header| root_at(*header).is_some());
    let header = fits.unwrap_or(1 << 16);
    let kernel = if kernel_len == u32::MAX { 0 } else { u64::from(kernel_len) };
    let root_end = (header as u64).checked_add(root_len.into())?;
    let mut layout = Layout::new(data, root_end.checked_add(kernel)?, Proof::ChecksumVerified);
    layout.structure(0, header);
    layout.attribute("version", layout::text(head, 8, 32)?);
    layout.attribute("model", layout::text(head, 44, 64)?);
    let kernel_right = kernel == 0
        || read::index(root_end)
            .zip(read::index(kernel))
            .and_then(|(at, len)| read::slice(data, at, len))
            .is_some_and(|k| sum(k) == kernel_sum);
    layout.integrity("crc", "sum16", Some(fits.is_some() && kernel_right));
    layout.part(data, "rootfs", header as u64, root_len.into());
    layout.part(data, "kernel", root_end, kernel);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, torture};

    #[test]
    fn our_own_image_is_read_back() {
        let (root, kernel) = (noise(3000, 11), noise(700, 12));
        let text = |t: &str, len: usize| {
            let mut field = t.as_bytes().to_vec();
            field.push(0);
            field.resize(len, 0xFF);
            field
        };
        let mut head = sum(&root).to_be_bytes().to_vec();
        head.extend(3000_u32.to_be_bytes());
        head.extend(text("V1.00(ABCT.0)", 32));
        head.extend(sum(&root).to_be_bytes());
        head.extend(text("NBG6617", 64));
        head.extend(sum(&kernel).to_be_bytes());
        head.extend(700_u32.to_be_bytes());
        head.resize(2048, 0xFF);
        let own = sum(&head);
        head[40..44].copy_from_slice(&own.to_be_bytes());
        head.resize(1 << 16, 0xFF);
        let mut file = [head, root.clone(), kernel.clone()].concat();
        let opened = open(&FORMAT, &file);
        assert_eq!(
            (opened.content("rootfs"), opened.content("kernel")),
            (root.into(), kernel.into())
        );
        assert_eq!((opened.attribute("model"), opened.problems.len()), ("NBG6617", 0));
        torture(&FORMAT, &file);
        let last = file.len() - 1;
        file[last] ^= 1;
        assert_eq!(open(&FORMAT, &file).attribute("integrity-correct"), "no");
        file[9] ^= 1;
        assert!(open_at(&FORMAT, &file, 0).is_none());
        assert!(open_at(&FORMAT, &vec![0xFF; 4096], 0).is_none());
        assert!(open_at(&FORMAT, &vec![0; 4096], 0).is_none());
    }
}
