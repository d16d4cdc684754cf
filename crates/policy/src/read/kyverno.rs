//! Kyverno's `ClusterPolicy` and namespaced `Policy`, the parts that are about images: `verifyImages`, and `validate.pattern` and `deny` over images
//! (`api/kyverno/v1/*_types.go`).
//!
//! Read safely rather than bug for bug; every difference is a note on the policy.

pub(super) mod attestors;
pub(super) mod conditions;
mod exceptions;
mod extractors;
mod image_validating;
pub(super) mod matching;
mod pattern;
mod verify_images;

pub(super) use exceptions::{objects as object_exception, rules as rule_exception};
pub(super) use image_validating::read as image_validating;

use super::native::metadata_of;
use super::node::{Node, Object};
use crate::error::PolicyError;
use crate::model::{Format, Policy, Rule};
use crate::question::Mode;
use crate::scope::Filter;

/// The versions of Kyverno's policies in CEL.
pub(super) const CEL_V1: &str = "policies.kyverno.io/v1";
pub(super) const CEL_V1BETA1: &str = "policies.kyverno.io/v1beta1";
pub(super) const CEL_V1ALPHA1: &str = "policies.kyverno.io/v1alpha1";

const DEFAULT_NOTE: &str =
    "Kyverno lets images run that no rule concerns; here the default for unmatched images decides";

const SPEC: [&str; 11] = [
    "rules",
    "validationFailureAction",
    "validationFailureActionOverrides",
    "emitWarning",
    "failurePolicy",
    "background",
    "admission",
    "webhookTimeoutSeconds",
    "webhookConfiguration",
    "applyRules",
    "schemaValidation",
];

const SPEC_UNSUPPORTED: [(&str, &str); 3] = [
    ("generateExisting", "policies that generate objects are not read"),
    (
        "mutateExistingOnPolicyUpdate",
        "policies that change objects are not read",
    ),
    ("useServerSideApply", "policies that generate objects are not read"),
];

pub(super) fn read(node: &Node<'_>, format: Format) -> Result<Policy, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec", "status"], &[], |root| {
        root.ignore(&["apiVersion", "kind", "status"]);
        let mut name = metadata_of(root, format == Format::KyvernoNamespaced)?;
        let home = match format {
            Format::KyvernoNamespaced => Some(home(node, root, "metadata.namespace; a ClusterPolicy needs none")?),
            _ => None,
        };
        if let Some(home) = &home {
            name = format!("{home}/{name}");
        }
        let mut policy = Policy::new(name, format, node.place().file);
        policy.note(DEFAULT_NOTE);
        let context = Whole {
            autogen: matching::Autogen::of(node),
            home,
        };
        let spec = root.required("spec", "rules")?;
        spec.object(&SPEC, &SPEC_UNSUPPORTED, |spec| read_spec(spec, &context, &mut policy))?;
        if let Some(home) = context.home {
            policy.note(format!("it concerns objects of the namespace {home} alone"));
            for rule in &mut policy.rules {
                rule.scope.within = Some(home.clone());
            }
        }
        Ok(policy)
    })
}

/// The namespace of a `Policy` or another kind that lives in one: it says something about nothing else, and reads no Secret of another.
fn home(node: &Node<'_>, root: &Object<'_>, expected: &str) -> Result<String, PolicyError> {
    let namespace = node.value().pointer("/metadata/namespace");
    let namespace = namespace
        .and_then(serde_json::Value::as_str)
        .filter(|name| !name.is_empty());
    namespace.map(ToOwned::to_owned).ok_or_else(|| PolicyError::Missing {
        place: root.place(),
        expected: expected.to_owned(),
    })
}

/// What the rules take from the document.
struct Whole {
    autogen: matching::Autogen,
    /// The namespace of a `Policy`.
    home: Option<String>,
}

fn read_spec(spec: &Object<'_>, whole: &Whole, policy: &mut Policy) -> Result<(), PolicyError> {
    // What schedules Kyverno's own work says nothing about images.
    spec.ignore(&["background", "schemaValidation"]);
    let emit_warning = spec.boolean("emitWarning", false)?;
    if !spec.boolean("admission", true)? {
        let node = spec.required("admission", "true")?;
        return Err(node.unsupported("a policy without admission decides nothing here"));
    }
    if let Some(timeout) = spec.get("webhookTimeoutSeconds") {
        timeout.count()?;
        policy
            .notes
            .push("webhookTimeoutSeconds: the timeout of the webhook's own configuration holds".to_owned());
    }
    let ignore_failure = |node: Node<'_>, notes: &mut Vec<String>| -> Result<(), PolicyError> {
        if node.word(&[("Fail", false), ("Ignore", true)])? {
            notes.push(
                "failurePolicy Ignore holds when the webhook cannot be called, as its own configuration says; what cannot be decided is denied here"
                    .to_owned(),
            );
        }
        Ok(())
    };
    if let Some(node) = spec.get("failurePolicy") {
        ignore_failure(node, &mut policy.notes)?;
    }
    if let Some(node) = spec.get("webhookConfiguration") {
        const MATCH: [(&str, &str); 1] = [("matchConditions", "put them into the webhook's own configuration")];
        node.object(&["failurePolicy", "timeoutSeconds"], &MATCH, |object| {
            object.ignore(&["timeoutSeconds"]);
            object
                .get("failurePolicy")
                .map_or(Ok(()), |node| ignore_failure(node, &mut policy.notes))
        })?;
    }
    if let Some(node) = spec.get("applyRules")
        && node.word(&[("All", false), ("One", true)])?
    {
        return Err(node.unsupported("every rule that matches is applied"));
    }
    let default = spec
        .get("validationFailureAction")
        .map_or(Ok(Action::Audit), |node| action(&node))?;
    let context = RuleContext {
        whole,
        default,
        emit_warning,
        overrides: spec
            .get("validationFailureActionOverrides")
            .map_or(Ok(Vec::new()), |node| overrides(&node))?,
    };
    let rules = spec.required("rules", "a list of rules")?.list()?;
    let mut pending = Vec::new();
    for node in &rules {
        read_rule(node, &context, policy, &mut pending)?;
    }
    verify_images::finish(pending, policy)
}

