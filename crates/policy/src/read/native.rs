//! Our own format, `ImagePolicy`; docs/policies.md describes it for its users.
//!
//! ```yaml
//! apiVersion: proofmark.dev/v1alpha1
//! kind: ImagePolicy
//! metadata:
//!   name: release
//! spec:
//!   match:
//!     images: ["registry.example.com/**"]        # host and path; * within a component, ** across
//!     exclude: ["registry.example.com/mirror/**"]
//!     namespaces: ["prod-*"]                      # all, if absent
//!     excludeNamespaces: ["kube-system"]
//!     kinds: ["Pod"]                              # all, if absent
//!   mode: enforce                                 # or warn, audit
//!   onUnreachable: deny                           # or allow-held, warn
//!   registries: ["registry.example.com/team/**"]  # nothing else may run
//!   requireDigest: true
//!   pin: true                                     # replace tags by digests in Pods
//!   signatures:
//!     count: 1                                    # this many different signers of the list
//!     signers:
//!       - key: |
//!           -----BEGIN PUBLIC KEY-----
//!       - key: k8s://signing/release              # or where it lives, as in --key
//!       - keyless:
//!           issuer: https://token.actions.githubusercontent.com
//!           subjectRegExp: https://github\.com/org/app/\.github/workflows/release\.yml@refs/tags/.*
//!           subjectKind: uri
//!           github: { repository: org/app }
//!     requireLog: true
//!     requireTimestamp: false
//!     requireSct: true
//!     annotations: { env: prod }
//!   attestations:
//!     - type: spdxjson
//!       condition: predicate.packages.size() > 0
//!       every: false                              # one attestation that meets the condition is enough
//! ```

mod general;

use proofmark_evidence::predicate::PredicateType;
use proofmark_verify::PublicKey;

use self::general::patterns;
use super::kyverno::{conditions, matching};
use super::node::{Node, Object};
use super::signers::{MAX_SIGNERS, PlainText, identity, key};
use crate::condition::{CelCondition, Condition};
use crate::error::PolicyError;
use crate::model::{Check, Choice, Demand, Format, ImageSelector, Policy, Quorum, Rule, Slot};
use crate::question::{Mode, OnUnreachable};
use crate::requirement::{GithubField, LogRule, Requirement, SignerRule, SubjectKind};
use crate::scope::{Filter, Filters, Scope};
use crate::text::TextMatch;

pub(super) const API_VERSION: &str = "proofmark.dev/v1alpha1";

/// What a rule says.
const RULE: [&str; 12] = [
    "match",
    "mode",
    "modes",
    "registries",
    "requireDigest",
    "pin",
    "signatures",
    "attestations",
    "allow",
    "deny",
    "lists",
    "demand",
];

/// What is said of the policy as a whole.
const WHOLE: [&str; 3] = ["onUnreachable", "sources", "imagePlaces"];

pub(super) fn read(node: &Node<'_>) -> Result<Policy, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec"], &[], |root| {
        root.ignore(&["apiVersion", "kind"]);
        let name = metadata(root)?;
        let spec = root.required("spec", "what the policy demands")?;
        let mut policy = Policy::new(name, Format::Native, node.place().file);
        if spec.value().get("rules").is_none() {
            // The usual policy is one rule.
            let fields: Vec<&str> = RULE.into_iter().chain(WHOLE).collect();
            spec.object(&fields, &[], |object| {
                whole(object, &mut policy)?;
                let rule = rule(object, "spec", &mut policy)?;
                policy.rules.push(rule);
                Ok(())
            })?;
            return Ok(policy);
        }
        let fields: Vec<&str> = WHOLE.into_iter().chain(["rules"]).collect();
        spec.object(&fields, &[], |object| {
            whole(object, &mut policy)?;
            let fields: Vec<&str> = RULE.into_iter().chain(["name"]).collect();
            for (position, item) in object.required("rules", "a list of rules")?.list()?.iter().enumerate() {
                let rule = item.object(&fields, &[], |object| {
                    let name = object
                        .string("name")?
                        .map_or_else(|| format!("rule-{position}"), ToOwned::to_owned);
                    rule(object, &name, &mut policy)
                })?;
                policy.rules.push(rule);
            }
            Ok(())
        })?;
        Ok(policy)
    })
}

