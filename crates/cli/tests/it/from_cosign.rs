//! `docs/from-cosign.md` is held against cosign 3.1.1's own help, and against our parser.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use proofmark_testkit::command::Sandbox;
use proofmark_testkit::peers::COSIGN3;

use crate::world::PROOFMARK;

const TABLE: &str = include_str!("../../../../docs/from-cosign.md");

/// One row: a flag, what became of it, and whether cosign hides it as deprecated.
struct Row {
    flag: String,
    became: String,
    deprecated: bool,
}

/// The rows of each command.
fn table() -> BTreeMap<String, Vec<Row>> {
    let mut commands: BTreeMap<String, Vec<Row>> = BTreeMap::new();
    let mut current: Option<String> = None;
    for line in TABLE.lines() {
        if let Some(heading) = line.strip_prefix("### `cosign ") {
            let name = heading.trim_end_matches('`').to_owned();
            assert!(
                commands.insert(name.clone(), Vec::new()).is_none(),
                "{name} is there twice"
            );
            current = Some(name);
        } else if line.starts_with('#') {
            current = None;
        } else if let (Some(command), Some(row)) = (&current, line.strip_prefix("| `--")) {
            let (names, rest) = row.split_once('`').unwrap();
            let became = rest.split('|').nth(1).unwrap().trim().to_owned();
            assert!(
                ["same", "different", "refused", "absent"].contains(&became.as_str()),
                "{command} --{names}: {became}"
            );
            let note = rest.split('|').nth(2).unwrap().trim();
            let needs_note = ["different", "refused"].contains(&became.as_str());
            assert!(
                !needs_note || !note.is_empty(),
                "{command} --{names}: {became}, and not how or why"
            );
            commands.get_mut(command).unwrap().push(Row {
                flag: names.split(',').next().unwrap().to_owned(),
                became,
                deprecated: note.contains("deprecated in cosign"),
            });
        }
    }
    commands
}

/// What a command says to one flag and `--help`.
fn asked(home: &Sandbox, program: &Path, command: &str, flag: &str) -> String {
    let flag = format!("--{flag}=true");
    let words = command.split(' ').chain([flag.as_str(), "--help"]);
    let outcome = home.run(program, words);
    format!("{}{}", outcome.stdout, outcome.stderr)
}

/// Runs `check` for all of `items`, two at a time, and collects what is wrong.
fn all<T: Send>(items: Vec<T>, check: impl Fn(&Sandbox, &T) -> Option<String> + Sync) -> Vec<String> {
    let queue = Mutex::new(VecDeque::from(items));
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let home = Sandbox::new();
                loop {
                    let taken = queue.lock().unwrap().pop_front();
                    let Some(item) = taken else { break };
                    if let Some(problem) = check(&home, &item) {
                        wrong.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

#[test]
fn what_the_table_says_is_here_is_here() {
    let place = tempfile::tempdir().unwrap();
    let cosign = place.path().join("cosign");
    symlink(PROOFMARK, &cosign).unwrap();
    let rows: Vec<(String, Row)> = table()
        .into_iter()
        .flat_map(|(command, rows)| rows.into_iter().map(move |row| (command.clone(), row)))
        .filter(|(_, row)| row.became != "absent")
        .collect();
    assert!(rows.len() > 400, "only {} rows were read", rows.len());
    let wrong = all(rows, |home, (command, row)| {
        let said = asked(home, &cosign, command, &row.flag);
        let unknown = said.contains("unexpected argument") || said.contains("unrecognized subcommand");
        unknown.then(|| {
            format!(
                "{command} --{} is said to be {} and does not parse",
                row.flag, row.became
            )
        })
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // A flag that nobody has is seen by this test.
    let home = Sandbox::new();
    assert!(asked(&home, &cosign, "verify", "no-such-flag").contains("unexpected argument"));
}

#[test]
fn everything_of_cosign_3_is_in_the_table() {
    let Some(peer) = COSIGN3.or_skip() else { return };
    let table = table();
    let home = Sandbox::new();
    let mut missing = Vec::new();
    // Commands, also those below others.
    let help = home.run(&peer, ["help"]).stdout;
    for name in commands_in(&help) {
        let known = table
            .keys()
            .any(|known| *known == name || known.starts_with(&format!("{name} ")));
        if !known {
            missing.push(format!("the command {name}"));
        }
    }
    // Flags that their help shows.
    let mut seen = 0;
    for (command, rows) in &table {
        let known: BTreeSet<&str> = rows.iter().map(|row| row.flag.as_str()).collect();
        let outcome = home.run(&peer, command.split(' ').chain(["--help"]));
        for flag in flags_in(&outcome.stdout) {
            seen += 1;
            if flag != "help" && !known.contains(flag.as_str()) {
                missing.push(format!("{command} --{flag}"));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(seen > 500, "only {seen} flags were seen in cosign's help");
    // And nothing is made up: cosign knows those that it hides, too.
    let hidden: Vec<(String, String)> = table
        .iter()
        .flat_map(|(command, rows)| {
            rows.iter()
                .filter(|row| row.deprecated)
                .map(move |row| (command.clone(), row.flag.clone()))
        })
        .collect();
    assert!(hidden.len() > 100, "only {} hidden flags", hidden.len());
    let wrong = all(hidden, |home, (command, flag)| {
        asked(home, &peer, command, flag)
            .contains("unknown flag")
            .then(|| format!("cosign {command} has no --{flag}"))
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn commands_in(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| !line.starts_with("Available Commands"))
        .skip(1)
        .take_while(|line| !line.trim().is_empty())
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

/// `    --flag=default:` and `    -f, --flag=default:`, as cosign prints them.
fn flags_in(help: &str) -> Vec<String> {
    help.lines()
        .filter(|line| line.starts_with("    -") && line.trim_end().ends_with(':'))
        .filter_map(|line| {
            let (_, name) = line.split_once("--")?;
            name.split('=').next().map(str::to_owned)
        })
        .collect()
}
