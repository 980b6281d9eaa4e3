//! Logins with signed tokens over HTTP: what is trusted, what never is, and what a stranger does not learn.

mod browser;
mod fetching;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::client::{Client, Reply};
use crate::support::fixture::{namespace, ready};
use crate::support::on_stores;
use crate::support::server::Server;
use crate::support::tokens::{Key, claims, now, unsigned};

on_stores! {
    a_token_of_the_issuer_logs_in_by_every_algorithm,
    a_token_gives_a_name_groups_and_notes,
    failed_logins_with_a_token_look_alike,
    a_token_does_not_choose_how_it_is_verified,
    an_audience_must_be_one_that_the_role_names,
    a_token_is_for_its_issuer_time_and_claims_only,
    roles_and_settings_are_written_and_read_as_clients_know_them,
    a_token_of_a_role_is_renewed_as_long_as_the_role_is_there,
    a_mount_of_another_tenant_trusts_nobody,
}

const FAILED: &str = "the role or the token is not valid for this login, or the issuer's keys cannot be had";

/// A server with a mount `jwt/` that trusts the keys, and a role `ci` for the audience `strongroom`.
fn stage(server: &Server, keys: &[&Key]) -> Client {
    let root = ready(server);
    mount(&root, keys);
    root
}

pub(crate) fn mount(root: &Client, keys: &[&Key]) {
    root.call("POST", "sys/auth/jwt", Some(&json!({"type": "jwt"}))).expect(204);
    let keys: Vec<String> = keys.iter().map(|key| key.public_pem()).collect();
    let config = json!({"jwt_validation_pubkeys": keys, "bound_issuer": "https://issuer.test"});
    root.call("POST", "auth/jwt/config", Some(&config)).expect(204);
    role(root, "ci", &json!({}));
}

pub(crate) fn role(root: &Client, name: &str, more: &Value) {
    let mut body = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "strongroom", "token_policies": "x"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    root.call("POST", &format!("auth/jwt/role/{name}"), Some(&body)).expect(204);
}

