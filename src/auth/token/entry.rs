//! What is stored about a token.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::batch;
use super::cidr::{Cidr, may_come_from};
use crate::audit::event::{self, Word};
use crate::auth::login::Login;
use crate::auth::origin::{Fingerprint, Origin};
use crate::commit::Tenant;
use crate::id::TenantId;
use crate::policy::ShownFactor;
use crate::policy::shipped::WRAPPING;
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::time::Timestamp;

/// The policy that allows everything.
pub const ROOT_POLICY: &str = "root";

/// How many tokens may stand above one another. Each use reads all of them.
pub const DEPTH_MAX: u8 = 64;

/// What a token's record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A service token.
    Service,
    /// A batch token: never stored, its text carries this.
    Batch,
    /// None at all, but the holder of a client certificate: never stored, and good for one request.
    Certificate,
    /// Revoked without its children: it opens nothing, and whoever names it as parent is an orphan. It stays,
    /// because children may live in tenants below, where a commit here cannot reach them.
    Released,
}

impl TokenKind {
    /// The `type` that the API shows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Service | Self::Released => "service",
            Self::Batch => "batch",
            Self::Certificate => "certificate",
        }
    }
}

/// The token above, which may belong to a tenant above.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The tenant that the token above belongs to.
    pub tenant: TenantId,
    /// Its hash under that tenant's key, 64 hexadecimal digits.
    pub hash: String,
}

/// Everything about a token but its text. Nothing in here is secret.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenEntry {
    /// What this is.
    pub kind: TokenKind,
    /// The name by which the token is managed without its text.
    pub accessor: String,
    /// The token above; none for an orphan.
    pub parent: Option<Parent>,
    /// How many tokens stand above it.
    pub depth: u8,
    /// Names of policies, lower case, sorted, each once.
    pub policies: Vec<String>,
    /// What its creator wrote about it.
    #[serde(default)]
    pub meta: Option<BTreeMap<String, String>>,
    /// What the audit log and people know it by.
    pub display_name: String,
    /// Where it was made: `auth/token/create`.
    pub path: String,
    /// The role that it was made with.
    #[serde(default)]
    pub role: Option<String>,
    /// Whom it stands for, in the identity engine; empty for nobody.
    #[serde(default)]
    pub entity_id: String,
    /// Where it may be used from; empty for anywhere.
    #[serde(default)]
    pub bound_cidrs: Vec<Cidr>,
    /// The certificate that it may be used with only; none for any connection.
    #[serde(default)]
    pub certificate: Option<Fingerprint>,
    /// What it was logged in with; none when no auth method gave it.
    #[serde(default)]
    pub login: Option<Login>,
    /// The second factors that were shown to it, one time for each method.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub factors: Vec<ShownFactor>,
    /// The tenant's generation when it was made (`epoch`).
    #[serde(default)]
    pub generation: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last renewed.
    #[serde(default)]
    pub renewed: Option<Timestamp>,
    /// From then on it is no more; none for a root token without end.
    pub expires: Option<Timestamp>,
    /// The TTL that it was made with; 0 for one without end.
    pub creation_ttl_seconds: u64,
    /// The TTL that was last granted, which a renewal without an increment grants again.
    pub ttl_seconds: u64,
    /// The most that the mount allowed when it was made, counted from `created`; 0 for no bound.
    pub max_ttl_seconds: u64,
    /// The most that its creator allowed, counted from `created`; 0 for no such bound.
    pub explicit_max_ttl_seconds: u64,
    /// The TTL of each renewal of a periodic token, which has no other bound than the explicit one; 0 for none.
    pub period_seconds: u64,
    /// Uses that are left; none when they are not counted.
    pub uses_left: Option<u64>,
    /// Whether it may be renewed.
    pub renewable: bool,
    /// The same as the audit log names it: made once, shared by its events.
    #[serde(skip)]
    pub(super) event: OnceLock<Arc<event::Caller>>,
}

