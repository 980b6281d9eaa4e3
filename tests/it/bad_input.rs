//! What is wrong with a request is said to whoever may hear it, in the form that clients read, and changes nothing. Every
//! request leaves one event, also those that are refused before anybody knows who sent them.

mod bodies;
mod requests;

use std::time::Duration;

use serde_json::json;

use crate::support::client::{Client, Reply};
use crate::support::database::Tables;
use crate::support::fixture::{namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    bodies_that_are_no_json,
    fields_of_wrong_types,
    paths_and_methods,
    headers,
    tokens_that_are_none,
    namespaces_that_are_none,
    a_token_that_has_expired,
    what_is_no_request_of_a_tenant,
}

/// A refused request: what is sent, and the status and the only error that come back. An empty text stands for no error at
/// all (`"errors": []`); otherwise the error contains the text.
struct Case<'a> {
    method: &'a str,
    target: String,
    headers: Vec<(&'a str, &'a str)>,
    body: Vec<u8>,
    status: u16,
    text: &'a str,
}

impl<'a> Case<'a> {
    fn new(method: &'a str, path: &str, body: impl Into<Vec<u8>>, status: u16, text: &'a str) -> Self {
        let target = format!("/v1/{path}");
        Self { method, target, headers: Vec::new(), body: body.into(), status, text }
    }

