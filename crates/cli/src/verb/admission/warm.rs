//! Having a webhook look images up before they are to run.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Client, Url};
use serde_json::{Value, json};

use crate::context::{Context, read_text};
use crate::failure::{Exit, Failure};
use crate::output::counted;

/// Images of one request; a webhook takes a thousand.
const AT_ONCE: usize = 100;

/// What the webhook may take for them; its longest.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest answer read: some 500 bytes for each image.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// Have a webhook look images up before they are to run
///
/// What it finds it holds, so that the first Pod is admitted as fast as the thousandth: after a release, before a rollout.
#[derive(Args, Debug)]
pub(crate) struct Warm {
    /// Address of the webhook: https://host:port
    #[arg(long, value_name = "URL")]
    url: Url,

    /// The certificate authority of the webhook: ca.crt in its --tls-dir
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,

    /// File with one image a line (- for standard input)
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "images",
        required_unless_present = "images"
    )]
    from: Option<PathBuf>,

    /// Images
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

impl Warm {
    pub(super) async fn run(self, context: &Context) -> Result<(), Failure> {
        let images = match &self.from {
            None => self.images.clone(),
            Some(path) => {
                let text = read_text(path)?;
                let lines = text.lines().map(str::trim);
                lines
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                    .map(ToOwned::to_owned)
                    .collect()
            }
        };
        if images.is_empty() {
            return Err(Failure::usage("no-images", "no image is named"));
        }
        let client = self.client()?;
        let mut warmed = Vec::new();
        for some in images.chunks(AT_ONCE) {
            warmed.extend(self.ask(&client, some).await?);
        }
        let failed: Vec<String> = warmed
            .iter()
            .filter(|image| image["evidence"] == "failed")
            .map(|image| format!("{}: {}", text(&image["image"]), text(&image["reason"])))
            .collect();
        let mut shown: String = warmed
            .iter()
            .map(|image| format!("{}  {}\n", text(&image["evidence"]), text(&image["image"])))
            .collect();
        shown.push_str(&format!("{} looked up", counted(warmed.len(), "image")));
        if failed.is_empty() {
            context.output.result(&shown, &json!({ "images": warmed }));
            return Ok(());
        }
        let all = counted(warmed.len(), "image");
        let message = format!("{} of {all} could not be looked up", failed.len());
        Err(Failure::new(Exit::Undecided, "not-warmed", message).with_details(failed))
    }

    fn client(&self) -> Result<Client, Failure> {
        let unusable = |error: reqwest::Error| Failure::usage("ca-unusable", format!("{}: {error}", self.ca.display()));
        let authorities = Certificate::from_pem_bundle(read_text(&self.ca)?.as_bytes()).map_err(unusable)?;
        Client::builder()
            .tls_certs_only(authorities)
            .https_only(true)
            .timeout(2 * PATIENCE)
            .build()
            .map_err(unusable)
    }

    async fn ask(&self, client: &Client, images: &[String]) -> Result<Vec<Value>, Failure> {
        let failed = |reason: String| {
            Failure::new(
                Exit::Undecided,
                "webhook-unreachable",
                format!("{}: {reason}", self.url),
            )
            .with_hint("check the address, and that --ca is the webhook's ca.crt")
        };
        let unreachable = |error: reqwest::Error| failed(crate::failure::chain(&error));
        let mut url = self.url.clone();
        url.set_path("/warm");
        url.set_query(Some(&format!("timeout={}s", PATIENCE.as_secs())));
        let body = json!({ "images": images }).to_string();
        let mut response = client.post(url).body(body).send().await.map_err(unreachable)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            if answer.len() + piece.len() > MAX_ANSWER_BYTES {
                return Err(failed(format!("the answer has more than {MAX_ANSWER_BYTES} bytes")));
            }
            answer.extend_from_slice(&piece);
        }
        if !status.is_success() {
            let said = String::from_utf8_lossy(&answer);
            return Err(failed(format!("expected 200, got {status}: {}", said.trim())));
        }
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| failed(error.to_string()))?;
        match answer.get("images").and_then(Value::as_array) {
            Some(warmed) if warmed.len() <= images.len() => Ok(warmed.clone()),
            _ => Err(failed("it does not answer as a webhook of Proofmark does".to_owned())),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
