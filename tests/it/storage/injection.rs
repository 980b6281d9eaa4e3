//! What somebody could do who can put SQL of their own into a statement of the server: nothing with other tenants.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _};
use strongroom::id::TenantId;
use strongroom::storage::{Change, Structural, TenantState};

use super::postgres::Fixture;
use super::sample::{self, commit, commit_with, record};

/// A connection of the server's role, in which SQL of the attacker runs.
struct Victim {
    connection: PgConnection,
    key: Vec<u8>,
    /// The tenant whose request carries the injection.
    own: TenantId,
    /// The tenant that it is after.
    other: TenantId,
    fixture: Fixture,
}

impl Victim {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let ids = sample::tenants(&fixture.store, 2).await;
        for tenant in &ids {
            commit(&fixture.store, *tenant, vec![Change::Put(record(1)), Change::Put(record(2))]).await.unwrap();
        }
        let key = std::fs::read_to_string(fixture.database.key_file()).unwrap();
        let key = data_encoding::HEXLOWER.decode(key.trim().as_bytes()).unwrap();
        Self { connection: connect(&fixture).await, key, own: ids[0], other: ids[1], fixture }
    }

    /// Begins as the server does; a valid context for `tenants`.
    async fn begin(&mut self, tenants: &[TenantId]) -> String {
        begin(&mut self.connection, &self.key, tenants).await
    }

    /// Begins, and enters the context of the own tenant.
    async fn enter(&mut self) -> String {
        let context = self.begin(&[self.own]).await;
        sqlx::query("SELECT strongroom.enter($1, false)").bind(&context).execute(&mut self.connection).await.unwrap();
        context
    }

    async fn rows(&mut self, text: &str) -> Result<Vec<Vec<u8>>, String> {
        let rows = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).fetch_all(&mut self.connection).await;
        rows.map(|rows| rows.iter().map(|row| row.get(0)).collect()).map_err(|error| error.to_string())
    }

    async fn rollback(&mut self) {
        sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await.unwrap();
    }
}

async fn connect(fixture: &Fixture) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = fixture.database.url("strongroom_runtime").parse().unwrap();
    options.connect().await.unwrap()
}

/// The context as its description in `migrations/postgres` says, written a second time.
async fn begin(connection: &mut PgConnection, key: &[u8], tenants: &[TenantId]) -> String {
    let text = "BEGIN; SELECT pg_backend_pid()::int8, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, \
                (extract(epoch FROM now()) * 1000000)::int8";
    let row = sqlx::raw_sql(text).fetch_all(connection).await.unwrap().remove(0);
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(b"strongroom-context-1");
    (0..3).for_each(|at| mac.update(&row.get::<i64, _>(at).to_be_bytes()));
    for tenant in tenants {
        mac.update(&tenant.0);
    }
    let mut context = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    for tenant in tenants {
        write!(context, "{tenant}").unwrap();
    }
    context
}

/// One SELECT with an injected UNION that sets the context and then, as the rows depend on it, reads another tenant's rows.
fn union(own: TenantId, other: TenantId, context: &str) -> String {
    format!(
        "SELECT sealed FROM strongroom.record WHERE tenant_id = '\\x{own}' UNION ALL \
         SELECT v FROM (SELECT set_config('strongroom.context', '{context}', true) AS x OFFSET 0) a, \
         LATERAL (SELECT sealed AS v FROM strongroom.record WHERE tenant_id = decode(CASE WHEN a.x IS NOT NULL THEN '{other}' END, 'hex')) b"
    )
}

fn of(tenant: TenantId) -> String {
    format!("SELECT sealed FROM strongroom.record WHERE tenant_id = '\\x{tenant}'")
}

