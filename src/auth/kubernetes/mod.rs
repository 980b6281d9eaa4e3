//! Kubernetes: workloads of a cluster log in with the token of their service account.
//!
//! A mount trusts one cluster: by the public keys that its tokens are signed with, by the URL where it publishes them, or by
//! its discovery document. The cluster itself is never asked about a token (`TokenReview`): a token is good until it ends, so
//! one that has no end logs nobody in. How a token is read and verified, and where keys come from: `auth::signed`.
//!
//! Rows of a mount:
//! - `KubernetesConfig`: whom it trusts.
//! - `KubernetesRole`, by name: which service accounts may log in, and what they get.
//!
//! Every login that fails has the same answer; the log says why. TTLs are seconds.

mod account;
mod config;
mod login;
mod operation;
mod role;
mod run;

use crate::answer::Refusal;
use crate::auth::principals::{Listing, Principals};
use crate::commit::Txn;

pub use login::renew;
pub use operation::{Operation, TABLE};
pub use run::{exists, purge, run};

/// The roles of a mount.
pub(super) async fn principals(listing: &Listing<'_>, txn: &mut Txn) -> Result<Principals, Refusal> {
    listing.of::<role::Role>("kubernetes role", txn).await
}
