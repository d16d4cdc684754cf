//! The real programs that tests run against: found by an environment variable or on `PATH`, never fetched.

mod docker_registry;
mod kube_api_server;
#[cfg(unix)]
mod postgresql;

use std::env;
use std::path::{Path, PathBuf};

pub use docker_registry::DockerRegistry;
pub use kube_api_server::KubeApiServer;
#[cfg(unix)]
pub use postgresql::PostgreSql;

/// A program of someone else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    name: &'static str,
    variable: &'static str,
    program: &'static str,
    optional: bool,
}

/// cosign 3: writes bundles as referrers.
pub const COSIGN3: Peer = Peer::new("cosign 3", "PROOFMARK_COSIGN3", "cosign-3");
/// cosign 2: writes `.sig` and `.att` tags.
pub const COSIGN2: Peer = Peer::new("cosign 2", "PROOFMARK_COSIGN2", "cosign-2");
/// skopeo, the client of the containers/image library.
pub const SKOPEO: Peer = Peer::new("skopeo", "PROOFMARK_SKOPEO", "skopeo");
/// crane, the client of go-containerregistry.
pub const CRANE: Peer = Peer::new("crane", "PROOFMARK_CRANE", "crane");
/// oras, the client of the ORAS project.
pub const ORAS: Peer = Peer::new("oras", "PROOFMARK_ORAS", "oras");
/// docker-registry 2.8, which has no referrers API.
pub const DOCKER_REGISTRY: Peer = Peer::new("docker-registry", "PROOFMARK_DOCKER_REGISTRY", "docker-registry");
/// The conformance test of the OCI distribution specification, built with Go from its repository. Optional: it has no
/// released version to fetch, so its absence is no failure in CI either.
pub const OCI_CONFORMANCE: Peer = Peer::new(
    "the OCI conformance test",
    "PROOFMARK_OCI_CONFORMANCE",
    "oci-conformance",
)
.optional();
/// The transit engine of HashiCorp Vault, built from `interop/vault-transit`. Optional: its build takes minutes, and is
/// not part of what CI does by itself.
pub const VAULT_TRANSIT: Peer =
    Peer::new("Vault's transit engine", "PROOFMARK_VAULT_TRANSIT", "vault-transit").optional();
/// OpenSSL's command line.
pub const OPENSSL: Peer = Peer::new("openssl", "PROOFMARK_OPENSSL", "openssl");
/// SoftHSM's PKCS #11 module, a library.
pub const SOFTHSM: Peer = Peer::new("SoftHSM", "PROOFMARK_SOFTHSM", "libsofthsm2.so");
/// SoftHSM's tool that makes tokens.
pub const SOFTHSM_UTIL: Peer = Peer::new("softhsm2-util", "PROOFMARK_SOFTHSM_UTIL", "softhsm2-util");
/// A Python that has sigstore-python.
pub const SIGSTORE_PYTHON: Peer = Peer::new("sigstore-python", "PROOFMARK_SIGSTORE_PYTHON", "sigstore-python");
/// Node.js, new enough for sigstore-js.
pub const NODE: Peer = Peer::new("Node.js 24", "PROOFMARK_NODE", "node-24");
/// sigstore-js as a script for [`NODE`], see `interop/sigstore-js/client.mjs`.
pub const SIGSTORE_JS: Peer = Peer::new("sigstore-js", "PROOFMARK_SIGSTORE_JS", "sigstore-js.mjs");
/// sigstore-go's example program that verifies a bundle.
pub const SIGSTORE_GO_VERIFY: Peer = Peer::new(
    "sigstore-go (verify)",
    "PROOFMARK_SIGSTORE_GO_VERIFY",
    "sigstore-go-verification",
);
/// sigstore-go's example program that signs.
pub const SIGSTORE_GO_SIGN: Peer = Peer::new(
    "sigstore-go (sign)",
    "PROOFMARK_SIGSTORE_GO_SIGN",
    "sigstore-go-signing",
);
/// A Python that has the validators of SPDX and CycloneDX.
pub const VALIDATORS_PYTHON: Peer = Peer::new(
    "SBOM validators",
    "PROOFMARK_VALIDATORS_PYTHON",
    "sbom-validators-python",
);
/// PostgreSQL's server, with `initdb` and `psql` beside it.
pub const POSTGRESQL: Peer = Peer::new("PostgreSQL", "PROOFMARK_POSTGRESQL", "postgres");
/// Debian's package manager.
pub const DPKG: Peer = Peer::new("dpkg", "PROOFMARK_DPKG", "dpkg");
/// Red Hat's package manager.
pub const RPM: Peer = Peer::new("rpm", "PROOFMARK_RPM", "rpm");
/// Ruby with its RubyGems.
pub const RUBY: Peer = Peer::new("ruby", "PROOFMARK_RUBY", "ruby");
/// PHP's command line.
pub const PHP: Peer = Peer::new("php", "PROOFMARK_PHP", "php");
/// Java, to run [`MAVEN_ARTIFACT`].
pub const JAVA: Peer = Peer::new("java", "PROOFMARK_JAVA", "java");
/// The library of Maven that has its `ComparableVersion`.
pub const MAVEN_ARTIFACT: Peer = Peer::new("maven-artifact", "PROOFMARK_MAVEN_ARTIFACT", "maven3-artifact.jar");
/// Go's `golang.org/x/mod/semver` as a program, see `interop/go-semver`.
pub const GO_SEMVER: Peer = Peer::new("go-semver", "PROOFMARK_GO_SEMVER", "go-semver");
/// etcd, for [`KUBE_APISERVER`].
pub const ETCD: Peer = Peer::new("etcd", "PROOFMARK_ETCD", "etcd");
/// Kubernetes' API server, see `interop/kube-apiserver`.
pub const KUBE_APISERVER: Peer = Peer::new("kube-apiserver", "PROOFMARK_KUBE_APISERVER", "kube-apiserver");
/// Helm's template engine, see `interop/helm-template`.
pub const HELM_TEMPLATE: Peer = Peer::new("Helm's engine", "PROOFMARK_HELM_TEMPLATE", "helm-template");

