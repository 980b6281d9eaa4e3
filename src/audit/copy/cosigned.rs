//! What witnesses have cosigned of a copy's log: the files below `witnessed/`, held against each other, against the key, and against
//! who has to have cosigned them.

use std::io;

use super::super::cosignature::WitnessKey;
use super::super::note::{LogKey, NoteError, TreeHead, log_and_epoch};
use super::super::witnessed::{Shown, Witnessed, WitnessedError};
use super::super::witnessing::Submission;
use super::stored::Stored;
use super::{CHECKPOINT, EXTENDS, Fault, Finding, WITNESSED, events};

/// Who has to have cosigned a log.
#[derive(Clone, Debug, Default)]
pub struct Quorum {
    /// Witnesses that somebody trusts.
    pub witnesses: Vec<WitnessKey>,
    /// How many of them are needed.
    pub required: usize,
}

/// What witnesses have seen of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many of its events.
    pub events: u64,
    /// Who of the quorum, and when: seconds since 1970.
    pub by: Vec<(String, u64)>,
}

/// One file.
struct File {
    name: String,
    witnessed: Witnessed,
    shown: Shown,
}

/// All of them, sound ones only, in the order of the deployment's log.
pub(super) struct Cosigned {
    files: Vec<File>,
    pub(super) findings: Vec<Finding>,
}

impl Cosigned {
    /// Reads what is there.
    pub(super) fn read(stored: &mut Stored<'_>, key: &LogKey) -> io::Result<Self> {
        let (mut files, mut findings) = (Vec::new(), Vec::new());
        for name in std::mem::take(&mut stored.witnessed) {
            let Some(bytes) = stored.read(&name)? else { continue };
            let read = String::from_utf8(bytes).ok().and_then(|text| Witnessed::parse(&text));
            let Some(witnessed) = read else {
                findings.push(Finding::new(Fault::Changed, name, "it is not a proof"));
                continue;
            };
            match witnessed.verify(key) {
                Ok(shown) if name == format!("{WITNESSED}{}", shown.head.size) => {
                    files.push(File { name, witnessed, shown });
                }
                Ok(shown) => {
                    let detail = format!("it is of the checkpoint of {} events", shown.head.size);
                    findings.push(Finding::new(Fault::Changed, name, detail));
                }
                Err(WitnessedError::Note(NoteError::OtherKey)) => {
                    findings.push(Finding::new(
                        Fault::OtherKey,
                        name,
                        "the key has not signed its checkpoint of the deployment's log",
                    ));
                }
                Err(error) => findings.push(Finding::new(Fault::Changed, name, error.to_string())),
            }
        }
        files.sort_by_key(|file| (epoch(&file.shown.tree), file.shown.tree.size, file.shown.head.size));
        let mut cosigned = Self { files, findings };
        cosigned.one_history(stored)?;
        Ok(cosigned)
    }

    /// Heads that the deployment's log has, by the file that says so.
    pub(super) fn heads(&self) -> impl Iterator<Item = (String, TreeHead)> {
        self.files.iter().map(|file| (file.name.clone(), file.shown.head.clone()))
    }

    /// Each tree of the deployment's log extends the one before.
    fn one_history(&mut self, stored: &mut Stored<'_>) -> io::Result<()> {
        let pairs = self.files.iter().zip(self.files.iter().skip(1));
        for (before, after) in pairs.filter(|(before, after)| before.shown.tree.origin == after.shown.tree.origin) {
            let (old, new) = (&before.shown.tree, &after.shown.tree);
            if old.size == new.size {
                let detail = format!("{} has another tree of the deployment's log, of as many heads", before.name);
                self.findings.extend((old.root != new.root).then(|| Finding::new(Fault::Forked, &after.name, detail)));
                continue;
            }
            let name = format!("{}{EXTENDS}", after.name);
            stored.extends.remove(&name);
            let Some(bytes) = stored.read(&name)? else {
                let detail = format!("nothing shows that the deployment's log of {} extends that of {}", after.name, before.name);
                self.findings.push(Finding::new(Fault::Missing, name, detail));
                continue;
            };
            let proof = Submission::parse(&bytes)
                .filter(|proof| proof.head == *new && proof.note == after.witnessed.checkpoint.as_bytes());
            if proof.is_none_or(|proof| proof.judge((old.size, old.root)).is_err()) {
                let detail =
                    format!("it does not show that the deployment's log of {} extends that of {}", after.name, before.name);
                self.findings.push(Finding::new(Fault::Changed, name, detail));
            }
        }
        Ok(())
    }

    /// Whether as many as have to have cosigned all `size` events; none are asked for without witnesses.
    pub(super) fn seen(&mut self, quorum: &Quorum, size: u64) -> Option<Seen> {
        let Quorum { witnesses, required } = quorum;
        if witnesses.is_empty() {
            return None;
        }
        for file in &self.files {
            for (witness, error) in file.witnessed.not_cosigned(witnesses) {
                if error != NoteError::OtherKey {
                    let detail = format!("the cosignature of {} was refused: {error}", witness.name());
                    self.findings.push(Finding::new(Fault::Changed, &file.name, detail));
                }
            }
        }
        let Some(newest) = self.files.last() else {
            let detail = "nothing shows that a witness has seen any of them";
            self.findings.push(Finding::new(Fault::Unwitnessed, events(0, size.max(1) - 1), detail));
            return None;
        };
        let opened = |witness: &WitnessKey| newest.witnessed.cosigned_by(witness).map(|time| (witness.name().to_owned(), time));
        let by: Vec<(String, u64)> = witnesses.iter().filter_map(opened).collect();
        if by.len() < *required {
            let without = |witness: &&WitnessKey| by.iter().all(|(name, _)| name != witness.name());
            let missing: Vec<&str> = witnesses.iter().filter(without).map(WitnessKey::name).collect();
            let detail =
                format!("{} of the {required} witnesses that are needed have cosigned it: not {}", by.len(), missing.join(", "));
            self.findings.push(Finding::new(Fault::Unwitnessed, &newest.name, detail));
        }
        let until = newest.shown.head.size;
        if until < size {
            let detail = "they were logged later than what witnesses have seen: export again later";
            self.findings.push(Finding::new(Fault::Unwitnessed, events(until, size - 1), detail));
        }
        Some(Seen { events: until, by })
    }
}

impl Cosigned {
    /// The same for the log of the deployment itself, whose checkpoint is what witnesses cosign.
    pub(super) fn seen_of_deployment(&mut self, quorum: &Quorum, size: u64, note: &[u8]) -> Option<Seen> {
        let Quorum { witnesses, required } = quorum;
        if witnesses.is_empty() {
            return None;
        }
        let (mut by, mut missing) = (Vec::new(), Vec::new());
        for witness in witnesses {
            match witness.open(note) {
                Ok((_, time)) => by.push((witness.name().to_owned(), time)),
                Err(error) => {
                    missing.push(witness.name());
                    if error != NoteError::OtherKey {
                        let detail = format!("the cosignature of {} was refused: {error}", witness.name());
                        self.findings.push(Finding::new(Fault::Changed, CHECKPOINT, detail));
                    }
                }
            }
        }
        if by.len() < *required {
            let detail =
                format!("{} of the {required} witnesses that are needed have cosigned it: not {}", by.len(), missing.join(", "));
            self.findings.push(Finding::new(Fault::Unwitnessed, CHECKPOINT, detail));
        }
        Some(Seen { events: size, by })
    }
}

fn epoch(tree: &TreeHead) -> u32 {
    log_and_epoch(&tree.origin).map_or(0, |(_, epoch)| epoch)
}
