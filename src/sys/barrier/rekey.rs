//! Changing the root key, or the recovery key: people bring shares of the one of now, and get shares of a new one.
//!
//! From then on both root keys open everything, until every tenant is wrapped by the new one alone (`keeper.rs`); of recovery keys the old
//! one does until the new one takes over. With verification nothing is stored before people have brought enough of the new shares,
//! so shares that got lost on their way cost nothing.

use std::sync::{MutexGuard, PoisonError};

use super::beside::Beside;
use super::ceremony::{RekeyRequest, Share, Target, write_shares};
use super::gathered::Gathered;
use super::record::{AutoRecord, SealRecord, ShamirRecord, identities};
use super::{Barrier, BarrierError, Guard};
use crate::crypto::{RecoveryKey, RecoveryPublicKey, RootKey, equal};
use crate::json::Json;
use crate::seal::shamir::{ShareSet, split};
use crate::storage::Deployment;

/// The changes that are under way.
#[derive(Default)]
pub(super) struct Rekeys {
    root: Option<Rekey>,
    recovery: Option<Rekey>,
}

impl Rekeys {
    pub(super) fn of(&mut self, target: Target) -> &mut Option<Rekey> {
        match target {
            Target::Root => &mut self.root,
            Target::Recovery => &mut self.recovery,
        }
    }
}

/// A change that is under way.
pub(super) struct Rekey {
    request: RekeyRequest,
    nonce: String,
    gathered: Gathered,
    verification: Option<Verification>,
}

/// A new key that is not stored yet.
struct Verification {
    nonce: String,
    gathered: Gathered,
    new: NewKey,
    set: ShareSet,
}

/// A new key, in the form in which it is split.
struct NewKey {
    split: RootKey,
    rest: Rest,
}

/// What is stored of it with its shares.
enum Rest {
    /// Of a root key: bridges between it and the one of now.
    Root { old: RootKey },
    /// Of a root key that is to wrap beside seals: nothing.
    Beside,
    /// Of a recovery key: its public half.
    Recovery(RecoveryPublicKey),
}

impl NewKey {
    /// In place of `old`, which people have brought the shares of, if there was one.
    fn generate(guarded: &Guarded, old: Option<RootKey>) -> Option<Self> {
        match guarded {
            Guarded::Root(_) => Some(Self { split: RootKey::generate(), rest: Rest::Root { old: old? } }),
            Guarded::Beside(_) => Some(Self { split: RootKey::generate(), rest: Rest::Beside }),
            Guarded::Recovery(..) => {
                let (private, public) = RecoveryKey::generate()?;
                Some(Self { split: private.to_split()?, rest: Rest::Recovery(public) })
            }
        }
    }
}

fn none_in_progress() -> BarrierError {
    BarrierError::Invalid("no rotation in progress".into())
}

/// What is stored of the shares that a target has.
enum Guarded {
    Root(ShamirRecord),
    Recovery(AutoRecord, ShareSet),
    /// None yet, and they are listed beside the seals. Whoever has recovery shares brings those.
    Beside(AutoRecord),
}

impl Guarded {
    fn shares(&self) -> Option<&ShareSet> {
        match self {
            Self::Root(record) => Some(&record.shares),
            Self::Recovery(_, shares) => Some(shares),
            Self::Beside(record) => record.recovery_shares(),
        }
    }

    /// Shares that have to be brought.
    fn required(&self) -> u8 {
        self.shares().map_or(0, |shares| shares.threshold)
    }

    /// A change before it is not at its end.
    fn is_unfinished(&self) -> bool {
        match self {
            Self::Root(record) => record.sweep || record.next.as_ref().is_some_and(|next| next.confirmed),
            Self::Recovery(record, _) | Self::Beside(record) => {
                record.unfinished || record.next_recovery().is_some_and(|(_, confirmed)| confirmed)
            }
        }
    }
}

