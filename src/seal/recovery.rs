//! The recovery seal: a public key that every tenant key is wrapped to. The server cannot open what it wraps; people can, who join
//! the shares of the private key that `sys/init` has given out, when all other seals are gone for good.

use async_trait::async_trait;

use super::{Seal, SealError};
use crate::crypto::{RecoveryKey, RecoveryPublicKey, WrapContext};
use crate::secret::SecretBytes;

/// The name that wraps by the recovery key with this number have; the first one is number 0. No other seal may have it.
pub fn name(number: u32) -> String {
    if number == 0 { "recovery".to_owned() } else { format!("recovery-{number}") }
}

/// The recovery key of a deployment.
pub struct RecoverySeal {
    name: String,
    public: RecoveryPublicKey,
    private: Option<RecoveryKey>,
}

impl RecoverySeal {
    /// One that wraps only, with the number that it has among the deployment's.
    pub fn closed(number: u32, public: RecoveryPublicKey) -> Self {
        Self { name: name(number), public, private: None }
    }

    /// One that opens, too.
    pub fn open(number: u32, public: RecoveryPublicKey, private: RecoveryKey) -> Self {
        Self { name: name(number), public, private: Some(private) }
    }
}

#[async_trait]
impl Seal for RecoverySeal {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "recovery"
    }

    fn identity(&self) -> String {
        super::identity(&self.name, self.kind(), &SecretBytes::new(self.public.bytes().to_vec()))
    }

    fn is_local(&self) -> bool {
        self.opens()
    }

    fn opens(&self) -> bool {
        self.private.is_some()
    }

    async fn wrap(&self, plaintext: &SecretBytes, context: &WrapContext) -> Result<Vec<u8>, SealError> {
        let reason = || "its public key is damaged".to_owned();
        let wrap = self.public.wrap(plaintext, context);
        wrap.ok_or_else(|| SealError::Unavailable { seal: self.name.clone(), reason: reason() })
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        let opened = self.private.as_ref().and_then(|private| private.unwrap(wrap, context).ok());
        opened.ok_or_else(|| SealError::DoesNotOpen { seal: self.name.clone() })
    }
}
