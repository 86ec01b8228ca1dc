//! Checked reading of fixed-width values: every access says whether the bytes
//! are there, nothing panics, nothing wraps.

/// Byte order of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}

/// The `len` bytes from `at`, if they are all there.
#[must_use]
pub fn slice(data: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    data.get(at..at.checked_add(len)?)
}

/// The `N` bytes from `at`.
#[must_use]
pub fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    slice(data, at, N)?.try_into().ok()
}

/// The byte at `at`.
#[must_use]
pub fn u8(data: &[u8], at: usize) -> Option<u8> {
    data.get(at).copied()
}

macro_rules! ints {
    ($($le:ident $be:ident $ty:ty, $name:ident;)*) => { $(
        #[doc = concat!("Little-endian `", stringify!($ty), "` at `at`.")]
        #[must_use]
        pub fn $le(data: &[u8], at: usize) -> Option<$ty> {
            array(data, at).map(<$ty>::from_le_bytes)
        }
        #[doc = concat!("Big-endian `", stringify!($ty), "` at `at`.")]
        #[must_use]
        pub fn $be(data: &[u8], at: usize) -> Option<$ty> {
            array(data, at).map(<$ty>::from_be_bytes)
        }
        impl Order {
            #[doc = concat!("`", stringify!($ty), "` at `at` in this order.")]
            #[must_use]
            pub fn $name(self, data: &[u8], at: usize) -> Option<$ty> {
                match self { Self::Little => $le(data, at), Self::Big => $be(data, at) }
            }
        }
    )* };
}

ints! {
    le16 be16 u16, u16;
    le32 be32 u32, u32;
    le64 be64 u64, u64;
}

/// A length or offset from a header as an index, if this machine can address it.
#[must_use]
pub fn index(value: u64) -> Option<usize> {
    usize::try_from(value).ok()
}

/// The bytes before the first NUL in a fixed-size text field.
#[must_use]
pub fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}
