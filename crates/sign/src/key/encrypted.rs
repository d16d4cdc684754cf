//! cosign's encrypted key file: a JSON document in PEM; scrypt (RFC 7914) makes the key for NaCl's secretbox
//! (XSalsa20-Poly1305), which holds PKCS #8 (sigstore/sigstore `pkg/cryptoutils`, go-securesystemslib `encrypted`).

use crypto_secretbox::aead::Aead;
use crypto_secretbox::{KeyInit, Nonce, XSalsa20Poly1305};
use proofmark_evidence::encoding::{base64_decode, base64_encode, pem_encode};
use proofmark_evidence::json;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SigningKeyError;
use crate::password::Password;

/// The costs that cosign takes: 32, 64 or 128 MiB of memory. More would let a key file exhaust ours.
const LOG_COSTS: [u8; 3] = [15, 16, 17];

/// The cost that is written, as log2: cosign's of today, N = 65536.
const LOG_COST_WRITTEN: u8 = 16;

const BLOCK_SIZE: u32 = 8;
const PARALLELISM: u32 = 1;
const KEY_LENGTH: usize = 32;
const NONCE_LENGTH: usize = 24;
const SALT_LENGTH: usize = 32;

/// More salt than any writer makes; the reader of Go takes any length.
const MAX_SALT_LENGTH: usize = 1024;

pub(super) fn open(document: &[u8], password: &Password) -> Result<Zeroizing<Vec<u8>>, SigningKeyError> {
    let limit = u64::try_from(super::MAX_KEY_FILE_BYTES).unwrap_or(u64::MAX);
    let value = json::parse(document, limit).map_err(|_| SigningKeyError::Malformed)?;
    let document = Document::deserialize(value).map_err(|_| SigningKeyError::Malformed)?;
    let log_cost = document.check()?;
    let salt = base64_decode(&document.kdf.salt)
        .filter(|salt| salt.len() <= MAX_SALT_LENGTH)
        .ok_or(SigningKeyError::Malformed)?;
    let nonce = base64_decode(&document.cipher.nonce)
        .filter(|nonce| nonce.len() == NONCE_LENGTH)
        .ok_or(SigningKeyError::Malformed)?;
    let ciphertext = base64_decode(&document.ciphertext).ok_or(SigningKeyError::Malformed)?;
    let plain = secretbox(password, &salt, log_cost)?
        .decrypt(Nonce::from_slice(&nonce), ciphertext.as_slice())
        .map_err(|_| SigningKeyError::WrongPassword)?;
    Ok(Zeroizing::new(plain))
}

pub(super) fn seal(pkcs8: &[u8], password: &Password) -> Result<Zeroizing<String>, SigningKeyError> {
    let mut salt = [0; SALT_LENGTH];
    let mut nonce = [0; NONCE_LENGTH];
    getrandom::fill(&mut salt).map_err(|_| SigningKeyError::Engine)?;
    getrandom::fill(&mut nonce).map_err(|_| SigningKeyError::Engine)?;
    let ciphertext = secretbox(password, &salt, LOG_COST_WRITTEN)?
        .encrypt(Nonce::from_slice(&nonce), pkcs8)
        .map_err(|_| SigningKeyError::Engine)?;
    let document = Document {
        kdf: Kdf {
            name: "scrypt".to_owned(),
            params: Params {
                n: 1 << LOG_COST_WRITTEN,
                r: BLOCK_SIZE,
                p: PARALLELISM,
            },
            salt: base64_encode(&salt),
        },
        cipher: Cipher {
            name: "nacl/secretbox".to_owned(),
            nonce: base64_encode(&nonce),
        },
        ciphertext: base64_encode(&ciphertext),
    };
    let json = serde_json::to_vec(&document).map_err(|_| SigningKeyError::Engine)?;
    Ok(Zeroizing::new(pem_encode("ENCRYPTED SIGSTORE PRIVATE KEY", &json)))
}

fn secretbox(password: &Password, salt: &[u8], log_cost: u8) -> Result<XSalsa20Poly1305, SigningKeyError> {
    let params =
        scrypt::Params::new(log_cost, BLOCK_SIZE, PARALLELISM, KEY_LENGTH).map_err(|_| SigningKeyError::Engine)?;
    let mut key = Zeroizing::new([0; KEY_LENGTH]);
    scrypt::scrypt(password.bytes(), salt, &params, key.as_mut_slice()).map_err(|_| SigningKeyError::Engine)?;
    Ok(XSalsa20Poly1305::new(key.as_slice().into()))
}

#[derive(Serialize, Deserialize)]
struct Document {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl Document {
    /// The cost as log2, if all is what cosign uses.
    fn check(&self) -> Result<u8, SigningKeyError> {
        let Params { n, r, p } = self.kdf.params;
        let log_cost = LOG_COSTS.into_iter().find(|log_cost| 1_u64 << log_cost == n);
        let known =
            self.kdf.name == "scrypt" && self.cipher.name == "nacl/secretbox" && (r, p) == (BLOCK_SIZE, PARALLELISM);
        log_cost.filter(|_| known).ok_or_else(|| {
            let name = |text: &str| text.chars().take(40).collect::<String>();
            SigningKeyError::Encryption {
                what: format!(
                    "{} (N {n}, r {r}, p {p}) and {}",
                    name(&self.kdf.name),
                    name(&self.cipher.name)
                ),
            }
        })
    }
}
