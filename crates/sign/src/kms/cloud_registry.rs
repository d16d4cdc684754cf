//! Credentials of the clouds' registries: Amazon ECR, Google Artifact Registry and Container Registry, Azure Container
//! Registry, got as the identity that this process has in that cloud.
//!
//! Which host gets them is said by whoever runs this, by its exact name. Nothing here looks at an image's name and guesses
//! (an unanchored pattern made cluster controllers send their token to `evil.azurecr.io.attacker.com`,
//! docker-credential-acr-env issue 21). The name tells the cloud where it has the cloud's own form, whole; for other names,
//! of custom domains or private links, the cloud is said as well.

use std::fmt;
use std::time::Duration;

use proofmark_types::{RegistryHost, UnixTime};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::aws::Ecr;
use super::azure::Acr;
use super::google::Registries;
use super::settings::Secret;
use super::{KmsError, Setup, now};
use crate::keys::Surroundings;

/// Credentials are renewed this long before they end: pulling an image takes some time.
const EARLY: Duration = Duration::from_secs(300);

/// Who runs a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cloud {
    /// Amazon Elastic Container Registry.
    Aws,
    /// Google Artifact Registry and Container Registry.
    Google,
    /// Azure Container Registry.
    Azure,
}

/// A registry that the cloud's credentials are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudRegistryName {
    cloud: Cloud,
    host: RegistryHost,
}

impl CloudRegistryName {
    /// Reads `HOST`, where the host has the form of one cloud, or `aws=HOST`, `google=HOST`, `azure=HOST`.
    pub fn parse(text: &str) -> Result<Self, KmsError> {
        let wrong = |reason: String| KmsError::Registry { reason };
        let (said, host) = match text.split_once('=') {
            Some((cloud, host)) => (Some(cloud), host),
            None => (None, text),
        };
        let host = RegistryHost::parse(host).map_err(|error| wrong(error.to_string()))?;
        let cloud = match said {
            Some("aws") => Cloud::Aws,
            Some("google") => Cloud::Google,
            Some("azure") => Cloud::Azure,
            Some(other) => return Err(wrong(format!("expected aws=, google= or azure=, seen {other:?}"))),
            None => cloud_of(host.as_str()).ok_or_else(|| {
                wrong(format!(
                    "{host} has not the form of a registry of Amazon, Google or Azure: say whose it is, as in aws={host}"
                ))
            })?,
        };
        Ok(Self { cloud, host })
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// Whose it is.
    #[must_use]
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }
}

