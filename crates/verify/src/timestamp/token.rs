//! The bytes of a timestamp: `TimeStampResp` (RFC 3161), in it a CMS `SignedData` (RFC 5652), in it a `TSTInfo`.

use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};
use proofmark_types::{DigestAlgorithm, UnixTime};

use crate::asn1::{Element, Elements, context};
use crate::reason::Reason;

/// Certificates in one token: a chain has three.
const MAX_CERTIFICATES: usize = 10;

/// Signed attributes: peers write four.
const MAX_ATTRIBUTES: usize = 32;

const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const TST_INFO: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.1.4");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.12");
const SIGNING_CERTIFICATE_V2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.47");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// What a timestamp says, and who says so; nothing of it verified.
pub(super) struct Token<'a> {
    pub(super) imprint_algorithm: DigestAlgorithm,
    pub(super) imprint: &'a [u8],
    pub(super) time: UnixTime,
    pub(super) policy: String,
    /// The DER of the `TSTInfo`.
    pub(super) content: &'a [u8],
    pub(super) certificates: Vec<&'a [u8]>,
    pub(super) signer: SignerIdentifier<'a>,
    pub(super) digest_algorithm: DigestAlgorithm,
    pub(super) message_digest: &'a [u8],
    pub(super) signer_hash: CertificateHash<'a>,
    pub(super) signer_serial: Option<&'a [u8]>,
    pub(super) scheme: SignatureScheme,
    pub(super) scheme_hash: Option<DigestAlgorithm>,
    pub(super) signature: &'a [u8],
    attributes: &'a [u8],
}

/// How the signer info names its certificate.
pub(super) enum SignerIdentifier<'a> {
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    KeyIdentifier(&'a [u8]),
}

/// The hash of the signer's certificate (RFC 5035, `ESSCertID`, `ESSCertIDv2`).
pub(super) struct CertificateHash<'a> {
    pub(super) function: HashFunction,
    pub(super) hash: &'a [u8],
}

/// SHA-1 only names a certificate that is checked in every other way; RFC 3161 itself knows no other.
#[derive(Clone, Copy)]
pub(super) enum HashFunction {
    Sha1,
    Sha2(DigestAlgorithm),
}

/// The kind of the token's signature.
#[derive(Clone, Copy)]
pub(super) enum SignatureScheme {
    Ecdsa,
    RsaPkcs1,
    RsaPss,
    Ed25519,
}

impl<'a> Token<'a> {
    pub(super) fn parse(response: &'a [u8]) -> Result<Self, Reason> {
        let mut fields = Elements::inside(response, Tag::Sequence).map_err(broken)?;
        let status = fields.expect(Tag::Sequence).map_err(broken)?;
        // RFC 3161 section 2.4.2: granted, or granted with modifications.
        match status
            .elements()
            .and_then(|mut fields| fields.expect(Tag::Integer))
            .map_err(broken)?
            .content
        {
            [0 | 1] => {}
            other => return Err(malformed(&format!("its status is {}, not granted", hex::encode(other)))),
        }
        let mut content = fields
            .expect(Tag::Sequence)
            .and_then(|info| info.elements())
            .map_err(broken)?;
        fields.finish().map_err(broken)?;
        if content.oid().map_err(broken)? != SIGNED_DATA {
            return Err(malformed("its token is not CMS SignedData"));
        }
        let signed = content.tagged(TagNumber::N0).map_err(broken)?;
        content.finish().map_err(broken)?;
        Self::parse_signed_data(signed.content)
    }

    fn parse_signed_data(bytes: &'a [u8]) -> Result<Self, Reason> {
        let mut fields = Elements::inside(bytes, Tag::Sequence).map_err(broken)?;
        fields.expect(Tag::Integer).map_err(broken)?;
        fields.expect(Tag::Set).map_err(broken)?;
        let mut encapsulated = fields
            .expect(Tag::Sequence)
            .and_then(|info| info.elements())
            .map_err(broken)?;
        if encapsulated.oid().map_err(broken)? != TST_INFO {
            return Err(malformed("its content is not a TSTInfo"));
        }
        let content = encapsulated.tagged(TagNumber::N0).map_err(broken)?;
        let content = content
            .elements()
            .and_then(|mut one| one.expect(Tag::OctetString))
            .map_err(broken)?;
        let certificates = match fields.optional(context(TagNumber::N0)).map_err(broken)? {
            Some(set) => certificates(&set)?,
            None => Vec::new(),
        };
        fields.optional(context(TagNumber::N1)).map_err(broken)?;
        let mut signers = fields.expect(Tag::Set).and_then(|set| set.elements()).map_err(broken)?;
        let signer = signers.expect(Tag::Sequence).map_err(broken)?;
        if !signers.is_finished() {
            // RFC 3161 section 2.4.2: the signature of the authority and no other.
            return Err(malformed("it has more than one signer"));
        }
        fields.finish().map_err(broken)?;
        let info = Info::parse(content.content)?;
        let signer = Signer::parse(&signer)?;
        Ok(Self {
            imprint_algorithm: info.algorithm,
            imprint: info.imprint,
            time: info.time,
            policy: info.policy,
            content: content.content,
            certificates,
            signer: signer.identifier,
            digest_algorithm: signer.digest_algorithm,
            message_digest: signer.message_digest,
            signer_hash: signer.certificate_hash,
            signer_serial: signer.certificate_serial,
            scheme: signer.scheme,
            scheme_hash: signer.scheme_hash,
            signature: signer.signature,
            attributes: signer.attributes,
        })
    }

