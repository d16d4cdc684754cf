//! What the webhook says about policies in the cluster: the status of our own kind, and an Event about whichever does not
//! compile.
//!
//! Every replica says the same about the same objects, and says nothing that is there already; nobody leads. The status
//! is for people and decides nothing.

use proofmark_types::{Digest, UnixTime};
use serde_json::{Value, json};

use super::policies::{PolicyObject, PolicyObjects};
use super::{Cluster, ClusterError};
use crate::admit::Admission;
use crate::basis::Failure;
use crate::text::{one_line, shortened};

/// The longest message of a condition or an Event: the API server takes 1024 characters for an Event's.
const MAX_MESSAGE: usize = 1000;

/// What was said last, so that an Event is not asked for again at every look.
#[derive(Default)]
pub(crate) struct Said {
    event: Option<String>,
    failure: Option<String>,
}

/// What is known about a generation of policies: the objects of before the look at them, and those of after. Of an object
/// that is the same in both, the look has seen that.
pub(crate) struct Seen {
    before: Vec<PolicyObject>,
}

impl Seen {
    pub(crate) fn before(objects: &PolicyObjects) -> Self {
        Self {
            before: objects.objects().unwrap_or_default(),
        }
    }

    fn settled(self, objects: &PolicyObjects) -> Vec<PolicyObject> {
        let mut after = objects.objects().unwrap_or_default();
        after.retain(|policy| {
            let generation = |policy: &PolicyObject| {
                let metadata = &policy.object["metadata"];
                (metadata["uid"].clone(), metadata["generation"].clone())
            };
            self.before
                .iter()
                .any(|known| known.file() == policy.file() && generation(known) == generation(policy))
        });
        after
    }
}

/// Writes what has come out of a look at the policies.
pub(crate) async fn say(admission: &Admission, objects: &PolicyObjects, seen: Seen, said: &mut Said, now: UnixTime) {
    let failure = admission.keeper.failure();
    admission.metrics.cluster_current(objects.troubles().is_empty());
    let mut trouble = None;
    for policy in seen.settled(objects) {
        if policy.kind.own
            && let Some(condition) = condition(&policy, failure.as_ref(), now)
        {
            let status =
                json!({ "status": { "observedGeneration": generation(&policy.object), "conditions": [condition] } });
            let written = objects
                .cluster()
                .merge(&format!("{}/status", policy.path()), &status)
                .await;
            trouble = written.err().or(trouble);
        }
        if let Some(failure) = failure
            .as_ref()
            .filter(|failure| failure.file.as_ref() == Some(&policy.file()))
        {
            let event = event(&policy, failure, now);
            let name = event["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if said.event.as_ref() != Some(&name) {
                match post(objects.cluster(), &event).await {
                    Ok(()) => said.event = Some(name),
                    Err(error) => trouble = Some(error),
                }
            }
        }
    }
    // Once for each new trouble: this is tried again every few seconds.
    let text = trouble.map(|error| error.to_string());
    if let Some(error) = &text
        && said.failure != text
    {
        admission.metrics.cluster_write_failed();
        tracing::warn!(%error, "cannot say in the cluster what is in force");
    }
    said.failure = text;
}

/// The condition to write; none when it stands there already, or when what stands there is still so.
fn condition(policy: &PolicyObject, failure: Option<&Failure>, now: UnixTime) -> Option<Value> {
    let generation = generation(&policy.object);
    let status = &policy.object["status"];
    let stands = status["conditions"]
        .as_array()
        .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == "Ready"));
    let of_this_generation = status["observedGeneration"] == generation;
    let (word, reason, message) = match failure {
        None => ("True", "InForce".to_owned(), "this policy is in force".to_owned()),
        Some(failure) if failure.file.as_ref() == Some(&policy.file()) => (
            "False",
            pascal_case(failure.code),
            format!("not in force; the policies of before are: {}", failure.text),
        ),
        // What was in force before stays in force.
        Some(_) if of_this_generation && stands.is_some_and(|stands| stands["status"] == "True") => return None,
        Some(failure) => (
            "False",
            "WaitingForOthers".to_owned(),
            format!("not in force: policies are taken up all at once, and {}", failure.text),
        ),
    };
    let message = shortened(&one_line(&message), MAX_MESSAGE);
    let is_said =
        |stands: &Value| stands["status"] == word && stands["reason"] == reason && stands["message"] == message;
    if of_this_generation && stands.is_some_and(is_said) {
        return None;
    }
    let changed = stands
        .filter(|stands| stands["status"] == word)
        .and_then(|stands| stands["lastTransitionTime"].as_str().map(str::to_owned))
        .unwrap_or_else(|| now.to_string());
    Some(json!({
        "type": "Ready", "status": word, "reason": reason, "message": message,
        "observedGeneration": generation, "lastTransitionTime": changed,
    }))
}

fn generation(object: &Value) -> Value {
    object["metadata"]["generation"].clone()
}

