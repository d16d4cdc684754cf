//! Key services on loopback that speak the vendors' wire protocols, written from the vendors' documentation: they sign
//! with real keys, and check what they are sent (who asks, with which signature or token, digests of the right length,
//! checksums) as the real ones do. And they misbehave on request.
//!
//! Each runs in a thread of its own, so that tests with and without a runtime use them alike. They share no code with
//! what they test: Signature Version 4 is computed here a second time.

mod aws;
mod azure;
mod google;
mod keys;
mod server;
mod vault;

pub use aws::AwsKms;
pub use azure::AzureVault;
pub use google::GoogleKms;
pub use keys::KeyKind;
pub use vault::VaultTransit;

/// How a service misbehaves when it is asked to sign; everything else it still does right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not.
    None,
    /// Another key signs, under the name of the right one.
    OtherKey,
    /// The right key signs another digest.
    OtherDigest,
    /// The answer says that another version or key signed.
    OtherName,
    /// The checksum of the signature is wrong; Google's alone has one.
    Checksum,
    /// Success, and no JSON.
    Garbage,
    /// More bytes than an answer has.
    Endless,
    /// No permission.
    Forbidden,
    /// A redirect to another server.
    Redirect,
    /// Later, this many times.
    Later(u32),
    /// No answer at all.
    Hang,
}
