//! One demand over what was proven about a digest: a signature or an attestation, by whom, and what must vouch for it.
//!
//! `verify` establishes facts and rejects what is broken; what is *required* is decided here, for the command line and
//! for policies alike. Any candidate that satisfies the demand passes, however many beside it do not (broken or foreign
//! neighbours must not hide a good signature). Nothing found is not the same as nothing reachable: with places that
//! could not be read and no pass, the verdict is undecided.

mod signer;

use std::collections::BTreeMap;
use std::fmt;

use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::{Incomplete, Origin};
use proofmark_verify::{Proof, ProofKind, Proofs, SctProof, SignerProof, TimeSource};

pub(crate) use signer::describe;
pub use signer::{GithubField, KeylessRule, SignerRule, SubjectKind};

/// What must be there, and what must vouch for it.
#[derive(Clone, Debug)]
pub struct Requirement {
    /// A signature, or an attestation of some type.
    pub what: Wanted,
    /// Who may have signed: any of these. Without any, nothing is accepted.
    pub signers: Vec<SignerRule>,
    /// Whether a transparency log must have the signature.
    pub log: LogRule,
    /// Whether an RFC 3161 timestamp over the signature is needed.
    pub timestamp: bool,
    /// Whether a certificate must embed a verified SCT. Keys have no certificate and need none.
    pub sct: bool,
    /// Whether a certificate is acceptable that nothing but the current time finds valid: no timestamp, no signed log
    /// time. For authorities of one's own with long-lived certificates; Fulcio's live ten minutes.
    pub current_time: bool,
    /// Annotations that must have been signed, with exactly these values.
    pub annotations: BTreeMap<String, String>,
}

impl Requirement {
    /// A signature by any of `signers`. A log entry and, for certificates, an SCT are required; change the fields for less.
    #[must_use]
    pub fn signature(signers: Vec<SignerRule>) -> Self {
        Self::new(
            Wanted::Signature {
                accept_any_bundle: false,
            },
            signers,
        )
    }

    /// An attestation of any of `types` (and of their versions) by any of `signers`, with the defaults of
    /// [`Requirement::signature`].
    #[must_use]
    pub fn attestation(types: Vec<PredicateType>, signers: Vec<SignerRule>) -> Self {
        Self::new(Wanted::Attestation { types }, signers)
    }

    fn new(what: Wanted, signers: Vec<SignerRule>) -> Self {
        Self {
            what,
            signers,
            log: LogRule::Required { operators: 1 },
            timestamp: false,
            sct: true,
            current_time: false,
            annotations: BTreeMap::new(),
        }
    }

