//! SLSA provenance v1: from a CI's token, whose claims the certificate will repeat, or from a local checkout, and then
//! it says that nobody vouches for it.

use std::collections::BTreeMap;

use proofmark_evidence::predicate::slsa::{
    BuildDefinition, BuildMetadata, Builder, Provenance, ResourceDescriptor, RunDetails,
};
use proofmark_types::UnixTime;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::token::Claims;

mod git;

pub use git::{GitError, from_git};

/// GitHub's own build type for workflows (actions/buildtypes, `workflow/v1`).
const GITHUB_BUILD_TYPE: &str = "https://actions.github.io/buildtypes/workflow/v1";

/// Ours for GitLab jobs: the same parameters as GitHub's.
const GITLAB_BUILD_TYPE: &str = "https://proofmark.dev/buildtypes/gitlab-ci/v1";

/// Ours for a build on someone's machine.
const LOCAL_BUILD_TYPE: &str = "https://proofmark.dev/buildtypes/local/v1";

/// The builder of such a build: nobody in particular.
pub const LOCAL_BUILDER: &str = "https://proofmark.dev/builder/local/v1";

/// When the build ran, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it began.
    pub started_on: Option<UnixTime>,
    /// When it ended.
    pub finished_on: Option<UnixTime>,
}

/// Provenance from the claims of a GitHub Actions or GitLab CI token.
///
/// Only claims that the certificate repeats (Fulcio's extensions .9 to .21) are used, so that a verifier can hold every
/// field against the certificate.
pub fn from_claims(claims: &Claims, times: Times) -> Result<Provenance, ProvenanceError> {
    if claims.text("job_workflow_ref").is_some() {
        return from_github(claims, times);
    }
    if claims.text("ci_config_ref_uri").is_some() {
        return from_gitlab(claims, times);
    }
    Err(ProvenanceError::UnknownIssuer {
        issuer: claims.issuer().chars().take(120).collect(),
    })
}

/// Provenance without any source: built here, from something that is in no repository.
#[must_use]
pub fn unsourced(times: Times) -> Provenance {
    local(Map::new(), Map::new(), Vec::new(), times)
}

fn from_github(claims: &Claims, times: Times) -> Result<Provenance, ProvenanceError> {
    let claim = |name| required(claims, name);
    let server = server(
        claims.issuer(),
        "token.actions.githubusercontent.com",
        "https://github.com",
    );
    let repository = claim("repository")?;
    // owner/name/.github/workflows/file.yml@refs/heads/main
    let workflow = claim("workflow_ref")?;
    let (path, workflow_ref) = workflow
        .strip_prefix(&repository)
        .and_then(|rest| rest.strip_prefix('/'))
        .and_then(|rest| rest.split_once('@'))
        .ok_or(ProvenanceError::Claim { claim: "workflow_ref" })?;
    let internal = collect(
        claims,
        &[
            "event_name",
            "repository_id",
            "repository_owner_id",
            "runner_environment",
        ],
    );
    Ok(Provenance {
        build_definition: BuildDefinition {
            build_type: GITHUB_BUILD_TYPE.to_owned(),
            external_parameters: workflow_parameter(&format!("{server}/{repository}"), workflow_ref, path),
            internal_parameters: Map::from_iter([("github".to_owned(), Value::Object(internal))]),
            resolved_dependencies: vec![source(
                &format!("{server}/{repository}"),
                &claim("ref")?,
                commit(claims, "sha")?,
            )],
        },
        run_details: run(
            format!("{server}/{}", claim("job_workflow_ref")?),
            Some(format!(
                "{server}/{repository}/actions/runs/{}/attempts/{}",
                claim("run_id")?,
                claim("run_attempt")?
            )),
            times,
        ),
    })
}

fn from_gitlab(claims: &Claims, times: Times) -> Result<Provenance, ProvenanceError> {
    let claim = |name| required(claims, name);
    let server = claims.issuer().trim_end_matches('/').to_owned();
    let project = claim("project_path")?;
    // gitlab.example.com/group/project//.gitlab-ci.yml@refs/heads/main
    let config = claim("ci_config_ref_uri")?;
    let (path, config_ref) = config
        .split_once("//")
        .and_then(|(_, rest)| rest.split_once('@'))
        .ok_or(ProvenanceError::Claim {
            claim: "ci_config_ref_uri",
        })?;
    let kind = match claim("ref_type")?.as_str() {
        "tag" => "tags",
        _ => "heads",
    };
    let internal = collect(
        claims,
        &[
            "pipeline_source",
            "project_id",
            "namespace_id",
            "runner_environment",
            "pipeline_id",
        ],
    );
    Ok(Provenance {
        build_definition: BuildDefinition {
            build_type: GITLAB_BUILD_TYPE.to_owned(),
            external_parameters: workflow_parameter(&format!("{server}/{project}"), config_ref, path),
            internal_parameters: Map::from_iter([("gitlab".to_owned(), Value::Object(internal))]),
            resolved_dependencies: vec![source(
                &format!("{server}/{project}"),
                &format!("refs/{kind}/{}", claim("ref")?),
                commit(claims, "sha")?,
            )],
        },
        run_details: run(
            format!("https://{config}"),
            Some(format!("{server}/{project}/-/jobs/{}", claim("job_id")?)),
            times,
        ),
    })
}

