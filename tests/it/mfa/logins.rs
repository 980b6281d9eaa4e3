//! Logins that need a second factor.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Authenticator, Stage, enrol, method, patient};
use crate::support::certificates::{Authority, Leaf};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_login_under_an_enforcement_waits_for_its_second_factor,
    every_way_to_name_a_login_counts,
    a_login_that_waits_is_not_let_in_by_what_has_changed,
    a_login_that_waits_is_ended_with_the_certificate_that_it_began_with,
}

const UNKNOWN: &str = "invalid request ID";

fn a_login_under_an_enforcement_waits_for_its_second_factor(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, entity) = stage.enrolled("eve");
    stage.user("bob");
    stage.login("eve").expect(200);
    let read = |name: &str| stage.root.call("GET", &format!("auth/userpass/users/{name}"), None).expect(200).json();
    let before = read("eve")["data"]["last_login_time"].clone();
    stage.enforce();
    // Two steps.
    let reply = stage.login("eve").expect(200).json();
    let request = reply["auth"]["mfa_requirement"]["mfa_request_id"].as_str().unwrap().to_owned();
    assert_eq!(
        reply["auth"],
        json!({"client_token": "", "accessor": "", "policies": null, "metadata": null, "lease_duration": 0,
            "renewable": false, "entity_id": "", "token_type": "default", "orphan": false, "num_uses": 0,
            "mfa_requirement": {"mfa_request_id": request, "mfa_constraints": {"people": {"any": [
                {"type": "totp", "id": stage.method, "uses_passcode": true, "name": "totp"}]}}}})
    );
    assert!(reply["warnings"][0].as_str().unwrap().starts_with("A login request was issued that is subject to MFA"));
    assert_eq!(read("eve")["data"]["last_login_time"], before, "nobody has logged in yet");
    for (body, text) in [(json!({}), "missing request ID"), (json!({"mfa_request_id": "nope", "mfa_payload": {}}), UNKNOWN)] {
        let reply = patient(|| stage.root.without_token().call("POST", "sys/mfa/validate", Some(&body)));
        assert_eq!(reply.expect(400).errors(), [text]);
    }
    for payload in [json!({}), json!({&stage.method: []}), json!({"nope": [eve.code(0)]}), json!({&stage.method: [eve.wrong()]})]
    {
        let reply = stage.validate_all(&request, &payload).expect(403);
        assert_eq!(reply.errors(), [stage.refusal()], "{payload}");
    }
    let auth = stage.validate(&request, &eve.code(0)).expect(200).json()["auth"].clone();
    assert_eq!((&auth["entity_id"], &auth["metadata"]), (&json!(entity), &json!({"username": "eve"})));
    let token = stage.root.with_token(auth["client_token"].as_str().unwrap());
    let own = token.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"].clone();
    assert_eq!(own["display_name"], "userpass-eve");
    assert_eq!(own["mfa"].as_array().unwrap().len(), 1);
    assert_eq!(own["mfa"][0]["method_id"], json!(stage.method));
    let after = read("eve")["data"].clone();
    assert_ne!(after["last_login_time"], before);
    assert_eq!(after["last_login_address"], "127.0.0.1");
    // It is ended once.
    assert_eq!(stage.validate(&request, &eve.code(1)).expect(400).errors(), [UNKNOWN]);
    // One step, by the method's name or id.
    let eve = again(&stage, &entity);
    stage.holding(stage.login_with("eve", &format!("totp:{}", eve.code(0))));
    stage.holding(stage.login_with("eve", &format!("{}:{}", stage.method, eve.code(1))));
    let eve = again(&stage, &entity);
    for header in [format!("totp:{}", eve.wrong()), "totp".to_owned(), format!("other:{}", eve.code(0))] {
        assert_eq!(stage.login_with("eve", &header).expect(403).errors(), ["permission denied"], "{header}");
    }
    stage.login_with("eve", "totp:").expect(400);
    // Who has not enrolled is answered like somebody with a wrong code.
    let request = stage.waiting("bob");
    assert_eq!(stage.validate(&request, "123456").expect(403).errors(), [stage.refusal()]);
    // A wrong password is a wrong password.
    let wrong = json!({"password": "other"});
    patient(|| stage.root.without_token().call("POST", "auth/userpass/login/eve", Some(&wrong))).expect(400);
}

