//! What is particular to `PostgreSQL`: several servers on one database, failures of it, and what is refused at the start.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use strongroom::storage::postgres::{Migrated, PostgresStore, migrate};
use strongroom::storage::{Batch, Change, Known, Store as _, StoreError};

use super::sample::{self, commit, log_row, record};
use crate::support::postgres::{Database, copy_with_mode};
use crate::support::process::PATIENCE;

pub(super) struct Fixture {
    pub(super) store: PostgresStore,
    pub(super) database: Database,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let database = Database::new();
        Self { store: database.store().await, database }
    }
}

#[tokio::test]
async fn replicas_see_each_others_groups_in_the_feed() {
    let Fixture { store: one, database } = Fixture::new().await;
    let two = database.store().await;
    let tenant = sample::tenants(&one, 1).await[0];
    let row = record(1);
    let logs = [
        commit(&one, tenant, vec![Change::Put(row.clone())]).await.unwrap(),
        commit(&one, tenant, vec![Change::Remove(record(2).key)]).await.unwrap(),
    ];
    let mut group = two.begin(&[Known::locked(tenant, 1)]).await.unwrap();
    let feed = group.feed(tenant);
    assert_eq!(feed.tail.as_ref(), Some(&logs[1].tail));
    assert_eq!((feed.changed.len(), feed.complete), (1, true));
    assert_eq!(
        (feed.changed[0].seq, feed.changed[0].prev_root, &feed.changed[0].changed),
        (2, logs[0].tail.root, &logs[1].tail.changed)
    );
    assert_eq!(group.record(tenant, row.key).await.unwrap(), Some(row));
    group.rollback().await;
}

