//! What an expression uses, found by one walk over its tree when it is compiled: unknown names are errors of loading and
//! never of deciding, and how loops nest bounds what an evaluation can cost.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr};

use crate::condition::ConditionError;

/// The names that an expression may use.
#[derive(Debug)]
pub(crate) struct Surface {
    pub(crate) variables: &'static [&'static str],
    /// The same, in words.
    pub(crate) known: &'static str,
    /// `f(x)` and `x.f()`.
    pub(crate) functions: &'static [&'static str],
    /// `library.f(x)`.
    pub(crate) qualified: &'static [&'static str],
    /// First parts of names that exist at the peer and are refused here, with the reason.
    pub(crate) refused: &'static [(&'static str, &'static str)],
    /// Variables whose lists are short: there are as many as the object has images.
    pub(crate) short: &'static [&'static str],
}

/// How loops nest at one place: those over short lists, and those over anything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Nesting {
    pub(crate) short: usize,
    pub(crate) whole: usize,
}

/// What an expression uses.
#[derive(Debug)]
pub(crate) struct Survey {
    surface: &'static Surface,
    /// Variables that loops bind.
    bound: Vec<String>,
    nesting: Nesting,
    /// Every nesting that occurs.
    pub(crate) nestings: BTreeSet<Nesting>,
    /// `variables.name` gives `("variables", "name")`; with an index that is a literal text too.
    pub(crate) selected: BTreeSet<(String, String)>,
    /// Variables that stand alone, and not before a field.
    pub(crate) bare: BTreeSet<String>,
    /// Functions that are called, in full.
    pub(crate) calls: BTreeSet<String>,
    /// How often `+` stands in it.
    pub(crate) additions: usize,
    error: Option<ConditionError>,
}

impl Survey {
    /// Walks `expression`; names that `surface` does not have are an error.
    pub(crate) fn of(expression: &IdedExpr, surface: &'static Surface) -> Result<Self, ConditionError> {
        let mut survey = Self {
            surface,
            bound: Vec::new(),
            nesting: Nesting::default(),
            nestings: BTreeSet::new(),
            selected: BTreeSet::new(),
            bare: BTreeSet::new(),
            calls: BTreeSet::new(),
            additions: 0,
            error: None,
        };
        survey.walk(expression);
        match survey.error.take() {
            Some(error) => Err(error),
            None => Ok(survey),
        }
    }

    /// The most loops within each other that do not run over a part of what an outer one is at.
    pub(crate) fn deepest(&self) -> usize {
        let loops = self.nestings.iter().map(|nesting| nesting.short + nesting.whole);
        loops.max().unwrap_or(0)
    }

    fn fail(&mut self, error: ConditionError) {
        self.error.get_or_insert(error);
    }

