//! The envelope around every stored value.
//!
//!     format (1) ‖ suite (1) ‖ wrapping-key version (4) ‖ wrapped DataKey (72) ‖ commitment (32) ‖ ciphertext ‖ tag (16)
//!     wrapped DataKey = nonce (24) ‖ XChaCha20-Poly1305(wrapping key, nonce, wrap AAD, DataKey) ‖ tag (16)
//!     (K_enc, commitment) = HKDF-SHA-256(DataKey, label ‖ format ‖ suite)
//!     payload AAD = length-prefixed (format, suite, deployment, tenant, kind, object id, object version)
//!     wrap AAD    = payload AAD ‖ length-prefixed (wrapping-key version)
//!
//! **Guaranteed**, as long as the tenant's wrapping keys are secret: a value opens only as what it was sealed as (deployment,
//! tenant, kind, object, version); no byte of it can be changed, added or cut; one envelope opens under one `DataKey` only,
//! so nobody can make one that shows different people different values; without the key nothing shows but the padded length.
//!
//! **Not guaranteed**: that a value is the newest (an older envelope of the same object and version opens: sequence numbers and
//! the log see to that); that rotation of the wrapping key evicts who already held a `DataKey` (only sealing the value again
//! does); anything against who holds the keyring, who can seal whatever they like. The wrapping-key version, the padded length
//! and the equality of two copies of one envelope are visible.
//!
//! The nonce of the payload is fixed at zero. That is safe because its key is used once: each value has a fresh `DataKey` from
//! the operating system's generator, `K_enc` is derived from it alone, and sealing takes the `DataKey` by value. A random nonce
//! would add 12 bytes and no security.
//!
//! The suite is a property of the wrapping key's version, kept in the keyring. The byte in the envelope only has to agree:
//! no ciphertext chooses how it is opened.

use zeroize::Zeroizing;

use super::Fault;
use super::framing::{framed, framed_len};
use super::hazmat::aead::{self, TAG, XNONCE};
use super::hazmat::hash::equal;
use super::keys::Key;
use crate::id::{DeploymentId, ObjectId, TenantId};
use crate::random;

const FORMAT: u8 = 1;
const LABEL: &[u8] = b"strongroom v1 envelope";
const PAYLOAD_NONCE: [u8; 12] = [0; 12];
const WRAPPED: usize = XNONCE + 32 + TAG;
/// Bytes that an envelope adds to its content.
pub(super) const OVERHEAD: usize = 1 + 1 + 4 + WRAPPED + 32 + TAG;

/// The algorithms of an envelope. Numbers are stored; they are never reused.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Suite {
    /// Payload AES-256-GCM, wrap XChaCha20-Poly1305, derivation HKDF-SHA-256.
    AesGcm = 1,
}

impl Suite {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        (byte == Self::AesGcm as u8).then_some(Self::AesGcm)
    }
}

/// Wraps the `DataKeys` of a tenant; the newest one wraps, older ones only unwrap.
pub(super) struct WrappingKey {
    pub(super) version: u32,
    pub(super) suite: Suite,
    pub(super) key: Key,
}

/// What a value is sealed as: all of it is authenticated, none of it changes when the row moves or is rewrapped.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) deployment: DeploymentId,
    pub(super) tenant: TenantId,
    pub(super) kind: u8,
    pub(super) object: ObjectId,
    pub(super) version: u64,
}

/// The randomness of one envelope. Consumed by sealing, so that a `DataKey` cannot be used twice.
pub(super) struct Fresh {
    pub(super) data_key: Key,
    pub(super) wrap_nonce: [u8; XNONCE],
}

impl Fresh {
    pub(super) fn random() -> Self {
        Self { data_key: Key::random(), wrap_nonce: random::bytes() }
    }
}

/// Appends the envelope around `content` (its parts one after the other, then zeros up to `length` bytes) to `out`.
#[expect(clippy::needless_pass_by_value, reason = "a DataKey is used once: it ends here")]
pub(super) fn seal_into(out: &mut Vec<u8>, newest: &WrappingKey, place: &Place, fresh: Fresh, content: &[&[u8]], length: usize) {
    let length = length.max(content.iter().map(|part| part.len()).sum());
    // All at once: a buffer that grew while it held plaintext would leave a copy behind.
    out.reserve_exact(OVERHEAD + length);
    let wrap_aad = place.wrap_aad(newest.suite, newest.version);
    let (encryption, commitment) = committed(&fresh.data_key, newest.suite);
    append_head(out, newest, &fresh, &wrap_aad);
    out.extend_from_slice(&commitment);
    let start = out.len();
    for part in content {
        out.extend_from_slice(part);
    }
    out.resize(start + length, 0);
    let (_, text) = out.split_at_mut(start);
    let tag = aead::aes_seal(encryption.bytes(), &PAYLOAD_NONCE, payload_aad(&wrap_aad), text);
    out.extend_from_slice(&tag);
}

/// What opens the payload of one envelope: its `DataKey` was unwrapped, and is the one that the envelope commits to.
pub(super) struct PayloadKey {
    encryption: Key,
    suite: Suite,
    version: u32,
}

