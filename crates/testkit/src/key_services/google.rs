//! Google Cloud KMS with the token services of Google's identities, and the metadata server.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use crc32c::crc32c;
use serde_json::{Value, json};

use super::Fault;
use super::keys::{Key, KeyKind};
use super::server::{Asked, Reply, Running, Service, seconds, whole_fault};

const TOKEN: &str = "ya29.google-access-token";
const FEDERATED_TOKEN: &str = "ya29.d.federated-token";
const SCOPE: &str = "https://www.googleapis.com/auth/cloudkms";
const EMAIL: &str = "signer@acme-prod.iam.gserviceaccount.com";
const AUDIENCE: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci/providers/ci";
const SUBJECT: &str = "eyJhbGciOiJSUzI1NiJ9.subject.token";

/// The service, the token endpoints and the metadata server under one address.
pub struct GoogleKms {
    running: Running<Google>,
}

struct Google {
    address: String,
    /// Versions by key; a version that is not enabled is kept in its place.
    keys: BTreeMap<String, Vec<(Key, bool)>>,
    rings: Vec<String>,
    service_account: Vec<u8>,
    fault: Fault,
    bad_pem_checksum: bool,
    signed: usize,
}

impl GoogleKms {
    /// The access token that registries take.
    pub const REGISTRY_TOKEN: &'static str = "ya29.registry-token";
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self {
            running: Running::start(|address| Google {
                address: format!("http://{address}"),
                keys: BTreeMap::new(),
                rings: Vec::new(),
                service_account: Vec::new(),
                fault: Fault::None,
                bad_pem_checksum: false,
                signed: 0,
            }),
        }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.running.address)
    }

    /// Host and port, for `GCE_METADATA_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        self.running.address.to_string()
    }

    /// Makes a key, or a new version of it; a version that is not enabled cannot sign.
    pub fn add(&self, resource: &str, kind: KeyKind, enabled: bool) {
        let key = (Key::generate(kind), enabled);
        self.running
            .lock()
            .keys
            .entry(resource.to_owned())
            .or_default()
            .push(key);
    }

    /// Misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.running.lock().fault = fault;
    }

    /// Answers public keys with a wrong checksum from now on.
    pub fn corrupt_public_keys(&self) {
        self.running.lock().bad_pem_checksum = true;
    }

    /// How many requests to sign came.
    #[must_use]
    pub fn signed(&self) -> usize {
        self.running.lock().signed
    }

    /// The file of a service account with a new key, which the token endpoint knows from then on.
    #[must_use]
    pub fn service_account_file(&self) -> String {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).expect("a new key");
        let pkcs8: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
            aws_lc_rs::encoding::AsDer::as_der(&pair).expect("a private key");
        self.running.lock().service_account = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
        let body = STANDARD.encode(pkcs8.as_ref());
        json!({
            "type": "service_account",
            "project_id": "acme-prod",
            "private_key_id": "k1",
            "private_key": format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", wrapped(&body)),
            "client_email": EMAIL,
            "token_uri": format!("{}/token", self.address()),
        })
        .to_string()
    }

    /// The file of a person's login.
    #[must_use]
    pub fn user_file(&self) -> String {
        json!({
            "type": "authorized_user",
            "client_id": "c.apps.googleusercontent.com",
            "client_secret": "user-secret",
            "refresh_token": "1//refresh",
            "quota_project_id": "acme-billing",
            "token_uri": format!("{}/token", self.address()),
        })
        .to_string()
    }

    /// A file of workload identity federation, with the other side's token in a file or at this server, and with or
    /// without impersonation of a service account.
    #[must_use]
    pub fn federation_file(&self, subject_file: Option<&str>, impersonate: bool) -> String {
        let source = match subject_file {
            Some(path) => json!({ "file": path }),
            None => json!({
                "url": format!("{}/subject?audience=x", self.address()),
                "headers": { "Authorization": "Bearer ci-secret" },
                "format": { "type": "json", "subject_token_field_name": "value" },
            }),
        };
        let mut file = json!({
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/sts", self.address()),
            "credential_source": source,
        });
        if impersonate {
            let url = format!(
                "{}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken",
                self.address()
            );
            file["service_account_impersonation_url"] = json!(url);
        }
        file.to_string()
    }

    /// The token that federation takes in exchange.
    #[must_use]
    pub fn subject_token(&self) -> &'static str {
        SUBJECT
    }
}

