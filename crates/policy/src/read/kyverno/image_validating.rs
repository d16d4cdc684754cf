//! Kyverno's `ImageValidatingPolicy` and `NamespacedImageValidatingPolicy` (`policies.kyverno.io`, the custom resource
//! definition of 1.19).
//!
//! Every field is read, or refused with its reason. Read safely rather than bug for bug; every difference is a note.

mod attestors;
mod constraints;

use std::collections::BTreeSet;

use super::home;
use crate::condition::ConditionError;
use crate::condition::cel::Surface;
use crate::error::PolicyError;
use crate::image_pattern::ImagePattern;
use crate::model::{Format, RegistryCredentials};
use crate::question::Mode;
use crate::read::native::{metadata, metadata_of, predicate_type};
use crate::read::node::{Node, Object};
use crate::validating::{self, Constraints, Expression, Named, ObjectPolicy, Reference, Validation, surface};

const SPEC: [&str; 16] = [
    "matchConstraints",
    "matchConditions",
    "matchImageReferences",
    "failurePolicy",
    "validationActions",
    "images",
    "credentials",
    "attestors",
    "attestations",
    "validations",
    "variables",
    "auditAnnotations",
    "validationConfigurations",
    "webhookConfiguration",
    "evaluation",
    "autogen",
];

/// The most of anything that a policy lists.
const MAX_ENTRIES: usize = 64;

pub(in crate::read) fn read(node: &Node<'_>, namespaced: bool) -> Result<ObjectPolicy, PolicyError> {
    node.object(&["apiVersion", "kind", "metadata", "spec", "status"], &[], |root| {
        root.ignore(&["apiVersion", "kind", "status"]);
        let (format, name, namespace) = if namespaced {
            let name = metadata_of(root, true)?;
            let own = home(node, root, "metadata.namespace; an ImageValidatingPolicy needs none")?;
            (Format::NamespacedImageValidating, name, Some(own))
        } else {
            (Format::ImageValidating, metadata(root)?, None)
        };
        let mut policy = ObjectPolicy {
            name: namespace
                .as_ref()
                .map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}")),
            format,
            file: node.place().file,
            namespace,
            mode: Mode::Enforce,
            also_audit: false,
            constraints: Constraints::default(),
            conditions: Vec::new(),
            references: Vec::new(),
            extractors: Vec::new(),
            variables: Vec::new(),
            attestors: Vec::new(),
            attestations: Vec::new(),
            validations: Vec::new(),
            audit: Vec::new(),
            mutate_digest: true,
            verify_digest: true,
            required: true,
            keys: Vec::new(),
            credentials: Vec::new(),
            notes: Vec::new(),
        };
        let spec = root.required("spec", "matchConstraints, attestors and validations")?;
        spec.object(&SPEC, &[], |spec| read_spec(spec, &mut policy))?;
        Ok(policy)
    })
}

fn read_spec(spec: &Object<'_>, policy: &mut ObjectPolicy) -> Result<(), PolicyError> {
    general(spec, policy)?;
    policy.constraints = constraints::read(spec, &mut policy.notes)?;
    policy.conditions = match spec.get("matchConditions") {
        Some(node) => conditions(&node)?,
        None => Vec::new(),
    };
    if let Some(node) = spec.get("matchImageReferences") {
        policy.references = entries(&node)?.iter().map(reference).collect::<Result<_, _>>()?;
    }
    if let Some(node) = spec.get("images") {
        policy.extractors = named(&node, "name", "expression", &surface::REQUEST)?;
        for (extractor, node) in policy.extractors.iter().zip(entries(&node)?) {
            refuse_lookups(&extractor.expression, &node)?;
            if validating::categories().any(|known| known == extractor.name) {
                policy.notes.push(format!(
                    "images.{}: these images are looked at beside those of the built-in places; Kyverno looks at these alone",
                    extractor.name
                ));
            }
        }
    }
    // Order: what is named must be known when an expression names it.
    for node in possibly_empty(&spec.required("attestors", "who may vouch")?)? {
        let attestor = attestors::read(&node, policy)?;
        if policy.attestors.iter().any(|known| known.name == attestor.name) {
            return Err(node.wrong("attestors with names of their own"));
        }
        policy.attestors.push(attestor);
    }
    if let Some(node) = spec.get("attestations") {
        for node in entries(&node)? {
            attestation(&node, policy)?;
        }
    }
    if let Some(node) = spec.get("variables") {
        for node in entries(&node)? {
            variable(&node, policy)?;
        }
    }
    let validations = spec.required("validations", "what must hold")?;
    for node in entries(&validations)? {
        let validation = validation(&node, policy)?;
        policy.validations.push(validation);
    }
    if let Some(node) = spec.get("auditAnnotations") {
        policy.audit = named(&node, "key", "valueExpression", &surface::OBJECT)?;
        for (annotation, node) in policy.audit.iter().zip(entries(&node)?) {
            check_names(&annotation.expression, &node, policy)?;
        }
    }
    notes(policy);
    Ok(())
}

