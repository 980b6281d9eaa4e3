//! Small files that are there as a whole, before and after a change, whenever the machine stops.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Writes a file in one step; it is durable when this returns. `mode` is that of a file that was not there.
///
/// # Errors
/// It cannot be written: then what was there before is there.
pub fn write_whole(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let beside = with_suffix(path, ".new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The name is durable only when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// The path with more at its end.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.to_owned().into_os_string();
    path.push(suffix);
    PathBuf::from(path)
}
