//! The client against servers that misbehave, and against real ones.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod attachments;
mod auth;
mod bodies;
mod copies;
mod evidence;
mod hostile;
mod listings;
mod local;
mod peers;
mod redirects;
mod tls;
mod world;
