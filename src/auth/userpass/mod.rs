//! Userpass: people log in with a name and a password.
//!
//! Rows of a mount, by name in canonical form (`auth::name`):
//! - `User`: the hash of the password, and what holds for its tokens.
//! - `FailedLogins`: how often a login of that name has failed, whether there is such a user or not. It is written in the commit
//!   that refuses, so that guessing from many places at once is counted, too. Expires when it has no meaning any more.
//! - `LastLogin`: when and from where the user logged in last.
//!
//! Every login that fails has the same answer, and costs one hash.

mod failed;
mod login;
mod operation;
mod run;
mod user;

use crate::answer::Refusal;
use crate::auth::principals::{Listing, Principals};
use crate::commit::Txn;

pub use failed::{locked, unlock};
pub use login::renew;
pub use operation::{NewPassword, Operation, TABLE};
pub use run::{exists, purge, run};

/// The users of a mount.
pub(super) async fn principals(listing: &Listing<'_>, txn: &mut Txn) -> Result<Principals, Refusal> {
    let mut found = listing.of::<user::User>("user", txn).await?;
    found.known.iter_mut().for_each(|user| user.admits.alias = Some(user.name.clone()));
    Ok(found)
}
