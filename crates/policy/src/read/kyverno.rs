//! Kyverno's `ClusterPolicy`, the parts that are about images: `verifyImages`, and `validate.pattern` over images
//! (`api/kyverno/v1/*_types.go`).
//!
//! Read safely rather than bug for bug; every difference is a note on the policy.

mod attestors;
mod conditions;
mod matching;
mod pattern;
mod verify_images;

use super::native::metadata;
use super::node::{Node, Object};
use crate::error::PolicyError;
use crate::model::{Format, Policy, Rule};
use crate::question::{Mode, OnUnreachable};

const DEFAULT_NOTE: &str =
    "Kyverno lets images run that no rule concerns; here the default for unmatched images decides";

const SPEC: [&str; 10] = [
    "rules",
    "validationFailureAction",
    "emitWarning",
    "failurePolicy",
    "background",
    "admission",
    "webhookTimeoutSeconds",
    "webhookConfiguration",
    "applyRules",
    "schemaValidation",
];

const SPEC_UNSUPPORTED: [(&str, &str); 4] = [
    (
        "validationFailureActionOverrides",
        "write a policy for each group of namespaces instead",
    ),
    ("generateExisting", "policies that generate objects are not read"),
    (
        "mutateExistingOnPolicyUpdate",
        "policies that change objects are not read",
    ),
    ("useServerSideApply", "policies that generate objects are not read"),
];

pub(super) fn read(node: &Node<'_>) -> Result<Policy, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec", "status"], &[], |root| {
        root.ignore(&["apiVersion", "kind", "status"]);
        let name = metadata(root)?;
        let mut policy = Policy {
            name,
            format: Format::Kyverno,
            file: node.place().file,
            on_unreachable: OnUnreachable::Deny,
            rules: Vec::new(),
            keys: Vec::new(),
            notes: vec![DEFAULT_NOTE.to_owned()],
        };
        let autogen = matching::Autogen::of(node);
        let spec = root.required("spec", "rules")?;
        spec.object(&SPEC, &SPEC_UNSUPPORTED, |spec| read_spec(spec, &autogen, &mut policy))?;
        Ok(policy)
    })
}

fn read_spec(spec: &Object<'_>, autogen: &matching::Autogen, policy: &mut Policy) -> Result<(), PolicyError> {
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
    let rules = spec.required("rules", "a list of rules")?.list()?;
    let mut pending = Vec::new();
    for node in &rules {
        let context = RuleContext {
            autogen,
            default,
            emit_warning,
        };
        read_rule(node, &context, policy, &mut pending)?;
    }
    verify_images::finish(pending, policy)
}

/// What rules take from their policy.
struct RuleContext<'a> {
    autogen: &'a matching::Autogen,
    default: Action,
    emit_warning: bool,
}

impl RuleContext<'_> {
    fn mode(&self, own: Option<Action>) -> Mode {
        match (own.unwrap_or(self.default), self.emit_warning) {
            (Action::Enforce, _) => Mode::Enforce,
            (Action::Audit, true) => Mode::Warn,
            (Action::Audit, false) => Mode::Audit,
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

const RULE: [&str; 7] = [
    "name",
    "match",
    "exclude",
    "verifyImages",
    "validate",
    "skipBackgroundRequests",
    "reportProperties",
];

const RULE_UNSUPPORTED: [(&str, &str); 6] = [
    (
        "preconditions",
        "conditions over the object are not read in this version",
    ),
    (
        "celPreconditions",
        "conditions over the object are not read in this version",
    ),
    (
        "context",
        "policies cannot fetch data; what is decided over is the reference and the proofs",
    ),
    (
        "imageExtractors",
        "images in custom resources are found by the webhook's configuration",
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
        let scope = matching::scope(rule, context.autogen)?;
        match (rule.get("verifyImages"), rule.get("validate")) {
            (Some(list), None) => {
                for entry in list.list()? {
                    pending.push(verify_images::read(&entry, &name, &scope, context, policy)?);
                }
            }
            (None, Some(validate)) => {
                let (own, check, images) = pattern::read(&validate, &mut policy.notes)?;
                pending.push(verify_images::Pending::complete(Rule {
                    name,
                    mode: context.mode(own),
                    scope,
                    images,
                    checks: vec![check],
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
