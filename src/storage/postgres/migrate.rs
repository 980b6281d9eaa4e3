//! Bringing the database's schema up to date, and giving the database and the servers their common context key.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, Row as _};
use zeroize::Zeroizing;

use super::super::StoreError;
use super::context::ContextKey;
use super::{check, connect, hosts};

/// The role that the schema belongs to.
pub(super) const OWNER: &str = "strongroom_owner";
/// The role of the servers.
pub(super) const RUNTIME: &str = "strongroom_runtime";
/// One step per version.
const MIGRATIONS: [&str; 8] = [
    include_str!("../../../migrations/postgres/0001_tables.sql"),
    include_str!("../../../migrations/postgres/0002_watched_tenants.sql"),
    include_str!("../../../migrations/postgres/0003_audit_reading.sql"),
    include_str!("../../../migrations/postgres/0004_archive.sql"),
    include_str!("../../../migrations/postgres/0005_deployment_log.sql"),
    include_str!("../../../migrations/postgres/0006_erased_log.sql"),
    include_str!("../../../migrations/postgres/0007_backup.sql"),
    include_str!("../../../migrations/postgres/0008_leases.sql"),
];
/// The version that this software needs.
pub(super) const VERSION: usize = MIGRATIONS.len();
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
    let mut transaction = connection.begin().await?;
    // Whoever waits for a lock holds up everybody behind: better to give up and try again.
    sqlx::raw_sql("SET LOCAL lock_timeout = '1s'").execute(&mut *transaction).await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(&mut *transaction).await?;
    let from = schema_version(&mut transaction).await?;
    let Some(missing) = MIGRATIONS.get(from..) else {
        return Err(StoreError::Refused(format!(
            "the database has schema version {from}, made by a newer strongroom; this one knows {VERSION}"
        )));
    };
    for (step, sql) in missing.iter().enumerate() {
        sqlx::raw_sql(*sql).execute(&mut *transaction).await.map_err(missing_role)?;
        let version = i64::try_from(from + step + 1).unwrap_or(i64::MAX);
        sqlx::query("INSERT INTO strongroom.schema_version (version) VALUES ($1)")
            .bind(version)
            .execute(&mut *transaction)
            .await?;
    }
    let new_key = agree_on_key(&mut transaction, key_file).await?;
    transaction.commit().await?;
    connection.close().await?;
    Ok(Migrated { from, to: VERSION, new_key })
}

/// The version of the schema; 0 when there is none.
pub(super) async fn schema_version(connection: &mut PgConnection) -> Result<usize, StoreError> {
    let there: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'strongroom' AND c.relname = 'schema_version')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !there {
        return Ok(0);
    }
    let version: i64 =
        sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM strongroom.schema_version").fetch_one(connection).await?;
    Ok(usize::try_from(version).unwrap_or(usize::MAX))
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
