//! Codes that are taken once, and guesses that are counted.

use serde_json::{Value, json};

use super::{Authenticator, PERIOD, Stage, enrol, method, patient};
use crate::support::client::{Client, Reply};
use crate::support::fixture::{at_once, count};
use crate::support::on_stores;
use crate::support::postgres::Database;
use crate::support::server::Server;

on_stores! {
    a_code_is_taken_once_and_only_as_its_digits,
    of_many_who_bring_one_code_at_once_one_is_let_in,
    guesses_are_counted_for_the_entity_and_outlive_the_server,
}

fn a_code_is_taken_once_and_only_as_its_digits(server: &mut Server) {
    let stage = Stage::new(server);
    // No guess of this test is to count.
    bear_with(&stage.root, &stage.method);
    let (eve, _) = stage.enrolled("eve");
    stage.enforce();
    let request = stage.waiting("eve");
    let code = eve.code(0);
    let refused = |request: &str, passcode: &Value| {
        let reply = stage.validate_all(request, &json!({&stage.method: [passcode]}));
        assert_eq!(reply.expect(403).errors(), [stage.refusal()], "{passcode:?}");
    };
    let spread = |blank: &str| json!(format!("{}{blank}{}", &code[..3], &code[3..]));
    let wide: String = code.chars().map(|digit| char::from_u32(digit as u32 - 0x30 + 0xff10).unwrap()).collect();
    for passcode in [
        json!(format!(" {code}")),
        json!(format!("{code} ")),
        json!(format!("{code}\n")),
        json!(format!("\t{code}")),
        json!(format!("{code}\u{a0}")),
        json!(format!("{code}\u{0}")),
        spread(" "),
        spread("-"),
        json!(format!("0{code}")),
        json!(format!("+{code}")),
        json!(code[1..]),
        json!(wide),
        json!(""),
    ] {
        refused(&request, &passcode);
    }
    let both = json!({&stage.method: [code, eve.code(1)]});
    stage.validate_all(&request, &both).expect(400);
    stage.holding(stage.validate(&request, &code));
    // Used, for another login, in one step, for a step-up, spelled with blanks, and after a restart.
    let request = stage.waiting("eve");
    refused(&request, &json!(code));
    for blank in [" ", "\n", "\u{a0}"] {
        refused(&request, &json!(format!("{code}{blank}")));
    }
    stage.login_with("eve", &format!("totp:{code}")).expect(403);
    server.kill();
    server.come_back();
    let stage = Stage { root: Client::new(&server.target()), method: stage.method.clone() };
    assert_eq!(stage.validate(&request, &code).expect(403).errors(), [stage.refusal()]);
    let token = stage.holding(stage.validate(&request, &eve.code(1)));
    stage.step_up(&token, &code).expect(403);
    stage.step_up(&token, &eve.code(1)).expect(403);
}

/// Has a method allow as many failures as it can.
fn bear_with(root: &Client, method: &str) {
    let body = json!({"issuer": "Acme", "period": PERIOD, "max_validation_attempts": 100});
    root.call("POST", &format!("identity/mfa/method/totp/{method}"), Some(&body)).expect(204);
}

fn of_many_who_bring_one_code_at_once_one_is_let_in(server: &mut Server) {
    let stage = Stage::new(server);
    bear_with(&stage.root, &stage.method);
    let (eve, entity) = stage.enrolled("eve");
    stage.enforce();
    // One login, and as many logins as there are guests.
    let request = stage.waiting("eve");
    assert_eq!(once(&[&stage.root], &stage.method, &|_| request.clone(), &eve.code(0)), 1);
    let requests: Vec<String> = (0..64).map(|_| stage.waiting("eve")).collect();
    assert_eq!(once(&[&stage.root], &stage.method, &|at| requests[at].clone(), &eve.code(1)), 1);
    // A recovery code.
    let codes = recovery_codes(&stage, &entity);
    assert_eq!(once(&[&stage.root], &stage.method, &|at| requests[at].clone(), &codes[0]), 1);
}

