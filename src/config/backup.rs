//! The `backup` stanza: where backups are kept, and when they are made.

use std::time::Duration;

use super::archive::{named, target, timeout};
use super::{ArchiveTarget, ConfigError};
use crate::stanza::Stanza;

/// Between the beginnings of two backups, at least and at most.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_hours(24 * 31);

/// The one `backup` stanza.
pub struct Backup {
    /// Where objects are.
    pub to: ArchiveTarget,
    /// What their names begin with: empty, or segments joined by slashes.
    pub prefix: String,
    /// Between the beginnings of two backups; none: they are made when somebody asks.
    pub interval: Option<Duration>,
    /// The longest that one call may take.
    pub timeout: Duration,
}

/// The stanza, if there is one.
pub(super) fn backup(top: &mut Stanza) -> Result<Option<Backup>, ConfigError> {
    let Some((kind, mut stanza)) = top.labelled("backup")? else { return Ok(None) };
    let setting = top.setting("backup", &stanza.place);
    let to = target(&kind, &mut stanza, &setting)?;
    let interval = match stanza.duration("interval")? {
        None => None,
        Some((interval, _)) if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) => Some(interval),
        Some((_, setting)) => return Err(setting.wrong("must be from 1s to 744h")),
    };
    let timeout = timeout(&mut stanza)?;
    let prefix = named(&mut stanza, "prefix")?.unwrap_or_default();
    stanza.finish()?;
    Ok(Some(Backup { to, prefix, interval, timeout }))
}