/// The statement that waits for the lock must not be the one that reads the feed.
#[tokio::test]
async fn a_group_that_waited_sees_what_it_waited_for() {
    let Fixture { store: one, database } = Fixture::new().await;
    let two = database.store().await;
    let tenant = sample::tenants(&one, 1).await[0];
    let first = one.begin(&[Known::locked(tenant, 0)]).await.unwrap();
    let waiting = tokio::spawn(async move {
        let group = two.begin(&[Known::locked(tenant, 0)]).await.unwrap();
        let feed = group.feed(tenant).clone();
        group.rollback().await;
        feed
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!waiting.is_finished(), "the head was not locked");
    let log = log_row(None, 1);
    first.commit(vec![Batch { tenant, changes: Vec::new(), log: log.clone() }], Vec::new()).await.unwrap();
    assert_eq!(waiting.await.unwrap().tail, Some(log.tail));
}

#[tokio::test]
async fn a_held_head_makes_others_wait_for_a_bounded_time_only() {
    let Fixture { store: one, database } = Fixture::new().await;
    let two = database.store().await;
    let ids = sample::tenants(&one, 2).await;
    let held = one.begin(&[Known::locked(ids[0], 0)]).await.unwrap();
    let refused = two.begin(&[Known::locked(ids[0], 0)]).await.err();
    assert!(matches!(refused, Some(StoreError::Unavailable(_))), "{refused:?}");
    // Others' tenants are not held up.
    commit(&two, ids[1], vec![Change::Put(record(1))]).await.unwrap();
    held.rollback().await;
    commit(&two, ids[0], vec![Change::Put(record(1))]).await.unwrap();
}

/// A head that somebody else holds does not stop who only watches it, and the feed of it is as new as the locks.
#[tokio::test]
async fn a_watched_head_makes_nobody_wait() {
    let Fixture { store: one, database } = Fixture::new().await;
    let two = database.store().await;
    let ids = sample::tenants(&one, 2).await;
    let log = commit(&one, ids[0], vec![Change::Put(record(1))]).await.unwrap();
    let held = one.begin(&[Known::locked(ids[0], 1)]).await.unwrap();
    let group = two.begin(&[Known::watched(ids[0], 0), Known::locked(ids[1], 0)]).await.unwrap();
    assert_eq!((group.feed(ids[0]).locked, group.feed(ids[1]).locked), (false, true));
    assert_eq!(group.feed(ids[0]).tail.as_ref(), Some(&log.tail));
    // The one who holds it is not held up either.
    held.commit(vec![Batch { tenant: ids[0], changes: Vec::new(), log: log_row(Some(&log.tail), 1) }], Vec::new()).await.unwrap();
    let batch = Batch { tenant: ids[0], changes: Vec::new(), log: log_row(Some(&log.tail), 1) };
    let refused = group.commit(vec![batch], Vec::new()).await;
    assert!(matches!(refused, Err(StoreError::Misused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_restart_of_the_database_heals_by_itself() {
    let database = Database::alone();
    let store = database.store().await;
    let tenant = sample::tenants(&store, 1).await[0];
    let log = commit(&store, tenant, vec![Change::Put(record(1))]).await.unwrap();
    let open = store.begin(&[Known::locked(tenant, 1)]).await.unwrap();
    database.stop();
    let lost = open.commit(vec![Batch { tenant, changes: Vec::new(), log: log_row(Some(&log.tail), 1) }], Vec::new()).await;
    assert!(matches!(lost, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{lost:?}");
    assert!(matches!(store.record(tenant, record(1).key).await, Err(StoreError::Unavailable(_))));
    database.start("");
    let begun = Instant::now();
    let read = loop {
        // Whoever looks whether the database is there again does so now and then.
        match store.record(tenant, record(1).key).await {
            Err(StoreError::Unavailable(_)) if begun.elapsed() < PATIENCE => tokio::time::sleep(Duration::from_millis(20)).await,
            read => break read.unwrap(),
        }
    };
    assert_eq!((read.seq, read.value.is_some()), (1, true), "what was acknowledged is there, what was not is not");
    commit(&store, tenant, vec![Change::Put(record(2))]).await.unwrap();

    // Settings under which it could lose what it acknowledged are refused.
    for (settings, word) in [
        ("-c fsync=off", "fsync"),
        ("-c full_page_writes=off", "full_page_writes"),
        ("-c synchronous_commit=off", "synchronous_commit"),
    ] {
        database.stop();
        database.start(settings);
        let refused = PostgresStore::connect(&database.url("strongroom_runtime"), &database.key_file(), 2).await.err();
        assert!(matches!(&refused, Some(StoreError::Refused(sentence)) if sentence.contains(word)), "{refused:?}");
    }
}

async fn refusal(database: &Database, role: &str) -> String {
    match PostgresStore::connect(&database.url(role), &database.key_file(), 2).await.err() {
        Some(StoreError::Refused(sentence)) => sentence,
        other => panic!("{role} was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn roles_that_row_security_does_not_bind_are_refused() {
    let database = Database::new();
    let name = &database.name;
    database.sql(
        "postgres",
        &format!(
            "CREATE ROLE {name}_bypass LOGIN BYPASSRLS; CREATE ROLE {name}_member LOGIN NOINHERIT IN ROLE strongroom_owner;
             GRANT CONNECT ON DATABASE {name} TO {name}_bypass, {name}_member;"
        ),
    );
    assert!(refusal(&database, "postgres").await.contains("is a superuser"));
    assert!(refusal(&database, "strongroom_owner").await.contains("is a member of other roles"));
    assert!(refusal(&database, &format!("{name}_bypass")).await.contains("has BYPASSRLS"));
    assert!(refusal(&database, &format!("{name}_member")).await.contains("is a member of other roles"));
}

#[tokio::test]
async fn rights_beyond_the_needed_ones_are_refused() {
    for (grant, revoke, words) in [
        ("GRANT UPDATE ON strongroom.log", "REVOKE UPDATE ON strongroom.log", "UPDATE on strongroom.log"),
        ("GRANT UPDATE (count) ON strongroom.log", "REVOKE UPDATE (count) ON strongroom.log", "UPDATE on strongroom.log"),
        ("GRANT DELETE ON strongroom.log", "REVOKE DELETE ON strongroom.log", "DELETE on strongroom.log"),
        ("GRANT TRUNCATE ON strongroom.record", "REVOKE TRUNCATE ON strongroom.record", "TRUNCATE on strongroom.record"),
        (
            "SET ROLE strongroom_context; GRANT SELECT ON strongroom_context.key",
            "SET ROLE strongroom_context; REVOKE SELECT ON strongroom_context.key",
            "SELECT on strongroom_context.key",
        ),
        ("GRANT CREATE ON SCHEMA strongroom", "REVOKE CREATE ON SCHEMA strongroom", "revoke CREATE"),
    ] {
        let database = Database::new();
        database.sql("strongroom_owner", &format!("{grant} TO strongroom_runtime"));
        let sentence = refusal(&database, "strongroom_runtime").await;
        assert!(sentence.contains(words), "{grant}: {sentence}");
        database.sql("strongroom_owner", &format!("{revoke} FROM strongroom_runtime"));
        database.store().await.close().await;
    }
    let database = Database::new();
    database.sql("strongroom_owner", "REVOKE INSERT ON strongroom.record FROM strongroom_runtime");
    assert!(refusal(&database, "strongroom_runtime").await.contains("lacks INSERT on strongroom.record"));
}

#[tokio::test]
async fn schemas_without_row_security_or_of_another_version_are_refused() {
    for (text, words) in [
        ("ALTER TABLE strongroom.record NO FORCE ROW LEVEL SECURITY", "strongroom.record is not under forced"),
        ("ALTER TABLE strongroom.log DISABLE ROW LEVEL SECURITY", "strongroom.log is not under forced"),
        ("CREATE TABLE strongroom.extra (a int)", "strongroom.extra is not under forced"),
        ("INSERT INTO strongroom.schema_version VALUES (99)", "made by a newer strongroom"),
        ("DROP SCHEMA strongroom CASCADE", "run `strongroom migrate`"),
    ] {
        let database = Database::new();
        database.sql("strongroom_owner", text);
        let sentence = refusal(&database, "strongroom_runtime").await;
        assert!(sentence.contains(words), "{text}: {sentence}");
    }
}

#[tokio::test]
async fn key_files_must_be_private_and_the_databases_own() {
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let url = database.url("strongroom_runtime");
    let refused = async || match PostgresStore::connect(&url, &file, 2).await.err() {
        Some(StoreError::Refused(sentence)) => sentence,
        other => panic!("not refused: {other:?}"),
    };
    assert!(refused().await.contains("is not there"));
    copy_with_mode(&database.key_file(), &file, 0o640);
    assert!(refused().await.contains("may be read by others"));
    std::fs::remove_file(&file).unwrap();
    copy_with_mode(&database.key_file(), &file, 0o600);
    std::fs::write(&file, "00").unwrap();
    assert!(refused().await.contains("64 hexadecimal digits"));
    std::fs::write(&file, "00".repeat(32)).unwrap();
    assert!(refused().await.contains("does not hold the database's key"));
}

#[tokio::test]
async fn migrating_again_changes_nothing_and_mends_a_lost_key() {
    use std::os::unix::fs::MetadataExt as _;
    let database = Database::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    copy_with_mode(&database.key_file(), &file, 0o600);
    let owner = database.url("strongroom_owner");
    let Migrated { from, to, new_key } = migrate(&owner, &file).await.unwrap();
    assert_eq!((from, new_key), (to, false));
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(database.key_file()).unwrap());
    std::fs::remove_file(&file).unwrap();
    assert!(migrate(&owner, &file).await.unwrap().new_key);
    assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_ne!(std::fs::read(&file).unwrap(), std::fs::read(database.key_file()).unwrap());
    PostgresStore::connect(&database.url("strongroom_runtime"), &file, 2).await.unwrap();

    // A key that somebody made beforehand (in a Secret of Kubernetes, say, which cannot be written) is the one that counts.
    let chosen = "5a".repeat(32);
    std::fs::write(&file, &chosen).unwrap();
    assert!(migrate(&owner, &file).await.unwrap().new_key);
    assert!(!migrate(&owner, &file).await.unwrap().new_key);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), chosen);
    PostgresStore::connect(&database.url("strongroom_runtime"), &file, 2).await.unwrap();
    for role in ["postgres", "strongroom_runtime"] {
        let refused = migrate(&database.url(role), &file).await.err();
        assert!(matches!(&refused, Some(StoreError::Refused(sentence)) if sentence.contains("strongroom_owner")), "{refused:?}");
    }
}

/// Requests that miss the cache at once do not pay a transaction each, and nobody gets what another one asked for.
#[tokio::test]
async fn look_ups_of_many_share_transactions() {
    const TENANTS: usize = 8;
    const EACH: u32 = 100;
    let Fixture { store, database } = Fixture::new().await;
    let tenants = sample::tenants(&store, TENANTS).await;
    let mut wanted = Vec::new();
    for (at, tenant) in tenants.iter().enumerate() {
        let rows: Vec<_> = (0..EACH).map(record).collect();
        // Logs of different lengths, so that a position tells whose it is.
        for _ in 0..at {
            commit(&store, *tenant, Vec::new()).await.unwrap();
        }
        commit(&store, *tenant, rows.iter().cloned().map(Change::Put).collect()).await.unwrap();
        wanted.extend(rows.into_iter().map(|row| (*tenant, at as u64 + 1, row.key, Some(row))));
        wanted.extend((EACH..2 * EACH).map(|absent| (*tenant, at as u64 + 1, record(absent).key, None)));
    }
    let transactions = || -> u64 {
        let text = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()";
        database.sql("postgres", text).trim().parse().unwrap()
    };
    store.close().await;
    let store = database.store().await;
    let before = transactions();
    let looked_up = join_all(wanted.iter().map(|(tenant, _, key, _)| store.record(*tenant, *key))).await;
    // What ended sessions did is in the statistics.
    store.close().await;
    for ((tenant, seq, _, row), found) in wanted.iter().zip(looked_up) {
        let found = found.unwrap();
        assert_eq!((found.seq, &found.value), (*seq, row), "{tenant}");
    }
    let spent = transactions() - before;
    assert!(spent < wanted.len() as u64 / 10, "{spent} transactions for {} records", wanted.len());
}
