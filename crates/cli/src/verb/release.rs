//! `release`: the one CI step after the push.

mod scanned;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use proofmark_evidence::predicate::PredicateType;
use proofmark_evidence::predicate::slsa::Provenance;
use proofmark_evidence::statement::Statement;
use proofmark_oci::Descriptor;
use proofmark_policy::Verdict;
use proofmark_registry::{Client, ImageSource};
use proofmark_sign::provenance::{self, LOCAL_BUILDER, ProvenanceError, Times};
use proofmark_types::{Digest, ImageRef};
use proofmark_verify::Proof;
use serde::Serialize;
use serde_json::Value;

use crate::args::{Annotations, RegistryArgs, SigningArgs, annotation};
use crate::bills::{DocumentFormat, Inside, line_of, look_inside};
use crate::checking::Wish;
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::{Exit, Failure, chain};
use crate::images::descend;
use crate::layers::LayerCache;
use crate::output::Output;
use crate::scanning::{Judge, JudgeArgs};
use crate::signing::Hand;

/// The one CI step: digest, SBOM, scan and gate, provenance, sign, attest, read back and verify
#[derive(Args, Debug)]
pub(crate) struct Release {
    /// The image, as it was pushed
    image: String,

    /// The format of the SBOM
    #[arg(long, value_enum, default_value = "spdx-json")]
    sbom: DocumentFormat,

    /// The git checkout that the image was built from, where no CI says so
    #[arg(long, default_value = ".", value_name = "FOLDER")]
    source: PathBuf,

    #[command(flatten)]
    judge: JudgeArgs,

    /// Release without looking up known vulnerabilities, and say so
    #[arg(long, conflicts_with_all = ["gate", "vex", "db", "max_db_age"])]
    skip_scan: bool,

    /// Put this under the signature
    #[arg(long = "annotations", short = 'a', value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,

    #[command(flatten)]
    signing: SigningArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Release {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = parse_image(&self.image)?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let hand = Hand::from_flags(context, &self.signing).await?;
        if !self.source.is_dir() {
            let message = format!("--source {} is no folder", self.source.display());
            return Err(Failure::usage("file-unreadable", message));
        }
        // What cannot be attested is said before anything is read.
        self.sbom.predicate_type()?;
        let plan = Plan {
            name: image.to_string(),
            image,
            sbom: self.sbom,
            provenance: provenance_of(&hand, &self.source)?,
            annotations: Annotations::flatten(&self.annotations).collect(),
            judge: scanned::judge(context, &self.judge, self.skip_scan)?,
            without: Unreleased::nothing(),
        };
        let released = release(context.output, &client, &hand, &plan).await?;
        context.output.result(&released.text(), &released);
        Ok(())
    }
}

/// What a release is to consist of.
pub(crate) struct Plan {
    pub(crate) image: ImageRef,
    /// The same in words.
    pub(crate) name: String,
    pub(crate) sbom: DocumentFormat,
    pub(crate) provenance: Provenance,
    pub(crate) annotations: Vec<(String, String)>,
    /// Without one nothing is scanned.
    pub(crate) judge: Option<Judge>,
    pub(crate) without: Unreleased,
}

/// What the demonstration leaves out of a release, to show what then happens. No flag leads here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreleased(Option<&'static str>);

impl Unreleased {
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }

    pub(crate) const fn signature() -> Self {
        Self(Some(SIGNATURE))
    }

    pub(crate) const fn sbom() -> Self {
        Self(Some(SBOM))
    }
}

const SIGNATURE: &str = "signature";
const SBOM: &str = "sbom";

/// What was released.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Released {
    pub(crate) image: ImageRef,
    pub(crate) digest: Digest,
    scanned: bool,
    /// With what it was scanned and what was found, by image.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scans: Vec<Value>,
    provenance: &'static str,
    subjects: Vec<ReleasedSubject>,
    seconds: f64,
}

/// One manifest of the image: the index, or the image of a platform.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleasedSubject {
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packages: Option<String>,
    evidence: Vec<Written>,
}

/// One piece of evidence that was written, read back and verified.
#[derive(Debug, Serialize)]
struct Written {
    what: String,
    place: String,
}

