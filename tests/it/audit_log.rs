//! The log as it is stored: every tenant's rows are one unbroken history, and its tree is what the rows say. All of this is
//! checked without a key, as an auditor would.

mod events;

use serde_json::json;
use strongroom::audit::merkle::{self, Frontier, Hash};
use strongroom::storage::LogRow;

use crate::support::client::Client;
use crate::support::fixture::{at_once, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

/// Rows that are read at once: fewer than there are, so that reading goes on where it stopped.
const PAGE: usize = 7;

on_stores! { logs_are_unbroken, }

/// What is wrong with a log, if anything.
fn verify(rows: &[LogRow]) -> Result<u64, String> {
    let mut frontier = Frontier::new();
    let mut whole: Vec<Hash> = Vec::new();
    let (mut seq, mut time) = (0, i64::MIN);
    for row in rows {
        let tail = &row.tail;
        let wrong = |what: &str| Err(format!("row {}: {what}", tail.seq));
        let (leaves, rest) = row.leaves.as_chunks::<32>();
        match () {
            () if tail.seq != seq + 1 => return wrong("a row is missing before it"),
            () if tail.first_index != frontier.size() => return wrong("events are missing before it"),
            () if tail.count as usize != leaves.len() || !rest.is_empty() => return wrong("count is not that of its leaves"),
            () if tail.count == 0 => return wrong("holds no event"),
            () if tail.prev_root != frontier.root() => return wrong("does not follow the root before it"),
            () if tail.time.0 < time => return wrong("is earlier than the row before it"),
            () if row.batch.is_empty() || tail.changed.len() % 32 != 0 => return wrong("is malformed"),
            () => {}
        }
        for leaf in leaves {
            frontier.push(*leaf);
        }
        whole.extend(leaves);
        if tail.root != frontier.root() || tail.frontier != frontier.to_bytes() {
            return wrong("its root is not that of the leaves");
        }
        (seq, time) = (tail.seq, tail.time.0);
    }
    // The same root from the whole tree at once, as RFC 6962 defines it.
    if merkle::root(&whole) == frontier.root() { Ok(frontier.size()) } else { Err("the roots differ".to_owned()) }
}

fn logs_are_unbroken(server: &mut Server) {
    let root = ready(server);
    let requests = work(&root);
    assert!(server.stop().success());
    server.come_back();
    root.call("GET", "secret/data/a", None).expect(200);
    assert!(server.stop().success());

    let mut total = 0;
    let logs = server.tables().logs(PAGE);
    assert_eq!(logs.len(), 4, "root, edge and two namespaces");
    for rows in logs {
        total += verify(&rows).unwrap();
        check_the_check(&rows);
    }
    assert!(total > requests, "{total} events of {requests} requests");
}

/// Returns how many requests there were, each of which has an event at least.
fn work(root: &Client) -> u64 {
    let teams = ["one", "two"].map(|name| namespace(root, name));
    for team in &teams {
        crate::support::fixture::mount(team, "secret");
        policy(team, "reader", r#"path "secret/*" { capabilities = ["read", "list"] }"#);
    }
    let reader = token(&teams[0], &json!({"policies": ["reader"]}));
    put(root, "a", &json!({"k": "v"}));
    let mut clients = vec![root.clone(); 6];
    clients.extend(teams.iter().cycle().take(6).cloned());
    clients.extend(vec![teams[0].with_token(&reader.text); 4]);
    clients.extend(vec![root.without_token(); 4]);
    for round in 0..4 {
        let body = json!({"data": {"round": round}}).to_string();
        at_once(&clients, |worker, session| {
            session.send("POST", &format!("/v1/secret/data/w{}", worker % 5), &[], body.as_bytes())?;
            session.send("GET", "/v1/secret/data/w0", &[], b"")
        });
    }
    4 * 2 * clients.len() as u64
}

/// Something that is done to a log.
type Edit = fn(&mut Vec<LogRow>);

/// `verify` sees a row that was taken out, exchanged or edited.
fn check_the_check(rows: &[LogRow]) {
    if rows.len() < 3 {
        return;
    }
    let edits: [(&str, Edit); 6] = [
        ("a row taken out", |rows| drop(rows.remove(1))),
        ("the first rows taken out", |rows| drop(rows.drain(..2))),
        ("two rows exchanged", |rows| rows.swap(1, 2)),
        ("a leaf edited", |rows| rows[1].leaves[3] ^= 1),
        ("a root edited", |rows| rows.iter_mut().last().unwrap().tail.root[0] ^= 1),
        ("a count edited", |rows| rows[1].tail.count += 1),
    ];
    for (what, edit) in edits {
        let mut edited = rows.to_vec();
        edit(&mut edited);
        assert!(verify(&edited).is_err(), "{what} was not seen");
    }
}