/// What is said of the policy as a whole.
fn general(spec: &Object<'_>, policy: &mut ObjectPolicy) -> Result<(), PolicyError> {
    if let Some(node) = spec.get("validationActions") {
        let actions: Vec<Mode> = node
            .list()?
            .iter()
            .map(|item| item.word(&[("Deny", Mode::Enforce), ("Warn", Mode::Warn), ("Audit", Mode::Audit)]))
            .collect::<Result<_, _>>()?;
        let has = |mode: Mode| actions.contains(&mode);
        policy.mode = match (has(Mode::Enforce), has(Mode::Warn)) {
            (true, _) => Mode::Enforce,
            (false, true) => Mode::Warn,
            (false, false) => Mode::Audit,
        };
        policy.also_audit = has(Mode::Audit);
    }
    if let Some(node) = spec.get("failurePolicy")
        && node.word(&[("Fail", false), ("Ignore", true)])?
    {
        policy.notes.push(
            "failurePolicy Ignore holds when the webhook cannot be called, as its own configuration says; what cannot be evaluated or decided is denied here"
                .to_owned(),
        );
    }
    if let Some(node) = spec.get("webhookConfiguration") {
        node.object(&["timeoutSeconds"], &[], |object| {
            if let Some(timeout) = object.get("timeoutSeconds") {
                timeout.count()?;
                let note = "webhookConfiguration.timeoutSeconds: the timeout of the webhook's own configuration holds";
                policy.notes.push(note.to_owned());
            }
            Ok(())
        })?;
    }
    if let Some(node) = spec.get("validationConfigurations") {
        node.object(&["mutateDigest", "verifyDigest", "required"], &[], |object| {
            policy.mutate_digest = object.boolean("mutateDigest", true)?;
            policy.verify_digest = object.boolean("verifyDigest", true)?;
            policy.required = object.boolean("required", true)?;
            Ok(())
        })?;
    }
    if let Some(node) = spec.get("credentials") {
        node.object(&["allowInsecureRegistry", "providers", "secrets"], &[], |object| {
            object.boolean("allowInsecureRegistry", false)?;
            let texts = |name: &str| -> Result<Vec<String>, PolicyError> {
                let list = object.get(name).map_or(Ok(Vec::new()), |node| node.strings())?;
                Ok(list.into_iter().map(ToOwned::to_owned).collect())
            };
            policy.credentials.push(RegistryCredentials {
                policy: policy.name.clone(),
                namespace: policy.namespace.clone(),
                providers: texts("providers")?,
                secrets: texts("secrets")?,
            });
            policy.notes.push(
                "credentials: whoever fetches decides which are used, bound to exact hosts; insecure registries are configured on the server"
                    .to_owned(),
            );
            Ok(())
        })?;
    }
    evaluation(spec, policy)
}

fn evaluation(spec: &Object<'_>, policy: &mut ObjectPolicy) -> Result<(), PolicyError> {
    const NOT_HERE: &str = "a policy without admission decides nothing here";
    let Some(node) = spec.get("evaluation") else {
        return Ok(());
    };
    node.object(&["mode", "admission", "background"], &[], |object| {
        if let Some(mode) = object.get("mode")
            && mode.word(&[("Kubernetes", false), ("JSON", true), ("HTTP", true), ("Envoy", true)])?
        {
            return Err(mode.unsupported("only objects of Kubernetes are decided about"));
        }
        let enabled = |name: &str| -> Result<bool, PolicyError> {
            let Some(node) = object.get(name) else { return Ok(true) };
            node.object(&["enabled"], &[], |part| part.boolean("enabled", true))
        };
        if !enabled("admission")? {
            return Err(object.required("admission", "enabled: true")?.unsupported(NOT_HERE));
        }
        if !enabled("background")? {
            policy
                .notes
                .push("evaluation.background: what runs is looked at as the server is configured".to_owned());
        }
        Ok(())
    })
}

