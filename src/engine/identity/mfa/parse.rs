//! The fields of `identity/mfa/`, and from the call to typed ones. The rows are in the table of the engine.

use super::super::Operation as Identity;
use super::super::operation::{field, given};
use super::method::{Algorithm, Settings};
use super::operation::{ATTEMPTS_MAX, Enrol, KEY_BYTES, NAME_BYTES_MAX, NAMED_MAX, Operation, PERIOD_SECONDS_MAX, Scope};
use crate::answer::Refusal;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field};
use crate::fields::Fields;

pub(in super::super) const METHOD: &[Field] = &[
    field("method_name", "string", "Its name, for people, policies and the header X-Vault-MFA."),
    field("issuer", "string", "What authenticators show; necessary."),
    field("period", "duration", "How long a code is shown; 30s by default."),
    field("digits", "integer", "6 (default) or 8."),
    field("algorithm", "string", "SHA1 (default), SHA256 or SHA512."),
    field("skew", "integer", "How many periods a clock may be off: 0 or 1 (default)."),
    field("key_size", "integer", "Bytes of a secret; 20 by default."),
    field("max_validation_attempts", "integer", "Failures in a row until an entity has to wait; 5 by default."),
    field("qr_size", "integer", "Accepted, without effect: no barcode is made."),
    field("method_id", "string", "The id, as in the path."),
];
const METHOD_ID: Field = field("method_id", "string", "The method.");
const ENTITY_ID: Field = field("entity_id", "string", "The entity.");
const RECOVERY: Field = field("recovery_code", "string", "Instead of a second factor that the token has just shown.");
pub(in super::super) const OWN: &[Field] =
    &[METHOD_ID, field("force", "boolean", "Also where there is a secret already."), RECOVERY];
pub(in super::super) const OTHERS: &[Field] = &[METHOD_ID, ENTITY_ID, RECOVERY];
pub(in super::super) const ENFORCEMENT: &[Field] = &[
    field("mfa_method_ids", "array", "Methods; any of them will do."),
    field("auth_method_accessors", "array", "Logins at these mounts."),
    field("auth_method_types", "array", "Logins at mounts of these types."),
    field("identity_group_ids", "array", "Logins of members of these groups."),
    field("identity_entity_ids", "array", "Logins of these entities."),
    field("name", "string", "The name, as in the path."),
];

type Parsed = Result<Identity, Refusal>;

fn mfa(operation: Operation) -> Identity {
    Identity::Mfa(operation)
}

/// The id in the path, where it has the form of one.
fn method_id(call: &Call<'_>) -> Result<String, Refusal> {
    let id = call.captures.get(0);
    if is_uuid(id) { Ok(id.to_owned()) } else { Err(Refusal::UnsupportedPath) }
}

/// Whether a text has the form of an id.
fn is_uuid(text: &str) -> bool {
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| if dashes.contains(&at) { byte == b'-' } else { lower_hex(byte) })
}

/// A name as `OpenBao` takes it: letters, digits, `_`, and within also `-` and `.`.
fn enforcement_name(call: &Call<'_>) -> Result<String, Refusal> {
    let name = call.captures.get(0);
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends = name.bytes().next().is_some_and(word) && name.bytes().next_back().is_some_and(word);
    if !ends || name.len() > NAME_BYTES_MAX || !name.bytes().all(|byte| word(byte) || b"-.".contains(&byte)) {
        return Err(Refusal::UnsupportedPath);
    }
    Ok(name.to_owned())
}

pub(in super::super) fn create_method(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::WriteMethod(None, settings(call.fields)?)))
}

pub(in super::super) fn update_method(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::WriteMethod(Some(method_id(call)?), settings(call.fields)?)))
}

pub(in super::super) fn read_method(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::ReadMethod(method_id(call)?)))
}

pub(in super::super) fn delete_method(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::DeleteMethod(method_id(call)?)))
}

pub(in super::super) fn list_methods(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::Methods(Range::parse(call)?)))
}

pub(in super::super) fn generate(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::Generate(Enrol { entity: None, ..enrol(call.fields)? })))
}

