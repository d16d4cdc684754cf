//! policy-controller's `ClusterImagePolicy`, v1beta1 and v1alpha1 (`pkg/apis/policy/*/clusterimagepolicy_types.go`).
//!
//! Any one authority is enough; several policies that match must all be satisfied. An authority with attestations wants
//! those instead of the signature, all of them.

use proofmark_verify::PublicKey;

use super::kyverno::attestors;
use super::kyverno::matching::selector;
use super::native::{metadata, metadata_of, predicate_type};
use super::node::{Node, Object};
use super::signers::{self, PlainText, identity};
use crate::condition::{Condition, StatementCondition};
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::model::{Check, Demand, Format, ImageSelector, Policy, Quorum, Rule, Slot};
use crate::question::Mode;
use crate::requirement::{LogRule, Requirement, SignerRule};
use crate::scope::{Filter, Filters, Scope};
use crate::set::NoMatch;

const NAMESPACES: &str = "policy-controller looks only at namespaces labelled policy.sigstore.dev/include; here the policy holds in every namespace that the webhook is called for";

pub(super) fn read(node: &Node<'_>) -> Result<Policy, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec", "status"], &[], |root| {
        root.ignore(&["apiVersion", "kind", "status"]);
        let name = metadata(root)?;
        let mut policy = Policy::new(name, Format::ClusterImagePolicy, node.place().file);
        policy.note(NAMESPACES);
        const UNSUPPORTED: [(&str, &str); 1] = [(
            "policy",
            "a policy over what the authorities found is not evaluated in this version; several policies for the same images must all be satisfied, and an ImagePolicy counts signers",
        )];
        let spec = root.required("spec", "images and authorities")?;
        let rule = spec.object(&["images", "match", "authorities", "mode"], &UNSUPPORTED, |spec| {
            rule(spec, &mut policy)
        })?;
        policy.rules.push(rule);
        Ok(policy)
    })
}

fn rule(spec: &Object<'_>, policy: &mut Policy) -> Result<Rule, PolicyError> {
    let mut include = Vec::new();
    for image in spec.required("images", "a list of globs")?.list()? {
        let pattern = image.object(
            &["glob"],
            &[("regex", "it was removed from the format; write a glob")],
            |image| {
                let node = image.required("glob", "a glob")?;
                ImagePattern::cluster_image_policy(node.string()?).map_err(|source| node.pattern(source))
            },
        )?;
        if matches!(pattern.source(), "*" | "*/*") {
            policy.note(format!(
                "images \"{pattern}\" are those of Docker Hub alone; write ** for every image"
            ));
        }
        include.push(pattern);
    }
    let mode = spec.get("mode").map_or(Ok(Mode::Enforce), |node| {
        node.word(&[("enforce", Mode::Enforce), ("warn", Mode::Warn)])
    })?;
    let authorities = spec.required(
        "authorities",
        "a list of authorities; policy-controller lets everything pass without any",
    )?;
    let mut any = Vec::new();
    for (position, authority) in authorities.list()?.iter().enumerate() {
        any.push(self::authority(authority, position, policy)?);
    }
    Ok(Rule {
        name: "authorities".to_owned(),
        mode,
        modes: Vec::new(),
        scope: Scope {
            include: spec.get("match").map(|node| objects(&node, policy)).transpose()?,
            ..Scope::default()
        },
        images: ImageSelector {
            include,
            exclude: Vec::new(),
        },
        checks: vec![Check::Evidence(Demand::Any(any))],
        pin: true,
    })
}

/// `match`: resources, and labels of the object itself.
fn objects(node: &Node<'_>, policy: &mut Policy) -> Result<Filters, PolicyError> {
    const KINDS: [(&str, &str); 8] = [
        ("pods", "Pod"),
        ("deployments", "Deployment"),
        ("replicasets", "ReplicaSet"),
        ("statefulsets", "StatefulSet"),
        ("daemonsets", "DaemonSet"),
        ("jobs", "Job"),
        ("cronjobs", "CronJob"),
        ("replicationcontrollers", "ReplicationController"),
    ];
    let mut any = Vec::new();
    for item in node.list()? {
        any.push(item.object(&["group", "version", "resource", "selector"], &[], |object| {
            object.ignore(&["group", "version"]);
            let labels = object.get("selector").map_or(Ok(Vec::new()), |node| selector(&node))?;
            if !labels.is_empty() {
                policy.note(
                    "match by labels of the object: whoever makes it can leave them away, and is not asked for signatures then",
                );
            }
            Ok(Filter {
                kinds: vec![object.required("resource", "a resource such as pods")?.word(&KINDS)?.to_owned()],
                labels,
                ..Filter::default()
            })
        })?);
    }
    Ok(Filters::Any(any))
}

