//! Who verifies whose signatures, in each format and algorithm that both know: every pair is tried with the real programs,
//! the good signature and a twin that must be refused, and what came out is the table of `docs/interoperability.md`.
//!
//! A pair that does not work, and is not among [`known`], fails the test; so does one that is and works. The page is
//! written anew with `PROOFMARK_WRITE_DOCS=1`, and compared else. Peers that are missing are said, and their columns are
//! then not compared.

mod known;
mod programs;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use proofmark_testkit::command::{Outcome, Sandbox};
use proofmark_testkit::images::{Built, Layer};
use proofmark_testkit::peers::OPENSSL;

use self::programs::{PREDICATE, Programs, Who};
use crate::world::{PASSWORD, PROOFMARK, Registry, Trust, WORKFLOW, write};

/// The page that the table is in, between these two lines.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/interoperability.md");
const BEGIN: &str = "<!-- table: written by the test `matrix` -->";
const END: &str = "<!-- end of the table -->";

/// What is signed, and how it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shape {
    ImageBundle,
    ImageTag,
    AttestationBundle,
    AttestationTag,
    BlobBundle,
    BlobAttestation,
    BlobDetached,
}

impl Shape {
    const ALL: [Self; 7] = [
        Self::ImageBundle,
        Self::ImageTag,
        Self::AttestationBundle,
        Self::AttestationTag,
        Self::BlobBundle,
        Self::BlobAttestation,
        Self::BlobDetached,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::ImageBundle => "image signature, bundle",
            Self::ImageTag => "image signature, `.sig`",
            Self::AttestationBundle => "image attestation, bundle",
            Self::AttestationTag => "image attestation, `.att`",
            Self::BlobBundle => "file signature, bundle",
            Self::BlobAttestation => "file attestation, bundle",
            Self::BlobDetached => "file signature, detached",
        }
    }

    fn is_image(self) -> bool {
        matches!(
            self,
            Self::ImageBundle | Self::ImageTag | Self::AttestationBundle | Self::AttestationTag
        )
    }

    fn is_attestation(self) -> bool {
        matches!(
            self,
            Self::AttestationBundle | Self::AttestationTag | Self::BlobAttestation
        )
    }
}

/// With what it is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hand {
    P256,
    P384,
    P521,
    Rsa2048,
    Rsa3072,
    Rsa4096,
    Ed25519,
    /// P-256, with an entry of a Rekor v2 log and a timestamp.
    Logged,
    /// A certificate for an identity, with an entry of a Rekor v2 log and a timestamp.
    Keyless,
}

impl Hand {
    const ALL: [Self; 9] = [
        Self::P256,
        Self::P384,
        Self::P521,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Ed25519,
        Self::Logged,
        Self::Keyless,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
            Self::Ed25519 => "Ed25519",
            Self::Logged => "P-256, logged",
            Self::Keyless => "keyless",
        }
    }

    /// The name of its key files: `NAME.pem` as openssl makes it, `NAME.key` as cosign keeps it, `NAME.pub`.
    fn file(self) -> &'static str {
        match self {
            Self::P256 | Self::Logged | Self::Keyless => "p256",
            Self::P384 => "p384",
            Self::P521 => "p521",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::Rsa4096 => "rsa4096",
            Self::Ed25519 => "ed25519",
        }
    }

    /// What openssl's genpkey is told.
    fn openssl(self) -> [&'static str; 4] {
        let ec = |curve| ["-algorithm", "EC", "-pkeyopt", curve];
        let rsa = |bits| ["-algorithm", "RSA", "-pkeyopt", bits];
        match self {
            Self::P256 | Self::Logged | Self::Keyless => ec("ec_paramgen_curve:P-256"),
            Self::P384 => ec("ec_paramgen_curve:P-384"),
            Self::P521 => ec("ec_paramgen_curve:P-521"),
            Self::Rsa2048 => rsa("rsa_keygen_bits:2048"),
            Self::Rsa3072 => rsa("rsa_keygen_bits:3072"),
            Self::Rsa4096 => rsa("rsa_keygen_bits:4096"),
            Self::Ed25519 => ["-algorithm", "ED25519", "-outform", "PEM"],
        }
    }
}

