//! What a group has collected and not yet committed: a commit that runs again reads through it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::collected::Write;
use crate::id::TenantId;
use crate::record::{DirKey, RecordKey};
use crate::storage::RecordRow;

/// The writes of a group so far, in order. Shared between the committer and the transaction that runs again.
#[derive(Clone, Default)]
pub(super) struct Overlay(Arc<Mutex<Pending>>);

/// A name that appears (`true`) in a directory, or disappears.
pub(super) type NameChange = (bool, Box<str>);

/// What a group does to a record.
pub(super) enum Touch {
    /// It will be there, with this row.
    Written(RecordRow),
    /// It will be gone.
    Removed,
}

#[derive(Default)]
struct Pending {
    rows: HashMap<(TenantId, RecordKey), Option<RecordRow>>,
    names: HashMap<(TenantId, DirKey), Vec<NameChange>>,
}

impl Overlay {
    /// Adds the writes of a commit that is accepted into the group.
    pub(super) fn add(&self, writes: &[Write]) {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            let tenant = write.tenant.id();
            pending.rows.insert((tenant, write.key), write.row.clone());
            if let Some((added, name)) = &write.listed {
                pending.names.entry((tenant, write.directory)).or_default().push((*added, name.clone()));
            }
        }
    }

    /// What the group does to a record; `None` when it leaves it alone.
    pub(super) fn row(&self, tenant: TenantId, key: RecordKey) -> Option<Touch> {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let row = pending.rows.get(&(tenant, key))?;
        Some(row.clone().map_or(Touch::Removed, Touch::Written))
    }

    /// What the group adds to (`true`) and takes from (`false`) a directory, in order.
    pub(super) fn names(&self, tenant: TenantId, directory: DirKey) -> Vec<NameChange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).names.get(&(tenant, directory)).cloned().unwrap_or_default()
    }

    /// Whether the group changes this record or directory.
    pub(super) fn touches(&self, tenant: TenantId, key: [u8; 32]) -> bool {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.rows.contains_key(&(tenant, RecordKey(key))) || pending.names.contains_key(&(tenant, DirKey(key)))
    }

    /// True while no commit of the group has written anything.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).rows.is_empty()
    }
}
