//! What is counted of leases, and of the servers that live.

use prometheus::{Gauge, GaugeVec, IntCounterVec, Opts, Registry};

use super::METRICS;
use super::register::{plain, shown};

pub(super) struct Leasing {
    held: GaugeVec,
    taken: IntCounterVec,
    replicas: Gauge,
}

impl Leasing {
    pub(super) fn new(of: &Registry) -> Self {
        let (held, taken) = ("1 while this server has a lease.", "How often this server took a lease that it did not have.");
        Self {
            held: shown(of, GaugeVec::new(Opts::new("strongroom_lease_held", held), &["lease"])),
            taken: shown(of, IntCounterVec::new(Opts::new("strongroom_lease_moves_total", taken), &["lease"])),
            replicas: plain(of, "strongroom_replicas", "Open servers on this database, as this one was told last."),
        }
    }
}

/// This server has a lease.
pub fn lease_taken(lease: &str) {
    METRICS.leasing.held.with_label_values(&[lease]).set(1.0);
    METRICS.leasing.taken.with_label_values(&[lease]).inc();
}

/// This server does not have a lease.
pub fn lease_lost(lease: &str) {
    METRICS.leasing.held.with_label_values(&[lease]).set(0.0);
}

/// So many servers live.
pub fn replicas(count: usize) {
    METRICS.leasing.replicas.set(f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
}
