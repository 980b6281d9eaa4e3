//! Settings of a mount.

use super::record::{TransitConfig, config_address};
use crate::answer::{Answer, Refusal};
use crate::commit::{Place, Txn};
use crate::json::Json;

/// Which of the two groups of settings is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// `cache-config`.
    Cache,
    /// `config/keys`.
    Keys,
}

/// What is changed.
#[derive(Clone, Copy)]
pub enum Setting {
    /// How many keys are cached, 0 for all. Kept and shown: what is cached here is bounded otherwise.
    CacheSize(u64),
    /// Encrypting does not make keys.
    DisableUpsert(bool),
}

pub(super) async fn read(group: Group, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let found = txn.read::<TransitConfig>(&place.tenant, &config_address(place)).await?;
    let config = found.map_or_else(TransitConfig::default, |found| TransitConfig::clone(&found.value));
    Ok(shown(group, &config))
}

fn shown(group: Group, config: &TransitConfig) -> Answer {
    Answer::data(Json::object(|out| match group {
        Group::Cache => {
            out.field("size", &config.cache_size);
        }
        Group::Keys => {
            out.field("disable_upsert", &config.disable_upsert);
        }
    }))
}

pub(super) async fn write(setting: Setting, place: &Place, txn: &mut Txn) -> Result<Answer, Refusal> {
    let address = config_address(place);
    let found = txn.read::<TransitConfig>(&place.tenant, &address).await?;
    let mut config = found.map_or_else(TransitConfig::default, |found| TransitConfig::clone(&found.value));
    let group = match setting {
        Setting::CacheSize(size) => {
            config.cache_size = size;
            Group::Cache
        }
        Setting::DisableUpsert(disabled) => {
            config.disable_upsert = disabled;
            Group::Keys
        }
    };
    txn.put(&place.tenant, &address, &config, None).await?;
    Ok(shown(group, &config))
}
