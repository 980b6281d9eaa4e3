//! From texts to `Config`: pure, opens nothing.

use std::sync::Arc;
use std::time::Duration;

use super::anchor::anchor;
use super::archive::archive;
use super::audit::sinks;
use super::backup::backup;
use super::initialize::initialize;
use super::listener::{listeners, request_size};
use super::seal::seals;
use super::witness::witnesses;
use super::{Config, ConfigError, Place, Postgres, Source, Storage, Telemetry};
use crate::logging::{LogFormat, LogLevel};
use crate::secret::SecretText;
use crate::stanza::{self, Stanza};

const THIRTY_TWO_DAYS: Duration = Duration::from_hours(768);
const REQUEST_SIZE_DEFAULT: usize = 1 << 20;

/// Reads all sources as one configuration. See `load` for `connection_url`.
pub fn parse(sources: &[Source], connection_url: Option<SecretText>) -> Result<Config, ConfigError> {
    let entries = stanza::entries(sources)?;
    let Some(first) = sources.first() else {
        return Err(ConfigError::Whole("no configuration: name a file with --config".to_owned()));
    };
    let mut top = Stanza::new(String::new(), Place { file: Arc::new(first.file.clone()), line: 1 }, entries);
    let config = config(&mut top, connection_url)?;
    top.finish()?;
    Ok(config)
}

fn config(top: &mut Stanza, connection_url: Option<SecretText>) -> Result<Config, ConfigError> {
    let mut warnings = Vec::new();
    let request_size = request_size(top)?.unwrap_or(REQUEST_SIZE_DEFAULT);
    let listeners = listeners(top, request_size, &mut warnings)?;
    let max_lease_ttl = top.duration_or("max_lease_ttl", THIRTY_TWO_DAYS)?;
    let default_lease_ttl = match top.duration("default_lease_ttl")? {
        None => max_lease_ttl.min(THIRTY_TWO_DAYS),
        Some((ttl, setting)) if ttl.is_zero() || ttl > max_lease_ttl => {
            return Err(setting.wrong("must be longer than zero and not longer than max_lease_ttl"));
        }
        Some((ttl, _)) => ttl,
    };
    let keyring_max_age = top.duration_or("keyring_max_age", Duration::from_hours(1))?;
    let keyring_refresh = match top.duration("keyring_refresh")? {
        None => keyring_max_age.min(Duration::from_mins(5)),
        Some((refresh, setting)) if refresh.is_zero() || refresh > keyring_max_age => {
            return Err(setting.wrong("must be longer than zero and not longer than keyring_max_age"));
        }
        Some((refresh, _)) => refresh,
    };
    let seals = seals(top)?;
    let config = Config {
        listeners,
        storage: storage(top, connection_url)?,
        audit: sinks(top)?,
        archive: archive(top)?,
        backup: backup(top)?,
        anchor: anchor(top)?,
        witnesses: witnesses(top)?,
        initialize: initialize(top, &seals)?,
        seals,
        api_addr: api_addr(top)?,
        cluster_name: top.text("cluster_name")?.map(|(name, _)| name),
        log_level: top.word("log_level", &LogLevel::WORDS)?.unwrap_or(LogLevel::Info),
        log_format: top.word("log_format", &LogFormat::WORDS)?.unwrap_or(LogFormat::Standard),
        default_lease_ttl,
        max_lease_ttl,
        keyring_refresh,
        keyring_max_age,
        erased_list_file: top.file("erased_list_file")?,
        backup_retention: top.duration("backup_retention")?.map(|(retention, _)| retention),
        disable_mlock: top.boolean("disable_mlock")?.is_some_and(|(value, _)| value),
        telemetry: telemetry(top)?,
        outbound_allow: outbound_allow(top)?,
        warnings: Vec::new(),
    };
    for key in ["ui", "cluster_addr"] {
        without_effect(top, key, &mut warnings)?;
    }
    Ok(Config { warnings, ..config })
}

