//! A signed token in its compact form (RFC 7515 section 3.1, RFC 7519), from the text to what can be verified.
//!
//! Only the algorithm and the key id are read of its header. Keys and addresses of keys in there (`jwk`, `jku`, `x5u`, `x5c`)
//! are ignored, because whoever made the token chose them; what must be understood (`crit`) is not, so it is refused.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use super::claims::Claims;
use super::keys::KeySet;
use crate::crypto::VerifyingAlgorithm;
use crate::fields::Fields;
use crate::secret::SecretBytes;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// The longest key id, in bytes.
const KEY_ID_BYTES_MAX: usize = 256;

/// A token that is well-formed. Nothing in it is true yet.
pub struct Jws<'a> {
    /// What its header says.
    pub algorithm: VerifyingAlgorithm,
    /// Which key it names.
    pub key_id: Option<String>,
    /// Header and payload, as they were signed.
    signed: &'a str,
    payload: SecretBytes,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

impl<'a> Jws<'a> {
    /// Reads a token. `None` when it is none, too long, or of an algorithm that proves nothing.
    pub fn parse(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).ok();
        // A name that is there twice is refused here: readers disagree about which one counts.
        let bytes = decode(header)?;
        let fields = object(&bytes)?;
        if fields.raw("crit").is_some() {
            return None;
        }
        let header: Header = serde_json::from_slice(&bytes).ok()?;
        let key_id = header.kid.filter(|id| !id.is_empty());
        if key_id.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return None;
        }
        Some(Self {
            algorithm: VerifyingAlgorithm::parse(&header.alg)?,
            key_id,
            signed,
            payload: SecretBytes::new(decode(payload)?),
            signature: decode(signature)?,
        })
    }

    /// What it says, when one of the keys has signed that with one of the allowed algorithms.
    pub fn verify(self, keys: &[Arc<KeySet>], allowed: &[VerifyingAlgorithm]) -> Option<Claims> {
        if !allowed.is_empty() && !allowed.contains(&self.algorithm) {
            return None;
        }
        let verifies = |key: &super::keys::Key| key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature);
        if !keys.iter().any(|keys| keys.candidates(self.key_id.as_deref()).any(verifies)) {
            return None;
        }
        Claims::parse(&self.payload)
    }
}

/// A JSON object within the limits of a request's body.
pub(in crate::auth) fn object(bytes: &[u8]) -> Option<Fields<'_>> {
    bytes.first().filter(|byte| **byte == b'{')?;
    Fields::parse(bytes, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_past_the_longest_is_none() {
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"ES256"}"#);
        let signature = BASE64URL_NOPAD.encode(&[1; 64]);
        let token = |payload: usize| format!("{header}.{}.{signature}", "A".repeat(payload));
        let payload = (TOKEN_BYTES_MAX - token(0).len()) / 4 * 4;
        assert!(TOKEN_BYTES_MAX - token(payload).len() < 4);
        assert!(Jws::parse(&token(payload)).is_some());
        assert!(Jws::parse(&token(payload + 4)).is_none());
    }
}
