//! Tenants whose values are being wrapped anew: the root keeps which they are until it is done.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::tenant::Tenant;
use super::txn::Txn;
use super::waiting::Mark;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::json_record;
use crate::metrics;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// That a tenant's values are being wrapped anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UnfinishedRewrap {
    /// From the one below the root down to it.
    chain: Vec<TenantId>,
}

json_record!(UnfinishedRewrap, Kind::UnfinishedRewrap, Listing::Flat);

impl UnfinishedRewrap {
    fn address(tenant: TenantId) -> Address {
        Address::system(Kind::UnfinishedRewrap, tenant.to_string())
    }
}

impl Mark for UnfinishedRewrap {
    const WORK: &'static str = "unfinished rotations";
    const FORGOTTEN: (&'static str, &'static str) = ("rewrap", "nothing of it is wrapped anew any more");

    fn wanted(names: &[Box<str>], _now: Timestamp) -> impl Iterator<Item = (&str, TenantId)> {
        names.iter().filter_map(|name| Some((&**name, TenantId::parse(name)?)))
    }

    fn chain(&self) -> &[TenantId] {
        &self.chain
    }

    async fn counted(txn: &mut Txn, marks: usize) -> Result<(), Refusal> {
        let root = txn.tenants().root();
        let here = txn.rewrap_state(&root).await?.is_some_and(|state| state.finished.is_none());
        metrics::rotations_unfinished(marks + usize::from(here));
        Ok(())
    }
}

impl Txn {
    /// Writes down that a tenant's values are being wrapped anew. The root itself is always open.
    pub(super) async fn mark_unfinished(&mut self, tenant: &Arc<Tenant>) -> Result<(), Refusal> {
        if tenant.parent().is_none() {
            return Ok(());
        }
        let (root, chain) = (self.tenants().root(), self.chain_to(tenant).await?);
        self.put(&root, &UnfinishedRewrap::address(tenant.id()), &UnfinishedRewrap { chain }, None).await
    }

    /// The opposite of `mark_unfinished`.
    pub(super) async fn mark_finished(&mut self, tenant: TenantId) -> Result<(), Refusal> {
        let (root, address) = (self.tenants().root(), UnfinishedRewrap::address(tenant));
        if self.exists(&root, &address).await? {
            self.remove::<UnfinishedRewrap>(&root, &address).await?;
        }
        Ok(())
    }
}
