//! Makes backups, one at a time, on one server. Who has the lease of backups begins them, and deletes those that are to go. A backup that
//! was begun is written down, and its server is heard of while it makes it, for hours perhaps: leases may come and go meanwhile. What a
//! server that died has begun is given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::record::{Backup, all};
use crate::answer::{Answer, Refusal};
use crate::archive::backups::{Backups, Upload};
use crate::audit::event::{Event, Word};
use crate::audit::note::LogKey;
use crate::backup::{Progress, Read, Writer, name, take};
use crate::commit::{Attempt, Committer, Held, Txn};
use crate::id::DeploymentId;
use crate::metrics;
use crate::storage::{LeaseName, Store};
use crate::time::Timestamp;

/// Between two looks at what is to be done.
const PAUSE: Duration = Duration::from_secs(1);
/// Who makes a backup and is not heard of for so long has died.
const LEASE: Duration = Duration::from_secs(15);
/// Between two words of who makes one.
const RENEWAL: Duration = Duration::from_secs(4);
/// How long it is known that a backup came to nothing, and of how many.
const FAILURES_KEPT: Duration = Duration::from_hours(24 * 7);
const FAILURES_MAX: usize = 16;

/// What backups are made with.
pub struct Making {
    /// Where they are kept.
    pub to: Arc<Backups>,
    /// How long.
    pub retention: Option<Duration>,
}

/// The job of one server.
pub(in crate::sys) struct BackupJob {
    committer: Arc<Committer>,
    store: Arc<dyn Store>,
    making: Arc<Making>,
}

impl BackupJob {
    pub(in crate::sys) fn new(committer: Arc<Committer>, store: Arc<dyn Store>, making: Arc<Making>) -> Self {
        Self { committer, store, making }
    }

