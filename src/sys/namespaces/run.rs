//! Does what was asked of `sys/namespaces`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::operation::{Choice, Operation};
use super::{hold, lock};
use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Begun, Place, Tenant, Txn};
use crate::engine::directory;
use crate::json::{Json, Object};
use crate::namespace::{LegalHold, Namespace};
use crate::record::{Address, Kind, SYSTEM};
use crate::sys::erasure;
use crate::sys::mounts::first_segment;

/// The most namespaces that one scan opens.
const SCAN_MAX: usize = 10_000;

/// Runs one operation.
pub async fn run(operation: Operation, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let tenant = &place.tenant;
    // Paths are shown from the root on, as the response to a request in any namespace has them.
    let prefix = &caller.map_or_else(String::new, |caller| format!("{}{}", caller.namespace, caller.prefix));
    match operation {
        Operation::List => listing(&list(tenant, prefix, txn).await?),
        Operation::Scan => Ok(scanned(&scan(tenant, prefix, txn).await?)),
        Operation::Read(name) => {
            let namespace = read(tenant, &name, txn).await?.ok_or(Refusal::NotFound)?;
            one(tenant, prefix, &name, &namespace, txn).await
        }
        Operation::Set(name, custom_metadata, choice) => {
            let namespace = write(tenant, &name, custom_metadata, choice, txn).await?;
            one(tenant, prefix, &name, &namespace, txn).await
        }
        Operation::Patch(name, changes, choice) => {
            let mut namespace = read(tenant, &name, txn).await?.ok_or(Refusal::NotFound)?;
            merge(&mut namespace.custom_metadata, changes);
            change(tenant, &name, &mut namespace, choice, txn).await?;
            one(tenant, prefix, &name, &namespace, txn).await
        }
        Operation::Delete(name, destroy) => {
            // Nothing brings such a key back: more than the right to delete is asked for.
            if destroy.is_some() && !caller.is_some_and(|caller| caller.has_sudo(&format!("{}namespaces/{name}", place.path))) {
                return Err(Refusal::Denied);
            }
            delete(tenant, prefix, &name, destroy, txn).await
        }
        Operation::Lock(path) => lock::lock(&path, place, caller, txn).await,
        Operation::Unlock(path, key) => lock::unlock(&path, key.as_ref(), place, caller, txn).await,
        Operation::Seal(name) => lock::seal(tenant, &name, txn).await,
        Operation::Unseal(name) => lock::unseal(tenant, &name, txn).await,
        Operation::SealStatus(name) => lock::seal_status(tenant, &name, txn).await,
        Operation::Hold(name, reason) => hold::lay(tenant, &name, reason, txn).await,
        Operation::ShowHold(name) => hold::show(tenant, &name, txn).await,
        Operation::Lift(name) => hold::lift(tenant, &name, txn).await,
        Operation::AcceptRollback(name) => accept_rollback(tenant, &name, txn).await,
    }
}

pub(super) fn address(name: &str) -> Address {
    Address::system(Kind::Namespace, name)
}

