//! Java runtimes: the file `release` in their folder.

use super::{Cataloger, Draft, Fact, Unreadable};
use crate::bill::PackageKind;

/// Reads `release`.
pub(super) struct JavaRuntime;

/// The largest file read; many things are called so.
const MAX_BYTES: u64 = 256 * 1024;

impl Cataloger for JavaRuntime {
    fn wants(&self, path: &str) -> bool {
        path.ends_with("/release") && !path.starts_with("proc/")
    }

    fn max_bytes(&self) -> u64 {
        MAX_BYTES
    }

    fn read(&self, _path: &str, bytes: &[u8]) -> Result<Vec<Fact>, Unreadable> {
        let text = String::from_utf8_lossy(bytes);
        let value = |wanted: &str| {
            text.lines()
                .filter_map(|line| line.split_once('='))
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| value.trim().trim_matches('"'))
                .filter(|value| !value.is_empty())
        };
        let Some(version) = value("JAVA_VERSION") else {
            return Ok(Vec::new());
        };
        let name = match value("IMPLEMENTOR") {
            Some("Oracle Corporation") if value("BUILD_TYPE") == Some("commercial") => "oracle-jdk",
            _ if value("GRAALVM_VERSION").is_some() => "graalvm",
            _ => "openjdk",
        };
        // With its build (`17.0.8+7`), by which advisories tell releases apart; JAVA_VERSION has `1.8.0_382` for 8.
        let runtime = value("JAVA_RUNTIME_VERSION").filter(|runtime| runtime.starts_with(version));
        let version = runtime.unwrap_or(version);
        Ok(vec![Fact::Package(Box::new(Draft {
            supplier: value("IMPLEMENTOR").map(str::to_owned),
            ..Draft::new(PackageKind::Generic, name, Some(version))
        }))])
    }
}