    fn with(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// A server with something in it that must stay as it is.
struct Stage {
    root: Client,
    database: Tables,
}

impl Stage {
    fn new(server: &Server) -> Self {
        let root = ready(server);
        put(&root, "a", &json!({"k": "v"}));
        put(&root, "dir/b", &json!({"k": "v"}));
        policy(&root, "reader", r#"path "secret/data/a" { capabilities = ["read"] }"#);
        Self { root, database: server.tables() }
    }

    /// Sends all of them, and says everything that was not as it should be.
    fn refuses(&mut self, client: &Client, cases: &[Case<'_>]) {
        let wrong: Vec<String> = cases.iter().filter_map(|case| self.refuse(client, case).err()).collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.root.call("GET", "secret/data/a", None).expect(200);
    }

    fn refuse(&mut self, client: &Client, case: &Case<'_>) -> Result<(), String> {
        let records = self.database.rows();
        let (reply, events) = self.send(client, case);
        let body = String::from_utf8_lossy(&reply.body);
        let wrong = |what: &str| {
            let sent = String::from_utf8_lossy(&case.body);
            Err(format!("{} {:.150} {sent:.150}: {what}; {} {body:.300}", case.method, case.target, reply.status))
        };
        if reply.status != case.status {
            return wrong(&format!("not {}", case.status));
        }
        if events != 1 {
            return wrong(&format!("{events} events"));
        }
        if self.database.rows() != records {
            return wrong("something was changed");
        }
        if reply.header("content-type") != Some("application/json") {
            return wrong("no JSON");
        }
        // The answer to HEAD has no body.
        let errors = if case.method == "HEAD" { vec![case.text.to_owned()] } else { reply.errors() };
        match (errors.as_slice(), case.text) {
            ([], "") => Ok(()),
            ([error], text) if !text.is_empty() && error.contains(text) => Ok(()),
            (_, text) => wrong(&format!("not {text:?}")),
        }
    }

    /// Sends it, again if there were too many without a token in this second. Returns how many events it left, too.
    fn send(&mut self, client: &Client, case: &Case<'_>) -> (Reply, i64) {
        loop {
            let before = self.database.events();
            let reply = client.send(case.method, &case.target, &case.headers, &case.body);
            if reply.status != 429 {
                return (reply, self.database.events() - before);
            }
            std::thread::sleep(Duration::from_millis(400));
        }
    }
}

fn bodies_that_are_no_json(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.refuses(&stage.root.clone(), &bodies::no_json());
}

fn fields_of_wrong_types(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.refuses(&stage.root.clone(), &bodies::wrong_fields());
}

fn paths_and_methods(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.refuses(&stage.root.clone(), &requests::paths());
    stage.refuses(&stage.root.clone(), &requests::methods());
    // The one refusal that has no body.
    let missing =
        Case::new("PATCH", "secret/data/nothing", r#"{"data":{}}"#, 404, "").with("Content-Type", "application/merge-patch+json");
    let (reply, events) = stage.send(&stage.root.clone(), &missing);
    assert_eq!((reply.status, reply.body.as_slice(), events), (404, &b""[..], 1));
}

fn headers(server: &mut Server) {
    let mut stage = Stage::new(server);
    stage.refuses(&stage.root.clone(), &requests::headers());
}

fn tokens_that_are_none(server: &mut Server) {
    let mut stage = Stage::new(server);
    let team = namespace(&stage.root, "team");
    let foreign = token(&team, &json!({"policies": ["default"]}));
    let revoked = token(&stage.root, &json!({"policies": ["default"]}));
    stage.root.call("POST", "auth/token/revoke", Some(&json!({"token": revoked.text}))).expect(204);
    let long = "x".repeat(5000);
    let limited = token(&stage.root, &json!({"policies": ["reader"]}));
    let denied = "1 error occurred:\n\t* permission denied\n\n";
    for (text, error) in [
        ("", "permission denied"),
        ("nonsense", "permission denied"),
        (&foreign.text, "permission denied"),
        (&foreign.accessor, "permission denied"),
        (&revoked.text, "permission denied"),
        (&long, "permission denied"),
        ("s.\u{e9}", "permission denied"),
        (&limited.text, denied),
    ] {
        let client = stage.root.with_token(text);
        for (method, path) in [
            ("GET", "secret/data/dir/b"),
            ("POST", "secret/data/a"),
            ("LIST", "secret/metadata"),
            ("GET", "nothing/x"),
            ("GET", "sys/nothing"),
            ("POST", "sys/policies/acl/reader"),
        ] {
            // Whether the body is any good is nobody's business yet.
            let case = Case::new(method, path, "{", 403, error);
            stage.refuse(&client, &case).unwrap();
            assert_eq!(stage.send(&client, &case).0.errors(), [error]);
        }
    }
}

fn namespaces_that_are_none(server: &mut Server) {
    let mut stage = Stage::new(server);
    let team = namespace(&stage.root, "team");
    let case = |status, text| Case::new("GET", "secret/data/a", "", status, text);
    for name in ["nothing", "team/nothing", "a/b/c"] {
        stage.refuse(&stage.root.in_namespace(name), &case(404, "namespace not found")).unwrap();
        let stranger = stage.root.in_namespace(name).with_token("nonsense");
        stage.refuse(&stranger, &case(403, "permission denied")).unwrap();
        stage.refuse(&stranger.without_token(), &case(403, "permission denied")).unwrap();
    }
    // To who has no right there, what is and what is not look alike.
    let limited = token(&stage.root, &json!({"policies": ["reader"]}));
    let texts: Vec<_> = ["team", "nothing"]
        .iter()
        .map(|name| {
            let client = stage.root.in_namespace(name).with_token(&limited.text);
            let (reply, events) = stage.send(&client, &case(403, ""));
            assert_eq!((reply.status, events), (403, 1));
            reply.errors()[0].contains("permission denied")
        })
        .collect();
    assert_eq!(texts, [true, true]);
    let foreign = token(&team, &json!({"policies": ["default"]}));
    stage.refuse(&stage.root.with_token(&foreign.text), &case(403, "permission denied")).unwrap();
    stage.refuse(&team, &case(404, "no handler for route")).unwrap();
}

fn a_token_that_has_expired(server: &mut Server) {
    let stage = Stage::new(server);
    let short = stage.root.with_token(&token(&stage.root, &json!({"policies": ["reader"], "ttl": "1s"})).text);
    short.call("GET", "secret/data/a", None).expect(200);
    std::thread::sleep(Duration::from_millis(1200));
    assert_eq!(short.call("GET", "secret/data/a", None).expect(403).errors(), ["permission denied"]);
    assert_eq!(short.call("POST", "auth/token/renew-self", None).expect(403).errors(), ["permission denied"]);
}

/// Refused before it is a request of anybody: without an event, and the server goes on.
fn what_is_no_request_of_a_tenant(server: &mut Server) {
    let mut stage = Stage::new(server);
    let before = stage.database.events();
    for target in ["/", "/v2/secret/data/a", "/v1", "/ui/"] {
        stage.root.send("GET", target, &[], b"").expect(404).errors();
    }
    let long = "x".repeat(20 << 10);
    let refused = stage.root.try_send("GET", "/v1/sys/mounts", &[("X-Long", &long)], b"");
    assert!(refused.map_or(true, |reply| reply.status == 431));
    for target in ["/v1/secret/data/a\u{1}b", "no-slash", "/v1/a b"] {
        let refused = stage.root.try_send("GET", target, &[], b"");
        assert!(refused.map_or(true, |reply| [400, 404].contains(&reply.status)), "{target:?}");
    }
    assert_eq!(stage.database.events(), before);
    stage.root.call("GET", "secret/data/a", None).expect(200);
}
