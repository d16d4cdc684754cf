//! `policy test`: what would the webhook answer to this review? Offline: policies, a recorded AdmissionReview, and layout
//! folders in place of the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use proofmark_admission::{Kinds, Request};
use proofmark_policy::{Decision, NoMatch, Operation, Outcome, PolicySet, Question, RequestContext, Unavailable, User};
use proofmark_registry::ImageSource;
use proofmark_types::{Digest, ImageRef, UnixTime};
use proofmark_verify::{Proofs, Verifier};
use serde_json::{Value, json};

use super::load;
use crate::context::{Context, read_file, unreadable};
use crate::failure::{Exit, Failure, chain};

/// Decide a recorded AdmissionReview without a cluster and without a registry
///
/// Every image that the review adds is decided as the webhook would decide it, over what lies in the layout folders. An
/// image that no layout holds cannot be reached, which denies unless a policy says otherwise.
#[derive(Args, Debug)]
pub(crate) struct Test {
    /// Policy files, or folders of them (.yaml, .yml, .json)
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,

    /// The AdmissionReview, as the API server sends it
    #[arg(long, value_name = "FILE")]
    review: PathBuf,

    /// Where images are: an OCI layout folder for each, or one for all
    #[arg(long = "layout", value_name = "[IMAGE=]FOLDER")]
    layouts: Vec<String>,

    /// The trusted root that certificates and log entries are checked against
    #[arg(long, value_name = "FILE")]
    trusted_root: Option<PathBuf>,

    /// Let images run that no policy is about
    #[arg(long)]
    allow_unmatched: bool,

    /// A label of the namespace; without any, policies that select by them apply
    #[arg(long = "namespace-label", value_name = "KEY=VALUE")]
    namespace_labels: Vec<String>,

    /// The time of the decision (default: now)
    #[arg(long, value_name = "RFC3339")]
    at: Option<String>,
}

/// What was decided about one image.
struct Judged {
    image: String,
    digest: Option<Digest>,
    decision: Decision,
}

impl Test {
    /// 1. The images that the review adds, as the webhook finds them.
    /// 2. For each, what the policies need to know, of the layouts and nothing else.
    /// 3. The object is stored only if every image passes.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let set = load(&self.paths)?.with_no_match(if self.allow_unmatched {
            NoMatch::Allow
        } else {
            NoMatch::Deny
        });
        let request = Request::parse(&read_file(&self.review)?)
            .map_err(|error| Failure::usage(error.code(), format!("{}: {}", self.review.display(), chain(&error))))?;
        // 1.
        let kinds = Kinds::default().with_places(&set.image_places());
        let added = kinds
            .added(&request)
            .map_err(|error| Failure::new(Exit::Refused, error.code(), error))?;
        let images: BTreeSet<&str> = added.iter().map(|found| found.image).collect();
        let trial = Trial::new(&self, &set)?;
        let labels = self.labels()?;
        let attributes = request.attributes();
        let about = about(&request, &attributes, labels.as_ref());
        let mut judged = Vec::new();
        for image in images {
            judged.push(trial.judge(image, &about).await?);
        }
        // 3.
        let outcome = judged
            .iter()
            .map(|one| one.decision.outcome)
            .max()
            .unwrap_or(Outcome::Pass);
        let (text, value) = answer(&request, &judged, outcome);
        let (exit, code) = match outcome {
            Outcome::Pass => {
                context.output.result(&text, &value);
                return Ok(());
            }
            Outcome::Fail => (Exit::Refused, "policy-denied"),
            Outcome::Undecided => (Exit::Undecided, "policy-undecided"),
        };
        let refused: Vec<&str> = judged
            .iter()
            .filter(|one| !one.decision.is_pass())
            .map(|one| one.image.as_str())
            .collect();
        let message = format!(
            "{} is not admitted because of {}",
            request.subject(),
            refused.join(", ")
        );
        // A failure says nothing on standard output, where a script would take it for an answer.
        let details = text.lines().skip(1).map(|line| line.trim_start().to_owned());
        Err(Failure::new(exit, code, message).with_details(details))
    }

    fn labels(&self) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let one = |text: &String| {
            let (key, value) = text.split_once('=').ok_or_else(|| {
                Failure::usage(
                    "label-malformed",
                    format!("--namespace-label: expected KEY=VALUE, got {text}"),
                )
            })?;
            Ok((key.to_owned(), value.to_owned()))
        };
        let labels = self
            .namespace_labels
            .iter()
            .map(one)
            .collect::<Result<BTreeMap<_, _>, Failure>>()?;
        Ok((!labels.is_empty()).then_some(labels))
    }
}

fn about<'a>(
    request: &'a Request,
    attributes: &'a Value,
    labels: Option<&'a BTreeMap<String, String>>,
) -> RequestContext<'a> {
    RequestContext {
        namespace: request.namespace.as_deref(),
        kind: Some(&request.kind.kind),
        name: Some(request.name.as_str()).filter(|name| !name.is_empty()),
        operation: Some(match request.operation {
            proofmark_admission::Operation::Create => Operation::Create,
            proofmark_admission::Operation::Update => Operation::Update,
            proofmark_admission::Operation::Delete => Operation::Delete,
            proofmark_admission::Operation::Connect => Operation::Connect,
        }),
        object: request.object.as_ref(),
        old_object: request.old_object.as_ref(),
        namespace_labels: labels,
        request: Some(attributes),
        objects: None,
        user: Some(User {
            name: &request.user.username,
            groups: &request.user.groups,
        }),
    }
}

