//! A look at the file that changes nothing: not even the files that opening it would leave beside it, which would belong to whoever
//! looked.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::super::StoreError;
use super::open::{APPLICATION_ID, MIGRATIONS, suffixed};

/// The header of an SQLite file; its numbers are big-endian (<https://sqlite.org/fileformat.html>, section 1.3).
const HEADER_BYTES: usize = 100;
const MAGIC: &[u8] = b"SQLite format 3\0";

/// How the file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Examined {
    /// A server may open it.
    Free,
    /// The same, and it will be brought up to date.
    Older,
    /// The server with this process id has it.
    InUse(String),
}

/// Looks at a file that is there.
///
/// # Errors
/// `Refused`, where a start would refuse it.
pub fn examine(path: &Path) -> Result<Examined, StoreError> {
    if let Some(holder) = holder(path) {
        return Ok(Examined::InUse(holder));
    }
    let refused = |problem: &dyn std::fmt::Display| StoreError::Refused(format!("{} {problem}", path.display()));
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let file = File::open(path).map_err(|error| refused(&format_args!("cannot be opened: {error}")))?;
    file.take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(|error| refused(&format_args!("cannot be read: {error}")))?;
    // A server that was killed early has everything in the log beside it.
    if header.is_empty() {
        return Ok(Examined::Older);
    }
    let number = |at: usize| header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    let (Some(version), Some(application), true) = (number(60), number(68), header.starts_with(MAGIC)) else {
        return Err(refused(&"is no SQLite database"));
    };
    if i64::from(application) != APPLICATION_ID && (application, version) != (0, 0) {
        return Err(refused(&"is a database of other software"));
    }
    match usize::try_from(version).unwrap_or(usize::MAX) {
        version if version > MIGRATIONS.len() => Err(refused(&format_args!(
            "has schema version {version}, made by a newer strongroom; this one knows {}",
            MIGRATIONS.len()
        ))),
        version if version < MIGRATIONS.len() => Ok(Examined::Older),
        _ => Ok(Examined::Free),
    }
}

/// Who holds the lock beside it.
fn holder(path: &Path) -> Option<String> {
    let mut file = File::open(suffixed(path, ".lock")).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    let mut holder = String::new();
    let _ = file.read_to_string(&mut holder);
    Some(if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() })
}
