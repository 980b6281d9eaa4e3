//! What is particular to the embedded store: its file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strongroom::storage::sqlite::SqliteStore;
use strongroom::storage::{Change, Checkpoint, Store as _, StoreError, Structural, TenantState};
use strongroom::time::SystemClock;

use super::sample::{self, commit, commit_with, record};

pub(super) struct Fixture {
    pub(super) store: SqliteStore,
    folder: tempfile::TempDir,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder.path().join("store.db")).await.unwrap();
        Self { store, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(path, Arc::new(SystemClock)).await
}

fn sentence(result: Result<SqliteStore, StoreError>) -> String {
    match result.err() {
        Some(StoreError::Refused(sentence)) => sentence,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_second_server_is_kept_out() {
    let fixture = Fixture::new().await;
    let sentence = sentence(open(&fixture.file()).await);
    assert!(sentence.starts_with("another strongroom server (pid "), "{sentence}");
    assert!(sentence.contains(&std::process::id().to_string()), "{sentence}");
    assert!(sentence.contains("store.db"), "{sentence}");
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let fixture = Fixture::new().await;
    let tenant = sample::tenants(&fixture.store, 1).await[0];
    let row = record(1);
    let log = commit(&fixture.store, tenant, vec![Change::Put(row.clone())]).await.unwrap();
    let Fixture { store, folder } = fixture;
    // Not closed: what a stopped process leaves behind is enough.
    drop(store);
    let again = open(&folder.path().join("store.db")).await.unwrap();
    assert_eq!(again.record(tenant, row.key).await.unwrap().value, Some(row));
    assert_eq!(again.tenant(tenant).await.unwrap().unwrap().tail, Some(log.tail));
    again.close().await;
    assert_eq!(std::fs::metadata(folder.path().join("store.db-wal")).map_or(0, |wal| wal.len()), 0);
}

#[tokio::test]
async fn a_long_write_ahead_log_is_emptied_between_groups() {
    let folder = tempfile::tempdir().unwrap();
    let (file, wal) = (folder.path().join("store.db"), folder.path().join("store.db-wal"));
    let bound = 100_000;
    let store = SqliteStore::open_bounded(&file, Arc::new(SystemClock), bound).await.unwrap();
    let tenant = sample::tenants(&store, 1).await[0];
    let length = || std::fs::metadata(&wal).map_or(0, |wal| wal.len());
    let mut log = commit(&store, tenant, (0..500).map(|number| Change::Put(record(number))).collect()).await.unwrap();
    assert!(length() > bound, "{}", length());
    let begun = std::time::Instant::now();
    while length() > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{} bytes are left", length());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    // Nothing is lost with it, and the next group goes on.
    for number in [0, 499] {
        assert!(store.record(tenant, record(number).key).await.unwrap().value.is_some());
    }
    let next = sample::log_row(Some(&log.tail), 1);
    let group = store.begin(&[strongroom::storage::Known::locked(tenant, 1)]).await.unwrap();
    group.commit(vec![strongroom::storage::Batch { tenant, changes: Vec::new(), log: next.clone() }], Vec::new()).await.unwrap();
    log = next;
    assert_eq!(store.tenant(tenant).await.unwrap().unwrap().tail, Some(log.tail));
}

#[tokio::test]
async fn files_are_their_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new().await;
    sample::tenants(&fixture.store, 1).await;
    for suffix in ["", "-wal", ".lock"] {
        let path = format!("{}{suffix}", fixture.file().display());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{path}");
    }
}

#[tokio::test]
async fn foreign_and_newer_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    sqlite(&path, "CREATE TABLE theirs (a)").await;
    assert!(sentence(open(&path).await).contains("of other software"));

    let path = folder.path().join("newer.db");
    open(&path).await.unwrap().close().await;
    sqlite(&path, "PRAGMA user_version = 99").await;
    let sentence = sentence(open(&path).await);
    assert!(sentence.contains("schema version 99"), "{sentence}");
}

#[tokio::test]
async fn log_rows_are_never_changed_nor_deleted() {
    let fixture = Fixture::new().await;
    let tenant = sample::tenants(&fixture.store, 1).await[0];
    let log = commit(&fixture.store, tenant, Vec::new()).await.unwrap();
    for text in ["UPDATE log SET count = 2", "DELETE FROM log"] {
        let mut connection = connect(&fixture.file()).await;
        let refused = sqlx::raw_sql(text).execute(&mut connection).await.unwrap_err().to_string();
        assert!(refused.contains("log rows"), "{refused}");
    }
    assert_eq!(fixture.store.log(tenant, 0, 9).await.unwrap(), vec![log]);
}

#[tokio::test]
async fn what_is_left_of_an_erased_log_is_never_changed_nor_deleted() {
    let fixture = Fixture::new().await;
    let tenant = sample::tenants(&fixture.store, 1).await[0];
    let checkpoint = Checkpoint { size: 1, root: [1; 32], note: vec![2] };
    fixture.store.add_checkpoint(tenant, &checkpoint, None).await.unwrap();
    commit_with(&fixture.store, tenant, Vec::new(), vec![Structural::State(tenant, TenantState::Erasing)]).await.unwrap();
    while fixture.store.erase_chunk(tenant, 10, None).await.unwrap() > 0 {}
    let kept = fixture.store.kept_leaves(tenant, u64::MAX, 9).await.unwrap();
    assert_eq!(kept.len(), 1);
    for text in [
        "UPDATE erased_log SET leaves = x''",
        "DELETE FROM erased_log",
        "UPDATE checkpoint SET size = 9",
        "DELETE FROM checkpoint",
    ] {
        let mut connection = connect(&fixture.file()).await;
        let refused = sqlx::raw_sql(text).execute(&mut connection).await.unwrap_err().to_string();
        assert!(refused.contains("never changed") || refused.contains("stay"), "{refused}");
    }
    assert_eq!(fixture.store.kept_leaves(tenant, u64::MAX, 9).await.unwrap(), kept);
    assert_eq!(fixture.store.checkpoints(tenant, 0..=9, true, 9).await.unwrap(), [checkpoint]);
}

async fn connect(path: &Path) -> sqlx::SqliteConnection {
    use sqlx::ConnectOptions as _;
    sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}

async fn sqlite(path: &Path, text: &'static str) {
    use sqlx::Connection as _;
    let mut connection = connect(path).await;
    sqlx::raw_sql(text).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
