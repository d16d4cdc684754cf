//! The four kinds of metadata, read strictly where they decide and leniently where the specification leaves room for
//! more: unknown fields are signed like the others and otherwise ignored.

use std::collections::{BTreeMap, HashSet};

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use proofmark_evidence::json;
use proofmark_types::UnixTime;
use serde::Deserialize;
use serde_json::Value;

use super::canonical::canonical;
use super::error::TufError;
use super::key::{Key, Role, WireKey, WireRole, short};
use super::names::{self, TOP_LEVEL};

/// The most signatures of one file: the public instance has five keys a role, tests of key rotation ten.
const MAX_SIGNATURES: usize = 128;

/// Signed metadata before anything in it is believed.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    pub(super) signatures: Vec<Signature>,
    /// What the signatures cover.
    pub(super) message: Vec<u8>,
    signed: Value,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Signature {
    pub(super) keyid: String,
    pub(super) sig: String,
}

impl Envelope {
    pub(super) fn read(role: &str, bytes: &[u8], limit: u64) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Wire {
            signatures: Vec<Signature>,
            signed: Value,
        }
        let value = json::parse(bytes, limit).map_err(|source| TufError::Json {
            role: role.to_owned(),
            source,
        })?;
        let wire: Wire = fields(role, value)?;
        if wire.signatures.len() > MAX_SIGNATURES {
            let reason = format!(
                "{} signatures, at most {MAX_SIGNATURES} are read",
                wire.signatures.len()
            );
            return Err(malformed(role, reason));
        }
        // "The keyid MUST be unique in the signatures array" (4.2.1); RUSTSEC-2020-0024 counted one twice.
        let mut seen = HashSet::new();
        if let Some(twice) = wire.signatures.iter().find(|one| !seen.insert(one.keyid.as_str())) {
            return Err(TufError::DuplicateKey {
                role: role.to_owned(),
                keyid: short(&twice.keyid),
            });
        }
        let message = canonical(&wire.signed).map_err(|source| TufError::Canonical {
            role: role.to_owned(),
            source,
        })?;
        Ok(Self {
            signatures: wire.signatures,
            message,
            signed: wire.signed,
        })
    }
}

/// What every kind of metadata says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) expires: UnixTime,
}

impl Head {
    fn read(role: &str, kind: &'static str, signed: &Value) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(rename = "_type")]
            kind: String,
            spec_version: String,
            version: u64,
            expires: String,
        }
        let wire: Wire = fields(role, signed.clone())?;
        if wire.kind != kind {
            return Err(TufError::Type {
                expected: kind,
                seen: short(&wire.kind),
            });
        }
        if wire.spec_version.split('.').next() != Some("1") {
            let reason = format!("specification version \"{}\", expected 1.x", short(&wire.spec_version));
            return Err(malformed(role, reason));
        }
        if wire.version == 0 {
            return Err(malformed(role, "version 0, expected 1 or more".to_owned()));
        }
        let expires = UnixTime::parse(&wire.expires).map_err(|_| {
            malformed(
                role,
                format!("expires \"{}\", expected a date and time", short(&wire.expires)),
            )
        })?;
        Ok(Self {
            version: wire.version,
            expires,
        })
    }
}

/// Which keys sign for the four roles.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) head: Head,
    pub(super) consistent_snapshot: bool,
    keys: BTreeMap<String, Key>,
    roles: BTreeMap<String, Role>,
}

