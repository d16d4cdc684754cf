//! One file a verb.

pub(crate) mod admission;
pub(crate) mod attach;
pub(crate) mod attest;
pub(crate) mod clean;
pub(crate) mod completion;
pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod download;
pub(crate) mod key;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod pkcs11_tool;
pub(crate) mod policy;
pub(crate) mod registry;
pub(crate) mod release;
pub(crate) mod save;
pub(crate) mod sbom;
pub(crate) mod sign;
pub(crate) mod tree;
pub(crate) mod triangulate;
pub(crate) mod trust;
pub(crate) mod up;
pub(crate) mod upload;
pub(crate) mod verify;
pub(crate) mod verify_attestation;
