//! OCI distribution client and local image sources.
