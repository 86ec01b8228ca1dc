//! Variable stores of UEFI, as EDK II keeps them in the NVRAM volume: Secure Boot keys, boot entries, settings.
//!
//! A header of 28 bytes (GUID, size, format 0x5A, state 0xFE), then variables at multiples of four: a header of 32 bytes,
//! or of 60 in stores with authenticated variables, the name in UTF-16, the data. Establishes: each variable that is
//! valid as `GUID/NAME`, those that were deleted as `deleted/N-GUID/NAME`. *False positives*: none known: GUID, format,
//! state and the mark of the first variable (or erased space) must be there. *Limits*: signatures are not verified; the
//! stores of other vendors (Phoenix, NVAR of AMI) have other layouts.
//! Source: EDK II, `MdeModulePkg/Include/Guid/VariableFormat.h`.

use bytes::Bytes;
use proofmark_model::{ProblemKind, Proof};

use super::uefi::guid;
use crate::{
    budget::Budget,
    format::{Blob, Entry, Magic},
    formats::layout::{Layout, Reader, about, name_or},
    read,
};

/// The format.
pub static FORMAT: Reader = Reader {
    about: about!(
        Boot,
        "uefi-variables",
        "UEFI variable store",
        "GUID, name and state of each variable",
        "sizes of store and variables",
        "signatures are not verified; stores of EDK II only",
        "EDK II, MdeModulePkg/Include/Guid/VariableFormat.h"
    ),
    magics: &[Magic::anywhere(PLAIN), Magic::anywhere(AUTHENTICATED)],
    read: read_layout,
};

const PLAIN: &[u8] = b"\x16\x36\xCF\xDD\x75\x32\x64\x41\x98\xB6\xFE\x85\x70\x7F\xFE\x7D";
const AUTHENTICATED: &[u8] = b"\x78\x2C\xF3\xAA\x7B\x94\x9A\x43\xA1\x80\x2E\x14\x4E\xC3\x77\x92";
const HEADER: usize = 28;

fn read_layout(data: &Bytes, budget: &Budget) -> Option<Layout> {
    // Bytes of a variable's header, and where in it sizes and GUID stand.
    let (head, sizes) = match data.get(..16)? {
        PLAIN => (32_usize, 8_usize),
        AUTHENTICATED => (60, 36),
        _ => return None,
    };
    let size = read::le32(data, 16)?;
    let begins = matches!(data.get(HEADER..HEADER.checked_add(2)?)?, [0xAA, 0x55] | [0xFF, 0xFF]);
    if data.get(20..22)? != [0x5A, 0xFE] || (size as usize) < HEADER || size > 1 << 26 || !begins {
        return None;
    }
    let mut layout = Layout::new(data, size.into(), Proof::LengthsConsistent);
    layout.structure(0, HEADER);
    layout.attribute("authenticated", if head == 60 { "yes" } else { "no" });
    layout.integrity("none", "", None);
    let (mut at, mut found, mut deleted) = (HEADER, 0_u32, 0_u32);
    while at.checked_add(head)? <= layout.length {
        let row = data.get(at..layout.length)?;
        if !row.starts_with(&[0xAA, 0x55]) {
            break;
        }
        budget.work(64).ok()?;
        let (name_len, len) =
            (read::le32(row, sizes)? as usize, read::le32(row, sizes.checked_add(4)?)? as usize);
        let owner = guid(row, sizes.checked_add(8)?)?;
        let text = read::slice(row, head, name_len);
        let start = at.checked_add(head)?.checked_add(name_len);
        let end = start.and_then(|s| s.checked_add(len)).filter(|end| *end <= layout.length);
        let (Some(text), Some(start), Some(end)) = (text, start, end) else {
            layout.problem(
                ProblemKind::Malformed,
                format!(
                    "the variable at {at:#x} is larger than its store; what follows is not read"
                ),
            );
            break;
        };
        let units = text.as_chunks::<2>().0.iter().map(|u| u16::from_le_bytes(*u));
        let name: String =
            char::decode_utf16(units.take_while(|u| *u != 0)).filter_map(Result::ok).collect();
        let name = String::from_utf8_lossy(&name_or(&name, "unnamed")).into_owned();
        // Bits of the state are cleared one after the other: header valid, added, being deleted, deleted.
        let path = match read::u8(row, 2)? {
            0x3F | 0x3E => format!("{owner}/{name}"),
            _ => {
                deleted = deleted.saturating_add(1);
                format!("deleted/{found}-{owner}/{name}")
            }
        };
        layout.structure(at, start.saturating_sub(at));
        if len == 0 {
            layout.entry(start..start, Entry::file(path, Blob::Bytes(Bytes::new())));
        } else {
            layout.part(data, path, start as u64, len as u64);
        }
        found = found.saturating_add(1);
        at = end.checked_next_multiple_of(4)?;
    }
    layout.attribute("variables", found);
    layout.attribute("deleted", deleted);
    // Up to three bytes align variables; what was never written is a gap.
    layout.align(4);
    Some(layout)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Input, Options,
        formats::testing::{from_debian, noise, open, open_at, torture},
        unpack,
    };

    fn store(authenticated: bool) -> Vec<u8> {
        let mut store = if authenticated { AUTHENTICATED } else { PLAIN }.to_vec();
        store.extend(1000_u32.to_le_bytes());
        store.extend([0x5A, 0xFE, 0, 0, 0, 0, 0, 0]);
        for (name, state, data) in [
            ("BootOrder", 0x3F_u8, noise(5, 1)),
            ("Old", 0x3C, noise(8, 2)),
            ("Empty", 0x3F, vec![]),
        ] {
            let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
            store.extend([0xAA, 0x55, state, 0, 7, 0, 0, 0]);
            if authenticated {
                store.extend([0; 28]);
            }
            store.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            store.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            store.extend([0x11; 16]);
            store.extend(name);
            store.extend(data);
            store.resize(store.len().next_multiple_of(4), 0xFF);
        }
        store.resize(1000, 0xFF);
        store
    }

    #[test]
    fn variables_by_owner_and_name() {
        const OWNER: &str = "11111111-1111-1111-1111-111111111111";
        for authenticated in [false, true] {
            let store = store(authenticated);
            let opened = open(&FORMAT, &store);
            assert_eq!(opened.problems, []);
            assert_eq!(
                opened.files(),
                [
                    format!("{OWNER}/BootOrder"),
                    format!("deleted/1-{OWNER}/Old"),
                    format!("{OWNER}/Empty"),
                ]
            );
            assert_eq!(opened.content(&format!("{OWNER}/BootOrder")), noise(5, 1));
            assert_eq!((opened.attribute("variables"), opened.attribute("deleted")), ("3", "1"));
            torture(&FORMAT, &store);
        }
        assert!(open_at(&FORMAT, &[PLAIN, &noise(100, 3)].concat(), 0).is_none());
    }

    #[test]
    fn the_keys_that_the_distribution_enrols_are_read() {
        let image = from_debian("ovmf", "usr/share/OVMF/OVMF_VARS_4M.ms.fd");
        let outcome = unpack(Input::bytes("vars.fd", image), &Options::default(), &());
        let places: Vec<_> = outcome.artifacts.iter().map(|a| a.locator.to_string()).collect();
        for name in ["PK", "KEK", "db", "dbx"] {
            let ending = format!("/{name}");
            assert!(places.iter().any(|p| p.ends_with(&ending)), "no {name} in {places:#?}");
        }
    }
}
