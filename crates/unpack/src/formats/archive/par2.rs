//! PAR2 recovery files: packets with an MD5 each. A leaf: what it recovers is elsewhere.
//!
//! Source: Parity Volume Set Specification 2.0.

use bytes::Bytes;
use md5::{Digest as _, Md5};
use proofmark_model::{Problem, ProblemKind, Proof};

use crate::{
    budget::Budget,
    format::{About, Candidate, Family, Format, Magic, Sink},
    read,
};

/// The format.
pub struct Par2;

static ABOUT: About = About {
    id: "par2",
    name: "PAR2 recovery data",
    family: Family::Leaf,
    revision: 1,
    metadata: "none",
    integrity: "MD5 of each packet",
    limits: "nothing is recovered with it",
    sources: &["Parity Volume Set Specification 2.0"],
};

const MAGIC: &[u8] = b"PAR2\0PKT";

/// Length of the packet at `at`, and whether its MD5 is right.
fn packet(data: &[u8], at: usize, budget: &Budget) -> Option<(usize, bool)> {
    let head = read::slice(data, at, 64)?;
    let length = read::index(read::le64(head, 8)?).filter(|n| *n >= 64 && n % 4 == 0)?;
    if !head.starts_with(MAGIC) || budget.work(length as u64).is_err() {
        return None;
    }
    let rest = data.get(at.checked_add(32)?..at.checked_add(length)?)?;
    Some((length, read::slice(head, 16, 16)? == Md5::digest(rest).as_slice()))
}

impl Format for Par2 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn magics(&self) -> &'static [Magic] {
        const { &[Magic::anywhere(MAGIC)] }
    }

    fn probe(&self, data: &Bytes, at: usize, budget: &Budget) -> Option<Candidate> {
        let (mut end, mut right) = (at, true);
        while let Some((length, correct)) = packet(data, end, budget) {
            end = end.checked_add(length)?;
            right &= correct;
        }
        let proof = if right { Proof::ChecksumVerified } else { Proof::LengthsConsistent };
        let mut found = Candidate::new(at, end.checked_sub(at).filter(|n| *n > 0)?, proof);
        if !right {
            found
                .problems
                .push(Problem::new(ProblemKind::Checksum, "the MD5 of a packet is not right"));
        }
        Some(found)
    }

    fn open(&self, _: &Bytes, _: Option<Bytes>, _: &Budget, _: &mut Sink<'_>) {}
}
