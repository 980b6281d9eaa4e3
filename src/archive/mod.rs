//! Object storage for the archive of the audit log: S3, Google Cloud Storage, Azure, a folder. `object_store` is named in this
//! folder only. Anchors are kept there, too (`bucket.rs`).
//!
//! Every call is bounded in time, so that a storage that hangs holds up nothing but the job that called it; readings that
//! requests ask for are bounded in number, too, and so in memory. Must not know what a segment says, a tenant's keys or the
//! database. Names of objects are opaque: ids and numbers. Sizes are bytes.

pub mod backups;
mod bucket;
mod target;

use std::time::Duration;

use futures_util::TryStreamExt as _;
use object_store::ObjectStore as _;
use object_store::path::Path;
use tokio::sync::Semaphore;

use crate::config::Archive as Settings;
use crate::id::{DeploymentId, TenantId};
use bucket::Bucket;
pub use bucket::KeptObject;

/// Segments that are read for requests at a time.
const READERS: usize = 4;
/// How long a request waits for one segment, if calls may not take less.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Objects of one tenant that are listed at once.
const LISTED_MAX: usize = 100_000;

/// Why the storage did not do what it was asked. Texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The configuration is not one that the storage's client takes.
    #[error("storage \"{0}\": {1}")]
    Settings(&'static str, String),
    /// It refused, or is away.
    #[error("the storage: {0}")]
    Failed(String),
    /// It did not answer in time.
    #[error("the storage did not answer in time")]
    Slow,
    /// It has no such object.
    #[error("the storage has no {0}")]
    Missing(String),
    /// The object is larger than what may be there.
    #[error("{0} is too large")]
    TooLarge(String),
}

impl From<object_store::Error> for ArchiveError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { path, .. } => Self::Missing(path),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// Which events an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Whose log it is of.
    pub tenant: TenantId,
    /// Which epoch of it.
    pub epoch: u32,
    /// Index of its first event.
    pub first: u64,
    /// One more than the index of its last.
    pub end: u64,
}

/// The archive.
pub struct Archive {
    bucket: Bucket,
    prefix: String,
    readers: Semaphore,
    /// Between two rounds.
    pub interval: Duration,
    /// Events that are older leave the database once they are archived.
    pub keep_in_database: Option<Duration>,
    /// What is older leaves the archive, of tenants that set nothing else.
    pub retention: Option<Duration>,
    /// The shortest retention that a tenant may set.
    pub retention_min: Duration,
}

impl Archive {
    /// Nothing is called or opened yet: a storage that is away is tried again. Fails when it cannot be called at all.
    pub fn new(settings: Settings) -> Result<Self, ArchiveError> {
        let Settings { to, prefix, interval, keep_in_database, retention, retention_min, timeout } = settings;
        let readers = Semaphore::new(READERS);
        let bucket = Bucket::new(to, timeout)?;
        Ok(Self { bucket, prefix, readers, interval, keep_in_database, retention, retention_min })
    }

    /// As the configuration names it.
    pub fn kind(&self) -> &'static str {
        self.bucket.kind()
    }

    fn folder(&self, deployment: DeploymentId, tenant: TenantId) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("{}{slash}{deployment}/{tenant}", self.prefix)
    }

    fn path(&self, deployment: DeploymentId, name: Name) -> Path {
        Path::from(format!("{}/{}/{:020}/{:020}", self.folder(deployment, name.tenant), name.epoch, name.first, name.end))
    }

    /// Writes an object, whole or not at all. One that is there is replaced.
    pub async fn put(&self, deployment: DeploymentId, name: Name, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.bucket.put(&self.path(deployment, name), bytes).await
    }

    /// Reads an object of at most `bytes_max`.
    pub async fn get(&self, deployment: DeploymentId, name: Name, bytes_max: usize) -> Result<Vec<u8>, ArchiveError> {
        self.bucket.get(&self.path(deployment, name), bytes_max).await
    }

    /// The same for a request, of which few read at a time.
    pub async fn get_for_request(&self, deployment: DeploymentId, name: Name, bytes_max: usize) -> Result<Vec<u8>, ArchiveError> {
        let read = async {
            let _turn = self.readers.acquire().await.map_err(|_| ArchiveError::Slow)?;
            self.get(deployment, name, bytes_max).await
        };
        tokio::time::timeout(self.bucket.timeout.min(REQUEST_WAIT), read).await.unwrap_or(Err(ArchiveError::Slow))
    }

    /// The objects of a tenant, or those only that begin at `from` (an epoch and an event), by epoch and events. What is no object
    /// of ours is left out.
    pub async fn list(
        &self,
        deployment: DeploymentId,
        tenant: TenantId,
        from: Option<(u32, u64)>,
    ) -> Result<Vec<Name>, ArchiveError> {
        let list = async {
            let folder = self.folder(deployment, tenant);
            let prefix =
                Path::from(from.map_or_else(|| folder.clone(), |(epoch, first)| format!("{folder}/{epoch}/{first:020}")));
            let mut names = Vec::new();
            let mut objects = self.bucket.objects().await?.list(Some(&prefix));
            while let Some(meta) = objects.try_next().await? {
                names.extend(parse(tenant, meta.location.as_ref()));
                if names.len() == LISTED_MAX {
                    break;
                }
            }
            names.sort_unstable();
            Ok(names)
        };
        self.bucket.within(list).await
    }

    /// Deletes an object; nothing happens when it is not there.
    pub async fn delete(&self, deployment: DeploymentId, name: Name) -> Result<(), ArchiveError> {
        self.bucket.delete(&self.path(deployment, name)).await
    }
}

/// The events that the end of a path names.
fn parse(tenant: TenantId, path: &str) -> Option<Name> {
    let (rest, end) = path.rsplit_once('/')?;
    let (rest, first) = rest.rsplit_once('/')?;
    let epoch = rest.rsplit_once('/')?.1;
    let epoch: u32 = epoch.parse().ok().filter(|number: &u32| number.to_string() == epoch)?;
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|number| format!("{number:020}") == digits);
    let (first, end) = (number(first)?, number(end)?);
    (first < end).then_some(Name { tenant, epoch, first, end })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
