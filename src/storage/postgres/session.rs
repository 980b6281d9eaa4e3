//! One transaction on one pooled connection, in a signed tenant context.
//!
//! Any failure, and any drop before the end, closes the connection: a pooled connection is one whose last transaction
//! ended well. So a lost server, a demoted primary (25006) or a stopped backend (57P01) leaves nothing stale behind.

use std::future::Future;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres};

use super::super::StoreError;
use super::super::cells::Place;
use super::connect::Link;
use super::context::{ContextKey, Transaction};
use crate::id::TenantId;

/// How long a statement may take, waiting for locks included (`lock_timeout` is shorter).
const STATEMENT_WAIT: Duration = Duration::from_secs(8);
/// How long a connection has to answer a statement that waits for nothing.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How long dead connections are thrown away in the search for one that answers.
const BEGIN_WAIT: Duration = Duration::from_secs(3);
/// How long a COMMIT may take before its outcome is unknown. It is never cancelled: a cancelled wait for a synchronous
/// standby reports success.
const COMMIT_WAIT: Duration = Duration::from_secs(30);

/// Microseconds since 1970 of an SQL time.
macro_rules! micros {
    ($time:literal) => {
        concat!("(extract(epoch FROM ", $time, ") * 1000000)::int8")
    };
}
pub(super) use micros;

macro_rules! begin {
    ($mode:literal) => {
        concat!(
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            $mode,
            "; SELECT pg_backend_pid()::int8, ",
            micros!("pg_postmaster_start_time()"),
            ", ",
            micros!("transaction_timestamp()")
        )
    };
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose<'a> {
    Read,
    /// Locks the heads of these tenants of the context.
    Write {
        locked: &'a [TenantId],
    },
    /// Writes without locking heads (the tenants are new).
    Initialise,
}

/// An open transaction.
pub(super) struct Session {
    connection: Option<PoolConnection<Postgres>>,
    link: Link,
    /// How often connections had been made anew before this one was taken.
    renewed: u64,
}

impl Session {
    /// Begins, and enters the context of `tenants` when there are any.
    pub(super) async fn open(
        link: &Link,
        key: &ContextKey,
        purpose: Purpose<'_>,
        tenants: &[TenantId],
    ) -> Result<Self, StoreError> {
        if tenants.is_empty() {
            return Ok(Self::begin(link, purpose).await?.0);
        }
        let (mut session, context) = Self::signed(link, key, purpose, tenants).await?;
        let locked: Vec<&[u8]> = match purpose {
            Purpose::Write { locked } => locked.iter().map(|tenant| &tenant.0[..]).collect(),
            Purpose::Read | Purpose::Initialise => Vec::new(),
        };
        let entering = sqlx::query("SELECT strongroom.enter($1, $2)").bind(context).bind(locked);
        within(entering.execute(session.connection()?)).await?;
        Ok(session)
    }

    /// Begins, and signs a context of `tenants`, in which the first statement has to enter.
    pub(super) async fn signed(
        link: &Link,
        key: &ContextKey,
        purpose: Purpose<'_>,
        tenants: &[TenantId],
    ) -> Result<(Self, String), StoreError> {
        if tenants.is_empty() {
            return Err(StoreError::Misused("a context without tenants"));
        }
        let (session, transaction) = Self::begin(link, purpose).await?;
        let context = key.sign(transaction, tenants)?;
        Ok((session, context))
    }

    /// A connection without a transaction: each statement is one of its own.
    pub(super) async fn plain(link: &Link) -> Result<Self, StoreError> {
        Ok(Self::answering(link, "SELECT 1").await?.0)
    }

    async fn begin(link: &Link, purpose: Purpose<'_>) -> Result<(Self, Transaction), StoreError> {
        // Not READ WRITE: a database that is set to refuse writes (`default_transaction_read_only`) is not to be talked out of it.
        let text = if purpose == Purpose::Read { begin!(" READ ONLY") } else { begin!("") };
        let (session, rows) = Self::answering(link, text).await?;
        let row = rows.first().ok_or(StoreError::Misused("BEGIN without an answer"))?;
        let place = Place { table: "pg_stat_activity", row: &[] };
        let transaction = Transaction {
            backend: place.number(row, 0, "pid")?,
            server_start: place.number(row, 1, "server_start")?,
            start: place.number(row, 2, "xact_start")?,
        };
        Ok((session, transaction))
    }

    /// Takes connections until one answers: after a restart of the database all the pooled ones are dead.
    async fn answering(link: &Link, text: &'static str) -> Result<(Self, Vec<PgRow>), StoreError> {
        let mut tries = link.connections();
        let deadline = Instant::now() + BEGIN_WAIT;
        loop {
            let renewed = link.renewed();
            let mut session = Self { connection: Some(link.acquire().await?), link: link.clone(), renewed };
            let asking = sqlx::raw_sql(text).fetch_all(session.connection()?);
            match bounded(ANSWER_WAIT, asking).await {
                Err(StoreError::Unavailable(_)) if tries > 0 && Instant::now() < deadline => tries -= 1,
                rows => return Ok((session, rows?)),
            }
        }
    }

    /// The connection, for statements of this transaction.
    pub(super) fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.connection.as_deref_mut().ok_or(StoreError::Misused("a transaction that has ended"))
    }

    /// Commits. `Unknown` when no answer came.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let (link, renewed) = (self.link.clone(), self.renewed);
        let committing = tokio::time::timeout(COMMIT_WAIT, sqlx::raw_sql("COMMIT").execute(self.connection()?));
        let committed = tokio::select! {
            committed = committing => committed,
            // Where it leads to nobody answers any more, and elsewhere somebody does.
            () = link.renewed_since(renewed) => {
                return Err(StoreError::unavailable("the database was lost and is back, or another one is in its place").at_commit());
            }
        };
        match committed {
            Ok(Ok(_)) => {
                self.connection.take();
                Ok(())
            }
            Ok(Err(error)) => Err(StoreError::from(error).at_commit()),
            Err(_) => Err(StoreError::unavailable("COMMIT took too long").at_commit()),
        }
    }

    /// Gives back a connection on which no transaction is open.
    pub(super) fn give_back(mut self) {
        self.connection.take();
    }

    /// Ends the transaction without effect, and gives the connection back; the caller does not wait for it.
    pub(super) fn release(self) {
        tokio::spawn(self.rollback());
    }

    /// Ends the transaction without effect.
    pub(super) async fn rollback(mut self) {
        if let Ok(connection) = self.connection()
            && within(sqlx::raw_sql("ROLLBACK").execute(connection)).await.is_ok()
        {
            self.connection.take();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            // Closing the socket makes the database roll back; the pool makes a new connection when it needs one.
            drop(connection.detach());
            // What failed may have failed because the database is not what it was.
            self.link.suspect();
        }
    }
}

/// A statement, bounded in time.
pub(super) async fn within<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    bounded(STATEMENT_WAIT, work).await
}

async fn bounded<T>(wait: Duration, work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, StoreError> {
    match tokio::time::timeout(wait, work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(StoreError::unavailable("a statement took too long")),
    }
}
