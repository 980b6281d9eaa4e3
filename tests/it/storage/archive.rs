//! What is remembered of the archive, and which events may leave the database: only those that are there.

use strongroom::id::TenantId;
use strongroom::storage::{Archived, Checkpoint, Store, StoreError, Structural, TenantState};
use strongroom::time::Timestamp;

use super::sample::{self, commit, commit_with};

fn run(first_seq: u64, last_seq: u64) -> Archived {
    let (first_index, size) = (first_seq - 1, last_seq);
    Archived { epoch: 0, first_index, size, first_seq, last_seq, time: Timestamp(7), bytes: 99, digest: [8; 32] }
}

async fn sign(store: &dyn Store, tenant: TenantId, size: u64) {
    assert!(store.add_checkpoint(tenant, &Checkpoint { size, root: [1; 32], note: vec![2] }, None).await.unwrap());
}

/// Which of a tenant's rows have lost their events.
async fn pruned(store: &dyn Store, tenant: TenantId) -> Vec<u64> {
    let rows = store.glance(tenant, 0..=u64::MAX, false, 100, false).await.unwrap();
    let full = store.log(tenant, 0, 100).await.unwrap();
    for (row, full) in rows.iter().zip(&full) {
        assert_eq!((row.seq, row.pruned), (full.tail.seq, full.batch.is_empty()));
    }
    rows.into_iter().filter(|row| row.pruned).map(|row| row.seq).collect()
}

pub(super) async fn only_archived_rows_below_the_newest_checkpoint_lose_their_events(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let (tenant, other) = (ids[0], ids[1]);
    let mut rows = Vec::new();
    for _ in 0..8 {
        rows.push(commit(store, tenant, Vec::new()).await.unwrap());
    }
    commit(store, other, Vec::new()).await.unwrap();
    let time = rows[0].tail.time;
    let (before, at) = (Timestamp(time.0 + 1), time);
    let refused = |seqs, before| async move {
        let refusal = store.prune(tenant, seqs, before, None).await;
        assert!(matches!(refusal, Err(StoreError::Misused(_))), "{refusal:?}");
        assert_eq!(pruned(store, tenant).await, [0_u64; 0]);
    };
    sign(store, tenant, 6).await;
    // Signed, and not archived.
    refused(1..=2, before).await;
    assert!(store.add_archived(tenant, &run(1, 3), None).await.unwrap());
    assert!(!store.add_archived(tenant, &run(1, 3), None).await.unwrap());
    assert!(store.add_archived(tenant, &run(4, 7), None).await.unwrap());
    // To be kept; archived by somebody in error, and not signed; the last row that was signed.
    refused(1..=3, at).await;
    refused(1..=7, before).await;
    refused(1..=6, before).await;
    // What another tenant has in the archive does not count.
    assert!(matches!(store.prune(other, 1..=1, before, None).await, Err(StoreError::Misused(_))));

    assert_eq!(store.prune(tenant, 1..=3, before, None).await.unwrap(), 3);
    assert_eq!(store.prune(tenant, 1..=3, before, None).await.unwrap(), 0);
    assert_eq!(pruned(store, tenant).await, [1, 2, 3]);
    for (row, kept) in store.log(tenant, 0, 100).await.unwrap().into_iter().zip(&rows) {
        let batch = if row.tail.seq <= 3 { Vec::new() } else { kept.batch.clone() };
        assert_eq!(row, strongroom::storage::LogRow { batch, ..kept.clone() });
    }
    assert_eq!(store.archived(tenant, 0..=u64::MAX, true, 1).await.unwrap(), [run(4, 7)]);
    assert_eq!(store.archived(tenant, 2..=u64::MAX, false, 1).await.unwrap(), [run(1, 3)]);
    assert_eq!(store.archived(other, 0..=u64::MAX, false, 9).await.unwrap(), []);
}

pub(super) async fn an_erased_tenant_stays_until_its_archive_is_gone(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    commit(store, tenant, Vec::new()).await.unwrap();
    store.add_archived(tenant, &run(1, 1), None).await.unwrap();
    assert!(store.forget_archived(tenant, None).await.is_err());
    assert_eq!(store.archived(tenant, 0..=u64::MAX, false, 9).await.unwrap().len(), 1);
    commit_with(store, tenant, Vec::new(), vec![Structural::State(tenant, TenantState::Erasing)]).await.unwrap();
    // Nothing more is archived of it.
    assert!(!store.add_archived(tenant, &run(2, 2), None).await.unwrap());
    while store.erase_chunk(tenant, 10, None).await.unwrap() > 0 {}
    assert_eq!(store.tenants_in(TenantState::Erasing, 10).await.unwrap(), [tenant]);
    store.forget_archived(tenant, None).await.unwrap();
    while store.erase_chunk(tenant, 10, None).await.unwrap() > 0 {}
    assert_eq!(store.tenant(tenant).await.unwrap(), None);
}
