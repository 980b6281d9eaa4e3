//! A version of a secret as readers are shown it. Its value stays sealed until it is written down.

use std::sync::Arc;

use super::data::Secret;
use super::metadata::{KvMetadata, KvVersion, Version};
use crate::answer::{Data, Refusal, time_or_empty};
use crate::commit::{Place, Sealed, Txn};
use crate::engine::kv::one_field;
use crate::json::{Json, Object};
use crate::record::RecordKey;
use crate::secret::SecretBytes;

/// A version that was found. What becomes of it afterwards does not change what is shown.
pub struct Shown {
    number: u64,
    version: Version,
    metadata: Arc<KvMetadata>,
    /// None: it is deleted or destroyed.
    value: Option<Sealed<KvVersion>>,
}

/// Which version of a secret, and where its value is stored.
#[derive(Clone, Copy)]
pub(super) struct Stored {
    pub(super) number: u64,
    pub(super) version: Version,
    key: RecordKey,
}

impl Stored {
    /// The newest version, or the one that is wanted.
    pub(super) fn of(place: &Place, secret: &Secret, wanted: Option<u64>) -> Option<Self> {
        let (number, version) = secret.metadata.version(wanted)?;
        let address = KvVersion::address(place.mount.id, secret.object, number);
        Some(Self { number, version, key: place.tenant.keyring().record_key(&address) })
    }

    /// Whether its value may be read now. Where it is to be deleted, that holds until then.
    pub(super) fn readable(&self, txn: &mut Txn) -> bool {
        let readable = self.version.readable(txn.now());
        if let Some(deletion) = self.version.deletion.filter(|_| readable) {
            txn.relies_until(deletion);
        }
        readable
    }

    /// The value, unless it is deleted or destroyed.
    pub(super) async fn value(&self, place: &Place, txn: &mut Txn) -> Result<Option<Sealed<KvVersion>>, Refusal> {
        if !self.readable(txn) {
            return Ok(None);
        }
        let found = txn.sealed(&place.tenant, self.key).await?;
        let missing = || Refusal::Internal(format!("the value of version {} is missing from the store", self.number));
        found.ok_or_else(missing).map(Some)
    }
}

impl Shown {
    /// Finds a version of a secret that was read in this transaction.
    pub(super) async fn find(place: &Place, secret: &Secret, stored: Stored, txn: &mut Txn) -> Result<Self, Refusal> {
        let Stored { number, version, .. } = stored;
        txn.note_read(number);
        let value = stored.value(place, txn).await?;
        Ok(Self { number, version, metadata: Arc::clone(&secret.metadata), value })
    }

    /// Whether its value is known to open: it was opened before, from the very bytes that are in memory.
    pub fn was_opened(&self) -> bool {
        self.value.as_ref().is_none_or(Sealed::was_opened)
    }

    /// About how long its value is, bytes; never less.
    pub fn bytes(&self) -> usize {
        self.value.as_ref().map_or(0, Sealed::bytes)
    }

    /// `{name, metadata}` with what `content` makes of the value; of a deleted version it is null, and the status 404.
    pub(super) fn write(&self, name: &str, content: impl FnOnce(&SecretBytes) -> Result<Json, Refusal>) -> Result<Data, Refusal> {
        let value = self.value.as_ref().map(Sealed::open).transpose()?;
        let content = value.as_ref().map(|value| content(&value.0)).transpose()?;
        let json = Json::object(|data| {
            data.raw(name, content.as_ref().map_or(b"null", Json::expose));
            data.object("metadata", |fields| version_fields(fields, self.number, self.version, &self.metadata));
        });
        Ok(Data { status: self.status(), ..Data::new(Some(json)) })
    }

    /// The answer of a read, with one field of the value only, if that is wanted: `NotFound` when the value has no such field.
    pub fn answer(&self, field: Option<&str>) -> Result<Data, Refusal> {
        self.write("data", |value| match field {
            Some(field) => one_field(value, field),
            None => Ok(Json::from_text(value.expose().to_vec())),
        })
    }

    /// HTTP status of what is shown.
    pub fn status(&self) -> u16 {
        if self.value.is_none() { 404 } else { 200 }
    }
}

/// What is shown of a version besides its value.
pub(super) fn version_fields(fields: &mut Object<'_>, number: u64, version: Version, metadata: &KvMetadata) {
    fields.field("created_time", &version.created.rfc3339());
    custom_metadata(fields, metadata);
    fields.field("deletion_time", &time_or_empty(version.deletion));
    fields.field("destroyed", &version.destroyed);
    fields.field("version", &number);
}

/// `custom_metadata`, which is `null` when there is none.
pub(super) fn custom_metadata(fields: &mut Object<'_>, metadata: &KvMetadata) {
    fields.field("custom_metadata", &Some(&metadata.custom_metadata).filter(|custom| !custom.is_empty()));
}
