//! CircleCI: the token of the job, or one for another audience made by its own command (circleci.com/docs, "OIDC tokens
//! with custom claims"). The job's own is for the organisation, which no certificate authority asks for.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::detect::Sources;
use super::{IdentityToken, MAX_TOKEN_BYTES, Provider, TokenError};

const VARIABLES: [&str; 2] = ["CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN"];
const PROGRAM: &str = "circleci";

/// Whether this is a job that has tokens.
pub(super) fn is_here(sources: &Sources<'_>) -> bool {
    VARIABLES.iter().any(|name| sources.variable(name).is_some())
}

/// The job's token if it is for the audience, and else one that `circleci run oidc get` makes.
pub(super) async fn token(sources: &Sources<'_>) -> Result<IdentityToken, TokenError> {
    let mut seen = None;
    for name in VARIABLES {
        let Some(text) = sources.variable(name) else { continue };
        let token = IdentityToken::parse(&text)?;
        if token
            .claims()
            .audiences()
            .iter()
            .any(|audience| audience == sources.audience())
        {
            return Ok(token);
        }
        seen.get_or_insert_with(|| token.claims().audiences().join(", "));
    }
    let Some(seen) = seen else {
        return Err(TokenError::NotHere {
            provider: Provider::CircleCi,
            missing: "CIRCLE_OIDC_TOKEN_V2 is not set: the job needs a context",
        });
    };
    // Without the command, what is wrong is that the token at hand is for somebody else.
    let program = program(sources).ok_or_else(|| TokenError::Audience {
        expected: sources.audience().to_owned(),
        seen,
    })?;
    let limit = sources.timing.certificate;
    let run = tokio::time::timeout(limit, run(&program, sources.audience()));
    run.await
        .unwrap_or_else(|_| Err(failed(format!("no answer within {} ms", limit.as_millis()))))
}

async fn run(program: &Path, audience: &str) -> Result<IdentityToken, TokenError> {
    let broken = |error: std::io::Error| failed(error.to_string());
    let mut child = Command::new(program)
        .args(["run", "oidc", "get", "--claims"])
        .arg(json!({"aud": audience}).to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(broken)?;
    let mut text = String::new();
    if let Some(output) = child.stdout.take() {
        let limit = u64::try_from(MAX_TOKEN_BYTES).unwrap_or(u64::MAX);
        output.take(limit + 2).read_to_string(&mut text).await.map_err(broken)?;
    }
    if text.len() > MAX_TOKEN_BYTES {
        return IdentityToken::parse(&text);
    }
    let status = child.wait().await.map_err(broken)?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    IdentityToken::parse(&text)
}

fn failed(reason: String) -> TokenError {
    TokenError::Command {
        program: "circleci run oidc get",
        reason,
    }
}

/// The command, by the job's own path.
fn program(sources: &Sources<'_>) -> Option<PathBuf> {
    let path = sources.variable("PATH")?;
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(PROGRAM))
        .find(|file| file.is_file())
}
