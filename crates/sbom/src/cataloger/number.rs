//! Numbers at places in foreign bytes: nothing where the bytes end before.

/// A 16-bit number, highest byte first.
pub(super) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(u16::from_be_bytes)
}

/// A 32-bit number, highest byte first.
pub(super) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    chunk(bytes, at).map(u32::from_be_bytes)
}

/// A 16-bit number, lowest byte first.
pub(super) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    chunk(bytes, at).map(u16::from_le_bytes)
}

/// A 32-bit number, lowest byte first.
pub(super) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    chunk(bytes, at).map(u32::from_le_bytes)
}

/// As a length in memory.
pub(super) fn size(number: impl Into<u64>) -> Option<usize> {
    usize::try_from(number.into()).ok()
}

/// `length` bytes from `at`.
pub(super) fn slice(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
