//! One module, its tokens and the keys in them. Everything here blocks.

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::UserType;
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use der::asn1::{BitString, ObjectIdentifier, OctetString, UintRef};
use der::{Decode, Encode};
use proofmark_types::{Digest, DigestAlgorithm, Pkcs11Uri};
use proofmark_verify::KeyAlgorithm;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

use super::{TokenFacts, TokenKey};
use crate::key::RemoteKeyError;

/// The most tokens and keys looked at: HSMs with more partitions than this name a slot.
const MAX_OBJECTS: usize = 1024;

const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// What went wrong, before it is known under which name the key was asked for.
pub(super) enum Failure {
    Refused(String),
    Answer(String),
    Hash(DigestAlgorithm),
}

impl Failure {
    pub(super) fn at(self, place: &str) -> RemoteKeyError {
        let place = place.to_owned();
        match self {
            Self::Refused(reason) => RemoteKeyError::Refused { place, reason },
            Self::Answer(reason) => RemoteKeyError::Answer { place, reason },
            Self::Hash(hash) => RemoteKeyError::Hash {
                place,
                hash: hash.name(),
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(match error {
            Error::Pkcs11(RvError::PinIncorrect, _) => "the PIN is wrong".to_owned(),
            Error::Pkcs11(RvError::PinLocked, _) => "the PIN is locked after too many wrong ones".to_owned(),
            Error::LibraryLoading(error) => format!("the module cannot be loaded: {error}"),
            other => other.to_string(),
        })
    }
}

/// A loaded module.
pub(super) struct Module(Pkcs11);

/// A slot with its token.
pub(super) struct SlotFacts {
    slot: Slot,
    pub(super) facts: TokenFacts,
    /// Whether it shows its private keys only to those who know the PIN.
    pub(super) login: bool,
}

impl Module {
    /// Loads it; that it is loaded already is no harm. It is never finalized: other sessions in this process may be in
    /// use.
    pub(super) fn load(path: &str) -> Result<Self, Failure> {
        let module = Pkcs11::new(path)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(Self(module)),
            Err(error) => Err(error.into()),
        }
    }

    fn slots(&self) -> Result<Vec<SlotFacts>, Failure> {
        let slots = self.0.get_slots_with_token()?;
        if slots.len() > MAX_OBJECTS {
            return Err(Failure::Answer(format!(
                "{} slots, at most {MAX_OBJECTS} are looked at",
                slots.len()
            )));
        }
        let mut list = Vec::new();
        for slot in slots {
            // A token that was pulled out in the meantime is not there.
            let Ok(info) = self.0.get_token_info(slot) else {
                continue;
            };
            list.push(SlotFacts {
                slot,
                login: info.login_required(),
                facts: TokenFacts {
                    slot: slot.id(),
                    label: info.label().to_owned(),
                    manufacturer: info.manufacturer_id().to_owned(),
                    model: info.model().to_owned(),
                    serial: info.serial_number().to_owned(),
                },
            });
        }
        Ok(list)
    }

    pub(super) fn tokens(&self) -> Result<Vec<TokenFacts>, Failure> {
        Ok(self.slots()?.into_iter().map(|slot| slot.facts).collect())
    }

    pub(super) fn slot(&self, number: u64) -> Result<SlotFacts, Failure> {
        let mut slots = self.slots()?.into_iter();
        slots
            .find(|slot| slot.facts.slot == number)
            .ok_or_else(|| Failure::Refused(format!("no token is in slot {number}")))
    }

    /// The token that the URI means, and no other.
    pub(super) fn find(&self, uri: &Pkcs11Uri) -> Result<SlotFacts, Failure> {
        let fits = |asked: Option<&str>, seen: &str| asked.is_none_or(|asked| asked == seen);
        let mut fitting = self.slots()?.into_iter().filter(|slot| {
            let facts = &slot.facts;
            fits(uri.token(), &facts.label)
                && fits(uri.serial(), &facts.serial)
                && fits(uri.manufacturer(), &facts.manufacturer)
                && fits(uri.model(), &facts.model)
                && uri.slot_id().is_none_or(|number| number == facts.slot)
        });
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(one),
            (None, _) => Err(Failure::Refused("no token fits the URI".to_owned())),
            (Some(_), Some(_)) => Err(Failure::Refused(
                "several tokens fit the URI, say which with token=, serial= or slot-id=".to_owned(),
            )),
        }
    }

