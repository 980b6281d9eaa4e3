//! `sys/audit-log`: what auditors find in a log, page by page, and what others do not.

mod model;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::database::Database;
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    an_auditor_finds_events_by_every_condition,
    pages_have_no_gaps_and_nothing_twice_while_events_come,
    a_parent_reads_children_that_its_policies_allow,
    logs_of_other_namespaces_look_as_if_they_were_not_there,
    malformed_searches_are_400,
    a_caller_is_found_by_the_name_that_a_method_knows,
}

/// One page; its query is behind the `?`.
fn page(client: &Client, query: &str) -> Value {
    client.call("GET", &format!("sys/audit-log?{query}"), None).expect(200).json()["data"].take()
}

/// All events of a search, page by page.
fn all(client: &Client, query: &str) -> Vec<Value> {
    let (mut events, mut cursor) = (Vec::new(), String::new());
    loop {
        let mut page = page(client, &format!("{query}&cursor={cursor}"));
        events.append(page["events"].as_array_mut().unwrap());
        if page["more"] == json!(false) {
            return events;
        }
        page["next"].as_str().unwrap().clone_into(&mut cursor);
    }
}

fn paths(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["event"]["path"].as_str().unwrap()).collect()
}

fn indexes(events: &[Value]) -> Vec<u64> {
    events.iter().map(|event| event["index"].as_u64().unwrap()).collect()
}

/// A client with a token that has the shipped policy for auditors.
fn auditor(client: &Client) -> Client {
    client.with_token(&token(client, &json!({"policies": ["auditor"]})).text)
}

fn an_auditor_finds_events_by_every_condition(server: &mut Server) {
    let root = ready(server);
    let auditor = auditor(&root);
    let weak = token(&root, &json!({"policies": ["default"], "display_name": "weak"}));
    put(&root, "a/b", &json!({"k": "canary-value"}));
    let request = root.call("GET", "secret/data/a/b", None).expect(200).json()["request_id"].as_str().unwrap().to_owned();
    root.with_token(&weak.text).call("GET", "secret/data/a/b", None).expect(403);
    root.without_token().call("GET", "secret/data/edge", None).expect(403);
    model::compare(&auditor, &weak.accessor, &request);

    let found = all(&auditor, "path=secret/data/a/b");
    assert_eq!(found.len(), 3);
    assert_eq!(found[1]["event"]["request"], json!(request));
    assert!(!serde_json::to_string(&found).unwrap().contains("canary-value"));
    let edge = all(&auditor, "edge=true&path=secret/data/edge");
    assert_eq!((edge.len(), &edge[0]["event"]["caller"]), (1, &Value::Null));
    // Looking is an event, too.
    assert_eq!(paths(&all(&auditor, "limit=1")[..1]), ["sys/audit-log"]);
    let index = found[0]["index"].as_u64().unwrap();
    let one = auditor.call("GET", &format!("sys/audit-log/event/{index}"), None).expect(200).json();
    assert_eq!(one["data"], found[0]);
    auditor.call("GET", "sys/audit-log/event/99999999", None).expect(404);
}

