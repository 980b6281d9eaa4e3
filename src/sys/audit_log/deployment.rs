//! The log of the deployment, which witnesses cosign for all namespaces: its signed tree, and the proof that a namespace's own
//! checkpoint is in it.

use super::proofs::hex;
use super::sources::Source;
use crate::answer::{Answer, Refusal};
use crate::audit::note::{LogKey, TreeHead};
use crate::audit::proof::{consistency_stretches, inclusion_stretches};
use crate::commit::{Cosigned, Tenants};
use crate::json::Json;

/// `sys/audit-log/deployment`.
pub(super) async fn show(tenants: &Tenants, key: &LogKey) -> Result<Answer, Refusal> {
    let cosigned = tenants.cosigned().await?.ok_or(Refusal::NotFound)?;
    let newest = tenants.deployment_tree(u64::MAX).await?.map_or(0, |tree| tree.size);
    let (head, note) = signed(&cosigned)?;
    let witnesses = tenants.witnesses();
    let known = witnesses.iter().flat_map(|witnesses| witnesses.keys());
    let mut shown = Json::list();
    for (name, witness) in known {
        let key = witness.to_string();
        let has = cosigned.cosignatures.iter().any(|cosignature| cosignature.witness == key);
        shown.object(|one| {
            one.field("name", name).field("key", &key).field("cosigned", &has);
        });
    }
    let shown = shown.close();
    Ok(Answer::data(Json::object(|data| {
        data.field("origin", key.name()).field("key", &key.to_string()).field("fingerprint", &key.fingerprint());
        data.field("size", &head.size).field("root", &hex(&head.root)).field("checkpoint", &note).field("newest", &newest);
        data.field("witnesses_required", &witnesses.map_or(0, |witnesses| witnesses.required()));
        data.raw("witnesses", shown.expose());
    })))
}

/// `sys/audit-log/deployment/proof`: of the namespace's newest checkpoint in the tree that `show` has, with so many events at most.
pub(super) async fn proof(tenants: &Tenants, source: &Source, size: u64) -> Result<Answer, Refusal> {
    let (tree, note) = signed(&tenants.cosigned().await?.ok_or(Refusal::NotFound)?)?;
    let (place, head) = tenants.head_of(source.tenant.id(), tree.size, size).await?.ok_or(Refusal::NotFound)?;
    let stretches = inclusion_stretches(place, tree.size).ok_or(Refusal::NotFound)?;
    let path: Vec<String> = tenants.heads_path(stretches).await?.iter().map(hex).collect();
    Ok(Answer::data(Json::object(|data| {
        data.field("size", &head.size).field("root", &hex(&head.root)).field("entry", &head.entry(tenants.deployment()));
        data.field("index", &place).strings("path", &path).field("checkpoint", &note);
    })))
}

/// `sys/audit-log/deployment/consistency/:from`.
pub(super) async fn consistency(tenants: &Tenants, from: u64, size: Option<u64>) -> Result<Answer, Refusal> {
    let newest = tenants.deployment_tree(u64::MAX).await?.ok_or(Refusal::NotFound)?.size;
    let size = size.unwrap_or(newest);
    if size > newest {
        return Err(Refusal::Invalid(format!("size is more than the {newest} heads of the deployment's log")));
    }
    let stretches = consistency_stretches(from, size)
        .ok_or_else(|| Refusal::Invalid(format!("a tree of {size} heads does not extend one of {from}")))?;
    let path: Vec<String> = tenants.heads_path(stretches).await?.iter().map(hex).collect();
    Ok(Answer::data(Json::object(|data| {
        data.field("from", &from).field("size", &size).strings("path", &path);
    })))
}

/// `sys/audit-log/deployment/heads`.
pub(super) async fn heads(tenants: &Tenants, from: u64, limit: usize) -> Result<Answer, Refusal> {
    let heads = tenants.heads(from, limit).await?;
    let entries: Vec<String> = heads.iter().map(|head| head.entry(tenants.deployment())).collect();
    Ok(Answer::data(Json::object(|data| {
        data.field("from", &from).strings("entries", &entries);
    })))
}

/// What the tree's note says, and the note with its cosignatures.
fn signed(cosigned: &Cosigned) -> Result<(TreeHead, String), Refusal> {
    let malformed = || Refusal::Internal("a stored checkpoint of the deployment's log is malformed".into());
    let head = TreeHead::unverified(&cosigned.tree.note).map_err(|_| malformed())?;
    Ok((head, String::from_utf8(cosigned.note()).map_err(|_| malformed())?))
}
