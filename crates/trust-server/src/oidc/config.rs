//! The configuration of issuers, in Fulcio's words: `issuer-url`, `client-id`, `type`, `ci-provider`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use url::Url;

use super::extensions::{self, Templates};
use super::template::TemplateError;

/// The most issuers of one configuration; each costs a key set in memory.
const MAX_ISSUERS: usize = 100;
/// The audience that sigstore's clients ask for.
const DEFAULT_CLIENT_ID: &str = "sigstore";

/// One identity provider, as it is written in the configuration.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct IssuerConfig {
    /// The `iss` of its tokens, exactly.
    pub issuer_url: String,
    /// The `aud` that its tokens must have.
    #[serde(default = "default_client_id")]
    pub client_id: String,
    /// What its tokens are about.
    #[serde(rename = "type")]
    pub kind: IssuerType,
    /// For [`IssuerType::CiProvider`], which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ci_provider: Option<CiProvider>,
    /// For a CI provider, values in place of the provider's defaults: `url` for a GitLab or GitHub of one's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub default_template_values: BTreeMap<String, String>,
    /// For [`IssuerType::Uri`], the scheme and host that subjects must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_domain: Option<String>,
    /// PEM of the authority that its TLS certificate comes from, where the system does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_cert: Option<String>,
}

/// What tokens are about.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IssuerType {
    /// A person, by a verified address.
    Email,
    /// A workload whose subject is a URI.
    Uri,
    /// A Kubernetes service account.
    Kubernetes,
    /// A CI job.
    CiProvider,
}

/// A CI system whose claims have a place in certificates.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(
    rename_all = "kebab-case",
    expecting = "expected github-workflow, gitlab-pipeline, or templates: default-template-values, extension-templates, subject-alternative-name-template"
)]
#[non_exhaustive]
pub enum CiProvider {
    /// GitHub Actions, also of a GitHub Enterprise Server with its `url`.
    GithubWorkflow,
    /// GitLab CI, also of one's own with its `url`.
    GitlabPipeline,
    /// Templates of one's own, as Fulcio's `ci-issuer-metadata` has them.
    #[serde(untagged)]
    Custom(ProviderTemplates),
}

/// How claims become a subject and extensions.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProviderTemplates {
    /// Values for names that a token lacks; claims win.
    #[serde(default)]
    pub default_template_values: BTreeMap<String, String>,
    /// Extension names of Fulcio's configuration, such as `source-repository-uri`, to templates.
    #[serde(default)]
    pub extension_templates: BTreeMap<String, String>,
    /// The subject, a URI.
    pub subject_alternative_name_template: String,
}

/// Why a configuration of issuers is refused.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerConfigError {
    /// The URL does not parse, or is plain http to another machine.
    #[error("{url} cannot be an issuer: it must be https, or http on this machine")]
    Url {
        /// The URL given.
        url: String,
    },
    /// Two issuers with one URL: which one a token is of would be a matter of chance.
    #[error("{url} is configured twice")]
    Twice {
        /// The URL.
        url: String,
    },
    /// More than are allowed.
    #[error("{seen} issuers are more than the {limit} allowed")]
    TooMany {
        /// The bound.
        limit: usize,
        /// How many there are.
        seen: usize,
    },
    /// A field that the type needs is missing, or one that it has no use for is there.
    #[error("{url}: the field {field} does not go with type {kind}, or is missing")]
    Field {
        /// The issuer.
        url: String,
        /// The field.
        field: &'static str,
        /// The type.
        kind: &'static str,
    },
    /// A template cannot be read.
    #[error("{url}: the template of {name} is malformed")]
    Template {
        /// The issuer.
        url: String,
        /// Of what.
        name: String,
        /// Why.
        #[source]
        source: TemplateError,
    },
    /// A key of `extension-templates` that is no extension.
    #[error("{url}: there is no extension {name}")]
    Extension {
        /// The issuer.
        url: String,
        /// The name given.
        name: String,
    },
}

/// A checked issuer.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    pub(crate) client_id: String,
    pub(crate) kind: IssuerKind,
    pub(crate) templates: Option<Templates>,
    pub(crate) ca_cert: Option<String>,
}

/// What tokens are about, with what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IssuerKind {
    /// A verified address.
    Email,
    /// A URI within a domain.
    Uri {
        /// Scheme and host.
        subject_domain: Url,
    },
    /// A service account.
    Kubernetes,
    /// A CI job.
    CiProvider,
}

impl IssuerConfig {
    fn new(issuer_url: &str, kind: IssuerType) -> Self {
        Self {
            issuer_url: issuer_url.to_owned(),
            client_id: default_client_id(),
            kind,
            ci_provider: None,
            default_template_values: BTreeMap::new(),
            subject_domain: None,
            ca_cert: None,
        }
    }

