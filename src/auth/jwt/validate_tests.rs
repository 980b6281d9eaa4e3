//! Audiences, times and bound claims of tokens.

use std::collections::BTreeMap;

use super::*;
use crate::secret::SecretBytes;

fn claims(text: &str) -> Claims {
    Claims::parse(&SecretBytes::new(text.as_bytes().to_vec())).unwrap()
}

fn bound(json: &str) -> BTreeMap<String, Bound> {
    serde_json::from_str(json).unwrap()
}

#[test]
fn an_audience_is_text_or_a_list_and_must_be_bound() {
    let to = |audiences: &[&str]| Role { bound_audiences: audiences.iter().map(|&a| a.to_owned()).collect(), ..Role::new() };
    for (aud, bound, fits) in [
        (r#""a""#, &["a"][..], true),
        (r#"["b","a"]"#, &["a"], true),
        (r#"["b"]"#, &["a", "b"], true),
        (r#""b""#, &["a"], false),
        (r#""a b""#, &["a"], false),
        (r#"["A"]"#, &["a"], false),
        ("[]", &["a"], false),
        ("null", &["a"], false),
        ("1", &["a"], false),
        (r#"[1,"a"]"#, &["a"], false),
        (r#"{"a":1}"#, &["a"], false),
        (r#""a""#, &[], false),
        (r#"["a"]"#, &[], false),
        (r#""""#, &[], false),
        ("1", &[], false),
        ("[]", &[], true),
        ("null", &[], true),
    ] {
        assert_eq!(audience(&claims(&format!("{{\"aud\":{aud}}}")), &to(bound)).is_ok(), fits, "{aud} for {bound:?}");
    }
    assert!(audience(&claims("{}"), &to(&["a"])).is_err());
    assert!(audience(&claims("{}"), &to(&[])).is_ok());
}

#[test]
fn issuer_and_subject_are_compared_as_they_are() {
    let now = Timestamp(1_000_000_000_000_000_000);
    let role = Role { bound_subject: "eve".to_owned(), ..Role::new() };
    for (text, fits) in [
        (r#"{"exp":1000000000,"iss":"https://a","sub":"eve"}"#, true),
        (r#"{"exp":1000000000,"iss":"https://a/","sub":"eve"}"#, false),
        (r#"{"exp":1000000000,"iss":["https://a"],"sub":"eve"}"#, false),
        (r#"{"exp":1000000000,"sub":"eve"}"#, false),
        (r#"{"exp":1000000000,"iss":"https://a","sub":"Eve"}"#, false),
        (r#"{"exp":1000000000,"iss":"https://a"}"#, false),
    ] {
        assert_eq!(check(&claims(text), Some("https://a"), &role, now).is_ok(), fits, "{text}");
    }
}

#[test]
fn every_bound_claim_must_have_one_of_its_values() {
    for (json, how, text, fits) in [
        (r#"{"a":"x"}"#, Match::String, r#"{"a":"x"}"#, true),
        (r#"{"a":"x"}"#, Match::String, r#"{"a":["y","x"]}"#, true),
        (r#"{"a":["x","y"],"b":1}"#, Match::String, r#"{"a":"y","b":1.0}"#, true),
        (r#"{"a":["x","y"],"b":1}"#, Match::String, r#"{"a":"y"}"#, false),
        (r#"{"a":"x*"}"#, Match::String, r#"{"a":"xy"}"#, false),
        (r#"{"a":"x*"}"#, Match::Glob, r#"{"a":"xy"}"#, true),
        (r#"{"a":"x*"}"#, Match::Glob, r#"{"a":"yx"}"#, false),
        (r#"{"a":true}"#, Match::String, r#"{"a":"true"}"#, false),
        (r#"{"a":1}"#, Match::String, r#"{"a":"1"}"#, false),
        (r#"{"/a/b":"x"}"#, Match::String, r#"{"a":{"b":"x"}}"#, true),
        (r#"{"a":"x"}"#, Match::String, r#"{"a":{}}"#, false),
        (r#"{"a":"x"}"#, Match::String, r#"{"a":null}"#, false),
    ] {
        let role = Role { bound_claims: bound(json), bound_claims_type: how, ..Role::new() };
        assert_eq!(bound_claims(&claims(text), &role).is_ok(), fits, "{text} for {json}");
    }
}
