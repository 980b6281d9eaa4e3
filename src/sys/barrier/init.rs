//! `sys/init`: a new deployment, its root key, its root and edge tenants, and the first token.

use std::sync::Arc;

use async_trait::async_trait;

use super::ceremony::{refuse_pgp, write_shares};
use super::record::{AutoRecord, SealRecord, ShamirRecord};
use super::{Barrier, BarrierError, Brought, Guard};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::token;
use crate::commit::{AnchorsError, Attempt, Seals, Txn, new_tenant};
use crate::crypto::{RecoveryKey, RootKey};
use crate::fields::Fields;
use crate::id::DeploymentId;
use crate::json::Json;
use crate::seal::recovery::RecoverySeal;
use crate::seal::shamir::split;
use crate::seal::{LocalSeal, Seal};
use crate::secret::{SecretBytes, SecretText};
use crate::storage::Deployment;

/// Version of the sealed formats.
const FORMAT: u32 = 1;

/// What `sys/init` asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct InitRequest {
    /// Shares of the root key to make.
    pub shares: u8,
    /// Shares that are needed to unseal.
    pub threshold: u8,
}

/// What is shown once, and never again.
pub struct Initialised {
    /// The shares: of the root key, or recovery shares where the server opens itself.
    shares: Vec<SecretBytes>,
    auto: bool,
    /// The root token.
    pub root_token: SecretText,
}

impl Initialised {
    /// The bare object that clients read.
    pub fn json(&self) -> Json {
        Json::object(|o| {
            let (secret, recovery): (&[_], &[_]) = if self.auto { (&[], &self.shares) } else { (&self.shares, &[]) };
            write_shares(o, ["keys", "keys_base64"], secret);
            if !recovery.is_empty() {
                write_shares(o, ["recovery_keys", "recovery_keys_base64"], recovery);
            }
            o.field("root_token", self.root_token.expose());
        })
    }
}

/// A root key that was just made or found: its guards, what is stored about it, and its shares.
struct NewRoot {
    seals: Vec<Arc<dyn Seal>>,
    record: SealRecord,
    shares: Vec<SecretBytes>,
}

impl InitRequest {
    /// Reads the body. Where the server opens itself the numbers are those of recovery shares, and none is fine.
    pub fn parse(fields: &Fields<'_>, auto: bool) -> Result<Self, Refusal> {
        refuse_pgp(fields, &["pgp_keys", "recovery_pgp_keys", "root_token_pgp_key"])?;
        let number = |name| match fields.integer(name)? {
            None => Ok(0),
            Some(value) => u8::try_from(value).map_err(|_| Refusal::invalid(format!("{name} must be between 1 and 255"))),
        };
        let names = if auto { ["recovery_shares", "recovery_threshold"] } else { ["secret_shares", "secret_threshold"] };
        let [shares, threshold] = names;
        let (shares, threshold) = (number(shares)?, number(threshold)?);
        if auto && shares == 0 && threshold == 0 {
            return Ok(Self { shares, threshold });
        }
        let [name, needed] = names;
        if shares == 0 || threshold == 0 {
            return Err(Refusal::invalid(format!("{name} and {needed} must be at least 1")));
        }
        if threshold > shares {
            return Err(Refusal::invalid(format!("{needed} must not be larger than {name}")));
        }
        if threshold == 1 && shares > 1 {
            return Err(Refusal::invalid(format!("{needed} must be at least 2 when there is more than one share")));
        }
        Ok(Self { shares, threshold })
    }
}

impl Barrier {
    /// Whether the server opens itself.
    pub fn opens_itself(&self) -> bool {
        self.guard.opening().is_some()
    }

    /// Makes the deployment. `root_token` is chosen by `server --dev` only. A server that opens itself is open
    /// afterwards; one with shares is sealed.
    pub async fn initialise(&self, request: &InitRequest, root_token: Option<SecretText>) -> Result<Initialised, BarrierError> {
        let _alone = self.changing.lock().await;
        if self.store.deployment().await?.is_some() {
            return Err(BarrierError::Invalid("Vault is already initialized".into()));
        }
        // An emptied database is one that was put back, too.
        self.settings.anchors.begins().await.map_err(|error| match error {
            // Nobody can tell now.
            AnchorsError::Storage(..) => BarrierError::Keys(error.into()),
            error => BarrierError::Invalid(error.to_string()),
        })?;
        let NewRoot { seals, record, shares } = self.root_key(request)?;
        self.create(&seals, record.bytes()?).await?;
        let list = match (&self.guard, &record) {
            // The private recovery key has seen its wraps open, and is out of memory from here on.
            (Guard::Auto(seals) | Guard::Both(seals), SealRecord::Auto(record)) => record.with_recovery(seals.clone()),
            _ => seals,
        };
        self.enter(Seals { epoch: 0, list }, Brought::default()).await?;
        let root_token = self.another_root_token(root_token, "a root token was made").await;
        if matches!(self.guard, Guard::Shamir) {
            self.close().await;
        }
        Ok(Initialised { shares, auto: self.opens_itself(), root_token: root_token? })
    }

