//! Why something failed.

use std::error::Error;

/// The innermost cause of an error, which names the reason: the outer ones of HTTP libraries repeat the address.
#[must_use]
pub fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
