//! `db push` and `db pull`: the database in a registry, where a company keeps its own, signed and verified as images are.

use std::io::Read as _;
use std::path::PathBuf;

use clap::Args;
use proofmark_advisories::Database;
use proofmark_oci::media_types::OCI_EMPTY;
use proofmark_oci::{Descriptor, ImageManifest, Manifest};
use proofmark_policy::Wanted;
use proofmark_registry::Client;
use proofmark_types::{Digest, ImageRef, MediaType};
use serde_json::json;

use super::show;
use crate::advisories::{as_of, hold, open, place, refused, replace};
use crate::args::{RegistryArgs, SignerArgs, TrustArgs};
use crate::checking::{Wish, check_image};
use crate::context::{Context, parse_image, registry_failure};
use crate::failure::{Exit, Failure, chain};
use crate::verb::attach::one_layer;
use crate::verb::upload::taggable;

const ARTIFACT: &str = "application/vnd.proofmark.advisories.v1";
const LAYER: &str = "application/vnd.proofmark.advisories.v1+zstd";

/// All of OSV takes less than 100 MB, a fifth of that when it is packed.
const MAX_DATABASE_BYTES: u64 = 1024 * 1024 * 1024;
const MAX_PACKED_BYTES: u64 = 512 * 1024 * 1024;
/// What zstd's own decoder accepts unasked.
const MAX_WINDOW_LOG: u32 = 27;
/// A few seconds for all of OSV; the levels above take minutes for a tenth less.
const LEVEL: i32 = 12;
/// How far clocks of machines are apart that nobody set wrong on purpose.
const CLOCK_SKEW_SECONDS: i64 = 3600;

/// Put the database into a registry
#[derive(Args, Debug)]
pub(crate) struct Push {
    /// The name to give it, with a tag
    reference: String,

    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    #[command(flatten)]
    registry: RegistryArgs,
}

/// Fetch a database from a registry, verified
#[derive(Args, Debug)]
pub(crate) struct Pull {
    /// The database in the registry
    reference: String,

    /// Believe it without a signature: whoever can write to the registry decides what is vulnerable
    #[arg(long)]
    insecure_ignore_signature: bool,

    /// Take it although it is older than the one that is there
    #[arg(long)]
    allow_older: bool,

    /// The database (default: in the cache folder, or PROOFMARK_DB)
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Push {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let image = taggable(&self.reference)?;
        let path = place(self.db.as_deref())?;
        let (packed, annotations) = {
            let database = open(&path)?;
            database.verify().map_err(|error| refused(&path, &error))?;
            let bytes = std::fs::read(&path).map_err(anyhow::Error::from)?;
            // The file may have been exchanged since: what is pushed is what was looked through.
            let read = Database::open(&bytes).map_err(|error| refused(&path, &error))?;
            if read.digest() != database.digest() {
                let message = format!("{} was exchanged while it was read", path.display());
                return Err(Failure::new(Exit::Undecided, "database-busy", message).with_hint("try again"));
            }
            let header = database.header();
            let mut annotations = vec![
                ("org.opencontainers.image.created", header.built.to_string()),
                ("org.opencontainers.image.title", "advisories.db".to_owned()),
                ("dev.proofmark.advisories.digest", database.digest().to_string()),
            ];
            if let Some(newest) = as_of(&database) {
                annotations.push(("dev.proofmark.advisories.as-of", newest.to_string()));
            }
            let packed = zstd::encode_all(bytes.as_slice(), LEVEL).map_err(anyhow::Error::from)?;
            (packed, annotations)
        };
        let (mut manifest, _) = one_layer(&MediaType::of_constant(LAYER), &packed);
        // OCI image-spec 1.1, "Guidelines for Artifact Usage".
        let config = b"{}".to_vec();
        manifest.config = Descriptor::of(MediaType::of_constant(OCI_EMPTY), &config);
        manifest.artifact_type = Some(MediaType::of_constant(ARTIFACT));
        let named = annotations.into_iter().map(|(name, value)| (name.to_owned(), value));
        manifest.annotations.extend(named);
        let client = Context::client_for(&self.registry, &[&image])?;
        let bytes = packed.len();
        for blob in [config, packed] {
            client
                .push_blob(image.repository(), blob.into())
                .await
                .map_err(registry_failure)?;
        }
        let digest = client
            .push_manifest(
                image.repository(),
                Some(&image.tag_or_latest()),
                &manifest.media_type.clone(),
                manifest.to_json().into(),
            )
            .await
            .map_err(registry_failure)?;
        let name = format!("{}@{digest}", image.repository());
        context.output.result(
            &name,
            &json!({ "image": image, "digest": digest, "name": name, "bytes": bytes }),
        );
        context
            .output
            .note("sign it by this name (proofmark sign): db pull takes none that is not signed");
        Ok(())
    }
}

