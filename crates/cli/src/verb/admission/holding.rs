//! What a webhook keeps, and whom it lets run although policies say no.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use proofmark_admission::{Config, Keeping, PeerNames};
use proofmark_policy::Mode;

/// Evidence kept, exceptions, modes
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Evidence and exceptions")]
pub(crate) struct Holding {
    /// Folder in which evidence is kept across restarts; nobody else may write to it, and it need not be backed up
    #[arg(long, value_name = "FOLDER")]
    evidence_dir: Option<PathBuf>,

    /// PostgreSQL database in which replicas share evidence: postgres://user@host/name
    #[arg(
        long,
        env = "PROOFMARK_EVIDENCE_DATABASE",
        hide_env_values = true,
        value_name = "URL"
    )]
    evidence_database: Option<String>,

    /// File of the secret that kept evidence is authenticated with (default: evidence.secret in --tls-dir, made if it is not there); replicas that share a database need the same
    #[arg(long, value_name = "FILE")]
    evidence_secret: Option<PathBuf>,

    /// Folder of exceptions (ImageException): digests that may run for a time although a policy says no
    #[arg(long, value_name = "FOLDER")]
    exceptions: Option<PathBuf>,

    /// Folder in which denied images wait for `admission approve`
    #[arg(long, value_name = "FOLDER")]
    queue: Option<PathBuf>,

    /// How strictly a namespace is held whatever the policies say: NAMESPACE=enforce|warn|audit, dev-* for every name that begins so (may be repeated; the first that matches holds)
    #[arg(long = "namespace-mode", value_name = "NAMESPACE=MODE", value_parser = namespace_mode)]
    namespace_modes: Vec<(String, Mode)>,

    /// Show metrics under these names as well, for dashboards and alerts that look for them (may be repeated)
    #[arg(long, value_name = "PEER")]
    peer_metrics: Vec<Peer>,
}

/// Whose names of metrics
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// kyverno_…
    Kyverno,
    /// connaisseur_…
    Connaisseur,
}

impl Holding {
    pub(super) fn apply(self, config: &mut Config, tls_dir: &Path) {
        if self.evidence_dir.is_some() || self.evidence_database.is_some() {
            config.keeping = Some(Keeping {
                folder: self.evidence_dir,
                database: self.evidence_database,
                secret: self.evidence_secret.unwrap_or_else(|| tls_dir.join("evidence.secret")),
                bounds: Keeping::BOUNDS,
            });
        }
        config.exceptions = self.exceptions;
        config.queue = self.queue;
        config.namespace_modes = self.namespace_modes;
        config.peer_names = PeerNames {
            kyverno: self.peer_metrics.contains(&Peer::Kyverno),
            connaisseur: self.peer_metrics.contains(&Peer::Connaisseur),
        };
    }
}

fn namespace_mode(text: &str) -> Result<(String, Mode), String> {
    let expected = || format!("expected NAMESPACE=enforce, NAMESPACE=warn or NAMESPACE=audit, got \"{text}\"");
    let (namespace, mode) = text.split_once('=').ok_or_else(expected)?;
    let mode = match mode {
        "enforce" => Mode::Enforce,
        "warn" => Mode::Warn,
        "audit" => Mode::Audit,
        _ => return Err(expected()),
    };
    let name = namespace.strip_suffix('*').unwrap_or(namespace);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!(
            "\"{namespace}\" is no namespace and no beginning of one; expected team-a or dev-*"
        ));
    }
    Ok((namespace.to_owned(), mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_for_a_namespace() {
        assert_eq!(namespace_mode("team-a=warn"), Ok(("team-a".to_owned(), Mode::Warn)));
        assert_eq!(namespace_mode("dev-*=audit"), Ok(("dev-*".to_owned(), Mode::Audit)));
        for wrong in ["*=warn", "=warn", "a=off", "a", "a*b=warn", "**=warn", "A=warn"] {
            assert!(namespace_mode(wrong).is_err(), "{wrong}");
        }
    }
}
