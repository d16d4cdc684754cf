//! Keys and identities, as all three formats have them.

use proofmark_types::{Digest, KeyReference};
use proofmark_verify::PublicKey;

use super::node::{Node, Object};
use crate::error::PolicyError;
use crate::requirement::{KeylessRule, SignerRule};
use crate::text::{TextError, TextMatch};

/// The most keys or identities in one list: a quorum is paired in time that grows with the cube.
pub(super) const MAX_SIGNERS: usize = 64;

/// Someone who signs with a key, and the key; without it while it is only found out which keys are needed.
pub(super) struct KeySigner {
    pub(super) rule: SignerRule,
    pub(super) key: Option<PublicKey>,
}

impl KeySigner {
    fn of(key: PublicKey) -> Self {
        Self {
            rule: SignerRule::Key(key.fingerprint().clone()),
            key: Some(key),
        }
    }
}

/// Takes the keys out of `signers`, for the verifier.
pub(super) fn rules(signers: Vec<KeySigner>, keys: &mut Vec<PublicKey>) -> Vec<SignerRule> {
    let rule = |signer: KeySigner| {
        keys.extend(signer.key);
        signer.rule
    };
    signers.into_iter().map(rule).collect()
}

/// One key, in PEM or by where it lives.
pub(super) fn key(node: &Node<'_>) -> Result<KeySigner, PolicyError> {
    if let Some(reference) = reference_text(node)? {
        return referenced(node, reference);
    }
    let key = PublicKey::from_pem(node.string()?).map_err(|error| PolicyError::Key {
        place: node.place(),
        error,
    })?;
    Ok(KeySigner::of(key))
}

/// One key in PEM, of a text that is not written in the policy as it is.
pub(super) fn pem(node: &Node<'_>, text: &str) -> Result<KeySigner, PolicyError> {
    if text.contains("PRIVATE KEY-----") {
        return Err(PolicyError::PrivateKey { place: node.place() });
    }
    PublicKey::from_pem(text)
        .map(KeySigner::of)
        .map_err(|error| PolicyError::Key {
            place: node.place(),
            error,
        })
}

/// As many keys as there are PEM blocks, or one by where it lives.
pub(super) fn keys(node: &Node<'_>) -> Result<Vec<KeySigner>, PolicyError> {
    match reference_text(node)? {
        Some(reference) => Ok(vec![referenced(node, reference)?]),
        None => Ok(public_keys(node)?.into_iter().map(KeySigner::of).collect()),
    }
}

/// The `kms` of the peers' formats: a key service and nothing else.
pub(super) fn kms(node: &Node<'_>) -> Result<KeySigner, PolicyError> {
    let text = reference_text(node)?.ok_or_else(|| node.wrong(KMS))?;
    let reference = parse(node, text)?;
    match reference {
        KeyReference::Aws { .. }
        | KeyReference::Google { .. }
        | KeyReference::Azure { .. }
        | KeyReference::Vault { .. } => ask(node, &reference),
        other => Err(PolicyError::KeyPlace {
            place: node.place(),
            kind: other.kind(),
            reason: format!("expected {KMS}"),
        }),
    }
}

const KMS: &str = "a key service: awskms://, gcpkms://, azurekms:// or hashivault://";

/// The `secret` or `secretRef` of the peers' formats, by name and namespace.
pub(super) fn secret(node: &Node<'_>) -> Result<KeySigner, PolicyError> {
    let text = node.object(&["name", "namespace"], &[], |secret| {
        let name = secret.required("name", "the name of a Secret")?.string()?;
        let namespace = secret.required("namespace", "the namespace of the Secret")?.string()?;
        Ok(format!("k8s://{namespace}/{name}"))
    })?;
    referenced(node, &text)
}

/// The text, if it is none in PEM.
fn reference_text<'a>(node: &Node<'a>) -> Result<Option<&'a str>, PolicyError> {
    let text = node.string()?.trim();
    // Also in the middle of other blocks, and before anything repeats the text.
    if text.contains("PRIVATE KEY-----") {
        return Err(PolicyError::PrivateKey { place: node.place() });
    }
    Ok((!text.contains("-----") && !text.contains('\n')).then_some(text))
}

fn parse(node: &Node<'_>, text: &str) -> Result<KeyReference, PolicyError> {
    KeyReference::parse(text).map_err(|error| PolicyError::KeyReference {
        place: node.place(),
        error,
    })
}

fn referenced(node: &Node<'_>, text: &str) -> Result<KeySigner, PolicyError> {
    ask(node, &parse(node, text)?)
}

fn ask(node: &Node<'_>, reference: &KeyReference) -> Result<KeySigner, PolicyError> {
    Ok(match node.keys().ask(reference, &node.place())? {
        Some(key) => KeySigner::of(key),
        // Told apart from others by its reference; no set is made of it.
        None => KeySigner {
            rule: SignerRule::Key(Digest::sha256_of(reference.to_string().as_bytes())),
            key: None,
        },
    })
}

/// As many PEM blocks as there are.
fn public_keys(node: &Node<'_>) -> Result<Vec<PublicKey>, PolicyError> {
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
