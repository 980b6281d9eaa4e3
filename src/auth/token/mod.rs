//! Tokens: `auth/token/`.
//!
//! A token is a record at the keyed hash of its text. It lives as long as it has not expired and every token above
//! it, up to an orphan, lives: the whole chain is read at each use, so removing one record revokes the tree below
//! it at once. Rows of dead descendants are swept later.
//!
//! Rows of a token, all in the tenant it belongs to:
//! - `Token`, by the hash: everything about it. Its row expires with it.
//! - `TokenAccessor`, by accessor: the hash. It has no expiry of its own; `revoke::tidy` removes it.
//! - `TokenChild`, listed under the parent's hash, by accessor: the hash. Likewise.
//! - `Wrapped`, by accessor, of a wrapping token: the answer that it opens. Expires with it.
//! - `TokenLease`, listed under the path it was made at; a wrapping token has none. `revoke::tidy` removes it.
//!
//! A batch token has no row: its text carries everything, sealed (`batch`). Roles are `TokenRole`, and what ends many
//! tokens in one write is the one `TokenEpoch` of a tenant (`epoch`).

pub mod authenticate;
pub mod batch;
pub mod cidr;
mod create;
pub mod entry;
pub mod epoch;
pub mod expiry;
pub mod grant;
pub mod lease;
pub mod lifetime;
pub mod mint;
pub mod operation;
pub mod revoke;
pub mod role;
pub mod run;
pub(super) mod show;
pub mod wrapping;

pub use super::Caller;
pub use authenticate::{Known, authenticate, by_accessor, by_text, is_live};
pub use entry::TokenEntry;
pub use mint::{Minted, NewToken, mint, root_token};
pub use operation::{Operation, TABLE};
pub use run::{exists, run};
pub use show::auth_json;

#[cfg(test)]
mod tests;
