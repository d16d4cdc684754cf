//! AdmissionReview v1 (`admission.k8s.io/v1`) as the API server sends it and wants it back.
//!
//! Own types and no Kubernetes client: a review has a dozen fields, and objects stay JSON because the walker
//! ([`crate::images`]) reads image places of kinds that no type here knows. What is not read here: labels of
//! namespaces (the request has only the name).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::text::{one_line, shortened};

/// The largest review read: the API server takes request bodies of 3 MiB (`MaxRequestBodyBytes` in
/// `apiserver/pkg/server/config.go`), a review carries the object and the old one, and an envelope.
pub const MAX_REVIEW_BYTES: usize = 7 * 1024 * 1024;

/// The longest uid answered with: the API server sends 36 characters.
const MAX_UID_LENGTH: usize = 128;

/// The `apiVersion` of every review and answer.
const API_VERSION: &str = "admission.k8s.io/v1";

/// The `kind` of every review and answer.
const KIND: &str = "AdmissionReview";

/// The longest denial text. The API server sets no limit for it; it cuts warnings at 4096 characters in all
/// (recorded from kube-apiserver 1.36), and a terminal is no place for more.
pub const MAX_MESSAGE_BYTES: usize = 4096;

/// The most that warnings may have together: kube-apiserver 1.36 drops what is beyond 4096 characters, silently.
const MAX_WARNINGS_BYTES: usize = 4096;

/// The longest single warning: kube-apiserver passed 150 characters and documents 256 as where it may cut.
const MAX_WARNING_BYTES: usize = 256;

/// The longest name of an object in texts: kind, namespace and name have at most 63, 63 and 253 characters.
const MAX_SUBJECT_BYTES: usize = 400;

/// The longest audit annotation: they go to the audit log with every request.
const MAX_ANNOTATION_BYTES: usize = 1024;

/// What the API server asks about: one operation on one object.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names the question; the answer must carry it or the API server throws the answer away.
    pub uid: String,
    /// The kind of `object`.
    pub kind: GroupVersionKind,
    /// The resource as addressed.
    pub resource: GroupVersionResource,
    /// `ephemeralcontainers`, `scale`, `status`, …; `None` for the object itself.
    pub sub_resource: Option<String>,
    /// The object's name; empty while `generateName` has not been resolved.
    pub name: String,
    /// The namespace; `None` for objects without one.
    pub namespace: Option<String>,
    /// What is being done.
    pub operation: Operation,
    /// Who does it.
    pub user: UserInfo,
    /// The object as it will be stored; `None` on a delete.
    pub object: Option<Value>,
    /// The object as it is stored; `None` on a create.
    pub old_object: Option<Value>,
    /// The object will not be stored: nothing outside this process may change because of the question.
    pub dry_run: bool,
    /// CreateOptions, UpdateOptions, …
    pub options: Option<Value>,
}

/// What is done to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object.
    Create,
    /// A change of a stored object.
    Update,
    /// A delete: nothing runs because of it.
    Delete,
    /// `exec`, `attach`, `port-forward`, `proxy`.
    Connect,
}

impl Operation {
    /// As Kubernetes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Create, Self::Update, Self::Delete, Self::Connect]
            .into_iter()
            .find(|operation| operation.as_str() == text)
    }
}

/// A kind with its API group and version; the core group is the empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct GroupVersionKind {
    /// API group.
    #[serde(default)]
    pub group: String,
    /// API version.
    #[serde(default)]
    pub version: String,
    /// Kind.
    #[serde(default)]
    pub kind: String,
}

/// A resource with its API group and version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct GroupVersionResource {
    /// API group.
    #[serde(default)]
    pub group: String,
    /// API version.
    #[serde(default)]
    pub version: String,
    /// Resource, plural and lower case.
    #[serde(default)]
    pub resource: String,
}

/// Who asks the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct UserInfo {
    /// User or service account name.
    #[serde(default)]
    pub username: String,
    /// Groups.
    #[serde(default)]
    pub groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    request: Option<RequestDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestDocument {
    #[serde(default)]
    uid: String,
    #[serde(default)]
    kind: GroupVersionKind,
    #[serde(default)]
    resource: GroupVersionResource,
    sub_resource: Option<String>,
    #[serde(default)]
    name: String,
    namespace: Option<String>,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    user_info: UserInfo,
    object: Option<Value>,
    old_object: Option<Value>,
    dry_run: Option<bool>,
    options: Option<Value>,
}

