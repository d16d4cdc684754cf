//! SPDX 2.2 and 2.3 in lines of `Tag: value` (SPDX 2.3, clause 5.3 and annex C).

use std::str::Lines;

use super::spdx2::{self, Checksum, ExternalRef, ExtractedLicence, SpdxDocument, SpdxPackage, SpdxRelationship};
use super::{Document, Encoding, ReadError};

/// The longest value over several lines, in bytes; longer ones are cut. Whole licence texts are no names.
const MAX_TEXT: usize = 64 * 1024;

/// Whether the text starts as such a document does: tags and comments, the version among the first.
pub(super) fn is_one(text: &[u8]) -> bool {
    let start = text.get(..4096).unwrap_or(text);
    let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| line.starts_with(b"SPDXVersion:"))
}

/// Reads the document.
pub(super) fn read(bytes: &[u8]) -> Result<Document, ReadError> {
    let text = std::str::from_utf8(bytes).map_err(|error| ReadError::Malformed {
        format: "SPDX tag-value",
        line: bytes.get(..error.valid_up_to()).map_or(0, lines_in),
        column: 0,
        message: "not UTF-8".to_owned(),
    })?;
    let mut reader = Reader {
        lines: text.lines(),
        line: 0,
        document: SpdxDocument::default(),
        place: Place::Document,
    };
    reader.read()?;
    spdx2::understand(reader.document, Encoding::TagValue)
}

fn lines_in(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count()
}

/// What the tags that come next are about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Package,
    Licence,
    /// Files, snippets, annotations, reviews: of no interest.
    Other,
}

