//! What shows that a log is the one that was signed: its newest checkpoint, and proofs to hold against it.

use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::audit::merkle::Hash;
use crate::audit::note::LogKey;
use crate::audit::proof::{consistency_stretches, inclusion_stretches};
use crate::commit::Tenants;
use crate::json::Json;
use crate::storage::Checkpoint;

/// `sys/audit-log/key`.
pub(super) fn key(key: &LogKey) -> Answer {
    Answer::data(Json::object(|data| {
        data.field("key", &key.to_string()).field("fingerprint", &key.fingerprint()).field("origin", key.name());
    }))
}

/// `sys/audit-log/checkpoint`.
pub(super) async fn checkpoint(tenants: &Tenants, source: &Source) -> Result<Answer, Refusal> {
    let newest = newest(tenants, source).await?;
    let note = String::from_utf8(newest.note).map_err(|_| Refusal::Internal("a stored checkpoint is no text".into()))?;
    Ok(Answer::data(Json::object(|data| {
        data.field("size", &newest.size).field("root", &hex(&newest.root)).field("checkpoint", &note);
    })))
}

/// `sys/audit-log/proof/:index`.
pub(super) async fn inclusion(tenants: &Tenants, source: &Source, index: u64, size: Option<u64>) -> Result<Answer, Refusal> {
    let size = bounded(tenants, source, size).await?;
    let stretches = inclusion_stretches(index, size).ok_or(Refusal::NotFound)?;
    let leaf = tenants.subtree_root(source.tenant.id(), (index, index + 1)).await?;
    let path = path(tenants, source, stretches).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("index", &index).field("size", &size).field("leaf", &hex(&leaf)).strings("path", &path);
    })))
}

/// `sys/audit-log/consistency/:from`.
pub(super) async fn consistency(tenants: &Tenants, source: &Source, from: u64, size: Option<u64>) -> Result<Answer, Refusal> {
    let size = bounded(tenants, source, size).await?;
    let stretches = consistency_stretches(from, size)
        .ok_or_else(|| Refusal::Invalid(format!("a tree of {size} events does not extend one of {from}")))?;
    let path = path(tenants, source, stretches).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("from", &from).field("size", &size).strings("path", &path);
    })))
}

async fn newest(tenants: &Tenants, source: &Source) -> Result<Checkpoint, Refusal> {
    tenants.checkpoints(source.tenant.id(), 0..=u64::MAX, true, 1).await?.pop().ok_or(Refusal::NotFound)
}

/// The size that was asked for, if the log has as many events; else that of the newest checkpoint.
async fn bounded(tenants: &Tenants, source: &Source, size: Option<u64>) -> Result<u64, Refusal> {
    let Some(size) = size else { return Ok(newest(tenants, source).await?.size) };
    let there = tenants.newest_row(source.tenant.id()).await?.map_or(0, |row| row.end());
    if size <= there { Ok(size) } else { Err(Refusal::Invalid(format!("size is more than the {there} events of the log"))) }
}

async fn path(tenants: &Tenants, source: &Source, stretches: Vec<(u64, u64)>) -> Result<Vec<String>, Refusal> {
    let mut path = Vec::with_capacity(stretches.len());
    for stretch in stretches {
        path.push(hex(&tenants.subtree_root(source.tenant.id(), stretch).await?));
    }
    Ok(path)
}

pub(super) fn hex(hash: &Hash) -> String {
    data_encoding::HEXLOWER.encode(hash)
}
