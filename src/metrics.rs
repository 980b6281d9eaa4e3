//! What is counted for operators: every metric has its name, kind and meaning here, and nothing is counted under another name.
//!
//! Counting is a few atomic operations; texts are made when somebody asks. No label ever holds what a user chose: no path,
//! no name, no tenant. Seals and sinks have the names that their operator gave them. The `vault_*` names are those of Vault's
//! dashboards, in milliseconds where they measure time; those of our own say their unit.

mod archiving;
mod backing_up;
mod leasing;
mod register;
mod rotating;
mod sealing;
mod spans;
mod witnessing;

use std::sync::LazyLock;
use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, Opts, Registry, TextEncoder};

use self::archiving::Archiving;
pub use self::archiving::{archive_behind, archive_failed, archive_lags, events_pruned, segment_archived};
use self::backing_up::BackingUp;
pub use self::backing_up::{backup_age, backup_failed};
use self::leasing::Leasing;
pub use self::leasing::{lease_lost, lease_taken, replicas};
use self::register::{by_sink, counter, counters, gauge, histogram, plain, shown, times_ms};
use self::rotating::Rotating;
pub use self::rotating::{records_rewrapped, rotations_unfinished};
use self::sealing::Sealing;
pub use self::sealing::{SealCall, seal_called, seal_configured};
use self::spans::Spans;
pub use self::spans::{Traces, traces};
use self::witnessing::Witnessing;
pub use self::witnessing::{unwitnessed, witness_failed, witness_waits};
use crate::answer::Refusal;

/// Upper bounds of times, seconds: from an answer out of memory to one that nobody waits for.
const SECONDS: [f64; 11] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
/// Upper bounds of group sizes.
const SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The content type of [`render`]: Prometheus' text format 0.0.4.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that is counted.
struct Metrics {
    registry: Registry,
    unsealed: Gauge,
    active: Gauge,
    in_flight: Gauge,
    tenants: Gauge,
    resident: Gauge,
    files: Gauge,
    processor: Gauge,
    connections: Gauge,
    handle_request: Histogram,
    duration: Histogram,
    /// 2xx, 4xx, 429, 5xx
    answers: [IntCounter; 4],
    audit: Histogram,
    audit_failures: IntCounter,
    group: Histogram,
    reruns: IntCounter,
    get: Histogram,
    list: Histogram,
    put: Histogram,
    cache_hits: IntCounter,
    cache_misses: IntCounter,
    strangers_refused: IntCounter,
    over_rate_limit: IntCounter,
    panics: IntCounter,
    /// done, failed, slow
    handshakes: [IntCounter; 3],
    /// done, refused
    reloads: [IntCounter; 2],
    sink_lag_events: GaugeVec,
    sink_lag_seconds: GaugeVec,
    sink_failures: IntCounterVec,
    archive: Archiving,
    witnessing: Witnessing,
    backups: BackingUp,
    leasing: Leasing,
    rotating: Rotating,
    spans: Spans,
    rolled_back: Gauge,
    anchor_failures: IntCounter,
    seals: Sealing,
}

static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::new);

