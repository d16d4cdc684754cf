use std::fs;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proofmark_merkle::{MemoryTree, NoteKey, verify_consistency};
use serde_json::json;

use super::*;

const NAME: &str = "log.test";

fn signer() -> NoteSigner {
    NoteSigner::from_seed(NAME, &[5; 32]).unwrap()
}

fn key() -> NoteKey {
    signer().key().clone()
}

/// Makes requests that differ.
struct Maker {
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
    made: u64,
}

impl Maker {
    fn new() -> Self {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use aws_lc_rs::signature::KeyPair as _;
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let spki = spki.as_ref().to_vec();
        Self { pair, spki, made: 0 }
    }

    fn next(&mut self) -> Vec<u8> {
        self.made += 1;
        let message = self.made.to_be_bytes();
        let signature = self.pair.sign(&SystemRandom::new(), &message).unwrap();
        let digest = proofmark_types::Digest::sha256_of(&message);
        let request = json!({"hashedRekordRequestV002": {
            "digest": STANDARD.encode(digest.as_bytes()),
            "signature": {
                "content": STANDARD.encode(signature.as_ref()),
                "verifier": {
                    "publicKey": {"rawBytes": STANDARD.encode(&self.spki)},
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                },
            },
        }});
        request.to_string().into_bytes()
    }
}

fn check(proven: &Proven) {
    let signed = SignedCheckpoint::parse(proven.checkpoint.as_bytes()).unwrap();
    let checkpoint = signed.verify_origin(&key(), NAME).unwrap();
    assert_eq!((checkpoint.size(), *checkpoint.root()), (proven.size, proven.root));
    let leaf = leaf_hash(&proven.body);
    verify_inclusion(&leaf, proven.index, proven.size, &proven.hashes, &proven.root).unwrap();
}

fn open(folder: &Path) -> Log {
    Log::open(folder, signer()).unwrap()
}

async fn filled(folder: &Path, entries: usize) -> Vec<Proven> {
    let (log, mut maker) = (open(folder), Maker::new());
    let mut proven = Vec::new();
    for _ in 0..entries {
        proven.push(log.submit(&maker.next()).await.unwrap());
    }
    log.close();
    proven
}

fn refusal(folder: &Path) -> OpenLogError {
    Log::open(folder, signer()).err().expect("the log must not open")
}

#[tokio::test]
async fn entries_are_proven_and_a_repeated_one_is_answered_with_its_first_place() {
    let folder = tempfile::tempdir().unwrap();
    let (log, mut maker) = (open(folder.path()), Maker::new());
    let request = maker.next();
    let first = log.submit(&request).await.unwrap();
    check(&first);
    assert_eq!((first.index, first.size), (0, 1));
    for index in 1..20 {
        let proven = log.submit(&maker.next()).await.unwrap();
        check(&proven);
        assert_eq!(proven.index, index);
    }
    let again = log.submit(&request).await.unwrap();
    check(&again);
    assert_eq!((again.index, again.size), (0, 20), "the old place, the new checkpoint");
    assert_eq!(log.read().size(), 20);
    log.close();
}

#[tokio::test]
async fn one_entry_sent_many_times_at_once_has_one_place() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    let request = Maker::new().next();
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (log, request) = (Arc::clone(&log), request.clone());
        sent.spawn(async move { log.submit(&request).await.unwrap() });
    }
    while let Some(proven) = sent.join_next().await {
        let proven = proven.unwrap();
        check(&proven);
        assert_eq!(proven.index, 0);
    }
    assert_eq!(log.read().size(), 1);
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let before = filled(folder.path(), 30).await;
    let log = open(folder.path());
    let last = before.last().unwrap();
    assert_eq!(*log.checkpoint(), *last.checkpoint);
    for proven in &before {
        assert_eq!(log.read().find(&leaf_hash(&proven.body)), Some(proven.index));
    }
    let after = log.submit(&Maker::new().next()).await.unwrap();
    let proof = proofmark_merkle::prove_consistency(last.size, after.size, &*log.read()).unwrap();
    verify_consistency(last.size, after.size, &proof, &last.root, &after.root).unwrap();
    log.close();
}

#[tokio::test]
async fn tiles_and_bundles_rebuild_the_tree() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(open(folder.path()));
    let mut maker = Maker::new();
    let mut sent = tokio::task::JoinSet::new();
    for _ in 0..600 {
        let (log, request) = (Arc::clone(&log), maker.next());
        sent.spawn(async move { log.submit(&request).await.unwrap() });
    }
    while let Some(proven) = sent.join_next().await {
        check(&proven.unwrap());
    }
    let read = |path: &str| log.tile(&TilePath::parse(path).unwrap()).unwrap();
    let mut tree = MemoryTree::new();
    for tile_name in ["000", "001", "002.p/88"] {
        let bundle = read(&format!("tile/entries/{tile_name}")).unwrap();
        let hashes = read(&format!("tile/0/{tile_name}")).unwrap();
        let hashes = tile::parse_hashes(&hashes).unwrap();
        for (entry, hash) in tile::parse_entries(&bundle).unwrap().iter().zip(&hashes) {
            assert_eq!(leaf_hash(entry), *hash);
            tree.append(*hash);
        }
    }
    assert_eq!((tree.size(), tree.root()), (600, log.read().root()));
    let upper = read("tile/1/000.p/2").unwrap();
    assert_eq!(tile::parse_hashes(&upper).unwrap()[1], tree.node(8, 1).unwrap());
    // A narrower tile is the beginning of the wider one; what the tree has not is not there.
    assert_eq!(
        read("tile/0/002.p/5").unwrap()[..],
        read("tile/0/002.p/88").unwrap()[..160]
    );
    assert_eq!(
        read("tile/entries/001.p/3").unwrap()[..],
        read("tile/entries/001").unwrap()[..read("tile/entries/001.p/3").unwrap().len()]
    );
    for missing in [
        "tile/0/002.p/89",
        "tile/0/002",
        "tile/entries/003.p/1",
        "tile/1/000.p/3",
        "tile/2/000.p/1",
    ] {
        assert!(read(missing).is_none(), "{missing}");
    }
}