struct Reader<'t> {
    lines: Lines<'t>,
    line: usize,
    document: SpdxDocument,
    place: Place,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), ReadError> {
        while let Some((tag, value)) = self.next()? {
            match tag.as_str() {
                "SPDXVersion" => self.once(|document| Some(&mut document.spdx_version), value)?,
                "PackageName" => {
                    self.place = Place::Package;
                    self.document.packages.push(SpdxPackage {
                        name: value,
                        ..SpdxPackage::default()
                    });
                }
                "FileName" | "SnippetSPDXID" | "SnippetSPDXIdentifier" => self.place = Place::Other,
                "LicenseID" => {
                    self.place = Place::Licence;
                    self.document.extracted.push(ExtractedLicence {
                        license_id: value,
                        ..ExtractedLicence::default()
                    });
                }
                "Relationship" => self.relationship(&value)?,
                _ => match self.place {
                    Place::Document => self.of_document(&tag, value)?,
                    Place::Package => self.of_package(&tag, value)?,
                    Place::Licence => self.of_licence(&tag, value),
                    Place::Other => {}
                },
            }
        }
        Ok(())
    }

    /// The next tag and its value, which is on the line or between `<text>` and `</text>`.
    fn next(&mut self) -> Result<Option<(String, String)>, ReadError> {
        loop {
            let Some(line) = self.lines.next() else { return Ok(None) };
            self.line += 1;
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((tag, value)) = line.split_once(':') else {
                return Err(self.fault(format!(
                    "expected \"Tag: value\", found \"{}\"",
                    super::gather::short(line)
                )));
            };
            let value = value.trim_start();
            let Some(text) = value.strip_prefix("<text>") else {
                return Ok(Some((tag.to_owned(), value.to_owned())));
            };
            return Ok(Some((tag.to_owned(), self.text(text)?)));
        }
    }

    fn text(&mut self, first: &str) -> Result<String, ReadError> {
        let mut whole = String::new();
        let mut piece = first;
        loop {
            let (kept, ends) = match piece.split_once("</text>") {
                Some((kept, _)) => (kept, true),
                None => (piece, false),
            };
            if whole.len() + kept.len() <= MAX_TEXT {
                whole.push_str(kept);
            }
            if ends {
                return Ok(whole);
            }
            whole.push('\n');
            let Some(line) = self.lines.next() else {
                return Err(self.fault("<text> without </text>".to_owned()));
            };
            self.line += 1;
            piece = line;
        }
    }

    fn relationship(&mut self, value: &str) -> Result<(), ReadError> {
        let mut words = value.split_whitespace();
        let (Some(from), Some(kind), Some(to)) = (words.next(), words.next(), words.next()) else {
            return Err(self.fault(format!(
                "expected \"Relationship: ID KIND ID\", found \"{}\"",
                super::gather::short(value)
            )));
        };
        self.document.relationships.push(SpdxRelationship {
            spdx_element_id: from.to_owned(),
            relationship_type: kind.to_owned(),
            related_spdx_element: to.to_owned(),
            comment: None,
        });
        Ok(())
    }

    fn of_document(&mut self, tag: &str, value: String) -> Result<(), ReadError> {
        match tag {
            "SPDXID" => self.once(|document| Some(&mut document.spdxid), value)?,
            "DocumentComment" => self.document.comment = Some(value),
            "DocumentName" => self.document.name = Some(value),
            "Created" => self.document.creation_info.created = Some(value),
            "Creator" => self.document.creation_info.creators.push(value),
            "RelationshipComment" => self.comment(value),
            _ => {}
        }
        Ok(())
    }

    fn of_package(&mut self, tag: &str, value: String) -> Result<(), ReadError> {
        if tag == "SPDXID" {
            return self.once(|document| Some(&mut document.packages.items.last_mut()?.spdxid), value);
        }
        if tag == "RelationshipComment" {
            self.comment(value);
            return Ok(());
        }
        let fault = self.fault(format!("malformed {tag}: \"{}\"", super::gather::short(&value)));
        let Some(package) = self.document.packages.items.last_mut() else {
            return Ok(());
        };
        match tag {
            "PackageVersion" => package.version_info = Some(value),
            "PackageFileName" => package.package_file_name = Some(value),
            "PackageSupplier" => package.supplier = Some(value),
            "PackageOriginator" => package.originator = Some(value),
            "PackageHomePage" => package.homepage = Some(value),
            "PackageSourceInfo" => package.source_info = Some(value),
            "PackageLicenseConcluded" => package.license_concluded = Some(value),
            "PackageLicenseDeclared" => package.license_declared = Some(value),
            "PackageDescription" => package.description = Some(value),
            "PackageComment" => package.comment = Some(value),
            "PrimaryPackagePurpose" => package.primary_package_purpose = Some(value),
            "PackageChecksum" => {
                let (algorithm, sum) = value.split_once(':').ok_or(fault)?;
                package.checksums.push(Checksum {
                    algorithm: algorithm.trim().to_owned(),
                    checksum_value: sum.trim().to_owned(),
                });
            }
            "ExternalRef" => {
                let mut words = value.split_whitespace();
                let (Some(_), Some(kind), Some(locator)) = (words.next(), words.next(), words.next()) else {
                    return Err(fault);
                };
                package.external_refs.push(ExternalRef {
                    reference_type: kind.to_owned(),
                    reference_locator: locator.to_owned(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn of_licence(&mut self, tag: &str, value: String) {
        if tag == "RelationshipComment" {
            self.comment(value);
            return;
        }
        let Some(licence) = self.document.extracted.items.last_mut() else {
            return;
        };
        match tag {
            "LicenseName" => licence.name = Some(value),
            "ExtractedText" => licence.extracted_text = Some(value),
            _ => {}
        }
    }

    /// A comment is about the relationship before it.
    fn comment(&mut self, value: String) {
        if let Some(relationship) = self.document.relationships.items.last_mut() {
            relationship.comment = Some(value);
        }
    }

    /// Sets what may be said once only: two readers could take different ones of two.
    fn once(
        &mut self,
        field: impl Fn(&mut SpdxDocument) -> Option<&mut String>,
        value: String,
    ) -> Result<(), ReadError> {
        let fault = self.fault(format!("\"{}\" is a second value", super::gather::short(&value)));
        match field(&mut self.document) {
            Some(known) if known.is_empty() => *known = value,
            Some(_) => return Err(fault),
            None => {}
        }
        Ok(())
    }

    fn fault(&self, message: String) -> ReadError {
        ReadError::Malformed {
            format: "SPDX tag-value",
            line: self.line,
            column: 0,
            message,
        }
    }
}
