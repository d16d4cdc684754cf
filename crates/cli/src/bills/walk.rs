//! Reads the layers of one image, several side by side, or takes what was kept of them.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use proofmark_oci::Descriptor;
use proofmark_oci::union::Layer;
use proofmark_registry::{ImageSource, RegistryError};
use proofmark_sbom::{Bill, Listing, Options, SbomError, Squash};
use proofmark_types::Digest;
use tokio::runtime::Handle;

use crate::context::registry_failure;
use crate::failure::{Exit, Failure, chain};
use crate::layers::LayerCache;

/// How many layers are read side by side at most. Each takes two threads and holds the largest file that is read of it.
const MAX_SIDE_BY_SIDE: usize = 4;

/// The most memory that listings of layers take which are kept for the image's other states: those of some fifty layers of
/// 93,000 files. Further layers are read again.
const MAX_KEPT_BYTES: usize = 512 << 20;

/// Which of an image's states are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum States {
    /// What a container sees.
    Last,
    /// What it would see after each of the layers.
    Each,
}

/// The packages of the layers, on a thread that may block; one bill for each state, the lowest first. Where the source
/// failed, and not what it gave, its error is the answer: a timeout is no malformed layer.
pub(super) async fn list_packages(
    cache: LayerCache,
    source: ImageSource,
    descriptors: Vec<Descriptor>,
    diff_ids: Vec<Digest>,
    states: States,
) -> Result<Vec<Bill>, Failure> {
    let handle = Handle::current();
    let failed = Arc::new(OnceLock::new());
    let failure = Arc::clone(&failed);
    let walk = move || {
        let stop = Arc::new(AtomicBool::new(false));
        let openers: Vec<_> = descriptors
            .iter()
            .map(|layer| {
                || -> io::Result<Box<dyn Read + Send + '_>> {
                    let opened = handle.block_on(source.open_blob(layer));
                    let reader = opened.map_err(|error| noted(&failed, io::Error::other(error)))?;
                    Ok(Box::new(Watched {
                        reader,
                        failed: Arc::clone(&failed),
                        stop: Arc::clone(&stop),
                    }))
                }
            })
            .collect();
        let layers: Vec<Layer<'_>> = descriptors
            .iter()
            .zip(&diff_ids)
            .zip(&openers)
            .map(|((descriptor, diff_id), opener)| Layer {
                descriptor,
                diff_id,
                source: opener,
            })
            .collect();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        bills_of(&layers, &cache, workers.min(MAX_SIDE_BY_SIDE), &stop, states)
    };
    let walked = tokio::task::spawn_blocking(walk).await.map_err(anyhow::Error::from)?;
    walked.map_err(|error: SbomError| match failure.get() {
        Some(cause) => registry_failure(RegistryError::clone(cause)),
        None => Failure::new(Exit::Undecided, error.code(), chain(&error)),
    })
}