impl Barrier {
    pub(super) fn rekeys(&self) -> MutexGuard<'_, Rekeys> {
        self.rekeys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deployment, and what is stored of its shares of the root key.
    async fn shamir(&self) -> Result<(Deployment, ShamirRecord), BarrierError> {
        match self.guarded(Target::Root).await? {
            (deployment, Guarded::Root(record)) => Ok((deployment, record)),
            (_, Guarded::Recovery(..) | Guarded::Beside(_)) => Err(BarrierError::Failed("the shares are of another key".into())),
        }
    }

    async fn guarded(&self, target: Target) -> Result<(Deployment, Guarded), BarrierError> {
        let deployment =
            self.store.deployment().await?.ok_or_else(|| BarrierError::Invalid("Vault is not initialized".into()))?;
        let guarded = match (target, SealRecord::of(&deployment)?) {
            (Target::Root, SealRecord::Shamir(record)) => Guarded::Root(record),
            (Target::Root, SealRecord::Auto(record)) if matches!(self.guard, Guard::Both(_)) && record.beside.is_none() => {
                Guarded::Beside(record)
            }
            (Target::Root, SealRecord::Auto(record)) if record.beside.is_some() => {
                let text = "there are shares beside the seals already; for other ones start without seal \"shamir\", and then with it again";
                return Err(BarrierError::Invalid(text.into()));
            }
            (Target::Root, SealRecord::Auto(_)) => {
                return Err(BarrierError::Invalid(
                    "the root key is with the configured seal, and has no shares: it is changed there; recovery shares are changed with \
                     sys/rotate/recovery (-target=recovery)"
                        .into(),
                ));
            }
            (Target::Recovery, SealRecord::Shamir(_)) => {
                return Err(BarrierError::Invalid("recovery rotation not supported".into()));
            }
            (Target::Recovery, SealRecord::Auto(record)) => {
                if matches!(self.guard, Guard::Recovery(_)) {
                    let text = "a recovery is under way: start without seal \"recovery\" first";
                    return Err(BarrierError::Invalid(text.into()));
                }
                let none = "this deployment was initialised without recovery shares";
                let shares = record.recovery_shares().cloned().ok_or_else(|| BarrierError::Invalid(none.into()))?;
                Guarded::Recovery(record, shares)
            }
        };
        Ok((deployment, guarded))
    }

    pub(super) async fn rekey_status(&self, target: Target) -> Result<Json, BarrierError> {
        let (_, guarded) = self.guarded(target).await?;
        Ok(shown(self.rekeys().of(target).as_ref(), guarded.required()))
    }

    pub(super) async fn start_rekey(&self, target: Target, request: RekeyRequest) -> Result<Json, BarrierError> {
        let (deployment, guarded) = self.guarded(target).await?;
        if guarded.is_unfinished() {
            let what = match target {
                Target::Root => "of the root key",
                Target::Recovery => "of the recovery key or of the seals",
            };
            return Err(BarrierError::Invalid(format!("the last change {what} is still being finished; try again")));
        }
        if guarded.shares().is_none() && request.stranger {
            return Err(BarrierError::Invalid(
                "nobody has shares to bring yet: ask for some with a token, at sys/rotate/root/init".into(),
            ));
        }
        let (begun, nonce) = (request.clone(), crate::random::uuid());
        {
            let mut rekeys = self.rekeys();
            let rekey = rekeys.of(target);
            if rekey.is_some() {
                return Err(BarrierError::Invalid("rotation already in progress".into()));
            }
            *rekey = Some(Rekey { request, nonce: nonce.clone(), gathered: Gathered::default(), verification: None });
            if guarded.shares().is_some() {
                return Ok(shown(rekey.as_ref(), guarded.required()));
            }
        }
        // There is nothing that anybody could bring.
        let given = self.give_out(target, (&deployment, guarded), (None, begun, nonce)).await;
        if given.is_err() {
            self.rekeys().of(target).take();
        }
        given
    }

