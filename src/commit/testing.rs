//! What unit tests of the layers above start from.

use std::sync::Arc;

use super::new_tenant;
use crate::id::DeploymentId;
use crate::seal::Seal;
use crate::storage::{Deployment, Store};

/// Makes a deployment with its root and its edge in an empty store; `seals` wrap their keys.
pub(crate) async fn deployment(store: &dyn Store, seals: &[Arc<dyn Seal>]) {
    let id = DeploymentId::random();
    let (root, _) = new_tenant(seals, id, None).await.unwrap();
    let (edge, _) = new_tenant(seals, id, None).await.unwrap();
    let deployment = Deployment { id, root: root.id, edge: edge.id, dev: true, seal: Vec::new(), format: 1 };
    assert!(store.initialise(&deployment, &[root, edge]).await.unwrap());
}
