//! `attestors`: sets that must all be satisfied, each by so many of its entries.

use std::collections::BTreeMap;

use proofmark_types::Repository;
use serde_json::Value;

use crate::condition::Condition;
use crate::error::PolicyError;
use crate::model::{Demand, Format, Policy, Quorum, Slot};
use crate::read::cluster_image_policy::note_anchors;
use crate::read::node::{Node, Object};
use crate::read::signers::{self, MAX_SIGNERS, PlainText, identity};
use crate::requirement::{GithubField, LogRule, Requirement, SignerRule};
use crate::text::TextMatch;

/// So many of the entries.
#[derive(Clone, Debug)]
pub(super) struct Set {
    count: usize,
    entries: Vec<Member>,
}

#[derive(Clone, Debug)]
enum Member {
    Signer(Entry),
    /// A set within the set, which counts as one entry.
    Nested(Set),
}

#[derive(Clone, Debug)]
struct Entry {
    signer: SignerRule,
    log: LogRule,
    sct: bool,
    annotations: BTreeMap<String, String>,
}

/// Sets within sets; Kyverno follows them without a limit.
const MAX_DEPTH: usize = 4;

/// The ways in which nested sets can be satisfied; each is tried on its own.
const MAX_WAYS: usize = 64;

pub(super) fn read(node: &Node<'_>, policy: &mut Policy) -> Result<Vec<Set>, PolicyError> {
    node.list()?.iter().map(|item| read_set(item, 0, policy)).collect()
}

/// One key or one keyless identity, as the old spelling has it.
pub(super) fn one(signers: Vec<SignerRule>, annotations: &BTreeMap<String, String>) -> Set {
    let entries: Vec<Member> = signers
        .into_iter()
        .map(|signer| {
            Member::Signer(Entry {
                signer,
                log: LogRule::Required { operators: 1 },
                sct: true,
                annotations: annotations.clone(),
            })
        })
        .collect();
    Set {
        count: entries.len(),
        entries,
    }
}

/// All sets, as a demand for a signature or for an attestation.
pub(super) fn demand(
    sets: &[Set],
    name: &str,
    conditions: &[Condition],
    requirement: impl Fn(Vec<SignerRule>) -> Requirement,
) -> Demand {
    let quorum = |count: usize, entries: &[&Entry]| {
        Demand::Quorum(Quorum {
            name: name.to_owned(),
            count,
            slots: entries.iter().map(|entry| slot(entry, &requirement)).collect(),
            conditions: conditions.to_vec(),
            every: true,
        })
    };
    let whole = |set: &Set| match set.flat() {
        Some(entries) => quorum(set.count, &entries),
        // Without any way the demand is met by nobody; reading saw to it that there is one.
        None => Demand::Any(
            set.ways()
                .unwrap_or_default()
                .iter()
                .map(|way| quorum(way.len(), way))
                .collect(),
        ),
    };
    Demand::All(sets.iter().map(whole).collect())
}

/// What each signer of the sets is asked for.
pub(super) fn requirements(sets: &[Set], requirement: impl Fn(Vec<SignerRule>) -> Requirement) -> Vec<Requirement> {
    let mut entries = Vec::new();
    sets.iter().for_each(|set| set.all(&mut entries));
    entries
        .into_iter()
        .map(|entry| slot(entry, &requirement).requirement)
        .collect()
}

