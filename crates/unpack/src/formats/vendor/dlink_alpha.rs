//! Images that Alpha Networks makes for D-Link and others: WRGG03 headers, and images that are encrypted as a whole.
//!
//! A WRGG03 header of 160 bytes carries texts, the size, and an MD5 over offset, device name and body; the body
//! may be encrypted. The older kind has no plain header at all: what announces it is the first block of known
//! devices, which is always the same because it encrypts a constant header. Keys come from a key file.
//! False negatives: devices whose first block is not in the list.

use bytes::Bytes;
use proofmark_model::{Opaque, Proof, RegionClass};

use crate::{
    budget::Budget,
    classify,
    format::Magic,
    formats::{
        layout::{self, Layout, Reader, about},
        sums,
    },
    keys::Opened,
    read::{self, Order},
};

/// `WRGG03`.
pub static WRGG: Reader = Reader {
    about: about!(
        Vendor,
        "alpha-wrgg",
        "Alpha Networks WRGG03",
        "signature, version, model, build, device",
        "md5 over offset, device name and body",
        "AES-256-CBC bodies need a key and a vector",
        "OpenWrt firmware-utils, mkwrggimg.c (layout)"
    ),
    magics: &[Magic::anywhere(b"\x21\x03\x08\x20\x21\x03\x08\x20").after(32)],
    read: wrgg,
};

/// Encrypted as a whole.
pub static ENCIMG: Reader = Reader {
    about: about!(
        Vendor,
        "alpha-encimg",
        "Alpha Networks encrypted image",
        "device",
        "none",
        "content needs a key and a vector; its end is that of the content",
        "unblob, handlers/archive/dlink/alpha_encimg.py (first blocks)"
    ),
    magics: &MAGICS,
    read: encimg,
};

/// First blocks and the devices they belong to.
const BLOCKS: [(&[u8; 16], &str); 14] = [
    (b"\x35\x66\x6f\x68\xef\x1a\xfe\x1f\x34\xef\x4f\x11\x21\x05\x4e\xbe", "DAP-1665 B"),
    (b"\x68\x01\xcc\xfb\xad\x6b\xa0\xba\x33\x04\xb0\x9c\xbb\x48\xb0\x27", "DAP-1720 A"),
    (b"\xdf\x8c\x39\x0d\x22\xb4\xdc\x29\xfb\x4e\xbf\xdb\xe8\xe1\x8b\xfb", "DIR-822 C1"),
    (b"\xf5\x2a\xa0\xb4\x92\x53\xbf\xef\xf8\x21\xa6\x2e\x28\xa7\x39\x8b", "DIR-842 C1/C2"),
    (b"\x21\xdd\xda\x00\x99\xd8\x87\xa9\xd5\x2d\x7e\xff\x3b\x58\x70\xa6", "DIR-842 C3"),
    (b"\xe3\x13\x00\x5b\x76\xdf\x0b\xe8\x83\x24\x5a\x42\xff\x91\x2d\x3d", "DIR-850L A1"),
    (b"\x0a\x14\xe4\x24\xff\x0f\xb4\xd7\x53\x66\xa0\xb0\x72\xfe\xab\xdf", "DIR-850L B1"),
    (b"\x4c\x1b\x95\xaf\x93\x72\x5f\x81\x03\x03\x96\x4d\xdd\x76\x01\x74", "DIR-859 A"),
    (b"\x98\x9c\x3c\x2c\x6b\x19\x1b\x25\x6e\x03\xee\x0f\x72\x5c\x6c\xa0", "DIR-865L A"),
    (b"\x3d\xe6\x02\x63\x3f\xc1\x85\xe7\xd2\xbf\x64\xaf\x29\x57\x3a\xbd", "DIR-868L A"),
    (b"\x8e\x69\x57\xe7\x76\x09\xd7\x94\x47\x75\x78\xa2\x4a\x1f\xc9\xb2", "DIR-880L A"),
    (b"\x92\x61\x58\x58\x14\xdb\xbb\x3b\xe5\xa5\xf3\xe7\x10\x9c\xa2\x0b", "DIR-885L A"),
    (b"\xcb\xc3\xa7\x4c\x50\x0f\x42\x43\xa5\xd9\x7c\xa5\x25\x6b\xcd\xba", "DIR-890L A"),
    (b"\x91\x5a\xc9\xa2\x11\xff\xaa\x6d\xb0\x12\xe8\x8d\x2c\x3c\x23\xcb", "DIR-895L A"),
];

static MAGICS: [Magic; BLOCKS.len()] = magics();

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn magics() -> [Magic; BLOCKS.len()] {
    let mut all = [Magic::start(b""); BLOCKS.len()];
    let mut i = 0;
    while i < BLOCKS.len() {
        all[i] = Magic::start(BLOCKS[i].0);
        i += 1;
    }
    all
}

