//! What the replicas share and what the cluster has to know: the authority is in one secret, its certificate in the
//! webhook configurations.
//!
//! Each replica keeps the authority in its folder as ever, and brings folder and secret together before and after it
//! renews. Who writes the secret first decides (`resourceVersion`); the others take what is there. No replica leads, and
//! one that cannot reach the API server serves on with what it has.

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::UnixTime;
use serde_json::{Value, json};
use thiserror::Error;

use super::{Cluster, ClusterError};
use crate::certificates::{Certificates, Stored, TlsConfig, TlsError};
use crate::text::one_line;

/// Writers that meet; each turn, one of them has written.
const ATTEMPTS: usize = 5;

/// Where replicas share their authority, and who is told of it.
#[derive(Clone, Debug)]
pub struct Sharing {
    /// The cluster.
    pub cluster: Cluster,
    /// Namespace and name of the secret that holds the authority; none, and each replica has its own.
    pub secret: Option<(String, String)>,
    /// The name of the webhook configurations that are given the authority's certificate; none, and somebody else does it.
    pub configurations: Option<String>,
}

/// Why the authority is not shared, or not told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The API server.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The folder, or what is in the secret.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The secret changes faster than it can be read.
    #[error("the secret {name} was changed by others {ATTEMPTS} times in a row")]
    Contended {
        /// Its name.
        name: String,
    },
}

impl ShareError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Cluster(error) => error.code(),
            Self::Tls(error) => error.code(),
            Self::Contended { .. } => "tls-secret-contended",
        }
    }
}

/// [`Sharing`] at work.
pub(crate) struct Share {
    sharing: Sharing,
    tls: TlsConfig,
    /// The secret as it was when folder and secret were the same last.
    agreed: Mutex<Option<Stored>>,
}

impl Share {
    pub(crate) fn new(sharing: Sharing, tls: TlsConfig) -> Arc<Self> {
        Arc::new(Self {
            sharing,
            tls,
            agreed: Mutex::default(),
        })
    }

    /// Makes folder and secret the same; whether the folder was changed.
    ///
    /// 1. A secret that is not there is made from the folder.
    /// 2. A secret that has changed since both were the same wins: another replica has written it.
    /// 3. A folder that has changed since is written to the secret, unless somebody was quicker: then 2.
    pub(crate) async fn settle(&self) -> Result<bool, ShareError> {
        let Some((namespace, name)) = &self.sharing.secret else {
            return Ok(false);
        };
        let collection = format!("/api/v1/namespaces/{namespace}/secrets");
        let path = format!("{collection}/{name}");
        for _ in 0..ATTEMPTS {
            let mine = Stored::read(&self.tls)?;
            let written = match self.sharing.cluster.get(&path).await {
                Ok(secret) => {
                    let theirs = from_secret(&secret);
                    if theirs == mine {
                        self.agree(theirs);
                        return Ok(false);
                    }
                    if self.agreed().as_ref() != Some(&theirs) && theirs.authority.is_some() {
                        theirs.write(&self.tls)?;
                        self.agree(theirs);
                        return Ok(true);
                    }
                    let mut changed = to_secret(namespace, name, &mine);
                    changed["metadata"]["resourceVersion"] = secret["metadata"]["resourceVersion"].clone();
                    self.sharing.cluster.replace(&path, &changed).await
                }
                // Nothing to share yet.
                Err(error) if error.is_absent() && mine.authority.is_none() => return Ok(false),
                Err(error) if error.is_absent() => {
                    let secret = to_secret(namespace, name, &mine);
                    self.sharing.cluster.create(&collection, &secret).await
                }
                Err(error) => return Err(error.into()),
            };
            match written {
                Ok(_) => {
                    self.agree(mine);
                    return Ok(false);
                }
                Err(error) if matches!(error.status(), Some(404 | 409)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(ShareError::Contended { name: name.clone() })
    }

    /// Puts the bundle of authorities into the webhook configurations, where it is not there already.
    pub(crate) async fn publish(&self, bundle: &str) -> Result<(), ShareError> {
        let Some(name) = &self.sharing.configurations else {
            return Ok(());
        };
        let encoded = STANDARD.encode(bundle);
        for plural in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let path = format!("/apis/admissionregistration.k8s.io/v1/{plural}/{name}");
            let object = self.sharing.cluster.get(&path).await?;
            let mut webhooks = object["webhooks"].clone();
            let mut changed = false;
            for webhook in webhooks.as_array_mut().into_iter().flatten() {
                let config = &mut webhook["clientConfig"];
                if config["caBundle"] != encoded.as_str() {
                    config["caBundle"] = encoded.clone().into();
                    changed = true;
                }
            }
            if changed {
                let version = object["metadata"]["resourceVersion"].clone();
                let patch = json!({ "metadata": { "resourceVersion": version }, "webhooks": webhooks });
                self.sharing.cluster.merge(&path, &patch).await?;
                tracing::info!(%path, "the webhook configuration has the authorities of now");
            }
        }
        Ok(())
    }

    /// One round: take what others have renewed, renew, give what was renewed, tell the cluster.
    pub(crate) async fn round(&self, certificates: &Certificates, now: UnixTime) {
        let work = async {
            if self.settle().await? {
                certificates.reload(now)?;
            }
            certificates.renew(now)?;
            if self.settle().await? {
                certificates.reload(now)?;
            }
            self.publish(&certificates.ca_bundle_pem()).await
        };
        if let Err(error) = work.await {
            tracing::warn!(code = error.code(), error = %one_line(&error.to_string()), "the authority cannot be shared now");
        }
    }

    fn agreed(&self) -> Option<Stored> {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn agree(&self, stored: Stored) {
        *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
    }
}

fn from_secret(secret: &Value) -> Stored {
    let field = |name: &str| {
        let bytes = STANDARD.decode(secret["data"][name].as_str()?).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    };
    Stored {
        authority: field("authority.pem"),
        next: field("authority-next.pem"),
    }
}

fn to_secret(namespace: &str, name: &str, stored: &Stored) -> Value {
    let mut data = serde_json::Map::new();
    for (field, pem) in [
        ("authority.pem", &stored.authority),
        ("authority-next.pem", &stored.next),
    ] {
        if let Some(pem) = pem {
            data.insert(field.to_owned(), STANDARD.encode(pem).into());
        }
    }
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": { "name": name, "namespace": namespace, "labels": crate::installation::labels() },
        "data": data,
    })
}
