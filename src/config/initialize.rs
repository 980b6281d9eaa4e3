//! The `initialize` stanzas: requests that a new deployment begins with, in the form that OpenBao has for self-initialisation.

use super::{ConfigError, Initialize, Seal, SealKind, Setting};
use crate::path::Path;
use crate::stanza::Stanza;

/// Operations, as policies name them, and their methods.
const OPERATIONS: [(&str, &str); 7] = [
    ("create", "POST"),
    ("update", "POST"),
    ("patch", "PATCH"),
    ("read", "GET"),
    ("list", "LIST"),
    ("scan", "SCAN"),
    ("delete", "DELETE"),
];

/// All requests, in the order of the files.
pub(super) fn initialize(top: &mut Stanza, seals: &[Seal]) -> Result<Vec<Initialize>, ConfigError> {
    let mut requests: Vec<Initialize> = Vec::new();
    for (labels, mut stanza) in top.stanzas("initialize", 1, false)? {
        let setting = top.setting("initialize", &stanza.place);
        if seals.iter().any(|seal| matches!(seal.kind, SealKind::Shamir)) {
            return Err(
                setting.wrong("needs a seal that opens by itself, like seal \"static\": nobody would be shown the key shares")
            );
        }
        let outer = name(labels, &setting)?;
        if requests.iter().any(|request| request.block == outer) {
            return Err(setting.wrong(format!("another one is named {outer}")));
        }
        for (labels, inner) in stanza.stanzas("request", 1, false)? {
            let setting = stanza.setting("request", &inner.place);
            let name = name(labels, &setting)?;
            if requests.iter().any(|request| request.block == outer && request.name == name) {
                return Err(setting.wrong(format!("another one is named {name}")));
            }
            requests.push(request(outer.clone(), name, inner, setting)?);
        }
        stanza.finish()?;
    }
    Ok(requests)
}

/// `^[A-Za-z_][A-Za-z0-9_-]*$`
fn name(labels: Vec<String>, setting: &Setting) -> Result<String, ConfigError> {
    let name = labels.into_iter().next().unwrap_or_default();
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if begins && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
        Ok(name)
    } else {
        Err(setting.wrong("needs a name of letters, digits, _ and -, which does not begin with a digit"))
    }
}

fn request(block: String, name: String, mut stanza: Stanza, setting: Setting) -> Result<Initialize, ConfigError> {
    let method = stanza.word("operation", &OPERATIONS)?.ok_or_else(|| setting.wrong("needs an operation"))?;
    let (path, path_setting) = stanza.text("path")?.ok_or_else(|| setting.wrong("needs a path"))?;
    if path.is_empty() || Path::from_url(&path).is_err() {
        return Err(path_setting.wrong("must be a path like \"sys/mounts/secret\", without slashes at its ends"));
    }
    let allow_failure = stanza.boolean("allow_failure")?.is_some_and(|(value, _)| value);
    let data = stanza.take("data")?.map(|(value, _)| value.checked()).transpose()?;
    let token = stanza.take("token")?.map(|(value, _)| value.checked()).transpose()?;
    stanza.finish()?;
    Ok(Initialize { block, name, method, path, data, token, allow_failure, setting })
}
