use super::*;
use crate::leaf_hash;

/// A log that rekor-tiles wrote.
const CHECKPOINT: &[u8] = include_bytes!("../../../../fixtures/keyless/tiles-rekor/checkpoint");
const HASHES: &[u8] = include_bytes!("../../../../fixtures/keyless/tiles-rekor/tile/0/000.p/36");
const ENTRIES: &[u8] = include_bytes!("../../../../fixtures/keyless/tiles-rekor/tile/entries/000.p/36");

fn signer() -> NoteSigner {
    NoteSigner::from_seed("log.test", &[1; 32]).unwrap()
}

#[test]
fn the_tiles_of_a_real_log_give_the_root_of_its_checkpoint() {
    let signed = SignedCheckpoint::parse(CHECKPOINT).unwrap();
    let spki = STANDARD
        .decode("MCowBQYDK2VwAyEAnRy48MekxTcLuwVSjTv6S17u9Lwg4n7hc+dSQTFAl94=")
        .unwrap();
    let key = NoteKey::from_spki_der("rekor.alpha.test", &spki).unwrap();
    let checkpoint = signed.verify_origin(&key, "rekor.alpha.test").unwrap();
    assert_eq!(checkpoint.size(), 36);
    let entries = crate::tile::parse_entries(ENTRIES).unwrap();
    let hashes = crate::tile::parse_hashes(HASHES).unwrap();
    let mut tree = crate::MemoryTree::new();
    for (entry, hash) in entries.iter().zip(&hashes) {
        assert_eq!(leaf_hash(entry), *hash);
        tree.append(*hash);
    }
    assert_eq!(tree.size(), 36);
    assert_eq!(tree.root(), *checkpoint.root());
    assert!(matches!(
        signed.verify_origin(&key, "rekor.beta.test"),
        Err(CheckpointError::OriginMismatch { .. })
    ));
}

#[test]
fn a_checkpoint_reads_back_and_verifies() {
    let signer = signer();
    let checkpoint = Checkpoint::new("log.test", 7, leaf_hash(b"root")).unwrap();
    let text = checkpoint.clone().sign(&[&signer]).encode();
    let parsed = SignedCheckpoint::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.verify(signer.key()).unwrap(), &checkpoint);
    let grown = text.replacen("\n7\n", "\n8\n", 1);
    let altered = SignedCheckpoint::parse(grown.as_bytes()).unwrap();
    let reason = altered.verify(signer.key()).unwrap_err();
    assert_eq!(reason.code(), "note-bad-signature");
}

#[test]
fn extension_lines_are_kept() {
    let text = format!("o\n0\n{}\nTimestamp: 5\nother\n", STANDARD.encode(empty_root()));
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.extensions(), ["Timestamp: 5", "other"]);
    assert_eq!(checkpoint.text(), text);
}

#[test]
fn malformed_checkpoints_have_their_reason() {
    let root = STANDARD.encode(leaf_hash(b"root"));
    let code = |text: String| Checkpoint::parse(&text).unwrap_err().code();
    assert_eq!(code(String::new()), "checkpoint-origin");
    assert_eq!(code(format!("\n1\n{root}\n")), "checkpoint-origin");
    for size in ["", "-1", "+1", "01", "1 ", "0x1", "18446744073709551616"] {
        assert_eq!(code(format!("o\n{size}\n{root}\n")), "checkpoint-size");
    }
    assert_eq!(code("o\n1\n".to_owned()), "checkpoint-root");
    assert_eq!(code(format!("o\n1\n{}\n", &root[..40])), "checkpoint-root");
    assert_eq!(code(format!("o\n1\n{root}=\n")), "checkpoint-root");
    assert_eq!(code(format!("o\n0\n{root}\n")), "checkpoint-root");
    assert_eq!(code(format!("o\n1\n{root}\n\n")), "checkpoint-extensions");
    assert_eq!(
        code(format!("o\n1\n{root}\n{}", "x\n".repeat(17))),
        "checkpoint-extensions"
    );
    assert!(matches!(
        Checkpoint::new("a\nb", 0, empty_root()),
        Err(CheckpointError::Origin)
    ));
}
