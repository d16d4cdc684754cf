//! Opens a database where it lies, and reads of it what is asked for.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::sync::OnceLock;

use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use thiserror::Error;

use super::build::{BuildError, assemble};
use super::format::{Header, LackingFeed, MAGIC, MAX_HEADER, PREFIX, SectionHeader, SourceFile, VERSION};
use super::read::Section;
use crate::ecosystem::Ecosystem;

/// Where a database's bytes lie when they are not in memory: a file that is read at places.
pub trait Storage {
    /// How many there are.
    fn length(&self) -> io::Result<u64>;
    /// Exactly `length` of them from `offset` on, or an error.
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

/// A database over its bytes, in memory or in a [`Storage`], of which only the sections that are asked for are read.
pub struct Database<'d> {
    header: Header,
    digest: Digest,
    place: Place<'d>,
    sections: Vec<Body>,
}

enum Place<'d> {
    Memory(&'d [u8]),
    Storage(Box<dyn Storage + Send + Sync + 'd>),
}

/// A section's bytes: where they are, and once they were hashed, they; nothing if they are in memory anyway.
struct Body {
    offset: u64,
    length: usize,
    sound: OnceLock<Option<Vec<u8>>>,
}

impl fmt::Debug for Database<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl<'d> Place<'d> {
    fn length(&self) -> Result<u64, DatabaseError> {
        match self {
            Self::Memory(bytes) => u64::try_from(bytes.len()).map_err(|_| DatabaseError::Cut),
            Self::Storage(storage) => storage.length().map_err(|source| DatabaseError::Unreadable { source }),
        }
    }

    /// All of them, or an error: what lies beyond the end is not asked for.
    fn read(&self, offset: u64, length: usize) -> Result<Cow<'d, [u8]>, DatabaseError> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| DatabaseError::Cut)?;
                let end = start.checked_add(length).ok_or(DatabaseError::Cut)?;
                bytes.get(start..end).map(Cow::Borrowed).ok_or(DatabaseError::Cut)
            }
            Self::Storage(storage) => match storage.read(offset, length) {
                Ok(bytes) if bytes.len() == length => Ok(Cow::Owned(bytes)),
                Ok(_) => Err(DatabaseError::Cut),
                Err(source) => Err(DatabaseError::Unreadable { source }),
            },
        }
    }
}

impl<'d> Database<'d> {
    /// Opens one that is in memory.
    pub fn open(bytes: &'d [u8]) -> Result<Self, DatabaseError> {
        Self::open_place(Place::Memory(bytes))
    }

    /// Opens one where it is stored: a section is read when it is first used.
    pub fn open_in(storage: impl Storage + Send + Sync + 'd) -> Result<Self, DatabaseError> {
        Self::open_place(Place::Storage(Box::new(storage)))
    }

    /// Checks the header and that the sections fill the rest; reads nothing else.
    fn open_place(place: Place<'d>) -> Result<Self, DatabaseError> {
        let whole = place.length()?;
        let first = usize::try_from(whole).unwrap_or(PREFIX).min(PREFIX);
        let prefix = place.read(0, first)?;
        let rest = prefix
            .strip_prefix(MAGIC.as_slice())
            .ok_or(DatabaseError::NotADatabase)?;
        let version = number_at(rest, 0).ok_or(DatabaseError::Cut)?;
        if version != VERSION {
            return Err(DatabaseError::Version { version });
        }
        let length = number_at(rest, 1).and_then(|length| usize::try_from(length).ok());
        let length = length
            .filter(|length| *length <= MAX_HEADER)
            .ok_or(DatabaseError::Cut)?;
        let expected = prefix.get(16..PREFIX).ok_or(DatabaseError::Cut)?;
        let end = offset(PREFIX)?.saturating_add(offset(length)?);
        if end > whole {
            return Err(DatabaseError::Cut);
        }
        let header = place.read(offset(PREFIX)?, length)?;
        let digest = Digest::sha256_of(&header);
        if digest.as_bytes() != expected {
            return Err(DatabaseError::Damaged {
                what: "header".to_owned(),
            });
        }
        let header: Header = serde_json::from_slice(&header).map_err(|source| DatabaseError::Header { source })?;
        let mut sections = Vec::new();
        let mut at = end;
        for section in &header.sections {
            let after = at.checked_add(section.length).filter(|after| *after <= whole);
            sections.push(Body {
                offset: at,
                length: usize::try_from(section.length).map_err(|_| DatabaseError::Cut)?,
                sound: OnceLock::new(),
            });
            at = after.ok_or(DatabaseError::Cut)?;
        }
        if at < whole {
            return Err(DatabaseError::Trailing { bytes: whole - at });
        }
        Ok(Self {
            header,
            digest,
            place,
            sections,
        })
    }

    /// Hashes every section and walks every row of it: for a file that came from elsewhere.
    pub fn verify(&self) -> Result<(), DatabaseError> {
        for section in &self.header.sections {
            if let Some(section) = self.section(&section.ecosystem)? {
                section.walk()?;
            }
        }
        Ok(())
    }

