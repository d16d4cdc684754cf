//! The registry over HTTP, as clients meet it.

mod access;
mod manifests;
mod restart;
mod uploads;
mod world;
