//! Reviews at a fixed rate, whether or not the ones before were answered, and what became of them.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::webhook::Webhook;

/// A review and whether it may be allowed at all.
pub(crate) struct Asked {
    pub(crate) request: Vec<u8>,
    pub(crate) may_pass: bool,
}

/// How reviews are sent.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Reviews a second.
    pub(crate) rate: u32,
    /// Reviews in all.
    pub(crate) reviews: usize,
    /// Connections; each waits for its answer before it sends again.
    pub(crate) connections: usize,
}

/// What became of them.
#[derive(Default)]
pub(crate) struct Outcome {
    latencies: Vec<Duration>,
    pub(crate) allowed: usize,
    denied: usize,
    /// Allowed, and must not have been.
    pub(crate) wrongly: usize,
    requests: f64,
    took: Duration,
    memory: (f64, f64),
}

impl Load {
    /// Sends the reviews in turn, over and over. Latency counts from when each was due, so that a webhook that falls
    /// behind does not look fast for being asked later.
    pub(crate) async fn run(self, webhook: &Arc<Webhook>, asked: &Arc<Vec<Asked>>) -> Outcome {
        let before = webhook.registry_requests().await;
        let start = Instant::now() + Duration::from_millis(200);
        let mut lanes = tokio::task::JoinSet::new();
        for lane in 0..self.connections {
            let (webhook, asked) = (webhook.clone(), asked.clone());
            lanes.spawn(async move {
                let mut connection = webhook.connect().await;
                let mut outcome = Outcome::default();
                for number in (lane..self.reviews).step_by(self.connections) {
                    let due = start + Duration::from_secs(1) / self.rate * u32::try_from(number).unwrap();
                    tokio::time::sleep_until(due.into()).await;
                    let asked = &asked[number % asked.len()];
                    let allowed = connection.allowed(&asked.request).await;
                    outcome.latencies.push(due.elapsed());
                    outcome.allowed += usize::from(allowed);
                    outcome.denied += usize::from(!allowed);
                    outcome.wrongly += usize::from(allowed && !asked.may_pass);
                }
                outcome
            });
        }
        let mut all = Outcome::default();
        for lane in lanes.join_all().await {
            all.latencies.extend(lane.latencies);
            all.allowed += lane.allowed;
            all.denied += lane.denied;
            all.wrongly += lane.wrongly;
        }
        all.took = start.elapsed();
        all.requests = webhook.registry_requests().await - before;
        all.memory = webhook.memory();
        all.latencies.sort();
        assert_eq!(all.wrongly, 0, "images were admitted that nobody signed");
        all
    }
}

impl Outcome {
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let position = ((self.latencies.len() - 1) as f64 * share).round() as usize;
        self.latencies[position].as_secs_f64() * 1e3
    }
}

/// A row of the table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reviews = self.latencies.len() as f64;
        write!(
            f,
            "{:.0}/s | {} | {} | {:.1} | {:.1} | {:.1} | {:.2} | {:.0} ({:.0}) |",
            reviews / self.took.as_secs_f64(),
            self.allowed,
            self.denied,
            self.percentile(0.5),
            self.percentile(0.95),
            self.percentile(0.99),
            self.requests / reviews,
            self.memory.0,
            self.memory.1,
        )
    }
}
