//! A copy of a log, in a folder of the file system.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::audit::copy::{self, Folder};
use crate::audit::tile::Tile;

/// Longest file that is read whole: more than any bundle or event has. What is longer is cut, and so not what was signed.
const FILE_BYTES_MAX: u64 = 64 << 20;

pub(super) struct CopyFolder(PathBuf);

impl CopyFolder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Begins to write; ends with what it returns. `None` when somebody else is at it.
    pub(super) fn begin(&self) -> io::Result<Option<File>> {
        let marker = File::options().create(true).append(true).open(self.0.join(copy::UNFINISHED))?;
        match flock(&marker, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(marker)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes a file: it is there as a whole, or not.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, part) = (self.0.join(name), self.0.join(copy::UNFINISHED_PART));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        File::create(&part)?.write_all(bytes)?;
        fs::rename(part, path)
    }

    /// Brings everything that was written to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(File::open(&self.0)?)?)
    }

    /// Removes tiles of smaller trees, and then what says that it is not finished.
    pub(super) fn end(&self, size: u64) -> io::Result<()> {
        let mut old = Vec::new();
        self.walk(&mut |name| {
            old.extend(
                Tile::parse(name).filter(|tile| Tile::of(tile.level, tile.index, size) != Some(*tile)).map(|_| name.to_owned()),
            );
        })?;
        for name in old {
            let path = self.0.join(name);
            fs::remove_file(&path)?;
            if let Some(folder) = path.parent() {
                // It stays while there is something else in it.
                let _ = fs::remove_dir(folder);
            }
        }
        self.sync()?;
        fs::remove_file(self.0.join(copy::UNFINISHED))
    }
}

impl Folder for CopyFolder {
    fn walk(&self, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut folders = vec![(self.0.clone(), String::new())];
        while let Some((folder, prefix)) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                if entry.file_type()?.is_dir() {
                    folders.push((entry.path(), format!("{name}/")));
                } else {
                    each(&name);
                }
            }
        }
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
        let read = || {
            let mut bytes = Vec::new();
            File::open(self.0.join(name))?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if matches!(io::Error::kind(&error), NotFound | NotADirectory | IsADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
