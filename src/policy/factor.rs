//! Second factors: what a rule demands, and what a caller has shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// A second factor that was shown to a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownFactor {
    /// The method's id.
    pub method: String,
    /// When.
    pub time: Timestamp,
}

/// That the caller's token has shown a second factor lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorDemand {
    /// By name or id; any one of them is enough.
    pub methods: Vec<String>,
    /// How long it counts.
    pub max_age: Duration,
}

/// What a token has shown and when, under every name that a policy may use.
#[derive(Default)]
pub(super) struct Shown(Vec<(String, Timestamp)>);

impl Shown {
    pub(super) fn add(&mut self, method: String, time: Timestamp) {
        self.0.push((method, time));
    }

    /// Until when a demand is met; `None` when nothing that it names was ever shown. What was shown in the future was not
    /// shown yet.
    pub(super) fn meets_until(&self, demand: &FactorDemand, now: Timestamp) -> Option<Timestamp> {
        let of = |(method, time): &(String, Timestamp)| (demand.methods.contains(method) && *time <= now).then_some(*time);
        self.0.iter().filter_map(of).max().map(|time| time.plus(demand.max_age))
    }
}
