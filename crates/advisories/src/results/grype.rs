//! Grype's JSON (`grype -o json`), as of 0.116.

use proofmark_types::{Digest, Purl, UnixTime};
use serde::Deserialize;
use serde_json::Value;

use super::{Found, Results, ResultsError, digest_of, suppressed};
use crate::feeds::Epss;
use crate::severity::Severity;

pub(super) fn read(bytes: &[u8]) -> Result<Results, ResultsError> {
    let report: Report = serde_json::from_slice(bytes).map_err(|source| ResultsError::Malformed { source })?;
    let mut doubts: Vec<_> = suppressed(report.ignored.as_ref().map_or(0, Vec::len))
        .into_iter()
        .collect();
    let set = |name: &str| match report.descriptor.configuration.get(name) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        Some(_) => true,
    };
    let filters: Vec<&str> = ["only-fixed", "only-notfixed", "ignore-wontfix", "exclude"]
        .into_iter()
        .filter(|name| set(name))
        .collect();
    if !filters.is_empty() {
        doubts.push((
            "results-filtered",
            format!("it was told to leave findings out: {}", filters.join(", ")),
        ));
    }
    let target = report.source.unwrap_or_default().target;
    let texts = |pointer: &str| {
        let list = target.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let manifest = target.get("manifestDigest").and_then(Value::as_str).and_then(digest_of);
    let named = texts("/repoDigests");
    let layers = target.get("layers").and_then(Value::as_array).into_iter().flatten();
    let diff_ids = layers.filter_map(|layer| Digest::parse(layer.get("digest")?.as_str()?).ok());
    // Grype says of each vulnerability whether it is known to be exploited since its sixth database.
    let knows = report.matches.is_empty() || report.matches.iter().any(Match::knows_of_exploits);
    let built = ["/status/built", "/built"]
        .into_iter()
        .find_map(|pointer| report.descriptor.db.pointer(pointer)?.as_str());
    Ok(Results {
        scanner: match &report.descriptor.version {
            Some(version) => format!("Grype {version}"),
            None => "Grype".to_owned(),
        },
        made: report
            .descriptor
            .timestamp
            .as_deref()
            .and_then(|text| UnixTime::parse(text).ok()),
        database_built: built.and_then(|text| UnixTime::parse(text).ok()),
        doubts,
        covers_system: true,
        has_exploited: knows,
        has_scores: knows,
        digests: manifest
            .into_iter()
            .chain(named.iter().filter_map(|text| digest_of(text)))
            .collect(),
        diff_ids: diff_ids.collect(),
        found: report.matches.into_iter().map(Match::found).collect(),
    })
}

#[derive(Debug, Deserialize)]
struct Report {
    matches: Vec<Match>,
    #[serde(rename = "ignoredMatches")]
    ignored: Option<Vec<serde::de::IgnoredAny>>,
    source: Option<Source>,
    descriptor: Descriptor,
}

#[derive(Debug, Default, Deserialize)]
struct Source {
    #[serde(default)]
    target: Value,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    version: Option<String>,
    timestamp: Option<String>,
    #[serde(default)]
    configuration: Value,
    #[serde(default)]
    db: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    vulnerability: Vulnerability,
    #[serde(default)]
    related_vulnerabilities: Vec<Vulnerability>,
    artifact: Artifact,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vulnerability {
    id: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    severity: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    cvss: Vec<Cvss>,
    fix: Option<Fix>,
    known_exploited: Option<Vec<Exploited>>,
    epss: Option<Vec<Score>>,
    /// A field that came with those two: where it is, their absence says something.
    risk: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Cvss {
    vector: String,
}

#[derive(Debug, Deserialize)]
struct Fix {
    #[serde(default)]
    versions: Vec<String>,
    #[serde(default)]
    state: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Exploited {
    cve: String,
    #[serde(default)]
    date_added: String,
    #[serde(default)]
    due_date: String,
    #[serde(default)]
    known_ransomware_campaign_use: String,
}

#[derive(Debug, Deserialize)]
struct Score {
    epss: f64,
    percentile: f64,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    name: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    purl: String,
    #[serde(default)]
    locations: Vec<Location>,
}

#[derive(Debug, Deserialize)]
struct Location {
    path: String,
}

impl Match {
    fn knows_of_exploits(&self) -> bool {
        self.vulnerability.risk.is_some() || self.vulnerability.known_exploited.is_some()
    }

    fn found(self) -> Found {
        let own = &self.vulnerability;
        let all = || std::iter::once(own).chain(&self.related_vulnerabilities);
        let exploited = all().flat_map(|of| of.known_exploited.iter().flatten()).next().cloned();
        let scores = all().flat_map(|of| of.epss.iter().flatten()).filter_map(Score::read);
        // The newest version of CVSS first; a distribution's own record often has none.
        let vector = all()
            .flat_map(|of| &of.cvss)
            .map(|cvss| Severity::of_vector(&cvss.vector))
            .max_by_key(Severity::preference);
        let fixed = own.fix.as_ref().filter(|fix| fix.state == "fixed");
        Found {
            aliases: self.related_vulnerabilities.iter().map(|of| of.id.clone()).collect(),
            summary: own.description.lines().next().unwrap_or_default().to_owned(),
            severity: super::rated(&own.severity, vector.unwrap_or_default()),
            told_by: own.namespace.clone(),
            fixed: fixed.map(|fix| fix.versions.join(", ")).filter(|fix| !fix.is_empty()),
            epss: scores.max(),
            ransomware: exploited
                .as_ref()
                .is_some_and(|of| of.known_ransomware_campaign_use.eq_ignore_ascii_case("known")),
            exploited: exploited.map(|of| [of.cve, of.date_added, of.due_date]),
            id: own.id.clone(),
            purl: Purl::parse(&self.artifact.purl).ok(),
            paths: self.artifact.locations.into_iter().map(|at| at.path).collect(),
            name: self.artifact.name,
            version: self.artifact.version,
            published: None,
        }
    }
}

impl Score {
    fn read(&self) -> Option<Epss> {
        Epss::of_fractions(self.epss, self.percentile)
    }
}
