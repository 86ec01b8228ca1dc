//! The parts of an ELF file that a loader and an inspector need, read with every
//! access checked. What is damaged is absent; nothing here fails as a whole once
//! the header is one.

/// Reader of one file.
#[derive(Debug)]
pub struct Elf<'a> {
    /// The whole content.
    pub data: &'a [u8],
    /// 64-bit.
    pub wide: bool,
    /// Little-endian.
    pub little: bool,
    /// `e_type`.
    pub kind: u16,
    /// `e_machine`.
    pub machine: u16,
    /// `e_flags`.
    pub flags: u32,
    /// Program headers.
    pub segments: Vec<Segment>,
    /// Section headers with names.
    pub sections: Vec<Section>,
    /// Entries of the dynamic table: tag and value.
    pub dynamic: Vec<(u64, u64)>,
}

/// A program header.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct Segment {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub size: u64,
}

/// A section header.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Section {
    pub name: String,
    pub kind: u32,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
}

/// A symbol.
#[derive(Debug, Clone, Copy)]
pub struct Symbol<'a> {
    /// Name.
    pub name: &'a str,
    /// Defined in this file rather than imported.
    pub defined: bool,
}

/// Entries read of any table; real files stay far below.
const MOST: u64 = 1 << 17;

impl<'a> Elf<'a> {
    /// Reads headers and dynamic table.
    #[must_use]
    pub fn parse(data: &'a [u8]) -> Option<Self> {
        if !data.starts_with(b"\x7fELF") {
            return None;
        }
        let wide = match data.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let little = match data.get(5)? {
            1 => true,
            2 => false,
            _ => return None,
        };
        let mut elf = Self {
            data,
            wide,
            little,
            kind: 0,
            machine: 0,
            flags: 0,
            segments: Vec::new(),
            sections: Vec::new(),
            dynamic: Vec::new(),
        };
        elf.kind = elf.half(16)?;
        elf.machine = elf.half(18)?;
        let (phoff, shoff, rest) = if wide {
            (elf.long(32)?, elf.long(40)?, 48)
        } else {
            (elf.word(28)?.into(), elf.word(32)?.into(), 36)
        };
        elf.flags = elf.word(rest)?;
        let half = |i: u64| elf.half(rest.checked_add(6_u64.checked_add(i.checked_mul(2)?)?)?);
        let (phsize, phnum, shsize, shnum, shstr) =
            (half(0)?, half(1)?, half(2)?, half(3)?, half(4)?);
        elf.segments = (0..u64::from(phnum))
            .map_while(|i| elf.segment(phoff.checked_add(i.checked_mul(phsize.into())?)?))
            .collect();
        elf.sections = elf.read_sections(shoff, shsize.into(), shnum.into(), shstr.into());
        elf.dynamic = elf.read_dynamic();
        Some(elf)
    }

