//! Asking for credentials: STS (API version 2011-06-15), the container's agent, the instance's metadata (version 2).

use proofmark_types::UnixTime;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::credentials::{Credentials, Role, Source};
use super::sigv4::Scope;
use super::throttled;
use crate::http::Answer;
use crate::kms::settings::{Secret, join, read_file};
use crate::kms::wire::{Wire, form, json, place, shown};
use crate::kms::{KmsError, now};

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Six hours, the longest that the metadata service takes; ours is used at once.
const METADATA_TOKEN_SECONDS: &str = "21600";

pub(super) async fn credentials(source: &Source, wire: &Wire) -> Result<Credentials, KmsError> {
    match source {
        Source::Role { base, role } => {
            let base = direct(base, wire).await?;
            assume_role(role, &base, wire).await
        }
        other => direct(other, wire).await,
    }
}

/// What to say when nothing was found.
pub(super) fn none_found() -> KmsError {
    KmsError::NoCredentials {
        service: "AWS",
        hint: "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or AWS_WEB_IDENTITY_TOKEN_FILE and \
               AWS_ROLE_ARN; there is no container agent and no instance metadata here",
    }
}

async fn direct(source: &Source, wire: &Wire) -> Result<Credentials, KmsError> {
    match source {
        Source::Given(credentials) => Ok(credentials.clone()),
        Source::WebIdentity { file, role } => web_identity(file, role, wire).await,
        Source::Container { url, token, token_file } => {
            let token = match token_file {
                Some(path) => Some(Secret::new(read_file(path)?.trim())),
                None => token.clone(),
            };
            container(url, token.as_ref(), wire).await
        }
        Source::Instance { url } => instance(url, wire).await,
        // Roles of roles are not configured by `find`.
        Source::Role { .. } => Err(none_found()),
    }
}

async fn web_identity(file: &std::path::Path, role: &Role, wire: &Wire) -> Result<Credentials, KmsError> {
    let token = read_file(file)?;
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", &role.arn),
        ("RoleSessionName", &role.session),
        ("WebIdentityToken", token.trim()),
    ]);
    let answer = wire
        .ask(&role.sts, throttled, || {
            Ok(wire
                .request(&Method::POST, &role.sts)
                .header(CONTENT_TYPE, FORM)
                .body(body.as_bytes().to_vec()))
        })
        .await?;
    from_sts(&answer, &role.sts)
}

async fn assume_role(role: &Role, base: &Credentials, wire: &Wire) -> Result<Credentials, KmsError> {
    let mut fields = vec![
        ("Action", "AssumeRole"),
        ("Version", "2011-06-15"),
        ("RoleArn", role.arn.as_str()),
        ("RoleSessionName", role.session.as_str()),
    ];
    fields.extend(role.external_id.as_deref().map(|id| ("ExternalId", id)));
    let body = form(&fields);
    let answer = wire
        .ask(&role.sts, throttled, || {
            let request = wire.request(&Method::POST, &role.sts).body(body.as_bytes().to_vec());
            let scope = Scope {
                region: &role.region,
                service: "sts",
                at: now(),
            };
            let headers = [("content-type", FORM)];
            super::signed(request, &role.sts, &headers, body.as_bytes(), &scope, base)
        })
        .await?;
    from_sts(&answer, &role.sts)
}

/// Credentials of ECS and EKS (`AccessKeyId`, `SecretAccessKey`, `Token`, `Expiration`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    /// Of the instance's metadata alone: `Success`.
    code: Option<String>,
    access_key_id: String,
    secret_access_key: Secret,
    token: Option<Secret>,
    expiration: Option<String>,
}

impl Document {
    fn credentials(self, url: &Url) -> Result<Credentials, KmsError> {
        let bad = |reason: &str| KmsError::Answer {
            url: place(url),
            reason: reason.to_owned(),
        };
        if self.code.is_some_and(|code| code != "Success") {
            return Err(bad("the credentials are not there: its Code is not Success"));
        }
        let ends = self
            .expiration
            .map(|text| UnixTime::parse(&text).map_err(|_| bad("Expiration is no RFC 3339 time")))
            .transpose()?;
        if !is_key_id(&self.access_key_id) {
            return Err(bad("AccessKeyId is none"));
        }
        Ok(Credentials {
            id: self.access_key_id,
            secret: self.secret_access_key,
            session: self.token,
            ends,
        })
    }
}

