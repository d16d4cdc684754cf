//! What does not work between two programs, and why.

use super::programs::Who;
use super::{Direction, Hand, Shape};

/// Why a pair is known not to work; `None` where it must.
pub(super) fn reason(shape: Shape, hand: Hand, who: Who, direction: Direction) -> Option<&'static str> {
    let long = matches!(hand, Hand::P384 | Hand::P521);
    let envelope = matches!(
        shape,
        Shape::ImageBundle | Shape::AttestationBundle | Shape::BlobAttestation
    );
    match (who, direction) {
        (Who::Cosign3, Direction::Ours) if long && (envelope || shape == Shape::BlobBundle) => Some(
            "P-384 goes with SHA-384 and P-521 with SHA-512. cosign 3.1.1 checks bundles by such keys with SHA-256, and rejects \
             its own as well (sigstore/cosign#5019).",
        ),
        (Who::Cosign2, Direction::Ours) if long && matches!(shape, Shape::BlobBundle | Shape::BlobAttestation) => {
            Some("cosign 2.5 checks bundles by P-384 and P-521 keys with SHA-256.")
        }
        (Who::Js, Direction::Ours) if long && envelope => {
            Some("sigstore-js checks envelopes with SHA-256, whatever the key.")
        }
        (Who::Js, Direction::Ours) if hand == Hand::Ed25519 && shape == Shape::BlobBundle => {
            Some("sigstore-js names a hash for files that Ed25519 signed, which Node.js refuses.")
        }
        _ => None,
    }
}
