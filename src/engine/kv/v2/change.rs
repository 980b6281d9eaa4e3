//! Reads changes of settings and metadata from request bodies.

use std::collections::BTreeMap;

use super::settings::{CustomChange, DeleteAfter, MAX_VERSIONS_MAX, MetadataChange, SettingsChange, check_custom};
use crate::answer::Refusal;
use crate::fields::Fields;

/// The settings that a body names; `of_mount` when they are a mount's.
pub(super) fn settings_change(fields: &Fields<'_>, of_mount: bool) -> Result<SettingsChange, Refusal> {
    let max_versions = match fields.integer("max_versions")? {
        None => None,
        Some(asked) => match u64::try_from(asked) {
            Ok(asked) if asked <= MAX_VERSIONS_MAX => Some(asked),
            _ => return Err(Refusal::Invalid(format!("max_versions must be from 0 to {MAX_VERSIONS_MAX}"))),
        },
    };
    let negative = |text: &String| text.trim_start().starts_with('-');
    let delete_version_after = match fields.text("delete_version_after")? {
        Some(text) if of_mount && negative(&text) => Some(DeleteAfter::Never),
        _ => fields.duration("delete_version_after")?.map(|duration| DeleteAfter::Seconds(duration.as_secs())),
    };
    Ok(SettingsChange {
        max_versions,
        cas_required: fields.boolean("cas_required")?,
        metadata_cas_required: fields.boolean("metadata_cas_required")?,
        delete_version_after,
    })
}

/// The change of a secret's metadata that a body asks for; `patch` when it is a merge patch (RFC 7396).
pub(super) fn metadata_change(fields: &Fields<'_>, patch: bool) -> Result<MetadataChange, Refusal> {
    let mut settings = settings_change(fields, false)?;
    let mut custom = None;
    if let Some(entries) = fields.nested("custom_metadata")? {
        custom =
            Some(if patch { CustomChange::Merge(custom_patch(&entries)?) } else { CustomChange::Replace(custom_map(&entries)?) });
    }
    if patch {
        // A member that is null takes a setting back (RFC 7396); in a write it is as if it were absent.
        let reset = |name: &str| fields.names().any(|known| known == name) && !fields.has(name);
        settings.max_versions = settings.max_versions.or(reset("max_versions").then_some(0));
        settings.cas_required = settings.cas_required.or(reset("cas_required").then_some(false));
        settings.metadata_cas_required = settings.metadata_cas_required.or(reset("metadata_cas_required").then_some(false));
        settings.delete_version_after =
            settings.delete_version_after.or(reset("delete_version_after").then_some(DeleteAfter::Seconds(0)));
        custom = custom.or(reset("custom_metadata").then(|| CustomChange::Replace(BTreeMap::new())));
    }
    Ok(MetadataChange { settings, custom, cas: fields.integer("metadata_cas")? })
}

/// Custom metadata as a whole; a `null` is an empty text, which is refused.
fn custom_map(entries: &Fields<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let patch = custom_patch(entries)?;
    let custom = patch.into_iter().map(|(name, value)| (name, value.unwrap_or_default())).collect();
    check_custom(&custom)?;
    Ok(custom)
}

fn custom_patch(entries: &Fields<'_>) -> Result<BTreeMap<String, Option<String>>, Refusal> {
    let mut patch = BTreeMap::new();
    for name in entries.names() {
        let value = entries.text(name).map_err(|_| {
            Refusal::Invalid(format!("custom_metadata validation failed: the value for key {name:?} is not a string"))
        })?;
        patch.insert(name.to_owned(), value);
    }
    Ok(patch)
}
