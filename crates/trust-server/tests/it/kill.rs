//! The log killed with -9 under load, again and again: what was acknowledged is there and provable, and no two
//! checkpoints contradict each other.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proofmark_merkle::tile::{TILE_WIDTH, TileKind, TilePath, parse_entries};
use proofmark_merkle::{
    MemoryTree, NoteKey, SignedCheckpoint, leaf_hash, prove_consistency, subtree_root, verify_consistency,
};
use proofmark_trust_server::{Config, Server, init};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use crate::world::{Key, check_entry, log_key, options};

const CLIENTS: u64 = 16;
const FOLDER: &str = "PROOFMARK_TEST_TRUST_FOLDER";
const LISTEN: &str = "PROOFMARK_TEST_TRUST_LISTEN";

/// Not a test of its own: the process that is killed is this test binary, told to run this alone.
#[test]
fn server_process() {
    let (Ok(folder), Ok(listen)) = (env::var(FOLDER), env::var(LISTEN)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let _server = Server::start(Config::new(PathBuf::from(folder), listen.parse().unwrap()))
            .await
            .unwrap();
        std::future::pending::<()>().await;
    });
}

/// The server's process, which does not outlive a test that fails.
struct Process(Child);

impl Process {
    /// Kills it as `kill -9` does: it gets no chance to finish anything.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn(folder: &Path, listen: &str) -> Process {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "kill::server_process", "--nocapture"])
        .env(FOLDER, folder)
        .env(LISTEN, listen)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    Process(child)
}

