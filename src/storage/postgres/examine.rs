//! The checks of a start, one by one, for somebody who wants to know all of them; nothing is tried twice, and nothing is written.

use std::path::Path;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use super::super::StoreError;
use super::connect::{self, Link, SETTINGS};
use super::context::ContextKey;
use super::session::{micros, within};
use super::{PostgresStore, check, hosts};
use crate::time::{Clock as _, SystemClock, Timestamp};

/// One check.
#[derive(Debug)]
pub struct Step {
    /// `connection`, `server`, `role`, `schema` or `context key`.
    pub what: &'static str,
    /// What was found, or what is wrong.
    pub outcome: Result<String, StoreError>,
}

/// What was found.
#[derive(Debug)]
pub struct Examined {
    /// In the order in which a start makes them; what cannot be checked without a connection is left out.
    pub steps: Vec<Step>,
    /// The database's clock.
    pub now: Option<Timestamp>,
    /// When it was asked for that, by this machine's clock.
    pub asked: Timestamp,
    /// When it had answered.
    pub answered: Timestamp,
}

/// Looks at the database as a start would.
pub async fn examine(url: &str, context_key_file: &Path) -> Examined {
    let mut steps = Vec::new();
    let (mut found, mut used) = (None, None);
    let mut add = |what, outcome: Result<String, StoreError>| steps.push(Step { what, outcome });
    let (mut asked, mut answered) = (SystemClock.now(), SystemClock.now());
    let settled = |options: PgConnectOptions| options.application_name("strongroom doctor").options(SETTINGS);
    let hosts: Result<Vec<_>, _> = hosts::parse(url).map(|hosts| hosts.into_iter().map(settled).collect());
    let connected = match &hosts {
        Ok(hosts) => connect::to_any(hosts).await,
        Err(_) => Err(StoreError::Refused("connection_url is no address of a PostgreSQL database".to_owned())),
    };
    match connected {
        Err(error) => add("connection", Err(error)),
        Ok((host, mut connection)) => {
            used = hosts.ok().and_then(|hosts| hosts.into_iter().nth(host));
            add("connection", Ok("signed in".to_owned()));
            add(
                "server",
                check::server(&mut connection).await.map(|()| "is new enough and keeps what it acknowledges".to_owned()),
            );
            add("role", check::role(&mut connection).await.map(|()| "is bound by row-level security".to_owned()));
            let schema = check::schema(&mut connection).await;
            add("schema", schema.map(|version| format!("has version {version}, and the role has the rights that it needs")));
            asked = SystemClock.now();
            found = now(&mut connection).await.ok();
            answered = SystemClock.now();
        }
    }
    let key = ContextKey::load(context_key_file).and_then(|key| {
        let missing = || StoreError::Refused(format!("the context key file {} is not there", context_key_file.display()));
        key.ok_or_else(missing)
    });
    match (key, used) {
        (Err(error), _) => add("context key", Err(error)),
        (Ok(key), Some(host)) if found.is_some() => {
            let store = PostgresStore::new(Link::to(host, 1), key);
            add("context key", store.check_key().await.map(|()| "is the database's".to_owned()));
            store.link.close().await;
        }
        (Ok(_), _) => {}
    }
    Examined { steps, now: found, asked, answered }
}

async fn now(connection: &mut PgConnection) -> Result<Timestamp, StoreError> {
    let micros: i64 = within(sqlx::query_scalar(concat!("SELECT ", micros!("clock_timestamp()"))).fetch_one(connection)).await?;
    Ok(Timestamp(micros.saturating_mul(1_000)))
}
