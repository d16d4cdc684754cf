//! `sbom`: what is inside an image, and the documents that say so.

mod check;
mod convert;
mod diff;
mod rootfs;
mod seen;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use proofmark_oci::{Descriptor, Platform};
use proofmark_registry::{ImageSource, RegistryError};
use proofmark_sbom::Bill;
use serde_json::json;

use self::seen::{Look, Seen, look};
use crate::args::RegistryArgs;
use crate::bills::DocumentFormat;
use crate::context::{Context, parse_image, registry_failure, write_file};
use crate::failure::{Failure, chain};
use crate::images::ImageTree;

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
    registry: RegistryArgs,
}

/// What else can be done with documents.
#[derive(Debug, Subcommand)]
enum Action {
    Convert(convert::Convert),
    Check(check::Check),
    Diff(diff::Diff),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Scope {
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
            registry: &self.registry,
        };
        let mut seen = look(context, &image, &how).await?;
        if self.cpes {
            proofmark_sbom::cpe::add(&seen.bill, &mut seen.info);
        }
        let Seen { bill, info } = &seen;
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

/// Where the words of the command line say the image is.
pub(crate) fn image_source(text: &str, registry: &RegistryArgs) -> Result<ImageSource, Failure> {
    let open = |path: &str, name: Option<&str>| open_local(Path::new(path), name);
    if let Some(rest) = text.strip_prefix("oci:") {
        // The tag is what follows the last colon after the last slash.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        return match rest[name_start..].rsplit_once(':') {
            Some((last, tag)) => open(&rest[..name_start + last.len()], Some(tag)),
            None => open(rest, None),
        };
    }
    if let Some(rest) = text.strip_prefix("docker-archive:") {
        // `FILE:NAME[:TAG]`, as skopeo has it; a file may have a colon in its name.
        if !Path::new(rest).exists()
            && let Some((path, name)) = archive_and_name(rest)
        {
            return open(path, Some(name));
        }
        return open(rest, None);
    }
    if Path::new(text).exists() {
        return open(text, None);
    }
    let image = parse_image(text)?;
    let client = Context::client_for(registry, &[&image])?;
    Ok(ImageSource::registry(&client, &image))
}

/// Where the file ends and the name in it begins: after the first colon that follows the name of a file that is there.
fn archive_and_name(text: &str) -> Option<(&str, &str)> {
    text.match_indices(':')
        .map(|(at, _)| (&text[..at], &text[at + 1..]))
        .find(|(path, name)| !name.is_empty() && Path::new(path).is_file())
}

/// A layout folder or an archive. One that is not there is a mistake on the command line, no image missing from a registry.
pub(crate) fn open_local(path: &Path, name: Option<&str>) -> Result<ImageSource, Failure> {
    std::fs::metadata(path)
        .map_err(|error| Failure::usage("file-unreadable", format!("cannot read {}: {error}", path.display())))?;
    ImageSource::open(path, name).map_err(|error| {
        let is_image = name.is_some() || matches!(error, RegistryError::NameNeeded { .. });
        if is_image {
            return name_failure(path, error);
        }
        Failure::usage(
            "local-image-unreadable",
            format!("{} is no image: {}", path.display(), chain(&error)),
        )
        .with_hint("expected an OCI layout folder or a `docker save` archive")
    })
}

/// A local image that has no such name: the registry's hints, about credentials, would mislead.
fn name_failure(path: &Path, error: RegistryError) -> Failure {
    let missing = error.is_not_found();
    if missing && path.is_dir() && !path.join("oci-layout").exists() {
        return Failure::usage(
            "local-image-unreadable",
            format!("{} is no image: {}", path.display(), chain(&error)),
        )
        .with_hint("expected an OCI layout folder or a `docker save` archive");
    }
    let failure = registry_failure(error);
    if missing {
        failure.with_hint("index.json of a layout lists its names; without one, the only image is taken")
    } else {
        failure
    }
}

/// The one image that is meant: of the platform asked for, or of this machine's.
pub(crate) fn pick(tree: &ImageTree, platform: Option<&str>) -> Result<Descriptor, Failure> {
    if let (true, None, Some(only)) = (tree.images.len() == 1, platform, tree.images.first()) {
        return Ok(only.clone());
    }
    let wanted = match platform {
        Some(text) => Platform::parse(text).map_err(|error| Failure::usage("malformed-platform", error))?,
        None => Platform::parse(&format!("linux/{}", go_architecture()))
            .map_err(|error| Failure::usage("malformed-platform", error))?,
    };
    let fits = |image: &&Descriptor| {
        image
            .platform
            .as_ref()
            .is_some_and(|platform| platform.satisfies(&wanted))
    };
    tree.images.iter().find(fits).cloned().ok_or_else(|| {
        let there: Vec<String> = tree
            .images
            .iter()
            .filter_map(|image| image.platform.as_ref().map(ToString::to_string))
            .collect();
        if there.is_empty() {
            let message = format!("it is one image, whose index says of no platform that it is for {wanted}");
            return Failure::usage("no-such-platform", message).with_hint("leave --platform away");
        }
        Failure::usage(
            "no-such-platform",
            format!("the index has no image for {wanted}; it has {}", there.join(", ")),
        )
        .with_hint("name one of them with --platform")
    })
}

/// Rust's and Go's names of the same processors differ.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
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
