//! The recovery seal: a public key that every tenant key is wrapped to. The server cannot open what it wraps; people can, who join
//! the shares of the private key that `sys/init` has given out, when all other seals are gone for good.

use async_trait::async_trait;

use super::{Seal, SealError};
use crate::crypto::{RecoveryKey, RecoveryPublicKey, WrapContext};
use crate::secret::SecretBytes;

/// Its name: no other seal may have it.
pub const NAME: &str = "recovery";

/// The recovery key of a deployment.
pub struct RecoverySeal {
    public: RecoveryPublicKey,
    private: Option<RecoveryKey>,
}

impl RecoverySeal {
    /// One that wraps only.
    pub fn closed(public: RecoveryPublicKey) -> Self {
        Self { public, private: None }
    }

    /// One that opens, too.
    pub fn open(public: RecoveryPublicKey, private: RecoveryKey) -> Self {
        Self { public, private: Some(private) }
    }
}

#[async_trait]
impl Seal for RecoverySeal {
    fn name(&self) -> &str {
        NAME
    }

    fn kind(&self) -> &'static str {
        "recovery"
    }

    fn identity(&self) -> String {
        super::identity(NAME, self.kind(), &SecretBytes::new(self.public.bytes().to_vec()))
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
        wrap.ok_or_else(|| SealError::Unavailable { seal: NAME.to_owned(), reason: reason() })
    }

    async fn unwrap(&self, wrap: &[u8], context: &WrapContext) -> Result<SecretBytes, SealError> {
        let opened = self.private.as_ref().and_then(|private| private.unwrap(wrap, context).ok());
        opened.ok_or_else(|| SealError::DoesNotOpen { seal: NAME.to_owned() })
    }
}