/// Keys of Vault's users that have nothing to switch here.
fn without_effect(top: &mut Stanza, key: &'static str, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
    let warning = match key {
        "ui" => top.boolean(key)?.filter(|(on, _)| *on).map(|(_, setting)| (setting, "there is no web interface")),
        _ => top.text(key)?.map(|(_, setting)| (setting, "replicas only meet in the database")),
    };
    warnings.extend(warning.map(|(setting, why)| format!("{setting}: has no effect: {why}")));
    Ok(())
}

fn storage(top: &mut Stanza, connection_url: Option<SecretText>) -> Result<Storage, ConfigError> {
    let Some((kind, mut stanza)) = top.labelled("storage")? else {
        let problem = "no storage: add storage \"sqlite\" { path = .. } or storage \"postgresql\" { connection_url = .. }";
        return Err(ConfigError::Missing { place: top.place.clone(), problem: problem.to_owned() });
    };
    let missing =
        |place: &Place, key: &str| ConfigError::Missing { place: place.clone(), problem: format!("storage {key}: is missing") };
    let storage = match kind.as_str() {
        "sqlite" => {
            let path = stanza.file("path")?.ok_or_else(|| missing(&stanza.place, "\"sqlite\" path"))?;
            Storage::Sqlite { path: path.path }
        }
        "postgresql" => {
            let url = stanza.secret("connection_url")?.map(|(url, _)| url);
            let url = connection_url.or(url).filter(|url| !url.expose().is_empty());
            let key_file = stanza.file("context_key_file")?;
            Storage::Postgres(Postgres {
                connection_url: url.ok_or_else(|| missing(&stanza.place, "\"postgresql\" connection_url"))?,
                context_key_file: key_file.ok_or_else(|| missing(&stanza.place, "\"postgresql\" context_key_file"))?,
                connections_max: match stanza.integer("max_parallel")? {
                    None => 32,
                    Some((count, setting)) => {
                        let count = u32::try_from(count).ok().filter(|count| (4..=1000).contains(count));
                        count.ok_or_else(|| setting.wrong("must be from 4 to 1000 connections"))?
                    }
                },
            })
        }
        _ => return Err(top.setting("storage", &stanza.place).wrong("only \"sqlite\" and \"postgresql\" are offered")),
    };
    stanza.finish()?;
    Ok(storage)
}

fn api_addr(top: &mut Stanza) -> Result<Option<String>, ConfigError> {
    let Some((address, setting)) = top.text("api_addr")? else { return Ok(None) };
    let host = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or_default();
    if host.trim_end_matches('/').is_empty() || host.contains([' ', '@', '?', '#']) {
        return Err(setting.wrong("must be an address like \"https://strongroom.example.com:8200\""));
    }
    Ok(Some(address.trim_end_matches('/').to_owned()))
}

fn telemetry(top: &mut Stanza) -> Result<Telemetry, ConfigError> {
    let mut telemetry = Telemetry { prometheus_retention: Duration::from_hours(24), disable_hostname: false };
    let Some(mut stanza) = top.stanza("telemetry")? else { return Ok(telemetry) };
    if let Some((retention, _)) = stanza.duration("prometheus_retention_time")? {
        telemetry.prometheus_retention = retention;
    }
    telemetry.disable_hostname = stanza.boolean("disable_hostname")?.is_some_and(|(value, _)| value);
    stanza.finish()?;
    Ok(telemetry)
}

fn outbound_allow(top: &mut Stanza) -> Result<Vec<String>, ConfigError> {
    let Some((hosts, setting)) = top.texts("outbound_allow")? else { return Ok(Vec::new()) };
    let plain = |host: &String| !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]".contains(c));
    if !hosts.iter().all(plain) {
        return Err(setting.wrong("each must be a host or host:port, like \"login.example.com\""));
    }
    Ok(hosts)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
