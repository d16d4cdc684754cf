//! Keys in a real token: SoftHSM. Its configuration is an environment variable that it reads when it is loaded, so that
//! each test runs itself once more in a process of its own.

use std::path::Path;
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use proofmark_sign::keys::{self, KeyError, PasswordError, Surroundings};
use proofmark_sign::{Password, Timing};
use proofmark_testkit::peers::SOFTHSM;
use proofmark_types::KeyReference;
use proofmark_verify::{HashUsed, KeyAlgorithm};

const PIN: &str = "1234-5678";

/// Which process is the inner one.
const INNER: &str = "PROOFMARK_TEST_TOKEN";

#[tokio::test]
async fn keys_in_a_token_sign_and_their_twins_do_not() {
    let Some(module) = inner("pkcs11::keys_in_a_token_sign_and_their_twins_do_not") else {
        return;
    };
    fill(&module);
    refused_before_any_login(&module).await;
    for (label, algorithm, hash, legacy) in [
        ("p256", KeyAlgorithm::EcdsaP256, HashUsed::Sha256, HashUsed::Sha256),
        ("p384", KeyAlgorithm::EcdsaP384, HashUsed::Sha384, HashUsed::Sha256),
        ("p521", KeyAlgorithm::EcdsaP521, HashUsed::Sha512, HashUsed::Sha256),
        ("rsa2048", KeyAlgorithm::Rsa2048, HashUsed::Sha256, HashUsed::Sha256),
        ("rsa3072", KeyAlgorithm::Rsa3072, HashUsed::Sha256, HashUsed::Sha256),
        // Its public half is in the private one, or in a certificate.
        ("rsa-alone", KeyAlgorithm::Rsa2048, HashUsed::Sha256, HashUsed::Sha256),
        ("certified", KeyAlgorithm::EcdsaP256, HashUsed::Sha256, HashUsed::Sha256),
        ("ed25519", KeyAlgorithm::Ed25519, HashUsed::Ed25519, HashUsed::Ed25519),
    ] {
        let reference = reference(&module, &format!("object={label}"));
        let key = keys::open(&reference, &with(&module, Some(PIN))).await.unwrap();
        let public = keys::public(&reference, &with(&module, Some(PIN))).await.unwrap();
        assert_eq!(key.public_key(), &public, "{label}");
        assert_eq!(public.algorithm(), algorithm, "{label}");
        let (first, second) = tokio::join!(key.sign(b"message"), key.sign_legacy(b"message"));
        assert_eq!(public.verify(b"message", &first.unwrap()), Ok(hash), "{label}");
        assert_eq!(public.verify(b"message", &second.unwrap()), Ok(legacy), "{label}");
        assert!(
            key.to_encrypted_pem(&Password::new(""))
                .is_err_and(|error| error.code() == "key-not-here")
        );
    }
    refused(&module).await;
    listed(&module).await;
}

/// The module, in the process that is to use it. In the other, runs that process.
fn inner(test: &str) -> Option<String> {
    if let Ok(module) = std::env::var(INNER) {
        return Some(module);
    }
    let module = SOFTHSM.or_skip()?;
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    std::fs::write(&configuration, format!("directories.tokendir = {}\n", tokens.display())).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(INNER, Path::new(&module))
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    None
}

fn reference(module: &str, key: &str) -> KeyReference {
    format!("pkcs11:token=team%20token;{key}?module-path={module}")
        .parse()
        .unwrap()
}

