//! A working day in a short time: images come and go, policies change, the registry comes and goes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::webhook::{Webhook, request};
use crate::world::{Wire, World};

const LANES: usize = 16;
/// Between two reviews of one lane: 500 a second in all.
const PAUSE: Duration = Duration::from_millis(32);
const REPORTS: u32 = 6;

#[derive(Default)]
struct Counts {
    reviews: AtomicUsize,
    allowed: AtomicUsize,
    /// Signed ones that were turned away while the registry was there.
    turned_away: AtomicUsize,
}

/// 500 reviews a second of signed images and of images that nobody, or somebody else, signed, while every second new
/// images appear and policies are rewritten, and every few seconds the registry is slow, hangs or is gone.
pub(crate) async fn churn(world: &World, lasts: Duration) {
    println!("\nchurn for {} s, 500/s\n", lasts.as_secs());
    let webhook = Arc::new(Webhook::start(world));
    let other = rcgen::KeyPair::generate().unwrap();
    let (counts, over) = (Arc::new(Counts::default()), Arc::new(AtomicBool::new(false)));
    let reachable = Arc::new(AtomicBool::new(true));
    // Each with whether it is signed.
    let images = Arc::new(std::sync::Mutex::new(Vec::<(String, bool)>::new()));
    let mut lanes = tokio::task::JoinSet::new();
    for number in 0..LANES {
        lanes.spawn(ask(
            number,
            webhook.clone(),
            images.clone(),
            counts.clone(),
            [over.clone(), reachable.clone()],
        ));
    }
    let started = Instant::now();
    let (mut second, mut reported) = (0_u32, 0);
    while started.elapsed() < lasts {
        let wire = match second % 20 {
            14 | 15 => Wire::Slow(Duration::from_millis(50)),
            16 => Wire::Hanging,
            17 => Wire::Down,
            _ => Wire::Open,
        };
        reachable.store(!matches!(wire, Wire::Hanging | Wire::Down), Ordering::Relaxed);
        world.wire.send(wire).unwrap();
        change(world, second, &images, &other).await;
        let due = lasts / REPORTS * (reported + 1);
        if started.elapsed() >= due {
            reported += 1;
            let (now, most) = webhook.memory();
            println!(
                "- after {} s: {now:.1} MB, at most {most:.1} MB",
                started.elapsed().as_secs()
            );
        }
        second += 1;
        tokio::time::sleep_until((started + Duration::from_secs(1) * second).into()).await;
    }
    over.store(true, Ordering::Relaxed);
    world.wire.send(Wire::Open).unwrap();
    lanes.join_all().await;
    let read = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let (now, most) = webhook.memory();
    println!(
        "- {} reviews, {} allowed, none that must not be; {} signed ones turned away with the registry there; {:.3} registry requests each; {now:.1} MB, at most {most:.1} MB",
        read(&counts.reviews),
        read(&counts.allowed),
        read(&counts.turned_away),
        webhook.registry_requests().await / read(&counts.reviews) as f64,
    );
}

/// One connection, until it is over: reviews of one image after another.
async fn ask(
    lane: usize,
    webhook: Arc<Webhook>,
    images: Arc<std::sync::Mutex<Vec<(String, bool)>>>,
    counts: Arc<Counts>,
    [over, reachable]: [Arc<AtomicBool>; 2],
) {
    let mut connection = webhook.connect().await;
    let mut number = lane * 7919;
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(PAUSE).await;
        number += 1;
        let chosen = {
            let images = images.lock().unwrap();
            images.get(number % images.len().max(1)).cloned()
        };
        let Some((image, signed)) = chosen else { continue };
        let before = reachable.load(Ordering::Relaxed);
        let allowed = connection.allowed(&request(&image, 1)).await;
        assert!(!allowed || signed, "{image} was admitted and nobody signed it");
        counts.reviews.fetch_add(1, Ordering::Relaxed);
        counts.allowed.fetch_add(usize::from(allowed), Ordering::Relaxed);
        let was_there = before && reachable.load(Ordering::Relaxed);
        counts
            .turned_away
            .fetch_add(usize::from(signed && !allowed && was_there), Ordering::Relaxed);
    }
}

/// A second's worth of new images, and a new generation of policies that wants the same.
async fn change(world: &World, second: u32, images: &std::sync::Mutex<Vec<(String, bool)>>, other: &rcgen::KeyPair) {
    let name = format!("churn/{}", second % 50);
    for (kind, signed) in [("signed", true), ("unsigned", false), ("foreign", false)] {
        let image = world.push(&name, kind, &format!("{kind}{second}")).await;
        match kind {
            "signed" => world.sign(&name, &image, &world.key).await,
            "foreign" => world.sign(&name, &image, other).await,
            _ => {}
        }
        let pinned = format!("{}@{}", world.image(&name), image.digest);
        let mut images = images.lock().unwrap();
        images.push((pinned, signed));
        // What ran an hour ago is not asked about any more.
        if images.len() > 600 {
            images.remove(0);
        }
    }
    let (file, text) = world.policy("signed", "");
    let text = format!("# generation {second}\n{text}");
    let folder = world.policy_folder();
    // As a ConfigMap is swapped: there is never a moment without the file.
    std::fs::write(folder.join(".next"), text).unwrap();
    std::fs::rename(folder.join(".next"), folder.join(file)).unwrap();
}
