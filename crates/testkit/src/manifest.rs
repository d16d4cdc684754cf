//! `fixtures/manifest.json`: what other people's programs signed, and which verdict is right for it.
//!
//! Read strictly, field by field: a case that says something this reader does not know must not be half understood.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use proofmark_types::Digest;
use serde::Deserialize;
use serde_json::Value;

/// The folder of the fixtures in this repository.
#[must_use]
pub fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"))
}

/// A file of the fixtures, by the path that a case gives.
#[must_use]
pub fn fixture(path: &str) -> PathBuf {
    fixtures().join(path)
}

/// All cases, in the order of the file.
///
/// # Panics
///
/// If the file is missing or says something unknown.
#[must_use]
pub fn cases() -> Vec<Case> {
    #[derive(Deserialize)]
    struct File {
        cases: Vec<Case>,
    }
    let bytes = fs::read(fixture("manifest.json")).expect("fixtures/manifest.json");
    let file: File = serde_json::from_slice(&bytes).expect("cases of the known form");
    file.cases
}

/// One case.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name.
    pub id: String,
    /// How it was made, in words.
    pub made_by: String,
    /// The folder of the image layout; none for blobs.
    pub layout: Option<String>,
    /// Under which name the layout is served.
    pub repo: Option<String>,
    /// As which kind of registry it is served.
    pub shape: Option<Shape>,
    /// The image that is asked about; none where the tag names nothing.
    pub image_digest: Option<Digest>,
    /// The signed file, where the case is about a blob.
    pub artifact: Option<String>,
    /// Its bundle.
    pub bundle: Option<String>,
    /// What the verifier is asked.
    pub input: Input,
    /// The right answer.
    pub expected: Expected,
    /// Why, in words.
    pub reason: String,
    /// What cosign 3.1.1 answered.
    pub cosign_3_1_1: CosignRun,
    /// Why cosign 3.1.1 answers otherwise, where it does.
    pub differs_from_cosign: Option<String>,
    /// What other verifiers answered, on blobs.
    #[serde(default)]
    pub other_verifiers: BTreeMap<String, Value>,
    /// Where another strict reading can be defended.
    pub policy_note: Option<String>,
}

/// What the verifier is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which of cosign's verbs.
    pub mode: Mode,
    /// A tag, or a digest; none for blobs.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// The public key's path.
    pub key: Option<String>,
    /// The certificate's subject.
    pub identity: Option<String>,
    /// A pattern for it.
    pub identity_regexp: Option<String>,
    /// The certificate's OIDC issuer.
    pub issuer: Option<String>,
    /// A pattern for it.
    pub issuer_regexp: Option<String>,
    /// The path of the `trusted_root.json`.
    pub trusted_root: Option<String>,
    /// Whether a log entry must be there.
    pub require_tlog: bool,
    /// Whether a timestamp must be there.
    #[serde(default)]
    pub require_timestamp: bool,
    /// Whether the certificate must have an SCT.
    #[serde(default = "yes")]
    pub require_sct: bool,
    /// What the signature must say.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// cosign's short name of the predicate type, such as `spdxjson`.
    #[serde(rename = "type")]
    pub short_type: Option<String>,
    /// The predicate type's URI.
    pub predicate_type: Option<String>,
    /// Values of the certificate's GitHub extensions: `trigger`, `sha`, `name`, `repository`, `ref`.
    #[serde(default)]
    pub github: BTreeMap<String, String>,
}

fn yes() -> bool {
    true
}

/// cosign's verbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is the verb that it is called by")]
pub enum Mode {
    Verify,
    VerifyAttestation,
    VerifyBlob,
    VerifyBlobAttestation,
}

/// As which kind of registry a layout is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The referrers endpoint answers from the manifests' subjects.
    ReferrersApi,
    /// The referrers endpoint answers 404; a tag `sha256-<hex>` may list them.
    FallbackTag,
}

/// The right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// Verified.
    Accept,
    /// Anything else.
    Reject,
}

/// What cosign answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosignRun {
    /// Its exit code.
    pub exit: i32,
    /// What that means.
    pub verdict: Expected,
    /// What it said.
    pub error: String,
    /// Whether that is the right answer.
    pub agrees: bool,
    /// How it was called.
    pub args: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_read_and_its_files_are_here() {
        let cases = cases();
        assert_eq!(cases.len(), 215);
        assert_eq!(
            cases.iter().filter(|case| case.expected == Expected::Accept).count(),
            108
        );
        for case in cases {
            let input = &case.input;
            let paths = [
                &case.layout,
                &case.artifact,
                &case.bundle,
                &input.key,
                &input.trusted_root,
            ];
            for path in paths.into_iter().flatten() {
                assert!(fixture(path).exists(), "{}: {path}", case.id);
            }
            let of_image = case.repo.is_some() && case.shape.is_some() && input.reference.is_some();
            assert_eq!(case.layout.is_some(), of_image, "{}", case.id);
            assert_eq!(case.artifact.is_some(), case.bundle.is_some(), "{}", case.id);
            let of_key = input.key.is_some();
            assert_ne!(
                of_key,
                input.identity.is_some() || input.identity_regexp.is_some(),
                "{}",
                case.id
            );
            assert_eq!(
                case.cosign_3_1_1.agrees,
                case.differs_from_cosign.is_none(),
                "{}",
                case.id
            );
        }
    }
}