/// The name. What else Kubernetes keeps in there decides nothing.
pub(super) fn metadata(root: &Object<'_>) -> Result<String, PolicyError> {
    metadata_of(root, false)
}

/// The same of an object that lives in a namespace, or does not.
pub(super) fn metadata_of(root: &Object<'_>, namespaced: bool) -> Result<String, PolicyError> {
    const KNOWN: [&str; 15] = [
        "namespace",
        "name",
        "annotations",
        "labels",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "uid",
        "managedFields",
        "finalizers",
        "ownerReferences",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    ];
    // Where there is no namespace, one that is written is a policy that someone takes for narrower than it is.
    let known: Vec<&str> = KNOWN
        .into_iter()
        .filter(|name| namespaced || *name != "namespace")
        .collect();
    root.required("metadata", "a name")?.object(&known, &[], |metadata| {
        metadata.ignore(&known);
        Ok(metadata.required("name", "a name")?.string()?.to_owned())
    })
}

fn whole(spec: &Object<'_>, policy: &mut Policy) -> Result<(), PolicyError> {
    if let Some(node) = spec.get("onUnreachable") {
        policy.on_unreachable = node.word(&[
            ("deny", OnUnreachable::Deny),
            ("allow-held", OnUnreachable::AllowHeld),
            ("warn", OnUnreachable::Warn),
        ])?;
    }
    general::whole(spec, policy)
}

fn mode(node: &Node<'_>) -> Result<Mode, PolicyError> {
    node.word(&[("enforce", Mode::Enforce), ("warn", Mode::Warn), ("audit", Mode::Audit)])
}

fn rule(object: &Object<'_>, name: &str, policy: &mut Policy) -> Result<Rule, PolicyError> {
    const MATCH: [&str; 9] = [
        "images",
        "exclude",
        "namespaces",
        "excludeNamespaces",
        "kinds",
        "within",
        "objects",
        "exceptObjects",
        "preconditions",
    ];
    let (images, scope) =
        object
            .required("match", "which images the policy concerns")?
            .object(&MATCH, &[], |object| selection(object, policy))?;
    let mode = object.get("mode").map_or(Ok(Mode::Enforce), |node| mode(&node))?;
    let modes = object
        .get("modes")
        .map_or(Ok(Vec::new()), |node| general::modes(&node, policy))?;
    let mut checks = references(object)?;
    general::over_references(object, &mut checks)?;
    let mut inherited = Vec::new();
    if let Some(node) = object.get("signatures") {
        let quorum = node.object(&DEMAND, &[], |demand| {
            inherited = signers(
                &demand.required("signers", "a list of keys and identities")?,
                false,
                &mut policy.keys,
            )?;
            quorum("signature".to_owned(), &inherited, demand, Requirement::signature)
        })?;
        checks.push(Check::Evidence(Demand::Quorum(quorum)));
    }
    if let Some(node) = object.get("attestations") {
        for attestation in node.list()? {
            let demand = self::attestation(&attestation, &inherited, &mut policy.keys)?;
            checks.push(Check::Evidence(demand));
        }
    }
    if let Some(node) = object.get("demand") {
        for item in node.list()? {
            checks.push(Check::Evidence(general::demand(&item, 0, policy)?));
        }
    }
    if checks.is_empty() {
        return Err(PolicyError::DemandsNothing {
            place: object.place(),
            expected: "registries, requireDigest, signatures or attestations".to_owned(),
        });
    }
    let needs_evidence = checks.iter().any(|check| matches!(check, Check::Evidence(_)));
    Ok(Rule {
        name: name.to_owned(),
        mode,
        modes,
        scope,
        images,
        checks,
        pin: object.boolean("pin", needs_evidence)?,
    })
}

/// `registries` and `requireDigest`.
fn references(object: &Object<'_>) -> Result<Vec<Check>, PolicyError> {
    let mut checks = Vec::new();
    if let Some(node) = object.get("registries") {
        let choices = patterns(&node)?.into_iter().map(|pattern| Choice {
            all: vec![pattern],
            none: Vec::new(),
        });
        checks.push(Check::ImageAllowed {
            choices: choices.collect(),
            message: None,
        });
    }
    if let Some(node) = object.get("requireDigest") {
        let pods_only = node.value() == "pods";
        if pods_only || node.boolean()? {
            checks.push(Check::DigestRequired { pods_only });
        }
    }
    Ok(checks)
}

