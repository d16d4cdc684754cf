//! What would become of an object, asked of the API server without storing anything: it calls the webhooks as it would for
//! the real thing (Kubernetes API concepts, "Dry-run").

use http::header::WARNING;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::{Cluster, ClusterError, answer};
use crate::text::shortened;

/// Who owns the fields of an object that is only tried.
const TRIAL_MANAGER: &str = "proofmark-dry-run";

/// The most warnings of one answer that are kept; the API server cuts them at 4 KiB in all.
const MAX_WARNINGS: usize = 100;

/// How the API server writes that a webhook said no (`k8s.io/apiserver`, `webhook/errors/statuserror.go`).
const BY_WEBHOOK: &str = "admission webhook \"";
const DENIED: &str = "\" denied the request";

/// Where objects of a kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// `/api/v1` or `/apis/GROUP/VERSION`.
    pub base: String,
    /// The name in addresses: `pods`.
    pub plural: String,
    /// Whether they are in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// Where objects of this kind are listed and made.
    #[must_use]
    pub fn path(&self, namespace: &str) -> String {
        if self.namespaced {
            format!("{}/namespaces/{namespace}/{}", self.base, self.plural)
        } else {
            format!("{}/{}", self.base, self.plural)
        }
    }
}

/// What would become of an object.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Trial {
    /// It would be stored.
    Allowed {
        /// As it would be stored.
        object: Value,
        /// What the API server and the webhooks say to it.
        warnings: Vec<String>,
    },
    /// A webhook does not let it.
    Denied {
        /// The webhook's name.
        webhook: String,
        /// Its words.
        message: String,
    },
}

impl Cluster {
    /// The namespace that the kubeconfig, or the service account, works in.
    #[must_use]
    pub fn default_namespace(&self) -> &str {
        self.client.default_namespace()
    }

    /// Where objects of a kind are, by the API server's own list.
    ///
    /// Errors: it knows no such kind ([`ClusterError::is_absent`]).
    pub async fn resource(&self, api_version: &str, kind: &str) -> Result<Resource, ClusterError> {
        let base = if api_version.contains('/') {
            format!("/apis/{api_version}")
        } else {
            format!("/api/{api_version}")
        };
        // It becomes part of an address.
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'/');
        let absent = || ClusterError::Refused {
            what: format!("GET {}", shortened(&base, 200)),
            status: 404,
            message: format!(
                "the API server knows no kind {} in {}",
                shortened(kind, 100),
                shortened(api_version, 100)
            ),
        };
        if !base.bytes().all(plain) || base.contains("..") {
            return Err(absent());
        }
        let list = self.get(&base).await?;
        let listed = list["resources"]
            .as_array()
            .ok_or_else(|| answer(&base, "it is no list".to_owned()))?;
        let found = listed.iter().find(|resource| {
            // Those with a slash are parts of others: `pods/status`.
            resource["kind"] == kind && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        });
        let found = found.ok_or_else(absent)?;
        Ok(Resource {
            base,
            plural: found["name"].as_str().unwrap_or_default().to_owned(),
            namespaced: found["namespaced"] == true,
        })
    }

    /// Makes or changes an object as server-side apply does, without storing it. One without a name, which the API server
    /// gives it, is made.
    pub async fn dry_run(&self, resource: &Resource, namespace: &str, object: &Value) -> Result<Trial, ClusterError> {
        let path = resource.path(namespace);
        let asked = match object.pointer("/metadata/name").and_then(Value::as_str) {
            Some(name) => {
                let path = format!("{path}/{name}?dryRun=All&fieldManager={TRIAL_MANAGER}&force=true");
                self.exchange(Method::PATCH, &path, "application/apply-patch+yaml", Some(object))
                    .await
            }
            None => {
                let path = format!("{path}?dryRun=All&fieldManager={TRIAL_MANAGER}");
                self.exchange(Method::POST, &path, "application/json", Some(object))
                    .await
            }
        };
        match asked {
            Ok((headers, object)) => Ok(Trial::Allowed {
                object,
                warnings: warnings(&headers),
            }),
            Err(ClusterError::Refused { what, status, message }) => match denial(&message) {
                Some((webhook, words)) => Ok(Trial::Denied {
                    webhook: webhook.to_owned(),
                    message: words.to_owned(),
                }),
                None => Err(ClusterError::Refused { what, status, message }),
            },
            Err(error) => Err(error),
        }
    }
}

/// The webhook that said no, and its words. One that failed did not say no.
fn denial(message: &str) -> Option<(&str, &str)> {
    let rest = message.split_once(BY_WEBHOOK)?.1;
    let (webhook, words) = rest.split_once(DENIED)?;
    (!webhook.contains('"')).then(|| (webhook, words.trim_start_matches(':').trim()))
}

/// RFC 7234 section 5.5, as Kubernetes writes it: `299 - "text"`, with quotes and backslashes escaped.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    let texts = headers.get_all(WARNING).iter().filter_map(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        let quoted = text.strip_prefix("299 - \"")?;
        let mut unescaped = String::new();
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            match character {
                '\\' => unescaped.extend(characters.next()),
                '"' => break,
                other => unescaped.push(other),
            }
        }
        Some(unescaped)
    });
    texts.take(MAX_WARNINGS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_a_webhooks_no() {
        let message = "admission webhook \"validate.proofmark.dev\" denied the request: proofmark: no\n  line";
        assert_eq!(
            denial(message),
            Some(("validate.proofmark.dev", "proofmark: no\n  line"))
        );
        // In the error of a controller.
        let event = "Error creating: admission webhook \"v\" denied the request: no";
        assert_eq!(denial(event), Some(("v", "no")));
        assert_eq!(
            denial("admission webhook \"v\" denied the request without explanation"),
            Some(("v", "without explanation"))
        );
        for other in [
            "failed calling webhook \"v\": connection refused",
            "pods is forbidden: User \"x\" cannot create resource",
            "Pod \"x\" is invalid: spec.containers: Required value",
            "",
        ] {
            assert_eq!(denial(other), None, "{other}");
        }
    }

    #[test]
    fn warnings_are_unquoted() {
        let mut headers = HeaderMap::new();
        for text in [
            r#"299 - "a \"b\" c\\d""#,
            "299 kubernetes \"other form\"",
            r#"299 - "e""#,
        ] {
            headers.append(WARNING, text.parse().unwrap());
        }
        assert_eq!(warnings(&headers), [r#"a "b" c\d"#, "e"]);
    }
}
