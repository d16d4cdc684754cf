//! Which image the words of the command line mean, and which one of an index.

use std::path::Path;

use proofmark_oci::{Descriptor, Platform};
use proofmark_registry::{ImageSource, RegistryError};

use crate::args::RegistryArgs;
use crate::context::{Context, parse_image, registry_failure, unreadable};
use crate::failure::{Failure, chain};
use crate::images::ImageTree;

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
    std::fs::metadata(path).map_err(|error| unreadable(path, &error))?;
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
