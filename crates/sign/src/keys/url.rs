//! Public keys at an address. Only `https`, and no redirects: the key is the one of the host that was named.

use proofmark_types::KeyReference;
use proofmark_verify::PublicKey;
use reqwest::{StatusCode, Url};

use super::{KeyError, Surroundings, file};
use crate::http::Http;
use crate::key::MAX_KEY_FILE_BYTES;

/// Fetches a public key; a private one is not taken from there, even for its public half.
pub(super) async fn public(reference: &KeyReference, with: &Surroundings<'_>) -> Result<PublicKey, KeyError> {
    let place = reference.to_string();
    let url = Url::parse(&place).map_err(|error| KeyError::Address {
        reference: place.clone(),
        reason: error.to_string(),
    })?;
    let http = Http::new(with.timing.clone(), &[])?;
    let answer = http
        .send(http.get(&url), &url, with.timing.certificate, MAX_KEY_FILE_BYTES)
        .await?
        .expect(&url, &[StatusCode::OK])?;
    let text = file::text(&place, answer.body)?;
    PublicKey::from_pem(&text).map_err(|source| KeyError::Public { place, source })
}
