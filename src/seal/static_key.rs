//! The static seal's key file: 32 bytes, as they are, as 64 hexadecimal digits, or in base64 (the text forms may end in a
//! newline). Whoever reads the file reads everything, so only its owner may: mode 0600 or stricter (root's: see `private_file`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64_NOPAD, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::crypto::RootKey;
use crate::private_file::is_private;
use crate::secret::SecretBytes;

/// The longest file that can be a key: 64 digits and a newline of two characters.
const FILE_MAX: usize = 66;

/// Why a key file was not read or made. One line each, with what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be opened, read or written.
    #[error("key file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A directory, device, pipe or socket.
    #[error("key file {path} is not a regular file: name a file that holds the key")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// More than reading and writing by its owner is allowed.
    #[error("key file {path} has mode {mode:04o}, so others than its owner could use it: run `chmod 600 {path}`")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not one of the three forms.
    #[error("key file {path} holds no key: it must be 32 bytes, 64 hexadecimal digits, or 32 bytes in base64")]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a root key from a file.
///
/// # Errors
/// See `KeyFileError`. The file is judged after it was opened, so it cannot be exchanged in between.
pub fn read(path: &Path) -> Result<RootKey, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    // Opening a pipe would wait for a writer.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::CLOEXEC).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    if !is_private(&metadata) {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
    }
    let mut content = Zeroizing::new([0; FILE_MAX + 1]);
    let length = read_up_to(file, content.as_mut_slice()).map_err(io)?;
    parse(content.get(..length).unwrap_or_default()).ok_or_else(|| KeyFileError::Content { path: path.to_owned() })
}

/// Makes a key file with a fresh root key, as hexadecimal digits, mode 0600, durable once this returns.
///
/// # Errors
/// When the file exists already (a key is never overwritten), or cannot be written.
pub fn create(path: &Path) -> Result<RootKey, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let root = RootKey::generate();
    let mut text = Zeroizing::new([b'\n'; 65]);
    let (digits, _newline) = text.split_at_mut(64);
    HEXLOWER.encode_mut(root.secret().expose(), digits);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
    file.write_all(text.as_slice()).and_then(|()| file.sync_all()).map_err(io)?;
    // The name is durable only when its directory is.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
    Ok(root)
}

fn read_up_to(mut file: File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn parse(content: &[u8]) -> Option<RootKey> {
    if content.len() == 32 {
        return RootKey::from_secret(&SecretBytes::new(content.to_vec()));
    }
    let text = content.strip_suffix(b"\n").unwrap_or(content);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let encoding = match text.len() {
        64 => HEXLOWER_PERMISSIVE,
        44 => BASE64,
        43 => BASE64_NOPAD,
        _ => return None,
    };
    decode(&encoding, text)
}

/// Decodes into a buffer that is wiped whatever happens: `Encoding::decode` would free a half-decoded key as it is.
fn decode(encoding: &Encoding, text: &[u8]) -> Option<RootKey> {
    let mut key = Zeroizing::new(vec![0; encoding.decode_len(text.len()).ok()?]);
    let length = encoding.decode_mut(text, &mut key).ok()?;
    key.truncate(length);
    RootKey::from_secret(&SecretBytes::new(std::mem::take(&mut *key)))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const KEY: [u8; 32] = *b"0123456789abcdefghijklmnopqrstuv";

    fn write(path: &Path, content: &[u8], mode: u32) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_three_forms_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (hex, base64) = (HEXLOWER.encode(&KEY), BASE64.encode(&KEY));
        let forms = [
            KEY.to_vec(),
            hex.clone().into_bytes(),
            format!("{hex}\n").into_bytes(),
            format!("{}\r\n", hex.to_uppercase()).into_bytes(),
            base64.clone().into_bytes(),
            format!("{base64}\n").into_bytes(),
            base64.trim_end_matches('=').as_bytes().to_vec(),
        ];
        for content in forms {
            write(&path, &content, 0o600);
            assert_eq!(read(&path).unwrap().secret().expose(), KEY, "{}", String::from_utf8_lossy(&content));
        }
    }

    #[test]
    fn other_contents_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let hex = HEXLOWER.encode(&KEY);
        let bad = [
            String::new(),
            "x".repeat(31),
            "x".repeat(33),
            "x".repeat(64),
            format!("{hex}\n\n"),
            format!("{hex}00"),
            "=".repeat(44),
        ];
        for content in bad {
            write(&path, content.as_bytes(), 0o600);
            assert!(matches!(read(&path), Err(KeyFileError::Content { .. })), "{content}");
        }
    }

    #[test]
    fn only_the_owner_may_have_access() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for mode in [0o600, 0o400] {
            write(&path, &KEY, mode);
            assert!(read(&path).is_ok(), "{mode:o}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        for mode in [0o640, 0o604, 0o660, 0o644, 0o610, 0o700, 0o4600] {
            write(&path, &KEY, mode);
            let error = read(&path).err().unwrap().to_string();
            let expected = format!("mode {mode:04o}");
            assert!(error.contains(&expected) && error.contains("chmod 600") && error.contains("key"), "{error}");
        }
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg("-m").arg("600").arg(&pipe).status().unwrap().success());
        for path in [folder.path(), &pipe] {
            assert!(matches!(read(path), Err(KeyFileError::NotAFile { .. })), "{}", path.display());
        }
        assert!(matches!(read(&folder.path().join("absent")), Err(KeyFileError::Io { .. })));
    }

    #[test]
    fn a_made_file_is_private_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(read(&path).unwrap().secret().expose(), made.secret().expose());
        assert!(create(&path).is_err());
        assert_eq!(read(&path).unwrap().secret().expose(), made.secret().expose());
    }
}
