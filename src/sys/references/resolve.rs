//! From a reference to its value.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::operation::Wanted;
use super::reading::Reading;
use super::target::{Standing, Target};
use crate::answer::{Answer, Data, Refusal};
use crate::auth::Caller;
use crate::cert;
use crate::commit::{Mark, Place, Tenant, Txn};
use crate::engine::directory;
use crate::engine::kv::v2::Referred;
use crate::engine::references;
use crate::id::MountId;
use crate::json::Json;
use crate::mount::{Engine, Mount};
use crate::policy::{Ask, Capability};
use crate::reference::{Binding, Consumer, Presented, ReferenceId, ReferenceRecord};

/// What resolving one reference comes to.
pub(super) enum Outcome {
    /// What is in its envelope's `data`, and what it will be recognised by; 404 where the version is deleted.
    Value(Reading, String),
    /// The client has it already.
    Unchanged(String),
}

/// One reference: answers like a read of the secret itself.
pub(super) async fn one(wanted: &Wanted, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    match Resolver::new(place, caller).resolve(wanted, txn).await? {
        Outcome::Value(reading, etag) => Ok(Answer::Data(Data { etag: Some(etag), ..reading.write()? })),
        Outcome::Unchanged(etag) => Ok(Answer::Unchanged { etag }),
    }
}

impl Outcome {
    /// HTTP status.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::Value(reading, _) => reading.status(),
            Self::Unchanged(_) => 304,
        }
    }

    /// About how long its value is, bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Value(reading, _) => reading.bytes(),
            Self::Unchanged(_) => 0,
        }
    }

    /// Status, value and entity tag.
    pub(super) fn write(self) -> Result<(u16, Option<Json>, String), Refusal> {
        let status = self.status();
        match self {
            Self::Value(reading, etag) => Ok((status, reading.write()?.data, etag)),
            Self::Unchanged(etag) => Ok((status, None, etag)),
        }
    }
}

/// What a reference to a secret with versions leads to. It is kept as long as none of that changes: who asks for the same secrets again and
/// again has each looked up once.
struct Lead {
    record: Arc<ReferenceRecord>,
    found: Arc<Referred>,
    etag: String,
    /// The value was seen to have the field that the reference means.
    has_field: AtomicBool,
}

/// A reference that the caller may resolve, and what is there now.
struct Reached {
    hash: [u8; 32],
    record: Arc<ReferenceRecord>,
    lead: Option<Arc<Lead>>,
    target: Target,
    standing: Standing,
    etag: String,
}

impl Reached {
    /// Whether the client has the value already.
    fn is_known_to(&self, wanted: &Wanted) -> bool {
        self.standing.readable.is_some() && wanted.etags.contains(&self.etag)
    }
}