/// The bills, with what was kept where it can be used; where it turns out that it cannot, without.
fn bills_of(
    layers: &[Layer<'_>],
    cache: &LayerCache,
    workers: usize,
    stop: &AtomicBool,
    states: States,
) -> Result<Vec<Bill>, SbomError> {
    let all = |cache: &LayerCache| {
        let mut kept = Kept::default();
        let last = side_by_side(layers, cache, workers, stop, &mut |index, listing| {
            if states == States::Each {
                kept.keep(index, listing);
            }
        })?;
        let lower = match states {
            States::Last => 0..0,
            States::Each => 1..layers.len(),
        };
        let lower = lower.map(|height| kept.bill_of(&layers[..height], cache));
        lower.chain([Ok(last)]).collect()
    };
    match all(cache) {
        Err(SbomError::Listing { layer, error }) => {
            cache.refuse(&layers[layer], &error);
            all(&cache.unread())
        }
        other => other,
    }
}

/// Listings of layers that are wanted again, by the layers' places.
#[derive(Default)]
struct Kept {
    listings: BTreeMap<usize, Listing>,
    bytes: usize,
}

impl Kept {
    fn keep(&mut self, index: usize, listing: Listing) {
        let bytes = self.bytes.saturating_add(listing.memory());
        if bytes <= MAX_KEPT_BYTES {
            self.bytes = bytes;
            self.listings.insert(index, listing);
        }
    }

    /// The bill of some of the layers, from the lowest.
    fn bill_of(&self, layers: &[Layer<'_>], cache: &LayerCache) -> Result<Bill, SbomError> {
        let options = Options::default();
        let mut squash = Squash::new(layers.len(), &options)?;
        for (index, layer) in layers.iter().enumerate().rev() {
            match self.listings.get(&index) {
                Some(listing) => squash.add(index, layer, listing)?,
                None => squash.add(index, layer, &listing_of(layer, index, cache, &options)?)?,
            }
        }
        squash.finish(layers)
    }
}

/// What a layer contains: as it was kept, or by reading it.
fn listing_of(layer: &Layer<'_>, index: usize, cache: &LayerCache, options: &Options) -> Result<Listing, SbomError> {
    if let Some(listing) = cache.get(layer, options) {
        return Ok(listing);
    }
    let listing = Listing::read(layer, index, options)?;
    cache.keep(layer, &listing);
    Ok(listing)
}

/// Reads up to `workers` layers at once, from the top down, and lays them over each other in that order: the outcome, an
/// error too, is that of reading one after the other.
fn side_by_side(
    layers: &[Layer<'_>],
    cache: &LayerCache,
    workers: usize,
    stop: &AtomicBool,
    on_added: &mut dyn FnMut(usize, Listing),
) -> Result<Bill, SbomError> {
    let options = Options::default();
    stop.store(false, Ordering::Relaxed);
    let mut squash = Squash::new(layers.len(), &options)?;
    thread::scope(|scope| {
        let options = &options;
        let mut waiting = layers.iter().enumerate().rev();
        let mut running = VecDeque::new();
        loop {
            while running.len() < workers
                && let Some((index, layer)) = waiting.next()
            {
                let read = move || listing_of(layer, index, cache, options);
                running.push_back((index, layer, scope.spawn(read)));
            }
            let Some((index, layer, worker)) = running.pop_front() else {
                return Ok(());
            };
            let read: Result<Listing, SbomError> = worker.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
            let added = read.and_then(|listing| {
                squash.add(index, layer, &listing)?;
                on_added(index, listing);
                Ok(())
            });
            if added.is_err() {
                // What is still being read is of no use any more.
                stop.store(true, Ordering::Relaxed);
                return added;
            }
        }
    })?;
    squash.finish(layers)
}

/// A layer's reader that keeps what its source failed with, and ends when nobody waits for it any more.
struct Watched<R> {
    reader: R,
    failed: Arc<OnceLock<RegistryError>>,
    stop: Arc<AtomicBool>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("another layer has failed"));
        }
        self.reader.read(buffer).map_err(|error| noted(&self.failed, error))
    }
}

