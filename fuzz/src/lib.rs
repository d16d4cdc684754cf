//! Fuzz targets as functions ([`targets`]) and what they begin with ([`seed`]).

pub mod seed;
pub mod targets;

pub use targets::*;
