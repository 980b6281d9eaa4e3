//! `sys/audit-log/access` and `sys/audit-log/readers`: who may do what to a path, by the policies of now or of an earlier time;
//! and who has read it, and may still.
//!
//! Both are worked out after the request is in the log, of what is there then: nothing waits for it, and it writes nothing.
//! What is asked about is a path of the request's namespace, as policies and the log name it (`secret/data/app`), and whom that
//! namespace lets in: callers of namespaces above are named by the log alone.
//!
//! Policies are versioned (`auth::policy_history`), and to whom they are attached, too (`commit::past`). What is not known of an
//! earlier time is said, never guessed.

mod gathered;
mod judge;
mod readers;

use std::sync::Arc;

use super::operation::Readers as ReadersAsked;
use super::search::Search;
use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::commit::past::{KEPT, KEPT_DAYS};
use crate::commit::{Tenant, Tenants, Txn};
use crate::json::Json;
use crate::path::Path;
use crate::record::{Kind, SYSTEM};
use crate::reference::{ReferenceId, ReferenceRecord};
use crate::sys::references::Target;
use crate::time::Timestamp;

use gathered::Gathered;
use judge::Judge;

/// What an answer about an earlier time is of.
const BASIS_EARLIER: &str = "Policies, mounts, roles, users, entities, groups and references are as they were then. Tokens are those that are good \
                             now and were there then: of those that have ended since the log tells.";

/// Who may do what to a path.
pub(super) struct Access {
    pub(super) source: Source,
    pub(super) path: Path,
    /// By the policies of this time; of now without.
    pub(super) at: Option<Timestamp>,
    /// How many of those found are passed over.
    pub(super) offset: usize,
    pub(super) limit: usize,
}

impl Access {
    pub(super) async fn answer(self, tenants: &Arc<Tenants>) -> Result<Answer, Refusal> {
        let mut txn = tenants.look();
        let tenant = &self.source.tenant;
        let mut judge = Judge::new(tenant, self.path.as_str(), self.at, txn.now());
        let gathered = Gathered::of(tenant, &self.path, self.at, &mut txn).await?;
        let found = gathered.judged(&mut judge, &mut txn).await?;
        let mut list = Json::list();
        let page = found.iter().skip(self.offset).take(self.limit);
        page.for_each(|row| list.object(|object| row.show(object)));
        let next = (found.len() > self.offset + self.limit).then_some(self.offset + self.limit);
        let list = list.close();
        let mut forgotten = gathered.forgotten;
        if self.at.is_some_and(|at| txn.now().since(at) > KEPT) {
            forgotten.push(format!("whoever was removed more than {KEPT_DAYS} days ago"));
        }
        let basis = if self.at.is_some() { BASIS_EARLIER } else { "Everything is as it is now." };
        Ok(Answer::data(Json::object_of(list.expose().len() + 1024, |data| {
            data.field("path", self.path.as_str()).field("namespace", &self.source.namespace);
            data.field("at", &self.at.unwrap_or(txn.now()).rfc3339()).field("basis", basis);
            data.strings("forgotten_policies", &judge.forgotten()).strings("forgotten", &forgotten);
            data.strings("not_looked_at", &gathered.not_looked_at);
            data.raw("principals", list.expose()).field("total", &found.len()).field("next", &next);
        })))
    }
}

/// Who has read a path.
pub(super) struct Readers {
    pub(super) path: Path,
    pub(super) search: Box<Search>,
}

impl Readers {
    /// Searches for reads of the path, and for uses of references to what is there.
    pub(super) fn new(asked: ReadersAsked, source: Source, references: Vec<[u8; 32]>, now: Timestamp) -> Self {
        let path = asked.path.clone();
        Self { path, search: Box::new(Search::for_reads(asked, references, source, now)) }
    }

    pub(super) async fn answer(self, tenants: &Arc<Tenants>) -> Result<Answer, Refusal> {
        readers::answer(&self.search, &self.path, tenants).await
    }
}

/// Hashes of the references to what is at a path now or was there, as events have them.
pub(super) async fn references(tenant: &Arc<Tenant>, path: &Path, txn: &mut Txn) -> Result<Vec<[u8; 32]>, Refusal> {
    let Some(target) = Target::at(tenant, path, txn).await? else { return Ok(Vec::new()) };
    let listed = ReferenceRecord::past_directory(target.place.mount.id, &target.path);
    let ended = txn.names_of_past(tenant, Kind::Reference, SYSTEM, &listed).await?;
    let mut ids = target.references(txn).await?;
    ids.extend(ended.iter().filter_map(|id| ReferenceId::parse(id)));
    ids.sort_unstable();
    ids.dedup();
    let hash = |id: &ReferenceId| data_encoding::HEXLOWER.decode(id.as_str().as_bytes()).ok()?.try_into().ok();
    Ok(ids.iter().filter_map(hash).collect())
}
