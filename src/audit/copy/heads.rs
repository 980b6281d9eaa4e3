//! What a copy of the deployment's log says: where the log of each tenant stood. Whoever watches it sees without any name whether one of
//! them lost its end or was given two histories.

use std::collections::HashMap;
use std::io;

use super::super::head::deployment_of;
use super::super::note::{LogKey, TreeHead, log_and_epoch};
use super::super::tile::{self, Tile, WIDTH};
use super::stored::Stored;
use super::{CHECKPOINT, Fault, Finding, Folder, events};

/// Whether the heads are of this deployment, and those of each log of one history: none is of fewer events than one before, and two of as
/// many have one root. Another epoch is another log. The entries are known to be those that were signed.
pub(super) fn one_history_each(stored: &Stored<'_>, key: &LogKey, size: u64) -> io::Result<Vec<Finding>> {
    let own = log_and_epoch(key.name()).map(|(log, _)| log);
    let (mut newest, mut findings) = (HashMap::<String, TreeHead>::new(), Vec::new());
    each(&mut |name| stored.read(name), size, &mut |at, entry| {
        let place = || events(at, at).replacen("event", "head", 1);
        let head = entry.filter(|head| deployment_of(&head.origin) == own);
        let Some(head) = head else {
            findings.push(Finding::new(Fault::Changed, place(), "it is no head of a log of this deployment"));
            return;
        };
        if let Some(before) = newest.get(&head.origin) {
            let fault = match head.size.cmp(&before.size) {
                std::cmp::Ordering::Less => Some("the log had more events before"),
                std::cmp::Ordering::Equal if head.root != before.root => {
                    Some("the log had another history of as many events before")
                }
                _ => None,
            };
            if let Some(what) = fault {
                findings.push(Finding::new(Fault::Forked, place(), format!("{what}: {}", head.origin)));
                return;
            }
        }
        newest.insert(head.origin.clone(), head);
    })?;
    Ok(findings)
}

/// The heads of one log that a copy of the deployment's log has, whose checkpoint was verified, and the place of each.
pub fn heads_of(folder: &dyn Folder, log: &LogKey) -> io::Result<Vec<(String, TreeHead)>> {
    let note = folder.read(CHECKPOINT)?.unwrap_or_default();
    let size = TreeHead::unverified(&note).map_or(0, |head| head.size);
    let own = log_and_epoch(log.name()).map(|(log, _)| log);
    let mut found = Vec::new();
    each(&mut |name| folder.read(name), size, &mut |at, entry| {
        let own = entry.filter(|head| log_and_epoch(&head.origin).map(|(log, _)| log) == own);
        found.extend(own.map(|head| (format!("head {at} of the deployment's log"), head)));
    })?;
    Ok(found)
}

