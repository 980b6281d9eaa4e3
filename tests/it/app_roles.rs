//! `AppRole` over HTTP: what is answered, what is counted, and what a stranger does not learn.

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, count, namespace, policy, ready, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_role_is_written_and_read_as_clients_know_it,
    every_setting_of_a_role_has_a_path_of_its_own,
    a_machine_logs_in_with_role_id_and_secret_id,
    a_secret_id_is_used_as_often_as_it_may_be,
    failed_logins_with_a_role_look_alike,
    secret_ids_end_with_their_role_and_their_mount,
    a_secret_id_promises_no_more_than_its_role,
    a_secret_id_comes_wrapped,
    a_token_of_a_role_is_renewed_as_long_as_the_role_is_there,
    a_login_in_a_namespace_stays_in_it,
}

const FAILED: &str = "invalid role or secret ID";

fn stage(server: &Server) -> Client {
    let root = ready(server);
    root.call("POST", "sys/auth/approle", Some(&json!({"type": "approle"}))).expect(204);
    root
}

fn role(root: &Client, name: &str, body: &Value) -> String {
    root.call("POST", &format!("auth/approle/role/{name}"), Some(body)).expect(204);
    let read = root.call("GET", &format!("auth/approle/role/{name}/role-id"), None).expect(200).json();
    read["data"]["role_id"].as_str().unwrap().to_owned()
}

fn secret_id(root: &Client, name: &str, body: &Value) -> Value {
    root.call("POST", &format!("auth/approle/role/{name}/secret-id"), Some(body)).expect(200).json()["data"].clone()
}

fn login(client: &Client, role_id: &str, secret_id: &Value) -> Reply {
    client.without_token().call("POST", "auth/approle/login", Some(&json!({"role_id": role_id, "secret_id": secret_id})))
}

fn a_role_is_written_and_read_as_clients_know_it(server: &mut Server) {
    let root = stage(server);
    let mounted = root.call("GET", "sys/auth", None).expect(200).json()["data"]["approle/"].clone();
    assert!(mounted["accessor"].as_str().unwrap().starts_with("auth_approle_"), "{mounted}");
    assert_eq!((&mounted["type"], &mounted["config"]["token_type"]), (&json!("approle"), &json!("default-service")));
    root.call("GET", "auth/approle/role/web", None).expect(404);
    role(&root, "Web", &json!({"token_policies": "a,b", "token_ttl": "1h", "secret_id_ttl": "10m", "secret_id_num_uses": 5}));
    let read = root.call("GET", "auth/approle/role/WEB", None).expect(200).json();
    assert_eq!(
        read["data"],
        json!({"bind_secret_id": true, "local_secret_ids": false, "secret_id_bound_cidrs": null, "secret_id_num_uses": 5,
            "secret_id_ttl": 600, "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
            "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0, "token_policies": ["a", "b"],
            "token_strictly_bind_ip": false, "token_ttl": 3600, "token_type": "default"})
    );
    let chosen = json!({"role_id": "my-role", "policies": "x", "period": 60, "bound_cidr_list": "127.0.0.1/32"});
    assert_eq!(role(&root, "other", &chosen), "my-role");
    let read = root.call("GET", "auth/approle/role/other", None).expect(200).json()["data"].clone();
    for (name, value) in [
        ("policies", json!(["x"])),
        ("token_policies", json!(["x"])),
        ("period", json!(60)),
        ("token_period", json!(60)),
        ("secret_id_bound_cidrs", json!(["127.0.0.1/32"])),
    ] {
        assert_eq!(read[name], value, "{name}");
    }
    let taken = root.call("POST", "auth/approle/role/web/role-id", Some(&json!({"role_id": "my-role"})));
    assert_eq!(taken.expect(400).errors(), ["role_id already in use"]);
    assert_eq!(root.call("LIST", "auth/approle/role", None).expect(200).json()["data"]["keys"], json!(["other", "web"]));
    for (body, text) in [
        (json!({"bind_secret_id": false}), "at least one constraint should be enabled on the role"),
        (json!({"token_ttl": 100, "token_max_ttl": 10}), "'token_ttl' cannot be greater than 'token_max_ttl'"),
        (json!({"token_policies": "root"}), "auth methods cannot create root tokens"),
        (json!({"secret_id_num_uses": -1}), "secret_id_num_uses cannot be negative"),
        (json!({"local_secret_ids": true}), "local_secret_ids can only be modified during role creation"),
        (json!({"secret_id_bound_cidrs": "x"}), "failed to validate CIDR blocks: invalid CIDR address: x"),
    ] {
        assert_eq!(root.call("POST", "auth/approle/role/web", Some(&body)).expect(400).errors(), [text], "{body}");
    }
    root.call("DELETE", "auth/approle/role/web", None).expect(204);
    root.call("DELETE", "auth/approle/role/web", None).expect(204);
    root.call("GET", "auth/approle/role/web", None).expect(404);
}

