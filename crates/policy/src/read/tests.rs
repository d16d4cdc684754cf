//! Reject twins of every field, and of files as a whole.

use proptest::prelude::*;

use crate::{PolicyError, PolicySet};

const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEug7T1XYg/XWI+qgvSH1tqB3tUoqv\nW4L4vhbY+f/SCFEBatr/02pih4se0k5Tyt7lO7pKz4cc97qgB9E44J1RnQ==\n-----END PUBLIC KEY-----\n";

fn load(text: &str) -> Result<PolicySet, PolicyError> {
    PolicySet::load(&[("p.yaml", text.as_bytes())])
}

fn pem(by: usize) -> String {
    let pad = " ".repeat(by);
    PEM.lines().map(|line| format!("{pad}{line}\n")).collect()
}

const NATIVE: &str = r#"
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

fn native() -> String {
    NATIVE.replace("PEM\n", &pem(10))
}

/// What is replaced, by what, the code of the error, and the path that it names.
type Twin = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn twins(good: &str, rows: &[Twin]) {
    if let Err(error) = load(good) {
        panic!("{error}\n{good}");
    }
    for (from, to, code, path) in rows {
        assert!(good.contains(from), "{from} is not in the policy");
        let bad = good.replacen(from, to, 1);
        match load(&bad) {
            Ok(_) => panic!("accepted {to:?} for {from:?}"),
            Err(error) => {
                assert_eq!(error.code(), *code, "{to:?}: {error}");
                assert_eq!(error.place().path, *path, "{to:?}: {error}");
                assert!(error.to_string().starts_with("p.yaml"), "{error}");
            }
        }
    }
}