    /// The same advisories, of files that were said to be unchanged since.
    pub fn restated(
        &self,
        built: UnixTime,
        files: Vec<SourceFile>,
        lacking: Vec<LackingFeed>,
    ) -> Result<Vec<u8>, BuildError> {
        let header = Header {
            built,
            files,
            lacking,
            ..self.header.clone()
        };
        let sections = self.header.sections.iter().zip(&self.sections);
        let bodies: Vec<&[u8]> = sections
            .map(|(header, body)| self.body(header, body))
            .collect::<Result<_, _>>()
            .map_err(|source| BuildError::Damaged {
                source: Box::new(source),
            })?;
        assemble(&header, &bodies)
    }

    /// What it says of itself.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The digest of its header, in which the digests of all sections are: its identity.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The section of an ecosystem, read and hashed at its first use; none if the database has nothing about the
    /// ecosystem.
    pub fn section(&self, ecosystem: &str) -> Result<Option<Section<'_>>, DatabaseError> {
        let mut both = self.header.sections.iter().zip(&self.sections);
        let Some((header, body)) = both.find(|(header, _)| header.ecosystem == ecosystem) else {
            return Ok(None);
        };
        let bytes = self.body(header, body)?;
        let ecosystem = Ecosystem::named(ecosystem).ok_or_else(|| DatabaseError::Ecosystem {
            name: ecosystem.chars().take(80).collect(),
        })?;
        Section::new(header, bytes, ecosystem).map(Some)
    }

    /// What does not match its digest is not kept, so that it is an error each time.
    fn body<'s>(&'s self, header: &SectionHeader, body: &'s Body) -> Result<&'s [u8], DatabaseError> {
        if body.sound.get().is_none() {
            let bytes = self.place.read(body.offset, body.length)?;
            if header.digest.algorithm() != DigestAlgorithm::Sha256 || !header.digest.matches(&bytes) {
                return Err(DatabaseError::Damaged {
                    what: format!("section of {}", header.ecosystem),
                });
            }
            let _ = body.sound.set(match bytes {
                Cow::Borrowed(_) => None,
                Cow::Owned(bytes) => Some(bytes),
            });
        }
        match (body.sound.get(), &self.place) {
            (Some(Some(bytes)), _) => Ok(bytes),
            (_, Place::Memory(bytes)) => {
                let start = usize::try_from(body.offset).map_err(|_| DatabaseError::Cut)?;
                let end = start.checked_add(body.length).ok_or(DatabaseError::Cut)?;
                bytes.get(start..end).ok_or(DatabaseError::Cut)
            }
            (_, Place::Storage(_)) => Err(DatabaseError::Cut),
        }
    }
}

fn offset(length: usize) -> Result<u64, DatabaseError> {
    u64::try_from(length).map_err(|_| DatabaseError::Cut)
}

/// A number of a table.
pub(super) fn number_at(bytes: &[u8], place: usize) -> Option<u32> {
    let at = place.checked_mul(4)?;
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(u32::from_le_bytes(four))
}

/// Why a database cannot be used. None of these may be taken for "nothing found".
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// Another kind of file.
    #[error("not an advisory database: it does not begin with PMADVDB")]
    NotADatabase,
    /// Of a later or earlier program.
    #[error("the advisory database has format {version}; this program reads format {VERSION}")]
    Version {
        /// The format that it has.
        version: u32,
    },
    /// It ends before it should.
    #[error("the advisory database is cut short")]
    Cut,
    /// It has more bytes than it says.
    #[error("the advisory database has {bytes} bytes after its end")]
    Trailing {
        /// How many.
        bytes: u64,
    },
    /// It could not be read from where it is stored.
    #[error("the advisory database could not be read")]
    Unreadable {
        /// What the system says.
        source: io::Error,
    },
    /// Its bytes are not those that were written.
    #[error("the advisory database is damaged: the {what} does not match its digest")]
    Damaged {
        /// Which part.
        what: String,
    },
    /// A header that cannot be read, although its digest is right.
    #[error("the header of the advisory database cannot be read")]
    Header {
        /// Where and what.
        source: serde_json::Error,
    },
    /// A section that this program knows no version order for.
    #[error("the advisory database has a section of {name}, which is not known here")]
    Ecosystem {
        /// Its name.
        name: String,
    },
    /// A table that points outside of itself, although its digest is right: not written by this program.
    #[error("the advisory database is malformed: {what} in the section of {ecosystem}")]
    Malformed {
        /// Which section.
        ecosystem: &'static str,
        /// What is wrong in it.
        what: &'static str,
    },
}

impl DatabaseError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotADatabase => "database-not-one",
            Self::Version { .. } => "database-format",
            Self::Cut | Self::Trailing { .. } => "database-length",
            Self::Unreadable { .. } => "database-unreadable",
            Self::Damaged { .. } => "database-damaged",
            Self::Header { .. } | Self::Ecosystem { .. } | Self::Malformed { .. } => "database-malformed",
        }
    }
}
