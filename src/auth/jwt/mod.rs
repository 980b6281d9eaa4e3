//! JWT and OIDC: people and machines log in with a token that somebody else has signed.
//!
//! A mount trusts one issuer: by public keys that were configured, by a URL where it publishes them (JWKS), or by its
//! discovery document. A role of kind `jwt` takes the token itself; one of kind `oidc` sends a browser to the issuer and
//! fetches the token there (authorization code with PKCE). Both kinds exist in both mount types.
//!
//! Rows of a mount:
//! - `JwtConfig`: whom it trusts. `OidcClientSecret` stands apart, because it is never kept open.
//! - `JwtRole`, by name: who may log in, and what they get.
//! - `OidcSpent`, by keyed hash: that the state of a browser's login was used. Expires with the state, which is stored
//!   nowhere: who begins a login leaves no row.
//!
//! How a token is read and verified, and where keys come from: `auth::signed`. Every login that fails has the same answer; the log says why.

mod config;
mod login;
mod oidc;
mod operation;
mod role;
mod run;
mod state;
mod validate;

use crate::answer::Refusal;
use crate::auth::principals::{Listing, Principals};
use crate::commit::Txn;

pub use login::renew;
pub use operation::{Operation, TABLE};
pub use run::{exists, purge, run};

/// The roles of a mount.
pub(super) async fn principals(listing: &Listing<'_>, txn: &mut Txn) -> Result<Principals, Refusal> {
    listing.of::<role::Role>("jwt role", txn).await
}
