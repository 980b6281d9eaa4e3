//! `sys/init`: a new deployment, its root key, its root and edge tenants, and the first token.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Barrier, BarrierError, Guard, SealRecord};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::token;
use crate::commit::{Attempt, Txn, new_tenant};
use crate::crypto::RootKey;
use crate::fields::Fields;
use crate::id::DeploymentId;
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
    /// The shares; none where the server opens itself.
    pub shares: Vec<SecretBytes>,
    /// The root token.
    pub root_token: SecretText,
}

/// A root key that was just made or found: its guard, what is stored about it, and its shares.
struct NewRoot {
    seal: Arc<dyn Seal>,
    record: SealRecord,
    shares: Vec<SecretBytes>,
}

impl InitRequest {
    /// Reads the body. Numbers of recovery shares are accepted and unused where the server opens itself.
    pub fn parse(fields: &Fields<'_>, auto: bool) -> Result<Self, Refusal> {
        for encrypted in ["pgp_keys", "recovery_pgp_keys"] {
            if fields.list(encrypted)?.is_some_and(|keys| !keys.is_empty()) {
                return Err(Refusal::invalid(format!("unsupported: {encrypted}; take the shares over a trusted connection")));
            }
        }
        if fields.text("root_token_pgp_key")?.is_some_and(|key| !key.is_empty()) {
            return Err(Refusal::invalid("unsupported: root_token_pgp_key"));
        }
        if auto {
            return Ok(Self { shares: 0, threshold: 0 });
        }
        let number = |name| match fields.integer(name)? {
            None => Ok(0),
            Some(value) => u8::try_from(value).map_err(|_| Refusal::invalid(format!("{name} must be between 1 and 255"))),
        };
        let (shares, threshold) = (number("secret_shares")?, number("secret_threshold")?);
        if shares == 0 || threshold == 0 {
            return Err(Refusal::invalid("secret_shares and secret_threshold must be at least 1"));
        }
        if threshold > shares {
            return Err(Refusal::invalid("secret_threshold must not be larger than secret_shares"));
        }
        if threshold == 1 && shares > 1 {
            return Err(Refusal::invalid("secret_threshold must be at least 2 when there is more than one share"));
        }
        Ok(Self { shares, threshold })
    }
}

impl Barrier {
    /// Whether the server opens itself.
    pub fn opens_itself(&self) -> bool {
        matches!(self.guard, Guard::Auto(_))
    }

    /// Makes the deployment. `root_token` is chosen by `server --dev` only. A server that opens itself is open
    /// afterwards; one with shares is sealed.
    pub async fn initialise(&self, request: &InitRequest, root_token: Option<SecretText>) -> Result<Initialised, BarrierError> {
        let _alone = self.changing.lock().await;
        if self.store.deployment().await?.is_some() {
            return Err(BarrierError::Invalid("Vault is already initialized".into()));
        }
        let NewRoot { seal, record, shares } = self.root_key(request)?;
        let record = serde_json::to_vec(&record).map_err(|error| BarrierError::Failed(error.to_string()))?;
        self.create(&seal, record).await?;
        self.enter(seal).await?;
        let root_token = self.another_root_token(root_token).await;
        if matches!(self.guard, Guard::Shamir) {
            self.close().await;
        }
        Ok(Initialised { shares, root_token: root_token? })
    }

    /// Makes a root token, with an event of its own. For `initialise`, and for a development server that is started
    /// again with another token; nobody can ask for it over the API.
    pub async fn another_root_token(&self, id: Option<SecretText>) -> Result<SecretText, BarrierError> {
        let open = self.open().ok_or_else(|| BarrierError::Invalid("Vault is sealed".into()))?;
        let mint = Arc::new(MintRootToken { id, minted: std::sync::Mutex::default() });
        let minted = open.committer().run(Arc::clone(&mint) as Arc<dyn Attempt>).await;
        minted.map_err(|refusal| BarrierError::Failed(format!("the root token was not made: {refusal:?}")))?;
        let token = mint.minted.lock().ok().and_then(|mut minted| minted.take());
        token.ok_or_else(|| BarrierError::Failed("the root token was not made".into()))
    }

    /// The key that guards the deployment.
    fn root_key(&self, request: &InitRequest) -> Result<NewRoot, BarrierError> {
        match &self.guard {
            Guard::Auto(seal) => {
                Ok(NewRoot { seal: Arc::clone(seal) as Arc<dyn Seal>, record: SealRecord::Static, shares: Vec::new() })
            }
            Guard::Shamir => {
                let root = RootKey::generate();
                let made = split(&root, usize::from(request.shares), usize::from(request.threshold));
                let (set, shares) = made.map_err(|error| BarrierError::Invalid(error.to_string()))?;
                let seal: Arc<dyn Seal> = Arc::new(LocalSeal::shamir("shamir", root));
                Ok(NewRoot { seal, record: SealRecord::Shamir { shares: set }, shares })
            }
        }
    }

    async fn create(&self, seal: &Arc<dyn Seal>, record: Vec<u8>) -> Result<(), BarrierError> {
        let id = DeploymentId::random();
        let seals = [Arc::clone(seal)];
        let refused = |(_, error)| BarrierError::Failed(format!("the seal does not wrap: {error}"));
        let (root, _) = new_tenant(&seals, id, None).await.map_err(refused)?;
        let (edge, _) = new_tenant(&seals, id, None).await.map_err(refused)?;
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
    minted: std::sync::Mutex<Option<SecretText>>,
}

#[async_trait]
impl Attempt for MintRootToken {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = Arc::clone(txn.tenants().root());
        let token = token::root_token(txn, &root, self.id.as_ref()).await?;
        if let Ok(mut minted) = self.minted.lock() {
            *minted = Some(token);
        }
        let event = Event::of_job(txn.now(), root.id(), Word::new("init"), "a root token was made".to_owned());
        txn.conclude(&root, &event, false);
        Ok(Answer::Empty)
    }
}
