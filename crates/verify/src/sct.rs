//! Embedded signed certificate timestamps (RFC 6962 sections 3.2 and 3.3): the promise of a certificate log to publish
//! the certificate, verified over the certificate as it was before the promise was put into it.

use der::asn1::ObjectIdentifier;
use der::{Decode, Encode, Header, Length, Reader, SliceReader, Tag, TagNumber};
use proofmark_types::{Digest, UnixTime};

use crate::certificate::Leaf;
use crate::proof::{SctEvidence, SctProof};
use crate::reason::Reason;
use crate::trust_root::LogKey;

/// A certificate of a web server has two or three, one of Fulcio one.
const MAX_SCTS: usize = 32;

/// `opaque LogID[32]`.
const LOG_ID_BYTES: usize = 32;

const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");

/// RFC 5246 section 7.4.1.4.1: SHA-256.
const TLS_SHA256: u8 = 4;

/// Verifies every embedded SCT of a log in `logs`; those of other logs are skipped. `issuer_spki` is the key of the
/// issuer on the path that was verified, never one that the evidence names.
pub(crate) fn verify(leaf: &Leaf<'_>, issuer_spki: &[u8], logs: &[&LogKey]) -> Result<SctProof, Reason> {
    let Some(list) = &leaf.sct_list else {
        return Ok(SctProof::Absent);
    };
    let scts = parse_list(list).ok_or_else(|| malformed("the list is not as RFC 6962 section 3.3 has it"))?;
    if scts.len() > MAX_SCTS {
        return Err(Reason::TooMany {
            what: "SCTs",
            limit: MAX_SCTS,
            seen: scts.len(),
        });
    }
    let mut evidence: Vec<SctEvidence> = Vec::new();
    let mut precertificate = None;
    for sct in &scts {
        let mut known = logs.iter().copied().filter(|log| log.log_id == sct.log_id).peekable();
        if known.peek().is_none() {
            continue;
        }
        let tbs = match &precertificate {
            Some(tbs) => tbs,
            None => precertificate.insert(precertificate_tbs(&leaf.der).map_err(|error| Reason::SctMalformed {
                detail: format!("the certificate before the SCT cannot be rebuilt: {error}"),
            })?),
        };
        let log = verify_one(sct, &sct.signed(issuer_spki, tbs)?, known)?;
        // CVE-2026-49834: several promises of one log are one.
        if !evidence.iter().any(|known| known.log_id == log.log_id) {
            evidence.push(log);
        }
    }
    if evidence.is_empty() {
        Ok(SctProof::NotConsulted)
    } else {
        Ok(SctProof::Verified(evidence))
    }
}

/// A log may have had several entries in the trust root (windows of one key); one of them must fit.
fn verify_one<'l>(
    sct: &Sct<'_>,
    signed: &[u8],
    known: impl Iterator<Item = &'l LogKey>,
) -> Result<SctEvidence, Reason> {
    let time = sct.time()?;
    let mut failure = None;
    for log in known {
        if log.key.verify(signed, sct.signature).is_err() {
            failure = Some(Reason::SctInvalid { log: log.name() });
        } else if !log.validity.contains(time) {
            failure = Some(Reason::SctOutsideValidity {
                log: log.name(),
                at: time,
            });
        } else {
            return Ok(SctEvidence {
                log: log.name(),
                log_id: log.log_id.clone(),
                time,
            });
        }
    }
    Err(failure.unwrap_or_else(|| malformed("no log")))
}

/// One `SignedCertificateTimestamp`.
struct Sct<'a> {
    version: u8,
    log_id: &'a [u8],
    milliseconds: u64,
    extensions: &'a [u8],
    hash: u8,
    signature: &'a [u8],
}

impl Sct<'_> {
    fn time(&self) -> Result<UnixTime, Reason> {
        i64::try_from(self.milliseconds / 1_000)
            .ok()
            .and_then(|seconds| UnixTime::from_seconds(seconds).ok())
            .ok_or_else(|| malformed("its time is out of range"))
    }

    /// RFC 6962 section 3.2: what the log signed, with the entry type of precertificates.
    fn signed(&self, issuer_spki: &[u8], tbs: &[u8]) -> Result<Vec<u8>, Reason> {
        if self.version != 0 {
            return Err(malformed("its version is not 1"));
        }
        if self.hash != TLS_SHA256 {
            return Err(malformed("it is not signed over SHA-256"));
        }
        let too_long = |_| malformed("the certificate is too long for an SCT");
        let length = u32::try_from(tbs.len()).map_err(too_long)?.to_be_bytes();
        let [0, length @ ..] = length else {
            return Err(malformed("the certificate is too long for an SCT"));
        };
        let mut bytes = Vec::with_capacity(tbs.len() + self.extensions.len() + 64);
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&self.milliseconds.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes.extend_from_slice(Digest::sha256_of(issuer_spki).as_bytes());
        bytes.extend_from_slice(&length);
        bytes.extend_from_slice(tbs);
        bytes.extend_from_slice(&u16::try_from(self.extensions.len()).map_err(too_long)?.to_be_bytes());
        bytes.extend_from_slice(self.extensions);
        Ok(bytes)
    }
}