pub(in super::super) fn admin_generate(call: &Call<'_>) -> Parsed {
    let ask = enrol(call.fields)?;
    ask.entity.as_ref().ok_or_else(|| Refusal::invalid("missing entityID"))?;
    Ok(mfa(Operation::AdminGenerate(Enrol { force: false, ..ask })))
}

pub(in super::super) fn admin_destroy(call: &Call<'_>) -> Parsed {
    let ask = enrol(call.fields)?;
    ask.entity.as_ref().ok_or_else(|| Refusal::invalid("missing entity ID"))?;
    Ok(mfa(Operation::AdminDestroy(ask)))
}

pub(in super::super) fn write_enforcement(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::WriteEnforcement(enforcement_name(call)?, Box::new(scope(call.fields)?))))
}

pub(in super::super) fn read_enforcement(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::ReadEnforcement(enforcement_name(call)?)))
}

pub(in super::super) fn delete_enforcement(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::DeleteEnforcement(enforcement_name(call)?)))
}

pub(in super::super) fn list_enforcements(call: &Call<'_>) -> Parsed {
    Ok(mfa(Operation::Enforcements(Range::parse(call)?)))
}

/// What is not given is the default, also in a change: so `OpenBao` has it.
fn settings(fields: &Fields<'_>) -> Result<Settings, Refusal> {
    let issuer = given(fields, "issuer")?.ok_or_else(|| Refusal::invalid("issuer must be set"))?;
    let period = fields.duration("period")?.map_or(30, |period| period.as_secs());
    if period == 0 {
        return Err(Refusal::invalid("period must be greater than zero"));
    }
    if period > PERIOD_SECONDS_MAX {
        return Err(Refusal::Invalid(format!("period must be at most {PERIOD_SECONDS_MAX} seconds")));
    }
    let key_bytes = usize::try_from(fields.integer("key_size")?.unwrap_or(20)).unwrap_or(0);
    if key_bytes == 0 {
        return Err(Refusal::invalid("key_size must be greater than zero"));
    }
    if !KEY_BYTES.contains(&key_bytes) {
        return Err(Refusal::Invalid(format!("key_size must be from {} to {}", KEY_BYTES.start(), KEY_BYTES.end())));
    }
    let algorithm = match fields.text("algorithm")?.as_deref() {
        None | Some("" | "SHA1") => Algorithm::Sha1,
        Some("SHA256") => Algorithm::Sha256,
        Some("SHA512") => Algorithm::Sha512,
        Some(_) => return Err(Refusal::invalid("unrecognized algorithm")),
    };
    let digits = match fields.integer("digits")? {
        None | Some(6) => 6,
        Some(8) => 8,
        Some(_) => return Err(Refusal::invalid("digits can only be 6 or 8")),
    };
    let skew = match fields.integer("skew")? {
        None | Some(1) => 1,
        Some(0) => 0,
        Some(_) => return Err(Refusal::invalid("skew must be 0 or 1")),
    };
    let attempts = match fields.integer("max_validation_attempts")? {
        None | Some(0) => 5,
        Some(attempts) => {
            u64::try_from(attempts).map_err(|_| Refusal::invalid("max_validation_attempts must be greater than zero"))?
        }
    };
    if attempts > ATTEMPTS_MAX {
        return Err(Refusal::Invalid(format!("max_validation_attempts must be at most {ATTEMPTS_MAX}")));
    }
    let barcode = fields.integer("qr_size")?.is_some_and(|size| size != 0);
    let name = named(given(fields, "method_name")?.unwrap_or_default(), "method_name")?;
    if is_uuid(&name) {
        return Err(Refusal::invalid("method_name must not look like an id"));
    }
    Ok(Settings {
        issuer: named(issuer, "issuer")?,
        name,
        period_seconds: period,
        key_bytes,
        algorithm,
        digits,
        skew,
        attempts,
        barcode,
    })
}

