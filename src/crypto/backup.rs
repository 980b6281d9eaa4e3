//! The key of one backup: made for it, wrapped by the deployment's seals, used for nothing else.
//!
//! A chunk is a `sealed_box` whose AAD is length-prefixed (format, deployment, backup, hash of the backup's header, index): it opens
//! at its place in its backup, and nowhere else.

use super::framing::framed;
use super::keys::Key;
use super::{OpenError, sealed_box};
use crate::id::{BackupId, DeploymentId};
use crate::secret::SecretBytes;

const LABEL: &[u8] = b"strongroom v1 backup chunk";

/// Where a chunk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkPlace {
    /// The installation.
    pub deployment: DeploymentId,
    /// The backup.
    pub backup: BackupId,
    /// The hash of what the backup begins with.
    pub header: [u8; 32],
    /// Counts the backup's parts.
    pub index: u64,
}

impl ChunkPlace {
    fn aad(&self) -> Vec<u8> {
        framed(&[&[sealed_box::FORMAT], &self.deployment.0, &self.backup.0, &self.header, &self.index.to_be_bytes()])
    }
}

/// The key of one backup.
pub struct BackupKey(Key);

impl BackupKey {
    /// A fresh key.
    pub fn generate() -> Self {
        Self(Key::random())
    }

    /// Takes 32 bytes, as a seal unwrapped them; `None` when it is another number.
    #[expect(clippy::needless_pass_by_value, reason = "the caller's copy ends here")]
    pub fn from_secret(secret: SecretBytes) -> Option<Self> {
        Key::from_slice(secret.expose()).map(Self)
    }

    /// The 32 bytes, for a seal to wrap.
    pub fn secret(&self) -> SecretBytes {
        SecretBytes::new(self.0.bytes().to_vec())
    }

    /// Seals a chunk.
    pub fn seal(&self, place: &ChunkPlace, chunk: &[u8]) -> Vec<u8> {
        sealed_box::seal(&self.0, LABEL, &place.aad(), chunk, chunk.len())
    }

    /// Opens what `seal` made with the same key, for the same place.
    ///
    /// # Errors
    /// Another key, another place, or damaged bytes.
    pub fn open(&self, place: &ChunkPlace, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
        let mut chunk = sealed_box::open(&self.0, LABEL, &place.aad(), sealed)?;
        Ok(SecretBytes::new(std::mem::take(&mut *chunk)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_at_its_place_and_nowhere_else() {
        let here = ChunkPlace { deployment: DeploymentId([1; 16]), backup: BackupId([2; 16]), header: [3; 32], index: 4 };
        let key = BackupKey::generate();
        let sealed = key.seal(&here, b"rows");
        let again = BackupKey::from_secret(key.secret()).unwrap();
        assert_eq!(again.open(&here, &sealed).ok().unwrap().expose(), b"rows");
        assert!(BackupKey::generate().open(&here, &sealed).is_err());
        for there in [
            ChunkPlace { deployment: DeploymentId([9; 16]), ..here },
            ChunkPlace { backup: BackupId([9; 16]), ..here },
            ChunkPlace { header: [9; 32], ..here },
            ChunkPlace { index: 9, ..here },
        ] {
            assert!(key.open(&there, &sealed).is_err());
        }
    }
}
