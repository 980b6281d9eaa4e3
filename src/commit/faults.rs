//! Why a tenant's keys are not open, or its rows not to be had; and what clients are told of that. Details are for the operator's log.

use super::anchors::AnchorsError;
use super::log::LoadError;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::seal::SealError;
use crate::storage::StoreError;

/// Why a tenant's keys are not open.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Every seal that wraps the tenant's key failed; the last one's reason.
    #[error("no seal opens the key of tenant {0}: {1}")]
    Seal(TenantId, SealError),
    /// It has wraps of other seals only.
    #[error("no seal opens the key of tenant {0}: none of the configured seals has wrapped it")]
    Unwrapped(TenantId),
    /// The key that was unwrapped is not the one that its parent committed to, or the keyring does not open with it.
    #[error("the keys of tenant {0} do not open: they were changed, or rolled back to older ones")]
    Damaged(TenantId),
    /// Its key was renewed after its parent's record of it was read.
    #[error("the key of tenant {0} is a newer one than its parent knows")]
    Renewed(TenantId),
    /// Its log does not verify.
    #[error(transparent)]
    Log(#[from] LoadError),
    /// There is no such tenant in the store, or its keys are destroyed.
    #[error("tenant {0} is not there, or erased")]
    Gone(TenantId),
    /// Its log is not the one that was signed.
    #[error(
        "rolled back: the store does not have the {1} events that were signed in the log of tenant {0}; put back the newer state, \
         or give up what is missing: strongroom audit accept-rollback --anchors FILE"
    )]
    RolledBack(TenantId, u64),
    /// Its log could not be read.
    #[error("the log of tenant {0} could not be held against its anchor")]
    Unproven(TenantId),
    /// The anchors.
    #[error(transparent)]
    Anchors(#[from] AnchorsError),
    /// The store has no deployment yet.
    #[error("the deployment is not initialised")]
    Uninitialised,
}

impl KeyError {
    /// Whether it may pass by itself.
    pub fn is_outage(&self) -> bool {
        match self {
            // The last two until somebody does something about it; meanwhile the server stays up, and sealed.
            Self::Store(_) | Self::Unproven(_) | Self::RolledBack(..) | Self::Anchors(_) => true,
            Self::Seal(_, error) => error.is_outage(),
            _ => false,
        }
    }
}

/// What a client is told when a tenant's keys are not to be had.
pub(super) fn key_refusal(error: KeyError) -> Refusal {
    match error {
        KeyError::Store(error) => store_refusal(&error),
        KeyError::Seal(_, ref cause) => {
            tracing::warn!(%error, "a tenant's key cannot be opened now");
            seal_refusal(cause)
        }
        KeyError::Unwrapped(_) => {
            tracing::error!(%error, "a tenant's key cannot be opened");
            Refusal::Unavailable("kms unavailable: none of the configured seals has wrapped the key".into())
        }
        KeyError::Renewed(_) => Refusal::Unavailable("the namespace's key was renewed just now; try again".into()),
        KeyError::RolledBack(..) => Refusal::RolledBack,
        KeyError::Gone(_) => Refusal::NoToken,
        KeyError::Damaged(_) | KeyError::Log(_) | KeyError::Uninitialised | KeyError::Unproven(_) | KeyError::Anchors(_) => {
            tracing::error!(%error, "a tenant does not load");
            Refusal::Internal("the tenant's stored keys or log do not verify".into())
        }
    }
}

/// What a client is told when a seal does not do what it was asked.
pub(super) fn seal_refusal(error: &SealError) -> Refusal {
    Refusal::Unavailable(format!("kms unavailable: {}", error.told()))
}

/// What a client is told when the store fails. Details go to the operator's log.
pub(super) fn store_refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::Conflict(_) => {
            tracing::warn!(%error, "the store is unavailable");
            Refusal::Unavailable("storage is unavailable; nothing was changed".into())
        }
        StoreError::Fenced(_) => Refusal::Unavailable("another server does this now".into()),
        _ => {
            tracing::error!(%error, "the store failed");
            Refusal::Internal("the store failed; the server's log says why".into())
        }
    }
}
