//! What the server tells of itself, of its API and of a caller's rights; and web pages of other origins.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{namespace, policy, put, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    help_is_there_for_every_path_and_hides_mounts_from_who_may_do_nothing_there,
    the_api_describes_itself,
    a_caller_sees_its_own_rights_and_namespaces,
    the_configuration_is_shown_without_secrets,
    what_belongs_to_the_deployment_is_answered_in_the_root_only,
    the_log_level_changes_when_asked_and_goes_back,
    requests_in_flight_are_shown_while_they_last,
    plugins_are_read_only,
    pages_of_other_origins_call_when_they_are_allowed_to,
}

const WEAK: &str = r#"path "secret/data/app/*" { capabilities = ["read"] }
    path "team/secret/data/x" { capabilities = ["read"] }"#;

fn weak(root: &Client) -> Client {
    policy(root, "weak", WEAK);
    root.with_token(&token(root, &json!({"policies": ["weak"], "no_default_policy": true})).text)
}

fn get(client: &Client, path: &str) -> Reply {
    client.call("GET", path, None)
}

fn help_is_there_for_every_path_and_hides_mounts_from_who_may_do_nothing_there(server: &mut Server) {
    let root = ready(server);
    let help = |client: &Client, path: &str| get(client, &format!("{path}?help=1"));
    let body = help(&root, "secret/data/app/db").expect(200).json();
    let text = body["help"].as_str().unwrap();
    assert!(text.starts_with("Request:        data/app/db\nMatching Route: data/:path*\n\n"), "{text}");
    for part in ["## PARAMETERS", "    options (object)", "    PATCH\n", "    DELETE\n"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(body["openapi"]["openapi"], "3.1.0");
    assert!(body["openapi"]["paths"]["/secret/data/{path}"]["get"].is_object(), "{body}");
    let mount = help(&root, "secret/").expect(200).json();
    for pattern in ["    data/:path*\n", "    metadata/:path*\n", "    config\n"] {
        assert!(mount["help"].as_str().unwrap().contains(pattern), "{pattern}");
    }
    // Nothing is done, and nothing is read: the secret is not there.
    get(&root, "secret/data/app/db").expect(404);

    root.call("POST", "sys/mounts/hidden", Some(&json!({"type": "kv-v2"}))).expect(204);
    let weak = weak(&root);
    help(&weak, "sys/mounts").expect(200);
    help(&weak, "secret/config").expect(200);
    let [hidden, nothing] = ["hidden/config", "nothing/config"].map(|path| help(&weak, path).expect(403));
    assert_eq!(hidden.body, nothing.body);
    help(&root.without_token(), "sys/mounts").expect(403);
    assert_eq!(help(&root, "sys/nosuch/x").expect(404).errors(), ["1 error occurred:\n\t* unsupported path\n\n"]);
    assert_eq!(help(&root, "nothing/x").expect(404).errors(), ["no handler for route \"nothing/x\". route entry not found."]);
}

fn the_api_describes_itself(server: &mut Server) {
    let root = ready(server);
    root.call("POST", "sys/mounts/hidden", Some(&json!({"type": "kv-v2"}))).expect(204);
    let weak = weak(&root);
    let paths = |client: &Client, query: &str| {
        let document = get(client, &format!("sys/internal/specs/openapi{query}")).expect(200).json();
        document["paths"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
    };
    let all = paths(&root, "");
    for path in ["health", "init", "leader", "seal-status", "unseal"] {
        assert!(all.contains(&format!("/sys/{path}")), "{path}");
    }
    for path in ["/sys/mounts/{path}", "/auth/token/create", "/secret/data/{path}", "/hidden/data/{path}"] {
        assert!(all.contains(path), "{path}");
    }
    let seen = paths(&weak, "");
    assert!(seen.contains("/secret/data/{path}") && !seen.iter().any(|path| path.starts_with("/hidden")), "{seen:?}");
    assert!(paths(&root, "?generic_mount_paths=true").contains("/{kv_mount_path}/data/{path}"));
    get(&root.without_token(), "sys/internal/specs/openapi").expect(403);
}

fn a_caller_sees_its_own_rights_and_namespaces(server: &mut Server) {
    let root = ready(server);
    namespace(&root, "team");
    namespace(&root, "other");
    assert_eq!(get(&root, "sys/internal/ui/namespaces").expect(200).json()["data"], json!({"keys": ["other/", "team/"]}));
    let weak = weak(&root);
    assert_eq!(get(&weak, "sys/internal/ui/namespaces").expect(200).json()["data"], json!({"keys": ["team/"]}));
    assert_eq!(get(&weak.in_namespace("team"), "sys/internal/ui/namespaces").expect(200).json()["data"], json!({}));
    // The way to one's rights is itself a right, of the default policy.
    get(&weak, "sys/internal/ui/resultant-acl").expect(403);
    policy(
        &root,
        "acl",
        r#"path "a/+/b*" { capabilities = ["list"] }
        path "no/*" { capabilities = ["deny"] }"#,
    );
    let shown = root.with_token(&token(&root, &json!({"policies": ["acl"]})).text);
    let data = get(&shown, "sys/internal/ui/resultant-acl").expect(200).json()["data"].clone();
    assert_eq!(data["root"], false);
    assert_eq!(data["exact_paths"]["auth/token/lookup-self"], json!({"capabilities": ["read"]}));
    assert_eq!(data["glob_paths"]["no/"], json!({"capabilities": ["deny"]}));
    assert_eq!(data["glob_paths"]["a/+/b"], json!({"capabilities": ["list"]}));
    assert_eq!(get(&root, "sys/internal/ui/resultant-acl").expect(200).json()["data"], json!({"root": true}));
    let status = get(&root, "sys/key-status").expect(200).json();
    assert_eq!((&status["term"], &status["data"]["term"]), (&json!(1), &json!(1)));
    assert_eq!(status["data"]["encryptions"], 0, "{status}");
    let history = root.call("LIST", "sys/version-history", None).expect(200).json();
    let installed = &history["data"]["key_info"]["2.7.2"]["timestamp_installed"];
    assert_eq!(installed, &status["data"]["install_time"]);
}

fn the_configuration_is_shown_without_secrets(server: &mut Server) {
    let root = ready(server);
    let shown = get(&root, "sys/config/state/sanitized").expect(200);
    let text = String::from_utf8(shown.body.clone()).unwrap();
    let data = shown.json()["data"].clone();
    assert_eq!(data["listeners"][0]["config"]["tls_disable"], false, "{data}");
    assert!(data["storage"]["type"] == "sqlite" || data["storage"]["type"] == "postgresql", "{data}");
    assert_eq!(data["seals"][0]["type"], "shamir");
    // Neither how to connect, nor any file.
    for canary in ["connection_url", "strongroom_runtime", "postgresql://", "key_file", ".pem", ".key", "store.db"] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
    get(&weak(&root), "sys/config/state/sanitized").expect(403);
}

fn what_belongs_to_the_deployment_is_answered_in_the_root_only(server: &mut Server) {
    let root = ready(server);
    let team = namespace(&root, "team");
    for path in ["config/state/sanitized", "in-flight-req", "ha-status", "host-info", "loggers", "config/cors"] {
        let path = format!("sys/{path}");
        get(&root, &path).expect(200);
        assert_eq!(get(&team, &path).expect(400).errors(), ["operation only available in root namespace"], "{path}");
    }
    root.call("LIST", "sys/version-history", None).expect(200);
    team.call("LIST", "sys/version-history", None).expect(400);
    get(&team, "sys/key-status").expect(200);
    let host = get(&root, "sys/host-info").expect(200).json()["data"].clone();
    assert!(host["memory"]["total"].as_u64().unwrap() > 1 << 20, "{host}");
    assert!(host["cpu"]["count"].as_u64().unwrap() > 0 && host["cpu"]["load1"].is_number(), "{host}");
    let node = get(&root, "sys/ha-status").expect(200).json()["data"]["nodes"][0].clone();
    assert_eq!((&node["active_node"], &node["api_address"]), (&json!(true), &json!(server.target().url)));
}

fn the_log_level_changes_when_asked_and_goes_back(server: &mut Server) {
    let root = ready(server);
    let level = || get(&root, "sys/loggers").expect(200).json()["data"].clone();
    assert_eq!(level(), json!({"strongroom": "trace"}), "as the test's server is configured");
    for (path, body, text) in [
        ("sys/loggers", json!({}), "level is required"),
        ("sys/loggers", json!({"level": "loud"}), "invalid level provided: unknown log level: loud"),
        ("sys/loggers/core", json!({"level": "warn"}), "logger \"core\" not found"),
    ] {
        assert_eq!(root.call("POST", path, Some(&body)).expect(400).errors(), [text]);
    }
    assert_eq!(level(), json!({"strongroom": "trace"}));
    root.call("POST", "sys/loggers/strongroom", Some(&json!({"level": "warn"}))).expect(204);
    assert_eq!(level(), json!({"strongroom": "warn"}));
    assert_eq!(get(&root, "sys/loggers/core").expect(200).json()["data"], json!({}));
    root.call("DELETE", "sys/loggers", None).expect(204);
    assert_eq!(level(), json!({"strongroom": "trace"}));
}

fn requests_in_flight_are_shown_while_they_last(server: &mut Server) {
    let root = ready(server);
    let shown = get(&root, "sys/in-flight-req").expect(200).json();
    let own: Vec<&Value> = shown.as_object().unwrap().values().collect();
    assert_eq!(own.len(), 1, "{shown}");
    assert_eq!((&own[0]["request_path"], &own[0]["request_method"]), (&json!("/v1/sys/in-flight-req"), &json!("GET")));
    // Nothing stays behind, whatever became of the requests.
    for path in ["secret/data/a", "nosuch/x", "a//b"] {
        get(&root, path);
    }
    let start = Instant::now();
    while get(&root, "sys/in-flight-req").expect(200).json().as_object().unwrap().len() > 1 {
        assert!(start.elapsed() < Duration::from_secs(10), "requests stay behind");
    }
}

fn plugins_are_read_only(server: &mut Server) {
    let root = ready(server);
    let all = get(&root, "sys/plugins/catalog").expect(200).json()["data"].clone();
    assert!(all["secret"].as_array().unwrap().contains(&json!("kv")), "{all}");
    assert!(all["detailed"].as_array().unwrap().iter().all(|one| one["builtin"] == true), "{all}");
    root.call("LIST", "sys/plugins/catalog/database", None).expect(404);
    root.call("LIST", "sys/plugins/catalog/nosuch", None).expect(400);
    get(&root, "sys/plugins/catalog/secret/nosuch").expect(404);
    for (method, path) in [
        ("POST", "sys/plugins/catalog/secret/own"),
        ("DELETE", "sys/plugins/catalog/secret/kv"),
        ("PUT", "sys/plugins/reload/backend"),
    ] {
        let refused = root.call(method, path, Some(&json!({"sha256": "aa", "command": "own"}))).expect(400);
        assert!(refused.errors()[0].starts_with("unsupported: all engines are built in"), "{refused:?}");
    }
}

fn pages_of_other_origins_call_when_they_are_allowed_to(server: &mut Server) {
    let root = ready(server);
    put(&root, "a", &json!({"k": "v"}));
    let page = |origin: &str, method: &str, wanted: Option<&str>| {
        let mut headers = vec![("Origin", origin)];
        headers.extend(wanted.map(|wanted| ("Access-Control-Request-Method", wanted)));
        let client = if method == "OPTIONS" { root.without_token() } else { root.clone() };
        client.send(method, "/v1/secret/data/a", &headers, b"")
    };
    // Off: answered as if there were no browsers, without the header that a page needs.
    let off = page("https://a.example", "GET", None).expect(200);
    assert_eq!(off.header("access-control-allow-origin"), None);
    page("https://a.example", "OPTIONS", Some("GET")).expect(405);

    for (body, text) in [
        (json!({}), "at least one origin or the wildcard must be provided"),
        (json!({"allowed_origins": ["*", "https://a.example"]}), "to allow all origins the '*' must be the only value"),
        (json!({"allowed_origins": "*", "allow_credentials": true}), "allow_credentials cannot be combined"),
        (json!({"allowed_origins": ["https://a.example\r\nX: y"]}), "\"https://a.example\\r\\nX: y\" is no origin"),
        (json!({"allowed_origins": "https://a.example", "allowed_headers": ["X Y"]}), "\"X Y\" is no origin or header name"),
        (json!({"allowed_origins": vec!["https://a.example"; 101]}), "at most 100 origins"),
    ] {
        let refused = root.call("POST", "sys/config/cors", Some(&body)).expect(400);
        assert!(refused.errors()[0].starts_with(text), "{refused:?}");
    }
    let setting = json!({"allowed_origins": ["https://a.example", "https://b.example"], "allowed_headers": "X-Own"});
    root.call("POST", "sys/config/cors", Some(&setting)).expect(204);
    let data = get(&root, "sys/config/cors").expect(200).json()["data"].clone();
    assert_eq!((&data["enabled"], &data["allowed_origins"]), (&json!(true), &setting["allowed_origins"]));
    assert!(data["allowed_headers"].as_array().unwrap().contains(&json!("X-Own")), "{data}");

    let allowed = page("https://a.example", "GET", None).expect(200);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(allowed.header("vary"), Some("Origin"));
    assert_eq!(allowed.header("access-control-allow-credentials"), None);
    // A page must be able to read refusals, too.
    let refused = root.without_token().send("GET", "/v1/secret/data/a", &[("Origin", "https://b.example")], b"").expect(403);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://b.example"));
    let asked = page("https://a.example", "OPTIONS", Some("LIST")).expect(200);
    assert!(asked.header("access-control-allow-headers").unwrap().ends_with(",X-Own"), "{asked:?}");
    assert_eq!(asked.header("access-control-max-age"), Some("300"));
    page("https://a.example", "OPTIONS", Some("TRACE")).expect(405);
    for method in ["GET", "OPTIONS"] {
        let stranger = page("https://c.example", method, Some("GET")).expect(403);
        assert_eq!(stranger.errors(), ["origin not allowed"]);
        assert_eq!(stranger.header("access-control-allow-origin"), None);
    }
    // Who is no browser is not concerned.
    get(&root, "secret/data/a").expect(200);
    root.call("DELETE", "sys/config/cors", None).expect(204);
    let off = page("https://c.example", "GET", None).expect(200);
    assert_eq!(off.header("access-control-allow-origin"), None);
}