/// By the whole name of the host.
fn cloud_of(host: &str) -> Option<Cloud> {
    if ecr_region(host).is_some() {
        return Some(Cloud::Aws);
    }
    if let Some(location) = host.strip_suffix("-docker.pkg.dev") {
        return is_label(location).then_some(Cloud::Google);
    }
    if host == "gcr.io" || host.strip_suffix(".gcr.io").is_some_and(is_label) {
        return Some(Cloud::Google);
    }
    let azure = [".azurecr.io", ".azurecr.cn", ".azurecr.us"]
        .iter()
        .find_map(|suffix| host.strip_suffix(suffix));
    azure.is_some_and(is_label).then_some(Cloud::Azure)
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `ecr-fips` and other partitions' suffixes; `ACCOUNT.dkr-ecr.REGION.on.aws` (ECR
/// user guide, "Amazon ECR registries" and "Dual-stack endpoints").
fn ecr_region(host: &str) -> Option<&str> {
    let (account, rest) = host.split_once('.')?;
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let older = ["dkr.ecr.", "dkr.ecr-fips."]
        .iter()
        .find_map(|start| rest.strip_prefix(start));
    let newer = ["dkr-ecr.", "dkr-ecr-fips."]
        .iter()
        .find_map(|start| rest.strip_prefix(start));
    let region = match (older, newer) {
        (Some(rest), _) => [
            ".amazonaws.com",
            ".amazonaws.com.cn",
            ".amazonaws.eu",
            ".sc2s.sgov.gov",
            ".c2s.ic.gov",
        ]
        .iter()
        .find_map(|suffix| rest.strip_suffix(suffix)),
        (None, Some(rest)) => [".on.aws", ".on.amazonwebservices.com.cn"]
            .iter()
            .find_map(|suffix| rest.strip_suffix(suffix)),
        (None, None) => None,
    };
    region.filter(|region| is_label(region))
}

/// One label of a host name: no dot, and no port.
fn is_label(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(plain)
}

/// A user name and a password, for a while. Masked when shown.
#[derive(Clone)]
pub struct CloudCredential {
    /// The user name.
    pub username: String,
    /// The password; wiped when dropped.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for CloudCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudCredential")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Where the credential of one registry comes from, and the last one.
#[derive(Debug)]
pub struct CloudRegistry {
    backend: Backend,
    held: Mutex<Option<(CloudCredential, UnixTime)>>,
}

#[derive(Debug)]
enum Backend {
    Aws(Ecr),
    Google(Registries),
    Azure(Acr),
}

impl CloudRegistry {
    /// Finds who this process is in the cloud, by the environment as the cloud's own tools do. Asks nobody yet.
    ///
    /// Errors: a setting that is missing or cannot be used.
    pub fn find(name: &CloudRegistryName, with: &Surroundings<'_>) -> Result<Self, KmsError> {
        let setup = Setup::of(with);
        let host = name.host.as_str();
        let backend = match name.cloud {
            Cloud::Aws => Backend::Aws(Ecr::of(ecr_region(host), &setup)?),
            Cloud::Google => Backend::Google(Registries::of(&setup)?),
            Cloud::Azure => Backend::Azure(Acr::of(host, &setup)?),
        };
        Ok(Self {
            backend,
            held: Mutex::new(None),
        })
    }

    /// A credential that is valid for a while: the last one, or one that the cloud is asked for. One is asked for at a time.
    pub async fn credential(&self) -> Result<CloudCredential, KmsError> {
        let mut held = self.held.lock().await;
        if let Some((credential, ends)) = held.as_ref()
            && *ends > now().plus(EARLY)
        {
            return Ok(credential.clone());
        }
        let (username, password, ends) = match &self.backend {
            Backend::Aws(ecr) => ecr.credential().await?,
            Backend::Azure(acr) => acr.credential().await?,
            Backend::Google(registries) => {
                // Kept there, by its own end.
                let (username, password) = registries.credential().await?;
                (username, password, UnixTime::EPOCH)
            }
        };
        let credential = credential(username, &password);
        *held = Some((credential.clone(), ends));
        Ok(credential)
    }
}

fn credential(username: String, password: &Secret) -> CloudCredential {
    CloudCredential {
        username,
        password: Zeroizing::new(password.expose().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Cloud, &'static str> {
        CloudRegistryName::parse(text)
            .map(|name| name.cloud())
            .map_err(|error| error.code())
    }

    #[test]
    fn whole_names_tell_the_cloud() {
        for (text, cloud) in [
            ("111122223333.dkr.ecr.eu-central-1.amazonaws.com", Cloud::Aws),
            ("111122223333.dkr.ecr-fips.us-east-1.amazonaws.com", Cloud::Aws),
            ("111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn", Cloud::Aws),
            ("111122223333.dkr-ecr.eu-west-1.on.aws", Cloud::Aws),
            ("gcr.io", Cloud::Google),
            ("eu.gcr.io", Cloud::Google),
            ("europe-west3-docker.pkg.dev", Cloud::Google),
            ("acme.azurecr.io", Cloud::Azure),
            ("acme.azurecr.cn", Cloud::Azure),
            ("azure=registry.acme.example", Cloud::Azure),
            ("aws=127.0.0.1:5000", Cloud::Aws),
            ("google=localhost:5000", Cloud::Google),
        ] {
            assert_eq!(parsed(text), Ok(cloud), "{text}");
        }
    }

    #[test]
    fn names_that_only_contain_a_clouds_are_nobodys() {
        for text in [
            "evil.azurecr.io.attacker.com",
            "a.b.azurecr.io",
            "azurecr.io",
            "acme.azurecr.io:8443",
            "acme-azurecr.io",
            "gcr.io.attacker.com",
            "notgcr.io",
            "a.b.gcr.io",
            "docker.pkg.dev",
            "evil.example-docker.pkg.dev",
            "europe-docker.pkg.dev.attacker.com",
            "11112222333.dkr.ecr.eu-central-1.amazonaws.com",
            "111122223333.dkr.ecr.eu-central-1.amazonaws.com.attacker.com",
            "111122223333.dkr.ecr.evil.example.amazonaws.com",
            "111122223333.dkr.ecr.amazonaws.com",
            "x.111122223333.dkr.ecr.eu-central-1.amazonaws.com",
            "registry.example.com",
            "oracle=registry.example.com",
            "aws=",
            "aws=https://example.com",
            "",
        ] {
            assert_eq!(parsed(text), Err("cloud-registry"), "{text}");
        }
    }
}
