//! Facts of a leaf certificate that verified: subjects, issuer and what the authority recorded about the build.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use der::asn1::{ObjectIdentifier, OctetStringRef, Utf8StringRef};
use der::{Decode, Encode};
use proofmark_types::{Digest, Identity, SubjectName, UnixTime};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName};

use crate::chain::{self, Window};
use crate::key::PublicKey;
use crate::reason::Reason;

/// Names in one certificate: Fulcio writes one, a certificate of one's own authority perhaps a few.
const MAX_SUBJECTS: usize = 32;

/// A value of an extension is an address or a commit.
const MAX_VALUE_BYTES: usize = 4_096;

const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");
const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// RFC 6962 section 3.3.
const SCT_LIST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.2");
/// RFC 6962 section 3.1.
const POISON: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11129.2.4.3");
const FULCIO_ARC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1");
/// The `otherName` of a user name (Fulcio certificate specification).
const FULCIO_USER_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57264.1.7");
/// The OIDC issuer as raw text, deprecated.
const ISSUER_V1: u32 = 1;
/// The OIDC issuer as a DER string.
const ISSUER_V2: u32 = 8;

/// What a verified certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subjects and the OIDC issuer.
    pub identity: Identity,
    /// What the authority recorded from the token.
    pub extensions: CertificateExtensions,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Serial number, in hex.
    pub serial: String,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: Digest,
    /// SHA-256 of the SubjectPublicKeyInfo of the key that it certifies.
    pub key: Digest,
    /// The authority it chains to, in words: the address in the trust root, or the anchor's subject.
    pub authority: String,
}

/// The extensions under 1.3.6.1.4.1.57264.1 (Fulcio, docs/oid-info.md), by their last number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateExtensions {
    values: BTreeMap<u32, String>,
}

macro_rules! extension_getters {
    ($($name:ident, $number:literal, $doc:literal;)*) => {
        $(#[doc = $doc]
        #[must_use]
        pub fn $name(&self) -> Option<&str> {
            self.get($number)
        })*
    };
}

impl CertificateExtensions {
    /// The value of extension `1.3.6.1.4.1.57264.1.<number>`.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&str> {
        self.values.get(&number).map(String::as_str)
    }

    /// All values, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.values.iter().map(|(number, value)| (*number, value.as_str()))
    }

    extension_getters! {
        github_workflow_trigger, 2, "The event that triggered the GitHub workflow (.2).";
        github_workflow_sha, 3, "The commit that the GitHub workflow ran at (.3).";
        github_workflow_name, 4, "The name of the GitHub workflow (.4).";
        github_workflow_repository, 5, "The repository of the GitHub workflow, `owner/name` (.5).";
        github_workflow_ref, 6, "The git reference of the GitHub workflow (.6).";
        build_signer_uri, 9, "The build instructions that signed (.9).";
        build_signer_digest, 10, "The version of the build instructions that signed (.10).";
        runner_environment, 11, "Hosted or self-hosted (.11).";
        source_repository_uri, 12, "The source repository (.12).";
        source_repository_digest, 13, "The source revision (.13).";
        source_repository_ref, 14, "The source reference (.14).";
        source_repository_identifier, 15, "The immutable identifier of the source repository (.15).";
        source_repository_owner_uri, 16, "The owner of the source repository (.16).";
        source_repository_owner_identifier, 17, "The immutable identifier of the owner (.17).";
        build_config_uri, 18, "The top-level build configuration (.18).";
        build_config_digest, 19, "The version of the top-level build configuration (.19).";
        build_trigger, 20, "What triggered the build (.20).";
        run_invocation_uri, 21, "The run (.21).";
        source_repository_visibility, 22, "Visibility of the source repository when signing (.22).";
        deployment_environment, 23, "The deployment environment (.23).";
        token_subject, 24, "The `sub` claim of the token (.24).";
    }
}