/// `source`: other repositories.
fn sources(node: &Node<'_>, policy: &mut Policy) -> Result<(), PolicyError> {
    const UNSUPPORTED: [(&str, &str); 1] = [(
        "tagPrefix",
        "tags of evidence are named as cosign names them; the referrers of the repository are read too",
    )];
    for item in node.list()? {
        item.object(&["oci", "signaturePullSecrets"], &UNSUPPORTED, |source| {
            if source.get("signaturePullSecrets").is_some() {
                policy.note("source.signaturePullSecrets: credentials are bound to hosts by whoever runs the server");
                source.ignore(&["signaturePullSecrets"]);
            }
            attestors::source(&source.required("oci", "a repository")?, policy)
        })?;
    }
    Ok(())
}

/// Who vouches, and what must vouch for them.
struct Authority {
    signers: Vec<SignerRule>,
    log: LogRule,
    timestamp: bool,
    sct: bool,
    is_key: bool,
}

const AUTHORITY: [&str; 9] = [
    "source",
    "name",
    "key",
    "keyless",
    "static",
    "attestations",
    "ctlog",
    "rfc3161timestamp",
    "signatureFormat",
];

fn authority(node: &Node<'_>, position: usize, policy: &mut Policy) -> Result<Demand, PolicyError> {
    node.object(&AUTHORITY, &[], |object| {
        let name = object
            .string("name")?
            .map_or_else(|| format!("authority-{position}"), ToOwned::to_owned);
        let (key, keyless, fixed) = (object.get("key"), object.get("keyless"), object.get("static"));
        let mut found = match (key, keyless, fixed) {
            (None, None, Some(fixed)) => return fixed_answer(&fixed),
            (Some(key), None, None) => key_authority(&key, &mut policy.keys)?,
            (None, Some(keyless), None) => keyless_authority(&keyless, &mut policy.notes)?,
            _ => return Err(node.wrong("exactly one of key, keyless and static")),
        };
        if let Some(format) = object.get("signatureFormat") {
            format.word(&[("legacy", ()), ("bundle", ())])?;
            policy.note(format!(
                "authority {name}: signatureFormat is not needed, every layout is read as one set"
            ));
        }
        if let Some(node) = object.get("source") {
            sources(&node, policy)?;
        }
        vouchers(object, &name, &mut found, &mut policy.notes)?;
        match object.get("attestations") {
            None => Ok(Demand::Quorum(signature(&name, &found))),
            Some(list) => attestations(&list, &name, &found, policy),
        }
    })
}

fn fixed_answer(node: &Node<'_>) -> Result<Demand, PolicyError> {
    node.object(&["action", "message"], &[], |fixed| {
        Ok(Demand::Static {
            pass: fixed
                .required("action", "pass or fail")?
                .word(&[("pass", true), ("fail", false)])?,
            message: fixed.string("message")?.map(ToOwned::to_owned),
        })
    })
}

fn key_authority(node: &Node<'_>, keys: &mut Vec<PublicKey>) -> Result<Authority, PolicyError> {
    node.object(&["data", "kms", "secretRef", "hashAlgorithm"], &[], |key| {
        if let Some(hash) = key.get("hashAlgorithm") {
            hash.word(&[("sha256", ()), ("sha384", ()), ("sha512", ())])?;
        }
        let read = match (key.get("data"), key.get("kms"), key.get("secretRef")) {
            (Some(node), None, None) => signers::keys(&node)?,
            (None, Some(node), None) => vec![signers::kms(&node)?],
            (None, None, Some(node)) => vec![signers::secret(&node)?],
            _ => return Err(node.wrong("exactly one of data, kms and secretRef")),
        };
        Ok(Authority {
            signers: signers::rules(read, keys),
            // policy-controller does not look at the log for keys unless ctlog is there.
            log: LogRule::NotRequired,
            timestamp: false,
            sct: false,
            is_key: true,
        })
    })
}

