//! One walk over an image's layers, from files to facts.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead as _, Read as _};

use proofmark_oci::union::{self, Content, Entry, Layer, Limits, UnionError, Visitor, Wants};
use proofmark_types::Digest;
use thiserror::Error;

use crate::assemble::{Facts, Found, assemble};
use crate::bill::{Bill, LayerRecord, Note};
use crate::cataloger::{self, Fact, GoScanner, MAX_EXECUTABLE_BYTES, Search, Unreadable};

/// How an image is read.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether the SHA-256 of every visible file is listed in the bill.
    pub file_digests: bool,
    /// How much of a foreign image is read before it is refused.
    pub limits: Limits,
}

/// The most memory that facts may take, in bytes as they are counted: some 20 times what a full desktop has.
const MAX_FACT_BYTES: usize = 256 * 1024 * 1024;

/// The most notes kept; a bill with as many is not worth much anyway.
const MAX_NOTES: usize = 10_000;

/// Reads the layers of an image, lowest first, and returns what is inside, in these steps:
///
/// 1. the layers are walked as a union, verified on the way ([`union::walk`]): what is hidden is not seen;
/// 2. files that catalogers want, and executables, are read, bounded, each once, into one buffer;
/// 3. what a file says is kept as facts under its path; what cannot be read becomes a note;
/// 4. when the walk has ended well, and only then, the facts are put together into packages.
pub fn catalog(layers: &[Layer<'_>], options: &Options) -> Result<Bill, SbomError> {
    let mut collector = Collector {
        options,
        facts: Facts::default(),
        fact_bytes: 0,
        notes: BTreeMap::new(),
        buffer: Vec::new(),
        digests: BTreeMap::new(),
    };
    let summary = union::walk(layers, &options.limits, &mut collector)?;
    if collector.fact_bytes > MAX_FACT_BYTES {
        return Err(SbomError::TooManyFacts { limit: MAX_FACT_BYTES });
    }
    for (path, target) in summary.dangling_links {
        collector.note(&path, "hard-link-dangling", format!("no layer has its target {target}"));
    }
    let records = layers.iter().map(|layer| LayerRecord {
        digest: layer.descriptor.digest.clone(),
        diff_id: layer.diff_id.clone(),
        size: layer.descriptor.size,
    });
    let mut bill = assemble(collector.facts);
    bill.layers = records.collect();
    bill.notes = collector.notes.into_values().collect();
    bill.file_digests = collector.digests.into_iter().collect();
    Ok(bill)
}

struct Collector<'o> {
    options: &'o Options,
    facts: Facts,
    fact_bytes: usize,
    notes: BTreeMap<String, Note>,
    /// Reused for every file that is read.
    buffer: Vec<u8>,
    digests: BTreeMap<String, Digest>,
}

impl Visitor for Collector<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Wants {
        self.facts.files += 1;
        self.facts.layer_of.insert(path_key(entry.path), entry.layer);
        Wants {
            content: is_wanted(entry.path) || cataloger::may_be_executable(entry.path, entry.mode, entry.size),
            digest: self.options.file_digests,
        }
    }

    fn hard_link(&mut self, entry: &Entry<'_>, target: &str, target_shown: bool) -> Wants {
        self.facts.files += 1;
        self.facts.layer_of.insert(path_key(entry.path), entry.layer);
        // What an executable says has been read under its first name, if that was shown.
        let executable = !target_shown && cataloger::may_be_executable(entry.path, entry.mode, u64::MAX);
        let known = self.digests.get(target).filter(|_| target_shown).cloned();
        Wants {
            content: is_wanted(entry.path) || executable,
            digest: match known {
                Some(digest) => {
                    self.digests.insert(entry.path.to_owned(), digest);
                    false
                }
                None => self.options.file_digests,
            },
        }
    }

    fn symlink(&mut self, entry: &Entry<'_>, target: &str) {
        if let Some((package, other)) = cataloger::doc_link(entry.path, target) {
            self.facts.doc_links.insert(entry.path.to_owned(), (package, other));
        }
    }

    fn content(&mut self, entry: &Entry<'_>, content: &mut Content<'_>) {
        let names = || std::iter::once(entry.path).chain(entry.also.iter().map(String::as_str));
        if names().any(is_wanted) {
            self.metadata(entry, content, names);
        } else {
            self.executable(entry, content);
        }
    }

    fn digest(&mut self, entry: &Entry<'_>, digest: &Digest) {
        for path in std::iter::once(entry.path).chain(entry.also.iter().map(String::as_str)) {
            self.digests.insert(path.to_owned(), digest.clone());
        }
    }

    fn retract(&mut self, path: &str) {
        self.facts.files = self.facts.files.saturating_sub(1);
        self.facts.layer_of.remove(&path_key(path));
        self.facts.found.remove(path);
        self.facts.doc_links.remove(path);
        self.notes.remove(path);
        self.digests.remove(path);
    }
}

