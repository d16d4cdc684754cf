//! AWS credentials, in the order of AWS's own tools (AWS SDKs and Tools Reference Guide, "Standardized credential
//! providers"):
//!
//! 1. `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`;
//! 2. a web identity: `AWS_WEB_IDENTITY_TOKEN_FILE` with `AWS_ROLE_ARN`;
//! 3. the profile `AWS_PROFILE` (`default`): keys, or a role by another profile, by a web identity or by 4. and 5.;
//! 4. the container's: `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `AWS_CONTAINER_CREDENTIALS_FULL_URI`;
//! 5. the instance's metadata, version 2 only.
//!
//! Not here: single sign-on and `credential_process`; `aws configure export-credentials` turns both into 1.

use std::fmt;
use std::path::PathBuf;

use proofmark_types::UnixTime;
use reqwest::Url;
use tokio::sync::Mutex;

use super::fetch;
use super::profile::Profiles;
use crate::kms::settings::{Secret, Settings, local_address};
use crate::kms::wire::Wire;
use crate::kms::{KmsError, now};

/// Credentials are renewed this long before they end, so that a request made with them arrives while they are valid.
const EARLY: std::time::Duration = std::time::Duration::from_secs(120);

/// The name of our sessions in CloudTrail.
const SESSION_NAME: &str = "proofmark";

/// What requests are signed with.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: Secret,
    pub(super) session: Option<Secret>,
    pub(super) ends: Option<UnixTime>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Long-lived keys, or a session that somebody else renews.
    Given(Credentials),
    /// A token of another identity provider, for which STS gives credentials of a role.
    WebIdentity { file: PathBuf, role: Role },
    /// An agent beside the container.
    Container {
        url: Url,
        token: Option<Secret>,
        token_file: Option<PathBuf>,
    },
    /// The virtual machine's metadata.
    Instance { url: Url },
    /// Credentials of a role, asked for with other credentials.
    Role { base: Box<Self>, role: Role },
}

/// A role to take on, and who is asked for it.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) arn: String,
    pub(super) session: String,
    pub(super) external_id: Option<String>,
    pub(super) sts: Url,
    pub(super) region: String,
}

/// Credentials that are renewed when they end.
#[derive(Debug)]
pub(super) struct Chain {
    source: Source,
    held: Mutex<Option<Credentials>>,
}

impl Chain {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            held: Mutex::new(None),
        }
    }

    /// Credentials that are valid for a while.
    pub(super) async fn get(&self, wire: &Wire) -> Result<Credentials, KmsError> {
        let mut held = self.held.lock().await;
        if let Some(credentials) = held.as_ref()
            && credentials.ends.is_none_or(|ends| ends > now().plus(EARLY))
        {
            return Ok(credentials.clone());
        }
        let fresh = fetch::credentials(&self.source, wire).await?;
        *held = Some(fresh.clone());
        Ok(fresh)
    }
}

/// Finds where credentials come from, in the order of the module.
pub(super) fn find(settings: &Settings<'_>, profiles: &Profiles, region: &str) -> Result<Source, KmsError> {
    // 1.
    if let Some(id) = settings.get("AWS_ACCESS_KEY_ID") {
        let secret = settings
            .secret("AWS_SECRET_ACCESS_KEY")
            .ok_or_else(|| KmsError::Setting {
                name: "AWS_SECRET_ACCESS_KEY",
                reason: "expected beside AWS_ACCESS_KEY_ID, it is not set".to_owned(),
            })?;
        return Ok(Source::Given(Credentials {
            id,
            secret,
            session: settings.secret("AWS_SESSION_TOKEN"),
            ends: None,
        }));
    }
    // 2.
    if let Some(file) = settings.get("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let arn = settings.get("AWS_ROLE_ARN").ok_or_else(|| KmsError::Setting {
            name: "AWS_ROLE_ARN",
            reason: "expected beside AWS_WEB_IDENTITY_TOKEN_FILE, it is not set".to_owned(),
        })?;
        let session = settings.get("AWS_ROLE_SESSION_NAME");
        return Ok(Source::WebIdentity {
            file: file.into(),
            role: role(settings, arn, session, region)?,
        });
    }
    // 3.
    let named = settings.get("AWS_PROFILE");
    let profile = named.clone().unwrap_or_else(|| "default".to_owned());
    if let Some(source) = of_profile(settings, profiles, &profile, region)? {
        return Ok(source);
    }
    if named.is_some() && !profiles.has(&profile) {
        return Err(KmsError::Setting {
            name: "AWS_PROFILE",
            reason: format!("there is no profile {profile} in the AWS configuration"),
        });
    }
    // 4. and 5.
    if let Some(source) = container(settings)? {
        return Ok(source);
    }
    instance(settings)
}

