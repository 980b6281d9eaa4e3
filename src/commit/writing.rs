//! The writing half of a transaction: records are sealed as they are put, and directories of a tree are kept in step.

use std::sync::Arc;

use super::collected::Write;
use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::Refusal;
use crate::crypto::Subject;
use crate::id::ObjectId;
use crate::record::{Address, DirKey, Listing, Record, RecordKey};
use crate::secret::SecretBytes;
use crate::storage::RecordRow;
use crate::time::Timestamp;

impl Txn {
    /// Writes a record, which was read at `from`, to where no record is: it stays the same object, and is at `from` no more.
    pub async fn relocate<R: Record>(
        &mut self,
        tenant: &Arc<Tenant>,
        from: &Address,
        to: &Address,
        value: &R,
    ) -> Result<(), Refusal> {
        const { assert!(!R::HAS_PAST, "a past has one address") };
        let identity = self.seen_at(tenant.id(), tenant.keyring().record_key(from));
        self.put_object(tenant, to, R::LISTING, (&value.encode(), None), (identity, true));
        if R::LISTING == Listing::Tree {
            self.mark_directories(tenant, to).await?;
        }
        self.remove::<R>(tenant, from).await
    }

    /// The record at a key, if it is an `R` that no listing shows, is past its expiry, and opens as that.
    pub async fn expired<R: Record>(&mut self, tenant: &Arc<Tenant>, key: RecordKey) -> Result<Option<R>, Refusal> {
        let (entry, now) = (self.stored(tenant, key).await?, self.now());
        let is_past = |row: &&RecordRow| row.expires_at.is_some_and(|at| at <= now) && row.directory == DirKey::NONE;
        let Some(row) = entry.row.as_ref().filter(is_past) else { return Ok(None) };
        let opened = tenant.keyring().open_record(R::KIND, &key, &DirKey::NONE, row.expires_at, &row.sealed);
        Ok(opened.ok().and_then(|opened| R::decode(opened.payload).ok()))
    }

    /// How many changes were collected.
    pub fn changes(&self) -> usize {
        self.collected.writes.len()
    }

    /// Seals a record and collects it.
    pub(super) fn put_payload(
        &mut self,
        tenant: &Arc<Tenant>,
        address: &Address,
        listing: Listing,
        payload: &SecretBytes,
        expires_at: Option<Timestamp>,
    ) {
        let before = self.seen_at(tenant.id(), tenant.keyring().record_key(address));
        self.put_object(tenant, address, listing, (payload, expires_at), (before, before.is_none()));
    }

    /// The same for what was this object in this version `before`; whether its name `appears` in the directory.
    fn put_object(
        &mut self,
        tenant: &Arc<Tenant>,
        address: &Address,
        listing: Listing,
        (payload, expires_at): (&SecretBytes, Option<Timestamp>),
        (before, appears): (Option<(ObjectId, u64)>, bool),
    ) {
        let keyring = tenant.keyring();
        let key = keyring.record_key(address);
        let (object, version) = before.map_or_else(|| (ObjectId::random(), 1), |(object, version)| (object, version + 1));
        let (directory, name) = match listing {
            Listing::None => (DirKey::NONE, Vec::new()),
            Listing::Flat | Listing::Tree => {
                let directory = keyring.dir_key(address.kind, address.mount, &address.directory);
                (directory, keyring.seal_name(&key, &directory, &address.name))
            }
        };
        let subject = Subject { kind: address.kind, object, version, key, directory, expires_at };
        let sealed = keyring.seal_record(&subject, payload);
        let listed = (listing != Listing::None && appears).then(|| (true, address.name.clone().into_boxed_str()));
        let row = RecordRow { key, directory, seq: 0, expires_at, name, sealed };
        self.collected.writes.push(Write { tenant: Arc::clone(tenant), key, directory, listed, row: Some(row) });
        self.see(tenant, key, Some((object, version)));
    }

    pub(super) fn remove_row(&mut self, tenant: &Arc<Tenant>, address: &Address, listing: Listing) {
        let keyring = tenant.keyring();
        let key = keyring.record_key(address);
        let (directory, listed) = match listing {
            Listing::None => (DirKey::NONE, None),
            Listing::Flat | Listing::Tree => {
                let directory = keyring.dir_key(address.kind, address.mount, &address.directory);
                (directory, Some((false, address.name.clone().into_boxed_str())))
            }
        };
        self.collected.writes.push(Write { tenant: Arc::clone(tenant), key, directory, listed, row: None });
        self.see(tenant, key, None);
    }

    /// Every directory on the way is listed in its parent.
    pub(super) async fn mark_directories(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<(), Refusal> {
        let mut path = address.directory.clone();
        while !path.is_empty() {
            let marker = Address::tree(address.kind, address.mount, &path);
            if self.exists(tenant, &marker).await? {
                return Ok(());
            }
            self.put_payload(tenant, &marker, Listing::Tree, &SecretBytes::new(b"{}".to_vec()), None);
            path = marker.directory;
        }
        Ok(())
    }

    pub(super) async fn prune_directories(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<(), Refusal> {
        let mut path = address.directory.clone();
        while !path.is_empty() && self.is_empty_directory(tenant, (address.kind, address.mount, &path)).await? {
            let marker = Address::tree(address.kind, address.mount, &path);
            self.remove_row(tenant, &marker, Listing::Tree);
            path = marker.directory;
        }
        Ok(())
    }
}
