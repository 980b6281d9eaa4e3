//! What holds for every store.

use strongroom::id::TenantId;
use strongroom::record::{DirKey, RecordKey};
use strongroom::storage::{
    Batch, Change, FEED_ROWS_MAX, Known, RecordRow, Store, StoreError, Structural, TenantKeys, TenantState,
};
use strongroom::time::Timestamp;

use super::sample::{self, commit, commit_with, log_row, record};

pub(super) async fn deployment_is_made_once(store: &dyn Store) {
    assert_eq!(store.deployment().await.unwrap(), None);
    let (root, edge) = (sample::new_tenant(None), sample::new_tenant(None));
    let made = sample::deployment(root.id, edge.id);
    assert!(store.initialise(&made, &[root.clone(), edge]).await.unwrap());
    let other = sample::new_tenant(None);
    assert!(!store.initialise(&sample::deployment(other.id, other.id), std::slice::from_ref(&other)).await.unwrap());
    assert_eq!(store.deployment().await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.tenant(other.id).await.unwrap(), None);
    let row = store.tenant(root.id).await.unwrap().unwrap();
    assert_eq!((row.state, row.parent, row.tail), (TenantState::Active, None, None));
    assert_eq!(TenantKeys { generation: row.generation, wraps: row.wraps, keyring: row.keyring }, root.keys);
    assert!(!store.replace_seal(b"another", b"{}").await.unwrap());
    let seal = store.deployment().await.unwrap().unwrap().seal;
    assert_ne!(seal, b"{}");
    assert!(store.replace_seal(&seal, b"{}").await.unwrap());
    assert_eq!(store.deployment().await.unwrap().unwrap().seal, b"{}");
}

pub(super) async fn rows_come_back_as_they_went(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    let plain = record(1);
    let bare = RecordRow {
        directory: DirKey::NONE,
        expires_at: Some(Timestamp(-5)),
        name: Vec::new(),
        sealed: vec![0; 100_000],
        ..record(2)
    };
    let log = commit(store, tenant, vec![Change::Put(plain.clone()), Change::Put(bare.clone())]).await.unwrap();
    assert_eq!(store.record(tenant, plain.key).await.unwrap().value.as_ref(), Some(&plain));
    assert_eq!(store.record(tenant, bare.key).await.unwrap().value.as_ref(), Some(&bare));
    assert_eq!(store.log(tenant, 1, 10).await.unwrap(), vec![log.clone()]);
    assert_eq!(store.tenant(tenant).await.unwrap().unwrap().tail, Some(log.tail));

    let changed = RecordRow { sealed: vec![1], expires_at: Some(Timestamp(9)), seq: 2, ..plain.clone() };
    let put = RecordRow { directory: DirKey([4; 32]), name: vec![2], ..changed.clone() };
    commit(store, tenant, vec![Change::Put(put), Change::Remove(bare.key), Change::Remove(RecordKey([9; 32]))]).await.unwrap();
    assert_eq!(store.record(tenant, plain.key).await.unwrap().value, Some(changed));
    assert_eq!(store.record(tenant, bare.key).await.unwrap().value, None);
    assert_eq!(store.log(tenant, 2, 10).await.unwrap().len(), 1);
}

