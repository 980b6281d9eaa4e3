//! Users with passwords over HTTP: what is answered, what is counted, and what a stranger does not learn.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, namespace, policy, ready};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_user_is_written_and_read_as_clients_know_it,
    a_user_logs_in_with_name_and_password,
    a_name_in_other_letter_case_is_the_same_user,
    failed_logins_with_a_password_look_alike,
    a_lock_out_tells_nothing_about_which_users_there_are,
    guesses_from_many_places_at_once_are_all_counted,
    a_lock_out_outlives_the_server,
    hashes_of_passwords_are_imported,
    a_token_of_a_user_is_renewed_as_long_as_the_user_is_the_same,
    when_a_name_is_locked_is_tuned,
    a_changed_password_counts_with_the_next_login,
}

const FAILED: &str = "invalid username or password";

fn stage(server: &Server) -> Client {
    let root = ready(server);
    root.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    root
}

fn user(root: &Client, name: &str, body: &Value) {
    root.call("POST", &format!("auth/userpass/users/{name}"), Some(body)).expect(204);
}

/// Tries to log in, again if there were too many strangers in this second.
fn login(client: &Client, name: &str, password: &str) -> Reply {
    loop {
        let path = format!("auth/userpass/login/{name}");
        let reply = client.without_token().call("POST", &path, Some(&json!({"password": password})));
        if reply.status != 429 {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[track_caller]
fn fails(client: &Client, name: &str, password: &str) {
    let reply = login(client, name, password);
    assert_eq!((reply.status, reply.errors()), (400, vec![FAILED.to_owned()]), "{name}");
}

fn locked(root: &Client) -> Value {
    root.call("GET", "sys/locked-users", None).expect(200).json()["data"].clone()
}

fn a_user_is_written_and_read_as_clients_know_it(server: &mut Server) {
    let root = stage(server);
    for (body, text) in [
        (json!({}), "must provide either password or password_hash"),
        (json!({"password": ""}), "must provide either password or password_hash"),
        (json!({"password": "a", "password_hash": "b"}), "only one of password or password_hash may be provided"),
        (
            json!({"password_hash": "b"}),
            "password_hash is not a valid bcrypt or argon2 hash, or one that costs too much to check",
        ),
        (json!({"password": "x".repeat(1025)}), "password: at most 1024 bytes"),
        (
            json!({"password": "x", "token_type": "batch", "token_num_uses": 1}),
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count",
        ),
    ] {
        assert_eq!(root.call("POST", "auth/userpass/users/bob", Some(&body)).expect(400).errors(), [text]);
    }
    root.call("GET", "auth/userpass/users/bob", None).expect(404);
    user(&root, "Bob", &json!({"password": "pw", "policies": "x", "ttl": 5, "max_ttl": 10, "token_bound_cidrs": "127.0.0.1"}));
    assert_eq!(
        root.call("GET", "auth/userpass/users/bob", None).expect(200).json()["data"],
        json!({"max_ttl": 10, "policies": ["x"], "token_bound_cidrs": ["127.0.0.1"], "token_explicit_max_ttl": 0,
            "token_max_ttl": 10, "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0,
            "token_policies": ["x"], "token_strictly_bind_ip": false, "token_ttl": 5, "token_type": "default", "ttl": 5})
    );
    assert_eq!(root.call("LIST", "auth/userpass/users", None).expect(200).json()["data"]["keys"], json!(["bob"]));
    root.call("POST", "auth/userpass/users/bob/policies", Some(&json!({"token_policies": "y"}))).expect(204);
    let read = root.call("GET", "auth/userpass/users/bob", None).expect(200).json();
    assert_eq!((&read["data"]["token_policies"], &read["data"]["policies"]), (&json!(["y"]), &Value::Null));
    for path in ["none/password", "none/policies"] {
        let body = json!({"password": "x", "token_policies": "y"});
        let reply = root.call("POST", &format!("auth/userpass/users/{path}"), Some(&body)).expect(400);
        assert_eq!(reply.errors(), ["username does not exist"]);
    }
    for name in ["a%20b", "a@b", "-a", "b%C3%B6b"] {
        root.call("POST", &format!("auth/userpass/users/{name}"), Some(&json!({"password": "x"}))).expect(404);
    }
    root.call("DELETE", "auth/userpass/users/BOB", None).expect(204);
    root.call("DELETE", "auth/userpass/users/bob", None).expect(204);
    fails(&root, "bob", "pw");
}

fn a_user_logs_in_with_name_and_password(server: &mut Server) {
    let root = stage(server);
    policy(&root, "reader", r#"path "secret/data/*" { capabilities = ["read"] }"#);
    user(&root, "eve", &json!({"password": "pw", "token_policies": "reader", "token_ttl": "1h"}));
    let before = root.call("GET", "auth/userpass/users/eve", None).expect(200).json();
    assert_eq!(before["data"]["last_login_time"], Value::Null);
    let auth = login(&root, "eve", "pw").expect(200).json()["auth"].clone();
    for (name, value) in [
        ("policies", json!(["default", "reader"])),
        ("metadata", json!({"username": "eve"})),
        ("lease_duration", json!(3600)),
        ("renewable", json!(true)),
        ("token_type", json!("service")),
        ("orphan", json!(true)),
    ] {
        assert_eq!(auth[name], value, "{name}");
    }
    let eve = root.with_token(auth["client_token"].as_str().unwrap());
    let own = eve.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"].clone();
    assert_eq!((&own["display_name"], &own["path"]), (&json!("userpass-eve"), &json!("auth/userpass/login/eve")));
    eve.call("GET", "secret/data/none", None).expect(404);
    let after = root.call("GET", "auth/userpass/users/eve", None).expect(200).json();
    assert_eq!(after["data"]["last_login_address"], "127.0.0.1");
    assert!(after["data"]["last_login_time"].is_string());
    login(&root, "eve", "pw").expect(200);
    let entity = root.call("GET", &format!("identity/entity/id/{}", auth["entity_id"].as_str().unwrap()), None).expect(200);
    let alias = entity.json()["data"]["aliases"][0].clone();
    assert_eq!((&alias["name"], &alias["mount_path"]), (&json!("eve"), &json!("auth/userpass/")));
    // A user in a namespace is another one.
    let acme = namespace(&root, "acme");
    acme.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    user(&acme, "eve", &json!({"password": "other"}));
    fails(&acme, "eve", "pw");
    login(&acme, "eve", "other").expect(200);
}

fn a_name_in_other_letter_case_is_the_same_user(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw"}));
    let entity = |name: &str| login(&root, name, "pw").expect(200).json()["auth"]["entity_id"].clone();
    assert_eq!(entity("eve"), entity("EVE"));
    // Each failure counts against the one user, however the name is written.
    for name in ["eve", "Eve", "EVE", "eVe", "evE"] {
        fails(&root, name, "wrong");
    }
    fails(&root, "eve", "pw");
    assert_eq!(locked(&root)["by_namespace"][0]["mount_accessors"][0]["alias_identifiers"], json!(["eve"]));
}

fn failed_logins_with_a_password_look_alike(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw"}));
    user(&root, "far", &json!({"password": "pw", "token_bound_cidrs": "10.0.0.0/8"}));
    user(&root, "locked", &json!({"password": "pw"}));
    user(&root, "off", &json!({"password": "pw"}));
    let auth = login(&root, "off", "pw").expect(200).json()["auth"].clone();
    let entity = format!("identity/entity/id/{}", auth["entity_id"].as_str().unwrap());
    root.call("POST", &entity, Some(&json!({"disabled": true}))).expect(204);
    for _ in 0..5 {
        fails(&root, "locked", "wrong");
    }
    for (name, password) in
        [("nobody", "pw"), ("eve", "wrong"), ("eve", " pw"), ("far", "pw"), ("far", "wrong"), ("locked", "pw"), ("off", "pw")]
    {
        fails(&root, name, password);
    }
    let stranger = root.without_token();
    let missing = |name: &str| stranger.call("POST", &format!("auth/userpass/login/{name}"), Some(&json!({}))).expect(400);
    assert_eq!(missing("eve").errors(), missing("nobody").errors());
    assert_eq!(
        stranger.call("POST", "auth/none/login/eve", Some(&json!({"password": "pw"}))).expect(403).errors(),
        ["permission denied"]
    );
    // And take their time, all of them: nothing of it is over before a password has been hashed.
    let took = |name: &str| {
        let start = Instant::now();
        fails(&root, name, "wrong");
        start.elapsed()
    };
    let fastest = |name: &str| (0..4).map(|_| took(name)).min().unwrap();
    let times = ["nobody", "locked", "far"].map(fastest);
    let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    assert!(*most < *least * 3, "{times:?}");
}

fn a_lock_out_tells_nothing_about_which_users_there_are(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw"}));
    for name in ["eve", "nobody"] {
        for _ in 0..4 {
            fails(&root, name, "wrong");
        }
        assert_eq!(locked(&root)["total"], i32::from(name != "eve"), "{name}");
        fails(&root, name, "wrong");
    }
    fails(&root, "eve", "pw");
    let seen = locked(&root);
    assert_eq!((&seen["total"], &seen["by_namespace"][0]["counts"]), (&json!(2), &json!(2)));
    let mount = seen["by_namespace"][0]["mount_accessors"][0].clone();
    assert_eq!(mount["alias_identifiers"], json!(["eve", "nobody"]));
    let accessor = mount["mount_accessor"].as_str().unwrap();
    assert!(accessor.starts_with("auth_userpass_"));
    assert_eq!(root.call("GET", "sys/locked-users?mount_accessor=none", None).expect(200).json()["data"]["total"], 0);
    root.call("POST", &format!("sys/locked-users/{accessor}/unlock/Eve"), None).expect(204);
    root.call("POST", "sys/locked-users/none/unlock/nobody", None).expect(204);
    assert_eq!(locked(&root)["total"], 1);
    login(&root, "eve", "pw").expect(200);
    // A login in between begins the count anew.
    for _ in 0..2 {
        for _ in 0..4 {
            fails(&root, "eve", "wrong");
        }
        login(&root, "eve", "pw").expect(200);
    }
}

fn guesses_from_many_places_at_once_are_all_counted(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw-7"}));
    let clients = vec![root.without_token(); 24];
    // The right guess comes last, together with more wrong ones than are let through.
    let replies = at_once(&clients, |at, session| {
        if at == 7 {
            std::thread::sleep(Duration::from_millis(1_500));
        }
        session.send("POST", "/v1/auth/userpass/login/eve", &[], format!("{{\"password\":\"pw-{at}\"}}").as_bytes())
    });
    assert!(
        replies.iter().all(|reply| matches!(reply.status, 400 | 429)),
        "{:?}",
        replies.iter().map(|r| r.status).collect::<Vec<_>>()
    );
    assert_eq!(locked(&root)["total"], 1);
}

fn a_lock_out_outlives_the_server(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw"}));
    for _ in 0..5 {
        fails(&root, "eve", "wrong");
    }
    server.kill();
    server.come_back();
    let root = Client::new(&server.target());
    fails(&root, "eve", "pw");
    assert_eq!(locked(&root)["total"], 1);
}

fn hashes_of_passwords_are_imported(server: &mut Server) {
    let root = stage(server);
    // Of "U*U" and "password": made by others.
    let bcrypt = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
    let argon2 = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    user(&root, "one", &json!({"password_hash": bcrypt}));
    user(&root, "two", &json!({"password_hash": argon2}));
    for _ in 0..2 {
        login(&root, "one", "U*U").expect(200);
        login(&root, "two", "password").expect(200);
        fails(&root, "one", "password");
        fails(&root, "one", bcrypt);
        fails(&root, "two", argon2);
    }
    root.call("POST", "auth/userpass/users/two/password", Some(&json!({"password_hash": bcrypt}))).expect(204);
    login(&root, "two", "U*U").expect(200);
    let read = root.call("GET", "auth/userpass/users/one", None).expect(200).json().to_string();
    assert!(!read.contains("$2b$") && !read.contains("argon2"), "{read}");
}

fn a_token_of_a_user_is_renewed_as_long_as_the_user_is_the_same(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw", "token_policies": "x", "token_ttl": "1h"}));
    let auth = login(&root, "eve", "pw").expect(200).json()["auth"].clone();
    let eve = root.with_token(auth["client_token"].as_str().unwrap());
    let renew = || eve.call("POST", "auth/token/renew-self", Some(&json!({})));
    user(&root, "eve", &json!({"token_ttl": "2h"}));
    assert_eq!(renew().expect(200).json()["auth"]["lease_duration"], 7200);
    user(&root, "eve", &json!({"token_policies": "y"}));
    assert_eq!(renew().expect(400).errors(), ["policies have changed, not renewing"]);
    user(&root, "eve", &json!({"token_policies": "X,default"}));
    renew().expect(200);
    root.call("DELETE", "auth/userpass/users/eve", None).expect(204);
    assert_eq!(renew().expect(400).errors(), ["the user does not exist any more, not renewing"]);
}

fn when_a_name_is_locked_is_tuned(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "pw"}));
    let tune = |body: Value| root.call("POST", "sys/auth/userpass/tune", Some(&json!({"user_lockout_config": body})));
    tune(json!({"lockout_threshold": "2", "lockout_duration": "2s"})).expect(204);
    let read = root.call("GET", "sys/auth/userpass/tune", None).expect(200).json()["data"].clone();
    for (name, value) in [
        ("user_lockout_threshold", json!(2)),
        ("user_lockout_duration", json!(2)),
        ("user_lockout_counter_reset_duration", json!(0)),
        ("user_lockout_disable", json!(false)),
    ] {
        assert_eq!(read[name], value, "{name}");
    }
    let whole = root.call("GET", "sys/auth/userpass", None).expect(200).json();
    assert_eq!(whole["data"]["config"]["user_lockout_config"]["user_lockout_threshold"], 2);
    fails(&root, "eve", "wrong");
    fails(&root, "eve", "wrong");
    fails(&root, "eve", "pw");
    std::thread::sleep(Duration::from_secs(2));
    login(&root, "eve", "pw").expect(200);
    tune(json!({"lockout_disable": true})).expect(204);
    for _ in 0..4 {
        fails(&root, "eve", "wrong");
    }
    login(&root, "eve", "pw").expect(200);
    tune(json!({"lockout_threshold": "x"})).expect(400);
    tune(json!({"lockout_threshold": -1})).expect(400);
    let other = root.call("POST", "sys/auth/token/tune", Some(&json!({"user_lockout_config": {"lockout_threshold": 3}})));
    assert_eq!(other.expect(400).errors(), ["tuning of user lockout configuration for auth type \"token\" not allowed"]);
}

fn a_changed_password_counts_with_the_next_login(server: &mut Server) {
    let root = stage(server);
    user(&root, "eve", &json!({"password": "old"}));
    login(&root, "eve", "old").expect(200);
    root.call("POST", "auth/userpass/users/eve/password", Some(&json!({"password": "new"}))).expect(204);
    fails(&root, "eve", "old");
    login(&root, "eve", "new").expect(200);
    // Many at once while it changes: whoever gets in has sent a password that was right at some moment.
    let clients = vec![root.clone(); 12];
    let replies = at_once(&clients, |at, session| match at {
        0 => session.send("POST", "/v1/auth/userpass/users/eve/password", &[], br#"{"password":"newer"}"#),
        _ => session.send("POST", "/v1/auth/userpass/login/eve", &[], br#"{"password":"newer"}"#),
    });
    replies.into_iter().next().unwrap().expect(204);
    root.call("POST", &format!("sys/locked-users/{}/unlock/eve", accessor(&root)), None).expect(204);
    fails(&root, "eve", "new");
    login(&root, "eve", "newer").expect(200);
}

fn accessor(root: &Client) -> String {
    let mount = root.call("GET", "sys/auth/userpass", None).expect(200).json();
    mount["data"]["accessor"].as_str().unwrap().to_owned()
}