impl Pull {
    /// Fetches a database and puts it in the place of the one that is there.
    ///
    /// 1. Whose signature counts is read before anything is fetched; none is an error unless it is waived aloud.
    /// 2. The name becomes a digest once, and what hangs on that is verified.
    /// 3. The manifest of that digest is a database's, its one layer is fetched within a bound, and is what the manifest
    ///    says.
    /// 4. It is inflated within a bound, opened and read through.
    /// 5. Nothing older than what is there takes its place, and nothing of tomorrow, which would keep all of today's out.
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let path = place(self.db.as_deref())?;
        let image = parse_image(&self.reference)?;
        // 1.
        let wish = self.wish(context).await?;
        let client = Context::client_for(&self.registry, &[&image])?;
        // 2.
        let digest = match &wish {
            Some(wish) => check_image(&client, &image, wish).await?.digest,
            None => {
                let resolved = client.resolve(&image).await.map_err(registry_failure)?;
                context
                    .output
                    .warn("whose database it is was not verified (--insecure-ignore-signature)");
                resolved.descriptor.digest
            }
        };
        // 3.
        let spinner = context.output.spinner("fetching advisories");
        let packed = layer(&client, &image, &digest).await?;
        // 4.
        let bytes = tokio::task::spawn_blocking(move || inflate(&packed, MAX_DATABASE_BYTES));
        let bytes = bytes.await.map_err(anyhow::Error::from)??;
        let name = image.with_digest(digest).to_string();
        let unsound = |error: &proofmark_advisories::DatabaseError| {
            Failure::new(Exit::Undecided, error.code(), format!("{name}: {}", chain(error)))
        };
        let database = Database::open(&bytes).map_err(|error| unsound(&error))?;
        database.verify().map_err(|error| unsound(&error))?;
        drop(spinner);
        // 5.
        let _held = hold(context, &path).await?;
        self.is_newer(context, &path, &database, &name)?;
        replace(&path, &bytes)?;
        context.output.note(&format!("{name} is in the place of the database"));
        show(context, &path, &database);
        Ok(())
    }

    async fn wish(&self, context: &Context) -> Result<Option<Wish>, Failure> {
        let named = self.signer.key.is_some()
            || self.signer.certificate_identity.is_some()
            || self.signer.certificate_identity_regexp.is_some();
        match (self.insecure_ignore_signature, named) {
            (true, true) => Err(Failure::usage(
                "signature-ignored",
                "--insecure-ignore-signature ignores the signature that another flag asks for",
            )),
            (true, false) => Ok(None),
            (false, _) => {
                let wanted = Wanted::Signature {
                    accept_any_bundle: false,
                };
                Wish::from_flags(context, wanted, &self.signer, &self.trust)
                    .await
                    .map(Some)
            }
        }
    }

    fn is_newer(
        &self,
        context: &Context,
        path: &std::path::Path,
        database: &Database<'_>,
        name: &str,
    ) -> Result<(), Failure> {
        let built = database.header().built;
        if built.seconds() > Context::now().seconds().saturating_add(CLOCK_SKEW_SECONDS) {
            let message = format!("{name} was built on {built}, which is yet to come");
            return Err(Failure::new(Exit::Refused, "database-from-future", message)
                .with_hint("is the clock of this machine right, and that of the one which built it?"));
        }
        let there = match open(path) {
            Ok(there) => there.header().built,
            Err(failure) if failure.code == "database-missing" => return Ok(()),
            Err(failure) => {
                context.output.warn(&format!(
                    "what is there could not be read: {} [{}]",
                    failure.message, failure.code
                ));
                return Ok(());
            }
        };
        if built >= there || self.allow_older {
            return Ok(());
        }
        let message = format!("{name} was built on {built}, before the one that is there ({there})");
        Err(Failure::new(Exit::Refused, "database-rollback", message)
            .with_hint("an old one hides what became known since; --allow-older takes it nevertheless"))
    }
}

/// The layer of a database, packed.
async fn layer(client: &Client, image: &ImageRef, digest: &Digest) -> Result<bytes::Bytes, Failure> {
    let resolved = client
        .manifest(image.repository(), digest)
        .await
        .map_err(registry_failure)?;
    let none = |seen: &str| {
        let message = format!("{} is no advisory database: {seen}", image.with_digest(digest.clone()));
        Failure::new(Exit::Undecided, "artifact-not-database", message)
            .with_hint(format!("expected artifactType {ARTIFACT}, as db push writes it"))
    };
    let parsed = resolved.parse().map_err(registry_failure)?;
    let Manifest::Image(ImageManifest {
        artifact_type, layers, ..
    }) = &parsed
    else {
        return Err(none("it is an index"));
    };
    if artifact_type.as_ref().is_none_or(|kind| kind.as_str() != ARTIFACT) {
        let seen = artifact_type.as_ref().map_or("none", MediaType::as_str);
        return Err(none(&format!("its artifactType is {seen}")));
    }
    match layers.as_slice() {
        [layer] if layer.media_type.as_str() == LAYER => client
            .blob(image.repository(), layer, MAX_PACKED_BYTES)
            .await
            .map_err(registry_failure),
        [layer] => Err(none(&format!("its layer is of type {}", layer.media_type))),
        _ => Err(none(&format!("it has {} layers", layers.len()))),
    }
}

fn inflate(packed: &[u8], limit: u64) -> Result<Vec<u8>, Failure> {
    let broken = |error: std::io::Error| {
        let message = format!("the layer is not zstd: {error}");
        Failure::new(Exit::Undecided, "database-packed-badly", message)
    };
    let mut decoder = zstd::Decoder::with_buffer(packed).map_err(broken)?;
    decoder.window_log_max(MAX_WINDOW_LOG).map_err(broken)?;
    let mut bytes = Vec::new();
    decoder.take(limit + 1).read_to_end(&mut bytes).map_err(broken)?;
    if bytes.len() as u64 > limit {
        let message = format!("the layer inflates to more than {limit} bytes");
        return Err(Failure::new(Exit::Undecided, "database-too-large", message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_inflates_without_end_is_cut_off() {
        let bomb = zstd::encode_all(vec![0; 1_000_001].as_slice(), LEVEL).unwrap();
        assert!(bomb.len() < 1_000);
        assert_eq!(inflate(&bomb, 1_000_001).unwrap().len(), 1_000_001);
        assert_eq!(inflate(&bomb, 1_000_000).unwrap_err().code, "database-too-large");
        for bad in [&b"PMADVDB\n"[..], &bomb[..bomb.len() - 1], &[&bomb[..], b"x"].concat()] {
            assert_eq!(inflate(bad, 2_000_000).unwrap_err().code, "database-packed-badly");
        }
    }
}
