//! What the server says about itself to anybody: `sys/seal-status`, `sys/health`, `sys/leader`.

use super::record::SealRecord;
use super::{Barrier, BarrierError, Guard};
use crate::json::Json;

/// What clients gate features on: the version of the API that is spoken, as plain semver.
pub const API_VERSION: &str = "2.7.2";

/// `sys/seal-status`.
pub struct SealStatus {
    /// The server serves nothing.
    pub sealed: bool,
    /// The store has a deployment.
    pub initialized: bool,
    /// The type of the first seal.
    kind: &'static str,
    auto: bool,
    threshold: u8,
    shares: usize,
    progress: usize,
    nonce: String,
    storage: &'static str,
    cluster: Option<(String, String)>,
}

/// `sys/health`.
pub struct Health {
    /// The store has a deployment.
    pub initialized: bool,
    /// The server serves nothing.
    pub sealed: bool,
    /// The body.
    pub body: Json,
}

impl Barrier {
    /// Whether it is sealed, and how far unsealing has come.
    pub async fn status(&self) -> Result<SealStatus, BarrierError> {
        let deployment = self.store.deployment().await?;
        let sealed = self.open.load().is_none();
        let record = deployment.as_ref().and_then(|deployment| SealRecord::of(deployment).ok());
        let sets = record.as_ref().map(SealRecord::sets).unwrap_or_default();
        let (threshold, shares) = sets.first().map_or((0, 0), |set| (set.threshold, set.share_count()));
        let (progress, nonce) = self.progress().shown();
        Ok(SealStatus {
            sealed,
            initialized: deployment.is_some(),
            kind: match &self.guard {
                Guard::Auto(seals) => seals.first().map_or("static", |seal| seal.kind()),
                Guard::Recovery(_) => "recovery",
                Guard::Shamir => "shamir",
            },
            auto: self.opens_itself(),
            threshold,
            shares,
            progress,
            nonce,
            storage: self.store.kind(),
            cluster: deployment.filter(|_| !sealed).map(|deployment| (self.settings.name.clone(), deployment.id.uuid())),
        })
    }

    /// For load balancers and probes: reads the store, so that a server that cannot serve does not look well.
    pub async fn health(&self) -> Result<Health, BarrierError> {
        let status = self.status().await?;
        let now = self.clock.now().unix_seconds();
        let body = Json::object(|o| {
            o.field("initialized", &status.initialized).field("sealed", &status.sealed).field("standby", &false);
            o.field("performance_standby", &false);
            o.field("replication_performance_mode", "disabled").field("replication_dr_mode", "disabled");
            o.field("server_time_utc", &now).field("version", API_VERSION);
            if let Some((name, id)) = &status.cluster {
                o.field("cluster_name", name).field("cluster_id", id);
            }
        });
        Ok(Health { initialized: status.initialized, sealed: status.sealed, body })
    }
}

impl SealStatus {
    /// The bare object that clients read.
    pub fn json(&self) -> Json {
        Json::object(|o| {
            o.field("type", self.kind);
            o.field("initialized", &self.initialized).field("sealed", &self.sealed);
            o.field("t", &self.threshold).field("n", &self.shares);
            o.field("progress", &self.progress).field("nonce", &self.nonce);
            o.field("version", API_VERSION).field("build_date", "").field("commit_date", "").field("migration", &false);
            if let Some((name, id)) = &self.cluster {
                o.field("cluster_name", name).field("cluster_id", id);
            }
            o.field("recovery_seal", &self.auto).field("storage_type", self.storage);
        })
    }
}
