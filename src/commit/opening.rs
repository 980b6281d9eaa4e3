//! From a sealed row to a typed record; what was decoded once is not decoded again.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use super::tenant::{Decoded, Entry, Tenant};
use super::txn::{Found, Txn};
use crate::answer::Refusal;
use crate::crypto::{OpenError, RecordOpener};
use crate::record::{Address, DirKey, Listing, Record, RecordKey};

/// A record that was found, to be opened when its payload is wanted. That needs no transaction any more.
pub struct Sealed<R> {
    tenant: Arc<Tenant>,
    key: RecordKey,
    entry: Arc<Entry>,
    record: PhantomData<fn() -> R>,
}

impl<R: Record> Sealed<R> {
    /// Whether it is known to open: it was opened before, from the very bytes that are in memory.
    pub fn was_opened(&self) -> bool {
        self.entry.opener.get().is_some()
    }

    /// How long it is as it is stored; what is in it is shorter.
    pub fn bytes(&self) -> usize {
        self.entry.row.as_ref().map_or(0, |row| row.sealed.len())
    }

    /// What is in it.
    pub fn open(&self) -> Result<Arc<R>, Refusal> {
        open(&self.tenant, DirKey::NONE, self.key, &self.entry).map(|found| found.value)
    }
}

impl Txn {
    /// Finds a record of a kind that is secret and in no listing, for who only reads it: a later write would not continue its object.
    pub async fn sealed<R: Record>(&mut self, tenant: &Arc<Tenant>, key: RecordKey) -> Result<Option<Sealed<R>>, Refusal> {
        const { assert!(matches!(R::LISTING, Listing::None) && !R::CACHED, "it is opened without a directory, and anew each time") };
        let entry = self.entry(tenant, key).await?;
        Ok(entry.map(|entry| Sealed { tenant: Arc::clone(tenant), key, entry, record: PhantomData }))
    }
}

/// Opens and decodes a record, or takes what was decoded before.
pub(super) fn decode<R: Record>(tenant: &Tenant, address: &Address, key: RecordKey, entry: &Entry) -> Result<Found<R>, Refusal> {
    if let Some(decoded) = entry.decoded.get()
        && let Ok(value) = Arc::clone(&decoded.value).downcast::<R>()
    {
        return Ok(Found { value, object: decoded.object, version: decoded.version });
    }
    let directory = match R::LISTING {
        Listing::None => DirKey::NONE,
        Listing::Flat | Listing::Tree => tenant.keyring().dir_key(address.kind, address.mount, &address.directory),
    };
    open(tenant, directory, key, entry)
}

/// Opens and decodes a row, and keeps what spares work the next time: the decoded form; of a payload that is never kept what decrypts it.
fn open<R: Record>(tenant: &Tenant, directory: DirKey, key: RecordKey, entry: &Entry) -> Result<Found<R>, Refusal> {
    let Some(row) = &entry.row else { return Err(Refusal::NotFound) };
    let (keyring, damaged) = (tenant.keyring(), |error| damaged("record", tenant, (key, directory), error));
    let open = |opener: &RecordOpener| {
        let opened = keyring.open_record_with(opener, R::KIND, &key, &directory, row.expires_at, &row.sealed).map_err(damaged)?;
        let value = R::decode(opened.payload).map_err(|error| {
            tracing::error!(%error, "a stored record does not decode");
            Refusal::Internal(error.to_string())
        })?;
        Ok(Found { value: Arc::new(value), object: opened.object, version: opened.version })
    };
    if let Some(opener) = entry.opener.get() {
        return open(opener);
    }
    let opener = keyring.opener(R::KIND, &row.sealed).map_err(damaged)?;
    let found = open(&opener)?;
    // Another reader may have been faster: then what is kept is the same.
    if R::CACHED {
        let value: Arc<dyn Any + Send + Sync> = Arc::clone(&found.value) as _;
        let _ = entry.decoded.set(Decoded { value, object: found.object, version: found.version });
    } else {
        let _ = entry.opener.set(opener);
    }
    Ok(found)
}

/// Tells the operator which row it is, by what the database shows of it, and the client that there is no answer.
pub(super) fn damaged(what: &str, tenant: &Tenant, (key, directory): (RecordKey, DirKey), error: OpenError) -> Refusal {
    tracing::error!(
        %error, what, tenant = %tenant.id(), ?key, ?directory,
        "stored data does not open: it was changed or moved outside this server"
    );
    Refusal::Internal(format!("a stored {what} does not open"))
}