/// Policies, and where the images are.
struct Trial<'a> {
    set: &'a PolicySet,
    verifier: Verifier,
    /// By image; the one without is for all others.
    layouts: Vec<(Option<ImageRef>, PathBuf)>,
    now: UnixTime,
}

impl<'a> Trial<'a> {
    fn new(test: &Test, set: &'a PolicySet) -> Result<Self, Failure> {
        let mut verifier = Verifier::new();
        if let Some(root) = Context::trust_root(test.trusted_root.as_deref())? {
            verifier = verifier.with_trust_root(Arc::clone(&root));
        }
        for key in set.verification_keys() {
            verifier = verifier.with_key(key);
        }
        let mut layouts = Vec::new();
        for text in &test.layouts {
            let (image, folder) = match text.split_once('=') {
                Some((image, folder)) => (Some(crate::context::parse_image(image)?), folder),
                None => (None, text.as_str()),
            };
            std::fs::metadata(folder).map_err(|error| unreadable(Path::new(folder), &error))?;
            layouts.push((image, PathBuf::from(folder)));
        }
        let now = match &test.at {
            None => Context::now(),
            Some(text) => UnixTime::parse(text)
                .map_err(|error| Failure::usage("time-malformed", format!("--at {text}: {error}")))?,
        };
        Ok(Self {
            set,
            verifier,
            layouts,
            now,
        })
    }

    async fn judge(&self, image: &str, about: &RequestContext<'_>) -> Result<Judged, Failure> {
        let reference = ImageRef::parse(image).map_err(|error| {
            let message = format!("{image} is not an image reference: {}", chain(&error));
            Failure::new(Exit::Refused, "invalid-reference", message)
        })?;
        // 2.
        let concern = self.set.concerns(&reference, about);
        let found = if concern.needs_digest || concern.needs_evidence {
            self.look(&reference).await
        } else {
            Err(Unavailable {
                code: "not-looked-up".to_owned(),
                reason: "no policy needs evidence about this image".to_owned(),
            })
        };
        let proofs = found.as_ref();
        // One folder stands for every repository: what lies in it was found wherever the policies look.
        let elsewhere: Vec<_> = concern.sources.iter().map(|_| proofs).collect();
        let decision = self.set.decide(&Question {
            image: &reference,
            digest: proofs.ok().map(Proofs::subject),
            proofs,
            index_proofs: None,
            elsewhere: &elsewhere,
            held: None,
            context: about,
            now: self.now,
        });
        Ok(Judged {
            image: image.to_owned(),
            digest: found.ok().map(|proofs| proofs.subject().clone()),
            decision,
        })
    }

    async fn look(&self, image: &ImageRef) -> Result<Proofs, Unavailable> {
        let unavailable = |code: &str, reason: String| Unavailable {
            code: code.to_owned(),
            reason,
        };
        let named = self.layouts.iter().find(|(name, _)| name.as_ref() == Some(image));
        let any = || self.layouts.iter().find(|(name, _)| name.is_none());
        let Some((_, folder)) = named.or_else(any) else {
            return Err(unavailable(
                "unreachable",
                format!("no --layout holds {image}, and nothing else is asked"),
            ));
        };
        let failed = |error: proofmark_registry::RegistryError| unavailable(error.code(), chain(&error));
        // By the tag, where the folder has several images; without one there must be a single image.
        let tag = image.tag().map(ToString::to_string);
        let source = match ImageSource::open(folder, tag.as_deref()) {
            Err(error) if tag.is_none() || !error.is_not_found() => return Err(failed(error)),
            Err(_) => ImageSource::open(folder, None).map_err(failed)?,
            Ok(source) => source,
        };
        let resolved = source.resolve().await.map_err(failed)?;
        let digest = resolved.descriptor.digest;
        if let Some(wanted) = image.digest().filter(|wanted| **wanted != digest) {
            return Err(unavailable(
                "not-found",
                format!("the layout holds {digest}, and not {wanted}"),
            ));
        }
        let evidence = source.evidence(&digest).await.map_err(failed)?;
        Ok(self.verifier.verify(&evidence, self.now))
    }
}

fn answer(request: &Request, judged: &[Judged], outcome: Outcome) -> (String, Value) {
    let mut text = format!("{outcome} {}\n", request.subject());
    for Judged {
        image,
        digest,
        decision,
    } in judged
    {
        let digest = digest.as_ref().map(|digest| format!(" ({digest})")).unwrap_or_default();
        let _ = writeln!(text, "  {} {image}{digest}", decision.outcome);
        for accepted in &decision.accepted {
            let Ok(line) = serde_json::to_value(accepted.via) else {
                continue;
            };
            let _ = writeln!(
                text,
                "    {}/{}: {} by {} ({}, {})",
                accepted.policy,
                accepted.rule,
                accepted.demand,
                accepted.signer,
                accepted.origin,
                line.as_str().unwrap_or_default()
            );
        }
        for reason in &decision.reasons {
            let _ = writeln!(text, "    {reason}");
        }
        for warning in &decision.warnings {
            let _ = writeln!(text, "    warning: {warning}");
        }
    }
    let images: Vec<Value> = judged
        .iter()
        .map(|one| json!({ "image": one.image, "digest": one.digest.as_ref().map(ToString::to_string), "decision": one.decision }))
        .collect();
    let whole = json!({ "outcome": outcome, "object": request.subject(), "images": images });
    (text, whole)
}
