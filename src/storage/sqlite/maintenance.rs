//! Moving committed pages from the write-ahead log into the database file, off the path of requests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::sync::Mutex;

use super::super::StoreError;
use super::writer::Writer;

const PERIOD: Duration = Duration::from_secs(1);
/// Past this size the log is emptied and cut, with the writer held.
pub(super) const WAL_BYTES_MAX: u64 = 64 << 20;

pub(super) struct Checkpoints {
    /// A connection of its own: a passive checkpoint hinders neither the writer nor the readers.
    pub(super) connection: SqliteConnection,
    pub(super) writer: Arc<Mutex<Writer>>,
    pub(super) wal: PathBuf,
    /// `WAL_BYTES_MAX`, or what a test sets.
    pub(super) wal_bytes_max: u64,
    /// Groups committed so far.
    pub(super) commits: Arc<AtomicU64>,
}

impl Checkpoints {
    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        let mut done = 0;
        loop {
            tokio::time::sleep(PERIOD).await;
            let commits = self.commits.load(Ordering::Relaxed);
            if commits == done {
                continue;
            }
            match self.tick().await {
                Ok(()) => done = commits,
                Err(error) => tracing::warn!(%error, "a checkpoint of the database did not succeed; it is tried again"),
            }
        }
    }

    async fn tick(&mut self) -> Result<(), StoreError> {
        sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut self.connection).await?;
        let size = tokio::fs::metadata(&self.wal).await.map_or(0, |metadata| metadata.len());
        if size > self.wal_bytes_max {
            let mut writer = self.writer.lock().await;
            let connection = writer.connection().await?;
            sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(connection).await?;
        }
        Ok(())
    }
}