/// What clients were told, and may hold against the log.
#[derive(Default)]
struct Told {
    entries: Vec<(u64, Vec<u8>)>,
    checkpoints: Vec<SignedCheckpoint>,
    sent: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_acknowledged_is_lost_and_the_log_never_forks() {
    let rounds: u32 = env::var("PROOFMARK_KILL_ROUNDS")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("trust");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    let origin = format!("http://{listen}");
    init(&directory, &options(&origin, Vec::new())).unwrap();
    let key = log_key(&directory);
    let told = Arc::new(Mutex::new(Told::default()));
    // Made once: it reads the system's certificates, which takes longer than a round.
    let http = reqwest::Client::new();
    for round in 0..rounds {
        let mut child = spawn(&directory, &listen);
        wait_until_ready(&origin, &mut child).await;
        check_consistency(&http, &origin, &key, &*told.lock().await).await;
        let before = told.lock().await.entries.len();
        let clients = load(&http, &origin, &key, &told);
        // From the first acknowledgement to a few hundred later, never the same.
        while told.lock().await.entries.len() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(Duration::from_millis(u64::from(round) * 37 % 240)).await;
        child.kill();
        clients.join_all().await;
    }
    let mut child = spawn(&directory, &listen);
    wait_until_ready(&origin, &mut child).await;
    let told = told.lock().await;
    let tree = check_consistency(&http, &origin, &key, &told).await;
    check_entries(&http, &origin, &tree, &told).await;
    eprintln!(
        "{rounds} kills: {} sent, {} acknowledged, {} in the log, {} checkpoints seen",
        told.sent,
        told.entries.len(),
        tree.size(),
        told.checkpoints.len()
    );
    child.kill();
}

async fn wait_until_ready(origin: &str, child: &mut Process) {
    let began = Instant::now();
    while tokio::net::TcpStream::connect(origin.trim_start_matches("http://"))
        .await
        .is_err()
    {
        if let Some(status) = child.0.try_wait().unwrap() {
            panic!("the server did not start: {status}");
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the server is not ready");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Clients that send until the server is gone, and note what it acknowledged.
fn load(http: &reqwest::Client, origin: &str, key: &NoteKey, told: &Arc<Mutex<Told>>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let url = format!("{origin}/api/v2/log/entries");
        let (http, key, told) = (http.clone(), key.clone(), Arc::clone(told));
        clients.spawn(async move {
            let signing = Key::new();
            loop {
                let number = {
                    let mut told = told.lock().await;
                    told.sent += 1;
                    told.sent
                };
                let body = signing.entry(&number.to_be_bytes()).to_string();
                let Ok(answer) = http.post(&url).body(body).send().await else {
                    return;
                };
                let status = answer.status().as_u16();
                let Ok(bytes) = answer.bytes().await else { return };
                assert_eq!(status, 201, "{}", String::from_utf8_lossy(&bytes));
                let (index, body, checkpoint) = check_entry(&serde_json::from_slice(&bytes).unwrap(), &key);
                let mut told = told.lock().await;
                told.entries.push((index, body));
                told.checkpoints.push(checkpoint);
            }
        });
    }
    clients
}

async fn get(http: &reqwest::Client, url: &str) -> Vec<u8> {
    let response = http.get(url).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200, "{url}");
    response.bytes().await.unwrap().to_vec()
}

/// Rebuilds the tree from the tiles and checks every checkpoint that was ever seen against the present one.
async fn check_consistency(http: &reqwest::Client, origin: &str, key: &NoteKey, told: &Told) -> MemoryTree {
    let signed = SignedCheckpoint::parse(&get(http, &format!("{origin}/api/v2/checkpoint")).await).unwrap();
    let present = signed.verify_origin(key, key.name()).unwrap();
    let mut tree = MemoryTree::new();
    for path in tile_paths(TileKind::Hashes { level: 0 }, present.size()) {
        let tile = get(http, &format!("{origin}/api/v2/{path}")).await;
        for hash in proofmark_merkle::tile::parse_hashes(&tile).unwrap() {
            tree.append(hash);
        }
    }
    assert_eq!((tree.size(), tree.root()), (present.size(), *present.root()));
    let mut sizes = std::collections::BTreeMap::new();
    for seen in &told.checkpoints {
        let seen = seen.verify_origin(key, key.name()).unwrap();
        let root = sizes.entry(seen.size()).or_insert_with(|| *seen.root());
        assert_eq!(root, seen.root(), "two checkpoints of size {}", seen.size());
    }
    for (size, root) in sizes {
        assert!(
            size <= tree.size(),
            "the log forgot: {size} entries were signed, {} are there",
            tree.size()
        );
        assert_eq!(subtree_root(0, size, &tree).unwrap(), root);
        let proof = prove_consistency(size, tree.size(), &tree).unwrap();
        verify_consistency(size, tree.size(), &proof, &root, &tree.root()).unwrap();
    }
    tree
}

/// Every acknowledged entry is served at its index, byte for byte.
async fn check_entries(http: &reqwest::Client, origin: &str, tree: &MemoryTree, told: &Told) {
    let mut logged = Vec::new();
    for path in tile_paths(TileKind::Entries, tree.size()) {
        let bundle = get(http, &format!("{origin}/api/v2/{path}")).await;
        logged.extend(parse_entries(&bundle).unwrap().into_iter().map(<[u8]>::to_vec));
    }
    for (index, body) in &told.entries {
        assert_eq!(&logged[usize::try_from(*index).unwrap()], body);
    }
    let mut again = MemoryTree::new();
    for entry in &logged {
        again.append(leaf_hash(entry));
    }
    assert_eq!(again.root(), tree.root());
}

fn tile_paths(kind: TileKind, size: u64) -> Vec<String> {
    let full = u16::try_from(TILE_WIDTH).unwrap();
    let mut paths: Vec<_> = (0..size / TILE_WIDTH)
        .map(|index| TilePath::new(kind, index, full))
        .collect();
    if !size.is_multiple_of(TILE_WIDTH) {
        paths.push(TilePath::new(
            kind,
            size / TILE_WIDTH,
            u16::try_from(size % TILE_WIDTH).unwrap(),
        ));
    }
    paths.into_iter().map(|path| path.unwrap().path()).collect()
}
