//! What may be written about a role, and how it is shown.

use super::*;

const LIMITS: LeaseTtl = LeaseTtl::USUAL;

fn change(body: &str) -> Result<Change, Refusal> {
    Change::parse(&Fields::parse(body.as_bytes(), None)?)
}

fn written(body: &str) -> Result<(TokenRole, Vec<String>), Refusal> {
    change(body)?.apply(&TokenRole::default(), LIMITS)
}

fn shown(role: &TokenRole) -> serde_json::Value {
    serde_json::from_slice(role.json("r").expose()).unwrap()
}

fn refused(body: &str) -> String {
    match written(body) {
        Err(Refusal::Invalid(text)) => text,
        _ => "accepted".to_owned(),
    }
}

/// As recorded from `OpenBao` 2.7.2.
#[test]
fn a_new_role_is_shown_as_clients_know_it() {
    let expected = serde_json::json!({
        "allowed_entity_aliases": null, "allowed_policies": [], "allowed_policies_glob": [], "disallowed_policies": [],
        "disallowed_policies_glob": [], "explicit_max_ttl": 0, "name": "r", "orphan": false, "path_suffix": "", "period": 0,
        "renewable": true, "token_explicit_max_ttl": 0, "token_no_default_policy": false, "token_period": 0,
        "token_type": "default-service"
    });
    assert_eq!(shown(&written("{}").unwrap().0), expected);
}

#[test]
fn old_names_are_taken_and_shown_and_new_ones_win() {
    let (role, warnings) = written(r#"{"period":"5m","explicit_max_ttl":7200,"bound_cidrs":"10.0.0.0/8"}"#).unwrap();
    let json = shown(&role);
    assert_eq!((&json["period"], &json["token_period"], &json["explicit_max_ttl"]), (&300.into(), &300.into(), &7200.into()));
    assert_eq!(json["bound_cidrs"], json["token_bound_cidrs"]);
    assert!(warnings.is_empty());
    let (role, warnings) = written(r#"{"period":"5m","token_period":"6m"}"#).unwrap();
    let json = shown(&role);
    assert_eq!((&json["period"], &json["token_period"]), (&0.into(), &360.into()));
    assert_eq!(warnings, ["Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value"]);
}

#[test]
fn what_is_not_named_stays_and_lists_are_in_normal_form() {
    let (before, _) = written(r#"{"allowed_policies":"b,A,a","orphan":"true","token_num_uses":"5"}"#).unwrap();
    let (after, _) = change(r#"{"renewable":false,"token_num_uses":0}"#).unwrap().apply(&before, LIMITS).unwrap();
    assert_eq!(
        (after.allowed_policies.as_slice(), after.orphan, after.renewable),
        (["a", "b"].map(String::from).as_slice(), true, false)
    );
    assert_eq!(shown(&after)["token_num_uses"], serde_json::Value::Null);
    let (cleared, _) = change(r#"{"allowed_policies":""}"#).unwrap().apply(&after, LIMITS).unwrap();
    assert!(cleared.allowed_policies.is_empty());
}

#[test]
fn what_cannot_be_is_refused() {
    let batch = |what: &str| format!("'token_type' cannot be 'batch' when role is set to generate {what}");
    for (body, text) in [
        (r#"{"token_type":"batch"}"#, batch("non-orphan tokens")),
        (r#"{"token_type":"batch","orphan":true}"#, batch("renewable tokens")),
        (r#"{"token_type":"batch","orphan":true,"renewable":false,"period":"1h"}"#, batch("periodic tokens")),
        (
            r#"{"token_type":"batch","orphan":true,"renewable":false,"explicit_max_ttl":"1h"}"#,
            batch("tokens with an explicit max TTL"),
        ),
        (r#"{"token_type":"recovery"}"#, "invalid 'token_type' value \"recovery\"".to_owned()),
        (r#"{"token_num_uses":-1}"#, "error parsing role fields: 'token_num_uses' cannot be negative".to_owned()),
    ] {
        assert_eq!(refused(body), text, "{body}");
    }
    for suffix in ["../x", "a/b", "/a", "a b", "ab", "-ab", "ab."] {
        assert!(refused(&format!(r#"{{"path_suffix":"{suffix}"}}"#)).contains("path suffix"), "{suffix}");
    }
    for body in [r#"{"token_bound_cidrs":"nonsense"}"#, r#"{"orphan":"x"}"#, r#"{"token_period":"-1h"}"#] {
        assert_ne!(refused(body), "accepted", "{body}");
    }
    assert_eq!(refused(r#"{"path_suffix":"a.b-c","token_type":"batch","orphan":true,"renewable":false}"#), "accepted");
    let (_, warnings) = written(r#"{"token_explicit_max_ttl":"99999h"}"#).unwrap();
    assert!(warnings[0].starts_with("Given explicit max TTL of 359996400 is greater"));
}