/// `validationFailureActionOverrides`, and the same beside a `failureAction`: the first that matches holds.
fn overrides(node: &Node<'_>) -> Result<Vec<(Filter, Action)>, PolicyError> {
    let one = |item: &Node<'_>| {
        item.object(&["action", "namespaces", "namespaceSelector"], &[], |object| {
            let action = action(&object.required("action", "Enforce or Audit")?)?;
            let namespaces = object.get("namespaces").map_or(Ok(Vec::new()), |node| node.strings())?;
            let filter = Filter {
                namespaces: namespaces.into_iter().map(ToOwned::to_owned).collect(),
                namespace_labels: object
                    .get("namespaceSelector")
                    .map_or(Ok(Vec::new()), |node| matching::selector(&node))?,
                ..Filter::default()
            };
            if filter.namespaces.is_empty() && filter.namespace_labels.is_empty() {
                return Err(item.wrong("namespaces or namespaceSelector"));
            }
            Ok((filter, action))
        })
    };
    node.list()?.iter().map(one).collect()
}

/// What rules take from their policy.
struct RuleContext<'a> {
    whole: &'a Whole,
    default: Action,
    emit_warning: bool,
    overrides: Vec<(Filter, Action)>,
}

impl RuleContext<'_> {
    fn mode(&self, own: Option<Action>) -> Mode {
        self.mode_of(own.unwrap_or(self.default))
    }

    fn mode_of(&self, action: Action) -> Mode {
        match (action, self.emit_warning) {
            (Action::Enforce, _) => Mode::Enforce,
            (Action::Audit, true) => Mode::Warn,
            (Action::Audit, false) => Mode::Audit,
        }
    }

    /// Overrides of the policy hold for rules without an action of their own.
    fn modes(&self, own: Option<Action>) -> Vec<(Filter, Mode)> {
        match own {
            Some(_) => Vec::new(),
            None => self
                .overrides
                .iter()
                .map(|(filter, action)| (filter.clone(), self.mode_of(*action)))
                .collect(),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Action {
    Enforce,
    Audit,
}

fn action(node: &Node<'_>) -> Result<Action, PolicyError> {
    node.word(&[
        ("Enforce", Action::Enforce),
        ("enforce", Action::Enforce),
        ("Audit", Action::Audit),
        ("audit", Action::Audit),
    ])
}

const RULE: [&str; 9] = [
    "name",
    "match",
    "exclude",
    "preconditions",
    "imageExtractors",
    "verifyImages",
    "validate",
    "skipBackgroundRequests",
    "reportProperties",
];

const RULE_UNSUPPORTED: [(&str, &str); 4] = [
    (
        "celPreconditions",
        "CEL over the object is not read here; preconditions in JMESPath are, and an ImageValidatingPolicy has CEL",
    ),
    (
        "context",
        "policies cannot fetch data; what is decided over is the reference, the request and the proofs",
    ),
    ("mutate", "rules that change objects are not read"),
    ("generate", "rules that generate objects are not read"),
];

fn read_rule(
    node: &Node<'_>,
    context: &RuleContext<'_>,
    policy: &mut Policy,
    pending: &mut Vec<verify_images::Pending>,
) -> Result<(), PolicyError> {
    node.object(&RULE, &RULE_UNSUPPORTED, |rule| {
        rule.ignore(&["skipBackgroundRequests", "reportProperties"]);
        let name = rule.required("name", "a name")?.string()?.to_owned();
        let scope = matching::scope(rule, &context.whole.autogen, policy)?;
        if let Some(node) = rule.get("imageExtractors") {
            extractors::read(&node, policy)?;
        }
        match (rule.get("verifyImages"), rule.get("validate")) {
            (Some(list), None) => {
                for entry in list.list()? {
                    pending.push(verify_images::read(&entry, &name, &scope, context, policy)?);
                }
            }
            (None, Some(validate)) => {
                let (own, checks, images) = pattern::read(&validate, policy)?;
                pending.push(verify_images::Pending::complete(Rule {
                    name,
                    mode: context.mode(own),
                    modes: context.modes(own),
                    scope,
                    images,
                    checks,
                    pin: false,
                }));
            }
            _ => {
                return Err(PolicyError::DemandsNothing {
                    place: node.place(),
                    expected: "either verifyImages or validate".to_owned(),
                });
            }
        }
        Ok(())
    })
}