fn with(module: &str, pin: Option<&'static str>) -> Surroundings<'static> {
    let _ = module;
    Surroundings {
        environment: match pin {
            Some(PIN) => &|name| (name == "COSIGN_PKCS11_PIN").then(|| PIN.to_owned()),
            _ => &|_| None,
        },
        password: &|_| panic!("the password of a key file is not a PIN"),
        pin: &|what| Err(PasswordError::Missing { what: what.to_owned() }),
        timing: Timing::default(),
    }
}

async fn code(text: &str) -> (&'static str, String) {
    let reference: KeyReference = text.parse().unwrap();
    let error: KeyError = keys::open(&reference, &with("", None)).await.unwrap_err();
    let text = error.to_string();
    assert!(!text.contains(PIN) && !text.contains("0000"), "{text}");
    (error.code(), text)
}

/// A login is for the whole process, so that wrong PINs are noticed only before it.
async fn refused_before_any_login(module: &str) {
    let (name, text) = code(&format!(
        "pkcs11:token=team%20token;object=p256?module-path={module}&pin-value=0000"
    ))
    .await;
    assert_eq!(name, "key-use-refused");
    assert!(
        text.ends_with("the PIN is wrong") && text.contains("pin-value=***"),
        "{text}"
    );
    let (name, text) = code(&format!("pkcs11:token=team%20token;object=p256?module-path={module}")).await;
    assert_eq!(name, "password-missing");
    assert!(text.contains("team token"), "{text}");
}

#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
async fn refused(module: &str) {
    let query = format!("module-path={module}&pin-value={PIN}");
    for (uri, expected, reason) in [
        (
            format!("token=team%20token;object=absent?{query}"),
            "key-use-refused",
            "no private key",
        ),
        // The label of one key and the id of another.
        (
            format!("token=team%20token;object=p256;id=%02?{query}"),
            "key-use-refused",
            "no private key",
        ),
        (
            format!("token=team%20token;object=twice?{query}"),
            "key-use-refused",
            "several private keys",
        ),
        (
            format!("token=other;object=p256?{query}"),
            "key-use-refused",
            "no token",
        ),
        (
            format!("token=team%20token;slot-id=0;object=p256?{query}"),
            "key-use-refused",
            "no token",
        ),
        (format!("object=p256?{query}"), "key-use-refused", "several tokens"),
        (format!("token=team%20token?{query}"), "key-token-uri", "which key"),
        (
            format!("token=team%20token;object=p256;type=cert?{query}"),
            "key-token-uri",
            "type",
        ),
        (
            format!("token=team%20token;object=p256;library-version=9?{query}"),
            "key-token-uri",
            "library-version",
        ),
        (
            format!("token=team%20token;object=ec-alone?{query}"),
            "key-answer",
            "no public key",
        ),
        (
            format!("token=team%20token;object=rsa1024?{query}"),
            "public-key-unusable",
            "1024",
        ),
        (
            format!("token=team%20token;object=k1?{query}"),
            "public-key-unusable",
            "1.3.132.0.10",
        ),
        (
            "token=team%20token;object=p256?module-path=softhsm.so".to_owned(),
            "key-token-module",
            "absolute",
        ),
        (
            "token=team%20token;object=p256".to_owned(),
            "key-token-module",
            "COSIGN_PKCS11_MODULE_PATH",
        ),
        (
            "token=team%20token;object=p256?module-path=/nowhere/libp11.so".to_owned(),
            "key-use-refused",
            "cannot be loaded",
        ),
    ] {
        let (name, text) = code(&format!("pkcs11:{uri}")).await;
        assert_eq!(name, expected, "{text}");
        assert!(text.contains(reason), "{text}");
    }
    // Only the certificate says the public half, and it is not to be looked at.
    let blind = Surroundings {
        environment: &|name| match name {
            "COSIGN_PKCS11_PIN" => Some(PIN.to_owned()),
            "COSIGN_PKCS11_IGNORE_CERTIFICATE" => Some("1".to_owned()),
            _ => None,
        },
        ..with(module, None)
    };
    let error = keys::open(&reference(module, "object=certified"), &blind)
        .await
        .unwrap_err();
    assert_eq!(error.code(), "key-answer");
}

async fn listed(module: &str) {
    let surroundings = with(module, Some(PIN));
    let tokens = keys::pkcs11::tokens(Some(module), &surroundings).await.unwrap();
    let token = tokens.iter().find(|token| token.label == "team token").unwrap();
    assert!(!token.serial.is_empty() && token.model.starts_with("SoftHSM"));
    let list = keys::pkcs11::token_keys(Some(module), token.slot, None, &surroundings)
        .await
        .unwrap();
    let one = list.iter().find(|key| key.label == "p384").unwrap();
    assert_eq!(one.id, [2]);
    // What is listed can be used as it is.
    let again: KeyReference = one.uri.to_string().parse().unwrap();
    let public = keys::public(&again, &surroundings).await.unwrap();
    assert_eq!(public.algorithm(), KeyAlgorithm::EcdsaP384);
}

/// A token with keys of every kind, and some that are not for signing images.
fn fill(module: &str) {
    let module = Pkcs11::new(module).unwrap();
    module
        .initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK))
        .unwrap();
    let (officer, user) = (AuthPin::new("officer".into()), AuthPin::new(PIN.into()));
    let slot = module.get_slots_with_token().unwrap()[0];
    module.init_token(slot, &officer, "team token").unwrap();
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&officer)).unwrap();
    session.init_pin(&user).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&user)).unwrap();
    let p256 = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let other = |last| [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, last];
    ec(&session, "p256", 1, &p256);
    ec(&session, "p384", 2, &other(0x22));
    ec(&session, "p521", 3, &other(0x23));
    ec(&session, "k1", 4, &other(0x0a));
    ec(&session, "twice", 5, &p256);
    ec(&session, "twice", 6, &p256);
    let (public, _) = ec(&session, "ec-alone", 7, &p256);
    session.destroy_object(public).unwrap();
    rsa(&session, "rsa1024", 8, 1024);
    rsa(&session, "rsa2048", 9, 2048);
    rsa(&session, "rsa3072", 10, 3072);
    let (public, _) = rsa(&session, "rsa-alone", 11, 2048);
    session.destroy_object(public).unwrap();
    let (public, _) = ec(&session, "certified", 12, &p256);
    certify(&session, public, 12);
    session.destroy_object(public).unwrap();
    // "edwards25519" as a PrintableString, the only name that SoftHSM 2.6 takes.
    let edwards = [&[0x13, 0x0c][..], b"edwards25519"].concat();
    pair(
        &session,
        &Mechanism::EccEdwardsKeyPairGen,
        "ed25519",
        13,
        Attribute::EcParams(edwards),
    );
}

