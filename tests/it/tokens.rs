//! Tokens of all kinds, their roles and leases, over HTTP and on both stores; and a tree of tokens that is large.
#![expect(clippy::print_stdout, reason = "the large test says how fast it went")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, namespace, policy, put, ready, token};
use crate::support::postgres::Database;
use crate::support::server::Server;
use crate::support::{full, on_stores};

on_stores! {
    batch_tokens_leave_no_row_and_end_together,
    a_lease_leads_to_its_token_in_its_namespace_only,
    a_revoked_prefix_ends_what_was_made_there,
    roles_are_made_by_who_may_and_shown_as_written,
    a_large_tree_is_worked_off_while_others_are_served,
    concurrent_tokens_under_one_role_are_all_there,
}

fn post(client: &Client, path: &str, body: &Value) -> Reply {
    client.call("POST", path, Some(body))
}

fn lives(client: &Client) -> bool {
    match client.call("GET", "auth/token/lookup-self", None).status {
        200 => true,
        403 => false,
        other => panic!("{other}"),
    }
}

fn keys(client: &Client, path: &str) -> Vec<String> {
    let reply = client.call("LIST", path, None);
    if reply.status == 404 {
        return Vec::new();
    }
    let listed = reply.expect(200).json()["data"]["keys"].clone();
    listed.as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
}

/// Waits until `done`, as long as a large test may take.
fn wait_until(what: &str, seconds: u64, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(seconds), "{what}: not within {seconds} s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn batch_tokens_leave_no_row_and_end_together(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    policy(&root, "reader", r#"path "secret/data/a" { capabilities = ["read"] }"#);
    let rows = "SELECT count(*) FROM record";
    let mut tables = server.tables();
    let before = tables.number(rows);
    let body = json!({"type": "batch", "policies": ["reader"], "ttl": "1h"});
    let tokens: Vec<Client> = (0..20).map(|_| root.with_token(&token(&root, &body).text)).collect();
    assert_eq!(tables.number(rows), before, "a batch token is not stored");
    for client in &tokens {
        client.call("GET", "secret/data/a", None).expect(200);
        client.call("GET", "secret/data/b", None).expect(403);
    }
    tokens[0].call("POST", "auth/token/revoke-batch", None).expect(403);
    root.call("POST", "auth/token/revoke-batch", None).expect(204);
    for client in &tokens {
        assert_eq!(client.call("GET", "secret/data/a", None).expect(403).errors(), ["permission denied"]);
    }
    let after = root.with_token(&token(&root, &body).text);
    after.call("GET", "secret/data/a", None).expect(200);
    server.kill();
    server.come_back();
    after.call("GET", "secret/data/a", None).expect(200);
    tokens[0].call("GET", "secret/data/a", None).expect(403);
}