/// The web address of an instance: the public one for the public issuer, else the issuer's host (a GitHub Enterprise
/// Server's issuer is `https://HOST/_services/token`).
fn server(issuer: &str, public_host: &str, public: &str) -> String {
    let host = issuer
        .strip_prefix("https://")
        .or_else(|| issuer.strip_prefix("http://"))
        .and_then(|rest| rest.split('/').next())
        .unwrap_or_default();
    let enterprise = issuer.strip_suffix("/_services/token");
    match enterprise {
        Some(base) if host != public_host => base.to_owned(),
        _ => public.to_owned(),
    }
}

fn workflow_parameter(repository: &str, reference: &str, path: &str) -> Map<String, Value> {
    Map::from_iter([(
        "workflow".to_owned(),
        json!({"ref": reference, "repository": repository, "path": path}),
    )])
}

fn source(repository: &str, reference: &str, commit: String) -> ResourceDescriptor {
    ResourceDescriptor {
        uri: Some(format!("git+{repository}@{reference}")),
        digest: BTreeMap::from([("gitCommit".to_owned(), commit)]),
        ..ResourceDescriptor::default()
    }
}

fn run(builder: String, invocation_id: Option<String>, times: Times) -> RunDetails {
    RunDetails {
        builder: Builder {
            id: builder,
            version: BTreeMap::new(),
            builder_dependencies: Vec::new(),
        },
        metadata: Some(BuildMetadata {
            invocation_id,
            started_on: times.started_on,
            finished_on: times.finished_on,
        }),
        byproducts: Vec::new(),
    }
}

fn local(
    external: Map<String, Value>,
    mut internal: Map<String, Value>,
    dependencies: Vec<ResourceDescriptor>,
    times: Times,
) -> Provenance {
    internal.insert("verified".to_owned(), Value::Bool(false));
    internal.insert(
        "note".to_owned(),
        Value::from("built outside a CI that vouches for its builds; every field is the signer's own claim"),
    );
    Provenance {
        build_definition: BuildDefinition {
            build_type: LOCAL_BUILD_TYPE.to_owned(),
            external_parameters: external,
            internal_parameters: internal,
            resolved_dependencies: dependencies,
        },
        run_details: run(LOCAL_BUILDER.to_owned(), None, times),
    }
}

fn required(claims: &Claims, claim: &'static str) -> Result<String, ProvenanceError> {
    claims.text(claim).ok_or(ProvenanceError::NoClaim { claim })
}

/// A commit is 40 or 64 lower-case hex digits (SHA-1 or SHA-256).
fn commit(claims: &Claims, claim: &'static str) -> Result<String, ProvenanceError> {
    let text = required(claims, claim)?;
    if is_commit(&text) {
        Ok(text)
    } else {
        Err(ProvenanceError::Claim { claim })
    }
}

fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn collect(claims: &Claims, names: &[&str]) -> Map<String, Value> {
    names
        .iter()
        .filter_map(|name| {
            claims
                .text(name)
                .map(|value| ((*name).to_owned(), Value::String(value)))
        })
        .collect()
}

/// Why there is no provenance.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProvenanceError {
    /// The token is not of a CI whose claims are known: a person's, or another system's.
    #[error("the token of \"{issuer}\" is not of GitHub Actions or GitLab CI, and says nothing about a build")]
    UnknownIssuer {
        /// The issuer.
        issuer: String,
    },
    /// The token lacks a claim that these CIs put into every token.
    #[error("the CI's token has no claim \"{claim}\"")]
    NoClaim {
        /// The claim.
        claim: &'static str,
    },
    /// A claim does not have the form that it always has.
    #[error("the claim \"{claim}\" of the CI's token does not have its usual form")]
    Claim {
        /// The claim.
        claim: &'static str,
    },
}

impl ProvenanceError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownIssuer { .. } => "provenance-unknown-issuer",
            Self::NoClaim { .. } => "provenance-claim-missing",
            Self::Claim { .. } => "provenance-claim-malformed",
        }
    }
}

#[cfg(test)]
mod tests;
