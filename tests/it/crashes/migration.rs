//! From one list of seals to another, online; and from recovery shares to new seals, when all seals before are gone.

use std::sync::Arc;

use serde_json::Value;
use strongroom::id::TenantId;
use strongroom::secret::SecretText;
use strongroom::storage::Store;
use strongroom::sys::barrier::Guard;
use strongroom::sys::erasure::ErasureSettings;

use super::at_every_step;
use super::server::Mortal;
use super::store::Ends;
use crate::support::full;
use crate::support::in_process::{guard, postgresql, seals, sqlite};

const SECRETS: usize = 3;

/// What is migrated: the store, and every tenant in it.
struct Deployed {
    store: Arc<dyn Store>,
    tenants: Vec<TenantId>,
    recovery: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_seals_is_finished_wherever_the_server_died_on_sqlite() {
    let (store, _folder) = sqlite().await;
    migrate_at_every_step(Deployed::new(store, 0).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_seals_is_finished_wherever_the_server_died_on_postgresql() {
    if full() {
        let (store, _database) = postgresql().await;
        migrate_at_every_step(Deployed::new(store, 0).await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_is_finished_wherever_the_server_died() {
    let (store, _folder) = sqlite().await;
    let deployed = Deployed::new(store, 1).await;
    let (mut now, mut next) = ("one", "two");
    at_every_step(5, async |ends| {
        // The seal of now is gone for good: its server has recovery shares and a new seal.
        let server = deployed.recovering(next);
        server.arm(ends);
        let _ = server.barrier.unseal(&SecretText::new(deployed.recovery[0].clone()), false).await;
        let died = server.dies_before("a recovery", async || deployed.is_finished(&[next]).await).await;
        server.end().await;
        // It may have been before the new seal was written down, and after: shares open all the same.
        let again = deployed.recovering(next);
        again.barrier.unseal(&SecretText::new(deployed.recovery[0].clone()), false).await.unwrap();
        again.until("a recovery goes on", async || deployed.is_finished(&[next]).await).await;
        again.end().await;
        deployed.verify(&[next, "recovery"], &[next]).await;
        (now, next) = (next, now);
        died
    })
    .await;
}

async fn migrate_at_every_step(deployed: Deployed) {
    let (mut now, mut next) = ("one", "two");
    at_every_step(5, async |ends| {
        // The other seal is added, and then the one before is dropped.
        let added = deployed.change(&["one", "two"], ends).await;
        let dropped = deployed.change(&[next], ends).await;
        (now, next) = (next, now);
        added || dropped
    })
    .await;
}

impl Deployed {
    async fn new(store: Arc<dyn Store>, shares: u8) -> Self {
        let first = Mortal::new(&store, guard(&["one"]), ErasureSettings::default());
        let recovery = first.initialise(shares, shares).await;
        let team = first.namespace("team", SECRETS).await;
        first.end().await;
        let deployment = store.deployment().await.unwrap().unwrap();
        Self { store, tenants: vec![deployment.root, deployment.edge, team], recovery }
    }

    fn recovering(&self, seal: &str) -> Mortal {
        Mortal::new(&self.store, Guard::Recovery(seals(&[seal])), ErasureSettings::default())
    }

    /// What is stored about the seals says that all is wrapped by this list.
    async fn is_finished(&self, list: &[&str]) -> bool {
        let record: Value = serde_json::from_slice(&self.store.deployment().await.unwrap().unwrap().seal).unwrap();
        let names = record["seals"].as_array().unwrap().iter().map(|seal| seal.as_str().unwrap().split(' ').next().unwrap());
        record["unfinished"] == false && names.eq(list.iter().copied())
    }

    /// A server starts with another list and dies; the next one finishes.
    async fn change(&self, list: &[&str], ends: Ends) -> bool {
        let server = Mortal::new(&self.store, guard(list), ErasureSettings::default());
        server.arm(ends);
        let _ = server.barrier.open_at_start().await;
        let died = server.dies_before("a change of seals", async || self.is_finished(list).await).await;
        server.end().await;
        let next = Mortal::open(&self.store, list).await;
        next.until("a change of seals goes on", async || self.is_finished(list).await).await;
        next.end().await;
        self.verify(list, list).await;
        died
    }

    /// Every tenant is wrapped by these seals and by no other, and any one of those that open by themselves opens all.
    async fn verify(&self, wraps: &[&str], opening: &[&str]) {
        for tenant in &self.tenants {
            let row = self.store.tenant(*tenant).await.unwrap().unwrap();
            let mut names: Vec<&str> = row.wraps.iter().map(|wrap| wrap.seal.as_str()).collect();
            let mut wanted = wraps.to_vec();
            names.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(names, wanted, "tenant {tenant}");
        }
        let server = Mortal::open(&self.store, opening).await;
        server.reads("team", SECRETS).await;
        server.log_verifies("team", self.tenants[2]).await;
        server.end().await;
    }
}
