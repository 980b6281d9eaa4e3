//! Servers that live, and what only one of them does at a time.

use std::time::Duration;

use crate::id::{ReplicaId, TenantId};
use crate::time::Timestamp;

/// Who was not heard of for so long, by the database's clock, loses its leases to whoever asks next.
pub const LAPSE: Duration = Duration::from_millis(3_500);

/// Work that one server does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseName {
    /// Expiry, wrapping values anew, rows of erased tenants, and all else that is tidied up.
    Upkeep,
    /// Signing the logs and the log of the deployment, and having that one cosigned.
    Checkpoint,
    /// Copying logs into the archive, and taking out of the database what is there.
    Archive,
    /// Beginning backups, and deleting those that were kept long enough.
    Backup,
}

impl LeaseName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Upkeep, Self::Checkpoint, Self::Archive, Self::Backup];

    /// As it is stored and shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Upkeep => "upkeep",
            Self::Checkpoint => "checkpoint",
            Self::Archive => "archive",
            Self::Backup => "backup",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|name| name.word() == word)
    }
}

/// What a change is made under: it is refused once the lease has passed to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// Which lease.
    pub lease: LeaseName,
    /// Who makes the change.
    pub holder: ReplicaId,
    /// How often the lease had changed hands.
    pub epoch: u64,
}

/// What a server says of itself when it says that it lives.
#[derive(Clone, Debug)]
pub struct Beat {
    /// Drawn anew whenever a server opens.
    pub replica: ReplicaId,
    /// Where clients reach it; empty if it does not know.
    pub api_addr: String,
    /// The name of its machine.
    pub hostname: String,
    /// Of the program.
    pub version: String,
    /// How often it was asked to have all tokens looked at.
    pub asked: u64,
    /// The leases that it has work for.
    pub wants: Vec<LeaseName>,
    /// What it claims of rate limits, for the others.
    pub quotas: Vec<u8>,
}

/// A server that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Which.
    pub id: ReplicaId,
    /// Where clients reach it.
    pub api_addr: String,
    /// The name of its machine.
    pub hostname: String,
    /// Of its program.
    pub version: String,
    /// As it said.
    pub asked: u64,
    /// When it was first heard of, by the database's clock.
    pub since: Timestamp,
    /// When it was last heard of.
    pub heard: Timestamp,
    /// What it claims of rate limits.
    pub quotas: Vec<u8>,
}

/// Which servers live, and who has the leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The servers, the one that asked among them, in the order of their identifiers.
    pub replicas: Vec<Replica>,
    /// The leases that somebody has.
    pub leases: Vec<Fence>,
}

/// Where a tenant stands, for who looks for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// Which.
    pub tenant: TenantId,
    /// The newest row of its log; 0 when there is none.
    pub seq: u64,
    /// When that was written.
    pub time: Timestamp,
    /// How many events its log has.
    pub size: u64,
    /// How many of them are signed.
    pub signed: u64,
    /// When the next of its records expires, be that in the past.
    pub next_expiry: Option<Timestamp>,
}
