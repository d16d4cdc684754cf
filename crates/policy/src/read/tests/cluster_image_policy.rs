//! Reject twins of every field of a `ClusterImagePolicy`.

use super::*;

pub(super) const CLUSTER_IMAGE_POLICY: &str = r#"
apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: c}
spec:
  mode: enforce
  images: [{glob: "registry.example.com/**"}]
  authorities:
    - name: workflow
      signatureFormat: bundle
      ctlog: {url: https://rekor.sigstore.dev}
      rfc3161timestamp: {}
      keyless:
        url: https://fulcio.sigstore.dev
        insecureIgnoreSCT: true
        identities: [{issuer: a, subjectRegExp: b}]
      attestations: [{name: bill, predicateType: spdxjson}]
    - key:
        hashAlgorithm: sha256
        data: |
PEM
    - static: {action: fail, message: no}
"#;

const ROWS: &[Twin] = &[
    ("v1beta1", "v1", "policy-kind-unknown", ""),
    ("mode: enforce", "mode: audit", "policy-value-invalid", "spec.mode"),
    ("mode: enforce", "match: []", "policy-value-invalid", "spec.match"),
    (
        "mode: enforce",
        "match: [{resource: nodes}]",
        "policy-value-invalid",
        "spec.match[0].resource",
    ),
    (
        "mode: enforce",
        "match: [{resource: pods, selector: {}}]",
        "policy-value-invalid",
        "spec.match[0].selector",
    ),
    ("mode: enforce", "policy: {}", "policy-field-unsupported", "spec.policy"),
    ("mode: enforce", "modes: enforce", "policy-field-unknown", "spec"),
    (
        "{glob: \"registry.example.com/**\"}",
        "{globs: a}",
        "policy-field-unknown",
        "spec.images[0]",
    ),
    (
        "{glob: \"registry.example.com/**\"}",
        "{regex: a}",
        "policy-field-unsupported",
        "spec.images[0].regex",
    ),
    (
        "{glob: \"registry.example.com/**\"}",
        "{glob: \"a(b\"}",
        "policy-image-pattern-invalid",
        "spec.images[0].glob",
    ),
    (
        "[{glob: \"registry.example.com/**\"}]",
        "[]",
        "policy-value-invalid",
        "spec.images",
    ),
    (
        "signatureFormat: bundle",
        "signatureFormat: new",
        "policy-value-invalid",
        "spec.authorities[0].signatureFormat",
    ),
    (
        "signatureFormat: bundle",
        "source: []",
        "policy-value-invalid",
        "spec.authorities[0].source",
    ),
    (
        "signatureFormat: bundle",
        "source: [{oci: a, tagPrefix: b}]",
        "policy-field-unsupported",
        "spec.authorities[0].source[0].tagPrefix",
    ),
    (
        "{url: https://rekor.sigstore.dev}",
        "{trustRootRef: a}",
        "policy-field-unsupported",
        "spec.authorities[0].ctlog.trustRootRef",
    ),
    (
        "rfc3161timestamp: {}",
        "rfc3161timestamp: {url: a}",
        "policy-field-unknown",
        "spec.authorities[0].rfc3161timestamp",
    ),
    (
        "insecureIgnoreSCT: true",
        "trustRootRef: a",
        "policy-field-unsupported",
        "spec.authorities[0].keyless.trustRootRef",
    ),
    (
        "insecureIgnoreSCT: true",
        "ca-cert: {}",
        "policy-field-unsupported",
        "spec.authorities[0].keyless.ca-cert",
    ),
    (
        "        identities: [{issuer: a, subjectRegExp: b}]\n",
        "",
        "policy-keyless-without-identity",
        "spec.authorities[0].keyless",
    ),
    (
        "{issuer: a, subjectRegExp: b}",
        "{issuer: a}",
        "policy-keyless-without-identity",
        "spec.authorities[0].keyless.identities[0]",
    ),
    (
        "{issuer: a, subjectRegExp: b}",
        "{issuer: a, subjectRegExp: .*}",
        "policy-keyless-without-identity",
        "spec.authorities[0].keyless.identities[0].subjectRegExp",
    ),
    (
        "{issuer: a, subjectRegExp: b}",
        "{issuer: a, subjectRegexp: b}",
        "policy-field-unknown",
        "spec.authorities[0].keyless.identities[0]",
    ),
    (
        "{issuer: a, subjectRegExp: b}",
        "{issuer: a, subjectRegExp: \"[\"}",
        "policy-identity-pattern-invalid",
        "spec.authorities[0].keyless.identities[0].subjectRegExp",
    ),
    (
        "predicateType: spdxjson",
        "predicateType: cow",
        "policy-value-invalid",
        "spec.authorities[0].attestations[0].predicateType",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: cue}}",
        "policy-field-missing",
        "spec.authorities[0].attestations[0].policy.data",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: cel, data: a}}",
        "policy-value-invalid",
        "spec.authorities[0].attestations[0].policy.type",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: cue, data: \"#A: 1\"}}",
        "policy-condition-invalid",
        "spec.authorities[0].attestations[0].policy.data",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: rego, data: \"package other\"}}",
        "policy-condition-invalid",
        "spec.authorities[0].attestations[0].policy.data",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: cue, remote: {url: a}}}",
        "policy-field-unsupported",
        "spec.authorities[0].attestations[0].policy.remote",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: cue, configMapRef: {name: a}}}",
        "policy-field-unsupported",
        "spec.authorities[0].attestations[0].policy.configMapRef",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{name: b, predicateType: vuln, policy: {type: cue, fetchConfigFile: true, data: a}}",
        "policy-field-unsupported",
        "spec.authorities[0].attestations[0].policy.fetchConfigFile",
    ),
    (
        "{name: bill, predicateType: spdxjson}",
        "{predicateType: vuln}",
        "policy-field-missing",
        "spec.authorities[0].attestations[0].name",
    ),
    (
        "hashAlgorithm: sha256",
        "hashAlgorithm: sha1",
        "policy-value-invalid",
        "spec.authorities[1].key.hashAlgorithm",
    ),
    (
        "hashAlgorithm: sha256",
        "secretRef: {name: a, namespace: b}",
        "policy-value-invalid",
        "spec.authorities[1].key",
    ),
    (
        "hashAlgorithm: sha256",
        "kms: hashivault://a",
        "policy-value-invalid",
        "spec.authorities[1].key",
    ),
    (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
        "MFkw",
        "policy-key-invalid",
        "spec.authorities[1].key.data",
    ),
    (
        "    - key:\n",
        "    - static: {action: pass}\n      key:\n",
        "policy-value-invalid",
        "spec.authorities[1]",
    ),
    (
        "{action: fail, message: no}",
        "{action: deny}",
        "policy-value-invalid",
        "spec.authorities[2].static.action",
    ),
    (
        "{action: fail, message: no}",
        "{}",
        "policy-field-missing",
        "spec.authorities[2].static.action",
    ),
    (
        "    - static: {action: fail, message: no}",
        "    - name: nothing",
        "policy-value-invalid",
        "spec.authorities[2]",
    ),
];

