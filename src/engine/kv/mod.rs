//! KV: the client's JSON objects, by path. Which version a mount has, its record says (`mount::Engine`).
//!
//! A value is the client's JSON text from the request's body to the answer: it is sealed, opened, and spliced in, and
//! never built as a tree in memory. Must not look at URLs, tokens or policies.

mod field;
mod standing;
mod upgrade;
pub mod v1;
pub mod v2;

pub use field::one_field;
pub use standing::replace as replace_standing;
pub use upgrade::{UPGRADE_BYTES_MAX, UPGRADE_MAX, upgrade};
