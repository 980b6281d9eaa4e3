//! Roles, revocation lists and settings: as they are written and shown, and what is refused.

use serde_json::{Value, json};

use super::{Stage, role};
use crate::support::certificates::{Authority, BEGIN, FUTURE, Leaf};
use crate::support::fixture::{policy, token};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    roles_are_shown_as_they_were_written,
    bad_roles_and_lists_are_refused_and_change_nothing,
    roles_are_made_by_who_may,
    a_disabled_method_forgets_what_it_kept,
}

fn roles_are_shown_as_they_were_written(server: &mut Server) {
    let stage = Stage::new(server);
    let pem = Authority::new("CA").pem();
    role(&stage.root, "Web", &pem, &json!({"allowed_uri_sans": ["spiffe://acme/*"], "token_ttl": "1h"}));
    let shown = stage.root.call("GET", "auth/cert/certs/web", None).expect(200).json()["data"].clone();
    // As OpenBao shows it, and our own three fields.
    let expected = json!({
        "allowed_common_names": null, "allowed_dns_sans": null, "allowed_email_sans": null,
        "allowed_metadata_extensions": null, "allowed_names": null, "allowed_organizational_units": null,
        "allowed_uri_sans": ["spiffe://acme/*"], "certificate": pem, "display_name": "web", "ocsp_ca_certificates": "",
        "ocsp_enabled": false, "ocsp_fail_open": false, "ocsp_query_all_servers": false, "ocsp_servers_override": null,
        "required_extensions": null, "token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0,
        "token_no_default_policy": false, "token_num_uses": 0, "token_period": 0, "token_policies": ["reader"],
        "token_strictly_bind_ip": false, "token_ttl": 3600, "token_type": "default",
        "require_crl": false, "tokenless": false, "token_bind_certificate": false,
    });
    assert_eq!(shown, expected);
    stage.root.call("POST", "auth/cert/certs/web", Some(&json!({"tokenless": true, "ttl": 60}))).expect(204);
    let shown = stage.root.call("GET", "auth/cert/certs/web", None).expect(200).json()["data"].clone();
    assert_eq!((&shown["tokenless"], &shown["token_ttl"], &shown["ttl"]), (&json!(true), &json!(60), &json!(60)));
    assert_eq!(shown["allowed_uri_sans"], json!(["spiffe://acme/*"]), "what is not named stays");
    let listed = stage.root.call("LIST", "auth/cert/certs", None).expect(200).json();
    assert_eq!(listed["data"]["keys"], json!(["web"]));
    stage.root.call("DELETE", "auth/cert/certs/web", None).expect(204);
    stage.root.call("GET", "auth/cert/certs/web", None).expect(404);
    stage.root.call("LIST", "auth/cert/certs", None).expect(404);
    stage.root.call("DELETE", "auth/cert/certs/web", None).expect(204);
}