impl Peer {
    /// A program known by `name` in messages, found by `variable` or as `program` on `PATH`.
    #[must_use]
    pub const fn new(name: &'static str, variable: &'static str, program: &'static str) -> Self {
        Self {
            name,
            variable,
            program,
            optional: false,
        }
    }

    const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Where it is, if it is here. A variable that names no file counts as missing, not as a reason to look further.
    #[must_use]
    pub fn find(self) -> Option<PathBuf> {
        let path = env::var_os("PATH");
        find(
            env::var_os(self.variable).as_deref().map(Path::new),
            path.as_deref(),
            self.program,
        )
    }

    /// Where it is; without it, says `SKIPPED` and answers nothing, for the test to return. Under `CI=true`, where every
    /// peer must be present, it fails the test instead.
    ///
    /// # Panics
    ///
    /// Under `CI=true` if the program is missing.
    #[must_use]
    #[expect(
        clippy::print_stderr,
        reason = "the test harness shows it to the person who runs the tests"
    )]
    pub fn or_skip(self) -> Option<PathBuf> {
        let found = self.find();
        if found.is_none() {
            let missing = format!(
                "{} not found (set {} or put {} on PATH)",
                self.name, self.variable, self.program
            );
            assert!(self.optional || env::var("CI").as_deref() != Ok("true"), "{missing}");
            eprintln!("SKIPPED: {missing}");
        }
        found
    }
}

fn find(named: Option<&Path>, path: Option<&std::ffi::OsStr>, program: &str) -> Option<PathBuf> {
    if let Some(named) = named.filter(|named| !named.as_os_str().is_empty()) {
        return named.is_file().then(|| named.to_owned());
    }
    env::split_paths(path?)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let on_path = folder.path().join("program");
        let named = folder.path().join("other");
        std::fs::write(&on_path, "").unwrap();
        std::fs::write(&named, "").unwrap();
        let path = Some(folder.path().as_os_str());
        assert_eq!(find(Some(&named), path, "program"), Some(named));
        assert_eq!(find(None, path, "program"), Some(on_path.clone()));
        assert_eq!(find(Some(Path::new("")), path, "program"), Some(on_path));
        assert_eq!(find(Some(Path::new("/nowhere/x")), path, "program"), None);
        assert_eq!(find(None, path, "absent"), None);
        assert_eq!(find(None, None, "program"), None);
    }
}
