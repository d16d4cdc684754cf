//! An embedded OCI registry.