impl Root {
    pub(super) fn read(envelope: &Envelope) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Wire {
            keys: BTreeMap<String, WireKey>,
            roles: BTreeMap<String, WireRole>,
            #[serde(default)]
            consistent_snapshot: bool,
        }
        let head = Head::read("root", "root", &envelope.signed)?;
        let wire: Wire = fields("root", envelope.signed.clone())?;
        let mut roles = BTreeMap::new();
        for (name, role) in wire.roles {
            let role = Role::read(&name, role)?;
            roles.insert(name, role);
        }
        if let Some(missing) = TOP_LEVEL.iter().find(|name| !roles.contains_key(**name)) {
            return Err(malformed("root", format!("no keys for \"{missing}\"")));
        }
        Ok(Self {
            head,
            consistent_snapshot: wire.consistent_snapshot,
            keys: keys(&wire.keys),
            roles,
        })
    }

    /// Whether enough keys of a top-level role signed.
    pub(super) fn check(&self, role: &str, envelope: &Envelope) -> Result<(), TufError> {
        let keys = self
            .roles
            .get(role)
            .ok_or_else(|| malformed("root", format!("no keys for \"{role}\"")))?;
        keys.check(role, &self.keys, envelope)
    }
}

fn keys(wire: &BTreeMap<String, WireKey>) -> BTreeMap<String, Key> {
    wire.iter().map(|(id, key)| (id.clone(), Key::read(key))).collect()
}

/// What is announced of a metadata file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct MetaFile {
    pub(super) version: u64,
    #[serde(default)]
    pub(super) length: Option<u64>,
    #[serde(default)]
    hashes: Option<BTreeMap<String, String>>,
}

