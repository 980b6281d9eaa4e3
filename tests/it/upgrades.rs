//! Servers of two versions on one PostgreSQL: what a step of the schema that only adds leaves to servers of the version before, what one
//! that takes away does not, and migrations that die.

use std::io::Write as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;
use strongroom::storage::postgres::{PostgresStore, migrate};

use crate::support::fixture::{put, ready, token};
use crate::support::postgres::Database;
use crate::support::process::{Finished, run};
use crate::support::server::Server;
use crate::support::{full, say, tools};

/// The newest version of the schema, as the database says.
fn version(database: &Database) -> u64 {
    database.sql("strongroom_owner", "SELECT max(version) FROM strongroom.schema_version").trim().parse().unwrap()
}

/// Runs SQL as the owner, who may be refused.
fn owner(database: &Database, text: &str) -> Output {
    let mut psql = database.psql_session("strongroom_owner");
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    psql.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    psql.wait_with_output().unwrap()
}

fn migrate_by_command(database: &Database) -> Finished {
    let (url, key) = (database.url("strongroom_owner"), database.key_file());
    run(&tools::strongroom(), &["migrate", "--database-url", &url, "--context-key-file", key.to_str().unwrap()], &[], None)
}

#[test]
fn servers_of_the_version_before_serve_beside_the_next_one_until_that_takes_something_away() {
    let mut one = Server::initialised_on_postgresql(Database::new());
    let root = ready(&one);
    put(&root, "before", &json!({"k": 1}));
    let database = one.postgres().unwrap();
    let now = version(database);
    let (next, last) = (now + 1, now + 2);
    // As a later version's migration would write it: a column, a table that its servers use, and a version that this one's may serve from.
    let expand = format!(
        "BEGIN; SET LOCAL lock_timeout = '1s';
         ALTER TABLE strongroom.record ADD COLUMN later bigint;
         CREATE TABLE strongroom.later (tenant_id bytea NOT NULL, note text NOT NULL);
         ALTER TABLE strongroom.later ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         GRANT SELECT, INSERT, DELETE ON strongroom.later TO strongroom_runtime;
         SELECT strongroom.take_version({next}, {now}); COMMIT;"
    );
    let done = owner(database, &expand);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    // The server that runs goes on, another one starts, and `migrate` of this version finds nothing to do.
    put(&root, "beside", &json!({"k": 2}));
    let mut two = one.another();
    let client = crate::support::client::Client::new(&two.target());
    for (name, value) in [("before", 1), ("beside", 2)] {
        let read = client.call("GET", &format!("secret/data/{name}"), None).expect(200).json();
        assert_eq!(read["data"]["data"], json!({"k": value}));
    }
    put(&client, "beside", &json!({"k": 3}));
    root.call("DELETE", "secret/metadata/before", None).expect(204);
    let made = token(&root, &json!({"policies": ["default"]}));
    client.with_token(&made.text).call("GET", "auth/token/lookup-self", None).expect(200);
    let done = migrate_by_command(database);
    assert!(done.code == 0 && done.stdout.contains(&format!("schema version {next} (it had {next})")), "{}", done.stdout);

    // One that takes something away waits until those are gone that need it, and says who.
    let contract = format!("SELECT strongroom.take_version({last}, {next})");
    let refused = owner(database, &contract);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{text}");
    assert!(
        text.contains(&format!("takes servers that know version {next} at least")) && text.contains("stop it first"),
        "{text}"
    );
    assert_eq!(version(database), next);
    assert!(one.stop().success() && two.stop().success());
    let done = owner(one.postgres().unwrap(), &contract);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    // Now this version is too old, and says so.
    for text in [
        String::from_utf8_lossy(&one.same_command().output().unwrap().stderr).into_owned(),
        migrate_by_command(one.postgres().unwrap()).stderr,
    ] {
        let line = text.lines().last().unwrap_or_default();
        let wanted =
            format!("has schema version {last}, made by a newer strongroom, for servers that know version {next} at least");
        assert!(line.contains(&wanted) && line.contains(&format!("this one knows {now}")), "{text}");
    }
}

#[test]
fn a_server_that_is_newer_than_the_schema_says_what_to_run() {
    let mut server = Server::initialised_on_postgresql(Database::new());
    assert!(server.stop().success());
    let database = server.postgres().unwrap();
    let now = version(database);
    database.sql("strongroom_owner", &format!("DELETE FROM strongroom.schema_version WHERE version = {now}"));
    let text = String::from_utf8_lossy(&server.same_command().output().unwrap().stderr).into_owned();
    let wanted = format!("has schema version {}, this server needs {now}: run `strongroom migrate`", now - 1);
    assert!(text.lines().last().unwrap_or_default().contains(&wanted), "{text}");
}

/// A database without a schema, in which the session that changes it is ended at the change of a number.
fn deadly() -> Database {
    let database = Database::new();
    database.sql("postgres", "DROP SCHEMA strongroom CASCADE; DROP SCHEMA strongroom_context CASCADE");
    database.sql(
        "postgres",
        "CREATE SEQUENCE public.changes; CREATE TABLE public.death (at bigint NOT NULL); INSERT INTO public.death VALUES (0);
         CREATE FUNCTION public.die() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             IF nextval('public.changes') = (SELECT at FROM public.death) THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
         END $$;
         CREATE EVENT TRIGGER die ON ddl_command_end EXECUTE FUNCTION public.die();",
    );
    database
}

async fn dies(database: &Database, change: usize, key: &Path) -> bool {
    database.sql("postgres", &format!("SELECT setval('public.changes', 1, false); UPDATE public.death SET at = {change}"));
    migrate(&database.url("strongroom_owner"), key).await.is_err()
}

#[tokio::test]
async fn a_migration_that_dies_leaves_nothing_behind_and_is_done_again() {
    let database = deadly();
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let (mut change, mut deaths) = (1, 0);
    while dies(&database, change, &key).await {
        let left = database.sql("postgres", "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'strongroom%'");
        assert_eq!(left.trim(), "0", "change {change}");
        assert!(!key.exists(), "change {change}");
        change += if full() { 1 } else { 13 };
        deaths += 1;
    }
    say(&format!("{deaths} migrations died, of at most {change} changes"));
    assert!(deaths >= 5, "only {deaths}: was anything changed at all?");
    let store = PostgresStore::connect(&database.url("strongroom_runtime"), &key, 2).await.unwrap();
    strongroom::storage::Store::close(&store).await;
}

/// Two at once, or a table that is in use: the lock is asked for again.
#[tokio::test]
async fn a_migration_waits_for_its_locks_in_small_pieces() {
    let database = Database::new();
    let mut holder = database.psql_session("strongroom_owner");
    let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let lock = 0x5374_726f_6e67_726f_i64;
    writeln!(holder.stdin.as_mut().unwrap(), "SELECT pg_advisory_lock({lock});").unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1852273263";
    while database.sql("postgres", held).trim() == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (url, key) = (database.url("strongroom_owner"), database.key_file());
    let migrating = tokio::spawn(async move { migrate(&url, &key).await });
    // Longer than one piece.
    tokio::time::sleep(Duration::from_millis(1_300)).await;
    assert!(!migrating.is_finished());
    drop(holder.stdin.take());
    holder.wait().unwrap();
    migrating.await.unwrap().unwrap();
}