    /// GitHub Actions; `url` for an Enterprise Server, such as `https://ghes.example`.
    #[must_use]
    pub fn github(issuer_url: &str, url: Option<&str>) -> Self {
        Self::ci(issuer_url, CiProvider::GithubWorkflow, url)
    }

    /// GitLab CI; `url` for one's own, such as `https://gitlab.example`.
    #[must_use]
    pub fn gitlab(issuer_url: &str, url: Option<&str>) -> Self {
        Self::ci(issuer_url, CiProvider::GitlabPipeline, url)
    }

    fn ci(issuer_url: &str, provider: CiProvider, url: Option<&str>) -> Self {
        let defaults = url.map(|url| ("url".to_owned(), url.to_owned()));
        Self {
            ci_provider: Some(provider),
            default_template_values: defaults.into_iter().collect(),
            ..Self::new(issuer_url, IssuerType::CiProvider)
        }
    }

    /// People by verified address.
    #[must_use]
    pub fn email(issuer_url: &str) -> Self {
        Self::new(issuer_url, IssuerType::Email)
    }

    /// Kubernetes service accounts.
    #[must_use]
    pub fn kubernetes(issuer_url: &str) -> Self {
        Self::new(issuer_url, IssuerType::Kubernetes)
    }

    /// Workloads whose subject is a URI within `subject_domain`.
    #[must_use]
    pub fn uri(issuer_url: &str, subject_domain: &str) -> Self {
        Self {
            subject_domain: Some(subject_domain.to_owned()),
            ..Self::new(issuer_url, IssuerType::Uri)
        }
    }

    /// The claim that Fulcio's configuration endpoint names for the proof of possession.
    pub(crate) fn challenge_claim(&self) -> &'static str {
        if self.kind == IssuerType::Email { "email" } else { "sub" }
    }

    pub(crate) fn check(&self) -> Result<Issuer, IssuerConfigError> {
        let url = || self.issuer_url.clone();
        let field = |field| IssuerConfigError::Field {
            url: url(),
            field,
            kind: self.kind.name(),
        };
        if !self.reachable() {
            return Err(IssuerConfigError::Url { url: url() });
        }
        if self.client_id.is_empty() {
            return Err(field("client-id"));
        }
        let is_ci = self.kind == IssuerType::CiProvider;
        if self.ci_provider.is_some() != is_ci {
            return Err(field("ci-provider"));
        }
        if !is_ci && !self.default_template_values.is_empty() {
            return Err(field("default-template-values"));
        }
        if self.subject_domain.is_some() != (self.kind == IssuerType::Uri) {
            return Err(field("subject-domain"));
        }
        let kind = match self.kind {
            IssuerType::Email => IssuerKind::Email,
            IssuerType::Kubernetes => IssuerKind::Kubernetes,
            IssuerType::CiProvider => IssuerKind::CiProvider,
            IssuerType::Uri => {
                let domain = Url::parse(self.subject_domain.as_deref().unwrap_or_default());
                let domain = domain.ok().filter(Url::has_host);
                IssuerKind::Uri {
                    subject_domain: domain.ok_or_else(|| field("subject-domain"))?,
                }
            }
        };
        let templates = self
            .ci_provider
            .as_ref()
            .map(|provider| self.templates(provider))
            .transpose()?;
        Ok(Issuer {
            url: url(),
            client_id: self.client_id.clone(),
            kind,
            templates,
            ca_cert: self.ca_cert.clone(),
        })
    }

    fn templates(&self, provider: &CiProvider) -> Result<Templates, IssuerConfigError> {
        let mut metadata = match provider {
            CiProvider::GithubWorkflow => extensions::github(),
            CiProvider::GitlabPipeline => extensions::gitlab(),
            CiProvider::Custom(metadata) => metadata.clone(),
        };
        metadata
            .default_template_values
            .extend(self.default_template_values.clone());
        Templates::read(&metadata, &self.issuer_url)
    }

    fn reachable(&self) -> bool {
        Url::parse(&self.issuer_url)
            .is_ok_and(|url| url.query().is_none() && url.fragment().is_none() && super::fetch::is_allowed(&url))
    }
}

impl IssuerType {
    /// The name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Kubernetes => "kubernetes",
            Self::CiProvider => "ci-provider",
        }
    }
}

/// Checks all issuers together.
pub(crate) fn check_all(configs: &[IssuerConfig]) -> Result<Vec<Issuer>, IssuerConfigError> {
    if configs.len() > MAX_ISSUERS {
        return Err(IssuerConfigError::TooMany {
            limit: MAX_ISSUERS,
            seen: configs.len(),
        });
    }
    let mut issuers: Vec<Issuer> = Vec::new();
    for config in configs {
        let issuer = config.check()?;
        if issuers.iter().any(|other| other.url == issuer.url) {
            return Err(IssuerConfigError::Twice { url: issuer.url });
        }
        issuers.push(issuer);
    }
    Ok(issuers)
}

fn default_client_id() -> String {
    DEFAULT_CLIENT_ID.to_owned()
}