/// Why a body is not a question that can be answered.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReviewError {
    /// The body has no bytes: a probe, or a proxy that drops bodies.
    #[error("expected an AdmissionReview, got an empty body")]
    Empty,
    /// The body is longer than [`MAX_REVIEW_BYTES`].
    #[error("the review has more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not JSON, cut short, nested deeper than 128 levels, or a field of another type than the API has.
    #[error("the body is not an AdmissionReview: {reason}")]
    Malformed {
        /// What the parser said.
        reason: String,
    },
    /// Another document, or a version that is no longer served.
    #[error("expected {KIND} of {API_VERSION}, got \"{kind}\" of \"{api_version}\"")]
    OtherDocument {
        /// The apiVersion, shortened.
        api_version: String,
        /// The kind, shortened.
        kind: String,
    },
    /// A review without `request`: an answer sent back as a question.
    #[error("the review has no request")]
    NoRequest,
    /// Without uid no answer can be given.
    #[error("the request has no uid, or one of more than {MAX_UID_LENGTH} characters")]
    NoUid,
    /// An operation that is none of the four.
    #[error("expected the operation CREATE, UPDATE, DELETE or CONNECT, got \"{operation}\"")]
    UnknownOperation {
        /// The uid to answer.
        uid: String,
        /// What stood there, shortened.
        operation: String,
    },
    /// The kind is missing: which images an object has depends on it.
    #[error("the request does not say of which kind its object is")]
    NoKind {
        /// The uid to answer.
        uid: String,
    },
    /// A create or an update without the object, or with one that is not a JSON object.
    #[error("the {operation} request has no object")]
    NoObject {
        /// The uid to answer.
        uid: String,
        /// The operation.
        operation: &'static str,
    },
}

impl ReviewError {
    /// Stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Empty => "review-empty",
            Self::TooLarge { .. } => "review-too-large",
            Self::Malformed { .. } => "review-malformed",
            Self::OtherDocument { .. } => "review-other-document",
            Self::NoRequest => "review-no-request",
            Self::NoUid => "review-no-uid",
            Self::UnknownOperation { .. } => "review-unknown-operation",
            Self::NoKind { .. } => "review-no-kind",
            Self::NoObject { .. } => "review-no-object",
        }
    }

    /// The uid under which a denial can be sent; without one only an HTTP error is left.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        match self {
            Self::UnknownOperation { uid, .. } | Self::NoKind { uid } | Self::NoObject { uid, .. } => Some(uid),
            _ => None,
        }
    }
}

impl Request {
    /// Reads a review. The caller has bounded `body` already; the bound is checked again because it is cheap.
    pub fn parse(body: &[u8]) -> Result<Self, ReviewError> {
        if body.is_empty() {
            return Err(ReviewError::Empty);
        }
        if body.len() > MAX_REVIEW_BYTES {
            return Err(ReviewError::TooLarge {
                limit: MAX_REVIEW_BYTES,
            });
        }
        // serde_json stops at 128 levels of nesting, so a deep document cannot exhaust the stack.
        let document: Document = serde_json::from_slice(body).map_err(|error| ReviewError::Malformed {
            reason: shortened(&error.to_string(), 200),
        })?;
        if document.api_version != API_VERSION || document.kind != KIND {
            return Err(ReviewError::OtherDocument {
                api_version: shortened(&document.api_version, 60),
                kind: shortened(&document.kind, 60),
            });
        }
        document.request.ok_or(ReviewError::NoRequest)?.check()
    }

    /// Everything but the objects, as the API names it, for policies that ask how and by whom.
    #[must_use]
    pub fn attributes(&self) -> Value {
        serde_json::json!({
            "uid": self.uid,
            "kind": self.kind,
            "resource": self.resource,
            "subResource": self.sub_resource.as_deref().unwrap_or_default(),
            "name": self.name,
            "namespace": self.namespace.as_deref().unwrap_or_default(),
            "operation": self.operation.as_str(),
            "userInfo": { "username": self.user.username, "groups": self.user.groups },
            "dryRun": self.dry_run,
            "options": self.options,
        })
    }

    /// The object that stands for the answer in logs and texts: `Pod team-a/web`.
    #[must_use]
    pub fn subject(&self) -> String {
        let name = match (self.name.as_str(), self.generate_name()) {
            ("", Some(prefix)) => Some(format!("{prefix}*")),
            ("", None) => None,
            (name, _) => Some(name.to_owned()),
        };
        let kind = &self.kind.kind;
        let subject = match (&self.namespace, name) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (Some(namespace), None) => format!("{kind} without a name in {namespace}"),
            (None, Some(name)) => format!("{kind} {name}"),
            (None, None) => format!("{kind} without a name"),
        };
        shortened(&one_line(&subject), MAX_SUBJECT_BYTES)
    }

    fn generate_name(&self) -> Option<&str> {
        self.object.as_ref()?.pointer("/metadata/generateName")?.as_str()
    }
}

