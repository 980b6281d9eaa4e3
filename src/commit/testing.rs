//! What unit tests of the layers above start from.

use std::sync::Arc;

use super::{Committer, Seals, Tenants, Upkeep, new_tenant};
use crate::crypto::RootKey;
use crate::id::{DeploymentId, MountId};
use crate::mount::{Engine, LeaseTtl, Mount, MountConfig};
use crate::seal::{LocalSeal, Seal};
use crate::storage::sqlite::{self, SqliteStore};
use crate::storage::{Deployment, Store};
use crate::time::{Clock, ManualClock, Timestamp};

/// A step of upkeep in every loaded tenant. True when more is left to do.
pub(crate) async fn upkeep(committer: &Arc<Committer>) -> bool {
    let upkeep = Upkeep::new(Arc::clone(committer), None);
    upkeep.drop_sealed().await;
    let mut more = upkeep.around(None).await;
    for tenant in committer.tenants().all() {
        more |= upkeep.expire(&tenant, None).await | upkeep.visit(&tenant, None).await;
    }
    more
}

/// A deployment with its root and its edge, on SQLite in a folder that ends with it.
pub(crate) struct Deployed {
    pub(crate) clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    seals: Vec<Arc<dyn Seal>>,
    folder: tempfile::TempDir,
}

impl Deployed {
    /// Its clock stands at `now`.
    pub(crate) async fn at(now: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(now));
        let store = SqliteStore::open(&folder.path().join("store.db"), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
        let seals: Vec<Arc<dyn Seal>> = vec![Arc::new(LocalSeal::static_key("static", RootKey::generate()))];
        let id = DeploymentId::random();
        let (root, _) = new_tenant(&seals, id, None).await.unwrap();
        let (edge, _) = new_tenant(&seals, id, None).await.unwrap();
        let deployment = Deployment { id, root: root.id, edge: edge.id, dev: true, seal: Vec::new(), format: 1 };
        assert!(store.initialise(&deployment, &[root, edge]).await.unwrap());
        Self { clock, store: Arc::new(store), seals, folder }
    }

    /// Changes its database behind the servers' back.
    pub(crate) async fn tamper(&self, statement: &'static str) {
        sqlite::tamper(&self.folder.path().join("store.db"), statement).await;
    }

    /// What one server has of it.
    pub(crate) async fn tenants(&self) -> Arc<Tenants> {
        let seals = Seals { epoch: 0, list: self.seals.clone() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let tenants = Tenants::open(Arc::clone(&self.store), seals, clock, LeaseTtl::USUAL, Arc::default()).await.unwrap();
        assert!(tenants.say_that_it_lives().await);
        tenants
    }
}

/// A mount with nothing special.
pub(crate) fn mount(engine: Engine, id: MountId) -> Arc<Mount> {
    Arc::new(Mount {
        id,
        engine,
        accessor: format!("{}_00000000", engine.type_name()),
        description: String::new(),
        options: None,
        config: MountConfig::default(),
        local: false,
        seal_wrap: false,
        external_entropy_access: false,
    })
}
