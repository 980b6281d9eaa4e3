//! Leases: one server has each at a time, and what it began under one is refused once another has it.

use strongroom::id::{ReplicaId, TenantId};
use strongroom::storage::{
    Archived, Beat, Census, Checkpoint, Cosignature, DeploymentTree, Fence, Known, LeaseName, Store, StoreError,
};
use strongroom::time::Timestamp;

use super::postgres::Fixture;
use super::sample;

fn word(replica: ReplicaId) -> Beat {
    let text = |part: &str| format!("{part} of {replica}");
    Beat {
        replica,
        api_addr: text("address"),
        hostname: text("name"),
        version: text("version"),
        asked: 7,
        wants: LeaseName::ALL.to_vec(),
        quotas: replica.0.to_vec(),
    }
}

async fn beat(store: &dyn Store, replica: ReplicaId) -> Census {
    store.beat(&word(replica)).await.unwrap()
}

fn of(census: &Census, lease: LeaseName) -> Fence {
    *census.leases.iter().find(|fence| fence.lease == lease).unwrap()
}

fn holders(census: &Census) -> Vec<ReplicaId> {
    census.leases.iter().map(|fence| fence.holder).collect()
}

/// Tries everything that jobs write beside groups; what came of it.
async fn write(store: &dyn Store, (root, tenant): (TenantId, TenantId), size: u64, fence: Fence) -> Vec<Result<(), StoreError>> {
    let checkpoint = Checkpoint { size, root: [1; 32], note: vec![2] };
    let (first_seq, last_seq) = (size, size);
    let (first_index, bytes, digest, epoch) = (size - 1, 5, [7; 32], 0);
    let archived = Archived { epoch, first_index, size, first_seq, last_seq, time: Timestamp(9), bytes, digest };
    let tree = DeploymentTree { size, frontier: Vec::new(), note: Vec::new() };
    let head = strongroom::audit::head::TenantHead { tenant, epoch: 0, size, root: [1; 32] };
    let line = Cosignature { size, witness: "w".to_owned(), line: "l".to_owned() };
    let under = Some(fence);
    vec![
        store.add_checkpoint(tenant, &checkpoint, under).await.map(drop),
        store.add_heads(root, &[head], &tree, under).await.map(drop),
        store.add_cosignature(root, &line, under).await,
        store.add_archived(tenant, &archived, under).await.map(drop),
        store.prune(tenant, 1_000..=1_000, Timestamp(0), under).await.map(drop),
        store.erase_chunk(TenantId::random(), 1, under).await.map(drop),
        store.forget_archived(TenantId::random(), under).await,
    ]
}

/// How many were refused because the lease has passed on.
fn fenced(written: &[Result<(), StoreError>]) -> usize {
    written.iter().filter(|done| matches!(done, Err(StoreError::Fenced(LeaseName::Checkpoint)))).count()
}

pub(super) async fn what_was_begun_under_a_lease_that_has_passed_on_is_refused(store: &dyn Store) {
    let ids = sample::tenants(store, 2).await;
    let (root, tenant) = (ids[0], ids[1]);
    let (one, two) = (ReplicaId::random(), ReplicaId::random());
    let census = beat(store, one).await;
    assert_eq!(holders(&census), [one; 4], "what nobody has, who comes first has");
    assert_eq!(census.replicas.len(), 1);
    assert_eq!(census.replicas[0].api_addr, word(one).api_addr);
    let old = of(&census, LeaseName::Checkpoint);
    assert_eq!(of(&beat(store, one).await, LeaseName::Checkpoint), old, "who has it keeps it");
    assert_eq!(fenced(&write(store, (root, tenant), 1, old).await), 0);
    let mut group = store.begin(&[Known::locked(tenant, 0)]).await.unwrap();
    assert!(group.holds(old).await.unwrap());
    group.rollback().await;

    // It was stopped in the middle, and another has it by now.
    store.leave(one).await.unwrap();
    let census = beat(store, two).await;
    assert_eq!(holders(&census), [two; 4]);
    let new = of(&census, LeaseName::Checkpoint);
    assert_eq!(new.epoch, old.epoch + 1);
    let invented = [Fence { holder: two, ..old }, Fence { holder: one, ..new }, Fence { epoch: new.epoch + 1, ..new }];
    for fence in invented.into_iter().chain([old]) {
        assert_eq!(fenced(&write(store, (root, tenant), 2, fence).await), 7, "{fence:?}");
        let mut group = store.begin(&[Known::locked(tenant, 0)]).await.unwrap();
        assert!(!group.holds(fence).await.unwrap());
        group.rollback().await;
    }
    assert_eq!(store.checkpoints(tenant, 0..=u64::MAX, true, 9).await.unwrap().len(), 1, "nothing was changed");
    assert_eq!(store.deployment_trees(root, 0..=u64::MAX, 9).await.unwrap().len(), 1);
    assert_eq!(store.cosignatures(root, 9).await.unwrap().len(), 1);
    assert_eq!(store.archived(tenant, 0..=u64::MAX, true, 9).await.unwrap().len(), 1);
    assert_eq!(fenced(&write(store, (root, tenant), 2, new).await), 0);
    assert_eq!(store.checkpoints(tenant, 0..=u64::MAX, true, 9).await.unwrap().len(), 2);

    // The first one has it again, and is not the one that it was.
    store.leave(two).await.unwrap();
    assert_eq!(of(&beat(store, one).await, LeaseName::Checkpoint).epoch, old.epoch + 2);
    assert_eq!(fenced(&write(store, (root, tenant), 3, old).await), 7);
}