/// Tries to log in, again if there were too many strangers in this second.
pub(crate) fn login(client: &Client, role: &str, token: &str) -> Reply {
    loop {
        let body = json!({"role": role, "jwt": token});
        let reply = client.without_token().call("POST", "auth/jwt/login", Some(&body));
        if reply.status != 429 {
            return reply;
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[track_caller]
pub(super) fn fails(client: &Client, role: &str, token: &str) {
    let reply = login(client, role, token);
    assert_eq!((reply.status, reply.errors()), (400, vec![FAILED.to_owned()]));
}

fn a_token_of_the_issuer_logs_in_by_every_algorithm(server: &mut Server) {
    let rsa = Key::new("RS256");
    let others = ["ES256", "ES384", "ES512", "EdDSA"].map(|name| (name, Key::new(name)));
    let keys: Vec<&Key> = others.iter().map(|(_, key)| key).chain([&rsa]).collect();
    let root = stage(server, &keys);
    let all = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"].map(|name| (name, &rsa));
    for (name, key) in all.into_iter().chain(others.iter().map(|(name, key)| (*name, key))) {
        let token = key.token(name, "any", &claims("eve", &json!({})));
        login(&root, "ci", &token).expect(200);
        let mut forged = token.clone().into_bytes();
        let last = forged.len() - 8;
        forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
        fails(&root, "ci", std::str::from_utf8(&forged).unwrap());
        fails(&root, "ci", &Key::new(name).token(name, "any", &claims("eve", &json!({}))));
    }
    let config = json!({"jwt_validation_pubkeys": rsa.public_pem(), "jwt_supported_algs": "PS256"});
    root.call("POST", "auth/jwt/config", Some(&config)).expect(204);
    login(&root, "ci", &rsa.token("PS256", "any", &claims("eve", &json!({})))).expect(200);
    fails(&root, "ci", &rsa.token("RS256", "any", &claims("eve", &json!({}))));
}

fn a_token_gives_a_name_groups_and_notes(server: &mut Server) {
    let key = Key::new("ES256");
    let root = stage(server, &[&key]);
    let more = json!({
        "user_claim": "/who/mail", "user_claim_json_pointer": true, "groups_claim": "/who/groups",
        "claim_mappings": {"/who/team": "team", "level": "level", "absent": "absent"}, "token_ttl": "1h", "token_type": "service"
    });
    role(&root, "people", &more);
    let accessor = root.call("GET", "sys/auth/jwt", None).expect(200).json()["data"]["accessor"].as_str().unwrap().to_owned();
    let body = json!({"name": "ops", "type": "external", "policies": ["of-ops"]});
    let group = root.call("POST", "identity/group", Some(&body)).expect(200).json()["data"]["id"].clone();
    let alias = json!({"name": "ops", "mount_accessor": accessor, "canonical_id": group});
    root.call("POST", "identity/group-alias", Some(&alias)).expect(200);

    let who = |groups: Value| json!({"who": {"mail": "eve@a.org", "team": "red", "groups": groups}, "level": 3});
    let token = |groups: Value| key.token("ES256", "a", &claims("eve", &who(groups)));
    let auth = login(&root, "People", &token(json!(["ops", "others"]))).expect(200).json()["auth"].clone();
    assert_eq!(auth["metadata"], json!({"role": "people", "team": "red", "level": "3"}));
    assert_eq!((&auth["lease_duration"], &auth["renewable"]), (&json!(3600), &json!(true)));
    assert_eq!(auth["identity_policies"], json!(["of-ops"]));
    let own = root.with_token(auth["client_token"].as_str().unwrap());
    let own = own.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"].clone();
    assert_eq!((&own["display_name"], &own["path"]), (&json!("jwt-eve@a.org"), &json!("auth/jwt/login")));
    let again = login(&root, "people", &token(json!("others"))).expect(200).json()["auth"].clone();
    assert_eq!(again["entity_id"], auth["entity_id"]);
    assert_eq!(again["identity_policies"], json!(null), "who is no longer said to be in the group is not");
    for wrong in [json!(null), json!([1]), json!({"a": 1}), json!(vec!["g"; 1_001])] {
        fails(&root, "people", &token(wrong));
    }
    for wrong in [json!(null), json!(""), json!(1), json!(["eve"]), json!("a\nb"), json!("x".repeat(600))] {
        fails(&root, "people", &key.token("ES256", "a", &claims("eve", &json!({"who": {"mail": wrong, "groups": []}}))));
    }
}

fn failed_logins_with_a_token_look_alike(server: &mut Server) {
    let key = Key::new("ES256");
    let root = stage(server, &[&key]);
    role(&root, "bound", &json!({"token_bound_cidrs": "10.0.0.0/8"}));
    let browser = json!({"user_claim": "sub", "allowed_redirect_uris": "http://localhost:8250/oidc/callback"});
    root.call("POST", "auth/jwt/role/browser", Some(&browser)).expect(204);
    let good = key.token("ES256", "a", &claims("eve", &json!({})));
    for name in ["nobody", "browser", "bound", "", "no/name", "..", &"x".repeat(300)] {
        fails(&root, name, &good);
    }
    let large = key.token("ES256", "a", &claims("eve", &json!({"x": "y".repeat(740 << 10)})));
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let deep = key.token("ES256", "a", &claims("eve", &json!({"x": deep})));
    for token in ["x", "a.b", "a.b.c", "..", "e30.e30.", "e30.e30.e30", "\u{0}", &large, &deep, &"a".repeat(20_000)] {
        fails(&root, "ci", token);
    }
    fails(&root, "ci", &format!("{good}."));
    fails(&root, "ci", &good.replacen('.', "..", 1));
    let errors = |body: &Value| root.without_token().call("POST", "auth/jwt/login", Some(body)).expect(400).errors();
    assert_eq!(errors(&json!({"role": "ci"})), ["missing token"]);
    assert_eq!(errors(&json!({"role": "nobody"})), ["missing token"]);
    root.call("POST", "sys/auth/empty", Some(&json!({"type": "oidc"}))).expect(204);
    let body = json!({"role": "ci", "jwt": good});
    assert_eq!(root.without_token().call("POST", "auth/empty/login", Some(&body)).expect(400).errors(), [FAILED]);
    login(&root, "ci", &good).expect(200);
}

fn a_token_does_not_choose_how_it_is_verified(server: &mut Server) {
    let (key, evil) = (Key::new("RS256"), Key::new("RS256"));
    let root = stage(server, &[&key]);
    let claims = claims("eve", &json!({}));
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let text = unsigned(&json!({"alg": name}), &claims);
        fails(&root, "ci", &format!("{text}."));
        let signed = BASE64URL_NOPAD.encode(&key.sign("RS256", text.as_bytes()));
        fails(&root, "ci", &format!("{text}.{signed}"));
    }
    // The public key is known to everybody: taken for the key of an HMAC it would let everybody in.
    for secret in [key.public_pem().into_bytes(), key.public_pem().trim().as_bytes().to_vec(), Vec::new()] {
        let text = unsigned(&json!({"alg": "HS256", "typ": "JWT"}), &claims);
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), text.as_bytes());
        fails(&root, "ci", &format!("{text}.{}", BASE64URL_NOPAD.encode(mac.as_ref())));
    }
    for header in [
        json!({"alg": "RS256", "jwk": evil.jwk("a"), "kid": "a"}),
        json!({"alg": "RS256", "jku": "http://127.0.0.1:1/keys", "kid": "a"}),
        json!({"alg": "RS256", "x5u": "http://127.0.0.1:1/chain", "kid": "../../keys"}),
    ] {
        fails(&root, "ci", &evil.token_with(&header, &claims));
        login(&root, "ci", &key.token_with(&header, &claims)).expect(200);
    }
    for header in [json!({"alg": "RS256", "crit": ["b64"], "b64": false}), json!({"alg": "RS256", "crit": null})] {
        fails(&root, "ci", &key.token_with(&header, &claims));
    }
    let (header, payload) = (r#"{"alg":"RS256","alg":"RS256"}"#, claims.to_string());
    let text = [header, &payload].map(|part| BASE64URL_NOPAD.encode(part.as_bytes())).join(".");
    fails(&root, "ci", &format!("{text}.{}", BASE64URL_NOPAD.encode(&key.sign("RS256", text.as_bytes()))));
    login(&root, "ci", &key.token("RS256", "a", &claims)).expect(200);
}

fn an_audience_must_be_one_that_the_role_names(server: &mut Server) {
    let key = Key::new("EdDSA");
    let root = stage(server, &[&key]);
    role(&root, "none", &json!({"bound_audiences": [], "bound_subject": "eve"}));
    let token = |aud: Value| key.token("EdDSA", "a", &claims("eve", &json!({"aud": aud})));
    for aud in [json!("strongroom"), json!(["strongroom"]), json!(["other", "strongroom"])] {
        login(&root, "ci", &token(aud.clone())).expect(200);
        fails(&root, "none", &token(aud));
    }
    for aud in
        [json!("other"), json!(["other"]), json!([]), json!(null), json!(1), json!(["strongroom", 1]), json!({"strongroom": 1})]
    {
        fails(&root, "ci", &token(aud));
    }
    for aud in [json!([]), json!(null)] {
        login(&root, "none", &token(aud)).expect(200);
    }
    for aud in [json!("other"), json!(""), json!(1), json!({"a": 1})] {
        fails(&root, "none", &token(aud));
    }
}

fn a_token_is_for_its_issuer_time_and_claims_only(server: &mut Server) {
    let key = Key::new("ES384");
    let root = stage(server, &[&key]);
    role(&root, "bound", &json!({"bound_subject": "eve", "bound_claims": {"env": ["prod", "test"], "/a/b": 1}}));
    role(&root, "glob", &json!({"bound_claims_type": "glob", "bound_claims": {"ref": "refs/heads/*"}}));
    let token = |more: Value| key.token("ES384", "a", &claims("eve", &more));
    for more in [
        json!({"iss": "https://other.test"}),
        json!({"iss": "https://issuer.test/"}),
        json!({"iss": null}),
        json!({"exp": now() - 100}),
        json!({"nbf": now() + 100}),
        json!({"iat": now() + 100}),
        json!({"exp": "never"}),
        json!({"exp": null, "iat": null}),
        json!({"exp": null, "iat": now() - 400}),
    ] {
        fails(&root, "ci", &token(more));
    }
    login(&root, "ci", &token(json!({"exp": now() - 30}))).expect(200);
    login(&root, "bound", &token(json!({"env": "prod", "a": {"b": 1}}))).expect(200);
    for more in [json!({"a": {"b": 1}}), json!({"env": "dev", "a": {"b": 1}}), json!({"env": "prod", "a": {"b": "1"}})] {
        fails(&root, "bound", &token(more));
    }
    fails(&root, "bound", &token(json!({"env": "prod", "a": {"b": 1}, "sub": "Eve"})));
    login(&root, "glob", &token(json!({"ref": "refs/heads/main"}))).expect(200);
    fails(&root, "glob", &token(json!({"ref": "refs/tags/refs/heads/main"})));
}

fn roles_and_settings_are_written_and_read_as_clients_know_them(server: &mut Server) {
    let key = Key::new("ES256");
    let root = stage(server, &[&key]);
    let refused = |path: &str, body: Value, text: &str| {
        assert_eq!(root.call("POST", &format!("auth/jwt/{path}"), Some(&body)).expect(400).errors(), [text]);
    };
    let one = "exactly one of 'jwt_validation_pubkeys', 'jwks_url' or 'oidc_discovery_url' must be set";
    let (pem, bad) = (key.public_pem(), "error parsing public key: data does not contain any valid public keys");
    refused("config", json!({}), one);
    refused("config", json!({"jwt_validation_pubkeys": pem, "jwks_url": "https://a.org/"}), one);
    refused("config", json!({"jwt_validation_pubkeys": "x"}), bad);
    for name in ["HS256", "none"] {
        let text = format!("invalid jwt_supported_algs: unsupported signing algorithm {name:?}");
        refused("config", json!({"jwt_validation_pubkeys": pem, "jwt_supported_algs": [name]}), &text);
    }
    let both = "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC";
    refused("config", json!({"jwt_validation_pubkeys": pem, "oidc_client_id": "x"}), both);
    refused("config", json!({"jwt_validation_pubkeys": pem, "oidc_client_secret": "x"}), both);
    refused("config", json!({"jwks_url": "https://a.org/", "jwks_ca_pem": "x"}), "error checking jwks_ca_pem");
    let outside = "is not an https URL of a host that outbound_allow of the server's configuration names";
    refused("config", json!({"jwks_url": "https://a.org/k"}), &format!("error checking jwks URL: https://a.org/k {outside}"));
    let read = root.call("GET", "auth/jwt/config", None).expect(200).json()["data"].clone();
    assert_eq!((&read["bound_issuer"], &read["jwt_validation_pubkeys"]), (&json!("https://issuer.test"), &json!([pem.trim()])));
    assert_eq!((&read["jwks_url"], &read["oidc_client_id"], read.get("oidc_client_secret")), (&json!(""), &json!(""), None));

    refused("role/a", json!({"role_type": "jwt", "bound_subject": "x"}), "a user claim must be defined on the role");
    let unbound = "must have at least one bound constraint when creating/updating a role";
    refused("role/a", json!({"role_type": "jwt", "user_claim": "sub"}), unbound);
    let uris = "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified.";
    refused("role/a", json!({"user_claim": "sub"}), uris);
    let template = "token_policies_template_claims: only false: policies are names; bind claims, or map groups";
    refused("role/a", json!({"user_claim": "sub", "token_policies_template_claims": true}), template);
    refused("role/a", json!({"role_type": "foo", "user_claim": "sub"}), "invalid 'role_type': foo");
    let twice = json!({"role_type": "jwt", "user_claim": "sub", "bound_subject": "x", "claim_mappings": {"a": "b", "c": "b"}});
    refused("role/a", twice, "multiple keys are mapped to metadata key \"b\"");
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_claims": {"a": ["b", 1, true]}, "clock_skew_leeway": -5});
    root.call("POST", "auth/jwt/role/A", Some(&role)).expect(204);
    let read = root.call("GET", "auth/jwt/role/a", None).expect(200).json()["data"].clone();
    assert_eq!((&read["bound_claims"], &read["clock_skew_leeway"]), (&json!({"a": ["b", 1, true]}), &json!(-5)));
    assert_eq!((&read["bound_audiences"], &read["bound_claims_type"]), (&json!(null), &json!("string")));
    assert_eq!(root.call("LIST", "auth/jwt/role", None).expect(200).json()["data"]["keys"], json!(["a", "ci"]));
    root.call("DELETE", "auth/jwt/role/a", None).expect(204);
    root.call("GET", "auth/jwt/role/a", None).expect(404);

    let token = key.token("ES256", "a", &claims("eve", &json!({})));
    fails(&root, "", &token);
    let config = json!({"jwt_validation_pubkeys": pem, "default_role": "CI"});
    root.call("POST", "auth/jwt/config", Some(&config)).expect(204);
    login(&root, "", &token).expect(200);
}

fn a_token_of_a_role_is_renewed_as_long_as_the_role_is_there(server: &mut Server) {
    let key = Key::new("ES256");
    let root = stage(server, &[&key]);
    let token = key.token("ES256", "a", &claims("eve", &json!({})));
    let auth = login(&root, "ci", &token).expect(200).json()["auth"].clone();
    let own = root.with_token(auth["client_token"].as_str().unwrap());
    own.call("POST", "auth/token/renew-self", None).expect(200);
    root.call("DELETE", "auth/jwt/role/ci", None).expect(204);
    own.call("POST", "auth/token/renew-self", None).expect(400);
    own.call("GET", "auth/token/lookup-self", None).expect(200);
    fails(&root, "ci", &token);
    root.call("DELETE", "sys/auth/jwt", None).expect(204);
    own.call("GET", "auth/token/lookup-self", None).expect(403);
}

fn a_mount_of_another_tenant_trusts_nobody(server: &mut Server) {
    let (key, other) = (Key::new("ES256"), Key::new("ES256"));
    let root = stage(server, &[&key]);
    let acme = namespace(&root, "acme");
    mount(&acme, &[&other]);
    let token = key.token("ES256", "a", &claims("eve", &json!({})));
    fails(&acme, "ci", &token);
    login(&root, "ci", &token).expect(200);
    let auth = login(&acme, "ci", &other.token("ES256", "a", &claims("eve", &json!({})))).expect(200).json()["auth"].clone();
    let theirs = root.with_token(auth["client_token"].as_str().unwrap());
    theirs.call("GET", "auth/token/lookup-self", None).expect(403);
    theirs.in_namespace("acme").call("GET", "auth/token/lookup-self", None).expect(200);
}
