//! Fuzz targets as functions ([`targets`], [`inside`], [`advisories`]) and what they begin with ([`seed`]).

pub mod advisories;
pub mod inside;
pub mod seed;
pub mod targets;

pub use targets::*;
