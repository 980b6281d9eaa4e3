//! Tokens that somebody else has signed, and the keys of who signs them: what JWT, OIDC and Kubernetes logins stand on.
//!
//! A token is read (`jws`), verified by the keys of an issuer (`keys`), and then says something (`claims`), for a time
//! (`times`, in seconds). Where an issuer's keys are is a `Source`; what is fetched (`issuers`) is kept for a while, and
//! fetched by the first attempt of a request only, never while a group of requests is committed.
//!
//! It must not know roles, mounts, or who somebody is.

mod claims;
mod fetched;
mod issuers;
mod jws;
mod keys;
mod provider;
mod source;
mod times;

pub use claims::{Claims, OtherType, Scalar};
pub use fetched::When;
pub use issuers::{Issuer, Issuers};
pub use jws::{Jws, TOKEN_BYTES_MAX};
pub use keys::{KEYS_MAX, KeySet};
pub use provider::Provider;
pub use source::{Source, Url};
pub use times::{Leeway, Leeways};

pub(super) use jws::object;
pub(super) use source::{TEXT_BYTES_MAX, keys_in, pairs_in, text_of, too_long};

/// Why a token is refused: for the log, never any content.
pub type Reason = &'static str;
