//! `AppRole`: machines log in with the id of a role and a secret id that was given out for it.
//!
//! Rows of a mount:
//! - `AppRole`, by name: the role. It has an inner id besides its role id: what belongs to a deleted role is not found any
//!   more, also when there is another one of that name.
//! - `RoleId`, by role id: the name of the role.
//! - `SecretId`, under the role's inner id, by keyed hash: all about it but its text, which is stored nowhere. It is read at
//!   each login, and a counted use is written in the same commit, so that it is used as often as it may be.
//! - `SecretIdAccessor`, listed under the inner id, by accessor: the hash. Both expire with the secret id.
//! - `RoleRemains`, owned by the tenant: that there may be secret ids of a deleted role left, for the jobs.
//!
//! Names are canonical (`auth::name`); times are whole seconds. Every login that fails has the same answer.

mod login;
mod operation;
mod remains;
mod role;
mod run;
mod secret_id;
mod setting;

use crate::answer::Refusal;
use crate::auth::principals::{Listing, Principals};
use crate::commit::Txn;

pub use login::renew;
pub use operation::{Operation, TABLE};
pub use remains::{clear, purge};
pub use run::{exists, run};

/// The roles of a mount.
pub(super) async fn principals(listing: &Listing<'_>, txn: &mut Txn) -> Result<Principals, Refusal> {
    listing.of::<role::Role>("approle role", txn).await
}
