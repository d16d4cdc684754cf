//! Doors to parsers that have no public name, for fuzzing alone: nothing is learnt from them but that they return.

use proofmark_types::{Digest, UnixTime};

use crate::certificate::Leaf;
use crate::key::PublicKey;
use crate::log::body::{Body, Claim, Message, Signer};
use crate::trust_root::{LogKey, TrustRoot};

/// A certificate that claims to have signed: its facts, and its SCTs as if of a known log.
pub fn certificate(der: &[u8], log: &PublicKey) {
    if let Ok(leaf) = Leaf::parse(der) {
        let _ = leaf.facts("an authority");
        let known = LogKey::own(log.clone());
        let _ = crate::sct::verify(&leaf, log.spki_der(), &[&known]);
    }
}

/// A list of SCTs, and the certificate before they were put into it.
pub fn scts(list: &[u8], certificate: &[u8]) {
    crate::sct::read_for_fuzzing(list, certificate);
}

/// An RFC 3161 response, held against the authorities of a trust root.
pub fn timestamp(response: &[u8], stamped: &[u8], root: &TrustRoot, now: UnixTime) {
    let known: Vec<_> = root.timestamp_authorities().iter().collect();
    let _ = crate::timestamp::verify(response, stamped, &known, now);
}

/// The body of a log entry, held against a signature over bytes, over an envelope, and over a digest.
pub fn log_body(body: &[u8], key: &PublicKey) {
    let Ok(parsed) = Body::parse(body) else {
        return;
    };
    let digests = [Digest::sha256_of(b"an artifact")];
    for message in [Message::Bytes(b"an artifact".into()), Message::Digests(&digests)] {
        for payload in [None, Some(("application/vnd.in-toto+json", b"{}".as_slice()))] {
            let claim = Claim {
                signature: b"a signature",
                signer: Signer::Key(key),
                message: &message,
                payload,
                envelope: payload.map(|(_, payload)| payload),
            };
            let _ = parsed.check(&claim);
        }
    }
}
