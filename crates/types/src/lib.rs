//! The words that every other room uses: digests, image references, media types, package URLs,
//! identities, key references and time.
//!
//! One parser each, private fields, canonical form only: a value of a type here is valid by construction, and a
//! `String` never crosses a crate boundary in its place. Nothing here does I/O, reads a clock or draws randomness.

#![warn(clippy::as_conversions, clippy::indexing_slicing)]

mod cause;
mod digest;
mod go_duration;
mod identity;
mod key_reference;
mod loopback;
mod media_type;
mod purl;
mod reference;
mod unix_time;

pub use cause::innermost;
pub use digest::{Digest, DigestAlgorithm, DigestError, Digests, DigestsHasher, Hasher};
pub use go_duration::go_duration;
pub use identity::{Identity, SubjectName};
pub use key_reference::{KeyReference, KeyReferenceError, Pkcs11Error, Pkcs11Uri};
pub use loopback::is_loopback;
pub use media_type::{MediaType, MediaTypeError};
pub use purl::{Purl, PurlError};
pub use reference::{ImageRef, ReferenceError, RegistryHost, Repository, Tag};
pub use unix_time::{TimeError, UnixTime};
