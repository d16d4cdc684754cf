//! Certificate authority, transparency log and timestamp authority on one origin.
