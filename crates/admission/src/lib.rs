//! Kubernetes admission webhook: no image runs that the policies do not let run.
//!
//! [`Admission::validate`] answers whether an object may be stored; behind it stands one function that decides whether
//! one image may run, `Admission::may_run` in `admit`. [`Admission::mutate`] pins the tags of Pods. [`Server`] carries
//! both over HTTPS, with certificates that it makes and renews itself.
//!
//! | module | what |
//! |---|---|
//! | `admit` | the decision, step by step; `admit::pin`: tags to digests |
//! | `images` | every image of an object, and the rules that follow from it |
//! | `evidence` | resolving, gathering and verifying once, held in memory; `hold`: the bounded store and the single flight |
//! | `pull` | pull secrets of Pods, and what is held with them apart from the rest |
//! | `basis` | policies and trust root, from disk or from the cluster, swapped whole |
//! | `cluster` | the API server as we ask it: policies followed, their status written |
//! | `kept` | evidence kept in a folder and in a database, authenticated, and verified again when it is read |
//! | `gates` | how many lookups run at once, in all and of one registry |
//! | `exceptions` | digests that may run although a policy says no, and the queue of those that wait for approval |
//! | `review`, `denial` | AdmissionReview v1, and answers that a person can act on |
//! | `certificates`, `server`, `metrics` | TLS, HTTP, Prometheus |
//! | `installation` | the webhook configurations, their rules made from `images` |
//!
//! It holds no state that decides: two replicas need not know of each other. It never asks a transparency log, a
//! certificate authority or a TUF repository to decide. Registries are all that a review talks to; a kept trust root is
//! refreshed beside (`server::trust`), and keys that policies name by where they live are
//! opened by a function that it is given, when policies are loaded.

mod admit;
mod basis;
mod certificates;
mod cluster;
mod config;
mod denial;
mod evidence;
mod exceptions;
mod gates;
mod hold;
mod images;
mod installation;
mod kept;
mod metrics;
mod pull;
mod review;
mod server;
mod text;

pub use admit::{Admission, MAX_WARMED, Warmed};
pub use basis::BasisError;
pub use certificates::{Certificates, Renewal, TlsConfig, TlsError};
pub use cluster::share::{ShareError, Sharing};
pub use cluster::{Cluster, ClusterError, Resource, Trial};
pub use config::{Clock, Config, KeptTrust, Limits, OpenKeys, TrustSource};
pub use evidence::Deadline;
pub use exceptions::queue::{Approval, ApprovalError, Waiting, approve, waiting};
pub use exceptions::{Exception, ExceptionError, Exceptions, MAX_LIFE};
pub use hold::Bounds;
pub use images::{CustomKind, Found, ImagePath, Kinds, MAX_IMAGES, Rule, WalkError};
pub use installation::{
    Installation, InstallationError, SYSTEM_NAMESPACES, Target, Workload, made_by_the_webhook, object_path, objects,
    objects_yaml, policy_definition, webhook_configuration, webhook_configuration_yaml,
};
pub use kept::{Keeping, KeepingError};
pub use metrics::PeerNames;
pub use review::{
    Answer, GroupVersionKind, GroupVersionResource, MAX_MESSAGE_BYTES, MAX_REVIEW_BYTES, Operation, PatchOperation,
    Request, ReviewError, UserInfo,
};
pub use server::{Server, StartError};