impl Metrics {
    fn new() -> Self {
        let registry = Registry::new();
        let of = &registry;
        gauge(of, Opts::new("strongroom_build_info", "1; the label says which version runs").const_label("version", VERSION))
            .set(1.0);
        let answers =
            counters(of, "strongroom_answers_total", "Answers, by class of status.", "class", ["2xx", "4xx", "429", "5xx"]);
        let handshakes =
            counters(of, "strongroom_tls_handshakes_total", "TLS handshakes, by outcome.", "outcome", ["done", "failed", "slow"]);
        let reloads = counters(
            of,
            "strongroom_certificate_reloads_total",
            "Readings of a listener's certificate after its start, by outcome.",
            "outcome",
            ["done", "refused"],
        );
        Self {
            unsealed: plain(of, "vault_core_unsealed", "1 while the server is unsealed, else 0."),
            active: plain(of, "vault_core_active", "1 while the server takes requests: all replicas are active."),
            in_flight: plain(of, "vault_core_in_flight_requests", "Requests that are being answered."),
            tenants: plain(of, "strongroom_tenants_loaded", "Tenants whose keys are in memory."),
            resident: plain(of, "process_resident_memory_bytes", "Memory of the process."),
            files: plain(of, "process_open_fds", "Open files of the process, sockets included."),
            processor: plain(of, "process_cpu_seconds_total", "Processor time of the process, user and system."),
            connections: plain(of, "strongroom_connections", "Open connections of clients."),
            handle_request: times_ms(of, "vault_core_handle_request", "From a request's header to its answer, milliseconds."),
            duration: histogram(of, "strongroom_request_duration_seconds", "From a request's header to its answer.", &SECONDS),
            answers,
            audit: times_ms(of, "vault_audit_log_request", "What a group of events waited to become durable, milliseconds."),
            audit_failures: counter(
                of,
                "vault_audit_log_request_failure",
                "Requests that failed because their event could not become durable.",
            ),
            group: histogram(of, "strongroom_group_requests", "Requests that became durable together.", &SIZES),
            reruns: counter(
                of,
                "strongroom_reruns_total",
                "Requests decided again because what they had read was changed meanwhile.",
            ),
            get: times_ms(of, "vault_barrier_get", "Reading one record from the store, not from memory, milliseconds."),
            list: times_ms(of, "vault_barrier_list", "Reading one directory from the store, not from memory, milliseconds."),
            put: times_ms(of, "vault_barrier_put", "Writing one group to the store, milliseconds."),
            cache_hits: counter(of, "vault_cache_hit", "Records read from memory."),
            cache_misses: counter(of, "vault_cache_miss", "Records read from the store."),
            over_rate_limit: counter(of, "strongroom_rate_limited_total", "Requests past the rate limit that holds for them."),
            strangers_refused: counter(
                of,
                "strongroom_strangers_refused_total",
                "Requests without a valid token past their source's rate.",
            ),
            panics: counter(of, "strongroom_panics_total", "Requests that ended in a flaw of the server: its log says more."),
            handshakes,
            reloads,
            sink_lag_events: shown(
                of,
                by_sink(Opts::new("strongroom_audit_sink_lag_events", "Events that an audit sink does not have yet.")),
            ),
            sink_lag_seconds: shown(
                of,
                by_sink(Opts::new(
                    "strongroom_audit_sink_lag_seconds",
                    "How long the oldest event that an audit sink does not have yet has waited.",
                )),
            ),
            sink_failures: shown(
                of,
                IntCounterVec::new(
                    Opts::new(
                        "strongroom_audit_sink_failures_total",
                        "Batches that an audit sink did not take: each is sent again.",
                    ),
                    &["sink"],
                ),
            ),
            archive: Archiving::new(of),
            witnessing: Witnessing::new(of),
            backups: BackingUp::new(of),
            leasing: Leasing::new(of),
            rotating: Rotating::new(of),
            spans: Spans::new(of),
            rolled_back: plain(
                of,
                "strongroom_audit_logs_rolled_back",
                "Logs that do not have what was signed of them: their namespaces stay sealed until that is accepted.",
            ),
            anchor_failures: counter(of, "strongroom_audit_anchor_failures_total", "Writings of the anchors that failed."),
            seals: Sealing::new(of),
            registry,
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What is looked up when somebody asks, and not counted.
pub struct Now {
    /// Whether requests are served.
    pub unsealed: bool,
    /// Requests that are being answered.
    pub in_flight: usize,
    /// Tenants whose keys are in memory.
    pub tenants: usize,
    /// Of the process, as the operating system tells it.
    pub usage: Usage,
}

/// What the process takes of its machine. What is not known is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Memory, bytes.
    pub resident_bytes: Option<u64>,
    /// Open files.
    pub files: Option<u64>,
    /// Processor time, user and system.
    pub processor: Option<Duration>,
}

/// All metrics in Prometheus' text format.
pub fn render(now: &Now) -> Result<String, Refusal> {
    let metrics = &*METRICS;
    let unsealed = f64::from(u8::from(now.unsealed));
    metrics.unsealed.set(unsealed);
    metrics.active.set(unsealed);
    metrics.in_flight.set(float(now.in_flight as u64));
    metrics.tenants.set(float(now.tenants as u64));
    let Usage { resident_bytes, files, processor } = now.usage;
    let seconds = processor.map(|time| time.as_secs_f64());
    for (gauge, value) in
        [(&metrics.resident, resident_bytes.map(float)), (&metrics.files, files.map(float)), (&metrics.processor, seconds)]
    {
        if let Some(value) = value {
            gauge.set(value);
        }
    }
    TextEncoder::new()
        .encode_to_string(&metrics.registry.gather())
        .map_err(|error| Refusal::Internal(format!("the metrics cannot be written: {error}")))
}

#[expect(clippy::cast_precision_loss, reason = "sizes and counts are far below 2^52")]
fn float(value: u64) -> f64 {
    value as f64
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A request was answered with `status`, `took` after its header had come.
pub fn answered(status: u16, took: Duration) {
    let metrics = &*METRICS;
    let [fine, wrong, limited, failed] = &metrics.answers;
    let class = match status {
        ..400 => fine,
        429 => limited,
        400..500 => wrong,
        _ => failed,
    };
    class.inc();
    metrics.handle_request.observe(milliseconds(took));
    metrics.duration.observe(took.as_secs_f64());
}

/// A group of `requests` became durable in `took`, of which the store had `writing`.
pub fn group_committed(requests: usize, took: Duration, writing: Duration) {
    METRICS.group.observe(float(requests as u64));
    METRICS.audit.observe(milliseconds(took));
    METRICS.put.observe(milliseconds(writing));
}

/// The events of `requests` could not be made durable.
pub fn group_failed(requests: usize) {
    METRICS.audit_failures.inc_by(requests as u64);
}

/// A request was decided again.
pub fn decided_again() {
    METRICS.reruns.inc();
}

/// A record was read from memory.
pub fn cache_hit() {
    METRICS.cache_hits.inc();
}

/// A record was read from the store in `took`.
pub fn record_read(took: Duration) {
    METRICS.cache_misses.inc();
    METRICS.get.observe(milliseconds(took));
}

/// A directory was read from the store in `took`.
pub fn directory_read(took: Duration) {
    METRICS.list.observe(milliseconds(took));
}

/// A request without a valid token was past its source's rate.
pub fn stranger_refused() {
    METRICS.strangers_refused.inc();
}

/// A request was past the rate limit that holds for it.
pub fn over_rate_limit() {
    METRICS.over_rate_limit.inc();
}

/// A request ended in a flaw of the server.
pub fn panicked() {
    METRICS.panics.inc();
}

/// An open connection, as long as this lives.
pub struct Connection(());

/// A client has connected.
pub fn connected() -> Connection {
    METRICS.connections.inc();
    Connection(())
}

impl Drop for Connection {
    fn drop(&mut self) {
        METRICS.connections.dec();
    }
}

/// What an audit sink does not have yet. Sinks are named by the server's configuration.
pub fn sink_lags(sink: &str, events: u64, waited: Duration) {
    METRICS.sink_lag_events.with_label_values(&[sink]).set(float(events));
    METRICS.sink_lag_seconds.with_label_values(&[sink]).set(waited.as_secs_f64());
    // There from the beginning, with 0.
    METRICS.sink_failures.with_label_values(&[sink]);
}

/// An audit sink did not take a batch.
pub fn sink_failed(sink: &str) {
    METRICS.sink_failures.with_label_values(&[sink]).inc();
}

/// How many logs do not extend their anchors.
pub fn rolled_back(logs: usize) {
    METRICS.rolled_back.set(float(logs as u64));
}

/// The anchors of the logs were not written.
pub fn anchors_failed() {
    METRICS.anchor_failures.inc();
}

/// The certificate of a listener was read again: it was taken, or refused, and the old one stays.
pub fn certificate_read(taken: bool) {
    let [done, refused] = &METRICS.reloads;
    if taken { done.inc() } else { refused.inc() }
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// With a connection.
    Done,
    /// With an error.
    Failed,
    /// Past its time.
    Slow,
}

/// A TLS handshake ended.
pub fn handshake(outcome: Handshake) {
    let [done, failed, slow] = &METRICS.handshakes;
    match outcome {
        Handshake::Done => done,
        Handshake::Failed => failed,
        Handshake::Slow => slow,
    }
    .inc();
}

#[cfg(test)]
mod tests;
