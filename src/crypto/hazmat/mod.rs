//! The primitives, each behind one small function: the only files that name cipher crates.
//!
//! Nothing here knows what is encrypted or why. Nonces and keys are arguments, so whoever calls decides about their
//! uniqueness: that is why these functions are not visible outside `crypto/`.

pub(super) mod aead;
pub(super) mod cipher;
pub(super) mod digest;
pub(super) mod ec;
pub(super) mod hash;
pub(super) mod hpke;
pub(super) mod kdf;
pub(super) mod key_wrap;
pub(super) mod password;
pub(super) mod rsa;
pub(super) mod signature;
#[cfg(test)]
mod tests;