/// Two more codes.
fn again(stage: &Stage, entity: &str) -> Authenticator {
    let body = json!({"method_id": stage.method, "entity_id": entity});
    stage.root.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&body)).expect(204);
    stage.enrol(entity)
}

fn every_way_to_name_a_login_counts(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, entity) = stage.enrolled("eve");
    stage.user("bob");
    let accessor = stage.root.call("GET", "sys/auth", None).expect(200).json()["data"]["userpass/"]["accessor"].clone();
    let group = |name: &str, body: &Value| {
        let made = stage.root.call("POST", &format!("identity/group/name/{name}"), Some(body)).expect(200).json();
        made["data"]["id"].as_str().unwrap().to_owned()
    };
    let inner = group("inner", &json!({"member_entity_ids": [entity]}));
    let outer = group("outer", &json!({"member_group_ids": [inner]}));
    for (scope, bob_too) in [
        (json!({"auth_method_accessors": [accessor]}), true),
        (json!({"auth_method_types": ["approle", "userpass"]}), true),
        (json!({"identity_group_ids": [inner]}), false),
        (json!({"identity_group_ids": [outer]}), false),
        (json!({"identity_entity_ids": [entity]}), false),
    ] {
        let mut body = scope.clone();
        body["mfa_method_ids"] = json!([stage.method]);
        stage.enforcement("people", &body);
        stage.waiting("eve");
        let bob = stage.login("bob").expect(200).json()["auth"]["client_token"].clone();
        assert_eq!(bob == "", bob_too, "{scope}");
    }
    // What is said about an entity that was merged holds for the one that it became.
    let other = stage.root.call("POST", "identity/entity", Some(&json!({"name": "other"}))).expect(200).json();
    let merge = json!({"from_entity_ids": [entity], "to_entity_id": other["data"]["id"]});
    stage.root.call("POST", "identity/entity/merge", Some(&merge)).expect(204);
    let request = stage.waiting("eve");
    stage.validate(&request, &eve.code(0)).expect(403);
    // Of two enforcements, both count; one factor may meet both.
    let entity = other["data"]["id"].as_str().unwrap();
    let eve = stage.enrol(entity);
    let second = method(&stage.root, "second");
    let app = enrol(&stage.root, &second, entity);
    stage.enforcement("people", &json!({"mfa_method_ids": [stage.method], "auth_method_types": ["userpass"]}));
    stage.enforcement("strict", &json!({"mfa_method_ids": [second, stage.method], "identity_entity_ids": [entity]}));
    let request = stage.waiting("eve");
    stage.validate_all(&request, &json!({&second: [app.code(0)]})).expect(403);
    stage.holding(stage.validate_all(&request, &json!({&stage.method: [eve.code(0)]})));
    stage.enforcement("strict", &json!({"mfa_method_ids": [second], "identity_entity_ids": [entity]}));
    let request = stage.waiting("eve");
    let payload = json!({"totp": [eve.code(1)], "second": [app.code(1)]});
    let token = stage.holding(stage.validate_all(&request, &payload));
    let own = token.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"].clone();
    assert_eq!(own["mfa"].as_array().unwrap().len(), 2);
}

