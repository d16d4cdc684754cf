//! Policies over whole objects: which concern a request, and what they decide together.

use std::sync::Arc;

use proofmark_types::ImageRef;

use super::evaluate::{Finding, Ground, Place, record_problem};
use super::{PolicySet, quorum};
use crate::model::{Format, Policy, Quorum, Rule, Slot};
use crate::question::{
    Accepted, Decision, ImageFacts, Mode, ObjectConcern, ObjectQuestion, PlannedPolicy, Question, RequestContext, Via,
};
use crate::requirement::Requirement;
use crate::scope::Known;
use crate::validating::{
    self, Call, Controller, Excepted, Exception, Fault, ObjectException, ObjectPolicy, Run, Verified,
};

impl PolicySet {
    /// What must be known before [`PolicySet::decide_object`] can be asked.
    #[must_use]
    pub fn object_concern(&self, context: &RequestContext<'_>) -> ObjectConcern {
        self.plan(context, None)
    }

    fn plan(&self, context: &RequestContext<'_>, image: Option<&ImageRef>) -> ObjectConcern {
        let mut concern = ObjectConcern::default();
        for (position, policy) in self.objects.iter().enumerate() {
            let Some(images) = policy.wants(context, image) else {
                continue;
            };
            concern.policies.push(policy.name.clone());
            concern.needs_data |= policy.wants_data();
            let images = images.ok();
            concern
                .images
                .extend(images.iter().flat_map(|images| images.values().cloned()));
            concern.planned.push(PlannedPolicy {
                position,
                images: images.map(|images| images.into_keys().collect()),
            });
        }
        concern.images.sort_unstable();
        concern.images.dedup();
        concern
    }

    /// Whether the policies over objects let this object be stored; those over single images are not asked
    /// ([`PolicySet::decide_image`]).
    ///
    /// 1. Every policy that concerns the request is evaluated, each with its exceptions, which are reported.
    /// 2. `required`: each image that a policy is about must have been vouched for by some policy of the request. The
    ///    object itself is not asked whether it was (kyverno#16336).
    /// 3. What is not met denies, warns or is recorded, as the policy's actions say. What could not be found out is
    ///    undecided, which denies.
    pub fn decide_object(&self, question: &ObjectQuestion<'_>) -> Decision {
        let concerned: Vec<&Arc<ObjectPolicy>> = self.objects.iter().collect();
        self.decide_policies(&concerned, question)
    }

    /// The policies over objects that are about this image: it is among those that they find in the object. An image that
    /// only others find is none of theirs, and needs a policy of its own.
    pub(super) fn objects_about(&self, image: &ImageRef, context: &RequestContext<'_>) -> Vec<&Arc<ObjectPolicy>> {
        let name = image.to_string();
        let about = |plan: &ObjectConcern| {
            let planned = plan.planned.iter().filter(|planned| {
                let images = planned.images.as_ref();
                images.is_none_or(|images| images.contains(&name))
            });
            planned
                .filter_map(|planned| self.objects.get(planned.position))
                .collect()
        };
        match context.objects {
            Some(plan) => about(plan),
            None => about(&self.plan(context, Some(image))),
        }
    }

    pub(super) fn decide_policies(&self, policies: &[&Arc<ObjectPolicy>], question: &ObjectQuestion<'_>) -> Decision {
        let mut decision = Decision::open();
        // 1.
        let mut runs: Vec<(&ObjectPolicy, Run)> = Vec::new();
        for policy in policies {
            let exceptions = self.exceptions_from(policy, question);
            if let Some(run) = validating::evaluate(policy, &exceptions, question) {
                runs.push((policy, run));
            }
        }
        let verified: Verified = runs
            .iter()
            .flat_map(|(_, run)| &run.calls)
            .filter(|call| call.count > 0)
            .map(|call| call.image.clone())
            .collect();
        for (policy, run) in &runs {
            decision.policies.push(policy.name.clone());
            for (exception, what) in &run.exceptions {
                report_exception(&mut decision, exception, &policy.name, what);
            }
            if let Some((part, fault)) = &run.problem {
                let fault = explained(policy, run, fault, question);
                add(&mut decision, policy, part, fault);
                continue;
            }
            // 2.
            let missing: Vec<&String> = run.images.keys().filter(|image| !verified.contains(*image)).collect();
            for image in missing.into_iter().filter(|_| policy.required) {
                add(&mut decision, policy, validating::REQUIRED, unverified(image, &runs));
            }
            for call in &run.calls {
                decision.accepted.extend(accepted(policy, call, question));
            }
            for (name, text) in &run.audit {
                decision
                    .audit
                    .insert(format!("{}.{name}", policy.name.replace('/', ".")), text.clone());
            }
        }
        decision
    }