fn keyless_authority(node: &Node<'_>, notes: &mut Vec<String>) -> Result<Authority, PolicyError> {
    const UNSUPPORTED: [(&str, &str); 2] = [
        (
            "ca-cert",
            "the trust root of the server decides which authorities are trusted",
        ),
        (
            "trustRootRef",
            "the server has one trust root; TrustRoot objects are not read in this version",
        ),
    ];
    node.object(&["url", "identities", "insecureIgnoreSCT"], &UNSUPPORTED, |keyless| {
        if let Some(url) = keyless.get("url") {
            notes.push(format!(
                "keyless.url {} is not consulted: the trust root decides which authorities are trusted",
                url.string()?
            ));
        }
        let identities = keyless
            .get("identities")
            .ok_or_else(|| PolicyError::KeylessWithoutIdentity {
                place: node.place(),
                missing: "identities is missing".to_owned(),
            })?;
        let mut signers = Vec::new();
        for item in identities.list()? {
            let rule = item.object(&["issuer", "issuerRegExp", "subject", "subjectRegExp"], &[], |object| {
                identity(object, PlainText::Exact)
            })?;
            signers.push(SignerRule::Keyless(Box::new(rule)));
        }
        note_anchors(&signers, notes);
        Ok(Authority {
            signers,
            log: LogRule::Required { operators: 1 },
            timestamp: false,
            sct: !keyless.boolean("insecureIgnoreSCT", false)?,
            is_key: false,
        })
    })
}

/// Peers match regular expressions anywhere in the text.
pub(super) fn note_anchors(signers: &[SignerRule], notes: &mut Vec<String>) {
    for signer in signers {
        let SignerRule::Keyless(rule) = signer else { continue };
        for pattern in [&rule.subject, &rule.issuer] {
            if pattern.is_regexp() {
                let note = format!(
                    "\"{}\" must match the whole text here (^(?:…)$); the peer finds it anywhere in it",
                    pattern.source()
                );
                if !notes.contains(&note) {
                    notes.push(note);
                }
            }
        }
    }
}

/// `ctlog` and `rfc3161timestamp`.
fn vouchers(
    object: &Object<'_>,
    name: &str,
    found: &mut Authority,
    notes: &mut Vec<String>,
) -> Result<(), PolicyError> {
    const TRUST_ROOT: &str = "the server has one trust root; TrustRoot objects are not read in this version";
    if let Some(ctlog) = object.get("ctlog") {
        ctlog.object(&["url"], &[("trustRootRef", TRUST_ROOT)], |ctlog| {
            if let Some(url) = ctlog.get("url") {
                notes.push(format!(
                    "authority {name}: ctlog.url {} is not consulted: the trust root decides which logs are trusted",
                    url.string()?
                ));
            }
            Ok(())
        })?;
        found.log = LogRule::Required { operators: 1 };
    }
    if let Some(timestamp) = object.get("rfc3161timestamp") {
        timestamp.object(&[], &[("trustRootRef", TRUST_ROOT)], |_| Ok(()))?;
        // policy-controller does not ask for a log entry then.
        found.timestamp = true;
        if object.get("ctlog").is_none() {
            found.log = LogRule::NotRequired;
        }
    }
    Ok(())
}

fn signature(name: &str, found: &Authority) -> Quorum {
    quorum(
        format!("authority {name}"),
        Requirement::signature(found.signers.clone()),
        found,
    )
}

fn quorum(name: String, requirement: Requirement, found: &Authority) -> Quorum {
    Quorum {
        name,
        count: 1,
        slots: vec![Slot {
            requirement: Requirement {
                log: found.log,
                timestamp: found.timestamp,
                sct: found.sct,
                ..requirement
            },
        }],
        conditions: Vec::new(),
        every: false,
    }
}

