//! AES key wrap with padding (RFC 5649), by aws-lc-rs.

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrapPadded};
use zeroize::Zeroizing;

use super::signature::Refused;
use crate::secret::SecretBytes;

/// Unwraps under a key of 16 or 32 bytes; the integrity check is part of it.
pub(in crate::crypto) fn unwrap(key: &[u8], wrapped: &[u8]) -> Result<SecretBytes, Refused> {
    let cipher = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(Refused),
    };
    let mut plain = Zeroizing::new(vec![0; wrapped.len()]);
    let key = AesKek::new(cipher, key).map_err(|_| Refused)?;
    let length = key.unwrap_with_padding(wrapped, &mut plain).map_err(|_| Refused)?.len();
    plain.truncate(length);
    Ok(SecretBytes::from_wiping(plain))
}
