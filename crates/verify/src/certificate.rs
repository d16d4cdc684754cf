//! Facts of a leaf certificate that verified: subjects, issuer and what the authority recorded about the build.

use std::collections::BTreeMap;

use proofmark_types::{Digest, Identity, UnixTime};

/// What a verified certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subjects and the OIDC issuer.
    pub identity: Identity,
    /// What the authority recorded from the token.
    pub extensions: CertificateExtensions,
    /// Start of validity.
    pub not_before: UnixTime,
    /// End of validity.
    pub not_after: UnixTime,
    /// Serial number, in hex.
    pub serial: String,
    /// SHA-256 of the certificate's DER.
    pub fingerprint: Digest,
    /// The authority it chains to, in words: the address in the trust root, or the anchor's subject.
    pub authority: String,
}

/// The extensions under 1.3.6.1.4.1.57264.1 (Fulcio, docs/oid-info.md), by their last number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateExtensions {
    values: BTreeMap<u32, String>,
}

macro_rules! extension_getters {
    ($($name:ident, $number:literal, $doc:literal;)*) => {
        $(#[doc = $doc]
        #[must_use]
        pub fn $name(&self) -> Option<&str> {
            self.get($number)
        })*
    };
}

impl CertificateExtensions {
    /// The value of extension `1.3.6.1.4.1.57264.1.<number>`.
    #[must_use]
    pub fn get(&self, number: u32) -> Option<&str> {
        self.values.get(&number).map(String::as_str)
    }

    /// All values, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        self.values.iter().map(|(number, value)| (*number, value.as_str()))
    }

    extension_getters! {
        github_workflow_trigger, 2, "The event that triggered the GitHub workflow (.2).";
        github_workflow_sha, 3, "The commit that the GitHub workflow ran at (.3).";
        github_workflow_name, 4, "The name of the GitHub workflow (.4).";
        github_workflow_repository, 5, "The repository of the GitHub workflow, `owner/name` (.5).";
        github_workflow_ref, 6, "The git reference of the GitHub workflow (.6).";
        build_signer_uri, 9, "The build instructions that signed (.9).";
        build_signer_digest, 10, "The version of the build instructions that signed (.10).";
        runner_environment, 11, "Hosted or self-hosted (.11).";
        source_repository_uri, 12, "The source repository (.12).";
        source_repository_digest, 13, "The source revision (.13).";
        source_repository_ref, 14, "The source reference (.14).";
        source_repository_identifier, 15, "The immutable identifier of the source repository (.15).";
        source_repository_owner_uri, 16, "The owner of the source repository (.16).";
        source_repository_owner_identifier, 17, "The immutable identifier of the owner (.17).";
        build_config_uri, 18, "The top-level build configuration (.18).";
        build_config_digest, 19, "The version of the top-level build configuration (.19).";
        build_trigger, 20, "What triggered the build (.20).";
        run_invocation_uri, 21, "The run (.21).";
        source_repository_visibility, 22, "Visibility of the source repository when signing (.22).";
        deployment_environment, 23, "The deployment environment (.23).";
        token_subject, 24, "The `sub` claim of the token (.24).";
    }
}
