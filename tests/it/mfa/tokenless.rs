//! A client certificate in place of a token is no way around a second factor.

use serde_json::json;

use super::{Stage, patient};
use crate::support::certificates::{Authority, Leaf};
use crate::support::fixture::{policy, put};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_certificate_without_a_token_does_not_go_around_a_second_factor,
}

fn a_certificate_without_a_token_does_not_go_around_a_second_factor(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    let leaf = authority.sign(&Leaf { common_name: Some("web"), ..Leaf::new() });
    let folder = tempfile::tempdir().unwrap();
    let [chain, key] = [("chain", &leaf.pem), ("key", &leaf.key)].map(|(name, text)| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        file
    });
    let web = stage.root.without_token().with_certificate(&server.target().ca.unwrap(), &chain, &key);
    put(&stage.root, "a", &json!({"k": "v"}));
    policy(&stage.root, "reader", r#"path "secret/data/a" { capabilities = ["read"] }"#);
    stage.root.call("POST", "sys/auth/cert", Some(&json!({"type": "cert"}))).expect(204);
    let role = json!({"certificate": authority.pem(), "token_policies": "reader", "tokenless": true});
    stage.root.call("POST", "auth/cert/certs/web", Some(&role)).expect(204);
    let read = || patient(|| web.call("GET", "secret/data/a", None));
    read().expect(200);
    stage.enforcement("machines", &json!({"mfa_method_ids": [stage.method], "auth_method_types": ["cert"]}));
    read().expect(403);
    let auth = patient(|| web.call("POST", "auth/cert/login", None)).expect(200).json()["auth"].clone();
    assert_eq!(auth["client_token"], "");
    stage.root.call("DELETE", "identity/mfa/login-enforcement/machines", None).expect(204);
    read().expect(200);
    // Nor around a policy that wants one.
    policy(
        &stage.root,
        "reader",
        r#"path "secret/data/a" {
          capabilities = ["read"]
          mfa_methods = ["totp"]
          mfa_max_age = "1h"
        }"#,
    );
    let errors = read().expect(403).errors();
    assert!(errors[0].starts_with("permission denied: this needs a second factor"), "{errors:?}");
}