impl Collector<'_> {
    fn metadata<'e, N>(&mut self, entry: &Entry<'_>, content: &mut Content<'_>, names: impl Fn() -> N)
    where
        N: Iterator<Item = &'e str>,
    {
        let wanting = || {
            cataloger::registry()
                .iter()
                .filter(|cataloger| names().any(|path| cataloger.wants(path)))
        };
        let limit = wanting()
            .map(|cataloger| cataloger.max_bytes())
            .max()
            .unwrap_or_default();
        if entry.size > limit {
            let reason = format!("its {} bytes are more than the {limit} read", entry.size);
            self.note(entry.path, "metadata-too-large", reason);
            return;
        }
        let mut buffer = self.take_buffer(entry.size);
        // A failure to read is the walk's error, not this file's.
        if content.read_to_end(&mut buffer).is_ok() {
            for path in names() {
                for cataloger in cataloger::registry() {
                    if cataloger.wants(path) {
                        self.keep(path, entry.layer, cataloger.read(path, &buffer));
                    }
                }
            }
        }
        self.buffer = buffer;
    }

    fn executable(&mut self, entry: &Entry<'_>, content: &mut Content<'_>) {
        let mut buffer = self.take_buffer(entry.size.min(MAX_EXECUTABLE_BYTES));
        let started = content.by_ref().take(4).read_to_end(&mut buffer).is_ok();
        if started && cataloger::is_executable(&buffer) {
            let rest = content.by_ref().take(MAX_EXECUTABLE_BYTES - 4).read_to_end(&mut buffer);
            if rest.is_ok() && entry.size <= MAX_EXECUTABLE_BYTES {
                self.keep(entry.path, entry.layer, cataloger::read_executable(entry.path, &buffer));
            } else if rest.is_ok() {
                self.large_executable(entry, content, &buffer);
            }
        }
        self.buffer = buffer;
    }

    /// Looks for what can be found without holding the file.
    fn large_executable(&mut self, entry: &Entry<'_>, content: &mut Content<'_>, start: &[u8]) {
        let mut scanner = GoScanner::default();
        let mut search = Search::new(entry.path);
        scanner.feed(start);
        search.feed(start);
        while let Ok(piece) = content.fill_buf() {
            if piece.is_empty() {
                break;
            }
            scanner.feed(piece);
            search.feed(piece);
            let length = piece.len();
            content.consume(length);
        }
        let found = scanner.finish().map(|mut facts| {
            facts.extend(search.finish());
            facts
        });
        if found.as_ref().is_ok_and(Vec::is_empty) {
            let reason = format!(
                "its {} bytes are more than the {MAX_EXECUTABLE_BYTES} looked into for a Rust dependency list",
                entry.size
            );
            self.note(entry.path, "executable-too-large", reason);
        } else {
            self.keep(entry.path, entry.layer, found);
        }
    }

    fn take_buffer(&mut self, size: u64) -> Vec<u8> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        // One byte more, so that reading to the end does not double it.
        buffer.reserve_exact(usize::try_from(size).unwrap_or_default().saturating_add(1));
        buffer
    }

    fn keep(&mut self, path: &str, layer: usize, read: Result<Vec<Fact>, Unreadable>) {
        match read {
            Ok(facts) if facts.is_empty() => {}
            Ok(facts) => {
                let (mut facts, problems): (Vec<_>, Vec<_>) =
                    facts.into_iter().partition(|fact| !matches!(fact, Fact::Problem(_)));
                for problem in problems {
                    if let Fact::Problem(Unreadable { code, reason }) = problem {
                        self.note(path, code, reason);
                    }
                }
                for fact in &mut facts {
                    if let Fact::Package(draft) = fact {
                        draft.shorten();
                    }
                }
                self.fact_bytes += facts.iter().map(cost).sum::<usize>();
                if self.fact_bytes <= MAX_FACT_BYTES {
                    let found = self.facts.found.entry(path.to_owned()).or_insert_with(|| Found {
                        layer,
                        facts: Vec::new(),
                    });
                    found.facts.extend(facts);
                }
            }
            Err(Unreadable { code, reason }) => self.note(path, code, reason),
        }
    }

    fn note(&mut self, path: &str, code: &'static str, reason: String) {
        if self.notes.len() < MAX_NOTES {
            let note = Note {
                path: path.to_owned(),
                code,
                reason,
            };
            self.notes.insert(path.to_owned(), note);
        }
    }
}

fn is_wanted(path: &str) -> bool {
    cataloger::registry().iter().any(|cataloger| cataloger.wants(path))
}

/// A path in eight bytes. Two paths that fall together confuse the layer a package is attributed to, nothing else.
pub(crate) fn path_key(path: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

/// Roughly the memory that a fact takes.
fn cost(fact: &Fact) -> usize {
    /// A draft without its texts, or a small fact.
    const PACKAGE: usize = 1024;
    /// What a path costs beside its bytes.
    const PATH: usize = 48;
    match fact {
        Fact::Owned { files, .. } => files.iter().map(|file| file.len() + PATH).sum(),
        Fact::Package(draft) => PACKAGE + (draft.needs.len() + draft.provides.len()) * PATH + draft.text_bytes(),
        Fact::Distribution(_) | Fact::Problem(_) => PACKAGE,
        Fact::DebianLicences { licences, .. } => {
            PATH + licences.iter().map(|licence| licence.len() + PATH).sum::<usize>()
        }
    }
}

/// Why an image's bill cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SbomError {
    /// A layer cannot be read or is not what it should be.
    #[error(transparent)]
    Union(#[from] UnionError),
    /// The image's package databases say more than is held in memory: an attack, or a limit to raise.
    #[error("the image's package databases take more than the {limit} bytes accepted")]
    TooManyFacts {
        /// The bound.
        limit: usize,
    },
}

impl SbomError {
    /// A stable name for messages and documentation.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Union(error) => error.code(),
            Self::TooManyFacts { .. } => "sbom-too-many-facts",
        }
    }

    /// Whether the bytes could not be had, so that nothing is known of the image.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Union(error) if error.is_unreachable())
    }
}
