//! AWS KMS and STS, the container agent and the instance's metadata.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Fault;
use super::keys::{Key, KeyKind};
use super::server::{Asked, Reply, Running, Service, whole_fault};

const ACCOUNT: &str = "111122223333";

/// KMS, STS and the metadata services under one address.
pub struct AwsKms {
    running: Running<Aws>,
}

struct Aws {
    host: String,
    region: String,
    keys: BTreeMap<String, Key>,
    aliases: BTreeMap<String, String>,
    fault: Fault,
    registry_seconds: u64,
    asked: Vec<String>,
}

impl AwsKms {
    /// A user's long-lived key.
    pub const USER: (&'static str, &'static str) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    /// A session's key and token, which STS, the container agent and the metadata hand out.
    pub const SESSION: (&'static str, &'static str, &'static str) = (
        "ASIAIOSFODNN7EXAMPLE",
        "sessionSecret+of/STS0000000000000000EXAM",
        "IQoJb3JpZ2luX2VjE//session+token==",
    );
    /// The password of all registries of the account.
    pub const REGISTRY_PASSWORD: &'static str = "ecr-password:with-a-colon";
    /// The role that may be taken on, and the other provider's token for it.
    pub const ROLE: &'static str = "arn:aws:iam::111122223333:role/signer";
    /// The token of the other provider.
    pub const WEB_TOKEN: &'static str = "eyJhbGciOiJSUzI1NiJ9.web.identity";
    /// The secret of the container agent.
    pub const CONTAINER_TOKEN: &'static str = "container-agent-secret";

    /// Starts it for the region `eu-central-1`.
    #[must_use]
    pub fn start() -> Self {
        Self {
            running: Running::start(|address| Aws {
                host: address.to_string(),
                region: "eu-central-1".to_owned(),
                keys: BTreeMap::new(),
                aliases: BTreeMap::new(),
                fault: Fault::None,
                registry_seconds: 12 * 3600,
                asked: Vec::new(),
            }),
        }
    }

    /// Host and port, for references.
    #[must_use]
    pub fn host(&self) -> String {
        self.running.address.to_string()
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Makes a key with an alias, and answers its id.
    pub fn add(&self, alias: &str, kind: KeyKind) -> String {
        self.running.lock().add(alias, Key::generate(kind))
    }

    /// The ARN of a key or an alias.
    #[must_use]
    pub fn arn(&self, what: &str) -> String {
        format!("arn:aws:kms:{}:{ACCOUNT}:{what}", self.running.lock().region)
    }

    /// Misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.running.lock().fault = fault;
    }

    /// Hands out passwords of registries that end after so many seconds.
    pub fn set_registry_seconds(&self, seconds: u64) {
        self.running.lock().registry_seconds = seconds;
    }

    /// What was asked for: actions of KMS and STS, and paths.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.running.lock().asked.clone()
    }
}

impl Service for Aws {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let path = asked.path().to_owned();
        match (asked.method.as_str(), path.as_str()) {
            ("POST", "/")
                if asked
                    .header("content-type")
                    .starts_with("application/x-www-form-urlencoded") =>
            {
                self.asked.push(asked.field("Action"));
                self.security_tokens(asked)
            }
            ("POST", "/") => {
                let target = asked.header("x-amz-target").to_owned();
                self.asked.push(target.clone());
                self.keys_request(asked, &target)
            }
            (method, path) => {
                self.asked.push(format!("{method} {path}"));
                metadata(asked, path)
            }
        }
    }
}

impl Aws {
    fn add(&mut self, alias: &str, key: Key) -> String {
        let id = format!("1234abcd-12ab-34cd-56ef-{:012x}", 0xabcd + self.keys.len());
        self.keys.insert(id.clone(), key);
        if !alias.is_empty() {
            self.aliases.insert(alias.to_owned(), id.clone());
        }
        id
    }

