//! Logins of workloads of a cluster over HTTP: with tokens in the form that clusters issue, verified by configured keys, by the
//! keys that the cluster publishes, or by its discovery document.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{namespace, ready};
use crate::support::issuer::{Issuer, Page};
use crate::support::on_stores;
use crate::support::server::Server;
use crate::support::tokens::{Key, now, unsigned};

on_stores! {
    a_service_account_logs_in_with_its_token,
    a_token_of_a_cluster_is_for_its_accounts_audience_and_time,
    failed_logins_of_workloads_look_alike,
    a_cluster_is_configured_and_shown_as_clients_know_it,
}

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// What a cluster says in the token of a pod, with other claims added or in place of them; `null` removes one.
fn claims(namespace: &str, name: &str, others: &Value) -> Value {
    let mut claims = json!({
        "aud": ["strongroom", ISSUER], "exp": now() + 3_607, "iat": now(), "nbf": now(), "iss": ISSUER,
        "jti": "5cb9a8a8-1f0d-4d2d-9c67-4f9d6c5d9a5e", "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "kubernetes.io": {
            "namespace": namespace, "node": {"name": "worker-1", "uid": "b3a1c3f0-6a5e-4b8e-8f3e-0c6d5f1c7b11"},
            "pod": {"name": format!("{name}-7d4b9"), "uid": "f2c1b1d4-93a5-4f5c-8f0e-1d6f6a7b2c33"},
            "serviceaccount": {"name": name, "uid": format!("uid-of-{name}")}, "warnafter": now() + 3_600,
        },
    });
    for (name, value) in others.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    claims
}

/// A server with a mount `kubernetes/` that trusts the keys, and a role `web` for accounts `web` and `web-*` of `team-a`.
fn stage(server: &Server, keys: &[&Key]) -> Client {
    let root = ready(server);
    mount(&root, keys);
    root
}

fn mount(root: &Client, keys: &[&Key]) {
    root.call("POST", "sys/auth/kubernetes", Some(&json!({"type": "kubernetes"}))).expect(204);
    let keys: Vec<String> = keys.iter().map(|key| key.public_pem()).collect();
    let config = json!({"kubernetes_host": "https://10.0.0.1:6443", "pem_keys": keys, "issuer": ISSUER});
    root.call("POST", "auth/kubernetes/config", Some(&config)).expect(204);
    role(root, "web", &json!({}));
}

