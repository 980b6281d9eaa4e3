//! What is counted of witnesses: names are the operator's.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, IntCounterVec, Opts, Registry};

use super::METRICS;
use super::register::{plain, shown};

pub(super) struct Witnessing {
    waits: GaugeVec,
    failures: IntCounterVec,
    unwitnessed: Gauge,
}

impl Witnessing {
    pub(super) fn new(of: &Registry) -> Self {
        let waits = "How long the log of the deployment has waited for a witness to cosign it.";
        let failures = "Submissions that a witness did not cosign: each is tried again.";
        Self {
            waits: shown(of, GaugeVec::new(Opts::new("strongroom_audit_witness_lag_seconds", waits), &["witness"])),
            failures: shown(of, IntCounterVec::new(Opts::new("strongroom_audit_witness_failures_total", failures), &["witness"])),
            unwitnessed: plain(
                of,
                "strongroom_audit_unwitnessed_seconds",
                "How long the log of the deployment has waited for as many cosignatures as are required.",
            ),
        }
    }
}

/// The log of the deployment has waited so long for a witness.
pub fn witness_waits(witness: &str, waited: Duration) {
    let metrics = &METRICS.witnessing;
    metrics.waits.with_label_values(&[witness]).set(waited.as_secs_f64());
    // There from the beginning, with 0.
    metrics.failures.with_label_values(&[witness]);
}

/// A witness did not cosign.
pub fn witness_failed(witness: &str) {
    METRICS.witnessing.failures.with_label_values(&[witness]).inc();
}

/// The log of the deployment has waited so long for as many cosignatures as are required.
pub fn unwitnessed(waited: Duration) {
    METRICS.witnessing.unwitnessed.set(waited.as_secs_f64());
}
