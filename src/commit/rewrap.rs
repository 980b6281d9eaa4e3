//! Wrapping a tenant's values by its newest wrapping key, some at a time, and then destroying the older keys.
//!
//! How far it has come is a record: whoever goes on, after a crash or on another server, goes on from there (`unfinished.rs`). What is written
//! meanwhile is under the newest key already. Values are not decrypted, only their data keys are wrapped anew, unless they are to be
//! encrypted anew.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::collected::Write;
use super::committer::Attempt;
use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::{Answer, Data, Refusal};
use crate::audit::event::{Event, Word};
use crate::json_record;
use crate::metrics;
use crate::record::{Address, Kind, Listing, RecordKey};
use crate::storage::RecordRow;
use crate::time::Timestamp;

/// Records that are looked at in one step.
const ROWS: usize = 64;

/// How far a tenant's values are wrapped by its newest wrapping key. None: all are, since the tenant was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrap {
    /// The version of the wrapping key that all values get.
    pub version: u32,
    /// When it began.
    pub started: Timestamp,
    /// When nothing was left to wrap.
    pub finished: Option<Timestamp>,
    /// The last record that was looked at, in the order of keys.
    after: Option<[u8; 32]>,
    /// Records that were looked at.
    pub looked_at: u64,
    /// Those that were wrapped anew.
    pub rewrapped: u64,
    /// Those that do not open. With any of them the older keys stay.
    pub damaged: u64,
    /// How many wrapping keys there are, older ones included.
    pub wrapping_keys: usize,
    /// The values are encrypted anew, each under a fresh data key.
    #[serde(default)]
    pub reencrypt: bool,
}

json_record!(Rewrap, Kind::Rewrap, Listing::None);

impl Rewrap {
    fn address() -> Address {
        Address::system(Kind::Rewrap, "values")
    }

    /// From the beginning, towards `version`.
    fn begin(version: u32, wrapping_keys: usize, reencrypt: bool, started: Timestamp) -> Self {
        let (looked_at, rewrapped, damaged) = (0, 0, 0);
        Self { version, started, finished: None, after: None, looked_at, rewrapped, damaged, wrapping_keys, reencrypt }
    }

    /// The share of the records that was looked at, from 0 to 1: keys are evenly spread, so the last one says it.
    pub fn progress(&self) -> f64 {
        if self.finished.is_some() {
            return 1.0;
        }
        let first = self.after.and_then(|key| key.first_chunk().copied());
        first.map_or(0.0, |bytes| f64::from(u32::from_be_bytes(bytes)) / 4_294_967_296.0)
    }
}

impl Txn {
    /// How far the last change of the wrapping key has come.
    pub async fn rewrap_state(&mut self, tenant: &Arc<Tenant>) -> Result<Option<Arc<Rewrap>>, Refusal> {
        Ok(self.read::<Rewrap>(tenant, &Rewrap::address()).await?.map(|found| found.value))
    }

    /// Has the tenant's values wrapped by the wrapping key of `version`, one of `keys`, beginning with the first, or encrypted anew.
    pub(super) async fn begin_rewrap(
        &mut self,
        tenant: &Arc<Tenant>,
        version: u32,
        keys: usize,
        reencrypt: bool,
    ) -> Result<(), Refusal> {
        // Values that were to be encrypted anew and are not yet, still are.
        let before = self.rewrap_state(tenant).await?;
        let reencrypt = reencrypt || before.is_some_and(|before| before.reencrypt && before.finished.is_none());
        let rewrap = Rewrap::begin(version, keys, reencrypt, self.now());
        self.put(tenant, &Rewrap::address(), &rewrap, None).await?;
        self.mark_unfinished(tenant).await?;
        self.wake_jobs(false);
        Ok(())
    }

