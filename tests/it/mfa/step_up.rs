//! Policies that want a second factor to have been shown to the token lately.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Authenticator, Stage, enrol, method};
use crate::support::client::Client;
use crate::support::fixture::{namespace, policy, put};
use crate::support::on_stores;
use crate::support::server::Server;

on_stores! {
    a_policy_wants_a_factor_that_was_shown_lately,
    nothing_goes_around_a_factor_that_a_policy_wants,
}

/// A user whose policy guards `secret/data/guarded`; logged in without a second factor.
fn guarded(stage: &Stage, age: &str) -> (Client, Authenticator, String) {
    put(&stage.root, "guarded", &json!({"k": "v"}));
    put(&stage.root, "open", &json!({"k": "v"}));
    policy(
        &stage.root,
        "guarded",
        &format!(
            r#"path "secret/data/*" {{ capabilities = ["read"] }}
            path "secret/data/guarded" {{
              capabilities = ["read"]
              mfa_methods = ["totp"]
              mfa_max_age = "{age}"
            }}
            path "auth/token/*" {{ capabilities = ["update", "sudo"] }}"#
        ),
    );
    let (app, entity) = stage.enrolled("eve");
    let body = json!({"token_policies": "own,guarded"});
    stage.root.call("POST", "auth/userpass/users/eve/policies", Some(&body)).expect(204);
    (stage.holding(stage.login("eve")), app, entity)
}

fn wanted(age: &str) -> String {
    format!(
        "permission denied: this needs a second factor that was shown to the token less than {age} ago: totp (sys/mfa/step-up)"
    )
}

const DENIED: &str = "1 error occurred:\n\t* permission denied\n\n";

fn a_policy_wants_a_factor_that_was_shown_lately(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, app, entity) = guarded(&stage, "3s");
    let read = || eve.call("GET", "secret/data/guarded", None);
    assert_eq!(read().expect(403).errors(), [wanted("3s")]);
    // What policy does not grant it does not grant: nobody is told to show something.
    assert_eq!(eve.call("DELETE", "secret/data/guarded", None).expect(403).errors(), [DENIED]);
    eve.call("GET", "secret/data/open", None).expect(200);
    let own = || eve.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"]["mfa"].clone();
    assert!(own().is_null());
    for (body, status) in [
        (json!({}), 400),
        (json!({"method_id": stage.method}), 400),
        (json!({"method_id": "nope", "passcode": "123456"}), 400),
        (json!({"method_id": stage.method, "passcode": app.wrong()}), 403),
        (json!({"method_id": stage.method, "passcode": format!("{} ", app.code(0))}), 403),
    ] {
        eve.call("POST", "sys/mfa/step-up", Some(&body)).expect(status);
    }
    assert_eq!(read().expect(403).errors(), [wanted("3s")]);
    let shown = stage.step_up(&eve, &app.code(0)).expect(200).json()["data"]["mfa"].clone();
    assert_eq!((&shown, shown.as_array().unwrap().len()), (&own(), 1));
    read().expect(200);
    // It counts for a while.
    let since = Instant::now();
    while read().status == 200 {
        assert!(since.elapsed() < Duration::from_secs(10), "it counts for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(read().expect(403).errors(), [wanted("3s")]);
    // Shown again it counts again; taken from the entity it counts no more.
    policy(
        &stage.root,
        "guarded",
        r#"path "secret/data/guarded" {
          capabilities = ["read"]
          mfa_methods = ["totp"]
          mfa_max_age = "1h"
        }"#,
    );
    stage.step_up(&eve, &app.code(1)).expect(200);
    read().expect(200);
    let body = json!({"method_id": stage.method, "entity_id": entity});
    stage.root.call("POST", "identity/mfa/method/totp/admin-destroy", Some(&body)).expect(204);
    assert_eq!(read().expect(403).errors(), [wanted("1h0m0s")]);
    let app = stage.enrol(&entity);
    assert_eq!(read().expect(403).errors(), [wanted("1h0m0s")]);
    stage.step_up(&eve, &app.code(0)).expect(200);
    read().expect(200);
    // A renewed token has shown what it had.
    eve.call("POST", "auth/token/renew-self", None).expect(200);
    read().expect(200);
}

fn nothing_goes_around_a_factor_that_a_policy_wants(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, app, entity) = guarded(&stage, "1h");
    let refused = |client: &Client| {
        assert_eq!(client.call("GET", "secret/data/guarded", None).expect(403).errors(), [wanted("1h0m0s")]);
    };
    let child = |parent: &Client, path: &str, body: &serde_json::Value| stage.holding(parent.call("POST", path, Some(body)));
    // A child of a token that has shown nothing, an orphan, a batch token, one of a role; another login.
    let early = child(&eve, "auth/token/create", &json!({}));
    refused(&early);
    refused(&child(&eve, "auth/token/create-orphan", &json!({"policies": ["guarded"]})));
    let batch = child(&eve, "auth/token/create", &json!({"type": "batch"}));
    refused(&batch);
    let said = stage.step_up(&batch, &app.code(0)).expect(400).errors();
    assert_eq!(said, ["a batch token cannot be shown a factor: nothing about it changes"]);
    stage.root.call("POST", "auth/token/roles/r", Some(&json!({"allowed_policies": "guarded"}))).expect(204);
    refused(&child(&eve, "auth/token/create/r", &json!({"policies": ["guarded"]})));
    refused(&stage.holding(stage.login("eve")));
    // What is shown to one is shown to those it makes from then on, and to no other.
    stage.step_up(&eve, &app.code(0)).expect(200);
    let shown = |client: &Client| client.call("GET", "auth/token/lookup-self", None).expect(200).json()["data"]["mfa"].clone();
    refused(&early);
    let late = child(&eve, "auth/token/create", &json!({}));
    assert_eq!(shown(&late), shown(&eve));
    late.call("GET", "secret/data/guarded", None).expect(200);
    let batch = child(&late, "auth/token/create", &json!({"type": "batch"}));
    assert_eq!(shown(&batch), shown(&eve));
    batch.call("GET", "secret/data/guarded", None).expect(200);
    refused(&child(&eve, "auth/token/create-orphan", &json!({"policies": ["guarded"]})));
    // A child that shows a factor itself shows it for itself.
    stage.step_up(&early, &app.code(1)).expect(200);
    early.call("GET", "secret/data/guarded", None).expect(200);
    assert_ne!(shown(&early), shown(&eve));
    // Another method is another factor, whatever it is called later; a rule of another policy adds its own demand.
    let second = method(&stage.root, "second");
    let other = enrol(&stage.root, &second, &entity);
    let fresh = stage.holding(stage.login("eve"));
    fresh.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": second, "passcode": other.code(0)}))).expect(200);
    refused(&fresh);
    early.call("GET", "secret/data/guarded", None).expect(200);
    policy(
        &stage.root,
        "own",
        r#"path "secret/data/guarded" {
          mfa_methods = ["second"]
          mfa_max_age = "1h"
        }"#,
    );
    early.call("GET", "secret/data/guarded", None).expect(403);
    early.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": "second", "passcode": other.code(1)}))).expect(200);
    early.call("GET", "secret/data/guarded", None).expect(200);
    // A token works in a namespace below by the factors and policies of its own.
    let below = namespace(&stage.root, "below");
    let late = Client::clone(&late).in_namespace("below");
    let said = late.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": "totp", "passcode": "123456"}))).expect(400);
    assert_eq!(said.errors(), ["a factor is shown in the namespace that the token belongs to"]);
    below.call("GET", "sys/mounts", None).expect(200);
}