fn ec(session: &Session, label: &str, id: u8, curve: &[u8]) -> (ObjectHandle, ObjectHandle) {
    pair(
        session,
        &Mechanism::EccKeyPairGen,
        label,
        id,
        Attribute::EcParams(curve.to_vec()),
    )
}

fn rsa(session: &Session, label: &str, id: u8, bits: u64) -> (ObjectHandle, ObjectHandle) {
    let bits = Attribute::ModulusBits(bits.into());
    pair(session, &Mechanism::RsaPkcsKeyPairGen, label, id, bits)
}

fn pair(session: &Session, how: &Mechanism<'_>, label: &str, id: u8, kind: Attribute) -> (ObjectHandle, ObjectHandle) {
    let named = [
        Attribute::Token(true),
        Attribute::Id(vec![id]),
        Attribute::Label(label.as_bytes().to_vec()),
    ];
    let public = [&named[..], &[kind, Attribute::Private(false)]].concat();
    let private = [&named[..], &[Attribute::Sign(true), Attribute::Sensitive(true)]].concat();
    session.generate_key_pair(how, &public, &private).unwrap()
}

/// A certificate on the key: what matters is whose key it is on, not who signed it.
#[expect(clippy::too_many_lines, reason = "one scenario, told from its beginning to its end")]
fn certify(session: &Session, public: ObjectHandle, id: u8) {
    use cryptoki::object::AttributeType;
    let read = session.get_attributes(public, &[AttributeType::EcPoint]).unwrap();
    let Some(Attribute::EcPoint(point)) = read.into_iter().next() else {
        panic!("no point")
    };
    let tlv = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let mut out = vec![tag, 0x82];
        out.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        out.extend(content);
        out
    };
    // DER wants the shortest lengths; the parts are put together by hand where they are short.
    let short = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        assert!(content.len() < 128);
        [&[tag, u8::try_from(content.len()).unwrap()], content.as_slice()].concat()
    };
    let algorithm = short(0x30, &[&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]]);
    let name = short(
        0x30,
        &[&short(
            0x31,
            &[&short(
                0x30,
                &[&[0x06, 0x03, 0x55, 0x04, 0x03], &short(0x0c, &[b"token"])],
            )],
        )],
    );
    let validity = short(
        0x30,
        &[&short(0x17, &[b"260101000000Z"]), &short(0x17, &[b"360101000000Z"])],
    );
    let ec = short(
        0x30,
        &[
            &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01],
            &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        ],
    );
    let spki = short(0x30, &[&ec, &short(0x03, &[&[0], &point[2..]])]);
    let body: [&[u8]; 7] = [
        &[0xa0, 0x03, 0x02, 0x01, 0x02],
        &[0x02, 0x01, 0x01],
        &algorithm,
        &name,
        &validity,
        &name,
        &spki,
    ];
    let length = body.concat().len();
    let tbs = if length < 256 {
        [&[0x30, 0x81, u8::try_from(length).unwrap()], body.concat().as_slice()].concat()
    } else {
        tlv(0x30, &body)
    };
    let whole = [tbs.as_slice(), &algorithm, &short(0x03, &[&[0, 1, 2, 3]])].concat();
    let certificate = if whole.len() < 256 {
        [&[0x30, 0x81, u8::try_from(whole.len()).unwrap()], whole.as_slice()].concat()
    } else {
        tlv(0x30, &[&whole])
    };
    session
        .create_object(&[
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Id(vec![id]),
            Attribute::Label(b"certified".to_vec()),
            Attribute::Subject(name),
            Attribute::Value(certificate),
        ])
        .unwrap();
}
