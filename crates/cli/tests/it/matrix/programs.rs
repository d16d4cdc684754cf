//! How each program is told to sign and to verify.

use std::fs;
use std::path::{Path, PathBuf};

use proofmark_testkit::peers::{
    COSIGN2, COSIGN3, NODE, SIGSTORE_GO_SIGN, SIGSTORE_GO_VERIFY, SIGSTORE_JS, SIGSTORE_PYTHON,
};

use super::{Bench, Hand, Shape, Signed, identity};
use crate::world::{PROOFMARK, WORKFLOW};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    Proofmark,
    Cosign3,
    Cosign2,
    Python,
    Js,
    Go,
}

impl Who {
    pub(super) const PEERS: [Self; 5] = [Self::Cosign3, Self::Cosign2, Self::Python, Self::Js, Self::Go];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Proofmark => "Proofmark",
            Self::Cosign3 => "cosign 3",
            Self::Cosign2 => "cosign 2",
            Self::Python => "sigstore-python",
            Self::Js => "sigstore-js",
            Self::Go => "sigstore-go",
        }
    }
}

/// The type of the attestations here, as its name and its URI.
const TYPE: &str = "slsaprovenance1";
const TYPE_URI: &str = "https://slsa.dev/provenance/v1";

pub(super) const PREDICATE: &str = r#"{
    "buildDefinition": { "buildType": "https://example.test/build", "externalParameters": {} },
    "runDetails": { "builder": { "id": "https://example.test/builder" } }
}"#;

/// The programs that are on this machine.
pub(super) struct Programs {
    cosign3: Option<PathBuf>,
    cosign2: Option<PathBuf>,
    python: Option<PathBuf>,
    js: Option<(PathBuf, PathBuf)>,
    go: Option<(PathBuf, PathBuf)>,
}

impl Programs {
    pub(super) fn find() -> Self {
        Self {
            cosign3: COSIGN3.or_skip(),
            cosign2: COSIGN2.or_skip(),
            python: SIGSTORE_PYTHON.or_skip(),
            js: NODE.or_skip().zip(SIGSTORE_JS.or_skip()),
            go: SIGSTORE_GO_SIGN.or_skip().zip(SIGSTORE_GO_VERIFY.or_skip()),
        }
    }

    pub(super) fn all_found(&self) -> bool {
        self.cosign3.is_some()
            && self.cosign2.is_some()
            && self.python.is_some()
            && self.js.is_some()
            && self.go.is_some()
    }

    /// Signs; `None` where the program has no such thing or is not here.
    pub(super) fn sign(&self, bench: &Bench, who: Who, what: &Signed) -> Option<Result<(), String>> {
        match who {
            Who::Proofmark => Some(run(bench, Path::new(PROOFMARK), &sign_like_cosign(bench, who, what)?)),
            Who::Cosign3 => Some(run(bench, self.cosign3.as_ref()?, &sign_like_cosign(bench, who, what)?)),
            Who::Cosign2 => Some(run(bench, self.cosign2.as_ref()?, &sign_like_cosign(bench, who, what)?)),
            Who::Python => self.sign_python(bench, what),
            Who::Js => self.sign_js(bench, what),
            Who::Go => self.sign_go(bench, what),
        }
    }

    /// Verifies: the good one, or the twin (another key or identity, or for files another file).
    pub(super) fn verify(&self, bench: &Bench, who: Who, what: &Signed, good: bool) -> Option<Result<(), String>> {
        match who {
            Who::Proofmark => Some(run(
                bench,
                Path::new(PROOFMARK),
                &verify_like_cosign(bench, who, what, good)?,
            )),
            Who::Cosign3 => Some(run(
                bench,
                self.cosign3.as_ref()?,
                &verify_like_cosign(bench, who, what, good)?,
            )),
            Who::Cosign2 => Some(run(
                bench,
                self.cosign2.as_ref()?,
                &verify_like_cosign(bench, who, what, good)?,
            )),
            Who::Python => self.verify_python(bench, what, good),
            Who::Js => self.verify_js(bench, what, good),
            Who::Go => self.verify_go(bench, what, good),
        }
    }

    fn sign_python(&self, bench: &Bench, what: &Signed) -> Option<Result<(), String>> {
        if what.hand != Hand::Keyless {
            return None;
        }
        let mut arguments = python(bench);
        let token = bench.trust.token();
        match what.shape {
            Shape::BlobBundle => arguments.extend(words(&["sign"])),
            Shape::BlobAttestation => arguments.extend(words(&[
                "attest",
                "--predicate",
                "predicate.json",
                "--predicate-type",
                TYPE_URI,
            ])),
            _ => return None,
        }
        arguments.extend(words(&[
            "--oidc-disable-ambient-providers",
            "--identity-token",
            &token,
            "--bundle",
            &what.bundle,
            &what.subject,
        ]));
        Some(run(bench, self.python.as_ref()?, &arguments))
    }