fn a_login_that_waits_is_not_let_in_by_what_has_changed(server: &mut Server) {
    let stage = Stage::new(server);
    stage.enforce();
    let root = &stage.root;
    let waiting = |name: &str| {
        let (app, entity) = stage.enrolled(name);
        (stage.waiting(name), app, entity)
    };
    let refused = |(request, app, _): &(String, Authenticator, String)| {
        assert_eq!(stage.validate(request, &app.code(0)).expect(400).errors(), [UNKNOWN]);
    };
    let gone = waiting("gone");
    root.call("DELETE", "auth/userpass/users/gone", None).expect(204);
    refused(&gone);
    let other = waiting("other");
    root.call("POST", "auth/userpass/users/other/policies", Some(&json!({"token_policies": "more"}))).expect(204);
    refused(&other);
    let disabled = waiting("disabled");
    root.call("POST", &format!("identity/entity/id/{}", disabled.2), Some(&json!({"disabled": true}))).expect(204);
    refused(&disabled);
    // Another enforcement, made meanwhile.
    let strict = waiting("strict");
    let second = method(root, "second");
    stage.enforcement("strict", &json!({"mfa_method_ids": [second], "identity_entity_ids": [strict.2]}));
    let reply = stage.validate(&strict.0, &strict.1.code(0)).expect(403);
    assert!(reply.errors()[0].starts_with("failed to satisfy enforcement strict."), "{:?}", reply.errors());
    // A method that is gone.
    let unmounted = waiting("unmounted");
    root.call("DELETE", "sys/auth/userpass", None).expect(204);
    std::thread::sleep(Duration::from_millis(10));
    refused(&unmounted);
}

fn a_login_that_waits_is_ended_with_the_certificate_that_it_began_with(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, entity) = stage.enrolled("eve");
    stage.enforce();
    let authority = Authority::new("CA");
    let folder = tempfile::tempdir().unwrap();
    let showing = |name: &str| {
        let signed = authority.sign(&Leaf { common_name: Some(name), ..Leaf::new() });
        let [chain, key] = [("chain", &signed.pem), ("key", &signed.key)].map(|(what, text)| {
            let file = folder.path().join(format!("{name}-{what}.pem"));
            std::fs::write(&file, text).unwrap();
            file
        });
        stage.root.without_token().with_certificate(&server.target().ca.unwrap(), &chain, &key)
    };
    let [own, other] = ["own", "other"].map(showing);
    let request = patient(|| super::login(&own, "eve")).expect(200).json();
    let request = request["auth"]["mfa_requirement"]["mfa_request_id"].clone();
    let body = json!({"mfa_request_id": request, "mfa_payload": {"totp": [eve.code(0)]}});
    for elsewhere in [&other, &stage.root.without_token()] {
        let reply = patient(|| elsewhere.call("POST", "sys/mfa/validate", Some(&body)));
        assert_eq!(reply.expect(400).errors(), [UNKNOWN]);
    }
    patient(|| own.call("POST", "sys/mfa/validate", Some(&body))).expect(200);
    // The certificate is kept with the login, for user and alias.
    let user = stage.root.call("GET", "auth/userpass/users/eve", None).expect(200).json()["data"].clone();
    let certificate = user["last_login_certificate"].as_str().unwrap();
    assert!(certificate.len() == 64, "{certificate}");
    let shown = stage.root.call("GET", &format!("identity/entity/id/{entity}"), None).expect(200).json();
    let alias = shown["data"]["aliases"][0]["id"].as_str().unwrap();
    let alias = stage.root.call("GET", &format!("identity/entity-alias/id/{alias}"), None).expect(200).json()["data"].clone();
    for name in ["last_login_certificate", "last_login_address", "last_login_time"] {
        assert_eq!(alias[name], user[name], "{name}");
    }
    // A user of the same name, made anew, has not logged in.
    stage.root.call("DELETE", "auth/userpass/users/eve", None).expect(204);
    stage.root.call("POST", "auth/userpass/users/eve", Some(&json!({"password": "pw"}))).expect(204);
    let user = stage.root.call("GET", "auth/userpass/users/eve", None).expect(200).json()["data"].clone();
    assert_eq!(user["last_login_time"], Value::Null);
}
