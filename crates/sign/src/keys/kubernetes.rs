//! Key pairs in Kubernetes secrets, as `cosign generate-key-pair k8s://namespace/name` keeps them: `cosign.key`,
//! `cosign.pub` and `cosign.password`.
//!
//! Who we are and which cluster it is says the kubeconfig (`KUBECONFIG`, `~/.kube/config`), or the pod we run in, as for
//! kubectl. Unlike cosign we replace no secret that exists: what was signed with its key could be signed no more.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use proofmark_verify::{KeyAlgorithm, PublicKey};

use super::{KeyError, Surroundings, file};
use crate::key::{RemoteKeyError, SigningKey};
use crate::password::Password;

/// The largest answer read: etcd takes 1.5 MiB, the API server secrets of 1 MiB, which are base64 here.
const MAX_ANSWER_BYTES: usize = 2 * 1024 * 1024;

/// The most of an error's text that is repeated.
const MAX_QUOTED: usize = 300;

/// How long one question may take, credentials' plug-ins included.
const PATIENCE: Duration = Duration::from_secs(60);

/// A secret, by its names and by how it is called in messages.
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
    pub(super) shown: String,
}

/// Opens the private key of the secret, with the password that is in it.
pub(super) async fn open(place: &Place<'_>, with: &Surroundings<'_>) -> Result<SigningKey, KeyError> {
    let data = place.read(with).await?;
    private(place, &data, with)
}

/// Reads the public key of the secret; without one, the public half of its private key.
pub(super) async fn public(place: &Place<'_>, with: &Surroundings<'_>) -> Result<PublicKey, KeyError> {
    let data = place.read(with).await?;
    match data.get("cosign.pub") {
        Some(ByteString(bytes)) => {
            let field = format!("{}, cosign.pub", place.shown);
            PublicKey::from_pem(&file::text(&field, bytes.clone())?)
                .map_err(|source| KeyError::Public { place: field, source })
        }
        None => private(place, &data, with).map(|key| key.public_key().clone()),
    }
}

/// Makes a pair and keeps it in a new secret, which nobody can change afterwards.
pub(super) async fn create(
    place: &Place<'_>,
    algorithm: KeyAlgorithm,
    with: &Surroundings<'_>,
) -> Result<PublicKey, KeyError> {
    let unusable = |source| KeyError::Private {
        place: place.shown.clone(),
        source,
    };
    // Before anything is asked: without a password there is nothing to keep.
    let password = (with.password)(&place.shown)?;
    let key = SigningKey::generate(algorithm).map_err(unusable)?;
    let pem = key.to_encrypted_pem(&password).map_err(unusable)?;
    let public = key.public_key().clone();
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(place.name.to_owned()),
            namespace: Some(place.namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([
            ("cosign.key".to_owned(), ByteString(pem.as_bytes().to_vec())),
            ("cosign.pub".to_owned(), ByteString(public.to_pem().into_bytes())),
            ("cosign.password".to_owned(), ByteString(password.bytes().to_vec())),
        ])),
        immutable: Some(true),
        ..Secret::default()
    };
    let body = serde_json::to_vec(&secret).map_err(|error| place.answer(&error.to_string()))?;
    let path = format!("/api/v1/namespaces/{}/secrets", place.namespace);
    place.ask(Method::POST, &path, body, StatusCode::CREATED, with).await?;
    Ok(public)
}

type Fields = BTreeMap<String, ByteString>;

fn private(place: &Place<'_>, data: &Fields, with: &Surroundings<'_>) -> Result<SigningKey, KeyError> {
    let ByteString(pem) = data
        .get("cosign.key")
        .ok_or_else(|| place.answer("it has no field cosign.key"))?;
    let held = data
        .get("cosign.password")
        .map(|ByteString(bytes)| Password::new(bytes.clone()));
    let ask = |what: &str| match &held {
        Some(password) => Ok(password.clone()),
        None => (with.password)(what),
    };
    let field = format!("{}, cosign.key", place.shown);
    let with = Surroundings {
        password: &ask,
        ..with.clone()
    };
    file::private(&field, &file::text(&field, pem.clone())?, &with)
}

