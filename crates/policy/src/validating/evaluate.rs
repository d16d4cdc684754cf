//! One policy over one object.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::{Context, Value as CelValue};
use proofmark_types::ImageRef;
use serde_json::{Value, json};

use super::functions::{self, Variables};
use super::images::{self, Images, truth};
use super::matching::{View, kind, pod_of, pod_view};
use super::table::{Call, Journal, MAX_STATEMENTS, Table};
use super::{Exception, Fault, Named, ObjectException, ObjectPolicy, VERIFY_DIGEST, validation_name};
use crate::question::{ObjectQuestion, RequestContext};

/// What a policy says of an object that it is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Run {
    /// What was not met, and in which part of the policy: the first, as in Kyverno.
    pub(crate) problem: Option<(String, Fault)>,
    /// What it asked for.
    pub(crate) calls: Vec<Call>,
    /// The images that it is about, in their long form; exempted ones are not.
    pub(crate) images: BTreeMap<String, ImageRef>,
    /// The exceptions that applied, with what each left alone.
    pub(crate) exceptions: Vec<(String, String)>,
    /// What is to be recorded.
    pub(crate) audit: Vec<(String, String)>,
}

/// Images that some policy has found vouched for, in their long form.
pub(crate) type Verified = BTreeSet<String>;

/// Evaluates `policy`; nothing, if it is not about the request.
///
/// 1. `matchConstraints` and the namespace of a namespaced policy. What is not known does not exclude.
/// 2. `matchConditions`. One that fails to be evaluated refuses, whatever `failurePolicy` says.
/// 3. Exceptions: one that names neither images nor values leaves the whole object alone.
/// 4. The images of the object, and which of them the policy is about, less those that exceptions name.
/// 5. `verifyDigest`: each has a digest. Only in Pods: templates are pinned when their Pods are made.
/// 6. The validations, in their order; the first that does not hold ends it. If a payload stands for several statements,
///    all is evaluated with each of them: whoever pushes cannot choose the one that is looked at.
/// 7. `auditAnnotations`.
///
/// A fault in the interpreter is an error of evaluation and not a crash of the server.
pub(crate) fn evaluate(
    policy: &Arc<ObjectPolicy>,
    exceptions: &[(&Exception, &ObjectException)],
    question: &ObjectQuestion<'_>,
) -> Option<Run> {
    let run = || Evaluation::run(policy, exceptions, question);
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        let fault = Fault::expression("the interpreter failed on this object".to_owned());
        Some(Run::refused("expressions", fault))
    })
}

impl Run {
    fn refused(part: &str, fault: Fault) -> Self {
        Self {
            problem: Some((part.to_owned(), fault)),
            ..Self::default()
        }
    }
}

