//! Reject twins of every field of an `ImagePolicy`.

use super::*;

pub(super) const NATIVE: &str = r#"
apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata: {name: all-fields}
spec:
  match:
    images: ["registry.example.com/**"]
    exclude: ["registry.example.com/mirror/**"]
    namespaces: ["prod-*"]
    excludeNamespaces: [kube-system]
    kinds: [Pod]
  mode: warn
  onUnreachable: allow-held
  registries: ["registry.example.com/team/**"]
  requireDigest: true
  pin: false
  signatures:
    count: 1
    requireLog: false
    requireTimestamp: true
    requireSct: false
    annotations: {env: prod}
    signers:
      - name: workflow
        keyless:
          subjectRegExp: https://github\.com/org/.*
          issuer: https://token.actions.githubusercontent.com
          subjectKind: uri
          github: {trigger: push, sha: abc, name: release, repository: org/app, ref: refs/heads/main}
      - key: |
PEM
  attestations:
    - name: bill
      type: spdxjson
      count: 1
      requireLog: true
      requireTimestamp: false
      requireSct: true
      condition: predicate.packages.size() > 0
      every: true
      signers:
        - keyless: {subject: a, issuerRegExp: b}
"#;

pub(super) fn native() -> String {
    NATIVE.replace("PEM\n", &pem(10))
}

const ROWS: &[Twin] = &[
    ("v1alpha1", "v1", "policy-kind-unknown", ""),
    ("kind: ImagePolicy", "kind: ImagePolicies", "policy-kind-unknown", ""),
    (
        "{name: all-fields}",
        "{name: \"\"}",
        "policy-value-invalid",
        "metadata.name",
    ),
    ("{name: all-fields}", "{}", "policy-field-missing", "metadata.name"),
    (
        "{name: all-fields}",
        "{name: a, nam: b}",
        "policy-field-unknown",
        "metadata",
    ),
    ("  match:", "  mach:", "policy-field-unknown", "spec"),
    ("    images:", "    image:", "policy-field-unknown", "spec.match"),
    (
        "[\"registry.example.com/**\"]",
        "[]",
        "policy-value-invalid",
        "spec.match.images",
    ),
    (
        "[\"registry.example.com/**\"]",
        "[nginx]",
        "policy-image-pattern-invalid",
        "spec.match.images[0]",
    ),
    (
        "[\"registry.example.com/**\"]",
        "[7]",
        "policy-value-invalid",
        "spec.match.images[0]",
    ),
    (
        "[\"registry.example.com/mirror/**\"]",
        "[\"(\"]",
        "policy-image-pattern-invalid",
        "spec.match.exclude[0]",
    ),
    ("[\"prod-*\"]", "prod", "policy-value-invalid", "spec.match.namespaces"),
    (
        "[kube-system]",
        "[true]",
        "policy-value-invalid",
        "spec.match.excludeNamespaces[0]",
    ),
    ("[Pod]", "Pod", "policy-value-invalid", "spec.match.kinds"),
    ("mode: warn", "mode: Enforce", "policy-value-invalid", "spec.mode"),
    ("allow-held", "allow", "policy-value-invalid", "spec.onUnreachable"),
    (
        "[\"registry.example.com/team/**\"]",
        "[team]",
        "policy-image-pattern-invalid",
        "spec.registries[0]",
    ),
    (
        "requireDigest: true",
        "requireDigest: \"true\"",
        "policy-value-invalid",
        "spec.requireDigest",
    ),
    (
        "requireDigest: true",
        "requireDigest: yes",
        "policy-value-invalid",
        "spec.requireDigest",
    ),
    ("pin: false", "pin: 0", "policy-value-invalid", "spec.pin"),
    (
        "    count: 1\n",
        "    count: 3\n",
        "policy-value-invalid",
        "spec.signatures.count",
    ),
    (
        "    count: 1\n",
        "    count: 0\n",
        "policy-value-invalid",
        "spec.signatures.count",
    ),
    (
        "requireLog: false",
        "requireLog: 0",
        "policy-value-invalid",
        "spec.signatures.requireLog",
    ),
    (
        "requireTimestamp: true",
        "requireTimestamp: 1",
        "policy-value-invalid",
        "spec.signatures.requireTimestamp",
    ),
    (
        "requireSct: false",
        "requireSCT: false",
        "policy-field-unknown",
        "spec.signatures",
    ),
    (
        "{env: prod}",
        "{env: 1}",
        "policy-value-invalid",
        "spec.signatures.annotations.env",
    ),
    (
        "        keyless:\n",
        "        keyles:\n",
        "policy-field-unknown",
        "spec.signatures.signers[0]",
    ),
    (
        "subjectRegExp: https",
        "subjectRegexp: https",
        "policy-field-unknown",
        "spec.signatures.signers[0].keyless",
    ),
    (
        "subjectRegExp: https://github\\.com/org/.*",
        "subjectRegExp: \"(\"",
        "policy-identity-pattern-invalid",
        "spec.signatures.signers[0].keyless.subjectRegExp",
    ),
    (
        "subjectRegExp: https://github\\.com/org/.*",
        "subjectRegExp: .*",
        "policy-keyless-without-identity",
        "spec.signatures.signers[0].keyless.subjectRegExp",
    ),
    (
        "          subjectRegExp: https://github\\.com/org/.*\n",
        "",
        "policy-keyless-without-identity",
        "spec.signatures.signers[0].keyless",
    ),
    (
        "          issuer: https://token.actions.githubusercontent.com\n",
        "",
        "policy-keyless-without-identity",
        "spec.signatures.signers[0].keyless",
    ),
    (
        "          issuer: https://token.actions.githubusercontent.com\n",
        "          issuer: a\n          issuerRegExp: b\n",
        "policy-field-unsupported",
        "spec.signatures.signers[0].keyless.issuerRegExp",
    ),
    (
        "subjectKind: uri",
        "subjectKind: url",
        "policy-value-invalid",
        "spec.signatures.signers[0].keyless.subjectKind",
    ),
    (
        "trigger: push",
        "triger: push",
        "policy-field-unknown",
        "spec.signatures.signers[0].keyless.github",
    ),
    (
        "sha: abc",
        "sha: 7",
        "policy-value-invalid",
        "spec.signatures.signers[0].keyless.github.sha",
    ),
    (
        "repository: org/app",
        "repository: \"\"",
        "policy-value-invalid",
        "spec.signatures.signers[0].keyless.github.repository",
    ),
    (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAA",
        "policy-key-invalid",
        "spec.signatures.signers[1].key",
    ),
    (
        "      - key: |\n",
        "      - keyless: {subject: a, issuer: b}\n        key: |\n",
        "policy-value-invalid",
        "spec.signatures.signers[1]",
    ),
    (
        "type: spdxjson",
        "type: nonsense",
        "policy-value-invalid",
        "spec.attestations[0].type",
    ),
    (
        "type: spdxjson",
        "type: https://sigstore.dev/cosign/sign/v1",
        "policy-value-invalid",
        "spec.attestations[0].type",
    ),
    (
        "      type: spdxjson\n",
        "",
        "policy-field-missing",
        "spec.attestations[0].type",
    ),
    (
        "predicate.packages",
        "predicat.packages",
        "policy-condition-invalid",
        "spec.attestations[0].condition",
    ),
    (
        "predicate.packages.size() > 0",
        "predicate.(",
        "policy-condition-invalid",
        "spec.attestations[0].condition",
    ),
    (
        "      condition: predicate.packages.size() > 0\n",
        "",
        "policy-field-unsupported",
        "spec.attestations[0].every",
    ),
    (
        "      count: 1\n",
        "      count: 2\n",
        "policy-value-invalid",
        "spec.attestations[0].count",
    ),
    (
        "{subject: a, issuerRegExp: b}",
        "{subject: a}",
        "policy-keyless-without-identity",
        "spec.attestations[0].signers[0].keyless",
    ),
    (
        "{subject: a, issuerRegExp: b}",
        "{subject: a, issuerRegExp: .+}",
        "policy-keyless-without-identity",
        "spec.attestations[0].signers[0].keyless.issuerRegExp",
    ),
];

