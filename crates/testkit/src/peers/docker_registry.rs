//! docker-registry 2.8 on loopback: the registry without a referrers API that many people run.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::DOCKER_REGISTRY;

/// A running docker-registry with its own empty folder; dropping it ends it.
#[derive(Debug)]
pub struct DockerRegistry {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl DockerRegistry {
    /// Starts one, or says `SKIPPED` (see [`super::Peer::or_skip`]).
    ///
    /// # Panics
    ///
    /// If it is there and does not start.
    #[must_use]
    pub fn start_or_skip() -> Option<Self> {
        DOCKER_REGISTRY.or_skip().map(|program| Self::start(&program, true))
    }

    /// One that lets nobody delete, as docker-registry does unless it is told otherwise; or says `SKIPPED`.
    ///
    /// # Panics
    ///
    /// If it is there and does not start.
    #[must_use]
    pub fn start_without_deletion_or_skip() -> Option<Self> {
        DOCKER_REGISTRY.or_skip().map(|program| Self::start(&program, false))
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn start(program: &Path, deletion: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("config.yml");
        // JSON is YAML, and needs no thought about quoting. Its packaged configuration listens on every interface.
        let settings = serde_json::json!({
            "version": 0.1,
            "log": {"level": "info", "formatter": "json"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}, "delete": {"enabled": deletion}},
            "http": {"addr": "127.0.0.1:0"},
        });
        fs::write(&config, settings.to_string()).expect("a writable folder");
        let mut process = Command::new(program)
            .arg("serve")
            .arg(&config)
            .env_remove("REGISTRY_HTTP_ADDR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker-registry starts");
        let log = BufReader::new(process.stderr.take().expect("its log"));
        let mut lines = log.lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| listening(&line))
            .expect("docker-registry says where it listens");
        // Its log is read to the end, or it would stop at a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            address,
            process,
            _folder: folder,
        }
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn listening(line: &str) -> Option<SocketAddr> {
    let rest = line.split_once("listening on ")?.1;
    rest.split(['"', ' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_the_log() {
        let line = r#"{"level":"info","msg":"listening on 127.0.0.1:41879","time":"x"}"#;
        assert_eq!(listening(line), "127.0.0.1:41879".parse().ok());
        assert_eq!(listening("redis not configured"), None);
    }
}
