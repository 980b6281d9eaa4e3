//! What backups count.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, Registry};

use super::METRICS;
use super::register::{counter, plain};

pub(super) struct BackingUp {
    age: Gauge,
    failures: IntCounter,
}

impl BackingUp {
    pub(super) fn new(of: &Registry) -> Self {
        let age = plain(of, "strongroom_backup_age_seconds", "How long ago the last good backup was begun.");
        // Without any backup no age is told: 0 would look well.
        age.set(f64::INFINITY);
        let failures = counter(of, "strongroom_backup_failures_total", "Backups of this server that came to nothing.");
        Self { age, failures }
    }
}

/// The last good backup was begun so long ago.
pub fn backup_age(ago: Duration) {
    METRICS.backups.age.set(ago.as_secs_f64());
}

/// A backup came to nothing.
pub fn backup_failed() {
    METRICS.backups.failures.inc();
}