#[test]
fn image_policy_fields() {
    twins(&native(), ROWS);
}

#[test]
fn the_unknown_field_is_told_with_the_one_that_was_meant() {
    let error = load(&native().replace("subjectRegExp:", "subjectRegexp:")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "p.yaml (all-fields): spec.signatures.signers[0].keyless: unknown field \"subjectRegexp\"; did you mean \"subjectRegExp\"?"
    );
}

#[test]
fn a_policy_that_demands_nothing_is_refused() {
    let text = "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: a}\nspec: {match: {images: [\"**\"]}}\n";
    assert_eq!(load(text).unwrap_err().code(), "policy-demands-nothing");
    let off = text.replace("[\"**\"]}", "[\"**\"]}, requireDigest: false");
    assert_eq!(load(&off).unwrap_err().code(), "policy-demands-nothing");
}

#[test]
fn an_attestation_needs_a_signer_of_its_own_or_of_the_signatures() {
    let text = "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: a}\nspec: {match: {images: [\"**\"]}, attestations: [{type: vuln}]}\n";
    assert_eq!(load(text).unwrap_err().code(), "policy-field-missing");
}

#[test]
fn a_signer_stands_once_in_a_list() {
    let text = "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: a}\nspec: {match: {images: [\"**\"]}, signatures: {count: 2, signers: [{keyless: {subject: a, issuer: b}}, {keyless: {subject: a, issuer: b}}]}}\n";
    assert_eq!(load(text).unwrap_err().code(), "policy-value-invalid");
}
