//! An embedded OCI registry: the distribution specification 1.1 with the referrers API, kept in one folder on disk.
//!
//! What it promises: a name, tag or digest reaches the file system only as a parsed value; content is hashed before it
//! becomes visible; what was acknowledged with 201 or 202 survives a kill; a client can never make it hold a whole blob
//! in memory. What it deliberately does not do: per-repository authorization, TLS (put it on loopback or behind a
//! proxy), replication, schema 1 manifests, content negotiation. One process writes to a folder, held by a lock.
//!
//! Read [`Server`], then `api` (one function per endpoint) and `store` (what is on disk, and in which order).

mod api;
mod auth;
mod config;
mod error;
mod name;
mod patience;
mod range;
mod route;
mod server;
mod store;

pub use auth::{Htpasswd, HtpasswdError};
pub use config::{Config, DEFAULT_MAX_BLOB_BYTES, DEFAULT_UPLOAD_EXPIRY};
pub use server::{Server, StartError};
pub use store::OpenError;
