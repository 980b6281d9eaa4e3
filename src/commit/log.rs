//! A tenant's log as the committer sees it: where it stands, the row that a group adds, and the check on loading.

use super::collected::Prepared;
use crate::audit::batch::{BatchEncoder, BatchError};
use crate::audit::merkle::{Frontier, FrontierError};
use crate::audit::row::Row;
use crate::audit::summary;
use crate::crypto::Keyring;
use crate::id::{DeploymentId, TenantId};
use crate::storage::{LogRow, Tail};
use crate::time::Timestamp;

/// Where a tenant's history stands: everything that the next row builds on.
#[derive(Clone, Default)]
pub(super) struct Head {
    pub(super) seq: u64,
    pub(super) time: Timestamp,
    pub(super) root: [u8; 32],
    pub(super) frontier: Frontier,
}

/// Why a tenant's log row is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The stored tree is malformed.
    #[error("the newest log row of tenant {0} is malformed")]
    Malformed(TenantId, #[source] FrontierError),
    /// Its MAC does not verify: it was edited, moved or exchanged.
    #[error("the newest log row of tenant {0} does not verify")]
    Forged(TenantId),
}

impl Head {
    /// Before the first event.
    pub(super) fn genesis() -> Self {
        let frontier = Frontier::new();
        Self { seq: 0, time: Timestamp::default(), root: frontier.root(), frontier }
    }

    /// What a tail says, without a check of its MAC: the feed of a group is checked by the chain of roots instead.
    pub(super) fn of(tenant: TenantId, tail: &Tail) -> Result<Self, LoadError> {
        let frontier = Frontier::from_bytes(&tail.frontier).map_err(|error| LoadError::Malformed(tenant, error))?;
        if frontier.root() != tail.root || frontier.size() != tail.size() {
            return Err(LoadError::Forged(tenant));
        }
        Ok(Self { seq: tail.seq, time: tail.time, root: tail.root, frontier })
    }

    /// What the newest row says, if its MAC verifies.
    pub(super) fn verified(
        keyring: &Keyring,
        deployment: DeploymentId,
        tenant: TenantId,
        row: &LogRow,
    ) -> Result<Self, LoadError> {
        let head = Self::of(tenant, &row.tail)?;
        let mac = keyring.batch_mac(&[&covered(deployment, tenant, row, &head.frontier).mac_input()]);
        if crate::crypto::equal(&mac, &row.tail.mac) { Ok(head) } else { Err(LoadError::Forged(tenant)) }
    }
}

fn covered<'a>(deployment: DeploymentId, tenant: TenantId, row: &'a LogRow, frontier: &'a Frontier) -> Row<'a> {
    Row {
        deployment,
        tenant,
        first_index: row.tail.first_index,
        count: row.tail.count,
        seq: row.tail.seq,
        time: row.tail.time,
        group: row.tail.group,
        prev_root: row.tail.prev_root,
        frontier,
        changed: &row.tail.changed,
        leaves: &row.leaves,
        batch: &row.batch,
    }
}

/// Events of one tenant, compressed and sealed before any lock is taken.
pub(super) struct SealedEvents {
    batch: Vec<u8>,
    leaves: Vec<[u8; 32]>,
    summary: Vec<u8>,
}

impl SealedEvents {
    pub(super) fn new<'a>(
        keyring: &Keyring,
        encoder: &mut BatchEncoder,
        events: impl Iterator<Item = &'a Prepared> + Clone,
    ) -> Result<Self, BatchError> {
        let batch = encoder.encode(events.clone().map(|event| event.bytes.as_slice()))?;
        let leaves: Vec<[u8; 32]> = events.clone().map(|event| event.leaf).collect();
        let summary = match leaves.first() {
            Some(first) if leaves.len() >= summary::EVENTS_MIN => {
                let terms = events.flat_map(|event| event.terms.iter().copied()).collect();
                keyring.seal_summary(&summary::encode(terms), first)
            }
            _ => Vec::new(),
        };
        Ok(Self { batch: keyring.seal_batch(&batch), leaves, summary })
    }
}

/// The row that follows `head`, and the head after it.
pub(super) fn next_row(
    (keyring, deployment, tenant): (&Keyring, DeploymentId, TenantId),
    head: &Head,
    events: SealedEvents,
    changed: Vec<u8>,
    (group, now): ([u8; 16], Timestamp),
) -> (LogRow, Head) {
    let first_index = head.frontier.size();
    let mut frontier = head.frontier.clone();
    for leaf in &events.leaves {
        frontier.push(*leaf);
    }
    let next = Head { seq: head.seq + 1, time: head.time.max(now), root: frontier.root(), frontier };
    let tail = Tail {
        seq: next.seq,
        first_index,
        count: u32::try_from(events.leaves.len()).unwrap_or(u32::MAX),
        time: next.time,
        prev_root: head.root,
        root: next.root,
        frontier: next.frontier.to_bytes(),
        changed,
        group,
        mac: [0; 32],
    };
    let mut row = LogRow { tail, batch: events.batch, leaves: events.leaves.concat(), summary: events.summary };
    row.tail.mac = keyring.batch_mac(&[&covered(deployment, tenant, &row, &next.frontier).mac_input()]);
    (row, next)
}
