//! Trivy's JSON, schema 2 (`trivy image --format json`).

use proofmark_types::{Digest, Purl, UnixTime};
use serde::Deserialize;

use super::{Found, Results, ResultsError, digest_of, suppressed};
use crate::severity::Severity;

pub(super) fn read(bytes: &[u8]) -> Result<Results, ResultsError> {
    let report: Report = serde_json::from_slice(bytes).map_err(|source| ResultsError::Malformed { source })?;
    let metadata = report.metadata.unwrap_or_default();
    let mut doubts = Vec::new();
    let system = metadata.os.unwrap_or_default();
    if system.eosl {
        let text = format!("Trivy says that support of {} {} has ended", system.family, system.name);
        doubts.push(("distribution-expired", text));
    }
    let results = report.results.unwrap_or_default();
    let covers_system = results.iter().any(|result| result.class == "os-pkgs");
    let modified = results
        .iter()
        .map(|result| result.modified.as_ref().map_or(0, Vec::len));
    doubts.extend(suppressed(modified.sum()));
    let found = results
        .into_iter()
        .flat_map(|result| result.vulnerabilities.unwrap_or_default());
    let found: Vec<Found> = found.map(Vulnerability::found).collect();
    if found.is_empty() {
        // `--scanners secret` writes the same as a clean image (seen with 0.76).
        let text = "it has no finding at all, and Trivy does not say whether it looked for vulnerabilities";
        doubts.push(("results-without-findings", text.to_owned()));
    }
    let version = report.trivy.and_then(|trivy| trivy.version);
    Ok(Results {
        scanner: version.map_or_else(|| "Trivy".to_owned(), |version| format!("Trivy {version}")),
        made: report.created.and_then(|text| UnixTime::parse(&text).ok()),
        database_built: None,
        doubts,
        covers_system,
        has_exploited: false,
        has_scores: false,
        digests: metadata
            .repo_digests
            .unwrap_or_default()
            .iter()
            .filter_map(|text| digest_of(text))
            .collect(),
        diff_ids: metadata
            .diff_ids
            .unwrap_or_default()
            .iter()
            .filter_map(|text| Digest::parse(text).ok())
            .collect(),
        found,
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Report {
    trivy: Option<Version>,
    #[serde(rename = "CreatedAt")]
    created: Option<String>,
    metadata: Option<Metadata>,
    results: Option<Vec<Result_>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    #[serde(rename = "OS")]
    os: Option<System>,
    #[serde(rename = "DiffIDs")]
    diff_ids: Option<Vec<String>>,
    #[serde(rename = "RepoDigests")]
    repo_digests: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct System {
    family: String,
    name: String,
    #[serde(rename = "EOSL")]
    eosl: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Result_ {
    #[serde(default)]
    class: String,
    vulnerabilities: Option<Vec<Vulnerability>>,
    #[serde(rename = "ExperimentalModifiedFindings")]
    modified: Option<Vec<serde::de::IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vulnerability {
    #[serde(rename = "VulnerabilityID")]
    id: String,
    #[serde(rename = "VendorIDs")]
    vendor_ids: Option<Vec<String>>,
    pkg_name: String,
    #[serde(default)]
    pkg_path: String,
    pkg_identifier: Option<Identifier>,
    #[serde(default)]
    installed_version: String,
    #[serde(default)]
    fixed_version: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    severity_source: String,
    #[serde(rename = "CVSS")]
    cvss: Option<std::collections::BTreeMap<String, Vectors>>,
    #[serde(default)]
    title: String,
    published_date: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Identifier {
    #[serde(rename = "PURL")]
    purl: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Vectors {
    #[serde(rename = "V40Vector")]
    v40: Option<String>,
    #[serde(rename = "V3Vector")]
    v3: Option<String>,
    #[serde(rename = "V2Vector")]
    v2: Option<String>,
}

impl Vulnerability {
    fn found(self) -> Found {
        // The vector of whom the severity is taken from, else anybody's; the newest version of CVSS first.
        let vectors = self.cvss.unwrap_or_default();
        let told = vectors.get(&self.severity_source).into_iter().chain(vectors.values());
        let vector = told
            .flat_map(|vectors| [&vectors.v40, &vectors.v3, &vectors.v2])
            .find_map(Clone::clone);
        let scored = vector.as_deref().map(Severity::of_vector).unwrap_or_default();
        // Several fixes are those of several branches: `1.2.3, 2.0.1`.
        let fixed = Some(self.fixed_version).filter(|fixed| !fixed.is_empty());
        Found {
            id: self.id,
            aliases: self.vendor_ids.unwrap_or_default(),
            name: self.pkg_name,
            version: self.installed_version,
            purl: self
                .pkg_identifier
                .and_then(|identifier| Purl::parse(&identifier.purl?).ok()),
            paths: Some(self.pkg_path)
                .filter(|path| !path.is_empty())
                .into_iter()
                .collect(),
            summary: self.title,
            severity: super::rated(&self.severity, scored),
            told_by: self.severity_source,
            fixed,
            exploited: None,
            ransomware: false,
            epss: None,
            published: self.published_date.and_then(|text| UnixTime::parse(&text).ok()),
        }
    }
}