    /// Rounds for ever.
    pub(in crate::sys) async fn run(self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let held = self.committer.tenants().leases().held(LeaseName::Backup);
            let look = Arc::new(Look { making: Arc::clone(&self.making), takes: held.is_some(), found: Mutex::default() });
            if let Err(refusal) = self.committer.run_under(held.as_ref(), Arc::clone(&look) as Arc<dyn Attempt>).await {
                tracing::warn!(?refusal, "backups were not looked up; trying again");
                continue;
            }
            let found = std::mem::take(&mut *locked(&look.found));
            if let Some(last) = found.last_good {
                metrics::backup_age(self.committer.tenants().clock().now().since(last));
            }
            for backup in found.expired {
                if held.as_ref().is_some_and(Held::is_valid) {
                    self.delete(&backup).await;
                }
            }
            if let Some(given_up) = found.given_up {
                self.clear(given_up).await;
            }
            if let Some(backup) = found.mine {
                self.make(backup).await;
            }
        }
    }

    /// What is kept long enough. The object goes first: what is written down leads to it until it is gone.
    async fn delete(&self, backup: &Arc<Backup>) {
        if !backup.name.is_empty()
            && let Err(error) = self.making.to.delete(&backup.name).await
        {
            tracing::warn!(%error, backup = %backup.id, "a backup that is to go was not deleted; trying again");
            return;
        }
        self.step(Forget(Arc::clone(backup))).await;
    }

    /// Deletes what is left of a backup that came to nothing. What cannot be deleted now goes with its record.
    async fn clear(&self, backup: Backup) {
        if self.making.to.delete(&backup.name).await.is_ok() {
            self.step(Clear(backup)).await;
        }
    }

    async fn make(&self, backup: Backup) {
        let progress = Mutex::new(Progress::default());
        let (mut making, mut renewals) = (Box::pin(self.write(&backup, &progress)), tokio::time::interval(RENEWAL));
        renewals.tick().await;
        let made = loop {
            tokio::select! {
                made = &mut making => break made,
                _ = renewals.tick() => {
                    let so_far = *locked(&progress);
                    if !self.step(Renew(backup.clone(), so_far)).await {
                        break Err("its lease was not renewed".to_owned());
                    }
                }
            }
        };
        drop(making);
        let now = self.committer.tenants().clock().now();
        let (written, problem) = match made {
            Ok(written) => (written, String::new()),
            Err(problem) => {
                tracing::error!(problem, backup = %backup.id, "a backup came to nothing");
                metrics::backup_failed();
                (*locked(&progress), problem)
            }
        };
        let Progress { tenants, of, bytes } = written;
        let next = Backup { ended: Some(now), lease: None, tenants, of, bytes, problem, ..backup.clone() };
        if self.step(Replace(next.clone())).await && next.is_done() {
            tracing::info!(backup = %next.called(), bytes, namespaces = tenants, "a backup was made");
            metrics::backup_age(Duration::ZERO);
        } else {
            // Also when somebody else has given it up: what is not known to be a backup must not lie there as one.
            self.clear(next).await;
        }
    }

    /// Writes it, and reads it back.
    async fn write(&self, backup: &Backup, progress: &Mutex<Progress>) -> Result<Progress, String> {
        let tenants = self.committer.tenants();
        let deployment = self.store.deployment().await.map_err(|error| error.to_string())?.ok_or("the store is empty")?;
        let output = self.making.to.begin(&backup.name).await.map_err(|error| error.to_string())?;
        let made = backup.begun.unwrap_or(backup.wanted);
        let mut writer = Writer::begin(output, &deployment, &tenants.seals().list, backup.id, made).await?;
        let tell = |so_far: Progress| *locked(progress) = so_far;
        let written = match take(&*self.store, deployment.root, &mut writer, &tell).await {
            Ok(written) => written,
            Err(error) => {
                writer.abandon().abandon().await;
                return Err(error.to_string());
            }
        };
        let (note, key) = match self.sign(&mut writer, deployment.id).await {
            Ok(signed) => signed,
            Err(problem) => {
                writer.abandon().abandon().await;
                return Err(problem);
            }
        };
        let (output, bytes) = writer.end(&note).await?;
        output.finish().await.map_err(|error| error.to_string())?;
        let stored = self.making.to.read(&backup.name).await.map_err(|error| error.to_string())?;
        let mut stored =
            Read::begin(Box::new(stored), &key).await.map_err(|error| format!("what was stored is not it: {error}"))?;
        while stored.next().await.map_err(|error| format!("what was stored is not it: {error}"))?.is_some() {}
        Ok(Progress { bytes, ..written })
    }

    /// The note at the end, and the key that it is verified with.
    async fn sign(&self, writer: &mut Writer<Upload>, deployment: DeploymentId) -> Result<(String, LogKey), String> {
        let sign = Arc::new(Sign { name: name(deployment), text: writer.text().await?, signed: Mutex::default() });
        let asked = self.committer.run(Arc::clone(&sign) as Arc<dyn Attempt>).await;
        asked.map_err(|refusal| format!("it was not signed: {refusal:?}"))?;
        locked(&sign.signed).take().ok_or_else(|| "there is no key yet that signs it".to_owned())
    }

    /// Whether a step was done.
    async fn step(&self, step: impl Attempt + 'static) -> bool {
        match self.committer.run(Arc::new(step)).await {
            Ok(Answer::Empty) => false,
            Ok(_) => true,
            Err(refusal) => {
                tracing::warn!(?refusal, "a step of a backup was not written down");
                false
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn conclude(txn: &mut Txn, text: String) -> Answer {
    let root = txn.tenants().root();
    txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("backup"), text), false);
    Answer::Data(crate::answer::Data::new(None))
}

/// Looks for what is to be done, and takes it if that is this server's to do.
struct Look {
    making: Arc<Making>,
    takes: bool,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    mine: Option<Backup>,
    given_up: Option<Backup>,
    expired: Vec<Arc<Backup>>,
    last_good: Option<Timestamp>,
}

#[async_trait]
impl Attempt for Look {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, now) = (txn.tenants().root(), txn.now());
        let known = all(txn).await?;
        let retention = self.making.retention;
        let is_over = |backup: &Backup| match (backup.ended, backup.is_done()) {
            (Some(ended), true) => retention.is_some_and(|retention| ended.plus(retention) <= now),
            (Some(ended), false) => ended.plus(FAILURES_KEPT) <= now,
            (None, _) => false,
        };
        let mut failed: Vec<&Arc<Backup>> = known.iter().filter(|backup| backup.state() == "failed").collect();
        failed.sort_by_key(|backup| std::cmp::Reverse(backup.ended));
        let too_many = failed.into_iter().skip(FAILURES_MAX);
        let mut found = Found {
            mine: None,
            given_up: None,
            expired: known.iter().filter(|backup| is_over(backup)).chain(too_many).cloned().collect(),
            last_good: known.iter().filter(|backup| backup.is_done()).filter_map(|backup| backup.begun).max(),
        };
        if !self.takes {
            let Found { last_good, .. } = found;
            *locked(&self.found) = Found { last_good, ..Found::default() };
            return Ok(Answer::Empty);
        }
        let running = known.iter().find(|backup| backup.state() == "running");
        let mut concluded = None;
        if let Some(running) = running {
            if running.lease.is_none_or(|until| until <= now) {
                let problem = "the server that made it has died".to_owned();
                let next = Backup { ended: Some(now), lease: None, problem, ..Backup::clone(running) };
                txn.put(&root, &Backup::address(next.id), &next, None).await?;
                concluded = Some(format!("backup {} was given up: the server that made it has died", next.id));
                found.given_up = Some(next);
            }
        } else if let Some(mut next) = self.next(&known, now) {
            // Without a key it could not be signed: the first checkpoint makes one, soon.
            if txn.log_key(&root).await?.is_some() {
                next.begun = Some(now);
                next.lease = Some(now.plus(LEASE));
                next.name = self.making.to.name(txn.tenants().deployment(), next.id, now);
                next.shown = self.making.to.shown(&next.name);
                txn.put(&root, &Backup::address(next.id), &next, None).await?;
                concluded = Some(format!("backup {} begins", next.id));
                found.mine = Some(next);
            }
        }
        *locked(&self.found) = found;
        Ok(concluded.map_or(Answer::Empty, |text| conclude(txn, text)))
    }
}

