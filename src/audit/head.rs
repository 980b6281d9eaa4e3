//! The deployment's log: the one tree that witnesses cosign for all tenants. Its leaves are heads of tenants' logs.
//!
//!     entry  = ORIGIN ⏎ SIZE ⏎ base64(ROOT) ⏎, the text that the tenant's own checkpoint signs
//!     origin = strongroom/DEPLOYMENT/EPOCH
//!
//! The epoch is that of the root tenant's log: who puts back the whole database puts back this log, too. Nothing of it is secret,
//! and nothing in it has a name.

use super::merkle::{Hash, leaf_hash};
use super::note::{TreeHead, log_and_epoch, origin};
use crate::id::{DeploymentId, TenantId};

/// What the deployment's log is called in its checkpoints.
pub fn deployment_origin(deployment: DeploymentId, epoch: u32) -> String {
    format!("strongroom/{deployment}/{epoch}")
}

/// What the log is called of the deployment that has the log of this name, without its epoch.
pub fn deployment_of(log: &str) -> Option<&str> {
    let (log, _) = log_and_epoch(log)?;
    let mut parts = log.splitn(4, '/');
    let (Some(_), Some(_), Some(tenant), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else { return None };
    log.strip_suffix(tenant)?.strip_suffix('/')
}

/// Whether this is what a deployment's log is called, in some epoch.
pub fn is_of_deployment(log: &str) -> bool {
    log_and_epoch(log).is_some_and(|(log, _)| log.split('/').count() == 2)
}

/// Where a tenant's log stood when it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantHead {
    /// Whose log.
    pub tenant: TenantId,
    /// Its epoch.
    pub epoch: u32,
    /// How many events were signed.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl TenantHead {
    /// The text of the checkpoint.
    pub fn entry(&self, deployment: DeploymentId) -> String {
        let origin = origin(deployment, self.tenant, self.epoch);
        TreeHead { origin, size: self.size, root: self.root }.text()
    }

    /// The leaf.
    pub fn leaf(&self, deployment: DeploymentId) -> Hash {
        leaf_hash(self.entry(deployment).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_the_tenants_checkpoint_signs() {
        let deployment = DeploymentId([1; 16]);
        let head = TenantHead { tenant: TenantId([2; 16]), epoch: 3, size: 40, root: [5; 32] };
        let entry = head.entry(deployment);
        let read = TreeHead::parse(&entry).unwrap();
        assert_eq!((read.origin.as_str(), read.size, read.root), (&*origin(deployment, head.tenant, 3), 40, [5; 32]));
        assert_eq!(head.leaf(deployment), leaf_hash(entry.as_bytes()));
    }

    #[test]
    fn a_log_of_a_tenant_is_never_that_of_the_deployment() {
        let deployment = DeploymentId([1; 16]);
        let (all, one) = (deployment_origin(deployment, 7), origin(deployment, TenantId([2; 16]), 7));
        assert_eq!(log_and_epoch(&all), Some((&*format!("strongroom/{deployment}"), 7)));
        assert_eq!(deployment_of(&one), Some(&*format!("strongroom/{deployment}")));
        assert!(is_of_deployment(&all) && !is_of_deployment(&one) && !is_of_deployment("strongroom/0"));
        assert_eq!([deployment_of(&all), deployment_of("a/b"), deployment_of("strongroom/a/b/c/0")], [None; 3]);
    }
}
