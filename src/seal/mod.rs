//! Seals: who guards a root key. A seal wraps tenant keys and unwraps them; what it wraps is bound to a `WrapContext`.
//!
//! One foreign system per file. Must not know stores or requests. A seal that talks to another system tells an explicit
//! refusal from an outage: a refusal drops the keyring at once, only an outage is waited out.

pub mod aws_kms;
pub mod breaker;
pub mod pkcs11;
pub mod recovery;
pub mod shamir;
pub mod static_key;
pub mod transit;

use std::sync::Arc;

use async_trait::async_trait;

use crate::crypto::{RootKey, WrapContext, keyed_hash};
use crate::secret::SecretBytes;
use crate::time::Timestamp;

/// Why a seal did not do what it was asked. Texts are for the operator and never hold key material.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The guardian of the root key said no: key disabled, pending deletion, or no permission. Everything opened with it is
    /// dropped at once.
    #[error("seal {seal} refuses: {reason}")]
    Refused {
        /// The seal's name.
        seal: String,
        /// What the guardian said.
        reason: String,
    },
    /// The guardian cannot be asked now: network, time-out, overload. Waited out for a bounded time.
    #[error("seal {seal} is not available: {reason}")]
    Unavailable {
        /// The seal's name.
        seal: String,
        /// What happened.
        reason: String,
    },
    /// The wrap is not of this root key, or not of this tenant and generation, or damaged: which of them cannot be told, and
    /// trying again does not help.
    #[error("seal {seal}: the wrapped key does not open with it")]
    DoesNotOpen {
        /// The seal's name.
        seal: String,
    },
}

impl SealError {
    /// True when trying again later may succeed; false when opened keyrings must go now.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// What a client is told: which seal and which kind of trouble. What the guardian said may name accounts and keys of the
    /// operator, and is for the log.
    pub fn told(&self) -> String {
        match self {
            Self::Refused { seal, .. } => format!("seal {seal} refuses the key"),
            Self::Unavailable { seal, .. } => format!("seal {seal} does not answer"),
            Self::DoesNotOpen { seal } => format!("the key does not open with seal {seal}"),
        }
    }
}

/// What a guardian says of a key that is to be destroyed, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFate {
    /// `Enabled`, `PendingDeletion`, ..
    pub state: String,
    /// When it destroys the key, if it will.
    pub deletion: Option<Timestamp>,
}

/// Why a seal cannot be set up: the operator's to mend. Holds no secret.
#[derive(Debug, thiserror::Error)]
#[error("seal {seal}: {problem}")]
pub struct SetupError {
    /// The seal's name.
    pub seal: String,
    /// What is wrong.
    pub problem: String,
}

/// Who guards a root key.
#[async_trait]
pub trait Seal: Send + Sync {
    /// The name that the configuration gives it.
    fn name(&self) -> &str;

    /// The type in the configuration and in `sys/seal-status`: `static`, `shamir`, ...
    fn kind(&self) -> &'static str;

    /// Tells this root key from every other one, and says nothing about it: stored in the clear.
    fn identity(&self) -> String;

    /// True when the root key is in this process: it can neither refuse nor be away, and asking it again says nothing.
    fn is_local(&self) -> bool {
        false
    }

    /// The same guardian with another key, for a tenant of its own. None when it has none, or its configuration does not allow
    /// this one.
    fn with_key(&self, _key_id: &str) -> Option<Arc<dyn Seal>> {
        None
    }

    /// Has the guardian destroy the key of this seal after `days`, if it is one of `with_key`. One that is to be destroyed already stays as it
    /// is: asking twice does no harm.
    async fn destroy_key(&self, _days: u32) -> Result<KeyFate, SealError> {
        Err(self.destroys_nothing())
    }

    /// What the guardian says of the key.
    async fn key_fate(&self) -> Result<KeyFate, SealError> {
        Err(self.destroys_nothing())
    }

    /// What those answer that do not offer it.
    fn destroys_nothing(&self) -> SealError {
        SealError::Refused { seal: self.name().to_owned(), reason: "it does not offer the destruction of keys".to_owned() }
    }

    /// False for one that only people with shares can have opened: it wraps, and is not asked to open.
    fn opens(&self) -> bool {
        true
    }

    /// False when it was away the last time: others are asked before it.
    fn is_well(&self) -> bool {
        true
    }

