//! QNAP: an encrypted update whose description stands behind it.
//!
//! Establishes: the `icpnas` footer of 74 bytes with device, version and date, and that the encrypted length
//! lies in the file. The cipher's key is derived from the device's model; keys are not shipped.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    formats::layout,
    read,
};

/// The format.
pub static FORMAT: Qnap = Qnap;

/// A QNAP update.
pub struct Qnap;

static ABOUT: About = About {
    id: "qnap",
    name: "QNAP NAS update",
    family: Family::Vendor,
    revision: 1,
    metadata: "device, version, date",
    integrity: "encrypted length against the file",
    limits: "content is not decrypted",
    sources: &["unblob, handlers/archive/qnap (layout)"],
};

const FOOTER: usize = 74;

impl Format for Qnap {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(b"icpnas")] }
    }

    /// The footer describes all bytes before it, from the start of the content on.
    fn probe(&self, data: &Bytes, at: usize, _: &Budget) -> Option<Candidate> {
        let footer = read::slice(data, at, FOOTER)?;
        let encrypted = read::index(read::le32(footer, 6)?.into())?;
        let texts = [10, 26, 42, 58].iter().all(|at| {
            footer.get(*at..).and_then(|f| f.get(..16)).is_some_and(layout::is_text_field)
        });
        let version = layout::text(footer, 26, 16)?;
        if encrypted == 0
            || encrypted > at
            || !texts
            || !version.starts_with(|c: char| c.is_ascii_digit())
        {
            return None;
        }
        let mut candidate = Candidate::new(0, at.checked_add(FOOTER)?, Proof::LengthsConsistent);
        let message = format!("the footer declares {encrypted} encrypted bytes; no key was given");
        candidate.problems.push(Problem::new(ProblemKind::Encrypted, message));
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, _: &Budget, sink: &mut Sink<'_>) {
        let end = region.len().saturating_sub(FOOTER);
        let footer = region.slice(end..);
        for (key, at) in [("device", 10), ("version", 26), ("date", 42), ("revision", 58)] {
            sink.attribute(key, layout::text(&footer, at, 16).unwrap_or_default());
        }
        sink.attribute("encrypted", "yes");
        sink.attribute("integrity", "none");
        let encrypted =
            read::le32(&footer, 6).map(u64::from).and_then(read::index).unwrap_or(end).min(end);
        if sink.entry(Entry::file("encrypted", Blob::Bytes(region.slice(..encrypted)))).is_ok()
            && encrypted < end
        {
            let _ = sink.entry(Entry::file("plain", Blob::Bytes(region.slice(encrypted..end))));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, torture};

    #[test]
    fn our_own_construction_is_read_back() {
        let mut file = noise(500, 80);
        file.extend(b"icpnas");
        file.extend(400_u32.to_le_bytes());
        for text in ["TS-X53", "4.3.3", "2017-01-01", "0001"] {
            file.extend(text.bytes());
            file.extend(vec![0; 16 - text.len()]);
        }
        let opened = open_at(&FORMAT, &file, 500).unwrap();
        assert_eq!((opened.candidate.start, opened.candidate.length), (0, 574));
        assert_eq!((opened.content("encrypted").len(), opened.content("plain").len()), (400, 100));
        assert_eq!(opened.attribute("version"), "4.3.3");
        torture(&FORMAT, &file[500..]);
        file[526] = b'x';
        assert!(open_at(&FORMAT, &file, 500).is_none());
    }
}
