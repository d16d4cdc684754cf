//! How many reviews a second, how fast, in how much memory, with the registry near, far, hanging, gone and hostile.
//!
//! `cargo bench -p proofmark-admission` prints tables; `-- held`, `-- cold`, `-- down`, `-- hostile` and `-- churn SECONDS`
//! one part each. The webhook runs in a process of its own (this binary again), so that its memory is its own; registry
//! and load are in the parent, which takes part of the processor: on two cores the figures are lower bounds. Whatever
//! the load, that nothing is admitted that must not be is asserted.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the table is the result")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

mod churn;
mod load;
mod webhook;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/it/world.rs"]
mod world;

use load::{Asked, Load};
use webhook::{Webhook, request};
use world::{Wire, World};

/// API servers keep some tens of connections to a webhook.
const CONNECTIONS: usize = 32;
/// More where answers take long: each connection has one review under way.
const MANY_CONNECTIONS: usize = 400;
/// How long each closed-loop measurement lasts, in seconds, unless `PROOFMARK_BENCH_SECONDS` says otherwise.
const SECONDS: u64 = 8;
const IMAGES: usize = 1000;
/// The usual `timeoutSeconds` of a webhook.
const TIMEOUT: u32 = 10;
/// A short one, where every review runs into it.
const SHORT_TIMEOUT: u32 = 2;

const HEAD: &str = "| what | rate | allowed | denied | p50 ms | p95 ms | p99 ms | registry requests each | MB now (most) |\n|---|---|---|---|---|---|---|---|---|";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Ok(folder) = std::env::var(webhook::SERVE) {
        return runtime.block_on(webhook::serve(folder.into()));
    }
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    runtime.block_on(measure(&words));
}

async fn measure(words: &[String]) {
    let wants = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    let world = World::new().await;
    world.write_policies(&[world.policy("signed", "")]);
    if wants("churn") {
        let named = words.iter().find_map(|word| word.parse().ok());
        churn::churn(&world, Duration::from_secs(named.unwrap_or(30))).await;
    }
    if !["held", "cold", "down", "hostile"].into_iter().any(wants) {
        return;
    }
    println!("preparing {IMAGES} signed images");
    let mut images = Vec::new();
    for number in 0..IMAGES {
        images.push(world.signed(&format!("app/{number}")).await);
    }
    if wants("held") {
        held(&world, &images).await;
    }
    if wants("cold") {
        cold(&world, &images).await;
    }
    if wants("down") {
        down(&world, &images).await;
    }
    if wants("hostile") {
        hostile(&world, &images).await;
    }
}

type Image = (String, proofmark_types::Digest);

/// Reviews of signed images, named by digest.
fn signed(images: &[Image], timeout: u32) -> Arc<Vec<Asked>> {
    let asked = images.iter().map(|(image, digest)| Asked {
        request: request(&format!("{image}@{digest}"), timeout),
        may_pass: true,
    });
    Arc::new(asked.collect())
}

/// Reviews of signed images, named by tag.
fn by_tag(images: &[Image], timeout: u32) -> Arc<Vec<Asked>> {
    let asked = images.iter().map(|(image, _)| Asked {
        request: request(image, timeout),
        may_pass: true,
    });
    Arc::new(asked.collect())
}

/// The evidence is in memory.
async fn held(world: &World, images: &[Image]) {
    let webhook = Arc::new(Webhook::start(world));
    let one = signed(&images[..1], TIMEOUT);
    println!(
        "\nheld: a review of {} bytes, one signature by key\n",
        one[0].request.len()
    );
    assert!(webhook.connect().await.allowed(&one[0].request).await);
    throughput("as fast as it goes, by digest", &webhook, &one[0].request).await;
    let tagged = by_tag(&images[..1], TIMEOUT);
    throughput(
        "as fast as it goes, by tag (resolved every 3 s)",
        &webhook,
        &tagged[0].request,
    )
    .await;
    println!("\n{HEAD}");
    for rate in [500, 5000] {
        let load = Load {
            rate,
            reviews: rate as usize * usize::try_from(lasts().as_secs()).unwrap(),
            connections: CONNECTIONS,
        };
        println!("| held, one image, {rate}/s | {}", load.run(&webhook, &one).await);
    }
    let all = signed(images, TIMEOUT);
    let warm = Load {
        rate: 200,
        reviews: images.len(),
        connections: CONNECTIONS,
    };
    println!(
        "| {IMAGES} images for the first time, 200/s | {}",
        warm.run(&webhook, &all).await
    );
    for rate in [500, 5000] {
        let load = Load {
            rate,
            reviews: rate as usize * usize::try_from(lasts().as_secs()).unwrap(),
            connections: CONNECTIONS,
        };
        let outcome = load.run(&webhook, &all).await;
        assert_eq!(outcome.allowed, load.reviews);
        println!("| held, {IMAGES} images, {rate}/s | {outcome}");
    }
}

fn lasts() -> Duration {
    let named = std::env::var("PROOFMARK_BENCH_SECONDS").ok();
    Duration::from_secs(named.map_or(SECONDS, |seconds| seconds.parse().unwrap()))
}

