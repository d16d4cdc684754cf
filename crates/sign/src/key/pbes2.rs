//! `ENCRYPTED PRIVATE KEY`: PKCS #8 under a password, as openssl and Go's tools write it (RFC 8018, PBES2; RFC 7914 §7 for
//! scrypt). AES in CBC with PBKDF2 or scrypt; not the older PBES1, nor DES.

use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use der::{Decode, Reader};
use pkcs8::PrivateKeyInfo;
use spki::AlgorithmIdentifierRef;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

use super::SigningKeyError;
use crate::password::Password;

/// Rounds of PBKDF2. openssl makes 2048, OWASP asks for 600,000 of SHA-256 and 1,300,000 of SHA-1: ten million take seconds.
const MAX_ROUNDS: u32 = 10_000_000;

/// Memory for scrypt, 128 N r bytes: what cosign's own files take at most.
const MAX_SCRYPT_BYTES: u64 = 128 * 1024 * 1024;

/// How often scrypt may be repeated (p): its time, not its memory.
const MAX_SCRYPT_REPEATS: u32 = 16;

/// More salt than any writer makes.
const MAX_SALT_LENGTH: usize = 1024;

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
const SCRYPT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.11591.4.11");
const HMAC_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.7");
const HMAC_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
const HMAC_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.10");
const HMAC_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.11");
const AES128_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2");
const AES192_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22");
const AES256_CBC: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42");

/// Opens an EncryptedPrivateKeyInfo (RFC 5958 §3); the PKCS #8 in it.
///
/// Whether the password was right shows in the padding and in what comes out: this encryption has no authentication, so that
/// a damaged file looks like a wrong password. A key that comes out whole is checked as every other.
pub(super) fn open(der: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let (algorithm, ciphertext) = pair::<AlgorithmIdentifierRef<'_>, OctetStringRef<'_>>(der)?;
    if algorithm.oid != PBES2 {
        return Err(unknown(format!("algorithm {}", algorithm.oid)));
    }
    let (derivation, encryption) =
        pair_in::<AlgorithmIdentifierRef<'_>, AlgorithmIdentifierRef<'_>>(parameters(&algorithm)?)?;
    let cipher = match encryption.oid {
        AES128_CBC => &cipher::AES_128,
        AES192_CBC => &cipher::AES_192,
        AES256_CBC => &cipher::AES_256,
        other => return Err(unknown(format!("cipher {other}"))),
    };
    let iv: OctetStringRef<'_> = parameters(&encryption)?.decode_as().map_err(malformed)?;
    let iv = <&[u8; 16]>::try_from(iv.as_bytes()).map_err(|_| SigningKeyError::Malformed)?;
    let length = match encryption.oid {
        AES128_CBC => 16,
        AES192_CBC => 24,
        _ => 32,
    };
    let key = derive(&derivation, password, length)?;
    let key = UnboundCipherKey::new(cipher, &key).map_err(|_| SigningKeyError::Engine)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(|_| SigningKeyError::Engine)?;
    let mut held = Zeroizing::new(ciphertext.as_bytes().to_vec());
    let plain = key
        .decrypt(&mut held, DecryptionContext::Iv128(FixedLength::from(iv)))
        .map_err(|_| SigningKeyError::WrongPassword)?;
    if PrivateKeyInfo::try_from(&*plain).is_err() {
        return Err(SigningKeyError::WrongPassword);
    }
    Ok(Zeroizing::new(plain.to_vec()))
}

