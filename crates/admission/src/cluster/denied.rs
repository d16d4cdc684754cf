//! Events about what was refused: for those who look at a namespace after the fact, and were not there when `kubectl`
//! or a controller was told.
//!
//! Posted beside the answer, which waits for none of it. Dry runs post nothing. An attempt that is repeated says the same
//! and is the same Event.

use std::sync::Arc;

use proofmark_types::UnixTime;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::Cluster;
use super::status::{Event, post};
use crate::metrics::Metrics;
use crate::review::{Answer, Request};

/// Events under way at once; a controller that tries and tries is no reason to flood the API server. What is beyond is
/// counted as not written.
const AT_ONCE: usize = 8;

/// Posts Events about refusals.
pub(crate) struct Denied {
    cluster: Cluster,
    slots: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl Denied {
    pub(crate) fn new(cluster: Cluster, metrics: Arc<Metrics>) -> Self {
        Self {
            cluster,
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            metrics,
        }
    }

    /// Says that the request was refused, if it was.
    pub(crate) fn say(&self, request: &Request, answer: &Answer, now: UnixTime) {
        if answer.allowed || request.dry_run {
            return;
        }
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return self.metrics.cluster_write_failed();
        };
        let event = event(request, answer, now);
        let (cluster, metrics) = (self.cluster.clone(), self.metrics.clone());
        tokio::spawn(async move {
            if let Err(error) = post(&cluster, &event).await {
                metrics.cluster_write_failed();
                tracing::debug!(%error, "cannot post an Event about a refusal");
            }
            drop(slot);
        });
    }
}

/// About the controller that wanted the object, because the object will never be there to look at; about the object where
/// a person wanted it, or where it is there already.
fn event(request: &Request, answer: &Answer, now: UnixTime) -> Value {
    let object = request.object.as_ref().unwrap_or(&Value::Null);
    let owners = object["metadata"]["ownerReferences"].as_array();
    let controller = owners.into_iter().flatten().find(|owner| owner["controller"] == true);
    let own_version = match request.kind.group.as_str() {
        "" => request.kind.version.clone(),
        group => format!("{group}/{}", request.kind.version),
    };
    let text = |value: &'_ Value, name: &str| value[name].as_str().map(str::to_owned);
    let (api_version, kind, name, uid) = match controller {
        Some(owner) => (
            text(owner, "apiVersion").unwrap_or_default(),
            text(owner, "kind").unwrap_or_default(),
            text(owner, "name").unwrap_or_default(),
            text(owner, "uid"),
        ),
        None => {
            let name = match request.name.as_str() {
                "" => text(&object["metadata"], "generateName").unwrap_or_default(),
                name => name.to_owned(),
            };
            (
                own_version,
                request.kind.kind.clone(),
                name,
                text(&object["metadata"], "uid"),
            )
        }
    };
    Event {
        api_version: &api_version,
        kind: &kind,
        namespace: request.namespace.as_deref(),
        name: &name,
        uid: uid.as_deref(),
        is_warning: true,
        reason: "ImageRefused",
        message: &answer.message,
        distinct: request.operation.as_str(),
    }
    .to_json(now)
}