fn pages_have_no_gaps_and_nothing_twice_while_events_come(server: &mut Server) {
    let root = ready(server);
    let auditor = auditor(&root);
    for at in 0..30 {
        put(&root, &format!("w{at}"), &json!({"k": "v"}));
    }
    let newest = page(&auditor, "limit=1")["events"][0]["index"].as_u64().unwrap();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|_| {
                let mut session = root.session().unwrap();
                scope.spawn(move || {
                    for _ in 0..20 {
                        session.send("GET", "/v1/secret/data/w0", &[], b"").unwrap().expect(200);
                    }
                })
            })
            .collect();
        // Every page is itself an event, so more than was there at the beginning may be found forwards.
        let (mut seen, mut query) = (Vec::new(), String::from("limit=7"));
        loop {
            let found = page(&auditor, &query);
            seen.extend(indexes(found["events"].as_array().unwrap()));
            let Some(next) = found["next"].as_str() else { break };
            query = format!("limit=7&cursor={next}");
        }
        assert!(seen[0] >= newest);
        assert_eq!(seen, (0..=seen[0]).rev().collect::<Vec<u64>>());
        for writer in writers {
            writer.join().unwrap();
        }
    });
    // By their summaries most large batches are passed over, and none that has what is looked for.
    let everything = all(&auditor, "until=0s");
    for path in ["secret/data/w0", "secret/data/w7", "auth/token/create"] {
        let expected = paths(&everything).into_iter().filter(|known| *known == path).count();
        assert_eq!(all(&auditor, &format!("path={path}")).len(), expected, "{path}");
    }
    let forwards = indexes(&all(&auditor, "limit=50&order=asc&until=0s"));
    assert_eq!(forwards, (0..forwards.len() as u64).collect::<Vec<u64>>());

    // Line by line, the same.
    let lines = root.call("GET", "sys/audit-log?until=0s&path=secret/data/w7&format=ndjson", None).expect(200);
    let text = String::from_utf8(lines.body).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    assert_eq!((lines, &end["more"]), (all(&auditor, "path=secret/data/w7&until=0s"), &json!(false)));

    // There and back again.
    let first = page(&auditor, "limit=10");
    let second = page(&auditor, &format!("limit=10&cursor={}", first["next"].as_str().unwrap()));
    let back = page(&auditor, &format!("limit=10&order=asc&cursor={}", second["previous"].as_str().unwrap()));
    let mut again = back["events"].as_array().unwrap().clone();
    again.reverse();
    assert_eq!(json!(again), first["events"]);
}

fn a_parent_reads_children_that_its_policies_allow(server: &mut Server) {
    let root = ready(server);
    let one = namespace(&root, "one");
    let two = namespace(&root, "two");
    for team in [&one, &two] {
        mount(team, "secret");
        put(team, "x", &json!({"k": "v"}));
    }
    let writes = |client: &Client, query: &str| {
        let mut found: Vec<String> = paths(&all(client, query)).into_iter().map(str::to_owned).collect();
        found.sort();
        found
    };
    let query = "operation=write&text=/secret/data/x";
    assert_eq!(writes(&root, query), [""; 0]);
    assert_eq!(writes(&root, &format!("{query}&children=true")), ["one/secret/data/x", "two/secret/data/x"]);
    assert_eq!(writes(&root, "children=true&limit=3&prefix=one/secret/"), ["one/secret/data/x"]);
    policy(
        &root,
        "one-only",
        r#"path "+/sys/audit-log" { capabilities = ["deny"] }
path "sys/audit-log" { capabilities = ["read"] }
path "one/sys/audit-log" { capabilities = ["read"] }"#,
    );
    let some = root.with_token(&token(&root, &json!({"policies": ["one-only"]})).text);
    assert_eq!(writes(&some, &format!("{query}&children=true")), ["one/secret/data/x"]);
    // In the child paths begin there.
    assert_eq!(writes(&one, "path=secret/data/x"), ["one/secret/data/x"]);
}

fn logs_of_other_namespaces_look_as_if_they_were_not_there(server: &mut Server) {
    let root = ready(server);
    let one = namespace(&root, "one");
    let two = namespace(&root, "two");
    let auditor = auditor(&one);
    assert!(paths(&all(&auditor, "")).iter().all(|path| path.starts_with("one/")));
    for path in ["sys/audit-log", "sys/audit-log/event/0"] {
        for (name, expected) in [("two", 403), ("nowhere", 403)] {
            let refused = auditor.in_namespace(name).call("GET", path, None).expect(expected);
            assert_eq!(refused.errors(), ["permission denied"]);
        }
    }
    root.call("GET", "sys/audit-log?edge=true", None).expect(200);
    two.call("GET", "sys/audit-log?edge=true", None).expect(400);
    // A cursor of another namespace's log leads nowhere else.
    let foreign = page(&two, "limit=1")["previous"].as_str().unwrap().to_owned();
    assert!(paths(&all(&auditor, &format!("x={foreign}"))).iter().all(|path| path.starts_with("one/")));
    let found = page(&auditor, &format!("cursor={foreign}"));
    assert!(paths(found["events"].as_array().unwrap()).iter().all(|path| path.starts_with("one/")));
}

