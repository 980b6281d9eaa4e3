//! Values for the tests of the store: well-formed, and of no meaning to it.

use strongroom::id::{DeploymentId, TenantId};
use strongroom::random;
use strongroom::record::{DirKey, RecordKey};
use strongroom::storage::{
    Batch, Change, Deployment, Known, LogRow, NewTenant, RecordRow, Store, StoreError, Structural, Tail, TenantKeys, Wrap,
};
use strongroom::time::Timestamp;

pub(super) fn keys(generation: u32) -> TenantKeys {
    let wrap = |seal: &str| Wrap { seal: seal.to_owned(), wrap: random::bytes::<60>().to_vec() };
    TenantKeys { generation, wraps: vec![wrap("eu"), wrap("us")], keyring: random::bytes::<200>().to_vec() }
}

pub(super) fn new_tenant(parent: Option<TenantId>) -> NewTenant {
    NewTenant { id: TenantId::random(), parent, keys: keys(1) }
}

pub(super) fn deployment(root: TenantId, edge: TenantId) -> Deployment {
    Deployment { id: DeploymentId::random(), root, edge, dev: true, seal: br#"{"kind":"static"}"#.to_vec(), format: 1 }
}

/// A store with a deployment and `count` tenants; their identifiers.
pub(super) async fn tenants(store: &dyn Store, count: usize) -> Vec<TenantId> {
    let new: Vec<NewTenant> = (0..count.max(2)).map(|_| new_tenant(None)).collect();
    assert!(store.initialise(&deployment(new[0].id, new[1].id), &new).await.unwrap());
    new.iter().take(count).map(|tenant| tenant.id).collect()
}

pub(super) fn record(number: u32) -> RecordRow {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.to_be_bytes());
    RecordRow {
        key: RecordKey(key),
        directory: DirKey([3; 32]),
        seq: 1,
        expires_at: None,
        name: random::bytes::<40>().to_vec(),
        sealed: random::bytes::<300>().to_vec(),
    }
}

/// The log row after `tail`, of `count` events.
pub(super) fn log_row(tail: Option<&Tail>, count: u32) -> LogRow {
    LogRow {
        tail: Tail {
            seq: tail.map_or(1, |tail| tail.seq + 1),
            first_index: tail.map_or(0, Tail::size),
            count,
            time: Timestamp(1_795_251_600_123_456_789),
            prev_root: tail.map_or([0; 32], |tail| tail.root),
            root: random::bytes(),
            frontier: random::bytes::<96>().to_vec(),
            changed: random::bytes::<64>().to_vec(),
            group: random::bytes(),
            mac: random::bytes(),
        },
        batch: random::bytes::<500>().to_vec(),
        leaves: vec![5; 32 * count as usize],
        summary: if count > 1 { random::bytes::<90>().to_vec() } else { Vec::new() },
    }
}

/// Commits one group of `changes` in `tenant`, as somebody who knows its newest row.
pub(super) async fn commit(store: &dyn Store, tenant: TenantId, changes: Vec<Change>) -> Result<LogRow, StoreError> {
    commit_with(store, tenant, changes, Vec::new()).await
}

pub(super) async fn commit_with(
    store: &dyn Store,
    tenant: TenantId,
    changes: Vec<Change>,
    structural: Vec<Structural>,
) -> Result<LogRow, StoreError> {
    let group = store.begin(&[Known::locked(tenant, 0)]).await?;
    let log = log_row(group.feed(tenant).tail.as_ref(), 1);
    group.commit(vec![Batch { tenant, changes, log: log.clone() }], structural).await?;
    Ok(log)
}
