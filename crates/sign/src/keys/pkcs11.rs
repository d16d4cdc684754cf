//! Keys in PKCS #11 tokens: smart cards, HSMs, SoftHSM.
//!
//! The calls of a module block, for as long as the token likes: they are made on threads of their own, with a limit, so
//! that a token which never answers holds up neither the other work nor the end of the program.
//!
//! Every attribute of the URI must fit (RFC 7512 section 2.3): a key is used only if it is the only one that is meant.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cryptoki::types::AuthPin;
use proofmark_types::{DigestAlgorithm, Pkcs11Uri};
use proofmark_verify::{KeyAlgorithm, PublicKey};

use super::{KeyError, Surroundings, file};
use crate::key::{BoxFuture, RemoteKey, RemoteKeyError};
use token::{Found, Module};

mod token;

/// How long one call to a token may take. Cards take a second, some wait for a touch.
const PATIENCE: Duration = Duration::from_secs(60);

/// The module, where the URI names none; cosign's name.
const MODULE_VARIABLE: &str = "COSIGN_PKCS11_MODULE_PATH";

/// The PIN, where the URI has none; cosign's name.
const PIN_VARIABLE: &str = "COSIGN_PKCS11_PIN";

/// Set to 1, certificates in the token are not looked at; cosign's name.
const IGNORE_CERTIFICATE_VARIABLE: &str = "COSIGN_PKCS11_IGNORE_CERTIFICATE";

/// A token, as `pkcs11-tool list-tokens` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// Its slot's number.
    pub slot: u64,
    /// What its owner calls it.
    pub label: String,
    /// Who made it.
    pub manufacturer: String,
    /// Which model it is.
    pub model: String,
    /// Its serial number.
    pub serial: String,
}

/// A private key in a token, as `pkcs11-tool list-keys-uris` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKey {
    /// Its label; empty if it has none.
    pub label: String,
    /// Its id; empty if it has none.
    pub id: Vec<u8>,
    /// What to write for `--key`. It has no PIN in it.
    pub uri: Pkcs11Uri,
}

/// The tokens behind a module.
pub async fn tokens(module: Option<&str>, with: &Surroundings<'_>) -> Result<Vec<TokenFacts>, KeyError> {
    let path = module_path(module, with)?;
    Ok(blocking(path.clone(), move || Module::load(&path)?.tokens()).await?)
}

/// The private keys in one slot.
pub async fn token_keys(
    module: Option<&str>,
    slot: u64,
    pin: Option<&str>,
    with: &Surroundings<'_>,
) -> Result<Vec<TokenKey>, KeyError> {
    let path = module_path(module, with)?;
    let load = path.clone();
    let facts = blocking(path.clone(), move || Module::load(&load)?.slot(slot)).await?;
    let pin = match (pin, facts.login) {
        (Some(pin), _) => Some(secret(pin.to_owned())),
        (None, false) => None,
        (None, true) => Some(ask(&facts.facts.label, with)?),
    };
    Ok(blocking(path.clone(), move || {
        let module = Module::load(&path)?;
        module.open(&facts, pin.as_ref())?.keys(&path, &facts.facts)
    })
    .await?)
}

/// Opens the private key that the URI means.
pub(super) async fn open(uri: &Pkcs11Uri, with: &Surroundings<'_>) -> Result<Box<dyn RemoteKey>, KeyError> {
    let place = uri.to_string();
    let (session, found) = find(uri, with).await?;
    let public = public_key(&place, &found)?;
    Ok(Box::new(TokenBound {
        place,
        public,
        held: Arc::new(Mutex::new((session, found))),
    }))
}

/// Reads the public key that the URI means.
pub(super) async fn public(uri: &Pkcs11Uri, with: &Surroundings<'_>) -> Result<PublicKey, KeyError> {
    let (_, found) = find(uri, with).await?;
    public_key(&uri.to_string(), &found)
}

