//! What a server is told when it starts.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proofmark_policy::{KeyAnswers, Mode, NoMatch};
use proofmark_registry::Client;
use proofmark_trust_root::Place;
use proofmark_trust_root::tuf::Repository;
use proofmark_types::{KeyReference, UnixTime};

use crate::certificates::TlsConfig;
use crate::cluster::Cluster;
use crate::cluster::share::Sharing;
use crate::hold::Bounds;
use crate::images::Kinds;
use crate::kept::Keeping;
use crate::metrics::PeerNames;

/// Tells the time; another than the system's in tests.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// Opens the public keys that policies name by where they live. Blocking, and bounded in time by whoever makes it; never
/// called on the path of a request. An answer is asked for every reference; one that is left out is none.
pub type OpenKeys = Arc<dyn Fn(&[KeyReference]) -> KeyAnswers + Send + Sync>;

/// Where the trust root comes from.
#[derive(Clone, Debug)]
pub enum TrustSource {
    /// A `trusted_root.json`, looked at again when it changes.
    File(PathBuf),
    /// What this machine keeps of a TUF repository, or the copy in the program.
    Kept(Box<KeptTrust>),
}

/// A kept trust root.
#[derive(Clone, Debug)]
pub struct KeptTrust {
    /// What is kept.
    pub place: Place,
    /// Where it is refreshed from, beside the requests; without it, another process may refresh the place, and what that
    /// brings is taken up.
    pub repository: Option<Repository>,
}

/// Everything that a [`crate::Server`] needs. Nothing is read from the environment.
#[derive(Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificates.
    pub tls: TlsConfig,
    /// Folder of policies: every `.yaml`, `.yml` and `.json` file in it.
    pub policies: Option<PathBuf>,
    /// The cluster whose policy objects are followed, beside the folder.
    pub policies_of: Option<Cluster>,
    /// The cluster whose pull secrets evidence is fetched with: those that a Pod and its service account name.
    pub pull_secrets: Option<Cluster>,
    /// The cluster that is told of refusals, as Events.
    pub events: Option<Cluster>,
    /// Where replicas share their authority, and who is told of it.
    pub sharing: Option<Sharing>,
    /// What happens to an image that no policy concerns; it is denied unless this says otherwise.
    pub no_match: NoMatch,
    /// Whom to believe; needed for keyless signatures.
    pub trust_root: Option<TrustSource>,
    /// What opens keys that policies name by where they live; without it, such policies are refused.
    pub open_keys: Option<OpenKeys>,
    /// How registries are reached, with which credentials.
    pub client: Client,
    /// Where evidence is kept beyond this process; in memory it is held in any case.
    pub keeping: Option<Keeping>,
    /// Folder of exceptions, looked at with the policies.
    pub exceptions: Option<PathBuf>,
    /// Folder in which denied images wait for approval.
    pub queue: Option<PathBuf>,
    /// How strictly namespaces are held whatever the policies say, by name or beginning (`dev-*`); the first that matches
    /// holds.
    pub namespace_modes: Vec<(String, Mode)>,
    /// The authority of Gatekeeper's client certificate, in PEM; with it `/gatekeeper` answers as a provider of external
    /// data.
    pub gatekeeper: Option<Vec<u8>>,
    /// Under whose names metrics are shown beside their own.
    pub peer_names: PeerNames,
    /// Kinds whose images are looked at.
    pub kinds: Kinds,
    /// Bounds and periods.
    pub limits: Limits,
    /// The time.
    pub clock: Clock,
}

impl Config {
    /// The defaults, with the policies that are objects of a cluster.
    #[must_use]
    pub fn of_cluster(listen: SocketAddr, tls: TlsConfig, cluster: Cluster, client: Client) -> Self {
        Self {
            policies: None,
            policies_of: Some(cluster),
            ..Self::new(listen, tls, PathBuf::new(), client)
        }
    }

    /// The defaults around what has none.
    #[must_use]
    pub fn new(listen: SocketAddr, tls: TlsConfig, policies: PathBuf, client: Client) -> Self {
        Self {
            listen,
            tls,
            policies: Some(policies),
            policies_of: None,
            pull_secrets: None,
            events: None,
            sharing: None,
            no_match: NoMatch::default(),
            trust_root: None,
            open_keys: None,
            client,
            keeping: None,
            exceptions: None,
            queue: None,
            namespace_modes: Vec::new(),
            gatekeeper: None,
            peer_names: PeerNames::default(),
            kinds: Kinds::default(),
            limits: Limits::default(),
            clock: Arc::new(|| UnixTime::from_system(SystemTime::now())),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("listen", &self.listen)
            .field("tls", &self.tls)
            .field("policies", &self.policies)
            .field("policies_of", &self.policies_of)
            .field("no_match", &self.no_match)
            .field("trust_root", &self.trust_root)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds and periods of a server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Proofs held.
    pub held: Bounds,
    /// Lookups of evidence at once, in all and of one registry: one that hangs must leave room for the others.
    pub gatherings: usize,
    /// Of those, of one registry.
    pub gatherings_of_a_registry: usize,
    /// How long proofs are used without asking the registry again. They cannot become wrong (a digest is what it is,
    /// and proofs that rest on the current time are not held); what can change is that more evidence appears.
    pub evidence_fresh: Duration,
    /// How long proofs are kept for policies that say `onUnreachable: allow-held`.
    pub evidence_held: Duration,
    /// How long a refusal rests on held proofs: the signature may be pushed right after the image.
    pub refusal_kept: Duration,
    /// How long a tag's digest is believed. Seconds: a tag moves.
    pub tag_kept: Duration,
    /// The longest one lookup may go on after those who asked for it have left; its result is kept for the next.
    pub lookup: Duration,
    /// How often policies and trust root are looked at.
    pub reload: Duration,
    /// How often a kind of policy that the cluster does not know is looked for again.
    pub kinds: Duration,
    /// How long the start waits for the policies of the cluster.
    pub first_policies: Duration,
    /// How often keys are opened again that policies name by where they live.
    pub keys: Duration,
    /// When they are tried again that could not be opened.
    pub keys_retry: Duration,
    /// How often it is looked whether the kept trust root is due to be refreshed; when it is, the place knows.
    pub trust_refresh: Duration,
    /// How long one refresh may take.
    pub trust_patience: Duration,
    /// How often the certificates are looked at.
    pub renewal: Duration,
    /// How long requests under way may take when the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Design budget: 64 MB of resident memory with evidence held.
            held: Bounds {
                entries: 10_000,
                bytes: 32 * 1024 * 1024,
            },
            // Each takes some 200 ms and megabytes at most (`Space`); eight registries may hang at once.
            gatherings: 256,
            gatherings_of_a_registry: 32,
            evidence_fresh: Duration::from_secs(10 * 60),
            evidence_held: Duration::from_secs(24 * 3600),
            refusal_kept: Duration::from_secs(2),
            tag_kept: Duration::from_secs(3),
            // The longest `timeoutSeconds` of a webhook.
            lookup: Duration::from_secs(30),
            reload: Duration::from_secs(3),
            kinds: Duration::from_secs(30),
            first_policies: Duration::from_secs(10),
            keys: Duration::from_secs(10 * 60),
            keys_retry: Duration::from_secs(30),
            trust_refresh: Duration::from_secs(60),
            trust_patience: Duration::from_secs(60),
            renewal: Duration::from_secs(60),
            drain: Duration::from_secs(10),
        }
    }
}
