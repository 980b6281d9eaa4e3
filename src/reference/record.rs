//! What is stored about a reference.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Binding, Consumer, Reference};
use crate::crypto::Keyring;
use crate::id::{MountId, ObjectId};
use crate::record::{Address, Kind, Listing, Past, SYSTEM};
use crate::time::Timestamp;

/// What a reference points to, and for whom. Stored under the reference's keyed hash: its text is not kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRecord {
    /// The mount of the target.
    pub target_mount: MountId,
    /// The path of the target in its mount.
    pub target_path: String,
    /// The target itself: another one that is later made at the same path is not it.
    pub target_object: ObjectId,
    /// Always this version, instead of the newest.
    #[serde(default)]
    pub pinned: Option<u64>,
    /// One field of the value, instead of all.
    #[serde(default)]
    pub field: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Made with the secret's first version, and for one consumer.
    #[serde(default)]
    pub standing: bool,
    /// Under which conditions it resolves.
    #[serde(default)]
    pub binding: Binding,
}

// Of all but standing ones that are for nobody: each secret has one, and the log tells who used it.
crate::json_record!(
    ReferenceRecord,
    Kind::Reference,
    Listing::None,
    past = |record| {
        let binding = Binding { uses_left: None, ..record.binding.clone() };
        let directory = ReferenceRecord::past_directory(record.target_mount, &record.target_path);
        let is_made = !record.standing || !binding.consumers.is_empty();
        is_made.then(|| Past::below(directory, &ReferenceRecord { binding, ..record.clone() })).flatten()
    }
);

impl ReferenceRecord {
    /// What is kept of references is listed by what they lead to, since another object may have been there.
    pub fn past_directory(mount: MountId, path: &str) -> String {
        format!("{mount}/{path}/")
    }
}

/// The keyed hash of a reference, as 64 hexadecimal digits: what it is managed by, and what the audit log calls it. It does
/// not lead back to the reference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReferenceId(String);

impl ReferenceId {
    /// Of a reference of the tenant whose keyring this is.
    pub fn of(keyring: &Keyring, reference: &Reference) -> Self {
        Self::of_hash(&keyring.reference_hash(reference.as_str()))
    }

    /// Of the reference with this `Keyring::reference_hash`.
    pub fn of_hash(hash: &[u8; 32]) -> Self {
        Self(data_encoding::HEXLOWER.encode(hash))
    }

    /// Reads an id; `None` when it has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let well_formed = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        well_formed.then(|| Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the record is.
    pub fn address(&self) -> Address {
        Address { kind: Kind::Reference, mount: SYSTEM, directory: String::new(), name: self.0.clone() }
    }

    /// Where nothing ever is, for each id somewhere else: what stands there is no id.
    pub fn nowhere(&self) -> Address {
        Address { name: format!("not {}", self.0), ..self.address() }
    }
}

/// That there is a reference, by its id, in a directory of those that have something in common. Standing references are
/// in none: the secret itself knows its own.
#[derive(Serialize, Deserialize)]
pub struct ReferenceListing {}

crate::json_record!(ReferenceListing, Kind::ReferenceListing, Listing::Flat);

impl ReferenceListing {
    /// The directory of all of a tenant.
    pub const ALL: &str = "all/";

    /// The directory of those that point to `object`.
    pub fn of_object(object: ObjectId) -> String {
        Self::of(&object.to_string())
    }

    /// The same, by the object's id as text.
    pub fn of(object: &str) -> String {
        format!("object/{object}/")
    }

    /// The directory of those that are bound to `consumer`, or to what is listed with it.
    pub fn of_consumer(consumer: &Consumer) -> String {
        format!("consumer/{}/", consumer.listed_as())
    }

    /// Where the entry for `id` is in `directory`.
    pub fn address(directory: &str, id: &ReferenceId) -> Address {
        let (directory, name) = (directory.to_owned(), id.as_str().to_owned());
        Address { kind: Kind::ReferenceListing, mount: SYSTEM, directory, name }
    }

    /// All directories that a reference is listed in.
    pub fn directories(record: &ReferenceRecord) -> Vec<String> {
        if record.standing {
            return Vec::new();
        }
        let consumers = record.binding.consumers.iter().map(Self::of_consumer);
        let all = [Self::ALL.to_owned(), Self::of_object(record.target_object)].into_iter().chain(consumers);
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