fn every_setting_of_a_role_has_a_path_of_its_own(server: &mut Server) {
    let root = stage(server);
    role(&root, "r", &json!({}));
    for (path, body, reset) in [
        ("policies", json!({"token_policies": ["x", "y"]}), json!({"token_policies": []})),
        ("bind-secret-id", json!({"bind_secret_id": true}), json!({"bind_secret_id": true})),
        ("secret-id-bound-cidrs", json!({"secret_id_bound_cidrs": ["10.0.0.0/8"]}), json!({"secret_id_bound_cidrs": null})),
        ("bound-cidr-list", json!({"bound_cidr_list": ["10.0.0.0/8"]}), json!({"bound_cidr_list": null})),
        ("token-bound-cidrs", json!({"token_bound_cidrs": ["10.0.0.0/8"]}), json!({"token_bound_cidrs": []})),
        ("secret-id-num-uses", json!({"secret_id_num_uses": 7}), json!({"secret_id_num_uses": 0})),
        ("secret-id-ttl", json!({"secret_id_ttl": 70}), json!({"secret_id_ttl": 0})),
        ("token-num-uses", json!({"token_num_uses": 8}), json!({"token_num_uses": 0})),
        ("token-ttl", json!({"token_ttl": 80}), json!({"token_ttl": 0})),
        ("token-max-ttl", json!({"token_max_ttl": 90}), json!({"token_max_ttl": 0})),
        ("period", json!({"token_period": 95}), json!({"token_period": 0})),
    ] {
        let path = format!("auth/approle/role/r/{path}");
        root.call("POST", &path, Some(&body)).expect(204);
        assert_eq!(root.call("GET", &path, None).expect(200).json()["data"], body, "{path}");
        assert!(root.call("POST", &path, Some(&json!({}))).expect(400).errors()[0].starts_with("missing "), "{path}");
        root.call("DELETE", &path, None).expect(204);
        assert_eq!(root.call("GET", &path, None).expect(200).json()["data"], reset, "{path}");
        let elsewhere = path.replace("/r/", "/none/");
        root.call("GET", &elsewhere, None).expect(404);
        root.call("POST", &elsewhere, Some(&body)).expect(404);
    }
    root.call("POST", "auth/approle/role/r/token-max-ttl", Some(&json!({"token_max_ttl": 10, "token_ttl": 99}))).expect(400);
    assert_eq!(root.call("GET", "auth/approle/role/r/token-max-ttl", None).expect(200).json()["data"]["token_max_ttl"], 0);
    root.call("GET", "auth/approle/role/r/nothing", None).expect(404);
    root.call("POST", "auth/approle/role/r/local-secret-ids", Some(&json!({"local_secret_ids": true}))).expect(405);
}

