//! The record that a parent keeps of a child namespace. It is what binds a tenant's key to its place in the tree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// A child namespace, listed flat in its parent by one segment without a slash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Which tenant it is.
    pub tenant: TenantId,
    /// The generation of the tenant's keyring: an older one does not load.
    pub generation: u32,
    /// Commitment to the TenantKey, 64 hexadecimal digits: a planted key does not load.
    pub commitment: String,
    /// What its owner wrote about it.
    #[serde(default)]
    pub custom_metadata: BTreeMap<String, String>,
    /// When it was made.
    pub created: Timestamp,
    /// Nobody is answered in it and below it until it is unlocked.
    #[serde(default)]
    pub lock: Option<Lock>,
    /// Its keys, and those of all namespaces below, are not to be opened by any server.
    #[serde(default)]
    pub sealed: bool,
    /// The key that wraps its own key, and no other does. None: the deployment's seals do.
    #[serde(default)]
    pub own_seal: Option<OwnSeal>,
}

/// A key of one of the configured seals, chosen for one tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnSeal {
    /// The seal's name in the configuration.
    pub seal: String,
    /// A key that this seal's configuration allows.
    pub key_id: String,
}

/// What opens a locked namespace again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// SHA-256 of the unlock key, 64 hexadecimal digits.
    pub key_hash: String,
}

crate::json_record!(Namespace, Kind::Namespace, Listing::Flat);

/// That a child namespace is sealed, listed flat in its parent by tenant id: so that servers which have its keys in memory
/// find out without looking at every namespace.
#[derive(Serialize, Deserialize)]
pub struct SealedNamespace {}

impl SealedNamespace {
    /// Where it is said of `tenant`.
    pub fn address(tenant: TenantId) -> Address {
        Address::system(Kind::NamespaceLock, tenant.to_string())
    }
}

crate::json_record!(SealedNamespace, Kind::NamespaceLock, Listing::Flat);

/// That a child namespace, and all below it, must not be erased, listed flat in its parent by tenant id: whoever has the tenant
/// finds it without the namespace's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegalHold {
    /// Why, in the words of who ordered it.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl LegalHold {
    /// Where it is said of `tenant`.
    pub fn address(tenant: TenantId) -> Address {
        Address::system(Kind::LegalHold, tenant.to_string())
    }
}

crate::json_record!(LegalHold, Kind::LegalHold, Listing::Flat);