    fn bytes(&self, at: u64, len: u64) -> Option<&'a [u8]> {
        let at = usize::try_from(at).ok()?;
        self.data.get(at..at.checked_add(usize::try_from(len).ok()?)?)
    }

    /// Two bytes at a file offset, in the file's order; likewise the others.
    #[must_use]
    pub fn half(&self, at: u64) -> Option<u16> {
        let b = self.bytes(at, 2)?.try_into().ok()?;
        Some(if self.little { u16::from_le_bytes(b) } else { u16::from_be_bytes(b) })
    }

    /// Four bytes.
    #[must_use]
    pub fn word(&self, at: u64) -> Option<u32> {
        let b = self.bytes(at, 4)?.try_into().ok()?;
        Some(if self.little { u32::from_le_bytes(b) } else { u32::from_be_bytes(b) })
    }

    /// Eight bytes.
    #[must_use]
    pub fn long(&self, at: u64) -> Option<u64> {
        let b = self.bytes(at, 8)?.try_into().ok()?;
        Some(if self.little { u64::from_le_bytes(b) } else { u64::from_be_bytes(b) })
    }

    /// A word of the file's own width.
    fn native(&self, at: u64) -> Option<u64> {
        if self.wide { self.long(at) } else { self.word(at).map(u64::from) }
    }

    fn segment(&self, at: u64) -> Option<Segment> {
        let f = |i: u64| at.checked_add(i);
        Some(if self.wide {
            Segment {
                kind: self.word(at)?,
                flags: self.word(f(4)?)?,
                offset: self.long(f(8)?)?,
                address: self.long(f(16)?)?,
                size: self.long(f(32)?)?,
            }
        } else {
            Segment {
                kind: self.word(at)?,
                flags: self.word(f(24)?)?,
                offset: self.word(f(4)?)?.into(),
                address: self.word(f(8)?)?.into(),
                size: self.word(f(16)?)?.into(),
            }
        })
    }

    fn read_sections(&self, table: u64, step: u64, count: u64, names: u64) -> Vec<Section> {
        let raw = |i: u64| {
            let at = table.checked_add(i.checked_mul(step)?)?;
            let f = |i: u64| at.checked_add(i);
            Some(if self.wide {
                (
                    self.word(at)?,
                    self.word(f(4)?)?,
                    self.long(f(24)?)?,
                    self.long(f(32)?)?,
                    self.word(f(40)?)?,
                )
            } else {
                (
                    self.word(at)?,
                    self.word(f(4)?)?,
                    self.word(f(16)?)?.into(),
                    self.word(f(20)?)?.into(),
                    self.word(f(24)?)?,
                )
            })
        };
        if table == 0 {
            return Vec::new();
        }
        let strings = raw(names).map_or(0, |s| s.2);
        (0..count)
            .map_while(raw)
            .map(|(name, kind, offset, size, link)| Section {
                name: strings
                    .checked_add(name.into())
                    .and_then(|at| self.string(at))
                    .unwrap_or("")
                    .to_owned(),
                kind,
                offset,
                size,
                link,
            })
            .collect()
    }

    fn read_dynamic(&self) -> Vec<(u64, u64)> {
        let Some(segment) = self.segments.iter().find(|s| s.kind == 2) else { return Vec::new() };
        let (step, second) = if self.wide { (16, 8) } else { (8, 4) };
        let count = segment.size.checked_div(step).unwrap_or(0).min(4096);
        (0..count)
            .map_while(|i| {
                let at = segment.offset.checked_add(i.checked_mul(step)?)?;
                Some((self.native(at)?, self.native(at.checked_add(second)?)?))
            })
            .take_while(|(tag, _)| *tag != 0)
            .collect()
    }

    /// NUL-terminated text at a file offset, at most 4 KiB, empty if it is not UTF-8.
    #[must_use]
    pub fn string(&self, at: u64) -> Option<&'a str> {
        let rest = self.data.get(usize::try_from(at).ok()?..)?;
        let rest = rest.get(..rest.len().min(4096))?;
        let end = memchr::memchr(0, rest)?;
        Some(std::str::from_utf8(rest.get(..end)?).unwrap_or(""))
    }

    /// File offset of a virtual address.
    #[must_use]
    pub fn offset(&self, address: u64) -> Option<u64> {
        self.segments.iter().filter(|s| s.kind == 1).find_map(|s| {
            let inside = address.checked_sub(s.address).filter(|d| *d < s.size)?;
            s.offset.checked_add(inside)
        })
    }

    /// First value of a dynamic tag.
    #[must_use]
    pub fn tag(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().find(|(t, _)| *t == tag).map(|(_, v)| *v)
    }

    fn dynamic_strings(&self) -> Option<u64> {
        self.offset(self.tag(5)?)
    }

    /// The texts that all entries of a dynamic tag point to.
    #[must_use]
    pub fn strings_of(&self, tag: u64) -> Vec<String> {
        let Some(base) = self.dynamic_strings() else { return Vec::new() };
        self.dynamic
            .iter()
            .filter(|(t, _)| *t == tag)
            .filter_map(|(_, v)| self.string(base.checked_add(*v)?))
            .filter(|s| !s.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// A section by name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// The bytes of a section that has any in the file.
    #[must_use]
    pub fn section_bytes(&self, name: &str) -> Option<&'a [u8]> {
        let s = self.section(name).filter(|s| s.kind != 8)?;
        self.bytes(s.offset, s.size)
    }

    /// The dynamic symbols as the loader finds them: through the dynamic table, not through sections, which
    /// may be gone.
    #[must_use]
    pub fn dynamic_symbols(&self) -> Vec<Symbol<'a>> {
        let place = || {
            let table = self.offset(self.tag(6)?)?;
            Some((table, self.dynamic_strings()?, self.symbol_count(table)?))
        };
        match place() {
            Some((table, strings, count)) => self.symbols_at(table, count, strings),
            None => Vec::new(),
        }
    }

    /// Symbols of the symbol table, which strip(1) removes.
    #[must_use]
    pub fn table_symbols(&self) -> Option<Vec<Symbol<'a>>> {
        let section = self.sections.iter().find(|s| s.kind == 2)?;
        let strings = self.sections.get(section.link as usize)?.offset;
        let step = if self.wide { 24 } else { 16 };
        Some(self.symbols_at(section.offset, section.size.checked_div(step)?, strings))
    }

    fn symbols_at(&self, table: u64, count: u64, strings: u64) -> Vec<Symbol<'a>> {
        let (step, index) = if self.wide { (24, 6) } else { (16, 14) };
        (1..count.min(MOST))
            .map_while(|i| {
                let at = table.checked_add(i.checked_mul(step)?)?;
                let name = strings.checked_add(self.word(at)?.into())?;
                let defined = self.half(at.checked_add(index)?)? != 0;
                Some(Symbol { name: self.string(name).unwrap_or(""), defined })
            })
            .filter(|s| !s.name.is_empty())
            .collect()
    }

    /// How many dynamic symbols there are: DT_HASH says it, DT_GNU_HASH implies it, MIPS has a tag, and the
    /// string table usually begins where the symbols end.
    fn symbol_count(&self, table: u64) -> Option<u64> {
        if let Some(hash) = self.tag(4).and_then(|a| self.offset(a)) {
            return self.word(hash.checked_add(4)?).map(u64::from);
        }
        if let Some(count) = self.tag(0x7000_0011).filter(|_| self.machine == 8) {
            return Some(count);
        }
        let step: u64 = if self.wide { 24 } else { 16 };
        let by_strings = self
            .dynamic_strings()
            .and_then(|s| s.checked_sub(table))
            .and_then(|d| d.checked_div(step));
        let by_section =
            || self.sections.iter().find(|s| s.kind == 11).and_then(|s| s.size.checked_div(step));
        by_section().or_else(|| self.gnu_hash_count()).or(by_strings).filter(|n| *n < MOST)
    }

    fn gnu_hash_count(&self) -> Option<u64> {
        let hash = self.offset(self.tag(0x6fff_fef5)?)?;
        let (buckets, first, bloom) = (
            u64::from(self.word(hash)?),
            u64::from(self.word(hash.checked_add(4)?)?),
            u64::from(self.word(hash.checked_add(8)?)?),
        );
        let width: u64 = if self.wide { 8 } else { 4 };
        let start = hash.checked_add(16)?.checked_add(bloom.checked_mul(width)?)?;
        let word = |base: u64, i: u64| self.word(base.checked_add(i.checked_mul(4)?)?);
        let mut last =
            (0..buckets.min(MOST)).filter_map(|i| word(start, i)).map(u64::from).max()?;
        if last < first {
            return Some(first);
        }
        let chains = start.checked_add(buckets.checked_mul(4)?)?;
        while word(chains, last.checked_sub(first)?)? & 1 == 0 && last < MOST {
            last = last.checked_add(1)?;
        }
        last.checked_add(1)
    }

    /// Notes: owner, type, content.
    #[must_use]
    pub fn notes(&self) -> Vec<(&'a str, u32, &'a [u8])> {
        let mut out = Vec::new();
        let segments = self.segments.iter().filter(|s| s.kind == 4).map(|s| (s.offset, s.size));
        let sections = self.sections.iter().filter(|s| s.kind == 7).map(|s| (s.offset, s.size));
        for (mut at, size) in segments.chain(sections) {
            let Some(end) = at.checked_add(size.min(1 << 16)) else { continue };
            while at < end && out.len() < 256 {
                let Some((name, kind, content, next)) = self.note(at) else { break };
                out.push((name, kind, content));
                at = next;
            }
        }
        out
    }

    fn note(&self, at: u64) -> Option<(&'a str, u32, &'a [u8], u64)> {
        let (name, content) =
            (u64::from(self.word(at)?), u64::from(self.word(at.checked_add(4)?)?));
        let kind = self.word(at.checked_add(8)?)?;
        let name_at = at.checked_add(12)?;
        let content_at = name_at.checked_add(name.checked_next_multiple_of(4)?)?;
        let next = content_at.checked_add(content.checked_next_multiple_of(4)?)?;
        let name = std::str::from_utf8(self.bytes(name_at, name)?).unwrap_or("");
        Some((name.trim_end_matches('\0'), kind, self.bytes(content_at, content)?, next))
    }
}
