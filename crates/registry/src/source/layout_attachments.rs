//! What hangs on an image in a layout folder: entries of `index.json` and manifests that nothing lists.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proofmark_evidence::Incomplete;
use proofmark_evidence::layout::{att_tag, sbom_tag, sig_tag};
use proofmark_oci::layout::{COSIGN_KIND, REF_NAME};
use proofmark_oci::{Descriptor, MAX_MANIFEST_BYTES};
use proofmark_types::Digest;

use super::LayoutImage;
use crate::RegistryError;
use crate::attachment::{Attachment, Attachments, Place};
use crate::client::{attachment, refers};
use crate::limits::{MAX_LAYOUT_FILES, MAX_REFERRER_DEPTH, MAX_REFERRERS};

/// The manifests of a folder that have a subject, by that; read once.
#[derive(Debug, Default)]
pub(super) struct Subjects {
    by_subject: BTreeMap<Digest, Vec<Digest>>,
    /// Whether there were more files than are looked into.
    cut_short: bool,
}

/// One candidate, and what became of reading it.
pub(super) struct Candidate {
    pub(super) digest: Digest,
    /// The place that its entry's name gives it; without one its subject says that it belongs here.
    pub(super) named: Option<Place>,
    pub(super) read: Result<Attachment, RegistryError>,
}

impl LayoutImage {
    /// Everything in the folder that hangs on `digest`, and on that. Blocks.
    #[must_use]
    pub fn attachments(&self, digest: &Digest) -> Attachments {
        let mut all = Attachments::default();
        let mut seen = BTreeSet::from([(digest.clone(), None)]);
        let mut waiting = VecDeque::from([(digest.clone(), 0)]);
        while let Some((subject, depth)) = waiting.pop_front() {
            let (candidates, incomplete) = self.hanging_on(&subject);
            if depth == 0 {
                all.incomplete.extend(incomplete);
            }
            for candidate in candidates {
                if !seen.insert((candidate.digest.clone(), candidate.named)) {
                    continue;
                }
                if seen.len() > MAX_REFERRERS || depth >= MAX_REFERRER_DEPTH {
                    all.incomplete.push(too_many("what hangs on the image"));
                    return all;
                }
                match candidate.read {
                    Ok(found) => {
                        waiting.push_back((candidate.digest, depth + 1));
                        all.found.push(found);
                    }
                    Err(error) => all.incomplete.push(Incomplete {
                        place: candidate.digest.to_string(),
                        code: error.code(),
                        reason: error.to_string(),
                    }),
                }
            }
        }
        all
    }

    /// What hangs on `digest` itself: listed manifests that are named as its own or have it as their subject, then those
    /// that nothing lists (`cosign save` does not list referrers).
    pub(super) fn hanging_on(&self, digest: &Digest) -> (Vec<Candidate>, Option<Incomplete>) {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut incomplete = None;
        if self.index.manifests.len() > MAX_REFERRERS {
            incomplete = Some(too_many("index.json"));
        }
        for entry in self.index.manifests.iter().take(MAX_REFERRERS) {
            let named = self.named_place(entry, digest);
            // One manifest may be listed under several names, and be about this digest under one of them only.
            if entry.digest == *digest || !seen.insert((entry.digest.clone(), named)) {
                continue;
            }
            let read = self.manifest(&entry.digest);
            let place = match (&read, named) {
                (_, Some(place)) => place,
                (Ok(resolved), None) if refers(resolved, digest) => Place::Referrer,
                // What it is about cannot be known; it counts only where its name says that it is about the digest.
                _ => continue,
            };
            found.push(Candidate {
                digest: entry.digest.clone(),
                named,
                read: read.map(|resolved| attachment(digest, place, resolved)),
            });
        }
        let subjects = self.subjects();
        if subjects.cut_short {
            incomplete = Some(too_many("blobs"));
        }
        for manifest in subjects.by_subject.get(digest).into_iter().flatten() {
            if found.iter().any(|known| known.digest == *manifest) {
                continue;
            }
            found.push(Candidate {
                digest: manifest.clone(),
                named: None,
                read: self
                    .manifest(manifest)
                    .map(|resolved| attachment(digest, Place::Referrer, resolved)),
            });
        }
        (found, incomplete)
    }

    /// What an entry's name says that it is, for `digest`.
    fn named_place(&self, entry: &Descriptor, digest: &Digest) -> Option<Place> {
        let annotation = |name: &str| entry.annotations.get(name).map(String::as_str);
        let name = annotation(REF_NAME).map(|name| name.rsplit(':').next().unwrap_or(name));
        match (name, annotation(COSIGN_KIND)) {
            (Some(name), _) if name == sig_tag(digest).as_str() => Some(Place::Signatures),
            (Some(name), _) if name == att_tag(digest).as_str() => Some(Place::Attestations),
            (Some(name), _) if name == sbom_tag(digest).as_str() => Some(Place::Bill),
            // Named as something of another digest, such as a child of the index.
            (Some(name), _) if name.starts_with("sha256-") => None,
            (_, Some("dev.cosignproject.cosign/sigs")) => Some(Place::Signatures),
            (_, Some("dev.cosignproject.cosign/atts")) => Some(Place::Attestations),
            _ => None,
        }
    }

    fn subjects(&self) -> Arc<Subjects> {
        Arc::clone(self.subjects.get_or_init(|| Arc::new(self.scan())))
    }

    /// Looks into every file that is small enough to be a manifest. Only those whose content has the digest that they are
    /// named by count; what does not parse is a blob like any other.
    fn scan(&self) -> Subjects {
        let mut subjects = Subjects::default();
        let Ok(files) = std::fs::read_dir(self.folder.join("blobs/sha256")) else {
            return subjects;
        };
        for (number, file) in files.flatten().enumerate() {
            if number >= MAX_LAYOUT_FILES {
                subjects.cut_short = true;
                break;
            }
            let small = file
                .metadata()
                .is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_MANIFEST_BYTES);
            let digest = file
                .file_name()
                .to_str()
                .map(|hex| Digest::parse(&format!("sha256:{hex}")));
            let (true, Some(Ok(digest))) = (small, digest) else {
                continue;
            };
            // Most small files are configs and bundles, and a manifest begins like any JSON.
            let Ok(resolved) = self.manifest(&digest) else { continue };
            let subject = resolved.parse().ok().and_then(|manifest| manifest.subject().cloned());
            if let Some(subject) = subject {
                subjects.by_subject.entry(subject.digest).or_default().push(digest);
            }
        }
        for manifests in subjects.by_subject.values_mut() {
            manifests.sort();
        }
        subjects
    }
}

fn too_many(place: &str) -> Incomplete {
    Incomplete {
        place: place.to_owned(),
        code: "too-large",
        reason: format!(
            "more entries than the {MAX_REFERRERS}, or files than the {MAX_LAYOUT_FILES}, that are looked at"
        ),
    }
}
