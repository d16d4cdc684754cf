//! Running `docker-credential-<name> get`, bounded in time and output.

use std::collections::HashMap;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Mutex;

use super::{Credential, CredentialError, Secret};
use crate::limits::{HELPER_CACHE_TIME, HELPER_TIMEOUT, MAX_HELPER_OUTPUT_BYTES};

/// docker-credential-helpers, `credentials/error.go`: how a helper says that it has none. This is its whole message.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// docker-credential-helpers, README: with this user name the secret is an identity token.
const TOKEN_USERNAME: &str = "<token>";

/// Answers of helpers, kept for a while: they are slow, and an image takes dozens of requests.
#[derive(Debug, Default)]
pub(super) struct HelperCache {
    answers: Mutex<HashMap<Asked, Answered>>,
    /// Where helpers are looked for instead of `PATH`, in tests.
    pub(super) folder: Option<PathBuf>,
}

/// Helper and server.
type Asked = (String, String);

/// When, and what it said.
type Answered = (Instant, Option<Credential>);

impl HelperCache {
    /// Asks a helper for a server, or repeats what it said lately. One helper runs at a time.
    pub(super) async fn get(&self, helper: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
        let mut answers = self.answers.lock().await;
        let key = (helper.to_owned(), server.to_owned());
        if let Some((asked, answer)) = answers.get(&key)
            && asked.elapsed() < HELPER_CACHE_TIME
        {
            return Ok(answer.clone());
        }
        let answer = self.run(helper, server).await?;
        answers.insert(key, (Instant::now(), answer.clone()));
        Ok(answer)
    }

    async fn run(&self, helper: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
        let failed = |reason: String| CredentialError::Helper {
            helper: helper.to_owned(),
            server: server.to_owned(),
            reason,
        };
        let program = program(helper, self.folder.as_deref())?;
        let talk = talk(&program, "get", server.as_bytes());
        match tokio::time::timeout(HELPER_TIMEOUT, talk).await {
            Err(_) => Err(failed(format!("no answer within {HELPER_TIMEOUT:?}"))),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Ok(Ok(answer)) => answer.credential().map_err(failed),
        }
    }
}

/// Gives a helper a credential to keep.
pub(super) async fn store(
    helper: &str,
    server: &str,
    username: &str,
    password: &Secret,
) -> Result<(), CredentialError> {
    let failed = |reason: String| CredentialError::Helper {
        helper: helper.to_owned(),
        server: server.to_owned(),
        reason,
    };
    let program = program(helper, None)?;
    let given = serde_json::json!({ "ServerURL": server, "Username": username, "Secret": password.reveal() });
    let given = given.to_string();
    match tokio::time::timeout(HELPER_TIMEOUT, talk(&program, "store", given.as_bytes())).await {
        Err(_) => Err(failed(format!("no answer within {HELPER_TIMEOUT:?}"))),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Ok(Ok(answer)) if answer.success => Ok(()),
        // What it says of the failure might repeat what it was given.
        Ok(Ok(_)) => Err(failed("it did not keep the credential".to_owned())),
    }
}

fn program(helper: &str, folder: Option<&Path>) -> Result<PathBuf, CredentialError> {
    // A name with a path separator would run a program from anywhere.
    let plain = !helper.is_empty()
        && helper
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !plain {
        return Err(CredentialError::HelperName {
            helper: helper.chars().take(80).collect(),
        });
    }
    let name = format!("docker-credential-{helper}");
    Ok(folder.map_or_else(|| name.clone().into(), |folder| folder.join(&name)))
}

struct Answer {
    success: bool,
    output: Vec<u8>,
}

async fn talk(program: &Path, action: &str, given: &[u8]) -> std::io::Result<Answer> {
    let mut child = Command::new(program)
        .arg(action)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that does not read its input has closed it; its answer will tell.
        let _ = input.write_all(given).await;
        drop(input);
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(MAX_HELPER_OUTPUT_BYTES + 1)
            .read_to_end(&mut output)
            .await?;
    }
    if output.len() as u64 > MAX_HELPER_OUTPUT_BYTES {
        return Err(std::io::Error::other("it printed more than 64 KiB"));
    }
    let status = child.wait().await?;
    Ok(Answer {
        success: status.success(),
        output,
    })
}

impl Answer {
    fn credential(&self) -> Result<Option<Credential>, String> {
        let text = String::from_utf8_lossy(&self.output);
        if !self.success {
            if text.trim() == NOT_FOUND {
                return Ok(None);
            }
            // The protocol has the message of a failure on standard output; it holds no secret.
            let message: String = text.trim().chars().take(200).collect();
            return Err(format!("it failed: {message}"));
        }
        let raw: RawAnswer =
            serde_json::from_slice(&self.output).map_err(|_| "its answer is not the JSON expected".to_owned())?;
        if raw.secret.is_empty() {
            return Ok(None);
        }
        let secret = Secret::new(raw.secret);
        Ok(Some(if raw.username == TOKEN_USERNAME {
            Credential::IdentityToken(secret)
        } else {
            Credential::Password {
                username: raw.username,
                password: secret,
            }
        }))
    }
}

#[derive(Deserialize)]
struct RawAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}
