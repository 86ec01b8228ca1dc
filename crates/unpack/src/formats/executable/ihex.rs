//! Intel HEX: text records that put bytes at addresses.
//!
//! Establishes: every line is a record of the declared length with the right checksum, the last one is the
//! end record. Entries are the runs of adjacent bytes, named by their address.
//!
//! How: from the first line on as long as lines are records; two good records at least.
//! False positives: none known (checksums). A damaged record ends the region unless the next line is good.

use bytes::Bytes;

use super::records::{Records, bad_sum, line, pay, unhex};
use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub static FORMAT: IntelHex = IntelHex;

/// Intel HEX.
pub struct IntelHex;

static ABOUT: About = About {
    id: "ihex",
    name: "Intel HEX",
    family: Family::Archive,
    revision: 1,
    metadata: "addresses, start address",
    integrity: "checksum of each record, end record",
    limits: "",
    sources: &["Intel, Hexadecimal Object File Format Specification, 1988"],
};

fn records(data: &[u8], from: usize, budget: &Budget, keep: bool) -> Records {
    let mut out = Records { end: from, ..Records::default() };
    let (mut base, mut at) = (0_u64, from);
    let mut bad = 0_usize;
    while let Some((text, next)) = line(data, at) {
        if budget.work(text.len() as u64).is_err() || bad > 16 {
            break;
        }
        let Some(record) = text.strip_prefix(b":").and_then(unhex) else { break };
        let Some((&len, body)) = record.split_first() else { break };
        if body.len() != usize::from(len).saturating_add(4) {
            break;
        }
        let (Some(address), Some(kind), Some(bytes)) =
            (read::be16(body, 0), read::u8(body, 2), read::slice(body, 3, len.into()))
        else {
            break;
        };
        if record.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)) == 0 {
            out.good = out.good.saturating_add(1);
        } else {
            bad = bad.saturating_add(1);
            out.problems.push(bad_sum(at.saturating_sub(from)));
        }
        match (kind, bytes) {
            (0, _) if keep => out.memory.put(base.saturating_add(address.into()), bytes),
            (1, _) => out.ended = true,
            (2, [high, low]) => base = u64::from(u16::from_be_bytes([*high, *low])) << 4,
            (4, [high, low]) => base = u64::from(u16::from_be_bytes([*high, *low])) << 16,
            (3 | 5, _) => out.start = read::be32(bytes, 0).map(u64::from),
            (0, _) => {}
            _ => break,
        }
        out.end = next;
        at = next;
        if out.ended {
            break;
        }
    }
    out
}

impl Format for IntelHex {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        // Data records of the usual lengths, and the two address records most files begin with.
        const MAGICS: &[Magic] = &[
            Magic::anywhere(b":02000004"),
            Magic::anywhere(b":02000002"),
            Magic::anywhere(b":04000005"),
            Magic::start(b":10"),
            Magic::start(b":20"),
            Magic::start(b":40"),
        ];
        MAGICS
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        // In the middle of a file the line before must have ended, else this is a record of an earlier region.
        let inside = at.checked_sub(1).and_then(|before| data.get(before));
        if inside.is_some_and(|b| matches!(b, b'\n' | b'\r')) && at > 4 {
            return None;
        }
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
    use crate::formats::testing::{noise, open, open_at, open_whole, scratch, tool, torture};
    use proofmark_model::{ProblemKind, Proof};

    #[test]
    fn what_the_tools_encode_is_decoded() {
        let (dir, bytes) = (scratch(), noise(70_001, 1));
        std::fs::write(dir.path().join("b"), &bytes).unwrap();
        tool(
            dir.path(),
            "binutils",
            "objcopy -I binary -O ihex --change-addresses 0x9d000100 b o.hex",
        );
        tool(dir.path(), "srecord", "srec_cat b -binary -offset 0x2000 -o s.hex -intel");
        for (file, name) in [("o.hex", "0x9d000100"), ("s.hex", "0x00002000")] {
            let text = std::fs::read(dir.path().join(file)).unwrap();
            let opened = open_whole(&FORMAT, &text);
            assert_eq!(opened.names(), [name]);
            assert_eq!(opened.content(name), bytes);
            assert_eq!(opened.candidate.proof, Proof::ChecksumVerified);
        }
        let text = std::fs::read(dir.path().join("o.hex")).unwrap();
        torture(&FORMAT, &text[..2000]);
        let cut = open(&FORMAT, &text[..1000]);
        assert_eq!(cut.problems[0].kind, ProblemKind::Truncated);
    }

    #[test]
    fn lines_with_colons_are_refused() {
        assert!(open_at(&FORMAT, b":10 apples\n:20 pears\n", 0).is_none());
        assert!(open_at(&FORMAT, b":0200000400FF00\n:0200000400FF00\n", 0).is_none());
    }
}