/// A leaf certificate as it was read; nothing about it is believed yet.
pub(crate) struct Leaf<'a> {
    pub(crate) der: CertificateDer<'a>,
    pub(crate) key: PublicKey,
    pub(crate) window: Window,
    /// The TLS-encoded list inside the SCT extension.
    pub(crate) sct_list: Option<Vec<u8>>,
    certificate: Certificate,
}

impl<'a> Leaf<'a> {
    /// Reads a certificate that claims to have signed, and refuses those that may not.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self, Reason> {
        let certificate = chain::parse(der).map_err(malformed)?;
        let spki = chain::spki(&certificate).map_err(malformed)?;
        let key = PublicKey::from_spki_der(&spki).map_err(|error| malformed(error.to_string()))?;
        let window = Window::of(&certificate).map_err(malformed)?;
        let extensions = extensions(&certificate);
        check_unique(extensions)?;
        if find(extensions, POISON).is_some() {
            return Err(malformed("it is a precertificate".to_owned()));
        }
        check_usages(extensions)?;
        let sct_list = find(extensions, SCT_LIST).map(sct_list).transpose()?;
        Ok(Self {
            der: CertificateDer::from(der),
            key,
            window,
            sct_list,
            certificate,
        })
    }

    /// The facts in it, once it was found to chain to `authority`.
    pub(crate) fn facts(&self, authority: &str) -> Result<CertificateFacts, Reason> {
        let (identity, extensions, _) = recorded(&self.certificate)?;
        Ok(CertificateFacts {
            identity,
            extensions,
            not_before: self.window.not_before,
            not_after: self.window.not_after,
            serial: hex::encode(self.certificate.tbs_certificate.serial_number.as_bytes()),
            fingerprint: Digest::sha256_of(&self.der),
            key: self.key.fingerprint().clone(),
            authority: authority.to_owned(),
        })
    }
}

/// The names, what the authority recorded, and whether there are SCTs.
pub(crate) fn recorded(certificate: &Certificate) -> Result<(Identity, CertificateExtensions, bool), Reason> {
    let extensions = extensions(certificate);
    let recorded = CertificateExtensions::read(extensions)?;
    let issuer = recorded
        .get(ISSUER_V2)
        .or_else(|| recorded.get(ISSUER_V1))
        .map(str::to_owned);
    let subjects = match find(extensions, SUBJECT_ALT_NAME) {
        Some(extension) => subjects(extension)?,
        None => Vec::new(),
    };
    let has_scts = find(extensions, SCT_LIST).is_some();
    Ok((Identity { subjects, issuer }, recorded, has_scts))
}

fn extensions(certificate: &Certificate) -> &[Extension] {
    certificate.tbs_certificate.extensions.as_deref().unwrap_or_default()
}

fn find(extensions: &[Extension], oid: ObjectIdentifier) -> Option<&Extension> {
    extensions.iter().find(|extension| extension.extn_id == oid)
}

/// RFC 5280 section 4.2: at most one of each, or two readers would see two identities.
fn check_unique(extensions: &[Extension]) -> Result<(), Reason> {
    let mut seen: Vec<ObjectIdentifier> = extensions.iter().map(|extension| extension.extn_id).collect();
    seen.sort_unstable();
    match seen.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => {
            let oid = pair.first().map(ToString::to_string).unwrap_or_default();
            Err(malformed(format!("extension {oid} is there twice")))
        }
        None => Ok(()),
    }
}

/// The leaf must be meant for signing code; the path's own usages are checked with the path.
fn check_usages(extensions: &[Extension]) -> Result<(), Reason> {
    let usages = find(extensions, EXTENDED_KEY_USAGE)
        .ok_or_else(|| malformed("it has no extended key usage, expected code signing".to_owned()))?;
    let usages = ExtendedKeyUsage::from_der(usages.extn_value.as_bytes()).map_err(der_error)?;
    if !usages.0.contains(&CODE_SIGNING) {
        return Err(malformed(
            "its extended key usages do not include code signing".to_owned(),
        ));
    }
    if let Some(usage) = find(extensions, KEY_USAGE) {
        let usage = KeyUsage::from_der(usage.extn_value.as_bytes()).map_err(der_error)?;
        if !usage.0.contains(KeyUsages::DigitalSignature) {
            return Err(malformed(
                "its key usage does not include digital signatures".to_owned(),
            ));
        }
    }
    Ok(())
}

