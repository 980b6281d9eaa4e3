//! Batch tokens: not stored, they carry everything about themselves, sealed for the tenant they belong to.
//!
//!     b. ‖ base64url(seal_batch_token(content)) [ ‖ . ‖ the tenant's label ]
//!
//! The content is JSON, so that fields may be added. Whoever uses one is checked as the holder of any token: the tokens
//! above it live, it has not expired, and the tenant has not ended its batch tokens since (`epoch`).

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::cidr::Cidr;
use super::entry::{Parent, TokenEntry, TokenKind};
use crate::answer::Refusal;
use crate::auth::login::Login;
use crate::auth::origin::Fingerprint;
use crate::commit::Tenant;
use crate::policy::ShownFactor;
use crate::secret::SecretText;
use crate::time::Timestamp;

/// What every batch token begins with.
pub const PREFIX: &str = "b.";

/// The longest one, in bytes: it has to fit into a header together with others.
pub const TEXT_BYTES_MAX: usize = 8 << 10;

#[derive(Serialize, Deserialize)]
struct Content {
    generation: u64,
    created: Timestamp,
    ttl_seconds: u64,
    path: String,
    display_name: String,
    policies: Vec<String>,
    depth: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Parent>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    entity_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    bound_cidrs: Vec<Cidr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate: Option<Fingerprint>,
    /// Where there is a certificate in it, which its mount may deny later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    login: Option<Login>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    factors: Vec<ShownFactor>,
}

/// The text of a batch token. `Invalid` when there is too much about it for a header.
pub(super) fn seal(tenant: &Tenant, entry: &TokenEntry) -> Result<SecretText, Refusal> {
    let entry = TokenEntry::clone(entry);
    let content = Content {
        generation: entry.generation,
        created: entry.created,
        ttl_seconds: entry.creation_ttl_seconds,
        path: entry.path,
        display_name: entry.display_name,
        policies: entry.policies,
        depth: entry.depth,
        parent: entry.parent,
        meta: entry.meta,
        role: entry.role,
        entity_id: entry.entity_id,
        bound_cidrs: entry.bound_cidrs,
        certificate: entry.certificate,
        login: entry.login.filter(|login| login.certificate.is_some()),
        factors: entry.factors,
    };
    // A plain struct of strings, numbers and maps with string keys always serialises.
    let content = serde_json::to_vec(&content).unwrap_or_default();
    let label = tenant.label();
    let dot = if label.is_empty() { "" } else { "." };
    let text = format!("{PREFIX}{}{dot}{label}", BASE64URL_NOPAD.encode(&tenant.keyring().seal_batch_token(&content)));
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::invalid(format!(
            "a batch token carries its policies and meta, and is at most {TEXT_BYTES_MAX} bytes"
        )));
    }
    Ok(SecretText::new(text))
}

/// What a batch token of this tenant says about itself; `None` when it is none. Says nothing about whether it lives.
pub(super) fn open(tenant: &Tenant, text: &str) -> Option<TokenEntry> {
    let body = text.strip_prefix(PREFIX)?;
    let label = tenant.label();
    let body = if label.is_empty() { body } else { body.strip_suffix(&label)?.strip_suffix('.')? };
    let sealed = BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
    let opened = tenant.keyring().open_batch_token(&sealed).ok()?;
    let content: Content = serde_json::from_slice(opened.expose()).ok()?;
    Some(TokenEntry {
        kind: TokenKind::Batch,
        accessor: String::new(),
        parent: content.parent,
        depth: content.depth,
        policies: content.policies,
        meta: content.meta,
        display_name: content.display_name,
        path: content.path,
        role: content.role,
        entity_id: content.entity_id,
        bound_cidrs: content.bound_cidrs,
        certificate: content.certificate,
        login: content.login,
        factors: content.factors,
        generation: content.generation,
        created: content.created,
        renewed: None,
        expires: Some(content.created.plus(Duration::from_secs(content.ttl_seconds))),
        creation_ttl_seconds: content.ttl_seconds,
        ttl_seconds: content.ttl_seconds,
        max_ttl_seconds: 0,
        explicit_max_ttl_seconds: 0,
        period_seconds: 0,
        uses_left: None,
        renewable: false,
        event: OnceLock::new(),
    })
}
