//! The tokens that a certificate gives: how they are renewed, and to whom they are bound.

use serde_json::json;

use super::{Stage, logged_in, read, role};
use crate::support::certificates::{Authority, Leaf};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_token_is_renewed_with_the_certificate_that_it_was_logged_in_with_and_no_other,
    a_bound_token_is_none_without_its_certificate_and_so_are_its_children,
    a_login_gives_what_the_role_says_and_is_revoked_like_any,
}

const OTHER: &str = "client identity during renewal not matching client identity used during login";

fn a_token_is_renewed_with_the_certificate_that_it_was_logged_in_with_and_no_other(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"token_ttl": "10m"}));
    // Everything the same but the serial number.
    let leaf = Leaf { common_name: Some("web"), serial: Some(7), ..Leaf::new() };
    let own = authority.sign(&leaf);
    let other = authority.sign(&Leaf { serial: Some(8), key: Some(&own.key), ..leaf });
    let client = stage.showing(&own, &[]);
    let token = logged_in(&client, "web");
    let renew = |client: &crate::support::client::Client| client.with_token(&token).call("POST", "auth/token/renew-self", None);
    renew(&client).expect(200);
    for (what, client) in [("another certificate", stage.showing(&other, &[])), ("none", stage.root.without_token())] {
        read(&client.with_token(&token)).expect(200);
        assert_eq!(renew(&client).expect(400).errors(), [OTHER], "{what}");
    }
    let by_root = stage.root.call("POST", "auth/token/renew", Some(&json!({"token": token}))).expect(400);
    assert_eq!(by_root.errors(), [OTHER]);
    // Longer policies would be more than was given.
    role(&stage.root, "web", &authority.pem(), &json!({"token_policies": ["reader", "other"]}));
    assert_eq!(renew(&client).expect(400).errors(), ["policies have changed, not renewing"]);
    role(&stage.root, "web", &authority.pem(), &json!({"allowed_common_names": "dev"}));
    assert_eq!(renew(&client).expect(400).errors(), [OTHER]);
    stage.root.call("DELETE", "auth/cert/certs/web", None).expect(204);
    assert_eq!(renew(&client).expect(400).errors(), [OTHER]);
}

fn a_bound_token_is_none_without_its_certificate_and_so_are_its_children(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"token_bind_certificate": true, "token_type": "service"}));
    role(&stage.root, "batch", &authority.pem(), &json!({"token_bind_certificate": true, "token_type": "batch"}));
    let client = stage.showing(&authority.sign(&Leaf::new()), &[]);
    let other = stage.showing(&authority.sign(&Leaf::new()), &[]);
    let token = logged_in(&client, "web");
    let child = client.with_token(&token).call("POST", "auth/token/create", Some(&json!({}))).expect(403);
    assert_eq!(child.errors()[0], "1 error occurred:\n\t* permission denied\n\n", "its policy says nothing of children");
    let rules = ["auth/token/create", "secret/data/app/*"]
        .map(|path| format!("path \"{path}\" {{ capabilities = [\"update\", \"read\"] }}"));
    let rules = rules.join(
        "
",
    );
    crate::support::fixture::policy(&stage.root, "reader", &rules);
    let child = client.with_token(&token).call("POST", "auth/token/create", Some(&json!({}))).expect(200).json();
    let child = child["auth"]["client_token"].as_str().unwrap().to_owned();
    let batch = logged_in(&client, "batch");
    for (what, token) in [("token", token), ("child", child), ("batch", batch)] {
        read(&client.with_token(&token)).expect(200);
        assert_eq!(read(&other.with_token(&token)).status, 403, "{what}");
        assert_eq!(read(&stage.root.with_token(&token)).status, 403, "{what}");
    }
}

fn a_login_gives_what_the_role_says_and_is_revoked_like_any(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"token_num_uses": 2, "token_no_default_policy": true}));
    let client = stage.showing(&authority.sign(&Leaf::new()), &[]);
    let used = client.with_token(&logged_in(&client, "web"));
    read(&used).expect(200);
    read(&used).expect(200);
    read(&used).expect(403);
    let revoked = client.with_token(&logged_in(&client, "web"));
    stage.root.call("POST", "sys/leases/revoke-prefix/auth/cert/login", None).expect(204);
    read(&revoked).expect(403);
    // A wrapped login is given out once.
    let wrapped =
        client.send("POST", "/v1/auth/cert/login", &[("X-Vault-Wrap-TTL", "60")], br#"{"name":"web"}"#).expect(200).json();
    assert!(wrapped["auth"].is_null(), "{wrapped}");
    let opened = client.with_token(wrapped["wrap_info"]["token"].as_str().unwrap()).call("POST", "sys/wrapping/unwrap", None);
    let opened = opened.expect(200).json();
    read(&client.with_token(opened["auth"]["client_token"].as_str().unwrap())).expect(200);
}