fn a_lease_leads_to_its_token_in_its_namespace_only(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    for client in [&root, &team] {
        post(client, "auth/token/roles/r", &json!({"allowed_policies": "default"})).expect(204);
    }
    let made = post(&team, "auth/token/create/r", &json!({"ttl": "1h"})).expect(200).json();
    let holder = team.with_token(made["auth"]["client_token"].as_str().unwrap());
    assert_eq!(keys(&team, "sys/leases/lookup"), ["auth/"]);
    assert_eq!(keys(&team, "sys/leases/lookup/auth/token/create"), ["r/"]);
    let listed = keys(&team, "sys/leases/lookup/auth/token/create/r/");
    let label = made["auth"]["accessor"].as_str().unwrap().rsplit_once('.').unwrap().1.to_owned();
    assert!(listed.len() == 1 && listed[0].starts_with('h') && listed[0].ends_with(&format!(".{label}")), "{listed:?}");
    assert_eq!(keys(&root, "sys/leases/lookup/auth/token/create/r"), Vec::<String>::new());
    let id = json!({"lease_id": format!("auth/token/create/r/{}", listed[0])});
    let shown = post(&team, "sys/leases/lookup", &id).expect(200).json()["data"].clone();
    assert_eq!(
        (&shown["path"], &shown["renewable"], &shown["namespace_path"]),
        (&"auth/token/create/r".into(), &true.into(), &"team/".into())
    );
    assert_eq!((&shown["last_renewal"], &shown["id"]), (&Value::Null, &id["lease_id"]));
    // Elsewhere it is as unknown as one that never was.
    assert_eq!(post(&root, "sys/leases/lookup", &id).expect(400).errors(), ["invalid lease"]);
    post(&root, "sys/leases/revoke", &id).expect(204);
    assert!(lives(&holder));
    let moved = json!({"lease_id": format!("auth/token/create/{}", listed[0])});
    post(&team, "sys/leases/lookup", &moved).expect(400);
    assert_eq!(post(&team, "sys/leases/renew", &id).expect(400).errors(), ["tokens cannot be renewed through this endpoint"]);
    assert_eq!(post(&team, "sys/leases/renew", &moved).expect(400).errors(), ["lease not found"]);
    // A lease id is no token.
    let as_token = team.with_token(listed[0].strip_prefix('h').unwrap());
    assert!(!lives(&as_token));
    let mut sync = id.clone();
    sync["sync"] = json!(false);
    assert!(post(&team, "sys/leases/revoke", &sync).expect(202).body.is_empty());
    assert!(!lives(&holder));
    assert_eq!(post(&team, "sys/leases/lookup", &id).expect(400).errors(), ["invalid lease"]);
    assert_eq!(keys(&team, "sys/leases/lookup"), Vec::<String>::new(), "empty directories are not shown");
}

