//! That a log's checkpoint is in the log of the deployment, which witnesses have cosigned: a file of a copy, which is verified without
//! the server. Its extra data are the leaf's own entry, so it needs nothing else.

use std::fmt;

use super::cosignature::WitnessKey;
use super::head::deployment_of;
use super::merkle::{Hash, leaf_hash};
use super::note::{LogKey, NoteError, TreeHead, log_and_epoch};
use super::proof::verify_inclusion;
use super::tlog_proof::TlogProof;

/// What an export has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// The text of the log's checkpoint.
    pub entry: String,
    /// Its place in the deployment's log.
    pub index: u64,
    /// Hashes from it to the root, lowest first.
    pub path: Vec<Hash>,
    /// The signed tree of the deployment's log, with cosignatures.
    pub checkpoint: String,
}

/// What it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Where the log stood.
    pub head: TreeHead,
    /// The tree of the deployment's log that says so.
    pub tree: TreeHead,
}

/// It does not show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessedError {
    /// The tree of the deployment's log is not one that the key signed.
    #[error("its checkpoint of the deployment's log was refused: {0}")]
    Note(#[from] NoteError),
    /// The head or the tree are of another log, or of a later epoch than the key is named after.
    #[error("it is of another log or deployment than the key")]
    OtherLog,
    /// The path does not lead from the head to the root.
    #[error("its hashes do not lead from the log's checkpoint to the root of the deployment's log")]
    NotThere,
}

impl Witnessed {
    /// Reads `to_string`. Anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let TlogProof { extra, index, path, checkpoint } = TlogProof::parse(text)?;
        Some(Self { entry: extra, index, path, checkpoint })
    }

    /// What it shows of the log of `key`, which signs the deployment's log, too.
    ///
    /// # Errors
    /// It does not, or of another log.
    pub fn verify(&self, key: &LogKey) -> Result<Shown, WitnessedError> {
        let head = TreeHead::parse(&self.entry)?;
        let signed_as = TreeHead::unverified(self.checkpoint.as_bytes())?.origin;
        let (deployment, own) = (log_and_epoch(&signed_as), deployment_of(key.name()));
        if head.text() != self.entry
            || !key.named(&head.origin).is_of_log(key)
            || own.is_none()
            || deployment.map(|(log, _)| log) != own
        {
            return Err(WitnessedError::OtherLog);
        }
        let (tree, _) = key.named(&signed_as).open(self.checkpoint.as_bytes())?;
        let leaf = leaf_hash(self.entry.as_bytes());
        if verify_inclusion(leaf, self.index, tree.size, &self.path, &tree.root) {
            Ok(Shown { head, tree })
        } else {
            Err(WitnessedError::NotThere)
        }
    }

    /// When this witness has cosigned it, in seconds since 1970.
    pub fn cosigned_by(&self, witness: &WitnessKey) -> Option<u64> {
        witness.open(self.checkpoint.as_bytes()).ok().map(|(_, seconds)| seconds)
    }

    /// Which of these witnesses have not cosigned it, and why not.
    pub fn not_cosigned<'w>(&self, witnesses: &'w [WitnessKey]) -> Vec<(&'w WitnessKey, NoteError)> {
        let why = |witness: &'w WitnessKey| witness.open(self.checkpoint.as_bytes()).err().map(|error| (witness, error));
        witnesses.iter().filter_map(why).collect()
    }
}

