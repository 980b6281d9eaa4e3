//! What a transaction has collected, in the form that a group takes.

use std::sync::Arc;

use super::overlay::NameChange;
use super::reserve::Grant;
use super::tenant::Tenant;
use super::tenants::Wake;
use crate::audit::event::{self, Common, Event, Word};
use crate::audit::merkle;
use crate::audit::summary::{self, Term};
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::storage::{RecordRow, Structural};
use crate::time::Timestamp;

/// What an answer depended on and what it changes.
#[derive(Default)]
pub(super) struct Commit {
    pub(super) reads: Vec<Reads>,
    pub(super) writes: Vec<Write>,
    pub(super) structural: Vec<Structural>,
    /// Tenants whose keys this server drops once the commit is durable, with those of all tenants below them.
    pub(super) dropped: Vec<TenantId>,
    pub(super) events: Vec<(Arc<Tenant>, Prepared)>,
    /// Events that other tenants' logs have before that of the request: the first ones of new epochs.
    pub(super) begun: Vec<(Arc<Tenant>, Prepared)>,
    pub(super) valid_until: Option<Timestamp>,
    /// What the background jobs are to do at once.
    pub(super) wake: Option<Wake>,
    /// What may be taken once the commit is durable.
    pub(super) grants: Vec<Grant>,
}

/// Everything that was read in one tenant: a record's or a directory's key, and the position it was current at.
pub(super) struct Reads {
    pub(super) tenant: Arc<Tenant>,
    pub(super) oldest: u64,
    pub(super) keys: Vec<([u8; 32], u64)>,
}

/// A sealed change of one record.
pub(super) struct Write {
    pub(super) tenant: Arc<Tenant>,
    pub(super) key: RecordKey,
    pub(super) directory: DirKey,
    /// The name that appears (`true`) in the directory, or disappears.
    pub(super) listed: Option<NameChange>,
    pub(super) row: Option<RecordRow>,
}

/// An event in canonical bytes, its leaf, and what a summary says of it.
pub(super) struct Prepared {
    pub(super) bytes: Vec<u8>,
    pub(super) leaf: [u8; 32],
    pub(super) terms: Vec<Term>,
}

/// Facts for the audit event.
#[derive(Clone, Default)]
pub struct Notes {
    /// Version that was read.
    pub read_version: Option<u64>,
    /// Version that was written.
    pub written_version: Option<u64>,
    /// Keyed hash of the reference that was used.
    pub reference: Option<[u8; 32]>,
    /// A sentence, which never holds content.
    pub detail: Option<String>,
    /// Whose token the request was given, if it logged somebody in.
    pub login: Option<Arc<event::Caller>>,
}

/// One item of a batch, which has an event of its own.
pub struct Item {
    /// Facts for its event.
    pub notes: Notes,
    /// HTTP status that the item would have alone.
    pub status: u16,
    /// Why it was refused.
    pub error: Option<Word>,
}

impl Commit {
    /// How much it writes, besides its events.
    pub(super) fn bytes(&self) -> usize {
        self.writes.iter().filter_map(|write| write.row.as_ref()).map(|row| row.sealed.len() + row.name.len()).sum()
    }
}

impl Prepared {
    /// Writes events down, each with a fresh nonce, and hashes them. They go to one log, in one commit: what those of one request
    /// have in common is worked out once.
    pub(super) fn all(events: &[Event]) -> impl Iterator<Item = Self> {
        let common = events.first().filter(|_| events.len() > 1).map(|first| (first, Common::of(first)));
        events.iter().enumerate().map(move |(number, event)| {
            let beside = common.as_ref().filter(|(first, _)| event.is_beside(first));
            let (mut bytes, nonce) = (Vec::with_capacity(640), crate::random::frequent());
            match &beside {
                Some((_, common)) => event.canonical_with(common, nonce, &mut bytes),
                None => event.canonical(nonce, &mut bytes),
            }
            let known = beside.is_some() && number > 0;
            let terms = if known { summary::terms_of_outcome(event).collect() } else { summary::terms(event) };
            Self { leaf: merkle::leaf_hash(&bytes), bytes, terms }
        })
    }
}
