//! Fulcio's extensions and the templates of the CI providers (fulcio docs/oid-info.md, config/identity/config.yaml).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::config::{IssuerConfigError, ProviderTemplates};
use super::template::Template;
use super::{Subject, TokenError};

/// The longest value of an extension: URIs of CI systems have some hundred bytes.
const MAX_VALUE_BYTES: usize = 2048;

/// Number and name in Fulcio's configuration. 1, 8 and 24 are made for every issuer and have no template.
const NAMES: [(u64, &str); 20] = [
    (2, "github-workflow-trigger"),
    (3, "github-workflow-sha"),
    (4, "github-workflow-name"),
    (5, "github-workflow-repository"),
    (6, "github-workflow-ref"),
    (9, "build-signer-uri"),
    (10, "build-signer-digest"),
    (11, "runner-environment"),
    (12, "source-repository-uri"),
    (13, "source-repository-digest"),
    (14, "source-repository-ref"),
    (15, "source-repository-identifier"),
    (16, "source-repository-owner-uri"),
    (17, "source-repository-owner-identifier"),
    (18, "build-config-uri"),
    (19, "build-config-digest"),
    (20, "build-trigger"),
    (21, "run-invocation-uri"),
    (22, "source-repository-visibility-at-signing"),
    (23, "deployment-environment"),
];

/// Templates that were read.
#[derive(Debug)]
pub(crate) struct Templates {
    defaults: BTreeMap<String, String>,
    subject: Template,
    extensions: Vec<(u64, Template)>,
}

impl Templates {
    pub(crate) fn read(metadata: &ProviderTemplates, issuer: &str) -> Result<Self, IssuerConfigError> {
        let read = |name: &str, text: &str| {
            Template::parse(text).map_err(|source| IssuerConfigError::Template {
                url: issuer.to_owned(),
                name: name.to_owned(),
                source,
            })
        };
        let mut extensions = Vec::new();
        for (name, text) in &metadata.extension_templates {
            let number = NAMES.iter().find(|(_, known)| known == name).map(|(number, _)| *number);
            let number = number.ok_or_else(|| IssuerConfigError::Extension {
                url: issuer.to_owned(),
                name: name.clone(),
            })?;
            extensions.push((number, read(name, text)?));
        }
        Ok(Self {
            defaults: metadata.default_template_values.clone(),
            subject: read("subject-alternative-name", &metadata.subject_alternative_name_template)?,
            extensions,
        })
    }

    /// The subject and the extensions that are not empty.
    pub(crate) fn evaluate(&self, claims: &Map<String, Value>) -> Result<(Subject, Vec<(u64, String)>), TokenError> {
        let mut values = self.defaults.clone();
        for (name, value) in claims {
            if let Some(text) = scalar(value) {
                values.insert(name.clone(), text);
            }
        }
        let evaluate = |template: &Template| {
            let value = template
                .evaluate(&values)
                .map_err(|claim| TokenError::Claim { claim })?;
            // A value goes into a certificate as text; a line break in it would only be there to deceive a reader.
            if value.len() > MAX_VALUE_BYTES || value.chars().any(char::is_control) {
                return Err(TokenError::Claim {
                    claim: value.chars().take(80).collect(),
                });
            }
            Ok(value)
        };
        let subject = evaluate(&self.subject)?;
        let is_uri = url::Url::parse(&subject).is_ok_and(|url| url.has_host());
        if !is_uri || !subject.is_ascii() || subject.starts_with(' ') || subject.ends_with(' ') {
            return Err(TokenError::Claim {
                claim: subject.chars().take(80).collect(),
            });
        }
        let mut extensions = Vec::new();
        for (number, template) in &self.extensions {
            let value = evaluate(template)?;
            if !value.is_empty() {
                extensions.push((*number, value));
            }
        }
        Ok((Subject::Uri(subject), extensions))
    }
}

/// Strings, numbers and truth values; whatever has parts has no text.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => match number.as_f64() {
            // A whole number is written without a fraction, also when the token has 1.0.
            Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => Some(format!("{float:.0}")),
            _ => Some(number.to_string()),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// GitHub Actions.
pub(crate) fn github() -> ProviderTemplates {
    metadata(
        &[("url", "https://github.com"), ("environment", "")],
        "{{ .url }}/{{ .job_workflow_ref }}",
        &[
            ("github-workflow-trigger", "event_name"),
            ("github-workflow-sha", "sha"),
            ("github-workflow-name", "workflow"),
            ("github-workflow-repository", "repository"),
            ("github-workflow-ref", "ref"),
            ("build-signer-uri", "{{ .url }}/{{ .job_workflow_ref }}"),
            ("build-signer-digest", "job_workflow_sha"),
            ("runner-environment", "runner_environment"),
            ("source-repository-uri", "{{ .url }}/{{ .repository }}"),
            ("source-repository-digest", "sha"),
            ("source-repository-ref", "ref"),
            ("source-repository-identifier", "repository_id"),
            ("source-repository-owner-uri", "{{ .url }}/{{ .repository_owner }}"),
            ("source-repository-owner-identifier", "repository_owner_id"),
            ("build-config-uri", "{{ .url }}/{{ .workflow_ref }}"),
            ("build-config-digest", "workflow_sha"),
            ("build-trigger", "event_name"),
            (
                "run-invocation-uri",
                "{{ .url }}/{{ .repository }}/actions/runs/{{ .run_id }}/attempts/{{ .run_attempt }}",
            ),
            ("source-repository-visibility-at-signing", "repository_visibility"),
            ("deployment-environment", "environment"),
        ],
    )
}

/// GitLab CI.
pub(crate) fn gitlab() -> ProviderTemplates {
    metadata(
        &[("url", "https://gitlab.com"), ("environment", "")],
        "https://{{ .ci_config_ref_uri }}",
        &[
            ("build-signer-uri", "https://{{ .ci_config_ref_uri }}"),
            ("build-signer-digest", "ci_config_sha"),
            ("runner-environment", "runner_environment"),
            ("source-repository-uri", "{{ .url }}/{{ .project_path }}"),
            ("source-repository-digest", "sha"),
            (
                "source-repository-ref",
                "refs/{{if eq .ref_type \"branch\"}}heads/{{ else }}tags/{{end}}{{ .ref }}",
            ),
            ("source-repository-identifier", "project_id"),
            ("source-repository-owner-uri", "{{ .url }}/{{ .namespace_path }}"),
            ("source-repository-owner-identifier", "namespace_id"),
            ("build-config-uri", "https://{{ .ci_config_ref_uri }}"),
            ("build-config-digest", "ci_config_sha"),
            ("build-trigger", "pipeline_source"),
            (
                "run-invocation-uri",
                "{{ .url }}/{{ .project_path }}/-/jobs/{{ .job_id }}",
            ),
            ("source-repository-visibility-at-signing", "project_visibility"),
            ("deployment-environment", "environment"),
        ],
    )
}

fn metadata(defaults: &[(&str, &str)], subject: &str, extensions: &[(&str, &str)]) -> ProviderTemplates {
    let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ProviderTemplates {
        default_template_values: map(defaults),
        extension_templates: map(extensions),
        subject_alternative_name_template: subject.to_owned(),
    }
}