    fn security_tokens(&self, asked: &Asked) -> Reply {
        let right = match asked.field("Action").as_str() {
            // Who has a web identity has no key yet, so that this request is not signed.
            "AssumeRoleWithWebIdentity" => asked.field("WebIdentityToken") == AwsKms::WEB_TOKEN,
            "AssumeRole" => match self.check_signature(asked, "sts") {
                Ok(id) => id == AwsKms::USER.0,
                Err(_) => false,
            },
            _ => false,
        };
        let action = asked.field("Action");
        if !right || asked.field("RoleArn") != AwsKms::ROLE || asked.field("Version") != "2011-06-15" {
            return Reply::text(
                403,
                "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                 <Code>AccessDenied</Code><Message>Not authorized to perform this action</Message></Error></ErrorResponse>",
            );
        }
        let (id, secret, token) = AwsKms::SESSION;
        Reply::text(
            200,
            format!(
                "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <{action}Result>\n    \
                 <AssumedRoleUser><Arn>arn:aws:sts::{ACCOUNT}:assumed-role/signer/s</Arn></AssumedRoleUser>\n    \
                 <Credentials>\n      <AccessKeyId>{id}</AccessKeyId>\n      <SecretAccessKey>{secret}</SecretAccessKey>\n      \
                 <SessionToken>{token}</SessionToken>\n      <Expiration>2199-01-01T00:00:00Z</Expiration>\n    \
                 </Credentials>\n  </{action}Result>\n</{action}Response>"
            ),
        )
        .with("content-type", "text/xml")
    }