    /// Says whether what is known about a digest meets the demand.
    ///
    /// 1. Every proof is held against the demand, on its own. Any that meets it is accepted.
    /// 2. Without one: if some place could not be read, the answer may be there, and the verdict is undecided.
    /// 3. Otherwise, if there was any candidate of the wanted kind, believed or not, the verdict is a rejection that
    ///    says of each why.
    /// 4. Otherwise nothing of the wanted kind is there.
    pub fn check<'p>(&self, proofs: &'p Proofs) -> Verdict<'p> {
        let mut trusted = Vec::new();
        let mut refused = Vec::new();
        let mut beside = Vec::new();
        // 1.
        for proof in proofs.proofs() {
            match self.examine(proof) {
                Ok(_) => trusted.push(proof),
                Err(refusal) if refusal.code == OTHER_KIND => beside.push(refusal),
                Err(refusal) => refused.push(refusal),
            }
        }
        if !trusted.is_empty() {
            return Verdict::Trusted(trusted);
        }
        for rejection in proofs.rejections() {
            let refusal = Refusal {
                origin: rejection.origin.clone(),
                code: rejection.reason.code(),
                expected: "evidence that verifies".to_owned(),
                actual: rejection.reason.to_string(),
            };
            match (&self.what, &rejection.origin) {
                (Wanted::Signature { .. }, Origin::AttestationTag { .. })
                | (Wanted::Attestation { .. }, Origin::SignatureTag { .. }) => beside.push(refusal),
                _ => refused.push(refusal),
            }
        }
        // 2.
        if !proofs.incomplete().is_empty() {
            refused.append(&mut beside);
            return Verdict::Undecided {
                incomplete: proofs.incomplete().to_vec(),
                refusals: refused,
            };
        }
        // 3. and 4.
        if refused.is_empty() {
            Verdict::Unsigned { beside }
        } else {
            Verdict::Rejected(refused)
        }
    }

    /// Holds one proof against the demand: which of [`Requirement::signers`] it satisfies, by position, or the first
    /// thing that it does not satisfy.
    pub fn examine(&self, proof: &Proof) -> Result<usize, Refusal> {
        let refuse = |code, expected: String, actual: String| {
            Err(Refusal {
                origin: proof.origin().clone(),
                code,
                expected,
                actual,
            })
        };
        if let Err((code, expected, actual)) = self.what.accepts(proof) {
            return refuse(code, expected, actual);
        }
        let signer = match self.signer_of(proof.signer()) {
            Ok(position) => position,
            Err((code, expected, actual)) => return refuse(code, expected, actual),
        };
        if let Some((code, expected, actual)) = self.unvouched(proof) {
            return refuse(code, expected, actual);
        }
        for (name, wanted) in &self.annotations {
            let actual = match proof.annotations().get(name) {
                Some(serde_json::Value::String(value)) if value == wanted => continue,
                Some(value) => format!("{name}={value}"),
                None => "no such annotation under the signature".to_owned(),
            };
            return refuse("annotation-mismatch", format!("annotation {name}={wanted}"), actual);
        }
        Ok(signer)
    }

    fn signer_of(&self, signer: &SignerProof) -> Result<usize, Mismatch> {
        let mut nearest: Option<Mismatch> = None;
        for (position, rule) in self.signers.iter().enumerate() {
            match rule.accepts(signer) {
                Ok(()) => return Ok(position),
                // A rule of the same kind that fails on a detail explains more than one of the other kind.
                Err(mismatch) if nearest.as_ref().is_none_or(|known| known.0 == OTHER_SIGNER_KIND) => {
                    nearest = Some(mismatch);
                }
                Err(_) => {}
            }
        }
        let (code, mut expected, actual) = nearest.unwrap_or_else(|| {
            (
                "no-signer-wanted",
                "a signer that the requirement names".to_owned(),
                describe(signer),
            )
        });
        if self.signers.len() > 1 {
            expected = self
                .signers
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", or ");
        }
        Err((code, expected, actual))
    }

    /// What should vouch for the proof and does not.
    fn unvouched(&self, proof: &Proof) -> Option<Mismatch> {
        if let LogRule::Required { operators } = self.log {
            let mut seen: Vec<&str> = proof.logs().iter().map(|log| log.operator.as_str()).collect();
            seen.sort_unstable();
            seen.dedup();
            // Entries of one operator count once, however many there are (CVE-2026-49834); zero would ask nothing.
            if seen.len() < operators.max(1) {
                return Some((
                    "log-entry-missing",
                    format!("an entry in the transparency logs of {} operator(s)", operators.max(1)),
                    match (seen.len(), proof.skipped_logs().len()) {
                        (0, 0) => "no log entry".to_owned(),
                        (0, skipped) => format!("{skipped} log entries, of logs that the trust root does not know"),
                        (known, _) => format!("entries of {known} operator(s)"),
                    },
                ));
            }
        }
        if self.timestamp && proof.timestamps().is_empty() {
            return Some((
                "timestamp-missing",
                "an RFC 3161 timestamp over the signature".to_owned(),
                "none".to_owned(),
            ));
        }
        if !matches!(proof.signer(), SignerProof::Certificate(_)) {
            return None;
        }
        if self.sct && !matches!(proof.sct(), SctProof::Verified(_)) {
            return Some((
                "sct-missing",
                "a certificate with a signed certificate timestamp of a known log".to_owned(),
                match proof.sct() {
                    SctProof::NotConsulted => "one of logs that the trust root does not know".to_owned(),
                    _ => "none".to_owned(),
                },
            ));
        }
        if !self.current_time && proof.time_source() == TimeSource::CurrentTime {
            return Some((
                "signing-time-unproven",
                "a timestamp or a signed log time that says when the certificate was used".to_owned(),
                "nothing but the current time".to_owned(),
            ));
        }
        None
    }
}

