//! `login`: keep a registry's user name and password where the clients of registries look for them.

use std::io::Read as _;

use clap::Args;
use proofmark_registry::{Kept, Secret, store_login};
use proofmark_types::RegistryHost;
use serde_json::json;

use crate::context::{Context, registry_failure};
use crate::failure::{Failure, chain};
use crate::output::stdin_is_terminal;

/// The longest password read, in bytes: tokens of registries have up to a few thousand.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// Keep user name and password for a registry
///
/// They are kept as Docker keeps them: with the credential helper that its config.json names, or in that file. The
/// registry is not asked whether they are right.
#[derive(Args, Debug)]
pub(crate) struct Login {
    /// The registry's host
    #[arg(default_value = "docker.io")]
    server: String,

    /// The user name
    #[arg(short, long, value_name = "NAME")]
    username: String,

    /// The password. Others on this machine can see it while this runs: --password-stdin is better
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long)]
    password_stdin: bool,
}

impl Login {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let host = self
            .server
            .trim_start_matches("https://")
            .trim_start_matches("http://")
            .split('/')
            .next()
            .unwrap_or_default();
        let host = RegistryHost::parse(host).map_err(|error| {
            Failure::usage("malformed-reference", format!("\"{}\": {}", self.server, chain(&error)))
        })?;
        if self.username.is_empty() {
            return Err(Failure::usage("user-name-missing", "the user name is empty"));
        }
        let password = Secret::new(self.password(context)?);
        let kept = store_login(&host, &self.username, &password)
            .await
            .map_err(|error| registry_failure(error.into()))?;
        let (place, helper) = match &kept {
            Kept::Helper { helper, file } => (file, Some(helper)),
            Kept::File(file) => (file, None),
            _ => return Ok(()),
        };
        let how = helper.map_or_else(String::new, |helper| {
            format!("with docker-credential-{helper}, named in ")
        });
        context.done(
            &format!("{host}: {} is kept {how}{}", self.username, place.display()),
            &json!({ "registry": host.as_str(), "username": self.username, "file": place, "helper": helper }),
        );
        Ok(())
    }

    fn password(&self, context: &Context) -> Result<String, Failure> {
        let password = if self.password_stdin {
            let mut text = String::new();
            std::io::stdin()
                .lock()
                .take(MAX_PASSWORD_BYTES)
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage("password-unreadable", error))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        } else if let Some(given) = &self.password {
            context
                .output
                .warn("a password on the command line can be seen by others on this machine; use --password-stdin");
            given.clone()
        } else if stdin_is_terminal() {
            rpassword::prompt_password("Password: ").map_err(|error| Failure::usage("password-unreadable", error))?
        } else {
            return Err(Failure::usage(
                "password-missing",
                "no password is given, and there is no terminal to ask on",
            )
            .with_hint("give --password-stdin and write the password to standard input"));
        };
        if password.is_empty() {
            return Err(Failure::usage("password-missing", "the password is empty"));
        }
        Ok(password)
    }
}
