//! What the policies of a tenant were: each write of one adds a version, and so does its deletion. Only auditors ask; what is in
//! force is decided by the policies themselves.
//!
//! Versions of one policy are numbered from 1 without gaps, and the oldest go first when there are too many: so it shows
//! whether something is missing at the beginning.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::policies;
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::policy::{Policy, PolicyRecord};
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::time::Timestamp;

/// Versions of one policy that are kept.
pub const VERSIONS_MAX: usize = 100;

/// What a policy was from some time on.
#[derive(Serialize, Deserialize)]
pub struct PolicyVersion {
    /// When it was written; none of what was there before versions were kept.
    since: Option<Timestamp>,
    /// Its text; none when it was deleted.
    text: Option<String>,
}

crate::json_record!(PolicyVersion, Kind::PolicyVersion, Listing::Flat);

/// What is known of a policy at some time.
pub enum Known {
    /// It was this.
    Was(Arc<Policy>),
    /// There was none of this name, or the shipped one was in force: `policies::shipped` tells.
    NotWritten,
    /// It was written before, and its versions of that time are not kept any more.
    Forgotten,
}

/// To be called before a policy is written (`text`) or deleted.
pub async fn note(txn: &mut Txn, tenant: &Arc<Tenant>, name: &str, text: Option<&str>) -> Result<(), Refusal> {
    let kept = numbers(txn, tenant, name).await?;
    let mut last = kept.last().copied().unwrap_or(0);
    let before = txn.read::<PolicyRecord>(tenant, &policies::address(name)).await?;
    // Whoever writes the same again, as tools do that bring about a state, adds nothing.
    if before.as_ref().map(|found| found.value.text()) == text {
        return Ok(());
    }
    if last == 0 {
        txn.put(tenant, &listed(name), &PolicyVersion { since: None, text: None }, None).await?;
    }
    if let (0, Some(before)) = (last, before) {
        let version = PolicyVersion { since: None, text: Some(before.value.text().to_owned()) };
        last += 1;
        txn.put(tenant, &address(name, last), &version, None).await?;
    }
    let version = PolicyVersion { since: Some(txn.now()), text: text.map(str::to_owned) };
    txn.put(tenant, &address(name, last + 1), &version, None).await?;
    for number in kept.iter().take((kept.len() + 1).saturating_sub(VERSIONS_MAX)) {
        txn.remove::<PolicyVersion>(tenant, &address(name, *number)).await?;
    }
    Ok(())
}

/// Names of all policies of which there are versions, those included that were deleted.
pub async fn names(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<Arc<[Box<str>]>, Refusal> {
    txn.names(tenant, Kind::PolicyVersion, SYSTEM, "").await
}

/// What a policy was at a time.
pub async fn at(txn: &mut Txn, tenant: &Arc<Tenant>, name: &str, time: Timestamp) -> Result<Known, Refusal> {
    let kept = numbers(txn, tenant, name).await?;
    for number in kept.iter().rev() {
        let Some(found) = txn.read::<PolicyVersion>(tenant, &address(name, *number)).await? else { continue };
        if found.value.since.is_some_and(|since| since > time) {
            continue;
        }
        return Ok(match &found.value.text {
            // What compiled when it was written compiles always.
            Some(text) => Policy::parse(name, text).map_or(Known::Forgotten, |policy| Known::Was(Arc::new(policy))),
            None => Known::NotWritten,
        });
    }
    Ok(match kept.first() {
        // It has not been written since versions are kept: what is there now was there then.
        None => match txn.read::<PolicyRecord>(tenant, &policies::address(name)).await? {
            Some(found) => Known::Was(Arc::clone(found.value.policy())),
            None => Known::NotWritten,
        },
        Some(1) => Known::NotWritten,
        Some(_) => Known::Forgotten,
    })
}

async fn numbers(txn: &mut Txn, tenant: &Arc<Tenant>, name: &str) -> Result<Vec<u64>, Refusal> {
    let names = txn.names(tenant, Kind::PolicyVersion, SYSTEM, &directory(name)).await?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn directory(name: &str) -> String {
    format!("{name}/")
}

/// Lists the policy itself: versions are in a directory of each.
fn listed(name: &str) -> Address {
    Address::system(Kind::PolicyVersion, name)
}

fn address(name: &str, number: u64) -> Address {
    Address { kind: Kind::PolicyVersion, mount: SYSTEM, directory: directory(name), name: number.to_string() }
}