/// The error as it is, the registry's in it noted; the first one counts.
fn noted(failed: &OnceLock<RegistryError>, error: io::Error) -> io::Error {
    if let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<RegistryError>()) {
        let _ = failed.set(cause.clone());
    }
    error
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::sync::atomic::AtomicUsize;

    use proofmark_oci::{ImageConfig, Manifest};

    use proofmark_testkit::images::{Built, Layer as Files};

    use super::*;
    use crate::output::{Format, Output};

    fn image() -> Built {
        let package = |name: &str| format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
        let layers: Vec<Files> = (0..6)
            .map(|n| {
                let mine = format!("app/node_modules/p{n}/package.json");
                let hidden = format!("app/node_modules/.wh.p{}", n % 3);
                Files::gzip()
                    .file(&mine, package(&mine))
                    .file(&hidden, "")
                    .file("app/node_modules/x/package.json", "{")
            })
            .collect();
        Built::image("linux/amd64", &layers, |_| ())
    }

    /// What comes of an image, some of whose layers' bytes are cut short.
    fn outcomes(
        image: &Built,
        broken: &[usize],
        workers: usize,
        states: States,
        opened: &AtomicUsize,
    ) -> Result<Vec<Bill>, (&'static str, String)> {
        let Ok(Manifest::Image(manifest)) = Manifest::parse(None, image.manifest()) else {
            panic!("an image's manifest");
        };
        let config = ImageConfig::parse(&image.blobs()[0]).unwrap();
        let sources: Vec<_> = (0..manifest.layers.len())
            .map(|at| {
                let mut bytes = image.blobs()[at + 1].clone();
                bytes.truncate(if broken.contains(&at) { 50 } else { bytes.len() });
                move || -> io::Result<Box<dyn Read + Send>> {
                    opened.fetch_add(1, Ordering::Relaxed);
                    Ok(Box::new(Cursor::new(bytes.clone())))
                }
            })
            .collect();
        let parts = manifest.layers.iter().zip(&config.diff_ids).zip(&sources);
        let layers: Vec<Layer<'_>> = parts
            .map(|((descriptor, diff_id), source)| Layer {
                descriptor,
                diff_id,
                source,
            })
            .collect();
        let cache = LayerCache::nowhere(Output::new(Format::Text, true));
        let bills = bills_of(&layers, &cache, workers, &AtomicBool::new(false), states);
        bills.map_err(|error| (error.code(), error.to_string()))
    }

    fn outcome(image: &Built, broken: &[usize], workers: usize) -> Result<Bill, (&'static str, String)> {
        let opened = AtomicUsize::new(0);
        let bills = outcomes(image, broken, workers, States::Last, &opened);
        bills.map(|mut bills| bills.pop().unwrap())
    }

    #[test]
    fn side_by_side_is_one_after_the_other() {
        let image = image();
        let alone = outcome(&image, &[], 1).unwrap();
        assert_eq!(alone.packages.len(), 3);
        assert_eq!(alone.notes.len(), 1);
        for workers in [2, 3, 8] {
            assert_eq!(outcome(&image, &[], workers), Ok(alone.clone()), "{workers} workers");
        }
    }

    /// Every state is what its layers alone are, and no layer is read for each of them.
    #[test]
    fn each_state_is_listed_and_each_layer_read_once() {
        let image = image();
        let opened = AtomicUsize::new(0);
        let states = outcomes(&image, &[], 2, States::Each, &opened).unwrap();
        assert_eq!(opened.load(Ordering::Relaxed), 6);
        assert_eq!(states.last(), Some(&outcome(&image, &[], 1).unwrap()));
        let names = |bill: &Bill| {
            bill.packages
                .iter()
                .map(|package| package.name.clone())
                .collect::<Vec<_>>()
        };
        let of = |ns: &[usize]| {
            let names = ns.iter().map(|n| format!("app/node_modules/p{n}/package.json"));
            names.collect::<Vec<_>>()
        };
        let seen: Vec<_> = states.iter().map(names).collect();
        let expected = [&[0][..], &[0, 1], &[0, 1, 2], &[1, 2, 3], &[2, 3, 4], &[3, 4, 5]];
        assert_eq!(seen, expected.map(of));
        assert!(outcomes(&image, &[2], 2, States::Each, &opened).is_err());
    }

    #[test]
    fn the_topmost_of_several_broken_layers_is_told() {
        let image = image();
        for workers in [1, 2, 8] {
            let (code, text) = outcome(&image, &[0, 2, 4], workers).unwrap_err();
            assert_eq!(code, "layer-size-mismatch");
            assert!(text.starts_with("layer 4 ("), "{workers} workers: {text}");
        }
    }
}
