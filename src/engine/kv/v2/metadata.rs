//! What is known of one secret besides its values, and the rules of its versions. Pure: no IO, no clock.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::settings::{KvConfig, Settings};
use crate::answer::Refusal;
use crate::id::{MountId, ObjectId};
use crate::record::{Address, Kind, Listing};
use crate::reference::Reference;
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// How many versions are kept where neither the secret nor the mount says so.
pub const VERSIONS_KEPT: u64 = 10;

/// One version, without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// When it was written.
    pub created: Timestamp,
    /// From when on it is deleted; may lie in the future (`delete_version_after`).
    #[serde(default)]
    pub deletion: Option<Timestamp>,
    /// The value is gone for good.
    #[serde(default)]
    pub destroyed: bool,
}

impl Version {
    /// Whether its value may be read at `now`.
    pub fn readable(&self, now: Timestamp) -> bool {
        !self.destroyed && self.deletion.is_none_or(|deletion| now < deletion)
    }
}

/// A secret's metadata: it may exist before the first version and after the last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvMetadata {
    /// The versions that are still known, by number.
    pub versions: BTreeMap<u64, Version>,
    /// The newest number that was given, 0 before the first.
    pub current_version: u64,
    /// The oldest number that is still known, 0 until versions were dropped for the first time or fill the limit.
    pub oldest_version: u64,
    /// When the metadata was made.
    pub created: Timestamp,
    /// When the newest version was written.
    pub updated: Timestamp,
    /// What was set for this secret alone.
    #[serde(default)]
    pub settings: Settings,
    /// What its owner wrote about it.
    #[serde(default)]
    pub custom_metadata: BTreeMap<String, String>,
    /// Counts changes of the settings and of `custom_metadata`.
    #[serde(default)]
    pub metadata_version: u64,
    /// The standing reference, made with the first version.
    #[serde(default)]
    pub reference: Option<Reference>,
}

crate::json_record!(KvMetadata, Kind::KvMetadata, Listing::Tree);

/// What adding a version did.
#[derive(Debug, PartialEq, Eq)]
pub struct Added {
    /// The number of the new version.
    pub number: u64,
    /// Versions that are no longer kept: their values must be removed.
    pub dropped: Vec<u64>,
}

impl KvMetadata {
    /// Of a secret that has no version yet.
    pub fn new(now: Timestamp) -> Self {
        Self {
            versions: BTreeMap::new(),
            current_version: 0,
            oldest_version: 0,
            created: now,
            updated: now,
            settings: Settings::default(),
            custom_metadata: BTreeMap::new(),
            metadata_version: 0,
            reference: None,
        }
    }

    /// Where the metadata of the secret at `path` lives.
    pub fn address(mount: MountId, path: &str) -> Address {
        Address::tree(Kind::KvMetadata, mount, path)
    }

    /// Check-and-set for a new version: `cas` is the number that the client believes to be the current one.
    pub fn check_cas(&self, config: &KvConfig, cas: Option<i64>) -> Result<(), Refusal> {
        match cas {
            Some(cas) if u64::try_from(cas) == Ok(self.current_version) => Ok(()),
            Some(_) => Err(Refusal::invalid("check-and-set parameter did not match the current version")),
            None if self.settings.cas_required || config.settings.cas_required => {
                Err(Refusal::invalid("check-and-set parameter required for this call"))
            }
            None => Ok(()),
        }
    }

    /// Check-and-set for a change of the metadata itself.
    pub fn check_metadata_cas(&self, config: &KvConfig, cas: Option<i64>) -> Result<(), Refusal> {
        match cas {
            Some(cas) if u64::try_from(cas) == Ok(self.metadata_version) => Ok(()),
            Some(_) => Err(Refusal::invalid("metadata check-and-set parameter does not match the current version")),
            None if self.settings.metadata_cas_required || config.settings.metadata_cas_required => {
                Err(Refusal::invalid("metadata check-and-set parameter required for this call"))
            }
            None => Ok(()),
        }
    }

    /// Adds a version, and drops those that are past the limit. The limit is the larger of the secret's and the
    /// mount's; a smaller limit than before takes effect here, with the next version.
    pub fn add_version(&mut self, config: &KvConfig, now: Timestamp) -> Added {
        let number = self.current_version.saturating_add(1);
        let deletion = config.deletion_of_new_version(&self.settings, now);
        self.versions.insert(number, Version { created: now, deletion, destroyed: false });
        self.current_version = number;
        self.updated = now;
        let keep = match self.settings.max_versions.max(config.settings.max_versions) {
            0 => VERSIONS_KEPT,
            limit => limit,
        };
        self.oldest_version = self.oldest_version.max((number + 1).saturating_sub(keep));
        let kept = self.versions.split_off(&self.oldest_version);
        let dropped = std::mem::replace(&mut self.versions, kept);
        Added { number, dropped: dropped.into_iter().filter(|(_, old)| !old.destroyed).map(|(number, _)| number).collect() }
    }

    /// The version with this number; the newest when there is none or it is 0.
    pub fn version(&self, number: Option<u64>) -> Option<(u64, Version)> {
        let number = number.filter(|number| *number > 0).unwrap_or(self.current_version);
        self.versions.get(&number).map(|version| (number, *version))
    }

    /// Marks versions as deleted from `now` on; those that already are stay as they are. True when something changed.
    pub fn delete(&mut self, numbers: &[u64], now: Timestamp) -> bool {
        let mut changed = false;
        for number in numbers {
            if let Some(version) = self.versions.get_mut(number).filter(|version| version.readable(now)) {
                version.deletion = Some(now);
                changed = true;
            }
        }
        changed
    }

    /// Makes deleted versions readable again, for good. True when something changed.
    pub fn undelete(&mut self, numbers: &[u64]) -> bool {
        let mut changed = false;
        for number in numbers {
            if let Some(version) = self.versions.get_mut(number).filter(|version| !version.destroyed) {
                changed |= version.deletion.take().is_some();
            }
        }
        changed
    }

    /// Marks versions as destroyed; returns those whose values must be removed now.
    pub fn destroy(&mut self, numbers: &[u64]) -> Vec<u64> {
        let mut destroyed = Vec::new();
        for number in numbers {
            if let Some(version) = self.versions.get_mut(number).filter(|version| !version.destroyed) {
                version.destroyed = true;
                destroyed.push(*number);
            }
        }
        destroyed
    }

    /// The versions whose values are stored.
    pub fn stored(&self) -> Vec<u64> {
        self.versions.iter().filter(|(_, version)| !version.destroyed).map(|(number, _)| *number).collect()
    }
}

/// The value of one version: the text of a JSON object.
pub struct KvVersion(pub SecretBytes);

impl KvVersion {
    /// Where the value of a version lives. `object` is the object id of the secret's metadata, so that a secret that
    /// is made anew at the same path shares nothing with the old one.
    pub fn address(mount: MountId, object: ObjectId, number: u64) -> Address {
        Address { kind: Kind::KvVersion, mount, directory: String::new(), name: format!("{object}/{number}") }
    }
}

crate::secret_record!(KvVersion, Kind::KvVersion, Listing::None);

#[cfg(test)]
mod tests;
