//! What each change must bring: a place, and the reasons that a change there is rejected for. `$signer` is that of the
//! signature, by a key or by a certificate, whichever the case is of. The first row whose place fits is the rule.

/// How a document that is not of its format is refused, whatever the field: only for changes that make it so.
const FORM: [&str; 5] = [
    "field-type",
    "field-missing",
    "field-base64",
    "field-integer",
    "manifest-malformed",
];

/// Place, and the codes. `*` is any text.
const RULES: &[(&str, &[&str])] = &[
    // A bundle.
    ("/mediaType", &["bundle-media-type"]),
    ("/dsseEnvelope/payload#*", &["$signer"]),
    ("/dsseEnvelope/payload", &["$signer"]),
    ("/dsseEnvelope/payloadType", &["$signer"]),
    ("/dsseEnvelope/signatures/?/sig#*", &["$signer"]),
    (
        "/dsseEnvelope/signatures/?/sig",
        &["$signer", "envelope-empty-signature"],
    ),
    ("/dsseEnvelope/signatures*", &["$signer", "envelope-no-signature"]),
    // Another's whole envelope is about another image, and its timestamp is over another signature.
    (
        "/dsseEnvelope",
        &[
            "$signer",
            "bundle-no-content",
            "subject-mismatch",
            "timestamp-imprint-mismatch",
        ],
    ),
    ("/messageSignature/signature#*", &["$signer"]),
    ("/messageSignature/signature", &["$signer", "envelope-empty-signature"]),
    (
        "/messageSignature/messageDigest/algorithm",
        &["bundle-digest-algorithm"],
    ),
    (
        "/messageSignature/messageDigest*",
        &["message-digest-mismatch", "bundle-digest-length"],
    ),
    ("/messageSignature", &["$signer", "bundle-no-content"]),
    ("/verificationMaterial", &["$signer", "timestamp-imprint-mismatch"]),
    ("/verificationMaterial/publicKey*", &["bundle-no-key"]),
    ("/verificationMaterial/certificate/rawBytes#*", CERTIFICATE),
    (
        "/verificationMaterial/certificate*",
        &[
            "$signer",
            "bundle-no-key",
            "certificate-malformed",
            "certificate-untrusted",
        ],
    ),
    (
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/?/signedTimestamp#*",
        TIMESTAMP,
    ),
    (
        "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/?/signedTimestamp",
        &[
            "timestamp-malformed",
            "timestamp-signature-invalid",
            "timestamp-imprint-mismatch",
        ],
    ),
    // Without it nothing vouches for a time at which the certificate was valid.
    (
        "/verificationMaterial/timestampVerificationData*",
        &["timestamp-imprint-mismatch", "certificate-outside-validity"],
    ),
    (
        "*/canonicalizedBody#/kind",
        &["log-entry-kind-unknown", "log-entry-malformed"],
    ),
    (
        "*/canonicalizedBody#/apiVersion",
        &["log-entry-kind-unknown", "log-entry-malformed"],
    ),
    // A name of the same kind of key is not compared, and then it is not what the log has.
    (
        "*/canonicalizedBody#*/keyDetails",
        &["log-entry-mismatch", "log-entry-malformed", "inclusion-proof-invalid"],
    ),
    ("*/canonicalizedBody#*rawBytes#*", &["log-entry-mismatch"]),
    ("*/canonicalizedBody#*content#*", &["log-entry-mismatch"]),
    ("*/canonicalizedBody*", &["log-entry-mismatch", "log-entry-malformed"]),
    (
        "*/inclusionProof/checkpoint/envelope#0",
        &["checkpoint-origin", "checkpoint-malformed"],
    ),
    ("*/inclusionProof/checkpoint/envelope#1", &["checkpoint-malformed"]),
    (
        "*/inclusionProof/checkpoint/envelope#*",
        &["checkpoint-malformed", "checkpoint-signature-invalid"],
    ),
    (
        "*/inclusionProof/checkpoint*",
        &[
            "bundle-no-checkpoint",
            "checkpoint-malformed",
            "inclusion-proof-invalid",
        ],
    ),
    ("*/inclusionProof/hashes*", &["inclusion-proof-invalid"]),
    (
        "*/inclusionProof",
        &["bundle-no-inclusion-proof", "inclusion-proof-invalid"],
    ),
    ("*/inclusionProof/*", &[]),
    (
        "/verificationMaterial/tlogEntries/?/kindVersion*",
        &["log-entry-mismatch"],
    ),
    // An unknown log is passed over, and the case asks for a known one.
    ("/verificationMaterial/tlogEntries/?/logId*", &["want-log"]),
    (
        "/verificationMaterial/tlogEntries/?/logIndex",
        &["inclusion-proof-invalid"],
    ),
    (
        "/verificationMaterial/tlogEntries*",
        &["want-log", "log-entry-mismatch"],
    ),
    // A layer of the older layouts.
    ("/annotations/dev.cosignproject.cosign~1signature#*", &["$signer"]),
    (
        "/annotations/dev.cosignproject.cosign~1signature",
        &["$signer", "legacy-no-signature", "legacy-base64"],
    ),
    ("/annotations/dev.sigstore.cosign~1certificate#*", CERTIFICATE),
    (
        "/annotations/dev.sigstore.cosign~1certificate",
        &["certificate-malformed", "legacy-pem", "no-key-given"],
    ),
    ("/annotations/dev.sigstore.cosign~1chain", &["legacy-pem"]),
    (
        "/annotations/dev.sigstore.cosign~1rfc3161timestamp#/SignedRFC3161Timestamp#*",
        TIMESTAMP,
    ),
    (
        "/annotations/dev.sigstore.cosign~1rfc3161timestamp*",
        &[
            "json-syntax",
            "timestamp-malformed",
            "timestamp-signature-invalid",
            "certificate-outside-validity",
        ],
    ),
    ("/annotations", &["$signer"]),
    ("/blob#/signatures/?/sig#*", &["$signer"]),
    ("/blob#/signatures/?/sig", &["$signer", "envelope-empty-signature"]),
    ("/blob#/signatures*", &["$signer", "envelope-no-signature"]),
    ("/blob#*", &["$signer"]),
    ("/blob", &["$signer", "json-syntax", "blob-missing", "want-type"]),
    // The manifest that they are in.
    ("manifest:/subject*", &["not-listed"]),
    ("manifest:/layers", &["not-evidence", "blob-mismatch"]),
    (
        "manifest:/layers/?",
        &["blob-mismatch", "not-evidence", "other-evidence"],
    ),
    ("manifest:/layers/?/digest", &["blob-mismatch"]),
    ("manifest:/layers/?/size", &["blob-mismatch"]),
    ("manifest:/layers/?/mediaType", &["evidence-media-type", "not-evidence"]),
    ("manifest:*", &[]),
    // The image that they are about.
    ("image", &["subject-mismatch", "claims-digest-mismatch"]),
];

