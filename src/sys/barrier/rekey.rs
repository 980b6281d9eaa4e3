//! Changing the root key: people bring shares of the one of now, and get shares of a new one.
//!
//! From then on both open everything, until every tenant is wrapped by the new one alone (`keeper.rs`). With verification
//! nothing is stored before people have brought enough of the new shares, so shares that got lost on their way cost nothing.

use std::sync::{MutexGuard, PoisonError};

use super::ceremony::{Share, refuse_pgp, write_shares};
use super::gathered::Gathered;
use super::record::{SealRecord, ShamirRecord};
use super::{Barrier, BarrierError};
use crate::answer::Refusal;
use crate::crypto::{RootKey, equal};
use crate::fields::Fields;
use crate::json::Json;
use crate::seal::shamir::{ShareSet, split};
use crate::storage::Deployment;

/// What a change of the root key asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct RekeyRequest {
    shares: u8,
    threshold: u8,
    verify: bool,
}

/// A change that is under way.
pub(super) struct Rekey {
    request: RekeyRequest,
    nonce: String,
    gathered: Gathered,
    verification: Option<Verification>,
}

/// A new root key that is not stored yet.
struct Verification {
    nonce: String,
    gathered: Gathered,
    old: RootKey,
    new: RootKey,
    set: ShareSet,
}

impl RekeyRequest {
    /// Reads the body.
    pub fn parse(fields: &Fields<'_>) -> Result<Self, Refusal> {
        refuse_pgp(fields, &["pgp_keys"])?;
        let number = |name: &str| fields.integer(name).map(|number| number.unwrap_or(0));
        let (shares, threshold) = (number("secret_shares")?, number("secret_threshold")?);
        let problem = match (shares, threshold) {
            (i64::MIN..=0, _) => Some("shares must be at least one"),
            (_, i64::MIN..=0) => Some("threshold must be at least one"),
            (256.., _) => Some("shares must be less than 256"),
            (shares, threshold) if threshold > shares => Some("threshold cannot be larger than shares"),
            (2.., 1) => Some("threshold must be greater than one for multiple shares"),
            _ => None,
        };
        match (problem, u8::try_from(shares), u8::try_from(threshold)) {
            (None, Ok(shares), Ok(threshold)) => {
                Ok(Self { shares, threshold, verify: fields.boolean("require_verification")?.unwrap_or(false) })
            }
            (problem, ..) => Err(Refusal::invalid(format!("invalid shares: {}", problem.unwrap_or("out of range")))),
        }
    }
}

fn none_in_progress() -> BarrierError {
    BarrierError::Invalid("no rotation in progress".into())
}

impl Barrier {
    pub(super) fn rekey(&self) -> MutexGuard<'_, Option<Rekey>> {
        self.rekey.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deployment, and what is stored of its shares.
    async fn shamir(&self) -> Result<(Deployment, ShamirRecord), BarrierError> {
        let deployment =
            self.store.deployment().await?.ok_or_else(|| BarrierError::Invalid("Vault is not initialized".into()))?;
        match SealRecord::of(&deployment)? {
            SealRecord::Shamir(record) => Ok((deployment, record)),
            SealRecord::Auto(_) => Err(BarrierError::Invalid(
                "the root key is with the configured seal, and has no shares: it is changed there".into(),
            )),
        }
    }

    pub(super) async fn rekey_status(&self) -> Result<Json, BarrierError> {
        let (_, record) = self.shamir().await?;
        Ok(shown(self.rekey().as_ref(), record.shares.threshold))
    }

    pub(super) async fn start_rekey(&self, request: RekeyRequest) -> Result<Json, BarrierError> {
        let (_, record) = self.shamir().await?;
        if record.sweep || record.next.as_ref().is_some_and(|next| next.confirmed) {
            return Err(BarrierError::Invalid("the last change of the root key is still being finished; try again".into()));
        }
        let mut rekey = self.rekey();
        if rekey.is_some() {
            return Err(BarrierError::Invalid("rotation already in progress".into()));
        }
        *rekey = Some(Rekey { request, nonce: crate::random::uuid(), gathered: Gathered::default(), verification: None });
        Ok(shown(rekey.as_ref(), record.shares.threshold))
    }

