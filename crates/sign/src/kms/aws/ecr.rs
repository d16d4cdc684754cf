//! The password of Elastic Container Registry: one for all registries that the account may read, twelve hours long (ECR API
//! reference, `GetAuthorizationToken`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_types::UnixTime;
use serde::Deserialize;
use serde_json::json as value;
use zeroize::Zeroizing;

use super::{Api, Service, service};
use crate::kms::settings::Secret;
use crate::kms::{KmsError, Setup};

const ECR: Api = Api {
    service: "ecr",
    target: "AmazonEC2ContainerRegistry_V20150921",
    host: "api.ecr",
    fips_host: "ecr-fips",
    variable: "AWS_ENDPOINT_URL_ECR",
};

/// ECR of one region, as one identity.
#[derive(Debug)]
pub(in crate::kms) struct Ecr(Service);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Granted {
    authorization_data: Vec<Authorization>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: Secret,
    /// Seconds, with a fraction.
    expires_at: f64,
}

impl Ecr {
    pub(in crate::kms) fn of(region: Option<&str>, setup: &Setup<'_>) -> Result<Self, KmsError> {
        service(ECR, None, region, setup).map(Self)
    }

    /// User name, password and end.
    pub(in crate::kms) async fn credential(&self) -> Result<(String, Secret, UnixTime), KmsError> {
        let granted: Granted = self.0.call("GetAuthorizationToken", &value!({})).await?;
        let bad = || {
            self.0
                .bad("it has no authorizationToken of the form user:password in base64")
        };
        let data = granted.authorization_data.into_iter().next().ok_or_else(bad)?;
        let decoded = STANDARD.decode(data.authorization_token.expose()).map_err(|_| bad())?;
        let decoded = Zeroizing::new(String::from_utf8(decoded).map_err(|_| bad())?);
        let (user, password) = decoded.split_once(':').ok_or_else(bad)?;
        let ends = whole_seconds(data.expires_at).ok_or_else(|| self.0.bad("expiresAt is no time"))?;
        Ok((user.to_owned(), Secret::new(password), ends))
    }
}

/// AWS writes times as numbers with a fraction.
fn whole_seconds(seconds: f64) -> Option<UnixTime> {
    let text = format!("{:.0}", seconds.floor());
    UnixTime::from_seconds(text.parse().ok()?).ok()
}
