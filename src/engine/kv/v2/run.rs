//! Does the operations of KV version 2.

use std::time::Duration;

use super::data::{self, Mark};
use super::metadata::KvMetadata;
use super::operation::Operation;
use super::settings::{KvConfig, MetadataChange, Settings, SettingsChange};
use super::shown;
use crate::answer::{Answer, Data, Refusal, time_or_empty};
use crate::commit::{Place, Txn};
use crate::engine::listing::Tree;
use crate::engine::object::named;
use crate::engine::table::Call;
use crate::json::Json;
use crate::record::Kind;
use crate::time::go_duration;

/// Does one operation.
pub async fn run(operation: Operation, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    match operation {
        Operation::ReadData(path, version) => data::read(place, &path, version, txn).await,
        Operation::WriteData(path, value, options) => data::write(place, &path, value, options, txn).await,
        Operation::PatchData(path, change, options) => data::patch(place, &path, &change, options, txn).await,
        Operation::DeleteLatest(path) => data::mark(place, &path, Mark::DeleteLatest, txn).await,
        Operation::DeleteVersions(path, versions) => data::mark(place, &path, Mark::Delete(versions), txn).await,
        Operation::UndeleteVersions(path, versions) => data::mark(place, &path, Mark::Undelete(versions), txn).await,
        Operation::DestroyVersions(path, versions) => data::mark(place, &path, Mark::Destroy(versions), txn).await,
        Operation::ReadSubkeys { path, version, depth } => data::subkeys(place, &path, version, depth, txn).await,
        Operation::ReadMetadata(path) => read_metadata(place, &path, txn).await,
        Operation::WriteMetadata(path, change) => write_metadata(place, &path, &change, txn).await,
        Operation::PatchMetadata(path, change) => patch_metadata(place, &path, &change, txn).await,
        Operation::DeleteMetadata(path) => data::remove(place, &path, txn).await,
        Operation::List(directory, page) => tree(place).list(&directory, &page, txn).await,
        Operation::Scan(directory, page) => tree(place).scan(&directory, &page, txn).await,
        Operation::ReadConfig => Ok(show_config(&data::config(place, txn).await?)),
        Operation::WriteConfig(change) => write_config(place, &change, txn).await,
        Operation::WrongPath(text) => Ok(Answer::Data(Data { status: 404, warnings: vec![text], ..Data::new(None) })),
    }
}

/// Whether the secret that a write of data or metadata names is there already: then policy asks for `update`,
/// else for `create`. Metadata alone counts.
pub async fn exists(place: &Place, call: &Call<'_>, txn: &mut Txn) -> Result<bool, Refusal> {
    match named(call) {
        Some(path) => txn.exists(&place.tenant, &KvMetadata::address(place.mount.id, path)).await,
        None => Ok(false),
    }
}

/// Secrets by path.
pub(super) fn tree(place: &Place) -> Tree<'_> {
    Tree { place, kind: Kind::KvMetadata }
}

async fn read_metadata(place: &Place, path: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let secret = data::secret(place, path, txn).await?.ok_or(Refusal::NotFound)?;
    Ok(Answer::data(show_metadata(&secret.metadata)))
}

fn show_metadata(metadata: &KvMetadata) -> Json {
    let settings = &metadata.settings;
    Json::object(|fields| {
        fields.field("cas_required", &settings.cas_required);
        fields.field("created_time", &metadata.created.rfc3339());
        fields.field("current_metadata_version", &metadata.metadata_version);
        fields.field("current_version", &metadata.current_version);
        shown::custom_metadata(fields, metadata);
        fields.field("delete_version_after", &delete_version_after(settings));
        fields.field("max_versions", &settings.max_versions);
        fields.field("metadata_cas_required", &settings.metadata_cas_required);
        fields.field("oldest_version", &metadata.oldest_version);
        fields.field("updated_time", &metadata.updated.rfc3339());
        fields.object("versions", |versions| {
            for (number, version) in &metadata.versions {
                versions.object(&number.to_string(), |fields| {
                    fields.field("created_time", &version.created.rfc3339());
                    fields.field("deletion_time", &time_or_empty(version.deletion));
                    fields.field("destroyed", &version.destroyed);
                });
            }
        });
    })
}

