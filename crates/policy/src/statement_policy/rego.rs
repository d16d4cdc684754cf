//! Rego as cosign and policy-controller evaluate it: version 0 of the language, one rule that must be true, the statement
//! as `input`.

use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proofmark_types::UnixTime;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value as RegoValue};

use super::{ERROR, FALSE, StatementFacts, StatementPolicyError, StatementRefusal};

/// What is asked of modules, by whose programs they were written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `cosign verify-attestation --policy`.
    Cosign,
    /// policy-controller (`pkg/policy`, sigstore/cosign `pkg/cosign/rego`).
    PolicyController,
}

impl Asked {
    fn query(self) -> &'static str {
        match self {
            Self::Cosign => "data.signature.allow",
            Self::PolicyController => "data.sigstore.isCompliant",
        }
    }

    fn package_and_rule(self) -> (&'static str, &'static str) {
        match self {
            Self::Cosign => ("data.signature", "allow"),
            Self::PolicyController => ("data.sigstore", "isCompliant"),
        }
    }
}

/// The longest module read: the examples of cosign's documentation have some twenty lines, this is a thousand times that.
const MAX_MODULE_BYTES: usize = 1024 * 1024;

/// How long a policy may think about one attestation: someone waits for the answer, and a loop over a bill of 10,000
/// packages is some ten thousand steps.
const MAX_TIME: Duration = Duration::from_secs(5);

/// How many steps of the interpreter there are between looks at the time.
const STEPS_BETWEEN_LOOKS: NonZeroU32 = NonZeroU32::MIN.saturating_add(255);

/// The interpreter recurses over rules and values: it gets a stack of its own, so that no policy exhausts that of a
/// server's thread.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Compiled modules.
#[derive(Clone)]
pub(crate) struct Rego {
    asked: Asked,
    names: String,
    modules: Vec<(String, String)>,
}

impl fmt::Debug for Rego {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rego({})", self.names)
    }
}

impl Rego {
    /// Reads the modules once, to say at the start what is wrong with them.
    pub(crate) fn compile(modules: Vec<(String, String)>, asked: Asked) -> Result<Self, StatementPolicyError> {
        for (name, source) in &modules {
            if source.len() > MAX_MODULE_BYTES {
                return Err(StatementPolicyError::TooLong {
                    name: name.clone(),
                    length: source.len(),
                    limit: MAX_MODULE_BYTES,
                });
            }
        }
        let rego = Self {
            asked,
            names: modules
                .iter()
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            modules,
        };
        let packages = on_large_stack(|| {
            let engine = rego.engine()?;
            engine.get_packages().map_err(|error| StatementPolicyError::Rego {
                name: rego.names.clone(),
                reason: error.to_string(),
            })
        })
        .unwrap_or_else(|reason| {
            Err(StatementPolicyError::Rego {
                name: rego.names.clone(),
                reason,
            })
        })?;
        let (package, rule) = asked.package_and_rule();
        let answers = packages.iter().any(|known| known == package)
            && rego.modules.iter().any(|(_, source)| source.contains(rule));
        if answers {
            Ok(rego)
        } else {
            Err(StatementPolicyError::NoAllow {
                names: rego.names,
                query: asked.query(),
            })
        }
    }

    /// 1. The statement is the input.
    /// 2. The clock is the time of the decision, and there is no other.
    /// 3. The answer is one value, and it is `true`: undefined is not.
    pub(super) fn check(&self, facts: &StatementFacts<'_>) -> Result<(), StatementRefusal> {
        self.check_input(&facts.statement.to_string(), facts.now)
    }

    /// The same over any input.
    pub(crate) fn check_input(&self, input: &str, now: UnixTime) -> Result<(), StatementRefusal> {
        let query = self.asked.query();
        let refuse = |code, reason| StatementRefusal {
            policy: self.names.clone(),
            code,
            reason,
        };
        let failed = |reason: String| refuse(ERROR, format!("evaluating {query} fails: {reason}"));
        let now = i128::from(now.seconds()).saturating_mul(1_000_000_000);
        let answer = on_large_stack(|| {
            let mut engine = self.engine().map_err(|error| error.to_string())?;
            // 1.
            let input = RegoValue::from_json_str(input).map_err(|error| error.to_string())?;
            engine.set_input(input);
            // 2. An extension goes before a built-in function of the same name.
            engine
                .add_extension(
                    "time.now_ns".to_owned(),
                    0,
                    Box::new(move |_: Vec<RegoValue>| Ok(RegoValue::from(now))),
                )
                .map_err(|error| error.to_string())?;
            // Chance is no reason to admit anything.
            engine
                .add_extension(
                    "rand.intn".to_owned(),
                    2,
                    Box::new(|_: Vec<RegoValue>| {
                        let refused: Result<RegoValue, fmt::Error> = Err(fmt::Error);
                        Ok(refused?)
                    }),
                )
                .map_err(|error| error.to_string())?;
            engine.set_execution_timer_config(ExecutionTimerConfig {
                limit: MAX_TIME,
                check_interval: STEPS_BETWEEN_LOOKS,
            });
            engine.eval_rule(query.to_owned()).map_err(|error| error.to_string())
        })
        .and_then(|answer| answer)
        .map_err(failed)?;
        // 3.
        match answer {
            RegoValue::Bool(true) => Ok(()),
            RegoValue::Undefined => Err(refuse(FALSE, format!("{query} is undefined, and true is expected"))),
            other => Err(refuse(FALSE, format!("{query} is {other}, and true is expected"))),
        }
    }

    fn engine(&self) -> Result<Engine, StatementPolicyError> {
        let mut engine = Engine::new();
        engine.set_rego_v0(true);
        for (name, source) in &self.modules {
            engine
                .add_policy(name.clone(), source.clone())
                .map_err(|error| StatementPolicyError::Rego {
                    name: name.clone(),
                    reason: error.to_string(),
                })?;
        }
        Ok(engine)
    }
}

/// Runs the interpreter where it may recurse; a fault in it is an error, not the end of the process.
fn on_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || catch_unwind(AssertUnwindSafe(work)));
        match thread.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(Ok(answer))) => Ok(answer),
            Ok(_) => Err("the interpreter failed on it".to_owned()),
            Err(error) => Err(format!("the interpreter could not be started: {error}")),
        }
    })
}
