//! The way to the database: which of its hosts is the one that takes writes, connections to that one, and whether it answers.
//!
//! Whoever had bad luck with a connection says so, and goes on. Somebody then looks, once for all, with connections of its own: as long as
//! no host answers that takes writes, nobody else waits for one, and every call fails at once. When one does again, connections
//! are made anew: what was open before led to what was there before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres};
use tokio::sync::watch;

use super::super::StoreError;
use super::session::within;
use super::{check, hosts};

/// How long a request waits for a connection.
pub(super) const ACQUIRE_WAIT: Duration = Duration::from_secs(3);
/// How often the first connection is tried, and how long between.
const START_TRIES: u32 = 10;
const START_PAUSE: Duration = Duration::from_secs(1);
/// How long a host has to answer who looks for one that takes writes.
const LOOK_WAIT: Duration = Duration::from_secs(2);
/// Between two looks while none does.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// After a look that found all well: so that a storm of failures is not a storm of looks.
const LOOK_REST: Duration = Duration::from_millis(500);
/// The code of an answer that there are too many connections (appendix A of PostgreSQL's manual).
const TOO_MANY: &str = "53300";
/// Set on every connection. Timeouts bound whoever holds a head; all access is by key, in the order of an index, so plans that would suit
/// the small tables of today and not the large ones of tomorrow are ruled out.
pub(super) const SETTINGS: [(&str, &str); 15] = [
    ("timezone", "UTC"),
    ("search_path", "pg_catalog"),
    ("plan_cache_mode", "force_generic_plan"),
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "5s"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("client_connection_check_interval", "2s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
];

/// The way to the database, for all who use it.
#[derive(Clone)]
pub(super) struct Link(Arc<Inner>);

struct Inner {
    hosts: Vec<PgConnectOptions>,
    connections: u32,
    pool: ArcSwap<PgPool>,
    way: watch::Sender<Way>,
    is_looking: AtomicBool,
}

/// What is known of the way.
#[derive(Clone, Copy)]
struct Way {
    /// The host that took writes last.
    host: usize,
    is_open: bool,
    /// How often the connections were made anew.
    renewed: u64,
}

/// What a host answered.
enum Host {
    /// It takes writes.
    Writes,
    /// It is there, and has no connection left for who asks.
    Full,
    /// It takes none, is not there, or does not answer.
    Not,
}

impl Link {
    /// Waits for the database, checks it, and makes connections to it.
    pub(super) async fn open(url: &str, connections: u32) -> Result<Self, StoreError> {
        let settled = |options: PgConnectOptions| options.application_name("strongroom").options(SETTINGS);
        let hosts: Vec<PgConnectOptions> = hosts::parse(url)?.into_iter().map(settled).collect();
        let host = first_contact(&hosts).await?;
        let connections = connections.max(2);
        let pool = pool(hosts.get(host).cloned().unwrap_or_default(), connections);
        let way = watch::Sender::new(Way { host, is_open: true, renewed: 0 });
        let is_looking = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner { hosts, connections, pool: ArcSwap::from_pointee(pool), way, is_looking })))
    }

    /// A connection to the host that takes writes. Who waits for one is told at once when the way changes.
    pub(super) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let mut way = self.0.way.subscribe();
        loop {
            let before = *way.borrow_and_update();
            if !before.is_open {
                return Err(StoreError::unavailable("no host of the database takes writes now"));
            }
            let pool = self.0.pool.load_full();
            tokio::select! {
                taken = pool.acquire() => match taken {
                    Ok(connection) => return Ok(connection),
                    // Another one took its place in this moment.
                    Err(sqlx::Error::PoolClosed) if !Arc::ptr_eq(&pool, &self.0.pool.load()) => {}
                    Err(error) => {
                        self.suspect();
                        return Err(error.into());
                    }
                },
                _ = way.wait_for(|way| !way.is_open || way.renewed > before.renewed) => {}
            }
        }
    }

    /// Connections to one host, made when they are needed.
    pub(super) fn to(host: PgConnectOptions, connections: u32) -> Self {
        let pool = ArcSwap::from_pointee(pool(host.clone(), connections));
        let way = watch::Sender::new(Way { host: 0, is_open: true, renewed: 0 });
        Self(Arc::new(Inner { hosts: vec![host], connections, pool, way, is_looking: AtomicBool::new(false) }))
    }

    /// Whether a host takes writes, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.0.way.borrow().is_open
    }

    /// How many connections there may be.
    pub(super) fn connections(&self) -> u32 {
        self.0.connections
    }

    /// Something went wrong on a connection: the way is looked at.
    pub(super) fn suspect(&self) {
        if !self.0.is_looking.swap(true, Ordering::AcqRel) {
            tokio::spawn(look(Arc::downgrade(&self.0)));
        }
    }

    /// How often connections were made anew.
    pub(super) fn renewed(&self) -> u64 {
        self.0.way.borrow().renewed
    }

    /// Returns when connections that were made before they were made anew so often lead nowhere any more.
    pub(super) async fn renewed_since(&self, renewed: u64) {
        if self.0.way.subscribe().wait_for(|way| way.renewed > renewed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Ends all connections in good order.
    pub(super) async fn close(&self) {
        self.0.pool.load_full().close().await;
    }
}

/// Looks for a host that takes writes, until there is one.
async fn look(link: Weak<Inner>) {
    loop {
        let Some(link) = link.upgrade().filter(|link| !link.pool.load().is_closed()) else { return };
        let before = *link.way.borrow();
        match find(&link.hosts, before.host).await {
            Some(host) if host == before.host && before.is_open => break,
            Some(host) => {
                link.renew(host);
                tracing::info!(host, "the database takes writes; connections are made anew");
                break;
            }
            None if before.is_open => {
                tracing::warn!("no host of the database takes writes: every request is refused until one does");
                link.way.send_modify(|way| way.is_open = false);
            }
            None => {}
        }
        drop(link);
        tokio::time::sleep(LOOK_PAUSE).await;
    }
    tokio::time::sleep(LOOK_REST).await;
    if let Some(link) = link.upgrade() {
        link.is_looking.store(false, Ordering::Release);
    }
}

impl Inner {
    /// Connects to this host from now on.
    fn renew(&self, host: usize) {
        let Some(options) = self.hosts.get(host) else { return };
        let old = self.pool.swap(Arc::new(pool(options.clone(), self.connections)));
        self.way.send_modify(|way| *way = Way { host, is_open: true, renewed: way.renewed + 1 });
        // Whoever is in the middle of something ends it, or is told (`renewed`).
        tokio::spawn(async move { old.close().await });
    }
}

/// Which host takes writes: the one of before, if that is so.
async fn find(hosts: &[PgConnectOptions], before: usize) -> Option<usize> {
    let answers = join_all(hosts.iter().map(ask)).await;
    // Who is full is there: connections that are open go on.
    if matches!(answers.get(before), Some(Host::Writes | Host::Full)) {
        return Some(before);
    }
    answers.iter().position(|answer| matches!(answer, Host::Writes))
}

async fn ask(host: &PgConnectOptions) -> Host {
    let asking = async {
        let mut connection = host.connect().await?;
        takes_writes(&mut connection).await?;
        connection.close().await
    };
    match tokio::time::timeout(LOOK_WAIT, asking).await {
        Ok(Ok(())) => Host::Writes,
        Ok(Err(sqlx::Error::Database(answer))) if answer.code().as_deref() == Some(TOO_MANY) => Host::Full,
        _ => Host::Not,
    }
}

/// Fails for a standby, whose answers are old, and for a server that was demoted.
async fn takes_writes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let text = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean";
    let refuses: bool = sqlx::query_scalar(text).fetch_one(connection).await?;
    if refuses { Err(sqlx::Error::Protocol("the database takes no writes".to_owned())) } else { Ok(()) }
}

fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_WAIT)
        .test_before_acquire(false)
        .after_connect(|connection, _| Box::pin(takes_writes(connection)))
        .connect_lazy_with(options)
}

/// Waits for the database, then checks server, role and schema. Which host it is.
async fn first_contact(hosts: &[PgConnectOptions]) -> Result<usize, StoreError> {
    let mut tries = 1;
    let (host, mut connection) = loop {
        match to_any(hosts).await {
            Ok(found) => break found,
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
    Ok(host)
}

/// The first host that takes writes; else what the last one said.
pub(super) async fn to_any(hosts: &[PgConnectOptions]) -> Result<(usize, PgConnection), StoreError> {
    let mut said = StoreError::Misused("a database without a host");
    for (at, options) in hosts.iter().enumerate() {
        let connecting = async {
            let mut connection = options.connect().await?;
            takes_writes(&mut connection).await?;
            Ok(connection)
        };
        match within(connecting).await {
            Ok(connection) => return Ok((at, connection)),
            Err(error) => said = error,
        }
    }
    Err(said)
}