    fn exceptions_from(
        &self,
        policy: &ObjectPolicy,
        question: &ObjectQuestion<'_>,
    ) -> Vec<(&Exception, &ObjectException)> {
        let of = |exception: &'_ &Exception| exception.is_in_force(question.now);
        let named = |exception: &'_ &Exception| exception.details().is_some_and(|detail| detail.is_from(policy));
        let in_force = self.exceptions.iter().filter(of).filter(named);
        in_force
            .filter_map(|exception| Some((exception, exception.details()?)))
            .collect()
    }

    /// The exception from a rule of `ClusterPolicy` that applies to the object, if there is one. What is not known of the
    /// object makes none apply.
    pub(super) fn exception_from(&self, policy: &Policy, rule: &Rule, question: &Question<'_>) -> Option<&Exception> {
        if !matches!(policy.format, Format::Kyverno | Format::KyvernoNamespaced) {
            return None;
        }
        let controller = question
            .context
            .kind
            .filter(|kind| Controller::ALL.iter().any(|known| known.kind == *kind));
        let generated = controller.map(|kind| match kind {
            "CronJob" => format!("autogen-cronjob-{}", rule.name),
            _ => format!("autogen-{}", rule.name),
        });
        self.exceptions.iter().find(|exception| {
            let Excepted::Rules { rules, objects } = &exception.to else {
                return false;
            };
            let named = rules.iter().any(|(name, names)| {
                let listed = validating::listed(names, &rule.name)
                    || generated.as_ref().is_some_and(|name| validating::listed(names, name));
                *name == policy.name && listed
            });
            named && exception.is_in_force(question.now) && objects.matches(question.context) == Known::Yes
        })
    }
}

impl Exception {
    fn details(&self) -> Option<&ObjectException> {
        match &self.to {
            Excepted::Objects(detail) => Some(detail),
            Excepted::Rules { .. } => None,
        }
    }
}

impl ObjectException {
    fn is_from(&self, policy: &ObjectPolicy) -> bool {
        self.policies
            .iter()
            .any(|(format, name)| *format == policy.format && *name == policy.name)
    }
}

/// Says that an exception was applied; it is never silent.
pub(super) fn report_exception(decision: &mut Decision, exception: &str, policy: &str, what: &str) {
    let text = format!("exception {exception} from {policy}: {what}");
    if decision.exceptions.contains(&text) {
        return;
    }
    decision.warnings.push(text.clone());
    let entry = decision.audit.entry("exceptions".to_owned()).or_default();
    if !entry.is_empty() {
        entry.push_str("; ");
    }
    entry.push_str(&text);
    decision.exceptions.push(text);
}

fn add(decision: &mut Decision, policy: &ObjectPolicy, part: &str, fault: Fault) {
    let place = Place {
        policy: &policy.name,
        rule: part,
        mode: policy.mode,
    };
    let message = fault.message.clone();
    record_problem(decision, &place, fault.code, fault.message, fault.undecided);
    if policy.mode == Mode::Warn && policy.also_audit {
        let place = Place {
            mode: Mode::Audit,
            ..place
        };
        place.annotate(decision, fault.code, &message);
    }
}

fn unverified(image: &str, runs: &[(&ObjectPolicy, Run)]) -> Fault {
    let mut calls = runs.iter().flat_map(|(_, run)| &run.calls);
    let message = if calls.any(|call| call.image == image) {
        format!("{image}: no signature or attestation by any of the attestors was found")
    } else {
        format!("{image}: no policy asks for a signature or attestation of it, and it is required")
    };
    Fault {
        code: "image-not-verified",
        message,
        undecided: false,
    }
}