/// Every byte of a certificate is under its issuer's signature, and what is read before that is checked for form. A
/// start of validity that is moved forward is found where the certificate is compared with that of the log, or by the
/// time of the signature.
const CERTIFICATE: &[&str] = &[
    "certificate-malformed",
    "certificate-untrusted",
    "sct-malformed",
    "log-entry-mismatch",
    "certificate-outside-validity",
    "$signer",
];

const TIMESTAMP: &[&str] = &[
    "timestamp-malformed",
    "timestamp-signature-invalid",
    "timestamp-imprint-mismatch",
    "timestamp-in-future",
    "timestamp-untrusted",
];

/// What may be changed without being noticed, and why that is right.
const FREE: &[(&str, &str)] = &[
    (
        "/verificationMaterial/publicKey*",
        "the hint which key to try; it is never believed, and a wrong one must not hide a good signature",
    ),
    (
        "/messageSignature/messageDigest",
        "a hint that may be left out; where it is there it must be right",
    ),
    (
        "*/inclusionProof/logIndex",
        "Rekor v2: the index of the entry counts, this is a copy (rekor-v2-spec 6.1.4)",
    ),
    (
        "*/inclusionProof/treeSize",
        "Rekor v2: the size of the signed checkpoint counts, this is a copy",
    ),
    (
        "*/inclusionProof/rootHash",
        "Rekor v2: the root of the signed checkpoint counts, this is a copy",
    ),
    (
        "*imestamp#/0/0",
        "granted, or granted with modifications: both are, and nobody signs which (RFC 3161 2.4.2)",
    ),
    (
        "*imestamp#/1/1/0/0",
        "the version of CMS, which nobody signs and nothing depends on",
    ),
    (
        "*imestamp#/1/1/0/1/*",
        "the list of hash functions that a reader could prepare; the signer info names its own",
    ),
    (
        "*imestamp#/1/1/0/3*",
        "certificates along with the token: the signer's is in the trust root, and a path is made of that",
    ),
    ("*imestamp#/1/1/0/4/0/0", "the version of the signer info"),
    (
        "/annotations/dev.sigstore.cosign~1chain*",
        "intermediates that come along are not taken for authorities of the trust root",
    ),
    (
        "/annotations/predicateType",
        "a label for finding it; the type that counts is in the signed statement",
    ),
    ("/blob#/signatures/?/keyid", "a hint which key to try"),
    (
        "manifest:/annotations*",
        "labels for finding it; the type that counts is in the signed statement",
    ),
    (
        "manifest:/artifactType",
        "what hangs there is found out by reading it, registries and peers get this wrong",
    ),
    ("manifest:/mediaType", "may be left out, then the shape says what it is"),
    ("manifest:/config/*", "the config of evidence holds nothing"),
    ("manifest:/subject/mediaType", "the digest says what it is about"),
    ("manifest:/subject/size", "the digest says what it is about"),
    (
        "manifest:/layers/?/mediaType",
        "bundles go by the prefix of the type, and their own `mediaType` is checked",
    ),
];

