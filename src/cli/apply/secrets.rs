//! Which fields hold secrets. A description is kept with other sources, so none may hold one in the clear.

use crate::stanza::{FileError, Setting, Value};

/// Names of fields that hold secrets, in any API that is described with this.
const NAMES: [&str; 17] = [
    "password",
    "passwd",
    "passphrase",
    "bindpass",
    "secret",
    "secret_id",
    "secret_key",
    "client_secret",
    "token",
    "client_token",
    "token_reviewer_jwt",
    "private_key",
    "api_key",
    "hmac_key",
    "access_key",
    "pem_bundle",
    "credentials",
];

/// Ends of such names.
const ENDS: [&str; 6] = ["_password", "_passphrase", "_secret", "_secret_id", "_token", "_private_key"];

/// True when a field of this name holds a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || ENDS.iter().any(|end| name.ends_with(end))
}

/// Refuses a secret in the clear, to any depth. Booleans are none (`bind_secret_id = true`).
pub(super) fn refuse(name: &str, value: &Value, setting: &Setting) -> Result<(), FileError> {
    let refused = || {
        let key = if setting.key.ends_with(name) { setting.key.clone() } else { format!("{} {name}", setting.key) };
        Setting { place: setting.place.clone(), key }.wrong(
            "a secret must not stand in the file: write env(\"NAME\") or file(\"path\"), which are read when it is applied",
        )
    };
    match value {
        Value::Text(text) if text.expose().contains("PRIVATE KEY-----") => Err(refused()),
        Value::Text(text) if is_secret(name) && !text.expose().is_empty() => Err(refused()),
        Value::Number(_) if is_secret(name) => Err(refused()),
        Value::List(values) => values.iter().try_for_each(|value| refuse(name, value, setting)),
        Value::Block(entries) => entries.iter().try_for_each(|entry| {
            let at = Setting { place: entry.place.clone(), key: setting.key.clone() };
            refuse(&entry.key, &entry.value, &at)
        }),
        _ => Ok(()),
    }
}