impl Set {
    /// Its signers, nested ones too.
    fn all<'a>(&'a self, found: &mut Vec<&'a Entry>) {
        for member in &self.entries {
            match member {
                Member::Signer(entry) => found.push(entry),
                Member::Nested(set) => set.all(found),
            }
        }
    }

    /// Its signers, if no set is nested in it.
    fn flat(&self) -> Option<Vec<&Entry>> {
        let mut entries = Vec::new();
        for member in &self.entries {
            match member {
                Member::Signer(entry) => entries.push(entry),
                Member::Nested(_) => return None,
            }
        }
        Some(entries)
    }

    /// Every choice of signers that satisfies the set; all of one choice must have signed. None if there are too many.
    fn ways(&self) -> Option<Vec<Vec<&Entry>>> {
        // For each number of entries chosen so far, the ways to satisfy so many.
        let mut chosen: Vec<Vec<Vec<&Entry>>> = vec![Vec::new(); self.count + 1];
        chosen.first_mut()?.push(Vec::new());
        for (position, member) in self.entries.iter().enumerate() {
            let own: Vec<Vec<&Entry>> = match member {
                Member::Signer(entry) => vec![vec![entry]],
                Member::Nested(set) => set.ways()?,
            };
            let behind = self.entries.len() - position - 1;
            // Fewer than this many chosen can never become enough.
            for number in (self.count.saturating_sub(behind).max(1)..=self.count).rev() {
                let fewer = chosen.get(number - 1)?.clone();
                let longer = fewer
                    .iter()
                    .flat_map(|way| own.iter().map(|more| way.iter().chain(more).copied().collect()));
                let ways = chosen.get_mut(number)?;
                ways.extend(longer.take(MAX_WAYS + 1));
                if ways.len() > MAX_WAYS {
                    return None;
                }
            }
        }
        chosen.pop()
    }
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

