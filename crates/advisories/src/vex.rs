//! VEX: what the makers of an image or a package say about vulnerabilities in it. OpenVEX, CSAF and CycloneDX are
//! read into the same statements; OpenVEX is written.
//!
//! A statement names products. One that names the image by its digest speaks for that image; otherwise its package URL must be
//! part of the package's: the same type, namespace and name, and the same version and qualifiers where the statement has
//! any. A statement that names a product in words is not guessed at: it matches nothing, and is [reported](Standings).
//! Who wrote a document, and whether to believe it, is decided before it comes here.

mod csaf;
mod cyclonedx;
mod openvex;

use proofmark_types::{Digest, Purl, UnixTime};
use serde::Serialize;
use thiserror::Error;

use crate::matching::Finding;

pub use openvex::write;

/// The largest documents of vendors (CSAF of whole products) have some 20 MB.
const MAX_BYTES: usize = 64 * 1024 * 1024;
/// Statements and products of one document; the largest seen have some 10,000.
const MAX_STATEMENTS: usize = 100_000;

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its identifier, or the name that it was given under.
    pub id: String,
    /// What it says.
    pub statements: Vec<Statement>,
}

/// What is said of vulnerabilities in products.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The vulnerability, by all names that the statement gives.
    pub vulnerabilities: Vec<String>,
    /// The products.
    pub products: Vec<Product>,
    /// What is said.
    pub status: Status,
    /// Why, in the words or labels of the document.
    pub justification: Option<String>,
    /// When it was said.
    pub at: Option<UnixTime>,
}

/// A product: an image by its digest, or a package by its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Product {
    /// The digest of an image.
    pub digest: Option<Digest>,
    /// A package URL.
    pub purl: Option<Purl>,
    /// The packages within it that are meant; empty means all.
    pub parts: Vec<Purl>,
    /// What names it, if neither of the two does.
    pub name: Option<String>,
}

/// What is said of a vulnerability in a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does not matter there.
    NotAffected,
    /// It does.
    Affected,
    /// It did.
    Fixed,
    /// Nobody knows yet.
    UnderInvestigation,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "not_affected" => Some(Self::NotAffected),
            "affected" => Some(Self::Affected),
            "fixed" => Some(Self::Fixed),
            "under_investigation" => Some(Self::UnderInvestigation),
            _ => None,
        }
    }

    /// As OpenVEX writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAffected => "not_affected",
            Self::Affected => "affected",
            Self::Fixed => "fixed",
            Self::UnderInvestigation => "under_investigation",
        }
    }
}

/// What stands of a finding after all documents were heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'v> {
    /// What is said.
    pub status: Status,
    /// Why.
    pub justification: Option<&'v str>,
    /// By which document.
    pub document: &'v str,
}

impl Standing<'_> {
    /// In words.
    #[must_use]
    pub fn reason(&self) -> String {
        let status = self.status.name().replace('_', " ");
        match self.justification {
            Some(why) => format!("{status}: {why}"),
            None => status,
        }
    }
}

/// Each finding's standing, and what was said in vain.
#[derive(Clone, Debug)]
pub struct Standings<'v> {
    /// By finding.
    pub of: Vec<Option<Standing<'v>>>,
    /// Statements that matched no finding: the document, and the statement's place in it.
    pub unmatched: Vec<(&'v str, usize)>,
}

impl Document {
    /// Reads a document of any of the three formats, which it says itself.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, VexError> {
        if bytes.len() > MAX_BYTES {
            return Err(VexError::TooLarge { bytes: bytes.len() });
        }
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|source| VexError::NotJson { source })?;
        let context = value
            .get("@context")
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default();
        let document = if context.starts_with("https://openvex.dev/ns") {
            openvex::read(&value, name)?
        } else if value.get("bomFormat").is_some_and(|format| format == "CycloneDX") {
            cyclonedx::read(&value, name)?
        } else if value.pointer("/document/csaf_version").is_some() {
            csaf::read(&value, name)?
        } else {
            return Err(VexError::UnknownFormat);
        };
        let count = document.statements.len();
        if count > MAX_STATEMENTS || document.statements.iter().any(|s| s.products.len() > MAX_STATEMENTS) {
            return Err(VexError::TooMany { count });
        }
        Ok(document)
    }
}

