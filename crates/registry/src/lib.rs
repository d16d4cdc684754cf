//! A client for OCI registries, and images from a folder or an archive read through the same words.
//!
//! Everything received is foreign: bodies are bounded before they are read and hashed before they are parsed, counts and
//! redirects have named limits ([`limits`]), waiting has timeouts, and every failure has a stable code
//! ([`RegistryError::code`]) that tells "not there" from "could not ask". Credentials go to the exact host they are for
//! and never follow a redirect. Nothing is decided here: [`Client::evidence`] collects what hangs on a digest, whatever
//! it is worth.
//!
//! Specifications: OCI distribution-spec 1.1 and image-spec 1.1, the token authentication of the distribution project,
//! containers-auth.json(5), cosign's tags.
//!
//! | module | what |
//! |---|---|
//! | [`Client`] | resolve, manifests, blobs, uploads, tags, referrers, attach, evidence, copy |
//! | [`ImageSource`] | an image in a registry, an OCI layout folder or a `docker save` archive |
//! | [`CredentialStore`] | authentication files and helpers |
//! | `transport` | the one place that sends: authentication, throttling, redirects, timeouts, counting |

mod attachment;
mod auth;
mod client;
mod counts;
mod credentials;
mod error;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod jitter;
pub mod limits;
mod progress;
mod source;
mod transport;

pub use attachment::{Attachment, Attachments, Place};
pub use client::{
    BlobReader, BlobStream, Brought, Client, ClientBuilder, Copied, Gathering, Head, NOT_READ, Piece, PieceContent,
    Pieces, Referrers, ReferrersSource, Resolved, Share, Space,
};
pub use counts::RequestCounts;
pub use credentials::{Credential, CredentialError, CredentialProvider, CredentialStore, Kept, Secret, store_login};
pub use error::RegistryError;
pub use limits::Timeouts;
pub use progress::{Direction, Progress, SkipReason, Transfer};
pub use source::{ArchiveImage, ImageSource, LayoutImage, LayoutWriter};
