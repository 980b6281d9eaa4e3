//! What records were: of a kind that has a past (`Record::past`), each change adds a version of what is kept of it, and so does its
//! removal. Only auditors ask; what is in force is decided by the records themselves. Nobody who writes a record can leave it out:
//! `Txn::put` and `Txn::remove` see to it.
//!
//! All versions of one record are one record themselves, which is listed by kind and mount: so it shows what there was and is not
//! there any more. Of what was removed it goes after [`KEPT_DAYS`]; of what changes often the oldest versions go first, and it says so.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::Refusal;
use crate::id::MountId;
use crate::json_record;
use crate::record::{Address, Kind, Listing, Past, Record};
use crate::time::Timestamp;

/// Versions of one record that are kept.
pub const VERSIONS_MAX: usize = 100;
/// How many bytes they have together, unless the newest alone has more.
pub const BYTES_MAX: usize = 64 << 10;
/// How long what is known of a record is kept when it is there no more.
pub const KEPT_DAYS: u64 = 400;

/// How long that is.
pub const KEPT: Duration = Duration::from_secs(KEPT_DAYS * 24 * 3600);

/// What a record was, oldest first.
#[derive(Clone, Default, Serialize, Deserialize)]
struct History {
    /// There were older versions, which are not kept any more.
    forgotten: bool,
    versions: Vec<Version>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Version {
    /// When it was written; none of what was there before versions were kept.
    since: Option<Timestamp>,
    /// What is kept of it; none when it was removed.
    was: Option<Box<RawValue>>,
}

json_record!(History, Kind::History, Listing::Flat);

/// What is known of a record at some time.
#[derive(Debug, PartialEq, Eq)]
pub enum Known<T> {
    /// It was this.
    Was(T),
    /// This is the first that is known of it, and since when it was so is not: it has not been changed since versions are kept,
    /// or was changed for the first time later.
    First(T),
    /// There was none.
    Absent,
    /// It was written too often since: what it was then is not kept any more.
    Forgotten,
}

impl<T> Known<T> {
    /// What it was, and whether it was surely so.
    pub fn into_value(self) -> Option<(T, bool)> {
        match self {
            Self::Was(value) => Some((value, true)),
            Self::First(value) => Some((value, false)),
            Self::Absent | Self::Forgotten => None,
        }
    }
}

impl Txn {
    /// What is kept of a record, as of a time, or as it is now. `directory` is what `Past` says.
    pub async fn as_of<R: Record, T: DeserializeOwned>(
        &mut self,
        tenant: &Arc<Tenant>,
        address: &Address,
        directory: &str,
        at: Option<Timestamp>,
    ) -> Result<Known<T>, Refusal> {
        if let Some(at) = at
            && let Some(kept) = self.read::<History>(tenant, &history_address(address, directory)).await?
        {
            return kept.value.at(at);
        }
        let Some(found) = self.read::<R>(tenant, address).await? else { return Ok(Known::Absent) };
        let Some(past) = found.value.past().filter(|past| past.directory == directory) else { return Ok(Known::Absent) };
        let value = decoded(&past.was)?;
        Ok(if at.is_none() { Known::Was(value) } else { Known::First(value) })
    }

    /// Names of the records of a kind and mount that are there, sorted; with `ever`, also of those that were there once.
    pub async fn names_of(
        &mut self,
        tenant: &Arc<Tenant>,
        kind: Kind,
        mount: MountId,
        ever: bool,
    ) -> Result<Vec<Box<str>>, Refusal> {
        let mut names = self.names(tenant, kind, mount, "").await?.to_vec();
        if ever {
            names.extend(self.names_of_past(tenant, kind, mount, "").await?.iter().cloned());
            names.sort_unstable();
            names.dedup();
        }
        Ok(names)
    }

    /// Names of the records of which a past is kept in a directory, sorted.
    pub async fn names_of_past(
        &mut self,
        tenant: &Arc<Tenant>,
        kind: Kind,
        mount: MountId,
        directory: &str,
    ) -> Result<Arc<[Box<str>]>, Refusal> {
        self.names(tenant, Kind::History, mount, &history_directory(kind, directory)).await
    }

    /// To be called before a record is written, with its expiry, or removed.
    pub(super) async fn note_past<R: Record>(
        &mut self,
        tenant: &Arc<Tenant>,
        address: &Address,
        next: Option<(&R, Option<Timestamp>)>,
    ) -> Result<(), Refusal> {
        if !R::HAS_PAST {
            return Ok(());
        }
        let mut before = match self.read::<R>(tenant, address).await {
            Ok(found) => found.and_then(|found| found.value.past()),
            // A record that was damaged can be removed.
            Err(Refusal::Internal(_)) if next.is_none() => {
                let ends = self.now().plus(KEPT);
                return self.note_version(tenant, &history_address(address, ""), None, None, Some(ends)).await;
            }
            Err(refusal) => return Err(refusal),
        };
        let after = next.and_then(|(value, expires_at)| Some((value.past()?, expires_at)));
        let moved = |before: &mut Past| after.as_ref().is_none_or(|(after, _)| after.directory != before.directory);
        if let Some(gone) = before.take_if(moved) {
            let ends = self.now().plus(KEPT);
            self.note_version(tenant, &history_address(address, &gone.directory), Some(gone.was), None, Some(ends)).await?;
        }
        let Some((after, expires_at)) = after else { return Ok(()) };
        let (address, before) = (history_address(address, &after.directory), before.map(|before| before.was));
        self.note_version(tenant, &address, before, Some(after.was), expires_at.map(|at| at.plus(KEPT))).await
    }

