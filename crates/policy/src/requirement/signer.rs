//! Who may sign: a key, or whoever has a certificate that says so.

use std::fmt;

use proofmark_types::{Digest, Identity, SubjectName};
use proofmark_verify::{CertificateFacts, SignerProof};

use super::{Mismatch, OTHER_SIGNER_KIND};
use crate::text::TextMatch;

/// Someone who may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignerRule {
    /// The key with this fingerprint (SHA-256 of its SubjectPublicKeyInfo).
    Key(Digest),
    /// Whoever has a certificate with this identity.
    Keyless(Box<KeylessRule>),
}

impl SignerRule {
    /// The key with `fingerprint`.
    #[must_use]
    pub fn key(fingerprint: Digest) -> Self {
        Self::Key(fingerprint)
    }

    /// Certificates with `subject` from `issuer`.
    #[must_use]
    pub fn keyless(subject: TextMatch, issuer: TextMatch) -> Self {
        Self::Keyless(Box::new(KeylessRule::new(subject, issuer)))
    }

    pub(super) fn accepts(&self, signer: &SignerProof) -> Result<(), Mismatch> {
        match (self, signer) {
            (Self::Key(wanted), SignerProof::Key { fingerprint, .. }) if wanted == fingerprint => Ok(()),
            (Self::Key(_), SignerProof::Key { .. }) => Err(("key-mismatch", self.to_string(), describe(signer))),
            (Self::Keyless(rule), SignerProof::Certificate(facts)) => rule.accepts(facts),
            _ => Err((OTHER_SIGNER_KIND, self.to_string(), describe(signer))),
        }
    }
}

impl fmt::Display for SignerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fingerprint) => write!(f, "key {fingerprint}"),
            Self::Keyless(rule) => write!(f, "{rule}"),
        }
    }
}

/// What a certificate must say. One of its subjects and its issuer must match; every extension named must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeylessRule {
    /// The subject alternative name.
    pub subject: TextMatch,
    /// Of which kind it must be; any if absent. The same text as an e-mail and as a URI are different subjects.
    pub subject_kind: Option<SubjectKind>,
    /// The OIDC issuer.
    pub issuer: TextMatch,
    /// What the authority recorded of a GitHub workflow.
    pub github: Vec<(GithubField, TextMatch)>,
}

impl KeylessRule {
    /// Any kind of subject, no extension.
    #[must_use]
    pub fn new(subject: TextMatch, issuer: TextMatch) -> Self {
        Self {
            subject,
            subject_kind: None,
            issuer,
            github: Vec::new(),
        }
    }

    fn accepts(&self, facts: &CertificateFacts) -> Result<(), Mismatch> {
        let Identity { subjects, issuer } = &facts.identity;
        // Certificates of one's own authority name no issuer: an expression that matches nothing as well as anything
        // (`.*`) takes them, as in cosign; no exact text does.
        if !self.issuer.matches(issuer.as_deref().unwrap_or_default()) {
            return Err((
                "issuer-mismatch",
                format!("issuer {}", self.issuer),
                issuer
                    .as_ref()
                    .map_or_else(|| "no issuer".to_owned(), |seen| format!("issuer {seen}")),
            ));
        }
        let of_kind = |seen: &&SubjectName| self.subject_kind.is_none_or(|kind| kind.is(seen));
        if !subjects
            .iter()
            .filter(of_kind)
            .any(|seen| self.subject.matches(seen.value()))
        {
            let seen = subjects
                .iter()
                .map(|seen| format!("{} {seen}", seen.kind()))
                .collect::<Vec<_>>();
            return Err((
                "subject-mismatch",
                match self.subject_kind {
                    Some(kind) => format!("{} {}", kind.name(), self.subject),
                    None => format!("subject {}", self.subject),
                },
                if seen.is_empty() {
                    "no subject".to_owned()
                } else {
                    seen.join(", ")
                },
            ));
        }
        for (field, wanted) in &self.github {
            let seen = field.of(facts);
            if !seen.is_some_and(|seen| wanted.matches(seen)) {
                return Err((
                    "github-claim-mismatch",
                    format!("{} {wanted}", field.name()),
                    seen.map_or_else(|| format!("no {}", field.name()), ToOwned::to_owned),
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for KeylessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "identity {} (issuer {})", self.subject, self.issuer)?;
        for (field, wanted) in &self.github {
            write!(f, ", {} {wanted}", field.name())?;
        }
        Ok(())
    }
}

/// The kinds of subject alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SubjectKind {
    /// An e-mail address.
    Email,
    /// A URI.
    Uri,
    /// A host name.
    Dns,
    /// An IP address.
    Ip,
    /// A user name (`otherName`).
    OtherName,
}

impl SubjectKind {
    /// Reads the word that policies use: `email`, `uri`, `dns`, `ip` or `username`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "email" => Self::Email,
            "uri" => Self::Uri,
            "dns" => Self::Dns,
            "ip" => Self::Ip,
            "username" => Self::OtherName,
            _ => return None,
        })
    }

    /// The word that policies use.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Ip => "ip",
            Self::OtherName => "username",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Uri => "URI",
            Self::Dns => "DNS name",
            Self::Ip => "IP address",
            Self::OtherName => "user name",
        }
    }

    fn is(self, name: &SubjectName) -> bool {
        matches!(
            (self, name),
            (Self::Email, SubjectName::Email(_))
                | (Self::Uri, SubjectName::Uri(_))
                | (Self::Dns, SubjectName::Dns(_))
                | (Self::Ip, SubjectName::Ip(_))
                | (Self::OtherName, SubjectName::OtherName(_))
        )
    }
}

/// The five extensions of GitHub workflows that cosign has flags for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GithubField {
    /// The event, such as `push`.
    Trigger,
    /// The commit.
    Sha,
    /// The workflow's name.
    Name,
    /// The repository, `owner/name`.
    Repository,
    /// The git reference.
    Ref,
}

impl GithubField {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Trigger, Self::Sha, Self::Name, Self::Repository, Self::Ref];

    /// The word that policies and flags use.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Sha => "sha",
            Self::Name => "name",
            Self::Repository => "repository",
            Self::Ref => "ref",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Trigger => "GitHub workflow trigger",
            Self::Sha => "GitHub workflow commit",
            Self::Name => "GitHub workflow name",
            Self::Repository => "GitHub workflow repository",
            Self::Ref => "GitHub workflow ref",
        }
    }

    fn of(self, facts: &CertificateFacts) -> Option<&str> {
        match self {
            Self::Trigger => facts.extensions.github_workflow_trigger(),
            Self::Sha => facts.extensions.github_workflow_sha(),
            Self::Name => facts.extensions.github_workflow_name(),
            Self::Repository => facts.extensions.github_workflow_repository(),
            Self::Ref => facts.extensions.github_workflow_ref(),
        }
    }
}

/// Who signed, in words.
pub(crate) fn describe(signer: &SignerProof) -> String {
    match signer {
        SignerProof::Key { fingerprint, .. } => format!("key {fingerprint}"),
        SignerProof::Certificate(facts) => facts.identity.to_string(),
        _ => "a signer of an unknown kind".to_owned(),
    }
}
