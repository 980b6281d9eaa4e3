//! One storage, every call to which is bounded in time; and one object of it that is written again and again.

use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::OnceCell;

use super::{ArchiveError, target};
use crate::config::{AnchorObject, ArchiveTarget};

/// A storage.
pub(super) struct Bucket {
    to: ArchiveTarget,
    objects: OnceCell<Arc<dyn ObjectStore>>,
    pub(super) timeout: Duration,
}

impl Bucket {
    /// Nothing is called or opened yet: a storage that is away is tried again. Fails when it cannot be called at all.
    pub(super) fn new(to: ArchiveTarget, timeout: Duration) -> Result<Self, ArchiveError> {
        let objects = OnceCell::new();
        if !matches!(to, ArchiveTarget::File { .. }) {
            let made = target::open(&to, timeout)?;
            objects.set(made).map_err(|_| ArchiveError::Failed("opened twice".to_owned()))?;
        }
        Ok(Self { to, objects, timeout })
    }

    pub(super) fn kind(&self) -> &'static str {
        self.to.kind()
    }

    /// A folder is opened when it is there: one on a disk that is not mounted must not be made beside it.
    pub(super) async fn objects(&self) -> Result<&Arc<dyn ObjectStore>, ArchiveError> {
        self.objects.get_or_try_init(|| async { target::open(&self.to, self.timeout) }).await
    }

    pub(super) async fn within<T>(&self, call: impl Future<Output = Result<T, ArchiveError>>) -> Result<T, ArchiveError> {
        tokio::time::timeout(self.timeout, call).await.unwrap_or(Err(ArchiveError::Slow))
    }

    /// Writes an object, whole or not at all. One that is there is replaced.
    pub(super) async fn put(&self, path: &Path, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let put = async {
            self.objects().await?.put(path, PutPayload::from(bytes)).await?;
            Ok(())
        };
        self.within(put).await
    }

    /// Reads an object of at most `bytes_max`.
    pub(super) async fn get(&self, path: &Path, bytes_max: usize) -> Result<Vec<u8>, ArchiveError> {
        let get = async {
            let found = self.objects().await?.get(path).await?;
            if !usize::try_from(found.meta.size).is_ok_and(|size| size <= bytes_max) {
                return Err(ArchiveError::TooLarge(path.to_string()));
            }
            Ok(found.bytes().await?.to_vec())
        };
        self.within(get).await
    }

    /// Deletes an object; nothing happens when it is not there.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), ArchiveError> {
        let delete = async {
            match self.objects().await?.delete(path).await.map_err(ArchiveError::from) {
                Err(ArchiveError::Missing(_)) => Ok(()),
                other => other,
            }
        };
        self.within(delete).await
    }
}

/// An object of a name of its own, outside of the archive.
pub struct KeptObject {
    bucket: Bucket,
    name: String,
}

impl KeptObject {
    /// Nothing is called yet.
    ///
    /// # Errors
    /// The storage cannot be called at all.
    pub fn new(settings: AnchorObject) -> Result<Self, ArchiveError> {
        let AnchorObject { to, name, timeout } = settings;
        Ok(Self { bucket: Bucket::new(to, timeout)?, name })
    }

    /// What people call it.
    pub fn shown(&self) -> String {
        format!("{} in \"{}\"", self.name, self.bucket.kind())
    }

    /// What it holds, or what the object holds whose name has this behind it; none when it is not there.
    ///
    /// # Errors
    /// The storage is away, or it is longer than `bytes_max`.
    pub async fn read(&self, behind: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, ArchiveError> {
        match self.bucket.get(&self.path(behind), bytes_max).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(ArchiveError::Missing(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The storage is away.
    pub async fn write(&self, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.bucket.put(&self.path(""), bytes).await
    }

    /// Deletes the object whose name has this behind it.
    ///
    /// # Errors
    /// The storage is away.
    pub async fn delete(&self, behind: &str) -> Result<(), ArchiveError> {
        self.bucket.delete(&self.path(behind)).await
    }

    fn path(&self, behind: &str) -> Path {
        Path::from(format!("{}{behind}", self.name))
    }
}