    /// Wraps some values. `None` when there is nothing to do; otherwise how far it has come.
    async fn rewrap_some(&mut self, tenant: &Arc<Tenant>) -> Result<Option<Rewrap>, Refusal> {
        let Some(state) = self.rewrap_state(tenant).await?.filter(|state| state.finished.is_none()) else { return Ok(None) };
        // A newer wrapping key than this server has loaded was made just now: the next step has it.
        if state.version != tenant.keyring().wrapping_key_version() {
            return Ok(None);
        }
        let mut state = Rewrap::clone(&state);
        let read = self.tenants().store().records(tenant.id(), state.after.map(RecordKey), ROWS).await;
        let fill = read.map_err(|error| super::faults::store_refusal(&error))?;
        let (position, whole) = (fill.seq, fill.value.len() < ROWS);
        for row in fill.value {
            state.after = Some(row.key.0);
            state.looked_at += 1;
            self.rewrap_row(tenant, row, position, &mut state);
        }
        if whole {
            state.finished = Some(self.now());
            self.mark_finished(tenant.id()).await?;
            if state.damaged == 0 {
                self.retire_wrapping_keys(tenant).await?;
                state.wrapping_keys = 1;
            }
        }
        self.put(tenant, &Rewrap::address(), &state, None).await?;
        Ok(Some(state))
    }

    /// Wraps the data key of one record, or encrypts it anew, if it is not under the newest wrapping key. What this group has changed is.
    fn rewrap_row(&mut self, tenant: &Arc<Tenant>, row: RecordRow, position: u64, state: &mut Rewrap) {
        let touched = self.overlay.as_ref().is_some_and(|overlay| overlay.row(tenant.id(), row.key).is_some());
        if touched || !tenant.keyring().is_outdated(&row.sealed) {
            return;
        }
        let keyring = tenant.keyring();
        let sealed = if state.reencrypt {
            keyring.reencrypt_record(&row.key, &row.directory, row.expires_at, &row.sealed)
        } else {
            keyring.rewrap_record(&row.sealed)
        };
        let Ok(sealed) = sealed else {
            state.damaged += 1;
            return;
        };
        state.rewrapped += 1;
        // It must still be this record when the change is committed.
        self.remember(tenant, row.key.0, position);
        let (key, directory) = (row.key, row.directory);
        let row = Some(RecordRow { sealed, ..row });
        self.collected.writes.push(Write { tenant: Arc::clone(tenant), key, directory, listed: None, row });
    }
}

/// One step, with its event.
pub(super) struct RewrapStep {
    pub(super) tenant: Arc<Tenant>,
    /// What it came to, once it is durable.
    pub(super) done: Mutex<Step>,
}

/// What one step came to.
#[derive(Clone, Copy, Default)]
pub(super) struct Step {
    rewrapped: u64,
    damaged: u64,
}

impl RewrapStep {
    pub(super) fn new(tenant: &Arc<Tenant>) -> Self {
        Self { tenant: Arc::clone(tenant), done: Mutex::default() }
    }

    /// It is durable.
    pub(super) fn count(&self) {
        let Step { rewrapped, damaged } = *self.done.lock().unwrap_or_else(PoisonError::into_inner);
        metrics::records_rewrapped(rewrapped, damaged);
    }
}

#[async_trait]
impl Attempt for RewrapStep {
    /// `Empty` when there was nothing to do.
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let before = txn.rewrap_state(&self.tenant).await?.map_or((0, 0), |before| (before.rewrapped, before.damaged));
        let Some(state) = txn.rewrap_some(&self.tenant).await? else { return Ok(Answer::Empty) };
        let step = Step { rewrapped: state.rewrapped.saturating_sub(before.0), damaged: state.damaged.saturating_sub(before.1) };
        *self.done.lock().unwrap_or_else(PoisonError::into_inner) = step;
        let Rewrap { version, rewrapped, looked_at, damaged, .. } = state;
        let how = if state.reencrypt { "encrypted anew under" } else { "wrapped by" };
        let end = if state.finished.is_some() { "; done" } else { "" };
        let text = format!(
            "{rewrapped} of {looked_at} records {how} wrapping key {version}, {damaged} left because they do not open{end}"
        );
        let event = Event::of_job(txn.now(), self.tenant.id(), Word::new("rewrap"), text);
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Data(Data::new(None)))
    }
}