async fn find(uri: &Pkcs11Uri, with: &Surroundings<'_>) -> Result<(token::Session, Found), KeyError> {
    let place = uri.to_string();
    if let Some(attribute) = uri.unsupported().next() {
        return Err(KeyError::TokenUri {
            reason: format!("the attribute {attribute} is not looked at here, and would not be held against the token"),
        });
    }
    if uri.id().is_none() && uri.object().is_none() {
        return Err(KeyError::TokenUri {
            reason: "neither object nor id says which key".to_owned(),
        });
    }
    if uri.object_type().is_some_and(|kind| kind != "private") {
        return Err(KeyError::TokenUri {
            reason: "type is other than private".to_owned(),
        });
    }
    let path = module_path(uri.module_path(), with)?;
    let (load, wanted) = (path.clone(), uri.clone());
    let facts = blocking(place.clone(), move || Module::load(&load)?.find(&wanted)).await?;
    let pin = match facts.login {
        false => None,
        true => Some(match (uri.pin_value(), uri.pin_source()) {
            (Some(pin), _) => secret(pin.to_owned()),
            (None, Some(source)) => secret(file::read(source)?.trim_end_matches(['\r', '\n']).to_owned()),
            (None, None) => ask(&facts.facts.label, with)?,
        }),
    };
    let certificates = (with.environment)(IGNORE_CERTIFICATE_VARIABLE).as_deref() != Some("1");
    let wanted = uri.clone();
    Ok(blocking(place, move || {
        let session = Module::load(&path)?.open(&facts, pin.as_ref())?;
        let found = session.key(&wanted, certificates)?;
        Ok((session, found))
    })
    .await?)
}

fn public_key(place: &str, found: &Found) -> Result<PublicKey, KeyError> {
    PublicKey::from_spki_der(&found.spki).map_err(|source| KeyError::Public {
        place: place.to_owned(),
        source,
    })
}

/// The module's path: a native library that is loaded. Only an absolute path says which one.
fn module_path(given: Option<&str>, with: &Surroundings<'_>) -> Result<String, KeyError> {
    let path = given
        .map(ToOwned::to_owned)
        .or_else(|| (with.environment)(MODULE_VARIABLE))
        .filter(|path| !path.is_empty())
        .ok_or(KeyError::ModuleMissing)?;
    if Path::new(&path).is_absolute() {
        Ok(path)
    } else {
        Err(KeyError::ModuleRelative { path })
    }
}

fn ask(label: &str, with: &Surroundings<'_>) -> Result<AuthPin, KeyError> {
    if let Some(pin) = (with.environment)(PIN_VARIABLE).filter(|pin| !pin.is_empty()) {
        return Ok(secret(pin));
    }
    let pin = (with.pin)(&format!("PKCS #11 token {label}"))?;
    String::from_utf8(pin.bytes().to_vec())
        .map(secret)
        .map_err(|_| KeyError::TokenUri {
            reason: "the PIN is not text".to_owned(),
        })
}

fn secret(pin: String) -> AuthPin {
    AuthPin::new(pin.into_boxed_str())
}

/// Runs what blocks on a thread of its own. After a while it is left to itself.
async fn blocking<T: Send + 'static>(
    place: String,
    work: impl FnOnce() -> Result<T, token::Failure> + Send + 'static,
) -> Result<T, RemoteKeyError> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("pkcs11".to_owned()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
    });
    let unreachable = |reason: String| RemoteKeyError::Unreachable {
        place: place.clone(),
        reason,
    };
    thread.map_err(|error| unreachable(error.to_string()))?;
    match tokio::time::timeout(PATIENCE, receiver).await {
        Ok(Ok(result)) => result.map_err(|failure| failure.at(&place)),
        Ok(Err(_)) => Err(unreachable("the module broke off".to_owned())),
        Err(_) => Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

/// A private key in a token, with the session in which it was found.
struct TokenBound {
    place: String,
    public: PublicKey,
    held: Arc<Mutex<(token::Session, Found)>>,
}

impl RemoteKey for TokenBound {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign<'a>(
        &'a self,
        message: &'a [u8],
        hash: Option<DigestAlgorithm>,
    ) -> BoxFuture<'a, Result<Vec<u8>, RemoteKeyError>> {
        let (held, message, algorithm) = (Arc::clone(&self.held), message.to_vec(), self.public.algorithm());
        Box::pin(blocking(self.place.clone(), move || {
            let held = held.lock().unwrap_or_else(PoisonError::into_inner);
            held.0.sign(&held.1, algorithm, &message, hash)
        }))
    }

    /// The token signs hashes that were made here; the pre-hashed form of Ed25519 is another algorithm, which few have.
    fn takes(&self, _hash: DigestAlgorithm) -> bool {
        self.public.algorithm() != KeyAlgorithm::Ed25519
    }
}

impl fmt::Debug for TokenBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenBound({})", self.place)
    }
}
