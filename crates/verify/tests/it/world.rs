//! A whole Sigstore instance in memory, for what the fixtures do not have: Rekor v1, several logs, authorities with
//! their faults. Keys are new in each run, times are fixed.

pub(crate) mod der;
pub(crate) mod log;
pub(crate) mod stamp;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_evidence::bundle::{Bundle, Content, KeyMaterial, LogEntry, VerificationMaterial};
use proofmark_evidence::dsse::{Envelope, IN_TOTO_PAYLOAD_TYPE, Signature, pae};
use proofmark_evidence::statement::Statement;
use proofmark_evidence::{EvidenceSet, Item, ItemContent, Origin};
use proofmark_types::{Digest, UnixTime};
use proofmark_verify::{Proofs, PublicKey, TrustRoot, Verifier};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

pub(crate) const IDENTITY: &str = "https://ci.alpha.test/payments/release@refs/heads/main";
pub(crate) const ISSUER: &str = "https://issuer.alpha.test";
pub(crate) const TSA: &str = "https://tsa.alpha.test/api/v1/timestamp";

/// When everything is signed, in seconds; the leaf lives from here for ten minutes.
pub(crate) const SIGNED: i64 = 1_767_225_600;
/// A day later.
pub(crate) const NOW: i64 = SIGNED + 86_400;

pub(crate) fn at(seconds: i64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

pub(crate) fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(crate) fn public(key: &KeyPair) -> PublicKey {
    PublicKey::from_spki_der(&key.subject_public_key_info()).unwrap()
}

fn offset(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

/// A certificate and its key.
pub(crate) struct Party {
    pub(crate) key: KeyPair,
    pub(crate) der: Vec<u8>,
    params: CertificateParams,
}

impl Party {
    pub(crate) fn root(name: &str) -> Self {
        let params = ca_params(name, SIGNED - 10 * YEAR, SIGNED + 10 * YEAR, &[]);
        let key = new_key();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { key, der, params }
    }

    pub(crate) fn issue(&self, params: CertificateParams) -> Self {
        let key = new_key();
        let der = self.certify(&params, &key);
        Self { key, der, params }
    }

    pub(crate) fn certify(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).unwrap().der().to_vec()
    }
}

pub(crate) const YEAR: i64 = 365 * 86_400;

/// An intermediate or root.
pub(crate) fn ca_params(name: &str, from: i64, to: i64, usages: &[ExtendedKeyUsagePurpose]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = offset(from);
    params.not_after = offset(to);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = usages.to_vec();
    params
}

/// A leaf as Fulcio makes it, without its SCT.
pub(crate) fn leaf_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from_slice(&[0x42; 16]));
    params.not_before = offset(SIGNED);
    params.not_after = offset(SIGNED + 600);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params.subject_alt_names = vec![SanType::URI(IDENTITY.try_into().unwrap())];
    params.custom_extensions = vec![fulcio(1, ISSUER.as_bytes().to_vec()), fulcio(8, der::utf8(ISSUER))];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(crate) fn fulcio(number: u64, content: Vec<u8>) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 57264, 1, number], content)
}

