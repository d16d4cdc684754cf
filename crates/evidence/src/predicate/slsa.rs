//! SLSA provenance v1 (slsa.dev/spec/v1.1/provenance).

use std::collections::BTreeMap;

use proofmark_types::UnixTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The predicate: what was built, from what, by whom.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Provenance {
    /// The inputs of the build.
    pub build_definition: BuildDefinition,
    /// This run of it.
    pub run_details: RunDetails,
}

/// The inputs of the build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildDefinition {
    /// How to read the parameters below.
    pub build_type: String,
    /// What an outsider controls.
    #[serde(default)]
    pub external_parameters: Map<String, Value>,
    /// What only the builder controls.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub internal_parameters: Map<String, Value>,
    /// What was fetched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved_dependencies: Vec<ResourceDescriptor>,
}

/// This run of the build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunDetails {
    /// Who built.
    pub builder: Builder,
    /// Which run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BuildMetadata>,
    /// Other outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub byproducts: Vec<ResourceDescriptor>,
}

/// Who built: the transitive closure of what must be trusted for the build to be what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Builder {
    /// A URI.
    pub id: String,
    /// Versions of the builder's parts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub version: BTreeMap<String, String>,
    /// What the builder itself depends on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub builder_dependencies: Vec<ResourceDescriptor>,
}

/// Which run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildMetadata {
    /// A URL or identifier of the run, unique for the builder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invocation_id: Option<String>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_on: Option<UnixTime>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_on: Option<UnixTime>,
}

/// An artifact (in-toto/attestation, spec/v1/resource_descriptor.md).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceDescriptor {
    /// Its name among its siblings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Digests by algorithm, such as `gitCommit`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub digest: BTreeMap<String, String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// Anything else about it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Value>,
}

impl Provenance {
    /// Reads the predicate of a statement; unknown fields are ignored, as the specification asks.
    pub fn from_predicate(predicate: &Value) -> Result<Self, serde_json::Error> {
        Self::deserialize(predicate)
    }

    /// The predicate of a statement.
    #[must_use]
    pub fn to_predicate(&self) -> Value {
        serde_json::to_value(self).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_and_writes_the_predicate() {
        let value = json!({
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {"workflow": {"ref": "refs/heads/main", "repository": "https://github.com/a/b", "path": ".github/workflows/r.yml"}},
                "resolvedDependencies": [{"uri": "git+https://github.com/a/b@refs/heads/main", "digest": {"gitCommit": "aa"}}]
            },
            "runDetails": {"builder": {"id": "https://github.com/a/b/.github/workflows/r.yml@refs/heads/main"},
                "metadata": {"invocationId": "https://github.com/a/b/actions/runs/1/attempts/1", "startedOn": "2026-11-20T22:15:32Z"}}
        });
        let provenance = Provenance::from_predicate(&value).unwrap();
        assert_eq!(provenance.to_predicate(), value);
        assert!(Provenance::from_predicate(&json!({"buildDefinition": {}})).is_err());
        assert!(Provenance::from_predicate(&json!("text")).is_err());
    }
}
