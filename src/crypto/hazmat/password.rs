//! Functions that are slow on purpose: Argon2 (RFC 9106) and bcrypt.

use argon2::{Algorithm, Argon2, Params, Version};

/// Which Argon2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::crypto) enum Variant {
    /// Argon2id.
    Id,
    /// Argon2i.
    I,
    /// Argon2d.
    D,
}

/// What an Argon2 hash costs: KiB of memory, passes over it, lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::crypto) struct Cost {
    pub(in crate::crypto) memory_kib: u32,
    pub(in crate::crypto) passes: u32,
    pub(in crate::crypto) lanes: u32,
}

/// Fills `output` with the Argon2 hash (version 0x13) of a password. `None` when the parameters are out of range.
pub(in crate::crypto) fn argon2(variant: Variant, cost: Cost, password: &[u8], salt: &[u8], output: &mut [u8]) -> Option<()> {
    let algorithm = match variant {
        Variant::Id => Algorithm::Argon2id,
        Variant::I => Algorithm::Argon2i,
        Variant::D => Algorithm::Argon2d,
    };
    let parameters = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(output.len())).ok()?;
    Argon2::new(algorithm, Version::V0x13, parameters).hash_password_into(password, salt, output).ok()
}

/// The cost of a bcrypt hash; `None` of what is none.
pub(in crate::crypto) fn bcrypt_cost(hash: &str) -> Option<u32> {
    hash.parse::<bcrypt::HashParts>().ok().map(|parts| parts.get_cost())
}

/// Whether a bcrypt hash is that of a password, of which the first 72 bytes count.
pub(in crate::crypto) fn bcrypt(password: &[u8], hash: &str) -> bool {
    bcrypt::verify(password, hash).unwrap_or(false)
}
