//! A copy of a log in a folder, which is verified without the server: with the log's public key alone.
//!
//! | file | content |
//! |---|---|
//! | `checkpoint` | the signed note of the tree of all events that are there |
//! | `checkpoints/SIZE` | the note with which an export ended, earlier ones too |
//! | `key` | the public key that the server named, one line |
//! | `tile/entries/..` | the events, canonical bytes: bundles of tlog-tiles |
//! | `tile/LEVEL/..` | the tree: tiles of tlog-tiles |
//! | `large/LEAF` | an event that is too long for a bundle, which has its leaf hash instead |
//! | `witnessed/SIZE` | that the checkpoint of SIZE events is in the deployment's log, which witnesses have cosigned |
//! | `witnessed/SIZE.extends` | that this tree of the deployment's log extends that of an earlier export |
//! | `unfinished` | there while an export goes on, or after one was cut off |
//!
//! A copy of the deployment's own log has the same form: its events are heads of tenants' logs, and its notes have the cosignatures
//! themselves, so that it needs no `witnessed/`.
//!
//! Pure: files are handed in and out. Memory does not grow with the log, but with what is wrong.

mod compare;
mod cosigned;
#[cfg(test)]
mod cosigned_tests;
#[cfg(test)]
mod edits;
mod heads;
mod signed;
mod stored;
mod truth;
mod verify;
#[cfg(test)]
mod verify_tests;
mod write;

use std::fmt;
use std::io;

pub use cosigned::{Quorum, Seen};
pub use heads::heads_of;
pub use verify::{Report, Trust, verify};
pub use write::Writer;

/// The note of the whole tree.
pub const CHECKPOINT: &str = "checkpoint";
/// Where notes are that exports ended with.
pub const CHECKPOINTS: &str = "checkpoints/";
/// The public key.
pub const KEY: &str = "key";
/// Where events are that no bundle holds.
pub const LARGE: &str = "large/";
/// Where it is shown what witnesses have seen.
pub const WITNESSED: &str = "witnessed/";
/// The end of the name of what shows that they saw one history.
pub const EXTENDS: &str = ".extends";
/// Says that an export has not come to its end.
pub const UNFINISHED: &str = "unfinished";

/// Where a file is written before it gets its name.
pub const UNFINISHED_PART: &str = "unfinished.part";

/// The files of a copy.
pub trait Folder {
    /// Hands over the path of every file, with slashes.
    fn walk(&self, each: &mut dyn FnMut(&str)) -> io::Result<()>;

    /// One file, if it is there.
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
}

/// What is wrong with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Something is there and is not what was logged or signed.
    Changed,
    /// Something in the middle is not there.
    Missing,
    /// Events stand in another order.
    Reordered,
    /// An event is there more than once.
    Duplicated,
    /// An event is there that was not logged.
    Added,
    /// The end is not there.
    Truncated,
    /// Two histories were signed.
    Forked,
    /// It was signed with another key.
    OtherKey,
    /// Fewer witnesses than are needed have cosigned it.
    Unwitnessed,
    /// A file is no part of a copy.
    Unexpected,
    /// An export was cut off, and can be continued.
    Unfinished,
}

impl Fault {
    /// The word that is printed.
    pub fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Reordered => "reordered",
            Self::Duplicated => "duplicated",
            Self::Added => "added",
            Self::Truncated => "truncated",
            Self::Forked => "forked",
            Self::OtherKey => "other-key",
            Self::Unwitnessed => "unwitnessed",
            Self::Unexpected => "unexpected",
            Self::Unfinished => "unfinished",
        }
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub fault: Fault,
    /// A file, or events.
    pub place: String,
    /// What was found there.
    pub detail: String,
}

impl Finding {
    fn new(fault: Fault, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { fault, place: place.into(), detail: detail.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.fault.word(), self.place, self.detail)
    }
}

/// `event 7`, `events 7 to 9`.
fn events(first: u64, last: u64) -> String {
    if first == last { format!("event {first}") } else { format!("events {first} to {last}") }
}

/// A copy that is in no folder.
#[cfg(test)]
impl Folder for std::collections::BTreeMap<String, Vec<u8>> {
    fn walk(&self, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        for name in self.keys() {
            each(name);
        }
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.get(name).cloned())
    }
}
