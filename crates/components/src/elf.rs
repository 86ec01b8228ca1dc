//! The few parts of an ELF file that identification needs: data sections, SONAME, needed libraries, defined
//! dynamic symbols, version definitions.
//!
//! Works with or without section headers. Every offset is checked; what does not fit is absent. Bounded by
//! the counts below.
//!
//! Sources: System V ABI, "Object Files" and "Dynamic Linking"; Linux Standard Base, "Symbol Versioning".

use std::ops::Range;

/// Most sections, segments, dynamic entries, symbols and version definitions that are looked at.
const SECTIONS: usize = 4096;
const DYNAMIC: usize = 4096;
const SYMBOLS: usize = 1_000_000;
const VERDEFS: usize = 4096;

/// An ELF file.
#[derive(Debug)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    wide: bool,
    big: bool,
    /// `e_type`: 1 object, 2 executable, 3 shared or position-independent, 4 core.
    pub kind: u16,
    sections: Vec<Section>,
    loads: Vec<Load>,
    dynamic: Vec<(u64, u64)>,
    /// Has a program interpreter.
    pub interpreter: bool,
}

#[derive(Debug)]
struct Section {
    name: Vec<u8>,
    kind: u32,
    flags: u64,
    range: Range<usize>,
    link: u32,
}

#[derive(Debug)]
struct Load {
    address: u64,
    range: Range<usize>,
}