#[tokio::test]
async fn a_batch_that_was_cut_short_at_any_byte_is_dropped_and_the_rest_kept() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("wal");
    filled(folder.path(), 3).await;
    let whole = fs::read(&wal).unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    fs::create_dir(folder.path()).unwrap();
    // The end of the second batch: where a log of the first two ends.
    let second = record_ends(&whole)[1];
    for length in second..whole.len() {
        fs::write(&wal, &whole[..length]).unwrap();
        let log = open(folder.path());
        assert_eq!(log.read().size(), 2, "cut at {length}");
        log.close();
        assert_eq!(fs::metadata(&wal).unwrap().len(), u64::try_from(second).unwrap());
        fs::remove_file(folder.path().join("high-water")).unwrap();
    }
}

/// Where each record ends, by the lengths in the headers.
fn record_ends(wal: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 40;
    while at < wal.len() {
        let length = u32::from_le_bytes(wal[at + 4..at + 8].try_into().unwrap());
        at += 28 + usize::try_from(length).unwrap();
        ends.push(at);
    }
    ends
}

#[tokio::test]
async fn a_flipped_bit_anywhere_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("wal");
    filled(folder.path(), 3).await;
    let whole = fs::read(&wal).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&wal, &damaged).unwrap();
        let code = refusal(folder.path()).code();
        let expected = if (8..40).contains(&at) {
            "log-other-key"
        } else {
            "log-corrupt"
        };
        assert_eq!(code, expected, "bit flipped at {at}");
        assert_eq!(fs::read(&wal).unwrap(), damaged, "nothing may be changed");
    }
    fs::write(&wal, &whole).unwrap();
    open(folder.path()).close();
}

#[tokio::test]
async fn records_that_were_dropped_or_swapped_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("wal");
    filled(folder.path(), 3).await;
    let whole = fs::read(&wal).unwrap();
    let ends = record_ends(&whole);
    let without_second = [&whole[..ends[0]], &whole[ends[1]..]].concat();
    let swapped = [&whole[..ends[0]], &whole[ends[1]..], &whole[ends[0]..ends[1]]].concat();
    for altered in [without_second, swapped] {
        fs::write(&wal, altered).unwrap();
        assert_eq!(refusal(folder.path()).code(), "log-corrupt");
    }
}

#[tokio::test]
async fn an_old_copy_of_the_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let wal = folder.path().join("wal");
    filled(folder.path(), 3).await;
    let whole = fs::read(&wal).unwrap();
    let ends = record_ends(&whole);
    fs::write(&wal, &whole[..ends[1]]).unwrap();
    assert!(matches!(
        refusal(folder.path()),
        OpenLogError::Rollback { size: 2, high_water: 3 }
    ));
    fs::remove_file(&wal).unwrap();
    assert!(matches!(
        refusal(folder.path()),
        OpenLogError::Rollback { size: 0, high_water: 3 }
    ));
    // Another history of the same length, signed with the same key.
    let other = tempfile::tempdir().unwrap();
    filled(other.path(), 4).await;
    fs::copy(other.path().join("wal"), &wal).unwrap();
    assert_eq!(refusal(folder.path()).code(), "log-rollback");
    let mark = fs::read(other.path().join("high-water")).unwrap();
    fs::write(folder.path().join("high-water"), &mark[..mark.len() - 9]).unwrap();
    assert_eq!(refusal(folder.path()).code(), "log-checkpoint");
}

#[tokio::test]
async fn the_log_of_another_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 1).await;
    let other = NoteSigner::from_seed(NAME, &[6; 32]).unwrap();
    assert_eq!(Log::open(folder.path(), other).err().unwrap().code(), "log-other-key");
}

#[tokio::test]
async fn after_a_failed_write_nothing_more_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), 2).await;
    let committed = Arc::new(RwLock::new(Committed::empty()));
    let replay = |record: wal::Replayed<'_>| {
        let mut committed = committed.write().unwrap();
        let mut staged = committed.stage();
        for entry in &record.entries {
            staged.append(leaf_hash(entry));
        }
        committed.commit(staged, record.place);
        committed.set_checkpoint(Arc::from(String::from_utf8_lossy(record.checkpoint)));
        Ok(())
    };
    let mut wal = Wal::open(&folder.path().join("wal"), &key().log_id(), replay).unwrap();
    wal.refuse_writes();
    let reader = wal.reader().unwrap();
    let (queue, receiver) = mpsc::channel(8);
    let high_water = folder.path().join("high-water");
    let sequencer = Sequencer {
        committed: Arc::clone(&committed),
        wal,
        signer: signer(),
        origin: NAME.to_owned(),
        high_water,
    };
    let thread = std::sync::Mutex::new(Some(thread::spawn(move || sequencer.run(receiver))));
    let log = Log {
        committed,
        queue,
        room: Semaphore::new(8),
        reader,
        log_id: key().log_id(),
        thread,
    };
    let mut maker = Maker::new();
    for _ in 0..3 {
        assert_eq!(log.submit(&maker.next()).await.unwrap_err(), SubmitError::Unavailable);
    }
    assert_eq!(log.read().size(), 2, "what was durable is still served");
    log.close();
    open(folder.path()).close();
}
