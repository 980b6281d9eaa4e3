//! Read, decide, commit: the one way in which anything is read from and written to a tenant.
//!
//! A request works on a [`Txn`]: reads go through the tenant's cache and are remembered, absence and directory
//! listings included; writes are sealed at once and collected. What comes out is a commit. The [`Committer`]
//! makes the commits of all requests in flight durable in groups, each in one database transaction together with
//! its audit events, and answers them afterwards. A commit whose reads are no longer current is not applied: it
//! runs again, in arrival order, against what the group has collected so far. So every tenant's history is serial,
//! and the order of its log is the order of that history.
//!
//! This folder must not know HTTP, engines or policies; it knows stores and seals only by their traits.

mod anchors;
mod apply;
mod archive;
mod budget;
mod caches;
mod collected;
mod committer;
mod derived;
mod due;
mod elsewhere;
mod epoch;
mod expiry;
mod family;
mod faults;
mod group;
mod heads;
mod history;
mod holds;
mod jobs;
mod joining;
mod keys;
mod lease;
mod loader;
mod loading;
mod log;
mod lookup;
mod names;
mod news;
mod opening;
mod overlay;
pub mod past;
mod queue;
mod reading;
mod receipts;
mod recent;
mod refresh;
mod renewal;
mod reserve;
mod rewrap;
mod rounds;
mod signer;
mod state;
mod tenant;
mod tenants;
#[cfg(test)]
pub(crate) mod testing;
mod trees;
mod txn;
mod unfinished;
mod waiting;
mod work;
mod wraps;
mod writing;

use std::sync::Arc;

use crate::mount::Mount;

pub use anchors::{Anchors, AnchorsError, accepted_beside};
pub use archive::{ArchiveSettings, Archiver, Segments};
pub use collected::{Item, Notes};
pub use committer::{Attempt, Committer};
pub use derived::Mark;
pub use elsewhere::Elsewhere;
pub use epoch::{AfterRestore, Begun, begin_epochs};
pub use expiry::{Cleared, Remains};
pub use faults::KeyError;
pub use heads::{Cosigned, Submitter, Witnesses, WitnessesError};
pub use history::missing;
pub use jobs::Upkeep;
pub use keys::{KeyState, Seals};
pub use lease::{Held, Leases};
pub use log::LoadError;
pub use news::{News, Unread};
pub use opening::Sealed;
pub use reading::{Child, Standing};
pub use refresh::{KeyringTimes, Refresher};
pub use rewrap::Rewrap;
pub use rounds::{Rounds, Turn};
pub use signer::Signer;
pub use state::{Fault, Told};
pub use tenant::Tenant;
pub use tenants::{Tenants, Wake};
pub use txn::{Found, Txn};
pub use wraps::{new_tenant, probe};

/// Most names that one directory may hold for its listing to be kept and sorted.
pub const NAMES_MAX: usize = 1_000_000;

/// Where an operation happens.
pub struct Place {
    /// The tenant whose mount it is.
    pub tenant: Arc<Tenant>,
    /// The mount.
    pub mount: Arc<Mount>,
    /// The path of the mount in the tenant, with a slash at the end.
    pub path: String,
}