    pub(super) async fn rekey_share(&self, target: Target, share: &Share) -> Result<Json, BarrierError> {
        let (deployment, guarded) = self.guarded(target).await?;
        let (old, request, nonce) = {
            let mut rekeys = self.rekeys();
            let slot = rekeys.of(target);
            let rekey = slot.as_mut().ok_or_else(none_in_progress)?;
            if rekey.verification.is_some() {
                return Err(BarrierError::Invalid("rotation operation already finished; verification must be performed".into()));
            }
            share.is_for(&rekey.nonce, "rotation")?;
            let sets: Vec<&ShareSet> = guarded.shares().into_iter().collect();
            match rekey.gathered.add(&sets, &share.key)? {
                None => return Ok(shown(slot.as_ref(), guarded.required())),
                Some((_, old)) => (old, rekey.request.clone(), rekey.nonce.clone()),
            }
        };
        self.give_out(target, (&deployment, guarded), (Some(old), request, nonce)).await
    }

    /// Makes the new key, and gives its shares out.
    async fn give_out(
        &self,
        target: Target,
        (deployment, guarded): (&Deployment, Guarded),
        (old, request, nonce): (Option<RootKey>, RekeyRequest, String),
    ) -> Result<Json, BarrierError> {
        let new = NewKey::generate(&guarded, old).ok_or_else(|| BarrierError::Failed("no key was made".into()))?;
        let made = split(&new.split, usize::from(request.shares), usize::from(request.threshold));
        let (set, shares) = made.map_err(|error| BarrierError::Invalid(error.to_string()))?;
        let mut verification_nonce = String::new();
        if request.verify {
            verification_nonce = crate::random::uuid();
            let verification = Verification { nonce: verification_nonce.clone(), gathered: Gathered::default(), new, set };
            if let Some(rekey) = self.rekeys().of(target).as_mut() {
                rekey.verification = Some(verification);
            }
        } else {
            let id = set.id;
            self.store_next(deployment, guarded, &new, set, false).await?;
            self.rekeys().of(target).take();
            // They are given out with this answer.
            self.wake.given_out(id);
        }
        tracing::info!(verification = request.verify, ?target, "shares of a new key were given out");
        Ok(Json::object(|o| {
            o.field("nonce", &nonce).field("complete", &true);
            write_shares(o, ["keys", "keys_base64"], &shares);
            o.null("pgp_fingerprints").field("backup", &false);
            o.field("verification_required", &request.verify).field("verification_nonce", &verification_nonce);
        }))
    }

    pub(super) fn verify_status(&self, target: Target) -> Result<Json, BarrierError> {
        self.rekeys().of(target).as_ref().and_then(verification_shown).ok_or_else(no_configuration)
    }

    pub(super) fn restart_verification(&self, target: Target) -> Result<Json, BarrierError> {
        let mut rekeys = self.rekeys();
        let slot = rekeys.of(target);
        let verification = slot.as_mut().and_then(|rekey| rekey.verification.as_mut()).ok_or_else(no_configuration)?;
        verification.gathered.reset();
        verification.nonce = crate::random::uuid();
        slot.as_ref().and_then(verification_shown).ok_or_else(no_configuration)
    }

    pub(super) async fn verify_share(&self, target: Target, share: &Share) -> Result<Json, BarrierError> {
        let (deployment, guarded) = self.guarded(target).await?;
        let verified = {
            let mut rekeys = self.rekeys();
            let slot = rekeys.of(target);
            let verification = slot.as_mut().and_then(|rekey| rekey.verification.as_mut()).ok_or_else(none_in_progress)?;
            share.is_for(&verification.nonce, "this verify operation")?;
            let Verification { gathered, set, new, .. } = verification;
            let joined = gathered.add(&[set], &share.key)?;
            match joined {
                None => return slot.as_ref().and_then(verification_shown).ok_or_else(no_configuration),
                Some((_, joined)) if !equal(joined.secret().expose(), new.split.secret().expose()) => {
                    return Err(BarrierError::Failed("the new shares do not give the new key".into()));
                }
                Some(_) => {}
            }
            slot.as_mut().and_then(|rekey| rekey.verification.take()).ok_or_else(none_in_progress)?
        };
        let Verification { nonce, new, set, .. } = verified;
        self.store_next(&deployment, guarded, &new, set, true).await?;
        self.rekeys().of(target).take();
        self.wake.ring();
        Ok(Json::object(|o| {
            o.field("nonce", &nonce).field("complete", &true);
        }))
    }

