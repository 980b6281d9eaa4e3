//! What is written down of a backup, in the root: from the request to the day on which its object is deleted.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::answer::Refusal;
use crate::commit::Txn;
use crate::id::BackupId;
use crate::json::Object;
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::time::Timestamp;

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::sys) struct Backup {
    pub(super) id: BackupId,
    /// When somebody asked for it, or the schedule did.
    pub(super) wanted: Timestamp,
    pub(super) scheduled: bool,
    /// When it was begun. Whoever made it has the lease since then.
    pub(super) begun: Option<Timestamp>,
    /// Up to when who makes it need not be heard of.
    pub(super) lease: Option<Timestamp>,
    /// When it was there and had been verified there, or had come to nothing.
    pub(super) ended: Option<Timestamp>,
    /// Its object, once it is begun; empty when that was deleted because it came to nothing.
    pub(super) name: String,
    /// Where people find it.
    pub(super) shown: String,
    /// Tenants that are in it, of so many, and bytes: while it is being made, how far it is.
    pub(super) tenants: u64,
    pub(super) of: u64,
    pub(super) bytes: u64,
    /// Why it came to nothing; empty if it did not.
    pub(super) problem: String,
}

crate::json_record!(Backup, Kind::Backup, Listing::Flat);

impl Backup {
    pub(super) fn address(id: BackupId) -> Address {
        Address::system(Kind::Backup, id.to_string())
    }

    pub(super) fn new(wanted: Timestamp, scheduled: bool) -> Self {
        let (name, shown, problem) = (String::new(), String::new(), String::new());
        let (begun, lease, ended) = (None, None, None);
        Self { id: BackupId::random(), wanted, scheduled, begun, lease, ended, name, shown, tenants: 0, of: 0, bytes: 0, problem }
    }

    /// In a word.
    pub(super) fn state(&self) -> &'static str {
        match (self.begun, self.ended) {
            (None, None) => "waiting",
            (Some(_), None) => "running",
            (_, Some(_)) if self.problem.is_empty() => "done",
            (_, Some(_)) => "failed",
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state() == "done"
    }

    /// What people call it.
    pub(in crate::sys) fn called(&self) -> &str {
        &self.shown
    }

    /// Whether it may hold keys that were removed from the database at `removed`: its object is there, or may be.
    pub(in crate::sys) fn may_hold(&self, removed: Timestamp) -> bool {
        !self.name.is_empty() && self.begun.is_some_and(|begun| begun <= removed)
    }

    /// The same without an object.
    pub(super) fn without_object(self) -> Self {
        Self { name: String::new(), shown: String::new(), ..self }
    }

    pub(super) fn show(&self, data: &mut Object<'_>, retention: Option<Duration>) {
        data.field("state", self.state()).field("scheduled", &self.scheduled).field("wanted", &self.wanted.rfc3339());
        for (name, time) in [("begun", self.begun), ("ended", self.ended)] {
            if let Some(time) = time {
                data.field(name, &time.rfc3339());
            }
        }
        if let (true, Some(ended), Some(retention)) = (self.is_done(), self.ended, retention) {
            data.field("expires", &ended.plus(retention).rfc3339());
        }
        data.field("name", &self.shown);
        data.field("namespaces", &self.tenants).field("of", &self.of).field("bytes", &self.bytes);
        if !self.problem.is_empty() {
            data.field("problem", &self.problem);
        }
    }
}

/// All backups that are known, in no order.
pub(in crate::sys) async fn all(txn: &mut Txn) -> Result<Vec<Arc<Backup>>, Refusal> {
    let root = txn.tenants().root();
    let mut found = Vec::new();
    for id in txn.names(&root, Kind::Backup, SYSTEM, "").await?.iter().filter_map(|name| BackupId::parse(name)) {
        found.extend(txn.read::<Backup>(&root, &Backup::address(id)).await?.map(|found| found.value));
    }
    Ok(found)
}
