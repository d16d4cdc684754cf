//! `attestors`: sets that must all be satisfied, each by so many of its entries.

use std::collections::BTreeMap;

use proofmark_verify::PublicKey;

use crate::error::PolicyError;
use crate::model::{Demand, Quorum, Slot};
use crate::read::cluster_image_policy::note_anchors;
use crate::read::node::{Node, Object};
use crate::read::signers::{self, MAX_SIGNERS, PlainText, identity};
use crate::requirement::{GithubField, LogRule, Requirement, SignerRule};
use crate::text::TextMatch;

/// So many different signers of the entries.
#[derive(Clone, Debug)]
pub(super) struct Set {
    count: usize,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    signer: SignerRule,
    log: LogRule,
    sct: bool,
    annotations: BTreeMap<String, String>,
}

pub(super) fn read(
    node: &Node<'_>,
    keys: &mut Vec<PublicKey>,
    notes: &mut Vec<String>,
) -> Result<Vec<Set>, PolicyError> {
    let set = |item: &Node<'_>| read_set(item, keys, notes);
    node.list()?.iter().map(set).collect()
}

/// All sets, as a demand for a signature or for an attestation.
pub(super) fn demand(sets: &[Set], name: &str, requirement: impl Fn(Vec<SignerRule>) -> Requirement) -> Vec<Quorum> {
    sets.iter()
        .map(|set| Quorum {
            name: name.to_owned(),
            count: set.count,
            slots: set.entries.iter().map(|entry| slot(entry, &requirement)).collect(),
            conditions: Vec::new(),
            every: true,
        })
        .collect()
}

pub(super) fn all(quorums: Vec<Quorum>) -> Demand {
    Demand::All(quorums.into_iter().map(Demand::Quorum).collect())
}

fn slot(entry: &Entry, requirement: &impl Fn(Vec<SignerRule>) -> Requirement) -> Slot {
    Slot {
        requirement: Requirement {
            log: entry.log,
            sct: entry.sct,
            annotations: entry.annotations.clone(),
            ..requirement(vec![entry.signer.clone()])
        },
    }
}

fn read_set(node: &Node<'_>, keys: &mut Vec<PublicKey>, notes: &mut Vec<String>) -> Result<Set, PolicyError> {
    node.object(&["count", "entries"], &[], |object| {
        let mut entries = Vec::new();
        let listed = object.required("entries", "a list of signers")?;
        for item in listed.list()? {
            entries.extend(read_entry(&item, keys, notes)?);
        }
        if entries.len() > MAX_SIGNERS {
            return Err(listed.wrong("at most 64 signers"));
        }
        for (position, entry) in entries.iter().enumerate() {
            if entries
                .iter()
                .skip(position + 1)
                .any(|other| other.signer == entry.signer)
            {
                return Err(listed.wrong("entries that are all different; Kyverno counts one signer twice"));
            }
        }
        let count = match object.get("count") {
            None => entries.len(),
            // Kyverno reads 0 as "all".
            Some(node) if node.value().as_u64() == Some(0) => entries.len(),
            Some(node) => node.count().and_then(|count| {
                if count <= entries.len() {
                    Ok(count)
                } else {
                    Err(node.wrong(&format!("at most the number of signers, {}", entries.len())))
                }
            })?,
        };
        if count > 1 {
            let note =
                "count: different signers are counted; Kyverno counts entries, which one signature can satisfy twice";
            if !notes.iter().any(|known| known == note) {
                notes.push(note.to_owned());
            }
        }
        Ok(Set { count, entries })
    })
}

const ENTRY_UNSUPPORTED: [(&str, &str); 3] = [
    (
        "certificates",
        "certificates of one's own authority are not read in this version; use keyless with a trust root",
    ),
    (
        "attestor",
        "nested sets are not read in this version; write the entries in one set, or several sets",
    ),
    (
        "repository",
        "signatures are read from the image's own repository in this version",
    ),
];

/// One entry, or as many as it has keys.
fn read_entry(node: &Node<'_>, keys: &mut Vec<PublicKey>, notes: &mut Vec<String>) -> Result<Vec<Entry>, PolicyError> {
    const FIELDS: [&str; 4] = ["keys", "keyless", "annotations", "signatureAlgorithm"];
    node.object(&FIELDS, &ENTRY_UNSUPPORTED, |object| {
        algorithm(object)?;
        let mut annotations = BTreeMap::new();
        if let Some(node) = object.get("annotations") {
            annotations.extend(
                node.texts()?
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.to_owned())),
            );
        }
        let (signers, vouchers) = match (object.get("keys"), object.get("keyless")) {
            (Some(node), None) => read_keys(&node, keys, notes)?,
            (None, Some(node)) => read_keyless(&node, notes)?,
            _ => return Err(node.wrong("either keys or keyless")),
        };
        let entry = |signer| Entry {
            signer,
            log: vouchers.log,
            sct: vouchers.sct,
            annotations: annotations.clone(),
        };
        Ok(signers.into_iter().map(entry).collect())
    })
}

