//! `sys/references`: from an opaque reference to the value that it stands for.
//!
//! A reference is looked up in the request's namespace only. Whoever resolves it needs `read` on what it points to;
//! one that is unknown, of another namespace, or not for the caller is refused with the same answer.

use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Txn};
use crate::engine::directory;
use crate::engine::kv::v1;
use crate::engine::kv::v2::{self, KvMetadata};
use crate::engine::table::{Call, Field, Need, Row, Verb};
use crate::id::ObjectId;
use crate::json::Json;
use crate::mount::Engine;
use crate::policy::{Ask, Capability};
use crate::reference::{Reference, ReferenceRecord};

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Operation {
    /// The value that a reference stands for.
    Resolve(Reference),
}

/// The table.
pub static TABLE: &[Row<Operation>] = &[Row {
    verb: Verb::Write,
    pattern: "references/resolve",
    need: Need::Verb,
    fields: &[Field { name: "reference", kind: "string", help: "A reference that a write has answered with." }],
    help: "Reads the value that a reference stands for. Needs `read` on the secret, too.",
    parse: resolve_fields,
}];

fn resolve_fields(call: &Call<'_>) -> Result<Operation, Refusal> {
    let text = call.fields.text("reference")?.ok_or_else(|| Refusal::invalid("missing field: reference"))?;
    let reference = Reference::parse(&text);
    reference.map(Operation::Resolve).ok_or_else(|| Refusal::invalid("malformed reference: mistyped, or not complete"))
}

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Operation::Resolve(reference) = operation;
    resolve(&reference, place, caller.ok_or(Refusal::NoToken)?, txn).await
}

async fn resolve(reference: &Reference, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    txn.note_reference(tenant.keyring().reference_hash(reference.as_str()));
    let address = ReferenceRecord::address(tenant.keyring(), reference);
    let Some(found) = txn.read::<ReferenceRecord>(tenant, &address).await? else { return Err(Refusal::Denied) };
    let record = found.value;
    let Some(mounted) = directory::by_id(tenant, record.target_mount, txn).await? else { return Err(Refusal::Denied) };
    let target = Place { tenant: tenant.clone(), mount: mounted.mount, path: mounted.path };
    if !may_read(caller, &target, &record) {
        return Err(Refusal::Denied);
    }
    // From here on the caller is one who may read the secret's path, and learns what has become of it.
    if object(&target, &record.target_path, txn).await? != Some(record.target_object) {
        return Err(Refusal::NotFound);
    }
    if record.field.is_some() {
        return Err(Refusal::invalid("unsupported: references to one field of a secret"));
    }
    match target.mount.engine {
        Engine::Kv1 => only_version(&target, &record.target_path, txn).await,
        _ => v2::run(v2::Operation::ReadData(record.target_path.clone(), record.pinned), &target, txn).await,
    }
}

/// What is at a path now.
async fn object(target: &Place, path: &str, txn: &mut Txn) -> Result<Option<ObjectId>, Refusal> {
    Ok(match target.mount.engine {
        Engine::Kv1 => v1::secret(target, path, txn).await?.map(|secret| secret.object),
        Engine::Kv2 => {
            let found = txn.read::<KvMetadata>(&target.tenant, &KvMetadata::address(target.mount.id, path)).await?;
            found.map(|found| found.object)
        }
        Engine::System
        | Engine::Token
        | Engine::Cubbyhole
        | Engine::Identity
        | Engine::AppRole
        | Engine::Userpass
        | Engine::Cert
        | Engine::Transit => None,
    })
}

/// A value of KV version 1 in the form of version 2, so that a consumer need not know which one a secret is in.
async fn only_version(target: &Place, path: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let secret = v1::secret(target, path, txn).await?.ok_or(Refusal::NotFound)?;
    txn.note_read(secret.version);
    Ok(Answer::data(Json::object(|data| {
        data.raw("data", secret.value.value.expose()).null("metadata");
    })))
}

/// Asks policy for what reading the secret itself would need.
fn may_read(caller: &Caller, target: &Place, record: &ReferenceRecord) -> bool {
    let data = if target.mount.engine == Engine::Kv2 { "data/" } else { "" };
    let path = caller.policy_path(&format!("{}{data}{}", target.path, record.target_path));
    caller.acl.decide(&Ask::new(&path, Capability::Read))
}
