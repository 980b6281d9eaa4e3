//! What is counted of rotations of wrapping keys.

use prometheus::{Gauge, IntCounter, Registry};

use super::METRICS;
use super::register::{counter, plain};

pub(super) struct Rotating {
    unfinished: Gauge,
    rewrapped: IntCounter,
    damaged: IntCounter,
}

impl Rotating {
    pub(super) fn new(of: &Registry) -> Self {
        Self {
            unfinished: plain(of, "strongroom_rotations_unfinished", "Namespaces whose values are being wrapped anew."),
            rewrapped: counter(of, "strongroom_rotation_records_total", "Records that this server wrapped or encrypted anew."),
            damaged: counter(of, "strongroom_rotation_damaged_total", "Records that a rotation left: they do not open."),
        }
    }
}

/// So many namespaces' values are being wrapped anew.
pub fn rotations_unfinished(namespaces: usize) {
    METRICS.rotating.unfinished.set(f64::from(u32::try_from(namespaces).unwrap_or(u32::MAX)));
}

/// A step of a rotation is durable.
pub fn records_rewrapped(rewrapped: u64, damaged: u64) {
    METRICS.rotating.rewrapped.inc_by(rewrapped);
    METRICS.rotating.damaged.inc_by(damaged);
}