impl Service for Google {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let path = asked.path().to_owned();
        match (asked.method.as_str(), path.as_str()) {
            ("POST", "/token") => self.token(asked),
            ("POST", "/sts") => exchange(asked),
            ("GET", "/subject") => subject(asked),
            ("GET", "/computeMetadata/v1/instance/service-accounts/default/token") => metadata(asked),
            ("POST", path) if path.ends_with(":generateAccessToken") => impersonate(asked),
            (_, path) => match path.strip_prefix("/v1/") {
                Some(resource) => self.key_request(asked, resource),
                None => error(404, "NOT_FOUND", "no such method"),
            },
        }
    }
}

impl Google {
    fn token(&self, asked: &Asked) -> Reply {
        let token = match asked.field("grant_type").as_str() {
            "refresh_token" => {
                let right = asked.field("client_id") == "c.apps.googleusercontent.com"
                    && asked.field("client_secret") == "user-secret"
                    && asked.field("refresh_token") == "1//refresh";
                right.then_some(TOKEN)
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => self.asserted(&asked.field("assertion")),
            _ => None,
        };
        token.map_or_else(denied, granted)
    }

    /// The JWT is signed with the account's key, for us, now, and for KMS or registries alone.
    fn asserted(&self, token: &str) -> Option<&'static str> {
        let (text, signature) = token.rsplit_once('.')?;
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.service_account);
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        key.verify(text.as_bytes(), &signature).ok()?;
        let read = |part: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap_or_default()).unwrap_or_default()
        };
        let (header, claims) = text.split_once('.')?;
        let (header, claims) = (read(header), read(claims));
        let (issued, ends) = (claims["iat"].as_u64().unwrap_or(0), claims["exp"].as_u64().unwrap_or(0));
        let right = header["alg"] == "RS256"
            && header["kid"] == "k1"
            && claims["iss"] == EMAIL
            && claims["aud"] == format!("{}/token", self.address)
            && issued.abs_diff(seconds()) < 60
            && ends - issued <= 3600;
        claims["scope"].as_str().and_then(token_for).filter(|_| right)
    }

    fn key_request(&mut self, asked: &Asked, resource: &str) -> Reply {
        if asked.header("authorization") != format!("Bearer {TOKEN}") {
            return error(
                401,
                "UNAUTHENTICATED",
                "Request had invalid authentication credentials.",
            );
        }
        if let Some(name) = resource.strip_suffix(":asymmetricSign") {
            return self.sign(name, &asked.json());
        }
        if let Some(name) = resource.strip_suffix("/publicKey") {
            return self.public_key(name);
        }
        if let Some(key) = resource.strip_suffix("/cryptoKeyVersions") {
            return self.list(key, &asked.field("filter"), &asked.field("pageToken"));
        }
        match asked.method.as_str() {
            "POST" => self.create(resource, asked),
            _ => error(404, "NOT_FOUND", "no such method"),
        }
    }

    fn find(&self, name: &str) -> Result<(&Key, &'static str), Reply> {
        let missing = || error(404, "NOT_FOUND", &format!("CryptoKeyVersion {name} not found."));
        let (key, number) = name.split_once("/cryptoKeyVersions/").ok_or_else(missing)?;
        let number: usize = number.parse().map_err(|_| missing())?;
        let version = number.checked_sub(1).and_then(|index| self.keys.get(key)?.get(index));
        let (key, enabled) = version.ok_or_else(missing)?;
        if *enabled {
            Ok((key, algorithm(key.kind)))
        } else {
            let text = format!("{name} is not enabled, current state is: DISABLED.");
            Err(error(400, "FAILED_PRECONDITION", &text))
        }
    }

    /// Two on a page, sorted as texts, as the real one sorts names.
    fn list(&self, key: &str, filter: &str, token: &str) -> Reply {
        let Some(versions) = self.keys.get(key) else {
            return error(404, "NOT_FOUND", &format!("CryptoKey {key} not found."));
        };
        let mut all: Vec<(String, bool)> = (1..)
            .zip(versions)
            .map(|(number, (_, enabled))| (format!("{key}/cryptoKeyVersions/{number}"), *enabled))
            .filter(|(_, enabled)| *enabled || filter != "state=ENABLED")
            .collect();
        all.sort();
        let from = token.parse::<usize>().unwrap_or(0);
        let page: Vec<Value> = all
            .iter()
            .skip(from)
            .take(2)
            .map(|(name, enabled)| json!({ "name": name, "state": if *enabled { "ENABLED" } else { "DISABLED" } }))
            .collect();
        let mut body = json!({ "totalSize": all.len() });
        if !page.is_empty() {
            body["cryptoKeyVersions"] = json!(page);
        }
        if from + 2 < all.len() {
            body["nextPageToken"] = json!((from + 2).to_string());
        }
        Reply::json(200, &body)
    }

    fn public_key(&self, name: &str) -> Reply {
        let (key, algorithm) = match self.find(name) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let pem = key.pem();
        let checksum = crc32c(pem.as_bytes()) ^ u32::from(self.bad_pem_checksum);
        Reply::json(
            200,
            &json!({ "pem": pem, "algorithm": algorithm, "pemCrc32c": checksum.to_string(), "name": name, "protectionLevel": "HSM" }),
        )
    }

    fn sign(&mut self, name: &str, body: &Value) -> Reply {
        self.signed += 1;
        let forbidden = json!({ "error": { "code": 403, "status": "PERMISSION_DENIED", "message": "Permission 'cloudkms.cryptoKeyVersions.useToSign' denied" } });
        let later = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded" } });
        if let Some(reply) = whole_fault(&mut self.fault, &forbidden, (429, &later)) {
            return reply;
        }
        let (key, _) = match self.find(name) {
            Ok(found) => found,
            Err(reply) => return reply,
        };
        let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        let sent = |value: &Value, bytes: &[u8]| value.as_str().map(|text| text == crc32c(bytes).to_string());
        let (mut input, verified) = if key.kind == KeyKind::Ed25519 {
            let data = decode(&body["data"]);
            let verified = sent(&body["dataCrc32c"], &data);
            (data, verified)
        } else {
            let member = match key.digest_length() {
                48 => "sha384",
                64 => "sha512",
                _ => "sha256",
            };
            let digest = decode(&body["digest"][member]);
            if digest.len() != key.digest_length() {
                return error(400, "INVALID_ARGUMENT", &format!("expected a digest {member}"));
            }
            let verified = sent(&body["digestCrc32c"], &digest);
            (digest, verified)
        };
        if verified == Some(false) {
            return error(
                400,
                "INVALID_ARGUMENT",
                "The checksum in field digest_crc32c did not match the data",
            );
        }
        let other = (self.fault == Fault::OtherKey).then(|| Key::generate(key.kind));
        let signer = other.as_ref().unwrap_or(key);
        if self.fault == Fault::OtherDigest {
            input.reverse();
        }
        let signature = if key.kind == KeyKind::Ed25519 {
            signer.sign_message(&input)
        } else {
            signer.sign_digest(&input)
        };
        let checksum = crc32c(&signature) ^ u32::from(self.fault == Fault::Checksum);
        let name = if self.fault == Fault::OtherName {
            format!("{name}0")
        } else {
            name.to_owned()
        };
        let is_data = key.kind == KeyKind::Ed25519;
        let verified = verified == Some(true);
        Reply::json(
            200,
            &json!({
                "signature": STANDARD.encode(&signature),
                "signatureCrc32c": checksum.to_string(),
                "verifiedDigestCrc32c": verified && !is_data,
                "verifiedDataCrc32c": verified && is_data,
                "name": name,
            }),
        )
    }

    fn create(&mut self, parent: &str, asked: &Asked) -> Reply {
        let body = asked.json();
        if let Some(location) = parent.strip_suffix("/keyRings") {
            let ring = format!("{location}/keyRings/{}", asked.field("keyRingId"));
            if self.rings.contains(&ring) {
                return error(409, "ALREADY_EXISTS", &format!("KeyRing {ring} already exists."));
            }
            self.rings.push(ring.clone());
            return Reply::json(200, &json!({ "name": ring }));
        }
        let Some(ring) = parent
            .strip_suffix("/cryptoKeys")
            .filter(|ring| self.rings.iter().any(|seen| seen == ring))
        else {
            return error(404, "NOT_FOUND", "KeyRing not found.");
        };
        let name = format!("{ring}/cryptoKeys/{}", asked.field("cryptoKeyId"));
        if self.keys.contains_key(&name) {
            return error(409, "ALREADY_EXISTS", &format!("CryptoKey {name} already exists."));
        }
        let wanted = body["versionTemplate"]["algorithm"].as_str().unwrap_or_default();
        let kind = KINDS.iter().find(|kind| algorithm(**kind) == wanted);
        let (Some(kind), true) = (kind, body["purpose"] == "ASYMMETRIC_SIGN") else {
            return error(400, "INVALID_ARGUMENT", "unknown algorithm or purpose");
        };
        self.keys.insert(name.clone(), vec![(Key::generate(*kind), true)]);
        Reply::json(200, &json!({ "name": name }))
    }
}