fn a_machine_logs_in_with_role_id_and_secret_id(server: &mut Server) {
    let root = stage(server);
    policy(&root, "reader", r#"path "secret/data/*" { capabilities = ["read"] }"#);
    let id = role(&root, "web", &json!({"token_policies": "reader", "token_ttl": "1h"}));
    let secret = secret_id(&root, "web", &json!({"metadata": "{\"team\":\"blue\"}", "ttl": "5m", "num_uses": 2}));
    assert_eq!((&secret["secret_id_ttl"], &secret["secret_id_num_uses"]), (&json!(300), &json!(2)));
    let reply = login(&root, &id, &secret["secret_id"]).expect(200).json();
    let auth = &reply["auth"];
    for (name, value) in [
        ("policies", json!(["default", "reader"])),
        ("token_policies", json!(["default", "reader"])),
        ("metadata", json!({"role_name": "web", "team": "blue"})),
        ("lease_duration", json!(3600)),
        ("renewable", json!(true)),
        ("token_type", json!("service")),
        ("orphan", json!(true)),
        ("num_uses", json!(0)),
    ] {
        assert_eq!(auth[name], value, "{name}");
    }
    let machine = root.with_token(auth["client_token"].as_str().unwrap());
    let own = machine.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"].clone();
    assert_eq!((&own["display_name"], &own["path"]), (&json!("approle"), &json!("auth/approle/login")));
    assert_eq!(own["entity_id"], auth["entity_id"]);
    machine.call("GET", "secret/data/none", None).expect(404);
    let again = login(&root, &id, &secret["secret_id"]).expect(200).json();
    assert_eq!(again["auth"]["entity_id"], auth["entity_id"], "one machine is one entity");
    assert_eq!(login(&root, &id, &secret["secret_id"]).expect(400).errors(), [FAILED], "two uses were two");

    let batch = role(&root, "batch", &json!({"token_type": "batch"}));
    let secret = secret_id(&root, "batch", &json!({}));
    let auth = login(&root, &batch, &secret["secret_id"]).expect(200).json()["auth"].clone();
    assert_eq!((&auth["token_type"], &auth["accessor"], &auth["renewable"]), (&json!("batch"), &json!(""), &json!(false)));
}

fn a_secret_id_is_used_as_often_as_it_may_be(server: &mut Server) {
    let root = stage(server);
    let id = role(&root, "web", &json!({"secret_id_num_uses": 5}));
    for round in 0..2 {
        let secret = secret_id(&root, "web", &json!({}));
        let body = json!({"role_id": id, "secret_id": secret["secret_id"]}).to_string();
        let clients = vec![root.without_token(); 64];
        let replies = at_once(&clients, |_, session| session.send("POST", "/v1/auth/approle/login", &[], body.as_bytes()));
        // Those who come too late are strangers: 429 when there are too many of them.
        let refused = count(&replies, 400) + count(&replies, 429);
        assert_eq!((count(&replies, 200), refused), (5, 59), "round {round}");
        let lookup = json!({"secret_id": secret["secret_id"]});
        root.call("POST", "auth/approle/role/web/secret-id/lookup", Some(&lookup)).expect(204);
        std::thread::sleep(std::time::Duration::from_millis(1_100));
    }
}

fn failed_logins_with_a_role_look_alike(server: &mut Server) {
    let root = stage(server);
    let id = role(&root, "web", &json!({}));
    let elsewhere = role(&root, "far", &json!({"secret_id_bound_cidrs": "10.0.0.0/8"}));
    let bound = role(&root, "bound", &json!({"token_bound_cidrs": "10.0.0.0/8"}));
    let open = role(&root, "open", &json!({"bind_secret_id": false, "secret_id_bound_cidrs": "10.0.0.0/8"}));
    let right = secret_id(&root, "web", &json!({}))["secret_id"].clone();
    let far = secret_id(&root, "far", &json!({}))["secret_id"].clone();
    let from_there = secret_id(&root, "web", &json!({"cidr_list": "10.0.0.0/8", "num_uses": 1}));
    let of_bound = secret_id(&root, "bound", &json!({}))["secret_id"].clone();
    let gone = secret_id(&root, "web", &json!({}));
    let body = json!({"secret_id": gone["secret_id"]});
    root.call("POST", "auth/approle/role/web/secret-id/destroy", Some(&body)).expect(204);
    for (what, role_id, secret) in [
        ("an unknown role", "nobody", &right),
        ("a wrong secret id", &id, &json!("wrong")),
        ("no secret id", &id, &json!("")),
        ("a secret id of another role", &id, &far),
        ("a secret id that was destroyed", &id, &gone["secret_id"]),
        ("a role bound to other addresses", &elsewhere, &far),
        ("a role whose tokens are bound to other addresses", &bound, &of_bound),
        ("a secret id bound to other addresses", &id, &from_there["secret_id"]),
        ("a role without secret ids from elsewhere", &open, &json!("")),
        ("an accessor in place of the secret id", &id, &gone["secret_id_accessor"]),
    ] {
        let reply = login(&root, role_id, secret);
        assert_eq!((reply.status, reply.errors()), (400, vec![FAILED.to_owned()]), "{what}");
    }
    let body = json!({"secret_id": from_there["secret_id"]});
    let left = root.call("POST", "auth/approle/role/web/secret-id/lookup", Some(&body)).expect(200).json();
    assert_eq!(left["data"]["secret_id_num_uses"], 1, "a login that fails uses nothing up");
    assert_eq!(login(&root, "", &right).expect(400).errors(), ["missing role_id"]);
    // Neither is there anything to see where no such method is.
    let stranger = root.without_token();
    for path in ["auth/none/login", "auth/approle/none", "auth/approle/role/web"] {
        assert_eq!(stranger.call("POST", path, Some(&json!({"role_id": id}))).expect(403).errors(), ["permission denied"]);
    }
}

fn secret_ids_end_with_their_role_and_their_mount(server: &mut Server) {
    let root = stage(server);
    let id = role(&root, "web", &json!({"role_id": "fixed"}));
    let secret = secret_id(&root, "web", &json!({}));
    let accessors = root.call("LIST", "auth/approle/role/web/secret-id", None).expect(200).json();
    assert_eq!(accessors["data"]["keys"], json!([secret["secret_id_accessor"]]));
    root.call("DELETE", "auth/approle/role/web", None).expect(204);
    role(&root, "web", &json!({"role_id": "fixed"}));
    assert_eq!(login(&root, &id, &secret["secret_id"]).expect(400).errors(), [FAILED], "it was given out for another role");
    root.call("LIST", "auth/approle/role/web/secret-id", None).expect(404);
    root.call("POST", "auth/approle/tidy/secret-id", None).expect(202);

    let secret = secret_id(&root, "web", &json!({}));
    let auth = login(&root, &id, &secret["secret_id"]).expect(200).json()["auth"].clone();
    let machine = root.with_token(auth["client_token"].as_str().unwrap());
    machine.call("GET", "auth/token/lookup-self", None).expect(200);
    root.call("DELETE", "sys/auth/approle", None).expect(204);
    machine.call("GET", "auth/token/lookup-self", None).expect(403);
    root.call("POST", "sys/auth/approle", Some(&json!({"type": "approle"}))).expect(204);
    assert_eq!(login(&root, &id, &secret["secret_id"]).expect(400).errors(), [FAILED]);
    root.call("LIST", "auth/approle/role", None).expect(404);
}

fn a_secret_id_promises_no_more_than_its_role(server: &mut Server) {
    let root = stage(server);
    role(&root, "web", &json!({"secret_id_ttl": "10m", "secret_id_num_uses": 5, "secret_id_bound_cidrs": "10.0.0.0/8"}));
    for (body, text) in [
        (json!({"ttl": "1h"}), "ttl cannot be longer than the role's secret_id_ttl"),
        (json!({"ttl": 0}), "ttl cannot be longer than the role's secret_id_ttl"),
        (json!({"num_uses": 9}), "num_uses cannot be higher than the role's secret_id_num_uses"),
        (json!({"num_uses": 0}), "num_uses cannot be higher than the role's secret_id_num_uses"),
        (json!({"cidr_list": "11.0.0.0/8"}), "failed to verify subset relationship"),
        (json!({"cidr_list": "10.0.0.0/7"}), "failed to verify subset relationship"),
        (json!({"cidr_list": "x"}), "failed to validate CIDR blocks: invalid CIDR address: x"),
        (json!({"metadata": "{\"a\": [1]}"}), "failed to parse metadata"),
        (json!({"metadata": "nonsense"}), "failed to parse metadata"),
    ] {
        let refused = root.call("POST", "auth/approle/role/web/secret-id", Some(&body)).expect(400);
        assert!(refused.errors()[0].starts_with(text), "{body}: {:?}", refused.errors());
    }
    let made = secret_id(&root, "web", &json!({"cidr_list": "10.1.0.0/16", "metadata": {"a": "b"}}));
    let accessor = json!({"secret_id_accessor": made["secret_id_accessor"]});
    let shown = root.call("POST", "auth/approle/role/web/secret-id-accessor/lookup", Some(&accessor)).expect(200).json();
    let data = &shown["data"];
    assert_eq!((&data["cidr_list"], &data["metadata"]), (&json!(["10.1.0.0/16"]), &json!({"a": "b"})));
    assert_eq!((&data["token_bound_cidrs"], &data["secret_id_ttl"]), (&json!([]), &json!(600)));
    assert!(!shown.to_string().contains(made["secret_id"].as_str().unwrap()), "its text is not kept");
    let custom = json!({"secret_id": "chosen"});
    let made = root.call("POST", "auth/approle/role/web/custom-secret-id", Some(&custom)).expect(200).json();
    assert_eq!(made["data"]["secret_id"], "chosen");
    root.call("POST", "auth/approle/role/web/custom-secret-id", Some(&custom)).expect(400);
    root.call("POST", "auth/approle/role/web/custom-secret-id", Some(&json!({}))).expect(400);
    assert_eq!(
        root.call("POST", "auth/approle/role/none/secret-id", Some(&json!({}))).expect(404).errors(),
        ["role \"none\" does not exist"]
    );
    let unknown = json!({"secret_id_accessor": "nope"});
    root.call("POST", "auth/approle/role/web/secret-id-accessor/lookup", Some(&unknown)).expect(404);
    root.call("POST", "auth/approle/role/web/secret-id-accessor/destroy", Some(&unknown)).expect(400);
    root.call("POST", "auth/approle/role/web/secret-id-accessor/destroy", Some(&accessor)).expect(204);
    root.call("POST", "auth/approle/role/web/secret-id-accessor/lookup", Some(&accessor)).expect(404);
}

fn a_secret_id_comes_wrapped(server: &mut Server) {
    let root = stage(server);
    let id = role(&root, "web", &json!({}));
    let mut session = root.session().unwrap();
    let wrapped = session.send("POST", "/v1/auth/approle/role/web/secret-id", &[("X-Vault-Wrap-TTL", "60")], b"{}").unwrap();
    let wrapping = wrapped.expect(200).json()["wrap_info"]["token"].as_str().unwrap().to_owned();
    let opener = root.with_token(&wrapping);
    let secret = opener.call("POST", "sys/wrapping/unwrap", None).expect(200).json()["data"]["secret_id"].clone();
    login(&root, &id, &secret).expect(200);
    opener.call("POST", "sys/wrapping/unwrap", None).expect(400);
    // The answer of a login can be put away, too.
    let body = json!({"role_id": id, "secret_id": secret}).to_string();
    let mut session = root.without_token().session().unwrap();
    let wrapped = session.send("POST", "/v1/auth/approle/login", &[("X-Vault-Wrap-TTL", "60")], body.as_bytes()).unwrap();
    let wrapped = wrapped.expect(200).json();
    assert_eq!(wrapped["auth"], Value::Null);
    let opener = root.with_token(wrapped["wrap_info"]["token"].as_str().unwrap());
    assert!(opener.call("POST", "sys/wrapping/unwrap", None).expect(200).json()["auth"]["client_token"].is_string());
}

fn a_token_of_a_role_is_renewed_as_long_as_the_role_is_there(server: &mut Server) {
    let root = stage(server);
    let id = role(&root, "web", &json!({"token_ttl": "1h"}));
    let secret = secret_id(&root, "web", &json!({}));
    let auth = login(&root, &id, &secret["secret_id"]).expect(200).json()["auth"].clone();
    let machine = root.with_token(auth["client_token"].as_str().unwrap());
    root.call("POST", "auth/approle/role/web", Some(&json!({"token_ttl": "2h"}))).expect(204);
    let renewed = machine.call("POST", "auth/token/renew-self", Some(&json!({}))).expect(200).json();
    assert_eq!(renewed["auth"]["lease_duration"], 7200, "the role as it is now");
    root.call("POST", "auth/approle/role/web", Some(&json!({"token_ttl": "20m", "token_max_ttl": "30m"}))).expect(204);
    let renewed = machine.call("POST", "auth/token/renew-self", Some(&json!({"increment": "5h"}))).expect(200).json();
    assert!(renewed["auth"]["lease_duration"].as_u64().unwrap() <= 1800, "{renewed}");
    root.call("DELETE", "auth/approle/role/web", None).expect(204);
    let refused = machine.call("POST", "auth/token/renew-self", Some(&json!({}))).expect(400);
    assert_eq!(refused.errors(), ["role \"web\" does not exist during renewal"]);
    machine.call("GET", "auth/token/lookup-self", None).expect(200);
}

fn a_login_in_a_namespace_stays_in_it(server: &mut Server) {
    let root = stage(server);
    let acme = namespace(&root, "acme");
    acme.call("POST", "sys/auth/approle", Some(&json!({"type": "approle"}))).expect(204);
    let id = role(&acme, "web", &json!({}));
    let secret = secret_id(&acme, "web", &json!({}))["secret_id"].clone();
    let auth = login(&acme, &id, &secret).expect(200).json()["auth"].clone();
    let machine = acme.with_token(auth["client_token"].as_str().unwrap());
    machine.call("GET", "auth/token/lookup-self", None).expect(200);
    assert_eq!(login(&root, &id, &secret).expect(400).errors(), [FAILED], "the root knows no such role");
    let elsewhere = root.in_namespace("none");
    assert_eq!(login(&elsewhere, &id, &secret).expect(403).errors(), ["permission denied"]);
    // Who manages one role cannot touch another.
    policy(&acme, "web-admin", r#"path "auth/approle/role/web/secret-id" { capabilities = ["update"] }"#);
    let admin = acme.with_token(&token(&acme, &json!({"policies": ["web-admin"]})).text);
    admin.call("POST", "auth/approle/role/web/secret-id", Some(&json!({}))).expect(200);
    admin.call("POST", "auth/approle/role/other/secret-id", Some(&json!({}))).expect(403);
    admin.call("GET", "auth/approle/role/web/role-id", None).expect(403);
    // Its keys are opened for a stranger, too, who may be about to show who they are.
    server.kill();
    server.come_back();
    let acme = Client::new(&server.target()).in_namespace("acme");
    login(&acme, &id, &secret).expect(200);
}
