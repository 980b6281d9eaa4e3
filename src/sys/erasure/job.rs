//! What is left to do once a tenant's keys are gone from the database. Whoever has the lease of the upkeep does it; the list each server
//! keeps for itself. Whoever dies in the middle is followed by the next round: each
//! step looks at what is there, and doing it twice does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::ErasureSettings;
use super::list::{self, Erased};
use super::record::{Erasure, KeyReport, children};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::audit::note::LogKey;
use crate::commit::{Attempt, Committer, Held, Tenant, Txn};
use crate::id::TenantId;
use crate::record::{Kind, SYSTEM};
use crate::seal::{KeyFate, SealError};
use crate::sys::backups::{self, Backup};
use crate::time::Timestamp;

/// Between two questions to a guardian about one key.
const ASK: Duration = Duration::from_hours(1);
/// After a guardian did not do what it was asked.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Finishes erasures.
pub(in crate::sys) struct Eraser {
    committer: Arc<Committer>,
    settings: ErasureSettings,
    /// All that are known, the finished ones too.
    known: Erased,
    finished: BTreeSet<TenantId>,
    /// Those that are known.
    backups: Vec<Arc<Backup>>,
    /// When a guardian may be asked again.
    asks: BTreeMap<TenantId, Timestamp>,
    /// How many tenants the file holds; none before it was read.
    written: Option<usize>,
    /// What is wrong with the file, as the operator was told last.
    told: String,
}

impl Eraser {
    pub(in crate::sys) fn new(committer: Arc<Committer>, settings: ErasureSettings) -> Self {
        let (known, finished, asks) = (Erased::new(), BTreeSet::new(), BTreeMap::new());
        let backups = Vec::new();
        Self { committer, settings, known, finished, backups, asks, written: None, told: String::new() }
    }

    /// Keeps this server's list, and leaves the rest to another one.
    pub(in crate::sys) async fn keep_up(&mut self) {
        if self.settings.list_file.is_some() {
            self.honour().await;
        }
    }

    /// One round. True when something has changed.
    pub(in crate::sys) async fn round(&mut self, under: Option<&Held>) -> bool {
        let unfinished = match self.look().await {
            Ok(unfinished) => unfinished,
            Err(refusal) => {
                tracing::warn!(?refusal, "erasures were not looked up; trying again later");
                return false;
            }
        };
        let mut changed = self.keep_list().await;
        for erasure in unfinished {
            if under.is_some_and(|held| !held.is_valid()) {
                break;
            }
            let next = self.advance(&erasure).await;
            if next == erasure {
                continue;
            }
            match self.committer.run_under(under, Arc::new(Update { before: erasure, next })).await {
                Ok(_) => changed = true,
                Err(refusal) => tracing::warn!(?refusal, "a step of an erasure was not written down; trying again later"),
            }
        }
        changed
    }

    /// Erases what the list names and the database still has: it is of before. For a start, before anybody is answered.
    pub(in crate::sys) async fn honour(&mut self) {
        match self.look().await {
            Ok(_) => drop(self.keep_list().await),
            Err(refusal) => tracing::error!(?refusal, "the list of erased namespaces was not compared with the database"),
        }
    }

    /// The erasures that are not finished.
    async fn look(&mut self) -> Result<Vec<Erasure>, Refusal> {
        let look = Arc::new(Look { finished: self.finished.clone(), found: Mutex::default(), backups: Mutex::default() });
        self.committer.run(Arc::clone(&look) as Arc<dyn Attempt>).await?;
        self.backups = std::mem::take(&mut *look.backups.lock().unwrap_or_else(PoisonError::into_inner));
        let found = std::mem::take(&mut *look.found.lock().unwrap_or_else(PoisonError::into_inner));
        self.known.extend(found.iter().map(|erasure| (erasure.tenant, erasure.begun)));
        self.finished.extend(found.iter().filter(|erasure| erasure.erased.is_some()).map(|erasure| erasure.tenant));
        Ok(found.into_iter().filter(|erasure| erasure.erased.is_none()).collect())
    }

