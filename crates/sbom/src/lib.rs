//! Package catalogers and SPDX and CycloneDX documents.