    pub(super) fn open(&self, slot: &SlotFacts, pin: Option<&AuthPin>) -> Result<Session, Failure> {
        let session = self.0.open_ro_session(slot.slot)?;
        if let Some(pin) = pin {
            match session.login(UserType::User, Some(pin)) {
                // Logins are for all sessions of a process.
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Session(session))
    }
}

/// An open session.
pub(super) struct Session(cryptoki::session::Session);

/// A key that was found, with its public half.
pub(super) struct Found {
    private: ObjectHandle,
    pub(super) spki: Vec<u8>,
}

impl Session {
    pub(super) fn keys(&self, module: &str, token: &TokenFacts) -> Result<Vec<TokenKey>, Failure> {
        let mut list = Vec::new();
        for key in self.objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY)])? {
            let (id, label) = (
                self.bytes(key, AttributeType::Id)?.unwrap_or_default(),
                self.bytes(key, AttributeType::Label)?.unwrap_or_default(),
            );
            // Nothing says which it is: no URI can mean it.
            let Ok(label) = String::from_utf8(label) else { continue };
            if id.is_empty() && label.is_empty() {
                continue;
            }
            let uri = Pkcs11Uri::of_key(module, &token.label, token.slot, &id, &label);
            list.push(TokenKey { label, id, uri });
        }
        Ok(list)
    }

    /// The private key that the URI means, with its public half: of the public key beside it, of the private key
    /// itself (RSA), or of a certificate beside it.
    pub(super) fn key(&self, uri: &Pkcs11Uri, certificates: bool) -> Result<Found, Failure> {
        let named = |class| {
            let mut template = vec![Attribute::Class(class)];
            template.extend(uri.id().map(|id| Attribute::Id(id.to_vec())));
            template.extend(uri.object().map(|label| Attribute::Label(label.as_bytes().to_vec())));
            template
        };
        let private = match self.objects(&named(ObjectClass::PRIVATE_KEY))?.as_slice() {
            [one] => *one,
            [] => return Err(Failure::Refused("no private key of the token fits the URI".to_owned())),
            _ => {
                return Err(Failure::Refused(
                    "several private keys fit the URI, say which with id= or object=".to_owned(),
                ));
            }
        };
        // Labels of the halves may differ, ids are made to be the same (PKCS #11, "Common attributes").
        let beside = |class| match self.bytes(private, AttributeType::Id) {
            Ok(Some(id)) if !id.is_empty() => vec![Attribute::Class(class), Attribute::Id(id)],
            _ => named(class),
        };
        for public in self.objects(&beside(ObjectClass::PUBLIC_KEY))? {
            if let Some(spki) = self.spki(public)? {
                return Ok(Found { private, spki });
            }
        }
        if let Some(spki) = self.spki(private)? {
            return Ok(Found { private, spki });
        }
        if certificates {
            for certificate in self.objects(&beside(ObjectClass::CERTIFICATE))? {
                let Some(der) = self.bytes(certificate, AttributeType::Value)? else {
                    continue;
                };
                let read = x509_cert::Certificate::from_der(&der)
                    .and_then(|certificate| certificate.tbs_certificate.subject_public_key_info.to_der());
                if let Ok(spki) = read {
                    return Ok(Found { private, spki });
                }
            }
        }
        Err(Failure::Answer(
            "the token has no public key and no certificate beside the private key".to_owned(),
        ))
    }

    /// Signs. The message is hashed here, so that the token needs to know the plain mechanism only.
    pub(super) fn sign(
        &self,
        key: &Found,
        algorithm: KeyAlgorithm,
        message: &[u8],
        hash: Option<DigestAlgorithm>,
    ) -> Result<Vec<u8>, Failure> {
        match (algorithm, hash) {
            (KeyAlgorithm::Ed25519, None) => {
                let pure = EddsaParams::new(EddsaSignatureScheme::Pure);
                Ok(self.0.sign(&Mechanism::Eddsa(pure), key.private, message)?)
            }
            (KeyAlgorithm::Ed25519, Some(hash)) => Err(Failure::Hash(hash)),
            (KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096, hash) => {
                let mut info = SHA256_PREFIX.to_vec();
                match hash {
                    Some(DigestAlgorithm::Sha256) => {
                        info.extend_from_slice(Digest::of(DigestAlgorithm::Sha256, message).as_bytes());
                    }
                    other => return Err(Failure::Hash(other.unwrap_or(DigestAlgorithm::Sha512))),
                }
                Ok(self.0.sign(&Mechanism::RsaPkcs, key.private, &info)?)
            }
            (_, hash) => {
                let digest = Digest::of(hash.unwrap_or(DigestAlgorithm::Sha256), message);
                let raw = self.0.sign(&Mechanism::Ecdsa, key.private, digest.as_bytes())?;
                ecdsa_der(&raw).ok_or_else(|| Failure::Answer(format!("an ECDSA signature of {} bytes", raw.len())))
            }
        }
    }

    fn objects(&self, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Failure> {
        let mut list = Vec::new();
        for object in self.0.iter_objects(template)? {
            if list.len() == MAX_OBJECTS {
                return Err(Failure::Answer(format!(
                    "more than {MAX_OBJECTS} objects, say which with id="
                )));
            }
            list.push(object?);
        }
        Ok(list)
    }

    fn bytes(&self, object: ObjectHandle, which: AttributeType) -> Result<Option<Vec<u8>>, Failure> {
        let attributes = self.0.get_attributes(object, &[which])?;
        Ok(attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::Id(bytes)
            | Attribute::Label(bytes)
            | Attribute::EcParams(bytes)
            | Attribute::EcPoint(bytes)
            | Attribute::Modulus(bytes)
            | Attribute::PublicExponent(bytes)
            | Attribute::Value(bytes) => Some(bytes),
            _ => None,
        }))
    }

    /// The public half that an object says; none if it says none, as a private key on a curve does.
    fn spki(&self, object: ObjectHandle) -> Result<Option<Vec<u8>>, Failure> {
        let attributes = self.0.get_attributes(object, &[AttributeType::KeyType])?;
        let kind = attributes.into_iter().find_map(|attribute| match attribute {
            Attribute::KeyType(kind) => Some(kind),
            _ => None,
        });
        let pair = |first, second| Ok::<_, Failure>(self.bytes(object, first)?.zip(self.bytes(object, second)?));
        match kind {
            Some(KeyType::RSA) => Ok(pair(AttributeType::Modulus, AttributeType::PublicExponent)?
                .and_then(|(modulus, exponent)| rsa_spki(&modulus, &exponent))),
            Some(KeyType::EC) => Ok(pair(AttributeType::EcParams, AttributeType::EcPoint)?
                .and_then(|(curve, point)| ec_spki(&curve, &point))),
            Some(KeyType::EC_EDWARDS) => Ok(self
                .bytes(object, AttributeType::EcPoint)?
                .and_then(|point| edwards_spki(&point))),
            _ => Ok(None),
        }
    }
}

