//! DSSE, in-toto, predicates, Sigstore bundles and cosign's legacy layouts.
