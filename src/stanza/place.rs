//! Where in which file something stands, and what can be wrong with it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// A line of a file. Shown as `file:line`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As the operator named it.
    pub file: Arc<PathBuf>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A key, and where it is set. Shown as `file:line: key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Where.
    pub place: Place,
    /// With the stanza that it stands in: `listener "tcp" address`.
    pub key: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.key)
    }
}

impl Setting {
    /// The error that `problem` (a half sentence, without values) is wrong with this setting.
    pub fn wrong(&self, problem: impl Into<String>) -> FileError {
        FileError::Wrong { setting: self.clone(), problem: problem.into() }
    }
}

/// Why files are refused: always one line, never a value of the file. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file or folder cannot be read.
    #[error("{}: cannot be read: {source}", .file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not HCL or JSON.
    #[error("{place}: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser expected.
        problem: String,
    },
    /// A key has a value that it cannot have, or is not known, or is set twice.
    #[error("{setting}: {problem}")]
    Wrong {
        /// Which, and where.
        setting: Setting,
        /// What is wrong.
        problem: String,
    },
    /// Something is needed and stands nowhere.
    #[error("{place}: {problem}")]
    Missing {
        /// The stanza, or the first file.
        place: Place,
        /// What is missing.
        problem: String,
    },
    /// The files as a whole.
    #[error("{0}")]
    Whole(String),
}

/// A file that a setting names, and where it does: so that whoever reads the file can say so.
#[derive(Clone, Debug)]
pub struct FileSetting {
    /// The file.
    pub path: PathBuf,
    /// The key that names it.
    pub setting: Setting,
}
