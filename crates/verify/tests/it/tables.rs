//! For every case of the fixtures that is accepted, a table: each field of its bundle or layer, of the entry, the
//! certificate, the timestamp and the statement in it, and of its manifest, changed by a walk over the document and
//! never by hand. Each change is rejected for the reason that it was made for.
//!
//! What a change must bring stands in [`rules`]: a path, the codes. What may be changed without being noticed stands
//! there too, with the reason why that is right; such a change must leave the proof as it was.
//!
//! Some of the changes are tried in each run, always the same ones; `PROOFMARK_MUTATIONS=all` tries all of them.

mod edit;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use proofmark_evidence::bundle::Bundle;
use proofmark_evidence::layout::{att_tag, is_evidence, sig_tag};
use proofmark_evidence::legacy::read_layer;
use proofmark_evidence::{EvidenceSet, Item, Origin};
use proofmark_oci::{Descriptor, Manifest};
use proofmark_types::Digest;
use proofmark_verify::{Artifact, Proof, Verifier};
use serde_json::{Value, json};

use self::edit::Edit;
use crate::cases::{self, Case, examine, load, now};
use crate::layout::{Layout, root};

/// Of how many changes of a kind that was tried before one is tried.
const ONE_OF: u64 = 64;

/// What a case verifies, without the rest of its repository.
struct Target {
    case: Case,
    verifier: Verifier,
    about: About,
    document: Rc<Value>,
}

enum About {
    Image { subject: Digest, piece: Piece },
    File { artifact: Vec<u8> },
}

impl Target {
    /// The piece of evidence for which the case is accepted.
    fn of(case: Case) -> Self {
        let verifier = cases::verifier(&case.input);
        if let Some(path) = &case.bundle {
            let document = serde_json::from_slice(&fs::read(root().join(path)).unwrap()).unwrap();
            let artifact = fs::read(root().join(case.artifact.as_ref().unwrap())).unwrap();
            return Self {
                case,
                verifier,
                about: About::File { artifact },
                document: Rc::new(document),
            };
        }
        let layout = Layout::open(&root().join(case.layout.as_ref().unwrap()));
        let subject = layout.resolve(case.input.reference.as_ref().unwrap()).unwrap();
        for piece in pieces(&layout, &subject) {
            let Some(document) = document(&piece) else { continue };
            let about = About::Image {
                subject: subject.clone(),
                piece,
            };
            if judge(&case, &verifier, &about, &document).is_ok() {
                return Self {
                    case,
                    verifier,
                    about,
                    document: Rc::new(document),
                };
            }
        }
        panic!("no evidence in {}", case.id)
    }

    fn judge(&self, document: &Value) -> Result<Proof, &'static str> {
        judge(&self.case, &self.verifier, &self.about, document)
    }

    /// Bundles, or layers of the older layouts, with what is known about their signer.
    fn shape(&self) -> String {
        let kind = match &self.about {
            About::File { .. } => "file",
            About::Image { piece, .. } => match piece.layer.media_type.as_str() {
                "application/vnd.dev.cosign.simplesigning.v1+json" => "sig",
                "application/vnd.dsse.envelope.v1+json" => "att",
                _ => "bundle",
            },
        };
        let root = if self.case.input.trusted_root.is_some() {
            "+root"
        } else {
            ""
        };
        let signer = if self.case.input.key.is_some() {
            "key"
        } else {
            "keyless"
        };
        format!("{kind} {signer}{root}")
    }
}

/// One layer of evidence, untouched.
struct Piece {
    manifest: Vec<u8>,
    layer: Descriptor,
    blob: Vec<u8>,
}

/// The layers of all evidence on a digest as they are, each with the manifest that it is in.
fn pieces(layout: &Layout, subject: &Digest) -> Vec<Piece> {
    let tags = [sig_tag(subject), att_tag(subject)];
    let tagged = tags.iter().filter_map(|tag| layout.tagged(tag.as_str()).cloned());
    let mut pieces = Vec::new();
    for descriptor in layout.referrers(subject).into_iter().chain(tagged) {
        let Ok(Manifest::Image(manifest)) = layout.manifest(&descriptor) else {
            continue;
        };
        if !is_evidence(&manifest) {
            continue;
        }
        for layer in &manifest.layers {
            if let Ok(blob) = layout.blob(&layer.digest, Some(layer.size)) {
                pieces.push(Piece {
                    manifest: layout.blob(&descriptor.digest, None).unwrap(),
                    layer: layer.clone(),
                    blob,
                });
            }
        }
    }
    pieces
}

/// A bundle itself; of a layer its annotations beside its bytes.
fn document(piece: &Piece) -> Option<Value> {
    let text = std::str::from_utf8(&piece.blob).ok()?;
    if piece.layer.media_type.as_str().contains("sigstore.bundle") {
        return serde_json::from_str(text).ok();
    }
    Some(json!({"annotations": piece.layer.annotations, "blob": text}))
}