/// A code, what was expected and what was seen.
type Mismatch = (&'static str, String, String);

/// The code of a candidate that is not of the wanted kind at all.
const OTHER_KIND: &str = "not-of-the-wanted-kind";
/// The code of a signer that is a key where an identity is wanted, or the other way around.
const OTHER_SIGNER_KIND: &str = "signer-kind-mismatch";

/// What is wanted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Wanted {
    /// A simple-signing payload or a `cosign/sign/v1` statement. An attestation is not a signature.
    Signature {
        /// Accept an attestation too, as cosign 3.1 does.
        accept_any_bundle: bool,
    },
    /// An in-toto statement of any of these types, or of a version of them (`https://spdx.dev/Document/v2.3` for
    /// `https://spdx.dev/Document`).
    Attestation {
        /// The types, never empty.
        types: Vec<PredicateType>,
    },
}

impl Wanted {
    fn accepts(&self, proof: &Proof) -> Result<(), Mismatch> {
        let seen = || {
            proof.predicate_type().map_or_else(
                || "a signature".to_owned(),
                |seen| format!("an attestation of type {seen}"),
            )
        };
        match (self, proof.kind()) {
            (Self::Signature { .. }, ProofKind::Signature)
            | (
                Self::Signature {
                    accept_any_bundle: true,
                },
                ProofKind::Attestation,
            ) => Ok(()),
            (Self::Signature { .. }, ProofKind::Attestation) => Err((OTHER_KIND, "a signature".to_owned(), seen())),
            (Self::Attestation { types }, kind) => {
                let wanted = || format!("an attestation of type {}", list(types));
                if kind == ProofKind::Signature {
                    return Err((OTHER_KIND, wanted(), "a signature".to_owned()));
                }
                let matches = proof
                    .predicate_type()
                    .is_some_and(|seen| types.iter().any(|wanted| seen.matches_family(wanted)));
                if matches {
                    Ok(())
                } else {
                    Err(("predicate-type-mismatch", wanted(), seen()))
                }
            }
        }
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// Whether a transparency log must have the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogRule {
    /// It need not; an entry that is there was verified nevertheless.
    NotRequired,
    /// Logs of this many different operators must have it.
    Required {
        /// How many; operators are counted, not entries and not logs.
        operators: usize,
    },
}

/// Whether a demand is met. Everything but [`Verdict::Trusted`] is a denial.
#[must_use]
#[derive(Clone, Debug)]
pub enum Verdict<'p> {
    /// It is, by these.
    Trusted(Vec<&'p Proof>),
    /// Nothing of the wanted kind is there, and every place was read.
    Unsigned {
        /// What is there instead: attestations where a signature is wanted, and the other way around.
        beside: Vec<Refusal>,
    },
    /// There are candidates, and none is acceptable: one refusal for each.
    Rejected(Vec<Refusal>),
    /// Nothing acceptable was found, and some place could not be read.
    Undecided {
        /// The places.
        incomplete: Vec<Incomplete>,
        /// Why what was read is not acceptable.
        refusals: Vec<Refusal>,
    },
}

impl Verdict<'_> {
    /// Whether the demand is met.
    #[must_use]
    pub fn is_trusted(&self) -> bool {
        matches!(self, Self::Trusted(_))
    }

    /// A stable word for outputs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trusted(_) => "trusted",
            Self::Unsigned { .. } => "unsigned",
            Self::Rejected(_) => "rejected",
            Self::Undecided { .. } => "undecided",
        }
    }
}

/// Why one candidate is not acceptable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where the candidate was found.
    pub origin: Origin,
    /// Stable, kebab-case; a code of verify for what was not believed at all.
    pub code: &'static str,
    /// What was wanted.
    pub expected: String,
    /// What it is.
    pub actual: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: expected {}, found {} [{}]",
            self.origin, self.expected, self.actual, self.code
        )
    }
}