/// How many of 64 who bring one code to these logins get a token; nobody else gets anything.
fn once(servers: &[&Client], method: &str, request: &(dyn Fn(usize) -> String + Sync), code: &str) -> usize {
    let guests: Vec<Client> = servers.iter().cycle().take(64).map(|client| client.without_token()).collect();
    let replies = at_once(&guests, |at, session| {
        let body = json!({"mfa_request_id": request(at), "mfa_payload": {method: [code]}}).to_string();
        session.send("POST", "/v1/sys/mfa/validate", &[], body.as_bytes())
    });
    let refused = [400, 403, 429].into_iter().map(|status| count(&replies, status)).sum::<usize>();
    assert_eq!(refused + count(&replies, 200), 64, "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    let tokens = |reply: &&Reply| reply.status == 200 && reply.json()["auth"]["client_token"] != "";
    replies.iter().filter(tokens).count()
}

/// Recovery codes of an entity that has enrolled; takes a fresh enrolment in a second method.
fn recovery_codes(stage: &Stage, entity: &str) -> Vec<String> {
    let second = method(&stage.root, "second");
    bear_with(&stage.root, &second);
    let app = enrol(&stage.root, &second, entity);
    stage.root.call("DELETE", "identity/mfa/login-enforcement/people", None).expect(204);
    let token = stage.holding(stage.login("eve"));
    token.call("POST", "sys/mfa/step-up", Some(&json!({"method_id": second, "passcode": app.code(0)}))).expect(200);
    let made = token.call("POST", "identity/mfa/recovery-codes", None).expect(200).json()["data"]["codes"].clone();
    stage.enforce();
    serde_json::from_value(made).unwrap()
}

fn guesses_are_counted_for_the_entity_and_outlive_the_server(server: &mut Server) {
    let stage = Stage::new(server);
    let (eve, entity) = stage.enrolled("eve");
    let second = method(&stage.root, "second");
    let app = enrol(&stage.root, &second, &entity);
    stage.enforcement("people", &json!({"mfa_method_ids": [stage.method, second], "auth_method_types": ["userpass"]}));
    // Guesses of one login and of many, by one method and by another, in two steps and in one, all at once.
    let request = stage.waiting("eve");
    let guests: Vec<Client> = (0..4).map(|_| stage.root.without_token()).collect();
    at_once(&guests, |at, session| {
        let (method, wrong) = if at % 2 == 0 { (&stage.method, eve.wrong()) } else { (&second, app.wrong()) };
        let body = json!({"mfa_request_id": request, "mfa_payload": {method: [wrong]}}).to_string();
        session.send("POST", "/v1/sys/mfa/validate", &[], body.as_bytes())
    });
    stage.login_with("eve", &format!("totp:{}", eve.wrong())).expect(403);
    // Now nothing is taken any more, and nothing tells that from a wrong code.
    let refused = |stage: &Stage, eve: &Authenticator| {
        let request = stage.waiting("eve");
        let [right, wrong] = [eve.code(0), eve.wrong()].map(|code| stage.validate(&request, &code).expect(403).errors());
        assert_eq!(right, wrong);
        assert_eq!(stage.validate_all(&request, &json!({"second": [app.code(0)]})).expect(403).errors(), wrong);
    };
    refused(&stage, &eve);
    server.kill();
    server.come_back();
    let stage = Stage { root: Client::new(&server.target()), method: stage.method.clone() };
    refused(&stage, &eve);
    // It is this entity's matter.
    let (bob, _) = stage.enrolled("bob");
    stage.holding(stage.login_with("bob", &format!("totp:{}", bob.code(0))));
}

#[test]
fn a_code_is_taken_once_on_all_servers_of_a_database() {
    let first = Server::initialised_on_postgresql(Database::new());
    let stage = Stage::new(&first);
    let second = first.another();
    let other = Client::new(&second.target());
    let (eve, _) = stage.enrolled("eve");
    stage.enforce();
    let requests: Vec<String> = (0..64).map(|_| stage.waiting("eve")).collect();
    assert_eq!(once(&[&stage.root, &other], &stage.method, &|at| requests[at].clone(), &eve.code(0)), 1);
    let body = json!({"mfa_request_id": requests[0], "mfa_payload": {&stage.method: [eve.code(0)]}});
    let reply = patient(|| other.without_token().call("POST", "sys/mfa/validate", Some(&body)));
    assert!([400, 403].contains(&reply.status), "{reply:?}");
}
