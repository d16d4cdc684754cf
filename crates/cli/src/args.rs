//! The flags that verbs share. Where cosign has a flag it has the same name and meaning here; its switches take `=true`
//! and `=false` too, as people write them in scripts ([`with_go_switches`] gives every switch of every verb that form).
//!
//! A flag of cosign that does nothing here is not dropped silently: what reads the group says so.

mod registry;
mod signer;
mod signing;
mod values;

pub(crate) use self::registry::{ReferrersMode, ReferrersModeArgs, RegistryArgs};
pub(crate) use self::signer::{SignerArgs, TrustArgs};
pub(crate) use self::signing::{AuthFlow, OidcArgs, SigningArgs, TimestampClientArgs};
pub(crate) use self::values::{Annotations, annotation, go_duration, key_reference, with_go_switches};
