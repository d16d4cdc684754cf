//! The functions that expressions have beside the standard ones, in the names that Kyverno and Kubernetes have for them.
//!
//! None does I/O. Images are texts here as in the object, and the functions over them read the text as a reference.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::{Context, Env, ExecutionError, Program, Value as CelValue};
use proofmark_types::{Digest, ImageRef, UnixTime};
use regex::RegexBuilder;
use serde_json::Value;

use super::Fault;
use super::expression::{Expression, LIBRARY, Sizes, extent};
use super::table::Table;
use crate::condition::cel::{MAX_STEPS, to_cel};

/// The memory that one expression made while evaluating may take.
const MAX_REGEX_BYTES: usize = 256 * 1024;

/// The longest text that is read as JSON or YAML.
const MAX_DOCUMENT_BYTES: usize = 1_000_000;

pub(super) fn library() -> Arc<Env> {
    Arc::clone(&LIBRARY)
}

/// Variables that are the same for every expression of an evaluation.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    values: Vec<(&'static str, CelValue)>,
    sizes: Sizes,
    now: Option<UnixTime>,
    /// Steps taken so far, by all expressions that share these variables.
    spent: Rc<Cell<usize>>,
}

/// The steps that all expressions of a policy may take together: some four seconds, which is what is left of the API
/// server's ten after evidence was fetched.
const MAX_TOTAL_STEPS: usize = 2 * MAX_STEPS;

impl Variables {
    pub(super) fn at(now: Option<UnixTime>) -> Self {
        Self { now, ..Self::default() }
    }

    pub(super) fn add(&mut self, name: &'static str, value: CelValue) {
        self.sizes.list = self.sizes.list.max(extent(&value).1);
        self.values.push((name, value));
    }

    pub(super) fn add_json(&mut self, name: &'static str, value: &Value) {
        self.add(name, to_cel(value));
    }

    pub(super) fn set_images(&mut self, number: usize) {
        self.sizes.images = number;
    }

    /// Lists of this length may come out of functions.
    pub(super) fn run_over(&mut self, list: usize) {
        self.sizes.list = self.sizes.list.max(list);
    }

    /// Counts a value that is not bound here in what loops may run over.
    pub(super) fn count(&mut self, value: &CelValue) {
        let (text, list) = extent(value);
        self.sizes.text = self.sizes.text.max(text);
        self.sizes.list = self.sizes.list.max(list);
    }

    /// Runs an expression, if what is left of the budget allows it.
    pub(super) fn evaluate(&self, expression: &Expression, context: &Context<'_, '_>) -> Result<CelValue, Fault> {
        let spent = self.spent.get().saturating_add(expression.steps(self.sizes));
        if spent > MAX_TOTAL_STEPS {
            return Err(Fault::expression(
                "the expressions of the policy together take more steps on this object than are allowed".to_owned(),
            ));
        }
        self.spent.set(spent);
        expression.evaluate(context, self.sizes)
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.sizes
    }

    pub(super) fn bind(&self, context: &mut Context<'_, '_>) -> Result<(), Fault> {
        add_plain(context, self.now)?;
        for (name, value) in &self.values {
            context.add_variable_from_value(*name, value.clone());
        }
        Ok(())
    }
}

type Outcome = Result<CelValue, ExecutionError>;

/// Adds the functions that need nothing but their arguments.
pub(super) fn add_plain(context: &mut Context<'_, '_>, now: Option<UnixTime>) -> Result<(), Fault> {
    let conflict = |error: cel::DeclarationError| Fault::expression(error.to_string());
    // References.
    for name in ["image", "parseImageReference"] {
        let parse = move |text: Arc<String>| reference(name, &text).map(|image| CelValue::from(long(&image)));
        context.add_function(name, parse).map_err(conflict)?;
    }
    context
        .add_function("isImage", |text: Arc<String>| ImageRef::parse(&text).is_ok())
        .map_err(conflict)?;
    for (name, read) in READERS {
        let call = move |This(text): This<Arc<String>>| -> Outcome { Ok(read(&reference(name, &text)?)) };
        context.add_function(name, call).map_err(conflict)?;
    }
    // Texts.
    context.add_function("find", find).map_err(conflict)?;
    context.add_function("findAll", find_all).map_err(conflict)?;
    for name in ["sha256", "hash.sha256"] {
        let hash = |text: Arc<String>| hex_of(&Digest::sha256_of(text.as_bytes()));
        context.add_function(name, hash).map_err(conflict)?;
    }
    for name in ["parseServiceAccount", "user.parseServiceAccount"] {
        context.add_function(name, service_account).map_err(conflict)?;
    }
    context
        .add_function("json.unmarshal", unmarshal_json)
        .map_err(conflict)?;
    context.add_function("json.marshal", marshal_json).map_err(conflict)?;
    context.add_function("yaml.parse", parse_yaml).map_err(conflict)?;
    // Lists.
    context
        .add_function("sets.contains", |all: CelValue, part: CelValue| {
            subset("sets.contains", &part, &all)
        })
        .map_err(conflict)?;
    context
        .add_function("sets.equivalent", |left: CelValue, right: CelValue| {
            Ok(subset("sets.equivalent", &left, &right)? && subset("sets.equivalent", &right, &left)?)
        })
        .map_err(conflict)?;
    context.add_function("sets.intersects", intersects).map_err(conflict)?;
    if let Some(now) = now {
        context
            .add_function("time.now", move || timestamp(now))
            .map_err(conflict)?;
    }
    Ok(())
}

