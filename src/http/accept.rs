//! The accept loop: TCP, TLS, HTTP/1.1 or h2, and the limits of all three.
//!
//! Owns connections until they end. Knows nothing of routes. A request costs no allocation here, and one clone of
//! the `Arc` that tells its handler where it came from.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Watched};
use super::tls::TlsReloader;
use crate::cert::Presented;
use crate::config::Listener;
use crate::metrics::{self, Handshake};

/// Ticks that `header_timeout` is cut into: it may be exceeded by a quarter.
const HEADER_TICKS: u32 = 4;

/// What a listener allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For the TLS handshake.
    pub handshake_timeout: Duration,
    /// For a whole request header, and for the first request of a connection.
    pub header_timeout: Duration,
    /// Without a request.
    pub idle_timeout: Duration,
    /// Request line and header fields, bytes.
    pub header_size_max: usize,
    /// Connections at a time; more wait in the operating system's queue.
    pub connections_max: u32,
    /// Requests at a time on one h2 connection.
    pub streams_max: u32,
    /// For requests in flight when the server stops.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(5),
            header_size_max: 16 << 10,
            connections_max: 10_000,
            streams_max: 256,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

impl From<&Listener> for Limits {
    fn from(listener: &Listener) -> Self {
        let Listener { header_timeout, idle_timeout, connections_max, .. } = *listener;
        Self { header_timeout, idle_timeout, connections_max, ..Self::default() }
    }
}

/// Where a request came from: one value per connection.
pub struct Connection {
    /// Address and port of the peer.
    pub remote: SocketAddr,
    /// Whether it is TLS.
    pub encrypted: bool,
    /// The client certificate whose key signed the handshake, or the one that the resumed session began with; nobody
    /// vouched for it yet.
    pub certificate: Option<Arc<Presented>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Draining,
}

/// Serves until `shutdown` is ready, then lets requests in flight finish. Returns how many connections were cut off
/// at the end of the drain timeout. `tls` is `None` for plain HTTP, which speaks HTTP/1.1 only.
pub async fn serve<S, F>(
    listener: TcpListener,
    tls: Option<Arc<TlsReloader>>,
    limits: Limits,
    service: S,
    shutdown: impl Future<Output = ()>,
) -> u32
where
    S: Fn(Arc<Connection>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(usize::try_from(limits.connections_max).unwrap_or(usize::MAX)));
    let (phase, watched_phase) = watch::channel(Phase::Open);
    let limits = Arc::new(limits);
    let mut shutdown = pin!(shutdown);
    let mut full = false;
    loop {
        let next = async {
            let slot = free_slot(&slots, &mut full).await;
            (slot, accept(&listener).await)
        };
        let (slot, (stream, remote)) = tokio::select! {
            next = next => next,
            () = &mut shutdown => break,
        };
        let one = OneConnection { limits: Arc::clone(&limits), service: service.clone(), phase: watched_phase.clone() };
        let tls = tls.as_ref().map(|tls| tls.current());
        let counted = metrics::connected();
        tokio::spawn(async move {
            one.handshake_and_serve(stream, remote, tls).await;
            drop((slot, counted));
        });
    }
    drop(listener);
    phase.send_replace(Phase::Draining);
    let all_gone = slots.acquire_many(limits.connections_max);
    match tokio::time::timeout(limits.drain_timeout, all_gone).await {
        Ok(_) => 0,
        // The sender of the phase is dropped on return, which ends what is left.
        Err(_) => limits.connections_max - u32::try_from(slots.available_permits()).unwrap_or(0),
    }
}

/// Waits for room for one more connection; says so once, not for each connection that waits.
async fn free_slot(slots: &Arc<Semaphore>, full: &mut bool) -> Option<tokio::sync::OwnedSemaphorePermit> {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        *full = false;
        return Some(slot);
    }
    if !std::mem::replace(full, true) {
        tracing::warn!("all connections are taken, new ones wait");
    }
    // Never closed, so there always is one in the end.
    Arc::clone(slots).acquire_owned().await.ok()
}

/// The next connection, through errors that pass (no file descriptors left, a peer that is gone already).
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct OneConnection<S> {
    limits: Arc<Limits>,
    service: S,
    phase: watch::Receiver<Phase>,
}

