//! Bringing the database's schema up to date, and giving the database and the servers their common context key.

use std::path::Path;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};
use zeroize::Zeroizing;

use super::super::StoreError;
use super::super::cells::stored;
use super::context::ContextKey;
use super::session::within;
use super::{check, connect, hosts};

/// The role that the schema belongs to.
pub(super) const OWNER: &str = "strongroom_owner";
/// The role of the servers.
pub(super) const RUNTIME: &str = "strongroom_runtime";
/// What brings the schema from one version to the next.
struct Step {
    sql: &'static str,
    /// The oldest version that a program must know to serve from it. Less than the step's own: it only adds, and servers of the version
    /// before go on while those of this one take their place. What it made useless goes with a later step, whose `oldest` is this one's version.
    oldest: usize,
}

const fn step(sql: &'static str, oldest: usize) -> Step {
    Step { sql, oldest }
}

/// One step per version.
const STEPS: [Step; 11] = [
    step(include_str!("../../../migrations/postgres/0001_tables.sql"), 1),
    step(include_str!("../../../migrations/postgres/0002_watched_tenants.sql"), 2),
    step(include_str!("../../../migrations/postgres/0003_audit_reading.sql"), 3),
    step(include_str!("../../../migrations/postgres/0004_archive.sql"), 4),
    step(include_str!("../../../migrations/postgres/0005_deployment_log.sql"), 5),
    step(include_str!("../../../migrations/postgres/0006_erased_log.sql"), 6),
    step(include_str!("../../../migrations/postgres/0007_backup.sql"), 7),
    step(include_str!("../../../migrations/postgres/0008_leases.sql"), 8),
    step(include_str!("../../../migrations/postgres/0009_side_by_side.sql"), 8),
    step(include_str!("../../../migrations/postgres/0010_removal.sql"), 8),
    step(include_str!("../../../migrations/postgres/0011_together.sql"), 8),
];
/// The version that this software knows, and needs.
pub(super) const VERSION: usize = STEPS.len();
/// From this one on the database has a function that ends a step.
const ENDED_BY_FUNCTION: usize = 9;
/// How often a step is tried that waits for a lock, and how long between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// The code of the database's answer that a server lives which knows too little.
const OLDER_SERVER: &str = "SR009";
/// Keeps two migrations apart: any number that nobody else uses.
const ADVISORY_LOCK: i64 = 0x5374_726f_6e67_726f;

/// What a migration did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// Schema version before; 0 when there was none.
    pub from: usize,
    /// Schema version now.
    pub to: usize,
    /// The database has another context key than before: servers that run must be given the file, and restarted.
    pub new_key: bool,
}

/// SQL that makes the three roles and the database; an administrator runs it once, with psql.
pub fn print_roles() -> &'static str {
    include_str!("../../../migrations/postgres/roles.sql")
}

/// Brings the schema up to date and makes sure that the database and `key_file` hold the same context key: that of the file
/// counts, and a fresh one is made if there is no file. `database_url` signs in as the owner role. Running it again changes nothing.
pub async fn migrate(database_url: &str, key_file: &Path) -> Result<Migrated, StoreError> {
    let (_, mut connection) = connect::to_any(&hosts::parse(database_url)?).await?;
    let user: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut connection).await?;
    if user != OWNER {
        return Err(StoreError::Refused(format!("migrations are run as {OWNER}, not as {user}")));
    }
    check::server(&mut connection).await?;
    let mut tries = 1;
    let done = loop {
        match bring_up_to_date(&mut connection, key_file).await {
            // Somebody has a table that a step needs for itself: whoever comes behind was let pass.
            Err(StoreError::Unavailable(cause)) if tries < TRIES && connection.ping().await.is_ok() => {
                tracing::warn!(%cause, "the migration did not get its locks; trying again");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            done => break done?,
        }
    };
    connection.close().await?;
    Ok(done)
}

/// All missing steps and the key, or nothing: one transaction.
async fn bring_up_to_date(connection: &mut PgConnection, key_file: &Path) -> Result<Migrated, StoreError> {
    let mut transaction = connection.begin().await?;
    // Whoever waits for a lock holds up everybody behind: better to give up and try again.
    sqlx::raw_sql("SET LOCAL lock_timeout = '1s'").execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(&mut *transaction).await?;
    let found = Schema::of(&mut transaction).await?;
    if found.oldest > VERSION {
        return Err(StoreError::Refused(found.is_too_new()));
    }
    for (at, step) in STEPS.iter().enumerate().skip(found.version) {
        sqlx::raw_sql(step.sql).execute(&mut *transaction).await.map_err(missing_role)?;
        let version = at + 1;
        let (taken, oldest) = (stored(version as u64)?, stored(step.oldest as u64)?);
        let end = if version < ENDED_BY_FUNCTION {
            sqlx::query("INSERT INTO strongroom.schema_version (version) VALUES ($1)").bind(taken)
        } else {
            sqlx::query("SELECT strongroom.take_version($1, $2)").bind(taken).bind(oldest)
        };
        end.execute(&mut *transaction).await.map_err(older_server)?;
    }
    let new_key = agree_on_key(&mut transaction, key_file).await?;
    transaction.commit().await?;
    // One that is ahead, and takes this version's servers, stays as it is.
    Ok(Migrated { from: found.version, to: found.version.max(VERSION), new_key })
}

