//! Secrets that the clients of all tests send to servers, or get from them. At its end every server's output is searched for those that it
//! has seen: so no request of the whole suite may bring one into the log, in whatever form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};

use serde_json::Value;

/// Shorter ones are words that a log may have anyway.
const BYTES_MIN: usize = 12;
/// Of one server.
const SECRETS_MAX: usize = 2_000;
/// Longer bodies are those of tests of limits.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Fields of requests and answers that hold a credential or a value.
const FIELDS: [&str; 9] = [
    "\"client_token\":\"",
    "\"root_token\":\"",
    "\"token\":\"",
    "\"id\":\"hvs.",
    "\"secret_id\":\"",
    "\"password\":\"",
    "\"plaintext\":\"",
    "\"jwt\":\"",
    "\"otp\":\"",
];

/// By the server's `host:port`.
static SEEN: LazyLock<Mutex<BTreeMap<String, BTreeSet<String>>>> = LazyLock::new(Mutex::default);

/// A client sends this.
pub(crate) fn sent<'a>(authority: &str, headers: impl Iterator<Item = (&'a str, &'a str)>, target: &str, body: &[u8]) {
    let tokens = headers.filter(|(name, _)| *name == "X-Vault-Token").map(|(_, token)| token.to_owned());
    let mut secrets: Vec<String> = tokens.collect();
    if body.len() <= BODY_BYTES_MAX {
        secrets.extend(fields(body));
        if target.contains("/data/") || target.contains("/cubbyhole/") {
            let value: Value = serde_json::from_slice(body).unwrap_or_default();
            texts(&value, &mut secrets);
        }
    }
    remember(authority, secrets);
}

/// A server has answered this.
pub(crate) fn answered(authority: &str, body: &[u8]) {
    if body.len() <= BODY_BYTES_MAX {
        remember(authority, fields(body));
    }
}

/// What a server has seen; it is forgotten.
pub(crate) fn taken(authority: &str) -> Vec<String> {
    SEEN.lock().unwrap().remove(authority).unwrap_or_default().into_iter().collect()
}

fn remember(authority: &str, secrets: Vec<String>) {
    let secrets = secrets.into_iter().filter(|secret| secret.len() >= BYTES_MIN);
    let mut seen = SEEN.lock().unwrap();
    let seen = seen.entry(authority.to_owned()).or_default();
    let room = SECRETS_MAX.saturating_sub(seen.len());
    seen.extend(secrets.take(room));
}

fn fields(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body);
    let values = FIELDS.iter().flat_map(|field| text.split(field).skip(1));
    values.filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// All texts in a value.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| texts(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_values_are_remembered_by_server_and_what_is_short_is_not() {
        let token = ("X-Vault-Token", "hvs.0123456789");
        let value = br#"{"data":{"a":"a-value-of-a-secret","b":["another-value-of-it",1],"c":"short"}}"#;
        sent("one:1", [token, ("X-Other", "not-a-secret-at-all")].into_iter(), "/v1/secret/data/a", value);
        sent(
            "one:1",
            [].into_iter(),
            "/v1/sys/policies/acl/a",
            br#"{"policy":"a-text-of-a-policy","password":"a-password-here"}"#,
        );
        answered("one:1", br#"{"auth":{"client_token":"hvs.of-somebody","x":1}}"#);
        answered("other:1", br#"{"wrap_info":{"token":"hvs.that-is-wrapped"}}"#);
        let mut seen = taken("one:1");
        seen.sort_unstable();
        assert_eq!(seen, ["a-password-here", "a-value-of-a-secret", "another-value-of-it", "hvs.0123456789", "hvs.of-somebody"]);
        assert_eq!((taken("one:1").len(), taken("other:1").len()), (0, 1));
    }
}
