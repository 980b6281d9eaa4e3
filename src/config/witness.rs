//! The `witness` stanzas: who cosigns the log of the deployment, and how many of them have to.

use std::path::PathBuf;

use super::ConfigError;
use crate::stanza::Stanza;

/// The most witnesses.
const WITNESSES_MAX: usize = 16;
/// The longest name.
const NAME_BYTES_MAX: usize = 64;

/// Who cosigns.
#[derive(Default)]
pub struct Witnesses {
    /// All of them, in the order of the files.
    pub all: Vec<Witness>,
    /// How many must have cosigned a tree.
    pub required: usize,
}

/// One `witness` stanza.
pub struct Witness {
    /// What the operator calls it.
    pub name: String,
    /// What `/add-checkpoint` is put behind.
    pub url: String,
    /// Its public key, a note verifier key.
    pub key: String,
    /// Authorities of its certificate, PEM, in place of those of the operating system.
    pub ca_file: Option<PathBuf>,
}

/// All witnesses.
pub(super) fn witnesses(top: &mut Stanza) -> Result<Witnesses, ConfigError> {
    let mut all: Vec<Witness> = Vec::new();
    for (labels, mut stanza) in top.stanzas("witness", 1, false)? {
        let setting = top.setting("witness", &stanza.place);
        let name = labels.into_iter().next().unwrap_or_default();
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !plain {
            return Err(setting.wrong(format!("needs a name of at most {NAME_BYTES_MAX} letters, digits, hyphens and dots")));
        }
        let missing = |key: &str| setting.wrong(format!("needs {key}"));
        let (url, _) = stanza.text("url")?.ok_or_else(|| missing("url: where add-checkpoint is"))?;
        let (key, _) = stanza.text("key")?.ok_or_else(|| missing("key: its public key, NAME+ID+BASE64"))?;
        let ca_file = stanza.file("ca_file")?.map(|file| file.path);
        stanza.finish()?;
        if all.iter().any(|known| known.name == name || known.key == key) {
            return Err(setting.wrong("another one has the same name or key"));
        }
        all.push(Witness { name, url: url.trim_end_matches('/').to_owned(), key, ca_file });
        if all.len() > WITNESSES_MAX {
            return Err(setting.wrong(format!("there are more than {WITNESSES_MAX} of them")));
        }
    }
    let required = match top.integer("witnesses_required")? {
        None => 0,
        Some((count, setting)) => {
            let count = usize::try_from(count).ok().filter(|count| *count <= all.len());
            count.ok_or_else(|| setting.wrong("must not be more than there are witness stanzas"))?
        }
    };
    Ok(Witnesses { all, required })
}
