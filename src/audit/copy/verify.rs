//! Verifies a copy: that its events are those whose tree was signed, all of them, in their order, and that nothing else is
//! there. What is wrong is named, and where.

use std::io;

use super::super::head::is_of_deployment;
use super::super::note::{LogKey, NoteError, TreeHead};
use super::super::tile::{Tile, WIDTH};
use super::cosigned::{Cosigned, Quorum, Seen};
use super::heads;
use super::signed::{Roots, Signed};
use super::stored::Stored;
use super::truth::{self, Descent};
use super::{CHECKPOINT, CHECKPOINTS, Fault, Finding, Folder, KEY, UNFINISHED, events};

/// Findings that are listed at most.
const FINDINGS_MAX: usize = 1_000;
/// What a checkpoint is called that was not in the copy.
const KEPT: &str = "the checkpoint that was kept";

/// What came of it.
pub struct Report {
    /// The tree that was verified; none when there is no checkpoint that the key signed.
    pub head: Option<TreeHead>,
    /// The key it was verified with.
    pub key: Option<LogKey>,
    /// Whether the key is the copy's own: then whoever made the copy may have made it all up.
    pub own_key: bool,
    /// Where the store was put back to an older state, and that was accepted: the first event of each epoch, and what it says was
    /// given up.
    pub epochs: Vec<(u64, String)>,
    /// What witnesses have seen of it; none when nobody asks for them.
    pub seen: Option<Seen>,
    /// Everything that is wrong, up to 1,000; none for an honest copy.
    pub findings: Vec<Finding>,
}

/// What somebody who verifies a copy has from elsewhere.
#[derive(Default)]
pub struct Trust<'a> {
    /// The log's public key; that of the copy without it.
    pub key: Option<LogKey>,
    /// A note that was kept from another time, which the copy must be of one history with.
    pub kept: Option<&'a [u8]>,
    /// Heads of the log from elsewhere, and where each of them is from: those that are not longer than the copy must be of its history.
    pub heads: Vec<(String, TreeHead)>,
    /// Who has to have cosigned it.
    pub quorum: Quorum,
}

/// Verifies a copy. `progress` is told how many events were read. Fails only when a file cannot be read.
pub fn verify(folder: &dyn Folder, trust: Trust<'_>, progress: &mut dyn FnMut(u64)) -> io::Result<Report> {
    let Trust { key, kept, mut heads, quorum } = trust;
    let mut check = Check { stored: Stored::new(folder), findings: Vec::new() };
    let mut seen = None;
    let own_key = key.is_none();
    let key = check.key(key)?;
    let head = match &key {
        Some(key) => check.head(key)?,
        None => None,
    };
    if let (Some(key), Some(head)) = (&key, &head) {
        // The copy ends before what was logged since.
        heads.retain(|(_, known)| known.size <= head.size);
        seen = check.tree(key, head, kept, &heads, &quorum, progress)?;
    }
    let Check { mut stored, mut findings } = check;
    let epochs = std::mem::take(&mut stored.epochs).into_iter().collect();
    if head.is_some() {
        findings.extend(stored.out_of_place());
    }
    findings.truncate(FINDINGS_MAX);
    Ok(Report { head, key, own_key, epochs, seen, findings })
}

struct Check<'a> {
    stored: Stored<'a>,
    findings: Vec<Finding>,
}

