//! Limits that large values meet.

use serde_json::json;

use super::x;
use crate::support::client::Client;
use crate::support::fixture::{mount, ready};
use crate::support::server::Server;

/// A server that takes the largest requests that can be configured.
fn server() -> (Server, Client) {
    let server = Server::uninitialised_with_listener("  max_request_size = 33554432\n").initialise();
    let root = ready(&server);
    (server, root)
}

/// A patch adds to what is there: the whole has the bound of what could be sent at once.
#[test]
fn a_patch_makes_no_larger_value_than_may_be_sent() {
    const MOST: usize = 32 << 20;
    let (_server, root) = server();
    // {"a":"..","b":".."}
    let half = MOST / 2;
    root.call("POST", "secret/data/large", Some(&json!({"data": {"a": x(half)}}))).expect(200);
    let rest = MOST - half - r#"{"a":"","b":""}"#.len();
    let patch = |bytes: usize| root.call("PATCH", "secret/data/large", Some(&json!({"data": {"b": x(bytes)}})));
    patch(rest + 1).expect(413);
    patch(rest).expect(200);
}

#[test]
fn versions_of_a_secret_move_to_another_mount_as_long_as_they_are_not_too_large_together() {
    const MOST: usize = 8 << 20;
    let (_server, root) = server();
    mount(&root, "other");
    let write = |path: &str, bytes: usize| {
        // {"a":".."}
        let value = x(bytes - r#"{"a":""}"#.len());
        root.call("POST", &format!("secret/data/{path}"), Some(&json!({"data": {"a": value}}))).expect(200);
    };
    for (path, last, status) in [("fits", MOST / 2, 204), ("does-not", MOST / 2 + 1, 400)] {
        write(path, MOST / 2);
        write(path, last);
        let body = json!({"from": format!("secret/data/{path}"), "to": format!("other/data/{path}")});
        root.call("POST", "sys/secrets/move", Some(&body)).expect(status);
    }
}
