//! What `/metrics` shows, in Prometheus' text format. Labels are bounded: operations, outcomes and codes are fixed
//! words, policies are those loaded; no image, namespace or user is ever a label.

mod peers;

use std::time::Duration;

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::peers::PeerNames;

/// Upper edges in seconds: from a review answered out of memory to the API server's longest timeout.
const LATENCY_BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

/// Upper edges in requests: none when evidence is held, 2 + 2n for a cold image with n bundles.
const REQUEST_BUCKETS: [f64; 9] = [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0];

/// The most policies that get a label of their own; what is beyond is counted as `other`.
const MAX_POLICY_LABELS: usize = 200;

const METADATA: Metadata<'static> = Metadata::new("proofmark_admission", Level::INFO, None);

const REVIEWS: &str = "proofmark_admission_reviews_total";
const REVIEW_SECONDS: &str = "proofmark_admission_review_duration_seconds";
const REQUESTS_PER_REVIEW: &str = "proofmark_admission_registry_requests_per_review";
const DECISIONS: &str = "proofmark_admission_decisions_total";
const EVIDENCE: &str = "proofmark_admission_evidence_lookups_total";
const TAGS: &str = "proofmark_admission_tag_lookups_total";
const REGISTRY_REQUESTS: &str = "proofmark_admission_registry_requests_total";
const REGISTRY_ERRORS: &str = "proofmark_admission_registry_errors_total";
const RELOADS: &str = "proofmark_admission_policy_reloads_total";
const PANICS: &str = "proofmark_admission_panics_total";
const CONNECTIONS: &str = "proofmark_admission_connections_refused_total";
const POLICIES: &str = "proofmark_admission_policies";
const POLICIES_CURRENT: &str = "proofmark_admission_policies_current";
const TRUST_ROOT_AGE: &str = "proofmark_admission_trust_root_age_seconds";
const TRUST_ROOT_STALE: &str = "proofmark_admission_trust_root_stale";
const TRUST_REFRESHES: &str = "proofmark_admission_trust_root_refreshes_total";
const HELD_ENTRIES: &str = "proofmark_admission_evidence_held_entries";
const HELD_BYTES: &str = "proofmark_admission_evidence_held_bytes";
const KEPT_READS: &str = "proofmark_admission_kept_evidence_reads_total";
const KEPT_WRITES: &str = "proofmark_admission_kept_evidence_writes_total";
const EXCEPTIONS_USED: &str = "proofmark_admission_exceptions_used_total";
const EXCEPTIONS: &str = "proofmark_admission_exceptions";
const QUEUED: &str = "proofmark_admission_denied_images_queued_total";
const SERVING_REMAINING: &str = "proofmark_admission_certificate_remaining_seconds";
const AUTHORITY_REMAINING: &str = "proofmark_admission_authority_remaining_seconds";

const CLUSTER_CURRENT: &str = "proofmark_admission_cluster_policies_followed";
const CLUSTER_WRITES: &str = "proofmark_admission_cluster_writes_failed_total";

const COUNTERS: [(&str, &str); 15] = [
    (
        CLUSTER_WRITES,
        "Status, Events and reports that could not be written to the cluster",
    ),
    (EXCEPTIONS_USED, "Images that ran by an exception, by its name"),
    (
        QUEUED,
        "Denied images put before those who approve, by result: queued, dropped",
    ),
    (
        KEPT_READS,
        "Looks for evidence kept beyond the process, by tier (folder, database) and result: found, absent, expired, not-authentic, failed",
    ),
    (
        KEPT_WRITES,
        "Evidence to be kept beyond the process, by tier and result: written, failed, skipped, too-large",
    ),
    (REVIEWS, "Reviews answered, by path, operation and outcome"),
    (
        DECISIONS,
        "Decisions about images, by policy and outcome; an image that no policy concerns counts under policy=\"none\"",
    ),
    (
        EVIDENCE,
        "Lookups of evidence, by result: held, restored, fetched, joined, failed",
    ),
    (TAGS, "Lookups of tags, by result: held, fetched, joined, failed"),
    (REGISTRY_REQUESTS, "Requests sent to registries, by what they were for"),
    (REGISTRY_ERRORS, "Lookups that failed, by code"),
    (
        RELOADS,
        "Times that the policies or the trust root changed on disk, by result",
    ),
    (
        TRUST_REFRESHES,
        "Attempts to refresh the kept trust root in the background, by result: refreshed, failed",
    ),
    (PANICS, "Reviews that ended in a panic and were denied"),
    (
        CONNECTIONS,
        "Connections and reviews turned away because too many were open",
    ),
];