impl Place<'_> {
    async fn read(&self, with: &Surroundings<'_>) -> Result<Fields, KeyError> {
        let path = format!("/api/v1/namespaces/{}/secrets/{}", self.namespace, self.name);
        let body = self.ask(Method::GET, &path, Vec::new(), StatusCode::OK, with).await?;
        let secret: Secret = serde_json::from_slice(&body).map_err(|error| self.answer(&error.to_string()))?;
        // The names are in the path that was asked; an answer about another secret is not ours.
        if secret.metadata.name.as_deref() != Some(self.name)
            || secret.metadata.namespace.as_deref() != Some(self.namespace)
        {
            return Err(self.answer("it is about another secret").into());
        }
        Ok(secret.data.unwrap_or_default())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        expected: StatusCode,
        with: &Surroundings<'_>,
    ) -> Result<Vec<u8>, KeyError> {
        let work = async {
            let client = self.client(with).await?;
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(http::header::CONTENT_TYPE, "application/json")
                .header(http::header::ACCEPT, "application/json")
                .body(Body::from(body))
                .map_err(|error| self.answer(&error.to_string()))?;
            let response = client
                .send(request)
                .await
                .map_err(|error| self.unreachable(&proofmark_types::innermost(&error)))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES)
                .collect()
                .await
                .map_err(|error| match error.is::<LengthLimitError>() {
                    true => self.answer(&format!("more than {MAX_ANSWER_BYTES} bytes")),
                    false => self.unreachable(&error.to_string()),
                })?
                .to_bytes();
            if status == expected {
                return Ok(body.to_vec());
            }
            Err(self.refusal(status, &body).into())
        };
        tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
            Err(self
                .unreachable(&format!("no answer within {} s", PATIENCE.as_secs()))
                .into())
        })
    }

    async fn client(&self, with: &Surroundings<'_>) -> Result<Client, KeyError> {
        let unusable = |reason: String| KeyError::Cluster { reason };
        let mut config = match (with.environment)("KUBECONFIG").filter(|paths| !paths.is_empty()) {
            Some(paths) => {
                let mut whole = Kubeconfig::default();
                for path in std::env::split_paths(&paths) {
                    let next = Kubeconfig::read_from(&path).map_err(|error| unusable(error.to_string()))?;
                    whole = whole.merge(next).map_err(|error| unusable(error.to_string()))?;
                }
                Config::from_custom_kubeconfig(whole, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| unusable(error.to_string()))?
            }
            None => Config::infer().await.map_err(|error| unusable(error.to_string()))?,
        };
        let loopback = matches!(config.cluster_url.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if config.cluster_url.scheme_str() != Some("https") && !loopback {
            return Err(unusable(format!(
                "{} is not https: keys are not sent there",
                config.cluster_url
            )));
        }
        config.connect_timeout = Some(Duration::from_secs(10));
        config.read_timeout = Some(with.timing.certificate);
        Client::try_from(config).map_err(|error| unusable(proofmark_types::innermost(&error)))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> RemoteKeyError {
        let said = serde_json::from_slice::<Status>(body)
            .ok()
            .and_then(|status| status.message);
        let said: String = said
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_QUOTED)
            .collect();
        let reason = format!("{status}: {said}");
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return self.unreachable(&reason);
        }
        RemoteKeyError::Refused {
            place: self.shown.clone(),
            reason: match status {
                StatusCode::CONFLICT => format!("the secret exists, and is not replaced ({reason})"),
                _ => reason,
            },
        }
    }

    fn answer(&self, reason: &str) -> RemoteKeyError {
        RemoteKeyError::Answer {
            place: self.shown.clone(),
            reason: reason.to_owned(),
        }
    }

    fn unreachable(&self, reason: &str) -> RemoteKeyError {
        RemoteKeyError::Unreachable {
            place: self.shown.clone(),
            reason: reason.to_owned(),
        }
    }
}