const KINDS: [KeyKind; 6] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::Rsa2048,
    KeyKind::Rsa3072,
    KeyKind::Rsa4096,
    KeyKind::Ed25519,
];

fn algorithm(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::P256 => "EC_SIGN_P256_SHA256",
        KeyKind::P384 => "EC_SIGN_P384_SHA384",
        KeyKind::P521 => "EC_SIGN_P521_SHA512",
        KeyKind::Rsa2048 => "RSA_SIGN_PKCS1_2048_SHA256",
        KeyKind::Rsa3072 => "RSA_SIGN_PKCS1_3072_SHA256",
        KeyKind::Rsa4096 => "RSA_SIGN_PKCS1_4096_SHA256",
        KeyKind::RsaPss2048 => "RSA_SIGN_PSS_2048_SHA256",
        KeyKind::Ed25519 => "EC_SIGN_ED25519",
    }
}

fn exchange(asked: &Asked) -> Reply {
    let right = asked.field("grant_type") == "urn:ietf:params:oauth:grant-type:token-exchange"
        && asked.field("requested_token_type") == "urn:ietf:params:oauth:token-type:access_token"
        && asked.field("audience") == AUDIENCE
        && asked.field("subject_token_type") == "urn:ietf:params:oauth:token-type:jwt"
        && asked.field("subject_token") == SUBJECT;
    match asked.field("scope").as_str() {
        SCOPE if right => granted(TOKEN),
        "https://www.googleapis.com/auth/iam" if right => granted(FEDERATED_TOKEN),
        _ => denied(),
    }
}

