//! What the MAC of a log row covers, as one canonical byte string: who writes a row and who checks it compute the same.
//!
//! The MAC binds the row to its place in its tenant's chain and to every column, so that a row that was edited, moved or
//! exchanged for an older one does not verify. It does not show that the newest rows are missing: the tree and its
//! checkpoints do.

use super::merkle::{Frontier, Hash};
use crate::crypto::sha256;
use crate::id::{DeploymentId, TenantId};
use crate::time::Timestamp;

const LABEL: &[u8] = b"strongroom log row v1";

/// The columns of a log row, as they are stored.
pub struct Row<'a> {
    /// The installation.
    pub deployment: DeploymentId,
    /// The tenant whose log it is.
    pub tenant: TenantId,
    /// Index of the row's first event.
    pub first_index: u64,
    /// How many events it holds.
    pub count: u32,
    /// The change number that its group wrote.
    pub seq: u64,
    /// The tenant's time after the group.
    pub time: Timestamp,
    /// The group's random identifier, by which it is found after a lost COMMIT.
    pub group: [u8; 16],
    /// Root of the tree before the row.
    pub prev_root: Hash,
    /// The tree after the row.
    pub frontier: &'a Frontier,
    /// The changed keys and directories, as stored.
    pub changed: &'a [u8],
    /// The leaf hashes, as stored.
    pub leaves: &'a [u8],
    /// The sealed batch, as stored.
    pub batch: &'a [u8],
}

impl Row<'_> {
    /// The byte string for `Keyring::batch_mac`: each part as length (u32, big-endian) ‖ bytes. Parts, in order: label,
    /// deployment, tenant, first index (u64), count (u32), seq (u64), time (i64), group, root before, root after, and the
    /// SHA-256 of frontier, changed keys, leaf hashes and sealed batch.
    pub fn mac_input(&self) -> Vec<u8> {
        let parts: [&[u8]; 14] = [
            LABEL,
            &self.deployment.0,
            &self.tenant.0,
            &self.first_index.to_be_bytes(),
            &self.count.to_be_bytes(),
            &self.seq.to_be_bytes(),
            &self.time.0.to_be_bytes(),
            &self.group,
            &self.prev_root,
            &self.frontier.root(),
            &sha256(&[&self.frontier.to_bytes()]),
            &sha256(&[self.changed]),
            &sha256(&[self.leaves]),
            &sha256(&[self.batch]),
        ];
        let mut out = Vec::with_capacity(372);
        for part in parts {
            // Every part is shorter than 100 bytes.
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(frontier: &Frontier) -> Row<'_> {
        Row {
            deployment: DeploymentId([1; 16]),
            tenant: TenantId([2; 16]),
            first_index: 3,
            count: 4,
            seq: 5,
            time: Timestamp(6),
            group: [10; 16],
            prev_root: [7; 32],
            frontier,
            changed: b"changed",
            leaves: b"leaves",
            batch: b"batch",
        }
    }

    /// Rows that are stored must verify for ever.
    #[test]
    fn the_form_is_fixed() {
        let mut frontier = Frontier::new();
        frontier.push([8; 32]);
        let input = row(&frontier).mac_input();
        assert_eq!(input.len(), 14 * 4 + 21 + 16 + 16 + 8 + 4 + 8 + 8 + 16 + 6 * 32);
        assert_eq!(&input[..25], b"\x00\x00\x00\x15strongroom log row v1");
        let digest = data_encoding::HEXLOWER.encode(&sha256(&[&input]));
        assert_eq!(digest, "ea5b8ae357e69c3f2399ce6348a13f269534da75a3e82ec2e08b71112dd2ea1a");
    }

    #[test]
    fn every_column_changes_it() {
        let (mut frontier, mut other) = (Frontier::new(), Frontier::new());
        frontier.push([8; 32]);
        other.push([9; 32]);
        let changed = [
            row(&frontier),
            Row { deployment: DeploymentId([9; 16]), ..row(&frontier) },
            Row { tenant: TenantId([9; 16]), ..row(&frontier) },
            Row { first_index: 9, ..row(&frontier) },
            Row { count: 9, ..row(&frontier) },
            Row { seq: 9, ..row(&frontier) },
            Row { time: Timestamp(9), ..row(&frontier) },
            Row { group: [9; 16], ..row(&frontier) },
            Row { prev_root: [9; 32], ..row(&frontier) },
            row(&other),
            Row { changed: b"other", ..row(&frontier) },
            Row { leaves: b"other", ..row(&frontier) },
            Row { batch: b"other", ..row(&frontier) },
            Row { changed: b"batch", batch: b"changed", ..row(&frontier) },
        ];
        let inputs: std::collections::BTreeSet<Vec<u8>> = changed.iter().map(Row::mac_input).collect();
        assert_eq!(inputs.len(), changed.len());
    }
}
