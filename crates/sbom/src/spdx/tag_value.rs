//! SPDX 2.3 in lines of `Tag: value` (clause 5.3): the JSON form's model, tag by tag.

use super::{Document, SpdxPackage};

/// Writes the document.
pub(super) fn write(document: &Document) -> String {
    let mut lines = Lines::default();
    lines.put("SPDXVersion", document.spdx_version);
    lines.put("DataLicense", document.data_license);
    lines.put("SPDXID", document.spdxid);
    lines.put("DocumentName", &document.name);
    lines.put("DocumentNamespace", &document.document_namespace);
    lines.text("DocumentComment", document.comment.as_deref());
    for creator in &document.creation_info.creators {
        lines.put("Creator", creator);
    }
    lines.text("CreatorComment", document.creation_info.comment.as_deref());
    lines.put("Created", &document.creation_info.created.to_string());
    for each in &document.packages {
        package(&mut lines, each);
    }
    for licence in &document.has_extracted_licensing_infos {
        lines.gap();
        lines.put("LicenseID", &licence.license_id);
        lines.text("ExtractedText", Some(&licence.extracted_text));
        lines.put("LicenseName", &licence.name);
    }
    lines.gap();
    for relationship in &document.relationships {
        let text = format!(
            "{} {} {}",
            relationship.spdx_element_id, relationship.relationship_type, relationship.related_spdx_element
        );
        lines.put("Relationship", &text);
    }
    lines.0
}

fn package(lines: &mut Lines, package: &SpdxPackage) {
    lines.gap();
    lines.put("PackageName", &package.name);
    lines.put("SPDXID", &package.spdxid);
    lines.maybe("PackageVersion", package.version_info.as_deref());
    lines.maybe("PackageFileName", package.package_file_name.as_deref());
    lines.put("PackageSupplier", &package.supplier);
    lines.put("PackageDownloadLocation", package.download_location);
    lines.put("FilesAnalyzed", if package.files_analyzed { "true" } else { "false" });
    for sum in &package.checksums {
        lines.put("PackageChecksum", &format!("{}: {}", sum.algorithm, sum.checksum_value));
    }
    lines.maybe("PackageHomePage", package.homepage.as_deref());
    lines.text("PackageSourceInfo", package.source_info.as_deref());
    lines.put("PackageLicenseConcluded", package.license_concluded);
    lines.put("PackageLicenseDeclared", &package.license_declared);
    lines.put("PackageCopyrightText", package.copyright_text);
    lines.text("PackageDescription", package.description.as_deref());
    lines.text("PackageComment", package.comment.as_deref());
    for reference in &package.external_refs {
        let text = format!(
            "{} {} {}",
            reference.reference_category, reference.reference_type, reference.reference_locator
        );
        lines.put("ExternalRef", &text);
    }
    lines.put("PrimaryPackagePurpose", package.primary_package_purpose);
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    /// A tag whose value is on its line; the model has no line breaks.
    fn put(&mut self, tag: &str, value: &str) {
        self.0.push_str(tag);
        self.0.push_str(": ");
        self.0.push_str(&plain(value));
        self.0.push('\n');
    }

    fn maybe(&mut self, tag: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.put(tag, value);
        }
    }

    /// A tag of free text.
    fn text(&mut self, tag: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.0.push_str(&format!("{tag}: <text>{}</text>\n", plain(value)));
        }
    }

    fn gap(&mut self) {
        self.0.push('\n');
    }
}

/// The format has no way to write its own marks inside a value.
fn plain(value: &str) -> String {
    value
        .replace("<text>", "(text)")
        .replace("</text>", "(/text)")
        .replace(['\n', '\r'], " ")
}
