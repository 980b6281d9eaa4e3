//! What can be set for a mount and for one secret, and how clients change it.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::metadata::KvMetadata;
use crate::answer::Refusal;
use crate::id::MountId;
use crate::record::{Address, Kind, Listing};
use crate::time::Timestamp;

/// The most versions that may be asked to be kept: all of them are listed in one record.
pub const MAX_VERSIONS_MAX: u64 = 10_000;

const CUSTOM_KEYS_MAX: usize = 64;
const CUSTOM_KEY_BYTES_MAX: usize = 128;
const CUSTOM_VALUE_BYTES_MAX: usize = 512;

/// Settings that a mount and a secret have alike. Zero and false mean "not set".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How many versions are kept.
    #[serde(default)]
    pub max_versions: u64,
    /// Every write must say which version it replaces.
    #[serde(default)]
    pub cas_required: bool,
    /// Every change of metadata must say which one it replaces.
    #[serde(default)]
    pub metadata_cas_required: bool,
    /// A new version is deleted by itself after this many seconds.
    #[serde(default)]
    pub delete_version_after_seconds: u64,
}

/// The configuration of a mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvConfig {
    /// The settings.
    #[serde(default)]
    pub settings: Settings,
    /// No version is ever deleted by itself, whatever a secret's own settings say.
    #[serde(default)]
    pub delete_version_after_disabled: bool,
}

crate::json_record!(KvConfig, Kind::KvConfig, Listing::None);

impl KvConfig {
    /// Where a mount's configuration lives.
    pub fn address(mount: MountId) -> Address {
        Address { kind: Kind::KvConfig, mount, directory: String::new(), name: "config".to_owned() }
    }

    /// When a version that is written `now` will be deleted by itself: after the shorter of the two durations that
    /// are set.
    pub fn deletion_of_new_version(&self, secret: &Settings, now: Timestamp) -> Option<Timestamp> {
        if self.delete_version_after_disabled {
            return None;
        }
        let durations = [secret.delete_version_after_seconds, self.settings.delete_version_after_seconds];
        let seconds = durations.into_iter().filter(|seconds| *seconds > 0).min()?;
        Some(now.plus(Duration::from_secs(seconds)))
    }
}

/// How long until versions delete themselves, as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteAfter {
    /// After this many seconds; 0 clears the setting.
    Seconds(u64),
    /// Never, also where a secret says otherwise (a negative duration; of a mount only).
    Never,
}

/// A change of settings; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// `max_versions`
    pub max_versions: Option<u64>,
    /// `cas_required`
    pub cas_required: Option<bool>,
    /// `metadata_cas_required`
    pub metadata_cas_required: Option<bool>,
    /// `delete_version_after`
    pub delete_version_after: Option<DeleteAfter>,
}

impl SettingsChange {
    /// True when it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn apply_to_settings(&self, settings: &mut Settings) {
        settings.max_versions = self.max_versions.unwrap_or(settings.max_versions);
        settings.cas_required = self.cas_required.unwrap_or(settings.cas_required);
        settings.metadata_cas_required = self.metadata_cas_required.unwrap_or(settings.metadata_cas_required);
        match self.delete_version_after {
            Some(DeleteAfter::Seconds(seconds)) => settings.delete_version_after_seconds = seconds,
            Some(DeleteAfter::Never) => settings.delete_version_after_seconds = 0,
            None => {}
        }
    }

    /// Changes a mount's configuration.
    pub fn apply(&self, config: &mut KvConfig) {
        self.apply_to_settings(&mut config.settings);
        if let Some(after) = self.delete_version_after {
            config.delete_version_after_disabled = after == DeleteAfter::Never;
        }
    }
}

/// What becomes of a secret's `custom_metadata`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CustomChange {
    /// It becomes this.
    Replace(BTreeMap<String, String>),
    /// These keys are set, or removed where there is no value (RFC 7396).
    Merge(BTreeMap<String, Option<String>>),
}

/// A change of a secret's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// The settings.
    pub settings: SettingsChange,
    /// `custom_metadata`
    pub custom: Option<CustomChange>,
    /// `metadata_cas`
    pub cas: Option<i64>,
}

impl MetadataChange {
    /// True when it changes nothing, whatever its `cas` says.
    pub fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.custom.is_none()
    }

    /// Changes a secret's metadata, which counts as one more metadata version.
    pub fn apply(&self, metadata: &mut KvMetadata) -> Result<(), Refusal> {
        self.settings.apply_to_settings(&mut metadata.settings);
        match &self.custom {
            Some(CustomChange::Replace(custom)) => metadata.custom_metadata.clone_from(custom),
            Some(CustomChange::Merge(patch)) => {
                for (name, value) in patch {
                    match value {
                        Some(value) => metadata.custom_metadata.insert(name.clone(), value.clone()),
                        None => metadata.custom_metadata.remove(name),
                    };
                }
            }
            None => {}
        }
        check_custom(&metadata.custom_metadata)?;
        metadata.metadata_version = metadata.metadata_version.saturating_add(1);
        Ok(())
    }

    /// What the client should hear of a setting that the mount's configuration overrules.
    pub fn warnings(&self, config: &KvConfig) -> Vec<String> {
        let named = [
            ("cas_required", self.settings.cas_required, config.settings.cas_required),
            ("metadata_cas_required", self.settings.metadata_cas_required, config.settings.metadata_cas_required),
        ];
        let overruled = named.into_iter().filter(|(_, asked, mandated)| *asked == Some(false) && *mandated);
        overruled
            .map(|(name, ..)| format!("\"{name}\" set to false, but is mandated by backend config. This value will be ignored."))
            .collect()
    }
}

