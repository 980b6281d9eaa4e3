//! A new key of a namespace itself: at once, without a moment in which anybody is refused, and with no way back.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::rotation::{completed, read, rotate, status};
use crate::support::fixture::{mount, namespace, put, ready};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_new_key_of_a_namespace_disturbs_nobody,
}

fn a_new_key_of_a_namespace_disturbs_nobody(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    namespace(&team, "below");
    let below = root.in_namespace("team/below");
    mount(&below, "secret");
    for client in [&root, &team, &below] {
        put(client, "a", &json!({"k": "v"}));
        let status = status(client);
        assert_eq!((&status["tenant_key"], status.get("tenant_key_renewed")), (&json!(1), None), "{status}");
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let users: Vec<_> = [&root, &team, &below]
            .into_iter()
            .map(|client| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut round = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        round += 1;
                        put(client, "b", &json!({"n": round}));
                        assert_eq!(read(client, "b"), json!({"n": round}));
                        assert_eq!(read(client, "a"), json!({"k": "v"}));
                    }
                    round
                })
            })
            .collect();
        for _ in 0..5 {
            for client in [&below, &root, &team] {
                client.call("POST", "sys/rotate/root", None).expect(204);
            }
        }
        stop.store(true, Ordering::Relaxed);
        for user in users {
            assert!(user.join().unwrap() > 0);
        }
    });
    assert_eq!(server.tables().number("SELECT count(*) FROM tenant_key"), 4, "one wrap of each, the edge log's among them");
    for restart in [false, true] {
        if restart {
            server.kill();
            server.come_back();
        }
        for client in [&root, &team, &below] {
            assert_eq!(read(client, "a"), json!({"k": "v"}));
            let status = status(client);
            assert!(status["tenant_key"] == 6 && status["tenant_key_renewed"].is_string(), "{status}");
        }
    }
    // A wrapping key that is made now is sealed by the newest key.
    rotate(&below);
    assert_eq!(completed(&below)["term"], 2);
    team.with_token("s.AAAAAAAAAAAAAAAAAAAAAAAA").call("POST", "sys/rotate/root", None).expect(403);
    let errors = team.call("GET", "sys/rotate/root", None).expect(405).errors();
    assert_eq!(errors.len(), 1);
}

/// On SQLite, where what was copied stays in the file; the check is above the stores.
#[test]
fn a_key_of_before_that_is_put_back_does_not_load() {
    let mut server = Server::initialised_on_sqlite();
    let root = ready(&server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    // With its wraps and what they open it is a whole, and must not pass for the one of now all the same.
    let tables = ["tenant_key", "tenant_keyring", "tenant"];
    let copy =
        |to: &str, of: &str| tables.map(|table| format!("CREATE TABLE {to}_{table} AS SELECT * FROM {of}{table};")).concat();
    server.tables().run(&copy("old", ""));
    for client in [&team, &root] {
        client.call("POST", "sys/rotate/root", None).expect(204);
    }
    server.tables().run(&copy("new", ""));
    let put_back = |server: &Server, from: &str, which: &str| {
        let here = format!("tenant_id IN (SELECT tenant_id FROM old_tenant WHERE {which})");
        server.tables().run(&format!(
            "UPDATE tenant_key SET wrap = (SELECT wrap FROM {from}_tenant_key o WHERE o.tenant_id = tenant_key.tenant_id) WHERE {here};
             UPDATE tenant_keyring SET keyring = (SELECT keyring FROM {from}_tenant_keyring o WHERE o.tenant_id = tenant_keyring.tenant_id)
             WHERE {here};
             UPDATE tenant SET generation = (SELECT generation FROM {from}_tenant o WHERE o.tenant_id = tenant.tenant_id) WHERE {here}"
        ));
    };
    server.kill();
    put_back(&server, "old", "parent IS NOT NULL");
    server.come_back();
    root.call("GET", "sys/mounts", None).expect(200);
    let errors = team.call("GET", "secret/data/a", None).expect(500).errors();
    assert!(errors[0].contains("do not verify"), "{errors:?}");
    put_back(&server, "new", "parent IS NOT NULL");
    assert_eq!(read(&team, "a"), json!({"k": "v"}));

    // The root has no parent that knows better.
    server.kill();
    put_back(&server, "old", "parent IS NULL");
    server.start_again(503);
    let bring = |key: &String| root.without_token().call("PUT", "sys/unseal", Some(&json!({"key": key})));
    let refused = bring(&server.keys()[0]);
    assert_eq!(refused.status, 500, "{refused:?}");
    put_back(&server, "new", "parent IS NULL");
    server.unseal();
    assert_eq!(read(&team, "a"), json!({"k": "v"}));
}