#[test]
fn image_policy_fields() {
    twins(
        &native(),
        &[
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
        ],
    );
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

const KYVERNO: &str = r#"
apiVersion: kyverno.io/v1
kind: ClusterPolicy
metadata: {name: k}
spec:
  validationFailureAction: Enforce
  emitWarning: false
  failurePolicy: Fail
  background: true
  admission: true
  webhookTimeoutSeconds: 30
  webhookConfiguration: {failurePolicy: Ignore, timeoutSeconds: 10}
  applyRules: All
  rules:
    - name: images
      match:
        any:
          - resources: {kinds: [Pod, apps/v1/Deployment], namespaces: [prod], names: [a], operations: [CREATE]}
      exclude:
        all:
          - resources: {namespaces: [kube-system]}
      verifyImages:
        - imageReferences: ["registry.example.com/*"]
          skipImageReferences: ["registry.example.com/base/*"]
          type: Cosign
          mutateDigest: true
          verifyDigest: false
          required: true
          useCache: true
          failureAction: Audit
          attestors:
            - count: 1
              entries:
                - annotations: {env: prod}
                  signatureAlgorithm: sha256
                  keys:
                    rekor: {url: https://rekor.sigstore.dev, ignoreTlog: true}
                    ctlog: {ignoreSCT: true}
                    publicKeys: |
PEM
                - keyless:
                    subjectRegExp: https://github\.com/.*
                    issuer: https://token.*
                    additionalExtensions: {githubWorkflowRef: refs/heads/*}
          attestations:
            - name: bill
              type: https://cyclonedx.org/bom
              attestors: [{entries: [{keyless: {subject: "a*", issuerRegExp: b}}]}]
              conditions:
                - any: [{key: "{{ a }}", operator: Equals, value: 1, message: m}]
    - name: registry
      match: {resources: {kinds: [Pod]}}
      validate:
        message: no
        failureAction: Enforce
        pattern:
          spec:
            =(initContainers): [{image: "a.io/* | b.io/*"}]
            containers: [{name: "*", image: "a.io/* | b.io/*"}]
"#;

#[test]
fn kyverno_fields() {
    twins(
        &KYVERNO.replace("PEM\n", &pem(22)),
        &[
            ("kyverno.io/v1", "kyverno.io/v2", "policy-kind-unknown", ""),
            ("ClusterPolicy", "Policy", "policy-kind-unknown", ""),
            (
                "validationFailureAction: Enforce",
                "validationFailureAction: Deny",
                "policy-value-invalid",
                "spec.validationFailureAction",
            ),
            (
                "validationFailureAction: Enforce",
                "validationFailureActionOverrides: []",
                "policy-field-unsupported",
                "spec.validationFailureActionOverrides",
            ),
            (
                "emitWarning: false",
                "emitWarnings: false",
                "policy-field-unknown",
                "spec",
            ),
            (
                "failurePolicy: Fail",
                "failurePolicy: fail",
                "policy-value-invalid",
                "spec.failurePolicy",
            ),
            (
                "failurePolicy: Ignore",
                "failurePolicy: Maybe",
                "policy-value-invalid",
                "spec.webhookConfiguration.failurePolicy",
            ),
            (
                "timeoutSeconds: 10}",
                "matchConditions: []}",
                "policy-field-unsupported",
                "spec.webhookConfiguration.matchConditions",
            ),
            (
                "admission: true",
                "admission: false",
                "policy-field-unsupported",
                "spec.admission",
            ),
            (
                "applyRules: All",
                "applyRules: One",
                "policy-field-unsupported",
                "spec.applyRules",
            ),
            (
                "webhookTimeoutSeconds: 30",
                "webhookTimeoutSeconds: 30s",
                "policy-value-invalid",
                "spec.webhookTimeoutSeconds",
            ),
            (
                "    - name: images\n",
                "    - names: images\n",
                "policy-field-unknown",
                "spec.rules[0]",
            ),
            (
                "    - name: images\n",
                "    - name: images\n      preconditions: {}\n",
                "policy-field-unsupported",
                "spec.rules[0].preconditions",
            ),
            (
                "    - name: images\n",
                "    - name: images\n      context: []\n",
                "policy-field-unsupported",
                "spec.rules[0].context",
            ),
            (
                "    - name: images\n",
                "    - name: images\n      validate: {}\n",
                "policy-demands-nothing",
                "spec.rules[0]",
            ),
            (
                "        any:\n",
                "        anyof:\n",
                "policy-field-unknown",
                "spec.rules[0].match",
            ),
            (
                "        any:\n",
                "        subjects: []\n        any:\n",
                "policy-field-unsupported",
                "spec.rules[0].match.subjects",
            ),
            (
                "        any:\n",
                "        resources: {kinds: [Pod]}\n        any:\n",
                "policy-value-invalid",
                "spec.rules[0].match",
            ),
            (
                "namespaces: [prod]",
                "selector: {}",
                "policy-field-unsupported",
                "spec.rules[0].match.any[0].resources.selector",
            ),
            (
                "namespaces: [prod]",
                "namespaceSelector: {}",
                "policy-field-unsupported",
                "spec.rules[0].match.any[0].resources.namespaceSelector",
            ),
            (
                "operations: [CREATE]",
                "operations: [create]",
                "policy-value-invalid",
                "spec.rules[0].match.any[0].resources.operations[0]",
            ),
            (
                "{namespaces: [kube-system]}",
                "{}",
                "policy-value-invalid",
                "spec.rules[0].exclude.all[0].resources",
            ),
            (
                "imageReferences: [\"registry",
                "imageReference: [\"registry",
                "policy-field-unknown",
                "spec.rules[0].verifyImages[0]",
            ),
            (
                "[\"registry.example.com/*\"]",
                "[\"{{ x }}\"]",
                "policy-image-pattern-invalid",
                "spec.rules[0].verifyImages[0].imageReferences[0]",
            ),
            (
                "[\"registry.example.com/base/*\"]",
                "[\"a/\"]",
                "policy-image-pattern-invalid",
                "spec.rules[0].verifyImages[0].skipImageReferences[0]",
            ),
            (
                "type: Cosign",
                "type: Notary",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].type",
            ),
            (
                "type: Cosign",
                "type: cosign",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].type",
            ),
            (
                "mutateDigest: true",
                "mutateDigest: \"true\"",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].mutateDigest",
            ),
            (
                "verifyDigest: false",
                "verifyDigest: off",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].verifyDigest",
            ),
            (
                "required: true",
                "required: 1",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].required",
            ),
            (
                "useCache: true",
                "repository: a",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].repository",
            ),
            (
                "useCache: true",
                "key: a",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].key",
            ),
            (
                "useCache: true",
                "imageRegistryCredentials: {}",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].imageRegistryCredentials",
            ),
            (
                "failureAction: Audit",
                "failureAction: None",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].failureAction",
            ),
            (
                "            - count: 1\n",
                "            - count: 3\n",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].attestors[0].count",
            ),
            (
                "              entries:\n",
                "              entrys:\n",
                "policy-field-unknown",
                "spec.rules[0].verifyImages[0].attestors[0]",
            ),
            (
                "signatureAlgorithm: sha256",
                "signatureAlgorithm: md5",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].signatureAlgorithm",
            ),
            (
                "signatureAlgorithm: sha256",
                "repository: x",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].repository",
            ),
            (
                "{env: prod}",
                "[env]",
                "policy-value-invalid",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].annotations",
            ),
            (
                "ignoreTlog: true",
                "ignoreTLog: true",
                "policy-field-unknown",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys.rekor",
            ),
            (
                "ignoreTlog: true",
                "pubkey: a",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys.rekor.pubkey",
            ),
            (
                "{ignoreSCT: true}",
                "{tsaCertChain: a}",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys.ctlog.tsaCertChain",
            ),
            (
                "                    publicKeys: |\n",
                "                    kms: a\n                    publicKeys: |\n",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys.kms",
            ),
            (
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
                "MFkw",
                "policy-key-invalid",
                "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys.publicKeys",
            ),
            (
                "subjectRegExp: https",
                "subjectRegex: https",
                "policy-field-unknown",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].keyless",
            ),
            (
                "                    issuer: https://token.*\n",
                "",
                "policy-keyless-without-identity",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].keyless",
            ),
            (
                "issuer: https://token.*",
                "issuer: \"*\"",
                "policy-keyless-without-identity",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].keyless.issuer",
            ),
            (
                "issuer: https://token.*",
                "roots: a",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].keyless.roots",
            ),
            (
                "githubWorkflowRef:",
                "githubWorkflowReff:",
                "policy-field-unknown",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].keyless.additionalExtensions",
            ),
            (
                "                - keyless:\n",
                "                - certificates: {}\n                - keyless:\n",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].certificates",
            ),
            (
                "                - keyless:\n",
                "                - attestor: {}\n                - keyless:\n",
                "policy-field-unsupported",
                "spec.rules[0].verifyImages[0].attestors[0].entries[1].attestor",
            ),
            (
                "              type: https://cyclonedx.org/bom\n",
                "",
                "policy-field-missing",
                "spec.rules[0].verifyImages[0].attestations[0].type",
            ),
            (
                "operator: Equals",
                "operator: Equal to",
                "policy-condition-invalid",
                "spec.rules[0].verifyImages[0].attestations[0].conditions[0].any[0].operator",
            ),
            (
                "{{ a }}",
                "a",
                "policy-condition-invalid",
                "spec.rules[0].verifyImages[0].attestations[0].conditions[0].any[0]",
            ),
            (
                "                - any: [",
                "                - one: [",
                "policy-field-unknown",
                "spec.rules[0].verifyImages[0].attestations[0].conditions[0]",
            ),
            (
                "        pattern:\n",
                "        anyPattern:\n",
                "policy-field-unsupported",
                "spec.rules[1].validate.anyPattern",
            ),
            (
                "            containers: [",
                "            volumes: [",
                "policy-field-unknown",
                "spec.rules[1].validate.pattern.spec",
            ),
            (
                "name: \"*\"",
                "name: \"app\"",
                "policy-field-unsupported",
                "spec.rules[1].validate.pattern.spec.containers[0].name",
            ),
            (
                "name: \"*\"",
                "securityContext: {}",
                "policy-field-unknown",
                "spec.rules[1].validate.pattern.spec.containers[0]",
            ),
            (
                "[{image: \"a.io/* | b.io/*\"}]",
                "[{image: \"a.io/*\"}]",
                "policy-field-unsupported",
                "spec.rules[1].validate.pattern.spec.=(initContainers)[0].image",
            ),
        ],
    );
}

#[test]
fn a_choice_within_a_pattern_must_be_a_pattern() {
    let lists = "            =(initContainers): [{image: \"a.io/* | b.io/*\"}]\n";
    let good = KYVERNO.replace("PEM\n", &pem(22)).replace(lists, "");
    let path = "spec.rules[1].validate.pattern.spec.containers[0].image";
    twins(
        &good,
        &[
            ("a.io/* | b.io/*", "a.io/* | ", "policy-image-pattern-invalid", path),
            ("a.io/* | b.io/*", "a.io/* & !", "policy-image-pattern-invalid", path),
            ("a.io/* | b.io/*", "a.io", "policy-image-pattern-invalid", path),
        ],
    );
}

const CLUSTER_IMAGE_POLICY: &str = r#"
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

#[test]
fn cluster_image_policy_fields() {
    twins(
        &CLUSTER_IMAGE_POLICY.replace("PEM\n", &pem(10)),
        &[
            ("v1beta1", "v1", "policy-kind-unknown", ""),
            ("mode: enforce", "mode: audit", "policy-value-invalid", "spec.mode"),
            ("mode: enforce", "match: []", "policy-field-unsupported", "spec.match"),
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
                "policy-field-unsupported",
                "spec.authorities[0].source",
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
                "policy-field-unsupported",
                "spec.authorities[0].attestations[0].policy",
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
                "secretRef: {}",
                "policy-field-unsupported",
                "spec.authorities[1].key.secretRef",
            ),
            (
                "hashAlgorithm: sha256",
                "kms: a",
                "policy-field-unsupported",
                "spec.authorities[1].key.kms",
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
        ],
    );
}

#[test]
fn files_hold_several_documents_and_lists() {
    let one = "apiVersion: proofmark.dev/v1alpha1\nkind: ImagePolicy\nmetadata: {name: NAME}\nspec: {match: {images: [\"**\"]}, requireDigest: true}\n";
    let two = format!("{}---\n{}---\n", one.replace("NAME", "a"), one.replace("NAME", "b"));
    assert_eq!(load(&two).unwrap().summaries().len(), 2);
    let items: String = ["a", "b"]
        .iter()
        .map(|name| {
            let text = one.replace("NAME", name);
            let mut lines = text.lines();
            let first = format!("- {}\n", lines.next().unwrap());
            first + &lines.map(|line| format!("  {line}\n")).collect::<String>()
        })
        .collect();
    let list = format!("apiVersion: v1\nkind: List\nitems:\n{items}");
    assert_eq!(load(&list).unwrap().summaries().len(), 2);
    let twice = format!("{one}---\n{one}");
    assert_eq!(load(&twice).unwrap_err().code(), "policy-name-duplicate");
    let files = PolicySet::load(&[("a.yaml", one.as_bytes()), ("b.yaml", one.as_bytes())]);
    assert!(matches!(files, Err(PolicyError::DuplicateName { first, .. }) if first == "a.yaml"));
}

#[test]
fn what_is_no_policy_is_refused() {
    for (text, code) in [
        ("", "policy-empty"),
        ("---\n---\n", "policy-empty"),
        ("apiVersion: v1\nkind: ConfigMap\n", "policy-kind-unknown"),
        ("just text", "policy-kind-unknown"),
        ("[1, 2]", "policy-kind-unknown"),
        ("kind: List\nitems: []\n", "policy-value-invalid"),
        ("kind: List\nitem: []\n", "policy-field-unknown"),
        ("a: b: c", "policy-not-yaml"),
        ("a: 1\na: 2\n", "policy-not-yaml"),
        ("a: &x [*x]", "policy-not-yaml"),
    ] {
        match load(text) {
            Ok(_) => panic!("accepted {text:?}"),
            Err(error) => assert_eq!(error.code(), code, "{text:?}: {error}"),
        }
    }
    let not_utf8 = PolicySet::load(&[("p", &[0xff, 0xfe, 0x00])]).unwrap_err();
    assert_eq!(not_utf8.code(), "policy-not-yaml");
    let large = "#".repeat(2_000_000);
    assert_eq!(load(&large).unwrap_err().code(), "policy-too-large");
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    assert_eq!(load(&deep).unwrap_err().code(), "policy-not-yaml");
}

/// A billion laughs: what aliases expand to is bounded before it is built.
#[test]
fn aliases_do_not_explode() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = level - 1;
        let refs = vec![format!("*a{before}"); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{refs}]\n"));
    }
    assert_eq!(load(&text).unwrap_err().code(), "policy-not-yaml");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = load(&text);
    }

    #[test]
    fn no_mutation_of_a_policy_panics(position in 0_usize..2000, with in "[ a-z{}\\[\\]:\"*&-]{0,4}", which in 0_usize..3) {
        let text = match which {
            0 => native(),
            1 => KYVERNO.replace("PEM\n", &pem(22)),
            _ => CLUSTER_IMAGE_POLICY.replace("PEM\n", &pem(10)),
        };
        let at = position % text.len();
        let mutated = format!("{}{with}{}", &text[..at], text.get(at + with.len()..).unwrap_or(""));
        let _ = load(&mutated);
    }
}