    /// What is signed: the attributes as a `SET OF`, although they are sent as `[0] IMPLICIT` (RFC 5652 section 5.4).
    pub(super) fn signed_attributes(&self) -> Vec<u8> {
        const SET_OF: u8 = 0x31;
        let mut bytes = self.attributes.to_vec();
        if let Some(tag) = bytes.first_mut() {
            *tag = SET_OF;
        }
        bytes
    }
}

impl SignerIdentifier<'_> {
    /// Whether it names a certificate; `issuer` is the content of the name, as webpki gives it.
    pub(super) fn names(&self, issuer: &[u8], serial: &[u8], der: &[u8]) -> bool {
        match self {
            Self::IssuerAndSerial {
                issuer: wanted,
                serial: number,
            } => *wanted == issuer && same_integer(number, serial),
            Self::KeyIdentifier(wanted) => {
                crate::chain::subject_key_identifier(der).is_some_and(|identifier| identifier == *wanted)
            }
        }
    }
}

/// Compares the contents of two INTEGERs; some readers drop the leading zero of a positive one.
pub(super) fn same_integer(a: &[u8], b: &[u8]) -> bool {
    let trimmed = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().skip_while(|byte| *byte == 0).collect() };
    trimmed(a) == trimmed(b)
}

fn certificates<'a>(set: &Element<'a>) -> Result<Vec<&'a [u8]>, Reason> {
    let mut elements = set.elements().map_err(broken)?;
    let mut found = Vec::new();
    while !elements.is_finished() {
        if found.len() == MAX_CERTIFICATES {
            return Err(Reason::TooMany {
                what: "certificates in a timestamp",
                limit: MAX_CERTIFICATES,
                seen: found.len() + 1,
            });
        }
        found.push(elements.next().map_err(broken)?.whole);
    }
    Ok(found)
}

/// The parts of a `TSTInfo` that are used.
struct Info<'a> {
    algorithm: DigestAlgorithm,
    imprint: &'a [u8],
    time: UnixTime,
    policy: String,
}

impl<'a> Info<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Reason> {
        let mut fields = Elements::inside(bytes, Tag::Sequence).map_err(broken)?;
        if fields.expect(Tag::Integer).map_err(broken)?.content != [1] {
            return Err(malformed("its version is not 1"));
        }
        let policy = fields.oid().map_err(broken)?.to_string();
        let mut imprint = fields
            .expect(Tag::Sequence)
            .and_then(|imprint| imprint.elements())
            .map_err(broken)?;
        let algorithm = algorithm(&imprint.expect(Tag::Sequence).map_err(broken)?)?;
        let hash = imprint.expect(Tag::OctetString).map_err(broken)?.content;
        imprint.finish().map_err(broken)?;
        fields.expect(Tag::Integer).map_err(broken)?;
        let time = fields.expect(Tag::GeneralizedTime).map_err(broken)?.content;
        let time = generalized_time(time).ok_or_else(|| malformed("its time is not a UTC GeneralizedTime"))?;
        for tag in [Tag::Sequence, Tag::Boolean, Tag::Integer, context(TagNumber::N0)] {
            fields.optional(tag).map_err(broken)?;
        }
        if let Some(extensions) = fields.optional(context(TagNumber::N1)).map_err(broken)? {
            check_extensions(&extensions)?;
        }
        fields.finish().map_err(broken)?;
        Ok(Self {
            algorithm,
            imprint: hash,
            time,
            policy,
        })
    }
}

/// RFC 3161 section 2.4.2: an extension that is critical must be understood, and none is.
fn check_extensions(extensions: &Element<'_>) -> Result<(), Reason> {
    let mut list = extensions.elements().map_err(broken)?;
    while !list.is_finished() {
        let mut fields = list
            .expect(Tag::Sequence)
            .and_then(|extension| extension.elements())
            .map_err(broken)?;
        let oid = fields.oid().map_err(broken)?;
        if fields
            .optional(Tag::Boolean)
            .map_err(broken)?
            .is_some_and(|critical| critical.content != [0])
        {
            return Err(malformed(&format!("it has the unknown critical extension {oid}")));
        }
    }
    Ok(())
}

