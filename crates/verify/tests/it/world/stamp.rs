//! RFC 3161 responses with every part open to a test.

use proofmark_types::{Digest, UnixTime};
use rcgen::{CertificateParams, CustomExtension, DnType, KeyUsagePurpose, SigningKey};
use time::OffsetDateTime;

use super::{Party, SIGNED, YEAR, der};

const SHA256: &str = "2.16.840.1.101.3.4.2.1";
const TST_INFO: &str = "1.2.840.113549.1.9.16.1.4";

/// The certificate of a timestamp authority.
pub(crate) fn tsa_params(critical: bool) -> CertificateParams {
    tsa_params_with(critical, &["1.3.6.1.5.5.7.3.8"])
}

pub(crate) fn tsa_params_with(critical: bool, usages: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "alpha tsa");
    params.not_before = OffsetDateTime::from_unix_timestamp(SIGNED - YEAR).unwrap();
    params.not_after = OffsetDateTime::from_unix_timestamp(SIGNED + YEAR).unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let usages: Vec<Vec<u8>> = usages.iter().map(|usage| der::oid(usage)).collect();
    let mut usage = CustomExtension::from_oid_content(&[2, 5, 29, 37], der::sequence(&usages));
    usage.set_criticality(critical);
    params.custom_extensions = vec![usage];
    params
}

/// A response about to be written.
pub(crate) struct Stamp<'a> {
    pub(crate) status: u8,
    pub(crate) version: u8,
    pub(crate) imprint: Vec<u8>,
    pub(crate) imprint_algorithm: &'static str,
    pub(crate) time: String,
    pub(crate) extensions: Vec<u8>,
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Whose key signs.
    pub(crate) signer: &'a Party,
    /// Whose certificate the signed attributes name.
    pub(crate) named: &'a [u8],
    /// Whose issuer and serial the signer info names.
    pub(crate) identified: &'a [u8],
    pub(crate) content_type: &'static str,
    pub(crate) message_digest: Option<Vec<u8>>,
    pub(crate) signers: usize,
}

impl<'a> Stamp<'a> {
    pub(crate) fn over(bytes: &[u8], signer: &'a Party) -> Self {
        Self {
            status: 0,
            version: 1,
            imprint: Digest::sha256_of(bytes).as_bytes().to_vec(),
            imprint_algorithm: SHA256,
            time: generalized(SIGNED + 5),
            extensions: Vec::new(),
            certificates: Vec::new(),
            signer,
            named: &signer.der,
            identified: &signer.der,
            content_type: TST_INFO,
            message_digest: None,
            signers: 1,
        }
    }

    pub(crate) fn at(mut self, seconds: i64) -> Self {
        self.time = generalized(seconds);
        self
    }

    pub(crate) fn response(&self) -> Vec<u8> {
        let info = self.info();
        let signer = self.signer_info(&info);
        let signed = der::sequence(&[
            der::integer(3),
            der::set(&[der::algorithm(SHA256)]),
            der::sequence(&[der::oid(TST_INFO), der::tlv(0xa0, &der::octets(&info))]),
            der::tlv(0xa0, &self.certificates.concat()),
            der::set(&vec![signer; self.signers]),
        ]);
        let token = der::sequence(&[der::oid("1.2.840.113549.1.7.2"), der::tlv(0xa0, &signed)]);
        der::sequence(&[der::sequence(&[der::integer(self.status)]), token])
    }

    fn info(&self) -> Vec<u8> {
        let extensions = if self.extensions.is_empty() {
            Vec::new()
        } else {
            der::tlv(0xa1, &self.extensions)
        };
        der::sequence(&[
            der::integer(self.version),
            der::oid("1.3.6.1.4.1.57264.2"),
            der::sequence(&[der::algorithm(self.imprint_algorithm), der::octets(&self.imprint)]),
            der::integer(9),
            der::tlv(0x18, self.time.as_bytes()),
            extensions,
        ])
    }

    fn signer_info(&self, info: &[u8]) -> Vec<u8> {
        let digest = self
            .message_digest
            .clone()
            .unwrap_or_else(|| Digest::sha256_of(info).as_bytes().to_vec());
        let certificate_hash = der::sequence(&[der::octets(Digest::sha256_of(self.named).as_bytes())]);
        let attribute = |oid: &str, value: Vec<u8>| der::sequence(&[der::oid(oid), der::set(&[value])]);
        let attributes = [
            attribute("1.2.840.113549.1.9.3", der::oid(self.content_type)),
            attribute("1.2.840.113549.1.9.4", der::octets(&digest)),
            attribute(
                "1.2.840.113549.1.9.16.2.47",
                der::sequence(&[der::sequence(&[certificate_hash])]),
            ),
        ];
        let signature = self.signer.key.sign(&der::set(&attributes)).unwrap();
        // TBSCertificate: [0] version, serial, algorithm, issuer.
        let tbs = der::elements(der::content(der::first(der::content(self.identified))));
        der::sequence(&[
            der::integer(1),
            der::sequence(&[tbs[3].to_vec(), tbs[1].to_vec()]),
            der::algorithm(SHA256),
            der::tlv(0xa0, &attributes.concat()),
            der::algorithm("1.2.840.10045.4.3.2"),
            der::octets(&signature),
        ])
    }
}

pub(crate) fn generalized(seconds: i64) -> String {
    UnixTime::from_seconds(seconds)
        .unwrap()
        .to_string()
        .replace(['-', ':', 'T'], "")
}