/// Names every fault of a whole `custom_metadata` map.
pub fn check_custom(custom: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let mut faults = Vec::new();
    if custom.len() > CUSTOM_KEYS_MAX {
        faults.push(format!("payload must contain at most {CUSTOM_KEYS_MAX} keys, provided {}", custom.len()));
    } else {
        for (name, value) in custom {
            if name.is_empty() || name.len() > CUSTOM_KEY_BYTES_MAX {
                faults
                    .push(format!("length of key {name:?} is {} but must be 0 < len(key) <= {CUSTOM_KEY_BYTES_MAX}", name.len()));
            }
            if value.is_empty() || value.len() > CUSTOM_VALUE_BYTES_MAX {
                faults.push(format!(
                    "length of value for key {name:?} is {} but must be 0 < len(value) <= {CUSTOM_VALUE_BYTES_MAX}",
                    value.len()
                ));
            }
            if name.chars().chain(value.chars()).any(char::is_control) {
                faults.push(format!("key {name:?} or its value contains unprintable characters"));
            }
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = faults.iter().map(|fault| format!("\n\t* custom_metadata validation failed: {fault}")).collect();
    let plural = if faults.len() == 1 { "error" } else { "errors" };
    Err(Refusal::Invalid(format!("{} {plural} occurred:{}\n\n", faults.len(), lines.concat())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_shorter_duration_decides_and_a_mount_can_forbid_all() {
        let now = Timestamp(0);
        let secret = |seconds| Settings { delete_version_after_seconds: seconds, ..Settings::default() };
        let mut config = KvConfig::default();
        assert_eq!(config.deletion_of_new_version(&secret(0), now), None);
        assert_eq!(config.deletion_of_new_version(&secret(9), now), Some(Timestamp(9_000_000_000)));
        config.settings.delete_version_after_seconds = 5;
        assert_eq!(config.deletion_of_new_version(&secret(9), now), Some(Timestamp(5_000_000_000)));
        assert_eq!(config.deletion_of_new_version(&secret(0), now), Some(Timestamp(5_000_000_000)));
        assert_eq!(config.deletion_of_new_version(&secret(3), now), Some(Timestamp(3_000_000_000)));
        config.delete_version_after_disabled = true;
        assert_eq!(config.deletion_of_new_version(&secret(3), now), None);
    }

    #[test]
    fn a_zero_duration_clears_what_forbade_deletion() {
        let mut config = KvConfig::default();
        let change = |after| SettingsChange { delete_version_after: Some(after), ..SettingsChange::default() };
        change(DeleteAfter::Never).apply(&mut config);
        assert!(config.delete_version_after_disabled);
        SettingsChange { max_versions: Some(3), ..SettingsChange::default() }.apply(&mut config);
        assert!(config.delete_version_after_disabled);
        change(DeleteAfter::Seconds(0)).apply(&mut config);
        assert_eq!(config, KvConfig { settings: Settings { max_versions: 3, ..Settings::default() }, ..KvConfig::default() });
    }

    #[test]
    fn custom_metadata_is_replaced_or_merged() {
        let mut metadata = KvMetadata::new(Timestamp(1));
        let replace = |custom| MetadataChange { custom: Some(CustomChange::Replace(custom)), ..MetadataChange::default() };
        replace(map(&[("owner", "x"), ("keep", "y")])).apply(&mut metadata).unwrap();
        let patch = BTreeMap::from([("owner".to_owned(), None), ("team".to_owned(), Some("z".to_owned()))]);
        let merge = MetadataChange { custom: Some(CustomChange::Merge(patch)), ..MetadataChange::default() };
        merge.apply(&mut metadata).unwrap();
        assert_eq!(metadata.custom_metadata, map(&[("keep", "y"), ("team", "z")]));
        assert_eq!(metadata.metadata_version, 2);
    }

    #[test]
    fn custom_metadata_has_limits() {
        for bad in [map(&[("", "x")]), map(&[("a", "")]), map(&[("a", "b\n")]), map(&[("a\u{7}", "b")])] {
            assert!(check_custom(&bad).is_err(), "{bad:?}");
        }
        assert!(check_custom(&map(&[(&"k".repeat(129), "v")])).is_err());
        assert!(check_custom(&map(&[("k", &"v".repeat(513))])).is_err());
        assert!(check_custom(&map(&[(&"k".repeat(128), &"v".repeat(512))])).is_ok());
        let many = |count: usize| (0..count).map(|at| (format!("k{at}"), "v".to_owned())).collect::<BTreeMap<_, _>>();
        assert!(check_custom(&many(64)).is_ok());
        assert!(check_custom(&many(65)).is_err());
    }

    #[test]
    fn a_client_hears_that_the_mount_overrules_it() {
        let mut config = KvConfig::default();
        let settings = SettingsChange { cas_required: Some(false), ..SettingsChange::default() };
        let change = MetadataChange { settings, ..MetadataChange::default() };
        assert!(change.warnings(&config).is_empty());
        config.settings.cas_required = true;
        let expected = "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored.";
        assert_eq!(change.warnings(&config), [expected]);
    }
}
