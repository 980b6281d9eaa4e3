//! Sealing records: an envelope whose content repeats what the row says.
//!
//!     sealed  = object id (16) ‖ object version (8) ‖ envelope
//!     content = key (32) ‖ dir (32) ‖ has expiry (1) ‖ expires_at (8, nanoseconds) ‖ payload length (8) ‖ payload ‖ zeros
//!
//! Object id and version stand in the clear and are part of the AAD. `key`, `dir` and `expires_at` are not: they are compared
//! after opening, so a row that was moved or whose expiry was edited does not open. The content is padded with Padmé.

use super::envelope::{self, Fresh, OVERHEAD, PayloadKey, Place};
use super::hazmat::hash::equal;
use super::padding::padme;
use super::{Fault, Keyring, OpenError};
use crate::id::ObjectId;
use crate::record::{DirKey, Kind, RecordKey};
use crate::secret::SecretBytes;
use crate::time::Timestamp;

const PREFIX: usize = 16 + 8;
const ROW: usize = 32 + 32 + 1 + 8;
const CONTENT_HEAD: usize = ROW + 8;
/// Numbers of kinds go up to here: how many are tried where nobody knows what a row is.
const KIND_MAX: u8 = 95;

/// The row that a payload is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What it is.
    pub kind: Kind,
    /// The object, for all its life.
    pub object: ObjectId,
    /// Which version of the object.
    pub version: u64,
    /// The row's primary key.
    pub key: RecordKey,
    /// The row's directory.
    pub directory: DirKey,
    /// The row's expiry.
    pub expires_at: Option<Timestamp>,
}

/// An opened record.
pub struct Opened {
    /// What was sealed.
    pub payload: SecretBytes,
    /// The object that it belongs to.
    pub object: ObjectId,
    /// Which version of the object.
    pub version: u64,
}

/// What opens one record: unwrapped and checked once, so that opening the record again costs one decryption. It belongs to
/// the very bytes that it was made from, and is wiped when dropped.
pub struct RecordOpener(PayloadKey);

impl Keyring {
    /// Seals a payload for its row, under a fresh `DataKey`.
    pub fn seal_record(&self, subject: &Subject, payload: &SecretBytes) -> Vec<u8> {
        self.seal_record_with(subject, payload, Fresh::random())
    }

    /// Opens a row. `kind`, `key`, `directory` and `expires_at` are what the caller asked for and what the row says.
    ///
    /// # Errors
    /// Not a record of this tenant, kind and row, damaged, or of a newer format.
    pub fn open_record(
        &self,
        kind: Kind,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        Ok(self.try_open_record(kind, key, directory, expires_at, sealed)?)
    }

    /// Unwraps what opens the record.
    ///
    /// # Errors
    /// Not a record of this tenant and kind, damaged, or of a newer format.
    pub fn opener(&self, kind: Kind, sealed: &[u8]) -> Result<RecordOpener, OpenError> {
        Ok(self.try_opener(kind as u8, sealed)?)
    }

    /// `open_record` with what `opener` made of the same bytes.
    ///
    /// # Errors
    /// As `open_record`.
    pub fn open_record_with(
        &self,
        opener: &RecordOpener,
        kind: Kind,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        Ok(self.try_open_record_with(opener, kind as u8, key, directory, expires_at, sealed)?)
    }

