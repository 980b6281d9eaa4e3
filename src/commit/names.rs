//! Names in directories, as a transaction sees them.

use std::sync::Arc;
use std::time::Instant;

use super::NAMES_MAX;
use super::opening::damaged;
use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::Refusal;
use crate::id::MountId;
use crate::metrics;
use crate::record::{DirKey, Kind, RecordKey};

impl Txn {
    /// Names in a directory, sorted bytewise; its own writes included.
    pub async fn names(
        &mut self,
        tenant: &Arc<Tenant>,
        kind: Kind,
        mount: MountId,
        directory: &str,
    ) -> Result<Arc<[Box<str>]>, Refusal> {
        let key = tenant.keyring().dir_key(kind, mount, directory);
        let base = self.stored_names(tenant, key).await?;
        let changes = self.changed_names(tenant, key);
        if changes.is_empty() {
            return Ok(base);
        }
        let mut names: Vec<Box<str>> = base.to_vec();
        for (added, name) in changes {
            match (names.binary_search(&name), added) {
                (Err(at), true) => names.insert(at, name),
                (Ok(at), false) => drop(names.remove(at)),
                _ => {}
            }
        }
        Ok(names.into())
    }

    /// Whether nothing is in a directory, its own writes included: also of one that is too long to be listed.
    pub(super) async fn is_empty_directory(
        &mut self,
        tenant: &Arc<Tenant>,
        (kind, mount, directory): (Kind, MountId, &str),
    ) -> Result<bool, Refusal> {
        let key = tenant.keyring().dir_key(kind, mount, directory);
        if tenant.cached_names(&key).1.is_none() {
            // What changed here has removed no more than that: with one name more, something is left.
            let changed = self.changed_names(tenant, key).len();
            let read = self.tenants.store().names(tenant.id(), key, None, changed + 1).await;
            let fill = read.map_err(|error| super::faults::store_refusal(&error))?;
            if fill.value.len() > changed {
                self.remember(tenant, key.0, fill.seq);
                return Ok(false);
            }
        }
        Ok(self.names(tenant, kind, mount, directory).await?.is_empty())
    }

    /// Names that this transaction and its group have added to a directory (true) and removed from it, in their order.
    fn changed_names(&self, tenant: &Tenant, key: DirKey) -> Vec<(bool, Box<str>)> {
        let mut changes = self.overlay.as_ref().map(|overlay| overlay.names(tenant.id(), key)).unwrap_or_default();
        let own = self.collected.writes.iter().filter(|write| write.tenant.id() == tenant.id() && write.directory == key);
        changes.extend(own.filter_map(|write| write.listed.clone()));
        changes
    }

    /// Up to `limit` names of a directory with their keys, those behind `after` in the order of the keys, as they are in
    /// the store: for work that goes through a directory piece by piece, however long it is. What this transaction and
    /// its group have changed is not in there, and the directory is not remembered as read: every record that matters
    /// is to be read on its own.
    pub async fn page(
        &mut self,
        tenant: &Arc<Tenant>,
        address: (Kind, MountId, &str),
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Box<str>)>, Refusal> {
        let (kind, mount, directory) = address;
        let directory = tenant.keyring().dir_key(kind, mount, directory);
        let read = self.tenants.store().names(tenant.id(), directory, after, limit).await;
        let fill = read.map_err(|error| super::faults::store_refusal(&error))?;
        let open = |(key, sealed): (RecordKey, Vec<u8>)| {
            let name = tenant.keyring().open_name(&key, &directory, &sealed);
            let name = name.map_err(|error| damaged("name", tenant, (key, directory), error))?;
            Ok((key, name.into_boxed_str()))
        };
        fill.value.into_iter().map(open).collect()
    }

    /// Which of these directories have names in them, as they are in the store: likewise.
    pub async fn occupied(
        &self,
        tenant: &Arc<Tenant>,
        (kind, mount): (Kind, MountId),
        directories: impl Iterator<Item = String> + Send,
    ) -> Result<Vec<bool>, Refusal> {
        let keys: Vec<DirKey> = directories.map(|directory| tenant.keyring().dir_key(kind, mount, &directory)).collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.tenants.store().occupied(tenant.id(), &keys).await;
        found.map_err(|error| super::faults::store_refusal(&error))
    }

    async fn stored_names(&mut self, tenant: &Arc<Tenant>, directory: DirKey) -> Result<Arc<[Box<str>]>, Refusal> {
        if let (position, Some(names)) = tenant.cached_names(&directory) {
            self.remember(tenant, directory.0, position);
            return Ok(names);
        }
        let asked = Instant::now();
        let fill = self
            .tenants
            .store()
            .names(tenant.id(), directory, None, NAMES_MAX + 1)
            .await
            .map_err(|error| super::faults::store_refusal(&error))?;
        metrics::directory_read(asked.elapsed());
        if fill.value.len() > NAMES_MAX {
            return Err(Refusal::invalid(format!("the directory has more than {NAMES_MAX} names and cannot be listed")));
        }
        let mut names = Vec::with_capacity(fill.value.len());
        for (key, sealed) in &fill.value {
            // One that does not open refuses the whole listing: a shorter one would hide from its reader that a row was
            // tampered with, and what is not listed is thought not to be there.
            let name = tenant.keyring().open_name(key, &directory, sealed);
            let name = name.map_err(|error| damaged("name", tenant, (*key, directory), error))?;
            names.push(name.into_boxed_str());
        }
        names.sort_unstable();
        let names: Arc<[Box<str>]> = names.into();
        tenant.fill_names(directory, fill.seq, &names);
        self.remember(tenant, directory.0, fill.seq);
        Ok(names)
    }
}
