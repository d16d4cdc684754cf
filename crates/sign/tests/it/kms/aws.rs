//! AWS KMS.

use proofmark_testkit::key_services::{AwsKms, Fault, KeyKind};
use proofmark_verify::KeyAlgorithm;

use super::{World, faults, refused, signs};

const ALIAS: &str = "alias/team/release";

fn world(kms: &AwsKms) -> World {
    World::default()
        .with("AWS_REGION", "eu-central-1")
        .with("AWS_ACCESS_KEY_ID", AwsKms::USER.0)
        .with("AWS_SECRET_ACCESS_KEY", AwsKms::USER.1)
        .with("AWS_ENDPOINT_URL_STS", kms.address())
}

/// Without credentials; metadata is at this server.
fn bare(kms: &AwsKms) -> World {
    world(kms)
        .without("AWS_ACCESS_KEY_ID")
        .without("AWS_SECRET_ACCESS_KEY")
        .with("AWS_EC2_METADATA_DISABLED", "true")
}

#[tokio::test]
async fn every_kind_of_key_signs_however_it_is_named() {
    let kms = AwsKms::start();
    for (kind, algorithm) in [
        (KeyKind::P256, KeyAlgorithm::EcdsaP256),
        (KeyKind::P384, KeyAlgorithm::EcdsaP384),
        (KeyKind::P521, KeyAlgorithm::EcdsaP521),
        (KeyKind::Rsa2048, KeyAlgorithm::Rsa2048),
        (KeyKind::Rsa3072, KeyAlgorithm::Rsa3072),
        (KeyKind::Rsa4096, KeyAlgorithm::Rsa4096),
    ] {
        let alias = format!("alias/{kind:?}");
        let id = kms.add(&alias, kind);
        for key in [
            alias.clone(),
            id.clone(),
            kms.arn(&alias),
            kms.arn(&format!("key/{id}")),
        ] {
            let reference = format!("awskms://{}/{key}", kms.host());
            let key = world(&kms).open(&reference).await.unwrap();
            signs(&key, algorithm).await;
        }
    }
    // The address by the environment.
    for variable in ["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"] {
        let world = world(&kms).with(variable, kms.address());
        signs(
            &world.open("awskms:///alias/P256").await.unwrap(),
            KeyAlgorithm::EcdsaP256,
        )
        .await;
    }
    // Ed25519 is not in the formats by this service, and says so when it is opened.
    kms.add("alias/ed", KeyKind::Ed25519);
    let reference = format!("awskms://{}/alias/ed", kms.host());
    assert_eq!(refused(&world(&kms), &reference).await, "kms-key-kind");
}

/// One world for each place where AWS's tools look for credentials.
struct Places {
    kms: AwsKms,
    reference: String,
    _folder: tempfile::TempDir,
    session: World,
    web: World,
    profile: World,
    container: World,
    instance: World,
}

impl Places {
    fn new() -> Self {
        let kms = AwsKms::start();
        kms.add(ALIAS, KeyKind::P256);
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let bare = bare(&kms);
        let (id, secret, token) = AwsKms::SESSION;
        let web_token = file("web-token", &format!("{}\n", AwsKms::WEB_TOKEN));
        let (user, user_secret) = AwsKms::USER;
        let credentials = format!("[base]\naws_access_key_id = {user}\naws_secret_access_key = {user_secret}\n");
        let role = AwsKms::ROLE;
        let config = format!(
            "[default]\nregion = eu-central-1\nrole_arn = {role}\nsource_profile = base\n\
             [profile web]\nrole_arn = {role}\nweb_identity_token_file = {web_token}\n\
             [profile sso]\nsso_session = x\n\
             [profile box]\nrole_arn = {role}\ncredential_source = EcsContainer\n"
        );
        let agent = file("agent", AwsKms::CONTAINER_TOKEN);
        Self {
            reference: format!("awskms://{}/{ALIAS}", kms.host()),
            session: bare
                .with("AWS_ACCESS_KEY_ID", id)
                .with("AWS_SECRET_ACCESS_KEY", secret)
                .with("AWS_SESSION_TOKEN", token),
            web: bare
                .with("AWS_WEB_IDENTITY_TOKEN_FILE", &web_token)
                .with("AWS_ROLE_ARN", role),
            profile: bare
                .with("AWS_SHARED_CREDENTIALS_FILE", file("credentials", &credentials))
                .with("AWS_CONFIG_FILE", file("config", &config)),
            container: bare
                .with(
                    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                    format!("{}/container", kms.address()),
                )
                .with("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", agent),
            instance: bare
                .without("AWS_EC2_METADATA_DISABLED")
                .with("AWS_EC2_METADATA_SERVICE_ENDPOINT", kms.address()),
            kms,
            _folder: folder,
        }
    }
}

#[tokio::test]
async fn credentials_are_found_where_aws_keeps_them() {
    let places = Places::new();
    let profile = &places.profile;
    for (name, world) in [
        ("session", &places.session),
        ("web identity", &places.web),
        ("role of a profile", &profile.without("AWS_REGION")),
        ("keys of a profile", &profile.with("AWS_PROFILE", "base")),
        ("web identity of a profile", &profile.with("AWS_PROFILE", "web")),
        ("container", &places.container),
        ("instance", &places.instance),
    ] {
        let key = world
            .open(&places.reference)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        signs(&key, KeyAlgorithm::EcdsaP256).await;
    }
}