    fn verify_python(&self, bench: &Bench, what: &Signed, good: bool) -> Option<Result<(), String>> {
        if what.hand != Hand::Keyless || !matches!(what.shape, Shape::BlobBundle | Shape::BlobAttestation) {
            return None;
        }
        let mut arguments = python(bench);
        let file = file(bench, what, good);
        arguments.extend(words(&[
            "verify",
            "identity",
            "--bundle",
            &what.bundle,
            "--cert-identity",
            WORKFLOW,
            "--cert-oidc-issuer",
            &bench.trust.issuer(),
            &file,
        ]));
        Some(run(bench, self.python.as_ref()?, &arguments))
    }

    fn sign_js(&self, bench: &Bench, what: &Signed) -> Option<Result<(), String>> {
        let (node, script) = self.js.as_ref()?;
        let kind = match what.shape {
            Shape::BlobBundle => "blob",
            Shape::BlobAttestation => "dsse",
            _ => return None,
        };
        let mut arguments = vec![script.display().to_string()];
        arguments.extend(words(&["sign", "--kind", kind, "--bundle", &what.bundle]));
        match what.hand {
            Hand::Keyless => arguments.extend(words(&[
                "--token",
                &bench.trust.token(),
                "--signing-config",
                &bench.trust.file("signing_config.json"),
            ])),
            // The script has no witnesses for keys.
            Hand::Logged => return None,
            hand => arguments.extend(words(&["--key", &format!("{}.pem", hand.file()), "--hint", "key"])),
        }
        arguments.push(match what.shape {
            Shape::BlobAttestation => statement(bench, what),
            _ => what.subject.clone(),
        });
        Some(run(bench, node, &arguments))
    }

    fn verify_js(&self, bench: &Bench, what: &Signed, good: bool) -> Option<Result<(), String>> {
        let (node, script) = self.js.as_ref()?;
        // It compares no subject: of what is signed as a statement, only the signer can be another.
        let by_file = what.shape == Shape::BlobBundle;
        if !by_file
            && !matches!(
                what.shape,
                Shape::BlobAttestation | Shape::ImageBundle | Shape::AttestationBundle
            )
        {
            return None;
        }
        let bundle = bundle_file(bench, what)?;
        let mut arguments = vec![script.display().to_string()];
        arguments.extend(words(&["verify", "--bundle", &bundle]));
        match what.hand {
            Hand::Keyless => {
                let identity = if good || by_file {
                    WORKFLOW
                } else {
                    "https://someone.else.test"
                };
                arguments.extend(words(&[
                    "--trusted-root",
                    &bench.trust.file("trusted_root.json"),
                    "--identity",
                    identity,
                    "--issuer",
                    &bench.trust.issuer(),
                ]));
            }
            hand => {
                let key = if good || by_file {
                    String::new()
                } else {
                    "other-".to_owned()
                };
                arguments.extend(words(&[
                    "--key",
                    &format!("{key}{}.pub", hand.file()),
                    "--hint",
                    &hint(&bundle)?,
                    "--ctlog",
                    "0",
                ]));
                if hand == Hand::Logged {
                    arguments.extend(words(&["--trusted-root", &bench.trust.file("trusted_root.json")]));
                } else {
                    arguments.extend(words(&["--tlog", "0", "--timestamps", "0"]));
                }
            }
        }
        if by_file {
            arguments.push(file(bench, what, good));
        }
        Some(run(bench, node, &arguments))
    }

    fn sign_go(&self, bench: &Bench, what: &Signed) -> Option<Result<(), String>> {
        let (program, _) = self.go.as_ref()?;
        if what.hand != Hand::Keyless || !matches!(what.shape, Shape::BlobBundle | Shape::BlobAttestation) {
            return None;
        }
        let mut arguments = words(&[
            "-id-token",
            &bench.trust.token(),
            "-tsa",
            "-rekor",
            "-signing-config",
            &bench.trust.file("signing_config.json"),
            "-trusted-root",
            &bench.trust.file("trusted_root.json"),
        ]);
        if what.shape == Shape::BlobAttestation {
            arguments.extend([words(&["-in-toto"]), vec![statement(bench, what)]].concat());
        } else {
            arguments.push(what.subject.clone());
        }
        let outcome = bench.run(program, &arguments);
        if !outcome.succeeded() {
            return Some(Err(outcome.stderr));
        }
        // It says its key before the bundle.
        let json = outcome
            .stdout
            .find("\n{")
            .map(|at| &outcome.stdout[at..])
            .unwrap_or(&outcome.stdout);
        fs::write(&what.bundle, json).unwrap();
        Some(Ok(()))
    }

