//! The second half of a group: what was accepted becomes rows, the rows become durable, and then there are answers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join;

use super::group::{Groups, Item};
use super::log::{self, Head, SealedEvents};
use super::news::Unread;
use super::receipts::Receipts;
use super::reserve::Grant;
use super::tenant::Tenant;
use crate::answer::Answer;
use crate::audit::batch::BatchError;
use crate::audit::changed::{self, GONE};
use crate::id::TenantId;
use crate::metrics;
use crate::record::{DirKey, RecordKey};
use crate::storage::{Batch, Change, Group, RecordRow, StoreError, Structural, TenantState};
use crate::time::Timestamp;

/// How many answers are written while their group reaches the disk. Where there are more, the processors have enough to do.
const MEANWHILE_MAX: usize = 4;

/// Why a group did not end well.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The store failed, and says how.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The connection was lost during COMMIT, and the group is not in the log.
    #[error("the connection was lost before the group was committed")]
    NotCommitted,
    /// The connection was lost during COMMIT, and the log cannot be read.
    #[error("the outcome of the last group is not known")]
    Undecided,
    /// The events do not fit into one batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

/// The commits of a group, in history's order.
pub(super) struct Accepted {
    pub(super) items: Vec<Item>,
    /// Some commit ran again, so that the events sealed before no longer fit.
    pub(super) rerun: bool,
}

/// What a group will change in one tenant.
#[derive(Default)]
struct Changes {
    rows: BTreeMap<RecordKey, Option<RecordRow>>,
    directories: Vec<DirKey>,
}

/// What is taken over when the group is durable.
struct Applied {
    tenant: Arc<Tenant>,
    head: Head,
    rows: Vec<(RecordKey, Option<RecordRow>)>,
    directories: Vec<DirKey>,
    news: Unread,
}

impl Groups {
    pub(super) async fn apply(
        &mut self,
        group: Box<dyn Group>,
        accepted: Accepted,
        mut sealed: HashMap<TenantId, SealedEvents>,
        since: Instant,
    ) -> Result<(), (Vec<Item>, Failure)> {
        let Accepted { mut items, rerun } = accepted;
        if items.is_empty() {
            group.rollback().await;
            return Ok(());
        }
        if rerun {
            sealed = match self.seal(&items) {
                Ok(sealed) => sealed,
                Err(error) => return Err((items, error)),
            };
        }
        let id = crate::random::frequent();
        let (batches, applied) = self.batches(&mut items, sealed, id, group.now());
        let receipts = Receipts::of(&items, &batches, self.tenants.deployment());
        let structural: Vec<Structural> = items.iter_mut().flat_map(|item| std::mem::take(&mut item.commit.structural)).collect();
        let gone = structural.iter().filter_map(keys_gone);
        let dropped: Vec<TenantId> = gone.chain(items.iter().flat_map(|item| item.commit.dropped.iter().copied())).collect();
        let tenants: Vec<TenantId> = batches.iter().map(|batch| batch.tenant).collect();
        let writing = Instant::now();
        // Who waits for the disk has time for what is written late: the commit is on its way first.
        let late = items.iter_mut().filter_map(|item| item.outcome.as_mut().ok()).filter(|answer| answer.is_late());
        let meanwhile = async { late.take(MEANWHILE_MAX).for_each(Answer::begin) };
        let outcome = match join(group.commit(batches, structural), meanwhile).await.0 {
            Err(StoreError::Unknown(cause)) => self.resolve(&tenants, id, cause.to_string()).await,
            outcome => outcome.map_err(Failure::from),
        };
        if let Err(error) = outcome {
            return Err((items, error));
        }
        metrics::group_committed(items.len(), since.elapsed(), writing.elapsed());
        for spans in items.iter().filter_map(|item| item.attempt.spans()) {
            spans.stored(since, items.len());
        }
        for done in applied {
            self.tenants.grown(done.tenant.id(), done.news);
            done.tenant.advance(done.head, done.rows, &done.directories);
        }
        for tenant in dropped {
            self.tenants.forget(tenant);
        }
        if let Some(wake) = items.iter().filter_map(|item| item.commit.wake).max() {
            self.tenants.wake_jobs(wake);
        }
        receipts.give(&items);
        for mut item in items {
            std::mem::take(&mut item.commit.grants).into_iter().for_each(Grant::settle);
            item.answer();
        }
        Ok(())
    }

    /// One batch for each tenant that has events; and what to take over once they are durable.
    fn batches(
        &self,
        items: &mut [Item],
        sealed: HashMap<TenantId, SealedEvents>,
        group: [u8; 16],
        now: Timestamp,
    ) -> (Vec<Batch>, Vec<Applied>) {
        let mut changes: HashMap<TenantId, Changes> = HashMap::new();
        let mut tenants: HashMap<TenantId, Arc<Tenant>> = HashMap::new();
        for item in items.iter_mut() {
            for (tenant, _) in &item.commit.events {
                tenants.entry(tenant.id()).or_insert_with(|| Arc::clone(tenant));
            }
            for write in item.commit.writes.drain(..) {
                let change = changes.entry(write.tenant.id()).or_default();
                if write.listed.is_some() {
                    change.directories.push(write.directory);
                }
                change.rows.insert(write.key, write.row);
            }
        }
        let mut batches = Vec::with_capacity(sealed.len());
        let mut applied = Vec::with_capacity(sealed.len());
        for (id, events) in sealed {
            let Some(tenant) = tenants.remove(&id) else { continue };
            let Changes { rows, mut directories } = changes.remove(&id).unwrap_or_default();
            directories.sort_unstable();
            directories.dedup();
            let states: Vec<_> = rows.iter().map(|(key, row)| (*key, row.as_ref().map_or(GONE, RecordRow::state_hash))).collect();
            let column = changed::encode(&states, &directories);
            let context = (tenant.keyring(), self.tenants.deployment(), id);
            let (log, head) = log::next_row(context, &tenant.head(), events, column, (group, now));
            let (from, to) = (log.tail.first_index, log.tail.size());
            let news = Unread { seq: head.seq, from, to, since: head.time };
            let rows: Vec<_> =
                rows.into_iter().map(|(key, row)| (key, row.map(|row| RecordRow { seq: head.seq, ..row }))).collect();
            let changes = rows.iter().map(|(key, row)| row.clone().map_or(Change::Remove(*key), Change::Put)).collect();
            batches.push(Batch { tenant: id, changes, log });
            applied.push(Applied { tenant, head, rows, directories, news });
        }
        (batches, applied)
    }

    /// After a lost COMMIT: waits for the old transaction to end, and looks for the group in the log.
    async fn resolve(&self, tenants: &[TenantId], group: [u8; 16], cause: String) -> Result<(), Failure> {
        tracing::warn!(cause, "the connection was lost during COMMIT; looking for the group in the log");
        for wait in [50, 100, 200, 400, 800, 1600, 3200] {
            match self.tenants.store().committed(tenants, group).await {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(Failure::NotCommitted),
                Err(error) => tracing::warn!(%error, "the outcome is not known yet"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        }
        Err(Failure::Undecided)
    }
}

/// The tenant whose keys are destroyed.
fn keys_gone(change: &Structural) -> Option<TenantId> {
    match change {
        Structural::State(tenant, TenantState::Erasing) => Some(*tenant),
        _ => None,
    }
}
