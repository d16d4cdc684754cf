//! Keys and identities, as all three formats have them.

use proofmark_verify::PublicKey;

use super::node::{Node, Object};
use crate::error::PolicyError;
use crate::requirement::{KeylessRule, SignerRule};
use crate::text::{TextError, TextMatch};

/// The most keys or identities in one list: a quorum is paired in time that grows with the cube.
pub(super) const MAX_SIGNERS: usize = 64;

/// One PEM block; several are refused by the caller that cannot mean several.
pub(super) fn public_key(node: &Node<'_>) -> Result<PublicKey, PolicyError> {
    PublicKey::from_pem(node.string()?).map_err(|source| PolicyError::Key {
        place: node.place(),
        error: source,
    })
}

/// As many PEM blocks as there are.
pub(super) fn public_keys(node: &Node<'_>) -> Result<Vec<PublicKey>, PolicyError> {
    const END: &str = "-----END PUBLIC KEY-----";
    let text = node.string()?.trim();
    let mut keys = Vec::new();
    let mut rest = text;
    while !rest.trim().is_empty() {
        let end = rest.find(END).map_or(rest.len(), |start| start + END.len());
        let (block, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        keys.push(PublicKey::from_pem(block).map_err(|source| PolicyError::Key {
            place: node.place(),
            error: source,
        })?);
        if keys.len() > MAX_SIGNERS {
            return Err(node.wrong("at most 64 keys"));
        }
        rest = behind;
    }
    Ok(keys)
}

pub(super) fn key_rule(key: &PublicKey) -> SignerRule {
    SignerRule::Key(key.fingerprint().clone())
}

/// How a format reads its plain `subject` and `issuer`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PlainText {
    Exact,
    /// Kyverno: wildcards.
    Glob,
}

/// Reads `subject`/`subjectRegExp` and `issuer`/`issuerRegExp`; each once, none that anyone satisfies.
pub(super) fn identity(object: &Object<'_>, plain: PlainText) -> Result<KeylessRule, PolicyError> {
    let read = |name: &str, regexp_name: &str| -> Result<TextMatch, PolicyError> {
        let (node, pattern) = match (object.get(name), object.get(regexp_name)) {
            (Some(_), Some(regexp)) => {
                return Err(regexp.unsupported(&format!(
                    "{name} stands beside it, and formats differ in whether both or either must match; write one"
                )));
            }
            (Some(node), None) => {
                let text = node.string()?;
                let pattern = match plain {
                    PlainText::Exact => TextMatch::exact(text),
                    PlainText::Glob if text.contains(['*', '?']) => TextMatch::glob(text),
                    PlainText::Glob => TextMatch::exact(text),
                };
                (node.clone(), pattern.map_err(|source| node.text(source))?)
            }
            (None, Some(node)) => {
                let pattern = TextMatch::regexp(node.string()?).map_err(|source: TextError| node.text(source))?;
                (node.clone(), pattern)
            }
            (None, None) => {
                return Err(PolicyError::KeylessWithoutIdentity {
                    place: object.place(),
                    missing: format!("{name} or {regexp_name} is missing"),
                });
            }
        };
        if pattern.is_anything() || name == "issuer" && pattern.is_any_address() {
            return Err(PolicyError::KeylessWithoutIdentity {
                place: node.place(),
                missing: format!("\"{}\" matches everyone", pattern.source()),
            });
        }
        Ok(pattern)
    };
    let subject = read("subject", "subjectRegExp")?;
    let issuer = read("issuer", "issuerRegExp")?;
    Ok(KeylessRule::new(subject, issuer))
}
