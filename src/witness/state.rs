//! What a witness has cosigned, by log: one line for each, in a file that is written as a whole before any cosignature leaves.
//!
//!     strongroom witness 1 NAME
//!     ORIGIN SIZE BASE64(ROOT)

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use rustix::fs::{FlockOperation, flock};

use crate::audit::merkle::Hash;
use crate::base64;
use crate::durable::{with_suffix, write_whole};

/// The longest file that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

pub(super) struct State {
    path: PathBuf,
    name: String,
    logs: BTreeMap<String, (u64, Hash)>,
    /// Held as long as this lives: two witnesses with one file would take back what the other one has cosigned.
    _lock: File,
}

impl State {
    /// Reads the file; makes it, on the first start. The text says why it is not to be used.
    pub(super) fn open(path: &Path, name: &str, first_start: bool) -> Result<Self, String> {
        let text = |error: io::Error| error.to_string();
        let lock = File::options().create(true).truncate(false).write(true).open(with_suffix(path, ".lock")).map_err(text)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| "another witness uses it".to_owned())?;
        let mut state = Self { path: path.to_owned(), name: name.to_owned(), logs: BTreeMap::new(), _lock: lock };
        match (fs::metadata(path), first_start) {
            (Ok(_), true) => return Err("is there already: leave out --init".to_owned()),
            (Err(error), true) if error.kind() == io::ErrorKind::NotFound => state.save().map_err(text)?,
            (Err(error), false) if error.kind() == io::ErrorKind::NotFound => {
                let what = "is not there. A witness that has lost it must not go on under its name and key; a new one begins with --init";
                return Err(what.to_owned());
            }
            (Err(error), _) => return Err(error.to_string()),
            (Ok(found), false) if found.len() > FILE_BYTES_MAX => return Err("is too long".to_owned()),
            (Ok(_), false) => {
                let content = fs::read_to_string(path).map_err(text)?;
                state.logs = parse(&content, name).ok_or("is not what this witness has written")?;
            }
        }
        Ok(state)
    }

    pub(super) fn last(&self, origin: &str) -> Option<(u64, Hash)> {
        self.logs.get(origin).copied()
    }

    /// Durable when it returns; nothing is changed when it fails.
    pub(super) fn remember(&mut self, origin: &str, last: (u64, Hash)) -> io::Result<()> {
        let before = self.logs.insert(origin.to_owned(), last);
        let saved = self.save();
        if saved.is_err() {
            match before {
                Some(before) => self.logs.insert(origin.to_owned(), before),
                None => self.logs.remove(origin),
            };
        }
        saved
    }

    fn save(&self) -> io::Result<()> {
        let lines = self.logs.iter().map(|(origin, (size, root))| format!("{origin} {size} {}\n", BASE64.encode(root)));
        let text: String = std::iter::once(header(&self.name)).chain(lines).collect();
        write_whole(&self.path, &text, 0o600)
    }
}

fn header(name: &str) -> String {
    format!("strongroom witness 1 {name}\n")
}

fn parse(text: &str, name: &str) -> Option<BTreeMap<String, (u64, Hash)>> {
    let rest = text.strip_prefix(&header(name))?;
    if !rest.is_empty() && !rest.ends_with('\n') {
        return None;
    }
    rest.lines().map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(String, (u64, Hash))> {
    let mut parts = line.split(' ');
    let (origin, size, root) = (parts.next()?, parts.next()?, parts.next()?);
    let root = base64::decode(root).ok()?.try_into().ok()?;
    (parts.next().is_none() && !origin.is_empty()).then_some((origin.to_owned(), (size.parse().ok()?, root)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cosigned_is_remembered_and_a_lost_file_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let open = |first| State::open(&path, "w", first);
        assert!(open(false).err().unwrap().contains("is not there"));
        let mut state = open(true).unwrap();
        state.remember("a/b", (5, [1; 32])).unwrap();
        state.remember("c", (7, [2; 32])).unwrap();
        assert!(open(false).err().unwrap().contains("another witness"));
        drop(state);
        assert!(open(true).err().unwrap().contains("leave out --init"));
        let state = open(false).unwrap();
        assert_eq!((state.last("a/b"), state.last("c"), state.last("d")), (Some((5, [1; 32])), Some((7, [2; 32])), None));
        drop(state);
        assert!(State::open(&path, "other", false).is_err(), "of another witness");
        let whole = fs::read_to_string(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(open(false).err().unwrap().contains("is not what"));
    }
}