/// A refusal, with what was found wrong with the signatures that the policy asked for.
fn explained(policy: &ObjectPolicy, run: &Run, fault: &Fault, question: &ObjectQuestion<'_>) -> Fault {
    let mut fault = fault.clone();
    let mut found: Vec<String> = Vec::new();
    for call in run.calls.iter().filter(|call| call.count < call.attestors.len()) {
        for (code, message) in held(policy, call, question)
            .into_iter()
            .flat_map(Finding::into_problems)
        {
            let text = format!("{message} [{code}]");
            if found.len() < MAX_EXPLAINED && !found.contains(&text) {
                found.push(text);
            }
        }
    }
    if !found.is_empty() {
        fault.message = format!("{} ({})", fault.message, found.join("; "));
    }
    fault
}

/// The most calls explained in one message.
const MAX_EXPLAINED: usize = 4;

fn accepted(policy: &ObjectPolicy, call: &Call, question: &ObjectQuestion<'_>) -> Vec<Accepted> {
    // Those that there are, and not all that were asked for.
    let Some((facts, quorum)) = as_quorum(policy, call, question, call.count) else {
        return Vec::new();
    };
    let accepted = with_ground(facts, question, |ground| quorum::hold(&quorum, ground).into_accepted());
    let own = |accepted: Accepted| Accepted {
        policy: policy.name.clone(),
        rule: "validations".to_owned(),
        ..accepted
    };
    accepted.into_iter().flatten().map(own).collect()
}

fn held(policy: &ObjectPolicy, call: &Call, question: &ObjectQuestion<'_>) -> Option<Finding> {
    let (facts, quorum) = as_quorum(policy, call, question, call.attestors.len())?;
    with_ground(facts, question, |ground| quorum::hold(&quorum, ground))
}

fn as_quorum<'a>(
    policy: &ObjectPolicy,
    call: &Call,
    question: &ObjectQuestion<'a>,
    count: usize,
) -> Option<(&'a ImageFacts<'a>, Quorum)> {
    let facts = question
        .images
        .iter()
        .find(|facts| facts.image.to_string() == call.image)?;
    let requirement = |position: &usize| -> Option<Requirement> {
        let attestor = policy.attestors.get(*position)?;
        Some(match call.attestation {
            None => attestor.requirement.clone(),
            Some(wanted) => validating::of_attestation(policy, attestor, wanted),
        })
    };
    let slots = call.attestors.iter().filter_map(requirement);
    let kind = match call.attestation.and_then(|wanted| policy.attestations.get(wanted)) {
        Some((name, _)) => format!("attestation {name}"),
        None => "signature".to_owned(),
    };
    let quorum = Quorum {
        name: format!("{kind} of {}", call.image),
        count,
        slots: slots.map(|requirement| Slot { requirement }).collect(),
        conditions: Vec::new(),
        every: false,
    };
    (count > 0).then_some((facts, quorum))
}

fn with_ground<T>(
    facts: &ImageFacts<'_>,
    question: &ObjectQuestion<'_>,
    run: impl FnOnce(&Ground<'_>) -> T,
) -> Option<T> {
    let proofs = facts.proofs.ok()?;
    let about = Question {
        image: facts.image,
        digest: facts.digest,
        proofs: facts.proofs,
        index_proofs: None,
        elsewhere: &[],
        held: None,
        context: question.context,
        now: question.now,
    };
    let ground = Ground {
        question: &about,
        sources: vec![(Via::Image, proofs)],
        unread: Vec::new(),
    };
    Some(run(&ground))
}

impl Decision {
    /// Adds what other policies decided about the same: everything must hold.
    pub(super) fn join(&mut self, other: Self) {
        self.outcome = self.outcome.max(other.outcome);
        self.reasons.extend(other.reasons);
        self.warnings.extend(other.warnings);
        for (name, text) in other.audit {
            self.audit
                .entry(name)
                .and_modify(|known| known.push_str(&format!("; {text}")))
                .or_insert(text);
        }
        self.accepted.extend(other.accepted);
        self.policies.extend(other.policies);
        self.exceptions.extend(other.exceptions);
    }
}