    fn verify_go(&self, bench: &Bench, what: &Signed, good: bool) -> Option<Result<(), String>> {
        let (_, program) = self.go.as_ref()?;
        // Its example program wants the time of a signature from somewhere, and bundles only.
        let timeless = !matches!(what.hand, Hand::Logged | Hand::Keyless);
        let old = matches!(
            what.shape,
            Shape::ImageTag | Shape::AttestationTag | Shape::BlobDetached
        );
        if timeless || old {
            return None;
        }
        let bundle = bundle_file(bench, what)?;
        let root = bench.trust.file("trusted_root.json");
        let mut arguments = words(&["-trustedrootJSONpath", &root]);
        if what.shape.is_image() {
            let digest = if good {
                subject_digest(&bundle)?
            } else {
                "00".repeat(32)
            };
            arguments.extend(words(&["-artifact-digest", &digest]));
        } else {
            arguments.extend(words(&["-artifact", &file(bench, what, good)]));
        }
        match what.hand {
            Hand::Keyless => arguments.extend(words(&[
                "-expectedIssuer",
                &bench.trust.issuer(),
                "-expectedSAN",
                WORKFLOW,
            ])),
            hand => {
                arguments.extend(words(&[
                    "-publicKey",
                    &format!("{}.pub", hand.file()),
                    "-requireCTlog=false",
                ]));
            }
        }
        arguments.push(bundle);
        Some(run(bench, program, &arguments))
    }
}

/// Ours and both cosigns: the same verbs, and mostly the same flags.
fn sign_like_cosign(bench: &Bench, who: Who, what: &Signed) -> Option<Vec<String>> {
    let verb = match what.shape {
        Shape::ImageBundle | Shape::ImageTag => "sign",
        Shape::AttestationBundle | Shape::AttestationTag => "attest",
        Shape::BlobBundle | Shape::BlobDetached => "sign-blob",
        Shape::BlobAttestation => "attest-blob",
    };
    let mut arguments = words(&[verb, "-y"]);
    if what.shape.is_attestation() {
        arguments.extend(words(&["--predicate", "predicate.json", "--type", TYPE]));
    }
    let services = matches!(what.hand, Hand::Logged | Hand::Keyless);
    // The old layouts have no room for entries of Rekor v2, and cosign 2 does not know that log.
    let old = matches!(
        what.shape,
        Shape::ImageTag | Shape::AttestationTag | Shape::BlobDetached
    );
    if services && (old || who == Who::Cosign2) {
        return None;
    }
    match what.shape {
        Shape::BlobBundle | Shape::BlobAttestation => {
            arguments.extend(words(&["--bundle", &what.bundle]));
            if who == Who::Cosign2 {
                arguments.push("--new-bundle-format=true".to_owned());
            }
        }
        Shape::BlobDetached => arguments.extend(words(&[
            "--output-signature",
            &what.bundle,
            "--new-bundle-format=false",
        ])),
        Shape::ImageBundle | Shape::AttestationBundle if who == Who::Cosign2 => return None,
        Shape::ImageTag | Shape::AttestationTag if who != Who::Cosign2 => {
            arguments.push("--new-bundle-format=false".to_owned())
        }
        _ => {}
    }
    if what.shape.is_image() {
        arguments.push("--allow-http-registry=true".to_owned());
    }
    if services {
        arguments.extend(words(&[
            "--signing-config",
            &bench.trust.file("signing_config.json"),
            "--trusted-root",
            &bench.trust.file("trusted_root.json"),
        ]));
    } else {
        arguments.push("--tlog-upload=false".to_owned());
        if who == Who::Cosign3 {
            arguments.push("--use-signing-config=false".to_owned());
        }
    }
    if what.hand == Hand::Keyless {
        arguments.extend(words(&["--identity-token", &bench.trust.token()]));
    } else {
        arguments.extend(words(&["--key", &format!("{}.key", what.hand.file())]));
    }
    arguments.push(what.subject.clone());
    Some(arguments)
}

