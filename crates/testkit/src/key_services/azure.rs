//! Azure Key Vault with the authority that issues its tokens, and the machine's managed identity.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Fault;
use super::keys::{Key, KeyKind, element};
use super::server::{Asked, Reply, Running, Service, whole_fault};

const TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.entra-token.sig";
/// For another audience: registries.
const REGISTRY_TOKEN: &str = "eyJ0eXAiOiJKV1QifQ.entra-registry-token.sig";
const REGISTRIES: &str = "https://containerregistry.azure.net";

/// A vault, a registry's exchange of tokens and an authority under one address.
pub struct AzureVault {
    running: Running<Vault>,
}

struct Vault {
    host: String,
    keys: BTreeMap<String, Vec<Key>>,
    fault: Fault,
    /// Where the challenge of a 401 sends.
    challenge: String,
    asked: Vec<String>,
}

impl AzureVault {
    /// The tenant, the client and its secret.
    pub const TENANT: &'static str = "72f988bf-86f1-41af-91ab-2d7cd011db47";
    /// The application.
    pub const CLIENT: &'static str = "00001111-aaaa-2222-bbbb-3333cccc4444";
    /// Its password.
    pub const SECRET: &'static str = "Q8~azure.client.secret";
    /// The other issuer's token that the application trusts.
    pub const FEDERATED: &'static str = "eyJhbGciOiJSUzI1NiJ9.federated.token";
    /// The header of App Service.
    pub const IDENTITY_HEADER: &'static str = "identity-header-secret";

    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self {
            running: Running::start(|address| Vault {
                host: address.to_string(),
                keys: BTreeMap::new(),
                fault: Fault::None,
                challenge: String::new(),
                asked: Vec::new(),
            }),
        }
    }

    /// The password of the registry at this address: a token that ends in an hour.
    #[must_use]
    pub fn refresh_token() -> String {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        // The same for all who ask within the hour.
        let ends = (super::server::seconds() / 3600 + 2) * 3600;
        format!(
            "{}.{}.c2ln",
            part(json!({ "alg": "RS256" })),
            part(json!({ "exp": ends }))
        )
    }

    /// Host and port, for references.
    #[must_use]
    pub fn host(&self) -> String {
        self.running.address.to_string()
    }

    /// The address of the authority and of the managed identity.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}/", self.running.address)
    }

    /// Makes a key, or a new version of it.
    pub fn add(&self, name: &str, kind: KeyKind) {
        self.running
            .lock()
            .keys
            .entry(name.to_owned())
            .or_default()
            .push(Key::generate(kind));
    }

    /// Misbehaves from now on.
    pub fn set_fault(&self, fault: Fault) {
        self.running.lock().fault = fault;
    }

    /// Answers the next requests for keys with 401 and a challenge that names this authority.
    pub fn challenge(&self, authority: &str) {
        self.running.lock().challenge = authority.to_owned();
    }

    /// The paths that were asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.running.lock().asked.clone()
    }
}

impl Service for Vault {
    fn answer(&mut self, asked: &Asked) -> Reply {
        self.asked.push(format!("{} {}", asked.method, asked.path()));
        let path = asked.path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("POST", [tenant, "oauth2", "v2.0", "token"]) => token(tenant, asked),
            ("GET", ["metadata", "identity", "oauth2", "token"]) => managed(asked),
            ("GET", ["msi", "token"]) => app_service(asked),
            ("POST", ["oauth2", "exchange"]) => self.exchange(asked),
            _ => self.key_request(asked, &parts),
        }
    }
}

