//! `conan.lock`, of Conan 1 (a graph) and 2 (lists).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Draft, Unreadable, locked, malformed};
use crate::bill::PackageKind;

#[derive(Deserialize)]
struct LockFile {
    requires: Option<Vec<String>>,
    graph_lock: Option<Graph>,
}

#[derive(Deserialize)]
struct Graph {
    #[serde(default)]
    nodes: BTreeMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    r#ref: Option<String>,
    context: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let file: LockFile = serde_json::from_str(text).map_err(malformed)?;
    if file.requires.is_none() && file.graph_lock.is_none() {
        return Err(malformed("it has neither requires nor graph_lock"));
    }
    let nodes = file.graph_lock.map(|graph| graph.nodes).unwrap_or_default();
    // What the build alone needs is not in the image.
    let nodes = nodes
        .into_values()
        .filter(|node| node.context.as_deref() != Some("build"));
    let references = file.requires.unwrap_or_default();
    Ok(references
        .into_iter()
        .chain(nodes.filter_map(|node| node.r#ref))
        .filter_map(|reference| package(&reference))
        .collect())
}

/// `name/version@user/channel#revision%time`.
fn package(reference: &str) -> Option<Draft> {
    let plain = reference.split(['#', '%']).next()?;
    let plain = plain.split('@').next()?;
    let (name, version) = plain.split_once('/')?;
    (!name.is_empty() && !version.is_empty()).then(|| locked(PackageKind::Conan, name, Some(version)))
}
