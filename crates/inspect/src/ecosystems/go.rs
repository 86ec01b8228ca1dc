//! Go programs: the build information that the linker leaves, with the toolchain's version, the main module and every
//! module in it.
//!
//! The block starts with a magic at a multiple of 16. Since Go 1.18 two strings follow at offset 32, each with its
//! length as varint; before, two pointers to string headers stand at offset 16. The module text lies between
//! two sentinels of 16 bytes.

use super::package;
use crate::{elf::file::Elf, notes::Range, packages::Recorded};

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// A longer text than this is not a list of modules.
const LONGEST: usize = 4 << 20;

pub fn read(elf: &Elf<'_>) -> Vec<Recorded> {
    // Programs have a section for it; where sections were stripped it lies somewhere in the data.
    let section = elf.section(".go.buildinfo").and_then(|s| usize::try_from(s.offset).ok());
    let at = section
        .or_else(|| memchr::memmem::find_iter(elf.data, MAGIC).find(|at| at.is_multiple_of(16)));
    at.and_then(|at| block(elf, at)).unwrap_or_default()
}

fn block(elf: &Elf<'_>, at: usize) -> Option<Vec<Recorded>> {
    let block = elf.data.get(at..).filter(|b| b.starts_with(MAGIC))?;
    let (width, flags) = (*block.get(14)?, *block.get(15)?);
    let (toolchain, modules) = if flags & 2 != 0 {
        let (toolchain, rest) = inline(elf, at.checked_add(32)?)?;
        (toolchain, inline(elf, rest)?.0)
    } else {
        let little = flags & 1 == 0;
        let second = at.checked_add(16)?.checked_add(width.into())?;
        let first = string(elf, at.checked_add(16)?, width, little)?;
        (first, string(elf, second, width, little).unwrap_or_default())
    };
    let mut out: Vec<Recorded> = Vec::new();
    let text = |(start, end): (usize, usize)| {
        elf.data.get(start..end).and_then(|b| std::str::from_utf8(b).ok())
    };
    let range = |(start, end): (usize, usize)| -> Range { (start as u64, end as u64) };
    if let Some(version) = text(toolchain)?.split(' ').next()?.strip_prefix("go") {
        out.extend(package("golang", "stdlib", version, range(toolchain)));
    }
    let (start, end) = modules;
    let inner = (start.saturating_add(16), end.saturating_sub(16));
    let Some(listed) = text(inner) else { return Some(out) };
    let mut position = inner.0;
    for line in listed.split('\n') {
        let place = (position, position.saturating_add(line.len()));
        position = place.1.saturating_add(1);
        let mut fields = line.split('\t');
        let (kind, name, version) = (fields.next(), fields.next(), fields.next());
        let (Some(kind), Some(name), Some(version)) = (kind, name, version) else { continue };
        match kind {
            // The main module has no version where it was built from a work tree.
            "mod" | "dep" => out.extend(package("golang", name, version, range(place))),
            // What replaces the module before it.
            "=>" => {
                out.pop();
                out.extend(package("golang", name, version, range(place)));
            }
            _ => {}
        }
    }
    Some(out)
}

/// A string with its length in front: its place, and where the next begins.
fn inline(elf: &Elf<'_>, at: usize) -> Option<((usize, usize), usize)> {
    let (mut length, mut shift, mut at) = (0usize, 0u32, at);
    loop {
        let byte = *elf.data.get(at)?;
        at = at.checked_add(1)?;
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift = shift.checked_add(7)?;
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return None;
        }
    }
    let end = at.checked_add(length).filter(|e| length <= LONGEST && *e <= elf.data.len())?;
    Some(((at, end), end))
}

/// A string behind a pointer to its header (address and length).
fn string(elf: &Elf<'_>, at: usize, width: u8, little: bool) -> Option<(usize, usize)> {
    let word = |at: usize| -> Option<u64> {
        let b = elf.data.get(at..at.checked_add(width.into())?)?;
        let join = |n: u64, b: &u8| (n << 8) | u64::from(*b);
        match width {
            4 | 8 => {
                Some(if little { b.iter().rev().fold(0, join) } else { b.iter().fold(0, join) })
            }
            _ => None,
        }
    };
    let header = usize::try_from(elf.offset(word(at)?)?).ok()?;
    let start = usize::try_from(elf.offset(word(header)?)?).ok()?;
    let length = usize::try_from(word(header.checked_add(width.into())?)?).ok()?;
    let end = start.checked_add(length).filter(|e| length <= LONGEST && *e <= elf.data.len())?;
    Some((start, end))
}
