//! `sys/seals`: which seals wrap the keys of tenants, how far a change of them is, and which may be dropped now.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::record::{AutoRecord, SealRecord};
use super::walk::{Progress, Walk};
use super::{Barrier, BarrierError, Guard};
use crate::json::{Json, Object};
use crate::seal::Seal;

/// What is said of one seal.
struct Shown<'a> {
    name: &'a str,
    kind: &'a str,
    listed: bool,
    configured: bool,
    well: bool,
    /// Why it may not be dropped now; none when it may.
    needed: Option<String>,
}

impl Barrier {
    /// The seals that wrap, for whoever changes them.
    pub async fn seals(&self) -> Result<Json, BarrierError> {
        let (Some(deployment), Some(open)) = (self.store.deployment().await?, self.open()) else {
            return Err(BarrierError::Sealed);
        };
        let progress = self.wake.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (SealRecord::of(&deployment)?, &self.guard) {
            (SealRecord::Auto(record), guard) if guard.opening().is_some() || matches!(guard, Guard::Recovery(_)) => {
                let configured = guard.seals();
                let walk = Walk { committer: open.committer(), progress: &self.wake.progress };
                let incomplete = walk.incomplete().await.map_err(|error| BarrierError::Failed(error.to_string()))?;
                let finished = !record.unfinished && incomplete.is_none();
                let mut seals = auto(&record, configured, finished);
                seals.extend(record.beside.as_ref().map(|_| beside(guard.lists_shares(), finished, &seals)));
                let shown = shown(&seals, record.epoch, finished, &progress);
                Ok(Json::object(|o| {
                    o.field("recovery_shares_open", &record.recovers()).splice(&shown);
                }))
            }
            (SealRecord::Shamir(record), _) => {
                let finished = record.next.is_none() && !record.sweep;
                let needed = Some("it is the only one".to_owned());
                let seal = Shown { name: "shamir", kind: "shamir", listed: true, configured: true, well: true, needed };
                Ok(shown(&[seal], record.epoch, finished, &progress))
            }
            // The next look of the keeper changes that, or says why it cannot.
            (SealRecord::Auto(_), _) => Err(BarrierError::Sealed),
        }
    }
}

/// The root key of shares, beside `seals`.
fn beside<'a>(configured: bool, finished: bool, seals: &[Shown<'_>]) -> Shown<'a> {
    let needed = if !finished {
        Some("not every key is wrapped by all listed seals, and by no other, yet".to_owned())
    } else if !seals.iter().any(|seal| seal.listed && seal.well) {
        Some("none of the others answers now".to_owned())
    } else {
        None
    };
    Shown { name: "shamir", kind: "shamir", listed: true, configured, well: true, needed }
}

fn auto<'a>(record: &'a AutoRecord, configured: &'a [Arc<dyn Seal>], finished: bool) -> Vec<Shown<'a>> {
    let (listed, before) = record.lists();
    let all: BTreeSet<&String> = listed.iter().chain(before).collect();
    let of = |identity: &str| configured.iter().find(|seal| seal.identity() == identity);
    let well = |identity: &str| of(identity).is_some_and(|seal| seal.is_well());
    let needed = |identity: &String| {
        let others: Vec<_> = listed.iter().filter(|other| *other != identity).collect();
        if others.is_empty() && record.beside.is_none() {
            Some("it is the only one".to_owned())
        } else if !finished {
            Some("not every key is wrapped by all listed seals, and by no other, yet".to_owned())
        } else if record.beside.is_none() && !others.iter().any(|other| well(other)) {
            Some("none of the others answers now".to_owned())
        } else {
            None
        }
    };
    all.into_iter()
        .map(|identity| Shown {
            name: AutoRecord::name(identity),
            kind: of(identity).map_or("", |seal| seal.kind()),
            listed: listed.contains(identity),
            configured: of(identity).is_some(),
            well: well(identity),
            needed: needed(identity),
        })
        .collect()
}

fn shown(seals: &[Shown<'_>], change: u32, finished: bool, progress: &Progress) -> Json {
    let one = |o: &mut Object<'_>, seal: &Shown<'_>| {
        o.field("type", seal.kind).field("listed", &seal.listed).field("configured", &seal.configured);
        o.field("answers", &seal.well).field("may_be_dropped", &seal.needed.is_none());
        o.field("reason", seal.needed.as_deref().unwrap_or(""));
    };
    Json::object(|o| {
        o.field("change", &change).field("finished", &finished);
        o.field("wrapped", &progress.done).field("waiting", &progress.waiting).field("failed", &progress.failed);
        o.field("own_keys", &progress.own_keys);
        o.field("problem", if finished { "" } else { progress.problem.as_str() });
        o.object("seals", |o| {
            for seal in seals {
                o.object(seal.name, |o| one(o, seal));
            }
        });
    })
}
