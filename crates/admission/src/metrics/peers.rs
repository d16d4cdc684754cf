//! The same counts under the names that dashboards and alerts of Kyverno and Connaisseur look for.
//!
//! Off unless asked for. Labels that name namespaces are left out, as everywhere here; a query that groups by one of them
//! shows one line instead of many.

use std::time::Duration;

use metrics::Recorder as _;

use super::{METADATA, Metrics, key};

pub(super) const KYVERNO_REQUESTS: &str = "kyverno_admission_requests_total";
pub(super) const KYVERNO_SECONDS: &str = "kyverno_admission_review_duration_seconds";
pub(super) const KYVERNO_RESULTS: &str = "kyverno_policy_results_total";
const CONNAISSEUR_REQUESTS: &str = "connaisseur_requests_total";
const CONNAISSEUR_ADMITTED: &str = "connaisseur_requests_admitted_total";
const CONNAISSEUR_DENIED: &str = "connaisseur_requests_denied_total";
const CONNAISSEUR_VALIDATIONS: &str = "connaisseur_validations_total";
const CONNAISSEUR_SUCCESSFUL: &str = "connaisseur_validations_successful_total";
const CONNAISSEUR_FAILED: &str = "connaisseur_validations_failed_total";

/// Under whose names counts are shown as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerNames {
    /// `kyverno_admission_requests_total`, `kyverno_admission_review_duration_seconds`, `kyverno_policy_results_total`.
    pub kyverno: bool,
    /// `connaisseur_requests_total` and what belongs to it, `connaisseur_validations_total` and what belongs to it.
    pub connaisseur: bool,
}

impl Metrics {
    /// A review was answered.
    pub(super) fn peer_review(&self, path: &str, operation: &str, allowed: bool, took: Duration) {
        if self.peers.kyverno {
            let webhook = match path {
                "mutate" => "MutatingWebhookConfiguration",
                _ => "ValidatingWebhookConfiguration",
            };
            let labels = [
                ("resource_request_operation", operation.to_ascii_lowercase()),
                ("request_allowed", allowed.to_string()),
                ("request_webhook", webhook.to_owned()),
            ];
            let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
            self.count(KYVERNO_REQUESTS, &labels);
            self.recorder
                .register_histogram(&key(KYVERNO_SECONDS, &labels), &METADATA)
                .record(took.as_secs_f64());
        }
        // Connaisseur answers one webhook for both; here the one that decides is counted.
        if self.peers.connaisseur && path == "validate" {
            self.count(CONNAISSEUR_REQUESTS, &[]);
            if allowed {
                self.count(CONNAISSEUR_ADMITTED, &[]);
            } else {
                self.count(CONNAISSEUR_DENIED, &[("timeout", "false")]);
            }
        }
    }

    /// A policy had its say about an image.
    pub(super) fn peer_decision(&self, policy: &str, outcome: &str) {
        if self.peers.kyverno {
            let result = match outcome {
                "undecided" => "error",
                other => other,
            };
            let labels = [
                ("policy_name", policy),
                ("policy_type", "cluster"),
                ("rule_result", result),
                ("rule_type", "imageVerify"),
                ("rule_execution_cause", "admission_request"),
            ];
            self.count(KYVERNO_RESULTS, &labels);
        }
        if self.peers.connaisseur {
            let (result, total) = match outcome {
                "pass" => ("success", CONNAISSEUR_SUCCESSFUL),
                _ => ("error", CONNAISSEUR_FAILED),
            };
            let labels = [("validator_name", policy), ("type", "proofmark")];
            self.count(CONNAISSEUR_VALIDATIONS, &[labels[0], labels[1], ("result", result)]);
            self.count(total, &labels);
        }
    }
}
