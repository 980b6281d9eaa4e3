//! What an export fetches of witnesses: that the log's checkpoint is in the log of the deployment, which they have cosigned.

use std::io;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::export::{Envelope, Log};
use super::folder::CopyFolder;
use crate::audit::copy::{EXTENDS, Folder as _, WITNESSED};
use crate::audit::merkle::Hash;
use crate::audit::note::LogKey;
use crate::audit::witnessed::{Shown, Witnessed};
use crate::audit::witnessing::Submission;
use crate::cli::failure::Failure;

/// How long cosignatures are waited for, where there are witnesses; and how long the deployment's log is, where there are none.
const COSIGNED_WITHIN: Duration = Duration::from_secs(10);
const SIGNED_WITHIN: Duration = Duration::from_secs(3);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
struct Deployment {
    witnesses: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct Proof {
    entry: String,
    index: u64,
    path: Vec<String>,
    checkpoint: String,
}

#[derive(Deserialize)]
struct Consistency {
    path: Vec<String>,
}

/// Writes what there is for the first `size` events. How many of them it is for, if that is not all of them.
pub(super) fn fetch(log: &Log<'_>, key: &LogKey, size: u64, folder: &CopyFolder) -> Result<Option<u64>, Failure> {
    let Some(deployment) = ask::<Deployment>(log, "/deployment", "")? else { return Ok(None) };
    let within = if deployment.witnesses.is_empty() { SIGNED_WITHIN } else { COSIGNED_WITHIN };
    let begin = Instant::now();
    let found = loop {
        let found = proof(log, key, size)?;
        let whole = found.as_ref().is_some_and(|(_, shown)| shown.head.size == size);
        if whole || begin.elapsed() > within {
            break found;
        }
        std::thread::sleep(PAUSE);
    };
    let Some((witnessed, shown)) = found else { return Ok(Some(0)) };
    write(log, key, (&witnessed, &shown), folder)?;
    Ok(Some(shown.head.size).filter(|seen| *seen < size))
}

/// None from a server, or for a token, that has none.
fn ask<D: for<'de> Deserialize<'de>>(log: &Log<'_>, path: &str, query: &str) -> Result<Option<D>, Failure> {
    match log.ask(path, query) {
        Ok(reply) => Ok(Some(reply.parse::<Envelope<D>>()?.data)),
        Err(Failure::Server { status: 403 | 404, .. }) => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn proof(log: &Log<'_>, key: &LogKey, size: u64) -> Result<Option<(Witnessed, Shown)>, Failure> {
    let Some(Proof { entry, index, path, checkpoint }) = ask(log, "/deployment/proof", &format!("size={size}"))? else {
        return Ok(None);
    };
    let witnessed = Witnessed { entry, index, path: hashes(&path)?, checkpoint };
    let shown = witnessed.verify(key).map_err(|error| Failure::local(format!("the server's proof was refused: {error}")))?;
    Ok(Some((witnessed, shown)))
}

fn hashes(path: &[String]) -> Result<Vec<Hash>, Failure> {
    let hash = |text: &String| -> Option<Hash> { HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok() };
    path.iter().map(hash).collect::<Option<_>>().ok_or_else(|| Failure::local("the server's proof is malformed"))
}

/// Writes the proof, and that its tree extends the newest that the folder has of an earlier export.
fn write(log: &Log<'_>, key: &LogKey, (witnessed, shown): (&Witnessed, &Shown), folder: &CopyFolder) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::local(format!("{}: {error}", folder.path().display()));
    let name = format!("{WITNESSED}{}", shown.head.size);
    let mut there = Vec::new();
    folder.walk(&mut |name| there.extend(name.starts_with(WITNESSED).then(|| name.to_owned()))).map_err(failed)?;
    let mut before: Option<Shown> = None;
    for other in there {
        let bytes = folder.read(&other).map_err(failed)?.unwrap_or_default();
        let read = String::from_utf8(bytes).ok().and_then(|text| Witnessed::parse(&text));
        let Some(found) = read.and_then(|found| found.verify(key).ok()) else { continue };
        if other == name && found.tree.size >= shown.tree.size {
            return Ok(());
        }
        let newer = before.as_ref().is_none_or(|before| before.tree.size < found.tree.size);
        if other != name && found.tree.origin == shown.tree.origin && newer {
            before = Some(found);
        }
    }
    if before.as_ref().is_some_and(|before| before.tree.size > shown.tree.size) {
        return Ok(());
    }
    if let Some(Shown { tree, .. }) = before.filter(|before| before.tree != shown.tree) {
        let (old, new) = (tree.size, shown.tree.size);
        let proof = ask::<Consistency>(log, &format!("/deployment/consistency/{old}"), &format!("size={new}"));
        let path = proof.ok().flatten().map(|proof| hashes(&proof.path)).transpose()?.unwrap_or_default();
        let extends = Submission::body(old, &path, &witnessed.checkpoint);
        if Submission::parse(extends.as_bytes()).is_none_or(|proof| proof.judge((old, tree.root)).is_err()) {
            return Err(Failure::local(format!(
                "{} has a tree of the deployment's log with {old} heads, which the server's, with {new}, does not extend: it lost its end, \
                 or was changed. Keep this copy.",
                folder.path().display()
            )));
        }
        folder.write(&format!("{name}{EXTENDS}"), extends.as_bytes()).map_err(failed)?;
    }
    folder.write(&name, witnessed.to_string().as_bytes()).map_err(failed)
}
