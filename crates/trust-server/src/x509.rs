//! The certificates of a trust domain: roots, intermediates, the timestamp leaf and signing certificates share one
//! builder, which keeps the order of extensions that Fulcio and Go's x509 have.

use aws_lc_rs::digest;
use proofmark_types::UnixTime;

use crate::asn1;
use crate::key::{EcdsaKey, KeyFileError};

/// A certificate authority: its key, and what the certificates that it signs say about it.
pub(crate) struct Issuer<'a> {
    pub(crate) key: &'a EcdsaKey,
    /// The DER of its subject.
    pub(crate) name: Vec<u8>,
}

/// A certificate before its signature.
pub(crate) struct Certificate<'a> {
    /// Big-endian, positive, at most 20 bytes.
    pub(crate) serial: [u8; 20],
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
    /// The DER of the subject; empty for signing certificates.
    pub(crate) subject: Vec<u8>,
    pub(crate) spki: &'a [u8],
    /// In their order, each a complete Extension.
    pub(crate) extensions: Vec<Vec<u8>>,
}

impl Certificate<'_> {
    /// The to-be-signed part.
    pub(crate) fn tbs(&self, issuer: &Issuer<'_>) -> Vec<u8> {
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        asn1::sequence(&[
            &asn1::explicit(0, &asn1::unsigned(&[2])),
            &asn1::unsigned(&self.serial),
            &ecdsa_with_sha256(),
            &issuer.name,
            &asn1::sequence(&[&asn1::time(self.not_before), &asn1::time(self.not_after)]),
            &self.subject,
            self.spki,
            &asn1::explicit(3, &asn1::sequence(&extensions)),
        ])
    }

    /// The signed certificate.
    pub(crate) fn sign(&self, issuer: &Issuer<'_>) -> Result<Vec<u8>, KeyFileError> {
        let tbs = self.tbs(issuer);
        let signature = issuer.key.sign(&tbs)?;
        Ok(asn1::sequence(&[&tbs, &ecdsa_with_sha256(), &asn1::bits(&signature)]))
    }
}

/// A random serial number of 159 bits: unpredictable, positive, at most 20 bytes (RFC 5280 section 4.1.2.2).
pub(crate) fn random_serial() -> Result<[u8; 20], KeyFileError> {
    let mut serial = [0; 20];
    getrandom::fill(&mut serial).map_err(|_| KeyFileError::Engine)?;
    serial[0] = serial[0] & 0x7f | 0x40;
    Ok(serial)
}

/// AlgorithmIdentifier of ecdsa-with-SHA256.
pub(crate) fn ecdsa_with_sha256() -> Vec<u8> {
    asn1::sequence(&[&asn1::oid(&[1, 2, 840, 10045, 4, 3, 2])])
}

/// A Name of organization and common name.
pub(crate) fn name(organization: &str, common_name: &str) -> Vec<u8> {
    let attribute =
        |arc, text: &str| asn1::set_of(vec![asn1::sequence(&[&asn1::oid(&[2, 5, 4, arc]), &asn1::utf8(text)])]);
    asn1::sequence(&[&attribute(10, organization), &attribute(3, common_name)])
}

/// The empty Name.
pub(crate) fn empty_name() -> Vec<u8> {
    asn1::sequence(&[])
}

/// An Extension around the DER of its value.
pub(crate) fn extension(arcs: &[u64], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { asn1::truth() } else { Vec::new() };
    asn1::sequence(&[&asn1::oid(arcs), &critical, &asn1::octets(value)])
}

/// keyUsage: digitalSignature alone.
pub(crate) fn usage_signature() -> Vec<u8> {
    extension(&[2, 5, 29, 15], true, &[0x03, 0x02, 0x07, 0x80])
}

/// keyUsage: keyCertSign and cRLSign.
pub(crate) fn usage_authority() -> Vec<u8> {
    extension(&[2, 5, 29, 15], true, &[0x03, 0x02, 0x01, 0x06])
}

/// extendedKeyUsage with one purpose, the last arc of 1.3.6.1.5.5.7.3.
pub(crate) fn purpose(last: u64, critical: bool) -> Vec<u8> {
    let value = asn1::sequence(&[&asn1::oid(&[1, 3, 6, 1, 5, 5, 7, 3, last])]);
    extension(&[2, 5, 29, 37], critical, &value)
}

/// The last arc of codeSigning.
pub(crate) const CODE_SIGNING: u64 = 3;
/// The last arc of timeStamping.
pub(crate) const TIME_STAMPING: u64 = 8;

/// basicConstraints of an authority.
pub(crate) fn authority(path_length: Option<u8>) -> Vec<u8> {
    let length = path_length.map(|n| asn1::unsigned(&[n])).unwrap_or_default();
    extension(&[2, 5, 29, 19], true, &asn1::sequence(&[&asn1::truth(), &length]))
}

/// subjectKeyIdentifier: SHA-1 of the key's bits, as everyone makes it (RFC 5280 section 4.2.1.2, method 1). A name, not
/// a protection.
pub(crate) fn subject_key_id(spki: &[u8]) -> Vec<u8> {
    extension(&[2, 5, 29, 14], false, &asn1::octets(&key_id(spki)))
}

/// authorityKeyIdentifier: the issuer's subjectKeyIdentifier.
pub(crate) fn authority_key_id(issuer_spki: &[u8]) -> Vec<u8> {
    let value = asn1::sequence(&[&asn1::implicit(0, &key_id(issuer_spki))]);
    extension(&[2, 5, 29, 35], false, &value)
}

fn key_id(spki: &[u8]) -> Vec<u8> {
    use der::Decode;
    let key = spki_key_bits(x509_cert::spki::SubjectPublicKeyInfoRef::from_der(spki).ok(), spki);
    digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key).as_ref().to_vec()
}

/// The bits of the key; the whole structure where it cannot be read, which names the key as well.
fn spki_key_bits<'a>(info: Option<x509_cert::spki::SubjectPublicKeyInfoRef<'a>>, spki: &'a [u8]) -> &'a [u8] {
    info.map_or(spki, |info| info.subject_public_key.raw_bytes())
}
