//! Keys that are fetched: from where, how often, and how much.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{fails, login};
use crate::support::client::Client;
use crate::support::fixture::{at_once, ready};
use crate::support::issuer::{Issuer, Page};
use crate::support::server::Server;
use crate::support::tokens::{Key, claims};

/// A server that may call these, with a mount `jwt/`.
fn stage(allow: &[String]) -> (Server, Client) {
    let server = Server::that_may_call(allow);
    let root = ready(&server);
    root.call("POST", "sys/auth/jwt", Some(&json!({"type": "jwt"}))).expect(204);
    (server, root)
}

fn allowed(issuer: &Issuer) -> Vec<String> {
    vec![format!("localhost:{}", issuer.port)]
}

fn set(keys: &[Value]) -> Page {
    Page::Text(json!({"keys": keys}).to_string())
}

fn role(root: &Client) {
    let body = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "strongroom"});
    root.call("POST", "auth/jwt/role/ci", Some(&body)).expect(204);
}

#[track_caller]
fn refused(root: &Client, config: &Value, text: &str) {
    let errors = root.call("POST", "auth/jwt/config", Some(config)).expect(400).errors();
    assert!(errors.len() == 1 && errors[0].contains(text), "{errors:?}");
}

#[test]
fn keys_are_fetched_again_for_an_unknown_key_id_at_a_bounded_rate() {
    let issuer = Issuer::start();
    let (server, root) = stage(&allowed(&issuer));
    role(&root);
    let (old, new) = (Key::new("ES256"), Key::new("RS256"));
    issuer.page("/keys", set(&[old.jwk("old")]));
    let config = json!({"jwks_url": issuer.url("/keys"), "jwks_ca_pem": issuer.ca});
    root.call("POST", "auth/jwt/config", Some(&config)).expect(204);
    let token = |key: &Key, algorithm: &str, id: &str| key.token(algorithm, id, &claims("eve", &json!({})));
    login(&root, "ci", &token(&old, "ES256", "old")).expect(200);
    assert_eq!(issuer.asked("/keys"), 1, "what was fetched for the configuration is kept");

    issuer.page("/keys", set(&[new.jwk("new")]));
    let flood: Vec<Client> = vec![root.without_token(); 40];
    let body = |at: usize| json!({"role": "ci", "jwt": token(&old, "ES256", &format!("made-up-{at}"))}).to_string();
    let replies = at_once(&flood, |at, session| session.send("POST", "/v1/auth/jwt/login", &[], body(at).as_bytes()));
    assert!(replies.iter().all(|reply| matches!(reply.status, 400 | 429)));
    let deadline = Instant::now() + Duration::from_secs(20);
    while login(&root, "ci", &token(&new, "RS256", "new")).status != 200 {
        assert!(Instant::now() < deadline, "{}", server.output());
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(issuer.asked("/keys") <= 2, "asked {} times", issuer.asked("/keys"));
    fails(&root, "ci", &token(&old, "ES256", "old"));
    fails(&root, "ci", &token(&old, "ES256", "new"));
    let asked = issuer.asked("/keys");
    // The issuer is away: what is known is good for a while.
    issuer.page("/keys", Page::Status(500));
    login(&root, "ci", &token(&new, "RS256", "new")).expect(200);
    assert!(asked <= 3);
}

#[test]
fn only_named_hosts_are_called_over_tls_and_no_redirect_is_followed() {
    let (issuer, other) = (Issuer::start(), Issuer::start());
    let (_server, root) = stage(&allowed(&issuer));
    let key = Key::new("ES256");
    for issuer in [&issuer, &other] {
        issuer.page("/keys", set(&[key.jwk("a")]));
    }
    let jwks = |url: &str| json!({"jwks_url": url, "jwks_ca_pem": issuer.ca});
    let outside = "outbound_allow";
    refused(&root, &jwks(&other.url("/keys")), outside);
    refused(&root, &jwks(&issuer.url("/keys").replace("https", "http")), outside);
    refused(&root, &jwks(&issuer.url("/keys").replace("localhost", "127.0.0.1")), outside);
    refused(&root, &jwks("file:///etc/passwd"), outside);
    assert_eq!((issuer.asked("/keys"), other.asked("/keys")), (0, 0));
    for to in [other.url("/keys"), issuer.url("/keys"), "http://169.254.169.254/latest/meta-data".to_owned()] {
        issuer.page("/moved", Page::Redirect(to));
        refused(&root, &jwks(&issuer.url("/moved")), "answered 302");
    }
    assert_eq!((issuer.asked("/keys"), other.asked("/keys")), (0, 0));
    refused(&root, &json!({"jwks_url": issuer.url("/keys"), "jwks_ca_pem": other.ca}), "error checking jwks URL");
    refused(&root, &json!({"jwks_url": issuer.url("/keys")}), "error checking jwks URL");
    root.call("POST", "auth/jwt/config", Some(&jwks(&issuer.url("/keys")))).expect(204);
}

#[test]
fn an_issuer_that_never_ends_or_never_answers_is_given_up() {
    let issuer = Issuer::start();
    let (_server, root) = stage(&allowed(&issuer));
    let jwks = |path: &str| json!({"jwks_url": issuer.url(path), "jwks_ca_pem": issuer.ca});
    issuer.page("/told", Page::Endless(100 << 20, true));
    issuer.page("/untold", Page::Endless(100 << 20, false));
    issuer.page("/silent", Page::Silence);
    issuer.page("/none", Page::Text("[]".to_owned()));
    let begun = Instant::now();
    refused(&root, &jwks("/told"), "the answer is longer than 1048576 bytes");
    refused(&root, &jwks("/untold"), "the answer broke off or is too long");
    refused(&root, &jwks("/none"), "is no set of keys");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let waiting = std::thread::spawn({
        let (root, body) = (root.clone(), jwks("/silent"));
        move || refused(&root, &body, "error checking jwks URL")
    });
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    root.call("GET", "sys/auth", None).expect(200);
    root.call("POST", "secret/data/a", Some(&json!({"data": {"k": "v"}}))).expect(200);
    assert!(begun.elapsed() < Duration::from_secs(2), "others are served meanwhile");
    waiting.join().unwrap();
}

#[test]
fn a_discovery_document_leads_only_where_the_server_may_go() {
    let (issuer, other) = (Issuer::start(), Issuer::start());
    let (_server, root) = stage(&allowed(&issuer));
    role(&root);
    let key = Key::new("ES256");
    for issuer in [&issuer, &other] {
        issuer.page("/keys", set(&[key.jwk("a")]));
    }
    let document = |name: &str, keys: String| {
        issuer.page("/realm/.well-known/openid-configuration", Page::Text(json!({"issuer": name, "jwks_uri": keys}).to_string()));
    };
    let (name, config) =
        (issuer.url("/realm"), json!({"oidc_discovery_url": issuer.url("/realm"), "oidc_discovery_ca_pem": issuer.ca}));
    document(&name, other.url("/keys"));
    refused(&root, &config, "outbound_allow");
    document(&issuer.url("/another"), issuer.url("/keys"));
    refused(&root, &config, "is of another issuer");
    document(&name, issuer.url("/keys"));
    root.call("POST", "auth/jwt/config", Some(&config)).expect(204);
    assert_eq!(other.asked("/keys"), 0);
    login(&root, "ci", &key.token("ES256", "a", &claims("eve", &json!({"iss": name})))).expect(200);
    fails(&root, "ci", &key.token("ES256", "a", &claims("eve", &json!({"iss": other.url("/realm")}))));
    fails(&root, "ci", &key.token("ES256", "a", &claims("eve", &json!({"iss": null}))));
}

#[test]
fn keys_of_several_issuers_are_trusted_and_one_may_be_away() {
    let (one, two, other) = (Issuer::start(), Issuer::start(), Issuer::start());
    let (_server, root) = stage(&[&allowed(&one)[..], &allowed(&two)].concat());
    role(&root);
    let keys = ["a", "b", "c"].map(|id| (id, Key::new("ES256")));
    for (issuer, (id, key)) in [&one, &two, &other].into_iter().zip(&keys) {
        issuer.page("/keys", set(&[key.jwk(id)]));
    }
    let pair = |issuer: &Issuer| json!({"jwks_url": issuer.url("/keys"), "jwks_ca_pem": issuer.ca});
    let pairs = |pairs: &[Value]| json!({"jwks_pairs": pairs});
    refused(&root, &pairs(&[pair(&one), pair(&other)]), "outbound_allow");
    refused(&root, &pairs(&[json!({"jwks_ca_pem": one.ca})]), "a list of objects");
    refused(&root, &pairs(&[json!({"jwks_url": one.url("/keys"), "jwks_ca_pem": "x"})]), "error checking jwks_ca_pem");
    refused(&root, &pairs(&vec![pair(&one); 11]), "at most 10");
    refused(&root, &json!({"jwks_pairs": [pair(&one)], "jwks_url": one.url("/keys")}), "exactly one of");
    two.page("/keys", Page::Status(500));
    refused(&root, &pairs(&[pair(&one), pair(&two)]), "answered 500");
    two.page("/keys", set(&[keys[1].1.jwk("b")]));
    root.call("POST", "auth/jwt/config", Some(&pairs(&[pair(&one), pair(&two)]))).expect(204);
    let read = root.call("GET", "auth/jwt/config", None).expect(200).json();
    assert_eq!((&read["data"]["jwks_pairs"], &read["data"]["jwks_url"]), (&json!([pair(&one), pair(&two)]), &json!("")));
    two.page("/keys", Page::Status(500));
    for (at, (id, key)) in keys.iter().enumerate() {
        let token = key.token("ES256", id, &claims("eve", &json!({})));
        if at < 2 { drop(login(&root, "ci", &token).expect(200)) } else { fails(&root, "ci", &token) }
    }
    fails(&root, "ci", &keys[0].1.token("ES256", "b", &claims("eve", &json!({}))));
}

/// Identity tokens of one server, on another that trusts it by discovery.
#[test]
fn identity_tokens_of_one_server_log_in_on_another() {
    let first = Server::initialised_on_sqlite();
    let target = first.target();
    let owner = ready(&first);
    owner.call("POST", "identity/oidc/key/k", Some(&json!({"allowed_client_ids": "*", "algorithm": "ES256"}))).expect(204);
    owner.call("POST", "identity/oidc/role/r", Some(&json!({"key": "k", "client_id": "strongroom"}))).expect(204);
    let body = json!({"allowed_entity_aliases": ["*"], "allowed_policies": ["p"]});
    owner.call("POST", "auth/token/roles/ci", Some(&body)).expect(204);
    let policy = json!({"policy": "path \"identity/oidc/token/r\" { capabilities = [\"read\"] }"});
    owner.call("POST", "sys/policies/acl/p", Some(&policy)).expect(204);
    let made =
        owner.call("POST", "auth/token/create/ci", Some(&json!({"entity_alias": "eve", "policies": ["p"]}))).expect(200).json();
    let eve = owner.with_token(made["auth"]["client_token"].as_str().unwrap());
    let token = eve.call("GET", "identity/oidc/token/r", None).expect(200).json()["data"]["token"].as_str().unwrap().to_owned();

    let (_second, root) = stage(&[target.authority().to_owned()]);
    role(&root);
    let ca = std::fs::read_to_string(target.ca.unwrap()).unwrap();
    let config = json!({"oidc_discovery_url": format!("{}/v1/identity/oidc", target.url), "oidc_discovery_ca_pem": ca});
    root.call("POST", "auth/jwt/config", Some(&config)).expect(204);
    let auth = login(&root, "ci", &token).expect(200).json()["auth"].clone();
    assert_eq!(auth["metadata"], json!({"role": "ci"}));
}