impl PayloadKey {
    /// Unwraps the `DataKey` with the wrapping key that `find` has for its version.
    pub(super) fn unwrap<'a>(
        find: impl FnOnce(u32) -> Option<&'a WrappingKey>,
        place: &Place,
        envelope: &[u8],
    ) -> Result<Self, Fault> {
        let parsed = Parsed::new(envelope)?;
        let key = parsed.wrapping_key(find)?;
        let data_key = parsed.unwrap(key, &place.wrap_aad(key.suite, key.version))?;
        let encryption = parsed.encryption_key(&data_key, key.suite)?;
        Ok(Self { encryption, suite: key.suite, version: key.version })
    }

    /// Opens the payload of the same envelope. Gives the content with its zeros.
    pub(super) fn open(&self, place: &Place, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let (ciphertext, tag) = Parsed::new(envelope)?.payload.split_last_chunk().ok_or(Fault::Truncated)?;
        let mut text = Zeroizing::new(ciphertext.to_vec());
        let wrap_aad = place.wrap_aad(self.suite, self.version);
        aead::aes_open(self.encryption.bytes(), &PAYLOAD_NONCE, payload_aad(&wrap_aad), &mut text, tag)
            .map_err(|_| Fault::Payload)?;
        Ok(text)
    }
}

/// Appends the same envelope with its `DataKey` wrapped by `newest`; the payload is not touched.
pub(super) fn rewrap_into<'a>(
    out: &mut Vec<u8>,
    find: impl FnOnce(u32) -> Option<&'a WrappingKey>,
    newest: &WrappingKey,
    place: &Place,
    envelope: &[u8],
) -> Result<(), Fault> {
    let parsed = Parsed::new(envelope)?;
    let old = parsed.wrapping_key(find)?;
    if old.suite != newest.suite {
        // The payload is of the old suite: it must be sealed again, not rewrapped.
        return Err(Fault::Suite);
    }
    let data_key = parsed.unwrap(old, &place.wrap_aad(old.suite, old.version))?;
    parsed.encryption_key(&data_key, old.suite)?;
    let fresh = Fresh { data_key, wrap_nonce: random::bytes() };
    append_head(out, newest, &fresh, &place.wrap_aad(newest.suite, newest.version));
    out.extend_from_slice(parsed.commitment);
    out.extend_from_slice(parsed.payload);
    Ok(())
}

/// The wrapping-key version that an envelope names. Not authenticated before it is opened.
pub(super) fn wrapping_key_version(envelope: &[u8]) -> Option<u32> {
    Parsed::new(envelope).ok().map(|parsed| parsed.version)
}

impl Place {
    fn wrap_aad(&self, suite: Suite, version: u32) -> Vec<u8> {
        framed(&[
            &[FORMAT],
            &[suite as u8],
            &self.deployment.0,
            &self.tenant.0,
            &[self.kind],
            &self.object.0,
            &self.version.to_be_bytes(),
            &version.to_be_bytes(),
        ])
    }
}

/// The wrap's AAD without its last part.
fn payload_aad(wrap_aad: &[u8]) -> &[u8] {
    wrap_aad.split_at(wrap_aad.len() - framed_len(4)).0
}

fn committed(data_key: &Key, suite: Suite) -> (Key, [u8; 32]) {
    data_key.derive_committed(&[LABEL, &[FORMAT, suite as u8]])
}

fn append_head(out: &mut Vec<u8>, key: &WrappingKey, fresh: &Fresh, wrap_aad: &[u8]) {
    let mut wrapped = Zeroizing::new(*fresh.data_key.bytes());
    let tag = aead::xchacha_seal(key.key.bytes(), &fresh.wrap_nonce, wrap_aad, wrapped.as_mut_slice());
    out.extend_from_slice(&[FORMAT, key.suite as u8]);
    out.extend_from_slice(&key.version.to_be_bytes());
    out.extend_from_slice(&fresh.wrap_nonce);
    out.extend_from_slice(wrapped.as_slice());
    out.extend_from_slice(&tag);
}

/// An envelope cut into its parts, nothing believed yet.
struct Parsed<'a> {
    suite: u8,
    version: u32,
    nonce: &'a [u8; XNONCE],
    wrapped: &'a [u8; 32],
    wrap_tag: &'a [u8; TAG],
    commitment: &'a [u8; 32],
    payload: &'a [u8],
}

impl<'a> Parsed<'a> {
    fn new(envelope: &'a [u8]) -> Result<Self, Fault> {
        let ([format, suite], rest) = envelope.split_first_chunk().ok_or(Fault::Truncated)?;
        if *format != FORMAT {
            return Err(Fault::Format);
        }
        let (version, rest) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
        let (wrapped, rest) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
        let (wrap_tag, rest) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
        let (commitment, payload) = rest.split_first_chunk().ok_or(Fault::Truncated)?;
        Ok(Self { suite: *suite, version: u32::from_be_bytes(*version), nonce, wrapped, wrap_tag, commitment, payload })
    }

    fn wrapping_key<'k>(&self, find: impl FnOnce(u32) -> Option<&'k WrappingKey>) -> Result<&'k WrappingKey, Fault> {
        let key = find(self.version).ok_or(Fault::UnknownKey)?;
        if key.suite as u8 != self.suite {
            return Err(Fault::Suite);
        }
        Ok(key)
    }

    fn unwrap(&self, key: &WrappingKey, wrap_aad: &[u8]) -> Result<Key, Fault> {
        let mut data_key = Zeroizing::new(*self.wrapped);
        aead::xchacha_open(key.key.bytes(), self.nonce, wrap_aad, data_key.as_mut_slice(), self.wrap_tag)
            .map_err(|_| Fault::Wrap)?;
        Key::from_slice(data_key.as_slice()).ok_or(Fault::Wrap)
    }

    fn encryption_key(&self, data_key: &Key, suite: Suite) -> Result<Key, Fault> {
        let (encryption, commitment) = committed(data_key, suite);
        if !equal(&commitment, self.commitment) {
            return Err(Fault::Commitment);
        }
        Ok(encryption)
    }
}