    /// Encrypts a tenant key under the root key, bound to `context`.
    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError>;

    /// Decrypts what `wrap` made with an equal `context`.
    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError>;
}

/// The text of an identity: the seal's name, and a hash of what it is.
fn identity(name: &str, kind: &str, of: &SecretBytes) -> String {
    let hash = keyed_hash(of, &[b"strongroom v1 seal identity", kind.as_bytes()]);
    let short: String = data_encoding::HEXLOWER.encode(&hash).chars().take(16).collect();
    format!("{name} {short}")
}

/// Why a call to another system came to nothing, before the seal's name is put to it.
#[derive(Debug)]
enum Failure {
    /// It was asked and said no.
    Refused(String),
    /// It was not asked, or gave no answer that is one.
    Away(String),
    /// The wrap is of no use.
    Unfit,
}

impl Failure {
    fn of(self, seal: &str) -> SealError {
        let seal = seal.to_owned();
        match self {
            Self::Refused(reason) => SealError::Refused { seal, reason: printable(&reason) },
            Self::Away(reason) => SealError::Unavailable { seal, reason: printable(&reason) },
            Self::Unfit => SealError::DoesNotOpen { seal },
        }
    }
}

/// What somebody else wrote, fit for one line of a log.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(400).collect()
}

/// A seal whose root key is in memory: read from a key file, or joined from shares.
pub struct LocalSeal {
    name: String,
    kind: &'static str,
    root: RootKey,
    /// The key before: it opens, and wraps nothing.
    previous: Option<RootKey>,
}

impl LocalSeal {
    /// The root key of a static key file.
    pub fn static_key(name: impl Into<String>, root: RootKey) -> Self {
        Self { name: name.into(), kind: "static", root, previous: None }
    }

    /// The same, which also opens what `previous` wrapped.
    #[must_use]
    pub fn opening_also(self, previous: RootKey) -> Self {
        Self { previous: Some(previous), ..self }
    }

    /// The root key that enough shares gave.
    pub fn shamir(name: impl Into<String>, root: RootKey) -> Self {
        Self { name: name.into(), kind: "shamir", root, previous: None }
    }
}

#[async_trait]
impl Seal for LocalSeal {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn identity(&self) -> String {
        identity(&self.name, self.kind, &self.root.secret())
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError> {
        Ok(self.root.wrap(plaintext, context))
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        let opened = self.root.unwrap(wrap, context).ok();
        let opened = opened.or_else(|| self.previous.as_ref().and_then(|previous| previous.unwrap(wrap, context).ok()));
        opened.ok_or_else(|| SealError::DoesNotOpen { seal: self.name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{DeploymentId, TenantId};

    #[tokio::test]
    async fn a_local_seal_opens_its_own_wraps_in_their_place() {
        let (here, there) = (LocalSeal::static_key("here", RootKey::generate()), LocalSeal::shamir("there", RootKey::generate()));
        let context = WrapContext { deployment: DeploymentId([1; 16]), tenant: TenantId([2; 16]), generation: 1 };
        let secret = SecretBytes::new(vec![7; 32]);
        let wrap = here.wrap(&secret, &context).await.unwrap();
        assert_eq!(here.unwrap(&wrap, &context).await.ok().unwrap().expose(), secret.expose());
        let other = WrapContext { generation: 2, ..context };
        for refused in [there.unwrap(&wrap, &context).await, here.unwrap(&wrap, &other).await] {
            let error = refused.err().unwrap();
            assert!(matches!(error, SealError::DoesNotOpen { .. }) && !error.is_outage(), "{error}");
        }
        assert_ne!(here.identity(), LocalSeal::static_key("here", RootKey::generate()).identity());
        let changed = LocalSeal::static_key("there", RootKey::generate()).opening_also(there.root);
        let old = RootKey::from_secret(&changed.previous.as_ref().unwrap().secret()).unwrap();
        let wrap = old.wrap(&secret, &context);
        assert_eq!(changed.unwrap(&wrap, &context).await.ok().unwrap().expose(), secret.expose());
        assert!(old.unwrap(&changed.wrap(&secret, &context).await.unwrap(), &context).is_err(), "the key before wraps nothing");
        let there = changed;
        assert_eq!((here.kind(), there.kind(), there.name()), ("static", "static", "there"));
    }
}
