//! One HTTP request to one answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use proofmark_types::UnixTime;
use proofmark_types::go_duration;

use super::Shared;
use super::gatekeeper::{self, ProviderRequest};
use crate::admit::{Admission, MAX_WARMED};
use crate::evidence::Deadline;
use crate::review::{Answer, MAX_REVIEW_BYTES, Request, ReviewError};

/// KiB of request bodies in memory at once; nine of the largest, thousands of the usual 5 KiB.
pub(super) const BODY_BUDGET_KIB: usize = 64 * 1024;

/// How much of a body that is too large is read and thrown away.
const MAX_DISCARDED_BYTES: usize = 4 * MAX_REVIEW_BYTES;

/// What the API server waits when its configuration does not say (`timeoutSeconds` defaults to 10).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest `timeoutSeconds`.
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// Hours, minutes, seconds and fractions: more parts is no duration.
const MAX_TIMEOUT_PARTS: usize = 6;

/// The least and the most of the time that is kept for the way back; between them a tenth of the whole.
const LEAST_MARGIN: Duration = Duration::from_millis(100);
const MOST_MARGIN: Duration = Duration::from_secs(1);

type Reply = Response<Full<Bytes>>;

/// The two questions of an API server.
#[derive(Clone, Copy)]
enum Hook {
    Validate,
    Mutate,
}

impl Hook {
    fn name(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Mutate => "mutate",
        }
    }

    async fn answer(self, admission: &Admission, request: &Request, deadline: Deadline) -> Answer {
        match self {
            Self::Validate => admission.validate(request, deadline).await,
            Self::Mutate => admission.mutate(request, deadline).await,
        }
    }
}

/// `is_gatekeeper`: the client has shown a certificate of Gatekeeper's authority.
pub(super) async fn respond<B>(shared: Arc<Shared>, request: HttpRequest<B>, is_gatekeeper: bool) -> Reply
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/validate") => review(shared, Hook::Validate, request).await,
        (&Method::POST, "/mutate") => review(shared, Hook::Mutate, request).await,
        (&Method::POST, "/warm") => warm(shared, request).await,
        (&Method::POST, "/gatekeeper") if shared.gatekeeper => provide(shared, request, is_gatekeeper).await,
        (_, "/gatekeeper") if shared.gatekeeper => wrong_method("POST"),
        (&Method::GET, "/healthz") => plain(StatusCode::OK, "ok\n"),
        (&Method::GET, "/readyz") => readiness(&shared),
        (&Method::GET, "/metrics") => plain(StatusCode::OK, metrics(&shared)),
        (_, "/validate" | "/mutate" | "/warm") => wrong_method("POST"),
        (_, "/healthz" | "/readyz" | "/metrics") => wrong_method("GET"),
        _ => plain(
            StatusCode::NOT_FOUND,
            "expected /validate, /mutate, /warm, /metrics, /healthz or /readyz\n",
        ),
    }
}

/// Reads a review, has it answered, and answers whatever happens.
async fn review<B>(shared: Arc<Shared>, hook: Hook, request: HttpRequest<B>) -> Reply
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    let started = Instant::now();
    let budget = budget(request.uri().query());
    let deadline = Deadline::after(budget);
    let parse = |bytes: &[u8]| Request::parse(bytes).map_err(|error| Box::new(bad_review(&error)));
    let parsed = match read(&shared, request.into_body(), deadline, parse).await {
        Ok(parsed) => parsed,
        Err(refusal) => {
            shared
                .admission
                .metrics
                .review(hook.name(), "?", "bad-request", started.elapsed());
            return refusal;
        }
    };
    let (uid, operation) = (parsed.uid.clone(), parsed.operation.as_str());
    let answering = shared.clone();
    let answer = isolated(&shared.admission, async move {
        hook.answer(&answering.admission, &parsed, deadline).await
    })
    .await;
    let outcome = match (answer.allowed, answer.patch.is_empty()) {
        (true, true) => "allowed",
        (true, false) => "patched",
        (false, _) => "denied",
    };
    shared
        .admission
        .metrics
        .review(hook.name(), operation, outcome, started.elapsed());
    json(StatusCode::OK, answer.to_json(&uid))
}

/// What `/warm` is sent.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Ahead {
    images: Vec<String>,
}

