//! A file of entries, one in a line. What is returned from was synced to the disk. A batch is in it as a whole or not at all: what
//! was written of one that failed is cut off again, and so is a line that a crash left without its end.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::FileSink;
use crate::time::{Clock as _, SystemClock};

/// How far back the end of the last whole line is looked for.
const TAIL_BYTES: u64 = 4 << 20;

pub(in crate::sink) struct FileReceiver {
    settings: FileSink,
    open: Option<Open>,
}

struct Open {
    file: File,
    length: u64,
    /// How old the file was when it was opened.
    age: Duration,
    opened: Instant,
}

impl FileReceiver {
    pub(in crate::sink) fn new(settings: FileSink) -> Self {
        Self { settings, open: None }
    }

    pub(in crate::sink) fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        self.opened().map(drop)
    }

    pub(in crate::sink) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let settings = self.settings.clone();
        let open = self.opened()?;
        let long = settings.rotate_bytes.is_some_and(|most| open.length + bytes.len() as u64 > most);
        let old = settings.rotate_after.is_some_and(|most| open.age + open.opened.elapsed() >= most);
        if open.length > 0 && (long || old) {
            self.put_aside()?;
        }
        let open = self.opened()?;
        let written = open.file.write_all(bytes).and_then(|()| open.file.sync_data());
        if written.is_err() {
            // A full disk: what is there of the batch must not be there twice later.
            let _ = open.file.set_len(open.length);
            self.open = None;
            return written;
        }
        open.length += bytes.len() as u64;
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            self.open = Some(Open::new(&self.settings)?);
        }
        self.open.as_mut().ok_or_else(|| io::Error::other("the file is not open"))
    }

    /// Names the file by the time, and removes the oldest that were put aside before.
    fn put_aside(&mut self) -> io::Result<()> {
        self.open = None;
        let path = &self.settings.path;
        let stamp: String = SystemClock.now().rfc3339().chars().filter(|c| !matches!(c, '-' | ':' | '.')).collect();
        let mut aside = path.clone().into_os_string();
        aside.push(format!(".{stamp}"));
        std::fs::rename(path, aside)?;
        let Some(most) = self.settings.rotate_files else { return Ok(()) };
        let mut found = self.aside()?;
        // The stamps sort by time up to the second; parts of it do not have the same length.
        found.sort_by_key(|path| std::fs::metadata(path).and_then(|known| known.modified()).ok());
        for old in found.iter().take(found.len().saturating_sub(most)) {
            std::fs::remove_file(old)?;
        }
        Ok(())
    }

    /// Files that were put aside.
    fn aside(&self) -> io::Result<Vec<PathBuf>> {
        let (Some(folder), Some(name)) = (self.settings.path.parent(), self.settings.path.file_name()) else {
            return Ok(Vec::new());
        };
        let mut prefix: OsString = name.to_owned();
        prefix.push(".");
        let prefix = prefix.into_encoded_bytes();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
            let stamp = name.strip_prefix(prefix.as_slice()).unwrap_or_default();
            let is_stamp = stamp.len() >= 16 && stamp.ends_with(b"Z") && stamp.iter().take(8).all(u8::is_ascii_digit);
            if is_stamp {
                found.push(path);
            }
        }
        Ok(found)
    }
}

impl Open {
    fn new(settings: &FileSink) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).read(true).mode(settings.mode).open(&settings.path)?;
        let metadata = file.metadata()?;
        let length = whole_lines(&mut file, metadata.len())?;
        if length < metadata.len() {
            file.set_len(length)?;
        }
        let age = metadata.created().or_else(|_| metadata.modified()).ok().and_then(|since| since.elapsed().ok());
        Ok(Self { file, length, age: age.unwrap_or_default(), opened: Instant::now() })
    }
}

/// Where the last whole line ends. A file without any line is left as it is: who knows what it is.
fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let from = length.saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    match tail.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => Ok(from + at as u64 + 1),
        None if from == 0 && tail.first() == Some(&b'{') => Ok(0),
        None => Ok(length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receiver(folder: &std::path::Path, rotate_bytes: Option<u64>) -> FileReceiver {
        let path = folder.join("a.log");
        FileReceiver::new(FileSink { path, mode: 0o600, rotate_bytes, rotate_after: None, rotate_files: Some(2) })
    }

    #[test]
    fn a_line_that_a_crash_cut_off_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for (found, kept) in [("{\"a\":1}\n{\"b\":", "{\"a\":1}\n"), ("{\"a", ""), ("{}\n", "{}\n"), ("", ""), ("other", "other")]
        {
            std::fs::write(folder.path().join("a.log"), found).unwrap();
            receiver(folder.path(), None).write(b"{\"c\":3}\n").unwrap();
            let now = std::fs::read_to_string(folder.path().join("a.log")).unwrap();
            assert_eq!(now, format!("{kept}{{\"c\":3}}\n"));
        }
    }

    #[test]
    fn a_file_is_put_aside_when_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let mut receiver = receiver(folder.path(), None);
        receiver.settings.rotate_after = Some(Duration::from_millis(20));
        receiver.write(b"{}\n").unwrap();
        std::thread::sleep(Duration::from_millis(30));
        receiver.write(b"{}\n").unwrap();
        assert_eq!(receiver.aside().unwrap().len(), 1);
    }

    #[test]
    fn a_file_is_put_aside_before_it_grows_past_its_bound_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut receiver = receiver(folder.path(), Some(100));
        for at in 0..20 {
            receiver.write(format!("{{\"at\":{at:020}}}\n").as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(receiver.aside().unwrap().len(), 2);
        let all: Vec<String> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        assert!(all.iter().all(|text| text.len() <= 100 && text.ends_with('\n')));
        assert!(all.iter().any(|text| text.contains("019")), "the newest file has the newest line");
    }
}