/// Adds the functions that ask what is known about images.
pub(super) fn add_lookups(context: &mut Context<'_, '_>, table: &Arc<Table>) -> Result<(), Fault> {
    let conflict = |error: cel::DeclarationError| Fault::expression(error.to_string());
    const SIGNATURES: &str = "verifyImageSignatures";
    const ATTESTATIONS: &str = "verifyAttestationSignatures";
    let known = Arc::clone(table);
    let signatures = move |image: Arc<String>, attestors: CelValue| -> Outcome {
        let attestors = names(SIGNATURES, &attestors)?;
        let count = known.verify(&image, None, &attestors);
        count
            .map_err(|error| ExecutionError::function_error(SIGNATURES, error))?
            .try_into_int()
    };
    context.add_function(SIGNATURES, signatures).map_err(conflict)?;
    let known = Arc::clone(table);
    let attestations = move |image: Arc<String>, attestation: Arc<String>, attestors: CelValue| -> Outcome {
        let attestors = names(ATTESTATIONS, &attestors)?;
        let count = known.verify(&image, Some(&attestation), &attestors);
        count
            .map_err(|error| ExecutionError::function_error(ATTESTATIONS, error))?
            .try_into_int()
    };
    context.add_function(ATTESTATIONS, attestations).map_err(conflict)?;
    let known = Arc::clone(table);
    let payload = move |image: Arc<String>, attestation: Arc<String>| -> Outcome {
        let payload = known.payload(&image, &attestation);
        payload.map_err(|error| ExecutionError::function_error("extractPayload", error))
    };
    context.add_function("extractPayload", payload).map_err(conflict)?;
    for name in ["getImageData", "image.GetMetadata", "image.getMetadata"] {
        let known = Arc::clone(table);
        let data = move |image: Arc<String>| -> Outcome {
            known
                .data(&image)
                .map_err(|error| ExecutionError::function_error(name, error))
        };
        context.add_function(name, data).map_err(conflict)?;
    }
    Ok(())
}

trait AsInt {
    fn try_into_int(self) -> Outcome;
}

impl AsInt for usize {
    fn try_into_int(self) -> Outcome {
        let number = i64::try_from(self).map_err(|error| ExecutionError::function_error("int", error))?;
        Ok(CelValue::Int(number))
    }
}

/// What attestors are to expressions: mappings that only their names tell apart.
pub(super) fn attestor(name: &str) -> CelValue {
    to_cel(&serde_json::json!({ "name": name }))
}

fn names(function: &str, list: &CelValue) -> Result<Vec<String>, ExecutionError> {
    let wrong = || ExecutionError::function_error(function, "expected a list of attestors, such as [attestors.name]");
    let CelValue::List(items) = list else {
        return Err(wrong());
    };
    let name = |item: &CelValue| match item {
        CelValue::Map(fields) => match fields.map.get(&cel::objects::Key::from("name")) {
            Some(CelValue::String(name)) => Ok(name.as_ref().clone()),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    };
    items.iter().map(name).collect()
}

fn reference(function: &str, text: &str) -> Result<ImageRef, ExecutionError> {
    ImageRef::parse(text).map_err(|error| ExecutionError::function_error(function, error))
}

/// In the spelling of go-containerregistry, which policies compare with.
fn long(image: &ImageRef) -> String {
    image.to_string()
}

type Reader = fn(&ImageRef) -> CelValue;

/// As go-containerregistry has them: Docker Hub is `index.docker.io`, a reference with a digest has no tag, and one with
/// neither has `latest`.
const READERS: [(&str, Reader); 6] = [
    ("containsDigest", |image| CelValue::Bool(image.digest().is_some())),
    ("registry", |image| {
        let host = image.repository().registry().as_str();
        CelValue::from(if host == "docker.io" { "index.docker.io" } else { host })
    }),
    ("repository", |image| CelValue::from(image.repository().path())),
    ("identifier", |image| {
        let digest = image.digest().map(ToString::to_string);
        CelValue::from(digest.unwrap_or_else(|| image.tag_or_latest().to_string()))
    }),
    ("tag", |image| {
        let tag = image.digest().is_none().then(|| image.tag_or_latest().to_string());
        CelValue::from(tag.unwrap_or_default())
    }),
    ("digest", |image| {
        CelValue::from(image.digest().map(ToString::to_string).unwrap_or_default())
    }),
];

fn regexp(function: &str, pattern: &str) -> Result<regex::Regex, ExecutionError> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_REGEX_BYTES).build();
    built.map_err(|error| ExecutionError::function_error(function, error))
}