/// The parts of a `SignerInfo` that are used.
struct Signer<'a> {
    identifier: SignerIdentifier<'a>,
    digest_algorithm: DigestAlgorithm,
    attributes: &'a [u8],
    message_digest: &'a [u8],
    certificate_hash: CertificateHash<'a>,
    certificate_serial: Option<&'a [u8]>,
    scheme: SignatureScheme,
    scheme_hash: Option<DigestAlgorithm>,
    signature: &'a [u8],
}

impl<'a> Signer<'a> {
    fn parse(signer: &Element<'a>) -> Result<Self, Reason> {
        let mut fields = signer.elements().map_err(broken)?;
        fields.expect(Tag::Integer).map_err(broken)?;
        let identifier = signer_identifier(&fields.next().map_err(broken)?)?;
        let digest_algorithm = algorithm(&fields.expect(Tag::Sequence).map_err(broken)?)?;
        let attributes = fields
            .optional(context(TagNumber::N0))
            .map_err(broken)?
            .ok_or_else(|| malformed("it has no signed attributes"))?;
        let (scheme, scheme_hash) = scheme(&fields.expect(Tag::Sequence).map_err(broken)?)?;
        let signature = fields.expect(Tag::OctetString).map_err(broken)?.content;
        fields.optional(context(TagNumber::N1)).map_err(broken)?;
        fields.finish().map_err(broken)?;
        let values = Attributes::parse(&attributes)?;
        let mut content_type = values.content_type()?;
        if content_type.oid().map_err(broken)? != TST_INFO {
            return Err(malformed("its signed content type is not a TSTInfo"));
        }
        let message_digest = values.one(MESSAGE_DIGEST)?;
        message_digest.tag.assert_eq(Tag::OctetString).map_err(broken)?;
        let (certificate_hash, certificate_serial) = values.signing_certificate()?;
        Ok(Self {
            identifier,
            digest_algorithm,
            attributes: attributes.whole,
            message_digest: message_digest.content,
            certificate_hash,
            certificate_serial,
            scheme,
            scheme_hash,
            signature,
        })
    }
}

fn signer_identifier<'a>(element: &Element<'a>) -> Result<SignerIdentifier<'a>, Reason> {
    if element.tag == Tag::Sequence {
        let mut fields = element.elements().map_err(broken)?;
        let issuer = fields.expect(Tag::Sequence).map_err(broken)?.content;
        let serial = fields.expect(Tag::Integer).map_err(broken)?.content;
        fields.finish().map_err(broken)?;
        return Ok(SignerIdentifier::IssuerAndSerial { issuer, serial });
    }
    let key_identifier = Tag::ContextSpecific {
        constructed: false,
        number: TagNumber::N0,
    };
    element.tag.assert_eq(key_identifier).map_err(broken)?;
    Ok(SignerIdentifier::KeyIdentifier(element.content))
}

/// The signed attributes: type and single value, each type once (RFC 5652 section 5.3).
struct Attributes<'a>(Vec<(ObjectIdentifier, Element<'a>)>);

impl<'a> Attributes<'a> {
    fn parse(set: &Element<'a>) -> Result<Self, Reason> {
        let mut list = set.elements().map_err(broken)?;
        let mut attributes: Vec<(ObjectIdentifier, Element<'a>)> = Vec::new();
        while !list.is_finished() {
            let mut fields = list
                .expect(Tag::Sequence)
                .and_then(|attribute| attribute.elements())
                .map_err(broken)?;
            let oid = fields.oid().map_err(broken)?;
            let mut values = fields.expect(Tag::Set).and_then(|set| set.elements()).map_err(broken)?;
            let value = values.next().map_err(broken)?;
            if attributes.len() == MAX_ATTRIBUTES
                || !values.is_finished()
                || attributes.iter().any(|(seen, _)| *seen == oid)
            {
                return Err(malformed(
                    "its signed attributes are too many, or one has several values",
                ));
            }
            attributes.push((oid, value));
        }
        Ok(Self(attributes))
    }

    fn get(&self, oid: ObjectIdentifier) -> Option<Element<'a>> {
        self.0.iter().find(|(seen, _)| *seen == oid).map(|(_, value)| *value)
    }

