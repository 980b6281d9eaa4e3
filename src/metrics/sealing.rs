//! What is counted of seals.

use prometheus::{GaugeVec, IntCounterVec, Opts, Registry};

use super::METRICS;
use super::register::shown;

const ANSWERS: &str = "1 while a configured seal answers, also with a refusal, else 0.";
const CALLS: &str = "Calls to seals in other systems, by outcome.";

pub(super) struct Sealing {
    answer: GaugeVec,
    /// By seal and outcome.
    calls: IntCounterVec,
}

impl Sealing {
    pub(super) fn new(of: &Registry) -> Self {
        Self {
            answer: shown(of, GaugeVec::new(Opts::new("strongroom_seal_answers", ANSWERS), &["seal"])),
            calls: shown(of, IntCounterVec::new(Opts::new("strongroom_seal_calls_total", CALLS), &["seal", "outcome"])),
        }
    }
}

/// What came of a call to a seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealCall {
    /// What was asked for.
    Done,
    /// A refusal, or a wrap that does not open.
    Refused,
    /// Nothing: it is away.
    Unavailable,
}

impl SealCall {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// A seal of this name is configured. The name is the operator's.
pub fn seal_configured(seal: &str) {
    METRICS.seals.answer.with_label_values(&[seal]).set(1.0);
    for outcome in [SealCall::Done, SealCall::Refused, SealCall::Unavailable] {
        METRICS.seals.calls.with_label_values(&[seal, outcome.word()]);
    }
}

/// A call to a seal ended.
pub fn seal_called(seal: &str, outcome: SealCall) {
    METRICS.seals.answer.with_label_values(&[seal]).set(if outcome == SealCall::Unavailable { 0.0 } else { 1.0 });
    METRICS.seals.calls.with_label_values(&[seal, outcome.word()]).inc();
}
