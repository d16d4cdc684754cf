//! Asking a timestamp authority (RFC 3161 over HTTP): SHA-256 of the message, a nonce, and the authority's certificate.

use cms::signed_data::SignedData;
use der::asn1::{Int, ObjectIdentifier, OctetString};
use der::{Any, AnyRef, Decode, Encode};
use proofmark_types::Digest;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{StatusCode, Url};
use x509_tsp::{MessageImprint, TimeStampReq, TimeStampResp, TspVersion, TstInfo};

use crate::error::{Service, SignError};
use crate::http::{Http, HttpError};

/// The longest answer: a token with a chain of ten certificates.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// The length of a nonce; positive and without leading zeros, so that its DER is these bytes.
const NONCE_BYTES: usize = 8;

const ID_SHA_256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const ID_SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const ID_TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");

/// `PKIStatus` (RFC 3161 §2.4.2), DER.
const GRANTED: &[u8] = &[2, 1, 0];
const GRANTED_WITH_MODS: &[u8] = &[2, 1, 1];

/// Has `message` timestamped; returns the DER `TimeStampResp`.
pub(crate) async fn request(http: &Http, url: &Url, message: &[u8]) -> Result<Vec<u8>, SignError> {
    let digest = Digest::sha256_of(message);
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| crate::key::SigningKeyError::Engine)?;
    // Between 0x40 and 0x7f first: positive, and never shortened.
    nonce[0] = (nonce[0] & 0x3f) | 0x40;
    let query = query(&digest, &nonce).map_err(|_| crate::key::SigningKeyError::Engine)?;
    let failed = |source: HttpError| SignError::Http {
        service: Service::TimestampAuthority,
        source,
    };
    let request = http
        .post(url)
        .header(CONTENT_TYPE, "application/timestamp-query")
        .header(ACCEPT, "application/timestamp-reply")
        .body(query);
    let answer = http
        .send(request, url, http.timing().timestamp, MAX_ANSWER_BYTES)
        .await
        .and_then(|answer| answer.expect(url, &[StatusCode::OK, StatusCode::CREATED]))
        .map_err(failed)?;
    check(&answer.body, &digest, &nonce).map_err(|reason| SignError::Answer {
        service: Service::TimestampAuthority,
        url: url.clone(),
        reason: reason.to_owned(),
    })?;
    Ok(answer.body)
}

fn query(digest: &Digest, nonce: &[u8]) -> Result<Vec<u8>, der::Error> {
    TimeStampReq {
        version: TspVersion::V1,
        message_imprint: MessageImprint {
            hash_algorithm: spki::AlgorithmIdentifier {
                oid: ID_SHA_256,
                parameters: Some(Any::from(AnyRef::NULL)),
            },
            hashed_message: OctetString::new(digest.as_bytes())?,
        },
        req_policy: None,
        nonce: Some(Int::new(nonce)?),
        cert_req: true,
        extensions: None,
    }
    .to_der()
}

/// RFC 3161 §2.4.2: what the requester checks of an answer. The signature is verified with the finished bundle.
///
/// 1. the status is granted;
/// 2. it is signed data with a `TSTInfo` in it;
/// 3. the imprint is that of the request;
/// 4. the nonce is that of the request: the answer is not an old one.
fn check(response: &[u8], digest: &Digest, nonce: &[u8]) -> Result<(), &'static str> {
    let response = TimeStampResp::from_der(response).map_err(|_| "it is not a timestamp response")?;
    // 1.
    if !matches!(
        response.status.status.to_der().as_deref(),
        Ok(GRANTED | GRANTED_WITH_MODS)
    ) {
        return Err("the request was rejected");
    }
    // 2.
    let token = response.time_stamp_token.ok_or("it has no token")?;
    if token.content_type != ID_SIGNED_DATA {
        return Err("the token is not signed data");
    }
    let signed: SignedData = token.content.decode_as().map_err(|_| "the token is not signed data")?;
    if signed.encap_content_info.econtent_type != ID_TST_INFO {
        return Err("the token holds no timestamp");
    }
    let content = signed.encap_content_info.econtent.ok_or("the token is empty")?;
    let info = TstInfo::from_der(content.value()).map_err(|_| "the timestamp is malformed")?;
    // 3.
    if info.message_imprint.hash_algorithm.oid != ID_SHA_256
        || info.message_imprint.hashed_message.as_bytes() != digest.as_bytes()
    {
        return Err("the timestamp is over something else");
    }
    // 4.
    if info.nonce.is_none_or(|seen| seen.as_bytes() != nonce) {
        return Err("the timestamp has another nonce than the request");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_what_openssl_makes() {
        let digest = Digest::sha256_of(b"abc");
        let query = query(&digest, &[0x41, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let expected = format!(
            "3043020101{}{}0208410203040506070801 01ff",
            "3031300d060960864801650304020105000420",
            digest.hex()
        )
        .replace("0801 01ff", "080101ff");
        assert_eq!(hex::encode(query), expected);
    }

    #[test]
    fn answers_that_are_none_have_their_reason() {
        let digest = Digest::sha256_of(b"abc");
        for (answer, reason) in [
            (&b""[..], "it is not a timestamp response"),
            (b"\x30\x05\x30\x03\x02\x01\x02", "the request was rejected"),
            (b"\x30\x05\x30\x03\x02\x01\x00", "it has no token"),
        ] {
            assert_eq!(check(answer, &digest, &[1]).unwrap_err(), reason);
        }
    }
}