/// Everything that the programs share.
struct Bench {
    home: Sandbox,
    registry: Registry,
    trust: Trust,
    programs: Programs,
}

impl Bench {
    fn path(&self, name: &str) -> String {
        self.home.path().join(name).display().to_string()
    }

    fn run(&self, program: &Path, arguments: &[String]) -> Outcome {
        self.home.run(program, arguments)
    }
}

/// One thing that was signed.
struct Signed {
    shape: Shape,
    hand: Hand,
    /// The image, or the file.
    subject: String,
    /// Where the bundle or the detached signature is; for images, where it was put beside the registry's copy.
    bundle: String,
}

/// A pair of programs on one shape by one hand.
type Pair = (Shape, Hand, Who, Direction);

/// How a pair ended: `None` where a program has no such thing.
type Ended = Option<Result<(), String>>;

type Cells = BTreeMap<Pair, Ended>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    /// We sign, they verify.
    Ours,
    /// They sign, we verify.
    Theirs,
}

#[tokio::test(flavor = "multi_thread")]
async fn who_verifies_whose_signatures() {
    let Some(openssl) = OPENSSL.or_skip() else { return };
    let bench = Bench {
        home: Sandbox::new().with("COSIGN_PASSWORD", PASSWORD),
        registry: Registry::start().await,
        trust: Trust::start().await,
        programs: Programs::find(),
    };
    make_keys(&bench, &openssl);
    write(bench.home.path(), "predicate.json", PREDICATE);
    write(bench.home.path(), "file.txt", "what is signed\n");
    write(bench.home.path(), "changed.txt", "what is not signed\n");
    let mut cells = Cells::new();
    for shape in Shape::ALL {
        for hand in Hand::ALL {
            pairs(&bench, shape, hand, &mut cells).await;
        }
    }
    let surprises = surprises(&cells);
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    compare(&table(&cells), bench.programs.all_found());
}

fn make_keys(bench: &Bench, openssl: &Path) {
    let mut made = Vec::new();
    for hand in Hand::ALL {
        for name in [hand.file().to_owned(), format!("other-{}", hand.file())] {
            if made.contains(&name) {
                continue;
            }
            let pem = format!("{name}.pem");
            let public = format!("{name}.pub");
            let generate = ["genpkey"].into_iter().chain(hand.openssl()).chain(["-out", &pem]);
            bench.home.run(openssl, generate).expect_success();
            bench
                .home
                .run(openssl, ["pkey", "-in", &pem, "-pubout", "-out", &public])
                .expect_success();
            let import = ["import-key-pair", "-y", "--key", &pem, "--output-key-prefix", &name];
            bench.home.run(PROOFMARK, import).expect_success();
            made.push(name);
        }
    }
}

/// All pairs of one shape and hand: each peer on what we sign, and we on what each peer signs.
async fn pairs(bench: &Bench, shape: Shape, hand: Hand, cells: &mut Cells) {
    let ours = sign(bench, Who::Proofmark, shape, hand).await;
    let ours =
        ours.map(|signed| signed.unwrap_or_else(|error| panic!("we cannot sign {shape:?} by {hand:?}: {error}")));
    if let Some(ours) = &ours {
        let own = bench.programs.verify(bench, Who::Proofmark, ours, true);
        assert!(matches!(&own, Some(Ok(()))), "{shape:?} by {hand:?}, our own: {own:?}");
    }
    for who in Who::PEERS {
        let verified = ours.as_ref().and_then(|ours| both(bench, who, ours));
        cells.insert((shape, hand, who, Direction::Ours), verified);
        let theirs = sign(bench, who, shape, hand).await;
        let verified = match theirs {
            None => None,
            Some(Err(error)) => Some(Err(format!("does not sign: {error}"))),
            Some(Ok(signed)) => both(bench, Who::Proofmark, &signed),
        };
        cells.insert((shape, hand, who, Direction::Theirs), verified);
    }
}

