//! Serving connections: hyper by hand, since `axum::serve` sets no timeout, no TCP_NODELAY and no cap on connections.

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::body::Body;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use kvstore_types::limits;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    guarded_io::{AmbiguousFraming, GuardedIo, Watch, canned},
    layer::App,
    metrics::ConnectionMetrics,
};

/// Buffer of a connection, at most; it grows to this only for large bodies.
const CONNECTION_BUFFER_BYTES_MAX: usize = 256 << 10;
/// How long a connection that is closed before the client has sent everything still reads, so that the client can read its answer.
const LINGER: Duration = Duration::from_secs(2);
/// Refused connections that are told why at one time; more are closed without a word.
const REFUSALS_MAX: usize = 64;
/// Wait after the system refused to accept, for want of file descriptors most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Limits of serving.
#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Connections held at one time; more are answered 503 and closed.
    pub max_connections: usize,
    /// Time for the head of a request to arrive; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Time in which a write of an answer must make progress.
    pub send_timeout: Duration,
    /// How long a shutdown waits for requests under way.
    pub drain: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: limits::CONNECTIONS_MAX_DEFAULT,
            header_timeout: Duration::from_millis(limits::HEADER_TIMEOUT_MS_DEFAULT),
            send_timeout: Duration::from_millis(limits::SEND_TIMEOUT_MS_DEFAULT),
            drain: Duration::from_millis(limits::DRAIN_MS_MAX_DEFAULT),
        }
    }
}

/// Serves until `shutdown` is cancelled, then drains within the bound. Returns how many connections were cut.
///
/// # Errors
/// The listener is broken.
pub async fn serve(listener: TcpListener, app: App, options: ServeOptions, shutdown: CancellationToken) -> io::Result<usize> {
    let server = Arc::new(Server {
        http: http(&options),
        app,
        send_timeout: options.send_timeout,
        drain: Stop::default(),
        cut: Stop::default(),
        cut_count: AtomicUsize::new(0),
        metrics: ConnectionMetrics::new(),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
    });
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let tracker = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match Arc::clone(&slots).try_acquire_owned() {
            Ok(slot) => tracker.spawn(connection(Arc::clone(&server), stream, slot)),
            Err(_) => tracker.spawn(refuse(Arc::clone(&server), stream)),
        };
    }
    drop(listener);
    tracker.close();
    server.drain.now();
    if tokio::time::timeout(options.drain, tracker.wait()).await.is_err() {
        server.cut.now();
        tracker.wait().await;
    }
    Ok(server.cut_count.load(Ordering::Relaxed))
}

fn http(options: &ServeOptions) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The number of fields is checked by the layer: hyper's own setting for it costs an allocation per request.
    http.timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_header_size(limits::HEAD_BYTES_MAX)
        .max_buf_size(CONNECTION_BUFFER_BYTES_MAX);
    http
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused)
}

/// A signal to all connections. The flag spares them the token's lock each time that they are polled.
#[derive(Default)]
struct Stop {
    flag: AtomicBool,
    token: CancellationToken,
}

impl Stop {
    fn now(&self) {
        self.flag.store(true, Ordering::SeqCst);
        self.token.cancel();
    }

    fn is_set(&self) -> bool {
        self.flag.load(Ordering::SeqCst)
    }
}

struct Server {
    http: http1::Builder,
    app: App,
    send_timeout: Duration,
    drain: Stop,
    cut: Stop,
    cut_count: AtomicUsize,
    metrics: ConnectionMetrics,
    refusals: Arc<Semaphore>,
}

/// Serves one connection to its end.
async fn connection(server: Arc<Server>, stream: TcpStream, slot: OwnedSemaphorePermit) {
    server.metrics.open.increment(1.0);
    // Without this, small answers wait for the peer's acknowledgements.
    let _ = stream.set_nodelay(true);
    let watch = Arc::new(Watch::default());
    let io = TokioIo::new(GuardedIo::new(stream, Arc::clone(&watch), server.send_timeout));
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        if watch.begin(&request) {
            request.extensions_mut().insert(AmbiguousFraming);
        }
        let answer = server.app.clone().answer(request.map(Body::new));
        let watch = Arc::clone(&watch);
        async move {
            let answer = answer.await;
            watch.answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = server.http.serve_connection(io, service);
    let end = {
        let mut drain = pin!(server.drain.token.cancelled());
        let mut cut = pin!(server.cut.token.cancelled());
        let mut is_registered = false;
        let mut is_draining = false;
        poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut http).poll(cx) {
                return Poll::Ready(Some(result));
            }
            if !is_registered || server.drain.is_set() {
                is_registered = true;
                if cut.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if !is_draining && drain.as_mut().poll(cx).is_ready() {
                    is_draining = true;
                    Pin::new(&mut http).graceful_shutdown();
                    return Pin::new(&mut http).poll(cx).map(Some);
                }
            }
            Poll::Pending
        })
        .await
    };
    match end {
        None => {
            server.cut_count.fetch_add(1, Ordering::Relaxed);
        }
        Some(Ok(())) if !watch.has_ended() && !server.drain.is_set() => linger(http.into_parts().io.into_inner(), &server).await,
        Some(Err(error)) if error.is_timeout() && watch.has_partial_head() => {
            let mut io = http.into_parts().io.into_inner();
            let _ = io.write_all(&canned(408)).await;
            let _ = io.shutdown().await;
            linger(io, &server).await;
        }
        Some(_) => {}
    }
    server.metrics.open.decrement(1.0);
    drop(slot);
}

/// Reads on for a moment after the last answer: closing a socket with unread bytes would make the system discard the answer.
async fn linger(mut io: impl tokio::io::AsyncRead + Unpin, server: &Server) {
    let mut scratch = vec![0; 16 << 10];
    let reading = async { while matches!(io.read(&mut scratch).await, Ok(1..)) {} };
    tokio::select! {
        () = reading => {}
        () = tokio::time::sleep(LINGER) => {}
        () = server.drain.token.cancelled() => {}
    }
}

/// Tells a connection over the cap why it is closed.
async fn refuse(server: Arc<Server>, mut stream: TcpStream) {
    server.metrics.refused.increment(1);
    let Ok(_turn) = Arc::clone(&server.refusals).try_acquire_owned() else { return };
    // A fresh socket has room for so little.
    let _ = stream.try_write(&canned(503));
    let _ = stream.shutdown().await;
    linger(stream, &server).await;
}
