//! A keyless session: one key that is never written anywhere, one short-lived certificate, several signatures.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use proofmark_trust_root::SigningConfig;
use proofmark_types::UnixTime;
use proofmark_verify::KeyAlgorithm;

use crate::error::{Service, SignError};
use crate::fulcio::{self, Issued};
use crate::key::SigningKey;
use crate::services::{Listener, Options, Pool, Services};
use crate::token::IdentityToken;

/// One ephemeral key with its certificate. Signs until the certificate ends, some ten minutes.
pub struct KeylessSession {
    key: SigningKey,
    issued: Issued,
    services: Services,
    options: Options,
}

impl KeylessSession {
    /// Gets a certificate on a new key, which is never written anywhere.
    pub async fn begin(config: &SigningConfig, token: IdentityToken, options: Options) -> Result<Self, SignError> {
        let key = SigningKey::generate(KeyAlgorithm::EcdsaP256)?;
        Self::begin_with_key(config, token, key, options).await
    }

    /// Gets a certificate on a key of one's own (cosign's `--issue-certificate`), in these steps:
    ///
    /// 1. the token is one that the authority could accept;
    /// 2. every service is chosen, so that nothing is asked of one if another is missing; there is one that says the
    ///    time, without which the signature would end with the certificate;
    /// 3. the authority is one that the token may be sent to: https, or this machine;
    /// 4. the certificate that comes back is on the key; another authority is asked if one does not answer;
    /// 5. from then on nothing is waited for that comes after the certificate's end.
    pub async fn begin_with_key(
        config: &SigningConfig,
        token: IdentityToken,
        key: SigningKey,
        options: Options,
    ) -> Result<Self, SignError> {
        let now = options.now();
        // 1.
        token.check(&options.audience, now)?;
        // 2.
        let services = Services::choose(config, &options)?;
        if !services.say_time() {
            return Err(SignError::NoTimestampAuthority);
        }
        services.take_envelopes_of(&key)?;
        config.certificate_authority(now)?;
        let authorities = Pool::of(Service::Authority, &config.authority_choice(now)?, |authority| {
            authority.endpoint(fulcio::PATH)
        });
        // 3. and 4.
        let listener = Listener(Arc::clone(&options.warn));
        let issued = authorities
            .gather(1, &listener, |url| {
                let (services, token, key) = (&services, &token, &key);
                Box::pin(async move {
                    if url.scheme() != "https" && !proofmark_types::is_loopback(&url) {
                        return Err(SignError::Exposed { url });
                    }
                    fulcio::request(services.http(), &url, token, key, now).await
                })
            })
            .await?;
        let issued = issued.into_iter().next().ok_or(SignError::NoAnswer)?;
        // 5.
        let left = u64::try_from(issued.not_after.seconds().saturating_sub(options.now().seconds()));
        let services = services.ending_in(Duration::from_secs(left.unwrap_or_default()));
        Ok(Self {
            key,
            issued,
            services,
            options,
        })
    }

    /// The certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.issued.leaf
    }

    /// The rest of the chain as the authority gave it, DER, the root last.
    #[must_use]
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.issued.chain
    }

    /// When the certificate ends.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.issued.not_after
    }

    pub(crate) fn key(&self) -> &SigningKey {
        &self.key
    }

    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the certificate still lives: a signature after its end would never verify.
    pub(crate) fn check_time(&self) -> Result<(), SignError> {
        let at = self.options.now();
        if at > self.issued.not_after {
            return Err(SignError::CertificateExpired {
                not_after: self.issued.not_after,
                at,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for KeylessSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeylessSession")
            .field("key", &self.key)
            .field("not_after", &self.issued.not_after)
            .finish_non_exhaustive()
    }
}
