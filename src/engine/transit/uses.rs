//! Counting what a version has encrypted. Random nonces of 96 bits are used for 2^32 texts at most (NIST SP 800-38D section
//! 8.3); far before, the key gets its next version, or the version stops.
//!
//! The count is reserved in blocks that grow with use, and durable before the first text of a block is encrypted: a server
//! that is killed, and any number of servers at once, count too much and never too little.

use super::record::{Ring, TransitUses, uses_address};
use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::crypto;

/// From here on a key that may rotates by itself.
pub const ROTATE_AT: u64 = 1 << 30;
/// Past this many texts a version encrypts no more.
pub const STOP_AT: u64 = 1 << 31;
/// The smallest block.
const BLOCK_MIN: u64 = 64;
/// The largest block.
const BLOCK_MAX: u64 = 1 << 20;
/// A block is this part of what was used before.
const BLOCK_PART: u64 = 64;

/// What is left of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Enough.
    Enough,
    /// It should be replaced by the next one.
    Worn,
    /// Nothing.
    Nothing,
}

/// Counts `texts` more for a version. `Worn` and `Nothing` are said of a version that is past its mark, and nothing is counted
/// for `Nothing`.
pub(super) async fn count(ring: &Ring, version: u32, texts: u64, place: &Place, txn: &mut Txn) -> Result<Left, Refusal> {
    if !ring.key.settings.kind.is_counted() || texts == 0 {
        return Ok(Left::Enough);
    }
    let name = crypto::sha256(&[b"strongroom transit uses", &ring.object.0, &version.to_be_bytes()]);
    if txn.take(&place.tenant, &name, texts) {
        return Ok(Left::Enough);
    }
    let address = uses_address(place, ring.object);
    let found = txn.read::<TransitUses>(&place.tenant, &address).await?;
    let mut uses = found.map_or_else(TransitUses::default, |found| TransitUses::clone(&found.value));
    let before = uses.reserved.get(&version).copied().unwrap_or(0);
    if before.saturating_add(texts) > STOP_AT {
        return Ok(Left::Nothing);
    }
    let block = (before / BLOCK_PART).clamp(BLOCK_MIN, BLOCK_MAX).max(texts).min(STOP_AT - before);
    uses.reserved.insert(version, before + block);
    txn.put(&place.tenant, &address, &uses, None).await?;
    txn.grant(&place.tenant, name, block - texts);
    Ok(if before + block > ROTATE_AT { Left::Worn } else { Left::Enough })
}