/// Looks images up ahead. Whoever can ask this can have the same looked up by asking whether they may run.
async fn warm<B>(shared: Arc<Shared>, request: HttpRequest<B>) -> Reply
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    let deadline = Deadline::after(budget(request.uri().query()));
    let ahead = match small_document::<Ahead, B>(&shared, request.into_body(), deadline).await {
        Ok(ahead) => ahead,
        Err(refusal) => return refusal,
    };
    if ahead.images.len() > MAX_WARMED {
        let text = format!("expected at most {MAX_WARMED} images, got {}\n", ahead.images.len());
        return plain(StatusCode::PAYLOAD_TOO_LARGE, text);
    }
    let warmed = shared.admission.warm(&ahead.images, deadline).await;
    json(
        StatusCode::OK,
        serde_json::json!({ "images": warmed }).to_string().into_bytes(),
    )
}

/// Answers Gatekeeper, and nobody else.
async fn provide<B>(shared: Arc<Shared>, request: HttpRequest<B>, is_gatekeeper: bool) -> Reply
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Send + 'static,
{
    let started = Instant::now();
    if !is_gatekeeper {
        return plain(
            StatusCode::FORBIDDEN,
            "expected a client certificate of Gatekeeper's authority\n",
        );
    }
    let deadline = Deadline::after(budget(request.uri().query()));
    let asked = match small_document::<ProviderRequest, B>(&shared, request.into_body(), deadline).await {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let (answered, all) = gatekeeper::answer(shared.clone(), asked, deadline).await;
    let outcome = if all { "allowed" } else { "denied" };
    shared
        .admission
        .metrics
        .review("gatekeeper", "CREATE", outcome, started.elapsed());
    json(StatusCode::OK, answered)
}

/// A document that is no review, bounded as reviews are.
async fn small_document<T, B>(shared: &Shared, body: B, deadline: Deadline) -> Result<T, Reply>
where
    T: serde::de::DeserializeOwned,
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let parse = |bytes: &[u8]| {
        serde_json::from_slice(bytes).map_err(|error| {
            Box::new(plain(
                StatusCode::BAD_REQUEST,
                format!("the body is not what was expected: {error}\n"),
            ))
        })
    };
    read(shared, body, deadline, parse).await
}

/// Runs `answering` as a task of its own: a panic in it is this request's denial and nobody else's matter.
async fn isolated(admission: &Admission, answering: impl Future<Output = Answer> + Send + 'static) -> Answer {
    match tokio::spawn(answering).await {
        Ok(answer) => answer,
        Err(error) => {
            admission.metrics.panic();
            tracing::error!(%error, "a review ended in an internal error and is denied");
            Answer::deny(
                500,
                "proofmark: the webhook failed on this request, so nothing is known about its images [internal-error]; \
                 its log has the details",
            )
        }
    }
}

async fn read<T, B>(
    shared: &Shared,
    body: B,
    deadline: Deadline,
    parse: impl FnOnce(&[u8]) -> Result<T, Box<Reply>>,
) -> Result<T, Reply>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static>,
{
    let too_large = ReviewError::TooLarge {
        limit: MAX_REVIEW_BYTES,
    };
    let hint = body.size_hint();
    // A body that does not say how long it is may be as long as any.
    let expected = hint.upper().map_or(MAX_REVIEW_BYTES, |upper| {
        usize::try_from(upper).unwrap_or(MAX_REVIEW_BYTES)
    });
    let kib = u32::try_from(expected.min(MAX_REVIEW_BYTES).div_ceil(1024)).unwrap_or(u32::MAX);
    let late = || {
        plain(
            StatusCode::SERVICE_UNAVAILABLE,
            "the webhook is overloaded or the review came too slowly\n",
        )
    };
    let reading = async {
        // The permits are given back once the body is parsed: what is left of it is smaller than it was.
        let Ok(_permits) = shared.body_budget.acquire_many(kib).await else {
            return Err(late());
        };
        let bytes = match collect(body).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(bad_review(&too_large)),
            Err(error) => {
                return Err(plain(
                    StatusCode::BAD_REQUEST,
                    format!("the body ended early: {error}\n"),
                ));
            }
        };
        parse(&bytes).map_err(|reply| *reply)
    };
    match tokio::time::timeout_at(deadline.0, reading).await {
        Ok(read) => read,
        Err(_) => {
            shared.admission.metrics.refused();
            Err(late())
        }
    }
}

