//! The body of a log entry, and whether it is about the signature at hand.
//!
//! The log vouches for its entry; only this comparison makes the entry one about our signature. Leaving it out, or
//! leaving one field out, has been an advisory twice (CVE-2022-36056, CVE-2026-22703).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::encoding::pem_decode_all;
use proofmark_types::{Digest, DigestAlgorithm};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::key::{KeyAlgorithm, PublicKey};
use crate::reason::Reason;

/// Rekor v2 limits an entry to 64 KiB, v1 keeps hashes and not payloads; a certificate is the largest part.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// What was verified so far, for the body to agree with.
pub(crate) struct Claim<'a> {
    pub(crate) signature: &'a [u8],
    pub(crate) signer: Signer<'a>,
    pub(crate) message: &'a Message<'a>,
    /// Type and payload of the envelope, where there is one.
    pub(crate) payload: Option<(&'a str, &'a [u8])>,
    /// The envelope as it was written, where that is known.
    pub(crate) envelope: Option<&'a [u8]>,
}

/// Whose signature it is.
#[derive(Clone, Copy)]
pub(crate) enum Signer<'a> {
    Certificate { der: &'a [u8], key: &'a PublicKey },
    Key(&'a PublicKey),
}

impl Signer<'_> {
    fn key(&self) -> &PublicKey {
        match self {
            Self::Certificate { key, .. } | Self::Key(key) => key,
        }
    }
}

/// What the signature is over.
pub(crate) enum Message<'a> {
    Bytes(std::borrow::Cow<'a, [u8]>),
    /// Digests of one message, by different algorithms.
    Digests(&'a [Digest]),
}

impl Message<'_> {
    /// The digest by this algorithm; none if only digests by others are known.
    pub(crate) fn digest(&self, algorithm: DigestAlgorithm) -> Option<Digest> {
        match self {
            Self::Bytes(bytes) => Some(Digest::of(algorithm, bytes)),
            Self::Digests(digests) => digests.iter().find(|known| known.algorithm() == algorithm).cloned(),
        }
    }
}

/// An entry of a kind that is known.
pub(crate) struct Body {
    kind: String,
    version: String,
    spec: Spec,
}

enum Spec {
    HashedV1(HashedV1),
    HashedV2(HashedV2),
    Dsse(DsseV1),
    IntotoV1(IntotoV1),
    IntotoV2(IntotoV2),
}

impl Body {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Reason> {
        if bytes.len() > MAX_BODY_BYTES {
            return Err(malformed(format!(
                "its body has {} bytes, at most {MAX_BODY_BYTES} are accepted",
                bytes.len()
            )));
        }
        let outer: Outer<'_> = serde_json::from_slice(bytes).map_err(|error| malformed(error.to_string()))?;
        let spec = outer.spec.get();
        let spec = match (outer.kind.as_str(), outer.api_version.as_str()) {
            ("hashedrekord", "0.0.1") => Spec::HashedV1(read(spec)?),
            ("hashedrekord", "0.0.2") => Spec::HashedV2(read(spec)?),
            ("dsse", "0.0.1") => Spec::Dsse(read(spec)?),
            ("intoto", "0.0.1") => Spec::IntotoV1(read(spec)?),
            ("intoto", "0.0.2") => Spec::IntotoV2(read(spec)?),
            _ => return Err(unknown_kind(&outer.kind, &outer.api_version)),
        };
        Ok(Self {
            kind: outer.kind,
            version: outer.api_version,
            spec,
        })
    }

    /// Whether the log is a Rekor v2.
    pub(crate) fn is_v2(&self) -> bool {
        matches!(self.spec, Spec::HashedV2(_))
    }

    /// The kind beside the body must be the one inside it; a reader that dispatches on the other would see another
    /// entry.
    pub(crate) fn check_kind(&self, beside: Option<(&str, &str)>) -> Result<(), Reason> {
        match beside {
            Some((kind, version)) if kind != self.kind || version != self.version => Err(mismatch("kind")),
            _ => Ok(()),
        }
    }

