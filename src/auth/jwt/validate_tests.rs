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
fn a_token_is_valid_between_its_times_with_some_leeway() {
    let now = Timestamp(1_000_000_000_000_000_000);
    assert_eq!(now.unix_seconds(), 1_000_000_000);
    let leeways = |skew, before, end| Role {
        clock_skew_leeway: Leeway(skew),
        not_before_leeway: Leeway(before),
        expiration_leeway: Leeway(end),
        ..Role::new()
    };
    for (text, role, valid) in [
        (r#"{"exp":1000000000}"#, leeways(0, 0, 0), true),
        (r#"{"exp":999999940}"#, leeways(0, 0, 0), true),
        (r#"{"exp":999999939}"#, leeways(0, 0, 0), false),
        (r#"{"exp":999999999}"#, leeways(-1, 0, 0), false),
        (r#"{"exp":999999990}"#, leeways(10, 0, 0), true),
        (r#"{"exp":1000000300}"#, leeways(0, 0, 0), false),
        (r#"{"exp":1000000300}"#, leeways(0, 300, 0), true),
        (r#"{"nbf":1000000061,"exp":1000000100}"#, leeways(0, 0, 0), false),
        (r#"{"nbf":1000000060,"exp":1000000100}"#, leeways(0, 0, 0), true),
        (r#"{"nbf":1,"iat":1000000061,"exp":1000000100}"#, leeways(0, 0, 0), false),
        (r#"{"iat":999999790}"#, leeways(0, 0, 0), true),
        (r#"{"iat":999999789}"#, leeways(0, 0, 0), false),
        (r#"{"iat":999999789}"#, leeways(0, 0, 200), true),
        (r#"{"iat":1000000000.5,"exp":1.0e9}"#, leeways(0, 0, 0), true),
        (r#"{"exp":"1000000100"}"#, leeways(0, 0, 0), false),
        (r#"{"exp":1000000100,"nbf":"x"}"#, leeways(0, 0, 0), false),
        (r#"{"exp":null}"#, leeways(0, 0, 0), false),
        ("{}", leeways(0, 0, 0), false),
    ] {
        assert_eq!(check(&claims(text), None, &role, now).is_ok(), valid, "{text}");
    }
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

#[test]
fn a_star_stands_for_anything() {
    for (pattern, text, fits) in [
        ("*", "", true),
        ("a", "a", true),
        ("a", "ab", false),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*a", "a", false),
        ("*b*", "abc", true),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "acb", false),
        ("", "a", false),
    ] {
        assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
    }
}