#[test]
fn cluster_image_policy_fields() {
    twins(&CLUSTER_IMAGE_POLICY.replace("PEM\n", &pem(10)), ROWS);
}

/// The ConfigMap of policy-controller: what happens to images that no policy is about.
#[test]
fn controller_config() {
    const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config-policy-controller, namespace: cosign-system}\ndata: {no-match-policy: warn, fail-on-empty-authorities: \"false\", enable-oci11: \"true\"}\n";
    twins(
        CONFIG,
        &[
            (
                "no-match-policy: warn",
                "no-match-policy: ignore",
                "policy-value-invalid",
                "data.no-match-policy",
            ),
            (
                "no-match-policy: warn",
                "no-match: warn",
                "policy-field-unknown",
                "data",
            ),
            ("\"true\"", "\"yes\"", "policy-value-invalid", "data.enable-oci11"),
            (
                "name: config-policy-controller",
                "name: other",
                "policy-kind-unknown",
                "",
            ),
        ],
    );
    let set = load(CONFIG).unwrap();
    assert_eq!(set.no_match(), crate::NoMatch::Warn);
    // The files decide, and no flag widens them.
    assert_eq!(
        set.with_no_match(crate::NoMatch::Allow).no_match(),
        crate::NoMatch::Warn
    );
    let deny = load(&CONFIG.replace("no-match-policy: warn, ", "")).unwrap();
    assert_eq!(
        deny.with_no_match(crate::NoMatch::Allow).no_match(),
        crate::NoMatch::Deny
    );
    assert_eq!(
        load(CONFIG).unwrap().convert().unwrap_err().code(),
        "policy-not-convertible"
    );
}
