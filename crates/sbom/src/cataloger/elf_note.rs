//! Package metadata that a build put into a program (systemd's "Package Metadata for Executable Files"): JSON in the
//! ELF note `.note.package`.

use serde::Deserialize;

use super::executable::Executable;
use super::number::{le32, size, slice};
use super::{Draft, Fact, Unreadable};
use crate::bill::{PackageKind, Uncertainty};

const SECTION: &str = ".note.package";

/// The note's type, `NT_FDO_PACKAGING_METADATA`.
const TYPE: u32 = 0xcafe_1a7e;
const OWNER: &[u8] = b"FDO\0";

/// The longest note read.
const MAX_NOTE: usize = 64 * 1024;

#[derive(Deserialize)]
struct Note {
    r#type: Option<String>,
    name: Option<String>,
    version: Option<String>,
    architecture: Option<String>,
    os: Option<String>,
}

/// What the program says it was packaged in.
pub(super) fn read(executable: &Executable<'_>) -> Result<Vec<Fact>, Unreadable> {
    match executable.section(SECTION) {
        Some(section) => parse(section),
        None => Ok(Vec::new()),
    }
}

/// Reads the section's bytes.
pub(super) fn parse(section: &[u8]) -> Result<Vec<Fact>, Unreadable> {
    let malformed = |reason: String| Unreadable::new("elf-package-note-malformed", reason);
    let json = description(section).ok_or_else(|| malformed("it is no package note".to_owned()))?;
    let end = json.iter().position(|byte| *byte == 0).unwrap_or(json.len());
    let note: Note =
        serde_json::from_slice(json.get(..end).unwrap_or_default()).map_err(|error| malformed(error.to_string()))?;
    let name = note.name.ok_or_else(|| malformed("it names no package".to_owned()))?;
    let kind = match note.r#type.as_deref() {
        Some("alpm") => PackageKind::Alpm,
        Some("apk") => PackageKind::Apk,
        Some("deb") => PackageKind::Deb,
        Some("rpm") => PackageKind::Rpm,
        _ => PackageKind::Generic,
    };
    Ok(vec![Fact::Package(Box::new(Draft {
        group: note.os.filter(|_| kind.is_system()),
        architecture: note.architecture,
        uncertain: Some(Uncertainty::FromContent),
        ..Draft::new(kind, &name, note.version.as_deref())
    }))])
}

/// Three lengths of four bytes (owner, description, type), the owner, the description, both padded to four.
fn description(section: &[u8]) -> Option<&[u8]> {
    let owner_length = size(le32(section, 0)?)?;
    let length = size(le32(section, 4)?)?.min(MAX_NOTE);
    let owner = slice(section, 12, owner_length)?;
    (owner == OWNER && le32(section, 8)? == TYPE).then_some(())?;
    slice(section, 12 + owner.len(), length)
}