const HISTOGRAMS: [(&str, &str); 2] = [
    (REVIEW_SECONDS, "Time to answer a review"),
    (REQUESTS_PER_REVIEW, "Registry requests that a review caused"),
];

const GAUGES: [(&str, &str); 10] = [
    (
        CLUSTER_CURRENT,
        "1 while every kind of policy in the cluster is followed, 0 while what is known of one may be old",
    ),
    (
        EXCEPTIONS,
        "Exceptions, by state: in-force, expired (or not yet issued), refused",
    ),
    (POLICIES, "Policies in force"),
    (
        POLICIES_CURRENT,
        "1 if the policies in force are those on disk, 0 if those on disk do not compile",
    ),
    (
        TRUST_ROOT_AGE,
        "Age of the trust root: since its file was written, or since it was last known to be the newest",
    ),
    (
        TRUST_ROOT_STALE,
        "1 if the kept trust root is too old to be relied on without a thought, else 0",
    ),
    (HELD_ENTRIES, "Digests whose proofs are held"),
    (HELD_BYTES, "Estimated size of the proofs held"),
    (SERVING_REMAINING, "Life left in the serving certificate"),
    (
        AUTHORITY_REMAINING,
        "Life left in the authority that the webhook configuration trusts",
    ),
];

/// One server's metrics; not the process-wide recorder, so that two servers in one process do not mix.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    peers: PeerNames,
}

