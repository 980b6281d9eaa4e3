//! Opening the file: who may, how, and the schema that it must have.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::super::StoreError;

/// Marks the file as this software's (`PRAGMA application_id`): "Strm".
pub(super) const APPLICATION_ID: i64 = 0x5374_726d;
/// The schema, one step per version (`PRAGMA user_version` counts those applied).
pub(super) const MIGRATIONS: [&str; 6] = [
    include_str!("../../../migrations/sqlite/0001_tables.sql"),
    include_str!("../../../migrations/sqlite/0002_audit_reading.sql"),
    include_str!("../../../migrations/sqlite/0003_archive.sql"),
    include_str!("../../../migrations/sqlite/0004_deployment_log.sql"),
    include_str!("../../../migrations/sqlite/0005_erased_log.sql"),
    include_str!("../../../migrations/sqlite/0006_leases.sql"),
];
/// Pages that the writing connection keeps, as SQLite counts memory: 16 MiB.
pub(super) const WRITER_CACHE: &str = "-16384";
/// How long a statement waits for a lock of another connection.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The lock that keeps a second server out: held as long as this value lives, or the process.
pub(super) struct Lock(#[expect(dead_code, reason = "the open file is the lock")] File);

impl Lock {
    /// Takes the lock beside `path`, or says who has it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let beside = suffixed(path, ".lock");
        let refused = |error: std::io::Error| StoreError::Refused(format!("cannot open {}: {error}", beside.display()));
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&beside).map_err(refused)?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            // The number is a help for the operator; the lock does not depend on it.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.trim().is_empty() { "unknown" } else { holder.trim() };
            return Err(StoreError::Refused(format!("another strongroom server (pid {holder}) uses {}", path.display())));
        }
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(refused)?;
        Ok(Self(file))
    }
}

/// `path` with `suffix` added to its last part.
pub(super) fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the file, readable by its owner only, before the database does so with wider rights.
pub(super) fn create(path: &Path) -> Result<(), StoreError> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::Refused(format!("cannot open {}: {error}", path.display())))
}

/// How every connection is made. Checkpoints are left to `maintenance`: automatic ones make a group wait.
pub(super) fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(64)
        .pragma("wal_autocheckpoint", "0")
        .pragma("secure_delete", "ON")
        .pragma("trusted_schema", "OFF")
        .pragma("cell_size_check", "ON")
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging()
}

/// Brings the schema up to date, each step whole or not at all.
pub(super) async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let application: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await?;
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *connection).await?;
    if application != APPLICATION_ID && (application != 0 || version != 0 || tables != 0) {
        return Err(StoreError::Refused(format!("{} is a database of other software", path.display())));
    }
    let applied = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(missing) = MIGRATIONS.get(applied..) else {
        return Err(StoreError::Refused(format!(
            "{} has schema version {version}, made by a newer strongroom; this one knows {}",
            path.display(),
            MIGRATIONS.len()
        )));
    };
    for (step, sql) in missing.iter().enumerate() {
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        sqlx::raw_sql(*sql).execute(&mut *transaction).await?;
        // Pragmas take no parameters; both values are numbers of our own.
        let marks = format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {}", applied + step + 1);
        sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *transaction).await?;
        transaction.commit().await?;
    }
    Ok(())
}