    fn walk(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.name(name),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.elements.iter().for_each(|element| self.walk(element)),
            Expr::Select(select) => {
                if let Expr::Ident(root) = &select.operand.expr {
                    self.select(root, &select.field);
                } else {
                    self.walk(&select.operand);
                }
            }
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(object) => object.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn is_local(&self, name: &str) -> bool {
        // `@result` and its like are made by the macros.
        name.starts_with('@') || self.bound.iter().any(|bound| bound == name)
    }

    fn select(&mut self, root: &str, field: &str) {
        if self.is_local(root) {
            return;
        }
        self.known(root);
        self.selected.insert((root.to_owned(), field.to_owned()));
    }

    fn name(&mut self, name: &str) {
        if !self.is_local(name) {
            self.known(name);
            self.bare.insert(name.to_owned());
        }
    }

    fn known(&mut self, name: &str) {
        if self.surface.variables.contains(&name) {
            return;
        }
        let refused = self.surface.refused.iter().find(|(refused, _)| *refused == name);
        self.fail(match refused {
            Some((_, reason)) => ConditionError::Refused {
                name: name.to_owned(),
                reason,
            },
            None => ConditionError::Variable {
                name: name.to_owned(),
                known: self.surface.known,
            },
        });
    }

    fn call(&mut self, call: &CallExpr) {
        self.additions += usize::from(call.func_name == "_+_");
        // `library.f(x)` is parsed as a call of `f` on a variable `library`.
        if let Some(library) = call.target.as_ref().and_then(|target| match &target.expr {
            Expr::Ident(name) if !self.is_local(name) => Some(name),
            _ => None,
        }) {
            let name = format!("{library}.{}", call.func_name);
            if self.surface.qualified.contains(&name.as_str()) {
                self.calls.insert(name);
                call.args.iter().for_each(|argument| self.walk(argument));
                return;
            }
        }
        // Before the function, so that `http.Get` is refused for what it is.
        call.target.iter().for_each(|target| self.walk(target));
        if !is_operator(&call.func_name) && !self.surface.functions.contains(&call.func_name.as_str()) {
            let known = self.surface.qualified.contains(&call.func_name.as_str());
            if !known {
                self.fail(ConditionError::Function {
                    name: call.func_name.clone(),
                });
            }
        }
        self.calls.insert(call.func_name.clone());
        match (call.func_name.as_str(), call.args.as_slice()) {
            // `variables['name']`, `variables.?name` and `object[?'name']`
            ("_[_]" | "_?._" | "_[?_]", [root, field]) if literal(field).is_some() => {
                match (&root.expr, literal(field)) {
                    (Expr::Ident(root), Some(field)) => self.select(root, field),
                    _ => self.walk(root),
                }
            }
            (_, arguments) => arguments.iter().for_each(|argument| self.walk(argument)),
        }
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) {
        self.walk(&comprehension.iter_range);
        self.walk(&comprehension.accu_init);
        // A loop over a part of what an outer loop is at adds to its steps; any other multiplies them.
        let before = self.nesting;
        if !self.starts_at(&comprehension.iter_range, &|name| {
            self.bound.iter().any(|bound| bound == name)
        }) {
            let short = is_written_out(&comprehension.iter_range)
                || self.starts_at(&comprehension.iter_range, &|name| self.surface.short.contains(&name));
            self.nesting.short += usize::from(short);
            self.nesting.whole += usize::from(!short);
        }
        self.nestings.insert(self.nesting);
        let names = [Some(&comprehension.iter_var), comprehension.iter_var2.as_ref()];
        let length = self.bound.len();
        self.bound.extend(names.into_iter().flatten().cloned());
        self.bound.push(comprehension.accu_var.clone());
        self.walk(&comprehension.loop_cond);
        self.walk(&comprehension.loop_step);
        self.walk(&comprehension.result);
        self.bound.truncate(length);
        self.nesting = before;
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::StructField(field) => self.walk(&field.value),
            EntryExpr::MapEntry(entry) => {
                self.walk(&entry.key);
                self.walk(&entry.value);
            }
        }
    }

    /// Whether an expression is a path that starts at one of these variables: `p.licenses[0]`, `p.names.filter(…)`.
    fn starts_at(&self, expression: &IdedExpr, variable: &impl Fn(&str) -> bool) -> bool {
        match &expression.expr {
            Expr::Ident(name) => variable(name),
            Expr::Select(select) => self.starts_at(&select.operand, variable),
            Expr::Call(call) if matches!(call.func_name.as_str(), "_[_]" | "_?._" | "_[?_]") => {
                call.args.first().is_some_and(|first| self.starts_at(first, variable))
            }
            Expr::Call(call) if matches!(call.func_name.as_str(), "orValue" | "value") => call
                .target
                .as_ref()
                .is_some_and(|target| self.starts_at(target, variable)),
            Expr::Call(call) if call.func_name == "_+_" => {
                !call.args.is_empty() && call.args.iter().all(|part| self.starts_at(part, variable))
            }
            Expr::Comprehension(inner) => self.starts_at(&inner.iter_range, variable),
            _ => false,
        }
    }
}

/// Operators are spelled without letters (`_==_`), or with an `@` that no source text can have.
fn is_operator(name: &str) -> bool {
    name.starts_with('@') || !name.contains(|c: char| c.is_ascii_alphanumeric())
}

fn is_written_out(expression: &IdedExpr) -> bool {
    matches!(&expression.expr, Expr::List(_))
}

fn literal(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(cel::common::ast::LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
