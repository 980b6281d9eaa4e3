//! The signed list of erased tenants: a file outside of the database, so that a database of before does not bring them back.
//!
//!     strongroom/<deployment>/erased ⏎ number ⏎ number × (tenant " " RFC 3339 ⏎) ⏎ "— " .. (a signed note, `audit/note.rs`)
//!
//! Tenants are in the order of their ids, which say nothing about them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use crate::audit::note::LogKey;
use crate::id::{DeploymentId, TenantId};
use crate::time::Timestamp;

/// The longest list that is read, in bytes.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// Erased tenants, and when each was.
pub(super) type Erased = BTreeMap<TenantId, Timestamp>;

/// Why a list is not one to go by.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is not a list that this deployment has signed: {0}")]
    Foreign(String),
}

/// What the key is called that signs the list.
pub(super) fn name(deployment: DeploymentId) -> String {
    format!("strongroom/{deployment}/erased")
}

/// What is signed.
pub(super) fn text(name: &str, erased: &Erased) -> String {
    let lines = erased.iter().map(|(tenant, at)| format!("{tenant} {}\n", at.rfc3339()));
    format!("{name}\n{}\n{}", erased.len(), lines.collect::<String>())
}

/// Reads the list. None when there is none yet.
pub(super) fn read(file: &Path, key: &LogKey) -> Result<Option<Erased>, ListError> {
    let length = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if length > LIST_BYTES_MAX {
        return Err(ListError::Foreign("it is too long".to_owned()));
    }
    parse(&fs::read(file)?, key).map(Some)
}

fn parse(note: &[u8], key: &LogKey) -> Result<Erased, ListError> {
    let foreign = |reason: &str| ListError::Foreign(reason.to_owned());
    let (text, _) = key.open_text(note).map_err(|error| foreign(&error.to_string()))?;
    let mut lines = text.lines();
    if lines.next() != Some(key.name()) {
        return Err(foreign("its first line is another name"));
    }
    let number = lines.next().and_then(|line| line.parse::<usize>().ok());
    let entry = |line: &str| {
        let (tenant, at) = line.split_once(' ')?;
        Some((TenantId::parse(tenant)?, Timestamp::parse_rfc3339(at)?))
    };
    let erased: Option<Erased> = lines.map(entry).collect();
    erased.filter(|erased| Some(erased.len()) == number).ok_or_else(|| foreign("a line of it is malformed"))
}

/// Replaces the list: whoever reads it sees the old one or the new one, also after a crash.
pub(super) fn write(file: &Path, note: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut new = File::create(&beside)?;
    new.write_all(note.as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::note::sign_text;
    use crate::crypto::{SigningAlgorithm, SigningKey};

    #[test]
    fn a_list_is_read_as_it_was_signed_and_not_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("erased");
        let (key, other) = [(); 2].map(|()| SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()).into();
        let name = name(DeploymentId([1; 16]));
        let public = LogKey::of(&name, &key).unwrap();
        assert!(read(&file, &public).unwrap().is_none());
        let erased = Erased::from([(TenantId([2; 16]), Timestamp(1_795_251_600_000_000_001)), (TenantId([3; 16]), Timestamp(5))]);
        let signed = |text: &str, key| sign_text(&name, text, key).unwrap();
        let note = signed(&text(&name, &erased), &key);
        for _ in 0..2 {
            write(&file, &note).unwrap();
            assert_eq!(read(&file, &public).unwrap(), Some(erased.clone()));
        }
        let one_less = text(&name, &erased).replacen("\n2\n", "\n1\n", 1);
        for bad in [
            signed(&text(&name, &erased), &other),
            signed(&one_less, &key),
            signed(&text("strongroom/x/erased", &erased), &key),
            signed(&format!("{name}\n1\nnobody 1\n"), &key),
            note.replacen("02", "04", 1),
            note.replace('\u{2014}', "-"),
            String::new(),
        ] {
            assert!(matches!(parse(bad.as_bytes(), &public), Err(ListError::Foreign(_))), "{bad}");
        }
    }

    /// The file is of nothing: whether it was read shows in what is said of it.
    #[test]
    fn a_list_is_read_up_to_its_greatest_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("erased");
        let key = SigningKey::generate(SigningAlgorithm::EdDsa).unwrap();
        let public = LogKey::of(&name(DeploymentId([1; 16])), &key).unwrap();
        for (length, read_whole) in [(64 << 20, true), ((64 << 20) + 1, false)] {
            File::create(&file).unwrap().set_len(length).unwrap();
            let Err(ListError::Foreign(reason)) = read(&file, &public) else { panic!("{length}: no list") };
            assert_eq!(reason != "it is too long", read_whole, "{length}: {reason}");
        }
    }
}
