//! The trust services as their clients see them: over HTTP, killed under load, and with real peers.

mod api;
mod issuers;
mod kill;
mod peers;
mod world;
