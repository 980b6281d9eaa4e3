//! Methods and enforcements, as clients write and read them.

use serde_json::json;

use super::Stage;
use crate::support::fixture::namespace;
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    methods_and_enforcements_are_written_and_read_as_clients_know_them,
}

fn methods_and_enforcements_are_written_and_read_as_clients_know_them(server: &mut Server) {
    let Stage { root, method } = &Stage::new(server);
    let path = format!("identity/mfa/method/totp/{method}");
    let shown = json!({"algorithm": "SHA1", "digits": 6, "id": method, "issuer": "Acme", "key_size": 20,
        "max_validation_attempts": 5, "name": "totp", "namespace_id": "root", "namespace_path": "", "period": 3600,
        "qr_size": 0, "skew": 1, "type": "totp"});
    for path in [&path, &format!("identity/mfa/method/{method}")] {
        assert_eq!(root.call("GET", path, None).expect(200).json()["data"], shown);
    }
    for path in ["identity/mfa/method/totp", "identity/mfa/method"] {
        let listed = root.call("LIST", path, None).expect(200).json()["data"].clone();
        assert_eq!(listed, json!({"keys": [method], "key_info": {method: shown}}));
    }
    // Another write under the name changes that method; what is not given is the default, also in a change.
    let again = json!({"issuer": "Acme", "method_name": "totp", "period": 60, "digits": 8, "qr_size": 200});
    let made = root.call("POST", "identity/mfa/method/totp", Some(&again)).expect(200).json();
    assert_eq!(made["data"]["method_id"], json!(method));
    assert_eq!(made["warnings"], json!(["no barcode is made: show the url as a QR code with any tool"]));
    root.call("POST", &path, Some(&json!({"issuer": "Other", "algorithm": "SHA512"}))).expect(204);
    let read = root.call("GET", &path, None).expect(200).json()["data"].clone();
    assert_eq!((&read["digits"], &read["algorithm"], &read["name"]), (&json!(6), &json!("SHA512"), &json!("totp")));
    for (body, text) in [
        (json!({}), "issuer must be set"),
        (json!({"issuer": "A", "digits": 7}), "digits can only be 6 or 8"),
        (json!({"issuer": "A", "skew": 2}), "skew must be 0 or 1"),
        (json!({"issuer": "A", "algorithm": "MD5"}), "unrecognized algorithm"),
    ] {
        assert_eq!(root.call("POST", "identity/mfa/method/totp", Some(&body)).expect(400).errors(), [text]);
    }
    root.call("GET", "identity/mfa/method/totp/nope", None).expect(404);
    let unknown = "identity/mfa/method/totp/344683af-bc0b-4de6-8146-dada98ee5476";
    root.call("GET", unknown, None).expect(404);
    root.call("POST", unknown, Some(&json!({"issuer": "A"}))).expect(404);
    root.call("DELETE", unknown, None).expect(204);

    let at = "identity/mfa/login-enforcement/people";
    for (body, text) in [
        (json!({}), "missing method ids"),
        (json!({"mfa_method_ids": ["nope"], "auth_method_types": ["userpass"]}), "one of the provided method ids doesn't exist"),
        (
            json!({"mfa_method_ids": [method]}),
            "One of auth_method_accessors, auth_method_types, identity_group_ids, identity_entity_ids must be specified",
        ),
        (json!({"mfa_method_ids": [method], "auth_method_types": ["token"]}), "one of the auth method types provided is invalid"),
        (
            json!({"mfa_method_ids": [method], "auth_method_accessors": ["nope"]}),
            "one of the auth method accessors provided is invalid",
        ),
        (json!({"mfa_method_ids": [method], "identity_group_ids": ["nope"]}), "one of the provided group ids doesn't exist"),
        (json!({"mfa_method_ids": [method], "identity_entity_ids": ["nope"]}), "one of the provided entity ids doesn't exist"),
    ] {
        assert_eq!(root.call("POST", at, Some(&body)).expect(400).errors(), [text]);
    }
    root.call("GET", at, None).expect(404);
    root.call("LIST", "identity/mfa/login-enforcement", None).expect(404);
    let body = json!({"mfa_method_ids": [method], "auth_method_types": ["userpass"]});
    for name in ["-x", "x-", "a%20b"] {
        root.call("POST", &format!("identity/mfa/login-enforcement/{name}"), Some(&body)).expect(404);
    }
    root.call("POST", at, Some(&body)).expect(204);
    let read = root.call("GET", at, None).expect(200).json()["data"].clone();
    let shown = json!({"auth_method_accessors": [], "auth_method_types": ["userpass"], "id": read["id"],
        "identity_entity_ids": [], "identity_group_ids": [], "mfa_method_ids": [method], "name": "people",
        "namespace_id": "root", "namespace_path": ""});
    assert_eq!(read, shown);
    let listed = root.call("LIST", "identity/mfa/login-enforcement", None).expect(200).json()["data"].clone();
    assert_eq!(listed, json!({"keys": ["people"], "key_info": {"people": shown}}));
    let used = root.call("DELETE", &path, None).expect(400).errors();
    assert!(used[0].starts_with("methodID is still used by an enforcement configuration with ID: "), "{used:?}");
    // Another namespace has its own.
    let acme = namespace(root, "acme");
    acme.call("GET", &path, None).expect(404);
    acme.call("GET", at, None).expect(404);
    acme.call("POST", at, Some(&body)).expect(400);
    root.call("DELETE", at, None).expect(204);
    root.call("DELETE", &path, None).expect(204);
    root.call("GET", &path, None).expect(404);
}
