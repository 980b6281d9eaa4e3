//! From a sealed row to a typed record; what was decoded once is not decoded again.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use super::tenant::{Decoded, Entry, Tenant};
use super::txn::Found;
use crate::answer::Refusal;
use crate::crypto::{OpenError, Opened, RecordOpener};
use crate::record::{Address, DirKey, Kind, Listing, Record, RecordKey};
use crate::storage::RecordRow;

/// Opens and decodes a record, or takes what was decoded before.
pub(super) fn decode<R: Record>(tenant: &Tenant, address: &Address, key: RecordKey, entry: &Entry) -> Result<Found<R>, Refusal> {
    if let Some(decoded) = entry.decoded.get()
        && let Ok(value) = Arc::clone(&decoded.value).downcast::<R>()
    {
        return Ok(Found { value, object: decoded.object, version: decoded.version });
    }
    let Some(row) = &entry.row else { return Err(Refusal::NotFound) };
    let directory = match R::LISTING {
        Listing::None => DirKey::NONE,
        Listing::Flat | Listing::Tree => tenant.keyring().dir_key(address.kind, address.mount, &address.directory),
    };
    let opened = if R::CACHED {
        tenant.keyring().open_record(R::KIND, &key, &directory, row.expires_at, &row.sealed)
    } else {
        open_often(tenant, R::KIND, &key, &directory, row, &entry.opener)
    };
    let Opened { payload, object, version } = opened.map_err(|error| damaged("record", tenant, (key, directory), error))?;
    let value = Arc::new(R::decode(payload).map_err(|error| {
        tracing::error!(%error, "a stored record does not decode");
        Refusal::Internal(error.to_string())
    })?);
    if R::CACHED {
        let shared: Arc<dyn Any + Send + Sync> = Arc::clone(&value) as _;
        // Another reader may have been faster: then its value is the same.
        let _ = entry.decoded.set(Decoded { value: shared, object, version });
    }
    Ok(Found { value, object, version })
}

/// Opens a row whose payload is never kept. What opens it is: a value is decrypted at each use, its `DataKey` unwrapped once.
fn open_often(
    tenant: &Tenant,
    kind: Kind,
    key: &RecordKey,
    directory: &DirKey,
    row: &RecordRow,
    kept: &OnceLock<RecordOpener>,
) -> Result<Opened, OpenError> {
    let keyring = tenant.keyring();
    let opener = if let Some(opener) = kept.get() {
        opener
    } else {
        let opener = keyring.opener(kind, &row.sealed)?;
        kept.get_or_init(|| opener)
    };
    keyring.open_record_with(opener, kind, key, directory, row.expires_at, &row.sealed)
}

/// Tells the operator which row it is, by what the database shows of it, and the client that there is no answer.
pub(super) fn damaged(what: &str, tenant: &Tenant, (key, directory): (RecordKey, DirKey), error: OpenError) -> Refusal {
    tracing::error!(
        %error, what, tenant = %tenant.id(), ?key, ?directory,
        "stored data does not open: it was changed or moved outside this server"
    );
    Refusal::Internal(format!("a stored {what} does not open"))
}