#[tokio::test]
async fn credentials_that_are_not_right_are_told_apart() {
    let places = Places::new();
    let Places {
        kms,
        session,
        web,
        profile,
        container,
        instance,
        ..
    } = &places;
    let full = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let relative = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    let other_role = "arn:aws:iam::111122223333:role/other";
    let metadata = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
    for (world, code) in [
        (bare(kms), "kms-credentials-missing"),
        (session.without("AWS_SECRET_ACCESS_KEY"), "kms-setting"),
        (session.without("AWS_SESSION_TOKEN"), "kms-refused"),
        (session.with("AWS_SECRET_ACCESS_KEY", "another"), "kms-refused"),
        (session.with("AWS_REGION", "us-east-1"), "kms-refused"),
        (session.without("AWS_REGION"), "kms-setting"),
        (session.with("AWS_REGION", "evil.example/"), "kms-setting"),
        (web.without("AWS_ROLE_ARN"), "kms-setting"),
        (web.with("AWS_ROLE_ARN", other_role), "kms-refused"),
        (web.with("AWS_WEB_IDENTITY_TOKEN_FILE", "/absent"), "kms-file"),
        (web.with("AWS_ENDPOINT_URL_STS", "http://sts.example"), "kms-setting"),
        (profile.with("AWS_PROFILE", "sso"), "kms-setting"),
        (profile.with("AWS_PROFILE", "box"), "kms-setting"),
        (profile.with("AWS_PROFILE", "absent"), "kms-setting"),
        (
            container.without("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
            "service-refused",
        ),
        (container.with(full, "http://10.0.0.1/"), "kms-setting"),
        (container.with(relative, "//10.0.0.1/x"), "kms-setting"),
        (
            instance.with(metadata, "http://127.0.0.1:9/"),
            "kms-credentials-missing",
        ),
    ] {
        assert_eq!(refused(&world, &places.reference).await, code, "{:?}", world.variables);
    }
    let absent = format!("awskms://{}/alias/absent", kms.host());
    assert_eq!(refused(session, &absent).await, "kms-key-not-found");
}

#[tokio::test]
async fn a_service_that_misbehaves_is_found_out() {
    let kms = AwsKms::start();
    kms.add(ALIAS, KeyKind::P521);
    let reference = format!("awskms://{}/{ALIAS}", kms.host());
    let key = world(&kms).open(&reference).await.unwrap();
    let hanging = world(&kms).impatient().open(&reference).await.unwrap();
    faults(&key, &hanging, |fault| kms.set_fault(fault)).await;
    // Throttling is a 400 of its own here.
    kms.set_fault(Fault::Later(1));
    let before = kms.asked().len();
    key.sign(b"message").await.unwrap();
    assert_eq!(kms.asked().len() - before, 2);
}

#[tokio::test]
async fn credentials_of_a_role_are_asked_for_once() {
    let kms = AwsKms::start();
    kms.add(ALIAS, KeyKind::P256);
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, AwsKms::WEB_TOKEN).unwrap();
    let world = bare(&kms)
        .with("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap())
        .with("AWS_ROLE_ARN", AwsKms::ROLE);
    let key = world.open(&format!("awskms://{}/{ALIAS}", kms.host())).await.unwrap();
    for _ in 0..3 {
        key.sign(b"message").await.unwrap();
    }
    let asked = kms.asked();
    assert_eq!(
        asked
            .iter()
            .filter(|action| *action == "AssumeRoleWithWebIdentity")
            .count(),
        1
    );
    assert_eq!(asked.iter().filter(|action| *action == "TrentService.Sign").count(), 3);
}

#[tokio::test]
async fn a_key_is_made_once_and_given_its_alias() {
    let kms = AwsKms::start();
    let world = world(&kms);
    for algorithm in [KeyAlgorithm::EcdsaP256, KeyAlgorithm::EcdsaP384, KeyAlgorithm::Rsa4096] {
        let name = algorithm.name().replace(' ', "-");
        let reference = format!("awskms://{}/alias/{name}", kms.host());
        let made = world.create(&reference, algorithm).await.unwrap();
        assert_eq!(world.create(&reference, algorithm).await.unwrap(), made);
        assert_eq!(world.open(&reference).await.unwrap().public_key(), &made);
    }
    assert_eq!(
        kms.asked()
            .iter()
            .filter(|action| *action == "TrentService.CreateKey")
            .count(),
        3
    );
    for (key, algorithm, code) in [
        ("alias/ECDSA-P-256", KeyAlgorithm::Rsa2048, "kms-key-kind"),
        ("alias/new", KeyAlgorithm::Ed25519, "kms-key-kind"),
        (
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            KeyAlgorithm::EcdsaP256,
            "key-reference",
        ),
    ] {
        let reference = format!("awskms://{}/{key}", kms.host());
        assert_eq!(world.create(&reference, algorithm).await.unwrap_err().code(), code);
    }
}