/// Hands over each entry of the bundles, with its place; `None` for what is no head.
fn each(
    read: &mut dyn FnMut(&str) -> io::Result<Option<Vec<u8>>>,
    size: u64,
    take: &mut dyn FnMut(u64, Option<TreeHead>),
) -> io::Result<()> {
    for tile in Tile::all(None, size) {
        let bytes = read(&tile.path())?.unwrap_or_default();
        for (at, entry) in (tile.index * WIDTH..).zip(tile::entries(&bytes).0) {
            let text = std::str::from_utf8(entry).ok();
            take(at, text.and_then(|text| TreeHead::parse(text).ok().filter(|head| head.text() == text)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::cosignature::WitnessKey;
    use super::super::super::head::{TenantHead, deployment_origin};
    use super::super::super::merkle::{leaf_hash, root};
    use super::super::super::note::origin;
    use super::super::verify_tests::{Files, event, key, written};
    use super::super::{KEY, Quorum, Report, Trust, verify};
    use super::*;
    use crate::crypto::SigningKey;
    use crate::id::{DeploymentId, TenantId};

    const DEPLOYMENT: DeploymentId = DeploymentId([1; 16]);

    fn head(tenant: u8, size: u64, root: u8) -> TenantHead {
        TenantHead { tenant: TenantId([tenant; 16]), epoch: 0, size, root: [root; 32] }
    }

    /// 300 heads of three logs.
    fn heads() -> Vec<TenantHead> {
        (0..300_u16).map(|at| head(u8::try_from(at % 3).unwrap(), u64::from(at / 3) + 1, u8::try_from(at / 3).unwrap())).collect()
    }

    fn log_key(own: &SigningKey) -> LogKey {
        LogKey::of(&deployment_origin(DEPLOYMENT, 0), own).unwrap()
    }

    /// A copy of these entries, which the key has signed, and a witness has cosigned.
    fn copy(entries: &[Vec<u8>], own: &SigningKey, witness: Option<(&WitnessKey, &SigningKey)>) -> Files {
        let mut files = written(entries);
        let leaves: Vec<[u8; 32]> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let tree = TreeHead { origin: deployment_origin(DEPLOYMENT, 0), size: leaves.len() as u64, root: root(&leaves) };
        let mut note = tree.sign(own).unwrap();
        if let Some((name, key)) = witness {
            note += &name.cosign(note.clone().as_bytes(), key, 1_800_000_000).unwrap();
        }
        files.insert(CHECKPOINT.to_owned(), note.into_bytes());
        files.insert(KEY.to_owned(), format!("{}\n", log_key(own)).into_bytes());
        files
    }

    fn entries(heads: &[TenantHead]) -> Vec<Vec<u8>> {
        heads.iter().map(|head| head.entry(DEPLOYMENT).into_bytes()).collect()
    }

    fn checked(files: &Files, own: &SigningKey, quorum: Quorum) -> Report {
        verify(files, Trust { key: Some(log_key(own)), quorum, ..Trust::default() }, &mut |_| {}).unwrap()
    }

    fn named(files: &Files, own: &SigningKey) -> Vec<(Fault, String)> {
        let found = checked(files, own, Quorum::default()).findings;
        found.into_iter().map(|finding| (finding.fault, finding.place)).collect()
    }

    #[test]
    fn a_log_that_lost_its_end_or_forked_is_found_among_all() {
        let own = key();
        let honest = heads();
        assert_eq!(named(&copy(&entries(&honest), &own, None), &own), []);
        // Signed, and still not of one history.
        let mut shorter = honest.clone();
        shorter[270].size = 5;
        assert_eq!(named(&copy(&entries(&shorter), &own, None), &own), [(Fault::Forked, "head 270".to_owned())]);
        let mut forked = honest.clone();
        forked[271] = TenantHead { root: [9; 32], ..honest[268] };
        assert_eq!(named(&copy(&entries(&forked), &own, None), &own), [(Fault::Forked, "head 271".to_owned())]);
        let mut foreign = entries(&honest);
        foreign[3] = head(1, 1, 1).entry(DeploymentId([2; 16])).into_bytes();
        foreign[4] = event(4);
        let expected = [3, 4].map(|at| (Fault::Changed, format!("head {at}")));
        assert_eq!(named(&copy(&foreign, &own, None), &own), expected);
        // Another epoch begins anew; the same head may come again.
        let mut again = honest.clone();
        again[299] = TenantHead { epoch: 1, size: 3, ..honest[299] };
        again[298] = honest[295];
        assert_eq!(named(&copy(&entries(&again), &own, None), &own), []);
    }

    #[test]
    fn its_checkpoint_is_what_witnesses_have_cosigned() {
        let (own, cosigner) = (key(), key());
        let witness = WitnessKey::of("w", &cosigner).unwrap().unwrap();
        let quorum = Quorum { witnesses: vec![witness.clone()], required: 1 };
        let files = copy(&entries(&heads()), &own, Some((&witness, &cosigner)));
        let report = checked(&files, &own, quorum.clone());
        assert_eq!(report.findings, []);
        assert_eq!(report.seen.unwrap().by, [("w".to_owned(), 1_800_000_000)]);
        let bare = copy(&entries(&heads()), &own, None);
        let faults = |files: &Files| -> Vec<Fault> {
            checked(files, &own, quorum.clone()).findings.into_iter().map(|finding| finding.fault).collect()
        };
        assert_eq!(faults(&bare), [Fault::Unwitnessed]);
        let posed = copy(&entries(&heads()), &own, Some((&witness, &key())));
        assert_eq!(faults(&posed), [Fault::Changed, Fault::Unwitnessed]);
    }

    #[test]
    fn a_log_is_held_against_every_head_that_is_there_of_it() {
        let own = key();
        let events: Vec<Vec<u8>> = (0..40).map(event).collect();
        let leaves: Vec<[u8; 32]> = events.iter().map(|event| leaf_hash(event)).collect();
        let log = LogKey::of(&origin(DEPLOYMENT, TenantId([7; 16]), 0), &own).unwrap();
        let mut files = written(&events);
        let tree = |size: usize| TreeHead { origin: log.name().to_owned(), size: size as u64, root: root(&leaves[..size]) };
        files.insert(CHECKPOINT.to_owned(), tree(40).sign(&own).unwrap().into_bytes());
        files.insert(KEY.to_owned(), format!("{log}\n").into_bytes());
        let known = |head: &TreeHead| TenantHead { tenant: TenantId([7; 16]), epoch: 0, size: head.size, root: head.root };
        let mut all = heads();
        all.extend([known(&tree(10)), known(&tree(30)), TenantHead { size: 50, ..known(&tree(40)) }]);
        let faults = |all: &[TenantHead]| -> Vec<(Fault, String)> {
            let heads = heads_of(&copy(&entries(all), &own, None), &log).unwrap();
            assert_eq!(heads.len(), 3);
            let trust = Trust { key: Some(log.clone()), heads, ..Trust::default() };
            let found = verify(&files, trust, &mut |_| {}).unwrap().findings;
            found.into_iter().map(|finding| (finding.fault, finding.place)).collect()
        };
        assert_eq!(faults(&all), []);
        all[301].root = [3; 32];
        assert_eq!(faults(&all), [(Fault::Forked, "head 301 of the deployment's log".to_owned())]);
    }
}