impl Look {
    /// The one that was asked for first, or that the schedule asks for now.
    fn next(&self, known: &[Arc<Backup>], now: Timestamp) -> Option<Backup> {
        let waiting = known.iter().filter(|backup| backup.state() == "waiting").min_by_key(|backup| backup.wanted);
        if let Some(waiting) = waiting {
            return Some(Backup::clone(waiting));
        }
        let last = known.iter().filter(|backup| backup.scheduled).map(|backup| backup.wanted).max();
        let due = last.map(|last| self.making.to.interval.map(|interval| last.plus(interval)));
        let is_due = due.map_or(self.making.to.interval.is_some(), |due| due.is_some_and(|due| due <= now));
        is_due.then(|| Backup::new(now, true))
    }
}

/// Says that it is still being made; not when somebody has given it up.
struct Renew(Backup, Progress);

#[async_trait]
impl Attempt for Renew {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Backup::address(self.0.id));
        let Some(found) = txn.read::<Backup>(&root, &address).await?.filter(|found| found.value.state() == "running") else {
            return Ok(Answer::Empty);
        };
        let Progress { tenants, of, bytes } = self.1;
        let next = Backup { lease: Some(txn.now().plus(LEASE)), tenants, of, bytes, ..Backup::clone(&found.value) };
        txn.put(&root, &address, &next, None).await?;
        Ok(conclude(txn, format!("backup {}: {tenants} of {of} namespaces, {bytes} bytes", next.id)))
    }
}

/// Ends one, unless somebody has given it up.
struct Replace(Backup);

#[async_trait]
impl Attempt for Replace {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Backup::address(self.0.id));
        let found = txn.read::<Backup>(&root, &address).await?;
        if found.is_none_or(|found| found.value.state() != "running") {
            return Ok(Answer::Empty);
        }
        txn.put(&root, &address, &self.0, None).await?;
        let Backup { id, tenants, bytes, problem, .. } = &self.0;
        let how = if problem.is_empty() {
            format!("was made: {tenants} namespaces, {bytes} bytes")
        } else {
            format!("came to nothing: {problem}")
        };
        Ok(conclude(txn, format!("backup {id} {how}")))
    }
}

/// Writes down that there is no object of one that came to nothing.
struct Clear(Backup);

#[async_trait]
impl Attempt for Clear {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Backup::address(self.0.id));
        let found = txn.read::<Backup>(&root, &address).await?;
        let Some(found) = found.filter(|found| found.value.state() == "failed") else { return Ok(Answer::Empty) };
        txn.put(&root, &address, &Backup::clone(&found.value).without_object(), None).await?;
        Ok(conclude(txn, format!("what there was of backup {} was deleted", self.0.id)))
    }
}

/// Its object is gone.
struct Forget(Arc<Backup>);

#[async_trait]
impl Attempt for Forget {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        txn.remove::<Backup>(&root, &Backup::address(self.0.id)).await?;
        Ok(conclude(txn, format!("backup {} was deleted: it was kept long enough", self.0.id)))
    }
}

/// The note at the end, and the key that it is verified with.
struct Sign {
    name: String,
    text: String,
    signed: Mutex<Option<(String, LogKey)>>,
}

#[async_trait]
impl Attempt for Sign {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let note = txn.sign_text(&self.name, &self.text).await?;
        *locked(&self.signed) = note.zip(txn.log_key(&root).await?);
        Ok(Answer::Empty)
    }
}