impl fmt::Display for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { entry: extra, index, path, checkpoint } = self.clone();
        TlogProof { extra, index, path, checkpoint }.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::head::{TenantHead, deployment_origin};
    use super::super::merkle::root;
    use super::super::note::origin;
    use super::super::proof::inclusion;
    use super::*;
    use crate::crypto::{SigningAlgorithm, SigningKey};
    use crate::id::{DeploymentId, TenantId};

    const DEPLOYMENT: DeploymentId = DeploymentId([9; 16]);

    fn key() -> SigningKey {
        SigningKey::generate(SigningAlgorithm::EdDsa).unwrap()
    }

    fn head(tenant: u8) -> TenantHead {
        TenantHead { tenant: TenantId([tenant; 16]), epoch: 0, size: u64::from(tenant) + 3, root: [tenant; 32] }
    }

    /// The head of tenant `at` among seven.
    fn witnessed(at: u8, key: &SigningKey, witness: &SigningKey) -> (Witnessed, WitnessKey) {
        let leaves: Vec<Hash> = (0..7).map(|tenant| head(tenant).leaf(DEPLOYMENT)).collect();
        let tree = TreeHead { origin: deployment_origin(DEPLOYMENT, 0), size: 7, root: root(&leaves) };
        let mut checkpoint = tree.sign(key).unwrap();
        let name = WitnessKey::of("w", witness).unwrap().unwrap();
        checkpoint += &name.cosign(checkpoint.as_bytes(), witness, 5).unwrap();
        let path = inclusion(usize::from(at), &leaves).unwrap();
        (Witnessed { entry: head(at).entry(DEPLOYMENT), index: u64::from(at), path, checkpoint }, name)
    }

    fn log_key(tenant: u8, key: &SigningKey) -> LogKey {
        LogKey::of(&origin(DEPLOYMENT, TenantId([tenant; 16]), 0), key).unwrap()
    }

    #[test]
    fn a_head_is_shown_with_the_key_of_its_log_only() {
        let (own, cosigner) = (key(), key());
        for at in 0..7 {
            let (witnessed, witness) = witnessed(at, &own, &cosigner);
            let shown = witnessed.verify(&log_key(at, &own)).unwrap();
            assert_eq!((shown.head.size, shown.tree.size), (u64::from(at) + 3, 7));
            assert_eq!(Witnessed::parse(&witnessed.to_string()), Some(witnessed.clone()));
            assert_eq!(witnessed.not_cosigned(&[witness]), []);
            assert_eq!(witnessed.verify(&log_key(at + 1, &own)), Err(WitnessedError::OtherLog));
            assert_eq!(witnessed.verify(&log_key(at, &key())), Err(WitnessedError::Note(NoteError::OtherKey)));
        }
        let (honest, witness) = witnessed(3, &own, &cosigner);
        let (other, _) = witnessed(4, &own, &cosigner);
        let moved = Witnessed { entry: other.entry, ..honest.clone() };
        assert_eq!(moved.verify(&log_key(4, &own)), Err(WitnessedError::NotThere));
        // Cosigned in place of it: another key under the name, and a cosignature of another log.
        let posed = WitnessKey::of("w", &key()).unwrap().unwrap();
        assert_eq!(honest.not_cosigned(std::slice::from_ref(&posed)), [(&posed, NoteError::OtherKey)]);
        let foreign = TreeHead { origin: "log.example/a".to_owned(), size: 7, root: [1; 32] }.sign(&own).unwrap();
        let line = witness.cosign(foreign.as_bytes(), &cosigner, 5).unwrap();
        let bare = honest.checkpoint.lines().take(5).collect::<Vec<_>>().join("\n") + "\n";
        let borrowed = Witnessed { checkpoint: bare + &line, ..honest };
        assert!(borrowed.verify(&log_key(3, &own)).is_ok(), "the log's own signature is");
        assert_eq!(borrowed.not_cosigned(std::slice::from_ref(&witness)), [(&witness, NoteError::Signature)]);
    }

    proptest! {
        #[test]
        fn every_byte_counts(at in any::<proptest::sample::Index>(), flip in 1..128_u8) {
            let (own, cosigner) = (key(), key());
            let (witnessed, witness) = witnessed(2, &own, &cosigner);
            let mut text = witnessed.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] ^= flip;
            let read = String::from_utf8(text).ok().and_then(|text| Witnessed::parse(&text));
            let holds = |read: &Witnessed| read.verify(&log_key(2, &own)).is_ok() && read.not_cosigned(std::slice::from_ref(&witness)).is_empty();
            prop_assert!(read.is_none_or(|read| !holds(&read)));
        }
    }
}