    async fn note_version(
        &mut self,
        tenant: &Arc<Tenant>,
        address: &Address,
        before: Option<Box<RawValue>>,
        after: Option<Box<RawValue>>,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let kept = self.read::<History>(tenant, address).await?;
        let mut history = kept.map(|found| History::clone(&found.value)).unwrap_or_default();
        if history.versions.is_empty() && before.is_some() {
            history.versions.push(Version { since: None, was: before });
        }
        if history.is_now(after.as_deref()) {
            return Ok(());
        }
        history.add(self.now(), after);
        // Not `put`, which keeps a past of what it writes.
        self.put_payload(tenant, address, Listing::Flat, &history.encode(), expires_at);
        Ok(())
    }
}

impl History {
    /// Whether the newest version says this. Whoever writes the same again, as tools do that bring about a state, adds nothing.
    fn is_now(&self, what: Option<&RawValue>) -> bool {
        let newest = self.versions.last().and_then(|version| version.was.as_deref());
        newest.map(RawValue::get) == what.map(RawValue::get)
    }

    fn add(&mut self, now: Timestamp, was: Option<Box<RawValue>>) {
        // Clocks go back; what comes later is later.
        let newest = self.versions.last().and_then(|version| version.since);
        let since = Some(newest.map_or(now, |newest| newest.max(now)));
        self.versions.retain(|version| version.since != since);
        self.versions.push(Version { since, was });
        let size = |version: &Version| version.was.as_ref().map_or(0, |was| was.get().len());
        let mut bytes: usize = self.versions.iter().map(size).sum();
        let mut surplus = 0;
        for version in self.versions.iter().take(self.versions.len() - 1) {
            if bytes <= BYTES_MAX && self.versions.len() - surplus <= VERSIONS_MAX {
                break;
            }
            (bytes, surplus) = (bytes - size(version), surplus + 1);
        }
        self.versions.drain(..surplus);
        self.forgotten |= surplus > 0;
    }

    fn at<T: DeserializeOwned>(&self, time: Timestamp) -> Result<Known<T>, Refusal> {
        let version = self.versions.iter().rev().find(|version| version.since.is_none_or(|since| since <= time));
        Ok(match version {
            Some(Version { since: None, was: Some(was) }) => Known::First(decoded(was)?),
            Some(Version { was: Some(was), .. }) => Known::Was(decoded(was)?),
            None if self.forgotten => Known::Forgotten,
            Some(_) | None => Known::Absent,
        })
    }
}

fn decoded<T: DeserializeOwned>(was: &RawValue) -> Result<T, Refusal> {
    serde_json::from_str(was.get()).map_err(|error| {
        Refusal::Internal(format!("what is kept of a record does not decode: line {} column {}", error.line(), error.column()))
    })
}

fn history_address(address: &Address, directory: &str) -> Address {
    let directory = history_directory(address.kind, directory);
    Address { kind: Kind::History, mount: address.mount, directory, name: format!("{}{}", address.directory, address.name) }
}

fn history_directory(kind: Kind, directory: &str) -> String {
    format!("{}/{directory}", kind as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Box<RawValue> {
        RawValue::from_string(format!("\"{text}\"")).unwrap()
    }

    fn was(text: &str) -> Known<String> {
        Known::Was(text.to_owned())
    }

    fn at(history: &History, time: i64) -> Known<String> {
        history.at(Timestamp(time)).unwrap()
    }

    #[test]
    fn it_is_known_from_its_first_version_to_its_end() {
        let mut history = History::default();
        history.add(Timestamp(10), Some(value("a")));
        history.add(Timestamp(20), Some(value("b")));
        history.add(Timestamp(30), None);
        history.add(Timestamp(40), Some(value("c")));
        let expected = [
            (9, Known::Absent),
            (10, was("a")),
            (19, was("a")),
            (20, was("b")),
            (30, Known::Absent),
            (40, was("c")),
            (99, was("c")),
        ];
        for (time, expected) in expected {
            assert_eq!(at(&history, time), expected, "{time}");
        }
        assert!(history.is_now(Some(&*value("c"))) && !history.is_now(None) && !history.is_now(Some(&*value("b"))));
        assert!(History::default().is_now(None));
    }

    #[test]
    fn what_was_there_before_versions_were_kept_is_the_first_that_is_known() {
        let mut history = History { forgotten: false, versions: vec![Version { since: None, was: Some(value("old")) }] };
        history.add(Timestamp(10), Some(value("new")));
        assert_eq!((at(&history, 9), at(&history, 10)), (Known::First("old".to_owned()), was("new")));
    }

    #[test]
    fn the_oldest_versions_go_and_it_shows() {
        let mut history = History::default();
        for time in 0..=VERSIONS_MAX {
            history.add(Timestamp(i64::try_from(time).unwrap()), Some(value(&time.to_string())));
        }
        assert_eq!(history.versions.len(), VERSIONS_MAX);
        assert_eq!((at(&history, 0), at(&history, 1)), (Known::Forgotten, was("1")));
        let mut history = History::default();
        let large = "x".repeat(BYTES_MAX / 2);
        for time in 1..=3 {
            history.add(Timestamp(time), Some(value(&large)));
        }
        assert_eq!((history.versions.len(), at(&history, 2), at(&history, 3)), (1, Known::Forgotten, was(&large)));
        history.add(Timestamp(4), Some(value(&"y".repeat(2 * BYTES_MAX))));
        assert_eq!(history.versions.len(), 1, "the newest is kept, however large");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_bring_back_what_was() {
        let mut history = History::default();
        history.add(Timestamp(20), Some(value("a")));
        history.add(Timestamp(10), Some(value("b")));
        assert_eq!((at(&history, 15), at(&history, 20)), (Known::Absent, was("b")));
    }
}
