//! From shares to a seal that opens by itself, and from that to other shares: both open everything on the way.

use std::sync::Arc;

use serde_json::{Value, json};
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

struct Deployed {
    store: Arc<dyn Store>,
    tenants: Vec<TenantId>,
    /// Those that open, or recover.
    shares: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_and_a_seal_take_over_from_each_other_wherever_the_server_died_on_sqlite() {
    let (store, _folder) = sqlite().await;
    there_and_back_at_every_step(Deployed::new(store).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_and_a_seal_take_over_from_each_other_wherever_the_server_died_on_postgresql() {
    if full() {
        let (store, _database) = postgresql().await;
        there_and_back_at_every_step(Deployed::new(store).await).await;
    }
}

async fn there_and_back_at_every_step(mut deployed: Deployed) {
    at_every_step(5, async |ends| {
        let joined = deployed.seal_joins(ends).await;
        let dropped = deployed.shares_are_dropped(ends).await;
        let given = deployed.shares_are_given_out(ends).await;
        let alone = deployed.shares_alone(ends).await;
        joined || dropped || given || alone
    })
    .await;
}

fn both() -> Guard {
    Guard::Both(seals(&["one"]))
}

/// Brings two shares; whether the server is open then.
async fn brings(server: &Mortal, shares: &[String], migrate: bool) -> bool {
    for share in &shares[..2] {
        let _ = server.barrier.unseal(&SecretText::new(share.clone()), migrate).await;
    }
    server.barrier.open().is_some()
}

impl Deployed {
    async fn new(store: Arc<dyn Store>) -> Self {
        let first = Mortal::new(&store, Guard::Shamir, ErasureSettings::default());
        let shares = first.initialise(3, 2).await;
        assert!(brings(&first, &shares, false).await);
        let team = first.namespace("team", SECRETS).await;
        first.end().await;
        let deployment = store.deployment().await.unwrap().unwrap();
        Self { store, tenants: vec![deployment.root, deployment.edge, team], shares }
    }

    fn server(&self, guard: Guard) -> Mortal {
        Mortal::new(&self.store, guard, ErasureSettings::default())
    }

    async fn record(&self) -> Value {
        serde_json::from_slice(&self.store.deployment().await.unwrap().unwrap().seal).unwrap()
    }

    /// The list of seals is finished, with shares beside it or without.
    async fn is_finished(&self, beside: bool) -> bool {
        let record = self.record().await;
        record["type"] == "static" && record["unfinished"] == false && record["beside"].is_object() == beside
    }

    /// Opens by the seal, or, as long as that has not taken over, by shares: those who brought them once may have to once more.
    async fn opened(&self, guard: Guard) -> Mortal {
        let server = self.server(guard);
        if !server.barrier.open_at_start().await.unwrap() {
            assert_eq!(self.record().await["type"], "shamir");
            assert!(brings(&server, &self.shares, true).await);
        }
        server
    }

    async fn seal_joins(&self, ends: Ends) -> bool {
        let server = self.server(both());
        assert!(!server.barrier.open_at_start().await.unwrap());
        let refused = server.barrier.unseal(&SecretText::new(self.shares[0].clone()), false).await.err().unwrap().to_string();
        assert_eq!(refused, "migrate option not provided and seal migration is pending");
        server.arm(ends);
        brings(&server, &self.shares, true).await;
        let died = server.dies_before("a seal beside shares", async || self.is_finished(true).await).await;
        server.end().await;
        let next = self.opened(both()).await;
        next.until("a seal beside shares goes on", async || self.is_finished(true).await).await;
        next.end().await;
        self.verify(&["one", "recovery", &self.name().await]).await;
        died
    }

    async fn shares_are_dropped(&self, ends: Ends) -> bool {
        let server = self.server(guard(&["one"]));
        server.arm(ends);
        let _ = server.barrier.open_at_start().await;
        let died = server.dies_before("shares are dropped", async || self.is_finished(false).await).await;
        server.end().await;
        let next = Mortal::open(&self.store, &["one"]).await;
        next.until("shares are dropped at last", async || self.is_finished(false).await).await;
        next.end().await;
        self.verify(&["one", "recovery"]).await;
        // They are what recovers now.
        assert!(!brings(&self.server(Guard::Shamir), &self.shares, false).await);
        died
    }

    async fn shares_are_given_out(&mut self, ends: Ends) -> bool {
        let server = self.opened(both()).await;
        server.arm(ends);
        let mut new = self.ceremony(&server).await;
        let died = server.dies_before("shares beside a seal", async || self.is_finished(true).await).await;
        server.end().await;
        let next = self.opened(both()).await;
        if self.record().await["beside"].is_null() {
            new = self.ceremony(&next).await;
        } else if new.is_none() {
            // Nobody has them: they are dropped, and others given out.
            next.until("shares that nobody has", async || self.is_finished(true).await).await;
            next.end().await;
            let without = Mortal::open(&self.store, &["one"]).await;
            without.until("shares that nobody has are dropped", async || self.is_finished(false).await).await;
            without.end().await;
            let again = self.opened(both()).await;
            new = self.ceremony(&again).await;
            again.until("other shares beside a seal", async || self.is_finished(true).await).await;
            again.end().await;
            self.shares = new.unwrap();
            return died;
        }
        next.until("shares beside a seal go on", async || self.is_finished(true).await).await;
        next.end().await;
        self.shares = new.unwrap();
        self.verify(&["one", "recovery", &self.name().await]).await;
        died
    }

    /// Recovery shares are brought for shares of a root key.
    async fn ceremony(&self, server: &Mortal) -> Option<Vec<String>> {
        let body = json!({"secret_shares": 3, "secret_threshold": 2});
        let (_, begun) = server.call("POST", "", "sys/rotate/root/init", Some(body)).await;
        let mut given = Value::Null;
        for share in &self.shares[..2] {
            let body = json!({"key": share, "nonce": begun["data"]["nonce"].as_str()?});
            given = server.call("POST", "", "sys/rotate/root/update", Some(body)).await.1;
        }
        Some(given["data"]["keys"].as_array()?.iter().map(|share| share.as_str().unwrap().to_owned()).collect())
    }

    async fn shares_alone(&self, ends: Ends) -> bool {
        let settled = async || {
            let record = self.record().await;
            record["type"] == "shamir" && record["sweep"] == false
        };
        let server = self.server(Guard::Shamir);
        server.arm(ends);
        brings(&server, &self.shares, false).await;
        let died = server.dies_before("shares alone", settled).await;
        server.end().await;
        let next = self.server(Guard::Shamir);
        assert!(brings(&next, &self.shares, false).await);
        next.until("shares alone at last", settled).await;
        next.end().await;
        self.verify(&[&self.name().await]).await;
        died
    }

    /// The name that wraps by the root key of the shares have.
    async fn name(&self) -> String {
        let record = self.record().await;
        let number = record["beside"]["number"].as_u64().or(record["number"].as_u64()).unwrap();
        if number == 0 { "shamir".to_owned() } else { format!("shamir-{number}") }
    }

    /// Every tenant is wrapped by these and no other, and whoever is listed opens everything.
    async fn verify(&self, wraps: &[&str]) {
        for tenant in &self.tenants {
            let row = self.store.tenant(*tenant).await.unwrap().unwrap();
            let mut names: Vec<&str> = row.wraps.iter().map(|wrap| wrap.seal.as_str()).collect();
            let mut wanted = wraps.to_vec();
            names.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(names, wanted, "tenant {tenant}");
        }
        if wraps.contains(&"one") {
            let server = self.server(if wraps.len() == 3 { both() } else { guard(&["one"]) });
            assert!(server.barrier.open_at_start().await.unwrap());
            self.reads(server).await;
        }
        if wraps.iter().any(|name| name.starts_with("shamir")) {
            // The seal of that name is gone.
            let server = if wraps.len() == 1 { self.server(Guard::Shamir) } else { self.server(Guard::Both(seals(&["one"]))) };
            assert!(brings(&server, &self.shares, false).await);
            self.reads(server).await;
        }
    }

    async fn reads(&self, server: Mortal) {
        server.reads("team", SECRETS).await;
        server.log_verifies("team", self.tenants[2]).await;
        server.end().await;
    }
}
