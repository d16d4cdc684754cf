//! One file a verb.

pub(crate) mod admission;
pub(crate) mod attest;
pub(crate) mod completion;
pub(crate) mod demo;
pub(crate) mod key;
pub(crate) mod policy;
pub(crate) mod registry;
pub(crate) mod release;
pub(crate) mod sbom;
pub(crate) mod sign;
pub(crate) mod tree;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod verify;
pub(crate) mod verify_attestation;
