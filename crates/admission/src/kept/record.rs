//! One record: evidence as it came, and a seal.
//!
//! `PMKEPT1\n`, the seal (HMAC-SHA-256 over all that follows), the length of the head in four bytes, the head in JSON, and
//! the blobs in the order of the head. The seal is checked before anything is parsed.

use bytes::Bytes;
use proofmark_evidence::Origin;
use proofmark_oci::Descriptor;
use proofmark_registry::{Piece, PieceContent, Pieces};
use proofmark_types::{Digest, Repository, Tag, UnixTime};
use serde::{Deserialize, Serialize};

use super::{Kept, MAX_RECORD_BYTES, Place, Secret};

const MAGIC: &[u8] = b"PMKEPT1\n";
const SEAL: usize = 32;
const LENGTH: usize = 4;

/// Reads and writes records.
pub(crate) struct Record;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Head {
    repository: Repository,
    home: Repository,
    digest: Digest,
    fetched: UnixTime,
    pieces: Vec<PieceHead>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PieceHead {
    origin: OriginHead,
    content: ContentHead,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OriginHead {
    Referrer { manifest: Digest },
    SignatureTag { tag: Tag, layer: Digest },
    AttestationTag { tag: Tag, layer: Digest },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ContentHead {
    Layer { descriptor: Descriptor },
    Unreadable { code: String, reason: String },
}

/// Codes of evidence that cannot be had for certain; a record has no other.
const CODES: [&str; 6] = [
    "not-found",
    "digest-mismatch",
    "size-mismatch",
    "malformed",
    "redirect-refused",
    "too-large",
];

impl Record {
    /// The record of evidence that is whole; none if it is too large, or of a kind that is not kept.
    pub(crate) fn seal(place: &Place, pieces: &Pieces, fetched: UnixTime, secret: &Secret) -> Option<Vec<u8>> {
        if !pieces.incomplete.is_empty() || pieces.subject != place.digest {
            return None;
        }
        let mut blobs: Vec<&Bytes> = Vec::new();
        let mut heads = Vec::new();
        for piece in &pieces.pieces {
            let origin = match piece.origin.clone() {
                Origin::Referrer { manifest } => OriginHead::Referrer { manifest },
                Origin::SignatureTag { tag, layer } => OriginHead::SignatureTag { tag, layer },
                Origin::AttestationTag { tag, layer } => OriginHead::AttestationTag { tag, layer },
                _ => return None,
            };
            let content = match &piece.content {
                PieceContent::Layer { layer, blob } => {
                    blobs.push(blob);
                    ContentHead::Layer {
                        descriptor: layer.clone(),
                    }
                }
                PieceContent::Unreadable { code, reason } => ContentHead::Unreadable {
                    code: (*code).to_owned(),
                    reason: reason.clone(),
                },
            };
            heads.push(PieceHead { origin, content });
        }
        let head = Head {
            repository: place.repository.clone(),
            home: place.home.clone(),
            digest: place.digest.clone(),
            fetched,
            pieces: heads,
        };
        let head = serde_json::to_vec(&head).ok()?;
        let length = u32::try_from(head.len()).ok()?;
        let size = blobs.iter().map(|blob| blob.len()).sum::<usize>() + head.len() + MAGIC.len() + SEAL + LENGTH;
        if size > MAX_RECORD_BYTES {
            return None;
        }
        let mut sealed = Vec::with_capacity(size);
        sealed.extend_from_slice(&length.to_be_bytes());
        sealed.extend_from_slice(&head);
        for blob in blobs {
            sealed.extend_from_slice(blob);
        }
        let mut record = Vec::with_capacity(size);
        record.extend_from_slice(MAGIC);
        record.extend_from_slice(&secret.sign(&sealed));
        record.extend_from_slice(&sealed);
        Some(record)
    }

    /// What a record holds, if it is one that was sealed here for this place, or why not.
    ///
    /// 1. The seal, before anything is parsed.
    /// 2. The place: a record under another name says nothing about this digest.
    /// 3. Every blob hashes to what its descriptor says, and nothing is left over.
    pub(crate) fn open(bytes: &[u8], secret: &Secret, place: &Place) -> Result<Kept, &'static str> {
        // 1.
        let rest = bytes.strip_prefix(MAGIC).ok_or("not a record")?;
        let (seal, sealed) = rest.split_at_checked(SEAL).ok_or("cut short")?;
        if bytes.len() > MAX_RECORD_BYTES || !secret.is_mine(sealed, seal) {
            return Err("the seal is not right");
        }
        let (length, rest) = sealed.split_first_chunk::<LENGTH>().ok_or("cut short")?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| "cut short")?;
        let (head, mut blobs) = rest.split_at_checked(length).ok_or("cut short")?;
        let head: Head = serde_json::from_slice(head).map_err(|_| "of another version")?;
        // 2.
        if head.repository != place.repository || head.home != place.home || head.digest != place.digest {
            return Err("it is about another image");
        }
        // 3.
        let mut pieces = Pieces::new(head.digest);
        for piece in head.pieces {
            let content = match piece.content {
                ContentHead::Layer { descriptor } => {
                    let size = usize::try_from(descriptor.size).map_err(|_| "cut short")?;
                    let (blob, rest) = blobs.split_at_checked(size).ok_or("cut short")?;
                    blobs = rest;
                    if !descriptor.matches(blob) {
                        return Err("a blob is another");
                    }
                    PieceContent::Layer {
                        layer: descriptor,
                        blob: Bytes::copy_from_slice(blob),
                    }
                }
                ContentHead::Unreadable { code, reason } => PieceContent::Unreadable {
                    code: CODES.into_iter().find(|known| *known == code).unwrap_or("unreadable"),
                    reason,
                },
            };
            let origin = match piece.origin {
                OriginHead::Referrer { manifest } => Origin::Referrer { manifest },
                OriginHead::SignatureTag { tag, layer } => Origin::SignatureTag { tag, layer },
                OriginHead::AttestationTag { tag, layer } => Origin::AttestationTag { tag, layer },
            };
            pieces.pieces.push(Piece { origin, content });
        }
        if !blobs.is_empty() {
            return Err("something is left over");
        }
        Ok(Kept {
            fetched: head.fetched,
            pieces,
        })
    }
}