    /// From here on the shares of both root keys open, or every tenant gets a wrap for the new recovery key, too.
    async fn store_next(
        &self,
        deployment: &Deployment,
        guarded: Guarded,
        new: &NewKey,
        set: ShareSet,
        confirmed: bool,
    ) -> Result<(), BarrierError> {
        let record = match (guarded, &new.rest) {
            (Guarded::Root(record), Rest::Root { old }) => {
                SealRecord::Shamir(record.prepare(deployment.id, old, &new.split, set, confirmed))
            }
            (Guarded::Recovery(record, _), Rest::Recovery(public)) => {
                SealRecord::Auto(record.prepare_recovery(set, public, confirmed))
            }
            (Guarded::Beside(record), Rest::Beside) if record.lists().0 == identities(self.guard.seals()) => {
                let beside = Beside::new(deployment.id, self.guard.seals(), &new.split, (set, record.root_number + 1, false));
                SealRecord::Auto(record.beside(Some(beside.await.map_err(BarrierError::Seal)?)))
            }
            _ => return Err(BarrierError::Failed("the seal was changed meanwhile".into())),
        };
        self.replace(deployment, &record).await
    }

    /// Stores the record, unless another server has changed it since it was read.
    async fn replace(&self, deployment: &Deployment, record: &SealRecord) -> Result<(), BarrierError> {
        if self.store.replace_seal(&deployment.seal, &record.bytes()?).await? {
            return Ok(());
        }
        Err(BarrierError::Invalid("the seal is being changed through another server; nothing was changed here".into()))
    }

    /// Somebody has unsealed with shares of the new root key: people have them.
    pub(super) async fn confirm_next(&self) -> Result<(), BarrierError> {
        let (deployment, mut record) = self.shamir().await?;
        if let Some(next) = record.next.as_mut().filter(|next| !next.confirmed) {
            next.confirmed = true;
            self.replace(&deployment, &SealRecord::Shamir(record)).await?;
        }
        self.wake.ring();
        Ok(())
    }
}

fn no_configuration() -> BarrierError {
    BarrierError::Invalid("no rotation configuration found".into())
}

fn shown(rekey: Option<&Rekey>, required: u8) -> Json {
    Json::object(|o| {
        o.field("started", &rekey.is_some()).field("required", &required);
        let request = rekey.map(|rekey| &rekey.request);
        o.field("t", &request.map_or(0, |request| request.threshold)).field("n", &request.map_or(0, |request| request.shares));
        o.field("nonce", rekey.map_or("", |rekey| rekey.nonce.as_str()));
        o.field("progress", &rekey.map_or(0, |rekey| rekey.gathered.count()));
        o.null("pgp_fingerprints").field("backup", &false);
        o.field("verification_required", &request.is_some_and(|request| request.verify));
        let verification = rekey.and_then(|rekey| rekey.verification.as_ref());
        o.field("verification_nonce", verification.map_or("", |verification| verification.nonce.as_str()));
    })
}

fn verification_shown(rekey: &Rekey) -> Option<Json> {
    let verification = rekey.verification.as_ref()?;
    Some(Json::object(|o| {
        o.field("nonce", &verification.nonce).field("started", &true);
        o.field("t", &rekey.request.threshold).field("n", &rekey.request.shares);
        o.field("progress", &verification.gathered.count());
    }))
}