/// Hears all documents about all findings. `image` is what the packages are in.
pub fn hear<'v>(
    documents: &'v [Document],
    findings: &[Finding<'_>],
    packages: &[Option<&Purl>],
    image: Option<&Digest>,
) -> Standings<'v> {
    let mut heard: Vec<Option<(Rank, Standing<'v>)>> = vec![None; findings.len()];
    let mut unmatched = Vec::new();
    for document in documents {
        for (place, statement) in document.statements.iter().enumerate() {
            let mut matched = false;
            for (finding, slot) in findings.iter().zip(&mut heard) {
                let package = packages.get(finding.package).copied().flatten();
                if !names(finding).any(|name| statement.vulnerabilities.iter().any(|v| v == name)) {
                    continue;
                }
                let best = statement
                    .products
                    .iter()
                    .filter_map(|product| product.speaks_for(package, image));
                let Some(by_digest) = best.max() else { continue };
                matched = true;
                let rank = (by_digest, statement.at);
                // Of two that rank the same, the one that suppresses less stands.
                let stands = slot.as_ref().is_none_or(|(there, standing)| {
                    rank > *there || (rank == *there && suppresses(standing.status) && !suppresses(statement.status))
                });
                if stands {
                    let standing = Standing {
                        status: statement.status,
                        justification: statement.justification.as_deref(),
                        document: &document.id,
                    };
                    *slot = Some((rank, standing));
                }
            }
            if !matched {
                unmatched.push((document.id.as_str(), place));
            }
        }
    }
    Standings {
        of: heard
            .into_iter()
            .map(|slot| slot.map(|(_, standing)| standing))
            .collect(),
        unmatched,
    }
}

/// By digest before by package, then the later.
type Rank = (bool, Option<UnixTime>);

fn suppresses(status: Status) -> bool {
    matches!(status, Status::NotAffected | Status::Fixed)
}

fn names<'f>(finding: &'f Finding<'_>) -> impl Iterator<Item = &'f str> {
    let others = finding.advisories.iter().chain(&finding.aliases).copied();
    std::iter::once(finding.id).chain(others)
}

impl Product {
    /// Whether it means this package in this image: by the image's digest (`true`), or by the package's URL (`false`).
    fn speaks_for(&self, package: Option<&Purl>, image: Option<&Digest>) -> Option<bool> {
        let part = || self.parts.is_empty() || package.is_some_and(|p| self.parts.iter().any(|part| is_part(part, p)));
        if let Some(digest) = &self.digest {
            return (Some(digest) == image && part()).then_some(true);
        }
        let (wanted, package) = (self.purl.as_ref()?, package?);
        (self.parts.is_empty() && is_part(wanted, package)).then_some(false)
    }
}

/// Whether all that `wanted` says is so of `package`.
fn is_part(wanted: &Purl, package: &Purl) -> bool {
    wanted.kind() == package.kind()
        && wanted.namespace() == package.namespace()
        && wanted.name() == package.name()
        && wanted
            .version()
            .is_none_or(|version| Some(version) == package.version())
        && wanted
            .qualifiers()
            .all(|(key, value)| package.qualifier(key) == Some(value))
}

/// A product from its identifier: a package URL, of an image with a digest or of a package; or a digest.
fn product(id: &str) -> Product {
    let Ok(purl) = Purl::parse(id) else {
        return match Digest::parse(id) {
            Ok(digest) => Product {
                digest: Some(digest),
                ..Product::default()
            },
            Err(_) => Product {
                name: Some(id.chars().take(200).collect()),
                ..Product::default()
            },
        };
    };
    let digest = (purl.kind() == "oci").then(|| purl.version().and_then(|version| Digest::parse(version).ok()));
    Product {
        digest: digest.flatten(),
        purl: Some(purl),
        ..Product::default()
    }
}

/// Why a document is not read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VexError {
    /// Larger than any is.
    #[error("a VEX document of {bytes} bytes is larger than the {MAX_BYTES} accepted")]
    TooLarge {
        /// How many there are.
        bytes: usize,
    },
    /// No JSON.
    #[error("a VEX document is JSON")]
    NotJson {
        /// Where and what.
        source: serde_json::Error,
    },
    /// JSON of another kind.
    #[error("expected OpenVEX, CSAF or CycloneDX")]
    UnknownFormat,
    /// A statement that does not say what it must.
    #[error("statement {place} of the VEX document: expected {expected}")]
    Statement {
        /// Which, from zero.
        place: usize,
        /// What is missing.
        expected: &'static str,
    },
    /// More statements than any document has.
    #[error("the VEX document has {count} statements, or one of them has too many products")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl VexError {
    /// The stable name of the reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } | Self::TooMany { .. } => "vex-too-large",
            Self::NotJson { .. } | Self::UnknownFormat => "vex-unknown-format",
            Self::Statement { .. } => "vex-statement-malformed",
        }
    }
}
