//! A PostgreSQL server of one's own, on a free port, its data in a temporary folder.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::POSTGRESQL;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub struct PostgreSql {
    server: Child,
    port: u16,
    programs: PathBuf,
    _data: tempfile::TempDir,
}

impl PostgreSql {
    /// Starts a server, or says `SKIPPED` and answers nothing; see [`super::Peer::or_skip`].
    ///
    /// # Panics
    ///
    /// If the program is there and does not start.
    #[must_use]
    #[expect(
        clippy::expect_used,
        reason = "a peer that is there and does not work fails the test"
    )]
    pub fn start_or_skip() -> Option<Self> {
        let program = POSTGRESQL.or_skip()?.canonicalize().expect("the program is there");
        let programs = program.parent().expect("a program lies in a folder").to_owned();
        let data = tempfile::tempdir().expect("a temporary folder");
        let folder = data.path().join("data");
        std::fs::create_dir(&folder).expect("a new folder");
        // PostgreSQL does not run as root.
        let root = rustix::process::geteuid().is_root();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(data.path(), open).expect("our own folder");
        if root {
            run(Command::new("chown").arg("postgres").arg(&folder));
        }
        let init = |program: &Path| as_user(root, program);
        run(init(&programs.join("initdb"))
            .args([
                "--auth=trust",
                "--username=proofmark",
                "--no-sync",
                "--encoding=UTF8",
                "--pgdata",
            ])
            .arg(&folder));
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let server = as_user(root, &program)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c"])
            .arg("unix_socket_directories=")
            .args(["-p", &port.to_string(), "-D"])
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let started = Self {
            server,
            port,
            programs,
            _data: data,
        };
        let begun = Instant::now();
        while !started.answers() {
            assert!(begun.elapsed() < PATIENCE, "PostgreSQL does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(started)
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> String {
        format!("postgres://proofmark@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    /// Has a statement carried out.
    ///
    /// # Panics
    ///
    /// If it is refused.
    pub fn sql(&self, statement: &str) {
        run(self.client().args(["-v", "ON_ERROR_STOP=1", "-c", statement]));
    }

    fn answers(&self) -> bool {
        let asked = self.client().args(["-c", "SELECT 1"]).status();
        asked.is_ok_and(|status| status.success())
    }

    fn client(&self) -> Command {
        let mut client = Command::new(self.programs.join("psql"));
        client
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "proofmark",
                "-qX",
                "postgres",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        client
    }
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        // Asked to end, it takes its other processes with it; a killed one would leave them behind.
        if let Some(process) = rustix::process::Pid::from_raw(i32::try_from(self.server.id()).unwrap_or(0)) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::INT);
        }
        let _ = self.server.wait();
    }
}

fn as_user(root: bool, program: &Path) -> Command {
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program)
        .current_dir("/");
    command
}

#[expect(
    clippy::expect_used,
    reason = "a peer that is there and does not work fails the test"
)]
fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().expect("the program runs");
    assert!(status.success(), "{command:?} failed");
}
