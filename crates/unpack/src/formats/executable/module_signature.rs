//! The signature that a Linux kernel module build appends to a `.ko`.
//!
//! Establishes: the trailer text, the 12-byte record before it, and a signature of the declared length that
//! is a DER sequence of that length. The region begins before the magic, at the signature.

use bytes::Bytes;
use proofmark_model::Proof;

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub static FORMAT: ModuleSignature = ModuleSignature;

/// A module signature.
pub struct ModuleSignature;

const MAGIC: &[u8] = b"~Module signature appended~\n";

static ABOUT: About = About {
    id: "module-signature",
    name: "Linux module signature",
    family: Family::Leaf,
    revision: 1,
    metadata: "hash and key identifier type",
    integrity: "length against the DER sequence; the signature itself is not verified",
    limits: "signatures before Linux 4.3 that are not PKCS#7 are refused",
    sources: &["linux/include/linux/module_signature.h"],
};

/// The signature's length, from the record that ends at `end`.
fn signature_len(data: &[u8], end: usize) -> Option<usize> {
    let record = read::slice(data, end.checked_sub(12)?, 12)?;
    let len = read::index(read::be32(record, 8)?.into())?;
    let start = end.checked_sub(12)?.checked_sub(len)?;
    // PKEY_ID_PKCS7, the other fields 0, and a DER sequence with a two-byte length.
    let der = read::slice(data, start, 4)?;
    let whole = usize::from(read::be16(der, 2)?).checked_add(4)? == len;
    (record.get(..8)? == [0, 0, 2, 0, 0, 0, 0, 0] && der.get(..2)? == [0x30, 0x82] && whole)
        .then_some(len)
}

impl Format for ModuleSignature {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[Magic::anywhere(MAGIC)];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        if read::slice(data, at, MAGIC.len())? != MAGIC {
            return None;
        }
        let before = signature_len(data, at)?.checked_add(12)?;
        let length = before.checked_add(MAGIC.len())?;
        Some(Candidate::new(at.checked_sub(before)?, length, Proof::LengthsConsistent))
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let Some(end) = region.len().checked_sub(MAGIC.len().saturating_add(12)) else { return };
        sink.attribute("integrity", "signature");
        sink.attribute("integrity-algorithm", "pkcs7");
        sink.attribute("integrity-correct", "unknown");
        let _ = sink.entry(Entry::file("signature.p7s", Blob::Bytes(region.slice(..end))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{open_at, scratch, tool, torture};

    #[test]
    fn a_signature_made_as_the_kernel_build_makes_it() {
        let dir = scratch();
        std::fs::write(dir.path().join("m.ko"), b"module").unwrap();
        let sign = "openssl req -x509 -newkey rsa:2048 -nodes -keyout k.pem -out c.pem -subj /CN=test -days 1 2>/dev/null; openssl cms -sign -binary -noattr -in m.ko -signer c.pem -inkey k.pem -outform DER -out s.p7s";
        tool(dir.path(), "openssl", sign);
        let signature = std::fs::read(dir.path().join("s.p7s")).unwrap();
        let mut module = b"module".to_vec();
        module.extend(&signature);
        module.extend([0, 0, 2, 0, 0, 0, 0, 0]);
        module.extend(u32::try_from(signature.len()).unwrap().to_be_bytes());
        let at = module.len();
        module.extend(MAGIC);
        let opened = open_at(&FORMAT, &module, at).unwrap();
        assert_eq!((opened.candidate.start, opened.candidate.length), (6, module.len() - 6));
        assert_eq!(opened.content("signature.p7s"), signature);
        torture(&FORMAT, &module);
        module[at - 1] ^= 4;
        assert!(open_at(&FORMAT, &module, at).is_none());
    }

    #[test]
    fn the_text_alone_is_refused() {
        let mut text = vec![0; 600];
        text.extend(MAGIC);
        assert!(open_at(&FORMAT, &text, 600).is_none());
    }
}
