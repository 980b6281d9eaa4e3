//! Leases of tokens: `auth/token/create/h<hash>`, the path that the token was made at and its hash. The hash opens nothing:
//! it is looked up, and never taken for a token.
//!
//! The index that lists them is one row each, in the directory of the path, and one row for every directory on the way.
//! Rows of directories stay when the last lease goes, so that no request has to look whether it was the last; a listing
//! leaves out those that are empty.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::authenticate::{Known, live};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::path::split_parent;
use crate::record::{Address, Kind, Listing, SYSTEM};

/// Digits of a hash.
const HASH_LENGTH: usize = 64;

/// A lease, or a directory on the way to some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// The tenant's generation when it was made; 0 of a directory.
    pub generation: u64,
}

crate::json_record!(LeaseRecord, Kind::TokenLease, Listing::Flat);

/// Where the lease of a token is.
pub fn address(tenant: &Tenant, path: &str, hash: &str) -> Address {
    let label = tenant.label();
    let dot = if label.is_empty() { "" } else { "." };
    in_directory(format!("{path}/"), format!("h{hash}{dot}{label}"))
}

/// What the API calls it.
pub fn id(tenant: &Tenant, path: &str, hash: &str) -> String {
    let address = address(tenant, path, hash);
    format!("{}{}", address.directory, address.name)
}

/// Adds a token that is being made to the index.
pub async fn add(txn: &mut Txn, tenant: &Arc<Tenant>, path: &str, hash: &str, generation: u64) -> Result<(), Refusal> {
    let lease = address(tenant, path, hash);
    txn.put(tenant, &lease, &LeaseRecord { generation }, None).await?;
    let mut directory = lease.directory;
    while !directory.is_empty() {
        let (above, name) = split_parent(&directory);
        let entry = in_directory(above.to_owned(), name.to_owned());
        if txn.exists(tenant, &entry).await? {
            break;
        }
        txn.put(tenant, &entry, &LeaseRecord { generation: 0 }, None).await?;
        directory = entry.directory;
    }
    Ok(())
}

/// The live token with this lease. A lease of another tenant is as unknown as one that is not there.
pub async fn find(txn: &mut Txn, chain: &[Arc<Tenant>], tenant: &Arc<Tenant>, lease: &str) -> Result<Option<Known>, Refusal> {
    let Some((path, name)) = lease.rsplit_once('/') else { return Ok(None) };
    let Some(hash) = hash_in(tenant, name) else { return Ok(None) };
    Ok(live(txn, chain, tenant, hash).await?.filter(|known| known.entry.lease_path() == path))
}

/// The token that a name in the index stands for; `None` of a directory, and of what is no lease of this tenant.
pub(super) fn hash_in<'a>(tenant: &Tenant, name: &'a str) -> Option<&'a str> {
    let label = tenant.label();
    let body = if label.is_empty() { name } else { name.strip_suffix(&label)?.strip_suffix('.')? };
    let hash = body.strip_prefix('h')?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (hash.len() == HASH_LENGTH && hash.bytes().all(hexadecimal)).then_some(hash)
}

/// What is in a directory of the index (empty, or ending in a slash), sorted; of the directories those that are not empty.
pub async fn list(txn: &mut Txn, tenant: &Arc<Tenant>, directory: &str) -> Result<Vec<Box<str>>, Refusal> {
    let mut listed = Vec::new();
    for name in names(txn, tenant, directory).await?.iter() {
        if !name.ends_with('/') || holds_something(txn, tenant, &format!("{directory}{name}")).await? {
            listed.push(name.clone());
        }
    }
    Ok(listed)
}

async fn holds_something(txn: &mut Txn, tenant: &Arc<Tenant>, directory: &str) -> Result<bool, Refusal> {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for name in names(txn, tenant, &directory).await?.iter() {
            if !name.ends_with('/') {
                return Ok(true);
            }
            open.push(format!("{directory}{name}"));
        }
    }
    Ok(false)
}

async fn names(txn: &mut Txn, tenant: &Arc<Tenant>, directory: &str) -> Result<Arc<[Box<str>]>, Refusal> {
    txn.names(tenant, Kind::TokenLease, SYSTEM, directory).await
}

pub(super) fn in_directory(directory: String, name: String) -> Address {
    Address { kind: Kind::TokenLease, mount: SYSTEM, directory, name }
}