pub(super) async fn a_group_changes_all_its_tenants_or_none(store: &dyn Store) {
    let ids = sample::tenants(store, 3).await;
    let (a, b, outside) = (ids[0], ids[1], ids[2]);
    let known = |seq| [Known::locked(b, seq), Known::locked(a, seq)];
    let batch = |tenant: TenantId, number: u32, tail: Option<&_>| Batch {
        tenant,
        changes: vec![Change::Put(record(number))],
        log: log_row(tail, 3),
    };
    let group = store.begin(&known(0)).await.unwrap();
    let child = sample::new_tenant(Some(a));
    drop(group);
    let all = [known(0).to_vec(), vec![Known::locked(child.id, 0)]].concat();
    let mut group = store.begin(&all).await.unwrap();
    assert_eq!(group.feed(child.id).state, None);
    assert_eq!(group.feed(a).state, Some(TenantState::Active));
    assert_eq!(group.feed(a).generation, 1);
    assert_eq!(group.record(a, record(1).key).await.unwrap(), None);
    let batches = vec![batch(a, 1, None), batch(b, 1, None), batch(child.id, 1, None)];
    group.commit(batches, vec![Structural::Create(child.clone())]).await.unwrap();
    let row = store.tenant(child.id).await.unwrap().unwrap();
    assert_eq!((row.parent, row.wraps, row.tail.map(|tail| tail.size())), (Some(a), child.keys.wraps.clone(), Some(3)));
    // The same key in different tenants is two records.
    let keys = [a, b].map(|tenant| (tenant, record(1).key));
    assert_ne!(
        store.record(keys[0].0, keys[0].1).await.unwrap().value.unwrap().sealed,
        store.record(keys[1].0, keys[1].1).await.unwrap().value.unwrap().sealed
    );
    assert_eq!(store.record(outside, record(1).key).await.unwrap().value, None);

    // A tenant that is there already fails the whole group.
    let group = store.begin(&all).await.unwrap();
    let tail = group.feed(a).tail.clone();
    let again = group.commit(vec![batch(a, 2, tail.as_ref())], vec![Structural::Create(child)]).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert_eq!(store.record(a, record(2).key).await.unwrap().value, None);
    // And the store goes on.
    commit(store, a, vec![Change::Put(record(2))]).await.unwrap();
}

pub(super) async fn large_groups_are_applied_whole(store: &dyn Store) {
    let ids = sample::tenants(store, 40).await;
    let known: Vec<Known> = ids.iter().map(|tenant| Known::locked(*tenant, 0)).collect();
    let group = store.begin(&known).await.unwrap();
    let batches: Vec<Batch> = ids
        .iter()
        .map(|tenant| Batch {
            tenant: *tenant,
            changes: (0..50).map(|number| Change::Put(record(number))).chain([Change::Remove(record(49).key)]).collect(),
            log: log_row(None, 64),
        })
        .collect();
    let expected = batches.clone();
    group.commit(batches, Vec::new()).await.unwrap();
    for batch in expected {
        assert_eq!(store.log(batch.tenant, 0, 10).await.unwrap(), vec![batch.log]);
        for change in &batch.changes[..49] {
            let Change::Put(row) = change else { panic!("a put") };
            assert_eq!(store.record(batch.tenant, row.key).await.unwrap().value.as_ref(), Some(row));
        }
        // A later change of the same key in a group counts.
        assert_eq!(store.record(batch.tenant, record(49).key).await.unwrap().value, None);
    }
}

pub(super) async fn positions_belong_to_their_snapshot(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let absent = store.record(ids[0], record(1).key).await.unwrap();
    assert_eq!((absent.seq, absent.value), (0, None));
    let listed = store.names(ids[0], DirKey([3; 32]), None, 10).await.unwrap();
    assert_eq!((listed.seq, listed.value), (0, Vec::new()));
    for seq in 1..=3 {
        commit(store, ids[0], vec![Change::Put(record(seq))]).await.unwrap();
        let read = store.record(ids[0], record(seq).key).await.unwrap();
        assert_eq!((read.seq, read.value.is_some()), (u64::from(seq), true));
        assert_eq!(store.names(ids[0], DirKey([3; 32]), None, 10).await.unwrap().seq, u64::from(seq));
        assert_eq!(store.record(ids[1], record(seq).key).await.unwrap().seq, 0);
    }
}

