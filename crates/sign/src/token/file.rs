//! Tokens in files: of `--identity-token`, and projected by Kubernetes or SPIRE.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::{IdentityToken, MAX_TOKEN_BYTES, TokenError};

/// Where cosign looks for a projected token, below the root of the file system.
const PROJECTED: &str = "var/run/sigstore/cosign/oidc-token";

/// Names another file.
pub(super) const VARIABLE: &str = "PROOFMARK_IDENTITY_TOKEN_FILE";

/// What a command line gives: a token, or the file that has it.
pub(super) fn given(given: &str) -> Result<IdentityToken, TokenError> {
    match IdentityToken::parse(given) {
        Ok(token) => Ok(token),
        // A mistyped token must not be repeated in a message as if it were a path.
        Err(error) if looks_like_a_token(given) => Err(error),
        Err(_) => read(Path::new(given)),
    }
}

/// The projected token, if there is one.
pub(super) fn projected(root: &Path, named: Option<String>) -> Option<PathBuf> {
    match named {
        Some(path) => Some(PathBuf::from(path)),
        None => Some(root.join(PROJECTED)).filter(|path| path.exists()),
    }
}

/// The token in a file, which may have whitespace around it.
pub(super) fn read(path: &Path) -> Result<IdentityToken, TokenError> {
    let failed = |reason: std::io::Error| TokenError::File {
        path: path.display().to_string(),
        reason: reason.to_string(),
    };
    let limit = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    // A token and whitespace; one byte over the limit is enough to be refused by the parser.
    file.take(limit + 2).read_to_string(&mut text).map_err(failed)?;
    IdentityToken::parse(&text)
}

fn looks_like_a_token(given: &str) -> bool {
    given.len() > 255 || (given.matches('.').count() == 2 && !given.contains('/') && given.starts_with("ey"))
}
