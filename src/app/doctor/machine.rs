//! What the machine gives: space on disks, and memory that stays in memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::Finding;
use crate::app::process::may_lock;
use crate::config::{Config, SinkTarget, Storage};

/// Below this, and below a tenth of the disk, there should be more space: bytes.
const SPACE_WARN: u64 = 1 << 30;
/// Below this writes will fail soon: bytes.
const SPACE_FAIL: u64 = 64 << 20;
/// Files that can still be made: as above.
const FILES_WARN: u64 = 10_000;
/// As above.
const FILES_FAIL: u64 = 100;

pub(super) fn examine(config: &Config) -> Vec<Finding> {
    folders(config).iter().map(|folder| disk(folder)).chain([memory(config)]).collect()
}

/// Folders that a server writes to.
fn folders(config: &Config) -> BTreeSet<PathBuf> {
    let store = match &config.storage {
        Storage::Sqlite { path } => Some(path.as_path()),
        Storage::Postgres(_) => None,
    };
    let sinks = config.audit.iter().flat_map(|sink| {
        let file = match &sink.to {
            // A device is none of ours.
            SinkTarget::File(file) if file.path.is_absolute() => Some(file.path.as_path()),
            SinkTarget::File(_) | SinkTarget::Stdout | SinkTarget::Syslog(_) | SinkTarget::Http(_) => None,
        };
        [Some(sink.position_file.as_path()), file]
    });
    let parent = |file: &Path| file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
    store.into_iter().chain(sinks.flatten()).map(parent).collect()
}

fn disk(folder: &Path) -> Finding {
    let check = format!("disk of {}", folder.display());
    let found = match statvfs(folder) {
        Ok(found) => found,
        Err(error) => return Finding::fail(check, error.to_string(), "make the folder, for the server's user"),
    };
    let (free, whole) = (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize));
    // Some file systems do not count files.
    let files = if found.f_files == 0 { u64::MAX } else { found.f_favail };
    let more = if files == u64::MAX { String::new() } else { format!(", {files} more files") };
    let text = format!("{} MiB of {} MiB free{more}", free >> 20, whole >> 20);
    let remedy = "free space, or move the folder to a larger disk: a full one answers writes with 503";
    if free < SPACE_FAIL || files < FILES_FAIL {
        Finding::fail(check, text, remedy)
    } else if (free < SPACE_WARN && free < whole / 10) || files < FILES_WARN {
        Finding::warn(check, text, remedy)
    } else {
        Finding::ok(check, text)
    }
}

fn memory(config: &Config) -> Finding {
    let check = "memory";
    if config.disable_mlock {
        return Finding::ok(check, "disable_mlock: keys may reach the swap disk, which must be off or encrypted");
    }
    match may_lock() {
        Ok(()) => Finding::ok(check, "may be locked: keys do not reach the swap disk"),
        Err(reason) => {
            let remedy = "allow it (LimitMEMLOCK=infinity in systemd, or CAP_IPC_LOCK), or turn swap off or encrypt it and set disable_mlock = true";
            Finding::warn(check, format!("will not be locked, if the server runs as this process does: {reason}"), remedy)
        }
    }
}
