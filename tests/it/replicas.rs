//! Two servers on one database: what is done through one is never missing from what the other answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fixture::{at_once, count, mount, namespace, policy, put, ready, token};
use crate::support::postgres::Database;
use crate::support::server::Server;

/// Two servers, and a client of each with the root token and KV 2 at `secret/`.
struct Pair {
    servers: [Server; 2],
    one: Client,
    two: Client,
}

impl Pair {
    fn new() -> Self {
        let first = Server::initialised_on_postgresql(Database::new());
        let one = ready(&first);
        let second = first.another();
        let two = Client::new(&second.target());
        Self { servers: [first, second], one, two }
    }

    fn database(&self) -> &Database {
        self.servers[0].postgres().unwrap()
    }
}

fn read(client: &Client, name: &str) -> Value {
    client.call("GET", &format!("secret/data/{name}"), None).expect(200).json()["data"]["data"].clone()
}

#[test]
fn what_one_writes_the_other_reads() {
    let Pair { one, two, servers: _servers, .. } = Pair::new();
    for round in 0..20 {
        // Both have it in their caches when the other changes it.
        let [writer, reader] = if round % 2 == 0 { [&one, &two] } else { [&two, &one] };
        assert_eq!(put(writer, "shared", &json!({"round": round})), round + 1);
        assert_eq!(read(reader, "shared"), json!({"round": round}));
        put(writer, &format!("listed/{round}"), &json!({}));
        let names = reader.call("LIST", "secret/metadata/listed", None).expect(200).json();
        assert_eq!(names["data"]["keys"].as_array().unwrap().len() as u64, round + 1);
    }
    one.call("DELETE", "secret/metadata/shared", None).expect(204);
    two.call("GET", "secret/data/shared", None).expect(404);
}

#[test]
fn one_of_many_writers_on_both_wins_a_check_and_set() {
    let Pair { one, two, servers: _servers, .. } = Pair::new();
    let clients: Vec<Client> = [&one, &two].into_iter().cycle().take(32).cloned().collect();
    for round in 0..5 {
        let body = |writer: usize| json!({"options": {"cas": round}, "data": {"writer": writer}}).to_string();
        let replies =
            at_once(&clients, |writer, session| session.send("POST", "/v1/secret/data/contested", &[], body(writer).as_bytes()));
        assert_eq!((count(&replies, 200), count(&replies, 400)), (1, 31), "round {round}");
        let winner = replies.iter().position(|reply| reply.status == 200).unwrap();
        for reader in [&one, &two] {
            assert_eq!(read(reader, "contested"), json!({"writer": winner}));
        }
    }
}

#[test]
fn a_use_of_a_token_counts_on_both() {
    let Pair { one, two, servers: _servers, .. } = Pair::new();
    let limited = token(&one, &json!({"policies": ["default"], "num_uses": 7})).text;
    let clients: Vec<Client> = [&one, &two].into_iter().cycle().take(32).map(|client| client.with_token(&limited)).collect();
    let replies = at_once(&clients, |_, session| session.send("GET", "/v1/auth/token/lookup-self", &[], b""));
    assert_eq!(count(&replies, 200), 7);
}

#[test]
fn what_one_revokes_or_denies_the_other_refuses_at_once() {
    let Pair { one, two, servers: _servers, .. } = Pair::new();
    policy(&one, "reader", "path \"secret/data/*\" { capabilities = [\"read\"] }");
    put(&one, "a", &json!({"k": "v"}));
    for round in 0..10 {
        let parent = token(&one, &json!({"policies": ["root"]})).text;
        let child = token(&two.with_token(&parent), &json!({"policies": ["reader"]})).text;
        for client in [&one, &two] {
            assert_eq!(read(&client.with_token(&child), "a"), json!({"k": "v"}), "round {round}");
        }
        // Through one or the other in turn; the parent takes the child with it.
        let [revoking, asked] = if round % 2 == 0 { [&one, &two] } else { [&two, &one] };
        revoking.call("POST", "auth/token/revoke", Some(&json!({"token": parent}))).expect(204);
        for gone in [&parent, &child] {
            asked.with_token(gone).call("GET", "secret/data/a", None).expect(403);
            asked.with_token(gone).call("GET", "auth/token/lookup-self", None).expect(403);
        }
    }
    let reader = token(&one, &json!({"policies": ["reader"]})).text;
    read(&two.with_token(&reader), "a");
    policy(&one, "reader", "path \"secret/data/*\" { capabilities = [\"deny\"] }");
    two.with_token(&reader).call("GET", "secret/data/a", None).expect(403);
    one.call("DELETE", "sys/mounts/secret", None).expect(204);
    two.call("GET", "secret/data/a", None).expect(404);
}