fn selection(object: &Object<'_>, policy: &mut Policy) -> Result<(ImageSelector, Scope), PolicyError> {
    let images = ImageSelector {
        include: patterns(&object.required("images", "a list of image patterns, ** for every image")?)?,
        exclude: object.get("exclude").map_or(Ok(Vec::new()), |node| patterns(&node))?,
    };
    let texts = |name: &str| -> Result<Vec<String>, PolicyError> {
        let found = object.get(name).map_or(Ok(Vec::new()), |node| node.strings())?;
        Ok(found.into_iter().map(ToOwned::to_owned).collect())
    };
    let kinds = texts("kinds")?;
    // `pod` is no kind, and would be a policy that is not enforced.
    let is_kind = |kind: &String| kind.starts_with(|c: char| c.is_ascii_uppercase() || c == '*' || c == '?');
    if let Some(node) = object.get("kinds").filter(|_| !kinds.iter().all(is_kind)) {
        return Err(node.wrong("kinds as Kubernetes writes them, such as Pod"));
    }
    let include = Filter {
        kinds,
        namespaces: texts("namespaces")?,
        ..Filter::default()
    };
    let excluded = texts("excludeNamespaces")?;
    let exclude = (!excluded.is_empty()).then(|| {
        Filters::Any(vec![Filter {
            namespaces: excluded,
            ..Filter::default()
        }])
    });
    let include = match object.get("objects") {
        None => Filters::Any(vec![include]),
        Some(node) if include.kinds.is_empty() && include.namespaces.is_empty() => matching::objects(&node, policy)?,
        Some(node) => return Err(node.unsupported("namespaces or kinds stand beside it; write them into it")),
    };
    let exclude = match (object.get("exceptObjects"), exclude) {
        (None, exclude) => exclude,
        (Some(node), None) => Some(matching::objects(&node, policy)?),
        (Some(node), Some(_)) => {
            return Err(node.unsupported("excludeNamespaces stands beside it; write them into it"));
        }
    };
    let scope = Scope {
        within: object.string("within")?.map(ToOwned::to_owned),
        include: Some(include),
        exclude,
        preconditions: object
            .get("preconditions")
            .map_or(Ok(Vec::new()), |node| conditions::over_request(&node))?,
    };
    Ok((images, scope))
}

const DEMAND: [&str; 6] = [
    "signers",
    "count",
    "requireLog",
    "requireTimestamp",
    "requireSct",
    "annotations",
];

