//! The record that a parent keeps of a child namespace. It is what binds a tenant's key to its place in the tree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::TenantId;
use crate::record::{Kind, Listing};
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
}

crate::json_record!(Namespace, Kind::Namespace, Listing::Flat);