/// Resolves for one caller, and looks for each mount once.
pub(super) struct Resolver<'a> {
    tenant: &'a Arc<Tenant>,
    caller: &'a Caller,
    mounts: HashMap<MountId, Option<(Arc<Mount>, String)>>,
    /// It was asked whether references are good for anything yet, after a restore.
    confirmed: bool,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(place: &'a Place, caller: &'a Caller) -> Self {
        Self { tenant: &place.tenant, caller, mounts: HashMap::new(), confirmed: false }
    }

    /// What it comes to, and one use less where uses are counted.
    pub(super) async fn resolve(&mut self, wanted: &Wanted, txn: &mut Txn) -> Result<Outcome, Refusal> {
        let reached = self.reach(wanted, txn).await?;
        if reached.is_known_to(wanted) {
            return Ok(Outcome::Unchanged(reached.etag));
        }
        let Reached { hash, record, lead, target, standing, etag } = reached;
        let has_field = lead.as_ref().is_some_and(|lead| lead.has_field.load(Ordering::Relaxed));
        let reading = target.read(&standing, record.field.as_deref(), txn).await?.certain(has_field)?;
        if let Some(lead) = lead.filter(|_| standing.readable.is_some()) {
            lead.has_field.store(true, Ordering::Relaxed);
        }
        if standing.readable.is_some() {
            self.count(&hash, &record, txn).await?;
        }
        Ok(Outcome::Value(reading, etag))
    }

    /// Has in memory what a reference leads to, and says about how many bytes of values were read for it.
    pub(super) async fn look_ahead(&mut self, wanted: &Wanted, txn: &mut Txn) -> Result<usize, Refusal> {
        let reached = self.reach(wanted, txn).await?;
        if reached.is_known_to(wanted) {
            return Ok(0);
        }
        reached.target.read(&reached.standing, None, txn).await.map(|reading| reading.bytes())
    }

    /// What a reference leads to, for this caller now.
    async fn reach(&mut self, wanted: &Wanted, txn: &mut Txn) -> Result<Reached, Refusal> {
        let hash = self.tenant.keyring().reference_hash(wanted.reference.as_str());
        txn.note_reference(hash);
        if !std::mem::replace(&mut self.confirmed, true) {
            txn.refuse_unconfirmed(self.tenant).await?;
        }
        let mark = txn.mark(self.tenant);
        let (record, lead, target) = self.find(&hash, wanted, txn).await?;
        // From here on the caller is one who may read the secret, and learns what has become of it.
        let (standing, etag) = match &lead {
            Some(lead) => (Standing::of_versions(Arc::clone(&lead.found)), lead.etag.clone()),
            None => self.look((&record, &target), wanted, (hash, &mark), txn).await?,
        };
        Ok(Reached { hash, record, lead, target, standing, etag })
    }

    /// The reference, if there is such a one and it is for this caller now. Whoever is refused has waited for the store once: whether it is
    /// there, and whether others have used it here lately, cannot be told by the time that a refusal takes.
    async fn find(
        &mut self,
        hash: &[u8; 32],
        wanted: &Wanted,
        txn: &mut Txn,
    ) -> Result<(Arc<ReferenceRecord>, Option<Arc<Lead>>, Target), Refusal> {
        let (id, asked) = (|| ReferenceId::of_hash(hash), txn.asked());
        let lead = txn.recall::<Lead>(self.tenant, hash);
        let record = match &lead {
            Some(lead) => Some(Arc::clone(&lead.record)),
            None => references::read(self.tenant, &id(), txn).await?,
        };
        let from_memory = txn.asked() == asked;
        let admitted = self.admitted(record.as_deref(), wanted, txn).await;
        if from_memory && matches!(admitted, Err(Refusal::Denied)) {
            txn.ask_in_vain(self.tenant, &id().nowhere()).await?;
        }
        Ok((record.ok_or(Refusal::Denied)?, lead, admitted?))
    }

    /// What is there now, and what it will be recognised by. It is kept under `name` with what was read since `mark`, unless each use changes it.
    async fn look(
        &self,
        (record, target): (&Arc<ReferenceRecord>, &Target),
        wanted: &Wanted,
        (name, mark): ([u8; 32], &Mark),
        txn: &mut Txn,
    ) -> Result<(Standing, String), Refusal> {
        let standing = target.standing(record.pinned, txn).await?.filter(|found| found.object == record.target_object);
        let standing = standing.ok_or(Refusal::NotFound)?;
        let etag = standing.readable.map(|version| self.etag(wanted, version)).unwrap_or_default();
        if let Some(found) = standing.versions().filter(|_| record.binding.uses_left.is_none()) {
            let (record, found, etag) = (Arc::clone(record), Arc::clone(found), etag.clone());
            txn.keep(self.tenant, name, mark, &Arc::new(Lead { record, found, etag, has_field: AtomicBool::new(false) }));
        }
        Ok((standing, etag))
    }

    fn etag(&self, wanted: &Wanted, version: u64) -> String {
        let hash = self.tenant.keyring().reference_etag(wanted.reference.as_str(), version);
        data_encoding::HEXLOWER.encode(hash.first_chunk::<16>().map_or(&hash[..], |half| &half[..]))
    }

    /// What the reference points to, if it is for this caller now. Whoever it is not for does not learn that it is there.
    async fn admitted(&mut self, record: Option<&ReferenceRecord>, wanted: &Wanted, txn: &mut Txn) -> Result<Target, Refusal> {
        let Some(record) = record else {
            txn.note_detail("there is no such reference in this namespace".to_owned());
            return Err(Refusal::Denied);
        };
        let binding = &record.binding;
        let own = self.caller.tenant.id() == self.tenant.id();
        let entity = if own { self.caller.entry.entity_id.as_str() } else { "" };
        let certified = binding.consumers.iter().any(Consumer::is_certified);
        let shown = if certified { self.certificate(txn).await? } else { None };
        let certificate = shown.map(|shown| data_encoding::HEXLOWER.encode(&shown.fingerprint())).unwrap_or_default();
        let uris = shown.and_then(cert::Presented::identity).map_or(&[][..], |identity| &identity.uris);
        let subject = if binding.consumers.iter().any(Consumer::is_subject) { self.subject(txn).await? } else { "" };
        let purpose = wanted.purpose.as_deref();
        let presented = Presented { entity, certificate: &certificate, uris, subject, purpose };
        if let Some(at) = binding.not_before.filter(|from| txn.now() < *from) {
            txn.relies_until(at);
        }
        if let Some(reason) = binding.refuses(&presented, txn.now()) {
            txn.note_detail(reason.to_owned());
            return Err(Refusal::Denied);
        }
        if let Some(at) = binding.expires {
            txn.relies_until(at);
        }
        let mount = self.mount(record.target_mount, txn).await?;
        let target = mount.and_then(|(mount, path)| Target::of_mount(self.tenant, mount, path, &record.target_path));
        let target = target.ok_or(Refusal::Denied)?;
        let path = self.caller.policy_path(target.read_path());
        let may = if binding.consumers.is_empty() {
            self.caller.acl.decide(&Ask::new(&path, Capability::Read))
        } else {
            !self.caller.acl.denies(&path)
        };
        may.then_some(target).ok_or(Refusal::Denied)
    }

    /// The certificate of the connection, if a cert role of this tenant has verified it: for this request, or when the
    /// token was logged in. One that another method's login only came along with counts for nothing.
    async fn certificate(&mut self, txn: &mut Txn) -> Result<Option<&'a cert::Presented>, Refusal> {
        let caller = self.caller;
        let Some(shown) = caller.origin.presented.as_deref() else { return Ok(None) };
        if caller.tenant.id() != self.tenant.id() {
            return Ok(None);
        }
        if !caller.has_token() {
            return Ok(Some(shown));
        }
        let Some(login) = &caller.entry.login else { return Ok(None) };
        if login.certificate.is_none() || login.certificate != caller.origin.certificate() {
            return Ok(None);
        }
        let mount = self.mount(login.mount, txn).await?;
        Ok(mount.filter(|(mount, _)| mount.engine == Engine::Cert).map(|_| shown))
    }

    /// The subject of the token that the caller has logged in with, at a JWT or OIDC mount of this tenant that is still there;
    /// empty for none.
    async fn subject(&mut self, txn: &mut Txn) -> Result<&'a str, Refusal> {
        let caller = self.caller;
        let Some(login) = caller.entry.login.as_ref().filter(|_| caller.tenant.id() == self.tenant.id()) else { return Ok("") };
        let Some(subject) = &login.subject else { return Ok("") };
        let mount = self.mount(login.mount, txn).await?;
        let vouched = mount.is_some_and(|(mount, _)| matches!(mount.engine, Engine::Jwt | Engine::Oidc));
        Ok(if vouched { subject } else { "" })
    }

    async fn mount(&mut self, id: MountId, txn: &mut Txn) -> Result<Option<(Arc<Mount>, String)>, Refusal> {
        if let Some(known) = self.mounts.get(&id) {
            return Ok(known.clone());
        }
        let found = directory::by_id(self.tenant, id, txn).await?.map(|mounted| (mounted.mount, mounted.path));
        self.mounts.insert(id, found.clone());
        Ok(found)
    }

    /// One use less, where uses are counted. Two that resolve at once cannot both have the last one: the record is read.
    async fn count(&self, hash: &[u8; 32], record: &ReferenceRecord, txn: &mut Txn) -> Result<(), Refusal> {
        let Some(left) = record.binding.uses_left else { return Ok(()) };
        let binding = Binding { uses_left: Some(left.saturating_sub(1)), ..record.binding.clone() };
        let expires = binding.expires;
        let address = ReferenceId::of_hash(hash).address();
        txn.put(self.tenant, &address, &ReferenceRecord { binding, ..record.clone() }, expires).await
    }
}
