//! `attestors`: who may vouch, and what must vouch for them.

use std::collections::BTreeMap;

use super::entries;
use crate::error::PolicyError;
use crate::read::cluster_image_policy::note_anchors;
use crate::read::node::{Node, Object};
use crate::read::signers::{self, MAX_SIGNERS, PlainText, identity};
use crate::requirement::{GithubField, LogRule, Requirement, SignerRule};
use crate::text::TextMatch;
use crate::validating::{Attestor, ObjectPolicy, constant, surface};

const TRUST_ROOT: &str = "the trust root of the server decides which logs and authorities are trusted";
const OWN_REPOSITORY: &str = "signatures are read from the image's own repository in this version";

pub(super) fn read(node: &Node<'_>, policy: &mut ObjectPolicy) -> Result<Attestor, PolicyError> {
    const NOTARY: &str = "Notary signatures are not verified; sign with cosign or proofmark, and write cosign";
    node.object(&["name", "cosign"], &[("notary", NOTARY)], |object| {
        let name = object.required("name", "a name")?.string()?.to_owned();
        let cosign = object.required("cosign", "key or keyless")?;
        let requirement = cosign_attestor(&cosign, policy)?;
        Ok(Attestor { name, requirement })
    })
}

fn cosign_attestor(node: &Node<'_>, policy: &mut ObjectPolicy) -> Result<Requirement, PolicyError> {
    const FIELDS: [&str; 6] = ["key", "keyless", "certificate", "source", "ctlog", "annotations"];
    const UNSUPPORTED: [(&str, &str); 2] = [("tuf", TRUST_ROOT), ("trustedRoot", TRUST_ROOT)];
    node.object(&FIELDS, &UNSUPPORTED, |object| {
        let signers = match (object.get("key"), object.get("keyless"), object.get("certificate")) {
            (Some(node), None, None) => key(&node, policy)?,
            (None, Some(node), None) => keyless(&node, policy)?,
            (None, None, Some(node)) => return Err(certificate(&node)?),
            _ => return Err(node.wrong("exactly one of key, keyless and certificate")),
        };
        let mut requirement = Requirement::signature(signers);
        vouchers(object, &mut requirement, &mut policy.notes)?;
        if let Some(node) = object.get("annotations") {
            let texts = node.texts()?.into_iter();
            requirement.annotations = texts
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>();
        }
        if let Some(node) = object.get("source") {
            const UNSUPPORTED: [(&str, &str); 2] = [("repository", OWN_REPOSITORY), ("tagPrefix", OWN_REPOSITORY)];
            node.object(&["PullSecrets"], &UNSUPPORTED, |source| {
                source.ignore(&["PullSecrets"]);
                policy.notes.push(
                    "source.PullSecrets: the credentials of the server are used, bound to exact hosts".to_owned(),
                );
                Ok(())
            })?;
        }
        Ok(requirement)
    })
}

fn key(node: &Node<'_>, policy: &mut ObjectPolicy) -> Result<Vec<SignerRule>, PolicyError> {
    const WHERE: &str = "exactly one of data, kms and expression";
    node.object(&["data", "kms", "expression", "hashAlgorithm"], &[], |object| {
        // The hash is a property of the key; the word is checked and says nothing else.
        if let Some(hash) = object.get("hashAlgorithm") {
            hash.word(&[("sha256", ()), ("sha384", ()), ("sha512", ())])?;
        }
        let found = match (object.get("data"), object.get("kms"), object.get("expression")) {
            (Some(data), None, None) => vec![signers::key(&data)?],
            (None, Some(kms), None) => vec![signers::kms(&kms)?],
            (None, None, Some(expression)) => vec![computed(&expression)?],
            _ => return Err(node.wrong(WHERE)),
        };
        Ok(signers::rules(found, &mut policy.keys))
    })
}