    /// The same erasure as far as it is now.
    async fn advance(&mut self, erasure: &Erasure) -> Erasure {
        let tenants = Arc::clone(self.committer.tenants());
        let now = tenants.clock().now();
        let mut next = erasure.clone();
        if next.rows_gone.is_none() && tenants.is_gone(next.tenant).await {
            next.rows_gone = Some(now);
        }
        next.backups_until = self.settings.backup_retention.map(|retention| next.begun.plus(retention));
        if next.destroy_after_days.is_some() && self.asks.get(&next.tenant).is_none_or(|at| *at <= now) {
            self.destroy(&mut next, now).await;
        }
        let held = self.backups.iter().any(|backup| backup.may_hold(next.begun));
        let backups_gone = !held && next.backups_until.is_some_and(|until| until <= now);
        if next.waits_for() == ["backups"] && backups_gone {
            next.erased = Some(now);
        }
        next
    }

    /// Tells the guardian of the tenant's own key, or asks what has become of it.
    async fn destroy(&mut self, erasure: &mut Erasure, now: Timestamp) {
        let (Some(own), Some(days)) = (&erasure.own_key, erasure.destroy_after_days) else { return };
        let fate = match self.committer.tenants().own_seal(own) {
            Ok(seal) if erasure.key.is_none() => seal.destroy_key(days).await,
            Ok(seal) => seal.key_fate().await,
            Err(error) => Err(error),
        };
        self.asks.insert(erasure.tenant, now.plus(if fate.is_ok() { ASK } else { ASK_AGAIN }));
        match fate {
            Ok(KeyFate { state, deletion }) => {
                erasure.problem.clear();
                let same = erasure.key.as_ref().is_some_and(|before| before.state == state && before.deletion == deletion);
                if !same {
                    erasure.key = Some(KeyReport { state, deletion, at: now });
                }
            }
            Err(error) => {
                tracing::warn!(%error, tenant = %erasure.tenant, "the key of an erased namespace is not being destroyed yet");
                erasure.problem = SealError::told(&error);
            }
        }
    }

    /// Makes the file hold all that are known, after taking from it what the database does not know. True when that was something.
    async fn keep_list(&mut self) -> bool {
        let Some(file) = self.settings.list_file.clone() else { return false };
        if self.written == Some(self.known.len()) {
            return false;
        }
        match self.try_keep_list(&file).await {
            Ok(from_list) => {
                self.told.clear();
                from_list
            }
            Err(problem) => {
                if self.told != problem {
                    tracing::error!(problem, file = %file.display(), "the list of erased namespaces is not kept");
                    self.told = problem;
                }
                false
            }
        }
    }

    async fn try_keep_list(&mut self, file: &std::path::Path) -> Result<bool, String> {
        let key = Arc::new(Key::default());
        self.run(Arc::clone(&key) as Arc<dyn Attempt>).await?;
        let Some(key) = key.0.lock().unwrap_or_else(PoisonError::into_inner).clone() else {
            // Made by the signer, soon after the first start.
            return if file.exists() { Err("there is no key yet that could have signed it".to_owned()) } else { Ok(false) };
        };
        let held = list::read(file, &key).map_err(|error| error.to_string())?;
        let missing: Vec<(TenantId, Timestamp)> =
            held.iter().flatten().filter(|(tenant, _)| !self.known.contains_key(tenant)).map(|(id, at)| (*id, *at)).collect();
        for (tenant, begun) in &missing {
            self.run(Arc::new(Honour { tenant: *tenant, begun: *begun })).await?;
            tracing::warn!(%tenant, "a namespace that was erased before is in the database: it is erased again");
            self.known.insert(*tenant, *begun);
        }
        if held.as_ref() != Some(&self.known) {
            let sign =
                Arc::new(Sign { text: list::text(key.name(), &self.known), name: key.name().to_owned(), note: Mutex::default() });
            self.run(Arc::clone(&sign) as Arc<dyn Attempt>).await?;
            let note = sign.note.lock().unwrap_or_else(PoisonError::into_inner).take();
            let note = note.ok_or("the key that signs it is gone")?;
            let file = file.to_owned();
            let written = tokio::task::spawn_blocking(move || list::write(&file, &note)).await;
            written.map_err(|error| error.to_string())?.map_err(|error| format!("it cannot be written: {error}"))?;
        }
        self.written = Some(self.known.len());
        Ok(!missing.is_empty())
    }

    async fn run(&self, step: Arc<dyn Attempt>) -> Result<(), String> {
        self.committer.run(step).await.map(drop).map_err(|refusal| format!("{refusal:?}"))
    }
}

