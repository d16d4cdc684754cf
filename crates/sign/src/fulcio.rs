//! Asking a certificate authority for a certificate (Fulcio v2, `POST /api/v2/signingCert`).

use der::{Decode, Encode};
use proofmark_evidence::encoding::{base64_encode, pem_decode_all};
use proofmark_types::UnixTime;
use proofmark_verify::KeyAlgorithm;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use crate::error::{Service, SignError};
use crate::http::{Answer, Http, HttpError};
use crate::key::SigningKey;
use crate::token::IdentityToken;

/// The path under the authority's address.
pub(crate) const PATH: &str = "/api/v2/signingCert";

/// The longest answer: a chain of ten certificates of 4 KB in PEM and JSON.
const MAX_ANSWER_BYTES: usize = 128 * 1024;

/// The most certificates of an answer, as in bundles.
const MAX_CHAIN: usize = 10;

/// How far the authority's clock may be ahead of ours.
const CLOCK_SKEW_SECONDS: u64 = 300;

/// id-kp-codeSigning (RFC 5280 §4.2.1.12).
const CODE_SIGNING: der::asn1::ObjectIdentifier = der::asn1::ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// What the authority issued.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    /// The leaf, DER.
    pub(crate) leaf: Vec<u8>,
    /// The rest of the chain, DER, the root last.
    pub(crate) chain: Vec<Vec<u8>>,
    /// When the leaf ends.
    pub(crate) not_after: UnixTime,
}

/// Asks for a certificate on `key` for the identity of `token`.
pub(crate) async fn request(
    http: &Http,
    url: &Url,
    token: &IdentityToken,
    key: &SigningKey,
    now: UnixTime,
) -> Result<Issued, SignError> {
    let claims = token.claims().possession_claims();
    let mut last = None;
    // Which hash the proof is verified with depends on the authority's version, where the curve has another than SHA-256.
    let mut proofs: Vec<(&str, bool)> = Vec::new();
    for claim in claims {
        proofs.push((claim, false));
        if key.log_hash() != key.legacy_hash() {
            proofs.push((claim, true));
        }
    }
    for (claim, legacy) in proofs {
        let proof = match legacy {
            true => key.sign_legacy(claim.as_bytes()).await?,
            false => key.sign(claim.as_bytes()).await?,
        };
        let answer = ask(http, url, token, key, &proof).await?;
        match answer.expect(url, &[StatusCode::OK, StatusCode::CREATED]) {
            Ok(answer) => return read(&answer, url, key, now),
            // The proof of possession may be over the wrong claim: which one the authority checks is in its
            // configuration. The next one is tried.
            Err(error @ HttpError::Status { status: 400, .. }) => last = Some(error),
            Err(error) => return Err(refused(error)),
        }
    }
    Err(last.map_or(
        SignError::Token(crate::token::TokenError::NoClaim { claim: "sub" }),
        refused,
    ))
}

fn refused(source: HttpError) -> SignError {
    SignError::Http {
        service: Service::Authority,
        source,
    }
}

async fn ask(
    http: &Http,
    url: &Url,
    token: &IdentityToken,
    key: &SigningKey,
    proof: &[u8],
) -> Result<Answer, SignError> {
    let body = Request {
        public_key_request: PublicKeyRequest {
            public_key: PublicKey {
                algorithm: match key.public_key().algorithm() {
                    KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => "ECDSA",
                    KeyAlgorithm::Ed25519 => "ED25519",
                    _ => "RSA_PSS",
                },
                content: key.public_key().to_pem(),
            },
            proof_of_possession: base64_encode(proof),
        },
    };
    let body = serde_json::to_vec(&body).unwrap_or_else(|error| unreachable!("own types always serialize: {error}"));
    let request = http
        .post(url)
        .bearer_auth(token.secret())
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(body);
    http.send(request, url, http.timing().certificate, MAX_ANSWER_BYTES)
        .await
        .map_err(refused)
}

/// Takes the answer apart and checks, before anything is signed with it, that it is what was asked for:
///
/// 1. at least a leaf, every element a certificate;
/// 2. the leaf is on our key;
/// 3. it is valid now;
/// 4. it is for signing code.
fn read(answer: &Answer, url: &Url, key: &SigningKey, now: UnixTime) -> Result<Issued, SignError> {
    let bad = |reason: &str| SignError::Answer {
        service: Service::Authority,
        url: url.clone(),
        reason: reason.to_owned(),
    };
    let response: Response =
        serde_json::from_slice(&answer.body).map_err(|_| bad("it is not the JSON of the interface"))?;
    let signed = response
        .signed_certificate_embedded_sct
        .or(response.signed_certificate_detached_sct)
        .ok_or_else(|| bad("it has no certificate"))?;
    // 1.
    if signed.chain.certificates.len() > MAX_CHAIN {
        return Err(bad("the chain is too long"));
    }
    let mut chain = Vec::new();
    for text in &signed.chain.certificates {
        chain.extend(pem_decode_all("CERTIFICATE", text).ok_or_else(|| bad("the chain is not PEM certificates"))?);
    }
    if chain.is_empty() {
        return Err(bad("the chain is empty"));
    }
    let leaf = chain.remove(0);
    for other in &chain {
        Certificate::from_der(other).map_err(|_| bad("a certificate of the chain is malformed"))?;
    }
    let certificate = Certificate::from_der(&leaf).map_err(|_| bad("the certificate is malformed"))?;
    let body = &certificate.tbs_certificate;
    // 2.
    let spki = body
        .subject_public_key_info
        .to_der()
        .map_err(|_| bad("the certificate's key is malformed"))?;
    if spki != key.public_key().spki_der() {
        return Err(bad("the certificate is on another key than ours"));
    }
    // 3.
    let time = |time: x509_cert::time::Time| {
        i64::try_from(time.to_unix_duration().as_secs())
            .ok()
            .and_then(|seconds| UnixTime::from_seconds(seconds).ok())
            .ok_or_else(|| bad("the certificate's validity is malformed"))
    };
    let (not_before, not_after) = (time(body.validity.not_before)?, time(body.validity.not_after)?);
    let skew = std::time::Duration::from_secs(CLOCK_SKEW_SECONDS);
    if not_before > now.plus(skew) || not_after < now {
        return Err(bad(&format!(
            "the certificate is valid from {not_before} to {not_after}, it is {now}"
        )));
    }
    // 4.
    let usage = body.get::<ExtendedKeyUsage>().ok().flatten();
    if !usage.is_some_and(|(_, usage)| usage.0.contains(&CODE_SIGNING)) {
        return Err(bad("the certificate is not for signing code"));
    }
    Ok(Issued { leaf, chain, not_after })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    public_key_request: PublicKeyRequest,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublicKeyRequest {
    public_key: PublicKey,
    proof_of_possession: String,
}

#[derive(Serialize)]
struct PublicKey {
    algorithm: &'static str,
    content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    signed_certificate_embedded_sct: Option<Signed>,
    signed_certificate_detached_sct: Option<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    chain: Chain,
}

#[derive(Deserialize)]
struct Chain {
    certificates: Vec<String>,
}
