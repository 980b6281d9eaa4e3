//! From paths to texts.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::place::FileError;
use crate::secret::SecretText;

/// One file.
pub struct Source {
    /// As the operator named it; `.json` is read as JSON, everything else as HCL.
    pub file: PathBuf,
    /// Its text, which may hold passwords.
    pub text: SecretText,
}

/// Reads every file, and every `*.hcl` and `*.json` of every folder (sorted by name).
pub fn read(paths: &[PathBuf]) -> Result<Vec<Source>, FileError> {
    let mut sources = Vec::new();
    for path in paths {
        for file in files_of(path)? {
            let text = fs::read_to_string(&file).map_err(|source| FileError::Unreadable { file: file.clone(), source })?;
            sources.push(Source { file, text: SecretText::new(text) });
        }
    }
    Ok(sources)
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unreadable = |source| FileError::Unreadable { file: path.to_owned(), source };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let known = matches!(file.extension().and_then(OsStr::to_str), Some("hcl" | "json"));
        if known && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(FileError::Whole(format!("{}: no *.hcl or *.json file in this folder", path.display())));
    }
    files.sort();
    Ok(files)
}
