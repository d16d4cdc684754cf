//! `pkcs11-tool`: what is in a PKCS #11 token, and what to write for `--key`.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use proofmark_sign::keys::pkcs11;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::keys;

/// What is in a PKCS #11 token
#[derive(Subcommand, Debug)]
pub(crate) enum Pkcs11Tool {
    /// List the tokens behind a module
    ListTokens(ListTokens),
    /// List the private keys in a slot, with the URI of each
    ListKeysUris(ListKeysUris),
}

/// List the tokens
#[derive(Args, Debug)]
pub(crate) struct ListTokens {
    /// Absolute path of the PKCS #11 module (default: COSIGN_PKCS11_MODULE_PATH)
    #[arg(long, value_name = "PATH")]
    module_path: Option<String>,
}

/// List the keys in a slot
#[derive(Args, Debug)]
pub(crate) struct ListKeysUris {
    /// Absolute path of the PKCS #11 module (default: COSIGN_PKCS11_MODULE_PATH)
    #[arg(long, value_name = "PATH")]
    module_path: Option<String>,

    /// The slot's number
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    slot_id: u64,

    /// The token's PIN; other users of this machine may see it: better COSIGN_PKCS11_PIN
    #[arg(long, value_name = "PIN", hide_env_values = true)]
    pin: Option<String>,
}

impl Pkcs11Tool {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::ListTokens(verb) => verb.run(context).await,
            Self::ListKeysUris(verb) => verb.run(context).await,
        }
    }
}

impl ListTokens {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let tokens = pkcs11::tokens(self.module_path.as_deref(), &keys::surroundings())
            .await
            .map_err(keys::failure)?;
        let mut text = String::new();
        let mut values = Vec::new();
        for token in tokens {
            let _ = writeln!(
                text,
                "Token in slot {}\n\tLabel: {}\n\tManufacturer: {}\n\tModel: {}\n\tS/N: {}",
                token.slot,
                printable(&token.label),
                printable(&token.manufacturer),
                printable(&token.model),
                printable(&token.serial)
            );
            values.push(json!({
                "slot": token.slot, "label": token.label, "manufacturer": token.manufacturer,
                "model": token.model, "serial": token.serial,
            }));
        }
        context.output.result(text.trim_end(), &values);
        Ok(())
    }
}

impl ListKeysUris {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let surroundings = keys::surroundings();
        let module = self.module_path.as_deref();
        let list = pkcs11::token_keys(module, self.slot_id, self.pin.as_deref(), &surroundings)
            .await
            .map_err(keys::failure)?;
        let mut text = String::new();
        let mut values = Vec::new();
        for (index, key) in list.iter().enumerate() {
            let id = key.id.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            let _ = writeln!(
                text,
                "Object {index}\n\tLabel: {}\n\tID: {id}\n\tURI: {}",
                printable(&key.label),
                key.uri
            );
            values.push(json!({ "label": key.label, "id": id, "uri": key.uri.to_string() }));
        }
        context.output.result(text.trim_end(), &values);
        Ok(())
    }
}

/// Labels are whatever someone wrote into the token.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
