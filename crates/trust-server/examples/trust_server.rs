//! Serves a trust domain from a folder until standard input ends: what the tests run as a process of its own.
//!
//! `trust_server DIR [PORT]` makes the domain, with the INSECURE development issuer, where the folder has none, and
//! writes `listening on ADDRESS` to standard output.

#![allow(clippy::print_stdout, reason = "a program, not a library: its one line tells the address")]

use std::error::Error;
use std::io::Read;
use std::path::PathBuf;
use std::time::SystemTime;

use proofmark_trust_server::{Config, InitOptions, Server, init};
use proofmark_types::UnixTime;
use url::Url;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("expected a folder")?);
    let port = arguments.next().map(|port| port.to_string_lossy().parse()).transpose()?.unwrap_or(0_u16);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let address = listener.local_addr()?;
    if !directory.join("trust.yaml").exists() {
        let options = InitOptions {
            origin: Url::parse(&format!("http://{address}"))?,
            operator: "development".to_owned(),
            issuers: Vec::new(),
            dev_issuer: true,
            now: UnixTime::from_system(SystemTime::now()),
        };
        init(&directory, &options)?;
    }
    let server = Server::start_on(Config::new(&directory, address), listener).await?;
    println!("listening on {address}");
    // The process that started this one holds the other end; it may also kill this one outright.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    server.stop().await;
    Ok(())
}