#[test]
fn a_namespace_deleted_through_one_is_gone_on_the_other() {
    let Pair { one, two, servers: _servers, .. } = Pair::new();
    let team = namespace(&one, "team");
    mount(&team, "secret");
    let inside = token(&team, &json!({"policies": ["default"]})).text;
    let there = two.in_namespace("team");
    put(&there, "a", &json!({"k": "v"}));
    there.with_token(&inside).call("GET", "auth/token/lookup-self", None).expect(200);
    one.call("DELETE", "sys/namespaces/team", None);
    there.call("GET", "secret/data/a", None).expect(404);
    there.with_token(&inside).call("GET", "auth/token/lookup-self", None).expect(403);
    there.call("POST", "secret/data/b", Some(&json!({"data": {}}))).expect(404);
    // One that is made again is another tenant.
    namespace(&two, "team");
    mount(&two.in_namespace("team"), "secret");
    team.call("GET", "secret/data/a", None).expect(404);
}

/// A session of the database's administrator that keeps a head locked, as a server does that hangs in the middle of a group.
struct Holder(Child);

impl Holder {
    fn of_root(database: &Database) -> Self {
        let mut psql = database.psql_session("postgres").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lock =
            "BEGIN; SELECT 'held' FROM strongroom.head WHERE tenant_id = (SELECT root FROM strongroom.deployment) FOR UPDATE;\n";
        psql.stdin.as_mut().unwrap().write_all(lock.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(psql.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        Self(psql)
    }

    fn release(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}

#[test]
fn a_hung_holder_of_a_parents_head_does_not_stop_its_childrens_reads() {
    let pair = Pair::new();
    let team = namespace(&pair.one, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    policy(&team, "reader", "path \"secret/*\" { capabilities = [\"read\"] }");
    let own = token(&team, &json!({"policies": ["reader"]})).text;
    let clients =
        [team.clone(), pair.two.in_namespace("team"), team.with_token(&own), pair.two.in_namespace("team").with_token(&own)];
    for client in &clients {
        assert_eq!(read(client, "a"), json!({"k": "v"}));
    }

    let holder = Holder::of_root(pair.database());
    // On both servers at once, with tokens of the parent and of the child: the parent is watched, and not locked.
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                for _ in 0..10 {
                    let begun = Instant::now();
                    assert_eq!(read(client, "a"), json!({"k": "v"}));
                    assert!(begun.elapsed() < Duration::from_secs(3), "a read waited {:?}", begun.elapsed());
                }
            });
        }
    });
    // What makes something lasting waits for the parent: its token might be revoked there right now.
    let refused = team.call("POST", "secret/data/b", Some(&json!({"data": {}})));
    assert_eq!(refused.expect(503).errors().len(), 1);
    holder.release();
    put(&team, "b", &json!({}));
    assert_eq!(read(&pair.two.in_namespace("team"), "b"), json!({}));
}

/// The parent is only watched by a read in the child: what was done to it through the other server counts all the same.
#[test]
fn a_parents_token_revoked_through_one_is_refused_in_a_child_by_the_other() {
    let Pair { one, two, servers: _servers, .. } = Pair::new();
    let team = namespace(&one, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    policy(&one, "team", "path \"team/secret/*\" { capabilities = [\"read\", \"create\", \"update\"] }");
    for round in 0..10 {
        let made = token(&one, &json!({"policies": ["team"]}));
        let client = two.in_namespace("team").with_token(&made.text);
        assert_eq!(read(&client, "a"), json!({"k": "v"}), "round {round}");
        one.call("POST", "auth/token/revoke-accessor", Some(&json!({"accessor": made.accessor}))).expect(204);
        client.call("GET", "secret/data/a", None).expect(403);
        client.call("POST", "secret/data/a", Some(&json!({"data": {}}))).expect(403);
    }
    let made = token(&one, &json!({"policies": ["team"]})).text;
    let client = two.in_namespace("team").with_token(&made);
    read(&client, "a");
    policy(&one, "team", "path \"team/secret/*\" { capabilities = [\"deny\"] }");
    client.call("GET", "secret/data/a", None).expect(403);
}