pub(super) fn entries<'a>(node: &Node<'a>) -> Result<Vec<Node<'a>>, PolicyError> {
    let items = node.list()?;
    if items.len() > MAX_ENTRIES {
        return Err(node.wrong(&format!("at most {MAX_ENTRIES} entries")));
    }
    Ok(items)
}

/// A policy that asks for no signature, and only pins for instance, names nobody.
fn possibly_empty<'a>(node: &Node<'a>) -> Result<Vec<Node<'a>>, PolicyError> {
    match node.value() {
        serde_json::Value::Array(items) if items.is_empty() => Ok(Vec::new()),
        _ => entries(node),
    }
}

pub(super) fn expression(node: &Node<'_>, surface: &'static Surface) -> Result<Expression, PolicyError> {
    Expression::compile(node.string()?, surface).map_err(|error| node.condition(error))
}

/// Conditions over the request; they come before anything is looked up.
pub(super) fn conditions(node: &Node<'_>) -> Result<Vec<Named>, PolicyError> {
    let found = named(node, "name", "expression", &surface::REQUEST)?;
    for (condition, node) in found.iter().zip(entries(node)?) {
        refuse_lookups(&condition.expression, &node)?;
    }
    Ok(found)
}

fn named(node: &Node<'_>, name: &str, value: &str, surface: &'static Surface) -> Result<Vec<Named>, PolicyError> {
    let mut found: Vec<Named> = Vec::new();
    for item in entries(node)? {
        let entry = item.object(&[name, value], &[], |object| {
            Ok(Named {
                name: object.required(name, "a name")?.string()?.to_owned(),
                expression: expression(&object.required(value, "a CEL expression")?, surface)?,
            })
        })?;
        if found.iter().any(|known| known.name == entry.name) {
            return Err(item.wrong("names that are all different"));
        }
        found.push(entry);
    }
    Ok(found)
}

const LOOKUPS: [&str; 6] = [
    "verifyImageSignatures",
    "verifyAttestationSignatures",
    "extractPayload",
    "getImageData",
    "image.GetMetadata",
    "image.getMetadata",
];

fn refuse_lookups(expression: &Expression, node: &Node<'_>) -> Result<(), PolicyError> {
    if expression.calls(&LOOKUPS) {
        return Err(node.unsupported("nothing is known about images yet where it is decided what is looked at"));
    }
    Ok(())
}

fn reference(node: &Node<'_>) -> Result<Reference, PolicyError> {
    node.object(&["glob", "expression"], &[], |object| {
        match (object.get("glob"), object.get("expression")) {
            (Some(glob), None) => {
                let source = glob.string()?.to_owned();
                let patterns = alternatives(&source)
                    .ok_or_else(|| glob.unsupported("only *, ? and {a,b} are read in image patterns"))?
                    .iter()
                    .map(|text| ImagePattern::kyverno(text).map_err(|error| glob.pattern(error)))
                    .collect::<Result<_, _>>()?;
                Ok(Reference::Glob { source, patterns })
            }
            (None, Some(text)) => {
                let expression = expression(&text, &surface::REFERENCE)?;
                refuse_lookups(&expression, &text)?;
                Ok(Reference::Expression(expression))
            }
            _ => Err(node.wrong("either glob or expression")),
        }
    })
}

/// `a{b,c}d` is `abd` and `acd`; anything else that is special in these patterns is not read.
fn alternatives(glob: &str) -> Option<Vec<String>> {
    if glob.contains(['[', ']', '\\', '!']) {
        return None;
    }
    let Some((before, rest)) = glob.split_once('{') else {
        return (!glob.contains('}')).then(|| vec![glob.to_owned()]);
    };
    let (choices, after) = rest.split_once('}')?;
    if choices.contains('{') || before.contains('}') {
        return None;
    }
    let tails = alternatives(after)?;
    let all: Vec<String> = choices
        .split(',')
        .flat_map(|choice| tails.iter().map(move |tail| format!("{before}{choice}{tail}")))
        .collect();
    (all.len() <= MAX_ENTRIES).then_some(all)
}

