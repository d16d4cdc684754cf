//! `sbom`: what is inside an image, and the documents that say so.

mod check;
mod convert;
mod diff;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use proofmark_sbom::{Bill, DocumentInfo, Party};
use serde_json::json;

use crate::args::RegistryArgs;
use crate::bills::DocumentFormat;
use crate::context::{Context, write_file};
use crate::failure::Failure;
use crate::seen::{Look, Seen, look};

/// What is inside an image: packages, licences, relationships
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Sbom {
    #[command(subcommand)]
    action: Option<Action>,

    /// An image in a registry, an OCI layout folder (oci:FOLDER or oci:FOLDER:TAG), a `docker save` archive (docker-archive:FILE), a folder (dir:FOLDER) or a tarball of one (tar:FILE)
    #[arg(required = true)]
    image: Option<String>,

    /// The document to write; without it a table is printed
    #[arg(long, short = 'f', value_enum)]
    format: Option<DocumentFormat>,

    /// Write the document (SPDX, unless --format says otherwise) into this file instead of standard output
    #[arg(long, value_name = "FILE")]
    output_file: Option<PathBuf>,

    /// Which image of an index, e.g. linux/arm64 (default: this machine's); all is every one
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    /// Which of the image's states to list
    #[arg(long, value_enum, default_value_t)]
    scope: Scope,

    /// Add CPE names by the rule in docs/sbom.md
    #[arg(long)]
    cpes: bool,

    #[command(flatten)]
    parties: PartyArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Who answers for the image and for the document.
#[derive(Args, Clone, Debug)]
pub(crate) struct PartyArgs {
    /// Who supplies the image, "Example Ltd <it@example.com>" (default: its label org.opencontainers.image.vendor)
    #[arg(long, value_name = "NAME", value_parser = party)]
    supplier: Option<Party>,

    /// Who makes the document, beside this program: "Example Ltd <sbom@example.com>", "Person: Ann <ann@example.com>", or a web address in round brackets in place of the mail; several are all named
    #[arg(long, value_name = "NAME", value_parser = party)]
    author: Vec<Party>,
}

fn party(text: &str) -> Result<Party, String> {
    Party::parse(text).ok_or_else(|| "expected a name such as \"Example Ltd <sbom@example.com>\"".to_owned())
}

impl PartyArgs {
    /// Puts what was said in the place of what is known.
    pub(crate) fn apply(self, info: &mut DocumentInfo) {
        info.supplier = self.supplier.or_else(|| info.supplier.take());
        if !self.author.is_empty() {
            info.authors = self.author;
        }
    }
}

/// What else can be done with documents.
#[derive(Debug, Subcommand)]
enum Action {
    Convert(convert::Convert),
    Check(check::Check),
    Diff(diff::Diff),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scope {
    /// What a container sees
    #[default]
    Squashed,
    /// Also what upper layers hide or replace
    AllLayers,
}

impl Sbom {
    /// Whether what goes into `--output-file` is a document, which this verb writes itself, and not its result.
    pub(crate) fn is_document(&self) -> bool {
        matches!(self.action, None | Some(Action::Convert(_)))
    }

    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = match (self.action, self.image) {
            (Some(Action::Convert(verb)), _) => return verb.run(context),
            (Some(Action::Check(verb)), _) => return verb.run(context).await,
            (Some(Action::Diff(verb)), _) => return verb.run(context).await,
            (None, Some(image)) => image,
            (None, None) => return Err(Failure::usage("command-line", "an image is required")),
        };
        let how = Look {
            platform: self.platform.as_deref(),
            all_layers: self.scope == Scope::AllLayers,
            unwrap: false,
            registry: &self.registry,
        };
        let mut seen = look(context, &image, &how).await?;
        if self.cpes {
            proofmark_sbom::cpe::add(&seen.bill, &mut seen.info);
        }
        self.parties.apply(&mut seen.info);
        let Seen { bill, info, .. } = &seen;
        match (self.format, &self.output_file) {
            (None, None) => context.output.result(
                &table(&seen),
                &json!({
                    "image": image, "digest": seen.digest(), "packages": packages_json(bill),
                }),
            ),
            (format, None) => context.output.document(&format.unwrap_or_default().write(bill, info)),
            (format, Some(path)) => {
                write_file(path, &format.unwrap_or_default().write(bill, info))?;
                if context.output.is_json() {
                    let written = json!({
                        "image": image, "digest": seen.digest(), "file": path, "packages": bill.packages.len(),
                    });
                    context.output.result("", &written);
                } else {
                    context.output.note(&format!("{}: {}", path.display(), seen.line()));
                }
            }
        }
        Ok(())
    }
}

fn table(seen: &Seen) -> String {
    let mut text = String::new();
    let rows: Vec<(&str, &str, &str)> = seen
        .bill
        .packages
        .iter()
        .map(|package| {
            (
                package.name.as_str(),
                package.version.as_deref().unwrap_or("?"),
                package.kind.purl_type(),
            )
        })
        .collect();
    let width = |column: fn(&(&str, &str, &str)) -> usize| rows.iter().map(column).max().unwrap_or(0).max(7);
    let (names, versions) = (width(|row| row.0.len()), width(|row| row.1.len()));
    let _ = writeln!(text, "{:names$}  {:versions$}  TYPE", "NAME", "VERSION");
    for (name, version, kind) in &rows {
        let _ = writeln!(text, "{name:names$}  {version:versions$}  {kind}");
    }
    let _ = writeln!(text, "{}", seen.line());
    text
}

fn packages_json(bill: &Bill) -> Vec<serde_json::Value> {
    let layer = |at: usize| bill.layers.get(at).map(|layer| &layer.diff_id);
    bill.packages
        .iter()
        .map(|package| {
            json!({
                "name": package.name,
                "version": package.version,
                "type": package.kind.purl_type(),
                "purl": package.purl,
                "licences": package.licences.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "locations": package.locations.iter().map(|location| json!({
                    "path": location.path, "layer": layer(location.layer),
                })).collect::<Vec<_>>(),
                "ownedBy": package.owned_by.as_ref().map(|owner| owner.as_str()),
            })
        })
        .collect()
}
