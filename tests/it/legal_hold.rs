//! Legal holds: what is held is not deleted, nor what is above or below it, whoever asks.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::fixture::{at_once, mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    what_is_held_is_not_deleted_until_the_hold_is_lifted,
    a_hold_and_a_deletion_at_once_never_both_succeed,
}

const HOLD: &str = "sys/namespaces/team/legal-hold";

fn hold(client: &Client, name: &str, reason: &str) {
    client.call("POST", &format!("sys/namespaces/{name}/legal-hold"), Some(&json!({"reason": reason}))).expect(204);
}

/// What is said of a namespace's hold where the namespace is shown.
fn shown(client: &Client, name: &str) -> Value {
    let read = client.call("GET", &format!("sys/namespaces/{name}"), None).expect(200).json()["data"]["legal_hold"].clone();
    let listed = client.call("LIST", "sys/namespaces", None).expect(200).json();
    assert_eq!(listed["data"]["key_info"][format!("{name}/")]["legal_hold"], read, "{listed}");
    read["reason"].clone()
}

#[track_caller]
fn refused(client: &Client, name: &str, text: &str) {
    let errors = client.call("DELETE", &format!("sys/namespaces/{name}"), None).expect(400).errors();
    assert!(errors[0].contains(text), "{errors:?}");
}

fn what_is_held_is_not_deleted_until_the_hold_is_lifted(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    mount(&team, "secret");
    put(&team, "a", &json!({"k": "v"}));
    namespace(&team, "sub");
    let sub = root.in_namespace("team/sub");
    namespace(&sub, "leaf");

    root.call("GET", HOLD, None).expect(404);
    root.call("DELETE", HOLD, None).expect(204);
    for body in [json!({}), json!({"reason": " "}), json!({"reason": "x".repeat(1025)})] {
        root.call("POST", HOLD, Some(&body)).expect(400);
    }
    root.call("POST", "sys/namespaces/nothing/legal-hold", Some(&json!({"reason": "x"}))).expect(404);
    root.call("GET", "sys/namespaces/nothing/legal-hold", None).expect(404);
    // Whoever may make and delete namespaces may neither lay nor lift one.
    let everything = r#"path "*" { capabilities = ["create", "read", "update", "delete", "list", "patch"] }"#;
    policy(&root, "everything", everything);
    let weak = root.with_token(&token(&root, &json!({"policies": ["everything"]})).text);
    weak.call("POST", HOLD, Some(&json!({"reason": "x"}))).expect(403);
    assert_eq!(shown(&root, "team"), Value::Null);

    hold(&root, "team", "case 17");
    let since = root.call("GET", HOLD, None).expect(200).json()["data"]["since"].clone();
    hold(&root, "team", "case 17 and case 18");
    let read = weak.call("GET", HOLD, None).expect(200).json()["data"].clone();
    assert_eq!(read, json!({"reason": "case 17 and case 18", "since": since}), "who changes the reason does not change the time");
    assert_eq!(shown(&root, "team"), "case 17 and case 18");
    weak.call("DELETE", HOLD, None).expect(403);

    let own = "namespace \"team/\" is under a legal hold: nothing of it is deleted until the hold is lifted, with DELETE \
               sys/namespaces/team/legal-hold";
    refused(&root, "team", own);
    refused(&weak, "team", own);
    refused(&sub, "leaf", "namespace \"team/\" is under a legal hold, and \"leaf\" is part of it");
    server.kill();
    server.come_back();
    refused(&root, "team", own);
    refused(&sub, "leaf", "namespace \"team/\" is under a legal hold, and \"leaf\" is part of it");
    // It stops deletion, and nothing else.
    put(&team, "a", &json!({"k": "w"}));

    // A hold below keeps what is above.
    hold(&sub, "leaf", "case 19");
    root.call("DELETE", HOLD, None).expect(204);
    assert_eq!(shown(&root, "team"), Value::Null);
    refused(&sub, "leaf", "namespace \"team/sub/leaf/\" is under a legal hold");
    refused(&team, "sub", "containing child namespaces");
    refused(&root, "team", "containing child namespaces");
    sub.call("DELETE", "sys/namespaces/leaf/legal-hold", None).expect(204);
    for (parent, name) in [(&sub, "leaf"), (&team, "sub"), (&root, "team")] {
        parent.call("DELETE", &format!("sys/namespaces/{name}"), None).expect(200);
    }
    // One that is made anew is not held.
    namespace(&root, "team");
    root.call("GET", HOLD, None).expect(404);
}

fn a_hold_and_a_deletion_at_once_never_both_succeed(server: &mut Server) {
    let root = ready(server);
    let clients: Vec<Client> = (0..2).map(|_| root.with_token(&server.target().token)).collect();
    for round in 0..8 {
        let name = format!("team{round}");
        namespace(&root, &name);
        let replies = at_once(&clients, |at, session| {
            let path = format!("/v1/sys/namespaces/{name}");
            match at {
                0 => session.send("POST", &format!("{path}/legal-hold"), &[], br#"{"reason": "case"}"#),
                _ => session.send("DELETE", &path, &[], b""),
            }
        });
        let there = root.call("GET", &format!("sys/namespaces/{name}"), None).status;
        let outcome = (replies[0].status, replies[1].status, there);
        assert!([(204, 400, 200), (404, 200, 404)].contains(&outcome), "{outcome:?}");
    }
}
