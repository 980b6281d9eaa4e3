//! Response wrapping over HTTP.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{mount, namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    answers_are_put_away_and_taken_out_once,
    a_wrapping_token_is_enough_by_itself,
    a_wrapping_token_is_good_for_nothing_else,
    any_answer_with_a_body_can_be_put_away,
    wrong_times_are_refused_and_nothing_happens,
    the_old_way_out,
    rewrapping_ends_the_first_token,
    what_was_put_away_ends_with_its_time_and_its_token,
    policies_bound_the_time,
    namespaces,
}

const NOT_VALID: &str = "wrapping token is not valid or does not exist";

/// Asks with a TTL of a minute; the answer's `wrap_info`.
#[track_caller]
fn wrapped(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Value {
    let body = body.map(Value::to_string).unwrap_or_default();
    let reply = client.send(method, &format!("/v1/{path}"), &[("X-Vault-Wrap-TTL", "60")], body.as_bytes()).expect(200);
    let reply = reply.json();
    let told = [&reply["request_id"], &reply["data"], &reply["auth"], &reply["warnings"], &reply["lease_duration"]];
    assert_eq!(told, [&json!(""), &json!(null), &json!(null), &json!(null), &json!(0)], "{reply}");
    reply["wrap_info"].clone()
}

fn text(info: &Value) -> &str {
    info["token"].as_str().unwrap()
}

fn named(client: &Client, operation: &str, token: &str) -> Reply {
    client.call("POST", &format!("sys/wrapping/{operation}"), Some(&json!({"token": token})))
}

#[track_caller]
fn not_valid(reply: Reply) {
    assert_eq!(reply.expect(400).errors(), [NOT_VALID]);
}

fn stage(server: &Server) -> Client {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    root
}

fn answers_are_put_away_and_taken_out_once(server: &mut Server) {
    let root = stage(server);
    let info = wrapped(&root, "GET", "secret/data/a", None);
    assert_eq!((&info["ttl"], &info["creation_path"]), (&json!(60), &json!("secret/data/a")));
    assert_eq!((info.get("wrapped_accessor"), info["accessor"].as_str().map(str::len)), (None, Some(24)));

    let looked = root.call("POST", "auth/token/lookup", Some(&json!({"token": text(&info)}))).expect(200).json();
    let told = [&looked["data"]["policies"], &looked["data"]["num_uses"], &looked["data"]["renewable"], &looked["data"]["path"]];
    assert_eq!(told, [&json!(["response-wrapping"]), &json!(1), &json!(false), &json!("secret/data/a")]);

    let shown = named(&root.without_token(), "lookup", text(&info)).expect(200).json();
    let told = [&shown["data"]["creation_path"], &shown["data"]["creation_ttl"], &shown["data"]["creation_time"]];
    assert_eq!(told, [&json!("secret/data/a"), &json!(60), &info["creation_time"]]);

    // What was put away stays as it was.
    put(&root, "a", &json!({"k": "newer"}));
    let out = named(&root, "unwrap", text(&info)).expect(200).json();
    assert_eq!((&out["data"]["data"], &out["data"]["metadata"]["version"]), (&json!({"k": "v"}), &json!(1)));
    assert_eq!((&out["wrap_info"], out["request_id"].as_str().unwrap().is_empty()), (&json!(null), false));
    for operation in ["unwrap", "lookup", "rewrap"] {
        not_valid(named(&root, operation, text(&info)));
        not_valid(named(&root.without_token(), operation, text(&info)));
        not_valid(named(&root, operation, "s.AAAAAAAAAAAAAAAAAAAAAAAA"));
        not_valid(named(&root, operation, &server.target().token));
        not_valid(root.call("POST", &format!("sys/wrapping/{operation}"), None));
    }
    root.call("POST", "auth/token/lookup", Some(&json!({"token": text(&info)}))).expect(403);
}

fn a_wrapping_token_is_enough_by_itself(server: &mut Server) {
    let root = stage(server);
    let stranger = root.without_token();
    // As the client token.
    let info = wrapped(&root, "GET", "secret/data/a", None);
    let client = root.with_token(text(&info));
    client.call("GET", "sys/wrapping/lookup", None).expect(200);
    client.call("POST", "sys/wrapping/lookup", None).expect(200);
    assert_eq!(client.call("POST", "sys/wrapping/unwrap", None).expect(200).json()["data"]["data"], json!({"k": "v"}));
    not_valid(client.call("POST", "sys/wrapping/unwrap", None));
    // In the body, with no client token, and with itself.
    let info = wrapped(&root, "GET", "secret/data/a", None);
    named(&stranger, "unwrap", text(&info)).expect(200);
    not_valid(named(&stranger, "unwrap", text(&info)));
    let info = wrapped(&root, "GET", "secret/data/a", None);
    named(&root.with_token(text(&info)), "unwrap", text(&info)).expect(200);
    // Whoever names a client token has to have a valid one, and the right.
    let info = wrapped(&root, "GET", "secret/data/a", None);
    assert_eq!(named(&root.with_token("nonsense"), "unwrap", text(&info)).expect(403).errors(), ["permission denied"]);
    let weak = root.with_token(&token(&root, &json!({"policies": ["none"], "no_default_policy": true})).text);
    named(&weak, "unwrap", text(&info)).expect(403);
    named(&weak, "lookup", text(&info)).expect(200);
    let usual = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    named(&usual, "unwrap", text(&info)).expect(200);
    // An ordinary token in the body lets nobody in.
    let root_token = server.target().token;
    for path in ["sys/wrapping/unwrap", "secret/data/sys/wrapping/unwrap", "sys/policies/acl/sys/wrapping/lookup"] {
        let reply = stranger.call("POST", path, Some(&json!({"token": root_token, "data": {"x": 1}, "policy": "path"})));
        assert!(reply.status == 403 || reply.errors() == [NOT_VALID], "{path}: {reply:?}");
    }
    root.call("GET", "secret/data/sys/wrapping/unwrap", None).expect(404);
}

fn a_wrapping_token_is_good_for_nothing_else(server: &mut Server) {
    let root = stage(server);
    let info = wrapped(&root, "GET", "secret/data/a", None);
    let client = root.with_token(text(&info));
    for (method, path) in [
        ("GET", "secret/data/a"),
        ("GET", "sys/mounts"),
        ("GET", "auth/token/lookup-self"),
        ("POST", "auth/token/renew-self"),
        ("POST", "auth/token/create"),
        ("POST", "sys/wrapping/rewrap"),
        ("POST", "sys/wrapping/wrap"),
        ("GET", "cubbyhole/other"),
        ("POST", "cubbyhole/response"),
        ("LIST", "cubbyhole"),
    ] {
        client.call(method, path, Some(&json!({"x": 1}))).expect(403);
    }
    root.call("POST", "auth/token/renew", Some(&json!({"token": text(&info)}))).expect(400);
    // Nobody else can have such a token, nor change what it may.
    root.call("POST", "auth/token/create", Some(&json!({"policies": ["response-wrapping"]}))).expect(400);
    let rules = json!({"policy": "path \"*\" { capabilities = [\"read\"] }"});
    for (method, body) in [("POST", Some(&rules)), ("DELETE", None)] {
        root.call(method, "sys/policies/acl/response-wrapping", body).expect(400);
        root.call(method, "sys/policy/Response-Wrapping", body).expect(400);
    }
    let listed = root.call("LIST", "sys/policies/acl", None).expect(200).json();
    assert!(!listed.to_string().contains("response-wrapping"), "{listed}");
    client.call("POST", "sys/wrapping/unwrap", None).expect(200);
}

fn any_answer_with_a_body_can_be_put_away(server: &mut Server) {
    let root = stage(server);
    root.call("POST", "sys/mounts/old", Some(&json!({"type": "kv"}))).expect(204);
    root.call("POST", "old/a", Some(&json!({"ttl": "30m"}))).expect(204);
    let out = |info: &Value| named(&root, "unwrap", text(info)).expect(200).json();

    let info = wrapped(&root, "POST", "auth/token/create", Some(&json!({"policies": ["none"], "zzz": 1})));
    let made = out(&info);
    assert_eq!(info["wrapped_accessor"], made["auth"]["accessor"]);
    assert_eq!((&made["data"], made["warnings"].as_array().map(Vec::len)), (&json!(null), Some(2)), "{made}");
    root.with_token(made["auth"]["client_token"].as_str().unwrap()).call("GET", "auth/token/lookup-self", None).expect(200);

    let read = out(&wrapped(&root, "GET", "old/a", None));
    assert_eq!((&read["data"], &read["lease_duration"]), (&json!({"ttl": "30m"}), &json!(1800)));
    assert_eq!(out(&wrapped(&root, "GET", "sys/policy", None))["data"]["keys"][0], "auditor");
    let object = json!({"a": 1, "token": "x", "b": {"c": [null]}});
    let info = wrapped(&root, "POST", "sys/wrapping/wrap", Some(&object));
    assert_eq!((&out(&info)["data"], &info["creation_path"]), (&object, &json!("sys/wrapping/wrap")));
    assert_eq!(out(&wrapped(&root, "POST", "sys/wrapping/wrap", None))["data"], json!({}));
    let needs = root.call("POST", "sys/wrapping/wrap", Some(&object)).expect(400).errors();
    assert_eq!(needs, ["endpoint requires response wrapping to be used"]);

    // A write happens, and its answer is put away with it.
    let info = wrapped(&root, "POST", "secret/data/new", Some(&json!({"data": {"x": 1}})));
    root.call("GET", "secret/data/new", None).expect(200);
    assert_eq!(out(&info)["data"]["version"], 1);

    // A deleted version has a body, and comes out as what it is.
    root.call("DELETE", "secret/data/new", None).expect(204);
    let info = wrapped(&root, "GET", "secret/data/new", None);
    assert_eq!(named(&root, "unwrap", text(&info)).expect(404).json()["data"]["data"], json!(null));

    // What has no body, and what is refused, is answered as ever.
    let minute = [("X-Vault-Wrap-TTL", "60")];
    root.send("DELETE", "/v1/old/a", &minute, b"").expect(204);
    let written = root.send("POST", "/v1/old/b", &minute, br#"{"x":1}"#).expect(204);
    assert!(written.header("x-strongroom-reference").is_some());
    assert_eq!(root.send("GET", "/v1/secret/data/none", &minute, b"").expect(404).errors(), Vec::<String>::new());
    root.without_token().send("GET", "/v1/secret/data/a", &minute, b"").expect(403);
    let kept = root.without_token().send("GET", "/v1/sys/internal/ui/mounts", &minute, b"").expect(400).errors();
    assert_eq!(kept, ["response wrapping needs a valid token"]);
}

fn wrong_times_are_refused_and_nothing_happens(server: &mut Server) {
    let root = stage(server);
    let ask = |ttl: &str| root.send("POST", "/v1/secret/data/b", &[("X-Vault-Wrap-TTL", ttl)], br#"{"data":{"x":1}}"#);
    for ttl in ["soon", "-5", "-5s", "0.5", "5 m", "2764801", "999999999999", "99999999999999999999", "\u{fc}"] {
        let errors = ask(ttl).expect(400).errors();
        assert!(errors[0].starts_with("error parsing X-Vault-Wrap-TTL header: "), "{ttl}: {errors:?}");
    }
    root.call("GET", "secret/data/b", None).expect(404);
    for ttl in ["0", "0s", ""] {
        assert_eq!(ask(ttl).expect(200).json()["wrap_info"], json!(null), "{ttl:?}");
    }
    for (ttl, seconds) in [("1d", 86_400), ("1h30m", 5400), ("500ms", 1), ("768h", 2_764_800)] {
        assert_eq!(ask(ttl).expect(200).json()["wrap_info"]["ttl"], seconds, "{ttl}");
    }
    let reply = root.send("GET", "/v1/secret/data/b", &[("X-Vault-Wrap-Ttl", "5m0s")], b"").expect(200).json();
    assert_eq!(reply["wrap_info"]["ttl"], 300);
}

fn the_old_way_out(server: &mut Server) {
    let root = stage(server);
    let info = wrapped(&root, "GET", "secret/data/a", None);
    let client = root.with_token(text(&info));
    let reply = client.call("GET", "cubbyhole/response", None).expect(200).json();
    assert!(reply["warnings"][0].as_str().unwrap().contains("deprecated"), "{reply}");
    let inner: Value = serde_json::from_str(reply["data"]["response"].as_str().unwrap()).unwrap();
    assert_eq!(inner["data"]["data"], json!({"k": "v"}));
    client.call("GET", "cubbyhole/response", None).expect(403);
    not_valid(client.call("POST", "sys/wrapping/unwrap", None));
    // Of any other token it is a path like others.
    root.call("GET", "cubbyhole/response", None).expect(404);
    root.call("POST", "cubbyhole/response", Some(&json!({"x": 1}))).expect(204);
    assert_eq!(root.call("GET", "cubbyhole/response", None).expect(200).json()["data"], json!({"x": 1}));
}

fn rewrapping_ends_the_first_token(server: &mut Server) {
    let root = stage(server);
    let first = wrapped(&root, "GET", "secret/data/a", None);
    let second = named(&root, "rewrap", text(&first)).expect(200).json()["wrap_info"].clone();
    assert_ne!(text(&first), text(&second));
    assert_eq!((&second["ttl"], &second["creation_path"]), (&json!(60), &json!("secret/data/a")));
    not_valid(named(&root, "unwrap", text(&first)));
    not_valid(named(&root, "rewrap", text(&first)));
    // Without a right to it nobody rewraps, the token itself least of all.
    named(&root.without_token(), "rewrap", text(&second)).expect(403);
    root.with_token(text(&second)).call("POST", "sys/wrapping/rewrap", None).expect(403);
    let usual = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    named(&usual, "rewrap", text(&second)).expect(403);
    assert_eq!(named(&root, "unwrap", text(&second)).expect(200).json()["data"]["data"], json!({"k": "v"}));
}

fn what_was_put_away_ends_with_its_time_and_its_token(server: &mut Server) {
    let root = stage(server);
    let mut database = server.tables();
    let short = root.send("GET", "/v1/secret/data/a", &[("X-Vault-Wrap-TTL", "1s")], b"").expect(200).json()["wrap_info"].clone();
    std::thread::sleep(Duration::from_millis(1100));
    for operation in ["unwrap", "lookup", "rewrap"] {
        not_valid(named(&root, operation, text(&short)));
    }
    not_valid(root.with_token(text(&short)).call("POST", "sys/wrapping/unwrap", None));

    // Revoking it, in whatever way, leaves no row behind.
    let revocations: [fn(&Client, &Value) -> Reply; 3] = [
        |root, info| root.call("POST", "auth/token/revoke", Some(&json!({"token": text(info)}))),
        |root, info| root.call("POST", "auth/token/revoke-accessor", Some(&json!({"accessor": info["accessor"]}))),
        |root, info| root.with_token(text(info)).call("POST", "auth/token/revoke-self", None),
    ];
    for revoke in revocations {
        let before = database.number("SELECT count(*) FROM record WHERE expires_at IS NOT NULL");
        let info = wrapped(&root, "GET", "secret/data/a", None);
        // The token, and what it opens.
        assert_eq!(database.number("SELECT count(*) FROM record WHERE expires_at IS NOT NULL") - before, 2);
        revoke(&root, &info).expect(204);
        not_valid(named(&root, "unwrap", text(&info)));
        assert!(database.number("SELECT count(*) FROM record WHERE expires_at IS NOT NULL") <= before);
    }
    // The token that asked may be gone.
    let asker = root.with_token(&token(&root, &json!({"policies": ["default"]})).text);
    let info = wrapped(&asker, "GET", "auth/token/lookup-self", None);
    asker.call("POST", "auth/token/revoke-self", None).expect(204);
    named(&root, "unwrap", text(&info)).expect(200);
}

fn policies_bound_the_time(server: &mut Server) {
    let root = stage(server);
    policy(
        &root,
        "bounded",
        r#"path "secret/data/a" {
            capabilities = ["read"]
            min_wrapping_ttl = "10s"
            max_wrapping_ttl = "1m"
        }"#,
    );
    let client = root.with_token(&token(&root, &json!({"policies": ["bounded"]})).text);
    client.call("GET", "secret/data/a", None).expect(403);
    for (ttl, status) in [("9", 403), ("10", 200), ("60s", 200), ("61", 403)] {
        client.send("GET", "/v1/secret/data/a", &[("X-Vault-Wrap-TTL", ttl)], b"").expect(status);
    }
}

fn namespaces(server: &mut Server) {
    let root = stage(server);
    let [one, two] = ["one", "two"].map(|name| namespace(&root, name));
    for team in [&one, &two] {
        mount(team, "secret");
        put(team, "a", &json!({"team": 1}));
    }
    let info = wrapped(&one, "GET", "secret/data/a", None);
    assert_eq!(info["creation_path"], "secret/data/a");
    // In its own namespace only, however that is named; those below find it too.
    not_valid(named(&root, "unwrap", text(&info)));
    not_valid(named(&two, "unwrap", text(&info)));
    named(&one.without_token(), "lookup", text(&info)).expect(200);
    let stranger = root.without_token();
    stranger.call("POST", "one/sys/wrapping/unwrap", Some(&json!({"token": text(&info)}))).expect(200);
    let info = wrapped(&root, "GET", "secret/data/a", None);
    let out = named(&one, "unwrap", text(&info)).expect(200).json();
    assert_eq!(out["data"]["data"], json!({"k": "v"}));
    not_valid(named(&root, "unwrap", text(&info)));
}
