//! How much `PostgreSQL` reads for an answer: no more in a tenant that has much, whatever the planner knows of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use strongroom::id::TenantId;
use strongroom::record::{DirKey, RecordKey};
use strongroom::storage::postgres::PostgresStore;
use strongroom::storage::{Change, RecordRow, Store as _, Structural, TenantState};
use strongroom::time::Timestamp;

use super::postgres::Fixture;
use super::sample::{self, commit, record};

use crate::support::postgres::Database;
use crate::support::process::PATIENCE;

const OTHERS: usize = 40;
const RECORDS: u32 = 2_000;
const LOG_ROWS: u32 = 400;
const ROUNDS: u32 = 10;
/// Rows that are erased in one step.
const CHUNK: usize = 100;
/// Rows and entries of indexes that one round may read: it asks for some sixteen rows, in seven questions.
const ROUND_MAX: i64 = 60;

#[tokio::test]
async fn what_is_read_does_not_grow_with_what_there_is() {
    let Fixture { store, database } = Fixture::new().await;
    let tenants = sample::tenants(&store, OTHERS).await;
    let busy = tenants[0];
    grow(&store, &tenants).await;
    store.close().await;
    // A planner that knows nothing, and one that knows how much tenants have on average.
    for known in [false, true] {
        if known {
            database.sql("postgres", "ANALYZE strongroom.record, strongroom.log");
        }
        let before = settled(&database, 0);
        let store = database.store().await;
        for number in 0..ROUNDS {
            assert_eq!(ask(&store, busy, RECORDS / 2 + number).await, !known);
        }
        store.close().await;
        let read = settled(&database, 0) - before;
        assert!(read > 0 && read <= i64::from(ROUNDS) * ROUND_MAX, "{read} rows and entries in {ROUNDS} rounds, known: {known}");
    }
}

/// A session keeps the plan of a statement as it was made first, in a new deployment of empty tables.
#[tokio::test]
async fn plans_for_empty_tables_serve_when_they_are_full() {
    let Fixture { store, database } = Fixture::new().await;
    let tenants = sample::tenants(&store, OTHERS).await;
    let busy = tenants[0];
    commit(&store, busy, (RECORDS..RECORDS + 2 * ROUNDS).map(expiring).map(Change::Put).collect()).await.unwrap();
    for number in 0..ROUNDS {
        assert!(ask(&store, busy, RECORDS + number).await);
    }
    let sessions = database.backends().len();
    let growing = database.store().await;
    grow(&growing, &tenants).await;
    growing.close().await;
    let before = settled(&database, sessions);
    assert_eq!(database.backends().len(), sessions, "those that have plans are still there");
    for number in 0..ROUNDS {
        assert!(ask(&store, busy, RECORDS / 2 + number).await);
    }
    store.close().await;
    let read = settled(&database, 0) - before;
    assert!(read > 0 && read <= 2 * i64::from(ROUNDS) * ROUND_MAX, "{read} rows and entries in {ROUNDS} rounds");
}

/// Step by step, and each step reads what it takes: with the plans of a new deployment, too, and while a backup goes on.
#[tokio::test]
async fn erasing_reads_no_more_than_it_takes() {
    let Fixture { store, database } = Fixture::new().await;
    let tenants = sample::tenants(&store, OTHERS).await;
    commit(&store, tenants[1], vec![Change::Put(record(0))]).await.unwrap();
    for _ in 0..ROUNDS {
        store.erase_chunk(tenants[1], CHUNK, None).await.unwrap_err();
    }
    erase(&store, tenants[1]).await;
    let sessions = database.backends().len();
    let growing = database.store().await;
    grow(&growing, &tenants[..1]).await;
    growing.close().await;
    let before = settled(&database, sessions);
    let older = older_transaction(&database).await;
    erase(&store, tenants[0]).await;
    store.close().await;
    older.close().await.unwrap();
    let (read, rows) = (settled(&database, 0) - before, i64::from(RECORDS + LOG_ROWS));
    assert!(read >= rows && read <= 5 * rows, "{read} rows and entries, to take {rows}");
}

