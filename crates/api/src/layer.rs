//! The one layer around all views: hosts, tokens, shedding, metrics, panics, and the form of errors. It is thin on purpose: a hot
//! read spends more time in HTTP than in the store, so nothing here allocates unless something is wrong.

use std::{
    any::Any,
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::extract::Request;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, header};
use kvstore_service::Service;
use kvstore_types::limits::HEADERS_MAX;
use subtle::ConstantTimeEq;
use tower::{Layer, ServiceExt};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::{
    api::Api,
    errors::{Kind, Problem},
    guarded_io::AmbiguousFraming,
    options::ApiOptions,
    respond::Response,
    urls::{self, NoRoute, Operation},
    views,
};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The API, ready to answer. Cheap to clone.
#[derive(Clone)]
pub struct App {
    api: Arc<Api>,
    cors: Option<CorsLayer>,
}

impl App {
    /// The API over a service. Metrics go to the recorder that is installed when this is called.
    #[must_use]
    pub fn new(service: Service, options: ApiOptions) -> Self {
        let cors = cors(&options.cors_origins);
        Self { api: Arc::new(Api::new(service, options)), cors }
    }

    /// Answers one request.
    ///
    /// This is one call, and not a router with a route for each path: the key must be taken from the path as it was sent, and a
    /// router's boxed futures cost a hot read more than the store does.
    pub(crate) async fn answer(self, request: Request) -> Response {
        let Some(cors) = self.cors else { return answer(&self.api, request).await };
        let api = self.api;
        let inner = tower::service_fn(async |request| Ok::<_, Infallible>(answer(&api, request).await));
        match cors.layer(inner).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Answers one request, whatever happens.
async fn answer(api: &Api, request: Request) -> Response {
    let started = Instant::now();
    let route = urls::operation(request.method(), request.uri());
    let operation = *route.as_ref().unwrap_or(&Operation::Unknown);
    let sent_id = request.headers().get(X_REQUEST_ID).filter(|id| is_request_id(id)).cloned();
    let traced = tracing::enabled!(tracing::Level::DEBUG).then(|| (request.method().clone(), request.uri().clone()));
    let in_flight = Counted::new(&api.in_flight);
    let result = AssertUnwindSafe(guarded(api, route, request)).catch_unwind().await;
    let result = result.unwrap_or_else(|panic| Err(Problem::panicked(panic_message(&*panic))));
    drop(in_flight);
    let mut response = match result {
        Ok(mut response) => {
            if let Some(id) = sent_id {
                response.headers_mut().insert(X_REQUEST_ID, id);
            }
            response
        }
        Err(problem) => refuse(problem, operation, sent_id),
    };
    let took = started.elapsed();
    api.metrics.answered(operation, response.status(), took);
    if let Some((method, uri)) = traced {
        let status = response.status().as_u16();
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(operation = operation.name(), %method, path = ?uri.path(), status, micros, "answered");
    }
    if operation == Operation::Unknown || response.status().is_client_error() || response.status().is_server_error() {
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    response
}

/// Checks a request, then lets its view answer.
async fn guarded(api: &Api, route: Result<Operation, NoRoute>, request: Request) -> Result<Response, Problem> {
    if request.extensions().get::<AmbiguousFraming>().is_some() {
        let detail = "The body's length is ambiguous: send either Content-Length or Transfer-Encoding: chunked, once.";
        return Err(Problem::new(Kind::BadRequest, detail).close());
    }
    if request.headers().len() > HEADERS_MAX {
        let detail = format!("The request has {} header fields; the limit is {HEADERS_MAX}.", request.headers().len());
        return Err(Problem::new(Kind::HeadTooLarge, detail).close());
    }
    api.hosts.check(request.version(), request.uri(), request.headers())?;
    if !route.as_ref().is_ok_and(|operation| operation.is_open()) {
        authorize(api, &request)?;
    }
    let operation = route.map_err(|no_route| match no_route {
        NoRoute::Path => Problem::new(Kind::UnknownPath, "There is nothing at this path; keys are at /kv-store/v1/kv/<key>/."),
        NoRoute::Method(allowed) => {
            let problem = Problem::new(Kind::MethodNotAllowed, format!("This path takes {allowed}."));
            match HeaderValue::from_str(&allowed) {
                Ok(allowed) => problem.header(header::ALLOW, allowed),
                Err(_) => problem,
            }
        }
    })?;
    let _admitted = if operation.can_be_shed() { Some(admit(api)?) } else { None };
    views::call(api, operation, request).await
}

/// Lets a KV request in, unless too many are under way.
fn admit(api: &Api) -> Result<Counted<'_>, Problem> {
    let counted = Counted::new(&api.kv_in_flight);
    if counted.before >= api.options.max_requests {
        api.metrics.shed.increment(1);
        return Err(Problem::overloaded("Too many requests are under way; try again later.").close());
    }
    Ok(counted)
}

/// One more, until it is dropped.
struct Counted<'a> {
    counter: &'a AtomicUsize,
    before: usize,
}

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        Self { counter, before: counter.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Compares the bearer token, in a time that does not depend on where it differs.
fn authorize(api: &Api, request: &Request) -> Result<(), Problem> {
    let Some(token) = &api.options.token else { return Ok(()) };
    let sent = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let (scheme, sent) = sent.split_at_checked(7).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(sent.ct_eq(token.as_bytes())) {
        return Ok(());
    }
    let problem = Problem::new(Kind::Unauthorized, "Send the server's token as \"Authorization: Bearer <token>\".");
    Err(problem.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"kvstore\"")))
}

/// Turns a problem into the answer, and logs what the answer does not say.
fn refuse(problem: Problem, operation: Operation, sent_id: Option<HeaderValue>) -> Response {
    let id = sent_id.unwrap_or_else(new_request_id);
    let shown = id.to_str().unwrap_or_default();
    if let Some(cause) = problem.logged_cause() {
        tracing::error!(request_id = shown, operation = operation.name(), status = problem.status().as_u16(), cause, "a request failed");
    }
    let mut response = problem.into_answer(shown, operation.is_write());
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

fn is_request_id(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// A random prefix of this process and a count.
fn new_request_id() -> HeaderValue {
    use std::hash::{BuildHasher, Hasher, RandomState};

    static PREFIX: LazyLock<u64> = LazyLock::new(|| RandomState::new().build_hasher().finish());
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let text = format!("{:016x}-{}", *PREFIX, COUNT.fetch_add(1, Ordering::Relaxed));
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("-"))
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// CORS for these origins; none means off.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    let request_headers =
        ["authorization", "content-type", "accept", "if-match", "if-none-match", "idempotency-key", "prefer", "x-request-id"];
    let answer_headers =
        ["etag", "location", "retry-after", "kv-key", "kv-version", "kv-applied-revision", "idempotency-replayed", "x-request-id"];
    Some(
        CorsLayer::new()
            .allow_origin(allowed)
            .allow_methods([Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE])
            .allow_headers(request_headers.map(HeaderName::from_static))
            .expose_headers(answer_headers.map(HeaderName::from_static)),
    )
}
