//! The `listener` stanzas.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{ConfigError, Listener, REQUEST_SIZE_MAX, Tls, TlsVersion};
use crate::stanza::Stanza;

/// `max_request_size`, bytes.
pub(super) fn request_size(stanza: &mut Stanza) -> Result<Option<usize>, ConfigError> {
    let Some((size, setting)) = stanza.integer("max_request_size")? else { return Ok(None) };
    let size = usize::try_from(size).ok().filter(|size| (1024..=REQUEST_SIZE_MAX).contains(size));
    size.map(Some).ok_or_else(|| setting.wrong(format!("must be from 1024 to {REQUEST_SIZE_MAX} bytes")))
}

/// All of them; `request_size` is for those that say nothing.
pub(super) fn listeners(top: &mut Stanza, request_size: usize, warnings: &mut Vec<String>) -> Result<Vec<Listener>, ConfigError> {
    let mut listeners = Vec::new();
    let mut addresses = BTreeSet::new();
    for (labels, mut stanza) in top.stanzas("listener", 1, false)? {
        if labels.first().is_none_or(|kind| kind != "tcp") {
            return Err(top.setting("listener", &stanza.place).wrong("only listener \"tcp\" is offered"));
        }
        let listener = listener(&mut stanza, request_size, warnings)?;
        if !addresses.insert(listener.address) {
            return Err(stanza.setting("address", &stanza.place).wrong("another listener has the same address"));
        }
        stanza.finish()?;
        listeners.push(listener);
    }
    if listeners.is_empty() {
        let problem = "no listener: add listener \"tcp\" { address = .., tls_cert_file = .., tls_key_file = .. }";
        return Err(ConfigError::Missing { place: top.place.clone(), problem: problem.to_owned() });
    }
    Ok(listeners)
}

fn listener(stanza: &mut Stanza, request_size_default: usize, warnings: &mut Vec<String>) -> Result<Listener, ConfigError> {
    let default = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8200);
    let address = stanza.address("address")?.map_or(default, |(address, _)| address);
    if let Some((_, setting)) = stanza.text("cluster_address")? {
        warnings.push(format!("{setting}: has no effect: replicas only meet in the database"));
    }
    let connections_max = match stanza.integer("max_connections")? {
        None => 10_000,
        Some((count, setting)) => {
            let count = u32::try_from(count).ok().filter(|count| (1..=1_000_000).contains(count));
            count.ok_or_else(|| setting.wrong("must be from 1 to 1000000"))?
        }
    };
    let mut disabled = |key| Ok(stanza.boolean(key)?.is_none_or(|(value, _)| value));
    let (disable_unauthed_rekey, disable_unauthed_generate_root) =
        (disabled("disable_unauthed_rekey_endpoints")?, disabled("disable_unauthed_generate_root_endpoints")?);
    let unauthenticated_metrics = match stanza.stanza("telemetry")? {
        None => false,
        Some(mut telemetry) => {
            let value = telemetry.boolean("unauthenticated_metrics_access")?.is_some_and(|(value, _)| value);
            telemetry.finish()?;
            value
        }
    };
    Ok(Listener {
        address,
        tls: tls(stanza, address)?,
        max_request_size: request_size(stanza)?.unwrap_or(request_size_default),
        max_request_duration: stanza.duration_or("max_request_duration", Duration::from_secs(90))?,
        header_timeout: stanza.duration_or("http_read_header_timeout", Duration::from_secs(10))?,
        idle_timeout: stanza.duration_or("http_idle_timeout", Duration::from_mins(5))?,
        connections_max,
        disable_unauthed_rekey,
        disable_unauthed_generate_root,
        unauthenticated_metrics,
        place: stanza.place.clone(),
    })
}

fn tls(stanza: &mut Stanza, address: SocketAddr) -> Result<Option<Tls>, ConfigError> {
    let disable = stanza.boolean("tls_disable")?;
    let (cert_file, key_file) = (stanza.file("tls_cert_file")?, stanza.file("tls_key_file")?);
    let versions = [("tls12", TlsVersion::Tls12), ("tls13", TlsVersion::Tls13)];
    let min_version = stanza.word("tls_min_version", &versions)?.unwrap_or(TlsVersion::Tls12);
    let client_ca_file = stanza.file("tls_client_ca_file")?;
    let require = stanza.boolean("tls_require_and_verify_client_cert")?;
    if let Some((true, setting)) = disable {
        if !address.ip().is_loopback() {
            return Err(setting.wrong("plain HTTP is only allowed on a loopback address: set tls_cert_file and tls_key_file"));
        }
        return Ok(None);
    }
    if let (Some((true, setting)), None) = (&require, &client_ca_file) {
        return Err(setting.wrong("needs tls_client_ca_file"));
    }
    let missing = |key: &str| ConfigError::Missing {
        place: stanza.place.clone(),
        problem: format!("listener \"tcp\" {key}: is missing (tls_disable = true is allowed on a loopback address only)"),
    };
    Ok(Some(Tls {
        cert_file: cert_file.ok_or_else(|| missing("tls_cert_file"))?,
        key_file: key_file.ok_or_else(|| missing("tls_key_file"))?,
        min_version,
        client_ca_file,
        require_client_cert: require.is_some_and(|(value, _)| value),
    }))
}