    /// Whether the entry is about this signature, by this signer, over this content.
    pub(crate) fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        match &self.spec {
            Spec::HashedV1(spec) => spec.check(claim),
            Spec::HashedV2(spec) => spec.hashed.check(claim),
            Spec::Dsse(spec) => spec.check(claim),
            Spec::IntotoV1(spec) => spec.check(claim),
            Spec::IntotoV2(spec) => spec.content.check(claim),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outer<'a> {
    api_version: String,
    kind: String,
    #[serde(borrow)]
    spec: &'a RawValue,
}

/// `hashedrekord` 0.0.1.
#[derive(Deserialize)]
struct HashedV1 {
    signature: HashedV1Signature,
    data: HashedV1Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HashedV1Signature {
    content: String,
    public_key: HashedV1Key,
}

#[derive(Deserialize)]
struct HashedV1Key {
    content: String,
}

#[derive(Deserialize)]
struct HashedV1Data {
    hash: HexHash,
}

#[derive(Deserialize)]
struct HexHash {
    algorithm: String,
    value: String,
}

impl HashedV1 {
    fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        self.data.hash.check(claim.message, "hash")?;
        check_signature(&self.signature.content, claim)?;
        check_pem(&self.signature.public_key.content, claim)
    }
}

impl HexHash {
    fn check(&self, message: &Message<'_>, field: &'static str) -> Result<(), Reason> {
        let algorithm = DigestAlgorithm::parse(&self.algorithm).map_err(|error| malformed(error.to_string()))?;
        // A digest that cannot be compared is a mismatch: nothing of an entry is taken on trust.
        match message.digest(algorithm) {
            Some(digest) if digest.hex() == self.value => Ok(()),
            _ => Err(mismatch(field)),
        }
    }

    fn check_bytes(&self, bytes: &[u8], field: &'static str) -> Result<(), Reason> {
        self.check(&Message::Bytes(bytes.into()), field)
    }
}

/// `hashedrekord` 0.0.2, of Rekor v2: for envelopes too, over their pre-authentication encoding (rekor-v2-spec 4.3).
#[derive(Deserialize)]
struct HashedV2 {
    #[serde(rename = "hashedRekordV002")]
    hashed: HashedV2Spec,
}

#[derive(Deserialize)]
struct HashedV2Spec {
    data: HashedV2Data,
    signature: HashedV2Signature,
}

#[derive(Deserialize)]
struct HashedV2Data {
    algorithm: String,
    digest: String,
}

#[derive(Deserialize)]
struct HashedV2Signature {
    content: String,
    verifier: HashedV2Verifier,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HashedV2Verifier {
    key_details: String,
    #[serde(default)]
    public_key: Option<RawBytes>,
    #[serde(default)]
    x509_certificate: Option<RawBytes>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBytes {
    raw_bytes: String,
}

impl HashedV2Spec {
    fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        let algorithm = match self.data.algorithm.as_str() {
            "SHA2_256" => DigestAlgorithm::Sha256,
            "SHA2_384" => DigestAlgorithm::Sha384,
            "SHA2_512" => DigestAlgorithm::Sha512,
            other => return Err(malformed(format!("its hash algorithm is {}", short(other)))),
        };
        let logged = decode(&self.data.digest)?;
        match claim.message.digest(algorithm) {
            Some(digest) if digest.as_bytes() == logged => {}
            _ => return Err(mismatch("hash")),
        }
        check_signature(&self.signature.content, claim)?;
        self.signature.verifier.check(claim)
    }
}

impl HashedV2Verifier {
    fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        let matches = match (&self.x509_certificate, &self.public_key, claim.signer) {
            (Some(certificate), None, Signer::Certificate { der, .. }) => decode(&certificate.raw_bytes)? == der,
            (None, Some(logged), Signer::Key(key)) => decode(&logged.raw_bytes)? == key.spki_der(),
            (Some(_), Some(_), _) | (None, None, _) => {
                return Err(malformed("expected one of certificate and public key".to_owned()));
            }
            _ => false,
        };
        if matches && names_kind(&self.key_details, claim.signer.key().algorithm()) {
            Ok(())
        } else {
            Err(mismatch("verifier"))
        }
    }
}

/// `dsse` 0.0.1. Its envelope hash is over the JSON as it was sent, which nobody has any more, so that it says nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DsseV1 {
    payload_hash: HexHash,
    signatures: Vec<DsseV1Signature>,
}

#[derive(Deserialize)]
struct DsseV1Signature {
    signature: String,
    verifier: String,
}

impl DsseV1 {
    fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        let (_, payload) = claim.payload.ok_or_else(|| mismatch("kind"))?;
        self.payload_hash.check_bytes(payload, "payload hash")?;
        let [signature] = self.signatures.as_slice() else {
            return Err(mismatch("number of signatures"));
        };
        check_signature(&signature.signature, claim)?;
        check_pem(&signature.verifier, claim)
    }
}

