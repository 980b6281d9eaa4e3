//! Many at once: what history being serial per tenant promises, seen from outside.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fixture::{at_once, count, namespace, policy, put, ready, token};
use crate::support::server::Server;
use crate::support::{full, on_stores};

const WRITERS: usize = 64;

on_stores! {
    one_of_many_writers_wins_a_check_and_set,
    a_token_is_used_as_often_as_it_may_be,
    directories_list_what_is_there_and_nothing_else,
    a_namespace_made_many_times_is_one_tenant,
    a_wrapping_token_is_opened_once,
    a_policy_changes_with_the_next_request,
    a_revoked_token_is_refused_with_all_below_it,
    nothing_that_begins_after_a_revocation_succeeds,
}

fn rounds(quick: usize) -> usize {
    if full() { quick * 20 } else { quick }
}

fn one_of_many_writers_wins_a_check_and_set(server: &mut Server) {
    let clients = vec![ready(server); WRITERS];
    for round in 0..rounds(5) {
        let body = |writer: usize| json!({"options": {"cas": round}, "data": {"writer": writer, "round": round}}).to_string();
        let replies =
            at_once(&clients, |writer, session| session.send("POST", "/v1/secret/data/contested", &[], body(writer).as_bytes()));
        let winners: Vec<usize> = (0..WRITERS).filter(|writer| replies[*writer].status == 200).collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        for reply in replies.into_iter().filter(|reply| reply.status != 200) {
            assert_eq!(reply.expect(400).errors(), ["check-and-set parameter did not match the current version"]);
        }
        let read = clients[0].call("GET", "secret/data/contested", None).expect(200).json();
        assert_eq!(read["data"]["data"], json!({"writer": winners[0], "round": round}));
        assert_eq!(read["data"]["metadata"]["version"], round + 1);
    }
}

fn a_token_is_used_as_often_as_it_may_be(server: &mut Server) {
    let root = ready(server);
    for round in 0..rounds(3) {
        let limited = token(&root, &json!({"policies": ["default"], "num_uses": 5}));
        let clients = vec![root.with_token(&limited.text); WRITERS];
        let replies = at_once(&clients, |_, session| session.send("GET", "/v1/auth/token/lookup-self", &[], b""));
        // Who is no longer known is a stranger: those are answered 429 when there are too many of them.
        let refused = count(&replies, 403) + count(&replies, 429);
        assert_eq!((count(&replies, 200), refused), (5, WRITERS - 5), "round {round}");
        let mut left: Vec<u64> = replies.iter().filter(|reply| reply.status == 200).map(|reply| uses(&reply.json())).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 1, 2, 3, 4]);
        root.call("POST", "auth/token/lookup", Some(&json!({"token": limited.text}))).expect(403);
        root.call("POST", "auth/token/lookup-accessor", Some(&json!({"accessor": limited.accessor}))).expect(400);
    }
}

fn uses(lookup: &Value) -> u64 {
    lookup["data"]["num_uses"].as_u64().unwrap()
}