pub(super) async fn feeds_tell_what_happened_since(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    let mut rows = Vec::new();
    for _ in 0..5 {
        rows.push(commit(store, tenant, Vec::new()).await.unwrap());
    }
    let newest = rows[4].tail.clone();
    let feed_at = async |seq| {
        let group = store.begin(&[Known::locked(tenant, seq)]).await.unwrap();
        assert!(group.now().0 > 0);
        let feed = group.feed(tenant).clone();
        group.rollback().await;
        feed
    };
    let current = feed_at(5).await;
    assert_eq!((current.tail.as_ref(), current.changed.len(), current.complete), (Some(&newest), 0, true));
    let behind = feed_at(2).await;
    assert!(behind.complete);
    let expected: Vec<_> = rows[2..].iter().map(|row| (row.tail.seq, row.tail.prev_root, row.tail.changed.clone())).collect();
    assert_eq!(behind.changed.into_iter().map(|row| (row.seq, row.prev_root, row.changed)).collect::<Vec<_>>(), expected);
    // Whoever knows nothing gets the newest row and no history; whoever knows more than there is has lost some.
    let fresh = feed_at(0).await;
    assert_eq!((fresh.tail.as_ref(), fresh.changed.len(), fresh.complete), (Some(&newest), 0, false));
    let ahead = feed_at(9).await;
    assert_eq!((ahead.tail, ahead.complete), (Some(newest), false));
    for _ in 0..FEED_ROWS_MAX {
        commit(store, tenant, Vec::new()).await.unwrap();
    }
    assert!(feed_at(5).await.complete);
    assert!(!feed_at(4).await.complete);
}

pub(super) async fn names_are_listed_by_directory(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let mut rows: Vec<RecordRow> = (0..20).map(record).collect();
    rows[4].directory = DirKey([1; 32]);
    rows[5].directory = DirKey::NONE;
    commit(store, ids[0], rows.iter().cloned().map(Change::Put).collect()).await.unwrap();
    let expected: Vec<_> =
        rows.iter().filter(|row| row.directory == DirKey([3; 32])).map(|row| (row.key, row.name.clone())).collect();
    assert_eq!(store.names(ids[0], DirKey([3; 32]), None, 100).await.unwrap().value, expected);
    assert_eq!(store.names(ids[0], DirKey([3; 32]), None, 2).await.unwrap().value, expected[..2]);
    let rest = store.names(ids[0], DirKey([3; 32]), Some(expected[1].0), 3).await.unwrap().value;
    assert_eq!(rest, expected[2..5]);
    let end = store.names(ids[0], DirKey([3; 32]), expected.last().map(|last| last.0), 3).await.unwrap().value;
    assert_eq!(end, Vec::new());
    assert_eq!(store.names(ids[0], DirKey::NONE, None, 100).await.unwrap().value, Vec::new());
    assert_eq!(store.names(ids[1], DirKey([3; 32]), None, 100).await.unwrap().value, Vec::new());
    let directories = [DirKey::NONE, DirKey([3; 32]), DirKey([0xee; 32]), DirKey([3; 32])];
    assert_eq!(store.occupied(ids[0], &directories).await.unwrap(), [false, true, false, true]);
    assert_eq!(store.occupied(ids[1], &directories).await.unwrap(), [false; 4]);
    assert!(store.occupied(ids[0], &[]).await.unwrap().is_empty());
    let mut group = store.begin(&[Known::locked(ids[0], 1)]).await.unwrap();
    assert_eq!(group.names(ids[0], DirKey([3; 32]), 100).await.unwrap(), expected);
    assert_eq!(group.names(ids[0], DirKey::NONE, 100).await.unwrap(), Vec::new());
    assert_eq!(group.record(ids[0], rows[4].key).await.unwrap().as_ref(), Some(&rows[4]));
    group.rollback().await;
}

pub(super) async fn records_come_in_the_order_of_their_keys(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let mut rows: Vec<RecordRow> = (0..20).map(record).collect();
    rows[5].directory = DirKey::NONE;
    commit(store, ids[0], rows.iter().cloned().map(Change::Put).collect()).await.unwrap();
    rows.sort_by_key(|row| row.key);
    let first = store.records(ids[0], None, 7).await.unwrap();
    assert_eq!((first.seq, &first.value[..]), (1, &rows[..7]));
    assert_eq!(store.records(ids[0], Some(rows[6].key), 100).await.unwrap().value, rows[7..]);
    let end = store.records(ids[0], Some(rows[19].key), 100).await.unwrap();
    assert_eq!((end.seq, end.value), (1, Vec::new()));
    assert_eq!(store.records(ids[1], None, 100).await.unwrap().value, Vec::new());
}