fn event(policy: &PolicyObject, failure: &Failure, now: UnixTime) -> Value {
    let metadata = &policy.object["metadata"];
    let api_version = format!("{}/{}", policy.kind.group, policy.version);
    Event {
        api_version: &api_version,
        kind: policy.kind.kind,
        namespace: metadata["namespace"].as_str(),
        name: metadata["name"].as_str().unwrap_or_default(),
        uid: metadata["uid"].as_str(),
        is_warning: true,
        reason: "PolicyNotInForce",
        message: &failure.text,
        distinct: &generation(&policy.object).to_string(),
    }
    .to_json(now)
}

/// Something that happened to an object.
pub(crate) struct Event<'a> {
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: &'a str,
    pub(crate) uid: Option<&'a str>,
    pub(crate) is_warning: bool,
    /// A word in PascalCase.
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    /// What tells it from an earlier one with the same message.
    pub(crate) distinct: &'a str,
}

impl Event<'_> {
    /// A `v1` Event whose name follows from what it says: replicas that say the same say it once.
    pub(crate) fn to_json(&self, now: UnixTime) -> Value {
        // Events about objects without a namespace belong to this one.
        let namespace = self.namespace.unwrap_or("default");
        let message = shortened(&one_line(self.message), MAX_MESSAGE);
        let what = [self.kind, namespace, self.name, self.reason, &message, self.distinct].join("\n");
        let hash: String = Digest::sha256_of(what.as_bytes()).hex().chars().take(16).collect();
        let name = shortened(self.name, 200).replace(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.', "-");
        json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": { "name": format!("{}.{hash}", name.trim_matches(['-', '.'])), "namespace": namespace },
            "involvedObject": {
                "apiVersion": self.api_version, "kind": self.kind, "name": self.name,
                "namespace": self.namespace.unwrap_or_default(), "uid": self.uid.unwrap_or_default(),
            },
            "type": if self.is_warning { "Warning" } else { "Normal" },
            "reason": self.reason, "message": message,
            "source": { "component": "proofmark-admission" },
            "reportingComponent": "proofmark.dev/admission",
            "firstTimestamp": now.to_string(), "lastTimestamp": now.to_string(), "count": 1,
        })
    }
}

/// Posts an Event; one that is there already was posted by another replica.
pub(crate) async fn post(cluster: &Cluster, event: &Value) -> Result<(), ClusterError> {
    let namespace = event["metadata"]["namespace"].as_str().unwrap_or_default();
    let path = format!("/api/v1/namespaces/{namespace}/events");
    match cluster.create(&path, event).await {
        Ok(_) => Ok(()),
        Err(error) if error.status() == Some(409) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A reason as Kubernetes writes them: `policy-field-unknown` becomes `PolicyFieldUnknown`.
pub(crate) fn pascal_case(code: &str) -> String {
    let mut text = String::new();
    for word in code.split('-') {
        let mut letters = word.chars();
        text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::policies::POLICY_KINDS;
    use super::*;

    fn policy(status: Value) -> PolicyObject {
        PolicyObject {
            kind: &POLICY_KINDS[0],
            version: "v1alpha1",
            key: "p".into(),
            object: json!({ "metadata": { "name": "p", "generation": 3 }, "status": status }),
        }
    }

    fn failure(file: &str) -> Failure {
        Failure {
            text: "spec.x: unknown".into(),
            code: "policies-do-not-compile",
            file: Some(file.to_owned()),
        }
    }

    fn said(generation: u64, word: &str, reason: &str) -> Value {
        json!({ "observedGeneration": generation, "conditions": [
            { "type": "Ready", "status": word, "reason": reason, "message": "this policy is in force",
              "lastTransitionTime": "2026-01-01T00:00:00Z" },
        ] })
    }

    #[test]
    fn a_condition_is_written_when_it_says_something_new() {
        let now = UnixTime::EPOCH;
        let fresh = condition(&policy(Value::Null), None, now).unwrap();
        assert_eq!(
            (&fresh["status"], &fresh["reason"]),
            (&json!("True"), &json!("InForce"))
        );
        assert_eq!(condition(&policy(said(3, "True", "InForce")), None, now), None);
        let next = condition(&policy(said(2, "True", "InForce")), None, now).unwrap();
        assert_eq!(next["lastTransitionTime"], "2026-01-01T00:00:00Z", "still true");
        let fixed = condition(&policy(said(2, "False", "X")), None, now).unwrap();
        assert_eq!(fixed["lastTransitionTime"], now.to_string());
    }

    #[test]
    fn who_does_not_compile_is_told_apart_from_who_waits() {
        let now = UnixTime::EPOCH;
        let own = failure("imagepolicies.proofmark.dev/p");
        let blamed = condition(&policy(said(2, "True", "InForce")), Some(&own), now).unwrap();
        assert_eq!(blamed["reason"], "PoliciesDoNotCompile");
        assert_eq!(blamed["status"], "False");
        assert!(blamed["message"].as_str().unwrap().contains("spec.x: unknown"));
        let other = failure("imagepolicies.proofmark.dev/q");
        assert_eq!(
            condition(&policy(said(3, "True", "InForce")), Some(&other), now),
            None,
            "still in force"
        );
        let waits = condition(&policy(said(2, "True", "InForce")), Some(&other), now).unwrap();
        assert_eq!(
            (&waits["status"], &waits["reason"]),
            (&json!("False"), &json!("WaitingForOthers"))
        );
    }
}
