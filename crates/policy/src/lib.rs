//! Image policies: one model, readers for our own, Kyverno's and policy-controller's format, one decision.