impl MetaFile {
    /// Length and hashes, where they are announced.
    pub(super) fn check(&self, file: &str, bytes: &[u8]) -> Result<(), TufError> {
        if let Some(expected) = self.length {
            check_length(file, expected, bytes)?;
        }
        match &self.hashes {
            Some(hashes) => check_hashes(file, hashes, bytes),
            None => Ok(()),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Timestamp {
    pub(super) head: Head,
    pub(super) snapshot: MetaFile,
}

impl Timestamp {
    pub(super) fn read(envelope: &Envelope) -> Result<Self, TufError> {
        let head = Head::read("timestamp", "timestamp", &envelope.signed)?;
        let mut meta = meta("timestamp", &envelope.signed)?;
        match (meta.remove("snapshot.json"), meta.is_empty()) {
            (Some(snapshot), true) => Ok(Self { head, snapshot }),
            _ => Err(malformed(
                "timestamp",
                "expected exactly snapshot.json in meta".to_owned(),
            )),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) head: Head,
    pub(super) meta: BTreeMap<String, MetaFile>,
}

impl Snapshot {
    pub(super) fn read(envelope: &Envelope) -> Result<Self, TufError> {
        let head = Head::read("snapshot", "snapshot", &envelope.signed)?;
        let meta = meta("snapshot", &envelope.signed)?;
        if !meta.contains_key("targets.json") {
            return Err(malformed("snapshot", "no targets.json in meta".to_owned()));
        }
        Ok(Self { head, meta })
    }

    /// What it announces of a role of targets.
    pub(super) fn role(&self, name: &str) -> Result<&MetaFile, TufError> {
        self.meta
            .get(&format!("{name}.json"))
            .ok_or_else(|| TufError::NotInSnapshot { role: short(name) })
    }
}

fn meta(role: &str, signed: &Value) -> Result<BTreeMap<String, MetaFile>, TufError> {
    #[derive(Deserialize)]
    struct Wire {
        meta: BTreeMap<String, MetaFile>,
    }
    let wire: Wire = fields(role, signed.clone())?;
    match wire.meta.iter().find(|(_, file)| file.version == 0) {
        Some((name, _)) => Err(malformed(role, format!("version 0 of {}", short(name)))),
        None => Ok(wire.meta),
    }
}

/// What is announced of a target.
#[derive(Clone, Debug, Deserialize)]
pub struct TargetFile {
    pub(super) length: u64,
    pub(super) hashes: BTreeMap<String, String>,
    /// What the repository says of it beside: `{"sigstore": {"usage": …, "status": …}}` in this field.
    #[serde(default)]
    pub custom: Option<Value>,
}

impl TargetFile {
    /// How many bytes it has.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether these are its bytes.
    pub(super) fn check(&self, path: &str, bytes: &[u8]) -> Result<(), TufError> {
        check_length(path, self.length, bytes)?;
        check_hashes(path, &self.hashes, bytes)
    }

    /// The hash by which consistent snapshots name it.
    pub(super) fn name_hash(&self, path: &str) -> Result<&str, TufError> {
        ["sha256", "sha512"]
            .iter()
            .find_map(|name| self.hashes.get(*name))
            .map(String::as_str)
            .filter(|hash| hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(|| TufError::NoKnownHash { file: short(path) })
    }
}

#[derive(Debug)]
pub(super) struct Targets {
    pub(super) head: Head,
    pub(super) targets: BTreeMap<String, TargetFile>,
    delegations: Option<Delegations>,
}

#[derive(Debug)]
struct Delegations {
    keys: BTreeMap<String, Key>,
    roles: Delegated,
}

#[derive(Debug)]
enum Delegated {
    /// In the order in which they are asked.
    Listed(Vec<DelegatedRole>),
    Bins {
        role: Role,
        bits: u32,
        prefix: String,
    },
}

#[derive(Debug)]
struct DelegatedRole {
    name: String,
    role: Role,
    terminating: bool,
    scope: Scope,
}

#[derive(Debug)]
enum Scope {
    Patterns(Vec<String>),
    HashPrefixes(Vec<String>),
}

impl Targets {
    /// `role` is the name that was asked for: delegated roles have the type of the top-level one.
    pub(super) fn read(role: &str, envelope: &Envelope) -> Result<Self, TufError> {
        #[derive(Deserialize)]
        struct Wire {
            targets: BTreeMap<String, TargetFile>,
            #[serde(default)]
            delegations: Option<WireDelegations>,
        }
        let head = Head::read(role, "targets", &envelope.signed)?;
        let wire: Wire = fields(role, envelope.signed.clone())?;
        if let Some((path, _)) = wire.targets.iter().find(|(_, target)| target.hashes.is_empty()) {
            return Err(malformed(role, format!("no hash for \"{}\"", short(path))));
        }
        Ok(Self {
            head,
            targets: wire.targets,
            delegations: wire.delegations.map(|it| it.read(role)).transpose()?,
        })
    }

    /// The roles that may speak for a path, in order, and whether nobody is asked after one of them.
    pub(super) fn roles_for(&self, path: &str) -> Vec<(String, bool)> {
        let roles = match self.delegations.as_ref().map(|it| &it.roles) {
            None => return Vec::new(),
            Some(Delegated::Bins { bits, prefix, .. }) => return vec![(names::bin_name(prefix, *bits, path), true)],
            Some(Delegated::Listed(roles)) => roles,
        };
        let hash = names::path_hash(path);
        let covers = |role: &&DelegatedRole| match &role.scope {
            Scope::Patterns(patterns) => patterns.iter().any(|pattern| names::covers(pattern, path)),
            Scope::HashPrefixes(prefixes) => prefixes.iter().any(|prefix| hash.starts_with(prefix.as_str())),
        };
        roles
            .iter()
            .filter(covers)
            .map(|role| (role.name.clone(), role.terminating))
            .collect()
    }

    /// Whether enough keys that this delegator names for a role signed: the word of the one who delegates on this path
    /// counts, not of another who knows the same name.
    pub(super) fn check(&self, name: &str, envelope: &Envelope) -> Result<(), TufError> {
        let unknown = || malformed(name, "nobody delegates to this role".to_owned());
        let delegations = self.delegations.as_ref().ok_or_else(unknown)?;
        let role = match &delegations.roles {
            Delegated::Bins { role, .. } => role,
            Delegated::Listed(roles) => &roles.iter().find(|role| role.name == name).ok_or_else(unknown)?.role,
        };
        role.check(name, &delegations.keys, envelope)
    }
}

#[derive(Deserialize)]
struct WireDelegations {
    keys: BTreeMap<String, WireKey>,
    #[serde(default)]
    roles: Option<Vec<WireDelegated>>,
    #[serde(default)]
    succinct_roles: Option<WireBins>,
}

#[derive(Deserialize)]
struct WireDelegated {
    name: String,
    #[serde(flatten)]
    role: WireRole,
    terminating: bool,
    #[serde(default)]
    paths: Option<Vec<String>>,
    #[serde(default)]
    path_hash_prefixes: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct WireBins {
    #[serde(flatten)]
    role: WireRole,
    bit_length: u32,
    name_prefix: String,
}

impl WireDelegations {
    fn read(self, role: &str) -> Result<Delegations, TufError> {
        let roles = match (self.roles, self.succinct_roles) {
            (Some(roles), None) => {
                let mut names = HashSet::new();
                let mut read = Vec::with_capacity(roles.len());
                for delegated in roles {
                    if !names.insert(delegated.name.clone()) {
                        let reason = format!("delegates to \"{}\" twice", short(&delegated.name));
                        return Err(malformed(role, reason));
                    }
                    read.push(delegated.read(role)?);
                }
                Delegated::Listed(read)
            }
            (None, Some(bins)) if (1..=32).contains(&bins.bit_length) => Delegated::Bins {
                role: Role::read(&bins.name_prefix, bins.role)?,
                bits: bins.bit_length,
                prefix: bins.name_prefix,
            },
            (None, Some(bins)) => {
                return Err(malformed(
                    role,
                    format!("bit_length {}, expected 1 to 32", bins.bit_length),
                ));
            }
            _ => {
                let reason = "expected either roles or succinct_roles in delegations".to_owned();
                return Err(malformed(role, reason));
            }
        };
        Ok(Delegations {
            keys: keys(&self.keys),
            roles,
        })
    }
}

impl WireDelegated {
    fn read(self, delegator: &str) -> Result<DelegatedRole, TufError> {
        let name = short(&self.name);
        // A delegated "root" would be kept where the real one is.
        if self.name.is_empty() || TOP_LEVEL.contains(&self.name.as_str()) {
            return Err(malformed(delegator, format!("delegates to a role named \"{name}\"")));
        }
        let scope = match (self.paths, self.path_hash_prefixes) {
            (Some(patterns), None) => Scope::Patterns(patterns),
            (None, Some(prefixes)) => Scope::HashPrefixes(prefixes),
            _ => {
                let reason = format!("expected either paths or path_hash_prefixes for \"{name}\"");
                return Err(malformed(delegator, reason));
            }
        };
        Ok(DelegatedRole {
            role: Role::read(&name, self.role)?,
            name: self.name,
            terminating: self.terminating,
            scope,
        })
    }
}

fn check_length(file: &str, expected: u64, bytes: &[u8]) -> Result<(), TufError> {
    let seen = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if seen == expected {
        return Ok(());
    }
    Err(TufError::Length {
        file: short(file),
        expected,
        seen,
    })
}

/// Every hash that is known here must fit, and one must be known.
fn check_hashes(file: &str, hashes: &BTreeMap<String, String>, bytes: &[u8]) -> Result<(), TufError> {
    let mut known = false;
    for (name, algorithm) in [("sha256", &SHA256), ("sha512", &SHA512)] {
        let Some(expected) = hashes.get(name) else { continue };
        known = true;
        if hex::encode(digest(algorithm, bytes)) != expected.to_ascii_lowercase() {
            return Err(TufError::Hash {
                file: short(file),
                algorithm: if name == "sha256" { "SHA-256" } else { "SHA-512" },
            });
        }
    }
    if known {
        Ok(())
    } else {
        Err(TufError::NoKnownHash { file: short(file) })
    }
}

fn fields<T: serde::de::DeserializeOwned>(role: &str, value: Value) -> Result<T, TufError> {
    serde_json::from_value(value).map_err(|error| malformed(role, short(&error.to_string())))
}

fn malformed(role: &str, reason: String) -> TufError {
    TufError::Malformed {
        role: short(role),
        reason,
    }
}
