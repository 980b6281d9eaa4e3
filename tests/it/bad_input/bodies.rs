//! Request bodies.

use serde_json::{Value, json};

use super::Case;

/// What cannot be read at all, sent as the value of a secret.
pub(super) fn no_json() -> Vec<Case<'static>> {
    let decode = "failed to decode JSON input";
    let nested = |depth: usize| format!("{{\"data\":{}{}}}", "{\"a\":".repeat(depth), "1") + &"}".repeat(depth);
    let many = format!("{{\"data\":{{\"l\":[0{}]}}}}", ",0".repeat(100_000));
    let brackets = format!("{{\"data\":{}", "[".repeat(200_000));
    let mut cases: Vec<Case<'static>> = [
        "{",
        "{\"data\":",
        "{\"data\":{}}x",
        "{\"data\":{}}{}",
        "{\"data\":{},}",
        "{'data':{}}",
        "{\"data\":{\"k\":NaN}}",
        "{\"data\":{\"k\":01}}",
        "{\"data\":{\"k\":\"\u{1}\"}}",
        "[1]",
        "\"text\"",
        "nul",
        "[null]",
        "nonsense",
        "\u{feff}{}",
        brackets.as_str(),
    ]
    .map(|body| Case::new("POST", "secret/data/a", body, 400, decode))
    .into();
    cases.extend([
        Case::new("POST", "secret/data/a", *b"{\"data\":{\"k\":\"\xff\"}}", 400, "not UTF-8"),
        Case::new("POST", "secret/data/a", r#"{"data":{"k":"\ud800"}}"#, 400, "surrogate"),
        Case::new("POST", "secret/data/a", r#"{"data":{},"data":{}}"#, 400, "twice"),
        Case::new("POST", "secret/data/a", r#"{"data":{"k":1,"k":2}}"#, 400, "twice"),
        Case::new("POST", "secret/data/a", r#"{"data":{"k":1,"\u006b":2}}"#, 400, "twice"),
        Case::new("POST", "secret/data/a", r#"{"data":{"l":[{"k":{"x":1,"x":2}}]}}"#, 400, "twice"),
        Case::new("POST", "secret/data/a", nested(64), 400, "nested more than 64 deep"),
        Case::new("POST", "secret/data/a", many, 400, "more than 100000 values"),
        Case::new("POST", "sys/mounts/x", "type=kv&type=kv", 400, "twice"),
        Case::new("POST", "secret/data/a", vec![b' '; (1 << 20) + 1], 413, "larger than max_request_size"),
    ]);
    cases
}

/// What can be read and makes no sense: path, body, text.
pub(super) fn wrong_fields() -> Vec<Case<'static>> {
    let long = "x".repeat(1000);
    let large = format!("path \"a\" {{ capabilities = [\"read\"] }}\n# {}", "x".repeat(256 << 10));
    let kv = || json!({"type": "kv", "options": {"version": "2"}});
    let with = |name: &str, value: Value| {
        let mut body = kv();
        body[name] = value;
        body
    };
    let table: Vec<(&str, Value, &'static str)> = vec![
        ("secret/data/a", json!({}), "no data provided"),
        ("secret/data/a", json!({"data": null}), "no data provided"),
        ("secret/data/a", json!({"data": "text"}), "\"data\""),
        ("secret/data/a", json!({"data": [1]}), "\"data\""),
        ("secret/data/a", json!({"data": {}, "options": 5}), "\"options\""),
        ("secret/data/a", json!({"data": {}, "options": {"cas": "x"}}), "error parsing check-and-set parameter"),
        ("secret/data/a", json!({"data": {}, "options": {"cas": 1.5}}), "error parsing check-and-set parameter"),
        ("secret/data/a", json!({"data": {}, "options": {"cas": [1]}}), "error parsing check-and-set parameter"),
        (
            "secret/data/a",
            json!({"data": {}, "options": {"cas": 0}}),
            "check-and-set parameter did not match the current version",
        ),
        (
            "secret/data/a",
            json!({"data": {}, "options": {"cas": 7}}),
            "check-and-set parameter did not match the current version",
        ),
        (
            "secret/data/a",
            json!({"data": {}, "options": {"cas": -1}}),
            "check-and-set parameter did not match the current version",
        ),
        (
            "secret/data/new",
            json!({"data": {}, "options": {"cas": 1}}),
            "check-and-set parameter did not match the current version",
        ),
        ("secret/data/a/", json!({"data": {}}), "cannot write to a path ending in '/'"),
        ("secret/delete/a", json!({}), "no version number provided"),
        ("secret/delete/a", json!({"versions": []}), "no version number provided"),
        ("secret/undelete/a", json!({"versions": "x"}), "\"versions\""),
        ("secret/destroy/a", json!({"versions": {"1": 1}}), "\"versions\""),
        ("secret/destroy/a", json!({"versions": [-1]}), "\"versions\""),
        ("secret/metadata/a", json!({"max_versions": "x"}), "\"max_versions\""),
        ("secret/metadata/a", json!({"max_versions": -1}), "max_versions must be from 0"),
        ("secret/metadata/a", json!({"cas_required": "maybe"}), "\"cas_required\""),
        ("secret/metadata/a", json!({"delete_version_after": "soon"}), "\"delete_version_after\""),
        ("secret/metadata/a", json!({"custom_metadata": 5}), "\"custom_metadata\""),
        ("secret/metadata/a", json!({"custom_metadata": {"k": {}}}), "\"k\" is not a string"),
        ("secret/config", json!({"max_versions": {}}), "\"max_versions\""),
        ("secret/config", json!({"cas_required": [true]}), "\"cas_required\""),
        ("sys/mounts/x", json!({}), "type"),
        ("sys/mounts/x", json!({"type": "nonsense"}), "nonsense"),
        ("sys/mounts/x", json!({"type": {}}), "\"type\""),
        ("sys/mounts/x", with("options", json!({"version": "3"})), "version"),
        ("sys/mounts/x", with("options", json!(5)), "\"options\""),
        ("sys/mounts/x", with("config", json!("x")), "\"config\""),
        ("sys/mounts/x", with("config", json!({"max_lease_ttl": "soon"})), "max_lease_ttl"),
        ("sys/mounts/x", with("local", json!("maybe")), "\"local\""),
        ("sys/mounts/secret", kv(), "path is already in use at secret/"),
        ("sys/mounts/secret/below", kv(), "path is already in use at secret/"),
        ("sys/mounts/sys", kv(), "cannot mount"),
        ("sys/mounts/a+/+", kv(), "policies"),
        ("sys/mounts/secret/tune", json!({"default_lease_ttl": "soon"}), "default_lease_ttl"),
        ("sys/mounts/nothing/tune", json!({"description": "x"}), "nothing/"),
        ("sys/policies/acl/x", json!({}), "'policy' parameter not supplied or empty"),
        ("sys/policies/acl/x", json!({"policy": "path {"}), "1"),
        ("sys/policies/acl/x", json!({"policy": "path \"a\" { capabilities = [\"fly\"] }"}), "fly"),
        ("sys/policies/acl/x", json!({"policy": 5}), "failed to parse policy"),
        ("sys/policies/acl/x", json!({"policy": large}), "longer than 262144 bytes"),
        ("sys/policies/acl/root", json!({"policy": "path \"a\" {}"}), "cannot update \"root\" policy"),
        ("auth/token/create", json!({"ttl": "soon"}), "\"ttl\""),
        ("auth/token/create", json!({"ttl": -1}), "\"ttl\""),
        ("auth/token/create", json!({"num_uses": -1}), "number of uses cannot be negative"),
        ("auth/token/create", json!({"num_uses": "x"}), "\"num_uses\""),
        ("auth/token/create", json!({"policies": {"a": 1}}), "\"policies\""),
        ("auth/token/create", json!({"meta": 5}), "\"meta\""),
        ("auth/token/create", json!({"type": "nonsense"}), "invalid 'token_type' value"),
        ("auth/token/create", json!({"display_name": long}), "display_name: at most"),
        ("auth/token/create", json!({"id": "s.chosen"}), "custom token ID cannot have the 's.' prefix"),
        ("auth/token/create", json!({"id": "a.b"}), "custom token ID cannot have a '.'"),
        ("auth/token/lookup-accessor", json!({}), "missing accessor"),
        ("auth/token/lookup-accessor", json!({"accessor": "nothing"}), "invalid accessor"),
        ("auth/token/revoke", json!({}), "missing token ID"),
        ("auth/token/renew", json!({"token": "nothing"}), "token not found"),
        ("auth/token/renew-self", json!({"increment": "soon"}), "\"increment\""),
        ("auth/token/renew-self", json!({}), "invalid lease ID"),
        ("sys/capabilities-self", json!({}), "paths must be supplied"),
        ("sys/capabilities-self", json!({"paths": ["a//b"]}), "empty segment"),
        ("sys/capabilities", json!({"paths": "a"}), "missing token"),
        ("sys/capabilities-accessor", json!({"paths": "a", "accessor": "nothing"}), "invalid accessor"),
        ("sys/references/resolve", json!({}), "missing field: reference"),
        ("sys/references/resolve", json!({"reference": "sref_x"}), "malformed reference"),
        ("sys/namespaces/sys", json!({}), "reserved path"),
        ("sys/namespaces/a%20b", json!({}), "contains space characters"),
        ("sys/namespaces/a/b", json!({}), "name must not contain /"),
        ("sys/namespaces/secret", json!({}), "path is already in use at secret/"),
        ("sys/namespaces/x", json!({"custom_metadata": 5}), "\"custom_metadata\""),
        ("sys/namespaces/x", json!({"seals": "eu"}), "seals"),
    ];
    let mut cases: Vec<Case<'static>> =
        table.into_iter().map(|(path, body, text)| Case::new("POST", path, body.to_string(), 400, text)).collect();
    // The only one of these that is no 400: clients tell a bad token by it.
    cases.push(Case::new("POST", "auth/token/lookup", r#"{"token":"nothing"}"#, 403, "bad token"));
    cases.push(Case::new("DELETE", "sys/mounts/sys", "", 400, "cannot unmount"));
    cases.push(Case::new("DELETE", "sys/policies/acl/default", "", 400, "default"));
    cases
}
