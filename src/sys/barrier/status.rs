//! What the server says about itself to anybody: `sys/seal-status`, `sys/health`, `sys/leader`.

use super::record::SealRecord;
use super::{Barrier, BarrierError, Guard};
use crate::json::Json;
use crate::time::Timestamp;

/// What clients gate features on: the version of the API that is spoken, as plain semver.
pub const API_VERSION: &str = "2.7.2";

/// `sys/seal-status`.
#[expect(clippy::struct_excessive_bools, reason = "each is a field of the answer")]
pub struct SealStatus {
    /// The server serves nothing.
    pub sealed: bool,
    /// The store has a deployment.
    pub initialized: bool,
    /// The type of the first seal.
    kind: &'static str,
    auto: bool,
    /// The configured seals are to take over from shares that people bring.
    migration: bool,
    threshold: u8,
    shares: usize,
    progress: usize,
    nonce: String,
    storage: &'static str,
    cluster: Option<(String, String)>,
}

/// `sys/leader`: every server that is open is an active one.
pub struct Leader {
    /// There may be several.
    is_shared: bool,
    api_addr: String,
    since: Timestamp,
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
        // A server that only shares open has no use for those that recover.
        let set = match (&record, &self.guard) {
            (Some(SealRecord::Auto(record)), Guard::Shamir) => record.beside.as_ref().map(|beside| &beside.shares),
            _ => sets.first().copied(),
        };
        let (threshold, shares) = set.map_or((0, 0), |set| (set.threshold, set.share_count()));
        let (progress, nonce) = self.progress().shown();
        let migration = matches!(record, Some(SealRecord::Shamir(_))) && self.guard.opening().is_some();
        Ok(SealStatus {
            sealed,
            initialized: deployment.is_some(),
            kind: match &self.guard {
                // Shares open it until they were brought.
                _ if migration => "shamir",
                Guard::Auto(seals) | Guard::Both(seals) => seals.first().map_or("static", |seal| seal.kind()),
                Guard::Recovery(_) => "recovery",
                Guard::Shamir => "shamir",
            },
            auto: self.opens_itself() && !migration,
            migration,
            threshold,
            shares,
            progress,
            nonce,
            storage: self.store.kind(),
            cluster: deployment.filter(|_| !sealed).map(|deployment| (self.settings.name.clone(), deployment.id.uuid())),
        })
    }

    /// Who takes requests: this very server, and all others that are open. None while it is sealed.
    pub fn leader(&self) -> Option<Leader> {
        let open = self.open()?;
        let since = open.committer().tenants().leases().since();
        Some(Leader { is_shared: self.store.is_shared(), api_addr: self.settings.api_addr.clone(), since })
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

impl Leader {
    /// The bare object that clients read. Alone on its store a server has no others to be told from, as one of OpenBao's without
    /// high availability.
    pub fn json(&self) -> Json {
        let since = if self.is_shared { self.since.rfc3339() } else { "0001-01-01T00:00:00Z".to_owned() };
        Json::object(|o| {
            o.field("ha_enabled", &self.is_shared).field("is_self", &self.is_shared).field("active_time", &since);
            o.field("leader_address", if self.is_shared { self.api_addr.as_str() } else { "" })
                .field("leader_cluster_address", "");
            o.field("performance_standby", &false).field("performance_standby_last_remote_wal", &0);
        })
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
            o.field("version", API_VERSION).field("build_date", "").field("commit_date", "").field("migration", &self.migration);
            if let Some((name, id)) = &self.cluster {
                o.field("cluster_name", name).field("cluster_id", id);
            }
            o.field("recovery_seal", &self.auto).field("storage_type", self.storage);
        })
    }
}