fn subject(asked: &Asked) -> Reply {
    if asked.header("authorization") == "Bearer ci-secret" {
        Reply::json(200, &json!({ "value": SUBJECT }))
    } else {
        Reply::json(401, &json!({}))
    }
}

fn impersonate(asked: &Asked) -> Reply {
    let body = asked.json();
    let right = asked.header("authorization") == format!("Bearer {FEDERATED_TOKEN}")
        && body["scope"] == json!([SCOPE])
        && asked.path().contains(EMAIL);
    if right {
        Reply::json(
            200,
            &json!({ "accessToken": TOKEN, "expireTime": "2199-01-01T00:00:00Z" }),
        )
    } else {
        error(
            403,
            "PERMISSION_DENIED",
            "Permission 'iam.serviceAccounts.getAccessToken' denied",
        )
    }
}

fn metadata(asked: &Asked) -> Reply {
    if asked.header("metadata-flavor") != "Google" {
        return Reply::text(403, "Missing Metadata-Flavor:Google header.");
    }
    match token_for(&asked.field("scopes")) {
        Some(token) => granted(token).with("metadata-flavor", "Google"),
        None => error(400, "INVALID_ARGUMENT", "no such scope"),
    }
}

fn token_for(scope: &str) -> Option<&'static str> {
    match scope {
        SCOPE => Some(TOKEN),
        "https://www.googleapis.com/auth/cloud-platform" => Some(GoogleKms::REGISTRY_TOKEN),
        _ => None,
    }
}

fn granted(token: &str) -> Reply {
    Reply::json(
        200,
        &json!({ "access_token": token, "expires_in": 3599, "token_type": "Bearer" }),
    )
}

fn denied() -> Reply {
    Reply::json(
        400,
        &json!({ "error": "invalid_grant", "error_description": "Invalid JWT Signature." }),
    )
}

fn error(code: u16, status: &str, message: &str) -> Reply {
    Reply::json(
        code,
        &json!({ "error": { "code": code, "status": status, "message": message } }),
    )
}

fn wrapped(text: &str) -> String {
    text.as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect::<Vec<_>>()
        .join("\n")
}
