//! A segment: a run of whole rows of one tenant's log, as a file of the archive. It proves itself: with the log's public key and
//! nothing else it shows that its events are those of a signed tree, and which ones. Events stay sealed as they are in the store,
//! so a segment tells nothing once the tenant's keys are destroyed.
//!
//! Form: `FORMAT` ‖ deployment (16) ‖ tenant (16) ‖ the edge of the tree before the first row ‖ number of rows (u32) ‖ rows ‖
//! number of hashes (u32) ‖ hashes (32 each) ‖ the signed checkpoint ‖ SHA-256 of everything before. The hashes show that the
//! checkpoint's tree extends the one behind the last row (RFC 9162 section 2.1.4). A row is seq (u64) ‖ time (i64) ‖
//! group (16) ‖ MAC (32) ‖ changed keys ‖ leaf hashes ‖ sealed events ‖ summary; its index, its count and its trees follow
//! from the leaves. What has no length here is length (u32) ‖ bytes; numbers are big-endian.

use super::merkle::{Frontier, Hash};
use super::note::{LogKey, NOTE_BYTES_MAX, NoteError, TreeHead, log_and_epoch, origin};
use super::proof::verify_consistency;
use crate::crypto::sha256;
use crate::id::{DeploymentId, TenantId};
use crate::time::Timestamp;

const FORMAT: &[u8] = b"strongroom segment 1\n";
/// What a segment may have in rows.
pub const ROWS_MAX: usize = 1 << 16;
/// Bytes of a segment past which no further row is put into it; one row may be larger.
pub const BYTES_WANTED: usize = 4 << 20;
/// The largest segment that is read: one with the largest row there can be, and some more.
pub const BYTES_MAX: usize = 160 << 20;

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// As the columns of the log.
    pub seq: u64,
    /// As above.
    pub time: Timestamp,
    /// As above.
    pub group: [u8; 16],
    /// As above.
    pub mac: [u8; 32],
    /// As above.
    pub changed: Vec<u8>,
    /// As above, 32 bytes each.
    pub leaves: Vec<u8>,
    /// As above.
    pub batch: Vec<u8>,
    /// As above.
    pub summary: Vec<u8>,
}

impl SegmentRow {
    /// Events in it.
    pub fn count(&self) -> u64 {
        self.leaves.len() as u64 / 32
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        80 + self.changed.len() + self.leaves.len() + self.batch.len() + self.summary.len()
    }
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The installation.
    pub deployment: DeploymentId,
    /// The tenant whose log it is of.
    pub tenant: TenantId,
    /// The tree before the first row.
    pub before: Frontier,
    /// At least one.
    pub rows: Vec<SegmentRow>,
    /// That the signed tree extends the one behind the last row.
    pub proof: Vec<Hash>,
    /// The signed checkpoint.
    pub note: Vec<u8>,
}

