//! Making factors and taking them away: a token alone is not enough for it, once its entity has one.

use serde_json::{Value, json};

use super::{Authenticator, Stage, enrol, method};
use crate::support::client::{Client, Reply};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_stolen_token_does_not_become_a_factor,
    a_recovery_code_stands_for_a_passcode_once,
}

fn generate(client: &Client, body: &Value) -> Reply {
    client.call("POST", "identity/mfa/method/totp/generate", Some(body))
}

fn app(reply: Reply) -> Authenticator {
    let data = reply.expect(200).json()["data"].clone();
    assert_eq!(data["barcode"], "");
    Authenticator::new(data["url"].as_str().unwrap())
}

fn codes(client: &Client) -> Vec<String> {
    let made = client.call("POST", "identity/mfa/recovery-codes", None).expect(200).json();
    serde_json::from_value(made["data"]["codes"].clone()).unwrap()
}

fn a_stolen_token_does_not_become_a_factor(server: &mut Server) {
    let stage = Stage::new(server);
    let entity = stage.user("eve");
    let second = method(&stage.root, "second");
    let eve = stage.holding(stage.login("eve"));
    let own = json!({"method_id": stage.method});
    for (body, text) in [
        (json!({}), "missing method ID".to_owned()),
        (json!({"method_id": "nope"}), "configuration for method ID \"nope\" does not exist".to_owned()),
    ] {
        assert_eq!(generate(&eve, &body).expect(400).errors(), [text]);
    }
    assert_eq!(generate(&stage.root, &own).expect(400).errors(), ["missing entityID"]);
    let refused = |reply: Reply| {
        let errors = reply.expect(403).errors();
        assert!(errors[0].starts_with("a second factor is changed only by who has just shown another one"), "{errors:?}");
    };
    // Codes that wait for a factor to come would be the thief's.
    eve.call("POST", "identity/mfa/recovery-codes", None).expect(400);
    // The first factor needs none.
    let first = app(generate(&eve, &own));
    let again = generate(&eve, &own).expect(200).json();
    assert_eq!(
        (&again["warnings"], &again["data"]),
        (&json!(["Entity already has a secret for MFA method \"totp\""]), &Value::Null)
    );
    // Replacing it, adding one, making recovery codes, and taking it away do.
    let forced = json!({"method_id": stage.method, "force": true});
    let another = json!({"method_id": second});
    let destroy = json!({"method_id": stage.method, "entity_id": entity});
    refused(generate(&eve, &forced));
    refused(generate(&eve, &another));
    refused(eve.call("POST", "identity/mfa/recovery-codes", None));
    refused(eve.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&destroy)));
    refused(eve.call(
        "POST",
        "identity/mfa/method/totp/admin-generate",
        Some(&json!({"method_id": second, "entity_id": entity})),
    ));
    stage.step_up(&eve, &first.code(0)).expect(200);
    // The factor itself does not vouch for its own replacement.
    refused(generate(&eve, &forced));
    refused(eve.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&destroy)));
    let other = app(generate(&eve, &another));
    refused(generate(&eve, &forced));
    eve.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": second, "passcode": other.code(0)}))).expect(200);
    let replaced = app(generate(&eve, &forced));
    stage.step_up(&eve, &first.code(1)).expect(403);
    stage.step_up(&eve, &replaced.code(0)).expect(200);
    assert_eq!(codes(&eve).len(), 10);
    eve.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&destroy)).expect(204);
    // Who may do it for others needs none.
    for (body, text) in [
        (json!({"method_id": second}), "missing entity ID"),
        (json!({"method_id": second, "entity_id": "nope"}), "invalid entity ID"),
        (json!({"entity_id": entity}), "missing method ID"),
    ] {
        let reply = stage.root.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&body)).expect(400);
        assert_eq!(reply.errors(), [text]);
    }
    let destroy = json!({"method_id": second, "entity_id": entity});
    stage.root.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&destroy)).expect(204);
    eve.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": second, "passcode": other.code(1)}))).expect(403);
    // With its last factor its recovery codes are gone.
    let left = eve.call("GET", "identity/mfa/recovery-codes", None).expect(200).json()["data"].clone();
    assert_eq!(left, json!({"created": null, "left": 0}));
    // An entity that is made anew has nothing of the old one.
    enrol(&stage.root, &second, &entity);
    stage.root.call("DELETE", &format!("identity/entity/id/{entity}"), None).expect(204);
    eve.call("GET", "auth/token/lookup-self", None).expect(403);
}

fn a_recovery_code_stands_for_a_passcode_once(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, entity) = stage.enrolled("eve");
    let token = stage.holding(stage.login("eve"));
    stage.step_up(&token, &eve.code(0)).expect(200);
    let old = codes(&token);
    let made = codes(&token);
    let left = |token: &Client| token.call("GET", "identity/mfa/recovery-codes", None).expect(200).json()["data"].clone();
    assert!(left(&token)["left"] == 10 && left(&token)["created"].is_string());
    stage.enforce();
    // In two steps, in one, and for a step-up; each once, and as it was shown.
    let request = stage.waiting("eve");
    for code in [&old[0], &made[0].to_uppercase(), &made[0].replace('-', ""), &format!("{} ", made[0])] {
        assert_eq!(stage.validate(&request, code).expect(403).errors(), [stage.refusal()]);
    }
    let token = stage.holding(stage.validate(&request, &made[0]));
    stage.step_up(&token, &made[0]).expect(403);
    stage.holding(stage.login_with("eve", &format!("totp:{}", made[1])));
    stage.login_with("eve", &format!("totp:{}", made[1])).expect(403);
    stage.step_up(&token, &made[2]).expect(200);
    assert_eq!(left(&token)["left"], 7);
    // It stands for a factor that the entity has, and for no other entity's.
    let (bob, _) = stage.enrolled("bob");
    let request = stage.waiting("bob");
    stage.validate(&request, &made[3]).expect(403);
    let bob = stage.holding(stage.validate(&request, &bob.code(0)));
    let second = method(&stage.root, "second");
    token.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": second, "passcode": made[3]}))).expect(403);
    // With one a lost authenticator is replaced.
    let forced = |code: &str| json!({"method_id": stage.method, "force": true, "recovery_code": code});
    generate(&bob, &forced(&made[3])).expect(403);
    let fresh = stage.holding(stage.login_with("eve", &format!("totp:{}", made[4])));
    generate(&fresh, &forced(&made[4])).expect(403);
    let app = app(generate(&fresh, &forced(&made[3])));
    generate(&fresh, &forced(&made[3])).expect(403);
    stage.step_up(&fresh, &eve.code(1)).expect(403);
    stage.step_up(&fresh, &app.code(0)).expect(200);
    assert_eq!(left(&fresh)["left"], 5);
    assert!(stage.root.call("GET", &format!("identity/entity/id/{entity}"), None).expect(200).json()["data"]["id"] == entity);
}
