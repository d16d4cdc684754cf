//! Why each case of the fixtures is rejected: the manifest's words, and the code that must stand for them.

use crate::cases::{decide, load};

/// What the manifest says, and the codes of which one must be among those that explain the rejection. Codes with
/// `want-` are of the demand and not of the proof: everything verified, and something else was asked for. An empty
/// list: there is no evidence at all.
const REASONS: &[(&str, &[&str])] = &[
    ("signed by another P-256 key", &["signature-not-by-given-key"]),
    ("other key", &["signature-not-by-given-key"]),
    ("key of another algorithm", &["signature-not-by-given-key"]),
    ("not one of the signers", &["signature-not-by-given-key"]),
    (
        "no signature by this key, must end in bounded time",
        &["signature-not-by-given-key"],
    ),
    ("annotation value differs", &["want-annotation"]),
    ("annotation absent", &["want-annotation"]),
    ("no attestation of that type", &["want-type"]),
    ("only another predicate type present", &["want-type"]),
    ("no such predicate type", &["want-type"]),
    ("only attestations, no signature", &["want-kind"]),
    (
        "an attestation is not a signature (predicateType is not cosign/sign/v1)",
        &["want-kind"],
    ),
    (
        "unsigned annotation must not turn an attestation into a signature",
        &["want-kind"],
    ),
    ("index signed, child manifest not (asked by child digest alone)", &[]),
    ("nothing attached", &[]),
    ("the tag resolves to an unsigned digest", &[]),
    ("tag does not exist", &["unresolved"]),
    ("manifest bytes do not hash to the asked digest", &["unresolved"]),
    ("descriptor size and blob size differ", &["blob-mismatch"]),
    ("blob bytes do not hash to the descriptor digest", &["blob-mismatch"]),
    ("log and TSA unknown to this trusted root", &["timestamp-untrusted"]),
    (
        "certificate chains to a CA of the same name that this trusted root does not hold",
        &["certificate-untrusted"],
    ),
    ("another identity", &["want-identity"]),
    ("another e-mail", &["want-identity"]),
    ("expected identity is a proper prefix of the SAN", &["want-identity"]),
    ("SAN only starts with the expected e-mail", &["want-identity"]),
    (
        "regexp dev@alpha\\.test must be treated as anchored",
        &["want-identity"],
    ),
    ("regexp for another organisation", &["want-identity"]),
    ("branch feature-x, main demanded", &["want-identity"]),
    ("right SAN, other issuer", &["want-issuer"]),
    ("GitHub workflow ref extension differs", &["want-github"]),
    ("no log entry", &["want-log"]),
    ("log entry demanded, none present", &["want-log"]),
    ("no SCT from the CT log", &["want-sct"]),
    ("artifact bytes differ", &["signature-not-by-certificate"]),
    (
        "messageDigest rewritten to fit another artifact",
        &["signature-not-by-certificate"],
    ),
    ("certificate of another signer", &["signature-not-by-certificate"]),
    (
        "signature was not made by this certificate",
        &["signature-not-by-certificate"],
    ),
    ("certificate shows another identity", &["signature-not-by-certificate"]),
    ("log entry of another bundle", &["log-entry-mismatch"]),
    ("log entry does not prove this signature", &["log-entry-mismatch"]),
    ("timestamp over another signature", &["timestamp-imprint-mismatch"]),
    (
        "message imprint is over another signature",
        &["timestamp-imprint-mismatch"],
    ),
    (
        "no trusted time inside the certificate validity (Rekor v2 integratedTime is not one)",
        &["certificate-outside-validity"],
    ),
    (
        "integratedTime of a Rekor v2 entry is unauthenticated",
        &["certificate-outside-validity"],
    ),
    ("in-toto subject names another digest", &["subject-mismatch"]),
    (
        "simple-signing payload names another digest",
        &["claims-digest-mismatch"],
    ),
    (
        "signature does not fit the payload",
        &["signature-not-by-given-key", "signature-not-by-certificate"],
    ),
    (
        "payload changed after signing",
        &["signature-not-by-given-key", "signature-not-by-certificate"],
    ),
    ("bad signature", &["signature-not-by-given-key"]),
    ("signature is over other bytes", &["signature-not-by-given-key"]),
    ("checkpoint not signed by the log", &["checkpoint-signature-invalid"]),
    (
        "inclusion proof does not lead to the checkpoint root",
        &["inclusion-proof-invalid"],
    ),
    (
        "entry without proof and without promise",
        &["bundle-no-inclusion-proof"],
    ),
    ("not JSON", &["json-syntax"]),
    ("malformed bundle: truncated", &["json-syntax"]),
    ("malformed bundle: empty", &["json-syntax"]),
    ("malformed bundle: array", &["field-type"]),
    ("malformed bundle: both-contents", &["bundle-several-contents"]),
    (
        "correct signature over a statement that does not name this image: no-subject",
        &["statement-malformed"],
    ),
    (
        "correct signature over a statement that does not name this image: payload-type",
        &["payload-type"],
    ),
];

#[test]
fn every_rejection_of_the_fixtures_has_the_reason_of_the_manifest() {
    let mut wrong = Vec::new();
    for case in load().iter().filter(|case| case.expected == "reject") {
        let (_, codes) = decide(case);
        let Some((_, expected)) = REASONS.iter().find(|(reason, _)| *reason == case.reason) else {
            wrong.push(format!("{}: no code for {:?}, found {codes:?}", case.id, case.reason));
            continue;
        };
        let fits = if expected.is_empty() {
            codes.is_empty()
        } else {
            codes.iter().any(|code| expected.contains(code))
        };
        if !fits {
            wrong.push(format!(
                "{}: expected {expected:?}, found {codes:?} ({})",
                case.id, case.reason
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
