//! Weak typing and bad input of the token operations.

use super::*;
use crate::engine::table::{Match, find};
use crate::fields::{Fields, Query};
use crate::path::Path;

fn parse(verb: Verb, path: &str, query: &str, body: &str) -> Result<Operation, Refusal> {
    let path = Path::new(path).unwrap();
    let query = Query::parse(query).unwrap();
    let fields = Fields::parse(body.as_bytes(), None)?;
    match find(TABLE, verb, &path) {
        Match::Row(row, captures) => (row.parse)(&Call { verb, path: &path, captures, query: &query, fields: &fields }),
        Match::WrongVerb => Err(Refusal::UnsupportedOperation),
        Match::Nothing => Err(Refusal::UnsupportedPath),
    }
}

fn created(body: &str) -> Result<Box<Ask>, Refusal> {
    match parse(Verb::Write, "create", "", body)? {
        Operation::Create(ask) => Ok(ask),
        _ => Err(Refusal::UnsupportedPath),
    }
}

fn refused(outcome: Result<impl Sized, Refusal>) -> String {
    match outcome {
        Err(Refusal::Invalid(text)) => text,
        Err(other) => format!("{other:?}"),
        Ok(_) => "accepted".to_owned(),
    }
}

#[test]
fn strings_and_numbers_mean_the_same() {
    let typed = r#"{"policies":["a","b"],"ttl":1800,"num_uses":3,"renewable":false,"no_parent":true,"period":60}"#;
    let weak = r#"{"policies":"a,b","ttl":"30m","num_uses":"3","renewable":"false","no_parent":"true","period":"1m"}"#;
    for body in [typed, weak] {
        let ask = created(body).unwrap();
        assert_eq!(ask.policies, ["a", "b"]);
        assert_eq!((ask.uses, ask.renewable, ask.no_parent), (Some(3), false, true));
        assert_eq!(ask.wish, Wish { ttl_seconds: 1800, period_seconds: 60, explicit_max_ttl_seconds: 0 });
    }
}

#[test]
fn what_the_command_line_sends_for_nothing_is_nothing() {
    let body = r#"{"ttl":"0s","explicit_max_ttl":"0s","period":"0s","display_name":"","num_uses":0,"renewable":true,
        "type":"service","entity_alias":"","policies":null,"id":""}"#;
    let ask = created(body).unwrap();
    assert_eq!((ask.wish, ask.uses, ask.id.is_none()), (Wish::default(), None, true));
    assert_eq!((ask.display_name.as_str(), ask.policies.len(), ask.meta.is_none()), ("token", 0, true));
    let ask = created("").unwrap();
    assert!(ask.renewable && !ask.no_parent && !ask.no_default_policy);
}

#[test]
fn half_a_second_is_not_for_ever() {
    assert_eq!(created(r#"{"ttl":"500ms"}"#).unwrap().wish.ttl_seconds, 1);
    assert_eq!(created(r#"{"lease":"1h"}"#).unwrap().wish.ttl_seconds, 3600);
    assert_eq!(created(r#"{"lease":"1h","ttl":"60"}"#).unwrap().wish.ttl_seconds, 60);
}

#[test]
fn bad_input_is_refused() {
    for body in [
        r#"{"ttl":"-1h"}"#,
        r#"{"ttl":-5}"#,
        r#"{"ttl":"soon"}"#,
        r#"{"period":"-1s"}"#,
        r#"{"explicit_max_ttl":-1}"#,
        r#"{"num_uses":-1}"#,
        r#"{"num_uses":"many"}"#,
        r#"{"num_uses":1.5}"#,
        r#"{"renewable":"perhaps"}"#,
        r#"{"policies":{"a":1}}"#,
        r#"{"type":"recovery"}"#,
        r#"{"entity_alias":"bob"}"#,
        r#"{"id":"a","id":"b"}"#,
        "[]",
    ] {
        assert_ne!(refused(created(body)), "accepted", "{body}");
    }
    assert_eq!(refused(created(r#"{"num_uses":-1}"#)), "number of uses cannot be negative");
    assert_eq!(refused(created(r#"{"type":"default-batch"}"#)), "invalid 'token_type' value");
    let long = format!(r#"{{"meta":{{"k":"{}"}}}}"#, "x".repeat(META_BYTES_MAX));
    assert!(refused(created(&long)).starts_with("meta: at most"));
    assert!(refused(created(&format!(r#"{{"display_name":"{}"}}"#, "x".repeat(513)))).starts_with("display_name"));
}

#[test]
fn display_names_are_reduced_to_safe_characters() {
    for (asked, name) in [("", "token"), ("x", "token-x"), ("my app!", "token-my-app"), ("a/b\n", "token-a-b"), ("ü", "token-")]
    {
        assert_eq!(display_name(asked).unwrap(), name, "{asked}");
    }
}

#[test]
fn tokens_and_accessors_are_asked_for() {
    for (path, text) in [
        ("revoke", "missing token ID"),
        ("renew", "missing token ID"),
        ("revoke-orphan", "missing token ID"),
        ("lookup-accessor", "missing accessor"),
        ("renew-accessor", "missing accessor"),
        ("revoke-accessor", "missing accessor"),
    ] {
        assert_eq!(refused(parse(Verb::Write, path, "", "")), text);
        assert_eq!(refused(parse(Verb::Write, path, "", r#"{"token":"","accessor":""}"#)), text);
    }
    assert!(matches!(parse(Verb::Write, "lookup", "", ""), Ok(Operation::Lookup(Which::Caller))));
    assert!(matches!(parse(Verb::Write, "lookup", "", r#"{"token":"x"}"#), Ok(Operation::Lookup(Which::Text(_)))));
}

#[test]
fn a_token_given_to_a_self_endpoint_is_not_looked_at() {
    assert!(matches!(parse(Verb::Write, "revoke-self", "", r#"{"token":"x"}"#), Ok(Operation::Revoke(Which::Caller))));
    assert!(matches!(parse(Verb::Write, "renew-self", "", r#"{"increment":0}"#), Ok(Operation::Renew(Which::Caller, 0))));
}

#[test]
fn no_token_stands_in_a_path() {
    for path in ["lookup/s.abc", "revoke/s.abc", "renew/s.abc", "create/role1/x", "roles/role1/x"] {
        assert!(matches!(parse(Verb::Write, path, "", "{}"), Err(Refusal::UnsupportedPath)), "{path}");
    }
    assert!(matches!(parse(Verb::Read, "revoke", "", ""), Err(Refusal::UnsupportedOperation)));
}

#[test]
fn listings_take_a_range() {
    let listed = |query| match parse(Verb::List, "accessors", query, "") {
        Ok(Operation::Accessors(range)) => Some((range.after, range.limit)),
        _ => None,
    };
    assert_eq!(listed(""), Some((None, None)));
    assert_eq!(listed("after=b&limit=2"), Some((Some("b".to_owned()), Some(2))));
    assert_eq!(listed("limit=-1"), Some((None, None)));
    assert_eq!(listed("limit=x"), None);
}
