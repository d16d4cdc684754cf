//! Keys with a certificate: of one's own authority (`--certificate`, `--certificate-chain`), whom what was signed is
//! verified with at once.

use std::sync::Arc;

use proofmark_evidence::encoding::pem_decode_all;
use proofmark_policy::{LogRule, Requirement, SignerRule, TextMatch};
use proofmark_sign::{SignError, SigningKey};
use proofmark_trust_root::{ServiceKind, SigningConfig};
use proofmark_verify::{TrustRoot, Verifier};

use super::{Hand, Options, Signer, sign_failure};
use crate::args::SigningArgs;
use crate::checking::{Wish, leaf_certificate};
use crate::context::read_file;
use crate::failure::{Failure, chain};

/// The certificate of `--certificate`, and after it its chain.
pub(super) fn given(args: &SigningArgs) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    let Some(path) = &args.certificate else {
        return Ok(None);
    };
    let mut certificates = vec![leaf_certificate(path)?];
    if let Some(path) = &args.certificate_chain {
        let unusable = |what: &str| {
            Failure::usage("malformed-certificate", format!("{}: {what}", path.display()))
                .with_hint("expected a PEM file: the intermediates, each signed by the next, and the root last")
        };
        let text = String::from_utf8(read_file(path)?).map_err(|_| unusable("not text"))?;
        let authorities = pem_decode_all("CERTIFICATE", &text).ok_or_else(|| unusable("not a list of certificates"))?;
        if authorities.is_empty() {
            return Err(unusable("there is no certificate in it"));
        }
        certificates.extend(authorities);
    }
    Ok(Some(certificates))
}

impl Hand {
    /// Signs with a key that comes with its certificate.
    pub(super) fn certified(
        key: SigningKey,
        certificates: &[Vec<u8>],
        config: Option<&SigningConfig>,
        options: Options,
    ) -> Result<Self, Failure> {
        let trust_root = options.trust_root.clone();
        let signer = Signer::certified_key(key, certificates, config, options).map_err(|error| match error {
            SignError::CertificateKey => sign_failure(error).with_hint("--certificate is to be the one of --key"),
            error => sign_failure(error),
        })?;
        Ok(Self {
            signer,
            bundles: true,
            also_legacy: false,
            logged: config.is_some_and(|config| config.has(ServiceKind::Log)),
            trust_root,
            authority: certificates.get(1..).unwrap_or_default().to_vec(),
            claims: None,
        })
    }

    /// Who believes the certificate that this hand signs with.
    pub(super) fn believer(&self) -> Result<Verifier, Failure> {
        let verifier = match &self.trust_root {
            Some(root) => Verifier::new().with_trust_root(Arc::clone(root)),
            None => Verifier::new(),
        };
        if self.authority.is_empty() {
            return Ok(verifier);
        }
        verifier
            .with_ca_chain(&self.authority)
            .map_err(|error| Failure::usage(error.code(), format!("--certificate-chain: {}", chain(&error))))
    }

    /// Exactly this subject under the chain that was given: what `release --certificate` reads back. Authorities of
    /// one's own embed no certificate timestamps, and most name no issuer.
    pub(super) fn certified_wish(&self, subject: &str, issuer: Option<&str>) -> Result<Wish, Failure> {
        let unusable = |error| Failure::usage("malformed-identity", error);
        let issuer = match issuer {
            Some(issuer) => TextMatch::exact(issuer),
            // Matches the absence, and nothing else.
            None => TextMatch::regexp("()"),
        };
        let rule = SignerRule::keyless(TextMatch::exact(subject).map_err(unusable)?, issuer.map_err(unusable)?);
        let mut requirement = Requirement::signature(vec![rule]);
        requirement.sct = false;
        requirement.log = LogRule::NotRequired;
        requirement.current_time = true;
        Ok(Wish::new(self.believer()?, requirement))
    }
}

/// A certificate without its chain is believed by a trusted root, or by nobody.
pub(super) fn need_authority(root: Option<&Arc<TrustRoot>>, args: &SigningArgs) -> Result<(), Failure> {
    if args.certificate.is_some() && args.certificate_chain.is_none() && root.is_none() {
        return Err(Failure::usage(
            "trusted-root-missing",
            "--certificate: what is signed is verified at once, and nothing says which authority to believe",
        )
        .with_hint("give --certificate-chain FILE, or --trusted-root FILE with the authority in it"));
    }
    Ok(())
}
