//! Logins by client certificate: `auth/cert/`, and requests that need no token besides one.
//!
//! TLS has proven that the connection holds the certificate's key (`cert::Presented`). A role says whom it trusts, and which
//! names such a certificate must carry (`role`, `constraints`); `matching` finds the roles of a mount that take one, which
//! `run` lets in with a token, and `tokenless` without. Revocation lists and the mount's list of refused certificates are
//! records: all of them are read at each use, so a change counts from the next request on. The list of refused certificates is
//! read at each use of a token, too, that was logged in with one.
//!
//! Rows, owned by the mount and listed flat: `CertRole` and `CertCrl` by name, and the one `CertConfig`.

mod config;
mod constraints;
mod crl;
mod matching;
mod operation;
mod role;
mod run;
mod tokenless;

use crate::answer::Refusal;
use crate::auth::principals::{Listing, Principals};
use crate::commit::Txn;

pub use config::denies;
pub use operation::{Operation, TABLE};
pub use run::{exists, purge, renew, run};
pub use tokenless::{Shown, caller};

/// The roles of a mount.
pub(super) async fn principals(listing: &Listing<'_>, txn: &mut Txn) -> Result<Principals, Refusal> {
    listing.of::<role::CertRole>("cert role", txn).await
}