impl ObjectPolicy {
    /// Steps 1, 2 and 4, for whoever gathers evidence: the images that the policy asks about, by their long form, as they
    /// are written. None if the policy is not about the request; an error where that cannot be told.
    pub(crate) fn wants(
        &self,
        context: &RequestContext<'_>,
        image: Option<&ImageRef>,
    ) -> Option<Result<BTreeMap<String, String>, Fault>> {
        let object = self.object(context, image)?;
        let variables = request_variables(context, &object, None);
        match self.conditions_hold(&self.conditions, &variables) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(fault) => return Some(Err(fault)),
        }
        let found = self.find_images(context, &object, &variables);
        let written = |found: FoundImages| {
            found
                .about
                .into_iter()
                .map(|(name, (written, _))| (name, written))
                .collect()
        };
        Some(found.map(written))
    }

    /// The object as the policy reads it; none if it is not about the request.
    fn object(&self, context: &RequestContext<'_>, image: Option<&ImageRef>) -> Option<Object> {
        if let (Some(own), Some(asked)) = (&self.namespace, context.namespace)
            && own != asked
        {
            return None;
        }
        let view = self.constraints.view(context)?;
        let original = match (context.object, image) {
            (Some(object), _) => object.clone(),
            (None, Some(image)) => pod_of(image, context),
            (None, None) => Value::Null,
        };
        let of_view = |object: &Value| match view {
            View::Itself => object.clone(),
            View::Template(place) if object.is_object() => pod_view(object, place),
            View::Template(_) => object.clone(),
        };
        Some(Object {
            read: of_view(&original),
            old: context.old_object.map(of_view).unwrap_or(Value::Null),
            original,
        })
    }

    fn conditions_hold(&self, conditions: &[Named], variables: &Variables) -> Result<bool, Fault> {
        for condition in conditions {
            let mut context = Context::with_env(functions::library());
            variables.bind(&mut context)?;
            let value = variables.evaluate(&condition.expression, &context)?;
            if !truth(&condition.expression, value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn find_images(
        &self,
        context: &RequestContext<'_>,
        object: &Object,
        variables: &Variables,
    ) -> Result<FoundImages, Fault> {
        // A question about an image alone is one about a Pod of it.
        let of_pod = RequestContext {
            kind: kind(context).or_else(|| context.object.is_none().then_some("Pod")),
            ..*context
        };
        let all = images::extract(self, &of_pod, &object.original, variables)?;
        let mut found = FoundImages::default();
        for (category, written) in all {
            let kept = found.categories.entry(category).or_default();
            for text in written {
                let reference = images::parsed(&text)?;
                if self.is_about(&reference, &text)? {
                    kept.push(text.clone());
                    found.about.insert(reference.to_string(), (text, reference));
                } else {
                    found.outside.insert(reference.to_string());
                }
            }
        }
        Ok(found)
    }
}

/// An object, and how a policy reads it.
struct Object {
    original: Value,
    read: Value,
    old: Value,
}

/// The images that a policy is about.
#[derive(Default)]
struct FoundImages {
    categories: Images,
    /// By their long form, as written and read.
    about: BTreeMap<String, (String, ImageRef)>,
    /// The other images of the object, by their long form.
    outside: BTreeSet<String>,
}

impl FoundImages {
    fn without(&mut self, exempt: &impl Fn(&ImageRef) -> bool) {
        self.about.retain(|_, (_, reference)| !exempt(reference));
        for written in self.categories.values_mut() {
            written.retain(|text| {
                ImageRef::parse(text).is_ok_and(|reference| self.about.contains_key(&reference.to_string()))
            });
        }
    }
}

struct Evaluation<'a> {
    policy: &'a Arc<ObjectPolicy>,
    question: &'a ObjectQuestion<'a>,
    variables: Variables,
    outside: &'a BTreeSet<String>,
}

impl<'a> Evaluation<'a> {
    fn run(
        policy: &Arc<ObjectPolicy>,
        exceptions: &[(&Exception, &ObjectException)],
        question: &ObjectQuestion<'_>,
    ) -> Option<Run> {
        // 1.
        let object = policy.object(question.context, question.single())?;
        let mut variables = request_variables(question.context, &object, Some(question));
        // 2.
        match policy.conditions_hold(&policy.conditions, &variables) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(fault) => return Some(Run::refused("matchConditions", fault)),
        }
        // 3.
        let mut run = Run::default();
        let mut partial = Vec::new();
        for (exception, detail) in exceptions {
            // One that cannot be evaluated leaves nothing alone.
            if !policy.conditions_hold(&detail.conditions, &variables).unwrap_or(false) {
                continue;
            }
            run.exceptions.push((exception.name.clone(), detail.describe()));
            if detail.is_whole() {
                return Some(run);
            }
            partial.push(*detail);
        }
        // 4.
        let mut found = match policy.find_images(question.context, &object, &variables) {
            Ok(found) => found,
            Err(fault) => return Some(Run::refused("images", fault)),
        };
        found.without(&|image| {
            let mut exempted = partial.iter().flat_map(|detail| &detail.images);
            exempted.any(|pattern| pattern.exempts(image))
        });
        run.images = found
            .about
            .iter()
            .map(|(name, (_, image))| (name.clone(), image.clone()))
            .collect();
        // 5.
        let is_pod = kind(question.context).is_none_or(|kind| kind == "Pod");
        let bare = run.images.values().find(|image| image.digest().is_none());
        if let Some(image) = bare.filter(|_| policy.verify_digest && is_pod) {
            let fault = Fault {
                code: "digest-required",
                message: format!("expected a reference with a digest, got {image}"),
                undecided: false,
            };
            run.problem = Some((VERIFY_DIGEST.to_owned(), fault));
            return Some(run);
        }
        // 6. and 7.
        variables.set_images(run.images.len());
        bind_static(policy, &partial, &found.categories, &mut variables);
        let evaluation = Evaluation {
            policy,
            question,
            variables,
            outside: &found.outside,
        };
        evaluation.rounds(&mut run);
        Some(run)
    }

    fn rounds(&self, run: &mut Run) {
        let mut round = 0;
        loop {
            let about = |name: &str| run.images.contains_key(name);
            let table = Arc::new(Table::of(self.policy, self.question.images, about, self.outside));
            table.journal().round = round;
            let outcome = self.validations(&table);
            let journal: Journal = std::mem::take(&mut *table.journal());
            run.calls = journal.calls;
            let audit = match outcome {
                Ok(audit) => audit,
                Err((part, fault)) => {
                    run.problem = Some((part, fault));
                    return;
                }
            };
            run.audit = audit;
            round += 1;
            if journal.statements > MAX_STATEMENTS {
                let message = format!(
                    "{} statements of one type are signed by these attestors, at most {MAX_STATEMENTS} are tried",
                    journal.statements
                );
                run.problem = Some((validation_name(0), Fault::expression(message)));
                return;
            }
            if round >= journal.statements.max(1) {
                return;
            }
        }
    }

    /// All of them in order, then what is to be recorded.
    fn validations(&self, table: &Arc<Table>) -> Result<Vec<(String, String)>, (String, Fault)> {
        let values = self.values(table).map_err(|fault| ("variables".to_owned(), fault))?;
        let evaluate = |part: &str, expression: &super::Expression| {
            values
                .evaluate(self, table, expression)
                .map_err(|fault| (part.to_owned(), fault))
        };
        for (position, validation) in self.policy.validations.iter().enumerate() {
            let part = validation_name(position);
            let value = evaluate(&part, &validation.expression)?;
            if truth(&validation.expression, value).map_err(|fault| (part.clone(), fault))? {
                continue;
            }
            let written = validation.message_expression.as_ref().and_then(|expression| {
                match values.evaluate(self, table, expression) {
                    Ok(CelValue::String(text)) if !text.trim().is_empty() => {
                        Some(text.chars().take(MAX_MESSAGE).collect())
                    }
                    // Kyverno falls back to nothing; here to what stands beside it.
                    _ => None,
                }
            });
            let message = written
                .or_else(|| validation.message.clone())
                .unwrap_or_else(|| format!("expected {} to hold", validation.expression.source()));
            let reason = validation
                .reason
                .as_ref()
                .map(|reason| format!(" ({reason})"))
                .unwrap_or_default();
            let fault = Fault {
                code: "validation-failed",
                message: format!("{message}{reason}"),
                undecided: false,
            };
            return Err((part, fault));
        }
        let mut audit = Vec::new();
        for annotation in &self.policy.audit {
            let part = format!("auditAnnotations.{}", annotation.name);
            match evaluate(&part, &annotation.expression)? {
                CelValue::String(text) if text.is_empty() => {}
                CelValue::Null => {}
                CelValue::String(text) => {
                    audit.push((annotation.name.clone(), text.chars().take(MAX_MESSAGE).collect()))
                }
                other => {
                    let fault = Fault::expression(format!("expected a text, got a {}", other.type_of()));
                    return Err((part, fault));
                }
            }
        }
        Ok(audit)
    }

    /// The variables of the policy that some expression needs, in the order in which they may build on each other. One
    /// that cannot be evaluated is not there, so that only what needs it fails.
    fn values(&self, table: &Arc<Table>) -> Result<Values, Fault> {
        let needed = self.policy.needed_variables();
        let mut values = Values {
            sizes: self.variables.clone(),
            ..Values::default()
        };
        values.sizes.run_over(table.longest());
        for variable in self
            .policy
            .variables
            .iter()
            .filter(|variable| needed.contains(variable.name.as_str()))
        {
            match values.evaluate(self, table, &variable.expression) {
                Ok(value) => {
                    values.sizes.count(&value);
                    if values.sizes.sizes().text_is_too_long() {
                        return Err(Fault::expression(format!(
                            "variables.{} makes a text that is too long",
                            variable.name
                        )));
                    }
                    values.known.push((variable.name.clone(), value));
                }
                Err(fault) => {
                    values.failed.insert(variable.name.clone(), fault);
                }
            }
        }
        Ok(values)
    }
}