fn of_profile(
    settings: &Settings<'_>,
    profiles: &Profiles,
    profile: &str,
    region: &str,
) -> Result<Option<Source>, KmsError> {
    let text = |name: &str| profiles.text(profile, name);
    let Some(arn) = text("role_arn") else {
        if let Some(given) = given(profiles, profile)? {
            return Ok(Some(given));
        }
        for setting in ["sso_session", "sso_start_url", "credential_process"] {
            if text(setting).is_some() {
                return Err(KmsError::Setting {
                    name: "AWS_PROFILE",
                    reason: format!(
                        "profile {profile} has {setting}, which is not asked here: \
                         run `aws configure export-credentials --profile {profile} --format env`"
                    ),
                });
            }
        }
        return Ok(None);
    };
    let mut role = role(settings, arn, text("role_session_name"), region)?;
    role.external_id = text("external_id");
    let missing = |what: &str| KmsError::Setting {
        name: "AWS_PROFILE",
        reason: format!("profile {profile} has role_arn and {what}"),
    };
    if let Some(file) = text("web_identity_token_file") {
        return Ok(Some(Source::WebIdentity {
            file: file.into(),
            role,
        }));
    }
    let base = match (text("source_profile"), text("credential_source").as_deref()) {
        (Some(source), None) => {
            given(profiles, &source)?.ok_or_else(|| missing("a source_profile without aws_access_key_id"))?
        }
        (None, Some("EcsContainer")) => {
            container(settings)?.ok_or_else(|| missing("credential_source EcsContainer, and there is no container"))?
        }
        (None, Some("Ec2InstanceMetadata")) => instance(settings)?,
        (None, Some(other)) => {
            return Err(missing(&format!(
                "credential_source {other}, expected EcsContainer or Ec2InstanceMetadata"
            )));
        }
        _ => {
            return Err(missing(
                "not one of source_profile, credential_source and web_identity_token_file",
            ));
        }
    };
    Ok(Some(Source::Role {
        base: Box::new(base),
        role,
    }))
}

fn given(profiles: &Profiles, profile: &str) -> Result<Option<Source>, KmsError> {
    let Some(id) = profiles.text(profile, "aws_access_key_id") else {
        return Ok(None);
    };
    let secret = profiles
        .get(profile, "aws_secret_access_key")
        .ok_or_else(|| KmsError::Setting {
            name: "AWS_PROFILE",
            reason: format!("profile {profile} has aws_access_key_id and no aws_secret_access_key"),
        })?;
    Ok(Some(Source::Given(Credentials {
        id,
        secret: secret.clone(),
        session: profiles.get(profile, "aws_session_token").cloned(),
        ends: None,
    })))
}

fn role(settings: &Settings<'_>, arn: String, session: Option<String>, region: &str) -> Result<Role, KmsError> {
    let sts = match super::configured_endpoint(settings, "AWS_ENDPOINT_URL_STS")? {
        Some(url) => url,
        None => super::default_endpoint("sts", region)?,
    };
    Ok(Role {
        arn,
        session: session.unwrap_or_else(|| SESSION_NAME.to_owned()),
        external_id: None,
        sts,
        region: region.to_owned(),
    })
}

fn container(settings: &Settings<'_>) -> Result<Option<Source>, KmsError> {
    let bad = |name: &'static str| move |reason: String| KmsError::Setting { name, reason };
    let url = if let Some(path) = settings.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        // The agent's address is AWS's; only the path is of the setting.
        let name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
        let base = Url::parse("http://169.254.170.2/").map_err(|error| bad(name)(error.to_string()))?;
        let url = base.join(&path).map_err(|error| bad(name)(error.to_string()))?;
        if url.origin() != base.origin() {
            return Err(bad(name)("expected a path".to_owned()));
        }
        url
    } else if let Some(full) = settings.get("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
        local_address(&full).map_err(bad("AWS_CONTAINER_CREDENTIALS_FULL_URI"))?
    } else {
        return Ok(None);
    };
    Ok(Some(Source::Container {
        url,
        token: settings.secret("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
        token_file: settings
            .get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
            .map(PathBuf::from),
    }))
}

fn instance(settings: &Settings<'_>) -> Result<Source, KmsError> {
    if settings.is_true("AWS_EC2_METADATA_DISABLED") {
        return Err(fetch::none_found());
    }
    let name = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    let text = settings
        .get(name)
        .unwrap_or_else(|| "http://169.254.169.254/".to_owned());
    Ok(Source::Instance {
        url: local_address(&text).map_err(|reason| KmsError::Setting { name, reason })?,
    })
}