impl Check<'_> {
    fn find(&mut self, fault: Fault, place: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding::new(fault, place, detail));
    }

    fn key(&mut self, given: Option<LogKey>) -> io::Result<Option<LogKey>> {
        let Some(bytes) = self.stored.read(KEY)? else {
            self.find(Fault::Missing, KEY, "the public key is not there");
            return Ok(given);
        };
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
        let own = text.and_then(LogKey::parse);
        match (&own, &given) {
            (None, _) => self.find(Fault::Changed, KEY, "it is not a public key"),
            // It may have gone on in a later epoch than that in which the key was named.
            (Some(own), Some(given)) if own.is_of_log(given) => return Ok(Some(own.clone())),
            (Some(own), Some(_)) => {
                self.find(Fault::OtherKey, KEY, format!("the copy names the key {} of {}", own.fingerprint(), own.name()));
            }
            _ => {}
        }
        Ok(given.or(own))
    }

    fn head(&mut self, key: &LogKey) -> io::Result<Option<TreeHead>> {
        let Some(note) = self.stored.read(CHECKPOINT)? else {
            self.find(Fault::Missing, CHECKPOINT, "there is no signed tree to verify anything with");
            return Ok(None);
        };
        Ok(self.open(key, CHECKPOINT, &note))
    }

    /// Opens a note of this log, or says why not.
    fn open(&mut self, key: &LogKey, place: &str, note: &[u8]) -> Option<TreeHead> {
        match key.open_of_log(note) {
            Ok((head, 0)) => return Some(head),
            // Those of witnesses.
            Ok((head, _)) if is_of_deployment(key.name()) => return Some(head),
            Ok(_) => self.find(Fault::Unexpected, place, "it has signatures by others"),
            Err(NoteError::OtherKey) => self.find(Fault::OtherKey, place, "the key has not signed it"),
            Err(error) => self.find(Fault::Changed, place, error.to_string()),
        }
        None
    }

    fn tree(
        &mut self,
        key: &LogKey,
        head: &TreeHead,
        kept: Option<&[u8]>,
        heads: &[(String, TreeHead)],
        quorum: &Quorum,
        progress: &mut dyn FnMut(u64),
    ) -> io::Result<Option<Seen>> {
        self.stored.list(head.size)?;
        if self.stored.unfinished {
            self.find(Fault::Unfinished, UNFINISHED, "an export was cut off; it goes on when it is run again");
        }
        let mut cosigned = Cosigned::read(&mut self.stored, key)?;
        let seen = if is_of_deployment(key.name()) {
            let note = self.stored.read(CHECKPOINT)?.unwrap_or_default();
            cosigned.seen_of_deployment(quorum, head.size, &note)
        } else {
            cosigned.seen(quorum, head.size)
        };
        let signed = self.signed(key, head, kept, cosigned.heads().chain(heads.iter().cloned()))?;
        self.findings.append(&mut cosigned.findings);
        self.findings.extend(signed.longer(head.size));
        let mut roots = signed.roots();
        if let Some(findings) = self.events(head, &mut roots, progress)? {
            self.findings.extend(findings);
            self.findings.extend(signed.forks(&roots));
            if is_of_deployment(key.name()) {
                let found = heads::one_history_each(&self.stored, key, head.size)?;
                self.findings.extend(found);
            }
        } else if let Some((edge, findings)) = truth::edge(&mut self.stored, head)? {
            self.findings.extend(findings);
            let mut descent = Descent::new(&mut self.stored, head.size, signed.roots(), progress);
            let found = descent.run(&edge)?;
            self.findings.extend(found.into_iter().chain(signed.forks(&descent.roots)));
        } else {
            self.without_truth(head, &signed)?;
        }
        Ok(seen)
    }

    /// All checkpoints that are there, and those that the deployment's log has.
    fn signed(
        &mut self,
        key: &LogKey,
        head: &TreeHead,
        kept: Option<&[u8]>,
        witnessed: impl Iterator<Item = (String, TreeHead)>,
    ) -> io::Result<Signed> {
        let mut signed = vec![(CHECKPOINT.to_owned(), head.clone())];
        signed.extend(witnessed);
        for name in std::mem::take(&mut self.stored.checkpoints) {
            let Some(note) = self.stored.read(&name)? else { continue };
            let Some(found) = self.open(key, &name, &note) else { continue };
            if name == format!("{CHECKPOINTS}{}", found.size) {
                signed.push((name, found));
            } else {
                self.find(Fault::Changed, name, format!("it is the checkpoint of {} events", found.size));
            }
        }
        if let Some(note) = kept {
            signed.extend(self.open(key, KEPT, note).map(|found| (KEPT.to_owned(), found)));
        }
        Ok(Signed::new(signed))
    }

    /// If the events lead to the root that was signed, then they are right; what is wrong with the tiles over them.
    fn events(&mut self, head: &TreeHead, roots: &mut Roots, progress: &mut dyn FnMut(u64)) -> io::Result<Option<Vec<Finding>>> {
        let mut findings = Vec::new();
        for tile in Tile::all(None, head.size) {
            progress(tile.index * WIDTH);
            let Some(bundle) = self.stored.bundle(tile)? else { return Ok(None) };
            if bundle.leaves.len() as u64 != tile.width {
                return Ok(None);
            }
            findings.extend(bundle.findings);
            for leaf in bundle.leaves {
                roots.push(leaf, &mut |tile, hashes| self.tile(tile, hashes, &mut findings))?;
            }
        }
        for (tile, hashes) in roots.edge.tiles() {
            self.tile(tile, hashes, &mut findings)?;
        }
        Ok((roots.edge.root() == head.root).then_some(findings))
    }

    fn tile(&mut self, tile: Tile, hashes: &[[u8; 32]], findings: &mut Vec<Finding>) -> io::Result<()> {
        let found = self.stored.tile(tile)?;
        if found.hashes.as_deref() != Some(hashes) {
            findings.push(truth::said_of(tile, found.is_there));
        }
        Ok(())
    }

    /// Neither events nor tiles lead to the root that was signed. Earlier checkpoints show from where on.
    fn without_truth(&mut self, head: &TreeHead, signed: &Signed) -> io::Result<()> {
        let mut roots = signed.roots();
        for tile in Tile::all(None, head.size) {
            let Some(bundle) = self.stored.bundle(tile)? else { break };
            self.findings.extend(bundle.findings);
            roots.follow(&bundle.leaves);
        }
        let there = roots.edge.size();
        let (good, bad) = signed.good_and_bad(&roots);
        let among = |end: u64| format!("among {}", events(good, end.max(good + 1) - 1));
        let detail =
            format!("{there} events are there, {} were signed, and no tree of these has the root that was signed", head.size);
        match bad {
            None if there < head.size => self.find(Fault::Truncated, events(there, head.size - 1), detail),
            Some(bad) if there < head.size => self.find(Fault::Missing, among(bad), detail),
            _ if there > head.size => self.find(Fault::Added, among(there), detail),
            bad => self.find(Fault::Changed, among(bad.unwrap_or(head.size)), detail),
        }
        Ok(())
    }
}