/// The longest message that an expression may make, in characters.
const MAX_MESSAGE: usize = 600;

/// What the policy's variables are.
#[derive(Default)]
struct Values {
    known: Vec<(String, CelValue)>,
    failed: BTreeMap<String, Fault>,
    sizes: Variables,
}

impl Values {
    fn evaluate(
        &self,
        evaluation: &Evaluation<'_>,
        table: &Arc<Table>,
        expression: &super::Expression,
    ) -> Result<CelValue, Fault> {
        let mut context = Context::with_env(functions::library());
        evaluation.variables.bind(&mut context)?;
        functions::add_lookups(&mut context, table)?;
        let known: std::collections::HashMap<String, CelValue> = self.known.iter().cloned().collect();
        context.add_variable_from_value("variables", CelValue::from(known));
        self.sizes.evaluate(expression, &context).map_err(|fault| {
            // Whatever else the expression says: it asked for what nobody could find out, or for a variable that failed.
            if let Some(lacking) = &table.journal().lacking {
                return Fault {
                    code: lacking.code,
                    message: lacking.reason.clone(),
                    undecided: true,
                };
            }
            let failed = expression
                .fields("variables")
                .find_map(|name| self.failed.get(name).map(|fault| (name, fault)));
            match failed {
                Some((name, cause)) => Fault {
                    message: format!("variables.{name}: {}", cause.message),
                    ..cause.clone()
                },
                None => fault,
            }
        })
    }
}

