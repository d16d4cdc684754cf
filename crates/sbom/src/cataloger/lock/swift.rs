//! Swift's `Package.resolved`, versions 1 to 3.

use serde::Deserialize;

use super::{Draft, Unreadable, locked, malformed};
use crate::bill::PackageKind;

#[derive(Deserialize)]
struct LockFile {
    pins: Option<Vec<Pin>>,
    /// Version 1.
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    pins: Vec<Pin>,
}

#[derive(Deserialize)]
struct Pin {
    #[serde(alias = "repositoryURL")]
    location: String,
    state: State,
}

#[derive(Deserialize)]
struct State {
    version: Option<String>,
    branch: Option<String>,
    revision: Option<String>,
}

pub(super) fn read(text: &str) -> Result<Vec<Draft>, Unreadable> {
    let file: LockFile = serde_json::from_str(text).map_err(malformed)?;
    let pins = match (file.pins, file.object) {
        (Some(pins), _) => pins,
        (None, Some(object)) => object.pins,
        (None, None) => return Err(malformed("it has no pins")),
    };
    Ok(pins.iter().filter_map(package).collect())
}

/// A Swift package is its repository: `https://host/owner/name.git` or `git@host:owner/name`.
fn package(pin: &Pin) -> Option<Draft> {
    let address = pin.location.trim_end_matches('/');
    let address = address.strip_suffix(".git").unwrap_or(address);
    let path = match address.split_once("://") {
        Some((_, path)) => path.to_owned(),
        None => address.strip_prefix("git@")?.replacen(':', "/", 1),
    };
    let path = path.rsplit_once('@').map_or(path.as_str(), |(_, path)| path);
    let (group, name) = path.rsplit_once('/')?;
    let state = &pin.state;
    let version = state
        .version
        .as_ref()
        .or(state.branch.as_ref())
        .or(state.revision.as_ref());
    Some(Draft {
        group: Some(group.to_owned()),
        ..locked(PackageKind::Swift, name, version.map(String::as_str))
    })
}
