//! Keys, keyless signing, CI identities, provenance.