impl ObjectPolicy {
    /// The variables that validations and annotations need, directly or through others.
    fn needed_variables(&self) -> BTreeSet<&str> {
        let validations = self
            .validations
            .iter()
            .flat_map(|validation| [Some(&validation.expression), validation.message_expression.as_ref()])
            .flatten();
        let audit = self.audit.iter().map(|annotation| &annotation.expression);
        let mut needed: BTreeSet<&str> = validations
            .chain(audit)
            .flat_map(|expression| expression.fields("variables"))
            .collect();
        // A variable sees only those before it: from the last to the first, each adds what it needs.
        for variable in self.variables.iter().rev() {
            if needed.contains(variable.name.as_str()) {
                needed.extend(variable.expression.fields("variables"));
            }
        }
        needed
    }
}

fn request_variables(
    context: &RequestContext<'_>,
    object: &Object,
    question: Option<&ObjectQuestion<'_>>,
) -> Variables {
    let mut variables = Variables::at(question.map(|question| question.now));
    variables.add_json("object", &object.read);
    variables.add_json("oldObject", &object.old);
    // What is not known is absent: an expression that asks for it fails, and that refuses.
    let mut request = context.request.cloned().unwrap_or_else(|| json!({}));
    if let Some(fields) = request.as_object_mut() {
        let operation = context.operation.map(|operation| operation.name());
        for (name, value) in [
            ("namespace", context.namespace),
            ("name", context.name),
            ("operation", operation),
        ] {
            if let Some(value) = value {
                fields.entry(name).or_insert_with(|| Value::String(value.to_owned()));
            }
        }
    }
    variables.add_json("request", &request);
    if let Some(labels) = context.namespace_labels {
        let namespace = json!({ "metadata": { "name": context.namespace, "labels": labels } });
        variables.add_json("namespaceObject", &namespace);
    }
    variables
}

fn bind_static(policy: &ObjectPolicy, exceptions: &[&ObjectException], categories: &Images, variables: &mut Variables) {
    variables.add_json("images", &json!(categories));
    let attestors = policy.attestors.iter();
    let attestors: std::collections::HashMap<String, CelValue> = attestors
        .map(|attestor| (attestor.name.clone(), functions::attestor(&attestor.name)))
        .collect();
    variables.add("attestors", CelValue::from(attestors));
    let names: BTreeMap<&str, &str> = policy
        .attestations
        .iter()
        .map(|(name, _)| (name.as_str(), name.as_str()))
        .collect();
    variables.add_json("attestations", &json!(names));
    let values: Vec<&String> = exceptions.iter().flat_map(|detail| &detail.allowed_values).collect();
    let exempted: Vec<&str> = exceptions
        .iter()
        .flat_map(|detail| &detail.images)
        .map(|pattern| pattern.source())
        .collect();
    variables.add_json(
        "exceptions",
        &json!({ "allowedValues": values, "allowedImages": exempted }),
    );
}

impl ObjectException {
    fn is_whole(&self) -> bool {
        self.images.is_empty() && self.allowed_values.is_empty()
    }

    fn describe(&self) -> String {
        if self.is_whole() {
            return "the whole object".to_owned();
        }
        let images: Vec<&str> = self.images.iter().map(|pattern| pattern.source()).collect();
        match (images.is_empty(), self.allowed_values.is_empty()) {
            (false, true) => format!("images {}", images.join(", ")),
            (true, _) => format!("values {}", self.allowed_values.join(", ")),
            (false, false) => format!(
                "images {}, values {}",
                images.join(", "),
                self.allowed_values.join(", ")
            ),
        }
    }
}
