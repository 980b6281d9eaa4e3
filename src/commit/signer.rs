//! Signs checkpoints of the logs. What is signed always extends what was signed before: each row from the last checkpoint on is
//! verified and hashed again. One server signs, by its lease; the others go after it in the logs that they have loaded, so that each
//! of them knows what was signed and holds the store to it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinSet;

use super::committer::{Attempt, Committer};
use super::elsewhere::Elsewhere;
use super::faults::store_refusal;
use super::heads::Gatherer;
use super::lease::Held;
use super::log::Head;
use super::rounds::Rounds;
use super::tenant::Tenant;
use super::tenants::Tenants;
use super::txn::Txn;
use crate::answer::{Answer, Refusal};
use crate::audit::anchor::Anchor;
use crate::audit::event::{Event, Word};
use crate::audit::head::{TenantHead, deployment_origin};
use crate::audit::note::{LogKey, TreeHead, log_and_epoch, origin, sign_text};
use crate::crypto::{SigningAlgorithm, SigningError, SigningKey};
use crate::id::TenantId;
use crate::record::{Address, Kind, Listing};
use crate::secret::SecretBytes;
use crate::secret_record;
use crate::storage::{Checkpoint, LeaseName, LogRow};

/// Between two looks at all logs.
const PAUSE: Duration = Duration::from_secs(5);
/// Rows that are read at once.
const ROWS: usize = 64;

/// The private key that all logs of a deployment are signed with (PKCS #8). The root tenant keeps it.
struct LogSecret(SecretBytes);

secret_record!(LogSecret, Kind::LogKey, Listing::None);

impl LogSecret {
    fn address() -> Address {
        Address::system(Kind::LogKey, "ed25519")
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_document(SigningAlgorithm::EdDsa, self.0.duplicate())
    }
}

impl Txn {
    /// The public key that a tenant's log is verified with; none until the first checkpoint is to be signed.
    pub async fn log_key(&mut self, tenant: &Tenant) -> Result<Option<LogKey>, Refusal> {
        let (root, deployment) = (self.tenants().root(), self.tenants().deployment());
        let Some(found) = self.read::<LogSecret>(&root, &LogSecret::address()).await? else { return Ok(None) };
        LogKey::of(&origin(deployment, tenant.id(), tenant.epoch()), &found.value.key()).map(Some).map_err(unusable)
    }

    /// The public key that the deployment's log is verified with: the same key under another name.
    pub async fn deployment_key(&mut self) -> Result<Option<LogKey>, Refusal> {
        let (root, deployment) = (self.tenants().root(), self.tenants().deployment());
        Ok(self.log_key(&root).await?.map(|key| key.named(&deployment_origin(deployment, root.epoch()))))
    }

    /// Signs a text of the deployment that is no log, under the name in its first line. None as long as there is no key.
    pub async fn sign_text(&mut self, name: &str, text: &str) -> Result<Option<String>, Refusal> {
        let root = self.tenants().root();
        let Some(found) = self.read::<LogSecret>(&root, &LogSecret::address()).await? else { return Ok(None) };
        sign_text(name, text, &found.value.key()).map(Some).map_err(unusable)
    }
}

/// The signer of one server.
pub struct Signer {
    committer: Arc<Committer>,
    key: Option<SigningKey>,
    /// Up to where each log was signed or found signed.
    signed: HashMap<TenantId, (u32, Head)>,
    rounds: Rounds,
    elsewhere: Elsewhere,
    gatherer: Gatherer,
    /// The anchors that are being written: at most one task, which ends with this value.
    saving: JoinSet<()>,
}

impl Signer {
    /// Signs logs of the tenants of `committer`.
    pub fn new(committer: Arc<Committer>) -> Self {
        let (rounds, elsewhere, gatherer) = (Rounds::default(), Elsewhere::default(), Gatherer::default());
        Self { committer, key: None, signed: HashMap::new(), rounds, elsewhere, gatherer, saving: JoinSet::new() }
    }

    /// Rounds for ever.
    pub async fn run(mut self) {
        let mut leases = self.committer.tenants().leases().changes();
        loop {
            if let Err(refusal) = self.round().await {
                tracing::warn!(?refusal, "logs were not signed; trying again later");
            }
            // Whoever has just got the lease signs at once.
            let _ = tokio::time::timeout(PAUSE, leases.changed()).await;
        }
    }