fn directories_list_what_is_there_and_nothing_else(server: &mut Server) {
    const NAMES: usize = 2;
    let root = ready(server);
    let clients = vec![root.clone(); 24];
    for round in 0..rounds(12) {
        at_once(&clients, |worker, session| {
            for step in 0..3 {
                // So few names that the directory comes and goes, some making while others remove the last one.
                let path = format!("/v1/secret/{{}}/a/b/{}", worker / 2 % NAMES);
                let reply = match (worker + step) % 2 {
                    0 => session.send("POST", &path.replace("{}", "data"), &[], br#"{"data":{"k":"v"}}"#)?,
                    _ => session.send("DELETE", &path.replace("{}", "metadata"), &[], b"")?,
                };
                assert!(reply.status == 200 || reply.status == 204, "{reply:?}");
                let listed = session.send("LIST", "/v1/secret/metadata/a/b", &[], b"")?;
                assert!(listed.status == 200 || listed.status == 404, "{listed:?}");
            }
            session.send("GET", "/v1/sys/health", &[], b"")
        });
        agree(&root, NAMES, round);
    }
    for name in 0..NAMES {
        root.call("DELETE", &format!("secret/metadata/a/b/{name}"), None).expect(204);
    }
    assert_eq!(keys(&root, ""), BTreeSet::new());
    put(&root, "a/b/0", &json!({"k": "v"}));
    agree(&root, NAMES, usize::MAX);
}

/// Listings say the same as reads, up to the root of the mount.
fn agree(client: &Client, names: usize, round: usize) {
    let there = |name: &usize| client.call("GET", &format!("secret/metadata/a/b/{name}"), None).status == 200;
    let present: BTreeSet<String> = (0..names).filter(there).map(|name| name.to_string()).collect();
    assert_eq!(keys(client, "a/b"), present, "round {round}");
    let only = |name: &str| if present.is_empty() { BTreeSet::new() } else { BTreeSet::from([name.to_owned()]) };
    assert_eq!(keys(client, "a"), only("b/"), "round {round}");
    assert_eq!(keys(client, ""), only("a/"), "round {round}");
}

fn keys(client: &Client, directory: &str) -> BTreeSet<String> {
    let reply = client.call("LIST", &format!("secret/metadata/{directory}"), None);
    if reply.status == 404 {
        return BTreeSet::new();
    }
    let names = reply.expect(200).json()["data"]["keys"].clone();
    names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn a_namespace_made_many_times_is_one_tenant(server: &mut Server) {
    let clients = vec![Client::new(&server.target()); 16];
    let mut database = server.tables();
    for round in 0..rounds(2) {
        let tenants = database.number("SELECT count(*) FROM tenant");
        let path = format!("/v1/sys/namespaces/team{round}");
        let replies = at_once(&clients, |_, session| session.send("POST", &path, &[], b""));
        assert_eq!(count(&replies, 200), clients.len());
        let ids: BTreeSet<String> = replies.iter().map(|reply| reply.json()["data"]["uuid"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(database.number("SELECT count(*) FROM tenant"), tenants + 1);
        assert_eq!(database.number("SELECT count(*) FROM tenant_key"), tenants + 1);
    }
}

/// Whichever way it is brought: named by another token, as the client token, alone in the body, or for another token.
fn a_wrapping_token_is_opened_once(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    for round in 0..rounds(4) {
        let reply = root.send("GET", "/v1/secret/data/a", &[("X-Vault-Wrap-TTL", "60")], b"").expect(200).json();
        let text = reply["wrap_info"]["token"].as_str().unwrap().to_owned();
        let ways = [root.clone(), root.with_token(&text), root.without_token(), root.clone()];
        let clients: Vec<Client> = ways.into_iter().cycle().take(WRITERS).collect();
        let body = json!({"token": text}).to_string();
        let replies = at_once(&clients, |worker, session| match (round % 2, worker % 4) {
            (_, 1) => session.send("POST", "/v1/sys/wrapping/unwrap", &[], b""),
            (1, 3) => session.send("POST", "/v1/sys/wrapping/rewrap", &[], body.as_bytes()),
            _ => session.send("POST", "/v1/sys/wrapping/unwrap", &[], body.as_bytes()),
        });
        assert_eq!(count(&replies, 200), 1, "round {round}: {replies:?}");
        // Who is no longer known is a stranger, of whom too many are answered 429.
        assert_eq!(count(&replies, 400) + count(&replies, 429), WRITERS - 1, "round {round}: {replies:?}");
        for reply in replies.iter().filter(|reply| reply.status == 400) {
            assert_eq!(reply.errors(), ["wrapping token is not valid or does not exist"]);
        }
    }
}

fn a_policy_changes_with_the_next_request(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    policy(&root, "changing", r#"path "secret/data/b" { capabilities = ["read"] }"#);
    let reader = root.with_token(&token(&root, &json!({"policies": ["changing"]})).text);
    let mut session = reader.session().unwrap();
    for _ in 0..rounds(15) {
        policy(&root, "changing", r#"path "secret/data/a" { capabilities = ["read"] }"#);
        session.send("GET", "/v1/secret/data/a", &[], b"").unwrap().expect(200);
        policy(&root, "changing", r#"path "secret/data/a" { capabilities = ["list"] }"#);
        session.send("GET", "/v1/secret/data/a", &[], b"").unwrap().expect(403);
    }
    policy(&root, "changing", r#"path "secret/data/a" { capabilities = ["read"] }"#);
    session.send("GET", "/v1/secret/data/a", &[], b"").unwrap().expect(200);
    root.call("DELETE", "sys/policies/acl/changing", None).expect(204);
    session.send("GET", "/v1/secret/data/a", &[], b"").unwrap().expect(403);
}

fn a_revoked_token_is_refused_with_all_below_it(server: &mut Server) {
    let root = Client::new(&server.target());
    policy(&root, "maker", r#"path "auth/token/*" { capabilities = ["create", "update", "read", "sudo"] }"#);
    let lookup = |client: &Client| client.call("GET", "auth/token/lookup-self", None).status;
    let below = |client: &Client, orphan: bool| {
        client.with_token(&token(client, &json!({"policies": ["maker"], "no_parent": orphan})).text)
    };
    for by_accessor in [false, true] {
        let made = token(&root, &json!({"policies": ["maker"]}));
        let parent = root.with_token(&made.text);
        let child = below(&parent, false);
        let grandchild = below(&child, false);
        let orphan = below(&child, true);
        let team = namespace(&root, "team").with_token(&made.text);
        policy(
            &root,
            "maker",
            r#"path "auth/token/*" { capabilities = ["create", "update", "read", "sudo"] }
            path "team/auth/token/*" { capabilities = ["create", "update", "read", "sudo"] }"#,
        );
        let elsewhere = team.with_token(&token(&team, &json!({"policies": ["default"]})).text);
        for client in [&parent, &child, &grandchild, &orphan, &elsewhere] {
            assert_eq!(lookup(client), 200);
        }
        let (path, body) = if by_accessor {
            ("auth/token/revoke-accessor", json!({"accessor": made.accessor}))
        } else {
            ("auth/token/revoke", json!({"token": made.text}))
        };
        root.call("POST", path, Some(&body)).expect(204);
        for client in [&parent, &child, &grandchild, &elsewhere] {
            assert_eq!(lookup(client), 403);
        }
        assert_eq!(lookup(&orphan), 200);
    }
}

fn nothing_that_begins_after_a_revocation_succeeds(server: &mut Server) {
    let root = Client::new(&server.target());
    policy(&root, "maker", r#"path "auth/token/create" { capabilities = ["update"] }"#);
    for _ in 0..rounds(3) {
        let parent = token(&root, &json!({"policies": ["maker"]}));
        let parents = root.with_token(&parent.text);
        let child = root.with_token(&token(&parents, &json!({"policies": ["default"]})).text);
        let revoked = AtomicBool::new(false);
        let mut clients = vec![child; 12];
        clients.push(root.clone());
        let last = clients.len() - 1;
        at_once(&clients, |worker, session| {
            if worker == last {
                std::thread::sleep(std::time::Duration::from_millis(50));
                let body = json!({"token": parent.text}).to_string();
                let reply = session.send("POST", "/v1/auth/token/revoke", &[], body.as_bytes())?.expect(204);
                revoked.store(true, Ordering::SeqCst);
                return Ok(reply);
            }
            // Each worker goes on until a request that began after the revocation was answered.
            loop {
                let too_late = revoked.load(Ordering::SeqCst);
                let reply = session.send("GET", "/v1/auth/token/lookup-self", &[], b"")?;
                if too_late {
                    // Who is no longer known is a stranger, of whom too many are answered 429.
                    assert!([403, 429].contains(&reply.status), "{reply:?}");
                    return Ok(reply);
                }
                assert!([200, 403, 429].contains(&reply.status), "{reply:?}");
                if reply.status != 200 {
                    std::thread::sleep(std::time::Duration::from_millis(30));
                }
            }
        });
    }
}