/// `intoto` 0.0.1: it has no signature in it, only the hash of the whole envelope, so that it can be about our
/// signature only where the envelope is known byte by byte.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoV1 {
    content: IntotoV1Content,
    public_key: String,
}

#[derive(Deserialize)]
struct IntotoV1Content {
    hash: HexHash,
}

impl IntotoV1 {
    fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        let envelope = claim.envelope.ok_or_else(|| unknown_kind("intoto", "0.0.1"))?;
        self.content.hash.check_bytes(envelope, "envelope hash")?;
        check_pem(&self.public_key, claim)
    }
}

/// `intoto` 0.0.2.
#[derive(Deserialize)]
struct IntotoV2 {
    content: IntotoV2Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoV2Content {
    envelope: IntotoV2Envelope,
    payload_hash: HexHash,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoV2Envelope {
    payload_type: String,
    signatures: Vec<IntotoV2Signature>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IntotoV2Signature {
    public_key: String,
    sig: String,
}

impl IntotoV2Content {
    fn check(&self, claim: &Claim<'_>) -> Result<(), Reason> {
        let (payload_type, payload) = claim.payload.ok_or_else(|| mismatch("kind"))?;
        if self.envelope.payload_type != payload_type {
            return Err(mismatch("payload type"));
        }
        self.payload_hash.check_bytes(payload, "payload hash")?;
        let [signature] = self.envelope.signatures.as_slice() else {
            return Err(mismatch("number of signatures"));
        };
        // Base64 of base64: the entry encodes the field of the envelope, which is text already.
        let inner = String::from_utf8(decode(&signature.sig)?).map_err(|error| malformed(error.to_string()))?;
        check_signature(&inner, claim)?;
        check_pem(&signature.public_key, claim)
    }
}

fn check_signature(content: &str, claim: &Claim<'_>) -> Result<(), Reason> {
    if decode(content)? == claim.signature {
        Ok(())
    } else {
        Err(mismatch("signature"))
    }
}

/// The verifier of Rekor v1: base64 of the PEM of the certificate or of the key.
fn check_pem(content: &str, claim: &Claim<'_>) -> Result<(), Reason> {
    let text = String::from_utf8(decode(content)?).map_err(|error| malformed(error.to_string()))?;
    let (label, expected) = match claim.signer {
        Signer::Certificate { der, .. } => ("CERTIFICATE", der),
        Signer::Key(key) => ("PUBLIC KEY", key.spki_der()),
    };
    match pem_decode_all(label, &text).as_deref() {
        Some([logged]) if logged == expected => Ok(()),
        _ => Err(mismatch("verifier")),
    }
}

/// Whether a `PublicKeyDetails` name is of this kind of key.
fn names_kind(details: &str, algorithm: KeyAlgorithm) -> bool {
    let (prefix, size) = match algorithm {
        KeyAlgorithm::EcdsaP256 => ("PKIX_ECDSA_P256_", ""),
        KeyAlgorithm::EcdsaP384 => ("PKIX_ECDSA_P384_", ""),
        KeyAlgorithm::EcdsaP521 => ("PKIX_ECDSA_P521_", ""),
        KeyAlgorithm::Rsa2048 => ("PKIX_RSA_", "_2048_"),
        KeyAlgorithm::Rsa3072 => ("PKIX_RSA_", "_3072_"),
        KeyAlgorithm::Rsa4096 => ("PKIX_RSA_", "_4096_"),
        KeyAlgorithm::Ed25519 => ("PKIX_ED25519", ""),
    };
    details.starts_with(prefix) && details.contains(size)
}

fn read<'de, T: Deserialize<'de>>(spec: &'de str) -> Result<T, Reason> {
    serde_json::from_str(spec).map_err(|error| malformed(error.to_string()))
}

fn decode(text: &str) -> Result<Vec<u8>, Reason> {
    STANDARD
        .decode(text)
        .map_err(|_| malformed("a field is not standard base64".to_owned()))
}

fn mismatch(field: &'static str) -> Reason {
    Reason::LogEntryMismatch { field }
}

fn malformed(detail: String) -> Reason {
    Reason::LogEntryMalformed { detail }
}

fn unknown_kind(kind: &str, version: &str) -> Reason {
    Reason::LogEntryKind {
        kind: short(kind),
        version: short(version),
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