pub(super) async fn read(tenant: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Option<Namespace>, Refusal> {
    Ok(txn.read::<Namespace>(tenant, &address(name)).await?.map(|found| Namespace::clone(&found.value)))
}

/// One namespace, as it is answered.
async fn one(tenant: &Arc<Tenant>, prefix: &str, name: &str, namespace: &Namespace, txn: &mut Txn) -> Result<Answer, Refusal> {
    let hold = hold::of(tenant, namespace.tenant, txn).await?;
    Ok(Answer::data(show(&format!("{prefix}{name}/"), namespace, hold.as_deref())))
}

/// Making a namespace twice is no error: its metadata is replaced.
async fn write(
    tenant: &Arc<Tenant>,
    name: &str,
    custom_metadata: BTreeMap<String, String>,
    choice: Choice,
    txn: &mut Txn,
) -> Result<Namespace, Refusal> {
    if let Some(mut namespace) = read(tenant, name, txn).await? {
        namespace.custom_metadata = custom_metadata;
        change(tenant, name, &mut namespace, choice, txn).await?;
        return Ok(namespace);
    }
    let mounts = directory::paths(tenant, txn).await?;
    if let Some(mount) = mounts.iter().find(|mount| first_segment(mount) == name) {
        return Err(Refusal::invalid(format!("path is already in use at {mount}")));
    }
    let namespace = txn.create_child(tenant, name, custom_metadata, choice.flatten()).await?;
    Ok(Namespace::clone(&namespace))
}

/// Stores changed metadata, and moves the namespace's key if it is to have another seal.
async fn change(
    tenant: &Arc<Tenant>,
    name: &str,
    namespace: &mut Namespace,
    choice: Choice,
    txn: &mut Txn,
) -> Result<(), Refusal> {
    txn.put(tenant, &address(name), namespace, None).await?;
    if let Some(own) = choice.filter(|own| *own != namespace.own_seal) {
        txn.move_child(tenant, name, own.clone()).await?;
        namespace.own_seal = own;
    }
    Ok(())
}

fn merge(metadata: &mut BTreeMap<String, String>, changes: BTreeMap<String, Option<String>>) {
    for (key, value) in changes {
        match value {
            Some(value) => metadata.insert(key, value),
            None => metadata.remove(&key),
        };
    }
}

async fn delete(tenant: &Arc<Tenant>, prefix: &str, name: &str, destroy: Option<u32>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let Some(namespace) = read(tenant, name, txn).await? else {
        let warnings = vec!["requested namespace does not exist".to_owned()];
        return Ok(Answer::done(warnings));
    };
    hold::refuse_erasure(tenant, prefix, (name, namespace.tenant), txn).await?;
    let child = txn.enter(tenant, name, &namespace).await?;
    if !txn.names(&child, Kind::Namespace, SYSTEM, "").await?.is_empty() {
        return Err(Refusal::invalid(format!("cannot delete namespace (\"{name}/\") containing child namespaces")));
    }
    erasure::begin(&namespace, format!("{prefix}{name}/"), destroy, txn).await?;
    txn.delete_child(tenant, name).await?;
    Ok(Answer::data(Json::object(|out| {
        out.field("status", "in-progress");
    })))
}

/// What is accepted is in the event: here, and in the child's log, as the first one of its new epoch.
async fn accept_rollback(tenant: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    read(tenant, name, txn).await?.ok_or_else(|| Refusal::invalid("namespace doesn't exist"))?;
    let begun = txn.accept_rollback(tenant, name).await?;
    let Begun { epoch, ended } = begun.ok_or_else(|| Refusal::invalid("the namespace is not rolled back"))?;
    let root = data_encoding::HEXLOWER.encode(&ended.root);
    txn.note_detail(format!("given up: {} events with root {root}, signed in epoch {}", ended.size, ended.epoch));
    Ok(Answer::data(Json::object(|data| {
        data.field("epoch", &epoch).object("given_up", |lost| {
            lost.field("epoch", &ended.epoch).field("size", &ended.size).field("root", &root);
        });
    })))
}

/// A namespace and its path below the request's namespace, and how it is shown.
type Shown = (String, Json);

async fn list(tenant: &Arc<Tenant>, prefix: &str, txn: &mut Txn) -> Result<Vec<Shown>, Refusal> {
    let mut found = Vec::new();
    for name in txn.names(tenant, Kind::Namespace, SYSTEM, "").await?.iter() {
        if let Some(namespace) = read(tenant, name, txn).await? {
            let hold = hold::of(tenant, namespace.tenant, txn).await?;
            found.push((format!("{name}/"), show(&format!("{prefix}{name}/"), &namespace, hold.as_deref())));
        }
    }
    Ok(found)
}

/// Every parent before its children, children sorted.
async fn scan(tenant: &Arc<Tenant>, prefix: &str, txn: &mut Txn) -> Result<Vec<Shown>, Refusal> {
    let mut found = Vec::new();
    let mut waiting = children(tenant, "", txn).await?;
    while let Some((parent, path, name)) = waiting.pop() {
        if found.len() == SCAN_MAX {
            return Err(Refusal::invalid(format!("there are more than {SCAN_MAX} namespaces below: list them level by level")));
        }
        let Some(namespace) = read(&parent, &name, txn).await? else { continue };
        let path = format!("{path}{name}/");
        let hold = hold::of(&parent, namespace.tenant, txn).await?;
        found.push((path.clone(), show(&format!("{prefix}{path}"), &namespace, hold.as_deref())));
        // What is below a sealed one, or one that was rolled back, cannot be read.
        if !namespace.sealed {
            match txn.enter(&parent, &name, &namespace).await {
                Err(Refusal::RolledBack) => {}
                child => waiting.extend(children(&child?, &path, txn).await?),
            }
        }
    }
    Ok(found)
}

/// The children of the namespace at `path`, last one first.
async fn children(tenant: &Arc<Tenant>, path: &str, txn: &mut Txn) -> Result<Vec<(Arc<Tenant>, String, Box<str>)>, Refusal> {
    let names = txn.names(tenant, Kind::Namespace, SYSTEM, "").await?;
    Ok(names.iter().rev().map(|name| (Arc::clone(tenant), path.to_owned(), name.clone())).collect())
}

/// An empty list is 404, as everywhere.
fn listing(found: &[Shown]) -> Result<Answer, Refusal> {
    if found.is_empty() { Err(Refusal::NotFound) } else { Ok(scanned(found)) }
}

/// An empty scan is an empty object.
fn scanned(found: &[Shown]) -> Answer {
    Answer::data(Json::object(|out| {
        if !found.is_empty() {
            keys(out, found);
        }
    }))
}

fn keys(out: &mut Object<'_>, found: &[Shown]) {
    out.object("key_info", |out| {
        for (path, shown) in found {
            out.raw(path, shown.expose());
        }
    });
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    out.strings("keys", &paths);
}

fn show(path: &str, namespace: &Namespace, hold: Option<&LegalHold>) -> Json {
    Json::object(|out| {
        out.field("custom_metadata", &namespace.custom_metadata);
        out.field("id", &namespace.tenant.label());
        out.field("locked", &namespace.lock.is_some());
        // Only where there is one: others do not know these fields.
        if let Some(own) = &namespace.own_seal {
            out.field("seal", &own.seal).field("key_id", &own.key_id);
        }
        if let Some(hold) = hold {
            out.object("legal_hold", |out| hold::fields(out, hold));
        }
        out.field("path", path);
        out.field("tainted", &false);
        out.field("uuid", &namespace.tenant.uuid());
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::answer::Data;
    use crate::id::TenantId;
    use crate::time::Timestamp;

    fn namespace() -> Namespace {
        Namespace {
            tenant: TenantId([0; 16]),
            generation: 1,
            commitment: String::new(),
            custom_metadata: BTreeMap::from([("tier".to_owned(), "gold".to_owned()), ("cost".to_owned(), "7".to_owned())]),
            created: Timestamp(0),
            lock: None,
            sealed: false,
            own_seal: None,
        }
    }

    #[test]
    fn a_patch_sets_and_removes_and_leaves_the_rest() {
        let mut metadata = namespace().custom_metadata;
        let changes = [("env", Some("prod")), ("tier", None), ("never", None)];
        merge(&mut metadata, changes.into_iter().map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect());
        let expected = [("cost", "7"), ("env", "prod")];
        assert_eq!(metadata, expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }

    #[test]
    fn listings_have_keys_with_their_details_and_an_empty_one_is_not_found() {
        let found = vec![("sub/".to_owned(), show("team1/sub/", &namespace(), None))];
        let Ok(Answer::Data(Data { data: Some(data), doubled: false, .. })) = listing(&found) else { panic!("no listing") };
        let expected = json!({"keys": ["sub/"], "key_info": {"sub/": {
            "custom_metadata": {"tier": "gold", "cost": "7"}, "id": "aaaaaaaaaa", "locked": false, "path": "team1/sub/",
            "tainted": false, "uuid": "00000000-0000-0000-0000-000000000000"
        }}});
        assert_eq!(serde_json::from_slice::<Value>(data.expose()).unwrap(), expected);
        assert!(matches!(listing(&[]), Err(Refusal::NotFound)));
        let Answer::Data(Data { data: Some(data), .. }) = scanned(&[]) else { panic!("no answer") };
        assert_eq!(data.expose(), b"{}");
    }
}