pub(super) async fn where_tenants_stand_is_told_of_many_at_once(store: &dyn Store) {
    let ids = sample::tenants(store, 3).await;
    let expiring = strongroom::storage::RecordRow { expires_at: Some(Timestamp(77)), ..sample::record(1) };
    let log = sample::commit(store, ids[1], vec![strongroom::storage::Change::Put(expiring)]).await.unwrap();
    store.add_checkpoint(ids[1], &Checkpoint { size: 1, root: [1; 32], note: vec![2] }, None).await.unwrap();
    let mut told = store.outlook(&[ids[0], ids[1], TenantId::random()]).await.unwrap();
    told.sort_by_key(|outlook| outlook.seq);
    assert_eq!(told.iter().map(|outlook| outlook.tenant).collect::<Vec<_>>(), [ids[0], ids[1]]);
    assert_eq!((told[0].seq, told[0].size, told[0].signed, told[0].next_expiry), (0, 0, 0, None));
    assert_eq!((told[1].seq, told[1].size, told[1].signed), (1, log.tail.size(), 1));
    assert_eq!((told[1].time, told[1].next_expiry), (log.tail.time, Some(Timestamp(77))));
    assert_eq!(store.outlook(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_server_that_is_not_heard_of_loses_its_leases() {
    let Fixture { store, database } = Fixture::new().await;
    let [one, two, three] = [(); 3].map(|()| ReplicaId::random());
    beat(&store, one).await;
    let census = beat(&store, two).await;
    assert_eq!((holders(&census), census.replicas.len()), (vec![one; 4], 2), "it was heard of just now");
    // By the database's clock, which may also have gone back.
    for (heard, next) in [("heard - 3600000000000", two), ("heard + 3600000000000", three)] {
        let before = beat(&store, two).await.leases[0];
        beat(&store, next).await;
        database
            .sql("postgres", &format!("UPDATE strongroom.replica SET heard = {heard} WHERE replica_id = '\\x{}'", before.holder));
        let census = beat(&store, next).await;
        assert_eq!(holders(&census), [next; 4]);
        assert!(census.replicas.iter().all(|replica| replica.id != before.holder));
        assert_eq!(census.leases[0].epoch, before.epoch + 1);
        // It comes back as one that has nothing.
        let census = beat(&store, before.holder).await;
        assert_eq!(holders(&census), [next; 4]);
        assert!(census.replicas.iter().any(|replica| replica.id == before.holder));
    }
}

/// A server that hangs in the middle of a commit holds up neither the others' words nor their other leases.
#[tokio::test]
async fn a_lease_does_not_pass_on_in_the_middle_of_a_commit() {
    let Fixture { store, database } = Fixture::new().await;
    let other = database.store().await;
    let tenant = sample::tenants(&store, 1).await[0];
    let (one, two) = (ReplicaId::random(), ReplicaId::random());
    let held = of(&beat(&store, one).await, LeaseName::Upkeep);
    let mut group = store.begin(&[Known::locked(tenant, 0)]).await.unwrap();
    assert!(group.holds(held).await.unwrap());
    other.leave(one).await.unwrap();
    let census = beat(&other, two).await;
    assert_eq!(of(&census, LeaseName::Upkeep), held, "not before the commit has ended");
    assert_eq!(of(&census, LeaseName::Archive).holder, two);
    group.rollback().await;
    assert_eq!(holders(&beat(&other, two).await), [two; 4]);
}

/// However many come at once, each lease changes hands once.
#[tokio::test]
async fn one_of_many_takes_what_is_free() {
    let Fixture { store, .. } = Fixture::new().await;
    let one = ReplicaId::random();
    let before = beat(&store, one).await;
    store.leave(one).await.unwrap();
    let words: Vec<Beat> = (0..12).map(|_| word(ReplicaId::random())).collect();
    let answers = futures_util::future::join_all(words.iter().map(|word| store.beat(word))).await;
    assert!(answers.iter().all(Result::is_ok), "nobody waits, and nobody fails: {answers:?}");
    let after = store.beat(&words[0]).await.unwrap();
    for (old, new) in before.leases.iter().zip(&after.leases) {
        assert_eq!((new.lease, new.epoch), (old.lease, old.epoch + 1));
        assert!(words.iter().any(|word| word.replica == new.holder));
    }
    assert_eq!(after.replicas.len(), 12);
}

#[tokio::test]
async fn who_has_no_work_for_a_lease_leaves_it_to_others() {
    let Fixture { store, .. } = Fixture::new().await;
    let (one, two) = (ReplicaId::random(), ReplicaId::random());
    let census = store.beat(&Beat { wants: vec![LeaseName::Upkeep], ..word(one) }).await.unwrap();
    assert_eq!((holders(&census), census.leases[0].lease), (vec![one], LeaseName::Upkeep));
    assert_eq!(of(&beat(&store, two).await, LeaseName::Archive).holder, two);
    assert_eq!(of(&beat(&store, one).await, LeaseName::Upkeep).holder, one);
}
