fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let dev = proofmark_trust_server::DevIssuer::open(std::path::Path::new(&dir)).unwrap();
    let now = proofmark_types::UnixTime::from_system(std::time::SystemTime::now());
    let t = if std::env::args().nth(2).as_deref() == Some("ci") {
        dev.mint_ci(&proofmark_trust_server::CiClaims{repository:"acme/app",workflow:".github/workflows/release.yml",reference:"refs/heads/main",sha:"0123456789012345678901234567890123456789",run_id:7}, now).unwrap()
    } else { dev.mint_email("alice@acme.test", now).unwrap() };
    print!("{t}");
}