fn malformed(detail: &str) -> Reason {
    Reason::SctMalformed {
        detail: detail.to_owned(),
    }
}

/// Both parsers of foreign bytes here.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_for_fuzzing(list: &[u8], certificate: &[u8]) {
    let tbs = precertificate_tbs(certificate).unwrap_or_default();
    for sct in parse_list(list).unwrap_or_default() {
        let _ = sct.time();
        let _ = sct.signed(b"an issuer", &tbs);
    }
}

fn parse_list(bytes: &[u8]) -> Option<Vec<Sct<'_>>> {
    let (mut list, rest) = take_u16(bytes)?;
    if !rest.is_empty() || list.is_empty() {
        return None;
    }
    let mut scts = Vec::new();
    while !list.is_empty() {
        let (one, rest) = take_u16(list)?;
        scts.push(parse_sct(one)?);
        list = rest;
    }
    Some(scts)
}

fn parse_sct(bytes: &[u8]) -> Option<Sct<'_>> {
    let (version, rest) = bytes.split_first()?;
    let (log_id, rest) = rest.split_at_checked(LOG_ID_BYTES)?;
    let (milliseconds, rest) = rest.split_first_chunk::<8>()?;
    let (extensions, rest) = take_u16(rest)?;
    let ([hash, _algorithm], rest) = rest.split_first_chunk::<2>()?;
    let (signature, rest) = take_u16(rest)?;
    rest.is_empty().then_some(Sct {
        version: *version,
        log_id,
        milliseconds: u64::from_be_bytes(*milliseconds),
        extensions,
        hash: *hash,
        signature,
    })
}

/// A vector with a length of two bytes before it, and what follows.
fn take_u16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// The TBSCertificate without the SCT list, all other bytes as they are: lengths are the only thing written anew.
fn precertificate_tbs(certificate: &[u8]) -> der::Result<Vec<u8>> {
    let mut reader = SliceReader::new(certificate)?;
    let header = Header::decode(&mut reader)?;
    header.tag.assert_eq(Tag::Sequence)?;
    let tbs = reader.tlv_bytes()?;
    let mut reader = SliceReader::new(tbs)?;
    Header::decode(&mut reader)?.tag.assert_eq(Tag::Sequence)?;
    let extensions_tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber::N3,
    };
    let mut content = Vec::with_capacity(tbs.len());
    while !reader.is_finished() {
        let tag = reader.peek_header()?.tag;
        let field = reader.tlv_bytes()?;
        if tag == extensions_tag {
            content.extend_from_slice(&extensions_without_scts(field, extensions_tag)?);
        } else {
            content.extend_from_slice(field);
        }
    }
    wrap(Tag::Sequence, &content)
}

fn extensions_without_scts(field: &[u8], tag: Tag) -> der::Result<Vec<u8>> {
    let mut reader = SliceReader::new(field)?;
    Header::decode(&mut reader)?.tag.assert_eq(tag)?;
    Header::decode(&mut reader)?.tag.assert_eq(Tag::Sequence)?;
    let mut kept = Vec::with_capacity(field.len());
    while !reader.is_finished() {
        let extension = reader.tlv_bytes()?;
        let mut inner = SliceReader::new(extension)?;
        Header::decode(&mut inner)?.tag.assert_eq(Tag::Sequence)?;
        if ObjectIdentifier::decode(&mut inner)? != SCT_LIST {
            kept.extend_from_slice(extension);
        }
    }
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    wrap(tag, &wrap(Tag::Sequence, &kept)?)
}

fn wrap(tag: Tag, content: &[u8]) -> der::Result<Vec<u8>> {
    let header = Header {
        tag,
        length: Length::try_from(content.len())?,
    };
    let mut bytes = header.to_der()?;
    bytes.extend_from_slice(content);
    Ok(bytes)
}
