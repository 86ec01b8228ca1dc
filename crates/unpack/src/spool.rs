//! Room on the disk for contents that are too large to be kept in memory.
//!
//! One file without a name is divided into slots; a large output owns a slot while it lives and is written and
//! read through a map of it. The memory of the map can be had back at any time (see [`crate::map::examined`]). Without a
//! spool, or where the disk is full, contents stay in memory.

use std::{
    fmt,
    fs::File,
    io,
    ops::{Deref, DerefMut},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, open};

use crate::map::{Writable, examined};

/// Outputs are kept in memory up to this many bytes.
pub const IN_MEMORY: usize = 64 << 20;
/// Length of a slot: no content is longer.
const SLOT: u64 = 1 << 36;
/// Slots in use at a time: 8 TiB of file offsets, which every usual file system has.
const SLOTS: u64 = 1 << 7;

/// A file without a name for large contents. Cheap to clone.
#[derive(Clone)]
pub struct Spool(Arc<Shared>);

struct Shared {
    file: File,
    free: Mutex<Vec<u64>>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spool")
    }
}

impl Spool {
    /// A spool in `folder`. It vanishes with the last process that has it open.
    ///
    /// # Errors
    /// What the operating system says; a file system that has no files without a name.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = File::from(open(folder, flags, Mode::RUSR | Mode::WUSR)?);
        Ok(Self(Arc::new(Shared { file, free: Mutex::new((0..SLOTS).rev().collect()) })))
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A content that begins with `start`. None where all slots are taken or the disk is full.
    fn begin(&self, start: &[u8]) -> Option<Slot> {
        let number = self.free().pop()?;
        let mut slot = Slot { spool: self.clone(), number, map: None, len: 0 };
        slot.resize(start.len()).ok()?;
        slot.get_mut(..start.len())?.copy_from_slice(start);
        Some(slot)
    }
}

/// One content in the spool.
struct Slot {
    spool: Spool,
    number: u64,
    map: Option<Writable>,
    /// Bytes of the slot with room on the disk.
    len: usize,
}

impl Slot {
    /// Makes it longer; what is new is zero.
    fn resize(&mut self, len: usize) -> io::Result<()> {
        if len as u64 > SLOT {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if let Some(more) = len.checked_sub(self.len).filter(|n| *n > 0) {
            let offset = self.number.saturating_mul(SLOT);
            let end = offset.saturating_add(self.len as u64);
            fallocate(&self.spool.0.file, FallocateFlags::empty(), end, more as u64)?;
            self.len = len;
            // Only now is the shorter map dropped: where there can be no longer one, it has the content.
            self.map = Some(Writable::new(&self.spool.0.file, offset, len)?);
        }
        Ok(())
    }
}

impl Deref for Slot {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Slot {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.map = None;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let offset = self.number.saturating_mul(SLOT);
        // A file system without holes keeps the room until the end; the next content of the slot overwrites it, but
        // would not find zeros: such a slot is not used again.
        if self.len == 0 || fallocate(&self.spool.0.file, hole, offset, self.len as u64).is_ok() {
            self.spool.free().push(self.number);
        }
    }
}

/// Bytes that grow: in memory, and above [`IN_MEMORY`] in the spool if there is one.
pub struct Buffer {
    place: Place,
    /// Bytes that count; a slot may be longer.
    len: usize,
}

enum Place {
    Memory(Vec<u8>),
    Spooled(Slot),
}

impl Buffer {
    /// Makes it `len` bytes long; what is new is zero. Where the spool fails, the content comes back to memory.
    pub fn resize(&mut self, len: usize, spool: Option<&Spool>) {
        if let (Place::Memory(bytes), Some(spool)) = (&self.place, spool)
            && len > IN_MEMORY
            && let Some(slot) = spool.begin(bytes)
        {
            self.place = Place::Spooled(slot);
        }
        if let Place::Spooled(slot) = &mut self.place {
            examined(len.saturating_sub(self.len));
            if slot.resize(len).is_err() {
                let kept = slot.get(..self.len).unwrap_or_default().to_vec();
                self.place = Place::Memory(kept);
            }
        }
        if let Place::Memory(bytes) = &mut self.place {
            bytes.resize(len, 0);
        }
        self.len = len;
    }