fn conclude(txn: &mut Txn, text: String) {
    let root = txn.tenants().root();
    txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("erase"), text), false);
}

/// Reads the erasures that are not known to be finished.
struct Look {
    finished: BTreeSet<TenantId>,
    found: Mutex<Vec<Erasure>>,
    backups: Mutex<Vec<Arc<Backup>>>,
}

#[async_trait]
impl Attempt for Look {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let mut found = Vec::new();
        for tenant in txn.names(&root, Kind::Erasure, SYSTEM, "").await?.iter().filter_map(|name| TenantId::parse(name)) {
            if !self.finished.contains(&tenant)
                && let Some(erasure) = txn.read::<Erasure>(&root, &Erasure::address(tenant)).await?
            {
                found.push(Erasure::clone(&erasure.value));
            }
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        *self.backups.lock().unwrap_or_else(PoisonError::into_inner) = backups::all(txn).await?;
        Ok(Answer::Empty)
    }
}

/// Writes down how far an erasure is, unless another server did meanwhile.
struct Update {
    before: Erasure,
    next: Erasure,
}

#[async_trait]
impl Attempt for Update {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Erasure::address(self.next.tenant));
        let found = txn.read::<Erasure>(&root, &address).await?;
        if found.is_none_or(|found| *found.value != self.before) {
            return Ok(Answer::Empty);
        }
        txn.put(&root, &address, &self.next, None).await?;
        let Erasure { tenant, key, problem, .. } = &self.next;
        let waits = match self.next.waits_for().as_slice() {
            [] => "done".to_owned(),
            waits => format!("waits for {}", waits.join(", ")),
        };
        let key = key.as_ref().map_or_else(String::new, |key| format!("; its key: {}", key.state));
        let problem = if problem.is_empty() { String::new() } else { format!("; {problem}") };
        conclude(txn, format!("erasure of tenant {tenant}: {waits}{key}{problem}"));
        Ok(Answer::Empty)
    }
}

/// The key that the list is verified with.
#[derive(Default)]
struct Key(Mutex<Option<LogKey>>);

#[async_trait]
impl Attempt for Key {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, name) = (txn.tenants().root(), list::name(txn.tenants().deployment()));
        let key = txn.log_key(&root).await?.map(|key| key.named(&name));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = key;
        Ok(Answer::Empty)
    }
}

struct Sign {
    name: String,
    text: String,
    note: Mutex<Option<String>>,
}

#[async_trait]
impl Attempt for Sign {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = txn.sign_text(&self.name, &self.text).await?;
        Ok(Answer::Empty)
    }
}

/// Erases a tenant that was erased before, in a later database than this one.
struct Honour {
    tenant: TenantId,
    begun: Timestamp,
}

#[async_trait]
impl Attempt for Honour {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Erasure::address(self.tenant));
        if txn.exists(&root, &address).await? {
            return Ok(Answer::Empty);
        }
        let mut erasure = Erasure { from_list: true, ..Erasure::new(self.tenant, String::new(), self.begun) };
        match find(self.tenant, &root, txn).await? {
            Some((parent, path, name)) => {
                txn.delete_child(&parent, &name).await?;
                erasure.path = path;
            }
            // Its parent may be closed, or be of before it was made: its keys go all the same.
            None if !txn.tenants().is_gone(self.tenant).await => txn.destroy_keys(self.tenant),
            None => {}
        }
        txn.drop_keys(self.tenant);
        txn.put(&root, &address, &erasure, None).await?;
        conclude(txn, format!("tenant {} was erased before and is erased again", self.tenant));
        Ok(Answer::Empty)
    }
}

/// The parent of a tenant, its path and its name. What does not open is passed by.
async fn find(wanted: TenantId, root: &Arc<Tenant>, txn: &mut Txn) -> Result<Option<(Arc<Tenant>, String, Box<str>)>, Refusal> {
    let mut waiting = vec![(Arc::clone(root), String::new())];
    while let Some((tenant, path)) = waiting.pop() {
        for (name, namespace) in children(&tenant, txn).await? {
            let path = format!("{path}{name}/");
            if namespace.tenant == wanted {
                return Ok(Some((tenant, path, name)));
            }
            if let Ok(child) = txn.enter(&tenant, &name, &namespace).await {
                waiting.push((child, path));
            }
        }
    }
    Ok(None)
}