fn bad_roles_and_lists_are_refused_and_change_nothing(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    let pem = authority.pem();
    let of_servers = authority.sign(&Leaf { for_servers_only: true, ..Leaf::new() }).pem;
    let long = "x".repeat(513);
    let roles: Vec<(Value, &str)> = vec![
        (json!({}), "failed to parse certificate"),
        (json!({"certificate": "junk"}), "failed to parse certificate"),
        (json!({"certificate": of_servers}), "non-CA certificates should have TLS client authentication"),
        (json!({"certificate": pem.repeat(101)}), "at most 100 certificates"),
        (json!({"certificate": " ".repeat(300_000)}), "at most 262144 bytes"),
        (json!({"certificate": pem, "required_extensions": "nonsense"}), "neither oid:value nor hex:oid:value"),
        (json!({"certificate": pem, "allowed_names": long}), "at most 100 entries of 512 bytes"),
        (json!({"certificate": pem, "allowed_dns_sans": vec!["a"; 101]}), "at most 100 entries"),
        (json!({"certificate": pem, "display_name": long}), "display_name: at most"),
        (json!({"certificate": pem, "tokenless": "perhaps"}), "expected a boolean"),
        (json!({"certificate": pem, "ocsp_enabled": true}), "ocsp_enabled: only false"),
        (json!({"certificate": pem, "token_policies": "root"}), "cannot create root tokens"),
        (json!({"certificate": pem, "token_bound_cidrs": "nowhere"}), "not an address"),
        (json!({"certificate": pem, "token_type": "batch", "token_num_uses": 3}), "'token_type' cannot be 'batch'"),
    ];
    for (body, text) in &roles {
        let reply = stage.root.call("POST", "auth/cert/certs/bad", Some(body)).expect(400);
        assert!(reply.errors()[0].contains(text), "{text}: {:?}", reply.errors());
    }
    stage.root.call("GET", "auth/cert/certs/bad", None).expect(404);

    let crl = authority.crl(&[7, 300], (BEGIN, FUTURE));
    let both = json!({"crl": crl, "url": "https://example.com/crl"});
    for (body, text) in [
        (json!({}), "one of 'crl' or 'url' must be provided"),
        (json!({"crl": "junk"}), "failed to parse CRL"),
        (json!({"crl": pem}), "failed to parse CRL"),
        (json!({"url": "https://example.com/crl"}), "'url' is not offered"),
        (both, "'url' is not offered"),
    ] {
        let reply = stage.root.call("POST", "auth/cert/crls/main", Some(&body)).expect(400);
        assert!(reply.errors()[0].contains(text), "{text}: {:?}", reply.errors());
    }
    for method in ["GET", "DELETE"] {
        let reply = stage.root.call(method, "auth/cert/crls/main", None).expect(400);
        assert_eq!(reply.errors(), ["no such CRL main"]);
    }
    stage.root.call("LIST", "auth/cert/crls", None).expect(404);
    stage.root.call("POST", "auth/cert/crls/main", Some(&json!({"crl": crl}))).expect(204);
    let shown = stage.root.call("GET", "auth/cert/crls/main", None).expect(200).json();
    assert_eq!(shown["data"], json!({"serials": {"7": {}, "300": {}}}));

    for body in [json!({"disable_binding": true}), json!({"denied_fingerprints": ["ab"]}), json!({"denied_fingerprints": [1]})] {
        stage.root.call("POST", "auth/cert/config", Some(&body)).expect(400);
    }
    let shown = stage.root.call("GET", "auth/cert/config", None).expect(200).json();
    assert_eq!(
        shown["data"],
        json!({"denied_fingerprints": [], "disable_binding": false, "enable_identity_alias_metadata": false, "ocsp_cache_size": 0})
    );
}

fn roles_are_made_by_who_may(server: &mut Server) {
    let stage = Stage::new(server);
    policy(&stage.root, "maker", r#"path "auth/cert/certs/web" { capabilities = ["create", "read"] }"#);
    let maker = stage.root.with_token(&token(&stage.root, &json!({"policies": ["maker"]})).text);
    let body = json!({"certificate": Authority::new("CA").pem()});
    maker.call("POST", "auth/cert/certs/dev", Some(&body)).expect(403);
    maker.call("POST", "auth/cert/certs/web", Some(&body)).expect(204);
    maker.call("POST", "auth/cert/certs/web", Some(&body)).expect(403);
    maker.call("GET", "auth/cert/certs/web", None).expect(200);
    for (method, path) in [("LIST", "certs"), ("DELETE", "certs/web"), ("POST", "crls/x"), ("GET", "config"), ("POST", "config")]
    {
        maker.call(method, &format!("auth/cert/{path}"), Some(&json!({}))).expect(403);
    }
}

fn a_disabled_method_forgets_what_it_kept(server: &mut Server) {
    let stage = Stage::new(server);
    let authority = Authority::new("CA");
    role(&stage.root, "web", &authority.pem(), &json!({"tokenless": true}));
    let client = stage.showing(&authority.sign(&Leaf::new()), &[]);
    super::read(&client).expect(200);
    stage.root.call("DELETE", "sys/auth/cert", None).expect(204);
    super::read(&client).expect(403);
    super::login(&client, "web").expect(403);
    super::enable(&stage.root);
    stage.root.call("LIST", "auth/cert/certs", None).expect(404);
    super::read(&client).expect(403);
}
