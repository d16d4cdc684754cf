//! Reject twins of every field of a Kyverno `ClusterPolicy`.

use super::*;

pub(super) const KYVERNO: &str = r#"
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

const ROWS: &[Twin] = &[
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
        "{kinds: [Pod/ephemeralcontainers]}",
        "policy-field-unsupported",
        "spec.rules[0].exclude.all[0].resources.kinds[0]",
    ),
    (
        "kinds: [Pod, apps/v1/Deployment]",
        "kinds: [pod]",
        "policy-value-invalid",
        "spec.rules[0].match.any[0].resources.kinds[0]",
    ),
    (
        "issuer: https://token.*",
        "issuer: https://*",
        "policy-keyless-without-identity",
        "spec.rules[0].verifyImages[0].attestors[0].entries[1].keyless.issuer",
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
        "                    kms: hashivault://a\n                    publicKeys: |\n",
        "policy-value-invalid",
        "spec.rules[0].verifyImages[0].attestors[0].entries[0].keys",
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
];

#[test]
fn kyverno_fields() {
    twins(&KYVERNO.replace("PEM\n", &pem(22)), ROWS);
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
