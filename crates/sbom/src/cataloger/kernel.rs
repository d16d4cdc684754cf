//! Linux kernels for x86 (the kernel's `Documentation/arch/x86/boot.rst`): the header leads to a text that starts with
//! the version.

use super::number::le16;
use super::{Cataloger, Draft, Fact, Unreadable};
use crate::bill::PackageKind;

/// Reads kernels.
pub(super) struct Kernel;

/// The largest kernel read; distributions' have 15 MB.
const MAX_KERNEL_BYTES: u64 = 64 * 1024 * 1024;

const MAGIC: &[u8] = b"HdrS";
const MAGIC_AT: usize = 0x202;
/// Where the header has the text's place, less this.
const VERSION_AT: usize = 0x20e;
const VERSION_BASE: usize = 0x200;

/// The longest text read.
const MAX_VERSION: usize = 256;

impl Cataloger for Kernel {
    fn wants(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        (name.starts_with("vmlinuz") || name.starts_with("bzImage"))
            && (path.starts_with("boot/") || path.starts_with("lib/modules/") || path.starts_with("usr/lib/modules/"))
    }

    fn max_bytes(&self) -> u64 {
        MAX_KERNEL_BYTES
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        // Other processors' kernels have no such header.
        if bytes.get(MAGIC_AT..MAGIC_AT + MAGIC.len()) != Some(MAGIC) {
            return Ok(Vec::new());
        }
        let unreadable = || Unreadable::new("kernel-version-malformed", "its header leads to no version");
        let at = usize::from(le16(bytes, VERSION_AT).ok_or_else(unreadable)?) + VERSION_BASE;
        let text = bytes.get(at..).ok_or_else(unreadable)?;
        let end = text
            .iter()
            .take(MAX_VERSION)
            .position(|b| *b == 0)
            .ok_or_else(unreadable)?;
        let text = String::from_utf8_lossy(text.get(..end).unwrap_or_default()).into_owned();
        let version = text
            .split_whitespace()
            .next()
            .filter(|version| version.starts_with(|c: char| c.is_ascii_digit()));
        Ok(vec![Fact::Package(Box::new(Draft::new(
            PackageKind::Generic,
            "linux-kernel",
            Some(version.ok_or_else(unreadable)?),
        )))])
    }
}