    pub(super) async fn rekey_share(&self, share: &Share) -> Result<Json, BarrierError> {
        let (deployment, record) = self.shamir().await?;
        let (old, request, nonce) = {
            let mut slot = self.rekey();
            let rekey = slot.as_mut().ok_or_else(none_in_progress)?;
            if rekey.verification.is_some() {
                return Err(BarrierError::Invalid("rotation operation already finished; verification must be performed".into()));
            }
            share.is_for(&rekey.nonce, "rotation")?;
            match rekey.gathered.add(&[&record.shares], &share.key)? {
                None => return Ok(shown(slot.as_ref(), record.shares.threshold)),
                Some((_, old)) => {
                    let RekeyRequest { shares, threshold, verify } = rekey.request;
                    (old, RekeyRequest { shares, threshold, verify }, rekey.nonce.clone())
                }
            }
        };
        let new = RootKey::generate();
        let made = split(&new, usize::from(request.shares), usize::from(request.threshold));
        let (set, shares) = made.map_err(|error| BarrierError::Invalid(error.to_string()))?;
        let mut verification_nonce = String::new();
        if request.verify {
            verification_nonce = crate::random::uuid();
            let verification = Verification { nonce: verification_nonce.clone(), gathered: Gathered::default(), old, new, set };
            if let Some(rekey) = self.rekey().as_mut() {
                rekey.verification = Some(verification);
            }
        } else {
            let id = set.id;
            self.store_next(&deployment, record, (&old, &new, set), false).await?;
            self.rekey().take();
            // They are given out with this answer.
            self.wake.given_out(id);
        }
        tracing::info!(verification = request.verify, "shares of a new root key were given out");
        Ok(Json::object(|o| {
            o.field("nonce", &nonce).field("complete", &true);
            write_shares(o, ["keys", "keys_base64"], &shares);
            o.null("pgp_fingerprints").field("backup", &false);
            o.field("verification_required", &request.verify).field("verification_nonce", &verification_nonce);
        }))
    }

    pub(super) fn verify_status(&self) -> Result<Json, BarrierError> {
        self.rekey().as_ref().and_then(verification_shown).ok_or_else(no_configuration)
    }

    pub(super) fn restart_verification(&self) -> Result<Json, BarrierError> {
        let mut slot = self.rekey();
        let verification = slot.as_mut().and_then(|rekey| rekey.verification.as_mut()).ok_or_else(no_configuration)?;
        verification.gathered.reset();
        verification.nonce = crate::random::uuid();
        slot.as_ref().and_then(verification_shown).ok_or_else(no_configuration)
    }

    pub(super) async fn verify_share(&self, share: &Share) -> Result<Json, BarrierError> {
        let (deployment, record) = self.shamir().await?;
        let verified = {
            let mut slot = self.rekey();
            let verification = slot.as_mut().and_then(|rekey| rekey.verification.as_mut()).ok_or_else(none_in_progress)?;
            share.is_for(&verification.nonce, "this verify operation")?;
            let Verification { gathered, set, new, .. } = verification;
            let joined = gathered.add(&[set], &share.key)?;
            match joined {
                None => return slot.as_ref().and_then(verification_shown).ok_or_else(no_configuration),
                Some((_, joined)) if !equal(joined.secret().expose(), new.secret().expose()) => {
                    return Err(BarrierError::Failed("the new shares do not give the new root key".into()));
                }
                Some(_) => {}
            }
            slot.as_mut().and_then(|rekey| rekey.verification.take()).ok_or_else(none_in_progress)?
        };
        let Verification { nonce, old, new, set, .. } = verified;
        self.store_next(&deployment, record, (&old, &new, set), true).await?;
        self.rekey().take();
        self.wake.ring();
        Ok(Json::object(|o| {
            o.field("nonce", &nonce).field("complete", &true);
        }))
    }

    /// From here on the shares of both root keys open.
    async fn store_next(
        &self,
        deployment: &Deployment,
        record: ShamirRecord,
        (old, new, set): (&RootKey, &RootKey, ShareSet),
        confirmed: bool,
    ) -> Result<(), BarrierError> {
        let record = record.prepare(deployment.id, old, new, set, confirmed);
        self.replace(deployment, record).await
    }

    /// Stores the record, unless another server has changed it since it was read.
    async fn replace(&self, deployment: &Deployment, record: ShamirRecord) -> Result<(), BarrierError> {
        if self.store.replace_seal(&deployment.seal, &SealRecord::Shamir(record).bytes()?).await? {
            return Ok(());
        }
        Err(BarrierError::Invalid("the root key is being changed through another server; nothing was changed here".into()))
    }

    /// Somebody has unsealed with shares of the new root key: people have them.
    pub(super) async fn confirm_next(&self) -> Result<(), BarrierError> {
        let (deployment, mut record) = self.shamir().await?;
        if let Some(next) = record.next.as_mut().filter(|next| !next.confirmed) {
            next.confirmed = true;
            self.replace(&deployment, record).await?;
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
