//! How a token is shown: the `auth` object of an answer that gives one out, and the `data` of a look-up.

use std::collections::BTreeSet;

use super::authenticate::Known;
use super::entry::TokenEntry;
use crate::json::Json;
use crate::policy::ShownFactor;
use crate::secret::SecretText;
use crate::time::Timestamp;

/// The `auth` object for a token that was made or renewed; `token` is its text, if its holder named it.
/// `identity` are the policies of its entity.
pub fn auth_json(entry: &TokenEntry, identity: &[String], token: Option<&SecretText>, orphan: bool) -> Json {
    let all: BTreeSet<&str> = entry.policies.iter().chain(identity).map(String::as_str).collect();
    Json::object(|auth| {
        auth.field("client_token", token.map_or("", SecretText::expose))
            .field("accessor", &entry.accessor)
            .field("policies", &all)
            .strings("token_policies", &entry.policies);
        if !identity.is_empty() {
            auth.strings("identity_policies", identity);
        }
        auth.field("metadata", &entry.meta)
            .field("lease_duration", &entry.ttl_seconds)
            .field("renewable", &entry.renewable)
            .field("entity_id", &entry.entity_id)
            .field("token_type", entry.kind.name())
            .field("orphan", &orphan)
            .null("mfa_requirement")
            .field("num_uses", &entry.uses_left.unwrap_or(0));
    })
}

/// The `data` of a look-up. `namespace` is the path of the token's tenant, empty for the root. `token` is the text,
/// if the one who asks knows it, `identity` the policies of its entity. Nothing tells the token above: its holder is not the business of this one.
pub(super) fn lookup_json(
    known: &Known,
    identity: &[String],
    namespace: &str,
    token: Option<&SecretText>,
    now: Timestamp,
) -> Json {
    let entry = &*known.entry;
    Json::object(|data| {
        data.field("accessor", &entry.accessor);
        if !entry.bound_cidrs.is_empty() {
            data.field("bound_cidrs", &entry.bound_cidrs);
        }
        data.field("creation_time", &entry.created.unix_seconds())
            .field("creation_ttl", &entry.creation_ttl_seconds)
            .field("display_name", &entry.display_name)
            .field("entity_id", &entry.entity_id)
            .field("expire_time", &entry.expires.map(Timestamp::rfc3339))
            .field("explicit_max_ttl", &entry.explicit_max_ttl_seconds)
            .field("id", token.map_or("", SecretText::expose));
        if entry.expires.is_some() {
            data.field("issue_time", &entry.created.rfc3339());
        }
        if let Some(renewed) = entry.renewed {
            data.field("last_renewal", &renewed.rfc3339()).field("last_renewal_time", &renewed.unix_seconds());
        }
        if !identity.is_empty() {
            data.object("external_namespace_policies", |_| {}).strings("identity_policies", identity);
        }
        data.field("meta", &entry.meta);
        if !entry.factors.is_empty() {
            data.raw("mfa", shown_json(&entry.factors).expose());
        }
        if !namespace.is_empty() {
            data.field("namespace_path", namespace);
        }
        data.field("num_uses", &entry.uses_left.unwrap_or(0))
            .field("orphan", &(entry.parent.is_none() || known.released))
            .field("path", &entry.path);
        if entry.period_seconds > 0 {
            data.field("period", &entry.period_seconds);
        }
        data.strings("policies", &entry.policies);
        if entry.expires.is_some() {
            data.field("renewable", &entry.renewable);
        }
        if let Some(role) = &entry.role {
            data.field("role", role);
        }
        data.field("ttl", &entry.seconds_left(now)).field("type", entry.kind.name());
    })
}

/// The second factors that a token was shown: ids of methods, and when.
pub(in crate::auth) fn shown_json(factors: &[ShownFactor]) -> Json {
    let mut list = Json::list();
    for factor in factors {
        list.object(|out| {
            out.field("method_id", &factor.method).field("time", &factor.time.rfc3339());
        });
    }
    list.close()
}
