//! `backup verify` and `backup restore`: a backup against its signature, and into an empty store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::BASE64;

use super::{AppError, process, runtime, seals, stores};
use crate::archive::backups::Backups;
use crate::audit::note::LogKey;
use crate::backup::{Counted, Entry, FileInput, Filler, Header, Input, Marker, Phase, Read};
use crate::commit::Seals;
use crate::config::{Config, Storage};
use crate::durable::write_whole;
use crate::id::TenantId;
use crate::secret::SecretText;
use crate::storage::{Deployment, Store};
use crate::sys::backups::restore::Finish;
use crate::sys::barrier::Guard;
use crate::sys::erasure::erased_by_list;
use crate::time::{Clock, SystemClock};

/// Between two words about progress, bytes.
const TOLD: u64 = 64 << 20;

/// Where a backup is.
#[derive(Clone)]
pub enum BackupSource {
    /// A file of this machine.
    File(PathBuf),
    /// An object of the storage that the configuration's `backup` stanza names.
    Object(String),
}

/// What is done with a backup.
pub struct BackupOptions<'a> {
    /// Where it is.
    pub source: BackupSource,
    /// The key of the deployment's audit logs.
    pub key: LogKey,
    /// Configuration files; none are needed to verify.
    pub config: Vec<PathBuf>,
    /// Stands in for that of `storage "postgresql"`.
    pub connection_url: Option<SecretText>,
    /// Gives key shares, where they are needed.
    pub next_share: &'a mut (dyn FnMut() -> Option<SecretText> + Send),
    /// Hears what is going on.
    pub tell: &'a mut (dyn FnMut(&str) + Send),
}

/// What a restore is to do besides.
#[derive(Default)]
pub struct RestoreOptions {
    /// Say what would be done, and do nothing.
    pub dry_run: bool,
    /// Tenants that are not restored, with all below them.
    pub leave_out: BTreeSet<TenantId>,
    /// Do it without the list of erased tenants that the configuration names.
    pub without_erased_list: bool,
    /// Make a root token, and write it here.
    pub root_token_file: Option<PathBuf>,
}

/// A backup that is as it was signed.
pub struct Verified {
    /// What it says of itself.
    pub header: Header,
    /// How long it is.
    pub bytes: u64,
    /// What is in it; `None` when its key was not at hand.
    pub counted: Option<Counted>,
}

/// Verifies a backup. With a configuration also that its key opens, and what is in it.
///
/// # Errors
/// What is wrong with it.
pub fn verify_backup(mut options: BackupOptions<'_>) -> Result<Verified, AppError> {
    process::forbid_dumps();
    runtime()?.block_on(async {
        let config = match options.config.as_slice() {
            [] => None,
            paths => Some(crate::config::load(paths, options.connection_url.take())?),
        };
        let source = Source::of(options.source.clone(), config)?;
        let guard = match &source.config {
            Some(config) => Some(seals::guard(config).await?),
            None => None,
        };
        let (verified, _) = source.verify(&mut options, guard.as_ref()).await?;
        Ok(verified)
    })
}

/// Restores a backup into the empty store of a configuration.
///
/// # Errors
/// What is wrong; the line says whether anything was written.
pub fn restore_backup(mut options: BackupOptions<'_>, wanted: &RestoreOptions) -> Result<(), AppError> {
    process::forbid_dumps();
    runtime()?.block_on(async {
        let config = crate::config::load(&options.config, options.connection_url.take())?;
        let source = Source::of(options.source.clone(), Some(config))?;
        let Some(config) = &source.config else { return Err(AppError::Backup("a configuration is needed".to_owned())) };
        let guard = seals::guard(config).await?;
        let (verified, opened) = source.verify(&mut options, Some(&guard)).await?;
        let Some(Opened { seals, parents }) = opened else { return Err(AppError::Backup("its key is not open".to_owned())) };
        let header = &verified.header;
        let left_out = left_out(config, header, &options.key, wanted, &parents, options.tell)?;
        let (tenants, gone) = (parents.len(), parents.keys().filter(|id| left_out.contains(id)).count());
        let Counted { records, events, .. } = verified.counted.unwrap_or_default();
        (options.tell)(&format!(
            "backup {} of deployment {}, made {}: {} namespaces ({gone} of them are left out), {records} records, {events} events",
            header.backup,
            header.deployment,
            header.made.rfc3339(),
            tenants.saturating_sub(1),
        ));
        (options.tell)(
            "to be done: all rows are written; every namespace begins a new epoch of its log; tokens of before the restore are dead; \
             logins and references wait for sys/restore/confirm",
        );
        if let (true, Storage::Sqlite { path }) = (wanted.dry_run, &config.storage)
            && !path.exists()
        {
            (options.tell)(&format!("{} is not there: it would be made; nothing was done", path.display()));
            return Ok(());
        }
        let store = stores::open(&config.storage).await?;
        let restoring = Restoring { source: &source, header, store, seals, left_out };
        let done = restoring.run(&mut options, wanted).await;
        restoring.store.close().await;
        done
    })
}

