//! The images of the demonstration, each with one thing right or wrong, and what the webhook should say to it.

use std::fmt::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use proofmark_registry::Client;
use proofmark_sign::token::IdentityToken;
use proofmark_trust_server::CiClaims;
use proofmark_types::{ImageRef, Repository};
use serde::Serialize;

use super::Log;
use super::cluster::Cluster;
use super::image::Base;
use crate::bills::DocumentFormat;
use crate::checking::{Wish, check_image};
use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::signing::Hand;
use crate::verb::release::{Plan, Unreleased, provenance_of, release};
use crate::world::World;

/// The workflow that may release, and one that may not.
const RELEASE: &str = ".github/workflows/release.yml";
const OTHER: &str = ".github/workflows/experiment.yml";
const SOURCE: &str = "acme/app";
const BRANCH: &str = "refs/heads/main";
/// A commit that looks like one.
const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// Where the demonstration plays.
pub(super) struct Stage {
    pub(super) output: Output,
    pub(super) client: Client,
    pub(super) repository: Repository,
    pub(super) base: Base,
}

/// One image and what should become of it.
pub(super) struct Case {
    name: &'static str,
    image: ImageRef,
    /// The code of the denial; none if it is to run.
    denied: Option<&'static str>,
}

/// What became of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Decision {
    case: &'static str,
    image: String,
    admitted_as: Option<String>,
    expected: &'static str,
    decision: &'static str,
    reason: String,
    pub(super) as_expected: bool,
}

impl Stage {
    /// Pushes, releases and spoils the images, and writes the policy.
    pub(super) async fn prepare(&mut self, world: &World, log: &mut Log) -> Result<Vec<Case>, Failure> {
        let released = self.push("1.0", "released").await?;
        self.release(world, &released, RELEASE, Unreleased::nothing()).await?;
        log.step(&format!(
            "released {released}: signature, SBOM, provenance, read back and verified"
        ));
        self.verify(world, &released).await?;
        log.step(&format!("verified {released} by the identity of its workflow"));

        let unsigned = self.push("unsigned", "unsigned").await?;
        let foreign = self.push("other-workflow", "other workflow").await?;
        self.release(world, &foreign, OTHER, Unreleased::nothing()).await?;
        let attested = self.push("attested-only", "attested only").await?;
        self.release(world, &attested, RELEASE, Unreleased::signature()).await?;
        let bare = self.push("no-sbom", "no sbom").await?;
        self.release(world, &bare, RELEASE, Unreleased::sbom()).await?;
        let moved = self.push("2.0", "released, then moved").await?;
        self.release(world, &moved, RELEASE, Unreleased::nothing()).await?;
        self.push("2.0", "what the tag was moved to").await?;
        log.step("five more images: unsigned, signed by another workflow, attested but not signed, without SBOM, and a released tag moved");

        let policy = self.policy(world)?;
        std::fs::write(world.policies().join("demo.yaml"), policy).context("cannot write the policy")?;
        let case = |name, image, denied| Case { name, image, denied };
        Ok(vec![
            case("released", released, None),
            case("unsigned", unsigned, Some("unsigned")),
            case("signed by another workflow", foreign, Some("subject-mismatch")),
            case("attested, not signed", attested, Some("unsigned")),
            case("without an SBOM", bare, Some("predicate-type-mismatch")),
            case("released tag, moved since", moved, Some("unsigned")),
        ])
    }

    async fn push(&self, tag: &str, name: &str) -> Result<ImageRef, Failure> {
        self.base.push_sibling(&self.client, &self.repository, tag, name).await
    }

    async fn release(
        &self,
        world: &World,
        image: &ImageRef,
        workflow: &str,
        without: Unreleased,
    ) -> Result<(), Failure> {
        let token = world
            .development_issuer()?
            .mint_ci(
                &CiClaims {
                    repository: SOURCE,
                    workflow,
                    reference: BRANCH,
                    sha: COMMIT,
                    run_id: 1,
                },
                Context::now(),
            )
            .map_err(anyhow::Error::from)?;
        let token = IdentityToken::parse(&token).map_err(anyhow::Error::from)?;
        let hand = Hand::keyless(&world.signing_config()?, token, world.trust_root()?).await?;
        let plan = Plan {
            image: image.clone(),
            name: image.to_string(),
            sbom: DocumentFormat::default(),
            provenance: provenance_of(&hand, world.folder())?,
            annotations: Vec::new(),
            judge: None,
            without,
        };
        release(self.output, &self.client, &hand, &plan).await?;
        Ok(())
    }

