//! `sys/audit-log`: a namespace's audit log, for whoever reviews and verifies it.
//!
//! A request is decided and logged like every other; what it asks for is read from the store after that ([`Reading`]), so a
//! long reading holds up no commit. Pages are whole JSON answers, bounded in size and time, and go on with a cursor. This
//! folder must not write. Indexes and sizes count events from 0; times are those at which events were logged, which never go
//! back within a log.

mod access;
mod archive;
mod deployment;
mod named;
mod opened;
mod operation;
mod page;
mod proofs;
mod search;
mod sift;
mod sources;
mod state;
mod stream;

use std::sync::Arc;

use crate::answer::{Answer, Data, Refusal};
use crate::audit::note::LogKey;
use crate::auth::Caller;
use crate::commit::{Place, Tenants, Txn};
use crate::engine::directory::Mounted;
use crate::record::RecordKey;

use access::{Access, Readers};
use operation::AccessAsked;
pub use operation::{Operation, TABLE};
use proofs::Tree;
use search::Search;
use sources::Source;

/// What is to be read once the request is in the log.
pub struct Reading(Wanted);

enum Wanted {
    Search(Box<Search>),
    Event(Source, u64, bool),
    Archive(Source, archive::Kept),
    Key(LogKey),
    Checkpoint(Tree),
    Inclusion(Tree, u64, Option<u64>),
    Consistency(Tree, u64, Option<u64>),
    Deployment(LogKey),
    Witnessed(Source, Option<u64>),
    DeploymentConsistency(u64, Option<u64>),
    Heads(u64, usize),
    Access(Box<Access>),
    Readers(Readers),
    Changes(Source, u64),
    Records(Source, Option<RecordKey>),
    Record(Source, Vec<Mounted>, RecordKey, Option<u64>),
}

/// Lets the request into the log. [`Reading::answer`] does the rest.
pub async fn run(
    operation: Operation,
    place: &Place,
    caller: Option<&Caller>,
    txn: &mut Txn,
) -> (Result<Answer, Refusal>, Option<Reading>) {
    match prepare(operation, place, caller.ok_or(Refusal::NoToken), txn).await {
        Ok(wanted) => (Ok(Answer::Data(Data::new(None))), Some(Reading(wanted))),
        Err(refusal) => (Err(refusal), None),
    }
}

async fn prepare(
    operation: Operation,
    place: &Place,
    caller: Result<&Caller, Refusal>,
    txn: &mut Txn,
) -> Result<Wanted, Refusal> {
    let caller = caller?;
    let source = |txn: &Txn, edge| Source::of(place, caller, edge, txn);
    Ok(match operation {
        Operation::Search(asked) => {
            let mut sources = vec![source(txn, asked.edge)?];
            if asked.children {
                sources::add_children(&mut sources, place, caller, txn).await?;
            }
            for source in &mut sources {
                source.look_at_archive(asked.archive, txn).await?;
            }
            let entities = match &asked.filter.caller {
                Some(name) => sources::called(name, &place.tenant, txn).await?,
                None => Vec::new(),
            };
            Wanted::Search(Box::new(Search::new(*asked, sources, entities, txn.now())))
        }
        Operation::Event { index, edge, archive } => {
            let mut source = source(txn, edge)?;
            source.look_at_archive(archive, txn).await?;
            Wanted::Event(source, index, archive)
        }
        Operation::Archive { edge } => {
            let mut source = source(txn, edge)?;
            source.look_at_archive(true, txn).await?;
            let kept = archive::kept(&source, txn).await?;
            Wanted::Archive(source, kept)
        }
        Operation::Key(log) => Wanted::Key(Tree::of(log, place, txn)?.key(txn).await?),
        Operation::Checkpoint(log) => Wanted::Checkpoint(Tree::of(log, place, txn)?),
        Operation::Inclusion { index, size, log } => Wanted::Inclusion(Tree::of(log, place, txn)?, index, size),
        Operation::Consistency { from, size, log } => Wanted::Consistency(Tree::of(log, place, txn)?, from, size),
        Operation::Deployment => Wanted::Deployment(txn.deployment_key().await?.ok_or(Refusal::NotFound)?),
        Operation::Witnessed { size, edge } => Wanted::Witnessed(source(txn, edge)?, size),
        Operation::DeploymentConsistency { from, size } => Wanted::DeploymentConsistency(from, size),
        Operation::Heads(from, limit) => {
            // How much each tenant logs is told to who watches over all of them only.
            if place.tenant.parent().is_some() {
                return Err(Refusal::invalid("the heads of all logs are only available in the root namespace"));
            }
            Wanted::Heads(from, limit)
        }
        Operation::Access(asked) => {
            let AccessAsked { path, at, offset, limit } = *asked;
            let at = at.map(|at| at.at(txn.now()));
            if at.is_some_and(|at| at > txn.now()) {
                return Err(Refusal::invalid("at is a time that has not come"));
            }
            Wanted::Access(Box::new(Access { source: source(txn, false)?, path, at, offset, limit }))
        }
        Operation::Readers(asked) => {
            let references = access::references(&place.tenant, &asked.path, txn).await?;
            Wanted::Readers(Readers::new(*asked, source(txn, false)?, references, txn.now()))
        }
        Operation::Changes { from, edge } => Wanted::Changes(source(txn, edge)?, from),
        Operation::Records { after, edge } => Wanted::Records(source(txn, edge)?, after),
        Operation::Record { key, seq, edge } => Wanted::Record(source(txn, edge)?, state::mounts(place, txn).await?, key, seq),
    })
}

impl Reading {
    /// Reads what was asked for.
    pub async fn answer(self, tenants: &Arc<Tenants>) -> Result<Answer, Refusal> {
        match self.0 {
            Wanted::Search(search) => search.run(tenants).await,
            Wanted::Event(source, index, archive) => page::one_event(tenants, &source, index, archive).await,
            Wanted::Archive(source, kept) => archive::show(tenants, &source, &kept).await,
            Wanted::Key(key) => Ok(proofs::key(&key)),
            Wanted::Checkpoint(tree) => proofs::checkpoint(tenants, &tree).await,
            Wanted::Inclusion(tree, index, size) => proofs::inclusion(tenants, &tree, index, size).await,
            Wanted::Consistency(tree, from, size) => proofs::consistency(tenants, &tree, from, size).await,
            Wanted::Deployment(key) => deployment::show(tenants, &key).await,
            Wanted::Witnessed(source, size) => deployment::proof(tenants, &source, size.unwrap_or(u64::MAX)).await,
            Wanted::DeploymentConsistency(from, size) => deployment::consistency(tenants, from, size).await,
            Wanted::Heads(from, limit) => deployment::heads(tenants, from, limit).await,
            Wanted::Access(access) => access.answer(tenants).await,
            Wanted::Readers(readers) => readers.answer(tenants).await,
            Wanted::Changes(source, from) => state::changes(tenants, &source, from).await,
            Wanted::Records(source, after) => state::records(tenants, &source, after).await,
            Wanted::Record(source, mounts, key, seq) => state::record(tenants, &source, &mounts, (key, seq)).await,
        }
    }
}