async fn container(url: &Url, token: Option<&Secret>, wire: &Wire) -> Result<Credentials, KmsError> {
    let answer = wire
        .ask(
            url,
            |_| false,
            || {
                let request = wire.request(&Method::GET, url);
                Ok(match token {
                    Some(token) => request.header(AUTHORIZATION, token.header("")?),
                    None => request,
                })
            },
        )
        .await?;
    ok(answer, url).and_then(|answer| json::<Document>(&answer, url)?.credentials(url))
}

async fn instance(base: &Url, wire: &Wire) -> Result<Credentials, KmsError> {
    const HEADER: &str = "x-aws-ec2-metadata-token";
    let url = join(base, ["latest", "api", "token"]);
    let ttl = "x-aws-ec2-metadata-token-ttl-seconds";
    let answer = wire
        .ask_metadata(&url, || {
            Ok(wire
                .request(&Method::PUT, &url)
                .header(ttl, METADATA_TOKEN_SECONDS)
                .header("content-length", "0"))
        })
        .await
        // Not on an instance, then.
        .map_err(|_| none_found())?;
    let answer = ok(answer, &url)?;
    let token = Secret::new(String::from_utf8_lossy(&answer.body).trim());
    let get = async |url: &Url| {
        let answer = wire
            .ask_metadata(url, || {
                Ok(wire.request(&Method::GET, url).header(HEADER, token.header("")?))
            })
            .await?;
        ok(answer, url)
    };
    let list = join(base, ["latest", "meta-data", "iam", "security-credentials", ""]);
    let role = String::from_utf8_lossy(&get(&list).await?.body).trim().to_owned();
    // The name goes into a path: it may have what names of roles have (IAM API Reference, CreateRole), nothing else.
    let named = |c: char| c.is_ascii_alphanumeric() || "+=,.@-_".contains(c);
    if role.is_empty() || role.len() > 64 || !role.chars().all(named) {
        return Err(KmsError::Answer {
            url: place(&list),
            reason: "expected the name of the instance's role".to_owned(),
        });
    }
    let url = join(base, ["latest", "meta-data", "iam", "security-credentials", &role]);
    let answer = get(&url).await?;
    json::<Document>(&answer, &url)?.credentials(&url)
}

fn ok(answer: Answer, url: &Url) -> Result<Answer, KmsError> {
    answer.expect(&shown(url), &[StatusCode::OK]).map_err(KmsError::Http)
}

/// STS answers in XML of one fixed shape; the four values are read from between their tags, and none of them may have
/// anything in it that XML would write otherwise.
fn from_sts(answer: &Answer, url: &Url) -> Result<Credentials, KmsError> {
    let text = Zeroizing::new(String::from_utf8_lossy(&answer.body).into_owned());
    if answer.status != StatusCode::OK {
        let part = |name: &str| between(&text, name).unwrap_or_default();
        return Err(KmsError::refused(url, answer, part("Code"), part("Message")));
    }
    let bad = || KmsError::Answer {
        url: place(url),
        reason: "expected Credentials with AccessKeyId, SecretAccessKey, SessionToken and Expiration".to_owned(),
    };
    let inner = between(&text, "Credentials").ok_or_else(bad)?;
    let value = |name: &str| {
        between(inner, name)
            .filter(|value| !value.is_empty() && !value.contains(['<', '&']))
            .ok_or_else(bad)
    };
    let id = value("AccessKeyId")?;
    if !is_key_id(id) {
        return Err(bad());
    }
    Ok(Credentials {
        id: id.to_owned(),
        secret: Secret::new(value("SecretAccessKey")?),
        session: Some(Secret::new(value("SessionToken")?)),
        ends: Some(UnixTime::parse(value("Expiration")?).map_err(|_| bad())?),
    })
}

/// The text between the first `<name>` and the `</name>` after it.
fn between<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (inner, _) = rest.split_once(&format!("</{name}>"))?;
    Some(inner.trim())
}

/// The id goes into a header: letters and digits, 16 to 128 (IAM API Reference, AccessKey).
fn is_key_id(text: &str) -> bool {
    (16..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
