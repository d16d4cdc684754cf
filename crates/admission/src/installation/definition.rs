//! The CustomResourceDefinition of our `ImagePolicy`.
//!
//! The schema names every field for `kubectl explain` and refuses values of another type. It keeps fields that it does
//! not know instead of dropping them (`x-kubernetes-preserve-unknown-fields`): a dropped field is a rule that nobody
//! enforces and nobody misses (CVE-2025-29778). The webhook reads the object whole, refuses what it does not know, and
//! says so in the status.

use serde_json::{Value, json};

/// The definition, for `kubectl apply` before the first policy.
#[must_use]
pub fn policy_definition() -> Value {
    let status = json!({
        "type": "object",
        "description": "What the webhook says about the policy; decides nothing.",
        "properties": {
            "observedGeneration": { "type": "integer", "format": "int64" },
            "conditions": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["type"],
                "items": {
                    "type": "object",
                    "required": ["type", "status"],
                    "properties": {
                        "type": { "type": "string" },
                        "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                        "reason": { "type": "string" },
                        "message": { "type": "string" },
                        "observedGeneration": { "type": "integer", "format": "int64" },
                        "lastTransitionTime": { "type": "string", "format": "date-time" },
                    },
                },
            },
        },
    });
    let column = |name: &str, path: &str| json!({ "name": name, "type": "string", "jsonPath": path });
    let condition = |field: &str| format!(".status.conditions[?(@.type==\"Ready\")].{field}");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "imagepolicies.proofmark.dev", "labels": super::labels() },
        "spec": {
            "group": "proofmark.dev",
            "scope": "Cluster",
            "names": {
                "kind": "ImagePolicy", "listKind": "ImagePolicyList", "plural": "imagepolicies",
                "singular": "imagepolicy",
            },
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "subresources": { "status": {} },
                "additionalPrinterColumns": [
                    column("Mode", ".spec.mode"),
                    column("In force", &condition("status")),
                    column("Reason", &condition("reason")),
                ],
                "schema": { "openAPIV3Schema": {
                    "type": "object",
                    "required": ["spec"],
                    "properties": { "spec": spec(), "status": status },
                    "x-kubernetes-preserve-unknown-fields": true,
                } },
            }],
        },
    })
}

fn spec() -> Value {
    let selection = object(
        "Which images the policy concerns, and where.",
        &["images"],
        json!({
            "images": texts("Patterns over host and path: * within a component, ** across."),
            "exclude": texts("Images that it does not concern."),
            "namespaces": texts("Namespaces, * and ? allowed; all, if absent."),
            "excludeNamespaces": texts("Namespaces that it does not concern."),
            "kinds": texts("Kinds of objects, such as Pod; all, if absent."),
        }),
    );
    let mut signatures = demand();
    signatures["annotations"] = json!({
        "type": "object", "description": "Annotations that the signature must have.",
        "additionalProperties": { "type": "string" },
    });
    let mut attestation = demand();
    attestation["name"] = text("What messages call it.");
    attestation["type"] = text("The predicate type: a URI, or a short name such as spdxjson.");
    attestation["condition"] = text("A condition in CEL over the predicate.");
    attestation["every"] = flag("Whether every attestation of the type must meet the condition.");
    object(
        "What images must have to run.",
        &[],
        json!({
            "match": selection,
            "mode": words("What happens when the policy is not met.", &["enforce", "warn", "audit"]),
            "onUnreachable": words("What happens when evidence cannot be fetched.", &["deny", "allow-held", "warn"]),
            "registries": texts("Where images may be from; nothing else may run."),
            "requireDigest": flag("Whether images must be named by digest."),
            "pin": flag("Whether tags of Pods are replaced by digests."),
            "signatures": object("Whose signature an image needs.", &["signers"], signatures),
            "attestations": {
                "type": "array", "description": "What must be attested about an image.",
                "items": object("One attestation.", &["type"], attestation),
            },
        }),
    )
}

/// The fields that signatures and attestations share.
fn demand() -> Value {
    let keyless = json!({
        "subject": text("The identity, whole."),
        "subjectRegExp": text("A regular expression for the identity, anchored."),
        "issuer": text("Who vouches for the identity."),
        "issuerRegExp": text("A regular expression for the issuer, anchored."),
        "subjectKind": text("email, uri, dns, ip or username."),
        "github": {
            "type": "object", "description": "What GitHub states about the workflow.",
            "additionalProperties": { "type": "string" },
        },
    });
    let signer = json!({
        "name": text("For people."),
        "key": text("A public key in PEM, or where it lives: k8s://namespace/name, awskms://…"),
        "keyless": object("An identity.", &[], keyless),
    });
    json!({
        "signers": {
            "type": "array", "description": "Keys and identities.",
            "items": object("A key or an identity.", &[], signer),
        },
        "count": { "type": "integer", "minimum": 1, "description": "How many different signers of the list." },
        "requireLog": flag("Whether a transparency log must have it."),
        "requireTimestamp": flag("Whether a timestamp authority must have signed."),
        "requireSct": flag("Whether the certificate must be in a certificate transparency log."),
    })
}

fn object(description: &str, required: &[&str], properties: Value) -> Value {
    let mut object = json!({
        "type": "object", "description": description, "properties": properties,
        "x-kubernetes-preserve-unknown-fields": true,
    });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn texts(description: &str) -> Value {
    json!({ "type": "array", "description": description, "items": { "type": "string" } })
}

fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

fn words(description: &str, words: &[&str]) -> Value {
    json!({ "type": "string", "description": description, "enum": words })
}