/// The key for the cipher, of so many bytes.
fn derive(
    by: &AlgorithmIdentifierRef<'_>,
    password: &Password,
    length: usize,
) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let mut key = Zeroizing::new(vec![0; length]);
    let parameters = parameters(by)?;
    match by.oid {
        PBKDF2 => {
            let (salt, rounds, said, hash) = parameters
                .sequence(|reader| {
                    let salt: OctetStringRef<'_> = reader.decode()?;
                    let rounds: u32 = reader.decode()?;
                    let said: Option<u32> = reader.decode()?;
                    let hash: Option<AlgorithmIdentifierRef<'_>> = reader.decode()?;
                    Ok((salt.as_bytes(), rounds, said, hash))
                })
                .map_err(malformed)?;
            check_lengths(salt, said, length)?;
            let hash = match hash.map_or(HMAC_SHA1, |hash| hash.oid) {
                HMAC_SHA1 => pbkdf2::PBKDF2_HMAC_SHA1,
                HMAC_SHA256 => pbkdf2::PBKDF2_HMAC_SHA256,
                HMAC_SHA384 => pbkdf2::PBKDF2_HMAC_SHA384,
                HMAC_SHA512 => pbkdf2::PBKDF2_HMAC_SHA512,
                other => return Err(unknown(format!("PBKDF2 with {other}"))),
            };
            let rounds = NonZeroU32::new(rounds)
                .filter(|rounds| rounds.get() <= MAX_ROUNDS)
                .ok_or_else(|| unknown(format!("PBKDF2 of {rounds} rounds")))?;
            pbkdf2::derive(hash, rounds, salt, password.bytes(), &mut key);
        }
        SCRYPT => {
            let (salt, cost, block, repeats, said) = parameters
                .sequence(|reader| {
                    let salt: OctetStringRef<'_> = reader.decode()?;
                    Ok((
                        salt.as_bytes(),
                        reader.decode::<u64>()?,
                        reader.decode::<u32>()?,
                        reader.decode::<u32>()?,
                        reader.decode::<Option<u32>>()?,
                    ))
                })
                .map_err(malformed)?;
            check_lengths(salt, said, length)?;
            let refused = || unknown(format!("scrypt (N {cost}, r {block}, p {repeats})"));
            let memory = cost
                .checked_mul(128)
                .and_then(|bytes| bytes.checked_mul(u64::from(block)));
            if !cost.is_power_of_two()
                || memory.is_none_or(|bytes| bytes > MAX_SCRYPT_BYTES)
                || repeats > MAX_SCRYPT_REPEATS
            {
                return Err(refused());
            }
            let log_cost = u8::try_from(cost.trailing_zeros()).map_err(|_| refused())?;
            let costs = scrypt::Params::new(log_cost, block, repeats, length).map_err(|_| refused())?;
            scrypt::scrypt(password.bytes(), salt, &costs, &mut key).map_err(|_| SigningKeyError::Engine)?;
        }
        other => return Err(unknown(format!("key derivation {other}"))),
    }
    Ok(key)
}

fn check_lengths(salt: &[u8], said: Option<u32>, length: usize) -> Result<(), SigningKeyError> {
    let same = said.is_none_or(|said| usize::try_from(said) == Ok(length));
    if salt.len() > MAX_SALT_LENGTH || !same {
        return Err(SigningKeyError::Malformed);
    }
    Ok(())
}

fn parameters<'a>(algorithm: &AlgorithmIdentifierRef<'a>) -> Result<AnyRef<'a>, SigningKeyError> {
    algorithm.parameters.ok_or(SigningKeyError::Malformed)
}

fn pair<'a, A: Decode<'a>, B: Decode<'a>>(der: &'a [u8]) -> Result<(A, B), SigningKeyError> {
    pair_in(AnyRef::from_der(der).map_err(malformed)?)
}

/// A sequence of two and no more.
fn pair_in<'a, A: Decode<'a>, B: Decode<'a>>(any: AnyRef<'a>) -> Result<(A, B), SigningKeyError> {
    any.sequence(|reader| Ok((reader.decode()?, reader.decode()?)))
        .map_err(malformed)
}

fn malformed(_: der::Error) -> SigningKeyError {
    SigningKeyError::Malformed
}

fn unknown(what: String) -> SigningKeyError {
    SigningKeyError::Encryption { what }
}
