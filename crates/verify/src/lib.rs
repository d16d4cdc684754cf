//! Evidence, trust root and time to proofs.
//!
//! [`Verifier::verify`] takes everything that was found hanging on a digest and says of each piece either who said
//! what and how we know ([`Proof`]), or why it was not believed ([`Rejection`]). It knows no policy: which signer is
//! wanted, and whether a log entry, a timestamp or an SCT is required, is decided over the proofs. What is present
//! and broken is rejected here, whatever the policy.
//!
//! Nothing here does I/O, reads a clock or draws randomness.
#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod asn1;
mod candidate;
mod certificate;
mod chain;
mod claims;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod log;
mod payload;
mod proof;
mod reason;
mod sct;
mod steps;
mod timestamp;
mod trust_root;
mod verifier;

pub use certificate::{CertificateExtensions, CertificateFacts};
pub use claims::{CertificateClaims, TimestampClaims};
pub use key::{FinishedSha512, HashUsed, KeyAlgorithm, KeyError, PublicKey, SignatureError};
pub use proof::{
    LogProof, Proof, ProofKind, Proofs, SctEvidence, SctProof, SignerProof, SkippedLog, TimeSource, TimestampProof,
};
pub use reason::{Reason, Rejection};
pub use trust_root::{Authority, LogKey, TrustRoot, TrustRootError, Validity};
pub use verifier::{Artifact, Verifier, VerifierError};