crate::json_record!(TokenEntry, Kind::Token, Listing::None);

/// The holder of a client certificate, who needs no token.
pub struct Holder {
    /// Names of policies, lower case, sorted, each once.
    pub policies: Vec<String>,
    /// What the audit log knows it by.
    pub display_name: String,
    /// Whom it stands for; empty for nobody.
    pub entity_id: String,
    /// Where requests may come from; empty for anywhere.
    pub bound_cidrs: Vec<Cidr>,
    /// The certificate.
    pub certificate: Fingerprint,
}

impl TokenEntry {
    /// What stands for a token that is not there: it is not stored, and there is nothing to renew or revoke.
    pub fn of_holder(holder: Holder, now: Timestamp) -> Self {
        Self {
            kind: TokenKind::Certificate,
            accessor: String::new(),
            parent: None,
            depth: 0,
            policies: holder.policies,
            meta: None,
            display_name: holder.display_name,
            path: String::new(),
            role: None,
            entity_id: holder.entity_id,
            bound_cidrs: holder.bound_cidrs,
            certificate: Some(holder.certificate),
            login: None,
            factors: Vec::new(),
            generation: 0,
            created: now,
            renewed: None,
            expires: None,
            creation_ttl_seconds: 0,
            ttl_seconds: 0,
            max_ttl_seconds: 0,
            explicit_max_ttl_seconds: 0,
            period_seconds: 0,
            uses_left: None,
            renewable: false,
            event: OnceLock::new(),
        }
    }

    /// Whether it holds the root policy.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == ROOT_POLICY)
    }

    /// Whether all it is for is to open one answer: no other token has this policy.
    pub fn is_wrapping(&self) -> bool {
        self.policies.iter().any(|policy| policy == WRAPPING.name)
    }

    /// The path that its lease is listed under: where it was made. A wrapping token has no lease: what it was made for may
    /// be anywhere.
    pub fn lease_path(&self) -> &str {
        if self.is_wrapping() { "" } else { &self.path }
    }

    /// As the audit log names its holder; `tenant` is the one it belongs to.
    pub fn as_event(&self, tenant: TenantId) -> Arc<event::Caller> {
        let made = self.event.get_or_init(|| {
            Arc::new(event::Caller {
                tenant,
                accessor: self.accessor.clone(),
                display_name: self.display_name.clone(),
                policies: self.policies.clone(),
                kind: Word::new(self.kind.name()),
                entity: Some(self.entity_id.clone()).filter(|id| !id.is_empty()),
            })
        });
        Arc::clone(made)
    }

    /// Whether it may be used on this connection.
    pub fn may_come_from(&self, origin: &Origin) -> bool {
        may_come_from(&self.bound_cidrs, origin.address)
            && (self.certificate.is_none() || self.certificate == origin.certificate())
    }

    /// Whether its time is over.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Whole seconds that are left, rounded down; 0 for a token without end.
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.expires.map_or(0, |at| at.since(now).as_secs())
    }
}

/// Leads from an accessor to its token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessorRecord {
    /// The token's hash.
    pub hash: String,
    /// The token above it: names the `TokenChild` row when the token's own record has expired already.
    pub parent: Option<Parent>,
    /// Where it was made: names the `TokenLease` row, likewise.
    #[serde(default)]
    pub path: String,
}

crate::json_record!(AccessorRecord, Kind::TokenAccessor, Listing::Flat);

/// A token below another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRecord {
    /// The child's hash.
    pub hash: String,
    /// Where it was made.
    #[serde(default)]
    pub path: String,
}

crate::json_record!(ChildRecord, Kind::TokenChild, Listing::Flat);

/// The hash that `text` is kept by in `tenant`, 64 hexadecimal digits.
pub fn hash_of(tenant: &Tenant, text: &str) -> String {
    hex(&tenant.keyring().token_hash(text))
}

