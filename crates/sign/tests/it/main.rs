//! Signing against real services, real cosign, and services that misbehave.

#![expect(clippy::unwrap_used, reason = "tests")]

mod advisories;
mod certificates;
mod cosign;
mod failures;
mod held;
mod keys;
mod kms;
mod kubernetes;
mod liars;
mod pkcs11;
mod rekor_v1;
mod services;
mod several;
mod tokens;
mod world;
