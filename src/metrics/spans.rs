//! What is counted of traces.

use prometheus::{IntCounter, Registry};

use super::METRICS;
use super::register::counters;

pub(super) struct Spans {
    /// sent, dropped
    requests: [IntCounter; 2],
}

impl Spans {
    pub(super) fn new(of: &Registry) -> Self {
        let help = "Traced requests, by what became of their spans.";
        Self { requests: counters(of, "strongroom_traces_total", help, "outcome", ["sent", "dropped"]) }
    }
}

/// What became of the spans of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// A collector has them.
    Sent,
    /// No collector took them, or the queue was full.
    Dropped,
}

/// Spans of so many requests were sent or dropped.
pub fn traces(outcome: Traces, requests: usize) {
    let [sent, dropped] = &METRICS.spans.requests;
    match outcome {
        Traces::Sent => sent,
        Traces::Dropped => dropped,
    }
    .inc_by(requests as u64);
}
