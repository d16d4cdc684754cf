//! One collection of objects, followed: listed whole, then watched, listed again when the watch cannot go on.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::{Cluster, ClusterError};

/// Objects of one page of a list.
const PAGE: usize = 250;

/// Objects of one collection; a cluster with a policy a team has some hundred.
const MAX_OBJECTS: usize = 5000;

/// How long one watch is left open; the API server ends it then, and a connection that died unseen is noticed.
const WATCH_SECONDS: u64 = 240;

/// What the API server adds before a watch that says nothing is taken for dead.
const WATCH_GRACE: Duration = Duration::from_secs(30);

/// Objects by `namespace/name`, or `name` where they have no namespace.
pub(crate) type Objects = BTreeMap<String, Value>;

/// A list, and from where on to watch.
pub(crate) struct Listed {
    pub(crate) objects: Objects,
    version: String,
}

/// What a watch saw.
pub(crate) enum Seen {
    /// An object that is new or changed.
    Put(String, Value),
    /// One that is gone.
    Gone(String),
}

/// Lists the collection at `path` whole.
pub(crate) async fn list(cluster: &Cluster, path: &str) -> Result<Listed, ClusterError> {
    let mut objects = Objects::new();
    let mut page = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let asked = format!("{path}{separator}limit={PAGE}{page}");
        let answer = cluster.get(&asked).await?;
        let unusable = |reason: &str| ClusterError::Answer {
            what: format!("GET {path}"),
            reason: reason.to_owned(),
        };
        let items = answer["items"]
            .as_array()
            .ok_or_else(|| unusable("a list without items"))?;
        for item in items {
            objects.insert(key(item), item.clone());
        }
        if objects.len() > MAX_OBJECTS {
            return Err(unusable("more objects than are read (5000)"));
        }
        match answer["metadata"]["continue"]
            .as_str()
            .filter(|token| !token.is_empty())
        {
            Some(token) => page = format!("&continue={}", escaped(token)),
            None => {
                let version = answer["metadata"]["resourceVersion"].as_str().unwrap_or_default();
                return Ok(Listed {
                    objects,
                    version: version.to_owned(),
                });
            }
        }
    }
}

/// Watches the collection from `listed` on, and tells what it sees, until the watch ends: then the collection is to be
/// listed again. Ends without an error when the API server ends it.
pub(crate) async fn watch(
    cluster: &Cluster,
    path: &str,
    listed: &mut Listed,
    mut tell: impl FnMut(Seen),
) -> Result<(), ClusterError> {
    loop {
        let asked = format!(
            "{path}?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={}",
            escaped(&listed.version)
        );
        let mut lines = cluster.watch(&asked).await?;
        let before = listed.version.clone();
        let patience = Duration::from_secs(WATCH_SECONDS) + WATCH_GRACE;
        loop {
            let next = tokio::time::timeout(patience, lines.next()).await;
            let event = match next {
                Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Ok(Ok(None)) => break,
                Ok(Ok(Some(event))) => event,
            };
            let object = &event["object"];
            match event["type"].as_str().unwrap_or_default() {
                "ADDED" | "MODIFIED" => tell(Seen::Put(key(object), object.clone())),
                "DELETED" => tell(Seen::Gone(key(object))),
                "BOOKMARK" => {}
                // 410: what happened since is not kept any more. Whatever else it is, a new list is right.
                _ => return Ok(()),
            }
            if let Some(version) = object["metadata"]["resourceVersion"].as_str() {
                listed.version = version.to_owned();
            }
        }
        if listed.version == before {
            // A watch that ended at once would be asked for again at once.
            return Ok(());
        }
    }
}

pub(crate) fn key(object: &Value) -> String {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// For a query: tokens and versions are opaque.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
