//! Where each log stood when this server signed it last, in a file or an object outside of the database. A log that does not extend its
//! anchor any more was rolled back, or rewritten: its tenant is not opened, and its trees are not signed, until an operator
//! accepts that.
//!
//! Not promised: anything against who puts back database and file together, or takes the file away. An anchor that is older than
//! the log (a crash before the file was written, another server that signed) is no alarm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::faults::{KeyError, key_refusal};
use super::log::Head;
use super::tenant::Tenant;
use super::tenants::Tenants;
use crate::answer::Refusal;
use crate::archive::{ArchiveError, KeptObject};
use crate::audit::anchor::{Accepted, Anchor, AnchorError, Anchored, FILE_BYTES_MAX};
use crate::audit::proof::{consistency_stretches, verify_consistency};
use crate::crypto::{self, Keyring};
use crate::durable::{with_suffix, write_whole};
use crate::id::TenantId;
use crate::metrics;
use crate::namespace::Namespace;
use crate::storage::Deployment;

/// What the MAC of the file begins with.
const LABEL: &[u8] = b"strongroom anchors v1";

/// Why anchors cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The file cannot be read or written.
    #[error("the anchors {0}: {1}")]
    File(String, #[source] io::Error),
    /// The object cannot be read or written.
    #[error("the anchors {0}: {1}")]
    Storage(String, #[source] ArchiveError),
    /// It is not what this server writes.
    #[error("the anchors {0}: {1}")]
    Form(String, #[source] AnchorError),
    /// It is that of another installation.
    #[error("the anchors {0} are those of another deployment: put back its database, or begin anew without the file")]
    Other(String),
    /// Its MAC is wrong.
    #[error("the anchors {0} were changed outside this server: put back the file, or begin anew without it")]
    Changed(String),
}

/// The anchors of one server, as long as the process lives.
#[derive(Default)]
pub struct Anchors {
    place: Place,
    state: Mutex<State>,
}

/// Where they are kept.
#[derive(Clone, Default)]
enum Place {
    /// Nowhere.
    #[default]
    None,
    File(PathBuf),
    Object(Arc<KeptObject>),
}

#[derive(Default)]
struct State {
    /// Read and verified; none until the root's keys are open.
    known: Option<Anchored>,
    /// Something is not in the file yet.
    unsaved: bool,
    /// Logs that were found not to extend their anchors.
    refused: BTreeSet<TenantId>,
}

impl Anchors {
    /// In this file, which need not be there yet. What is there must have the form of one, and the folder must take files.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn at(path: PathBuf) -> Result<Self, AnchorsError> {
        let failed = |error| AnchorsError::File(shown(&path), error);
        let text = read_text(&path).map_err(failed)?;
        text.map(|text| Anchored::parse(&text)).transpose().map_err(|error| AnchorsError::Form(shown(&path), error))?;
        let beside = with_suffix(&path, ".new");
        let made = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&beside);
        made.and_then(|_| fs::remove_file(&beside)).map_err(failed)?;
        Ok(Self { place: Place::File(path), state: Mutex::default() })
    }

    /// In this object, which need not be there yet. It is read when the server opens.
    pub fn in_storage(object: KeptObject) -> Self {
        Self { place: Place::Object(Arc::new(object)), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self) -> Result<Option<(Anchored, [u8; 32])>, AnchorsError> {
        let text = self.place.read("").await?;
        let form = |error| AnchorsError::Form(self.place.shown(), error);
        text.map(|text| Anchored::parse(&text)).transpose().map_err(form)
    }

    /// Reads what was written, with the keys of the root; once is enough for a process.
    pub(super) async fn open(&self, keyring: &Keyring, deployment: &Deployment) -> Result<(), AnchorsError> {
        let of_this =
            |known: &Anchored| (known.deployment, known.root, known.edge) == (deployment.id, deployment.root, deployment.edge);
        if matches!(self.place, Place::None) || self.state().known.as_ref().is_some_and(of_this) {
            return Ok(());
        }
        let shown = self.place.shown();
        let known = match self.read().await? {
            None => {
                tracing::warn!(anchors = shown, "no anchors yet: what the store has now is taken for whole");
                let Deployment { id, root, edge, .. } = *deployment;
                Anchored { deployment: id, root, edge, anchors: BTreeMap::new() }
            }
            Some((known, _)) if !of_this(&known) => return Err(AnchorsError::Other(shown)),
            Some((known, mac)) if !crypto::equal(&mac, &self::mac(keyring, &known)) => return Err(AnchorsError::Changed(shown)),
            Some((known, _)) => known,
        };
        self.state().known = Some(known);
        Ok(())
    }

    /// Whether a new deployment may be made.
    ///
    /// # Errors
    /// There are anchors of one already, or nobody can tell.
    pub async fn begins(&self) -> Result<(), AnchorsError> {
        if self.read().await?.is_some() { Err(AnchorsError::Other(self.place.shown())) } else { Ok(()) }
    }

    fn of(&self, tenant: TenantId) -> Option<Anchor> {
        self.state().known.as_ref()?.anchors.get(&tenant).copied()
    }

    /// A log was signed, or found signed, up to here.
    pub(super) fn note(&self, tenant: TenantId, anchor: Anchor) {
        let mut state = self.state();
        let before = state.known.as_mut().map(|known| known.anchors.insert(tenant, anchor));
        state.unsaved |= before.is_some_and(|before| before != Some(anchor));
    }

    fn tell(&self, tenant: TenantId, extends: bool) {
        let mut state = self.state();
        let changed = if extends { state.refused.remove(&tenant) } else { state.refused.insert(tenant) };
        if changed {
            metrics::rolled_back(state.refused.len());
        }
    }

    /// The text as it is to be, if it is not so yet.
    fn unsaved(&self, keyring: &Keyring) -> Option<String> {
        let mut state = self.state();
        if !std::mem::take(&mut state.unsaved) {
            return None;
        }
        let known = state.known.as_ref()?;
        Some(known.text(&mac(keyring, known)))
    }

    /// Whether an operator gives up what this anchor stands for.
    async fn is_accepted(&self, tenant: TenantId, anchor: &Anchor) -> bool {
        let read = self.place.read(ACCEPTED).await.map(|text| text.map(|text| Accepted::parse(&text)));
        match read {
            Ok(None) => false,
            Ok(Some(Ok(accepted))) => {
                let deployment = self.state().known.as_ref().map(|known| known.deployment);
                deployment == Some(accepted.deployment) && accepted.anchors.get(&tenant) == Some(anchor)
            }
            other => {
                tracing::error!(anchors = self.place.shown(), ?other, "what was accepted cannot be read");
                false
            }
        }
    }

    /// What was accepted is done.
    pub(super) async fn forget_accepted(&self) {
        if let Err(error) = self.place.remove_accepted().await {
            // It names anchors that will not come again.
            tracing::warn!(%error, "what was accepted was not removed");
        }
    }
}

/// What is behind the name of what an operator accepts.
const ACCEPTED: &str = ".accepted";

impl Place {
    fn shown(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::File(path) => shown(path),
            Self::Object(object) => object.shown(),
        }
    }

    /// The text of the anchors, or of what has this behind their name.
    async fn read(&self, behind: &str) -> Result<Option<String>, AnchorsError> {
        match self {
            Self::None => Ok(None),
            Self::File(path) => {
                let path = with_suffix(path, behind);
                let failed = |error| AnchorsError::File(shown(&path), error);
                blocking({
                    let path = path.clone();
                    move || read_text(&path)
                })
                .await
                .map_err(failed)
            }
            Self::Object(object) => {
                let bytes_max = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX);
                let failed = |error| AnchorsError::Storage(object.shown(), error);
                let bytes = object.read(behind, bytes_max).await.map_err(failed)?;
                let text = |bytes| String::from_utf8(bytes).map_err(|_| AnchorsError::Form(object.shown(), AnchorError::Header));
                bytes.map(text).transpose()
            }
        }
    }

    async fn write(&self, text: String) -> Result<(), AnchorsError> {
        match self {
            Self::None => Ok(()),
            Self::File(path) => {
                let (file, failed) = (path.clone(), |error| AnchorsError::File(shown(path), error));
                blocking(move || write_whole(&file, &text, 0o600)).await.map_err(failed)
            }
            Self::Object(object) => {
                object.write(text.into_bytes()).await.map_err(|error| AnchorsError::Storage(object.shown(), error))
            }
        }
    }

    async fn remove_accepted(&self) -> Result<(), AnchorsError> {
        match self {
            Self::None => Ok(()),
            Self::File(path) => match fs::remove_file(accepted_beside(path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AnchorsError::File(shown(path), error)),
                _ => Ok(()),
            },
            Self::Object(object) => object.delete(ACCEPTED).await.map_err(|error| AnchorsError::Storage(object.shown(), error)),
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Where an operator writes down what is given up.
pub fn accepted_beside(path: &Path) -> PathBuf {
    with_suffix(path, ACCEPTED)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn mac(keyring: &Keyring, known: &Anchored) -> [u8; 32] {
    keyring.batch_mac(&[LABEL, known.body().as_bytes()])
}

fn read_text(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Ok(file) => {
            let mut text = String::new();
            file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
            Ok(Some(text))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Tenants {
    /// The anchors of this server.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// The anchor that a tenant's log must extend. One of an epoch before was given up, here or by another server.
    pub(super) fn anchor(&self, tenant: &Tenant) -> Option<Anchor> {
        self.anchors.of(tenant.id()).filter(|anchor| anchor.epoch >= tenant.epoch())
    }

    /// The anchor that `head` does not extend: by its own hashes, whatever the rows before it say.
    pub(super) async fn lost(&self, tenant: &Tenant, head: &Head) -> Result<Option<Anchor>, Refusal> {
        let Some(anchor) = self.anchor(tenant) else {
            self.anchors.tell(tenant.id(), true);
            return Ok(None);
        };
        let size = head.frontier.size();
        let extends = anchor.epoch == tenant.epoch() && self.proves(tenant.id(), &anchor, (size, head.root)).await?;
        self.anchors.tell(tenant.id(), extends);
        if extends {
            return Ok(None);
        }
        tracing::error!(
            tenant = %tenant.id(), signed = anchor.size, stored = size, epoch = anchor.epoch,
            "ROLLED BACK: the store does not have the history of this log that was signed; it stays sealed until that is accepted"
        );
        Ok(Some(anchor))
    }

    async fn proves(&self, tenant: TenantId, anchor: &Anchor, (size, root): (u64, [u8; 32])) -> Result<bool, Refusal> {
        let Some(stretches) = consistency_stretches(anchor.size, size) else { return Ok(false) };
        let mut path = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            match self.subtree_root(tenant, stretch).await {
                Ok(hash) => path.push(hash),
                Err(refusal @ Refusal::Unavailable(_)) => return Err(refusal),
                // Rows are missing, or are not what they were.
                Err(_) => return Ok(false),
            }
        }
        Ok(verify_consistency(anchor.size, &anchor.root, size, &root, &path))
    }

    /// Looks at one of the deployment's own tenants, which is about to be used. One whose rollback was accepted is marked: its new
    /// epoch is to begin.
    pub(super) async fn check_fixed(&self, tenant: &Tenant) -> Result<(), KeyError> {
        let id = tenant.id();
        let Some(anchor) = self.lost(tenant, &tenant.head()).await.map_err(|_| KeyError::Unproven(id))? else { return Ok(()) };
        if !self.anchors.is_accepted(id, &anchor).await {
            return Err(KeyError::RolledBack(id, anchor.size));
        }
        tenant.ended.get_or_init(|| anchor);
        Ok(())
    }

    /// The tenant of a namespace record, opened for the beginning of a new epoch and nothing else; and the anchor that its log does
    /// not extend. `None` when it does.
    pub(super) async fn rolled_back_child(
        &self,
        parent: TenantId,
        namespace: &Namespace,
    ) -> Result<Option<(Arc<Tenant>, Anchor)>, Refusal> {
        let slot = self.loading.slot(namespace.tenant);
        let _alone = slot.lock().await;
        if let Some(tenant) = self.fresh(namespace.tenant) {
            return Ok(tenant.ended.get().copied().map(|anchor| (tenant, anchor)));
        }
        let seals = self.seals();
        let tenant = self.loader(&seals).load(namespace.tenant, Some((parent, namespace))).await.map_err(key_refusal)?;
        let Some(anchor) = self.lost(&tenant, &tenant.head()).await? else { return Ok(None) };
        tenant.ended.get_or_init(|| anchor);
        self.insert(&tenant);
        // Once it is accepted, nobody is refused for what was so a moment ago.
        self.loading.forget(namespace.tenant);
        Ok(Some((tenant, anchor)))
    }

    /// Writes down what was noted.
    pub(super) async fn save_anchors(&self) {
        let Some(text) = self.anchors.unsaved(self.root().keyring()) else { return };
        if let Err(error) = self.anchors.place.write(text).await {
            self.anchors.state().unsaved = true;
            metrics::anchors_failed();
            tracing::error!(%error, "the anchors of the audit logs were not written; trying again");
        }
    }
}