fn verify_like_cosign(bench: &Bench, who: Who, what: &Signed, good: bool) -> Option<Vec<String>> {
    let verb = match what.shape {
        Shape::ImageBundle | Shape::ImageTag => "verify",
        Shape::AttestationBundle | Shape::AttestationTag => "verify-attestation",
        Shape::BlobBundle | Shape::BlobDetached => "verify-blob",
        Shape::BlobAttestation => "verify-blob-attestation",
    };
    let bundled = matches!(what.shape, Shape::ImageBundle | Shape::AttestationBundle);
    let services = matches!(what.hand, Hand::Logged | Hand::Keyless);
    // cosign 2 looks for no bundles beside images, and does not know Rekor v2.
    if who == Who::Cosign2 && (bundled || services) {
        return None;
    }
    let mut arguments = words(&[verb]);
    if what.shape.is_attestation() {
        arguments.extend(words(&["--type", TYPE]));
    }
    match what.shape {
        Shape::BlobBundle | Shape::BlobAttestation => {
            arguments.extend(words(&["--bundle", &what.bundle]));
            if who == Who::Cosign2 {
                let root = bench.trust.file("trusted_root.json");
                arguments.extend(words(&["--new-bundle-format=true", "--trusted-root", &root]));
            }
        }
        Shape::BlobDetached => arguments.extend(words(&["--signature", &what.bundle])),
        _ => arguments.push("--allow-http-registry=true".to_owned()),
    }
    if services {
        arguments.extend(words(&[
            "--trusted-root",
            &bench.trust.file("trusted_root.json"),
            "--use-signed-timestamps",
        ]));
    } else {
        arguments.push("--insecure-ignore-tlog=true".to_owned());
    }
    match what.hand {
        Hand::Keyless if good || !what.shape.is_image() => arguments.extend(identity(&bench.trust)),
        Hand::Keyless => arguments.extend(words(&[
            "--certificate-identity",
            "https://someone.else.test",
            "--certificate-oidc-issuer",
            &bench.trust.issuer(),
        ])),
        hand => {
            let other = if good || !what.shape.is_image() { "" } else { "other-" };
            arguments.extend(words(&["--key", &format!("{other}{}.pub", hand.file())]));
        }
    }
    arguments.push(file(bench, what, good));
    Some(arguments)
}

/// The image, the file that was signed, or another file.
fn file(bench: &Bench, what: &Signed, good: bool) -> String {
    if good || what.shape.is_image() {
        what.subject.clone()
    } else {
        bench.path("changed.txt")
    }
}

/// The bundle as a file; for images it is fetched.
fn bundle_file(bench: &Bench, what: &Signed) -> Option<String> {
    if what.shape.is_image() && !PathBuf::from(&what.bundle).exists() {
        let kind = if what.shape.is_attestation() {
            "attestation"
        } else {
            "signature"
        };
        let outcome = bench.home.run(PROOFMARK, ["download", kind, &what.subject]);
        let line = outcome.expect_success().stdout.lines().next()?.to_owned();
        fs::write(&what.bundle, line).unwrap();
    }
    Some(what.bundle.clone())
}

/// The statement that the programs sign which sign statements as they are.
fn statement(bench: &Bench, what: &Signed) -> String {
    let digest = proofmark_types::Digest::sha256_of(&fs::read(&what.subject).unwrap());
    let statement = serde_json::json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "file.txt", "digest": { "sha256": digest.hex() } }],
        "predicateType": TYPE_URI,
        "predicate": serde_json::from_str::<serde_json::Value>(PREDICATE).unwrap(),
    });
    crate::world::write(bench.home.path(), "statement.json", statement.to_string())
}

fn subject_digest(bundle: &str) -> Option<String> {
    use base64::Engine as _;
    let bundle: serde_json::Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    let payload = bundle["dsseEnvelope"]["payload"].as_str()?;
    let payload = base64::engine::general_purpose::STANDARD.decode(payload).unwrap();
    let statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    Some(statement["subject"][0]["digest"]["sha256"].as_str()?.to_owned())
}

fn hint(bundle: &str) -> Option<String> {
    let bundle: serde_json::Value = serde_json::from_slice(&fs::read(bundle).unwrap()).unwrap();
    Some(bundle["verificationMaterial"]["publicKey"]["hint"].as_str()?.to_owned())
}

fn python(bench: &Bench) -> Vec<String> {
    words(&[
        "-m",
        "sigstore",
        "--trust-config",
        &bench.trust.file("trust_config.json"),
    ])
}

fn run(bench: &Bench, program: &Path, arguments: &[String]) -> Result<(), String> {
    let outcome = bench.run(program, arguments);
    if outcome.succeeded() {
        return Ok(());
    }
    Err(format!("{}\n{}", arguments.join(" "), outcome.stderr.trim()))
}

fn words(fixed: &[&str]) -> Vec<String> {
    fixed.iter().map(|word| (*word).to_owned()).collect()
}
