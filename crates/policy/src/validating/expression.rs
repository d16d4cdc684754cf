//! Expressions of a policy over objects: compiled once when the policies are loaded, bounded before they run.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program, Value as CelValue};
use serde_json::Value;

use super::Fault;
use crate::condition::cel::{MAX_STEPS, Nesting, Surface, Survey, parse};
use crate::condition::{ConditionError, Logic, bounded};

/// Loops over anything but images and lists written out, within each other.
const MAX_WHOLE_LOOPS: usize = 2;

/// Loops of any kind within each other.
const MAX_LOOPS: usize = 4;

/// What a list written out in an expression can have, by the length of an expression.
const MAX_WRITTEN_OUT: usize = 512;

/// What additions of texts in one expression may make, in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024 * 1024;

/// The longest text within a variable; a document of a predicate is one text at most in some formats.
const MAX_VARIABLE_TEXT_BYTES: usize = 4 * 1024 * 1024;

/// The standard library and the extensions of Kubernetes that the `cel` crate has, built once.
pub(super) static LIBRARY: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // cel-go, and with it Kubernetes, keeps the last of two entries of one name.
    env.set_error_on_duplicate_map_keys(false);
    for extension in [cel::extensions::strings, cel::extensions::lists, cel::extensions::math] {
        // Their names are fixed and do not collide; without one of them its functions would not be found, which refuses.
        let _ = env.add_extension(extension);
    }
    Arc::new(env)
});

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    source: String,
    program: Arc<Program>,
    nestings: Vec<Nesting>,
    additions: usize,
    /// `("variables", "name")` and its like.
    pub(crate) selected: BTreeSet<(String, String)>,
    /// Variables that stand alone.
    pub(crate) bare: BTreeSet<String>,
    calls: BTreeSet<String>,
}

/// How large what expressions run over is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sizes {
    /// Images of the object.
    pub(super) images: usize,
    /// The longest list or mapping.
    pub(super) list: usize,
    /// The longest text that an expression made.
    pub(super) text: usize,
}

impl Sizes {
    /// Texts that variables make of each other double with each of them.
    pub(super) fn text_is_too_long(self) -> bool {
        self.text > MAX_VARIABLE_TEXT_BYTES
    }
}

impl Expression {
    pub(crate) fn compile(source: &str, surface: &'static Surface) -> Result<Self, ConditionError> {
        bounded(source, Logic::Balanced)?;
        let program = parse(source, &LIBRARY)?;
        let survey = Survey::of(program.expression(), surface)?;
        let whole = survey.nestings.iter().map(|nesting| nesting.whole).max().unwrap_or(0);
        for (depth, limit) in [(whole, MAX_WHOLE_LOOPS), (survey.deepest(), MAX_LOOPS)] {
            if depth > limit {
                return Err(ConditionError::TooCostly { depth, limit });
            }
        }
        Ok(Self {
            source: source.trim().to_owned(),
            program: Arc::new(program),
            nestings: survey.nestings.into_iter().collect(),
            additions: survey.additions,
            selected: survey.selected,
            bare: survey.bare,
            calls: survey.calls,
        })
    }

    /// As it was written.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn calls(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.calls.contains(*name))
    }

    /// The fields of `variable` that are named.
    pub(crate) fn fields<'a>(&'a self, variable: &'a str) -> impl Iterator<Item = &'a str> {
        let of = move |(root, field): &'a (String, String)| (root == variable).then_some(field.as_str());
        self.selected.iter().filter_map(of)
    }

    /// Runs it, if what it can cost is bounded by what the sizes allow.
    pub(super) fn evaluate(&self, context: &Context<'_, '_>, sizes: Sizes) -> Result<CelValue, Fault> {
        let steps = self.steps(sizes);
        let text = steps.saturating_mul(self.additions).saturating_mul(sizes.text.max(1));
        if steps > MAX_STEPS || self.additions > 0 && text > MAX_TEXT_BYTES {
            return Err(Fault::expression(format!(
                "{} would loop over lists of {} entries and {} images, which is more than is evaluated",
                self.source, sizes.list, sizes.images
            )));
        }
        self.program
            .execute(context)
            .map_err(|error| Fault::of_evaluation(&self.source, &error))
    }

    /// At most so many steps, roughly.
    pub(super) fn steps(&self, sizes: Sizes) -> usize {
        let short = sizes.images.max(MAX_WRITTEN_OUT.min(self.source.len() / 2)).max(1);
        let whole = sizes.list.max(1);
        let power =
            |base: usize, exponent: usize| (0..exponent).fold(1_usize, |product, _| product.saturating_mul(base));
        let steps = |nesting: &Nesting| power(short, nesting.short).saturating_mul(power(whole, nesting.whole));
        self.nestings.iter().map(steps).max().unwrap_or(1)
    }
}

/// The longest text and the longest list within a value.
pub(super) fn extent(value: &CelValue) -> (usize, usize) {
    let of_all = |parts: &mut dyn Iterator<Item = &CelValue>| {
        parts.map(extent).fold((0, 0), |(text, list), (other, longer)| {
            (text.max(other), list.max(longer))
        })
    };
    match value {
        CelValue::String(text) => (text.len(), 0),
        CelValue::Bytes(bytes) => (bytes.len(), 0),
        CelValue::List(items) => {
            let (text, list) = of_all(&mut items.iter());
            (text, list.max(items.len()))
        }
        CelValue::Map(map) => {
            let (text, list) = of_all(&mut map.map.values());
            (text, list.max(map.map.len()))
        }
        _ => (0, 0),
    }
}

/// An expression that needs nothing but itself, for values that must be known when policies are loaded.
pub(crate) fn constant(source: &str, surface: &'static Surface) -> Result<Option<Value>, ConditionError> {
    let expression = Expression::compile(source, surface)?;
    if !expression.selected.is_empty() || !expression.bare.is_empty() {
        return Ok(None);
    }
    let context = Context::with_env(Arc::clone(&LIBRARY));
    let value = expression.evaluate(&context, Sizes::default()).ok();
    Ok(value.and_then(|value| value.json().ok()))
}
