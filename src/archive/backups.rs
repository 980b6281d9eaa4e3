//! Where backups are kept: objects that are written and read as streams.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::OnceCell;

use super::{ArchiveError, target};
use crate::backup::{Input, Output};
use crate::config::{ArchiveTarget, Backup as Settings};
use crate::id::{BackupId, DeploymentId};
use crate::time::Timestamp;

/// What is sent, and asked for, at once, bytes. S3 takes no smaller parts than 5 MiB.
const PART: usize = 8 << 20;

/// The storage of backups.
pub struct Backups {
    to: ArchiveTarget,
    objects: OnceCell<Arc<dyn ObjectStore>>,
    prefix: String,
    timeout: Duration,
    /// Between the beginnings of two backups, if there is a schedule.
    pub interval: Option<Duration>,
}

impl Backups {
    /// Nothing is called or opened yet. Fails when the storage cannot be called at all.
    pub fn new(settings: Settings) -> Result<Self, ArchiveError> {
        let Settings { to, prefix, interval, timeout } = settings;
        let objects = OnceCell::new();
        if !matches!(to, ArchiveTarget::File { .. }) {
            objects.set(target::open(&to, timeout)?).map_err(|_| ArchiveError::Failed("opened twice".to_owned()))?;
        }
        Ok(Self { to, objects, prefix, timeout, interval })
    }

    /// The name of a backup, from the top of the folder or bucket.
    pub fn name(&self, deployment: DeploymentId, backup: BackupId, made: Timestamp) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        let time: String = made.rfc3339().chars().take(19).filter(|c| !matches!(c, '-' | ':')).collect();
        format!("{}{slash}{deployment}/backups/{time}Z-{backup}.backup", self.prefix)
    }

    /// As people find it: a path of this machine, or the name of an object.
    pub fn shown(&self, name: &str) -> String {
        match &self.to {
            ArchiveTarget::File { path } => path.join(name).display().to_string(),
            other => format!("{}:{name}", other.kind()),
        }
    }

    async fn objects(&self) -> Result<&Arc<dyn ObjectStore>, ArchiveError> {
        self.objects.get_or_try_init(|| async { target::open(&self.to, self.timeout) }).await
    }

    /// Begins an object, which is there once it is finished, and not before.
    pub async fn begin(&self, name: &str) -> Result<Upload, ArchiveError> {
        let begun = async { Ok(self.objects().await?.put_multipart(&Path::from(name)).await?) };
        let parts = within(self.timeout, begun).await?;
        Ok(Upload { parts, waiting: Vec::new(), timeout: self.timeout })
    }

    /// Reads an object.
    pub async fn read(&self, name: &str) -> Result<Download, ArchiveError> {
        let path = Path::from(name);
        let opened = async {
            let objects = Arc::clone(self.objects().await?);
            let size = objects.head(&path).await?.size;
            Ok((objects, size))
        };
        let (objects, size) = within(self.timeout, opened).await?;
        Ok(Download { objects, path, at: 0, size, timeout: self.timeout })
    }

    /// Deletes an object; nothing happens when it is not there.
    pub async fn delete(&self, name: &str) -> Result<(), ArchiveError> {
        let delete = async {
            match self.objects().await?.delete(&Path::from(name)).await.map_err(ArchiveError::from) {
                Err(ArchiveError::Missing(_)) => Ok(()),
                other => other,
            }
        };
        within(self.timeout, delete).await
    }
}

async fn within<T>(timeout: Duration, call: impl Future<Output = Result<T, ArchiveError>>) -> Result<T, ArchiveError> {
    tokio::time::timeout(timeout, call).await.unwrap_or(Err(ArchiveError::Slow))
}

/// A backup that is being written.
pub struct Upload {
    parts: Box<dyn MultipartUpload>,
    waiting: Vec<u8>,
    timeout: Duration,
}

impl Upload {
    async fn part(&mut self, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        let sent = self.parts.put_part(PutPayload::from(bytes));
        within(self.timeout, async { Ok(sent.await?) }).await
    }

    /// Makes the object be there: on the disk, or acknowledged by the storage.
    pub async fn finish(mut self) -> Result<(), ArchiveError> {
        let rest = std::mem::take(&mut self.waiting);
        self.part(rest).await?;
        within(self.timeout, async { Ok(self.parts.complete().await.map(drop)?) }).await
    }

    /// Takes back what was sent.
    pub async fn abandon(mut self) {
        let undone = within(self.timeout, async { Ok(self.parts.abort().await?) }).await;
        if let Err(error) = undone {
            tracing::warn!(%error, "parts of a backup that came to nothing were left behind");
        }
    }
}

#[async_trait]
impl Output for Upload {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.waiting.extend_from_slice(&bytes);
        if self.waiting.len() < PART {
            return Ok(());
        }
        let part = std::mem::take(&mut self.waiting);
        self.part(part).await.map_err(|error| error.to_string())
    }
}

/// A backup that is being read.
pub struct Download {
    objects: Arc<dyn ObjectStore>,
    path: Path,
    at: u64,
    size: u64,
    timeout: Duration,
}

#[async_trait]
impl Input for Download {
    async fn read(&mut self) -> Result<Option<Vec<u8>>, String> {
        if self.at >= self.size {
            return Ok(None);
        }
        let range = Range { start: self.at, end: self.size.min(self.at + PART as u64) };
        let read = async { Ok(self.objects.get_range(&self.path, range.clone()).await?) };
        let bytes = within(self.timeout, read).await.map_err(|error| error.to_string())?;
        self.at = range.end;
        Ok(Some(bytes.to_vec()))
    }
}