    /// One look at all logs.
    pub(super) async fn round(&mut self) -> Result<(), Refusal> {
        if self.key.is_none() {
            let step = Arc::new(OpenKey(Mutex::default()));
            self.committer.run(Arc::clone(&step) as Arc<dyn Attempt>).await?;
            self.key = step.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        let Some(key) = &self.key else { return Ok(()) };
        let lease = self.committer.tenants().leases().held(LeaseName::Checkpoint);
        if lease.is_some() {
            let looked = self.elsewhere.look(&self.committer, |outlook, _| outlook.signed < outlook.size).await;
            if let Err(refusal) = looked {
                tracing::warn!(?refusal, "what other servers did was not looked up; trying again later");
            }
        } else {
            self.elsewhere.forget();
        }
        let loaded: HashSet<TenantId> = self.committer.tenants().all().iter().map(|tenant| tenant.id()).collect();
        self.signed.retain(|id, _| loaded.contains(id));
        for turn in self.rounds.turns(self.committer.tenants(), Tenant::position) {
            let tenant = &turn.tenant;
            // One log that does not verify keeps no other from being signed.
            let (tenants, id, epoch) = (self.committer.tenants(), tenant.id(), tenant.epoch());
            // What was known of an epoch before is not in the store any more.
            let known = self.signed.get(&id).filter(|(known, _)| *known == epoch).map(|(_, head)| head);
            match sign(tenants, tenant, key, known, lease.as_ref()).await {
                Ok(Signed { head, is_all }) => {
                    if let Some(head) = head {
                        tenants.anchors().note(id, Anchor { epoch, size: head.frontier.size(), root: head.root });
                        self.signed.insert(id, (epoch, head));
                    }
                    if is_all {
                        self.rounds.idle(&turn, Duration::MAX);
                    }
                }
                // What is in memory of it is of a state that the store does not have.
                Err(Refusal::RolledBack) => tenants.forget(id),
                Err(refusal) => {
                    tracing::warn!(?refusal, tenant = %id, "a log was not signed");
                    if matches!(tenants.lost(tenant, &tenant.head()).await, Ok(Some(_))) {
                        tenants.forget(id);
                    }
                }
            }
        }
        let tenants = self.committer.tenants();
        // Not waited for: where they are kept may be slow, and logs are signed all the same.
        while self.saving.try_join_next().is_some() {}
        if self.saving.is_empty() {
            let tenants = Arc::clone(tenants);
            self.saving.spawn(async move { tenants.save_anchors().await });
        }
        let head = |(tenant, (epoch, head)): (&TenantId, &(u32, Head))| TenantHead {
            tenant: *tenant,
            epoch: *epoch,
            size: head.frontier.size(),
            root: head.root,
        };
        let heads: Vec<TenantHead> = self.signed.iter().map(head).collect();
        match lease {
            Some(lease) => self.gatherer.gather(tenants, key, &heads, Some(lease.fence())).await,
            None => Ok(()),
        }
    }
}

/// What a look at a log came to.
struct Signed {
    /// Up to where it is signed, if that has changed.
    head: Option<Head>,
    /// All of it is.
    is_all: bool,
}

/// Signs the newest tree of a log, if it has grown; without the lease goes after what another server has signed.
async fn sign(
    tenants: &Tenants,
    tenant: &Tenant,
    key: &SigningKey,
    known: Option<&Head>,
    lease: Option<&Held>,
) -> Result<Signed, Refusal> {
    let id = tenant.id();
    let size = tenants.newest_row(id).await?.map_or(0, |row| row.end());
    let known_size = known.map_or(0, |head| head.frontier.size());
    if size == known_size {
        return Ok(Signed { head: None, is_all: true });
    }
    let anchor = tenants.anchor(tenant);
    if anchor.is_some_and(|anchor| size < anchor.size) {
        return Err(rolled_back(tenants, tenant).await);
    }
    let name = origin(tenants.deployment(), id, tenant.epoch());
    let last = tenants.checkpoints(id, 0..=u64::MAX, true, 1).await?.pop();
    let last_size = last.as_ref().map_or(0, |last| last.size);
    if size < known_size || last_size < known_size {
        return Err(forked(id, "it is shorter than it was"));
    }
    let mut head = match (last, known) {
        (None, _) => Head::genesis(),
        (Some(last), Some(known)) if last_size == known_size && last.root == known.root => known.clone(),
        (Some(last), _) => match signed_head(tenants, tenant, &LogKey::of(&name, key).map_err(unusable)?, &last).await {
            // It was signed in an epoch before, and given up.
            Err(Refusal::Internal(_)) if !last.note.starts_with(name.as_bytes()) && tenant.epoch() > 0 => Head::genesis(),
            found => found?,
        },
    };
    let anchored = anchor.is_none_or(|anchor| (anchor.size, anchor.root) == (head.frontier.size(), head.root));
    while lease.is_some() {
        let rows = tenants.log_rows(id, head.seq + 1, ROWS).await?;
        if rows.is_empty() {
            break;
        }
        for row in &rows {
            head = follow(tenants, tenant, &head, row)?;
        }
    }
    if !anchored && tenants.lost(tenant, &head).await?.is_some() {
        return Err(Refusal::RolledBack);
    }
    let signed = head.frontier.size();
    if let Some(lease) = lease.filter(|_| signed > last_size) {
        let tree = TreeHead { origin: name, size: head.frontier.size(), root: head.root };
        let note = tree.sign(key).map_err(unusable)?.into_bytes();
        let checkpoint = Checkpoint { size: tree.size, root: tree.root, note };
        // Another server may have signed the same tree meanwhile.
        tenants.store().add_checkpoint(id, &checkpoint, Some(lease.fence())).await.map_err(|error| store_refusal(&error))?;
    }
    Ok(Signed { head: (signed > known_size).then_some(head), is_all: signed >= size })
}

/// Where the log stood at its last checkpoint, if this deployment signed that one, and it is of this log.
async fn signed_head(tenants: &Tenants, tenant: &Tenant, key: &LogKey, last: &Checkpoint) -> Result<Head, Refusal> {
    let id = tenant.id();
    // It may be of an epoch before.
    let signed_as = TreeHead::unverified(&last.note).map(|head| head.origin).unwrap_or_default();
    let key = match (log_and_epoch(key.name()), log_and_epoch(&signed_as)) {
        (Some((log, now)), Some((of, then))) if log == of && then <= now => key.named(&signed_as),
        _ => key.clone(),
    };
    let tree = TreeHead { origin: key.name().to_owned(), size: last.size, root: last.root };
    if key.open(&last.note) != Ok((tree, 0)) {
        return Err(forked(id, "its last checkpoint was not signed with the key of this deployment"));
    }
    let seq = tenants.row_after(id, |row| row.end() < last.size).await?;
    let row = tenants.log_rows(id, seq, 1).await?.pop().filter(|row| row.tail.seq == seq);
    let head = row.and_then(|row| Head::verified(tenant.keyring(), tenants.deployment(), id, &row).ok());
    let same = head.filter(|head| head.frontier.size() == last.size && head.root == last.root);
    same.ok_or_else(|| forked(id, "it is not the log that was signed last"))
}

/// The head behind the row that follows `head`.
pub(super) fn follow(tenants: &Tenants, tenant: &Tenant, head: &Head, row: &LogRow) -> Result<Head, Refusal> {
    let id = tenant.id();
    let next = Head::verified(tenant.keyring(), tenants.deployment(), id, row)
        .map_err(|error| forked(id, &format!("row {}: {error}", row.tail.seq)))?;
    let mut frontier = head.frontier.clone();
    row.leaves.as_chunks::<32>().0.iter().for_each(|leaf| frontier.push(*leaf));
    if row.tail.seq == head.seq + 1 && row.tail.prev_root == head.root && next.frontier == frontier {
        Ok(next)
    } else {
        Err(forked(id, &format!("row {} does not follow the one before it", row.tail.seq)))
    }
}

/// Of a log that is shorter than its anchor. The newest row says what is there; its own hashes decide.
async fn rolled_back(tenants: &Tenants, tenant: &Tenant) -> Refusal {
    match tenants.lost(tenant, &Head::genesis()).await {
        Err(refusal) => refusal,
        Ok(_) => Refusal::RolledBack,
    }
}

fn forked(tenant: TenantId, what: &str) -> Refusal {
    tracing::error!(%tenant, what, "an audit log does not extend what was signed: it was changed outside this server");
    Refusal::Internal("the audit log does not extend what was signed".into())
}

pub(super) fn unusable(error: SigningError) -> Refusal {
    tracing::error!(%error, "the key of the audit logs");
    Refusal::Internal("the key of the audit logs cannot be used".into())
}

/// Reads the private key, or makes it when there is none.
struct OpenKey(Mutex<Option<SigningKey>>);

#[async_trait]
impl Attempt for OpenKey {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let key = if let Some(found) = txn.read::<LogSecret>(&root, &LogSecret::address()).await? {
            found.value.key()
        } else {
            let made = SigningKey::generate(SigningAlgorithm::EdDsa).map_err(unusable)?;
            let secret = LogSecret(made.document().duplicate());
            txn.put(&root, &LogSecret::address(), &secret, None).await?;
            let text = "1 key of the audit logs made".to_owned();
            txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("make-log-key"), text), false);
            made
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(Answer::Empty)
    }
}

#[cfg(test)]
#[path = "signer_tests.rs"]
mod tests;