impl RequestDocument {
    fn check(self) -> Result<Request, ReviewError> {
        let uid = self.uid;
        if uid.is_empty() || uid.len() > MAX_UID_LENGTH {
            return Err(ReviewError::NoUid);
        }
        let Some(operation) = Operation::parse(&self.operation) else {
            let operation = shortened(&self.operation, 60);
            return Err(ReviewError::UnknownOperation { uid, operation });
        };
        if self.kind.kind.is_empty() {
            return Err(ReviewError::NoKind { uid });
        }
        let runs = matches!(operation, Operation::Create | Operation::Update);
        if runs && !self.object.as_ref().is_some_and(Value::is_object) {
            let operation = operation.as_str();
            return Err(ReviewError::NoObject { uid, operation });
        }
        Ok(Request {
            uid,
            kind: self.kind,
            resource: self.resource,
            sub_resource: self.sub_resource.filter(|name| !name.is_empty()),
            name: self.name,
            namespace: self.namespace.filter(|name| !name.is_empty()),
            operation,
            user: self.user_info,
            object: self.object,
            old_object: self.old_object,
            dry_run: self.dry_run.unwrap_or(false),
            options: self.options,
        })
    }
}

/// The answer to one request, before it is made JSON.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Answer {
    /// Whether the object may be stored. Only an explicit `true` is one: the default denies.
    pub allowed: bool,
    /// HTTP status of a denial: 403 a policy said no, 400 the question was wrong, 500 this process failed.
    pub code: u16,
    /// Why it was denied; lines are kept.
    pub message: String,
    /// Shown to the user even when allowed; each becomes one line.
    pub warnings: Vec<String>,
    /// For the audit log; keys are lower case, words joined by `-`.
    pub audit: Vec<(&'static str, String)>,
    /// JSON patch operations; only `/mutate` may send them.
    pub patch: Vec<PatchOperation>,
}

/// One operation of a JSON patch (RFC 6902); only replacements are needed. The API server applies it to the very object
/// that it sent, so no `test` guards it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum PatchOperation {
    /// Puts `value` in place of what is at `path`.
    Replace {
        /// JSON pointer.
        path: String,
        /// The new value.
        value: String,
    },
}

impl Answer {
    /// The object may be stored.
    #[must_use]
    pub fn allow() -> Self {
        Self {
            allowed: true,
            ..Self::default()
        }
    }

    /// The object may not be stored.
    #[must_use]
    pub fn deny(code: u16, message: impl Into<String>) -> Self {
        Self {
            allowed: false,
            code,
            message: message.into(),
            ..Self::default()
        }
    }

    /// The same with an annotation for the audit log.
    #[must_use]
    pub fn noted(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.audit.push((key, value.into()));
        self
    }

    /// The review that answers `uid`, bounded to what the API server passes on.
    #[must_use]
    pub fn to_json(&self, uid: &str) -> Vec<u8> {
        let mut response = serde_json::Map::new();
        response.insert("uid".into(), uid.into());
        response.insert("allowed".into(), self.allowed.into());
        if !self.allowed {
            let reason = match self.code {
                400 => "BadRequest",
                403 => "Forbidden",
                503 => "ServiceUnavailable",
                _ => "InternalError",
            };
            response.insert(
                "status".into(),
                serde_json::json!({
                    "status": "Failure", "code": self.code, "reason": reason,
                    "message": shortened(&self.message, MAX_MESSAGE_BYTES),
                }),
            );
        }
        let warnings = bounded_warnings(&self.warnings);
        if !warnings.is_empty() {
            response.insert("warnings".into(), warnings.into());
        }
        if !self.audit.is_empty() {
            let mut annotations = serde_json::Map::new();
            for (key, value) in &self.audit {
                annotations.insert((*key).to_owned(), shortened(value, MAX_ANNOTATION_BYTES).into());
            }
            response.insert("auditAnnotations".into(), annotations.into());
        }
        if self.allowed && !self.patch.is_empty() {
            // A vector of two string fields cannot fail to serialize; an empty patch would leave tags unpinned, which
            // the validating hook judges anyway.
            let patch = serde_json::to_vec(&self.patch).unwrap_or_default();
            response.insert("patchType".into(), "JSONPatch".into());
            response.insert("patch".into(), STANDARD.encode(patch).into());
        }
        let review = serde_json::json!({ "apiVersion": API_VERSION, "kind": KIND, "response": response });
        review.to_string().into_bytes()
    }
}

/// kube-apiserver drops a warning that has a line break and all that is past the total; cut here, and say so.
fn bounded_warnings(warnings: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut bytes = 0;
    for (position, warning) in warnings.iter().enumerate() {
        let warning = shortened(&one_line(warning), MAX_WARNING_BYTES);
        // Room for the closing line is kept free.
        if bytes + warning.len() + MAX_WARNING_BYTES > MAX_WARNINGS_BYTES {
            kept.push(format!(
                "proofmark: {} more warnings not shown",
                warnings.len() - position
            ));
            break;
        }
        bytes += warning.len();
        kept.push(warning);
    }
    kept
}

#[cfg(test)]
mod tests;