/// A key that an expression gives: it must be known when the policies are loaded, because evidence is verified before any
/// policy is asked.
fn computed(node: &Node<'_>) -> Result<signers::KeySigner, PolicyError> {
    let value = constant(node.string()?, &surface::OBJECT).map_err(|error| node.condition(error))?;
    let Some(serde_json::Value::String(text)) = value else {
        return Err(node.unsupported(
            "a key must be known when the policies are loaded: evidence is verified before any policy is asked; write it as data",
        ));
    };
    signers::pem(node, &text)
}

fn keyless(node: &Node<'_>, policy: &mut ObjectPolicy) -> Result<Vec<SignerRule>, PolicyError> {
    const UNSUPPORTED: [(&str, &str); 1] = [("roots", TRUST_ROOT)];
    node.object(&["identities", "additionalExtensions"], &UNSUPPORTED, |object| {
        let listed = object.required("identities", "who may have signed")?;
        let mut rules = Vec::new();
        for item in entries(&listed)? {
            const FIELDS: [&str; 4] = ["subject", "subjectRegExp", "issuer", "issuerRegExp"];
            const COMPUTED: [(&str, &str); 1] = [(
                "subjectExpression",
                "an identity is not computed from the object that wants to run; Kyverno reads the field and never asks for it",
            )];
            rules.push(item.object(&FIELDS, &COMPUTED, |identity_node| identity(identity_node, PlainText::Exact))?);
        }
        if rules.len() > MAX_SIGNERS {
            return Err(listed.wrong("at most 64 identities"));
        }
        let mut wanted = Vec::new();
        if let Some(extensions) = object.get("additionalExtensions") {
            for (name, value) in extensions.texts()? {
                let field = GithubField::ALL.into_iter().find(|field| extension_name(*field) == name);
                let field = field.ok_or_else(|| {
                    extensions.unsupported(&format!("{name} is not an extension that certificates are compared by"))
                })?;
                wanted.push((field, TextMatch::exact(value).map_err(|error| extensions.text(error))?));
            }
        }
        for rule in &mut rules {
            rule.github.clone_from(&wanted);
        }
        let signers: Vec<SignerRule> = rules.into_iter().map(|rule| SignerRule::Keyless(Box::new(rule))).collect();
        note_anchors(&signers, &mut policy.notes);
        Ok(signers)
    })
}

fn extension_name(field: GithubField) -> &'static str {
    match field {
        GithubField::Trigger => "githubWorkflowTrigger",
        GithubField::Sha => "githubWorkflowSha",
        GithubField::Name => "githubWorkflowName",
        GithubField::Repository => "githubWorkflowRepository",
        GithubField::Ref => "githubWorkflowRef",
    }
}

/// Certificates of one's own: why they are refused, and an error for anything else that is wrong with them.
fn certificate(node: &Node<'_>) -> Result<PolicyError, PolicyError> {
    const REASON: &str = "certificates of one's own authority are not read in this version: put the authority into the trust root and write keyless, or write the certificate's public key as key.data";
    node.object(&["cert", "certChain"], &[], |object| {
        object.ignore(&["cert", "certChain"]);
        Ok(node.unsupported(REASON))
    })
}

/// `ctlog`: what must vouch, and not who is trusted to.
fn vouchers(object: &Object<'_>, requirement: &mut Requirement, notes: &mut Vec<String>) -> Result<(), PolicyError> {
    const FIELDS: [&str; 3] = ["url", "insecureIgnoreTlog", "insecureIgnoreSCT"];
    const UNSUPPORTED: [(&str, &str); 3] = [
        ("rekorPubKey", TRUST_ROOT),
        ("ctLogPubKey", TRUST_ROOT),
        ("tsaCertChain", TRUST_ROOT),
    ];
    let Some(node) = object.get("ctlog") else { return Ok(()) };
    node.object(&FIELDS, &UNSUPPORTED, |ctlog| {
        if let Some(url) = ctlog.string("url")? {
            let note = format!(
                "ctlog.url {url} is not consulted: the trust root decides which logs are trusted, and nothing is fetched while deciding"
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        if ctlog.boolean("insecureIgnoreTlog", false)? {
            requirement.log = LogRule::NotRequired;
        }
        requirement.sct = !ctlog.boolean("insecureIgnoreSCT", false)?;
        Ok(())
    })
}
