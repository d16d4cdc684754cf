//! Evidence, trust root and time to proofs.