/// In `X-Vault-MFA` a colon ends the name.
fn named(text: String, what: &str) -> Result<String, Refusal> {
    if text.len() > NAME_BYTES_MAX || text.contains(':') || text.chars().any(char::is_control) {
        return Err(Refusal::Invalid(format!("{what}: at most {NAME_BYTES_MAX} bytes, no colon and no control characters")));
    }
    Ok(text)
}

fn enrol(fields: &Fields<'_>) -> Result<Enrol, Refusal> {
    Ok(Enrol {
        method: given(fields, "method_id")?.ok_or_else(|| Refusal::invalid("missing method ID"))?,
        entity: given(fields, "entity_id")?,
        force: fields.boolean("force")?.unwrap_or(false),
        recovery_code: fields.secret("recovery_code")?.filter(|code| !code.expose().is_empty()),
    })
}

fn scope(fields: &Fields<'_>) -> Result<Scope, Refusal> {
    let list = |name: &str| {
        let mut list = fields.list(name)?.unwrap_or_default();
        if list.len() > NAMED_MAX {
            return Err(Refusal::Invalid(format!("{name}: at most {NAMED_MAX}")));
        }
        list.sort_unstable();
        list.dedup();
        Ok(list)
    };
    let mut methods = fields.list("mfa_method_ids")?.unwrap_or_default();
    if methods.is_empty() {
        return Err(Refusal::invalid("missing method ids"));
    }
    if methods.len() > NAMED_MAX {
        return Err(Refusal::Invalid(format!("mfa_method_ids: at most {NAMED_MAX}")));
    }
    // In their order: clients offer the first one first.
    let mut seen = std::collections::BTreeSet::new();
    methods.retain(|method| seen.insert(method.clone()));
    Ok(Scope {
        methods,
        accessors: list("auth_method_accessors")?,
        types: list("auth_method_types")?,
        groups: list("identity_group_ids")?,
        entities: list("identity_entity_ids")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        assert!(is_uuid("344683af-bc0b-ede6-8146-dada98ee5476"));
        for text in [
            "",
            "totp",
            "344683AF-bc0b-ede6-8146-dada98ee5476",
            "344683af-bc0b-ede6-8146-dada98ee547",
            "344683afabc0b-ede6-8146-dada98ee5476",
        ] {
            assert!(!is_uuid(text), "{text}");
        }
    }

    #[test]
    fn settings_are_what_openbao_takes() {
        let of = |body: &str| settings(&Fields::parse(body.as_bytes(), None).unwrap());
        let plain = of(r#"{"issuer": "Acme"}"#).unwrap();
        assert_eq!((plain.period_seconds, plain.digits, plain.skew, plain.attempts, plain.key_bytes), (30, 6, 1, 5, 20));
        for (body, text) in [
            (r"{}", "issuer must be set"),
            (r#"{"issuer": "A", "period": 0}"#, "period must be greater than zero"),
            (r#"{"issuer": "A", "period": "2h"}"#, "period must be at most 3600 seconds"),
            (r#"{"issuer": "A", "digits": 7}"#, "digits can only be 6 or 8"),
            (r#"{"issuer": "A", "skew": 2}"#, "skew must be 0 or 1"),
            (r#"{"issuer": "A", "algorithm": "MD5"}"#, "unrecognized algorithm"),
            (r#"{"issuer": "A", "key_size": -1}"#, "key_size must be greater than zero"),
            (r#"{"issuer": "A", "key_size": 15}"#, "key_size must be from 16 to 64"),
            (r#"{"issuer": "A", "max_validation_attempts": -1}"#, "max_validation_attempts must be greater than zero"),
            (r#"{"issuer": "A", "method_name": "344683af-bc0b-ede6-8146-dada98ee5476"}"#, "method_name must not look like an id"),
        ] {
            assert!(matches!(of(body), Err(Refusal::Invalid(given)) if given == text), "{body}");
        }
        for body in [r#"{"issuer": "a:b"}"#, r#"{"issuer": "A", "method_name": "a:b"}"#, r#"{"issuer": "a\nb"}"#] {
            assert!(of(body).is_err(), "{body}");
        }
    }
}
