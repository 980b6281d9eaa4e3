//! When wrapping keys are to be rotated by themselves: the root keeps when each is due, and those whose time has come are opened.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tenant::Tenant;
use super::txn::Txn;
use super::waiting::Mark;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::json_record;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// That a tenant's wrapping key is to be rotated. Its name is the time, and then the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DueRotation {
    /// From the one below the root down to it.
    chain: Vec<TenantId>,
}

json_record!(DueRotation, Kind::DueRotation, Listing::Flat);

impl DueRotation {
    fn name(at: Timestamp, tenant: TenantId) -> String {
        format!("{:019}-{tenant}", at.0.max(0))
    }

    fn address(at: Timestamp, tenant: TenantId) -> Address {
        Address::system(Kind::DueRotation, Self::name(at, tenant))
    }
}

impl Mark for DueRotation {
    const WORK: &'static str = "rotations that are due";
    const FORGOTTEN: (&'static str, &'static str) = ("rotate-key", "its wrapping key is not rotated any more");

    fn wanted(names: &[Box<str>], now: Timestamp) -> impl Iterator<Item = (&str, TenantId)> {
        // They are in the order of time.
        let all = names.iter().filter_map(|name| Some((&**name, parse(name)?)));
        all.take_while(move |(_, (at, _))| *at <= now).map(|(name, (_, tenant))| (name, tenant))
    }

    fn chain(&self) -> &[TenantId] {
        &self.chain
    }
}

/// What a name says.
fn parse(name: &str) -> Option<(Timestamp, TenantId)> {
    let (at, tenant) = name.split_once('-')?;
    Some((Timestamp(at.parse().ok()?), TenantId::parse(tenant)?))
}

impl Txn {
    /// Writes down in the root that a tenant's wrapping key is due at `next`, and no more at `before`. The root itself is always open.
    pub async fn mark_due(
        &mut self,
        tenant: &Arc<Tenant>,
        before: Option<Timestamp>,
        next: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let root = self.tenants().root();
        if let Some(before) = before {
            self.remove::<DueRotation>(&root, &DueRotation::address(before, tenant.id())).await?;
        }
        let Some(next) = next else { return Ok(()) };
        let (address, chain) = (DueRotation::address(next, tenant.id()), self.chain_to(tenant).await?);
        self.exists(&root, &address).await?;
        self.put(&root, &address, &DueRotation { chain }, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_time() {
        let tenant = TenantId([7; 16]);
        let times = [0, 9, 10, 1_795_251_600_000_000_001, i64::MAX].map(Timestamp);
        let names = times.map(|at| DueRotation::name(at, tenant));
        assert!(names.is_sorted());
        assert_eq!(names.each_ref().map(|name| parse(name)), times.map(|at| Some((at, tenant))));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("12-x"), None);
    }
}