impl Vault {
    fn key_request(&mut self, asked: &Asked, parts: &[&str]) -> Reply {
        if asked.header("authorization") != format!("Bearer {TOKEN}") || !self.challenge.is_empty() {
            let text = format!(
                "Bearer authorization=\"{}/evil\", resource=\"https://vault.azure.net\"",
                self.challenge
            );
            return error(
                401,
                "Unauthorized",
                "AKV10000: Request is missing a Bearer or PoP token.",
            )
            .with("www-authenticate", text);
        }
        if asked.field("api-version") != "7.4" {
            return error(400, "BadParameter", "The api-version is not supported");
        }
        match (asked.method.as_str(), parts) {
            ("GET", ["keys", name]) => self.describe(name, None),
            ("GET", ["keys", name, version]) => self.describe(name, Some(version)),
            ("POST", ["keys", name, "create"]) => self.create(name, &asked.json()),
            ("POST", ["keys", name, version, "sign"]) => self.sign(name, version, &asked.json()),
            _ => error(404, "NotFound", "no such operation"),
        }
    }

    /// Azure Container Registry, "Azure Container Registry integration with Azure Active Directory".
    fn exchange(&self, asked: &Asked) -> Reply {
        let right = asked.field("grant_type") == "access_token"
            && asked.field("service") == self.host
            && asked.field("access_token") == REGISTRY_TOKEN;
        if !right {
            let errors = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "authentication required" }] });
            return Reply::json(401, &errors);
        }
        Reply::json(200, &json!({ "refresh_token": AzureVault::refresh_token() }))
    }

    fn find(&self, name: &str, version: Option<&str>) -> Option<(usize, &Key)> {
        let versions = self.keys.get(name)?;
        let mut all = versions.iter().enumerate();
        match version {
            Some(version) => all.find(|(index, _)| version_name(*index) == version),
            None => all.next_back(),
        }
    }

    fn kid(&self, name: &str, index: usize) -> String {
        format!("https://{}/keys/{name}/{}", self.host, version_name(index))
    }

    fn describe(&self, name: &str, version: Option<&str>) -> Reply {
        let Some((index, key)) = self.find(name, version) else {
            let text = format!("A key with (name/id) {name} was not found in this key vault.");
            return error(404, "KeyNotFound", &text);
        };
        let mut jwk = json!({ "kid": self.kid(name, index), "key_ops": ["sign", "verify"] });
        let encode = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
        if let Some((modulus, exponent)) = key.modulus() {
            jwk["kty"] = json!("RSA-HSM");
            jwk["n"] = encode(&modulus);
            jwk["e"] = encode(&exponent);
        } else {
            let point = key.raw();
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            jwk["kty"] = json!("EC");
            jwk["crv"] = json!(curve(key.kind));
            jwk["x"] = encode(x);
            jwk["y"] = encode(y);
        }
        Reply::json(
            200,
            &json!({ "key": jwk, "attributes": { "enabled": true, "created": 1_700_000_000, "recoveryLevel": "Recoverable" } }),
        )
    }

    fn create(&mut self, name: &str, body: &Value) -> Reply {
        let kinds = [
            (KeyKind::P256, json!("EC"), "crv", json!("P-256")),
            (KeyKind::P384, json!("EC"), "crv", json!("P-384")),
            (KeyKind::P521, json!("EC"), "crv", json!("P-521")),
            (KeyKind::Rsa2048, json!("RSA"), "key_size", json!(2048)),
            (KeyKind::Rsa3072, json!("RSA"), "key_size", json!(3072)),
            (KeyKind::Rsa4096, json!("RSA"), "key_size", json!(4096)),
        ];
        let wanted = kinds
            .into_iter()
            .find(|(_, kty, member, size)| body["kty"] == *kty && body[*member] == *size);
        let Some((kind, ..)) = wanted else {
            return error(400, "BadParameter", "Property has invalid value");
        };
        self.keys.entry(name.to_owned()).or_default().push(Key::generate(kind));
        self.describe(name, None)
    }

    fn sign(&mut self, name: &str, version: &str, body: &Value) -> Reply {
        let forbidden = json!({ "error": { "code": "Forbidden", "message": "Caller is not authorized to perform action on resource." } });
        let later = json!({ "error": { "code": "Throttled", "message": "Request was not processed because too many requests were received." } });
        if let Some(reply) = whole_fault(&mut self.fault, &forbidden, (429, &later)) {
            return reply;
        }
        let Some((index, key)) = self.find(name, Some(version)) else {
            return error(404, "KeyNotFound", "no such version");
        };
        let algorithm = match key.kind {
            KeyKind::P256 => "ES256",
            KeyKind::P384 => "ES384",
            KeyKind::P521 => "ES512",
            _ => "RS256",
        };
        let digest = URL_SAFE_NO_PAD
            .decode(body["value"].as_str().unwrap_or_default())
            .unwrap_or_default();
        if body["alg"] != json!(algorithm) || digest.len() != key.digest_length() {
            return error(400, "BadParameter", "Invalid length of 'value' for this algorithm");
        }
        let mut digest = digest;
        let other = (self.fault == Fault::OtherKey).then(|| Key::generate(key.kind));
        let signer = other.as_ref().unwrap_or(key);
        if self.fault == Fault::OtherDigest {
            digest.reverse();
        }
        let signature = signer.sign_digest(&digest);
        let value = match key.kind {
            KeyKind::P256 => side_by_side(&signature, 32),
            KeyKind::P384 => side_by_side(&signature, 48),
            KeyKind::P521 => side_by_side(&signature, 66),
            _ => signature,
        };
        let index = if self.fault == Fault::OtherName {
            index + 1
        } else {
            index
        };
        Reply::json(
            200,
            &json!({ "kid": self.kid(name, index), "value": URL_SAFE_NO_PAD.encode(value) }),
        )
    }
}

