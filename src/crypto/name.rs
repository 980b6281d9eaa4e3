//! Sealing names apart from records, so that a listing opens names and no values.
//!
//!     sealed = format (1) ‖ nonce (24) ‖ ciphertext ‖ tag (16), XChaCha20-Poly1305 under the names key
//!     AAD    = format (1) ‖ deployment (16) ‖ tenant (16) ‖ key (32) ‖ dir (32)
//!
//! Every part of the AAD has a fixed width, so no length is needed; the kind is inside `key` and `dir`. One key opens 100,000
//! names of a listing, so there is no derivation per name. A name is followed by 0x80 and zeros up to a multiple of 32 bytes
//! (ISO/IEC 7816-4): that much of its length shows.

use super::hazmat::aead::{self, TAG, XNONCE};
use super::{Fault, Keyring, OpenError};
use crate::random;
use crate::record::{DirKey, RecordKey};

const FORMAT: u8 = 1;
const BLOCK: usize = 32;
const AAD: usize = 1 + 16 + 16 + 32 + 32;
const END: u8 = 0x80;

impl Keyring {
    /// Seals the name of a record in its directory.
    pub fn seal_name(&self, key: &RecordKey, directory: &DirKey, name: &str) -> Vec<u8> {
        self.seal_name_with(key, directory, name, &random::bytes())
    }

    /// Opens the name of a row.
    ///
    /// # Errors
    /// Not the name of this tenant's row, damaged, or of a newer format.
    pub fn open_name(&self, key: &RecordKey, directory: &DirKey, sealed: &[u8]) -> Result<String, OpenError> {
        Ok(self.try_open_name(key, directory, sealed)?)
    }

    pub(super) fn seal_name_with(&self, key: &RecordKey, directory: &DirKey, name: &str, nonce: &[u8; XNONCE]) -> Vec<u8> {
        let length = (name.len() / BLOCK + 1) * BLOCK;
        let mut sealed = Vec::with_capacity(1 + XNONCE + length + TAG);
        sealed.push(FORMAT);
        sealed.extend_from_slice(nonce);
        let start = sealed.len();
        sealed.extend_from_slice(name.as_bytes());
        sealed.push(END);
        sealed.resize(start + length, 0);
        let (_, text) = sealed.split_at_mut(start);
        let tag = aead::xchacha_seal(self.names.bytes(), nonce, &self.name_aad(key, directory), text);
        sealed.extend_from_slice(&tag);
        sealed
    }

    pub(super) fn try_open_name(&self, key: &RecordKey, directory: &DirKey, sealed: &[u8]) -> Result<String, Fault> {
        let ([format], rest) = sealed.split_first_chunk().ok_or(Fault::Truncated)?;
        if *format != FORMAT {
            return Err(Fault::Format);
        }
        let (nonce, rest) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(Fault::Truncated)?;
        let mut text = ciphertext.to_vec();
        aead::xchacha_open(self.names.bytes(), nonce, &self.name_aad(key, directory), &mut text, tag)
            .map_err(|_| Fault::Payload)?;
        let end = text.iter().rposition(|byte| *byte != 0).filter(|end| text.get(*end) == Some(&END));
        text.truncate(end.ok_or(Fault::Content)?);
        String::from_utf8(text).map_err(|_| Fault::Content)
    }

    fn name_aad(&self, key: &RecordKey, directory: &DirKey) -> [u8; AAD] {
        let mut aad = [FORMAT; AAD];
        let mut rest = aad.get_mut(1..).unwrap_or_default();
        for part in [&self.deployment.0[..], &self.tenant.0, &key.0, &directory.0] {
            let (head, tail) = rest.split_at_mut(part.len());
            head.copy_from_slice(part);
            rest = tail;
        }
        aad
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{DeploymentId, TenantId};

    const KEY: RecordKey = RecordKey([3; 32]);
    const DIRECTORY: DirKey = DirKey([4; 32]);

    fn fresh_keyring() -> Keyring {
        Keyring::generate(DeploymentId([1; 16]), TenantId([2; 16]))
    }

    proptest! {
        #[test]
        fn names_survive(name in "\\PC{0,80}") {
            let keyring = fresh_keyring();
            let sealed = keyring.seal_name(&KEY, &DIRECTORY, &name);
            prop_assert_eq!(sealed.len() % BLOCK, (1 + XNONCE + TAG) % BLOCK);
            prop_assert_eq!(keyring.open_name(&KEY, &DIRECTORY, &sealed), Ok(name));
        }
    }

    #[test]
    fn lengths_up_to_the_block_look_alike() {
        let keyring = fresh_keyring();
        let length = |name: &str| keyring.seal_name(&KEY, &DIRECTORY, name).len();
        assert_eq!(length(""), length(&"n".repeat(31)));
        assert_eq!(length(&"n".repeat(32)), length("") + 32);
        assert_eq!(keyring.open_name(&KEY, &DIRECTORY, &keyring.seal_name(&KEY, &DIRECTORY, "\0")), Ok("\0".to_owned()));
    }

    #[test]
    fn a_moved_or_changed_name_does_not_open() {
        let keyring = fresh_keyring();
        let sealed = keyring.seal_name(&KEY, &DIRECTORY, "name");
        assert!(keyring.open_name(&RecordKey([9; 32]), &DIRECTORY, &sealed).is_err());
        assert!(keyring.open_name(&KEY, &DirKey([9; 32]), &sealed).is_err());
        assert!(fresh_keyring().open_name(&KEY, &DIRECTORY, &sealed).is_err());
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            assert!(keyring.open_name(&KEY, &DIRECTORY, &forged).is_err(), "byte {at}");
            assert!(keyring.open_name(&KEY, &DIRECTORY, &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