    /// Computes Signature Version 4 again, from the secret, and compares.
    fn check_signature(&self, asked: &Asked, service: &str) -> Result<String, String> {
        let header = asked.header("authorization");
        let part = |name: &str| {
            header
                .split([' ', ','])
                .find_map(|part| part.strip_prefix(name))
                .unwrap_or_default()
        };
        let (credential, names, signature) = (part("Credential="), part("SignedHeaders="), part("Signature="));
        let (id, scope) = credential.split_once('/').ok_or("IncompleteSignature")?;
        let secret = match id {
            id if id == AwsKms::USER.0 => AwsKms::USER.1,
            id if id == AwsKms::SESSION.0 && asked.header("x-amz-security-token") == AwsKms::SESSION.2 => {
                AwsKms::SESSION.1
            }
            _ => return Err("UnrecognizedClientException".to_owned()),
        };
        let stamp = asked.header("x-amz-date");
        let day = stamp.get(..8).unwrap_or_default();
        if scope != format!("{day}/{}/{service}/aws4_request", self.region) {
            return Err(format!("Credential should be scoped to {} and {service}", self.region));
        }
        if !is_recent(stamp) {
            return Err("Signature expired".to_owned());
        }
        // "You must include the host header and any x-amz-* headers."
        let signed: Vec<&str> = names.split(';').collect();
        let must = asked
            .headers
            .keys()
            .map(|name| name.as_str())
            .filter(|name| *name == "host" || *name == "content-type" || name.starts_with("x-amz-"));
        for name in must {
            if !signed.contains(&name) {
                return Err(format!("{name} is not signed"));
            }
        }
        let mut canonical = format!(
            "{}\n{}\n{}\n",
            asked.method,
            asked.path(),
            asked.uri.query().unwrap_or_default()
        );
        for name in &signed {
            let _ = writeln!(canonical, "{name}:{}", asked.header(name).trim());
        }
        let _ = write!(canonical, "\n{names}\n{}", hex(digest(&SHA256, &asked.body).as_ref()));
        let text = format!(
            "AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}",
            hex(digest(&SHA256, canonical.as_bytes()).as_ref())
        );
        let mac = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
                .as_ref()
                .to_vec()
        };
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part);
        }
        if hex(&mac(&key, &text)) == signature {
            Ok(id.to_owned())
        } else {
            Err("The request signature we calculated does not match the signature you provided".to_owned())
        }
    }

    fn keys_request(&mut self, asked: &Asked, target: &str) -> Reply {
        if asked.header("host") != self.host || asked.header("content-type") != "application/x-amz-json-1.1" {
            return failure(400, "SerializationException", "");
        }
        if let Some(action) = target.strip_prefix("AmazonEC2ContainerRegistry_V20150921.") {
            return match self.check_signature(asked, "ecr") {
                Ok(_) if action == "GetAuthorizationToken" && asked.json() == json!({}) => self.registry_token(),
                Ok(_) => failure(400, "InvalidParameterException", ""),
                Err(reason) => failure(400, "InvalidSignatureException", &reason),
            };
        }
        if let Err(reason) = self.check_signature(asked, "kms") {
            return failure(400, "InvalidSignatureException", &reason);
        }
        let body = asked.json();
        match target.strip_prefix("TrentService.") {
            Some("GetPublicKey") => self.public_key(&body),
            Some("Sign") => self.sign(&body),
            Some("CreateKey") => self.create(&body),
            Some("CreateAlias") => self.name(&body),
            _ => failure(400, "UnknownOperationException", ""),
        }
    }

    /// ECR API reference, `GetAuthorizationToken`.
    fn registry_token(&self) -> Reply {
        let token = STANDARD.encode(format!("AWS:{}", AwsKms::REGISTRY_PASSWORD));
        #[expect(clippy::cast_precision_loss, reason = "a time in seconds is far below 2^52")]
        let ends = (super::server::seconds() + self.registry_seconds) as f64 + 0.25;
        let proxy = format!("https://{ACCOUNT}.dkr.ecr.{}.amazonaws.com", self.region);
        Reply::json(
            200,
            &json!({ "authorizationData": [{ "authorizationToken": token, "expiresAt": ends, "proxyEndpoint": proxy }] }),
        )
    }

    fn find(&self, body: &Value) -> Result<(String, &Key), Reply> {
        let wanted = body["KeyId"].as_str().unwrap_or_default();
        let arn = format!("arn:aws:kms:{}:{ACCOUNT}:", self.region);
        let local = wanted.strip_prefix(&arn).unwrap_or(wanted);
        let id = local.strip_prefix("key/").unwrap_or(local);
        let id = self.aliases.get(local).map_or(id, String::as_str);
        self.keys
            .get(id)
            .map(|key| (format!("{arn}key/{id}"), key))
            .ok_or_else(|| {
                failure(
                    400,
                    "NotFoundException",
                    &format!("Alias or key {wanted} is not found."),
                )
            })
    }

    fn public_key(&self, body: &Value) -> Reply {
        match self.find(body) {
            Ok((arn, key)) => Reply::json(
                200,
                &json!({
                    "KeyId": arn, "PublicKey": STANDARD.encode(key.spki()), "KeySpec": spec(key.kind),
                    "CustomerMasterKeySpec": spec(key.kind), "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": algorithms(key.kind),
                }),
            ),
            Err(reply) => reply,
        }
    }

    fn sign(&mut self, body: &Value) -> Reply {
        let message = "User is not authorized to perform: kms:Sign on resource";
        let forbidden = json!({ "__type": "AccessDeniedException", "Message": message });
        let later = json!({ "__type": "ThrottlingException", "message": "You have exceeded the rate at which you may call KMS." });
        if let Some(reply) = whole_fault(&mut self.fault, &forbidden, (400, &later)) {
            return reply;
        }
        let (arn, key) = match self.find(body) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let digest = STANDARD
            .decode(body["Message"].as_str().unwrap_or_default())
            .unwrap_or_default();
        let algorithm = body["SigningAlgorithm"].as_str().unwrap_or_default();
        let first = if algorithm.starts_with("RSASSA") {
            "RSASSA_PKCS1_V1_5_SHA_256"
        } else {
            algorithm
        };
        if !algorithms(key.kind).contains(&algorithm) || algorithm != first {
            return failure(
                400,
                "InvalidKeyUsageException",
                "the key does not sign with this algorithm",
            );
        }
        if body["MessageType"] != "DIGEST" || digest.len() != key.digest_length() {
            return failure(400, "ValidationException", "Digest is invalid length for algorithm");
        }
        let mut digest = digest;
        let other = (self.fault == Fault::OtherKey).then(|| Key::generate(key.kind));
        let signer = other.as_ref().unwrap_or(key);
        if self.fault == Fault::OtherDigest {
            digest.reverse();
        }
        let arn = if self.fault == Fault::OtherName {
            format!("{arn}0")
        } else {
            arn
        };
        Reply::json(
            200,
            &json!({ "KeyId": arn, "Signature": STANDARD.encode(signer.sign_digest(&digest)), "SigningAlgorithm": algorithm }),
        )
    }

    fn create(&mut self, body: &Value) -> Reply {
        let kind = KINDS.into_iter().find(|kind| body["KeySpec"] == spec(*kind));
        let (Some(kind), true) = (kind, body["KeyUsage"] == "SIGN_VERIFY") else {
            return failure(400, "ValidationException", "unknown KeySpec or KeyUsage");
        };
        let id = self.add("", Key::generate(kind));
        Reply::json(
            200,
            &json!({ "KeyMetadata": { "KeyId": id, "KeySpec": spec(kind), "Enabled": true } }),
        )
    }

    fn name(&mut self, body: &Value) -> Reply {
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (alias, id) = (text("AliasName"), text("TargetKeyId"));
        if !alias.starts_with("alias/") || !self.keys.contains_key(&id) {
            return failure(400, "InvalidAliasNameException", "");
        }
        if self.aliases.contains_key(&alias) {
            return failure(400, "AlreadyExistsException", "An alias with that name exists");
        }
        self.aliases.insert(alias, id);
        Reply::text(200, "")
    }
}

