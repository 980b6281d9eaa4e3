//! `sys/rotate/config`: when a namespace's wrapping key is rotated by itself.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Operation;
use crate::answer::{Answer, Refusal};
use crate::commit::{Tenant, Txn};
use crate::engine::table::{Call, Field};
use crate::json::Json;
use crate::record::{Address, Kind, Listing};
use crate::time::{Timestamp, go_duration};

/// The shortest time between two rotations that nobody asked for.
const INTERVAL_MIN: Duration = Duration::from_hours(24);
/// What OpenBao takes.
const OPERATIONS: RangeInclusive<i64> = 1_000_000..=3_865_470_566;

/// The setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RotationConfig {
    enabled: bool,
    /// None without time.
    interval_seconds: u64,
    /// Kept for clients that set it. Nothing follows from it: uses of a wrapping key need no limit, and are not counted.
    max_operations: i64,
    /// When the root has it down for: by that it is opened when nobody else asks for it.
    #[serde(default)]
    marked: Option<Timestamp>,
}

crate::json_record!(RotationConfig, Kind::RotationConfig, Listing::None);

impl Default for RotationConfig {
    fn default() -> Self {
        Self { enabled: true, interval_seconds: 0, max_operations: *OPERATIONS.end(), marked: None }
    }
}

impl RotationConfig {
    fn address() -> Address {
        Address::system(Kind::RotationConfig, "keyring")
    }

    async fn of(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Self, Refusal> {
        let found = txn.read::<Self>(tenant, &Self::address()).await?;
        Ok(found.map_or_else(Self::default, |found| Self::clone(&found.value)))
    }

    fn interval(&self) -> Option<Duration> {
        (self.interval_seconds > 0).then(|| Duration::from_secs(self.interval_seconds))
    }

    /// When the next rotation is due; none without a schedule.
    async fn due(&self, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<Timestamp>, Refusal> {
        let Some(interval) = self.interval().filter(|_| self.enabled) else { return Ok(None) };
        Ok(Some(super::installed(tenant, txn).await?.plus(interval)))
    }

    /// Has the root know when the next one is due. Whether it did not.
    async fn mark(&mut self, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<bool, Refusal> {
        // The root is always open.
        let due = if tenant.parent().is_some() { self.due(tenant, txn).await? } else { None };
        if self.marked == due {
            return Ok(false);
        }
        txn.mark_due(tenant, self.marked, due).await?;
        self.marked = due;
        Ok(true)
    }
}

/// What is to be set; what is none stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    enabled: Option<bool>,
    interval: Option<Duration>,
    max_operations: Option<i64>,
}

pub(super) const FIELDS: &[Field] = &[
    Field { name: "enabled", kind: "boolean", help: "Whether it is rotated by itself." },
    Field { name: "interval", kind: "duration", help: "The time between two rotations, at least 24h; 0 for none." },
    Field { name: "max_operations", kind: "integer", help: "Kept, and of no effect: uses need no limit." },
];

pub(super) fn parse(call: &Call<'_>) -> Result<Operation, Refusal> {
    let fields = call.fields;
    let (enabled, interval) = (fields.boolean("enabled")?, fields.duration("interval")?);
    if interval.is_some_and(|interval| !interval.is_zero() && interval < INTERVAL_MIN) {
        return Err(Refusal::invalid(format!("interval must be greater or equal to {}", go_duration(INTERVAL_MIN))));
    }
    let max_operations = fields.integer("max_operations")?;
    if max_operations.is_some_and(|number| !OPERATIONS.contains(&number)) {
        let (least, most) = OPERATIONS.into_inner();
        return Err(Refusal::invalid(format!("max_operations must be in the range [{least},{most}]")));
    }
    Ok(Operation::Reschedule(Change { enabled, interval, max_operations }))
}

pub(super) async fn show(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let config = RotationConfig::of(tenant, txn).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("enabled", &config.enabled);
        // As others have it: a number where there is none, else a text.
        match config.interval() {
            None => data.field("interval", &0),
            Some(interval) => data.field("interval", &go_duration(interval)),
        };
        data.field("max_operations", &config.max_operations);
    })))
}

pub(super) async fn change(tenant: &Arc<Tenant>, change: Change, txn: &mut Txn) -> Result<Answer, Refusal> {
    let before = RotationConfig::of(tenant, txn).await?;
    let mut config = RotationConfig {
        enabled: change.enabled.unwrap_or(before.enabled),
        interval_seconds: change.interval.map_or(before.interval_seconds, |interval| interval.as_secs()),
        max_operations: change.max_operations.unwrap_or(before.max_operations),
        marked: before.marked,
    };
    config.mark(tenant, txn).await?;
    txn.put(tenant, &RotationConfig::address(), &config, None).await?;
    txn.wake_jobs(false);
    Ok(Answer::Empty)
}

/// Rotates a tenant's wrapping key if its time has come; what was done, if anything. When the last one was made is read with it, so of
/// several servers only one does it. What is still being wrapped anew is waited for. Who made a new key by hand has moved the time of
/// the next one.
pub(in crate::sys) async fn rotate_due(tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<&'static str>, Refusal> {
    let mut config = RotationConfig::of(tenant, txn).await?;
    let mut done = None;
    if config.due(tenant, txn).await?.is_some_and(|due| due <= txn.now())
        && txn.rewrap_state(tenant).await?.is_none_or(|state| state.finished.is_some())
    {
        txn.rotate_keyring(tenant, false).await?;
        done = Some("1 wrapping key rotated");
    }
    if config.mark(tenant, txn).await? {
        txn.put(tenant, &RotationConfig::address(), &config, None).await?;
        done = done.or(Some("the time of the next rotation written down"));
    }
    Ok(done)
}

#[cfg(test)]
#[path = "schedule_tests.rs"]
mod tests;
