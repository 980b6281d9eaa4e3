//! The operations of `identity/oidc/`: from the call to typed fields. The rows are in the table of the engine.

use super::super::operation::{field, given};
use super::{key, role, template};
use crate::answer::Refusal;
use crate::crypto::SigningAlgorithm;
use crate::engine::listing::Range;
use crate::engine::table::{Call, Field};
use crate::fields::Fields;
use crate::secret::SecretText;

/// What a client asks.
pub enum Operation {
    /// Show the settings.
    ReadConfig,
    /// Set the issuer; empty for the server's own address.
    WriteConfig(String),
    /// Show where the keys are, to anybody.
    Configuration,
    /// Show the public keys, to anybody.
    Keys,
    /// List keys.
    ListKeys(Range),
    /// Show a key's settings.
    ReadKey(String),
    /// Make or change a key.
    WriteKey(String, Box<key::Change>),
    /// Delete a key.
    DeleteKey(String),
    /// Use the next private key from now on; what the old one signed is valid for so many seconds more.
    RotateKey(String, Option<u64>),
    /// List roles.
    ListRoles(Range),
    /// Show a role.
    ReadRole(String),
    /// Make or change a role.
    WriteRole(String, Box<role::Change>),
    /// Delete a role.
    DeleteRole(String),
    /// Make a token about the caller.
    Issue(String),
    /// Say whether a token is valid.
    Introspect {
        /// The token.
        token: SecretText,
        /// Whom it must be for.
        client_id: Option<String>,
    },
}

pub(in super::super) const CONFIG: &[Field] = &[field("issuer", "string", "Scheme, host and port; empty for api_addr.")];
pub(in super::super) const KEY: &[Field] = &[
    field("rotation_period", "duration", "How often the private key changes; 24h by default, at least a minute."),
    field("verification_ttl", "duration", "How long the public key is published after that; 24h by default."),
    field("allowed_client_ids", "array", "Client ids of the roles that may use it; * for all."),
    field("algorithm", "string", "RS256 (default), RS384, RS512, ES256, ES384, ES512 or EdDSA."),
];
pub(in super::super) const ROTATE: &[Field] =
    &[field("verification_ttl", "duration", "How long the old public key is published; by default what the key says.")];
pub(in super::super) const ROLE: &[Field] = &[
    field("key", "string", "The key that signs."),
    field("template", "string", "JSON with {{identity...}} and {{time...}}, or the same in base64: what a token tells."),
    field("client_id", "string", "Whom tokens are for; made up if it is not given."),
    field("ttl", "duration", "How long tokens are valid; 24h by default."),
];
pub(in super::super) const INTROSPECT: &[Field] =
    &[field("token", "string", "The token."), field("client_id", "string", "Whom it must be for.")];

/// Parses for the rows of the engine's table.
pub(in super::super) mod parse {
    use super::super::super::Operation as Identity;
    use super::{Call, Operation, Range, Refusal, SecretText, given, issuer, key, key_change, role_change, seconds};

    type Parsed = Result<Identity, Refusal>;

    fn name(call: &Call<'_>) -> Result<String, Refusal> {
        let name = call.captures.get(0);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if name.len() > key::NAME_BYTES_MAX || !name.bytes().all(plain) {
            return Err(Refusal::invalid(format!(
                "name: at most {} letters, digits, \"_\", \"-\" and \".\"",
                key::NAME_BYTES_MAX
            )));
        }
        Ok(name.to_owned())
    }

    pub(in super::super::super) fn write_config(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::WriteConfig(issuer(&call.fields.text("issuer")?.unwrap_or_default())?)))
    }

    pub(in super::super::super) fn list_keys(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::ListKeys(Range::parse(call)?)))
    }

    pub(in super::super::super) fn read_key(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::ReadKey(name(call)?)))
    }

    pub(in super::super::super) fn write_key(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::WriteKey(name(call)?, Box::new(key_change(call.fields)?))))
    }

    pub(in super::super::super) fn delete_key(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::DeleteKey(name(call)?)))
    }

    pub(in super::super::super) fn rotate_key(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::RotateKey(name(call)?, seconds(call.fields, "verification_ttl")?)))
    }

    pub(in super::super::super) fn list_roles(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::ListRoles(Range::parse(call)?)))
    }

    pub(in super::super::super) fn read_role(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::ReadRole(name(call)?)))
    }

    pub(in super::super::super) fn write_role(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::WriteRole(name(call)?, Box::new(role_change(call.fields)?))))
    }

    pub(in super::super::super) fn delete_role(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::DeleteRole(name(call)?)))
    }

    pub(in super::super::super) fn issue(call: &Call<'_>) -> Parsed {
        Ok(Identity::Oidc(Operation::Issue(name(call)?)))
    }

    pub(in super::super::super) fn introspect(call: &Call<'_>) -> Parsed {
        let token = call.fields.secret("token")?.unwrap_or_else(|| SecretText::new(String::new()));
        Ok(Identity::Oidc(Operation::Introspect { token, client_id: given(call.fields, "client_id")? }))
    }
}

/// Scheme, host and port, and nothing else.
fn issuer(text: &str) -> Result<String, Refusal> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    if text.is_empty() || rest.is_some_and(|host| !host.is_empty() && host.len() <= 512 && host.bytes().all(plain)) {
        return Ok(text.to_owned());
    }
    Err(Refusal::invalid(
        "invalid issuer, which must include only a scheme, host, and optional port (e.g. https://example.com:8200)",
    ))
}

fn seconds(fields: &Fields<'_>, name: &str) -> Result<Option<u64>, Refusal> {
    Ok(fields.duration(name)?.map(|duration| duration.as_secs()))
}

fn key_change(fields: &Fields<'_>) -> Result<key::Change, Refusal> {
    let algorithm = match given(fields, "algorithm")? {
        None => None,
        Some(name) => {
            let known = SigningAlgorithm::parse(&name);
            Some(known.ok_or_else(|| Refusal::invalid(format!("unknown signing algorithm {name:?}")))?)
        }
    };
    let clients = fields.list("allowed_client_ids")?;
    if clients.as_ref().is_some_and(|ids| ids.len() > key::CLIENTS_MAX || ids.iter().any(|id| id.len() > key::NAME_BYTES_MAX)) {
        return Err(Refusal::invalid(format!(
            "allowed_client_ids: at most {} of {} bytes",
            key::CLIENTS_MAX,
            key::NAME_BYTES_MAX
        )));
    }
    Ok(key::Change {
        rotation_seconds: seconds(fields, "rotation_period")?,
        verification_seconds: seconds(fields, "verification_ttl")?,
        clients,
        algorithm,
    })
}

fn role_change(fields: &Fields<'_>) -> Result<role::Change, Refusal> {
    let client_id = given(fields, "client_id")?;
    if client_id.as_ref().is_some_and(|id| id.len() > key::NAME_BYTES_MAX || id.chars().any(char::is_control)) {
        return Err(Refusal::invalid(format!("client_id: at most {} bytes", key::NAME_BYTES_MAX)));
    }
    let template = fields.text("template")?;
    if let Some(template) = template.as_deref().filter(|text| !text.is_empty()) {
        template::check(template)?;
    }
    Ok(role::Change { key: given(fields, "key")?, template, client_id, ttl_seconds: seconds(fields, "ttl")? })
}