async fn throughput(what: &str, webhook: &Arc<Webhook>, request: &[u8]) {
    let (count, started, before) = (Arc::new(AtomicUsize::new(0)), Instant::now(), webhook.processor());
    let request = Arc::new(request.to_vec());
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (webhook, request, count) = (webhook.clone(), request.clone(), count.clone());
        load.spawn(async move {
            let mut connection = webhook.connect().await;
            while started.elapsed() < lasts() {
                assert!(connection.allowed(&request).await);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    load.join_all().await;
    let reviews = count.load(Ordering::Relaxed) as f64;
    let rate = reviews / started.elapsed().as_secs_f64();
    let processor = (webhook.processor() - before) * 1e6 / reviews;
    println!("- {what}: {rate:.0} reviews/s, {processor:.0} µs of processor each");
}

/// Images that this webhook has never seen.
async fn cold(world: &World, images: &[Image]) {
    println!("\ncold: every image for the first time\n\n{HEAD}");
    for (milliseconds, rate, connections) in [
        (50, 20, 32),
        (0, 500, MANY_CONNECTIONS),
        (50, 500, MANY_CONNECTIONS),
        (500, 500, MANY_CONNECTIONS),
        (0, 5000, MANY_CONNECTIONS),
        (50, 5000, MANY_CONNECTIONS),
    ] {
        let webhook = Arc::new(Webhook::start(world));
        let delay = Duration::from_millis(milliseconds);
        world
            .wire
            .send(if delay.is_zero() { Wire::Open } else { Wire::Slow(delay) })
            .unwrap();
        // At 20 a second what one lookup takes is seen; at more, what the queue in front of it does.
        let reviews = if rate == 20 { 120 } else { IMAGES.max(rate as usize) };
        let load = Load {
            rate,
            reviews,
            connections,
        };
        let outcome = load.run(&webhook, &by_tag(images, TIMEOUT)).await;
        println!("| cold, by tag, registry {milliseconds} ms away, {rate}/s | {outcome}");
    }
    world.wire.send(Wire::Open).unwrap();
}

/// The registry hangs, and is gone: what is held runs on, what is not is denied in time.
async fn down(world: &World, images: &[Image]) {
    println!("\nthe registry does not answer: half of the images held\n\n{HEAD}");
    for (what, wire) in [("hangs", Wire::Hanging), ("gone", Wire::Down)] {
        let webhook = Arc::new(Webhook::start(world));
        let half = images.len() / 2;
        let load = Load {
            rate: 500,
            reviews: half,
            connections: MANY_CONNECTIONS,
        };
        let known = signed(&images[..half], TIMEOUT);
        assert_eq!(load.run(&webhook, &known).await.allowed, half);
        world.wire.send(wire).unwrap();
        let mut asked = Arc::into_inner(signed(&images[..half], SHORT_TIMEOUT)).unwrap();
        for (number, (image, digest)) in images[half..].iter().enumerate() {
            // Nobody can know now whether they are signed.
            let unknown = Asked {
                request: request(&format!("{image}@{digest}"), SHORT_TIMEOUT),
                may_pass: false,
            };
            asked.insert(2 * number, unknown);
        }
        let load = Load {
            rate: 500,
            reviews: 2 * asked.len(),
            connections: 2 * MANY_CONNECTIONS,
        };
        let outcome = load.run(&webhook, &Arc::new(asked)).await;
        assert_eq!(outcome.allowed, load.reviews / 2);
        println!("| registry {what}, 500/s, {SHORT_TIMEOUT} s given | {outcome}");
        world.wire.send(Wire::Open).unwrap();
    }
}

/// A registry that lies, and images with what whoever may push can hang on them; signed ones in between.
async fn hostile(world: &World, images: &[Image]) {
    println!("\nhostile\n\n{HEAD}");
    let other = rcgen::KeyPair::generate().unwrap();
    let mut asked = Vec::new();
    for number in 0..40 {
        let name = format!("hostile/{number}");
        let image = world.push(&name, "1.0", &name).await;
        let pinned = format!("{}@{}", world.image(&name), image.digest);
        match number % 4 {
            // Signed by somebody.
            0 => world.sign(&name, &image, &other).await,
            // Many signatures by somebody.
            1 => {
                for _ in 0..100 {
                    world.sign(&name, &image, &other).await;
                }
            }
            // Megabytes of attestation by somebody.
            2 => {
                let junk = serde_json::json!({ "junk": "x".repeat(8 * 1024 * 1024) });
                world
                    .attest(&name, &image, &other, "https://example.com/junk", junk)
                    .await;
            }
            // Nothing.
            _ => {}
        }
        for (position, (image, digest)) in images[number..=number].iter().enumerate() {
            let request = request(&format!("{image}@{digest}"), TIMEOUT);
            asked.insert(
                position,
                Asked {
                    request,
                    may_pass: true,
                },
            );
        }
        asked.push(Asked {
            request: request(&pinned, TIMEOUT),
            may_pass: false,
        });
    }
    let asked = Arc::new(asked);
    let load = Load {
        rate: 100,
        reviews: 800,
        connections: MANY_CONNECTIONS,
    };
    let webhook = Arc::new(Webhook::start(world));
    let outcome = load.run(&webhook, &asked).await;
    println!("| 80 images, half of them with junk on them, 100/s | {outcome}");
    let webhook = Arc::new(Webhook::start(world));
    world.wire.send(Wire::Lying).unwrap();
    let lied = images.iter().map(|(image, digest)| Asked {
        request: request(&format!("{image}@{digest}"), TIMEOUT),
        may_pass: false,
    });
    let outcome = load.run(&webhook, &Arc::new(lied.collect())).await;
    assert_eq!(outcome.allowed, 0);
    println!("| a registry that changes a byte of every answer, 100/s | {outcome}");
    world.wire.send(Wire::Open).unwrap();
}