/// The whole body, or `None` when it is too large. What is too large is read on to a bound and thrown away: a client that
/// is cut off while it writes does not see the answer.
async fn collect<B: Body<Data = Bytes>>(body: B) -> Result<Option<Vec<u8>>, B::Error> {
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen += data.len();
        if seen <= MAX_REVIEW_BYTES {
            bytes.extend_from_slice(&data);
        } else if seen <= MAX_DISCARDED_BYTES {
            bytes = Vec::new();
        } else {
            break;
        }
    }
    Ok((seen <= MAX_REVIEW_BYTES).then_some(bytes))
}

/// A denial where there is a uid to deny, an HTTP error otherwise: an answer under another uid, or under none, would
/// be thrown away as a failed call.
fn bad_review(error: &ReviewError) -> Reply {
    tracing::warn!(code = error.code(), %error, "review refused");
    let text = format!("proofmark: {error} [{}]", error.code());
    if let Some(uid) = error.uid() {
        return json(StatusCode::OK, Answer::deny(400, text).to_json(uid));
    }
    let status = match error {
        ReviewError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    let body = serde_json::json!({ "code": error.code(), "message": text });
    json(status, body.to_string().into_bytes())
}

/// How long the answer may take: the `timeout` that the API server names, less what the way back takes.
fn budget(query: Option<&str>) -> Duration {
    let named = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .find_map(|pair| pair.strip_prefix("timeout="))
        .and_then(|text| go_duration(text, MAX_TIMEOUT_PARTS));
    let timeout = named.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT);
    timeout.saturating_sub((timeout / 10).clamp(LEAST_MARGIN, MOST_MARGIN))
}

/// Ready to decide: policies compiled, trust root parsed (both from the start on), certificate alive, not stopping.
fn readiness(shared: &Shared) -> Reply {
    let basis = shared.admission.keeper.current();
    let now = (shared.clock)();
    let certificate_left = shared.certificates.serving_end().since(now);
    let mut lines = vec![match shared.admission.keeper.failure() {
        None => format!("policies: {} in force", basis.number),
        Some(failure) => format!(
            "policies: {} of before in force, those on disk cannot be used: {}",
            basis.number,
            crate::text::one_line(&failure.text)
        ),
    }];
    lines.extend(trust_lines(shared, now));
    lines.push(format!("certificate: {} h left", certificate_left.as_secs() / 3600));
    let stopping = *shared.stopping.borrow();
    if stopping {
        lines.push("stopping".to_owned());
    }
    // A replica that knows no policies would deny everything; those of before still know them.
    let ready = !certificate_left.is_zero() && !stopping && !basis.closed;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    lines.push(if ready {
        "ready\n".to_owned()
    } else {
        "not ready\n".to_owned()
    });
    plain(status, lines.join("\n"))
}

/// Which trust root is in force, and whether it is too old. It stays in force then: without it no image would run that
/// is signed by an identity, for want of a mirror that answers.
fn trust_lines(shared: &Shared, now: UnixTime) -> Vec<String> {
    let Some(trust) = shared.admission.keeper.trust() else {
        return vec!["trust root: none configured, keyless signatures are not believed".to_owned()];
    };
    let mut lines = vec![format!("trust root: {}", crate::text::one_line(&trust.description))];
    if let Some(reason) = trust.staleness(now) {
        lines.push(format!("trust root: STALE, {}", crate::text::one_line(&reason)));
    }
    if let Some(failure) = shared.trust_failure() {
        lines.push(format!(
            "trust root: not refreshed, {}",
            crate::text::one_line(&failure)
        ));
    }
    lines
}

/// What is counted elsewhere is brought up to date when it is asked for.
fn metrics(shared: &Shared) -> String {
    let admission = &shared.admission;
    let now = (shared.clock)();
    let (entries, bytes) = admission.lookups.size();
    admission.metrics.held(entries, bytes);
    if let Some(trust) = admission.keeper.trust() {
        let age = trust.since.map(|since| now.since(since));
        admission.metrics.trust_root(age, trust.staleness(now).is_some());
    }
    let certificates = &shared.certificates;
    admission.metrics.certificates(
        certificates.serving_end().since(now),
        certificates.authority_end().since(now),
    );
    admission.metrics.render()
}

fn json(status: StatusCode, body: Vec<u8>) -> Reply {
    reply(status, "application/json", body)
}

fn plain(status: StatusCode, text: impl Into<String>) -> Reply {
    reply(status, "text/plain; charset=utf-8", text.into().into_bytes())
}

fn wrong_method(allowed: &'static str) -> Reply {
    let mut reply = plain(StatusCode::METHOD_NOT_ALLOWED, format!("expected {allowed}\n"));
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

fn reply(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

#[cfg(test)]
mod tests;
