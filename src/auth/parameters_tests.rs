//! What may be written about the tokens of a login, and how it is shown.

use serde_json::{Value, json};

use super::*;
use crate::json::Json;

fn written(body: &str, old: &[&str]) -> Result<(TokenParameters, Vec<String>), String> {
    let text = |refusal| match refusal {
        Refusal::Invalid(text) => text,
        other => format!("{other:?}"),
    };
    let fields = Fields::parse(body.as_bytes(), None).map_err(text)?;
    Change::parse(&fields, old).and_then(|change| change.apply(&TokenParameters::default(), LeaseTtl::USUAL)).map_err(text)
}

fn shown(parameters: &TokenParameters) -> Value {
    serde_json::from_slice(Json::object(|data| parameters.show(data)).expose()).unwrap()
}

#[test]
fn nothing_written_is_shown_as_clients_know_it() {
    let (parameters, warnings) = written("{}", &[]).unwrap();
    assert_eq!(
        shown(&parameters),
        json!({"token_bound_cidrs": [], "token_explicit_max_ttl": 0, "token_max_ttl": 0, "token_no_default_policy": false,
            "token_num_uses": 0, "token_period": 0, "token_policies": [], "token_strictly_bind_ip": false, "token_ttl": 0,
            "token_type": "default"})
    );
    assert!(warnings.is_empty());
}

#[test]
fn an_old_name_is_taken_where_the_method_knows_it_and_shown_besides_the_new_one() {
    let body = r#"{"policies":"a, b","ttl":"1m","max_ttl":60,"period":"2m","bound_cidrs":["10.0.0.1/32"]}"#;
    let (parameters, _) = written(body, &["policies", "ttl", "max_ttl", "period", "bound_cidrs"]).unwrap();
    let shown_all = shown(&parameters);
    for (old, value) in [
        ("policies", json!(["a", "b"])),
        ("ttl", json!(60)),
        ("max_ttl", json!(60)),
        ("period", json!(120)),
        ("bound_cidrs", json!(["10.0.0.1"])),
    ] {
        assert_eq!((&shown_all[old], &shown_all[format!("token_{old}")]), (&value, &value), "{old}");
    }
    let (parameters, _) = written(body, &[]).unwrap();
    assert_eq!(parameters, TokenParameters::default(), "a method that does not know the old names ignores them");
    let (parameters, warnings) = written(r#"{"ttl":5,"token_ttl":6}"#, &["ttl"]).unwrap();
    assert_eq!((parameters.ttl.value, warnings.len()), (6, 1));
}

#[test]
fn what_contradicts_itself_is_refused() {
    for (body, reason) in [
        (r#"{"token_ttl":100,"token_max_ttl":10}"#, "'token_ttl' cannot be greater"),
        (r#"{"token_type":"batch","token_num_uses":4}"#, "limited use count"),
        (r#"{"token_type":"batch","token_period":4}"#, "periodic tokens"),
        (r#"{"token_type":"bogus"}"#, "invalid 'token_type' value \"bogus\""),
        (r#"{"token_num_uses":-1}"#, "'token_num_uses' cannot be negative"),
        (r#"{"token_bound_cidrs":"x"}"#, "error parsing address \"x\""),
        (r#"{"token_policies":["a","ROOT"]}"#, "auth methods cannot create root tokens"),
        (r#"{"token_ttl":"-1s"}"#, "token_ttl"),
    ] {
        let refused = written(body, &[]).expect_err(body);
        assert!(refused.contains(reason), "{body}: {refused}");
    }
    assert!(written(&json!({"token_policies": vec!["p"; POLICIES_MAX + 1]}).to_string(), &[]).is_err());
}

#[test]
fn a_mount_may_force_a_kind_or_give_the_default() {
    for (mount, role, kind) in [
        (None, LoginKind::Default, TokenKind::Service),
        (Some("default-service"), LoginKind::Batch, TokenKind::Batch),
        (Some("default-batch"), LoginKind::Default, TokenKind::Batch),
        (Some("default-batch"), LoginKind::Service, TokenKind::Service),
        (Some("service"), LoginKind::Batch, TokenKind::Service),
        (Some("batch"), LoginKind::Service, TokenKind::Batch),
    ] {
        assert_eq!(role.at(mount), kind, "{mount:?} {role:?}");
    }
}
