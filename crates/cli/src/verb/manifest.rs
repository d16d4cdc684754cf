//! `manifest verify`: are the images that Kubernetes manifests run signed?

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use proofmark_admission::Kinds;
use serde_json::Value;

use crate::context::{Context, read_text};
use crate::failure::{Failure, chain};
use crate::verb::policy::policy_files;
use crate::verb::verify::Asked;

/// Check what Kubernetes manifests run
#[derive(Subcommand, Debug)]
pub(crate) enum Manifest {
    /// Check the signatures of the images that Kubernetes manifests name
    Verify(Verify),
}

/// Check the signatures of the images that Kubernetes manifests name
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Files, or folders of them (.yaml, .yml, .json)
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    asked: Asked,
}

impl Manifest {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::Verify(verb) = self;
        verb.asked.refuse_given()?;
        let mut images: Vec<String> = Vec::new();
        for path in files(&verb.paths)? {
            let found = read(&path, &read_text(&path)?)?;
            for place in &found.unread {
                context.output.warn(&format!(
                    "{}: {place} is not checked: where this kind names images is not known",
                    path.display()
                ));
            }
            for image in found.images {
                if !images.contains(&image) {
                    images.push(image);
                }
            }
        }
        if images.is_empty() {
            let named: Vec<_> = verb.paths.iter().map(|path| path.display().to_string()).collect();
            return Err(Failure::usage(
                "no-images",
                format!("no image is named in {}", named.join(", ")),
            ));
        }
        context
            .output
            .note(&format!("Extracted image(s): {}", images.join(", ")));
        let wish = verb.asked.wish(context).await?;
        verb.asked.check(context, &images, &wish).await
    }
}

/// The files that are named, and those in folders that are.
pub(super) fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(policy_files(path)?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// The most places of one document that are named.
const MAX_UNREAD: usize = 20;

/// What a file names.
#[derive(Debug, Default)]
struct Named {
    images: Vec<String>,
    /// Fields that look like images, in kinds of others, which nothing here knows.
    unread: Vec<String>,
}

/// The documents of a file of YAML or JSON.
pub(super) fn documents(path: &Path, text: &str) -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple(text).map_err(|error| malformed(path, error.to_string()))
}

fn malformed(path: &Path, reason: String) -> Failure {
    Failure::usage("malformed-manifest", format!("{}: {reason}", path.display()))
}

/// The images of all documents of a file.
///
/// Kinds that the admission webhook knows are walked as it walks them: containers of every sort, lists, nested templates.
/// A kind that it does not know is looked through as a pod, a workload with a template and a cron job at once, which is
/// what cosign does with everything. Where a kind of others has fields called `image` elsewhere, that is said: cosign says
/// nothing, and what it did not see looks checked.
fn read(path: &Path, text: &str) -> Result<Named, Failure> {
    let documents = documents(path, text)?;
    let kinds = Kinds::default();
    let mut named = Named::default();
    let images = &mut named.images;
    for document in &documents {
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        let group = text("apiVersion").rsplit_once('/').map_or("", |(group, _)| group);
        let kind = text("kind");
        if kinds.knows(group, kind) {
            let found = kinds
                .images(group, kind, document)
                .map_err(|error| malformed(path, chain(&error)))?;
            images.extend(found.iter().map(|found| found.image.to_owned()));
            continue;
        }
        let before = images.len();
        for (group, kind) in [("", "Pod"), ("apps", "Deployment"), ("batch", "CronJob")] {
            // What does not have this shape is of another kind.
            let found = kinds.images(group, kind, document).unwrap_or_default();
            images.extend(found.iter().map(|found| found.image.to_owned()));
        }
        // Kubernetes' own groups have no dot, or end so.
        if group.contains('.') && !group.ends_with(".k8s.io") {
            let mut places = Vec::new();
            looks_like_images(document, kind, images.get(before..).unwrap_or_default(), &mut places);
            named.unread.extend(places);
        }
    }
    Ok(named)
}

/// The fields called `image` with a text that is not among `seen`, by their paths. The depth is the reader's.
fn looks_like_images(value: &Value, path: &str, seen: &[String], places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                match field {
                    Value::String(text) if name == "image" && !text.is_empty() && !seen.contains(text) => {
                        if places.len() < MAX_UNREAD {
                            places.push(format!("{path} ({text})"));
                        }
                    }
                    other => looks_like_images(other, &path, seen, places),
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                looks_like_images(item, &format!("{path}[{index}]"), seen, places);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_every_document() {
        let text = "\
apiVersion: v1
kind: Pod
spec:
  initContainers: [{name: i, image: init:1}]
  containers: [{name: a, image: a:1}, {name: b}]
  ephemeralContainers: [{name: e, image: e:1}]
---
apiVersion: batch/v1
kind: CronJob
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: c:1}]}}}}}
---
apiVersion: v1
kind: ConfigMap
data: {image: not-an-image}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
spec: {template: {spec: {containers: [{name: r, image: r:1}]}}}
";
        let named = read(Path::new("m.yaml"), text).unwrap();
        assert_eq!(named.unread, Vec::<String>::new());
        let images = named.images;
        for image in ["init:1", "a:1", "e:1", "c:1", "r:1"] {
            assert!(images.iter().any(|seen| seen == image), "{image}: {images:?}");
        }
        assert_eq!(images.len(), 5, "{images:?}");
    }

    #[test]
    fn what_a_foreign_kind_hides_is_said() {
        let text = "\
apiVersion: db.example.com/v1
kind: Cluster
spec:
  image: db:1
  template: {spec: {containers: [{name: r, image: r:1}]}}
  sidecars: [{image: {repository: x}}, {image: side:1}, {image: ''}, {image: r:1}]
";
        let named = read(Path::new("m.yaml"), text).unwrap();
        assert_eq!(named.images, ["r:1"]);
        assert_eq!(
            named.unread,
            ["Cluster.spec.image (db:1)", "Cluster.spec.sidecars[1].image (side:1)"]
        );
    }

    #[test]
    fn what_is_no_manifest() {
        assert!(read(Path::new("m.yaml"), "a: [").is_err());
        let shape = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: 5}]}\n";
        assert_eq!(read(Path::new("m.yaml"), shape).unwrap_err().code, "malformed-manifest");
    }
}
