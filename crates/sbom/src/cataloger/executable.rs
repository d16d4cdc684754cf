//! Executables and libraries of any format, as far as the catalogers look into them.

use object::{Object as _, ObjectSection as _, ObjectSegment as _};

/// The smallest executable looked at, in bytes: an ELF header, a program header and a section.
pub(super) const MIN_BYTES: u64 = 256;

/// Whether a file starts as ELF, Mach-O (not the many-architecture form) or PE.
pub(super) fn has_magic(start: &[u8]) -> bool {
    matches!(
        start,
        [0x7f, b'E', b'L', b'F', ..]
            | [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
            | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
            | [b'M', b'Z', ..]
    )
}

/// A parsed executable.
pub(super) struct Executable<'b> {
    file: object::File<'b>,
}

impl<'b> Executable<'b> {
    /// Reads the headers; nothing if they do not parse, which any script or firmware may fail to.
    pub(super) fn parse(bytes: &'b [u8]) -> Option<Self> {
        has_magic(bytes)
            .then(|| object::File::parse(bytes).ok())
            .flatten()
            .map(|file| Self { file })
    }

    /// The bytes of the section of the name.
    pub(super) fn section(&self, name: &str) -> Option<&'b [u8]> {
        let section = self.file.sections().find(|section| section.name() == Ok(name))?;
        section.data().ok()
    }

    /// The bytes of all segments that can be loaded.
    pub(super) fn segments(&self) -> impl Iterator<Item = &'b [u8]> {
        self.file.segments().filter_map(|segment| segment.data().ok())
    }

    /// Whether sections have no names that tell of the build tool: in PE, and in ELF without a section table.
    pub(super) fn is_without_names(&self) -> bool {
        matches!(self.file.format(), object::BinaryFormat::Pe) || self.file.sections().next().is_none()
    }

    /// Bytes by the address at which they are loaded.
    pub(super) fn at(&self, address: u64, length: u64) -> Option<&'b [u8]> {
        self.file
            .segments()
            .find_map(|segment| segment.data_range(address, length).ok().flatten())
    }
}
