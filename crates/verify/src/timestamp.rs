//! RFC 3161 timestamps, with RFC 5816: who saw the signature, and when.
//!
//! The certificate that is checked is the one that made the CMS signature and no other (GHSA-xm5m-wgh2-rrg3): it is
//! found by the hash in the signed signing-certificate attribute, not by looking for a likely one.

mod token;

use proofmark_types::{Digest, DigestAlgorithm, UnixTime};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm};
use webpki::EndEntityCert;

use self::token::{CertificateHash, HashFunction, Token};
use crate::chain::{ChainFailure, TIME_STAMPING};
use crate::claims::TimestampClaims;
use crate::proof::TimestampProof;
use crate::reason::Reason;
use crate::trust_root::Authority;

/// A token with a whole RSA-4096 chain in it has 8 KB.
const MAX_TIMESTAMP_BYTES: usize = 64 * 1024;

/// Our clock may be this much behind that of the authority.
pub(crate) const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(300);

/// Verifies one `TimeStampResp` over `stamped` against the known authorities.
///
/// 1. The response is granted and its token is a CMS SignedData with one signer (RFC 3161 section 2.4.2).
/// 2. The message imprint is the hash of `stamped` (section 2.4.2, `messageImprint`).
/// 3. The time is not in the future.
/// 4. The signer is the certificate that the signed attributes name by hash (RFC 5816 section 2.2.1) and that the
///    signer info names by issuer and serial or key identifier.
/// 5. That certificate is for timestamps, critically, and for nothing else (section 2.3).
/// 6. Its key signed the attributes, and those hold the content type and the hash of the content (RFC 5652 section 5.4).
/// 7. It leads to an authority at the token's time, and that authority is believed at that time: not another one.
pub(crate) fn verify(
    response: &[u8],
    stamped: &[u8],
    authorities: &[&Authority],
    now: UnixTime,
) -> Result<TimestampProof, Reason> {
    if response.len() > MAX_TIMESTAMP_BYTES {
        return Err(malformed(format!(
            "at most {MAX_TIMESTAMP_BYTES} bytes are accepted, this has {}",
            response.len()
        )));
    }
    // 1.
    let token = Token::parse(response)?;
    // 2.
    let expected = Digest::of(token.imprint_algorithm, stamped);
    if expected.as_bytes() != token.imprint {
        return Err(Reason::TimestampImprint {
            expected: expected.to_string(),
            seen: format!("{}:{}", token.imprint_algorithm.name(), hex::encode(token.imprint)),
        });
    }
    // 3.
    if token.time > now.plus(CLOCK_SKEW) {
        return Err(Reason::TimestampInFuture { at: token.time, now });
    }
    // 4.
    let signer = find_signer(&token, authorities)?;
    // 5.
    check_usage(&signer)?;
    // 6.
    check_signature(&token, &signer)?;
    // 7.
    let authority = find_authority(&signer, token.time, authorities)?;
    Ok(TimestampProof {
        authority: authority.name().to_owned(),
        time: token.time,
        policy: token.policy,
    })
}

/// What a response says, believed by nobody.
pub(crate) fn claims(response: &[u8]) -> Result<TimestampClaims, Reason> {
    let token = Token::parse(response)?;
    Ok(TimestampClaims {
        time: token.time,
        algorithm: token.imprint_algorithm,
        imprint: token.imprint.to_vec(),
        policy: token.policy,
        certificates: token.certificates.len(),
    })
}