#[tokio::test]
async fn a_context_shows_its_own_tenants_and_no_others() {
    let mut victim = Victim::new().await;
    let (own, other) = (victim.own, victim.other);
    victim.enter().await;
    assert_eq!(victim.rows(&of(own)).await.unwrap().len(), 2, "the attacks below must have something to miss");
    assert_eq!(victim.rows(&of(other)).await.unwrap().len(), 0);
    assert_eq!(victim.rows("SELECT sealed FROM strongroom.record").await.unwrap().len(), 2);
    victim.rollback().await;
    // No context at all, also after one: the setting is empty text then.
    assert_eq!(victim.rows("SELECT sealed FROM strongroom.record").await.unwrap().len(), 0);
    let both = victim.begin(&[own, other]).await;
    sqlx::query("SELECT strongroom.enter($1, true)").bind(both).execute(&mut victim.connection).await.unwrap();
    assert_eq!(victim.rows("SELECT sealed FROM strongroom.record").await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_forged_context_returns_nothing() {
    let mut victim = Victim::new().await;
    let (own, other) = (victim.own, victim.other);
    // The attack as such works: with a context that the server itself had signed it returns the other tenant's rows.
    let genuine = victim.begin(&[other]).await;
    assert_eq!(victim.rows(&union(own, other, &genuine)).await.unwrap().len(), 2);
    victim.rollback().await;
    for attempt in 0..6 {
        let context = victim.enter().await;
        let (mac, _) = context.split_at(64);
        let forged = match attempt {
            0 => format!("{mac}{other}"),
            1 => format!("{mac}{own}{other}"),
            2 => format!("{mac}{other}{own}"),
            3 => format!("{}{other}", "0".repeat(64)),
            4 => other.to_string(),
            _ => format!("{mac}{}", "%".repeat(32)),
        };
        let seen = victim.rows(&union(own, other, &forged)).await.unwrap();
        assert!(seen.len() <= 2, "attempt {attempt}: rows of the other tenant were returned");
        assert_eq!(victim.rows(&of(other)).await.unwrap().len(), 0, "attempt {attempt}, in the following statement");
        let entered = victim.rows(&format!("SELECT strongroom.enter('{forged}', false)::text::bytea")).await;
        assert!(entered.is_err_and(|error| error.contains("the tenant context is not valid")), "attempt {attempt}");
        victim.rollback().await;
    }
}

#[tokio::test]
async fn an_old_context_cannot_be_used_again() {
    let mut victim = Victim::new().await;
    let (own, other) = (victim.own, victim.other);
    // The other tenant's request ran on this very backend, and its context leaked.
    let leaked = victim.begin(&[other]).await;
    victim.rows(&format!("SELECT set_config('strongroom.context', '{leaked}', true)::bytea")).await.unwrap();
    assert_eq!(victim.rows(&of(other)).await.unwrap().len(), 2, "valid in its own transaction");
    victim.rollback().await;
    victim.enter().await;
    assert_eq!(victim.rows(&union(own, other, &leaked)).await.unwrap().len(), 2);
    assert_eq!(victim.rows(&of(other)).await.unwrap().len(), 0);
    victim.rollback().await;
    // Nor on another backend, while its transaction is still open.
    let mut second = connect(&victim.fixture).await;
    let current = begin(&mut second, &victim.key, &[other]).await;
    victim.enter().await;
    victim.rows(&format!("SELECT set_config('strongroom.context', '{current}', true)::bytea")).await.unwrap();
    assert_eq!(victim.rows(&of(other)).await.unwrap().len(), 0);
}

#[tokio::test]
async fn what_the_role_may_not_do_is_denied() {
    let mut victim = Victim::new().await;
    for text in [
        "SELECT inner_block FROM strongroom_context.key",
        "SET ROLE strongroom_context",
        "SET ROLE strongroom_owner",
        "TRUNCATE strongroom.record",
        "UPDATE strongroom.log SET count = 0",
        "DELETE FROM strongroom.log",
        "UPDATE strongroom.log SET batch = ''",
        "UPDATE strongroom.archived SET last_seq = 9",
        "DELETE FROM strongroom.archived",
        "UPDATE strongroom.tenant_head SET size = 9",
        "DELETE FROM strongroom.tenant_head",
        "UPDATE strongroom.deployment_tree SET size = 9",
        "DELETE FROM strongroom.deployment_tree",
        "DELETE FROM strongroom.cosignature",
        "INSERT INTO strongroom.erased_log VALUES ('a', 0, '', '')",
        "UPDATE strongroom.erased_log SET leaves = ''",
        "DELETE FROM strongroom.erased_log",
        "DELETE FROM strongroom.checkpoint",
        "DELETE FROM strongroom.head",
        "DELETE FROM strongroom.lease",
        "INSERT INTO strongroom.lease VALUES ('another', NULL, 0)",
        "DELETE FROM strongroom.tenant",
        "ALTER TABLE strongroom.record DISABLE ROW LEVEL SECURITY",
        "CREATE OR REPLACE FUNCTION strongroom_context.tenants() RETURNS bytea[] LANGUAGE sql AS 'SELECT NULL::bytea[]'",
        "CREATE TABLE strongroom.mine (a int)",
        "CREATE TABLE public.mine (a int)",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity",
        "SELECT lo_from_bytea(0, 'x')",
        "COPY strongroom.record TO PROGRAM 'cat'",
        "INSERT INTO strongroom.schema_version VALUES (2)",
    ] {
        victim.enter().await;
        let denied = sqlx::raw_sql(text).execute(&mut victim.connection).await.map(|done| done.rows_affected());
        let denied = denied.map_err(|error| error.to_string());
        assert!(
            denied.as_ref().is_err_and(|error| ["denied", "owner", "must be superuser"].iter().any(|word| error.contains(word))),
            "{text}: {denied:?}"
        );
        victim.rollback().await;
    }
}

#[tokio::test]
async fn other_tenants_rows_are_neither_written_nor_noticed() {
    let mut victim = Victim::new().await;
    let (own, other) = (victim.own, victim.other);
    let insert = |tenant: TenantId, number: u8| {
        let key = data_encoding::HEXLOWER.encode(&record(u32::from(number)).key.0);
        format!("INSERT INTO strongroom.record VALUES ('\\x{tenant}', '\\x{key}', sha256(''), 9, NULL, '', '')")
    };
    victim.enter().await;
    let refused = victim.rows(&insert(other, 1)).await.unwrap_err();
    assert!(refused.contains("row-level security"), "an existing key and a new one are refused alike: {refused}");
    victim.rollback().await;
    victim.enter().await;
    assert_eq!(victim.rows(&insert(other, 7)).await.unwrap_err(), refused);
    victim.rollback().await;
    victim.enter().await;
    for text in ["UPDATE strongroom.record SET sealed = ''", "DELETE FROM strongroom.record"] {
        let text = format!("{text} WHERE tenant_id <> '\\x{own}'");
        assert_eq!(sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut victim.connection).await.unwrap().rows_affected(), 0);
    }
    victim.rollback().await;

    // Not even the functions that delete log rows reach over.
    commit_with(&victim.fixture.store, other, Vec::new(), vec![Structural::State(other, TenantState::Erasing)]).await.unwrap();
    victim.enter().await;
    for erasing in [format!("erase_chunk('\\x{other}', 100)"), format!("erase_next('\\x{other}', 100, '', -1)")] {
        victim.rows(&format!("SELECT strongroom.{erasing}::text::bytea")).await.unwrap();
    }
    sqlx::raw_sql("COMMIT").execute(&mut victim.connection).await.unwrap();
    let rows = victim
        .fixture
        .database
        .sql("postgres", "SELECT (SELECT count(*) FROM strongroom.log), (SELECT count(*) FROM strongroom.record)");
    assert_eq!(rows.trim(), "3|4");
}

/// Each query lists what must not be there.
#[tokio::test]
async fn the_catalogue_holds_no_way_around() {
    let Fixture { database, .. } = Fixture::new().await;
    let ours = "n.nspname IN ('strongroom', 'strongroom_context')";
    for (what, text) in [
        (
            "tables without forced row security",
            format!(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {ours} AND relkind = 'r' \
                 AND NOT (relrowsecurity AND relforcerowsecurity)"
            ),
        ),
        (
            "other relations than tables and indexes",
            format!("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {ours} AND relkind NOT IN ('r', 'i')"),
        ),
        (
            "tenants' tables whose policies do not ask for the context",
            "SELECT tablename, policyname FROM pg_policies WHERE schemaname = 'strongroom' \
             AND tablename NOT IN ('deployment', 'schema_version', 'replica', 'lease') AND policyname NOT IN ('tenant_jobs', 'tenant_listing') \
             AND (qual !~ 'SELECT strongroom_context.tenants\\(\\)' OR with_check !~ 'SELECT strongroom_context.tenants\\(\\)' \
             OR permissive <> 'PERMISSIVE' OR roles <> '{public}')"
                .to_owned(),
        ),
        (
            "unique keys of tenants' tables that do not begin with the tenant",
            "SELECT i.indexrelid::regclass FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = relnamespace \
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] WHERE n.nspname = 'strongroom' AND i.indisunique \
             AND c.relname NOT IN ('deployment', 'schema_version', 'replica', 'lease') AND a.attname <> 'tenant_id'"
                .to_owned(),
        ),
        (
            "functions with their owner's rights, besides these",
            format!(
                "SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {ours} AND prosecdef \
                 AND p.proname NOT IN ('tenants', 'tenants_in', 'tenants_after', 'erase_chunk', 'erase_next', 'log_prune', 'forget_archived')"
            ),
        ),
        (
            "functions with their owner's rights that look names up along the caller's path, or run in parallel workers",
            format!(
                "SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {ours} AND prosecdef \
                 AND (proconfig IS DISTINCT FROM '{{\"search_path=pg_catalog, pg_temp\"}}' OR proparallel <> 'u')"
            ),
        ),
        (
            "functions that anybody may call",
            format!(
                "SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE {ours} \
                 AND (proacl IS NULL OR EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0))"
            ),
        ),
        (
            "tables that anybody may use, or of other owners",
            format!(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE {ours} AND relkind = 'r' \
                 AND (EXISTS (SELECT FROM aclexplode(relacl) WHERE grantee = 0) OR relowner::regrole::text <> \
                 CASE nspname WHEN 'strongroom' THEN 'strongroom_owner' ELSE 'strongroom_context' END)"
            ),
        ),
        (
            "roles with more power than they need",
            "SELECT rolname FROM pg_roles WHERE rolname IN ('strongroom_owner', 'strongroom_runtime', 'strongroom_context') \
             AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)"
                .to_owned(),
        ),
        ("foreign keys, whose checks leave the context", "SELECT conname FROM pg_constraint WHERE contype = 'f'".to_owned()),
        (
            "sealed columns that are compressed",
            "SELECT attrelid::regclass, attname FROM pg_attribute WHERE attrelid IN ('strongroom.record'::regclass, 'strongroom.log'::regclass) \
             AND attname IN ('sealed', 'name', 'batch', 'leaves') AND attstorage <> 'e'"
                .to_owned(),
        ),
    ] {
        assert_eq!(database.sql("postgres", &text).trim(), "", "{what}");
    }
}