    fn one(&self, oid: ObjectIdentifier) -> Result<Element<'a>, Reason> {
        self.get(oid)
            .ok_or_else(|| malformed(&format!("it lacks the signed attribute {oid}")))
    }

    fn content_type(&self) -> Result<Elements<'a>, Reason> {
        Elements::new(self.one(CONTENT_TYPE)?.whole).map_err(broken)
    }

    /// RFC 3161 section 2.4.2 asks for the hash of the signer's certificate, RFC 5816 for its second version.
    fn signing_certificate(&self) -> Result<(CertificateHash<'a>, Option<&'a [u8]>), Reason> {
        let (value, default) = match (self.get(SIGNING_CERTIFICATE_V2), self.get(SIGNING_CERTIFICATE)) {
            (Some(value), _) => (value, HashFunction::Sha2(DigestAlgorithm::Sha256)),
            (None, Some(value)) => (value, HashFunction::Sha1),
            (None, None) => return Err(malformed("it does not name its signer's certificate")),
        };
        let mut list = value
            .elements()
            .and_then(|mut fields| fields.expect(Tag::Sequence))
            .and_then(|certificates| certificates.elements())
            .map_err(broken)?;
        // The first is the signer's; others may name its chain.
        let mut fields = list
            .expect(Tag::Sequence)
            .and_then(|identifier| identifier.elements())
            .map_err(broken)?;
        let function = match fields.optional(Tag::Sequence).map_err(broken)? {
            Some(identifier) => HashFunction::Sha2(algorithm(&identifier)?),
            None => default,
        };
        let hash = fields.expect(Tag::OctetString).map_err(broken)?.content;
        let serial = match fields.optional(Tag::Sequence).map_err(broken)? {
            Some(issuer_serial) => {
                let mut fields = issuer_serial.elements().map_err(broken)?;
                fields.next().map_err(broken)?;
                Some(fields.expect(Tag::Integer).map_err(broken)?.content)
            }
            None => None,
        };
        Ok((CertificateHash { function, hash }, serial))
    }
}

fn algorithm(identifier: &Element<'_>) -> Result<DigestAlgorithm, Reason> {
    let oid = identifier
        .elements()
        .and_then(|mut fields| fields.oid())
        .map_err(broken)?;
    match oid {
        SHA256 => Ok(DigestAlgorithm::Sha256),
        SHA384 => Ok(DigestAlgorithm::Sha384),
        SHA512 => Ok(DigestAlgorithm::Sha512),
        other => Err(malformed(&format!(
            "expected SHA-256, SHA-384 or SHA-512, found {other}"
        ))),
    }
}

/// RFC 5754 and RFC 8419: either a scheme with its hash, or a kind of key whose hash is the signer info's.
fn scheme(identifier: &Element<'_>) -> Result<(SignatureScheme, Option<DigestAlgorithm>), Reason> {
    let oid = identifier
        .elements()
        .and_then(|mut fields| fields.oid())
        .map_err(broken)?;
    let scheme = match oid.to_string().as_str() {
        "1.2.840.10045.4.3.2" => (SignatureScheme::Ecdsa, Some(DigestAlgorithm::Sha256)),
        "1.2.840.10045.4.3.3" => (SignatureScheme::Ecdsa, Some(DigestAlgorithm::Sha384)),
        "1.2.840.10045.4.3.4" => (SignatureScheme::Ecdsa, Some(DigestAlgorithm::Sha512)),
        "1.2.840.10045.2.1" => (SignatureScheme::Ecdsa, None),
        "1.2.840.113549.1.1.11" => (SignatureScheme::RsaPkcs1, Some(DigestAlgorithm::Sha256)),
        "1.2.840.113549.1.1.12" => (SignatureScheme::RsaPkcs1, Some(DigestAlgorithm::Sha384)),
        "1.2.840.113549.1.1.13" => (SignatureScheme::RsaPkcs1, Some(DigestAlgorithm::Sha512)),
        "1.2.840.113549.1.1.1" => (SignatureScheme::RsaPkcs1, None),
        "1.2.840.113549.1.1.10" => (SignatureScheme::RsaPss, None),
        "1.3.101.112" => (SignatureScheme::Ed25519, None),
        other => return Err(malformed(&format!("it is signed with the unknown algorithm {other}"))),
    };
    Ok(scheme)
}

/// `YYYYMMDDhhmmss[.f]Z`, as RFC 3161 section 2.4.2 has it; fractions are dropped.
fn generalized_time(bytes: &[u8]) -> Option<UnixTime> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('Z')?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() != 14 || !digits(whole) || !digits(fraction) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| whole.get(range);
    UnixTime::parse(&format!(
        "{}-{}-{}T{}:{}:{}Z",
        part(0..4)?,
        part(4..6)?,
        part(6..8)?,
        part(8..10)?,
        part(10..12)?,
        part(12..14)?
    ))
    .ok()
}

fn malformed(detail: &str) -> Reason {
    Reason::TimestampMalformed {
        detail: detail.to_owned(),
    }
}

fn broken(error: der::Error) -> Reason {
    malformed(&error.to_string())
}
