//! `/gatekeeper`: OPA Gatekeeper's external data (`externaldata.gatekeeper.sh`, "External Data" of its documentation).
//!
//! A key is `NAMESPACE IMAGE`, and is answered with what a Pod of that image in that namespace would be answered: the same
//! function decides. Gatekeeper keeps answers for minutes (`--external-data-provider-response-cache-ttl`), by the key alone,
//! so that nothing else may be in the question; and it asks with a certificate of its own authority, without which this path
//! answers nobody.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Shared;
use crate::admit::Admission;
use crate::evidence::Deadline;
use crate::review::{Answer, PatchOperation, Request};
use crate::text::{one_line, shortened};

/// Keys of one question: a Pod has tens of images.
const MAX_KEYS: usize = 512;

/// A namespace and an image reference.
const MAX_KEY_BYTES: usize = 1024;

/// Keys that are decided side by side.
const AT_ONCE: usize = 16;

/// The interfaces that are spoken; they differ in nothing that is used here.
const VERSIONS: [&str; 2] = [
    "externaldata.gatekeeper.sh/v1beta1",
    "externaldata.gatekeeper.sh/v1alpha1",
];

/// What Gatekeeper sends.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProviderRequest {
    api_version: String,
    kind: String,
    request: Keys,
}

#[derive(Debug, Deserialize)]
struct Keys {
    #[serde(default)]
    keys: Vec<String>,
}

/// What it is answered for one key: an error, or the image with its digest.
#[derive(Debug, Serialize)]
struct Item {
    key: String,
    value: String,
    error: String,
}

/// The answer, whatever the question, and whether all images of it may run.
pub(super) async fn answer(shared: Arc<Shared>, asked: ProviderRequest, deadline: Deadline) -> (Vec<u8>, bool) {
    let version = VERSIONS.into_iter().find(|known| *known == asked.api_version);
    let keys = asked.request.keys;
    let system_error = match version {
        None => format!(
            "proofmark: expected {}, got {}",
            VERSIONS.join(" or "),
            shortened(&one_line(&asked.api_version), 100)
        ),
        Some(_) if asked.kind != "ProviderRequest" => "proofmark: expected a ProviderRequest".to_owned(),
        Some(_) if keys.len() > MAX_KEYS => format!("proofmark: expected at most {MAX_KEYS} keys, got {}", keys.len()),
        Some(_) => String::new(),
    };
    let items: Vec<Item> = if system_error.is_empty() {
        let asked = stream::iter(keys).map(|key| item(shared.clone(), key, deadline));
        asked.buffered(AT_ONCE).collect().await
    } else {
        Vec::new()
    };
    let all = system_error.is_empty() && items.iter().all(|item| item.error.is_empty());
    let answer = json!({
        "apiVersion": version.unwrap_or(VERSIONS[0]),
        "kind": "ProviderResponse",
        // The same key has the same answer while nothing changes; `idempotent` is demanded of providers for mutations.
        "response": { "idempotent": true, "items": items, "systemError": system_error },
    });
    (answer.to_string().into_bytes(), all)
}

async fn item(shared: Arc<Shared>, key: String, deadline: Deadline) -> Item {
    let asked = match parts(&key) {
        Some((namespace, image)) => review(namespace, image).map(|request| (request, image.to_owned())),
        None => None,
    };
    let Some((request, image)) = asked else {
        return Item {
            key: shortened(&one_line(&key), MAX_KEY_BYTES),
            value: String::new(),
            error: "proofmark: expected a key of the form NAMESPACE IMAGE [key-malformed]".to_owned(),
        };
    };
    // A task of its own, so that a panic is the error of this key alone.
    let deciding = shared.clone();
    let decided = tokio::spawn(async move { decide(&deciding.admission, request, image, deadline).await });
    let (value, error) = match decided.await {
        Ok(Ok(value)) => (value, String::new()),
        Ok(Err(message)) => (String::new(), message),
        Err(_) => {
            shared.admission.metrics.panic();
            (
                String::new(),
                "proofmark: the webhook failed on this image, so nothing is known about it [internal-error]".to_owned(),
            )
        }
    };
    Item { key, value, error }
}

fn parts(key: &str) -> Option<(&str, &str)> {
    let (namespace, image) = key.split_once(' ')?;
    let is_name = namespace.len() <= 63
        && !namespace.is_empty()
        && namespace
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (is_name && key.len() <= MAX_KEY_BYTES && !image.is_empty()).then_some((namespace, image))
}

/// The question that the API server would ask about a Pod of this image. A dry run: nobody asks to have it stored, so that
/// nothing is queued or noted.
fn review(namespace: &str, image: &str) -> Option<Request> {
    let review = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "gatekeeper",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": { "username": "gatekeeper" },
            "dryRun": true,
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": { "generateName": "gatekeeper-", "namespace": namespace },
                "spec": { "containers": [{ "name": "image", "image": image }] },
            },
        },
    });
    Request::parse(review.to_string().as_bytes()).ok()
}

/// The image as it would run, or why it may not.
async fn decide(
    admission: &Admission,
    mut request: Request,
    mut image: String,
    deadline: Deadline,
) -> Result<String, String> {
    let pinned = admission.mutate(&request, deadline).await;
    for operation in &allowed(pinned)?.patch {
        let PatchOperation::Replace { path, value } = operation;
        let place = request.object.as_mut().and_then(|object| object.pointer_mut(path));
        let place = place.ok_or("proofmark: the image could not be pinned [internal-error]")?;
        *place = value.as_str().into();
        image.clone_from(value);
    }
    allowed(admission.validate(&request, deadline).await)?;
    Ok(image)
}

fn allowed(answer: Answer) -> Result<Answer, String> {
    if answer.allowed {
        Ok(answer)
    } else {
        Err(answer.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_a_namespace_and_an_image() {
        assert_eq!(parts("team-a r.io/app:1"), Some(("team-a", "r.io/app:1")));
        // The reference itself is read where everything is decided.
        assert_eq!(parts("team-a  r.io/app:1"), Some(("team-a", " r.io/app:1")));
        let long = format!("team-a {}", "x".repeat(MAX_KEY_BYTES));
        for key in [
            "r.io/app:1",
            "",
            " r.io/app:1",
            "team-a ",
            "Team-A r.io/app:1",
            "a/b r.io/app:1",
            &long,
        ] {
            assert_eq!(parts(key), None, "{key}");
        }
        assert!(review("team-a", "r.io/\"app\n").is_some());
    }
}