/// The instance.
pub(crate) struct World {
    pub(crate) root: Party,
    pub(crate) intermediate: Party,
    pub(crate) ct: KeyPair,
    pub(crate) rekor: KeyPair,
    pub(crate) tiles: log::Tiles,
    pub(crate) tsa_root: Party,
    pub(crate) tsa: Party,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = Party::root("alpha root");
        let code_signing = [ExtendedKeyUsagePurpose::CodeSigning];
        let intermediate = root.issue(ca_params(
            "alpha intermediate",
            SIGNED - YEAR,
            SIGNED + YEAR,
            &code_signing,
        ));
        let tsa_root = Party::root("alpha tsa root");
        let tsa = tsa_root.issue(stamp::tsa_params(true));
        Self {
            root,
            intermediate,
            ct: new_key(),
            rekor: new_key(),
            tiles: log::Tiles::new("tiles.alpha.test"),
            tsa_root,
            tsa,
        }
    }

    /// The trust root as JSON, to be changed by a test.
    pub(crate) fn root_json(&self) -> Value {
        let always = json!({"start": "2020-01-01T00:00:00Z"});
        let log = |url: &str, spki: &[u8], details: &str, id: &[u8]| {
            json!({
                "baseUrl": url, "hashAlgorithm": "SHA2_256",
                "publicKey": {"rawBytes": STANDARD.encode(spki), "keyDetails": details, "validFor": always},
                "logId": {"keyId": STANDARD.encode(id)},
            })
        };
        let authority = |uri: &str, chain: &[&[u8]]| {
            let chain: Vec<Value> = chain
                .iter()
                .map(|der| json!({"rawBytes": STANDARD.encode(der)}))
                .collect();
            json!({
                "subject": {"organization": "alpha", "commonName": "alpha"}, "uri": uri,
                "certChain": {"certificates": chain}, "validFor": always,
            })
        };
        let spki = |key: &KeyPair| key.subject_public_key_info();
        let id = |key: &KeyPair| public(key).fingerprint().as_bytes().to_vec();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [
                log("https://rekor.alpha.test", &spki(&self.rekor), "PKIX_ECDSA_P256_SHA_256", &id(&self.rekor)),
                log("https://tiles.alpha.test", &self.tiles.spki(), "PKIX_ED25519", &self.tiles.log_id()),
            ],
            "certificateAuthorities": [
                authority("https://ca.alpha.test", &[&self.intermediate.der, &self.root.der]),
            ],
            "ctlogs": [log("https://ct.alpha.test", &spki(&self.ct), "PKIX_ECDSA_P256_SHA_256", &id(&self.ct))],
            "timestampAuthorities": [authority(TSA, &[&self.tsa.der, &self.tsa_root.der])],
        })
    }

    pub(crate) fn trust_root(&self) -> Arc<TrustRoot> {
        parse_root(&self.root_json())
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new().with_trust_root(self.trust_root())
    }

    /// A leaf with an SCT of the certificate log.
    pub(crate) fn leaf(&self) -> Party {
        self.leaf_with(leaf_params(), |sct| sct)
    }

    /// A leaf whose SCT list was changed before it went into the certificate.
    pub(crate) fn leaf_with(&self, params: CertificateParams, change: impl Fn(Vec<u8>) -> Vec<u8>) -> Party {
        let key = new_key();
        let bare = self.intermediate.certify(&params, &key);
        let list = change(der::sct_list(&[self.sct(&bare, SIGNED, &self.ct)]));
        self.leaf_with_list(params, key, &list)
    }

    pub(crate) fn leaf_with_list(&self, mut params: CertificateParams, key: KeyPair, list: &[u8]) -> Party {
        let oid = [1, 3, 6, 1, 4, 1, 11129, 2, 4, 2];
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&oid, der::tlv(0x04, list)));
        let der = self.intermediate.certify(&params, &key);
        Party { key, der, params }
    }

    /// One SCT over a certificate that has none yet.
    pub(crate) fn sct(&self, bare: &[u8], seconds: i64, log: &KeyPair) -> Vec<u8> {
        der::sct(bare, &self.intermediate.key.subject_public_key_info(), seconds, log)
    }

    /// A keyless bundle over a statement: Rekor v2 entry and timestamp.
    pub(crate) fn keyless(&mut self, statement: &Statement) -> Bundle {
        let leaf = self.leaf();
        self.keyless_by(&leaf, statement)
    }

    pub(crate) fn keyless_by(&mut self, leaf: &Party, statement: &Statement) -> Bundle {
        let (envelope, message) = envelope(statement, &leaf.key);
        let signature = envelope.signatures[0].sig.clone();
        let entry = self
            .tiles
            .hashed_entry(&message, &signature, &log::Verifier::Certificate(&leaf.der));
        let stamp = stamp::Stamp::over(&signature, &self.tsa).response();
        bundle(
            KeyMaterial::Certificate(leaf.der.clone()),
            envelope,
            vec![entry],
            vec![stamp],
        )
    }
}

pub(crate) fn parse_root(json: &Value) -> Arc<TrustRoot> {
    Arc::new(TrustRoot::parse(&serde_json::to_vec(json).unwrap()).unwrap())
}

pub(crate) fn bundle(
    key: KeyMaterial,
    envelope: Envelope,
    tlog_entries: Vec<LogEntry>,
    timestamps: Vec<Vec<u8>>,
) -> Bundle {
    Bundle {
        material: VerificationMaterial {
            key,
            tlog_entries,
            timestamps,
        },
        content: Content::Dsse(envelope),
    }
}

/// An envelope and the bytes that are signed.
pub(crate) fn envelope(statement: &Statement, key: &KeyPair) -> (Envelope, Vec<u8>) {
    envelope_of(IN_TOTO_PAYLOAD_TYPE, &statement.to_json(), key)
}

pub(crate) fn envelope_of(payload_type: &str, payload: &[u8], key: &KeyPair) -> (Envelope, Vec<u8>) {
    let message = pae(payload_type, payload);
    let envelope = Envelope {
        payload_type: payload_type.to_owned(),
        payload: payload.to_vec(),
        signatures: vec![Signature {
            keyid: String::new(),
            sig: key.sign(&message).unwrap(),
        }],
    };
    (envelope, message)
}

pub(crate) fn subject() -> Digest {
    Digest::sha256_of(b"an image manifest")
}

pub(crate) fn statement() -> Statement {
    Statement::signature(&subject(), [("env".to_owned(), "prod".to_owned())].into())
}

/// Verifies one piece of evidence about [`subject`].
pub(crate) fn verify(verifier: &Verifier, content: ItemContent) -> Proofs {
    let mut set = EvidenceSet::new(subject());
    set.items.push(Item {
        origin: Origin::Local,
        content,
    });
    verifier.verify(&set, at(NOW))
}

/// The code of the rejection, or `accepted`.
pub(crate) fn code(proofs: &Proofs) -> &'static str {
    assert_eq!(proofs.proofs().len() + proofs.rejections().len(), 1);
    proofs
        .rejections()
        .first()
        .map_or("accepted", |rejection| rejection.reason.code())
}