/// What was proven and is what the case asks for, or the code of what is wrong.
fn judge(case: &Case, verifier: &Verifier, about: &About, document: &Value) -> Result<Proof, &'static str> {
    let proofs = match about {
        About::File { artifact } => {
            let bundle = Bundle::parse(document.to_string().as_bytes()).map_err(|error| error.code())?;
            verifier.verify_blob(&bundle, &Artifact::Bytes(artifact), now())
        }
        About::Image { subject, piece } => {
            let mut layer = piece.layer.clone();
            let blob = match document.get("annotations") {
                None => document.to_string(),
                Some(annotations) => {
                    layer.annotations =
                        serde_json::from_value(annotations.clone()).map_err(|_| "manifest-malformed")?;
                    document
                        .get("blob")
                        .and_then(Value::as_str)
                        .ok_or("blob-missing")?
                        .to_owned()
                }
            };
            verify_layer(verifier, subject, &layer, blob.as_bytes())
        }
    };
    if let Some(rejection) = proofs.rejections().first() {
        return Err(rejection.reason.code());
    }
    let proof = proofs.proofs().first().ok_or("nothing")?;
    examine(&case.input, proof).map(|()| proof.clone())
}

fn verify_layer(verifier: &Verifier, subject: &Digest, layer: &Descriptor, blob: &[u8]) -> proofmark_verify::Proofs {
    let mut set = EvidenceSet::new(subject.clone());
    set.items.push(Item {
        origin: Origin::Local,
        content: read_layer(layer, blob),
    });
    verifier.verify(&set, now())
}

/// What a proof says that a reader would act on.
fn said(proof: &Proof) -> String {
    format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        proof.kind(),
        proof.predicate_type(),
        proof.predicate(),
        proof.annotations(),
        proof.docker_reference(),
        proof.signer(),
        proof.hash()
    )
}

