//! `--fulcio-auth-flow client_credentials` (RFC 6749 §4.4): a program asks for itself, with its own secret.

use super::detect::Sources;
use super::oauth::{Issuer, SCOPE};
use super::{IdentityToken, TokenError};

pub(super) async fn token(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    if sources.options.client_secret_file.is_none() {
        return Err(TokenError::NoSecret);
    }
    let issuer = Issuer::discover(sources).await?;
    let fields = [("grant_type", "client_credentials"), ("scope", SCOPE)];
    let granted = issuer.ask_token(sources, &fields).await?;
    issuer.granted(granted)
}