/// Where the backup is, and what the configuration says.
struct Source {
    from: BackupSource,
    config: Option<Config>,
    storage: Option<Backups>,
}

/// What is known once its key is open.
struct Opened {
    seals: Seals,
    /// All tenants in it.
    parents: BTreeMap<TenantId, Option<TenantId>>,
}

impl Source {
    fn of(from: BackupSource, mut config: Option<Config>) -> Result<Self, AppError> {
        let declared = config.as_mut().and_then(|config| config.backup.take());
        let storage = match (&from, declared) {
            (BackupSource::File(_), _) => None,
            (BackupSource::Object(_), Some(declared)) => Some(Backups::new(declared)?),
            (BackupSource::Object(_), None) => {
                return Err(AppError::Backup("--object needs a configuration with a backup stanza".to_owned()));
            }
        };
        Ok(Self { from, config, storage })
    }

    async fn open(&self) -> Result<Box<dyn Input>, AppError> {
        match (&self.from, &self.storage) {
            (BackupSource::File(path), _) => Ok(Box::new(FileInput::open(path).await.map_err(AppError::Backup)?)),
            (BackupSource::Object(name), Some(storage)) => Ok(Box::new(storage.read(name).await?)),
            (BackupSource::Object(_), None) => Err(AppError::Backup("there is no storage of backups".to_owned())),
        }
    }

    /// Reads all of it; with `guard`, opens it.
    async fn verify(
        &self,
        options: &mut BackupOptions<'_>,
        guard: Option<&Guard>,
    ) -> Result<(Verified, Option<Opened>), AppError> {
        let wrong = |error: &dyn std::fmt::Display| AppError::Backup(error.to_string());
        let mut read = Read::begin(self.open().await?, &options.key).await.map_err(|error| wrong(&error))?;
        let mut opened = None;
        if let Some(guard) = guard {
            let seals = guard.seals_of(&deployment_of(read.header())?, options.next_share).await?;
            read.unlock(&seals.list).await.map_err(|error| wrong(&error))?;
            opened = Some(Opened { seals, parents: BTreeMap::new() });
        }
        let mut told = TOLD;
        while let Some(entries) = read.next().await.map_err(|error| wrong(&error))? {
            for entry in entries {
                if let (Entry::Tenant { id, parent, .. }, Some(opened)) = (entry, &mut opened) {
                    opened.parents.insert(id, parent);
                }
            }
            if read.bytes() >= told {
                (options.tell)(&format!("{} MiB verified", read.bytes() >> 20));
                told = read.bytes() + TOLD;
            }
        }
        let counted = opened.as_ref().map(|_| read.counted());
        Ok((Verified { header: read.header().clone(), bytes: read.bytes(), counted }, opened))
    }
}

/// The row of the deployment, as it was.
fn deployment_of(header: &Header) -> Result<Deployment, AppError> {
    let seal = BASE64.decode(header.seal.as_bytes());
    let seal = seal.map_err(|_| AppError::Backup("the backup's seal configuration is malformed".to_owned()))?;
    let Header { deployment: id, root, edge, format, .. } = *header;
    Ok(Deployment { id, root, edge, dev: false, seal, format })
}

/// Tenants that are not to be restored: those that the list names or the operator does, and all below them.
fn left_out(
    config: &Config,
    header: &Header,
    key: &LogKey,
    wanted: &RestoreOptions,
    parents: &BTreeMap<TenantId, Option<TenantId>>,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<BTreeSet<TenantId>, AppError> {
    let mut out = wanted.leave_out.clone();
    if let Some(unknown) = out.iter().find(|id| !parents.contains_key(id) || [header.root, header.edge].contains(id)) {
        return Err(AppError::Backup(format!("--leave-out {unknown}: the backup has no such namespace that can be left out")));
    }
    match &config.erased_list_file {
        _ if wanted.without_erased_list => {
            tell("the list of erased namespaces is not asked for: those erased after the backup come back");
        }
        None => tell("no erased_list_file is configured: namespaces that were erased after the backup come back"),
        Some(setting) => {
            let file = setting.path.display();
            let erased = erased_by_list(&setting.path, key, header.deployment)
                .map_err(|problem| AppError::Backup(format!("the list of erased namespaces {file}: {problem}")))?;
            let erased = erased.ok_or_else(|| {
                AppError::Backup(format!(
                    "the list of erased namespaces {file} is not there: bring it from a server of the deployment, or say \
                     --without-erased-list"
                ))
            })?;
            out.extend(erased);
        }
    }
    let is_out = |id: &TenantId| {
        let above = std::iter::successors(Some(*id), |id| parents.get(id).copied().flatten());
        above.take(parents.len() + 1).any(|id| out.contains(&id))
    };
    Ok(parents.keys().copied().filter(is_out).chain(out.iter().copied()).collect())
}

/// A restore whose backup is verified.
struct Restoring<'a> {
    source: &'a Source,
    header: &'a Header,
    store: Arc<dyn Store>,
    seals: Seals,
    left_out: BTreeSet<TenantId>,
}