/// A hash as it stands in addresses.
pub(super) fn hex(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

/// Where the token with this hash is.
pub fn token_address(hash: &str) -> Address {
    Address::system(Kind::Token, hash)
}

/// Where it is noted that tokens below this hash are still to be cleared away. No hash is written like that.
pub fn remains_address(hash: &str) -> Address {
    Address { kind: Kind::TokenChild, mount: SYSTEM, directory: REMAINS.to_owned(), name: hash.to_owned() }
}

/// The directory of those notes.
pub const REMAINS: &str = "revoked/";

/// Where an accessor is.
pub fn accessor_address(accessor: &str) -> Address {
    Address::system(Kind::TokenAccessor, accessor)
}

/// Where the child with this accessor is, in the child's tenant.
pub fn child_address(parent_hash: &str, accessor: &str) -> Address {
    Address { kind: Kind::TokenChild, mount: SYSTEM, directory: children_of(parent_hash), name: accessor.to_owned() }
}

/// The directory that lists the children of a token.
pub fn children_of(parent_hash: &str) -> String {
    format!("{parent_hash}/")
}

/// The label at the end of a token's text, which tells the tenants that it may belong to; empty for the root.
/// A chosen text has no dot, so it belongs to the root.
pub fn label_of(text: &str) -> &str {
    let body = text.strip_prefix("s.").or_else(|| text.strip_prefix(batch::PREFIX)).unwrap_or(text);
    body.rsplit_once('.').map_or("", |(_, label)| label)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::CertificateDer;

    use super::*;
    use crate::cert::Presented;

    #[test]
    fn labels_are_what_follows_the_body() {
        for (text, label) in [
            ("s.0123456789abcdefghijklmn", ""),
            ("s.0123456789abcdefghijklmn.al5RyT", "al5RyT"),
            ("my-own-id", ""),
            ("root", ""),
            ("s.", ""),
            ("", ""),
            ("b.AAECAwQ-_w", ""),
            ("b.AAECAwQ-_w.al5RyT", "al5RyT"),
            ("a.b", "b"),
        ] {
            assert_eq!(label_of(text), label, "{text}");
        }
    }

    #[test]
    fn a_token_that_is_bound_to_a_certificate_is_none_without_it() {
        let entry = |certificate: Option<Fingerprint>, bound_cidrs: &[&str]| -> TokenEntry {
            serde_json::from_value(serde_json::json!({
                "kind": "service", "accessor": "a", "parent": null, "depth": 0, "policies": [], "display_name": "d", "path": "p",
                "certificate": certificate, "bound_cidrs": bound_cidrs, "created": Timestamp(0), "expires": null,
                "creation_ttl_seconds": 0, "ttl_seconds": 0, "max_ttl_seconds": 0, "explicit_max_ttl_seconds": 0,
                "period_seconds": 0, "uses_left": null, "renewable": true,
            }))
            .unwrap()
        };
        let showing = |certificate: &[&'static [u8]]| {
            let chain: Vec<CertificateDer<'_>> = certificate.iter().map(|der| CertificateDer::from(*der)).collect();
            Origin { address: [10, 0, 0, 1].into(), presented: Presented::new(&chain).map(Arc::new) }
        };
        let (none, one, other) = (showing(&[]), showing(&[b"one"]), showing(&[b"other"]));
        for (bound, from, good) in
            [(&none, &none, true), (&none, &one, true), (&one, &one, true), (&one, &other, false), (&one, &none, false)]
        {
            let bound = bound.certificate();
            assert_eq!(entry(bound, &[]).may_come_from(from), good, "{bound:?} {:?}", from.certificate());
        }
        assert!(!entry(one.certificate(), &["11.0.0.0/8"]).may_come_from(&one), "both have to be right");
    }

    #[test]
    fn children_are_listed_under_the_hash_of_their_parent() {
        let address = child_address("ab12", "acc");
        assert_eq!((address.directory.as_str(), address.name.as_str()), ("ab12/", "acc"));
        assert_ne!(address, child_address("ab13", "acc"));
    }
}
