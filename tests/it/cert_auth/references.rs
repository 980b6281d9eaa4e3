//! References that are bound to client certificates.

use serde_json::{Value, json};

use super::{Stage, logged_in, role};
use crate::support::certificates::{Authority, Leaf};
use crate::support::client::{Client, Reply};
use crate::support::fixture::policy;
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_certificate_counts_only_when_a_role_has_verified_it,
}

const WEB: &str = "spiffe://acme/web";

fn bind(root: &Client, consumers: &Value) -> String {
    let made = root.call("POST", "sys/references/bind/secret/data/app/db", Some(consumers)).expect(200).json();
    made["data"]["reference"].as_str().unwrap().to_owned()
}

fn resolve(client: &Client, reference: &str) -> Reply {
    client.call("POST", "sys/references/resolve", Some(&json!({"reference": reference})))
}

fn a_certificate_counts_only_when_a_role_has_verified_it(server: &mut Server) {
    let stage = Stage::new(server);
    let root = &stage.root;
    policy(root, "resolves", r#"path "sys/references/resolve" { capabilities = ["update"] }"#);
    let (authority, stranger) = (Authority::new("CA"), Authority::new("CA"));
    let resolves = json!({"token_policies": ["resolves"], "tokenless": true});
    role(root, "web", &authority.pem(), &resolves);
    let leaf = Leaf { common_name: Some("web"), uris: &[WEB], ..Leaf::new() };
    let own = authority.sign(&leaf);
    let client = stage.showing(&own, &[]);
    let token = logged_in(&client, "web");
    let fingerprint = strongroom::crypto::sha256(&[&own.der]);
    let hex = data_encoding::HEXUPPER.encode(&fingerprint);
    let by_uri = bind(root, &json!({"uri_sans": [WEB]}));
    let by_fingerprint = bind(root, &json!({"certificates": [hex]}));
    let found = root.call("POST", "sys/references/search", Some(&json!({"certificate": hex.to_lowercase()}))).expect(200);
    assert_eq!(found.json()["data"]["keys"].as_array().unwrap().len(), 1);

    // With the token of its login, and without any.
    for client in [&client.with_token(&token), &client] {
        for reference in [&by_uri, &by_fingerprint] {
            assert_eq!(resolve(client, reference).expect(200).json()["data"]["data"], json!({"k": "v"}));
        }
    }
    // The same URI in another certificate of the same authority; its fingerprint is another.
    let second = stage.showing(&authority.sign(&leaf), &[]);
    resolve(&second, &by_uri).expect(200);
    resolve(&second, &by_fingerprint).expect(403);
    // The token without its certificate, or with another; and the same names from an authority that no role trusts.
    let forged = stage.showing(&stranger.sign(&leaf), &[]);
    let bare = root.without_token();
    for client in [&bare.with_token(&token), &second.with_token(&token), &forged.with_token(&token), &forged] {
        resolve(client, &by_uri).expect(403);
        resolve(client, &by_fingerprint).expect(403);
    }
    // A certificate that a login of another method came along with: nobody has verified that.
    root.call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"}))).expect(204);
    let user = json!({"password": "correct horse", "token_policies": ["resolves"]});
    root.call("POST", "auth/userpass/users/eve", Some(&user)).expect(204);
    for eve in [&forged, &client] {
        let login = eve.call("POST", "auth/userpass/login/eve", Some(&json!({"password": "correct horse"}))).expect(200).json();
        let eve = eve.with_token(login["auth"]["client_token"].as_str().unwrap());
        resolve(&eve, &by_uri).expect(403);
        resolve(&eve, &by_fingerprint).expect(403);
    }
    // A role of another namespace verifies for that one only.
    let there = crate::support::fixture::namespace(root, "acme");
    resolve(&client.in_namespace("acme"), &by_uri).expect(403);
    there.call("LIST", "sys/references", None).expect(404);
}