impl<S, F> OneConnection<S>
where
    S: Fn(Arc<Connection>, Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    async fn handshake_and_serve(mut self, stream: TcpStream, remote: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) {
        // Replies are written whole: waiting for more to send would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Some(tls) = tls else {
            let connection = Arc::new(Connection { remote, encrypted: false, certificate: None });
            return self.http1(stream, connection).await;
        };
        let handshake = tokio::time::timeout(self.limits.handshake_timeout, TlsAcceptor::from(tls).accept(stream));
        let stream = tokio::select! {
            done = handshake => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    metrics::handshake(Handshake::Failed);
                    return tracing::debug!(%remote, %error, "TLS handshake failed");
                }
                Err(_) => {
                    metrics::handshake(Handshake::Slow);
                    return tracing::debug!(%remote, "TLS handshake took too long");
                }
            },
            _ = self.phase.wait_for(|phase| *phase != Phase::Open) => return,
        };
        metrics::handshake(Handshake::Done);
        let (_, session) = stream.get_ref();
        let certificate = session.peer_certificates().and_then(Presented::new).map(Arc::new);
        let h2 = session.alpn_protocol() == Some(b"h2");
        let connection = Arc::new(Connection { remote, encrypted: true, certificate });
        if h2 { self.http2(stream, connection).await } else { self.http1(stream, connection).await }
    }

    async fn http1(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: Arc<Connection>) {
        let activity = Arc::new(Activity::default());
        let io = TokioIo::new(Watched { inner: stream, activity: Arc::clone(&activity) });
        let mut http = hyper::server::conn::http1::Builder::new();
        // `header_read_timeout` would also cut idle connections and arm a timer per request: see `Activity`.
        http.timer(TokioTimer::new()).header_read_timeout(None).max_header_size(self.limits.header_size_max);
        let service = per_request(self.service, connection, Arc::clone(&activity));
        drive(
            pin!(http.serve_connection(io, service)),
            hyper::server::conn::http1::Connection::graceful_shutdown,
            self.phase,
            &self.limits,
            &activity,
        )
        .await;
    }

    async fn http2(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, connection: Arc<Connection>) {
        let activity = Arc::new(Activity::default());
        let header_size_max = u32::try_from(self.limits.header_size_max).unwrap_or(u32::MAX);
        let mut http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.streams_max)
            .max_header_list_size(header_size_max)
            .max_pending_accept_reset_streams(32)
            .max_local_error_reset_streams(128)
            .initial_stream_window_size(256 << 10)
            .initial_connection_window_size(1 << 20)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        let service = per_request(self.service, connection, Arc::clone(&activity));
        let http = http.serve_connection(TokioIo::new(stream), service);
        drive(pin!(http), hyper::server::conn::http2::Connection::graceful_shutdown, self.phase, &self.limits, &activity).await;
    }
}

/// Hyper's form of the service: the request is in flight until its future is done or dropped.
fn per_request<S, F>(
    service: S,
    connection: Arc<Connection>,
    activity: Arc<Activity>,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Full<Bytes>>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
>
where
    S: Fn(Arc<Connection>, Request<Incoming>) -> F,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    service_fn(move |request| {
        let in_flight = activity.begin();
        let reply = service(Arc::clone(&connection), request);
        async move {
            let reply = reply.await;
            drop(in_flight);
            Ok(reply)
        }
    })
}

/// Polls the connection to its end; asks it to end when the server stops or it is silent for too long.
async fn drive<C>(
    mut http: Pin<&mut C>,
    finish: impl Fn(Pin<&mut C>),
    mut phase: watch::Receiver<Phase>,
    limits: &Limits,
    activity: &Activity,
) where
    C: Future<Output = hyper::Result<()>>,
{
    let tick = (limits.header_timeout / HEADER_TICKS).max(Duration::from_millis(1));
    let idle_ticks = limits.idle_timeout.as_nanos() / tick.as_nanos();
    let idle_ticks = u32::try_from(idle_ticks).unwrap_or(u32::MAX).max(1);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + tick, tick);
    let mut stopping = pin!(async move {
        let draining = phase.wait_for(|phase| *phase != Phase::Open).await.is_ok();
        // An error means that the sender is gone: there is no time left to drain.
        (draining, phase)
    });
    let mut finishing = false;
    loop {
        tokio::select! {
            biased;
            ended = &mut http => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            (draining, mut phase) = &mut stopping => {
                if !draining {
                    return;
                }
                finish(http.as_mut());
                tokio::select! {
                    _ = &mut http => {}
                    // No further phase follows: this ends when the drain is over.
                    _ = phase.wait_for(|_| false) => {}
                }
                return;
            }
            _ = ticks.tick() => {
                if activity.tick(HEADER_TICKS, idle_ticks) {
                    if finishing {
                        return;
                    }
                    finishing = true;
                    finish(http.as_mut());
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "accept_tests.rs"]
mod tests;
