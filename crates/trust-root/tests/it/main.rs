//! Whole updates against repositories that are made here, good ones and bad ones.

mod advisories;
mod embedded;
mod updates;
mod world;
