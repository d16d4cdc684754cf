//! INSECURE development issuer: an identity provider that vouches for whatever it is told, for demonstrations and tests.
//!
//! It is there only when `init` was asked for it, its URL says what it is, and whoever can read its key file can be
//! anybody. Tokens are RS256, as cosign's command line takes no others. They are minted in the process that reads the
//! folder; there is no HTTP endpoint that gives one away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proofmark_types::{UnixTime, is_loopback};
use serde_json::{Map, Value, json};
use url::Url;

use crate::folder;
use crate::init::files;
use crate::key::{KeyFileError, RsaKey};
use crate::oidc::{IssuerConfig, KeySet};

/// The path of the issuer of CI-shaped tokens on the server's origin.
pub(crate) const CI_PATH: &str = "/insecure-development-issuer/ci";
/// The path of the issuer of tokens for people.
pub(crate) const EMAIL_PATH: &str = "/insecure-development-issuer/email";
/// GitHub's tokens live for ten minutes.
const LIFETIME: Duration = Duration::from_secs(600);
const KEY_ID: &str = "insecure-development-key";
/// The audience that sigstore's clients ask for.
const AUDIENCE: &str = "sigstore";

/// Mints identity tokens that say whatever they are asked to.
pub struct DevIssuer {
    key: RsaKey,
    jwks: Value,
    origin: String,
}

/// What a CI-shaped token is about; everything else in it is made up to go with this.
#[derive(Clone, Debug)]
pub struct CiClaims<'a> {
    /// `owner/name`.
    pub repository: &'a str,
    /// The workflow's path in the repository, such as `.github/workflows/release.yml`.
    pub workflow: &'a str,
    /// The git reference, such as `refs/heads/main`.
    pub reference: &'a str,
    /// The commit.
    pub sha: &'a str,
    /// The run.
    pub run_id: u64,
}

impl DevIssuer {
    /// Reads the issuer's key from the folder of a trust domain that was made with one.
    pub fn open(folder: &Path) -> Result<Self, KeyFileError> {
        let key = RsaKey::load(&folder.join(files::DEV_KEY))?;
        let origin = folder::read(&folder.join(files::DEV_ORIGIN))?;
        let origin = String::from_utf8_lossy(&origin).trim().to_owned();
        let (n, e) = key.components()?;
        let encode = |bytes| URL_SAFE_NO_PAD.encode(bytes);
        let jwk = json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, "n": encode(n), "e": encode(e)});
        Ok(Self {
            key,
            jwks: json!({"keys": [jwk]}),
            origin,
        })
    }

    /// Where the trust domain is, whose authority believes these tokens.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether only programs of this machine can take its tokens for true.
    #[must_use]
    pub fn is_on_this_machine(&self) -> bool {
        Url::parse(&self.origin).is_ok_and(|origin| is_loopback(&origin))
    }

    /// The issuer of CI-shaped tokens: of type `ci-provider` for GitHub.
    #[must_use]
    pub fn ci_issuer(&self) -> String {
        format!("{}{CI_PATH}", self.origin)
    }

    /// The issuer of tokens for people: of type `email`.
    #[must_use]
    pub fn email_issuer(&self) -> String {
        format!("{}{EMAIL_PATH}", self.origin)
    }

    /// A token with exactly these claims; `iss`, `aud`, `iat`, `nbf` and `exp` are added where they are missing.
    pub fn mint(&self, claims: &Map<String, Value>, now: UnixTime) -> Result<String, KeyFileError> {
        let mut all = Map::new();
        all.insert("iss".to_owned(), json!(self.ci_issuer()));
        all.insert("aud".to_owned(), json!(AUDIENCE));
        all.insert("iat".to_owned(), json!(now.seconds()));
        all.insert("nbf".to_owned(), json!(now.seconds()));
        all.insert("exp".to_owned(), json!(now.plus(LIFETIME).seconds()));
        all.extend(claims.clone());
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": KEY_ID});
        let part = |value: String| URL_SAFE_NO_PAD.encode(value);
        let signed = format!("{}.{}", part(header.to_string()), part(Value::Object(all).to_string()));
        let signature = self.key.sign(signed.as_bytes())?;
        tracing::warn!("the INSECURE development issuer minted an identity token");
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// A token as a GitHub Actions job would have it.
    pub fn mint_ci(&self, ci: &CiClaims<'_>, now: UnixTime) -> Result<String, KeyFileError> {
        let owner = ci.repository.split('/').next().unwrap_or_default();
        let workflow_ref = format!("{}/{}@{}", ci.repository, ci.workflow, ci.reference);
        let branch = ci
            .reference
            .trim_start_matches("refs/heads/")
            .trim_start_matches("refs/tags/");
        let kind = if ci.reference.starts_with("refs/tags/") {
            "tag"
        } else {
            "branch"
        };
        let claims = json!({
            "iss": self.ci_issuer(),
            "sub": format!("repo:{}:ref:{}", ci.repository, ci.reference),
            "repository": ci.repository,
            "repository_owner": owner,
            "repository_id": "1000001",
            "repository_owner_id": "2000002",
            "repository_visibility": "private",
            "ref": ci.reference,
            "ref_name": branch,
            "ref_type": kind,
            "ref_protected": "true",
            "sha": ci.sha,
            "workflow": ci.workflow.rsplit('/').next().unwrap_or_default().trim_end_matches(".yml"),
            "workflow_ref": workflow_ref,
            "workflow_sha": ci.sha,
            "job_workflow_ref": workflow_ref,
            "job_workflow_sha": ci.sha,
            "event_name": "push",
            "run_id": ci.run_id.to_string(),
            "run_number": "1",
            "run_attempt": "1",
            "runner_environment": "self-hosted",
            "actor": owner,
        });
        self.mint(&object(claims), now)
    }

    /// A token for a person.
    pub fn mint_email(&self, address: &str, now: UnixTime) -> Result<String, KeyFileError> {
        let claims = json!({
            "iss": self.email_issuer(),
            "sub": format!("development|{address}"),
            "email": address,
            "email_verified": true,
        });
        self.mint(&object(claims), now)
    }

    pub(crate) fn configs(origin: &str) -> [IssuerConfig; 2] {
        let (ci, email) = (format!("{origin}{CI_PATH}"), format!("{origin}{EMAIL_PATH}"));
        [IssuerConfig::github(&ci, None), IssuerConfig::email(&email)]
    }

    /// The discovery document of one of the two issuers.
    pub(crate) fn discovery(&self, path: &str) -> Value {
        let issuer = format!("{}{path}", self.origin);
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/jwks"),
            "authorization_endpoint": format!("{issuer}/there-is-no-login"),
            "token_endpoint": format!("{issuer}/there-is-no-login"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "service_documentation": "INSECURE: vouches for anything, for demonstrations only",
        })
    }

    pub(crate) fn jwks(&self) -> &Value {
        &self.jwks
    }

    /// The keys, if `issuer` is one of the two: the server does not ask itself over HTTP.
    pub(crate) fn key_set(&self, issuer: &str) -> Option<Arc<KeySet>> {
        if issuer != self.ci_issuer() && issuer != self.email_issuer() {
            return None;
        }
        KeySet::parse(self.jwks().to_string().as_bytes()).map(Arc::new)
    }
}

/// A domain that the world reaches in https must not have an issuer that vouches for anything: its certificates would
/// look like anybody's.
pub(crate) fn is_allowed_at(origin: &Url) -> bool {
    origin.scheme() != "https" || is_loopback(origin)
}

/// The fields of an object that was just written as one.
fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