fn delete_version_after(settings: &Settings) -> String {
    go_duration(Duration::from_secs(settings.delete_version_after_seconds))
}

async fn write_metadata(place: &Place, path: &str, change: &MetadataChange, txn: &mut Txn) -> Result<Answer, Refusal> {
    if change.is_empty() {
        return Ok(Answer::Empty);
    }
    let secret = data::secret(place, path, txn).await?;
    let metadata = secret.map_or_else(|| KvMetadata::new(txn.now()), |secret| secret.metadata.as_ref().clone());
    change_metadata(place, path, metadata, change, txn).await
}

async fn patch_metadata(place: &Place, path: &str, change: &MetadataChange, txn: &mut Txn) -> Result<Answer, Refusal> {
    let secret = data::secret(place, path, txn).await?.ok_or(Refusal::MissingSilently)?;
    if change.is_empty() {
        return Ok(Answer::Empty);
    }
    change_metadata(place, path, secret.metadata.as_ref().clone(), change, txn).await
}

async fn change_metadata(
    place: &Place,
    path: &str,
    mut metadata: KvMetadata,
    change: &MetadataChange,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let config = data::config(place, txn).await?;
    metadata.check_metadata_cas(&config, change.cas)?;
    change.apply(&mut metadata)?;
    txn.put(&place.tenant, &KvMetadata::address(place.mount.id, path), &metadata, None).await?;
    let warnings = change.warnings(&config);
    Ok(Answer::done(warnings))
}

fn show_config(config: &KvConfig) -> Answer {
    let settings = &config.settings;
    Answer::data(Json::object(|fields| {
        fields.field("cas_required", &settings.cas_required);
        // A mount that forbids it shows what a client writes to forbid it.
        let forbidden = config.delete_version_after_disabled.then(|| "-1s".to_owned());
        fields.field("delete_version_after", &forbidden.unwrap_or_else(|| delete_version_after(settings)));
        fields.field("max_versions", &settings.max_versions);
        fields.field("metadata_cas_required", &settings.metadata_cas_required);
    }))
}

async fn write_config(place: &Place, change: &SettingsChange, txn: &mut Txn) -> Result<Answer, Refusal> {
    if change.is_empty() {
        return Ok(Answer::Empty);
    }
    let mut config = data::config(place, txn).await?;
    change.apply(&mut config);
    txn.put(&place.tenant, &KvConfig::address(place.mount.id), &config, None).await?;
    Ok(Answer::Empty)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::time::Timestamp;

    #[test]
    fn metadata_shows_every_field_that_clients_know() {
        let mut metadata = KvMetadata::new(Timestamp(1_000_000_000));
        metadata.settings.delete_version_after_seconds = 86_400;
        metadata.settings.max_versions = 5;
        metadata.custom_metadata = BTreeMap::from([("team".to_owned(), "y".to_owned())]);
        metadata.add_version(&KvConfig::default(), Timestamp(2_500_000_000));
        let shown: serde_json::Value = serde_json::from_slice(show_metadata(&metadata).expose()).unwrap();
        let expected = serde_json::json!({
            "cas_required": false,
            "created_time": "1970-01-01T00:00:01Z",
            "current_metadata_version": 0,
            "current_version": 1,
            "custom_metadata": {"team": "y"},
            "delete_version_after": "24h0m0s",
            "max_versions": 5,
            "metadata_cas_required": false,
            "oldest_version": 0,
            "updated_time": "1970-01-01T00:00:02.5Z",
            "versions": {
                "1": {"created_time": "1970-01-01T00:00:02.5Z", "deletion_time": "1970-01-02T00:00:02.5Z", "destroyed": false}
            }
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_custom_metadata_is_null() {
        let shown: serde_json::Value = serde_json::from_slice(show_metadata(&KvMetadata::new(Timestamp(1))).expose()).unwrap();
        assert_eq!(shown.get("custom_metadata"), Some(&serde_json::Value::Null));
        assert_eq!(shown.get("versions"), Some(&serde_json::json!({})));
    }
}