fn encimg(data: &Bytes, budget: &Budget) -> Option<Layout> {
    let (_, device) = BLOCKS.iter().find(|(block, _)| data.starts_with(*block))?;
    // CBC without padding.
    if !data.len().is_multiple_of(16) || data.len() < 256 {
        return None;
    }
    let mut layout = Layout::new(data, data.len() as u64, Proof::LengthsConsistent);
    layout.attribute("device", device);
    layout.integrity("none", "", None);
    layout.sealed(
        data,
        budget,
        ENCIMG.about.id,
        (0, data.len() as u64),
        &format!("the first block is the encrypted header of {device}"),
        |key, body| Some(Opened::by_looks(key.aes_cbc(None, body)?)),
    );
    Some(layout)
}

fn wrgg(data: &Bytes, budget: &Budget) -> Option<Layout> {
    const HEADER: usize = 160;
    let head = data.get(..HEADER)?;
    let room = data.len().saturating_sub(HEADER) as u64;
    if head.get(32..40)? != b"\x21\x03\x08\x20\x21\x03\x08\x20"
        || !layout::is_text_field(head.get(..32)?)
        || head.first() == Some(&0)
    {
        return None;
    }
    // Only the size tells the byte order of the device: the one that fits exactly, else the smaller.
    let sizes =
        [Order::Little, Order::Big].map(|order| order.u32(head, 104).map_or(u64::MAX, u64::from));
    let exact = sizes.into_iter().find(|size| *size == room);
    let size = exact.or(sizes.into_iter().min()).filter(|size| (1..=1 << 28).contains(size))?;
    let mut layout = Layout::new(data, size.checked_add(HEADER as u64)?, Proof::LengthsConsistent);
    layout.structure(0, HEADER);
    for (key, at, len) in [
        ("signature", 0, 32),
        ("version", 40, 16),
        ("model", 56, 16),
        ("build", 88, 16),
        ("device", 112, 32),
    ] {
        layout.attribute(key, layout::text(head, at, len)?);
    }
    let body = data.get(HEADER..layout.length)?;
    let covered = read::slice(head, 108, 36)?;
    let right = (room >= size && budget.work(size).is_ok())
        .then(|| head.get(144..) == Some(&sums::md5_of([covered, body])[..]));
    if right == Some(true) {
        layout.proof = Proof::ChecksumVerified;
    }
    layout.integrity("hash", "md5", right.filter(|right| *right));
    let looks = classify::classify(body.get(..body.len().min(1 << 16))?);
    let encrypted = matches!(looks, RegionClass::Opaque { looks: Opaque::EncryptedLooking, .. });
    let place = (HEADER as u64, size);
    if encrypted && size.is_multiple_of(16) && size >= 4096 {
        let evidence = "the body cannot be told from random bytes and fills whole AES blocks";
        layout.sealed(data, budget, WRGG.about.id, place, evidence, |key, body| {
            Some(Opened::by_looks(key.aes_cbc(None, body)?))
        });
    } else {
        layout.part(data, if encrypted { "encrypted" } else { "image" }, place.0, place.1);
    }
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open, open_at, open_whole, torture};
    use proofmark_model::ProblemKind;

    fn header(size: u32, body: &[u8], big: bool) -> Vec<u8> {
        let mut file = b"wapac02_dlink".to_vec();
        file.resize(32, 0);
        file.extend(b"\x21\x03\x08\x20\x21\x03\x08\x20v1.0");
        file.resize(104, 0);
        file.extend(if big { size.to_be_bytes() } else { size.to_le_bytes() });
        file.extend([0; 4]);
        file.extend(b"/dev/mtdblock/1");
        file.resize(144, 0);
        let md5 = sums::md5_of([&file[108..144], body]);
        file.extend(md5);
        file
    }

    #[test]
    fn our_own_wrgg_is_read_back_in_both_orders() {
        let body = b"plain text of a kernel ".repeat(40);
        for big in [false, true] {
            let mut file = header(u32::try_from(body.len()).unwrap(), &body, big);
            file.extend(&body);
            let opened = open_whole(&WRGG, &file);
            assert_eq!(opened.content("image"), body);
            assert_eq!(opened.attribute("integrity-correct"), "yes");
            torture(&WRGG, &file);
        }
        assert!(open_at(&WRGG, &noise(400, 1), 0).is_none());
    }

    #[test]
    fn a_random_body_is_encrypted() {
        let body: Vec<u8> = (0..2048_u32).flat_map(|i| sums::sha256(&i.to_be_bytes())).collect();
        let mut file = header(65_536, &body, true);
        file.extend(&body);
        assert_eq!(open(&WRGG, &file).problems[0].kind, ProblemKind::Encrypted);
    }

    #[test]
    fn a_known_first_block_says_which_device() {
        let mut file = BLOCKS[5].0.to_vec();
        file.extend(noise(1008, 2));
        let opened = open(&ENCIMG, &file);
        assert_eq!(opened.attribute("device"), "DIR-850L A1");
        assert_eq!(opened.problems[0].kind, ProblemKind::Encrypted);
        torture(&ENCIMG, &file);
        file.pop();
        assert!(open_at(&ENCIMG, &file, 0).is_none());
    }
}
