//! What both document formats have in common: whom they speak of, and names made from content.

use std::collections::BTreeMap;

use proofmark_oci::Platform;
use proofmark_types::{Digest, Hasher, Purl, Repository, UnixTime};

use crate::bill::{Bill, PackageId};
use crate::party::Party;

/// What a document says beside the bill. Two documents of equal bill and information are equal to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentInfo {
    /// When the document was made.
    pub created: UnixTime,
    /// The image as a person names it: a reference, or a folder's name.
    pub name: String,
    /// The digest of the image's manifest.
    pub digest: Option<Digest>,
    /// Where the image is kept, if it is in a registry.
    pub repository: Option<Repository>,
    /// What the image runs on.
    pub platform: Option<Platform>,
    /// Who supplies the image, if it or whoever asks says so.
    pub supplier: Option<Party>,
    /// Who makes the document, if whoever asks says so; the program is named beside.
    pub authors: Vec<Party>,
    /// The version of the program that writes.
    pub tool_version: String,
    /// What is known of packages beyond the bill; empty for what a walk through an image finds.
    pub details: BTreeMap<PackageId, Details>,
}

/// What documents of others say of a package and a bill has no place for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// CPE names.
    pub cpes: Vec<String>,
    /// How to reach whoever answers for it: an e-mail address or a URL.
    pub contact: Option<String>,
    /// BSI's properties, `bsi:component:…`, by name.
    pub properties: BTreeMap<String, String>,
    /// The name of the package's file.
    pub file_name: Option<String>,
    /// What stood in the place of a package URL and is none.
    pub identifiers: Vec<String>,
    /// Whether all its licences stand in an expression, those that are not SPDX's as `LicenseRef-…`.
    pub licences_are_expression: bool,
    /// Whether it is said how complete the list of what it needs is.
    pub completeness_is_said: bool,
}

/// The name of the program that writes.
pub(crate) const TOOL: &str = "proofmark";

impl DocumentInfo {
    /// The image's package URL (purl-spec, type `oci`), if its digest is known.
    #[must_use]
    pub fn purl(&self) -> Option<Purl> {
        let digest = self.digest.as_ref()?;
        let path = self.repository.as_ref().map_or(self.name.as_str(), Repository::path);
        let name = path.rsplit('/').next().unwrap_or(path);
        let name = name.split([':', '@']).next().unwrap_or(name);
        let mut purl = Purl::new("oci", name).ok()?.with_version(&digest.to_string());
        if let Some(repository) = &self.repository {
            purl = purl.with_qualifier("repository_url", &repository.to_string());
        }
        if let Some(platform) = &self.platform {
            purl = purl.with_qualifier("arch", &platform.architecture);
        }
        Some(purl)
    }

    /// A hash over what the document will say, for names that must be unique to it.
    pub(crate) fn identity(&self, bill: &Bill, format: &str) -> Digest {
        let mut hasher = Hasher::sha256();
        let mut add = |text: &str| {
            hasher.update(text.as_bytes());
            hasher.update(b"\0");
        };
        add(format);
        add(&self.tool_version);
        add(&self.created.to_string());
        add(&self.name);
        add(&self.digest.as_ref().map(ToString::to_string).unwrap_or_default());
        add(&self.repository.as_ref().map(ToString::to_string).unwrap_or_default());
        add(&self.supplier.as_ref().map(Party::text).unwrap_or_default());
        for author in &self.authors {
            add(&author.text());
        }
        for layer in &bill.layers {
            add(&layer.diff_id.to_string());
        }
        for package in &bill.packages {
            add(package.id.as_str());
        }
        hasher.finish()
    }
}

/// A web address that validators accept, or nothing: packages write all manner of things into the field.
pub(crate) fn web_address(text: Option<&str>) -> Option<&str> {
    text.filter(|text| {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = rest
            .and_then(|rest| rest.split(['/', '?', '#']).next())
            .unwrap_or_default();
        let is_host = host.contains('.') && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+,;=%".contains(&b);
        let escapes = text.split('%').skip(1).all(|after| {
            let digits = after.as_bytes().first_chunk::<2>();
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        });
        is_host && text.bytes().all(plain) && escapes && text.matches('#').count() <= 1
    })
}

/// Text without control characters, on one line, at most `length` characters.
pub(crate) fn line(text: &str, length: usize) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(length)
        .collect::<String>()
        .trim()
        .to_owned()
}