impl Restoring<'_> {
    async fn run(&self, options: &mut BackupOptions<'_>, wanted: &RestoreOptions) -> Result<(), AppError> {
        let begun = self.begun().await?;
        let resumes = begun.is_some();
        if resumes {
            (options.tell)("the store has an unfinished restore of this backup: it is gone on with");
        }
        if wanted.dry_run {
            (options.tell)("nothing was done");
            return Ok(());
        }
        // Before anything is written: where a token is to go must be a place that takes it.
        let token_file = wanted.root_token_file.as_deref();
        token_file.map(|file| keep(file, "")).transpose()?;
        let now = SystemClock.now();
        let epoch = u32::try_from(now.unix_seconds()).unwrap_or(u32::MAX);
        let mut marker = begun.unwrap_or(Marker { restoring: self.header.backup, phase: Phase::Rows, epoch, at: now });
        if !resumes {
            self.store.initialise(&marker.deployment(self.header), &[]).await?;
        }
        if marker.phase == Phase::Rows {
            self.rows(options).await?;
            let next = Marker { phase: Phase::Epochs, ..marker };
            self.mark(&marker.bytes(), &next.bytes()).await?;
            marker = next;
        }
        (options.tell)("all rows are written; telling every namespace that it was restored");
        let finish = Finish {
            store: Arc::clone(&self.store),
            clock: Arc::new(SystemClock),
            seals: self.seals.clone(),
            marker,
            left_out: &self.left_out,
            root_token: token_file.is_some(),
        };
        let tell = &mut *options.tell;
        let mut counting = |namespaces: u64| {
            if namespaces.is_multiple_of(1_000) {
                tell(&format!("{namespaces} namespaces told"));
            }
        };
        let unfinished = |problem: String| {
            AppError::Backup(format!("{problem}; no server opens the store before the same restore is run again and ends"))
        };
        let finished = finish.run(&mut counting).await.map_err(unfinished)?;
        if let (Some(file), Some(token)) = (token_file, &finished.root_token) {
            keep(file, token.expose())?;
        }
        self.mark(&marker.bytes(), &deployment_of(self.header)?.seal).await?;
        let told = finished.namespaces.saturating_sub(1);
        (options.tell)(&format!(
            "restored: {told} namespaces below the root, {} removed; epoch {}",
            finished.removed, marker.epoch
        ));
        Ok(())
    }

    /// How far an earlier run came; `None` for a store in which there is nothing at all.
    async fn begun(&self) -> Result<Option<Marker>, AppError> {
        let full = |what: String| Err(AppError::Backup(format!("the store is not empty: {what}; nothing was done")));
        match self.store.deployment().await? {
            None if self.store.tenants(None, 1).await?.is_empty() => Ok(None),
            None => full("it has namespaces of something that was never finished".to_owned()),
            Some(found) => match Marker::parse(&found.seal) {
                Some(marker) if marker.restoring == self.header.backup && found.id == self.header.deployment => Ok(Some(marker)),
                Some(marker) => {
                    full(format!("it has an unfinished restore of backup {}, which is another one", marker.restoring))
                }
                None => full(format!("it has deployment {}", found.id)),
            },
        }
    }

    async fn rows(&self, options: &mut BackupOptions<'_>) -> Result<(), AppError> {
        let wrong = |error: &dyn std::fmt::Display| AppError::Backup(format!("it is not what was verified: {error}"));
        let mut read = Read::begin(self.source.open().await?, &options.key).await.map_err(|error| wrong(&error))?;
        if read.header() != self.header {
            return Err(wrong(&"it is another backup now"));
        }
        read.unlock(&self.seals.list).await.map_err(|error| wrong(&error))?;
        let (mut filler, mut told) = (Filler::new(&*self.store, &self.left_out), TOLD);
        while let Some(entries) = read.next().await.map_err(|error| wrong(&error))? {
            for entry in entries {
                filler.take(entry).await?;
            }
            if read.bytes() >= told {
                (options.tell)(&format!("{} MiB written", read.bytes() >> 20));
                told = read.bytes() + TOLD;
            }
        }
        Ok(())
    }

    async fn mark(&self, before: &[u8], after: &[u8]) -> Result<(), AppError> {
        if self.store.replace_seal(before, after).await? {
            return Ok(());
        }
        Err(AppError::Backup("somebody else restores into this store at the same time".to_owned()))
    }
}

fn keep(file: &Path, text: &str) -> Result<(), AppError> {
    write_whole(file, text, 0o600).map_err(|error| AppError::Io(format!("cannot write {}", file.display()), error))
}
