//! What shows that a log is the one that was signed: its newest checkpoint, and proofs to hold against it. Of the log of an erased
//! namespace, too, whose leaf hashes stay.

use std::sync::Arc;

use super::operation::{boolean, text as parameter};
use crate::answer::{Answer, Refusal};
use crate::audit::merkle::Hash;
use crate::audit::note::LogKey;
use crate::audit::proof::{consistency_stretches, inclusion_stretches};
use crate::commit::{Place, Tenant, Tenants, Txn};
use crate::fields::Query;
use crate::id::TenantId;
use crate::json::Json;
use crate::storage::Checkpoint;

/// Which log a proof is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// The namespace's.
    Own,
    /// That of callers without a valid token.
    Edge,
    /// What is left of an erased namespace's.
    Erased(TenantId),
}

impl Log {
    /// Reads `edge` and `erased`.
    pub(super) fn parse(query: &Query) -> Result<Self, Refusal> {
        let edge = boolean(query, "edge")?;
        let Some(id) = parameter(query, "erased")? else { return Ok(if edge { Self::Edge } else { Self::Own }) };
        if edge {
            return Err(Refusal::invalid("edge and erased name two logs"));
        }
        let wrong = || Refusal::invalid("erased is the id of a namespace, as sys/erasures lists it");
        TenantId::parse(&id).map(Self::Erased).ok_or_else(wrong)
    }
}

/// The tree of a log.
pub(super) enum Tree {
    Live(Arc<Tenant>),
    Erased(TenantId),
}

impl Tree {
    /// The tree that is asked for, if it is for the request's namespace to ask.
    pub(super) fn of(log: Log, place: &Place, txn: &Txn) -> Result<Self, Refusal> {
        let name = match log {
            Log::Own => return Ok(Self::Live(Arc::clone(&place.tenant))),
            Log::Edge => "edge",
            Log::Erased(_) => "erased",
        };
        if place.tenant.parent().is_some() {
            return Err(Refusal::Invalid(format!("{name} is only available in the root namespace")));
        }
        Ok(match log {
            Log::Erased(tenant) => Self::Erased(tenant),
            _ => Self::Live(txn.tenants().edge()),
        })
    }

    /// The key that it is signed with. That of an erased log has the name that its newest checkpoint has.
    pub(super) async fn key(&self, txn: &mut Txn) -> Result<LogKey, Refusal> {
        let (tenant, origin) = match self {
            Self::Live(tenant) => (Arc::clone(tenant), None),
            Self::Erased(_) => {
                let note = text(self.newest(txn.tenants()).await?)?;
                (txn.tenants().root(), note.lines().next().map(str::to_owned))
            }
        };
        let key = txn.log_key(&tenant).await?.ok_or(Refusal::NotFound)?;
        Ok(origin.map_or_else(|| key.clone(), |origin| key.named(&origin)))
    }

    fn tenant(&self) -> TenantId {
        match self {
            Self::Live(tenant) => tenant.id(),
            Self::Erased(tenant) => *tenant,
        }
    }

    /// How many events there are.
    async fn size(&self, tenants: &Tenants) -> Result<u64, Refusal> {
        match self {
            Self::Live(tenant) => Ok(tenants.newest_row(tenant.id()).await?.map_or(0, |row| row.end())),
            Self::Erased(tenant) => tenants.kept_size(*tenant).await,
        }
    }

    /// The newest that was signed. While a log is being erased it is one of the part that was reduced to hashes already.
    async fn newest(&self, tenants: &Tenants) -> Result<Checkpoint, Refusal> {
        let sizes = 0..=self.size(tenants).await?;
        tenants.checkpoints(self.tenant(), sizes, true, 1).await?.pop().ok_or(Refusal::NotFound)
    }

    /// The size that was asked for, if the log has as many events; else that of the newest checkpoint.
    async fn bounded(&self, tenants: &Tenants, size: Option<u64>) -> Result<u64, Refusal> {
        let Some(size) = size else { return Ok(self.newest(tenants).await?.size) };
        let there = self.size(tenants).await?;
        if size <= there { Ok(size) } else { Err(Refusal::Invalid(format!("size is more than the {there} events of the log"))) }
    }

    async fn subtree_root(&self, tenants: &Tenants, stretch: (u64, u64)) -> Result<Hash, Refusal> {
        match self {
            Self::Live(tenant) => tenants.subtree_root(tenant.id(), stretch).await,
            Self::Erased(tenant) => tenants.kept_subtree_root(*tenant, stretch).await,
        }
    }

    async fn path(&self, tenants: &Tenants, stretches: Vec<(u64, u64)>) -> Result<Vec<String>, Refusal> {
        let mut path = Vec::with_capacity(stretches.len());
        for stretch in stretches {
            path.push(hex(&self.subtree_root(tenants, stretch).await?));
        }
        Ok(path)
    }
}

/// `sys/audit-log/key`.
pub(super) fn key(key: &LogKey) -> Answer {
    Answer::data(Json::object(|data| {
        data.field("key", &key.to_string()).field("fingerprint", &key.fingerprint()).field("origin", key.name());
    }))
}

/// `sys/audit-log/checkpoint`.
pub(super) async fn checkpoint(tenants: &Tenants, tree: &Tree) -> Result<Answer, Refusal> {
    let newest = tree.newest(tenants).await?;
    let (size, root, note) = (newest.size, hex(&newest.root), text(newest)?);
    Ok(Answer::data(Json::object(|data| {
        data.field("size", &size).field("root", &root).field("checkpoint", &note);
    })))
}

/// `sys/audit-log/proof/:index`.
pub(super) async fn inclusion(tenants: &Tenants, tree: &Tree, index: u64, size: Option<u64>) -> Result<Answer, Refusal> {
    let size = tree.bounded(tenants, size).await?;
    let stretches = inclusion_stretches(index, size).ok_or(Refusal::NotFound)?;
    let leaf = tree.subtree_root(tenants, (index, index + 1)).await?;
    let path = tree.path(tenants, stretches).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("index", &index).field("size", &size).field("leaf", &hex(&leaf)).strings("path", &path);
    })))
}

/// `sys/audit-log/consistency/:from`.
pub(super) async fn consistency(tenants: &Tenants, tree: &Tree, from: u64, size: Option<u64>) -> Result<Answer, Refusal> {
    let size = tree.bounded(tenants, size).await?;
    let stretches = consistency_stretches(from, size)
        .ok_or_else(|| Refusal::Invalid(format!("a tree of {size} events does not extend one of {from}")))?;
    let path = tree.path(tenants, stretches).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("from", &from).field("size", &size).strings("path", &path);
    })))
}

fn text(checkpoint: Checkpoint) -> Result<String, Refusal> {
    String::from_utf8(checkpoint.note).map_err(|_| Refusal::Internal("a stored checkpoint is no text".into()))
}

pub(super) fn hex(hash: &Hash) -> String {
    data_encoding::HEXLOWER.encode(hash)
}