/// The hash is a property of the key; the word is checked and says nothing else.
fn algorithm(object: &Object<'_>) -> Result<(), PolicyError> {
    match object.get("signatureAlgorithm") {
        None => Ok(()),
        Some(node) => node.word(&[("sha256", ()), ("sha384", ()), ("sha512", ())]),
    }
}

struct Vouchers {
    log: LogRule,
    sct: bool,
}

fn read_keys(
    node: &Node<'_>,
    keys: &mut Vec<PublicKey>,
    notes: &mut Vec<String>,
) -> Result<(Vec<SignerRule>, Vouchers), PolicyError> {
    const FIELDS: [&str; 6] = ["publicKeys", "kms", "secret", "signatureAlgorithm", "rekor", "ctlog"];
    node.object(&FIELDS, &[], |object| {
        algorithm(object)?;
        let read = match (object.get("publicKeys"), object.get("kms"), object.get("secret")) {
            (Some(node), None, None) => {
                if node.string()?.contains("{{") {
                    return Err(node.unsupported("variables are not filled in; put the public key here"));
                }
                signers::keys(&node)?
            }
            (None, Some(node), None) => vec![signers::kms(&node)?],
            (None, None, Some(node)) => vec![signers::secret(&node)?],
            _ => return Err(node.wrong("exactly one of publicKeys, kms and secret")),
        };
        Ok((signers::rules(read, keys), vouchers(object, notes)?))
    })
}

fn read_keyless(node: &Node<'_>, notes: &mut Vec<String>) -> Result<(Vec<SignerRule>, Vouchers), PolicyError> {
    const UNSUPPORTED: [(&str, &str); 1] = [(
        "roots",
        "the trust root of the server decides which authorities are trusted",
    )];
    const FIELDS: [&str; 7] = [
        "subject",
        "subjectRegExp",
        "issuer",
        "issuerRegExp",
        "additionalExtensions",
        "rekor",
        "ctlog",
    ];
    node.object(&FIELDS, &UNSUPPORTED, |object| {
        let mut rule = identity(object, PlainText::Glob)?;
        if let Some(extensions) = object.get("additionalExtensions") {
            const KNOWN: [(&str, GithubField); 5] = [
                ("githubWorkflowTrigger", GithubField::Trigger),
                ("githubWorkflowSha", GithubField::Sha),
                ("githubWorkflowName", GithubField::Name),
                ("githubWorkflowRepository", GithubField::Repository),
                ("githubWorkflowRef", GithubField::Ref),
            ];
            let names = KNOWN.map(|(name, _)| name);
            extensions.object(&names, &[], |fields| {
                for (name, field) in KNOWN {
                    if let Some(node) = fields.get(name) {
                        let wanted = TextMatch::glob(node.string()?).map_err(|source| node.text(source))?;
                        rule.github.push((field, wanted));
                    }
                }
                Ok(())
            })?;
        }
        let signers = vec![SignerRule::Keyless(Box::new(rule))];
        note_anchors(&signers, notes);
        Ok((signers, vouchers(object, notes)?))
    })
}

/// `rekor` and `ctlog`: what must vouch, and not who is trusted to.
fn vouchers(object: &Object<'_>, notes: &mut Vec<String>) -> Result<Vouchers, PolicyError> {
    const TRUST_ROOT: &str = "the trust root of the server decides which logs and authorities are trusted";
    let mut found = Vouchers {
        log: LogRule::Required { operators: 1 },
        sct: true,
    };
    if let Some(rekor) = object.get("rekor") {
        rekor.object(&["url", "ignoreTlog"], &[("pubkey", TRUST_ROOT)], |rekor| {
            if let Some(url) = rekor.string("url")? {
                let note = format!(
                    "rekor.url {url} is not consulted: the trust root decides which logs are trusted, and nothing is fetched while deciding"
                );
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
            if rekor.boolean("ignoreTlog", false)? {
                found.log = LogRule::NotRequired;
            }
            Ok(())
        })?;
    }
    if let Some(ctlog) = object.get("ctlog") {
        const UNSUPPORTED: [(&str, &str); 2] = [("pubkey", TRUST_ROOT), ("tsaCertChain", TRUST_ROOT)];
        ctlog.object(&["ignoreSCT"], &UNSUPPORTED, |ctlog| {
            found.sct = !ctlog.boolean("ignoreSCT", false)?;
            Ok(())
        })?;
    }
    Ok(found)
}