/// The two integers of a DER signature, without their sign bytes and at full width.
fn side_by_side(der: &[u8], width: usize) -> Vec<u8> {
    let (_, mut rest, _) = element(der);
    let mut both = Vec::new();
    for _ in 0..2 {
        let (_, integer, after) = element(rest);
        let number: Vec<u8> = integer.iter().copied().skip_while(|byte| *byte == 0).collect();
        both.extend(std::iter::repeat_n(0, width - number.len()));
        both.extend(number);
        rest = after;
    }
    both
}

fn token(tenant: &str, asked: &Asked) -> Reply {
    let secret = asked.field("client_secret") == AzureVault::SECRET;
    let federated = asked.field("client_assertion") == AzureVault::FEDERATED
        && asked.field("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let right = tenant == AzureVault::TENANT
        && asked.field("client_id") == AzureVault::CLIENT
        && asked.field("grant_type") == "client_credentials"
        && (secret || federated);
    let scope = asked.field("scope");
    if let Some(token) = scope.strip_suffix("/.default").and_then(token_for).filter(|_| right) {
        return Reply::json(
            200,
            &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": token }),
        );
    }
    Reply::json(
        401,
        &json!({ "error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided." }),
    )
}

fn token_for(audience: &str) -> Option<&'static str> {
    match audience {
        "https://vault.azure.net" => Some(TOKEN),
        REGISTRIES => Some(REGISTRY_TOKEN),
        _ => None,
    }
}

fn managed(asked: &Asked) -> Reply {
    if asked.header("metadata") != "true" || asked.field("api-version") != "2018-02-01" {
        return Reply::json(
            400,
            &json!({ "error": "invalid_request", "error_description": "Required metadata header not specified" }),
        );
    }
    let Some(token) = token_for(&asked.field("resource")) else {
        return Reply::json(400, &json!({ "error": "invalid_resource" }));
    };
    Reply::json(
        200,
        &json!({ "access_token": token, "expires_in": "86399", "token_type": "Bearer" }),
    )
}

fn app_service(asked: &Asked) -> Reply {
    if asked.header("x-identity-header") != AzureVault::IDENTITY_HEADER || asked.field("api-version") != "2019-08-01" {
        return Reply::json(401, &json!({ "error": "unauthorized" }));
    }
    let ends = (super::server::seconds() + 3600).to_string();
    Reply::json(
        200,
        &json!({ "access_token": TOKEN, "expires_on": ends, "token_type": "Bearer" }),
    )
}

fn version_name(index: usize) -> String {
    format!("{:032x}", 0xabc0 + index)
}

fn curve(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::P384 => "P-384",
        KeyKind::P521 => "P-521",
        _ => "P-256",
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({ "error": { "code": code, "message": message } }))
}