fn malformed_searches_are_400(server: &mut Server) {
    let root = ready(server);
    for query in [
        "since=yesterday",
        "until=-1h",
        "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
        "cursor=abc",
        "limit=0",
        "limit=100000",
        "order=sideways",
        "outcome=maybe",
        "reference=sref_abcdefghijklmnopqrstuvwxyz234567",
        "children=2",
        "format=xml",
        "edge=true&children=true",
    ] {
        let refused = root.call("GET", &format!("sys/audit-log?{query}"), None).expect(400);
        assert_eq!(refused.errors().len(), 1, "{query}");
    }
    root.call("GET", "sys/audit-log/event/-1", None).expect(400);
    root.send("GET", "/v1/sys/audit-log", &[("X-Vault-Wrap-TTL", "60")], b"").expect(400);
    root.call("POST", "sys/audit-log", None).expect(405);
}

#[test]
fn a_log_row_that_was_exchanged_is_told() {
    let mut server = Server::initialised_on_sqlite();
    let root = ready(&server);
    for at in 0..4 {
        put(&root, &format!("w{at}"), &json!({"k": "v"}));
    }
    assert!(server.stop().success());
    let mut database = Database::open(&server.sqlite_file());
    // What keeps the server from changing a row of the log keeps nobody else from it.
    let root_id = "(SELECT root FROM deployment)";
    database.run("DROP TRIGGER log_never_updated").unwrap();
    database
        .run(&format!(
            "UPDATE log SET batch = (SELECT o.batch FROM log o WHERE o.tenant_id = log.tenant_id AND o.seq = log.seq - 1) \
         WHERE tenant_id = {root_id} AND seq = (SELECT max(seq) FROM log WHERE tenant_id = {root_id}) - 1"
        ))
        .unwrap();
    drop(database);
    server.come_back();
    let refused = root.call("GET", "sys/audit-log?path=secret/data/w2", None).expect(500);
    assert!(refused.errors()[0].contains("of the audit log does not open"), "{refused:?}");
    root.call("GET", "sys/audit-log?path=secret/data/w3&limit=1", None).expect(200);
}

fn a_caller_is_found_by_the_name_that_a_method_knows(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    policy(&root, "reader", r#"path "secret/data/*" { capabilities = ["read"] }"#);
    for mount in ["userpass", "people"] {
        root.call("POST", &format!("sys/auth/{mount}"), Some(&json!({"type": "userpass"}))).expect(204);
        let user = json!({"password": "a long one", "token_policies": "reader"});
        root.call("POST", &format!("auth/{mount}/users/ann"), Some(&user)).expect(204);
        let login = root.without_token().call("POST", &format!("auth/{mount}/login/ann"), Some(&user)).expect(200).json();
        root.with_token(login["auth"]["client_token"].as_str().unwrap()).call("GET", "secret/data/a", None).expect(200);
        // Somebody whose path and display name have the word is not meant.
        root.call("GET", "secret/data/ann", None).expect(404);
    }
    let found = all(&root, "caller=ann");
    let expected = ["secret/data/a", "auth/people/login/ann", "secret/data/a", "auth/userpass/login/ann"];
    assert_eq!(paths(&found), expected);
    let entity = found[0]["event"]["caller"]["entity"].as_str().unwrap();
    assert_eq!(all(&root, &format!("caller=ann&entity={entity}")), found[..2]);
    assert_eq!(all(&root, "caller=ann&entity=other").len() + all(&root, "caller=bob").len(), 0);
}