/// The same of what has expired: a step looks from where the one before has begun.
#[tokio::test]
async fn expiry_reads_no_more_than_it_takes() {
    let Fixture { store, database } = Fixture::new().await;
    let tenants = sample::tenants(&store, OTHERS).await;
    let busy = tenants[0];
    grow(&store, &tenants).await;
    let at = |number: u32| RecordRow { expires_at: Some(Timestamp(i64::from(number))), ..record(number) };
    let expiring = (10_000..10_000 + RECORDS).map(at).map(Change::Put).collect();
    commit(&store, busy, expiring).await.unwrap();
    store.close().await;
    let before = settled(&database, 0);
    let (older, store) = (older_transaction(&database).await, database.store().await);
    let (mut from, mut removed) = (Timestamp(10_000), 0);
    loop {
        let found = store.expired(busy, from..=Timestamp(i64::MAX), CHUNK).await.unwrap();
        let Some((first, _)) = found.first() else { break };
        from = *first;
        removed += found.len();
        commit(&store, busy, found.iter().map(|(_, key)| Change::Remove(*key)).collect()).await.unwrap();
    }
    store.close().await;
    older.close().await.unwrap();
    let (read, rows) = (settled(&database, 0) - before, i64::from(RECORDS));
    assert_eq!(removed, RECORDS as usize);
    assert!(read >= rows && read <= 5 * rows, "{read} rows and entries, to take {rows}");
}

/// As long as it is open, what goes is not cleaned up: it could see that.
async fn older_transaction(database: &Database) -> PgConnection {
    let options: PgConnectOptions = database.url("postgres").parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    for text in ["BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT count(*) FROM strongroom.deployment"] {
        sqlx::query(text).execute(&mut connection).await.unwrap();
    }
    connection
}

async fn erase(store: &PostgresStore, tenant: TenantId) {
    let erasing = vec![Structural::State(tenant, TenantState::Erasing)];
    sample::commit_with(store, tenant, Vec::new(), erasing).await.unwrap();
    while store.erase_chunk(tenant, CHUNK, None).await.unwrap() > 0 {}
    assert!(store.tenant(tenant).await.unwrap().is_none());
}

/// Much in every table, most of it the first tenant's.
async fn grow(store: &PostgresStore, tenants: &[TenantId]) {
    let busy = tenants[0];
    for tenant in tenants {
        commit(store, *tenant, vec![Change::Put(record(0))]).await.unwrap();
    }
    commit(store, busy, (0..RECORDS).map(expiring).map(Change::Put).collect()).await.unwrap();
    for _ in 0..LOG_ROWS {
        // What is written again leaves rows behind that are read until they are cleaned up: not one of those that are asked for.
        commit(store, busy, vec![Change::Put(record(RECORDS))]).await.unwrap();
    }
}

fn expiring(number: u32) -> RecordRow {
    RecordRow { expires_at: Some(Timestamp(1)), ..record(number) }
}

/// Asks every question once, the last one the removal of this record. Whether it was there.
async fn ask(store: &PostgresStore, tenant: TenantId, number: u32) -> bool {
    let key = record(number).key;
    let found = store.record(tenant, key).await.unwrap().value.is_some();
    assert!(store.record(tenant, RecordKey([0xee; 32])).await.unwrap().value.is_none());
    assert_eq!(store.names(tenant, DirKey([3; 32]), None, 4).await.unwrap().value.len(), 4);
    assert_eq!(store.records(tenant, None, 4).await.unwrap().value.len(), 4);
    assert_eq!(store.next_expiry(tenant).await.unwrap(), Some(Timestamp(1)));
    assert_eq!(store.expired(tenant, Timestamp(0)..=Timestamp(2), 4).await.unwrap().len(), 4);
    assert_eq!(store.occupied(tenant, &[DirKey([3; 32]), DirKey([0xee; 32])]).await.unwrap(), [true, false]);
    commit(store, tenant, vec![Change::Remove(key)]).await.unwrap();
    found
}

/// Rows of tables and entries of indexes read so far, when what ended sessions counted is in the statistics: all but so many have.
fn settled(database: &Database, sessions: usize) -> i64 {
    let begun = Instant::now();
    while database.backends().len() > sessions {
        assert!(begun.elapsed() < PATIENCE, "sessions of a closed store stay open");
        sleep(Duration::from_millis(20));
    }
    let text = "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('record', 'log')) \
                + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('record', 'log'))";
    database.sql("postgres", text).trim().parse().unwrap()
}
