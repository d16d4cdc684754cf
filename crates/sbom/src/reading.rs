//! Documents of anyone, read into one model.
//!
//! [`read`] finds out by content what a document is: SPDX 2.2 and 2.3 (JSON, tag-value), SPDX 3.0 (JSON-LD), CycloneDX
//! 1.2 to 1.7 (JSON, XML) or Syft's own JSON. What they say of packages becomes a [`Bill`], the same type that
//! [`catalog`](crate::catalog) makes of an image, so that matching, comparing and writing need not know the difference.
//!
//! Everything here is untrusted, and nothing is verified: a document in an attestation is taken out only where
//! [`ReadOptions::unwrap`] says so, and the caller answers for its signature. Deliberately not read: files, snippets,
//! services, vulnerabilities, formulations. A package whose URL is missing, malformed or of an unknown type is kept and
//! named in [`Document::warnings`]; nothing is dropped without a word that could be a package.

mod cyclonedx;
mod cyclonedx_xml;
mod gather;
mod incomplete;
mod json;
mod spdx2;
mod spdx3;
mod syft;
mod tag_value;
mod wrapped;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proofmark_oci::Platform;
use proofmark_types::{Digest, UnixTime};
use thiserror::Error;

use crate::bill::{Bill, PackageId, PackageKind};
use crate::document::{Details, DocumentInfo};
use crate::party::Party;

/// The largest document read, in bytes. Syft's of a 1.8 GB image has 39 MB, most of it files.
pub const MAX_DOCUMENT_BYTES: usize = 96 * 1024 * 1024;

/// The most packages of a document. The largest image seen has 3,300.
pub const MAX_PACKAGES: usize = 200_000;

/// The most relationships and dependencies of a document. Syft's of that image has 49,188.
pub const MAX_RELATIONSHIPS: usize = 1_000_000;

/// The most warnings kept; further ones are counted.
const MAX_WARNINGS: usize = 1_000;

/// Reads a document, which must be one by itself; see [`read_with`] for those inside attestations.
pub fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    read_with(bytes, ReadOptions::default())
}

/// Reads a document.
pub fn read_with(bytes: &[u8], options: ReadOptions) -> Result<Document, ReadError> {
    // 1. Bounded before it is parsed.
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(ReadError::TooLarge {
            limit: MAX_DOCUMENT_BYTES,
            size: bytes.len(),
        });
    }
    // 2. What it is, by its first character and the keys on its outermost level.
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    match text.first() {
        Some(b'{') => {
            json::bounded(text)?;
            let outline = json::outline(text)?;
            if let Some(kind) = wrapped::kind(&outline) {
                if !options.unwrap {
                    return Err(ReadError::Attestation { kind });
                }
                // 3. One attestation is taken off, never a second one.
                let inner = wrapped::unwrap(text, kind)?;
                let mut document = read_with(&inner, ReadOptions { unwrap: false })?;
                document.warn(Warning {
                    code: "attestation-not-verified",
                    package: None,
                    message: format!("taken out of {kind}, whose signature was not verified here"),
                });
                return Ok(document);
            }
            match outline {
                outline if outline.has("spdxVersion") => spdx2::read(text),
                outline if outline.has("bomFormat") || outline.has("specVersion") => cyclonedx::read(text),
                outline if outline.has("@graph") => spdx3::read(text),
                outline if outline.has("artifacts") && outline.has("schema") => syft::read(text),
                outline => Err(ReadError::Unknown {
                    seen: outline.describe(),
                }),
            }
        }
        Some(b'<') => cyclonedx_xml::read(text),
        _ if tag_value::is_one(text) => tag_value::read(text),
        _ => Err(ReadError::Unknown {
            seen: "neither JSON, XML nor lines of \"Tag: value\"".to_owned(),
        }),
    }
}

/// The kind that a program's word for it means: Syft's and Trivy's differ from package URLs' in a few.
fn kind_of_word(word: &str) -> PackageKind {
    PackageKind::of_purl_type(match word {
        "dpkg" | "debian" | "ubuntu" => "deb",
        "alpine" => "apk",
        "go-module" | "gobinary" | "gomod" => "golang",
        "python" | "python-pkg" => "pypi",
        "rust-crate" | "rustbinary" => "cargo",
        "node-pkg" => "npm",
        "java-archive" | "jar" => "maven",
        "gemspec" => "gem",
        "php-composer" => "composer",
        "dotnet" | "dotnet-core" => "nuget",
        "redhat" | "centos" | "rocky" | "alma" | "fedora" | "amazon" | "oracle" => "rpm",
        word => word,
    })
}

/// What else may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Whether to take the document out of an in-toto statement, a DSSE envelope or a Sigstore bundle. No signature is
    /// verified: whoever sets this either has verified it or does not care who made the document.
    pub unwrap: bool,
}

