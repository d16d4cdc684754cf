//! Kubernetes admission webhook.