/// What may be changed in this way only, or only where nothing else depends on it.
const FREE_WHERE: &[(&str, &str, &[&str], &str)] = &[
    (
        "bundle key",
        "/verificationMaterial",
        &["swapped"],
        "it holds nothing but the hint",
    ),
    (
        "bundle key+root",
        "/verificationMaterial/timestampVerificationData*",
        &["removed", "emptied"],
        "a key has no validity, and the case asks for no timestamp",
    ),
    (
        "file key+root",
        "/verificationMaterial/timestampVerificationData*",
        &["removed", "emptied"],
        "a key has no validity, and the case asks for no timestamp",
    ),
    (
        "att key",
        "/annotations",
        &["swapped"],
        "by a key they hold nothing but the label",
    ),
    (
        "att key",
        "/annotations/dev.cosignproject.cosign~1signature",
        &["longer", "removed"],
        "the signature of an attestation is in its envelope",
    ),
    (
        "sig keyless+root",
        "/annotations/dev.sigstore.cosign~1certificate",
        &["longer", "last changed"],
        "text after the PEM block is no part of it (RFC 7468 section 2)",
    ),
    (
        "sig keyless+root",
        "/annotations/dev.sigstore.cosign~1rfc3161timestamp#/SignedRFC3161Timestamp",
        &["middle changed"],
        "the middle of this token is in the certificates along with it",
    ),
];

/// Whether `code` is a reason that a change of this kind at this place was made for.
pub(super) fn expected(shape: &str, place: &str, kind: &str, code: &str) -> bool {
    let makes_no_document = matches!(
        kind,
        "another type" | "removed" | "blank" | "longer" | "shorter" | "emptied"
    ) || place.starts_with("manifest:")
        || place.contains("/hashes") && kind.contains("changed");
    if makes_no_document && FORM.contains(&code) {
        return true;
    }
    let signer = if shape.contains("keyless") {
        "signature-not-by-certificate"
    } else {
        "signature-not-by-given-key"
    };
    let rule = RULES.iter().find(|(pattern, _)| fits(pattern, place));
    rule.is_some_and(|(_, codes)| {
        codes
            .iter()
            .any(|named| *named == code || *named == "$signer" && signer == code)
    })
}

/// Whether the change may go unnoticed.
pub(super) fn is_free(shape: &str, place: &str, kind: &str) -> bool {
    let always = FREE.iter().any(|(pattern, _)| fits(pattern, place));
    let here = FREE_WHERE
        .iter()
        .any(|(wanted, pattern, kinds, _)| *wanted == shape && fits(pattern, place) && kinds.contains(&kind));
    always || here
}

/// `*` is any text, `?` the number of an element.
fn fits(pattern: &str, place: &str) -> bool {
    let Some((before, rest)) = pattern.split_once(['*', '?']) else {
        return pattern == place;
    };
    let Some(after) = place.strip_prefix(before) else {
        return false;
    };
    if pattern.as_bytes()[before.len()] == b'?' {
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '*').len();
        return digits > 0 && fits(rest, &after[digits..]);
    }
    (0..=after.len()).any(|skip| after.is_char_boundary(skip) && fits(rest, &after[skip..]))
}

#[test]
fn places_fit_their_patterns() {
    assert!(fits("/a/?/b*", "/a/*/b#/1") && fits("/a/?/b", "/a/12/b"));
    assert!(!fits("/a/?/b", "/a/x/b") && !fits("/a", "/a/b") && !fits("/a/?/b", "/a//b"));
}