fn attestations(list: &Node<'_>, name: &str, found: &Authority, policy: &mut Policy) -> Result<Demand, PolicyError> {
    let mut all = Vec::new();
    for item in list.list()? {
        let demand = item.object(&["name", "predicateType", "policy"], &[], |attestation| {
            let label = attestation.required("name", "a name")?.string()?;
            let wanted = predicate_type(&attestation.required("predicateType", "a predicate type")?)?;
            let name = format!("authority {name}, attestation {label} ({wanted})");
            let conditions = match attestation.get("policy") {
                None => Vec::new(),
                Some(node) => vec![condition(&node, policy)?],
            };
            let one = |signers: Vec<SignerRule>| {
                let requirement = Requirement::attestation(vec![wanted.clone()], signers);
                Demand::Quorum(Quorum {
                    conditions: conditions.clone(),
                    ..quorum(name.clone(), requirement, found)
                })
            };
            if !found.is_key || found.signers.len() == 1 {
                return Ok(one(found.signers.clone()));
            }
            // Every key of the authority must have signed the attestation, though any is enough for a signature.
            policy.note(
                "an authority with several keys: any of them is enough for a signature, every one is needed for an attestation, as in policy-controller",
            );
            Ok(Demand::All(found.signers.iter().map(|signer| one(vec![signer.clone()])).collect()))
        })?;
        all.push(demand);
    }
    Ok(Demand::All(all))
}

/// `policy` of an attestation.
fn condition(node: &Node<'_>, policy: &mut Policy) -> Result<Condition, PolicyError> {
    const ABOUT_THE_OBJECT: &str = "the policy of an attestation sees its statement alone";
    const UNSUPPORTED: [(&str, &str); 6] = [
        ("remote", "policies are not fetched; put the text into data"),
        ("configMapRef", "other objects are not read; put the text into data"),
        ("fetchConfigFile", ABOUT_THE_OBJECT),
        ("includeSpec", ABOUT_THE_OBJECT),
        ("includeObjectMeta", ABOUT_THE_OBJECT),
        ("includeTypeMeta", ABOUT_THE_OBJECT),
    ];
    node.object(&["type", "data"], &UNSUPPORTED, |object| {
        let rego = object
            .required("type", "rego or cue")?
            .word(&[("rego", true), ("cue", false)])?;
        let data = object.required("data", "the text of the policy")?;
        let compiled = if rego {
            StatementCondition::rego(data.string()?)
        } else {
            policy.note(
                "CUE: a field that the policy names must be in the statement; policy-controller is content where it is not there and the policy has a value for it",
            );
            StatementCondition::cue(data.string()?)
        };
        let compiled = compiled.map_err(|source| data.condition(source))?;
        Ok(Condition::Statement(Box::new(compiled)))
    })
}

/// The ConfigMap `config-policy-controller`: what happens to images that no policy concerns.
pub(super) fn controller_config(node: &Node<'_>) -> Result<Policy, PolicyError> {
    const KNOWN: [&str; 4] = [
        "no-match-policy",
        "fail-on-empty-authorities",
        "enable-oci11",
        "_example",
    ];
    node.object(&["apiVersion", "kind", "metadata", "data"], &[], |root| {
        root.ignore(&["apiVersion", "kind"]);
        let mut policy = Policy::new(metadata_of(root, true)?, Format::ControllerConfig, node.place().file);
        let data = root.required("data", "no-match-policy and the like")?;
        data.object(&KNOWN, &[], |data| {
            data.ignore(&["_example"]);
            policy.no_match = Some(match data.get("no-match-policy") {
                None => NoMatch::Deny,
                Some(node) => node.word(&[
                    ("deny", NoMatch::Deny),
                    ("warn", NoMatch::Warn),
                    ("allow", NoMatch::Allow),
                ])?,
            });
            const SWITCH: [(&str, bool); 2] = [("true", true), ("false", false)];
            if let Some(node) = data.get("fail-on-empty-authorities")
                && !node.word(&SWITCH)?
            {
                policy.note(
                    "fail-on-empty-authorities: a policy without authorities is refused here, whatever this says",
                );
            }
            if let Some(node) = data.get("enable-oci11") {
                node.word(&SWITCH)?;
                policy.note(
                    "enable-oci11: referrers and tags are always read as one set, and every signature is verified",
                );
            }
            Ok(())
        })?;
        Ok(policy)
    })
}
