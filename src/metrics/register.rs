//! Making metrics that the registry shows.

use prometheus::core::Collector;
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// Has the registry show a metric. The names are constants of `metrics.rs`, and its tests make all of them: one that is
/// wrong, or there twice, does not get past them.
pub(super) fn shown<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    #[expect(clippy::expect_used, reason = "fails for a name in `metrics.rs` only, and then in every test")]
    let metric = made.expect("a metric's name is wrong");
    #[expect(clippy::expect_used, reason = "as above")]
    registry.register(Box::new(metric.clone())).expect("a metric is there twice");
    metric
}

pub(super) fn gauge(registry: &Registry, opts: Opts) -> Gauge {
    shown(registry, Gauge::with_opts(opts))
}

pub(super) fn by_sink(opts: Opts) -> prometheus::Result<GaugeVec> {
    GaugeVec::new(opts, &["sink"])
}

pub(super) fn plain(registry: &Registry, name: &str, help: &str) -> Gauge {
    gauge(registry, Opts::new(name, help))
}

pub(super) fn counter(registry: &Registry, name: &str, help: &str) -> IntCounter {
    shown(registry, IntCounter::new(name, help))
}

pub(super) fn counters<const N: usize>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
    values: [&str; N],
) -> [IntCounter; N] {
    let all = shown(registry, IntCounterVec::new(Opts::new(name, help), &[label]));
    values.map(|value| all.with_label_values(&[value]))
}

pub(super) fn histogram(registry: &Registry, name: &str, help: &str, bounds: &[f64]) -> Histogram {
    shown(registry, Histogram::with_opts(HistogramOpts::new(name, help).buckets(bounds.to_vec())))
}

pub(super) fn times_ms(registry: &Registry, name: &str, help: &str) -> Histogram {
    histogram(registry, name, help, &super::SECONDS.map(|bound| bound * 1e3))
}
