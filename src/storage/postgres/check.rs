//! What the server demands of a database before it serves from it. Each refusal is one sentence that says what to change.

use sqlx::{PgConnection, Row as _};

use super::super::StoreError;
use super::migrate::{OWNER, RUNTIME, Schema, VERSION};
use super::session::within;

/// The oldest supported server, as `server_version_num`.
const VERSION_MIN: i64 = 150_000;

/// What the server's role may do to each table: this, no less and no more.
const PRIVILEGES: [(&str, &[&str]); 17] = [
    ("strongroom.archived", &["SELECT", "INSERT"]),
    ("strongroom.checkpoint", &["SELECT", "INSERT"]),
    ("strongroom.cosignature", &["SELECT", "INSERT"]),
    ("strongroom.deployment", &["SELECT", "INSERT", "UPDATE"]),
    ("strongroom.deployment_tree", &["SELECT", "INSERT"]),
    ("strongroom.erased_log", &["SELECT"]),
    ("strongroom.head", &["SELECT", "INSERT", "UPDATE"]),
    ("strongroom.lease", &["SELECT", "UPDATE"]),
    ("strongroom.log", &["SELECT", "INSERT"]),
    ("strongroom.record", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("strongroom.replica", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("strongroom.schema_version", &["SELECT"]),
    ("strongroom.tenant", &["SELECT", "INSERT", "UPDATE"]),
    ("strongroom.tenant_head", &["SELECT", "INSERT"]),
    ("strongroom.tenant_key", &["SELECT", "INSERT", "DELETE"]),
    ("strongroom.tenant_keyring", &["SELECT", "INSERT", "DELETE"]),
    ("strongroom_context.key", &[]),
];

fn refused<T>(sentence: impl Into<String>) -> Result<T, StoreError> {
    Err(StoreError::Refused(sentence.into()))
}

/// Refuses a database that is too old or may forget what it acknowledged.
pub(super) async fn server(connection: &mut PgConnection) -> Result<(), StoreError> {
    let row = within(
        sqlx::query(
            "SELECT current_setting('server_version_num')::int8, current_setting('fsync'), current_setting('full_page_writes'), \
             current_setting('synchronous_commit'), current_setting('server_version')",
        )
        .fetch_one(connection),
    )
    .await?;
    if row.try_get::<i64, _>(0)? < VERSION_MIN {
        return refused(format!("PostgreSQL {} is too old: version 15 or newer is needed", row.try_get::<String, _>(4)?));
    }
    for (at, name, accepted) in
        [(1, "fsync", &["on"][..]), (2, "full_page_writes", &["on"]), (3, "synchronous_commit", &["on", "remote_apply"])]
    {
        let value: String = row.try_get(at)?;
        if !accepted.contains(&value.as_str()) {
            return refused(format!(
                "the database's setting {name} is {value}: what it acknowledged could be lost; set it to on"
            ));
        }
    }
    Ok(())
}

/// Refuses a role that row-level security does not bind, or that may do more than it needs.
pub(super) async fn role(connection: &mut PgConnection) -> Result<(), StoreError> {
    let row = within(
        sqlx::query(
            "SELECT r.rolname::text, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolreplication, \
             EXISTS (SELECT FROM pg_auth_members m WHERE m.member = r.oid), \
             EXISTS (SELECT FROM pg_class WHERE relowner = r.oid) OR EXISTS (SELECT FROM pg_proc WHERE proowner = r.oid) \
             OR EXISTS (SELECT FROM pg_namespace WHERE nspowner = r.oid) OR EXISTS (SELECT FROM pg_database WHERE datdba = r.oid), \
             has_database_privilege(r.oid, current_database(), 'CREATE'), current_user = session_user \
             FROM pg_roles r WHERE r.rolname = current_user",
        )
        .fetch_one(connection),
    )
    .await?;
    let name: String = row.try_get(0)?;
    let faults = [
        (1, "is a superuser"),
        (2, "has BYPASSRLS"),
        (3, "has CREATEROLE"),
        (4, "has REPLICATION"),
        (5, "is a member of other roles"),
        (6, "owns database objects"),
        (7, "may create schemas in the database"),
    ];
    for (at, fault) in faults {
        if row.try_get(at)? {
            return refused(format!("the database role {name} {fault}: the server must sign in as {RUNTIME}"));
        }
    }
    if !row.try_get::<bool, _>(8)? {
        return refused("the database role was switched after signing in (role setting); the server must be itself");
    }
    Ok(())
}

/// Refuses a schema that this version does not serve from, tables without row security, and rights that differ from `PRIVILEGES`. A newer
/// schema that takes servers of this version may have tables that this one does not know: what may be done to them is not judged here. The schema's version.
pub(super) async fn schema(connection: &mut PgConnection) -> Result<usize, StoreError> {
    let found = Schema::of(connection).await?;
    if found.version == 0 {
        return refused("the database has no schema: run `strongroom migrate` first");
    }
    if found.version < VERSION {
        let version = found.version;
        return refused(format!(
            "the database has schema version {version}, this server needs {VERSION}: run `strongroom migrate`"
        ));
    }
    if found.oldest > VERSION {
        return refused(found.is_too_new());
    }
    let rows = within(
        sqlx::query(
            "SELECT n.nspname || '.' || c.relname, c.relrowsecurity AND c.relforcerowsecurity, \
             ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p \
             WHERE has_table_privilege(c.oid, p) OR CASE WHEN p IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') \
             THEN has_any_column_privilege(c.oid, p) ELSE false END), \
             has_schema_privilege(n.oid, 'CREATE') \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname IN ('strongroom', 'strongroom_context') AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        )
        .fetch_all(connection),
    )
    .await?;
    for row in rows {
        let table: String = row.try_get(0)?;
        if !row.try_get::<bool, _>(1)? {
            return refused(format!(
                "the table {table} is not under forced row-level security: run `strongroom migrate` as {OWNER}"
            ));
        }
        if row.try_get(3)? {
            return refused(format!("the server's role may create objects in the schema of {table}: revoke CREATE"));
        }
        let is_known = PRIVILEGES.iter().any(|(name, _)| *name == table);
        if is_known || found.version == VERSION {
            privileges(&table, &row.try_get::<Vec<String>, _>(2)?)?;
        }
    }
    Ok(found.version)
}

fn privileges(table: &str, granted: &[String]) -> Result<(), StoreError> {
    let needed = PRIVILEGES.iter().find(|(name, _)| *name == table).map_or(&[][..], |(_, needed)| needed);
    if let Some(extra) = granted.iter().find(|privilege| !needed.contains(&privilege.as_str())) {
        return refused(format!("the server's role has {extra} on {table}, which it must not have: revoke it"));
    }
    if let Some(missing) = needed.iter().find(|privilege| !granted.iter().any(|granted| granted == *privilege)) {
        return refused(format!("the server's role lacks {missing} on {table}: sign in as {RUNTIME}"));
    }
    Ok(())
}