    /// Checks that a row of whatever kind is as it was sealed: for jobs that know of a row no more than the store does.
    /// The kind is part of what is authenticated, so each is tried; all but one fail at the 32 bytes of the wrap.
    ///
    /// # Errors
    /// As `open_record` of every kind.
    pub fn verify_record(
        &self,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<(), OpenError> {
        self.record_kind(key, directory, expires_at, sealed).map(drop)
    }

    /// The same, and the number of its kind.
    ///
    /// # Errors
    /// As `open_record` of every kind.
    pub fn record_kind(
        &self,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<u8, OpenError> {
        let mut fault = Fault::Wrap;
        for kind in 1..=KIND_MAX {
            let opener = self.try_opener(kind, sealed);
            match opener.and_then(|opener| self.try_open_record_with(&opener, kind, key, directory, expires_at, sealed)) {
                Ok(_) => return Ok(kind),
                Err(Fault::Wrap) => {}
                Err(other) => fault = other,
            }
        }
        Err(fault.into())
    }

    /// The same record, of whatever kind, with its `DataKey` wrapped by the newest wrapping key; the payload is neither
    /// decrypted nor changed.
    ///
    /// # Errors
    /// As `open_record` of every kind, except that damage to the payload alone goes unnoticed.
    pub fn rewrap_record(&self, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut fault = Fault::Wrap;
        for kind in 1..=KIND_MAX {
            match self.try_rewrap(kind, sealed) {
                Ok(rewrapped) => return Ok(rewrapped),
                Err(Fault::Wrap) => {}
                Err(other) => fault = other,
            }
        }
        Err(fault.into())
    }

    /// The same record, of whatever kind, sealed again: under a fresh `DataKey`, wrapped by the newest wrapping key.
    ///
    /// # Errors
    /// As `open_record` of every kind.
    pub fn reencrypt_record(
        &self,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let mut fault = Fault::Wrap;
        for kind in 1..=KIND_MAX {
            match self.try_reencrypt(kind, key, directory, expires_at, sealed) {
                Ok(sealed) => return Ok(sealed),
                Err(Fault::Wrap) => {}
                Err(other) => fault = other,
            }
        }
        Err(fault.into())
    }

    fn try_reencrypt(
        &self,
        kind: u8,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Fault> {
        let opener = self.try_opener(kind, sealed)?;
        let record = self.try_open_record_with(&opener, kind, key, directory, expires_at, sealed)?;
        let (prefix, _) = sealed.split_at_checked(PREFIX).ok_or(Fault::Truncated)?;
        let place = self.place(kind, prefix)?;
        Ok(self.seal_row(&place, &row(key, directory, expires_at), &record.payload, Fresh::random()))
    }

    fn try_rewrap(&self, kind: u8, sealed: &[u8]) -> Result<Vec<u8>, Fault> {
        let (prefix, envelope) = sealed.split_at_checked(PREFIX).ok_or(Fault::Truncated)?;
        let place = self.place(kind, prefix)?;
        let mut rewrapped = Vec::with_capacity(sealed.len());
        rewrapped.extend_from_slice(prefix);
        envelope::rewrap_into(&mut rewrapped, |version| self.wrapping_key(version), self.newest(), &place, envelope)?;
        Ok(rewrapped)
    }

    /// True when a record is not under the newest wrapping key: `rewrap_record` has work to do. Does not open it.
    pub fn is_outdated(&self, sealed: &[u8]) -> bool {
        let envelope = sealed.get(PREFIX..).unwrap_or_default();
        envelope::wrapping_key_version(envelope) != Some(self.wrapping_key_version())
    }

    pub(super) fn seal_record_with(&self, subject: &Subject, payload: &SecretBytes, fresh: Fresh) -> Vec<u8> {
        let place = Place {
            deployment: self.deployment,
            tenant: self.tenant,
            kind: subject.kind as u8,
            object: subject.object,
            version: subject.version,
        };
        self.seal_row(&place, &row(&subject.key, &subject.directory, subject.expires_at), payload, fresh)
    }

    fn seal_row(&self, place: &Place, row: &[u8; ROW], payload: &SecretBytes, fresh: Fresh) -> Vec<u8> {
        let length = padme(CONTENT_HEAD + payload.len());
        let mut sealed = Vec::with_capacity(PREFIX + OVERHEAD + length);
        sealed.extend_from_slice(&place.object.0);
        sealed.extend_from_slice(&place.version.to_be_bytes());
        let content: [&[u8]; 3] = [row, &(payload.len() as u64).to_be_bytes(), payload.expose()];
        envelope::seal_into(&mut sealed, self.newest(), place, fresh, &content, length);
        sealed
    }

    pub(super) fn try_open_record(
        &self,
        kind: Kind,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<Opened, Fault> {
        let kind = kind as u8;
        self.try_open_record_with(&self.try_opener(kind, sealed)?, kind, key, directory, expires_at, sealed)
    }

    fn try_opener(&self, kind: u8, sealed: &[u8]) -> Result<RecordOpener, Fault> {
        let (prefix, envelope) = sealed.split_at_checked(PREFIX).ok_or(Fault::Truncated)?;
        let place = self.place(kind, prefix)?;
        PayloadKey::unwrap(|version| self.wrapping_key(version), &place, envelope).map(RecordOpener)
    }

    fn try_open_record_with(
        &self,
        opener: &RecordOpener,
        kind: u8,
        key: &RecordKey,
        directory: &DirKey,
        expires_at: Option<Timestamp>,
        sealed: &[u8],
    ) -> Result<Opened, Fault> {
        let (prefix, envelope) = sealed.split_at_checked(PREFIX).ok_or(Fault::Truncated)?;
        let place = self.place(kind, prefix)?;
        let mut content = opener.0.open(&place, envelope)?;
        let (found, rest) = content.split_first_chunk::<ROW>().ok_or(Fault::Content)?;
        if !equal(found, &row(key, directory, expires_at)) {
            return Err(Fault::Row);
        }
        let (length, rest) = rest.split_first_chunk().ok_or(Fault::Content)?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok().filter(|length| *length <= rest.len());
        let length = length.ok_or(Fault::Content)?;
        // Moved within its buffer rather than copied; the buffer is wiped over its whole capacity when it is dropped.
        content.copy_within(CONTENT_HEAD..CONTENT_HEAD + length, 0);
        content.truncate(length);
        let payload = SecretBytes::new(std::mem::take(&mut *content));
        Ok(Opened { payload, object: place.object, version: place.version })
    }

    fn place(&self, kind: u8, prefix: &[u8]) -> Result<Place, Fault> {
        let (object, version) = prefix.split_first_chunk().ok_or(Fault::Truncated)?;
        let version = u64::from_be_bytes(version.try_into().map_err(|_| Fault::Truncated)?);
        let object = ObjectId(*object);
        Ok(Place { deployment: self.deployment, tenant: self.tenant, kind, object, version })
    }
}

fn row(key: &RecordKey, directory: &DirKey, expires_at: Option<Timestamp>) -> [u8; ROW] {
    let mut row = [0; ROW];
    let (key_part, rest) = row.split_at_mut(32);
    let (directory_part, expiry) = rest.split_at_mut(32);
    key_part.copy_from_slice(&key.0);
    directory_part.copy_from_slice(&directory.0);
    if let (Some(time), Some((flag, nanoseconds))) = (expires_at, expiry.split_first_mut()) {
        *flag = 1;
        nanoseconds.copy_from_slice(&time.0.to_be_bytes());
    }
    row
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
