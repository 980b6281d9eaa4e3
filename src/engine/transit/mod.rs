//! Transit: encryption, signatures, HMACs and data keys with keys that clients never see.
//!
//! Owns the records `TransitKey` (a named key with all its versions), `TransitUses` (how much each version has encrypted),
//! `TransitConfig` and `TransitWrappingKey` (one per mount), `TransitDataKey` and `TransitRemains` (data keys that are kept). The formats are those of `OpenBao`, so that what one makes the
//! other opens once it has the key. A key that is in use is kept parsed as long as it does not change. Nothing here is an
//! oracle: whatever does not open fails in one way. Durations are whole seconds.

mod batch;
mod datakey;
mod encrypt;
mod export;
mod import;
pub mod kept;
mod keys;
mod mac;
pub mod marked;
mod operation;
mod record;
mod run;
mod settings;
mod shown;
mod sign;
#[cfg(test)]
mod tests;
pub mod tools;
mod uses;

pub use datakey::COUNT_MAX as DATA_KEYS_MAX;
pub use kept::clear;
pub use keys::{purge, rotate_due};
pub use operation::{DATA_KEYS, Operation, TABLE};
pub use record::{TransitConfig, TransitKey, TransitUses, TransitWrappingKey};
pub use run::{exists, run};
pub use uses::{ROTATE_AT, STOP_AT};

use crate::answer::Refusal;

/// The most items of one batch.
pub const BATCH_MAX: usize = 1_000;
/// The longest text of an item, in bytes, decoded.
pub const ITEM_BYTES_MAX: usize = 8 << 20;
/// The most versions of a key; trimming makes room.
pub const VERSIONS_MAX: usize = 1_000;
/// The longest name of a key, in bytes.
pub const KEYS_MAX_NAME: usize = 256;

/// The name of a key: letters, digits and `_`, and between them `-` and `.`, too. Anything else is no path of the engine.
fn name_of(name: &str) -> Result<String, Refusal> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let ends = name.bytes().next().is_some_and(word) && name.bytes().next_back().is_some_and(word);
    if !ends || name.len() > KEYS_MAX_NAME || !name.bytes().all(|byte| word(byte) || b"-.".contains(&byte)) {
        return Err(Refusal::UnsupportedPath);
    }
    Ok(name.to_owned())
}
