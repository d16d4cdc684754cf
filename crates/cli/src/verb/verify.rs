//! `verify`: is there an acceptable signature on the image?

use std::path::PathBuf;

use clap::Args;
use proofmark_evidence::encoding::base64_decode;
use proofmark_evidence::legacy::LegacySignature;
use proofmark_evidence::simple_signing::Payload;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_policy::Wanted;
use proofmark_types::ImageRef;

use crate::args::{Annotations, RegistryArgs, SignerArgs, TrustArgs, annotation};
use crate::checking::{Checked, Target, Wish, check_all, check_evidence};
use crate::context::{Context, parse_image, read_file};
use crate::failure::Failure;
use crate::images::digest_of;
use crate::report;

/// Check an image's signatures
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// The images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,

    #[command(flatten)]
    asked: Asked,
}

/// What is asked of each image: shared with `dockerfile verify` and `manifest verify`.
#[derive(Args, Debug)]
pub(crate) struct Asked {
    /// An annotation that must be under the signature
    #[arg(long = "annotations", short = 'a', value_name = "KEY=VALUE", value_parser = annotation)]
    annotations: Vec<Annotations>,

    /// Take any signed bundle for a signature, attestations too, as cosign 3.1 does
    #[arg(long)]
    accept_any_bundle: bool,

    /// The claims of a signature are always checked; =false is refused
    #[arg(long, default_value_t = true)]
    check_claims: bool,

    /// The images are folders on this machine, as `save` writes them
    #[arg(long)]
    local_image: bool,

    /// A signature that is not in the registry: a file, or the signature itself in base64
    #[arg(long, value_name = "FILE|BASE64", conflicts_with = "local_image")]
    signature: Option<String>,

    /// What that signature signs (default: what cosign writes for the image)
    #[arg(long, value_name = "FILE", requires = "signature")]
    payload: Option<PathBuf>,

    /// Another artifact of the image instead of the image; not supported: name its digest
    #[arg(long, value_name = "KIND")]
    attachment: Option<String>,

    #[command(flatten)]
    signer: SignerArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl Verify {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let wish = self.asked.wish(context).await?;
        if self.asked.signature.is_some() {
            return self.asked.offline(context, &self.images, &wish).await;
        }
        self.asked.check(context, &self.images, &wish).await
    }
}

impl Asked {
    /// Reads the flags.
    pub(crate) async fn wish(&self, context: &Context) -> Result<Wish, Failure> {
        if self.attachment.is_some() {
            return Err(Failure::usage(
                "flag-not-supported",
                "--attachment: what hangs on an image has a digest of its own",
            )
            .with_hint("`tree` shows it; verify it by that digest"));
        }
        if !self.check_claims {
            return Err(Failure::usage(
                "claims-always-checked",
                "--check-claims=false would accept a signature over any other image",
            ));
        }
        let wanted = Wanted::Signature {
            accept_any_bundle: self.accept_any_bundle,
        };
        let mut wish = Wish::from_flags(context, wanted, &self.signer, &self.trust).await?;
        wish.requirement
            .annotations
            .extend(Annotations::flatten(&self.annotations));
        Ok(wish)
    }

    /// For verbs that find the images in a file: a signature that is given is of one image.
    pub(crate) fn refuse_given(&self) -> Result<(), Failure> {
        if self.signature.is_some() || self.local_image {
            return Err(Failure::usage(
                "flag-not-supported",
                "--signature, --payload and --local-image are about one image, and a file may name several",
            ));
        }
        Ok(())
    }

    /// Checks the images and says what was found.
    pub(crate) async fn check(&self, context: &Context, images: &[String], wish: &Wish) -> Result<(), Failure> {
        let targets = Target::from_flags(images, self.local_image, &self.registry)?;
        let checked = check_all(&targets, wish).await?;
        report::publish(context, wish, &targets.iter().zip(&checked).collect::<Vec<_>>());
        Ok(())
    }

    /// Checks a signature that is given, in place of those in the registry.
    async fn offline(&self, context: &Context, images: &[String], wish: &Wish) -> Result<(), Failure> {
        let [image] = images else {
            return Err(Failure::usage(
                "one-image",
                "a signature that is given is of one image, and several are named",
            ));
        };
        let image = parse_image(image)?;
        let client = Context::client_for(&self.registry, &[&image])?;
        let digest = digest_of(&client, &image).await?;
        let mut evidence = EvidenceSet::new(digest);
        evidence.items.push(self.given(&image, &evidence)?);
        let target = Target::remote(&client, &image);
        let checked: Checked = check_evidence(&target, evidence, wish)?;
        report::publish(context, wish, &[(&target, &checked)]);
        Ok(())
    }

    fn given(&self, image: &ImageRef, evidence: &EvidenceSet) -> Result<Item, Failure> {
        let given = self.signature.as_deref().unwrap_or_default();
        let text = if std::path::Path::new(given).is_file() {
            String::from_utf8_lossy(&read_file(given.as_ref())?).trim().to_owned()
        } else {
            given.trim().to_owned()
        };
        let signature = base64_decode(&text)
            .ok_or_else(|| Failure::usage("malformed-signature", "--signature is neither a file nor base64"))?;
        let payload = match &self.payload {
            Some(path) => read_file(path)?,
            None => Payload::new(&image.repository().to_string(), &evidence.subject, [].into()).to_json(),
        };
        Ok(Item {
            origin: Origin::Local,
            content: ItemContent::LegacySignature(LegacySignature {
                payload,
                signature,
                certificate: None,
                chain: Vec::new(),
                log_bundle: None,
                timestamp: None,
            }),
        })
    }
}