fn read_set(node: &Node<'_>, depth: usize, policy: &mut Policy) -> Result<Set, PolicyError> {
    if depth >= MAX_DEPTH {
        return Err(node.wrong("sets nested at most four deep"));
    }
    node.object(&["count", "entries"], &[], |object| {
        let mut entries = Vec::new();
        let listed = object.required("entries", "a list of signers")?;
        for item in listed.list()? {
            entries.extend(read_entry(&item, depth, policy)?);
        }
        if entries.len() > MAX_SIGNERS {
            return Err(listed.wrong("at most 64 signers"));
        }
        let signer = |member: &Member| match member {
            Member::Signer(entry) => Some(entry.signer.clone()),
            Member::Nested(_) => None,
        };
        let signers: Vec<SignerRule> = entries.iter().filter_map(signer).collect();
        for (position, known) in signers.iter().enumerate() {
            if signers.iter().skip(position + 1).any(|other| other == known) {
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
        let set = Set { count, entries };
        if count > 1 {
            policy.note(
                "count: different signers are counted; Kyverno counts entries, which one signature can satisfy twice",
            );
        }
        if set.flat().is_none() && set.ways().is_none() {
            return Err(node.wrong("nested sets that can be satisfied in at most 64 ways"));
        }
        Ok(set)
    })
}

const ENTRY_UNSUPPORTED: [(&str, &str); 1] = [(
    "certificates",
    "certificates of one's own authority are not read in this version; use keyless with a trust root",
)];

/// One entry, or as many as it has keys.
fn read_entry(node: &Node<'_>, depth: usize, policy: &mut Policy) -> Result<Vec<Member>, PolicyError> {
    const FIELDS: [&str; 6] = [
        "keys",
        "keyless",
        "attestor",
        "annotations",
        "repository",
        "signatureAlgorithm",
    ];
    node.object(&FIELDS, &ENTRY_UNSUPPORTED, |object| {
        algorithm(object)?;
        if let Some(node) = object.get("repository") {
            source(&node, policy)?;
        }
        let annotations = annotations(object)?;
        let (signers, vouchers) = match (object.get("keys"), object.get("keyless"), object.get("attestor")) {
            (Some(node), None, None) => read_keys(&node, policy)?,
            (None, Some(node), None) => read_keyless(&node, &mut policy.notes)?,
            (None, None, Some(nested)) => {
                if !annotations.is_empty() {
                    return Err(
                        nested.unsupported("annotations beside it; write them on the entries of the nested set")
                    );
                }
                return Ok(vec![Member::Nested(read_set(&nested, depth + 1, policy)?)]);
            }
            _ => return Err(node.wrong("exactly one of keys, keyless and attestor")),
        };
        let entry = |signer| {
            Member::Signer(Entry {
                signer,
                log: vouchers.log,
                sct: vouchers.sct,
                annotations: annotations.clone(),
            })
        };
        Ok(signers.into_iter().map(entry).collect())
    })
}

pub(super) fn annotations(object: &Object<'_>) -> Result<BTreeMap<String, String>, PolicyError> {
    let mut found = BTreeMap::new();
    if let Some(node) = object.get("annotations") {
        let texts = node.texts()?.into_iter();
        found.extend(texts.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    Ok(found)
}

/// Another repository with signatures: what is found there counts as what hangs on the image itself.
pub(in crate::read) fn source(node: &Node<'_>, policy: &mut Policy) -> Result<Repository, PolicyError> {
    let text = node.string()?;
    let repository = Repository::parse(text).map_err(|error| {
        node.wrong(&format!(
            "a repository such as registry.example.com/signatures ({error})"
        ))
    })?;
    policy.note(format!(
        "evidence is read from {repository} and from the image's own repository; who signed decides, and not where it lies"
    ));
    if !policy.sources.contains(&repository) {
        policy.sources.push(repository.clone());
    }
    Ok(repository)
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

fn read_keys(node: &Node<'_>, policy: &mut Policy) -> Result<(Vec<SignerRule>, Vouchers), PolicyError> {
    const FIELDS: [&str; 6] = ["publicKeys", "kms", "secret", "signatureAlgorithm", "rekor", "ctlog"];
    node.object(&FIELDS, &[], |object| {
        algorithm(object)?;
        let read = match (object.get("publicKeys"), object.get("kms"), object.get("secret")) {
            (Some(node), None, None) => {
                if node.string()?.contains("{{") {
                    return Err(node.unsupported("variables are not filled in; put the public key here"));
                }
                if node.string()?.trim_start().starts_with("k8s://") {
                    own_secret(&node, policy)?;
                }
                signers::keys(&node)?
            }
            (None, Some(node), None) => vec![signers::kms(&node)?],
            (None, None, Some(node)) => {
                own_secret(&node, policy)?;
                vec![signers::secret(&node)?]
            }
            _ => return Err(node.wrong("exactly one of publicKeys, kms and secret")),
        };
        Ok((
            signers::rules(read, &mut policy.keys),
            vouchers(object, &mut policy.notes)?,
        ))
    })
}

/// A `Policy` reads the Secrets of its own namespace: whoever writes it may be allowed no other (GHSA-8p9x-46gm-qfx2).
fn own_secret(node: &Node<'_>, policy: &Policy) -> Result<(), PolicyError> {
    let (Format::KyvernoNamespaced, Some((home, _))) = (policy.format, policy.name.split_once('/')) else {
        return Ok(());
    };
    let named = match node.value() {
        Value::String(text) => text
            .trim()
            .strip_prefix("k8s://")
            .and_then(|rest| rest.split('/').next()),
        other => other.get("namespace").and_then(Value::as_str),
    };
    match named {
        Some(namespace) if namespace != home => {
            Err(node.unsupported("a Policy reads the Secrets of its own namespace alone"))
        }
        _ => Ok(()),
    }
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
            rule.github = github(&extensions)?;
        }
        let signers = vec![SignerRule::Keyless(Box::new(rule))];
        note_anchors(&signers, notes);
        Ok((signers, vouchers(object, notes)?))
    })
}

/// `additionalExtensions`, by Kyverno's names; their values are globs.
pub(super) fn github(node: &Node<'_>) -> Result<Vec<(GithubField, TextMatch)>, PolicyError> {
    const KNOWN: [(&str, GithubField); 5] = [
        ("githubWorkflowTrigger", GithubField::Trigger),
        ("githubWorkflowSha", GithubField::Sha),
        ("githubWorkflowName", GithubField::Name),
        ("githubWorkflowRepository", GithubField::Repository),
        ("githubWorkflowRef", GithubField::Ref),
    ];
    let names = KNOWN.map(|(name, _)| name);
    node.object(&names, &[], |fields| {
        let mut found = Vec::new();
        for (name, field) in KNOWN {
            if let Some(node) = fields.get(name) {
                let wanted = TextMatch::glob(node.string()?).map_err(|source| node.text(source))?;
                found.push((field, wanted));
            }
        }
        Ok(found)
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