impl Metrics {
    /// With counts under the names of these peers as well.
    pub(crate) fn new(names: PeerNames) -> Self {
        // Setting buckets fails for an empty list only; without buckets a histogram would be a summary, still readable.
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(REVIEW_SECONDS.to_owned()), &LATENCY_BUCKETS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full(REQUESTS_PER_REVIEW.to_owned()), &REQUEST_BUCKETS)
            })
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full(peers::KYVERNO_SECONDS.to_owned()), &LATENCY_BUCKETS)
            })
            .unwrap_or_else(|_| PrometheusBuilder::new())
            .build_recorder();
        for (name, text) in COUNTERS {
            recorder.describe_counter(KeyName::from_const_str(name), None, text.into());
        }
        for (name, text) in HISTOGRAMS {
            recorder.describe_histogram(KeyName::from_const_str(name), None, text.into());
        }
        for (name, text) in GAUGES {
            recorder.describe_gauge(KeyName::from_const_str(name), None, text.into());
        }
        let handle = recorder.handle();
        Self {
            recorder,
            handle,
            peers: names,
        }
    }

    pub(crate) fn review(&self, path: &'static str, operation: &'static str, outcome: &'static str, took: Duration) {
        self.count(
            REVIEWS,
            &[("path", path), ("operation", operation), ("outcome", outcome)],
        );
        let key = key(REVIEW_SECONDS, &[("path", path)]);
        self.recorder
            .register_histogram(&key, &METADATA)
            .record(took.as_secs_f64());
        self.peer_review(path, operation, outcome == "allowed" || outcome == "patched", took);
    }

    /// One decision about one image; `policies` are those that concerned it, out of `known` loaded.
    pub(crate) fn decision(&self, policies: &[String], known: usize, outcome: &'static str) {
        if policies.is_empty() {
            self.count(DECISIONS, &[("policy", "none"), ("outcome", outcome)]);
        }
        for policy in policies {
            let policy = if known > MAX_POLICY_LABELS {
                "other"
            } else {
                policy.as_str()
            };
            self.count(DECISIONS, &[("policy", policy), ("outcome", outcome)]);
            self.peer_decision(policy, outcome);
        }
    }

    pub(crate) fn evidence_lookup(&self, result: &'static str) {
        self.count(EVIDENCE, &[("result", result)]);
    }

    pub(crate) fn kept_read(&self, tier: &'static str, result: &'static str) {
        self.count(KEPT_READS, &[("tier", tier), ("result", result)]);
    }

    pub(crate) fn kept_write(&self, tier: &'static str, result: &'static str) {
        self.count(KEPT_WRITES, &[("tier", tier), ("result", result)]);
    }

    /// An exception was used, out of `known` there are.
    pub(crate) fn exception_used(&self, name: &str, known: usize) {
        let name = if known > MAX_POLICY_LABELS { "other" } else { name };
        self.count(EXCEPTIONS_USED, &[("exception", name)]);
    }

    pub(crate) fn exceptions(&self, state: &'static str, number: usize) {
        let key = key(EXCEPTIONS, &[("state", state)]);
        self.recorder.register_gauge(&key, &METADATA).set(number as f64);
    }

    pub(crate) fn queued(&self, taken: bool) {
        self.count(QUEUED, &[("result", if taken { "queued" } else { "dropped" })]);
    }

    pub(crate) fn tag_lookup(&self, result: &'static str) {
        self.count(TAGS, &[("result", result)]);
    }

    pub(crate) fn registry_error(&self, code: &'static str) {
        self.count(REGISTRY_ERRORS, &[("code", code)]);
    }

    pub(crate) fn reload(&self, result: &'static str) {
        self.count(RELOADS, &[("result", result)]);
    }

    pub(crate) fn panic(&self) {
        self.count(PANICS, &[]);
    }

    pub(crate) fn refused(&self) {
        self.count(CONNECTIONS, &[]);
    }

    pub(crate) fn registry_requests(&self, operation: &'static str, requests: u64) {
        let key = key(REGISTRY_REQUESTS, &[("operation", operation)]);
        self.recorder.register_counter(&key, &METADATA).increment(requests);
    }

    /// What one review cost its registries.
    pub(crate) fn review_requests(&self, requests: u64) {
        let requests = u32::try_from(requests).unwrap_or(u32::MAX);
        self.recorder
            .register_histogram(&key(REQUESTS_PER_REVIEW, &[]), &METADATA)
            .record(f64::from(requests));
    }

    pub(crate) fn policies(&self, number: usize, current: bool) {
        self.gauge(POLICIES, number as f64);
        self.gauge(POLICIES_CURRENT, if current { 1.0 } else { 0.0 });
    }

    pub(crate) fn cluster_current(&self, current: bool) {
        self.gauge(CLUSTER_CURRENT, if current { 1.0 } else { 0.0 });
    }

    pub(crate) fn cluster_write_failed(&self) {
        self.count(CLUSTER_WRITES, &[]);
    }

    pub(crate) fn trust_root(&self, age: Option<Duration>, stale: bool) {
        if let Some(age) = age {
            self.gauge(TRUST_ROOT_AGE, age.as_secs_f64());
        }
        self.gauge(TRUST_ROOT_STALE, if stale { 1.0 } else { 0.0 });
    }

    pub(crate) fn trust_refresh(&self, result: &'static str) {
        self.count(TRUST_REFRESHES, &[("result", result)]);
    }

    pub(crate) fn held(&self, entries: usize, bytes: usize) {
        self.gauge(HELD_ENTRIES, entries as f64);
        self.gauge(HELD_BYTES, bytes as f64);
    }

    pub(crate) fn certificates(&self, serving: Duration, authority: Duration) {
        self.gauge(SERVING_REMAINING, serving.as_secs_f64());
        self.gauge(AUTHORITY_REMAINING, authority.as_secs_f64());
    }

    /// Folds samples into buckets; to be called every few seconds, because they are kept one by one until then.
    pub(crate) fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    fn count(&self, name: &'static str, labels: &[(&'static str, &str)]) {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
            .increment(1);
    }

    fn gauge(&self, name: &'static str, value: f64) {
        self.recorder.register_gauge(&key(name, &[]), &METADATA).set(value);
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a dashboard or an alert looks for is there: a name that was changed here only would never fire.
    #[test]
    fn dashboards_and_alerts_name_metrics_that_exist() {
        let files = [
            ("alerts", include_str!("../../../docs/monitoring/alerts.yaml"), 8),
            ("dashboard", include_str!("../../../docs/monitoring/dashboard.json"), 10),
            ("documentation", include_str!("../../../docs/admission.md"), 0),
        ];
        let names = || {
            let described = COUNTERS.iter().chain(&HISTOGRAMS).chain(&GAUGES);
            described.map(|(name, _)| *name)
        };
        for (file, text, least) in files {
            let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            let named: std::collections::BTreeSet<&str> = words
                .filter(|word| word.len() > 20 && word.starts_with("proofmark_admission_"))
                .collect();
            assert!(named.len() >= least, "{file} names {named:?}");
            for word in named {
                let histogram = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| word.strip_suffix(end))
                    .filter(|name| HISTOGRAMS.iter().any(|(known, _)| known == name));
                assert!(
                    names().any(|name| name == histogram.unwrap_or(word)),
                    "{file} names {word}"
                );
            }
        }
        // Every metric stands in the documentation.
        let documentation = files[2].1;
        for name in names() {
            let short = name.strip_prefix("proofmark_admission_").unwrap();
            assert!(documentation.contains(short), "{name} is not in docs/admission.md");
        }
        let dashboard: serde_json::Value = serde_json::from_str(files[1].1).unwrap();
        assert!(dashboard["panels"].as_array().unwrap().len() >= 8);
        let alerts: serde_json::Value = serde_saphyr::from_str(files[0].1).unwrap();
        for rule in alerts["groups"][0]["rules"].as_array().unwrap() {
            for field in ["alert", "expr"] {
                assert!(rule[field].is_string(), "{rule}");
            }
            assert!(rule["annotations"]["summary"].is_string(), "{rule}");
        }
    }

    #[test]
    fn others_names_are_shown_when_asked_for() {
        let both = PeerNames {
            kyverno: true,
            connaisseur: true,
        };
        let (asked, plain) = (Metrics::new(both), Metrics::new(PeerNames::default()));
        for metrics in [&asked, &plain] {
            metrics.review("validate", "CREATE", "denied", Duration::from_millis(3));
            metrics.review("mutate", "CREATE", "patched", Duration::from_millis(3));
            metrics.decision(&["release".to_owned()], 1, "undecided");
        }
        let text = asked.render();
        for line in [
            "kyverno_admission_requests_total{resource_request_operation=\"create\",request_allowed=\"false\",request_webhook=\"ValidatingWebhookConfiguration\"} 1",
            "kyverno_admission_requests_total{resource_request_operation=\"create\",request_allowed=\"true\",request_webhook=\"MutatingWebhookConfiguration\"} 1",
            "request_webhook=\"ValidatingWebhookConfiguration\",le=\"0.005\"} 1",
            "policy_name=\"release\",policy_type=\"cluster\",rule_result=\"error\"",
            "connaisseur_requests_total 1",
            "connaisseur_requests_denied_total{timeout=\"false\"} 1",
            "connaisseur_validations_total{validator_name=\"release\",type=\"proofmark\",result=\"error\"} 1",
            "connaisseur_validations_failed_total{",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("connaisseur_requests_admitted_total"));
        let text = plain.render();
        assert!(!text.contains("kyverno") && !text.contains("connaisseur"), "{text}");
    }

    #[test]
    fn two_sets_of_metrics_do_not_mix() {
        let none = PeerNames::default();
        let (one, other) = (Metrics::new(none), Metrics::new(none));
        one.review("validate", "CREATE", "denied", Duration::from_millis(3));
        one.decision(&["p".to_owned()], 1, "fail");
        one.decision(&["q".to_owned()], 1000, "fail");
        one.registry_requests("manifest", 7);
        let text = one.render();
        assert!(
            text.contains(
                "proofmark_admission_reviews_total{path=\"validate\",operation=\"CREATE\",outcome=\"denied\"} 1"
            ),
            "{text}"
        );
        assert!(text.contains("proofmark_admission_review_duration_seconds_bucket{path=\"validate\",le=\"0.005\"} 1"));
        assert!(text.contains("decisions_total{policy=\"p\",outcome=\"fail\"} 1"));
        assert!(text.contains("decisions_total{policy=\"other\",outcome=\"fail\"} 1"));
        assert!(text.contains("registry_requests_total{operation=\"manifest\"} 7"));
        assert!(!other.render().contains("reviews_total{"));
    }
}