fn quorum(
    name: String,
    signers: &[SignerRule],
    object: &Object<'_>,
    requirement: impl Fn(Vec<SignerRule>) -> Requirement,
) -> Result<Quorum, PolicyError> {
    let log = if object.boolean("requireLog", true)? {
        LogRule::Required { operators: 1 }
    } else {
        LogRule::NotRequired
    };
    let timestamp = object.boolean("requireTimestamp", false)?;
    let sct = object.boolean("requireSct", true)?;
    let count = match object.get("count") {
        None => 1,
        Some(node) => node.count().and_then(|count| {
            if count <= signers.len() {
                Ok(count)
            } else {
                Err(node.wrong(&format!("at most the number of signers, {}", signers.len())))
            }
        })?,
    };
    let mut annotations = std::collections::BTreeMap::new();
    if let Some(node) = object.get("annotations") {
        annotations.extend(
            node.texts()?
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
    }
    let slot = |signer: &SignerRule| Slot {
        requirement: Requirement {
            log,
            timestamp,
            sct,
            annotations: annotations.clone(),
            ..requirement(vec![signer.clone()])
        },
    };
    Ok(Quorum {
        name,
        count,
        slots: signers.iter().map(slot).collect(),
        conditions: Vec::new(),
        every: false,
    })
}

fn attestation(node: &Node<'_>, inherited: &[SignerRule], keys: &mut Vec<PublicKey>) -> Result<Demand, PolicyError> {
    const FIELDS: [&str; 11] = [
        "conditions",
        "policy",
        "name",
        "type",
        "signers",
        "count",
        "requireLog",
        "requireTimestamp",
        "requireSct",
        "condition",
        "every",
    ];
    node.object(&FIELDS, &[], |object| {
        let predicate = predicate_type(&object.required("type", "a predicate type, such as spdxjson")?)?;
        let name = object
            .string("name")?
            .map_or_else(|| predicate.to_string(), ToOwned::to_owned);
        let own = object
            .get("signers")
            .map(|node| signers(&node, false, keys))
            .transpose()?;
        let signers = own.unwrap_or_else(|| inherited.to_vec());
        if signers.is_empty() {
            return Err(PolicyError::Missing {
                place: node.place(),
                expected: "signers, here or under spec.signatures".to_owned(),
            });
        }
        let mut quorum = quorum(format!("attestation {name}"), &signers, object, |signers| {
            Requirement::attestation(vec![predicate.clone()], signers)
        })?;
        quorum.conditions = general::predicate_conditions(object)?;
        if !quorum.conditions.is_empty() {
            quorum.every = object.boolean("every", false)?;
        }
        Ok(Demand::Quorum(quorum))
    })
}

fn cel(node: &Node<'_>) -> Result<Condition, PolicyError> {
    let compiled = CelCondition::compile(node.string()?).map_err(|source| node.condition(source))?;
    Ok(Condition::Cel(Box::new(compiled)))
}

/// A short name or a URI; the type of signatures is not one of attestations.
pub(super) fn predicate_type(node: &Node<'_>) -> Result<PredicateType, PolicyError> {
    let resolved = PredicateType::resolve(node.string()?).map_err(|_| {
        node.wrong("a predicate type: a URI, or a short name such as spdxjson, cyclonedx or slsaprovenance1")
    })?;
    if resolved.is_signature() {
        return Err(node.wrong("the type of an attestation; this one is of signatures, which spec.signatures demands"));
    }
    Ok(resolved)
}

/// A signer, and in a `demand` what must vouch for this one.
const SIGNER: [&str; 7] = [
    "name",
    "key",
    "keyless",
    "requireLog",
    "requireTimestamp",
    "requireSct",
    "annotations",
];

fn signers(node: &Node<'_>, each: bool, keys: &mut Vec<PublicKey>) -> Result<Vec<SignerRule>, PolicyError> {
    let items = node.list()?;
    if items.len() > MAX_SIGNERS {
        return Err(node.wrong("at most 64 signers"));
    }
    let mut all: Vec<SignerRule> = Vec::new();
    for item in items {
        let rule = item.object(&SIGNER, &[], |object| {
            object.ignore(&["name"]);
            // Read by whoever asks each signer for something else.
            if each {
                object.ignore(&SIGNER);
            }
            match (object.get("key"), object.get("keyless")) {
                (Some(node), None) => {
                    let signer = key(&node)?;
                    keys.extend(signer.key);
                    Ok(signer.rule)
                }
                (None, Some(node)) => keyless(&node),
                _ => Err(item.wrong("either key or keyless")),
            }
        })?;
        if all.contains(&rule) {
            return Err(item.wrong("a signer that is not in the list yet"));
        }
        all.push(rule);
    }
    Ok(all)
}

/// A text, or `regExp` with an expression over the whole text.
fn extension(node: &Node<'_>) -> Result<TextMatch, PolicyError> {
    if !node.value().is_object() {
        return TextMatch::exact(node.string()?).map_err(|source| node.text(source));
    }
    node.object(&["regExp"], &[], |object| {
        let node = object.required("regExp", "a regular expression")?;
        TextMatch::regexp(node.string()?).map_err(|source| node.text(source))
    })
}

fn keyless(node: &Node<'_>) -> Result<SignerRule, PolicyError> {
    const FIELDS: [&str; 6] = [
        "subject",
        "subjectRegExp",
        "issuer",
        "issuerRegExp",
        "subjectKind",
        "github",
    ];
    node.object(&FIELDS, &[], |object| {
        let mut rule = identity(object, PlainText::Exact)?;
        if let Some(kind) = object.get("subjectKind") {
            let parsed = SubjectKind::parse(kind.string()?);
            rule.subject_kind = Some(parsed.ok_or_else(|| kind.wrong("email, uri, dns, ip or username"))?);
        }
        if let Some(github) = object.get("github") {
            let words = GithubField::ALL.map(GithubField::word);
            github.object(&words, &[], |fields| {
                for field in GithubField::ALL {
                    if let Some(node) = fields.get(field.word()) {
                        rule.github.push((field, extension(&node)?));
                    }
                }
                Ok(())
            })?;
        }
        Ok(SignerRule::Keyless(Box::new(rule)))
    })
}