    /// Makes a root token, with an event of its own. For `initialise`, and for a development server that is started
    /// again with another token, and for people with key shares. `why` is what the event says.
    pub async fn another_root_token(&self, id: Option<SecretText>, why: &'static str) -> Result<SecretText, BarrierError> {
        let open = self.open().ok_or_else(|| BarrierError::Invalid("Vault is sealed".into()))?;
        let mint = Arc::new(MintRootToken { id, why, minted: std::sync::Mutex::default() });
        let minted = open.committer().run(Arc::clone(&mint) as Arc<dyn Attempt>).await;
        minted.map_err(|refusal| BarrierError::Failed(format!("the root token was not made: {refusal:?}")))?;
        let token = mint.minted.lock().ok().and_then(|mut minted| minted.take());
        token.ok_or_else(|| BarrierError::Failed("the root token was not made".into()))
    }

    /// The key that guards the deployment.
    fn root_key(&self, request: &InitRequest) -> Result<NewRoot, BarrierError> {
        let shares_of = |root: &RootKey| {
            let made = split(root, usize::from(request.shares), usize::from(request.threshold));
            made.map_err(|error| BarrierError::Invalid(error.to_string()))
        };
        match &self.guard {
            Guard::Auto(seals) | Guard::Both(seals) => {
                if request.shares == 0 {
                    let record = SealRecord::Auto(AutoRecord::first(seals, None));
                    return Ok(NewRoot { seals: seals.clone(), record, shares: Vec::new() });
                }
                // Shares of the recovery key: they open everything when the seals are gone, and prove who may ask for a root token.
                let failed = || BarrierError::Failed("no recovery key was made".into());
                let (private, public) = RecoveryKey::generate().ok_or_else(failed)?;
                let (set, shares) = shares_of(&private.to_split().ok_or_else(failed)?)?;
                let record = SealRecord::Auto(AutoRecord::first(seals, Some((set, public))));
                let recovery: Arc<dyn Seal> = Arc::new(RecoverySeal::open(0, public, private));
                Ok(NewRoot { seals: seals.iter().cloned().chain([recovery]).collect(), record, shares })
            }
            Guard::Recovery(_) => {
                let text = "the configuration is one for a recovery: remove seal \"recovery\" to initialise";
                Err(BarrierError::Invalid(text.into()))
            }
            Guard::Shamir => {
                let root = RootKey::generate();
                let (set, shares) = shares_of(&root)?;
                let seals: Vec<Arc<dyn Seal>> = vec![Arc::new(LocalSeal::shamir("shamir", root))];
                Ok(NewRoot { seals, record: SealRecord::Shamir(ShamirRecord::first(set)), shares })
            }
        }
    }

    /// Every seal has opened its wraps before anything is written.
    async fn create(&self, seals: &[Arc<dyn Seal>], record: Vec<u8>) -> Result<(), BarrierError> {
        let id = DeploymentId::random();
        let refused = |(_, error)| BarrierError::Seal(error);
        let (root, _) = new_tenant(seals, id, None).await.map_err(refused)?;
        let (edge, _) = new_tenant(seals, id, None).await.map_err(refused)?;
        let deployment = Deployment { id, root: root.id, edge: edge.id, dev: self.settings.dev, seal: record, format: FORMAT };
        if self.store.initialise(&deployment, &[root, edge]).await? {
            Ok(())
        } else {
            Err(BarrierError::Invalid("Vault is already initialized".into()))
        }
    }
}

/// Puts the first token into the root tenant, with an event like every other change.
struct MintRootToken {
    id: Option<SecretText>,
    why: &'static str,
    minted: std::sync::Mutex<Option<SecretText>>,
}

#[async_trait]
impl Attempt for MintRootToken {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let token = token::root_token(txn, &root, self.id.as_ref()).await?;
        if let Ok(mut minted) = self.minted.lock() {
            *minted = Some(token);
        }
        let event = Event::of_job(txn.now(), root.id(), Word::new("init"), self.why.to_owned());
        txn.conclude(&root, &event, false);
        Ok(Answer::Empty)
    }
}
