//! Erasing a tenant: keys at once, rows in chunks, and nobody else's.

use strongroom::id::TenantId;
use strongroom::random;
use strongroom::storage::{Batch, Change, Checkpoint, KeptLeaves, Known, LogRow, Store, StoreError, Structural, TenantState};

use super::sample::{self, commit, commit_with, record};

async fn set(store: &dyn Store, tenant: TenantId, state: TenantState) {
    commit_with(store, tenant, Vec::new(), vec![Structural::State(tenant, state)]).await.unwrap();
}

pub(super) async fn erasing_destroys_keys_then_rows(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let (gone, stays) = (ids[0], ids[1]);
    for tenant in [gone, stays] {
        commit(store, tenant, (0..25).map(|number| Change::Put(record(number))).collect()).await.unwrap();
    }
    set(store, gone, TenantState::Erasing).await;
    let row = store.tenant(gone).await.unwrap().unwrap();
    assert_eq!((row.state, row.wraps.len(), row.keyring.len()), (TenantState::Erasing, 0, 0));
    assert_eq!(store.tenants_in(TenantState::Erasing, 10).await.unwrap(), vec![gone]);
    // There is no way back, and no new keys.
    set(store, gone, TenantState::Active).await;
    assert_eq!(store.tenant(gone).await.unwrap().unwrap().state, TenantState::Erasing);
    let keys = commit_with(store, gone, Vec::new(), vec![Structural::Keys(gone, sample::keys(2))]).await;
    assert!(matches!(keys, Err(StoreError::Misused(_))), "{keys:?}");

    let mut chunks = Vec::new();
    loop {
        let deleted = store.erase_chunk(gone, 10, None).await.unwrap();
        if deleted == 0 {
            break;
        }
        chunks.push(deleted);
    }
    assert_eq!(chunks, [10, 10, 5, 3, 1], "25 records, 3 log rows, 1 tenant");
    assert_eq!(store.tenant(gone).await.unwrap(), None);
    assert!(store.log(gone, 0, 10).await.unwrap().is_empty());
    assert!(store.tenants_in(TenantState::Erasing, 10).await.unwrap().is_empty());
    let group = store.begin(&[Known::locked(gone, 3)]).await.unwrap();
    assert_eq!((group.feed(gone).state, group.feed(gone).tail.clone()), (None, None));
    group.rollback().await;
    assert!(store.record(stays, record(24).key).await.unwrap().value.is_some());
    assert_eq!(store.log(stays, 0, 10).await.unwrap().len(), 1);
}

pub(super) async fn only_erasing_tenants_are_erased(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    commit(store, tenant, vec![Change::Put(record(1))]).await.unwrap();
    for state in [TenantState::Active, TenantState::Sealed] {
        set(store, tenant, state).await;
        assert!(matches!(store.erase_chunk(tenant, 10, None).await, Err(StoreError::Misused(_))));
    }
    assert_eq!(store.tenants_in(TenantState::Sealed, 10).await.unwrap(), vec![tenant]);
    assert!(store.tenants_in(TenantState::Active, 10).await.unwrap().is_empty(), "ordinary tenants are not listed");
    assert_eq!(store.erase_chunk(TenantId::random(), 10, None).await.unwrap(), 0);
    assert!(store.record(tenant, record(1).key).await.unwrap().value.is_some());
    assert_eq!(store.log(tenant, 0, 10).await.unwrap().len(), 3);
}

/// Commits one group of `count` events.
async fn events(store: &dyn Store, tenant: TenantId, count: u32) -> LogRow {
    let group = store.begin(&[Known::locked(tenant, 0)]).await.unwrap();
    let mut log = sample::log_row(group.feed(tenant).tail.as_ref(), count);
    log.leaves = (0..count).flat_map(|_| random::bytes::<32>()).collect();
    group.commit(vec![Batch { tenant, changes: Vec::new(), log: log.clone() }], Vec::new()).await.unwrap();
    log
}

pub(super) async fn leaf_hashes_and_checkpoints_of_an_erased_tenant_stay(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let (gone, stays) = (ids[0], ids[1]);
    let mut rows = Vec::new();
    for count in [1, 3, 2, 1] {
        rows.push(events(store, gone, count).await);
    }
    events(store, stays, 2).await;
    let checkpoint = Checkpoint { size: 6, root: [1; 32], note: b"note".to_vec() };
    assert!(store.add_checkpoint(gone, &checkpoint, None).await.unwrap());
    set(store, gone, TenantState::Erasing).await;
    rows.push(store.log(gone, 5, 1).await.unwrap().pop().unwrap());
    assert_eq!(store.kept_leaves(gone, u64::MAX, 9).await.unwrap(), [], "as long as the rows are there");

    let run = |rows: &[LogRow]| KeptLeaves {
        first_index: rows[0].tail.first_index,
        leaves: rows.iter().flat_map(|row| row.leaves.clone()).collect(),
        frontier: rows.last().unwrap().tail.frontier.clone(),
    };
    // What is kept is the log's beginning, at every moment.
    assert_eq!(store.erase_chunk(gone, 2, None).await.unwrap(), 2);
    assert_eq!(store.kept_leaves(gone, u64::MAX, 9).await.unwrap(), [run(&rows[..2])]);
    while store.erase_chunk(gone, 2, None).await.unwrap() > 0 {}
    assert_eq!(store.tenant(gone).await.unwrap(), None);
    let all = [run(&rows[4..]), run(&rows[2..4]), run(&rows[..2])];
    assert_eq!(all.each_ref().map(KeptLeaves::end), [8, 7, 4]);
    assert_eq!(store.kept_leaves(gone, u64::MAX, 9).await.unwrap(), all);
    assert_eq!(store.kept_leaves(gone, 7, 1).await.unwrap(), all[1..2]);
    assert_eq!(store.kept_leaves(gone, 0, 9).await.unwrap(), []);
    assert_eq!(store.kept_leaves(stays, u64::MAX, 9).await.unwrap(), []);
    assert_eq!(store.checkpoints(gone, 0..=u64::MAX, true, 9).await.unwrap(), std::slice::from_ref(&checkpoint));
    assert!(
        !store.add_checkpoint(gone, &Checkpoint { size: 8, ..checkpoint }, None).await.unwrap(),
        "nothing more is signed of it"
    );
}