/// The one certificate with the hash that the token signs. It may come from anywhere: the hash pins it, the path is
/// still to be found.
fn find_signer<'t>(token: &Token<'t>, authorities: &[&'t Authority]) -> Result<CertificateDer<'t>, Reason> {
    let known = authorities
        .iter()
        .flat_map(|authority| authority.certificates().iter().map(Vec::as_slice));
    let named = known
        .chain(token.certificates.iter().copied())
        .find(|der| hash_matches(&token.signer_hash, der));
    let Some(der) = named else {
        return Err(Reason::TimestampUntrusted {
            detail: "its signer's certificate is neither in the token nor in the trust root".to_owned(),
        });
    };
    let der = CertificateDer::from(der);
    let certificate = EndEntityCert::try_from(&der).map_err(|error| Reason::TimestampUntrusted {
        detail: format!("its signer's certificate is not usable: {error}"),
    })?;
    let consistent = token.signer.names(certificate.issuer(), certificate.serial(), &der)
        && token
            .signer_serial
            .is_none_or(|serial| token::same_integer(serial, certificate.serial()));
    if consistent {
        Ok(der)
    } else {
        Err(Reason::TimestampSignature {
            detail: "the signer info and the signing-certificate attribute name different certificates".to_owned(),
        })
    }
}

fn hash_matches(wanted: &CertificateHash<'_>, der: &[u8]) -> bool {
    match wanted.function {
        HashFunction::Sha1 => {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
            digest.as_ref() == wanted.hash
        }
        HashFunction::Sha2(algorithm) => Digest::of(algorithm, der).as_bytes() == wanted.hash,
    }
}

fn check_usage(signer: &CertificateDer<'_>) -> Result<(), Reason> {
    let unsuitable = |detail: String| Reason::TimestampUntrusted { detail };
    let certificate = crate::chain::parse(signer).map_err(unsuitable)?;
    let usage = crate::chain::single_critical_usage(&certificate).map_err(unsuitable)?;
    if usage == crate::chain::TIME_STAMPING_OID {
        Ok(())
    } else {
        Err(Reason::TimestampUntrusted {
            detail: format!("its signer's certificate is for {usage}, expected timestamps"),
        })
    }
}

fn check_signature(token: &Token<'_>, signer: &CertificateDer<'_>) -> Result<(), Reason> {
    let failed = |detail: &str| Reason::TimestampSignature {
        detail: detail.to_owned(),
    };
    if Digest::of(token.digest_algorithm, token.content).as_bytes() != token.message_digest {
        return Err(failed("the signed hash is not that of the content"));
    }
    let certificate = EndEntityCert::try_from(signer).map_err(|_| failed("the certificate is not usable"))?;
    let signed = token.signed_attributes();
    let verifies = algorithms(token).iter().any(|algorithm| {
        certificate
            .verify_signature(*algorithm, &signed, token.signature)
            .is_ok()
    });
    if verifies {
        Ok(())
    } else {
        Err(failed("its signer did not sign it"))
    }
}

/// The engine's algorithms for what the token names; the curve is the certificate's.
fn algorithms(token: &Token<'_>) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
    use token::SignatureScheme::{Ecdsa, Ed25519, RsaPkcs1, RsaPss};
    use webpki::aws_lc_rs as engine;
    match (token.scheme, token.scheme_hash.unwrap_or(token.digest_algorithm)) {
        (Ecdsa, DigestAlgorithm::Sha256) => vec![
            engine::ECDSA_P256_SHA256,
            engine::ECDSA_P384_SHA256,
            engine::ECDSA_P521_SHA256,
        ],
        (Ecdsa, DigestAlgorithm::Sha384) => vec![
            engine::ECDSA_P256_SHA384,
            engine::ECDSA_P384_SHA384,
            engine::ECDSA_P521_SHA384,
        ],
        (Ecdsa, DigestAlgorithm::Sha512) => vec![
            engine::ECDSA_P256_SHA512,
            engine::ECDSA_P384_SHA512,
            engine::ECDSA_P521_SHA512,
        ],
        (RsaPkcs1, DigestAlgorithm::Sha256) => vec![engine::RSA_PKCS1_2048_8192_SHA256],
        (RsaPkcs1, DigestAlgorithm::Sha384) => vec![engine::RSA_PKCS1_2048_8192_SHA384],
        (RsaPkcs1, DigestAlgorithm::Sha512) => vec![engine::RSA_PKCS1_2048_8192_SHA512],
        (RsaPss, DigestAlgorithm::Sha256) => vec![engine::RSA_PSS_2048_8192_SHA256_LEGACY_KEY],
        (RsaPss, DigestAlgorithm::Sha384) => vec![engine::RSA_PSS_2048_8192_SHA384_LEGACY_KEY],
        (RsaPss, DigestAlgorithm::Sha512) => vec![engine::RSA_PSS_2048_8192_SHA512_LEGACY_KEY],
        (Ed25519, _) => vec![engine::ED25519],
    }
}

fn find_authority<'a>(
    signer: &CertificateDer<'_>,
    at: UnixTime,
    authorities: &[&'a Authority],
) -> Result<&'a Authority, Reason> {
    let mut failure = None;
    for authority in authorities {
        match authority.prepared.path(signer, &[], at, TIME_STAMPING) {
            Ok(_) if authority.validity.contains(at) => return Ok(authority),
            Ok(_) | Err(ChainFailure::OutsideValidity(_)) => {
                failure = Some(Reason::TimestampOutsideValidity {
                    authority: authority.name().to_owned(),
                    at,
                });
            }
            Err(ChainFailure::Untrusted(detail)) => {
                failure.get_or_insert(Reason::TimestampUntrusted { detail });
            }
        }
    }
    Err(failure.unwrap_or_else(|| Reason::TimestampUntrusted {
        detail: "no timestamp authority is known".to_owned(),
    }))
}

fn malformed(detail: String) -> Reason {
    Reason::TimestampMalformed { detail }
}