fn sct_list(extension: &Extension) -> Result<Vec<u8>, Reason> {
    OctetStringRef::from_der(extension.extn_value.as_bytes())
        .map(|list| list.as_bytes().to_vec())
        .map_err(|error| Reason::SctMalformed {
            detail: error.to_string(),
        })
}

impl CertificateExtensions {
    fn read(extensions: &[Extension]) -> Result<Self, Reason> {
        let mut values = BTreeMap::new();
        for extension in extensions {
            let Some(number) = fulcio_number(extension.extn_id) else {
                continue;
            };
            let bytes = extension.extn_value.as_bytes();
            if bytes.len() > MAX_VALUE_BYTES {
                return Err(malformed(format!(
                    "extension {} has {} bytes, at most {MAX_VALUE_BYTES} are accepted",
                    extension.extn_id,
                    bytes.len()
                )));
            }
            // Fulcio docs/oid-info.md: up to .7 the bare text, from .8 a DER UTF8String.
            let text = if number < ISSUER_V2 {
                std::str::from_utf8(bytes).map_err(|error| malformed(error.to_string()))?
            } else {
                Utf8StringRef::from_der(bytes).map_err(der_error)?.as_str()
            };
            values.insert(number, text.to_owned());
        }
        Ok(Self { values })
    }
}

/// `n` of `1.3.6.1.4.1.57264.1.n`.
fn fulcio_number(oid: ObjectIdentifier) -> Option<u32> {
    let arcs = FULCIO_ARC.len();
    let matches = oid.len() == arcs + 1 && oid.arcs().zip(FULCIO_ARC.arcs()).all(|(a, b)| a == b);
    if matches { oid.arc(arcs) } else { None }
}

fn subjects(extension: &Extension) -> Result<Vec<SubjectName>, Reason> {
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes()).map_err(der_error)?;
    if names.0.len() > MAX_SUBJECTS {
        return Err(Reason::TooMany {
            what: "subject names",
            limit: MAX_SUBJECTS,
            seen: names.0.len(),
        });
    }
    names.0.iter().filter_map(subject).collect()
}

/// A name of a kind that identities are made of; other kinds (directory names and so on) are not identities here.
fn subject(name: &GeneralName) -> Option<Result<SubjectName, Reason>> {
    let subject = match name {
        GeneralName::Rfc822Name(text) => SubjectName::Email(text.to_string()),
        GeneralName::UniformResourceIdentifier(text) => SubjectName::Uri(text.to_string()),
        GeneralName::DnsName(text) => SubjectName::Dns(text.to_string()),
        GeneralName::IpAddress(bytes) => return Some(address(bytes.as_bytes())),
        GeneralName::OtherName(other) if other.type_id == FULCIO_USER_NAME => {
            let text = other.value.to_der().map_err(der_error).and_then(|der| {
                Utf8StringRef::from_der(&der)
                    .map(|text| SubjectName::OtherName(text.as_str().to_owned()))
                    .map_err(der_error)
            });
            return Some(text);
        }
        _ => return None,
    };
    Some(Ok(subject))
}

fn address(bytes: &[u8]) -> Result<SubjectName, Reason> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Ok(SubjectName::Ip(Ipv4Addr::from(octets).to_string()));
    }
    <[u8; 16]>::try_from(bytes)
        .map(|octets| SubjectName::Ip(Ipv6Addr::from(octets).to_string()))
        .map_err(|_| malformed(format!("an IP address of {} bytes", bytes.len())))
}

fn malformed(detail: String) -> Reason {
    Reason::CertificateMalformed { detail }
}

fn der_error(error: der::Error) -> Reason {
    malformed(error.to_string())
}