/// What a database says of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schema {
    /// 0 when there is none.
    pub(super) version: usize,
    /// The oldest version that a program must know to serve from it.
    pub(super) oldest: usize,
}

impl Schema {
    pub(super) async fn of(connection: &mut PgConnection) -> Result<Self, StoreError> {
        // Before version 9 there is no column that says who may serve.
        let text = "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'strongroom' AND c.relname = 'schema_version'), \
             EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = 'strongroom' AND c.relname = 'schema_version' AND a.attname = 'oldest')";
        let row = within(sqlx::query(text).fetch_one(&mut *connection)).await?;
        let newest = match (row.try_get(0)?, row.try_get(1)?) {
            (false, _) => return Ok(Self { version: 0, oldest: 0 }),
            (true, false) => "SELECT version, version FROM strongroom.schema_version ORDER BY version DESC LIMIT 1",
            (true, true) => {
                "SELECT version, coalesce(oldest, version) FROM strongroom.schema_version ORDER BY version DESC LIMIT 1"
            }
        };
        let Some(row) = within(sqlx::query(newest).fetch_optional(connection)).await? else {
            return Ok(Self { version: 0, oldest: 0 });
        };
        let number = |at| Ok::<_, sqlx::Error>(usize::try_from(row.try_get::<i64, _>(at)?).unwrap_or(usize::MAX));
        Ok(Self { version: number(0)?, oldest: number(1)? })
    }

    /// Why a program that knows `VERSION` has nothing to do with it.
    pub(super) fn is_too_new(self) -> String {
        let Self { version, oldest } = self;
        format!(
            "the database has schema version {version}, made by a newer strongroom, for servers that know version {oldest} at least; \
             this one knows {VERSION}: start a newer one"
        )
    }
}

/// The connection options of a URL; a URL holds a password, so errors do not repeat it.
pub(super) fn parse_url(url: &str) -> Result<PgConnectOptions, StoreError> {
    PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Refused("the database URL is not of the form postgresql://user@host/database".to_owned()))
        .map(sqlx::ConnectOptions::disable_statement_logging)
}

/// True when the database got another key. The file is written before the transaction commits: a failure in between leaves
/// a file with a key that the database does not have, which the next run gives to it.
async fn agree_on_key(connection: &mut PgConnection, key_file: &Path) -> Result<bool, StoreError> {
    sqlx::raw_sql("SET LOCAL ROLE strongroom_context").execute(&mut *connection).await?;
    let row = sqlx::query("SELECT inner_block, outer_block FROM strongroom_context.key").fetch_optional(&mut *connection).await?;
    let stored =
        row.map(|row| Ok::<_, sqlx::Error>([Zeroizing::new(row.try_get(0)?), Zeroizing::new(row.try_get(1)?)])).transpose()?;
    let found = ContextKey::load(key_file)?;
    let made = if found.is_none() { Some(ContextKey::generate()) } else { None };
    let blocks = found.as_ref().or(made.as_ref()).map(ContextKey::blocks);
    let agreed = blocks == stored;
    if let Some([inner, outer]) = blocks.filter(|_| !agreed) {
        sqlx::query(
            "INSERT INTO strongroom_context.key (only_row, inner_block, outer_block) VALUES (true, $1, $2) \
             ON CONFLICT (only_row) DO UPDATE SET inner_block = excluded.inner_block, outer_block = excluded.outer_block",
        )
        .bind(&inner[..])
        .bind(&outer[..])
        .execute(&mut *connection)
        .await?;
    }
    if let Some(key) = made {
        key.save(key_file)?;
    }
    sqlx::raw_sql("RESET ROLE").execute(connection).await?;
    Ok(!agreed)
}

/// A migration that fails because of a role that is not there is answered with what to do.
fn missing_role(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|answer| answer.code().map(std::borrow::Cow::into_owned));
    match code.as_deref() {
        Some("42704") => StoreError::Refused(
            "the database's roles are not there: run the SQL of `strongroom migrate --print-roles`".to_owned(),
        ),
        _ => error.into(),
    }
}

/// A server that lives and knows too little is named in the answer: that is what to do something about.
fn older_server(error: sqlx::Error) -> StoreError {
    let answer = error.as_database_error().filter(|answer| answer.code().is_some_and(|code| code == OLDER_SERVER));
    answer.map(|answer| answer.message().to_owned()).map_or_else(|| error.into(), StoreError::Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What takes something away, or forbids what servers of the version before do.
    const CONTRACTS: [&str; 8] =
        ["DROP TABLE", "DROP COLUMN", "DROP FUNCTION", "DROP POLICY", " RENAME ", "SET NOT NULL", "ALTER COLUMN", "OR REPLACE"];

    #[test]
    fn a_step_that_older_servers_outlive_only_adds() {
        for (at, step) in STEPS.iter().enumerate() {
            assert!((1..=at + 1).contains(&step.oldest), "step {}", at + 1);
            let contracting = CONTRACTS.iter().find(|word| step.sql.contains(**word));
            assert!(step.oldest == at + 1 || contracting.is_none(), "step {} has {contracting:?}", at + 1);
        }
    }

    #[test]
    fn who_may_serve_is_never_less_than_before() {
        assert!(STEPS.is_sorted_by_key(|step| step.oldest));
    }
}