const KINDS: [KeyKind; 6] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
    KeyKind::Rsa2048,
    KeyKind::Rsa3072,
    KeyKind::Rsa4096,
];

fn spec(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::P256 => "ECC_NIST_P256",
        KeyKind::P384 => "ECC_NIST_P384",
        KeyKind::P521 => "ECC_NIST_P521",
        KeyKind::Rsa2048 | KeyKind::RsaPss2048 => "RSA_2048",
        KeyKind::Rsa3072 => "RSA_3072",
        KeyKind::Rsa4096 => "RSA_4096",
        KeyKind::Ed25519 => "ECC_NIST_EDWARDS25519",
    }
}

fn algorithms(kind: KeyKind) -> &'static [&'static str] {
    match kind {
        KeyKind::P256 => &["ECDSA_SHA_256"],
        KeyKind::P384 => &["ECDSA_SHA_384"],
        KeyKind::P521 => &["ECDSA_SHA_512"],
        KeyKind::Ed25519 => &["ED25519_SHA_512"],
        _ => &[
            "RSASSA_PKCS1_V1_5_SHA_256",
            "RSASSA_PKCS1_V1_5_SHA_384",
            "RSASSA_PKCS1_V1_5_SHA_512",
            "RSASSA_PSS_SHA_256",
            "RSASSA_PSS_SHA_384",
            "RSASSA_PSS_SHA_512",
        ],
    }
}

/// The container agent at `/container`, and instance metadata version 2.
fn metadata(asked: &Asked, path: &str) -> Reply {
    const TOKEN: &str = "AQAEAInstanceMetadataToken==";
    let header = "x-aws-ec2-metadata-token";
    let (id, secret, token) = AwsKms::SESSION;
    let credentials = json!({
        "Code": "Success", "AccessKeyId": id, "SecretAccessKey": secret, "Token": token, "Expiration": "2199-01-01T00:00:00Z",
    });
    let list = "/latest/meta-data/iam/security-credentials/";
    match (asked.method.as_str(), path) {
        ("GET", "/container") if asked.header("authorization") == AwsKms::CONTAINER_TOKEN => {
            Reply::json(200, &credentials)
        }
        ("PUT", "/latest/api/token") if asked.header("x-aws-ec2-metadata-token-ttl-seconds") == "21600" => {
            Reply::text(200, TOKEN)
        }
        ("GET", path) if asked.header(header) == TOKEN && path == list => Reply::text(200, "signer-role"),
        ("GET", path) if asked.header(header) == TOKEN && path == format!("{list}signer-role") => {
            Reply::json(200, &credentials)
        }
        _ => Reply::text(401, "Unauthorized"),
    }
}

/// Within five minutes of now: `20150830T123600Z`.
fn is_recent(stamp: &str) -> bool {
    let iso = match stamp.as_bytes() {
        [y @ .., b'Z'] if y.len() == 15 => format!(
            "{}-{}-{}T{}:{}:{}Z",
            &stamp[..4],
            &stamp[4..6],
            &stamp[6..8],
            &stamp[9..11],
            &stamp[11..13],
            &stamp[13..15]
        ),
        _ => return false,
    };
    let now = i64::try_from(super::server::seconds()).unwrap_or_default();
    proofmark_types::UnixTime::parse(&iso).is_ok_and(|at| at.seconds().abs_diff(now) < 300)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn failure(status: u16, kind: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "__type": kind, "message": message }))
}