pub(super) async fn expired_records_are_found_earliest_first(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let at = |number: u32, time| RecordRow { expires_at: Some(Timestamp(time)), ..record(number) };
    let rows = [at(1, 300), at(2, 100), at(3, 200), at(4, 201), record(5)];
    commit(store, ids[0], rows.into_iter().map(Change::Put).collect()).await.unwrap();
    let found = |found: &[(i64, u32)]| found.iter().map(|(at, number)| (Timestamp(*at), record(*number).key)).collect::<Vec<_>>();
    let all = || Timestamp(i64::MIN)..=Timestamp(i64::MAX);
    assert_eq!(store.expired(ids[0], Timestamp(0)..=Timestamp(200), 10).await.unwrap(), found(&[(100, 2), (200, 3)]));
    assert_eq!(store.expired(ids[0], Timestamp(200)..=Timestamp(299), 10).await.unwrap(), found(&[(200, 3), (201, 4)]));
    assert_eq!(store.expired(ids[0], all(), 3).await.unwrap(), found(&[(100, 2), (200, 3), (201, 4)]));
    assert_eq!(store.expired(ids[1], all(), 3).await.unwrap(), Vec::new());
    assert_eq!(store.next_expiry(ids[0]).await.unwrap(), Some(Timestamp(100)));
    assert_eq!(store.next_expiry(ids[1]).await.unwrap(), None);
}

pub(super) async fn misuse_is_refused_and_changes_nothing(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let (inside, outside) = (ids[0], ids[1]);
    let log = commit(store, inside, Vec::new()).await.unwrap();
    let put = |tenant, log| Batch { tenant, changes: vec![Change::Put(record(1))], log };
    let next = log_row(Some(&log.tail), 1);
    let wrong: [(Vec<Batch>, Vec<Structural>); 5] = [
        (vec![put(outside, log_row(None, 1))], Vec::new()),
        (vec![put(inside, log.clone())], Vec::new()),
        (vec![put(inside, next.clone()), put(inside, next.clone())], Vec::new()),
        (Vec::new(), vec![Structural::State(outside, TenantState::Sealed)]),
        (
            vec![put(inside, {
                let mut gap = next;
                gap.tail.seq = 9;
                gap
            })],
            Vec::new(),
        ),
    ];
    for (batches, structural) in wrong {
        let group = store.begin(&[Known::locked(inside, 1)]).await.unwrap();
        assert_eq!(group.feed(outside).state, None);
        let refused = group.commit(batches, structural).await;
        assert!(matches!(refused, Err(StoreError::Misused(_))), "{refused:?}");
    }
    assert_eq!(store.log(inside, 0, 10).await.unwrap(), vec![log]);
    assert_eq!(store.record(outside, record(1).key).await.unwrap().value, None);
    assert_eq!(store.tenant(outside).await.unwrap().unwrap().state, TenantState::Active);
}

pub(super) async fn dropped_groups_give_their_locks_back(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    for _ in 0..20 {
        drop(store.begin(&[Known::locked(tenant, 0)]).await.unwrap());
    }
    let log = commit(store, tenant, vec![Change::Put(record(1))]).await.unwrap();
    assert!(store.committed(&[tenant], log.tail.group).await.unwrap());
    assert!(!store.committed(&[tenant], [1; 16]).await.unwrap());
}

pub(super) async fn keys_are_replaced_whole(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    let mut keys = sample::keys(2);
    keys.wraps.truncate(1);
    commit_with(store, tenant, Vec::new(), vec![Structural::Keys(tenant, keys.clone())]).await.unwrap();
    let row = store.tenant(tenant).await.unwrap().unwrap();
    assert_eq!(TenantKeys { generation: row.generation, wraps: row.wraps, keyring: row.keyring }, keys);
    let group = store.begin(&[Known::locked(tenant, 1)]).await.unwrap();
    assert_eq!(group.feed(tenant).generation, 2);
    group.rollback().await;
}

pub(super) async fn closed_stores_are_unavailable(store: &dyn Store) {
    let tenant = sample::tenants(store, 1).await[0];
    store.close().await;
    assert!(matches!(store.deployment().await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.begin(&[Known::locked(tenant, 0)]).await.err(), Some(StoreError::Unavailable(_))));
}
