//! The `anchor` stanza: where it is written down, outside of the database, what was signed of the audit log.

use std::path::PathBuf;

use super::ConfigError;
use crate::stanza::Stanza;

/// `anchor "file" { path = ".." }`.
pub(super) fn anchor_file(top: &mut Stanza) -> Result<Option<PathBuf>, ConfigError> {
    let mut found = top.stanzas("anchor", 1, false)?.into_iter();
    let Some((labels, mut stanza)) = found.next() else { return Ok(None) };
    if let Some((_, second)) = found.next() {
        return Err(top.setting("anchor", &second.place).wrong(format!("is already set in {}", stanza.place)));
    }
    let setting = top.setting("anchor", &stanza.place);
    if labels.first().map(String::as_str) != Some("file") {
        return Err(setting.wrong("only anchor \"file\" is offered"));
    }
    let path = stanza.file("path")?.map(|file| file.path);
    stanza.finish()?;
    let path = path.filter(|path| path.is_absolute());
    path.map(Some)
        .ok_or_else(|| setting.wrong("needs path: the absolute path of a file of this server alone, not beside the database"))
}
