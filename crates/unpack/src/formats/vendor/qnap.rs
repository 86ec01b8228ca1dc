//! QNAP: an encrypted update whose description stands behind it.
//!
//! Establishes: the `icpnas` footer of 74 bytes with device, version and date, and that the encrypted length
//! lies in the file. The cipher is PC1 with a password of the model, which comes from a key file. What follows
//! the encrypted bytes is the rest of the same content.

use bytes::Bytes;
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Blob, Candidate, Entry, Family, Format, Magic, Sink},
    formats::layout,
    keys::Opened,
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
    limits: "content needs a password",
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
    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
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
        if let Err(why) = unseal(data.get(..encrypted)?, budget) {
            let message = format!("the footer declares {encrypted} encrypted bytes; {why}");
            candidate.problems.push(Problem::new(ProblemKind::Encrypted, message));
        }
        Some(candidate)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        let end = region.len().saturating_sub(FOOTER);
        let footer = region.slice(end..);
        for (key, at) in [("device", 10), ("version", 26), ("date", 42), ("revision", 58)] {
            sink.attribute(key, layout::text(&footer, at, 16).unwrap_or_default());
        }
        sink.attribute("encrypted", "yes");
        sink.attribute("integrity", "none");
        let encrypted =
            read::le32(&footer, 6).map(u64::from).and_then(read::index).unwrap_or(end).min(end);
        if let Ok((name, opened)) = unseal(region.get(..encrypted).unwrap_or_default(), budget) {
            sink.attribute("decrypted-with", name);
            sink.attribute("key-verified", if opened.verified { "yes" } else { "no" });
            let rest = region.get(encrypted..end).unwrap_or_default();
            let whole = [&opened.bytes[..], rest].concat();
            let _ = sink.entry(Entry::file("decrypted", Blob::Bytes(whole.into())));
            return;
        }
        if sink.entry(Entry::file("encrypted", Blob::Bytes(region.slice(..encrypted)))).is_ok()
            && encrypted < end
        {
            let _ = sink.entry(Entry::file("plain", Blob::Bytes(region.slice(encrypted..end))));
        }
    }
}

fn unseal(body: &[u8], budget: &Budget) -> Result<(String, Opened), &'static str> {
    layout::unseal(budget, ABOUT.id, body, |key, body| {
        let password = key.password.as_ref()?.as_bytes();
        // The cipher takes a step for each two bytes of the password and each byte of the body.
        budget.work((body.len() as u64).saturating_mul(password.len() as u64)).ok()?;
        Some(Opened::by_looks(Pc1::new(password).decrypt(body)))
    })
}

/// The cipher PC1 of A. Pukall with a password of pairs of bytes, as QNAP uses it.
struct Pc1 {
    /// For each value of the running sum, what each pair of the password adds.
    steps: Vec<Vec<(u16, u16)>>,
    sum: u8,
    y: u16,
    z: u16,
}

impl Pc1 {
    fn new(password: &[u8]) -> Self {
        let steps = (0..=u8::MAX)
            .map(|sum| {
                let mut last = 0_u32;
                let pairs = password.as_chunks::<2>().0.iter();
                pairs
                    .map(|[high, low]| {
                        let mut high = u32::from(high ^ sum);
                        // The original takes these as signed.
                        if high >= 0x80 {
                            high = high.wrapping_sub(0x101);
                        }
                        let word = (high << 8).wrapping_add(u32::from(low ^ sum));
                        let x = last ^ word;
                        last = x.wrapping_mul(0x4E35).wrapping_add(1) & 0xFFFF;
                        (low16(x.wrapping_mul(0x15A)), low16(last))
                    })
                    // The first of a pair goes with the sum so far, the second into the key.
                    .collect()
            })
            .collect();
        Self { steps, sum: 0, y: 0, z: 0 }
    }

    fn decrypt(mut self, body: &[u8]) -> Vec<u8> {
        body.iter()
            .map(|byte| {
                let mut key = 0;
                for (at, (y, part)) in
                    self.steps.get(usize::from(self.sum)).into_iter().flatten().enumerate()
                {
                    let before = std::mem::replace(&mut self.y, *y);
                    let scaled = 0x4E35_u32.wrapping_mul(
                        u32::from(self.z).wrapping_add(u32::try_from(at).unwrap_or(0)),
                    );
                    self.z =
                        low16(u32::from(self.y).wrapping_add(before.into()).wrapping_add(scaled));
                    key ^= part ^ self.z;
                }
                let [high, low] = key.to_be_bytes();
                let plain = byte ^ high ^ low;
                self.sum ^= plain;
                plain
            })
            .collect()
    }
}

/// The low 16 bits.
fn low16(value: u32) -> u16 {
    let [_, _, high, low] = value.to_be_bytes();
    u16::from_be_bytes([high, low])
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
