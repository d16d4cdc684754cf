//! .NET packages: the `deps.json` that a build puts beside what it built.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Cataloger, Draft, Fact, Need, Unreadable};
use crate::bill::{FileHash, FileHashAlgorithm, PackageKind, Uncertainty};

/// Reads `deps.json`.
pub(super) struct DotNet;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deps {
    runtime_target: Option<Target>,
    #[serde(default)]
    targets: BTreeMap<String, BTreeMap<String, Wired>>,
    libraries: BTreeMap<String, Library>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Wired {
    #[serde(default)]
    dependencies: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Library {
    r#type: String,
    sha512: Option<String>,
}

impl Cataloger for DotNet {
    fn wants(&self, path: &str) -> bool {
        path.ends_with(".deps.json")
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let deps: Deps = serde_json::from_slice(bytes)
            .map_err(|error| Unreadable::new("dotnet-deps-malformed", error.to_string()))?;
        let places: BTreeMap<&str, usize> = deps
            .libraries
            .keys()
            .enumerate()
            .map(|(at, key)| (key.as_str(), at))
            .collect();
        let target = deps
            .runtime_target
            .as_ref()
            .and_then(|target| deps.targets.get(&target.name));
        let drafts = deps.libraries.iter().map(|(key, library)| {
            let wired = target.and_then(|target| target.get(key));
            let needs = wired.into_iter().flat_map(|wired| &wired.dependencies);
            let needs = needs.filter_map(|(name, version)| places.get(format!("{name}/{version}").as_str()));
            Draft {
                needs: needs.map(|at| Need::Sibling(*at)).collect(),
                ..draft(key, library)
            }
        });
        Ok(drafts.map(|draft| Fact::Package(Box::new(draft))).collect())
    }
}

fn draft(key: &str, library: &Library) -> Draft {
    let (name, version) = match key.rsplit_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (key, None),
    };
    // Part of .NET itself, which is published under the name behind the prefix.
    let name = name.strip_prefix("runtimepack.").unwrap_or(name);
    let mut draft = Draft::new(PackageKind::Nuget, name, version);
    if matches!(library.r#type.as_str(), "project" | "reference") {
        draft.uncertain = Some(Uncertainty::NotFromRegistry);
    }
    draft.hashes.extend(
        library
            .sha512
            .as_deref()
            .and_then(|text| hex_of_base64(text.strip_prefix("sha512-")?))
            .and_then(|hex| FileHash::parse(FileHashAlgorithm::Sha512, &hex)),
    );
    draft
}

/// RFC 4648 base64 as hexadecimal digits.
fn hex_of_base64(text: &str) -> Option<String> {
    let mut hex = String::with_capacity(128);
    let (mut held, mut bits) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = ((held << 6) | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            hex.push_str(&format!("{:02x}", (held >> bits) & 0xff));
        }
    }
    Some(hex)
}