fn a_revoked_prefix_ends_what_was_made_there(server: &mut Server) {
    let root = ready(server);
    policy(&root, "maker", r#"path "auth/token/create" { capabilities = ["update"] }"#);
    post(&root, "auth/token/roles/ci", &json!({"allowed_policies": "maker", "path_suffix": "deep"})).expect(204);
    let of_role = |client: &Client| {
        let made = post(client, "auth/token/create/ci", &json!({})).expect(200).json();
        root.with_token(made["auth"]["client_token"].as_str().unwrap())
    };
    let many: Vec<Client> = (0..120).map(|_| of_role(&root)).collect();
    let child = root.with_token(&token(&many[0], &json!({})).text);
    let other = root.with_token(&token(&root, &json!({"policies": ["maker"]})).text);
    // Whole segments: what is not a directory of leases ends nothing.
    post(&root, "sys/leases/revoke-prefix/auth/token/create/c", &json!({})).expect(204);
    assert!(lives(&many[0]));
    post(&root, "sys/leases/revoke-prefix/auth/token/create/ci", &json!({})).expect(204);
    for client in many.iter().step_by(40).chain([&child]) {
        assert!(!lives(client));
    }
    let newer = of_role(&root);
    assert!(lives(&newer) && lives(&other));
    wait_until("rows of the prefix are gone", 60, || keys(&root, "sys/leases/lookup/auth/token/create/ci/deep").len() == 1);
    // root, `other`, `newer`
    wait_until("accessors are gone", 60, || keys(&root, "auth/token/accessors").len() == 3);
    assert!(lives(&newer) && lives(&other));
    post(&root, "sys/leases/revoke-force/auth/token/create/ci/deep", &json!({})).expect(204);
    assert!(!lives(&newer) && lives(&other));
    post(&root, "sys/leases/revoke-prefix", &json!({})).expect(404);
    let weak = token(&root, &json!({"policies": ["leaser"]}));
    policy(&root, "leaser", r#"path "sys/leases/*" { capabilities = ["create", "update", "read", "list"] }"#);
    let weak = root.with_token(&weak.text);
    for (method, path) in [("POST", "revoke-prefix/auth"), ("POST", "revoke-force/auth"), ("LIST", "lookup/auth")] {
        weak.call(method, &format!("sys/leases/{path}"), None).expect(403);
    }
    weak.call("POST", "sys/leases/tidy", None).expect(202);
}

fn roles_are_made_by_who_may_and_shown_as_written(server: &mut Server) {
    let root = ready(server);
    policy(
        &root,
        "creator",
        r#"path "auth/token/roles/*" { capabilities = ["create", "read"] }
        path "auth/token/create/bound" { capabilities = ["update"] }"#,
    );
    let creator = root.with_token(&token(&root, &json!({"policies": ["creator"]})).text);
    let body = json!({"allowed_policies": "creator", "token_bound_cidrs": ["10.0.0.0/8", "127.0.0.1/32"], "token_num_uses": "4"});
    post(&creator, "auth/token/roles/bound", &body).expect(204);
    post(&creator, "auth/token/roles/bound", &body).expect(403);
    let shown = creator.call("GET", "auth/token/roles/bound", None).expect(200).json()["data"].clone();
    assert_eq!((&shown["token_bound_cidrs"], &shown["token_num_uses"]), (&json!(["10.0.0.0/8", "127.0.0.1"]), &4.into()));
    let made = post(&creator, "auth/token/create/bound", &json!({"num_uses": 9})).expect(200).json();
    assert_eq!(made["auth"]["num_uses"], 4);
    assert!(lives(&root.with_token(made["auth"]["client_token"].as_str().unwrap())));
    post(&root, "auth/token/roles/bound", &json!({"token_bound_cidrs": "10.0.0.0/8"})).expect(204);
    let made = post(&creator, "auth/token/create/bound", &json!({})).expect(200).json();
    let away = root.with_token(made["auth"]["client_token"].as_str().unwrap());
    assert_eq!(away.call("GET", "auth/token/lookup-self", None).expect(403).errors(), ["permission denied"]);
    assert_eq!(keys(&root, "auth/token/roles"), ["bound"]);
    creator.call("DELETE", "auth/token/roles/bound", None).expect(403);
    root.call("DELETE", "auth/token/roles/bound", None).expect(204);
    root.call("GET", "auth/token/roles/bound", None).expect(404);
    assert_eq!(post(&root, "auth/token/create/bound", &json!({})).expect(400).errors(), ["unknown role bound"]);
    let tidied = root.call("POST", "auth/token/tidy", None).expect(202).json();
    assert!(tidied["warnings"][0].as_str().unwrap().starts_with("Tidy operation successfully started"));
}

fn concurrent_tokens_under_one_role_are_all_there(server: &mut Server) {
    let root = ready(server);
    post(&root, "auth/token/roles/r", &json!({"allowed_policies": "default"})).expect(204);
    let clients = vec![root.clone(); 48];
    let replies = at_once(&clients, |_, session| session.send("POST", "/v1/auth/token/create/r", &[], b"{}"));
    for reply in replies {
        reply.expect(200);
    }
    assert_eq!(keys(&root, "sys/leases/lookup/auth/token/create/r").len(), clients.len());
    assert_eq!(keys(&root, "auth/token/accessors").len(), clients.len() + 1);
}

const MAKERS: usize = 32;

fn a_large_tree_is_worked_off_while_others_are_served(server: &mut Server) {
    let size: usize = if full() { 100_000 } else { 2_000 };
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    policy(&root, "maker", r#"path "auth/token/create" { capabilities = ["update"] }"#);
    // A first token, so that the directories of leases are there.
    token(&root, &json!({"policies": ["maker"]}));
    let rows = "SELECT count(*) FROM record";
    let mut tables = server.tables();
    let before = tables.number(rows);
    let top = token(&root, &json!({"policies": ["maker"], "ttl": "24h"}));
    let parent = root.with_token(&top.text);
    let last = grow(&parent, size);
    assert!(tables.number(rows) - before > i64::try_from(size).unwrap());
    let grandchild = root.with_token(&token(&root.with_token(&last), &json!({})).text);

    let start = Instant::now();
    post(&root, "auth/token/revoke", &json!({"token": top.text})).expect(204);
    println!("revoked a tree of {size} in {:?}", start.elapsed());
    for client in [&parent, &root.with_token(&last), &grandchild] {
        assert!(!lives(client), "dead at once");
    }
    let (mut slowest, mut reads) = (Duration::ZERO, 0);
    let mut session = root.session().unwrap();
    let mut looked = Instant::now();
    loop {
        let asked = Instant::now();
        session.send("GET", "/v1/secret/data/a", &[], b"").unwrap().expect(200);
        slowest = slowest.max(asked.elapsed());
        reads += 1;
        if looked.elapsed() > Duration::from_millis(500) {
            if tables.number(rows) == before {
                break;
            }
            looked = Instant::now();
            let limit = Duration::from_secs(60 + u64::try_from(size).unwrap() / 100);
            assert!(start.elapsed() < limit, "{} rows are left", tables.number(rows) - before);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    println!("worked off in {:?}; {reads} reads meanwhile, the slowest took {slowest:?}", start.elapsed());
    assert!(slowest < Duration::from_secs(3), "a read took {slowest:?}");
}

/// Makes `size` children, many at a time; the text of one of them.
fn grow(parent: &Client, size: usize) -> String {
    let clients = vec![parent.clone(); MAKERS];
    let left = AtomicUsize::new(size);
    let start = Instant::now();
    let replies = at_once(&clients, |_, session| {
        let mut last = session.send("POST", "/v1/auth/token/create", &[], br#"{"ttl":"24h"}"#)?.expect(200);
        while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            last = session.send("POST", "/v1/auth/token/create", &[], br#"{"ttl":"24h"}"#)?.expect(200);
        }
        Ok(last)
    });
    let took = start.elapsed();
    let rate = (size + MAKERS) as u128 * 1000 / took.as_millis().max(1);
    println!("{} tokens in {took:?}: {rate} a second", size + MAKERS);
    replies[0].json()["auth"]["client_token"].as_str().unwrap().to_owned()
}

#[test]
fn the_configured_ttls_hold() {
    let server = Server::uninitialised(|folder| {
        let store = folder.join("store.db");
        format!(
            "storage \"sqlite\" {{\n  path = \"{}\"\n}}\ndefault_lease_ttl = \"1h\"\nmax_lease_ttl = \"2h\"\n",
            store.display()
        )
    });
    let server = server.initialise();
    ttls_hold(&ready(&server));
}

#[test]
fn the_configured_ttls_hold_on_postgresql() {
    // The usual ones, on the other store: 32 days.
    let server = Server::initialised_on_postgresql(Database::new());
    let made = post(&ready(&server), "auth/token/create", &json!({"policies": "default"})).expect(200).json();
    assert_eq!(made["auth"]["lease_duration"], 2_764_800);
}

fn ttls_hold(root: &Client) {
    let made = |body: Value| post(root, "auth/token/create", &body).expect(200).json();
    assert_eq!(made(json!({"policies": "default"}))["auth"]["lease_duration"], 3600);
    let long = made(json!({"policies": "default", "ttl": "5h"}));
    assert_eq!(long["auth"]["lease_duration"], 7200);
    assert_eq!(
        long["warnings"],
        json!(["TTL of \"5h\" exceeded the effective max_ttl of \"2h\"; TTL value is capped accordingly"])
    );
    let period = made(json!({"policies": "default", "period": "5h"}));
    assert_eq!(period["auth"]["lease_duration"], 7200);
    let batch = made(json!({"policies": "default", "type": "batch", "ttl": "5h"}));
    assert_eq!(batch["auth"]["lease_duration"], 7200);
    let tuned = root.call("GET", "sys/mounts/secret/tune", None).expect(200).json();
    assert_eq!((&tuned["data"]["default_lease_ttl"], &tuned["data"]["max_lease_ttl"]), (&3600.into(), &7200.into()));
    post(root, "sys/auth/token/tune", &json!({"max_lease_ttl": "30m"})).expect(204);
    assert_eq!(made(json!({"policies": "default"}))["auth"]["lease_duration"], 1800);
}
