//! How much `PostgreSQL` reads for an answer: no more in a tenant that has much, whatever the planner knows of it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use strongroom::record::{DirKey, RecordKey};
use strongroom::storage::{Change, Store as _};
use strongroom::time::Timestamp;

use super::postgres::Fixture;
use super::sample::{self, commit, record};

use crate::support::postgres::Database;
use crate::support::process::PATIENCE;

const OTHERS: usize = 40;
const RECORDS: u32 = 2_000;
const LOG_ROWS: u32 = 400;
const ROUNDS: u32 = 10;
/// Rows and entries of indexes that one round may read: it asks for some fifteen rows, in six questions.
const ROUND_MAX: i64 = 60;

#[tokio::test]
async fn what_is_read_does_not_grow_with_what_there_is() {
    let Fixture { store, database } = Fixture::new().await;
    let tenants = sample::tenants(&store, OTHERS).await;
    let busy = tenants[0];
    for tenant in &tenants {
        commit(&store, *tenant, vec![Change::Put(record(0))]).await.unwrap();
    }
    let mut rows: Vec<_> = (0..RECORDS).map(record).collect();
    for row in &mut rows {
        row.expires_at = Some(Timestamp(1));
    }
    commit(&store, busy, rows.into_iter().map(Change::Put).collect()).await.unwrap();
    for _ in 0..LOG_ROWS {
        // What is written again leaves rows behind that are read until they are cleaned up: not one of those that are asked for.
        commit(&store, busy, vec![Change::Put(record(RECORDS))]).await.unwrap();
    }
    store.close().await;
    // A planner that knows nothing, and one that knows how much tenants have on average.
    for known in [false, true] {
        if known {
            database.sql("postgres", "ANALYZE strongroom.record, strongroom.log");
        }
        let before = settled(&database);
        let store = database.store().await;
        for number in 0..ROUNDS {
            assert!(store.record(busy, record(RECORDS / 2 + number).key).await.unwrap().value.is_some() != known);
            assert!(store.record(busy, RecordKey([0xee; 32])).await.unwrap().value.is_none());
            assert_eq!(store.names(busy, DirKey([3; 32]), None, 4).await.unwrap().value.len(), 4);
            assert_eq!(store.records(busy, None, 4).await.unwrap().value.len(), 4);
            assert_eq!(store.next_expiry(busy).await.unwrap(), Some(Timestamp(1)));
            commit(&store, busy, vec![Change::Remove(record(RECORDS / 2 + number).key)]).await.unwrap();
        }
        store.close().await;
        let read = settled(&database) - before;
        assert!(read > 0 && read <= i64::from(ROUNDS) * ROUND_MAX, "{read} rows and entries in {ROUNDS} rounds, known: {known}");
    }
}

/// Rows of tables and entries of indexes read so far, when what ended sessions counted is in the statistics.
fn settled(database: &Database) -> i64 {
    let counted = || -> i64 {
        let text = "SELECT (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('record', 'log')) \
                    + (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('record', 'log'))";
        database.sql("postgres", text).trim().parse().unwrap()
    };
    let sessions = || {
        database.sql(
            "postgres",
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'strongroom_runtime' AND datname = current_database()",
        )
    };
    let begun = Instant::now();
    while sessions().trim() != "0" {
        assert!(begun.elapsed() < PATIENCE, "sessions of a closed store stay open");
        sleep(Duration::from_millis(20));
    }
    counted()
}
