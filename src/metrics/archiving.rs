//! What the archive of the audit log counts.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, Registry};

use super::register::{counter, plain};
use super::{METRICS, float};

pub(super) struct Archiving {
    lag: Gauge,
    behind: Gauge,
    segments: IntCounter,
    bytes: IntCounter,
    pruned: IntCounter,
    failures: IntCounter,
}

impl Archiving {
    pub(super) fn new(of: &Registry) -> Self {
        Self {
            lag: plain(
                of,
                "strongroom_audit_archive_lag_seconds",
                "How long ago a look at all logs began that left nothing signed outside of the archive.",
            ),
            behind: plain(of, "strongroom_audit_archive_lag_events", "Events that were not in the archive at the last look."),
            segments: counter(
                of,
                "strongroom_audit_archive_segments_total",
                "Segments written to the archive and verified there.",
            ),
            bytes: counter(of, "strongroom_audit_archive_bytes_total", "Bytes of these segments."),
            pruned: counter(of, "strongroom_audit_archive_pruned_events_total", "Events that left the database for the archive."),
            failures: counter(
                of,
                "strongroom_audit_archive_failures_total",
                "Logs that were not archived or pruned when they were due: each is tried again.",
            ),
        }
    }
}

/// A look at all logs that left nothing signed outside of the archive began so long ago.
pub fn archive_lags(ago: Duration) {
    METRICS.archive.lag.set(ago.as_secs_f64());
}

/// So many events were not in the archive at the last look.
pub fn archive_behind(events: u64) {
    METRICS.archive.behind.set(float(events));
}

/// A segment was written and verified.
pub fn segment_archived(bytes: u64) {
    METRICS.archive.segments.inc();
    METRICS.archive.bytes.inc_by(bytes);
}

/// Events left the database.
pub fn events_pruned(events: u64) {
    METRICS.archive.pruned.inc_by(events);
}

/// A log was not archived or pruned when it was due.
pub fn archive_failed() {
    METRICS.archive.failures.inc();
}
