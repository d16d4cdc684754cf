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
    ("ClusterPolicy", "Policy", "policy-field-missing", ""),
    (
        "validationFailureAction: Enforce",
        "validationFailureAction: Deny",
        "policy-value-invalid",
        "spec.validationFailureAction",
    ),
    (
        "validationFailureAction: Enforce",
        "validationFailureActionOverrides: []",
        "policy-value-invalid",
        "spec.validationFailureActionOverrides",
    ),
    (
        "validationFailureAction: Enforce",
        "validationFailureActionOverrides: [{action: Audit}]",
        "policy-value-invalid",
        "spec.validationFailureActionOverrides[0]",
    ),
    (
        "validationFailureAction: Enforce",
        "validationFailureActionOverrides: [{action: Deny, namespaces: [a]}]",
        "policy-value-invalid",
        "spec.validationFailureActionOverrides[0].action",
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
        "policy-value-invalid",
        "spec.rules[0].preconditions",
    ),
    (
        "    - name: images\n",
        "    - name: images\n      preconditions: [{key: \"{{ a( }}\", operator: Equals, value: a}]\n",
        "policy-condition-invalid",
        "spec.rules[0].preconditions[0]",
    ),
    (
        "    - name: images\n",
        "    - name: images\n      celPreconditions: []\n",
        "policy-field-unsupported",
        "spec.rules[0].celPreconditions",
    ),
    (
        "    - name: images\n",
        "    - name: images\n      imageExtractors: {Task: []}\n",
        "policy-value-invalid",
        "spec.rules[0].imageExtractors.Task",
    ),
    (
        "    - name: images\n",
        "    - name: images\n      imageExtractors: {Task: [{path: /a, jmesPath: b}]}\n",
        "policy-field-unsupported",
        "spec.rules[0].imageExtractors.Task[0].jmesPath",
    ),
    (
        "    - name: images\n",
        "    - name: images\n      imageExtractors: {Task: [{path: a//b}]}\n",
        "policy-value-invalid",
        "spec.rules[0].imageExtractors.Task[0].path",
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
        "        clusterRoles: [a]\n        any:\n",
        "policy-field-unsupported",
        "spec.rules[0].match.clusterRoles",
    ),
    (
        "resources: {namespaces: [kube-system]}",
        "subjects: [{kind: Role, name: a}]",
        "policy-value-invalid",
        "spec.rules[0].exclude.all[0].subjects[0].kind",
    ),
    (
        "resources: {namespaces: [kube-system]}",
        "subjects: [{kind: ServiceAccount, name: a}]",
        "policy-field-missing",
        "spec.rules[0].exclude.all[0].subjects[0].namespace",
    ),
    (
        "        any:\n",
        "        resources: {kinds: [Pod]}\n        any:\n",
        "policy-field-unsupported",
        "spec.rules[0].match.resources",
    ),
    (
        "namespaces: [prod]",
        "selector: {}",
        "policy-value-invalid",
        "spec.rules[0].match.any[0].resources.selector",
    ),
    (
        "namespaces: [prod]",
        "selector: {matchExpressions: [{key: a, operator: Is}]}",
        "policy-value-invalid",
        "spec.rules[0].match.any[0].resources.selector.matchExpressions[0].operator",
    ),
    (
        "namespaces: [prod]",
        "selector: {matchExpressions: [{key: a, operator: In}]}",
        "policy-field-missing",
        "spec.rules[0].match.any[0].resources.selector.matchExpressions[0].values",
    ),
    (
        "namespaces: [prod]",
        "annotations: {}",
        "policy-value-invalid",
        "spec.rules[0].match.any[0].resources.annotations",
    ),
    (
        "namespaces: [prod]",
        "namespaceSelector: {matchLabels: {a: 1}}",
        "policy-value-invalid",
        "spec.rules[0].match.any[0].resources.namespaceSelector.matchLabels.a",
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
        "repository: a//b",
        "policy-value-invalid",
        "spec.rules[0].verifyImages[0].repository",
    ),
    (
        "useCache: true",
        "key: a b",
        "policy-key-place-refused",
        "spec.rules[0].verifyImages[0].key",
    ),
    (
        "useCache: true",
        "image: a",
        "policy-field-unsupported",
        "spec.rules[0].verifyImages[0].image",
    ),
    (
        "useCache: true",
        "subject: a@b.c",
        "policy-keyless-without-identity",
        "spec.rules[0].verifyImages[0]",
    ),
    (
        "useCache: true",
        "roots: a",
        "policy-field-unsupported",
        "spec.rules[0].verifyImages[0].roots",
    ),
    (
        "useCache: true",
        "annotations: {a: b}",
        "policy-field-unsupported",
        "spec.rules[0].verifyImages[0].annotations",
    ),
    (
        "useCache: true",
        "validate: {pattern: {}}",
        "policy-field-unsupported",
        "spec.rules[0].verifyImages[0].validate.pattern",
    ),
    (
        "useCache: true",
        "validate: {deny: {conditions: {all: [{key: \"{{ scan.x }}\", operator: Equals, value: 1}]}}}",
        "policy-field-unsupported",
        "spec.rules[0].verifyImages[0].validate.deny.conditions",
    ),
    (
        "useCache: true",
        "imageRegistryCredentials: {providers: [aws]}",
        "policy-value-invalid",
        "spec.rules[0].verifyImages[0].imageRegistryCredentials.providers[0]",
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
        "repository: X",
        "policy-value-invalid",
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
        "policy-field-missing",
        "spec.rules[0].verifyImages[0].attestors[0].entries[1].attestor.entries",
    ),
    (
        "                - keyless:\n",
        "                - {annotations: {a: b}, attestor: {entries: [{keys: {publicKeys: a}}]}}\n                - keyless:\n",
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
        "=(initContainers)",
        "+(initContainers)",
        "policy-field-unsupported",
        "spec.rules[1].validate.pattern.spec.+(initContainers)",
    ),
    (
        "=(initContainers)",
        "<(initContainers)",
        "policy-field-unknown",
        "spec.rules[1].validate.pattern.spec",
    ),
    (
        "[{image: \"a.io/* | b.io/*\"}]",
        "[{(image): \"*:latest\"}]",
        "policy-field-unsupported",
        "spec.rules[1].validate.pattern.spec.=(initContainers)[0].(image)",
    ),
    (
        "message: no\n",
        "message: no\n        deny: {conditions: {any: [{key: \"{{ element.image }}\", operator: Equals, value: a}]}}\n",
        "policy-field-unsupported",
        "spec.rules[1].validate.deny.conditions",
    ),
    (
        "message: no\n",
        "message: no\n        deny: {conditions: {any: [{key: \"{{ request.name }}\", operator: Equals, value: a}]}}\n",
        "policy-field-unsupported",
        "spec.rules[1].validate.deny.conditions",
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