    /// Adds `bytes` at the end.
    pub fn append(&mut self, bytes: &[u8], spool: Option<&Spool>) {
        let at = self.len;
        self.resize(at.saturating_add(bytes.len()), spool);
        self.get_mut(at..).unwrap_or_default().copy_from_slice(bytes);
    }

    /// Forgets everything from `len` on.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        if let Place::Memory(bytes) = &mut self.place {
            bytes.truncate(len);
            if bytes.capacity() / 2 > bytes.len() {
                bytes.shrink_to_fit();
            }
        }
    }

    /// Forgets the first `n` bytes.
    pub fn cut(self, n: usize) -> Self {
        let from = n.min(self.len);
        match self.place {
            Place::Memory(mut bytes) => {
                bytes.drain(..from);
                bytes.into()
            }
            // Only dictionaries are cut off, which are small: so is what follows them.
            Place::Spooled(_) => self.get(from..).unwrap_or_default().to_vec().into(),
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), place: Place::Memory(bytes) }
    }
}

impl From<Buffer> for Bytes {
    fn from(buffer: Buffer) -> Self {
        match buffer.place {
            Place::Memory(bytes) => bytes.into(),
            Place::Spooled(_) => Self::from_owner(buffer),
        }
    }
}

/// In memory, whatever its length.
impl From<Buffer> for Vec<u8> {
    fn from(buffer: Buffer) -> Self {
        match buffer.place {
            Place::Memory(bytes) => bytes,
            Place::Spooled(_) => buffer.to_vec(),
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        self.to_vec().into()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Buffer {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl Eq for Buffer {}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Buffer {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.place {
            Place::Memory(bytes) => bytes,
            Place::Spooled(slot) => slot.get(..self.len).unwrap_or_default(),
        }
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.place {
            Place::Memory(bytes) => bytes,
            Place::Spooled(slot) => slot.get_mut(..self.len).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool() -> Spool {
        Spool::new(&std::env::temp_dir()).unwrap()
    }

    #[test]
    fn a_large_content_goes_to_the_disk_and_keeps_its_bytes() {
        let spool = spool();
        let mut buffer = Buffer::default();
        buffer.resize(1000, Some(&spool));
        buffer[..4].copy_from_slice(b"head");
        assert!(matches!(buffer.place, Place::Memory(_)));
        for len in [IN_MEMORY + 1, IN_MEMORY + (5 << 20), IN_MEMORY * 2 + 17] {
            buffer.resize(len, Some(&spool));
            buffer[len - 4..].copy_from_slice(b"tail");
        }
        assert!(matches!(buffer.place, Place::Spooled(_)));
        // Giving memory back loses nothing.
        examined(crate::map::RELIEF);
        assert_eq!(&buffer[..4], b"head");
        assert_eq!(&buffer[IN_MEMORY - 3..IN_MEMORY + 1], b"tail");
        assert_eq!(buffer.len(), IN_MEMORY * 2 + 17);
        assert!(buffer[1000..IN_MEMORY - 3].iter().all(|b| *b == 0));
        buffer.truncate(IN_MEMORY + 1);
        let bytes = Bytes::from(buffer);
        assert_eq!(bytes.len(), IN_MEMORY + 1);
        assert_eq!(&bytes[IN_MEMORY - 3..], b"tail");
        assert_eq!(spool.free().len() as u64, SLOTS - 1);
        let part = bytes.slice(..4);
        drop(bytes);
        assert_eq!(&part[..], b"head");
        drop(part);
        assert_eq!(spool.free().len() as u64, SLOTS);
        // A slot that is used again holds zeros.
        let mut again = Buffer::default();
        again.resize(IN_MEMORY + 9, Some(&spool));
        assert!(again.iter().all(|b| *b == 0));
    }

    #[test]
    fn without_a_spool_or_a_slot_contents_stay_in_memory() {
        let spool = spool();
        spool.free().clear();
        for place in [None, Some(&spool)] {
            let mut buffer = Buffer::from(b"abc".to_vec());
            buffer.resize(IN_MEMORY + 1, place);
            assert!(matches!(buffer.place, Place::Memory(_)));
            assert_eq!(buffer.cut(1).get(..3), Some(&b"bc\0"[..]));
        }
    }
}
