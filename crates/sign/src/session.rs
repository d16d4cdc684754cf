//! A keyless session: one key that is never written anywhere, one short-lived certificate, several signatures.

use std::fmt;

use proofmark_trust_root::SigningConfig;
use proofmark_types::UnixTime;
use proofmark_verify::KeyAlgorithm;

use crate::error::SignError;
use crate::fulcio::{self, Issued};
use crate::key::SigningKey;
use crate::services::{Options, Services};
use crate::token::IdentityToken;

/// One ephemeral key with its certificate. Signs until the certificate ends, some ten minutes.
pub struct KeylessSession {
    key: SigningKey,
    issued: Issued,
    services: Services,
    options: Options,
}

impl KeylessSession {
    /// Gets a certificate, in these steps:
    ///
    /// 1. the token is one that the authority could accept;
    /// 2. every service is chosen, so that nothing is asked of one if another is missing; there is one that says the
    ///    time, without which the signature would end with the certificate;
    /// 3. the authority is one that the token may be sent to: https, or this machine;
    /// 4. a new key is made, and the certificate that comes back is on that key.
    pub async fn begin(config: &SigningConfig, token: IdentityToken, options: Options) -> Result<Self, SignError> {
        let now = options.now();
        // 1.
        token.check(&options.audience, now)?;
        // 2.
        let services = Services::choose(config, &options)?;
        if !services.say_time() {
            return Err(SignError::NoTimestampAuthority);
        }
        let authority = config.certificate_authority(now)?;
        // 3.
        if authority.is_exposed() {
            return Err(SignError::Exposed {
                url: authority.url.clone(),
            });
        }
        // 4.
        let key = SigningKey::generate(KeyAlgorithm::EcdsaP256)?;
        let url = authority.endpoint(fulcio::PATH);
        let issued = fulcio::request(services.http(), &url, &token, &key, now).await?;
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
