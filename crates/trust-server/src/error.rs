//! What a refused request is answered: the status and text that clients of the upstream services know, and beside them
//! a reason class and the request's id, as "there was an error processing the identity token" helps nobody.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::authority::IssueError;
use crate::log::{EntryError, SubmitError};
use crate::oidc::TokenError;
use crate::signing_request::PossessionError;
use crate::timestamp::{QueryError, TimestampError};

/// The header that carries the request's id.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// A refusal on its way to the client.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The number of the gRPC status, which grpc-gateway's clients read.
    grpc: u8,
    /// Stable kebab-case class.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    retry_after: bool,
}

const INVALID_ARGUMENT: u8 = 3;
const NOT_FOUND: u8 = 5;
const INTERNAL: u8 = 13;
const UNAVAILABLE: u8 = 14;

impl ApiError {
    pub(crate) fn bad_request(reason: &'static str, message: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            grpc: INVALID_ARGUMENT,
            reason,
            message,
            retry_after: false,
        }
    }

    pub(crate) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            grpc: NOT_FOUND,
            reason: "not-found",
            message: "there is nothing here".to_owned(),
            retry_after: false,
        }
    }

    pub(crate) fn internal(reason: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, reason, "a request failed inside");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            grpc: INTERNAL,
            reason,
            message: "the service failed; the operator's log has the reason".to_owned(),
            retry_after: false,
        }
    }

    pub(crate) fn unavailable(reason: &'static str, message: String) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            grpc: UNAVAILABLE,
            reason,
            message,
            retry_after: true,
        }
    }

    /// The body, once the request's id is known.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = json!({
            "code": self.grpc,
            "message": self.message,
            "details": [],
            "reason": self.reason,
            "requestId": request_id,
        });
        let mut response = (self.status, axum::Json(body)).into_response();
        if self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        // The outermost layer knows the request's id and writes the body.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<TokenError> for ApiError {
    fn from(error: TokenError) -> Self {
        let message = format!("There was an error processing the identity token: {error}");
        match error {
            TokenError::IssuerUnavailable { .. } => Self::unavailable(error.code(), message),
            _ => Self::bad_request(error.code(), message),
        }
    }
}

impl From<PossessionError> for ApiError {
    fn from(error: PossessionError) -> Self {
        Self::bad_request(error.code(), error.to_string())
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Clock => Self::unavailable("clock-went-back", error.to_string()),
            IssueError::Expired => Self::internal("authority-expired", &error),
            IssueError::Key(_) => Self::internal("signing-failed", &error),
        }
    }
}

impl From<EntryError> for ApiError {
    fn from(error: EntryError) -> Self {
        Self::bad_request(error.code(), error.to_string())
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Entry(error) => error.into(),
            SubmitError::Busy => Self::unavailable("log-busy", error.to_string()),
            SubmitError::Deadline => Self::unavailable("log-deadline", error.to_string()),
            SubmitError::Unavailable => Self::unavailable("log-unavailable", error.to_string()),
            SubmitError::Full => Self::unavailable("log-full", error.to_string()),
            SubmitError::Proof(_) => Self::internal("log-proof", &error),
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        Self::bad_request(error.code(), error.to_string())
    }
}

impl From<TimestampError> for ApiError {
    fn from(error: TimestampError) -> Self {
        match error {
            TimestampError::Clock => Self::unavailable("clock-went-back", error.to_string()),
            TimestampError::Expired => Self::internal("authority-expired", &error),
            TimestampError::Key(_) => Self::internal("signing-failed", &error),
        }
    }
}