fn role(root: &Client, name: &str, more: &Value) {
    let mut body = json!({
        "bound_service_account_names": "web,web-*", "bound_service_account_namespaces": ["team-a"], "audience": "strongroom",
        "token_policies": "x",
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let reply = root.call("POST", &format!("auth/kubernetes/role/{name}"), Some(&body));
    // With a warning where it takes tokens for any audience.
    reply.expect(if body["audience"] == "" { 200 } else { 204 });
}

/// Tries to log in, again if there were too many strangers in this second.
fn login(client: &Client, role: &str, token: &str) -> Reply {
    loop {
        let body = json!({"role": role, "jwt": token});
        let reply = client.without_token().call("POST", "auth/kubernetes/login", Some(&body));
        if reply.status != 429 {
            return reply;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[track_caller]
fn fails(client: &Client, role: &str, token: &str) {
    let reply = login(client, role, token);
    assert_eq!((reply.status, reply.errors()), (403, vec!["permission denied".to_owned()]));
}

fn a_service_account_logs_in_with_its_token(server: &mut Server) {
    let (rsa, ec) = (Key::new("RS256"), Key::new("ES256"));
    let root = stage(server, &[&rsa, &ec]);
    let token = rsa.token("RS256", "3Zq", &claims("team-a", "web", &json!({})));
    let auth = login(&root, "WEB", &token).expect(200).json()["auth"].clone();
    let metadata = json!({
        "role": "web", "service_account_name": "web", "service_account_namespace": "team-a", "service_account_secret_name": "",
        "service_account_uid": "uid-of-web",
    });
    assert_eq!((&auth["metadata"], &auth["token_policies"]), (&metadata, &json!(["default", "x"])));
    let own = root.with_token(auth["client_token"].as_str().unwrap());
    let data = own.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"].clone();
    assert_eq!((&data["display_name"], &data["path"]), (&json!("kubernetes-team-a-web"), &json!("auth/kubernetes/login")));

    let alias = |role: &str, token: &str| {
        let entity = login(&root, role, token).expect(200).json()["auth"]["entity_id"].as_str().unwrap().to_owned();
        let entity = root.call("GET", &format!("identity/entity/id/{entity}"), None).expect(200).json();
        entity["data"]["aliases"][0]["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(alias("web", &ec.token("ES256", "a", &claims("team-a", "web-2", &json!({})))), "uid-of-web-2");
    role(&root, "named", &json!({"alias_name_source": "serviceaccount_name", "bound_service_account_names": "*"}));
    assert_eq!(alias("named", &ec.token("ES256", "a", &claims("team-a", "other", &json!({})))), "team-a/other");

    own.call("POST", "auth/token/renew-self", None).expect(200);
    root.call("DELETE", "auth/kubernetes/role/web", None).expect(204);
    own.call("POST", "auth/token/renew-self", None).expect(400);
    fails(&root, "web", &token);
    root.call("DELETE", "sys/auth/kubernetes", None).expect(204);
    own.call("GET", "auth/token/lookup-self", None).expect(403);
}

fn a_token_of_a_cluster_is_for_its_accounts_audience_and_time(server: &mut Server) {
    let key = Key::new("ES256");
    let root = stage(server, &[&key]);
    let token = |others: Value| key.token("ES256", "a", &claims("team-a", "web", &others));
    for aud in [json!("strongroom"), json!(["strongroom"]), json!(["other", "strongroom"])] {
        login(&root, "web", &token(json!({"aud": aud}))).expect(200);
    }
    for aud in [json!("other"), json!(["other"]), json!([ISSUER]), json!([]), json!(null), json!(1), json!(["strongroom", 1])] {
        fails(&root, "web", &token(json!({"aud": aud})));
    }
    for others in [
        json!({"exp": now() - 100}),
        json!({"exp": null}),
        json!({"nbf": now() + 100}),
        json!({"iat": now() + 100}),
        json!({"exp": "never"}),
        json!({"iss": "https://other.test"}),
        json!({"iss": "kubernetes/serviceaccount"}),
        json!({"iss": null}),
        json!({"sub": "system:serviceaccount:team-b:web"}),
        json!({"sub": "web"}),
        json!({"sub": null}),
        json!({"kubernetes.io": null}),
        json!({"kubernetes.io": {"namespace": "team-a"}}),
        json!({"kubernetes.io": {"namespace": "team-a", "serviceaccount": {"name": "web", "uid": ""}}}),
    ] {
        fails(&root, "web", &token(others));
    }
    for (namespace, name) in
        [("team-b", "web"), ("team-a", "db"), ("team-a-2", "web"), ("team-a", "aweb"), ("default", "default")]
    {
        fails(&root, "web", &key.token("ES256", "a", &claims(namespace, name, &json!({}))));
    }
    // Tokens that are kept in a Secret have no end, and name their account in another form.
    let older = json!({
        "iss": ISSUER, "sub": "system:serviceaccount:team-a:web", "kubernetes.io/serviceaccount/namespace": "team-a",
        "kubernetes.io/serviceaccount/service-account.name": "web", "kubernetes.io/serviceaccount/secret.name": "web-token-x",
        "kubernetes.io/serviceaccount/service-account.uid": "uid-of-web",
    });
    role(&root, "any", &json!({"audience": "", "bound_service_account_names": "*", "bound_service_account_namespaces": "*"}));
    fails(&root, "any", &key.token("ES256", "a", &older));
    let with_end = |mut claims: Value| {
        claims["exp"] = json!(now() + 60);
        claims
    };
    fails(&root, "any", &key.token("ES256", "a", &with_end(older)));
    login(&root, "any", &key.token("ES256", "a", &claims("team-b", "db", &json!({"aud": "other"})))).expect(200);
}

fn failed_logins_of_workloads_look_alike(server: &mut Server) {
    let (key, stranger) = (Key::new("RS256"), Key::new("RS256"));
    let root = stage(server, &[&key]);
    role(&root, "elsewhere", &json!({"token_bound_cidrs": "10.0.0.0/8"}));
    let of = claims("team-a", "web", &json!({}));
    let good = key.token("RS256", "a", &of);
    for name in ["nobody", "elsewhere", "no/name", "..", &"x".repeat(300)] {
        fails(&root, name, &good);
    }
    for algorithm in ["PS256", "EdDSA"] {
        let signer = if algorithm == "PS256" { &key } else { &Key::new("EdDSA") };
        fails(&root, "web", &signer.token(algorithm, "a", &of));
    }
    fails(&root, "web", &stranger.token("RS256", "a", &of));
    fails(&root, "web", &stranger.token_with(&json!({"alg": "RS256", "jwk": stranger.jwk("a"), "kid": "a"}), &of));
    fails(&root, "web", &format!("{}.", unsigned(&json!({"alg": "none"}), &of)));
    let text = unsigned(&json!({"alg": "HS256", "typ": "JWT"}), &of);
    let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.public_pem().as_bytes()), text.as_bytes());
    fails(&root, "web", &format!("{text}.{}", BASE64URL_NOPAD.encode(mac.as_ref())));
    let large = key.token("RS256", "a", &claims("team-a", "web", &json!({"x": "y".repeat(740 << 10)})));
    for token in ["x", "..", "e30.e30.e30", &large] {
        fails(&root, "web", token);
    }
    let errors = |body: Value| root.without_token().call("POST", "auth/kubernetes/login", Some(&body)).expect(400).errors();
    assert_eq!(errors(json!({"jwt": good})), ["missing role"]);
    assert_eq!(errors(json!({"role": "nobody"})), ["missing jwt"]);
    let other = namespace(&root, "acme");
    mount(&other, &[&stranger]);
    fails(&other, "web", &good);
    root.call("POST", "sys/auth/empty", Some(&json!({"type": "kubernetes"}))).expect(204);
    let body = json!({"role": "web", "jwt": good});
    assert_eq!(root.without_token().call("POST", "auth/empty/login", Some(&body)).expect(403).errors(), ["permission denied"]);
    login(&root, "web", &good).expect(200);
}

fn a_cluster_is_configured_and_shown_as_clients_know_it(server: &mut Server) {
    let key = Key::new("ES256");
    let root = stage(server, &[&key]);
    let refused = |path: &str, body: Value, part: &str| {
        let errors = root.call("POST", &format!("auth/kubernetes/{path}"), Some(&body)).expect(400).errors();
        assert!(errors.len() == 1 && errors[0].contains(part), "{errors:?}");
    };
    let (host, pem) = ("https://10.0.0.1:6443", key.public_pem());
    refused("config", json!({"kubernetes_host": host}), "'pem_keys', 'jwks_url' or 'oidc_discovery_url' must be set");
    refused("config", json!({"pem_keys": pem, "jwks_url": "https://a.org/"}), "exactly one of");
    refused("config", json!({"pem_keys": pem, "token_reviewer_jwt": "x"}), "TokenReview is not called; set 'pem_keys'");
    refused("config", json!({"pem_keys": pem, "kubernetes_ca_cert": "x"}), "error checking kubernetes_ca_cert");
    refused("config", json!({"pem_keys": pem, "disable_iss_validation": false}), "'issuer' must be set");
    refused("config", json!({"pem_keys": "x"}), "data does not contain any valid public keys");
    refused("config", json!({"jwks_url": "https://a.org/k"}), "outbound_allow");
    let read = root.call("GET", "auth/kubernetes/config", None).expect(200).json()["data"].clone();
    assert_eq!(
        (&read["kubernetes_host"], &read["pem_keys"], &read["issuer"]),
        (&json!(host), &json!([pem.trim()]), &json!(ISSUER))
    );
    let flags = ["disable_iss_validation", "token_reviewer_jwt_set", "disable_local_ca_jwt"];
    assert!(flags.iter().all(|flag| read[flag] == json!(false)), "{read}");

    refused("role/a", json!({"bound_service_account_namespaces": "x"}), "\"bound_service_account_names\" can not be empty");
    refused("role/a", json!({"bound_service_account_names": "x"}), "\"bound_service_account_namespaces\" can not be empty");
    let both = |more: Value| {
        let mut body = json!({"bound_service_account_names": "x", "bound_service_account_namespaces": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    refused("role/a", both(json!({"bound_service_account_names": "x,*"})), "can not mix \"*\" with values");
    refused("role/a", both(json!({"alias_name_source": "pod"})), "invalid alias_name_source");
    refused("role/a", both(json!({"bound_service_account_namespace_selector": "{}"})), "the cluster is not asked for labels");
    refused("role/a", both(json!({"bound_service_account_names": vec!["x"; 101]})), "at most 100 items");
    root.call("GET", "auth/kubernetes/role/a", None).expect(404);
    let warned = root.call("POST", "auth/kubernetes/role/a", Some(&both(json!({})))).expect(200).json();
    assert!(warned["warnings"][0].as_str().unwrap().starts_with("the role has no audience"), "{warned}");
    let more = both(json!({"audience": "strongroom", "ttl": "1h"}));
    root.call("POST", "auth/kubernetes/role/A", Some(&more)).expect(204);
    let role = root.call("GET", "auth/kubernetes/role/a", None).expect(200).json()["data"].clone();
    for (name, value) in [
        ("alias_name_source", json!("serviceaccount_uid")),
        ("audience", json!("strongroom")),
        ("bound_service_account_names", json!(["x"])),
        ("bound_service_account_namespace_selector", json!("")),
        ("bound_service_account_namespaces", json!(["x"])),
        ("token_ttl", json!(3_600)),
        ("ttl", json!(3_600)),
    ] {
        assert_eq!(role[name], value, "{name}");
    }
    let listed = root.call("LIST", "auth/kubernetes/role", None).expect(200).json();
    assert_eq!(listed["data"]["keys"], json!(["a", "web"]));
}

#[test]
fn keys_of_a_cluster_are_fetched_from_its_api() {
    let cluster = Issuer::start();
    let server = Server::that_may_call(&[format!("localhost:{}", cluster.port)]);
    let root = ready(&server);
    let (key, other) = (Key::new("RS256"), Key::new("RS256"));
    mount(&root, &[&other]);
    let issuer = cluster.url("");
    let configure = |body: Value| root.call("POST", "auth/kubernetes/config", Some(&body));
    let token = |key: &Key, issuer: &str| key.token("RS256", "now", &claims("team-a", "web", &json!({"iss": issuer})));
    cluster.page("/openid/v1/jwks", Page::Text(json!({"keys": [key.jwk("now")]}).to_string()));
    let document = json!({"issuer": issuer, "jwks_uri": cluster.url("/openid/v1/jwks")});
    cluster.page("/.well-known/openid-configuration", Page::Text(document.to_string()));

    // The cluster's authorities hold for URLs of its API.
    let jwks = json!({"kubernetes_host": issuer, "kubernetes_ca_cert": cluster.ca, "jwks_url": cluster.url("/openid/v1/jwks")});
    configure(jwks).expect(204);
    login(&root, "web", &token(&key, "https://any.test")).expect(200);
    fails(&root, "web", &token(&other, "https://any.test"));
    let discovery = json!({"kubernetes_host": issuer, "kubernetes_ca_cert": cluster.ca, "oidc_discovery_url": issuer});
    configure(discovery).expect(204);
    login(&root, "web", &token(&key, &issuer)).expect(200);
    fails(&root, "web", &token(&key, "https://any.test"));
    fails(&root, "web", &token(&other, &issuer));
    let elsewhere =
        json!({"kubernetes_host": "https://10.0.0.1", "kubernetes_ca_cert": cluster.ca, "oidc_discovery_url": issuer});
    assert!(configure(elsewhere).expect(400).errors()[0].contains("error checking oidc discovery URL"));
}
