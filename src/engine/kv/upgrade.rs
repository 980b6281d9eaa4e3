//! From KV version 1 to version 2, in one transaction: whoever reads sees all of a mount in the old form, or all in the new.

use super::{v1, v2};
use crate::answer::Refusal;
use crate::commit::{Place, Txn};

/// The most secrets that one upgrade takes: all of them are in one commit.
pub const UPGRADE_MAX: usize = 256;
/// The most bytes of values that one upgrade takes.
pub const UPGRADE_BYTES_MAX: usize = 8 << 20;

/// Makes every value the first version of a secret. References go on to mean the same secrets.
pub async fn upgrade(place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
    let paths = v1::tree(place).first("", UPGRADE_MAX + 1, txn).await?;
    if paths.len() > UPGRADE_MAX {
        return Err(too_much(&format!("{UPGRADE_MAX} secrets")));
    }
    let mut bytes = 0;
    for path in &paths {
        let Some(secret) = v1::secret(place, path, txn).await? else { continue };
        bytes += secret.value.value.len();
        if bytes > UPGRADE_BYTES_MAX {
            return Err(too_much(&format!("{UPGRADE_BYTES_MAX} bytes")));
        }
        v1::forget(place, path, txn).await?;
        let before = (secret.object, &secret.value.reference);
        v2::adopt(place, path, secret.value.value.duplicate(), before, txn).await?;
    }
    Ok(())
}

fn too_much(limit: &str) -> Refusal {
    Refusal::Invalid(format!(
        "the mount holds more than {limit}, and is not upgraded in place: mount KV version 2 elsewhere and copy the secrets"
    ))
}
