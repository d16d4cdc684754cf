use super::*;
use crate::PolicySet;
use crate::read::tests::PEM;

fn convert(text: &str) -> Result<Value, PolicyError> {
    let imported = import_policies("values.yaml", text.as_bytes())?.expect("one of the four");
    let document = imported[0].clone();
    // What is imported is read, and written as YAML it is the same.
    let yaml = crate::write_yaml(&document);
    PolicySet::load(&[("converted", yaml.as_bytes())])?;
    Ok(document)
}

/// What is replaced, by what, and what the error says.
fn twins(good: &str, rows: &[(&str, &str, &str)]) {
    convert(good).unwrap();
    for (from, to, reason) in rows {
        assert!(good.contains(from), "{from} is not in it");
        let error = convert(&good.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(reason), "{to}: {error}");
    }
}

fn pem(by: usize) -> String {
    PEM.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

/// As in Connaisseur's `charts/connaisseur/values.yaml`.
fn connaisseur() -> String {
    format!(
        r#"
kubernetes: {{deployment: {{replicasCount: 3}}}}
application:
  validators:
    - {{name: allow, type: static, approve: true}}
    - {{name: deny, type: static, approve: false}}
    - name: default
      type: cosign
      trustRoots:
        - name: default
          key: |
{pem}        - name: release
          keyless: {{issuer: https://token.actions.githubusercontent.com, subjectRegex: https://github\.com/acme/.*}}
  policy:
    - pattern: "*:*"
    - {{pattern: "docker.io/library/*:*", validator: deny}}
    - {{pattern: "docker.io/library/busybox:*", validator: allow}}
    - pattern: "ghcr.io/acme/*:*"
      with: {{trustRoot: "*", threshold: 1, required: [release], verifyInTransparencyLog: false, mode: insecureValidateOnly}}
"#,
        pem = pem(12)
    )
}

#[test]
fn connaisseur_and_what_cannot_be_kept() {
    let document = convert(&connaisseur()).unwrap();
    let rules = document.pointer("/spec/rules").and_then(Value::as_array).unwrap();
    let excluded = |position: usize| {
        rules[position]
            .pointer("/match/exclude")
            .and_then(Value::as_array)
            .map_or(0, Vec::len)
    };
    assert_eq!([excluded(0), excluded(1), excluded(2), excluded(3)], [3, 1, 0, 0]);
    assert_eq!(rules[3]["pin"], false);
    assert_eq!(rules[3]["demand"].as_array().unwrap().len(), 2);
    twins(
        &connaisseur(),
        &[
            ("type: cosign", "type: notaryv1", "Notary"),
            (
                "type: cosign",
                "type: cosign\n      host: rekor.example.com",
                "trust root of the server",
            ),
            ("validator: allow", "validator: other", "other is not defined"),
            ("required: [release]", "required: [nobody]", "nobody is not defined"),
            ("threshold: 1", "threshold: 9", "at most the number of signers"),
            ("trustRoot: \"*\"", "trustRoot: release", "trustRoot \"*\" beside"),
            ("issuer: https://token.actions.githubusercontent.com, ", "", "issuer"),
            ("mode: insecureValidateOnly", "delegations: [a]", "delegations"),
        ],
    );
}

/// As in the README of verify-image-signatures.
#[test]
fn kubewarden_and_what_cannot_be_kept() {
    let good = format!(
        r#"
apiVersion: policies.kubewarden.io/v1
kind: ClusterAdmissionPolicy
metadata: {{name: signed}}
spec:
  module: ghcr.io/kubewarden/policies/verify-image-signatures:v0.3.0
  mode: monitor
  settings:
    modifyImagesWithDigest: true
    signatures:
      - image: ghcr.io/acme/*
        pubKeys:
          - |
{pem}        annotations: {{env: prod}}
      - image: "*"
        keylessPrefix: [{{issuer: https://token.actions.githubusercontent.com, urlPrefix: https://github.com/acme}}]
        githubActions: [{{owner: acme, repo: app}}]
"#,
        pem = pem(12)
    );
    let document = convert(&good).unwrap();
    let rule = &document["spec"]["rules"][1];
    assert_eq!(rule["mode"], "audit");
    let signatures = &rule["demand"][0]["signatures"];
    assert_eq!(signatures["count"], 2, "everybody who is listed");
    assert_eq!(
        signatures["signers"][0]["keyless"]["subjectRegExp"],
        "https://github\\.com/acme/.*"
    );
    twins(
        &good,
        &[
            (
                "verify-image-signatures:v0.3.0",
                "trusted-repos:v0.1.0",
                "verify-image-signatures",
            ),
            (
                "annotations: {env: prod}",
                "certificates: [a]",
                "certificates of one's own",
            ),
            ("  mode: monitor", "  mode: maybe", "protect or monitor"),
            (
                "  mode: monitor",
                "  namespaceSelector: {}",
                "webhook's own configuration",
            ),
            (
                "        githubActions: [{owner: acme, repo: app}]",
                "        other: 1",
                "other",
            ),
        ],
    );
}

/// As in Ratify's `test/bats/tests/config/executor_cosign_keyless.yaml`, with an identity.
#[test]
fn ratify_and_what_cannot_be_kept() {
    let good = r#"
apiVersion: config.ratify.sh/v2alpha1
kind: Executor
metadata: {name: executor-1}
spec:
  scopes: [registry.example.com, ghcr.io/acme/app]
  stores: [{type: registry-store, parameters: {credential: {provider: static}}}]
  verifiers:
    - name: cosign
      type: cosign
      parameters:
        trustPolicies:
          - scopes: [registry.example.com]
            certificateIdentity: release@acme.example
            certificateIdentityRegex: ""
            certificateOIDCIssuerRegex: https://accounts\.example\.com
            ignoreCTLog: true
  policyEnforcer:
    type: threshold-policy
    parameters: {policy: {threshold: 1, rules: [{verifierName: cosign}]}}
"#;
    let document = convert(good).unwrap();
    assert_eq!(
        document["spec"]["rules"][0]["match"]["images"],
        json!(["registry.example.com/**", "ghcr.io/acme/app"])
    );
    twins(
        good,
        &[
            ("type: cosign", "type: notation", "Notation"),
            (
                "certificateIdentity: release@acme.example",
                "certificateIdentity: \"\"",
                "subject or subjectRegExp is missing",
            ),
            (
                "certificateIdentityRegex: \"\"",
                "trustRoot: a",
                "trust root of the server",
            ),
            (
                "verifierName: cosign",
                "verifierName: other",
                "a verifier that there is",
            ),
            ("type: threshold-policy", "type: other", "threshold-policy"),
            (
                "threshold: 1, rules: [{verifierName: cosign}]",
                "threshold: 2, rules: [{verifierName: cosign}, {verifierName: cosign}, {verifierName: cosign}]",
                "some of several",
            ),
            (
                "[registry.example.com, ",
                "[\"registry.example.com/a:1\", ",
                "a registry or a repository",
            ),
        ],
    );
}

/// As in Portieris' `POLICIES.md`.
#[test]
fn portieris_and_what_cannot_be_kept() {
    let good = r#"
apiVersion: portieris.cloud.ibm.com/v1
kind: ImagePolicy
metadata: {name: allow-custom, namespace: team-a}
spec:
  repositories:
    - name: "icr.io/*"
      policy:
    - name: "icr.io/bad/*"
      policy: {simple: {requirements: [{type: reject}]}, trust: {enabled: false}, mutateImage: true}
"#;
    let document = convert(good).unwrap();
    let rules = &document["spec"]["rules"];
    assert_eq!(
        (&rules[0]["demand"][0]["static"], &rules[1]["demand"][0]["static"]),
        (&json!("pass"), &json!("fail"))
    );
    assert_eq!(rules[0]["match"]["within"], "team-a");
    twins(
        good,
        &[
            (
                "trust: {enabled: false}",
                "trust: {enabled: true, trustServer: https://x}",
                "Notary",
            ),
            ("type: reject", "type: signedBy", "GPG"),
            (
                "trust: {enabled: false}",
                "vulnerability: {ICCRVA: {enabled: true}}",
                "attestation",
            ),
            ("kind: ImagePolicy", "kind: Other", "ImagePolicy or ClusterImagePolicy"),
        ],
    );
}

#[test]
fn other_files_are_of_nobody() {
    assert_eq!(
        import_policies("p", b"apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\n").unwrap(),
        None
    );
    let mixed = format!("{}---\napiVersion: v1\nkind: Pod\n", connaisseur());
    assert_eq!(
        import_policies("p", mixed.as_bytes()).unwrap_err().code(),
        "policy-kind-unknown"
    );
}
