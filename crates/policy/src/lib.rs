//! Image policies: one model, readers for our own, Kyverno's and policy-controller's format, one decision.
//!
//! [`Requirement::check`] says whether one demand is met by what was proven about a digest. [`PolicySet::decide`] says
//! whether an image may run: it is the one function behind admission, promotion and `policy check`. Both see only
//! [`proofmark_verify::Proofs`], never evidence, and do no I/O, no cryptography and read no clock.
//!
//! | module | what |
//! |---|---|
//! | `requirement` | one demand over proofs, and its verdict |
//! | `question` | what is asked of a set of policies, and what it answers |
//! | `set` | many policies: load, which concern an image, decide |
//! | `model` | the one model that every format is read into |
//! | `scope` | which objects a rule concerns |
//! | `read` | the readers: `ImagePolicy`, Kyverno `ClusterPolicy`, `ClusterImagePolicy` |
//! | `pod` | the Pod within an object |
//! | `keys` | keys that policies name by where they live |
//! | `validating` | policies over whole objects, in CEL: Kyverno's `ImageValidatingPolicy` |
//! | `condition` | CEL and JMESPath conditions over a predicate |
//! | `statement_policy` | CEL and Rego files over one verified statement |
//! | `write` | the model as our own format |
//! | `image_pattern`, `text` | patterns over parsed references, and over identities |

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod condition;
mod error;
mod image_pattern;
mod keys;
mod model;
mod pod;
mod question;
mod read;
mod requirement;
mod scope;
mod set;
mod statement_policy;
mod text;
mod validating;
mod write;

pub use condition::ConditionError;
pub use error::{Place, PolicyError};
pub use image_pattern::{ImagePattern, PatternError};
pub use keys::{KeyAnswers, KeyPlaces, NamedKey, PolicyDraft};
pub use model::{ImagePlace, RegistryCredentials};
pub use question::{
    Accepted, Concern, Decision, DecisionReason, ImageFacts, Mode, ObjectConcern, ObjectQuestion, OnUnreachable,
    Operation, Outcome, Question, RequestContext, Unavailable, User, Via,
};
pub use read::import_policies;
pub use requirement::{
    GithubField, KeylessRule, LogRule, Refusal, Requirement, SignerRule, SubjectKind, Verdict, Wanted,
};
pub use set::{NoMatch, Note, PolicySet, PolicySummary};
pub use statement_policy::{StatementFacts, StatementPolicies, StatementPolicyError, StatementRefusal};
pub use text::{TextError, TextMatch};
pub use write::{ConvertError, write_yaml};
