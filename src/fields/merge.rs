//! JSON merge patch (RFC 7396) on texts: what the patch does not touch keeps its text, and no tree is built.

use std::collections::{HashMap, HashSet};

use super::json;
use crate::answer::Refusal;
use crate::json::{Json, Object};
use crate::secret::SecretBytes;
use serde_json::value::RawValue;

/// Applies `patch` to `target`; both are texts of one JSON object. Members that are `null` in the patch are removed,
/// objects are merged, everything else is replaced. `Invalid` when either is no object, or the result is past the limits.
pub fn merge_patch(target: &[u8], patch: &[u8]) -> Result<SecretBytes, Refusal> {
    let (target, patch) = (object(target)?, object(patch)?);
    let mut flaw = None;
    let merged = Json::object(|out| merge(out, Some(target), patch, &mut flaw)).into_secret();
    if let Some(refusal) = flaw {
        return Err(refusal);
    }
    object(merged.expose())?;
    Ok(merged)
}

fn object(text: &[u8]) -> Result<&RawValue, Refusal> {
    let text = std::str::from_utf8(text).map_err(|_| Refusal::invalid("failed to decode JSON input: not UTF-8"))?;
    json::checked_object(text.trim_matches(json::WHITESPACE))
}

/// Depth is bounded: both were checked.
fn merge(out: &mut Object<'_>, target: Option<&RawValue>, patch: &RawValue, flaw: &mut Option<Refusal>) {
    let mut members = |object| {
        json::members(object).unwrap_or_else(|refusal| {
            *flaw = Some(refusal);
            Vec::new()
        })
    };
    let old = target.map(&mut members).unwrap_or_default();
    let new = members(patch);
    let changes: HashMap<&str, &RawValue> = new.iter().map(|(name, value)| (name.as_ref(), *value)).collect();
    let mut kept: HashSet<&str> = HashSet::new();
    for (name, value) in &old {
        kept.insert(name.as_ref());
        match changes.get(name.as_ref()) {
            Some(change) => put(out, name, Some(value), change, flaw),
            None => {
                out.raw(name, value.get().as_bytes());
            }
        }
    }
    for (name, change) in new.iter().filter(|(name, _)| !kept.contains(name.as_ref())) {
        put(out, name, None, change, flaw);
    }
}

/// Writes one member that the patch names.
fn put(out: &mut Object<'_>, name: &str, old: Option<&RawValue>, change: &RawValue, flaw: &mut Option<Refusal>) {
    if change.get() == "null" {
        return;
    }
    if !change.get().starts_with('{') {
        out.raw(name, change.get().as_bytes());
        return;
    }
    let old = old.filter(|old| old.get().starts_with('{'));
    out.object(name, |inner| merge(inner, old, change, flaw));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn merged(target: &str, patch: &str) -> Result<String, Refusal> {
        merge_patch(target.as_bytes(), patch.as_bytes()).map(|text| String::from_utf8(text.expose().to_vec()).unwrap())
    }

    /// RFC 7396 section 2, written as the pseudo-code there has it.
    fn naive(target: Value, patch: Value) -> Value {
        let Value::Object(patch) = patch else { return patch };
        let mut target = match target {
            Value::Object(target) => target,
            _ => serde_json::Map::new(),
        };
        for (name, value) in patch {
            if value.is_null() {
                target.remove(&name);
            } else {
                let old = target.remove(&name).unwrap_or(Value::Null);
                target.insert(name, naive(old, value));
            }
        }
        Value::Object(target)
    }

    /// RFC 7396 appendix A, without the rows whose target or patch is no object.
    #[test]
    fn appendix_a() {
        for (target, patch, result) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, "{}"),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
            ("{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
        ] {
            assert_eq!(merged(target, patch).unwrap(), result, "{target} + {patch}");
        }
    }

    #[test]
    fn untouched_members_keep_their_text() {
        let target = r#"{ "n" : 1.0000000000000000001e400, "s":"\u0041", "l" : [ 1 , null ] }"#;
        assert_eq!(
            merged(target, r#"{"x":1}"#).unwrap(),
            r#"{"n":1.0000000000000000001e400,"s":"\u0041","l":[ 1 , null ],"x":1}"#
        );
        assert_eq!(merged(r#"{"\u0061":1}"#, r#"{"a":2}"#).unwrap(), r#"{"a":2}"#);
    }

    #[test]
    fn only_objects_within_the_limits() {
        for (target, patch) in [("[]", "{}"), ("{}", "[]"), ("{}", "null"), ("{}", ""), ("{}", r#"{"a":1,"a":2}"#)] {
            assert!(matches!(merged(target, patch), Err(Refusal::Invalid(_))), "{target} + {patch}");
        }
        let many = |prefix: char| {
            let members: Vec<String> = (0..60_000).map(|n| format!("\"{prefix}{n}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(merged(&many('a'), "{}").is_ok());
        assert!(matches!(merged(&many('a'), &many('b')), Err(Refusal::Invalid(_))));
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            "[a\"\\\\é\n]{0,3}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from), members(inner)]
        })
    }

    fn members(value: impl Strategy<Value = Value> + 'static) -> impl Strategy<Value = Value> {
        prop::collection::btree_map("[abc\"é]{1,2}", value, 0..5).prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn agrees_with_the_pseudo_code_of_the_rfc(target in members(value()), patch in members(value())) {
            let ours = merged(&target.to_string(), &patch.to_string()).unwrap();
            let ours: Value = serde_json::from_str(&ours).unwrap();
            prop_assert_eq!(ours, naive(target, patch));
        }
    }
}
