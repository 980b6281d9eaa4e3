//! The `seal` stanzas.

use std::path::PathBuf;
use std::time::Duration;

use super::pkcs11::pkcs11;
use super::transit::transit;
use super::{AwsKms, ConfigError, FileSetting, Seal, SealKind, Setting, StaticKey};
use crate::stanza::Stanza;

/// All of them, or Shamir.
pub(super) fn seals(top: &mut Stanza) -> Result<Vec<Seal>, ConfigError> {
    let mut seals: Vec<Seal> = Vec::new();
    for (labels, mut stanza) in top.stanzas("seal", 1, true)? {
        let mut labels = labels.into_iter();
        let kind = labels.next().unwrap_or_default();
        let name = labels.next().unwrap_or_else(|| kind.clone());
        let setting = top.setting("seal", &stanza.place);
        let kind = match kind.as_str() {
            "shamir" => SealKind::Shamir,
            "static" => static_seal(&mut stanza)?,
            "awskms" => SealKind::AwsKms(aws_kms(&mut stanza)?),
            "transit" => SealKind::Transit(transit(&mut stanza)?),
            "pkcs11" => SealKind::Pkcs11(pkcs11(&mut stanza)?),
            RECOVERY => SealKind::Recovery,
            _ => {
                let offered = "only \"awskms\", \"pkcs11\", \"transit\", \"static\", \"shamir\" and \"recovery\" are offered";
                return Err(setting.wrong(offered));
            }
        };
        stanza.finish()?;
        if (name == RECOVERY) != matches!(kind, SealKind::Recovery) {
            return Err(setting.wrong("the seal \"recovery\" and no other has that name"));
        }
        // What wraps by the recovery key have, once it was changed.
        let number = name.strip_prefix("recovery-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if number {
            return Err(setting.wrong("is the name of a recovery key: choose another"));
        }
        if seals.iter().any(|seal| seal.name == name) {
            return Err(setting.wrong("another seal has the same name: give each a name, as in seal \"static\" \"eu\""));
        }
        seals.push(Seal { name, kind });
    }
    if let [Seal { kind: SealKind::Recovery, .. }] = seals.as_slice() {
        let problem = "seal \"recovery\": needs another seal beside it, which takes over".to_owned();
        return Err(ConfigError::Missing { place: top.place.clone(), problem });
    }
    if seals.is_empty() {
        seals.push(Seal { name: "shamir".to_owned(), kind: SealKind::Shamir });
    }
    Ok(seals)
}

/// The seal that recovery shares open.
const RECOVERY: &str = "recovery";
/// How long a call to a seal in another system may take, unless the stanza says otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that it may say.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// The keys are named as in files written for other servers.
fn aws_kms(stanza: &mut Stanza) -> Result<AwsKms, ConfigError> {
    let key = stanza.text("kms_key_id")?.map(|(key, _)| key).filter(|key| !key.is_empty());
    let problem = "seal \"awskms\" kms_key_id: is missing".to_owned();
    Ok(AwsKms {
        key: key.ok_or_else(|| ConfigError::Missing { place: stanza.place.clone(), problem })?,
        region: stanza.text("region")?.map(|(region, _)| region),
        endpoint: stanza.text("endpoint")?.map(|(endpoint, setting)| address(endpoint, &setting)).transpose()?,
        timeout: timeout(stanza)?,
        allowed_keys: allowed_keys(stanza)?,
    })
}

pub(super) fn allowed_keys(stanza: &mut Stanza) -> Result<Vec<String>, ConfigError> {
    let Some((keys, setting)) = stanza.texts("allowed_key_ids")? else { return Ok(Vec::new()) };
    if keys.iter().any(String::is_empty) {
        return Err(setting.wrong("each must name a key"));
    }
    Ok(keys)
}

pub(super) fn timeout(stanza: &mut Stanza) -> Result<Duration, ConfigError> {
    match stanza.duration("timeout")? {
        None => Ok(TIMEOUT),
        Some((timeout, setting)) if timeout < Duration::from_millis(100) || timeout > TIMEOUT_MAX => {
            Err(setting.wrong("must be from 100ms to 30s"))
        }
        Some((timeout, _)) => Ok(timeout),
    }
}

/// An address that keys, or what is as good as secret, are sent to: in the clear on this machine only.
pub(super) fn address(address: String, setting: &Setting) -> Result<String, ConfigError> {
    let local = ["http://127.0.0.1", "http://[::1]", "http://localhost"];
    let is_local =
        local.iter().filter_map(|local| address.strip_prefix(local)).any(|rest| rest.is_empty() || rest.starts_with([':', '/']));
    let host = address.strip_prefix("https://").is_some_and(|host| !host.is_empty());
    if (host || is_local) && !address.contains([' ', '@', '?', '#']) {
        return Ok(address);
    }
    Err(setting.wrong("must be an https:// address, or an http:// one of this machine, without credentials"))
}

fn static_seal(stanza: &mut Stanza) -> Result<SealKind, ConfigError> {
    let current = static_key(stanza, ["key_file", "current_key_file", "current_key"], "current_key_id")?;
    let previous = static_key(stanza, ["previous_key_file", "previous_key_file", "previous_key"], "previous_key_id")?;
    let problem = "seal \"static\" key_file: is missing".to_owned();
    let current = current.ok_or_else(|| ConfigError::Missing { place: stanza.place.clone(), problem })?;
    Ok(SealKind::Static { current, previous })
}

/// A key file under any of its names; the last one is that of `bao`, whose value is a `file://` address.
fn static_key(stanza: &mut Stanza, names: [&'static str; 3], id: &'static str) -> Result<Option<StaticKey>, ConfigError> {
    let [name, longer, address] = names;
    let mut files = [stanza.file(name)?, stanza.file(longer)?, key_address(stanza, address)?].into_iter().flatten();
    let id = stanza.text(id)?;
    let Some(file) = files.next() else {
        return id.map_or(Ok(None), |(_, setting)| Err(setting.wrong(format!("there is no {name} that it belongs to"))));
    };
    if let Some(second) = files.next() {
        return Err(second.setting.wrong(format!("the key is already set in {}", file.setting.place)));
    }
    Ok(Some(StaticKey { file, id: id.map(|(id, _)| id) }))
}

fn key_address(stanza: &mut Stanza, key: &'static str) -> Result<Option<FileSetting>, ConfigError> {
    let Some((address, setting)) = stanza.secret(key)? else { return Ok(None) };
    match address.expose().strip_prefix("file://").filter(|path| path.starts_with('/')) {
        Some(path) => Ok(Some(FileSetting { path: PathBuf::from(path), setting })),
        None => Err(setting.wrong("must be a file:///.. address: a key does not belong into this file or the environment")),
    }
}
