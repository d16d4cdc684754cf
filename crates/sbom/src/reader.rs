//! From the bytes of one file to the facts that it tells.

use std::io::{BufRead as _, Read as _};

use proofmark_oci::union::Content;
use proofmark_types::{DigestAlgorithm, Hasher};

use crate::bill::FileHash;
use crate::cataloger::{self, Fact, GoScanner, MAX_EXECUTABLE_BYTES, RustScanner, Search, Unreadable};

/// Reads files, each into the same buffer.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
}

/// Is given a name and what the file says under it.
type Tell<'t> = &'t mut dyn FnMut(&str, Vec<Fact>);

/// Whether a cataloger reads files of this path, whatever is in them.
pub(crate) fn is_wanted(path: &str) -> bool {
    cataloger::registry().iter().any(|cataloger| cataloger.wants(path))
}

impl Reader {
    /// What a file of these names (hard links have several) says under each. A failure to read is the layer's error, not
    /// this file's, and is not told here.
    pub(crate) fn read(&mut self, names: &[&str], size: u64, content: &mut Content<'_>, tell: Tell<'_>) {
        if names.iter().any(|name| is_wanted(name)) {
            self.metadata(names, size, content, tell);
        } else if let Some(name) = names.first() {
            self.executable(name, size, content, tell);
        }
    }

    fn metadata(&mut self, names: &[&str], size: u64, content: &mut Content<'_>, tell: Tell<'_>) {
        let wanting = || {
            cataloger::registry()
                .iter()
                .filter(|cataloger| names.iter().any(|name| cataloger.wants(name)))
        };
        let limit = wanting()
            .map(|cataloger| cataloger.max_bytes())
            .max()
            .unwrap_or_default();
        if size > limit {
            let reason = format!("its {size} bytes are more than the {limit} read");
            for name in names.iter().filter(|name| is_wanted(name)) {
                tell(name, facts(Err(Unreadable::new("metadata-too-large", reason.clone()))));
            }
            return;
        }
        let mut buffer = self.take_buffer(size);
        if content.read_to_end(&mut buffer).is_ok() {
            for name in names {
                for cataloger in cataloger::registry() {
                    if cataloger.wants(name) {
                        tell(name, facts(cataloger.read(name, &buffer)));
                    }
                }
            }
        }
        self.buffer = buffer;
    }

    fn executable(&mut self, name: &str, size: u64, content: &mut Content<'_>, tell: Tell<'_>) {
        let mut buffer = self.take_buffer(size.min(MAX_EXECUTABLE_BYTES));
        let started = content.by_ref().take(4).read_to_end(&mut buffer).is_ok();
        if started && cataloger::is_executable(&buffer) {
            let rest = content.by_ref().take(MAX_EXECUTABLE_BYTES - 4).read_to_end(&mut buffer);
            if rest.is_ok() && size <= MAX_EXECUTABLE_BYTES {
                tell(name, facts(cataloger::read_executable(name, &buffer)));
            } else if rest.is_ok() {
                tell(name, facts(Ok(large_executable(name, content, &buffer))));
            }
        }
        self.buffer = buffer;
    }

    fn take_buffer(&mut self, size: u64) -> Vec<u8> {
        /// Kept from one file to the next; what a larger one took is given back.
        const KEPT: usize = 16 * 1024 * 1024;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.shrink_to(KEPT);
        // One byte more, so that reading to the end does not double it.
        buffer.reserve_exact(usize::try_from(size).unwrap_or_default().saturating_add(1));
        buffer
    }
}

/// Looks for what can be found without holding the file.
fn large_executable(name: &str, content: &mut Content<'_>, start: &[u8]) -> Vec<Fact> {
    let mut scanner = GoScanner::default();
    let mut rust = RustScanner::default();
    let mut search = Search::new(name);
    let mut hasher = Hasher::new(DigestAlgorithm::Sha512);
    scanner.feed(start);
    rust.feed(start);
    search.feed(start);
    hasher.update(start);
    while let Ok(piece) = content.fill_buf() {
        if piece.is_empty() {
            break;
        }
        scanner.feed(piece);
        rust.feed(piece);
        search.feed(piece);
        hasher.update(piece);
        let length = piece.len();
        content.consume(length);
    }
    let mut facts = Vec::new();
    for told in [scanner.finish(), rust.finish()] {
        facts.extend(told.unwrap_or_else(|problem| vec![Fact::Problem(problem)]));
    }
    facts.extend(search.finish());
    cataloger::name_programs(&mut facts, name, || FileHash::sha512(hasher));
    facts
}

/// What a cataloger says, texts for people cut; a file that cannot be read is a fact as well.
fn facts(read: Result<Vec<Fact>, Unreadable>) -> Vec<Fact> {
    let mut facts = read.unwrap_or_else(|problem| vec![Fact::Problem(problem)]);
    for fact in &mut facts {
        if let Fact::Package(draft) = fact {
            draft.shorten();
        }
    }
    facts
}
