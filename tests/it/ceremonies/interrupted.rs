//! Changes of keys that are cut short, and that other servers have to follow.

use serde_json::json;

use super::{change_root, persist, read, wait_for};
use crate::support::client::Client;
use crate::support::fixture::{mount, namespace, put, ready};
use crate::support::postgres::Database;
use crate::support::server::Server;

/// While the old root key is still there for other servers to follow, the one that changes it dies.
#[test]
fn a_server_that_dies_in_the_middle_is_opened_by_old_and_by_new_shares() {
    let mut server = Server::initialised_on_postgresql(Database::new());
    let root = ready(&server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    let old = server.keys().to_vec();
    let new = change_root(&root, &old, 2, 2);
    server.kill();
    server.come_back();
    assert!(server.output().contains("nobody has shown the new shares yet"), "{}", server.output());
    assert_eq!(read(&team, "a"), json!({"k": "v"}));
    mount(&namespace(&root, "between"), "secret");
    server.kill();
    server.set_keys(&new);
    server.come_back();
    assert_eq!(read(&team, "a"), json!({"k": "v"}));
    // Whoever has opened it with the new shares has them: now the change is finished.
    wait_for(&server, "nothing is wrapped by the old root key any more");
    server.kill();
    server.come_back();
    assert_eq!(read(&team, "a"), json!({"k": "v"}));
    put(&root.in_namespace("between"), "b", &json!({}));
    assert_eq!(server.tables().number("SELECT count(*) FROM strongroom.tenant_key WHERE seal = 'shamir'"), 0);
}

/// One that was given up because its shares got lost is replaced by the next.
#[test]
fn shares_that_got_lost_in_a_crash_are_replaced() {
    let mut server = Server::initialised_on_postgresql(Database::new());
    let root = ready(&server);
    let old = server.keys().to_vec();
    change_root(&root, &old, 2, 2);
    server.kill();
    server.come_back();
    let new = change_root(&root, &old, 1, 1);
    wait_for(&server, "nothing is wrapped by the old root key any more");
    server.set_keys(&new);
    server.kill();
    server.come_back();
    ready_again(&root);
}

fn ready_again(root: &Client) {
    put(root, "a", &json!({"k": "v"}));
    assert_eq!(read(root, "a"), json!({"k": "v"}));
}

#[test]
fn replicas_follow_a_change_of_keys() {
    let first = Server::initialised_on_postgresql(Database::new());
    let one = ready(&first);
    let second = first.another();
    let two = Client::new(&second.target());
    let team = namespace(&one, "team");
    mount(&team, "secret");
    let there = two.in_namespace("team");
    for round in 0..5 {
        put(&there, "a", &json!({"round": round}));
        one.call("PUT", "sys/rotate/keyring", None).expect(204);
        team.call("PUT", "sys/rotate/keyring", None).expect(204);
        put(&team, "b", &json!({"round": round}));
        assert_eq!(read(&there, "b"), json!({"round": round}));
        put(&there, "b", &json!({"again": round}));
        assert_eq!(read(&team, "b"), json!({"again": round}));
        two.call("GET", "sys/mounts", None).expect(200);
    }
    let new = change_root(&one, first.keys(), 1, 1);
    // The other server makes no tenant with yesterday's key: it says that it is not ready, or has followed.
    let make = |name: &str| {
        persist(|| two.call("POST", &format!("sys/namespaces/{name}"), None)).expect(200);
        mount(&two.in_namespace(name), "secret");
        put(&two.in_namespace(name), "a", &json!({"k": name}));
    };
    make("meanwhile");
    wait_for(&first, "nothing is wrapped by the old root key any more");
    make("later");
    // What both made opens with the new shares alone.
    let mut second = second;
    second.kill();
    second.set_keys(&new);
    second.come_back();
    for name in ["meanwhile", "later"] {
        assert_eq!(read(&two.in_namespace(name), "a"), json!({"k": name}));
        assert_eq!(read(&one.in_namespace(name), "a"), json!({"k": name}));
    }
}