/// Why bytes are no segment, or not one of this log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// Cut off, damaged, or of a newer form.
    #[error("it is not a segment: {0}")]
    Malformed(&'static str),
    /// Its checkpoint is not one of this log's key.
    #[error("its checkpoint: {0}")]
    Note(#[from] NoteError),
    /// It is of another log than the checkpoint.
    #[error("its checkpoint is of another log")]
    OtherLog,
    /// Its events are not those that were signed.
    #[error("its events are not in the tree that was signed")]
    Unproven,
}

impl Segment {
    /// Index of its first event.
    pub fn first_index(&self) -> u64 {
        self.before.size()
    }

    /// The tree behind its last row.
    pub fn after(&self) -> Frontier {
        let mut tree = self.before.clone();
        for row in &self.rows {
            row.leaves.as_chunks::<32>().0.iter().for_each(|leaf| tree.push(*leaf));
        }
        tree
    }

    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let size: usize = self.rows.iter().map(SegmentRow::bytes).sum();
        let mut out = Vec::with_capacity(size + self.note.len() + 4096);
        out.extend_from_slice(FORMAT);
        out.extend_from_slice(&self.deployment.0);
        out.extend_from_slice(&self.tenant.0);
        put(&mut out, &self.before.to_bytes());
        put_count(&mut out, self.rows.len());
        for row in &self.rows {
            out.extend_from_slice(&row.seq.to_be_bytes());
            out.extend_from_slice(&row.time.0.to_be_bytes());
            out.extend_from_slice(&row.group);
            out.extend_from_slice(&row.mac);
            for part in [&row.changed, &row.leaves, &row.batch, &row.summary] {
                put(&mut out, part);
            }
        }
        put_count(&mut out, self.proof.len());
        out.extend(self.proof.iter().flatten());
        put(&mut out, &self.note);
        let sum = sha256(&[&out]);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads `encode`; anything else is refused. Memory is bounded by the length of the bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, SegmentError> {
        let (content, sum) = bytes.split_last_chunk::<32>().ok_or(SegmentError::Malformed("it is cut off"))?;
        let mut rest = content.strip_prefix(FORMAT).ok_or(SegmentError::Malformed("it begins otherwise"))?;
        if sha256(&[content]) != *sum {
            return Err(SegmentError::Malformed("it is not what was written"));
        }
        let rest = &mut rest;
        let (deployment, tenant) = (DeploymentId(array(rest)?), TenantId(array(rest)?));
        let before = Frontier::from_bytes(part(rest)?).map_err(|_| SegmentError::Malformed("its tree is none"))?;
        let count = number(rest)?;
        if count == 0 || count > ROWS_MAX {
            return Err(SegmentError::Malformed("its number of rows"));
        }
        let rows = (0..count).map(|_| row(rest)).collect::<Result<Vec<_>, _>>()?;
        let events: u64 = rows.iter().map(SegmentRow::count).sum();
        if before.size().checked_add(events).is_none() {
            return Err(SegmentError::Malformed("its tree is too large"));
        }
        let hashes = number(rest)?;
        if hashes > 128 {
            return Err(SegmentError::Malformed("its proof is too long"));
        }
        let proof = (0..hashes).map(|_| array(rest)).collect::<Result<Vec<Hash>, _>>()?;
        let note = part(rest)?.to_vec();
        if !rest.is_empty() || note.len() > NOTE_BYTES_MAX {
            return Err(SegmentError::Malformed("it ends otherwise"));
        }
        Ok(Self { deployment, tenant, before, rows, proof, note })
    }

    /// Holds it against the key that its deployment's logs are signed with, under whichever log's name: the signed tree, if the segment's events are in it where it says.
    /// It says nothing of the sealed events themselves: that they are those of the leaves shows when they are opened.
    pub fn prove(&self, key: &LogKey) -> Result<TreeHead, SegmentError> {
        let named = TreeHead::unverified(&self.note)?.origin;
        if epoch(&named, self.deployment, self.tenant).is_none() {
            return Err(SegmentError::OtherLog);
        }
        let (head, _) = key.named(&named).open(&self.note)?;
        let after = self.after();
        if verify_consistency(after.size(), &after.root(), head.size, &head.root, &self.proof) {
            Ok(head)
        } else {
            Err(SegmentError::Unproven)
        }
    }
}

/// Which epoch of a tenant's log a checkpoint's origin names; `None` for that of another log.
pub fn epoch(named: &str, deployment: DeploymentId, tenant: TenantId) -> Option<u32> {
    let (_, epoch) = log_and_epoch(named)?;
    (named == origin(deployment, tenant, epoch)).then_some(epoch)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // Everything here is far below 2^32; what would not be does not parse.
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    put_count(out, part.len());
    out.extend_from_slice(part);
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], SegmentError> {
    let (found, tail) = rest.split_first_chunk().ok_or(SegmentError::Malformed("it is cut off"))?;
    *rest = tail;
    Ok(*found)
}

fn number(rest: &mut &[u8]) -> Result<usize, SegmentError> {
    usize::try_from(u32::from_be_bytes(array(rest)?)).map_err(|_| SegmentError::Malformed("a number is too large"))
}

fn part<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], SegmentError> {
    let length = number(rest)?;
    let (found, tail) = rest.split_at_checked(length).ok_or(SegmentError::Malformed("it is cut off"))?;
    *rest = tail;
    Ok(found)
}

fn row(rest: &mut &[u8]) -> Result<SegmentRow, SegmentError> {
    let (seq, time) = (u64::from_be_bytes(array(rest)?), Timestamp(i64::from_be_bytes(array(rest)?)));
    let (group, mac) = (array(rest)?, array(rest)?);
    let [changed, leaves, batch, summary] = [part(rest)?, part(rest)?, part(rest)?, part(rest)?].map(<[u8]>::to_vec);
    if leaves.is_empty() || leaves.len() % 32 != 0 {
        return Err(SegmentError::Malformed("the leaves of a row"));
    }
    Ok(SegmentRow { seq, time, group, mac, changed, leaves, batch, summary })
}

#[cfg(test)]
#[path = "segment_tests.rs"]
mod tests;