/// A document as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What kind of document it is.
    pub origin: Origin,
    /// What it describes.
    pub subject: Subject,
    /// When it says that it was made.
    pub created: Option<UnixTime>,
    /// The programs that it says made it, with version where it says one.
    pub tools: Vec<String>,
    /// The persons and organizations that it says made it.
    pub authors: Vec<String>,
    /// The packages, their relationships, the distribution.
    pub bill: Bill,
    /// What it says of packages beyond the bill.
    pub details: BTreeMap<PackageId, Details>,
    /// The packages of which it says how they relate to others, be it that they relate to none.
    pub related: BTreeSet<PackageId>,
    /// What it says itself that it does not list, in words; empty for a document that says nothing of the kind. Files that
    /// it says could not be read are among the bill's notes.
    pub incomplete: Vec<String>,
    /// What could not be taken as it stands.
    pub warnings: Vec<Warning>,
    /// How many further warnings there were.
    pub more_warnings: usize,
}

impl Document {
    /// What a document that is made of this one says of its subject and origin; `now` where this one has no time.
    #[must_use]
    pub fn info(&self, now: UnixTime, tool_version: &str) -> DocumentInfo {
        DocumentInfo {
            created: self.created.unwrap_or(now),
            name: self.subject.name.clone().unwrap_or_else(|| "unnamed".to_owned()),
            digest: self.subject.digest.clone(),
            repository: None,
            platform: self.subject.platform.clone(),
            supplier: self.subject.supplier.clone(),
            authors: self.authors.iter().filter_map(|author| Party::parse(author)).collect(),
            tool_version: tool_version.to_owned(),
            details: self.details.clone(),
        }
    }

    fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning);
        } else {
            self.more_warnings += 1;
        }
    }
}

/// What a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose format.
    pub standard: Standard,
    /// Which version of it, as the document says.
    pub version: String,
    /// How it is written.
    pub encoding: Encoding,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let standard = match self.standard {
            Standard::Spdx => "SPDX",
            Standard::Cyclonedx => "CycloneDX",
            Standard::Syft => "Syft",
        };
        let encoding = match self.encoding {
            Encoding::Json => "JSON",
            Encoding::TagValue => "tag-value",
            Encoding::Xml => "XML",
        };
        write!(f, "{standard} {} {encoding}", self.version)
    }
}

/// Whose format a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Standard {
    /// The Linux Foundation's.
    Spdx,
    /// OWASP's.
    Cyclonedx,
    /// Anchore's.
    Syft,
}

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// JSON, also JSON-LD.
    Json,
    /// Lines of `Tag: value`.
    TagValue,
    /// XML.
    Xml,
}

/// What a document describes, as it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// Its name.
    pub name: Option<String>,
    /// The digest of the image's manifest.
    pub digest: Option<Digest>,
    /// What the image runs on.
    pub platform: Option<Platform>,
    /// Who supplies it.
    pub supplier: Option<Party>,
}

/// Something in a document that could not be taken as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A stable name.
    pub code: &'static str,
    /// The package that it is about.
    pub package: Option<PackageId>,
    /// In words.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

/// Why bytes could not be read as a document.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// More bytes than are read.
    #[error("the document has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// The limit.
        limit: usize,
        /// The size given.
        size: usize,
    },
    /// More values, packages, relationships than are read: a document made to fill memory.
    #[error("the document has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No document of a known kind: another file was given, or the document is cut off at its start.
    #[error("expected an SPDX, CycloneDX or Syft document, found {seen}")]
    Unknown {
        /// What is there.
        seen: String,
    },
    /// The document has a version that is not read: older or newer than what is known here.
    #[error("expected {standard} {expected}, found version \"{seen}\"")]
    Version {
        /// Whose format.
        standard: &'static str,
        /// The versions read.
        expected: &'static str,
        /// The version in the document.
        seen: String,
    },
    /// The document is inside an attestation and nobody said to take it out.
    #[error("expected a document, found {kind}, whose signature must be verified first")]
    Attestation {
        /// What it is.
        kind: Wrapping,
    },
    /// An attestation that holds no document.
    #[error("expected a document inside {kind}, found {seen}")]
    NoDocument {
        /// What it is.
        kind: Wrapping,
        /// What is inside.
        seen: String,
    },
    /// Not the syntax that its start promised, or a field of the wrong type.
    #[error("not a well-formed {format} document: {message}, at line {line}, column {column}")]
    Malformed {
        /// The format expected.
        format: &'static str,
        /// The line, from 1; 0 if it is not known.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong.
        message: String,
    },
}

impl ReadError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "document-too-large",
            Self::TooMany { .. } => "document-too-many-values",
            Self::Unknown { .. } => "document-unknown",
            Self::Version { .. } => "document-version-unknown",
            Self::Attestation { .. } => "document-in-attestation",
            Self::NoDocument { .. } => "attestation-without-document",
            Self::Malformed { .. } => "document-malformed",
        }
    }
}

/// What a document can be inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrapping {
    /// An in-toto statement.
    Statement,
    /// A DSSE envelope.
    Envelope,
    /// A Sigstore bundle.
    Bundle,
}

impl fmt::Display for Wrapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Statement => "an in-toto statement",
            Self::Envelope => "a DSSE envelope",
            Self::Bundle => "a Sigstore bundle",
        })
    }
}