/// The place without the numbers of its elements: the elements of a list are alike.
fn place(path: &str) -> String {
    let plain = |part: &str| {
        let parts = part
            .split('/')
            .map(|part| if part.parse::<usize>().is_ok() { "*" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    // The last part is of DER or of lines where it has no names: those numbers tell the elements apart.
    match path.rsplit_once('#') {
        Some((json, rest))
            if rest
                .split('/')
                .all(|part| part.is_empty() || part.parse::<usize>().is_ok()) =>
        {
            format!("{}#{rest}", plain(json))
        }
        _ => plain(path),
    }
}

/// Whether this change is tried in this run: the first of each kind at each place, and of the rest some.
struct Chosen {
    all: bool,
    seen: BTreeSet<u64>,
}

impl Chosen {
    fn new() -> Self {
        Self {
            all: std::env::var_os("PROOFMARK_MUTATIONS").is_some(),
            seen: BTreeSet::new(),
        }
    }

    fn takes<T>(&mut self, shape: &str, case: &str, edit: &Edit<T>) -> bool {
        let hash = |parts: &[&str]| {
            let mut hasher = DefaultHasher::new();
            parts.hash(&mut hasher);
            hasher.finish()
        };
        // The fields of a predicate are many and alike: they are under the same signature as all of the statement.
        let place = place(&edit.path);
        let place = place.split("#/predicate/").next().unwrap_or_default();
        let first = self.seen.insert(hash(&[shape, place, edit.kind]));
        self.all || first || hash(&[case, &edit.path, edit.kind]).is_multiple_of(ONE_OF)
    }
}

#[derive(Default)]
struct Outcome {
    tried: usize,
    free: usize,
    wrong: Vec<String>,
    seen: BTreeMap<String, BTreeMap<&'static str, usize>>,
}

impl Outcome {
    fn add(
        &mut self,
        shape: &str,
        case: &str,
        path: &str,
        kind: &str,
        good: &Proof,
        outcome: Result<Proof, &'static str>,
    ) {
        self.tried += 1;
        let place = place(path);
        let code = match &outcome {
            Ok(_) => "accepted",
            Err(code) => code,
        };
        *self
            .seen
            .entry(format!("{shape:15} {place} ({kind})"))
            .or_default()
            .entry(code)
            .or_default() += 1;
        let told = format!("{case}: {shape}: {path}, {kind}: {code}");
        match outcome {
            Err(code) => {
                if !rules::expected(shape, &place, kind, code) {
                    self.wrong
                        .push(format!("{told} is not the reason that this was made for"));
                }
            }
            Ok(proof) => {
                self.free += 1;
                if !rules::is_free(shape, &place, kind) {
                    self.wrong.push(format!("{told}, and nothing says that it may be"));
                } else if said(&proof) != said(good) {
                    self.wrong.push(format!("{told}, and says something else"));
                }
            }
        }
    }

    fn done(self) {
        if std::env::var("PROOFMARK_MUTATIONS").is_ok_and(|value| value == "show") {
            for (place, codes) in &self.seen {
                eprintln!("{place}: {codes:?}");
            }
        }
        eprintln!(
            "{} changes tried, {} of them to what nobody signs",
            self.tried, self.free
        );
        let shown: Vec<&String> = self.wrong.iter().take(60).collect();
        assert!(shown.is_empty(), "{} of {}: {shown:#?}", self.wrong.len(), self.tried);
        assert!(self.tried > 500, "the walk found only {} changes", self.tried);
    }
}

fn targets() -> Vec<Target> {
    let targets: Vec<Target> = load()
        .into_iter()
        .filter(|case| case.expected == "accept")
        .map(Target::of)
        .collect();
    assert_eq!(targets.len(), 108, "every case that is accepted");
    targets
}

/// Two halves, so that they run beside each other.
fn run(half: usize) {
    let targets = targets();
    let mut chosen = Chosen::new();
    let mut outcome = Outcome::default();
    for target in targets.iter().skip(half).step_by(2) {
        let shape = target.shape();
        let alike = targets
            .iter()
            .filter(|other| other.shape() == shape && other.case.id != target.case.id);
        let others: Vec<Rc<Value>> = alike.map(|other| Rc::clone(&other.document)).take(6).collect();
        let good = target
            .judge(&target.document)
            .unwrap_or_else(|code| panic!("{}: {code}", target.case.id));
        for edit in edit::json(&target.document, &others) {
            if chosen.takes(&shape, &target.case.id, &edit) {
                let changed = (edit.make)();
                if changed != *target.document {
                    let judged = target.judge(&changed);
                    outcome.add(&shape, &target.case.id, &edit.path, edit.kind, &good, judged);
                }
            }
        }
    }
    outcome.done();
}

#[test]
fn every_change_of_accepted_evidence_is_rejected_for_its_reason() {
    run(0);
}

#[test]
fn every_change_of_accepted_evidence_is_rejected_for_its_reason_the_other_half() {
    run(1);
}

/// The manifest that the evidence is in, changed and pushed again under its own digest; and the image's own manifest,
/// which no evidence is about once it is changed.
#[test]
fn every_change_of_a_manifest_is_rejected_for_its_reason() {
    let mut chosen = Chosen::new();
    let mut outcome = Outcome::default();
    for target in &targets() {
        let About::Image { subject, piece } = &target.about else {
            continue;
        };
        let good = target.judge(&target.document).unwrap();
        let manifest: Rc<Value> = Rc::new(serde_json::from_slice(&piece.manifest).unwrap());
        let Ok(Manifest::Image(parsed)) = Manifest::parse(None, &piece.manifest) else {
            panic!("{}", target.case.id)
        };
        let own = parsed.layers.iter().position(|layer| *layer == piece.layer).unwrap();
        let index = own;
        let own = format!("/layers/{own}");
        for edit in edit::json(&manifest, &[]) {
            // Other layers are other evidence; annotations of layers are what the older layouts consist of, and have
            // a table above.
            let other_layer = edit.path.starts_with("/layers/")
                && (!format!("{}/", edit.path).starts_with(&format!("{own}/")) || edit.path.contains("/annotations"));
            if !other_layer && chosen.takes(&target.shape(), &target.case.id, &edit) {
                let judged = judge_manifest(target, (subject, piece, index), &(edit.make)());
                let path = format!("manifest:{}", edit.path);
                outcome.add(&target.shape(), &target.case.id, &path, edit.kind, &good, judged);
            }
        }
        let judged = judge_about(target, &Digest::sha256_of(target.case.id.as_bytes()), piece);
        outcome.add(&target.shape(), &target.case.id, "image", "changed", &good, judged);
    }
    outcome.done();
}

/// As a registry client reads it: by the digest that its bytes have now.
fn judge_manifest(
    target: &Target,
    (subject, piece, index): (&Digest, &Piece, usize),
    changed: &Value,
) -> Result<Proof, &'static str> {
    let manifest = match Manifest::parse(None, changed.to_string().as_bytes()) {
        Ok(Manifest::Image(manifest)) => manifest,
        Ok(Manifest::Index(_)) => return Err("manifest-kind"),
        Err(_) => return Err("manifest-malformed"),
    };
    let named = manifest.subject.as_ref().map(|named| &named.digest);
    let referrer = serde_json::from_slice::<Value>(&piece.manifest)
        .unwrap()
        .get("subject")
        .is_some();
    if referrer && named != Some(subject) {
        return Err("not-listed");
    }
    if !is_evidence(&manifest) {
        return Err("not-evidence");
    }
    let Some(layer) = manifest.layers.get(index) else {
        return Err("blob-mismatch");
    };
    if layer.digest != piece.layer.digest || layer.size != piece.layer.size {
        return Err("blob-mismatch");
    }
    if layer.annotations != piece.layer.annotations {
        return Err("other-evidence");
    }
    let proofs = verify_layer(&target.verifier, subject, layer, &piece.blob);
    match proofs.rejections().first() {
        Some(rejection) => Err(rejection.reason.code()),
        None => examine(&target.case.input, &proofs.proofs()[0]).map(|()| proofs.proofs()[0].clone()),
    }
}

fn judge_about(target: &Target, subject: &Digest, piece: &Piece) -> Result<Proof, &'static str> {
    let proofs = verify_layer(&target.verifier, subject, &piece.layer, &piece.blob);
    match proofs.rejections().first() {
        Some(rejection) => Err(rejection.reason.code()),
        None => Ok(proofs.proofs()[0].clone()),
    }
}