fn find(This(text): This<Arc<String>>, pattern: Arc<String>) -> Outcome {
    let found = regexp("find", &pattern)?
        .find(&text)
        .map(|found| found.as_str().to_owned());
    Ok(CelValue::from(found.unwrap_or_default()))
}

fn find_all(This(text): This<Arc<String>>, pattern: Arc<String>) -> Outcome {
    let pattern = regexp("findAll", &pattern)?;
    let found: Vec<CelValue> = pattern
        .find_iter(&text)
        .map(|found| CelValue::from(found.as_str()))
        .collect();
    Ok(CelValue::from(found))
}

fn hex_of(digest: &Digest) -> String {
    let text = digest.to_string();
    text.split_once(':')
        .map_or_else(|| text.clone(), |(_, hex)| hex.to_owned())
}

fn service_account(user: Arc<String>) -> CelValue {
    let parts = user
        .strip_prefix("system:serviceaccount:")
        .and_then(|rest| rest.split_once(':'));
    let (namespace, name) = parts.unwrap_or_default();
    to_cel(&serde_json::json!({ "Namespace": namespace, "Name": name }))
}

fn document(function: &str, text: &str) -> Result<(), ExecutionError> {
    if text.len() <= MAX_DOCUMENT_BYTES {
        return Ok(());
    }
    let reason = format!("{} bytes, at most {MAX_DOCUMENT_BYTES} are read", text.len());
    Err(ExecutionError::function_error(function, reason))
}

fn unmarshal_json(text: Arc<String>) -> Outcome {
    const NAME: &str = "json.unmarshal";
    document(NAME, &text)?;
    let value: Value = serde_json::from_str(&text).map_err(|error| ExecutionError::function_error(NAME, error))?;
    Ok(to_cel(&value))
}

fn marshal_json(value: CelValue) -> Outcome {
    let json = value
        .json()
        .map_err(|error| ExecutionError::function_error("json.marshal", error))?;
    Ok(CelValue::from(json.to_string()))
}

fn parse_yaml(text: Arc<String>) -> Outcome {
    const NAME: &str = "yaml.parse";
    document(NAME, &text)?;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: 48, max_documents: 1, max_nodes: 50_000 },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        with_snippet: false,
    };
    let value: Value = serde_saphyr::from_str_with_options(&text, options)
        .map_err(|error| ExecutionError::function_error(NAME, error))?;
    Ok(to_cel(&value))
}

/// The most comparisons of two lists as sets.
const MAX_COMPARISONS: usize = 1_000_000;

fn lists<'a>(
    function: &str,
    left: &'a CelValue,
    right: &'a CelValue,
) -> Result<(&'a [CelValue], &'a [CelValue]), ExecutionError> {
    match (left, right) {
        (CelValue::List(left), CelValue::List(right)) if left.len().saturating_mul(right.len()) <= MAX_COMPARISONS => {
            Ok((left, right))
        }
        _ => Err(ExecutionError::function_error(
            function,
            "expected two lists that are not too long",
        )),
    }
}

fn subset(function: &str, part: &CelValue, all: &CelValue) -> Result<bool, ExecutionError> {
    let (part, all) = lists(function, part, all)?;
    Ok(part.iter().all(|item| all.contains(item)))
}

fn intersects(left: CelValue, right: CelValue) -> Result<bool, ExecutionError> {
    let (left, right) = lists("sets.intersects", &left, &right)?;
    Ok(left.iter().any(|item| right.contains(item)))
}

/// A moment as CEL has it, made by CEL itself.
fn timestamp(now: UnixTime) -> Outcome {
    static PROGRAM: LazyLock<Option<Program>> = LazyLock::new(|| Program::compile("timestamp(text)").ok());
    let program = PROGRAM
        .as_ref()
        .ok_or_else(|| ExecutionError::function_error("time.now", "no such time"))?;
    let mut context = Context::with_env(library());
    context.add_variable_from_value("text", now.to_string());
    program.execute(&context)
}
