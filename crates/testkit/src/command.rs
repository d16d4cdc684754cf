//! Programs run in a clean environment: their own empty home, nothing of the machine's credentials, settings or locale.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a program may take unless a test says otherwise: a multiple of the slowest peer on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the end of a program is looked for.
const POLL: Duration = Duration::from_millis(2);

/// A home of their own for the programs of one test.
#[derive(Debug)]
pub struct Sandbox {
    home: TempDir,
    variables: Vec<(String, String)>,
    patience: Duration,
}

impl Sandbox {
    /// An empty home.
    ///
    /// # Panics
    ///
    /// If there is no room for a temporary folder.
    #[must_use]
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().expect("a temporary folder"),
            variables: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// Adds an environment variable to all that runs here.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes how long a program may take.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The home, which is also the working folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// A command with the clean environment, for tests that start a server or want pipes of their own.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path())
            .env("DOCKER_CONFIG", self.path().join(".docker"))
            .env("XDG_RUNTIME_DIR", self.path().join("run"))
            .env("TMPDIR", self.path())
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TZ", "UTC")
            .env("LANG", "C.UTF-8")
            .env("NO_COLOR", "1")
            .env("PROOFMARK_OFFLINE", "1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a program to its end.
    ///
    /// # Panics
    ///
    /// If it does not start, or does not end in time (it is killed then).
    pub fn run<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Outcome {
        self.finish(self.command(program).args(arguments), b"")
    }

    /// Runs a command to its end, with `input` as its standard input.
    ///
    /// # Panics
    ///
    /// If it does not start, or does not end in time (it is killed then).
    pub fn finish(&self, command: &mut Command, input: &[u8]) -> Outcome {
        let said = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{said} does not start: {error}"));
        let (stdout, stderr) = (reading(child.stdout.take()), reading(child.stderr.take()));
        if let Some(mut pipe) = child.stdin.take() {
            let input = input.to_vec();
            // A program that does not read its input ends the pipe; that is no failure.
            thread::spawn(move || pipe.write_all(&input));
        }
        let code = wait(&mut child, self.patience, &said);
        Outcome {
            command: said,
            code,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

/// How a program ended and what it said.
#[derive(Clone, Debug)]
pub struct Outcome {
    command: String,
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output; what is not UTF-8 is replaced.
    pub stdout: String,
    /// Its standard error; what is not UTF-8 is replaced.
    pub stderr: String,
}

impl Outcome {
    /// Whether it ended with 0.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Goes on only if it ended with `code`.
    ///
    /// # Panics
    ///
    /// If it did not, with all that it said.
    pub fn expect_code(&self, code: i32) -> &Self {
        assert!(
            self.code == Some(code),
            "expected exit {code}, got {:?}\n{}\n--- stdout\n{}\n--- stderr\n{}",
            self.code,
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }

    /// Goes on only if it ended with 0.
    ///
    /// # Panics
    ///
    /// If it did not, with all that it said.
    pub fn expect_success(&self) -> &Self {
        self.expect_code(0)
    }
}

fn reading(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is shown; there is nothing better to do with it.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait(child: &mut Child, patience: Duration, said: &str) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child that can be waited for") {
            return status.code();
        }
        if start.elapsed() > patience {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{said} did not end within {patience:?}");
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_machine_is_seen() {
        let sandbox = Sandbox::new().with("EXTRA", "1");
        let outcome = sandbox.run("/usr/bin/env", [] as [&str; 0]);
        let mut names: Vec<&str> = outcome
            .stdout
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        let expected = [
            "DOCKER_CONFIG",
            "EXTRA",
            "HOME",
            "LANG",
            "NO_COLOR",
            "PATH",
            "PROOFMARK_OFFLINE",
            "TMPDIR",
            "TZ",
            "XDG_RUNTIME_DIR",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn input_output_and_code_are_passed_on() {
        let sandbox = Sandbox::new();
        let mut command = sandbox.command("/bin/sh");
        command.args(["-c", "cat; echo bad >&2; exit 3"]);
        let outcome = sandbox.finish(&mut command, b"good");
        outcome.expect_code(3);
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("good", "bad\n"));
    }

    #[test]
    #[should_panic(expected = "did not end within")]
    fn a_program_that_hangs_is_killed() {
        Sandbox::new()
            .with_patience(Duration::from_millis(50))
            .run("/bin/sleep", ["60"]);
    }
}
