//! Who is asking: tokens and the auth methods that give them out.
//!
//! A method proves who somebody is; only `token::mint` makes a token of it. Tokens are kept by keyed hash, their
//! text is nowhere in the store. What a caller may do is decided by `policy`; this folder reads the policies that a
//! token names, in the tenant that the token belongs to. Durations here are whole seconds unless they are a `Duration`.
//!
//! It must not know HTTP, engines or `sys`.

pub mod approle;
mod bounded;
pub mod caller;
pub mod cert;
pub mod effort;
pub mod jwt;
pub mod kubernetes;
pub mod login;
pub mod name;
mod named;
pub mod origin;
pub mod parameters;
pub mod policies;
pub mod policy_history;
pub mod principals;
pub mod second_factor;
pub mod signed;
pub mod token;
pub mod userpass;

pub use caller::Caller;
pub use origin::Origin;
