//! A server in a thread of its own: requests that were read whole in, answers out, one at a time.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, StatusCode, Uri};
use serde_json::Value;

use super::Fault;

/// A request.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What is answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    hangs: bool,
}

/// What answers.
pub(super) trait Service: Send + 'static {
    fn answer(&mut self, asked: &Asked) -> Reply;
}

/// A running service, shared with the test.
pub(super) struct Running<S> {
    pub(super) address: SocketAddr,
    inner: Arc<Mutex<S>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl<S: Service> Running<S> {
    pub(super) fn start(make: impl FnOnce(SocketAddr) -> S) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let inner = Arc::new(Mutex::new(make(address)));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let state = Arc::clone(&inner);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                let app = Router::new().fallback(handle::<S>).with_state(state);
                let serving = async { axum::serve(listener, app).await };
                tokio::select! { _ = serving => {}, _ = stopped => {} }
            });
        });
        Self {
            address,
            inner,
            stop: Some(stop),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, S> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Running<S> {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
    }
}

async fn handle<S: Service>(
    State(service): State<Arc<Mutex<S>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let asked = Asked {
        method,
        uri,
        headers,
        body,
    };
    let reply = service.lock().unwrap_or_else(PoisonError::into_inner).answer(&asked);
    if reply.hangs {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(StatusCode::from_u16(reply.status).expect("a status"));
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(reply.body)).expect("a response")
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A field of a form, or of the query.
    pub(super) fn field(&self, name: &str) -> String {
        let form = std::str::from_utf8(&self.body).unwrap_or_default();
        let query = self.uri.query().unwrap_or_default();
        [form, query]
            .iter()
            .flat_map(|text| text.split('&'))
            .filter_map(|pair| pair.split_once('='))
            .find(|(seen, _)| *seen == name)
            .map(|(_, value)| decoded(value))
            .unwrap_or_default()
    }
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self {
            status,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string().into_bytes(),
            hangs: false,
        }
    }

    pub(super) fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            hangs: false,
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a fault answers in place of everything else.
pub(super) fn whole_fault(fault: &mut Fault, forbidden: &Value, later: (u16, &Value)) -> Option<Reply> {
    match fault {
        Fault::Garbage => Some(Reply::text(200, "<html>Welcome to the hotel's network</html>")),
        Fault::Endless => Some(Reply::text(200, vec![b' '; 3 * 1024 * 1024])),
        Fault::Forbidden => Some(Reply::json(403, forbidden)),
        Fault::Redirect => Some(Reply::text(307, "").with("location", "http://127.0.0.1:9/stolen")),
        Fault::Later(times) => {
            *times -= 1;
            if *times == 0 {
                *fault = Fault::None;
            }
            Some(Reply::json(later.0, later.1).with("retry-after", "0"))
        }
        Fault::Hang => Some(Reply {
            hangs: true,
            ..Reply::text(200, "")
        }),
        _ => None,
    }
}

/// Percent-decoding of forms.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Seconds since 1970.
pub(super) fn seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
