//! Connections: how they are made, and what the server demands of the database before the first one is used.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgPool};

use super::super::StoreError;
use super::session::within;
use super::{check, migrate};

pub(super) const ACQUIRE_WAIT: Duration = Duration::from_secs(5);
/// How often the first connection is tried, and how long between.
const START_TRIES: u32 = 10;
const START_PAUSE: Duration = Duration::from_secs(1);
/// Set on every connection. Timeouts bound whoever holds a head; all access is by key, so plans that would suit the small
/// tables of today and not the large ones of tomorrow are ruled out.
pub(super) const SETTINGS: [(&str, &str); 13] = [
    ("timezone", "UTC"),
    ("search_path", "pg_catalog"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("client_connection_check_interval", "2s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
];

/// Waits for the database, checks it, and makes a pool of connections to it.
pub(super) async fn pool(url: &str, connections: u32) -> Result<PgPool, StoreError> {
    let options = migrate::parse_url(url)?.application_name("strongroom").options(SETTINGS);
    first_contact(&options).await?;
    let pool = PgPoolOptions::new()
        .max_connections(connections.max(2))
        .acquire_timeout(ACQUIRE_WAIT)
        .test_before_acquire(false)
        .after_connect(|connection, _| {
            Box::pin(async move {
                // After a failover the address may lead to a standby, whose answers are old.
                let standby: bool = sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(connection).await?;
                if standby { Err(sqlx::Error::Protocol("the database is a standby".to_owned())) } else { Ok(()) }
            })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Waits for the database, then checks server, role and schema.
async fn first_contact(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut tries = 1;
    let mut connection = loop {
        match within(options.connect()).await {
            Ok(connection) => break connection,
            Err(StoreError::Unavailable(cause)) if tries < START_TRIES => {
                tracing::warn!(%cause, "the database is not there yet");
                tries += 1;
                tokio::time::sleep(START_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    };
    check::server(&mut connection).await?;
    check::role(&mut connection).await?;
    check::schema(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