fn attestation(node: &Node<'_>, policy: &mut ObjectPolicy) -> Result<(), PolicyError> {
    const REFERRER: &str = "what merely refers to the image is vouched for by Notary signatures alone, which are not verified; write intoto with the predicate type";
    node.object(&["name", "intoto"], &[("referrer", REFERRER)], |object| {
        let name = object.required("name", "a name")?.string()?.to_owned();
        let intoto = object.required("intoto", "the predicate type")?;
        let kind = intoto.object(&["type"], &[], |intoto| {
            predicate_type(&intoto.required("type", "a predicate type")?)
        })?;
        if policy.attestations.iter().any(|(known, _)| *known == name) {
            return Err(node.wrong("attestations with names of their own"));
        }
        policy.attestations.push((name, kind));
        Ok(())
    })
}

fn variable(node: &Node<'_>, policy: &mut ObjectPolicy) -> Result<(), PolicyError> {
    node.object(&["name", "expression"], &[], |object| {
        let name = object.required("name", "a name")?.string()?.to_owned();
        let text = object.required("expression", "a CEL expression")?;
        let expression = expression(&text, &surface::OBJECT)?;
        // Before it is known itself: it sees those that stand before it.
        check_names(&expression, &text, policy)?;
        if policy.variables.iter().any(|known| known.name == name) {
            return Err(node.wrong("variables with names of their own"));
        }
        policy.variables.push(Named { name, expression });
        Ok(())
    })
}

fn validation(node: &Node<'_>, policy: &ObjectPolicy) -> Result<Validation, PolicyError> {
    node.object(
        &["expression", "message", "messageExpression", "reason"],
        &[],
        |object| {
            let text = object.required("expression", "a CEL expression")?;
            let holds = expression(&text, &surface::OBJECT)?;
            check_names(&holds, &text, policy)?;
            let message_expression = object
                .get("messageExpression")
                .map(|text| {
                    let message = expression(&text, &surface::OBJECT)?;
                    check_names(&message, &text, policy)?;
                    Ok(message)
                })
                .transpose()?;
            Ok(Validation {
                expression: holds,
                message: object.string("message")?.map(ToOwned::to_owned),
                message_expression,
                reason: object.string("reason")?.map(ToOwned::to_owned),
            })
        },
    )
}

/// A name that the policy does not define is an error now and not a denial later.
fn check_names(expression: &Expression, node: &Node<'_>, policy: &ObjectPolicy) -> Result<(), PolicyError> {
    let images: Vec<&str> = validating::categories()
        .chain(policy.extractors.iter().map(|known| known.name.as_str()))
        .collect();
    let attestors: Vec<&str> = policy.attestors.iter().map(|known| known.name.as_str()).collect();
    let attestations: Vec<&str> = policy.attestations.iter().map(|(name, _)| name.as_str()).collect();
    let variables: Vec<&str> = policy.variables.iter().map(|known| known.name.as_str()).collect();
    let tables: [(&str, &[&str], &str); 4] = [
        ("images", &images, "the categories of images"),
        ("attestors", &attestors, "the attestors of the policy"),
        ("attestations", &attestations, "the attestations of the policy"),
        ("variables", &variables, "the variables before it"),
    ];
    for (table, known, what) in tables {
        let known: BTreeSet<&str> = known.iter().copied().collect();
        if let Some(name) = expression.fields(table).find(|name| !known.contains(name)) {
            return Err(node.condition(ConditionError::Variable {
                name: format!("{table}.{name}"),
                known: what,
            }));
        }
    }
    if expression.bare.contains("variables") {
        return Err(node.unsupported("variables are named one by one, as variables.name"));
    }
    Ok(())
}

/// What someone who knows Kyverno would be surprised by.
fn notes(policy: &mut ObjectPolicy) {
    let mut add = |text: &str| policy.notes.push(text.to_owned());
    if policy.attestors.len() > 1 {
        add(
            "verifyImageSignatures and verifyAttestationSignatures count different signers; in Kyverno one signature can satisfy several attestors",
        );
    }
    if policy.verify_digest {
        add("verifyDigest holds for Pods: templates are pinned when their Pods are made");
    }
    if policy.mutate_digest {
        add("mutateDigest: tags are replaced by digests in Pods alone, never in what makes them");
    }
    if !policy.attestations.is_empty() {
        add(
            "extractPayload gives the statements that were verified, each in its turn, and all validations must hold with every one; Kyverno looks at the last that the registry lists",
        );
    }
    add("image volumes are in images.volumes, and count for required and verifyDigest; Kyverno does not see them");
    if !policy.references.is_empty() {
        add(
            "matchImageReferences are held against the reference as it is written and in its long form, by host and path; a pattern that names a tag is about every reference with a digest",
        );
    }
}
