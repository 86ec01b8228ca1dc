//! Motorola S-record: text records that put bytes at addresses.
//!
//! Establishes: every line is a record of the declared length with the right checksum. Entries are the runs
//! of adjacent bytes, named by their address; the header text (S0) is the attribute `name`.
//!
//! False positives: none known (checksums). Neither an end record (S7 to S9) nor a right
//! count (S5, S6) is a problem.

use bytes::Bytes;

use super::records::{Records, bad_sum, line, pay, unhex};
use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    formats::layout,
};

/// The format.
pub static FORMAT: SRecord = SRecord;

/// Motorola S-record.
pub struct SRecord;

static ABOUT: About = About {
    id: "srec",
    name: "Motorola S-record",
    family: Family::Archive,
    revision: 1,
    metadata: "addresses, start address, header text",
    integrity: "checksum of each record, end record or record count",
    limits: "",
    sources: &["Motorola M68000 Family Programmer's Reference Manual, appendix C"],
};

fn records(data: &[u8], from: usize, budget: &Budget, keep: bool) -> Records {
    let mut out = Records { end: from, ..Records::default() };
    let (mut at, mut data_records, mut counted) = (from, 0_u64, false);
    while let Some((text, next)) = line(data, at) {
        let [b'S', kind, digits @ ..] = text else { break };
        let Some(record) = unhex(digits) else { break };
        if budget.work(text.len() as u64).is_err() || out.problems.len() > 16 {
            break;
        }
        let Some((&len, body)) = record.split_first() else { break };
        let width = match kind {
            b'0' | b'1' | b'5' | b'9' => 2,
            b'2' | b'6' | b'8' => 3,
            b'3' | b'7' => 4,
            _ => break,
        };
        let (Some(address), Some((_, bytes))) =
            (body.get(..width), body.get(width..).and_then(|rest| rest.split_last()))
        else {
            break;
        };
        if body.len() != usize::from(len) {
            break;
        }
        let address = address.iter().fold(0_u64, |sum, b| sum << 8 | u64::from(*b));
        if record.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)) == 0xFF {
            out.good = out.good.saturating_add(1);
        } else {
            out.problems.push(bad_sum(at.saturating_sub(from)));
        }
        if matches!(kind, b'1'..=b'3') {
            data_records = data_records.saturating_add(1);
        }
        match kind {
            b'0' => out.name = layout::text(bytes, 0, bytes.len()).unwrap_or_default(),
            b'1'..=b'3' if keep => out.memory.put(address, bytes),
            b'5' | b'6' => counted = address == data_records,
            b'7'..=b'9' => {
                out.start = Some(address);
                out.ended = true;
            }
            _ => {}
        }
        (out.end, at) = (next, next);
        if out.ended {
            break;
        }
    }
    out.ended |= counted;
    out
}

impl Format for SRecord {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const MAGICS: &[Magic] = &[
            Magic::anywhere(b"S00600004844521B"),
            Magic::start(b"S0"),
            Magic::start(b"S1"),
            Magic::start(b"S2"),
            Magic::start(b"S3"),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        records(data, at, budget, false).candidate(at)
    }

    fn open(&self, region: &Bytes, _: Option<Bytes>, budget: &Budget, sink: &mut Sink<'_>) {
        if pay(region, budget, sink) {
            records(region, 0, budget, true).emit(sink);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{noise, open_at, open_whole, scratch, tool, torture};

    #[test]
    fn what_the_tools_encode_is_decoded() {
        let (dir, bytes) = (scratch(), noise(70_001, 2));
        std::fs::write(dir.path().join("b"), &bytes).unwrap();
        tool(
            dir.path(),
            "binutils",
            "objcopy -I binary -O srec --change-addresses 0x80001000 b o.srec",
        );
        tool(
            dir.path(),
            "srecord",
            "srec_cat b -binary -offset 0x2000 -o s.srec -motorola -address-length=3",
        );
        for (file, name) in [("o.srec", "0x80001000"), ("s.srec", "0x00002000")] {
            let text = std::fs::read(dir.path().join(file)).unwrap();
            let opened = open_whole(&FORMAT, &text);
            assert_eq!(opened.names(), [name]);
            assert_eq!(opened.content(name), bytes);
            torture(&FORMAT, &text[..2000]);
        }
    }

    #[test]
    fn text_that_begins_alike_is_refused() {
        assert!(open_at(&FORMAT, b"S1 is a song\nS2 is another\n", 0).is_none());
        assert!(open_at(&FORMAT, b"S00600004844521C\nS00600004844521C\n", 0).is_none());
    }
}