/// RFC 8017 section 9.2, note 1.
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
];

#[derive(der::Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// Tokens answer both numbers side by side, each as long as the curve's order.
fn ecdsa_der(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    EcdsaSignature {
        r: UintRef::new(r).ok()?,
        s: UintRef::new(s).ok()?,
    }
    .to_der()
    .ok()
}

#[derive(der::Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn rsa_spki(modulus: &[u8], exponent: &[u8]) -> Option<Vec<u8>> {
    let key = RsaPublicKey {
        modulus: UintRef::new(modulus).ok()?,
        exponent: UintRef::new(exponent).ok()?,
    };
    written(RSA, Some(der::Any::null()), &key.to_der().ok()?)
}

fn ec_spki(curve: &[u8], point: &[u8]) -> Option<Vec<u8>> {
    let curve = ObjectIdentifier::from_der(curve).ok()?;
    written(EC, Some(der::Any::from(curve)), &point_bytes(point))
}

fn edwards_spki(point: &[u8]) -> Option<Vec<u8>> {
    let point = point_bytes(point);
    (point.len() == 32).then(|| written(ED25519, None, &point)).flatten()
}

/// PKCS #11 wraps the point into an OCTET STRING; some tokens forget to.
fn point_bytes(point: &[u8]) -> Vec<u8> {
    OctetString::from_der(point).map_or_else(|_| point.to_vec(), OctetString::into_bytes)
}

fn written(oid: ObjectIdentifier, parameters: Option<der::Any>, key: &[u8]) -> Option<Vec<u8>> {
    SubjectPublicKeyInfoOwned {
        algorithm: AlgorithmIdentifierOwned { oid, parameters },
        subject_public_key: BitString::from_bytes(key).ok()?,
    }
    .to_der()
    .ok()
}