impl Released {
    fn text(&self) -> String {
        let mut text = format!("released {}\n", self.image.with_digest(self.digest.clone()));
        for subject in &self.subjects {
            let platform = subject
                .platform
                .as_ref()
                .map_or_else(|| "index".to_owned(), ToString::to_string);
            let _ = writeln!(text, "  {} {platform}", subject.digest);
            if let Some(packages) = &subject.packages {
                let _ = writeln!(text, "    inside      {packages}");
            }
            for written in &subject.evidence {
                let _ = writeln!(text, "    {:<11} {}", written.what, written.place);
            }
        }
        let _ = writeln!(text, "  provenance  {}", self.provenance);
        let _ = writeln!(
            text,
            "  verified    all of it, read back from the registry ({:.1} s)",
            self.seconds
        );
        text.push_str(&scanned::text(&self.scans));
        text
    }
}

/// Releases an image, in these steps:
///
/// 1. the reference is resolved to a digest, once, and an index followed to its images;
/// 2. each image is read, once, verified on the way, and its packages listed; they are looked up, and what the gate stops or
///    cannot decide ends the release: nothing is signed before all of it was read and may pass;
/// 3. signature, SBOM, scan, the gate's decision and provenance are signed and hung on each digest they are about;
/// 4. all of it is read back from the registry and verified as a stranger would;
/// 5. the tag still leads to the digest that was released, or the release fails.
pub(crate) async fn release(output: Output, client: &Client, hand: &Hand, plan: &Plan) -> Result<Released, Failure> {
    let started = Instant::now();
    let spinner = output.spinner("resolving");
    // 1.
    let source = ImageSource::registry(client, &plan.image);
    let tree = descend(&source).await?;
    // 2.
    let cache = LayerCache::kept_only(output);
    let mut insides = Vec::new();
    for image in &tree.images {
        spinner.say(&format!("reading {}", image.digest));
        insides.push(look_inside(&cache, &source, image).await?);
    }
    if tree.images.iter().all(|image| image.digest != tree.root.digest) && !insides.is_empty() {
        insides.push(Inside::of_index(&tree.root, &insides));
    }
    let scans = scanned::decide(output, plan, &insides)?;
    let mut subjects = Vec::new();
    for subject in tree.all() {
        spinner.say(&format!("releasing {}", subject.digest));
        let mut released = ReleasedSubject {
            digest: subject.digest.clone(),
            platform: None,
            packages: None,
            evidence: Vec::new(),
        };
        // 3.
        let inside = insides.iter().find(|inside| inside.digest() == &subject.digest);
        let mut statements = statements(&source, inside, &subject, plan, &mut released)?;
        if let (Some(judge), Some(inside)) = (&plan.judge, inside) {
            statements.extend(scanned::statements(judge, plan, inside, &scans));
        }
        let mut wish = None;
        for (what, statement) in &statements {
            let attached = hand
                .attach(client, plan.image.repository(), &subject, statement)
                .await?;
            released.evidence.push(Written {
                what: (*what).to_owned(),
                place: attached.place,
            });
            if wish.is_none() {
                wish = Some(hand.wish(&attached.bundle, &subject.digest)?);
            }
        }
        // 4.
        if let Some(wish) = wish {
            read_back(client, plan, &subject, &statements, &wish).await?;
        }
        subjects.push(released);
    }
    // 5.
    still_there(client, &plan.image, &tree.root.digest).await?;
    Ok(Released {
        image: plan.image.clone(),
        digest: tree.root.digest.clone(),
        scanned: !scans.is_empty(),
        scans: scans.iter().map(scanned::summary).collect(),
        provenance: if plan.provenance.run_details.builder.id == LOCAL_BUILDER {
            "made here, outside of any CI; nobody vouches for it, and it says so"
        } else {
            "from the claims of the CI's identity token"
        },
        subjects,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// What is stated about one manifest: that it is signed; what is inside; where it was built.
fn statements(
    source: &ImageSource,
    inside: Option<&Inside>,
    subject: &Descriptor,
    plan: &Plan,
    released: &mut ReleasedSubject,
) -> Result<Vec<(&'static str, Statement)>, Failure> {
    let name = plan.image.repository().to_string();
    let annotations = plan.annotations.iter().cloned().collect();
    let mut statements = vec![(SIGNATURE, Statement::signature(&subject.digest, annotations))];
    let mut attest = |what, predicate_type: PredicateType, predicate: Value| {
        let statement = Statement::attestation(&name, &subject.digest, predicate_type, predicate);
        statements.push((what, statement));
    };
    if let Some(inside) = inside {
        released.platform = inside.platform.as_ref().map(ToString::to_string);
        released.packages = Some(line_of(&inside.bill));
        let info = inside.info(source, &plan.image.to_string(), Context::document_time()?);
        let document = plan.sbom.write(&inside.bill, &info);
        let document = serde_json::from_slice(&document).map_err(anyhow::Error::from)?;
        attest(SBOM, plan.sbom.predicate_type()?, document);
    }
    attest("provenance", provenance_type(), plan.provenance.to_predicate());
    statements.retain(|(what, _)| Some(*what) != plan.without.0);
    Ok(statements)
}

fn provenance_type() -> PredicateType {
    PredicateType::resolve("slsaprovenance1").unwrap_or_else(|_| unreachable!("one of the short names"))
}

/// Everything that was written satisfies whoever asks for it; a registry that swallowed a referrer is noticed here.
async fn read_back(
    client: &Client,
    plan: &Plan,
    subject: &Descriptor,
    statements: &[(&'static str, Statement)],
    wish: &Wish,
) -> Result<(), Failure> {
    let evidence = client
        .evidence(plan.image.repository(), &subject.digest)
        .await
        .map_err(registry_failure)?;
    let proofs = wish.verifier.verify(&evidence, Context::now());
    for (what, statement) in statements {
        let wish = if statement.predicate_type.is_signature() {
            wish.clone()
        } else {
            wish.for_attestation(statement.predicate_type.clone())
        };
        // That of an earlier release of the same image would satisfy the wish too: it must be this one.
        let subject = statement.subjects.first();
        let is_this = |proof: &&Proof| {
            proof.predicate_type() == Some(&statement.predicate_type)
                && *proof.predicate() == statement.predicate
                && subject.is_some_and(|subject| *proof.annotations() == subject.annotations)
        };
        let found = match wish.requirement.check(&proofs) {
            Verdict::Trusted(proofs) => proofs.iter().any(is_this),
            _ => false,
        };
        if !found {
            return Err(Failure::new(
                Exit::Undecided,
                "not-read-back",
                format!(
                    "the {what} was written to {} and is not there when read back",
                    plan.image
                ),
            )
            .with_hint("does the registry keep manifests with a subject? `proofmark tree` shows what it has"));
        }
    }
    Ok(())
}

async fn still_there(client: &Client, image: &ImageRef, digest: &Digest) -> Result<(), Failure> {
    if image.digest().is_some() {
        return Ok(());
    }
    let now = client.resolve(image).await.map_err(registry_failure)?.descriptor.digest;
    if now == *digest {
        return Ok(());
    }
    Err(Failure::new(
        Exit::TagMoved,
        "tag-moved",
        format!("{image} was {digest} when the release began and is {now} now"),
    )
    .with_hint(
        "someone pushed to the tag meanwhile; what was released is the first digest, deploy that or release again",
    ))
}

/// From the CI's token where there is one, from the checkout where there is not.
pub(crate) fn provenance_of(hand: &Hand, source: &std::path::Path) -> Result<Provenance, Failure> {
    let times = Times {
        started_on: None,
        finished_on: Some(Context::document_time()?),
    };
    if let Some(claims) = &hand.claims {
        match provenance::from_claims(claims, times) {
            Ok(provenance) => return Ok(provenance),
            // A person's token, say: there is no CI that could state anything.
            Err(ProvenanceError::UnknownIssuer { .. }) => {}
            Err(error) => return Err(Failure::usage(error.code(), chain(&error))),
        }
    }
    Ok(provenance::from_git(source, times).unwrap_or_else(|_| provenance::unsourced(times)))
}