    async fn verify(&self, world: &World, image: &ImageRef) -> Result<(), Failure> {
        let wish = Wish::by_identity(
            &subject(),
            &world.development_issuer()?.ci_issuer(),
            world.trust_root()?,
        )?;
        check_image(&self.client, image, &wish).await?;
        Ok(())
    }

    /// Our own policy format; `proofmark policy check` reads it.
    fn policy(&self, world: &World) -> Result<String, Failure> {
        let issuer = world.development_issuer()?.ci_issuer();
        Ok(format!(
            "apiVersion: proofmark.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: released-by-us
spec:
  match:
    images: [\"{repository}\"]
  signatures:
    signers:
      - keyless:
          subject: {subject}
          issuer: {issuer}
  attestations:
    - name: sbom
      type: spdxjson
      condition: size(predicate.packages) > 0
    - name: provenance
      type: slsaprovenance1
      condition: predicate.buildDefinition.externalParameters.workflow.repository == 'https://github.com/{SOURCE}'
",
            repository = self.repository,
            subject = subject(),
        ))
    }

    /// How someone without Proofmark checks the released image.
    pub(super) fn cosign_commands(&self, world: &World) -> Vec<String> {
        let issuer = world
            .development_issuer()
            .map(|issuer| issuer.ci_issuer())
            .unwrap_or_default();
        let common = format!(
            "--trusted-root {} --certificate-identity {} --certificate-oidc-issuer {issuer} --use-signed-timestamps",
            world.trusted_root_file().display(),
            subject(),
        );
        vec![
            format!("  cosign verify {common} {}:1.0", self.repository),
            format!(
                "  cosign verify-attestation --type spdxjson {common} {}:1.0",
                self.repository
            ),
            format!(
                "  cosign verify-attestation --type slsaprovenance1 {common} {}:1.0",
                self.repository
            ),
        ]
    }
}

/// What the certificate authority writes into the certificate of the workflow that may release.
fn subject() -> String {
    format!("https://github.com/{SOURCE}/{RELEASE}@{BRANCH}")
}

/// Asks the webhook about every image, as the API server would for a Pod.
pub(super) async fn review(
    webhook: &SocketAddr,
    authority: &str,
    cases: Vec<Case>,
    log: &mut Log,
) -> Result<Vec<Decision>, Failure> {
    let cluster = Cluster::new(webhook, authority)?;
    let mut decisions = Vec::new();
    for case in cases {
        let name = case.name.to_lowercase().replace(", ", "-").replace(' ', "-");
        let admitted = cluster.create_pod(&name, &case.image).await?;
        let pinned = admitted.image != case.image.to_string() && admitted.image.contains("@sha256:");
        let as_expected = match case.denied {
            None => admitted.allowed && pinned,
            Some(code) => !admitted.allowed && first_reason(&admitted.message).contains(&format!("[{code}]")),
        };
        decisions.push(Decision {
            case: case.name,
            image: case.image.to_string(),
            admitted_as: admitted.allowed.then_some(admitted.image),
            expected: if case.denied.is_none() { "allow" } else { "deny" },
            decision: if admitted.allowed { "allow" } else { "deny" },
            reason: admitted.message,
            as_expected,
        });
    }
    log.step(&format!("{} Pods submitted to the webhook", decisions.len()));
    Ok(decisions)
}

/// The first thing that a denial holds against an image; the whole text is in the JSON output.
fn first_reason(message: &str) -> &str {
    let mut lines = message.lines().map(str::trim);
    lines
        .clone()
        .find(|line| line.starts_with("policy "))
        .or_else(|| lines.next())
        .unwrap_or_default()
}

/// One reason over several lines: the rule, what it expected, and each thing that was found instead.
fn spread(reason: &str) -> Vec<String> {
    let Some((rule, rest)) = reason.split_once(": expected ") else {
        return vec![reason.to_owned()];
    };
    let Some((expected, found)) = rest.split_once("; found ") else {
        return vec![reason.to_owned()];
    };
    let mut lines = vec![rule.to_owned(), format!("expected  {expected}")];
    lines.extend(found.split("; ").map(|each| format!("found     {each}")));
    lines
}

/// The decisions for a person.
pub(super) fn table(decisions: &[Decision]) -> String {
    let mut text = String::from("\n");
    for decision in decisions {
        let mark = if decision.as_expected {
            "as expected"
        } else {
            "NOT AS EXPECTED"
        };
        let _ = writeln!(
            text,
            "{:<5}  {} ({}), {mark}",
            decision.decision, decision.case, decision.image
        );
        match &decision.admitted_as {
            Some(image) => {
                let _ = writeln!(text, "       runs as {image}");
            }
            None => {
                for line in spread(first_reason(&decision.reason)) {
                    let _ = writeln!(text, "       {line}");
                }
            }
        }
    }
    text
}
