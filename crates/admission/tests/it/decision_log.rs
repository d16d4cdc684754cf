//! One line of JSON for every decision.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proofmark_admission::{Admission, Deadline, Request};
use serde_json::Value;

use crate::world::{World, pod};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn each_decision_is_one_line_of_json() {
    let world = World::new().await;
    let (signed, digest) = world.signed("app").await;
    world.push("unsigned", "1.0", "unsigned").await;
    world.write_policies(&[world.policy("signed", "")]);
    let admission = Admission::open(&world.config()).unwrap();
    let mut review = pod(&[&signed, &world.image("unsigned:1.0"), "a\nforged: line"]);
    review["request"]["dryRun"] = true.into();
    let request = Request::parse(review.to_string().as_bytes()).unwrap();
    // tracing decides once for each place that logs whether anybody listens. With a single subscriber it asks the thread
    // that comes there first, which may be another test's that listens to nothing, and then nothing is ever logged. So the
    // place is met before, by another webhook, and asked again when the subscriber comes, which is not the only one.
    Admission::open(&world.config())
        .unwrap()
        .validate(&request, Deadline::after(Duration::from_secs(10)))
        .await;

    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .finish();
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let logging = tracing::subscriber::set_default(subscriber);
    let answer = admission
        .validate(&request, Deadline::after(Duration::from_secs(10)))
        .await;
    drop(logging);
    assert!(!answer.allowed);

    let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 3, "{text}");
    let of = |decision: &str, image: &str| {
        let line = lines
            .iter()
            .find(|line| line["image"].as_str().unwrap().contains(image))
            .unwrap();
        assert_eq!(line["decision"], decision, "{line}");
        line
    };
    let pass = of("pass", "/app:1.0");
    assert_eq!(pass["image.digest"], digest.to_string());
    assert_eq!(pass["policies"], serde_json::json!(["signed"]));
    assert_eq!(pass["object"], "Pod team-a/web");
    assert_eq!(pass["user"], "dana@alpha.test");
    assert_eq!(pass["dry_run"], true);
    assert_eq!(pass["evidence"], "fetched");
    assert!(pass["registry_requests"].as_u64().unwrap() >= 3 && pass["duration_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(of("fail", "unsigned")["reasons"][0]["code"], "unsigned");
    assert_eq!(of("fail", "forged")["reasons"][0]["code"], "invalid-reference");
}