/// The good one is accepted, and its twin is not.
fn both(bench: &Bench, who: Who, signed: &Signed) -> Ended {
    let good = bench.programs.verify(bench, who, signed, true)?;
    let twin = bench.programs.verify(bench, who, signed, false)?;
    Some(match (good, twin) {
        (Ok(()), Ok(())) => Err("accepts what is not signed so".to_owned()),
        (good, _) => good,
    })
}

async fn sign(bench: &Bench, who: Who, shape: Shape, hand: Hand) -> Option<Result<Signed, String>> {
    let name = format!("{who:?}-{shape:?}-{hand:?}").to_lowercase();
    let subject = if shape.is_image() {
        bench.registry.push(&image(&name), &name).await
    } else {
        bench.path("file.txt")
    };
    let signed = Signed {
        shape,
        hand,
        subject,
        bundle: bench.path(&format!("{name}.json")),
    };
    let outcome = bench.programs.sign(bench, who, &signed)?;
    Some(outcome.map(|()| signed))
}

/// An image of its own for each signature, so that none helps another.
fn image(name: &str) -> Built {
    Built::image("linux/amd64", &[Layer::gzip().file("name", name)], |_| ())
}

/// What came out otherwise than is known.
fn surprises(cells: &Cells) -> Vec<String> {
    let surprise = |(&(shape, hand, who, direction), cell): (&Pair, &Ended)| {
        let known = known::reason(shape, hand, who, direction);
        let place = format!("{} by {}, {who:?}, {direction:?}", shape.name(), hand.name());
        match (cell, known) {
            (Some(Err(error)), None) => Some(format!("{place}: {error}")),
            (Some(Ok(())), Some(_)) => Some(format!("{place}: works, and is known not to")),
            _ => None,
        }
    };
    cells.iter().filter_map(surprise).collect()
}

/// The table in Markdown: a row for each shape and hand, two columns for each peer.
fn table(cells: &Cells) -> String {
    let mut notes: Vec<&str> = Vec::new();
    let mut text = String::from("| what | by |");
    for who in Who::PEERS {
        let _ = write!(text, " {0} verifies ours | we verify {0}'s |", who.name());
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(Who::PEERS.len() * 2));
    text.push('\n');
    for shape in Shape::ALL {
        for hand in Hand::ALL {
            let mut row = String::new();
            let mut tried = false;
            for who in Who::PEERS {
                for direction in [Direction::Ours, Direction::Theirs] {
                    let cell = match cells.get(&(shape, hand, who, direction)).and_then(Option::as_ref) {
                        None => " ".to_owned(),
                        Some(Ok(())) => "yes".to_owned(),
                        Some(Err(_)) => {
                            let reason = known::reason(shape, hand, who, direction).unwrap_or("unknown");
                            let place = notes.iter().position(|note| *note == reason).unwrap_or_else(|| {
                                notes.push(reason);
                                notes.len() - 1
                            });
                            format!("no ({})", place + 1)
                        }
                    };
                    tried |= cell != " ";
                    let _ = write!(row, " {cell} |");
                }
            }
            if tried {
                let _ = writeln!(text, "| {} | {} |{row}", shape.name(), hand.name());
            }
        }
    }
    text.push('\n');
    for (number, note) in notes.iter().enumerate() {
        let _ = writeln!(text, "{}. {note}", number + 1);
    }
    text
}

/// Writes the page where that is wished, and compares it else.
fn compare(table: &str, complete: bool) {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    if std::env::var_os("PROOFMARK_WRITE_DOCS").is_some() {
        std::fs::write(PAGE, format!("{head}{BEGIN}\n\n{table}\n{END}{tail}")).unwrap();
    } else if complete {
        assert!(
            written.trim() == table.trim(),
            "docs/interoperability.md is not what this run found; write it with PROOFMARK_WRITE_DOCS=1:\n{table}"
        );
    } else {
        eprintln!("SKIPPED: comparing docs/interoperability.md, since a peer is missing");
    }
}

/// The flags of a keyless verification.
fn identity(trust: &Trust) -> [String; 4] {
    [
        "--certificate-identity".to_owned(),
        WORKFLOW.to_owned(),
        "--certificate-oidc-issuer".to_owned(),
        trust.issuer(),
    ]
}
