//! The `archive` stanza: the object storage that the audit log is archived in.

use std::path::PathBuf;
use std::time::Duration;

use super::seal::address;
use super::{ConfigError, Setting};
use crate::secret::SecretText;
use crate::stanza::Stanza;

/// Between two looks for what is to be archived, unless the stanza says otherwise; at least, and at most.
const INTERVAL: Duration = Duration::from_hours(1);
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_hours(24 * 7);
/// How long one call to the storage may take, repetitions included; at most.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const TIMEOUT_MAX: Duration = Duration::from_mins(5);
/// The longest path in front of the names of objects, in bytes.
const PREFIX_BYTES_MAX: usize = 256;

/// The one `archive` stanza.
pub struct Archive {
    /// Where objects are.
    pub to: ArchiveTarget,
    /// What their names begin with: empty, or segments joined by slashes.
    pub prefix: String,
    /// Between two rounds.
    pub interval: Duration,
    /// Events that are older leave the database once they are archived; none do without a word.
    pub keep_in_database: Option<Duration>,
    /// What is older leaves the archive, of namespaces that set nothing else; nothing does without a word.
    pub retention: Option<Duration>,
    /// The shortest retention that a namespace may set.
    pub retention_min: Duration,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// Where objects are. What is not said comes from the environment, as in the tools of each provider.
pub enum ArchiveTarget {
    /// A folder that is there: on a disk or a network.
    File {
        /// The folder.
        path: PathBuf,
    },
    /// AWS S3, or what speaks as it does.
    S3 {
        /// The bucket.
        bucket: String,
        /// Where it is.
        region: Option<String>,
        /// Another address than the region's.
        endpoint: Option<String>,
        /// Id and secret of a key.
        key: Option<(String, SecretText)>,
    },
    /// Google Cloud Storage.
    Gcs {
        /// The bucket.
        bucket: String,
        /// A service account's file.
        credentials_file: Option<PathBuf>,
        /// Another address.
        endpoint: Option<String>,
    },
    /// Azure Blob Storage.
    Azure {
        /// The container.
        container: String,
        /// The storage account.
        account: Option<String>,
        /// Its key.
        access_key: Option<SecretText>,
        /// Another address.
        endpoint: Option<String>,
    },
}

impl ArchiveTarget {
    /// As the stanza names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::S3 { .. } => "s3",
            Self::Gcs { .. } => "gcs",
            Self::Azure { .. } => "azure",
        }
    }
}

/// The stanza, if there is one.
pub(super) fn archive(top: &mut Stanza) -> Result<Option<Archive>, ConfigError> {
    let Some((kind, mut stanza)) = top.labelled("archive")? else { return Ok(None) };
    let setting = top.setting("archive", &stanza.place);
    let to = target(&kind, &mut stanza, &setting)?;
    let interval = within(&mut stanza, "interval", INTERVAL, INTERVAL_MIN..=INTERVAL_MAX, "1s to 168h")?;
    let timeout = timeout(&mut stanza)?;
    let keep_in_database = stanza.duration("keep_in_database")?.map(|(keep, _)| keep);
    let retention = stanza.duration("retention")?;
    let retention_min = stanza.duration("retention_min")?.map(|(min, _)| min);
    let floor = retention_min.or(keep_in_database).unwrap_or_default();
    if let Some((retention, setting)) = &retention
        && (*retention < floor || retention.is_zero() || keep_in_database.is_none_or(|keep| *retention < keep))
    {
        return Err(setting.wrong("needs keep_in_database, and must not be shorter than that or than retention_min"));
    }
    let (retention, retention_min) = (retention.map(|(retention, _)| retention), floor);
    let prefix = named(&mut stanza, "prefix")?.unwrap_or_default();
    stanza.finish()?;
    Ok(Some(Archive { to, prefix, interval, keep_in_database, retention, retention_min, timeout }))
}

/// Where objects are.
pub(super) fn target(kind: &str, stanza: &mut Stanza, setting: &Setting) -> Result<ArchiveTarget, ConfigError> {
    let missing = |key: &str| setting.wrong(format!("needs {key}"));
    Ok(match kind {
        "file" => {
            let path = stanza.file("path")?.ok_or_else(|| missing("path: a folder that is there"))?;
            if !path.path.is_absolute() {
                return Err(path.setting.wrong("must be an absolute path"));
            }
            ArchiveTarget::File { path: path.path }
        }
        "s3" => {
            let id = stanza.text("access_key_id")?.map(|(id, _)| id);
            let secret = stanza.secret("secret_access_key")?.map(|(secret, _)| secret);
            if id.is_some() != secret.is_some() {
                return Err(setting.wrong("needs both access_key_id and secret_access_key, or neither"));
            }
            ArchiveTarget::S3 {
                bucket: stanza.text("bucket")?.ok_or_else(|| missing("bucket"))?.0,
                region: stanza.text("region")?.map(|(region, _)| region),
                endpoint: endpoint(stanza)?,
                key: id.zip(secret),
            }
        }
        "gcs" => ArchiveTarget::Gcs {
            bucket: stanza.text("bucket")?.ok_or_else(|| missing("bucket"))?.0,
            credentials_file: stanza.file("credentials_file")?.map(|file| file.path),
            endpoint: endpoint(stanza)?,
        },
        "azure" => ArchiveTarget::Azure {
            container: stanza.text("container")?.ok_or_else(|| missing("container"))?.0,
            account: stanza.text("account")?.map(|(account, _)| account),
            access_key: stanza.secret("access_key")?.map(|(key, _)| key),
            endpoint: endpoint(stanza)?,
        },
        _ => return Err(setting.wrong("only \"s3\", \"gcs\", \"azure\" and \"file\" are offered")),
    })
}

fn endpoint(stanza: &mut Stanza) -> Result<Option<String>, ConfigError> {
    stanza.text("endpoint")?.map(|(endpoint, setting)| address(endpoint, &setting)).transpose()
}

fn within(
    stanza: &mut Stanza,
    key: &'static str,
    default: Duration,
    range: std::ops::RangeInclusive<Duration>,
    said: &str,
) -> Result<Duration, ConfigError> {
    match stanza.duration(key)? {
        None => Ok(default),
        Some((value, _)) if range.contains(&value) => Ok(value),
        Some((_, setting)) => Err(setting.wrong(format!("must be from {said}"))),
    }
}

/// The longest that one call may take.
pub(super) fn timeout(stanza: &mut Stanza) -> Result<Duration, ConfigError> {
    within(stanza, "timeout", TIMEOUT, Duration::from_millis(100)..=TIMEOUT_MAX, "100ms to 5m")
}

/// A name of objects, or what their names begin with, without slashes around.
pub(super) fn named(stanza: &mut Stanza, key: &'static str) -> Result<Option<String>, ConfigError> {
    let Some((prefix, setting)) = stanza.text(key)? else { return Ok(None) };
    let prefix = prefix.trim_matches('/').to_owned();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=/".contains(&byte);
    let hidden = |part: &str| part.is_empty() || part.starts_with('.');
    let fits = prefix.len() <= PREFIX_BYTES_MAX && prefix.bytes().all(plain);
    if !prefix.is_empty() && (!fits || prefix.split('/').any(hidden)) {
        return Err(setting.wrong("must be a path of letters, digits, hyphens and dots, like \"strongroom/audit\""));
    }
    Ok(Some(prefix))
}