impl<'a> Elf<'a> {
    /// Reads the headers; `None` where the bytes are no ELF file.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let wide = match (bytes.get(..4)?, *bytes.get(4)?) {
            (b"\x7fELF", 1) => false,
            (b"\x7fELF", 2) => true,
            _ => return None,
        };
        let big = *bytes.get(5)? == 2;
        let mut elf = Self {
            bytes,
            wide,
            big,
            kind: 0,
            sections: Vec::new(),
            loads: Vec::new(),
            dynamic: Vec::new(),
            interpreter: false,
        };
        elf.kind = elf.u16(16)?;
        elf.read_segments();
        elf.read_sections();
        Some(elf)
    }

    fn read_segments(&mut self) -> Option<()> {
        let (table, size, count) = if self.wide {
            (self.u64(32)?, self.u16(54)?, self.u16(56)?)
        } else {
            (u64::from(self.u32(28)?), self.u16(42)?, self.u16(44)?)
        };
        for n in 0..usize::from(count).min(SECTIONS) {
            let at = place(table, n, size)?;
            let (offset, address, length) = if self.wide {
                (
                    self.u64(at.checked_add(8)?)?,
                    self.u64(at.checked_add(16)?)?,
                    self.u64(at.checked_add(32)?)?,
                )
            } else {
                (
                    self.word(at.checked_add(4)?)?,
                    self.word(at.checked_add(8)?)?,
                    self.word(at.checked_add(16)?)?,
                )
            };
            let range = self.range(offset, length);
            match self.u32(at)? {
                1 => self.loads.push(Load { address, range }),
                2 => self.dynamic = self.entries(range),
                3 => self.interpreter = true,
                _ => {}
            }
        }
        Some(())
    }

    fn entries(&self, range: Range<usize>) -> Vec<(u64, u64)> {
        let (width, step) = if self.wide { (8, 16) } else { (4, 8) };
        range
            .step_by(step)
            .take(DYNAMIC)
            .map_while(|at| Some((self.word(at)?, self.word(at.checked_add(width)?)?)))
            .take_while(|(tag, _)| *tag != 0)
            .collect()
    }

    fn read_sections(&mut self) -> Option<()> {
        let (table, size, count, names) = if self.wide {
            (self.u64(40)?, self.u16(58)?, self.u16(60)?, self.u16(62)?)
        } else {
            (u64::from(self.u32(32)?), self.u16(46)?, self.u16(48)?, self.u16(50)?)
        };
        if table == 0 {
            return None;
        }
        let mut raw = Vec::new();
        for n in 0..usize::from(count).min(SECTIONS) {
            let at = place(table, n, size)?;
            let name = self.u32(at)?;
            let kind = self.u32(at.checked_add(4)?)?;
            let (flags, offset, length, link) = if self.wide {
                (
                    self.u64(at.checked_add(8)?)?,
                    self.u64(at.checked_add(24)?)?,
                    self.u64(at.checked_add(32)?)?,
                    self.u32(at.checked_add(40)?)?,
                )
            } else {
                (
                    self.word(at.checked_add(8)?)?,
                    self.word(at.checked_add(16)?)?,
                    self.word(at.checked_add(20)?)?,
                    self.u32(at.checked_add(24)?)?,
                )
            };
            let range = if kind == 8 { 0..0 } else { self.range(offset, length) };
            raw.push((name, Section { name: Vec::new(), kind, flags, range, link }));
        }
        let strings = raw.get(usize::from(names)).map(|(_, s)| s.range.clone()).unwrap_or(0..0);
        self.sections = raw
            .into_iter()
            .map(|(name, mut section)| {
                let at = usize::try_from(name).ok().and_then(|n| strings.start.checked_add(n));
                section.name = at.and_then(|at| self.c_string(at)).unwrap_or_default().to_vec();
                section
            })
            .collect();
        Some(())
    }

    /// Parts of the file that hold data the program itself refers to: no code, no symbol names, no debug
    /// information. Everything that is loaded where there are no section headers.
    #[must_use]
    pub fn data(&self) -> Vec<Range<usize>> {
        const PROGBITS: u32 = 1;
        const ALLOC: u64 = 2;
        const EXECUTE: u64 = 4;
        let found: Vec<_> = self
            .sections
            .iter()
            .filter(|s| s.kind == PROGBITS && s.flags & ALLOC != 0 && s.flags & EXECUTE == 0)
            .filter(|s| s.name != b".interp" && !s.name.starts_with(b".eh_frame"))
            .map(|s| s.range.clone())
            .collect();
        if found.is_empty() { self.loads.iter().map(|l| l.range.clone()).collect() } else { found }
    }

    /// Tables of the names of symbols.
    #[must_use]
    pub fn symbol_names(&self) -> Vec<Range<usize>> {
        const STRTAB: u32 = 3;
        let tables: Vec<_> =
            self.sections.iter().filter(|s| s.kind == STRTAB).map(|s| s.range.clone()).collect();
        if !tables.is_empty() {
            return tables;
        }
        let size = self.dynamic.iter().find(|(t, _)| *t == 10).map_or(0, |(_, v)| *v);
        self.strings().map(|at| self.range(at as u64, size)).into_iter().collect()
    }

    /// Whether it is a shared library by its own word: it has a SONAME, or is position-independent without
    /// an interpreter.
    #[must_use]
    pub fn is_library(&self) -> bool {
        self.kind == 3 && (!self.interpreter || self.soname().is_some())
    }

    /// The section of this name.
    #[must_use]
    pub fn section(&self, name: &[u8]) -> Option<Range<usize>> {
        self.sections.iter().find(|s| s.name == name).map(|s| s.range.clone())
    }

    /// DT_SONAME with its place.
    #[must_use]
    pub fn soname(&self) -> Option<(usize, &'a [u8])> {
        let (_, value) = self.dynamic.iter().find(|(tag, _)| *tag == 14)?;
        self.dynamic_string(*value)
    }

    /// DT_NEEDED entries with their places, in file order.
    pub fn needed(&self) -> impl Iterator<Item = (usize, &'a [u8])> {
        self.dynamic
            .iter()
            .filter(|(tag, _)| *tag == 1)
            .filter_map(|(_, v)| self.dynamic_string(*v))
    }

    fn dynamic_string(&self, offset: u64) -> Option<(usize, &'a [u8])> {
        let at = self.strings()?.checked_add(usize::try_from(offset).ok()?)?;
        Some((at, self.c_string(at)?))
    }

    /// File offset of the dynamic string table.
    fn strings(&self) -> Option<usize> {
        self.pointer(5)
    }

    /// File offset that a dynamic entry's address stands for.
    fn pointer(&self, tag: u64) -> Option<usize> {
        let (_, address) = self.dynamic.iter().find(|(t, _)| *t == tag)?;
        self.loads.iter().find_map(|l| {
            let into = usize::try_from(address.checked_sub(l.address)?).ok()?;
            (into < l.range.len()).then(|| l.range.start.checked_add(into)).flatten()
        })
    }

    /// Names of the dynamic symbols it defines, with the places of the names.
    #[must_use]
    pub fn defined(&self) -> Vec<(usize, &'a [u8])> {
        const DYNSYM: u32 = 11;
        let size = if self.wide { 24 } else { 16 };
        let table = self.sections.iter().find(|s| s.kind == DYNSYM);
        let (range, strings) = match table {
            Some(s) => {
                let strings = self.sections.get(s.link as usize).map(|s| s.range.start);
                (s.range.clone(), strings.or_else(|| self.strings()))
            }
            // By convention of all linkers the strings follow the symbols.
            None => match (self.pointer(6), self.strings()) {
                (Some(a), Some(b)) if a < b => (a..b, Some(b)),
                _ => return Vec::new(),
            },
        };
        let Some(strings) = strings else { return Vec::new() };
        range
            .step_by(size)
            .take(SYMBOLS)
            .filter_map(|at| {
                let section = self.u16(at.checked_add(if self.wide { 6 } else { 14 })?)?;
                let name = usize::try_from(self.u32(at)?).ok()?;
                if section == 0 || name == 0 {
                    return None;
                }
                let at = strings.checked_add(name)?;
                Some((at, self.c_string(at)?))
            })
            .collect()
    }

    /// Names of the version definitions, with their places.
    #[must_use]
    pub fn version_definitions(&self) -> Vec<(usize, &'a [u8])> {
        const DT_VERDEF: u64 = 0x6fff_fffc;
        let mut out = Vec::new();
        let (Some(mut at), Some(strings)) = (self.pointer(DT_VERDEF), self.strings()) else {
            return out;
        };
        for _ in 0..VERDEFS {
            let step = || {
                let aux = at.checked_add(self.u32(at.checked_add(12)?)? as usize)?;
                let name = strings.checked_add(self.u32(aux)? as usize)?;
                Some(((name, self.c_string(name)?), self.u32(at.checked_add(16)?)? as usize))
            };
            let Some((name, next)) = step() else { break };
            out.push(name);
            match at.checked_add(next) {
                Some(to) if next > 0 => at = to,
                _ => break,
            }
        }
        out
    }

    fn c_string(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.bytes.get(at..)?;
        let rest = rest.get(..rest.len().min(4096))?;
        rest.get(..memchr::memchr(0, rest)?)
    }

    fn range(&self, offset: u64, length: u64) -> Range<usize> {
        let end = self.bytes.len();
        let start = usize::try_from(offset).unwrap_or(end).min(end);
        let stop = start.saturating_add(usize::try_from(length).unwrap_or(end)).min(end);
        start..stop
    }

    fn word(&self, at: usize) -> Option<u64> {
        if self.wide { self.u64(at) } else { self.u32(at).map(u64::from) }
    }

    fn u16(&self, at: usize) -> Option<u16> {
        let raw = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u16::from_be_bytes(*raw) } else { u16::from_le_bytes(*raw) })
    }

    fn u32(&self, at: usize) -> Option<u32> {
        let raw = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u32::from_be_bytes(*raw) } else { u32::from_le_bytes(*raw) })
    }

    fn u64(&self, at: usize) -> Option<u64> {
        let raw = self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big { u64::from_be_bytes(*raw) } else { u64::from_le_bytes(*raw) })
    }
}

/// Place of the `n`th record of `size` bytes.
fn place(table: u64, n: usize, size: u16) -> Option<usize> {
    usize::try_from(table).ok()?.checked_add(n.checked_mul(usize::from(size))?)
}
